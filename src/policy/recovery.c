/* The recovery queue as decisions: what a slot remembers of its attempts, what the audit calls a
 * fault, when the watchdog acts. All counts saturate and all points stay within time, so that a
 * slot which fails for years is still tried again. */
#include "policy/recovery.h"

#include "span.h"

/* What a timer, or a teardown that is due, may be late without being called broken. */
#define MOMENT USEC_PER_SEC

static uint32_t one_more(uint32_t n)
{
    return n + (n < UINT32_MAX);
}

bool recovery_on_failure(struct recovery *r, uint32_t max_attempts)
{
    r->failures = one_more(r->failures);
    r->attempts = one_more(r->attempts);
    if (r->attempts < max_attempts)
        return false;
    r->attempts = 0;
    r->cycles = one_more(r->cycles);
    return true;
}

void recovery_on_loss(struct recovery *r, usec_t lived, usec_t stable_after, bool answered)
{
    uint32_t failures = backoff_after_loss(r->failures, lived, stable_after, answered);
    if (failures == 0)
        recovery_reset(r);
    r->failures = failures;
}

void recovery_on_ready(struct recovery *r)
{
    r->attempts = 0;
}

void recovery_reset(struct recovery *r)
{
    *r = (struct recovery){0};
}

usec_t recovery_delay(const struct recovery *r, const struct backoff_params *p, bool fatal,
                      uint64_t random)
{
    return backoff_delay(p, fatal || r->cycles > 0 ? UINT32_MAX : r->failures, random);
}

/* ---- the sweep ---- */

const char *recovery_fault_name(enum recovery_fault f)
{
    switch (f) {
    case RECOVERY_SOUND:
        return "sound";
    case RECOVERY_NO_TIMER:
        return "without a timer";
    case RECOVERY_TOO_LATE:
        return "due too late";
    case RECOVERY_OVERDUE:
        return "overdue";
    case RECOVERY_STUCK:
        return "stuck";
    }
    return "?";
}

usec_t recovery_latest(const struct recovery_rules *r, usec_t now)
{
    usec_t longest = usec_add(usec_add(r->max_delay, r->jitter_max), r->pace_limit);
    return usec_add(now, longest < r->force_after ? longest : r->force_after);
}

static enum recovery_fault audit_timer(const struct recovery_view *v, usec_t latest, usec_t now)
{
    if (!v->timer_armed)
        return RECOVERY_NO_TIMER;
    if (v->due_at > latest)
        return RECOVERY_TOO_LATE;
    return usec_since(now, v->due_at) > MOMENT ? RECOVERY_OVERDUE : RECOVERY_SOUND;
}

static enum recovery_fault audit_age(const struct recovery_view *v, usec_t limit, usec_t now)
{
    return usec_since(now, v->since) > usec_add(limit, MOMENT) ? RECOVERY_STUCK : RECOVERY_SOUND;
}

enum recovery_fault recovery_audit(const struct recovery_view *v, const struct recovery_rules *r,
                                   usec_t now)
{
    enum recovery_fault f;
    switch (v->phase) {
    case RECOVERY_UNUSED:
    case RECOVERY_READY:
        return RECOVERY_SOUND;
    case RECOVERY_ATTEMPTING:
        /* Age first: who arms a lost timer anew each time would let a hung attempt live for ever.
         */
        f = audit_age(v, r->attempt_limit, now);
        return f != RECOVERY_SOUND ? f : audit_timer(v, usec_add(now, r->attempt_limit), now);
    case RECOVERY_CLOSING:
        return audit_age(v, r->close_limit, now);
    case RECOVERY_WAITING:
        return audit_timer(v, recovery_latest(r, now), now);
    }
    return RECOVERY_SOUND;
}

unsigned recovery_room(unsigned attempting)
{
    return attempting < RECOVERY_AT_ONCE ? RECOVERY_AT_ONCE - attempting : 0;
}

/* ---- the watchdog ---- */

bool recovery_is_overdue(usec_t unwell_since, usec_t empty_since, usec_t forced_at,
                         usec_t force_after, usec_t now)
{
    usec_t since = unwell_since;
    if (since == 0 || (empty_since != 0 && empty_since < since))
        since = empty_since;
    if (since == 0)
        return false;
    return usec_since(now, since > forced_at ? since : forced_at) >= force_after;
}
