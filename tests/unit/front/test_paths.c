/* front/paths: exactly these spellings and no other (security.md F36). */
#include "front/paths.h"

#include <check.h>
#include <stdlib.h>

START_TEST(known_paths)
{
    static const struct {
        const char *path;
        enum path_kind kind;
        const char *server;
    } rows[] = {
        {"/healthz", PATH_HEALTHZ, ""},
        {"/mcp", PATH_MCP, ""},
        {"/mcp/github", PATH_MCP, "github"},
        {"/mcp/a", PATH_MCP, "a"},
        {"/mcp/My_Server-1.2", PATH_MCP, "My_Server-1.2"},
        {"/sse", PATH_SSE, ""},
        {"/sse/github", PATH_SSE, "github"},
        {"/messages", PATH_MESSAGES, ""},
        {"/messages/github", PATH_MESSAGES, "github"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct slice server;
        ck_assert_msg(path_parse(slice_str(rows[i].path), &server) == rows[i].kind, "%s",
                      rows[i].path);
        ck_assert_msg(slice_is(server, rows[i].server), "%s", rows[i].path);
    }
}
END_TEST

START_TEST(everything_else_is_unknown)
{
    static const char *const bad[] = {
        "/",           "",          "mcp",        "//mcp",      "/mcp/",
        "/mcp//a",     "/mcp/a/",   "/mcp/a/b",   "/mcp/..",    "/mcp/.a",
        "/mcp/-a",     "/mcp/%61",  "/mcp/a%2fb", "/MCP/a",     "/mcp/a b",
        "/mcp/a;x",    "/mcpa",     "/healthz/",  "/healthz/a", "/./mcp/a",
        "/mcp/../mcp", "/mcp/a\\b", "/messagesx", "/sse/",      "/mcp/\xc3\xa4"};
    struct slice server;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        ck_assert_msg(path_parse(slice_str(bad[i]), &server) == PATH_UNKNOWN, "%s", bad[i]);
        ck_assert_uint_eq(server.n, 0);
    }
    char name[6 + 65] = "/mcp/";
    memset(name + 5, 'a', 65);
    ck_assert(path_parse(slice_of(name, 5 + 64), &server) == PATH_MCP);
    ck_assert(path_parse(slice_of(name, 5 + 65), &server) == PATH_UNKNOWN);
}
END_TEST

START_TEST(allowed_methods)
{
    ck_assert_str_eq(path_allow(PATH_MCP), "GET, POST, DELETE");
    ck_assert_str_eq(path_allow(PATH_MESSAGES), "POST");
    ck_assert_str_eq(path_allow(PATH_SSE), "GET");
    ck_assert_str_eq(path_allow(PATH_HEALTHZ), "GET");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front/paths");
    TCase *t = tcase_create("paths");
    tcase_add_test(t, known_paths);
    tcase_add_test(t, everything_else_is_unknown);
    tcase_add_test(t, allowed_methods);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
