/* The oracle about requests (I1 to I5, I7): each is written down when a client makes it, when it
 * goes out, when a server reads it, and when it ends. A server that has read a request has executed
 * it: the worst that can be assumed. */
#include "sim.h"

struct req *req_new(struct player *p, enum mcp_method method)
{
    CHECK(STRUCTURE, sim.req_n + 1 < REQS_MAX, "too many requests");
    struct req *r = &sim.reqs[++sim.req_n];
    *r = (struct req){.by = p,
                      .to = p->at,
                      .life = p->life,
                      .method = method,
                      .uri = -1,
                      .open = true,
                      .made_at = sim.env.now,
                      .progress = -1};
    r->interactive = mcp_method_is_interactive(method);
    snprintf(r->id, sizeof(r->id), chance(50) ? "%u" : "\"%u\"", p->next_id++);
    p->at->requests++;
    return r;
}

struct req *req_open(const struct player *p, struct slice id)
{
    for (unsigned i = sim.req_n; i > 0; i--) {
        struct req *r = &sim.reqs[i];
        if (r->open && r->by == p && r->life == p->life && slice_is(id, r->id))
            return r;
    }
    return NULL;
}

bool req_is_of(const struct player *p, unsigned nonce)
{
    return sim.reqs[nonce].by == p && sim.reqs[nonce].life == p->life;
}

/* What may be sent again although a server may have executed it (resilience.md section 4). */
static bool is_replayable(const struct req *r)
{
    enum config_replay mode = r->to->route->server->sc->options.replay;
    if (mode == CONFIG_REPLAY_OFF || r->progress >= 0 || r->asked)
        return false;
    switch ((int)r->method) {
    case MCP_TOOLS_LIST:
    case MCP_PROMPTS_LIST:
    case MCP_RESOURCES_LIST:
    case MCP_RESOURCES_TEMPLATES_LIST:
    case MCP_RESOURCES_READ:
    case MCP_PROMPTS_GET:
    case MCP_COMPLETION_COMPLETE:
    case MCP_SERVER_DISCOVER:
    case MCP_TASKS_GET:
    case MCP_PING:
        return true;
    case MCP_TOOLS_CALL:
        return mode == CONFIG_REPLAY_ANNOTATED && r->tool != 0;
    default:
        return false;
    }
}

/* Requests of one session and kind go out in the order in which they came. */
static void check_order(const struct req *r)
{
    for (const struct req *o = &sim.reqs[1]; o < r && r->sent == 0; o++)
        CHECK(STRUCTURE,
              !o->open || o->sent || o->anonymous || o->own || o->uri >= 0 || o->by != r->by ||
                  o->interactive != r->interactive,
              "request %u passed request %u", req_nonce(r), req_nonce(o));
}

void req_is_sent(struct req *r, struct proc *p)
{
    unsigned n = req_nonce(r);
    CHECK(I5_NOTHING_AFTER, r->open && !r->cancelled, "request %u sent after its end", n);
    CHECK(I2_NOT_CROSSED, r->by->session->affinity.pool == p->conn->pool,
          "request %u sent to another kind of client's server", n);
    check_order(r);
    CHECK(STRUCTURE, p->generation == p->of->generation && !p->conn->surplus,
          "request %u sent to a connection that is to be replaced", n);
    CHECK(STRUCTURE, p->of->route->server->mode == SERVER_ACTIVE,
          "request %u sent to a server that is drained", n);
    breaker_lets(p->of);
    bool unread = r->unread;
    r->unread = true;
    p->of->sent++;
    if (r->sent++ == 0)
        return;
    p->of->moves += unread;
    p->of->replays += !unread;
    if (r->executed == 0)
        return;
    CHECK(I3_ONCE, is_replayable(r), "request %u (%s) sent again after it was executed", n,
          mcp_method_name(r->method));
}

void req_is_read(struct req *r, struct proc *p)
{
    unsigned n = req_nonce(r);
    r->executed++;
    r->unread = false;
    p->of->executed++;
    CHECK(I4_HONEST_NO, !r->said_no,
          "request %u executed although its client was told that it never would", n);
    CHECK(I3_ONCE, r->executed <= (is_replayable(r) ? 2u : 1u), "request %u (%s) executed %u times",
          n, mcp_method_name(r->method), r->executed);
    r->at = p;
}

void req_ends(struct req *r, enum metric_outcome how)
{
    CHECK(I1_ONE_END, r->open, "request %u ended twice", req_nonce(r));
    r->to->ends[how]++;
    r->open = false;
    r->ended_at = sim.env.now;
}

/* mcpool's own error: does it say what is true? */
void req_is_refused(struct req *r, struct slice text, const struct rpc_msg *m)
{
    struct slice data = m->error_data.n ? rpc_span(text, m->error_data) : slice_of(NULL, 0);
    struct slice delivered = json_get(data, "delivered");
    if (!data.n)
        return;
    CHECK(I12_STATUS, json_string_is(json_get(data, "server"), r->to->name), "%.*s", (int)text.n,
          text.p);
    r->to->troubles += json_string_is(json_get(data, "reason"), "timeout");
    if (!delivered.n)
        return;
    bool no = json_string_is(delivered, "no");
    CHECK(I4_HONEST_NO, no || json_string_is(delivered, "maybe"), "%.*s", (int)text.n, text.p);
    CHECK(I4_HONEST_NO, !no || r->executed == 0, "request %u was executed: %.*s", req_nonce(r),
          (int)text.n, text.p);
    CHECK(I4_HONEST_NO, no || json_type_of(json_get(data, "retryable")) == JSON_FALSE, "%.*s",
          (int)text.n, text.p);
    r->said_no = no;
}

void requests_check(void)
{
    for (unsigned i = 1; i <= sim.req_n; i++) {
        const struct req *r = &sim.reqs[i];
        CHECK(I1_ONE_END, !r->open || !r->cancel_seen, "request %u cancelled upstream, still open",
              i);
        CHECK(I1_ONE_END, !r->open || (r->life == r->by->life && playing(r->by)),
              "request %u outlives its session", i);
    }
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        unsigned budget = b->budgets;
        /* Three, or what the operator allows to be sent again while nothing succeeds. */
        unsigned slack = budget > 3 ? budget : 3;
        CHECK(I7_AMPLIFICATION, b->sent * 10 <= b->requests * 12 + slack * 10,
              "%u requests became %u (%u moved, %u replayed)", b->requests, b->sent, b->moves,
              b->replays);
        CHECK(I7_AMPLIFICATION, b->replays * 10 <= budget * 10 + b->said_ever,
              "%u replayed, with a budget of %u and %u answers", b->replays, budget, b->said_ever);
    }
}

void requests_all_ended(void)
{
    for (unsigned i = 1; i <= sim.req_n; i++)
        CHECK(I1_ONE_END, !sim.reqs[i].open, "request %u (%s) got no answer", i,
              mcp_method_name(sim.reqs[i].method));
}

/* Where the pool has one connection only, all that was said came from there: whoever holds a list
 * of another version than its present process has, and was promised to hear of changes, has heard.
 * The first who has not; NULL. */
static const struct player *misled(unsigned *ret_list)
{
    if (metrics_sum(sim.proxy->metrics, METRIC_MESSAGES_DROPPED))
        return NULL;
    for (const struct player *p = sim.players; p < sim.players + sim.player_n; p++) {
        const struct conn *c = playing(p) ? p->session->affinity.home : NULL;
        if (!c || c->pool->slot_count > 1 || c->state != CONN_READY)
            continue;
        const struct proc *at = (const struct proc *)c->transport;
        for (*ret_list = 0; *ret_list < CHANGE_COUNT; ++*ret_list)
            if (p->promised[*ret_list] && !p->told[*ret_list] && p->seen[*ret_list] != 0 &&
                p->seen[*ret_list] != at->list_version + 1)
                return p;
    }
    return NULL;
}

bool lists_are_known(void)
{
    unsigned list;
    return misled(&list) == NULL;
}

void lists_check(void)
{
    unsigned list = 0;
    const struct player *p = misled(&list);
    CHECK(LISTS, !p, "client %u holds list %u of version %u", p ? p->index : 0, list,
          p ? p->seen[list] : 0);
}

/* The most verbose level that a client of this connection asked for; -1 = none did. */
static int level_wanted(const struct conn *c)
{
    bool own = c->pool->server->sharing == CONFIG_SHARING_SESSION;
    int wanted = -1;
    for (const struct player *p = sim.players; p < sim.players + sim.player_n; p++) {
        if (!playing(p) || p->session->affinity.pool != c->pool || p->level < 0 ||
            (own && c->lessee != &p->session->affinity))
            continue;
        if (wanted < 0 || p->level < wanted)
            wanted = p->level;
    }
    return wanted;
}

void levels_check(void)
{
    const struct proc *p;
    LIST_FOREACH (p, &sim.procs, link) {
        if (!proc_talks(p) || !p->conn->card->logging)
            continue;
        int wanted = level_wanted(p->conn);
        CHECK(STRUCTURE, wanted < 0 || p->level == wanted,
              "%s: log level %d is wanted, slot %u was told %d", p->of->name, wanted, p->slot,
              p->level);
    }
}
