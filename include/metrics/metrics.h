/* Counters, gauges and histograms, all declared in one table (METRICS below): names, help, labels,
 * /metrics, and the tests that compare them with the status read those rows and nothing else.
 *
 * A family has one cell per value of its label, or a single one. Each server has a set of the
 * families of scope SERVER, the process one of scope PROCESS. Adding to a cell is one addition at a
 * constant offset, so it may stand on the hot path. */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/buf.h"
#include "base/time.h"

#include <stddef.h>
#include <stdint.h>

/* Values of labels, in the order of their enum. */
enum metric_outcome { /* how a call ended */
                      METRIC_OUTCOME_RESULT,
                      METRIC_OUTCOME_ERROR,     /* the server's own error */
                      METRIC_OUTCOME_FAILED,    /* mcpool's error */
                      METRIC_OUTCOME_CANCELLED, /* by the client */
};
enum metric_attempt { METRIC_ATTEMPT_SUCCESS, METRIC_ATTEMPT_FAILURE };
enum metric_breaker { METRIC_BREAKER_CLOSED, METRIC_BREAKER_OPEN, METRIC_BREAKER_HALF_OPEN };
enum metric_slot {
    METRIC_SLOT_IDLE,
    METRIC_SLOT_CONNECTING,
    METRIC_SLOT_HANDSHAKE,
    METRIC_SLOT_READY,
    METRIC_SLOT_CLOSING,
    METRIC_SLOT_WAITING,
};

/* X(id, kind, scope, name, unit, label key or NULL, list of label values, help). Counters get
 * "_total", durations are observed in microseconds and shown in seconds. The names are an
 * interface: they are never changed or reused. */
#define METRICS(X)                                                                                 \
    X(CALLS, COUNTER, SERVER, "mcpool_calls", "", "outcome", "result error failed cancelled",      \
      "Requests of clients that came to their end.")                                               \
    X(CALL_FAILURES, COUNTER, SERVER, "mcpool_call_failures", "", "reason", METRIC_REASONS,        \
      "Requests that ended with an error of mcpool itself.")                                       \
    X(CALL_DURATION, HISTOGRAM, SERVER, "mcpool_call_duration", "seconds", "outcome",              \
      "result error failed cancelled", "Time from sending a request to its end.")                  \
    X(QUEUE_WAIT, HISTOGRAM, SERVER, "mcpool_queue_wait", "seconds", NULL, "",                     \
      "Time that requests waited for a connection.")                                               \
    X(CALLS_RUNNING, GAUGE, SERVER, "mcpool_calls_running", "", NULL, "",                          \
      "Requests at the server.")                                                                   \
    X(CALLS_WAITING, GAUGE, SERVER, "mcpool_calls_waiting", "", NULL, "",                          \
      "Requests that wait for a connection.")                                                      \
    X(CALLS_MOVED, COUNTER, SERVER, "mcpool_calls_moved", "", NULL, "",                            \
      "Requests that a dead server had not read and that went on to another connection.")          \
    X(CALLS_REPLAYED, COUNTER, SERVER, "mcpool_calls_replayed", "", NULL, "",                      \
      "Requests without side effects that were sent again after a server died over them.")         \
    X(REPLAYS_DENIED, COUNTER, SERVER, "mcpool_replays_denied", "", NULL, "",                      \
      "Requests that might have been sent again, but the replay budget was used up.")              \
    X(SLOTS, GAUGE, SERVER, "mcpool_pool_slots", "", "state",                                      \
      "idle connecting handshake ready closing waiting", "Connections by state.")                  \
    X(CONNECTIONS_CREATED, COUNTER, SERVER, "mcpool_connections_created", "", NULL, "",            \
      "Connections that completed their handshake.")                                               \
    X(CONNECTIONS_DESTROYED, COUNTER, SERVER, "mcpool_connections_destroyed", "", NULL, "",        \
      "Connections that were ready and ended, for whatever reason.")                               \
    X(CONNECTIONS_LOST, COUNTER, SERVER, "mcpool_connections_lost", "", "reason", METRIC_REASONS,  \
      "Connections that were ready and failed.")                                                   \
    X(RECOVERY_ATTEMPTS, COUNTER, SERVER, "mcpool_recovery_attempts", "", "outcome",               \
      "success failure", "Attempts to bring back a failed connection.")                            \
    X(RECOVERY_CYCLES, COUNTER, SERVER, "mcpool_recovery_cycles", "", NULL, "",                    \
      "Cycles of max_retry_attempts attempts that ended without success.")                         \
    X(RECOVERY_TIME, HISTOGRAM, SERVER, "mcpool_recovery_time", "seconds", NULL, "",               \
      "Time from the loss of a connection to its next completed handshake.")                       \
    X(FORCED_RECOVERIES, COUNTER, SERVER, "mcpool_forced_recoveries", "", "by",                    \
      "watchdog operator", "Recoveries by force.")                                                 \
    X(AUDIT_REPAIRS, COUNTER, SERVER, "mcpool_recovery_audit_repairs", "", NULL, "",               \
      "Slots that the sweep found without a way back, and repaired. Anything but 0 is a defect.")  \
    X(BREAKER_STATE, GAUGE, SERVER, "mcpool_breaker_state", "", "state", "closed open half_open",  \
      "1 for the state that the circuit breaker is in.")                                           \
    X(BREAKER_TRANSITIONS, COUNTER, SERVER, "mcpool_breaker_transitions", "", "to",                \
      "closed open half_open", "Transitions of the circuit breaker.")                              \
    X(BREAKER_STALE, COUNTER, SERVER, "mcpool_breaker_stale_outcomes", "", NULL, "",               \
      "Outcomes that came too late to count for the circuit breaker.")                             \
    X(PROBES, COUNTER, SERVER, "mcpool_probes", "", "outcome", "answered missed lost",             \
      "Pings of silent connections.")                                                              \
    X(CONNECTIONS_DRAINED, COUNTER, SERVER, "mcpool_connections_drained", "", NULL, "",            \
      "Connections that stopped answering and were emptied and replaced.")                         \
    X(LATE_ANSWERS, COUNTER, SERVER, "mcpool_late_answers", "", NULL, "",                          \
      "Answers of the server that nobody waited for any more.")                                    \
    X(AMBIGUOUS_ASKS, COUNTER, SERVER, "mcpool_ambiguous_asks", "", NULL, "",                      \
      "Questions of the server that were refused because it was not certain whom they were for.")  \
    X(LISTS_CHANGED, COUNTER, SERVER, "mcpool_lists_changed_over_restart", "", NULL, "",           \
      "Lists that were different after the server came back.")                                     \
    X(HEALTH, GAUGE, SERVER, "mcpool_server_health", "", "state",                                  \
      "unknown healthy degraded unhealthy", "1 for the health that the server is in.")             \
    X(SESSIONS, GAUGE, PROCESS, "mcpool_sessions", "", NULL, "", "Client sessions.")               \
    X(SESSIONS_OPENED, COUNTER, PROCESS, "mcpool_sessions_opened", "", NULL, "",                   \
      "Client sessions that were initialized.")                                                    \
    X(SESSIONS_REVIVED, COUNTER, PROCESS, "mcpool_sessions_revived", "", NULL, "",                 \
      "Client sessions that were recognised after a restart of mcpool.")                           \
    X(MESSAGES_DROPPED, COUNTER, PROCESS, "mcpool_messages_dropped", "", NULL, "",                 \
      "Notifications that found no way to their client and no room to wait.")                      \
    X(STARTS_DELAYED, COUNTER, PROCESS, "mcpool_starts_delayed", "", NULL, "",                     \
      "Connection attempts that waited because too many servers were being started at once.")      \
    X(START_TIME, GAUGE, PROCESS, "mcpool_start_time", "seconds", NULL, "",                        \
      "When the process started, in Unix time.")

/* The names of enum reason (wire/mcp.h), which this room cannot see; a unit test compares. */
#define METRIC_REASONS                                                                             \
    "none bad_request batch too_large origin session_required session_not_found "                  \
    "upstream_unavailable breaker_open overloaded rate_limited timeout upstream_lost "             \
    "upstream_auth upstream_protocol response_too_large shutting_down resume_lost version"

enum metric {
#define METRICS_ID(id, ...) METRIC_##id,
    METRICS(METRICS_ID)
#undef METRICS_ID
        METRIC_COUNT
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum metric_scope { METRIC_SERVER, METRIC_PROCESS };

struct metrics; /* one set: the cells of one server, or of the process */

struct metrics *metrics_new(enum metric_scope scope);
void metrics_free(struct metrics *m); /* accepts NULL */

/* cell: index of the label's value, 0 for families without a label. Counters wrap at 2^64. */
void metrics_add(struct metrics *m, enum metric id, unsigned cell, uint64_t n);
static inline void metrics_inc(struct metrics *m, enum metric id, unsigned cell)
{
    metrics_add(m, id, cell, 1);
}

/* Sets a gauge. */
void metrics_set(struct metrics *m, enum metric id, unsigned cell, uint64_t value);

/* One observation of a histogram. */
void metrics_observe(struct metrics *m, enum metric id, unsigned cell, usec_t value);

/* The value of a counter or gauge; of a histogram the number of observations. */
uint64_t metrics_get(const struct metrics *m, enum metric id, unsigned cell);

/* The sum over all cells. */
uint64_t metrics_sum(const struct metrics *m, enum metric id);

/* Appends all sets as OpenMetrics 1.0 text, "# EOF" included. names[i] becomes the label "server"
 * of servers[i], escaped. process may be NULL. */
void metrics_render(struct buf *out, const struct metrics *process,
                    const struct metrics *const *servers, const char *const *names, size_t n);

/* What METRICS says of a family, for tests and documentation. */
struct metric_info {
    enum metric_kind kind;
    enum metric_scope scope;
    const char *name, *unit, *label, *values, *help;
    unsigned cells;
};
const struct metric_info *metric_info(enum metric id);

#define METRICS_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

#endif
