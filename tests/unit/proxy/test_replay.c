/* What is sent again after a server died over it, and what must not be (resilience.md section 4).
 */
#include "clients.h"

#include "upstream/pool.h"
#include "upstream/server.h"

#define READ(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"resources/read\",\"params\":{\"uri\":\"f:"    \
    "///x\"}}"
#define TOOL(id, params)                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{" params "}}"

static struct server *server0(void)
{
    return route_at(w.proxy, 0)->server;
}

static uint64_t count(enum metric id)
{
    return metrics_get(server0()->metrics, id, 0);
}

/* The newest server: the one that came back. */
static struct fake *next_server(void)
{
    pass(3 * USEC_PER_SEC);
    ck_assert_ptr_nonnull(w.fakes);
    ck_assert(!w.fakes->closed);
    return w.fakes;
}

static void start(const char *extra, const char *capabilities)
{
    /* Servers die here all the time; the breaker is not the subject. */
    world_new(extra, ",\"resilience\":{\"circuit_breaker_threshold\":1000,"
                     "\"circuit_breaker_volume\":1000,\"max_backoff_delay\":1}");
    proxy_start(w.proxy);
    turn();
    open_ready(&a, capabilities);
}

static void end(void)
{
    client_close(&a);
    world_end();
}

static void answer(struct fake *f, uint64_t id)
{
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id);
    turn();
}

/* What the servers of this test have in their list of tools: a page, and one behind the cursor "2".
 */
static const char *tools[2];

/* The next request of a client that f got. What mcpool asks for itself, to compare lists over the
 * restart, is answered as ever. */
static const char *next_request(struct fake *f)
{
    const char *m;
    while ((m = fake_read(f)) != NULL) {
        bool own = strstr(m, "/list\"}") || strstr(m, "\"params\":{\"cursor\"");
        if (!own)
            return m;
        const char *result = !strstr(m, "tools/list") ? "{}" : tools[strstr(m, "cursor") != NULL];
        fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}", (unsigned long long)id_of(m),
                 result ? result : "{}");
        turn();
    }
    return NULL;
}

/* The client says text, and its server dies over it. Whether it is sent again. */
static bool goes_again(struct client *c, const char *text)
{
    client_say(c, text);
    struct fake *f = w.fakes;
    ck_assert_has(fake_read(f), "\"method\"");
    fake_die(f);
    f = next_server();
    const char *again = next_request(f), *got = client_read(c);
    ck_assert_msg(!again != !got, "sent again: %s, answered: %s", again ? again : "no",
                  got ? got : "no");
    if (again) {
        answer(f, id_of(again));
        got = client_read(c);
        ck_assert_has(got, "\"result\":{}");
        ck_assert_ptr_null(next_request(f));
    } else {
        ck_assert_has(got, "\"delivered\":\"maybe\",\"retryable\":false");
        ck_assert_has(got, "\"reason\":\"upstream_lost\"");
    }
    return again;
}

START_TEST(what_has_no_side_effects_is_sent_again)
{
    static const char *const reads[] = {
        "tools/list",     "prompts/list", "resources/list",     "resources/templates/list",
        "resources/read", "prompts/get",  "completion/complete"};
    static const char *const others[] = {"tools/call", "vendor/anything"};
    char text[128];
    start(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
        snprintf(text, sizeof(text),
                 "{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"%s\",\"params\":{\"a\":1}}", i,
                 reads[i]);
        ck_assert_msg(goes_again(&a, text), "%s", reads[i]);
    }
    ck_assert_uint_eq(count(METRIC_CALLS_REPLAYED), ARRAY_LEN(reads));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"%s\"}", i,
                 others[i]);
        ck_assert_msg(!goes_again(&a, text), "%s", others[i]);
    }
    ck_assert_uint_eq(count(METRIC_CALLS_REPLAYED), ARRAY_LEN(reads));
    ck_assert_uint_eq(count(METRIC_CALLS_MOVED), 0);
    end();
}
END_TEST

START_TEST(it_goes_under_a_new_id_and_the_bytes_are_the_clients)
{
    start(NULL, NULL);
    client_say(&a, CALL("\"busy\"")); /* so that ids differ */
    answer(w.fakes, id_of(fake_read(w.fakes)));
    client_read(&a);
    client_say(&a, READ("\"r\\u0065ad\""));
    const char *m = fake_read(w.fakes);
    uint64_t first = id_of(m);
    struct fake *f = w.fakes;
    fake_die(f);
    f = next_server();
    m = fake_read(f);
    ck_assert_uint_ne(id_of(m), first);
    ck_assert_has(m, "\"method\":\"resources/read\",\"params\":{\"uri\":\"f:///x\"}}");
    answer(f, id_of(m));
    ck_assert_str_eq(client_read(&a), "{\"jsonrpc\":\"2.0\",\"id\":\"r\\u0065ad\",\"result\":{}}");
    end();
}
END_TEST

START_TEST(it_is_sent_again_once_and_then_may_have_run)
{
    start(NULL, NULL);
    client_say(&a, READ("1"));
    fake_die(w.fakes);
    struct fake *f = next_server();
    ck_assert_has(fake_read(f), "resources/read");
    fake_die(f);
    turn();
    ck_assert_has(client_read(&a), "\"delivered\":\"maybe\"");
    ck_assert_ptr_null(fake_read(next_server()));
    ck_assert_uint_eq(count(METRIC_REPLAYS_DENIED), 0); /* it was not for lack of tokens */
    end();
}
END_TEST

START_TEST(unread_after_it_was_sent_again_it_moves_on_and_still_may_have_run)
{
    start(",\"resilience\":{\"queue_timeout\":600,\"operation_timeout\":600,\"call_timeout\":600}",
          NULL);
    client_say(&a, READ("1"));
    fake_die(w.fakes);
    for (int i = 0; i < 4; i++) {
        struct fake *f = next_server();
        for (int k = 0; k < 100 && !(f->opened && f->got_n > 2); k++)
            f = next_server();
        ck_assert_has(fake_read(f), "resources/read");
        f->stuck_from = f->marks;
        ck_assert_ptr_null(client_read(&a));
        fake_die(f);
        turn();
    }
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"upstream_lost\"");
    ck_assert_has(m, "\"delivered\":\"maybe\"");
    ck_assert_uint_eq(count(METRIC_CALLS_MOVED), 3);
    ck_assert_uint_eq(count(METRIC_CALLS_REPLAYED), 1);
    end();
}
END_TEST

START_TEST(its_time_runs_from_the_first_and_through_the_queue)
{
    start(",\"resilience\":{\"call_timeout\":10,\"queue_timeout\":60,\"recovery_jitter_max\":0}",
          NULL);
    client_say(&a, READ("1"));
    pass(6 * USEC_PER_SEC);
    w.start_delay = 100 * USEC_PER_SEC; /* a slow start: it waits in line */
    fake_die(w.fakes);
    pass(3 * USEC_PER_SEC);
    ck_assert_ptr_null(client_read(&a));
    pass(1 * USEC_PER_SEC);
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"timeout\"");
    ck_assert_has(m, "\"delivered\":\"maybe\"");
    w.start_delay = 0;
    end();
}
END_TEST

START_TEST(its_time_is_not_begun_anew_on_the_next_connection)
{
    start(",\"resilience\":{\"call_timeout\":10}", NULL);
    client_say(&a, READ("1"));
    pass(6 * USEC_PER_SEC);
    fake_die(w.fakes);
    struct fake *f = next_server(); /* at 9 s */
    ck_assert_has(fake_read(f), "resources/read");
    unsigned failures = server0()->breaker.failures;
    pass(1 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), "\"reason\":\"timeout\"");
    /* The second server had but a second or so: that is not held against it. */
    ck_assert_uint_eq(server0()->breaker.failures, failures);
    end();
}
END_TEST

START_TEST(refused_while_it_waits_it_may_have_run)
{
    start(",\"resilience\":{\"call_timeout\":600,\"queue_timeout\":5}", NULL);
    client_say(&a, READ("1"));
    w.refuse = true;
    fake_die(w.fakes);
    pass(6 * USEC_PER_SEC);
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"upstream_unavailable\"");
    ck_assert_has(m, "\"delivered\":\"maybe\",\"retryable\":false");
    ck_assert_has(m, "may or may not have been carried out before");
    client_say(&a, READ("2")); /* a new one never ran */
    pass(6 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), "\"delivered\":\"no\"");
    w.refuse = false;
    end();
}
END_TEST

START_TEST(refused_because_the_line_is_full_it_may_have_run)
{
    start(",\"limits\":{\"queue_length\":1}", NULL);
    client_say(&a, READ("1"));
    client_say(&a, READ("2"));
    w.start_delay = 2 * USEC_PER_SEC;
    fake_die(w.fakes);
    turn();
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"overloaded\"");
    ck_assert_has(m, "\"delivered\":\"maybe\",\"retryable\":false");
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(an_open_breaker_refuses_by_name_and_says_whether_it_may_have_run)
{
    start(NULL, NULL);
    client_say(&a, READ("1"));
    struct fake *f = w.fakes;
    struct call *c = session_call(a.session, SLICE("1"));
    ck_assert_ptr_nonnull(c);
    w.start_delay = 50 * USEC_PER_SEC;
    client_open(&b, "anonymous", NULL);
    client_read(&b);
    fake_die(f);
    client_say(&b, CALL("1"));
    /* The pool takes both out of its line and refuses them, as it does when the breaker opens. */
    struct pool *p = server0()->pools;
    struct affinity *at;
    struct ticket *waiting[2];
    unsigned n = 0;
    TAILQ_FOREACH (at, &p->turns, turn)
        waiting[n++] = TAILQ_FIRST(&at->waiting);
    ck_assert_uint_eq(n, 2);
    for (unsigned i = 0; i < n; i++)
        server0()->user->refuse(waiting[i], REASON_BREAKER_OPEN, 1500 * USEC_PER_MSEC);
    const char *m = client_read(&b);
    ck_assert_has(m, "Server \\\"fake\\\" is failing; calls are refused until it recovers\"");
    ck_assert_has(m, "\"server\":\"fake\",\"reason\":\"breaker_open\",\"delivered\":\"no\","
                     "\"retryable\":true,\"retryAfterMs\":1500");
    m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"breaker_open\",\"delivered\":\"maybe\",\"retryable\":false");
    w.start_delay = 0;
    client_close(&b);
    end();
}
END_TEST

START_TEST(off_means_never)
{
    start(",\"replay\":\"off\"", NULL);
    ck_assert(!goes_again(&a, READ("1")));
    end();
}
END_TEST

START_TEST(not_after_progress)
{
    start(NULL, NULL);
    client_say(&a, READ("1"));
    uint64_t up = id_of(fake_read(w.fakes));
    /* Unasked for and not passed on; but work it is. */
    fake_say(w.fakes,
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
             "\"progressToken\":%llu,\"progress\":1}}",
             (unsigned long long)up);
    fake_die(w.fakes);
    turn();
    ck_assert_has(client_read(&a), "\"delivered\":\"maybe\"");
    end();
}
END_TEST

START_TEST(not_after_its_server_asked_its_user)
{
    start(NULL, "{\"elicitation\":{}}");
    client_say(&a, READ("1"));
    struct fake *f = w.fakes;
    ck_assert_has(fake_read(f), "resources/read");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"elicitation/create\",\"params\":{"
                "\"message\":\"?\"}}");
    ck_assert_has(client_read(&a), "elicitation");
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"action\":\"decline\"}}");
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}");
    fake_die(f);
    pass(3 * USEC_PER_SEC);
    for (const char *m; (m = client_read(&a)) != NULL;)
        if (strstr(m, "\"id\":1,\"error\""))
            ck_assert_has(m, "\"delivered\":\"maybe\"");
    ck_assert_uint_eq(session_in_flight(a.session), 1); /* the list came after the question */
    ck_assert_has(fake_read(w.fakes), "tools/list");
    ck_assert_ptr_null(fake_read(w.fakes));
    end();
}
END_TEST

START_TEST(not_after_a_question_that_may_have_been_for_it)
{
    start(NULL, "{\"elicitation\":{}}");
    client_say(&a, READ("1"));
    client_say(&a, READ("2"));
    fake_say(w.fakes, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"elicitation/create\",\"params\":{"
                      "\"message\":\"?\"}}");
    ck_assert_has(client_read(&a), "elicitation"); /* a's for certain, but for which call? */
    fake_die(w.fakes);
    turn();
    unsigned failed = 0;
    for (const char *m; (m = client_read(&a)) != NULL;)
        failed += strstr(m, "\"delivered\":\"maybe\"") != NULL;
    ck_assert_uint_eq(failed, 2);
    end();
}
END_TEST

START_TEST(not_with_input_of_an_earlier_round)
{
    start(NULL, NULL);
    ck_assert(!goes_again(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"prompts/get\",\"params\":"
                              "{\"name\":\"p\",\"inputResponses\":{}}}"));
    ck_assert(!goes_again(&a, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"prompts/get\",\"params\":"
                              "{\"name\":\"p\",\"requestState\":\"s\"}}"));
    ck_assert(goes_again(&a, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"prompts/get\",\"params\":"
                             "{\"name\":\"p\",\"arguments\":{\"requestState\":\"s\"}}}"));
    end();
}
END_TEST

START_TEST(not_when_it_is_too_large_to_be_kept)
{
    char *text = xcalloc(1, 70000);
    start(NULL, NULL);
    int n = snprintf(text, 70000,
                     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/read\",\"params\":{"
                     "\"uri\":\"f:///%065600d\"}}",
                     0);
    ck_assert_int_gt(n, 65600);
    ck_assert(!goes_again(&a, text));
    free(text);
    end();
}
END_TEST

/* ---- annotated tools ---- */

static void list_tools(struct client *c, const char *cursor, const char *result)
{
    char text[256];
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"tools/list\"%s}",
             cursor);
    client_say(c, text);
    uint64_t up = id_of(fake_read(w.fakes));
    fake_say(w.fakes, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}", (unsigned long long)up,
             result);
    tools[*cursor != '\0'] = result;
    ck_assert_has(client_read(c), "\"id\":\"l\"");
}

#define CURSOR ",\"params\":{\"cursor\":\"2\"}"
static const char page1[] =
    "{\"tools\":[{\"name\":\"r\\u0065ad\",\"annotations\":{\"readOnlyHint\":"
    "true}},{\"name\":\"write\",\"annotations\":{\"readOnlyHint\":false,"
    "\"idempotentHint\":\"true\"}},{\"name\":\"bare\"},7,{\"name\":8}],"
    "\"nextCursor\":\"2\"}";
static const char page2[] =
    "{\"tools\":[{\"name\":\"put\",\"annotations\":{\"idempotentHint\":true}}]}";

START_TEST(annotated_tools_are_called_again_where_the_operator_allows_it)
{
    start(",\"replay\":\"annotated\"", NULL);
    ck_assert(!goes_again(&a, TOOL("1", "\"name\":\"read\""))); /* nothing is known yet */
    list_tools(&a, "", page1);
    list_tools(&a, CURSOR, page2);
    ck_assert(goes_again(&a, TOOL("1", "\"name\":\"re\\u0061d\"")));
    list_tools(&a, "", page1);
    list_tools(&a, CURSOR, page2);
    ck_assert(goes_again(&a, TOOL("1", "\"name\":\"put\"")));
    list_tools(&a, "", page1);
    list_tools(&a, CURSOR, page2);
    ck_assert(!goes_again(&a, TOOL("1", "\"name\":\"write\"")));
    list_tools(&a, "", page1);
    list_tools(&a, CURSOR, page2);
    ck_assert(!goes_again(&a, TOOL("1", "\"name\":\"bare\"")));
    list_tools(&a, "", page1);
    list_tools(&a, CURSOR, page2);
    ck_assert(!goes_again(&a, TOOL("1", "\"name\":\"read\",\"task\":{}"))); /* two tasks */
    end();
}
END_TEST

START_TEST(annotations_count_for_nothing_where_he_does_not)
{
    start(NULL, NULL);
    list_tools(&a, "", page2);
    ck_assert(!goes_again(&a, TOOL("1", "\"name\":\"put\"")));
    end();
}
END_TEST

START_TEST(a_new_first_page_replaces_what_was_known_of_tools)
{
    start(",\"replay\":\"annotated\"", NULL);
    list_tools(&a, "", page1);
    list_tools(&a, CURSOR, page2);
    list_tools(&a, "", "{\"tools\":[]}");
    ck_assert(!goes_again(&a, TOOL("1", "\"name\":\"put\"")));
    end();
}
END_TEST

START_TEST(a_later_page_can_take_a_tool_back)
{
    start(",\"replay\":\"annotated\"", NULL);
    list_tools(&a, "", page2);
    list_tools(&a, CURSOR, "{\"tools\":[{\"name\":\"put\"}]}");
    ck_assert(!goes_again(&a, TOOL("1", "\"name\":\"put\"")));
    end();
}
END_TEST

START_TEST(news_of_changed_tools_forgets_them)
{
    start(",\"replay\":\"annotated\"", NULL);
    list_tools(&a, "", page2);
    fake_say(w.fakes, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    ck_assert_has(client_read(&a), "list_changed");
    ck_assert(!goes_again(&a, TOOL("1", "\"name\":\"put\"")));
    end();
}
END_TEST

/* ---- the budget ---- */

START_TEST(the_budget_bounds_it_and_answers_fill_it_again)
{
    start(",\"resilience\":{\"replay_budget\":2}", NULL);
    for (int i = 0; i < 3; i++)
        client_say(&a, i == 0 ? READ("0") : i == 1 ? READ("1") : READ("2"));
    fake_die(w.fakes);
    struct fake *f = next_server();
    uint64_t first = id_of(fake_read(f)), second = id_of(fake_read(f));
    ck_assert_ptr_null(fake_read(f));
    ck_assert_has(client_read(&a), "\"id\":2,"); /* the last of three */
    ck_assert_uint_eq(count(METRIC_REPLAYS_DENIED), 1);
    ck_assert_uint_eq(count(METRIC_CALLS_REPLAYED), 2);
    answer(f, first);
    answer(f, second);
    client_read(&a), client_read(&a);
    ck_assert(!goes_again(&a, READ("3")));
    for (int i = 0; i < 7; i++) { /* ten answers make a token, and there were two */
        client_say(&a, CALL("4"));
        answer(w.fakes, id_of(fake_read(w.fakes)));
        client_read(&a);
    }
    ck_assert(!goes_again(&a, READ("5")));
    for (int i = 0; i < 1; i++) {
        client_say(&a, CALL("4"));
        answer(w.fakes, id_of(fake_read(w.fakes)));
        client_read(&a);
    }
    ck_assert(goes_again(&a, READ("5")));
    end();
}
END_TEST

START_TEST(equal_lists_cost_one_token)
{
    static const char list[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}";
    start(",\"resilience\":{\"replay_budget\":1}", NULL);
    open_ready(&b, NULL);
    client_say(&a, list);
    client_say(&b, list);
    fake_die(w.fakes);
    struct fake *f = next_server();
    uint64_t up = id_of(fake_read(f));
    ck_assert_ptr_null(fake_read(f));
    answer(f, up);
    ck_assert_has(client_read(&a), "\"result\"");
    ck_assert_has(client_read(&b), "\"result\"");
    client_close(&b);
    end();
}
END_TEST

/* ---- subscriptions ---- */

#define SUBSCRIBE                                                                                  \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"f:///" \
    "x\"}}"

START_TEST(a_subscription_that_was_never_read_is_made_at_the_next_server)
{
    start(NULL, NULL);
    client_say(&a, SUBSCRIBE);
    w.fakes->stuck_from = w.fakes->marks;
    fake_die(w.fakes);
    struct fake *f = next_server();
    const char *m = fake_read(f);
    ck_assert_has(m, "resources/subscribe");
    ck_assert_ptr_null(fake_read(f));
    answer(f, id_of(m));
    ck_assert_has(client_read(&a), "\"result\":{}");
    end();
}
END_TEST

START_TEST(a_subscription_that_may_have_been_made_says_so)
{
    start(NULL, NULL);
    ck_assert(!goes_again(&a, SUBSCRIBE));
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/replay");
    TCase *t = tcase_create("replay");
    tcase_add_test(t, what_has_no_side_effects_is_sent_again);
    tcase_add_test(t, it_goes_under_a_new_id_and_the_bytes_are_the_clients);
    tcase_add_test(t, it_is_sent_again_once_and_then_may_have_run);
    tcase_add_test(t, unread_after_it_was_sent_again_it_moves_on_and_still_may_have_run);
    tcase_add_test(t, its_time_runs_from_the_first_and_through_the_queue);
    tcase_add_test(t, its_time_is_not_begun_anew_on_the_next_connection);
    tcase_add_test(t, refused_while_it_waits_it_may_have_run);
    tcase_add_test(t, refused_because_the_line_is_full_it_may_have_run);
    tcase_add_test(t, an_open_breaker_refuses_by_name_and_says_whether_it_may_have_run);
    tcase_add_test(t, off_means_never);
    tcase_add_test(t, not_after_progress);
    tcase_add_test(t, not_after_its_server_asked_its_user);
    tcase_add_test(t, not_after_a_question_that_may_have_been_for_it);
    tcase_add_test(t, not_with_input_of_an_earlier_round);
    tcase_add_test(t, not_when_it_is_too_large_to_be_kept);
    tcase_add_test(t, annotated_tools_are_called_again_where_the_operator_allows_it);
    tcase_add_test(t, annotations_count_for_nothing_where_he_does_not);
    tcase_add_test(t, a_new_first_page_replaces_what_was_known_of_tools);
    tcase_add_test(t, a_later_page_can_take_a_tool_back);
    tcase_add_test(t, news_of_changed_tools_forgets_them);
    tcase_add_test(t, the_budget_bounds_it_and_answers_fill_it_again);
    tcase_add_test(t, equal_lists_cost_one_token);
    tcase_add_test(t, a_subscription_that_was_never_read_is_made_at_the_next_server);
    tcase_add_test(t, a_subscription_that_may_have_been_made_says_so);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
