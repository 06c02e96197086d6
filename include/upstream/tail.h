/* The last lines that the processes of a server wrote for people: kept for the operator who wants
 * to know why it does not start, also when the log does not get them. */
#ifndef UPSTREAM_TAIL_H
#define UPSTREAM_TAIL_H

#include "base/slice.h"
#include "base/time.h"

#include <sys/queue.h>
#include <sys/types.h>

/* A longer line is cut; all lines of a server together take no more than that. */
#define TAIL_LINE_MAX  4096
#define TAIL_BYTES_MAX ((size_t)256 * 1024)

struct tail_line {
    STAILQ_ENTRY(tail_line) link;
    usec_t at; /* monotonic */
    pid_t pid; /* 0 = unknown */
    size_t n;
    char text[]; /* escaped as in the log, not NUL-terminated */
};

struct tail {
    STAILQ_HEAD(, tail_line) lines; /* oldest first */
    unsigned count;
    size_t bytes;
    uint64_t dropped; /* lines that came and are not kept any more */
};

void tail_init(struct tail *t);
void tail_done(struct tail *t);

/* Adds a line of any bytes. What is more than max_lines goes, oldest first. */
void tail_push(struct tail *t, unsigned max_lines, usec_t now, pid_t pid, struct slice text);

#endif
