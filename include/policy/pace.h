/* Paces starts across servers: `burst` at once, then `rate` a second, in order of asking. Pure.
 *
 * Virtual scheduling: a reservation returns the point at which its owner may start, so that nobody
 * has to be woken. */
#ifndef POLICY_PACE_H
#define POLICY_PACE_H

#include "base/time.h"

struct pace_params {
    unsigned rate;  /* starts per second; 0 = no pacing */
    unsigned burst; /* after a quiet time this many at once; 0 is 1 */
};

struct pace {
    usec_t next_at;  /* theoretical time of the next reservation */
    usec_t start_at; /* the same, of the starts that really were */
};

/* Reserves a start. Returns `now` or a later point; the owner asks pace_start then. Rates above a
 * million are a million. */
usec_t pace_reserve(struct pace *p, const struct pace_params *params, usec_t now);

/* The owner of a reservation wants to start now. Returns `now`, and the start counts; or a later
 * point to ask again at, which comes only where reservations were given back and others took their
 * places. Whatever was reserved, starts never exceed the rate by more than the burst. */
usec_t pace_start(struct pace *p, const struct pace_params *params, usec_t now);

/* A reservation will not be used: those to come are earlier by its place, so that owners who change
 * their minds cannot put everybody else off. Never below what is there at `now`. */
void pace_return(struct pace *p, const struct pace_params *params, usec_t now);

#endif
