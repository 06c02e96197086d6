/* Time spans and points. The unit is in the type and in the name: every usec_t is microseconds.
 * A name that ends in _at is a point on the monotonic clock, any other usec_t is a span. */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stdint.h>

typedef uint64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC  ((usec_t)1000000)
#define USEC_NEVER    UINT64_MAX

/* The monotonic clock now. Only the daemon's loop calls it; everything else reads env->now. */
usec_t clock_monotonic(void);

/* The wall clock now, microseconds since 1970. For log lines, status, and points that are compared
 * with those of another process; never for decisions within this one. */
usec_t clock_realtime(void);

#endif
