/* io/child with real processes (security.md S09, S11, S12, S14, S15). */
#include "base/buf.h"
#include "base/util.h"
#include "io/child.h"
#include "io_test.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* One child under test and everything it says. */
struct run {
    struct child *child;
    int in, out, err;
    int exits, status;
};

static char dir[64];

static void setup(void)
{
    setup_loop();
    snprintf(dir, sizeof(dir), "/tmp/mcpool-child-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void teardown(void)
{
    WAIT_FOR(child_live_count() == 0);
    teardown_loop();
    ck_assert_int_eq(nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void on_exit_of_run(void *arg, int status)
{
    struct run *r = arg;

    r->exits++;
    r->status = status;
}

static const struct child_ops ops = {.on_exit = on_exit_of_run};

static const char *const plain_env[] = {"PATH=/usr/bin:/bin", NULL};

static int spawn_with(struct run *r, const struct child_spec *spec)
{
    *r = (struct run){.in = -1, .out = -1, .err = -1};
    return child_spawn(&loop, spec, &ops, r, &r->child, &r->in, &r->out, &r->err);
}

static void spawn(struct run *r, const char *const *argv)
{
    ck_assert_int_eq(spawn_with(r, &(struct child_spec){.argv = argv, .envp = plain_env}), 0);
}

static void spawn_sh(struct run *r, const char *script)
{
    spawn(r, (const char *const[]){"sh", "-c", script, NULL});
}

static void close_pipes(struct run *r)
{
    int *fds[] = {&r->in, &r->out, &r->err};

    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static void finish(struct run *r)
{
    close_pipes(r);
    child_free(r->child);
    r->child = NULL;
}

/* All of the child's output until its end, NUL-terminated. */
static char *read_all(int fd)
{
    struct buf b = BUF_INIT;
    size_t n;
    ssize_t got;

    while ((got = read(fd, buf_reserve(&b, 4096), 4096)) > 0)
        buf_added(&b, (size_t)got);
    ck_assert_int_eq(got, 0);
    buf_append(&b, "", 1);
    return buf_take(&b, &n);
}

/* One line of its output without the newline. */
static const char *read_line(int fd)
{
    static char line[256];
    size_t n = 0;

    while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    return line;
}

static bool process_lives(pid_t pid)
{
    char path[64], text[512];
    const char *name_end;
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    name_end = strrchr(text, ')');
    return name_end && name_end[2] != 'Z';
}

static pid_t read_pid(int fd)
{
    pid_t pid = (pid_t)strtol(read_line(fd), NULL, 10);

    ck_assert_int_gt(pid, 1);
    return pid;
}

static void write_file(char *path, size_t n, const char *name, const char *text, mode_t mode)
{
    FILE *f;

    snprintf(path, n, "%s/%s", dir, name);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(chmod(path, mode), 0);
}

START_TEST(pipes_carry_both_ways)
{
    struct run r;
    char *out, *err;

    spawn_sh(&r, "echo problem >&2; cat");
    ck_assert_int_eq(write(r.in, "hello", 5), 5);
    close(r.in);
    r.in = -1;
    out = read_all(r.out);
    err = read_all(r.err);
    ck_assert_str_eq(out, "hello");
    ck_assert_str_eq(err, "problem\n");
    WAIT_FOR(r.exits);
    ck_assert(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 0);
    free(out);
    free(err);
    finish(&r);
}
END_TEST

START_TEST(S12_argv_is_literal)
{
    static const char *const odd[] = {"a b", "; echo x", "$(id)", "`id`",  "two\nlines", "",
                                      "*",   "\"'\\",    "-n",    "$HOME", "\x01\xff"};
    const char *argv[ARRAY_LEN(odd) + 3] = {"printf", "<%s>"};
    struct buf want = BUF_INIT;
    struct run r;
    char *out;

    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        argv[2 + i] = odd[i];
        buf_appendf(&want, "<%s>", odd[i]);
    }
    spawn(&r, argv);
    out = read_all(r.out);
    ck_assert(slice_is(buf_peek(&want), out));
    WAIT_FOR(r.exits);
    free(out);
    buf_done(&want);
    finish(&r);
}
END_TEST

START_TEST(S13_environment_is_exact)
{
    static const char *const argv[] = {"/usr/bin/env", "-0", NULL};
    static const char *const envp[] = {"A=1", "B=two words", "C=", "D=x\ny", NULL};
    struct run r;
    char text[256];
    ssize_t n, got = 0;

    setenv("NOTIFY_SOCKET", "/run/x", 1);
    ck_assert_int_eq(spawn_with(&r, &(struct child_spec){.argv = argv, .envp = envp}), 0);
    while ((n = read(r.out, text + got, sizeof(text) - (size_t)got)) > 0)
        got += n;
    ck_assert_int_eq(got, 25);
    ck_assert_mem_eq(text, "A=1\0B=two words\0C=\0D=x\ny", 25);
    WAIT_FOR(r.exits);
    finish(&r);
}
END_TEST

START_TEST(S14_only_standard_descriptors_are_open)
{
    struct run r;
    char *out;
    int leak = open("/dev/null", O_RDONLY); /* on purpose without O_CLOEXEC */
    int high = fcntl(leak, F_DUPFD, 200);

    ck_assert_int_ge(high, 200);
    /* The shell opens nothing itself for a glob: the listing is its own table plus the directory.
     */
    spawn_sh(&r, "for f in /proc/$$/fd/*; do [ -e $f ] && echo ${f##*/}; done");
    out = read_all(r.out);
    ck_assert_str_eq(out, "0\n1\n2\n");
    WAIT_FOR(r.exits);
    close(leak);
    close(high);
    free(out);
    finish(&r);
}
END_TEST

/* The test's own 0 to 2 are closed, so the pipes get these numbers. */
START_TEST(closed_standard_descriptors_of_the_parent)
{
    int saved[3];
    struct run r;
    char *out, *err;

    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        close(i);
    }
    spawn_sh(&r, "cat; echo err >&2");
    ck_assert_int_gt(r.in, 2);
    ck_assert_int_eq(write(r.in, "in", 2), 2);
    close(r.in);
    r.in = -1;
    out = read_all(r.out);
    err = read_all(r.err);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    ck_assert_str_eq(out, "in");
    ck_assert_str_eq(err, "err\n");
    WAIT_FOR(r.exits);
    free(out);
    free(err);
    finish(&r);
}
END_TEST

static char *status_line(const char *status, const char *name)
{
    const char *at = strstr(status, name);

    ck_assert_ptr_nonnull(at);
    at += strlen(name);
    return xstrndup(at, strcspn(at, "\n"));
}

START_TEST(S15_process_state_is_reset)
{
    static const char *const argv[] = {"cat", "/proc/self/status", NULL};
    const struct rlimit low = {64, 64};
    struct rlimit before;
    sigset_t blocked;
    struct run r;
    char *out, *line, umask_text[16];

    sigfillset(&blocked);
    sigdelset(&blocked, SIGCHLD);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    signal(SIGUSR1, SIG_IGN);
    mode_t initial = umask(0);
    spawn(&r, argv);
    out = read_all(r.out);
    line = status_line(out, "SigBlk:\t");
    ck_assert_str_eq(line, "0000000000000000");
    free(line);
    line = status_line(out, "SigIgn:\t");
    ck_assert_str_eq(line, "0000000000000000");
    free(line);
    line = status_line(out, "SigCgt:\t");
    ck_assert_str_eq(line, "0000000000000000");
    free(line);
    line = status_line(out, "Umask:\t");
    snprintf(umask_text, sizeof(umask_text), "%04o", (unsigned)initial);
    ck_assert_str_eq(line, umask_text);
    free(line);
    free(out);
    sigemptyset(&blocked);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    WAIT_FOR(r.exits);
    finish(&r);
    /* The limit of the start comes back in the child: here lowered, in the daemon raised. */
    getrlimit(RLIMIT_NOFILE, &before);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){low.rlim_cur, before.rlim_max}), 0);
    spawn_sh(&r, "ulimit -n");
    ck_assert_int_eq(strtol(read_line(r.out), NULL, 10), (long)before.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &before);
    WAIT_FOR(r.exits);
    finish(&r);
}
END_TEST

START_TEST(S15_own_session_and_group)
{
    struct run r;

    spawn_sh(&r, "cat");
    ck_assert_int_eq(getsid(child_pid(r.child)), child_pid(r.child));
    ck_assert_int_eq(getpgid(child_pid(r.child)), child_pid(r.child));
    finish(&r);
}
END_TEST

/* The parent-death signal, seen from outside: a process spawns a child and is killed. */
START_TEST(child_dies_with_its_parent)
{
    int fds[2];
    pid_t parent, child = 0;

    ck_assert_int_eq(pipe(fds), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    parent = fork();
    ck_assert_int_ge(parent, 0);
    if (parent == 0) {
        struct run r;

        spawn(&r, (const char *const[]){"sleep", "1000", NULL});
        child = child_pid(r.child);
        if (write(fds[1], &child, sizeof(child)) != sizeof(child))
            _exit(1);
        pause();
    }
    ck_assert_int_eq(read(fds[0], &child, sizeof(child)), sizeof(child));
    ck_assert(process_lives(child));
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    /* It comes to us as orphan; waits until it is dead. */
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(S11_exec_errors_are_reported)
{
    static const char *const plain_text = "just text\n";
    char text_file[128], no_exec[128], missing_interp[128];
    const char *step = NULL;
    size_t fds = 0;
    struct run r;

    write_file(text_file, sizeof(text_file), "text", plain_text, 0755);
    write_file(no_exec, sizeof(no_exec), "noexec", "#!/bin/sh\n", 0644);
    write_file(missing_interp, sizeof(missing_interp), "interp", "#!/no/such/thing\n", 0755);

    const struct {
        const char *name, *cwd, *path, *step;
        int want;
    } cases[] = {
        {"no-such-command-here", NULL, "PATH=/usr/bin:/bin", "exec", -ENOENT},
        {"/no/such/file", NULL, "PATH=/bin", "exec", -ENOENT},
        {"./relative", NULL, "PATH=/bin", "exec", -ENOENT},
        {"", NULL, "PATH=/bin", "exec", -ENOENT},
        {"sh", NULL, "PATH=/no/such/dir", "exec", -ENOENT},
        {"sh", NULL, "PATH=", "exec", -ENOENT},
        {missing_interp, NULL, "PATH=/bin", "exec", -ENOENT},
        {text_file, NULL, "PATH=/bin", "exec", -ENOEXEC},
        {no_exec, NULL, "PATH=/bin", "exec", -EACCES},
        {dir, NULL, "PATH=/bin", "exec", -EACCES},
        {"/bin/sh/x", NULL, "PATH=/bin", "exec", -ENOTDIR},
        {"sh", "/no/such/dir", "PATH=/bin", "cwd", -ENOENT},
        {"sh", text_file, "PATH=/bin", "cwd", -ENOTDIR},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *argv[] = {cases[i].name, NULL}, *envp[] = {cases[i].path, NULL};
        struct child_spec spec = {
            .argv = argv, .envp = envp, .cwd = cases[i].cwd, .ret_step = &step};
        int got = spawn_with(&r, &spec);

        ck_assert_msg(got == cases[i].want, "case %zu gave %d", i, got);
        ck_assert_str_eq(step, cases[i].step);
        ck_assert_ptr_null(r.child);
        ck_assert_uint_eq(child_live_count(), 0);
        if (i == 0)
            fds = open_fd_count();
        ck_assert_uint_eq(open_fd_count(), fds);
    }
    ck_assert_int_eq(spawn_with(&r, &(struct child_spec){.argv = (const char *const[]){NULL},
                                                         .envp = plain_env}),
                     -EINVAL);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nothing was left unreaped */
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(path_is_searched_in_order_of_the_childs_environment)
{
    char first[128], second[128], path_env[256];
    struct run r;

    snprintf(first, sizeof(first), "%s/a", dir);
    snprintf(second, sizeof(second), "%s/b", dir);
    mkdir(first, 0755);
    mkdir(second, 0755);
    write_file(first, sizeof(first), "a/tool", "#!/bin/sh\necho wrong\n",
               0644); /* EACCES: goes on */
    write_file(second, sizeof(second), "b/tool", "#!/bin/sh\necho right; pwd; echo $0 $1\n", 0755);
    snprintf(path_env, sizeof(path_env), "PATH=/none:%s/a:%s/b:/bin", dir, dir);
    setenv("PATH", "/none", 1);
    {
        const char *const argv[] = {"tool", "x", NULL};
        const char *const envp[] = {"B=1", path_env, NULL};

        ck_assert_int_eq(
            spawn_with(&r, &(struct child_spec){.argv = argv, .envp = envp, .cwd = dir}), 0);
    }
    setenv("PATH", "/usr/bin:/bin", 1);
    ck_assert_str_eq(read_line(r.out), "right");
    ck_assert_str_eq(read_line(r.out), dir);
    snprintf(first, sizeof(first), "%s/b/tool x", dir);
    ck_assert_str_eq(read_line(r.out), first);
    WAIT_FOR(r.exits);
    finish(&r);
}
END_TEST

START_TEST(exit_is_told_before_the_output_is_read)
{
    struct run r;
    char *out;

    spawn_sh(&r, "echo last words; exit 3");
    WAIT_FOR(r.exits);
    ck_assert(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 3);
    ck_assert_uint_eq(child_live_count(), 0);
    out = read_all(r.out);
    ck_assert_str_eq(out, "last words\n");
    free(out);
    run_for(20 * USEC_PER_MSEC);
    ck_assert_int_eq(r.exits, 1);
    finish(&r);
}
END_TEST

START_TEST(many_children_are_all_told)
{
    struct run runs[30];

    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        char script[32];

        snprintf(script, sizeof(script), "exit %zu", i);
        spawn_sh(&runs[i], script);
    }
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        WAIT_FOR(runs[i].exits);
        ck_assert_int_eq(runs[i].exits, 1);
        ck_assert_int_eq(WEXITSTATUS(runs[i].status), (int)i);
        finish(&runs[i]);
    }
}
END_TEST

START_TEST(stop_waits_for_a_child_that_ends_by_itself)
{
    struct run r;

    spawn_sh(&r, "cat >/dev/null; exit 7");
    close_pipes(&r);
    child_stop(r.child, 10 * USEC_PER_SEC);
    WAIT_FOR(r.exits);
    ck_assert(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 7);
    finish(&r);
}
END_TEST

START_TEST(stop_climbs_to_term)
{
    struct run r;
    usec_t from;

    spawn_sh(&r, "trap 'echo got term; exit 9' TERM; echo ready; while :; do sleep 0.01; done");
    ck_assert_str_eq(read_line(r.out), "ready");
    loop_touch(&loop);
    from = loop.env.now;
    child_stop(r.child, 500 * USEC_PER_MSEC);
    WAIT_FOR(r.exits);
    ck_assert_uint_ge(clock_monotonic() - from, 500 * USEC_PER_MSEC);
    ck_assert_str_eq(read_line(r.out), "got term");
    ck_assert(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 9);
    finish(&r);
}
END_TEST

START_TEST(stop_climbs_to_kill)
{
    struct run r;
    usec_t from;

    spawn_sh(&r, "trap '' TERM; echo ready; while :; do sleep 1000; done");
    ck_assert_str_eq(read_line(r.out), "ready");
    loop_touch(&loop);
    from = loop.env.now;
    child_stop(r.child, 100 * USEC_PER_MSEC);
    WAIT_FOR(r.exits);
    ck_assert_uint_ge(clock_monotonic() - from, 200 * USEC_PER_MSEC);
    ck_assert(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGKILL);
    ck_assert_int_eq(r.exits, 1);
    finish(&r);
}
END_TEST

START_TEST(freed_child_is_killed_and_reaped_silently)
{
    struct run r;
    pid_t pid;

    spawn(&r, (const char *const[]){"sleep", "1000", NULL});
    pid = child_pid(r.child);
    ck_assert_uint_eq(child_live_count(), 1);
    finish(&r);
    WAIT_FOR(child_live_count() == 0);
    ck_assert_int_eq(r.exits, 0);
    ck_assert_int_eq(kill(pid, 0), -1);
    child_free(NULL);
}
END_TEST

static void free_on_exit(void *arg, int status)
{
    struct run *r = arg;

    on_exit_of_run(arg, status);
    finish(r);
}

START_TEST(freed_from_its_own_callback)
{
    static const struct child_ops freeing = {.on_exit = free_on_exit};
    struct run r = {0};
    const struct child_spec spec = {.argv = (const char *const[]){"true", NULL}, .envp = plain_env};

    ck_assert_int_eq(child_spawn(&loop, &spec, &freeing, &r, &r.child, &r.in, &r.out, &r.err), 0);
    WAIT_FOR(r.exits);
    ck_assert_ptr_null(r.child);
    run_for(10 * USEC_PER_MSEC);
    ck_assert_int_eq(r.exits, 1);
}
END_TEST

/* --- S09: whoever descends from it goes with it --- */

static const char *const grandchildren[] = {
    /* in the group */
    "sleep 1000 & echo $!; cat",
    /* in a session of its own */
    "setsid sleep 1000 & echo $!; cat",
    /* the same without our pipes */
    "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; cat",
    /* its parent already gone: our own child by now */
    "(setsid sh -c 'echo $$; exec sleep 1000' &); cat",
    "(setsid sh -c 'echo $$; exec sleep 1000 </dev/null >/dev/null 2>&1' &); cat",
    /* a tree that ignores everything it can */
    "setsid sh -c 'trap \"\" HUP TERM INT; echo $$; while :; do sleep 1000; done' & cat",
};

START_TEST(S09_grandchildren_end_with_the_stop)
{
    struct run r;
    pid_t pid;

    spawn_sh(&r, grandchildren[_i]);
    pid = read_pid(r.out);
    ck_assert(process_lives(pid));
    close(r.in);
    r.in = -1;
    child_stop(r.child, 200 * USEC_PER_MSEC);
    WAIT_FOR(r.exits && child_live_count() == 0);
    ck_assert(!process_lives(pid));
    finish(&r);
}
END_TEST

START_TEST(S09_grandchildren_end_with_the_free)
{
    struct run r;
    pid_t pid;

    spawn_sh(&r, grandchildren[_i]);
    pid = read_pid(r.out);
    finish(&r);
    WAIT_FOR(child_live_count() == 0);
    ck_assert(!process_lives(pid));
}
END_TEST

START_TEST(S09_grandchildren_of_a_child_that_exited_by_itself)
{
    struct run r;
    pid_t pid;

    spawn_sh(&r, "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!");
    pid = read_pid(r.out);
    WAIT_FOR(r.exits);
    ck_assert(process_lives(pid)); /* only the owner says when it is over */
    finish(&r);
    WAIT_FOR(child_live_count() == 0);
    ck_assert(!process_lives(pid));
}
END_TEST

/* Two servers, both with orphans: the end of one must not be the end of the other's. */
START_TEST(S09_orphans_of_another_child_are_spared)
{
    static const char script[] = "(setsid sh -c 'echo $$; exec sleep 1000' &); cat";
    struct run a, b;
    pid_t of_a, of_b;

    spawn_sh(&a, script);
    of_a = read_pid(a.out);
    spawn_sh(&b, script);
    of_b = read_pid(b.out);
    finish(&a);
    WAIT_FOR(child_live_count() == 1);
    ck_assert(!process_lives(of_a));
    ck_assert(process_lives(of_b));
    run_for(20 * USEC_PER_MSEC);
    ck_assert(process_lives(of_b));
    finish(&b);
    WAIT_FOR(child_live_count() == 0);
    ck_assert(!process_lives(of_b));
}
END_TEST

START_TEST(orphans_are_reaped)
{
    struct run r;
    pid_t pid;

    spawn_sh(&r, "(sh -c 'echo $$; exec sleep 0.05' &); cat");
    pid = read_pid(r.out);
    WAIT_FOR(kill(pid, 0) < 0 && errno == ESRCH); /* a zombie would still be there */
    finish(&r);
}
END_TEST

START_TEST(statuses_are_described)
{
    char text[64];

    child_describe_status(W_EXITCODE(3, 0), text, sizeof(text));
    ck_assert_str_eq(text, "exited with status 3");
    child_describe_status(W_EXITCODE(0, SIGKILL), text, sizeof(text));
    ck_assert_str_eq(text, "killed by SIGKILL");
    child_describe_status(W_EXITCODE(0, SIGSEGV) | WCOREFLAG, text, sizeof(text));
    ck_assert_str_eq(text, "killed by SIGSEGV (core dumped)");
    child_describe_status(W_EXITCODE(0, SIGRTMIN + 1), text, sizeof(text));
    ck_assert_str_eq(text, "killed by signal 35");
    child_describe_status(W_EXITCODE(3, 0), text, 7);
    ck_assert_str_eq(text, "exited");
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("child");
    const int tree_count = ARRAY_LEN(grandchildren);

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, pipes_carry_both_ways);
    tcase_add_test(tc, S12_argv_is_literal);
    tcase_add_test(tc, S13_environment_is_exact);
    tcase_add_test(tc, S14_only_standard_descriptors_are_open);
    tcase_add_test(tc, closed_standard_descriptors_of_the_parent);
    tcase_add_test(tc, S15_process_state_is_reset);
    tcase_add_test(tc, S15_own_session_and_group);
    tcase_add_test(tc, child_dies_with_its_parent);
    tcase_add_test(tc, S11_exec_errors_are_reported);
    tcase_add_test(tc, path_is_searched_in_order_of_the_childs_environment);
    tcase_add_test(tc, exit_is_told_before_the_output_is_read);
    tcase_add_test(tc, many_children_are_all_told);
    tcase_add_test(tc, stop_waits_for_a_child_that_ends_by_itself);
    tcase_add_test(tc, stop_climbs_to_term);
    tcase_add_test(tc, stop_climbs_to_kill);
    tcase_add_test(tc, freed_child_is_killed_and_reaped_silently);
    tcase_add_test(tc, freed_from_its_own_callback);
    tcase_add_loop_test(tc, S09_grandchildren_end_with_the_stop, 0, tree_count);
    tcase_add_loop_test(tc, S09_grandchildren_end_with_the_free, 0, tree_count);
    tcase_add_test(tc, S09_grandchildren_of_a_child_that_exited_by_itself);
    tcase_add_test(tc, S09_orphans_of_another_child_are_spared);
    tcase_add_test(tc, orphans_are_reaped);
    tcase_add_test(tc, statuses_are_described);
    return run_suite("io/child", tc);
}
