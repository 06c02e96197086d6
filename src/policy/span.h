/* Arithmetic on points and spans that neither overflows nor goes below zero. */
#ifndef POLICY_SPAN_H
#define POLICY_SPAN_H

#include "base/time.h"

/* a + b; USEC_NEVER when that is beyond the end of time. */
static inline usec_t usec_add(usec_t a, usec_t b)
{
    return a > USEC_NEVER - b ? USEC_NEVER : a + b;
}

/* How long ago `then` was; 0 when it lies ahead. */
static inline usec_t usec_since(usec_t now, usec_t then)
{
    return now > then ? now - then : 0;
}

#endif
