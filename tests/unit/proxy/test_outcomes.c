/* What the proxy tells of the requests that it ran: answers, garbage, requests given up, pings. The
 * breaker's count of consecutive failures is what it is seen by. */
#include "clients.h"

#include "upstream/pool.h"
#include "upstream/server.h"

#define LIST(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/list\"}"

static struct server *server0(void)
{
    return route_at(w.proxy, 0)->server;
}

static unsigned failures(void)
{
    /* A handshake only suspends them. */
    return server0()->breaker.failures + server0()->breaker.before_reset;
}

static void start(const char *top)
{
    world_new(NULL, top);
    proxy_start(w.proxy);
    turn();
    open_ready(&a, NULL);
    open_ready(&b, NULL);
}

static void end(void)
{
    client_close(&a);
    client_close(&b);
    world_end();
}

static void discard(struct fake *f, uint64_t id, enum reason why)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
    f->ev->on_discarded(f->arg, slice_str(text), why);
    turn();
}

static void answer(struct fake *f, uint64_t id, const char *what)
{
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,%s}", (unsigned long long)id, what);
    turn();
}

#define RESULT "\"result\":{}"
#define ERROR  "\"error\":{\"code\":-32601,\"message\":\"Method not found\"}"

START_TEST(garbage_counts_an_oversize_answer_does_not_and_any_answer_clears)
{
    start(NULL);
    struct fake *f = fake_at(0);
    client_say(&a, CALL("1"));
    discard(f, id_of(fake_read(f)), REASON_RESPONSE_TOO_LARGE);
    ck_assert_has(client_read(&a), "response_too_large");
    ck_assert_uint_eq(failures(), 0);
    client_say(&a, CALL("2"));
    discard(f, id_of(fake_read(f)), REASON_UPSTREAM_PROTOCOL);
    ck_assert_has(client_read(&a), "upstream_protocol");
    ck_assert_uint_eq(failures(), 1);
    client_say(&a, CALL("3"));
    answer(f, id_of(fake_read(f)), ERROR);
    ck_assert_has(client_read(&a), "-32601");
    ck_assert_uint_eq(failures(), 0);
    end();
}
END_TEST

START_TEST(garbage_for_nobody_does_not_count)
{
    start(NULL);
    discard(fake_at(0), 4711, REASON_UPSTREAM_PROTOCOL);
    ck_assert_uint_eq(failures(), 0);
    end();
}
END_TEST

START_TEST(a_request_that_is_given_up_counts)
{
    start(",\"resilience\":{\"call_timeout\":10}");
    client_say(&a, CALL("1"));
    pass(10 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), "timeout");
    ck_assert_uint_eq(failures(), 1);
    end();
}
END_TEST

START_TEST(a_request_that_was_cancelled_or_only_waited_does_not_count)
{
    start(",\"resilience\":{\"call_timeout\":10,\"queue_timeout\":5,\"max_connections\":1}");
    client_say(&a, CALL("1"));
    pass(9 * USEC_PER_SEC);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                   "\"requestId\":1}}");
    fake_at(0)->pending = CONN_PENDING_HIGH + 1; /* nothing new fits */
    client_say(&b, CALL("1"));
    pass(6 * USEC_PER_SEC);
    ck_assert_ptr_nonnull(client_read(&b));
    ck_assert_uint_eq(failures(), 0);
    end();
}
END_TEST

START_TEST(a_list_that_many_wait_for_is_given_up_once)
{
    start(",\"resilience\":{\"operation_timeout\":10}");
    client_say(&a, LIST("1"));
    client_say(&b, LIST("1"));
    pass(10 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), "timeout");
    ck_assert_has(client_read(&b), "timeout");
    ck_assert_uint_eq(failures(), 1);
    end();
}
END_TEST

START_TEST(a_list_that_was_given_up_is_followed_no_more)
{
    start(",\"resilience\":{\"operation_timeout\":10}");
    struct fake *f = fake_at(0);
    client_say(&a, LIST("1"));
    ck_assert_has(fake_read(f), "tools/list");
    pass(5 * USEC_PER_SEC);
    client_say(&b, LIST("1"));
    ck_assert_ptr_null(fake_read(f));
    pass(5 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), "timeout"); /* b took its place in the mux */
    ck_assert_ptr_null(client_read(&b));
    client_say(&a, LIST("2"));
    ck_assert_has(fake_read(w.fakes),
                  "tools/list"); /* at a new connection, for that one is stuck */
    end();
}
END_TEST

START_TEST(a_subscription_that_is_not_answered_is_given_up_once)
{
    static const char subscribe[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/"
                                    "subscribe\",\"params\":{\"uri\":\"f:///x\"}}";
    start(",\"resilience\":{\"operation_timeout\":10}");
    client_say(&a, subscribe);
    client_say(&b, subscribe);
    pass(10 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), "timeout");
    ck_assert_has(client_read(&b), "timeout");
    ck_assert_uint_eq(failures(), 1);
    end();
}
END_TEST

static const char *last_ping(const struct fake *f)
{
    const char *m = f->got[f->got_n - 1];
    ck_assert_has(m, "\"method\":\"ping\"");
    return m;
}

START_TEST(a_ping_is_answered_by_anything_and_goes_out_once)
{
    start(NULL);
    struct fake *f = fake_at(0);
    struct conn *c = f->arg;
    server0()->breaker.failures = 1;
    c->pool->server->user->probe(c);
    uint64_t first = id_of(last_ping(f));
    c->pool->server->user->probe(c); /* the next one takes its place */
    uint64_t second = id_of(last_ping(f));
    ck_assert_uint_ne(first, second);
    answer(f, first, RESULT); /* nobody's any more, and harmless */
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601,\"message\":\"no\"}}");
    ck_assert_uint_eq(failures(), 1);
    answer(f, second, ERROR);
    ck_assert_uint_eq(failures(), 0);
    ck_assert_uint_gt(c->answered_at, 0);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_ptr_null(client_read(&b));
    end();
}
END_TEST

START_TEST(no_ping_goes_to_a_server_that_does_not_read)
{
    start(NULL);
    struct fake *f = fake_at(0);
    struct conn *c = f->arg;
    f->pending = CONN_PENDING_HIGH + 1;
    c->pool->server->user->probe(c);
    ck_assert_uint_eq(fake_pings(f), 0);
    f->pending = 0;
    c->pool->server->user->probe(c);
    ck_assert_uint_eq(fake_pings(f), 1);
    fake_die(f); /* a ping that is lost is nobody's loss */
    turn();
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/outcomes");
    TCase *t = tcase_create("outcomes");
    tcase_add_test(t, garbage_counts_an_oversize_answer_does_not_and_any_answer_clears);
    tcase_add_test(t, garbage_for_nobody_does_not_count);
    tcase_add_test(t, a_request_that_is_given_up_counts);
    tcase_add_test(t, a_request_that_was_cancelled_or_only_waited_does_not_count);
    tcase_add_test(t, a_list_that_many_wait_for_is_given_up_once);
    tcase_add_test(t, a_list_that_was_given_up_is_followed_no_more);
    tcase_add_test(t, a_subscription_that_is_not_answered_is_given_up_once);
    tcase_add_test(t, a_ping_is_answered_by_anything_and_goes_out_once);
    tcase_add_test(t, no_ping_goes_to_a_server_that_does_not_read);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
