/* Whether a new request runs, waits or is refused (resilience.md section 4). Pure. */
#ifndef POLICY_ADMIT_H
#define POLICY_ADMIT_H

#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>

struct admit_view {
    bool stopping;
    bool maintenance; /* the operator wants no calls there */
    bool breaker_admits;
    bool wait_for_ready; /* option: wait for a closed breaker instead of an error at once */
    bool fits;           /* there is a place for it now */
    unsigned waiting, max_waiting;          /* requests in line */
    size_t waiting_bytes, bytes, max_bytes; /* their size, that of this one */
    bool something_moves;                   /* a connection is ready, starting or closing */
    bool recovering;                        /* failed ones wait */
    usec_t next_attempt;                    /* earliest; USEC_NEVER */
    usec_t patience_end;                    /* until when this request would wait */
};

enum admit_verdict {
    ADMIT_RUN,
    ADMIT_WAIT,
    ADMIT_SHUTTING_DOWN,
    ADMIT_MAINTENANCE,
    ADMIT_BREAKER_OPEN,
    ADMIT_OVERLOADED,  /* the line is full */
    ADMIT_UNAVAILABLE, /* nothing can be ready before its patience ends */
};

/* In this order: shutdown, maintenance, breaker, place, length and bytes of the line, hope. A
 * request larger than max_bytes may wait when it is alone in line. With wait_for_ready a breaker
 * that does not admit is a place that is not there. Hope is lost when nothing moves, failed
 * connections wait and the earliest attempt is not before patience_end. */
enum admit_verdict admit(const struct admit_view *v);

#endif
