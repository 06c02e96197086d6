/* Paces starts across servers: `burst` at once, then `rate` a second, in order of asking. Pure.
 *
 * Virtual scheduling: a reservation returns the point at which its owner may start, so that nobody
 * has to be woken. */
#ifndef POLICY_PACE_H
#define POLICY_PACE_H

#include "base/time.h"

struct pace_params {
    unsigned rate;  /* starts per second; 0 = no pacing */
    unsigned burst; /* ≥ 1 */
};

struct pace {
    usec_t next_at; /* theoretical time of the next start */
};

/* Reserves a start. Returns `now` or a later point; the owner starts then, without asking again. */
usec_t pace_reserve(struct pace *p, const struct pace_params *params, usec_t now);

#endif
