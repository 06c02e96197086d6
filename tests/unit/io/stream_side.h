/* What the tests of io/stream share: streams that remember what they were told, and a peer driven
 * by hand. */
#ifndef TESTS_STREAM_SIDE_H
#define TESTS_STREAM_SIDE_H

#include "base/buf.h"
#include "base/util.h"
#include "io/stream.h"
#include "io_test.h"

#include <errno.h>
#include <sys/socket.h>

/* A stream under test with everything that was heard from it. */
struct side {
    struct stream *stream;
    struct buf got;
    size_t eat_max; /* consume at most this many bytes per on_input; SIZE_MAX = all */
    unsigned inputs, stays, eofs, drains, errors;
    int err;
    bool free_on_input, free_on_eof, free_on_error, free_on_drain, pause_on_input;
    bool asked_again; /* by stream_again: there may be no input */
    size_t got_at_error;
};

static struct side a, b;
static int peer = -1; /* the other end of a's socket, blocking unless said otherwise */

static inline void free_side(struct side *s)
{
    stream_free(s->stream);
    s->stream = NULL;
}

static inline void on_input(void *arg)
{
    struct side *s = arg;
    struct slice in = stream_input(s->stream);
    size_t n = in.n < s->eat_max ? in.n : s->eat_max;
    bool stays = stream_input_stays(s->stream);

    ck_assert(in.n > 0 || s->asked_again);
    s->inputs++;
    buf_append(&s->got, in.p, n);
    stream_consume(s->stream, n);
    if (s->pause_on_input)
        stream_pause(s->stream);
    if (s->free_on_input)
        free_side(s);
    s->stays += stays;
    if (stays && n > 0) /* consumed and perhaps freed */
        ck_assert_mem_eq(in.p, buf_peek(&s->got).p + buf_len(&s->got) - n, n);
}

static inline void on_eof(void *arg)
{
    struct side *s = arg;

    s->eofs++;
    if (s->free_on_eof)
        free_side(s);
}

static inline void on_error(void *arg, int err)
{
    struct side *s = arg;

    s->errors++;
    s->err = err;
    s->got_at_error = buf_len(&s->got);
    if (s->free_on_error)
        free_side(s);
}

static inline void on_drain(void *arg)
{
    struct side *s = arg;

    s->drains++;
    if (s->free_on_drain)
        free_side(s);
}

static const struct stream_ops ops = {
    .on_input = on_input, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};

static inline void open_side(struct side *s, int rfd, int wfd, const struct stream_options *opt)
{
    *s = (struct side){.eat_max = SIZE_MAX};
    s->stream = stream_new(&loop, rfd, wfd, opt, &ops, s);
}

static inline void open_socket(const struct stream_options *opt)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_side(&a, fds[0], fds[0], opt);
    peer = fds[1];
}

static inline void setup(void)
{
    setup_loop();
}

static inline void teardown(void)
{
    free_side(&a);
    free_side(&b);
    buf_done(&a.got);
    buf_done(&b.got);
    if (peer >= 0)
        close(peer);
    teardown_loop();
}

static inline void say(const char *text)
{
    ck_assert_int_eq(write(peer, text, strlen(text)), (ssize_t)strlen(text));
}

static inline void make_peer_nonblocking(void)
{
    ck_assert_int_eq(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
}

/* What the peer has received so far. */
static inline ssize_t hear(void *out, size_t n)
{
    ssize_t got = recv(peer, out, n, MSG_DONTWAIT);

    return got < 0 ? -errno : got;
}

static inline bool has_got(const struct side *s, const char *text)
{
    return slice_is(buf_peek(&s->got), text);
}

#endif
