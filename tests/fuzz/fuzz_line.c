/* Fuzz target: newline framing. The first byte chooses the cuts, the second the limits.
 *
 * Held: the joined lines of any cuts are the lines of a plain model (split at LF, drop one CR, drop
 * a BOM, drop blank lines), with `oversize` exactly for those above the limit; first and last
 * alternate. */
#include "wire/line.h"

#include "base/buf.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void dump_line(struct buf *out, struct slice line, bool oversize)
{
    buf_appendf(out, "%d[%zu]", oversize, line.n);
    buf_append_slice(out, line);
}

static bool model_blank(struct slice s)
{
    struct slice t = s;

    while (t.n > 0 && strchr(" \t\r", t.p[0]) && t.p[0])
        t = slice_of(t.p + 1, t.n - 1);
    return t.n == 0 && s.n <= 64;
}

static void model(struct slice in, size_t threshold, size_t max, struct buf *out)
{
    size_t start = 0;

    for (size_t i = 0; i < in.n; i++) {
        struct slice line = slice_of(in.p + start, i - start), text;

        if (in.p[i] != '\n')
            continue;
        start = i + 1;
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        text = line.n >= 3 && memcmp(line.p, "\xef\xbb\xbf", 3) == 0
                   ? slice_of(line.p + 3, line.n - 3)
                   : line;
        if (line.n > threshold || !model_blank(text))
            dump_line(out, text, text.n > max);
    }
}

/* A stream whose buffer grows by `step` bytes at a time and is copied exactly for every call. */
static void read_all(struct slice in, size_t large, size_t max, size_t step, struct buf *out)
{
    struct line_reader r;
    struct line_piece piece;
    struct buf line = BUF_INIT;
    size_t at = 0, have = 0;
    bool in_line = false, got;

    line_reader_init(&r, large, max);
    do {
        have = in.n - have < step ? in.n : have + step;
        do {
            size_t n = have - at, used;
            char *copy = xmalloc(n + !n);

            if (n > 0)
                memcpy(copy, in.p + at, n);
            got = line_next(&r, slice_of(copy, n), &used, &piece);
            require(used <= n && (!got || used > 0), "consumed out of range");
            if (got) {
                require(piece.first == !in_line, "first");
                in_line = !piece.last;
                buf_append_slice(&line, piece.bytes);
                if (piece.last) {
                    dump_line(out, line.data ? buf_peek(&line) : (struct slice){0}, piece.oversize);
                    buf_reset(&line);
                }
            }
            free(copy);
            at += used;
            require(r.seen <= have - at, "remembers bytes that are gone");
        } while (got);
        require(have - at <= (large < max ? large : max) + 1 || have - at <= LINE_LARGE_MIN + 1,
                "keeps more than the threshold");
    } while (have < in.n);
    buf_done(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf expected = BUF_INIT, whole = BUF_INIT, pieces = BUF_INIT;
    struct slice in;
    size_t large, max;

    if (size < 2)
        return 0;
    in = slice_of((const char *)data + 2, size - 2);
    large = LINE_LARGE_MIN + (data[1] >> 4);
    max = data[1] & 1 ? 4u * (data[1] & 15) : 150u * (1 + (data[1] & 15));
    model(in, large < max ? large : max, max, &expected);
    read_all(in, large, max, in.n + 1, &whole);
    read_all(in, large, max, (size_t)data[0] + 1, &pieces);
    require(buf_len(&whole) == buf_len(&expected) &&
                (buf_len(&whole) == 0 || slice_eq(buf_peek(&whole), buf_peek(&expected))),
            "one go is not the model");
    require(buf_len(&pieces) == buf_len(&expected) &&
                (buf_len(&pieces) == 0 || slice_eq(buf_peek(&pieces), buf_peek(&expected))),
            "pieces are not the model");
    buf_done(&expected);
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
