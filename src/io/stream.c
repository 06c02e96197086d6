/* Two directions that know little of each other, over plain libevent events.
 *
 * In: one read of at most READ_MAX per wake-up, into a buffer shared by all streams; what the owner
 * does not consume at once is kept in `in`. So an idle stream owns no memory, and a bulk stream
 * that consumes everything copies nothing. Reading is armed iff wants_input().
 *
 * Out: queued in `out`, written by `turn`, a task for the end of the turn; EV_WRITE is armed only
 * while the kernel has not taken everything (`write_event` is there), and then only its event
 * writes.
 *
 * Life: OPEN -> (BROKEN | CLOSING) -> DEAD, forward only. BROKEN: on_error was called, the owner
 * has yet to free. CLOSING: stream_free_when_flushed; nobody hears of it any more. DEAD: closed;
 * the memory goes with the loop's corpses. Every callback may free the stream, so after each the
 * state is looked at again before anything else.
 *
 * epoll reports EPOLLERR and EPOLLHUP for any registered descriptor, and libevent hands them to
 * read and write events only: a descriptor with neither must not stay registered, or the loop would
 * spin. That is why a paused stream without pending output watches nothing. */
#include "io/stream.h"

#include "base/buf.h"
#include "base/util.h"
#include "outq.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_MAX_DEFAULT    (64 * 1024)
#define DRAIN_LOW_DEFAULT (64 * 1024)
#define READ_MAX          STREAM_BYTES_MAX
/* Reads after a failed write, for what the peer said before it left. */
#define LAST_READS_MAX 16
/* writev: entries and bytes at once, and calls per wake-up. A peer that reads as fast as we write
 * could keep us in one call for as long as there is something to write, and what a mapped blob gave
 * of itself goes only after the call. */
#define IOV_COUNT  64
#define WRITE_MAX  ((size_t)1024 * 1024)
#define WRITES_MAX 4
/* Blob pieces up to this size are copied: a reference costs an allocation and an iovec entry. */
#define COPY_MAX 4096
/* A pipe that carries bulk is made this big, four times as fast as the default. All pipes of a user
 * without privilege share fs.pipe-user-pages-soft (64 MiB by default), beyond which new pipes are
 * tiny, so only so many of ours may grow at a time. */
#define PIPE_BULK_SIZE (1024 * 1024)
#define PIPE_BULK_MAX  32

enum stream_state {
    STREAM_OPEN,
    STREAM_BROKEN,
    STREAM_CLOSING,
    STREAM_DEAD,
};

/* There may be very many that have nothing to do, so what few need is made when they do. */
struct stream {
    struct loop *loop;
    const struct stream_ops *ops;
    void *arg;
    int rfd, wfd;
    enum stream_state state : 8;
    bool rfd_is_pipe : 1, wfd_is_pipe : 1, wfd_is_socket : 1;
    bool rfd_grown : 1, wfd_grown : 1; /* hold one of PIPE_BULK_MAX */
    bool read_armed : 1;
    bool paused : 1;
    bool eof : 1;
    bool input_waits : 1; /* on_input is due although nothing new came */
    bool ending : 1;      /* stream_end_output: no more is queued */
    bool ended : 1;       /* and the peer was told */
    bool above_low : 1;   /* on_drain is due when pending falls to drain_low */
    bool unwatched : 1;   /* the loop does not take the descriptor: told at the turn's end */

    uint32_t in_max, drain_low;
    uint32_t fresh_n;
    const char *fresh; /* unconsumed bytes still in the shared buffer; `in` is empty then */
    struct buf in;
    struct outq out;
    uint64_t sent_total, received_total;
    struct stream_trace *trace; /* NULL: nobody goes on after us */

    struct event read_event;
    struct event *write_event; /* armed; NULL: nothing waits for the kernel */
    struct timer *linger;      /* CLOSING: the end in any case */
    union {
        struct task turn;
        struct loop_corpse corpse; /* DEAD */
    };
};

/* The bytes of one read, valid during the callback that it leads to. */
static struct stream_io own_io;
static struct stream_io *stream_io = &own_io;

static unsigned grown_pipes;

/* Whether a pipe is one of PIPE_BULK_MAX now; `grown`: whether it was before. */
static bool grow_pipe(int fd, bool grown)
{
    if (grown || grown_pipes >= PIPE_BULK_MAX)
        return grown;
    /* Tried once: a refusal (EPERM at the user's limit) only leaves it slower. */
    grown_pipes++;
    (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BULK_SIZE);
    return true;
}

/* --- ends --- */

static void disarm_writing(struct stream *s)
{
    if (s->write_event)
        event_free(s->write_event);
    s->write_event = NULL;
}

static void close_wfd(struct stream *s)
{
    disarm_writing(s);
    if (s->wfd >= 0 && s->wfd != s->rfd)
        close(s->wfd);
    s->wfd = -1;
    if (s->wfd_grown)
        grown_pipes--;
    s->wfd_grown = false;
}

static void close_rfd(struct stream *s)
{
    if (s->read_armed)
        event_del(&s->read_event);
    s->read_armed = false;
    if (s->rfd >= 0 && s->rfd != s->wfd)
        close(s->rfd);
    s->rfd = -1;
    if (s->rfd_grown)
        grown_pipes--;
    s->rfd_grown = false;
}

static void free_memory(void *arg)
{
    free(arg);
}

void stream_free(struct stream *s)
{
    if (!s || s->state == STREAM_DEAD)
        return;
    s->state = STREAM_DEAD;
    close_wfd(s);
    close_rfd(s);
    env_task_clear(&s->loop->env, &s->turn);
    if (s->linger)
        env_timer_clear(&s->loop->env, s->linger);
    free(s->linger);
    s->linger = NULL;
    buf_done(&s->in);
    s->fresh_n = 0;
    outq_done(&s->out);
    loop_bury(s->loop, &s->corpse, free_memory, s);
}

/* The only way to BROKEN. Called from the loop. */
static void fail(struct stream *s, int err)
{
    if (s->state == STREAM_CLOSING) {
        stream_free(s);
        return;
    }
    if (s->state != STREAM_OPEN)
        return;
    s->state = STREAM_BROKEN;
    if (s->read_armed)
        event_del(&s->read_event);
    s->read_armed = false;
    disarm_writing(s);
    env_task_clear(&s->loop->env, &s->turn);
    s->ops->on_error(s->arg, err);
}

static bool alive(const struct stream *s)
{
    return s->state == STREAM_OPEN || s->state == STREAM_CLOSING;
}

static void schedule(struct stream *s)
{
    if (alive(s) && !s->turn.queued)
        env_defer(&s->loop->env, &s->turn);
}

/* --- input --- */

struct slice stream_input(const struct stream *s)
{
    return s->fresh_n > 0 ? slice_of(s->fresh, s->fresh_n) : buf_peek(&s->in);
}

static bool wants_input(const struct stream *s)
{
    return alive(s) && s->rfd >= 0 && !s->eof && !s->paused &&
           (s->state == STREAM_CLOSING || buf_len(&s->in) < s->in_max);
}

static void arm_reading(struct stream *s)
{
    bool want = wants_input(s);

    if (want == s->read_armed)
        return;
    s->read_armed = want;
    if (!want)
        event_del(&s->read_event);
    else if (event_add(&s->read_event, NULL) < 0)
        fail(s, EIO); /* a descriptor that epoll does not take, such as a regular file */
}

/* Calls on_input for what is there and keeps what was not consumed. */
static void deliver_input(struct stream *s)
{
    s->input_waits = false;
    if (s->state == STREAM_CLOSING) {
        s->fresh_n = 0;
        return;
    }
    s->ops->on_input(s->arg);
    if (s->fresh_n > 0)
        buf_append(&s->in, s->fresh, s->fresh_n);
    s->fresh_n = 0;
    if (alive(s))
        buf_shrink(&s->in);
}

/* A read of a traced socket. As read(2); -1 and errno. Apart, so that its locals do not burden the
 * others. */
static __attribute__((noinline)) ssize_t read_traced(struct stream *s, char *to, size_t n)
{
    static struct iovec iov;

    iov = (struct iovec){.iov_base = to, .iov_len = n};
    stream_io->read.msg_hdr.msg_iov = &iov;
    stream_io->read.msg_hdr.msg_iovlen = 1; /* the rest is always 0 */
    TRACE_SET(stream_io->read.msg_len, STREAM_IO_NOTHING);
    TRACE_SET(stream_io->read_base, s->received_total);
    if (to == stream_io->bytes) {
        TRACE_SET(stream_io->at, s->received_total);
        TRACE_SET(stream_io->owner, s->trace->serial);
    }
    TRACE_SET(s->trace->reading, 1);
    int r = recvmmsg(s->rfd, &stream_io->read, 1, 0, NULL);
    ssize_t got = r == 1 ? (ssize_t)stream_io->read.msg_len : -1;
    if (got > 0)
        TRACE_SET(s->trace->received, s->received_total + (uint64_t)got);
    TRACE_SET(s->trace->reading, 0);
    return got;
}

/* read(2) into the common buffer or another; what was in the common one is nobody's any more. */
static ssize_t read_some(struct stream *s, char *to, size_t n)
{
    TRACE_SET(stream_io->owner, 0);
    return s->trace ? read_traced(s, to, n) : read(s->rfd, to, n);
}

/* One read and its delivery. Returns what read(2) returned, or -errno; 0 as well when there is no
 * room. */
static ssize_t read_once(struct stream *s)
{
    bool direct = buf_len(&s->in) == 0;
    size_t room = s->state == STREAM_CLOSING ? READ_MAX : s->in_max - buf_len(&s->in);
    size_t want = room < READ_MAX ? room : READ_MAX;
    char *to = direct ? stream_io->bytes : buf_reserve(&s->in, want);

    ssize_t n = read_some(s, to, want);

    if (n < 0)
        return -errno;
    if (n == 0)
        return 0;
    s->received_total += (uint64_t)n;
    if (s->rfd_is_pipe && n == READ_MAX)
        s->rfd_grown = grow_pipe(s->rfd, s->rfd_grown);
    if (direct) {
        s->fresh = stream_io->bytes;
        s->fresh_n = (uint32_t)n;
    } else {
        buf_added(&s->in, (size_t)n);
    }
    deliver_input(s);
    return n;
}

static bool is_transient(ssize_t r)
{
    return r == -EAGAIN || r == -EWOULDBLOCK || r == -EINTR;
}

static void on_eof(struct stream *s)
{
    s->eof = true;
    arm_reading(s);
    if (s->state == STREAM_OPEN)
        s->ops->on_eof(s->arg);
    else if (s->ended)
        stream_free(s);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct stream *s = arg;
    ssize_t n;

    (void)fd;
    (void)what;
    loop_touch(s->loop);
    if (!wants_input(s)) { /* paused by another callback of this turn */
        arm_reading(s);
        return;
    }
    n = read_once(s);
    if (!alive(s) || is_transient(n))
        return;
    if (n < 0)
        fail(s, (int)-n);
    else if (n == 0)
        on_eof(s);
    else if (!wants_input(s))
        schedule(s); /* at the end of the turn it may want again: that saves two epoll_ctl */
}

/* A write failed. What the peer sent before it left may be the very answer: hand it over first. */
static void fail_after_input(struct stream *s, int err)
{
    for (int i = 0; i < LAST_READS_MAX && s->state == STREAM_OPEN && wants_input(s); i++)
        if (read_once(s) <= 0)
            break;
    if (alive(s))
        fail(s, err);
}

bool stream_input_stays(const struct stream *s)
{
    return s->fresh_n > 0;
}

void stream_consume(struct stream *s, size_t n)
{
    if (s->fresh_n > 0) {
        assert(n <= s->fresh_n);
        s->fresh += n;
        s->fresh_n -= (uint32_t)n;
        return;
    }
    if (n == 0)
        return;
    buf_consume(&s->in, n);
    if (wants_input(s) != s->read_armed)
        schedule(s);
}

void stream_set_in_max(struct stream *s, size_t in_max)
{
    assert(in_max <= UINT32_MAX);
    s->in_max = (uint32_t)in_max;
    schedule(s);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    schedule(s);
}

void stream_resume(struct stream *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    s->input_waits = stream_input(s).n > 0;
    schedule(s);
}

void stream_again(struct stream *s)
{
    s->input_waits = true;
    schedule(s);
}

/* --- output --- */

static bool takes_output(const struct stream *s)
{
    return s->state == STREAM_OPEN && s->wfd >= 0 && !s->ending;
}

static void queued(struct stream *s)
{
    if (s->out.n > s->drain_low)
        s->above_low = true;
    if (!s->write_event)
        schedule(s);
}

void stream_write(struct stream *s, const void *p, size_t n)
{
    if (!takes_output(s) || n == 0)
        return;
    memcpy(outq_extend(&s->out, n), p, n);
    queued(s);
}

char *stream_extend(struct stream *s, size_t n)
{
    char *to;

    if (!takes_output(s) || n == 0)
        return NULL;
    to = outq_extend(&s->out, n);
    queued(s);
    return to;
}

void stream_write_blob(struct stream *s, struct blob *b, size_t off, size_t n)
{
    assert(off <= b->n && n <= b->n - off);
    if (n <= COPY_MAX) {
        stream_write(s, b->p + off, n);
        return;
    }
    if (!takes_output(s))
        return;
    outq_ref(&s->out, b, off, n);
    queued(s);
}

/* A write to a traced socket. As sendmsg(2); -1 and errno. */
static __attribute__((noinline)) ssize_t write_traced(struct stream *s, struct iovec *iov,
                                                      int count)
{
    stream_io->write.msg_hdr.msg_iov = iov;
    stream_io->write.msg_hdr.msg_iovlen = (size_t)count;
    TRACE_SET(stream_io->write.msg_len, STREAM_IO_NOTHING);
    TRACE_SET(stream_io->write_base, s->sent_total);
    TRACE_SET(s->trace->target, s->sent_total + s->out.n);
    TRACE_SET(s->trace->writing, 1);
    int r = sendmmsg(s->wfd, &stream_io->write, 1, MSG_NOSIGNAL);
    ssize_t sent = r == 1 ? (ssize_t)stream_io->write.msg_len : -1;
    if (sent > 0)
        TRACE_SET(s->trace->sent, s->sent_total + (uint64_t)sent);
    if (sent == (ssize_t)s->out.n)
        TRACE_SET(s->trace->flushed, s->sent_total + s->out.n);
    TRACE_SET(s->trace->writing, 0);
    return sent;
}

/* The usual output: copied bytes only. Below as well: what was offered is in *ret_offered. */
static ssize_t write_flat(struct stream *s, size_t *ret_offered)
{
    struct slice bytes = buf_peek(&s->out.copied);

    *ret_offered = bytes.n;
    if (s->trace) {
        struct iovec iov = {.iov_base = (void *)bytes.p, .iov_len = bytes.n};
        return write_traced(s, &iov, 1);
    }
    return s->wfd_is_socket ? send(s->wfd, bytes.p, bytes.n, MSG_NOSIGNAL)
                            : write(s->wfd, bytes.p, bytes.n);
}

static __attribute__((noinline)) ssize_t write_pieces(struct stream *s, size_t *ret_offered)
{
    struct iovec iov[IOV_COUNT];
    int count = outq_peek(&s->out, iov, IOV_COUNT, WRITE_MAX, ret_offered);
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};

    if (s->trace)
        return write_traced(s, iov, count);
    return s->wfd_is_socket ? sendmsg(s->wfd, &msg, MSG_NOSIGNAL) : writev(s->wfd, iov, count);
}

/* Writes until the kernel takes no more, within WRITES_MAX. 0 or -errno. */
static int write_queue(struct stream *s)
{
    for (int i = 0; i < WRITES_MAX && s->out.n > 0; i++) {
        size_t offered;
        ssize_t n = outq_is_flat(&s->out) ? write_flat(s, &offered) : write_pieces(s, &offered);

        if (n < 0)
            return is_transient(-errno) ? 0 : -errno;
        s->sent_total += (uint64_t)n;
        outq_consume(&s->out, (size_t)n);
        if ((size_t)n < offered)
            break;
    }
    return 0;
}

size_t stream_take_back(struct stream *s)
{
    char path[32], sink[4096];
    size_t taken = 0;
    ssize_t n;

    if (!s->wfd_is_pipe || s->wfd < 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->wfd);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while ((n = read(fd, sink, sizeof(sink))) > 0)
        taken += (size_t)n;
    close(fd);
    s->sent_total -= taken;
    return taken;
}

/* Everything queued is written: tells the peer if that was the end. */
static void end_output(struct stream *s)
{
    s->ended = true;
    if (s->wfd_is_socket && s->rfd == s->wfd)
        shutdown(s->wfd, SHUT_WR);
    else
        close_wfd(s);
    /* Nothing to be lost over unread input any more, except on a socket that still has a reader. */
    if (s->state == STREAM_CLOSING && (s->eof || s->rfd < 0 || s->wfd < 0))
        stream_free(s);
}

static void on_writable(evutil_socket_t fd, short what, void *arg);

static bool arm_writing(struct stream *s)
{
    s->write_event = event_new(s->loop->base, s->wfd, EV_WRITE | EV_PERSIST, on_writable, s);
    if (s->write_event && event_add(s->write_event, NULL) == 0)
        return true;
    disarm_writing(s);
    return false;
}

static void flush(struct stream *s)
{
    int r = write_queue(s);

    if (r < 0) {
        fail_after_input(s, -r);
        return;
    }
    if (s->wfd_is_pipe && s->out.n > READ_MAX)
        s->wfd_grown = grow_pipe(s->wfd, s->wfd_grown);
    if (s->out.n == 0) {
        disarm_writing(s);
    } else if (!s->write_event) {
        if (!arm_writing(s)) {
            fail(s, EIO);
            return;
        }
        outq_wait(&s->out);
    }
    if (s->out.n == 0 && s->ending && !s->ended)
        end_output(s);
    if (s->state == STREAM_OPEN && s->above_low && s->out.n <= s->drain_low) {
        s->above_low = false;
        if (s->ops->on_drain)
            s->ops->on_drain(s->arg);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct stream *s = arg;

    (void)fd;
    (void)what;
    loop_touch(s->loop);
    if (alive(s) && s->write_event)
        flush(s);
}

size_t stream_pending(const struct stream *s)
{
    return s->out.n;
}

uint64_t stream_queued_total(const struct stream *s)
{
    return s->sent_total + s->out.n;
}

uint64_t stream_sent_total(const struct stream *s)
{
    return s->sent_total;
}

uint64_t stream_received_total(const struct stream *s)
{
    return s->received_total;
}

void stream_end_output(struct stream *s)
{
    if (s->wfd < 0 || s->ending)
        return;
    s->ending = true;
    schedule(s);
}

/* --- the whole --- */

/* The end of a turn in which something about the stream changed. */
static void on_turn(void *arg)
{
    struct stream *s = arg;

    if (s->unwatched) {
        fail(s, EIO);
        return;
    }
    if (s->wfd >= 0 && !s->write_event && (s->out.n > 0 || (s->ending && !s->ended)))
        flush(s);
    if (alive(s) && s->input_waits && !s->paused)
        deliver_input(s);
    if (alive(s))
        arm_reading(s);
}

static void on_linger_over(void *arg)
{
    struct stream *s = arg;

    /* Timers run before tasks: with a linger of 0 nothing was tried yet. */
    if (s->wfd >= 0 && !s->write_event)
        (void)write_queue(s);
    stream_free(s);
}

void stream_free_when_flushed(struct stream *s, usec_t linger)
{
    if (!s || s->state == STREAM_DEAD)
        return;
    if (s->state == STREAM_BROKEN || s->wfd < 0) {
        stream_free(s);
        return;
    }
    s->state = STREAM_CLOSING;
    s->ending = true;
    s->paused = false;
    buf_done(&s->in);
    s->fresh_n = 0;
    if (s->rfd != s->wfd)
        close_rfd(s);
    if (s->ended && s->eof) {
        stream_free(s);
        return;
    }
    if (!s->linger) {
        s->linger = xmalloc(sizeof(*s->linger));
        timer_init(s->linger, on_linger_over, s);
    }
    env_timer_set(&s->loop->env, s->linger, s->loop->env.now + linger);
    schedule(s);
}

int stream_rfd(const struct stream *s)
{
    return s->rfd;
}

void stream_set_trace(struct stream *s, struct stream_trace *trace)
{
    s->trace = trace;
    if (!trace)
        return;
    trace->received = s->received_total;
    trace->sent = trace->target = s->sent_total;
    trace->flushed = s->out.n == 0 ? s->sent_total : 0;
    trace->reading = trace->writing = 0;
}

void stream_go_on(struct stream *s, uint64_t received, uint64_t sent, struct slice rest)
{
    assert(s->received_total == 0 && s->sent_total == 0 && s->out.n == 0);
    s->received_total = received;
    s->sent_total = sent;
    if (rest.n == 0)
        return;
    buf_append_slice(&s->in, rest);
    s->input_waits = true;
    schedule(s);
}

void stream_use_io(struct stream_io *io)
{
    stream_io = io ? io : &own_io;
    /* Of an earlier process only msg_len means anything. */
    stream_io->read.msg_hdr = stream_io->write.msg_hdr = (struct msghdr){0};
}

void stream_shut(struct stream *s)
{
    if (s->wfd_is_socket && s->wfd >= 0)
        shutdown(s->wfd, SHUT_RDWR);
}

bool stream_peer_gone(const struct stream *s)
{
    struct pollfd p = {.fd = s->rfd};
    return s->rfd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* Makes fd non-blocking; the mode of the file it is open on, 0 when that cannot be told. */
static mode_t prepare(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && !(flags & O_NONBLOCK))
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return fstat(fd, &st) < 0 ? 0 : st.st_mode;
}

struct stream *stream_new(struct loop *loop, int rfd, int wfd, const struct stream_options *opt,
                          const struct stream_ops *ops, void *arg)
{
    struct stream *s = xcalloc(1, sizeof(*s));
    mode_t mode = 0;

    assert(!opt || (opt->in_max <= UINT32_MAX && opt->drain_low <= UINT32_MAX));
    s->loop = loop;
    s->ops = ops;
    s->arg = arg;
    s->rfd = rfd;
    s->wfd = wfd;
    s->in_max = opt && opt->in_max ? (uint32_t)opt->in_max : IN_MAX_DEFAULT;
    s->drain_low = opt && opt->drain_low ? (uint32_t)opt->drain_low : DRAIN_LOW_DEFAULT;
    outq_init(&s->out);
    task_init(&s->turn, on_turn, s);
    if (rfd >= 0) {
        mode = prepare(rfd);
        s->rfd_is_pipe = S_ISFIFO(mode);
        event_assign(&s->read_event, loop->base, rfd, EV_READ | EV_PERSIST, on_readable, s);
        s->read_armed = event_add(&s->read_event, NULL) == 0;
        s->unwatched = !s->read_armed;
    }
    if (wfd >= 0) {
        mode = wfd == rfd ? mode : prepare(wfd);
        s->wfd_is_pipe = S_ISFIFO(mode);
        s->wfd_is_socket = S_ISSOCK(mode);
    }
    if (s->unwatched)
        schedule(s);
    return s;
}
