/* What a stream leaves behind, up to real processes that are killed at any moment. */
#include "io/stream.h"
#include "io_test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int ends[2];
static struct stream *s;
static struct stream_trace trace;
static struct stream_io area;
static size_t eat; /* how much on_input takes */

static void on_input(void *arg)
{
    size_t n = stream_input(s).n;
    (void)arg;
    stream_consume(s, n < eat ? n : eat);
}

static void on_eof(void *arg)
{
    (void)arg;
}

static void on_error(void *arg, int err)
{
    (void)arg;
    (void)err;
}

static const struct stream_ops ops = {.on_input = on_input, .on_eof = on_eof, .on_error = on_error};

static void setup(void)
{
    setup_loop();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    memset(&area, 0, sizeof(area));
    trace = (struct stream_trace){.serial = 7};
    eat = SIZE_MAX;
    stream_use_io(&area);
    s = stream_new(&loop, ends[0], ends[0], NULL, &ops, NULL);
    stream_set_trace(s, &trace);
}

static void teardown(void)
{
    stream_free(s);
    stream_use_io(NULL);
    close(ends[1]);
    teardown_loop();
}

START_TEST(what_was_read_is_noted_and_its_bytes_stay)
{
    ck_assert_int_eq(write(ends[1], "hello", 5), 5);
    WAIT_FOR(trace.received == 5);
    ck_assert_uint_eq(trace.reading, 0);
    ck_assert_uint_eq(area.owner, 7);
    ck_assert_uint_eq(area.at, 0);
    ck_assert_int_eq(memcmp(area.bytes, "hello", 5), 0);
    ck_assert_int_eq(write(ends[1], "world!", 6), 6);
    WAIT_FOR(trace.received == 11);
    ck_assert_uint_eq(area.at, 5);
    ck_assert_uint_eq(trace_received(&trace, &area), 11);
}
END_TEST

START_TEST(bytes_that_were_put_by_are_not_taken_for_the_latest)
{
    eat = 0;
    ck_assert_int_eq(write(ends[1], "ab", 2), 2);
    WAIT_FOR(trace.received == 2);
    ck_assert_uint_eq(area.owner, 7);
    ck_assert_int_eq(write(ends[1], "cd", 2), 2);
    WAIT_FOR(trace.received == 4);
    ck_assert_uint_eq(area.owner, 0);
    ck_assert_uint_eq(stream_input(s).n, 4);
}
END_TEST

START_TEST(output_is_flushed_when_all_of_it_was_sent)
{
    static char much[4 * 1024 * 1024];
    stream_write(s, "abc", 3);
    WAIT_FOR(trace.sent == 3);
    ck_assert_uint_eq(trace.flushed, 3);
    stream_write(s, much, sizeof(much));
    run_for(20 * USEC_PER_MSEC);
    ck_assert_uint_gt(trace.sent, 3);
    ck_assert_uint_lt(trace.sent, sizeof(much));
    ck_assert_uint_eq(trace.flushed, 3);
    ck_assert_uint_eq(trace.target, 3 + sizeof(much));
    ck_assert_uint_eq(trace.sent, stream_sent_total(s));
    ck_assert_uint_eq(trace.writing, 0);
}
END_TEST

START_TEST(a_stream_goes_on_with_the_totals_and_input_of_another)
{
    stream_free(s);
    int mine = dup(ends[1]);
    s = stream_new(&loop, mine, mine, NULL, &ops, NULL);
    eat = 0;
    stream_go_on(s, 100, 50, SLICE("rest"));
    stream_set_trace(s, &trace);
    ck_assert_uint_eq(trace.received, 100);
    ck_assert_uint_eq(trace.sent, 50);
    ck_assert_uint_eq(trace.flushed, 50);
    ck_assert(slice_is(stream_input(s), "rest"));
    ck_assert_uint_eq(stream_received_total(s), 100);
    ck_assert_uint_eq(stream_queued_total(s), 50);
    eat = SIZE_MAX;
    WAIT_FOR(stream_input(s).n == 0);
}
END_TEST

START_TEST(shutting_ends_the_connection_whoever_else_has_it)
{
    char byte;
    int copy = dup(ends[0]);
    stream_shut(s);
    ck_assert_int_eq(read(ends[1], &byte, 1), 0);
    close(copy);
}
END_TEST

/* ---- killed ---- */

struct left_behind {
    struct stream_io area;
    struct stream_trace trace;
};

static struct left_behind *shared;

/* Sends back what it is sent, until it is killed. */
static void echo_on_input(void *arg)
{
    struct slice in = stream_input(s);
    (void)arg;
    stream_write(s, in.p, in.n);
    stream_consume(s, in.n);
}

static void echo_for_ever(int fd)
{
    static const struct stream_ops echo = {
        .on_input = echo_on_input, .on_eof = on_eof, .on_error = on_error};
    struct loop mine;
    if (loop_init(&mine) < 0)
        return;
    stream_use_io(&shared->area);
    s = stream_new(&mine, fd, fd, NULL, &echo, NULL);
    stream_set_trace(s, &shared->trace);
    loop_run(&mine);
}

/* Keeps it busy with writes of odd sizes, kills it, and compares what it left with what we have
 * seen. Returns whether it was in a system call. */
static bool kill_one(unsigned round, bool tcp)
{
    static char bytes[8192];
    int pair[2], listener = -1;
    uint64_t written = 0, got = 0, unread = 0;
    ssize_t n;
    memset(shared, 0, sizeof(*shared));
    shared->trace.serial = 1;
    if (tcp) {
        struct sockaddr_storage a = {.ss_family = AF_INET};
        socklen_t len = sizeof(a);
        listener = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(listen(listener, 1), 0);
        ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
        pair[1] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(pair[1], (struct sockaddr *)&a, len), 0);
        pair[0] = accept(listener, NULL, NULL);
    } else {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    }
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        echo_for_ever(pair[0]);
        raise(SIGKILL);
    }
    while (got < 200 * (uint64_t)(1 + round % 40)) {
        size_t size = 1 + (written * 7 + round) % sizeof(bytes);
        if ((n = send(pair[1], bytes, size, MSG_DONTWAIT)) > 0)
            written += (uint64_t)n;
        if ((n = recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
            got += (uint64_t)n;
    }
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    shutdown(pair[1], SHUT_WR);
    /* What it did not read may still be on its way, and its stream made our descriptor, too, one
     * that does not wait. */
    ck_assert_int_eq(fcntl(pair[0], F_SETFL, 0), 0);
    while ((n = recv(pair[0], bytes, sizeof(bytes), 0)) > 0)
        unread += (uint64_t)n;
    ck_assert_int_eq(n, 0);
    shutdown(pair[0], SHUT_WR);
    while ((n = recv(pair[1], bytes, sizeof(bytes), 0)) > 0)
        got += (uint64_t)n;
    ck_assert_uint_eq(trace_received(&shared->trace, &shared->area), written - unread);
    ck_assert_uint_eq(trace_sent(&shared->trace, &shared->area), got);
    close(pair[0]);
    close(pair[1]);
    close(listener);
    return shared->trace.reading || shared->trace.writing;
}

START_TEST(whenever_a_process_is_killed_its_totals_are_exact)
{
    unsigned within = 0;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    for (unsigned round = 0; round < 200; round++)
        within += kill_one(round, _i);
    munmap(shared, sizeof(*shared));
    printf("killed within a system call: %u of 200\n", within);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("trace");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_was_read_is_noted_and_its_bytes_stay);
    tcase_add_test(tc, bytes_that_were_put_by_are_not_taken_for_the_latest);
    tcase_add_test(tc, output_is_flushed_when_all_of_it_was_sent);
    tcase_add_test(tc, a_stream_goes_on_with_the_totals_and_input_of_another);
    tcase_add_test(tc, shutting_ends_the_connection_whoever_else_has_it);
    tcase_add_loop_test(tc, whenever_a_process_is_killed_its_totals_are_exact, 0, 2);
    return run_suite("trace", tc);
}
