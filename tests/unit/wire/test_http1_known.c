/* Known fields: which names they are, where their lines stand, and that a head's lines are told
 * apart the same wherever a control byte stands in them. */
#include "base/util.h"
#include "wire/http1.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const struct http1_limits limits = {16384, 8192, 64};

static const struct {
    const char *name;
    enum http1_field field;
} known[] = {
    {"accept", HTTP1_F_ACCEPT},
    {"authorization", HTTP1_F_AUTHORIZATION},
    {"connection", HTTP1_F_CONNECTION},
    {"content-encoding", HTTP1_F_CONTENT_ENCODING},
    {"content-length", HTTP1_F_CONTENT_LENGTH},
    {"content-type", HTTP1_F_CONTENT_TYPE},
    {"expect", HTTP1_F_EXPECT},
    {"host", HTTP1_F_HOST},
    {"last-event-id", HTTP1_F_LAST_EVENT_ID},
    {"mcp-method", HTTP1_F_MCP_METHOD},
    {"mcp-name", HTTP1_F_MCP_NAME},
    {"mcp-protocol-version", HTTP1_F_MCP_PROTOCOL_VERSION},
    {"mcp-session-id", HTTP1_F_MCP_SESSION_ID},
    {"origin", HTTP1_F_ORIGIN},
    {"transfer-encoding", HTTP1_F_TRANSFER_ENCODING},
};

static bool is_token_byte(int c)
{
    return isalnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

/* Every spelling is the field, and with any one byte exchanged it is another one. */
START_TEST(names_are_told_apart)
{
    const char *name = known[_i].name;
    size_t n = strlen(name);
    char text[32];

    ck_assert_uint_eq(ARRAY_LEN(known), HTTP1_F_COUNT - 1);
    ck_assert_int_eq(http1_field_of(slice_str(name)), known[_i].field);
    for (size_t i = 0; i < n; i++) {
        memcpy(text, name, n);
        for (int c = 0; c < 128; c++) {
            bool same = tolower(c) == name[i];

            text[i] = (char)c;
            if (is_token_byte(c))
                ck_assert_msg((http1_field_of(slice_of(text, n)) == known[_i].field) == same,
                              "%.*s", (int)n, text);
        }
    }
    memcpy(text, name, n);
    text[n] = 's';
    ck_assert_int_eq(http1_field_of(slice_of(text, n + 1)), HTTP1_F_OTHER);
    ck_assert_int_eq(http1_field_of(slice_of(text, n - 1)), HTTP1_F_OTHER);
    ck_assert_int_eq(http1_field_of(slice_of(text + 1, n)), HTTP1_F_OTHER);
}
END_TEST

START_TEST(lines_of_a_field)
{
    struct slice in = SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: 0\r\nACCEPT: 1\r\nOrigin:\r\n"
                            "accept: 2\r\nX: 3\r\nAccept: 4\r\n\r\n");
    const uint32_t accept = HTTP1_BIT(HTTP1_F_ACCEPT), origin = HTTP1_BIT(HTTP1_F_ORIGIN);
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request req;
    const struct http1_headers *h = &req.headers;

    memset(&req, 0xa5, sizeof(req));
    ck_assert_int_eq(http1_parse_request(&scan, in, &limits, &req), (ssize_t)in.n);
    ck_assert(slice_is(http1_value(h, HTTP1_F_ACCEPT), "1"));
    ck_assert_uint_eq(http1_next(h, HTTP1_F_ACCEPT, 0), 2);
    ck_assert_uint_eq(http1_next(h, HTTP1_F_ACCEPT, 2), 2);
    ck_assert_uint_eq(http1_next(h, HTTP1_F_ACCEPT, 3), 4);
    ck_assert_uint_eq(http1_next(h, HTTP1_F_ACCEPT, 5), 6);
    ck_assert_uint_eq(http1_next(h, HTTP1_F_ACCEPT, 7), h->count);
    ck_assert(http1_value(h, HTTP1_F_ORIGIN).p && http1_value(h, HTTP1_F_ORIGIN).n == 0);
    ck_assert_uint_eq(http1_next(h, HTTP1_F_ORIGIN, 3), 3);
    ck_assert_uint_eq(http1_next(h, HTTP1_F_ORIGIN, 4), h->count);
    ck_assert_ptr_null(http1_value(h, HTTP1_F_EXPECT).p);
    ck_assert_uint_eq(http1_next(h, HTTP1_F_EXPECT, 0), h->count);
    ck_assert(http1_repeats(h, accept | origin) && http1_repeats(h, accept));
    ck_assert(!http1_repeats(h, origin | HTTP1_BIT(HTTP1_F_HOST) | HTTP1_BIT(HTTP1_F_EXPECT)));
}
END_TEST

/* A head that came in pieces is told apart as a whole: what the first pieces had is not counted
 * twice. */
START_TEST(pieces_are_counted_once)
{
    struct slice in = SLICE("GET / HTTP/1.1\r\nHost: a\r\nOrigin: x\r\nMcp-Name: y\r\n\r\n");
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request req;

    for (size_t n = 1; n < in.n; n++) {
        memset(&req, 0xa5, sizeof(req));
        ck_assert_int_eq(http1_parse_request(&scan, slice_of(in.p, n), &limits, &req), 0);
    }
    memset(&req, 0xa5, sizeof(req));
    ck_assert_int_eq(http1_parse_request(&scan, in, &limits, &req), (ssize_t)in.n);
    ck_assert(!http1_repeats(&req.headers, UINT32_MAX));
    ck_assert_uint_eq(req.headers.seen, HTTP1_BIT(HTTP1_F_HOST) | HTTP1_BIT(HTTP1_F_ORIGIN) |
                                            HTTP1_BIT(HTTP1_F_MCP_NAME));
    ck_assert(slice_is(http1_value(&req.headers, HTTP1_F_MCP_NAME), "y"));
}
END_TEST

/* What a header line "name: value" with that byte in it must give; 0: it is accepted. */
static int verdict(int c, bool in_value)
{
    if (c == '\r' || c == '\n')
        return HTTP1_E_LINE_END;
    if (in_value)
        return (c < 0x20 && c != '\t') || c == 0x7f ? HTTP1_E_CONTROL : 0;
    if (is_token_byte(c) || c == ':')
        return 0;
    return (c < 0x20 && c != '\t') || c == 0x7f ? HTTP1_E_CONTROL : HTTP1_E_HEADER_NAME;
}

/* Each byte at each place of a line longer than two blocks, with much, little and nothing behind
 * it. */
START_TEST(any_byte_anywhere)
{
    static const char line[] = "Mcp-Very-Long-Name-Of-A-Field: and-a-value-of-more-than-two-blocks";
    const size_t value_at = sizeof("Mcp-Very-Long-Name-Of-A-Field:") - 1;
    const size_t begin = sizeof("GET / HTTP/1.1\r\nHost: a\r\n") - 1;
    char text[256];

    for (size_t at = 1; at < sizeof(line) - 2; at++) {
        if (at == value_at - 1)
            continue;
        for (int c = 0; c < 256; c++) {
            struct http1_scan scan = HTTP1_SCAN_INIT;
            struct http1_request req;
            size_t n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n%s",
                                        line, _i == 0 ? "X: 0123456789012345\r\n\r\n" : "\r\n");
            char *in = xmalloc(n);
            int want = verdict(c, at >= value_at);

            text[begin + at] = (char)c;
            memcpy(in, text, n);
            ssize_t got = http1_parse_request(&scan, slice_of(in, n), &limits, &req);
            ck_assert_msg(got == (want ? want : (ssize_t)n), "byte %d at %zu: %zd, not %d", c, at,
                          got, want);
            free(in);
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http1_known");
    TCase *tc = tcase_create("http1_known");
    tcase_add_loop_test(tc, names_are_told_apart, 0, ARRAY_LEN(known));
    tcase_add_test(tc, lines_of_a_field);
    tcase_add_test(tc, pieces_are_counted_once);
    tcase_add_loop_test(tc, any_byte_anywhere, 0, 2);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
