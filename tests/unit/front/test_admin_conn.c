/* Connections of the admin interface over a real loop and a real socket: requests in any cut, many
 * on one connection, readers that do not read, too many, and those who may not. */
#include "admin_test.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop loop;
static struct admin *admin;
static char dir[] = "/tmp/mcpool-admin-XXXXXX";
static char path[64];
static char got[16 * 1024 * 1024];
static size_t got_n;

static void begin(const char *extra)
{
    world_new(extra, NULL);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/admin.sock", dir);
    struct config *c = (struct config *)(uintptr_t)w.config; /* nobody else has it yet */
    c->admin_path = path;
    ck_assert_int_eq(loop_init(&loop), 0);
    ck_assert_int_eq(admin_new(&loop, w.proxy, w.config, NULL, &admin), 0);
}

static void end(void)
{
    admin_free(admin);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(rmdir(dir), 0);
    world_end();
    loop_done(&loop);
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Turns of the loop until nothing more happens by itself: between two sockets of one host nothing
 * is ever under way. */
static void settle(void)
{
    for (int i = 0; i < 50; i++)
        loop_turn(&loop, 0);
}

/* Reads what is there, without waiting. false: the end came. */
static bool read_now(int fd)
{
    ssize_t n;
    while ((n = read(fd, got + got_n, sizeof(got) - 1 - got_n)) > 0)
        got_n += (size_t)n;
    got[got_n] = 0;
    return n != 0;
}

/* Runs until `done` stands in what fd received, or its end came when done is NULL. */
static void read_until(int fd, const char *done)
{
    got_n = 0;
    for (int i = 0; i < 5000; i++) {
        loop_turn(&loop, 0);
        bool open = read_now(fd);
        if (done ? strstr(got, done) != NULL : !open)
            return;
        ck_assert_msg(open, "closed after: %.500s", got);
    }
    ck_abort_msg("no %s in: %.500s", done ? done : "end", got);
}

static unsigned count(const char *part)
{
    unsigned n = 0;
    for (const char *p = got; (p = strstr(p, part)); p++)
        n++;
    return n;
}

START_TEST(A01_the_socket_is_for_its_owner_only)
{
    struct stat st;
    begin(NULL);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    end();
}
END_TEST

START_TEST(A02_a_second_one_on_the_same_path_is_refused)
{
    struct admin *second = NULL;
    begin(NULL);
    log_set_level(LOG_LEVEL_CRITICAL);
    ck_assert_int_eq(admin_new(&loop, w.proxy, w.config, NULL, &second), -EADDRINUSE);
    ck_assert_ptr_null(second);
    ck_assert_int_eq(access(path, F_OK), 0);
    end();
}
END_TEST

START_TEST(a_request_byte_by_byte)
{
    static const char text[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    begin(NULL);
    int fd = dial();
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        ck_assert_int_eq(write(fd, text + i, 1), 1);
        loop_turn(&loop, 0);
    }
    read_until(fd, "\r\n\r\nok\n");
    ck_assert_has(got, "HTTP/1.1 200 OK\r\n");
    ck_assert_ptr_null(strstr(got, "Connection:"));
    close(fd);
    end();
}
END_TEST

START_TEST(requests_in_a_row_are_answered_in_order)
{
    begin(NULL);
    int fd = dial();
    send_text(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
                  "HEAD /status HTTP/1.1\r\nHost: x\r\n\r\n"
                  "GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
                  "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
                  "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    read_until(fd, NULL);
    ck_assert_uint_eq(count("HTTP/1.1 "), 5);
    const char *ok = strstr(got, "\r\n\r\nok\n"), *head = strstr(got, "nosniff\r\n\r\nHTTP"),
               *status = strstr(got, "\r\n0\r\n\r\nHTTP"), *last = strstr(got, "404 Not Found");
    ck_assert(ok && head && status && last);
    ck_assert(ok < head && head < status && status < last);
    ck_assert_uint_eq(count("ok\n"), 1); /* HEAD has none */
    ck_assert_uint_eq(count("\"uptime_seconds\""), 1);
    close(fd);
    end();
}
END_TEST

START_TEST(a_watcher_ends_the_connection_whichever_way)
{
    begin(NULL);
    for (int i = 0; i < 3 * ADMIN_READERS_MAX; i++) { /* no place is lost */
        int fd = dial();
        send_text(fd, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i % 3 == 0) /* in the middle of a document, or before its beginning */
            loop_turn(&loop, 0);
        else
            read_until(fd, "\n\n");
        if (i % 3 == 1) {
            shutdown(fd, SHUT_WR);
            read_until(fd, NULL);
        }
        close(fd);
        settle();
    }
    ck_assert_ptr_null(TAILQ_FIRST(&admin->conns));
    end();
}
END_TEST

START_TEST(what_a_watcher_says_is_dropped)
{
    static char junk[64 * 1024];
    begin(NULL);
    int fd = dial();
    memset(junk, 'x', sizeof(junk));
    send_text(fd, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"
                  "POST /recover HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(fd, "\n\n");
    for (size_t sent = 0; sent < 4 << 20;) { /* more than any buffer on the way holds */
        ssize_t n = write(fd, junk, sizeof(junk));
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(&loop, 0);
    }
    settle();
    read_now(fd);
    ck_assert_uint_eq(count("HTTP/1.1 "), 1);
    ck_assert_uint_eq(w.opens, 0);
    close(fd);
    end();
}
END_TEST

START_TEST(old_clients_get_a_body_that_ends_with_the_connection)
{
    begin(NULL);
    int fd = dial();
    send_text(fd, "GET /status HTTP/1.0\r\n\r\n");
    read_until(fd, NULL);
    ck_assert_has(got, "Connection: close\r\n");
    ck_assert_ptr_null(strstr(got, "chunked"));
    cJSON *t = cJSON_Parse(strstr(got, "\r\n\r\n"));
    ck_assert_ptr_nonnull(t);
    cJSON_Delete(t);
    close(fd);
    end();
}
END_TEST

START_TEST(a_client_may_end_its_side_and_still_read)
{
    begin(NULL);
    int fd = dial();
    send_text(fd, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    read_until(fd, NULL);
    ck_assert_has(got, "\r\n0\r\n\r\n");
    close(fd);
    end();
}
END_TEST

static const struct {
    const char *text, *answer;
} bad[] = {
    {"garbage\r\n\r\n", "HTTP/1.1 400 "},
    {"GET /status HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "}, /* no Host */
    {"GET /status HTTP/1.1\nHost: x\n\n", "HTTP/1.1 400 "},
    {"GET /status HTTP/3.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505 "},
    {"GET http://x/status HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
    {"POST /recover HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nall", "HTTP/1.1 400 "},
    {"POST /recover HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "HTTP/1.1 400 "},
    {"POST /recover HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
     "HTTP/1.1 400 "},
    {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nGET /status HTTP/1.1\r\n",
     "HTTP/1.1 400 "},
};

/* One answer, then the end: what follows such a request is not looked at. */
START_TEST(A03_what_is_no_request_ends_the_connection)
{
    begin(NULL);
    int fd = dial();
    send_text(fd, bad[_i].text);
    read_until(fd, NULL);
    ck_assert_int_eq(strncmp(got, bad[_i].answer, strlen(bad[_i].answer)), 0);
    ck_assert_uint_eq(count("Content-Type: "), 1);
    ck_assert_has(got, "Connection: close\r\n");
    ck_assert_has(got, "{\"error\":\"");
    ck_assert_uint_eq(w.opens, 0);
    close(fd);
    end();
}
END_TEST

START_TEST(A03_a_head_without_end_is_refused)
{
    begin(NULL);
    int fd = dial();
    char line[1024] = "GET /status HTTP/1.1\r\nHost: x\r\n";
    send_text(fd, line);
    memset(line, 'x', sizeof(line));
    memcpy(line, "X: ", 3);
    memcpy(line + sizeof(line) - 3, "\r\n", 3);
    for (int i = 0; i < 20; i++) {
        ssize_t n = write(fd, line, sizeof(line) - 1);
        ck_assert(n > 0 || errno == EPIPE);
        loop_turn(&loop, 0);
    }
    read_until(fd, NULL);
    ck_assert_has(got, "HTTP/1.1 431 ");
    close(fd);
    end();
}
END_TEST

static void accept_as_stranger(void *arg, int fd, const struct peer *peer)
{
    struct peer stranger = *peer;
    stranger.uid = geteuid() + 1;
    admin_conn_start(arg, fd, &stranger);
}

START_TEST(A01_a_stranger_is_refused_before_he_speaks)
{
    begin(NULL);
    listener_free(admin->listener);
    ck_assert_int_eq(
        listener_open_unix(&loop, path, NULL, accept_as_stranger, admin, &admin->listener), 0);
    int fd = dial();
    send_text(fd, "POST /recover HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(fd, NULL);
    ck_assert_int_eq(strncmp(got, "HTTP/1.1 403 ", 13), 0);
    ck_assert_uint_eq(count("HTTP/1.1 "), 1);
    ck_assert_has(got, "{\"error\":\"Only root and the user that runs mcpoold");
    close(fd);
    settle();
    ck_assert_uint_eq(admin->connections, 0);
    end();
}
END_TEST

START_TEST(A04_one_too_many_is_told_so)
{
    int fds[ADMIN_CONNECTIONS_MAX];
    begin(NULL);
    for (unsigned i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        fds[i] = dial();
    settle();
    int fd = dial();
    read_until(fd, NULL);
    ck_assert_has(got, "HTTP/1.1 503 ");
    ck_assert_has(got, "Too many connections");
    close(fd);
    send_text(fds[5], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(fds[5], "ok\n"); /* the others are served */
    close(fds[0]);
    settle();
    fd = dial();
    send_text(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(fd, "ok\n");
    close(fd);
    for (unsigned i = 1; i < ADMIN_CONNECTIONS_MAX; i++)
        close(fds[i]);
    settle();
    ck_assert_uint_eq(admin->connections, 0);
    end();
}
END_TEST

/* Sends requests and reads nothing. What is not answered waits with the client; nothing is lost. */
START_TEST(who_does_not_read_is_not_answered_on_and_on)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    begin(NULL);
    int fd = dial();
    send_text(fd, request);
    read_until(fd, "ok\n");
    size_t answer_n = got_n, sent = 0;
    for (unsigned refused = 0; refused < 5;) {
        ssize_t n = write(fd, request, sizeof(request) - 1);
        if (n < 0) {
            refused++;
            settle();
            continue;
        }
        ck_assert_int_eq(n, sizeof(request) - 1);
        refused = 0;
        sent++;
        loop_turn(&loop, 0);
        ck_assert_uint_lt(sent, 100000); /* nobody stops reading requests */
    }
    got_n = 0;
    for (int i = 0; i < 100000 && got_n < sent * answer_n; i++) {
        loop_turn(&loop, 0);
        ck_assert(read_now(fd));
    }
    ck_assert_uint_eq(got_n, sent * answer_n);
    ck_assert_uint_eq(count("ok\n"), sent);
    close(fd);
    end();
}
END_TEST

/* As if that time had passed and nobody had done anything. */
static void let_pass(usec_t span)
{
    env_run(&loop.env, loop.env.now + span);
    settle();
}

START_TEST(who_watches_stays_as_long_as_it_reads)
{
    begin(NULL);
    int reads = dial(), sleeps = dial();
    send_text(reads, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    send_text(sleeps, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    settle();
    unsigned seconds = 0;
    for (; seconds < 3000 && admin->connections == 2; seconds++) {
        let_pass(USEC_PER_SEC);
        got_n = 0;
        ck_assert(read_now(reads));
        ck_assert_uint_eq(count("event: status\n"), seconds == 0 ? 2 : 1);
    }
    ck_assert_uint_gt(seconds, 31); /* it went into the socket first */
    ck_assert_uint_eq(admin->connections, 1);
    for (int i = 0; i < 100; i++) {
        let_pass(USEC_PER_SEC);
        got_n = 0;
        ck_assert(read_now(reads));
    }
    ck_assert_uint_eq(admin->connections, 1);
    close(reads);
    close(sleeps);
    settle();
    end();
}
END_TEST

START_TEST(A03_who_says_nothing_is_sent_away)
{
    begin(NULL);
    int fd = dial();
    settle();
    let_pass(59 * USEC_PER_SEC);
    ck_assert_uint_eq(admin->connections, 1);
    let_pass(2 * USEC_PER_SEC);
    ck_assert_uint_eq(admin->connections, 0);
    got_n = 0;
    ck_assert(!read_now(fd));
    ck_assert_uint_eq(got_n, 0);
    close(fd);
    end();
}
END_TEST

START_TEST(A03_who_does_not_end_a_head_is_told_so)
{
    begin(NULL);
    int fd = dial();
    send_text(fd, "GET /status HTTP/1.1\r\n");
    settle();
    let_pass(w.config->limits.header_timeout + 1);
    read_until(fd, NULL);
    ck_assert_has(got, "HTTP/1.1 408 ");
    settle();
    ck_assert_uint_eq(admin->connections, 1); /* lingers: he may still be writing */
    let_pass(3 * USEC_PER_SEC);
    ck_assert_uint_eq(admin->connections, 0);
    close(fd);
    end();
}
END_TEST

/* Enough servers for a metrics page that no socket buffer holds. */
static const char *many_servers(void)
{
    static char text[1600];
    size_t n = 0;
    for (int i = 0; i < 60; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "},\"s%d\":{\"command\":\"x\"", i);
    return text;
}

START_TEST(who_stops_reading_is_sent_away)
{
    begin(many_servers());
    int fd = dial();
    send_text(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    settle();
    ck_assert_uint_eq(admin->whole, 1);
    let_pass(31 * USEC_PER_SEC); /* some of it went into the socket */
    ck_assert_uint_eq(admin->connections, 1);
    let_pass(31 * USEC_PER_SEC);
    ck_assert_uint_eq(admin->connections, 0);
    ck_assert_uint_eq(admin->whole, 0);
    close(fd);
    end();
}
END_TEST

START_TEST(who_reads_slowly_gets_all_of_it)
{
    begin(many_servers());
    int fd = dial();
    send_text(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    got_n = 0;
    bool open = true;
    for (int i = 0; i < 1000 && open; i++) {
        settle();
        let_pass(29 * USEC_PER_SEC);
        ssize_t n = read(fd, got + got_n, 128 * 1024);
        ck_assert(n >= 0 || errno == EAGAIN);
        open = n != 0;
        got_n += n > 0 ? (size_t)n : 0;
    }
    got[got_n] = 0;
    const char *body = strstr(got, "\r\n\r\n"), *length = strstr(got, "Content-Length: ");
    ck_assert(body && length);
    ck_assert_uint_eq(got_n - (size_t)(body + 4 - got), strtoul(length + 16, NULL, 10));
    ck_assert_str_eq(got + got_n - 6, "# EOF\n");
    ck_assert_uint_gt(got_n, 600 * 1024);
    close(fd);
    end();
}
END_TEST

START_TEST(everything_open_is_closed_at_the_end)
{
    begin(NULL);
    int idle = dial(), in_head = dial(), pipelined = dial();
    send_text(in_head, "GET /sta");
    send_text(pipelined, "GET /status HTTP/1.1\r\nHost: x\r\n\r\nGET /status HTTP/1.1\r\n");
    settle();
    ck_assert_uint_eq(admin->connections, 3);
    end();
    got_n = 0;
    ck_assert(!read_now(idle));
    ck_assert(!read_now(in_head));
    ck_assert(!read_now(pipelined));
    close(idle);
    close(in_head);
    close(pipelined);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("connections");
    tcase_add_test(tc, A01_the_socket_is_for_its_owner_only);
    tcase_add_test(tc, A02_a_second_one_on_the_same_path_is_refused);
    tcase_add_test(tc, a_request_byte_by_byte);
    tcase_add_test(tc, requests_in_a_row_are_answered_in_order);
    tcase_add_test(tc, a_watcher_ends_the_connection_whichever_way);
    tcase_add_test(tc, what_a_watcher_says_is_dropped);
    tcase_add_test(tc, who_watches_stays_as_long_as_it_reads);
    tcase_add_test(tc, old_clients_get_a_body_that_ends_with_the_connection);
    tcase_add_test(tc, a_client_may_end_its_side_and_still_read);
    tcase_add_loop_test(tc, A03_what_is_no_request_ends_the_connection, 0, ARRAY_LEN(bad));
    tcase_add_test(tc, A03_a_head_without_end_is_refused);
    tcase_add_test(tc, A01_a_stranger_is_refused_before_he_speaks);
    tcase_add_test(tc, A04_one_too_many_is_told_so);
    tcase_add_test(tc, who_does_not_read_is_not_answered_on_and_on);
    tcase_add_test(tc, A03_who_says_nothing_is_sent_away);
    tcase_add_test(tc, A03_who_does_not_end_a_head_is_told_so);
    tcase_add_test(tc, who_stops_reading_is_sent_away);
    tcase_add_test(tc, who_reads_slowly_gets_all_of_it);
    tcase_add_test(tc, everything_open_is_closed_at_the_end);
    Suite *s = suite_create("admin_conn");
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
