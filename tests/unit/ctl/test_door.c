/* ctl/door: what the client and the daemon hear of each other over lost connections. */
#include "ctl/door.h"
#include "unit/ctl/ctl_test.h"

#include "base/util.h"

#define WAIT (30 * USEC_PER_SEC)

#define INIT                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"     \
    "\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}"
#define INIT_AGAIN(n)                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":\"mcpoolctl-" #n "\",\"method\":\"initialize\",\"params\":"       \
    "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\","      \
    "\"version\":\"1\"}}}\n"
#define RESULT(id, caps)                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"protocolVersion\":\"2025-11-25\","           \
    "\"capabilities\":" caps ",\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}"
#define INITIALIZED "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"
#define REQ(id, m)  "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" m "\"}"
#define CALL(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}"
#define EMPTY(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{}}"
#define SUBSCRIBE(id, uri)                                                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"" uri "\"}}"
#define CANCEL(id)                                                                                 \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":" id "}}"
#define MAYBE(id)                                                                                  \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"error\":{\"code\":-32603,\"message\":\"The connection to mcpool was lost while the "       \
    "request was in progress; it may or may not have been carried out: gone\",\"data\":"           \
    "{\"server\":\"s\",\"reason\":\"upstream_lost\",\"delivered\":\"maybe\","                      \
    "\"retryable\":false}}}\n"
#define FAILED(id, delivered, more)                                                                \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"error\":{\"code\":-32603,\"message\":\"mcpool cannot be reached: gone\",\"data\":"         \
    "{\"server\":\"s\",\"reason\":\"upstream_unavailable\",\"delivered\":\"" delivered             \
    "\",\"retryable\":" more "}}}\n"
#define SHUTTING_DOWN(id)                                                                          \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"error\":{\"code\":-32603,\"message\":\"mcpool is shutting down\",\"data\":{\"reason\":"    \
    "\"shutting_down\",\"delivered\":\"no\",\"retryable\":true}}}"

static struct door *d;
static usec_t now;

static void setup(void)
{
    static const struct door_limits limits = {.wait = WAIT, .depth_max = 64, .max_batch = 8};
    d = door_new(&limits, "s");
    now = 1000 * USEC_PER_SEC;
}

static void teardown(void)
{
    door_free(d);
}

static void client(const char *line)
{
    door_on_client(d, slice_str(line), now);
}

static void server(const char *line)
{
    door_on_server(d, slice_str(line), now);
}

/* The client has heard exactly this. */
static void heard(const char *lines)
{
    ck_assert_str_eq(taken(door_to_client(d)), lines);
}

/* Writes at most n bytes for the daemon; what was written. */
static const char *write_some(size_t n)
{
    static char text[8192];
    size_t len = 0;
    for (;;) {
        struct slice s = door_to_server(d);
        size_t some = s.n < n - len ? s.n : n - len;
        if (some == 0)
            break;
        ck_assert_uint_lt(len + some, sizeof(text));
        memcpy(text + len, s.p, some);
        len += some;
        door_written(d, some);
    }
    text[len] = '\0';
    return text;
}

/* The daemon is given exactly this. */
static void said(const char *lines)
{
    ck_assert_str_eq(write_some(8000), lines);
}

static void lose(void)
{
    door_on_lost(d, "gone", now, now);
}

/* A session, with a connection. */
static void begin(const char *capabilities)
{
    struct buf b = BUF_INIT;
    client(INIT);
    ck_assert(door_wants_connection(d));
    door_on_connected(d);
    said(INIT "\n");
    buf_appendf(&b, RESULT("0", "%s"), capabilities);
    door_on_server(d, buf_peek(&b), now);
    buf_append_str(&b, "\n");
    heard(taken(&b));
    client(INITIALIZED);
    said(INITIALIZED "\n");
}

START_TEST(nobody_is_called_for_a_probe)
{
    ck_assert(!door_wants_connection(d));
    client(REQ("1", "ping"));
    heard(EMPTY("1") "\n");
    client(REQ("\"a\"", "server/discover"));
    heard("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32601,\"message\":\"Method not "
          "found\"}}\n");
    client(INITIALIZED);
    client(CANCEL("1"));
    client(EMPTY("1"));
    heard("");
    ck_assert(!door_wants_connection(d));
    door_on_client_end(d);
    ck_assert(door_is_finished(d));
}
END_TEST

START_TEST(a_session_is_made_again_unseen)
{
    begin("{\"tools\":{\"listChanged\":true},\"prompts\":{},\"resources\":{\"listChanged\":true}}");
    client(SUBSCRIBE("5", "x://1"));
    client("{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"logging/setLevel\",\"params\":{\"level\":"
           "\"error\"}}");
    client(SUBSCRIBE("7", "x://refused"));
    write_some(8000);
    server(EMPTY("5"));
    server(EMPTY("6"));
    server("{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":1,\"message\":\"no\"}}");
    taken(door_to_client(d));
    lose();
    ck_assert(door_wants_connection(d));
    client(CALL("8"));
    said("");
    door_on_connected(d);
    said(INIT_AGAIN(1)); /* and nothing before it was answered */
    server(RESULT("\"mcpoolctl-1\"", "{}"));
    heard("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n"
          "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/list_changed\"}\n");
    said(INITIALIZED
         "\n"
         "{\"jsonrpc\":\"2.0\",\"id\":\"mcpoolctl-3\",\"method\":\"logging/setLevel\","
         "\"params\":{\"level\":\"error\"}}\n"
         "{\"jsonrpc\":\"2.0\",\"id\":\"mcpoolctl-2\",\"method\":\"resources/subscribe\","
         "\"params\":{\"uri\":\"x://1\"}}\n" CALL("8") "\n");
    server(EMPTY("\"mcpoolctl-3\""));
    heard("");
    server(EMPTY("\"mcpoolctl-2\""));
    heard("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/"
          "updated\",\"params\":{\"uri\":\"x://1\"}}\n");
    server(EMPTY("8"));
    heard(EMPTY("8") "\n");
    server(EMPTY("8"));
    heard(""); /* never two answers */
}
END_TEST

START_TEST(what_was_sent_is_failed_or_sent_again)
{
    begin("{}");
    client(CALL("1"));
    client(REQ("2", "tools/list"));
    client(REQ("\"x\"", "vendor/own"));
    said(CALL("1") "\n" REQ("2", "tools/list") "\n" REQ("\"x\"", "vendor/own") "\n");
    client(CALL("4"));
    client(CALL("5"));
    ck_assert_str_eq(write_some(10), "{\"jsonrpc\"");
    lose();
    heard(MAYBE("\"x\"") MAYBE("1"));
    door_on_connected(d);
    said(INIT_AGAIN(1));
    server(RESULT("\"mcpoolctl-1\"", "{}"));
    said(INITIALIZED "\n" REQ("2", "tools/list") "\n" CALL("4") "\n" CALL("5") "\n");
    lose(); /* a read is sent again once */
    heard(MAYBE("5") MAYBE("4") MAYBE("2"));
}
END_TEST

START_TEST(a_message_without_its_line_end_counts_as_sent)
{
    begin("{}");
    client(CALL("1"));
    write_some(strlen(CALL("1")) - 1);
    lose();
    heard("");
    door_on_connected(d);
    said(INIT_AGAIN(1));
    server(RESULT("\"mcpoolctl-1\"", "{}"));
    ck_assert_str_eq(write_some(strlen(INITIALIZED "\n" CALL("1"))), INITIALIZED "\n" CALL("1"));
    lose();
    heard(MAYBE("1"));
}
END_TEST

START_TEST(waiting_has_an_end)
{
    begin("{}");
    client(REQ("1", "tools/list"));
    write_some(8000);
    lose();
    client(CALL("2"));
    ck_assert_uint_eq(door_next_due(d), now + WAIT);
    now += WAIT - 1;
    door_on_time(d, now);
    heard("");
    now += 1;
    door_on_time(d, now);
    heard(FAILED("1", "maybe", "false") FAILED("2", "no", "true"));
    ck_assert_uint_eq(door_next_due(d), USEC_NEVER);
    client(CALL("3"));
    door_on_lost(d, "gone", now, now + 5 * USEC_PER_SEC);
    now += WAIT;
    door_on_lost(d, "gone", now, now + 1500);
    door_on_time(d, now);
    heard(FAILED("3", "no", "true,\"retryAfterMs\":2"));
}
END_TEST

START_TEST(a_daemon_that_shuts_down_puts_requests_off)
{
    begin("{}");
    client(CALL("1"));
    client(CALL("2"));
    write_some(8000);
    server(SHUTTING_DOWN("2"));
    heard("");
    client(CALL("3"));
    client(CANCEL("7"));
    said("");
    ck_assert(!door_wants_close(d)); /* 1 is still running there */
    server(EMPTY("1"));
    heard(EMPTY("1") "\n");
    ck_assert(door_wants_close(d));
    lose();
    heard("");
    door_on_connected(d);
    said(INIT_AGAIN(1));
    server(SHUTTING_DOWN("\"mcpoolctl-1\""));
    ck_assert(door_wants_close(d));
    lose();
    door_on_connected(d);
    said(INIT_AGAIN(2));
    server(RESULT("\"mcpoolctl-2\"", "{}"));
    said(INITIALIZED "\n" CALL("2") "\n" CALL("3") "\n");
    for (int i = 0; i < 2; i++) { /* and not for ever */
        server(SHUTTING_DOWN("2"));
        heard("");
        lose();
        heard(i == 0 ? MAYBE("3") : "");
        door_on_connected(d);
        write_some(8000);
        server(i == 0 ? RESULT("\"mcpoolctl-3\"", "{}") : RESULT("\"mcpoolctl-4\"", "{}"));
        said(INITIALIZED "\n" CALL("2") "\n");
    }
    server(SHUTTING_DOWN("2"));
    heard(SHUTTING_DOWN("2") "\n");
}
END_TEST

START_TEST(a_refused_session_is_asked_for_again_and_its_reason_told)
{
    begin("{}");
    client(CALL("1"));
    lose();
    door_on_connected(d);
    write_some(8000);
    server(
        "{\"jsonrpc\":\"2.0\",\"id\":\"mcpoolctl-1\",\"error\":{\"code\":-32603,\"message\":\"no "
        "\\\"server\\\"\"}}");
    ck_assert(door_wants_close(d));
    ck_assert(!door_has_answer(d));
    lose();
    now += WAIT;
    door_on_time(d, now);
    const char *text = taken(door_to_client(d));
    ck_assert_ptr_nonnull(strstr(text, "it did not go on with the session: no \\\"server\\\""));
    ck_assert_ptr_nonnull(strstr(text, "\"delivered\":\"no\""));
    ck_assert(door_wants_connection(d));
}
END_TEST

START_TEST(the_first_initialize_may_take_several_connections)
{
    client(INIT);
    door_on_connected(d);
    said(INIT "\n");
    lose();
    heard("");
    ck_assert(door_wants_connection(d));
    door_on_connected(d);
    said(INIT "\n");
    server("{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":1,\"message\":\"no\"}}");
    heard("{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":1,\"message\":\"no\"}}\n");
    lose();
    ck_assert(!door_wants_connection(d)); /* there is nothing to keep */
    client(REQ("1", "ping"));
    heard(EMPTY("1") "\n");
    begin("{}");
}
END_TEST

START_TEST(questions_have_numbers_of_their_own)
{
    begin("{}");
    server("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\",\"params\":{\"_meta\":"
           "{\"progressToken\":9}}}");
    heard("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\",\"params\":{\"_meta\":"
          "{\"progressToken\":1}}}\n");
    server(REQ("1", "roots/list")); /* mad, but each gets its answer */
    heard(REQ("2", "roots/list") "\n");
    client("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
           "{\"progressToken\":1,\"progress\":1}}");
    client(EMPTY("1"));
    client(EMPTY("1"));
    said("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
         "{\"progressToken\":9,\"progress\":1}}\n" EMPTY("1") "\n");
    client(EMPTY("\"2\""));
    said(""); /* another id */
    lose();
    heard("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":2,"
          "\"reason\":\"The connection to mcpool was lost\"}}\n");
    door_on_connected(d);
    said(INIT_AGAIN(3));
    server(RESULT("\"mcpoolctl-3\"", "{}"));
    write_some(8000);
    server(REQ("1", "roots/list"));
    heard(REQ("4", "roots/list") "\n");
    client(EMPTY("2"));
    said("");
    server(CANCEL("1"));
    heard(CANCEL("4") "\n");
    client(EMPTY("4"));
    said("");
}
END_TEST

START_TEST(answers_that_were_not_written_die_with_their_connection)
{
    begin("{}");
    server(REQ("1", "roots/list"));
    heard(REQ("1", "roots/list") "\n");
    client(EMPTY("1"));
    lose();
    heard("");
    door_on_connected(d);
    write_some(8000);
    server(RESULT("\"mcpoolctl-2\"", "{}"));
    said(INITIALIZED "\n");
}
END_TEST

START_TEST(cancelled_requests_are_not_answered)
{
    begin("{}");
    client(CALL("1"));
    client(CALL("2"));
    client(CALL("3"));
    client(CANCEL("3")); /* the daemon never hears of it */
    write_some(strlen(CALL("1") "\n") + 5);
    client(CANCEL("1"));
    client(CANCEL("2"));
    client(CANCEL("9"));
    client(CANCEL("0"));
    struct buf b = BUF_INIT;
    buf_append_str(&b, CALL("2") "\n");
    buf_consume(&b, 5);
    buf_append_str(&b, CANCEL("1") "\n" CANCEL("2") "\n");
    said(taken(&b));
    server(EMPTY("1"));
    lose();
    heard("");
    door_on_client_end(d);
    ck_assert(door_is_finished(d));
}
END_TEST

START_TEST(the_end_waits_for_answers)
{
    begin("{}");
    client(CALL("1"));
    door_on_client_end(d);
    ck_assert(!door_is_finished(d));
    ck_assert(!door_is_drained(d));
    write_some(8000);
    ck_assert(door_is_drained(d));
    ck_assert(!door_is_finished(d));
    lose();
    ck_assert(door_is_finished(d));
    ck_assert(!door_wants_connection(d));
    heard(MAYBE("1"));
}
END_TEST

START_TEST(batches_are_taken_apart_where_they_are_known)
{
    begin("{}");
    client("[" REQ("1", "ping") "]");
    ck_assert_ptr_nonnull(strstr(taken(door_to_client(d)), "batches are not supported"));
    client("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\"}");
    said("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\"}\n");
    teardown();
    setup();
    client(INIT);
    door_on_connected(d);
    write_some(8000);
    server("{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-03-26\","
           "\"capabilities\":{},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}");
    taken(door_to_client(d));
    client("[" REQ("1", "ping") ",7," REQ("2", "ping") "]");
    said(REQ("1", "ping") "\n" REQ("2", "ping") "\n");
    heard("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"Invalid Request\"}}\n");
    client("[1,2,3,4,5,6,7,8,9]");
    ck_assert_ptr_nonnull(strstr(taken(door_to_client(d)), "not of this size"));
}
END_TEST

START_TEST(nothing_is_read_while_much_waits)
{
    char big[600 * 1024];
    struct buf b = BUF_INIT;
    begin("{}");
    memset(big, 'x', sizeof(big));
    buf_append_str(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":{\"x\":\"");
    buf_append(&b, big, sizeof(big));
    buf_append_str(&b, "\"}}");
    door_on_client(d, buf_peek(&b), now);
    ck_assert(door_reads_client(d));
    door_on_client(d, buf_peek(&b), now);
    ck_assert(!door_reads_client(d));
    ck_assert(door_reads_server(d));
    door_on_server(d, buf_peek(&b), now);
    door_on_server(d, buf_peek(&b), now);
    ck_assert(!door_reads_server(d));
    buf_reset(door_to_client(d));
    for (struct slice s; (s = door_to_server(d)).n > 0;)
        door_written(d, s.n);
    ck_assert(door_reads_client(d));
    lose(); /* notifications do not wait for ever either, or the end would never be read */
    door_on_client(d, buf_peek(&b), now);
    door_on_client(d, buf_peek(&b), now);
    ck_assert(!door_reads_client(d));
    now += WAIT;
    door_on_time(d, now);
    ck_assert(door_reads_client(d));
    heard("");
    buf_done(&b);
}
END_TEST

START_TEST(what_is_too_large_is_answered)
{
    begin("{}");
    client(CALL("1"));
    write_some(8000);
    door_on_server_oversize(d, SLICE("1"));
    const char *text = taken(door_to_client(d));
    ck_assert_ptr_nonnull(strstr(text, "\"id\":1,\"error\""));
    ck_assert_ptr_nonnull(
        strstr(text, "\"reason\":\"response_too_large\",\"delivered\":\"maybe\""));
    server(EMPTY("1"));
    heard("");
    door_on_server_oversize(d, SLICE("5"));
    door_on_server_oversize(d, slice_of("", 0));
    heard("");
    door_on_client_oversize(d, SLICE("9"));
    ck_assert_ptr_nonnull(strstr(taken(door_to_client(d)), "\"id\":9,\"error\":{\"code\":-32600"));
}
END_TEST

static const char *const junk[] = {
    "",
    "7",
    "null",
    "{}",
    "[]",
    "[[]]",
    "{\"jsonrpc\":\"2.0\"}",
    "\xff",
    "{\"jsonrpc\":\"2.0\",\"id\":1}",
    "{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":1}",
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":1}",
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":1,\"error\":{}}",
    "{\"jsonrpc\":\"2.0\",\"method\":\"x\"",
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":{}}}",
};

START_TEST(junk_of_the_daemon_goes_nowhere)
{
    begin("{}");
    client(CALL("1"));
    write_some(8000);
    server(junk[_i]);
    heard("");
    said("");
    server(EMPTY("1"));
    heard(EMPTY("1") "\n");
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, nobody_is_called_for_a_probe);
    tcase_add_test(tc, a_session_is_made_again_unseen);
    tcase_add_test(tc, what_was_sent_is_failed_or_sent_again);
    tcase_add_test(tc, a_message_without_its_line_end_counts_as_sent);
    tcase_add_test(tc, waiting_has_an_end);
    tcase_add_test(tc, a_daemon_that_shuts_down_puts_requests_off);
    tcase_add_test(tc, a_refused_session_is_asked_for_again_and_its_reason_told);
    tcase_add_test(tc, the_first_initialize_may_take_several_connections);
    tcase_add_test(tc, questions_have_numbers_of_their_own);
    tcase_add_test(tc, answers_that_were_not_written_die_with_their_connection);
    tcase_add_test(tc, cancelled_requests_are_not_answered);
    tcase_add_test(tc, the_end_waits_for_answers);
    tcase_add_test(tc, batches_are_taken_apart_where_they_are_known);
    tcase_add_test(tc, nothing_is_read_while_much_waits);
    tcase_add_test(tc, what_is_too_large_is_answered);
    tcase_add_loop_test(tc, junk_of_the_daemon_goes_nowhere, 0, (int)ARRAY_LEN(junk));
}

int main(void)
{
    return run_cases("ctl/door", add);
}
