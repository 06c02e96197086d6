/* upstream/tail: the last lines of a server, bounded by number and by bytes. */
#include "upstream/tail.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tail t;

static void setup(void)
{
    tail_init(&t);
}

static void teardown(void)
{
    tail_done(&t);
    ck_assert_uint_eq(t.count, 0);
    ck_assert_uint_eq(t.bytes, 0);
}

static void push(unsigned max, usec_t at, const char *text)
{
    tail_push(&t, max, at, 7, slice_str(text));
}

static const struct tail_line *first(void)
{
    return STAILQ_FIRST(&t.lines);
}

START_TEST(the_last_lines_stay_in_order)
{
    char text[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "line %u", i);
        push(3, i, text);
    }
    ck_assert_uint_eq(t.count, 3);
    ck_assert_uint_eq(t.dropped, 7);
    unsigned want = 7;
    const struct tail_line *l;
    STAILQ_FOREACH (l, &t.lines, link) {
        snprintf(text, sizeof(text), "line %u", want);
        ck_assert_uint_eq(l->n, strlen(text));
        ck_assert_mem_eq(l->text, text, l->n);
        ck_assert_uint_eq(l->at, want);
        ck_assert_int_eq(l->pid, 7);
        want++;
    }
    ck_assert_uint_eq(want, 10);
}
END_TEST

START_TEST(fewer_are_kept_from_the_next_line_on)
{
    for (unsigned i = 0; i < 10; i++)
        push(10, i, "x");
    push(2, 10, "y");
    ck_assert_uint_eq(t.count, 2);
    ck_assert_uint_eq(t.dropped, 9);
    push(0, 11, "z");
    ck_assert_uint_eq(t.count, 0);
    ck_assert_uint_eq(t.dropped, 12);
}
END_TEST

START_TEST(hostile_bytes_are_escaped_and_long_lines_cut)
{
    static char big[100000];
    push(10, 1, "\x1b]0;evil\x07\n\xff");
    ck_assert_uint_eq(first()->n, strlen("\\x1b]0;evil\\x07\\n\\xff"));
    ck_assert_mem_eq(first()->text, "\\x1b]0;evil\\x07\\n\\xff", first()->n);
    memset(big, 1, sizeof(big) - 1);
    push(1, 2, big);
    ck_assert_uint_le(first()->n, TAIL_LINE_MAX);
    ck_assert_uint_gt(first()->n, TAIL_LINE_MAX - 8);
    ck_assert_mem_eq(first()->text + first()->n - 7, "\\x01…", 7);
}
END_TEST

START_TEST(bytes_are_bounded)
{
    static char big[TAIL_LINE_MAX - 3];
    memset(big, 'x', sizeof(big) - 1);
    for (unsigned i = 0; i < 1000; i++) {
        push(10000, i, big);
        ck_assert_uint_le(t.bytes, TAIL_BYTES_MAX);
    }
    ck_assert_uint_gt(t.count, TAIL_BYTES_MAX / TAIL_LINE_MAX - 3);
    ck_assert_uint_eq(t.dropped + t.count, 1000);
    ck_assert_uint_eq(first()->at, t.dropped);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("upstream/tail");
    TCase *tc = tcase_create("tail");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_last_lines_stay_in_order);
    tcase_add_test(tc, fewer_are_kept_from_the_next_line_on);
    tcase_add_test(tc, hostile_bytes_are_escaped_and_long_lines_cut);
    tcase_add_test(tc, bytes_are_bounded);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
