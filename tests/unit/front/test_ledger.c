/* The ledger is judged after every single store of every transition: the process may die there. */
#include "io/trace.h"

static void stored(void);
#undef TRACE_SET
#define TRACE_SET(field, value)                                                                    \
    do {                                                                                           \
        __atomic_store_n(&(field), (value), __ATOMIC_RELEASE);                                     \
        stored();                                                                                  \
    } while (0)
/* NOLINTNEXTLINE(bugprone-suspicious-include): its stores must be those above */
#include "../../../src/front/ledger.c"

#include <check.h>
#include <stdio.h>

#define RECORDS 4

static void *mem;
static size_t size;
static struct ledger *l;
static struct ledger_record *r;
static void (*watch)(void);
static unsigned stores;

static void stored(void)
{
    stores++;
    if (watch)
        watch();
}

static void setup(void)
{
    size = ledger_size(RECORDS);
    mem = aligned_alloc(64, (size + 63) / 64 * 64);
    ck_assert_ptr_nonnull(mem);
    memset(mem, 0, size);
    l = ledger_open(mem, size, true);
    ck_assert_ptr_nonnull(l);
    r = ledger_take(l, "listener", 1);
    watch = NULL;
    stores = 0;
}

static void teardown(void)
{
    watch = NULL;
    ledger_close(l);
    free(mem);
}

/* As the stream does it, at one go. */
static void read_bytes(struct ledger_record *rec, const char *bytes, size_t n)
{
    struct stream_io *io = ledger_io(l);
    io->owner = rec->io.serial;
    io->at = rec->io.received;
    memcpy(io->bytes, bytes, n);
    rec->io.received += n;
}

static void sent(struct ledger_record *rec, uint64_t total)
{
    rec->io.sent = rec->io.flushed = rec->io.target = total;
}

static struct ledger_verdict judged(struct ledger_record *rec)
{
    struct ledger_verdict v;
    ledger_judge(l, rec, &v);
    return v;
}

static void ck_fate(struct ledger_record *rec, enum ledger_fate fate)
{
    struct ledger_verdict v = judged(rec);
    ck_assert_msg(v.fate == fate, "fate %d instead of %d: %s", v.fate, fate, v.why ? v.why : "");
}

static void ck_open(const struct ledger_verdict *v, unsigned n, const char *first)
{
    ck_assert_uint_eq(v->open_n, n);
    if (n)
        ck_assert(slice_is(v->open[0], first));
}

/* ---- the whole ---- */

START_TEST(what_is_no_ledger_of_this_version_is_not_opened)
{
    struct header *h = mem;
    ck_assert_ptr_null(ledger_open(mem, 64, false));
    ck_assert_ptr_null(ledger_open(mem, size - 1, false));
    h->version++;
    ck_assert_ptr_null(ledger_open(mem, size, false));
    h->version--;
    h->records = UINT32_MAX;
    ck_assert_ptr_null(ledger_open(mem, size, false));
    h->records = RECORDS;
    h->touched = RECORDS + 1;
    ck_assert_ptr_null(ledger_open(mem, size, false));
    h->touched = 1;
    h->magic ^= 1;
    ck_assert_ptr_null(ledger_open(mem, size, false));
    h->magic ^= 1;
    struct ledger *again = ledger_open(mem, size, false);
    ck_assert_ptr_nonnull(again);
    ck_assert_uint_eq(ledger_records(again), RECORDS);
    ledger_close(again);
}
END_TEST

/* In a file with holes, a look at a record that was never taken would give it memory. */
START_TEST(records_that_were_never_taken_are_not_looked_at)
{
    bool used[RECORDS] = {false};
    ck_assert_ptr_eq(ledger_take(l, "x", 1), ledger_at(l, 1));
    ledger_at(l, 2)->io.serial = 7; /* which only a look would find */
    ledger_at(l, 2)->spill_n = 7;
    ledger_sweep(l, used);
    ledger_spill_reset(l);
    ck_assert_uint_eq(ledger_at(l, 1)->io.serial, 0);
    ck_assert_uint_eq(ledger_at(l, 2)->io.serial, 7);
    ck_assert_uint_eq(ledger_at(l, 2)->spill_n, 7);
}
END_TEST

START_TEST(a_record_is_used_once_and_never_under_the_same_serial)
{
    uint64_t serial = r->io.serial;
    struct ledger_record *all[RECORDS] = {r};
    for (unsigned i = 1; i < RECORDS; i++)
        ck_assert_ptr_nonnull(all[i] = ledger_take(l, "x", 1));
    ck_assert_ptr_null(ledger_take(l, "x", 1));
    ledger_free(l, r);
    ck_assert_ptr_eq(ledger_take(l, "x", 1), r);
    ck_assert_uint_ne(r->io.serial, serial);
    bool used[RECORDS] = {[2] = true};
    ledger_free(l, all[3]);
    ((struct header *)mem)->next_serial = 0;
    ck_assert_ptr_eq(ledger_take(l, "x", 1), all[3]);
    ck_assert_uint_ne(all[3]->io.serial, 0);
    ledger_sweep(l, used);
    for (unsigned i = 0; i < RECORDS; i++)
        ck_assert_int_eq(ledger_at(l, i)->io.serial != 0, i == 2);
    ck_assert_ptr_null(ledger_at(l, RECORDS));
}
END_TEST

/* ---- HTTP ---- */

static void request(uint64_t end, const char *id)
{
    ledger_request(r, r->io.sent, LEDGER_KEEP_ALIVE);
    if (id)
        ledger_id_add(r, slice_str(id), NULL, NULL, end);
    ledger_commit(r, end);
}

/* As http_reply: a response of n bytes is queued whole. */
static void respond(uint64_t n)
{
    uint64_t at = r->io.sent;
    TRACE_SET(r->status, 200);
    TRACE_SET(r->answer_at, at);
    TRACE_SET(r->end_at, at + n);
}

START_TEST(a_request_waits_for_its_answer_until_its_last_byte_is_sent)
{
    r->speech = LEDGER_HTTP;
    ck_fate(r, LEDGER_IDLE);
    read_bytes(r, "GET /", 5);
    request(5, "1");
    struct ledger_verdict v = judged(r);
    ck_assert_int_eq(v.fate, LEDGER_ANSWER);
    ck_open(&v, 1, "1");
    respond(100);
    ck_fate(r, LEDGER_ANSWER);
    r->io.sent = 60;
    ck_fate(r, LEDGER_CLOSE);
    sent(r, 100);
    ck_fate(r, LEDGER_IDLE);
}
END_TEST

START_TEST(a_response_that_was_cut_off_closes_even_when_the_next_request_has_begun)
{
    r->speech = LEDGER_HTTP;
    read_bytes(r, "12345", 5);
    request(2, "1");
    respond(100);
    ledger_request(r, 100, 0);
    ledger_id_add(r, SLICE("2"), NULL, NULL, 5);
    ledger_commit(r, 5);
    ck_fate(r, LEDGER_CLOSE);
    sent(r, 100);
    struct ledger_verdict v = judged(r);
    ck_assert_int_eq(v.fate, LEDGER_ANSWER);
    ck_open(&v, 1, "2");
}
END_TEST

static const char *expected_rest;

/* At each moment the request is input yet, or waits for its answer; never both, never neither. */
static void one_request(void)
{
    struct ledger_verdict v = judged(r);
    if (v.fate == LEDGER_IDLE) {
        ck_assert(!v.lost);
        ck_assert_msg(slice_is(v.rest, expected_rest), "rest is \"%.*s\"", (int)v.rest.n, v.rest.p);
        ck_open(&v, 0, NULL);
    } else {
        ck_assert_int_eq(v.fate, LEDGER_ANSWER);
        ck_assert_uint_eq(v.rest.n, 0);
        ck_open(&v, 2, "\"new\"");
    }
}

START_TEST(dying_between_any_two_stores_of_a_request_leaves_it_input_or_in_flight)
{
    r->speech = LEDGER_HTTP;
    read_bytes(r, "old", 3);
    request(3, "\"old\"");
    respond(10);
    sent(r, 10);
    read_bytes(r, "request", 7);
    expected_rest = "request";
    stores = 0;
    watch = one_request;
    one_request();
    ledger_request(r, 10, LEDGER_KEEP_ALIVE | LEDGER_BATCH);
    ledger_id_add(r, SLICE("\"new\""), NULL, NULL, 10);
    ledger_id_add(r, SLICE("2"), NULL, NULL, 10);
    ledger_commit(r, 10);
    ck_assert_uint_gt(stores, 15);
    ck_fate(r, LEDGER_ANSWER);
}
END_TEST

static void still_in_flight(void)
{
    struct ledger_verdict v = judged(r);
    ck_assert_int_eq(v.fate, LEDGER_ANSWER);
    ck_open(&v, 1, "7");
}

START_TEST(dying_while_a_response_is_queued_leaves_the_request_in_flight)
{
    r->speech = LEDGER_HTTP;
    read_bytes(r, "x", 1);
    request(1, "7");
    watch = still_in_flight;
    respond(50);
}
END_TEST

START_TEST(an_event_stream_is_open_between_events_and_knows_what_was_answered)
{
    r->speech = LEDGER_HTTP;
    read_bytes(r, "x", 1);
    ledger_request(r, 0, LEDGER_BATCH);
    ledger_id_add(r, SLICE("1"), NULL, NULL, 1);
    ledger_id_add(r, SLICE("2"), NULL, NULL, 1);
    ledger_commit(r, 1);
    r->answer_at = 0;
    r->stream_at = 40;
    ck_fate(r, LEDGER_ANSWER);
    sent(r, 20); /* even if nothing more was queued, a head is no place to stop */
    ck_fate(r, LEDGER_CLOSE);
    sent(r, 40);
    struct ledger_verdict v = judged(r);
    ck_assert_int_eq(v.fate, LEDGER_STREAM);
    ck_open(&v, 2, "1");
    ledger_id_answered(r, SLICE("1"), true, 40, 90);
    v = judged(r);
    ck_open(&v, 2, "1");
    r->io.sent = 70;
    ck_fate(r, LEDGER_CLOSE);
    sent(r, 90);
    v = judged(r);
    ck_assert_int_eq(v.fate, LEDGER_STREAM);
    ck_open(&v, 1, "2");
    ledger_id_drop(r, SLICE("2"));
    v = judged(r);
    ck_open(&v, 0, NULL);
    r->end_at = 95;
    sent(r, 95);
    ck_fate(r, LEDGER_IDLE);
}
END_TEST

START_TEST(what_came_of_a_system_call_is_known)
{
    struct stream_io *io = ledger_io(l);
    r->speech = LEDGER_HTTP;
    read_bytes(r, "x", 1);
    request(1, "7");
    respond(50);
    r->io.target = 50;
    r->io.writing = 1;
    io->write_base = 0;
    io->write.msg_len = STREAM_IO_NOTHING;
    ck_fate(r, LEDGER_ANSWER);
    io->write.msg_len = 50;
    ck_fate(r, LEDGER_IDLE);
    io->write.msg_len = 49;
    ck_fate(r, LEDGER_CLOSE);
    io->write.msg_len = 50;
    r->io.sent = 50; /* noted, but the mark is still there */
    ck_fate(r, LEDGER_IDLE);
    r->io.reading = 1;
    io->read_base = 1;
    io->owner = r->io.serial;
    io->at = 1;
    memcpy(io->bytes, "more", 4);
    io->read.msg_len = STREAM_IO_NOTHING;
    ck_assert_uint_eq(judged(r).received, 1);
    io->read.msg_len = 4;
    struct ledger_verdict v = judged(r);
    ck_assert_uint_eq(v.received, 5);
    ck_assert(slice_is(v.rest, "more"));
}
END_TEST

/* ---- input ---- */

START_TEST(input_is_lost_once_another_connection_was_read)
{
    struct ledger_record *other = ledger_take(l, "x", 1);
    r->speech = LEDGER_LINE;
    read_bytes(r, "{\"jso", 5);
    struct ledger_verdict v = judged(r);
    ck_assert(!v.lost && slice_is(v.rest, "{\"jso"));
    read_bytes(other, "abc", 3);
    v = judged(r);
    ck_assert(v.lost && !v.partial);
    r->partial_at = 5;
    v = judged(r);
    ck_assert(v.lost && v.partial);
}
END_TEST

START_TEST(spilled_input_counts_for_the_place_where_it_was_left)
{
    struct ledger_record *other = ledger_take(l, "x", 1);
    read_bytes(r, "abcdef", 6);
    read_bytes(other, "-", 1);
    r->taken = 2;
    ck_assert(judged(r).lost);
    ck_assert(ledger_spill(l, r, SLICE("cdef")));
    ck_assert(slice_is(judged(r).rest, "cdef"));
    r->taken = 3;
    ck_assert(judged(r).lost);
    r->taken = 2;
    r->spill_off = UINT64_MAX - 1;
    ck_assert(judged(r).lost);
    ledger_spill_reset(l);
    r->spill_off = 0;
    ck_assert(judged(r).lost);
}
END_TEST

START_TEST(a_spill_that_does_not_fit_is_refused)
{
    char *much = calloc(1, SPILL_BYTES);
    ck_assert(ledger_spill(l, r, slice_of(much, SPILL_BYTES - 1)));
    ck_assert(!ledger_spill(l, r, SLICE("ab")));
    ck_assert(ledger_spill(l, r, SLICE("a")));
    free(much);
}
END_TEST

/* ---- requests of line and SSE clients ---- */

START_TEST(seats_are_used_again_only_when_the_answer_was_sent)
{
    char id[16];
    r->speech = LEDGER_LINE;
    r->io.received = r->taken = 1000;
    for (int i = 0; i < LEDGER_IDS; i++) {
        snprintf(id, sizeof(id), "%d", i);
        ledger_id_add(r, slice_str(id), NULL, NULL, 10);
    }
    ck_assert_uint_eq(judged(r).open_n, LEDGER_IDS);
    ledger_id_add(r, SLICE("99"), NULL, NULL, 10);
    ck_fate(r, LEDGER_CLOSE); /* one more than is noted */
    ledger_id_answered(r, SLICE("99"), true, 0, 10);
    ck_fate(r, LEDGER_DUPLEX);
    ledger_id_answered(r, SLICE("3"), true, 10, 20);
    ledger_id_add(r, SLICE("98"), NULL, NULL, 10);
    ck_fate(r, LEDGER_CLOSE);
    ledger_id_drop(r, SLICE("98"));
    sent(r, 20);
    ledger_id_add(r, SLICE("98"), NULL, NULL, 10);
    struct ledger_verdict v = judged(r);
    ck_assert_int_eq(v.fate, LEDGER_DUPLEX);
    ck_assert_uint_eq(v.open_n, LEDGER_IDS);
    ck_assert(slice_is(v.open[3], "98"));
}
END_TEST

START_TEST(an_id_that_is_too_long_is_in_flight_unlisted)
{
    char id[LEDGER_ID_BYTES + 2];
    memset(id, '1', sizeof(id));
    r->speech = LEDGER_LINE;
    ledger_id_add(r, slice_of(id, sizeof(id)), NULL, NULL, 0);
    ck_fate(r, LEDGER_CLOSE);
    ledger_id_answered(r, slice_of(id, sizeof(id)), true, 0, 10);
    ck_fate(r, LEDGER_DUPLEX);
}
END_TEST

START_TEST(a_request_that_another_connection_brought_counts_with_that_one)
{
    struct ledger_record *post = ledger_take(l, "x", 1);
    r->speech = LEDGER_SSE;
    r->stream_at = 0;
    ledger_id_add(r, SLICE("5"), l, post, 40);
    ck_assert_uint_eq(judged(r).open_n, 0);
    post->io.received = 40;
    ledger_commit(post, 40);
    ck_assert_uint_eq(judged(r).open_n, 1);
    ledger_free(l, post);
    ck_assert_uint_eq(judged(r).open_n, 1);
}
END_TEST

START_TEST(a_request_that_is_read_again_is_not_noted_twice)
{
    r->speech = LEDGER_LINE;
    ledger_id_add(r, SLICE("4"), NULL, NULL, 0);
    ledger_id_add(r, SLICE("5"), NULL, NULL, 10); /* the process dies before it is committed */
    ledger_forget_uncounted(l, r);
    ck_assert_uint_eq(judged(r).open_n, 1);
    ledger_id_add(r, SLICE("5"), NULL, NULL, 10);
    read_bytes(r, "0123456789", 10);
    ledger_commit(r, 10);
    ledger_id_answered(r, SLICE("5"), true, 0, 20);
    sent(r, 20);
    struct ledger_verdict v = judged(r);
    ck_open(&v, 1, "4");
}
END_TEST

START_TEST(an_event_stream_whose_head_was_not_sent_is_a_request_without_an_answer)
{
    r->speech = LEDGER_SSE;
    read_bytes(r, "x", 1);
    ledger_request(r, 10, 0);
    ledger_commit(r, 1);
    r->answer_at = 10;
    r->stream_at = 200;
    sent(r, 10);
    ck_fate(r, LEDGER_ANSWER);
    sent(r, 300);
    ck_fate(r, LEDGER_DUPLEX);
}
END_TEST

START_TEST(the_same_id_twice_is_answered_twice)
{
    r->speech = LEDGER_LINE;
    ledger_id_add(r, SLICE("5"), NULL, NULL, 0);
    ledger_id_add(r, SLICE("5"), NULL, NULL, 0);
    ledger_id_answered(r, SLICE("5"), true, 0, 10);
    sent(r, 10);
    struct ledger_verdict v = judged(r);
    ck_open(&v, 1, "5");
}
END_TEST

/* ---- what nobody of ours wrote ---- */

START_TEST(what_makes_no_sense_is_closed)
{
    r->speech = LEDGER_LINE;
    ledger_id_add(r, SLICE("5"), NULL, NULL, 0);
    struct ledger_record good = *r;
    static const char *const bad[] = {"x", "{}", "\"", "[1]", "5,", "nul"};
    ck_fate(r, LEDGER_DUPLEX);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        memcpy(r->ids[0].bytes, bad[i], strlen(bad[i]));
        r->ids[0].n = (uint32_t)strlen(bad[i]);
        ck_fate(r, LEDGER_CLOSE);
    }
    *r = good;
    r->ids[0].n = LEDGER_ID_BYTES + 1;
    ck_fate(r, LEDGER_CLOSE);
    *r = good;
    r->seats = LEDGER_IDS + 1;
    ck_fate(r, LEDGER_CLOSE);
    *r = good;
    r->speech = 77;
    ck_fate(r, LEDGER_CLOSE);
    *r = good;
    memset(r->session, 'a', sizeof(r->session));
    ck_fate(r, LEDGER_CLOSE);
    *r = good;
    memcpy(r->route, "a\nb", 4);
    ck_fate(r, LEDGER_CLOSE);
    *r = good;
    r->taken = 1;
    ck_fate(r, LEDGER_CLOSE);
    *r = good;
    r->adoptions = LEDGER_ADOPTIONS_MAX;
    ck_fate(r, LEDGER_CLOSE);
    ledger_commit(r, 0);
    ck_fate(r, LEDGER_DUPLEX);
}
END_TEST

static uint64_t random_state = 88172645463325252U;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Values near those that mean something are worth more than any. */
static uint64_t tempting(void)
{
    static const uint64_t values[] = {0,  1,  2,  40, 65536,    UINT32_MAX,    LEDGER_NEVER,
                                      16, 17, 72, 73, 1U << 24, UINT64_MAX - 1};
    return values[next_random() % ARRAY_LEN(values)];
}

START_TEST(no_bytes_whatever_lead_out_of_the_ledger)
{
    struct ledger_verdict v;
    unsigned seen[LEDGER_DUPLEX + 1] = {0};
    for (int round = 0; round < 30000; round++) {
        struct layout *at = mem;
        uint64_t *words = (uint64_t *)r;
        size_t n = sizeof(*r) / sizeof(*words);
        if (round % 8 == 0) {
            memset(r, 0, sizeof(*r));
            r->io.serial = 1;
            r->speech = (uint32_t)(next_random() % 4);
        }
        for (int i = 0; i < 3; i++)
            words[next_random() % n] = next_random() % 4 ? tempting() : next_random();
        at->io.owner = r->io.serial;
        at->io.at = tempting();
        at->io.read.msg_len = (uint32_t)tempting();
        at->io.write.msg_len = (uint32_t)tempting();
        at->io.read_base = tempting();
        at->io.write_base = tempting();
        ledger_judge(l, r, &v);
        seen[v.fate]++;
        unsigned sum = 0; /* reads every byte that it points to */
        for (size_t i = 0; i < v.rest.n; i++)
            sum += (unsigned char)v.rest.p[i];
        ck_assert_uint_le(v.open_n, LEDGER_IDS);
        for (unsigned k = 0; k < v.open_n; k++)
            for (size_t i = 0; i < v.open[k].n; i++)
                sum += (unsigned char)v.open[k].p[i];
        ck_assert_uint_lt(sum, UINT32_MAX);
    }
    ck_assert_uint_gt(seen[LEDGER_CLOSE], 0);
    ck_assert_uint_gt(seen[LEDGER_IDLE], 0);
    ck_assert_uint_gt(seen[LEDGER_DUPLEX], 0);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("ledger");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_is_no_ledger_of_this_version_is_not_opened);
    tcase_add_test(tc, records_that_were_never_taken_are_not_looked_at);
    tcase_add_test(tc, a_record_is_used_once_and_never_under_the_same_serial);
    tcase_add_test(tc, a_request_waits_for_its_answer_until_its_last_byte_is_sent);
    tcase_add_test(tc, a_response_that_was_cut_off_closes_even_when_the_next_request_has_begun);
    tcase_add_test(tc, dying_between_any_two_stores_of_a_request_leaves_it_input_or_in_flight);
    tcase_add_test(tc, dying_while_a_response_is_queued_leaves_the_request_in_flight);
    tcase_add_test(tc, an_event_stream_is_open_between_events_and_knows_what_was_answered);
    tcase_add_test(tc, what_came_of_a_system_call_is_known);
    tcase_add_test(tc, input_is_lost_once_another_connection_was_read);
    tcase_add_test(tc, spilled_input_counts_for_the_place_where_it_was_left);
    tcase_add_test(tc, a_spill_that_does_not_fit_is_refused);
    tcase_add_test(tc, seats_are_used_again_only_when_the_answer_was_sent);
    tcase_add_test(tc, an_id_that_is_too_long_is_in_flight_unlisted);
    tcase_add_test(tc, a_request_that_another_connection_brought_counts_with_that_one);
    tcase_add_test(tc, a_request_that_is_read_again_is_not_noted_twice);
    tcase_add_test(tc, an_event_stream_whose_head_was_not_sent_is_a_request_without_an_answer);
    tcase_add_test(tc, the_same_id_twice_is_answered_twice);
    tcase_add_test(tc, what_makes_no_sense_is_closed);
    tcase_add_test(tc, no_bytes_whatever_lead_out_of_the_ledger);
    Suite *s = suite_create("ledger");
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
