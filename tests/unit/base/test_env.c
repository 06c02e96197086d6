/* base/env: order of timers, limits of a turn, tasks, randomness. */
#include "base/env.h"
#include "base/util.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct env env;

/* Deterministic bytes for the walks below. */
static void xorshift_random(void *arg, void *out, size_t n)
{
    uint64_t *x = arg;
    unsigned char *p = out;

    while (n-- > 0) {
        *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
        *p++ = (unsigned char)(*x >> 24);
    }
}

static uint64_t seed;

static void setup(void)
{
    seed = 88172645463325252u;
    env_init(&env, xorshift_random, &seed);
}

static void teardown(void)
{
    env_done(&env);
}

/* --- timers --- */

#define PROBES 300

static struct probe {
    struct timer timer;
    usec_t want_at; /* USEC_NEVER when it must not fire */
    uint64_t armed_no;
} probes[PROBES];

static unsigned fired;
static usec_t last_at;
static uint64_t last_no;

static void probe_fired(void *arg)
{
    struct probe *p = arg;

    if (timer_armed(&p->timer) || p->want_at > env.now)
        ck_abort_msg("fired when it must not");
    if (p->want_at < last_at || (p->want_at == last_at && p->armed_no <= last_no))
        ck_abort_msg("fired out of order");
    last_at = p->want_at;
    last_no = p->armed_no;
    p->want_at = USEC_NEVER;
    fired++;
}

/* The checks of a step are collected: a ck_assert costs a system call. */
static bool heap_is_sound(void)
{
    bool ok = true;

    for (size_t i = 1; i <= env.heap_len; i++) {
        ok &= env.heap[i - 1]->heap_pos == i;
        ok &= env.heap[i / 2 ? i / 2 - 1 : 0]->due_at <= env.heap[i - 1]->due_at;
    }
    return ok;
}

START_TEST(random_walk_fires_everything_in_order)
{
    uint64_t no = 0;
    usec_t now = 0;

    for (size_t i = 0; i < PROBES; i++) {
        timer_init(&probes[i].timer, probe_fired, &probes[i]);
        probes[i].want_at = USEC_NEVER;
    }
    for (int step = 0; step < 60000; step++) {
        struct probe *p = &probes[env_random_below(&env, PROBES)];
        usec_t earliest = USEC_NEVER;
        bool ok = true;

        switch (env_random_below(&env, 8)) {
        case 0:
            env_timer_clear(&env, &p->timer);
            p->want_at = USEC_NEVER;
            break;
        case 1:
            now += env_random_below(&env, 50);
            last_at = 0;
            last_no = 0;
            env_run(&env, now);
            break;
        default:
            p->want_at = now + env_random_below(&env, 400);
            p->armed_no = ++no;
            env_timer_set(&env, &p->timer, p->want_at);
        }
        for (size_t i = 0; i < PROBES; i++) {
            ok &= timer_armed(&probes[i].timer) == (probes[i].want_at != USEC_NEVER);
            if (probes[i].want_at < earliest)
                earliest = probes[i].want_at;
        }
        ok &= env_next_due(&env) == earliest;
        ok &= step % 64 != 0 || heap_is_sound();
        if (!ok)
            ck_abort_msg("wrong in step %d", step);
    }
    ck_assert_uint_gt(fired, 10000);
}
END_TEST

static unsigned count;

static void bump(void *arg)
{
    (void)arg;
    count++;
}

static struct timer tick, other;

static void rearm_now(void *arg)
{
    env_timer_set(&env, arg, env.now);
    count++;
}

START_TEST(timer_that_rearms_fires_once_a_turn)
{
    timer_init(&tick, rearm_now, &tick);
    timer_init(&other, bump, NULL);
    env_timer_set(&env, &tick, 10);
    env_timer_set(&env, &other, 20);
    env_run(&env, 30);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(env_next_due(&env), 30);
    env_run(&env, 30);
    ck_assert_uint_eq(count, 3);
}
END_TEST

START_TEST(time_never_goes_back)
{
    env_run(&env, 100);
    env_run(&env, 50);
    ck_assert_uint_eq(env.now, 100);
    timer_init(&tick, bump, NULL);
    env_timer_set(&env, &tick, 7);
    ck_assert_uint_eq(env_next_due(&env), 100);
}
END_TEST

static void free_owner(void *arg)
{
    free(arg);
    count++;
}

START_TEST(callbacks_may_free_their_owner)
{
    struct {
        struct timer timer;
        struct task task;
    } *a = xcalloc(1, sizeof(*a)), *b = xcalloc(1, sizeof(*b));

    timer_init(&a->timer, free_owner, a);
    task_init(&b->task, free_owner, b);
    env_timer_set(&env, &a->timer, 1);
    env_defer(&env, &b->task);
    env_run(&env, 1);
    ck_assert_uint_eq(count, 2);
}
END_TEST

static void clear_other(void *arg)
{
    env_timer_clear(&env, arg);
}

START_TEST(timer_cleared_by_an_earlier_one_stays_silent)
{
    timer_init(&tick, clear_other, &other);
    timer_init(&other, bump, NULL);
    env_timer_set(&env, &tick, 5);
    env_timer_set(&env, &other, 5);
    env_run(&env, 5);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(env_next_due(&env), USEC_NEVER);
}
END_TEST

START_TEST(done_disarms)
{
    struct task task;

    timer_init(&tick, bump, NULL);
    task_init(&task, bump, NULL);
    env_timer_set(&env, &tick, 5);
    env_defer(&env, &task);
    env_done(&env);
    ck_assert(!timer_armed(&tick));
    ck_assert(!task.queued);
    env_timer_clear(&env, &tick);
    env_task_clear(&env, &task);
    ck_assert_uint_eq(count, 0);
}
END_TEST

/* --- tasks --- */

/* What ran, in order: a letter each. */
static char trace[64];
static struct task task_a, task_b, task_c;

static void note(char letter)
{
    size_t n = strlen(trace);

    ck_assert_uint_lt(n, sizeof(trace) - 1);
    trace[n] = letter;
    trace[n + 1] = '\0';
}

static void run_a(void *arg)
{
    (void)arg;
    note('a');
    env_defer(&env, &task_b);
}

static void run_b(void *arg)
{
    (void)arg;
    note('b');
    env_defer(&env, &task_a);
}

static void run_c(void *arg)
{
    note('c');
    if (arg)
        env_defer(&env, arg);
}

START_TEST(tasks_run_once_in_order)
{
    task_init(&task_a, bump, NULL);
    task_init(&task_c, run_c, NULL);
    env_defer(&env, &task_c);
    env_defer(&env, &task_a);
    env_defer(&env, &task_c);
    ck_assert_uint_eq(env_next_due(&env), 0);
    env_run(&env, 1);
    ck_assert_str_eq(trace, "c");
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(env_next_due(&env), USEC_NEVER);
}
END_TEST

START_TEST(task_queued_by_a_task_runs_in_the_same_turn)
{
    task_init(&task_c, run_c, &task_a);
    task_init(&task_a, bump, NULL);
    env_defer(&env, &task_c);
    env_run(&env, 1);
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(tasks_that_queue_each_other_run_once_a_turn)
{
    task_init(&task_a, run_a, NULL);
    task_init(&task_b, run_b, NULL);
    task_init(&task_c, run_c, NULL);
    env_defer(&env, &task_a);
    env_defer(&env, &task_c);
    env_run(&env, 1);
    ck_assert_str_eq(trace, "acb");
    ck_assert_uint_eq(env_next_due(&env), 0);
    env_run(&env, 1);
    ck_assert_str_eq(trace, "acbab");
}
END_TEST

START_TEST(cleared_task_does_not_run)
{
    task_init(&task_a, run_a, NULL);
    task_init(&task_b, run_b, NULL);
    env_defer(&env, &task_a);
    env_task_clear(&env, &task_a);
    env_task_clear(&env, &task_a);
    env_run(&env, 1);
    ck_assert_str_eq(trace, "");
    /* Also one that waits for the next turn. */
    env_defer(&env, &task_a);
    env_run(&env, 2);
    ck_assert_str_eq(trace, "ab");
    env_task_clear(&env, &task_a);
    env_run(&env, 3);
    ck_assert_str_eq(trace, "ab");
}
END_TEST

/* --- randomness --- */

static void all_ones(void *arg, void *out, size_t n)
{
    (void)arg;
    memset(out, 0xff, n);
}

/* Gives the lowest value first, which a fair choice below 3 has to refuse, then the highest. */
static void low_then_high(void *arg, void *out, size_t n)
{
    unsigned *calls = arg;

    memset(out, (*calls)++ ? 0xff : 0, n);
}

START_TEST(random_below_is_fair)
{
    unsigned calls = 0;
    size_t histogram[7] = {0};

    for (int i = 0; i < 70000; i++)
        histogram[env_random_below(&env, 7)]++;
    for (size_t i = 0; i < ARRAY_LEN(histogram); i++) {
        ck_assert_uint_gt(histogram[i], 9500);
        ck_assert_uint_lt(histogram[i], 10500);
    }
    ck_assert_uint_eq(env_random_below(&env, 1), 0);
    env_init(&env, all_ones, NULL);
    ck_assert_uint_eq(env_random_below(&env, UINT64_MAX), 0);
    env_init(&env, low_then_high, &calls);
    ck_assert_uint_eq(env_random_below(&env, 3), UINT64_MAX % 3);
    ck_assert_uint_eq(calls, 2);
}
END_TEST

START_TEST(default_source_is_the_kernel)
{
    unsigned char a[1000] = {0}, b[1000] = {0};
    size_t zeros = 0;

    env_init(&env, NULL, NULL);
    env_random_bytes(&env, a, sizeof(a));
    env_random_bytes(&env, b, sizeof(b));
    ck_assert_int_ne(memcmp(a, b, sizeof(a)), 0);
    for (size_t i = 0; i < sizeof(a); i++)
        zeros += a[i] == 0;
    ck_assert_uint_lt(zeros, 40);
}
END_TEST

static void run_env(void *arg)
{
    (void)arg;
    env_run(&env, env.now);
}

START_TEST(nested_run_aborts)
{
    task_init(&task_a, run_env, NULL);
    env_defer(&env, &task_a);
    env_run(&env, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/env");
    TCase *tc = tcase_create("env");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, random_walk_fires_everything_in_order);
    tcase_add_test(tc, timer_that_rearms_fires_once_a_turn);
    tcase_add_test(tc, time_never_goes_back);
    tcase_add_test(tc, callbacks_may_free_their_owner);
    tcase_add_test(tc, timer_cleared_by_an_earlier_one_stays_silent);
    tcase_add_test(tc, done_disarms);
    tcase_add_test(tc, tasks_run_once_in_order);
    tcase_add_test(tc, task_queued_by_a_task_runs_in_the_same_turn);
    tcase_add_test(tc, tasks_that_queue_each_other_run_once_a_turn);
    tcase_add_test(tc, cleared_task_does_not_run);
    tcase_add_test(tc, random_below_is_fair);
    tcase_add_test(tc, default_source_is_the_kernel);
    tcase_add_test_raise_signal(tc, nested_run_aborts, 6);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
