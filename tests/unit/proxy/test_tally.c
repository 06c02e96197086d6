/* What the proxy counts: how calls end, how long they take, and the oddities of servers. */
#include "clients.h"

#include "upstream/server.h"

static struct metrics *of_server(void)
{
    return route_at(w.proxy, 0)->server->metrics;
}

static uint64_t calls(enum metric_outcome o)
{
    return metrics_get(of_server(), METRIC_CALLS, o);
}

static uint64_t failures(enum reason why)
{
    return metrics_get(of_server(), METRIC_CALL_FAILURES, why);
}

static uint64_t answer(const char *what)
{
    uint64_t up = id_of(fake_read(w.fakes));
    fake_say(w.fakes, "{\"jsonrpc\":\"2.0\",\"id\":%llu,%s}", (unsigned long long)up, what);
    turn();
    return up;
}

static void start(const char *top)
{
    world_new(NULL, top);
    proxy_start(w.proxy);
    turn();
    open_ready(&a, NULL);
}

static void end(void)
{
    client_close(&a);
    world_end();
}

#define RESULT "\"result\":{}"
#define ERROR  "\"error\":{\"code\":1,\"message\":\"no\"}"

START_TEST(calls_are_counted_by_their_outcome)
{
    start(",\"resilience\":{\"call_timeout\":10}");
    uint64_t results = calls(METRIC_OUTCOME_RESULT); /* the initialize */
    ck_assert_uint_eq(results, 1);
    client_say(&a, CALL("1"));
    answer(RESULT);
    ck_assert_uint_eq(calls(METRIC_OUTCOME_RESULT), results + 1);
    client_say(&a, CALL("2"));
    answer(ERROR);
    ck_assert_uint_eq(calls(METRIC_OUTCOME_ERROR), 1);
    client_say(&a, CALL("3"));
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                   "\"requestId\":3}}");
    ck_assert_uint_eq(calls(METRIC_OUTCOME_CANCELLED), 1);
    client_say(&a, CALL("4"));
    pass(10 * USEC_PER_SEC);
    ck_assert_uint_eq(calls(METRIC_OUTCOME_FAILED), 1);
    ck_assert_uint_eq(failures(REASON_TIMEOUT), 1);
    ck_assert_uint_eq(metrics_sum(of_server(), METRIC_CALL_FAILURES), 1);
    ck_assert_uint_eq(metrics_sum(of_server(), METRIC_CALLS), results + 4);
    /* initialize was not sent to the server */
    ck_assert_uint_eq(metrics_sum(of_server(), METRIC_CALL_DURATION), 4);
    end();
}
END_TEST

START_TEST(what_mcpool_sends_of_its_own_accord_is_no_call)
{
    static const char subscribe[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/"
                                    "subscribe\",\"params\":{\"uri\":\"f:///x\"}}";
    start(NULL);
    uint64_t before = metrics_sum(of_server(), METRIC_CALLS);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/setLevel\",\"params\":{"
                   "\"level\":\"info\"}}");
    answer(RESULT);
    ck_assert_uint_eq(metrics_sum(of_server(), METRIC_CALLS), before + 1); /* the client's */
    client_say(&a, subscribe);
    answer(ERROR);
    ck_assert_uint_eq(metrics_sum(of_server(), METRIC_CALLS), before + 2);
    ck_assert_uint_eq(calls(METRIC_OUTCOME_ERROR), 1);
    route_at(w.proxy, 0)->server->user->probe(w.fakes->arg);
    const char *ping = w.fakes->got[w.fakes->got_n - 1];
    ck_assert_has(ping, "\"method\":\"ping\"");
    fake_say(w.fakes, "{\"jsonrpc\":\"2.0\",\"id\":%llu," RESULT "}",
             (unsigned long long)id_of(ping));
    ck_assert_uint_eq(metrics_sum(of_server(), METRIC_CALLS), before + 2);
    ck_assert_uint_eq(metrics_get(of_server(), METRIC_LATE_ANSWERS, 0), 0);
    end();
}
END_TEST

START_TEST(waits_and_durations_are_told_apart)
{
    char page[65536];
    start(",\"resilience\":{\"max_connections\":1,\"queue_timeout\":60}");
    w.fakes->pending = CONN_PENDING_HIGH + 1;
    client_say(&a, CALL("1"));
    pass(7 * USEC_PER_SEC);
    w.fakes->pending = 0;
    w.fakes->ev->on_drain(w.fakes->arg);
    turn();
    uint64_t up = id_of(fake_read(w.fakes));
    pass(3 * USEC_PER_SEC);
    fake_say(w.fakes, "{\"jsonrpc\":\"2.0\",\"id\":%llu," RESULT "}", (unsigned long long)up);
    struct buf text = BUF_INIT;
    const struct metrics *one = of_server();
    const char *name = "fake";
    metrics_render(&text, METRICS_OPENMETRICS, NULL, &one, &name, 1);
    ck_assert_uint_lt(buf_len(&text), sizeof(page));
    memcpy(page, buf_peek(&text).p, buf_len(&text));
    page[buf_len(&text)] = '\0';
    buf_done(&text);
    ck_assert_has(page, "mcpool_queue_wait_seconds_sum{server=\"fake\",outcome=\"sent\"} 7");
    ck_assert_has(page, "mcpool_call_duration_seconds_sum{server=\"fake\",outcome=\"result\"} 3");
    end();
}
END_TEST

START_TEST(late_answers_are_counted)
{
    start(NULL);
    client_say(&a, CALL("1"));
    uint64_t up = answer(RESULT);
    fake_say(w.fakes, "{\"jsonrpc\":\"2.0\",\"id\":%llu," RESULT "}", (unsigned long long)up);
    fake_say(w.fakes, "{\"jsonrpc\":\"2.0\"," ERROR "}");
    ck_assert_uint_eq(metrics_get(of_server(), METRIC_LATE_ANSWERS, 0), 2);
    end();
}
END_TEST

START_TEST(questions_that_nobody_can_be_asked_are_counted)
{
    start(NULL);
    open_ready(&b, "{\"sampling\":{}}");
    struct fake *f = fake_of(&b);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\"}");
    ck_assert_uint_eq(metrics_get(of_server(), METRIC_AMBIGUOUS_ASKS, 0), 1);
    client_close(&b);
    end();
}
END_TEST

START_TEST(the_process_counts_sessions_and_what_was_dropped)
{
    start(",\"limits\":{\"pending_notifications\":1}");
    const struct metrics *m = proxy_metrics(w.proxy);
    ck_assert(route_at(w.proxy, 0)->server->process_metrics == m);
    ck_assert_uint_eq(metrics_get(m, METRIC_SESSIONS_OPENED, 0), 1);
    for (int i = 0; i < 2; i++) {
        client_say(&a, i ? "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/subscribe\","
                           "\"params\":{\"uri\":\"f:///1\"}}"
                         : "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/subscribe\","
                           "\"params\":{\"uri\":\"f:///0\"}}");
        answer(RESULT);
    }
    session_set_push(a.session, NULL);
    for (int i = 0; i < 2; i++)
        fake_say(w.fakes,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{"
                 "\"uri\":\"f:///%d\"}}",
                 i);
    ck_assert_uint_eq(metrics_get(m, METRIC_MESSAGES_DROPPED, 0), 1);
    end();
}
END_TEST

START_TEST(an_error_of_mcpool_always_says_whether_to_retry)
{
    struct buf out = BUF_INIT;
    char text[512];
    proxy_write_error(&out, SLICE("1"), MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, NULL, NULL, 0,
                      "x");
    proxy_write_error(&out, SLICE("2"), MCP_E_INTERNAL, REASON_RATE_LIMITED, "s", "no", 1, "x");
    proxy_write_error(&out, SLICE("3"), MCP_E_INTERNAL, REASON_UPSTREAM_LOST, "s", "maybe", 0, "x");
    ck_assert_uint_lt(buf_len(&out), sizeof(text));
    memcpy(text, buf_peek(&out).p, buf_len(&out));
    text[buf_len(&out)] = '\0';
    buf_done(&out);
    ck_assert_has(text, "\"data\":{\"reason\":\"bad_request\",\"retryable\":false}");
    ck_assert_has(text, "\"data\":{\"server\":\"s\",\"reason\":\"rate_limited\","
                        "\"delivered\":\"no\",\"retryable\":true,\"retryAfterMs\":1}");
    ck_assert_has(text, "\"delivered\":\"maybe\",\"retryable\":false}");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/tally");
    TCase *t = tcase_create("tally");
    tcase_add_test(t, calls_are_counted_by_their_outcome);
    tcase_add_test(t, what_mcpool_sends_of_its_own_accord_is_no_call);
    tcase_add_test(t, waits_and_durations_are_told_apart);
    tcase_add_test(t, late_answers_are_counted);
    tcase_add_test(t, questions_that_nobody_can_be_asked_are_counted);
    tcase_add_test(t, the_process_counts_sessions_and_what_was_dropped);
    tcase_add_test(t, an_error_of_mcpool_always_says_whether_to_retry);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
