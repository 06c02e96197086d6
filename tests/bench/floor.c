/* floor: what is possible at all. A proxy from HTTP and unix lines to one stdio server that does
 * nothing but what such a proxy cannot do without: find messages, give each request an id of its
 * own, and put the client's id back. No sessions, no limits, no checks, no second server: it is a
 * yardstick for the load generator of this suite and no program for anything else.
 *
 * A turn of the loop reads what is there, then writes once to the server and once to each client
 * that something came for. An answer that does not end within LARGE bytes is passed on as it
 * comes; until it has ended, everything else waits, the server could say nothing else anyway. */
#include "base/buf.h"
#include "base/util.h"
#include "bench/lib/bench.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)
#define LARGE      ((size_t)64 << 10)
#define SLOTS      65536
#define ID_MAX     64
#define ID_WITHIN  128 /* ids are looked for so far into a message */

static const char help[] =
    "Usage: floor [--http HOST:PORT] [--unix PATH] -- COMMAND ARG...\n"
    "The least that a proxy to a stdio MCP server can do, as a reference. Prints the HTTP port.\n";

struct client {
    int fd; /* -1: it left, with answers still to come */
    bool http, dirty;
    unsigned waiting; /* slots that point here */
    size_t seen;      /* of `in`, without a line end */
    struct buf in, out;
};

/* Requests the server has: its id is the place here plus 1. */
static struct slot {
    struct client *client;
    unsigned next_free, id_n;
    char id[ID_MAX];
} slots[SLOTS];
static unsigned first_free;

static struct client *dirty[SLOTS], *large;
static unsigned dirty_count;
/* Descriptors; the loop knows them by their addresses. */
static int poller, from_server, to_server, http_door = -1, unix_door = -1;
static struct buf server_in, server_out;
static bool server_full;
static size_t seen; /* of server_in, without a line end */
static char input[READ_BYTES];

static void watch(int op, int fd, uint32_t events, void *what)
{
    struct epoll_event ev = {.events = events, .data.ptr = what};

    if (epoll_ctl(poller, op, fd, &ev) < 0)
        die("epoll_ctl: %m");
}

static void write_all(struct client *c, struct slice s)
{
    struct pollfd room = {.fd = c->fd, .events = POLLOUT};

    while (s.n > 0 && c->fd >= 0) {
        ssize_t n = write(c->fd, s.p, s.n);

        if (n < 0 && errno == EAGAIN)
            (void)poll(&room, 1, -1);
        else if (n < 0 && errno != EINTR)
            return; /* it left; its reading side will say so */
        else if (n > 0)
            s = slice_of(s.p + n, s.n - (size_t)n);
    }
}

static void mark(struct client *c)
{
    if (c->dirty)
        return;
    if (dirty_count == SLOTS)
        die("too many clients");
    c->dirty = true;
    dirty[dirty_count++] = c;
}

/* Where the value of the id stands; n == 0: nowhere. */
static struct slice find_id(struct slice message)
{
    static const struct slice key = SLICE_INIT("\"id\":");
    size_t within = message.n < ID_WITHIN ? message.n : ID_WITHIN;
    const char *at = memmem(message.p, within, key.p, key.n), *end;

    if (!at)
        return slice_of(message.p, 0);
    at += key.n;
    for (end = at; end < message.p + message.n && *end != ',' && *end != '}';)
        end++;
    return slice_of(at, (size_t)(end - at));
}

/* A client's message to the server. Whether there will be an answer. */
static bool forward(struct client *c, struct slice message)
{
    struct slice id = find_id(message);
    const char *rest = id.p + id.n;
    struct slot *slot = &slots[first_free];

    if (id.n == 0) {
        buf_append_slice(&server_out, message);
        buf_append(&server_out, "\n", 1);
        return false;
    }
    if (id.n > ID_MAX || first_free == SLOTS)
        die("an id too long, or a request too many");
    buf_append(&server_out, message.p, (size_t)(id.p - message.p));
    buf_append_u64(&server_out, first_free + 1);
    buf_append(&server_out, rest, (size_t)(message.p + message.n - rest));
    buf_append(&server_out, "\n", 1);
    first_free = slot->next_free;
    memcpy(slot->id, id.p, id.n);
    slot->id_n = (unsigned)id.n;
    slot->client = c;
    c->waiting++;
    return true;
}

static size_t take_lines(struct client *c, struct slice in)
{
    const char *at = in.p, *from = in.p + c->seen, *end;

    while ((end = memchr(from, '\n', (size_t)(in.p + in.n - from))) != NULL) {
        (void)forward(c, slice_of(at, (size_t)(end - at)));
        at = from = end + 1;
    }
    c->seen = (size_t)(in.p + in.n - at);
    return (size_t)(at - in.p);
}

static size_t take_posts(struct client *c, struct slice in)
{
    static const struct slice key = SLICE_INIT("\r\nContent-Length: "),
                              end = SLICE_INIT("\r\n\r\n");
    size_t used = 0;

    for (;;) {
        struct slice rest = slice_of(in.p + used, in.n - used);
        const char *body = memmem(rest.p, rest.n, end.p, end.n), *field;
        size_t length = 0;

        if (!body)
            return used;
        field = memmem(rest.p, (size_t)(body - rest.p), key.p, key.n);
        for (field = field ? field + key.n : ""; *field >= '0' && *field <= '9'; field++)
            length = length * 10 + (size_t)(*field - '0');
        body += end.n;
        if (length > (size_t)(rest.p + rest.n - body))
            return used;
        if (length == 0 || !forward(c, slice_of(body, length))) {
            buf_append_str(&c->out, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
            mark(c);
        }
        used = (size_t)(body - in.p) + length;
    }
}

static void client_close(struct client *c)
{
    close(c->fd);
    c->fd = -1;
    buf_reset(&c->out);
    mark(c);
}

static void client_on_event(struct client *c)
{
    ssize_t n = read(c->fd, input, READ_BYTES);
    bool own = buf_len(&c->in) > 0;
    struct slice in;
    size_t used;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            client_close(c);
        return;
    }
    if (own)
        buf_append(&c->in, input, (size_t)n);
    in = own ? buf_peek(&c->in) : slice_of(input, (size_t)n);
    used = c->http ? take_posts(c, in) : take_lines(c, in);
    if (own)
        buf_consume(&c->in, used);
    else
        buf_append(&c->in, in.p + used, in.n - used);
}

/* The beginning of an answer, with the client's id: its client, and how many bytes of the message
 * that stands for. NULL: a notification, or an answer to nobody. SIZE_MAX: of unknown length. */
static struct client *begin_answer(struct slice message, size_t length, size_t *ret_used)
{
    struct slice id = find_id(message);
    unsigned place = 0;
    struct slot *slot;
    struct client *c;

    for (size_t i = 0; i < id.n && place < SLOTS; i++)
        place = place * 10 + (unsigned)(id.p[i] - '0');
    if (place == 0 || place > SLOTS || !slots[place - 1].client)
        return NULL;
    slot = &slots[place - 1];
    c = slot->client;
    c->waiting--;
    slot->client = NULL;
    slot->next_free = first_free;
    first_free = place - 1;
    mark(c);
    if (c->http)
        buf_append_str(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                "Mcp-Session-Id: floor\r\n");
    if (c->http && length == SIZE_MAX)
        buf_appendf(&c->out, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                    (size_t)(id.p - message.p) + slot->id_n);
    else if (c->http)
        buf_appendf(&c->out, "Content-Length: %zu\r\n\r\n", length - id.n + slot->id_n);
    buf_append(&c->out, message.p, (size_t)(id.p - message.p));
    buf_append(&c->out, slot->id, slot->id_n);
    if (c->http && length == SIZE_MAX)
        buf_append(&c->out, "\r\n", 2);
    *ret_used = (size_t)(id.p + id.n - message.p);
    return c;
}

static void flush_client(struct client *c)
{
    write_all(c, buf_peek(&c->out));
    buf_reset(&c->out);
}

/* A piece of an answer that is passed on as it comes. */
static void pass_on(struct slice piece, bool last)
{
    if (large->http && piece.n > 0)
        buf_appendf(&large->out, "%zx\r\n", piece.n);
    flush_client(large);
    write_all(large, piece);
    if (large->http && piece.n > 0)
        buf_append(&large->out, "\r\n", 2);
    if (last)
        buf_append_str(&large->out, large->http ? "0\r\n\r\n" : "\n");
    if (last) {
        mark(large);
        large = NULL;
    }
}

static void take_answer(struct slice message)
{
    size_t used;
    struct client *c = begin_answer(message, message.n, &used);

    if (!c)
        return;
    buf_append(&c->out, message.p + used, message.n - used);
    if (!c->http)
        buf_append(&c->out, "\n", 1);
}

static void server_on_input(void)
{
    ssize_t n = read(from_server, buf_reserve(&server_in, READ_BYTES), READ_BYTES);
    const char *end;
    struct slice s;
    size_t used;

    if (n == 0)
        die("the server ended");
    if (n < 0)
        return;
    buf_added(&server_in, (size_t)n);
    s = buf_peek(&server_in);
    while ((end = memchr(s.p + seen, '\n', s.n - seen)) != NULL) {
        n = end - s.p;
        if (large)
            pass_on(slice_of(s.p, (size_t)n), true);
        else
            take_answer(slice_of(s.p, (size_t)n));
        seen = 0;
        buf_consume(&server_in, (size_t)n + 1);
        s = buf_peek(&server_in);
    }
    if (!large && s.n >= LARGE && (large = begin_answer(s, SIZE_MAX, &used)) != NULL) {
        buf_consume(&server_in, used);
        s = buf_peek(&server_in);
    }
    if (large) {
        pass_on(s, false);
        buf_reset(&server_in);
    }
    seen = buf_len(&server_in);
}

static void end_turn(void)
{
    struct slice s = buf_peek(&server_out);

    while (s.n > 0) {
        ssize_t n = write(to_server, s.p, s.n);

        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR)
            die("writing to the server: %m");
        buf_consume(&server_out, n > 0 ? (size_t)n : 0);
        s = buf_peek(&server_out);
    }
    if (server_full != (s.n > 0)) {
        server_full = s.n > 0;
        watch(EPOLL_CTL_MOD, to_server, server_full ? EPOLLOUT : 0, &to_server);
    }
    while (dirty_count > 0) {
        struct client *c = dirty[--dirty_count];

        c->dirty = false;
        flush_client(c);
        if (c->fd < 0 && c->waiting == 0 && c != large) {
            buf_done(&c->in);
            buf_done(&c->out);
            free(c);
        }
    }
}

static void accept_all(int listener, bool http)
{
    int fd;

    while ((fd = accept_client(listener)) >= 0) {
        struct client *c = xcalloc(1, sizeof(*c));

        c->fd = fd;
        c->http = http;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

static void serve(void)
{
    struct epoll_event events[256];

    for (;;) {
        int n = epoll_wait(poller, events, ARRAY_LEN(events), -1);

        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;

            if (what == &from_server)
                server_on_input();
            else if (what == &http_door || what == &unix_door)
                accept_all(*(int *)what, what == &http_door);
            else if (what != &to_server)
                client_on_event(what);
        }
        end_turn();
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"http", required_argument, NULL, 't'},
                                            {"unix", required_argument, NULL, 'u'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int c;

    while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
        struct address a;

        if (c == 'h')
            return fputs(help, stdout) < 0;
        if (c == '?')
            return 2;
        a = c == 't' ? address_tcp(optarg) : address_unix(optarg);
        *(c == 't' ? &http_door : &unix_door) = address_listen(&a);
    }
    if (optind == argc || (http_door < 0 && unix_door < 0))
        die_usage("--http or --unix, and the command, are missing");
    signal(SIGPIPE, SIG_IGN);
    raise_files();
    for (unsigned i = 0; i < SLOTS; i++)
        slots[i].next_free = i + 1;
    poller = epoll_create1(EPOLL_CLOEXEC);
    (void)spawn_server(argv + optind, 1u << 20, &from_server, &to_server);
    watch(EPOLL_CTL_ADD, from_server, EPOLLIN, &from_server);
    watch(EPOLL_CTL_ADD, to_server, 0, &to_server);
    if (http_door >= 0)
        watch(EPOLL_CTL_ADD, http_door, EPOLLIN, &http_door);
    if (unix_door >= 0)
        watch(EPOLL_CTL_ADD, unix_door, EPOLLIN, &unix_door);
    printf("%u\n", http_door >= 0 ? listen_port(http_door) : 0);
    fflush(stdout);
    serve();
}
