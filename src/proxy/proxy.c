/* The proxy: the pools' callbacks, and the orderly end. */
#include "proxy/proxy.h"

#include "base/log.h"
#include "base/util.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the pools tell ---- */

/* Clients keep what they were told of the server; what is gone, it will refuse by itself. */
static void note_card(struct conn *c)
{
    struct pool_state *st = c->pool->user;
    struct card *old = st->card, *new = c->card;
    st->card = card_ref(new);
    if (old && (old->version != new->version || strcmp(old->capabilities, new->capabilities) != 0))
        log_notice(CONN_CTX(c, .message_id = LOG_ID_SERVER_CHANGED),
                   "the server is another than before: protocol %s, capabilities %.300s; was "
                   "protocol %s, capabilities %.300s",
                   mcp_version_name(new->version), new->capabilities,
                   mcp_version_name(old->version), old->capabilities);
    card_unref(old);
}

static void on_ready(struct conn *c)
{
    struct mux *m = mux_of(c);
    m->level = MCP_LOG_UNSET;
    mux_forget_ghosts(m);
    levels_apply_conn(c);
    sub_replay(c);
    lists_on_ready(c);
    note_card(c);
}

static void on_response(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    uint64_t id;
    struct uplink *u = NULL;
    if (m->id.n && json_u64(rpc_span(text->text, m->id), &id))
        u = mux_take(mux_of(c), id);
    if (!u) {
        metrics_inc(c->pool->server->metrics, METRIC_LATE_ANSWERS, 0);
        return;
    }
    if (u == &mux_of(c)->probe_up)
        conn_note_probe_answered(c, u->breaker_epoch);
    else
        conn_note_answer(c, u->breaker_epoch);
    u->on_answer(u, text, m);
}

static void on_one_message(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    switch (m->kind) {
    case RPC_RESULT:
    case RPC_ERROR:
        on_response(c, text, m);
        return;
    case RPC_REQUEST:
        ask_on_request(c, text, m);
        return;
    case RPC_NOTIFICATION:
        notify_on_message(c, text, m);
        return;
    case RPC_BATCH:
    case RPC_INVALID:
        return;
    }
}

/* Servers of 2025-03-26 may send several messages as one array. */
static void on_batch(struct conn *c, struct payload *text)
{
    size_t pos = 0;
    struct slice element;
    uint32_t epoch = c->epoch;
    while (c->state == CONN_READY && c->epoch == epoch &&
           rpc_batch_next(text->text, &pos, &element)) {
        struct rpc_msg m;
        struct payload one = {.text = element, .owner = text->owner};
        if (rpc_parse(element, proxy_of(c)->config->limits.json_depth, &m, NULL) == RPC_OK)
            on_one_message(c, &one, &m);
    }
}

static void on_message(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    mux_of(c)->heard++;
    if (m->kind == RPC_BATCH && c->card->version == MCP_2025_03_26)
        on_batch(c, text);
    else
        on_one_message(c, text, m);
}

static void on_discarded(struct conn *c, struct slice raw_id, enum reason why)
{
    uint64_t id;
    struct uplink *u = json_u64(raw_id, &id) ? mux_take(mux_of(c), id) : NULL;
    if (!u)
        return;
    uint32_t breaker_epoch = u->breaker_epoch;
    if (u->on_answer == call_on_answer)
        call_on_discarded(u, why);
    else
        u->on_lost(u, why, true);
    /* One that was too large is its caller's doing: counted, one client could shut out all. */
    if (why == REASON_UPSTREAM_PROTOCOL)
        conn_note_garbage(c, breaker_epoch);
}

static void on_down(struct conn *c, enum reason why)
{
    struct mux *m = mux_of(c);
    struct uplink *u;
    lists_on_down(c, why);
    ask_end_of_conn(c);
    while ((u = mux_take_first(m)) != NULL)
        u->on_lost(u, why, conn_handed_over(c, u->mark));
    sub_end_of_conn(c);
}

static void pool_init(struct pool *p)
{
    struct pool_state *st = xcalloc(1, sizeof(*st));
    if (p->server->sharing != CONFIG_SHARING_SESSION)
        st->lists = lists_new(p, NULL);
    p->user = st;
}

static void pool_done(struct pool *p)
{
    struct pool_state *st = p->user;
    tools_forget(p);
    lists_free(st->lists);
    card_unref(st->card);
    free(st);
}

const struct pool_user proxy_pool_user = {
    .start = call_start,
    .refuse = call_refuse,
    .on_ready = on_ready,
    .on_message = on_message,
    .on_discarded = on_discarded,
    .on_down = on_down,
    .on_renew = lists_on_renew,
    .move_keepers = sub_move,
    .probe = probe_send,
    .slot_init = mux_init_slot,
    .slot_done = mux_done_slot,
    .pool_init = pool_init,
    .pool_done = pool_done,
};

/* ---- the end ---- */

void proxy_note_stopped(struct proxy *p)
{
    if (--p->servers_left == 0)
        p->done(p->done_arg);
}

static void close_all(struct proxy *p, bool now)
{
    struct endpoint *e;
    p->closing = true;
    env_timer_clear(p->env, &p->drain);
    env_task_clear(p->env, &p->check_drained);
    p->servers_left = (unsigned)p->route_count;
    LIST_FOREACH (e, &p->leaving, link)
        p->servers_left += !e->stopped;
    if (p->servers_left == 0)
        env_defer(p->env, &p->none_left);
    for (size_t i = 0; i < p->route_count; i++)
        endpoint_close(p->routes[i], now);
    LIST_FOREACH (e, &p->leaving, link)
        endpoint_close(e, now);
    while (p->sessions)
        session_end(p->sessions);
}

static void none_left(void *arg)
{
    struct proxy *p = arg;
    p->done(p->done_arg);
}

static unsigned calls_left(const struct proxy *p)
{
    unsigned n = 0;
    for (const struct principal *pr = p->principals; pr; pr = pr->hh.next)
        n += pr->in_flight;
    return n;
}

static void drain_over(void *arg)
{
    struct proxy *p = arg;
    log_warning(LOG_CTX(.message_id = LOG_ID_STOPPING),
                "%u calls were still running after drain_timeout", calls_left(p));
    close_all(p, false);
}

static void check_drained(void *arg)
{
    struct proxy *p = arg;
    if (p->stopping && !p->closing && calls_left(p) == 0)
        close_all(p, false);
}

/* ---- life ---- */

struct proxy *proxy_new(struct env *env, struct config *config, const struct proxy_transports *tr)
{
    struct proxy *p = xcalloc(1, sizeof(*p));
    p->env = env;
    p->config = config_ref(config);
    p->transport = tr->stdio;
    p->transport_arg = tr->arg;
    p->metrics = metrics_new(METRIC_PROCESS);
    if (tr->session_key) {
        p->has_key = true;
        memcpy(p->session_key, tr->session_key, SESSION_KEY_SIZE);
    }
    keeper_init(&p->keeper, env, &config->limits, tr);
    timer_init(&p->drain, drain_over, p);
    task_init(&p->check_drained, check_drained, p);
    task_init(&p->none_left, none_left, p);
    routes_init(p);
    return p;
}

void proxy_start(struct proxy *p)
{
    for (size_t i = 0; i < p->route_count; i++)
        server_start(p->routes[i]->route.server);
}

void proxy_stop(struct proxy *p, void (*done)(void *), void *arg)
{
    struct endpoint *e;
    p->done = done;
    p->done_arg = arg;
    if (p->closing) {
        for (size_t i = 0; i < p->route_count; i++)
            endpoint_close(p->routes[i], true);
        LIST_FOREACH (e, &p->leaving, link)
            endpoint_close(e, true);
        return;
    }
    if (p->stopping) {
        close_all(p, true);
        return;
    }
    p->stopping = true;
    log_notice(LOG_CTX(.message_id = LOG_ID_STOPPING), "stopping: %zu sessions, %u calls in flight",
               proxy_session_count(p), calls_left(p));
    env_timer_set(p->env, &p->drain, p->env->now + p->config->limits.drain_timeout);
    env_defer(p->env, &p->check_drained);
}

void proxy_free(struct proxy *p)
{
    routes_done(p);
    env_timer_clear(p->env, &p->drain);
    env_task_clear(p->env, &p->check_drained);
    env_task_clear(p->env, &p->none_left);
    keeper_done(&p->keeper);
    explicit_bzero(p->session_key, sizeof(p->session_key));
    metrics_free(p->metrics);
    config_unref(p->config);
    free(p);
}

struct metrics *proxy_metrics(struct proxy *p)
{
    return p->metrics;
}

size_t proxy_session_count(const struct proxy *p)
{
    return HASH_COUNT(p->sessions);
}

bool proxy_is_stopping(const struct proxy *p)
{
    return p->stopping;
}
