/* Looking into validated text: members, elements, strings, numbers, ids. */
#include "wire/json.h"

#include "base/util.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void is(struct slice got, const char *want)
{
    ck_assert_msg(slice_is(got, want), "%.*s instead of %s", (int)got.n, got.p, want);
}

START_TEST(types)
{
    static const struct {
        const char *raw;
        enum json_type type;
    } table[] = {
        {"", JSON_NONE},    {"null", JSON_NULL}, {"false", JSON_FALSE}, {"true", JSON_TRUE},
        {"0", JSON_NUMBER}, {"-1", JSON_NUMBER}, {"9e9", JSON_NUMBER},  {"\"\"", JSON_STRING},
        {"[]", JSON_ARRAY}, {"{}", JSON_OBJECT}, {" 1", JSON_NONE},     {",", JSON_NONE},
        {"xyz", JSON_NONE},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        ck_assert_int_eq(json_type_of(slice_str(table[i].raw)), table[i].type);
}
END_TEST

START_TEST(get)
{
    struct slice obj = SLICE("{ \"a\" : 1 , \"b\\\"}\":[ 2, {\"a\":9} ],\"\":\"}\",\n\"c\":{\"d\":"
                             "{\"e\":\"x,y\"}},\"a\":3,\"\\u0066\":true}");

    is(json_get(obj, "a"), "1"); /* the first */
    is(json_get(obj, "b\"}"), "[ 2, {\"a\":9} ]");
    is(json_get(obj, ""), "\"}\"");
    is(json_get(obj, "f"), "true");
    is(json_get(obj, "d"), "");
    is(json_get(obj, "A"), "");
    is(json_get(SLICE("[\"a\",1]"), "a"), "");
    is(json_get(SLICE("\"a\""), "a"), "");
    is(json_get(SLICE(""), "a"), "");
    is(json_path(obj, "c", "d", "e", NULL), "\"x,y\"");
    is(json_path(obj, "c", "x", "e", NULL), "");
    is(json_path(obj, "a", "d", NULL), "");
    is(json_path(obj, "c", NULL), "{\"d\":{\"e\":\"x,y\"}}");
}
END_TEST

START_TEST(iteration)
{
    struct json_iter it = json_iter(SLICE("[ 1,\"a]\" , [2,[3]],{\"k\":[]} ,null ]"));
    static const char *const want[] = {"1", "\"a]\"", "[2,[3]]", "{\"k\":[]}", "null"};
    struct slice key, value;

    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert(json_next_element(&it, &value));
        is(value, want[i]);
    }
    ck_assert(!json_next_element(&it, &value));
    ck_assert(!json_next_element(&it, &value));

    it = json_iter(SLICE("{\"x\":1,\"y\\n\" : {\"z\":2}}"));
    ck_assert(json_next_member(&it, &key, &value));
    is(key, "\"x\"");
    is(value, "1");
    ck_assert(json_next_member(&it, &key, &value));
    is(key, "\"y\\n\"");
    is(value, "{\"z\":2}");
    ck_assert(!json_next_member(&it, &key, &value));

    it = json_iter(SLICE("[]"));
    ck_assert(!json_next_element(&it, &value));
    it = json_iter(SLICE("{ }"));
    ck_assert(!json_next_member(&it, &key, &value));
    it = json_iter(SLICE("12"));
    ck_assert(!json_next_element(&it, &value));
}
END_TEST

/* No answer is promised for text that is no JSON, but it must come, and from within the text. */
START_TEST(broken_text_stays_in_bounds)
{
    static const char *const texts[] = {
        "{",         "{\"",         "{\"a",      "{\"a\"", "{\"a\":",
        "{\"a\":\"", "{\"a\":\"\\", "[",         "[1",     "[1,",
        "[[[[",      "[\"a\\",      "{\"a\":[}", "{a",     "{\"a\":}}",
        "{\"a\" 1",  "{:,:,:,:,:}", "[,,,,,,]",  "]",      "{\"a\":{\"a\":\"\\\"",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        size_t n = strlen(texts[i]), turns = 0;
        char *exact = xmalloc(n + 1);
        struct slice text = slice_of(exact + 1, n), key, value;
        struct json_iter it;
        struct buf out = BUF_INIT;
        double d;

        memcpy(exact + 1, texts[i], n);
        json_get(text, "a");
        json_path(text, "a", "a", "b", NULL);
        for (it = json_iter(text); json_next_member(&it, &key, &value);)
            ck_assert_uint_le(++turns, n);
        for (it = json_iter(text); json_next_element(&it, &value);)
            ck_assert_uint_le(++turns, 2 * n);
        json_string_is(text, "a");
        json_unescape(text, &out, 100);
        json_double(text, &d);
        buf_done(&out);
        free(exact);
    }
}
END_TEST

static void unescapes(const char *raw, const char *want, size_t want_n)
{
    struct buf out = BUF_INIT;

    buf_append_str(&out, "<");
    ck_assert_msg(json_unescape(slice_str(raw), &out, 100), "%s", raw);
    ck_assert_msg(slice_eq(buf_peek(&out), slice_of(want, want_n)), "%s gave %.*s", raw,
                  (int)buf_len(&out), buf_peek(&out).p);
    buf_done(&out);
}
#define UNESCAPES(raw, want) unescapes(raw, "<" want, sizeof("<" want) - 1)

START_TEST(unescape)
{
    struct buf out = BUF_INIT;

    UNESCAPES("\"\"", "");
    UNESCAPES("\"plain \xc3\xa4\"", "plain \xc3\xa4");
    UNESCAPES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
    UNESCAPES("\"\\u0041\\u00e4\\u20AC\\ud83d\\uDE00\"", "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    UNESCAPES("\"a\\u0000b\"", "a\0b");
    UNESCAPES("\"\\ud800\"", "\xef\xbf\xbd");
    UNESCAPES("\"\\udc00x\"", "\xef\xbf\xbdx");
    UNESCAPES("\"\\ud800\\u0041\"", "\xef\xbf\xbd"
                                    "A");
    UNESCAPES("\"\\ud800\\ud800\\udc00\"", "\xef\xbf\xbd\xf0\x90\x80\x80");

    ck_assert(!json_unescape(SLICE("12"), &out, 100));
    ck_assert(!json_unescape(SLICE("\""), &out, 100));
    ck_assert(!json_unescape(SLICE(""), &out, 100));
    ck_assert(!json_unescape(SLICE("\"abcd\""), &out, 3));
    ck_assert(!json_unescape(SLICE("\"ab\\u20ac\""), &out, 4));
    ck_assert_uint_eq(buf_len(&out), 0); /* nothing is left of what did not fit */
    ck_assert(json_unescape(SLICE("\"ab\\u20ac\""), &out, 5));
    ck_assert_uint_eq(buf_len(&out), 5);
    buf_done(&out);
}
END_TEST

START_TEST(strings_compare_by_content)
{
    ck_assert(json_string_is(SLICE("\"tools/call\""), "tools/call"));
    ck_assert(json_string_is(SLICE("\"tools\\/c\\u0061ll\""), "tools/call"));
    ck_assert(json_string_is(SLICE("\"\\ud83d\\ude00\""), "\xf0\x9f\x98\x80"));
    ck_assert(!json_string_is(SLICE("\"tools/call\\u0000\""), "tools/call"));
    ck_assert(!json_string_is(SLICE("\"tools/cal\""), "tools/call"));
    ck_assert(!json_string_is(SLICE("\"tools/calls\""), "tools/call"));
    ck_assert(!json_string_is(SLICE("\"Tools/call\""), "tools/call"));
    ck_assert(!json_string_is(SLICE("tools/call"), "tools/call"));
    ck_assert(!json_string_is(SLICE("\"\\ud800\""), "\xef\xbf\xbd"));
}
END_TEST

START_TEST(j09_ids_compare_by_type_and_value)
{
    static const struct {
        const char *a, *b;
        bool same;
    } table[] = {
        {"1", "1", true},
        {"\"1\"", "\"1\"", true},
        {"\"1\"", "1", false},
        {"\"a\\u0062\"", "\"ab\"", true},
        {"\"\\u0061\\u0062\"", "\"a\\u0062\"", true},
        {"\"\\u00e4\"", "\"\xc3\xa4\"", true},
        {"\"ab\"", "\"abc\"", false},
        {"\"\\ud800\"", "\"\\ud801\"", false}, /* not both "something unprintable" */
        {"\"\\ud800\"", "\"\\ufffd\"", false},
        {"\"\\u0000\"", "\"\"", false},
        {"9007199254740993", "9007199254740992", false},
        {"-0", "0", false},
        {"1", "10", false},
        {"true", "true", false}, /* no ids */
        {"null", "null", false},
        {"", "", false},
        {"\"0123456789abcdef-0123\"", "\"01234567\\u0038\\u0039abcdef-0123\"", true},
        {"\"0123456789abcdef-0123\"", "\"0123456789abcdef-0124\"", false},
        {"\"0123456789abcdef-0123\"", "\"0123456x89abcdef-0123\"", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct slice a = slice_str(table[i].a), b = slice_str(table[i].b);

        ck_assert_msg(json_id_eq(a, b) == table[i].same, "%s and %s", table[i].a, table[i].b);
        ck_assert_msg(json_id_eq(b, a) == table[i].same, "%s and %s", table[i].b, table[i].a);
        if (table[i].same)
            ck_assert_msg(json_id_hash(a) == json_id_hash(b), "%s and %s", table[i].a, table[i].b);
    }
}
END_TEST

/* Longer than ids may be, written plainly and with escapes. */
START_TEST(j09_strings_of_any_length_have_one_hash)
{
    char plain[400] = "\"", escaped[2400] = "\"";
    size_t n = 1, m = 1;

    for (unsigned len = 0; len < 300; len++) {
        plain[n] = escaped[m] = '"';
        ck_assert(json_id_eq(slice_of(plain, n + 1), slice_of(escaped, m + 1)));
        ck_assert_uint_eq(json_id_hash(slice_of(plain, n + 1)),
                          json_id_hash(slice_of(escaped, m + 1)));
        plain[n++] = 'a';
        memcpy(escaped + m, "\\u0061", 6);
        m += 6;
    }
}
END_TEST

/* A hash that says nothing would make no table faster. */
START_TEST(j09_hashes_of_ids_differ)
{
    uint64_t seen[1000];
    char text[32];

    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        snprintf(text, sizeof(text), i % 2 ? "%zu" : "\"session-%zu\"", i);
        seen[i] = json_id_hash(slice_str(text));
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(seen[j] != seen[i], "%zu and %zu", i, j);
    }
}
END_TEST

START_TEST(integers)
{
    static const char *const none[] = {"",
                                       "-1",
                                       "-0",
                                       "1.0",
                                       "1e0",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "a",
                                       "18446744073709551616",
                                       "\"1\"",
                                       "null",
                                       "99999999999999999999999"};
    uint64_t v = 7;

    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        ck_assert_msg(!json_u64(slice_str(none[i]), &v), "%s", none[i]);
        ck_assert_uint_eq(v, 7);
    }
    ck_assert(json_u64(SLICE("0"), &v) && v == 0);
    ck_assert(json_u64(SLICE("9007199254740993"), &v) && v == 9007199254740993u);
    ck_assert(json_u64(SLICE("18446744073709551615"), &v) && v == UINT64_MAX);
}
END_TEST

START_TEST(doubles)
{
    static const char *const none[] = {"",  "\"1\"", "null", "true", "{}",
                                       "-", "0x10",  "1e",   "nan",  "1 "};
    char digits[401];
    double v = 7;

    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        ck_assert_msg(!json_double(slice_str(none[i]), &v), "%s", none[i]);
        ck_assert(v == 7);
    }
    ck_assert(json_double(SLICE("0.5"), &v) && v == 0.5);
    ck_assert(json_double(SLICE("-12e-1"), &v) && v == -1.2);
    ck_assert(json_double(SLICE("1e400"), &v) && isinf(v));
    memset(digits, '1', 400);
    digits[1] = '.';
    ck_assert(json_double(slice_of(digits, 400), &v) && v > 1.1 && v < 1.2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_access");
    TCase *tc = tcase_create("access");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, types);
    tcase_add_test(tc, get);
    tcase_add_test(tc, iteration);
    tcase_add_test(tc, broken_text_stays_in_bounds);
    tcase_add_test(tc, unescape);
    tcase_add_test(tc, strings_compare_by_content);
    tcase_add_test(tc, j09_ids_compare_by_type_and_value);
    tcase_add_test(tc, j09_strings_of_any_length_have_one_hash);
    tcase_add_test(tc, j09_hashes_of_ids_differ);
    tcase_add_test(tc, integers);
    tcase_add_test(tc, doubles);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
