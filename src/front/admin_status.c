/* The status of one server. The names of its members are an interface (resilience.md section 1);
 * members are added, never renamed.
 *
 * What a configuration may hold in confidence stays out: environment, headers, arguments, and the
 * query of an address. */
#include "base/util.h"
#include "config/table.h"
#include "front/admin_doc.h"

#include <string.h>

void admin_status_time(struct admin_json *j, const struct admin_view *view, const char *key,
                       usec_t at)
{
    if (at)
        admin_json_wall(j, key, view->wall_offset + at);
    else
        admin_json_null(j, key);
}

/* Milliseconds until at, 0 when that is past, null for never and 0. */
static void write_until(struct admin_json *j, const struct admin_view *view, const char *key,
                        usec_t at)
{
    usec_t now = view->env->now;
    if (at == 0 || at == USEC_NEVER)
        admin_json_null(j, key);
    else
        admin_json_u64(j, key, at > now ? (at - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0);
}

/* ---- what was configured ---- */

static void write_config(struct admin_json *j, const struct server *s)
{
    const struct server_config *sc = s->sc;
    admin_json_begin(j, "server_config", '{');
    admin_json_str(j, "name", sc->name);
    admin_json_str(j, "transport", config_transport_name(sc->transport));
    if (sc->transport == CONFIG_TRANSPORT_STDIO)
        admin_json_str(j, "command", sc->command);
    else
        admin_json_slice(j, "url", slice_of(sc->url, strcspn(sc->url, "?#")));
    admin_json_str(j, "sharing", config_sharing_name(s->sharing));
    admin_json_end(j, '}');
}

static void write_setting(struct admin_json *j, const struct config_row *row, uint64_t v)
{
    switch (row->type) {
    case CONFIG_TYPE_DURATION:
        admin_json_seconds(j, row->key, v);
        break;
    case CONFIG_TYPE_COUNT:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_RATE:
    case CONFIG_TYPE_FLAGS:
        admin_json_u64(j, row->key, v);
        break;
    case CONFIG_TYPE_BOOL:
        admin_json_bool(j, row->key, v != 0);
        break;
    case CONFIG_TYPE_ENUM:
        admin_json_str(j, row->key, row->values[v]);
        break;
    case CONFIG_TYPE_CHOICE:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_HOSTS:
    case CONFIG_TYPE_ORIGINS:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_STRINGS:
    case CONFIG_TYPE_MAP:
    case CONFIG_TYPE_LISTEN:
    case CONFIG_TYPE_SECTION:
        break; /* config_row_value knows none of these, and the section has none */
    }
}

/* Every rule in force, from the table: one that is added there is shown here. */
static void write_resilience(struct admin_json *j, const struct server_config *sc)
{
    size_t n;
    const struct config_row *rows = config_rows(&n);
    admin_json_begin(j, "resilience", '{');
    for (size_t i = 0; i < n; i++)
        if (rows[i].section == CONFIG_SECTION_RESILIENCE)
            write_setting(j, &rows[i], config_row_value(&rows[i], &sc->resilience));
    admin_json_end(j, '}');
}

/* ---- what happens ---- */

static void write_breaker(struct admin_json *j, const struct admin_view *view,
                          const struct server *s)
{
    const struct breaker *b = &s->breaker;
    const struct breaker_params params = server_breaker_params(s);
    usec_t now = view->env->now;
    usec_t ramp_end = b->state == BREAKER_CLOSED && b->closed_at ? b->closed_at + params.ramp : 0;
    admin_json_begin(j, "circuit_breaker", '{');
    admin_json_str(j, "state", breaker_state_name(b->state));
    admin_json_u64(j, "failure_count", b->failures);
    admin_json_bool(j, "admits_calls", breaker_admits(b, now));
    admin_status_time(j, view, "since", b->since);
    admin_status_time(j, view, "not_closed_since", b->unwell_since);
    write_until(j, view, "next_change_ms", breaker_next_at(b, &params));
    admin_json_bool(j, "trial", b->trial);
    admin_json_u64(j, "trials_won", b->trials_won);
    write_until(j, view, "ramp_ms", ramp_end > now ? ramp_end : 0);
    write_until(j, view, "pause_ms", b->paused_until > now ? b->paused_until : 0);
    admin_json_bool(j, "auth_failed", b->auth_failed);
    admin_json_u64(j, "opened_count",
                   metrics_get(s->metrics, METRIC_BREAKER_TRANSITIONS, METRIC_BREAKER_OPEN));
    admin_json_u64(j, "epoch", b->epoch);
    admin_json_end(j, '}');
}

static void write_metrics(struct admin_json *j, const struct admin_view *view,
                          const struct server *s)
{
    const struct metrics *m = s->metrics;
    admin_json_begin(j, "metrics", '{');
    admin_json_u64(j, "total_created", metrics_sum(m, METRIC_CONNECTIONS_CREATED));
    admin_json_u64(j, "total_destroyed", metrics_sum(m, METRIC_CONNECTIONS_DESTROYED));
    admin_json_u64(j, "total_lost", metrics_sum(m, METRIC_CONNECTIONS_LOST));
    admin_json_u64(j, "recovery_attempts", metrics_sum(m, METRIC_RECOVERY_ATTEMPTS));
    admin_json_u64(j, "successful_recoveries",
                   metrics_get(m, METRIC_RECOVERY_ATTEMPTS, METRIC_ATTEMPT_SUCCESS));
    admin_status_time(j, view, "last_recovery_attempt", s->attempted_at);
    admin_status_time(j, view, "last_successful_recovery", s->recovered_at);
    admin_json_u64(j, "recovery_cycles", metrics_sum(m, METRIC_RECOVERY_CYCLES));
    admin_json_u64(j, "forced_recoveries", metrics_sum(m, METRIC_FORCED_RECOVERIES));
    admin_status_time(j, view, "last_forced_recovery", s->forced_at);
    admin_json_u64(j, "recovery_audit_repairs", metrics_sum(m, METRIC_AUDIT_REPAIRS));
    admin_json_end(j, '}');
}

static void write_adaptive(struct admin_json *j, const struct server *s)
{
    const struct config_row *row = config_row_find(CONFIG_SECTION_RESILIENCE, "adaptive_backoff");
    usec_t suggested;
    usec_t cap = server_backoff_cap(s, &suggested);
    admin_json_begin(j, "adaptive_backoff", '{');
    admin_json_str(j, "mode", row->values[s->sc->resilience.adaptive_backoff]);
    admin_json_seconds(j, "cap_seconds", cap);
    admin_json_seconds(j, "suggested_cap_seconds", suggested);
    admin_json_u64(j, "samples", s->adapt.samples);
    admin_json_seconds(j, "mean_outage_seconds", s->adapt.mean);
    admin_json_seconds(j, "deviation_seconds", s->adapt.deviation);
    admin_json_end(j, '}');
}

static void write_replay(struct admin_json *j, const struct server *s)
{
    const struct config_row *row = config_row_find(CONFIG_SECTION_DEFAULTS, "replay");
    const struct replay_budget *b = &s->replay_budget;
    admin_json_begin(j, "replay", '{');
    admin_json_str(j, "mode", row->values[s->sc->options.replay]);
    admin_json_u64(j, "budget_left", b->tenths / 10);
    admin_json_u64(j, "budget", b->max_tenths / 10);
    admin_json_u64(j, "replayed", metrics_sum(s->metrics, METRIC_CALLS_REPLAYED));
    admin_json_u64(j, "denied", metrics_sum(s->metrics, METRIC_REPLAYS_DENIED));
    admin_json_end(j, '}');
}

static void write_calls(struct admin_json *j, const struct server *s,
                        const struct server_counts *counts)
{
    const struct metrics *m = s->metrics;
    admin_json_begin(j, "calls", '{');
    admin_json_u64(j, "running", counts->running);
    admin_json_u64(j, "waiting", counts->waiting);
    admin_json_u64(j, "result", metrics_get(m, METRIC_CALLS, METRIC_OUTCOME_RESULT));
    admin_json_u64(j, "error", metrics_get(m, METRIC_CALLS, METRIC_OUTCOME_ERROR));
    admin_json_u64(j, "failed", metrics_get(m, METRIC_CALLS, METRIC_OUTCOME_FAILED));
    admin_json_u64(j, "cancelled", metrics_get(m, METRIC_CALLS, METRIC_OUTCOME_CANCELLED));
    admin_json_u64(j, "moved", metrics_sum(m, METRIC_CALLS_MOVED));
    admin_json_end(j, '}');
}

/* Cumulative since the server is configured, so that whoever reads two documents can take the
 * difference: a rate, and how long things took meanwhile. */
static void write_histogram(struct admin_json *j, const char *key, const struct server *s,
                            enum metric id)
{
    uint64_t counts[METRIC_BUCKETS];
    usec_t sum = metrics_histogram(s->metrics, id, counts);
    admin_json_begin(j, key, '{');
    admin_json_begin(j, "bounds_s", '[');
    for (size_t i = 0; i < METRIC_BUCKETS - 1; i++)
        admin_json_seconds(j, NULL, metric_bounds[i]);
    admin_json_end(j, ']');
    admin_json_begin(j, "counts", '[');
    for (size_t i = 0; i < METRIC_BUCKETS; i++)
        admin_json_u64(j, NULL, counts[i]);
    admin_json_end(j, ']');
    admin_json_seconds(j, "sum_s", sum);
    admin_json_end(j, '}');
}

/* ---- pools ---- */

static void write_slot(struct admin_json *j, const struct admin_view *view, const struct conn *c)
{
    const struct probe *p = &c->probe;
    bool waiting = c->state == CONN_WAITING;
    admin_json_begin(j, NULL, '{');
    admin_json_u64(j, "slot", c->slot);
    admin_json_str(j, "state", conn_state_name(c->state));
    admin_status_time(j, view, "since", c->state_since);
    admin_json_u64(j, "epoch", c->epoch);
    admin_json_u64(j, "attempts", c->recovery.attempts);
    admin_json_u64(j, "failures", c->recovery.failures);
    admin_json_u64(j, "cycles", c->recovery.cycles);
    write_until(j, view, "next_attempt_ms", waiting ? c->retry_at : 0);
    admin_json_str(j, "last_error", c->last_error[0] ? c->last_error : NULL);
    admin_json_bool(j, "fatal", c->fatal);
    admin_json_u64(j, "in_flight", c->running);
    admin_json_u64(j, "pending_bytes", conn_pending(c));
    admin_json_bool(j, "suspect", c->suspect);
    admin_json_bool(j, "draining", c->draining);
    admin_json_bool(j, "outdated", c->outdated);
    admin_status_time(j, view, "last_answer", c->answered_at);
    admin_json_begin(j, "probe", '{');
    admin_json_bool(j, "pending", p->pending);
    admin_json_u64(j, "missed", p->missed);
    admin_json_bool(j, "ever_answered", p->ever_answered);
    admin_json_end(j, '}');
    admin_json_end(j, '}');
}

static void write_pool(struct admin_json *j, const struct admin_view *view, const struct pool *p)
{
    unsigned unused = 0;
    admin_json_begin(j, NULL, '{');
    admin_json_str(j, "principal", p->principal);
    admin_json_u64(j, "features", p->features);
    admin_json_u64(j, "sessions", p->affinities);
    admin_json_u64(j, "queue_length", p->waiting);
    admin_json_u64(j, "queue_bytes", p->waiting_bytes);
    admin_status_time(j, view, "empty_since", p->empty_since);
    admin_json_begin(j, "slots", '[');
    for (unsigned i = 0; i < p->slot_count; i++) {
        /* Nothing can be said of a slot that never had a connection. */
        if (p->slots[i]->state == CONN_IDLE && p->slots[i]->epoch == 0)
            unused++;
        else
            write_slot(j, view, p->slots[i]);
    }
    admin_json_end(j, ']');
    admin_json_u64(j, "slots_never_used", unused);
    admin_json_end(j, '}');
}

static void write_pools(struct admin_json *j, const struct admin_view *view, const struct server *s)
{
    unsigned length = 0;
    size_t bytes = 0;
    for (const struct pool *p = s->pools; p; p = p->next) {
        length += p->waiting;
        bytes += p->waiting_bytes;
    }
    admin_json_begin(j, "queue", '{');
    admin_json_u64(j, "length", length);
    admin_json_u64(j, "bytes", bytes);
    admin_json_end(j, '}');
    admin_json_begin(j, "pools", '[');
    for (const struct pool *p = s->pools; p; p = p->next)
        write_pool(j, view, p);
    admin_json_end(j, ']');
}

/* Time alone can change the health; that is noted at the monitor's next tick, and new until then.
 */
usec_t admin_health_since(const struct admin_view *view, const struct server *s, enum health now)
{
    if (now != s->health)
        return view->env->now;
    return s->health_at ? s->health_at : view->started_at;
}

void admin_status_server(struct admin_json *j, const struct admin_view *view,
                         const struct server *s)
{
    struct server_counts counts;
    enum health health = server_health(s);
    server_count(s, &counts);
    admin_json_begin(j, NULL, '{');
    admin_json_str(j, "name", s->sc->name);
    admin_json_str(j, "mode", server_mode_name(server_mode(s)));
    admin_json_str(j, "health_status", health_name(health));
    admin_status_time(j, view, "health_since", admin_health_since(view, s, health));
    write_config(j, s);
    admin_json_begin(j, "pool_status", '{');
    admin_json_u64(j, "available", counts.available);
    admin_json_u64(j, "max_size", counts.max_size);
    admin_json_u64(j, "min_size", counts.min_size);
    admin_json_end(j, '}');
    admin_json_u64(j, "failed_connections", counts.failed);
    write_until(j, view, "next_attempt_ms", counts.next_attempt);
    write_breaker(j, view, s);
    write_metrics(j, view, s);
    write_resilience(j, s->sc);
    write_adaptive(j, s);
    write_replay(j, s);
    write_calls(j, s, &counts);
    write_histogram(j, "call_duration", s, METRIC_CALL_DURATION);
    write_histogram(j, "queue_wait", s, METRIC_QUEUE_WAIT);
    write_histogram(j, "recovery_time", s, METRIC_RECOVERY_TIME);
    write_pools(j, view, s);
    admin_json_end(j, '}');
}
