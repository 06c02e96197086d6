/* front/era: which messages are handled by the rules of sessions, and how the others are refused.
 */
#include "front/era.h"

#include <check.h>
#include <stdlib.h>

#define CLAIM(v) "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" v "\"}"
#define INIT(params)                                                                               \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{" params "}}"
#define LIST(params)                                                                               \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" params "}}"

static struct era_verdict classify(enum header_version hv, const char *text)
{
    struct rpc_msg m;
    ck_assert_int_eq(rpc_parse(slice_str(text), 32, &m, NULL), RPC_OK);
    return era_classify(hv, slice_str(text), &m);
}

START_TEST(header_values)
{
    static const struct {
        struct slice value;
        enum header_version version;
        enum mcp_version revision;
    } rows[] = {
        {{0}, HEADER_VERSION_ABSENT, MCP_2025_03_26},
        {SLICE_INIT("2025-06-18"), HEADER_VERSION_LEGACY, MCP_2025_06_18},
        {SLICE_INIT("2024-11-05"), HEADER_VERSION_LEGACY, MCP_2024_11_05},
        {SLICE_INIT("2026-07-28"), HEADER_VERSION_MODERN, MCP_2025_03_26},
        {SLICE_INIT("2027-01-01"), HEADER_VERSION_MODERN, MCP_2025_03_26},
        {SLICE_INIT("2025-06-17"), HEADER_VERSION_UNKNOWN, MCP_2025_03_26},
        {SLICE_INIT("v999.0.0"), HEADER_VERSION_UNKNOWN, MCP_2025_03_26},
        {SLICE_INIT(""), HEADER_VERSION_UNKNOWN, MCP_2025_03_26},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        enum mcp_version revision = MCP_VERSION_NONE;
        ck_assert_int_eq(header_version_of(rows[i].value, &revision), rows[i].version);
        ck_assert_int_eq(revision, rows[i].revision);
    }
}
END_TEST

START_TEST(legacy_messages_pass)
{
    static const char *const texts[] = {
        INIT("\"protocolVersion\":\"2025-11-25\""),
        LIST(""),
        LIST("\"_meta\":{\"progressToken\":1}"),
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"\"}}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        ck_assert(classify(HEADER_VERSION_ABSENT, texts[i]).legacy);
        ck_assert(classify(HEADER_VERSION_LEGACY, texts[i]).legacy);
        struct era_verdict v = classify(HEADER_VERSION_MODERN, texts[i]);
        ck_assert(!v.legacy && v.by_header && v.code == MCP_E_INVALID_REQUEST);
    }
    /* Clients send nonsense with initialize; it negotiates anyway. */
    ck_assert(classify(HEADER_VERSION_UNKNOWN, INIT("")).legacy);
    ck_assert(classify(HEADER_VERSION_ABSENT, INIT(CLAIM("2025-11-25"))).legacy);
    ck_assert(!classify(HEADER_VERSION_UNKNOWN, LIST("")).legacy);
}
END_TEST

START_TEST(envelopes_are_refused_without_modern_codes)
{
    static const char *const texts[] = {
        LIST(CLAIM("2026-07-28")),
        LIST(CLAIM("v999.0.0")),
        LIST("\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":7}"),
        INIT(CLAIM("2026-07-28")),
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{" CLAIM(
            "2026-07-28") "}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"server/discover\",\"params\":{" CLAIM(
            "2026-07-28") "}}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        for (int hv = HEADER_VERSION_ABSENT; hv <= HEADER_VERSION_UNKNOWN; hv++) {
            struct era_verdict v = classify((enum header_version)hv, texts[i]);
            ck_assert_msg(!v.legacy, "%s", texts[i]);
            ck_assert(v.code > -32000 || v.code < -32099);
            ck_assert_ptr_nonnull(v.message);
        }
    ck_assert_int_eq(classify(HEADER_VERSION_ABSENT, texts[5]).code, MCP_E_METHOD_NOT_FOUND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front/era");
    TCase *t = tcase_create("era");
    tcase_add_test(t, header_values);
    tcase_add_test(t, legacy_messages_pass);
    tcase_add_test(t, envelopes_are_refused_without_modern_codes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
