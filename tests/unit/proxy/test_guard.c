/* The circuit breaker at work in the core (resilience.md section 2): what opens it, what it
 * refuses, what closes it. */
#include "world.h"

#include "upstream/pool.h"
#include "upstream/server.h"

#define S USEC_PER_SEC

static struct server *server(void)
{
    return route_at(w.proxy, 0)->server;
}

static struct conn *slot(unsigned i)
{
    return server()->pools->slots[i];
}

static enum breaker_state state(void)
{
    return server()->breaker.state;
}

/* A server that is up with a client, no jitter. */
static void begin(struct client *c, const char *more)
{
    char top[600];
    snprintf(top, sizeof(top), ",\"resilience\":{\"recovery_jitter_max\":0%s}", more);
    world_new(NULL, top);
    proxy_start(w.proxy);
    pass(11 * S); /* stable */
    client_ready(c);
}

static void call(struct client *c, int id)
{
    char text[200];
    snprintf(
        text, sizeof(text),
        "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}",
        id);
    client_say(c, text);
}

/* The server dies and cannot be started any more; time passes until `attempts` have failed. */
static void fail_attempts(unsigned attempts)
{
    unsigned opens = w.opens;
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    while (w.opens < opens + attempts)
        pass(S / 2);
}

static void end(struct client *c)
{
    client_close(c);
    world_end();
}

START_TEST(circuit_breaker_threshold_consecutive_failures_open_it)
{
    struct client c;
    begin(&c, "");
    fail_attempts(4);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    while (w.opens < 6)
        pass(S / 2);
    ck_assert_int_eq(state(), BREAKER_OPEN);
    ck_assert_uint_eq(server()->breaker.failures, 5);
    ck_assert_uint_eq(metrics_get(server()->metrics, METRIC_BREAKER_TRANSITIONS, BREAKER_OPEN), 1);
    w.refuse = false;
    end(&c);
}
END_TEST

START_TEST(an_open_breaker_refuses_at_once_and_says_when_to_come_back)
{
    struct client c;
    begin(&c, ",\"backoff_base\":30");
    fail_attempts(5);
    ck_assert_int_eq(state(), BREAKER_OPEN);
    call(&c, 7);
    const char *m = client_read(&c);
    ck_assert_has(m, "\"id\":7,");
    ck_assert_has(m, "\"reason\":\"breaker_open\"");
    ck_assert_has(m, "\"delivered\":\"no\"");
    ck_assert_has(m, "\"retryAfterMs\":");
    ck_assert_ptr_null(strstr(m, "\"retryAfterMs\":0"));
    w.refuse = false;
    end(&c);
}
END_TEST

START_TEST(with_wait_for_ready_a_call_waits_for_the_breaker)
{
    struct client c;
    world_new(",\"wait_for_ready\":true", ",\"resilience\":{\"recovery_jitter_max\":0,"
                                          "\"max_backoff_delay\":4,\"queue_timeout\":30}");
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    fail_attempts(6);
    ck_assert_int_eq(state(), BREAKER_OPEN);
    call(&c, 7);
    ck_assert_ptr_null(client_read(&c));
    w.refuse = false;
    pass(5 * S);
    struct fake *f = fake_at(0);
    ck_assert_has(fake_read(f), "tools/call");
    end(&c);
}
END_TEST

START_TEST(recovery_goes_on_while_it_is_open_and_a_handshake_closes_it)
{
    struct client c;
    begin(&c, ",\"max_backoff_delay\":4,\"circuit_breaker_timeout\":3600");
    fail_attempts(8);
    ck_assert_int_eq(state(), BREAKER_OPEN);
    w.refuse = false;
    pass(4 * S);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    const struct metrics *m = server()->metrics;
    ck_assert_uint_eq(metrics_get(m, METRIC_BREAKER_TRANSITIONS, METRIC_BREAKER_HALF_OPEN), 1);
    ck_assert_uint_eq(metrics_get(m, METRIC_BREAKER_TRANSITIONS, METRIC_BREAKER_CLOSED), 1);
    call(&c, 7);
    ck_assert_has(fake_read(fake_at(0)), "tools/call");
    end(&c);
}
END_TEST

/* Attempts every 40 s, the breaker open for 60 s. */
#define RARELY                                                                                     \
    ",\"backoff_base\":40,\"max_backoff_delay\":40,\"circuit_breaker_threshold\":1,"               \
    "\"force_recovery_interval\":\"1d\""

START_TEST(circuit_breaker_timeout_makes_the_next_attempt_a_trial)
{
    struct client c;
    begin(&c, RARELY);
    fail_attempts(1);
    ck_assert_int_eq(state(), BREAKER_OPEN);
    unsigned opens = w.opens;
    pass(39 * S);
    ck_assert_uint_eq(w.opens, opens); /* the table of delays stands */
    pass(2 * S);
    ck_assert_uint_eq(w.opens, opens + 1);
    ck_assert_int_eq(state(), BREAKER_OPEN);
    pass(20 * S);
    ck_assert_int_eq(state(), BREAKER_HALF_OPEN);
    call(&c, 1);
    const char *m = client_read(&c);
    ck_assert_has(m, "breaker_open");
    w.refuse = false;
    pass(20 * S);
    ck_assert_uint_eq(w.opens, opens + 2);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    end(&c);
}
END_TEST

START_TEST(a_trial_that_hangs_does_not_pin_it_half_open)
{
    struct client c;
    begin(&c, RARELY);
    fail_attempts(1);
    w.refuse = false;
    w.mute = true;
    pass(84 * S); /* 40: hangs till 70; breaker half-open at 60 and the attempt its trial till 65 */
    ck_assert_int_eq(state(), BREAKER_OPEN);
    ck_assert_uint_eq(metrics_get(server()->metrics, METRIC_BREAKER_TRANSITIONS, BREAKER_OPEN), 2);
    w.mute = false;
    pass(60 * S);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    end(&c);
}
END_TEST

START_TEST(a_connection_that_is_up_is_tried_with_pings_and_two_close_it)
{
    struct client c;
    begin(&c, ",\"circuit_breaker_threshold\":3");
    pass(11 * S);
    for (int i = 1; i <= 3; i++) {
        call(&c, i);
        char id[24];
        snprintf(id, sizeof(id), "%llu", (unsigned long long)slot(0)->next_id - 1);
        fake_at(0)->ev->on_discarded(fake_at(0)->arg, slice_str(id), REASON_UPSTREAM_PROTOCOL);
    }
    ck_assert_int_eq(state(), BREAKER_OPEN);
    call(&c, 9);
    while (c.read_n < 3)
        client_read(&c);
    ck_assert_has(c.got[c.got_n - 1], "breaker_open");
    pass(S);
    unsigned pings = fake_pings(fake_at(0));
    while (state() == BREAKER_OPEN) {
        pings = fake_pings(fake_at(0));
        pass(S);
    }
    ck_assert_int_eq(state(), BREAKER_HALF_OPEN);
    for (int trial = 0; trial < 2; trial++) {
        ck_assert_uint_eq(fake_pings(fake_at(0)), pings + (unsigned)trial + 1);
        /* Answered with an error, as by a server that does not know it. */
        fake_say(fake_at(0),
                 "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32601,\"message\":\"?\"}}",
                 (unsigned long long)slot(0)->next_id - 1);
        turn();
        ck_assert_int_eq(state(), trial ? BREAKER_CLOSED : BREAKER_HALF_OPEN);
    }
    end(&c);
}
END_TEST

START_TEST(one_that_answers_no_ping_is_asked_by_a_handshake)
{
    struct client c;
    begin(&c, ",\"circuit_breaker_threshold\":1");
    call(&c, 1);
    char id[24];
    snprintf(id, sizeof(id), "%llu", (unsigned long long)slot(0)->next_id - 1);
    fake_at(0)->ev->on_discarded(fake_at(0)->arg, slice_str(id), REASON_UPSTREAM_PROTOCOL);
    ck_assert_int_eq(state(), BREAKER_OPEN);
    pass(64 * S);
    ck_assert_int_eq(state(), BREAKER_HALF_OPEN);
    ck_assert_uint_eq(slot(0)->epoch, 1);
    pass(2 * S);
    ck_assert_uint_eq(slot(0)->epoch, 2);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    end(&c);
}
END_TEST

START_TEST(what_is_oversize_is_not_the_servers_failure)
{
    struct client c;
    begin(&c, ",\"circuit_breaker_threshold\":1");
    call(&c, 1);
    char id[24];
    snprintf(id, sizeof(id), "%llu", (unsigned long long)slot(0)->next_id - 1);
    fake_at(0)->ev->on_discarded(fake_at(0)->arg, slice_str(id), REASON_RESPONSE_TOO_LARGE);
    turn();
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    end(&c);
}
END_TEST

START_TEST(an_idle_connection_that_ends_is_no_failure)
{
    struct client c;
    begin(&c, ",\"circuit_breaker_threshold\":1");
    pass(11 * S);
    fake_die(fake_at(0));
    turn();
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    end(&c);
}
END_TEST

START_TEST(one_that_ends_with_work_in_flight_is_one_failure_however_many_calls)
{
    struct client c;
    begin(&c, "");
    pass(11 * S);
    for (int i = 1; i <= 10; i++)
        call(&c, i);
    fake_die(fake_at(0));
    turn();
    ck_assert_uint_eq(server()->breaker.failures, 0); /* the next handshake has suspended it */
    ck_assert_uint_eq(server()->breaker.before_reset, 1);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    end(&c);
}
END_TEST

START_TEST(one_that_accepts_and_dies_opens_it_for_good)
{
    struct client c;
    begin(&c, ",\"max_backoff_delay\":2,\"circuit_breaker_threshold\":3");
    for (int i = 0; i < 20; i++) {
        struct fake *f = fake_at(0);
        if (f && f->opened)
            fake_die(f);
        pass(S);
    }
    const struct metrics *m = server()->metrics;
    ck_assert_uint_ge(metrics_get(m, METRIC_BREAKER_TRANSITIONS, METRIC_BREAKER_OPEN), 2);
    end(&c);
}
END_TEST

START_TEST(a_slot_that_cannot_start_beside_one_that_is_well_is_its_own_matter)
{
    struct client c;
    begin(&c, ",\"min_connections\":2,\"circuit_breaker_threshold\":2,\"max_backoff_delay\":1");
    w.refuse = true;
    fake_die(fake_at(1));
    pass(20 * S);
    ck_assert_uint_gt(w.opens, 10);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    call(&c, 7);
    ck_assert_has(fake_read(fake_at(0)), "tools/call");
    w.refuse = false;
    end(&c);
}
END_TEST

START_TEST(without_any_connection_a_request_is_the_trial)
{
    struct client c;
    begin(&c,
          ",\"min_connections\":0,\"circuit_breaker_threshold\":1,\"circuit_breaker_timeout\":5,"
          "\"backoff_base\":600,\"max_backoff_delay\":600");
    call(&c, 1);
    turn();
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    session_end(c.session); /* nobody wants the slot any more */
    pass(700 * S);
    ck_assert_int_ne(state(), BREAKER_CLOSED);
    w.refuse = false;
    struct client d;
    client_open(&d, "anonymous", NULL);
    call(&d, 2);
    pass(2 * S);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    client_close(&d);
    end(&c);
}
END_TEST

START_TEST(after_it_closed_concurrency_grows_over_circuit_breaker_ramp)
{
    struct client c;
    begin(&c, ",\"circuit_breaker_threshold\":1,\"backoff_base\":1,\"max_connections\":1");
    fail_attempts(1);
    w.refuse = false;
    pass(S + S / 2);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    for (int i = 1; i <= 16; i++)
        call(&c, i);
    ck_assert_uint_lt(slot(0)->running, 8);
    unsigned before = slot(0)->running;
    ck_assert_uint_ge(before, 1);
    pass(5 * S);
    ck_assert_uint_gt(slot(0)->running, before);
    pass(6 * S);
    ck_assert_uint_eq(slot(0)->running, 16);
    end(&c);
}
END_TEST

START_TEST(force_after_the_ramp_forgets_nobody_whom_it_held_back)
{
    struct client c;
    struct recover_result r;
    begin(&c, ",\"circuit_breaker_threshold\":1,\"backoff_base\":1,\"max_connections\":1,"
              "\"circuit_breaker_ramp\":\"10500ms\"");
    fail_attempts(1);
    w.refuse = false;
    pass(S + S / 2);
    ck_assert_int_eq(state(), BREAKER_CLOSED);
    for (int i = 1; i <= 16; i++)
        call(&c, i);
    /* After the end of the ramp, before the next look of the breaker's timer. */
    pass(server()->breaker.closed_at + 10600000 - w.env.now);
    ck_assert_uint_eq(slot(0)->running, 15);
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    turn();
    ck_assert_uint_eq(slot(0)->running, 16);
    end(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/guard");
    TCase *t = tcase_create("guard");
    tcase_add_test(t, circuit_breaker_threshold_consecutive_failures_open_it);
    tcase_add_test(t, an_open_breaker_refuses_at_once_and_says_when_to_come_back);
    tcase_add_test(t, with_wait_for_ready_a_call_waits_for_the_breaker);
    tcase_add_test(t, recovery_goes_on_while_it_is_open_and_a_handshake_closes_it);
    tcase_add_test(t, circuit_breaker_timeout_makes_the_next_attempt_a_trial);
    tcase_add_test(t, a_trial_that_hangs_does_not_pin_it_half_open);
    tcase_add_test(t, a_connection_that_is_up_is_tried_with_pings_and_two_close_it);
    tcase_add_test(t, one_that_answers_no_ping_is_asked_by_a_handshake);
    tcase_add_test(t, what_is_oversize_is_not_the_servers_failure);
    tcase_add_test(t, an_idle_connection_that_ends_is_no_failure);
    tcase_add_test(t, one_that_ends_with_work_in_flight_is_one_failure_however_many_calls);
    tcase_add_test(t, one_that_accepts_and_dies_opens_it_for_good);
    tcase_add_test(t, a_slot_that_cannot_start_beside_one_that_is_well_is_its_own_matter);
    tcase_add_test(t, without_any_connection_a_request_is_the_trial);
    tcase_add_test(t, after_it_closed_concurrency_grows_over_circuit_breaker_ramp);
    tcase_add_test(t, force_after_the_ramp_forgets_nobody_whom_it_held_back);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
