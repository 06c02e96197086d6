/* A child's descendants, also those that left its process group and session, so that its end can be
 * the end of them all (security.md S09).
 *
 * As long as every parent lives, /proc tells who descends from whom. A process whose parent died
 * becomes a child of the daemon (it is a subreaper) and belongs to the family that has a claim on
 * it: it was seen as a member before, it is in the leader's session, or it holds one of the
 * leader's pipes. Without any of that it belongs to the only family that is old enough; if several
 * are, it is left alone until all but one have ended, since ending an innocent server's helper
 * would be worse. (Control groups would know; where they are to be had, they do the rest.) */
#ifndef IO_FAMILY_H
#define IO_FAMILY_H

#include "procs.h"

#include <sys/queue.h>

struct family {
    LIST_ENTRY(family) link;
    pid_t leader;
    uint64_t start;       /* the leader's; no descendant is older */
    ino_t pipes[3];       /* the leader's stdin, stdout, stderr */
    bool closing;         /* being ended: makes no claim against other families */
    struct proc *members; /* living descendants as of the last look, without the leader; by pid */
    size_t member_count;
};

/* Starts to count as a family. fds: our ends of the leader's pipes. */
void family_init(struct family *f, pid_t leader, const int fds[3]);

/* Forgets the members and makes no claim any more. */
void family_done(struct family *f);

/* Looks who belongs to the family now; returns how many live besides the leader. All looks with the
 * same `turn` share one scan of /proc. */
size_t family_look(struct family *f, uint64_t turn);

/* The next look scans anew, whatever its turn. */
void family_forget_scan(void);

/* SIGKILL to every member of the last look. */
void family_kill(const struct family *f);

#endif
