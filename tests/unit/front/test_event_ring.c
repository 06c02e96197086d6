/* front/event_ring: the latest events of the process and of each server, bounded, in order. The
 * ring is fed by the real log. */
#include "front/event_ring.h"

#include "base/util.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config *config;
static struct event_ring *ring;

static struct config *parse(const char *text)
{
    struct config_errors errs;
    struct config *c = NULL;
    config_errors_init(&errs);
    int r = config_parse(slice_str(text), NULL, &c, &errs);
    config_errors_write(&errs, stderr);
    ck_assert_int_eq(r, 0);
    config_errors_done(&errs);
    return c;
}

#define LIMITS(all, each) "\"limits\":{\"events_kept\":" all ",\"events_kept_per_server\":" each "}"
#define DIRS              "\"runtime_dir\":\"/x\",\"state_dir\":\"/x\","
#define TWO                                                                                        \
    "\"mcpServers\":{\"a\":{\"command\":\"c\"},\"b\":{\"command\":\"c\",\"enabled\":false}}}"

static void setup(void)
{
    config = parse("{" DIRS LIMITS("8", "3") "," TWO);
    ring = event_ring_new(config);
    log_set_level(LOG_LEVEL_CRITICAL);
    log_set_listener(event_ring_on_record, ring);
}

static void teardown(void)
{
    log_set_listener(NULL, NULL);
    event_ring_free(ring);
    config_unref(config);
}

static void say(const char *server, unsigned n)
{
    log_notice(LOG_CTX(.server = server), "event %u", n);
}

/* The texts of a server, or of all (NULL), as "event 1|event 2". */
static const char *texts(const char *server)
{
    static char out[4096];
    const struct event *e;
    uint64_t seq = 0;
    size_t n = 0;
    out[0] = 0;
    while (
        (e = server ? event_ring_server_after(ring, server, seq) : event_ring_after(ring, seq))) {
        ck_assert_uint_gt(e->seq, seq);
        seq = e->seq;
        n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%.*s", n ? "|" : "", (int)e->text.n,
                              e->text.p);
    }
    return out;
}

START_TEST(the_latest_stay_of_all_and_of_each)
{
    ck_assert_ptr_null(event_ring_after(ring, 0));
    for (unsigned i = 1; i <= 4; i++)
        say("a", i);
    say("b", 5);
    say(NULL, 6);
    ck_assert_str_eq(texts(NULL), "event 1|event 2|event 3|event 4|event 5|event 6");
    ck_assert_str_eq(texts("a"), "event 2|event 3|event 4");
    ck_assert_str_eq(texts("b"), "event 5");
    for (unsigned i = 7; i <= 50; i++)
        say("a", i);
    ck_assert_str_eq(texts(NULL), "event 43|event 44|event 45|event 46|event 47|event 48|event 49|"
                                  "event 50");
    ck_assert_str_eq(texts("b"), "event 5"); /* not washed away by the other */
    ck_assert_ptr_null(event_ring_server_after(ring, "c", 0));
}
END_TEST

START_TEST(an_event_has_its_fields)
{
    log_set_level(LOG_LEVEL_CRITICAL);
    log_warning(
        LOG_CTX(.server = "a", .slot = 2, .reason = "timeout", .message_id = LOG_ID_CONN_LOST),
        "gone\n");
    const struct event *e = event_ring_server_after(ring, "a", 0);
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->seq, 1);
    ck_assert_int_eq(e->level, LOG_LEVEL_WARNING);
    ck_assert_int_eq(e->slot, 2);
    ck_assert_str_eq(e->server, "a");
    ck_assert_str_eq(e->reason, "timeout");
    ck_assert_str_eq(e->id, LOG_ID_CONN_LOST);
    ck_assert(slice_is(e->text, "gone\\n"));
    ck_assert_uint_gt(e->realtime, 0);
    log_info(NULL, "x");
    e = event_ring_after(ring, 1);
    ck_assert_ptr_null(e->server);
    ck_assert_ptr_null(e->reason);
    ck_assert_ptr_null(e->id);
    ck_assert_int_eq(e->slot, -1);
}
END_TEST

START_TEST(a_reader_goes_on_where_it_was)
{
    for (unsigned i = 1; i <= 20; i++) {
        say("a", i);
        for (uint64_t seq = 0; seq <= i; seq++) {
            const struct event *e = event_ring_after(ring, seq);
            uint64_t oldest = i > 8 ? i - 7 : 1, want = seq < oldest ? oldest : seq + 1;
            if (seq >= i)
                ck_assert_ptr_null(e);
            else
                ck_assert_uint_eq(e->seq, want);
        }
    }
}
END_TEST

START_TEST(a_long_text_is_cut)
{
    char big[2000];
    memset(big, 'x', sizeof(big));
    log_info(NULL, "%.*s", 1900, big);
    const struct event *e = event_ring_after(ring, 0);
    ck_assert_uint_eq(e->text.n, EVENT_TEXT_MAX);
    ck_assert_mem_eq(e->text.p + e->text.n - 4, "x…", 4);
}
END_TEST

START_TEST(another_configuration)
{
    for (unsigned i = 1; i <= 8; i++)
        say(i % 2 ? "a" : "b", i);
    struct config *next = parse("{" DIRS LIMITS("4", "2") ",\"mcpServers\":{\"b\":{\"command\":"
                                                          "\"c\"},\"c\":{\"command\":\"c\"}}}");
    event_ring_apply(ring, next);
    ck_assert_str_eq(texts(NULL), "event 5|event 6|event 7|event 8");
    ck_assert_str_eq(texts("a"), "");
    ck_assert_str_eq(texts("b"), "event 6|event 8");
    say("a", 9); /* it is still ending */
    say("c", 10);
    ck_assert_str_eq(texts("a"), "");
    ck_assert_str_eq(texts("c"), "event 10");
    ck_assert_str_eq(texts(NULL), "event 7|event 8|event 9|event 10");
    config_unref(next);
    next = parse("{" DIRS LIMITS("0", "0") "," TWO);
    event_ring_apply(ring, next);
    say("a", 11);
    ck_assert_str_eq(texts(NULL), "");
    ck_assert_str_eq(texts("a"), "");
    config_unref(next);
    event_ring_apply(ring, config);
    say("a", 12);
    ck_assert_str_eq(texts(NULL), "event 12");
    ck_assert_uint_eq(event_ring_after(ring, 0)->seq, 12);
}
END_TEST

static void count(void *arg, const struct log_record *r)
{
    ck_assert(r->level >= LOG_LEVEL_INFO);
    ++*(unsigned *)arg;
}

START_TEST(watchers_hear_of_each_event)
{
    unsigned n = 0, m = 0;
    struct event_watch one = {.fn = count, .arg = &n}, two = {.fn = count, .arg = &m};
    event_ring_watch(ring, &one);
    event_ring_watch(ring, &two);
    say("a", 1);
    event_ring_unwatch(&two);
    say("b", 2);
    log_debug(NULL, "too low");
    event_ring_unwatch(&one);
    say("a", 3);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(m, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front/event_ring");
    TCase *t = tcase_create("event_ring");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_latest_stay_of_all_and_of_each);
    tcase_add_test(t, an_event_has_its_fields);
    tcase_add_test(t, a_reader_goes_on_where_it_was);
    tcase_add_test(t, a_long_text_is_cut);
    tcase_add_test(t, another_configuration);
    tcase_add_test(t, watchers_hear_of_each_event);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
