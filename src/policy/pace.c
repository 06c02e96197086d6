/* The generic cell rate algorithm in its virtual-scheduling form (ITU-T I.371, annex A): next_at is
 * the theoretical arrival time, one interval after that of the start before, and a start may be
 * early by the intervals of a burst. A reservation is never later than next_at was. */
#include "policy/pace.h"

#include "span.h"

/* Rounded up: rather a little slower than asked for than faster. */
static usec_t interval_of(const struct pace_params *params)
{
    return (USEC_PER_SEC + params->rate - 1) / params->rate;
}

/* When the next may be, by the theoretical time `next_at`. */
static usec_t conforming_at(usec_t next_at, const struct pace_params *params, usec_t now)
{
    usec_t early = params->burst > 1 ? interval_of(params) * (params->burst - 1) : 0;
    usec_t due_at = usec_since(next_at, early);
    return due_at > now ? due_at : now;
}

static usec_t one_further(usec_t next_at, const struct pace_params *params, usec_t now)
{
    return usec_add(next_at > now ? next_at : now, interval_of(params));
}

usec_t pace_reserve(struct pace *p, const struct pace_params *params, usec_t now)
{
    if (params->rate == 0)
        return now;
    usec_t at = conforming_at(p->next_at, params, now);
    p->next_at = one_further(p->next_at, params, now);
    return at;
}

usec_t pace_start(struct pace *p, const struct pace_params *params, usec_t now)
{
    if (params->rate == 0)
        return now;
    usec_t at = conforming_at(p->start_at, params, now);
    if (at == now)
        p->start_at = one_further(p->start_at, params, now);
    return at;
}

void pace_return(struct pace *p, const struct pace_params *params, usec_t now)
{
    if (params->rate == 0 || p->next_at <= now)
        return;
    usec_t ahead = p->next_at - now, interval = interval_of(params);
    p->next_at -= interval < ahead ? interval : ahead;
}
