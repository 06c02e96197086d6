/* Responses and messages as the load generator reads them: the same whatever pieces they arrive in,
 * long texts counted and not kept, and nothing taken for an answer that is none. */
#include "bench/load/http_reader.h"

#include "base/util.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define RESULT(id, text)                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"" text "\"}]}}"
#define PROGRESS                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":5,"  \
    "\"progress\":1}}"

static struct answer a;
static struct http_reader r;
/* What was read, as text: "r5/3" an answer to 5 with 3 bytes, "e5", "p5", "?", "bad", "." the end
 * of a response. */
static struct buf seen;

static void set_up(void)
{
    answer_reset(&a);
    http_reader_reset(&r);
    buf_reset(&seen);
}

static void tear_down(void)
{
    answer_done(&a);
    http_reader_done(&r);
    buf_done(&seen);
}

static void note_message(void)
{
    struct answer_view v;

    answer_read(&a, &v);
    switch (v.kind) {
    case ANSWER_RESULT:
        buf_appendf(&seen, "r%llu/%llu ", (unsigned long long)v.id,
                    (unsigned long long)v.text_bytes);
        break;
    case ANSWER_ERROR:
        buf_appendf(&seen, "e%llu ", (unsigned long long)v.id);
        break;
    case ANSWER_PROGRESS:
        buf_appendf(&seen, "p%llu ", (unsigned long long)v.id);
        break;
    case ANSWER_OTHER:
        buf_append_str(&seen, "? ");
        break;
    case ANSWER_BAD:
        buf_append_str(&seen, "bad ");
        break;
    }
    answer_reset(&a);
}

/* Feeds the text in pieces of `size` bytes, each in memory of its own, so that a sanitizer sees
 * whoever reads beyond. */
static void feed(struct slice text, size_t size)
{
    for (size_t at = 0; at < text.n; at += size) {
        size_t n = text.n - at < size ? text.n - at : size;
        char *piece = xmalloc(n);
        struct slice in = slice_of(piece, n);
        enum http_step step;

        memcpy(piece, text.p + at, n);
        while ((step = http_read(&r, &in, &a)) != HTTP_MORE) {
            if (step == HTTP_BAD) {
                buf_append_str(&seen, "no HTTP");
                free(piece);
                return;
            }
            if (step == HTTP_MESSAGE)
                note_message();
            else
                buf_append_str(&seen, ". ");
        }
        free(piece);
    }
}

static void check_seen(const char *expected)
{
    struct slice got = buf_peek(&seen);

    if (!slice_is(got, expected))
        ck_abort_msg("expected \"%s\", got \"%.*s\"", expected, (int)got.n, got.p);
}

/* In pieces of every size up to the whole. */
static void check(const char *text, const char *expected)
{
    size_t n = strlen(text);

    for (size_t size = 1; size <= n; size++) {
        set_up();
        feed(slice_of(text, n), size);
        check_seen(expected);
    }
}

START_TEST(plain_answers)
{
    check("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 76\r\n\r\n" RESULT(
              "5", "abc") "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
          "r5/3 . . ");
    ck_assert_uint_eq(sizeof(RESULT("5", "abc")) - 1, 76);
}
END_TEST

/* A head like the one before is not parsed again; what follows it is read all the same. */
START_TEST(equal_heads)
{
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 76\r\n\r\n"
    check(HEAD RESULT("5", "abc") HEAD RESULT("6", "abc") HEAD RESULT("7", "abd") HEAD RESULT(
              "8", "ab\"") "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                           "Content-Length: 90\r\n\r\ndata: " RESULT("9", "abc") "\n\n:   \n\n",
          "r5/3 . r6/3 . r7/3 . bad . r9/3 . ");
    set_up();
    r.wants_session = true; /* then it is looked at */
    feed(slice_str(HEAD RESULT("5", "abc") HEAD), 1000);
    ck_assert(!r.wants_session);
    check_seen("r5/3 . ");
}
END_TEST

START_TEST(chunked_answers)
{
    check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          "20\r\n{\"jsonrpc\":\"2.0\",\"id\":5,\"result\"\r\n3\r\n:{}\r\n1\r\n}\r\n0\r\n\r\n",
          "r5/0 . ");
}
END_TEST

START_TEST(event_streams)
{
    check("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
          "Connection: close\r\n\r\n"
          ": a comment\n\nid: 1\ndata: \n\nretry: 5\n\nevent: message\r\ndata: " PROGRESS
          "\r\n\r\ndata:" RESULT(
              "5", "abcd") "\nid: 3\n\ndata: {\"jsonrpc\":\"2.0\",\ndata: "
                           "\"id\":6,\"error\":{\"code\":1,\"message\":\"m\"}}\n\ndatum: 5\n\n",
          "p5 r5/4 e6 ");
    ck_assert_int_eq(http_read_end(&r, &a), HTTP_END);
    ck_assert(!r.keep_alive);
}
END_TEST

START_TEST(ends_of_connections)
{
    ck_assert_int_eq(http_read_end(&r, &a), HTTP_MORE);
    feed(slice_str("HTTP/1.1 200 OK\r\nContent-Le"), 100);
    ck_assert_int_eq(http_read_end(&r, &a), HTTP_BAD);
    set_up();
    feed(slice_str("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234"), 100);
    ck_assert_int_eq(http_read_end(&r, &a), HTTP_BAD);
    set_up();
    feed(slice_str("HTTP/1.1 200 OK\r\n\r\n" RESULT("8", "abc")), 7);
    ck_assert_int_eq(http_read_end(&r, &a), HTTP_MESSAGE);
    note_message();
    check_seen("r8/3 ");
}
END_TEST

START_TEST(session_ids_are_taken_when_wanted)
{
    const char *head = "HTTP/1.1 200 OK\r\nMcp-Session-Id: abc\r\nContent-Length: 0\r\n\r\n";

    feed(slice_str(head), 9);
    ck_assert_uint_eq(r.session_n, 0);
    r.wants_session = true;
    feed(slice_str(head), 9);
    ck_assert(slice_is(slice_of(r.session_id, r.session_n), "abc"));
    r.session_n = 0;
}
END_TEST

START_TEST(what_is_no_http)
{
    check("SSH-2.0-OpenSSH\r\n", "no HTTP");
}
END_TEST

/* ---- messages by themselves ---- */

static void read_message(struct slice text, size_t size)
{
    for (size_t at = 0; at < text.n; at += size)
        answer_feed(&a, slice_of(text.p + at, text.n - at < size ? text.n - at : size));
    note_message();
}

START_TEST(kinds_of_messages)
{
    static const struct {
        const char *text, *seen;
    } cases[] = {
        {RESULT("5", "abc"), "r5/3 "},
        {RESULT("123456", "abc"), "r123456/3 "}, /* by comparison with the first */
        {RESULT("12x", "abc"), "bad "},
        {RESULT("", "abc"), "bad "},
        {RESULT("-5", "abc"), "bad "},
        {RESULT("\"5\"", "abc"), "bad "},
        {RESULT("123456", "abd"), "r123456/3 "},
        {RESULT("5", "abc") "x", "bad "},
        {RESULT("5", "abc\"}]},\"id\":{\"x\":[{\"y\":\""), "bad "}, /* two ids */
        {"{\"result\":{\"content\":[{\"text\": \"abcd\"}]},\"jsonrpc\":\"2.0\",\"id\":7}", "r7/4 "},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32601,\"message\":\"m\"}}", "e7 "},
        {"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601,\"message\":\"m\"}}", "e0 "},
        {PROGRESS, "p5 "},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}", "? "},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", "? "},
        {"[]", "bad "},
        {"hello", "bad "},
        {"", "bad "},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(&seen);
        read_message(slice_str(cases[i].text), 3);
        check_seen(cases[i].seen);
    }
}
END_TEST

/* Texts around the size from which they are not kept, in pieces of several sizes. */
START_TEST(long_texts_are_counted_and_not_kept)
{
    static const size_t sizes[] = {1, 7, 511, 512, 513, 100000};
    struct buf text = BUF_INIT;
    char expected[32];

    for (size_t n = 400; n < 3000; n += n < 600 ? 1 : 97) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            buf_reset(&text);
            buf_append_str(&text,
                           "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{\"content\":[{\"type\":"
                           "\"text\",\"text\":\"");
            memset(buf_reserve(&text, n), 'x', n);
            buf_added(&text, n);
            buf_append_str(&text, "\"}]}}");
            buf_reset(&seen);
            read_message(buf_peek(&text), sizes[i]);
            snprintf(expected, sizeof(expected), "r77/%zu ", n);
            check_seen(expected);
        }
    }
    ck_assert_uint_lt(a.kept.cap, 2048);
    buf_done(&text);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("bench/http_reader");
    TCase *http = tcase_create("http"), *messages = tcase_create("messages");

    tcase_add_checked_fixture(http, set_up, tear_down);
    tcase_add_test(http, plain_answers);
    tcase_add_test(http, equal_heads);
    tcase_add_test(http, chunked_answers);
    tcase_add_test(http, event_streams);
    tcase_add_test(http, ends_of_connections);
    tcase_add_test(http, session_ids_are_taken_when_wanted);
    tcase_add_test(http, what_is_no_http);
    suite_add_tcase(s, http);
    tcase_add_checked_fixture(messages, set_up, tear_down);
    tcase_add_test(messages, kinds_of_messages);
    tcase_add_test(messages, long_texts_are_counted_and_not_kept);
    suite_add_tcase(s, messages);
    return s;
}

int main(void)
{
    SRunner *sr = srunner_create(suite());
    int failed;

    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
