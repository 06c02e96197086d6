/* Slots: handshake refusals, time-outs, and that a failed connection always comes back. */
#include "world.h"

#include "upstream/pool.h"
#include "upstream/server.h"

static const struct pool *pool0(void)
{
    return route_at(w.proxy, 0)->server->pools;
}

static const struct conn *slot0(void)
{
    return pool0()->slots[0];
}

static void begin(const char *top)
{
    world_new(NULL, top);
    proxy_start(w.proxy);
}

START_TEST(a_start_opens_one_connection_and_a_handshake_makes_it_ready)
{
    begin(NULL);
    turn();
    ck_assert_uint_eq(w.opens, 1);
    ck_assert_int_eq(slot0()->state, CONN_READY);
    struct fake *f = fake_at(0);
    ck_assert_has(f->got[0], "\"protocolVersion\":\"2025-11-25\"");
    ck_assert_has(f->got[0], "\"id\":1,");
    ck_assert_has(f->got[1], "notifications/initialized");
    ck_assert_uint_eq(f->got_n, 2);
    world_end();
}
END_TEST

START_TEST(min_connections_are_kept)
{
    begin(",\"resilience\":{\"min_connections\":3}");
    turn();
    ck_assert_uint_eq(pool_ready_count(pool0()), 3);
    fake_die(fake_at(1));
    pass(10 * USEC_PER_SEC);
    ck_assert_uint_eq(pool_ready_count(pool0()), 3);
    world_end();
}
END_TEST

START_TEST(refused_attempts_back_off_and_never_end)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0}");
    w.refuse = true;
    proxy_start(w.proxy);
    turn();
    /* 1 + 2 + 4 + 8 + 16 + 32 seconds, then every 60. */
    static const unsigned at[] = {1, 3, 7, 15, 31, 63, 123, 183};
    usec_t begin_at = w.env.now;
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        ck_assert_int_eq(slot0()->state, CONN_WAITING);
        ck_assert_uint_eq(w.opens, i + 1);
        ck_assert_uint_eq(pool_next_attempt(pool0()), begin_at + at[i] * USEC_PER_SEC);
        pass(begin_at + at[i] * USEC_PER_SEC - w.env.now);
    }
    pass(24ULL * 3600 * USEC_PER_SEC);
    ck_assert_uint_ge(w.opens, 24 * 60);
    w.refuse = false;
    pass(61 * USEC_PER_SEC);
    ck_assert_int_eq(slot0()->state, CONN_READY);
    world_end();
}
END_TEST

START_TEST(a_stable_connection_is_tried_again_at_once)
{
    begin(NULL);
    pass(11 * USEC_PER_SEC);
    fake_die(fake_at(0));
    turn();
    ck_assert_uint_eq(w.opens, 2);
    ck_assert_int_eq(slot0()->state, CONN_READY);
    ck_assert_uint_eq(slot0()->epoch, 2);
    world_end();
}
END_TEST

START_TEST(one_that_accepts_and_dies_does_not_make_a_hot_loop)
{
    begin(NULL);
    turn();
    for (int i = 0; i < 100; i++) {
        struct fake *f = fake_at(0);
        if (f && f->opened)
            fake_die(f);
        pass(USEC_PER_SEC / 10);
    }
    ck_assert_uint_le(w.opens, 12); /* ten seconds at one a second, not a hundred */
    world_end();
}
END_TEST

START_TEST(a_handshake_that_is_not_answered_times_out)
{
    world_new(NULL, ",\"resilience\":{\"operation_timeout\":5}");
    w.mute = true;
    proxy_start(w.proxy);
    turn();
    ck_assert_int_eq(slot0()->state, CONN_HANDSHAKE);
    pass(5 * USEC_PER_SEC);
    ck_assert_int_eq(slot0()->state, CONN_WAITING);
    ck_assert_has(slot0()->last_error, "initialize");
    world_end();
}
END_TEST

START_TEST(an_unknown_revision_is_no_connection)
{
    world_new(NULL, NULL);
    w.mute = true;
    proxy_start(w.proxy);
    turn();
    fake_say(fake_at(0),
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"1999-01-01\","
             "\"capabilities\":{}}}");
    turn();
    ck_assert_int_eq(slot0()->state, CONN_WAITING);
    ck_assert(slot0()->fatal);
    world_end();
}
END_TEST

START_TEST(a_refused_initialize_is_a_failed_attempt)
{
    world_new(NULL, NULL);
    w.mute = true;
    proxy_start(w.proxy);
    turn();
    fake_say(fake_at(0),
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,\"message\":\"no\"}}");
    turn();
    ck_assert_int_eq(slot0()->state, CONN_WAITING);
    world_end();
}
END_TEST

START_TEST(noise_before_the_answer_is_tolerated)
{
    world_new(NULL, NULL);
    w.mute = true;
    proxy_start(w.proxy);
    turn();
    struct fake *f = fake_at(0);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
    ck_assert_has(fake_read(f), "\"id\":\"p\",\"result\":{}");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":\"r\",\"method\":\"roots/list\"}");
    ck_assert_has(fake_read(f), "-32601");
    ck_assert_int_eq(slot0()->state, CONN_HANDSHAKE);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2024-11-05\"}}");
    ck_assert_int_eq(slot0()->state, CONN_READY);
    ck_assert_int_eq(slot0()->card->version, MCP_2024_11_05);
    world_end();
}
END_TEST

START_TEST(a_failing_server_is_not_stormed_by_its_callers)
{
    static struct client c;
    begin(",\"resilience\":{\"recovery_jitter_max\":0,\"queue_timeout\":60}");
    turn();
    client_ready(&c);
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    unsigned before = w.opens;
    for (int i = 1; i <= 30; i++) {
        char text[128];
        snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/list\"}",
                 i);
        client_say(&c, text);
    }
    pass(10 * USEC_PER_SEC);
    ck_assert_uint_le(w.opens - before, 4);
    w.refuse = false;
    client_close(&c);
    world_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/recovery");
    TCase *t = tcase_create("recovery");
    tcase_add_test(t, a_start_opens_one_connection_and_a_handshake_makes_it_ready);
    tcase_add_test(t, min_connections_are_kept);
    tcase_add_test(t, refused_attempts_back_off_and_never_end);
    tcase_add_test(t, a_stable_connection_is_tried_again_at_once);
    tcase_add_test(t, one_that_accepts_and_dies_does_not_make_a_hot_loop);
    tcase_add_test(t, a_handshake_that_is_not_answered_times_out);
    tcase_add_test(t, an_unknown_revision_is_no_connection);
    tcase_add_test(t, a_refused_initialize_is_a_failed_attempt);
    tcase_add_test(t, noise_before_the_answer_is_tolerated);
    tcase_add_test(t, a_failing_server_is_not_stormed_by_its_callers);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
