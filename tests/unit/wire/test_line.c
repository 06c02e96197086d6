/* Newline framing: the same lines whatever the pieces they arrive in, long lines piecewise,
 * oversize lines to their end and not beyond. */
#include "wire/line.h"

#include "base/buf.h"
#include "base/util.h"

#include <check.h>
#include <stdlib.h>

/* The lines of a stream, each as "[bytes]", or "!bytes!" when oversize; pieces of a line are
 * joined. */
struct feed {
    struct line_reader r;
    struct buf in;
    struct buf out, line;
    size_t pieces;
};

static void feed_init(struct feed *f, size_t large, size_t max)
{
    *f = (struct feed){0};
    line_reader_init(&f->r, large, max);
}

static void feed_done(struct feed *f)
{
    buf_done(&f->in);
    buf_done(&f->out);
    buf_done(&f->line);
}

static void take_piece(struct feed *f, const struct line_piece *piece, bool *in_line)
{
    ck_assert_int_eq(piece->first, !*in_line);
    *in_line = !piece->last;
    buf_append_slice(&f->line, piece->bytes);
    f->pieces++;
    if (!piece->last)
        return;
    buf_append_str(&f->out, piece->oversize ? "!" : "[");
    if (buf_len(&f->line) > 0)
        buf_append_slice(&f->out, buf_peek(&f->line));
    buf_append_str(&f->out, piece->oversize ? "!" : "]");
    buf_reset(&f->line);
}

/* New input; the reader sees an exact copy of everything unconsumed. */
static void feed(struct feed *f, struct slice more)
{
    bool in_line = f->r.in_line, got = true;

    buf_append_slice(&f->in, more);
    while (got) {
        size_t n = buf_len(&f->in), used;
        char *copy = xmalloc(n ? n : 1);
        struct line_piece piece;

        if (f->in.data)
            memcpy(copy, buf_peek(&f->in).p, n);
        got = line_next(&f->r, slice_of(copy, n), &used, &piece);
        ck_assert_uint_le(used, n);
        ck_assert(!got || used > 0);
        if (got)
            take_piece(f, &piece, &in_line);
        free(copy);
        buf_consume(&f->in, used);
    }
}

static void expect_every_way(struct slice in, size_t large, size_t max, struct slice lines)
{
    for (size_t first = 0; first <= in.n; first++) {
        for (size_t step = 1; step <= 2; step++) {
            size_t stride = step == 1 ? 1 : in.n + 1;
            struct feed f;

            feed_init(&f, large, max);
            feed(&f, slice_of(in.p, first));
            for (size_t at = first; at < in.n; at += stride)
                feed(&f, slice_of(in.p + at, in.n - at < stride ? in.n - at : stride));
            ck_assert_msg(buf_len(&f.out) == lines.n &&
                              (lines.n == 0 || slice_eq(buf_peek(&f.out), lines)),
                          "cut at %zu, stride %zu: %.*s", first, stride, (int)buf_len(&f.out),
                          f.out.data ? f.out.data : "");
            feed_done(&f);
        }
    }
}

struct row {
    const char *name;
    struct slice in, lines;
};

/* clang-format off */
static const struct row rows[] = {
    {"one", SLICE_INIT("{}\n"), SLICE_INIT("[{}]")},
    {"two", SLICE_INIT("{}\n[]\n"), SLICE_INIT("[{}][[]]")},
    {"CRLF", SLICE_INIT("{}\r\n[]\r\n"), SLICE_INIT("[{}][[]]")},
    {"CR inside stays", SLICE_INIT("a\rb\n\rc\r\r\n"), SLICE_INIT("[a\rb][\rc\r]")},
    {"blank lines", SLICE_INIT("\n\r\n  \t\n{}\n\n \r\n[]\n\n"), SLICE_INIT("[{}][[]]")},
    {"BOM", SLICE_INIT("\xef\xbb\xbf{}\n"), SLICE_INIT("[{}]")},
    {"BOM on every line", SLICE_INIT("\xef\xbb\xbf{}\n\xef\xbb\xbf[]\r\n"), SLICE_INIT("[{}][[]]")},
    {"BOM alone is blank", SLICE_INIT("\xef\xbb\xbf\n\xef\xbb\xbf\r\n"), SLICE_INIT("")},
    {"half a BOM stays", SLICE_INIT("\xef\xbb\nx\n"), SLICE_INIT("[\xef\xbb][x]")},
    {"BOM inside stays", SLICE_INIT("a\xef\xbb\xbf\n"), SLICE_INIT("[a\xef\xbb\xbf]")},
    {"NUL stays", SLICE_INIT("a\0b\n"), SLICE_INIT("[a\0b]")},
    {"S01 garbage is a line too", SLICE_INIT("npm WARN x\n{}\n"), SLICE_INIT("[npm WARN x][{}]")},
    {"S02 without end nothing", SLICE_INIT("{}\n{\"a\":"), SLICE_INIT("[{}]")},
    {"nothing", SLICE_INIT(""), SLICE_INIT("")},
};
/* clang-format on */

START_TEST(lines)
{
    expect_every_way(rows[_i].in, 4096, 100000, rows[_i].lines);
}
END_TEST

static void append_repeated(struct buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_append(b, &s[i % strlen(s)], 1);
}

/* A line of n bytes (ends, odd bytes and all) between two short ones, with these limits. */
static void long_line(size_t n, const char *pattern, const char *end, size_t large, size_t max)
{
    struct buf in = BUF_INIT, out = BUF_INIT;
    bool oversize = n > max;

    buf_append_str(&in, "{}\n");
    append_repeated(&in, pattern, n);
    buf_append_str(&in, end);
    buf_append_str(&in, "[]\n");
    buf_append_str(&out, oversize ? "[{}]!" : "[{}][");
    append_repeated(&out, pattern, n);
    buf_append_str(&out, oversize ? "![[]]" : "][[]]");
    expect_every_way(buf_peek(&in), large, max, buf_peek(&out));
    buf_done(&in);
    buf_done(&out);
}

START_TEST(large_lines_arrive_whole)
{
    for (size_t n = LINE_LARGE_MIN - 2; n <= LINE_LARGE_MIN + 4; n++) {
        long_line(n, "abc", "\n", LINE_LARGE_MIN, 10000);
        long_line(n, "abc", "\r\n", LINE_LARGE_MIN, 10000);
        long_line(n, "a\rb", "\r\n", LINE_LARGE_MIN, 10000);
    }
    long_line(400, "a\r\r", "\r\n", LINE_LARGE_MIN, 10000);
}
END_TEST

START_TEST(s01_oversize_lines_are_marked)
{
    for (size_t n = 198; n <= 203; n++) {
        long_line(n, "ab", "\n", LINE_LARGE_MIN, 200); /* large first, then oversize */
        long_line(n, "ab", "\r\n", LINE_LARGE_MIN, 200);
        long_line(n, "ab", "\r\n", 1000, 200); /* no large mode */
    }
    long_line(500, " ", "\n", LINE_LARGE_MIN, 200); /* white space is no way around it */
    long_line(30, "ab", "\n", LINE_LARGE_MIN, 10);
    long_line(30, " ", "\n", LINE_LARGE_MIN, 10);
}
END_TEST

START_TEST(pieces_come_as_bytes_do)
{
    struct line_reader r;
    struct line_piece piece;
    char text[300];
    size_t used;

    memset(text, 'x', sizeof(text));
    line_reader_init(&r, 1, 250); /* raised to LINE_LARGE_MIN */
    ck_assert(!line_next(&r, slice_of(text, LINE_LARGE_MIN), &used, &piece));
    ck_assert_uint_eq(used, 0);
    ck_assert(line_next(&r, slice_of(text, LINE_LARGE_MIN + 1), &used, &piece));
    ck_assert_uint_eq(used, LINE_LARGE_MIN + 1);
    ck_assert(piece.first && !piece.last && !piece.oversize && piece.bytes.p == text);
    ck_assert(line_unfinished(&r, (struct slice){0}));

    ck_assert(!line_next(&r, (struct slice){0}, &used, &piece));
    ck_assert_uint_eq(used, 0);
    ck_assert(!line_next(&r, SLICE("\r"), &used, &piece)); /* half of a line end, perhaps */
    ck_assert_uint_eq(used, 0);
    ck_assert(line_next(&r, SLICE("\ry"), &used, &piece));
    ck_assert(slice_is(piece.bytes, "\ry") && !piece.first && !piece.oversize);
    ck_assert(line_next(&r, slice_of(text, 250 - LINE_LARGE_MIN - 3), &used, &piece));
    ck_assert(!piece.oversize);
    ck_assert(line_next(&r, SLICE("z"), &used, &piece));
    ck_assert(piece.oversize && !piece.last);
    ck_assert(line_next(&r, SLICE("\r\n{}\n"), &used, &piece));
    ck_assert_uint_eq(used, 2);
    ck_assert(piece.oversize && piece.last && !piece.first && piece.bytes.n == 0);
    ck_assert(!line_unfinished(&r, (struct slice){0}));
    ck_assert(line_next(&r, SLICE("{}\n"), &used, &piece));
    ck_assert(piece.first && piece.last && !piece.oversize && slice_is(piece.bytes, "{}"));
}
END_TEST

START_TEST(a_large_line_that_is_complete_comes_in_one_piece)
{
    struct feed f;
    char text[5000];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\n';
    feed_init(&f, LINE_LARGE_MIN, 10000);
    feed(&f, slice_of(text, sizeof(text)));
    ck_assert_uint_eq(f.pieces, 1);
    ck_assert_uint_eq(buf_len(&f.out), sizeof(text) - 1 + 2);
    feed_done(&f);
}
END_TEST

START_TEST(unfinished)
{
    struct line_reader r;

    line_reader_init(&r, 1000, 1000);
    ck_assert(!line_unfinished(&r, (struct slice){0}));
    ck_assert(!line_unfinished(&r, SLICE(" \r")));
    ck_assert(line_unfinished(&r, SLICE("{")));
}
END_TEST

/* 16 MB in reads of 4 KiB without a large mode: the offset is remembered, or this takes half a
 * minute. */
START_TEST(long_lines_cost_linear_time)
{
    const size_t step = 4096, total = 16 << 20;
    char *text = xmalloc(total);
    struct line_reader r;
    struct line_piece piece;
    size_t used;

    memset(text, 'x', total);
    text[total - 1] = '\n';
    line_reader_init(&r, total, total);
    for (size_t n = step; n < total; n += step) {
        ck_assert(!line_next(&r, slice_of(text, n), &used, &piece));
        ck_assert_uint_eq(r.seen, n);
    }
    ck_assert(line_next(&r, slice_of(text, total), &used, &piece));
    ck_assert(piece.first && piece.last && piece.bytes.n == total - 1);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("line");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, lines, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, large_lines_arrive_whole);
    tcase_add_test(t, s01_oversize_lines_are_marked);
    tcase_add_test(t, pieces_come_as_bytes_do);
    tcase_add_test(t, a_large_line_that_is_complete_comes_in_one_piece);
    tcase_add_test(t, unfinished);
    tcase_add_test(t, long_lines_cost_linear_time);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
