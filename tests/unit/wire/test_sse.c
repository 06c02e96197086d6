/* Server-sent events: U06 and U07 of the security catalogue and the examples of the standard, read
 * in one go, byte by byte and cut at every point; and what the writer says, read back. */
#include "wire/sse.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>

static const struct sse_limits limits = {
    .max_line_bytes = 1000, .max_event_bytes = 2000, .max_retry_ms = 60000};

static void describe(struct buf *out, const struct sse_event *ev)
{
    buf_append_str(out, "<");
    buf_append_slice(out, ev->event);
    if (ev->has_id) {
        buf_append_str(out, " id=");
        buf_append_slice(out, ev->id);
    }
    if (ev->has_retry)
        buf_appendf(out, " retry=%llu", (unsigned long long)ev->retry_ms);
    if (ev->has_data) {
        buf_append_str(out, " data=");
        buf_append_slice(out, ev->data);
    }
    buf_append_str(out, ">");
}

/* Feeds an exact copy of the piece. */
static enum sse_status feed_piece(struct sse_reader *r, struct slice piece, struct buf *out)
{
    char *copy = xmalloc(piece.n ? piece.n : 1);
    struct slice in = slice_of(copy, piece.n);
    enum sse_status rc = SSE_MORE;

    if (piece.n > 0)
        memcpy(copy, piece.p, piece.n);
    while (in.n > 0) {
        struct sse_event ev;
        size_t used;

        rc = sse_reader_feed(r, in, &used, &ev);
        ck_assert_uint_le(used, in.n);
        if (rc == SSE_EVENT)
            describe(out, &ev);
        else if (rc == SSE_MORE)
            ck_assert_uint_eq(used, in.n);
        if (rc < 0)
            break;
        in = slice_of(in.p + used, in.n - used);
    }
    free(copy);
    return rc < 0 ? rc : SSE_MORE;
}

static enum sse_status read_cut(struct slice in, const struct sse_limits *lim, size_t first,
                                size_t step, struct buf *out)
{
    struct sse_reader r;
    enum sse_status rc;

    sse_reader_init(&r, lim);
    rc = feed_piece(&r, slice_of(in.p, first), out);
    for (size_t at = first; at < in.n && rc == SSE_MORE; at += step)
        rc = feed_piece(&r, slice_of(in.p + at, in.n - at < step ? in.n - at : step), out);
    sse_reader_done(&r);
    return rc;
}

/* The events of all cuts are those of one go. */
static enum sse_status read_every_way(struct slice in, const struct sse_limits *lim,
                                      struct buf *out)
{
    enum sse_status whole = read_cut(in, lim, in.n, 1, out);

    for (size_t first = 0; first <= in.n; first++) {
        struct buf other = BUF_INIT;

        ck_assert_int_eq(read_cut(in, lim, first, first % 8 ? in.n : 1, &other), whole);
        ck_assert_msg(buf_len(out) == buf_len(&other) &&
                          (buf_len(out) == 0 || slice_eq(buf_peek(out), buf_peek(&other))),
                      "cut at %zu: %.*s instead of %.*s", first, (int)buf_len(&other),
                      other.data ? other.data : "", (int)buf_len(out), out->data ? out->data : "");
        buf_done(&other);
    }
    return whole;
}

struct row {
    const char *name;
    struct slice in;
    struct slice events;
};

/* clang-format off */
static const struct row rows[] = {
    {"one event", SLICE_INIT("event: message\ndata: {}\n\n"), SLICE_INIT("<message data={}>")},
    {"U06 CRLF", SLICE_INIT("event: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"), SLICE_INIT("<a data=b>< data=c>")},
    {"U06 CR", SLICE_INIT("event: a\rdata: b\r\rdata: c\r\r"), SLICE_INIT("<a data=b>< data=c>")},
    {"U06 mixed ends", SLICE_INIT("event: a\r\ndata: b\n\rdata: c\r\n\n"), SLICE_INIT("<a data=b>< data=c>")},
    {"U06 LF CR is two ends", SLICE_INIT("data: a\n\rdata: b\n\n"), SLICE_INIT("< data=a>< data=b>")},
    {"U06 several data lines", SLICE_INIT("data: a\ndata: b\ndata: c\n\n"), SLICE_INIT("< data=a\nb\nc>")},
    {"U06 empty data lines", SLICE_INIT("data\ndata:\ndata: \n\n"), SLICE_INIT("< data=\n\n>")},
    {"U06 data after an empty data line", SLICE_INIT("data\ndata: x\n\n"), SLICE_INIT("< data=\nx>")},
    {"U06 one space", SLICE_INIT("data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\n"), SLICE_INIT("< data=a>< data=a>< data= a>< data=\ta>")},
    {"U06 colons in data", SLICE_INIT("data::: a:b\n\n"), SLICE_INIT("< data=:: a:b>")},
    {"U06 comment", SLICE_INIT(": ka\n\n:\n\n:data: x\ndata: y\n\n"), SLICE_INIT("< data=y>")},
    {"U06 BOM", SLICE_INIT("\xef\xbb\xbf" "data: a\n\n"), SLICE_INIT("< data=a>")},
    {"U06 BOM and nothing", SLICE_INIT("\xef\xbb\xbf"), SLICE_INIT("")},
    {"U06 second BOM is content", SLICE_INIT("\xef\xbb\xbf\xef\xbb\xbf" "data: a\n\ndata: b\n\n"), SLICE_INIT("< data=b>")},
    {"U06 BOM later is content", SLICE_INIT("data: a\n\n\xef\xbb\xbf" "data: b\n\n"), SLICE_INIT("< data=a>")},
    {"U06 half a BOM", SLICE_INIT("\xef\xbb" "data: a\ndata: b\n\n"), SLICE_INIT("< data=b>")},
    {"U06 half a BOM and a line end", SLICE_INIT("\xef\ndata: b\n\n"), SLICE_INIT("< data=b>")},
    {"U06 id", SLICE_INIT("id: 1.7\ndata: a\n\n"), SLICE_INIT("< id=1.7 data=a>")},
    {"U06 id alone", SLICE_INIT("id: 1\n\ndata: a\n\n"), SLICE_INIT("< id=1>< data=a>")},
    {"U06 empty id resets", SLICE_INIT("id\ndata: a\n\n"), SLICE_INIT("< id= data=a>")},
    {"U06 id with NUL ignored", SLICE_INIT("id: a\0b\ndata: a\n\n"), SLICE_INIT("< data=a>")},
    {"U06 id with NUL keeps the one before", SLICE_INIT("id: x\nid: a\0b\ndata: a\n\n"), SLICE_INIT("< id=x data=a>")},
    {"U06 last id counts", SLICE_INIT("id: xyz\nid: a\ndata: a\n\n"), SLICE_INIT("< id=a data=a>")},
    {"U06 retry", SLICE_INIT("retry: 3000\n\n"), SLICE_INIT("< retry=3000>")},
    {"U06 retry clamped", SLICE_INIT("retry: 99999999\n\n"), SLICE_INIT("< retry=60000>")},
    {"U06 retry beyond 64 bits", SLICE_INIT("retry: 99999999999999999999999999\n\n"), SLICE_INIT("< retry=60000>")},
    {"U06 retry 2^64", SLICE_INIT("retry: 18446744073709551616\n\n"), SLICE_INIT("< retry=60000>")},
    {"U06 retry 0", SLICE_INIT("retry: 0\n\n"), SLICE_INIT("< retry=0>")},
    {"U06 retry no digits", SLICE_INIT("retry: 3s\n\nretry: -1\n\nretry:\n\nretry\n\nretry: 1 \n\nretry:  1\n\n"), SLICE_INIT("")},
    {"U06 bad retry keeps the one before", SLICE_INIT("retry: 5\nretry: x\n\n"), SLICE_INIT("< retry=5>")},
    {"U06 unknown fields", SLICE_INIT("foo: 1\nDATA: x\n data: y\ndatax: 1\ndat: 1\nretryx: 1\neventual: 1\ndata: a\n\n"), SLICE_INIT("< data=a>")},
    {"U06 event without data", SLICE_INIT("event: a\n\ndata: b\n\n"), SLICE_INIT("< data=b>")},
    {"U06 event name does not stay", SLICE_INIT("event: a\ndata: 1\n\ndata: 2\n\n"), SLICE_INIT("<a data=1>< data=2>")},
    {"U06 last event name counts", SLICE_INIT("event: abc\nevent\ndata: 1\n\n"), SLICE_INIT("< data=1>")},
    {"U06 priming", SLICE_INIT("id: 5\nretry: 9\ndata: \n\n"), SLICE_INIT("< id=5 retry=9 data=>")},
    {"U06 cut off by the end", SLICE_INIT("data: a\n\ndata: b\n"), SLICE_INIT("< data=a>")},
    {"U06 NUL in data passes", SLICE_INIT("data: a\0b\n\n"), SLICE_INIT("< data=a\0b>")},
    {"empty lines", SLICE_INIT("\n\r\n\r\n\n"), SLICE_INIT("")},
    {"standard, example 2", SLICE_INIT(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"), SLICE_INIT("< id=1 data=first event>< id= data=second event>< data= third event>")},
    {"standard, example 3", SLICE_INIT("data\n\ndata\ndata\n\ndata:"), SLICE_INIT("< data=>< data=\n>")},
    {"long enough for vectors", SLICE_INIT("data: 0123456789abcdef0123456789abcdef\rdata: 0123456789abcde\r\n\r"), SLICE_INIT("< data=0123456789abcdef0123456789abcdef\n0123456789abcde>")},
};
/* clang-format on */

START_TEST(reads)
{
    struct buf out = BUF_INIT;

    ck_assert_int_eq(read_every_way(rows[_i].in, &limits, &out), SSE_MORE);
    ck_assert_msg(buf_len(&out) == rows[_i].events.n &&
                      (buf_len(&out) == 0 || slice_eq(buf_peek(&out), rows[_i].events)),
                  "%s: %.*s", rows[_i].name, (int)buf_len(&out), out.data ? out.data : "");
    buf_done(&out);
}
END_TEST

START_TEST(u07_line_limit)
{
    const struct sse_limits tight = {.max_line_bytes = 10, .max_event_bytes = 100};
    struct buf out = BUF_INIT;

    ck_assert_int_eq(read_every_way(SLICE("data: 6789\n\n"), &tight, &out), SSE_MORE);
    ck_assert(slice_is(buf_peek(&out), "< data=6789>"));
    buf_reset(&out);
    ck_assert_int_eq(read_every_way(SLICE("data: 6789a\n\n"), &tight, &out), SSE_E_LINE);
    ck_assert_int_eq(read_every_way(SLICE(":123456789a"), &tight, &out), SSE_E_LINE);
    ck_assert_int_eq(read_every_way(SLICE("unknown-field"), &tight, &out), SSE_E_LINE);
    ck_assert_uint_eq(buf_len(&out), 0);
    buf_done(&out);
}
END_TEST

START_TEST(u07_event_limit)
{
    const struct sse_limits tight = {.max_line_bytes = 100, .max_event_bytes = 10};
    struct buf out = BUF_INIT;

    ck_assert_int_eq(read_every_way(SLICE("data: 1234\ndata: 67890\n\ndata: x\n\n"), &tight, &out),
                     SSE_MORE);
    ck_assert(slice_is(buf_peek(&out), "< data=1234\n67890>< data=x>"));
    buf_reset(&out);
    ck_assert_int_eq(read_every_way(SLICE("data: 1234\ndata: 67890a\n\n"), &tight, &out),
                     SSE_E_EVENT);
    ck_assert_int_eq(read_every_way(SLICE("event: abc\nid: def\ndata: 12345"), &tight, &out),
                     SSE_E_EVENT);
    ck_assert_int_eq(
        read_every_way(SLICE("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n"
                             "data\ndata\n\n"),
                       &tight, &out),
        SSE_E_EVENT);
    ck_assert_int_eq(read_every_way(SLICE("id: 12345678901"), &tight, &out), SSE_E_EVENT);
    /* Both limits are exceeded: the one that is reached first is the error, however it is cut. */
    ck_assert_int_eq(read_every_way(SLICE("data: 1234567890123456789012345678901234567890"
                                          "1234567890123456789012345678901234567890"
                                          "1234567890123456789012345678901234567890"),
                                    &tight, &out),
                     SSE_E_EVENT);
    ck_assert_uint_eq(buf_len(&out), 0);
    buf_done(&out);
    ck_assert_str_ne(sse_status_text(SSE_E_LINE), sse_status_text(SSE_E_EVENT));
}
END_TEST

START_TEST(u07_memory_stays_bounded_for_a_line_of_64_mib)
{
    const struct sse_limits lim = {.max_line_bytes = 64 << 10, .max_event_bytes = 64 << 10};
    static char block[4096];
    struct sse_reader r;
    struct sse_event ev;
    enum sse_status rc = SSE_MORE;
    size_t fed = 0, used;

    memset(block, 'x', sizeof(block));
    sse_reader_init(&r, &lim);
    ck_assert_int_eq(sse_reader_feed(&r, SLICE("data:"), &used, &ev), SSE_MORE);
    while (fed < (64u << 20) &&
           (rc = sse_reader_feed(&r, slice_of(block, sizeof(block)), &used, &ev)) == SSE_MORE)
        fed += used;
    ck_assert_int_eq(rc, SSE_E_LINE);
    ck_assert_uint_le(fed, 64 << 10);
    ck_assert_uint_le(r.data.cap, 128 << 10);
    sse_reader_done(&r);
}
END_TEST

START_TEST(single_line_data_are_not_copied)
{
    struct slice in = SLICE("event: message\nid: 4\ndata: {\"a\":1}\n\ndata: x\n\n");
    struct sse_reader r;
    struct sse_event ev;
    size_t used;

    sse_reader_init(&r, &limits);
    ck_assert_int_eq(sse_reader_feed(&r, in, &used, &ev), SSE_EVENT);
    ck_assert_ptr_eq(ev.data.p, strstr(in.p, "{"));
    ck_assert_ptr_null(r.data.data);
    ck_assert_int_eq(sse_reader_feed(&r, slice_of(in.p + used, in.n - used), &used, &ev),
                     SSE_EVENT);
    ck_assert(slice_is(ev.data, "x") && !ev.has_id && ev.event.n == 0);
    sse_reader_done(&r);
}
END_TEST

/* A peer that ends its lines with CR only must not make the search for LF run through the piece per
 * line: this is 2 million lines in one piece, a matter of milliseconds when linear and of hours
 * when not. */
START_TEST(cr_only_lines_cost_linear_time)
{
    size_t n = 8 << 20, events = 0, used;
    char *p = xmalloc(n);
    struct slice in = slice_of(p, n);
    struct sse_reader r;
    struct sse_event ev;

    for (size_t i = 0; i < n; i += 8)
        memcpy(p + i, "data:xy\r", 8);
    for (size_t i = 8; i < n; i += 16)
        memcpy(p + i, "\r\r\r\r\r\r\r\r", 8);
    sse_reader_init(&r, &limits);
    while (in.n > 0) {
        events += sse_reader_feed(&r, in, &used, &ev) == SSE_EVENT;
        in = slice_of(in.p + used, in.n - used);
    }
    ck_assert_uint_eq(events, n / 16);
    sse_reader_done(&r);
    free(p);
}
END_TEST

START_TEST(writes)
{
    struct buf out = BUF_INIT;

    ck_assert(sse_event_begin(&out, NULL, SLICE("7")));
    buf_append_str(&out, "{}");
    sse_event_end(&out);
    ck_assert(slice_is(buf_peek(&out), "event: message\nid: 7\ndata: {}\n\n"));
    buf_reset(&out);
    ck_assert(sse_event_begin(&out, NULL, (struct slice){0}));
    ck_assert(slice_is(buf_peek(&out), "event: message\ndata: "));
    buf_reset(&out);
    ck_assert(sse_write_event(&out, "endpoint", (struct slice){0}, SLICE("/messages?sessionId=1")));
    ck_assert(slice_is(buf_peek(&out), "event: endpoint\ndata: /messages?sessionId=1\n\n"));
    buf_reset(&out);
    ck_assert(sse_write_priming(&out, SLICE("s.1"), 3000));
    ck_assert(slice_is(buf_peek(&out), "id: s.1\nretry: 3000\ndata: \n\n"));
    buf_reset(&out);
    ck_assert(sse_write_priming(&out, SLICE("s.1"), 0));
    ck_assert(slice_is(buf_peek(&out), "id: s.1\ndata: \n\n"));
    buf_reset(&out);
    sse_write_retry(&out, 5000);
    sse_write_comment(&out, "ka");
    ck_assert(slice_is(buf_peek(&out), "retry: 5000\n\n: ka\n\n"));
    buf_done(&out);
}
END_TEST

START_TEST(writer_refuses_injection)
{
    struct buf out = BUF_INIT;

    ck_assert(!sse_event_begin(&out, "a\ndata: x", (struct slice){0}));
    ck_assert(!sse_event_begin(&out, "a\r", (struct slice){0}));
    ck_assert(!sse_event_begin(&out, NULL, SLICE("1\n\ndata: x")));
    ck_assert(!sse_write_event(&out, NULL, SLICE("1\0002"), SLICE("x")));
    ck_assert(!sse_write_priming(&out, SLICE("1\r2"), 0));
    ck_assert(!sse_write_priming(&out, SLICE(""), 0));
    ck_assert_uint_eq(buf_len(&out), 0);
    ck_assert(sse_is_one_line(SLICE("{\"a\": \"0123456789abcdef\"}")));
    ck_assert(sse_is_one_line((struct slice){0}));
    ck_assert(!sse_is_one_line(SLICE("0123456789abcdef\n")));
    ck_assert(!sse_is_one_line(SLICE("0123456789abcde\rx")));
    buf_done(&out);
}
END_TEST

/* U06: whatever line ends stand in the data, they come back as data and inject no event. */
START_TEST(embedded_newlines_are_reframed)
{
    static const struct {
        struct slice data;
        const char *events;
    } cases[] = {
        {SLICE_INIT("a\n\nevent: evil\ndata: b"), "<message data=a\n\nevent: evil\ndata: b>"},
        {SLICE_INIT("a\r\n\r\nid: 9"), "<message data=a\n\nid: 9>"},
        {SLICE_INIT("a\r\rb\r"), "<message data=a\n\nb\n>"},
        {SLICE_INIT("\n"), "<message data=\n>"},
        {SLICE_INIT(""), "<message data=>"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf wire = BUF_INIT, events = BUF_INIT;

        ck_assert(sse_write_event(&wire, NULL, (struct slice){0}, cases[i].data));
        ck_assert_int_eq(read_every_way(buf_peek(&wire), &limits, &events), SSE_MORE);
        ck_assert(slice_is(buf_peek(&events), cases[i].events));
        buf_done(&wire);
        buf_done(&events);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sse");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, reads, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, u07_line_limit);
    tcase_add_test(t, u07_event_limit);
    tcase_add_test(t, u07_memory_stays_bounded_for_a_line_of_64_mib);
    tcase_add_test(t, single_line_data_are_not_copied);
    tcase_add_test(t, cr_only_lines_cost_linear_time);
    tcase_add_test(t, writes);
    tcase_add_test(t, writer_refuses_injection);
    tcase_add_test(t, embedded_newlines_are_reframed);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
