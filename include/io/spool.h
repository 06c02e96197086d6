/* Where a big message waits until it is complete, and then until its reader has it: in memory as
 * long as all such messages together hold no more of it than they may, and beyond that in an
 * unlinked temporary file. What comes out is a blob whose pages are given back behind the
 * reader. So a slow reader of a huge result holds disk, not memory, and nobody else waits for it.
 */
#ifndef IO_SPOOL_H
#define IO_SPOOL_H

#include "base/blob.h"

struct spool;

/* How much memory all of them may hold, unless spool_set_memory says otherwise. */
#define SPOOL_MEMORY_DEFAULT ((size_t)16 * 1024 * 1024)

/* What is beyond memory goes to a file in dir (O_TMPFILE, or mkstemp + unlink), which has to be
 * there and writable from the start. 0 or -errno. */
int spool_new(const char *dir, struct spool **ret);

/* Appends. 0 or -errno (ENOSPC, EDQUOT …); after an error only spool_free is allowed. */
int spool_append(struct spool *s, const void *p, size_t n);

size_t spool_len(const struct spool *s);

/* Makes a blob of what was written and frees the spool, in every case. *ret: one reference. 0 or
 * -errno. */
int spool_finish(struct spool *s, struct blob **ret);

/* Throws the message away. Accepts NULL. */
void spool_free(struct spool *s);

/* How much memory spools may take from now on; 0: none. It is taken in steps of 2 MiB. What they
 * hold stays, and counts. */
void spool_set_memory(size_t most);

/* Memory that spools and what came out of them hold. */
size_t spool_memory(void);

#endif
