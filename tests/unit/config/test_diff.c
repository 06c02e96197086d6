/* config/diff: every row of the table changed alone is told alone, with what it costs; fates of
 * servers; what a restart alone can change stays as it was. */
#include "config/diff.h"
#include "config/table.h"
#include "unit/config/reading.h"

#include "base/util.h"

#include <inttypes.h>

/* Two values that differ, as they stand in a file. */
struct pair {
    char a[CONFIG_FORMAT_MAX], b[CONFIG_FORMAT_MAX];
};

static void set_pair(struct pair *p, const char *a, const char *b)
{
    snprintf(p->a, sizeof(p->a), "%s", a);
    snprintf(p->b, sizeof(p->b), "%s", b);
}

/* Whoever adds a row with a shape of its own says here what two values of it look like. */
static const struct {
    enum config_section section;
    const char *key, *a, *b;
} shapes[] = {
    {CONFIG_SECTION_TOP, "listen", "[\"127.0.0.1:1\"]", "[\"127.0.0.1:1\", \"unix:/x\"]"},
    {CONFIG_SECTION_TOP, "admin", "\"unix:/a\"", "\"unix:/b\""},
    {CONFIG_SECTION_TOP, "admin_listen", "\"127.0.0.1:1\"", "\"127.0.0.1:2\""},
    {CONFIG_SECTION_TOP, "tokens", "{\"a\": {\"token\": \"0123456789abcdef\"}}",
     "{\"a\": {\"token\": \"0123456789abcdeX\"}}"},
    {CONFIG_SECTION_SERVER, "command", "\"x\"", "\"y\""},
    {CONFIG_SECTION_SERVER, "args", "[\"1\", \"2\"]", "[\"1\", \"2\", \"3\"]"},
    {CONFIG_SECTION_SERVER, "env", "{\"K\": \"1\"}", "{\"K\": \"2\"}"},
    {CONFIG_SECTION_SERVER, "cwd", "\"/a\"", "\"/b\""},
    {CONFIG_SECTION_SERVER, "type", "\"http\"", "\"sse\""},
    {CONFIG_SECTION_SERVER, "url", "\"http://h/a\"", "\"http://h/b\""},
    {CONFIG_SECTION_SERVER, "headers", "{\"K\": \"1\"}", "{\"L\": \"1\"}"},
};

static void values_of(const struct config_row *row, struct pair *p)
{
    char a[CONFIG_FORMAT_MAX], b[CONFIG_FORMAT_MAX];
    switch (row->type) {
    case CONFIG_TYPE_BOOL:
    case CONFIG_TYPE_ENUM:
        set_pair(p, config_row_format(row, 0, a), config_row_format(row, 1, b));
        return;
    case CONFIG_TYPE_FLAGS:
        set_pair(p, config_row_format(row, 1, a), config_row_format(row, 2, b));
        return;
    case CONFIG_TYPE_COUNT:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_RATE:
    case CONFIG_TYPE_DURATION:
        set_pair(p, config_row_format(row, row->min, a), config_row_format(row, row->max, b));
        return;
    case CONFIG_TYPE_CHOICE:
        snprintf(p->a, sizeof(p->a), "\"%s\"", row->values[0]);
        snprintf(p->b, sizeof(p->b), "\"%s\"", row->values[1]);
        return;
    case CONFIG_TYPE_PATH:
        set_pair(p, "\"/a\"", "\"/b\"");
        return;
    case CONFIG_TYPE_HOSTS:
    case CONFIG_TYPE_ORIGINS:
        set_pair(p, "[\"one\"]", "[\"two\"]");
        return;
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_STRINGS:
    case CONFIG_TYPE_MAP:
    case CONFIG_TYPE_LISTEN:
    case CONFIG_TYPE_SECTION:
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
            if (shapes[i].section != row->section || strcmp(shapes[i].key, row->key) != 0)
                continue;
            set_pair(p, shapes[i].a, shapes[i].b);
            return;
        }
        break;
    }
    ck_abort_msg("%s: two values of it are missing in `shapes`", row->key);
}

/* What must stand beside some rows, the same for both values. */
static const char *beside(const struct config_row *row)
{
    static const char *const v[][2] = {
        {"min_connections", ", \"max_connections\": 1000"},
        {"max_connections", ", \"min_connections\": 0"},
        {"backoff_base", ", \"max_backoff_delay\": \"1d\""},
        {"max_backoff_delay", ", \"backoff_base\": \"1ms\""},
        {"max_header_bytes", ", \"max_head_bytes\": \"1MiB\""},
        {"max_head_bytes", ", \"max_header_bytes\": 256"},
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        if (strcmp(row->key, v[i][0]) == 0)
            return v[i][1];
    return "";
}

/* A top of which no key decides the default of another. */
static void append_top(struct buf *b, const struct config_row *row, const char *value)
{
    static const char *const fixed[][2] = {
        {"runtime_dir", "\"/r\""}, {"state_dir", "\"/s\""}, {"admin", "\"unix:/a.sock\""}};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (row->section != CONFIG_SECTION_TOP || strcmp(fixed[i][0], row->key) != 0)
            buf_appendf(b, "\"%s\": %s, ", fixed[i][0], fixed[i][1]);
    if (row->section == CONFIG_SECTION_TOP)
        buf_appendf(b, "\"%s\": %s, ", row->key, value);
    if (row->section != CONFIG_SECTION_LIMITS)
        buf_append_str(b, "\"limits\": {\"spool_dir\": \"/p\"}, ");
}

static bool is_remote(const struct config_row *row)
{
    return strcmp(row->key, "url") == 0 || strcmp(row->key, "headers") == 0 ||
           strcmp(row->key, "type") == 0;
}

/* The row has this value for server "b" alone. */
static void append_entry(struct buf *b, const struct config_row *row, const char *value)
{
    if (is_remote(row))
        buf_append_str(b, strcmp(row->key, "url") == 0 ? "" : "\"url\": \"http://h/\", ");
    else if (strcmp(row->key, "command") != 0)
        buf_append_str(b, "\"command\": \"x\", ");
    if (row->section == CONFIG_SECTION_SERVER || row->section == CONFIG_SECTION_DEFAULTS)
        buf_appendf(b, "\"%s\": %s", row->key, value);
    else
        buf_appendf(b, "\"%s\": {\"%s\": %s%s}", config_section_key(row->section), row->key, value,
                    beside(row));
}

/* A file with servers "a" and "b" in which the row has this value, for all or in the entry of "b".
 */
static char *file_with(const struct config_row *row, const char *value, bool in_server)
{
    struct buf b = BUF_INIT;
    buf_append_str(&b, "{");
    append_top(&b, row, value);
    if (!in_server && row->section != CONFIG_SECTION_TOP)
        buf_appendf(&b, "\"%s\": {%s\"%s\": %s%s}, ", config_section_key(row->section),
                    row->section == CONFIG_SECTION_LIMITS && strcmp(row->key, "spool_dir") != 0
                        ? "\"spool_dir\": \"/p\", "
                        : "",
                    row->key, value, beside(row));
    else if (row->section == CONFIG_SECTION_LIMITS)
        buf_append_str(&b, "\"limits\": {\"spool_dir\": \"/p\"}, ");
    buf_append_str(&b, "\"mcpServers\": {\"a\": {\"command\": \"x\"}, \"b\": {");
    if (in_server)
        append_entry(&b, row, value);
    else
        buf_append_str(&b, "\"command\": \"x\"");
    buf_append_str(&b, "}}}");
    buf_append(&b, "", 1);
    return buf_take(&b, &(size_t){0});
}

static const char *full_key(const struct config_row *row, char *out, size_t n)
{
    bool bare = row->section == CONFIG_SECTION_TOP || row->section == CONFIG_SECTION_SERVER ||
                row->section == CONFIG_SECTION_DEFAULTS;
    snprintf(out, n, "%s%s%s", bare ? "" : config_section_key(row->section), bare ? "" : ".",
             row->key);
    return out;
}

/* Said here a second time on purpose: whoever changes what a change costs must do it twice. */
static enum config_effect expected_effect(const char *key)
{
    static const char *const restart[] = {"runtime_dir",  "state_dir",        "admin",
                                          "admin_listen", "limits.spool_dir", "sharing"};
    static const char *const renew[] = {"type", "command", "args",    "env",
                                        "cwd",  "url",     "headers", "pin_version"};
    for (size_t i = 0; i < ARRAY_LEN(restart); i++)
        if (strcmp(key, restart[i]) == 0)
            return CONFIG_EFFECT_RESTART;
    for (size_t i = 0; i < ARRAY_LEN(renew); i++)
        if (strcmp(key, renew[i]) == 0)
            return CONFIG_EFFECT_RENEW;
    return CONFIG_EFFECT_LIVE;
}

static void expect_change(const struct config_change *v, size_t n, const struct config_row *row)
{
    char key[128];
    full_key(row, key, sizeof(key));
    ck_assert_msg(n == 1, "%s: %zu changes, the first %s", key, n, n ? v[0].key : "none");
    ck_assert_str_eq(v[0].key, key);
    ck_assert_msg(v[0].effect == expected_effect(key), "%s: %s", key,
                  config_effect_name(v[0].effect));
}

static struct reading read_or_fail(const char *text)
{
    struct reading r = read_text(text);
    ck_assert_msg(r.result == 0, "%s\n  has: %s", text, r.errs.n ? r.errs.v[0].text : "?");
    return r;
}

/* Whether the plan from `next` after config_keep says that nothing waits for a restart but what did
 * before, and that everything else is as in the file. */
static void check_keep(const struct config *old, struct config *next, const struct config_row *row)
{
    struct config_plan p;
    config_keep(old, next);
    config_plan_make(old, next, &p);
    bool restart = !row->reloadable;
    ck_assert_msg(config_plan_is_empty(&p) == restart, "%s", row->key);
    for (size_t i = 0; i < next->servers_n && restart; i++) {
        ck_assert_uint_eq(next->servers[i].settings_hash, old->servers[i].settings_hash);
        ck_assert_uint_eq(next->servers[i].identity_hash, old->servers[i].identity_hash);
    }
    config_plan_done(&p);
}

static void check_row(const struct config_row *row, bool in_server)
{
    struct pair v;
    struct config_plan p;
    values_of(row, &v);
    char *before = file_with(row, v.a, in_server), *after = file_with(row, v.b, in_server);
    struct reading old = read_or_fail(before), same = read_or_fail(before),
                   next = read_or_fail(after);

    config_plan_make(old.config, same.config, &p);
    ck_assert_msg(config_plan_is_empty(&p), "%s differs from itself", row->key);
    ck_assert_uint_eq(p.untouched, 2);
    config_plan_done(&p);

    config_plan_make(old.config, next.config, &p);
    ck_assert_uint_eq(p.servers_n, 2);
    ck_assert(!config_plan_is_empty(&p));
    if (!in_server && !row->per_server) {
        expect_change(p.changes, p.changes_n, row);
        ck_assert_uint_eq(p.untouched, 2);
    } else {
        ck_assert_uint_eq(p.changes_n, 0);
        ck_assert_uint_eq(p.changed, in_server ? 1 : 2);
        for (size_t i = in_server; i < 2; i++) {
            ck_assert_int_eq(p.servers[i].fate, CONFIG_SERVER_CHANGED);
            expect_change(p.servers[i].changes, p.servers[i].changes_n, row);
            ck_assert_int_eq(p.servers[i].effect, p.servers[i].changes[0].effect);
        }
        ck_assert_int_eq(p.servers[0].fate,
                         in_server ? CONFIG_SERVER_UNTOUCHED : CONFIG_SERVER_CHANGED);
    }
    config_plan_done(&p);
    check_keep(old.config, next.config, row);
    reading_done(&old);
    reading_done(&same);
    reading_done(&next);
    free(before);
    free(after);
}

START_TEST(each_row_that_changes_alone_is_told_alone)
{
    size_t n, seen = 0;
    const struct config_row *rows = config_rows(&n);
    for (size_t i = 0; i < n; i++) {
        const struct config_row *row = &rows[i];
        if ((row->type == CONFIG_TYPE_SECTION && strcmp(row->key, "tokens") != 0) ||
            strcmp(row->key, "enabled") == 0)
            continue;
        if (row->section != CONFIG_SECTION_SERVER)
            check_row(row, false);
        if (row->section == CONFIG_SECTION_SERVER || row->per_server)
            check_row(row, true);
        seen++;
    }
    ck_assert_uint_gt(seen, 80);
}
END_TEST

/* ---- fates ---- */

static void check_fates(const char *before, const char *after, const char *expected)
{
    struct reading old = read_or_fail(before), next = read_or_fail(after);
    struct config_plan p;
    struct buf b = BUF_INIT;
    config_plan_make(old.config, next.config, &p);
    for (size_t i = 0; i < p.servers_n; i++)
        buf_appendf(&b, "%s%s %s", i ? ", " : "", p.servers[i].name,
                    config_server_fate_name(p.servers[i].fate));
    ck_assert_msg(slice_is(buf_peek(&b), expected), "%.*s\n  not: %s", (int)buf_len(&b),
                  buf_peek(&b).p, expected);
    buf_done(&b);
    config_plan_done(&p);
    reading_done(&old);
    reading_done(&next);
}

#define ENTRY(name, more) "\"" name "\": {\"command\": \"x\"" more "}"
#define FILE1(a)          "{\"mcpServers\": {" a "}}"
#define FILE2(a, b)       "{\"mcpServers\": {" a ", " b "}}"

START_TEST(servers_come_and_go)
{
    check_fates(FILE1(ENTRY("a", "")), FILE2(ENTRY("a", ""), ENTRY("b", "")),
                "a untouched, b added");
    check_fates(FILE2(ENTRY("a", ""), ENTRY("b", "")), FILE1(ENTRY("b", "")),
                "b untouched, a removed");
    check_fates(FILE1(ENTRY("a", "")), FILE1(ENTRY("b", "")), "b added, a removed");
    check_fates(FILE2(ENTRY("a", ""), ENTRY("b", "")), FILE2(ENTRY("b", ""), ENTRY("a", "")),
                "b untouched, a untouched");
}
END_TEST

START_TEST(a_disabled_server_is_as_good_as_none)
{
    const char *on = FILE1(ENTRY("a", "")), *off = FILE1(ENTRY("a", ", \"enabled\": false"));
    check_fates(on, off, "a removed");
    check_fates(off, on, "a added");
    check_fates(off, FILE1(ENTRY("a", ", \"disabled\": true, \"replay\": \"off\"")), "a untouched");
    check_fates(off, FILE1(ENTRY("b", "")), "b added");
}
END_TEST

START_TEST(the_costliest_change_is_the_servers_effect)
{
    struct reading old = read_good(FILE1(ENTRY("a", "")));
    struct reading next = read_good(FILE1(ENTRY(
        "a", ", \"args\": [\"1\"], \"replay\": \"off\", \"resilience\": {\"call_timeout\": 1}")));
    struct config_plan p;
    struct buf b = BUF_INIT;
    config_plan_make(old.config, next.config, &p);
    ck_assert_uint_eq(p.servers[0].changes_n, 3);
    ck_assert_int_eq(p.servers[0].effect, CONFIG_EFFECT_RENEW);
    config_plan_write(&p, &b);
    ck_assert(slice_is(buf_peek(&b),
                       "server a: changed\n"
                       "  resilience.call_timeout: acts at once\n"
                       "  replay: acts at once\n"
                       "  args: its connections are renewed when their calls have ended\n"
                       "0 added, 0 removed, 1 changed, 0 untouched\n"));
    buf_done(&b);
    config_plan_done(&p);
    reading_done(&old);
    reading_done(&next);
}
END_TEST

START_TEST(values_are_never_told)
{
    struct reading old = read_good(FILE1(ENTRY("a", ", \"env\": {\"K\": \"hunter1\"}")));
    struct reading next = read_good(FILE1(ENTRY("a", ", \"env\": {\"K\": \"hunter2\"}")));
    struct config_plan p;
    struct buf b = BUF_INIT;
    config_plan_make(old.config, next.config, &p);
    config_plan_write(&p, &b);
    ck_assert_ptr_null(memmem(buf_peek(&b).p, buf_len(&b), "hunter", 6));
    buf_done(&b);
    config_plan_done(&p);
    reading_done(&old);
    reading_done(&next);
}
END_TEST

/* ---- what stays ---- */

START_TEST(a_new_server_has_its_own_values)
{
    struct reading old = read_good("{\"state_dir\": \"/s\", \"mcpServers\": {"
                                   "\"a\": {\"command\": \"x\"}}}");
    struct reading next =
        read_good("{\"state_dir\": \"/t\", \"runtime_dir\": \"/r\", \"mcpServers\": {"
                  "\"a\": {\"command\": \"y\", \"sharing\": \"exclusive\"}, "
                  "\"b\": {\"command\": \"x\", \"sharing\": \"session\"}}}");
    config_keep(old.config, next.config);
    ck_assert_str_eq(next.config->state_dir, "/s");
    ck_assert_str_eq(next.config->runtime_dir, old.config->runtime_dir);
    ck_assert_str_eq(next.config->admin_path, old.config->admin_path);
    ck_assert_str_eq(next.config->limits.spool_dir, "/s");
    ck_assert_str_eq(next.config->servers[1].limits.spool_dir, "/s");
    ck_assert_str_eq(next.config->servers[0].command, "y");
    ck_assert_int_eq(next.config->servers[0].options.sharing, CONFIG_SHARING_SHARED);
    ck_assert_int_eq(next.config->servers[1].options.sharing, CONFIG_SHARING_SESSION);
    /* What was kept is the snapshot's own. */
    config_unref(old.config);
    old.config = NULL;
    ck_assert_str_eq(next.config->state_dir, "/s");
    reading_done(&old);
    reading_done(&next);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, each_row_that_changes_alone_is_told_alone);
    tcase_add_test(tc, servers_come_and_go);
    tcase_add_test(tc, a_disabled_server_is_as_good_as_none);
    tcase_add_test(tc, the_costliest_change_is_the_servers_effect);
    tcase_add_test(tc, values_are_never_told);
    tcase_add_test(tc, a_new_server_has_its_own_values);
}

int main(void)
{
    return run_cases("diff", add);
}
