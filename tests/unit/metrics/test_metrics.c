/* metrics: every cell of every family counts for itself, histograms know their bounds, and an
 * operation that fits no cell touches none. */
#include "metrics/metrics.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct metrics *server, *process;

static void setup(void)
{
    server = metrics_new(METRIC_SERVER);
    process = metrics_new(METRIC_PROCESS);
}

static void teardown(void)
{
    metrics_free(server);
    metrics_free(process);
    metrics_free(NULL);
}

static struct metrics *set_of(enum metric id)
{
    return metric_info(id)->scope == METRIC_SERVER ? server : process;
}

START_TEST(a_new_set_is_all_zero)
{
    for (enum metric id = 0; id < METRIC_COUNT; id++)
        ck_assert_uint_eq(metrics_sum(set_of(id), id), 0);
    ck_assert_uint_eq(metrics_stray(server), 0);
    ck_assert_uint_eq(metrics_stray(process), 0);
}
END_TEST

/* A different number into each cell first, then a look at all: no cell lies on another. */
START_TEST(every_cell_counts_for_itself)
{
    uint64_t n = 0;

    for (enum metric id = 0; id < METRIC_COUNT; id++)
        for (unsigned cell = 0; cell < metric_info(id)->cells; cell++) {
            n++;
            if (metric_info(id)->kind != METRIC_HISTOGRAM)
                metrics_add(set_of(id), id, cell, n);
            else
                for (uint64_t i = 0; i < n; i++)
                    metrics_observe(set_of(id), id, cell, i * 7 * USEC_PER_SEC);
        }
    n = 0;
    for (enum metric id = 0; id < METRIC_COUNT; id++) {
        uint64_t sum = 0;

        for (unsigned cell = 0; cell < metric_info(id)->cells; cell++) {
            ck_assert_uint_eq(metrics_get(set_of(id), id, cell), ++n);
            sum += n;
        }
        ck_assert_uint_eq(metrics_sum(set_of(id), id), sum);
    }
    ck_assert_uint_eq(metrics_stray(server), 0);
    ck_assert_uint_eq(metrics_stray(process), 0);
}
END_TEST

START_TEST(counters_add_and_wrap)
{
    metrics_inc(server, METRIC_CALLS, METRIC_OUTCOME_FAILED);
    metrics_add(server, METRIC_CALLS, METRIC_OUTCOME_FAILED, 41);
    ck_assert_uint_eq(metrics_get(server, METRIC_CALLS, METRIC_OUTCOME_FAILED), 42);
    ck_assert_uint_eq(metrics_get(server, METRIC_CALLS, METRIC_OUTCOME_ERROR), 0);
    metrics_add(server, METRIC_CALLS, METRIC_OUTCOME_FAILED, UINT64_MAX);
    ck_assert_uint_eq(metrics_get(server, METRIC_CALLS, METRIC_OUTCOME_FAILED), 41);
}
END_TEST

START_TEST(gauges_are_set_and_moved)
{
    metrics_set(server, METRIC_CALLS_RUNNING, 0, 7);
    metrics_set(server, METRIC_CALLS_RUNNING, 0, 3);
    ck_assert_uint_eq(metrics_get(server, METRIC_CALLS_RUNNING, 0), 3);
    metrics_inc(server, METRIC_CALLS_RUNNING, 0);
    metrics_add(server, METRIC_CALLS_RUNNING, 0, (uint64_t)-2);
    ck_assert_uint_eq(metrics_get(server, METRIC_CALLS_RUNNING, 0), 2);
    metrics_set(process, METRIC_SESSIONS, 0, UINT64_MAX);
    ck_assert_uint_eq(metrics_get(process, METRIC_SESSIONS, 0), UINT64_MAX);
}
END_TEST

START_TEST(sets_are_independent)
{
    struct metrics *other = metrics_new(METRIC_SERVER);

    metrics_inc(server, METRIC_CALLS_MOVED, 0);
    ck_assert_uint_eq(metrics_get(other, METRIC_CALLS_MOVED, 0), 0);
    metrics_free(other);
}
END_TEST

START_TEST(no_set_counts_nothing)
{
    metrics_add(NULL, METRIC_CALLS, 0, 1);
    metrics_inc(NULL, METRIC_CALLS, 0);
    metrics_set(NULL, METRIC_CALLS_RUNNING, 0, 1);
    metrics_observe(NULL, METRIC_QUEUE_WAIT, 0, 1);
}
END_TEST

/* Nothing in the set differs from before but the count of strays. */
static void stray(struct metrics *m, const struct metrics *before, uint64_t want)
{
    ck_assert_uint_eq(metrics_stray(m), want);
    ck_assert_mem_eq(m->words, before->words, sizeof(m->words));
}

START_TEST(what_fits_no_cell_is_stray)
{
    static const unsigned beyond[] = {0, 1, 1000, 1U << 31, UINT32_MAX};
    struct metrics before;
    uint64_t n = 0;

    for (unsigned i = 0; i < METRIC_WORDS; i++)
        server->words[i] = i + 1;
    before = *server;
    for (int id = -1; id <= METRIC_COUNT; id++) {
        const struct metric_info *info = metric_info((enum metric)id);

        for (size_t i = 0; i < sizeof(beyond) / sizeof(*beyond); i++) {
            unsigned cell = info && beyond[i] < info->cells ? info->cells : beyond[i];

            metrics_add(server, (enum metric)id, cell, 5);
            stray(server, &before, ++n);
            metrics_set(server, (enum metric)id, cell, 5);
            stray(server, &before, ++n);
            metrics_observe(server, (enum metric)id, cell, 5);
            stray(server, &before, ++n);
            ck_assert_uint_eq(metrics_get(server, (enum metric)id, cell), 0);
        }
    }
    ck_assert_uint_eq(metrics_sum(server, METRIC_COUNT), 0);
    ck_assert_ptr_null(metric_info(METRIC_COUNT));
}
END_TEST

START_TEST(what_does_not_fit_the_kind_or_scope_is_stray)
{
    struct metrics before = *server;

    metrics_add(server, METRIC_SESSIONS_OPENED, 0, 1);
    stray(server, &before, 1);
    metrics_set(server, METRIC_SESSIONS, 0, 1);
    stray(server, &before, 2);
    metrics_set(server, METRIC_CALLS, 0, 1);
    stray(server, &before, 3);
    metrics_add(server, METRIC_QUEUE_WAIT, 0, 1);
    stray(server, &before, 4);
    metrics_set(server, METRIC_QUEUE_WAIT, 0, 1);
    stray(server, &before, 5);
    metrics_observe(server, METRIC_CALLS, 0, 1);
    stray(server, &before, 6);
    metrics_observe(process, METRIC_QUEUE_WAIT, 0, 1);
    ck_assert_uint_eq(metrics_stray(process), 1);
    ck_assert_uint_eq(metrics_get(process, METRIC_QUEUE_WAIT, 0), 0);
}
END_TEST

static const uint64_t *words_of(enum metric id)
{
    return &server->words[metric_places[id].at];
}

START_TEST(bounds_belong_to_their_bucket)
{
    const uint64_t *buckets = words_of(METRIC_QUEUE_WAIT);

    for (size_t i = 0; i < METRIC_BUCKETS - 1; i++) {
        if (i > 0)
            ck_assert_uint_gt(metric_bounds[i], metric_bounds[i - 1]);
        metrics_observe(server, METRIC_QUEUE_WAIT, 0, metric_bounds[i]);
        ck_assert_uint_eq(buckets[i], i == 0 ? 1 : 2);
        metrics_observe(server, METRIC_QUEUE_WAIT, 0, metric_bounds[i] + 1);
        ck_assert_uint_eq(buckets[i], i == 0 ? 1 : 2);
        ck_assert_uint_eq(buckets[i + 1], 1);
    }
    metrics_observe(server, METRIC_QUEUE_WAIT, 0, 0);
    ck_assert_uint_eq(buckets[0], 2);
    ck_assert_uint_eq(metrics_get(server, METRIC_QUEUE_WAIT, 0), 2 * METRIC_BUCKETS - 1);
}
END_TEST

START_TEST(a_sum_does_not_wrap)
{
    const uint64_t *sum = words_of(METRIC_RECOVERY_TIME) + METRIC_BUCKETS;

    metrics_observe(server, METRIC_RECOVERY_TIME, 0, 1500);
    metrics_observe(server, METRIC_RECOVERY_TIME, 0, 1);
    ck_assert_uint_eq(*sum, 1501);
    metrics_observe(server, METRIC_RECOVERY_TIME, 0, UINT64_MAX - 1501);
    ck_assert_uint_eq(*sum, UINT64_MAX);
    metrics_observe(server, METRIC_RECOVERY_TIME, 0, 1);
    ck_assert_uint_eq(*sum, UINT64_MAX);
    metrics_observe(server, METRIC_RECOVERY_TIME, 0, USEC_NEVER);
    ck_assert_uint_eq(*sum, UINT64_MAX);
    ck_assert_uint_eq(metrics_get(server, METRIC_RECOVERY_TIME, 0), 5);
}
END_TEST

/* A pool of a thousand servers should not notice. */
START_TEST(a_set_is_small)
{
    ck_assert_uint_le(sizeof(struct metrics), 4096);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics/metrics");
    TCase *t = tcase_create("metrics");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_new_set_is_all_zero);
    tcase_add_test(t, every_cell_counts_for_itself);
    tcase_add_test(t, counters_add_and_wrap);
    tcase_add_test(t, gauges_are_set_and_moved);
    tcase_add_test(t, sets_are_independent);
    tcase_add_test(t, no_set_counts_nothing);
    tcase_add_test(t, what_fits_no_cell_is_stray);
    tcase_add_test(t, what_does_not_fit_the_kind_or_scope_is_stray);
    tcase_add_test(t, bounds_belong_to_their_bucket);
    tcase_add_test(t, a_sum_does_not_wrap);
    tcase_add_test(t, a_set_is_small);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
