/* http-server: the same trivial server over HTTP, on plain epoll. It stands behind nginx, haproxy
 * and whatever else is measured as a proxy from HTTP to HTTP, so it keeps connections alive, knows
 * no sessions of its own (any Mcp-Session-Id is as good as none), and answers a POST as it comes.
 *
 * A connection has at most one response under way; input behind it waits. Input is read into one
 * common block, of which a connection keeps only what is left over. */
#include "bench/lib/bench.h"
#include "bench/server/mcp.h"

#include "base/util.h"
#include "wire/http1.h"
#include "wire/sse.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)
#define BODY_MAX   ((size_t)256 << 20)
#define EVENTS     256

static const char help[] =
    "Usage: http-server [--listen HOST:PORT]\n"
    "A trivial MCP server over Streamable HTTP; prints the port it got. It answers POSTs to any\n"
    "path like stdio-server does its lines, with or without a session: JSON, or an event stream\n"
    "when there are progress notifications.\n"
    "  --listen HOST:PORT  where to listen (127.0.0.1:0)\n";

struct conn {
    int fd;
    bool want_write;
    bool keep_alive;
    bool in_body; /* the head was taken, the body is not complete */
    enum http1_method method;
    struct http1_scan scan;
    struct http1_body body;
    struct buf in;     /* read, but not used yet */
    struct buf posted; /* the body so far */
    struct buf out;    /* to be written; after it `fill` letters, then `rest` */
    size_t fill;
    struct slice rest;
};

static const struct http1_limits limits = {
    .max_head_bytes = 65536, .max_line_bytes = 16384, .max_headers = HTTP1_HEADERS_MAX};
static char input[READ_BYTES];
static int poller;

static void conn_free(struct conn *c)
{
    close(c->fd);
    buf_done(&c->in);
    buf_done(&c->posted);
    buf_done(&c->out);
    free(c);
}

static void want_write(struct conn *c, bool on)
{
    struct epoll_event ev = {.events = on ? EPOLLOUT : EPOLLIN, .data.ptr = c};

    if (c->want_write == on)
        return;
    c->want_write = on;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &ev) < 0)
        die("epoll_ctl: %m");
}

static size_t unsent(const struct conn *c)
{
    return buf_len(&c->out) + c->fill + c->rest.n;
}

/* Takes n written bytes off what is to be written. */
static void sent(struct conn *c, size_t n)
{
    size_t part = n < buf_len(&c->out) ? n : buf_len(&c->out);

    buf_consume(&c->out, part);
    n -= part;
    part = n < c->fill ? n : c->fill;
    c->fill -= part;
    n -= part;
    c->rest = slice_of(c->rest.p + n, c->rest.n - n);
}

/* Writes until everything is out or the socket is full. false: the connection is broken. */
static bool conn_flush(struct conn *c)
{
    while (unsent(c) > 0) {
        struct slice head = buf_peek(&c->out);
        struct iovec iov[18] = {{(void *)head.p, head.n}};
        size_t fill = c->fill, count = 1;
        ssize_t n;

        while (fill > 0 && count < ARRAY_LEN(iov) - 1) {
            size_t part = fill < MCP_FILL_BYTES ? fill : MCP_FILL_BYTES;

            iov[count++] = (struct iovec){mcp_fill, part};
            fill -= part;
        }
        if (fill == 0)
            iov[count++] = (struct iovec){(void *)c->rest.p, c->rest.n};
        n = writev(c->fd, iov, (int)count);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            sent(c, (size_t)n);
    }
    want_write(c, unsent(c) > 0);
    return true;
}

static void respond(struct conn *c, unsigned status, const struct http1_header *fields,
                    size_t count, enum http1_framing framing, uint64_t length)
{
    if (http1_write_response_head(&c->out, status, fields, count, framing, length,
                                  c->keep_alive ? HTTP1_CONN_DEFAULT : HTTP1_CONN_CLOSE) !=
        HTTP1_OK)
        die("a response of the server's own is refused");
}

/* The notifications as events, one chunk, and the answer as another. Its text is copied: this
 * server's streams are for small results. */
static void respond_events(struct conn *c, const struct mcp_reply *reply)
{
    static const struct http1_header type = {SLICE_INIT("Content-Type"),
                                             SLICE_INIT("text/event-stream")};
    static struct buf events;
    struct slice notes = buf_peek(&reply->notes);
    const char *end;

    buf_reset(&events);
    while ((end = memchr(notes.p, '\n', notes.n)) != NULL) {
        size_t n = (size_t)(end - notes.p);

        (void)sse_write_event(&events, NULL, slice_of("", 0), slice_of(notes.p, n));
        notes = slice_of(end + 1, notes.n - n - 1);
    }
    respond(c, 200, &type, 1, HTTP1_BODY_CHUNKED, 0);
    http1_chunk_append(&c->out, buf_peek(&events));
    buf_reset(&events);
    (void)sse_event_begin(&events, NULL, slice_of("", 0));
    buf_append_slice(&events, buf_peek(&reply->head));
    for (size_t left = reply->fill, n; left > 0; left -= n) {
        n = left < MCP_FILL_BYTES ? left : MCP_FILL_BYTES;
        buf_append(&events, mcp_fill, n);
    }
    buf_append_slice(&events, reply->rest);
    sse_event_end(&events);
    http1_chunk_append(&c->out, buf_peek(&events));
    http1_chunk_last(&c->out);
}

static void respond_post(struct conn *c, struct slice body)
{
    static const struct http1_header fields[] = {
        {SLICE_INIT("Content-Type"), SLICE_INIT("application/json")},
        {SLICE_INIT("Mcp-Session-Id"), SLICE_INIT("bench")},
    };
    static struct mcp_reply reply;

    mcp_answer(body, &reply);
    if (!reply.is_answer) {
        respond(c, 202, NULL, 0, HTTP1_BODY_LENGTH, 0);
    } else if (buf_len(&reply.notes) > 0) {
        respond_events(c, &reply);
    } else {
        respond(c, 200, fields, reply.is_initialize ? 2 : 1, HTTP1_BODY_LENGTH,
                mcp_reply_len(&reply));
        buf_append_slice(&c->out, buf_peek(&reply.head));
        c->fill = reply.fill;
        c->rest = reply.rest;
    }
}

static void respond_request(struct conn *c)
{
    static const struct http1_header allow = {SLICE_INIT("Allow"), SLICE_INIT("POST, DELETE")};

    if (c->method == HTTP1_POST)
        respond_post(c, buf_peek(&c->posted));
    else if (c->method == HTTP1_DELETE)
        respond(c, 200, NULL, 0, HTTP1_BODY_LENGTH, 0);
    else
        respond(c, 405, &allow, 1, HTTP1_BODY_LENGTH, 0);
    buf_reset(&c->posted);
}

/* Takes a head from the input. The number of bytes used, 0: not complete; -1: give up. */
static ssize_t take_head(struct conn *c, struct slice in)
{
    struct http1_request req;
    ssize_t n = http1_parse_request(&c->scan, in, &limits, &req);

    if (n < 0)
        return -1;
    if (n > 0) {
        c->scan = (struct http1_scan)HTTP1_SCAN_INIT;
        c->method = req.method;
        c->keep_alive = req.keep_alive;
        if (req.expect_continue)
            http1_write_continue(&c->out);
        http1_body_init(&c->body, req.framing, req.content_length);
        c->in_body = true;
    }
    return n;
}

/* Uses up input, a request at a time, until one's response is under way. The bytes used; -1: the
 * connection is beyond repair. */
static ssize_t take_input(struct conn *c, struct slice in)
{
    size_t used = 0, n;
    struct slice run;

    while (unsent(c) == 0 || c->in_body) {
        if (!c->in_body) {
            ssize_t head = used < in.n ? take_head(c, slice_of(in.p + used, in.n - used)) : 0;

            if (head <= 0)
                return head < 0 ? -1 : (ssize_t)used;
            used += (size_t)head;
        }
        while (!c->body.done && used < in.n) {
            if (http1_body_feed(&c->body, slice_of(in.p + used, in.n - used), &n, &run) !=
                    HTTP1_OK ||
                buf_len(&c->posted) + run.n > BODY_MAX)
                return -1;
            used += n;
            buf_append_slice(&c->posted, run);
        }
        if (!c->body.done)
            break;
        c->in_body = false;
        respond_request(c);
    }
    return (ssize_t)used;
}

/* Goes on with input that is new (from the common block) or waited. false: close. */
static bool conn_advance(struct conn *c, struct slice fresh)
{
    do {
        bool own = buf_len(&c->in) > 0;
        ssize_t used;

        if (own)
            buf_append_slice(&c->in, fresh);
        used = take_input(c, own ? buf_peek(&c->in) : fresh);
        if (used < 0)
            return false;
        if (own)
            buf_consume(&c->in, (size_t)used);
        else
            buf_append(&c->in, fresh.p + used, fresh.n - (size_t)used);
        fresh = slice_of("", 0);
        if (used == 0 && unsent(c) == 0)
            break;
        if (!conn_flush(c) || (!c->keep_alive && !c->in_body && unsent(c) == 0))
            return false;
    } while (unsent(c) == 0 && buf_len(&c->in) > 0);
    buf_shrink(&c->in);
    return true;
}

static bool conn_on_event(struct conn *c, uint32_t events)
{
    ssize_t n;

    if (c->want_write) {
        if (!conn_flush(c) || (events & (EPOLLERR | EPOLLHUP)))
            return false;
        if (unsent(c) > 0)
            return true;
        return c->keep_alive && conn_advance(c, slice_of("", 0));
    }
    n = read(c->fd, input, READ_BYTES);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    return n > 0 && conn_advance(c, slice_of(input, (size_t)n));
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = accept_client(listener)) >= 0) {
        struct conn *c = xcalloc(1, sizeof(*c));
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

        c->fd = fd;
        c->keep_alive = true;
        c->rest = slice_of("", 0);
        c->scan = (struct http1_scan)HTTP1_SCAN_INIT;
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0)
            die("epoll_ctl: %m");
    }
}

static void serve(int listener)
{
    struct epoll_event events[EVENTS], ev = {.events = EPOLLIN, .data.ptr = NULL};

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &ev) < 0)
        die("epoll: %m");
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);

        if (n < 0 && errno != EINTR)
            die("epoll_wait: %m");
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;

            if (!c)
                accept_all(listener);
            else if (!conn_on_event(c, events[i].events))
                conn_free(c);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *at = "127.0.0.1:0";
    struct address address;
    int listener, c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (c == 'h')
            return fputs(help, stdout) < 0;
        if (c != 'l')
            return 2;
        at = optarg;
    }
    if (optind < argc)
        die_usage("%s: no argument is expected", argv[optind]);
    signal(SIGPIPE, SIG_IGN);
    raise_files();
    mcp_init(MCP_RIGHT);
    address = address_tcp(at);
    listener = address_listen(&address);
    printf("%u\n", listen_port(listener));
    fflush(stdout);
    serve(listener);
}
