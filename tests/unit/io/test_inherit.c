/* io/inherit: whose the descriptors are, what they are called, what they may be claimed as. */
#include "io/inherit.h"

#include "base/util.h"
#include "io_test.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static char dir[64], path[108], closed[256];

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/mcpool-inherit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/door", dir);
    closed[0] = '\0';
}

static void teardown(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(dir), 0);
}

static int unix_socket(bool listening)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    if (listening)
        ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

static int inet_socket(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

static void note_closed(void *arg, const char *name, const char *what)
{
    ck_assert_ptr_eq(arg, closed);
    size_t n = strlen(closed);
    snprintf(closed + n, sizeof(closed) - n, "%s: %s\n", name, what);
}

static struct inherited *nothing_inherited(void)
{
    unsetenv("LISTEN_PID");
    return inherit_take();
}

START_TEST(doors_are_claimed_by_name_and_family)
{
    struct inherited *in = nothing_inherited();
    int door = unix_socket(true), http = inet_socket(), second = inet_socket();
    inherit_add(in, door, "http");
    inherit_add(in, http, "http");
    inherit_add(in, second, "http");
    ck_assert_uint_eq(inherit_count(in), 3);
    ck_assert_int_eq(inherit_claim_inet(in, "htt"), -1);
    ck_assert_int_eq(inherit_claim_inet(in, "http"), http);
    ck_assert_int_eq(inherit_claim_inet(in, "http"), second);
    ck_assert_int_eq(inherit_claim_inet(in, "http"), -1);
    ck_assert_int_eq(inherit_claim_unix(in, "http"), door);
    ck_assert_uint_eq(inherit_count(in), 0);
    inherit_free(in, note_closed, closed);
    ck_assert_str_eq(closed, "");
    /* What was claimed is open still. */
    ck_assert_int_eq(close(door) | close(http) | close(second), 0);
}
END_TEST

START_TEST(a_door_is_known_by_its_path)
{
    struct inherited *in = nothing_inherited();
    int door = unix_socket(true);
    inherit_add(in, inet_socket(), "unknown");
    inherit_add(in, door, "unknown");
    ck_assert_int_eq(inherit_claim_path(in, "/nowhere"), -1);
    ck_assert_int_eq(inherit_claim_path(in, dir), -1);
    ck_assert_int_eq(inherit_claim_path(in, path), door);
    ck_assert_int_eq(inherit_claim_path(in, path), -1);
    inherit_free(in, NULL, NULL);
    close(door);
}
END_TEST

START_TEST(what_does_not_listen_is_no_door)
{
    struct inherited *in = nothing_inherited();
    int file = open("/dev/null", O_RDONLY), dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
    inherit_add(in, unix_socket(false), "admin");
    inherit_add(in, file, "admin");
    inherit_add(in, dgram, "admin");
    ck_assert_int_eq(inherit_claim_unix(in, "admin"), -1);
    ck_assert_int_eq(inherit_claim_inet(in, "admin"), -1);
    ck_assert_int_eq(inherit_claim_path(in, path), -1);
    inherit_free(in, note_closed, closed);
    ck_assert_str_eq(closed, "admin: a socket that does not listen\n"
                             "admin: not a socket\n"
                             "admin: not a stream socket\n");
    ck_assert_int_lt(fcntl(file, F_GETFD), 0);
    ck_assert_int_lt(fcntl(dgram, F_GETFD), 0);
}
END_TEST

START_TEST(stored_descriptors_are_claimed_by_prefix)
{
    struct inherited *in = nothing_inherited();
    char name[INHERIT_NAME_MAX + 1];
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    inherit_add(in, pipes[0], "c-1");
    inherit_add(in, pipes[1], "c-2");
    inherit_add(in, open("/dev/null", O_RDONLY), "ledger");
    ck_assert_int_eq(inherit_claim_prefix(in, "c-", name), pipes[0]);
    ck_assert_str_eq(name, "c-1");
    ck_assert_int_eq(inherit_claim_prefix(in, "c-", name), pipes[1]);
    ck_assert_str_eq(name, "c-2");
    ck_assert_int_eq(inherit_claim_prefix(in, "c-", name), -1);
    int ledger = inherit_claim(in, "ledger");
    ck_assert_int_ge(ledger, 0);
    ck_assert_int_eq(inherit_claim(in, "ledger"), -1);
    inherit_free(in, NULL, NULL);
    close(ledger);
    close(pipes[0]);
    close(pipes[1]);
}
END_TEST

START_TEST(nothing_can_be_claimed_of_nothing)
{
    char name[INHERIT_NAME_MAX + 1];
    ck_assert_uint_eq(inherit_count(NULL), 0);
    ck_assert_int_eq(inherit_claim(NULL, "http"), -1);
    ck_assert_int_eq(inherit_claim_path(NULL, "/x"), -1);
    ck_assert_int_eq(inherit_claim_prefix(NULL, "c-", name), -1);
    inherit_free(NULL, note_closed, closed);
}
END_TEST

/* In a process of its own, whose descriptors 3 and 4 are nobody's: the names that it took, one
 * after the other. for_us: LISTEN_PID is that process. */
static const char *names_taken(const char *fds, const char *names, bool for_us)
{
    static char got[512];
    int out[2];
    ck_assert_int_eq(pipe(out), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        int w = fcntl(out[1], F_DUPFD, 100), null = open("/dev/null", O_RDONLY);
        char text[32], name[INHERIT_NAME_MAX + 1];
        dup2(null, 3);
        dup2(null, 4);
        snprintf(text, sizeof(text), "%d", for_us ? (int)getpid() : 1);
        setenv("LISTEN_PID", text, 1);
        setenv("LISTEN_FDS", fds, 1);
        if (names)
            setenv("LISTEN_FDNAMES", names, 1);
        struct inherited *in = inherit_take();
        int fd;
        while ((fd = inherit_claim_prefix(in, "", name)) >= 0)
            dprintf(w, "%d=%s%s ", fd, name, fcntl(fd, F_GETFD) & FD_CLOEXEC ? "" : " leaks");
        if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
            dprintf(w, "variables stay ");
        _exit(0);
    }
    close(out[1]);
    size_t n = 0;
    ssize_t r;
    while ((r = read(out[0], got + n, sizeof(got) - 1 - n)) > 0)
        n += (size_t)r;
    got[n] = '\0';
    close(out[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    return got;
}

START_TEST(descriptors_are_taken_from_the_environment)
{
    ck_assert_str_eq(names_taken("2", "http:admin", true), "3=http 4=admin ");
    ck_assert_str_eq(names_taken("1", "http:admin", true), "3=http ");
    ck_assert_str_eq(names_taken("2", NULL, true), "3=unknown 4=unknown ");
    ck_assert_str_eq(names_taken("2", "http", true), "3=http 4=unknown ");
    ck_assert_str_eq(names_taken("2", ":x", true), "3=unknown 4=x ");
    ck_assert_str_eq(names_taken("2", "a\nREADY=1:x", true), "3=unknown 4=x ");
}
END_TEST

START_TEST(what_is_meant_for_another_process_is_left_alone)
{
    ck_assert_str_eq(names_taken("2", "http:admin", false), "");
}
END_TEST

START_TEST(numbers_that_are_none_are_nothing)
{
    static const char *const bad[] = {"",     "x", "-1", "2x", " 2", "0", "99999999999999999999",
                                      "65537"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_str_eq(names_taken(bad[i], "a:b", true), "");
}
END_TEST

START_TEST(descriptors_that_are_not_open_are_passed_over)
{
    /* 3 and 4 are; of those after them, up to 60, none is. */
    const char *got = names_taken("50", "a:b", true);
    ck_assert_ptr_eq(strstr(got, "3=a 4=b "), got);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("inherit");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, doors_are_claimed_by_name_and_family);
    tcase_add_test(tc, a_door_is_known_by_its_path);
    tcase_add_test(tc, what_does_not_listen_is_no_door);
    tcase_add_test(tc, stored_descriptors_are_claimed_by_prefix);
    tcase_add_test(tc, nothing_can_be_claimed_of_nothing);
    tcase_add_test(tc, descriptors_are_taken_from_the_environment);
    tcase_add_test(tc, what_is_meant_for_another_process_is_left_alone);
    tcase_add_test(tc, numbers_that_are_none_are_nothing);
    tcase_add_test(tc, descriptors_that_are_not_open_are_passed_over);
    return run_suite("io/inherit", tc);
}
