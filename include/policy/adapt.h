/* Adaptive back-off: the cap of a server's delays follows how long its recoveries take. Pure.
 *
 * The estimate is the one of RFC 6298 (smoothed mean plus four deviations) over outages: from the
 * loss of the last ready connection to the next completed handshake. While an outage lasts longer
 * than that, the cap grows with it, so that a server which stays away is asked ever more rarely, up
 * to max_backoff_delay. */
#ifndef POLICY_ADAPT_H
#define POLICY_ADAPT_H

#include "base/time.h"

#include <stdbool.h>

enum adapt_mode { ADAPT_OFF, ADAPT_OBSERVE, ADAPT_ON };

/* Fewer outages than this say nothing: the cap is max. */
#define ADAPT_SAMPLES_MIN 3

struct adapt {
    unsigned samples; /* saturates */
    usec_t mean, deviation;
};

/* An outage of that length ended with a handshake. Any length is safe. */
void adapt_on_recovery(struct adapt *a, usec_t outage);

/* The cap that the estimate suggests, in [base, max]: with fewer than ADAPT_SAMPLES_MIN samples
 * max; otherwise mean + 4 deviations or half of the present outage (0 = none), whichever is more.
 * A base above max is cut to it. */
usec_t adapt_cap(const struct adapt *a, usec_t base, usec_t max, usec_t outage);

#endif
