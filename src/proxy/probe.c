/* The ping to a silent server. When to ask, and what to make of silence, is decided in
 * policy/health; here it is only asked, under an upstream id of the connection, so that no answer
 * can be taken for another's. Each probe takes the place of the one before: a server that answers
 * that one will answer this one too. */
#include "internal.h"

static void on_answer(struct uplink *u, struct payload *text, const struct rpc_msg *m)
{
    (void)u, (void)text, (void)m; /* proxy.c has told the connection */
}

/* The monitor asks again. A ping of a connection that drains was counted as missed. */
static void on_lost(struct uplink *u, enum reason why, bool handed_over)
{
    const struct conn *c = u->conn;
    (void)why, (void)handed_over;
    if (c->probe.pending && !c->draining)
        metrics_inc(c->pool->server->metrics, METRIC_PROBES, METRIC_PROBE_LOST);
}

void probe_init_slot(struct mux *m)
{
    m->probe_up.on_answer = on_answer;
    m->probe_up.on_lost = on_lost;
}

void probe_send(struct conn *c)
{
    struct mux *m = mux_of(c);
    if (c->state != CONN_READY || conn_is_clogged(c))
        return; /* it does not read: one more line would not tell more */
    mux_abandon(m, &m->probe_up, NULL);
    mux_request(m, &m->probe_up, "ping", NULL, slice_of(NULL, 0));
}
