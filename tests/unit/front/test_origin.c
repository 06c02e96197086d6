/* front/origin: the Host and Origin rules of security.md F01 to F09. */
#include "front/origin.h"

#include <check.h>
#include <stdlib.h>

#define LIST(...)                                                                                  \
    (&(const struct config_strings){sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),        \
                                    (const char *const[]){__VA_ARGS__}})

static const char *const default_names[] = {"localhost", "127.0.0.1", "[::1]"};
static const struct config_strings defaults = {3, default_names};
static const struct config_strings nothing = {0, NULL};

static bool host(const struct config_strings *list, const char *value)
{
    return origin_host_allowed(list, slice_str(value));
}

static bool origin(const struct config_strings *list, const char *value)
{
    return origin_allowed(list, slice_str(value));
}

START_TEST(loopback_names_pass_on_any_port)
{
    static const char *const good[] = {"localhost",    "localhost:7332", "127.0.0.1",
                                       "127.0.0.1:1",  "[::1]",          "[::1]:65535",
                                       "LOCALHOST:80", "LocalHost:7332", "[::1]:7332"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        ck_assert_msg(host(&defaults, good[i]), "%s", good[i]);
}
END_TEST

START_TEST(everything_else_is_refused_as_host)
{
    static const char *const bad[] = {"attacker.test",
                                      "localhost.attacker.test",
                                      "127.0.0.1.nip.io",
                                      "localhost.",
                                      "localhost.:80",
                                      "xlocalhost",
                                      "localhos",
                                      "127.0.0.2",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:099999",
                                      "127.0.0.1:+1",
                                      "127.0.0.1:80x",
                                      "127.0.0.1:80:80",
                                      "a@localhost",
                                      "localhost/",
                                      "http://localhost",
                                      "::1",
                                      "[::1",
                                      "[]",
                                      "[::1]x",
                                      "[::2]",
                                      "",
                                      " localhost",
                                      "localhost\tx"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(!host(&defaults, bad[i]), "%s", bad[i]);
    ck_assert(!origin_host_allowed(&defaults, slice_of("localhost\0x", 11)));
}
END_TEST

START_TEST(a_port_in_the_list_must_match)
{
    const struct config_strings *list = LIST("mcp.example.org:8443", "plain.example.org:80");
    ck_assert(host(list, "mcp.example.org:8443"));
    ck_assert(!host(list, "mcp.example.org:8444"));
    ck_assert(!host(list, "mcp.example.org"));
    ck_assert(host(list, "plain.example.org"));
}
END_TEST

START_TEST(an_empty_list_allows_nothing)
{
    ck_assert(!host(&nothing, "localhost"));
    ck_assert(!host(&nothing, ""));
    ck_assert(!origin(&nothing, "http://localhost"));
    ck_assert(!origin(&nothing, "null"));
}
END_TEST

START_TEST(origins_of_loopback_pass)
{
    ck_assert(origin(&defaults, "http://localhost"));
    ck_assert(origin(&defaults, "http://localhost:6274"));
    ck_assert(origin(&defaults, "https://127.0.0.1:7332"));
    ck_assert(origin(&defaults, "http://[::1]:7332"));
    ck_assert(origin(&defaults, "HTTP://LocalHost:3000"));
}
END_TEST

START_TEST(other_origins_are_refused)
{
    static const char *const bad[] = {"null",
                                      "",
                                      "localhost",
                                      "http://attacker.test",
                                      "http://localhost.attacker.test",
                                      "http://localhost@attacker.test",
                                      "http://attacker.test/http://localhost",
                                      "http://localhost/",
                                      "http://localhost/path",
                                      "://localhost",
                                      "http:localhost",
                                      "http://",
                                      "http://localhost:x",
                                      "file://localhost",
                                      "chrome-extension://localhost",
                                      "http://localhost http://attacker.test"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(!origin(&defaults, bad[i]), "%s", bad[i]);
    ck_assert_msg(!origin(LIST("null"), "null"), "null is never an origin to allow");
}
END_TEST

START_TEST(a_whole_origin_in_the_list)
{
    const struct config_strings *list =
        LIST("https://app.example.org", "vscode-webview://panel", "http://dev.example.org:3000");
    ck_assert(origin(list, "https://app.example.org"));
    ck_assert(origin(list, "https://app.example.org:443"));
    ck_assert(!origin(list, "http://app.example.org"));
    ck_assert(!origin(list, "https://app.example.org:444"));
    ck_assert(origin(list, "vscode-webview://panel"));
    ck_assert(!origin(list, "https://panel"));
    ck_assert(origin(list, "http://dev.example.org:3000"));
    ck_assert(!origin(list, "http://dev.example.org"));
}
END_TEST

START_TEST(the_default_list_is_recognised)
{
    ck_assert(origin_is_default_list(&defaults));
    ck_assert(origin_is_default_list(LIST("127.0.0.1", "[::1]", "localhost")));
    ck_assert(!origin_is_default_list(&nothing));
    ck_assert(!origin_is_default_list(LIST("localhost", "127.0.0.1", "mcp.example.org")));
    ck_assert(!origin_is_default_list(LIST("localhost", "localhost", "127.0.0.1")));
}
END_TEST

START_TEST(the_memo_knows_one_value_byte_for_byte)
{
    static const char longest[] =
        "http://a-name-that-is-as-long-as-can-be-remembered.example:65535";
    struct origin_memo m = {0};
    struct slice whole = slice_of(longest, sizeof(m.text));
    ck_assert_uint_eq(sizeof(longest) - 1, sizeof(m.text) + 1);
    ck_assert(!origin_memo_has(&m, slice_of(NULL, 0)));
    ck_assert(!origin_memo_has(&m, SLICE("")));
    origin_memo_set(&m, SLICE(""));
    ck_assert(!origin_memo_has(&m, SLICE("")));
    origin_memo_set(&m, SLICE("localhost:80"));
    ck_assert(origin_memo_has(&m, SLICE("localhost:80")));
    ck_assert(!origin_memo_has(&m, SLICE("localhost:8")));
    ck_assert(!origin_memo_has(&m, SLICE("localhost:800")));
    ck_assert(!origin_memo_has(&m, SLICE("Localhost:80")));
    origin_memo_set(&m, slice_str(longest));
    ck_assert(!origin_memo_has(&m, slice_str(longest)));
    ck_assert(origin_memo_has(&m, SLICE("localhost:80")));
    origin_memo_set(&m, whole);
    ck_assert(origin_memo_has(&m, whole));
    ck_assert(!origin_memo_has(&m, SLICE("localhost:80")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front/origin");
    TCase *t = tcase_create("origin");
    tcase_add_test(t, loopback_names_pass_on_any_port);
    tcase_add_test(t, everything_else_is_refused_as_host);
    tcase_add_test(t, a_port_in_the_list_must_match);
    tcase_add_test(t, an_empty_list_allows_nothing);
    tcase_add_test(t, origins_of_loopback_pass);
    tcase_add_test(t, other_origins_are_refused);
    tcase_add_test(t, a_whole_origin_in_the_list);
    tcase_add_test(t, the_default_list_is_recognised);
    tcase_add_test(t, the_memo_knows_one_value_byte_for_byte);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
