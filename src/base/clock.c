/* The only place that asks the kernel for the time. Decisions use the monotonic clock through
 * env->now, so that a stepped wall clock moves nothing but the text of log lines. */
#include "base/time.h"

#include <time.h>

static usec_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts); /* cannot fail for the two clocks below */
    return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

usec_t clock_monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

usec_t clock_realtime(void)
{
    return read_clock(CLOCK_REALTIME);
}
