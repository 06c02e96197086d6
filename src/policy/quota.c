/* Seconds begin with the first event after the end of the one before; the dropped ones of a second
 * must be taken with quota_settle before the next begins, so that none is forgotten. */
#include "policy/quota.h"

#define WINDOW USEC_PER_SEC

static bool is_over(const struct quota *q, usec_t now)
{
    return now >= q->window_at && now - q->window_at >= WINDOW;
}

bool quota_take(struct quota *q, unsigned limit, usec_t now)
{
    if (limit == 0)
        return true;
    if (is_over(q, now)) {
        q->window_at = now;
        q->used = 0;
    }
    if (q->used >= limit) {
        q->dropped++;
        return false;
    }
    q->used++;
    return true;
}

unsigned quota_settle(struct quota *q, usec_t now)
{
    unsigned n = is_over(q, now) ? q->dropped : 0;
    q->dropped -= n;
    return n;
}

usec_t quota_due_at(const struct quota *q)
{
    return q->dropped ? q->window_at + WINDOW : USEC_NEVER;
}
