/* Exponential back-off: base, 2·base, 4·base … cap, each with jitter so that servers which failed
 * together do not come back together. */
#include "policy/backoff.h"

#include "span.h"

#include <limits.h>

usec_t backoff_delay(const struct backoff_params *p, unsigned failures, uint64_t random)
{
    if (failures == 0)
        return 0;
    usec_t base = p->base ? p->base : 1; /* what doubles must not be 0 */
    usec_t delay = base < p->cap ? base : p->cap;
    for (unsigned i = 1; i < failures && delay < p->cap; i++)
        delay = delay > p->cap / 2 ? p->cap : delay * 2;
    usec_t jitter = p->jitter_max < delay ? p->jitter_max : delay;
    return usec_add(delay, jitter == UINT64_MAX ? random : random % (jitter + 1));
}

unsigned backoff_after_loss(unsigned before, usec_t lived, usec_t stable_after, int answered)
{
    if (answered || lived >= stable_after)
        return 0;
    return before == UINT_MAX ? before : before + 1;
}
