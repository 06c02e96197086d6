/* Calls that mcpool fails itself are in the log, each once with what is known of it, and never more
 * than call_errors_logged_per_second. */
#include "clients.h"

#include "base/log.h"
#include "upstream/server.h"

struct entry {
    char id[40], server[32], session[16], reason[32], method[32], delivered[8], principal[32];
    int slot;
    uint64_t epoch;
    usec_t duration;
    char text[256];
};
static struct entry entries[64];
static unsigned entry_n;

static void copy(char *to, size_t n, const char *from)
{
    snprintf(to, n, "%s", from ? from : "");
}

static void on_record(void *arg, const struct log_record *r)
{
    (void)arg;
    const struct log_ctx *x = r->ctx;
    if (!x || !x->message_id ||
        (strcmp(x->message_id, LOG_ID_CALL_FAILED) != 0 &&
         strcmp(x->message_id, LOG_ID_CALLS_SUPPRESSED) != 0))
        return;
    ck_assert_uint_lt(entry_n, ARRAY_LEN(entries));
    ck_assert_int_eq(r->level, LOG_LEVEL_WARNING);
    struct entry *e = &entries[entry_n++];
    copy(e->id, sizeof(e->id), x->message_id);
    copy(e->server, sizeof(e->server), x->server);
    copy(e->session, sizeof(e->session), x->session);
    copy(e->reason, sizeof(e->reason), x->reason);
    copy(e->method, sizeof(e->method), x->method);
    copy(e->delivered, sizeof(e->delivered), x->error_class);
    copy(e->principal, sizeof(e->principal), x->principal);
    snprintf(e->text, sizeof(e->text), "%.*s", (int)r->text.n, r->text.p);
    e->slot = x->slot;
    e->epoch = x->epoch;
    e->duration = x->duration;
}

static void start(const char *extra)
{
    begin(extra);
    turn();
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    entry_n = 0;
    log_set_level(LOG_LEVEL_CRITICAL);
    log_set_listener(on_record, NULL);
}

static void end(void)
{
    log_set_listener(NULL, NULL);
    client_close(&a);
    client_close(&b);
    world_end();
}

START_TEST(a_call_that_was_lost_has_all_its_fields)
{
    start(NULL);
    client_say(&a, CALL("1"));
    ck_assert_ptr_nonnull(fake_read(fake_at(0)));
    pass(1500 * USEC_PER_MSEC);
    fake_die(fake_at(0));
    turn();
    ck_assert_ptr_nonnull(strstr(client_read(&a), "upstream_lost"));
    ck_assert_uint_eq(entry_n, 1);
    const struct entry *e = &entries[0];
    ck_assert_str_eq(e->id, LOG_ID_CALL_FAILED);
    ck_assert_str_eq(e->server, "fake");
    ck_assert_str_eq(e->session, session_handle(a.session));
    ck_assert_str_eq(e->reason, "upstream_lost");
    ck_assert_str_eq(e->method, "tools/call");
    ck_assert_str_eq(e->delivered, "maybe");
    ck_assert_uint_gt(strlen(e->principal), 0);
    ck_assert_int_eq(e->slot, 0);
    ck_assert_uint_eq(e->epoch, 1);
    ck_assert_uint_eq(e->duration, 1500 * USEC_PER_MSEC);
    ck_assert_msg(strncmp(e->text, "call failed: ", 13) == 0, "%s", e->text);
    end();
}
END_TEST

START_TEST(a_call_that_never_ran_names_no_connection)
{
    start(",\"resilience\":{\"queue_timeout\":1}");
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    client_say(&a, CALL("1"));
    pass(2 * USEC_PER_SEC);
    ck_assert_uint_eq(entry_n, 1);
    ck_assert_str_eq(entries[0].reason, "upstream_unavailable");
    ck_assert_str_eq(entries[0].delivered, "no");
    ck_assert_int_eq(entries[0].slot, -1);
    ck_assert_uint_eq(entries[0].epoch, 0);
    end();
}
END_TEST

static void fail_some(unsigned n)
{
    char text[128];
    for (unsigned i = 0; i < n; i++) {
        snprintf(text, sizeof(text),
                 "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\","
                 "\"params\":{\"name\":\"x\"}}",
                 i + 1);
        client_say(&a, text);
    }
}

START_TEST(a_flood_is_counted_and_told_as_a_number)
{
    start(",\"limits\":{\"call_errors_logged_per_second\":3},"
          "\"resilience\":{\"circuit_breaker_threshold\":1}");
    w.refuse = true;
    fake_die(fake_at(0));
    pass(100 * USEC_PER_MSEC);
    ck_assert_int_eq(route_at(w.proxy, 0)->server->breaker.state, BREAKER_OPEN);
    entry_n = 0;
    fail_some(20);
    ck_assert_uint_eq(entry_n, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_str_eq(entries[i].reason, "breaker_open");
    pass(2 * USEC_PER_SEC); /* without another call */
    ck_assert_uint_eq(entry_n, 4);
    ck_assert_str_eq(entries[3].id, LOG_ID_CALLS_SUPPRESSED);
    ck_assert_str_eq(entries[3].server, "fake");
    ck_assert_msg(strncmp(entries[3].text, "17 more failed calls", 20) == 0, "%s", entries[3].text);
    fail_some(5);
    ck_assert_uint_eq(entry_n, 7);
    end();
}
END_TEST

START_TEST(what_is_left_is_told_at_the_end)
{
    start(",\"limits\":{\"call_errors_logged_per_second\":1},"
          "\"resilience\":{\"circuit_breaker_threshold\":1}");
    w.refuse = true;
    fake_die(fake_at(0));
    pass(100 * USEC_PER_MSEC);
    fail_some(3);
    entry_n = 0;
    proxy_stop(w.proxy, world_stopped, NULL);
    turn();
    ck_assert_uint_eq(entry_n, 1);
    ck_assert_str_eq(entries[0].id, LOG_ID_CALLS_SUPPRESSED);
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/failure_log");
    TCase *t = tcase_create("failure_log");
    tcase_add_test(t, a_call_that_was_lost_has_all_its_fields);
    tcase_add_test(t, a_call_that_never_ran_names_no_connection);
    tcase_add_test(t, a_flood_is_counted_and_told_as_a_number);
    tcase_add_test(t, what_is_left_is_told_at_the_end);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
