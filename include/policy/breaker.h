/* The circuit breaker of one server (resilience.md section 2). Pure: the time is a parameter, and
 * the caller arms its timer for breaker_next_at.
 *
 *     CLOSED ──threshold or rate──► OPEN ──open_for, handshake, force──► HALF_OPEN ──► CLOSED
 *                                     ▲                                     │
 *                                     └────── trial failed or was lost ─────┘
 *
 * It gates client calls only. Attempts of the recovery queue go on while it is open, and a
 * completed handshake closes it (resilience.md section 1), by way of HALF_OPEN. */
#ifndef POLICY_BREAKER_H
#define POLICY_BREAKER_H

#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
const char *breaker_state_name(enum breaker_state s); /* "closed", "open", "half_open" */

struct breaker_params {
    unsigned threshold;    /* consecutive failures that open it; ≥ 1 */
    usec_t window;         /* span over which the rate is taken */
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
    unsigned failures; /* consecutive, in CLOSED; what opened it, in OPEN and HALF_OPEN */
    unsigned
        before_reset; /* `failures` when the last handshake reset it; see breaker_on_young_loss */
    unsigned trials_won; /* HALF_OPEN: successes so far */
    bool trial;          /* HALF_OPEN: one is in flight */
    usec_t trial_due_at; /* when it is written off */
    usec_t since;        /* of the present state */
    usec_t unwell_since; /* when it last left CLOSED; 0 in CLOSED */
    usec_t closed_at;    /* when it last closed, for the ramp; 0 = never was open */
    bool auth_failed;    /* the server refused our credential; shown, nothing else */
    usec_t paused_until; /* the server asked for a pause (429, 503 with Retry-After) */
    /* Rolling window: outcomes per bucket of window / BREAKER_BUCKETS. */
    struct {
        uint64_t tick; /* number of the bucket since time 0 */
        unsigned successes, failures;
    } buckets[BREAKER_BUCKETS];
};

void breaker_init(struct breaker *b, usec_t now);

/* Each of these returns whether the state has changed; the caller then logs and acts. */

/* Something that began under `epoch` came out. In HALF_OPEN it is the outcome of the trial only
 * when `trial`; other outcomes of that epoch count like one too, since they say the same. */
bool breaker_on_outcome(struct breaker *b, const struct breaker_params *p, enum outcome o,
                        uint32_t epoch, usec_t now);

/* A handshake was completed: closes it from any state and clears the counts. From OPEN, two
 * transitions happen at once; *ret_via_half_open (may be NULL) tells, for the log. */
bool breaker_on_handshake(struct breaker *b, bool *ret_via_half_open, usec_t now);

/* The connection of the last handshake died before it was stable and before one real answer: its
 * reset is taken back but for one step, so that a server which accepts and dies still opens the
 * breaker. Follow with the failure itself. */
void breaker_on_young_loss(struct breaker *b);

/* Time passed: OPEN whose open_for is over becomes HALF_OPEN; a trial past its due point becomes a
 * failure. */
bool breaker_tick(struct breaker *b, const struct breaker_params *p, usec_t now);

/* By force (watchdog, operator): anything but CLOSED becomes HALF_OPEN without a trial; counts go
 * to 0. */
bool breaker_force(struct breaker *b, usec_t now);

/* HALF_OPEN and no trial in flight: marks one as begun and returns true. */
bool breaker_begin_trial(struct breaker *b, const struct breaker_params *p, usec_t now);

/* The server asked for a pause of `span`; capped at BREAKER_PAUSE_MAX. Does not count. */
#define BREAKER_PAUSE_MAX (300 * USEC_PER_SEC)
void breaker_pause(struct breaker *b, usec_t span, usec_t now);

/* Whether client calls may go to the server now. */
bool breaker_admits(const struct breaker *b, usec_t now);

/* When something changes by time alone: end of OPEN, of a trial, of a pause; USEC_NEVER. */
usec_t breaker_next_at(const struct breaker *b, const struct breaker_params *p);

/* Requests that may run at the server at the same time while the ramp lasts: 1 … max; UINT_MAX when
 * there is no ramp (any more). max ≥ 1. */
unsigned breaker_ramp_limit(const struct breaker *b, const struct breaker_params *p, unsigned max,
                            usec_t now);

#endif
