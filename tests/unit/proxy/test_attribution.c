/* Whose is what a server says, where it is hardest to tell: behind more given-up calls than are
 * remembered one by one, for questions that never reached anybody, for levels of others, and for a
 * list that may be older than the news it was asked for. */
#include "world.h"

#define SAMPLING "{\"sampling\":{},\"elicitation\":{\"form\":{},\"url\":{}}}"
#define CALL(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}"
#define CANCEL(id)                                                                                 \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":" id "}}"
#define ASK                                                                                        \
    "{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"sampling/createMessage\",\"params\":{"         \
    "\"messages\":[]}}"
#define SET_LEVEL(id, level)                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"method\":\"logging/setLevel\",\"params\":{\"level\":\"" level "\"}}"

static struct client a, b;

static void begin(const char *extra)
{
    world_new(extra, NULL);
    proxy_start(w.proxy);
    turn();
}

static void open_ready(struct client *c)
{
    client_open(c, "anonymous", SAMPLING);
    ck_assert_has(client_read(c), "\"result\"");
}

static void end(void)
{
    client_close(&a);
    client_close(&b);
    world_end();
}

static void answer_all(struct fake *f)
{
    for (const char *m; (m = fake_read(f)) != NULL;) {
        uint64_t id;
        if (json_u64(json_get(slice_str(m), "id"), &id))
            fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id);
    }
    turn();
}

START_TEST(more_given_up_calls_than_fit_are_not_forgotten)
{
    begin(",\"resilience\":{\"max_connections\":1}");
    open_ready(&a);
    open_ready(&b);
    struct fake *f = w.fakes;
    client_say(&b, CALL("1"));
    client_say(&b, CANCEL("1"));
    for (int i = 0; i < 40; i++) {
        client_say(&a, CALL("1"));
        client_say(&a, CANCEL("1"));
    }
    while (fake_read(f))
        ;
    client_say(&a, CALL("2"));
    ck_assert_has(fake_read(f), "tools/call");
    fake_say(f, ASK); /* it may be for b's */
    ck_assert_has(fake_read(f), "-32603");
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(what_was_never_asked_is_never_complete)
{
    static const char complete[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/elicitation/complete\",\"params\":{"
        "\"elicitationId\":\"e\"}}";
    static const char ask[] =
        "{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"elicitation/create\",\"params\":{"
        "\"mode\":\"url\",\"url\":\"https://x\",\"elicitationId\":\"e\"}}";
    begin(NULL);
    open_ready(&a);
    open_ready(&b);
    struct fake *f = w.fakes;
    client_say(&a, CALL("1"));
    fake_read(f);
    a.deaf = true;
    fake_say(f, ask);
    ck_assert_has(fake_read(f), "-32601");
    fake_say(f, complete);
    ck_assert_ptr_null(client_read(&a));
    a.deaf = false;
    fake_say(f, ask);
    ck_assert_has(client_read(&a), "elicitation/create");
    fake_say(f, complete);
    ck_assert_str_eq(client_read(&a), complete);
    ck_assert_ptr_null(client_read(&b));
    end();
}
END_TEST

START_TEST(a_level_goes_with_its_session)
{
    begin(NULL);
    client_ready(&a);
    client_ready(&b);
    struct fake *f = fake_at(0);
    client_say(&a, SET_LEVEL("1", "error"));
    answer_all(f);
    client_say(&b, SET_LEVEL("1", "debug"));
    answer_all(f);
    client_close(&b);
    ck_assert_has(fake_read(f), "\"level\":\"error\"");
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(a_level_that_is_never_answered_can_still_be_changed)
{
    begin(NULL);
    client_ready(&a);
    client_ready(&b);
    struct fake *f = fake_at(0);
    client_say(&a, SET_LEVEL("1", "error"));
    ck_assert_has(fake_read(f), "\"level\":\"error\"");
    client_say(&b, SET_LEVEL("1", "debug"));
    ck_assert_has(fake_read(f), "\"level\":\"debug\"");
    end();
}
END_TEST

START_TEST(a_session_with_a_connection_of_its_own_has_its_own_level)
{
    begin(",\"sharing\":\"session\"");
    client_ready(&a);
    client_ready(&b);
    struct fake *of_a = fake_at(0), *of_b = fake_at(1);
    client_say(&a, SET_LEVEL("1", "error"));
    client_say(&b, SET_LEVEL("1", "debug"));
    ck_assert_has(fake_read(of_a), "\"level\":\"error\"");
    ck_assert_ptr_null(fake_read(of_a));
    ck_assert_has(fake_read(of_b), "\"level\":\"debug\"");
    fake_die(of_a);
    pass(5 * USEC_PER_SEC);
    ck_assert_has(fake_read(fake_at(0)), "\"level\":\"error\"");
    end();
}
END_TEST

START_TEST(a_list_that_may_be_older_than_the_news_serves_nobody_else)
{
    static const char list[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}";
    begin(NULL);
    client_ready(&a);
    client_ready(&b);
    struct fake *f = fake_at(0);
    client_say(&a, list);
    ck_assert_has(fake_read(f), "tools/list");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    ck_assert_has(client_read(&b), "list_changed");
    client_say(&b, list);
    ck_assert_has(fake_read(f), "tools/list");
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/attribution");
    TCase *t = tcase_create("attribution");
    tcase_add_test(t, more_given_up_calls_than_fit_are_not_forgotten);
    tcase_add_test(t, what_was_never_asked_is_never_complete);
    tcase_add_test(t, a_level_goes_with_its_session);
    tcase_add_test(t, a_level_that_is_never_answered_can_still_be_changed);
    tcase_add_test(t, a_session_with_a_connection_of_its_own_has_its_own_level);
    tcase_add_test(t, a_list_that_may_be_older_than_the_news_serves_nobody_else);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
