/* A growable byte buffer: append at the tail, consume at the head. Memory is given back when it
 * runs empty (buf_shrink), so that an idle connection holds none. Allocation failure ends the
 * process: every buffer has a limit that its owner checks before it appends. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

#include <assert.h>
#include <stdint.h>

struct buf {
    char *data;
    size_t head; /* first unconsumed byte */
    size_t tail; /* one past the last byte */
    size_t cap;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

/* Frees the memory; the buffer is empty and usable again. */
void buf_done(struct buf *b);

/* Forgets the contents, keeps the memory. */
static inline void buf_reset(struct buf *b)
{
    b->head = b->tail = 0;
}

/* Gives the memory back if the buffer is empty. */
static inline void buf_shrink(struct buf *b)
{
    if (b->data && b->head == b->tail)
        buf_done(b);
}

/* Makes room for at least n more bytes at the tail: what buf_reserve does when there is none. */
char *buf_grow(struct buf *b, size_t n);

/* Room for at least n more bytes at the tail; returns where to write them. Follow with buf_added.
 */
static inline char *buf_reserve(struct buf *b, size_t n)
{
    return b->data && b->cap - b->tail >= n ? b->data + b->tail : buf_grow(b, n);
}

/* n bytes were written at the place that buf_reserve returned. */
static inline void buf_added(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->tail);
    b->tail += n;
}

static inline void buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), p, n);
    b->tail += n;
}

static inline void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.p, s.n);
}

void buf_append_str(struct buf *b, const char *s);
void buf_append_u64(struct buf *b, uint64_t v); /* decimal digits */
/* The same without a buffer: the digits, which stand in `room`. */
#define U64_DIGITS 20
struct slice u64_text(uint64_t v, char room[U64_DIGITS]);
void buf_appendf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends s as a JSON string with its quotes, escaping what RFC 8259 section 7 requires. s must be
 * valid UTF-8; each byte that belongs to no well-formed sequence becomes U+FFFD. */
void buf_append_json_string(struct buf *b, struct slice s);

/* The unconsumed bytes; borrowed until the next call that changes the buffer. Never NULL, so that
 * memchr, memcmp and pointer arithmetic need no case for an empty buffer. */
static inline struct slice buf_peek(const struct buf *b)
{
    return b->data ? slice_of(b->data + b->head, b->tail - b->head) : slice_of("", 0);
}

static inline size_t buf_len(const struct buf *b)
{
    return b->tail - b->head;
}

/* Drops n bytes (n <= buf_len) from the head. */
static inline void buf_consume(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->head += n;
    if (b->head == b->tail)
        b->head = b->tail = 0;
}

/* Ownership of the bytes moves to the caller as one malloc'ed block of *ret_n bytes (NULL when
 * empty); the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *ret_n);

#endif
