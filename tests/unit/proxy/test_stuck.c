/* Connections that do not answer: what is held against them, by whose word, and when it is
 * forgotten again (resilience.md section 6). */
#include "watching.h"

#include "proxy/internal.h"

static void cancel(struct client *c, int id)
{
    char text[200];
    snprintf(
        text, sizeof(text),
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":"
        "%d}}",
        id);
    client_say(c, text);
}

START_TEST(what_was_thought_of_a_stuck_connection_does_not_hit_the_one_that_follows)
{
    struct client c;
    begin(",\"call_timeout\":20,\"operation_timeout\":5,\"max_connections\":1");
    client_ready(&c);
    pass(11 * S);
    call(&c, 1);
    pass(21 * S);
    ck_assert_has(client_read(&c), "\"reason\":\"timeout\"");
    call(&c, 2);
    pass(10 * S);
    ck_assert(slot(0)->draining);
    call(&c, 3); /* waits for the connection that is to come */
    w.start_delay = 2 * S;
    pass(12 * S); /* the second call has ended too, and with it the connection */
    pass(10 * S);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_uint_eq(slot(0)->epoch, 2);
    ck_assert_uint_eq(
        metrics_get(server()->metrics, METRIC_RECOVERY_ATTEMPTS, METRIC_ATTEMPT_FAILURE), 0);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_verdict_is_not_given_over_a_later_ping)
{
    struct client c;
    begin(",\"call_timeout\":10,\"operation_timeout\":18,\"health_check_interval\":6,"
          "\"max_connections\":1");
    client_ready(&c);
    call(&c, 1);
    struct fake *f = fake_at(0);
    pass(11 * S);
    ck_assert_has(client_read(&c), "\"reason\":\"timeout\"");
    ck_assert(slot(0)->suspect);
    answer(f); /* the ping: it lives */
    ck_assert(!slot(0)->suspect);
    unsigned pings = fake_pings(f);
    pass(9 * S);
    ck_assert_uint_eq(fake_pings(f), pings + 1); /* the next one, which has 18 seconds */
    pass(10 * S);
    ck_assert_uint_eq(slot(0)->epoch, 1);
    ck_assert_uint_eq(count(METRIC_CONNECTIONS_DRAINED), 0);
    answer(f);
    client_close(&c);
    world_end();
}
END_TEST

/* Clients give up long before call_timeout, so no call of theirs is ever overdue. */
START_TEST(a_server_that_hangs_is_replaced_however_soon_its_clients_give_up)
{
    struct client c;
    begin(",\"call_timeout\":300");
    client_ready(&c);
    pass(5 * S);
    for (int i = 1; i <= 5; i++) {
        ck_assert_uint_eq(slot(0)->epoch, 1);
        call(&c, i);
        pass(60 * S);
        cancel(&c, i);
    }
    ck_assert_uint_eq(slot(0)->epoch, 2);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_int_eq(server()->breaker.failures, 0); /* cancels are nobody's failure */
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(calls_that_were_taken_back_together_say_nothing)
{
    struct client c;
    begin(",\"call_timeout\":300");
    client_ready(&c);
    pass(5 * S);
    for (int round = 0; round < 2; round++) {
        for (int i = 1; i <= 5; i++)
            call(&c, i);
        pass(290 * S);
        for (int i = 1; i <= 5; i++)
            cancel(&c, i);
        fake_say(fake_at(0),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    }
    pass(3600 * S);
    ck_assert_uint_eq(slot(0)->epoch, 1);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_server_that_was_heard_after_a_cancelled_call_is_kept)
{
    struct client c;
    begin(",\"call_timeout\":300");
    client_ready(&c);
    struct fake *f = fake_at(0);
    for (int i = 1; i <= 20; i++) {
        call(&c, i);
        pass(60 * S);
        cancel(&c, i);
        ck_assert_uint_eq(slot(0)->epoch, 1);
        if (i % 3 == 0)
            fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    }
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_busy_server_of_one_session_gets_its_requests_all_the_same)
{
    struct client c;
    world_new(",\"sharing\":\"session\"", ",\"resilience\":{\"recovery_jitter_max\":0}");
    proxy_start(w.proxy);
    client_ready(&c);
    struct fake *f = fake_at(0);
    pass(31 * S);
    answer(f);
    call(&c, 1);
    ck_assert(got(f, "tools/call"));
    pass(120 * S);
    ck_assert(slot(0)->suspect);
    call(&c, 2); /* no other connection may ever take it */
    ck_assert(got(f, "tools/call"));
    client_close(&c);
    world_end();
}
END_TEST

/* The bytes of an unfinished answer are a sign of life, and as yet nothing else shows them. */
static uint64_t heard_bytes;
static uint64_t received(const struct transport *t)
{
    (void)t;
    return heard_bytes;
}

START_TEST(force_leaves_a_connection_alone_that_is_just_being_heard)
{
    struct client c;
    struct recover_result r;
    struct transport_ops ops = fake_ops;
    ops.received = received;
    heard_bytes = 0;
    begin(",\"max_connections\":1");
    client_ready(&c);
    struct fake *f = fake_at(0);
    f->base.ops = &ops;
    pass(31 * S);
    answer(f);
    call(&c, 1);
    pass(120 * S);
    ck_assert(slot(0)->suspect);
    heard_bytes += 100000;
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    turn();
    ck_assert_uint_eq(r.torn_down, 0);
    ck_assert_uint_eq(slot(0)->epoch, 1);
    client_close(&c);
    world_end();
}
END_TEST

/* Other connections are up, but they are other sessions' own. */
START_TEST(a_session_whose_own_server_is_down_hears_that_it_is)
{
    struct client a, b;
    world_new(",\"sharing\":\"session\"",
              ",\"resilience\":{\"recovery_jitter_max\":0,\"backoff_base\":60}");
    proxy_start(w.proxy);
    client_ready(&a);
    client_ready(&b);
    unsigned own = 0;
    while (slot(own)->lessee == NULL)
        own++;
    w.refuse = true;
    fake_die(fake_at(own));
    turn();
    ck_assert_int_eq(slot(own)->state, CONN_WAITING);
    struct client *c = slot(own)->lessee == &a.session->affinity ? &a : &b;
    call(c, 5); /* longer than it would wait */
    const char *m = client_read(c);
    ck_assert_has(m, "\"reason\":\"upstream_unavailable\"");
    ck_assert_has(m, "\"retryAfterMs\":60000");
    pass(45 * S);
    call(c, 6);
    ck_assert_ptr_null(client_read(c));
    pass(20 * S); /* the attempt failed, and the next one is too far away */
    ck_assert_has(client_read(c), "\"reason\":\"upstream_unavailable\"");
    w.refuse = false;
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(who_is_refused_for_want_of_room_is_not_told_to_wait_for_an_attempt)
{
    struct client c;
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0,\"backoff_base\":60,"
                    "\"min_connections\":2,\"max_connections\":2},"
                    "\"limits\":{\"max_in_flight_per_connection\":1,\"queue_length\":1}");
    proxy_start(w.proxy);
    client_ready(&c);
    w.refuse = true;
    fake_die(fake_at(1));
    turn();
    for (int i = 1; i <= 3; i++)
        call(&c, i);
    const char *m = client_read(&c);
    ck_assert_has(m, "\"reason\":\"overloaded\"");
    ck_assert_msg(!strstr(m, "retryAfterMs"), "%s", m);
    w.refuse = false;
    client_close(&c);
    world_end();
}
END_TEST

/* Nothing can be tried on it, and nothing else is there to be tried. */
START_TEST(a_half_open_breaker_is_not_pinned_by_a_suspect)
{
    struct client c;
    begin(",\"max_connections\":2,\"circuit_breaker_timeout\":10,\"operation_timeout\":5");
    client_ready(&c);
    struct fake *f = fake_at(0);
    pass(31 * S);
    answer(f);
    call(&c, 1); /* will take long */
    pass(120 * S);
    ck_assert(slot(0)->suspect);
    for (int i = 0; i < 5; i++)
        conn_note_garbage(slot(0), server()->breaker.epoch);
    ck_assert_int_eq(server()->breaker.state, BREAKER_OPEN);
    pass(60 * S);
    ck_assert_int_eq(server()->breaker.state, BREAKER_HALF_OPEN);
    call(&c, 2);
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    pass(5 * S); /* concurrency comes back gradually */
    ck_assert(got(fake_at(1), "tools/call"));
    client_close(&c);
    world_end();
}
END_TEST

/* It lives, and answers everything with garbage: no ping of the monitor is ever missed. */
START_TEST(a_server_that_fails_every_trial_is_replaced_in_the_end)
{
    struct client c;
    struct transport_ops ops = fake_ops;
    ops.received = received;
    begin("");
    client_ready(&c);
    struct fake *f = fake_at(0);
    pass(31 * S);
    answer(f); /* it did better once */
    f->base.ops = &ops;
    unsigned pings = fake_pings(f);
    for (int i = 0; i < 5; i++)
        conn_note_garbage(slot(0), server()->breaker.epoch);
    for (int i = 0; i < 299; i++) {
        char id[24];
        pass(S);
        ck_assert_uint_eq(slot(0)->epoch, 1);
        ck_assert_int_ne(server()->breaker.state, BREAKER_CLOSED);
        if (fake_pings(f) == pings)
            continue;
        pings = fake_pings(f);
        heard_bytes += 100;
        snprintf(id, sizeof(id), "%llu", (unsigned long long)slot(0)->next_id - 1);
        f->ev->on_discarded(f->arg, slice_str(id), REASON_UPSTREAM_PROTOCOL);
    }
    pass(30 * S);
    ck_assert_uint_eq(slot(0)->epoch, 2);
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    client_close(&c);
    world_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/stuck");
    TCase *t = tcase_create("stuck");
    tcase_add_test(t, what_was_thought_of_a_stuck_connection_does_not_hit_the_one_that_follows);
    tcase_add_test(t, a_verdict_is_not_given_over_a_later_ping);
    tcase_add_test(t, a_server_that_hangs_is_replaced_however_soon_its_clients_give_up);
    tcase_add_test(t, calls_that_were_taken_back_together_say_nothing);
    tcase_add_test(t, a_server_that_was_heard_after_a_cancelled_call_is_kept);
    tcase_add_test(t, a_busy_server_of_one_session_gets_its_requests_all_the_same);
    tcase_add_test(t, force_leaves_a_connection_alone_that_is_just_being_heard);
    tcase_add_test(t, a_session_whose_own_server_is_down_hears_that_it_is);
    tcase_add_test(t, who_is_refused_for_want_of_room_is_not_told_to_wait_for_an_attempt);
    tcase_add_test(t, a_half_open_breaker_is_not_pinned_by_a_suspect);
    tcase_add_test(t, a_server_that_fails_every_trial_is_replaced_in_the_end);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
