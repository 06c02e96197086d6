/* front/event_log: every bound, the order in which events go, gaps, event ids from outside. */
#include "base/util.h"
#include "front/event_log.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define S USEC_PER_SEC

static struct config_limits limits;
static struct event_budget budget;
static struct event_owner owner, other;

static void setup(void)
{
    limits = (struct config_limits){.event_buffer_events = 4,
                                    .event_buffer_bytes = 1 << 20,
                                    .event_buffer_session_bytes = 1 << 20,
                                    .event_buffer_total_bytes = 1 << 20,
                                    .event_buffer_ttl = 300 * S};
    event_budget_init(&budget, &limits);
    event_owner_init(&owner, &budget);
    event_owner_init(&other, &budget);
}

static void teardown(void)
{
    event_owner_done(&owner);
    event_owner_done(&other);
    ck_assert_uint_eq(budget.bytes, 0);
    ck_assert_uint_eq(budget.mapped, 0);
    ck_assert(TAILQ_EMPTY(&budget.by_age));
}

static uint64_t add(struct event_log *log, usec_t now, bool is_answer, size_t n)
{
    char *text = xmalloc(n + 1);
    memset(text, 'x', n);
    struct payload p = {.text = slice_of(text, n)};
    uint64_t seq = event_log_append(log, now, is_answer, &p, NULL);
    free(text);
    return seq;
}

/* The kept sequence numbers after seq, as text. */
static const char *kept(const struct event_log *log, uint64_t seq)
{
    static char out[200];
    size_t at = 0;
    out[0] = 0;
    for (const struct kept_event *e = event_log_after(log, seq); e; e = event_log_next(e))
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%llu ", (unsigned long long)e->seq);
    return out;
}

START_TEST(counts_and_keeps_the_newest)
{
    struct event_log *log = event_log_new(&owner, 1, "p1-MQ", 0);
    for (unsigned i = 1; i <= 6; i++)
        ck_assert_uint_eq(add(log, i, i == 2, 10), i);
    ck_assert_str_eq(kept(log, 0), "3 4 5 6 ");
    ck_assert_str_eq(kept(log, 4), "5 6 ");
    ck_assert_str_eq(kept(log, 6), "");
    ck_assert_uint_eq(log->lost_seq, 2);
    ck_assert_uint_eq(log->lost_answer, 2);
    ck_assert_uint_eq(log->last_seq, 6);
}
END_TEST

START_TEST(bytes_of_one_stream)
{
    struct event_log *log = event_log_new(&owner, 1, "g1", 0);
    limits.event_buffer_bytes = 2000 + 4 * sizeof(struct kept_event);
    add(log, 1, false, 900);
    add(log, 2, false, 900);
    add(log, 3, false, 900);
    ck_assert_str_eq(kept(log, 0), "2 3 ");
    /* One that is too big by itself is sent but not kept, and whoever asks later can tell. */
    ck_assert_uint_eq(add(log, 4, true, 5000), 4);
    ck_assert_str_eq(kept(log, 0), "");
    ck_assert_uint_eq(log->lost_answer, 4);
    ck_assert_uint_eq(log->bytes, 0);
}
END_TEST

START_TEST(bytes_of_one_session_take_from_its_oldest_stream)
{
    struct event_log *a = event_log_new(&owner, 1, "p1-MQ", 0),
                     *b = event_log_new(&owner, 2, "p2-Mg", 0);
    struct event_log *c = event_log_new(&other, 1, "p1-MQ", 0);
    limits.event_buffer_session_bytes = 3 * (1000 + sizeof(struct kept_event));
    add(c, 1, false, 1000);
    add(a, 2, false, 1000);
    add(b, 3, false, 1000);
    add(b, 4, false, 1000);
    add(b, 5, false, 1000);
    ck_assert_str_eq(kept(a, 0), "");
    ck_assert_str_eq(kept(b, 0), "1 2 3 ");
    ck_assert_str_eq(kept(c, 0), "1 ");
}
END_TEST

START_TEST(bytes_of_all_take_from_the_longest_unchanged)
{
    struct event_log *a = event_log_new(&owner, 1, "p1-MQ", 0),
                     *c = event_log_new(&other, 1, "p1-MQ", 0);
    limits.event_buffer_total_bytes = 3 * (1000 + sizeof(struct kept_event));
    add(a, 1, false, 1000);
    add(c, 2, false, 1000);
    add(a, 3, false, 1000);
    add(a, 4, false, 1000);
    ck_assert_str_eq(kept(c, 0), "");
    ck_assert_str_eq(kept(a, 0), "1 2 3 ");
}
END_TEST

START_TEST(a_released_log_goes_with_its_last_event)
{
    struct event_log *log = event_log_new(&owner, 1, "p1-MQ", 0);
    add(log, 10 * S, true, 10);
    event_log_release(log);
    ck_assert_ptr_eq(event_owner_find(&owner, 1), log);
    ck_assert_uint_eq(event_budget_expire(&budget, 309 * S), 310 * S);
    ck_assert_ptr_eq(event_owner_find(&owner, 1), log);
    ck_assert_uint_eq(event_budget_expire(&budget, 310 * S), USEC_NEVER);
    ck_assert_ptr_null(event_owner_find(&owner, 1));
    /* An empty one goes at once. */
    log = event_log_new(&owner, 2, "p2-Mg", 0);
    event_log_release(log);
    ck_assert_ptr_null(event_owner_find(&owner, 2));
}
END_TEST

START_TEST(age_takes_only_what_is_old)
{
    struct event_log *log = event_log_new(&owner, 1, "g1", 0);
    add(log, 10 * S, false, 10);
    add(log, 20 * S, false, 10);
    ck_assert_uint_eq(event_budget_expire(&budget, 315 * S), 320 * S);
    ck_assert_str_eq(kept(log, 0), "2 ");
    ck_assert_uint_eq(event_budget_expire(&budget, 400 * S), USEC_NEVER);
    ck_assert_ptr_eq(event_owner_find(&owner, 1), log);
    ck_assert_uint_eq(add(log, 401 * S, false, 10), 3);
}
END_TEST

static unsigned mapped_freed;

static void mapped_free(struct blob *b)
{
    mapped_freed++;
    free(b);
}

static void mapped_passed(struct blob *b, size_t upto)
{
    (void)b;
    (void)upto;
}

START_TEST(mapped_texts_are_kept_by_reference_and_hold_no_heap)
{
    static char bytes[100 * 1024];
    struct blob *b = xcalloc(1, sizeof(*b));
    *b = (struct blob){
        .refs = 1, .n = sizeof(bytes), .p = bytes, .free_fn = mapped_free, .passed = mapped_passed};
    struct event_log *log = event_log_new(&owner, 1, "p1-MQ", 0);
    limits.event_buffer_bytes = 2000;
    struct payload p = {.text = slice_of(bytes + 10, sizeof(bytes) - 10), .owner = b};
    struct rpc_edits e = {.count = 1, .edit = {{.off = 5, .n = 3, .with = SLICE("edited")}}};
    mapped_freed = 0;
    event_log_append(log, 1, true, &p, &e);
    blob_unref(b);
    ck_assert_uint_eq(mapped_freed, 0);
    const struct kept_event *kept_one = event_log_after(log, 0);
    ck_assert_ptr_nonnull(kept_one);
    ck_assert_ptr_eq(kept_one->message.text.text.p, bytes + 10);
    ck_assert(slice_is(kept_one->message.edits.edit[0].with, "edited"));
    ck_assert_ptr_ne(kept_one->message.edits.edit[0].with.p, e.edit[0].with.p);
    ck_assert_uint_eq(budget.mapped, p.text.n);
    limits.event_buffer_total_bytes = 1000;
    add(log, 2, false, 1);
    ck_assert_uint_eq(mapped_freed, 1);
    ck_assert_uint_eq(budget.mapped, 0);
}
END_TEST

START_TEST(small_messages_are_kept_edited)
{
    struct event_log *log = event_log_new(&owner, 1, "g1", 0);
    struct payload p = {.text = SLICE("{\"id\":17}")};
    struct rpc_edits e = {.count = 1, .edit = {{.off = 6, .n = 2, .with = SLICE("\"a\"")}}};
    event_log_append(log, 1, true, &p, &e);
    const struct kept_event *kept_one = event_log_after(log, 0);
    ck_assert(slice_is(kept_one->message.text.text, "{\"id\":\"a\"}"));
    ck_assert_uint_eq(kept_one->message.edits.count, 0);
}
END_TEST

START_TEST(ids_round_trip)
{
    static const char *const ids[] = {
        "1", "\"a\"", "\"\"", "-7", "12345678901234567890", "\"\xc3\xa4?~\"", "\"\\u0000\""};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        struct event_id id;
        char text[400];
        char *name = event_stream_name(42, slice_str(ids[i]));
        snprintf(text, sizeof(text), "%s.%d", name, 7);
        for (const char *c = text; *c; c++)
            ck_assert(*c > 0x20 && *c < 0x7f);
        ck_assert_msg(event_id_parse(slice_str(text), &id), "%s", text);
        ck_assert(id.is_post && id.serial == 42 && id.seq == 7);
        ck_assert(slice_is(slice_of(id.request_id, id.request_id_n), ids[i]));
        free(name);
    }
    struct event_id id;
    char *name = event_stream_name(9, slice_of(NULL, 0));
    ck_assert_str_eq(name, "g9");
    ck_assert(event_id_parse(SLICE("g9.123"), &id));
    ck_assert(!id.is_post && id.serial == 9 && id.seq == 123 && id.request_id_n == 0);
    free(name);
}
END_TEST

START_TEST(foreign_event_ids_are_refused)
{
    /* The last ones decode to texts that are no ids: true, [1], 1.5, "a" with a newline after it,
     * two values. */
    static const char *const bad[] = {
        "",          "g",           "g1",        "g.1",      "g1.",         "g1.x",
        "g1.1x",     "x1.1",        "p1.1",      "p1-.1",    "p1-M Q.1",    "g-1.1",
        "g1-MQ.1",   "p1-MQ",       "p1-MQ=.1",  "g1.-1",    "p1-dHJ1ZQ.1", "p1-WzFd.1",
        "p1-MS41.1", "p1-ImEiCg.1", "p1-MSAy.1", "p1-____.1"};
    struct event_id id;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(!event_id_parse(slice_str(bad[i]), &id), "%s", bad[i]);
    char longest[800] = "p1-";
    memset(longest + 3, 'A', 700);
    ck_assert(!event_id_parse(slice_of(longest, 705), &id));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front/event_log");
    TCase *t = tcase_create("event_log");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, counts_and_keeps_the_newest);
    tcase_add_test(t, bytes_of_one_stream);
    tcase_add_test(t, bytes_of_one_session_take_from_its_oldest_stream);
    tcase_add_test(t, bytes_of_all_take_from_the_longest_unchanged);
    tcase_add_test(t, a_released_log_goes_with_its_last_event);
    tcase_add_test(t, age_takes_only_what_is_old);
    tcase_add_test(t, mapped_texts_are_kept_by_reference_and_hold_no_heap);
    tcase_add_test(t, small_messages_are_kept_edited);
    tcase_add_test(t, ids_round_trip);
    tcase_add_test(t, foreign_event_ids_are_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
