/* What clients do: come, ask, take back, answer, move their streams, misbehave, leave. */
#include "sim.h"

#include <errno.h>

bool playing(const struct player *p)
{
    return p->playing && !p->ended;
}

/* ---- the channel ---- */

static int channel_send(struct channel *ch, struct call *call, enum delivery kind,
                        const struct payload *text, const struct rpc_edits *edits)
{
    struct client *c = container_of(ch, struct client, channel);
    struct buf b = BUF_INIT;
    int r = c->broken ? -EPIPE : c->json_only && kind != DELIVER_ANSWER ? -ENOTSUP : 0;
    (void)call;
    if (edits)
        rpc_edit_append(&b, text->text, edits);
    else
        buf_append_slice(&b, text->text);
    buf_append(&b, "", 1);
    char *line = buf_take(&b, &(size_t){0});
    client_hears(c, kind, line, r == 0);
    free(line);
    return r;
}

static void channel_silent_end(struct channel *ch, struct call *call)
{
    client_hears_nothing(container_of(ch, struct client, channel), call);
}

static bool channel_can_ask(const struct channel *ch)
{
    const struct client *c = container_of((struct channel *)ch, struct client, channel);
    return !c->deaf && !c->json_only;
}

static void channel_free(struct channel *ch)
{
    (void)ch; /* part of its player, who holds a reference of its own */
    violation(STRUCTURE, "a channel lost more references than it had");
}

const struct channel_ops client_ops = {
    .send = channel_send,
    .silent_end = channel_silent_end,
    .can_ask = channel_can_ask,
    .free = channel_free,
};

static void on_session_end(void *data)
{
    struct player *p = data;
    CHECK(I1_ONE_END, !p->ended, "a session ended twice");
    p->ended = true;
}

static const struct session_ops session_ops = {.on_end = on_session_end};

/* ---- talking ---- */

static void says(struct player *p, struct client *channel, const char *text)
{
    struct rpc_msg m;
    CHECK(STRUCTURE, rpc_parse(slice_str(text), 128, &m, NULL) == RPC_OK, "the world lies: %s",
          text);
    event("client", p->index, p->life, "says", slice_str(text));
    /* A copy that goes away, so that nobody may keep pointers into it. */
    char *copy = xstrdup(text);
    struct payload payload = {.text = slice_str(copy)};
    session_submit(p->session, channel ? &channel->channel : NULL, &payload, &m);
    memset(copy, 'x', strlen(text));
    free(copy);
    turn();
}

void player_leaves(struct player *p)
{
    event("client", p->index, p->life, "leaves", slice_of("", 0));
    if (!p->ended)
        session_end(p->session);
    turn();
    CHECK(I1_ONE_END, p->ended, "session_end ended nothing");
    CHECK(I10_BASELINE, p->main.channel.refs == 1 && p->post.channel.refs == 1,
          "channels of a client that left are held");
    p->playing = false;
}

void player_joins(struct player *p)
{
    static const char *const principals[] = {"anonymous", "anonymous", "uid:1", "uid:2"};
    static const char *const caps[] = {"{\"sampling\":{},\"elicitation\":{\"form\":{},\"url\":{}}}",
                                       "{\"sampling\":{},\"elicitation\":{\"form\":{},\"url\":{}}}",
                                       "{}", "{\"roots\":{},\"sampling\":{}}"};
    static const char *const versions[] = {"2024-11-05", "2025-03-26", "2025-11-25", "2026-07-28"};
    struct client blank = {.of = p, .channel = {.ops = &client_ops, .refs = 1}};
    char text[512];
    p->life++;
    p->ended = false;
    p->main = p->post = blank;
    p->post.json_only = chance(50);
    p->at = &sim.backends[upto(sim.backend_n)];
    memset(p->wants, 0, sizeof(p->wants));
    memset(p->seen, 0, sizeof(p->seen));
    p->level = -1;
    memset(p->promised, 0, sizeof(p->promised));
    memset(p->vendor_asks, 0, sizeof(p->vendor_asks));
    const char *principal = principals[upto(ARRAY_LEN(principals))];
    int e =
        session_new(sim.proxy, p->at->route, principal, SESSION_LINE, &session_ops, p, &p->session);
    CHECK(STRUCTURE, e == (sim.stopping ? -ESHUTDOWN : 0), "session_new: %d", e);
    if (e < 0)
        return;
    p->playing = true;
    if (chance(80))
        session_set_push(p->session, &p->main.channel);
    if (!sim.calm && chance(10)) {
        struck(FAULT_client_silent);
        return; /* and says nothing more */
    }
    struct req *r = req_new(p, MCP_INITIALIZE);
    r->anonymous = r->own = true;
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"initialize\",\"params\":{"
             "\"protocolVersion\":\"%s\",\"capabilities\":%s,\"clientInfo\":{\"name\":\"s\","
             "\"version\":\"1\"}}}",
             r->id, versions[upto(ARRAY_LEN(versions))], caps[upto(ARRAY_LEN(caps))]);
    says(p, &p->main, text);
}

static void write_extra(struct player *p, struct req *r, char *out, size_t cap)
{
    static const char *const tools[] = {"rw", "ro", "idem"};
    int n = 0;
    if (r->uri >= 0) {
        bool ends = r->method == MCP_RESOURCES_UNSUBSCRIBE && p->wants[r->uri] == SUB_NO;
        n = snprintf(out, cap, ",\"uri\":\"%s\"", uri_of(r->uri));
        if (!ends)
            p->wants[r->uri] = SUB_MAYBE;
        p->last_sub[r->uri] = req_nonce(r);
    } else if (r->method == MCP_LOGGING_SET_LEVEL) {
        n = snprintf(out, cap, ",\"level\":\"%s\"",
                     mcp_log_level_name((unsigned)(r->level = (int)upto(8))));
    } else if (r->method == MCP_TOOLS_CALL) {
        n = snprintf(out, cap, ",\"name\":\"%s\"", tools[r->tool = upto(ARRAY_LEN(tools))]);
    }
    if (r->token)
        snprintf(out + n, cap - (size_t)n, ",\"_meta\":{\"progressToken\":\"t%u\"}", req_nonce(r));
}

void client_asks(struct player *p, enum mcp_method method)
{
    static char big[70000], text[80000];
    struct req *r = req_new(p, method);
    struct client *channel = chance(70) ? &p->main : &p->post;
    char extra[128] = "";
    r->own = method == MCP_PING || method == MCP_LOGGING_SET_LEVEL || method == MCP_INITIALIZE ||
             method == MCP_SERVER_DISCOVER || method == MCP_TASKS_GET;
    if (method == MCP_RESOURCES_SUBSCRIBE || method == MCP_RESOURCES_UNSUBSCRIBE)
        r->uri = (int)upto(URIS);
    r->token = chance(40);
    write_extra(p, r, extra, sizeof(extra));
    size_t fill = chance(3) ? 66000 : 0;
    memset(big, 'z', fill);
    big[fill] = '\0';
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",%s\"method\":\"%s\",\"params\":{\"nonce\":%u%s,\"fill\":\"%s\"},"
             "\"id\":%s}",
             chance(10) ? "\n" : "",
             method == MCP_METHOD_OTHER ? "vendor/x" : mcp_method_name(method), req_nonce(r), extra,
             big, r->id);
    says(p, channel, text);
    if (r->open && chance(5)) {
        struck(FAULT_id_reused);
        sim.duplicate = r->id;
        p->at->requests++;
        says(p, channel, text);
        CHECK(I1_ONE_END, !sim.duplicate, "a duplicate was not refused");
    }
}

/* A list of which the server cannot tell who asks for it. */
static void asks_for_a_list(struct player *p)
{
    static const enum mcp_method methods[] = {MCP_TOOLS_LIST, MCP_PROMPTS_LIST, MCP_RESOURCES_LIST};
    char text[200];
    struct req *r = req_new(p, methods[upto(ARRAY_LEN(methods))]);
    r->anonymous = true;
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"%s\"%s}", r->id,
             mcp_method_name(r->method), chance(30) ? ",\"params\":{\"cursor\":\"x\"}" : "");
    says(p, chance(70) ? &p->main : &p->post, text);
}

static enum mcp_method some_method(void)
{
    static const enum mcp_method methods[] = {
        MCP_TOOLS_CALL,
        MCP_TOOLS_CALL,
        MCP_TOOLS_CALL,
        MCP_TOOLS_CALL,
        MCP_TOOLS_CALL,
        MCP_TOOLS_CALL,
        MCP_PROMPTS_GET,
        MCP_RESOURCES_READ,
        MCP_RESOURCES_READ,
        MCP_TOOLS_LIST,
        MCP_PING,
        MCP_COMPLETION_COMPLETE,
        MCP_RESOURCES_SUBSCRIBE,
        MCP_RESOURCES_SUBSCRIBE,
        MCP_RESOURCES_UNSUBSCRIBE,
        MCP_LOGGING_SET_LEVEL,
        MCP_METHOD_OTHER,
        MCP_TASKS_GET,
        MCP_SERVER_DISCOVER,
        MCP_INITIALIZE,
    };
    return methods[upto(ARRAY_LEN(methods))];
}

void client_cancels(struct player *p)
{
    char text[200];
    for (unsigned i = sim.req_n; i > 0 && i + 40 > sim.req_n; i--) {
        struct req *r = &sim.reqs[i];
        if (r->by != p || r->life != p->life || (r->open && chance(60)))
            continue;
        struck(FAULT_client_cancels);
        r->cancelled |= r->open && r->method != MCP_INITIALIZE;
        snprintf(text, sizeof(text),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                 "\"requestId\":%s,\"reason\":\"because\"}}",
                 r->id);
        says(p, NULL, text);
        CHECK(I5_NOTHING_AFTER, !r->cancelled || !r->open, "request %u lives on", i);
        return;
    }
}

/* Answers what it was asked, or what it was not, once or twice. */
void client_answers(struct player *p, bool rightly)
{
    char text[200];
    for (unsigned i = sim.quest_n; i-- > 0;) {
        struct quest *q = &sim.quests[i];
        if (rightly ? q->to != p || q->life != p->life || q->replied : !q->to || chance(80))
            continue;
        if (chance(20)) {
            snprintf(text, sizeof(text),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
                     "\"progressToken\":%llu,\"progress\":1}}",
                     (unsigned long long)q->client_id);
            says(p, NULL, text);
        }
        bool own = q->to == p && q->life == p->life;
        q->replied |= own;
        /* A stranger's answer names an id that may be one of its own questions: it lies then. */
        snprintf(text, sizeof(text),
                 own ? "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"by\":%u,\"life\":%u,"
                       "\"quest\":%u}}"
                     : "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
                 (unsigned long long)q->client_id, p->index, p->life, i);
        says(p, NULL, text);
        return;
    }
}

void client_moves_push(struct player *p)
{
    p->flushing = true;
    if (session_has_pending(p->session) && chance(50) && !p->post.json_only)
        session_flush_pending(p->session, &p->post.channel);
    else if (session_push_channel(p->session))
        session_set_push(p->session, NULL);
    else
        session_set_push(p->session, &p->main.channel);
    p->flushing = false;
    turn();
}

static void notifies(struct player *p)
{
    char text[128];
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/vendor\",\"params\":{\"by\":%u}}",
             p->index);
    says(p, NULL, text);
}

static void misbehaves(struct player *p)
{
    if (chance(50)) {
        struck(FAULT_client_broken);
        p->main.broken = chance(30);
        p->post.broken = chance(30);
    } else {
        struck(FAULT_client_deaf);
        p->main.deaf = !p->main.deaf;
    }
}

void client_step(void)
{
    struct player *p = &sim.players[upto(sim.player_n)];
    if (!playing(p)) {
        if (p->playing)
            player_leaves(p);
        if (chance(50))
            player_joins(p);
        return;
    }
    unsigned die = upto(100);
    if (die < 12) {
        asks_for_a_list(p);
    } else if (die < 62) {
        client_asks(p, some_method());
    } else if (die < 72) {
        client_cancels(p);
    } else if (die < 82) {
        client_answers(p, chance(80));
    } else if (die < 85) {
        struck(FAULT_client_leaves);
        player_leaves(p);
    } else if (die < 90) {
        client_moves_push(p);
    } else if (die < 94) {
        misbehaves(p);
    } else if (die < 97) {
        notifies(p);
    } else {
        session_touch(p->session);
    }
}

/* The front ends a session whose initialize failed. */
void clients_end_failed(void)
{
    for (unsigned i = 0; i < sim.player_n; i++) {
        struct player *p = &sim.players[i];
        if (playing(p) && !session_is_initialized(p->session) &&
            session_in_flight(p->session) == 0 && chance(80))
            player_leaves(p);
    }
}
