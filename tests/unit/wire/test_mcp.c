/* The vocabulary: names go there and back, and nothing near a name is taken for it. */
#include "wire/mcp.h"

#include "base/util.h"

#include <check.h>
#include <stdio.h>

START_TEST(versions)
{
    for (int v = MCP_2024_11_05; v <= MCP_2026_07_28; v++)
        ck_assert_int_eq(mcp_version_parse(slice_str(mcp_version_name(v))), v);
    ck_assert_str_eq(mcp_version_name(MCP_2025_06_18), "2025-06-18");
    ck_assert_str_eq(mcp_version_name(MCP_VERSION_NONE), "?");
    ck_assert_int_eq(mcp_version_parse(SLICE("")), MCP_VERSION_NONE);
    ck_assert_int_eq(mcp_version_parse(SLICE("2025-06-1")), MCP_VERSION_NONE);
    ck_assert_int_eq(mcp_version_parse(SLICE("2025-06-188")), MCP_VERSION_NONE);
    ck_assert_int_eq(mcp_version_parse(SLICE("2025-06-19")), MCP_VERSION_NONE);
}
END_TEST

START_TEST(modern_versions)
{
    ck_assert(mcp_version_is_modern(SLICE("2026-07-28")));
    ck_assert(mcp_version_is_modern(SLICE("2026-07-29")));
    ck_assert(mcp_version_is_modern(SLICE("9999-99-99")));
    ck_assert(!mcp_version_is_modern(SLICE("2026-07-27")));
    ck_assert(!mcp_version_is_modern(SLICE("2025-11-25")));
    ck_assert(!mcp_version_is_modern(SLICE("v999.0.0")));
    ck_assert(!mcp_version_is_modern(SLICE("2026-07-28 ")));
    ck_assert(!mcp_version_is_modern(SLICE("2026-07-2a")));
    ck_assert(!mcp_version_is_modern(SLICE("2026/07/28")));
    ck_assert(!mcp_version_is_modern(SLICE("99999-9-28")));
    ck_assert(!mcp_version_is_modern(SLICE("")));
}
END_TEST

START_TEST(every_method_there_and_back)
{
    for (int m = MCP_INITIALIZE; m < MCP_METHOD_COUNT; m++) {
        struct slice name = slice_str(mcp_method_name(m));
        char other[64];

        ck_assert_uint_gt(name.n, 3);
        ck_assert_msg(mcp_method_parse(name) == (enum mcp_method)m, "%s", name.p);
        /* one letter changed, one missing, one more */
        for (size_t i = 0; i < name.n; i++) {
            memcpy(other, name.p, name.n);
            other[i] ^= 0x20;
            ck_assert_int_eq(mcp_method_parse(slice_of(other, name.n)), MCP_METHOD_OTHER);
        }
        snprintf(other, sizeof(other), "%ss", name.p);
        ck_assert_int_eq(mcp_method_parse(slice_str(other)), MCP_METHOD_OTHER);
        ck_assert_int_eq(mcp_method_parse(slice_of(name.p, name.n - 1)), MCP_METHOD_OTHER);
    }
    ck_assert_int_eq(mcp_method_parse(SLICE("")), MCP_METHOD_OTHER);
    ck_assert_int_eq(mcp_method_parse(SLICE("?")), MCP_METHOD_OTHER);
    ck_assert_int_eq(mcp_method_parse(SLICE("notifications/something/that/is/quite/long/indeed")),
                     MCP_METHOD_OTHER);
    ck_assert_str_eq(mcp_method_name(MCP_METHOD_OTHER), "?");
    ck_assert_str_eq(mcp_method_name(MCP_METHOD_NONE), "?");
    ck_assert_str_eq(mcp_method_name(MCP_TOOLS_CALL), "tools/call");
    ck_assert_str_eq(mcp_method_name(MCP_N_CANCELLED), "notifications/cancelled");
}
END_TEST

START_TEST(interactive_methods)
{
    int count = 0;

    for (int m = 0; m < MCP_METHOD_COUNT; m++)
        count += mcp_method_is_interactive(m);
    ck_assert_int_eq(count, 3);
    ck_assert(mcp_method_is_interactive(MCP_TOOLS_CALL));
    ck_assert(mcp_method_is_interactive(MCP_PROMPTS_GET));
    ck_assert(mcp_method_is_interactive(MCP_RESOURCES_READ));
}
END_TEST

START_TEST(reading_methods)
{
    static const enum mcp_method reads[] = {MCP_TOOLS_LIST,         MCP_PROMPTS_LIST,
                                            MCP_PROMPTS_GET,        MCP_RESOURCES_LIST,
                                            MCP_RESOURCES_READ,     MCP_RESOURCES_TEMPLATES_LIST,
                                            MCP_COMPLETION_COMPLETE};
    size_t count = 0;

    for (int m = 0; m < MCP_METHOD_COUNT; m++)
        count += mcp_method_is_read(m);
    ck_assert_uint_eq(count, ARRAY_LEN(reads));
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        ck_assert_msg(mcp_method_is_read(reads[i]), "%s", mcp_method_name(reads[i]));
}
END_TEST

START_TEST(log_levels)
{
    for (int l = MCP_LOG_DEBUG; l < MCP_LOG_UNSET; l++)
        ck_assert_int_eq(mcp_log_level_parse(slice_str(mcp_log_level_name(l))), l);
    ck_assert_int_lt(MCP_LOG_WARNING, MCP_LOG_ERROR);
    ck_assert_int_eq(mcp_log_level_parse(SLICE("Warning")), -1);
    ck_assert_int_eq(mcp_log_level_parse(SLICE("warn")), -1);
    ck_assert_int_eq(mcp_log_level_parse(SLICE("")), -1);
    ck_assert_str_eq(mcp_log_level_name(MCP_LOG_UNSET), "?");
}
END_TEST

START_TEST(every_reason_has_name_and_sentence)
{
    for (int r = 0; r < REASON_COUNT; r++) {
        const char *name = reason_name(r), *sentence = reason_sentence(r);

        ck_assert_ptr_nonnull(name);
        ck_assert_ptr_nonnull(sentence);
        ck_assert_uint_gt(strlen(sentence), 5);
        ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        for (int other = 0; other < r; other++)
            ck_assert_str_ne(name, reason_name(other));
    }
    ck_assert_str_eq(reason_name(REASON_UPSTREAM_LOST), "upstream_lost");
    ck_assert_str_eq(reason_name(REASON_VERSION), "version");
    ck_assert_str_eq(reason_name(REASON_COUNT), "?");
    ck_assert_str_eq(reason_sentence(REASON_COUNT), "?");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mcp");
    TCase *tc = tcase_create("vocabulary");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, versions);
    tcase_add_test(tc, modern_versions);
    tcase_add_test(tc, every_method_there_and_back);
    tcase_add_test(tc, interactive_methods);
    tcase_add_test(tc, reading_methods);
    tcase_add_test(tc, log_levels);
    tcase_add_test(tc, every_reason_has_name_and_sentence);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
