/* policy/admit: each reason to refuse at its bound, and the order of the reasons. */
#include "base/util.h"
#include "policy/admit.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

#define S USEC_PER_SEC

/* A request that would have to wait and may: no place, one connection is ready but full. */
static struct admit_view in_line(void)
{
    return (struct admit_view){
        .breaker_admits = true,
        .waiting = 3,
        .max_waiting = 10,
        .waiting_bytes = 300,
        .bytes = 100,
        .max_bytes = 1000,
        .something_moves = true,
        .next_attempt = USEC_NEVER,
        .patience_end = 20 * S,
    };
}

START_TEST(runs_when_it_fits)
{
    struct admit_view v = in_line();
    ck_assert_int_eq(admit(&v), ADMIT_WAIT);
    v.fits = true;
    ck_assert_int_eq(admit(&v), ADMIT_RUN);
    v.waiting = v.max_waiting; /* the line is no matter of who has a place */
    v.bytes = SIZE_MAX;
    ck_assert_int_eq(admit(&v), ADMIT_RUN);
}
END_TEST

START_TEST(shutdown_comes_first)
{
    struct admit_view v = in_line();
    v.stopping = true;
    ck_assert_int_eq(admit(&v), ADMIT_SHUTTING_DOWN);
    v.fits = true;
    ck_assert_int_eq(admit(&v), ADMIT_SHUTTING_DOWN);
    v.breaker_admits = v.fits = false;
    v.waiting = v.max_waiting;
    ck_assert_int_eq(admit(&v), ADMIT_SHUTTING_DOWN);
}
END_TEST

START_TEST(maintenance_comes_next)
{
    struct admit_view v = in_line();
    v.maintenance = true;
    ck_assert_int_eq(admit(&v), ADMIT_MAINTENANCE);
    v.fits = true;
    ck_assert_int_eq(admit(&v), ADMIT_MAINTENANCE);
    v.breaker_admits = v.fits = false;
    v.waiting = v.max_waiting;
    ck_assert_int_eq(admit(&v), ADMIT_MAINTENANCE);
    v.stopping = true;
    ck_assert_int_eq(admit(&v), ADMIT_SHUTTING_DOWN);
}
END_TEST

START_TEST(an_open_breaker_refuses_at_once)
{
    struct admit_view v = in_line();
    v.breaker_admits = false;
    ck_assert_int_eq(admit(&v), ADMIT_BREAKER_OPEN);
    v.fits = true;
    ck_assert_int_eq(admit(&v), ADMIT_BREAKER_OPEN);
    v.fits = false;
    v.waiting = v.max_waiting; /* before the line, before hope */
    v.something_moves = false;
    v.recovering = true;
    ck_assert_int_eq(admit(&v), ADMIT_BREAKER_OPEN);
}
END_TEST

START_TEST(wait_for_ready_waits_within_the_same_bounds)
{
    struct admit_view v = in_line();
    v.breaker_admits = false;
    v.wait_for_ready = true;
    ck_assert_int_eq(admit(&v), ADMIT_WAIT);
    v.fits = true; /* a place behind an open breaker is none */
    ck_assert_int_eq(admit(&v), ADMIT_WAIT);
    v.waiting = v.max_waiting;
    ck_assert_int_eq(admit(&v), ADMIT_OVERLOADED);
    v.waiting = 0;
    v.something_moves = false;
    v.recovering = true;
    ck_assert_int_eq(admit(&v), ADMIT_UNAVAILABLE);
}
END_TEST

START_TEST(length_of_the_line)
{
    static const struct {
        unsigned waiting, max;
        enum admit_verdict want;
    } t[] = {
        {9, 10, ADMIT_WAIT},
        {10, 10, ADMIT_OVERLOADED},
        {11, 10, ADMIT_OVERLOADED},
        {0, 0, ADMIT_OVERLOADED},
        {0, 1, ADMIT_WAIT},
        {UINT_MAX, UINT_MAX, ADMIT_OVERLOADED},
        {UINT_MAX - 1, UINT_MAX, ADMIT_WAIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct admit_view v = in_line();
        v.waiting = t[i].waiting;
        v.max_waiting = t[i].max;
        ck_assert_msg(admit(&v) == t[i].want, "row %zu", i);
    }
}
END_TEST

START_TEST(bytes_of_the_line)
{
    static const struct {
        unsigned waiting;
        size_t there, mine, max;
        enum admit_verdict want;
    } t[] = {
        {3, 300, 699, 1000, ADMIT_WAIT},
        {3, 300, 700, 1000, ADMIT_WAIT},
        {3, 300, 701, 1000, ADMIT_OVERLOADED},
        {3, 1000, 0, 1000, ADMIT_WAIT},
        {3, 1000, 1, 1000, ADMIT_OVERLOADED},
        {3, 1001, 0, 1000, ADMIT_OVERLOADED}, /* a large one went first */
        {0, 0, 1001, 1000, ADMIT_WAIT},       /* alone in line */
        {0, 0, SIZE_MAX, 0, ADMIT_WAIT},
        {1, 0, 1001, 1000, ADMIT_OVERLOADED},
        {1, 1000, SIZE_MAX, 1000, ADMIT_OVERLOADED}, /* the sum would overflow */
        {1, SIZE_MAX, SIZE_MAX, SIZE_MAX - 1, ADMIT_OVERLOADED},
        {1, SIZE_MAX, 0, SIZE_MAX, ADMIT_WAIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct admit_view v = in_line();
        v.waiting = t[i].waiting;
        v.waiting_bytes = t[i].there;
        v.bytes = t[i].mine;
        v.max_bytes = t[i].max;
        ck_assert_msg(admit(&v) == t[i].want, "row %zu", i);
    }
}
END_TEST

START_TEST(hope)
{
    static const struct {
        bool moves, recovering;
        usec_t next;
        enum admit_verdict want;
    } t[] = {
        {true, false, USEC_NEVER, ADMIT_WAIT},
        {true, true, USEC_NEVER, ADMIT_WAIT},   /* one is ready or will be, another failed */
        {false, false, USEC_NEVER, ADMIT_WAIT}, /* nothing is there yet, it will be opened */
        {false, true, 0, ADMIT_WAIT},
        {false, true, 20 * S - 1, ADMIT_WAIT},
        {false, true, 20 * S, ADMIT_UNAVAILABLE}, /* begins when the patience ends */
        {false, true, 20 * S + 1, ADMIT_UNAVAILABLE},
        {false, true, USEC_NEVER, ADMIT_UNAVAILABLE},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct admit_view v = in_line();
        v.something_moves = t[i].moves;
        v.recovering = t[i].recovering;
        v.next_attempt = t[i].next;
        ck_assert_msg(admit(&v) == t[i].want, "row %zu", i);
        v.waiting = v.max_waiting; /* a full line is said first */
        ck_assert_int_eq(admit(&v), ADMIT_OVERLOADED);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/admit");
    TCase *t = tcase_create("admit");
    tcase_add_test(t, runs_when_it_fits);
    tcase_add_test(t, shutdown_comes_first);
    tcase_add_test(t, maintenance_comes_next);
    tcase_add_test(t, an_open_breaker_refuses_at_once);
    tcase_add_test(t, wait_for_ready_waits_within_the_same_bounds);
    tcase_add_test(t, length_of_the_line);
    tcase_add_test(t, bytes_of_the_line);
    tcase_add_test(t, hope);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
