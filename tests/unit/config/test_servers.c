/* config/servers and config/endpoint: entries as clients write them. */
#include "config/config.h"
#include "unit/config/reading.h"

#include "base/util.h"

static const char *const environment[] = {"HOME",      "/home/x", "TOKEN",   "t0k3n", "CRLF",
                                          "a\r\nX: y", "BADURL",  "ftp://x", NULL};

static void setup(void)
{
    test_environment = environment;
}

/* `{"mcpServers": {"s": ENTRY}}`, in which ENTRY begins at column 23 and its first key at 24. */
static char *file_of(const char *entry)
{
    char *text;
    int n = asprintf(&text, "{\"mcpServers\": {\"s\": %s}}", entry);
    ck_assert_int_gt(n, 0);
    return text;
}

static struct reading read_entry(const char *entry)
{
    char *text = file_of(entry);
    struct reading r = read_good(text);
    ck_assert_uint_eq(r.config->servers_n, 1);
    free(text);
    return r;
}

static const struct {
    const char *entry;
    bool warning;
    unsigned column;
    const char *what;
} faults[] = {
    {"3", false, 22, "\"mcpServers.s\" must be an object, not a number"},
    {"{}", false, 17, "server \"s\" has neither \"command\" nor \"url\""},
    {"{\"commandd\": \"x\", \"command\": \"y\"}", false, 23,
     "unknown key \"mcpServers.s.commandd\"; did you mean \"command\"?"},
    {"{\"argz\": [], \"command\": \"y\"}", false, 23, "did you mean \"args\"?"},
    {"{\"sharig\": \"shared\", \"command\": \"y\"}", false, 23, "did you mean \"sharing\"?"},
    {"{\"call_timeout\": 3, \"command\": \"y\"}", false, 23,
     "\"call_timeout\" belongs in section \"resilience\""},
    {"{\"command\": 3}", false, 34, "\"mcpServers.s.command\" must be a string, not a number"},
    {"{\"command\": \"\"}", false, 34, "\"mcpServers.s.command\" is empty"},
    {"{\"command\": \"npx -y foo\"}", true, 34, "holds a blank and there are no \"args\""},
    {"{\"command\": \"${NOPE}\"}", false, 34,
     "\"mcpServers.s.command\" needs the environment variable NOPE"},
    {"{\"command\": \"x\", \"args\": \"-y\"}", false, 47, "\"mcpServers.s.args\" must be an array"},
    {"{\"command\": \"x\", \"args\": [\"a\", 1]}", false, 53,
     "\"mcpServers.s.args\" must be a string"},
    {"{\"command\": \"x\", \"args\": [\"${NOPE}\"]}", false, 48, "variable NOPE"},
    {"{\"command\": \"x\", \"env\": []}", false, 46,
     "\"mcpServers.s.env\" must be an object of strings"},
    {"{\"command\": \"x\", \"env\": {\"A\": 1}}", false, 52,
     "\"mcpServers.s.env.A\" must be a string"},
    {"{\"command\": \"x\", \"env\": {\"A=B\": \"1\"}}", false, 47, "cannot be the name"},
    {"{\"command\": \"x\", \"env\": {\"\": \"1\"}}", false, 47, "cannot be the name"},
    {"{\"command\": \"x\", \"cwd\": \"~/x\"}", false, 46, "write \"${HOME}\" instead of \"~\""},
    {"{\"command\": \"x\", \"cwd\": \"\"}", false, 46, "is empty"},
    {"{\"command\": \"x\", \"url\": \"http://x\"}", false, 39,
     "\"mcpServers.s.url\" does not belong to a server of type \"stdio\""},
    {"{\"type\": \"http\", \"command\": \"x\", \"url\": \"http://x\"}", false, 39,
     "\"mcpServers.s.command\" does not belong to a server of type \"http\""},
    {"{\"type\": \"http\"}", false, 17, "of type \"http\" has no \"url\""},
    {"{\"type\": \"stdio\"}", false, 17, "of type \"stdio\" has no \"command\""},
    {"{\"type\": \"htpp\", \"url\": \"http://x\"}", false, 31, "did you mean \"http\"?"},
    {"{\"type\": \"websocket\", \"url\": \"http://x\"}", false, 31,
     "\"mcpServers.s.type\" is \"websocket\"; it must be \"stdio\", \"http\" or \"sse\""},
    {"{\"type\": 1, \"url\": \"http://x\"}", false, 31, "\"mcpServers.s.type\" must be a string"},
    {"{\"type\": \"http\", \"transport\": \"http\", \"url\": \"http://x\"}", false, 39,
     "\"mcpServers.s.transport\" and \"type\" say the same thing"},
    {"{\"url\": \"ftp://x\"}", false, 30, "must begin with http:// or https://"},
    {"{\"url\": \"${BADURL}\"}", false, 30, "must begin with http:// or https://"},
    {"{\"url\": \"http://\"}", false, 30, "no valid host"},
    {"{\"url\": \"http://x:99999/\"}", false, 30, "no valid host"},
    {"{\"url\": \"http://u:p@x/\"}", false, 30, "user information"},
    {"{\"url\": \"http://x/a b\"}", false, 30, "written as %20"},
    {"{\"url\": \"http://x/a#b\"}", false, 30, "written as %23"},
    {"{\"url\": \"http://x/\\n\"}", false, 30, "written as %0A"},
    {"{\"url\": \"http://x\", \"headers\": []}", false, 53, "must be an object of strings"},
    {"{\"url\": \"http://x\", \"headers\": {\"a b\": \"1\"}}", false, 54,
     "cannot be the name of a header"},
    {"{\"url\": \"http://x\", \"headers\": {\"A\": \"${CRLF}\"}}", false, 59,
     "holds a control character"},
    {"{\"url\": \"http://x\", \"headers\": {\"A\": \"1\", \"a\": \"2\"}}", false, 64,
     "is the same header as \"A\""},
    {"{\"url\": \"http://x\", \"headers\": {\"Content-Type\": \"x\"}}", true, 54,
     "mcpool writes this header itself"},
    {"{\"url\": \"http://x\", \"env\": {}}", true, 42, "is ignored for a server of type \"http\""},
    {"{\"command\": \"x\", \"headers\": {}}", true, 39,
     "is ignored for a server of type \"stdio\""},
    {"{\"command\": \"x\", \"alwaysAllow\": [\"y\"]}", true, 39, "means nothing to mcpool"},
    {"{\"command\": \"x\", \"timeout\": 60}", true, 39, "use \"resilience\": {\"call_timeout\"}"},
    {"{\"command\": \"x\", \"disabled\": 1}", false, 51, "must be true or false"},
    {"{\"command\": \"x\", \"disabled\": true, \"enabled\": true}", false, 39,
     "contradicts \"enabled\""},
    {"{\"command\": \"x\", \"limits\": 1}", false, 49, "\"mcpServers.s.limits\" must be an object"},
    {"{\"command\": \"x\", \"limits\": {\"queue_lenght\": 1}}", false, 50,
     "unknown key \"mcpServers.s.limits.queue_lenght\"; did you mean \"queue_length\"?"},
    {"{\"command\": \"x\", \"limits\": {\"max_sessions\": 1}}", false, 50,
     "cannot differ between servers"},
    {"{\"command\": \"x\", \"resilience\": {\"max_connections\": 1, \"min_connections\": 2}}",
     false, 95, "\"mcpServers.s.resilience.min_connections\" (2) is larger"},
    /* secrets: security.md C08 */
    {"{\"command\": \"x\", \"env\": {\"GITHUB_TOKEN\": \"ghp\"}}", true, 47, "looks like a secret"},
    {"{\"command\": \"x\", \"env\": {\"a_api_key\": \"k\", \"DB_PASSWORD\": \"p\"}}", true, 47,
     "(and 1 more) looks like a secret"},
    {"{\"url\": \"http://x\", \"headers\": {\"authorization\": \"Bearer x\"}}", true, 54,
     "looks like a secret"},
};

START_TEST(faults_are_named_where_they_are)
{
    char *text = file_of(faults[_i].entry);
    expect_one(faults[_i].warning, text, 1, faults[_i].column, faults[_i].what);
    free(text);
}
END_TEST

START_TEST(C08_no_message_shows_a_value_that_may_be_secret)
{
    struct reading r =
        read_text("{\"mcpServers\": {\"s\": {\"command\": \"x\", \"env\": {\"A_TOKEN\": "
                  "\"hunter2\", \"B_SECRET\": \"hunter2${NOPE}\"}}, \"h\": {\"url\": "
                  "\"http://x\", \"headers\": {\"A\": \"hunter2${CRLF}\"}}}}");
    ck_assert_uint_eq(r.errs.errors, 2);
    ck_assert_uint_eq(r.errs.warnings, 1);
    for (size_t i = 0; i < r.errs.n; i++)
        ck_assert_ptr_null(strstr(r.errs.v[i].text, "hunter2"));
    reading_done(&r);
}
END_TEST

START_TEST(names_without_secrets_are_not_warned_about)
{
    struct reading r =
        read_entry("{\"command\": \"x\", \"env\": {\"A_TOKEN\": \"${TOKEN}\", \"B_KEY\": \"\", "
                   "\"TLS_KEY_FILE\": \"/etc/key\", \"MAX_TOKENS\": \"many\", \"TOKEN_LIMIT\": "
                   "\"100\", \"USE_KEYRING\": \"true\", \"PLAIN\": \"value\"}}");
    ck_assert_str_eq(r.config->servers[0].env.v[0], "A_TOKEN=t0k3n");
    reading_done(&r);
}
END_TEST

START_TEST(a_stdio_entry_is_read)
{
    struct reading r = read_entry(
        "{\"command\": \"npx\", \"args\": [\"-y\", \"${HOME}/a b\", \"\", \"$(id);`x`\\n\"], "
        "\"env\": {\"A\": \"1\", \"PATH_TO\": \"${HOME}:${NOPE:-/x}\"}, \"cwd\": \"${HOME}\"}");
    const struct server_config *s = r.config->servers;
    ck_assert_str_eq(s->name, "s");
    ck_assert_uint_eq(s->line, 1);
    ck_assert_int_eq(s->transport, CONFIG_TRANSPORT_STDIO);
    ck_assert_str_eq(s->command, "npx");
    ck_assert_str_eq(s->argv[0], "npx");
    ck_assert_str_eq(s->argv[1], "-y");
    ck_assert_str_eq(s->argv[2], "/home/x/a b");
    ck_assert_str_eq(s->argv[3], "");
    ck_assert_str_eq(s->argv[4], "$(id);`x`\n");
    ck_assert_ptr_null(s->argv[5]);
    ck_assert_uint_eq(s->env.n, 2);
    ck_assert_str_eq(s->env.v[0], "A=1");
    ck_assert_str_eq(s->env.v[1], "PATH_TO=/home/x:/x");
    ck_assert_ptr_null(s->env.v[2]);
    ck_assert_str_eq(s->cwd, "/home/x");
    ck_assert_ptr_null(s->url);
    ck_assert_uint_eq(s->headers.n, 0);
    ck_assert(s->options.enabled);
    reading_done(&r);
}
END_TEST

START_TEST(a_bare_stdio_entry_is_read)
{
    struct reading r = read_entry("{\"command\": \"/bin/x\"}");
    const struct server_config *s = r.config->servers;
    ck_assert_str_eq(s->argv[0], "/bin/x");
    ck_assert_ptr_null(s->argv[1]);
    ck_assert_uint_eq(s->env.n, 0);
    ck_assert_ptr_null(s->env.v[0]);
    ck_assert_ptr_null(s->cwd);
    reading_done(&r);
}
END_TEST

START_TEST(relative_directories_begin_at_the_file)
{
    struct config_params params = {.getenv = test_getenv, .uid = 1, .base_dir = "/usr/../usr"};
    struct config_errors errs;
    struct config *c = NULL;
    config_errors_init(&errs);
    ck_assert_int_eq(
        config_parse(SLICE("{\"mcpServers\": {\"s\": {\"command\": \"x\", \"cwd\": \"a/b\"}}}"),
                     &params, &c, &errs),
        0);
    ck_assert_str_eq(c->servers[0].cwd, "/usr/a/b");
    config_unref(c);
    config_errors_done(&errs);
}
END_TEST

START_TEST(remote_entries_are_read)
{
    static const struct {
        const char *entry;
        enum config_transport transport;
    } cases[] = {
        {"{\"url\": \"https://x.example:8443/mcp?a=%20\"}", CONFIG_TRANSPORT_HTTP},
        {"{\"type\": \"http\", \"url\": \"https://x.example:8443/mcp?a=%20\"}",
         CONFIG_TRANSPORT_HTTP},
        {"{\"type\": \"streamable-http\", \"url\": \"https://x.example:8443/mcp?a=%20\"}",
         CONFIG_TRANSPORT_HTTP},
        {"{\"transportType\": \"streamableHttp\", \"serverUrl\": "
         "\"https://x.example:8443/mcp?a=%20\"}",
         CONFIG_TRANSPORT_HTTP},
        {"{\"httpUrl\": \"https://x.example:8443/mcp?a=%20\"}", CONFIG_TRANSPORT_HTTP},
        {"{\"transport\": \"sse\", \"url\": \"https://x.example:8443/mcp?a=%20\"}",
         CONFIG_TRANSPORT_SSE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reading r = read_entry(cases[i].entry);
        const struct server_config *s = r.config->servers;
        ck_assert_int_eq(s->transport, cases[i].transport);
        ck_assert_str_eq(s->url, "https://x.example:8443/mcp?a=%20");
        ck_assert_ptr_null(s->command);
        ck_assert_ptr_null(s->argv);
        reading_done(&r);
    }
    struct reading r = read_entry("{\"url\": \"http://[::1]/\", \"headers\": {\"Authorization\": "
                                  "\"Bearer ${TOKEN}\", \"X-A\": \"b\"}}");
    const struct config_pairs *h = &r.config->servers[0].headers;
    ck_assert_uint_eq(h->n, 2);
    ck_assert_str_eq(h->v[0].name, "Authorization");
    ck_assert_str_eq(h->v[0].value, "Bearer t0k3n");
    ck_assert_str_eq(h->v[1].name, "X-A");
    reading_done(&r);
}
END_TEST

START_TEST(disabled_entries_may_lack_their_variables)
{
    static const char *const entries[] = {
        "{\"command\": \"x\", \"args\": [\"${NOPE}\"], \"disabled\": true}",
        "{\"command\": \"x\", \"args\": [\"${NOPE}\"], \"enabled\": false}",
        "{\"command\": \"${NOPE}\", \"args\": [\"\"], \"cwd\": \"${NOPE}\", \"disabled\": true}",
        "{\"enabled\": false, \"disabled\": true, \"command\": \"x\", \"args\": [\"${NOPE}\"]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        struct reading r = read_entry(entries[i]);
        ck_assert(!r.config->servers[0].options.enabled);
        ck_assert_str_eq(r.config->servers[0].argv[1], "");
        reading_done(&r);
    }
    /* Only for that entry. */
    struct reading r =
        read_text("{\"mcpServers\": {\"a\": {\"command\": \"${NOPE}\", \"disabled\": true}, "
                  "\"b\": {\"command\": \"${NOPE}\"}}}");
    ck_assert_uint_eq(r.errs.errors, 1);
    ck_assert_ptr_nonnull(strstr(r.errs.v[0].text, "mcpServers.b.command"));
    reading_done(&r);
    struct reading url = read_entry("{\"url\": \"${NOPE}\", \"disabled\": true}");
    reading_done(&url);
    struct reading on = read_entry("{\"command\": \"x\", \"disabled\": false}");
    ck_assert(on.config->servers[0].options.enabled);
    reading_done(&on);
}
END_TEST

/* ---- names: security.md C03 ---- */

START_TEST(good_names_are_read)
{
    static const char *const names[] = {
        "a",      "0",
        "files",  "A.b-c_9",
        "mcp2",   "Admin",
        "x.sock", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    char text[200];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(text, sizeof(text), "{\"mcpServers\": {\"%s\": {\"command\": \"x\"}}}", names[i]);
        struct reading r = read_good(text);
        ck_assert_str_eq(r.config->servers[0].name, names[i]);
        reading_done(&r);
    }
}
END_TEST

START_TEST(C03_bad_names_are_refused)
{
    static const struct {
        const char *name, *what;
    } cases[] = {
        {"", "is empty"},
        {"mcp", "is reserved"},
        {"admin", "is reserved"},
        {"sse", "is reserved"},
        {"messages", "is reserved"},
        {".", "does not begin with"},
        {"..", "does not begin with"},
        {"-x", "does not begin with"},
        {"_x", "does not begin with"},
        {"\xc3\xa9", "does not begin with"},
        {"a..b", "holds \"..\""},
        {"a/b", "holds something else"},
        {"a b", "holds something else"},
        {"a\\u0007", "holds something else"},
        {"a%2f", "holds something else"},
        {"a\xc3\xa9", "holds something else"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "is longer than 64"},
    };
    char text[200];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(text, sizeof(text), "{\"mcpServers\": {\"%s\": {\"command\": \"x\"}}}",
                 cases[i].name);
        expect_error(text, 1, 17, cases[i].what);
    }
    expect_error("{\"mcpServers\": {\"a\": {\"command\": \"x\"},\n \"a\": {\"command\": \"y\"}}}",
                 2, 2, "duplicate key \"a\" (first on line 1)");
}
END_TEST

/* ---- inheritance and fingerprints ---- */

START_TEST(entries_inherit_whatever_the_order)
{
    struct reading r = read_good(
        "{\"mcpServers\": {\"a\": {\"command\": \"x\", \"resilience\": {\"call_timeout\": \"1m\"}, "
        "\"sharing\": \"session\", \"client_features\": []}, \"b\": {\"command\": \"x\"}},"
        "\"resilience\": {\"call_timeout\": 7, \"queue_timeout\": 3}, \"limits\": "
        "{\"queue_length\": 9},"
        "\"defaults\": {\"sharing\": \"exclusive\", \"server_asks\": \"yes\", \"stderr\": "
        "\"discard\", "
        "\"pin_version\": \"2025-06-18\", \"client_features\": [\"roots\", \"sampling\"]}}");
    const struct server_config *a = &r.config->servers[0], *b = &r.config->servers[1];
    ck_assert_uint_eq(a->resilience.call_timeout, 60 * USEC_PER_SEC);
    ck_assert_uint_eq(a->resilience.queue_timeout, 3 * USEC_PER_SEC);
    ck_assert_uint_eq(a->limits.queue_length, 9);
    ck_assert_int_eq(a->options.sharing, CONFIG_SHARING_SESSION);
    ck_assert_uint_eq(a->options.client_features, 0);
    ck_assert_int_eq(a->options.server_asks, CONFIG_SERVER_ASKS_YES);
    ck_assert_uint_eq(b->resilience.call_timeout, 7 * USEC_PER_SEC);
    ck_assert_int_eq(b->options.sharing, CONFIG_SHARING_EXCLUSIVE);
    ck_assert_int_eq(b->options.stderr_to, CONFIG_STDERR_DISCARD);
    ck_assert_str_eq(b->options.pin_version, "2025-06-18");
    ck_assert_uint_eq(b->options.client_features, CONFIG_FEATURE_ROOTS | CONFIG_FEATURE_SAMPLING);
    ck_assert_uint_eq(r.config->resilience.call_timeout, 7 * USEC_PER_SEC);
    reading_done(&r);
}
END_TEST

static void hashes_of(const char *entry, uint64_t *identity, uint64_t *settings)
{
    struct reading r = read_entry(entry);
    *identity = r.config->servers[0].identity_hash;
    *settings = r.config->servers[0].settings_hash;
    reading_done(&r);
}

START_TEST(fingerprints_tell_what_changed)
{
    /* All of these differ in identity, and none in settings. */
    static const char *const entries[] = {
        "{\"command\": \"x\"}",
        "{\"command\": \"y\"}",
        "{\"command\": \"x\", \"args\": [\"a\", \"b\"]}",
        "{\"command\": \"x\", \"args\": [\"ab\"]}",
        "{\"command\": \"x\", \"args\": [\"a\", \"b\", \"\"]}",
        "{\"command\": \"x\", \"env\": {\"a\": \"b\"}}",
        "{\"command\": \"x\", \"env\": {\"a\": \"b\", \"c\": \"\"}}",
        "{\"command\": \"x\", \"args\": [\"a=b\"]}",
        "{\"command\": \"x\", \"cwd\": \"/\"}",
        "{\"command\": \"x\", \"cwd\": \"/a\"}",
        "{\"url\": \"http://x\"}",
        "{\"url\": \"http://x\", \"type\": \"sse\"}",
        "{\"url\": \"http://x\", \"headers\": {\"A\": \"b\"}}",
        "{\"url\": \"http://x\", \"headers\": {\"Ab\": \"\"}}",
    };
    uint64_t identity[ARRAY_LEN(entries)], settings[ARRAY_LEN(entries)], i2, s2;
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        hashes_of(entries[i], &identity[i], &settings[i]);
        ck_assert_uint_eq(settings[i], settings[0]);
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(identity[i] != identity[k], "%s = %s", entries[i], entries[k]);
    }
    /* The spelling does not matter, the value after expansion does. */
    hashes_of("{ /* x */ \"args\": [], \"command\": \"\\u0078\", \"sharing\": \"shared\"}", &i2,
              &s2);
    ck_assert_uint_eq(i2, identity[0]);
    ck_assert_uint_eq(s2, settings[0]);
    hashes_of("{\"command\": \"x\", \"pin_version\": \"2025-06-18\"}", &i2, &s2);
    ck_assert_uint_eq(i2, identity[0]);
    ck_assert_uint_ne(s2, settings[0]);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_loop_test(c, faults_are_named_where_they_are, 0, ARRAY_LEN(faults));
    tcase_add_test(c, C08_no_message_shows_a_value_that_may_be_secret);
    tcase_add_test(c, names_without_secrets_are_not_warned_about);
    tcase_add_test(c, a_stdio_entry_is_read);
    tcase_add_test(c, a_bare_stdio_entry_is_read);
    tcase_add_test(c, relative_directories_begin_at_the_file);
    tcase_add_test(c, remote_entries_are_read);
    tcase_add_test(c, disabled_entries_may_lack_their_variables);
    tcase_add_test(c, good_names_are_read);
    tcase_add_test(c, C03_bad_names_are_refused);
    tcase_add_test(c, entries_inherit_whatever_the_order);
    tcase_add_test(c, fingerprints_tell_what_changed);
}

int main(void)
{
    return run_cases("servers", add);
}
