/* What clients are told, held against what they asked for and what servers said. */
#include "sim.h"

/* Whether p may hear of what happens at a process beyond its own requests. */
static bool has_business(const struct player *p, const struct proc *at)
{
    const struct affinity *a = &p->session->affinity;
    const struct call *c;
    if (at->conn->lessee)
        return at->conn->lessee == a;
    LIST_FOREACH (c, &p->session->calls, link)
        if (c->ticket.state == TICKET_RUNNING && c->ticket.conn == at->conn)
            return true;
    return false;
}

/* ---- answers ---- */

static int change_of(enum mcp_method method)
{
    switch ((int)method) {
    case MCP_TOOLS_LIST:
    case MCP_N_TOOLS_LIST_CHANGED:
        return CHANGE_TOOLS;
    case MCP_PROMPTS_LIST:
    case MCP_N_PROMPTS_LIST_CHANGED:
        return CHANGE_PROMPTS;
    case MCP_RESOURCES_LIST:
    case MCP_N_RESOURCES_LIST_CHANGED:
        return CHANGE_RESOURCES;
    default:
        return -1;
    }
}

/* Which lists it now holds, and of which changes it may expect to hear. */
static void learns(struct player *p, const struct req *r, struct slice result)
{
    static const char *const keys[CHANGE_COUNT] = {"tools", "prompts", "resources"};
    struct slice caps = json_get(result, "capabilities");
    int change = change_of(r->method);
    if (r->method == MCP_LOGGING_SET_LEVEL)
        p->level = r->level;
    if (change >= 0) {
        p->seen[change] = number_at(result, "version");
        p->told[change] = false;
    }
    for (int i = 0; r->method == MCP_INITIALIZE && i < CHANGE_COUNT; i++)
        p->promised[i] =
            json_type_of(json_get(json_get(caps, keys[i]), "listChanged")) == JSON_TRUE;
}

static void hears_result(struct player *p, struct req *r, struct slice result)
{
    unsigned nonce = req_nonce(r), got = number_at(result, "nonce"),
             server = number_at(result, "server");
    struct slice method = json_get(result, "method");
    sim.answered += got != 0;
    CHECK(I2_NOT_CROSSED, got == 0 || got == nonce, "request %u got the answer of %u", nonce, got);
    CHECK(I2_NOT_CROSSED, got == 0 || r->executed > 0, "request %u: an answer out of thin air",
          nonce);
    CHECK(I2_NOT_CROSSED, server == 0 || server == r->to->index + 1,
          "request %u to server %u answered by %u", nonce, r->to->index + 1, server);
    CHECK(I2_NOT_CROSSED, method.n == 0 || json_string_is(method, mcp_method_name(r->method)),
          "request %u (%s) got the answer to %.*s", nonce, mcp_method_name(r->method),
          (int)method.n, method.p);
    learns(p, r, result);
    if (r->uri >= 0 && p->last_sub[r->uri] == nonce)
        p->wants[r->uri] = r->method == MCP_RESOURCES_SUBSCRIBE ? SUB_YES : SUB_NO;
}

static void hears_answer(struct player *p, struct slice text, const struct rpc_msg *m)
{
    struct slice id = rpc_span(text, m->id);
    bool failed = m->kind == RPC_ERROR && m->error_data.n;
    enum metric_outcome how = m->kind == RPC_RESULT ? METRIC_OUTCOME_RESULT
                              : failed              ? METRIC_OUTCOME_FAILED
                                                    : METRIC_OUTCOME_ERROR;
    if (sim.duplicate && slice_is(id, sim.duplicate)) {
        CHECK(I1_ONE_END, strstr(text.p, "in progress") || strstr(text.p, "shutting_down"), "%.*s",
              (int)text.n, text.p);
        sim.duplicate = NULL;
        p->at->ends[how]++;
        return;
    }
    struct req *r = req_open(p, id);
    CHECK(I1_ONE_END, r, "an answer that nobody waits for: %.*s", (int)text.n, text.p);
    CHECK(I5_NOTHING_AFTER, !r->cancelled, "request %u answered after its cancellation",
          req_nonce(r));
    req_ends(r, how);
    if (m->kind == RPC_RESULT)
        hears_result(p, r, rpc_span(text, m->result));
    else
        req_is_refused(r, text, m);
}

/* ---- questions ---- */

static void hears_question(struct player *p, enum delivery kind, struct slice text,
                           const struct rpc_msg *m, bool taken)
{
    uint64_t id;
    unsigned n = number_at(rpc_span(text, m->params), "quest");
    CHECK(I2_NOT_CROSSED, kind == DELIVER_ASK && sim.speaking, "%.*s", (int)text.n, text.p);
    CHECK(STRUCTURE, json_u64(rpc_span(text, m->id), &id), "%.*s", (int)text.n, text.p);
    if (m->method == MCP_METHOD_OTHER) {
        CHECK(I2_NOT_CROSSED, has_business(p, sim.speaking), "%.*s", (int)text.n, text.p);
        p->vendor_asks[p->vendor_ask_n++ % ARRAY_LEN(p->vendor_asks)] = id;
        return;
    }
    CHECK(I2_NOT_CROSSED, n < sim.quest_n, "question %u", n);
    struct quest *q = &sim.quests[n];
    CHECK(I2_NOT_CROSSED, q->at == sim.speaking, "question %u", n);
    CHECK(I2_NOT_CROSSED, q->of == 0 || req_is_of(p, q->of),
          "question %u for request %u of client %u put to %u", n, q->of,
          q->of ? sim.reqs[q->of].by->index : 0, p->index);
    CHECK(I2_NOT_CROSSED, q->of != 0 || has_business(p, q->at), "question %u put to %u", n,
          p->index);
    if (!taken)
        return;
    CHECK(I1_ONE_END, ++q->delivered == 1, "question %u delivered twice", n);
    if (q->of)
        sim.reqs[q->of].asked = true;
    sim.asked++;
    q->to = p;
    q->life = p->life;
    q->client_id = id;
}

/* ---- notifications ---- */

static void hears_cancel(struct player *p, struct slice text, const struct rpc_msg *m)
{
    uint64_t id;
    CHECK(STRUCTURE, json_u64(rpc_span(text, m->request_id), &id), "%.*s", (int)text.n, text.p);
    for (unsigned i = 0; i < sim.quest_n; i++)
        if (sim.quests[i].to == p && sim.quests[i].life == p->life && sim.quests[i].client_id == id)
            return;
    for (unsigned i = 0; i < ARRAY_LEN(p->vendor_asks); i++)
        if (p->vendor_asks[i] == id)
            return;
    violation(I2_NOT_CROSSED, "cancel of what was never asked: %.*s", (int)text.n, text.p);
}

static void hears_progress(struct player *p, struct slice text, const struct rpc_msg *m)
{
    unsigned n;
    double value;
    CHECK(I2_NOT_CROSSED, tag_number(rpc_span(text, m->progress_token), 't', &n) && n <= sim.req_n,
          "%.*s", (int)text.n, text.p);
    struct req *r = &sim.reqs[n];
    CHECK(I5_NOTHING_AFTER, req_is_of(p, n) && r->open && !r->cancelled && r->token,
          "progress of request %u", n);
    CHECK(I11_MONOTONIC, json_double(rpc_span(text, m->progress), &value) && value > r->progress,
          "request %u, after %f: %.*s", n, r->progress, (int)text.n, text.p);
    r->progress = value;
}

static void hears_of_elicitation(struct player *p, struct slice text, const struct rpc_msg *m)
{
    unsigned n;
    CHECK(I2_NOT_CROSSED, tag_number(rpc_span(text, m->elicitation_id), 'e', &n) && n < sim.quest_n,
          "%.*s", (int)text.n, text.p);
    CHECK(I2_NOT_CROSSED, sim.quests[n].to == p && sim.quests[n].life == p->life, "%.*s",
          (int)text.n, text.p);
}

static void hears_log(struct player *p, struct slice text, const struct rpc_msg *m)
{
    unsigned n = number_at(json_get(rpc_span(text, m->params), "data"), "of");
    CHECK(I2_NOT_CROSSED, sim.speaking, "a log message out of nowhere");
    CHECK(I2_NOT_CROSSED, n ? req_is_of(p, n) : has_business(p, sim.speaking), "%.*s", (int)text.n,
          text.p);
    sim.logged++;
}

static void hears_notification(struct player *p, enum delivery kind, struct slice text,
                               const struct rpc_msg *m, bool taken)
{
    int uri = m->uri.n ? uri_index(rpc_span(text, m->uri)) : -1;
    CHECK(STRUCTURE, kind == DELIVER_NOTIFICATION || kind == DELIVER_DROPPABLE, "%.*s", (int)text.n,
          text.p);
    if (sim.speaking)
        CHECK(I2_NOT_CROSSED, sim.speaking->conn->pool == p->session->affinity.pool, "%.*s",
              (int)text.n, text.p);
    switch ((int)m->method) {
    case MCP_N_CANCELLED:
        hears_cancel(p, text, m);
        return;
    case MCP_N_PROGRESS:
        hears_progress(p, text, m);
        return;
    case MCP_N_MESSAGE:
        hears_log(p, text, m);
        return;
    case MCP_N_RESOURCES_UPDATED:
        CHECK(I11_MONOTONIC, uri >= 0 && (p->flushing || p->wants[uri] != SUB_NO), "%.*s",
              (int)text.n, text.p);
        p->updates[uri] += taken;
        sim.updated++;
        return;
    case MCP_N_ELICITATION_COMPLETE:
        hears_of_elicitation(p, text, m);
        return;
    case MCP_N_TOOLS_LIST_CHANGED:
    case MCP_N_PROMPTS_LIST_CHANGED:
    case MCP_N_RESOURCES_LIST_CHANGED:
        p->told[change_of(m->method)] |= taken;
        return;
    default:
        CHECK(I2_NOT_CROSSED, p->flushing || (sim.speaking && has_business(p, sim.speaking)),
              "%.*s", (int)text.n, text.p);
        return;
    }
}

void client_hears(struct client *c, enum delivery kind, const char *line, bool taken)
{
    struct player *p = c->of;
    struct slice text = slice_str(line);
    struct rpc_msg m;
    event("client", p->index, p->life, taken ? "gets" : "cannot get", text);
    CHECK(STRUCTURE, rpc_parse(text, 128, &m, NULL) == RPC_OK, "%s", line);
    CHECK(I5_NOTHING_AFTER, !p->ended, "after the session's end: %s", line);
    CHECK(STRUCTURE, (kind == DELIVER_ANSWER) == (m.kind == RPC_RESULT || m.kind == RPC_ERROR),
          "%s", line);
    if (m.kind == RPC_RESULT || m.kind == RPC_ERROR)
        hears_answer(p, text, &m);
    else if (m.kind == RPC_REQUEST)
        hears_question(p, kind, text, &m, taken);
    else
        hears_notification(p, kind, text, &m, taken);
}

void client_hears_nothing(struct client *c, const struct call *call)
{
    struct player *p = c->of;
    struct slice id = call_client_id(call);
    struct req *r = req_open(p, id);
    event("client", p->index, p->life, "gets nothing for", id);
    CHECK(I1_ONE_END, r, "a silent end of nothing: %.*s", (int)id.n, id.p);
    CHECK(I1_ONE_END, r->cancelled || call->session->state == SESSION_ENDED,
          "request %u ended in silence, though nobody took it back", req_nonce(r));
    req_ends(r, METRIC_OUTCOME_CANCELLED);
}
