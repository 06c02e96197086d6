/* The recovery queue (resilience.md sections 1 and 3): cycles of attempts, what the sweep starts
 * and audits, when the watchdog uses force. Pure. */
#ifndef POLICY_RECOVERY_H
#define POLICY_RECOVERY_H

#include "base/time.h"
#include "policy/backoff.h"

#include <stdbool.h>
#include <stdint.h>

/* Attempts of one slot since it was last well. */
struct recovery {
    uint32_t failures; /* feeds the back-off; saturates */
    uint32_t attempts; /* in this cycle: 0 … max_attempts - 1 */
    uint32_t cycles;   /* completed without success; saturates */
};

/* An attempt failed. After max_attempts (0 is 1) of them the cycle's count returns to 0, and from
 * then on the delay stays at the cap, until a connection has proved itself or recovery_reset: a new
 * cycle, never an end. Returns whether a cycle ended. */
bool recovery_on_failure(struct recovery *r, uint32_t max_attempts);

/* A ready connection was lost: see backoff_after_loss. One that was stable or had answered clears
 * everything, so the next attempt is immediate; one that died young is one more failure. */
void recovery_on_loss(struct recovery *r, usec_t lived, usec_t stable_after, bool answered);

/* A handshake was completed: the attempts of the cycle start anew. Failures and cycles are
 * remembered until recovery_on_loss judges how long it lived. */
void recovery_on_ready(struct recovery *r);

/* By force: everything back to base. */
void recovery_reset(struct recovery *r);

/* The wait before the next attempt, jitter included. fatal: it will not go away by itself soon (no
 * such command): the wait is p->cap. random: 64 uniform bits. */
usec_t recovery_delay(const struct recovery *r, const struct backoff_params *p, bool fatal,
                      uint64_t random);

/* ---- the sweep ---- */

/* A slot as the audit sees it. */
enum recovery_phase {
    RECOVERY_UNUSED,     /* no connection and none wanted */
    RECOVERY_ATTEMPTING, /* opening, or in the handshake */
    RECOVERY_READY,
    RECOVERY_CLOSING, /* the old connection is being torn down */
    RECOVERY_WAITING, /* on the recovery queue */
};
struct recovery_view {
    enum recovery_phase phase;
    bool timer_armed; /* the slot's own timer */
    usec_t due_at;    /* of that timer */
    usec_t since;     /* of the phase */
};

struct recovery_rules {
    usec_t max_delay;     /* max_backoff_delay */
    usec_t jitter_max;    /* recovery_jitter_max */
    usec_t force_after;   /* force_recovery_interval */
    usec_t attempt_limit; /* operation_timeout: longest attempt */
    usec_t close_limit;   /* longest teardown that is normal */
    usec_t pace_limit;    /* longest wait that the pacing of starts may add */
};

enum recovery_fault {
    RECOVERY_SOUND,
    RECOVERY_NO_TIMER, /* attempting or waiting, and nothing will ever end that */
    RECOVERY_TOO_LATE, /* waiting: due beyond max_delay + jitter_max + pace_limit, or force_after;
                          attempting: due beyond attempt_limit */
    RECOVERY_OVERDUE,  /* due in the past for longer than a moment (1 s) and nothing happened */
    RECOVERY_STUCK,    /* attempting longer than attempt_limit, or closing longer than close_limit,
                          by more than a moment */
};
/* What the slot is, as the end of a sentence: "without a timer", "due too late". */
const char *recovery_fault_name(enum recovery_fault f);

/* The latest due time that the audit accepts for a slot that waits. Whoever arms its timer takes
 * this one when it is earlier: max_delay may be configured longer than force_after. */
usec_t recovery_latest(const struct recovery_rules *r, usec_t now);

/* Section 3's invariant for one slot. */
enum recovery_fault recovery_audit(const struct recovery_view *v, const struct recovery_rules *r,
                                   usec_t now);

/* How many more attempts a pool may begin now, with `attempting` under way. */
#define RECOVERY_AT_ONCE 3
unsigned recovery_room(unsigned attempting);

/* ---- the watchdog ---- */

/* Whether the server is to be recovered by force: one of the two has been so for force_after, and
 * the last time is as long ago. unwell_since: since when its breaker is not closed; empty_since:
 * since when a pool has failed slots and no ready one; 0 = not so. forced_at: the last time; 0 =
 * never. */
bool recovery_is_overdue(usec_t unwell_since, usec_t empty_since, usec_t forced_at,
                         usec_t force_after, usec_t now);

#endif
