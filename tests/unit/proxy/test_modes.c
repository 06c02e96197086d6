/* A server that its operator drains or takes out of service: what runs ends, what comes waits or is
 * refused, nothing is opened meanwhile, and everything comes back. */
#include "clients.h"

#include "upstream/pool.h"
#include "upstream/server.h"

#define S USEC_PER_SEC
#define READ(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"method\":\"resources/read\",\"params\":{\"uri\":\"f:///x\"}}"
#define SUBSCRIBE(id)                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"f:///x\"}}"

static struct server *server(void)
{
    return route_at(w.proxy, 0)->server;
}

static struct conn *slot(unsigned i)
{
    return server()->pools->slots[i];
}

static struct server_counts counts(void)
{
    struct server_counts n;
    server_count(server(), &n);
    return n;
}

static unsigned idle(void)
{
    return counts().slots[CONN_IDLE];
}

static void start(const char *resilience, const char *extra)
{
    char top[400];
    snprintf(top, sizeof(top), ",\"resilience\":{\"recovery_jitter_max\":0%s}", resilience);
    world_new(extra, top);
    proxy_start(w.proxy);
    turn();
}

static void end(void)
{
    ck_assert_uint_eq(metrics_sum(server()->metrics, METRIC_AUDIT_REPAIRS), 0);
    world_end();
}

static void set(enum server_mode mode)
{
    server_set_mode(server(), mode);
    turn();
    ck_assert_int_eq(server_mode(server()), mode);
}

static void answer(struct fake *f, const char *request)
{
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
             (unsigned long long)id_of(request));
    turn();
}

static void ck_refused(struct client *c, const char *id)
{
    const char *m = client_read(c);
    ck_assert_has(m, id);
    ck_assert_has(m, "\"reason\":\"maintenance\",\"delivered\":\"no\"");
    ck_assert_ptr_null(strstr(m, "retryAfterMs"));
}

START_TEST(a_drain_lets_calls_end_and_others_wait)
{
    start("", NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    client_say(&a, CALL("1"));
    struct fake *f = fake_at(0);
    const char *m = fake_read(f);
    set(SERVER_DRAIN);
    client_say(&a, CALL("2"));
    client_say(&b, CALL("3"));
    pass(5 * S);
    ck_assert_ptr_null(fake_read(f));
    ck_assert_ptr_null(client_read(&b));
    answer(f, m);
    ck_assert_has(client_read(&a), "\"id\":1");
    turn();
    ck_assert_uint_eq(idle(), counts().max_size);
    ck_assert_uint_eq(counts().waiting, 2);
    pass(10 * S); /* queue_timeout goes on, and is not over yet */
    ck_assert_uint_eq(w.opens, 1);
    set(SERVER_ACTIVE);
    client_say(&b, CALL("4"));
    unsigned answered = 0;
    for (int round = 0; round < 4; round++)
        for (f = w.fakes; f; f = f->next)
            while ((m = fake_read(f)) != NULL) {
                answer(f, m);
                answered++;
            }
    ck_assert_uint_eq(answered, 3);
    ck_assert_has(client_read(&a), "\"id\":2");
    ck_assert_has(client_read(&b), "\"id\":3");
    ck_assert_has(client_read(&b), "\"id\":4");
    client_close(&a);
    client_close(&b);
    end();
}
END_TEST

START_TEST(who_waits_too_long_in_a_drain_hears_why)
{
    start("", NULL);
    open_ready(&a, NULL);
    set(SERVER_DRAIN);
    client_say(&a, CALL("1"));
    pass(20 * S - 1);
    ck_assert_ptr_null(client_read(&a));
    pass(2);
    ck_refused(&a, "\"id\":1");
    client_close(&a);
    end();
}
END_TEST

START_TEST(maintenance_refuses_at_once_and_who_is_in_line)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    struct fake *f = fake_at(0);
    const char *m = fake_read(f);
    set(SERVER_DRAIN);
    client_say(&a, CALL("2"));
    ck_assert_ptr_null(client_read(&a));
    set(SERVER_MAINT);
    ck_refused(&a, "\"id\":2");
    client_say(&a, CALL("3"));
    ck_refused(&a, "\"id\":3");
    answer(f, m); /* what ran before may end */
    ck_assert_has(client_read(&a), "\"id\":1,\"result\"");
    turn();
    ck_assert_uint_eq(idle(), counts().max_size);
    /* A session of then is told what is known of the server; its calls are not let through. */
    open_ready(&b, NULL);
    client_say(&b, CALL("4"));
    ck_refused(&b, "\"id\":4");
    ck_assert_uint_eq(metrics_get(server()->metrics, METRIC_CALL_FAILURES, REASON_MAINTENANCE), 3);
    set(SERVER_ACTIVE);
    client_say(&b, CALL("5"));
    f = w.fakes;
    answer(f, fake_read(f));
    ck_assert_has(client_read(&b), "\"id\":5,\"result\"");
    client_close(&a);
    client_close(&b);
    end();
}
END_TEST

START_TEST(maintenance_before_the_first_handshake)
{
    world_new(NULL, NULL);
    w.mute = true;
    proxy_start(w.proxy);
    turn();
    client_open(&a, "anonymous", NULL);
    ck_assert_ptr_null(client_read(&a));
    set(SERVER_MAINT);
    ck_assert_has(client_read(&a), "\"reason\":\"maintenance\"");
    ck_assert_uint_eq(idle(), counts().max_size);
    w.mute = false;
    set(SERVER_ACTIVE);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    client_close(&a);
    end();
}
END_TEST

/* Days of it: no attempt, no sweep, no watchdog, no complaint. */
START_TEST(a_drained_server_is_left_alone)
{
    start(",\"min_connections\":3", NULL);
    open_ready(&a, NULL);
    set(SERVER_DRAIN);
    ck_assert_uint_eq(idle(), counts().max_size);
    pass(48 * 3600 * S);
    ck_assert_uint_eq(w.opens, 3);
    ck_assert_uint_eq(idle(), counts().max_size);
    ck_assert_uint_eq(metrics_sum(server()->metrics, METRIC_FORCED_RECOVERIES), 0);
    ck_assert_int_eq(server_health(server()), HEALTH_UNKNOWN);
    set(SERVER_ACTIVE);
    ck_assert_uint_eq(counts().slots[CONN_READY], 3);
    ck_assert_int_eq(server_health(server()), HEALTH_HEALTHY);
    client_close(&a);
    end();
}
END_TEST

START_TEST(a_dead_server_is_not_tried_while_drained_and_afresh_afterwards)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0,\"force_recovery_interval\":100}");
    w.refuse = true;
    proxy_start(w.proxy);
    pass(40 * S);
    unsigned opens = w.opens;
    enum breaker_state breaker = server()->breaker.state;
    unsigned failures = server()->breaker.failures;
    ck_assert_int_eq(breaker, BREAKER_OPEN);
    set(SERVER_DRAIN);
    ck_assert_int_eq(server()->breaker.state, breaker);
    ck_assert_uint_eq(server()->breaker.failures, failures);
    struct recover_result r;
    server_recover(server(), RECOVER_BY_OPERATOR, &r); /* an operator's force neither */
    ck_assert_uint_eq(r.started, 0);
    pass(3600 * S);
    ck_assert_uint_eq(w.opens, opens);
    ck_assert_uint_eq(counts().failed, 0);
    set(SERVER_ACTIVE);
    ck_assert_uint_eq(w.opens, opens + 1);
    ck_assert_int_eq(slot(0)->state, CONN_WAITING);
    ck_assert_uint_eq(slot(0)->retry_at, w.env.now + S);
    w.refuse = false;
    pass(S);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    end();
}
END_TEST

START_TEST(the_watchdog_leaves_a_drained_server_alone)
{
    world_new(",\"wait_for_ready\":true",
              ",\"resilience\":{\"recovery_jitter_max\":0,\"force_recovery_interval\":10,"
              "\"circuit_breaker_threshold\":1}");
    proxy_start(w.proxy);
    turn();
    open_ready(&a, NULL);
    w.refuse = true;
    fake_die(fake_at(0));
    while (server()->breaker.state != BREAKER_OPEN)
        pass(S);
    uint64_t forced = metrics_sum(server()->metrics, METRIC_FORCED_RECOVERIES);
    unsigned opens = w.opens;
    set(SERVER_DRAIN);
    client_say(&a, CALL("1"));
    pass(19 * S);
    ck_assert_uint_eq(counts().waiting, 1);
    ck_assert_uint_eq(metrics_sum(server()->metrics, METRIC_FORCED_RECOVERIES), forced);
    ck_assert_uint_eq(w.opens, opens);
    pass(2 * S);
    ck_refused(&a, "\"id\":1");
    client_close(&a);
    end();
}
END_TEST

/* The breaker's trial is the attempt that the drain ends: that says nothing of the server. */
START_TEST(a_trial_that_a_drain_ends_is_no_failure)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0,\"circuit_breaker_timeout\":20}");
    w.refuse = true;
    proxy_start(w.proxy);
    while (server()->breaker.state != BREAKER_HALF_OPEN)
        pass(S);
    w.refuse = false;
    w.mute = true;
    while (!server()->breaker.trial)
        pass(S);
    unsigned failures = server()->breaker.failures;
    set(SERVER_MAINT);
    ck_assert(!server()->breaker.trial);
    pass(60 * S);
    ck_assert_uint_eq(server()->breaker.failures, failures);
    ck_assert_int_eq(server()->breaker.state, BREAKER_HALF_OPEN);
    w.mute = false;
    set(SERVER_ACTIVE);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    end();
}
END_TEST

START_TEST(an_open_breaker_refuses_also_in_a_drain)
{
    start("", NULL);
    open_ready(&a, NULL);
    w.refuse = true;
    fake_die(fake_at(0));
    while (server()->breaker.state != BREAKER_OPEN)
        pass(S);
    set(SERVER_DRAIN);
    client_say(&a, CALL("1"));
    ck_assert_has(client_read(&a), "\"reason\":\"breaker_open\",\"delivered\":\"no\"");
    set(SERVER_MAINT); /* what the operator wants is the better answer */
    client_say(&a, CALL("2"));
    ck_refused(&a, "\"id\":2");
    client_close(&a);
    end();
}
END_TEST

START_TEST(a_busy_connection_goes_on_when_the_server_is_resumed)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    struct fake *f = fake_at(0);
    const char *m = fake_read(f);
    set(SERVER_DRAIN);
    set(SERVER_DRAIN);
    client_say(&a, CALL("2"));
    server_set_mode(server(), SERVER_ACTIVE);
    /* Those in line are served before the next thing happens. */
    const char *second = fake_read(f);
    ck_assert_ptr_nonnull(second);
    answer(f, m);
    answer(f, second);
    ck_assert_has(client_read(&a), "\"id\":1");
    ck_assert_has(client_read(&a), "\"id\":2");
    set(SERVER_ACTIVE);
    pass(60 * S);
    ck_assert_uint_eq(w.opens, 1);
    client_close(&a);
    end();
}
END_TEST

/* A connection that dies over calls in a drain: what it never received waits; in maintenance it is
 * refused, and only what certainly did not run hears "no". */
START_TEST(calls_of_a_connection_that_dies_meanwhile)
{
    start("", NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    client_say(&b, READ("1"));
    client_say(&a, READ("2"));
    fake_at(0)->stuck_from = fake_at(0)->marks;
    set(SERVER_DRAIN);
    fake_die(fake_at(0));
    turn();
    ck_assert_uint_eq(counts().waiting, 2);
    ck_assert_uint_eq(idle(), counts().max_size);
    ck_assert_uint_eq(counts().failed, 0);
    set(SERVER_MAINT);
    ck_refused(&a, "\"id\":2");
    ck_assert_has(client_read(&b), "\"reason\":\"maintenance\",\"delivered\":\"maybe\"");
    client_close(&a);
    client_close(&b);
    end();
}
END_TEST

START_TEST(what_sessions_are_tied_to_comes_back_with_the_mode)
{
    start("", ",\"sharing\":\"session\"");
    open_ready(&a, NULL);
    client_say(&a, SUBSCRIBE("1"));
    struct fake *f;
    const char *m = NULL;
    for (f = w.fakes; f && (m = fake_read(f)) == NULL; f = f->next)
        ;
    unsigned own = f->slot;
    answer(f, m);
    ck_assert_has(client_read(&a), "\"id\":1");
    set(SERVER_DRAIN);
    ck_assert_uint_eq(idle(), counts().max_size);
    pass(600 * S);
    set(SERVER_ACTIVE);
    ck_assert_int_eq(slot(own)->state, CONN_READY);
    f = fake_at(own);
    m = fake_read(f);
    ck_assert_has(m, "resources/subscribe");
    answer(f, m);
    ck_assert_has(client_read(&a), "notifications/resources/updated");
    client_close(&a);
    end();
}
END_TEST

START_TEST(lists_are_compared_when_it_is_back)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"tools\":[]}}",
             (unsigned long long)id_of(fake_read(fake_at(0))));
    turn();
    ck_assert_has(client_read(&a), "\"id\":1");
    set(SERVER_DRAIN);
    pass(100 * S);
    set(SERVER_ACTIVE);
    struct fake *f = w.fakes;
    const char *m = fake_read(f);
    ck_assert_has(m, "tools/list");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"tools\":[{\"name\":\"new\"}]}}",
             (unsigned long long)id_of(m));
    turn();
    ck_assert_has(client_read(&a), "list_changed");
    client_close(&a);
    end();
}
END_TEST

START_TEST(a_restart_of_a_drained_server_opens_nothing)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    struct fake *f = fake_at(0);
    const char *m = fake_read(f);
    set(SERVER_DRAIN);
    server_renew(server(), server()->config, server()->sc, true);
    turn();
    ck_assert_uint_eq(w.opens, 1);
    answer(f, m);
    ck_assert_has(client_read(&a), "\"id\":1");
    turn();
    ck_assert_uint_eq(idle(), counts().max_size);
    set(SERVER_ACTIVE);
    ck_assert_uint_eq(w.opens, 2);
    client_close(&a);
    end();
}
END_TEST

START_TEST(a_drained_server_stops_with_the_daemon)
{
    start("", NULL);
    open_ready(&a, NULL);
    set(SERVER_DRAIN);
    client_say(&a, CALL("1"));
    proxy_stop(w.proxy, world_stopped, NULL);
    server_set_mode(server(), SERVER_MAINT); /* still possible while the daemon drains */
    turn();
    ck_refused(&a, "\"id\":1");
    turn();
    ck_assert(w.stopped);
    server_set_mode(server(), SERVER_ACTIVE);
    turn();
    ck_assert_int_eq(server_mode(server()), SERVER_MAINT);
    client_close(&a);
    proxy_free(w.proxy);
    config_unref(w.config);
    ck_assert_uint_eq(env_next_due(&w.env), USEC_NEVER);
    env_done(&w.env);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/modes");
    TCase *t = tcase_create("modes");
    tcase_add_test(t, a_drain_lets_calls_end_and_others_wait);
    tcase_add_test(t, who_waits_too_long_in_a_drain_hears_why);
    tcase_add_test(t, maintenance_refuses_at_once_and_who_is_in_line);
    tcase_add_test(t, maintenance_before_the_first_handshake);
    tcase_add_test(t, a_drained_server_is_left_alone);
    tcase_add_test(t, a_dead_server_is_not_tried_while_drained_and_afresh_afterwards);
    tcase_add_test(t, the_watchdog_leaves_a_drained_server_alone);
    tcase_add_test(t, a_trial_that_a_drain_ends_is_no_failure);
    tcase_add_test(t, an_open_breaker_refuses_also_in_a_drain);
    tcase_add_test(t, a_busy_connection_goes_on_when_the_server_is_resumed);
    tcase_add_test(t, calls_of_a_connection_that_dies_meanwhile);
    tcase_add_test(t, what_sessions_are_tied_to_comes_back_with_the_mode);
    tcase_add_test(t, lists_are_compared_when_it_is_back);
    tcase_add_test(t, a_restart_of_a_drained_server_opens_nothing);
    tcase_add_test(t, a_drained_server_stops_with_the_daemon);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
