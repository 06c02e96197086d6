/* What looks after connections: the sweep and its audit, the watchdog, recovery by force, the
 * pacing of starts, the monitor's pings, and what happens to a connection that has stopped
 * answering (resilience.md sections 1, 3 and 6). */
#include "watching.h"

/* ---- the sweep ---- */

START_TEST(recovery_interval_sweep_saves_a_slot_whose_timer_is_lost)
{
    begin("");
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    ck_assert_int_eq(slot(0)->state, CONN_WAITING);
    env_timer_clear(&w.env, &slot(0)->timer);
    w.refuse = false;
    pass(10 * S);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_uint_eq(count(METRIC_AUDIT_REPAIRS), 1);
    world_end();
}
END_TEST

START_TEST(an_attempt_without_a_deadline_is_found_too)
{
    begin("");
    w.mute = true;
    fake_die(fake_at(0));
    pass(2 * S);
    ck_assert_int_eq(slot(0)->state, CONN_HANDSHAKE);
    env_timer_clear(&w.env, &slot(0)->timer);
    w.mute = false;
    pass(120 * S);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_uint_ge(count(METRIC_AUDIT_REPAIRS), 1);
    world_end();
}
END_TEST

START_TEST(the_audit_finds_nothing_when_nothing_is_wrong)
{
    begin(",\"min_connections\":4");
    for (int i = 0; i < 200; i++) {
        struct fake *f = fake_at((unsigned)i % 4);
        w.refuse = i % 3 == 0;
        if (f && f->opened)
            fake_die(f);
        pass((usec_t)(i % 17) * S);
    }
    w.refuse = false;
    pass(100 * S);
    ck_assert_uint_eq(pool_ready_count(pool()), 4);
    ck_assert_uint_eq(count(METRIC_AUDIT_REPAIRS), 0);
    world_end();
}
END_TEST

START_TEST(a_standstill_of_the_machine_is_no_fault_of_a_slot)
{
    begin(",\"min_connections\":3");
    w.refuse = true;
    for (unsigned i = 0; i < 3; i++)
        fake_die(fake_at(i));
    turn();
    w.refuse = false;
    env_run(&w.env, w.env.now + 3600 * S);
    turn();
    pass(20 * S);
    ck_assert_uint_eq(pool_ready_count(pool()), 3);
    ck_assert_uint_eq(count(METRIC_AUDIT_REPAIRS), 0);
    world_end();
}
END_TEST

START_TEST(nor_when_their_starts_were_paced)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0,\"min_connections\":8},"
                    "\"limits\":{\"start_burst\":1,\"start_rate\":2}");
    proxy_start(w.proxy);
    pass(20 * S);
    ck_assert_uint_eq(pool_ready_count(pool()), 8);
    w.start_delay = 5 * S;
    for (unsigned i = 0; i < 8; i++)
        fake_die(fake_at(i));
    for (int i = 0; i < 300; i++) {
        pass(S / 10);
        unsigned starting = 0;
        for (unsigned k = 0; k < 8; k++)
            starting += slot(k)->state == CONN_CONNECTING || slot(k)->state == CONN_HANDSHAKE;
        ck_assert_uint_le(starting, 3);
    }
    ck_assert_uint_eq(pool_ready_count(pool()), 8);
    ck_assert_uint_eq(count(METRIC_AUDIT_REPAIRS), 0);
    world_end();
}
END_TEST

START_TEST(nor_when_force_comes_sooner_than_the_turn_to_start)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0,\"min_connections\":30,"
                    "\"max_connections\":30,\"force_recovery_interval\":12,"
                    "\"recovery_interval\":5},"
                    "\"limits\":{\"start_burst\":1,\"start_rate\":1}");
    proxy_start(w.proxy);
    pass(60 * S);
    ck_assert_uint_eq(pool_ready_count(pool()), 30);
    ck_assert_uint_eq(count(METRIC_AUDIT_REPAIRS), 0);
    world_end();
}
END_TEST

START_TEST(nor_when_the_sweep_comes_later_than_force)
{
    begin(",\"min_connections\":8,\"recovery_interval\":60,\"force_recovery_interval\":20,"
          "\"operation_timeout\":55");
    w.mute = true;
    for (unsigned i = 0; i < 8; i++)
        fake_die(fake_at(i));
    pass(600 * S);
    w.mute = false;
    pass(120 * S);
    ck_assert_uint_eq(pool_ready_count(pool()), 8);
    ck_assert_uint_eq(count(METRIC_AUDIT_REPAIRS), 0);
    world_end();
}
END_TEST

START_TEST(a_paced_start_whose_timer_is_lost_comes_with_the_sweep)
{
    world_new(NULL, ",\"resilience\":{\"min_connections\":2},"
                    "\"limits\":{\"start_burst\":1,\"start_rate\":1}");
    proxy_start(w.proxy);
    turn();
    ck_assert(slot(1)->paced);
    env_timer_clear(&w.env, &slot(1)->timer);
    pass(11 * S);
    ck_assert_uint_eq(pool_ready_count(pool()), 2);
    world_end();
}
END_TEST

START_TEST(a_pool_that_had_no_room_for_paced_starts_does_not_start_them_at_once)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0,\"min_connections\":8},"
                    "\"limits\":{\"start_burst\":1,\"start_rate\":2}");
    proxy_start(w.proxy);
    pass(20 * S);
    ck_assert_uint_eq(pool_ready_count(pool()), 8);
    /* Whatever is started in the first five seconds has started at the end of them. */
    usec_t together = w.env.now + 5 * S;
    w.start_delay = 5 * S;
    for (unsigned i = 0; i < 8; i++)
        fake_die(fake_at(i));
    for (int i = 0; i < 200; i++) {
        unsigned opens = w.opens;
        pass(S / 10);
        ck_assert_uint_le(w.opens, opens + 1);
        w.start_delay = together > w.env.now ? together - w.env.now : S;
    }
    ck_assert_uint_eq(pool_ready_count(pool()), 8);
    world_end();
}
END_TEST

START_TEST(turns_that_passed_in_a_standstill_are_not_taken_at_once)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0,\"min_connections\":8},"
                    "\"limits\":{\"start_burst\":1,\"start_rate\":1}");
    proxy_start(w.proxy);
    turn();
    ck_assert_uint_eq(w.opens, 1);
    env_run(&w.env, w.env.now + 3600 * S);
    turn();
    ck_assert_uint_eq(w.opens, 2);
    pass(3 * S);
    ck_assert_uint_eq(w.opens, 5);
    pass(3 * S);
    ck_assert_uint_eq(pool_ready_count(pool()), 8);
    world_end();
}
END_TEST

START_TEST(force_ends_an_attempt_that_nothing_else_would_end)
{
    struct recover_result r;
    begin("");
    w.mute = true;
    fake_die(fake_at(0));
    pass(2 * S);
    ck_assert_int_eq(slot(0)->state, CONN_HANDSHAKE);
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    ck_assert_uint_eq(r.torn_down, 0); /* it has its time */
    env_timer_clear(&w.env, &slot(0)->timer);
    w.mute = false;
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    ck_assert_uint_eq(r.torn_down, 1);
    turn();
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    world_end();
}
END_TEST

/* The transport opens, the attempt is overdue and the sweep is due, all in one turn and in this
 * order.
 */
START_TEST(an_attempt_whose_time_passed_in_a_standstill_needs_no_repair)
{
    begin(",\"operation_timeout\":2,\"recovery_interval\":10");
    pass(10 * S);
    w.start_delay = S;
    w.mute = true;
    fake_die(fake_at(0));
    turn();
    ck_assert_int_eq(slot(0)->state, CONN_CONNECTING);
    env_run(&w.env, w.env.now + 10 * S);
    turn();
    ck_assert_uint_eq(count(METRIC_AUDIT_REPAIRS), 0);
    ck_assert_int_eq(slot(0)->state, CONN_WAITING);
    world_end();
}
END_TEST

START_TEST(at_most_three_of_a_pool_are_attempted_at_once)
{
    begin(",\"min_connections\":8");
    pass(11 * S);
    w.start_delay = 2 * S;
    for (unsigned i = 0; i < 8; i++)
        fake_die(fake_at(i));
    for (int i = 0; i < 60; i++) {
        pass(S / 10);
        unsigned starting = 0;
        for (unsigned k = 0; k < 8; k++)
            starting += slot(k)->state == CONN_CONNECTING || slot(k)->state == CONN_HANDSHAKE;
        ck_assert_uint_le(starting, 3);
    }
    pass(S);
    ck_assert_uint_eq(pool_ready_count(pool()), 8); /* 3 + 3 + 2, not a sweep apart */
    world_end();
}
END_TEST

START_TEST(max_retry_attempts_end_a_cycle_and_never_the_recovery)
{
    begin(",\"max_retry_attempts\":4,\"max_backoff_delay\":8,\"circuit_breaker_timeout\":\"1h\","
          "\"force_recovery_interval\":\"1d\"");
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    /* It had not proved itself, so the first delay is that of one failure. */
    pass((1 + 2 + 4 + 8) * S);
    ck_assert_uint_eq(count(METRIC_RECOVERY_CYCLES), 1);
    ck_assert_uint_eq(slot(0)->recovery.attempts, 0);
    usec_t wait = slot(0)->retry_at - w.env.now;
    ck_assert_uint_eq(wait, 8 * S);
    pass(8 * 8 * S);
    ck_assert_uint_eq(count(METRIC_RECOVERY_CYCLES), 3);
    ck_assert_uint_eq(slot(0)->retry_at - w.env.now, 8 * S);
    w.refuse = false;
    pass(9 * S);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    pass(11 * S);
    fake_die(fake_at(0));
    turn();
    ck_assert_int_eq(slot(0)->state, CONN_READY); /* stable: tried again at once, at the base */
    ck_assert_uint_eq(slot(0)->recovery.cycles, 0);
    world_end();
}
END_TEST

/* ---- watchdog and force ---- */

START_TEST(force_recovery_interval_watchdog_brings_back_what_every_timer_forgot)
{
    begin(",\"recovery_interval\":3000,\"max_backoff_delay\":3600,\"backoff_base\":3600,"
          "\"circuit_breaker_timeout\":3600,\"force_recovery_interval\":300");
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    env_timer_clear(&w.env, &slot(0)->timer);
    env_timer_clear(&w.env, &server()->sweep);
    w.refuse = false;
    pass(299 * S);
    ck_assert_int_eq(slot(0)->state, CONN_WAITING);
    pass(31 * S); /* the monitor's tick */
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_uint_eq(metrics_get(server()->metrics, METRIC_FORCED_RECOVERIES, 0), 1);
    world_end();
}
END_TEST

START_TEST(the_watchdog_puts_long_delays_back_to_base)
{
    begin(",\"circuit_breaker_timeout\":60");
    w.refuse = true;
    fake_die(fake_at(0));
    pass(315 * S);
    ck_assert_uint_eq(metrics_get(server()->metrics, METRIC_FORCED_RECOVERIES, 0), 1);
    ck_assert_uint_le(slot(0)->retry_at - w.env.now, 16 * S); /* 60 without it */
    pass(301 * S);
    ck_assert_uint_eq(metrics_get(server()->metrics, METRIC_FORCED_RECOVERIES, 0), 2);
    world_end();
}
END_TEST

/* Nobody uses the server that failed last; its breaker stays as it is until somebody does. */
START_TEST(the_watchdog_lets_rest_what_is_at_rest)
{
    struct client c;
    begin(",\"min_connections\":0,\"circuit_breaker_threshold\":1");
    w.refuse = true;
    client_open(&c, "anonymous", NULL);
    pass(60 * S);
    client_close(&c);
    pass(3600 * S);
    for (unsigned i = 0; i < pool()->slot_count; i++)
        ck_assert_int_eq(slot(i)->state, CONN_IDLE);
    ck_assert_int_eq(server()->breaker.state, BREAKER_HALF_OPEN);
    ck_assert_uint_eq(count(METRIC_FORCED_RECOVERIES), 0);
    w.refuse = false;
    client_ready(&c);
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(recovery_by_force_tries_at_once_and_starts_over)
{
    struct recover_result r;
    begin(",\"min_connections\":2,\"max_backoff_delay\":600,\"backoff_base\":600");
    w.refuse = true;
    fake_die(fake_at(1));
    turn();
    ck_assert_int_eq(slot(1)->state, CONN_WAITING);
    w.refuse = false;
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    ck_assert_uint_eq(r.reset, 1);
    ck_assert_uint_eq(r.ready, 1);
    ck_assert_uint_eq(r.torn_down, 0);
    ck_assert_int_eq(r.breaker, BREAKER_CLOSED);
    turn();
    ck_assert_int_eq(slot(1)->state, CONN_READY);
    ck_assert_uint_eq(slot(1)->recovery.failures, 0);
    ck_assert_uint_eq(slot(0)->epoch, 1); /* what is well is left alone */
    world_end();
}
END_TEST

/* It had counted as one more failure, which opened the breaker that force had just made ready. */
START_TEST(force_starts_over_for_a_slot_that_was_given_up_while_it_waited_as_well)
{
    struct client c;
    struct recover_result r;
    begin(",\"min_connections\":0,\"backoff_base\":20,\"max_backoff_delay\":20");
    client_ready(&c);
    call(&c, 1);
    w.refuse = true;
    fake_die(fake_at(0));
    pass(25 * S); /* it has failed, and so has the attempt that followed */
    client_close(&c);
    pass(25 * S);
    ck_assert_int_eq(slot(0)->state, CONN_IDLE);
    ck_assert_uint_gt(slot(0)->recovery.failures, 0);
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    ck_assert_uint_eq(slot(0)->recovery.failures, 0);
    ck_assert_uint_eq(slot(0)->recovery.attempts, 0);
    world_end();
}
END_TEST

START_TEST(what_force_tears_down_is_no_failure_of_the_trial)
{
    struct client c;
    struct recover_result r;
    begin(",\"circuit_breaker_threshold\":1,\"max_connections\":1");
    client_ready(&c);
    call(&c, 1);
    conn_note_garbage(slot(0), server()->breaker.epoch);
    ck_assert_int_eq(server()->breaker.state, BREAKER_OPEN);
    slot(0)->suspect = true;
    w.start_delay = S;
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    ck_assert_uint_eq(r.torn_down, 1);
    ck_assert_int_eq(server()->breaker.state, BREAKER_HALF_OPEN);
    pass(2 * S);
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(force_makes_an_open_breaker_ready_for_a_trial)
{
    struct recover_result r;
    begin(",\"circuit_breaker_threshold\":1,\"max_backoff_delay\":600,\"backoff_base\":600");
    w.refuse = true;
    fake_die(fake_at(0));
    pass(S);
    ck_assert_int_eq(server()->breaker.state, BREAKER_OPEN);
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    ck_assert_int_eq(r.breaker, BREAKER_OPEN);
    ck_assert_int_eq(server()->breaker.state, BREAKER_HALF_OPEN);
    pass(S);
    ck_assert_int_eq(server()->breaker.state, BREAKER_OPEN); /* refused once more */
    w.refuse = false;
    server_recover(server(), RECOVER_BY_OPERATOR, &r);
    turn();
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    world_end();
}
END_TEST

/* ---- pacing ---- */

START_TEST(a_hundred_servers_that_fail_at_once_do_not_restart_in_one_burst)
{
    static char text[16384];
    size_t n = (size_t)snprintf(text, sizeof(text),
                                "{\"runtime_dir\":\"/nonexistent\",\"state_dir\":\"/nonexistent\","
                                "\"mcpServers\":{");
    for (int i = 0; i < 100; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"s%d\":{\"command\":\"x\"}",
                              i ? "," : "", i);
    snprintf(text + n, sizeof(text) - n, "}}");
    world_load(text);
    proxy_start(w.proxy);
    pass(60 * S);
    ck_assert_uint_eq(w.opens, 100);
    for (struct fake *f = w.fakes, *next; f; f = next) {
        next = f->next;
        fake_die(f);
    }
    turn();
    unsigned before = 100, most = 0;
    for (int second = 0; second < 30; second++) {
        pass(S);
        if (w.opens - before > most)
            most = w.opens - before;
        before = w.opens;
    }
    ck_assert_uint_eq(w.opens, 200);
    ck_assert_uint_le(most, 20); /* start_burst 10, start_rate 10 */
    world_end();
}
END_TEST

/* ---- the monitor ---- */

START_TEST(health_check_interval_a_silent_connection_is_pinged_and_a_busy_one_is_not)
{
    begin("");
    struct fake *f = fake_at(0);
    pass(29 * S);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    pass(20 * S);
    ck_assert_uint_eq(fake_pings(f), 0);
    pass(12 * S);
    ck_assert_uint_eq(fake_pings(f), 1);
    answer(f);
    ck_assert_uint_eq(metrics_get(server()->metrics, METRIC_PROBES, 0), 1);
    ck_assert(slot(0)->probe.ever_answered);
    world_end();
}
END_TEST

START_TEST(an_idle_server_that_does_not_answer_pings_any_more_is_replaced)
{
    begin("");
    pass(31 * S);
    answer(fake_at(0));
    pass(200 * S);
    ck_assert_uint_ge(w.opens, 2);
    ck_assert_uint_eq(count(METRIC_AUDIT_REPAIRS), 0);
    world_end();
}
END_TEST

START_TEST(a_server_that_never_answered_a_ping_is_not_replaced_for_that)
{
    begin("");
    pass(3600 * S);
    ck_assert_uint_eq(w.opens, 1);
    world_end();
}
END_TEST

START_TEST(a_server_that_is_busy_gets_no_new_requests_while_another_place_exists)
{
    struct client c;
    begin(",\"min_connections\":2");
    client_ready(&c);
    unsigned home = 0;
    for (unsigned i = 0; i < 2; i++)
        home = !LIST_EMPTY(&slot(i)->homed) ? i : home;
    pass(31 * S);
    answer(fake_at(0));
    answer(fake_at(1));
    call(&c, 1);
    ck_assert(got(fake_at(home), "tools/call"));
    for (int i = 0; i < 4; i++) {
        pass(30 * S);
        answer(fake_at(!home)); /* its ping */
    }
    ck_assert(slot(home)->suspect);
    ck_assert_uint_eq(slot(home)->epoch, 1); /* it may be working */
    call(&c, 2);
    ck_assert(got(fake_at(!home), "tools/call"));
    /* One word and all is well again. */
    fake_say(fake_at(home),
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    turn();
    ck_assert(!slot(home)->suspect);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_call_that_is_overdue_on_a_silent_connection_costs_the_connection)
{
    struct client c;
    begin(",\"call_timeout\":20,\"operation_timeout\":5,\"max_connections\":1");
    client_ready(&c);
    call(&c, 1);
    struct fake *f = fake_at(0);
    ck_assert(got(f, "tools/call"));
    pass(21 * S);
    ck_assert_has(client_read(&c), "\"reason\":\"timeout\"");
    ck_assert(got(f, "notifications/cancelled"));
    ck_assert_uint_eq(fake_pings(f), 1); /* dead, or only long at it? */
    ck_assert_uint_eq(slot(0)->epoch, 1);
    pass(5 * S);
    ck_assert_uint_eq(slot(0)->epoch, 2);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_uint_eq(count(METRIC_CONNECTIONS_DRAINED), 1);
    client_close(&c);
    world_end();
}
END_TEST

/* The next attempt was broken off whenever the pool looked at its line, over and over. */
START_TEST(a_stuck_connection_leaves_nothing_to_the_one_that_replaces_it)
{
    struct client c;
    begin(",\"max_connections\":1,\"call_timeout\":5,\"operation_timeout\":5");
    client_ready(&c);
    call(&c, 1);
    w.start_delay = 2 * S;
    for (int i = 0; i < 110 && w.opens == 1; i++)
        pass(S / 10);
    ck_assert_has(client_read(&c), "\"reason\":\"timeout\"");
    ck_assert_int_eq(slot(0)->state, CONN_CONNECTING);
    ck_assert_uint_eq(w.opens, 2);
    call(&c, 2); /* has to wait, and the pool looks */
    pool_note_ghosts(slot(0));
    pass(2 * S);
    ck_assert_uint_eq(w.opens, 2);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert(got(fake_at(0), "\"tools/call\""));
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_slow_server_that_speaks_is_kept)
{
    struct client c;
    begin(",\"call_timeout\":20,\"max_connections\":1");
    client_ready(&c);
    call(&c, 1);
    struct fake *f = fake_at(0);
    pass(15 * S);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    pass(6 * S);
    ck_assert_uint_eq(slot(0)->epoch, 1);
    ck_assert(!slot(0)->draining);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_server_that_is_long_at_one_call_and_answers_the_ping_is_kept)
{
    struct client c;
    begin(",\"call_timeout\":20,\"operation_timeout\":5,\"max_connections\":1");
    client_ready(&c);
    call(&c, 1);
    pass(21 * S);
    ck_assert_has(client_read(&c), "\"reason\":\"timeout\"");
    answer(fake_at(0)); /* the ping */
    pass(20 * S);
    ck_assert_uint_eq(slot(0)->epoch, 1);
    ck_assert(!slot(0)->draining && !slot(0)->suspect);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(nothing_is_killed_under_a_call_that_makes_progress)
{
    struct client c;
    begin(",\"call_timeout\":20,\"operation_timeout\":5,\"max_connections\":1");
    client_ready(&c);
    call(&c, 1); /* will be overdue in silence */
    pass(15 * S);
    call(&c, 2);
    uint64_t second = slot(0)->next_id - 1;
    pass(11 * S);
    ck_assert(slot(0)->draining);
    ck_assert_uint_eq(slot(0)->epoch, 1);
    struct fake *f = fake_at(0);
    for (int i = 1; i < 10; i++) {
        fake_say(f,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
                 "\"progressToken\":%llu,\"progress\":%d}}",
                 (unsigned long long)second, i);
        ck_assert(!slot(0)->draining);
        pass(15 * S);
        ck_assert_uint_eq(slot(0)->epoch, 1);
    }
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(health_is_honest)
{
    begin("");
    ck_assert_int_eq(server_health(server()), HEALTH_HEALTHY);
    pass(200 * S); /* it never answers a ping */
    ck_assert_int_eq(server_health(server()), HEALTH_DEGRADED);
    answer(fake_at(0));
    ck_assert_int_eq(server_health(server()), HEALTH_HEALTHY);
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    ck_assert_int_eq(server_health(server()), HEALTH_UNHEALTHY);
    world_end();
}
END_TEST

START_TEST(health_is_unknown_before_the_first_attempt_has_ended)
{
    world_new(NULL, NULL);
    w.mute = true;
    proxy_start(w.proxy);
    turn();
    ck_assert_int_eq(server_health(server()), HEALTH_UNKNOWN);
    world_end();
}
END_TEST

/* ---- adaptive back-off ---- */

static void outages(const char *mode, usec_t *ret_wait)
{
    char more[100];
    snprintf(more, sizeof(more), ",\"adaptive_backoff\":\"%s\"", mode);
    begin(more);
    for (int i = 0; i < 8; i++) { /* back after some three seconds each time */
        pass(20 * S);
        w.refuse = true;
        fake_die(fake_at(0));
        pass(2 * S);
        w.refuse = false;
        pass(10 * S);
        ck_assert_int_eq(slot(0)->state, CONN_READY);
    }
    pass(20 * S);
    w.refuse = true;
    fake_die(fake_at(0));
    pass(100 * S);
    *ret_wait = slot(0)->retry_at - w.env.now;
    w.refuse = false;
    world_end();
}

START_TEST(adaptive_backoff_on_keeps_delays_in_proportion_to_the_outage)
{
    usec_t wait;
    outages("on", &wait);
    ck_assert_uint_le(wait, 55 * S); /* half of a hundred seconds */
    outages("off", &wait);
    usec_t off = wait;
    outages("observe", &wait);
    ck_assert_uint_eq(wait, off);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/watch");
    TCase *t = tcase_create("watch");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, recovery_interval_sweep_saves_a_slot_whose_timer_is_lost);
    tcase_add_test(t, an_attempt_without_a_deadline_is_found_too);
    tcase_add_test(t, the_audit_finds_nothing_when_nothing_is_wrong);
    tcase_add_test(t, a_standstill_of_the_machine_is_no_fault_of_a_slot);
    tcase_add_test(t, an_attempt_whose_time_passed_in_a_standstill_needs_no_repair);
    tcase_add_test(t, nor_when_their_starts_were_paced);
    tcase_add_test(t, nor_when_force_comes_sooner_than_the_turn_to_start);
    tcase_add_test(t, nor_when_the_sweep_comes_later_than_force);
    tcase_add_test(t, a_paced_start_whose_timer_is_lost_comes_with_the_sweep);
    tcase_add_test(t, a_pool_that_had_no_room_for_paced_starts_does_not_start_them_at_once);
    tcase_add_test(t, turns_that_passed_in_a_standstill_are_not_taken_at_once);
    tcase_add_test(t, force_ends_an_attempt_that_nothing_else_would_end);
    tcase_add_test(t, at_most_three_of_a_pool_are_attempted_at_once);
    tcase_add_test(t, max_retry_attempts_end_a_cycle_and_never_the_recovery);
    tcase_add_test(t, force_recovery_interval_watchdog_brings_back_what_every_timer_forgot);
    tcase_add_test(t, the_watchdog_puts_long_delays_back_to_base);
    tcase_add_test(t, the_watchdog_lets_rest_what_is_at_rest);
    tcase_add_test(t, recovery_by_force_tries_at_once_and_starts_over);
    tcase_add_test(t, force_starts_over_for_a_slot_that_was_given_up_while_it_waited_as_well);
    tcase_add_test(t, force_makes_an_open_breaker_ready_for_a_trial);
    tcase_add_test(t, what_force_tears_down_is_no_failure_of_the_trial);
    tcase_add_test(t, a_hundred_servers_that_fail_at_once_do_not_restart_in_one_burst);
    tcase_add_test(t, health_check_interval_a_silent_connection_is_pinged_and_a_busy_one_is_not);
    tcase_add_test(t, an_idle_server_that_does_not_answer_pings_any_more_is_replaced);
    tcase_add_test(t, a_server_that_never_answered_a_ping_is_not_replaced_for_that);
    tcase_add_test(t, a_server_that_is_busy_gets_no_new_requests_while_another_place_exists);
    tcase_add_test(t, a_call_that_is_overdue_on_a_silent_connection_costs_the_connection);
    tcase_add_test(t, a_stuck_connection_leaves_nothing_to_the_one_that_replaces_it);
    tcase_add_test(t, a_slow_server_that_speaks_is_kept);
    tcase_add_test(t, a_server_that_is_long_at_one_call_and_answers_the_ping_is_kept);
    tcase_add_test(t, nothing_is_killed_under_a_call_that_makes_progress);
    tcase_add_test(t, health_is_honest);
    tcase_add_test(t, health_is_unknown_before_the_first_attempt_has_ended);
    tcase_add_test(t, adaptive_backoff_on_keeps_delays_in_proportion_to_the_outage);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
