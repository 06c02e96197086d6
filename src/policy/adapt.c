/* Smoothed outage and its mean deviation, after RFC 6298 section 2, in whole microseconds. The sums
 * are written as "old minus a part of old, plus that part of new", which cannot overflow and loses
 * a few microseconds at most. */
#include "policy/adapt.h"

#include "span.h"

#include <limits.h>

static usec_t smooth(usec_t old, usec_t new, unsigned part)
{
    return old - old / part + new / part;
}

void adapt_on_recovery(struct adapt *a, usec_t outage)
{
    if (a->samples == 0) {
        a->mean = outage;
        a->deviation = outage / 2;
    } else {
        usec_t off = outage > a->mean ? outage - a->mean : a->mean - outage;
        a->deviation = smooth(a->deviation, off, 4); /* before the mean: 2.3 of the RFC */
        a->mean = smooth(a->mean, outage, 8);
    }
    a->samples += a->samples < UINT_MAX;
}

usec_t adapt_cap(const struct adapt *a, usec_t base, usec_t max, usec_t outage)
{
    if (a->samples < ADAPT_SAMPLES_MIN || base >= max)
        return max;
    usec_t spread = a->deviation > USEC_NEVER / 4 ? USEC_NEVER : 4 * a->deviation;
    usec_t cap = usec_add(a->mean, spread);
    if (cap < outage / 2)
        cap = outage / 2;
    return cap < base ? base : cap > max ? max : cap;
}
