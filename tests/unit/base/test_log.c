/* base/log: what reaches fd 2 and the journal, byte for byte (security.md J21). The journal's
 * client function is replaced by one that records the fields. */
#include "base/log.h"
#include "base/util.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int out = -1;       /* read end of what is stderr during a test */
static char journal[8192]; /* the fields of the last journal event, one a line */

int sd_journal_sendv(const struct iovec *iov, int n);

int sd_journal_sendv(const struct iovec *iov, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++) {
        ck_assert_uint_lt(len + iov[i].iov_len + 1, sizeof(journal));
        memcpy(journal + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
        journal[len++] = '\n';
    }
    journal[len] = '\0';
    return 0;
}

/* Tests run in a process of their own, so fd 2 and the environment need no restoring. */
static void setup(void)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    close(fds[1]);
    out = fds[0];
    unsetenv("JOURNAL_STREAM");
    log_open();
}

/* The next write(2) of the log; pipes keep them apart only by content, so this reads all there is.
 */
static const char *output(void)
{
    static char text[65536];
    ssize_t n = read(out, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* The output after the timestamp, which is checked for its form. */
static const char *line(void)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
    const char *s = output();

    for (size_t i = 0; form[i]; i++)
        ck_assert_msg(form[i] == 'd' ? s[i] >= '0' && s[i] <= '9' : s[i] == form[i],
                      "no timestamp: %s", s);
    return s + sizeof(form) - 1;
}

START_TEST(line_has_level_fields_and_message)
{
    log_warning(LOG_CTX(.server = "files", .slot = 0, .reason = "timeout"), "gave up after %d s",
                3);
    ck_assert_str_eq(line(), "warning server=files slot=0 reason=timeout gave up after 3 s\n");
    log_error(NULL, "plain");
    ck_assert_str_eq(line(), "error plain\n");
    log_notice(LOG_CTX(.session = "s1"), "x");
    ck_assert_str_eq(line(), "notice session=s1 x\n");
}
END_TEST

START_TEST(levels_filter)
{
    log_debug(NULL, "no");
    ck_assert_str_eq(output(), "");
    ck_assert(!log_enabled(LOG_LEVEL_DEBUG));
    log_set_level(LOG_LEVEL_ERROR);
    log_warning(NULL, "no");
    ck_assert_str_eq(output(), "");
    log_critical(NULL, "yes");
    ck_assert_str_eq(line(), "critical yes\n");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug(NULL, "yes");
    ck_assert_str_eq(line(), "debug yes\n");
}
END_TEST

START_TEST(level_names_round_trip)
{
    for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_CRITICAL; level++)
        ck_assert_int_eq(log_level_from_name(log_level_name((enum log_level)level)), level);
    ck_assert_int_eq(log_level_from_name("Warning"), -1);
    ck_assert_int_eq(log_level_from_name(""), -1);
}
END_TEST

static const struct {
    const char *in, *out;
} escapes[] = {
    {"two\nlines", "two\\nlines"},
    {"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"},
    {"\r\t\x07\x7f", "\\x0d\\x09\\x07\\x7f"},
    {"\xff\xfe", "\\xff\\xfe"},
    {"\xc2\x9b"
     "2J",
     "\\xc2\\x9b2J"},                    /* C1 CSI in UTF-8 */
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* surrogate */
    {"\xe2\x80\xae", "\\xe2\\x80\\xae"}, /* right-to-left override */
    {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"}, /* line separator */
    {"\xc3\xa9 \xf0\x9f\x98\x80", "\xc3\xa9 \xf0\x9f\x98\x80"},
    {"%n%s%99999d", "%n%s%99999d"},
};

START_TEST(J21_outside_text_is_escaped)
{
    char want[256];

    log_info(LOG_CTX(.server = escapes[_i].in), "<%s>", escapes[_i].in);
    snprintf(want, sizeof(want), "info server=%s <%s>\n", escapes[_i].out, escapes[_i].out);
    ck_assert_str_eq(line(), want);
}
END_TEST

static const char *const fillers[] = {"x", "\x1b", "\xc3\xa9", "\xf0\x9f\x98\x80", "\n", "\xff"};

START_TEST(J21_a_megabyte_is_cut)
{
    const char *unit = fillers[_i];
    size_t n = strlen(unit), len;
    char *big = xmalloc(1000000 + 8);
    const char *got;

    for (size_t shift = 0; shift < 4; shift++) {
        size_t at = 0;

        while (at < shift)
            big[at++] = '.';
        while (at < 1000000) {
            memcpy(big + at, unit, n);
            at += n;
        }
        big[at] = '\0';
        log_info(LOG_CTX(.server = shift & 1 ? "files" : big), "%s", big);
        got = output();
        len = strlen(got);
        ck_assert_uint_le(len, LOG_LINE_MAX);
        ck_assert_uint_gt(len, LOG_LINE_MAX - 32);
        ck_assert_str_eq(got + len - 4, "…\n");
        ck_assert_ptr_eq(strchr(got, '\n'), got + len - 1);
        for (size_t i = 0; i < len - 1; i++)
            ck_assert((unsigned char)got[i] >= 0x20 && got[i] != 0x7f);
        if (n > 1) /* no character was cut in two */
            ck_assert_ptr_null(strstr(got, "\\x"));
    }
    free(big);
}
END_TEST

START_TEST(full_pipe_loses_lines_but_does_not_block)
{
    size_t line_len = strlen("2026-11-22T10:11:12.123Z info ") + 500 + 1, len;

    for (int i = 0; i < 5000; i++)
        log_info(NULL, "%0*d", 500, i);
    len = strlen(output());
    ck_assert_uint_gt(len, 50000);
    ck_assert_uint_eq(len % line_len, 0);
}
END_TEST

START_TEST(errno_survives)
{
    close(STDERR_FILENO);
    errno = EXDEV;
    log_info(NULL, "nowhere");
    ck_assert_int_eq(errno, EXDEV);
}
END_TEST

static void use_journal(intmax_t inode_offset)
{
    char text[64];
    struct stat st;

    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev,
             (uintmax_t)((intmax_t)st.st_ino + inode_offset));
    setenv("JOURNAL_STREAM", text, 1);
    log_open();
}

START_TEST(journal_gets_fields)
{
    use_journal(0);
    log_warning(LOG_CTX(.server = "fi\nles", .session = "s", .slot = 2, .reason = "eof"), "x\x1by");
    ck_assert_str_eq(output(), "");
    ck_assert_str_eq(journal, "MESSAGE=server=fi\\nles slot=2 session=s reason=eof x\\x1by\n"
                              "PRIORITY=4\nSERVER=fi\\nles\nSESSION=s\nREASON=eof\nSLOT=2\n");
    log_debug(NULL, "filtered");
    log_error(NULL, "plain");
    ck_assert_str_eq(journal, "MESSAGE=plain\nPRIORITY=3\n");
    log_critical(LOG_CTX(.message_id = LOG_ID_RECOVERY_AUDIT), "odd");
    ck_assert_str_eq(journal,
                     "MESSAGE=odd\nPRIORITY=2\nMESSAGE_ID=faefd3863f4c4b1db9d18c5932078aca\n");
}
END_TEST

START_TEST(journal_of_another_stream_is_not_ours)
{
    use_journal(1);
    log_info(NULL, "here");
    ck_assert_str_eq(line(), "info here\n");
    ck_assert_str_eq(journal, "");
    setenv("JOURNAL_STREAM", "nonsense", 1);
    log_open();
    log_info(NULL, "here");
    ck_assert_str_eq(line(), "info here\n");
}
END_TEST

START_TEST(terminal_gets_colour_unless_refused)
{
    int master, slave;
    char text[256];
    ssize_t n;

    ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
    dup2(slave, STDERR_FILENO);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    log_open();
    log_error(NULL, "red");
    n = read(master, text, sizeof(text) - 1);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    ck_assert_ptr_nonnull(strstr(text, "Z \x1b[31merror red\x1b[0m"));
    setenv("NO_COLOR", "1", 1);
    log_open();
    log_error(NULL, "plain");
    n = read(master, text, sizeof(text) - 1);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    ck_assert_ptr_nonnull(strstr(text, "Z error plain"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/log");
    TCase *tc = tcase_create("log");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, line_has_level_fields_and_message);
    tcase_add_test(tc, levels_filter);
    tcase_add_test(tc, level_names_round_trip);
    tcase_add_loop_test(tc, J21_outside_text_is_escaped, 0, ARRAY_LEN(escapes));
    tcase_add_loop_test(tc, J21_a_megabyte_is_cut, 0, ARRAY_LEN(fillers));
    tcase_add_test(tc, full_pipe_loses_lines_but_does_not_block);
    tcase_add_test(tc, errno_survives);
    tcase_add_test(tc, journal_gets_fields);
    tcase_add_test(tc, journal_of_another_stream_is_not_ours);
    tcase_add_test(tc, terminal_gets_colour_unless_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
