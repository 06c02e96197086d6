/* What the health of a server is, and what silence means.
 *
 * A ping tells something only of a server that has answered one before, be it with an error. Of all
 * others nothing but a call that is overdue says that they are dead.
 *
 * Half a tick of silence is enough for a ping: the answer to the last one came a little after a
 * tick, so it is never a whole one old at the next. If that one were left out, the latest answer
 * would be two ticks old at the one after, and an idle server now healthy and now not. */
#include "policy/health.h"

#include "span.h"

#include <limits.h>

const char *health_name(enum health h)
{
    switch (h) {
    case HEALTH_UNKNOWN:
        return "unknown";
    case HEALTH_HEALTHY:
        return "healthy";
    case HEALTH_DEGRADED:
        return "degraded";
    case HEALTH_UNHEALTHY:
        return "unhealthy";
    }
    return "?";
}

enum health health_judge(const struct health_view *v, usec_t tick, usec_t now)
{
    if (v->ready == 0) {
        bool failed = v->recovering > 0 || !v->breaker_closed;
        return failed || (v->wanted > 0 && v->attempted) ? HEALTH_UNHEALTHY : HEALTH_UNKNOWN;
    }
    bool fresh = v->last_answer != 0 && usec_since(now, v->last_answer) <= usec_add(tick, tick);
    return v->breaker_closed && v->ready >= v->wanted && fresh ? HEALTH_HEALTHY : HEALTH_DEGRADED;
}

/* ---- the monitor ---- */

static bool missed_one(struct probe *p, usec_t timeout, usec_t now)
{
    if (!p->pending || usec_since(now, p->sent_at) < timeout)
        return false;
    p->pending = false;
    p->missed += p->missed < UINT_MAX;
    return true;
}

enum probe_action probe_tick(struct probe *p, const struct probe_view *v, usec_t tick,
                             usec_t timeout, usec_t now)
{
    if (v->heard_at > p->sent_at)
        probe_on_heard(p);
    if (v->overdue && v->running == 0)
        return PROBE_REPLACE;
    if (usec_since(now, v->heard_at) < tick / 2)
        return PROBE_NOTHING;
    if (missed_one(p, timeout, now) && p->ever_answered)
        return p->missed >= PROBE_MISSES_MAX && v->running == 0 ? PROBE_REPLACE : PROBE_SUSPECT;
    if (p->pending)
        return PROBE_NOTHING;
    p->pending = true;
    p->sent_at = now;
    return PROBE_SEND;
}

void probe_on_heard(struct probe *p)
{
    p->pending = false;
    p->missed = 0;
}

void probe_on_answer(struct probe *p)
{
    probe_on_heard(p);
    p->ever_answered = true;
}

bool probe_is_stuck(usec_t call_started_at, usec_t heard_at)
{
    return heard_at <= call_started_at;
}
