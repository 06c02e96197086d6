/* config/jsonc: the grammar, the positions, and that one text costs linear time. */
#include "config/jsonc.h"
#include "unit/config/reading.h"

#include "base/buf.h"
#include "base/time.h"
#include "base/util.h"

#include <dirent.h>
#include <errno.h>

static struct config_arena *arena;
static struct config_errors errs;

static void setup(void)
{
    arena = arena_new();
    config_errors_init(&errs);
}

static void teardown(void)
{
    arena_free(arena);
    config_errors_done(&errs);
}

static struct jsonc_value *parse_n(const char *text, size_t n)
{
    char *exact = xmalloc(n ? n : 1);
    memcpy(exact, text, n);
    config_errors_done(&errs);
    struct jsonc_value *v = jsonc_parse(slice_of(exact, n), arena, &errs);
    free(exact);
    if (v == NULL)
        ck_assert_uint_ge(errs.errors, 1);
    return v;
}

static struct jsonc_value *parse(const char *text)
{
    return parse_n(text, strlen(text));
}

START_TEST(comments_and_trailing_commas_are_read)
{
    struct jsonc_value *v = parse("// head\r\n/* a * / ** */ { // }\n"
                                  "  \"a\": [1, /*,*/ 2,],\n\t\"b\": {\"c\": null,}, } // end");
    ck_assert_ptr_nonnull(v);
    ck_assert_uint_eq(errs.errors, 0);
    ck_assert_uint_eq(v->n, 2);
    ck_assert_uint_eq(jsonc_member(v, "a")->value->n, 2);
    ck_assert_ptr_nonnull(jsonc_member(jsonc_member(v, "b")->value, "c"));
    ck_assert_ptr_null(jsonc_member(v, "A"));
    ck_assert_ptr_null(jsonc_member(jsonc_member(v, "a")->value, "a"));
}
END_TEST

START_TEST(scalars_have_their_values)
{
    struct jsonc_value *v = parse("[true, false, null, -0.5e+10, \"x\"]")->items;
    ck_assert(v->type == JSONC_BOOL && v->boolean);
    v = v->next;
    ck_assert(v->type == JSONC_BOOL && !v->boolean);
    v = v->next;
    ck_assert_int_eq(v->type, JSONC_NULL);
    v = v->next;
    ck_assert_int_eq(v->type, JSONC_NUMBER);
    ck_assert_uint_eq(v->number.n, strlen("-0.5e+10"));
    v = v->next;
    ck_assert_str_eq(v->string, "x");
}
END_TEST

START_TEST(strings_are_unescaped)
{
    static const char *const pairs[][2] = {
        {"\"\"", ""},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\\uD83D\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\"\xc3\xa9 // no comment /* */\"", "\xc3\xa9 // no comment /* */"},
        {"\"\\u0001\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
         "\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct jsonc_value *v = parse(pairs[i][0]);
        ck_assert_ptr_nonnull(v);
        ck_assert_str_eq(v->string, pairs[i][1]);
    }
}
END_TEST

START_TEST(positions_count_lines_and_characters)
{
    struct jsonc_value *v = parse("{\n  \"\xc3\xa9\xe2\x82\xac\": 1, \"b\": [\r\n\t2]}");
    struct jsonc_member *b = jsonc_member(v, "b");
    ck_assert_uint_eq(v->pos.line, 1);
    ck_assert_uint_eq(v->pos.column, 1);
    ck_assert_uint_eq(b->pos.line, 2);
    ck_assert_uint_eq(b->pos.column, 12);
    ck_assert_uint_eq(b->value->pos.column, 17);
    ck_assert_uint_eq(b->value->items->pos.line, 3);
    ck_assert_uint_eq(b->value->items->pos.column, 2);
}
END_TEST

static const struct {
    const char *text;
    unsigned line, column;
    const char *what;
} faults[] = {
    {"", 1, 1, "the file is empty"},
    {"  // only\n", 2, 1, "expected a value, but the file ends"},
    {"\xef\xbb\xbf{}", 1, 1, "byte order mark"},
    {"{\n \"a\": \"\xc0\xaf\"}", 2, 8, "byte 0xc0 here is not valid UTF-8"},
    {"// \xed\xa0\x80", 1, 4, "not valid UTF-8"},
    {"{} {}", 1, 4, "expected the end of the file, but \"{\" stands here"},
    {"[1 2]", 1, 4, "expected \",\" or \"]\", but \"2\" stands here"},
    {"[1,,2]", 1, 4, "expected a value, but \",\" stands here"},
    {"[,]", 1, 2, "expected a value"},
    {"{,}", 1, 2, "expected a key in double quotes"},
    {"{a: 1}", 1, 2, "expected a key in double quotes, but \"a\" stands here"},
    {"{'a': 1}", 1, 2, "expected a key in double quotes"},
    {"{\"a\" 1}", 1, 6, "expected \":\" after the key"},
    {"{\"a\": }", 1, 7, "expected a value, but \"}\""},
    {"{\"a\": 1", 1, 8, "expected \",\" or \"}\", but the file ends"},
    {"{\"a\": [1}", 1, 9, "expected \",\" or \"]\""},
    {"[tru]", 1, 2, "texts stand in double quotes, but \"tru\" stands here"},
    {"[trues]", 1, 2, "but \"trues\" stands here"},
    {"[NaN]", 1, 2, "\"NaN\" stands here"},
    {"{\"t\": 30s}", 1, 7, "30s is no JSON number; a value with a unit stands in quotes"},
    {"[01]", 1, 2, "01 is no JSON number"},
    {"[1.]", 1, 2, "1. is no JSON number"},
    {"[-]", 1, 2, "- is no JSON number"},
    {"[.5]", 1, 2, "expected a value, but \".\""},
    {"[+1]", 1, 2, "expected a value, but \"+\""},
    {"[0x10]", 1, 2, "0x10 is no JSON number"},
    {"[1e]", 1, 2, "1e is no JSON number"},
    {"[\"a\nb\"]", 1, 2, "this string is not closed on its line"},
    {"[\"a", 1, 2, "not closed"},
    {"[\"a\\", 1, 4, "no such escape"},
    {"[\"a\\\"", 1, 2, "not closed"},
    {"[\"\tb\"]", 1, 3, "written as escapes, this one as \\u0009"},
    {"[\"\\x\"]", 1, 3, "JSON has no such escape"},
    {"[\"\\u12g4\"]", 1, 3, "four hexadecimal digits"},
    {"[\"\\u12", 1, 3, "four hexadecimal digits"},
    {"[\"\\u0000\"]", 1, 3, "NUL"},
    {"[\"\\ud800\"]", 1, 3, "surrogate"},
    {"[\"\\ud800\\u0041\"]", 1, 3, "surrogate"},
    {"[\"\\udc00\\ud800\"]", 1, 3, "surrogate"},
    {"[1 /* never", 1, 4, "this comment is not closed"},
    {"/*/", 1, 1, "this comment is not closed"},
    {"[1] / 2", 1, 5, "expected the end of the file, but \"/\""},
    {"[1\v]", 1, 3, "but \"\\x0b\" stands here"},
};

START_TEST(faults_are_named_where_they_are)
{
    ck_assert_ptr_null(parse(faults[_i].text));
    ck_assert_uint_eq(errs.n, 1);
    if (strstr(errs.v[0].text, faults[_i].what) == NULL)
        ck_abort_msg("%s\n  gives: %s", faults[_i].text, errs.v[0].text);
    ck_assert_uint_eq(errs.v[0].line, faults[_i].line);
    ck_assert_uint_eq(errs.v[0].column, faults[_i].column);
}
END_TEST

START_TEST(nul_bytes_end_nothing)
{
    ck_assert_ptr_null(parse_n("{}\0", 3));
    ck_assert_ptr_nonnull(strstr(errs.v[0].text, "a NUL byte stands here"));
    ck_assert_ptr_null(parse_n("[\"a\0b\"]", 7));
    ck_assert_ptr_nonnull(strstr(errs.v[0].text, "\\u0000"));
}
END_TEST

START_TEST(C03_duplicates_are_errors_and_the_first_stays)
{
    struct jsonc_value *v = parse("{\"a\": 1,\n \"b\": 2, \"\\u0061\": 3,\n \"a\": 4}");
    ck_assert_ptr_nonnull(v);
    ck_assert_uint_eq(errs.errors, 2);
    ck_assert_str_eq(errs.v[0].text, "duplicate key \"a\" (first on line 1)");
    ck_assert_uint_eq(errs.v[0].line, 2);
    ck_assert_uint_eq(errs.v[0].column, 10);
    ck_assert_uint_eq(errs.v[1].line, 3);
    ck_assert_uint_eq(v->n, 2);
    ck_assert_uint_eq(jsonc_member(v, "a")->pos.line, 1);
}
END_TEST

START_TEST(nesting_is_bounded)
{
    char text[2 * JSONC_DEPTH_MAX + 3];
    memset(text, '[', JSONC_DEPTH_MAX);
    memset(text + JSONC_DEPTH_MAX, ']', JSONC_DEPTH_MAX);
    ck_assert_ptr_nonnull(parse_n(text, 2 * JSONC_DEPTH_MAX));
    memset(text, '[', JSONC_DEPTH_MAX + 1);
    memset(text + JSONC_DEPTH_MAX + 1, ']', JSONC_DEPTH_MAX + 1);
    ck_assert_ptr_null(parse_n(text, 2 * JSONC_DEPTH_MAX + 2));
    ck_assert_ptr_nonnull(strstr(errs.v[0].text, "nested more than 32 deep"));
    ck_assert_uint_eq(errs.v[0].column, JSONC_DEPTH_MAX + 1);
}
END_TEST

/* A megabyte on one line: would take minutes if positions or duplicate keys cost the square. */
START_TEST(a_large_text_costs_linear_time)
{
    struct buf b = BUF_INIT;
    usec_t start = clock_monotonic();
    buf_append_str(&b, "{\"a\": [");
    while (buf_len(&b) < 400000)
        buf_append_str(&b, "0,{},\"\xc3\xa9\",");
    buf_append_str(&b, "]");
    for (unsigned i = 0; buf_len(&b) < CONFIG_FILE_MAX - 20; i++)
        buf_appendf(&b, ",\"%x\":%u", i * 2654435761u, i);
    buf_append_str(&b, "}");
    ck_assert_ptr_nonnull(parse_n(buf_peek(&b).p, buf_len(&b)));
    ck_assert_uint_eq(errs.errors, 0);
    buf_done(&b);
    ck_assert_uint_lt(clock_monotonic() - start, 10 * USEC_PER_SEC);
}
END_TEST

START_TEST(thousands_of_duplicates_cost_linear_time)
{
    struct buf b = BUF_INIT;
    buf_append_str(&b, "{\"a\":0");
    for (unsigned i = 0; i < 100000; i++)
        buf_append_str(&b, ",\"a\":0");
    buf_append_str(&b, "}");
    parse_n(buf_peek(&b).p, buf_len(&b));
    ck_assert_uint_eq(errs.errors, 100000);
    ck_assert_uint_eq(errs.n, CONFIG_ERRORS_MAX);
    buf_done(&b);
}
END_TEST

/* ---- JSONTestSuite ---- */

/* What our dialect treats otherwise than RFC 8259: comments and a last comma pass; duplicate keys
 * and NUL do not. */
static bool differs_by_design(const char *name)
{
    static const char *const names[] = {
        "n_array_extra_comma.json",
        "n_array_number_and_comma.json",
        "n_object_trailing_comma.json",
        "n_object_trailing_comment.json",
        "n_object_trailing_comment_slash_open.json",
        "n_structure_object_with_comment.json",
        "y_object_duplicated_key.json",
        "y_object_duplicated_key_and_value.json",
        "y_object_escaped_null_in_key.json",
        "y_string_null_escape.json",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static void check_suite_file(const char *dir, const char *name)
{
    static char text[1 << 20];
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    bool good = parse_n(text, n) != NULL && errs.errors == 0;
    bool expected = (name[0] == 'y') != differs_by_design(name);
    if (name[0] != 'i')
        ck_assert_msg(good == expected, "%s is %s", name, good ? "accepted" : "refused");
}

START_TEST(json_test_suite_is_judged_as_rfc_8259_says)
{
    static const char dir[] = "tests/data/JSONTestSuite";
    DIR *d = opendir(dir);
    unsigned seen = 0;
    ck_assert_msg(d != NULL, "%s: %s", dir, strerror(errno));
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strchr("yni", e->d_name[0]) == NULL || e->d_name[1] != '_')
            continue;
        check_suite_file(dir, e->d_name);
        seen++;
    }
    closedir(d);
    ck_assert_uint_ge(seen, 283);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, comments_and_trailing_commas_are_read);
    tcase_add_test(c, scalars_have_their_values);
    tcase_add_test(c, strings_are_unescaped);
    tcase_add_test(c, positions_count_lines_and_characters);
    tcase_add_loop_test(c, faults_are_named_where_they_are, 0, ARRAY_LEN(faults));
    tcase_add_test(c, nul_bytes_end_nothing);
    tcase_add_test(c, C03_duplicates_are_errors_and_the_first_stays);
    tcase_add_test(c, nesting_is_bounded);
    tcase_add_test(c, a_large_text_costs_linear_time);
    tcase_add_test(c, thousands_of_duplicates_cost_linear_time);
    tcase_add_test(c, json_test_suite_is_judged_as_rfc_8259_says);
}

int main(void)
{
    return run_cases("jsonc", add);
}
