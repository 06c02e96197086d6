/* The descriptor store of the service manager (sd_notify(3), FDSTORE): descriptors put there come
 * back to the next process of this service, by name, whatever became of this one. Nothing here ever
 * blocks: while the manager does not listen, puts are refused and removals wait. */
#ifndef IO_FDSTORE_H
#define IO_FDSTORE_H

#include "io/loop.h"

struct fdstore;

/* A store of at most max descriptors at the manager that io/supervisor.h talks to. */
struct fdstore *fdstore_new(struct loop *loop, size_t max);

/* Accepts NULL. What is stored stays there. */
void fdstore_free(struct fdstore *s);

/* Has a copy of fd kept under this name (at most FDSTORE_NAME_MAX visible characters, no colon). 0,
 * -ENOSPC when the store is full, or -errno; the manager never says whether it did it. */
#define FDSTORE_NAME_MAX 63
int fdstore_put(struct fdstore *s, const char *name, int fd);

/* Has every descriptor of that name dropped: at once, or as soon as the manager listens. */
void fdstore_remove(struct fdstore *s, const char *name);

/* Says that so many are in the store that came from an earlier process. */
void fdstore_count_inherited(struct fdstore *s, size_t n);

/* Descriptors that are in the store as far as we know. */
size_t fdstore_count(const struct fdstore *s);

#endif
