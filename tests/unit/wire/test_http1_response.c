/* Response heads: status lines, the framing rules of RFC 9112 section 6.3 and the smuggling shapes
 * of the request table from the other side; every head in one go and cut at every point. */
#include "unit/wire/http1_dump.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>

static const struct http1_limits limits = {16384, 8192, 64};

static ssize_t parse_cut(struct slice in, bool head_request, size_t first, size_t step,
                         struct buf *dump)
{
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_response *res = xmalloc(sizeof(*res));
    size_t have = first;
    ssize_t rc;

    for (;;) {
        char *copy = xmalloc(have ? have : 1);

        memcpy(copy, in.p, have);
        memset(res, 0xa5, sizeof(*res));
        rc = http1_parse_response(&scan, slice_of(copy, have), &limits, head_request, res);
        if (rc > 0)
            dump_response(dump, res);
        free(copy);
        if (rc != 0 || have == in.n)
            break;
        have = in.n - have < step ? in.n : have + step;
    }
    free(res);
    return rc;
}

static ssize_t parse_every_way(struct slice in, bool head_request)
{
    struct buf dump = BUF_INIT;
    ssize_t whole = parse_cut(in, head_request, in.n, 1, &dump);

    for (size_t first = 0; first <= in.n; first++) {
        struct buf other = BUF_INIT;

        ck_assert_int_eq(parse_cut(in, head_request, first, first % 16 ? in.n : 1, &other), whole);
        ck_assert_uint_eq(buf_len(&other), buf_len(&dump));
        ck_assert(buf_len(&dump) == 0 || slice_eq(buf_peek(&other), buf_peek(&dump)));
        buf_done(&other);
    }
    buf_done(&dump);
    return whole;
}

struct row {
    const char *name;
    struct slice in;
    bool head_request;
    enum http1_error error; /* HTTP1_OK: accepted with what follows */
    unsigned status;
    enum http1_framing framing;
    uint64_t length;
    bool keep_alive;
};

#define R(text)   SLICE_INIT("HTTP/1.1 " text "\r\n")
#define BAD(text) R("200 OK\r\n" text)

/* clang-format off */
static const struct row rows[] = {
    {"length", R("200 OK\r\nContent-Length: 5\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_LENGTH, 5, true},
    {"length 0", R("200 OK\r\nContent-Length: 0\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_LENGTH, 0, true},
    {"chunked", R("200 OK\r\nTransfer-Encoding: Chunked\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_CHUNKED, 0, true},
    {"neither: until close", R("200 OK\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_CLOSE, 0, false},
    {"neither, keep-alive: still close", R("200 OK\r\nConnection: keep-alive\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_CLOSE, 0, false},
    {"connection close", R("200 OK\r\nConnection: close\r\nContent-Length: 1\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_LENGTH, 1, false},
    {"1.0 with length", SLICE_INIT("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_LENGTH, 1, false},
    {"1.0 keep-alive", SLICE_INIT("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_LENGTH, 1, true},
    {"answer to HEAD with length", R("200 OK\r\nContent-Length: 5\r\n"), true, HTTP1_OK, 200, HTTP1_BODY_NONE, 0, true},
    {"answer to HEAD with chunks", R("200 OK\r\nTransfer-Encoding: chunked\r\n"), true, HTTP1_OK, 200, HTTP1_BODY_NONE, 0, true},
    {"answer to HEAD with neither", R("200 OK\r\n"), true, HTTP1_OK, 200, HTTP1_BODY_NONE, 0, true},
    {"204", R("204 No Content\r\n"), false, HTTP1_OK, 204, HTTP1_BODY_NONE, 0, true},
    {"204 with length 0", R("204 No Content\r\nContent-Length: 0\r\n"), false, HTTP1_OK, 204, HTTP1_BODY_NONE, 0, true},
    {"204 that claims a body", R("204 No Content\r\nContent-Length: 7\r\n"), false, HTTP1_OK, 204, HTTP1_BODY_NONE, 0, false},
    {"204 that claims chunks", R("204 No Content\r\nTransfer-Encoding: chunked\r\n"), false, HTTP1_OK, 204, HTTP1_BODY_NONE, 0, false},
    {"304 describes a body", R("304 Not Modified\r\nContent-Length: 7\r\n"), false, HTTP1_OK, 304, HTTP1_BODY_NONE, 0, true},
    {"100", R("100 Continue\r\n"), false, HTTP1_OK, 100, HTTP1_BODY_NONE, 0, true},
    {"103", R("103 Early Hints\r\nLink: </a>\r\n"), false, HTTP1_OK, 103, HTTP1_BODY_NONE, 0, true},
    {"202 without body", R("202 Accepted\r\nContent-Length: 0\r\n"), false, HTTP1_OK, 202, HTTP1_BODY_LENGTH, 0, true},
    {"empty reason", R("200 \r\nContent-Length: 0\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_LENGTH, 0, true},
    {"no reason, no space", R("200\r\nContent-Length: 0\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_LENGTH, 0, true},
    {"reason in UTF-8", R("200 d\xc3\xa9j\xc3\xa0 vu\r\nContent-Length: 0\r\n"), false, HTTP1_OK, 200, HTTP1_BODY_LENGTH, 0, true},
    {"unknown status", R("599 What\r\nContent-Length: 0\r\n"), false, HTTP1_OK, 599, HTTP1_BODY_LENGTH, 0, true},
    {"101 was never asked for", R("101 Switching Protocols\r\nUpgrade: x\r\n"), false, HTTP1_E_STATUS, 0, 0, 0, false},
    {"status 099", R("099 X\r\n"), false, HTTP1_E_STATUS, 0, 0, 0, false},
    {"status 600", R("600 X\r\n"), false, HTTP1_E_STATUS, 0, 0, 0, false},
    {"status of two digits", R("20 X\r\n"), false, HTTP1_E_STATUS, 0, 0, 0, false},
    {"status of four digits", R("2000 X\r\n"), false, HTTP1_E_STATUS, 0, 0, 0, false},
    {"status in letters", R("2x0 X\r\n"), false, HTTP1_E_STATUS, 0, 0, 0, false},
    {"no status", R("\r\n"), false, HTTP1_E_STATUS, 0, 0, 0, false},
    {"two spaces", R(" 200 OK\r\n"), false, HTTP1_E_STATUS, 0, 0, 0, false},
    {"tab", SLICE_INIT("HTTP/1.1\t200 OK\r\n\r\n"), false, HTTP1_E_START_LINE, 0, 0, 0, false},
    {"HTTP/2", SLICE_INIT("HTTP/2.0 200 OK\r\n\r\n"), false, HTTP1_E_VERSION, 0, 0, 0, false},
    {"HTTP/2 short", SLICE_INIT("HTTP/2 200 OK\r\n\r\n"), false, HTTP1_E_START_LINE, 0, 0, 0, false},
    {"empty line first", SLICE_INIT("\r\nHTTP/1.1 200 OK\r\n\r\n"), false, HTTP1_E_START_LINE, 0, 0, 0, false},
    {"ICY", SLICE_INIT("ICY 200 OK\r\n\r\n"), false, HTTP1_E_START_LINE, 0, 0, 0, false},
    {"F18 control in reason", R("200 O\x01K\r\n"), false, HTTP1_E_CONTROL, 0, 0, 0, false},
    {"F17 bare LF", SLICE_INIT("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), false, HTTP1_E_LINE_END, 0, 0, 0, false},
    {"F10 CL and coding", BAD("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), false, HTTP1_E_LENGTH_AND_CODING, 0, 0, 0, false},
    {"F11 two CL equal", BAD("Content-Length: 5\r\nContent-Length: 5\r\n"), false, HTTP1_E_LENGTH_DUPLICATE, 0, 0, 0, false},
    {"F13 CL list", BAD("Content-Length: 5,5\r\n"), false, HTTP1_E_LENGTH_SYNTAX, 0, 0, 0, false},
    {"F13 CL list to HEAD", BAD("Content-Length: 5,5\r\n"), true, HTTP1_E_LENGTH_SYNTAX, 0, 0, 0, false},
    {"F14 coding gzip, chunked", BAD("Transfer-Encoding: gzip, chunked\r\n"), false, HTTP1_E_CODING, 0, 0, 0, false},
    {"F14 coding in 1.0", SLICE_INIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), false, HTTP1_E_CODING_VERSION, 0, 0, 0, false},
    {"F16 obs-fold", BAD("X: a\r\n b\r\n"), false, HTTP1_E_OBS_FOLD, 0, 0, 0, false},
    {"F15 space before colon", BAD("X : a\r\n"), false, HTTP1_E_HEADER_NAME, 0, 0, 0, false},
};
/* clang-format on */

START_TEST(table)
{
    const struct row *row = &rows[_i];
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_response res;
    ssize_t rc = parse_every_way(row->in, row->head_request);

    if (row->error != HTTP1_OK) {
        ck_assert_msg(rc == (ssize_t)row->error, "%s: %zd (%s)", row->name, rc,
                      http1_error_text(rc));
        return;
    }
    ck_assert_msg(rc == (ssize_t)row->in.n, "%s: %zd (%s)", row->name, rc, http1_error_text(rc));
    ck_assert_int_eq(http1_parse_response(&scan, row->in, &limits, row->head_request, &res), rc);
    ck_assert_msg(res.status == row->status, "%s", row->name);
    ck_assert_msg(res.framing == row->framing, "%s: framing %d", row->name, (int)res.framing);
    ck_assert_msg(res.content_length == row->length, "%s", row->name);
    ck_assert_msg(res.keep_alive == row->keep_alive, "%s: keep_alive", row->name);
    ck_assert_msg(res.informational == (row->status < 200), "%s", row->name);
}
END_TEST

START_TEST(informational_heads_precede_the_answer)
{
    struct slice in = SLICE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: x\r\n\r\n"
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    unsigned seen = 0;

    for (;;) {
        struct http1_scan scan = HTTP1_SCAN_INIT;
        struct http1_response res;
        ssize_t n = http1_parse_response(&scan, in, &limits, false, &res);

        ck_assert_int_gt(n, 0);
        in = slice_of(in.p + n, in.n - (size_t)n);
        if (!res.informational) {
            ck_assert_uint_eq(res.status, 200);
            ck_assert(slice_is(res.reason, "OK"));
            break;
        }
        seen++;
    }
    ck_assert_uint_eq(seen, 2);
    ck_assert(slice_is(in, "hi"));
}
END_TEST

START_TEST(limits_apply)
{
    const struct http1_limits tight = {64, 32, 2};
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_response res;
    struct slice line = SLICE("HTTP/1.1 200 a-very-long-reason-phrase-indeed\r\n\r\n");
    struct slice many = SLICE("HTTP/1.1 200 \r\nA: b\r\nC: d\r\nE: f\r\n\r\n");
    struct slice large = SLICE("HTTP/1.1 200 \r\nA: 567890123456789012345\r\n"
                               "A: 567890123456789012345\r\n\r\n");

    ck_assert_int_eq(http1_parse_response(&scan, line, &tight, false, &res), HTTP1_E_LINE_TOO_LONG);
    http1_scan_init(&scan);
    ck_assert_int_eq(http1_parse_response(&scan, many, &tight, false, &res),
                     HTTP1_E_TOO_MANY_HEADERS);
    http1_scan_init(&scan);
    ck_assert_int_eq(http1_parse_response(&scan, large, &tight, false, &res),
                     HTTP1_E_HEAD_TOO_LARGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http1_response");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, table, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, informational_heads_precede_the_answer);
    tcase_add_test(t, limits_apply);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
