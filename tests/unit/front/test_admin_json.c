/* The JSON writer of the admin interface: commas, numbers of seconds, points of time. */
#include "front/admin_json.h"

#include <check.h>
#include <stdlib.h>

static struct buf out;
static struct admin_json j;

static void setup(void)
{
    out = (struct buf)BUF_INIT;
    j = (struct admin_json){.out = &out};
}

static void teardown(void)
{
    buf_done(&out);
}

static void expect(const char *text)
{
    struct slice got = buf_peek(&out);
    ck_assert_msg(slice_is(got, text), "%.*s", (int)got.n, got.p);
}

START_TEST(commas_stand_between_members_only)
{
    admin_json_begin(&j, NULL, '{');
    admin_json_begin(&j, "empty", '[');
    admin_json_end(&j, ']');
    admin_json_begin(&j, "two", '[');
    admin_json_u64(&j, NULL, UINT64_MAX);
    admin_json_begin(&j, NULL, '{');
    admin_json_end(&j, '}');
    admin_json_end(&j, ']');
    admin_json_bool(&j, "yes", true);
    admin_json_bool(&j, "no", false);
    admin_json_null(&j, "none");
    admin_json_str(&j, "absent", NULL);
    admin_json_end(&j, '}');
    expect("{\"empty\":[],\"two\":[18446744073709551615,{}],\"yes\":true,\"no\":false,"
           "\"none\":null,\"absent\":null}");
}
END_TEST

START_TEST(text_of_others_is_escaped)
{
    admin_json_str(&j, NULL, "a\"b\\\n\x01\xff");
    expect("\"a\\\"b\\\\\\n\\u0001\xef\xbf\xbd\"");
}
END_TEST

static const struct {
    usec_t span;
    const char *text;
} spans[] = {
    {0, "0"},
    {1, "0.000001"},
    {USEC_PER_SEC, "1"},
    {1500 * USEC_PER_MSEC, "1.5"},
    {10 * USEC_PER_SEC + 20 * USEC_PER_MSEC, "10.02"},
    {UINT64_MAX, "18446744073709.551615"},
};

START_TEST(seconds_are_exact)
{
    admin_json_seconds(&j, NULL, spans[_i].span);
    expect(spans[_i].text);
}
END_TEST

static const struct {
    usec_t wall;
    const char *text;
} walls[] = {
    {0, "\"1970-01-01T00:00:00.000Z\""},
    {UINT64_C(1767323045678999), "\"2026-01-02T03:04:05.678Z\""},
    {UINT64_C(1709164799999999), "\"2024-02-28T23:59:59.999Z\""},
    {UINT64_C(253402300799999999), "\"9999-12-31T23:59:59.999Z\""},
    {UINT64_C(253402300800000000), "null"}, /* RFC 3339 has four digits for the year */
    {UINT64_MAX, "null"},
};

START_TEST(points_of_time_are_rfc_3339)
{
    admin_json_wall(&j, NULL, walls[_i].wall);
    expect(walls[_i].text);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("writer");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, commas_stand_between_members_only);
    tcase_add_test(tc, text_of_others_is_escaped);
    tcase_add_loop_test(tc, seconds_are_exact, 0, sizeof(spans) / sizeof(spans[0]));
    tcase_add_loop_test(tc, points_of_time_are_rfc_3339, 0, sizeof(walls) / sizeof(walls[0]));
    Suite *s = suite_create("admin_json");
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
