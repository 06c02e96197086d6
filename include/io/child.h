/* A child process with three pipes: the only place that forks (protocol.md 2.12, security.md
 * S09-S15). No shell; argv as given; environment exactly as given; own session and process group;
 * all signals default and unblocked; only descriptors 0, 1, 2; parent-death signal; umask and
 * resource limits as the daemon was started with. A child is over only when it was reaped AND
 * its stdout and stderr ended (or the group was killed). From the first child_spawn on, this
 * process is a subreaper, and every child of it is reaped here. */
#ifndef IO_CHILD_H
#define IO_CHILD_H

#include "io/loop.h"

#include <sys/types.h>

struct child;

struct child_spec {
    const char *const
        *argv; /* NULL-terminated, argv[0] looked up in envp's PATH when it has no slash */
    const char *const *envp; /* NULL-terminated "K=V" */
    const char *cwd;         /* NULL = inherited */
    /* When not NULL: receives on failure what failed, "pipe", "fork", "cwd" or "exec" (static). */
    const char **ret_step;
};

struct child_ops {
    /* The process ended and was reaped; status as of waitpid. Called exactly once, also after
     * child_stop. The pipes may still hold unread output, and when it ended by itself, processes
     * that it started may still live: child_free, child_kill or child_stop end them. */
    void (*on_exit)(void *arg, int status);
};

/* Starts the process. On success the parent's ends are the caller's: *ret_in writes to its stdin,
 * *ret_out and *ret_err read (all close-on-exec). 0 or -errno; exec failures (ENOENT, EACCES,
 * ENOEXEC …) and a bad cwd are reported here, synchronously, through a close-on-exec status pipe.
 */
int child_spawn(struct loop *loop, const struct child_spec *spec, const struct child_ops *ops,
                void *arg, struct child **ret, int *ret_in, int *ret_out, int *ret_err);

/* The shutdown ladder: the caller has closed stdin. Waits `grace`, then SIGTERM to the group, waits
 * `grace` again, then SIGKILL to the group; on_exit comes when it was reaped. Grandchildren that
 * left the group are ended too (the daemon is a child subreaper; every descendant of the session is
 * swept). */
void child_stop(struct child *c, usec_t grace);

/* SIGKILL to the group at once. */
void child_kill(struct child *c);

/* Frees the handle; a process that still lives is killed first and reaped in the background; no
 * callback follows. Accepts NULL. */
void child_free(struct child *c);

pid_t child_pid(const struct child *c);

/* Children not yet reaped, and those whose descendants are still being ended, of the whole process;
 * for shutdown (a loop may be freed when it is 0) and tests. */
size_t child_live_count(void);

/* "exited with status 3", "killed by SIGKILL": a sentence fragment for log and errors; status as of
 * waitpid. */
void child_describe_status(int status, char *out, size_t n);

#endif
