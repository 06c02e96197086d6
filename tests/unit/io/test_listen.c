/* io/listen: TCP and unix, limits, stale sockets (security.md A02), running out of descriptors. */
#include "base/util.h"
#include "io/listen.h"
#include "io_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CONNS_MAX 300

static struct listener *listener;
static int accepted[CONNS_MAX];
static size_t accepted_count;
static struct peer last_peer;
static bool free_on_accept;
static char dir[64], path[108];

static void on_accept(void *arg, int fd, const struct peer *peer)
{
    ck_assert_ptr_eq(arg, accepted);
    ck_assert_uint_lt(accepted_count, CONNS_MAX);
    accepted[accepted_count++] = fd;
    last_peer = *peer;
    if (free_on_accept) {
        listener_free(listener);
        listener = NULL;
    }
}

static void setup(void)
{
    setup_loop();
    snprintf(dir, sizeof(dir), "/tmp/mcpool-listen-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/sock", dir);
}

static void teardown(void)
{
    listener_free(listener);
    for (size_t i = 0; i < accepted_count; i++)
        close(accepted[i]);
    teardown_loop();
    unlink(path);
    ck_assert_int_eq(rmdir(dir), 0);
}

static int open_tcp(const char *host_port, const struct listen_options *opt)
{
    return listener_open_tcp(&loop, host_port, opt, on_accept, accepted, &listener);
}

static int open_unix(const struct listen_options *opt)
{
    return listener_open_unix(&loop, path, opt, on_accept, accepted, &listener);
}

static int connect_tcp(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(listener_port(listener)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static int connect_unix(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(un.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
        int err = errno;

        close(fd);
        return -err;
    }
    return fd;
}

START_TEST(tcp_with_any_port)
{
    char want[64];
    int fd, on = 0;
    socklen_t len = sizeof(on);
    struct sockaddr_in mine;
    socklen_t mine_len = sizeof(mine);

    ck_assert_int_eq(open_tcp("127.0.0.1:0", NULL), 0);
    ck_assert_uint_ne(listener_port(listener), 0);
    snprintf(want, sizeof(want), "127.0.0.1:%u", listener_port(listener));
    ck_assert_str_eq(listener_address(listener), want);
    fd = connect_tcp();
    WAIT_FOR(accepted_count == 1);
    ck_assert(!last_peer.is_unix && last_peer.is_loopback);
    ck_assert_int_eq(last_peer.uid, (uid_t)-1);
    getsockname(fd, (struct sockaddr *)&mine, &mine_len);
    snprintf(want, sizeof(want), "127.0.0.1:%u", ntohs(mine.sin_port));
    ck_assert_str_eq(last_peer.text, want);
    ck_assert_int_ne(fcntl(accepted[0], F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(accepted[0], F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    ck_assert_int_eq(on, 1);
    close(fd);
}
END_TEST

START_TEST(tcp_names_and_ipv6)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool have_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;

    if (fd >= 0)
        close(fd);
    ck_assert_int_eq(open_tcp("localhost:0", NULL), 0);
    ck_assert_uint_ne(listener_port(listener), 0);
    listener_free(listener);
    listener = NULL;
    if (!have_ipv6)
        return;
    ck_assert_int_eq(open_tcp("[::1]:0", NULL), 0);
    ck_assert_int_eq(strncmp(listener_address(listener), "[::1]:", 6), 0);
    in6.sin6_port = htons(listener_port(listener));
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&in6, sizeof(in6)), 0);
    WAIT_FOR(accepted_count == 1);
    ck_assert(last_peer.is_loopback);
    ck_assert_int_eq(strncmp(last_peer.text, "[::1]:", 6), 0);
    close(fd);
}
END_TEST

static const char *const bad_addresses[] = {
    "",         "127.0.0.1", "127.0.0.1:",      ":80",       "127.0.0.1:65536",
    "host:12x", "host:-1",   "host:+1",         "::1:80",    "127.0.0.1: 80",
    "[]:80",    "[::1]80",   "127.0.0.1:99999", "host:0x50", "127.0.0.1:000080",
};

START_TEST(malformed_addresses_are_refused)
{
    ck_assert_int_eq(open_tcp(bad_addresses[_i], NULL), -EINVAL);
    ck_assert_ptr_null(listener);
}
END_TEST

START_TEST(port_in_use_is_refused)
{
    struct listener *first;
    size_t fds;

    ck_assert_int_eq(open_tcp("127.0.0.1:0", NULL), 0);
    first = listener;
    listener = NULL;
    fds = open_fd_count();
    ck_assert_int_eq(open_tcp(listener_address(first), NULL), -EADDRINUSE);
    ck_assert_uint_eq(open_fd_count(), fds);
    ck_assert_int_eq(open_tcp("203.0.113.1:0", NULL), -EADDRNOTAVAIL);
    listener_free(first);
}
END_TEST

START_TEST(unix_peer_is_known)
{
    struct stat st;
    char want[128];
    int fd;

    umask(0);
    ck_assert_int_eq(open_unix(NULL), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    snprintf(want, sizeof(want), "unix:%s", path);
    ck_assert_str_eq(listener_address(listener), want);
    ck_assert_uint_eq(listener_port(listener), 0);
    fd = connect_unix();
    ck_assert_int_ge(fd, 0);
    WAIT_FOR(accepted_count == 1);
    ck_assert(last_peer.is_unix && !last_peer.is_loopback);
    ck_assert_int_eq(last_peer.uid, getuid());
    ck_assert_int_eq(last_peer.gid, getgid());
    ck_assert_int_eq(last_peer.pid, getpid());
    snprintf(want, sizeof(want), "uid %u", (unsigned)getuid());
    ck_assert_str_eq(last_peer.text, want);
    close(fd);
    listener_free(listener);
    listener = NULL;
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(unix_mode_is_exact_whatever_the_umask)
{
    struct stat st;

    umask(077);
    ck_assert_int_eq(open_unix(&(struct listen_options){.mode = 0660}), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0660);
}
END_TEST

START_TEST(addresses_of_this_machine_alone_are_told_apart)
{
    static const struct {
        const char *host_port;
        bool local;
    } cases[] = {{"127.0.0.1:0", true}, {"127.9.8.7:0", true}, {"2130706433:0", true},
                 {"localhost:0", true}, {"0.0.0.0:0", false},  {"0:0", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_int_eq(open_tcp(cases[i].host_port, NULL), 0);
        ck_assert_int_eq(listener_is_local(listener), cases[i].local);
        listener_free(listener);
        listener = NULL;
        char *host = strndup(cases[i].host_port, strlen(cases[i].host_port) - 2);
        ck_assert_int_eq(listener_is_loopback_name(host), cases[i].local);
        free(host);
    }
    ck_assert(listener_is_loopback_name("::1"));
    ck_assert(listener_is_loopback_name("::ffff:127.0.0.1"));
    ck_assert(!listener_is_loopback_name("::"));
    ck_assert(!listener_is_loopback_name("::ffff:10.0.0.1"));
    ck_assert(!listener_is_loopback_name("not a host"));
    ck_assert(!listener_is_loopback_name(""));
    ck_assert_int_eq(open_unix(NULL), 0);
    ck_assert(listener_is_local(listener));
}
END_TEST

START_TEST(A02_stale_socket_is_replaced)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(un.sun_path, path, strlen(path) + 1);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    close(fd); /* as after a crash: the file stays */
    ck_assert_int_eq(open_unix(NULL), 0);
    fd = connect_unix();
    ck_assert_int_ge(fd, 0);
    WAIT_FOR(accepted_count == 1);
    close(fd);
}
END_TEST

START_TEST(A02_live_socket_is_left_alone)
{
    struct listener *first;
    int fd;

    ck_assert_int_eq(open_unix(NULL), 0);
    first = listener;
    listener = NULL;
    ck_assert_int_eq(open_unix(NULL), -EADDRINUSE);
    ck_assert_ptr_null(listener);
    fd = connect_unix();
    ck_assert_int_ge(fd, 0); /* still the first one's */
    WAIT_FOR(accepted_count >= 1);
    close(fd);
    listener_free(first);
}
END_TEST

/* A listener whose backlog is full refuses the connection test, but lives. */
START_TEST(A02_busy_socket_is_left_alone)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client;

    memcpy(un.sun_path, path, strlen(path) + 1);
    ck_assert_int_eq(bind(server, (struct sockaddr *)&un, sizeof(un)), 0);
    ck_assert_int_eq(listen(server, 0), 0);
    client = connect_unix();
    ck_assert_int_ge(client, 0);
    ck_assert_int_eq(open_unix(NULL), -EADDRINUSE);
    close(client);
    close(server);
}
END_TEST

START_TEST(A02_other_files_are_never_removed)
{
    char target[128], text[8] = {0};
    int fd;

    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "data", 4), 4);
    close(fd);
    ck_assert_int_eq(open_unix(NULL), -EADDRINUSE);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(read(fd, text, sizeof(text)), 4);
    close(fd);
    unlink(path);
    /* A dangling link must not make a socket somewhere else. */
    snprintf(target, sizeof(target), "%s/elsewhere", dir);
    ck_assert_int_eq(symlink(target, path), 0);
    ck_assert_int_eq(open_unix(NULL), -EADDRINUSE);
    ck_assert_int_eq(access(target, F_OK), -1);
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(open_unix(NULL), -EADDRINUSE);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(free_removes_only_its_own_file)
{
    struct stat st;

    ck_assert_int_eq(open_unix(NULL), 0);
    unlink(path);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    listener_free(listener);
    listener = NULL;
    ck_assert_int_eq(stat(path, &st), 0);
}
END_TEST

START_TEST(unix_path_errors)
{
    char name[200];

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    ck_assert_int_eq(listener_open_unix(&loop, name, NULL, on_accept, accepted, &listener),
                     -ENAMETOOLONG);
    ck_assert_int_eq(listener_open_unix(&loop, "", NULL, on_accept, accepted, &listener), -EINVAL);
    ck_assert_int_eq(
        listener_open_unix(&loop, "/no/such/dir/s", NULL, on_accept, accepted, &listener), -ENOENT);
}
END_TEST

START_TEST(max_conns_pauses_until_one_ends)
{
    int fds[5];

    ck_assert_int_eq(open_unix(&(struct listen_options){.max_conns = 2}), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = connect_unix();
    WAIT_FOR(accepted_count == 2);
    run_for(20 * USEC_PER_MSEC);
    ck_assert_uint_eq(accepted_count, 2);
    listener_closed(listener);
    WAIT_FOR(accepted_count == 3);
    run_for(20 * USEC_PER_MSEC);
    ck_assert_uint_eq(accepted_count, 3);
    listener_closed(listener);
    listener_closed(listener);
    WAIT_FOR(accepted_count == 5);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}
END_TEST

START_TEST(a_turn_accepts_a_bounded_number)
{
    int fds[200];

    ck_assert_int_eq(open_unix(NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        ck_assert_int_ge(fds[i] = connect_unix(), 0);
    loop_turn(&loop, 0);
    ck_assert_uint_gt(accepted_count, 0);
    ck_assert_uint_lt(accepted_count, 100);
    WAIT_FOR(accepted_count == ARRAY_LEN(fds));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}
END_TEST

START_TEST(free_inside_the_callback)
{
    int fds[3];

    ck_assert_int_eq(open_unix(NULL), 0);
    free_on_accept = true;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = connect_unix();
    WAIT_FOR(!listener);
    run_for(5 * USEC_PER_MSEC);
    ck_assert_uint_eq(accepted_count, 1);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    listener_free(NULL);
}
END_TEST

/* No descriptor left: accepting pauses instead of spinning, says so once, and goes on by itself. */
START_TEST(F27_out_of_descriptors)
{
    struct rlimit before, low;
    struct pollfd out;
    int fds[3], log_pipe[2], saved_err = dup(STDERR_FILENO), top;
    char text[4096];
    unsigned turns = 0;
    usec_t end_at;
    ssize_t n;

    ck_assert_int_eq(pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    dup2(log_pipe[1], STDERR_FILENO);
    ck_assert_int_eq(open_unix(NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = connect_unix();
    top = dup(STDERR_FILENO); /* the lowest free number: the new limit */
    close(top);
    getrlimit(RLIMIT_NOFILE, &before);
    low = (struct rlimit){(rlim_t)top, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (end_at = clock_monotonic() + 350 * USEC_PER_MSEC; clock_monotonic() < end_at; turns++)
        loop_turn(&loop, end_at - clock_monotonic());
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_uint_eq(accepted_count, 0);
    ck_assert_uint_lt(turns, 20);
    WAIT_FOR(accepted_count == ARRAY_LEN(fds));
    dup2(saved_err, STDERR_FILENO);
    n = read(log_pipe[0], text, sizeof(text) - 1);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    ck_assert_ptr_nonnull(strstr(text, "warning accepting on unix:"));
    ck_assert_ptr_eq(strchr(text, '\n'), text + n - 1); /* one line */
    out = (struct pollfd){.fd = log_pipe[0], .events = POLLIN};
    ck_assert_int_eq(poll(&out, 1, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}
END_TEST

START_TEST(inherited_descriptor)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), client, pair[2];

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    ck_assert_int_eq(listener_open_fd(&loop, fd, NULL, on_accept, accepted, &listener), -EINVAL);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(listener_open_fd(&loop, fd, NULL, on_accept, accepted, &listener), 0);
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    client = connect_tcp();
    WAIT_FOR(accepted_count == 1);
    close(client);
    ck_assert_int_eq(pipe(pair), 0);
    {
        struct listener *none = NULL;

        ck_assert_int_eq(listener_open_fd(&loop, pair[0], NULL, on_accept, accepted, &none),
                         -ENOTSOCK);
        ck_assert_int_eq(listener_open_fd(&loop, 9999, NULL, on_accept, accepted, &none), -EBADF);
        ck_assert_ptr_null(none);
    }
    close(pair[0]);
    close(pair[1]);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("listen");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, tcp_with_any_port);
    tcase_add_test(tc, tcp_names_and_ipv6);
    tcase_add_loop_test(tc, malformed_addresses_are_refused, 0, ARRAY_LEN(bad_addresses));
    tcase_add_test(tc, port_in_use_is_refused);
    tcase_add_test(tc, unix_peer_is_known);
    tcase_add_test(tc, unix_mode_is_exact_whatever_the_umask);
    tcase_add_test(tc, addresses_of_this_machine_alone_are_told_apart);
    tcase_add_test(tc, A02_stale_socket_is_replaced);
    tcase_add_test(tc, A02_live_socket_is_left_alone);
    tcase_add_test(tc, A02_busy_socket_is_left_alone);
    tcase_add_test(tc, A02_other_files_are_never_removed);
    tcase_add_test(tc, free_removes_only_its_own_file);
    tcase_add_test(tc, unix_path_errors);
    tcase_add_test(tc, max_conns_pauses_until_one_ends);
    tcase_add_test(tc, a_turn_accepts_a_bounded_number);
    tcase_add_test(tc, free_inside_the_callback);
    tcase_add_test(tc, F27_out_of_descriptors);
    tcase_add_test(tc, inherited_descriptor);
    return run_suite("io/listen", tc);
}
