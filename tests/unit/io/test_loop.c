/* io/loop: timers over libevent, the end of a turn, signals, stopping. */
#include "base/util.h"
#include "io/loop.h"
#include "io_test.h"

#include <errno.h>
#include <signal.h>

static unsigned calls;
static usec_t called_at;

static void note_call(void *arg)
{
    (void)arg;
    calls++;
    called_at = clock_monotonic();
}

START_TEST(timer_fires_not_before_its_point)
{
    struct timer t;
    usec_t due_at = loop.env.now + 30 * USEC_PER_MSEC;

    timer_init(&t, note_call, NULL);
    env_timer_set(&loop.env, &t, due_at);
    WAIT_FOR(calls);
    ck_assert_uint_ge(called_at, due_at);
    ck_assert_uint_lt(called_at, due_at + 500 * USEC_PER_MSEC);
    ck_assert_uint_eq(calls, 1);
}
END_TEST

START_TEST(earlier_timer_moves_the_wake_up)
{
    struct timer late, early;

    timer_init(&late, note_call, NULL);
    timer_init(&early, note_call, NULL);
    env_timer_set(&loop.env, &late, loop.env.now + 60 * USEC_PER_SEC);
    loop_turn(&loop, USEC_PER_MSEC);
    env_timer_set(&loop.env, &early, loop.env.now + 10 * USEC_PER_MSEC);
    WAIT_FOR(calls);
    ck_assert(!timer_armed(&early) && timer_armed(&late));
    env_timer_clear(&loop.env, &late);
}
END_TEST

START_TEST(turn_waits_no_longer_than_told)
{
    usec_t from = clock_monotonic(), took;

    loop_turn(&loop, 20 * USEC_PER_MSEC);
    took = clock_monotonic() - from;
    ck_assert_uint_ge(took, 19 * USEC_PER_MSEC);
    ck_assert_uint_lt(took, 500 * USEC_PER_MSEC);
    from = clock_monotonic();
    loop_turn(&loop, 0);
    ck_assert_uint_lt(clock_monotonic() - from, 100 * USEC_PER_MSEC);
}
END_TEST

START_TEST(queued_task_does_not_wait)
{
    struct task t;
    usec_t from = clock_monotonic();

    task_init(&t, note_call, NULL);
    env_defer(&loop.env, &t);
    loop_turn(&loop, 10 * USEC_PER_SEC);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_lt(clock_monotonic() - from, USEC_PER_SEC);
}
END_TEST

static struct timer ticker;
static unsigned ticks;

static void tick(void *arg)
{
    (void)arg;
    if (++ticks == 5)
        loop_stop(&loop);
    else
        env_timer_set(&loop.env, &ticker, loop.env.now + USEC_PER_MSEC);
}

START_TEST(run_ends_with_stop)
{
    timer_init(&ticker, tick, NULL);
    env_timer_set(&loop.env, &ticker, loop.env.now + USEC_PER_MSEC);
    loop_run(&loop);
    ck_assert_uint_eq(ticks, 5);
    loop_stop(&loop);
    loop_run(&loop); /* returns at once */
}
END_TEST

static int last_signo;

static void on_signal(void *arg, int signo)
{
    ck_assert_ptr_eq(arg, &loop);
    last_signo = signo;
    calls++;
}

START_TEST(signals_come_inside_the_loop)
{
    ck_assert_int_eq(loop_on_signal(&loop, SIGUSR1, on_signal, &loop), 0);
    ck_assert_int_eq(loop_on_signal(&loop, SIGHUP, on_signal, &loop), 0);
    ck_assert_int_eq(loop_on_signal(&loop, SIGHUP, on_signal, NULL), -EEXIST);
    ck_assert_int_eq(loop_on_signal(&loop, 1000, on_signal, NULL), -EINVAL);
    raise(SIGUSR1);
    ck_assert_uint_eq(calls, 0);
    WAIT_FOR(calls == 1);
    ck_assert_int_eq(last_signo, SIGUSR1);
    raise(SIGHUP);
    WAIT_FOR(calls == 2);
    ck_assert_int_eq(last_signo, SIGHUP);
}
END_TEST

START_TEST(sigpipe_is_ignored)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    close(fds[0]);
    ck_assert_int_eq(write(fds[1], "x", 1), -1);
    ck_assert_int_eq(errno, EPIPE);
    close(fds[1]);
}
END_TEST

struct corpse_owner {
    struct loop_corpse corpse;
};

static void free_owner(void *arg)
{
    free(arg);
    calls++;
}

START_TEST(the_dead_go_at_the_end_of_the_turn)
{
    struct corpse_owner *x = xcalloc(1, sizeof(*x)), *y = xcalloc(1, sizeof(*y));

    loop_bury(&loop, &x->corpse, free_owner, x);
    ck_assert_uint_eq(calls, 0);
    loop_turn(&loop, 0);
    ck_assert_uint_eq(calls, 1);
    loop_bury(&loop, &y->corpse, free_owner, y);
    loop_done(&loop);
    ck_assert_uint_eq(calls, 2);
    setup_loop();
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("loop");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup_loop, teardown_loop);
    tcase_add_test(tc, timer_fires_not_before_its_point);
    tcase_add_test(tc, earlier_timer_moves_the_wake_up);
    tcase_add_test(tc, turn_waits_no_longer_than_told);
    tcase_add_test(tc, queued_task_does_not_wait);
    tcase_add_test(tc, run_ends_with_stop);
    tcase_add_test(tc, signals_come_inside_the_loop);
    tcase_add_test(tc, sigpipe_is_ignored);
    tcase_add_test(tc, the_dead_go_at_the_end_of_the_turn);
    return run_suite("io/loop", tc);
}
