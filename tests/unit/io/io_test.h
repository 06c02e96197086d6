/* What the tests of room io share: a loop per test and waiting with a deadline. */
#ifndef TESTS_IO_TEST_H
#define TESTS_IO_TEST_H

#include "io/loop.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_MAX (20 * USEC_PER_SEC)

static struct loop loop;

static inline void setup_loop(void)
{
    ck_assert_int_eq(loop_init(&loop), 0);
}

static inline void teardown_loop(void)
{
    loop_done(&loop);
}

/* Turns the loop until cond holds; fails the test when it does not within WAIT_MAX. */
#define WAIT_FOR(cond)                                                                             \
    do {                                                                                           \
        usec_t give_up_at_ = clock_monotonic() + WAIT_MAX;                                         \
        while (!(cond)) {                                                                          \
            ck_assert_msg(clock_monotonic() < give_up_at_, "timed out waiting for %s", #cond);     \
            loop_turn(&loop, 100 * USEC_PER_MSEC);                                                 \
        }                                                                                          \
    } while (0)

/* Turns the loop for a while, for tests that something does not happen. */
static inline void run_for(usec_t span)
{
    usec_t end_at = clock_monotonic() + span;

    while (clock_monotonic() < end_at)
        loop_turn(&loop, end_at - clock_monotonic());
}

static inline size_t open_fd_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Runs the suite; the exit status of main. */
static inline int run_suite(const char *name, TCase *tc)
{
    Suite *suite = suite_create(name);
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
