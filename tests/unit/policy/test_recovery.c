/* policy/recovery: cycles of attempts and the delays that follow from them, the audit at each of
 * its bounds, the watchdog. */
#include "base/util.h"
#include "policy/recovery.h"

#include <check.h>
#include <stdlib.h>

#define S USEC_PER_SEC

static const struct backoff_params plain = {.base = S, .cap = 60 * S, .jitter_max = 0};
static const struct backoff_params defaults = {.base = S, .cap = 60 * S, .jitter_max = 5 * S};

static usec_t delay(const struct recovery *r)
{
    return recovery_delay(r, &plain, false, 0);
}

static struct recovery failed(unsigned times, uint32_t max_attempts)
{
    struct recovery r = {0};
    for (unsigned i = 0; i < times; i++)
        recovery_on_failure(&r, max_attempts);
    return r;
}

/* ---- cycles ---- */

START_TEST(the_default_table)
{
    static const unsigned want[] = {1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60, 60};
    struct recovery r = {0};
    ck_assert_uint_eq(delay(&r), 0);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        recovery_on_failure(&r, 10);
        ck_assert_uint_eq(delay(&r), want[i] * S);
    }
}
END_TEST

START_TEST(max_retry_attempts_begins_a_new_cycle_and_never_ends)
{
    struct recovery r = {0};
    for (unsigned cycle = 1; cycle <= 100; cycle++) {
        for (unsigned i = 1; i <= 9; i++) {
            ck_assert(!recovery_on_failure(&r, 10));
            ck_assert_uint_eq(r.attempts, i);
            ck_assert_uint_eq(r.cycles, cycle - 1);
            ck_assert(cycle == 1 || delay(&r) == 60 * S);
        }
        ck_assert(recovery_on_failure(&r, 10));
        ck_assert_uint_eq(r.attempts, 0);
        ck_assert_uint_eq(r.cycles, cycle);
        ck_assert_uint_eq(r.failures, 10 * cycle);
        ck_assert_uint_eq(delay(&r), 60 * S);
    }
}
END_TEST

START_TEST(a_short_cycle_goes_to_the_cap_early)
{
    struct recovery r = failed(2, 3);
    ck_assert_uint_eq(delay(&r), 2 * S);
    ck_assert(recovery_on_failure(&r, 3));
    ck_assert_uint_eq(delay(&r), 60 * S); /* not 4 s: the cycle is over */
    ck_assert(!recovery_on_failure(&r, 3));
    ck_assert_uint_eq(delay(&r), 60 * S);
    for (uint32_t max = 0; max <= 1; max++) { /* 0 is 1 */
        struct recovery one = {0};
        ck_assert(recovery_on_failure(&one, max));
        ck_assert(recovery_on_failure(&one, max));
        ck_assert_uint_eq(one.cycles, 2);
        ck_assert_uint_eq(delay(&one), 60 * S);
    }
    r = failed(8, 10);
    ck_assert(recovery_on_failure(&r, 5)); /* a reload has lowered it */
    ck_assert_uint_eq(r.attempts, 0);
}
END_TEST

START_TEST(counts_up_to_two_to_the_32_do_not_overflow)
{
    struct recovery r = {.failures = UINT32_MAX - 1, .cycles = UINT32_MAX - 1};
    ck_assert_uint_eq(delay(&r), 60 * S);
    for (int i = 0; i < 3; i++) {
        ck_assert(recovery_on_failure(&r, 1));
        ck_assert_uint_eq(r.failures, UINT32_MAX);
        ck_assert_uint_eq(r.cycles, UINT32_MAX);
        ck_assert_uint_eq(delay(&r), 60 * S);
    }
    r = (struct recovery){.failures = UINT32_MAX - 1};
    ck_assert_uint_eq(delay(&r), 60 * S); /* by the count, without a completed cycle */
    r = (struct recovery){.attempts = UINT32_MAX - 2};
    ck_assert(!recovery_on_failure(&r, UINT32_MAX));
    ck_assert_uint_eq(r.attempts, UINT32_MAX - 1);
    ck_assert(recovery_on_failure(&r, UINT32_MAX));
    ck_assert_uint_eq(r.attempts, 0);
    r = (struct recovery){.attempts = UINT32_MAX};
    ck_assert(recovery_on_failure(&r, UINT32_MAX));
    ck_assert_uint_eq(r.cycles, 1);
}
END_TEST

START_TEST(a_proved_connection_clears_everything)
{
    for (int by_answer = 0; by_answer < 2; by_answer++) {
        struct recovery r = failed(25, 10);
        recovery_on_ready(&r);
        recovery_on_loss(&r, by_answer ? 0 : 10 * S, 10 * S, by_answer);
        ck_assert_uint_eq(r.failures + r.attempts + r.cycles, 0);
        ck_assert_uint_eq(delay(&r), 0); /* at once, and the delays start with the next */
        recovery_on_failure(&r, 10);
        ck_assert_uint_eq(delay(&r), S);
    }
}
END_TEST

START_TEST(one_that_dies_young_is_one_more_failure)
{
    struct recovery r = {0};
    recovery_on_ready(&r);
    recovery_on_loss(&r, 10 * S - 1, 10 * S, false); /* just too young */
    ck_assert_uint_eq(delay(&r), S);
    for (int i = 0; i < 100; i++) { /* accept-then-die: growing distances, no hot loop, ever */
        recovery_on_ready(&r);
        recovery_on_loss(&r, 0, 10 * S, false);
        ck_assert_uint_eq(delay(&r), i < 5 ? (usec_t)(2 << i) * S : 60 * S);
    }
    r = failed(4, 10);
    recovery_on_ready(&r);
    ck_assert_uint_eq(r.attempts, 0);
    recovery_on_loss(&r, 0, 10 * S, false);
    ck_assert_uint_eq(delay(&r), 16 * S);
    recovery_on_failure(&r, 10);
    ck_assert_uint_eq(delay(&r), 32 * S);

    r = failed(3, 3); /* a cycle was over: stays at the cap */
    recovery_on_ready(&r);
    recovery_on_loss(&r, 0, 10 * S, false);
    ck_assert_uint_eq(delay(&r), 60 * S);
    recovery_on_loss(&r, 10 * S + 1, 10 * S, false);
    ck_assert_uint_eq(delay(&r), 0);
}
END_TEST

START_TEST(reset_goes_back_to_base)
{
    struct recovery r = failed(25, 10);
    recovery_reset(&r);
    ck_assert_uint_eq(delay(&r), 0);
    recovery_on_failure(&r, 10);
    ck_assert_uint_eq(delay(&r), S);
}
END_TEST

START_TEST(fatal_waits_the_cap)
{
    struct recovery r = {0};
    ck_assert_uint_eq(recovery_delay(&r, &plain, true, 0), 60 * S);
    recovery_on_failure(&r, 10);
    ck_assert_uint_eq(recovery_delay(&r, &plain, true, 0), 60 * S);
    ck_assert_uint_eq(recovery_delay(&r, &plain, false, 0), S);
}
END_TEST

/* ---- jitter over a fleet ---- */

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

START_TEST(a_fleet_that_failed_together_is_spread)
{
    enum { SLOTS = 1000, STEPS = 9, BINS = 20 };
    static const unsigned steps[STEPS] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    seed = 88172645463325252u;
    for (unsigned i = 0; i < STEPS; i++) {
        struct recovery r = failed(i + 1, 10);
        usec_t step = steps[i] * S, span = step < 5 * S ? step : 5 * S;
        unsigned bins[BINS] = {0};
        for (unsigned n = 0; n < SLOTS; n++) {
            usec_t d = recovery_delay(&r, &defaults, false, next_random());
            ck_assert(d >= step &&
                      d <= step + span); /* at the first step at most twice the delay */
            bins[(d - step) * BINS / (span + 1)]++;
        }
        for (unsigned b = 0; b < BINS; b++) /* 50 each, a binomial deviation of 6.9: ± 5 of them */
            ck_assert(bins[b] > 15 && bins[b] < 85);
    }
}
END_TEST

/* ---- audit ---- */

static const struct recovery_rules rules = {
    .max_delay = 60 * S,
    .jitter_max = 5 * S,
    .force_after = 300 * S,
    .attempt_limit = 30 * S,
    .close_limit = 20 * S,
    .pace_limit = 10 * S,
};
#define NOW (1000 * S)

static enum recovery_fault audit(enum recovery_phase phase, usec_t since, usec_t due_at)
{
    struct recovery_view v = {
        .phase = phase, .timer_armed = true, .since = since, .due_at = due_at};
    return recovery_audit(&v, &rules, NOW);
}

START_TEST(waiting_is_due_between_a_moment_ago_and_the_latest)
{
    static const struct {
        usec_t due_at;
        enum recovery_fault want;
    } t[] = {
        {NOW - S - 1, RECOVERY_OVERDUE},
        {NOW - S, RECOVERY_SOUND},
        {NOW - S + 1, RECOVERY_SOUND},
        {NOW, RECOVERY_SOUND},
        {NOW + 75 * S - 1, RECOVERY_SOUND},
        {NOW + 75 * S, RECOVERY_SOUND},
        {NOW + 75 * S + 1, RECOVERY_TOO_LATE},
        {USEC_NEVER, RECOVERY_TOO_LATE},
        {0, RECOVERY_OVERDUE},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(audit(RECOVERY_WAITING, 0, t[i].due_at), t[i].want);
    ck_assert_uint_eq(recovery_latest(&rules, NOW), NOW + 75 * S);
}
END_TEST

START_TEST(never_beyond_force_recovery_interval)
{
    struct recovery_rules r = rules;
    static const usec_t longest[] = {299 * S, 300 * S, 301 * S, USEC_NEVER};
    for (size_t i = 0; i < ARRAY_LEN(longest); i++) {
        r.max_delay = longest[i] < USEC_NEVER ? longest[i] - 15 * S : USEC_NEVER;
        usec_t latest = NOW + (longest[i] < 300 * S ? longest[i] : 300 * S);
        ck_assert_uint_eq(recovery_latest(&r, NOW), latest);
        struct recovery_view v = {.phase = RECOVERY_WAITING, .timer_armed = true};
        for (int d = -1; d <= 1; d++) {
            v.due_at = latest + d;
            ck_assert_int_eq(recovery_audit(&v, &r, NOW),
                             d > 0 ? RECOVERY_TOO_LATE : RECOVERY_SOUND);
        }
    }
    ck_assert_uint_eq(recovery_latest(&r, USEC_NEVER - 5), USEC_NEVER);
}
END_TEST

START_TEST(attempting_needs_its_timer_and_ends_in_time)
{
    static const struct {
        usec_t since, due_at;
        enum recovery_fault want;
    } t[] = {
        {NOW, NOW + 30 * S - 1, RECOVERY_SOUND},
        {NOW, NOW + 30 * S, RECOVERY_SOUND},
        {NOW, NOW + 30 * S + 1, RECOVERY_TOO_LATE},
        {NOW - 30 * S, NOW - S + 1, RECOVERY_SOUND},
        {NOW - 30 * S, NOW - S, RECOVERY_SOUND},
        {NOW - 30 * S, NOW - S - 1, RECOVERY_OVERDUE},
        {NOW - 31 * S + 1, NOW, RECOVERY_SOUND},
        {NOW - 31 * S, NOW, RECOVERY_SOUND},
        {NOW - 31 * S - 1, NOW, RECOVERY_STUCK}, /* its timer is armed again and again */
        {NOW + S, NOW, RECOVERY_SOUND},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_int_eq(audit(RECOVERY_ATTEMPTING, t[i].since, t[i].due_at), t[i].want);
}
END_TEST

START_TEST(closing_ends_in_time)
{
    ck_assert_int_eq(audit(RECOVERY_CLOSING, NOW - 21 * S + 1, 0), RECOVERY_SOUND);
    ck_assert_int_eq(audit(RECOVERY_CLOSING, NOW - 21 * S, 0), RECOVERY_SOUND);
    ck_assert_int_eq(audit(RECOVERY_CLOSING, NOW - 21 * S - 1, 0), RECOVERY_STUCK);
    ck_assert_int_eq(audit(RECOVERY_CLOSING, NOW + 1, 0), RECOVERY_SOUND);
}
END_TEST

START_TEST(who_attempts_or_waits_has_a_timer)
{
    static const enum recovery_fault want[] = {
        [RECOVERY_UNUSED] = RECOVERY_SOUND,     [RECOVERY_ATTEMPTING] = RECOVERY_NO_TIMER,
        [RECOVERY_READY] = RECOVERY_SOUND,      [RECOVERY_CLOSING] = RECOVERY_SOUND,
        [RECOVERY_WAITING] = RECOVERY_NO_TIMER,
    };
    for (enum recovery_phase p = RECOVERY_UNUSED; p <= RECOVERY_WAITING; p++) {
        struct recovery_view v = {.phase = p, .since = NOW, .due_at = NOW + S};
        ck_assert_int_eq(recovery_audit(&v, &rules, NOW), want[p]);
    }
}
END_TEST

START_TEST(idle_and_ready_are_sound_for_ever)
{
    ck_assert_int_eq(audit(RECOVERY_UNUSED, 0, 0), RECOVERY_SOUND);
    ck_assert_int_eq(audit(RECOVERY_READY, 0, USEC_NEVER), RECOVERY_SOUND);
}
END_TEST

START_TEST(what_the_delays_promise_passes_the_audit)
{
    /* Each delay that can come out of the defaults, seen at once and at any time until it is due.
     */
    seed = 1234567;
    for (unsigned i = 0; i < 2000; i++) {
        struct recovery r = failed(i % 40, 10);
        usec_t due_at = NOW + recovery_delay(&r, &defaults, i % 7 == 0, next_random());
        ck_assert_int_eq(audit(RECOVERY_WAITING, NOW, due_at), RECOVERY_SOUND);
        struct recovery_view v = {.phase = RECOVERY_WAITING, .timer_armed = true, .due_at = due_at};
        ck_assert_int_eq(recovery_audit(&v, &rules, due_at), RECOVERY_SOUND);
    }
}
END_TEST

START_TEST(faults_have_names)
{
    ck_assert_str_eq(recovery_fault_name(RECOVERY_SOUND), "sound");
    ck_assert_str_eq(recovery_fault_name(RECOVERY_NO_TIMER), "without a timer");
    ck_assert_str_eq(recovery_fault_name(RECOVERY_TOO_LATE), "due too late");
    ck_assert_str_eq(recovery_fault_name(RECOVERY_OVERDUE), "overdue");
    ck_assert_str_eq(recovery_fault_name(RECOVERY_STUCK), "stuck");
}
END_TEST

START_TEST(at_most_three_at_once)
{
    static const unsigned want[] = {3, 2, 1, 0, 0};
    for (unsigned i = 0; i < ARRAY_LEN(want); i++)
        ck_assert_uint_eq(recovery_room(i), want[i]);
    ck_assert_uint_eq(recovery_room(UINT32_MAX), 0);
}
END_TEST

/* ---- watchdog ---- */

START_TEST(force_recovery_interval)
{
    static const struct {
        usec_t unwell, empty, forced, now;
        bool want;
    } t[] = {
        {0, 0, 0, USEC_NEVER, false}, /* all is well */
        {100 * S, 0, 0, 400 * S - 1, false},
        {100 * S, 0, 0, 400 * S, true},
        {100 * S, 0, 0, 400 * S + 1, true},
        {0, 100 * S, 0, 400 * S - 1, false},
        {0, 100 * S, 0, 400 * S, true},
        {200 * S, 100 * S, 0, 400 * S, true}, /* either is enough */
        {100 * S, 200 * S, 0, 400 * S, true},
        {200 * S, 200 * S, 0, 400 * S, false},
        {100 * S, 0, 400 * S, 700 * S - 1, false}, /* once in force_after */
        {100 * S, 0, 400 * S, 700 * S, true},
        {500 * S, 0, 400 * S, 700 * S, false}, /* was well since */
        {500 * S, 0, 400 * S, 800 * S, true},
        {100 * S, 0, 0, 50 * S, false}, /* a clock that went back */
        {1, 0, 0, USEC_NEVER, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_msg(recovery_is_overdue(t[i].unwell, t[i].empty, t[i].forced, 300 * S,
                                          t[i].now) == t[i].want,
                      "row %zu", i);
    ck_assert(recovery_is_overdue(5, 0, 0, 0, 5));
    ck_assert(!recovery_is_overdue(5, 0, 0, USEC_NEVER, USEC_NEVER - 1));
}
END_TEST

static void add_cycles(Suite *s)
{
    TCase *t = tcase_create("cycles");
    tcase_add_test(t, the_default_table);
    tcase_add_test(t, max_retry_attempts_begins_a_new_cycle_and_never_ends);
    tcase_add_test(t, a_short_cycle_goes_to_the_cap_early);
    tcase_add_test(t, counts_up_to_two_to_the_32_do_not_overflow);
    tcase_add_test(t, a_proved_connection_clears_everything);
    tcase_add_test(t, one_that_dies_young_is_one_more_failure);
    tcase_add_test(t, reset_goes_back_to_base);
    tcase_add_test(t, fatal_waits_the_cap);
    tcase_add_test(t, a_fleet_that_failed_together_is_spread);
    suite_add_tcase(s, t);
}

static void add_audit(Suite *s)
{
    TCase *t = tcase_create("audit");
    tcase_add_test(t, waiting_is_due_between_a_moment_ago_and_the_latest);
    tcase_add_test(t, never_beyond_force_recovery_interval);
    tcase_add_test(t, attempting_needs_its_timer_and_ends_in_time);
    tcase_add_test(t, closing_ends_in_time);
    tcase_add_test(t, who_attempts_or_waits_has_a_timer);
    tcase_add_test(t, idle_and_ready_are_sound_for_ever);
    tcase_add_test(t, what_the_delays_promise_passes_the_audit);
    tcase_add_test(t, faults_have_names);
    tcase_add_test(t, at_most_three_at_once);
    tcase_add_test(t, force_recovery_interval);
    suite_add_tcase(s, t);
}

int main(void)
{
    Suite *s = suite_create("policy/recovery");
    add_cycles(s);
    add_audit(s);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
