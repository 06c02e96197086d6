/* base/log: what reaches fd 2 and the journal, byte for byte (security.md J21). journald is played
 * by a socket of the test. */
#include "base/journald.h"
#include "base/log.h"
#include "base/util.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int out = -1;           /* read end of what is stderr during a test */
static int journald_fd = -1;   /* the journal's end */
static char journald_path[64]; /* of its socket */

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

    ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, 0), 0); /* as it usually is: writes would wait */
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

static void journald_listen(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    snprintf(journald_path, sizeof(journald_path), "/tmp/test_log.%d.socket", (int)getpid());
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", journald_path);
    unlink(journald_path);
    journald_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(journald_fd, 0);
    ck_assert_int_eq(bind(journald_fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void teardown(void)
{
    if (journald_path[0])
        unlink(journald_path);
}

/* The next event that came to the journal; "" when there is none. */
static const char *journal(void)
{
    static char text[8192];
    ssize_t n = recv(journald_fd, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void use_journal(intmax_t inode_offset)
{
    char text[64];
    struct stat st;

    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev,
             (uintmax_t)((intmax_t)st.st_ino + inode_offset));
    setenv("JOURNAL_STREAM", text, 1);
    log_open();
    journald_listen();
    journald_open(journald_path);
}

START_TEST(journal_gets_fields)
{
    use_journal(0);
    log_warning(LOG_CTX(.server = "fi\nles", .session = "s", .slot = 2, .reason = "eof"), "x\x1by");
    ck_assert_str_eq(output(), "");
    ck_assert_str_eq(journal(), "MESSAGE=server=fi\\nles slot=2 session=s reason=eof x\\x1by\n"
                                "PRIORITY=4\nSYSLOG_IDENTIFIER=mcpoold\nSERVER=fi\\nles\nSLOT=2\n"
                                "SESSION=s\nREASON=eof\n");
    log_debug(NULL, "filtered");
    log_error(NULL, "plain");
    ck_assert_str_eq(journal(), "MESSAGE=plain\nPRIORITY=3\nSYSLOG_IDENTIFIER=mcpoold\n");
    log_critical(LOG_CTX(.message_id = LOG_ID_RECOVERY_AUDIT), "odd");
    ck_assert_str_eq(journal(), "MESSAGE=odd\nPRIORITY=2\nSYSLOG_IDENTIFIER=mcpoold\n"
                                "MESSAGE_ID=faefd3863f4c4b1db9d18c5932078aca\n");
    log_warning(LOG_CTX(.server = "a", .session = "b", .reason = "timeout", .method = "tools/call",
                        .error_class = "maybe", .principal = "uid:7", .slot = 0, .epoch = 12,
                        .duration = 1234567, .message_id = LOG_ID_CALL_FAILED),
                "all");
    ck_assert_str_eq(
        journal(),
        "MESSAGE=server=a slot=0 epoch=12 session=b principal=uid:7 method=tools/call "
        "duration=1.235s delivered=maybe reason=timeout all\nPRIORITY=4\n"
        "SYSLOG_IDENTIFIER=mcpoold\nMESSAGE_ID=28a01d04762747399e97500ea27d715e\nSERVER=a\nSLOT=0\n"
        "EPOCH=12\nSESSION=b\nPRINCIPAL=uid:7\nMETHOD=tools/call\nDURATION_USEC=1234567\n"
        "DELIVERED=maybe\nREASON=timeout\n");
    ck_assert_str_eq(output(), "");
}
END_TEST

/* Fields of any length: the event stays one datagram of whole lines. */
START_TEST(journal_fields_are_cut)
{
    static char big[100000];
    const char *text;

    memset(big, 'x', sizeof(big) - 1);
    use_journal(0);
    log_info(LOG_CTX(.server = big, .session = big, .reason = big, .method = big,
                     .error_class = big, .principal = big),
             "%s", big);
    text = journal();
    ck_assert_uint_gt(strlen(text), 2 * LOG_LINE_MAX - 500);
    ck_assert_uint_lt(strlen(text), sizeof(big) / 10);
    for (const char *l = text; *l; l = strchr(l, '\n') + 1) {
        const char *end = strchr(l, '\n');
        ck_assert_ptr_nonnull(end);
        ck_assert_ptr_nonnull(memchr(l, '=', (size_t)(end - l)));
    }
    ck_assert_ptr_nonnull(strstr(text, "\nREASON=xxx"));
    ck_assert_ptr_nonnull(strstr(text, "…\n"));
}
END_TEST

/* Nobody reads journald's socket: the lines go to the stream, with their priority, until that is
 * full too; nothing waits for long. Once it is read again, what was lost is told. */
START_TEST(a_stuck_journal_does_not_hold_up_the_daemon)
{
    unsigned in_socket = 0, in_stream = 0, n = 20000;
    char want[64];
    const char *text;

    use_journal(0);
    for (unsigned i = 0; i < n; i++)
        log_warning(LOG_CTX(.server = "x"), "%0*u", 100, i);
    while (*(text = journal()))
        in_socket += strstr(text, "SERVER=x\n") != NULL;
    for (text = output(); *text; text = strchr(text, '\n') + 1, in_stream++)
        ck_assert_msg(strncmp(text, "<4>server=x 0", 13) == 0, "not a line of the stream: %s",
                      text);
    ck_assert_uint_gt(in_socket, 0);
    ck_assert_uint_gt(in_stream, 0);
    ck_assert_uint_eq(in_socket + in_stream + log_lost(), n);
    log_info(NULL, "read again");
    ck_assert_ptr_nonnull(strstr(journal(), "MESSAGE=read again\n"));
    text = journal();
    ck_assert_ptr_nonnull(strstr(text, "MESSAGE_ID=3be9761fc4084e54b2c1790b4b9782d3\n"));
    snprintf(want, sizeof(want), "MESSAGE=%llu earlier lines", (unsigned long long)log_lost());
    ck_assert_msg(strncmp(text, want, strlen(want)) == 0, "not %s: %s", want, text);
    log_info(NULL, "and on");
    ck_assert_ptr_nonnull(strstr(journal(), "MESSAGE=and on\n"));
    ck_assert_str_eq(journal(), "");
}
END_TEST

START_TEST(a_journal_that_is_not_there_or_comes_back)
{
    use_journal(0);
    close(journald_fd);
    unlink(journald_path);
    log_error(NULL, "nobody");
    ck_assert_str_eq(output(), "<3>nobody\n");
    journald_listen();
    log_error(NULL, "somebody");
    ck_assert_ptr_nonnull(strstr(journal(), "MESSAGE=somebody\n"));
    close(journald_fd); /* restarted: another socket under the same name */
    journald_listen();
    log_error(NULL, "somebody else");
    ck_assert_ptr_nonnull(strstr(journal(), "MESSAGE=somebody else\n"));
    ck_assert_str_eq(output(), "");
    ck_assert_uint_eq(log_lost(), 0);
}
END_TEST

static struct {
    unsigned n;
    enum log_level level;
    char text[LOG_LINE_MAX], server[16], id[40];
} heard;

static void on_record(void *arg, const struct log_record *r)
{
    ck_assert_ptr_eq(arg, &heard);
    heard.n++;
    heard.level = r->level;
    snprintf(heard.text, sizeof(heard.text), "%.*s", (int)r->text.n, r->text.p);
    snprintf(heard.server, sizeof(heard.server), "%s", r->ctx ? r->ctx->server : "");
    ck_assert_uint_gt(r->realtime, 0);
}

START_TEST(a_listener_hears_what_is_not_logged_too)
{
    log_set_listener(on_record, &heard);
    log_set_level(LOG_LEVEL_ERROR);
    log_info(LOG_CTX(.server = "s", .slot = 3), "one\n%d", 1);
    ck_assert_uint_eq(heard.n, 1);
    ck_assert_str_eq(heard.text, "one\\n1");
    ck_assert_str_eq(heard.server, "s");
    ck_assert_int_eq(heard.level, LOG_LEVEL_INFO);
    ck_assert_str_eq(output(), "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug(NULL, "below info");
    ck_assert_uint_eq(heard.n, 1);
    log_error(NULL, "two");
    ck_assert_uint_eq(heard.n, 2);
    ck_assert_str_eq(heard.text, "two");
    log_set_listener(NULL, NULL);
    log_error(NULL, "three");
    ck_assert_uint_eq(heard.n, 2);
}
END_TEST

START_TEST(escape_is_that_of_the_log_and_bounded)
{
    char text[64];
    size_t n = log_escape(text, sizeof(text), SLICE("a\x1b[1m\xc3\xa9\n"));

    ck_assert_mem_eq(text, "a\\x1b[1m\xc3\xa9\\n", n);
    ck_assert_uint_eq(n, 12);
    n = log_escape(text, 7, SLICE("a\x1b")); /* no half escapes */
    ck_assert_uint_eq(n, 4);
    ck_assert_mem_eq(text, "a…", n);
    n = log_escape(text, 5, SLICE("a\xc3\xa9"));
    ck_assert_uint_eq(n, 4);
    ck_assert_mem_eq(text, "a…", n);
    ck_assert_uint_eq(log_escape(text, 0, SLICE("a")), 0);
}
END_TEST

START_TEST(ids_are_random_and_none_is_used_twice)
{
#define ID(name, id, subject) {id, LOG_ID_##name},
    static const char *const ids[][2] = {LOG_IDS(ID)};

    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        ck_assert_str_eq(ids[i][0], ids[i][1]);
        ck_assert_uint_eq(strlen(ids[i][0]), 32);
        ck_assert_uint_eq(strspn(ids[i][0], "0123456789abcdef"), 32);
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(ids[i][0], ids[k][0]);
    }
}
END_TEST

START_TEST(journal_of_another_stream_is_not_ours)
{
    use_journal(1);
    log_info(NULL, "here");
    ck_assert_str_eq(line(), "info here\n");
    ck_assert_str_eq(journal(), "");
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

START_TEST(the_end_waits_until_the_journal_has_read_everything)
{
    use_journal(0);
    log_error(LOG_CTX(.message_id = LOG_ID_FATAL), "last words");
    pid_t reader = fork();
    if (reader == 0) {
        usleep(100000);
        _exit(*journal() ? 0 : 1);
    }
    log_settle();
    int unread = -1, status = -1;
    ck_assert_int_eq(ioctl(journald_fd, FIONREAD, &unread), 0);
    ck_assert_int_eq(unread, 0);
    ck_assert_int_eq(waitpid(reader, &status, 0), reader);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(the_end_comes_though_the_journal_is_stuck)
{
    use_journal(0);
    log_error(LOG_CTX(.message_id = LOG_ID_FATAL), "last words");
    log_settle();
    ck_assert_ptr_nonnull(strstr(journal(), "last words"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/log");
    TCase *tc = tcase_create("log");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, line_has_level_fields_and_message);
    tcase_add_test(tc, levels_filter);
    tcase_add_test(tc, level_names_round_trip);
    tcase_add_loop_test(tc, J21_outside_text_is_escaped, 0, ARRAY_LEN(escapes));
    tcase_add_loop_test(tc, J21_a_megabyte_is_cut, 0, ARRAY_LEN(fillers));
    tcase_add_test(tc, full_pipe_loses_lines_but_does_not_block);
    tcase_add_test(tc, errno_survives);
    tcase_add_test(tc, journal_gets_fields);
    tcase_add_test(tc, journal_fields_are_cut);
    tcase_add_test(tc, a_stuck_journal_does_not_hold_up_the_daemon);
    tcase_add_test(tc, a_journal_that_is_not_there_or_comes_back);
    tcase_add_test(tc, journal_of_another_stream_is_not_ours);
    tcase_add_test(tc, a_listener_hears_what_is_not_logged_too);
    tcase_add_test(tc, escape_is_that_of_the_log_and_bounded);
    tcase_add_test(tc, ids_are_random_and_none_is_used_twice);
    tcase_add_test(tc, the_end_waits_until_the_journal_has_read_everything);
    tcase_add_test(tc, the_end_comes_though_the_journal_is_stuck);
    tcase_add_test(tc, terminal_gets_colour_unless_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
