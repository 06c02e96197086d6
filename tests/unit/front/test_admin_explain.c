/* /explain, sentence by sentence: what each state of slots, breaker and mode is told as. */
#include "admin_test.h"

#include "front/event_ring.h"

static cJSON *explain_with(const struct event_ring *events)
{
    struct admin_view view = test_view();
    struct buf b = BUF_INIT;
    admin_explain(&view, server_at(0), events, &b);
    cJSON *tree = cJSON_ParseWithLength(buf_peek(&b).p, buf_len(&b));
    ck_assert_msg(tree != NULL, "no JSON: %.*s", (int)buf_len(&b), buf_peek(&b).p);
    buf_done(&b);
    return tree;
}

/* The whole of `next`, a sentence a line. */
static const char *next_of(const cJSON *t)
{
    static char all[8192];
    const cJSON *item;
    size_t n = 0;
    all[0] = 0;
    cJSON_ArrayForEach(item, at(t, "next", NULL)) n +=
        (size_t)snprintf(all + n, sizeof(all) - n, "%s\n", text(item));
    return all;
}

#define EXPECT(health_, mode_, breaker_, summary_, next_)                                          \
    do {                                                                                           \
        cJSON *t_ = explain_with(NULL);                                                            \
        ck_assert_str_eq(text(at(t_, "summary", NULL)), summary_);                                 \
        ck_assert_str_eq(next_of(t_), next_);                                                      \
        ck_assert_str_eq(text(at(t_, "server", NULL)), "fake");                                    \
        ck_assert_str_eq(text(at(t_, "health", NULL)), health_);                                   \
        ck_assert_str_eq(text(at(t_, "mode", NULL)), mode_);                                       \
        ck_assert_str_eq(text(at(t_, "breaker", NULL)), breaker_);                                 \
        ck_assert_int_eq(cJSON_GetArraySize(at(t_, "events", NULL)), 0);                           \
        cJSON_Delete(t_);                                                                          \
    } while (0)

#define CALL(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}"

#define QUIET "\"recovery_jitter_max\":0,\"adaptive_backoff\":\"off\""

static void start(const char *resilience, const char *top)
{
    char extra[512];
    snprintf(extra, sizeof(extra), ",\"resilience\":{" QUIET "%s}", resilience ? resilience : "");
    world_new(extra, top);
}

START_TEST(before_and_after_the_first_connection)
{
    start(NULL, NULL);
    EXPECT("unknown", "active", "closed",
           "unknown since 03:04:05 UTC: no connection is open; 0 calls running, 0 waiting",
           "calls that come now wait for a connection, up to 20.0 s\n");
    w.start_delay = 2 * USEC_PER_SEC;
    proxy_start(w.proxy);
    turn();
    pass(USEC_PER_SEC);
    EXPECT("unknown", "active", "closed",
           "unknown since 03:04:05 UTC: 1 of 1 connection is being made; 0 calls running, "
           "0 waiting",
           "slot 0: attempt 1 is under way, the server is being started; given up in 29.0 s\n"
           "calls that come now wait for a connection, up to 20.0 s\n");
    w.mute = true;
    pass(2 * USEC_PER_SEC);
    EXPECT("unknown", "active", "closed",
           "unknown since 03:04:05 UTC: 1 of 1 connection is being made; 0 calls running, "
           "0 waiting",
           "slot 0: attempt 1 is under way, its answer to initialize is awaited; given up in "
           "27.0 s\n"
           "calls that come now wait for a connection, up to 20.0 s\n");
    fake_handshake(fake_at(0));
    turn();
    EXPECT("healthy", "active", "closed",
           "healthy since 03:04:08 UTC: 1 of 1 connection is ready; 0 calls running, 0 waiting",
           "calls that come now are sent at once\n");
    world_end();
}
END_TEST

START_TEST(nothing_is_wanted)
{
    start(",\"min_connections\":0", NULL);
    proxy_start(w.proxy);
    turn();
    EXPECT("unknown", "active", "closed",
           "unknown since 03:04:05 UTC: no connection is open, the first call opens one; 0 calls "
           "running, 0 waiting",
           "calls that come now wait for a connection, up to 20.0 s\n");
    world_end();
}
END_TEST

START_TEST(a_failed_server)
{
    start(",\"backoff_base\":8,\"queue_timeout\":5,\"circuit_breaker_threshold\":3", NULL);
    w.refuse = true;
    proxy_start(w.proxy);
    turn();
    pass(USEC_PER_SEC);
    EXPECT("unhealthy", "active", "closed",
           "unhealthy since 03:04:05 UTC: 1 of 1 connection failed, the last because: refused by "
           "the test (upstream_unavailable); 0 calls running, 0 waiting",
           "slot 0: attempt 2 in 7.0 s\n"
           "if nothing comes back, recovery by force at 03:09:05 UTC\n"
           "calls that come now are refused at once (upstream_unavailable): the next attempt "
           "comes later than they may wait\n");
    pass(3 * USEC_PER_SEC);
    cJSON *t = explain_with(NULL);
    ck_assert_str_eq(next_of(t), "slot 0: attempt 2 in 4.0 s\n"
                                 "if nothing comes back, recovery by force at 03:09:05 UTC\n"
                                 "calls that come now wait for a connection, up to 5.0 s\n");
    cJSON_Delete(t);
    pass(21 * USEC_PER_SEC);
    EXPECT("unhealthy", "active", "open",
           "unhealthy since 03:04:05 UTC: 1 of 1 connection failed, the last because: refused by "
           "the test (upstream_unavailable); the breaker is open since 03:04:29 UTC after 3 "
           "failures; 0 calls running, 0 waiting",
           "slot 0: attempt 4 in 31.0 s\n"
           "breaker open: calls are refused until the next handshake succeeds or a trial, at "
           "03:05:29 UTC\n"
           "if nothing comes back, recovery by force at 03:09:05 UTC\n"
           "calls that come now are refused at once (breaker_open)\n");
    pass(86400 * USEC_PER_SEC);
    t = explain_with(NULL);
    ck_assert_has(text(at(t, "summary", NULL)), "unhealthy since 2026-01-02 03:04:05 UTC: ");
    cJSON_Delete(t);
    w.refuse = false;
    struct recover_result r;
    server_recover(server_at(0), RECOVER_BY_OPERATOR, &r);
    pass(USEC_PER_SEC);
    t = explain_with(NULL);
    ck_assert_has(text(at(t, "summary", NULL)), "1 of 1 connection is ready; 0 calls");
    ck_assert_has(next_of(t), "breaker closed again: the number of calls that may run at once "
                              "grows for another 9.");
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(a_command_that_cannot_be_started)
{
    start(NULL, NULL);
    w.refuse = w.fatal = true;
    proxy_start(w.proxy);
    turn();
    cJSON *t = explain_with(NULL);
    ck_assert_has(next_of(t), "slot 0: attempt 2 in 60.0 s; but it will fail again until somebody "
                              "mends the cause\n");
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(one_of_two_is_gone)
{
    struct client c;
    start(",\"min_connections\":2,\"backoff_base\":4,\"stable_after\":1000", NULL);
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    client_say(&c, CALL("7"));
    w.refuse = true;
    fake_die(fake_at(1));
    turn();
    pass(500 * USEC_PER_MSEC);
    cJSON *t = explain_with(NULL);
    ck_assert_str_eq(text(at(t, "health", NULL)), "degraded");
    ck_assert_has(text(at(t, "summary", NULL)),
                  "1 of 2 connections is ready, 1 failed, the last because: ");
    ck_assert_has(text(at(t, "summary", NULL)), "; it answered last at 03:04:05 UTC; 1 call "
                                                "running, 0 waiting");
    ck_assert_has(next_of(t), "slot 1: attempt ");
    ck_assert_has(next_of(t), "calls that come now are sent at once\n");
    cJSON_Delete(t);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(drained_and_out_of_service)
{
    struct client c;
    start(NULL, NULL);
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    client_say(&c, CALL("7"));
    server_set_mode(server_at(0), SERVER_DRAIN);
    turn();
    cJSON *t = explain_with(NULL);
    ck_assert_str_eq(text(at(t, "mode", NULL)), "drain");
    ck_assert_has(text(at(t, "summary", NULL)), "drained by an operator; ");
    ck_assert_has(text(at(t, "summary", NULL)), "1 call running, 0 waiting");
    ck_assert_str_eq(next_of(t), "slot 0: gets no new calls; closed when the 1 call that runs on "
                                 "it has ended\n"
                                 "calls that come now wait for an operator to resume the server, "
                                 "up to 20.0 s\n");
    cJSON_Delete(t);
    server_set_mode(server_at(0), SERVER_MAINT);
    t = explain_with(NULL);
    ck_assert_str_eq(text(at(t, "mode", NULL)), "maint");
    ck_assert_has(text(at(t, "summary", NULL)), "taken out of service by an operator; ");
    ck_assert_has(next_of(t), "calls that come now are refused at once (maintenance), until an "
                              "operator resumes the server\n");
    cJSON_Delete(t);
    client_close(&c);
    world_end();
}
END_TEST

/* What a server says of itself may hold anything. */
START_TEST(text_from_outside_is_escaped)
{
    start(NULL, NULL);
    proxy_start(w.proxy);
    turn();
    w.refuse = true;
    fake_at(0)->ev->on_down(fake_at(0)->arg, REASON_UPSTREAM_LOST, false, "\x1b[31mred\xff");
    turn();
    cJSON *t = explain_with(NULL);
    ck_assert_has(text(at(t, "summary", NULL)), "the last because: ");
    for (const char *s = text(at(t, "summary", NULL)); *s; s++)
        ck_assert((unsigned char)*s >= ' ' && (unsigned char)*s < 0x7f);
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(its_events_come_oldest_first)
{
    start(NULL, NULL);
    struct event_ring *ring = event_ring_new(w.config);
    log_set_level(LOG_LEVEL_CRITICAL);
    log_set_listener(event_ring_on_record, ring);
    proxy_start(w.proxy);
    turn();
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    log_notice(LOG_CTX(.server = "other"), "not about it");
    cJSON *t = explain_with(ring);
    const cJSON *events = at(t, "events", NULL), *e, *lost = NULL;
    const char *before = "";
    cJSON_ArrayForEach(e, events)
    {
        ck_assert_int_le(strcmp(before, text(at(e, "time", NULL))), 0);
        before = text(at(e, "time", NULL));
        ck_assert_ptr_null(strstr(text(at(e, "message", NULL)), "not about it"));
        if (strstr(text(at(e, "message", NULL)), "connection lost after"))
            lost = e;
    }
    ck_assert_ptr_nonnull(lost);
    ck_assert_str_eq(text(at(lost, "level", NULL)), "warning");
    ck_assert_str_eq(text(at(lost, "reason", NULL)), "upstream_lost");
    ck_assert_double_eq(number(at(lost, "slot", NULL)), 0);
    cJSON_Delete(t);
    log_set_listener(NULL, NULL);
    event_ring_free(ring);
    world_end();
}
END_TEST

START_TEST(the_last_lines_of_its_processes)
{
    struct buf b = BUF_INIT;
    struct admin_view view = test_view();
    start(",\"backoff_base\":1},\"limits\":{\"stderr_tail_lines\":2", NULL);
    proxy_start(w.proxy);
    turn();
    struct fake *f = fake_at(0);
    f->ev->on_output(f->arg, 12, SLICE("one"));
    f->ev->on_output(f->arg, 12, SLICE("two"));
    fake_die(f);
    f->ev->on_output(f->arg, 12, SLICE("last words\x1b"));
    pass(5 * USEC_PER_SEC);
    fake_at(0)->ev->on_output(fake_at(0)->arg, 0, SLICE("of the next"));
    admin_logs(&view, server_at(0), &b);
    cJSON *t = cJSON_ParseWithLength(buf_peek(&b).p, buf_len(&b));
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "lines", NULL)), 2);
    ck_assert_str_eq(text(at(t, "server", NULL)), "fake");
    ck_assert_str_eq(text(at(t, "lines", "0", "text", NULL)), "last words\\x1b");
    ck_assert_str_eq(text(at(t, "lines", "0", "time", NULL)), "2026-01-02T03:04:05.678Z");
    ck_assert_double_eq(number(at(t, "lines", "0", "pid", NULL)), 12);
    ck_assert_str_eq(text(at(t, "lines", "1", "text", NULL)), "of the next");
    ck_assert(cJSON_IsNull(at(t, "lines", "1", "pid", NULL)));
    ck_assert_double_eq(number(at(t, "dropped", NULL)), 2);
    cJSON_Delete(t);
    buf_done(&b);
    world_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front/admin_explain");
    TCase *t = tcase_create("explain");
    tcase_add_test(t, before_and_after_the_first_connection);
    tcase_add_test(t, nothing_is_wanted);
    tcase_add_test(t, a_failed_server);
    tcase_add_test(t, a_command_that_cannot_be_started);
    tcase_add_test(t, one_of_two_is_gone);
    tcase_add_test(t, drained_and_out_of_service);
    tcase_add_test(t, text_from_outside_is_escaped);
    tcase_add_test(t, its_events_come_oldest_first);
    tcase_add_test(t, the_last_lines_of_its_processes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
