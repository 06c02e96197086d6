#include "base/idmap.h"

#include "base/util.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

#define MANY 3000

static char values[MANY];

START_TEST(an_empty_map_has_nothing)
{
    struct idmap m = {0};
    size_t pos = 0;

    ck_assert_ptr_null(idmap_get(&m, 0));
    ck_assert_ptr_null(idmap_find(&m, 7, &pos));
    ck_assert_ptr_null(idmap_take(&m, 7));
    ck_assert_ptr_null(idmap_next(&m, &pos));
    idmap_done(&m);
}
END_TEST

/* Keys as upstream ids are, as hashes are, and such that differ in their highest bits only. */
static const struct {
    uint64_t first, step;
} series[] = {{1, 1}, {0, UINT64_C(0x9e3779b97f4a7c15)}, {5, UINT64_C(1) << 52}, {0, 64}};

START_TEST(what_was_put_is_found_until_it_is_dropped)
{
    struct idmap m = {0};
    uint64_t first = series[_i].first, step = series[_i].step;

    for (unsigned i = 0; i < MANY; i++)
        idmap_put(&m, first + i * step, &values[i]);
    ck_assert_uint_eq(m.count, MANY);
    ck_assert_uint_le(m.cap, 4 * MANY);
    for (unsigned i = 0; i < MANY; i += 3)
        ck_assert_ptr_eq(idmap_take(&m, first + i * step), &values[i]);
    ck_assert_ptr_null(idmap_take(&m, first));
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_ptr_eq(idmap_get(&m, first + i * step), i % 3 ? &values[i] : NULL);
    ck_assert_ptr_null(idmap_get(&m, first + MANY * step));
    ck_assert_uint_eq(m.count, MANY - MANY / 3);
    idmap_done(&m);
    ck_assert_ptr_null(idmap_get(&m, first + step));
}
END_TEST

/* A window that moves on over the map, as calls do, one of which stays. */
START_TEST(a_window_that_moves_on_needs_no_larger_table)
{
    struct idmap m = {0};

    idmap_put(&m, 1, &values[1]);
    for (unsigned i = 2; i < MANY; i++) {
        idmap_put(&m, i, &values[i]);
        if (i > 7)
            ck_assert_ptr_eq(idmap_take(&m, i - 6), &values[i - 6]);
        ck_assert_ptr_eq(idmap_get(&m, 1), &values[1]);
        ck_assert_ptr_eq(idmap_get(&m, i), &values[i]);
    }
    ck_assert_uint_eq(m.cap, 16);
    idmap_done(&m);
}
END_TEST

START_TEST(values_of_one_key_are_told_apart)
{
    struct idmap m = {0};
    bool seen[3] = {false};
    size_t pos = 0;
    char *value;

    for (unsigned i = 0; i < 5; i++)
        idmap_put(&m, i < 3 ? 9 : 10, &values[i]);
    idmap_drop(&m, 9, &values[1]);
    while ((value = idmap_find(&m, 9, &pos)) != NULL) {
        ck_assert_ptr_ne(value, &values[1]);
        ck_assert_uint_lt((size_t)(value - values), ARRAY_LEN(seen));
        ck_assert(!seen[value - values]);
        seen[value - values] = true;
    }
    ck_assert(seen[0] && seen[2]);
    idmap_done(&m);
}
END_TEST

START_TEST(a_walk_meets_each_value_once)
{
    struct idmap m = {0};
    unsigned met[MANY] = {0};
    size_t pos = 0;

    for (unsigned i = 0; i < MANY; i++)
        idmap_put(&m, i / 2, &values[i]);
    for (const char *value; (value = idmap_next(&m, &pos)) != NULL;)
        met[value - values]++;
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_uint_eq(met[i], 1);
    idmap_done(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/idmap");
    TCase *tc = tcase_create("idmap");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, an_empty_map_has_nothing);
    tcase_add_loop_test(tc, what_was_put_is_found_until_it_is_dropped, 0, ARRAY_LEN(series));
    tcase_add_test(tc, a_window_that_moves_on_needs_no_larger_table);
    tcase_add_test(tc, values_of_one_key_are_told_apart);
    tcase_add_test(tc, a_walk_meets_each_value_once);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
