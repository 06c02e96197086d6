/* At most so many of something a second; the rest is counted, and told once the second is over.
 * Pure. */
#ifndef POLICY_QUOTA_H
#define POLICY_QUOTA_H

#include "base/time.h"

#include <stdbool.h>

/* Zero-initialised. */
struct quota {
    usec_t window_at; /* when the present second began */
    unsigned used, dropped;
};

/* Whether one more is within the limit (0 = no limit); otherwise it counts as dropped. */
bool quota_take(struct quota *q, unsigned limit, usec_t now);

/* How many were dropped and are to be told of now, because their second is over; 0 = none. They are
 * forgotten. Call it before quota_take. */
unsigned quota_settle(struct quota *q, usec_t now);

/* When quota_settle will have something to tell; USEC_NEVER when nothing was dropped. */
usec_t quota_due_at(const struct quota *q);

#endif
