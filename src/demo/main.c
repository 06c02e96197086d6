/* mcpool-demo: the server that `make run` puts behind the daemon, the tests talk to and the
 * benchmarks load.
 *
 * One thread, one poll. A turn: wait for input, room in the output or the next timer; handle what
 * came; let due timers run; write what all of that produced at once. While the reader is slow and
 * much output waits, no input is taken, so memory stays bounded by the largest single answer. The
 * end of input is the client's goodbye (MCP, "Lifecycle", stdio): open calls are forgotten, what
 * was said already is written out, and the status is 0. */
#include "base/util.h"
#include "demo/demo.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_SIZE   ((size_t)64 << 10)
#define LINE_MAX_IN ((size_t)64 << 20)
#define OUT_HIGH    ((size_t)1 << 20)

enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_CRASH = 3,
};

struct pipe_end {
    int fd;
    int flags; /* as found; given back at the end, because a terminal is shared with the shell */
};

static struct pipe_end pipe_end_open(int fd)
{
    struct pipe_end end = {fd, fcntl(fd, F_GETFL)};

    if (end.flags >= 0)
        (void)fcntl(fd, F_SETFL, end.flags | O_NONBLOCK);
    return end;
}

static void pipe_end_close(const struct pipe_end *end)
{
    if (end->flags >= 0)
        (void)fcntl(end->fd, F_SETFL, end->flags);
}

/* Milliseconds until the next timer, rounded up so that poll does not return just before it. */
static int poll_timeout(const struct env *env, usec_t now)
{
    usec_t due_at = env_next_due(env);
    usec_t msec;

    if (due_at == USEC_NEVER)
        return -1;
    if (due_at <= now)
        return 0;
    msec = (due_at - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
    return msec > INT_MAX ? INT_MAX : (int)msec;
}

/* Reads once. 1: bytes or nothing yet; 0: end of input; -errno. */
static int take_input(int fd, struct buf *in)
{
    char *at = buf_reserve(in, READ_SIZE);
    ssize_t n = read(fd, at, READ_SIZE);

    if (n > 0)
        buf_added(in, (size_t)n);
    if (n >= 0)
        return n > 0;
    return errno == EAGAIN || errno == EINTR ? 1 : -errno;
}

/* Writes until the pipe is full. 0, also when some is left, or -errno. */
static int flush_output(int fd, struct buf *out)
{
    while (buf_len(out) > 0) {
        struct slice s = buf_peek(out);
        ssize_t n = write(fd, s.p, s.n);

        if (n >= 0)
            buf_consume(out, (size_t)n);
        else if (errno == EAGAIN)
            return 0;
        else if (errno != EINTR)
            return -errno;
    }
    buf_shrink(out);
    return 0;
}

/* Waits for something to do. Returns whether input may be read. */
static bool wait_turn(struct demo *d, bool input_open)
{
    bool want_input = input_open && buf_len(&d->out) < OUT_HIGH;
    struct pollfd fds[2] = {
        {.fd = want_input ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = buf_len(&d->out) > 0 ? STDOUT_FILENO : -1, .events = POLLOUT},
    };

    if (poll(fds, ARRAY_LEN(fds), poll_timeout(&d->env, clock_monotonic())) < 0)
        return false;
    return fds[0].revents != 0;
}

static int serve(struct demo *d)
{
    struct buf in = BUF_INIT;
    size_t scanned = 0;
    bool input_open = true;
    int r = 0;

    while (r == 0 && (input_open || buf_len(&d->out) > 0)) {
        bool readable = wait_turn(d, input_open);

        d->env.now = clock_monotonic();
        if (readable) {
            r = take_input(STDIN_FILENO, &in);
            demo_take_lines(d, &in, &scanned);
            if (r <= 0) {
                input_open = false;
                demo_drop_calls(d);
            }
            r = r < 0 ? r : 0;
        }
        if (buf_len(&in) > LINE_MAX_IN)
            r = -EMSGSIZE;
        env_run(&d->env, d->env.now);
        if (r == 0)
            r = flush_output(STDOUT_FILENO, &d->out);
        if (d->crash)
            break;
    }
    buf_done(&in);
    return r;
}

static void demo_done(struct demo *d)
{
    struct demo_subscription *s;

    demo_drop_calls(d);
    while ((s = TAILQ_FIRST(&d->subscriptions)) != NULL) {
        TAILQ_REMOVE(&d->subscriptions, s, link);
        free(s);
    }
    buf_done(&d->out);
    env_done(&d->env);
}

static int usage(FILE *to, int status)
{
    fputs("usage: mcpool-demo [--id-last]\n"
          "A small MCP server on standard input and output.\n"
          "  --id-last   write the id as the last key of every answer\n",
          to);
    return status;
}

static int parse_options(struct demo *d, int argc, char **argv)
{
    static const struct option options[] = {
        {"id-last", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int opt;

    while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (opt == 'l')
            d->id_last = true;
        else
            return usage(opt == 'h' ? stdout : stderr, opt == 'h' ? STATUS_OK : STATUS_USAGE);
    }
    return optind < argc ? usage(stderr, STATUS_USAGE) : -1;
}

int main(int argc, char **argv)
{
    struct demo d = {.level = MCP_LOG_INFO};
    struct pipe_end in, out;
    int r = parse_options(&d, argc, argv);

    if (r >= 0)
        return r;
    env_init(&d.env, NULL, NULL);
    LIST_INIT(&d.calls);
    TAILQ_INIT(&d.subscriptions);
    signal(SIGPIPE, SIG_IGN);

    in = pipe_end_open(STDIN_FILENO);
    out = pipe_end_open(STDOUT_FILENO);
    r = serve(&d);
    pipe_end_close(&out);
    pipe_end_close(&in);

    if (r == -EPIPE) /* a client that left early is no failure of ours */
        r = 0;
    if (r < 0)
        fprintf(stderr, "mcpool-demo: %s\n", strerror(-r));
    r = d.crash ? STATUS_CRASH : r < 0 ? STATUS_FAILED : STATUS_OK;
    demo_done(&d);
    return r;
}
