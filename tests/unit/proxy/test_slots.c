/* How many connections a pool has and whose they are: leases that outlive a connection, growth by
 * what is really wanted, shrinking, and requests that wait for a connection which fails. */
#include "world.h"

#include "upstream/pool.h"
#include "upstream/server.h"

#define CALL(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}"
#define CANCEL(id)                                                                                 \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":" id "}}"

static struct client a, b;

static void begin(const char *extra)
{
    world_new(extra, NULL);
    proxy_start(w.proxy);
    turn();
}

static unsigned in_state(enum conn_state state)
{
    const struct pool *p = route_at(w.proxy, 0)->server->pools;
    unsigned n = 0;
    for (unsigned i = 0; i < p->slot_count; i++)
        n += p->slots[i]->state == state;
    return n;
}

static void answer(struct fake *f)
{
    const char *m = fake_read(f);
    uint64_t id;
    ck_assert_ptr_nonnull(m);
    ck_assert(json_u64(json_get(slice_str(m), "id"), &id));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id);
    turn();
}

static void round_trip(struct client *c, struct fake *f)
{
    client_say(c, CALL("\"trip\""));
    answer(f);
    ck_assert_has(client_read(c), "trip");
}

START_TEST(a_session_gets_its_own_connection_back)
{
    begin(",\"sharing\":\"session\",\"resilience\":{\"max_connections\":2,\"min_connections\":2}");
    client_ready(&a);
    round_trip(&a, fake_at(0));
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    w.refuse = false;
    ck_assert_uint_eq(in_state(CONN_WAITING), 1);
    client_say(&a, CALL("1")); /* not on the other one, fresh as it is */
    ck_assert_ptr_null(fake_read(fake_at(1)));
    client_ready(&b);
    round_trip(&b, fake_at(1));
    pass(5 * USEC_PER_SEC);
    answer(fake_at(0));
    ck_assert_has(client_read(&a), "\"id\":1");
    /* The end of b takes b's and only b's. */
    client_close(&b);
    pass(2 * USEC_PER_SEC);
    round_trip(&a, fake_at(0));
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(what_a_session_leaves_in_recovery_is_recovered)
{
    begin(",\"sharing\":\"session\",\"resilience\":{\"max_connections\":1}");
    client_ready(&a);
    w.refuse = true;
    fake_die(fake_at(0));
    pass(USEC_PER_SEC);
    ck_assert_uint_eq(in_state(CONN_WAITING), 1);
    unsigned before = w.opens;
    client_close(&a);
    ck_assert_uint_eq(in_state(CONN_WAITING), 1); /* neither forgotten nor tried out of turn */
    ck_assert_uint_eq(w.opens, before);
    w.refuse = false;
    pass(70 * USEC_PER_SEC);
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    client_ready(&b);
    round_trip(&b, fake_at(0));
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(a_session_with_much_to_do_opens_no_connections_that_it_cannot_use)
{
    begin(",\"sharing\":\"session\",\"limits\":{\"max_in_flight_per_connection\":1},"
          "\"resilience\":{\"max_connections\":5}");
    client_ready(&a);
    unsigned before = w.opens;
    for (int i = 0; i < 5; i++) {
        char text[128];
        snprintf(text, sizeof(text), CALL("%d"), i);
        client_say(&a, text);
    }
    ck_assert_uint_eq(w.opens, before);
    for (int i = 0; i < 5; i++) {
        answer(fake_at(0));
        ck_assert_ptr_nonnull(client_read(&a));
    }
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(a_connection_that_came_too_late_to_be_used_goes_again)
{
    begin(",\"limits\":{\"max_in_flight_per_connection\":1,\"idle_shrink\":10},\"resilience\":{"
          "\"max_connections\":2}");
    client_ready(&a);
    w.start_delay = USEC_PER_SEC;
    client_say(&a, CALL("1"));
    client_say(&a, CALL("2"));
    client_say(&a, CANCEL("2"));
    answer(fake_at(0));
    pass(2 * USEC_PER_SEC);
    ck_assert_uint_eq(in_state(CONN_READY), 2);
    pass(30 * USEC_PER_SEC);
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(who_waits_for_a_home_that_fails_to_start_goes_elsewhere)
{
    begin(",\"resilience\":{\"max_connections\":2,\"recovery_jitter_max\":0}");
    client_ready(&a);
    client_say(&a, CALL("1"));
    client_say(&a, CANCEL("1"));
    w.start_delay = USEC_PER_SEC;
    client_ready(&b); /* away from a's given-up call */
    ck_assert_uint_eq(in_state(CONN_CONNECTING), 1);
    client_say(&b, CALL("2"));
    struct fake *f = fake_at(0);
    while (fake_read(f))
        ;
    w.refuse = true;
    pass(USEC_PER_SEC);
    ck_assert_uint_eq(in_state(CONN_WAITING), 1);
    answer(f);
    ck_assert_has(client_read(&b), "\"id\":2");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(nobody_waits_for_a_home_that_was_lost_beside_one_with_room)
{
    begin(",\"resilience\":{\"min_connections\":2,\"recovery_jitter_max\":0}");
    pass(11 * USEC_PER_SEC); /* stable: it is tried again at once */
    client_ready(&a);
    unsigned home = LIST_EMPTY(&route_at(w.proxy, 0)->server->pools->slots[0]->homed);
    w.start_delay = 15 * USEC_PER_SEC;
    fake_die(fake_at(home));
    turn();
    ck_assert_uint_eq(in_state(CONN_CONNECTING), 1);
    client_say(&a, CALL("1"));
    answer(fake_at(!home));
    ck_assert_has(client_read(&a), "\"id\":1");
    client_close(&a);
    world_end();
}
END_TEST

/* The server may take longer to start than a request waits. */
START_TEST(nobody_waits_for_a_new_home_once_the_old_one_is_free_of_ghosts)
{
    begin(",\"resilience\":{\"max_connections\":2,\"recovery_jitter_max\":0}");
    client_ready(&a);
    client_say(&a, CALL("1"));
    client_say(&a, CANCEL("1"));
    w.start_delay = 25 * USEC_PER_SEC;
    client_ready(&b); /* away from a's given-up call */
    ck_assert_uint_eq(in_state(CONN_CONNECTING), 1);
    client_say(&b, CALL("2"));
    struct fake *f = fake_at(0);
    while (fake_read(f))
        ;
    pass(16 * USEC_PER_SEC);
    answer(f);
    ck_assert_has(client_read(&b), "\"id\":2");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

/* Nobody may wait, so nobody is ever seen to be waiting. */
START_TEST(a_pool_without_a_line_grows_all_the_same)
{
    begin(",\"limits\":{\"max_in_flight_per_connection\":1,\"queue_length\":0},\"resilience\":{"
          "\"min_connections\":0,\"max_connections\":2}");
    client_open(&a, "anonymous", NULL);
    ck_assert_has(client_read(&a), "\"reason\":\"overloaded\"");
    client_close(&a);
    client_ready(&a);
    client_say(&a, CALL("1"));
    client_say(&a, CALL("2"));
    ck_assert_has(client_read(&a), "\"reason\":\"overloaded\"");
    ck_assert_uint_eq(in_state(CONN_READY), 2);
    client_say(&a, CALL("3"));
    answer(fake_at(0));
    answer(fake_at(1));
    ck_assert_has(client_read(&a), "\"result\"");
    ck_assert_has(client_read(&a), "\"result\"");
    client_close(&a);
    world_end();
}
END_TEST

/* How many requests of method f has got since last looked. */
static unsigned got(struct fake *f, const char *method, char *ret_names, size_t cap)
{
    unsigned n = 0;
    for (const char *m; (m = fake_read(f)) != NULL;) {
        struct slice name = json_path(slice_str(m), "params", "name", NULL);
        if (!strstr(m, method))
            continue;
        n++;
        snprintf(ret_names + strlen(ret_names), cap - strlen(ret_names), "%.*s", (int)name.n,
                 name.p);
    }
    return n;
}

START_TEST(moved_requests_keep_their_order_before_those_that_waited)
{
    begin(",\"limits\":{\"max_in_flight_per_connection\":20},\"resilience\":{"
          "\"max_connections\":1}");
    client_ready(&a);
    char text[128], names[512] = "", want[512] = "";
    for (int i = 0; i < 50; i++)
        round_trip(&a, fake_at(0)); /* the ids come to where a table of them wraps */
    fake_at(0)->stuck_from = 1;
    for (int i = 0; i < 25; i++) {
        snprintf(text, sizeof(text),
                 "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":"
                 "\"%d\"}}",
                 i, i);
        client_say(&a, text);
        if (i < 20)
            snprintf(want + strlen(want), sizeof(want) - strlen(want), "\"%d\"", i);
    }
    fake_die(fake_at(0));
    turn();
    ck_assert_uint_eq(got(fake_at(0), "tools/call", names, sizeof(names)), 20);
    ck_assert_str_eq(names, want);
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(a_call_runs_alone_as_soon_as_the_first_given_up_call_is_forgotten)
{
    static struct client c;
    begin(",\"server_asks\":\"yes\",\"resilience\":{\"max_connections\":2}");
    client_ready(&a);
    client_say(&a, CALL("1"));
    client_say(&a, CANCEL("1"));
    pass(5 * USEC_PER_SEC);
    client_ready(&b);
    turn();
    ck_assert_uint_eq(in_state(CONN_READY), 2);
    client_say(&b, CALL("1"));
    client_say(&b, CANCEL("1"));
    client_ready(&c);
    client_say(&c, CALL("1"));
    for (unsigned i = 0; i < 2; i++)
        while (fake_read(fake_at(i)))
            ;
    pass(9 * USEC_PER_SEC);
    ck_assert_ptr_null(fake_read(fake_at(0)));
    pass(2 * USEC_PER_SEC); /* 16 s after a's, 11 s after b's */
    answer(fake_at(0));
    ck_assert_has(client_read(&c), "\"id\":1");
    client_close(&a);
    client_close(&b);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(nobody_is_let_in_while_mcpool_stops)
{
    begin(NULL);
    client_ready(&a);
    client_say(&a, CALL("1"));
    struct session *s;
    ck_assert_int_eq(
        session_new(w.proxy, route_at(w.proxy, 0), "uid:1", SESSION_LINE, &session_ops, &b, &s), 0);
    b = (struct client){.channel = {.ops = &client_ops, .refs = 1}, .session = s};
    proxy_stop(w.proxy, world_stopped, NULL);
    unsigned before = w.opens;
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                   "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{"
                   "\"name\":\"t\",\"version\":\"1\"}}}");
    ck_assert_has(client_read(&b), "shutting_down");
    ck_assert_uint_eq(w.opens, before);
    answer(fake_at(0));
    ck_assert_has(client_read(&a), "\"id\":1");
    turn();
    ck_assert(w.stopped);
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/slots");
    TCase *t = tcase_create("slots");
    tcase_add_test(t, a_session_gets_its_own_connection_back);
    tcase_add_test(t, what_a_session_leaves_in_recovery_is_recovered);
    tcase_add_test(t, a_session_with_much_to_do_opens_no_connections_that_it_cannot_use);
    tcase_add_test(t, a_connection_that_came_too_late_to_be_used_goes_again);
    tcase_add_test(t, nobody_waits_for_a_home_that_was_lost_beside_one_with_room);
    tcase_add_test(t, nobody_waits_for_a_new_home_once_the_old_one_is_free_of_ghosts);
    tcase_add_test(t, a_pool_without_a_line_grows_all_the_same);
    tcase_add_test(t, who_waits_for_a_home_that_fails_to_start_goes_elsewhere);
    tcase_add_test(t, moved_requests_keep_their_order_before_those_that_waited);
    tcase_add_test(t, a_call_runs_alone_as_soon_as_the_first_given_up_call_is_forgotten);
    tcase_add_test(t, nobody_is_let_in_while_mcpool_stops);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
