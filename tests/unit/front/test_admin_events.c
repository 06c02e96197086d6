/* What readers of GET /events are told, in which order, and what they cost. */
#include "admin_test.h"

#include "front/admin_events.h"
#include "wire/sse.h"

static struct admin_feed *feed;
static struct event_ring *ring;
static unsigned woken;

static void on_wake(void *arg)
{
    ck_assert_ptr_eq(arg, &feed);
    woken++;
}

static void begin(const char *extra)
{
    world_new(extra, NULL);
    ring = event_ring_new(w.config);
    feed = admin_feed_new(&w.env);
    admin_feed_follow(feed, ring);
    woken = 0;
}

/* The events that a reader is told now, read back by the parser of the other direction. */
struct told {
    char name[16], id[48], *data;
};
static struct told told[2000];
static unsigned told_n;

static void forget(void)
{
    while (told_n)
        free(told[--told_n].data);
}

static void end(void)
{
    forget();
    admin_feed_free(feed);
    event_ring_free(ring);
    world_end();
}

static struct admin_reader *reader_of(const char *last_id, size_t servers, bool with_log)
{
    return admin_reader_new(feed, &(struct admin_reader_options){.with_log = with_log,
                                                                 .last_id = slice_str(last_id),
                                                                 .servers = servers,
                                                                 .wake = on_wake,
                                                                 .arg = &feed});
}

static struct admin_reader *reader(const char *last_id)
{
    return reader_of(last_id, 2, true);
}

static void log_text(const char *server, const char *text)
{
    const struct log_record r = {.level = LOG_LEVEL_NOTICE,
                                 .ctx = LOG_CTX(.server = server, .slot = 3),
                                 .text = slice_str(text),
                                 .realtime = TEST_WALL_OFFSET + 1000 * USEC_PER_SEC};
    event_ring_on_record(ring, &r);
}

static void listen_to(struct admin_reader *r)
{
    const struct sse_limits limits = {.max_line_bytes = 1 << 20, .max_event_bytes = 1 << 20};
    const struct admin_view view = test_view();
    struct sse_reader parser;
    struct sse_event ev;
    struct buf b = BUF_INIT;
    size_t used;
    forget();
    while (admin_reader_next(r, &view, &b))
        ck_assert_uint_lt(buf_len(&b), 10 << 20);
    sse_reader_init(&parser, &limits);
    struct slice in = buf_peek(&b);
    while (in.n) {
        enum sse_status s = sse_reader_feed(&parser, in, &used, &ev);
        ck_assert_int_ge(s, 0);
        in = slice_of(in.p + used, in.n - used);
        if (s != SSE_EVENT)
            continue;
        struct told *t = &told[told_n++];
        snprintf(t->name, sizeof(t->name), "%.*s", (int)ev.event.n, ev.event.p);
        snprintf(t->id, sizeof(t->id), "%.*s", (int)ev.id.n, ev.has_id ? ev.id.p : "");
        t->data = xstrndup(ev.data.p, ev.data.n);
    }
    sse_reader_done(&parser);
    buf_done(&b);
}

static void check_log(unsigned i, const char *message)
{
    ck_assert_uint_lt(i, told_n);
    ck_assert_str_eq(told[i].name, "log");
    cJSON *t = cJSON_Parse(told[i].data);
    ck_assert_ptr_nonnull(t);
    ck_assert_str_eq(text(at(t, "message", NULL)), message);
    ck_assert_str_eq(text(at(t, "level", NULL)), "notice");
    ck_assert_str_eq(text(at(t, "time", NULL)), "2026-01-02T03:04:05.678Z");
    ck_assert_double_eq(number(at(t, "slot", NULL)), 3);
    ck_assert(cJSON_IsNull(at(t, "reason", NULL)));
    cJSON_Delete(t);
}

START_TEST(a_reader_is_told_the_status_and_then_the_log)
{
    begin(OTHER_SERVER);
    log_text("fake", "first");
    struct admin_reader *r = reader("");
    listen_to(r);
    ck_assert_uint_eq(told_n, 2);
    ck_assert_str_eq(told[0].name, "status");
    ck_assert_str_eq(told[0].id, "");
    cJSON *t = cJSON_Parse(told[0].data);
    ck_assert_str_eq(text(at(t, "servers", "1", "name", NULL)), "other");
    cJSON_Delete(t);
    check_log(1, "first");
    ck_assert_uint_eq(woken, 0);
    log_text("other", "a \"quoted\" line \\n and \xc3\xa9");
    ck_assert_uint_eq(woken, 1);
    listen_to(r);
    ck_assert_uint_eq(told_n, 1);
    check_log(0, "a \"quoted\" line \\n and \xc3\xa9");
    admin_reader_free(r);
    end();
}
END_TEST

START_TEST(the_status_comes_every_second_while_somebody_reads)
{
    begin(NULL);
    usec_t idle = env_next_due(&w.env);
    struct admin_reader *r = reader("");
    listen_to(r);
    pass(USEC_PER_SEC);
    ck_assert_uint_eq(woken, 1);
    listen_to(r);
    ck_assert_uint_eq(told_n, 1);
    ck_assert_str_eq(told[0].name, "status");
    for (int i = 0; i < 5; i++)
        pass(USEC_PER_SEC); /* nothing is read: one document is due, not five */
    listen_to(r);
    ck_assert_uint_eq(told_n, 1);
    admin_reader_free(r);
    ck_assert_uint_eq(env_next_due(&w.env), idle);
    end();
}
END_TEST

START_TEST(many_servers_are_told_less_often)
{
    begin(NULL);
    struct admin_reader *r = reader_of("", 301, true);
    listen_to(r);
    pass(4 * USEC_PER_SEC - 1);
    ck_assert_uint_eq(woken, 0);
    pass(1);
    ck_assert_uint_eq(woken, 1);
    admin_reader_free(r);
    r = reader_of("", 1000000, true);
    pass(10 * USEC_PER_SEC);
    ck_assert_uint_eq(woken, 2);
    admin_reader_free(r);
    end();
}
END_TEST

START_TEST(who_comes_back_is_told_what_was_missed)
{
    begin(NULL);
    char id[48], other[64];
    struct admin_reader *r = reader("");
    for (int i = 0; i < 3; i++)
        log_text("fake", i == 0 ? "0" : i == 1 ? "1" : "2");
    listen_to(r);
    ck_assert_uint_eq(told_n, 4);
    memcpy(id, told[2].id, sizeof(id)); /* of "1" */
    admin_reader_free(r);

    r = reader(id);
    listen_to(r);
    ck_assert_uint_eq(told_n, 2);
    check_log(1, "2");
    memcpy(id, told[1].id, sizeof(id));
    admin_reader_free(r);
    r = reader(id);
    listen_to(r);
    ck_assert_uint_eq(told_n, 1); /* nothing is new */
    admin_reader_free(r);

    snprintf(other, sizeof(other), "1%s", id);
    const char *foreign[] = {other, "1-2", "-", "x-1", "17", "1-99999999999999999999999", "-1"};
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        r = reader(foreign[i]);
        listen_to(r);
        ck_assert_uint_eq(told_n, 4);
        admin_reader_free(r);
    }
    end();
}
END_TEST

START_TEST(what_a_slow_reader_missed_is_counted)
{
    begin(NULL);
    char line[64];
    struct admin_reader *r = reader("");
    for (int i = 0; i < 1488; i++) {
        snprintf(line, sizeof(line), "line %d", i);
        log_text("fake", line);
    }
    listen_to(r);
    ck_assert_uint_eq(told_n, 2 + 1000);
    ck_assert_str_eq(told[1].name, "lost");
    ck_assert_str_eq(told[1].data, "{\"lost\":488}");
    check_log(2, "line 488");
    check_log(told_n - 1, "line 1487");
    admin_reader_free(r);
    r = reader(""); /* who comes only now has missed nothing */
    listen_to(r);
    ck_assert_uint_eq(told_n, 1 + 1000);
    admin_reader_free(r);
    end();
}
END_TEST

START_TEST(without_a_ring_there_is_the_status)
{
    world_new(NULL, NULL);
    feed = admin_feed_new(&w.env);
    admin_feed_follow(feed, NULL);
    struct admin_reader *r = reader("1-1");
    listen_to(r);
    ck_assert_uint_eq(told_n, 1);
    admin_reader_free(r);
    admin_feed_free(feed);
    world_end();
}
END_TEST

START_TEST(there_are_only_so_many_readers)
{
    begin(NULL);
    struct admin_reader *r[ADMIN_READERS_MAX];
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        r[i] = reader("");
        ck_assert_ptr_nonnull(r[i]);
    }
    ck_assert_ptr_null(reader(""));
    r[3] = admin_reader_free(r[3]);
    r[3] = reader("");
    ck_assert_ptr_nonnull(r[3]);
    for (size_t i = 0; i < ARRAY_LEN(r); i++)
        admin_reader_free(r[i]);
    end();
}
END_TEST

START_TEST(the_log_is_only_for_whom_it_is_meant)
{
    begin(NULL);
    log_text("fake", "a secret of the server");
    struct admin_reader *bare[ADMIN_READERS_BARE_MAX];
    for (size_t i = 0; i < ARRAY_LEN(bare); i++) {
        bare[i] = reader_of("", 1, false);
        ck_assert_ptr_nonnull(bare[i]);
    }
    ck_assert_ptr_null(reader_of("", 1, false));
    listen_to(bare[0]);
    ck_assert_uint_eq(told_n, 1);
    ck_assert_str_eq(told[0].name, "status");
    log_text("fake", "another one");
    ck_assert_uint_eq(woken, 0);
    listen_to(bare[0]);
    ck_assert_uint_eq(told_n, 0);
    struct admin_reader *r = reader("");
    ck_assert_ptr_nonnull(r);
    listen_to(r);
    ck_assert_uint_eq(told_n, 3);
    admin_reader_free(r);
    for (size_t i = 0; i < ARRAY_LEN(bare); i++)
        admin_reader_free(bare[i]);
    r = reader_of("", 1, false);
    ck_assert_ptr_nonnull(r);
    admin_reader_free(r);
    end();
}
END_TEST

/* The next piece is made when the last one was taken, and may be never: nothing leaks. */
START_TEST(a_reader_may_go_in_the_middle_of_a_document)
{
    begin(OTHER_SERVER);
    const struct admin_view view = test_view();
    struct buf b = BUF_INIT;
    struct admin_reader *r = reader("");
    ck_assert(admin_reader_next(r, &view, &b));
    log_text("fake", "in between");
    admin_reader_free(r);
    buf_done(&b);
    end();
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("events");
    tcase_add_test(tc, a_reader_is_told_the_status_and_then_the_log);
    tcase_add_test(tc, the_status_comes_every_second_while_somebody_reads);
    tcase_add_test(tc, many_servers_are_told_less_often);
    tcase_add_test(tc, who_comes_back_is_told_what_was_missed);
    tcase_add_test(tc, what_a_slow_reader_missed_is_counted);
    tcase_add_test(tc, without_a_ring_there_is_the_status);
    tcase_add_test(tc, there_are_only_so_many_readers);
    tcase_add_test(tc, the_log_is_only_for_whom_it_is_meant);
    tcase_add_test(tc, a_reader_may_go_in_the_middle_of_a_document);
    Suite *s = suite_create("admin_events");
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
