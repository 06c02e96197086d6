/* Answers for clients of older revisions than the server's. */
#include "proxy/internal.h"
#include "world.h"

static char *reworded(enum mcp_method method, enum mcp_version version, const char *text)
{
    struct rpc_msg m;
    struct buf out = BUF_INIT;
    ck_assert_int_eq(rpc_parse(slice_str(text), 128, &m, NULL), RPC_OK);
    if (!downgrade_answer(method, version, slice_str(text), &m, &out)) {
        ck_assert_uint_eq(buf_len(&out), 0);
        return NULL;
    }
    ck_assert_int_eq(rpc_parse(buf_peek(&out), 128, &m, NULL), RPC_OK);
    buf_append(&out, "", 1);
    return buf_take(&out, &(size_t){0});
}

static const char mixed[] =
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
    "{\"type\":\"audio\",\"data\":\"AAAABBBB\",\"mimeType\":\"audio/wav\"},"
    "{\"uri\":\"file:///"
    "\\u00e9\",\"type\":\"resource_link\",\"name\":\"e\"},{\"type\":\"image\",\"data\":\"\"}],"
    "\"isError\":false}}";

START_TEST(blocks_that_the_client_does_not_know_become_text)
{
    char *l0 = reworded(MCP_TOOLS_CALL, MCP_2024_11_05, mixed);
    ck_assert_str_eq(
        l0,
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"[audio audio/wav, 6 bytes]\"},"
        "{\"type\":\"text\",\"text\":\"file:///\xc3\xa9\"},{\"type\":\"image\",\"data\":\"\"}],"
        "\"isError\":false}}");
    free(l0);
    char *l1 = reworded(MCP_TOOLS_CALL, MCP_2025_03_26, mixed);
    ck_assert_has(l1, "\"type\":\"audio\"");
    ck_assert_ptr_null(strstr(l1, "resource_link"));
    free(l1);
    ck_assert_ptr_null(reworded(MCP_TOOLS_CALL, MCP_2025_06_18, mixed));
}
END_TEST

START_TEST(prompts_carry_one_block_in_each_message)
{
    static const char prompt[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"messages\":[{"
                                 "\"role\":\"user\",\"content\":{\"type\":"
                                 "\"resource_link\",\"uri\":\"x:y\",\"name\":\"n\"}},{\"role\":"
                                 "\"user\",\"content\":{\"type\":\"text\","
                                 "\"text\":\"t\"}}]}}";
    char *l1 = reworded(MCP_PROMPTS_GET, MCP_2025_03_26, prompt);
    ck_assert_has(l1, "\"content\":{\"type\":\"text\",\"text\":\"x:y\"}");
    ck_assert_has(l1, "\"text\":\"t\"");
    free(l1);
}
END_TEST

START_TEST(what_needs_no_rewording_is_left_alone)
{
    static const char *const texts[] = {
        ("{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"type\":\"text\",\"text\":"
         "\"audio\"}]}}"),
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":\"resource_link\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[1,null,[],\"x\"]}}",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":3}",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32602,\"message\":\"m\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ck_assert_ptr_null(reworded(MCP_TOOLS_CALL, MCP_2024_11_05, texts[i]));
    ck_assert_ptr_null(reworded(MCP_RESOURCES_READ, MCP_2024_11_05, mixed));
}
END_TEST

START_TEST(the_url_elicitation_error_becomes_one_that_old_clients_know)
{
    static const char error[] =
        "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32042,\"message\":\"Sign "
        "in\",\"data\":{"
        "\"elicitations\":[{\"mode\":\"url\",\"url\":\"https://x/y\",\"elicitationId\":\"1\"}]}}}";
    char *l2 = reworded(MCP_TOOLS_CALL, MCP_2025_06_18, error);
    ck_assert_has(l2, "\"code\":-32603");
    ck_assert_has(l2, "\"message\":\"Sign in: https://x/y\"");
    ck_assert_has(l2, "\"id\":\"a\"");
    free(l2);
    ck_assert_ptr_null(reworded(MCP_TOOLS_CALL, MCP_2025_11_25, error));
    char *bare = reworded(
        MCP_TOOLS_CALL, MCP_2025_06_18,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32042,\"message\":\"Sign in\"}}");
    ck_assert_has(bare, "\"message\":\"Sign in\"");
    free(bare);
}
END_TEST

START_TEST(a_client_of_an_old_revision_gets_the_reworded_answer_under_its_id)
{
    static struct client c;
    world_new(NULL, NULL);
    proxy_start(w.proxy);
    turn();
    client_open_as(&c, "anonymous", NULL, "2024-11-05");
    ck_assert_has(client_read(&c), "2024-11-05");
    client_say(&c, "{\"jsonrpc\":\"2.0\",\"id\":\"mine\",\"method\":\"tools/"
                   "call\",\"params\":{\"name\":\"x\"}}");
    uint64_t up;
    ck_assert(json_u64(json_get(slice_str(fake_read(fake_at(0))), "id"), &up));
    fake_say(fake_at(0),
             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[{\"type\":\"resource_"
             "link\",\"uri\":\"u:v\"}]}}",
             (unsigned long long)up);
    ck_assert_str_eq(client_read(&c),
                     "{\"jsonrpc\":\"2.0\",\"id\":\"mine\",\"result\":{\"content\":[{\"type\":"
                     "\"text\",\"text\":\"u:v\"}]}}");
    client_close(&c);
    world_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/downgrade");
    TCase *t = tcase_create("downgrade");
    tcase_add_test(t, blocks_that_the_client_does_not_know_become_text);
    tcase_add_test(t, prompts_carry_one_block_in_each_message);
    tcase_add_test(t, what_needs_no_rewording_is_left_alone);
    tcase_add_test(t, the_url_elicitation_error_becomes_one_that_old_clients_know);
    tcase_add_test(t, a_client_of_an_old_revision_gets_the_reworded_answer_under_its_id);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
