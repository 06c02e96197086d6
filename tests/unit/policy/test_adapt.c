/* policy/adapt: the estimate of RFC 6298 over outages, its bounds, and outages of any length. */
#include "base/util.h"
#include "policy/adapt.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

#define S USEC_PER_SEC

static struct adapt measured(usec_t outage, unsigned times)
{
    struct adapt a = {0};
    for (unsigned i = 0; i < times; i++)
        adapt_on_recovery(&a, outage);
    return a;
}

START_TEST(too_few_samples_say_nothing)
{
    for (unsigned n = 0; n < ADAPT_SAMPLES_MIN; n++) {
        struct adapt a = measured(2 * S, n);
        ck_assert_uint_eq(a.samples, n);
        ck_assert_uint_eq(adapt_cap(&a, S, 60 * S, 0), 60 * S);
        ck_assert_uint_eq(adapt_cap(&a, S, 60 * S, 4 * S), 60 * S);
    }
    struct adapt a = measured(2 * S, ADAPT_SAMPLES_MIN);
    ck_assert_uint_lt(adapt_cap(&a, S, 60 * S, 0), 60 * S);
}
END_TEST

START_TEST(estimate_by_hand)
{
    /* 8 s: mean 8, deviation 4. 16 s: deviation 3/4·4 + 1/4·8 = 5, mean 7/8·8 + 1/8·16 = 9.
     * 1 s: deviation 3/4·5 + 1/4·8 = 5.75, mean 7/8·9 + 1/8 = 8. */
    struct adapt a = {0};
    adapt_on_recovery(&a, 8 * S);
    ck_assert_uint_eq(a.mean, 8 * S);
    ck_assert_uint_eq(a.deviation, 4 * S);
    adapt_on_recovery(&a, 16 * S);
    ck_assert_uint_eq(a.mean, 9 * S);
    ck_assert_uint_eq(a.deviation, 5 * S);
    adapt_on_recovery(&a, S);
    ck_assert_uint_eq(a.mean, 8 * S);
    ck_assert_uint_eq(a.deviation, 5750000);
    ck_assert_uint_eq(adapt_cap(&a, S, 60 * S, 0), 31 * S);
}
END_TEST

START_TEST(steady_recoveries_bring_the_cap_to_their_length)
{
    struct adapt a = measured(3 * S, 200);
    ck_assert_uint_le(a.deviation, 16);
    ck_assert_uint_eq(adapt_cap(&a, S, 60 * S, 0) / 1000, 3000);
    for (int i = 0; i < 200; i++) /* and follow a server that has become slower */
        adapt_on_recovery(&a, 20 * S);
    usec_t cap = adapt_cap(&a, S, 60 * S, 0);
    ck_assert(cap >= 20 * S - 100 && cap <= 20 * S + 100);
}
END_TEST

START_TEST(cap_grows_with_half_of_the_present_outage)
{
    struct adapt a = {.samples = 3, .mean = 2 * S, .deviation = S / 4};
    static const struct {
        usec_t outage, want;
    } t[] = {
        {0, 3 * S},           {6 * S - 2, 3 * S},        {6 * S, 3 * S},    {6 * S + 2, 3 * S + 1},
        {40 * S, 20 * S},     {120 * S - 2, 60 * S - 1}, {120 * S, 60 * S}, {120 * S + 2, 60 * S},
        {USEC_NEVER, 60 * S},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_uint_eq(adapt_cap(&a, S, 60 * S, t[i].outage), t[i].want);
}
END_TEST

START_TEST(cap_stays_between_base_and_max)
{
    struct adapt a = {.samples = 3, .mean = S, .deviation = 0};
    ck_assert_uint_eq(adapt_cap(&a, S - 1, 60 * S, 0), S);
    ck_assert_uint_eq(adapt_cap(&a, S, 60 * S, 0), S);
    ck_assert_uint_eq(adapt_cap(&a, S + 1, 60 * S, 0), S + 1);
    ck_assert_uint_eq(adapt_cap(&a, 0, S + 1, 0), S);
    ck_assert_uint_eq(adapt_cap(&a, 0, S, 0), S);
    ck_assert_uint_eq(adapt_cap(&a, 0, S - 1, 0), S - 1);
    ck_assert_uint_eq(adapt_cap(&a, 5 * S, 5 * S, 0), 5 * S);
    ck_assert_uint_eq(adapt_cap(&a, 9 * S, 5 * S, 0), 5 * S); /* max is a promise, base a wish */
    ck_assert_uint_eq(adapt_cap(&a, 0, 0, 0), 0);
}
END_TEST

START_TEST(any_outage_is_safe)
{
    static const usec_t lengths[] = {0, 1, S, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (size_t j = 0; j < ARRAY_LEN(lengths); j++) {
            struct adapt a = measured(lengths[i], 50);
            usec_t low = lengths[i] < lengths[j] ? lengths[i] : lengths[j];
            usec_t high = lengths[i] < lengths[j] ? lengths[j] : lengths[i];
            for (int n = 0; n < 50; n++) {
                adapt_on_recovery(&a, lengths[j]);
                /* A mean lies between what it is the mean of, but for the rounding. */
                ck_assert_uint_le(a.mean, high);
                ck_assert_uint_ge(a.mean, low > 8 ? low - 8 : 0);
                ck_assert_uint_le(a.deviation, high);
            }
            usec_t cap = adapt_cap(&a, S, 60 * S, lengths[j]);
            ck_assert(cap >= S && cap <= 60 * S);
            ck_assert_uint_ge(adapt_cap(&a, 0, UINT64_MAX, 0), a.mean);
        }
    }
}
END_TEST

START_TEST(a_spread_beyond_the_end_of_time_is_the_end)
{
    struct adapt a = {.samples = 3, .mean = 7, .deviation = UINT64_MAX / 4};
    ck_assert_uint_eq(adapt_cap(&a, 0, UINT64_MAX, 0), UINT64_MAX);
    a.mean = 0;
    ck_assert_uint_eq(adapt_cap(&a, 0, UINT64_MAX, 0), UINT64_MAX / 4 * 4);
    a.deviation++; /* four of them are 0 in 64 bits */
    ck_assert_uint_eq(adapt_cap(&a, 0, UINT64_MAX, 0), UINT64_MAX);
}
END_TEST

START_TEST(the_count_saturates)
{
    struct adapt a = {.samples = UINT_MAX - 1, .mean = S};
    for (int i = 0; i < 3; i++)
        adapt_on_recovery(&a, S);
    ck_assert_uint_eq(a.samples, UINT_MAX);
    ck_assert_uint_eq(a.mean, S); /* the first sample is not taken twice */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/adapt");
    TCase *t = tcase_create("adapt");
    tcase_add_test(t, too_few_samples_say_nothing);
    tcase_add_test(t, estimate_by_hand);
    tcase_add_test(t, steady_recoveries_bring_the_cap_to_their_length);
    tcase_add_test(t, cap_grows_with_half_of_the_present_outage);
    tcase_add_test(t, cap_stays_between_base_and_max);
    tcase_add_test(t, any_outage_is_safe);
    tcase_add_test(t, a_spread_beyond_the_end_of_time_is_the_end);
    tcase_add_test(t, the_count_saturates);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
