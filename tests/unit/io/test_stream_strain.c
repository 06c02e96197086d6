/* io/stream under strain: freed at every moment, and moving much through little memory. */
#include "stream_side.h"

#include <malloc.h>

/* --- lifetime --- */

START_TEST(free_inside_callbacks)
{
    static char block[2000000], sink[65536];

    open_socket(NULL);
    switch (_i) {
    case 0:
        a.free_on_input = true;
        a.eat_max = 1; /* with unconsumed rest */
        say("abc");
        break;
    case 1:
        a.free_on_eof = true;
        shutdown(peer, SHUT_WR);
        break;
    case 2:
        a.free_on_error = true;
        stream_pause(a.stream);
        loop_turn(&loop, 0);
        close(peer);
        peer = -1;
        stream_write(a.stream, "x", 1);
        break;
    case 3:
        a.free_on_drain = true;
        stream_write(a.stream, block, sizeof(block));
        break;
    case 4: /* the last words before a write error end it */
        a.free_on_input = true;
        a.free_on_error = true;
        say("words");
        close(peer);
        peer = -1;
        stream_write(a.stream, "x", 1);
        env_run(&loop.env, clock_monotonic());
        ck_assert_uint_eq(a.errors, 0);
        break;
    }
    while (a.stream) {
        loop_turn(&loop, USEC_PER_MSEC);
        if (_i == 3)
            hear(sink, sizeof(sink));
    }
    run_for(5 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.inputs + a.eofs + a.errors + a.drains, 1);
}
END_TEST

static void free_other(void *arg)
{
    (void)arg;
    free_side(&a);
    free_side(&b);
}

/* Both are readable in the same batch; the first that is called frees the other as well. */
START_TEST(free_of_another_stream_in_the_same_batch)
{
    static const struct stream_ops killer = {
        .on_input = free_other, .on_eof = on_eof, .on_error = on_error};
    int fds[4];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2), 0);
    a.stream = stream_new(&loop, fds[0], fds[0], NULL, &killer, NULL);
    b.stream = stream_new(&loop, fds[2], fds[2], NULL, &killer, NULL);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(write(fds[3], "x", 1), 1);
    WAIT_FOR(!a.stream && !b.stream);
    close(fds[1]);
    close(fds[3]);
    stream_free(NULL);
}
END_TEST

START_TEST(free_when_flushed_delivers_everything)
{
    static char block[3000000];
    char sink[65536];
    size_t heard = 0, fds;
    ssize_t n = 1;

    fds = open_fd_count();
    open_socket(NULL);
    a.eat_max = 0;
    say("unread input that must not reset the connection");
    WAIT_FOR(a.inputs);
    stream_write(a.stream, block, sizeof(block));
    stream_free_when_flushed(a.stream, 10 * USEC_PER_SEC);
    a.stream = NULL;
    say("and more of it");
    while (n != 0) {
        loop_turn(&loop, 0);
        n = hear(sink, sizeof(sink));
        ck_assert(n >= 0 || n == -EAGAIN);
        heard += n > 0 ? (size_t)n : 0;
    }
    ck_assert_uint_eq(heard, sizeof(block));
    close(peer);
    peer = -1;
    WAIT_FOR(open_fd_count() == fds);
    ck_assert_uint_eq(a.inputs, 1);
    ck_assert_uint_eq(a.errors + a.eofs + a.drains, 0);
}
END_TEST

START_TEST(free_when_flushed_gives_up_after_linger)
{
    static char block[3000000];
    size_t fds = open_fd_count();
    usec_t from;

    open_socket(NULL);
    stream_write(a.stream, block, sizeof(block));
    from = loop.env.now;
    stream_free_when_flushed(a.stream, 50 * USEC_PER_MSEC);
    a.stream = NULL;
    WAIT_FOR(open_fd_count() == fds + 1); /* the peer's end is left */
    ck_assert_uint_ge(clock_monotonic() - from, 50 * USEC_PER_MSEC);
}
END_TEST

START_TEST(free_when_flushed_without_linger_still_tries)
{
    char text[8];

    open_socket(NULL);
    stream_write(a.stream, "bye", 3);
    stream_free_when_flushed(a.stream, 0);
    a.stream = NULL;
    run_for(5 * USEC_PER_MSEC);
    ck_assert_int_eq(hear(text, sizeof(text)), 3);
    ck_assert_int_eq(hear(text, sizeof(text)), 0);
}
END_TEST

START_TEST(regular_file_is_an_error_not_a_crash)
{
    char path[] = "/tmp/mcpool-stream-XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    unlink(path);
    open_side(&a, fd, fd, NULL);
    ck_assert_uint_eq(a.errors, 0);
    WAIT_FOR(a.errors);
}
END_TEST

/* --- bulk --- */

#define BULK ((size_t)64 * 1024 * 1024)

static unsigned char bulk_byte(uint64_t at)
{
    return (unsigned char)((at * 0x9e3779b97f4a7c15u) >> 56);
}

/* A sender that keeps its stream between LOW and HIGH and a receiver that checks every byte. */
struct pump {
    struct stream *stream;
    uint64_t sent, received;
    size_t pending_max;
    bool bad, ended;
};

static void pump_fill(struct pump *p)
{
    static char chunk[50000];

    while (p->sent < BULK && stream_pending(p->stream) < 256 * 1024) {
        size_t n = BULK - p->sent < sizeof(chunk) ? (size_t)(BULK - p->sent) : sizeof(chunk);

        for (size_t i = 0; i < n; i++)
            chunk[i] = (char)bulk_byte(p->sent + i);
        stream_write(p->stream, chunk, n);
        p->sent += n;
    }
    if (stream_pending(p->stream) > p->pending_max)
        p->pending_max = stream_pending(p->stream);
    if (p->sent == BULK)
        stream_end_output(p->stream);
}

static void pump_input(void *arg)
{
    struct pump *p = arg;
    struct slice in = stream_input(p->stream);
    size_t n = in.n > 7 ? in.n - in.n % 7 : in.n; /* leaves a rest now and then */

    for (size_t i = 0; i < n; i++)
        p->bad |= (unsigned char)in.p[i] != bulk_byte(p->received + i);
    p->received += n;
    stream_consume(p->stream, n);
}

static void pump_eof(void *arg)
{
    struct pump *p = arg;

    p->received += stream_input(p->stream).n;
    p->ended = true;
}

static void pump_drain(void *arg)
{
    pump_fill(arg);
}

static void pump_error(void *arg, int err)
{
    (void)arg;
    ck_abort_msg("stream failed: %s", strerror(err));
}

static const struct stream_ops pump_ops = {
    .on_input = pump_input, .on_eof = pump_eof, .on_error = pump_error, .on_drain = pump_drain};

START_TEST(bulk_both_ways_intact_and_bounded)
{
    struct pump x = {0}, y = {0};
    int one[2], two[2];
    size_t heap_max = 0;

    if (_i == 0) {
        ck_assert_int_eq(pipe2(one, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(two, O_CLOEXEC), 0);
        x.stream = stream_new(&loop, one[0], two[1], NULL, &pump_ops, &x);
        y.stream = stream_new(&loop, two[0], one[1], NULL, &pump_ops, &y);
    } else {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, one), 0);
        x.stream = stream_new(&loop, one[0], one[0], NULL, &pump_ops, &x);
        y.stream = stream_new(&loop, one[1], one[1], NULL, &pump_ops, &y);
    }
    pump_fill(&x);
    pump_fill(&y);
    while (!x.ended || !y.ended) {
        struct mallinfo2 heap;

        loop_turn(&loop, USEC_PER_SEC);
        heap = mallinfo2();
        if (heap.uordblks + heap.hblkhd > heap_max)
            heap_max = heap.uordblks + heap.hblkhd;
    }
    ck_assert(!x.bad && !y.bad);
    ck_assert_uint_eq(x.received, BULK);
    ck_assert_uint_eq(y.received, BULK);
    ck_assert_uint_lt(x.pending_max, 512 * 1024);
    ck_assert_uint_lt(heap_max, 8 * 1024 * 1024);
    stream_free(x.stream);
    stream_free(y.stream);
}
END_TEST

/* A reader that consumes nothing holds no more than in_max, whatever is sent to it. */
START_TEST(stalled_owner_bounds_memory)
{
    static char block[65536];
    size_t sent = 0, idle = 0;

    open_socket(&(struct stream_options){.in_max = 100000});
    a.eat_max = 0;
    make_peer_nonblocking();
    while (idle < 20) {
        ssize_t n = write(peer, block, sizeof(block));

        loop_turn(&loop, 0);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
    }
    ck_assert_uint_eq(stream_received_total(a.stream), 100000);
    ck_assert_uint_lt(sent, 2000000);
}
END_TEST

START_TEST(idle_stream_holds_no_buffers)
{
    static char block[60000];
    struct mallinfo2 before, after;
    char sink[65536];

    open_socket(NULL);
    buf_reserve(&a.got, 1000000);
    loop_turn(&loop, 0);
    before = mallinfo2();
    for (int i = 0; i < 5; i++) {
        a.eat_max = (size_t)i * 1000;
        ck_assert_int_eq(write(peer, block, sizeof(block)), sizeof(block));
        stream_write(a.stream, block, sizeof(block));
        run_for(USEC_PER_MSEC);
        stream_consume(a.stream, stream_input(a.stream).n);
        while (hear(sink, sizeof(sink)) > 0)
            loop_turn(&loop, 0);
        a.eat_max = SIZE_MAX;
        say("x");
        run_for(USEC_PER_MSEC);
        ck_assert_uint_eq(stream_pending(a.stream) + stream_input(a.stream).n, 0);
    }
    after = mallinfo2();
    ck_assert_uint_lt(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd + 2000);
}
END_TEST
int main(void)
{
    TCase *tc = tcase_create("stream_strain");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, free_inside_callbacks, 0, 5);
    tcase_add_test(tc, free_of_another_stream_in_the_same_batch);
    tcase_add_test(tc, free_when_flushed_delivers_everything);
    tcase_add_test(tc, free_when_flushed_gives_up_after_linger);
    tcase_add_test(tc, free_when_flushed_without_linger_still_tries);
    tcase_add_test(tc, regular_file_is_an_error_not_a_crash);
    tcase_add_loop_test(tc, bulk_both_ways_intact_and_bounded, 0, 2);
    tcase_add_test(tc, stalled_owner_bounds_memory);
    tcase_add_test(tc, idle_stream_holds_no_buffers);
    return run_suite("io/stream_strain", tc);
}
