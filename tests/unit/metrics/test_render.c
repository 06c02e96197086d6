/* metrics/render: the exact text, and the rules of OpenMetrics that a scraper refuses a whole text
 * for: one block per family, every label value escaped, cumulative buckets, "# EOF" at the end. */
#include "metrics/metrics.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct metrics *one, *two, *process;
static enum metrics_format format;
static struct buf out;

static void setup(void)
{
    one = metrics_new(METRIC_SERVER);
    two = metrics_new(METRIC_SERVER);
    process = metrics_new(METRIC_PROCESS);
    format = METRICS_OPENMETRICS;
    out = (struct buf)BUF_INIT;
}

static void teardown(void)
{
    buf_done(&out);
    metrics_free(one);
    metrics_free(two);
    metrics_free(process);
}

/* The text of `n` of the two servers, the first called `name`, as a string. */
static const char *render(const struct metrics *of_process, const char *name, size_t n)
{
    const struct metrics *sets[] = {one, two};
    const char *names[] = {name, "two"};

    buf_reset(&out);
    metrics_render(&out, format, of_process, sets, names, n);
    buf_append(&out, "", 1);
    return out.data + out.head;
}

/* The block of one family within the text: from its TYPE line to the next one. Free it. */
static char *block(const char *text, const char *family)
{
    struct buf head = BUF_INIT;
    const char *at, *end;
    char *copy;

    buf_appendf(&head, "# TYPE %s ", family);
    buf_append(&head, "", 1);
    at = strstr(text, head.data);
    buf_done(&head);
    ck_assert_msg(at, "no family %s in:\n%s", family, text);
    end = strstr(at + 1, "# TYPE ");
    if (!end)
        end = strstr(at, "# EOF\n");
    ck_assert_ptr_nonnull(end);
    copy = xstrndup(at, (size_t)(end - at));
    return copy;
}

static void expect(const char *text, const char *family, const char *want)
{
    char *have = block(text, family);

    ck_assert_str_eq(have, want);
    free(have);
}

START_TEST(nothing_is_still_a_text)
{
    ck_assert_str_eq(render(NULL, NULL, 0), "# EOF\n");
}
END_TEST

START_TEST(the_process_alone)
{
    metrics_set(process, METRIC_SESSIONS, 0, 3);
    metrics_add(process, METRIC_SESSIONS_OPENED, 0, UINT64_MAX);
    metrics_set(process, METRIC_START_TIME, 0, 1753000000 * USEC_PER_SEC + 1203);
    static const char want[] =
        "# TYPE mcpool_sessions gauge\n"
        "# HELP mcpool_sessions Client sessions.\n"
        "mcpool_sessions 3\n"
        "# TYPE mcpool_sessions_opened counter\n"
        "# HELP mcpool_sessions_opened Client sessions that were initialized.\n"
        "mcpool_sessions_opened_total 18446744073709551615\n"
        "# TYPE mcpool_sessions_revived counter\n"
        "# HELP mcpool_sessions_revived Client sessions that were recognised after a restart of "
        "mcpool.\n"
        "mcpool_sessions_revived_total 0\n"
        "# TYPE mcpool_messages_dropped counter\n"
        "# HELP mcpool_messages_dropped Notifications that found no way to their client and no "
        "room to wait.\n"
        "mcpool_messages_dropped_total 0\n"
        "# TYPE mcpool_starts_delayed counter\n"
        "# HELP mcpool_starts_delayed Connection attempts that waited because too many servers "
        "were being started at once.\n"
        "mcpool_starts_delayed_total 0\n"
        "# TYPE mcpool_start_time_seconds gauge\n"
        "# UNIT mcpool_start_time_seconds seconds\n"
        "# HELP mcpool_start_time_seconds When the process started, in Unix time.\n"
        "mcpool_start_time_seconds 1753000000.001203\n"
        "# TYPE mcpool_client_connections gauge\n";
    const char *have = render(process, NULL, 0);
    ck_assert_msg(strncmp(have, want, sizeof(want) - 1) == 0, "%s", have);
    ck_assert_ptr_null(strstr(have, "server="));
}
END_TEST

START_TEST(an_info_is_always_1)
{
    expect(render(process, NULL, 0), "mcpool_build",
           "# TYPE mcpool_build info\n"
           "# HELP mcpool_build What this program is.\n"
           "mcpool_build_info{version=\"" MCPOOL_VERSION "\"} 1\n");
}
END_TEST

START_TEST(bytes_are_counted_as_they_are)
{
    metrics_set(process, METRIC_PROCESS_RESIDENT, 0, 4096000);
    expect(render(process, NULL, 0), "process_resident_memory_bytes",
           "# TYPE process_resident_memory_bytes gauge\n"
           "# UNIT process_resident_memory_bytes bytes\n"
           "# HELP process_resident_memory_bytes Memory of the process that is in RAM.\n"
           "process_resident_memory_bytes 4096000\n");
}
END_TEST

/* The older format: families are called what their samples are called. */
START_TEST(the_text_of_prometheus)
{
    const char *have;

    format = METRICS_PROMETHEUS;
    metrics_set(process, METRIC_START_TIME, 0, 12 * USEC_PER_SEC);
    metrics_inc(one, METRIC_PROBES, METRIC_PROBE_LOST);
    have = render(process, "one", 1);
    ck_assert_ptr_nonnull(strstr(have,
                                 "# TYPE mcpool_probes_total counter\n"
                                 "# HELP mcpool_probes_total Pings of silent connections.\n"
                                 "mcpool_probes_total{server=\"one\",outcome=\"answered\"} 0\n"));
    ck_assert_ptr_nonnull(
        strstr(have, "# TYPE mcpool_start_time_seconds gauge\n"
                     "# HELP mcpool_start_time_seconds When the process started, in Unix time.\n"
                     "mcpool_start_time_seconds 12.000000\n"));
    ck_assert_ptr_nonnull(strstr(have, "# TYPE mcpool_build_info gauge\n"
                                       "# HELP mcpool_build_info What this program is.\n"
                                       "mcpool_build_info{version="));
    ck_assert_ptr_nonnull(strstr(have, "# TYPE mcpool_call_duration_seconds histogram\n"));
    ck_assert_ptr_null(strstr(have, "# EOF"));
    ck_assert_ptr_null(strstr(have, "# UNIT"));
}
END_TEST

START_TEST(servers_stand_together_within_a_family)
{
    metrics_inc(one, METRIC_PROBES, METRIC_PROBE_LOST);
    metrics_add(two, METRIC_PROBES, METRIC_PROBE_ANSWERED, 12);
    expect(render(NULL, "one", 2), "mcpool_probes",
           "# TYPE mcpool_probes counter\n"
           "# HELP mcpool_probes Pings of silent connections.\n"
           "mcpool_probes_total{server=\"one\",outcome=\"answered\"} 0\n"
           "mcpool_probes_total{server=\"one\",outcome=\"missed\"} 0\n"
           "mcpool_probes_total{server=\"one\",outcome=\"lost\"} 1\n"
           "mcpool_probes_total{server=\"two\",outcome=\"answered\"} 12\n"
           "mcpool_probes_total{server=\"two\",outcome=\"missed\"} 0\n"
           "mcpool_probes_total{server=\"two\",outcome=\"lost\"} 0\n");
}
END_TEST

START_TEST(buckets_are_cumulative_and_decimals_exact)
{
    static const usec_t times[] = {0,
                                   1000,
                                   1001,
                                   2500,
                                   2501,
                                   250 * USEC_PER_MSEC,
                                   USEC_PER_SEC,
                                   5 * USEC_PER_SEC,
                                   300 * USEC_PER_SEC,
                                   300 * USEC_PER_SEC + 1};

    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        metrics_observe(one, METRIC_RECOVERY_TIME, 0, times[i]);
    expect(render(NULL, "one", 1), "mcpool_recovery_time_seconds",
           "# TYPE mcpool_recovery_time_seconds histogram\n"
           "# UNIT mcpool_recovery_time_seconds seconds\n"
           "# HELP mcpool_recovery_time_seconds Time from the loss of a connection to its next "
           "completed handshake.\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.001\"} 2\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.0025\"} 4\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.005\"} 5\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.01\"} 5\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.025\"} 5\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.05\"} 5\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.1\"} 5\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.25\"} 6\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"0.5\"} 6\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"1.0\"} 7\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"2.5\"} 7\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"5.0\"} 8\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"10.0\"} 8\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"30.0\"} 8\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"60.0\"} 8\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"300.0\"} 9\n"
           "mcpool_recovery_time_seconds_bucket{server=\"one\",le=\"+Inf\"} 10\n"
           "mcpool_recovery_time_seconds_count{server=\"one\"} 10\n"
           "mcpool_recovery_time_seconds_sum{server=\"one\"} 606.257003\n");
}
END_TEST

START_TEST(a_label_and_le_stand_side_by_side)
{
    char *have;

    metrics_observe(one, METRIC_CALL_DURATION, METRIC_OUTCOME_CANCELLED, UINT64_MAX);
    have = block(render(NULL, "one", 1), "mcpool_call_duration_seconds");
    ck_assert_ptr_nonnull(strstr(have, "\nmcpool_call_duration_seconds_bucket{server=\"one\","
                                       "outcome=\"cancelled\",le=\"300.0\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(have, "\nmcpool_call_duration_seconds_bucket{server=\"one\","
                                       "outcome=\"cancelled\",le=\"+Inf\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(have, "\nmcpool_call_duration_seconds_sum{server=\"one\","
                                       "outcome=\"cancelled\"} 18446744073709.551615\n"));
    free(have);
}
END_TEST

START_TEST(names_of_servers_are_escaped)
{
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"a\"b", "a\\\"b"},
        {"\\", "\\\\"},
        {"a\nb\n", "a\\nb\\n"},
        {"\\n", "\\\\n"},
        {"\r\t\x01", "\r\t\x01"},
        {"\xe2\x82\xac \xf0\x9f\x92\xa5", "\xe2\x82\xac \xf0\x9f\x92\xa5"},
        {"\xff", "\xef\xbf\xbd"},
        {"x\xe2\x82", "x\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\x8ay", "\xef\xbf\xbd\xef\xbf\xbdy"}, /* an overlong newline */
        {"\"} 1\n# EOF\n", "\\\"} 1\\n# EOF\\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf want = BUF_INIT;

        buf_appendf(&want,
                    "# TYPE mcpool_late_answers counter\n"
                    "# HELP mcpool_late_answers Answers of the server that nobody waited for any "
                    "more.\n"
                    "mcpool_late_answers_total{server=\"%s\"} 0\n",
                    cases[i].want);
        buf_append(&want, "", 1);
        expect(render(NULL, cases[i].name, 1), "mcpool_late_answers", want.data);
        buf_done(&want);
    }
}
END_TEST

static const char *suffixes(enum metric_kind kind)
{
    switch (kind) {
    case METRIC_COUNTER:
        return "_total";
    case METRIC_GAUGE:
        return "";
    case METRIC_HISTOGRAM:
        return "_bucket _count _sum";
    case METRIC_INFO:
        return "_info";
    }
    ck_abort();
}

/* Is the line a sample of the family, with one of the suffixes that its kind may have? */
static bool is_sample_of(const struct metric_info *info, const char *line)
{
    size_t n = strlen(info->name), m = strcspn(line, "{ ") - n;
    const char *s = suffixes(info->kind);

    if (strncmp(line, info->name, n) != 0)
        return false;
    for (;; s++) {
        size_t len = strcspn(s, " ");

        if (len == m && strncmp(line + n, s, len) == 0)
            return true;
        s += len;
        if (!*s)
            return false;
    }
}

/* Every family of the table once, in its order, and all samples below their own family. */
START_TEST(families_are_complete_and_not_interleaved)
{
    const char *line = render(process, "one", 2);
    size_t samples = 0, want = 0;
    int id = -1;

    for (; strcmp(line, "# EOF\n") != 0; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            const char *name = metric_info((enum metric)(++id))->name;

            ck_assert(id < METRIC_COUNT);
            ck_assert(strncmp(line + 7, name, strlen(name)) == 0 && line[7 + strlen(name)] == ' ');
        } else if (*line != '#') {
            ck_assert_msg(is_sample_of(metric_info((enum metric)id), line), "%.60s", line);
            samples++;
        }
    }
    ck_assert_int_eq(id, METRIC_COUNT - 1);
    for (enum metric i = 0; i < METRIC_COUNT; i++)
        want += (size_t)metric_info(i)->cells * (metric_info(i)->scope == METRIC_SERVER ? 2 : 1) *
                (metric_info(i)->kind == METRIC_HISTOGRAM ? METRIC_BUCKETS + 2 : 1);
    ck_assert_uint_eq(samples, want);
}
END_TEST

START_TEST(appends_to_what_is_there)
{
    buf_append_str(&out, "before ");
    metrics_render(&out, METRICS_OPENMETRICS, NULL, NULL, NULL, 0);
    ck_assert(slice_is(buf_peek(&out), "before # EOF\n"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics/render");
    TCase *t = tcase_create("render");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, nothing_is_still_a_text);
    tcase_add_test(t, the_process_alone);
    tcase_add_test(t, an_info_is_always_1);
    tcase_add_test(t, bytes_are_counted_as_they_are);
    tcase_add_test(t, the_text_of_prometheus);
    tcase_add_test(t, servers_stand_together_within_a_family);
    tcase_add_test(t, buckets_are_cumulative_and_decimals_exact);
    tcase_add_test(t, a_label_and_le_stand_side_by_side);
    tcase_add_test(t, names_of_servers_are_escaped);
    tcase_add_test(t, families_are_complete_and_not_interleaved);
    tcase_add_test(t, appends_to_what_is_there);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
