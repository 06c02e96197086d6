/* policy/breaker against a model that is as plain as it is slow: it keeps every outcome with its
 * time and everything that happened since the last proof as a string of letters, and answers each
 * question by reading them again. Random walks of both, in step, and what must hold whatever comes.
 */
#include "base/util.h"
#include "policy/breaker.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define S USEC_PER_SEC

/* As ck_assert, but it costs nothing while it holds: there are millions. */
#define must(what)                                                                                 \
    do {                                                                                           \
        if (!(what))                                                                               \
            ck_abort_msg("step %u: %s", at_step, #what);                                           \
    } while (0)
static unsigned at_step;

/* ---- the model ---- */

enum { LOG_MAX = 1 << 18, STORY_MAX = 1 << 16 };

static struct {
    const struct breaker_params *p;
    enum breaker_state state;
    uint32_t epoch;
    usec_t since, unwell_since, closed_at, paused_until;
    /* Outcomes in CLOSED, since it closed. */
    struct {
        usec_t at;
        bool failed;
    } log[LOG_MAX];
    size_t logged;
    /* Since the last proof: F failure, H handshake, Y young loss; a C at the start is the handshake
     * that closed it, before which there had been `carried` failures. */
    char story[STORY_MAX];
    size_t told;
    unsigned carried;
    unsigned opened_by; /* OPEN, HALF_OPEN */
    unsigned won;
    bool trial;
    usec_t trial_due_at;
} m;

static usec_t span(usec_t s)
{
    return s ? s : 1;
}

static void tell(char what)
{
    must(m.told < STORY_MAX);
    m.story[m.told++] = what;
}

/* Where the story of the last handshake begins; told when there was none. */
static size_t last_handshake(void)
{
    for (size_t i = m.told; i-- > 0;)
        if (m.story[i] == 'H' || m.story[i] == 'C')
            return i;
    return m.told;
}

static bool died_since(size_t from)
{
    return memchr(m.story + from, 'Y', m.told - from) != NULL;
}

/* Failures that count: those since the last handshake, but all of them once it was for nothing. */
static unsigned failures(void)
{
    if (m.state != BREAKER_CLOSED)
        return m.opened_by;
    size_t handshake = last_handshake();
    bool all = handshake == m.told || died_since(handshake);
    unsigned n = all ? m.carried : 0;
    for (size_t i = all ? 0 : handshake; i < m.told; i++)
        n += m.story[i] == 'F';
    return n;
}

static bool relapsed(void)
{
    return m.told > 0 && m.story[0] == 'C' && died_since(last_handshake());
}

static unsigned failures_by_rate(usec_t now)
{
    usec_t width = span(m.p->window / BREAKER_BUCKETS);
    uint64_t all = 0, failed = 0;
    for (size_t i = m.logged; i-- > 0 && now / width - m.log[i].at / width < BREAKER_BUCKETS;) {
        all++;
        failed += m.log[i].failed;
    }
    bool opens = m.p->failure_rate > 0 && all >= m.p->volume &&
                 failed * 100 >= all * m.p->failure_rate && failed > 0;
    return opens ? (unsigned)failed : 0;
}

static void go(enum breaker_state to, usec_t now)
{
    if (to == BREAKER_OPEN && m.state == BREAKER_CLOSED)
        m.unwell_since = now;
    if (to == BREAKER_CLOSED) {
        m.logged = 0;
        m.unwell_since = 0;
        m.closed_at = now;
    }
    m.told = m.carried = m.won = 0;
    m.trial = false;
    m.state = to;
    m.since = now;
    m.epoch++;
}

static void model_failure(usec_t now)
{
    if (m.state == BREAKER_HALF_OPEN) {
        m.opened_by++;
        go(BREAKER_OPEN, now);
    } else if (m.state == BREAKER_CLOSED) {
        m.log[m.logged].at = now;
        m.log[m.logged++].failed = true;
        tell('F');
        unsigned row = failures(), rate = failures_by_rate(now);
        if (row >= m.p->threshold || rate > 0 || relapsed()) {
            m.opened_by = row > rate ? row : rate;
            go(BREAKER_OPEN, now);
        }
    }
}

static void model_success(usec_t now)
{
    if (m.state == BREAKER_HALF_OPEN) {
        m.trial = false;
        if (++m.won >= m.p->successes)
            go(BREAKER_CLOSED, now);
    } else if (m.state == BREAKER_CLOSED) {
        m.log[m.logged].at = now;
        m.log[m.logged++].failed = false;
        m.told = m.carried = 0;
    }
}

static void model_handshake(usec_t now)
{
    if (m.state == BREAKER_CLOSED) {
        tell('H');
        return;
    }
    unsigned before = m.opened_by;
    if (m.state == BREAKER_OPEN)
        go(BREAKER_HALF_OPEN, now);
    go(BREAKER_CLOSED, now);
    m.carried = before;
    tell('C');
}

static void model_force(usec_t now)
{
    m.paused_until = 0;
    m.logged = m.told = m.carried = m.opened_by = 0;
    if (m.state == BREAKER_OPEN)
        go(BREAKER_HALF_OPEN, now);
    else if (m.state == BREAKER_HALF_OPEN) {
        m.epoch++;
        m.won = 0;
        m.trial = false;
    }
}

static void model_tick(usec_t now)
{
    if (now >= m.paused_until)
        m.paused_until = 0;
    if (m.state == BREAKER_OPEN && now >= m.since + span(m.p->open_for))
        go(BREAKER_HALF_OPEN, now);
    else if (m.state == BREAKER_HALF_OPEN && m.trial && now >= m.trial_due_at)
        model_failure(now);
}

static bool model_begin(usec_t now)
{
    if (m.state != BREAKER_HALF_OPEN || m.trial || now < m.paused_until)
        return false;
    m.trial = true;
    m.trial_due_at = now + span(m.p->trial_timeout);
    return true;
}

static void model_pause(usec_t length, usec_t now)
{
    usec_t until = now + (length < BREAKER_PAUSE_MAX ? length : BREAKER_PAUSE_MAX);
    if (length > 0 && until > m.paused_until)
        m.paused_until = until;
}

static usec_t model_next_at(void)
{
    if (m.state == BREAKER_OPEN)
        return m.since + span(m.p->open_for);
    if (m.state == BREAKER_HALF_OPEN && m.trial)
        return m.trial_due_at;
    return m.paused_until ? m.paused_until : USEC_NEVER;
}

/* ---- the walk ---- */

static uint64_t seed;

static uint64_t roll(uint64_t sides)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % sides;
}

/* What the walks came across; a walk that never gets somewhere says nothing about it. */
static struct {
    unsigned by_row, by_rate, by_relapse, by_trial, by_lost_trial, timed, forced, won, shaken, via,
        stale, paused;
} seen;

static usec_t later(usec_t now, const struct breaker *b)
{
    usec_t next = breaker_next_at(b, m.p), width = span(m.p->window / BREAKER_BUCKETS);
    switch (roll(12)) {
    case 0:
        return now + width - now % width - (now % width < width - 1 ? roll(2) : 0);
    case 1:
        return now + roll(2 * width);
    case 2:
        return next > now && next < USEC_NEVER ? next - 1 : now;
    case 3:
        return next > now && next < USEC_NEVER ? next : now;
    case 4:
        return roll(20) ? now + roll(3) : now + roll(100 * S);
    case 5:
        return b->state != BREAKER_CLOSED && next < USEC_NEVER ? next : now;
    default:
        return now + roll(2);
    }
}

static void check_transition(const struct breaker *old, const struct breaker *b, bool changed,
                             bool via, bool forced)
{
    static const bool legal[3][3] = {
        [BREAKER_CLOSED] = {[BREAKER_OPEN] = true},
        [BREAKER_OPEN] = {[BREAKER_HALF_OPEN] = true},
        [BREAKER_HALF_OPEN] = {[BREAKER_OPEN] = true, [BREAKER_CLOSED] = true},
    };
    uint32_t raised = b->epoch - old->epoch;
    if (via)
        must(old->state == BREAKER_OPEN && b->state == BREAKER_CLOSED && raised == 2);
    else if (changed)
        must(legal[old->state][b->state] && raised == 1);
    else
        must(old->state == b->state && raised == (forced && old->state == BREAKER_HALF_OPEN));
    must(!b->trial || b->state == BREAKER_HALF_OPEN);
}

/* Both say the same wherever one can look. */
static void compare(const struct breaker *b, usec_t now)
{
    must(b->state == m.state);
    must(b->epoch == m.epoch);
    must(b->failures == failures());
    must(b->trials_won == m.won);
    must(b->trial == m.trial);
    must(b->since == m.since);
    must(b->unwell_since == m.unwell_since);
    must(b->closed_at == m.closed_at);
    must(breaker_next_at(b, m.p) == model_next_at());
    must(breaker_admits(b, now) == (m.state == BREAKER_CLOSED && now >= m.paused_until));
    must((breaker_ramp_limit(b, m.p, 10, now) != UINT_MAX) ==
         (m.state == BREAKER_CLOSED && m.closed_at && now < m.closed_at + m.p->ramp));
}

/* Whatever its state, a server that is up from now on gets its calls back by time and trials. */
static void check_way_back(struct breaker b, usec_t now)
{
    unsigned steps = 0;
    for (; !breaker_admits(&b, now); steps++) {
        usec_t next = breaker_next_at(&b, m.p);
        if (breaker_begin_trial(&b, m.p, now)) {
            breaker_on_outcome(&b, m.p, OUTCOME_SUCCESS, b.epoch, now);
            continue;
        }
        must(next < USEC_NEVER);
        now = next > now ? next : now;
        breaker_tick(&b, m.p, now);
    }
    must(steps <= 5 + m.p->successes); /* a lost trial, OPEN, a pause, the trials */
}

/* Whatever has begun in OPEN or in a trial ends at the time that was said, if nothing else does. */
static void check_ends_by_time(struct breaker b)
{
    usec_t at = breaker_next_at(&b, m.p);
    if (b.state == BREAKER_CLOSED || (b.state == BREAKER_HALF_OPEN && !b.trial))
        return;
    enum breaker_state to = b.state == BREAKER_OPEN ? BREAKER_HALF_OPEN : BREAKER_OPEN;
    must(!breaker_tick(&b, m.p, at - 1));
    must(breaker_tick(&b, m.p, at));
    must(b.state == to);
}

static bool step_outcome(struct breaker *b, enum outcome o, usec_t now)
{
    bool relapsing = b->relapsing, failed = o == OUTCOME_FAILURE;
    unsigned row = b->failures;
    enum breaker_state old = b->state;
    bool changed = breaker_on_outcome(b, m.p, o, b->epoch, now);
    if (failed)
        model_failure(now);
    else if (o == OUTCOME_SUCCESS)
        model_success(now);
    else
        m.trial = false;
    if (changed && old == BREAKER_CLOSED) {
        seen.by_relapse += relapsing;
        seen.by_row += !relapsing && row + 1 >= m.p->threshold;
        seen.by_rate += !relapsing && row + 1 < m.p->threshold;
    }
    seen.by_trial += changed && old == BREAKER_HALF_OPEN && failed;
    seen.won += changed && old == BREAKER_HALF_OPEN && !failed;
    return changed;
}

static bool step_stale(struct breaker *b, usec_t now)
{
    struct breaker before = *b;
    enum outcome o = (enum outcome)roll(3);
    bool changed = breaker_on_outcome(b, m.p, o, b->epoch - 1 - (uint32_t)roll(5), now);
    must(b->state == before.state && b->epoch == before.epoch && b->failures == before.failures &&
         b->before_reset == before.before_reset && b->trials_won == before.trials_won &&
         b->trial == before.trial && b->relapsing == before.relapsing &&
         b->closed_unproven == before.closed_unproven && b->since == before.since);
    seen.stale++;
    return changed;
}

static bool step_tick(struct breaker *b, usec_t now)
{
    enum breaker_state old = b->state;
    bool changed = breaker_tick(b, m.p, now);
    model_tick(now);
    must(breaker_next_at(b, m.p) > now);
    seen.timed += changed && old == BREAKER_OPEN;
    seen.by_lost_trial += changed && old == BREAKER_HALF_OPEN;
    return changed;
}

static bool step_handshake(struct breaker *b, bool *ret_via, usec_t now)
{
    bool changed = breaker_on_handshake(b, ret_via, now);
    model_handshake(now);
    seen.shaken += changed;
    seen.via += *ret_via;
    return changed;
}

static bool step_force(struct breaker *b, usec_t now)
{
    bool changed = breaker_force(b, now);
    model_force(now);
    seen.forced += changed;
    return changed;
}

static void step_pause(struct breaker *b, usec_t now)
{
    usec_t length = roll(4) ? roll(5) : roll(400 * S);
    breaker_pause(b, length, now);
    model_pause(length, now);
    seen.paused += length > 0;
}

static void step_stable(struct breaker *b)
{
    breaker_on_stable(b);
    m.carried = m.state == BREAKER_CLOSED ? failures() : 0; /* those of now stay */
    m.told = 0;
}

/* One random event. `health`: how many of 16 outcomes are successes; SILENT: nothing comes back. */
#define SILENT 17
static void step(struct breaker *b, unsigned health, usec_t now)
{
    struct breaker old = *b;
    bool changed = false, via = false, forced = false;
    switch (roll(24)) {
    case 0:
        changed = step_handshake(b, &via, now);
        break;
    case 1:
        breaker_on_young_loss(b);
        if (m.state == BREAKER_CLOSED)
            tell('Y');
        break;
    case 2:
        if (roll(4) == 0)
            step_stable(b);
        break;
    case 3:
        changed = step_stale(b, now);
        break;
    case 4:
        if (roll(8) == 0) {
            changed = step_force(b, now);
            forced = true;
        }
        break;
    case 5:
        if (roll(32) == 0)
            step_pause(b, now);
        break;
    case 6:
        changed = step_outcome(b, OUTCOME_IGNORED, now);
        break;
    case 7:
    case 8:
    case 9:
        changed = step_tick(b, now);
        break;
    case 10:
    case 11:
    case 12:
        must(breaker_begin_trial(b, m.p, now) == model_begin(now));
        break;
    default:
        if (health != SILENT)
            changed = step_outcome(b, roll(16) < health ? OUTCOME_SUCCESS : OUTCOME_FAILURE, now);
        break;
    }
    check_transition(&old, b, changed, via, forced);
    compare(b, now);
}

static void walk(const struct breaker_params *p, uint64_t with, unsigned steps)
{
    static const unsigned phases[] = {2, 14, 8, SILENT};
    struct breaker b;
    usec_t now = 1 + with % (100 * S);
    memset(&m, 0, sizeof(m));
    memset(&seen, 0, sizeof(seen));
    seed = with * 0x9e3779b97f4a7c15u | 1;
    m.p = p;
    m.since = now;
    breaker_init(&b, now);
    for (unsigned i = 0; i < steps; i++) {
        at_step = i;
        now = later(now, &b);
        step(&b, phases[i / 64 % ARRAY_LEN(phases)], now);
        check_ends_by_time(b);
        if (i % 16 == 0)
            check_way_back(b, now);
    }
}

static const struct breaker_params walks[] = {
    {5, 30 * S, 10, 50, 60 * S, 5 * S, 2, 10 * S},       /* the defaults */
    {1000000, 30 * S, 10, 50, 60 * S, 5 * S, 2, 10 * S}, /* by rate or relapse only */
    {5, 30 * S, 10, 0, 60 * S, 5 * S, 2, 10 * S},        /* never by rate */
    {12, 7 * S + 3, 20, 90, S, 2 * S, 5, 0},
    {3, 100, 3, 100, 10, 10, 3, 10},
    {1, 1, 1, 1, 1, 1, 1, 1},
    {0, 0, 0, 0, 0, 0, 0, 0},
    {0, 0, 0, 101, 0, 0, 0, 0},
};

START_TEST(in_step_with_the_model)
{
    walk(&walks[_i], 1000 + (uint64_t)_i, 400000);
    ck_assert_uint_gt(seen.stale, 10000);
    ck_assert_uint_gt(seen.paused, 200);
    ck_assert_uint_gt(seen.timed, 1000);
    ck_assert_uint_gt(seen.forced, 50);
    ck_assert_uint_gt(seen.won, 100);
    ck_assert_uint_gt(seen.shaken, 500);
    ck_assert_uint_gt(seen.via, 500);
    ck_assert_uint_gt(seen.by_trial, 500);
    ck_assert_uint_gt(seen.by_lost_trial, 20);
    ck_assert_uint_gt(seen.by_relapse, 100);
    ck_assert(walks[_i].threshold > 100 || seen.by_row > 500);
    ck_assert(walks[_i].failure_rate % 101 == 0 || walks[_i].threshold < 2 || seen.by_rate > 300);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/breaker model");
    TCase *t = tcase_create("walks");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, in_step_with_the_model, 0, ARRAY_LEN(walks));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
