/* io/stream over socket pairs and pipes: what goes in and out of one. The other end is driven by
 * hand, or by a stream as well. */
#include "stream_side.h"

#include <sys/resource.h>

/* --- input --- */

START_TEST(input_arrives_and_is_consumed)
{
    open_socket(NULL);
    say("hello");
    WAIT_FOR(has_got(&a, "hello"));
    say(" world");
    WAIT_FOR(has_got(&a, "hello world"));
    ck_assert_uint_eq(stream_received_total(a.stream), 11);
    ck_assert_uint_eq(stream_input(a.stream).n, 0);
    ck_assert_uint_eq(a.inputs, 2);
    ck_assert_uint_eq(a.stays, 2);
}
END_TEST

START_TEST(unconsumed_input_is_kept_and_extended)
{
    open_socket(NULL);
    a.eat_max = 0;
    say("abc");
    WAIT_FOR(a.inputs == 1);
    ck_assert(slice_is(stream_input(a.stream), "abc"));
    say("def");
    WAIT_FOR(a.inputs == 2);
    ck_assert(slice_is(stream_input(a.stream), "abcdef"));
    stream_consume(a.stream, 2);
    ck_assert(slice_is(stream_input(a.stream), "cdef"));
    a.eat_max = 1;
    say("g");
    WAIT_FOR(a.inputs == 3);
    ck_assert(slice_is(stream_input(a.stream), "defg"));
    run_for(10 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.inputs, 3); /* nothing new, so not called */
    ck_assert_uint_eq(a.stays, 1);  /* the rest lay in the stream's own memory */
}
END_TEST

START_TEST(reading_stops_at_in_max_until_consumed)
{
    static char block[4096];
    size_t sent = 0, before;
    ssize_t n;

    open_socket(&(struct stream_options){.in_max = 10000});
    a.eat_max = 0;
    make_peer_nonblocking();
    while ((n = write(peer, block, sizeof(block))) > 0 || sent == 0) {
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(&loop, 0);
    }
    run_for(10 * USEC_PER_MSEC);
    ck_assert_uint_eq(stream_input(a.stream).n, 10000);
    before = a.inputs;
    run_for(10 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.inputs, before);
    stream_set_in_max(a.stream, 12000);
    WAIT_FOR(stream_input(a.stream).n == 12000);
    a.eat_max = SIZE_MAX;
    stream_consume(a.stream, 1);
    WAIT_FOR(buf_len(&a.got) == sent - 1);
    ck_assert_uint_eq(stream_received_total(a.stream), sent);
}
END_TEST

START_TEST(pause_stops_reading_and_resume_tells_again)
{
    open_socket(NULL);
    a.eat_max = 1;
    a.pause_on_input = true;
    say("abc");
    WAIT_FOR(a.inputs == 1);
    say("def");
    run_for(20 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.inputs, 1);
    ck_assert(slice_is(stream_input(a.stream), "bc"));
    a.pause_on_input = false;
    a.eat_max = SIZE_MAX;
    stream_pause(a.stream);
    stream_resume(a.stream);
    ck_assert_uint_eq(a.inputs, 1); /* told by the loop, not from inside resume */
    WAIT_FOR(has_got(&a, "abcdef"));
    ck_assert_uint_eq(a.inputs, 3);
    stream_resume(a.stream);
    run_for(10 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.inputs, 3);
}
END_TEST

START_TEST(again_tells_once_more_with_input_and_without)
{
    open_socket(NULL);
    a.eat_max = 0;
    say("abc");
    WAIT_FOR(a.inputs == 1);
    stream_again(a.stream);
    stream_again(a.stream);
    ck_assert_uint_eq(a.inputs, 1); /* told by the loop */
    a.eat_max = SIZE_MAX;
    WAIT_FOR(has_got(&a, "abc"));
    ck_assert_uint_eq(a.inputs, 2);
    shutdown(peer, SHUT_WR);
    WAIT_FOR(a.eofs);
    a.asked_again = true;
    stream_again(a.stream);
    WAIT_FOR(a.inputs == 3);
    run_for(10 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.inputs, 3);
    ck_assert_uint_eq(a.eofs, 1);
}
END_TEST

START_TEST(eof_comes_after_the_data_and_output_still_works)
{
    char text[8];

    open_socket(NULL);
    a.eat_max = 0;
    say("last");
    shutdown(peer, SHUT_WR);
    WAIT_FOR(a.eofs);
    ck_assert(slice_is(stream_input(a.stream), "last"));
    ck_assert_uint_eq(a.errors, 0);
    stream_write(a.stream, "reply", 5);
    WAIT_FOR(stream_pending(a.stream) == 0);
    ck_assert_int_eq(hear(text, sizeof(text)), 5);
    run_for(10 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.eofs, 1);
    ck_assert_uint_eq(a.inputs, 1);
}
END_TEST

START_TEST(half_closed_is_not_gone)
{
    open_socket(NULL);
    run_for(10 * USEC_PER_MSEC);
    ck_assert(!stream_peer_gone(a.stream));
    shutdown(peer, SHUT_WR);
    WAIT_FOR(a.eofs);
    ck_assert(!stream_peer_gone(a.stream));
    close(peer);
    peer = -1;
    ck_assert(stream_peer_gone(a.stream));
}
END_TEST

static usec_t cpu_time(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (usec_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * USEC_PER_SEC +
           (usec_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* epoll reports a hang-up as long as the descriptor is registered: whatever state the stream is in,
 * that must not keep the loop busy. */
START_TEST(hangup_does_not_spin)
{
    struct linger reset = {1, 0};
    usec_t before;

    open_socket(NULL);
    if (_i & 1)
        stream_pause(a.stream);
    if (_i & 2)
        setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (_i & 4)
        say("unread");
    loop_turn(&loop, 0);
    close(peer);
    peer = -1;
    loop_turn(&loop, 10 * USEC_PER_MSEC);
    before = cpu_time();
    run_for(100 * USEC_PER_MSEC);
    ck_assert_uint_lt(cpu_time() - before, 50 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.eofs, _i & 1 ? 0 : 1);
    /* A paused stream learns of it by its next write. */
    stream_write(a.stream, "x", 1);
    WAIT_FOR(a.errors);
    ck_assert_int_eq(a.err, EPIPE);
}
END_TEST

/* --- output --- */

START_TEST(writes_of_a_turn_leave_together_at_its_end)
{
    char text[64];
    struct blob *blob = blob_new("B", 1);

    open_socket(NULL);
    stream_write(a.stream, "one ", 4);
    stream_write_blob(a.stream, blob, 0, 1);
    stream_write(a.stream, " two", 4);
    memcpy(stream_extend(a.stream, 6), " three", 6);
    ck_assert_uint_eq(blob->refs, 1); /* small: copied */
    ck_assert_uint_eq(stream_pending(a.stream), 15);
    ck_assert_uint_eq(stream_queued_total(a.stream), 15);
    ck_assert_uint_eq(stream_sent_total(a.stream), 0);
    ck_assert_int_eq(hear(text, sizeof(text)), -EAGAIN);
    loop_turn(&loop, 0);
    ck_assert_int_eq(hear(text, sizeof(text)), 15);
    ck_assert_mem_eq(text, "one B two three", 15);
    ck_assert_uint_eq(stream_pending(a.stream), 0);
    ck_assert_uint_eq(stream_sent_total(a.stream), 15);
    ck_assert_uint_eq(stream_queued_total(a.stream), 15);
    blob_unref(blob);
}
END_TEST

START_TEST(nothing_is_written_behind_the_end_of_output)
{
    open_socket(NULL);
    ck_assert_ptr_null(stream_extend(a.stream, 0));
    stream_end_output(a.stream);
    stream_write(a.stream, "x", 1);
    ck_assert_ptr_null(stream_extend(a.stream, 1));
    ck_assert_uint_eq(stream_queued_total(a.stream), 0);
}
END_TEST

#define BLOB_SIZE 1000000

static struct blob *pattern_blob(void)
{
    char *p;
    struct blob *blob = blob_alloc(BLOB_SIZE, &p);

    for (size_t i = 0; i < BLOB_SIZE; i++)
        p[i] = (char)(i * 2654435761u >> 13);
    return blob;
}

static size_t passed_upto;
static unsigned passed_calls;

static void note_passed(struct blob *blob, size_t upto)
{
    ck_assert_uint_le(upto, blob->n);
    ck_assert_uint_ge(upto, passed_upto);
    passed_upto = upto;
    passed_calls++;
}

START_TEST(blobs_and_copies_keep_their_order)
{
    struct blob *blob = pattern_blob();
    struct buf want = BUF_INIT, got = BUF_INIT;

    open_socket(NULL);
    for (int i = 0; i < 200; i++) {
        char text[16];
        size_t n = (size_t)snprintf(text, sizeof(text), "<%d>", i);
        size_t off = (size_t)i * 4500, len = i % 3 ? 5000 : 4096;

        if (i % 5) {
            stream_write(a.stream, text, n);
            buf_append(&want, text, n);
        }
        stream_write_blob(a.stream, blob, off, len);
        buf_append(&want, blob->p + off, len);
    }
    ck_assert_uint_gt(blob->refs, 100);
    ck_assert_uint_eq(stream_pending(a.stream), buf_len(&want));
    while (buf_len(&got) < buf_len(&want)) {
        ssize_t n;

        loop_turn(&loop, 0);
        n = hear(buf_reserve(&got, 3000), 3000);
        ck_assert_uint_eq(stream_sent_total(a.stream) + stream_pending(a.stream), buf_len(&want));
        if (n > 0)
            buf_added(&got, (size_t)n);
    }
    ck_assert(slice_eq(buf_peek(&got), buf_peek(&want)));
    ck_assert_uint_eq(blob->refs, 1);
    blob_unref(blob);
    buf_done(&want);
    buf_done(&got);
}
END_TEST

START_TEST(blob_is_told_what_passed_and_released_when_written)
{
    struct blob *blob = pattern_blob();
    static char sink[65536];
    size_t heard = 0;

    blob->passed = note_passed;
    open_socket(NULL);
    stream_write_blob(a.stream, blob, 100, BLOB_SIZE - 100);
    ck_assert_uint_eq(blob->refs, 2);
    while (heard < BLOB_SIZE - 100) {
        ssize_t n;

        loop_turn(&loop, 0);
        ck_assert_uint_eq(passed_upto, 100 + stream_sent_total(a.stream));
        n = hear(sink, sizeof(sink));
        heard += n > 0 ? (size_t)n : 0;
    }
    ck_assert_uint_eq(passed_upto, BLOB_SIZE);
    ck_assert_uint_gt(passed_calls, 2);
    ck_assert_uint_eq(blob->refs, 1);
    /* And by a stream that is freed in the middle. */
    passed_upto = 0;
    stream_write_blob(a.stream, blob, 0, BLOB_SIZE);
    loop_turn(&loop, 0);
    ck_assert_uint_eq(blob->refs, 2);
    free_side(&a);
    ck_assert_uint_eq(blob->refs, 1);
    blob_unref(blob);
}
END_TEST

START_TEST(drain_is_told_once_per_rise)
{
    static char block[300000], sink[65536];
    size_t heard = 0;

    open_socket(&(struct stream_options){.drain_low = 1000});
    stream_write(a.stream, block, 1000);
    WAIT_FOR(stream_pending(a.stream) == 0);
    ck_assert_uint_eq(a.drains, 0); /* was never above */
    while (hear(sink, sizeof(sink)) > 0)
        ;
    for (unsigned round = 1; round <= 3; round++) {
        for (int i = 0; i < 5; i++)
            stream_write(a.stream, block, sizeof(block));
        for (heard = 0; heard < 5 * sizeof(block);) {
            ssize_t n;

            loop_turn(&loop, 0);
            ck_assert_uint_eq(a.drains, stream_pending(a.stream) > 1000 ? round - 1 : round);
            n = hear(sink, sizeof(sink));
            heard += n > 0 ? (size_t)n : 0;
        }
        ck_assert_uint_eq(a.drains, round);
    }
}
END_TEST

START_TEST(write_error_comes_from_the_loop_once)
{
    open_socket(NULL);
    stream_pause(a.stream);
    loop_turn(&loop, 0);
    close(peer);
    peer = -1;
    stream_write(a.stream, "x", 1);
    ck_assert_uint_eq(a.errors, 0);
    WAIT_FOR(a.errors);
    ck_assert_int_eq(a.err, EPIPE);
    ck_assert_uint_eq(stream_queued_total(a.stream), 1);
    ck_assert_uint_eq(stream_sent_total(a.stream), 0);
    stream_write(a.stream, "y", 1);
    stream_resume(a.stream);
    stream_end_output(a.stream);
    run_for(10 * USEC_PER_MSEC);
    ck_assert_uint_eq(a.errors, 1);
    ck_assert_uint_eq(a.eofs + a.inputs, 0);
    ck_assert_uint_eq(stream_queued_total(a.stream), 1);
}
END_TEST

/* A stalled peer that goes away while we wait for it: no read is armed, the write must notice. */
START_TEST(peer_gone_with_output_pending)
{
    static char block[4000000];

    open_socket(NULL);
    stream_pause(a.stream);
    stream_write(a.stream, block, sizeof(block));
    run_for(10 * USEC_PER_MSEC);
    ck_assert_uint_gt(stream_pending(a.stream), 0);
    ck_assert_uint_eq(a.errors, 0);
    close(peer);
    peer = -1;
    WAIT_FOR(a.errors);
    ck_assert(a.err == EPIPE || a.err == ECONNRESET);
}
END_TEST

/* A child's last words: it answers, closes both ends, and our write to it fails. */
START_TEST(input_before_a_write_error_is_delivered_first)
{
    int to[2], from[2];
    static char words[200000];

    ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
    ck_assert_int_ge(fcntl(from[1], F_SETPIPE_SZ, 1 << 18), (int)sizeof(words));
    open_side(&a, from[0], to[1], &(struct stream_options){.in_max = 1 << 20});
    ck_assert_int_eq(write(from[1], words, sizeof(words)), sizeof(words));
    close(from[1]);
    close(to[0]);
    stream_write(a.stream, "request", 7);
    /* Straight to the end of a turn, so that the write comes before any read. */
    env_run(&loop.env, clock_monotonic());
    ck_assert_uint_eq(a.errors, 1);
    ck_assert_int_eq(a.err, EPIPE);
    ck_assert_uint_eq(a.got_at_error, sizeof(words));
}
END_TEST

START_TEST(end_output_tells_the_peer_after_the_data)
{
    static char block[1000000];
    char sink[65536];
    size_t heard = 0;
    ssize_t n = 1;

    open_socket(NULL);
    stream_write(a.stream, block, sizeof(block));
    stream_end_output(a.stream);
    stream_write(a.stream, "ignored", 7);
    ck_assert_uint_eq(stream_queued_total(a.stream), sizeof(block));
    while (n != 0) {
        loop_turn(&loop, 0);
        n = hear(sink, sizeof(sink));
        heard += n > 0 ? (size_t)n : 0;
    }
    ck_assert_uint_eq(heard, sizeof(block));
    say("still listening");
    WAIT_FOR(has_got(&a, "still listening"));
}
END_TEST

START_TEST(end_output_closes_a_pipe)
{
    int to[2], from[2];
    char text[8];

    ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
    open_side(&a, from[0], to[1], NULL);
    stream_write(a.stream, "bye", 3);
    stream_end_output(a.stream);
    loop_turn(&loop, 0);
    ck_assert_int_eq(read(to[0], text, sizeof(text)), 3);
    ck_assert_int_eq(read(to[0], text, sizeof(text)), 0);
    ck_assert_int_eq(write(from[1], "in", 2), 2);
    WAIT_FOR(has_got(&a, "in"));
    close(to[0]);
    close(from[1]);
    WAIT_FOR(a.eofs);
}
END_TEST
int main(void)
{
    TCase *tc = tcase_create("stream");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, input_arrives_and_is_consumed);
    tcase_add_test(tc, unconsumed_input_is_kept_and_extended);
    tcase_add_test(tc, reading_stops_at_in_max_until_consumed);
    tcase_add_test(tc, pause_stops_reading_and_resume_tells_again);
    tcase_add_test(tc, again_tells_once_more_with_input_and_without);
    tcase_add_test(tc, eof_comes_after_the_data_and_output_still_works);
    tcase_add_test(tc, half_closed_is_not_gone);
    tcase_add_loop_test(tc, hangup_does_not_spin, 0, 8);
    tcase_add_test(tc, writes_of_a_turn_leave_together_at_its_end);
    tcase_add_test(tc, nothing_is_written_behind_the_end_of_output);
    tcase_add_test(tc, blobs_and_copies_keep_their_order);
    tcase_add_test(tc, blob_is_told_what_passed_and_released_when_written);
    tcase_add_test(tc, drain_is_told_once_per_rise);
    tcase_add_test(tc, write_error_comes_from_the_loop_once);
    tcase_add_test(tc, peer_gone_with_output_pending);
    tcase_add_test(tc, input_before_a_write_error_is_delivered_first);
    tcase_add_test(tc, end_output_tells_the_peer_after_the_data);
    tcase_add_test(tc, end_output_closes_a_pipe);
    return run_suite("io/stream", tc);
}
