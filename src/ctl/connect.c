/* mcpoolctl connect: a client's stdin and stdout on one side, the daemon's socket on the other, the
 * door (door.h) between them, and poll.
 *
 * stdin and stdout are left as they are: whoever started us may share them, and would be surprised
 * by descriptors that no longer block. So no more is written at once than a pipe that is ready
 * takes without blocking, and files, which are always ready, just work.
 *
 * States: no connection and none wanted; none, the next attempt at retry_at; connected. */
#include "ctl/ctl.h"
#include "ctl/door.h"
#include "ctl/lines.h"
#include "ctl/place.h"

#include "base/util.h"
#include "policy/backoff.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_SIZE  ((size_t)64 * 1024)
#define DEPTH_MAX  128
#define BATCH_MAX  64
#define LINE_LEAST ((size_t)64 * 1024 * 1024)
/* Room for what mcpool puts around a server's answer of the largest size. */
#define LINE_MORE ((size_t)64 * 1024)

/* A connection that lived so long was a good one: the next attempt is made at once. */
#define STABLE_AFTER (10 * USEC_PER_SEC)

/* How long a faulty configuration file is given to become good, and how often it is looked at. */
#define FILE_WAIT  (2 * USEC_PER_SEC)
#define FILE_RETRY (50 * USEC_PER_MSEC)

static const struct backoff_params backoff = {
    .base = 50 * USEC_PER_MSEC, .cap = 5 * USEC_PER_SEC, .jitter_max = 500 * USEC_PER_MSEC};

struct connector {
    const struct place *place;
    struct door *door;
    struct lines client, server;
    int fd;            /* of the connection; -1 */
    const char *path;  /* that it was made at last */
    bool half_closed;  /* our end of it */
    bool deaf;         /* it takes no more; what it said before is still to be read */
    bool stdout_sends; /* stdout is a socket: send() knows not to block */
    usec_t now, connected_at, retry_at;
    unsigned failures;
    bool lost;    /* a session is without its connection, and the user was told */
    bool stopped; /* nobody reads stdout any more */
};

static void tell(const char *what, const char *path, const char *more)
{
    struct buf b = BUF_INIT;
    buf_appendf(&b, "%s %s%s", what, path, more);
    ctl_complain(buf_peek(&b));
    buf_done(&b);
}

/* ---- the connection ---- */

static usec_t delay(const struct connector *c)
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        random = c->now; /* jitter need not be good */
    return backoff_delay(&backoff, c->failures, random);
}

static void lose(struct connector *c, const char *why)
{
    usec_t lived = c->now - c->connected_at;
    c->failures = backoff_after_loss(c->failures, lived, STABLE_AFTER, door_has_answer(c->door));
    c->retry_at = c->now + delay(c);
    close(c->fd);
    c->fd = -1;
    lines_reset(&c->server);
    door_on_lost(c->door, why, c->now, c->retry_at);
    if (!c->lost && door_wants_connection(c->door))
        tell("the connection to", c->path, " was lost; it will be made again");
    c->lost = true;
}

/* A descriptor, or -errno. Connecting to a unix socket never takes time: it works or not. */
static int connect_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

static void connected(struct connector *c, int fd, const char *path)
{
    c->fd = fd;
    c->path = path;
    c->connected_at = c->now;
    c->half_closed = c->deaf = false;
    if (c->lost)
        tell("connected to", path, "");
    c->lost = false;
    door_on_connected(c->door);
}

static void try_connect(struct connector *c)
{
    struct buf why = BUF_INIT;
    int fd = -ENOENT;
    for (size_t i = 0; i < c->place->n && fd < 0; i++) {
        fd = connect_at(c->place->paths[i]);
        if (fd >= 0)
            connected(c, fd, c->place->paths[i]);
        else
            buf_appendf(&why, "%s%s: %s", i ? "; " : "", c->place->paths[i], strerror(-fd));
    }
    if (fd < 0) {
        c->failures += c->failures < UINT_MAX;
        c->retry_at = c->now + delay(c);
        buf_append(&why, "", 1);
        door_on_lost(c->door, buf_peek(&why).p, c->now, c->retry_at);
        if (!c->lost)
            tell("cannot connect to", buf_peek(&why).p, "; it will be tried again");
        c->lost = true;
    }
    buf_done(&why);
}

static void write_server(struct connector *c)
{
    for (;;) {
        struct slice s = door_to_server(c->door);
        if (s.n == 0)
            return;
        ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0) {
            c->deaf = errno != EAGAIN && errno != EINTR; /* reading will find the end */
            return;
        }
        door_written(c->door, (size_t)n);
    }
}

static void read_server(struct connector *c)
{
    ssize_t n = recv(c->fd, lines_reserve(&c->server, READ_SIZE), READ_SIZE, 0);
    if (n > 0) {
        lines_added(&c->server, (size_t)n);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    lose(c, n == 0 ? "it closed the connection" : strerror(errno));
}

static void on_server_line(void *arg, struct slice line)
{
    struct connector *c = arg;
    door_on_server(c->door, line, c->now);
}

static void on_server_oversize(void *arg, struct slice id)
{
    struct connector *c = arg;
    door_on_server_oversize(c->door, id);
}

/* ---- the client ---- */

static void on_client_line(void *arg, struct slice line)
{
    struct connector *c = arg;
    door_on_client(c->door, line, c->now);
}

static void on_client_oversize(void *arg, struct slice id)
{
    struct connector *c = arg;
    door_on_client_oversize(c->door, id);
}

static void read_client(struct connector *c)
{
    ssize_t n = read(STDIN_FILENO, lines_reserve(&c->client, READ_SIZE), READ_SIZE);
    if (n > 0) {
        lines_added(&c->client, (size_t)n);
        return;
    }
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    lines_end(&c->client);
    door_on_client_end(c->door);
}

static void write_client(struct connector *c)
{
    struct buf *b = door_to_client(c->door);
    struct slice s = buf_peek(b);
    size_t most = c->stdout_sends || s.n < PIPE_BUF ? s.n : PIPE_BUF;
    ssize_t n = c->stdout_sends ? send(STDOUT_FILENO, s.p, most, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : write(STDOUT_FILENO, s.p, most);
    if (n >= 0) {
        buf_consume(b, (size_t)n);
        buf_shrink(b);
    } else if (errno != EAGAIN && errno != EINTR) {
        c->stopped = true;
    }
}

/* ---- turns ---- */

static int time_left(const struct connector *c)
{
    usec_t due = door_next_due(c->door);
    if (c->fd < 0 && door_wants_connection(c->door) && c->retry_at < due)
        due = c->retry_at;
    if (due == USEC_NEVER)
        return -1;
    usec_t left = due > c->now ? (due - c->now + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

static void wait_and_move(struct connector *c)
{
    enum { CLIENT_IN, CLIENT_OUT, SERVER, N };
    struct pollfd p[N] = {
        /* One that is not read is not watched: its end would be reported again and again. */
        [CLIENT_IN] = {.fd = door_reads_client(c->door) ? STDIN_FILENO : -1, .events = POLLIN},
        [CLIENT_OUT] = {.fd = STDOUT_FILENO,
                        .events = buf_len(door_to_client(c->door)) ? POLLOUT : 0},
        [SERVER] = {.fd = c->fd},
    };
    bool reads = c->fd >= 0 && door_reads_server(c->door);
    bool writes = c->fd >= 0 && !c->deaf && door_to_server(c->door).n > 0;
    p[SERVER].events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
    if (!reads && !writes)
        p[SERVER].fd = -1;
    if (poll(p, N, time_left(c)) < 0)
        return; /* a signal */
    c->now = clock_monotonic();
    if (p[CLIENT_OUT].revents & POLLOUT)
        write_client(c);
    else if (p[CLIENT_OUT].revents & (POLLERR | POLLHUP | POLLNVAL))
        c->stopped = true;
    if (p[CLIENT_IN].revents)
        read_client(c);
    if (p[SERVER].revents & POLLOUT)
        write_server(c);
    if (reads && p[SERVER].revents & (POLLIN | POLLHUP | POLLERR))
        read_server(c);
}

/* What follows from where things stand now. false: it is over. */
static bool settle(struct connector *c)
{
    door_on_time(c->door, c->now);
    if (c->stopped)
        return false;
    if (door_is_finished(c->door) && buf_len(door_to_client(c->door)) == 0)
        return false;
    if (c->fd >= 0 && door_wants_close(c->door))
        lose(c, "it is shutting down");
    if (c->fd < 0 && door_wants_connection(c->door) && c->now >= c->retry_at)
        try_connect(c);
    if (c->fd >= 0 && !c->half_closed && door_is_drained(c->door)) {
        shutdown(c->fd, SHUT_WR);
        c->half_closed = true;
    }
    return true;
}

static void run(struct connector *c)
{
    static const struct lines_ops client_ops = {on_client_line, on_client_oversize};
    static const struct lines_ops server_ops = {on_server_line, on_server_oversize};
    const struct place *p = c->place;
    struct stat st;
    size_t request = p->max_request_bytes > LINE_LEAST ? p->max_request_bytes : LINE_LEAST;
    size_t answer = p->max_response_bytes > LINE_LEAST ? p->max_response_bytes : LINE_LEAST;
    lines_init(&c->client, request, &client_ops, c);
    lines_init(&c->server, answer + LINE_MORE, &server_ops, c);
    c->stdout_sends = fstat(STDOUT_FILENO, &st) == 0 && S_ISSOCK(st.st_mode);
    c->now = clock_monotonic();
    while (settle(c))
        wait_and_move(c);
    lines_done(&c->client);
    lines_done(&c->server);
    if (c->fd >= 0)
        close(c->fd);
}

/* A file that was named and is faulty may be one that is being written at this moment: clients are
 * started together with what they are to talk to. */
static bool find_place(const struct ctl_options *o, struct place *ret)
{
    usec_t end_at = clock_monotonic() + FILE_WAIT;
    while (!place_find_server(ret, o->socket, o->config, o->name)) {
        if (clock_monotonic() >= end_at)
            return false;
        place_done(ret);
        poll(NULL, 0, (int)(FILE_RETRY / USEC_PER_MSEC));
    }
    return true;
}

enum ctl_exit ctl_connect(const struct ctl_options *o)
{
    const struct door_limits limits = {
        .wait = o->wait, .depth_max = DEPTH_MAX, .max_batch = BATCH_MAX};
    struct place place;
    struct connector c = {.place = &place, .fd = -1};
    if (o->name && !ctl_is_name(o->name)) {
        ctl_complain(SLICE("connect takes the name of a server"));
        return CTL_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!find_place(o, &place)) {
        fputs(place.warning ? place.warning : "mcpoolctl: the configuration cannot be read\n",
              stderr);
        place_done(&place);
        return CTL_FAILED;
    }
    if (place.warning)
        ctl_complain(slice_of(place.warning, strcspn(place.warning, "\n")));
    c.door = door_new(&limits, o->name);
    run(&c);
    door_free(c.door);
    place_done(&place);
    if (c.stopped)
        ctl_complain(SLICE("nobody reads the output any more"));
    return c.stopped ? CTL_FAILED : CTL_OK;
}
