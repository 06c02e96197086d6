/* Messages onto streams: the edited text is copied when it is small and referenced when it is big.
 */
#ifndef UPSTREAM_SPLICE_H
#define UPSTREAM_SPLICE_H

#include "base/blob.h"
#include "io/stream.h"
#include "wire/rpc.h"

/* Writes text with edits (NULL = none) applied. Runs of an owned payload of at least
 * SPLICE_COPY_MAX bytes travel by reference; returns how many bytes did. */
#define SPLICE_COPY_MAX ((size_t)16 * 1024)
size_t splice_write(struct stream *s, const struct payload *text, const struct rpc_edits *edits);
/* The same with a line end behind it. */
size_t splice_write_line(struct stream *s, const struct payload *text,
                         const struct rpc_edits *edits);

#endif
