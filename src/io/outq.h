/* The output of a stream: bytes that were copied and pieces of blobs, in order.
 *
 * Copied bytes lie in one buffer; a blob piece knows how many of them go before it. So the usual
 * stream, which only copies, has no list at all. */
#ifndef IO_OUTQ_H
#define IO_OUTQ_H

#include "base/blob.h"
#include "base/buf.h"

#include <sys/queue.h>
#include <sys/uio.h>

struct outq_piece;

struct outq {
    struct buf copied;
    size_t n; /* all bytes, copied and referenced */
    STAILQ_HEAD(outq_pieces, outq_piece) pieces;
    size_t before_pieces; /* copied bytes that go before some piece; the others go last */
};

void outq_init(struct outq *q);

/* Drops everything. */
void outq_done(struct outq *q);

void outq_copy(struct outq *q, const void *p, size_t n);

/* The same for n bytes that the caller writes to the place it is given, before anything else
 * happens to q. */
char *outq_extend(struct outq *q, size_t n);

/* Bytes [off, off+n) of b, by reference. */
void outq_ref(struct outq *q, struct blob *b, size_t off, size_t n);

/* Describes the head of the queue in up to `max` entries; returns how many, and their sum in
 * *ret_n. */
int outq_peek(const struct outq *q, struct iovec *iov, int max, size_t *ret_n);

/* n bytes from the head are with the kernel: forgets them, tells blobs that they passed. */
void outq_consume(struct outq *q, size_t n);

#endif
