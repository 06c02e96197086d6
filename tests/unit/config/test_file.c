/* config/file, config_load and config_check: which files are read (security.md C01, C02), and what
 * --check prints. */
#include "config/config.h"
#include "config/table.h"
#include "unit/config/reading.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64], path[100];
static struct config_errors errs;
static struct config *config;

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/test_config_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/c.json", dir);
    config_errors_init(&errs);
    config = NULL;
}

static void teardown(void)
{
    config_errors_done(&errs);
    config_unref(config);
    unlink(path);
    rmdir(dir);
}

static void write_file(const char *text, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

static void write_text(const char *text, mode_t mode)
{
    write_file(text, strlen(text), mode);
}

static const char good[] = "{\"mcpServers\": {\"s\": {\"command\": \"x\", \"cwd\": \"sub\"}}}";

static void expect_refusal(const char *file, const struct config_params *params, int result,
                           const char *what)
{
    ck_assert_int_eq(config_load(file, params, &config, &errs), result);
    ck_assert_ptr_null(config);
    ck_assert_uint_eq(errs.errors, 1);
    ck_assert_uint_eq(errs.v[0].line, 0);
    ck_assert_msg(strstr(errs.v[0].text, what) != NULL, "%s", errs.v[0].text);
    ck_assert_str_eq(errs.path, file);
}

START_TEST(a_safe_file_is_read)
{
    char expected[128];
    write_text(good, 0644);
    ck_assert_int_eq(config_load(path, NULL, &config, &errs), 0);
    ck_assert_uint_eq(errs.n, 0);
    ck_assert_str_eq(config->path, path);
    snprintf(expected, sizeof(expected), "%s/sub", dir);
    ck_assert_str_eq(config->servers[0].cwd, expected);
}
END_TEST

START_TEST(C02_a_link_to_a_safe_file_is_read)
{
    char link[160], expected[128];
    snprintf(link, sizeof(link), "%s.link", path);
    write_text(good, 0600);
    ck_assert_int_eq(symlink("c.json", link), 0);
    ck_assert_int_eq(config_load(link, NULL, &config, &errs), 0);
    snprintf(expected, sizeof(expected), "%s/sub", dir);
    ck_assert_str_eq(config->servers[0].cwd, expected);
    unlink(link);
}
END_TEST

START_TEST(C01_files_that_others_can_write_are_refused)
{
    write_text(good, 0664);
    expect_refusal(path, NULL, -EPERM, "can be written by its group (mode 0664)");
    config_errors_done(&errs);
    write_text(good, 0646);
    expect_refusal(path, NULL, -EPERM, "can be written by anybody (mode 0646)");
}
END_TEST

START_TEST(C01_files_of_other_users_are_refused)
{
    struct config_params params = {.uid = geteuid() + 1};
    write_text(good, 0600);
    if (geteuid() == 0) /* root's files are always fine, so make it somebody else's */
        ck_assert_int_eq(chown(path, 65534, (gid_t)-1), 0);
    expect_refusal(path, &params, -EPERM, "it must belong to root or to user");
}
END_TEST

START_TEST(C02_what_is_no_regular_file_is_refused)
{
    char text[128];
    expect_refusal(path, NULL, -ENOENT, "No such file");
    config_errors_done(&errs);
    expect_refusal(dir, NULL, -EISDIR, "is a directory");
    config_errors_done(&errs);
    expect_refusal("/dev/zero", NULL, -EINVAL, "is a device");
    config_errors_done(&errs);
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* nobody writes: opening it must not wait */
    expect_refusal(path, NULL, -EINVAL, "is a FIFO");
    config_errors_done(&errs);
    unlink(path);

    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    expect_refusal(path, NULL, -EINVAL, "is a socket");
    config_errors_done(&errs);
    close(fd);
    snprintf(text, sizeof(text), "%s/none/c.json", dir);
    expect_refusal(text, NULL, -ENOENT, "No such file");
}
END_TEST

START_TEST(C02_size_is_bounded)
{
    char *text = xmalloc(CONFIG_FILE_MAX + 1);
    memset(text, ' ', CONFIG_FILE_MAX + 1);
    memcpy(text, good, strlen(good));
    write_file(text, CONFIG_FILE_MAX, 0600);
    ck_assert_int_eq(config_load(path, NULL, &config, &errs), 0);
    config = config_unref(config);
    write_file(text, CONFIG_FILE_MAX + 1, 0600);
    expect_refusal(path, NULL, -EFBIG, "is larger than 1048576 bytes");
    free(text);
}
END_TEST

START_TEST(a_broken_file_leaves_the_result_alone)
{
    struct config *before = (struct config *)&errs;
    write_text("{\"mcpServers\": 1}", 0600);
    ck_assert_int_eq(config_load(path, NULL, &before, &errs), -EINVAL);
    ck_assert_ptr_eq(before, &errs);
}
END_TEST

/* security.md C09: reading again and again keeps nothing open. */
START_TEST(a_thousand_readings_leak_no_descriptor)
{
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(before);
    for (unsigned i = 0; i < 1000; i++) {
        write_text(i % 3 == 0 ? "{" : good, i % 5 == 0 ? 0666 : 0600);
        config_load(path, NULL, &config, &errs);
        config = config_unref(config);
        config_errors_done(&errs);
    }
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(after);
    ck_assert_int_eq(before, after);
}
END_TEST

/* ---- --check ---- */

static void expect_check(bool result, const char *expected_form)
{
    char *out = NULL, expected[1024];
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    bool is_good = config_check(path, NULL, f);
    fclose(f);
    /* Each @ stands for the path. */
    char *o = expected;
    for (const char *s = expected_form; *s != '\0'; s++)
        o += *s == '@' ? snprintf(o, 200, "%s", path) : snprintf(o, 2, "%c", *s);
    ck_assert_str_eq(out, expected);
    ck_assert(is_good == result);
    free(out);
}

START_TEST(check_reports_every_line)
{
    write_text("{\"log_level\": \"inof\",\n \"mcpServers\": {\"s\": {\"command\": \"x\",\n"
               "  \"trust\": true, \"shering\": 1}}}",
               0600);
    expect_check(
        false,
        "@:1:15: error: \"log_level\" is \"inof\"; did you mean \"info\"? It must be \"debug\", "
        "\"info\", \"notice\", \"warning\", \"error\" or \"critical\"\n"
        "@:3:3: warning: \"mcpServers.s.trust\" means nothing to mcpool and is ignored\n"
        "@:3:18: error: unknown key \"mcpServers.s.shering\"; did you mean \"sharing\"?\n"
        "not ok: 2 errors, 1 warning\n");
}
END_TEST

START_TEST(check_sums_up_a_good_file)
{
    write_text(good, 0600);
    expect_check(true, "ok: 1 server, 1 listener\n");
    write_text(
        "{\"listen\": [\"localhost:1\", \"unix:/x\"], \"mcpServers\": {\"a\": {\"command\": "
        "\"x\"}, \"b\": {\"command\": \"x\"}, \"c\": {\"command\": \"x\", \"disabled\": true}}}",
        0600);
    expect_check(true, "ok: 3 servers (1 disabled), 2 listeners\n");
    write_text("{\"listen\": []}", 0600);
    expect_check(true, "@:1:1: warning: there are no \"mcpServers\", so there is nothing to serve\n"
                       "ok: 0 servers, 0 listeners\n");
}
END_TEST

START_TEST(check_reports_a_missing_file)
{
    expect_check(false, "@: error: No such file or directory\nnot ok: 1 error, 0 warnings\n");
}
END_TEST

/* ---- the files in conf/ ---- */

static char *read_whole(const char *name)
{
    char *text = xcalloc(1, CONFIG_FILE_MAX);
    FILE *f = fopen(name, "r");
    ck_assert_msg(f != NULL, "%s: %s (run me from the top of the tree)", name, strerror(errno));
    size_t n = fread(text, 1, CONFIG_FILE_MAX - 1, f);
    fclose(f);
    ck_assert_uint_gt(n, 0);
    return text;
}

START_TEST(the_reference_page_is_up_to_date)
{
    char *out = NULL, *page = read_whole("conf/README.md");
    size_t n = 0, same = 0, line = 1;
    FILE *f = open_memstream(&out, &n);
    config_write_reference(f);
    fclose(f);
    for (; out[same] != '\0' && out[same] == page[same]; same++)
        line += out[same] == '\n';
    if (strcmp(out, page) != 0)
        ck_abort_msg("conf/README.md differs from the table of options at line %zu; write it anew: "
                     "mcpoold --config-reference > conf/README.md",
                     line);
    free(out);
    free(page);
}
END_TEST

/* Every option is there as a tag, and what troff would take for a request is one that we mean. */
START_TEST(the_manual_knows_every_option)
{
    static const char *const requests[] = {".\\\"", ".TH ", ".SH ", ".PP", ".TP",
                                           ".TQ",   ".IP ", ".RS",  ".RE", ".PD",
                                           ".in",   ".EX",  ".EE",  ".I ", ".BR "};
    char *out = NULL, tag[200];
    size_t n = 0, rows_n;
    FILE *f = open_memstream(&out, &n);
    config_write_manual(f);
    fclose(f);
    const struct config_row *rows = config_rows(&rows_n);
    for (size_t i = 0; i < rows_n; i++) {
        snprintf(tag, sizeof(tag), "\n.TP\n\\fB%s\\fR\n", rows[i].key);
        ck_assert_msg(strstr(out, tag) != NULL, "%s is not in the manual", rows[i].key);
    }
    for (char *line = out, *end; *line != '\0'; line = end + 1) {
        bool known = *line != '.' && *line != '\'';
        end = strchr(line, '\n');
        ck_assert_ptr_nonnull(end);
        for (size_t i = 0; i < ARRAY_LEN(requests); i++)
            known = known || strncmp(line, requests[i], strlen(requests[i])) == 0;
        ck_assert_msg(known, "a line that nobody meant as a request: %.80s", line);
        for (const char *p = line; p < end; p++)
            ck_assert_msg(*p >= ' ' && *p <= '~' && *p != '`', "not as troff wants it: %.80s",
                          line);
    }
    free(out);
}
END_TEST

/* The file may have any mode in a checkout, so its text is what is read. */
START_TEST(the_default_file_is_good)
{
    char *text = read_whole("conf/mcpool.json");
    struct reading r = read_good(text);
    ck_assert_uint_eq(r.config->servers_n, 1);
    const struct server_config *s = config_find_server(r.config, SLICE("demo"));
    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(s->command, "mcpool-demo");
    ck_assert_uint_eq(r.config->listen_n, 1);
    ck_assert_uint_eq(r.config->listen[0].port, 7332);
    reading_done(&r);
    free(text);
}
END_TEST

/* What is commented out in it must be true as well. */
START_TEST(the_commented_entry_of_the_default_file_is_good)
{
    static const char *const environment[] = {"HOME", "/home/x", NULL};
    char *text = read_whole("conf/mcpool.json"), *from = strstr(text, "// \"files\"");
    ck_assert_ptr_nonnull(from);
    for (char *c = from; (c = strstr(c, "\n        // ")) != NULL;)
        memcpy(c, "\n           ", strlen("\n        // "));
    memcpy(from, "  ", 2);
    test_environment = environment;
    struct reading r = read_good(text);
    const struct server_config *s = config_find_server(r.config, SLICE("files"));
    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(s->env.v[0], "LOG_LEVEL=warn");
    ck_assert_uint_eq(s->resilience.max_connections, 4);
    reading_done(&r);
    free(text);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_safe_file_is_read);
    tcase_add_test(c, C02_a_link_to_a_safe_file_is_read);
    tcase_add_test(c, C01_files_that_others_can_write_are_refused);
    tcase_add_test(c, C01_files_of_other_users_are_refused);
    tcase_add_test(c, C02_what_is_no_regular_file_is_refused);
    tcase_add_test(c, C02_size_is_bounded);
    tcase_add_test(c, a_broken_file_leaves_the_result_alone);
    tcase_add_test(c, a_thousand_readings_leak_no_descriptor);
    tcase_add_test(c, check_reports_every_line);
    tcase_add_test(c, check_sums_up_a_good_file);
    tcase_add_test(c, check_reports_a_missing_file);
    tcase_add_test(c, the_reference_page_is_up_to_date);
    tcase_add_test(c, the_manual_knows_every_option);
    tcase_add_test(c, the_manual_knows_every_option);
    tcase_add_test(c, the_default_file_is_good);
    tcase_add_test(c, the_commented_entry_of_the_default_file_is_good);
}

int main(void)
{
    return run_cases("file", add);
}
