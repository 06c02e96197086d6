/* Bytes to lines, for `mcpoolctl connect`: whole ones up to a limit, and of longer ones the id.
 * Pure.
 */
#ifndef CTL_LINES_H
#define CTL_LINES_H

#include "base/buf.h"
#include "wire/line.h"
#include "wire/rpc.h"

struct lines_ops {
    void (*on_line)(void *arg, struct slice line);   /* borrowed for the call; no line end */
    void (*on_oversize)(void *arg, struct slice id); /* raw; n == 0: not found */
};

struct lines {
    struct line_reader reader;
    struct buf in;
    struct buf big;          /* a long line so far */
    struct rpc_id_hunt hunt; /* in a line that is thrown away */
    bool hunting;
    const struct lines_ops *ops;
    void *arg;
};

/* max_bytes: of a line. ops and arg are borrowed. */
void lines_init(struct lines *l, size_t max_bytes, const struct lines_ops *ops, void *arg);
void lines_done(struct lines *l);

/* Where at least n bytes may be put; lines_added says how many were, and calls the ops. */
char *lines_reserve(struct lines *l, size_t n);
void lines_added(struct lines *l, size_t n);

/* The input has ended, and with it its last line. */
void lines_end(struct lines *l);

/* Forgets what has come, for another input. */
void lines_reset(struct lines *l);

#endif
