/* Subscriptions at their edges: taken back while they are being made, ended by somebody who has
 * none, on a connection that nobody calls home. What is usual about them is in test_sharing. */
#include "world.h"

#define REQUEST(id, method)                                                                        \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"resources/" method                            \
    "\",\"params\":{\"uri\":\"f:///x\"}}"
#define CANCEL(id)                                                                                 \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":" id "}}"
#define CALL(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}"

static struct client a, b;

static void begin(const char *extra)
{
    world_new(extra, NULL);
    proxy_start(w.proxy);
    turn();
    client_ready(&a);
    client_ready(&b);
}

static void end(void)
{
    client_close(&a);
    client_close(&b);
    world_end();
}

static void answer(struct fake *f, const char *request)
{
    uint64_t id;
    ck_assert_ptr_nonnull(request);
    ck_assert(json_u64(json_get(slice_str(request), "id"), &id));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id);
    turn();
}

static void update(struct fake *f)
{
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{"
                "\"uri\":\"f:///x\"}}");
}

static void discard(struct fake *f, const char *request)
{
    struct slice id = json_get(slice_str(request), "id");
    f->ev->on_discarded(f->arg, id, REASON_RESPONSE_TOO_LARGE);
    turn();
}

START_TEST(who_has_no_subscription_cannot_end_anothers)
{
    begin(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, REQUEST("1", "subscribe"));
    answer(f, fake_read(f));
    ck_assert_has(client_read(&a), "\"id\":1");
    client_say(&b, REQUEST("1", "unsubscribe"));
    ck_assert_str_eq(client_read(&b), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    ck_assert_ptr_null(fake_read(f));
    update(f);
    ck_assert_has(client_read(&a), "f:///x");
    end();
}
END_TEST

START_TEST(nor_one_that_is_being_made)
{
    begin(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, REQUEST("1", "subscribe"));
    const char *asked = fake_read(f);
    client_say(&b, REQUEST("1", "unsubscribe"));
    ck_assert_has(client_read(&b), "\"result\":{}");
    ck_assert_ptr_null(fake_read(f));
    answer(f, asked);
    ck_assert_has(client_read(&a), "\"result\":{}");
    update(f);
    ck_assert_has(client_read(&a), "f:///x");
    end();
}
END_TEST

/* Whether a subscription of b is made anew, which it must be when nobody has one. */
static void check_that_nothing_is_left(struct fake *f)
{
    ck_assert_has(fake_read(f), "resources/unsubscribe");
    ck_assert_ptr_null(fake_read(f));
    update(f);
    ck_assert_ptr_null(client_read(&a));
    client_say(&b, REQUEST("9", "subscribe"));
    const char *m = fake_read(f);
    ck_assert_has(m, "resources/subscribe");
    answer(f, m);
    ck_assert_has(client_read(&b), "\"id\":9");
    update(f);
    ck_assert_has(client_read(&b), "f:///x");
    ck_assert_ptr_null(client_read(&a));
}

START_TEST(one_that_is_cancelled_while_it_is_made_leaves_nothing)
{
    begin(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, REQUEST("1", "subscribe"));
    const char *asked = fake_read(f);
    client_say(&a, CANCEL("1"));
    ck_assert_uint_eq(a.silent, 1);
    answer(f, asked);
    check_that_nothing_is_left(f);
    end();
}
END_TEST

START_TEST(one_that_is_taken_back_while_it_is_made_leaves_nothing)
{
    begin(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, REQUEST("1", "subscribe"));
    const char *asked = fake_read(f);
    client_say(&a, REQUEST("2", "unsubscribe"));
    ck_assert_has(client_read(&a), "\"id\":1,\"result\":{}");
    ck_assert_has(client_read(&a), "\"id\":2,\"result\":{}");
    answer(f, asked);
    check_that_nothing_is_left(f);
    end();
}
END_TEST

START_TEST(one_whose_session_ends_while_it_is_made_leaves_nothing)
{
    begin(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, REQUEST("1", "subscribe"));
    const char *asked = fake_read(f);
    session_end(a.session);
    turn();
    answer(f, asked);
    check_that_nothing_is_left(f);
    end();
}
END_TEST

START_TEST(one_whose_answer_was_thrown_away_fails_and_leaves_nothing)
{
    begin(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, REQUEST("1", "subscribe"));
    discard(f, fake_read(f));
    ck_assert_has(client_read(&a), "response_too_large");
    check_that_nothing_is_left(f);
    end();
}
END_TEST

START_TEST(a_level_whose_answer_was_thrown_away_can_still_be_changed)
{
    begin(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/setLevel\",\"params\":{"
                   "\"level\":\"error\"}}");
    discard(f, fake_read(f));
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"logging/setLevel\",\"params\":{"
                   "\"level\":\"debug\"}}");
    ck_assert_has(fake_read(f), "\"level\":\"debug\"");
    end();
}
END_TEST

/* a's call keeps its home busy, so that the subscription lands on the other connection. */
static struct fake *subscribe_elsewhere(void)
{
    begin(",\"limits\":{\"max_in_flight_per_connection\":1,\"idle_shrink\":10},\"resilience\":{"
          "\"max_connections\":2}");
    client_say(&a, CALL("1"));
    client_say(&a, REQUEST("2", "subscribe"));
    struct fake *f = fake_at(1);
    ck_assert_ptr_nonnull(f);
    answer(f, fake_read(f));
    ck_assert_has(client_read(&a), "\"id\":2");
    answer(fake_at(0), fake_read(fake_at(0)));
    ck_assert_has(client_read(&a), "\"id\":1");
    return f;
}

START_TEST(a_connection_with_a_subscription_stays)
{
    struct fake *f = subscribe_elsewhere();
    pass(100 * USEC_PER_SEC);
    ck_assert_ptr_eq(fake_at(1), f);
    update(f);
    ck_assert_has(client_read(&a), "f:///x");
    client_say(&a, REQUEST("3", "unsubscribe"));
    ck_assert_has(client_read(&a), "\"id\":3");
    ck_assert_has(fake_read(f), "resources/unsubscribe");
    pass(100 * USEC_PER_SEC);
    ck_assert_ptr_null(fake_at(1)); /* and goes with it */
    end();
}
END_TEST

START_TEST(a_connection_with_a_subscription_comes_back)
{
    struct fake *f = subscribe_elsewhere();
    pass(5 * USEC_PER_SEC);
    fake_die(f);
    pass(100 * USEC_PER_SEC);
    f = fake_at(1);
    ck_assert_ptr_nonnull(f);
    ck_assert_has(fake_read(f), "resources/subscribe");
    end();
}
END_TEST

START_TEST(a_session_subscribes_once_wherever_its_requests_run)
{
    subscribe_elsewhere();
    client_say(&a, REQUEST("3", "subscribe")); /* this one runs at home */
    ck_assert_has(client_read(&a), "\"id\":3");
    ck_assert_ptr_null(fake_read(fake_at(0)));
    end();
}
END_TEST

START_TEST(one_that_the_restarted_server_refuses_can_be_made_again)
{
    begin(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, REQUEST("1", "subscribe"));
    answer(f, fake_read(f));
    client_read(&a);
    pass(20 * USEC_PER_SEC);
    fake_die(f);
    turn();
    f = fake_at(0);
    uint64_t id;
    ck_assert(json_u64(json_get(slice_str(fake_read(f)), "id"), &id));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32602,\"message\":\"no\"}}",
             (unsigned long long)id);
    client_say(&a, REQUEST("2", "subscribe"));
    ck_assert_has(fake_read(f), "resources/subscribe");
    end();
}
END_TEST

START_TEST(a_late_unsubscribe_does_not_end_a_newer_subscription)
{
    begin(",\"limits\":{\"max_in_flight_per_connection\":1},\"resilience\":{"
          "\"max_connections\":2}");
    client_say(&a, CALL("1"));
    client_say(&a, REQUEST("2", "unsubscribe")); /* goes to the other connection … */
    struct fake *f = fake_at(0), *other = fake_at(1);
    other->stuck_from = 1; /* … and is not read */
    answer(f, fake_read(f));
    ck_assert_has(client_read(&a), "\"id\":1");
    client_say(&a, REQUEST("3", "subscribe"));
    answer(f, fake_read(f));
    ck_assert_has(client_read(&a), "\"id\":3");
    fake_die(other);
    turn();
    ck_assert_has(client_read(&a), "\"id\":2,\"result\":{}");
    ck_assert_ptr_null(fake_read(f));
    update(f);
    ck_assert_has(client_read(&a), "f:///x");
    end();
}
END_TEST

START_TEST(a_subscribe_does_not_pass_an_unsubscribe_that_waits)
{
    begin(",\"limits\":{\"max_in_flight_per_connection\":1},\"resilience\":{"
          "\"max_connections\":1}");
    struct fake *f = fake_at(0);
    client_say(&a, CALL("1"));
    client_say(&a, REQUEST("2", "unsubscribe"));
    uint64_t id;
    ck_assert(json_u64(json_get(slice_str(fake_read(f)), "id"), &id));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id);
    client_say(&a, REQUEST("3", "subscribe")); /* in the same turn */
    const char *m = fake_read(f);
    ck_assert_has(m, "unsubscribe");
    answer(f, m);
    ck_assert_has(fake_read(f), "resources/subscribe");
    end();
}
END_TEST

/* The server lives, but forgot to answer: whoever comes later asks again. */
START_TEST(one_that_was_never_answered_is_asked_for_again)
{
    begin(",\"resilience\":{\"operation_timeout\":10}");
    struct fake *f = fake_at(0);
    client_say(&a, REQUEST("1", "subscribe"));
    const char *first = fake_read(f);
    ck_assert_has(first, "resources/subscribe");
    pass(8 * USEC_PER_SEC);
    client_say(&b, REQUEST("2", "subscribe")); /* waits for the same answer */
    ck_assert_ptr_null(fake_read(f));
    pass(3 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), "\"reason\":\"timeout\"");
    answer(f, f->got[f->got_n - 1]); /* the ping */
    client_say(&a, REQUEST("3", "subscribe"));
    const char *again = fake_read(f);
    ck_assert_has(again, "resources/subscribe");
    answer(f, again);
    ck_assert_has(client_read(&b), "\"id\":2,\"result\"");
    ck_assert_has(client_read(&a), "\"id\":3,\"result\"");
    answer(f, first); /* late */
    update(f);
    ck_assert_has(client_read(&a), "resources/updated");
    ck_assert_has(client_read(&b), "resources/updated");
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/subscriptions");
    TCase *t = tcase_create("subscriptions");
    tcase_add_test(t, who_has_no_subscription_cannot_end_anothers);
    tcase_add_test(t, nor_one_that_is_being_made);
    tcase_add_test(t, one_that_is_cancelled_while_it_is_made_leaves_nothing);
    tcase_add_test(t, one_that_is_taken_back_while_it_is_made_leaves_nothing);
    tcase_add_test(t, one_whose_session_ends_while_it_is_made_leaves_nothing);
    tcase_add_test(t, one_whose_answer_was_thrown_away_fails_and_leaves_nothing);
    tcase_add_test(t, a_level_whose_answer_was_thrown_away_can_still_be_changed);
    tcase_add_test(t, a_connection_with_a_subscription_stays);
    tcase_add_test(t, a_connection_with_a_subscription_comes_back);
    tcase_add_test(t, a_session_subscribes_once_wherever_its_requests_run);
    tcase_add_test(t, one_that_the_restarted_server_refuses_can_be_made_again);
    tcase_add_test(t, a_late_unsubscribe_does_not_end_a_newer_subscription);
    tcase_add_test(t, a_subscribe_does_not_pass_an_unsubscribe_that_waits);
    tcase_add_test(t, one_that_was_never_answered_is_asked_for_again);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
