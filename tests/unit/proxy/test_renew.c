/* A server that is renewed (a reload, a restart): its connections are replaced and nothing that
 * runs or lives on them is the worse for it. */
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
#define LIST(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/list\"}"

static struct server *server(void)
{
    return route_at(w.proxy, 0)->server;
}

static struct conn *slot(unsigned i)
{
    return server()->pools->slots[i];
}

static unsigned in_state(enum conn_state state)
{
    struct server_counts n;
    server_count(server(), &n);
    return n.slots[state];
}

static void start(const char *resilience, const char *extra)
{
    char top[400];
    snprintf(top, sizeof(top),
             ",\"limits\":{\"drain_timeout\":20},\"resilience\":{\"recovery_jitter_max\":0%s}",
             resilience);
    world_new(extra, top);
    proxy_start(w.proxy);
    turn();
}

static void end(void)
{
    ck_assert_uint_eq(metrics_sum(server()->metrics, METRIC_AUDIT_REPAIRS), 0);
    world_end();
}

static void restart(void)
{
    server_renew(server(), server()->config, server()->sc, true);
    turn();
}

/* The server follows another file; nobody but it holds that one. */
static void reload(const char *resilience, const char *extra, bool renew)
{
    char top[400];
    snprintf(top, sizeof(top),
             ",\"limits\":{\"drain_timeout\":20},\"resilience\":{\"recovery_jitter_max\":0%s}",
             resilience);
    struct config *config = world_parse(world_text(extra, top));
    server_renew(server(), config, &config->servers[0], renew);
    config_unref(config);
    turn();
}

static void answer(struct fake *f, const char *request, const char *result)
{
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}",
             (unsigned long long)id_of(request), result);
    turn();
}

START_TEST(an_idle_connection_is_replaced_at_once)
{
    start("", NULL);
    open_ready(&a, NULL);
    w.close_delay = 3 * S; /* the old one takes its time, the new one does not wait for it */
    restart();
    ck_assert_uint_eq(w.opens, 2);
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    ck_assert_uint_eq(in_state(CONN_CLOSING), 1);
    client_say(&a, CALL("1"));
    struct fake *f = fake_at(1);
    answer(f, fake_read(f), "{}");
    ck_assert_has(client_read(&a), "\"id\":1");
    pass(60 * S);
    ck_assert_uint_eq(w.opens, 2); /* the session lives on the new one: nothing else is needed */
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    ck_assert_uint_eq(metrics_sum(server()->metrics, METRIC_CONNECTIONS_LOST), 0);
    client_close(&a);
    end();
}
END_TEST

START_TEST(a_busy_connection_ends_its_calls_and_gets_no_new_ones)
{
    start("", NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    client_say(&a, CALL("1"));
    struct fake *old = fake_at(0);
    const char *m = fake_read(old);
    restart();
    ck_assert_uint_eq(w.opens, 2);
    ck_assert(!old->closed);
    client_say(&a, CALL("2"));
    client_say(&b, CALL("3"));
    ck_assert_ptr_null(fake_read(old));
    struct fake *new = fake_at(1);
    answer(new, fake_read(new), "{}");
    answer(new, fake_read(new), "{}");
    ck_assert_has(client_read(&a), "\"id\":2");
    ck_assert_has(client_read(&b), "\"id\":3");
    pass(10 * S);
    ck_assert(!old->closed);
    answer(old, m, "{\"late\":1}");
    ck_assert_has(client_read(&a), "late");
    pass(10 * S);
    ck_assert_uint_eq(w.opens, 2);
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    client_close(&a);
    client_close(&b);
    end();
}
END_TEST

START_TEST(without_room_calls_wait_for_the_old_one_to_end)
{
    start(",\"max_connections\":1", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    struct fake *old = fake_at(0);
    const char *m = fake_read(old);
    restart();
    client_say(&a, CALL("2"));
    pass(5 * S);
    ck_assert_uint_eq(w.opens, 1);
    ck_assert_ptr_null(client_read(&a));
    answer(old, m, "{}");
    ck_assert_has(client_read(&a), "\"id\":1");
    turn();
    ck_assert_uint_eq(w.opens, 2);
    struct fake *new = fake_at(0);
    answer(new, fake_read(new), "{}");
    ck_assert_has(client_read(&a), "\"id\":2");
    client_close(&a);
    end();
}
END_TEST

START_TEST(after_drain_timeout_what_runs_is_treated_as_on_a_crash)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    client_say(&a, READ("2"));
    struct fake *old = fake_at(0);
    restart();
    restart(); /* asking again does not prolong it … */
    pass(15 * S);
    restart();
    ck_assert_ptr_null(client_read(&a));
    pass(5 * S - 1);
    ck_assert(!old->closed);
    pass(2);
    const char *m = client_read(&a);
    ck_assert_has(m, "\"id\":1");
    ck_assert_has(m, "\"reason\":\"upstream_lost\",\"delivered\":\"maybe\"");
    /* … and what may be sent twice is, at the new one. */
    struct fake *new = w.fakes;
    m = fake_read(new);
    ck_assert_has(m, "resources/read");
    answer(new, m, "{}");
    ck_assert_has(client_read(&a), "\"id\":2");
    ck_assert_int_eq(server()->breaker.state, BREAKER_CLOSED);
    client_close(&a);
    end();
}
END_TEST

START_TEST(what_was_never_received_moves_when_time_is_over)
{
    start("", NULL);
    open_ready(&a, NULL);
    fake_at(0)->stuck_from = fake_at(0)->marks + 1;
    client_say(&a, CALL("1"));
    restart();
    pass(21 * S);
    struct fake *new = w.fakes;
    answer(new, fake_read(new), "{\"moved\":1}");
    ck_assert_has(client_read(&a), "moved");
    client_close(&a);
    end();
}
END_TEST

START_TEST(settings_act_at_once_and_the_old_file_goes_with_its_last_connection)
{
    start(",\"queue_timeout\":20", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    struct fake *old = fake_at(0);
    const char *m = fake_read(old);
    ck_assert_ptr_eq(old->sc, &w.config->servers[0]);
    reload(",\"call_timeout\":7", NULL, false);
    ck_assert(!old->closed);
    ck_assert_uint_eq(w.opens, 1);
    client_say(&a, CALL("2"));
    answer(old, m, "{}");
    ck_assert_has(client_read(&a), "\"id\":1");
    pass(8 * S);
    ck_assert_has(client_read(&a), "\"reason\":\"timeout\"");
    /* The next two files are freed but for what transports hold of them. */
    reload("", ",\"args\":[\"x\"]", true);
    w.close_delay = 5 * S;
    reload("", ",\"args\":[\"y\"]", true);
    ck_assert_str_eq(w.fakes->sc->argv[1], "y");
    pass(30 * S);
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    client_close(&a);
    end();
}
END_TEST

START_TEST(more_are_opened_when_more_are_wanted)
{
    start("", NULL);
    open_ready(&a, NULL);
    reload(",\"min_connections\":4,\"max_connections\":20", NULL, false);
    ck_assert_uint_eq(w.opens, 4);
    ck_assert_uint_eq(in_state(CONN_READY), 4);
    for (unsigned i = 0; i < 4; i++)
        fake_die(fake_at(i));
    pass(30 * S);
    ck_assert_uint_eq(in_state(CONN_READY), 4);
    ck_assert_ptr_nonnull(slot(19));
    client_close(&a);
    end();
}
END_TEST

/* Three connections, two sessions and a subscription on those that go. */
START_TEST(fewer_are_kept_and_what_lived_on_the_others_moves)
{
    start(",\"min_connections\":3", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1")); /* a's home is 0, so b's is another */
    open_ready(&b, NULL);
    ck_assert(LIST_EMPTY(&slot(0)->homed) ||
              LIST_NEXT(LIST_FIRST(&slot(0)->homed), home_link) == NULL);
    unsigned home = LIST_EMPTY(&slot(1)->homed) ? 2 : 1;
    client_say(&b, SUBSCRIBE("2"));
    struct fake *f = fake_at(home);
    answer(f, fake_read(f), "{}");
    ck_assert_has(client_read(&b), "\"id\":2");
    ck_assert_uint_eq(slot(home)->keepers, 1);
    reload(",\"min_connections\":1,\"max_connections\":1", NULL, false);
    /* The idle ones go; the one with a call stays and is all there is. */
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    ck_assert_uint_eq(slot(0)->keepers, 1);
    f = fake_at(0);
    const char *call = fake_read(f), *m = fake_read(f);
    ck_assert_has(m, "resources/subscribe");
    answer(f, m, "{}");
    ck_assert_has(client_read(&b), "notifications/resources/updated");
    answer(f, call, "{}");
    ck_assert_has(client_read(&a), "\"id\":1");
    pass(60 * S);
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    client_say(&b, CALL("3"));
    answer(f, fake_read(f), "{}");
    ck_assert_has(client_read(&b), "\"id\":3");
    struct server_counts n;
    server_count(server(), &n);
    ck_assert_uint_eq(n.max_size, 1);
    client_close(&a);
    client_close(&b);
    end();
}
END_TEST

START_TEST(a_busy_one_too_many_goes_when_its_call_has_ended)
{
    start(",\"min_connections\":2", NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    client_say(&a, CALL("1"));
    client_say(&b, CALL("2"));
    struct fake *f[2] = {fake_at(0), fake_at(1)};
    const char *m[2] = {fake_read(f[0]), fake_read(f[1])};
    if (!m[1])
        m[1] = fake_read(f[0]), f[1] = f[0];
    reload(",\"max_connections\":1", NULL, false);
    pass(300 * S - 1); /* settings interrupt nothing, drain_timeout or not */
    answer(f[0], m[0], "{}");
    answer(f[1], m[1], "{}");
    ck_assert_has(client_read(&a), "\"id\":1");
    ck_assert_has(client_read(&b), "\"id\":2");
    turn();
    ck_assert_uint_eq(in_state(CONN_READY), 1);
    ck_assert_uint_eq(w.opens, 2);
    client_close(&a);
    client_close(&b);
    end();
}
END_TEST

START_TEST(what_waits_is_tried_at_once_with_the_new_entry)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0}");
    w.refuse = true;
    proxy_start(w.proxy);
    pass(70 * S);
    unsigned opens = w.opens;
    ck_assert_uint_ge(slot(0)->recovery.failures, 6);
    w.refuse = false;
    reload("", ",\"args\":[\"z\"]", true);
    ck_assert_uint_eq(w.opens, opens + 1);
    ck_assert_str_eq(w.fakes->sc->argv[1], "z");
    ck_assert_int_eq(slot(0)->state, CONN_READY);
    end();
}
END_TEST

START_TEST(a_fresh_back_off_follows_an_entry_that_is_no_better)
{
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0}");
    w.refuse = w.fatal = true;
    proxy_start(w.proxy);
    pass(200 * S);
    w.fatal = false;
    restart();
    ck_assert_int_eq(slot(0)->state, CONN_WAITING);
    ck_assert_uint_eq(slot(0)->retry_at, w.env.now + S);
    end();
}
END_TEST

START_TEST(an_attempt_with_the_old_entry_is_given_up)
{
    world_new(NULL, NULL);
    w.mute = true; /* hangs in the handshake */
    proxy_start(w.proxy);
    turn();
    client_open(&a, "anonymous", NULL);
    ck_assert_int_eq(slot(0)->state, CONN_HANDSHAKE);
    w.mute = false;
    reload("", ",\"args\":[\"z\"]", true);
    turn();
    ck_assert_uint_eq(w.opens, 2);
    ck_assert_has(client_read(&a), "\"protocolVersion\""); /* had waited for it */
    client_close(&a);
    end();
}
END_TEST

START_TEST(a_shorter_time_to_start_holds_for_what_is_starting)
{
    start("", NULL);
    w.mute = true;
    fake_die(fake_at(0));
    pass(2 * S);
    ck_assert_int_eq(slot(0)->state, CONN_HANDSHAKE);
    reload(",\"operation_timeout\":5", NULL, false);
    usec_t due = slot(0)->attempt_at + 5 * S;
    pass(due - w.env.now - 1);
    ck_assert_int_eq(slot(0)->state, CONN_HANDSHAKE);
    pass(2);
    ck_assert_int_eq(slot(0)->state, CONN_WAITING);
    pass(60 * S);
    end();
}
END_TEST

/* Sessions keep their pool; what it declares for them is what is allowed now. */
START_TEST(a_feature_that_is_withdrawn_is_not_declared_any_more)
{
    start("", NULL);
    open_ready(&a, "{\"sampling\":{},\"elicitation\":{}}");
    pass(S);
    ck_assert_has(w.fakes->got[0], "\"sampling\":{}");
    reload("", ",\"client_features\":[\"elicitation\"]", true);
    unsigned n = 0;
    for (const struct fake *f = w.fakes; f; f = f->next, n++)
        ck_assert_ptr_null(strstr(f->got[0], "sampling"));
    ck_assert_uint_eq(n, 2);
    unsigned declares = 0;
    for (const struct fake *f = w.fakes; f; f = f->next)
        declares += strstr(f->got[0], "\"elicitation\":{}") != NULL;
    ck_assert_uint_eq(declares, 1);
    client_close(&a);
    end();
}
END_TEST

START_TEST(shorter_intervals_hold_at_once)
{
    start(",\"recovery_interval\":1000,\"health_check_interval\":1000", NULL);
    reload(",\"recovery_interval\":3,\"health_check_interval\":4", NULL, false);
    ck_assert_uint_eq(server()->sweep.due_at, w.env.now + 3 * S);
    ck_assert_uint_eq(server()->monitor.due_at, w.env.now + 4 * S);
    pass(S);
    reload(",\"recovery_interval\":3,\"health_check_interval\":4", NULL, false);
    ck_assert_uint_eq(server()->sweep.due_at, w.env.now + 2 * S); /* and are not put off */
    ck_assert_uint_eq(server()->monitor.due_at, w.env.now + 3 * S);
    end();
}
END_TEST

/* What closes may take the time that its own entry gives it. */
START_TEST(a_slow_end_is_judged_by_the_entry_of_its_time)
{
    start("", ",\"limits\":{\"shutdown_grace\":60}");
    w.close_delay = 100 * S;
    reload("", ",\"limits\":{\"shutdown_grace\":1}", true);
    pass(99 * S);
    ck_assert_uint_eq(in_state(CONN_CLOSING), 1);
    pass(2 * S);
    ck_assert_uint_eq(in_state(CONN_CLOSING), 0);
    end();
}
END_TEST

/* The list is another at the new connection, in whatever slot that is. */
START_TEST(lists_are_compared_as_after_a_crash)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, LIST("1"));
    answer(fake_at(0), fake_read(fake_at(0)), "{\"tools\":[{\"name\":\"one\"}]}");
    ck_assert_has(client_read(&a), "\"id\":1");
    restart();
    struct fake *f = fake_at(1);
    const char *m = fake_read(f);
    ck_assert_has(m, "tools/list");
    answer(f, m, "{\"tools\":[{\"name\":\"one\"}]}");
    ck_assert_ptr_null(client_read(&a));
    restart();
    f = fake_at(0);
    m = fake_read(f);
    ck_assert_has(m, "tools/list");
    answer(f, m, "{\"tools\":[{\"name\":\"two\"}]}");
    ck_assert_has(client_read(&a), "list_changed");
    pass(60 * S);
    ck_assert_ptr_null(fake_read(f)); /* once, not for each slot that went */
    ck_assert_ptr_null(client_read(&a));
    client_close(&a);
    end();
}
END_TEST

/* A list that was under way at the old connection arrives when the new one was compared. */
START_TEST(a_list_of_before_that_comes_late_is_called_changed)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, LIST("1"));
    struct fake *old = fake_at(0);
    const char *first = fake_read(old);
    answer(old, first, "{\"tools\":[{\"name\":\"one\"}]}");
    ck_assert_has(client_read(&a), "\"id\":1");
    client_say(&a, LIST("2"));
    const char *late = fake_read(old);
    restart();
    struct fake *new = fake_at(1);
    answer(new, fake_read(new), "{\"tools\":[{\"name\":\"two\"}]}");
    ck_assert_has(client_read(&a), "list_changed");
    answer(old, late, "{\"tools\":[{\"name\":\"one\"}]}");
    ck_assert_has(client_read(&a), "\"id\":2");
    pass(2 * S);
    ck_assert_has(client_read(&a), "list_changed");
    client_close(&a);
    end();
}
END_TEST

START_TEST(subscriptions_and_level_are_made_again)
{
    start("", NULL);
    open_ready(&a, NULL);
    struct fake *f = fake_at(0);
    client_say(&a, SUBSCRIBE("1"));
    answer(f, fake_read(f), "{}");
    ck_assert_has(client_read(&a), "\"id\":1");
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"logging/setLevel\",\"params\":{"
                   "\"level\":\"error\"}}");
    ck_assert_has(client_read(&a), "\"id\":2");
    answer(f, fake_read(f), "{}");
    restart();
    f = w.fakes;
    ck_assert_has(fake_read(f), "logging/setLevel");
    const char *m = fake_read(f);
    ck_assert_has(m, "resources/subscribe");
    answer(f, m, "{}");
    ck_assert_has(client_read(&a), "notifications/resources/updated");
    ck_assert_ptr_null(client_read(&a));
    client_close(&a);
    end();
}
END_TEST

START_TEST(a_sessions_own_connection_is_replaced_in_its_place)
{
    start("", ",\"sharing\":\"session\"");
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    struct fake *old;
    const char *m = NULL;
    for (old = w.fakes; old && (m = fake_read(old)) == NULL; old = old->next)
        ;
    unsigned own = old->slot;
    ck_assert_ptr_nonnull(slot(own)->lessee);
    restart();
    client_say(&a, CALL("2"));
    ck_assert(!old->closed);
    answer(old, m, "{}");
    ck_assert_has(client_read(&a), "\"id\":1");
    turn();
    struct fake *new = fake_at(own);
    ck_assert_ptr_nonnull(new);
    ck_assert_ptr_ne(new, old);
    answer(new, fake_read(new), "{}");
    ck_assert_has(client_read(&a), "\"id\":2");
    restart(); /* idle: it comes back without being called */
    turn();
    ck_assert_int_eq(slot(own)->state, CONN_READY);
    ck_assert_ptr_nonnull(slot(own)->lessee);
    client_close(&a);
    end();
}
END_TEST

START_TEST(an_outdated_connection_that_dies_is_as_any)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    struct fake *old = fake_at(0);
    restart();
    fake_die(old);
    turn();
    ck_assert_has(client_read(&a), "\"delivered\":\"maybe\"");
    pass(60 * S);
    ck_assert_uint_ge(in_state(CONN_READY), 1);
    ck_assert(!slot(0)->outdated);
    client_say(&a, CALL("2"));
    for (struct fake *f = w.fakes; f; f = f->next) {
        const char *m = fake_read(f);
        if (m)
            answer(f, m, "{}");
    }
    ck_assert_has(client_read(&a), "\"id\":2");
    client_close(&a);
    end();
}
END_TEST

START_TEST(a_renewal_of_a_server_that_stops_is_none)
{
    start("", NULL);
    open_ready(&a, NULL);
    client_say(&a, CALL("1"));
    proxy_stop(w.proxy, world_stopped, NULL);
    turn();
    restart();
    ck_assert(!w.stopped);
    answer(fake_at(0), fake_read(fake_at(0)), "{}");
    ck_assert_has(client_read(&a), "\"id\":1");
    turn();
    restart();
    ck_assert(w.stopped);
    client_close(&a);
    proxy_free(w.proxy);
    config_unref(w.config);
    env_done(&w.env);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/renew");
    TCase *t = tcase_create("renew");
    tcase_add_test(t, an_idle_connection_is_replaced_at_once);
    tcase_add_test(t, a_busy_connection_ends_its_calls_and_gets_no_new_ones);
    tcase_add_test(t, without_room_calls_wait_for_the_old_one_to_end);
    tcase_add_test(t, after_drain_timeout_what_runs_is_treated_as_on_a_crash);
    tcase_add_test(t, what_was_never_received_moves_when_time_is_over);
    tcase_add_test(t, settings_act_at_once_and_the_old_file_goes_with_its_last_connection);
    tcase_add_test(t, more_are_opened_when_more_are_wanted);
    tcase_add_test(t, fewer_are_kept_and_what_lived_on_the_others_moves);
    tcase_add_test(t, a_busy_one_too_many_goes_when_its_call_has_ended);
    tcase_add_test(t, what_waits_is_tried_at_once_with_the_new_entry);
    tcase_add_test(t, a_fresh_back_off_follows_an_entry_that_is_no_better);
    tcase_add_test(t, an_attempt_with_the_old_entry_is_given_up);
    tcase_add_test(t, a_shorter_time_to_start_holds_for_what_is_starting);
    tcase_add_test(t, a_feature_that_is_withdrawn_is_not_declared_any_more);
    tcase_add_test(t, shorter_intervals_hold_at_once);
    tcase_add_test(t, a_slow_end_is_judged_by_the_entry_of_its_time);
    tcase_add_test(t, lists_are_compared_as_after_a_crash);
    tcase_add_test(t, a_list_of_before_that_comes_late_is_called_changed);
    tcase_add_test(t, subscriptions_and_level_are_made_again);
    tcase_add_test(t, a_sessions_own_connection_is_replaced_in_its_place);
    tcase_add_test(t, an_outdated_connection_that_dies_is_as_any);
    tcase_add_test(t, a_renewal_of_a_server_that_stops_is_none);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
