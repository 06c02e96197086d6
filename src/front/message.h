/* One JSON-RPC text with its replacements, on its way into an output stream or kept for replay. */
#ifndef FRONT_MESSAGE_H
#define FRONT_MESSAGE_H

#include "base/blob.h"
#include "upstream/splice.h"
#include "wire/rpc.h"

/* Edited texts below this size are copied; above it they travel by reference to their blob. */
#define MESSAGE_COPY_MAX SPLICE_COPY_MAX

/* Texts that lie in a mapped file hold no heap memory. */
static inline bool payload_is_mapped(const struct payload *p)
{
    return p->owner && p->owner->passed;
}

/* edits may be NULL: none. */
size_t message_len(const struct payload *p, const struct rpc_edits *edits);

/* A message that is kept: either a copy of the edited text or a reference with its edits. */
struct message {
    struct payload text; /* text.owner is held by the message */
    struct rpc_edits edits;
    char *with;    /* bytes of the edits, one block */
    size_t heap;   /* memory that keeping it costs; nothing for mapped bytes */
    size_t mapped; /* bytes of a mapped file that it keeps alive */
};

/* Fills m from borrowed text and edits. */
void message_hold(struct message *m, const struct payload *p, const struct rpc_edits *edits);
void message_done(struct message *m);

#endif
