#include "base/deadlines.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>

#define COUNT 50

static struct env env;
static struct deadlines ds;
static struct deadline of[COUNT];
static unsigned reached[2 * COUNT], reached_n;
static void (*then)(unsigned i);

static void passed(struct deadline *d)
{
    unsigned i = (unsigned)(d - of);

    ck_assert(!d->set);
    reached[reached_n++] = i;
    if (then)
        then(i);
}

static void begin(void)
{
    env_init(&env, NULL, NULL);
    deadlines_init(&ds, &env, passed);
}

static void end(void)
{
    for (unsigned i = 0; i < COUNT; i++)
        deadline_clear(&ds, &of[i]);
    deadlines_done(&ds);
    env_done(&env);
}

START_TEST(each_is_reached_at_its_time_and_once)
{
    begin();
    for (unsigned i = 0; i < COUNT; i++) {
        env_run(&env, i);
        deadline_set(&ds, &of[i], env.now + 100);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        env_run(&env, 100 + i - 1);
        ck_assert_uint_eq(reached_n, i);
        ck_assert_uint_eq(env_next_due(&env), 100 + i);
        env_run(&env, 100 + i);
        ck_assert_uint_eq(reached_n, i + 1);
        ck_assert_uint_eq(reached[i], i);
    }
    env_run(&env, 10000);
    ck_assert_uint_eq(reached_n, COUNT);
    ck_assert_uint_eq(env_next_due(&env), USEC_NEVER);
    end();
}
END_TEST

START_TEST(one_that_is_cleared_or_moved_is_not_reached_before)
{
    begin();
    deadline_set(&ds, &of[0], 10);
    deadline_set(&ds, &of[1], 10);
    deadline_set(&ds, &of[2], 10);
    deadline_clear(&ds, &of[0]);
    deadline_clear(&ds, &of[0]);
    deadline_set(&ds, &of[1], 30);
    env_run(&env, 10);
    ck_assert_uint_eq(reached_n, 1);
    ck_assert_uint_eq(reached[0], 2);
    ck_assert_uint_eq(env_next_due(&env), 30);
    env_run(&env, 30);
    ck_assert_uint_eq(reached_n, 2);
    ck_assert_uint_eq(reached[1], 1);
    end();
}
END_TEST

/* Lengths change with the configuration. */
START_TEST(they_are_reached_in_order_however_they_were_set)
{
    static const usec_t due[] = {50, 20, 70, 20, 10, 60};
    static const unsigned order[] = {4, 1, 3, 0, 5, 2};

    begin();
    for (unsigned i = 0; i < ARRAY_LEN(due); i++)
        deadline_set(&ds, &of[i], due[i]);
    deadline_set(&ds, &of[1], due[1]); /* as it is: it keeps its place before of[3] */
    ck_assert_uint_eq(env_next_due(&env), 10);
    env_run(&env, 9);
    ck_assert_uint_eq(reached_n, 0);
    env_run(&env, 100);
    ck_assert_uint_eq(reached_n, ARRAY_LEN(order));
    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        ck_assert_uint_eq(reached[i], order[i]);
    end();
}
END_TEST

static void set_again(unsigned i)
{
    deadline_set(&ds, &of[i], 0);
}

static void clear_next(unsigned i)
{
    deadline_clear(&ds, &of[i + 1]);
}

START_TEST(one_that_is_set_again_when_reached_waits_for_the_next_turn)
{
    begin();
    then = set_again;
    deadline_set(&ds, &of[0], 5);
    for (unsigned turn = 1; turn < 5; turn++) {
        env_run(&env, 5);
        ck_assert_uint_eq(reached_n, turn);
        ck_assert_uint_eq(env_next_due(&env), 5);
    }
    end();
}
END_TEST

START_TEST(one_may_clear_another_that_is_due)
{
    begin();
    then = clear_next;
    for (unsigned i = 0; i < 4; i++)
        deadline_set(&ds, &of[i], 5);
    env_run(&env, 5);
    ck_assert_uint_eq(reached_n, 2);
    ck_assert_uint_eq(reached[1], 2);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/deadlines");
    TCase *tc = tcase_create("deadlines");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, each_is_reached_at_its_time_and_once);
    tcase_add_test(tc, one_that_is_cleared_or_moved_is_not_reached_before);
    tcase_add_test(tc, they_are_reached_in_order_however_they_were_set);
    tcase_add_test(tc, one_that_is_set_again_when_reached_waits_for_the_next_turn);
    tcase_add_test(tc, one_may_clear_another_that_is_due);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
