/* policy/backoff: every boundary, no overflow, jitter within its range and really spread. */
#include "base/util.h"
#include "policy/backoff.h"

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#define S USEC_PER_SEC

static const struct backoff_params plain = {.base = S, .cap = 60 * S, .jitter_max = 0};

START_TEST(doubles_up_to_the_cap)
{
    static const unsigned want[] = {0, 1, 2, 4, 8, 16, 32, 60, 60, 60};
    for (unsigned i = 0; i < sizeof(want) / sizeof(*want); i++)
        ck_assert_uint_eq(backoff_delay(&plain, i, 0), want[i] * S);
}
END_TEST

START_TEST(never_overflows)
{
    static const unsigned counts[] = {65, 66, INT32_MAX, UINT32_MAX - 1, UINT32_MAX};
    struct backoff_params huge = {.base = UINT64_MAX / 3, .cap = UINT64_MAX / 2, .jitter_max = 0};
    struct backoff_params all = {.base = 1, .cap = UINT64_MAX, .jitter_max = UINT64_MAX};
    ck_assert_uint_eq(backoff_delay(&huge, 1, 0), UINT64_MAX / 3);
    ck_assert_uint_eq(backoff_delay(&huge, 2, 0), UINT64_MAX / 2);
    ck_assert_uint_eq(backoff_delay(&all, 64, 0), (usec_t)1 << 63);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        ck_assert_uint_eq(backoff_delay(&plain, counts[i], UINT64_MAX), 60 * S);
        ck_assert_uint_eq(backoff_delay(&huge, counts[i], 0), UINT64_MAX / 2);
        ck_assert_uint_eq(backoff_delay(&all, counts[i], UINT64_MAX), UINT64_MAX);
    }
}
END_TEST

START_TEST(a_base_of_zero_still_grows)
{
    struct backoff_params p = {.base = 0, .cap = 60 * S, .jitter_max = 0};
    ck_assert_uint_eq(backoff_delay(&p, 1, 0), 1);
    ck_assert_uint_eq(backoff_delay(&p, 2, 0), 2);
    ck_assert_uint_eq(backoff_delay(&p, UINT32_MAX, 0), 60 * S);
    p.cap = 0; /* somebody wants no delays at all */
    ck_assert_uint_eq(backoff_delay(&p, UINT32_MAX, UINT64_MAX), 0);
}
END_TEST

START_TEST(a_base_above_the_cap_is_cut)
{
    struct backoff_params p = {.base = 90 * S, .cap = 60 * S, .jitter_max = 0};
    ck_assert_uint_eq(backoff_delay(&p, 1, 0), 60 * S);
}
END_TEST

START_TEST(jitter_is_never_more_than_the_delay)
{
    struct backoff_params p = {.base = S, .cap = 60 * S, .jitter_max = 5 * S};
    for (uint64_t r = 0; r < 100000; r++) {
        usec_t first = backoff_delay(&p, 1, r * 0x9e3779b97f4a7c15u);
        if (first < S || first > 2 * S)
            ck_abort_msg("first delay %" PRIu64, first);
        usec_t late = backoff_delay(&p, 9, r * 0x9e3779b97f4a7c15u);
        if (late < 60 * S || late > 65 * S)
            ck_abort_msg("late delay %" PRIu64, late);
    }
}
END_TEST

START_TEST(jitter_reaches_both_ends)
{
    struct backoff_params p = {.base = S, .cap = 60 * S, .jitter_max = 5 * S};
    ck_assert_uint_eq(backoff_delay(&p, 9, 0), 60 * S);
    ck_assert_uint_eq(backoff_delay(&p, 9, 5 * S), 65 * S);
    ck_assert_uint_eq(backoff_delay(&p, 9, 5 * S + 1), 60 * S);
    ck_assert_uint_eq(backoff_delay(&p, 1, S), 2 * S);
    ck_assert_uint_eq(backoff_delay(&p, 1, S + 1), S);
    ck_assert_uint_eq(backoff_delay(&p, 3, 4 * S), 8 * S); /* 4 s and as much */
    ck_assert_uint_eq(backoff_delay(&p, 4, 5 * S), 13 * S);
    ck_assert_uint_eq(backoff_delay(&p, 0, UINT64_MAX), 0);
}
END_TEST

START_TEST(jitter_is_uniform)
{
    /* Chi-squared over twenty bins: 19 degrees of freedom, 43.8 is the 0.1 % bound. */
    enum { N = 100000, BINS = 20 };
    struct backoff_params p = {.base = S, .cap = 60 * S, .jitter_max = 5 * S};
    uint64_t x = 88172645463325252u;
    for (unsigned failures = 1; failures <= 9; failures++) {
        usec_t step = backoff_delay(&p, failures, 0), span = step < 5 * S ? step : 5 * S;
        unsigned bin[BINS] = {0};
        for (int i = 0; i < N; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            usec_t j = backoff_delay(&p, failures, x) - step;
            if (j > span)
                ck_abort_msg("jitter %" PRIu64 " of %" PRIu64, j, span);
            bin[j * BINS / (span + 1)]++;
        }
        double chi = 0, want = (double)N / BINS;
        for (int i = 0; i < BINS; i++)
            chi += (bin[i] - want) * (bin[i] - want) / want;
        ck_assert_double_lt(chi, 43.8);
    }
}
END_TEST

START_TEST(a_stable_or_useful_connection_starts_afresh)
{
    ck_assert_uint_eq(backoff_after_loss(5, 10 * S, 10 * S, 0), 0);
    ck_assert_uint_eq(backoff_after_loss(5, 10 * S + 1, 10 * S, 0), 0);
    ck_assert_uint_eq(backoff_after_loss(5, 0, 10 * S, 1), 0);
    ck_assert_uint_eq(backoff_after_loss(5, 0, 0, 0), 0); /* 0: every connection is stable */
}
END_TEST

START_TEST(one_that_dies_young_is_one_more_failure)
{
    ck_assert_uint_eq(backoff_after_loss(0, 0, 10 * S, 0), 1);
    ck_assert_uint_eq(backoff_after_loss(1, 0, 10 * S, 0), 2);
    ck_assert_uint_eq(backoff_after_loss(3, 10 * S - 1, 10 * S, 0), 4);
    ck_assert_uint_eq(backoff_after_loss(UINT32_MAX, 0, USEC_NEVER, 0), UINT32_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/backoff");
    TCase *t = tcase_create("backoff");
    tcase_add_test(t, doubles_up_to_the_cap);
    tcase_add_test(t, never_overflows);
    tcase_add_test(t, a_base_of_zero_still_grows);
    tcase_add_test(t, a_base_above_the_cap_is_cut);
    tcase_add_test(t, jitter_is_never_more_than_the_delay);
    tcase_add_test(t, jitter_reaches_both_ends);
    tcase_add_test(t, jitter_is_uniform);
    tcase_add_test(t, a_stable_or_useful_connection_starts_afresh);
    tcase_add_test(t, one_that_dies_young_is_one_more_failure);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
