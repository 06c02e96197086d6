/* The metrics page. Counters count by themselves; gauges are what is the case now, and are set
 * here, from the same sources as the status. */
#include "base/util.h"
#include "front/admin_priv.h"

#include <stdlib.h>

_Static_assert((int)METRIC_SLOT_IDLE == (int)CONN_IDLE &&
                   (int)METRIC_SLOT_CONNECTING == (int)CONN_CONNECTING &&
                   (int)METRIC_SLOT_HANDSHAKE == (int)CONN_HANDSHAKE &&
                   (int)METRIC_SLOT_READY == (int)CONN_READY &&
                   (int)METRIC_SLOT_CLOSING == (int)CONN_CLOSING &&
                   (int)METRIC_SLOT_WAITING == (int)CONN_WAITING,
               "cells of SLOTS are conn states");
_Static_assert((int)METRIC_BREAKER_CLOSED == (int)BREAKER_CLOSED &&
                   (int)METRIC_BREAKER_OPEN == (int)BREAKER_OPEN &&
                   (int)METRIC_BREAKER_HALF_OPEN == (int)BREAKER_HALF_OPEN,
               "cells of BREAKER_STATE are breaker states");

/* 1 for the present state, 0 for the others. */
static void set_state(struct metrics *m, enum metric id, unsigned state)
{
    for (unsigned i = 0; i < metric_info(id)->cells; i++)
        metrics_set(m, id, i, i == state);
}

static void set_server_gauges(const struct server *s)
{
    struct server_counts counts;
    server_count(s, &counts);
    for (unsigned i = 0; i < ARRAY_LEN(counts.slots); i++)
        metrics_set(s->metrics, METRIC_SLOTS, i, counts.slots[i]);
    metrics_set(s->metrics, METRIC_CALLS_RUNNING, 0, counts.running);
    metrics_set(s->metrics, METRIC_CALLS_WAITING, 0, counts.waiting);
    set_state(s->metrics, METRIC_BREAKER_STATE, s->breaker.state);
    set_state(s->metrics, METRIC_HEALTH, server_health(s)); /* cells in the order of enum health */
}

void admin_metrics(const struct admin_view *view, struct buf *out)
{
    struct metrics *process = proxy_metrics(view->proxy);
    const struct route *r;
    size_t n = 0;
    while (route_at(view->proxy, n))
        n++;
    const struct metrics **sets = xcalloc(n + 1, sizeof(*sets));
    const char **names = xcalloc(n + 1, sizeof(*names));
    for (size_t i = 0; (r = route_at(view->proxy, i)); i++) {
        set_server_gauges(r->server);
        sets[i] = r->server->metrics;
        names[i] = r->name;
    }
    metrics_set(process, METRIC_SESSIONS, 0, proxy_session_count(view->proxy));
    metrics_set(process, METRIC_START_TIME, 0, view->wall_offset + view->started_at);
    metrics_render(out, process, sets, names, n);
    free(sets);
    free(names);
}
