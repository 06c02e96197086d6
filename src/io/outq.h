/* The output of a stream: bytes that were copied and pieces of blobs, in order.
 *
 * Copied bytes lie in one buffer; a blob piece knows how many of them go before it. So the usual
 * stream, which only copies, has no list at all. The buffer goes from queue to queue: the one whose
 * bytes are all with the kernel leaves it to the next that needs one. */
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

/* Takes a buffer that another queue left, or a new one. */
void outq_take_buffer(struct outq *q);

/* Room for n more copied bytes, which the caller writes before anything else happens to q. */
static inline char *outq_extend(struct outq *q, size_t n)
{
    char *to;

    if (!q->copied.data)
        outq_take_buffer(q);
    to = buf_reserve(&q->copied, n);
    buf_added(&q->copied, n);
    q->n += n;
    return to;
}

/* The queue will wait with what it holds: gives back what is too much of its buffer. */
void outq_wait(struct outq *q);

/* Whether all there is are copied bytes, in q->copied. */
static inline bool outq_is_flat(const struct outq *q)
{
    return STAILQ_EMPTY(&q->pieces);
}

/* Bytes [off, off+n) of b, by reference. */
void outq_ref(struct outq *q, struct blob *b, size_t off, size_t n);

/* Describes the head of the queue, `most` bytes of it if there are more, in up to `max` entries;
 * returns how many, and their sum in *ret_n. */
int outq_peek(const struct outq *q, struct iovec *iov, int max, size_t most, size_t *ret_n);

/* Leaves the buffer, which is empty, to another queue. */
void outq_leave_buffer(struct outq *q);

/* What outq_consume does when something stays, or not all was copied. */
void outq_consume_some(struct outq *q, size_t n);

/* n bytes from the head are with the kernel: forgets them, tells blobs that they passed. */
static inline void outq_consume(struct outq *q, size_t n)
{
    if (n != q->n || !outq_is_flat(q)) {
        outq_consume_some(q, n);
        return;
    }
    q->n = 0;
    outq_leave_buffer(q);
}

#endif
