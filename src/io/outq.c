/* Invariants: n == buf_len(copied) + sum of the pieces' n; before_pieces == sum of the pieces'
 * before <= buf_len(copied). A piece with n == 0 does not exist. An empty queue owns no memory;
 * what its buffer was goes to `spare`, of which there are at most SPARE_MAX of SPARE_CAP bytes. */
#include "outq.h"

#include "base/spare.h"
#include "base/util.h"

#include <assert.h>
#include <stdlib.h>

struct outq_piece {
    STAILQ_ENTRY(outq_piece) link;
    struct blob *blob; /* one reference */
    size_t off, n;
    size_t before; /* copied bytes between the piece before and this one */
};

/* A buffer is new at this size, and kept for the next queue up to that one. */
#define FRESH_CAP 1024
#define SPARE_CAP ((size_t)16 * 1024)
/* As many streams may have something to say in one turn without malloc. */
#define SPARE_MAX 32

static struct buf spare[SPARE_MAX];
static size_t spares;

void outq_init(struct outq *q)
{
    *q = (struct outq){.copied = BUF_INIT};
    STAILQ_INIT(&q->pieces);
}

static void drop_first(struct outq *q)
{
    struct outq_piece *piece = STAILQ_FIRST(&q->pieces);

    STAILQ_REMOVE_HEAD(&q->pieces, link);
    blob_unref(piece->blob);
    free(piece);
}

void outq_done(struct outq *q)
{
    while (!STAILQ_EMPTY(&q->pieces))
        drop_first(q);
    buf_done(&q->copied);
    q->n = q->before_pieces = 0;
}

void outq_take_buffer(struct outq *q)
{
    assert(!q->copied.data);
    if (spares == 0) {
        buf_reserve(&q->copied, FRESH_CAP);
        return;
    }
    q->copied = spare[--spares];
    spare_take(q->copied.data, q->copied.cap);
}

void outq_leave_buffer(struct outq *q)
{
    buf_reset(&q->copied);
    if (!q->copied.data || q->copied.cap > SPARE_CAP || spares == SPARE_MAX) {
        buf_done(&q->copied);
        return;
    }
    spare_put(q->copied.data, q->copied.cap);
    spare[spares++] = q->copied;
    q->copied = (struct buf)BUF_INIT;
}

void outq_wait(struct outq *q)
{
    struct buf fit = BUF_INIT;

    if (!q->copied.data || q->copied.cap <= FRESH_CAP || buf_len(&q->copied) > q->copied.cap / 2)
        return;
    buf_append_slice(&fit, buf_peek(&q->copied));
    outq_leave_buffer(q);
    q->copied = fit;
}

void outq_ref(struct outq *q, struct blob *b, size_t off, size_t n)
{
    struct outq_piece *piece;

    assert(off <= b->n && n <= b->n - off);
    if (n == 0)
        return;
    piece = xmalloc(sizeof(*piece));
    *piece = (struct outq_piece){
        .blob = blob_ref(b), .off = off, .n = n, .before = buf_len(&q->copied) - q->before_pieces};
    q->before_pieces += piece->before;
    q->n += n;
    STAILQ_INSERT_TAIL(&q->pieces, piece, link);
}

/* Cuts off what is beyond `most` bytes; the number of entries left. */
static int cut(struct iovec *iov, int count, size_t most)
{
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len >= most) {
            iov[i].iov_len = most;
            return i + 1;
        }
        most -= iov[i].iov_len;
    }
    return count;
}

int outq_peek(const struct outq *q, struct iovec *iov, int max, size_t most, size_t *ret_n)
{
    struct slice copied = buf_peek(&q->copied);
    const struct outq_piece *piece;
    size_t sum = 0;
    int count = 0;

    STAILQ_FOREACH (piece, &q->pieces, link) {
        if (count + 2 > max)
            break;
        if (piece->before > 0) {
            iov[count++] = (struct iovec){(void *)copied.p, piece->before};
            copied = slice_of(copied.p + piece->before, copied.n - piece->before);
            sum += piece->before;
        }
        iov[count++] = (struct iovec){(void *)(piece->blob->p + piece->off), piece->n};
        sum += piece->n;
    }
    if (!piece && copied.n > 0 && count < max) {
        iov[count++] = (struct iovec){(void *)copied.p, copied.n};
        sum += copied.n;
    }
    *ret_n = sum < most ? sum : most;
    return sum <= most ? count : cut(iov, count, most);
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

void outq_consume_some(struct outq *q, size_t n)
{
    struct outq_piece *piece;

    assert(n <= q->n);
    q->n -= n;
    while (n > 0 && (piece = STAILQ_FIRST(&q->pieces))) {
        size_t copied = min_size(n, piece->before), referenced = min_size(n - copied, piece->n);

        buf_consume(&q->copied, copied);
        piece->before -= copied;
        q->before_pieces -= copied;
        piece->off += referenced;
        piece->n -= referenced;
        if (referenced > 0 && piece->blob->passed)
            piece->blob->passed(piece->blob, piece->off);
        if (piece->n == 0)
            drop_first(q);
        n -= copied + referenced;
    }
    buf_consume(&q->copied, n);
    if (buf_len(&q->copied) == 0)
        outq_leave_buffer(q);
}
