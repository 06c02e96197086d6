/* config: the top of the file, directories, listeners, references, and how much is reported at
 * once. */
#include "config/config.h"
#include "unit/config/reading.h"

#include "base/util.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static void teardown(void)
{
    test_environment = NULL;
}

static const struct {
    const char *text;
    unsigned line, column;
    const char *what;
} errors[] = {
    {"[]", 1, 1, "the file must hold an object, not an array"},
    {"{\"mcpServers\": []}", 1, 16, "\"mcpServers\" must be an object with an entry per server"},
    {"{\"mcpServer\": {}}", 1, 2, "unknown key \"mcpServer\"; did you mean \"mcpServers\"?"},
    {"{\n  \"log_levle\": \"info\", \"mcpServers\": {}}", 2, 3,
     "unknown key \"log_levle\"; did you mean \"log_level\"?"},
    {"{\"log_level\": \"inof\", \"mcpServers\": {}}", 1, 15, "did you mean \"info\"?"},
    {"{\"log_level\": \"zebra\", \"mcpServers\": {}}", 1, 15,
     "\"log_level\" is \"zebra\"; it must be \"debug\", "},
    {"{\"servers\": {}}", 1, 2, "did you mean \"mcpServers\"?"},
    {"{\"max_batch\": 3, \"mcpServers\": {}}", 1, 2, "\"max_batch\" belongs in section \"limits\""},
    {"{\"sharing\": \"shared\", \"mcpServers\": {}}", 1, 2, "belongs in section \"defaults\""},
    {"{\"limits\": {\"listen\": []}, \"mcpServers\": {}}", 1, 13,
     "unknown key \"limits.listen\"; \"listen\" belongs at the top of the file"},
    {"{\"limits\": {\"max_bach\": 3}, \"mcpServers\": {}}", 1, 13,
     "unknown key \"limits.max_bach\"; did you mean \"max_batch\"?"},
    {"{\"limits\": {\"completely_else\": 3}, \"mcpServers\": {}}", 1, 13,
     "unknown key \"limits.completely_else\""},
    {"{\"limits\": 3, \"mcpServers\": {}}", 1, 12, "\"limits\" must be an object, not a number"},
    {"{\"resilience\": {\"call_timeout\": \"30\"}, \"mcpServers\": {}}", 1, 33,
     "\"resilience.call_timeout\" has no unit; write a bare number for seconds"},
    {"{\"resilience\": {\"call_timeout\": \"30 sec\"}, \"mcpServers\": {}}", 1, 33,
     "\"resilience.call_timeout\" is \"30 sec\"; it must be a number of seconds or a string such "
     "as"},
    {"{\"resilience\": {\"call_timeout\": 0}, \"mcpServers\": {}}", 1, 33,
     "is 0; it must be between \"10ms\" and \"1h\""},
    {"{\"resilience\": {\"min_connections\": 11}, \"mcpServers\": {}}", 1, 36,
     "\"resilience.min_connections\" (11) is larger than \"max_connections\" (10)"},
    {"{\"resilience\": {\"max_backoff_delay\": 0.5}, \"mcpServers\": {}}", 1, 38,
     "\"resilience.backoff_base\" (\"1s\") is larger than \"max_backoff_delay\" (\"500ms\")"},
    {"{\"runtime_dir\": \"run\", \"mcpServers\": {}}", 1, 17, "must be an absolute path"},
    {"{\"state_dir\": \"~/x\", \"mcpServers\": {}}", 1, 15, "~ is not expanded"},
    {"{\"admin\": \"127.0.0.1:7333\", \"mcpServers\": {}}", 1, 11, "\"admin_listen\""},
    {"{\"admin\": \"unix:admin.sock\", \"mcpServers\": {}}", 1, 11, "must be absolute"},
    {"{\"admin\": 3, \"mcpServers\": {}}", 1, 11, "\"admin\" must be a string, not a number"},
    {"{\"http\": {\"strict_accept\": \"yes\"}, \"mcpServers\": {}}", 1, 28,
     "must be true or false"},
    {"{\"http\": {\"allowed_hosts\": \"x\"}, \"mcpServers\": {}}", 1, 28,
     "must be an array of strings"},
    {"{\"http\": {\"allowed_hosts\": [\"ok\", 1]}, \"mcpServers\": {}}", 1, 35,
     "must hold strings"},
    {"{\"http\": {\"allowed_hosts\": [\"*\"]}, \"mcpServers\": {}}", 1, 29,
     "there are no wildcards"},
    {"{\"http\": {\"allowed_hosts\": [\"\"]}, \"mcpServers\": {}}", 1, 29, "is not of the form"},
    {"{\"http\": {\"allowed_hosts\": [\"http://x\"]}, \"mcpServers\": {}}", 1, 29,
     "is not of the form"},
    {"{\"http\": {\"allowed_hosts\": [\"x:99999\"]}, \"mcpServers\": {}}", 1, 29,
     "is not of the form"},
    {"{\"http\": {\"allowed_hosts\": [\"::1\"]}, \"mcpServers\": {}}", 1, 29, "is not of the form"},
    {"{\"http\": {\"allowed_origins\": [\"null\"]}, \"mcpServers\": {}}", 1, 31,
     "is not of the form"},
    {"{\"http\": {\"allowed_origins\": [\"http://x/\"]}, \"mcpServers\": {}}", 1, 31,
     "is not of the form"},
    {"{\"http\": {\"allowed_origins\": [\"://x\"]}, \"mcpServers\": {}}", 1, 31,
     "is not of the form"},
    {"{\"defaults\": {\"pin_version\": \"2025-06-19\"}, \"mcpServers\": {}}", 1, 30,
     "did you mean \"2025-06-18\"?"},
    {"{\"defaults\": {\"client_features\": [\"root\"]}, \"mcpServers\": {}}", 1, 35,
     "did you mean \"roots\"?"},
    {"{\"defaults\": {\"command\": \"x\"}, \"mcpServers\": {}}", 1, 15,
     "\"command\" belongs in an entry of \"mcpServers\""},
    {"{\"listen\": \"127.0.0.1:1\", \"mcpServers\": {}}", 1, 12, "\"listen\" must be an array"},
    {"{\"listen\": [1], \"mcpServers\": {}}", 1, 13, "\"listen\" must hold strings"},
    {"{\"listen\": [\"7332\"], \"mcpServers\": {}}", 1, 13, "is not of the form \"host:port\""},
    {"{\"listen\": [\":7332\"], \"mcpServers\": {}}", 1, 13, "is not of the form \"host:port\""},
    {"{\"listen\": [\"::1:7332\"], \"mcpServers\": {}}", 1, 13, "is not of the form \"host:port\""},
    {"{\"listen\": [\"[::1]\"], \"mcpServers\": {}}", 1, 13, "is not of the form \"host:port\""},
    {"{\"listen\": [\"[::g]:1\"], \"mcpServers\": {}}", 1, 13, "is not of the form \"host:port\""},
    {"{\"listen\": [\"localhost:65536\"], \"mcpServers\": {}}", 1, 13,
     "is not of the form \"host:port\""},
    {"{\"listen\": [\"localhost:+1\"], \"mcpServers\": {}}", 1, 13,
     "is not of the form \"host:port\""},
    {"{\"listen\": [\"local host:1\"], \"mcpServers\": {}}", 1, 13,
     "is not of the form \"host:port\""},
    {"{\"listen\": [\"unix:x.sock\"], \"mcpServers\": {}}", 1, 13, "must be absolute"},
    {"{\"listen\": [\"localhost:1\", \"localhost:1\"], \"mcpServers\": {}}", 1, 28,
     "\"listen\" names \"localhost:1\" twice"},
};

START_TEST(C05_unknown_keys_and_other_errors_say_where_and_what)
{
    expect_error(errors[_i].text, errors[_i].line, errors[_i].column, errors[_i].what);
}
END_TEST

START_TEST(all_errors_are_reported_at_once)
{
    struct reading r =
        read_text("{\"log_level\": 1,\n \"mcpServers\": {\"x\": {}},\n"
                  " \"limits\": {\"max_batch\": 0,\n  \"max_batch\": 1,\n  \"q\": 1}}");
    static const unsigned lines[] = {1, 2, 3, 4, 5};
    ck_assert_int_eq(r.result, -22);
    ck_assert_uint_eq(r.errs.errors, ARRAY_LEN(lines));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        ck_assert_uint_eq(r.errs.v[i].line, lines[i]);
    reading_done(&r);
}
END_TEST

START_TEST(a_file_without_servers_is_warned_about)
{
    expect_warning("{}", 1, 1, "there are no \"mcpServers\"");
    expect_warning("{\"inputs\": [], \"mcpServers\": {}}", 1, 2, "\"inputs\" means nothing");
    struct reading r = read_good("{\"$schema\": \"x\", \"mcpServers\": {}}");
    ck_assert_uint_eq(r.config->servers_n, 0);
    ck_assert_ptr_null(config_find_server(r.config, SLICE("x")));
    reading_done(&r);
}
END_TEST

START_TEST(listen_entries_are_taken_apart)
{
    struct reading r =
        read_good("{\"listen\": [\"127.0.0.1:0\", \"[::1]:65535\", \"LocalHost:80\", "
                  "\"unix:/run/x.sock\"], \"mcpServers\": {}}");
    const struct config_listen *l = r.config->listen;
    ck_assert_uint_eq(r.config->listen_n, 4);
    ck_assert_str_eq(l[0].host, "127.0.0.1");
    ck_assert_str_eq(l[0].host_port, "127.0.0.1:0");
    ck_assert_uint_eq(l[0].port, 0);
    ck_assert(!l[0].is_unix && l[0].path == NULL);
    ck_assert_str_eq(l[1].host, "::1");
    ck_assert_str_eq(l[1].host_port, "[::1]:65535");
    ck_assert_uint_eq(l[1].port, 65535);
    ck_assert_uint_eq(l[2].port, 80);
    ck_assert(l[3].is_unix && l[3].host == NULL && l[3].host_port == NULL);
    ck_assert_str_eq(l[3].path, "/run/x.sock");
    ck_assert_str_eq(l[3].text, "unix:/run/x.sock");
    reading_done(&r);

    r = read_good("{\"mcpServers\": {}}");
    ck_assert_uint_eq(r.config->listen_n, 1);
    ck_assert_str_eq(r.config->listen[0].text, "127.0.0.1:7332");
    ck_assert_uint_eq(r.config->listen[0].port, 7332);
    reading_done(&r);
    r = read_good("{\"listen\": [], \"mcpServers\": {}}");
    ck_assert_uint_eq(r.config->listen_n, 0);
    reading_done(&r);
}
END_TEST

/* security.md F09: an empty list allows nothing; only an absent one gives the defaults. */
START_TEST(allowed_hosts_and_origins_are_lists_in_lower_case)
{
    struct reading r = read_good("{\"mcpServers\": {}}");
    ck_assert_uint_eq(r.config->http.allowed_hosts.n, 3);
    ck_assert_str_eq(r.config->http.allowed_hosts.v[0], "localhost");
    ck_assert_str_eq(r.config->http.allowed_hosts.v[1], "127.0.0.1");
    ck_assert_str_eq(r.config->http.allowed_hosts.v[2], "[::1]");
    ck_assert_ptr_null(r.config->http.allowed_hosts.v[3]);
    ck_assert_uint_eq(r.config->http.allowed_origins.n, 3);
    reading_done(&r);

    r = read_good("{\"http\": {\"allowed_hosts\": [], \"allowed_origins\": "
                  "[\"HTTPS://App.Example:8443\", \"vscode-webview://abc\", \"[::1]:3\", \"h\"]}, "
                  "\"mcpServers\": {}}");
    ck_assert_uint_eq(r.config->http.allowed_hosts.n, 0);
    ck_assert_uint_eq(r.config->http.allowed_origins.n, 4);
    ck_assert_str_eq(r.config->http.allowed_origins.v[0], "https://app.example:8443");
    ck_assert_ptr_null(r.config->http.allowed_origins.v[4]);
    reading_done(&r);
}
END_TEST

static void check_dirs(const char *const *environment, const char *runtime, const char *state)
{
    test_environment = environment;
    struct reading r = read_good("{\"mcpServers\": {}}");
    char admin[200];
    ck_assert_str_eq(r.config->runtime_dir, runtime);
    ck_assert_str_eq(r.config->state_dir, state);
    ck_assert_str_eq(r.config->limits.spool_dir, state);
    snprintf(admin, sizeof(admin), "%s/admin.sock", runtime);
    ck_assert_str_eq(r.config->admin_path, admin);
    reading_done(&r);
}

START_TEST(directories_come_from_the_surroundings)
{
    check_dirs((const char *const[]){NULL}, "/tmp/mcpool-1000", "/tmp/mcpool-1000/state");
    check_dirs((const char *const[]){"TMPDIR", "/var/tmp", "HOME", "/home/x", NULL},
               "/var/tmp/mcpool-1000", "/home/x/.local/state/mcpool");
    check_dirs((const char *const[]){"XDG_RUNTIME_DIR", "/run/user/1000", "XDG_STATE_HOME", "/s",
                                     "HOME", "/home/x", NULL},
               "/run/user/1000/mcpool", "/s/mcpool");
    check_dirs((const char *const[]){"RUNTIME_DIRECTORY", "/run/a:/run/b", "STATE_DIRECTORY",
                                     "/var/lib/a", "XDG_RUNTIME_DIR", "/x", NULL},
               "/run/a", "/var/lib/a");
    check_dirs((const char *const[]){"XDG_RUNTIME_DIR", "relative", "HOME", "", NULL},
               "/tmp/mcpool-1000", "/tmp/mcpool-1000/state");
}
END_TEST

START_TEST(root_has_the_directories_of_the_system)
{
    struct config_params params = {.getenv = test_getenv, .uid = 0};
    struct config_errors errs;
    struct config *c = NULL;
    config_errors_init(&errs);
    ck_assert_int_eq(config_parse(SLICE("{\"mcpServers\": {}}"), &params, &c, &errs), 0);
    ck_assert_str_eq(c->runtime_dir, "/run/mcpool");
    ck_assert_str_eq(c->state_dir, "/var/lib/mcpool");
    config_unref(c);
    config_errors_done(&errs);
}
END_TEST

START_TEST(directories_in_the_file_win)
{
    struct reading r = read_good("{\"runtime_dir\": \"/r//\", \"state_dir\": \"/s\", \"limits\": "
                                 "{\"spool_dir\": \"/spool\"}, \"admin\": \"unix:/a.sock\", "
                                 "\"mcpServers\": {\"x\": {\"command\": \"y\"}}}");
    ck_assert_str_eq(r.config->runtime_dir, "/r");
    ck_assert_str_eq(r.config->state_dir, "/s");
    ck_assert_str_eq(r.config->limits.spool_dir, "/spool");
    ck_assert_str_eq(r.config->servers[0].limits.spool_dir, "/spool");
    ck_assert_str_eq(r.config->admin_path, "/a.sock");
    reading_done(&r);
}
END_TEST

START_TEST(socket_paths_must_fit)
{
    char text[400], dir[120];
    memset(dir, 'd', sizeof(dir));
    dir[0] = '/';
    dir[96] = '\0'; /* and "/admin.sock" makes 107, the longest that fits */
    snprintf(text, sizeof(text), "{\"runtime_dir\": \"%s\", \"mcpServers\": {}}", dir);
    struct reading r = read_good(text);
    reading_done(&r);
    snprintf(text, sizeof(text),
             "{\"runtime_dir\": \"%s\", \"mcpServers\": {\"server\": {\"command\": \"x\"}}}", dir);
    expect_error(text, 1, 132, "longer than the 107 bytes");
    dir[96] = 'd';
    dir[97] = '\0';
    snprintf(text, sizeof(text), "{\"runtime_dir\": \"%s\", \"mcpServers\": {}}", dir);
    expect_error(text, 0, 0, "longer than the 107 bytes");
}
END_TEST

START_TEST(references_keep_a_snapshot_alive)
{
    struct reading r = read_good("{\"mcpServers\": {\"x\": {\"command\": \"y\"}}}");
    struct config *c = config_ref(r.config);
    ck_assert_ptr_eq(c, r.config);
    reading_done(&r);
    ck_assert_str_eq(c->servers[0].command, "y"); /* the sanitizer would object */
    ck_assert_str_eq(c->path, "(text)");
    ck_assert_ptr_null(config_unref(c));
    ck_assert_ptr_null(config_unref(NULL));
}
END_TEST

/* Somebody who looks for a socket has no use for servers, and not the daemon's variables. */
START_TEST(servers_can_be_left_out)
{
    struct config_params params = {.getenv = test_getenv, .uid = 1000, .without_servers = true};
    struct config *c = NULL;
    struct config_errors errs;
    config_errors_init(&errs);
    ck_assert_int_eq(config_parse(SLICE("{\"runtime_dir\": \"/r\", \"mcpServers\": {\"x\": "
                                        "{\"url\": \"${NOWHERE_SET}\"}}}"),
                                  &params, &c, &errs),
                     0);
    ck_assert_uint_eq(errs.n, 0);
    ck_assert_str_eq(c->admin_path, "/r/admin.sock");
    ck_assert_uint_eq(c->servers_n, 0);
    ck_assert_ptr_null(config_find_server(c, SLICE("x")));
    config_unref(c);
    c = NULL;
    ck_assert_int_eq(config_parse(SLICE("{\"runtime_dirr\": \"/r\"}"), &params, &c, &errs),
                     -EINVAL);
    config_errors_done(&errs);
}
END_TEST

static void expect_default_path(const char *const *environment, const char *path)
{
    struct config_params params = {.getenv = test_getenv,
                                   .getenv_arg = (void *)(uintptr_t)environment};
    char *got = config_default_path(&params);
    if (path)
        ck_assert_pstr_eq(got, path);
    else if (got) /* this machine has one for the whole system */
        ck_assert_str_eq(got, "/etc/mcpool/mcpool.json");
    free(got);
}

START_TEST(the_users_own_file_comes_first)
{
    char dir[] = "/tmp/mcpool-config-XXXXXX", path[128], home[128];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/mcpool", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/mcpool/mcpool.json", dir);
    const char *const xdg[] = {"XDG_CONFIG_HOME", dir, "HOME", "/no/such", NULL};
    expect_default_path(xdg, NULL);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
    expect_default_path(xdg, path);
    expect_default_path((const char *const[]){"HOME", dir, NULL}, NULL);
    expect_default_path((const char *const[]){"XDG_CONFIG_HOME", "/no", "HOME", dir, NULL}, NULL);
    expect_default_path((const char *const[]){NULL}, NULL);

    snprintf(home, sizeof(home), "%s/.config", dir);
    ck_assert_int_eq(symlink(".", home), 0);
    snprintf(path, sizeof(path), "%s/.config/mcpool/mcpool.json", dir);
    expect_default_path((const char *const[]){"XDG_CONFIG_HOME", "", "HOME", dir, NULL}, path);
    unlink(home);
    snprintf(path, sizeof(path), "%s/mcpool/mcpool.json", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/mcpool", dir);
    rmdir(path);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(servers_are_found_by_exact_name)
{
    struct reading r =
        read_good("{\"mcpServers\": {\"m\": {\"command\": \"1\"}, \"z\": {\"command\": "
                  "\"2\"}, \"a\": {\"command\": \"3\"}, \"ab\": {\"command\": \"4\"}, "
                  "\"A\": {\"command\": \"5\"}}}");
    static const char *const names[] = {"m", "z", "a", "ab", "A"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct server_config *s = config_find_server(r.config, slice_str(names[i]));
        ck_assert_ptr_eq(s, &r.config->servers[i]); /* in the order of the file */
        ck_assert_str_eq(s->name, names[i]);
    }
    ck_assert_ptr_null(config_find_server(r.config, SLICE("")));
    ck_assert_ptr_null(config_find_server(r.config, SLICE("abc")));
    ck_assert_ptr_null(config_find_server(r.config, SLICE("Z")));
    ck_assert_ptr_null(config_find_server(r.config, SLICE("a\0")));
    reading_done(&r);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_checked_fixture(c, NULL, teardown);
    tcase_add_loop_test(c, C05_unknown_keys_and_other_errors_say_where_and_what, 0,
                        ARRAY_LEN(errors));
    tcase_add_test(c, all_errors_are_reported_at_once);
    tcase_add_test(c, a_file_without_servers_is_warned_about);
    tcase_add_test(c, listen_entries_are_taken_apart);
    tcase_add_test(c, allowed_hosts_and_origins_are_lists_in_lower_case);
    tcase_add_test(c, directories_come_from_the_surroundings);
    tcase_add_test(c, root_has_the_directories_of_the_system);
    tcase_add_test(c, directories_in_the_file_win);
    tcase_add_test(c, socket_paths_must_fit);
    tcase_add_test(c, references_keep_a_snapshot_alive);
    tcase_add_test(c, servers_can_be_left_out);
    tcase_add_test(c, the_users_own_file_comes_first);
    tcase_add_test(c, servers_are_found_by_exact_name);
}

int main(void)
{
    return run_cases("config", add);
}
