/* policy/pace: a burst at once, then one interval after the other, in order of asking; never faster
 * than the rate, whatever the moments at which somebody asks. */
#include "base/util.h"
#include "policy/pace.h"

#include <check.h>
#include <stdlib.h>

#define S USEC_PER_SEC

static const struct pace_params defaults = {.rate = 10, .burst = 10};

START_TEST(a_burst_at_once_then_one_each_interval)
{
    struct pace p = {0};
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq(pace_reserve(&p, &defaults, 100 * S), 100 * S);
    for (unsigned i = 1; i <= 90; i++)
        ck_assert_uint_eq(pace_reserve(&p, &defaults, 100 * S), 100 * S + i * S / 10);
}
END_TEST

START_TEST(a_hundred_servers_failing_at_once_are_spread)
{
    struct pace p = {0};
    usec_t starts[100];
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        starts[i] = pace_reserve(&p, &defaults, 100 * S);
        ck_assert_uint_ge(p.next_at, starts[i]); /* what the audit allows for */
    }
    for (size_t i = 20; i < ARRAY_LEN(starts); i++) /* in any second, burst and rate together */
        ck_assert_uint_gt(starts[i] - starts[i - 20], S);
    ck_assert_uint_eq(starts[99], 109 * S);
}
END_TEST

START_TEST(quiet_time_gives_the_burst_back_one_by_one)
{
    struct pace p = {0};
    for (unsigned i = 0; i < 10; i++)
        pace_reserve(&p, &defaults, 100 * S);
    struct pace q = p, r = p;
    ck_assert_uint_eq(pace_reserve(&p, &defaults, 100 * S + S / 10 - 1), 100 * S + S / 10);
    ck_assert_uint_eq(pace_reserve(&q, &defaults, 100 * S + S / 10), 100 * S + S / 10);
    ck_assert_uint_eq(pace_reserve(&q, &defaults, 100 * S + S / 10), 100 * S + S / 5);
    for (unsigned i = 0; i < 10; i++) /* all of it, and no more, however long it was quiet */
        ck_assert_uint_eq(pace_reserve(&r, &defaults, 900 * S), 900 * S);
    ck_assert_uint_eq(pace_reserve(&r, &defaults, 900 * S), 900 * S + S / 10);
}
END_TEST

START_TEST(never_more_than_burst_and_rate_in_any_span)
{
    /* Random moments; the n starts from i on must not fit into less than (n - burst) intervals. */
    enum { N = 2000 };
    static usec_t starts[N];
    static const struct pace_params all[] = {{10, 10}, {3, 1}, {7, 5}, {1000, 100}};
    uint64_t x = 88172645463325252u;
    for (size_t k = 0; k < ARRAY_LEN(all); k++) {
        usec_t interval = (S + all[k].rate - 1) / all[k].rate, now = 5 * S;
        struct pace p = {0};
        for (unsigned i = 0; i < N; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            now += x % 8 ? x % (interval + 1) : x % (20 * interval);
            starts[i] = pace_reserve(&p, &all[k], now);
            ck_assert_uint_ge(starts[i], now);
            ck_assert(i == 0 || starts[i] >= starts[i - 1]);
        }
        for (unsigned i = 0; i < N; i++)
            for (unsigned n = all[k].burst + 1; n <= 3 * all[k].burst && i + n <= N; n++)
                if (starts[i + n - 1] - starts[i] < (n - all[k].burst) * interval)
                    ck_abort_msg("rate %u: %u starts from number %u on", all[k].rate, n, i);
    }
}
END_TEST

START_TEST(rate_zero_is_no_pacing)
{
    struct pace p = {0};
    struct pace_params none = {.rate = 0, .burst = 1};
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_uint_eq(pace_reserve(&p, &none, 7), 7);
    ck_assert_uint_eq(p.next_at, 0);
}
END_TEST

START_TEST(odd_parameters_are_safe)
{
    struct pace p = {0};
    struct pace_params no_burst = {.rate = 1, .burst = 0};
    ck_assert_uint_eq(pace_reserve(&p, &no_burst, 0), 0);
    ck_assert_uint_eq(pace_reserve(&p, &no_burst, 0), S);
    p.next_at = 0;
    struct pace_params fast = {.rate = UINT32_MAX, .burst = 1};
    ck_assert_uint_eq(pace_reserve(&p, &fast, 5), 5);
    ck_assert_uint_eq(pace_reserve(&p, &fast, 5), 6);
    p.next_at = 0;
    struct pace_params wide = {.rate = 1, .burst = UINT32_MAX};
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_uint_eq(pace_reserve(&p, &wide, 5), 5);
}
END_TEST

START_TEST(the_end_of_time_and_a_clock_that_goes_back)
{
    struct pace p = {0};
    struct pace_params slow = {.rate = 1, .burst = 1};
    ck_assert_uint_eq(pace_reserve(&p, &slow, USEC_NEVER - 1), USEC_NEVER - 1);
    ck_assert_uint_eq(pace_reserve(&p, &slow, USEC_NEVER - 1), USEC_NEVER);
    ck_assert_uint_eq(pace_reserve(&p, &slow, USEC_NEVER), USEC_NEVER);
    p.next_at = 100 * S;
    ck_assert_uint_eq(pace_reserve(&p, &slow, 50 * S), 100 * S);
    ck_assert_uint_eq(p.next_at, 101 * S);
}
END_TEST

START_TEST(what_is_given_back_puts_nobody_off)
{
    struct pace p = {0};
    struct pace_params one = {.rate = 1, .burst = 1};
    usec_t now = 1000 * S;
    ck_assert_uint_eq(pace_reserve(&p, &one, now), now);
    for (int i = 0; i < 1000; i++) { /* somebody who cannot make up his mind */
        ck_assert_uint_eq(pace_reserve(&p, &one, now), now + S);
        pace_return(&p, &one, now);
    }
    ck_assert_uint_eq(pace_reserve(&p, &one, now), now + S);
    for (int i = 0; i < 10; i++) /* more than was taken: never a credit beyond now */
        pace_return(&p, &one, now);
    ck_assert_uint_eq(pace_reserve(&p, &one, now), now);
    ck_assert_uint_eq(pace_reserve(&p, &one, now), now + S);
    struct pace_params none = {.rate = 0, .burst = 1};
    pace_return(&p, &none, now);
    ck_assert_uint_eq(pace_reserve(&p, &one, now), now + 2 * S);
}
END_TEST

START_TEST(whatever_was_given_back_starts_keep_the_rate)
{
    struct pace p = {0};
    struct pace_params one = {.rate = 1, .burst = 1};
    usec_t now = 1000 * S, at[40];
    unsigned started = 0;
    /* Places are given back from the front, so that later ones are taken twice. */
    for (unsigned i = 0; i < 40; i++) {
        at[i] = pace_reserve(&p, &one, now);
        if (i % 4 == 1)
            pace_return(&p, &one, now);
    }
    for (usec_t t = now; t < now + 100 * S; t += S / 2) {
        unsigned here = 0;
        for (unsigned i = 0; i < 40; i++) {
            if (i % 4 == 1 || at[i] > t)
                continue;
            usec_t ok = pace_start(&p, &one, t);
            here += ok == t;
            at[i] = ok == t ? USEC_NEVER : ok;
        }
        ck_assert_uint_le(here, 1);
        started += here;
    }
    ck_assert_uint_eq(started, 30);
    ck_assert_uint_eq(pace_start(&p, &(struct pace_params){.rate = 0}, now), now);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/pace");
    TCase *t = tcase_create("pace");
    tcase_add_test(t, whatever_was_given_back_starts_keep_the_rate);
    tcase_add_test(t, what_is_given_back_puts_nobody_off);
    tcase_add_test(t, a_burst_at_once_then_one_each_interval);
    tcase_add_test(t, a_hundred_servers_failing_at_once_are_spread);
    tcase_add_test(t, quiet_time_gives_the_burst_back_one_by_one);
    tcase_add_test(t, never_more_than_burst_and_rate_in_any_span);
    tcase_add_test(t, rate_zero_is_no_pacing);
    tcase_add_test(t, odd_parameters_are_safe);
    tcase_add_test(t, the_end_of_time_and_a_clock_that_goes_back);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
