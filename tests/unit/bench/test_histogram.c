/* The latency histogram against exact order statistics. */
#include "bench/load/histogram.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>

static struct histogram h;

static void reset(void)
{
    histogram_reset(&h);
}

START_TEST(nothing_is_zero)
{
    ck_assert_uint_eq(histogram_quantile(&h, 0.5), 0);
    ck_assert_uint_eq(h.count, 0);
}
END_TEST

START_TEST(small_values_are_exact)
{
    for (uint64_t v = 1; v <= 100; v++)
        histogram_add(&h, v);
    ck_assert_uint_eq(histogram_quantile(&h, 0), 1);
    ck_assert_uint_eq(histogram_quantile(&h, 0.01), 1);
    ck_assert_uint_eq(histogram_quantile(&h, 0.5), 50);
    ck_assert_uint_eq(histogram_quantile(&h, 0.505), 51);
    ck_assert_uint_eq(histogram_quantile(&h, 0.99), 99);
    ck_assert_uint_eq(histogram_quantile(&h, 1), 100);
}
END_TEST

/* Any single value comes back within 1 %, beside another that is far away. */
START_TEST(every_size_is_known_to_a_hundredth)
{
    static const uint64_t far = UINT64_MAX;

    for (unsigned bit = 0; bit < 63; bit++) {
        for (uint64_t part = 0; part < 16; part++) {
            uint64_t v = ((uint64_t)1 << bit) + (((uint64_t)1 << bit) / 16) * part, got;

            reset();
            histogram_add(&h, 0);
            histogram_add(&h, v);
            histogram_add(&h, far);
            got = histogram_quantile(&h, 0.5);
            ck_assert_uint_le(got > v ? got - v : v - got, v / 100);
            ck_assert_uint_eq(h.min, 0);
            ck_assert_uint_eq(histogram_quantile(&h, 0), 0);
            ck_assert_uint_eq(h.max, far);
        }
    }
}
END_TEST

START_TEST(quantiles_stay_within_what_was_seen)
{
    histogram_add(&h, 1000001);
    ck_assert_uint_eq(histogram_quantile(&h, 0.5), 1000001);
    ck_assert_uint_eq(histogram_quantile(&h, 0.999), 1000001);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("bench/histogram");
    TCase *tc = tcase_create("histogram");

    tcase_add_checked_fixture(tc, reset, NULL);
    tcase_add_test(tc, nothing_is_zero);
    tcase_add_test(tc, small_values_are_exact);
    tcase_add_test(tc, every_size_is_known_to_a_hundredth);
    tcase_add_test(tc, quantiles_stay_within_what_was_seen);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *sr = srunner_create(suite());
    int failed;

    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
