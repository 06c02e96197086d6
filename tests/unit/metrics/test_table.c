/* The rows of METRICS: names that OpenMetrics accepts and that no two families share, and values of
 * labels that are those of the rooms which count by them. */
#include "metrics/metrics.h"

#include "base/util.h"
#include "policy/breaker.h"
#include "policy/health.h"
#include "upstream/conn.h"
#include "upstream/server.h"
#include "wire/mcp.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool is_name(const char *s)
{
    return *s >= 'a' && *s <= 'z' && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

START_TEST(families_are_named_as_openmetrics_wants)
{
    static const char *const taken[] = {"_total",  "_created", "_count",  "_sum",
                                        "_bucket", "_info",    "_gcount", "_gsum"};

    for (enum metric id = 0; id < METRIC_COUNT; id++) {
        const struct metric_info *info = metric_info(id);
        char unit[32];

        ck_assert(strncmp(info->name, "mcpool_", 7) == 0 ||
                  (info->scope == METRIC_PROCESS && strncmp(info->name, "process_", 8) == 0));
        ck_assert(is_name(info->name));
        for (size_t i = 0; i < ARRAY_LEN(taken); i++)
            ck_assert_msg(!ends_with(info->name, taken[i]), "%s", info->name);
        snprintf(unit, sizeof(unit), "_%s", info->unit);
        ck_assert_msg(!*info->unit || ends_with(info->name, unit), "%s", info->name);
        /* The renderer turns microseconds into seconds, and leaves bytes alone. */
        ck_assert(!*info->unit || strcmp(info->unit, "seconds") == 0 ||
                  strcmp(info->unit, "bytes") == 0);
        ck_assert(info->kind != METRIC_HISTOGRAM || strcmp(info->unit, "seconds") == 0);
        ck_assert(info->kind != METRIC_INFO || (info->label && !*info->unit));
        /* The two formats would write them differently. */
        ck_assert_ptr_null(strpbrk(info->help, "\"\\\n"));
        ck_assert_msg(ends_with(info->help, "."), "%s", info->name);
    }
}
END_TEST

/* No sample of a family may look like one of another, nor like another family. */
START_TEST(no_two_families_meet)
{
    static const char *const suffixes[] = {"", "_total", "_created", "_count", "_sum", "_bucket"};

    for (enum metric a = 0; a < METRIC_COUNT; a++)
        for (enum metric b = 0; b < METRIC_COUNT; b++)
            for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
                char sample[128];

                snprintf(sample, sizeof(sample), "%s%s", metric_info(a)->name, suffixes[i]);
                ck_assert_msg(a == b || strcmp(sample, metric_info(b)->name) != 0, "%s", sample);
            }
}
END_TEST

START_TEST(labels_have_distinct_values)
{
    for (enum metric id = 0; id < METRIC_COUNT; id++) {
        const struct metric_info *info = metric_info(id);

        ck_assert_uint_eq(info->cells, metric_places[id].cells);
        if (!info->label) {
            ck_assert_uint_eq(info->cells, 1);
            ck_assert_str_eq(info->values[0], "");
            continue;
        }
        ck_assert(is_name(info->label) && strcmp(info->label, "server") != 0 &&
                  strcmp(info->label, "le") != 0);
        if (info->kind == METRIC_INFO)
            continue; /* its value is a text of its own */
        ck_assert_uint_gt(info->cells, 1);
        for (unsigned i = 0; i < info->cells; i++) {
            ck_assert(is_name(info->values[i]));
            for (unsigned k = 0; k < i; k++)
                ck_assert_str_ne(info->values[i], info->values[k]);
        }
    }
}
END_TEST

START_TEST(reasons_are_those_of_the_wire)
{
    static const enum metric by_reason[] = {METRIC_CALL_FAILURES, METRIC_CONNECTIONS_LOST};
    enum reason r = REASON_NONE;

#define CHECK(id, text)                                                                            \
    ck_assert_int_eq(id, r);                                                                       \
    ck_assert_str_eq(text, reason_name(r));                                                        \
    r++;
    METRIC_REASONS(CHECK)
#undef CHECK
    ck_assert_int_eq(r, REASON_COUNT);
    for (size_t i = 0; i < ARRAY_LEN(by_reason); i++) {
        ck_assert_uint_eq(metric_info(by_reason[i])->cells, REASON_COUNT);
        for (r = 0; r < REASON_COUNT; r++)
            ck_assert_str_eq(metric_info(by_reason[i])->values[r], reason_name(r));
    }
}
END_TEST

/* Who sets a gauge of states uses the state itself for the cell. */
START_TEST(states_are_those_of_their_rooms)
{
    ck_assert_int_eq(METRIC_SLOT_IDLE, CONN_IDLE);
    ck_assert_int_eq(METRIC_SLOT_CONNECTING, CONN_CONNECTING);
    ck_assert_int_eq(METRIC_SLOT_HANDSHAKE, CONN_HANDSHAKE);
    ck_assert_int_eq(METRIC_SLOT_READY, CONN_READY);
    ck_assert_int_eq(METRIC_SLOT_CLOSING, CONN_CLOSING);
    ck_assert_int_eq(METRIC_SLOT_WAITING, CONN_WAITING);
    ck_assert_int_eq(METRIC_BREAKER_CLOSED, BREAKER_CLOSED);
    ck_assert_int_eq(METRIC_BREAKER_OPEN, BREAKER_OPEN);
    ck_assert_int_eq(METRIC_BREAKER_HALF_OPEN, BREAKER_HALF_OPEN);
    ck_assert_int_eq(METRIC_MODE_ACTIVE, SERVER_ACTIVE);
    ck_assert_int_eq(METRIC_MODE_DRAIN, SERVER_DRAIN);
    ck_assert_int_eq(METRIC_MODE_MAINT, SERVER_MAINT);
    ck_assert_int_eq(METRIC_HEALTH_UNKNOWN, HEALTH_UNKNOWN);
    ck_assert_int_eq(METRIC_HEALTH_HEALTHY, HEALTH_HEALTHY);
    ck_assert_int_eq(METRIC_HEALTH_DEGRADED, HEALTH_DEGRADED);
    ck_assert_int_eq(METRIC_HEALTH_UNHEALTHY, HEALTH_UNHEALTHY);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics/table");
    TCase *t = tcase_create("table");
    tcase_add_test(t, families_are_named_as_openmetrics_wants);
    tcase_add_test(t, no_two_families_meet);
    tcase_add_test(t, labels_have_distinct_values);
    tcase_add_test(t, reasons_are_those_of_the_wire);
    tcase_add_test(t, states_are_those_of_their_rooms);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
