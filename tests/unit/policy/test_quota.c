/* policy/quota: so many a second, and nothing that was dropped is forgotten. */
#include "policy/quota.h"

#include <check.h>
#include <stdlib.h>

#define S USEC_PER_SEC

START_TEST(so_many_a_second)
{
    struct quota q = {0};
    usec_t now = 100 * S;
    for (unsigned second = 0; second < 3; second++, now += S) {
        unsigned taken = 0;
        ck_assert_uint_eq(quota_settle(&q, now), second ? 7 : 0);
        for (unsigned i = 0; i < 10; i++)
            taken += quota_take(&q, 3, now + i * 10 * USEC_PER_MSEC);
        ck_assert_uint_eq(taken, 3);
        ck_assert_uint_eq(quota_settle(&q, now + S - 1), 0); /* its second is not over */
        ck_assert_uint_eq(quota_due_at(&q), now + S);
    }
    ck_assert_uint_eq(quota_settle(&q, now + 5 * S), 7);
    ck_assert_uint_eq(quota_settle(&q, now + 5 * S), 0);
    ck_assert_uint_eq(quota_due_at(&q), USEC_NEVER);
}
END_TEST

START_TEST(no_limit)
{
    struct quota q = {0};
    for (unsigned i = 0; i < 1000; i++)
        ck_assert(quota_take(&q, 0, 5));
    ck_assert_uint_eq(quota_settle(&q, 10 * S), 0);
}
END_TEST

START_TEST(what_nobody_settled_is_told_later)
{
    struct quota q = {0};
    ck_assert(quota_take(&q, 1, 10 * S));
    ck_assert(!quota_take(&q, 1, 10 * S));
    ck_assert(quota_take(&q, 1, 12 * S));
    ck_assert(!quota_take(&q, 1, 12 * S));
    ck_assert_uint_eq(quota_settle(&q, 13 * S), 2);
}
END_TEST

START_TEST(a_clock_that_goes_back)
{
    struct quota q = {0};
    ck_assert(quota_take(&q, 1, 10 * S));
    ck_assert(!quota_take(&q, 1, 8 * S));
    ck_assert_uint_eq(quota_settle(&q, 8 * S), 0);
    ck_assert_uint_eq(quota_settle(&q, 11 * S), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/quota");
    TCase *t = tcase_create("quota");
    tcase_add_test(t, so_many_a_second);
    tcase_add_test(t, no_limit);
    tcase_add_test(t, what_nobody_settled_is_told_later);
    tcase_add_test(t, a_clock_that_goes_back);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
