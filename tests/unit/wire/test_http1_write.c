/* Writers: the exact bytes, what is refused (F38: nothing from anywhere can begin a header line of
 * its own), and that our own reader takes back what they wrote. */
#include "wire/http1.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>

static const struct http1_limits limits = {16384, 8192, 64};

static struct buf out;

static void setup(void)
{
    out = (struct buf)BUF_INIT;
}

static void teardown(void)
{
    buf_done(&out);
}

START_TEST(response_heads)
{
    const struct http1_header type = {SLICE_INIT("Content-Type"), SLICE_INIT("application/json")};

    ck_assert_int_eq(
        http1_write_response_head(&out, 200, &type, 1, HTTP1_BODY_LENGTH, 42, HTTP1_CONN_DEFAULT),
        HTTP1_OK);
    ck_assert(slice_is(buf_peek(&out), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                       "Content-Length: 42\r\n\r\n"));
    buf_reset(&out);
    ck_assert_int_eq(
        http1_write_response_head(&out, 200, NULL, 0, HTTP1_BODY_CHUNKED, 0, HTTP1_CONN_KEEP_ALIVE),
        HTTP1_OK);
    ck_assert(slice_is(buf_peek(&out), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                                       "Connection: keep-alive\r\n\r\n"));
    buf_reset(&out);
    ck_assert_int_eq(
        http1_write_response_head(&out, 299, NULL, 0, HTTP1_BODY_CLOSE, 0, HTTP1_CONN_CLOSE),
        HTTP1_OK);
    ck_assert(slice_is(buf_peek(&out), "HTTP/1.1 299 \r\nConnection: close\r\n\r\n"));
    buf_reset(&out);
    ck_assert_int_eq(
        http1_write_response_head(&out, 204, NULL, 0, HTTP1_BODY_NONE, 0, HTTP1_CONN_DEFAULT),
        HTTP1_OK);
    ck_assert(slice_is(buf_peek(&out), "HTTP/1.1 204 No Content\r\n\r\n"));
    buf_reset(&out);
    http1_write_continue(&out);
    ck_assert(slice_is(buf_peek(&out), "HTTP/1.1 100 Continue\r\n\r\n"));
}
END_TEST

START_TEST(the_usual_head_is_what_the_writer_makes)
{
    static const uint64_t lengths[] = {0,  1,   9,    10,    99,        100,
                                       42, 999, 1000, 65536, INT64_MAX, 123456789};
    const struct http1_header type = {SLICE_INIT("Content-Type"), SLICE_INIT("application/json")};
    char digits[U64_DIGITS], usual[128];

    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct slice length = u64_text(lengths[i], digits);
        size_t n = http1_json_head_len(length);

        buf_reset(&out);
        ck_assert_int_eq(http1_write_response_head(&out, 200, &type, 1, HTTP1_BODY_LENGTH,
                                                   lengths[i], HTTP1_CONN_DEFAULT),
                         HTTP1_OK);
        ck_assert_uint_le(n, sizeof(usual));
        ck_assert_ptr_eq(http1_put_json_head(usual, length), usual + n);
        ck_assert(slice_eq(slice_of(usual, n), buf_peek(&out)));
    }
}
END_TEST

START_TEST(request_head)
{
    const struct http1_header headers[] = {{SLICE_INIT("Accept"), SLICE_INIT("*/*")},
                                           {SLICE_INIT("X-Empty"), SLICE_INIT("")}};

    ck_assert_int_eq(http1_write_request_head(&out, SLICE("POST"), SLICE("/mcp?a=%20"),
                                              SLICE("h:80"), headers, ARRAY_LEN(headers),
                                              HTTP1_BODY_LENGTH, 0, HTTP1_CONN_CLOSE),
                     HTTP1_OK);
    ck_assert(slice_is(buf_peek(&out),
                       "POST /mcp?a=%20 HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\nX-Empty: \r\n"
                       "Content-Length: 0\r\nConnection: close\r\n\r\n"));
}
END_TEST

struct bad_header {
    const char *name;
    struct http1_header header;
};

static const struct bad_header bad_headers[] = {
    {"F38 CRLF in value", {SLICE_INIT("X"), SLICE_INIT("a\r\nSet-Cookie: b")}},
    {"F38 LF in value", {SLICE_INIT("X"), SLICE_INIT("a\nb")}},
    {"F38 CR in value", {SLICE_INIT("X"), SLICE_INIT("a\rb")}},
    {"F38 NUL in value", {SLICE_INIT("X"), SLICE_INIT("a\0b")}},
    {"F38 ESC in value", {SLICE_INIT("X"), SLICE_INIT("\x1b[2J")}},
    {"F38 DEL at the end", {SLICE_INIT("X"), SLICE_INIT("12345678\x7f")}},
    {"empty name", {SLICE_INIT(""), SLICE_INIT("a")}},
    {"space in name", {SLICE_INIT("X Y"), SLICE_INIT("a")}},
    {"colon in name", {SLICE_INIT("X:"), SLICE_INIT("a")}},
    {"CRLF in name", {SLICE_INIT("X\r\nY"), SLICE_INIT("a")}},
    {"framing is not for callers", {SLICE_INIT("content-LENGTH"), SLICE_INIT("1")}},
    {"coding is not for callers", {SLICE_INIT("Transfer-Encoding"), SLICE_INIT("chunked")}},
    {"connection is not for callers", {SLICE_INIT("connection"), SLICE_INIT("close")}},
};

/* A refused head leaves what stood in the buffer alone, also when good fields precede the bad one.
 */
START_TEST(refuses_bad_headers)
{
    const struct bad_header *row = &bad_headers[_i];
    const struct http1_header headers[] = {{SLICE_INIT("Good"), SLICE_INIT("1")}, row->header};

    buf_append_str(&out, "before");
    ck_assert_msg(http1_write_response_head(&out, 200, headers, 2, HTTP1_BODY_LENGTH, 1,
                                            HTTP1_CONN_DEFAULT) == HTTP1_E_WRITE,
                  "%s", row->name);
    ck_assert_msg(http1_write_request_head(&out, SLICE("GET"), SLICE("/"), SLICE("h"), headers, 2,
                                           HTTP1_BODY_NONE, 0, HTTP1_CONN_DEFAULT) == HTTP1_E_WRITE,
                  "%s", row->name);
    ck_assert(slice_is(buf_peek(&out), "before"));
}
END_TEST

static bool response_refused(unsigned status, enum http1_framing framing, uint64_t length,
                             enum http1_connection conn)
{
    enum http1_error err = http1_write_response_head(&out, status, NULL, 0, framing, length, conn);
    bool refused = err == HTTP1_E_WRITE && buf_len(&out) == 0;

    ck_assert(refused || err == HTTP1_OK);
    buf_reset(&out);
    return refused;
}

START_TEST(refuses_impossible_responses)
{
    ck_assert(response_refused(99, HTTP1_BODY_NONE, 0, HTTP1_CONN_DEFAULT));
    ck_assert(response_refused(600, HTTP1_BODY_NONE, 0, HTTP1_CONN_DEFAULT));
    ck_assert(response_refused(100, HTTP1_BODY_LENGTH, 0, HTTP1_CONN_DEFAULT));
    ck_assert(response_refused(204, HTTP1_BODY_LENGTH, 0, HTTP1_CONN_DEFAULT));
    ck_assert(response_refused(204, HTTP1_BODY_CHUNKED, 0, HTTP1_CONN_DEFAULT));
    ck_assert(response_refused(204, HTTP1_BODY_CLOSE, 0, HTTP1_CONN_CLOSE));
    ck_assert(response_refused(304, HTTP1_BODY_CHUNKED, 0, HTTP1_CONN_DEFAULT));
    ck_assert(response_refused(304, HTTP1_BODY_LENGTH, 1, HTTP1_CONN_DEFAULT));
    ck_assert(!response_refused(304, HTTP1_BODY_LENGTH, 0, HTTP1_CONN_DEFAULT));
    ck_assert(response_refused(200, HTTP1_BODY_CLOSE, 0, HTTP1_CONN_DEFAULT));
    ck_assert(
        response_refused(200, HTTP1_BODY_LENGTH, (uint64_t)INT64_MAX + 1, HTTP1_CONN_DEFAULT));
    ck_assert(!response_refused(200, HTTP1_BODY_LENGTH, INT64_MAX, HTTP1_CONN_DEFAULT));
}
END_TEST

static bool request_refused(struct slice method, struct slice target, struct slice host,
                            enum http1_framing framing)
{
    enum http1_error err = http1_write_request_head(&out, method, target, host, NULL, 0, framing, 0,
                                                    HTTP1_CONN_DEFAULT);
    bool refused = err == HTTP1_E_WRITE && buf_len(&out) == 0;

    buf_reset(&out);
    return refused;
}

START_TEST(refuses_impossible_requests)
{
    const struct slice get = SLICE_INIT("GET"), root = SLICE_INIT("/"), host = SLICE_INIT("h");
    const struct http1_header second_host = {SLICE_INIT("host"), SLICE_INIT("evil")};

    ck_assert(!request_refused(get, root, host, HTTP1_BODY_NONE));
    ck_assert(request_refused(SLICE("GE T"), root, host, HTTP1_BODY_NONE));
    ck_assert(request_refused(SLICE(""), root, host, HTTP1_BODY_NONE));
    ck_assert(request_refused(get, SLICE(""), host, HTTP1_BODY_NONE));
    ck_assert(request_refused(get, SLICE("mcp"), host, HTTP1_BODY_NONE));
    ck_assert(request_refused(get, SLICE("/a b"), host, HTTP1_BODY_NONE));
    ck_assert(request_refused(get, SLICE("/\r\nX: y"), host, HTTP1_BODY_NONE));
    ck_assert(request_refused(get, SLICE("/%4"), host, HTTP1_BODY_NONE));
    ck_assert(request_refused(get, root, SLICE("h\r\nX: y"), HTTP1_BODY_NONE));
    ck_assert(request_refused(get, root, SLICE("a@b"), HTTP1_BODY_NONE));
    ck_assert(request_refused(get, root, host, HTTP1_BODY_CLOSE));
    ck_assert_int_eq(http1_write_request_head(&out, get, root, host, &second_host, 1,
                                              HTTP1_BODY_NONE, 0, HTTP1_CONN_DEFAULT),
                     HTTP1_E_WRITE);
    ck_assert_uint_eq(buf_len(&out), 0);
}
END_TEST

/* Every reason phrase comes back through the reader. */
START_TEST(reader_takes_what_the_writer_wrote)
{
    for (unsigned status = 102; status < 600; status++) {
        struct http1_scan scan = HTTP1_SCAN_INIT;
        struct http1_response res;
        bool bodyless = status < 200 || status == 204 || status == 304;

        buf_reset(&out);
        ck_assert_int_eq(http1_write_response_head(&out, status, NULL, 0,
                                                   bodyless ? HTTP1_BODY_NONE : HTTP1_BODY_LENGTH,
                                                   0, HTTP1_CONN_DEFAULT),
                         HTTP1_OK);
        ck_assert_int_eq(http1_parse_response(&scan, buf_peek(&out), &limits, false, &res),
                         (ssize_t)buf_len(&out));
        ck_assert_uint_eq(res.status, status);
        ck_assert(slice_eq(res.reason, slice_str(http1_reason(status))));
        ck_assert(res.keep_alive);
    }
}
END_TEST

START_TEST(chunks)
{
    http1_chunk_begin(&out, 26);
    buf_append_str(&out, "abcdefghijklmnopqrstuvwxyz");
    http1_chunk_end(&out);
    http1_chunk_append(&out, SLICE(""));
    http1_chunk_append(&out, SLICE("xy"));
    http1_chunk_last(&out);
    ck_assert(slice_is(buf_peek(&out), "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n2\r\nxy\r\n0\r\n\r\n"));
    buf_reset(&out);
    http1_chunk_begin(&out, SIZE_MAX);
    ck_assert(slice_is(buf_peek(&out), "ffffffffffffffff\r\n"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http1_write");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, t);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, response_heads);
    tcase_add_test(t, the_usual_head_is_what_the_writer_makes);
    tcase_add_test(t, request_head);
    tcase_add_loop_test(t, refuses_bad_headers, 0, (int)ARRAY_LEN(bad_headers));
    tcase_add_test(t, refuses_impossible_responses);
    tcase_add_test(t, refuses_impossible_requests);
    tcase_add_test(t, reader_takes_what_the_writer_wrote);
    tcase_add_test(t, chunks);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
