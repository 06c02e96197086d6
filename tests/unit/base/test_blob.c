/* base/blob and base/util. */
#include "base/blob.h"
#include "base/util.h"

#include <check.h>
#include <stdlib.h>

static unsigned freed;

static void count_free(struct blob *b)
{
    (void)b;
    freed++;
}

START_TEST(last_reference_frees_once)
{
    struct blob b = {.refs = 1, .n = 3, .p = "abc", .free_fn = count_free};

    ck_assert_ptr_eq(blob_ref(&b), &b);
    blob_ref(&b);
    ck_assert_ptr_null(blob_unref(&b));
    blob_unref(&b);
    ck_assert_uint_eq(freed, 0);
    blob_unref(&b);
    ck_assert_uint_eq(freed, 1);
    ck_assert_ptr_null(blob_unref(NULL));
}
END_TEST

START_TEST(new_copies)
{
    char text[] = "hello";
    struct blob *b = blob_new(text, 5);

    text[0] = 'J';
    ck_assert(slice_is(blob_slice(b), "hello"));
    blob_unref(b);
    b = blob_new(NULL, 0);
    ck_assert_uint_eq(b->n, 0);
    blob_unref(b);
}
END_TEST

START_TEST(alloc_gives_place_to_fill)
{
    char *p;
    struct blob *b = blob_alloc(100000, &p);

    memset(p, 'x', 100000);
    ck_assert_ptr_eq(b->p, p);
    ck_assert_uint_eq(b->n, 100000);
    ck_assert_int_eq(b->p[99999], 'x');
    blob_unref(b);
}
END_TEST

START_TEST(releasing_a_dead_blob_aborts)
{
    struct blob b = {.refs = 0, .free_fn = count_free};

    blob_unref(&b);
}
END_TEST

START_TEST(strndup_stops_at_both_ends)
{
    char raw[3] = {'a', 'b', 'c'}; /* no NUL: n alone must stop the copy */
    char *s = xstrndup(raw, sizeof(raw));

    ck_assert_str_eq(s, "abc");
    free(s);
    s = xstrndup("ab", 100);
    ck_assert_str_eq(s, "ab");
    free(s);
    s = xstrdup("");
    ck_assert_str_eq(s, "");
    free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/blob");
    TCase *tc = tcase_create("blob");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, last_reference_frees_once);
    tcase_add_test(tc, new_copies);
    tcase_add_test(tc, alloc_gives_place_to_fill);
    tcase_add_test_raise_signal(tc, releasing_a_dead_blob_aborts, 6);
    tcase_add_test(tc, strndup_stops_at_both_ends);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
