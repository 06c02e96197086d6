/* The model of the random walk: who asked for what, who carried it out, who was asked, and what
 * must hold after every step. The model knows nothing of how the core works; only check_structure
 * looks inside, at counters and lists that must agree. */
#ifndef TESTS_UNIT_PROXY_WALK_H
#define TESTS_UNIT_PROXY_WALK_H

#include "world.h"

#include "proxy/internal.h"

#include <limits.h>

#define PLAYERS   5
#define URIS      4
#define URI_NEVER 3 /* every server refuses a subscription to this one */
#define REQS_MAX  2048
#define ASKS_MAX  1024
#define JOBS_MAX  512

struct player;

/* A request of a client. Its number stands in its params and in what a server answers to it. */
struct req {
    struct player *by;
    unsigned life; /* of `by` */
    char id[24];
    const char *method;
    int uri; /* of subscribe and unsubscribe; -1 */
    bool interactive, token;
    bool anonymous; /* its number does not stand in it */
    bool open;      /* neither answered nor ended in silence */
    bool cancelled; /* the client took it back */
    bool cancel_seen;
    bool said_no; /* was answered with delivered "no" */
    bool server_answered;
    unsigned sent, executed;
    struct fake *at; /* the server that has it */
    usec_t ended_at;
    double progress;
};

/* A request of a server. */
struct quest {
    struct fake *at; /* NULL once that server is gone */
    unsigned of;     /* the request it is asked for; 0: none */
    struct player *to;
    unsigned life;
    uint64_t client_id;
    unsigned delivered, answered;
    bool withdrawn, replied;
};

struct player {
    struct client main, post; /* the session's own channel, and that of some requests */
    unsigned index, life, next_id;
    const char *principal, *caps;
    bool playing;
    enum { SUB_NO, SUB_MAYBE, SUB_YES } wants[URIS];
    unsigned last_sub[URIS]; /* the latest request about it */
    unsigned updates[URIS];
    uint64_t vendor_asks[16]; /* ids of the latest */
    unsigned vendor_ask_n;
    bool flushing;
};

/* What a server knows. */
struct job {
    uint64_t id;
    unsigned nonce; /* 0: mcpool's own */
    const char *method;
    bool refuse;
};
struct server_model {
    struct job jobs[JOBS_MAX];
    unsigned job_n;
    uint64_t last_id;
    bool subscribed[URIS];
    char *unread[JOBS_MAX];
    unsigned unread_n;
};

static struct walk {
    int seed;
    unsigned step;
    uint64_t random;
    bool trace;
    struct player players[PLAYERS];
    struct req reqs[REQS_MAX];
    unsigned req_n; /* reqs[0] is not used */
    struct quest quests[ASKS_MAX];
    unsigned quest_n;
    struct fake *speaking;
    const char *duplicate; /* the id of a request that is just being sent a second time */
    bool stopping;
    unsigned answered, asked, logged, updated, moved; /* that something happens at all */
} k;

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            char why_[600];                                                                        \
            snprintf(why_, sizeof(why_), __VA_ARGS__);                                             \
            ck_abort_msg("SEED=%d step %u: %s: %s", k.seed, k.step, #cond, why_);                  \
        }                                                                                          \
    } while (0)
#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (k.trace) {                                                                             \
            fprintf(stderr, "%u %.3f ", k.step, (double)w.env.now / USEC_PER_SEC - 1000);          \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

static uint64_t dice(void)
{
    uint64_t x = k.random;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    k.random = x;
    return x * 2685821657736338717u >> 16;
}

static unsigned upto(unsigned n)
{
    return (unsigned)(dice() % n);
}

static bool chance(unsigned percent)
{
    return upto(100) < percent;
}

static const char *uri_of(int i)
{
    static const char *const uris[URIS] = {"f:///a", "f:///b/", "g:c", "f:///never"};
    return uris[i];
}

static int uri_index(struct slice raw)
{
    for (int i = 0; i < URIS; i++)
        if (json_string_is(raw, uri_of(i)))
            return i;
    return -1;
}

static struct conn *conn_of(const struct fake *f)
{
    return f->arg;
}

static struct server_model *model_of(struct fake *f)
{
    if (!f->model)
        f->model = xcalloc(1, sizeof(struct server_model));
    return f->model;
}

static bool talks(const struct fake *f)
{
    return f->opened && !f->closed && !f->down && conn_of(f)->state == CONN_READY;
}

static unsigned number_at(struct slice obj, const char *key)
{
    uint64_t v;
    return json_u64(json_get(obj, key), &v) ? (unsigned)v : 0;
}

static bool playing(const struct player *p)
{
    return p->playing && !p->main.ended;
}

/* ---- what servers get ---- */

/* Without side effects: may run once more when its server died over it. */
static bool is_read(enum mcp_method m)
{
    return m == MCP_TOOLS_LIST || m == MCP_PROMPTS_LIST || m == MCP_PROMPTS_GET ||
           m == MCP_RESOURCES_LIST || m == MCP_RESOURCES_TEMPLATES_LIST ||
           m == MCP_RESOURCES_READ || m == MCP_COMPLETION_COMPLETE || m == MCP_TASKS_GET ||
           m == MCP_TASKS_LIST;
}

static void server_reads_request(struct fake *f, struct slice text, const struct rpc_msg *m)
{
    struct server_model *s = model_of(f);
    unsigned nonce = m->params.n ? number_at(rpc_span(text, m->params), "nonce") : 0;
    int uri = m->uri.n ? uri_index(rpc_span(text, m->uri)) : -1;
    uint64_t id;
    CHECK(json_u64(rpc_span(text, m->id), &id), "%.*s", (int)text.n, text.p);
    CHECK(id > s->last_id, "id %llu after %llu", (unsigned long long)id,
          (unsigned long long)s->last_id);
    CHECK(s->job_n < JOBS_MAX, "too many jobs");
    s->last_id = id;
    struct job *j = &s->jobs[s->job_n++];
    *j = (struct job){.id = id, .nonce = nonce, .method = mcp_method_name(m->method)};
    if (m->method == MCP_RESOURCES_SUBSCRIBE) {
        j->refuse = uri == URI_NEVER;
        s->subscribed[uri] |= uri != URI_NEVER;
    } else if (m->method == MCP_RESOURCES_UNSUBSCRIBE) {
        s->subscribed[uri] = false;
    }
    if (!nonce)
        return;
    CHECK(nonce <= k.req_n, "%u", nonce);
    struct req *r = &k.reqs[nonce];
    CHECK(++r->executed == 1 || (r->executed == 2 && is_read(m->method)), "request %u ran %u times",
          nonce, r->executed);
    CHECK(!r->said_no, "request %u ran although its client was told that it never would", nonce);
    r->at = f;
}

/* The number in an id or token that was made here: "q12", with its quotes. */
static bool tag_number(struct slice raw, char letter, unsigned *ret_n)
{
    uint64_t n;
    if (raw.n < 4 || raw.p[0] != '"' || raw.p[1] != letter || raw.p[raw.n - 1] != '"' ||
        !json_u64(slice_of(raw.p + 2, raw.n - 3), &n) || n > UINT_MAX)
        return false;
    *ret_n = (unsigned)n;
    return true;
}

static void server_reads_response(struct fake *f, struct slice text, const struct rpc_msg *m)
{
    unsigned n;
    struct slice id = rpc_span(text, m->id);
    if (!tag_number(id, 'q', &n))
        return;
    CHECK(n < k.quest_n, "an answer to a question that was never asked");
    struct quest *q = &k.quests[n];
    CHECK(q->at == f, "question %u answered at another server", n);
    CHECK(!q->withdrawn, "question %u answered after it was taken back", n);
    CHECK(++q->answered == 1, "question %u answered twice", n);
    struct slice result = m->result.n ? rpc_span(text, m->result) : slice_of(NULL, 0);
    unsigned by = number_at(result, "by"), life = number_at(result, "life");
    if (by == 0)
        return; /* mcpool's own words */
    CHECK(number_at(result, "quest") == n, "the answer to another question than %u", n);
    CHECK(q->to && q->to->index == by && q->life == life, "question %u answered by a stranger", n);
}

static void server_reads_notification(struct fake *f, struct slice text, const struct rpc_msg *m)
{
    struct server_model *s = model_of(f);
    uint64_t id;
    unsigned n;
    if (m->method == MCP_N_CANCELLED) {
        CHECK(json_u64(rpc_span(text, m->request_id), &id) && id <= s->last_id, "%.*s", (int)text.n,
              text.p);
        for (unsigned i = 0; i < s->job_n; i++)
            if (s->jobs[i].id == id && s->jobs[i].nonce)
                k.reqs[s->jobs[i].nonce].cancel_seen = true;
    } else if (m->method == MCP_N_PROGRESS) {
        CHECK(tag_number(rpc_span(text, m->progress_token), 'q', &n), "%.*s", (int)text.n, text.p);
        CHECK(k.quests[n].at == f && !k.quests[n].answered, "progress about question %u", n);
    }
}

static void server_reads(struct fake *f, const char *line)
{
    struct slice text = slice_str(line);
    struct rpc_msg m;
    CHECK(rpc_parse(text, 128, &m, NULL) == RPC_OK, "%s", line);
    TRACE("  server %u.%u reads %.150s", f->slot, conn_of(f)->epoch, line);
    if (m.kind == RPC_REQUEST)
        server_reads_request(f, text, &m);
    else if (m.kind == RPC_NOTIFICATION)
        server_reads_notification(f, text, &m);
    else
        server_reads_response(f, text, &m);
}

/* Requests of one session and kind go out in the order in which they came. */
static void check_order(const struct req *r)
{
    for (const struct req *o = &k.reqs[1]; o < r && r->sent == 0; o++)
        CHECK(!o->open || o->sent || o->anonymous || o->uri >= 0 || o->by != r->by ||
                  o->interactive != r->interactive,
              "request %u passed request %u", (unsigned)(r - k.reqs), (unsigned)(o - k.reqs));
}

static void server_got(struct fake *f, uint64_t mark, const char *line)
{
    struct server_model *s = model_of(f);
    struct rpc_msg m;
    CHECK(rpc_parse(slice_str(line), 128, &m, NULL) == RPC_OK, "%s", line);
    CHECK(!f->closed && !f->down, "sent to a closed connection: %s", line);
    if (m.method == MCP_INITIALIZE || m.method == MCP_N_INITIALIZED) {
        s->last_id = 1;
        return;
    }
    unsigned nonce = m.kind == RPC_REQUEST && m.params.n
                         ? number_at(rpc_span(slice_str(line), m.params), "nonce")
                         : 0;
    if (nonce) {
        struct req *r = &k.reqs[nonce];
        const struct affinity *a = &r->by->main.session->affinity;
        CHECK(r->open && !r->cancelled, "request %u sent after its end", nonce);
        CHECK(a->pool == conn_of(f)->pool, "request %u sent to another kind of client's server",
              nonce);
        check_order(r);
        k.moved += r->sent++ > 0;
    }
    if (m.kind == RPC_NOTIFICATION && m.method == MCP_METHOD_OTHER) {
        unsigned by = number_at(rpc_span(slice_str(line), m.params), "by");
        CHECK(by && conn_of(f)->lessee == &k.players[by - 1].main.session->affinity, "%s", line);
    }
    if (f->stuck_from && mark >= f->stuck_from) {
        CHECK(s->unread_n < JOBS_MAX, "too much unread");
        s->unread[s->unread_n++] = xstrdup(line);
    } else {
        server_reads(f, line);
    }
}

/* It reads on. */
static void server_unstick(struct fake *f)
{
    struct server_model *s = model_of(f);
    f->stuck_from = 0;
    for (unsigned i = 0; i < s->unread_n; i++) {
        server_reads(f, s->unread[i]);
        free(s->unread[i]);
    }
    s->unread_n = 0;
}

/* What is queued when a connection is closed in good order may still be read. */
static void server_closing(struct fake *f, bool now)
{
    if (!now && !f->down && chance(70))
        server_unstick(f);
}

static void server_gone(struct fake *f)
{
    struct server_model *s = model_of(f);
    for (unsigned i = 0; i < s->unread_n; i++)
        free(s->unread[i]);
    free(s);
    for (unsigned i = 0; i < k.quest_n; i++)
        if (k.quests[i].at == f)
            k.quests[i].at = NULL;
    for (unsigned i = 1; i <= k.req_n; i++)
        if (k.reqs[i].at == f)
            k.reqs[i].at = NULL;
}

/* ---- what clients get ---- */

static struct player *player_of(struct client *c)
{
    for (unsigned i = 0; i < PLAYERS; i++)
        if (c == &k.players[i].main || c == &k.players[i].post)
            return &k.players[i];
    abort();
}

static struct req *open_req(const struct player *p, struct slice id)
{
    for (unsigned i = k.req_n; i > 0; i--) {
        struct req *r = &k.reqs[i];
        if (r->open && r->by == p && r->life == p->life && slice_is(id, r->id))
            return r;
    }
    return NULL;
}

static void terminal(struct req *r)
{
    r->open = false;
    r->ended_at = w.env.now;
}

/* Whether p may hear of what happens at server f beyond its own requests. */
static bool has_business(const struct player *p, const struct fake *f)
{
    if (conn_of(f)->lessee)
        return conn_of(f)->lessee == &p->main.session->affinity;
    const struct call *c;
    LIST_FOREACH (c, &p->main.session->calls, link)
        if (c->ticket.state == TICKET_RUNNING && c->ticket.conn == conn_of(f))
            return true;
    return false;
}

static bool is_of(const struct player *p, unsigned nonce)
{
    return k.reqs[nonce].by == p && k.reqs[nonce].life == p->life;
}

static void client_got_answer(struct player *p, struct slice text, const struct rpc_msg *m)
{
    struct slice id = rpc_span(text, m->id);
    if (k.duplicate && slice_is(id, k.duplicate)) {
        CHECK(strstr(text.p, "in progress") || strstr(text.p, "shutting_down"), "%.*s", (int)text.n,
              text.p);
        k.duplicate = NULL;
        return;
    }
    struct req *r = open_req(p, id);
    CHECK(r, "an answer that nobody waits for: %.*s", (int)text.n, text.p);
    unsigned nonce = (unsigned)(r - k.reqs);
    CHECK(!r->cancelled, "request %u answered after its cancellation", nonce);
    terminal(r);
    if (m->kind == RPC_RESULT) {
        struct slice result = rpc_span(text, m->result);
        unsigned got = number_at(result, "nonce");
        k.answered += got != 0;
        CHECK(got == 0 || got == nonce, "request %u got the answer of %u", nonce, got);
        CHECK(got == 0 || r->executed >= 1, "an answer out of thin air");
        struct slice method = json_get(result, "method");
        CHECK(method.n == 0 || json_string_is(method, r->method) || json_string_is(method, "?"),
              "the answer to another request");
        if (r->uri >= 0 && p->last_sub[r->uri] == nonce)
            p->wants[r->uri] =
                slice_is(slice_str(r->method), "resources/subscribe") ? SUB_YES : SUB_NO;
        return;
    }
    struct slice data = rpc_span(text, m->error_data);
    if (m->error_data.n && json_string_is(json_get(data, "delivered"), "no")) {
        CHECK(r->executed == 0, "request %u was delivered", nonce);
        r->said_no = true;
    }
}

static void client_got_request(struct player *p, enum delivery kind, struct slice text,
                               const struct rpc_msg *m, bool taken)
{
    uint64_t id;
    unsigned n = number_at(rpc_span(text, m->params), "quest");
    CHECK(kind == DELIVER_ASK && k.speaking, "%.*s", (int)text.n, text.p);
    CHECK(json_u64(rpc_span(text, m->id), &id), "%.*s", (int)text.n, text.p);
    if (m->method == MCP_METHOD_OTHER) {
        CHECK(has_business(p, k.speaking), "%.*s", (int)text.n, text.p);
        p->vendor_asks[p->vendor_ask_n++ % ARRAY_LEN(p->vendor_asks)] = id;
        return;
    }
    CHECK(n < k.quest_n, "%u", n);
    struct quest *q = &k.quests[n];
    CHECK(q->at == k.speaking, "question %u", n);
    CHECK(q->of == 0 || is_of(p, q->of), "question %u for request %u of client %u put to %u", n,
          q->of, k.reqs[q->of].by->index, p->index);
    CHECK(q->of != 0 || has_business(p, q->at), "question %u put to %u", n, p->index);
    if (!taken)
        return;
    CHECK(++q->delivered == 1, "question %u delivered twice", n);
    k.asked++;
    q->to = p;
    q->life = p->life;
    q->client_id = id;
}

static void client_got_cancel(struct player *p, struct slice text, const struct rpc_msg *m)
{
    uint64_t id;
    CHECK(json_u64(rpc_span(text, m->request_id), &id), "%.*s", (int)text.n, text.p);
    for (unsigned i = 0; i < k.quest_n; i++)
        if (k.quests[i].to == p && k.quests[i].life == p->life && k.quests[i].client_id == id)
            return;
    for (unsigned i = 0; i < ARRAY_LEN(p->vendor_asks); i++)
        if (p->vendor_asks[i] == id)
            return;
    CHECK(false, "cancel of what was never asked: %.*s", (int)text.n, text.p);
}

static void client_got_progress(struct player *p, struct slice text, const struct rpc_msg *m)
{
    unsigned n;
    double value;
    CHECK(tag_number(rpc_span(text, m->progress_token), 't', &n), "%.*s", (int)text.n, text.p);
    struct req *r = &k.reqs[n];
    CHECK(is_of(p, n) && r->open && !r->cancelled && r->token, "progress of request %u", n);
    CHECK(json_double(rpc_span(text, m->progress), &value) && value > r->progress, "%.*s",
          (int)text.n, text.p);
    r->progress = value;
}

static void client_got_notification(struct player *p, enum delivery kind, struct slice text,
                                    const struct rpc_msg *m, bool taken)
{
    struct slice params = m->params.n ? rpc_span(text, m->params) : slice_of(NULL, 0);
    unsigned n = number_at(json_get(params, "data"), "of");
    int uri = m->uri.n ? uri_index(rpc_span(text, m->uri)) : -1;
    CHECK(kind == DELIVER_NOTIFICATION || kind == DELIVER_DROPPABLE, "%.*s", (int)text.n, text.p);
    if (k.speaking)
        CHECK(conn_of(k.speaking)->pool == p->main.session->affinity.pool, "%.*s", (int)text.n,
              text.p);
    switch ((int)m->method) {
    case MCP_N_CANCELLED:
        client_got_cancel(p, text, m);
        return;
    case MCP_N_PROGRESS:
        client_got_progress(p, text, m);
        return;
    case MCP_N_MESSAGE:
        CHECK(k.speaking, "a log message out of nowhere");
        CHECK(n ? is_of(p, n) : has_business(p, k.speaking), "%.*s", (int)text.n, text.p);
        k.logged++;
        return;
    case MCP_N_RESOURCES_UPDATED:
        CHECK(p->flushing || p->wants[uri] != SUB_NO, "%.*s", (int)text.n, text.p);
        p->updates[uri] += taken;
        k.updated++;
        return;
    case MCP_N_ELICITATION_COMPLETE:
        CHECK(tag_number(rpc_span(text, m->elicitation_id), 'e', &n), "%.*s", (int)text.n, text.p);
        CHECK(k.quests[n].to == p && k.quests[n].life == p->life, "%.*s", (int)text.n, text.p);
        return;
    case MCP_N_TOOLS_LIST_CHANGED:
    case MCP_N_PROMPTS_LIST_CHANGED:
    case MCP_N_RESOURCES_LIST_CHANGED:
        return;
    default:
        CHECK(p->flushing || (k.speaking && has_business(p, k.speaking)), "%.*s", (int)text.n,
              text.p);
        return;
    }
}

static void client_got(struct client *c, struct call *call, enum delivery kind, const char *line,
                       bool taken)
{
    struct player *p = player_of(c);
    struct slice text = slice_str(line);
    struct rpc_msg m;
    (void)call;
    TRACE("  client %u.%u %s %.150s", p->index, p->life, taken ? "gets" : "cannot get", line);
    CHECK(rpc_parse(text, 128, &m, NULL) == RPC_OK, "%s", line);
    CHECK(!p->main.ended, "after the session's end: %s", line);
    CHECK((kind == DELIVER_ANSWER) == (m.kind == RPC_RESULT || m.kind == RPC_ERROR), "%s", line);
    if (m.kind == RPC_RESULT || m.kind == RPC_ERROR)
        client_got_answer(p, text, &m);
    else if (m.kind == RPC_REQUEST)
        client_got_request(p, kind, text, &m, taken);
    else
        client_got_notification(p, kind, text, &m, taken);
}

static void client_silent(struct client *c, struct call *call)
{
    struct player *p = player_of(c);
    struct slice id = call_client_id(call);
    struct req *r = open_req(p, id);
    CHECK(r, "a silent end of nothing: %.*s", (int)id.n, id.p);
    TRACE("  client %u.%u silent end of %s", p->index, p->life, r->id);
    terminal(r);
}

static const struct watch watch = {
    .server_got = server_got,
    .server_closing = server_closing,
    .server_gone = server_gone,
    .client_got = client_got,
    .client_silent = client_silent,
};

/* ---- what must hold between steps ---- */

static void check_calls_of_conn(const struct conn *c)
{
    const struct mux *m = mux_of(c);
    unsigned running = 0, interactive = 0, linked = 0;
    struct session *s, *next;
    HASH_ITER (hh, w.proxy->sessions, s, next) {
        struct call *call;
        LIST_FOREACH (call, &s->calls, link) {
            if (call->ticket.state != TICKET_RUNNING || call->ticket.conn != c)
                continue;
            running++;
            interactive += call->ticket.interactive;
            linked += call->up.id != 0;
            CHECK((call->up.id != 0) + (call->sub != NULL) + (call->leader != NULL) == 1,
                  "a call in limbo");
            CHECK(!call->leader || (call->leader->up.id && call->leader->up.conn == c),
                  "a call that follows nobody");
            CHECK(!c->lessee || c->lessee == &s->affinity, "a stranger on a leased connection");
            CHECK(call->up.id == 0 || call->up.conn == c, "a call on two connections");
            CHECK(timer_armed(&call->deadline), "a call without a deadline");
        }
    }
    CHECK(c->running == running, "slot %u: %u counted, %u running", c->slot, c->running, running);
    CHECK(c->interactive == interactive, "slot %u", c->slot);
    size_t pos = 0, n = 0, calls = 0;
    for (const struct uplink *u; (u = mux_next(m, &pos)) != NULL; n++) {
        CHECK(u->conn == c && u->id, "a stray uplink");
        calls += u->on_answer == call_on_answer;
    }
    CHECK(n == m->count && calls == linked, "slot %u: mux", c->slot);
    if (c->state != CONN_READY)
        CHECK(running == 0 && n == 0 && LIST_EMPTY(&m->asks), "slot %u is %s with work", c->slot,
              conn_state_name(c->state));
    const struct ask *a;
    LIST_FOREACH (a, &m->asks, conn_link)
        CHECK(a->conn == c && timer_armed(&a->deadline), "a stray ask");
}

static bool session_lives(const struct affinity *a)
{
    struct session *s, *next;
    HASH_ITER (hh, w.proxy->sessions, s, next)
        if (&s->affinity == a)
            return true;
    return false;
}

static void check_slot(const struct conn *c)
{
    const struct config_resilience *r = &c->pool->server->sc->resilience;
    bool down = c->state == CONN_IDLE || c->state == CONN_WAITING;
    bool timed = c->state == CONN_CONNECTING || c->state == CONN_HANDSHAKE;
    CHECK((c->transport == NULL) == down, "slot %u is %s", c->slot, conn_state_name(c->state));
    CHECK(c->state == CONN_READY || timer_armed(&c->timer) == (timed || c->state == CONN_WAITING),
          "slot %u is %s", c->slot, conn_state_name(c->state));
    CHECK((c->state == CONN_READY) <= (c->card != NULL), "slot %u has no card", c->slot);
    if (c->state == CONN_WAITING)
        CHECK(c->retry_at <= w.env.now + r->max_backoff_delay + r->recovery_jitter_max,
              "slot %u waits too long", c->slot);
    CHECK(!c->lessee || session_lives(c->lessee), "slot %u is leased to the dead", c->slot);
    if (c->pool->server->sc->options.sharing == CONFIG_SHARING_EXCLUSIVE)
        CHECK((c->lessee != NULL) == (c->running > 0), "slot %u: lease", c->slot);
    const struct affinity *a;
    LIST_FOREACH (a, &c->homed, home_link)
        CHECK(a->home == c && session_lives(a), "slot %u: homes", c->slot);
    check_calls_of_conn(c);
}

/* Resilience, section 3: what the pool is to keep is there, on its way, or about to be tried. */
static void check_pool(struct pool *p)
{
    unsigned kept = 0, waiting = 0, affinities = 0, levels[MCP_LOG_UNSET] = {0};
    const struct pool_state *st = p->user;
    for (unsigned i = 0; i < p->slot_count; i++) {
        check_slot(&p->slots[i]);
        kept += p->slots[i].state != CONN_IDLE;
    }
    struct session *s, *next;
    HASH_ITER (hh, w.proxy->sessions, s, next) {
        if (s->affinity.pool != p)
            continue;
        affinities++;
        if (s->level != MCP_LOG_UNSET)
            levels[s->level]++;
        struct call *c;
        LIST_FOREACH (c, &s->calls, link) {
            waiting += c->ticket.state == TICKET_WAITING;
            CHECK(c->ticket.state != TICKET_IDLE, "a call that nobody will ever end");
            CHECK((c->ticket.state == TICKET_WAITING) == timer_armed(&c->ticket.patience),
                  "patience");
        }
    }
    CHECK(p->waiting == waiting, "%u in line, %u counted", waiting, p->waiting);
    for (unsigned i = 0; affinities == 0 && i < p->slot_count; i++)
        CHECK(p->slots[i].keepers == 0, "subscriptions of nobody");
    CHECK(p->affinities == affinities, "%u sessions, %u counted", affinities, p->affinities);
    CHECK(memcmp(levels, st->level_count, sizeof(levels)) == 0, "log levels");
    if (!p->stopping && (p->pinned || p->affinities))
        CHECK(kept >= p->server->sc->resilience.min_connections, "only %u connections are kept",
              kept);
}

/* Whether a request of session a, interactive or not, should be running on c by the rules. */
static bool has_room(const struct pool *p, const struct conn *c, const struct affinity *a,
                     bool interactive)
{
    if (p->server->breaker.state != BREAKER_CLOSED ||
        (p->server->breaker.closed_at &&
         w.env.now < p->server->breaker.closed_at + 10 * USEC_PER_SEC))
        return false; /* the breaker, or its ramp */
    if (c->state != CONN_READY || c->draining || c->suspect || conn_pending(c) ||
        c->running >= p->server->sc->limits.max_in_flight_per_connection)
        return false;
    switch (p->server->sc->options.sharing) {
    case CONFIG_SHARING_SHARED:
        return !p->server_asks || !interactive ||
               (c->interactive == 0 && c->ghosts_until <= w.env.now);
    case CONFIG_SHARING_EXCLUSIVE:
        return !c->lessee || c->lessee == a;
    case CONFIG_SHARING_SESSION:
        return c->lessee == a || (!a->home && !c->lessee && !c->used);
    }
    return false;
}

/* Nobody waits beside a connection that could serve him. */
static void check_nobody_waits_in_vain(const struct pool *p)
{
    const struct affinity *a;
    const struct ticket *t;
    TAILQ_FOREACH (a, &p->turns, turn) {
        if (a->home && (a->home->state == CONN_CONNECTING || a->home->state == CONN_HANDSHAKE))
            continue; /* worth the wait */
        TAILQ_FOREACH (t, &a->waiting, link)
            for (unsigned i = 0; i < p->slot_count; i++)
                CHECK(!has_room(p, &p->slots[i], a, t->interactive), "slot %u has room",
                      p->slots[i].slot);
    }
}

static void check_structure(void)
{
    for (struct pool *p = route_at(w.proxy, 0)->server->pools; p; p = p->next) {
        check_pool(p);
        check_nobody_waits_in_vain(p);
    }
    struct session *s, *next;
    unsigned principals = 0;
    HASH_ITER (hh, w.proxy->sessions, s, next) {
        unsigned calls = 0, asks = 0;
        struct call *c;
        const struct ask *a;
        LIST_FOREACH (c, &s->calls, link) {
            calls++;
            asks += c->asks;
        }
        CHECK(calls == s->in_flight, "in_flight");
        LIST_FOREACH (a, &s->asks, session_link)
            asks -= a->call != NULL;
        CHECK(asks == 0, "asks");
    }
    for (const struct principal *pr = w.proxy->principals; pr; pr = pr->hh.next) {
        unsigned calls = 0, sessions = 0;
        HASH_ITER (hh, w.proxy->sessions, s, next)
            if (s->principal == pr) {
                sessions++;
                calls += s->in_flight;
            }
        CHECK(calls == pr->in_flight && sessions == pr->sessions, "principal %s", pr->name);
        principals++;
    }
    CHECK(principals == HASH_COUNT(w.proxy->principals), "principals");
    for (unsigned i = 1; i <= k.req_n; i++) {
        const struct req *r = &k.reqs[i];
        CHECK(!r->open || !r->cancel_seen, "request %u cancelled upstream and still open", i);
        CHECK(!r->open || (r->life == r->by->life && playing(r->by)), "request %u outlives", i);
    }
}

#endif
