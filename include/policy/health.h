/* Honest health of a server, and what the monitor does about a silent connection (resilience.md
 * sections 1 and 6). Pure. */
#ifndef POLICY_HEALTH_H
#define POLICY_HEALTH_H

#include "base/time.h"

#include <stdbool.h>

enum health { HEALTH_UNKNOWN, HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_UNHEALTHY };
const char *health_name(enum health h); /* "unknown", "healthy", "degraded", "unhealthy" */

struct health_view {
    unsigned ready;      /* connections that completed their handshake and are not given up */
    unsigned recovering; /* failed ones: waiting, or attempting after a failure */
    unsigned wanted;     /* min_connections */
    usec_t last_answer;  /* latest real answer, handshakes included, of a connection that is still
                            ready; 0 = none */
    bool breaker_closed;
    bool attempted; /* at least one attempt came to an end */
};

/* healthy: the breaker is closed, at least `wanted` (and one) connections are ready, and one of
 * them answered something real within two ticks. degraded: something is ready, but not all of that
 * holds. unhealthy: nothing is ready, and a connection recovers, the breaker is not closed, or what
 * is wanted was attempted and is not there. unknown: nothing was tried yet, or nothing is wanted.
 */
enum health health_judge(const struct health_view *v, usec_t tick, usec_t now);

/* ---- the monitor, per ready connection ---- */

struct probe {
    bool pending;       /* a ping is out */
    usec_t sent_at;     /* the latest one */
    unsigned missed;    /* pings in a row that were not answered in time; any byte resets it */
    bool ever_answered; /* this server has answered a ping once (an error is an answer) */
};

struct probe_view {
    usec_t heard_at;  /* latest byte of the server */
    unsigned running; /* calls in flight that somebody still waits for */
    bool overdue;     /* a call was given up and the server has not been heard since it began */
};

enum probe_action {
    PROBE_NOTHING,
    PROBE_SEND,    /* ping now */
    PROBE_SUSPECT, /* a ping was not answered: no new requests there while another place exists */
    PROBE_REPLACE, /* idle and dead: close it and connect anew */
};

#define PROBE_MISSES_MAX 2

/* One tick of the monitor for one connection. Silent for less than half of `tick`: nothing.
 * Otherwise a ping goes out, and p notes it (PROBE_SEND); once `timeout` has passed without a byte
 * it is missed. PROBE_MISSES_MAX misses of a server that once answered a ping and has no calls in
 * flight: replace. With calls in flight it may just be busy: suspect, never replaced for that. A
 * server that never answered a ping is neither replaced nor suspected for not answering, only
 * pinged again. An overdue call and no other in flight: replace, pings or not.
 *
 * After PROBE_SUSPECT the next ping is due at once: who calls again in the same tick gets
 * PROBE_SEND, who does not finds out a tick later. */
enum probe_action probe_tick(struct probe *p, const struct probe_view *v, usec_t tick,
                             usec_t timeout, usec_t now);

/* A byte, which makes waiting for the ping pointless, and an answer to the ping. */
void probe_on_heard(struct probe *p);
void probe_on_answer(struct probe *p);

/* A call was given up: whether the connection is stuck (silent since the call began) and must be
 * drained and replaced, or the server is only slow. Heard at the very point where the call began is
 * heard before it: often that is the answer which made the connection free. */
bool probe_is_stuck(usec_t call_started_at, usec_t heard_at);

#endif
