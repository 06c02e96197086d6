/* How long a failed connection waits before its next attempt (resilience.md section 1). Pure. */
#ifndef POLICY_BACKOFF_H
#define POLICY_BACKOFF_H

#include "base/time.h"

struct backoff_params {
    usec_t base;       /* first delay; doubles with each further failure; 0 is 1 µs */
    usec_t cap;        /* never more than this, jitter apart */
    usec_t jitter_max; /* uniform 0..jitter_max is added, but never more than the delay itself */
};

/* The wait after `failures` failures in a row. 0 failures: 0, try at once. random: 64 uniform bits.
 * Never overflows, whatever the count. */
usec_t backoff_delay(const struct backoff_params *p, unsigned failures, uint64_t random);

/* The failure count to go on with after a connection that had been ready is lost. before: the count
 * when it became ready. A connection that lived at least stable_after or gave a real answer starts
 * afresh (0: the next attempt is immediate). One that died young was one more failure: a handshake
 * alone takes nothing back, so a server that accepts and dies is tried at growing distances, like
 * one that does not start. */
unsigned backoff_after_loss(unsigned before, usec_t lived, usec_t stable_after, int answered);

#endif
