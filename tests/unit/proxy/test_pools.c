/* The three ways of sharing connections, how a pool grows, serves and shrinks, and whom its
 * sessions belong to. */
#include "clients.h"

START_TEST(session_sharing_gives_each_session_a_connection_of_its_own)
{
    begin(",\"sharing\":\"session\",\"resilience\":{\"max_connections\":2,\"queue_timeout\":1,"
          "\"operation_timeout\":1}");
    open_ready(&a, "{\"roots\":{\"listChanged\":true}}");
    open_ready(&b, "{\"roots\":{\"listChanged\":true}}");
    struct fake *fa = fake_of(&a), *fb = fake_of(&b);
    ck_assert_ptr_ne(fa, fb);
    ck_assert_has(fa->got[0], "\"roots\":{\"listChanged\":true}");
    /* An ask needs no call in flight; roots are the client's own; so is what neither knows. */
    fake_say(fa, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}");
    const char *m = client_read(&a);
    ck_assert_has(m, "roots/list");
    ck_assert_ptr_null(client_read(&b));
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}");
    ck_assert_has(fake_read(fa), "roots/list_changed");
    fake_say(fb, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/vendor/x\"}");
    ck_assert_has(client_read(&b), "vendor/x");
    /* A third finds no room. */
    struct client c;
    client_open(&c, "anonymous", "{\"roots\":{\"listChanged\":true}}");
    pass(3 * USEC_PER_SEC);
    ck_assert_has(client_read(&c), "overloaded");
    client_close(&c);
    /* What served a is never handed to another. */
    client_close(&a);
    bool alive = false;
    for (struct fake *f = w.fakes; f; f = f->next)
        alive |= f == fa;
    ck_assert(!alive);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(exclusive_sharing_leases_while_requests_run)
{
    begin(",\"sharing\":\"exclusive\",\"resilience\":{\"max_connections\":1}");
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_at(0);
    client_say(&a, CALL("1"));
    client_say(&a, CALL("2"));
    client_say(&b, CALL("1"));
    uint64_t one = id_of(fake_read(f)), two = id_of(fake_read(f));
    ck_assert_ptr_null(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)one);
    turn();
    ck_assert_ptr_null(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)two);
    turn();
    ck_assert_has(fake_read(f), "tools/call");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(a_pool_grows_by_load_serves_in_turn_and_shrinks)
{
    begin(",\"limits\":{\"max_in_flight_per_connection\":2,\"idle_shrink\":10},\"resilience\":{"
          "\"max_connections\":2}");
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    unsigned before = w.opens;
    for (int i = 1; i <= 8; i++) {
        char text[128];
        snprintf(text, sizeof(text), CALL("%d"), i);
        client_say(&a, text);
    }
    client_say(&b, CALL("1"));
    ck_assert_uint_eq(w.opens, before + 1);
    /* b's single request is served before the rest of a's. */
    struct fake *f = fake_at(0);
    uint64_t up = id_of(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    turn();
    up = id_of(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    turn();
    bool b_runs = false;
    for (int round = 0; round < 20; round++)
        for (f = w.fakes; f; f = f->next)
            for (const char *m; (m = fake_read(f)) != NULL; turn())
                fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
                         (unsigned long long)id_of(m));
    for (const char *m; (m = client_read(&b)) != NULL;)
        b_runs |= strstr(m, "\"id\":1") != NULL;
    ck_assert(b_runs);
    ck_assert_uint_eq(session_in_flight(a.session), 0);
    pass(60 * USEC_PER_SEC);
    ck_assert_ptr_null(fake_at(1));
    ck_assert_ptr_nonnull(fake_at(0));
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(who_waits_longest_is_served_first)
{
    struct client c[5];
    begin(",\"sharing\":\"exclusive\",\"resilience\":{\"max_connections\":1}");
    for (int i = 0; i < 5; i++) {
        open_ready(&c[i], NULL);
        client_say(&c[i], CALL("1"));
    }
    for (int i = 0; i < 5; i++) {
        uint64_t up = id_of(fake_read(fake_at(0)));
        fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
                 (unsigned long long)up);
        turn();
        ck_assert_has(client_read(&c[i]), "\"id\":1");
    }
    for (int i = 0; i < 5; i++)
        client_close(&c[i]);
    world_end();
}
END_TEST

START_TEST(tasks_are_hidden_where_connections_are_shared)
{
    world_new(NULL, NULL);
    w.card = "{\"tasks\":{\"list\":{}},\"tools\":{\"listChanged\":true}}";
    proxy_start(w.proxy);
    turn();
    client_open(&a, "anonymous", NULL);
    const char *m = client_read(&a);
    ck_assert_has(m, "\"capabilities\":{\"tools\":{\"listChanged\":true}}");
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tasks/list\"}");
    ck_assert_has(client_read(&a), "-32601");
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(sessions_are_bound_to_their_principal_and_route)
{
    begin(NULL);
    open_ready(&a, NULL);
    const struct route *r = route_at(w.proxy, 0);
    struct slice id = slice_str(session_id(a.session));
    ck_assert_ptr_eq(session_find(w.proxy, r, "anonymous", id), a.session);
    ck_assert_ptr_null(session_find(w.proxy, r, "uid:1", id));
    ck_assert_ptr_null(session_find(w.proxy, r, "anonymous", SLICE("x")));
    session_end(a.session);
    ck_assert_ptr_null(session_find(w.proxy, r, "anonymous", id));
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(a_known_server_is_described_while_it_is_down)
{
    begin(NULL);
    open_ready(&a, NULL);
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    open_ready(&b, NULL);
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST
int main(void)
{
    Suite *s = suite_create("proxy/pools");
    TCase *t = tcase_create("pools");
    tcase_add_test(t, session_sharing_gives_each_session_a_connection_of_its_own);
    tcase_add_test(t, exclusive_sharing_leases_while_requests_run);
    tcase_add_test(t, a_pool_grows_by_load_serves_in_turn_and_shrinks);
    tcase_add_test(t, who_waits_longest_is_served_first);
    tcase_add_test(t, tasks_are_hidden_where_connections_are_shared);
    tcase_add_test(t, sessions_are_bound_to_their_principal_and_route);
    tcase_add_test(t, a_known_server_is_described_while_it_is_down);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
