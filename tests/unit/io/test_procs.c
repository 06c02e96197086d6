/* io/procs: reading /proc, names that lie, and a kill that misses on purpose. */
#include "base/util.h"
#include "io/procs.h"
#include "io_test.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#define TAIL " 10 20 30 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 0\n"

static const struct {
    const char *line;
    bool ok;
    struct proc want;
} lines[] = {
    {"7 (sh) S 1" TAIL, true, {.pid = 7, .ppid = 1, .sid = 20, .state = 'S', .start = 777}},
    {"7 (a) R 1 (b) Z 1" TAIL, true, {.pid = 7, .ppid = 1, .sid = 20, .state = 'Z', .start = 777}},
    {"7 (x\n) S 1" TAIL, true, {.pid = 7, .ppid = 1, .sid = 20, .state = 'S', .start = 777}},
    {"7 (sh) S 1 10 20 30", false, {0}},
    {"7 (sh)", false, {0}},
    {"7 sh S 1" TAIL, false, {0}},
    {"", false, {0}},
    {"x (sh) S 1" TAIL, false, {0}},
};

START_TEST(lines_are_taken_apart)
{
    struct proc p = {.pid = -1};

    ck_assert_int_eq(proc_parse(lines[_i].line, &p), lines[_i].ok);
    if (!lines[_i].ok) {
        ck_assert_int_eq(p.pid, -1);
        return;
    }
    ck_assert_int_eq(p.pid, lines[_i].want.pid);
    ck_assert_int_eq(p.ppid, lines[_i].want.ppid);
    ck_assert_int_eq(p.sid, lines[_i].want.sid);
    ck_assert_int_eq(p.state, lines[_i].want.state);
    ck_assert_uint_eq(p.start, lines[_i].want.start);
}
END_TEST

START_TEST(scan_finds_this_process)
{
    struct proc *list, me;
    size_t n = procs_scan(&list), found = 0;

    prctl(PR_SET_NAME, ") Z 1 1 1 (");
    ck_assert(proc_read(getpid(), &me));
    ck_assert_int_eq(me.ppid, getppid());
    ck_assert_int_eq(me.sid, getsid(0));
    ck_assert_int_eq(me.state, 'R');
    ck_assert_uint_ge(n, 2);
    for (size_t i = 0; i < n; i++)
        found += list[i].pid == me.pid && list[i].start == me.start;
    ck_assert_uint_eq(found, 1);
    ck_assert(!proc_read(0x3fffffff, &me));
    free(list);
}
END_TEST

START_TEST(kill_hits_only_the_very_process)
{
    pid_t pid = fork();
    struct proc p, other;
    int status;

    if (pid == 0)
        for (;;)
            pause();
    ck_assert(proc_read(pid, &p));
    other = p;
    other.start++;
    proc_kill(&other);
    usleep(20000);
    ck_assert_int_eq(waitpid(pid, &status, WNOHANG), 0);
    proc_kill(&p);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    proc_kill(&p); /* gone: nothing happens */
}
END_TEST

START_TEST(pipes_are_recognised)
{
    int fds[2], other[2];
    ino_t inodes[2];
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(pipe(other), 0);
    inodes[0] = pipe_inode(fds[0]);
    inodes[1] = pipe_inode(other[0]);
    ck_assert_uint_ne(inodes[0], 0);
    ck_assert_uint_ne(inodes[0], inodes[1]);
    ck_assert_uint_eq(pipe_inode(open("/dev/null", O_RDONLY)), 0);
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], 1);
        for (;;)
            pause();
    }
    for (int i = 0; i < 100 && !proc_has_pipe(pid, inodes, 1); i++)
        usleep(10000);
    ck_assert(proc_has_pipe(pid, inodes, 1));
    ck_assert(proc_has_pipe(pid, inodes, 2));
    ck_assert(!proc_has_pipe(pid, inodes + 1, 1));
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("procs");

    tcase_add_loop_test(tc, lines_are_taken_apart, 0, ARRAY_LEN(lines));
    tcase_add_test(tc, scan_finds_this_process);
    tcase_add_test(tc, kill_hits_only_the_very_process);
    tcase_add_test(tc, pipes_are_recognised);
    return run_suite("io/procs", tc);
}
