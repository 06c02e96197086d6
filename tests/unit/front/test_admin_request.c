/* Requests of the admin interface: which are answered, which are refused and with what advice, and
 * what a recovery really does. */
#include "admin_test.h"

#include <unistd.h>

static struct loop loop; /* only its clock is looked at */
static struct admin admin;
static struct peer operator= {.is_unix = true, .pid = 1};
static struct admin_reply reply;
static char body[1024 * 1024];

static void begin(const char *extra)
{
    world_new(extra, NULL);
    operator.uid = geteuid();
    loop.env.now = w.env.now;
    admin = (struct admin){.loop = &loop, .proxy = w.proxy, .config = w.config};
}

/* The status of the answer to a peer's request line with these fields; its body in `body`. */
static unsigned ask_as(const struct peer *peer, const char *line, const char *fields)
{
    static const struct http1_limits limits = {
        .max_head_bytes = 4096, .max_line_bytes = 2048, .max_headers = 8};
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request head;
    char text[2048];
    int n = snprintf(text, sizeof(text), "%s HTTP/1.1\r\n%s\r\n", line, fields);
    ck_assert_int_eq(http1_parse_request(&scan, slice_of(text, (size_t)n), &limits, &head), n);
    admin_request(&admin, &head, peer, &reply);
    memset(text, 'x', sizeof(text)); /* nobody may keep pointers into it */
    if (reply.doc)
        while (admin_doc_next(reply.doc, &reply.body))
            ;
    size_t len = buf_len(&reply.body) < sizeof(body) ? buf_len(&reply.body) : sizeof(body) - 1;
    memcpy(body, buf_peek(&reply.body).p, len);
    body[len] = 0;
    reply.doc = admin_doc_free(reply.doc);
    buf_done(&reply.body);
    return reply.status;
}

static unsigned ask(const char *line)
{
    return ask_as(&operator, line, "Host: x\r\n");
}

static const struct {
    const char *line;
    unsigned status;
    const char *allow;
    const char *says;
} table[] = {
    {"GET /", 200, NULL, "POST /recover"},
    {"HEAD /", 200, NULL, "/status"},
    {"GET /healthz", 200, NULL, "ok\n"},
    {"GET /status", 200, NULL, "\"name\":\"other\""},
    {"GET /status?", 200, NULL, "\"name\":\"other\""},
    {"GET /status?server=fake", 200, NULL, "\"name\":\"fake\""},
    {"GET /metrics", 200, NULL, "# EOF\n"},
    {"GET /nothing", 404, NULL, "GET / lists"},
    {"GET /status/", 404, NULL, "GET / lists"},
    {"GET /%73tatus", 404, NULL, "GET / lists"},
    {"POST /nothing", 404, NULL, "GET / lists"},
    {"GET /status?server=nobody", 404, NULL, "no server called \\\"nobody\\\"; GET /status"},
    {"GET /status?server=f%61ke", 404, NULL, "no server"},
    {"GET /status?server=FAKE", 404, NULL, "no server"},
    {"GET /status?sever=fake", 400, NULL, "?server=NAME"},
    {"GET /status?server=", 400, NULL, "?server=NAME"},
    {"GET /status?server", 400, NULL, "?server=NAME"},
    {"GET /status?server=fake&server=other", 400, NULL, "?server=NAME"},
    {"GET /status?x=1&server=fake", 400, NULL, "?server=NAME"},
    {"POST /status", 405, "GET, HEAD", "/status takes GET, HEAD only"},
    {"DELETE /", 405, "GET, HEAD", "takes GET, HEAD only"},
    {"OPTIONS /metrics", 405, "GET, HEAD", "only"},
    {"GET /recover", 405, "POST", "/recover takes POST only"},
    {"HEAD /recover", 405, "POST", "/recover takes POST only"},
    {"POST /recover?server=nobody", 404, NULL, "no server"},
    {"POST /recover?server=", 400, NULL, "?server=NAME"},
    {"POST /recover?name=fake", 400, NULL, "?server=NAME"},
    {"POST /drain", 400, NULL, "?server=NAME"},
    {"POST /maint?", 400, NULL, "?server=NAME"},
    {"POST /restart?server=", 400, NULL, "?server=NAME"},
    {"POST /resume?server=fake&x=1", 400, NULL, "?server=NAME"},
    {"POST /drain?server=nobody", 404, NULL, "no server"},
    {"GET /drain?server=fake", 405, "POST", "/drain takes POST only"},
    {"GET /maint?server=fake", 405, "POST", "/maint takes POST only"},
    {"GET /resume?server=fake", 405, "POST", "/resume takes POST only"},
    {"HEAD /restart?server=fake", 405, "POST", "/restart takes POST only"},
};

START_TEST(each_request_gets_its_answer)
{
    begin(OTHER_SERVER);
    ck_assert_uint_eq(ask(table[_i].line), table[_i].status);
    ck_assert_has(body, table[_i].says);
    if (table[_i].allow)
        ck_assert_str_eq(reply.allow, table[_i].allow);
    else
        ck_assert_ptr_null(reply.allow);
    if (reply.status >= 400) {
        cJSON *t = cJSON_Parse(body);
        ck_assert_ptr_nonnull(t);
        ck_assert_str_eq(reply.content_type, "application/json");
        ck_assert_ptr_nonnull(strchr(text(at(t, "error", NULL)), ' '));
        cJSON_Delete(t);
    }
    ck_assert_uint_eq(w.opens, 0); /* a refused recovery starts nothing */
    world_end();
}
END_TEST

START_TEST(one_server_only_when_one_is_named)
{
    begin(OTHER_SERVER);
    ck_assert_uint_eq(ask("GET /status?server=fake"), 200);
    ck_assert_ptr_null(strstr(body, "\"other\""));
    world_end();
}
END_TEST

START_TEST(A06_a_name_from_outside_is_cut)
{
    begin(NULL);
    char line[1200] = "GET /status?server=";
    memset(line + strlen(line), 'a', 1000);
    ck_assert_uint_eq(ask(line), 404);
    ck_assert_uint_lt(strlen(body), 200);
    world_end();
}
END_TEST

START_TEST(a_recovery_tries_at_once)
{
    begin(OTHER_SERVER);
    w.refuse = w.fatal = true;
    proxy_start(w.proxy);
    turn();
    ck_assert_uint_eq(w.opens, 2);
    ck_assert_uint_eq(server_at(1)->pools->slots[0]->state, CONN_WAITING);
    w.refuse = false;
    ck_assert_uint_eq(ask("POST /recover?server=other"), 200);
    turn();
    ck_assert_uint_eq(w.opens, 3);
    ck_assert_uint_eq(server_at(0)->pools->slots[0]->state, CONN_WAITING);
    ck_assert_uint_eq(server_at(1)->pools->slots[0]->state, CONN_READY);
    cJSON *t = cJSON_Parse(body);
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 1);
    ck_assert_str_eq(text(at(t, "servers", "0", "name", NULL)), "other");
    ck_assert_double_eq(number(at(t, "servers", "0", "reset", NULL)), 1);
    ck_assert_double_eq(number(at(t, "servers", "0", "started", NULL)), 1);
    ck_assert_double_eq(number(at(t, "servers", "0", "ready", NULL)), 0);
    cJSON_Delete(t);

    ck_assert_uint_eq(ask("POST /recover"), 200);
    turn();
    ck_assert_uint_eq(w.opens, 4);
    ck_assert_uint_eq(server_at(0)->pools->slots[0]->state, CONN_READY);
    t = cJSON_Parse(body);
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 2);
    ck_assert_double_eq(number(at(t, "servers", "0", "started", NULL)), 1);
    ck_assert_double_eq(number(at(t, "servers", "1", "started", NULL)), 0);
    ck_assert_double_eq(number(at(t, "servers", "1", "ready", NULL)), 1);
    cJSON_Delete(t);
    world_end();
}
END_TEST

/* Calls that run are none of its business. */
START_TEST(a_recovery_leaves_calls_alone)
{
    struct client c;
    begin(NULL);
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
                   "\"x\"}}");
    struct fake *f = fake_at(0);
    uint64_t id;
    ck_assert(json_u64(json_get(slice_str(fake_read(f)), "id"), &id));
    ck_assert_uint_eq(ask("POST /recover"), 200);
    turn();
    ck_assert_uint_eq(w.opens, 1);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id);
    turn();
    ck_assert_has(client_read(&c), "\"result\"");
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_daemon_that_stops_is_not_ready_and_recovers_nothing)
{
    struct client c;
    begin(NULL);
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
                   "\"x\"}}");
    ck_assert_uint_eq(ask("GET /readyz"), 200);
    proxy_stop(w.proxy, world_stopped, NULL); /* waits for the call */
    ck_assert_uint_eq(ask("GET /readyz"), 503);
    ck_assert_has(body, "\"stopping\":true");
    ck_assert_uint_eq(ask("POST /recover"), 503);
    ck_assert_has(body, "stopping");
    ck_assert_uint_eq(ask("GET /status"), 200);
    ck_assert_uint_eq(ask("GET /healthz"), 200);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(not_ready_before_the_first_attempt)
{
    begin(NULL);
    ck_assert_uint_eq(ask("GET /readyz"), 503);
    ck_assert_has(body, "\"ready\":false");
    ck_assert_has(body, "\"tried\":false");
    w.refuse = true;
    proxy_start(w.proxy);
    turn();
    ck_assert_uint_eq(ask("GET /readyz"), 200);
    ck_assert_has(body, "\"unhealthy\"");
    world_end();
}
END_TEST

/* The value of a sample of the metrics page in `body`. */
static double sample(const char *name)
{
    const char *line = strstr(body, name);
    ck_assert_msg(line != NULL, "no sample %s", name);
    return strtod(line + strlen(name), NULL);
}

START_TEST(gauges_say_what_the_status_says)
{
    struct client c;
    begin(OTHER_SERVER);
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    w.refuse = true;
    fake_die(w.fakes); /* the newest: of the other server */
    turn();
    server_at(1)->breaker.state = BREAKER_OPEN;
    admin.started_at = clock_monotonic();
    ck_assert_uint_eq(ask("GET /metrics"), 200);
    ck_assert_double_eq(sample("mcpool_pool_slots{server=\"fake\",state=\"ready\"} "), 1);
    ck_assert_double_eq(sample("mcpool_pool_slots{server=\"fake\",state=\"waiting\"} "), 0);
    ck_assert_double_eq(sample("mcpool_pool_slots{server=\"other\",state=\"ready\"} "), 0);
    ck_assert_double_eq(sample("mcpool_pool_slots{server=\"other\",state=\"waiting\"} "), 1);
    ck_assert_double_eq(sample("mcpool_breaker_state{server=\"fake\",state=\"closed\"} "), 1);
    ck_assert_double_eq(sample("mcpool_breaker_state{server=\"other\",state=\"closed\"} "), 0);
    ck_assert_double_eq(sample("mcpool_breaker_state{server=\"other\",state=\"open\"} "), 1);
    ck_assert_double_eq(sample("mcpool_server_health{server=\"fake\",state=\"healthy\"} "), 1);
    ck_assert_double_eq(sample("mcpool_server_health{server=\"other\",state=\"unhealthy\"} "), 1);
    ck_assert_double_eq(sample("mcpool_server_health{server=\"other\",state=\"healthy\"} "), 0);
    ck_assert_double_eq(sample("\nmcpool_sessions "), 1);
    double now = (double)clock_realtime() / 1e6;
    ck_assert_double_le(sample("\nmcpool_start_time_seconds "), now);
    ck_assert_double_gt(sample("\nmcpool_start_time_seconds "), now - 600);
    ck_assert_str_eq(body + strlen(body) - 6, "# EOF\n");
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(modes_are_set_and_shown)
{
    struct client c;
    begin(OTHER_SERVER);
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{"
                   "\"name\":\"x\"}}");
    ck_assert_uint_eq(ask("POST /drain?server=fake"), 200);
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{"
                   "\"name\":\"x\"}}");
    for (int again = 0; again < 2; again++) {
        ck_assert_uint_eq(ask("POST /drain?server=fake"), 200);
        ck_assert_str_eq(body,
                         "{\"server\":\"fake\",\"mode\":\"drain\",\"running\":1,\"waiting\":1}\n");
    }
    ck_assert_uint_eq(ask("GET /status"), 200);
    cJSON *t = cJSON_Parse(body);
    ck_assert_str_eq(text(at(t, "servers", "0", "mode", NULL)), "drain");
    ck_assert_str_eq(text(at(t, "servers", "1", "mode", NULL)), "active");
    cJSON_Delete(t);
    ck_assert_uint_eq(ask("GET /metrics"), 200);
    ck_assert_double_eq(sample("mcpool_server_mode{server=\"fake\",state=\"drain\"} "), 1);
    ck_assert_double_eq(sample("mcpool_server_mode{server=\"fake\",state=\"active\"} "), 0);
    ck_assert_double_eq(sample("mcpool_server_mode{server=\"other\",state=\"active\"} "), 1);
    ck_assert_uint_eq(ask("POST /maint?server=fake"), 200);
    ck_assert_has(body, "\"mode\":\"maint\",\"running\":1,\"waiting\":0");
    ck_assert_uint_eq(ask("POST /resume?server=fake"), 200);
    ck_assert_has(body, "\"mode\":\"active\",\"running\":1,\"waiting\":0");
    ck_assert_uint_eq(w.opens, 2);
    ck_assert_uint_eq(ask("POST /restart?server=fake"), 200);
    ck_assert_has(body, "\"mode\":\"active\",\"running\":1,\"waiting\":0");
    ck_assert_uint_eq(w.opens, 3);
    turn();
    proxy_stop(w.proxy, world_stopped, NULL);
    ck_assert_uint_eq(ask("POST /drain?server=fake"), 503);
    ck_assert_uint_eq(ask("POST /restart?server=fake"), 503);
    ck_assert_int_eq(server_mode(server_at(0)), SERVER_ACTIVE);
    client_close(&c);
    world_end();
}
END_TEST

/* A server that is not wanted is not waited for at the start. */
START_TEST(a_drained_server_is_ready_untried)
{
    begin(OTHER_SERVER);
    w.mute = true;
    proxy_start(w.proxy);
    turn();
    ck_assert_uint_eq(ask("POST /maint?server=fake"), 200);
    ck_assert_uint_eq(ask("GET /readyz"), 503);
    ck_assert_uint_eq(ask("POST /drain?server=other"), 200);
    ck_assert_uint_eq(ask("GET /readyz"), 200);
    turn();
    world_end();
}
END_TEST

START_TEST(long_texts_are_held_for_a_few_readers_only)
{
    begin(NULL);
    admin.whole = ADMIN_WHOLE_MAX - 1;
    ck_assert_uint_eq(ask("GET /metrics"), 200);
    admin.whole = ADMIN_WHOLE_MAX;
    ck_assert_uint_eq(ask("GET /metrics"), 503);
    ck_assert_uint_eq(ask("GET /status"), 200);
    world_end();
}
END_TEST

static const struct peer somebody = {.is_loopback = true, .uid = (uid_t)-1};

static const struct {
    const char *line, *fields;
    unsigned status;
    const char *says;
} port_table[] = {
    {"GET /", "Host: localhost:7333\r\n", 200, "/status"},
    {"GET /status", "Host: LocalHost\r\n", 200, "\"name\":\"other\""},
    {"GET /status?server=fake", "Host: 127.0.0.1:1\r\n", 200, "\"name\":\"fake\""},
    {"HEAD /events", "Host: localhost\r\n", 200, ""},
    {"GET /events", "Host: attacker.test\r\n", 403, "must name it (Host)"},
    {"GET /metrics", "Host: [::1]:7333\r\n", 200, "# EOF"},
    {"GET /healthz", "Host: localhost:7333\r\nOrigin: http://localhost:7333\r\n", 200, "ok"},
    {"GET /healthz", "Host: localhost:7333\r\nOrigin: http://localhost:3000\r\n", 403,
     "come from no other page"},
    {"GET /healthz", "Host: mcpool\r\n", 403, "must name it (Host)"},
    {"GET /explain?server=fake", "Host: localhost\r\n", 403, "use the socket"},
    {"GET /logs?server=fake", "Host: localhost\r\n", 403, "use the socket"},
    {"GET /log-level", "Host: localhost\r\n", 403, "use the socket"},
    {"HEAD /readyz", "Host: 127.0.0.1\r\n", 503, "\"ready\""},
    {"GET /nothing", "Host: localhost\r\n", 404, "no such page"},
    /* nothing can be changed */
    {"POST /recover", "Host: localhost\r\n", 403, "use the socket"},
    {"POST /recover?server=fake", "Host: localhost\r\n", 403, "use the socket"},
    {"GET /recover", "Host: localhost\r\n", 403, "use the socket"},
    {"HEAD /recover", "Host: localhost\r\n", 403, "use the socket"},
    {"POST /status", "Host: localhost\r\n", 403, "Nothing can be changed here"},
    {"DELETE /", "Host: localhost\r\n", 403, "Nothing can be changed here"},
    /* DNS rebinding, and pages of elsewhere */
    {"GET /status", "Host: attacker.test\r\n", 403, "must name it (Host)"},
    {"GET /status", "Host: attacker.test:7333\r\n", 403, "must name it (Host)"},
    {"GET /status", "Host: localhost.attacker.test\r\n", 403, "must name it (Host)"},
    {"GET /status", "Host: 192.0.2.1\r\n", 403, "must name it (Host)"},
    {"GET /status", "Host: localhost\r\nOrigin: http://attacker.test\r\n", 403,
     "must name it (Host)"},
    {"GET /status", "Host: localhost\r\nOrigin: null\r\n", 403, "must name it (Host)"},
    {"GET /status", "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://x.test\r\n", 403,
     "must name it (Host)"},
    {"POST /recover", "Host: localhost\r\nOrigin: http://attacker.test\r\n", 403,
     "must name it (Host)"},
};

START_TEST(A08_the_port_only_shows_things)
{
    begin(OTHER_SERVER);
    unsigned status = ask_as(&somebody, port_table[_i].line, port_table[_i].fields);
    if (status != port_table[_i].status)
        ck_abort_msg("%s is answered %u: %s", port_table[_i].line, status, body);
    ck_assert_has(body, port_table[_i].says);
    ck_assert_ptr_null(reply.allow);
    ck_assert_uint_eq(w.opens, 0);
    world_end();
}
END_TEST

/* What a row does not say is not so: a page that somebody adds is not on the port by accident. */
START_TEST(A08_the_index_of_the_port_lists_its_own_pages)
{
    begin(NULL);
    ck_assert_uint_eq(ask_as(&somebody, "GET /", "Host: localhost\r\n"), 200);
    unsigned n = 0;
    for (char *line = body, *end; (end = strchr(line, '\n')); line = end + 1) {
        static const char *const known[] = {"/ ",        "/status[", "/metrics ",
                                            "/healthz ", "/readyz ", "/events "};
        *end = 0;
        ck_assert_int_eq(strncmp(line, "GET  ", 5), 0);
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            found |= strncmp(line + 5, known[i], strlen(known[i])) == 0;
        ck_assert_msg(found, "a page that this test does not know: %s", line);
        n++;
    }
    ck_assert_uint_eq(n, 6);
    world_end();
}
END_TEST

START_TEST(the_port_leaves_room_for_the_socket)
{
    begin(NULL);
    admin.whole = ADMIN_PORT_WHOLE_MAX;
    ck_assert_uint_eq(ask_as(&somebody, "GET /metrics", "Host: localhost\r\n"), 503);
    ck_assert_uint_eq(ask("GET /metrics"), 200);
    world_end();
}
END_TEST

START_TEST(A01_root_and_our_own_user_are_let_in)
{
    ck_assert(admin_allows(&(struct peer){.is_unix = true, .uid = 0}));
    ck_assert(admin_allows(&(struct peer){.is_unix = true, .uid = geteuid()}));
    ck_assert(!admin_allows(&(struct peer){.is_unix = true, .uid = geteuid() + 1}));
    ck_assert(!admin_allows(&(struct peer){.is_unix = true, .uid = (uid_t)-1}));
    /* the port: whoever is on this machine */
    ck_assert(admin_allows(&(struct peer){.is_loopback = true, .uid = (uid_t)-1}));
    ck_assert(!admin_allows(&(struct peer){.is_loopback = false, .uid = geteuid()}));
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("requests");
    tcase_add_loop_test(tc, each_request_gets_its_answer, 0, ARRAY_LEN(table));
    tcase_add_test(tc, one_server_only_when_one_is_named);
    tcase_add_test(tc, A06_a_name_from_outside_is_cut);
    tcase_add_test(tc, a_recovery_tries_at_once);
    tcase_add_test(tc, a_recovery_leaves_calls_alone);
    tcase_add_test(tc, a_daemon_that_stops_is_not_ready_and_recovers_nothing);
    tcase_add_test(tc, not_ready_before_the_first_attempt);
    tcase_add_test(tc, gauges_say_what_the_status_says);
    tcase_add_test(tc, modes_are_set_and_shown);
    tcase_add_test(tc, a_drained_server_is_ready_untried);
    tcase_add_test(tc, long_texts_are_held_for_a_few_readers_only);
    tcase_add_loop_test(tc, A08_the_port_only_shows_things, 0, ARRAY_LEN(port_table));
    tcase_add_test(tc, A08_the_index_of_the_port_lists_its_own_pages);
    tcase_add_test(tc, the_port_leaves_room_for_the_socket);
    tcase_add_test(tc, A01_root_and_our_own_user_are_let_in);
    Suite *s = suite_create("admin_request");
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
