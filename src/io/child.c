/* Starting and ending processes. Three parts.
 *
 * Spawning. What is between fork and exec runs in the daemon's own memory while the daemon stands
 * still: a copy of the page tables would hold up every client for milliseconds once there is much
 * memory. It may only call async-signal-safe functions and changes nothing of ours, so everything
 * that needs memory, above all the candidates of the PATH search, is prepared before. The order
 * there matters: signals first (nothing of ours may run), an own session, the tie to our life,
 * descriptors and limits, the directory, then the program. What fails is told through a
 * close-on-exec pipe, which works as well where a debugger makes a copy of the memory after all;
 * end of file there means that exec succeeded.
 *
 * Reaping. SIGCHLD says that something ended; each known process is asked for by its number. A
 * leader's number is only ever used for a signal while it was not reaped, so the signal cannot hit
 * a later process of that number; all others are signalled through procs.c, which makes sure in its
 * own way. What else ends as our child is an orphan that we got as subreaper, and is reaped for
 * good order.
 *
 * Ending. States of a child:
 *   RUNNING  -> ENDED     the leader ended by itself and was reaped; its descendants may live
 *   RUNNING  -> STOPPING  child_stop, child_kill or child_free was called; the ladder is running
 *   STOPPING -> SWEEPING  the leader was reaped; descendants were killed and are looked for again
 *   ENDED    -> SWEEPING  child_stop, child_kill or child_free was called
 *   SWEEPING -> GONE      no descendant is left (or they resist SIGKILL: given up and logged)
 * A child is in `children` until it is GONE; the memory goes when it is GONE and the owner freed
 * it. */
#include "io/child.h"

#include "base/log.h"
#include "base/util.h"
#include "family.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_DEFAULT "/usr/bin:/bin"
/* Bound for marking descriptors one by one on kernels without close_range. */
#define FDS_MAX 65536

enum step {
    STEP_FORK,
    STEP_CWD,
    STEP_EXEC,
};

static const char *const step_names[] = {
    [STEP_FORK] = "fork",
    [STEP_CWD] = "cwd",
    [STEP_EXEC] = "exec",
};

struct failure {
    int err;
    enum step step;
};

struct plan {
    const struct child_spec *spec;
    char **candidates; /* NULL-terminated; what argv[0] may be, in order */
    int child_fds[3];  /* its stdin, stdout, stderr; all > 2 */
    int our_fds[3];
    int status_fds[2]; /* read end, write end */
    pid_t parent;
};

/* The umask and resource limits that the daemon was started with; it may change its own. */
static mode_t first_umask;
static struct rlimit first_limits[RLIM_NLIMITS];

__attribute__((constructor)) static void remember_start(void)
{
    first_umask = umask(0);
    umask(first_umask);
    for (int i = 0; i < RLIM_NLIMITS; i++)
        (void)getrlimit((__rlimit_resource_t)i, &first_limits[i]);
}

/* --- before the fork --- */

static const char *search_path(const char *const *envp)
{
    for (; *envp; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    return PATH_DEFAULT;
}

static char *join_path(const char *dir, size_t dir_len, const char *name)
{
    size_t name_len = strlen(name);
    char *path = xmalloc(dir_len + 1 + name_len + 1), *at = path;

    if (dir_len > 0) { /* an empty element is the current directory */
        memcpy(at, dir, dir_len);
        at += dir_len;
        *at++ = '/';
    }
    memcpy(at, name, name_len + 1);
    return path;
}

static char **list_candidates(const struct child_spec *spec)
{
    const char *name = spec->argv[0], *path = search_path(spec->envp);
    size_t count = 1, i = 0;
    char **list;

    for (const char *p = path; *p; p++)
        count += *p == ':';
    list = xcalloc(count + 1, sizeof(*list));
    if (strchr(name, '/')) {
        list[0] = xstrdup(name);
        return list;
    }
    while (name[0]) {
        size_t n = strcspn(path, ":");

        list[i++] = join_path(path, n, name);
        if (!path[n])
            break;
        path += n + 1;
    }
    return list;
}

static void free_candidates(char **list)
{
    for (char **at = list; *at; at++)
        free(*at);
    free(list);
}

static void close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

/* A pipe whose ends are both above 2, so that dup2 onto 0 to 2 in the child cannot hit them, also
 * when the daemon itself runs with closed standard descriptors. */
static int open_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) < 0) {
        fds[0] = fds[1] = -1;
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        int high = fds[i] > 2 ? fds[i] : fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

        if (high < 0)
            return -errno;
        if (high != fds[i])
            close(fds[i]);
        fds[i] = high;
    }
    return 0;
}

static int open_pipes(struct plan *plan)
{
    int r = open_pipe(plan->status_fds);

    for (int i = 0; i < 3 && r == 0; i++) {
        int fds[2];

        r = open_pipe(fds);
        plan->child_fds[i] = fds[i == 0 ? 0 : 1];
        plan->our_fds[i] = fds[i == 0 ? 1 : 0];
    }
    return r;
}

/* --- between fork and exec --- */

/* Enough for the functions below, which call nothing but the kernel. */
#define CHILD_STACK ((size_t)16 * 1024)
/* What runs on that stack: AddressSanitizer would look for its ends when the process ends there. */
#define ON_CHILD_STACK __attribute__((no_sanitize_address))

static ON_CHILD_STACK _Noreturn void give_up(const struct plan *plan, enum step step)
{
    struct failure f = {errno, step};
    ssize_t ignored = write(plan->status_fds[1], &f, sizeof(f));

    (void)ignored;
    _exit(127);
}

/* Default action for everything, nothing blocked: an exec resets handlers but keeps SIG_IGN and the
 * mask. By system call, because the C library refuses to touch the two signals it keeps for itself,
 * and a posix_spawn that once started the daemon left just these ignored. */
static void reset_signals(void)
{
    const unsigned long default_action[4] = {0}; /* the kernel's sigaction: SIG_DFL, no flags */
    sigset_t none;

    for (int signo = 1; signo < _NSIG; signo++)
        (void)syscall(SYS_rt_sigaction, signo, default_action, NULL, _NSIG / 8);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void mark_fds_close_on_exec(void)
{
    struct rlimit rl = {0};
    rlim_t n;

    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    (void)getrlimit(RLIMIT_NOFILE, &rl);
    n = rl.rlim_cur < FDS_MAX ? rl.rlim_cur : FDS_MAX;
    for (rlim_t fd = 3; fd < n; fd++)
        (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
}

/* execve over the candidates with the rules of execvp, but a file that is no program is an error:
 * no shell. */
static void exec_candidates(const struct plan *plan)
{
    char *const *argv = (char *const *)(uintptr_t)plan->spec->argv;
    char *const *envp = (char *const *)(uintptr_t)plan->spec->envp;
    int denied = 0;

    errno = ENOENT;
    for (char **at = plan->candidates; *at; at++) {
        execve(*at, argv, envp);
        if (errno == EACCES)
            denied = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR && errno != ESTALE)
            return;
    }
    if (denied)
        errno = denied;
}

static ON_CHILD_STACK int run_child(void *arg)
{
    const struct plan *plan = arg;

    reset_signals();
    if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        give_up(plan, STEP_FORK);
    if (getppid() != plan->parent) /* it died before the line above */
        _exit(127);
    umask(first_umask);
    for (int i = 0; i < 3; i++)
        if (plan->child_fds[i] < 0 || dup2(plan->child_fds[i], i) < 0)
            give_up(plan, STEP_FORK);
    mark_fds_close_on_exec();
    for (int i = 0; i < RLIM_NLIMITS; i++)
        (void)setrlimit((__rlimit_resource_t)i, &first_limits[i]);
    if (plan->spec->cwd && chdir(plan->spec->cwd) < 0)
        give_up(plan, STEP_CWD);
    exec_candidates(plan);
    give_up(plan, STEP_EXEC);
}

/* --- around the fork --- */

/* No handler of ours may run in the child, so signals wait until it has reset them. */
static ON_CHILD_STACK pid_t fork_blocked(struct plan *plan)
{
    _Alignas(16) char stack[CHILD_STACK];
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = clone(run_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, plan);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* Waits until the child runs its program (*ret_f untouched) or says why not (*ret_f). */
static void read_status(int fd, struct failure *ret_f)
{
    struct failure f;
    ssize_t n;

    do {
        n = read(fd, &f, sizeof(f));
    } while (n < 0 && errno == EINTR);
    if (n == sizeof(f))
        *ret_f = f;
}

static int fork_and_exec(struct plan *plan, pid_t *ret_pid, const char **ret_step)
{
    struct failure f = {0, STEP_FORK};
    pid_t pid;
    int r = open_pipes(plan);

    *ret_step = "pipe";
    if (r < 0)
        return r;
    pid = fork_blocked(plan);
    if (pid < 0) {
        f.err = errno;
    } else {
        close_all(&plan->status_fds[1], 1);
        read_status(plan->status_fds[0], &f);
        while (f.err && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    *ret_step = step_names[f.step];
    *ret_pid = pid;
    return -f.err;
}

/* The child runs its program when this returns 0; ret_fds are our ends of its stdin, stdout and
 * stderr. -errno otherwise, with spec->ret_step set and nothing left behind. */
static int spawn_process(const struct child_spec *spec, pid_t *ret_pid, int ret_fds[3])
{
    struct plan plan = {.spec = spec,
                        .child_fds = {-1, -1, -1},
                        .our_fds = {-1, -1, -1},
                        .status_fds = {-1, -1},
                        .parent = getpid()};
    const char *step = "exec";
    int r = -EINVAL;

    if (spec->argv[0]) {
        plan.candidates = list_candidates(spec);
        r = fork_and_exec(&plan, ret_pid, &step);
        free_candidates(plan.candidates);
    }
    close_all(plan.status_fds, 2);
    close_all(plan.child_fds, 3);
    if (r < 0) {
        close_all(plan.our_fds, 3);
        if (spec->ret_step)
            *spec->ret_step = step;
        return r;
    }
    memcpy(ret_fds, plan.our_fds, sizeof(plan.our_fds));
    return 0;
}

/* --- ending --- */

/* How long after the kill, and after each look, the family is looked at again. */
#define SWEEP_FIRST (2 * USEC_PER_MSEC)
#define SWEEPS_MAX  8 /* doubling twice each time: 2 ms to 33 s */

enum child_state {
    CHILD_RUNNING,
    CHILD_STOPPING,
    CHILD_ENDED,
    CHILD_SWEEPING,
    CHILD_GONE,
};

/* What the ladder of child_stop has done. */
enum rung {
    RUNG_WAIT,
    RUNG_TERM,
    RUNG_KILL,
};

struct child {
    LIST_ENTRY(child) link;
    struct loop *loop;
    const struct child_ops *ops;
    void *arg;
    enum child_state state;
    pid_t pid; /* also the process group and the session */
    int status;
    struct family family;
    enum rung rung;
    usec_t grace;
    struct timer timer; /* the next rung, or the next look for descendants */
    unsigned sweeps;
    bool freed;
    struct loop_corpse corpse;
};

static LIST_HEAD(child_list, child) children = LIST_HEAD_INITIALIZER(children);

static void free_memory(void *arg)
{
    free(arg);
}

static void set_state(struct child *c, enum child_state state)
{
    if (state == CHILD_GONE && c->state != CHILD_GONE) {
        LIST_REMOVE(c, link);
        family_done(&c->family);
    }
    if (state != CHILD_STOPPING && state != CHILD_SWEEPING)
        env_timer_clear(&c->loop->env, &c->timer);
    c->state = state;
    if (state == CHILD_GONE && c->freed)
        loop_bury(c->loop, &c->corpse, free_memory, c);
}

static size_t look(struct child *c)
{
    return family_look(&c->family, c->loop->env.turn);
}

/* Ends what is left of the family and comes back until nothing is. */
static void sweep(struct child *c)
{
    size_t left = look(c);

    set_state(c, CHILD_SWEEPING);
    family_kill(&c->family);
    if (left == 0) {
        set_state(c, CHILD_GONE);
    } else if (c->sweeps == SWEEPS_MAX) {
        log_warning(LOG_CTX(.message_id = LOG_ID_CHILD_EXIT),
                    "%zu descendants of process %ld do not end", left, (long)c->pid);
        set_state(c, CHILD_GONE);
    } else {
        env_timer_set(&c->loop->env, &c->timer, c->loop->env.now + (SWEEP_FIRST << 2 * c->sweeps));
        c->sweeps++;
    }
}

/* The look comes before the kill: afterwards the tree is torn. */
static void kill_group(struct child *c)
{
    c->rung = RUNG_KILL;
    look(c);
    (void)kill(-c->pid, SIGKILL);
    family_kill(&c->family);
}

static void climb(struct child *c)
{
    if (c->rung == RUNG_WAIT) {
        c->rung = RUNG_TERM;
        look(c);
        (void)kill(-c->pid, SIGTERM);
        env_timer_set(&c->loop->env, &c->timer, c->loop->env.now + c->grace);
    } else {
        kill_group(c);
    }
}

static void on_timer(void *arg)
{
    struct child *c = arg;

    family_forget_scan();
    if (c->state == CHILD_STOPPING)
        climb(c);
    else if (c->state == CHILD_SWEEPING)
        sweep(c);
}

void child_stop(struct child *c, usec_t grace)
{
    c->family.closing = true;
    if (c->state == CHILD_ENDED) {
        sweep(c);
    } else if (c->state == CHILD_RUNNING) {
        set_state(c, CHILD_STOPPING);
        c->rung = RUNG_WAIT;
        c->grace = grace;
        look(c); /* it may end any moment now and leave orphans that cannot be told apart */
        env_timer_set(&c->loop->env, &c->timer, c->loop->env.now + grace);
    }
}

void child_kill(struct child *c)
{
    c->family.closing = true;
    if (c->state == CHILD_ENDED) {
        sweep(c);
    } else if (c->state == CHILD_RUNNING || c->state == CHILD_STOPPING) {
        set_state(c, CHILD_STOPPING);
        env_timer_clear(&c->loop->env, &c->timer);
        kill_group(c);
    }
}

void child_free(struct child *c)
{
    if (!c || c->freed)
        return;
    child_kill(c);
    c->freed = true;
    if (c->state == CHILD_GONE)
        loop_bury(c->loop, &c->corpse, free_memory, c);
}

/* --- reaping --- */

static bool runs(const struct child *c)
{
    return c->state == CHILD_RUNNING || c->state == CHILD_STOPPING;
}

static bool has_ended(pid_t pid)
{
    siginfo_t si = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid == pid;
}

/* The leader ended. While its number is still taken, the group is ended too if the child is being
 * stopped; and its descendants are looked for while their session tells them. */
static void reap(struct child *c)
{
    bool stopping = c->state == CHILD_STOPPING;

    look(c);
    if (stopping)
        (void)kill(-c->pid, SIGKILL);
    while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
        ;
    if (stopping)
        sweep(c);
    else
        set_state(c, CHILD_ENDED);
    if (!c->freed)
        c->ops->on_exit(c->arg, c->status);
}

static struct child *find_ended(const struct loop *loop)
{
    struct child *c;

    LIST_FOREACH (c, &children, link) {
        if (c->loop == loop && runs(c) && has_ended(c->pid))
            return c;
    }
    return NULL;
}

static struct child *find_running(pid_t pid)
{
    struct child *c;

    LIST_FOREACH (c, &children, link) {
        if (c->pid == pid && runs(c))
            return c;
    }
    return NULL;
}

/* Orphans that were given to us because we are a subreaper. */
static void reap_orphans(void)
{
    for (;;) {
        siginfo_t si = {.si_pid = 0};

        if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
            return;
        if (find_running(si.si_pid))
            return; /* a child that ended this moment; its SIGCHLD is under way */
        (void)waitpid(si.si_pid, NULL, WNOHANG);
    }
}

static void on_sigchld(void *arg, int signo)
{
    struct loop *loop = arg;
    struct child *c;

    (void)signo;
    family_forget_scan();
    while ((c = find_ended(loop)))
        reap(c);
    reap_orphans();
}

/* --- the rest --- */

int child_spawn(struct loop *loop, const struct child_spec *spec, const struct child_ops *ops,
                void *arg, struct child **ret, int *ret_in, int *ret_out, int *ret_err)
{
    struct child *c;
    int fds[3];
    pid_t pid = 0;
    int r = loop_on_signal(loop, SIGCHLD, on_sigchld, loop);

    if (r < 0 && r != -EEXIST)
        return r;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    r = spawn_process(spec, &pid, fds);
    if (r < 0)
        return r;
    c = xcalloc(1, sizeof(*c));
    c->loop = loop;
    c->ops = ops;
    c->arg = arg;
    c->pid = pid;
    timer_init(&c->timer, on_timer, c);
    family_init(&c->family, pid, fds);
    LIST_INSERT_HEAD(&children, c, link);
    *ret = c;
    *ret_in = fds[0];
    *ret_out = fds[1];
    *ret_err = fds[2];
    return 0;
}

pid_t child_pid(const struct child *c)
{
    return c->pid;
}

size_t child_live_count(void)
{
    const struct child *c;
    size_t n = 0;

    LIST_FOREACH (c, &children, link) {
        n += c->state != CHILD_ENDED;
    }
    return n;
}

void child_describe_status(int status, char *out, size_t n)
{
    const char *core = WIFSIGNALED(status) && WCOREDUMP(status) ? " (core dumped)" : "";
    const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

    if (WIFEXITED(status))
        snprintf(out, n, "exited with status %d", WEXITSTATUS(status));
    else if (name)
        snprintf(out, n, "killed by SIG%s%s", name, core);
    else if (WIFSIGNALED(status))
        snprintf(out, n, "killed by signal %d%s", WTERMSIG(status), core);
    else
        snprintf(out, n, "ended with wait status %#x", (unsigned)status);
}
