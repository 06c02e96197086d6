/* config/table: every row holds what it promises, from file to member, for all servers and for one.
 */
#include "config/table.h"
#include "unit/config/reading.h"

#include "base/util.h"

#include <inttypes.h>

static const struct config_row *rows;
static size_t rows_n;

static void setup(void)
{
    rows = config_rows(&rows_n);
}

static bool is_number(const struct config_row *row)
{
    return row->type <= CONFIG_TYPE_FLAGS;
}

static bool has_range(const struct config_row *row)
{
    return row->type >= CONFIG_TYPE_COUNT && row->type <= CONFIG_TYPE_DURATION;
}

static const void *global_base(const struct config *c, enum config_section section)
{
    const void *base = config_section_struct(c, section);
    ck_assert_msg(base, "no such section");
    return base;
}

static const void *server_base(const struct server_config *s, enum config_section section)
{
    if (section == CONFIG_SECTION_LIMITS)
        return &s->limits;
    if (section == CONFIG_SECTION_RESILIENCE)
        return &s->resilience;
    ck_assert_int_eq(section, CONFIG_SECTION_DEFAULTS);
    return &s->options;
}

/* A file in which the row has this value, for all servers or in the entry of server "b". Rows that
 * must not exceed one another get room through `extra`. */
static char *file_with(const struct config_row *row, const char *value, bool in_server)
{
    const char *section = config_section_key(row->section);
    const char *extra = "";
    char *text;
    int n;
    if (strcmp(row->key, "min_connections") == 0)
        extra = ", \"max_connections\": 1000";
    else if (strcmp(row->key, "max_connections") == 0)
        extra = ", \"min_connections\": 0";
    else if (strcmp(row->key, "backoff_base") == 0)
        extra = ", \"max_backoff_delay\": \"1d\"";
    else if (strcmp(row->key, "max_backoff_delay") == 0)
        extra = ", \"backoff_base\": \"1ms\"";
    else if (strcmp(row->key, "max_header_bytes") == 0)
        extra = ", \"max_head_bytes\": \"1MiB\"";
    else if (strcmp(row->key, "max_head_bytes") == 0)
        extra = ", \"max_header_bytes\": 256";
    if (!in_server && *section == '\0')
        n = asprintf(&text, "{\"%s\": %s, \"mcpServers\": {\"a\": {\"command\": \"x\"}}}", row->key,
                     value);
    else if (!in_server)
        n = asprintf(&text,
                     "{\"mcpServers\": {\"a\": {\"command\": \"x\"}}, \"%s\": {\"%s\": %s%s}}",
                     section, row->key, value, extra);
    else if (row->section == CONFIG_SECTION_DEFAULTS)
        n = asprintf(&text,
                     "{\"mcpServers\": {\"a\": {\"command\": \"x\"}, \"b\": {\"command\": \"x\", "
                     "\"%s\": %s}}}",
                     row->key, value);
    else
        n = asprintf(&text,
                     "{\"mcpServers\": {\"a\": {\"command\": \"x\"}, \"b\": {\"command\": \"x\", "
                     "\"%s\": {\"%s\": %s%s}}}}",
                     section, row->key, value, extra);
    ck_assert_int_gt(n, 0);
    return text;
}

START_TEST(rows_are_complete)
{
    for (size_t i = 0; i < rows_n; i++) {
        const struct config_row *row = &rows[i];
        size_t n = strlen(row->help);
        ck_assert_msg(n > 10 && row->help[n - 1] == '.', "%s: no help", row->key);
        ck_assert_msg(strstr(row->help, "  ") == NULL, "%s: two blanks in the help", row->key);
        ck_assert_ptr_eq(config_row_find(row->section, row->key), row);
        if (has_range(row)) {
            ck_assert_msg(row->min < row->max, "%s: empty range", row->key);
            ck_assert_msg((row->def >= row->min && row->def <= row->max) ||
                              (row->def == 0 && row->zero != NULL),
                          "%s: default out of range", row->key);
            ck_assert_msg(row->zero == NULL || row->min > 0, "%s: zero twice", row->key);
        }
        if (row->type == CONFIG_TYPE_COUNT)
            ck_assert_msg(row->unit != NULL && row->max <= UINT32_MAX, "%s: unit, max", row->key);
        if (!is_number(row) && row->type != CONFIG_TYPE_SECTION)
            ck_assert_msg(row->def_text != NULL, "%s: no default text", row->key);
        for (size_t k = i + 1; k < rows_n; k++) {
            ck_assert_msg(rows[k].section != row->section || rows[k].type > CONFIG_TYPE_ORIGINS ||
                              row->type > CONFIG_TYPE_ORIGINS || rows[k].offset != row->offset,
                          "%s and %s share a member", row->key, rows[k].key);
        }
    }
    ck_assert_ptr_null(config_row_find(CONFIG_SECTION_TOP, "max_batch"));
}
END_TEST

START_TEST(an_empty_file_gives_the_defaults)
{
    struct reading r = read_good("{\"mcpServers\": {\"a\": {\"command\": \"x\"}}}");
    for (size_t i = 0; i < rows_n; i++) {
        if (!is_number(&rows[i]))
            continue;
        ck_assert_uint_eq(config_row_value(&rows[i], global_base(r.config, rows[i].section)),
                          rows[i].def);
        if (rows[i].per_server)
            ck_assert_uint_eq(
                config_row_value(&rows[i], server_base(r.config->servers, rows[i].section)),
                rows[i].def);
    }
    reading_done(&r);
}
END_TEST

/* The figures that other texts promise: resilience.md section 1, protocol.md 8.2. */
START_TEST(the_documented_defaults_hold)
{
    struct reading r = read_good("{\"mcpServers\": {}}");
    const struct config_resilience *x = &r.config->resilience;
    const struct config_limits *l = &r.config->limits;
    ck_assert_uint_eq(x->min_connections, 1);
    ck_assert_uint_eq(x->max_connections, 10);
    ck_assert_uint_eq(x->backoff_base, 1 * USEC_PER_SEC);
    ck_assert_uint_eq(x->max_backoff_delay, 60 * USEC_PER_SEC);
    ck_assert_uint_eq(x->recovery_jitter_max, 5 * USEC_PER_SEC);
    ck_assert_uint_eq(x->max_retry_attempts, 10);
    ck_assert_uint_eq(x->recovery_interval, 10 * USEC_PER_SEC);
    ck_assert_uint_eq(x->health_check_interval, 30 * USEC_PER_SEC);
    ck_assert_uint_eq(x->circuit_breaker_threshold, 5);
    ck_assert_uint_eq(x->circuit_breaker_timeout, 60 * USEC_PER_SEC);
    ck_assert_uint_eq(x->operation_timeout, 30 * USEC_PER_SEC);
    ck_assert_uint_eq(x->call_timeout, 300 * USEC_PER_SEC);
    ck_assert_uint_eq(x->queue_timeout, 20 * USEC_PER_SEC);
    ck_assert_uint_eq(x->force_recovery_interval, 300 * USEC_PER_SEC);
    ck_assert_uint_eq(x->stable_after, 10 * USEC_PER_SEC);
    ck_assert_uint_eq(l->max_request_bytes, 4 << 20);
    ck_assert_uint_eq(l->max_response_bytes, 32 << 20);
    ck_assert_uint_eq(l->stream_above, 256 << 10);
    ck_assert_uint_eq(l->spool_memory, 16 << 20);
    ck_assert_uint_eq(l->max_head_bytes, 16 << 10);
    ck_assert_uint_eq(l->max_header_bytes, 8 << 10);
    ck_assert_uint_eq(l->json_depth, 128);
    ck_assert_uint_eq(l->max_batch, 64);
    ck_assert_uint_eq(l->max_sessions, 10000);
    ck_assert_uint_eq(l->max_sessions_per_principal, 10000);
    ck_assert_uint_eq(l->max_in_flight_per_session, 64);
    ck_assert_uint_eq(l->max_in_flight_per_principal, 256);
    ck_assert_uint_eq(l->progress_per_second, 20);
    ck_assert_uint_eq(l->max_classes, 8);
    ck_assert_uint_eq(l->max_asks_per_session, 64);
    ck_assert_uint_eq(l->queue_length, 256);
    ck_assert_uint_eq(l->event_buffer_events, 256);
    ck_assert_uint_eq(l->event_buffer_bytes, 1 << 20);
    ck_assert_uint_eq(l->event_buffer_session_bytes, 4 << 20);
    ck_assert_uint_eq(l->event_buffer_ttl, 300 * USEC_PER_SEC);
    ck_assert_uint_eq(l->keepalive_interval, 15 * USEC_PER_SEC);
    ck_assert_uint_eq(l->session_idle_timeout, 24 * 3600 * USEC_PER_SEC);
    ck_assert_uint_eq(l->slow_reader_bytes, 8 << 20);
    ck_assert_uint_eq(l->drain_timeout, 30 * USEC_PER_SEC);
    ck_assert_uint_eq(l->shutdown_grace, 2 * USEC_PER_SEC);
    ck_assert_uint_eq(l->max_connections_per_peer, 0);
    ck_assert_int_eq(r.config->log_level, LOG_LEVEL_INFO);
    ck_assert_int_eq(r.config->defaults.sharing, CONFIG_SHARING_SHARED);
    ck_assert_uint_eq(r.config->defaults.client_features,
                      CONFIG_FEATURE_ELICITATION | CONFIG_FEATURE_SAMPLING);
    ck_assert_ptr_null(r.config->defaults.pin_version);
    reading_done(&r);
}
END_TEST

/* Reads the row's value v for all servers, or for one, and finds it where it belongs and nowhere
 * else. */
static void check_value(const struct config_row *row, uint64_t v, bool in_server)
{
    char value[CONFIG_FORMAT_MAX];
    char *text = file_with(row, config_row_format(row, v, value), in_server);
    struct reading r = read_text(text);
    /* A key without effect says so, and nothing else is said. */
    ck_assert_msg(r.errs.n == row->inert, "%s\n  has: %s", text, r.errs.n ? r.errs.v[0].text : "");
    if (row->inert)
        ck_assert_ptr_nonnull(strstr(r.errs.v[0].text, "has no effect in this version"));
    uint64_t global = config_row_value(row, global_base(r.config, row->section));
    ck_assert_msg(global == (in_server ? row->def : v), "%s: %" PRIu64, text, global);
    if (row->per_server) {
        const struct server_config *s = r.config->servers;
        uint64_t first = config_row_value(row, server_base(s, row->section));
        ck_assert_msg(first == (in_server ? row->def : v), "%s: server a has %" PRIu64, text,
                      first);
        if (in_server) {
            ck_assert_uint_eq(config_row_value(row, server_base(s + 1, row->section)), v);
            if (v != row->def)
                ck_assert_uint_ne(s[0].settings_hash, s[1].settings_hash);
            ck_assert_uint_eq(s[0].identity_hash, s[1].identity_hash);
        }
    }
    reading_done(&r);
    free(text);
}

START_TEST(the_ends_of_each_range_are_read)
{
    for (size_t i = 0; i < rows_n; i++) {
        uint64_t last = rows[i].max;
        if (!is_number(&rows[i]))
            continue;
        if (rows[i].type == CONFIG_TYPE_ENUM || rows[i].type == CONFIG_TYPE_FLAGS) {
            for (last = 0; rows[i].values[last + 1] != NULL; last++) {
            }
            if (rows[i].type == CONFIG_TYPE_FLAGS)
                last = ((uint64_t)2 << last) - 1;
        }
        check_value(&rows[i], rows[i].min, false);
        check_value(&rows[i], last, false);
        if (rows[i].zero != NULL)
            check_value(&rows[i], 0, false);
        if (rows[i].per_server) {
            check_value(&rows[i], rows[i].min, true);
            check_value(&rows[i], last, true);
        }
    }
}
END_TEST

static void expect_refusal(const struct config_row *row, const char *value, const char *what)
{
    char *text = file_with(row, value, false);
    struct reading r = read_text(text);
    ck_assert_msg(r.errs.errors >= 1, "%s is read", text);
    const struct config_diag *d = r.errs.v;
    while (d->warning)
        d++;
    ck_assert_msg(strstr(d->text, row->key) != NULL, "%s", d->text);
    ck_assert_msg(strstr(d->text, what) != NULL, "%s: %s", text, d->text);
    ck_assert_uint_eq(d->line, 1);
    reading_done(&r);
    free(text);
}

/* v in the smallest unit that the row has. */
static void exact_value(const struct config_row *row, uint64_t v, char *out, size_t n)
{
    if (row->type == CONFIG_TYPE_COUNT)
        snprintf(out, n, "%" PRIu64, v);
    else
        snprintf(out, n, "\"%" PRIu64 "%s\"", v, row->type == CONFIG_TYPE_DURATION ? "us" : "B");
}

START_TEST(C04_values_beyond_the_range_are_refused)
{
    char value[64];
    for (size_t i = 0; i < rows_n; i++) {
        const struct config_row *row = &rows[i];
        if (!has_range(row))
            continue;
        exact_value(row, row->max + 1, value, sizeof(value));
        expect_refusal(row, value, "must be between");
        if (row->min > 1 || (row->min == 1 && row->zero == NULL)) {
            exact_value(row, row->min - 1, value, sizeof(value));
            expect_refusal(row, value, "must be between");
        }
        expect_refusal(row, "-1", "must be between");
        expect_refusal(row, "1e30", "must be between");
    }
}
END_TEST

START_TEST(values_of_another_type_are_refused)
{
    static const char *const values[] = {"null", "{}",      "[]",        "true",
                                         "\"\"", "\"zzz\"", "1.00000001"};
    for (size_t i = 0; i < rows_n; i++) {
        const struct config_row *row = &rows[i];
        if (!is_number(row) && row->type != CONFIG_TYPE_CHOICE)
            continue;
        for (size_t k = 0; k < ARRAY_LEN(values); k++) {
            if ((row->type == CONFIG_TYPE_BOOL && strcmp(values[k], "true") == 0) ||
                (row->type == CONFIG_TYPE_FLAGS && strcmp(values[k], "[]") == 0))
                continue;
            expect_refusal(row, values[k], "");
        }
        if (row->type == CONFIG_TYPE_FLAGS)
            expect_refusal(row, "[1]", "must be an array");
    }
}
END_TEST

START_TEST(rows_that_are_not_per_server_are_refused_there)
{
    char value[CONFIG_FORMAT_MAX];
    for (size_t i = 0; i < rows_n; i++) {
        if (rows[i].section != CONFIG_SECTION_LIMITS || rows[i].per_server || !is_number(&rows[i]))
            continue;
        char *text = file_with(&rows[i], config_row_format(&rows[i], rows[i].def, value), true);
        struct reading r = read_text(text);
        ck_assert_uint_ge(r.errs.errors, 1); /* two where file_with names a partner */
        for (size_t k = 0; k < r.errs.n; k++)
            ck_assert_ptr_nonnull(strstr(r.errs.v[k].text, "cannot differ between servers"));
        reading_done(&r);
        free(text);
    }
}
END_TEST

static void add(TCase *c)
{
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, rows_are_complete);
    tcase_add_test(c, an_empty_file_gives_the_defaults);
    tcase_add_test(c, the_documented_defaults_hold);
    tcase_add_test(c, the_ends_of_each_range_are_read);
    tcase_add_test(c, C04_values_beyond_the_range_are_refused);
    tcase_add_test(c, values_of_another_type_are_refused);
    tcase_add_test(c, rows_that_are_not_per_server_are_refused_there);
}

int main(void)
{
    return run_cases("table", add);
}
