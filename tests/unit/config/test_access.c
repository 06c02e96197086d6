/* config/access and config/secret: tokens and where their secrets may come from, addresses that
 * other machines can reach, the port of the admin interface (security.md C03, C05, C08, A08). */
#include "config/config.h"
#include "config/secret.h"
#include "unit/config/reading.h"

#include "base/digest.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERVERS "\"mcpServers\": {\"a\": {\"command\": \"x\"}, \"b\": {\"command\": \"x\"}}"
#define SECRET  "0123456789abcdef"

static char dir[64], path[100], text[1000];

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/test_access_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/secrets", dir);
    test_environment = NULL;
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

static void write_secrets(const char *lines, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, lines, strlen(lines)), (ssize_t)strlen(lines));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

static void read_params(struct reading *r, struct config_params *params, const char *json)
{
    *r = (struct reading){0};
    config_errors_init(&r->errs);
    params->is_loopback_name = test_is_loopback_name;
    r->result = config_parse(slice_str(json), params, &r->config, &r->errs);
}

/* A configuration with one token in the file at `path`, read as the file's owner. */
static struct reading read_file_token(bool check_only)
{
    struct reading r;
    struct config_params params = {.uid = geteuid(), .check_only = check_only};
    snprintf(text, sizeof(text), "{\"tokens\": {\"laptop\": {\"file\": \"%s\"}}, " SERVERS "}",
             path);
    read_params(&r, &params, text);
    return r;
}

static void expect_file_error(const char *what)
{
    struct reading r = read_file_token(false);
    ck_assert_int_eq(r.result, -EINVAL);
    ck_assert_uint_eq(r.errs.errors, 1);
    ck_assert_uint_eq(r.errs.v[0].line, 1);
    ck_assert_uint_eq(r.errs.v[0].column, 32);
    ck_assert_msg(strstr(r.errs.v[0].text, what) != NULL, "%s\nnot: %s", r.errs.v[0].text, what);
    ck_assert_ptr_null(strstr(r.errs.v[0].text, "0123456789"));
    reading_done(&r);
}

static void check_digest(const struct config *c, size_t i, const char *secret, const char *name)
{
    unsigned char digest[DIGEST_SIZE];
    digest_sha256(slice_str(secret), digest);
    ck_assert_uint_lt(i, c->secrets_n);
    ck_assert_mem_eq(c->secrets[i].digest, digest, DIGEST_SIZE);
    ck_assert_str_eq(c->tokens[c->secrets[i].token].name, name);
    ck_assert_ptr_eq(config_find_token(c, digest), &c->tokens[c->secrets[i].token]);
    digest[DIGEST_SIZE - 1] ^= 1;
    ck_assert_ptr_null(config_find_token(c, digest));
}

START_TEST(test_tokens_default_is_none)
{
    struct reading r = read_good("{" SERVERS "}");
    ck_assert_uint_eq(r.config->tokens_n, 0);
    ck_assert_uint_eq(r.config->secrets_n, 0);
    ck_assert(!r.config->allow_unauthenticated);
    ck_assert_ptr_null(r.config->admin_listen);
    reading_done(&r);
    r = read_good("{\"tokens\": {}, " SERVERS "}");
    ck_assert_uint_eq(r.config->tokens_n, 0);
    reading_done(&r);
}
END_TEST

START_TEST(secrets_come_from_a_file_a_line_each)
{
    write_secrets("  " SECRET "-1 \t\r\n\n\r\n" SECRET "-2\n" SECRET "-1\n" SECRET "~!", 0600);
    struct reading r = read_file_token(false);
    ck_assert_int_eq(r.result, 0);
    ck_assert_uint_eq(r.errs.n, 0);
    ck_assert_uint_eq(r.config->tokens_n, 1);
    ck_assert_str_eq(r.config->tokens[0].principal, "token:laptop");
    ck_assert(r.config->tokens[0].all_servers);
    ck_assert_uint_eq(r.config->secrets_n, 3);
    check_digest(r.config, 0, SECRET "-1", "laptop");
    check_digest(r.config, 1, SECRET "-2", "laptop");
    check_digest(r.config, 2, SECRET "~!", "laptop");
    reading_done(&r);
}
END_TEST

START_TEST(C01_a_secret_that_others_can_read_is_refused)
{
    static const mode_t bad[] = {0644, 0604, 0602, 0601, 0620, 0660, 0777};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        write_secrets(SECRET, bad[i]);
        expect_file_error("can be used by others");
    }
    static const mode_t good[] = {0600, 0400};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        write_secrets(SECRET, good[i]);
        struct reading r = read_file_token(false);
        ck_assert_int_eq(r.result, 0);
        reading_done(&r);
    }
}
END_TEST

START_TEST(C01_roots_group_may_read_and_no_other_user_may_own)
{
    struct reading r;
    if (geteuid() != 0)
        return; /* only root can give files away */
    write_secrets(SECRET, 0640);
    r = read_file_token(false);
    ck_assert_int_eq(r.result, 0);
    reading_done(&r);
    ck_assert_int_eq(chown(path, 1234, 0), 0);
    expect_file_error("can be used by others");
    ck_assert_int_eq(chmod(path, 0600), 0);
    expect_file_error("belongs to user 1234");
    r = read_file_token(true);
    ck_assert_int_eq(r.result, 0);
    ck_assert_uint_eq(r.errs.warnings, 1);
    ck_assert_ptr_nonnull(strstr(r.errs.v[0].text, "was not looked at"));
    reading_done(&r);
}
END_TEST

START_TEST(C02_what_is_no_file_of_secrets_is_refused)
{
    expect_file_error("No such file");
    write_secrets("\n \n", 0600);
    expect_file_error("holds no secret");
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    expect_file_error("is no regular file");
    unlink(path);
    ck_assert_int_eq(symlink("/dev/zero", path), 0);
    expect_file_error("is no regular file");
    unlink(path);
    write_secrets(SECRET, 0600);
    ck_assert_int_eq(truncate(path, SECRET_FILE_MAX + 1), 0);
    expect_file_error("is larger than");
}
END_TEST

START_TEST(secrets_are_long_and_visible)
{
    char long_one[SECRET_MAX + 2];
    write_secrets("0123456789abcde", 0600);
    expect_file_error("line 1 of the file: the secret is shorter than 16");
    write_secrets(SECRET "\n\n01234567 89abcdef\n", 0600);
    expect_file_error("line 3 of the file: the secret holds something else than visible ASCII");
    write_secrets("0123456789abcdef\xc3\xa4", 0600);
    expect_file_error("visible ASCII");
    memset(long_one, 'x', sizeof(long_one));
    long_one[SECRET_MAX + 1] = '\0';
    write_secrets(long_one, 0600);
    expect_file_error("longer than 4096");
    write_secrets(long_one + 1, 0600);
    struct reading r = read_file_token(false);
    ck_assert_int_eq(r.result, 0);
    reading_done(&r);
}
END_TEST

START_TEST(relative_files_begin_at_the_configuration)
{
    struct reading r;
    struct config_params params = {.uid = geteuid(), .base_dir = dir};
    write_secrets(SECRET, 0600);
    read_params(&r, &params, "{\"tokens\": {\"x\": {\"file\": \"secrets\"}}, " SERVERS "}");
    ck_assert_int_eq(r.result, 0);
    check_digest(r.config, 0, SECRET, "x");
    reading_done(&r);
}
END_TEST

START_TEST(credentials_come_from_the_service_manager)
{
    const char *environment[] = {"CREDENTIALS_DIRECTORY", dir, NULL};
    static const char json[] = "{\"tokens\": {\"x\": {\"credential\": \"secrets\"}}, " SERVERS "}";
    write_secrets(SECRET, 0644); /* the service manager decides who can read it */
    test_environment = environment;
    struct reading r = read_good(json);
    check_digest(r.config, 0, SECRET, "x");
    reading_done(&r);
    expect_error("{\"tokens\": {\"x\": {\"credential\": \"other\"}}, " SERVERS "}", 1, 33,
                 "No such file");
    test_environment = NULL;
    expect_error(json, 1, 33, "$CREDENTIALS_DIRECTORY, which is not set");

    struct config_params params = {.uid = 1000, .getenv = test_getenv, .check_only = true};
    read_params(&r, &params, json);
    ck_assert_int_eq(r.result, 0);
    ck_assert_uint_eq(r.errs.warnings, 1);
    ck_assert_uint_eq(r.config->tokens_n, 1);
    reading_done(&r);
}
END_TEST

START_TEST(C08_a_secret_in_the_open_is_warned_about)
{
    expect_warning("{\"tokens\": {\"x\": {\"token\": \"" SECRET "\"}}, " SERVERS "}", 1, 28,
                   "secret in the open");
}
END_TEST

START_TEST(C08_the_snapshot_holds_no_secret)
{
    static const char *const environment[] = {"T", SECRET "-from-the-environment", NULL};
    test_environment = environment;
    struct reading r = read_good("{\"tokens\": {\"x\": {\"token\": \"${T}\"}}, " SERVERS "}");
    ck_assert_uint_eq(r.config->secrets_n, 1);
    check_digest(r.config, 0, SECRET "-from-the-environment", "x");
    reading_done(&r);
    expect_error("{\"tokens\": {\"x\": {\"token\": \"${UNSET}\"}}, " SERVERS "}", 1, 28, "UNSET");
}
END_TEST

START_TEST(one_secret_is_one_client)
{
    write_secrets(SECRET, 0600);
    struct reading r;
    struct config_params params = {.uid = geteuid()};
    snprintf(text, sizeof(text),
             "{\"tokens\": {\"x\": {\"file\": \"%s\"},\n \"y\": {\"file\": \"%s\"}}, " SERVERS "}",
             path, path);
    read_params(&r, &params, text);
    ck_assert_int_eq(r.result, -EINVAL);
    ck_assert_uint_eq(r.errs.errors, 1);
    ck_assert_uint_eq(r.errs.v[0].line, 2);
    ck_assert_ptr_nonnull(strstr(r.errs.v[0].text, "one of \"tokens.x\" already"));
    reading_done(&r);
}
END_TEST

#define INLINE "\"token\": \"${T}\""

static const struct {
    const char *json;
    unsigned line, column;
    const char *what;
} faults[] = {
    {"{\"tokens\": [], " SERVERS "}", 1, 12, "must be an object"},
    {"{\"tokens\": {\"x\": \"secret\"}, " SERVERS "}", 1, 18, "\"tokens.x\" must be an object"},
    {"{\"tokens\": {\"x\": {}}, " SERVERS "}", 1, 13, "exactly one of"},
    {"{\"tokens\": {\"x\": {\"servers\": [\"a\"]}}, " SERVERS "}", 1, 13, "exactly one of"},
    {"{\"tokens\": {\"x\": {" INLINE ", \"fil\": \"/x\"}}, " SERVERS "}", 1, 36,
     "unknown key \"tokens.x.fil\""},
    {"{\"tokens\": {\"x\": {\"file\": 1}}, " SERVERS "}", 1, 27, "must be a string"},
    {"{\"tokens\": {\"x\": {\"file\": \"\"}}, " SERVERS "}", 1, 27, "is empty"},
    {"{\"tokens\": {\"x\": {\"credential\": \"../x\"}}, " SERVERS "}", 1, 33, "plain file name"},
    {"{\"tokens\": {\"x\": {\"credential\": \".x\"}}, " SERVERS "}", 1, 33, "plain file name"},
    {"{\"tokens\": {\"x\": {\"credential\": \"a/b\"}}, " SERVERS "}", 1, 33, "plain file name"},
    {"{\"tokens\": {\"x\": {" INLINE ", \"servers\": \"a\"}}, " SERVERS "}", 1, 47, "an array"},
    {"{\"tokens\": {\"x\": {" INLINE ", \"servers\": [1]}}, " SERVERS "}", 1, 48,
     "must hold strings"},
    {"{\"tokens\": {\"x\": {" INLINE ", \"servers\": [\"a\", \"aa\"]}}, " SERVERS "}", 1, 53,
     "there is no server \"aa\""},
    /* names: C03 */
    {"{\"tokens\": {\"anonymous\": {" INLINE "}}, " SERVERS "}", 1, 13, "is reserved"},
    {"{\"tokens\": {\"uid\": {" INLINE "}}, " SERVERS "}", 1, 13, "is reserved"},
    {"{\"tokens\": {\"\": {" INLINE "}}, " SERVERS "}", 1, 13, "is empty"},
    {"{\"tokens\": {\"a/b\": {" INLINE "}}, " SERVERS "}", 1, 13, "something else than"},
    {"{\"tokens\": {\"a..b\": {" INLINE "}}, " SERVERS "}", 1, 13, "holds \"..\""},
    {"{\"tokens\": {\"a\\u001b\": {" INLINE "}}, " SERVERS "}", 1, 13, "something else than"},
    {"{\"tokens\": {\"x\": {" INLINE "}, \"x\": {" INLINE "}}, " SERVERS "}", 1, 37,
     "duplicate key"},
    /* nobody can reach what nobody may use */
    {"{\"listen\": [\"127.0.0.1:1\",\n\"0.0.0.0:1\"], " SERVERS "}", 2, 1,
     "can be reached from other machines, and there are no \"tokens\""},
    {"{\"listen\": [\"[::]:1\"], " SERVERS "}", 1, 13, "no \"tokens\""},
    {"{\"listen\": [\"[::ffff:127.0.0.1]:1\"], " SERVERS "}", 1, 13, "no \"tokens\""},
    {"{\"listen\": [\"192.0.2.1:1\"], " SERVERS "}", 1, 13, "\"allow_unauthenticated\": true"},
    {"{\"listen\": [\"127.example.org:1\"], " SERVERS "}", 1, 13, "no \"tokens\""},
    {"{\"listen\": [\"other-machine:1\"], " SERVERS "}", 1, 13, "no \"tokens\""},
    {"{\"listen\": [\"other-machine:1\"], \"tokens\": {}, " SERVERS "}", 1, 13, "no \"tokens\""},
    {"{\"listen\": [\"other-machine:1\"], \"allow_unauthenticated\": false, " SERVERS "}", 1, 13,
     "no \"tokens\""},
    /* A08 */
    {"{\"admin_listen\": \"0.0.0.0:7333\", " SERVERS "}", 1, 18, "no loopback address"},
    {"{\"admin_listen\": \"[::]:7333\", " SERVERS "}", 1, 18, "no loopback address"},
    {"{\"admin_listen\": \"this-machine:7333\", " SERVERS "}", 1, 18, "no loopback address"},
    {"{\"admin_listen\": \"192.0.2.1:7333\", \"allow_unauthenticated\": true, " SERVERS "}", 1, 18,
     "no loopback address"},
    {"{\"admin_listen\": \"127.0.0.1\", " SERVERS "}", 1, 18, "not of the form"},
    {"{\"admin_listen\": \"unix:/x\", " SERVERS "}", 1, 18, "not of the form"},
    {"{\"admin_listen\": 7333, " SERVERS "}", 1, 18, "must be a string"},
};

START_TEST(C03_C05_A08_faults_are_named_where_they_are)
{
    static const char *const environment[] = {"T", SECRET, NULL};
    test_environment = environment;
    expect_error(faults[_i].json, faults[_i].line, faults[_i].column, faults[_i].what);
}
END_TEST

START_TEST(tokens_open_what_they_name)
{
    static const char *const environment[] = {"T", SECRET, "U", SECRET "u", "V", SECRET "v", NULL};
    test_environment = environment;
    struct reading r = read_text("{\"tokens\": {\"x\": {" INLINE ", \"servers\": [\"b\"]},"
                                 "\"y\": {\"token\": \"${U}\"},"
                                 "\"z\": {\"token\": \"${V}\", \"servers\": []}}, " SERVERS "}");
    ck_assert_int_eq(r.result, 0);
    ck_assert_uint_eq(r.errs.n, 1);
    ck_assert_ptr_nonnull(strstr(r.errs.v[0].text, "opens nothing"));
    const struct config_token *t = r.config->tokens;
    ck_assert(!config_token_opens(&t[0], SLICE("a")) && config_token_opens(&t[0], SLICE("b")));
    ck_assert(config_token_opens(&t[1], SLICE("a")) && config_token_opens(&t[1], SLICE("b")));
    ck_assert(!config_token_opens(&t[2], SLICE("a")) && !config_token_opens(&t[2], SLICE("b")));
    reading_done(&r);
}
END_TEST

START_TEST(test_allow_unauthenticated_and_tokens_open_other_addresses)
{
    static const char *const environment[] = {"T", SECRET, NULL};
    test_environment = environment;
    expect_warning("{\"listen\": [\"0.0.0.0:1\"], \"allow_unauthenticated\": true, " SERVERS "}", 1,
                   13, "whoever reaches it can use every server");
    expect_warning("{\"listen\": [\"0.0.0.0:1\"], \"tokens\": {\"x\": {" INLINE "}}, " SERVERS "}",
                   1, 13, "there is no encryption on it");
    expect_warning("{\"tokens\": {\"x\": {" INLINE "}}, \"allow_unauthenticated\": true, " SERVERS
                   "}",
                   1, 2, "changes nothing");
    struct reading r = read_good("{\"listen\": [\"this-machine:1\", \"LocalHost:1\", \"[::1]:1\", "
                                 "\"127.1.2.3:1\", \"unix:/x\"], " SERVERS "}");
    ck_assert_uint_eq(r.config->listen_n, 5);
    reading_done(&r);
}
END_TEST

START_TEST(a_name_that_nobody_resolves_is_warned_about_by_a_check)
{
    static const char *const names[] = {"some-machine:1", "0.0.0.0:1", "[::]:1"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct reading r = {0};
        struct config_params params = {.uid = 1000, .check_only = true};
        config_errors_init(&r.errs);
        snprintf(text, sizeof(text), "{\"listen\": [\"%s\"], " SERVERS "}", names[i]);
        r.result = config_parse(slice_str(text), &params, &r.config, &r.errs);
        ck_assert_uint_eq(r.errs.n, 1);
        ck_assert_int_eq(r.result, i == 0 ? 0 : -EINVAL);
        reading_done(&r);
        config_errors_init(&r.errs);
        params.check_only = false;
        r.config = NULL;
        ck_assert_int_eq(config_parse(slice_str(text), &params, &r.config, &r.errs), -EINVAL);
        reading_done(&r);
    }
}
END_TEST

START_TEST(test_admin_listen_is_a_loopback_address)
{
    struct reading r = read_good("{\"admin_listen\": \"[::1]:7333\", " SERVERS "}");
    ck_assert_str_eq(r.config->admin_listen->host_port, "[::1]:7333");
    ck_assert_str_eq(r.config->admin_listen->host, "::1");
    ck_assert_uint_eq(r.config->admin_listen->port, 7333);
    reading_done(&r);
    r = read_good("{\"admin_listen\": \"localhost:0\", " SERVERS "}");
    ck_assert_uint_eq(r.config->admin_listen->port, 0);
    reading_done(&r);
}
END_TEST

START_TEST(places_are_found_without_the_secrets)
{
    struct reading r;
    struct config_params params = {.uid = 1000, .without_servers = true};
    read_params(&r, &params,
                "{\"tokens\": {\"x\": {\"file\": \"/no/such/file\", \"servers\": [\"a\"]}}, "
                "\"listen\": [\"0.0.0.0:1\"], \"admin\": \"unix:/a\", " SERVERS "}");
    ck_assert_int_eq(r.result, 0);
    ck_assert_str_eq(r.config->admin_path, "/a");
    reading_done(&r);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, test_tokens_default_is_none);
    tcase_add_test(c, secrets_come_from_a_file_a_line_each);
    tcase_add_test(c, C01_a_secret_that_others_can_read_is_refused);
    tcase_add_test(c, C01_roots_group_may_read_and_no_other_user_may_own);
    tcase_add_test(c, C02_what_is_no_file_of_secrets_is_refused);
    tcase_add_test(c, secrets_are_long_and_visible);
    tcase_add_test(c, relative_files_begin_at_the_configuration);
    tcase_add_test(c, credentials_come_from_the_service_manager);
    tcase_add_test(c, C08_a_secret_in_the_open_is_warned_about);
    tcase_add_test(c, C08_the_snapshot_holds_no_secret);
    tcase_add_test(c, one_secret_is_one_client);
    tcase_add_loop_test(c, C03_C05_A08_faults_are_named_where_they_are, 0, ARRAY_LEN(faults));
    tcase_add_test(c, tokens_open_what_they_name);
    tcase_add_test(c, test_allow_unauthenticated_and_tokens_open_other_addresses);
    tcase_add_test(c, a_name_that_nobody_resolves_is_warned_about_by_a_check);
    tcase_add_test(c, test_admin_listen_is_a_loopback_address);
    tcase_add_test(c, places_are_found_without_the_secrets);
}

int main(void)
{
    return run_cases("access", add);
}
