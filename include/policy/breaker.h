/* The circuit breaker of one server (resilience.md section 2). Pure: the time is a parameter, and
 * the caller arms its timer for breaker_next_at.
 *
 *     CLOSED ──threshold or rate──► OPEN ──open_for, handshake, force──► HALF_OPEN ──► CLOSED
 *                                     ▲                                     │
 *                                     └────── trial failed or was lost ─────┘
 *
 * It gates client calls only. Attempts of the recovery queue go on while it is open, and a
 * completed handshake closes it (resilience.md section 1), by way of HALF_OPEN.
 *
 * A handshake proves little: a server may accept and die, again and again. So what a handshake
 * resets is only suspended (before_reset) until the connection has proved itself, which it does by
 * a real answer (OUTCOME_SUCCESS) or a long life (breaker_on_stable): that clears everything. If it
 * dies before (breaker_on_young_loss), all that was suspended counts again, and the caller reports
 * the death itself as a failure. Three things follow, for one connection and for many whose
 * handshakes and deaths interleave:
 *   - each accept-then-die is one consecutive failure, and `threshold` of them open the breaker;
 *   - a breaker that a handshake had closed opens at once when that connection dies young, however
 *     far the count is from the threshold;
 *   - a server that is well owes nothing after its first answer.
 * The rolling window is not touched by a handshake in CLOSED: a server that handshakes well and
 * serves badly cannot hide its rate behind reconnects. It is cleared when the breaker closes.
 *
 * Every parameter is safe at every value: a threshold, volume or number of successes of 0 is 1, a
 * rate above 100 never opens, a window below BREAKER_BUCKETS microseconds is that long, a state or
 * a trial whose span is 0 lasts one microsecond. Points beyond the end of time are USEC_NEVER. A
 * `now` before a stored point counts as that point. */
#ifndef POLICY_BREAKER_H
#define POLICY_BREAKER_H

#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
const char *breaker_state_name(enum breaker_state s); /* "closed", "open", "half_open" */

struct breaker_params {
    unsigned threshold;    /* consecutive failures that open it; ≥ 1 */
    usec_t window;         /* span over which the rate is taken, to a tenth less */
    unsigned volume;       /* outcomes in the window below which the rate says nothing; ≥ 1 */
    unsigned failure_rate; /* percent of failures in the window that opens it; 0 = never */
    usec_t open_for;       /* OPEN lasts this long, then a trial */
    usec_t trial_timeout;  /* a trial without an outcome counts as failed after this */
    unsigned successes;    /* successful trials that close it; ≥ 1 */
    usec_t ramp;           /* after closing, concurrency grows from 1 to all over this span */
};

/* What became of something that was tried at the server. 401/403 and everything that says nothing
 * about its health (cancelled by the client, refused locally, our shutdown) is OUTCOME_IGNORED. */
enum outcome { OUTCOME_SUCCESS, OUTCOME_FAILURE, OUTCOME_IGNORED };

#define BREAKER_BUCKETS 10

struct breaker {
    enum breaker_state state;
    uint32_t epoch;    /* raised with each transition; outcomes of older ones do not count */
    unsigned failures; /* consecutive, in CLOSED; in OPEN and HALF_OPEN what opened it (those in a
                          row or those in the window, whichever are more) and the trials that
                          failed since */
    unsigned before_reset; /* failures suspended by handshakes that are not proved yet */
    bool closed_unproven;  /* a handshake closed it, and nothing is proved since */
    bool relapsing;        /* such a connection died young: the next failure opens it */
    unsigned trials_won;   /* HALF_OPEN: successes so far */
    bool trial;            /* HALF_OPEN: one is in flight */
    usec_t trial_due_at;   /* when it is written off */
    usec_t since;          /* of the present state */
    usec_t unwell_since;   /* when it last left CLOSED, also in HALF_OPEN; 0 in CLOSED */
    usec_t closed_at;      /* when it last closed, for the ramp; 0 = never was open */
    bool auth_failed;      /* the server refused our credential; shown, nothing else. Set by the
                              caller, cleared by a handshake and a success */
    usec_t paused_until; /* the server asked for a pause (429, 503 with Retry-After); 0 = no pause,
                            also after breaker_tick found it over */
    /* Rolling window: outcomes per bucket of window / BREAKER_BUCKETS. */
    struct {
        uint64_t tick; /* number of the bucket since time 0 */
        unsigned successes, failures;
    } buckets[BREAKER_BUCKETS];
};

void breaker_init(struct breaker *b, usec_t now);

/* Each of these returns whether the state has changed; the caller then logs and acts. */

/* Something that began under `epoch` came out. CLOSED: a failure opens it at the threshold, when
 * the window has `volume` outcomes and enough of them failed, or after a relapse; a success proves
 * the handshakes so far. OPEN: nothing. HALF_OPEN: a success is a trial won, a failure opens it
 * again; outcomes of that epoch which are not the trial's say the same and count like one.
 * OUTCOME_IGNORED ends a trial without a verdict (its caller left, say), so that another may begin;
 * under the epoch of a HALF_OPEN report it for the trial only. Everywhere else it does nothing.
 *
 * The epoch is that of the moment when the thing began. For the loss of a ready connection that is
 * the one after its handshake, or simply the present one. */
bool breaker_on_outcome(struct breaker *b, const struct breaker_params *p, enum outcome o,
                        uint32_t epoch, usec_t now);

/* A handshake was completed: closes it from any state and takes the consecutive failures back until
 * further notice, see above. Not to be reported as an outcome too. From OPEN, two transitions
 * happen at once; *ret_via_half_open (may be NULL) tells, for the log. A pause stays. */
bool breaker_on_handshake(struct breaker *b, bool *ret_via_half_open, usec_t now);

/* A connection died before it was stable and before one real answer: what handshakes have suspended
 * counts again. Follow with the failure itself, under the present epoch. */
void breaker_on_young_loss(struct breaker *b);

/* A connection has lived long enough to be called stable, or is lost after such a life: as good a
 * proof as an answer. */
void breaker_on_stable(struct breaker *b);

/* Time passed: OPEN whose open_for is over becomes HALF_OPEN; a trial past its due point becomes a
 * failure; a pause ends. One transition a call. Afterwards breaker_next_at lies ahead of now. */
bool breaker_tick(struct breaker *b, const struct breaker_params *p, usec_t now);

/* By force (watchdog, operator): anything but CLOSED becomes HALF_OPEN without a trial; counts go
 * to 0, a pause ends. HALF_OPEN stays as it is but under a new epoch, since a trial that is under
 * way must not speak for the one that follows. unwell_since stays. */
bool breaker_force(struct breaker *b, usec_t now);

/* HALF_OPEN, no trial in flight and no pause: marks one as begun and returns true. The caller
 * begins one whenever it can, a probe rather than a client's call; until then HALF_OPEN lasts. */
bool breaker_begin_trial(struct breaker *b, const struct breaker_params *p, usec_t now);

/* The server asked for a pause of `span`; capped at BREAKER_PAUSE_MAX. Does not count. Of several
 * pauses the one that ends last holds. */
#define BREAKER_PAUSE_MAX (300 * USEC_PER_SEC)
void breaker_pause(struct breaker *b, usec_t span, usec_t now);

/* Whether client calls may go to the server now: CLOSED and no pause. A single call of a client may
 * go in HALF_OPEN as well if it is made the trial: breaker_begin_trial answers for it. */
bool breaker_admits(const struct breaker *b, usec_t now);

/* When something changes by time alone: end of OPEN, of a trial, of the pause that keeps calls or
 * trials back; USEC_NEVER. The ramp is not among them. */
usec_t breaker_next_at(const struct breaker *b, const struct breaker_params *p);

/* Requests that may run at the server at the same time while the ramp lasts: 1 … max, growing
 * evenly; UINT_MAX when there is no ramp (any more), and outside CLOSED, where admission is by
 * trial. max ≥ 1. */
unsigned breaker_ramp_limit(const struct breaker *b, const struct breaker_params *p, unsigned max,
                            usec_t now);

#endif
