/* Connections of the admin interface.
 *
 *     HEAD ──head complete──► REPLY ──written──► HEAD …
 *       │ refused, last request  │
 *       ├────────────────────────┴──► LINGER ──► closed
 *       └──GET /events──► EVENTS ──either side ends──► closed
 *
 * One request at a time and one per turn; what comes meanwhile waits in the input buffer and then
 * in the kernel. No request takes a body, so one that announces a body is refused from its head and
 * the connection ends: nothing has to be read past. LINGER reads and drops until the client closes,
 * because closing over unread input would take the answer back.
 *
 * A response is produced as its reader takes it: no more while OUTPUT_HIGH bytes wait, and only so
 * many pieces a turn, so that neither memory nor the loop depends on its size.
 *
 * One timer. When it fires and output has moved since it was set, it is set anew; otherwise what
 * the state waits for has taken too long. */
#include "base/log.h"
#include "base/util.h"
#include "front/admin_priv.h"
#include "io/stream.h"

#include <stdlib.h>

#define OUTPUT_HIGH     ((size_t)64 * 1024)
#define RUN_BYTES       ((size_t)64 * 1024)
#define PIECES_PER_TURN 32

/* Without a request; while an answer is not read; after the last answer was read. */
#define IDLE_TIME   (60 * USEC_PER_SEC)
#define STALL_TIME  (30 * USEC_PER_SEC)
#define LINGER_TIME (2 * USEC_PER_SEC)

/* Refused users are logged at most this often. */
#define STRANGER_LOG_SPAN (1 * USEC_PER_SEC)

enum admin_state { ADMIN_HEAD, ADMIN_REPLY, ADMIN_EVENTS, ADMIN_LINGER };

struct admin_conn {
    TAILQ_ENTRY(admin_conn) link;
    struct admin *admin;
    struct stream *stream; /* NULL once closed */
    struct peer peer;
    enum admin_state state;
    bool in_head; /* HEAD: the first byte has come */
    bool eof;
    bool keep_alive, http10, head_only; /* of the request being answered */
    bool whole;                         /* counted in admin->whole */
    struct http1_scan scan;
    struct buf body;             /* REPLY: what is left of a text */
    struct admin_doc *doc;       /* REPLY: a document under way */
    struct admin_reader *reader; /* EVENTS */
    uint64_t sent_mark;          /* when the timer was set */
    unsigned stalls;             /* LINGER: times in a row that the timer found output unread */
    struct timer timer;
    struct task task; /* goes on in a later turn */
    struct loop_corpse corpse;
};

/* How many there are of its kind. */
static unsigned *count_of(const struct admin_conn *c)
{
    return c->peer.is_unix ? &c->admin->connections : &c->admin->port_connections;
}

static struct env *env_of(const struct admin_conn *c)
{
    return &c->admin->loop->env;
}

static void free_conn(void *arg)
{
    free(arg);
}

/* The stream is out of our hands already. Memory goes after the turn: callers may stand in it. */
static void detach(struct admin_conn *c)
{
    struct admin *a = c->admin;
    c->stream = NULL;
    env_timer_clear(env_of(c), &c->timer);
    env_task_clear(env_of(c), &c->task);
    c->doc = admin_doc_free(c->doc);
    c->reader = admin_reader_free(c->reader);
    buf_done(&c->body);
    TAILQ_REMOVE(&a->conns, c, link);
    --*count_of(c);
    a->whole -= c->whole;
    listener_closed(c->peer.is_unix ? a->listener : a->port);
    loop_bury(a->loop, &c->corpse, free_conn, c);
}

void admin_conn_close(struct admin_conn *c)
{
    if (!c->stream)
        return;
    stream_free(c->stream);
    detach(c);
}

static void wait_at_most(struct admin_conn *c, usec_t span)
{
    c->sent_mark = stream_sent_total(c->stream);
    env_timer_set(env_of(c), &c->timer, env_of(c)->now + span);
}

/* ---- responses ---- */

/* The client has ended its side: nothing is left but to write. */
static void close_flushed(struct admin_conn *c)
{
    stream_free_when_flushed(c->stream, STALL_TIME);
    detach(c);
}

static void drop_input(struct admin_conn *c)
{
    stream_consume(c->stream, stream_input(c->stream).n);
}

static void begin_linger(struct admin_conn *c)
{
    c->state = ADMIN_LINGER;
    if (c->eof) {
        close_flushed(c);
        return;
    }
    drop_input(c);
    stream_end_output(c->stream);
    wait_at_most(c, LINGER_TIME);
}

static void reply_done(struct admin_conn *c)
{
    c->doc = admin_doc_free(c->doc);
    buf_done(&c->body);
    c->admin->whole -= c->whole;
    c->whole = false;
    if (!c->keep_alive) {
        begin_linger(c);
        return;
    }
    c->state = ADMIN_HEAD;
    c->in_head = false;
    http1_scan_init(&c->scan);
    wait_at_most(c, IDLE_TIME);
    if (stream_input(c->stream).n || c->eof)
        env_defer(env_of(c), &c->task);
}

static void write_and_reset(struct admin_conn *c, struct buf *b)
{
    struct slice s = buf_peek(b);
    stream_write(c->stream, s.p, s.n);
    buf_reset(b);
}

/* A piece of a body whose length is not known. */
static void write_piece(struct admin_conn *c, struct buf *piece, bool last)
{
    struct buf framing = BUF_INIT;
    if (c->http10) {
        write_and_reset(c, piece);
        return;
    }
    http1_chunk_begin(&framing, buf_len(piece));
    write_and_reset(c, &framing);
    write_and_reset(c, piece);
    http1_chunk_end(&framing);
    if (last)
        http1_chunk_last(&framing);
    write_and_reset(c, &framing);
    buf_done(&framing);
}

/* The next piece of a document. false: that was the last. */
static bool write_doc(struct admin_conn *c)
{
    struct buf *piece = &c->admin->scratch;
    bool more = admin_doc_next(c->doc, piece);
    write_piece(c, piece, !more);
    return more;
}

/* What there is to say, as fast as it is read. */
static void write_events(struct admin_conn *c)
{
    struct admin_view view = admin_view_now(c->admin);
    struct buf *piece = &c->admin->scratch;
    view.read_only = !c->peer.is_unix;
    for (unsigned i = 0; i < PIECES_PER_TURN; i++) {
        if (stream_pending(c->stream) > OUTPUT_HIGH)
            return; /* on_drain */
        if (!admin_reader_next(c->reader, &view, piece)) {
            buf_done(piece);
            return; /* wake_reader */
        }
        write_piece(c, piece, false);
    }
    env_defer(env_of(c), &c->task);
}

static void wake_reader(void *arg)
{
    struct admin_conn *c = arg;
    env_defer(env_of(c), &c->task);
}

/* The next run of a text. false: that was the last. */
static bool write_text(struct admin_conn *c)
{
    struct slice s = buf_peek(&c->body);
    size_t n = s.n < RUN_BYTES ? s.n : RUN_BYTES;
    stream_write(c->stream, s.p, n);
    buf_consume(&c->body, n);
    return s.n > n;
}

static void go_on_writing(struct admin_conn *c)
{
    for (unsigned i = 0; i < PIECES_PER_TURN; i++) {
        if (stream_pending(c->stream) > OUTPUT_HIGH)
            return; /* on_drain */
        if (!(c->doc ? write_doc(c) : write_text(c))) {
            buf_done(&c->admin->scratch);
            reply_done(c);
            return;
        }
    }
    env_defer(env_of(c), &c->task);
}

static enum http1_framing framing_of(struct admin_conn *c, const struct admin_reply *reply)
{
    if (!reply->doc && !reply->events)
        return HTTP1_BODY_LENGTH;
    if (c->head_only)
        return HTTP1_BODY_NONE; /* its length is not known before it is written */
    if (!c->http10)
        return HTTP1_BODY_CHUNKED;
    c->keep_alive = false;
    return HTTP1_BODY_CLOSE;
}

/* Whether the connection has become a reader's. Otherwise the reply says why not. */
static bool begin_events(struct admin_conn *c, struct admin_reply *reply)
{
    struct admin *a = c->admin;
    size_t servers = 0;
    while (route_at(a->proxy, servers))
        servers++;
    const struct admin_reader_options opt = {.with_log = reply->with_log,
                                             .last_id = slice_str(reply->last_id),
                                             .servers = servers,
                                             .wake = wake_reader,
                                             .arg = c};
    c->reader = admin_reader_new(a->feed, &opt);
    if (c->reader)
        return true;
    reply->events = false;
    admin_reply_error(reply, 503,
                      "Too many others are reading the events; close one and try again.");
    return false;
}

/* What is told here is of this moment and for whoever asked: no cache may keep it, and no browser
 * may take it for anything but what it is. */
static size_t put_fields(struct http1_header *fields, const struct admin_reply *reply)
{
    size_t n = 0;
    fields[n++] = (struct http1_header){SLICE("Content-Type"), slice_str(reply->content_type)};
    fields[n++] = (struct http1_header){SLICE("Cache-Control"), SLICE("no-store")};
    fields[n++] = (struct http1_header){SLICE("X-Content-Type-Options"), SLICE("nosniff")};
    if (reply->allow)
        fields[n++] = (struct http1_header){SLICE("Allow"), slice_str(reply->allow)};
    if (reply->vary)
        fields[n++] = (struct http1_header){SLICE("Vary"), slice_str(reply->vary)};
    if (reply->csp)
        fields[n++] =
            (struct http1_header){SLICE("Content-Security-Policy"), slice_str(reply->csp)};
    return n;
}

/* Takes over what reply holds. */
static void send_reply(struct admin_conn *c, struct admin_reply *reply)
{
    struct buf *b = &c->admin->scratch;
    if (reply->events && !c->head_only)
        begin_events(c, reply);
    struct http1_header fields[6];
    size_t n = put_fields(fields, reply);
    enum http1_framing framing = framing_of(c, reply);
    enum http1_connection connection = !c->keep_alive ? HTTP1_CONN_CLOSE
                                       : c->http10    ? HTTP1_CONN_KEEP_ALIVE
                                                      : HTTP1_CONN_DEFAULT;
    http1_write_response_head(b, reply->status, fields, n, framing, buf_len(&reply->body),
                              connection);
    write_and_reset(c, b);
    c->state = ADMIN_REPLY;
    if (c->reader) {
        c->state = ADMIN_EVENTS;
        wait_at_most(c, STALL_TIME);
        write_events(c);
        return;
    }
    c->doc = reply->doc;
    c->body = reply->body;
    if (c->head_only || (!c->doc && buf_len(&c->body) == 0)) {
        reply_done(c);
        return;
    }
    c->whole = buf_len(&c->body) > RUN_BYTES;
    c->admin->whole += c->whole;
    wait_at_most(c, STALL_TIME);
    go_on_writing(c);
}

/* Answers and ends the connection. */
static void refuse(struct admin_conn *c, unsigned status, const char *text)
{
    struct admin_reply reply = {0};
    c->keep_alive = false;
    admin_reply_error(&reply, status, "%s.", text);
    send_reply(c, &reply);
}

/* ---- requests ---- */

static bool has_body(const struct http1_request *head)
{
    return head->framing == HTTP1_BODY_CHUNKED ||
           (head->framing == HTTP1_BODY_LENGTH && head->content_length > 0);
}

static void head_incomplete(struct admin_conn *c, bool any)
{
    if (c->eof) {
        close_flushed(c);
    } else if (any && !c->in_head) {
        c->in_head = true;
        wait_at_most(c, c->admin->config->limits.header_timeout);
    }
}

static void read_head(struct admin_conn *c)
{
    static const struct http1_limits limits = {
        .max_head_bytes = 16 * 1024, .max_line_bytes = 8 * 1024, .max_headers = 64};
    struct http1_request head;
    struct admin_reply reply;
    if (stream_pending(c->stream) > OUTPUT_HIGH)
        return; /* sends requests and does not read answers: on_drain */
    struct slice in = stream_input(c->stream);
    ssize_t n = http1_parse_request(&c->scan, in, &limits, &head);
    if (n == 0) {
        head_incomplete(c, in.n > 0);
        return;
    }
    c->http10 = n > 0 && head.minor == 0;
    c->head_only = n > 0 && head.method == HTTP1_HEAD;
    c->keep_alive = n > 0 && head.keep_alive;
    if (n == HTTP1_E_TLS) {
        admin_conn_close(c);
    } else if (n < 0) {
        refuse(c, http1_error_status(n), http1_error_text(n));
    } else if (has_body(&head)) {
        refuse(c, 400, "No request here takes a body; a server is named by ?server=NAME");
    } else {
        admin_request(c->admin, &head, &c->peer, &reply);
        stream_consume(c->stream, (size_t)n);
        send_reply(c, &reply);
    }
}

static void go_on(void *arg)
{
    struct admin_conn *c = arg;
    switch (c->state) {
    case ADMIN_HEAD:
        read_head(c);
        return;
    case ADMIN_REPLY:
        go_on_writing(c);
        return;
    case ADMIN_EVENTS:
        write_events(c);
        return;
    case ADMIN_LINGER:
        drop_input(c);
        return;
    }
}

/* ---- the stream ---- */

static void on_input(void *arg)
{
    struct admin_conn *c = arg;
    if (c->state == ADMIN_EVENTS)
        drop_input(c); /* nothing can be asked on it any more */
    else if (c->state != ADMIN_REPLY)
        go_on(c);
}

static void on_eof(void *arg)
{
    struct admin_conn *c = arg;
    c->eof = true;
    if (c->state == ADMIN_LINGER)
        close_flushed(c);
    else if (c->state == ADMIN_HEAD)
        go_on(c);
    else if (c->state == ADMIN_EVENTS)
        admin_conn_close(c);
}

static void on_error(void *arg, int err)
{
    (void)err;
    admin_conn_close(arg);
}

static void on_drain(void *arg)
{
    go_on(arg);
}

static const struct stream_ops stream_ops = {
    .on_input = on_input, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};

static void on_timer(void *arg)
{
    struct admin_conn *c = arg;
    bool moved = stream_sent_total(c->stream) != c->sent_mark;
    bool unread = stream_pending(c->stream) > 0;
    switch (c->state) {
    case ADMIN_HEAD:
        if (c->in_head)
            refuse(c, 408, "The request head took too long");
        else if (unread && moved)
            wait_at_most(c, IDLE_TIME);
        else
            admin_conn_close(c);
        return;
    case ADMIN_REPLY:
    case ADMIN_EVENTS:
        if (moved || (c->state == ADMIN_EVENTS && !unread))
            wait_at_most(c, STALL_TIME);
        else
            admin_conn_close(c);
        return;
    case ADMIN_LINGER:
        c->stalls = moved ? 0 : c->stalls + 1;
        if (unread && c->stalls < STALL_TIME / LINGER_TIME)
            wait_at_most(c, LINGER_TIME);
        else
            admin_conn_close(c);
        return;
    }
}

/* security.md A01. */
static void refuse_stranger(struct admin_conn *c)
{
    struct admin *a = c->admin;
    usec_t now = env_of(c)->now;
    a->strangers++;
    if (!a->strangers_logged_at || now - a->strangers_logged_at >= STRANGER_LOG_SPAN) {
        log_warning(LOG_CTX(.message_id = LOG_ID_CLIENT_REFUSED),
                    "admin interface: %s (pid %d) was refused (%llu refused since start)",
                    c->peer.text, (int)c->peer.pid, (unsigned long long)a->strangers);
        a->strangers_logged_at = now;
    }
    refuse(c, 403, "Only root and the user that runs mcpoold may use this socket");
}

void admin_conn_start(struct admin *a, int fd, const struct peer *peer)
{
    struct admin_conn *c = xcalloc(1, sizeof(*c));
    c->admin = a;
    c->peer = *peer;
    timer_init(&c->timer, on_timer, c);
    task_init(&c->task, go_on, c);
    c->stream = stream_new(a->loop, fd, fd, NULL, &stream_ops, c);
    TAILQ_INSERT_TAIL(&a->conns, c, link);
    unsigned n = ++*count_of(c);
    wait_at_most(c, IDLE_TIME);
    if (!admin_allows(peer))
        refuse_stranger(c);
    else if (n > (peer->is_unix ? ADMIN_CONNECTIONS_MAX : ADMIN_PORT_CONNECTIONS_MAX))
        refuse(c, 503, "Too many connections; close one and try again");
}
