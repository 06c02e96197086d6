#include "io/fdstore.h"
#include "io_test.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

static char dir[] = "/tmp/mcpool-fdstore-XXXXXX";
static int manager;
static struct fdstore *store;

static void setup(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    setup_loop();
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/n", dir);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&un, sizeof(un)), 0);
    setenv("NOTIFY_SOCKET", un.sun_path, 1);
    store = fdstore_new(&loop, 1000);
}

static void teardown(void)
{
    char path[64];
    fdstore_free(store);
    close(manager);
    snprintf(path, sizeof(path), "%s/n", dir);
    unlink(path);
    rmdir(dir);
    teardown_loop();
}

/* The next message; false: there is none. *ret_fd: the descriptor with it, or -1. */
static bool take(char *text, size_t n, int *ret_fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {.iov_base = text, .iov_len = n - 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(manager, &m, 0);
    *ret_fd = -1;
    if (got < 0)
        return false;
    text[got] = '\0';
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c)
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    return true;
}

static void ck_next(const char *expected, bool with_fd)
{
    char text[256];
    int fd;
    ck_assert(take(text, sizeof(text), &fd));
    ck_assert_str_eq(text, expected);
    ck_assert_int_eq(fd >= 0, with_fd);
    if (fd >= 0)
        close(fd);
}

START_TEST(a_descriptor_is_put_and_removed_by_name)
{
    int pipe_ends[2];
    ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
    ck_assert_int_eq(fdstore_put(store, "c-1", pipe_ends[0]), 0);
    ck_assert_uint_eq(fdstore_count(store), 1);
    fdstore_remove(store, "c-1");
    ck_assert_uint_eq(fdstore_count(store), 0);
    ck_next("FDSTORE=1\nFDNAME=c-1", true);
    ck_next("FDSTOREREMOVE=1\nFDNAME=c-1", false);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}
END_TEST

START_TEST(a_full_store_takes_no_more)
{
    fdstore_count_inherited(store, 999);
    ck_assert_int_eq(fdstore_put(store, "a", manager), 0);
    ck_assert_int_eq(fdstore_put(store, "b", manager), -ENOSPC);
    fdstore_remove(store, "a");
    ck_assert_int_eq(fdstore_put(store, "b", manager), 0);
}
END_TEST

START_TEST(a_manager_that_does_not_listen_is_never_waited_for)
{
    char text[256], last[256] = "";
    int fd, puts = 0, seen = 0;
    while (fdstore_put(store, "x", manager) == 0)
        ck_assert_int_lt(++puts, 100000);
    fdstore_remove(store, "x");
    fdstore_remove(store, "y");
    /* What is put under a name must not overtake the removal of its predecessor. */
    ck_assert_int_eq(fdstore_put(store, "x", manager), -EAGAIN);
    for (int i = 0; i < puts; i++)
        ck_next("FDSTORE=1\nFDNAME=x", true);
    usec_t end = clock_monotonic() + WAIT_MAX;
    while (seen < 2 && clock_monotonic() < end) {
        loop_turn(&loop, 10 * USEC_PER_MSEC);
        while (take(text, sizeof(text), &fd)) {
            seen++;
            snprintf(last, sizeof(last), "%s", text);
        }
    }
    ck_assert_int_eq(seen, 2);
    ck_assert_str_eq(last, "FDSTOREREMOVE=1\nFDNAME=y");
    ck_assert_int_eq(fdstore_put(store, "x", manager), 0);
}
END_TEST

START_TEST(a_manager_that_is_gone_is_an_error_and_no_more)
{
    close(manager);
    ck_assert_int_lt(fdstore_put(store, "x", STDERR_FILENO), 0);
    fdstore_remove(store, "x");
    run_for(50 * USEC_PER_MSEC);
    manager = -1;
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("fdstore");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_descriptor_is_put_and_removed_by_name);
    tcase_add_test(tc, a_full_store_takes_no_more);
    tcase_add_test(tc, a_manager_that_does_not_listen_is_never_waited_for);
    tcase_add_test(tc, a_manager_that_is_gone_is_an_error_and_no_more);
    return run_suite("fdstore", tc);
}
