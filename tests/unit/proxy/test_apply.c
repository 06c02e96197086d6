/* Another configuration for the whole proxy: servers come, go and change while calls run; whoever
 * holds a route is never the worse for it. Under a sanitizer these tests are about lifetimes. */
#include "clients.h"

#include "config/diff.h"
#include "upstream/server.h"

#define S          USEC_PER_SEC
#define REMOVED    "The server was removed from the configuration"
#define ENTRY(n)   "\"" n "\":{\"command\":\"" n "\"}"
#define CHANGED(n) "\"" n "\":{\"command\":\"" n "\",\"args\":[\"x\"]}"
#define PING(id)   "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"ping\"}"
#define DRAIN      20 /* seconds */

static const char *file_of(const char *servers)
{
    static char text[1024];
    snprintf(text, sizeof(text),
             "{\"runtime_dir\":\"/nonexistent\",\"state_dir\":\"/nonexistent\",\"mcpServers\":{%s},"
             "\"limits\":{\"drain_timeout\":%d}}",
             servers, DRAIN);
    return text;
}

static void start(const char *servers)
{
    world_load(file_of(servers));
    proxy_start(w.proxy);
    turn();
}

/* As the daemon does it; nobody but the proxy keeps either configuration. */
static void apply(const char *servers)
{
    struct config *next = world_parse(file_of(servers));
    struct config_plan plan;
    config_plan_make(w.config, next, &plan);
    config_keep(w.config, next);
    proxy_apply(w.proxy, next, &plan);
    config_plan_done(&plan);
    config_unref(w.config);
    w.config = next;
    turn();
}

static struct server *server(const char *name)
{
    const struct route *r = route_find(w.proxy, slice_str(name));
    return r ? r->server : NULL;
}

static struct fake *server_of(const char *name)
{
    for (struct fake *f = w.fakes; f; f = f->next)
        if (strcmp(f->sc->name, name) == 0)
            return f;
    return NULL;
}

static void join_on(struct client *c, const struct route *r)
{
    memset(c, 0, sizeof(*c));
    c->channel = (struct channel){.ops = &client_ops, .refs = 1};
    ck_assert_int_eq(
        session_new(w.proxy, r, "anonymous", SESSION_LINE, &session_ops, c, &c->session), 0);
    session_set_push(c->session, &c->channel);
    client_say(c, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                  "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},"
                  "\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}");
    ck_assert_has(client_read(c), "protocolVersion");
}

static void join(struct client *c, const char *name)
{
    join_on(c, route_find(w.proxy, slice_str(name)));
}

static void answer(struct fake *f, const char *request)
{
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"r\":1}}",
             (unsigned long long)id_of(request));
    turn();
}

START_TEST(a_removed_server_ends_what_runs_and_then_its_sessions)
{
    start(ENTRY("a") "," ENTRY("b"));
    join(&a, "a");
    join(&b, "b");
    client_say(&b, CALL("1"));
    const char *m = fake_read(server_of("b"));
    apply(ENTRY("a"));
    ck_assert_ptr_null(server("b"));
    ck_assert(route_is_gone(session_route(b.session)));
    client_say(&b, CALL("2"));
    ck_assert_has(client_read(&b), REMOVED);
    client_say(&b, PING("3"));
    ck_assert_has(client_read(&b), "\"result\":{}");
    ck_assert(!b.ended);
    answer(server_of("b"), m);
    ck_assert_has(client_read(&b), "\"id\":1");
    ck_assert(b.ended);
    ck_assert_ptr_null(server_of("b"));
    client_say(&a, CALL("1"));
    answer(server_of("a"), fake_read(server_of("a")));
    ck_assert_has(client_read(&a), "\"id\":1");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(what_does_not_end_is_ended_after_drain_timeout)
{
    start(ENTRY("a") "," ENTRY("b"));
    join(&b, "b");
    client_say(&b, CALL("1"));
    apply(ENTRY("a"));
    pass((DRAIN - 1) * S);
    ck_assert(!b.ended);
    ck_assert_ptr_null(client_read(&b));
    pass(2 * S);
    ck_assert_has(client_read(&b), "\"error\"");
    ck_assert_ptr_null(client_read(&b));
    ck_assert(b.ended);
    ck_assert_ptr_null(server_of("b"));
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(a_route_stays_for_whoever_holds_it)
{
    start(ENTRY("a") "," ENTRY("b"));
    const struct route *r = route_ref(route_find(w.proxy, SLICE("b")));
    struct session *s;
    apply(ENTRY("a"));
    pass(60 * S);
    ck_assert_ptr_null(w.fakes->next);
    ck_assert_str_eq(r->name, "b");
    ck_assert_str_eq(route_server_name(r), "b");
    ck_assert_str_eq(r->server->sc->name, "b");
    ck_assert_int_eq(session_new(w.proxy, r, "anonymous", SESSION_LINE, &session_ops, &a, &s),
                     -ENOENT);
    apply(ENTRY("a") "," ENTRY("b"));
    ck_assert_ptr_ne(server("b"), r->server);
    ck_assert(route_is_gone(r));
    route_unref(r);
    world_end();
}
END_TEST

START_TEST(a_namesake_has_nothing_in_common)
{
    start(ENTRY("a") "," ENTRY("b"));
    join(&b, "b");
    client_say(&b, CALL("1"));
    struct fake *old = server_of("b");
    const char *m = fake_read(old);
    apply(ENTRY("a"));
    apply(ENTRY("b") "," ENTRY("a"));
    struct fake *new = server_of("b");
    ck_assert_ptr_ne(new, old);
    join(&a, "b");
    client_say(&a, CALL("7"));
    answer(new, fake_read(new));
    ck_assert_has(client_read(&a), "\"id\":7");
    client_say(&b, CALL("2"));
    ck_assert_has(client_read(&b), REMOVED);
    ck_assert_ptr_null(session_find(w.proxy, route_find(w.proxy, SLICE("b")), "anonymous",
                                    slice_str(session_id(b.session))));
    answer(old, m);
    ck_assert_has(client_read(&b), "\"id\":1");
    ck_assert(b.ended);
    ck_assert(!a.ended);
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(sessions_of_a_removed_server_are_found_by_their_id)
{
    start(ENTRY("a") "," ENTRY("b"));
    join(&b, "b");
    client_say(&b, CALL("1"));
    apply(ENTRY("a"));
    struct slice id = slice_str(session_id(b.session));
    const struct route *r = session_route_by_id(w.proxy, "anonymous", id, SLICE("b"));
    ck_assert_ptr_eq(r, session_route(b.session));
    ck_assert_ptr_eq(session_find(w.proxy, r, "anonymous", id), b.session);
    ck_assert_ptr_null(session_route_by_id(w.proxy, "anonymous", id, SLICE("a")));
    ck_assert_ptr_null(session_route_by_id(w.proxy, "anonymous", id, SLICE("")));
    ck_assert_ptr_null(session_route_by_id(w.proxy, "somebody", id, SLICE("b")));
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
                   "\"params\":{\"requestId\":1}}");
    ck_assert(b.ended); /* nothing runs any more */
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(the_aggregate_endpoint_comes_and_goes)
{
    start(ENTRY("a"));
    const struct route *r = route_ref(route_find(w.proxy, SLICE("")));
    join_on(&a, r);
    apply(ENTRY("a") "," ENTRY("b"));
    ck_assert_ptr_null(route_find(w.proxy, SLICE("")));
    ck_assert(!route_is_gone(r));
    client_say(&a, CALL("1"));
    answer(server_of("a"), fake_read(server_of("a")));
    ck_assert_has(client_read(&a), "\"id\":1");
    join_on(&b, r); /* on a connection of before */
    apply(ENTRY("b"));
    ck_assert(route_is_gone(r));
    ck_assert_str_eq(route_server_name(r), "a");
    ck_assert_str_eq(route_server_name(route_find(w.proxy, SLICE(""))), "b");
    ck_assert(a.ended && b.ended);
    route_unref(r);
    apply("");
    ck_assert_ptr_null(route_find(w.proxy, SLICE("")));
    ck_assert_ptr_null(w.fakes);
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(equal_and_changed_entries)
{
    start(ENTRY("a") "," ENTRY("b"));
    join(&a, "a");
    join(&b, "b");
    struct fake *kept = server_of("a"), *old = server_of("b");
    struct server *sa = server("a"), *sb = server("b");
    for (int i = 0; i < 5; i++)
        apply(i % 2 ? ENTRY("b") "," ENTRY("a") : ENTRY("a") "," CHANGED("b"));
    ck_assert_ptr_eq(server("a"), sa);
    ck_assert_ptr_eq(server("b"), sb);
    ck_assert_ptr_eq(server_of("a"), kept);
    ck_assert_ptr_ne(server_of("b"), old);
    ck_assert_ptr_eq(sa->config, w.config); /* nobody is left behind with an old one */
    ck_assert_ptr_eq(sb->config, w.config);
    client_say(&b, CALL("1"));
    answer(server_of("b"), fake_read(server_of("b")));
    ck_assert_has(client_read(&b), "\"id\":1");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(what_waits_for_a_restart_holds_nothing_else_up)
{
    start(ENTRY("a") "," ENTRY("b"));
    struct fake *kept = server_of("a"), *old = server_of("b");
    apply("\"a\":{\"command\":\"a\",\"sharing\":\"session\"},"
          "\"b\":{\"command\":\"b\",\"args\":[\"x\"],\"sharing\":\"session\"}");
    ck_assert_ptr_eq(server_of("a"), kept);
    ck_assert_ptr_ne(server_of("b"), old);
    ck_assert_int_eq(server("b")->sc->options.sharing, CONFIG_SHARING_SHARED);
    world_end();
}
END_TEST

START_TEST(a_stop_waits_for_servers_that_are_leaving)
{
    start(ENTRY("a") "," ENTRY("b"));
    join(&b, "b");
    client_say(&b, CALL("1"));
    const char *m = fake_read(server_of("b"));
    apply(ENTRY("a"));
    proxy_stop(w.proxy, world_stopped, NULL);
    turn();
    ck_assert(!w.stopped);
    answer(server_of("b"), m);
    ck_assert_has(client_read(&b), "\"id\":1");
    client_close(&b);
    turn();
    ck_assert(w.stopped);
    world_end();
}
END_TEST

START_TEST(a_stop_finds_servers_that_are_stopping_already)
{
    for (unsigned again = 0; again < 3; again++) {
        start(ENTRY("a") "," ENTRY("b"));
        w.close_delay = 3 * S;
        apply(again == 1 ? "" : ENTRY("a"));
        ck_assert(server_of("b")->closed);
        proxy_stop(w.proxy, world_stopped, NULL);
        turn();
        for (unsigned i = 0; i < again; i++) {
            proxy_stop(w.proxy, world_stopped, NULL);
            turn();
        }
        pass(10 * S);
        ck_assert(w.stopped);
        world_end();
    }
}
END_TEST

START_TEST(an_applied_configuration_without_servers_stops_at_once)
{
    start(ENTRY("a"));
    apply("");
    pass(S);
    proxy_stop(w.proxy, world_stopped, NULL);
    turn();
    ck_assert(w.stopped);
    world_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/apply");
    TCase *t = tcase_create("apply");
    tcase_add_test(t, a_removed_server_ends_what_runs_and_then_its_sessions);
    tcase_add_test(t, what_does_not_end_is_ended_after_drain_timeout);
    tcase_add_test(t, a_route_stays_for_whoever_holds_it);
    tcase_add_test(t, a_namesake_has_nothing_in_common);
    tcase_add_test(t, sessions_of_a_removed_server_are_found_by_their_id);
    tcase_add_test(t, the_aggregate_endpoint_comes_and_goes);
    tcase_add_test(t, equal_and_changed_entries);
    tcase_add_test(t, what_waits_for_a_restart_holds_nothing_else_up);
    tcase_add_test(t, a_stop_waits_for_servers_that_are_leaving);
    tcase_add_test(t, a_stop_finds_servers_that_are_stopping_already);
    tcase_add_test(t, an_applied_configuration_without_servers_stops_at_once);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
