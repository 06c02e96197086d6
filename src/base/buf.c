/* One contiguous block with live bytes in [head, tail). Bytes move to the front only when at least
 * as many were consumed before as have to be moved, and the block otherwise doubles: so any mix of
 * appends and consumes costs O(1) per byte, whatever sizes the peer chooses. */
#include "base/buf.h"

#include "base/utf8.h"
#include "base/util.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_MIN_CAP 256

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf)BUF_INIT;
}

static void move_to_front(struct buf *b)
{
    if (b->head == 0)
        return;
    assert(b->data);
    memmove(b->data, b->data + b->head, buf_len(b));
    b->tail -= b->head;
    b->head = 0;
}

char *buf_grow(struct buf *b, size_t n)
{
    size_t len = buf_len(b), cap;

    assert(n <= SIZE_MAX / 4 && len <= SIZE_MAX / 4);
    if (b->head >= len)
        move_to_front(b);
    if (!b->data || b->cap - b->tail < n) {
        cap = b->cap * 2 > len + n ? b->cap * 2 : len + n;
        if (cap < BUF_MIN_CAP)
            cap = BUF_MIN_CAP;
        move_to_front(b);
        b->data = xrealloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->tail;
}

void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

struct slice u64_text(uint64_t v, char room[U64_DIGITS])
{
    size_t at = U64_DIGITS;

    do {
        room[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return slice_of(room + at, U64_DIGITS - at);
}

void buf_append_u64(struct buf *b, uint64_t v)
{
    char room[U64_DIGITS];

    buf_append_slice(b, u64_text(v, room));
}

void buf_appendf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    size_t room;
    char *at = buf_reserve(b, 1);
    int n;

    room = b->cap - b->tail;
    va_start(ap, fmt);
    n = vsnprintf(at, room, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    if ((size_t)n >= room) {
        at = buf_reserve(b, (size_t)n + 1);
        va_start(ap, fmt);
        vsnprintf(at, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->tail += (size_t)n;
}

static void append_json_control(struct buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_form[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    if (short_form[c]) {
        esc[1] = short_form[c];
        buf_append(b, esc, 2);
    } else {
        buf_append(b, esc, 6);
    }
}

void buf_append_json_string(struct buf *b, struct slice s)
{
    size_t from = 0, i = 0; /* [from, i) needs no change and is not appended yet */
    uint32_t cp;

    buf_append(b, "\"", 1);
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        size_t len = c < 0x80 ? 1 : utf8_sequence(s.p + i, s.n - i, &cp);

        if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
            i += len;
            continue;
        }
        buf_append(b, s.p + from, i - from);
        if (len == 0)
            buf_append(b, "\xef\xbf\xbd", 3);
        else if (c < 0x20)
            append_json_control(b, c);
        else
            buf_append(b, c == '"' ? "\\\"" : "\\\\", 2);
        from = ++i;
    }
    if (i > from)
        buf_append(b, s.p + from, i - from);
    buf_append(b, "\"", 1);
}

char *buf_take(struct buf *b, size_t *ret_n)
{
    size_t n = buf_len(b);
    char *p = NULL;

    if (n > 0) {
        move_to_front(b);
        p = b->cap > n ? xrealloc(b->data, n) : b->data;
        b->data = NULL;
    }
    buf_done(b);
    *ret_n = n;
    return p;
}
