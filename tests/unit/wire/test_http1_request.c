/* Request heads: the cases F06, F07, F10-F18, F21, F28-F31, F35 and F36 of the security catalogue
 * as table rows, each parsed in one go, byte by byte and cut at every point, always with the same
 * outcome. */
#include "unit/wire/http1_dump.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>

static const struct http1_limits default_limits = {16384, 8192, 64};

#define H11 "\r\nHost: localhost:7332\r\n"

/* Parses the bytes as they would arrive with these cuts: a first piece, then steps. Every call sees
 * an exact copy of its own, so that an overread is caught and a slice into an older call's bytes is
 * too. */
static ssize_t parse_cut(struct slice in, const struct http1_limits *limits, size_t first,
                         size_t step, struct buf *dump)
{
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request *req = xmalloc(sizeof(*req));
    size_t have = first;
    ssize_t rc;

    for (;;) {
        char *copy = xmalloc(have ? have : 1);

        memcpy(copy, in.p, have);
        memset(req, 0xa5, sizeof(*req));
        rc = http1_parse_request(&scan, slice_of(copy, have), limits, req);
        if (rc > 0)
            dump_request(dump, req);
        free(copy);
        if (rc != 0 || have == in.n)
            break;
        have = in.n - have < step ? in.n : have + step;
    }
    free(req);
    return rc;
}

/* The outcome of all cuts is that of one go. Returns it. */
static ssize_t parse_every_way(struct slice in, const struct http1_limits *limits, struct buf *dump)
{
    ssize_t whole = parse_cut(in, limits, in.n, 1, dump);

    for (size_t first = 0; first <= in.n; first++) {
        /* Two pieces at every point, and from a few points on byte by byte. */
        size_t step = first % 64 == 0 ? 1 : in.n;
        struct buf other = BUF_INIT;
        ssize_t rc = parse_cut(in, limits, first, step, &other);

        ck_assert_msg(rc == whole, "cut at %zu step %zu: %zd, whole: %zd", first, step, rc, whole);
        ck_assert_msg(buf_len(&other) == buf_len(dump) &&
                          (buf_len(dump) == 0 || slice_eq(buf_peek(&other), buf_peek(dump))),
                      "cut at %zu: other result", first);
        buf_done(&other);
    }
    return whole;
}

struct refused {
    const char *name;
    struct slice in;
    enum http1_error error;
    unsigned status;
};

#define HEAD(fields)  SLICE_INIT("POST /mcp HTTP/1.1" H11 fields "\r\n")
#define LENGTH(value) HEAD("Content-Length:" value "\r\n")
#define CODING(value) HEAD("Transfer-Encoding:" value "\r\n")
#define TARGET(t)     SLICE_INIT("GET " t " HTTP/1.1" H11 "\r\n")

/* clang-format off */
static const struct refused refused[] = {
    {"F06 two Hosts", HEAD("Host: localhost:7332\r\n"), HTTP1_E_HOST_DUPLICATE, 400},
    {"F06 two Hosts on 1.0", SLICE_INIT("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n"), HTTP1_E_HOST_DUPLICATE, 400},
    {"F07 no Host", SLICE_INIT("GET /mcp HTTP/1.1\r\nAccept: */*\r\n\r\n"), HTTP1_E_HOST_MISSING, 400},
    {"F07 no header at all", SLICE_INIT("GET /mcp HTTP/1.1\r\n\r\n"), HTTP1_E_HOST_MISSING, 400},
    {"F08 Host with path", SLICE_INIT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), HTTP1_E_HOST_SYNTAX, 400},
    {"F08 Host with userinfo", SLICE_INIT("GET / HTTP/1.1\r\nHost: localhost@evil\r\n\r\n"), HTTP1_E_HOST_SYNTAX, 400},
    {"F08 Host with space", SLICE_INIT("GET / HTTP/1.1\r\nHost: localhost evil\r\n\r\n"), HTTP1_E_HOST_SYNTAX, 400},
    {"F08 Host port no number", SLICE_INIT("GET / HTTP/1.1\r\nHost: localhost:80a\r\n\r\n"), HTTP1_E_HOST_SYNTAX, 400},
    {"F08 Host bracket open", SLICE_INIT("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), HTTP1_E_HOST_SYNTAX, 400},
    {"F08 Host bracket tail", SLICE_INIT("GET / HTTP/1.1\r\nHost: [::1]evil\r\n\r\n"), HTTP1_E_HOST_SYNTAX, 400},
    {"F08 Host bracket empty", SLICE_INIT("GET / HTTP/1.1\r\nHost: []\r\n\r\n"), HTTP1_E_HOST_SYNTAX, 400},
    {"F10 CL then coding", HEAD("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), HTTP1_E_LENGTH_AND_CODING, 400},
    {"F10 coding then CL", HEAD("transfer-encoding: chunked\r\ncontent-length: 5\r\n"), HTTP1_E_LENGTH_AND_CODING, 400},
    {"F10 CL and unknown coding", HEAD("Content-Length: 5\r\nTransfer-Encoding: x\r\n"), HTTP1_E_LENGTH_AND_CODING, 400},
    {"F11 two CL equal", HEAD("Content-Length: 5\r\nContent-Length: 5\r\n"), HTTP1_E_LENGTH_DUPLICATE, 400},
    {"F12 two CL differing", HEAD("Content-Length: 5\r\nContent-Length: 6\r\n"), HTTP1_E_LENGTH_DUPLICATE, 400},
    {"F13 CL plus", LENGTH(" +5"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL minus", LENGTH(" -1"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL trailing letters", LENGTH(" 5abc"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL empty", LENGTH(""), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL blank", LENGTH("  "), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL list equal", LENGTH(" 5,5"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL list", LENGTH(" 5, 6"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL hex", LENGTH(" 0x5"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL inner space", LENGTH(" 5 5"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL fraction", LENGTH(" 5.0"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL 2^63", LENGTH(" 9223372036854775808"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL 2^64", LENGTH(" 18446744073709551616"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL 2^64+5", LENGTH(" 18446744073709551621"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F13 CL 30 digits", LENGTH(" 100000000000000000000000000005"), HTTP1_E_LENGTH_SYNTAX, 400},
    {"F14 coding gzip, chunked", CODING(" gzip, chunked"), HTTP1_E_CODING, 501},
    {"F14 coding chunked, chunked", CODING(" chunked, chunked"), HTTP1_E_CODING, 501},
    {"F14 coding chunked twice", HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), HTTP1_E_CODING, 501},
    {"F14 coding xchunked", CODING(" xchunked"), HTTP1_E_CODING, 501},
    {"F14 coding chunked;q=1", CODING(" chunked;q=1"), HTTP1_E_CODING, 501},
    {"F14 coding quoted", CODING(" \"chunked\""), HTTP1_E_CODING, 501},
    {"F14 coding comma", CODING(" chunked,"), HTTP1_E_CODING, 501},
    {"F14 coding identity", CODING(" identity"), HTTP1_E_CODING, 501},
    {"F14 coding empty", CODING(""), HTTP1_E_CODING, 501},
    {"F14 coding high byte", CODING(" chunked\xa0"), HTTP1_E_CODING, 501},
    {"F14 coding vertical tab", CODING(" chunked\x0b"), HTTP1_E_CONTROL, 400},
    {"F14 coding on 1.0", SLICE_INIT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP1_E_CODING_VERSION, 400},
    {"F15 space before colon", HEAD("Content-Length : 5\r\n"), HTTP1_E_HEADER_NAME, 400},
    {"F15 tab before colon", HEAD("Content-Length\t: 5\r\n"), HTTP1_E_HEADER_NAME, 400},
    {"F15 space in name", HEAD("X Y: 5\r\n"), HTTP1_E_HEADER_NAME, 400},
    {"F15 no colon", HEAD("Accept\r\n"), HTTP1_E_HEADER_NAME, 400},
    {"F15 empty name", HEAD(": x\r\n"), HTTP1_E_HEADER_NAME, 400},
    {"F15 bracket in name", HEAD("a[b]: x\r\n"), HTTP1_E_HEADER_NAME, 400},
    {"F15 high byte in name", HEAD("a\xe9: x\r\n"), HTTP1_E_HEADER_NAME, 400},
    {"F16 obs-fold space", HEAD("X-A: b\r\n c\r\n"), HTTP1_E_OBS_FOLD, 400},
    {"F16 obs-fold tab", HEAD("X-A: b\r\n\tc\r\n"), HTTP1_E_OBS_FOLD, 400},
    {"F16 obs-fold first header", SLICE_INIT("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), HTTP1_E_OBS_FOLD, 400},
    {"F16 obs-fold blank", HEAD("X-A: b\r\n \r\n"), HTTP1_E_OBS_FOLD, 400},
    {"F17 bare LF after request line", SLICE_INIT("GET / HTTP/1.1\nHost: a\r\n\r\n"), HTTP1_E_LINE_END, 400},
    {"F17 bare LF after header", SLICE_INIT("GET / HTTP/1.1\r\nHost: a\n\r\n"), HTTP1_E_LINE_END, 400},
    {"F17 bare LF at end", SLICE_INIT("GET / HTTP/1.1\r\nHost: a\r\n\n"), HTTP1_E_LINE_END, 400},
    {"F17 bare LF all over", SLICE_INIT("GET / HTTP/1.1\nHost: a\n\n"), HTTP1_E_LINE_END, 400},
    {"F17 bare CR in value", HEAD("X-A: b\rX-B: c\r\n"), HTTP1_E_LINE_END, 400},
    {"F17 CR CR LF", HEAD("X-A: b\r\r\n"), HTTP1_E_LINE_END, 400},
    {"F17 bare CR in request line", SLICE_INIT("GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP1_E_LINE_END, 400},
    {"F17 LF first", SLICE_INIT("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP1_E_LINE_END, 400},
    {"F17 CR first", SLICE_INIT("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP1_E_LINE_END, 400},
    {"F17 CR CR LF after head", SLICE_INIT("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"), HTTP1_E_LINE_END, 400},
    {"F18 NUL in value", HEAD("X-A: b\0c\r\n"), HTTP1_E_CONTROL, 400},
    {"F18 NUL in name", HEAD("X\0A: b\r\n"), HTTP1_E_CONTROL, 400},
    {"F18 NUL in target", TARGET("/a\0b"), HTTP1_E_CONTROL, 400},
    {"F18 DEL in value", HEAD("X-A: 1234567890123456\x7f\r\n"), HTTP1_E_CONTROL, 400},
    {"F18 ESC in value", HEAD("X-A: \x1b[31m\r\n"), HTTP1_E_CONTROL, 400},
    {"F18 control in the ninth byte", HEAD("X-A: 12345678\x01\r\n"), HTTP1_E_CONTROL, 400},
    {"F18 control after a tab", HEAD("X-A: a\tb\x01" "cdefghij\r\n"), HTTP1_E_CONTROL, 400},
    {"F31 absolute-form", TARGET("http://localhost:7332/mcp"), HTTP1_E_TARGET_ABSOLUTE, 400},
    {"F31 absolute-form other scheme", TARGET("gopher://x"), HTTP1_E_TARGET_ABSOLUTE, 400},
    {"F31 authority-form", TARGET("localhost:7332"), HTTP1_E_TARGET_AUTHORITY, 400},
    {"F31 asterisk", SLICE_INIT("OPTIONS * HTTP/1.1" H11 "\r\n"), HTTP1_E_TARGET_ASTERISK, 400},
    {"F31 CONNECT", SLICE_INIT("CONNECT localhost:80 HTTP/1.1" H11 "\r\n"), HTTP1_E_CONNECT, 405},
    {"F31 CONNECT origin-form", SLICE_INIT("CONNECT / HTTP/1.1" H11 "\r\n"), HTTP1_E_CONNECT, 405},
    {"F31 no slash", TARGET("mcp?x"), HTTP1_E_TARGET, 400},
    {"F35 HTTP/2 preface", SLICE_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HTTP1_E_HTTP2, 505},
    {"F35 TLS hello", SLICE_INIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), HTTP1_E_TLS, 400},
    {"F35 SSLv2 hello", SLICE_INIT("\x80\x2e\x01\x03\x01"), HTTP1_E_METHOD, 400},
    {"F36 bad percent", TARGET("/mcp%zz"), HTTP1_E_TARGET, 400},
    {"F36 cut percent", TARGET("/mcp%2"), HTTP1_E_TARGET, 400},
    {"F36 fragment", TARGET("/mcp#a"), HTTP1_E_TARGET, 400},
    {"F36 backslash", TARGET("/mcp\\..\\x"), HTTP1_E_TARGET, 400},
    {"F36 quote in query", TARGET("/mcp?a=\"b\""), HTTP1_E_TARGET, 400},
    {"F36 raw UTF-8", TARGET("/m\xc3\xa9"), HTTP1_E_TARGET, 400},
    {"start: HTTP/0.9", SLICE_INIT("GET /mcp\r\n\r\n"), HTTP1_E_START_LINE, 400},
    {"start: method alone", SLICE_INIT("GET\r\n\r\n"), HTTP1_E_START_LINE, 400},
    {"start: two spaces", SLICE_INIT("GET  / HTTP/1.1" H11 "\r\n"), HTTP1_E_START_LINE, 400},
    {"start: space in target", TARGET("/a b"), HTTP1_E_START_LINE, 400},
    {"start: trailing space", SLICE_INIT("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), HTTP1_E_START_LINE, 400},
    {"start: tab for space", SLICE_INIT("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP1_E_METHOD, 400},
    {"start: leading space", SLICE_INIT(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP1_E_START_LINE, 400},
    {"start: two empty lines", SLICE_INIT("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP1_E_START_LINE, 400},
    {"start: lower-case version", SLICE_INIT("GET / http/1.1\r\nHost: a\r\n\r\n"), HTTP1_E_START_LINE, 400},
    {"start: JSON", SLICE_INIT("{\"jsonrpc\":\"2.0\"}\n"), HTTP1_E_METHOD, 400},
    {"start: method of 33 bytes", SLICE_INIT("ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC / HTTP/1.1" H11 "\r\n"), HTTP1_E_METHOD, 400},
    {"version 2.0", SLICE_INIT("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), HTTP1_E_VERSION, 505},
    {"version 1.2", SLICE_INIT("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), HTTP1_E_VERSION, 505},
    {"version 0.9", SLICE_INIT("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), HTTP1_E_VERSION, 505},
    {"version 1.10", SLICE_INIT("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), HTTP1_E_START_LINE, 400},
    {"version 1", SLICE_INIT("GET / HTTP/1\r\nHost: a\r\n\r\n"), HTTP1_E_START_LINE, 400},
    {"F30 other expectation", HEAD("Expect: 200-maybe\r\nContent-Length: 1\r\n"), HTTP1_E_EXPECT, 417},
    {"F30 list of expectations", HEAD("Expect: 100-continue, x\r\n"), HTTP1_E_EXPECT, 417},
};
/* clang-format on */

START_TEST(refuses)
{
    const struct refused *row = &refused[_i];
    struct buf dump = BUF_INIT;
    ssize_t rc = parse_every_way(row->in, &default_limits, &dump);

    ck_assert_msg(rc == (ssize_t)row->error, "%s: %zd (%s)", row->name, rc, http1_error_text(rc));
    ck_assert_msg(http1_error_status(rc) == row->status, "%s: status %u", row->name,
                  http1_error_status(rc));
    buf_done(&dump);
}
END_TEST

struct accepted {
    const char *name;
    struct slice in;
    enum http1_method method;
    const char *path, *query; /* query NULL: absent */
    enum http1_framing framing;
    uint64_t length;
    bool keep_alive, expect;
};

/* clang-format off */
static const struct accepted accepted[] = {
    {"plain GET", TARGET("/mcp"), HTTP1_GET, "/mcp", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"POST with length", LENGTH(" 17"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_LENGTH, 17, true, false},
    {"length without space", LENGTH("17"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_LENGTH, 17, true, false},
    {"length with OWS", LENGTH("\t 17 \t"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_LENGTH, 17, true, false},
    {"length 0", LENGTH(" 0"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_LENGTH, 0, true, false},
    {"F13 CL 2^63-1", LENGTH(" 9223372036854775807"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_LENGTH, INT64_MAX, true, false},
    {"length with zeros", LENGTH(" 00000000000000000000000000000007"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_LENGTH, 7, true, false},
    {"chunked", CODING(" chunked"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_CHUNKED, 0, true, false},
    {"F14 coding in capitals with OWS", CODING("\tCHUNKED "), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_CHUNKED, 0, true, false},
    {"one empty line first", SLICE_INIT("\r\nGET / HTTP/1.1" H11 "\r\n"), HTTP1_GET, "/", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"query", TARGET("/messages?sessionId=a-b&x=?/"), HTTP1_GET, "/messages", "sessionId=a-b&x=?/", HTTP1_BODY_NONE, 0, true, false},
    {"empty query", TARGET("/mcp?"), HTTP1_GET, "/mcp", "", HTTP1_BODY_NONE, 0, true, false},
    {"F36 traversal stays as it is", TARGET("/x/../mcp"), HTTP1_GET, "/x/../mcp", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"F36 percent stays as it is", TARGET("/%6dcp"), HTTP1_GET, "/%6dcp", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"F36 two slashes stay", TARGET("//mcp"), HTTP1_GET, "//mcp", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"F31 TRACE is the caller's to refuse", SLICE_INIT("TRACE / HTTP/1.1" H11 "\r\n"), HTTP1_TRACE, "/", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"methods are case-sensitive", SLICE_INIT("get / HTTP/1.1" H11 "\r\n"), HTTP1_OTHER_METHOD, "/", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"method of 32 bytes", SLICE_INIT("ABCDEFGHIJABCDEFGHIJABCDEFGHIJAB / HTTP/1.1" H11 "\r\n"), HTTP1_OTHER_METHOD, "/", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"DELETE", SLICE_INIT("DELETE /mcp HTTP/1.1" H11 "\r\n"), HTTP1_DELETE, "/mcp", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"close", HEAD("Connection: x, Close\r\n"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_NONE, 0, false, false},
    {"close beats keep-alive", HEAD("Connection: keep-alive\r\nConnection: close\r\n"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_NONE, 0, false, false},
    {"1.0 without Host", SLICE_INIT("GET / HTTP/1.0\r\n\r\n"), HTTP1_GET, "/", NULL, HTTP1_BODY_NONE, 0, false, false},
    {"1.0 keep-alive", SLICE_INIT("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), HTTP1_GET, "/", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"F30 expect", HEAD("Expect: 100-Continue\r\nContent-Length: 4\r\n"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_LENGTH, 4, true, true},
    {"F30 expect with chunks", HEAD("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_CHUNKED, 0, true, true},
    {"F30 expect without a body", HEAD("Expect: 100-continue\r\n"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"F30 expect on 1.0", SLICE_INIT("POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 4\r\n\r\n"), HTTP1_POST, "/", NULL, HTTP1_BODY_LENGTH, 4, false, false},
    {"empty Host", SLICE_INIT("GET / HTTP/1.1\r\nHost:\r\n\r\n"), HTTP1_GET, "/", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"IPv6 Host", SLICE_INIT("GET / HTTP/1.1\r\nHost: [::1]:7332\r\n\r\n"), HTTP1_GET, "/", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"tab and high bytes in value", HEAD("X-A: a\tb \xc3\xa9 c\x80\xff\r\n"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_NONE, 0, true, false},
    {"all token bytes in a name", HEAD("!#$%&'*+-.^_`|~09azAZ: x\r\n"), HTTP1_POST, "/mcp", NULL, HTTP1_BODY_NONE, 0, true, false},
};
/* clang-format on */

START_TEST(accepts)
{
    const struct accepted *row = &accepted[_i];
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request req;
    struct buf dump = BUF_INIT, piped = BUF_INIT, dump_piped = BUF_INIT;
    ssize_t rc = parse_every_way(row->in, &default_limits, &dump);

    ck_assert_msg(rc == (ssize_t)row->in.n, "%s: %zd (%s)", row->name, rc, http1_error_text(rc));
    rc = http1_parse_request(&scan, row->in, &default_limits, &req);
    ck_assert_int_eq(rc, (ssize_t)row->in.n);
    ck_assert_int_eq(req.method, row->method);
    ck_assert_msg(slice_is(req.path, row->path), "%s: path", row->name);
    ck_assert_msg((req.query.p != NULL) == (row->query != NULL), "%s: query", row->name);
    ck_assert(!row->query || slice_is(req.query, row->query));
    ck_assert_int_eq(req.framing, row->framing);
    ck_assert_uint_eq(req.content_length, row->length);
    ck_assert_msg(req.keep_alive == row->keep_alive, "%s: keep_alive", row->name);
    ck_assert_msg(req.expect_continue == row->expect, "%s: expect", row->name);

    /* Bytes after the head change nothing. */
    buf_append_slice(&piped, row->in);
    buf_append_str(&piped, "GET /other HTTP/1.1\r\nHost: evil\r\n\r\n");
    ck_assert_int_eq(parse_cut(buf_peek(&piped), &default_limits, buf_len(&piped), 1, &dump_piped),
                     (ssize_t)row->in.n);
    ck_assert(slice_eq(buf_peek(&dump), buf_peek(&dump_piped)));
    buf_done(&dump);
    buf_done(&piped);
    buf_done(&dump_piped);
}
END_TEST

START_TEST(garbage_fails_at_its_first_byte)
{
    static const char bad[] = "\x16\x80{[\"(\x7f\xff\t";

    for (size_t i = 0; i < sizeof(bad); i++) { /* the final NUL counts */
        struct http1_scan scan = HTTP1_SCAN_INIT;
        struct http1_request req;

        ck_assert_int_lt(http1_parse_request(&scan, slice_of(&bad[i], 1), &default_limits, &req),
                         0);
    }
}
END_TEST

/* F18: no control byte passes at any place of a value, and every other byte does. */
START_TEST(f18_every_byte_at_every_place_of_a_value)
{
    char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: abcdefghijklmnopqrstuvwxyz\r\n\r\n";
    char *value = strstr(text, "abc");

    for (unsigned at = 1; at < 25; at++) {
        for (unsigned c = 0; c < 256; c++) {
            struct http1_scan scan = HTTP1_SCAN_INIT;
            struct http1_request req;
            bool bad = (c < 0x20 && c != '\t') || c == 0x7f;
            ssize_t rc;

            value[at] = (char)c;
            rc =
                http1_parse_request(&scan, slice_of(text, sizeof(text) - 1), &default_limits, &req);
            ck_assert_msg((rc < 0) == bad, "byte %02x at %u: %zd", c, at, rc);
        }
        value[at] = 'x';
    }
}
END_TEST

START_TEST(a_tight_line_limit_counts_before_the_bytes_behind_it)
{
    const struct http1_limits tight = {64, 5, 4};
    struct buf dump = BUF_INIT;

    ck_assert_int_eq(parse_every_way(SLICE("ABCDEFGH\x01"), &tight, &dump),
                     HTTP1_E_TARGET_TOO_LONG);
    ck_assert_int_eq(parse_every_way(SLICE("ABCD\x01"), &tight, &dump), HTTP1_E_METHOD);
    buf_done(&dump);
}
END_TEST

START_TEST(incomplete_asks_for_more)
{
    struct slice in = SLICE("POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");

    for (size_t n = 0; n < in.n; n++) {
        struct buf dump = BUF_INIT;

        ck_assert_int_eq(parse_cut(slice_of(in.p, n), &default_limits, n, 1, &dump), 0);
        buf_done(&dump);
    }
}
END_TEST

static void append_repeated(struct buf *b, char c, size_t n)
{
    memset(buf_reserve(b, n), c, n);
    buf_added(b, n);
}

/* A line of n bytes without its CRLF. */
static ssize_t parse_with_line(size_t n, bool request_line, const struct http1_limits *limits)
{
    struct buf in = BUF_INIT, dump = BUF_INIT;
    size_t fixed = request_line ? strlen("GET / HTTP/1.1") : strlen("X: ");
    ssize_t rc;

    if (request_line) {
        buf_append_str(&in, "GET /");
        append_repeated(&in, 'a', n - fixed);
        buf_append_str(&in, " HTTP/1.1\r\nHost: a\r\n\r\n");
    } else {
        buf_append_str(&in, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
        append_repeated(&in, 'a', n - fixed);
        buf_append_str(&in, "\r\n\r\n");
    }
    rc = parse_every_way(buf_peek(&in), limits, &dump);
    rc = rc > 0 ? 1 : rc;
    buf_done(&in);
    buf_done(&dump);
    return rc;
}

START_TEST(f21_line_limits)
{
    const struct http1_limits limits = {4096, 200, 64};

    ck_assert_int_eq(parse_with_line(200, true, &limits), 1);
    ck_assert_int_eq(parse_with_line(201, true, &limits), HTTP1_E_TARGET_TOO_LONG);
    ck_assert_int_eq(parse_with_line(202, true, &limits), HTTP1_E_TARGET_TOO_LONG);
    ck_assert_int_eq(parse_with_line(200, false, &limits), 1);
    ck_assert_int_eq(parse_with_line(201, false, &limits), HTTP1_E_LINE_TOO_LONG);
    ck_assert_int_eq(parse_with_line(202, false, &limits), HTTP1_E_LINE_TOO_LONG);
    ck_assert_uint_eq(http1_error_status(HTTP1_E_TARGET_TOO_LONG), 414);
    ck_assert_uint_eq(http1_error_status(HTTP1_E_LINE_TOO_LONG), 431);
}
END_TEST

START_TEST(f21_head_limit)
{
    struct slice in = SLICE("GET / HTTP/1.1\r\nHost: a\r\nX-Fill: 123456\r\n\r\n");
    struct http1_limits limits = {in.n, 100, 64};
    struct buf dump = BUF_INIT;

    ck_assert_int_eq(parse_every_way(in, &limits, &dump), (ssize_t)in.n);
    for (size_t max = in.n - 1; max > 16; max--) {
        limits.max_head_bytes = max;
        buf_reset(&dump);
        ck_assert_int_eq(parse_every_way(in, &limits, &dump), HTTP1_E_HEAD_TOO_LARGE);
    }
    limits.max_head_bytes = 10;
    ck_assert_int_eq(parse_every_way(in, &limits, &dump), HTTP1_E_TARGET_TOO_LONG);
    ck_assert_uint_eq(http1_error_status(HTTP1_E_HEAD_TOO_LARGE), 431);
    buf_done(&dump);
}
END_TEST

static ssize_t parse_with_headers(unsigned count, unsigned max_headers)
{
    struct http1_limits limits = {65536, 8192, max_headers};
    struct buf in = BUF_INIT, dump = BUF_INIT;
    ssize_t rc;

    buf_append_str(&in, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 1; i < count; i++)
        buf_appendf(&in, "X-%u: %u\r\n", i, i);
    buf_append_str(&in, "\r\n");
    rc = parse_every_way(buf_peek(&in), &limits, &dump);
    buf_done(&in);
    buf_done(&dump);
    return rc > 0 ? 1 : rc;
}

START_TEST(f21_header_count)
{
    ck_assert_int_eq(parse_with_headers(64, 64), 1);
    ck_assert_int_eq(parse_with_headers(65, 64), HTTP1_E_TOO_MANY_HEADERS);
    ck_assert_int_eq(parse_with_headers(HTTP1_HEADERS_MAX, 100000), 1);
    ck_assert_int_eq(parse_with_headers(HTTP1_HEADERS_MAX + 1, 100000), HTTP1_E_TOO_MANY_HEADERS);
    ck_assert_int_eq(parse_with_headers(1, 0), HTTP1_E_TOO_MANY_HEADERS);
}
END_TEST

/* Takes one request with its body off *in; the path goes to out. */
static void take_request(struct slice *in, struct buf *out)
{
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request req;
    struct http1_body body;
    ssize_t n = http1_parse_request(&scan, *in, &default_limits, &req);

    ck_assert_msg(n > 0, "%zd (%s)", n, http1_error_text(n));
    buf_append_slice(out, req.path);
    http1_body_init(&body, req.framing, req.content_length);
    *in = slice_of(in->p + n, in->n - (size_t)n);
    while (!body.done) {
        size_t used;
        struct slice run;

        ck_assert_uint_gt(in->n, 0);
        ck_assert_int_eq(http1_body_feed(&body, *in, &used, &run), HTTP1_OK);
        *in = slice_of(in->p + used, in->n - used);
    }
}

START_TEST(f28_pipelined_requests_come_in_order)
{
    struct buf in = BUF_INIT, paths = BUF_INIT, expected = BUF_INIT;
    struct slice rest;

    for (unsigned i = 0; i < 100; i++) {
        buf_appendf(&in, "POST /%u HTTP/1.1\r\nHost: a\r\n", i);
        buf_append_str(&in, i % 2 ? "Content-Length: 3\r\n\r\nabc"
                                  : "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        buf_appendf(&expected, "/%u", i);
    }
    rest = buf_peek(&in);
    while (rest.n > 0)
        take_request(&rest, &paths);
    ck_assert(slice_eq(buf_peek(&paths), buf_peek(&expected)));
    buf_done(&in);
    buf_done(&paths);
    buf_done(&expected);
}
END_TEST

START_TEST(f29_request_inside_a_body_stays_body)
{
    struct slice in = SLICE("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\n"
                            "\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
                            "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    struct buf paths = BUF_INIT;

    while (in.n > 0)
        take_request(&in, &paths);
    ck_assert(slice_is(buf_peek(&paths), "/a/b"));
    buf_done(&paths);
}
END_TEST

START_TEST(header_lookup)
{
    struct slice in =
        SLICE("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nX-Empty:\r\n"
              "ACCEPT: application/json\r\nConnection: foo, \"close, x\" , Bar\r\n\r\n");
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request req;

    ck_assert_int_eq(http1_parse_request(&scan, in, &default_limits, &req), (ssize_t)in.n);
    ck_assert(slice_is(http1_header(&req.headers, "accept"), "text/event-stream"));
    ck_assert_uint_eq(http1_header_count(&req.headers, "Accept"), 2);
    ck_assert_ptr_nonnull(http1_header(&req.headers, "x-empty").p);
    ck_assert_uint_eq(http1_header(&req.headers, "x-empty").n, 0);
    ck_assert_ptr_null(http1_header(&req.headers, "x-none").p);
    ck_assert_uint_eq(http1_header_count(&req.headers, "x-none"), 0);
    ck_assert(http1_header_has_token(&req.headers, "connection", "bar"));
    ck_assert(!http1_header_has_token(&req.headers, "connection", "x"));
    ck_assert(req.keep_alive); /* "close" stands inside a quoted string only */
}
END_TEST

START_TEST(value_grammars)
{
    struct slice rest = SLICE(" , a;q=\"x,\\\",y\" ,, b,\tc \t,"), item;

    ck_assert(http1_list_next(&rest, &item) && slice_is(item, "a;q=\"x,\\\",y\""));
    ck_assert(http1_list_next(&rest, &item) && slice_is(item, "b"));
    ck_assert(http1_list_next(&rest, &item) && slice_is(item, "c"));
    ck_assert(!http1_list_next(&rest, &item));
    rest = SLICE("\"open\\");
    ck_assert(http1_list_next(&rest, &item) && slice_is(item, "\"open\\"));
    ck_assert(!http1_list_next(&rest, &item));

    ck_assert(
        slice_is(http1_media_type(SLICE(" application/json ; charset=utf-8")), "application/json"));
    ck_assert(slice_is(http1_media_type(SLICE("text/plain")), "text/plain"));
    ck_assert_uint_eq(http1_media_type((struct slice){0}).n, 0);

    ck_assert(
        slice_is(http1_query_get(SLICE("a=1&sessionId=x=y&sessionId=z"), "sessionId"), "x=y"));
    ck_assert_ptr_nonnull(http1_query_get(SLICE("a="), "a").p);
    ck_assert_uint_eq(http1_query_get(SLICE("a="), "a").n, 0);
    ck_assert_ptr_null(
        http1_query_get(SLICE("sessionIdx=1&xsessionId=1&sessionId"), "sessionId").p);
    ck_assert_ptr_null(http1_query_get((struct slice){0}, "a").p);
}
END_TEST

START_TEST(every_error_has_text_and_status)
{
    for (int e = HTTP1_E_START_LINE; e >= HTTP1_E_WRITE; e--) {
        ck_assert_msg(http1_error_status(e) >= 400, "error %d", e);
        ck_assert_msg(strlen(http1_error_text(e)) > 10, "error %d", e);
        ck_assert(http1_error_text(e)[strlen(http1_error_text(e)) - 1] != '.');
    }
    ck_assert_uint_eq(http1_error_status(HTTP1_OK), 0);
    ck_assert_uint_eq(http1_error_status(HTTP1_E_WRITE - 1), 400);
    ck_assert_uint_eq(http1_error_status(4711), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http1_request");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, refuses, 0, (int)ARRAY_LEN(refused));
    tcase_add_loop_test(t, accepts, 0, (int)ARRAY_LEN(accepted));
    tcase_add_test(t, garbage_fails_at_its_first_byte);
    tcase_add_test(t, f18_every_byte_at_every_place_of_a_value);
    tcase_add_test(t, a_tight_line_limit_counts_before_the_bytes_behind_it);
    tcase_add_test(t, incomplete_asks_for_more);
    tcase_add_test(t, f21_line_limits);
    tcase_add_test(t, f21_head_limit);
    tcase_add_test(t, f21_header_count);
    tcase_add_test(t, f28_pipelined_requests_come_in_order);
    tcase_add_test(t, f29_request_inside_a_body_stays_body);
    tcase_add_test(t, header_lookup);
    tcase_add_test(t, value_grammars);
    tcase_add_test(t, every_error_has_text_and_status);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
