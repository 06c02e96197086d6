/* Bodies: F19 and F20 of the security catalogue, and the other two framings. Every body is decoded
 * in one go, byte by byte and cut at every point, with equal bytes, end and error. */
#include "wire/http1.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>

struct outcome {
    enum http1_error error;
    bool done;
    size_t consumed; /* up to the end of the body; meaningless after an error */
    struct buf bytes;
};

/* Feeds one piece, as an exact copy. */
static void feed_piece(struct http1_body *body, struct slice piece, struct outcome *o)
{
    char *copy = xmalloc(piece.n ? piece.n : 1);
    struct slice in = slice_of(copy, piece.n);

    memcpy(copy, piece.p, piece.n);
    while (in.n > 0 && !body->done && o->error == HTTP1_OK) {
        struct slice run;
        size_t used;

        o->error = http1_body_feed(body, in, &used, &run);
        ck_assert_uint_le(used, in.n);
        if (o->error != HTTP1_OK)
            break;
        ck_assert_uint_gt(used, 0);
        ck_assert(run.n == 0 || (run.p >= in.p && run.p + run.n <= in.p + used));
        buf_append_slice(&o->bytes, run);
        o->consumed += used;
        in = slice_of(in.p + used, in.n - used);
    }
    free(copy);
}

static struct outcome decode(enum http1_framing framing, uint64_t length, struct slice in,
                             size_t first, size_t step)
{
    struct outcome o = {0};
    struct http1_body body;

    http1_body_init(&body, framing, length);
    feed_piece(&body, slice_of(in.p, first), &o);
    for (size_t at = first; at < in.n; at += step)
        feed_piece(&body, slice_of(in.p + at, in.n - at < step ? in.n - at : step), &o);
    o.done = body.done;
    if (o.error == HTTP1_OK)
        ck_assert_uint_eq(body.total, buf_len(&o.bytes));
    return o;
}

static void same(const struct outcome *a, const struct outcome *b)
{
    ck_assert_int_eq(a->error, b->error);
    ck_assert_int_eq(a->done, b->done);
    ck_assert(a->error != HTTP1_OK || a->consumed == b->consumed);
    ck_assert_uint_eq(buf_len(&a->bytes), buf_len(&b->bytes));
    ck_assert(buf_len(&a->bytes) == 0 || slice_eq(buf_peek(&a->bytes), buf_peek(&b->bytes)));
}

static struct outcome decode_every_way(enum http1_framing framing, uint64_t length, struct slice in)
{
    struct outcome whole = decode(framing, length, in, in.n, 1), other;

    for (size_t first = 0; first <= in.n; first++) {
        other = decode(framing, length, in, first, in.n);
        same(&whole, &other);
        buf_done(&other.bytes);
    }
    other = decode(framing, length, in, 0, 1);
    same(&whole, &other);
    buf_done(&other.bytes);
    return whole;
}

struct row {
    const char *name;
    struct slice in;
    enum http1_error error;
    const char *bytes; /* when accepted and complete; NULL: incomplete */
    size_t left_over;  /* bytes after the end of the body */
};

/* clang-format off */
static const struct row rows[] = {
    {"one chunk", SLICE_INIT("5\r\nhello\r\n0\r\n\r\n"), HTTP1_OK, "hello", 0},
    {"two chunks", SLICE_INIT("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), HTTP1_OK, "hello world", 0},
    {"empty body", SLICE_INIT("0\r\n\r\n"), HTTP1_OK, "", 0},
    {"several zeros", SLICE_INIT("000\r\n\r\n"), HTTP1_OK, "", 0},
    {"hex in both cases", SLICE_INIT("a\r\n0123456789\r\nB\r\n0123456789x\r\n0\r\n\r\n"), HTTP1_OK, "01234567890123456789x", 0},
    {"CRLF inside data", SLICE_INIT("6\r\n\r\n0\r\n\r\r\n0\r\n\r\n"), HTTP1_OK, "\r\n0\r\n\r", 0},
    {"16 digits", SLICE_INIT("0000000000000002\r\nhi\r\n0\r\n\r\n"), HTTP1_OK, "hi", 0},
    {"next request follows", SLICE_INIT("2\r\nhi\r\n0\r\n\r\nGET /"), HTTP1_OK, "hi", 5},
    {"F19 extension ignored", SLICE_INIT("2;a=b;c=\"d;e\"\r\nhi\r\n0;last\r\n\r\n"), HTTP1_OK, "hi", 0},
    {"F19 empty extension", SLICE_INIT("2;\r\nhi\r\n0\r\n\r\n"), HTTP1_OK, "hi", 0},
    {"F20 trailers ignored", SLICE_INIT("2\r\nhi\r\n0\r\nContent-Length: 9\r\nX:\r\n\r\n"), HTTP1_OK, "hi", 0},
    {"incomplete size", SLICE_INIT("5"), HTTP1_OK, NULL, 0},
    {"incomplete data", SLICE_INIT("5\r\nhel"), HTTP1_OK, NULL, 0},
    {"no last chunk", SLICE_INIT("5\r\nhello\r\n"), HTTP1_OK, NULL, 0},
    {"no empty line", SLICE_INIT("5\r\nhello\r\n0\r\n"), HTTP1_OK, NULL, 0},
    {"F19 0x5", SLICE_INIT("0x5\r\nhello\r\n0\r\n\r\n"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 -1", SLICE_INIT("-1\r\nx"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 +5", SLICE_INIT("+5\r\nhello\r\n"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 17 digits", SLICE_INIT("00000000000000005\r\nhello\r\n"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 2^63", SLICE_INIT("8000000000000000\r\nx"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 2^64-1", SLICE_INIT("ffffffffffffffff\r\nx"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 sum above 2^63-1", SLICE_INIT("1\r\nx\r\n7fffffffffffffff\r\nx"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 empty size", SLICE_INIT("\r\nhello\r\n"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 only extension", SLICE_INIT(";a\r\nhello\r\n"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 space before size", SLICE_INIT(" 5\r\nhello\r\n"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 space after size", SLICE_INIT("5 \r\nhello\r\n"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 bare LF after size", SLICE_INIT("5\nhello\r\n"), HTTP1_E_CHUNK_SIZE, NULL, 0},
    {"F19 bare CR after size", SLICE_INIT("5\rhello\r\n"), HTTP1_E_CHUNK_END, NULL, 0},
    {"F19 missing CRLF after data", SLICE_INIT("5\r\nhello0\r\n\r\n"), HTTP1_E_CHUNK_END, NULL, 0},
    {"F19 bare LF after data", SLICE_INIT("5\r\nhello\n0\r\n\r\n"), HTTP1_E_CHUNK_END, NULL, 0},
    {"F19 CR x after data", SLICE_INIT("5\r\nhello\rx"), HTTP1_E_CHUNK_END, NULL, 0},
    {"F19 data longer than size", SLICE_INIT("4\r\nhello\r\n"), HTTP1_E_CHUNK_END, NULL, 0},
    {"F19 LF in extension", SLICE_INIT("5;a\nb\r\nhello\r\n"), HTTP1_E_CHUNK_EXTENSION, NULL, 0},
    {"F19 NUL in extension", SLICE_INIT("5;a\0b\r\nhello\r\n"), HTTP1_E_CHUNK_EXTENSION, NULL, 0},
    {"F20 trailer fold", SLICE_INIT("0\r\nX: a\r\n b\r\n\r\n"), HTTP1_E_TRAILER, NULL, 0},
    {"F20 trailer without colon", SLICE_INIT("0\r\nGET / HTTP/1.1\r\n\r\n"), HTTP1_E_TRAILER, NULL, 0},
    {"F20 trailer without name", SLICE_INIT("0\r\n: a\r\n\r\n"), HTTP1_E_TRAILER, NULL, 0},
    {"F20 trailer bare LF", SLICE_INIT("0\r\nX: a\n\r\n"), HTTP1_E_TRAILER, NULL, 0},
    {"F20 trailer bare CR", SLICE_INIT("0\r\nX: a\rb\r\n\r\n"), HTTP1_E_TRAILER, NULL, 0},
    {"F20 trailer NUL", SLICE_INIT("0\r\nX: \0\r\n\r\n"), HTTP1_E_TRAILER, NULL, 0},
    {"F20 CR without LF at the end", SLICE_INIT("0\r\n\rX"), HTTP1_E_TRAILER, NULL, 0},
};
/* clang-format on */

START_TEST(chunked)
{
    const struct row *row = &rows[_i];
    struct outcome o = decode_every_way(HTTP1_BODY_CHUNKED, 0, row->in);

    ck_assert_msg(o.error == row->error, "%s: %d (%s)", row->name, (int)o.error,
                  http1_error_text(o.error));
    ck_assert_msg(o.done == (row->bytes != NULL), "%s: done", row->name);
    if (row->bytes) {
        ck_assert_uint_eq(o.consumed + row->left_over, row->in.n);
        ck_assert_uint_eq(buf_len(&o.bytes), strlen(row->bytes));
        ck_assert(strlen(row->bytes) == 0 || slice_is(buf_peek(&o.bytes), row->bytes));
    }
    buf_done(&o.bytes);
}
END_TEST

static enum http1_error decode_buf(struct buf *in)
{
    struct outcome o = decode(HTTP1_BODY_CHUNKED, 0, buf_peek(in), buf_len(in), 1);

    buf_done(&o.bytes);
    ck_assert(o.error != HTTP1_OK || o.done);
    return o.error;
}

static void append_repeated(struct buf *b, char c, size_t n)
{
    memset(buf_reserve(b, n), c, n);
    buf_added(b, n);
}

static enum http1_error with_extensions(size_t chunks, size_t bytes)
{
    struct buf in = BUF_INIT;
    enum http1_error err;

    for (size_t i = 0; i < chunks; i++) {
        buf_append_str(&in, "1;");
        append_repeated(&in, 'e', bytes);
        buf_append_str(&in, "\r\nx\r\n");
    }
    http1_chunk_last(&in);
    err = decode_buf(&in);
    buf_done(&in);
    return err;
}

START_TEST(f19_extensions_are_bounded)
{
    const size_t fit = HTTP1_CHUNK_EXT_TOTAL_MAX / HTTP1_CHUNK_EXT_MAX;

    ck_assert_int_eq(with_extensions(1, HTTP1_CHUNK_EXT_MAX), HTTP1_OK);
    ck_assert_int_eq(with_extensions(1, HTTP1_CHUNK_EXT_MAX + 1), HTTP1_E_CHUNK_EXTENSION);
    ck_assert_int_eq(with_extensions(fit, HTTP1_CHUNK_EXT_MAX), HTTP1_OK);
    ck_assert_int_eq(with_extensions(fit + 1, HTTP1_CHUNK_EXT_MAX), HTTP1_E_CHUNK_EXTENSION);
}
END_TEST

/* A trailer section of n bytes: a field and the empty line. */
static enum http1_error with_trailer(size_t n)
{
    struct buf in = BUF_INIT;
    enum http1_error err;

    buf_append_str(&in, "0\r\nX:");
    append_repeated(&in, 't', n - strlen("X:\r\n\r\n"));
    buf_append_str(&in, "\r\n\r\n");
    err = decode_buf(&in);
    buf_done(&in);
    return err;
}

START_TEST(f20_trailers_are_bounded)
{
    ck_assert_int_eq(with_trailer(HTTP1_TRAILER_MAX), HTTP1_OK);
    ck_assert_int_eq(with_trailer(HTTP1_TRAILER_MAX + 1), HTTP1_E_TRAILER);
}
END_TEST

START_TEST(an_error_stays)
{
    struct http1_body body;
    struct slice run;
    size_t used;

    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0);
    ck_assert_int_eq(http1_body_feed(&body, SLICE("x"), &used, &run), HTTP1_E_CHUNK_SIZE);
    ck_assert_int_eq(http1_body_feed(&body, SLICE("0\r\n\r\n"), &used, &run), HTTP1_E_CHUNK_SIZE);
    ck_assert_uint_eq(used, 0);
    ck_assert(!body.done);
}
END_TEST

START_TEST(size_of_a_begun_chunk_is_known_before_its_data)
{
    struct http1_body body;
    struct slice run, in = SLICE("7fffffffffffffff\r\n");
    size_t used;

    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0);
    ck_assert_int_eq(http1_body_feed(&body, in, &used, &run), HTTP1_OK);
    ck_assert_uint_eq(body.left, INT64_MAX);
    ck_assert_uint_eq(body.total, 0);
}
END_TEST

START_TEST(length_ends_where_it_says)
{
    struct outcome o = decode_every_way(HTTP1_BODY_LENGTH, 5, SLICE("helloGET /"));

    ck_assert(o.done);
    ck_assert_uint_eq(o.consumed, 5);
    ck_assert(slice_is(buf_peek(&o.bytes), "hello"));
    buf_done(&o.bytes);
    o = decode_every_way(HTTP1_BODY_LENGTH, 6, SLICE("hello"));
    ck_assert(!o.done);
    buf_done(&o.bytes);
}
END_TEST

START_TEST(empty_bodies_are_done_at_once)
{
    struct http1_body body;

    http1_body_init(&body, HTTP1_BODY_NONE, 7);
    ck_assert(body.done);
    http1_body_init(&body, HTTP1_BODY_LENGTH, 0);
    ck_assert(body.done);
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0);
    ck_assert(!body.done);
    http1_body_init(&body, HTTP1_BODY_CLOSE, 0);
    ck_assert(!body.done);
}
END_TEST

START_TEST(end_of_connection)
{
    struct http1_body body;
    struct slice run;
    size_t used;

    http1_body_init(&body, HTTP1_BODY_CLOSE, 0);
    ck_assert_int_eq(http1_body_feed(&body, SLICE("all of it"), &used, &run), HTTP1_OK);
    ck_assert(slice_is(run, "all of it") && !body.done);
    ck_assert_int_eq(http1_body_eof(&body), HTTP1_OK);
    ck_assert(body.done);

    http1_body_init(&body, HTTP1_BODY_LENGTH, 3);
    ck_assert_int_eq(http1_body_eof(&body), HTTP1_E_TRUNCATED);
    http1_body_init(&body, HTTP1_BODY_CHUNKED, 0);
    ck_assert_int_eq(http1_body_feed(&body, SLICE("0\r\n\r"), &used, &run), HTTP1_OK);
    ck_assert_int_eq(http1_body_eof(&body), HTTP1_E_TRUNCATED);
    http1_body_init(&body, HTTP1_BODY_NONE, 0);
    ck_assert_int_eq(http1_body_eof(&body), HTTP1_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http1_body");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, chunked, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, f19_extensions_are_bounded);
    tcase_add_test(t, f20_trailers_are_bounded);
    tcase_add_test(t, an_error_stays);
    tcase_add_test(t, size_of_a_begun_chunk_is_known_before_its_data);
    tcase_add_test(t, length_ends_where_it_says);
    tcase_add_test(t, empty_bodies_are_done_at_once);
    tcase_add_test(t, end_of_connection);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
