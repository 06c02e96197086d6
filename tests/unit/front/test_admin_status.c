/* The documents of the admin interface: every name that is promised (resilience.md section 1), of
 * its type and with the value of its source, read back by an independent parser. */
#include "admin_test.h"

#include "base/version.h"
#include "config/table.h"

#include <unistd.h>

static cJSON *status_of(const struct route *only)
{
    struct admin_view view = test_view();
    return read_doc(admin_doc_new(ADMIN_DOC_STATUS, &view, only, NULL), NULL);
}

static cJSON *status(void)
{
    return status_of(NULL);
}

/* Sets up the metrics of servers that nothing else would have counted in. */
static struct metrics *metrics_of(size_t i)
{
    struct metrics *m = server_at(i)->metrics;
    ck_assert_ptr_nonnull(m);
    return m;
}

START_TEST(the_top_tells_of_the_process)
{
    world_new(OTHER_SERVER, NULL);
    w.env.now += 1500 * USEC_PER_MSEC;
    cJSON *t = status();
    ck_assert_str_eq(text(at(t, "version", NULL)), MCPOOL_VERSION);
    ck_assert_double_eq(number(at(t, "pid", NULL)), getpid());
    ck_assert_str_eq(text(at(t, "started_at", NULL)), "2026-01-02T03:04:05.678Z");
    ck_assert_str_eq(text(at(t, "time", NULL)), "2026-01-02T03:04:07.178Z");
    ck_assert_double_eq(number(at(t, "uptime_seconds", NULL)), 1.5);
    ck_assert(cJSON_IsFalse(at(t, "stopping", NULL)));
    ck_assert(cJSON_IsFalse(at(t, "read_only", NULL)));
    ck_assert_double_eq(number(at(t, "sessions", NULL)), 0);
    ck_assert_double_eq(number(at(t, "connections", NULL)), 0);
    ck_assert_double_gt(number(at(t, "rss_bytes", NULL)), 100000);
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 2);
    ck_assert_str_eq(text(at(t, "servers", "0", "name", NULL)), "fake");
    ck_assert_str_eq(text(at(t, "servers", "1", "name", NULL)), "other");
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(a_server_that_is_well)
{
    struct client c;
    world_new(NULL, NULL);
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    cJSON *t = status();
    const cJSON *s = at(t, "servers", "0", NULL);
    ck_assert_double_eq(number(at(t, "sessions", NULL)), 1);
    ck_assert_str_eq(text(at(s, "health_status", NULL)), "healthy");
    ck_assert_str_eq(text(at(s, "server_config", "name", NULL)), "fake");
    ck_assert_str_eq(text(at(s, "server_config", "command", NULL)), "fake");
    ck_assert_str_eq(text(at(s, "server_config", "transport", NULL)), "stdio");
    ck_assert_double_eq(number(at(s, "pool_status", "available", NULL)), 1);
    ck_assert_double_ge(number(at(s, "pool_status", "max_size", NULL)), 10);
    ck_assert_double_ge(number(at(s, "pool_status", "min_size", NULL)), 1);
    ck_assert_double_eq(number(at(s, "failed_connections", NULL)), 0);
    ck_assert(cJSON_IsNull(at(s, "next_attempt_ms", NULL)));
    ck_assert_str_eq(text(at(s, "circuit_breaker", "state", NULL)), "closed");
    ck_assert_double_eq(number(at(s, "circuit_breaker", "failure_count", NULL)), 0);
    const cJSON *slots = at(s, "pools", "0", "slots", NULL);
    ck_assert_int_eq(cJSON_GetArraySize(slots), 1);
    ck_assert_str_eq(text(at(slots, "0", "state", NULL)), "ready");
    ck_assert_double_eq(number(at(slots, "0", "epoch", NULL)), 1);
    ck_assert(cJSON_IsNull(at(slots, "0", "last_error", NULL)));
    ck_assert(cJSON_IsNull(at(slots, "0", "next_attempt_ms", NULL)));
    ck_assert_double_eq(number(at(s, "pools", "0", "slots_never_used", NULL)), 9);
    cJSON_Delete(t);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_server_that_cannot_be_started)
{
    world_new(NULL, NULL);
    w.refuse = true;
    proxy_start(w.proxy);
    turn();
    cJSON *t = status();
    const cJSON *s = at(t, "servers", "0", NULL);
    ck_assert_str_eq(text(at(s, "health_status", NULL)), "unhealthy");
    ck_assert_double_eq(number(at(s, "pool_status", "available", NULL)), 0);
    ck_assert_double_eq(number(at(s, "failed_connections", NULL)), 1);
    const cJSON *slot = at(s, "pools", "0", "slots", "0", NULL);
    ck_assert_str_eq(text(at(slot, "state", NULL)), "waiting");
    ck_assert_str_eq(text(at(slot, "last_error", NULL)), "refused by the test");
    const struct conn *c = server_at(0)->pools->slots[0];
    double due = ceil((double)(c->retry_at - w.env.now) / 1000);
    ck_assert_double_gt(due, 0);
    ck_assert_double_eq(number(at(slot, "next_attempt_ms", NULL)), due);
    ck_assert_double_eq(number(at(s, "next_attempt_ms", NULL)), due);
    ck_assert_double_eq(number(at(slot, "failures", NULL)), c->recovery.failures);
    ck_assert_double_eq(number(at(slot, "attempts", NULL)), c->recovery.attempts);
    cJSON_Delete(t);
    world_end();
}
END_TEST

/* What the pool and its slots hold is what is shown: each value is made different. */
START_TEST(a_slot_is_shown_as_it_is)
{
    world_new(NULL, NULL);
    proxy_start(w.proxy);
    turn();
    struct conn *c = server_at(0)->pools->slots[0], saved = *c;
    c->recovery = (struct recovery){.failures = 3, .attempts = 4, .cycles = 5};
    c->running = 6;
    c->suspect = c->outdated = true;
    c->probe = (struct probe){.pending = true, .missed = 1};
    c->state_since = 990 * USEC_PER_SEC;
    c->answered_at = 995 * USEC_PER_SEC;
    snprintf(c->last_error, sizeof(c->last_error), "it said \"no\"\x1b[31m");
    cJSON *t = status();
    const cJSON *slot = at(t, "servers", "0", "pools", "0", "slots", "0", NULL);
    ck_assert_double_eq(number(at(slot, "slot", NULL)), 0);
    ck_assert_double_eq(number(at(slot, "failures", NULL)), 3);
    ck_assert_double_eq(number(at(slot, "attempts", NULL)), 4);
    ck_assert_double_eq(number(at(slot, "cycles", NULL)), 5);
    ck_assert_double_eq(number(at(slot, "in_flight", NULL)), 6);
    ck_assert(cJSON_IsTrue(at(slot, "suspect", NULL)));
    ck_assert(cJSON_IsFalse(at(slot, "draining", NULL)));
    ck_assert(cJSON_IsTrue(at(slot, "outdated", NULL)));
    ck_assert(cJSON_IsTrue(at(slot, "probe", "pending", NULL)));
    ck_assert_double_eq(number(at(slot, "probe", "missed", NULL)), 1);
    ck_assert(cJSON_IsFalse(at(slot, "probe", "ever_answered", NULL)));
    ck_assert_str_eq(text(at(slot, "since", NULL)), "2026-01-02T03:03:55.678Z");
    ck_assert_str_eq(text(at(slot, "last_answer", NULL)), "2026-01-02T03:04:00.678Z");
    ck_assert_str_eq(text(at(slot, "last_error", NULL)), "it said \"no\"\x1b[31m");
    cJSON_Delete(t);
    c->recovery = saved.recovery;
    c->running = saved.running;
    c->suspect = saved.suspect;
    c->outdated = saved.outdated;
    c->probe = saved.probe;
    world_end();
}
END_TEST

START_TEST(requests_in_line_are_counted)
{
    struct client c;
    world_new(",\"resilience\":{\"max_connections\":1},"
              "\"limits\":{\"max_in_flight_per_connection\":1}",
              NULL);
    proxy_start(w.proxy);
    turn();
    client_ready(&c);
    for (int i = 1; i <= 3; i++) {
        char call[128];
        snprintf(call, sizeof(call),
                 "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":"
                 "\"x\"}}",
                 i);
        client_say(&c, call);
    }
    const struct pool *p = server_at(0)->pools;
    cJSON *t = status();
    const cJSON *s = at(t, "servers", "0", NULL);
    ck_assert_double_eq(number(at(s, "calls", "running", NULL)), 1);
    ck_assert_double_eq(number(at(s, "calls", "waiting", NULL)), 2);
    ck_assert_double_eq(number(at(s, "queue", "length", NULL)), 2);
    ck_assert_double_eq(number(at(s, "queue", "bytes", NULL)), (double)p->waiting_bytes);
    ck_assert_double_eq(number(at(s, "pools", "0", "queue_length", NULL)), 2);
    ck_assert_double_eq(number(at(s, "pools", "0", "sessions", NULL)), 1);
    ck_assert_str_eq(text(at(s, "pools", "0", "principal", NULL)), "anonymous");
    ck_assert_double_eq(number(at(s, "pools", "0", "slots", "0", "in_flight", NULL)), 1);
    cJSON_Delete(t);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(counters_and_times)
{
    world_new(NULL, NULL);
    struct server *server = server_at(0);
    cJSON_Delete(status());
    struct metrics *m = metrics_of(0);
    metrics_add(m, METRIC_CONNECTIONS_CREATED, 0, 11);
    metrics_add(m, METRIC_CONNECTIONS_DESTROYED, 0, 7);
    metrics_add(m, METRIC_RECOVERY_ATTEMPTS, METRIC_ATTEMPT_SUCCESS, 3);
    metrics_add(m, METRIC_RECOVERY_ATTEMPTS, METRIC_ATTEMPT_FAILURE, 5);
    metrics_add(m, METRIC_RECOVERY_CYCLES, 0, 2);
    metrics_add(m, METRIC_FORCED_RECOVERIES, RECOVER_BY_OPERATOR, 1);
    metrics_add(m, METRIC_CALLS, METRIC_OUTCOME_RESULT, 100);
    metrics_add(m, METRIC_CALLS, METRIC_OUTCOME_ERROR, 20);
    metrics_add(m, METRIC_CALLS, METRIC_OUTCOME_FAILED, 4);
    metrics_add(m, METRIC_CALLS, METRIC_OUTCOME_CANCELLED, 6);
    metrics_add(m, METRIC_CALLS_MOVED, 0, 8);
    metrics_add(m, METRIC_CALLS_REPLAYED, 0, 9);
    metrics_add(m, METRIC_REPLAYS_DENIED, 0, 10);
    cJSON *t = status();
    const cJSON *x = at(t, "servers", "0", "metrics", NULL);
    ck_assert_double_eq(number(at(x, "total_created", NULL)), 11);
    ck_assert_double_eq(number(at(x, "total_destroyed", NULL)), 7);
    ck_assert_double_eq(number(at(x, "recovery_attempts", NULL)), 8);
    ck_assert_double_eq(number(at(x, "successful_recoveries", NULL)), 3);
    ck_assert_double_eq(number(at(x, "recovery_cycles", NULL)), 2);
    ck_assert_double_eq(number(at(x, "forced_recoveries", NULL)), 1);
    ck_assert_double_eq(number(at(x, "recovery_audit_repairs", NULL)), 0);
    ck_assert(cJSON_IsNull(at(x, "last_recovery_attempt", NULL)));
    ck_assert(cJSON_IsNull(at(x, "last_successful_recovery", NULL)));
    x = at(t, "servers", "0", NULL);
    ck_assert_double_eq(number(at(x, "calls", "result", NULL)), 100);
    ck_assert_double_eq(number(at(x, "calls", "error", NULL)), 20);
    ck_assert_double_eq(number(at(x, "calls", "failed", NULL)), 4);
    ck_assert_double_eq(number(at(x, "calls", "cancelled", NULL)), 6);
    ck_assert_double_eq(number(at(x, "calls", "moved", NULL)), 8);
    ck_assert_double_eq(number(at(x, "replay", "replayed", NULL)), 9);
    ck_assert_double_eq(number(at(x, "replay", "denied", NULL)), 10);
    cJSON_Delete(t);

    server->attempted_at = 999 * USEC_PER_SEC;
    server->recovered_at = 999 * USEC_PER_SEC + 500 * USEC_PER_MSEC;
    t = status();
    x = at(t, "servers", "0", "metrics", NULL);
    ck_assert_str_eq(text(at(x, "last_recovery_attempt", NULL)), "2026-01-02T03:04:04.678Z");
    ck_assert_str_eq(text(at(x, "last_successful_recovery", NULL)), "2026-01-02T03:04:05.178Z");
    cJSON_Delete(t);
    world_end();
}
END_TEST

/* The sum of an array of counts that has one member more than the bounds beside it. */
static double total(const cJSON *histogram)
{
    const cJSON *counts = at(histogram, "counts", NULL), *c;
    double n = 0;
    ck_assert_int_eq(cJSON_GetArraySize(counts), METRIC_BUCKETS);
    ck_assert_int_eq(cJSON_GetArraySize(at(histogram, "bounds_s", NULL)), METRIC_BUCKETS - 1);
    cJSON_ArrayForEach(c, counts) n += number(c);
    return n;
}

START_TEST(how_long_things_took)
{
    world_new(NULL, NULL);
    struct metrics *m = metrics_of(0);
    metrics_observe(m, METRIC_CALL_DURATION, METRIC_OUTCOME_RESULT, 900);
    metrics_observe(m, METRIC_CALL_DURATION, METRIC_OUTCOME_FAILED, 2000);
    metrics_observe(m, METRIC_CALL_DURATION, METRIC_OUTCOME_RESULT, 400 * USEC_PER_SEC);
    metrics_observe(m, METRIC_QUEUE_WAIT, 0, 2501);
    metrics_observe(m, METRIC_RECOVERY_TIME, 0, 10 * USEC_PER_SEC);
    cJSON *t = status();
    const cJSON *s = at(t, "servers", "0", NULL);
    const cJSON *x = at(s, "call_duration", NULL);
    ck_assert_double_eq(total(x), 3);
    ck_assert_double_eq(number(at(x, "bounds_s", "1", NULL)), 0.0025);
    ck_assert_double_eq(number(at(x, "counts", "0", NULL)), 1);
    ck_assert_double_eq(number(at(x, "counts", "1", NULL)), 1);
    ck_assert_double_eq(number(cJSON_GetArrayItem(at(x, "counts", NULL), (int)METRIC_BUCKETS - 1)),
                        1);
    ck_assert_double_eq(number(at(x, "sum_s", NULL)), 400.0029);
    ck_assert_double_eq(total(at(s, "queue_wait", NULL)), 1);
    ck_assert_double_eq(number(at(s, "queue_wait", "counts", "2", NULL)), 1);
    ck_assert_double_eq(total(at(s, "recovery_time", NULL)), 1);
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(the_breaker_in_detail)
{
    world_new(NULL, NULL);
    struct breaker *b = &server_at(0)->breaker;
    cJSON_Delete(status());
    metrics_add(metrics_of(0), METRIC_BREAKER_TRANSITIONS, METRIC_BREAKER_OPEN, 2);
    b->state = BREAKER_OPEN;
    b->failures = 5;
    b->epoch = 3;
    b->since = 990 * USEC_PER_SEC;
    b->unwell_since = 980 * USEC_PER_SEC;
    cJSON *t = status();
    const cJSON *x = at(t, "servers", "0", "circuit_breaker", NULL);
    ck_assert_str_eq(text(at(x, "state", NULL)), "open");
    ck_assert_double_eq(number(at(x, "failure_count", NULL)), 5);
    ck_assert_double_eq(number(at(x, "opened_count", NULL)), 2);
    ck_assert_str_eq(text(at(x, "since", NULL)), "2026-01-02T03:03:55.678Z");
    ck_assert_str_eq(text(at(x, "not_closed_since", NULL)), "2026-01-02T03:03:45.678Z");
    ck_assert_double_eq(number(at(x, "next_change_ms", NULL)), 50000);
    ck_assert(cJSON_IsFalse(at(x, "admits_calls", NULL)));
    ck_assert(cJSON_IsFalse(at(x, "trial", NULL)));
    ck_assert(cJSON_IsNull(at(x, "ramp_ms", NULL)));
    cJSON_Delete(t);

    b->state = BREAKER_CLOSED;
    b->unwell_since = 0;
    b->since = b->closed_at = 994 * USEC_PER_SEC;
    t = status();
    x = at(t, "servers", "0", "circuit_breaker", NULL);
    ck_assert_str_eq(text(at(x, "state", NULL)), "closed");
    ck_assert_double_eq(number(at(x, "ramp_ms", NULL)), 4000);
    ck_assert(cJSON_IsNull(at(x, "not_closed_since", NULL)));
    cJSON_Delete(t);
    world_end();
}
END_TEST

/* Compares with the table, so that a rule which is added and not shown fails here. */
START_TEST(every_rule_in_force_is_shown)
{
    static const char given[] =
        ",\"resilience\":{\"backoff_base\":\"1500ms\",\"max_connections\":3,"
        "\"adaptive_backoff\":\"observe\"}";
    size_t n, seen = 0;
    const struct config_row *rows = config_rows(&n);
    world_new(given, NULL);
    cJSON *t = status();
    const cJSON *x = at(t, "servers", "0", "resilience", NULL);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].section != CONFIG_SECTION_RESILIENCE)
            continue;
        const cJSON *item = at(x, rows[i].key, NULL);
        uint64_t v = config_row_value(&rows[i], &server_at(0)->sc->resilience);
        seen++;
        if (rows[i].type == CONFIG_TYPE_DURATION)
            ck_assert_double_eq_tol(number(item), (double)v / 1e6, 1e-9);
        else if (rows[i].type == CONFIG_TYPE_ENUM)
            ck_assert_str_eq(text(item), rows[i].values[v]);
        else
            ck_assert_double_eq(number(item), (double)v);
    }
    ck_assert_int_eq(cJSON_GetArraySize(x), (int)seen);
    ck_assert_uint_ge(seen, 13); /* the user's rules */
    ck_assert_double_eq(number(at(x, "backoff_base", NULL)), 1.5);
    ck_assert_double_eq(number(at(x, "max_connections", NULL)), 3);
    ck_assert_str_eq(text(at(x, "adaptive_backoff", NULL)), "observe");
    ck_assert_str_eq(text(at(t, "servers", "0", "adaptive_backoff", "mode", NULL)), "observe");
    ck_assert_double_gt(number(at(t, "servers", "0", "adaptive_backoff", "cap_seconds", NULL)), 0);
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(what_may_be_secret_is_not_shown)
{
    world_new(",\"args\":[\"--token\",\"s3cret\"],\"env\":{\"KEY\":\"s3cret\"}", NULL);
    cJSON *t = status();
    char *all = cJSON_PrintUnformatted(t);
    ck_assert_ptr_null(strstr(all, "s3cret"));
    ck_assert_ptr_null(strstr(all, "--token"));
    ck_assert_ptr_null(strstr(all, "KEY"));
    free(all);
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(an_address_is_shown_without_its_query)
{
    struct config *config;
    struct config_errors errs;
    struct buf b = BUF_INIT;
    struct admin_json j = {.out = &b};
    world_new(NULL, NULL);
    config_errors_init(&errs);
    ck_assert_int_eq(
        config_parse(SLICE("{\"runtime_dir\":\"/nonexistent\",\"state_dir\":\"/nonexistent\","
                           "\"mcpServers\":{\"far\":{\"url\":\"https://h.example/mcp?key=s3cret\","
                           "\"headers\":{\"Authorization\":\"s3cret\"}}}}"),
                     NULL, &config, &errs),
        0);
    config_errors_done(&errs);
    struct server *far = server_new(&w.env, config, &config->servers[0], NULL, NULL, NULL, NULL);
    struct admin_view view = test_view();
    admin_status_server(&j, &view, far);
    cJSON *t = cJSON_ParseWithLength(buf_peek(&b).p, buf_len(&b));
    ck_assert_str_eq(text(at(t, "server_config", "url", NULL)), "https://h.example/mcp");
    ck_assert_str_eq(text(at(t, "server_config", "transport", NULL)), "http");
    ck_assert_ptr_null(cJSON_GetObjectItemCaseSensitive(at(t, "server_config", NULL), "command"));
    ck_assert_ptr_null(memmem(buf_peek(&b).p, buf_len(&b), "s3cret", 6));
    cJSON_Delete(t);
    buf_done(&b);
    server_free(far);
    config_unref(config);
    world_end();
}
END_TEST

START_TEST(one_server_of_several)
{
    unsigned pieces;
    world_new(OTHER_SERVER, NULL);
    cJSON *t = status_of(route_at(w.proxy, 1));
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 1);
    ck_assert_str_eq(text(at(t, "servers", "0", "name", NULL)), "other");
    cJSON_Delete(t);
    struct admin_view view = test_view();
    cJSON_Delete(read_doc(admin_doc_new(ADMIN_DOC_STATUS, &view, NULL, NULL), &pieces));
    ck_assert_uint_eq(pieces, 2); /* a piece a server: no turn composes all of them */
    world_end();
}
END_TEST

START_TEST(no_server_at_all)
{
    world_new(",\"enabled\":false", NULL);
    cJSON *t = status();
    ck_assert(cJSON_IsArray(at(t, "servers", NULL)));
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 0);
    ck_assert(admin_all_tried(w.proxy));
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(readiness_waits_for_attempts_not_for_success)
{
    struct admin_view view;
    world_new(OTHER_SERVER, NULL);
    w.refuse = true;
    w.start_delay = USEC_PER_SEC;
    ck_assert(!admin_all_tried(w.proxy));
    proxy_start(w.proxy);
    turn();
    ck_assert(!admin_all_tried(w.proxy));
    pass(2 * USEC_PER_SEC);
    ck_assert(admin_all_tried(w.proxy));
    view = test_view();
    cJSON *t = read_doc(admin_doc_new(ADMIN_DOC_READY, &view, NULL, NULL), NULL);
    ck_assert(cJSON_IsTrue(at(t, "ready", NULL)));
    ck_assert(cJSON_IsTrue(at(t, "servers", "1", "tried", NULL)));
    ck_assert_str_eq(text(at(t, "servers", "1", "name", NULL)), "other");
    ck_assert_str_eq(text(at(t, "servers", "1", "health_status", NULL)), "unhealthy");
    cJSON_Delete(t);
    world_end();
}
END_TEST

/* The world began at 03:04:05.678. A server that was never healthy has been what it is since then;
 * what time alone has changed is new until the monitor notes it. */
START_TEST(since_when_a_server_is_what_it_is)
{
    world_new(NULL, NULL);
    cJSON *t = status();
    ck_assert_str_eq(text(at(t, "servers", "0", "health_status", NULL)), "unknown");
    ck_assert_str_eq(text(at(t, "servers", "0", "health_since", NULL)), "2026-01-02T03:04:05.678Z");
    cJSON_Delete(t);
    w.refuse = true;
    pass(2 * USEC_PER_SEC);
    proxy_start(w.proxy);
    turn();
    pass(USEC_PER_SEC / 2);
    t = status();
    ck_assert_str_eq(text(at(t, "servers", "0", "health_status", NULL)), "unhealthy");
    ck_assert_str_eq(text(at(t, "servers", "0", "health_since", NULL)), "2026-01-02T03:04:07.678Z");
    cJSON_Delete(t);
    server_at(0)->health = HEALTH_HEALTHY; /* as if noted so */
    t = status();
    ck_assert_str_eq(text(at(t, "servers", "0", "health_status", NULL)), "unhealthy");
    ck_assert_str_eq(text(at(t, "servers", "0", "health_since", NULL)), "2026-01-02T03:04:08.178Z");
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(a_server_that_nobody_keeps_is_not_waited_for)
{
    world_new(",\"resilience\":{\"min_connections\":0}", NULL);
    proxy_start(w.proxy);
    turn();
    ck_assert(admin_all_tried(w.proxy));
    cJSON *t = status();
    ck_assert_str_eq(text(at(t, "servers", "0", "health_status", NULL)), "unknown");
    cJSON_Delete(t);
    world_end();
}
END_TEST

START_TEST(results_of_a_recovery)
{
    struct admin_view view;
    struct recover_result *results = xcalloc(2, sizeof(*results));
    world_new(OTHER_SERVER, NULL);
    results[0] = (struct recover_result){.ready = 4, .breaker = BREAKER_CLOSED};
    results[1] = (struct recover_result){
        .reset = 3, .torn_down = 2, .started = 1, .breaker = BREAKER_HALF_OPEN};
    server_at(1)->breaker.state = BREAKER_OPEN;
    view = test_view();
    cJSON *t = read_doc(admin_doc_new(ADMIN_DOC_RECOVERED, &view, NULL, results), NULL);
    const cJSON *x = at(t, "servers", "0", NULL);
    ck_assert_str_eq(text(at(x, "name", NULL)), "fake");
    ck_assert_double_eq(number(at(x, "ready", NULL)), 4);
    ck_assert_str_eq(text(at(x, "circuit_breaker_before", NULL)), "closed");
    x = at(t, "servers", "1", NULL);
    ck_assert_str_eq(text(at(x, "name", NULL)), "other");
    ck_assert_double_eq(number(at(x, "reset", NULL)), 3);
    ck_assert_double_eq(number(at(x, "torn_down", NULL)), 2);
    ck_assert_double_eq(number(at(x, "started", NULL)), 1);
    ck_assert_double_eq(number(at(x, "ready", NULL)), 0);
    ck_assert_str_eq(text(at(x, "circuit_breaker_before", NULL)), "half_open");
    ck_assert_str_eq(text(at(x, "circuit_breaker", NULL)), "open");
    cJSON_Delete(t);
    world_end();
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("documents");
    tcase_add_test(tc, the_top_tells_of_the_process);
    tcase_add_test(tc, a_server_that_is_well);
    tcase_add_test(tc, a_server_that_cannot_be_started);
    tcase_add_test(tc, a_slot_is_shown_as_it_is);
    tcase_add_test(tc, requests_in_line_are_counted);
    tcase_add_test(tc, counters_and_times);
    tcase_add_test(tc, how_long_things_took);
    tcase_add_test(tc, the_breaker_in_detail);
    tcase_add_test(tc, every_rule_in_force_is_shown);
    tcase_add_test(tc, what_may_be_secret_is_not_shown);
    tcase_add_test(tc, an_address_is_shown_without_its_query);
    tcase_add_test(tc, one_server_of_several);
    tcase_add_test(tc, no_server_at_all);
    tcase_add_test(tc, readiness_waits_for_attempts_not_for_success);
    tcase_add_test(tc, since_when_a_server_is_what_it_is);
    tcase_add_test(tc, a_server_that_nobody_keeps_is_not_waited_for);
    tcase_add_test(tc, results_of_a_recovery);
    Suite *s = suite_create("admin_status");
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
