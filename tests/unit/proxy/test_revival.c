/* Sessions that outlive the process: who may come back, with what, and who may not. */
#include "revival.h"

/* ---- who comes back ---- */

START_TEST(a_session_comes_back_after_a_kill)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "uid:7", "{\"sampling\":{\"tools\":{}},\"elicitation\":{}}");
    unsigned features = c.session->features;
    char handle[16];
    snprintf(handle, sizeof(handle), "%s", session_handle(c.session));
    kill_9(&c);

    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "uid:7"), 0);
    ck_assert_str_eq(session_id(c.session), id);
    ck_assert_str_eq(session_handle(c.session), handle);
    ck_assert(session_is_initialized(c.session));
    ck_assert_int_eq(session_version(c.session), MCP_2025_06_18);
    ck_assert_uint_eq(c.session->features, features);
    ck_assert_uint_ne(features & FEATURE_SAMPLING_TOOLS, 0);
    ck_assert_str_eq(c.session->affinity.pool->principal, "uid:7");
    ck_assert_uint_eq(c.session->affinity.pool->features, features);
    ck_assert_ptr_eq(session_find(w.proxy, route_at(w.proxy, 0), "uid:7", slice_str(id)),
                     c.session);
    ck_assert_uint_eq(metrics_get(w.proxy->metrics, METRIC_SESSIONS_REVIVED, 0), 1);
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\"}");
    ck_assert_str_eq(client_read(&c), "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}");
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"initialize\",\"params\":{}}");
    ck_assert_has(client_read(&c), "initialized already");
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(and_after_a_stop_in_good_order_again_and_again)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    stop(&c);
    for (int i = 0; i < 3; i++) {
        begin(NULL, NULL);
        ck_assert_int_eq(come_back(&c, "anonymous"), 0);
        stop(&c);
    }
    ck_assert_uint_eq(buf_len(&store.lines), 0); /* nothing was to be kept */
}
END_TEST

START_TEST(its_first_request_waits_for_a_server_that_is_starting)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    kill_9(&c);
    world_new(NULL, NULL);
    w.start_delay = 5 * USEC_PER_SEC;
    proxy_start(w.proxy);
    turn();
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    client_say(&c, LIST("1"));
    ck_assert_ptr_null(client_read(&c));
    pass(6 * USEC_PER_SEC);
    answer(fake_at(0), fake_read(fake_at(0)), "tools/list");
    ck_assert_has(client_read(&c), "\"id\":1");
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(an_instance_with_the_same_key_knows_it_without_the_store)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    client_say(&c, LEVEL("1", "error"));
    stop(&c);
    mem_store_load(&store, "");
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    ck_assert_int_eq(c.session->level, MCP_LOG_UNSET);
    client_close(&c);
    world_end();
}
END_TEST

/* Its home is a connection that is just being given up for want of use. */
START_TEST(subscriptions_are_made_though_the_home_was_about_to_go)
{
    struct client c, other;
    static const char top[] = ",\"limits\":{\"idle_shrink\":10}";
    static const char few[] = ",\"resilience\":{\"min_connections\":0}";
    begin(few, top);
    open_http(&c, "anonymous", "{}");
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "file:///a"));
    stop(&c);
    begin(few, top);
    char kept[sizeof(id)];
    snprintf(kept, sizeof(kept), "%s", id);
    open_http(&other, "anonymous", "{}");
    client_close(&other);
    snprintf(id, sizeof(id), "%s", kept);
    w.close_delay = 2 * USEC_PER_SEC;
    while (route_at(w.proxy, 0)->server->pools->slots[0]->state == CONN_READY)
        pass(USEC_PER_SEC);
    ck_assert_int_eq(route_at(w.proxy, 0)->server->pools->slots[0]->state, CONN_CLOSING);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    pass(8 * USEC_PER_SEC); /* before the monitor pings, too */
    ck_assert_ptr_nonnull(w.fakes);
    answer(w.fakes, w.fakes->got[w.fakes->got_n - 1], "ping"); /* asks for a connection */
    answer(w.fakes, fake_read(w.fakes), "resources/subscribe");
    w.close_delay = 0;
    client_close(&c);
    world_end();
}
END_TEST

/* State is small, and another session fills it with what it subscribes to. */
START_TEST(an_id_that_was_ended_is_unknown_though_there_was_no_room_to_note_it)
{
    struct client c, other;
    char text[6000], uri[5001];
    begin(NULL, ",\"limits\":{\"state_file_bytes\":16384}");
    open_http(&other, "anonymous", "{}");
    memset(uri, 'u', sizeof(uri));
    uri[sizeof(uri) - 1] = '\0';
    for (unsigned i = 0, n = 4000; i<40; i++, n -= n> 100 ? 98 : 1) {
        uri[0] = (char)('a' + i / 26), uri[1] = (char)('a' + i % 26), uri[n] = '\0';
        snprintf(text, sizeof(text), SUBSCRIPTION("1", "subscribe", "%s"), uri);
        subscribe(&other, text);
        uri[n] = 'u';
    }
    open_http(&c, "anonymous", "{}");
    client_close(&c);
    memset(&c, 0, sizeof(c));
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    client_close(&other);
    world_end();
}
END_TEST

/* ---- who does not ---- */

START_TEST(foreign_ids_are_unknown)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "uid:7", "{}");
    stop(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "uid:8"), -ENOENT);
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    id[20] = id[20] == 'A' ? 'B' : 'A';
    ck_assert_int_eq(come_back(&c, "uid:7"), -ENOENT);
    snprintf(id, sizeof(id), "gone");
    ck_assert_int_eq(come_back(&c, "uid:7"), -ENOENT);
    ck_assert_uint_eq(proxy_session_count(w.proxy), 0);
    world_end();
}
END_TEST

/* Beside a live session: every character counts, not only those that its place in the table is
 * found by. */
START_TEST(an_id_is_known_by_all_of_it)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    const struct route *route = session_route(c.session);
    struct slice own = slice_str(session_id(c.session));
    char other[SESSION_ID_LEN];
    ck_assert_uint_eq(own.n, sizeof(other));
    ck_assert_ptr_eq(session_find(w.proxy, route, "anonymous", own), c.session);
    for (size_t i = 0; i < own.n; i++) {
        memcpy(other, own.p, own.n);
        other[i] = other[i] == 'A' ? 'B' : 'A';
        ck_assert_ptr_null(session_find(w.proxy, route, "anonymous", slice_of(other, own.n)));
        ck_assert_ptr_null(session_find(w.proxy, route, "anonymous", slice_of(own.p, i)));
    }
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_new_key_ends_all_sessions)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    stop(&c);
    key[5] ^= 1;
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    world_end();
}
END_TEST

/* Two servers; the second world has them in another order and then without the first one. */
static void two_servers(const char *entries)
{
    char text[512];
    struct config_errors errs;
    memset(&w, 0, sizeof(w));
    env_init(&w.env, test_random, NULL);
    w.env.now = 1000 * USEC_PER_SEC;
    log_set_level(LOG_LEVEL_CRITICAL);
    snprintf(
        text, sizeof(text),
        "{\"runtime_dir\":\"/nonexistent\",\"state_dir\":\"/nonexistent\",\"mcpServers\":{%s}}",
        entries);
    config_errors_init(&errs);
    ck_assert_int_eq(config_parse(slice_str(text), NULL, &w.config, &errs), 0);
    config_errors_done(&errs);
    struct proxy_transports tr = {.stdio = &fake_ops};
    wires(&tr);
    w.proxy = proxy_new(&w.env, w.config, &tr);
    proxy_start(w.proxy);
    turn();
}

static int come_back_to(struct client *c, const char *server)
{
    const struct route *r = route_find(w.proxy, slice_str(server));
    ck_assert_ptr_nonnull(r);
    memset(c, 0, sizeof(*c));
    c->channel = (struct channel){.ops = &client_ops, .refs = 1};
    return session_revive(w.proxy, r, "anonymous", slice_str(id), &session_ops, c, &c->session);
}

START_TEST(an_id_is_good_at_its_own_server_only)
{
    struct client c;
    two_servers("\"one\":{\"command\":\"x\"},\"two\":{\"command\":\"x\"}");
    open_http(&c, "anonymous", "{}"); /* at "one" */
    stop(&c);
    two_servers("\"two\":{\"command\":\"x\"},\"one\":{\"command\":\"x\"}");
    ck_assert_int_eq(come_back_to(&c, "two"), -ENOENT);
    ck_assert_int_eq(come_back_to(&c, "one"), 0);
    stop(&c);
    two_servers("\"one\":{\"command\":\"x\",\"enabled\":false},\"two\":{\"command\":\"x\"}");
    ck_assert_ptr_null(route_find(w.proxy, SLICE("one")));
    ck_assert_int_eq(come_back_to(&c, ""), -ENOENT); /* now the way to "two" */
    world_end();
}
END_TEST

START_TEST(an_id_gets_too_old)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    client_say(&c, LEVEL("1", "error"));
    stop(&c);
    wall += 30 * DAY;
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    ck_assert_int_eq(c.session->level, MCP_LOG_ERROR);
    stop(&c);
    wall += USEC_PER_SEC;
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    ck_assert_ptr_null(w.proxy->keeper.entries);
    ck_assert_uint_eq(buf_len(&store.lines), 0);
    world_end();
}
END_TEST

START_TEST(a_clock_that_was_put_back_makes_nothing_too_old)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    stop(&c);
    wall -= 365 * DAY;
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    stop(&c);
}
END_TEST

START_TEST(what_a_client_ended_stays_ended)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    client_say(&c, LEVEL("1", "error"));
    client_close(&c);
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT); /* in the same process too */
    world_end();
    for (int i = 0; i < 3; i++) {
        begin(NULL, NULL);
        ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
        world_end();
        ck_assert_ptr_nonnull(stored("R "));
        ck_assert_ptr_null(stored("L "));
    }
}
END_TEST

START_TEST(what_was_idle_too_long_stays_ended)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    pass(2 * DAY);
    ck_assert(c.ended);
    stop(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    world_end();
}
END_TEST

START_TEST(a_revived_session_can_be_ended_at_once)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    kill_9(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    session_end(c.session);
    client_close(&c);
    ck_assert_ptr_null(fake_read(fake_at(0))); /* it was never subscribed */
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    world_end();
}
END_TEST

START_TEST(streams_that_end_with_their_client_leave_nothing)
{
    struct client c;
    begin(NULL, NULL);
    client_open(&c, "anonymous", NULL); /* a line session */
    ck_assert_has(client_read(&c), "result");
    snprintf(id, sizeof(id), "%s", session_id(c.session));
    ck_assert_uint_eq(strlen(id), 24);
    client_say(&c, LEVEL("1", "error"));
    client_close(&c);
    ck_assert_uint_eq(store.appends, 0);
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    world_end();
}
END_TEST

/* A line client whose connection outlives the process. */
static void open_lasting_line(struct client *c)
{
    memset(c, 0, sizeof(*c));
    c->channel = (struct channel){.ops = &client_ops, .refs = 1};
    ck_assert_int_eq(session_new(w.proxy, route_at(w.proxy, 0), "uid:7", SESSION_LINE, &session_ops,
                                 c, &c->session),
                     0);
    session_set_lasting(c->session);
    session_set_push(c->session, &c->channel);
    ck_assert_ptr_null(session_lasting_id(c->session));
    client_say(c, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                  "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{}}}");
    ck_assert_has(client_read(c), "\"result\"");
    snprintf(id, sizeof(id), "%s", session_lasting_id(c->session));
}

static int line_comes_back(struct client *c, const char *principal)
{
    memset(c, 0, sizeof(*c));
    c->channel = (struct channel){.ops = &client_ops, .refs = 1};
    int r = session_revive_as(w.proxy, route_at(w.proxy, 0), principal, slice_str(id), SESSION_LINE,
                              &session_ops, c, &c->session);
    if (r == 0)
        session_set_push(c->session, &c->channel);
    return r;
}

START_TEST(a_line_session_that_was_made_to_last_comes_back_with_all_it_had)
{
    struct client c;
    begin(NULL, NULL);
    open_lasting_line(&c);
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    kill_9(&c);

    for (int i = 0; i < 2; i++) {
        begin(NULL, NULL);
        ck_assert_int_eq(line_comes_back(&c, "uid:8"), -ENOENT);
        ck_assert_int_eq(line_comes_back(&c, "uid:7"), 0);
        ck_assert_int_eq(session_version(c.session), MCP_2025_06_18);
        ck_assert_str_eq(session_lasting_id(c.session), id);
        turn();
        answer(fake_at(0), fake_read(fake_at(0)), "f:///x");
        ck_assert_has(client_read(&c), "notifications/resources/updated");
        stop(&c);
    }
    begin(NULL, NULL);
    ck_assert_int_eq(line_comes_back(&c, "uid:7"), 0);
    client_close(&c); /* ends it for good */
    ck_assert_int_eq(line_comes_back(&c, "uid:7"), -ENOENT);
    world_end();
}
END_TEST

START_TEST(a_line_session_of_which_nothing_is_kept_ends_without_a_trace)
{
    struct client c;
    begin(NULL, NULL);
    open_lasting_line(&c);
    client_close(&c);
    ck_assert_uint_eq(store.appends, 0);
    world_end();
}
END_TEST

START_TEST(nor_does_a_session_whose_id_nobody_knows)
{
    struct client c;
    memset(&c, 0, sizeof(c));
    c.channel = (struct channel){.ops = &client_ops, .refs = 1};
    begin(NULL, NULL);
    ck_assert_int_eq(session_new(w.proxy, route_at(w.proxy, 0), "anonymous", SESSION_HTTP,
                                 &session_ops, &c, &c.session),
                     0);
    session_set_private(c.session);
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{}}");
    ck_assert(session_is_initialized(c.session));
    client_close(&c);
    ck_assert_uint_eq(store.appends, 0);
    world_end();
}
END_TEST

START_TEST(one_that_is_not_answered_yet_cannot_be_guessed_into_life)
{
    struct client c, d;
    world_new(NULL, NULL);
    w.mute = true; /* the server's card is not known */
    proxy_start(w.proxy);
    turn();
    memset(&c, 0, sizeof(c));
    c.channel = (struct channel){.ops = &client_ops, .refs = 1};
    ck_assert_int_eq(session_new(w.proxy, route_at(w.proxy, 0), "anonymous", SESSION_HTTP,
                                 &session_ops, &c, &c.session),
                     0);
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{}}");
    ck_assert(!session_is_initialized(c.session));
    snprintf(id, sizeof(id), "%s", session_id(c.session));
    ck_assert_int_eq(come_back(&d, "anonymous"), -ENOENT);
    client_close(&c);
    ck_assert_uint_eq(store.appends, 0);
    world_end();
}
END_TEST

START_TEST(limits_hold_for_those_who_come_back)
{
    struct client c, d;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    stop(&c);
    begin(NULL, ",\"limits\":{\"max_sessions\":1}");
    client_ready(&d);
    ck_assert_int_eq(come_back(&c, "anonymous"), -EMFILE);
    client_close(&d);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0); /* nothing was lost by that */
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_stopping_proxy_revives_nobody)
{
    struct client c, d;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    stop(&c);
    begin(NULL, NULL);
    client_ready(&d);
    client_say(&d, LIST("1")); /* keeps it from closing */
    proxy_stop(w.proxy, world_stopped, NULL);
    turn();
    ck_assert_int_eq(come_back(&c, "anonymous"), -ESHUTDOWN);
    session_end(d.session);
    client_close(&d);
    world_end();
}
END_TEST

/* ---- with what ---- */

START_TEST(the_log_level_comes_back)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    client_say(&c, LEVEL("1", "debug"));
    client_say(&c, LEVEL("2", "error"));
    kill_9(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    ck_assert_has(fake_read(fake_at(0)), "\"level\":\"error\"");
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{"
                         "\"level\":\"error\",\"data\":\"x\"}}");
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(subscriptions_come_back_silently)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    subscribe(&c, SUBSCRIPTION("2", "subscribe", "f:///\\u00e9\\n\\\"y"));
    subscribe(&c, SUBSCRIPTION("3", "subscribe", "f:///z"));
    client_say(&c, SUBSCRIPTION("4", "unsubscribe", "f:///z"));
    kill_9(&c);

    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    turn();
    struct fake *f = fake_at(0);
    const char *first = fake_read(f), *second = fake_read(f);
    ck_assert_has(first, "\"uri\":\"f:///x\"");
    ck_assert_has(second, "\"uri\":\"f:///é\\n\\\"y\"");
    ck_assert_ptr_null(fake_read(f));
    ck_assert_ptr_null(client_read(&c)); /* not before the server has it */
    answer(f, first, "resources/subscribe");
    const char *told = client_read(&c);
    ck_assert_has(told, "notifications/resources/updated");
    ck_assert_has(told, "f:///x");
    answer(f, second, "resources/subscribe");
    ck_assert_has(client_read(&c), "f:///é");
    ck_assert_ptr_null(client_read(&c));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{"
                "\"uri\":\"f:///x\"}}");
    ck_assert_has(client_read(&c), "f:///x");
    client_say(&c, SUBSCRIPTION("5", "unsubscribe", "f:///x"));
    ck_assert_str_eq(client_read(&c), "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}");
    ck_assert_has(fake_read(f), "resources/unsubscribe");
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(one_that_another_session_has_needs_no_request)
{
    struct client c, d;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    kill_9(&c);
    begin(NULL, NULL);
    client_ready(&d);
    subscribe(&d, SUBSCRIPTION("1", "subscribe", "f:///x"));
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    turn();
    ck_assert_ptr_null(fake_read(fake_at(0)));
    ck_assert_has(client_read(&c), "f:///x");
    ck_assert_ptr_null(client_read(&d));
    client_close(&c);
    client_close(&d);
    world_end();
}
END_TEST

START_TEST(one_that_the_client_makes_itself_is_not_made_twice)
{
    struct client c, d;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    kill_9(&c);
    begin(NULL, NULL);
    client_ready(&d);
    subscribe(&d, SUBSCRIPTION("1", "subscribe", "f:///x"));
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    client_say(&c, SUBSCRIPTION("2", "subscribe", "f:///x")); /* its very first request */
    ck_assert_str_eq(client_read(&c), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    ck_assert_ptr_null(client_read(&c));
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\","
                         "\"params\":{\"uri\":\"f:///x\"}}");
    ck_assert_has(client_read(&c), "f:///x");
    ck_assert_ptr_null(client_read(&c));
    client_close(&c);
    client_close(&d);
    world_end();
}
END_TEST

START_TEST(they_wait_for_a_server_that_is_down)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    kill_9(&c);
    world_new(NULL, NULL);
    w.refuse = true;
    proxy_start(w.proxy);
    turn();
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    pass(200 * USEC_PER_SEC);
    w.refuse = false;
    pass(70 * USEC_PER_SEC);
    answer(fake_at(0), fake_read(fake_at(0)), "resources/subscribe");
    ck_assert_has(client_read(&c), "f:///x");
    kill_9(&c);
    /* … and are not forgotten by having waited. */
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    turn();
    ck_assert_has(fake_read(fake_at(0)), "f:///x");
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(one_that_the_server_refuses_now_is_over)
{
    struct client c;
    uint64_t up;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    kill_9(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    turn();
    const char *m = fake_read(fake_at(0));
    ck_assert(json_u64(json_get(slice_str(m), "id"), &up));
    fake_say(fake_at(0),
             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32002,\"message\":\"gone\"}}",
             (unsigned long long)up);
    turn();
    ck_assert_ptr_null(client_read(&c));
    kill_9(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    turn();
    ck_assert_ptr_null(fake_read(fake_at(0)));
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(one_taken_back_before_it_was_made_again_is_not_made)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    subscribe(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    kill_9(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    client_say(&c, SUBSCRIPTION("2", "unsubscribe", "f:///x")); /* its very first request */
    ck_assert_str_eq(client_read(&c), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    pass(60 * USEC_PER_SEC);
    ck_assert_ptr_null(fake_read(fake_at(0)));
    ck_assert_ptr_null(client_read(&c));
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_session_with_its_own_connection_gets_one_for_them)
{
    struct client c;
    begin(",\"sharing\":\"session\"", NULL);
    open_http(&c, "anonymous", "{}");
    struct fake *f = fake_at(0);
    client_say(&c, SUBSCRIPTION("1", "subscribe", "f:///x"));
    answer(f, fake_read(f), "resources/subscribe");
    kill_9(&c);
    world_new(",\"sharing\":\"session\"", NULL);
    w.refuse = true;
    proxy_start(w.proxy);
    turn();
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    pass(100 * USEC_PER_SEC);
    w.refuse = false;
    for (f = NULL; !f; pass(USEC_PER_SEC))
        for (f = w.fakes; f && f->got_n <= 2; f = f->next) /* more than a handshake */
            ;
    answer(f, f->got[2], "\"method\":\"ping\""); /* which fake_read would pass over */
    answer(f, fake_read(f), "resources/subscribe");
    ck_assert_has(client_read(&c), "notifications/resources/updated");
    ck_assert_ptr_null(client_read(&c)); /* of the ping it hears nothing */
    client_close(&c);
    world_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/revival");
    TCase *t = tcase_create("revival");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_session_comes_back_after_a_kill);
    tcase_add_test(t, and_after_a_stop_in_good_order_again_and_again);
    tcase_add_test(t, its_first_request_waits_for_a_server_that_is_starting);
    tcase_add_test(t, an_instance_with_the_same_key_knows_it_without_the_store);
    tcase_add_test(t, subscriptions_are_made_though_the_home_was_about_to_go);
    tcase_add_test(t, an_id_that_was_ended_is_unknown_though_there_was_no_room_to_note_it);
    tcase_add_test(t, foreign_ids_are_unknown);
    tcase_add_test(t, an_id_is_known_by_all_of_it);
    tcase_add_test(t, a_new_key_ends_all_sessions);
    tcase_add_test(t, an_id_is_good_at_its_own_server_only);
    tcase_add_test(t, an_id_gets_too_old);
    tcase_add_test(t, a_clock_that_was_put_back_makes_nothing_too_old);
    tcase_add_test(t, what_a_client_ended_stays_ended);
    tcase_add_test(t, what_was_idle_too_long_stays_ended);
    tcase_add_test(t, a_revived_session_can_be_ended_at_once);
    tcase_add_test(t, streams_that_end_with_their_client_leave_nothing);
    tcase_add_test(t, a_line_session_that_was_made_to_last_comes_back_with_all_it_had);
    tcase_add_test(t, a_line_session_of_which_nothing_is_kept_ends_without_a_trace);
    tcase_add_test(t, nor_does_a_session_whose_id_nobody_knows);
    tcase_add_test(t, one_that_is_not_answered_yet_cannot_be_guessed_into_life);
    tcase_add_test(t, limits_hold_for_those_who_come_back);
    tcase_add_test(t, a_stopping_proxy_revives_nobody);
    tcase_add_test(t, the_log_level_comes_back);
    tcase_add_test(t, subscriptions_come_back_silently);
    tcase_add_test(t, one_that_another_session_has_needs_no_request);
    tcase_add_test(t, one_that_the_client_makes_itself_is_not_made_twice);
    tcase_add_test(t, they_wait_for_a_server_that_is_down);
    tcase_add_test(t, one_that_the_server_refuses_now_is_over);
    tcase_add_test(t, one_taken_back_before_it_was_made_again_is_not_made);
    tcase_add_test(t, a_session_with_its_own_connection_gets_one_for_them);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
