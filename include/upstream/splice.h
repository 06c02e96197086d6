/* Messages onto streams: the edited text is copied when it is small and referenced when it is big.
 */
#ifndef UPSTREAM_SPLICE_H
#define UPSTREAM_SPLICE_H

#include "base/blob.h"
#include "io/stream.h"
#include "wire/rpc.h"

/* Writes text with edits (NULL = none) applied. Bytes of an owned payload from splice_copy_max on
 * travel by reference. */
#define SPLICE_COPY_MAX 16384
void splice_write(struct stream *s, const struct payload *text, const struct rpc_edits *edits);

#endif
