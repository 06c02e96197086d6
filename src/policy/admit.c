/* Admission of a request: the checks in the order in which their answers are most useful to who is
 * refused. */
#include "policy/admit.h"

/* Neither sum can overflow: both sides are compared by what is left. */
static bool line_is_full(const struct admit_view *v)
{
    if (v->waiting >= v->max_waiting)
        return true;
    if (v->waiting == 0)
        return false;
    return v->waiting_bytes > v->max_bytes || v->bytes > v->max_bytes - v->waiting_bytes;
}

/* Nothing moves but failed connections, and not even the attempt to come is in time. */
static bool is_hopeless(const struct admit_view *v)
{
    return !v->something_moves && v->recovering && v->next_attempt >= v->patience_end;
}

enum admit_verdict admit(const struct admit_view *v)
{
    if (v->stopping)
        return ADMIT_SHUTTING_DOWN;
    if (v->maintenance)
        return ADMIT_MAINTENANCE;
    if (!v->breaker_admits && !v->wait_for_ready)
        return ADMIT_BREAKER_OPEN;
    if (v->breaker_admits && v->fits)
        return ADMIT_RUN;
    if (line_is_full(v))
        return ADMIT_OVERLOADED;
    return is_hopeless(v) ? ADMIT_UNAVAILABLE : ADMIT_WAIT;
}
