/* Where a message that is too big for memory waits: an unlinked temporary file, written as bytes
 * arrive and then mapped read-only as a blob whose pages are given back behind the reader. So a
 * slow reader of a huge result holds disk, not memory, and nobody else waits for it. */
#ifndef IO_SPOOL_H
#define IO_SPOOL_H

#include "base/blob.h"

struct spool;

/* Opens an unlinked file in dir (O_TMPFILE, or mkstemp + unlink). 0 or -errno. */
int spool_new(const char *dir, struct spool **ret);

/* Appends. 0 or -errno (ENOSPC, EDQUOT …); after an error only spool_free is allowed. */
int spool_append(struct spool *s, const void *p, size_t n);

size_t spool_len(const struct spool *s);

/* Maps what was written and frees the spool, in every case. *ret: one reference. 0 or -errno. */
int spool_finish(struct spool *s, struct blob **ret);

/* Throws the file away. Accepts NULL. */
void spool_free(struct spool *s);

#endif
