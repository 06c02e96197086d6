/* The metrics page. Counters count by themselves; gauges are what is the case now, and are set
 * here, from the same sources as the status. */
#include "base/util.h"
#include "front/admin_priv.h"
#include "front/front.h"
#include "io/usage.h"

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
_Static_assert((int)METRIC_MODE_ACTIVE == (int)SERVER_ACTIVE &&
                   (int)METRIC_MODE_DRAIN == (int)SERVER_DRAIN &&
                   (int)METRIC_MODE_MAINT == (int)SERVER_MAINT,
               "cells of SERVER_MODE are modes");

/* 1 for the present state, 0 for the others. */
static void set_state(struct metrics *m, enum metric id, unsigned state)
{
    for (unsigned i = 0; i < metric_info(id)->cells; i++)
        metrics_set(m, id, i, i == state);
}

/* A point of the monotonic clock as Unix time; 0 is never. */
static usec_t wall(const struct admin_view *view, usec_t at)
{
    return at ? view->wall_offset + at : 0;
}

static void set_recovery_gauges(const struct admin_view *view, const struct server *s)
{
    struct metrics *m = s->metrics;
    metrics_set(m, METRIC_RECOVERY_LAST, METRIC_LAST_ATTEMPT, wall(view, s->attempted_at));
    metrics_set(m, METRIC_RECOVERY_LAST, METRIC_LAST_SUCCESS, wall(view, s->recovered_at));
    metrics_set(m, METRIC_RECOVERY_LAST, METRIC_LAST_FORCED, wall(view, s->forced_at));
    usec_t suggested;
    metrics_set(m, METRIC_BACKOFF_CAP, 0, server_backoff_cap(s, &suggested));
    metrics_set(m, METRIC_BREAKER_FAILURES, 0, s->breaker.failures);
}

static void set_server_gauges(const struct server *s)
{
    struct server_counts counts;
    uint64_t bytes = 0;
    server_count(s, &counts);
    for (const struct pool *p = s->pools; p; p = p->next)
        bytes += p->waiting_bytes;
    metrics_set(s->metrics, METRIC_QUEUE_BYTES, 0, bytes);
    metrics_set(s->metrics, METRIC_POOL_MIN, 0, counts.min_size);
    metrics_set(s->metrics, METRIC_POOL_MAX, 0, counts.max_size);
    metrics_set(s->metrics, METRIC_CONNECTIONS_AVAILABLE, 0, counts.available);
    metrics_set(s->metrics, METRIC_CONNECTIONS_FAILED, 0, counts.failed);
    for (unsigned i = 0; i < ARRAY_LEN(counts.slots); i++)
        metrics_set(s->metrics, METRIC_SLOTS, i, counts.slots[i]);
    metrics_set(s->metrics, METRIC_CALLS_RUNNING, 0, counts.running);
    metrics_set(s->metrics, METRIC_CALLS_WAITING, 0, counts.waiting);
    set_state(s->metrics, METRIC_BREAKER_STATE, s->breaker.state);
    set_state(s->metrics, METRIC_SERVER_MODE, server_mode(s));
    set_state(s->metrics, METRIC_HEALTH, server_health(s)); /* cells in the order of enum health */
}

/* A counter that somebody else counts. */
static void catch_up(struct metrics *m, enum metric id, uint64_t value)
{
    metrics_add(m, id, 0, value - metrics_get(m, id, 0));
}

static void set_client_gauges(const struct admin_view *view, struct metrics *m)
{
    struct front_counts c = {0};
    if (view->front)
        front_counts(view->front, &c);
    metrics_set(m, METRIC_CLIENT_CONNECTIONS, METRIC_PROTOCOL_HTTP, c.http_connections);
    metrics_set(m, METRIC_CLIENT_CONNECTIONS, METRIC_PROTOCOL_LINES, c.line_connections);
    metrics_set(m, METRIC_CLIENT_STREAMS, METRIC_STREAM_GET, c.get_streams);
    metrics_set(m, METRIC_CLIENT_STREAMS, METRIC_STREAM_SSE, c.sse_streams);
    metrics_set(m, METRIC_REPLAY_BYTES, 0, c.event_bytes);
    catch_up(m, METRIC_CLIENTS_ACCEPTED, c.accepted);
    catch_up(m, METRIC_CLIENTS_REFUSED, c.refused);
    catch_up(m, METRIC_CLIENTS_SLOW, c.slow_closed);
}

static void set_process_gauges(const struct admin_view *view, struct metrics *m)
{
    struct usage u;
    usage_read(&u);
    catch_up(m, METRIC_PROCESS_CPU, u.cpu);
    metrics_set(m, METRIC_PROCESS_RESIDENT, 0, u.resident);
    metrics_set(m, METRIC_PROCESS_VIRTUAL, 0, u.virtual_size);
    metrics_set(m, METRIC_PROCESS_OPEN_FDS, 0, u.open_fds);
    metrics_set(m, METRIC_PROCESS_MAX_FDS, 0, u.max_fds);
    metrics_set(m, METRIC_SESSIONS, 0, proxy_session_count(view->proxy));
    metrics_set(m, METRIC_START_TIME, 0, wall(view, view->started_at));
    metrics_set(m, METRIC_PROCESS_START_TIME, 0, wall(view, view->started_at));
}

void admin_metrics(const struct admin_view *view, enum metrics_format format, struct buf *out)
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
        set_recovery_gauges(view, r->server);
        sets[i] = r->server->metrics;
        names[i] = r->name;
    }
    set_client_gauges(view, process);
    set_process_gauges(view, process);
    metrics_render(out, format, process, sets, names, n);
    free(sets);
    free(names);
}
