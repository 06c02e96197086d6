/* base/buf. */
#include "base/buf.h"
#include "base/util.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct buf b;

static void setup(void)
{
    b = (struct buf)BUF_INIT;
}

static void teardown(void)
{
    buf_done(&b);
}

START_TEST(empty_buffer_holds_nothing)
{
    size_t n = 1;

    ck_assert_uint_eq(buf_len(&b), 0);
    ck_assert_uint_eq(buf_peek(&b).n, 0);
    buf_consume(&b, 0);
    buf_append(&b, NULL, 0);
    ck_assert_ptr_null(buf_take(&b, &n));
    ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(append_and_consume_keep_order)
{
    buf_append(&b, "hello ", 6);
    buf_append_str(&b, "world");
    buf_append_slice(&b, SLICE("!"));
    ck_assert(slice_is(buf_peek(&b), "hello world!"));
    buf_consume(&b, 6);
    ck_assert(slice_is(buf_peek(&b), "world!"));
    buf_append_str(&b, "?");
    ck_assert(slice_is(buf_peek(&b), "world!?"));
    buf_consume(&b, 7);
    ck_assert_uint_eq(buf_len(&b), 0);
    ck_assert_uint_eq(b.head, 0);
}
END_TEST

/* Against a plain model, with sizes that make the block grow, slide and refill. */
START_TEST(random_walk_equals_model)
{
    uint64_t put = 0, taken = 0, x = 88172645463325252u;
    size_t cap_max = 0;
    bool same = true; /* one check at the end: a ck_assert costs a system call */

    for (int step = 0; step < 200000; step++) {
        size_t n;

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        n = (size_t)(x % 700);
        if (buf_len(&b) < 4096 && (x >> 32 & 1)) {
            char *at = buf_reserve(&b, n + 1);

            for (size_t i = 0; i < n; i++)
                at[i] = (char)(put++ * 31);
            buf_added(&b, n);
        } else {
            struct slice s = buf_peek(&b);

            n = n < s.n ? n : s.n;
            for (size_t i = 0; i < n; i++)
                same &= s.p[i] == (char)(taken++ * 31);
            buf_consume(&b, n);
        }
        same &= buf_len(&b) == put - taken;
        cap_max = b.cap > cap_max ? b.cap : cap_max;
    }
    ck_assert(same);
    ck_assert_uint_gt(taken, 1000000);
    ck_assert_uint_le(cap_max, 32768);
}
END_TEST

START_TEST(shrink_frees_only_when_empty)
{
    buf_append_str(&b, "x");
    buf_shrink(&b);
    ck_assert(slice_is(buf_peek(&b), "x"));
    buf_consume(&b, 1);
    ck_assert_ptr_nonnull(b.data);
    buf_shrink(&b);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.cap, 0);
    buf_append_str(&b, "again");
    ck_assert(slice_is(buf_peek(&b), "again"));
    buf_reset(&b);
    ck_assert_uint_eq(buf_len(&b), 0);
    ck_assert_ptr_nonnull(b.data);
}
END_TEST

START_TEST(take_moves_the_live_bytes)
{
    size_t n;
    char *p;

    buf_append_str(&b, "0123456789");
    buf_consume(&b, 4);
    p = buf_take(&b, &n);
    ck_assert(slice_is(slice_of(p, n), "456789"));
    ck_assert_ptr_null(b.data);
    free(p);
}
END_TEST

START_TEST(u64_prints_all_digits)
{
    static const uint64_t values[] = {0, 9, 10, 99, 100, UINT32_MAX, INT64_MAX, UINT64_MAX};

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char want[32], room[U64_DIGITS];

        snprintf(want, sizeof(want), "%" PRIu64, values[i]);
        buf_reset(&b);
        buf_append_u64(&b, values[i]);
        ck_assert(slice_is(buf_peek(&b), want));
        ck_assert(slice_is(u64_text(values[i], room), want));
    }
}
END_TEST

START_TEST(appendf_grows_for_long_results)
{
    char want[5001];

    memset(want, 'y', 5000);
    want[5000] = '\0';
    buf_append_str(&b, "<");
    buf_appendf(&b, "%s>%d", want, -7);
    ck_assert_uint_eq(buf_len(&b), 5004);
    ck_assert_int_eq(memcmp(buf_peek(&b).p + 1, want, 5000), 0);
    ck_assert(slice_is(slice_of(buf_peek(&b).p + 5001, 3), ">-7"));
    /* Results that exactly fill, and just miss, what is left. */
    for (size_t room = 1; room < 40; room++) {
        buf_done(&b);
        buf_reserve(&b, 256);
        buf_added(&b, 256 - room);
        buf_appendf(&b, "%.20s", want);
        ck_assert_uint_eq(buf_len(&b), 256 - room + 20);
        ck_assert_int_eq(buf_peek(&b).p[buf_len(&b) - 1], 'y');
    }
}
END_TEST

#define REPL "\xef\xbf\xbd"

static const struct {
    struct slice in;
    const char *out;
} json_cases[] = {
    {SLICE_INIT(""), "\"\""},
    {SLICE_INIT("plain"), "\"plain\""},
    {SLICE_INIT("a\"b\\c/"), "\"a\\\"b\\\\c/\""},
    {SLICE_INIT("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\""},
    {SLICE_INIT("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\""},
    {SLICE_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
     "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {SLICE_INIT("a\xff"
                "b"),
     "\"a" REPL "b\""},
    {SLICE_INIT("\xed\xa0\x80"), "\"" REPL REPL REPL "\""},
    {SLICE_INIT("\xe2\x82"), "\"" REPL REPL "\""},
    {SLICE_INIT("\xe2\"\n"), "\"" REPL "\\\"\\n\""},
};

START_TEST(json_string_escapes)
{
    buf_append_json_string(&b, json_cases[_i].in);
    ck_assert_msg(slice_is(buf_peek(&b), json_cases[_i].out), "case %d gave %.*s", _i,
                  (int)buf_len(&b), buf_peek(&b).p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/buf");
    TCase *tc = tcase_create("buf");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, empty_buffer_holds_nothing);
    tcase_add_test(tc, append_and_consume_keep_order);
    tcase_add_test(tc, random_walk_equals_model);
    tcase_add_test(tc, shrink_frees_only_when_empty);
    tcase_add_test(tc, take_moves_the_live_bytes);
    tcase_add_test(tc, u64_prints_all_digits);
    tcase_add_test(tc, appendf_grows_for_long_results);
    tcase_add_loop_test(tc, json_string_escapes, 0, ARRAY_LEN(json_cases));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
