/* The processes of this machine as /proc tells them: who descends from whom, and a kill that cannot
 * hit a later process with the same number. */
#ifndef IO_PROCS_H
#define IO_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc {
    pid_t pid, ppid, sid;
    char state;     /* 'Z' = zombie, see proc(5) */
    uint64_t start; /* clock ticks since boot; with pid it names a process for good */
};

/* Takes a line of /proc/PID/stat apart. False when it is not one. */
bool proc_parse(const char *line, struct proc *ret);

/* Reads one process. False when there is none. */
bool proc_read(pid_t pid, struct proc *ret);

/* Reads all of them, at most 65536, into *ret (malloc'ed, NULL when there is no /proc). Returns how
 * many. */
size_t procs_scan(struct proc **ret);

/* SIGKILL to p if it still is that process. */
void proc_kill(const struct proc *p);

/* What names the pipe behind fd; 0 when fd is none. */
ino_t pipe_inode(int fd);

/* Whether one of pid's descriptors 0 to 2 is a pipe with one of the n inode numbers. */
bool proc_has_pipe(pid_t pid, const ino_t *pipes, size_t n);

#endif
