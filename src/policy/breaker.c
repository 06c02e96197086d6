/* The circuit breaker.
 *
 * Invariants, whatever comes in:
 *  - The only transitions are CLOSED → OPEN, OPEN → HALF_OPEN, HALF_OPEN → OPEN and HALF_OPEN →
 *    CLOSED. Each raises the epoch by one, so does force that finds HALF_OPEN, and an outcome of
 *    another epoch changes nothing.
 *  - OPEN ends by time alone. A trial ends by its outcome or by time, so HALF_OPEN is never pinned
 *    by one that was lost; there is at most one at a time, and only in HALF_OPEN.
 *  - Whatever is suspended by a handshake that has not proved itself (before_reset and the two
 *    flags beside it) exists in CLOSED only. There, `failures + before_reset` falls by proof (a
 *    success, a long life) and by force alone. So a server that accepts and dies counts one failure
 *    a round, in whatever order its connections come and go.
 *
 * No span counts as less than a microsecond, so that a state with no duration cannot keep a caller
 * that follows breaker_next_at spinning at one point in time. */
#include "policy/breaker.h"

#include "span.h"

#include <limits.h>
#include <string.h>

const char *breaker_state_name(enum breaker_state s)
{
    switch (s) {
    case BREAKER_CLOSED:
        return "closed";
    case BREAKER_OPEN:
        return "open";
    case BREAKER_HALF_OPEN:
        return "half_open";
    }
    return "?";
}

static unsigned sum(unsigned a, unsigned b)
{
    return a > UINT_MAX - b ? UINT_MAX : a + b;
}

/* 0 means "never" in the points that are shown. */
static usec_t mark(usec_t now)
{
    return now ? now : 1;
}

static usec_t at_least_one(usec_t span)
{
    return span ? span : 1;
}

void breaker_init(struct breaker *b, usec_t now)
{
    *b = (struct breaker){.state = BREAKER_CLOSED, .since = now};
}

/* The handshakes so far were worth what they promised: nothing of before them can come back. */
static void prove(struct breaker *b)
{
    b->before_reset = 0;
    b->closed_unproven = b->relapsing = false;
}

static void set_state(struct breaker *b, enum breaker_state new, usec_t now)
{
    switch (new) {
    case BREAKER_CLOSED:
        memset(b->buckets, 0, sizeof(b->buckets));
        b->failures = 0;
        b->unwell_since = 0;
        b->closed_at = mark(now);
        break;
    case BREAKER_OPEN:
        if (b->state == BREAKER_CLOSED)
            b->unwell_since = mark(now);
        prove(b);
        break;
    case BREAKER_HALF_OPEN:
        break;
    }
    b->state = new;
    b->since = now;
    b->epoch++;
    b->trial = false;
    b->trial_due_at = 0;
    b->trials_won = 0;
}

/* ---- the rolling window ---- */

static uint64_t tick_of(const struct breaker_params *p, usec_t now)
{
    return now / at_least_one(p->window / BREAKER_BUCKETS);
}

static void record(struct breaker *b, const struct breaker_params *p, bool success, usec_t now)
{
    uint64_t tick = tick_of(p, now);
    size_t i = tick % BREAKER_BUCKETS;
    if (b->buckets[i].tick != tick)
        b->buckets[i].successes = b->buckets[i].failures = 0;
    b->buckets[i].tick = tick;
    unsigned *n = success ? &b->buckets[i].successes : &b->buckets[i].failures;
    *n = sum(*n, 1);
}

/* The failures in the window when their share is one that opens, otherwise 0. */
static unsigned too_many(const struct breaker *b, const struct breaker_params *p, usec_t now)
{
    uint64_t tick = tick_of(p, now), failures = 0, all = 0;
    if (p->failure_rate == 0)
        return 0;
    for (size_t i = 0; i < BREAKER_BUCKETS; i++) {
        /* One that lies ahead is left over from another width or another clock. */
        if (b->buckets[i].tick > tick || tick - b->buckets[i].tick >= BREAKER_BUCKETS)
            continue;
        failures += b->buckets[i].failures;
        all += (uint64_t)b->buckets[i].failures + b->buckets[i].successes;
    }
    if (all < p->volume || failures * 100 < all * p->failure_rate)
        return 0;
    return failures < UINT_MAX ? (unsigned)failures : UINT_MAX;
}

/* ---- outcomes ---- */

static bool closed_on_outcome(struct breaker *b, const struct breaker_params *p, bool success,
                              usec_t now)
{
    record(b, p, success, now);
    if (success) {
        b->failures = 0;
        prove(b);
        return false;
    }
    b->failures = sum(b->failures, 1);
    unsigned by_rate = too_many(b, p, now);
    if (b->failures < p->threshold && !by_rate && !b->relapsing)
        return false;
    if (b->failures < by_rate)
        b->failures = by_rate;
    set_state(b, BREAKER_OPEN, now);
    return true;
}

static bool trial_on_outcome(struct breaker *b, const struct breaker_params *p, bool success,
                             usec_t now)
{
    if (!success) {
        b->failures = sum(b->failures, 1);
        set_state(b, BREAKER_OPEN, now);
        return true;
    }
    b->trial = false;
    b->trials_won = sum(b->trials_won, 1);
    if (b->trials_won < p->successes)
        return false;
    set_state(b, BREAKER_CLOSED, now);
    return true;
}

bool breaker_on_outcome(struct breaker *b, const struct breaker_params *p, enum outcome o,
                        uint32_t epoch, usec_t now)
{
    if (epoch != b->epoch)
        return false;
    if (o == OUTCOME_IGNORED) {
        b->trial = false;
        return false;
    }
    bool success = o == OUTCOME_SUCCESS;
    if (success)
        b->auth_failed = false;
    switch (b->state) {
    case BREAKER_CLOSED:
        return closed_on_outcome(b, p, success, now);
    case BREAKER_OPEN:
        return false;
    case BREAKER_HALF_OPEN:
        return trial_on_outcome(b, p, success, now);
    }
    return false;
}

/* ---- handshakes ---- */

bool breaker_on_handshake(struct breaker *b, bool *ret_via_half_open, usec_t now)
{
    enum breaker_state old = b->state;
    if (ret_via_half_open)
        *ret_via_half_open = old == BREAKER_OPEN;
    b->auth_failed = false;
    b->before_reset = sum(b->before_reset, b->failures);
    b->failures = 0;
    b->closed_unproven |= old != BREAKER_CLOSED;
    b->relapsing = false;
    if (old == BREAKER_CLOSED)
        return false;
    if (old == BREAKER_OPEN)
        set_state(b, BREAKER_HALF_OPEN, now);
    set_state(b, BREAKER_CLOSED, now);
    return true;
}

void breaker_on_young_loss(struct breaker *b)
{
    if (b->state != BREAKER_CLOSED)
        return;
    b->failures = sum(b->failures, b->before_reset);
    b->before_reset = 0;
    b->relapsing |= b->closed_unproven;
}

void breaker_on_stable(struct breaker *b)
{
    prove(b);
}

/* ---- time and force ---- */

static usec_t open_ends_at(const struct breaker *b, const struct breaker_params *p)
{
    return usec_add(b->since, at_least_one(p->open_for));
}

bool breaker_tick(struct breaker *b, const struct breaker_params *p, usec_t now)
{
    if (now >= b->paused_until)
        b->paused_until = 0;
    switch (b->state) {
    case BREAKER_CLOSED:
        return false;
    case BREAKER_OPEN:
        if (now < open_ends_at(b, p))
            return false;
        set_state(b, BREAKER_HALF_OPEN, now);
        return true;
    case BREAKER_HALF_OPEN:
        return b->trial && now >= b->trial_due_at && trial_on_outcome(b, p, false, now);
    }
    return false;
}

bool breaker_force(struct breaker *b, usec_t now)
{
    memset(b->buckets, 0, sizeof(b->buckets));
    b->failures = 0;
    b->paused_until = 0;
    prove(b);
    switch (b->state) {
    case BREAKER_CLOSED:
        return false;
    case BREAKER_OPEN:
        set_state(b, BREAKER_HALF_OPEN, now);
        return true;
    case BREAKER_HALF_OPEN: /* what is under way belongs to the time before */
        b->epoch++;
        b->trial = false;
        b->trial_due_at = 0;
        b->trials_won = 0;
        return false;
    }
    return false;
}

bool breaker_begin_trial(struct breaker *b, const struct breaker_params *p, usec_t now)
{
    if (b->state != BREAKER_HALF_OPEN || b->trial || now < b->paused_until)
        return false;
    b->trial = true;
    b->trial_due_at = usec_add(now, at_least_one(p->trial_timeout));
    return true;
}

void breaker_pause(struct breaker *b, usec_t span, usec_t now)
{
    usec_t latest = usec_add(now, BREAKER_PAUSE_MAX);
    usec_t until = span ? usec_add(now, span) : 0;
    if (until < b->paused_until)
        until = b->paused_until;
    b->paused_until = until < latest ? until : latest;
}

/* ---- questions ---- */

bool breaker_admits(const struct breaker *b, usec_t now)
{
    return b->state == BREAKER_CLOSED && now >= b->paused_until;
}

usec_t breaker_next_at(const struct breaker *b, const struct breaker_params *p)
{
    usec_t pause = b->paused_until ? b->paused_until : USEC_NEVER;
    switch (b->state) {
    case BREAKER_CLOSED:
        return pause;
    case BREAKER_OPEN:
        return open_ends_at(b, p);
    case BREAKER_HALF_OPEN:
        return b->trial ? b->trial_due_at : pause;
    }
    return USEC_NEVER;
}

unsigned breaker_ramp_limit(const struct breaker *b, const struct breaker_params *p, unsigned max,
                            usec_t now)
{
    usec_t ramp = p->ramp, passed = usec_since(now, b->closed_at);
    if (b->state != BREAKER_CLOSED || b->closed_at == 0 || passed >= ramp)
        return UINT_MAX;
    for (; ramp > UINT32_MAX; ramp /= 2) /* keeps the product below 2^64 */
        passed /= 2;
    return max > 1 ? 1 + (unsigned)((max - 1) * passed / ramp) : 1;
}
