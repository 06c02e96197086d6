/* Counters, gauges and histograms, all declared in one table (METRICS below): names, help, labels,
 * cells, enums, /metrics, and the tests that compare them with the status read those rows and
 * nothing else.
 *
 * A family has one cell per value of its label, or a single one. Each server has a set of the
 * families of scope SERVER, the process one of scope PROCESS. Adding to a cell is one addition at a
 * constant offset, so it may stand on the hot path: where the family is a constant, the compiler
 * sees through the functions below. */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/buf.h"
#include "base/time.h"
#include "base/version.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values of labels: V(constant that names the cell, text). Their enums follow from these lists. */
#define METRIC_OUTCOMES(V) /* how a call ended */                                                  \
    V(METRIC_OUTCOME_RESULT, "result")                                                             \
    V(METRIC_OUTCOME_ERROR, "error")         /* the server's own error */                          \
    V(METRIC_OUTCOME_FAILED, "failed")       /* mcpool's error */                                  \
    V(METRIC_OUTCOME_CANCELLED, "cancelled") /* by the client */

#define METRIC_ATTEMPTS(V) /* of recovery */                                                       \
    V(METRIC_ATTEMPT_SUCCESS, "success")                                                           \
    V(METRIC_ATTEMPT_FAILURE, "failure")

#define METRIC_WAITS(V) /* how waiting for a connection ended */                                   \
    V(METRIC_WAIT_SENT, "sent")                                                                    \
    V(METRIC_WAIT_REFUSED, "refused")     /* by mcpool */                                          \
    V(METRIC_WAIT_CANCELLED, "cancelled") /* by the client */

#define METRIC_RECOVERY_EVENTS(V)                                                                  \
    V(METRIC_LAST_ATTEMPT, "attempt")                                                              \
    V(METRIC_LAST_SUCCESS, "success")                                                              \
    V(METRIC_LAST_FORCED, "forced")

#define METRIC_PROTOCOLS(V) /* what a client connection speaks */                                  \
    V(METRIC_PROTOCOL_HTTP, "http")                                                                \
    V(METRIC_PROTOCOL_LINES, "lines")

#define METRIC_STREAMS(V) /* of a client, for what the server says unasked */                      \
    V(METRIC_STREAM_GET, "get")                                                                    \
    V(METRIC_STREAM_SSE, "sse")

#define METRIC_VERSIONS(V) V(METRIC_VERSION_ONE, MCPOOL_VERSION)

#define METRIC_FORCES(V) /* who forced a recovery */                                               \
    V(METRIC_FORCE_WATCHDOG, "watchdog")                                                           \
    V(METRIC_FORCE_OPERATOR, "operator")

#define METRIC_PROBE_ENDS(V)                                                                       \
    V(METRIC_PROBE_ANSWERED, "answered")                                                           \
    V(METRIC_PROBE_MISSED, "missed") /* no answer in time */                                       \
    V(METRIC_PROBE_LOST, "lost")     /* the connection ended first */

/* Equal to, and in the order of, the states and reasons of rooms that this one cannot see (conn.h,
 * breaker.h, health.h, mcp.h), whose constants may therefore stand for the cell; a unit test
 * compares. */
#define METRIC_SLOT_STATES(V)                                                                      \
    V(METRIC_SLOT_IDLE, "idle")                                                                    \
    V(METRIC_SLOT_CONNECTING, "connecting")                                                        \
    V(METRIC_SLOT_HANDSHAKE, "handshake")                                                          \
    V(METRIC_SLOT_READY, "ready")                                                                  \
    V(METRIC_SLOT_CLOSING, "closing")                                                              \
    V(METRIC_SLOT_WAITING, "waiting")

#define METRIC_BREAKERS(V)                                                                         \
    V(METRIC_BREAKER_CLOSED, "closed")                                                             \
    V(METRIC_BREAKER_OPEN, "open")                                                                 \
    V(METRIC_BREAKER_HALF_OPEN, "half_open")

#define METRIC_HEALTHS(V)                                                                          \
    V(METRIC_HEALTH_UNKNOWN, "unknown")                                                            \
    V(METRIC_HEALTH_HEALTHY, "healthy")                                                            \
    V(METRIC_HEALTH_DEGRADED, "degraded")                                                          \
    V(METRIC_HEALTH_UNHEALTHY, "unhealthy")

#define METRIC_MODES(V)                                                                            \
    V(METRIC_MODE_ACTIVE, "active")                                                                \
    V(METRIC_MODE_DRAIN, "drain")                                                                  \
    V(METRIC_MODE_MAINT, "maint")

#define METRIC_REASONS(V)                                                                          \
    V(REASON_NONE, "none")                                                                         \
    V(REASON_BAD_REQUEST, "bad_request")                                                           \
    V(REASON_BATCH, "batch")                                                                       \
    V(REASON_TOO_LARGE, "too_large")                                                               \
    V(REASON_ORIGIN, "origin")                                                                     \
    V(REASON_UNAUTHORIZED, "unauthorized")                                                         \
    V(REASON_FORBIDDEN, "forbidden")                                                               \
    V(REASON_SESSION_REQUIRED, "session_required")                                                 \
    V(REASON_SESSION_NOT_FOUND, "session_not_found")                                               \
    V(REASON_UPSTREAM_UNAVAILABLE, "upstream_unavailable")                                         \
    V(REASON_BREAKER_OPEN, "breaker_open")                                                         \
    V(REASON_OVERLOADED, "overloaded")                                                             \
    V(REASON_RATE_LIMITED, "rate_limited")                                                         \
    V(REASON_TIMEOUT, "timeout")                                                                   \
    V(REASON_UPSTREAM_LOST, "upstream_lost")                                                       \
    V(REASON_UPSTREAM_AUTH, "upstream_auth")                                                       \
    V(REASON_UPSTREAM_PROTOCOL, "upstream_protocol")                                               \
    V(REASON_RESPONSE_TOO_LARGE, "response_too_large")                                             \
    V(REASON_SHUTTING_DOWN, "shutting_down")                                                       \
    V(REASON_RESUME_LOST, "resume_lost")                                                           \
    V(REASON_VERSION, "version")                                                                   \
    V(REASON_MAINTENANCE, "maintenance")

#define METRIC_NO_LABEL(V) V(METRIC_NO_VALUE, "") /* one cell */

/* X(id, kind, scope, name, unit, label key or NULL, list of the label's values, help). The name is
 * that of the family, with the unit as its end as OpenMetrics wants it; "_total", "_bucket" and the
 * like come with the samples. What has the unit seconds is counted in microseconds and shown in
 * seconds. Names begin with "mcpool_", but for those that every process has: "process_". The names
 * are an interface: they are never changed or reused. */
#define METRICS(X)                                                                                 \
    X(CALLS, COUNTER, SERVER, "mcpool_calls", "", "outcome", METRIC_OUTCOMES,                      \
      "Requests of clients that came to their end.")                                               \
    X(CALL_FAILURES, COUNTER, SERVER, "mcpool_call_failures", "", "reason", METRIC_REASONS,        \
      "Requests that ended with an error of mcpool itself.")                                       \
    X(CALL_DURATION, HISTOGRAM, SERVER, "mcpool_call_duration_seconds", "seconds", "outcome",      \
      METRIC_OUTCOMES, "Time from sending a request to its end.")                                  \
    X(QUEUE_WAIT, HISTOGRAM, SERVER, "mcpool_queue_wait_seconds", "seconds", "outcome",            \
      METRIC_WAITS, "Time that requests waited for a connection.")                                 \
    X(CALLS_RUNNING, GAUGE, SERVER, "mcpool_calls_running", "", NULL, METRIC_NO_LABEL,             \
      "Requests at the server.")                                                                   \
    X(CALLS_WAITING, GAUGE, SERVER, "mcpool_calls_waiting", "", NULL, METRIC_NO_LABEL,             \
      "Requests that wait for a connection.")                                                      \
    X(QUEUE_BYTES, GAUGE, SERVER, "mcpool_queue_bytes", "bytes", NULL, METRIC_NO_LABEL,            \
      "Size of the requests that wait for a connection.")                                          \
    X(CALLS_MOVED, COUNTER, SERVER, "mcpool_calls_moved", "", NULL, METRIC_NO_LABEL,               \
      "Requests that a dead server had not read and that went on to another connection.")          \
    X(CALLS_REPLAYED, COUNTER, SERVER, "mcpool_calls_replayed", "", NULL, METRIC_NO_LABEL,         \
      "Requests without side effects that were sent again after a server died over them.")         \
    X(REPLAYS_DENIED, COUNTER, SERVER, "mcpool_replays_denied", "", NULL, METRIC_NO_LABEL,         \
      "Requests that might have been sent again, but the replay budget was used up.")              \
    X(SLOTS, GAUGE, SERVER, "mcpool_pool_slots", "", "state", METRIC_SLOT_STATES,                  \
      "Connections by state.")                                                                     \
    X(POOL_MIN, GAUGE, SERVER, "mcpool_pool_min_size", "", NULL, METRIC_NO_LABEL,                  \
      "Connections that are kept open or brought back.")                                           \
    X(POOL_MAX, GAUGE, SERVER, "mcpool_pool_max_size", "", NULL, METRIC_NO_LABEL,                  \
      "Connections that there may be.")                                                            \
    X(CONNECTIONS_AVAILABLE, GAUGE, SERVER, "mcpool_connections_available", "", NULL,              \
      METRIC_NO_LABEL, "Connections that requests can be given to.")                               \
    X(CONNECTIONS_FAILED, GAUGE, SERVER, "mcpool_connections_failed", "", NULL, METRIC_NO_LABEL,   \
      "Connections that failed and are being brought back.")                                       \
    X(CONNECTIONS_CREATED, COUNTER, SERVER, "mcpool_connections_opened", "", NULL,                 \
      METRIC_NO_LABEL, "Connections that completed their handshake.")                              \
    X(CONNECTIONS_DESTROYED, COUNTER, SERVER, "mcpool_connections_closed", "", NULL,               \
      METRIC_NO_LABEL, "Connections that were ready and ended, for whatever reason.")              \
    X(CONNECTIONS_LOST, COUNTER, SERVER, "mcpool_connections_lost", "", "reason", METRIC_REASONS,  \
      "Connections that were ready and failed.")                                                   \
    X(RECOVERY_ATTEMPTS, COUNTER, SERVER, "mcpool_recovery_attempts", "", "outcome",               \
      METRIC_ATTEMPTS, "Attempts to bring back a failed connection.")                              \
    X(RECOVERY_CYCLES, COUNTER, SERVER, "mcpool_recovery_cycles", "", NULL, METRIC_NO_LABEL,       \
      "Cycles of max_retry_attempts attempts that ended without success.")                         \
    X(RECOVERY_TIME, HISTOGRAM, SERVER, "mcpool_recovery_time_seconds", "seconds", NULL,           \
      METRIC_NO_LABEL, "Time from the loss of a connection to its next completed handshake.")      \
    X(ATTEMPT_DURATION, HISTOGRAM, SERVER, "mcpool_recovery_attempt_duration_seconds", "seconds",  \
      "outcome", METRIC_ATTEMPTS, "Time that attempts to bring back a failed connection took.")    \
    X(RECOVERY_LAST, GAUGE, SERVER, "mcpool_last_recovery_timestamp_seconds", "seconds", "event",  \
      METRIC_RECOVERY_EVENTS,                                                                      \
      "When a failed connection was last tried, brought back, and recovered by force, in Unix "    \
      "time; 0 for never.")                                                                        \
    X(BACKOFF_CAP, GAUGE, SERVER, "mcpool_backoff_cap_seconds", "seconds", NULL, METRIC_NO_LABEL,  \
      "Longest delay between two attempts that is in force.")                                      \
    X(FORCED_RECOVERIES, COUNTER, SERVER, "mcpool_forced_recoveries", "", "by", METRIC_FORCES,     \
      "Recoveries by force.")                                                                      \
    X(AUDIT_REPAIRS, COUNTER, SERVER, "mcpool_recovery_audit_repairs", "", NULL, METRIC_NO_LABEL,  \
      "Slots that the sweep found without a way back, and repaired. Anything but 0 is a defect.")  \
    X(BREAKER_STATE, GAUGE, SERVER, "mcpool_breaker_state", "", "state", METRIC_BREAKERS,          \
      "1 for the state that the circuit breaker is in.")                                           \
    X(BREAKER_FAILURES, GAUGE, SERVER, "mcpool_breaker_failures", "", NULL, METRIC_NO_LABEL,       \
      "Failures in a row, as the circuit breaker counts them.")                                    \
    X(BREAKER_TRANSITIONS, COUNTER, SERVER, "mcpool_breaker_transitions", "", "to",                \
      METRIC_BREAKERS, "Transitions of the circuit breaker.")                                      \
    X(BREAKER_STALE, COUNTER, SERVER, "mcpool_breaker_stale_outcomes", "", NULL, METRIC_NO_LABEL,  \
      "Outcomes that came too late to count for the circuit breaker.")                             \
    X(PROBES, COUNTER, SERVER, "mcpool_probes", "", "outcome", METRIC_PROBE_ENDS,                  \
      "Pings of silent connections.")                                                              \
    X(CONNECTIONS_DRAINED, COUNTER, SERVER, "mcpool_connections_drained", "", NULL,                \
      METRIC_NO_LABEL, "Connections that stopped answering and were emptied and replaced.")        \
    X(LATE_ANSWERS, COUNTER, SERVER, "mcpool_late_answers", "", NULL, METRIC_NO_LABEL,             \
      "Answers of the server that nobody waited for any more.")                                    \
    X(AMBIGUOUS_ASKS, COUNTER, SERVER, "mcpool_ambiguous_asks", "", NULL, METRIC_NO_LABEL,         \
      "Questions of the server that were refused because it was not certain whom they were for.")  \
    X(LISTS_CHANGED, COUNTER, SERVER, "mcpool_lists_changed_over_restart", "", NULL,               \
      METRIC_NO_LABEL, "Lists that were different after the server came back.")                    \
    X(SERVER_MODE, GAUGE, SERVER, "mcpool_server_mode", "", "state", METRIC_MODES,                 \
      "1 for what the operator wants of the server.")                                              \
    X(HEALTH, GAUGE, SERVER, "mcpool_server_health", "", "state", METRIC_HEALTHS,                  \
      "1 for the health that the server is in.")                                                   \
    X(SESSIONS, GAUGE, PROCESS, "mcpool_sessions", "", NULL, METRIC_NO_LABEL, "Client sessions.")  \
    X(SESSIONS_OPENED, COUNTER, PROCESS, "mcpool_sessions_opened", "", NULL, METRIC_NO_LABEL,      \
      "Client sessions that were initialized.")                                                    \
    X(SESSIONS_REVIVED, COUNTER, PROCESS, "mcpool_sessions_revived", "", NULL, METRIC_NO_LABEL,    \
      "Client sessions that were recognised after a restart of mcpool.")                           \
    X(MESSAGES_DROPPED, COUNTER, PROCESS, "mcpool_messages_dropped", "", NULL, METRIC_NO_LABEL,    \
      "Notifications that found no way to their client and no room to wait.")                      \
    X(STARTS_DELAYED, COUNTER, PROCESS, "mcpool_starts_delayed", "", NULL, METRIC_NO_LABEL,        \
      "Connection attempts that waited because too many servers were being started at once.")      \
    X(START_TIME, GAUGE, PROCESS, "mcpool_start_time_seconds", "seconds", NULL, METRIC_NO_LABEL,   \
      "When the process started, in Unix time.")                                                   \
    X(CLIENT_CONNECTIONS, GAUGE, PROCESS, "mcpool_client_connections", "", "protocol",             \
      METRIC_PROTOCOLS, "Connections of clients. One that has not spoken yet counts as http.")     \
    X(CLIENT_STREAMS, GAUGE, PROCESS, "mcpool_client_streams", "", "kind", METRIC_STREAMS,         \
      "Open streams for what servers say unasked.")                                                \
    X(CLIENTS_ACCEPTED, COUNTER, PROCESS, "mcpool_client_connections_accepted", "", NULL,          \
      METRIC_NO_LABEL, "Connections of clients that were accepted.")                               \
    X(CLIENTS_REFUSED, COUNTER, PROCESS, "mcpool_client_connections_refused", "", NULL,            \
      METRIC_NO_LABEL, "Connections of clients that were closed at once because of a limit.")      \
    X(CLIENTS_SLOW, COUNTER, PROCESS, "mcpool_client_connections_too_slow", "", NULL,              \
      METRIC_NO_LABEL, "Connections of clients that were closed because they did not read.")       \
    X(REPLAY_BYTES, GAUGE, PROCESS, "mcpool_resume_bytes", "bytes", NULL, METRIC_NO_LABEL,         \
      "Memory that keeps events of streams for clients that come back.")                           \
    X(BUILD, INFO, PROCESS, "mcpool_build", "", "version", METRIC_VERSIONS,                        \
      "What this program is.")                                                                     \
    X(PROCESS_CPU, COUNTER, PROCESS, "process_cpu_seconds", "seconds", NULL, METRIC_NO_LABEL,      \
      "Time of processors that the process used.")                                                 \
    X(PROCESS_RESIDENT, GAUGE, PROCESS, "process_resident_memory_bytes", "bytes", NULL,            \
      METRIC_NO_LABEL, "Memory of the process that is in RAM.")                                    \
    X(PROCESS_VIRTUAL, GAUGE, PROCESS, "process_virtual_memory_bytes", "bytes", NULL,              \
      METRIC_NO_LABEL, "Address space of the process.")                                            \
    X(PROCESS_OPEN_FDS, GAUGE, PROCESS, "process_open_fds", "", NULL, METRIC_NO_LABEL,             \
      "Descriptors that the process has open.")                                                    \
    X(PROCESS_MAX_FDS, GAUGE, PROCESS, "process_max_fds", "", NULL, METRIC_NO_LABEL,               \
      "Descriptors that the process may have open.")                                               \
    X(PROCESS_START_TIME, GAUGE, PROCESS, "process_start_time_seconds", "seconds", NULL,           \
      METRIC_NO_LABEL,                                                                             \
      "The same as mcpool_start_time_seconds, under the name that dashboards know.")

#define METRIC_CONSTANT(id, text) id,
enum metric_outcome { METRIC_OUTCOMES(METRIC_CONSTANT) };
enum metric_attempt { METRIC_ATTEMPTS(METRIC_CONSTANT) };
enum metric_wait { METRIC_WAITS(METRIC_CONSTANT) };
enum metric_recovery_event { METRIC_RECOVERY_EVENTS(METRIC_CONSTANT) };
enum metric_protocol { METRIC_PROTOCOLS(METRIC_CONSTANT) };
enum metric_stream { METRIC_STREAMS(METRIC_CONSTANT) };
enum metric_version { METRIC_VERSIONS(METRIC_CONSTANT) };
enum metric_force { METRIC_FORCES(METRIC_CONSTANT) };
enum metric_probe { METRIC_PROBE_ENDS(METRIC_CONSTANT) };
enum metric_slot { METRIC_SLOT_STATES(METRIC_CONSTANT) };
enum metric_breaker { METRIC_BREAKERS(METRIC_CONSTANT) };
enum metric_mode { METRIC_MODES(METRIC_CONSTANT) };
enum metric_health { METRIC_HEALTHS(METRIC_CONSTANT) };
enum metric_no_value { METRIC_NO_LABEL(METRIC_CONSTANT) };
#undef METRIC_CONSTANT

enum metric {
#define METRIC_ID(id, ...) METRIC_##id,
    METRICS(METRIC_ID)
#undef METRIC_ID
        METRIC_COUNT
};

/* An info is always 1; what it says is the value of its label. */
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };
enum metric_scope { METRIC_SERVER, METRIC_PROCESS };

/* Upper bounds of the buckets of every histogram, included; a last bucket holds what is above. */
#define METRIC_BUCKETS 17
extern const usec_t metric_bounds[METRIC_BUCKETS - 1];

/* Where a family lies in a set. Sets of both scopes have the same layout, so an offset depends on
 * the family alone; what that wastes is one word per row of the other scope. The words of a
 * histogram's cell are its buckets, each with its own observations only, and their sum in
 * microseconds. */
#define METRIC_WORDS_COUNTER   1
#define METRIC_WORDS_GAUGE     1
#define METRIC_WORDS_INFO      1
#define METRIC_WORDS_HISTOGRAM (METRIC_BUCKETS + 1)
#define METRIC_ONE(id, text)   +1
enum {
#define METRIC_AT(id, kind, scope, name, unit, key, values, help)                                  \
    METRIC_AT_##id,                                                                                \
        METRIC_END_##id = METRIC_AT_##id + (values(METRIC_ONE)) * METRIC_WORDS_##kind - 1,
    METRICS(METRIC_AT)
#undef METRIC_AT
        METRIC_WORDS
};

struct metric_place {
    uint16_t at, cells;
    uint8_t kind, scope;
};
static const struct metric_place metric_places[METRIC_COUNT] = {
#define METRIC_PLACE(id, kind, scope, name, unit, key, values, help)                               \
    {METRIC_AT_##id, values(METRIC_ONE), METRIC_##kind, METRIC_##scope},
    METRICS(METRIC_PLACE)
#undef METRIC_PLACE
};
_Static_assert(METRIC_WORDS <= UINT16_MAX, "struct metric_place holds every offset");

/* One set: the cells of one server, or of the process. Its members are for this room alone. */
struct metrics {
    enum metric_scope scope;
    uint64_t stray;
    uint64_t words[METRIC_WORDS];
};

struct metrics *metrics_new(enum metric_scope scope);
void metrics_free(struct metrics *m); /* accepts NULL */

/* The word that counts, or NULL when the set has no such cell. */
static inline uint64_t *metrics_word(struct metrics *m, enum metric id, unsigned cell)
{
    if ((unsigned)id >= METRIC_COUNT || cell >= metric_places[id].cells ||
        metric_places[id].scope != m->scope || metric_places[id].kind == METRIC_HISTOGRAM)
        return NULL;
    return &m->words[metric_places[id].at + cell];
}

/* The three that count accept m = NULL, then nothing is counted. cell: index of the label's value,
 * 0 for families without a label. An operation that does not fit (no such cell, not in a set of
 * this scope, not for this kind) changes no cell; it is counted by metrics_stray. */

/* Counters wrap at 2^64. Of a gauge, the negative of an unsigned n takes away n. */
static inline void metrics_add(struct metrics *m, enum metric id, unsigned cell, uint64_t n)
{
    uint64_t *word;

    if (!m)
        return;
    word = metrics_word(m, id, cell);
    if (word)
        *word += n;
    else
        m->stray++;
}

static inline void metrics_inc(struct metrics *m, enum metric id, unsigned cell)
{
    metrics_add(m, id, cell, 1);
}

/* Sets a gauge; one with the unit seconds to `value` microseconds. */
void metrics_set(struct metrics *m, enum metric id, unsigned cell, uint64_t value);

/* One observation of a histogram. Their sum stops at the largest number instead of wrapping. */
void metrics_observe(struct metrics *m, enum metric id, unsigned cell, usec_t value);

/* How many operations on this set fitted no cell. Anything but 0 is a defect of the caller. */
uint64_t metrics_stray(const struct metrics *m);

/* The value of a counter or gauge; of a histogram the number of observations. 0 if the set has no
 * such cell. */
uint64_t metrics_get(const struct metrics *m, enum metric id, unsigned cell);

/* The same, summed over all cells. */
uint64_t metrics_sum(const struct metrics *m, enum metric id);

/* A histogram, summed over all cells: how many observations each bucket holds, those of lower
 * buckets not included. Returns the sum of the observations. Nothing but zeros for what is no
 * histogram of this set. */
usec_t metrics_histogram(const struct metrics *m, enum metric id, uint64_t counts[METRIC_BUCKETS]);

/* The texts that scrapers understand. The samples are the same; what the older one has no word for
 * is left out or said otherwise (UNIT, info, names of counters in TYPE and HELP). */
enum metrics_format {
    METRICS_OPENMETRICS, /* OpenMetrics 1.0, "# EOF" included */
    METRICS_PROMETHEUS,  /* Prometheus text format 0.0.4 */
};

/* Appends all sets as text. names[i] becomes the label "server"
 * of servers[i], escaped; each name may occur once. process may be NULL. A family that no set holds
 * is left out. */
void metrics_render(struct buf *out, enum metrics_format format, const struct metrics *process,
                    const struct metrics *const *servers, const char *const *names, size_t n);

/* What METRICS says of a family, for tests and documentation. */
struct metric_info {
    enum metric_kind kind;
    enum metric_scope scope;
    const char *name, *unit, *label, *help; /* unit "" = none, label NULL = none */
    const char *const *values;              /* of the label, one per cell; "" without a label */
    unsigned cells;
};
const struct metric_info *metric_info(enum metric id); /* never NULL for an id below METRIC_COUNT */

/* What a format is called in Content-Type. */
const char *metrics_content_type(enum metrics_format format);

#endif
