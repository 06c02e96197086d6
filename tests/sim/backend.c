/* What a server hears, and the books about it: which request ran where, how often, and for whom. */
#include "sim.h"

#include <limits.h>

bool backend_in(const struct backend *b, enum mood m)
{
    return sim.env.now < b->until[m];
}

void backend_calm(struct backend *b)
{
    memset(b->until, 0, sizeof(b->until));
    b->start_delay = 0;
}

const char *backend_card(unsigned card)
{
    static const char rich[] =
        "{\"tools\":{\"listChanged\":true},\"prompts\":{\"listChanged\":true},\"resources\":{"
        "\"subscribe\":true,\"listChanged\":true},\"logging\":{}}";
    static const char middling[] =
        "{\"tools\":{\"listChanged\":true},\"logging\":{},\"resources\":{\"subscribe\":true}}";
    static const char *const cards[] = {rich, middling, "{\"tools\":{},\"resources\":{}}", "{}"};
    return cards[card % ARRAY_LEN(cards)];
}

const char *uri_of(int i)
{
    static const char *const uris[URIS] = {"f:///a", "f:///b/", "g:c", "f:///never"};
    return uris[i];
}

int uri_index(struct slice raw)
{
    for (int i = 0; i < URIS; i++)
        if (json_string_is(raw, uri_of(i)))
            return i;
    return -1;
}

unsigned number_at(struct slice obj, const char *key)
{
    uint64_t v;
    return json_u64(json_get(obj, key), &v) && v <= UINT_MAX ? (unsigned)v : 0;
}

bool tag_number(struct slice raw, char letter, unsigned *ret_n)
{
    uint64_t n;
    if (raw.n < 4 || raw.p[0] != '"' || raw.p[1] != letter || raw.p[raw.n - 1] != '"' ||
        !json_u64(slice_of(raw.p + 2, raw.n - 3), &n) || n > UINT_MAX)
        return false;
    *ret_n = (unsigned)n;
    return true;
}

static unsigned nonce_in(struct slice text, const struct rpc_msg *m)
{
    unsigned n = m->params.n ? number_at(rpc_span(text, m->params), "nonce") : 0;
    CHECK(I2_NOT_CROSSED, n <= sim.req_n, "a request that nobody made: %.*s", (int)text.n, text.p);
    return n;
}

/* ---- the handshake ---- */

void backend_greets(struct proc *p)
{
    bool wrong = backend_in(p->of, MOOD_WRONG_VERSION);
    p->mute = p->frozen;
    if (p->phase != PROC_UP || p->frozen)
        return;
    p->greeted = true;
    p->wrong = wrong;
    proc_says(p,
              "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"%s\","
              "\"capabilities\":%s,\"serverInfo\":{\"name\":\"%s\",\"version\":\"%u\"}}}",
              wrong    ? "1999-12-31"
              : p->old ? "2025-03-26"
                       : "2025-11-25",
              backend_card(p->card), p->of->name, p->card);
}

static void reads_initialize(struct proc *p)
{
    p->last_id = 1;
    if (backend_in(p->of, MOOD_MUTE))
        p->mute = true;
    else
        proc_later(p, backend_in(p->of, MOOD_EXIT_IN_HANDSHAKE) ? proc_exits : backend_greets, 0);
}

static void reads_initialized(struct proc *p)
{
    CHECK(STRUCTURE, !p->initialized, "initialized twice");
    CHECK(STRUCTURE, !p->wrong, "a version that nobody speaks was accepted");
    p->initialized = true;
    p->of->handshakes++;
    p->of->handshake_at = sim.env.now;
    if (backend_in(p->of, MOOD_DIE_YOUNG))
        proc_later(p, proc_exits, 0);
}

/* ---- requests ---- */

static void remember_job(struct proc *p, const struct job *j)
{
    if (p->job_n == JOBS_MAX) { /* the oldest is never answered */
        memmove(p->jobs, p->jobs + 1, (JOBS_MAX - 1) * sizeof(p->jobs[0]));
        p->job_n--;
    }
    p->jobs[p->job_n++] = *j;
}

static void reads_request(struct proc *p, struct slice text, const struct rpc_msg *m)
{
    unsigned nonce = nonce_in(text, m);
    int uri = m->uri.n ? uri_index(rpc_span(text, m->uri)) : -1;
    struct job j = {.nonce = nonce, .method = m->method};
    CHECK(STRUCTURE, json_u64(rpc_span(text, m->id), &j.id), "no id of mcpool: %.*s", (int)text.n,
          text.p);
    CHECK(STRUCTURE, j.id > p->last_id, "id %llu after %llu", (unsigned long long)j.id,
          (unsigned long long)p->last_id);
    p->last_id = j.id;
    p->requests++;
    if (m->method == MCP_RESOURCES_SUBSCRIBE) {
        j.refuse = uri == URI_NEVER;
        p->subscribed[uri] |= uri != URI_NEVER;
    } else if (m->method == MCP_RESOURCES_UNSUBSCRIBE) {
        p->subscribed[uri] = false;
    }
    if (m->method == MCP_LOGGING_SET_LEVEL) {
        struct slice raw = rpc_span(text, m->level);
        p->level = raw.n > 2 ? mcp_log_level_parse(slice_of(raw.p + 1, raw.n - 2)) : -1;
    }
    if (nonce)
        req_is_read(&sim.reqs[nonce], p);
    if (m->method == MCP_PING && backend_in(p->of, MOOD_NO_PING))
        p->owes_ping = true; /* for good, also when the mood is over */
    else
        remember_job(p, &j);
}

static void reads_response(struct proc *p, struct slice text, const struct rpc_msg *m)
{
    unsigned n;
    struct slice id = rpc_span(text, m->id);
    if (!tag_number(id, 'q', &n))
        return;
    CHECK(I2_NOT_CROSSED, n < sim.quest_n, "an answer to a question that was never asked");
    struct quest *q = &sim.quests[n];
    CHECK(I2_NOT_CROSSED, q->at == p, "question %u answered at another server", n);
    CHECK(I5_NOTHING_AFTER, !q->withdrawn, "question %u answered after it was taken back", n);
    CHECK(I1_ONE_END, ++q->answered == 1, "question %u answered twice", n);
    struct slice result = m->result.n ? rpc_span(text, m->result) : slice_of(NULL, 0);
    unsigned by = number_at(result, "by"), life = number_at(result, "life");
    if (by == 0)
        return; /* mcpool's own words */
    CHECK(I2_NOT_CROSSED, number_at(result, "quest") == n, "the answer to another question than %u",
          n);
    CHECK(I2_NOT_CROSSED, q->to && q->to->index == by && q->life == life,
          "question %u answered by a stranger", n);
}

static void reads_notification(struct proc *p, struct slice text, const struct rpc_msg *m)
{
    uint64_t id;
    unsigned n;
    if (m->method == MCP_N_INITIALIZED) {
        reads_initialized(p);
    } else if (m->method == MCP_N_CANCELLED) {
        CHECK(STRUCTURE, json_u64(rpc_span(text, m->request_id), &id) && id <= p->last_id, "%.*s",
              (int)text.n, text.p);
        for (unsigned i = 0; i < p->job_n; i++)
            if (p->jobs[i].id == id && p->jobs[i].nonce)
                sim.reqs[p->jobs[i].nonce].cancel_seen = true;
    } else if (m->method == MCP_N_PROGRESS) {
        CHECK(I11_MONOTONIC, tag_number(rpc_span(text, m->progress_token), 'q', &n), "%.*s",
              (int)text.n, text.p);
        CHECK(I5_NOTHING_AFTER, sim.quests[n].at == p && !sim.quests[n].answered,
              "progress about question %u", n);
    }
}

void backend_reads(struct proc *p, const char *line)
{
    struct slice text = slice_str(line);
    struct rpc_msg m;
    CHECK(STRUCTURE, rpc_parse(text, 128, &m, NULL) == RPC_OK, "%s", line);
    event("proc", p->serial, p->slot, "reads", text);
    if (m.method == MCP_INITIALIZE)
        reads_initialize(p);
    else if (m.kind == RPC_REQUEST)
        reads_request(p, text, &m);
    else if (m.kind == RPC_NOTIFICATION)
        reads_notification(p, text, &m);
    else
        reads_response(p, text, &m);
}

void backend_sent(struct proc *p, const char *line)
{
    struct slice text = slice_str(line);
    struct rpc_msg m;
    CHECK(STRUCTURE, rpc_parse(text, 128, &m, NULL) == RPC_OK, "%s", line);
    unsigned nonce = m.kind == RPC_REQUEST ? nonce_in(text, &m) : 0;
    if (nonce)
        req_is_sent(&sim.reqs[nonce], p);
    /* What clients say of their own accord passes only to a server that is all theirs. */
    if (m.kind == RPC_NOTIFICATION && m.method == MCP_METHOD_OTHER) {
        unsigned by = number_at(rpc_span(text, m.params), "by");
        CHECK(I2_NOT_CROSSED, by && p->conn->lessee == &sim.players[by - 1].session->affinity, "%s",
              line);
    }
}

void backend_gone(struct proc *p)
{
    for (unsigned i = 0; i < sim.quest_n; i++)
        if (sim.quests[i].at == p)
            sim.quests[i].at = NULL;
    for (unsigned i = 1; i <= sim.req_n; i++)
        if (sim.reqs[i].at == p)
            sim.reqs[i].at = NULL;
}
