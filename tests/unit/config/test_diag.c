/* config/diag: order, escaping, limits, and what counts as a near miss. */
#include "config/diag.h"
#include "unit/config/reading.h"

#include "base/util.h"

static struct config_errors errs;

static void setup(void)
{
    config_errors_init(&errs);
}

static void teardown(void)
{
    config_errors_done(&errs);
}

static struct config_pos at(unsigned line, unsigned column)
{
    return (struct config_pos){line, column};
}

START_TEST(distances_are_those_of_damerau_and_levenshtein)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } cases[] = {
        {"", "", 0},
        {"abc", "abc", 0},
        {"ABC", "abc", 0},
        {"", "ab", 2},
        {"", "abc", 3},
        {"abc", "abd", 1},
        {"abc", "acb", 1}, /* a swap is one edit */
        {"abc", "bca", 2},
        {"call_timeout", "cal_timeuot", 2},
        {"kitten", "sitting", 3},
        {"ca", "abc", 3}, /* optimal string alignment: no edit inside a swap */
        {"abcdefgh", "ijklmnop", 3},
    };
    char longer[70];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_uint_eq(diag_distance(cases[i].a, cases[i].b), cases[i].distance);
        ck_assert_uint_eq(diag_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
    memset(longer, 'a', sizeof(longer));
    longer[64] = '\0';
    ck_assert_uint_eq(diag_distance(longer, longer), 0);
    longer[64] = 'a', longer[65] = '\0';
    ck_assert_uint_eq(diag_distance(longer, longer), 3);
}
END_TEST

START_TEST(the_nearest_candidate_wins_if_it_is_near)
{
    struct diag_nearest n = DIAG_NEAREST("max_batches");
    diag_nearest_offer(&n, "max_sessions");
    ck_assert_ptr_null(n.best);
    diag_nearest_offer(&n, "max_batch");
    diag_nearest_offer(&n, "max_batche");
    diag_nearest_offer(&n, "max_batch");
    ck_assert_str_eq(n.best, "max_batche");
    n = DIAG_NEAREST("url");
    diag_nearest_offer(&n, "env"); /* two of three letters: not what was meant */
    ck_assert_ptr_null(n.best);
}
END_TEST

START_TEST(messages_come_in_the_order_of_the_file)
{
    diag_error(&errs, at(3, 1), "c");
    diag_warning(&errs, at(1, 9), "b");
    diag_error(&errs, at(1, 2), "a");
    diag_error(&errs, at(3, 1), "d");
    diag_error(&errs, at(0, 0), "whole");
    diag_sort(&errs);
    const char *expected[] = {"whole", "a", "b", "c", "d"};
    ck_assert_uint_eq(errs.n, 5);
    for (size_t i = 0; i < 5; i++)
        ck_assert_str_eq(errs.v[i].text, expected[i]);
    ck_assert(errs.v[2].warning && !errs.v[1].warning);
}
END_TEST

START_TEST(what_a_terminal_would_act_upon_is_escaped)
{
    diag_error(&errs, at(1, 1), "%s", "a\x1b[31m\n\x7f\xc2\x9b \xc3\xa9 \xe2\x80\xae \xff \\ %n");
    ck_assert_str_eq(errs.v[0].text,
                     "a\\x1b[31m\\x0a\\x7f\\xc2\\x9b \xc3\xa9 \\xe2\\x80\\xae \\xff \\ %n");
}
END_TEST

START_TEST(texts_are_cut_between_characters)
{
    char text[2001];
    struct diag_quote q;
    text[0] = 'x';
    for (size_t i = 1; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[1999] = '\0';
    diag_error(&errs, at(1, 1), "%s", text);
    ck_assert_uint_ge(strlen(errs.v[0].text), 450);
    ck_assert_uint_le(strlen(errs.v[0].text), 500);
    ck_assert_ptr_null(strchr(errs.v[0].text, '\\'));
    diag_quote(&q, text);
    ck_assert_uint_lt(strlen(q.text), sizeof(q.text));
    ck_assert_str_eq(q.text + strlen(q.text) - 5, "\xc3\xa9...");
    ck_assert_str_eq(diag_quote(&q, "short"), "short");
}
END_TEST

START_TEST(more_messages_than_room_are_counted)
{
    char *out = NULL;
    size_t n = 0;
    for (unsigned i = 0; i < 50; i++)
        diag_error(&errs, at(i + 1, 1), "e");
    for (unsigned i = 0; i < 22; i++)
        diag_warning(&errs, at(i + 1, 1), "w");
    ck_assert_uint_eq(errs.n, CONFIG_ERRORS_MAX + CONFIG_WARNINGS_MAX);
    ck_assert_uint_eq(errs.errors, 50);
    ck_assert_uint_eq(errs.warnings, 22);
    errs.path = xstrdup("a\nb");
    FILE *f = open_memstream(&out, &n);
    config_errors_write(&errs, f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(out, "a\\x0ab:20:1: error: e\n"));
    ck_assert_ptr_nonnull(strstr(out, "a\\x0ab: note: 32 more not shown\n"));
    free(out);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, distances_are_those_of_damerau_and_levenshtein);
    tcase_add_test(c, the_nearest_candidate_wins_if_it_is_near);
    tcase_add_test(c, messages_come_in_the_order_of_the_file);
    tcase_add_test(c, what_a_terminal_would_act_upon_is_escaped);
    tcase_add_test(c, texts_are_cut_between_characters);
    tcase_add_test(c, more_messages_than_room_are_counted);
}

int main(void)
{
    return run_cases("diag", add);
}
