/* A seeded random walk: several clients, misbehaving servers and time, and after each step the
 * oracle of walk.h. SEED=n runs one walk, WALK_SEEDS=n so many, WALK_TRACE=1 tells every step. */
#include "walk.h"

#define STEPS 400

static void say(struct player *p, struct client *channel, const char *text)
{
    struct rpc_msg m;
    CHECK(rpc_parse(slice_str(text), 128, &m, NULL) == RPC_OK, "bad test message: %s", text);
    TRACE("client %u.%u says %.150s", p->index, p->life, text);
    char *copy = xstrdup(text);
    struct payload payload = {.text = slice_str(copy)};
    session_submit(p->main.session, channel ? &channel->channel : NULL, &payload, &m);
    memset(copy, 'x', strlen(text));
    free(copy);
    turn();
}

/* ---- what clients do ---- */

static struct req *req_new(struct player *p, const char *method)
{
    CHECK(k.req_n + 1 < REQS_MAX, "too many requests");
    struct req *r = &k.reqs[++k.req_n];
    *r = (struct req){
        .by = p, .life = p->life, .method = method, .uri = -1, .open = true, .progress = -1};
    r->interactive = mcp_method_is_interactive(mcp_method_parse(slice_str(method)));
    snprintf(r->id, sizeof(r->id), chance(50) ? "%u" : "\"%u\"", p->next_id++);
    return r;
}

static void player_leave(struct player *p)
{
    TRACE("client %u.%u leaves", p->index, p->life);
    if (!p->main.ended)
        session_end(p->main.session);
    turn();
    CHECK(p->main.ended, "no on_end");
    CHECK(p->main.channel.refs == 1 && p->post.channel.refs == 1, "channels are held");
    p->playing = false;
}

static void player_join(struct player *p)
{
    static const char *const principals[] = {"anonymous", "anonymous", "uid:1"};
    static const char *const caps[] = {"{\"sampling\":{},\"elicitation\":{\"form\":{},\"url\":{}}}",
                                       "{\"sampling\":{},\"elicitation\":{\"form\":{},\"url\":{}}}",
                                       "{}", "{\"roots\":{},\"sampling\":{}}"};
    static const char *const versions[] = {"2024-11-05", "2025-03-26", "2025-11-25", "2026-07-28"};
    struct client blank = {.channel = {.ops = &client_ops, .refs = 1}};
    char text[512];
    p->life++;
    p->main = p->post = blank;
    p->post.json_only = chance(50);
    p->principal = principals[upto(ARRAY_LEN(principals))];
    p->caps = caps[upto(ARRAY_LEN(caps))];
    memset(p->wants, 0, sizeof(p->wants));
    memset(p->vendor_asks, 0, sizeof(p->vendor_asks));
    int e = session_new(w.proxy, route_at(w.proxy, 0), p->principal, SESSION_LINE, &session_ops,
                        &p->main, &p->main.session);
    CHECK(e == (k.stopping ? -ESHUTDOWN : 0), "session_new: %d", e);
    if (e < 0)
        return;
    p->playing = true;
    if (chance(80))
        session_set_push(p->main.session, &p->main.channel);
    if (chance(10))
        return; /* and says nothing more */
    struct req *r = req_new(p, "initialize");
    r->anonymous = true;
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"initialize\",\"params\":{"
             "\"protocolVersion\":\"%s\",\"capabilities\":%s,\"clientInfo\":{\"name\":\"w\","
             "\"version\":\"1\"}}}",
             r->id, versions[upto(ARRAY_LEN(versions))], p->caps);
    say(p, &p->main, text);
}

static void client_asks(struct player *p, const char *method)
{
    static char big[70000], text[80000];
    struct req *r = req_new(p, method);
    unsigned nonce = k.req_n;
    struct client *channel = chance(70) ? &p->main : &p->post;
    char extra[128] = "";
    if (strstr(method, "subscribe")) {
        r->uri = (int)upto(URIS);
        snprintf(extra, sizeof(extra), ",\"uri\":\"%s\"", uri_of(r->uri));
        if (p->wants[r->uri] == SUB_NO ? strstr(method, "/sub") != NULL : true)
            p->wants[r->uri] = SUB_MAYBE;
        p->last_sub[r->uri] = nonce;
    } else if (strstr(method, "setLevel")) {
        snprintf(extra, sizeof(extra), ",\"level\":\"%s\"", mcp_log_level_name(upto(8)));
    } else if (strstr(method, "call")) {
        snprintf(extra, sizeof(extra), ",\"name\":\"x\"");
    }
    r->token = chance(40);
    if (r->token)
        snprintf(extra + strlen(extra), sizeof(extra) - strlen(extra),
                 ",\"_meta\":{\"progressToken\":\"t%u\"}", nonce);
    size_t fill = chance(3) ? 66000 : 0;
    memset(big, 'z', fill);
    big[fill] = '\0';
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",%s\"method\":\"%s\",\"params\":{\"nonce\":%u%s,\"fill\":\"%s\"},"
             "\"id\":%s}",
             chance(10) ? "\n" : "", method, nonce, extra, big, r->id);
    say(p, channel, text);
    if (r->open && chance(5)) {
        k.duplicate = r->id;
        say(p, channel, text);
        CHECK(!k.duplicate, "a duplicate was not refused");
    }
}

/* A list of which the server cannot tell who asks for it. */
static void client_lists(struct player *p)
{
    static const char *const methods[] = {"tools/list", "prompts/list"};
    char text[200];
    struct req *r = req_new(p, methods[upto(2)]);
    r->anonymous = true;
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"%s\"%s}", r->id,
             r->method, chance(30) ? ",\"params\":{\"cursor\":\"x\"}" : "");
    say(p, chance(70) ? &p->main : &p->post, text);
}

static const char *some_method(void)
{
    static const char *const methods[] = {"tools/call",
                                          "tools/call",
                                          "tools/call",
                                          "tools/call",
                                          "tools/call",
                                          "prompts/get",
                                          "resources/read",
                                          "tools/list",
                                          "ping",
                                          "completion/complete",
                                          "resources/subscribe",
                                          "resources/unsubscribe",
                                          "logging/setLevel",
                                          "vendor/x",
                                          "tasks/get",
                                          "server/discover",
                                          "initialize",
                                          "resources/subscribe"};
    return methods[upto(ARRAY_LEN(methods))];
}

static void client_cancels(struct player *p)
{
    char text[200];
    for (unsigned i = k.req_n; i > 0 && i + 40 > k.req_n; i--) {
        struct req *r = &k.reqs[i];
        if (r->by != p || r->life != p->life || (r->open && chance(60)))
            continue;
        r->cancelled |= r->open && strcmp(r->method, "initialize") != 0;
        snprintf(text, sizeof(text),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                 "\"requestId\":%s,\"reason\":\"because\"}}",
                 r->id);
        say(p, NULL, text);
        CHECK(!r->cancelled || !r->open, "request %u lives on", i);
        return;
    }
}

/* Answers what it was asked, or what it was not, once or twice. */
static void client_answers(struct player *p, bool rightly)
{
    char text[200];
    for (unsigned i = k.quest_n; i-- > 0;) {
        struct quest *q = &k.quests[i];
        if (rightly ? q->to != p || q->life != p->life : !q->to || chance(80))
            continue;
        if (rightly && q->replied)
            continue;
        if (chance(20)) {
            snprintf(text, sizeof(text),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
                     "\"progressToken\":%llu,\"progress\":1}}",
                     (unsigned long long)q->client_id);
            say(p, NULL, text);
        }
        bool own = q->to == p && q->life == p->life;
        q->replied |= own;
        /* A stranger's answer names an id that may be one of its own questions: it lies then. */
        snprintf(text, sizeof(text),
                 own ? "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"by\":%u,\"life\":%u,"
                       "\"quest\":%u}}"
                     : "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
                 (unsigned long long)q->client_id, p->index, p->life, i);
        say(p, NULL, text);
        return;
    }
}

static void client_moves_push(struct player *p)
{
    p->flushing = true;
    if (session_has_pending(p->main.session) && chance(50) && !p->post.json_only)
        session_flush_pending(p->main.session, &p->post.channel);
    else if (session_push_channel(p->main.session))
        session_set_push(p->main.session, NULL);
    else
        session_set_push(p->main.session, &p->main.channel);
    p->flushing = false;
    turn();
}

static void client_step(void)
{
    struct player *p = &k.players[upto(PLAYERS)];
    char text[128];
    if (!playing(p)) {
        if (p->playing)
            player_leave(p);
        if (chance(50))
            player_join(p);
        return;
    }
    unsigned die = upto(100);
    if (die < 12) {
        client_lists(p);
    } else if (die < 60) {
        client_asks(p, some_method());
    } else if (die < 72) {
        client_cancels(p);
    } else if (die < 82) {
        client_answers(p, chance(80));
    } else if (die < 85) {
        player_leave(p);
    } else if (die < 90) {
        client_moves_push(p);
    } else if (die < 93) {
        p->main.broken = chance(30);
        p->post.broken = chance(30);
    } else if (die < 95) {
        p->main.deaf = !p->main.deaf;
    } else if (die < 98) {
        snprintf(text, sizeof(text),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/vendor\",\"params\":{\"by\":%u}}",
                 p->index);
        say(p, NULL, text);
    } else {
        session_touch(p->main.session);
    }
}

/* ---- what servers do ---- */

__attribute__((format(printf, 2, 3))) static void speak(struct fake *f, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    TRACE("server %u.%u says %s", f->slot, conn_of(f)->epoch, text);
    k.speaking = f;
    fake_answer(f, text);
    k.speaking = NULL;
}

static struct fake *some_fake(bool talking)
{
    unsigned n = 0;
    struct fake *chosen = NULL;
    for (struct fake *f = w.fakes; f; f = f->next)
        if ((!talking || (talks(f) && !f->stuck_from)) && upto(++n) == 0)
            chosen = f;
    return chosen;
}

static size_t write_answer(char *out, size_t cap, const struct job *j)
{
    bool error = j->refuse || (j->nonce && chance(10));
    int n = error ? snprintf(out, cap,
                             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32000,"
                             "\"message\":\"no\"}}",
                             (unsigned long long)j->id)
                  : snprintf(out, cap,
                             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"nonce\":%u,"
                             "\"method\":\"%s\"}}",
                             (unsigned long long)j->id, j->nonce, j->method);
    return (size_t)n;
}

static void server_answers(struct fake *f, unsigned i)
{
    struct server_model *s = model_of(f);
    struct job j = s->jobs[i];
    char text[400];
    size_t n = 0;
    if (s->job_n == 0)
        return;
    if (j.nonce)
        k.reqs[j.nonce].server_answered = true;
    s->jobs[i] = s->jobs[--s->job_n];
    if (conn_of(f)->card->version == MCP_2025_03_26 && chance(30)) {
        text[n++] = '[';
        n += write_answer(text + n, sizeof(text) - n, &j);
        if (chance(50)) {
            text[n++] = ',';
            n += write_answer(text + n, sizeof(text) - n, &j);
        }
        text[n++] = ']';
        text[n] = '\0';
    } else {
        write_answer(text, sizeof(text), &j);
    }
    speak(f, "%s", text);
    if (chance(5))
        speak(f, "%s", text); /* and again */
}

static void server_talks_nonsense(struct fake *f)
{
    static const char *const texts[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":-1,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":18446744073709551617,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":999999,\"error\":{\"code\":1,\"message\":\"x\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"x\"}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":"
        "\"x\",\"progress\":1}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":"
        "999999,\"progress\":1}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":3}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/vendor\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"v\",\"method\":\"vendor/ask\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"t\",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}",
        "[]",
    };
    speak(f, "%s", texts[upto(ARRAY_LEN(texts))]);
}

/* A request on whose behalf f may speak: it has it, or had it a moment ago and was told to stop. */
static unsigned subject(struct fake *f, bool interactive)
{
    unsigned chosen = 0, n = 0;
    for (unsigned i = 1; i <= k.req_n; i++) {
        const struct req *r = &k.reqs[i];
        bool ghost = !r->open && r->interactive && !r->server_answered &&
                     w.env.now < r->ended_at + GHOST_LIFE;
        if (r->at == f && (r->open || ghost) && (r->interactive || !interactive) && upto(++n) == 0)
            chosen = i;
    }
    return chosen;
}

static void server_asks(struct fake *f)
{
    static const char *const methods[] = {"sampling/createMessage", "elicitation/create",
                                          "roots/list"};
    unsigned n = k.quest_n, of = chance(80) ? subject(f, true) : 0;
    if (n == ASKS_MAX)
        return;
    k.quest_n++;
    k.quests[n] = (struct quest){.at = f, .of = of};
    speak(f,
          "{\"jsonrpc\":\"2.0\",\"id\":\"q%u\",\"method\":\"%s\",\"params\":{\"quest\":%u,%s"
          "\"elicitationId\":\"e%u\",\"_meta\":{\"progressToken\":\"q%u\"}}}",
          n, methods[upto(ARRAY_LEN(methods))], n, chance(50) ? "\"mode\":\"url\"," : "", n, n);
}

/* What a question by URL has led to may be announced long after it was answered. */
static void server_completes(struct fake *f)
{
    unsigned n = k.quest_n ? upto(k.quest_n) : 0;
    if (k.quests[n].at == f)
        speak(f,
              "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/elicitation/complete\","
              "\"params\":{\"elicitationId\":\"e%u\"}}",
              n);
}

static void server_takes_ask_back(struct fake *f)
{
    for (unsigned i = 0; i < k.quest_n; i++) {
        struct quest *q = &k.quests[i];
        if (q->at != f || q->answered || q->withdrawn)
            continue;
        q->withdrawn = true;
        speak(f,
              "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
              "\"requestId\":\"q%u\"}}",
              i);
        return;
    }
}

static void server_notifies(struct fake *f)
{
    static const char *const lists[] = {"tools", "prompts", "resources"};
    const struct server_model *s = model_of(f);
    unsigned of = subject(f, false);
    int uri = (int)upto(URIS);
    switch (upto(5)) {
    case 0:
        if (s->job_n)
            speak(f,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
                  "\"progressToken\":%llu,\"progress\":%u}}",
                  (unsigned long long)s->jobs[upto(s->job_n)].id, upto(10));
        return;
    case 1:
        speak(f,
              "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":"
              "\"%s\",\"data\":{\"of\":%u}}}",
              mcp_log_level_name(upto(8)), of);
        return;
    case 2:
        speak(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s/list_changed\"}",
              lists[upto(3)]);
        return;
    case 3:
    case 4:
        if (s->subscribed[uri])
            speak(f,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\","
                  "\"params\":{\"uri\":\"%s\"}}",
                  uri_of(uri));
        return;
    default:
        return;
    }
}

static void server_dies(void)
{
    struct fake *f = some_fake(false);
    if (!f || f->down || f->closed)
        return;
    if (chance(40) && !f->stuck_from && f->opened)
        TRACE("(it had read everything)");
    TRACE("server %u.%u dies", f->slot, conn_of(f)->epoch);
    fake_die(f);
    turn();
}

static void server_says_too_much(struct fake *f)
{
    struct server_model *s = model_of(f);
    if (s->job_n == 0)
        return;
    char raw[24];
    struct job j = s->jobs[--s->job_n];
    snprintf(raw, sizeof(raw), "%llu", (unsigned long long)j.id);
    TRACE("server %u.%u oversize %s", f->slot, conn_of(f)->epoch, raw);
    k.speaking = f;
    if (j.nonce)
        k.reqs[j.nonce].server_answered = true;
    f->ev->on_discarded(f->arg, slice_str(raw), REASON_RESPONSE_TOO_LARGE);
    k.speaking = NULL;
}

static void server_step(void)
{
    struct fake *f = some_fake(true);
    unsigned die = upto(100);
    if (die < 2) {
        server_dies();
    } else if (!f) {
        return;
    } else if (die < 50) {
        struct server_model *s = model_of(f);
        server_answers(f, s->job_n ? upto(s->job_n) : 0);
    } else if (die < 55) {
        server_completes(f);
    } else if (die < 68) {
        server_notifies(f);
    } else if (die < 84) {
        server_asks(f);
    } else if (die < 87) {
        server_takes_ask_back(f);
    } else if (die < 91) {
        server_talks_nonsense(f);
    } else if (die < 93) {
        server_says_too_much(f);
    } else {
        TRACE("server %u.%u stops reading", f->slot, conn_of(f)->epoch);
        f->stuck_from = f->marks + 1;
        f->pending = chance(50) ? 2 * 1024 * 1024 : 0;
    }
    turn();
}

static void fate_step(void)
{
    struct fake *f = some_fake(false);
    switch (upto(8)) {
    case 0:
        w.refuse = chance(15);
        w.fatal = chance(20);
        break;
    case 1:
        w.mute = chance(10);
        break;
    case 2:
        w.start_delay = chance(50) ? 0 : upto(8) * USEC_PER_SEC;
        w.close_delay = chance(50) ? 0 : upto(8) * USEC_PER_SEC;
        w.version = chance(30) ? "2025-03-26" : NULL;
        break;
    default:
        if (f && f->stuck_from && talks(f)) {
            TRACE("server %u.%u reads on", f->slot, conn_of(f)->epoch);
            f->pending = 0;
            server_unstick(f);
            f->ev->on_drain(f->arg);
            turn();
        }
        break;
    }
}

static void time_step(void)
{
    static const usec_t spans[] = {0,
                                   1000,
                                   USEC_PER_SEC / 10,
                                   USEC_PER_SEC / 2,
                                   USEC_PER_SEC,
                                   2 * USEC_PER_SEC,
                                   5 * USEC_PER_SEC,
                                   20 * USEC_PER_SEC,
                                   100 * USEC_PER_SEC};
    usec_t span = spans[upto(chance(20) ? ARRAY_LEN(spans) : 6)];
    TRACE("time passes: %.3f s", (double)span / USEC_PER_SEC);
    pass(span);
}

/* The front ends a session whose initialize failed. */
static void end_failed_sessions(void)
{
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct player *p = &k.players[i];
        if (playing(p) && !session_is_initialized(p->main.session) &&
            session_in_flight(p->main.session) == 0 && chance(80))
            player_leave(p);
    }
}

static void step(void)
{
    unsigned die = upto(100);
    k.step++;
    if (die < 40)
        client_step();
    else if (die < 88)
        server_step();
    else if (die < 94)
        fate_step();
    else
        time_step();
    check_structure();
    end_failed_sessions();
    check_structure();
}

/* ---- the beginning and the ends ---- */

static void begin(int seed)
{
    static const char *const sharing[] = {"shared", "exclusive", "session"};
    char extra[128], top[900];
    memset(&k, 0, sizeof(k));
    k.seed = seed;
    k.random = (uint64_t)seed * 0x9e3779b97f4a7c15u + 1;
    k.trace = getenv("WALK_TRACE") != NULL;
    test_random_state = dice() | 1;
    for (unsigned i = 0; i < PLAYERS; i++)
        k.players[i].index = i + 1;
    unsigned max = 1 + upto(4);
    snprintf(extra, sizeof(extra), ",\"sharing\":\"%s\",\"server_asks\":\"%s\"", sharing[seed % 3],
             chance(80) ? "auto" : "yes");
    snprintf(top, sizeof(top),
             ",\"resilience\":{\"min_connections\":%u,\"max_connections\":%u,\"queue_timeout\":%u,"
             "\"call_timeout\":%u,\"operation_timeout\":%u},\"limits\":{"
             "\"max_in_flight_per_connection\":%u,\"idle_shrink\":%u,\"queue_length\":%u,"
             "\"max_in_flight_per_session\":%u,\"max_in_flight_per_principal\":%u,"
             "\"session_idle_timeout\":%u,\"pending_notifications\":%u,\"drain_timeout\":%u}",
             upto(max + 1), max, 1 + upto(20), 5 + upto(60), 1 + upto(10), 1 + upto(4),
             chance(30) ? 0 : 1 + upto(20), upto(30), 2 + upto(20), 2 + upto(40),
             chance(50) ? 0 : 10 + upto(200), 1 + upto(5), upto(30));
    world_new(extra, top);
    TRACE("%s%s", extra, top);
    w.watch = &watch;
    w.refuse = chance(10);
    proxy_start(w.proxy);
    if (chance(80))
        turn();
}

/* Everybody does what is expected, until nobody waits for anything. */
static void obey(usec_t span)
{
    for (usec_t end = w.env.now + span; w.env.now < end;) {
        for (struct fake *f = w.fakes; f; f = f->next) {
            if (f->stuck_from && talks(f)) {
                f->pending = 0;
                server_unstick(f);
                f->ev->on_drain(f->arg);
            }
            while (talks(f) && model_of(f)->job_n)
                server_answers(f, 0);
        }
        turn();
        for (unsigned i = 0; i < PLAYERS; i++)
            if (playing(&k.players[i]))
                client_answers(&k.players[i], true);
        end_failed_sessions();
        check_structure();
        pass(USEC_PER_SEC / 2);
    }
}

static void check_subscriptions(void)
{
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct player *p = &k.players[i];
        p->main.broken = p->post.broken = false;
        memset(p->updates, 0, sizeof(p->updates));
        if (playing(p) && !session_push_channel(p->main.session))
            client_moves_push(p);
        if (playing(p) && !session_push_channel(p->main.session))
            client_moves_push(p);
        memset(p->updates, 0, sizeof(p->updates));
    }
    for (struct fake *f = w.fakes; f; f = f->next) {
        for (int u = 0; talks(f) && u < URIS; u++) {
            unsigned before = k.updated;
            if (!model_of(f)->subscribed[u])
                continue;
            speak(f,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\","
                  "\"params\":{\"uri\":\"%s\"}}",
                  uri_of(u));
            CHECK(k.updated > before, "server %u is subscribed to %s for nobody", f->slot,
                  uri_of(u));
        }
    }
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct player *p = &k.players[i];
        for (int u = 0; u < URIS && playing(p); u++)
            CHECK(p->wants[u] == SUB_MAYBE || p->updates[u] == (p->wants[u] == SUB_YES),
                  "client %u: %u updates of %s", p->index, p->updates[u], uri_of(u));
    }
}

/* I9: once the faults stop, everything works again. */
static void heal(void)
{
    TRACE("healing");
    w.refuse = w.fatal = w.mute = false;
    w.start_delay = w.close_delay = 0;
    k.step++;
    obey(150 * USEC_PER_SEC);
    for (unsigned i = 1; i <= k.req_n; i++)
        CHECK(!k.reqs[i].open, "request %u (%s) is still open", i, k.reqs[i].method);
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct player *p = &k.players[i];
        if (playing(p) && session_is_initialized(p->main.session))
            client_asks(p, "tools/list");
        const struct req *r = &k.reqs[k.req_n];
        bool asked = playing(p) && r->by == p && r->open;
        obey(2 * USEC_PER_SEC);
        CHECK(!asked || r->server_answered, "request %u was not answered by a server", k.req_n);
    }
    check_subscriptions();
}

static void end(void)
{
    proxy_stop(w.proxy, world_stopped, NULL);
    k.stopping = true;
    turn();
    for (unsigned n = upto(20); n > 0 && !w.stopped; n--)
        step();
    if (!w.stopped && chance(50)) {
        proxy_stop(w.proxy, world_stopped, NULL);
        turn();
    }
    pass(60 * USEC_PER_SEC);
    CHECK(w.stopped, "still there");
    for (unsigned i = 0; i < PLAYERS; i++)
        if (k.players[i].playing)
            player_leave(&k.players[i]);
    for (unsigned i = 1; i <= k.req_n; i++)
        CHECK(!k.reqs[i].open, "request %u (%s) got nothing", i, k.reqs[i].method);
    world_end();
    TRACE("%u requests, %u answered, %u questions put, %u log messages, %u updates, %u moved",
          k.req_n, k.answered, k.asked, k.logged, k.updated, k.moved);
}

START_TEST(walk)
{
    begin(_i);
    for (unsigned i = 0; i < STEPS; i++)
        step();
    if (chance(60))
        heal();
    end();
}
END_TEST

static int number_of(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? (int)strtol(text, NULL, 10) : otherwise;
}

int main(void)
{
    int first = number_of("SEED", 0), n = getenv("SEED") ? 1 : number_of("WALK_SEEDS", 300);
    Suite *s = suite_create("proxy/walk");
    TCase *t = tcase_create("walk");
    tcase_add_loop_test(t, walk, first, first + n);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
