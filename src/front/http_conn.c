/* HTTP connections, reading side.
 *
 * HEAD -> BODY -> REPLY -> HEAD ... and LINGER at the end. A request is read whole before it is
 * handed over, and nothing of the next one is looked at before its response is complete, so
 * pipelined requests cannot cross. While a response is under way the input buffer fills up to its
 * bound and then the kernel's; that is the back-pressure.
 *
 * One timer per connection, judged by state when it fires (on_timer): a head must be complete
 * header_timeout after its first byte; a body must keep body_min_rate over each body_rate_window;
 * an idle connection goes after idle_connection_timeout; the refusal of a wrong token is held back
 * for auth_failure_delay. The timer is left armed across requests
 * and found to be early, which costs less than moving it twice for each.
 *
 * A request that was handed over needs nothing but its route any more: whoever answers it has taken
 * what he needs. An idle connection owns this struct, what its latest token was, and nothing else:
 * the request, the body and the buffers are gone. */
#include "base/util.h"
#include "front/access.h"
#include "front/http_conn_priv.h"
#include "upstream/splice.h"

#include <stdlib.h>

/* A closed connection may still receive what the client had under way; reading it keeps the kernel
 * from answering with a reset that would destroy the response on the client's side. */
#define LINGER_TIME (2 * USEC_PER_SEC)

/* An oversize body is read on in search of its id up to this many times the limit
 * (protocol.md 7.3). */
#define OVERSIZE_DRAIN 4

static void run(struct http_conn *h);

struct client *http_conn_client(const struct http_conn *h)
{
    return h->conn;
}

void http_conn_last_request(struct http_conn *h)
{
    h->keep_alive = false;
}

static const struct config_limits *limits_of(const struct http_conn *h)
{
    return front_limits(h->conn->front);
}

static usec_t now_of(const struct http_conn *h)
{
    return h->conn->front->env->now;
}

static void set_timer(struct http_conn *h, usec_t due_at)
{
    client_set_timer(h->conn, due_at);
}

/* ---- the record ---- */

static unsigned flags_of(const struct http_conn *h)
{
    unsigned flags = h->keep_alive ? LEDGER_KEEP_ALIVE : 0;
    if (h->http10)
        flags |= LEDGER_HTTP10;
    if (!h->reads_json)
        flags |= LEDGER_NO_JSON;
    return h->head_only ? flags | LEDGER_NO_BODY : flags;
}

static void note_request(struct http_conn *h, unsigned flags)
{
    struct ledger_record *r = h->conn->record;
    const struct route *route = h->req ? h->req->route : h->route;
    if (h->noted)
        return;
    h->noted = true;
    ledger_request(r, stream_queued_total(h->conn->stream), flags_of(h) | flags);
    if (route && strcmp(r->route, route->name) != 0)
        ledger_text(r->route, sizeof(r->route), route->name);
}

void http_conn_note_id(struct http_conn *h, struct slice id, unsigned flags)
{
    struct client *c = h->conn;
    if (!c->record || h->committed)
        return;
    note_request(h, flags);
    ledger_id_add(c->record, id, NULL, NULL, client_taken(c));
}

void http_conn_commit(struct http_conn *h)
{
    struct client *c = h->conn;
    if (!c->record || h->committed)
        return;
    note_request(h, 0);
    h->committed = true;
    ledger_commit(c->record, client_taken(c));
}

/* The request was handed over. */
static void shed_request(struct http_conn *h)
{
    if (h->req) {
        h->route = h->req->refuse_status ? route_unref(h->req->route) : h->req->route;
        http_front_drop_request(h->req);
        h->req = NULL;
    }
    if (h->in) {
        buf_done(&h->in->bytes);
        free(h->in);
        h->in = NULL;
    }
}

static void drop_request(struct http_conn *h)
{
    shed_request(h);
    if (h->route)
        h->route = route_unref(h->route);
}

/* ---- the end of a response, the end of the connection ---- */

static void begin_linger(struct http_conn *h)
{
    h->state = HTTP_LINGER;
    client_forget(h->conn);
    if (h->conn->eof) {
        client_close_flushed(h->conn);
        return;
    }
    stream_end_output(h->conn->stream);
    h->sent_mark = stream_sent_total(h->conn->stream);
    set_timer(h, now_of(h) + LINGER_TIME);
}

void http_conn_response_done(struct http_conn *h)
{
    struct client *c = h->conn;
    h->responder = NULL;
    h->streaming = false;
    if (!client_is_open(c))
        return;
    if (c->record)
        TRACE_SET(c->record->end_at, stream_queued_total(c->stream));
    if (!h->keep_alive) {
        begin_linger(h);
    } else {
        h->state = HTTP_HEAD;
        h->in_head = false;
        h->since_at = now_of(h);
        http1_scan_init(&h->scan);
        if (limits_of(h)->idle_connection_timeout && !timer_armed(&c->timer))
            set_timer(h, h->since_at + limits_of(h)->idle_connection_timeout);
    }
    if (h->running)
        return; /* run() goes on by itself; the request may still be in use below it */
    drop_request(h);
    if (client_is_open(c) && (stream_input(c->stream).n || c->eof))
        stream_again(c->stream);
}

/* Answers in plain text and closes: the connection's state cannot be trusted any more. */
static void refuse(struct http_conn *h, unsigned status, const char *text)
{
    h->keep_alive = false;
    h->state = HTTP_REPLY;
    struct slice body = slice_str(text);
    http_reply(h, status, "text/plain", body, NULL, 0);
}

static void refuse_http1(struct http_conn *h, ssize_t error)
{
    if (error == HTTP1_E_TLS)
        client_close(h->conn);
    else
        refuse(h, http1_error_status(error), http1_error_text(error));
}

/* ---- heads ---- */

/* What a refused head says, now or after its body was read. */
static void reply_refusal(struct http_conn *h)
{
    struct http_req *req = h->req;
    h->state = HTTP_REPLY;
    if (req->refuse_delay && !req->refuse_at) {
        req->refuse_at = now_of(h) + req->refuse_delay;
        set_timer(h, req->refuse_at);
        return;
    }
    req->refuse_at = 0;
    if (req->refuse_code) {
        http_reply_error(h, &(struct http_error){.status = req->refuse_status,
                                                 .code = req->refuse_code,
                                                 .reason = req->refuse_reason,
                                                 .message = req->refuse_text,
                                                 .challenge = req->refuse_challenge});
        return;
    }
    struct http1_header allow = {SLICE("Allow"), slice_str(path_allow(req->path))};
    bool no_method = req->refuse_status == 405;
    http_reply(h, req->refuse_status, no_method ? NULL : "text/plain",
               no_method ? slice_of(NULL, 0) : slice_str(req->refuse_text), &allow, no_method);
}

/* Decides what becomes of the body. false: the request was answered without it. */
static bool begin_body(struct http_conn *h, const struct http1_request *head)
{
    size_t max = limits_of(h)->max_request_bytes;
    uint64_t length = head->framing == HTTP1_BODY_LENGTH ? head->content_length : 0;
    http1_body_init(&h->body, head->framing, head->content_length);
    h->state = HTTP_BODY;
    h->use = BODY_KEEP;
    h->since_at = now_of(h);
    h->window_bytes = 0;
    if (h->req->refuse_status) {
        /* Small bodies are read so that the connection can go on; nobody is asked to send one for
         * nothing. */
        if (head->expect_continue || length > max) {
            h->keep_alive = false;
            reply_refusal(h);
            return false;
        }
        h->use = BODY_DISCARD;
    } else if (head->method != HTTP1_POST) {
        h->use = BODY_DISCARD;
    } else if (length > max) {
        /* Asked beforehand, or more than would ever be read in search of an id. */
        if (head->expect_continue || length / OVERSIZE_DRAIN > max) {
            h->keep_alive = false;
            h->req->refuse_status = 413;
            h->req->refuse_code = MCP_E_INVALID_REQUEST;
            h->req->refuse_reason = REASON_TOO_LARGE;
            h->req->refuse_text = "Message too large";
            reply_refusal(h);
            return false;
        }
        h->use = BODY_OVERSIZE;
        h->in = xcalloc(1, sizeof(*h->in));
        rpc_id_hunt_init(&h->in->hunt);
    }
    if (head->expect_continue) {
        struct buf *b = &h->conn->front->head;
        buf_reset(b);
        http1_write_continue(b);
        struct slice s = buf_peek(b);
        stream_write(h->conn->stream, s.p, s.n);
    }
    return true;
}

static void head_incomplete(struct http_conn *h)
{
    if (h->conn->eof) {
        client_close(h->conn);
        return;
    }
    if (h->in_head)
        return;
    h->in_head = true;
    h->since_at = now_of(h);
    set_timer(h, h->since_at + limits_of(h)->header_timeout);
}

/* What has come on a connection that is held is left to the next process, but for what a call that
 * still runs may be waiting for, its cancellation or the answer to what it asked: messages that are
 * no requests. */
static bool is_left(const struct http_conn *h, struct slice in, const struct http1_limits *limits)
{
    struct http1_scan scan;
    struct http1_request head;
    struct rpc_msg m;
    http1_scan_init(&scan);
    ssize_t n = http1_parse_request(&scan, in, limits, &head);
    if (n <= 0 || head.method != HTTP1_POST || head.framing != HTTP1_BODY_LENGTH ||
        head.content_length > in.n - (size_t)n)
        return true;
    struct slice body = slice_of(in.p + n, (size_t)head.content_length);
    return rpc_parse(body, limits_of(h)->json_depth, &m, NULL) != RPC_OK ||
           (m.kind != RPC_NOTIFICATION && m.kind != RPC_RESULT && m.kind != RPC_ERROR);
}

/* Whether there may be more to do at once. */
static bool step_head(struct http_conn *h)
{
    struct client *c = h->conn;
    if (stream_pending(c->stream) > OUTPUT_HIGH)
        return false; /* this client sends requests and does not read answers: on_drain */
    struct slice in = stream_input(c->stream);
    if (in.n == 0) {
        if (c->eof)
            client_close_flushed(c);
        return false;
    }
    const struct config_limits *l = limits_of(h);
    struct http1_limits hl = {.max_head_bytes = l->max_head_bytes,
                              .max_line_bytes = l->max_header_bytes,
                              .max_headers = l->max_headers};
    struct http1_request head;
    if (client_is_held(c) && is_left(h, in, &hl))
        return false;
    ssize_t n = http1_parse_request(&h->scan, in, &hl, &head);
    if (n == 0) {
        head_incomplete(h);
        return false;
    }
    if (n < 0) {
        h->http10 = false;
        h->head_only = false;
        refuse_http1(h, n);
        return true;
    }
    drop_request(h);
    h->in_head = false;
    h->http10 = head.minor == 0;
    h->keep_alive = head.keep_alive;
    h->head_only = head.method == HTTP1_HEAD;
    h->noted = h->committed = false;
    h->req = http_front_on_head(h, &head);
    h->by_token = h->req->by_token;
    h->reads_json = h->req->accept.json;
    stream_consume(c->stream, (size_t)n);
    return begin_body(h, &head) || h->state != HTTP_LINGER;
}

/* ---- bodies ---- */

struct body_blob {
    struct blob blob;
    char *data;
};

static void body_blob_free(struct blob *b)
{
    struct body_blob *body = container_of(b, struct body_blob, blob);
    free(body->data);
    free(body);
}

/* Takes the bytes out of the buffer without copying them. */
static struct blob *body_blob_take(struct buf *bytes)
{
    struct body_blob *body = xcalloc(1, sizeof(*body));
    body->blob.refs = 1;
    body->blob.free_fn = body_blob_free;
    body->data = buf_take(bytes, &body->blob.n);
    body->blob.p = body->data;
    return &body->blob;
}

static struct slice without_bom(struct slice s)
{
    return s.n >= 3 && memcmp(s.p, "\xef\xbb\xbf", 3) == 0 ? slice_of(s.p + 3, s.n - 3) : s;
}

/* The request is complete. body: all of it, if it was kept; owner may be NULL when it stays until
 * this returns. */
static void hand_over(struct http_conn *h, struct slice body, struct blob *owner)
{
    char id[260];
    struct http_in in = {0};
    h->state = HTTP_REPLY;
    if (h->req->refuse_status) {
        reply_refusal(h);
        return;
    }
    if (h->use == BODY_OVERSIZE) {
        size_t n = rpc_id_hunt_get(&h->in->hunt, id, sizeof(id));
        in.oversize = true;
        in.id = slice_of(id, n);
    } else {
        in.payload = (struct payload){.text = without_bom(body), .owner = owner};
    }
    http_front_on_request(h, h->req, &in);
    shed_request(h);
}

static void finish_body(struct http_conn *h)
{
    if (h->use != BODY_KEEP || !h->in) {
        hand_over(h, slice_of(NULL, 0), NULL);
        return;
    }
    struct blob *whole = body_blob_take(&h->in->bytes);
    hand_over(h, blob_slice(whole), whole);
    blob_unref(whole);
}

/* The body is all there, in one piece. A big one is copied here, once: from a blob it goes out by
 * reference. */
static void take_whole_body(struct http_conn *h, struct slice body)
{
    struct stream *stream = h->conn->stream;
    struct blob *own = NULL;
    if (body.n >= SPLICE_COPY_MAX || !stream_input_stays(stream)) {
        own = blob_new(body.p, body.n);
        body = blob_slice(own);
    }
    stream_consume(stream, body.n);
    hand_over(h, body, own);
    blob_unref(own);
}

static void to_oversize(struct http_conn *h)
{
    rpc_id_hunt_init(&h->in->hunt);
    rpc_id_hunt_feed(&h->in->hunt, buf_peek(&h->in->bytes));
    buf_done(&h->in->bytes);
    h->use = BODY_OVERSIZE;
}

/* One run of body bytes. false: the request was answered, the rest is of no interest. */
static bool take_run(struct http_conn *h, struct slice run)
{
    size_t max = limits_of(h)->max_request_bytes;
    if (h->use == BODY_KEEP) {
        if (!h->in)
            h->in = xcalloc(1, sizeof(*h->in));
        if (h->body.total > max)
            to_oversize(h);
        else
            buf_append_slice(&h->in->bytes, run);
    }
    if (h->use == BODY_OVERSIZE) {
        rpc_id_hunt_feed(&h->in->hunt, run);
        if (h->body.total > (uint64_t)max * OVERSIZE_DRAIN) {
            h->keep_alive = false;
            hand_over(h, slice_of(NULL, 0), NULL);
            return false;
        }
    }
    if (h->use == BODY_DISCARD && h->body.total > max) {
        h->keep_alive = false;
        hand_over(h, slice_of(NULL, 0), NULL);
        return false;
    }
    return true;
}

static void body_incomplete(struct http_conn *h)
{
    if (h->conn->eof) {
        refuse_http1(h, HTTP1_E_TRUNCATED);
        return;
    }
    /* since_at is when this window began; the timer may be armed for something earlier. */
    if (limits_of(h)->body_min_rate)
        set_timer(h, h->since_at + limits_of(h)->body_rate_window);
}

static bool step_body(struct http_conn *h)
{
    struct client *c = h->conn;
    struct slice in = stream_input(c->stream);
    size_t used;
    struct slice piece;

    /* Nearly always the whole body is there already. */
    if (h->use == BODY_KEEP && !h->in && h->body.framing == HTTP1_BODY_LENGTH && h->body.left &&
        in.n >= h->body.left) {
        take_whole_body(h, slice_of(in.p, (size_t)h->body.left));
        return true;
    }
    while (!h->body.done) {
        if (in.n == 0) {
            body_incomplete(h);
            return client_is_open(c) && h->state != HTTP_BODY;
        }
        enum http1_error e = http1_body_feed(&h->body, in, &used, &piece);
        if (e != HTTP1_OK) {
            refuse_http1(h, e);
            return true;
        }
        if (piece.n && !take_run(h, piece))
            return true;
        stream_consume(c->stream, used);
        in = stream_input(c->stream);
    }
    finish_body(h);
    return true;
}

/* ---- driving ---- */

static bool step(struct http_conn *h)
{
    struct slice in;
    switch (h->state) {
    case HTTP_HEAD:
        return step_head(h);
    case HTTP_BODY:
        return step_body(h);
    case HTTP_REPLY:
        return false;
    case HTTP_LINGER:
        in = stream_input(h->conn->stream);
        stream_consume(h->conn->stream, in.n);
        return false;
    }
    return false;
}

static void run(struct http_conn *h)
{
    if (h->running)
        return;
    h->running = true;
    while (client_is_open(h->conn) && step(h))
        ;
    h->running = false;
    if (h->state == HTTP_HEAD || h->state == HTTP_LINGER)
        drop_request(h);
}

static void on_input(void *impl)
{
    run(impl);
}

static void on_eof(void *impl)
{
    struct http_conn *h = impl;
    if (h->state == HTTP_LINGER || (h->responder && h->responder->ops->eof_is_gone)) {
        if (stream_pending(h->conn->stream) && h->state == HTTP_LINGER)
            client_close_flushed(h->conn);
        else
            client_close(h->conn);
        return;
    }
    run(h);
}

static void on_drain(void *impl)
{
    run(impl);
}

static void body_window_over(struct http_conn *h)
{
    const struct config_limits *l = limits_of(h);
    usec_t due_at = h->since_at + l->body_rate_window;
    if (now_of(h) >= due_at) {
        double seconds = (double)l->body_rate_window / (double)USEC_PER_SEC;
        double least = (double)l->body_min_rate * seconds;
        if ((double)(h->body.total - h->window_bytes) < least) {
            refuse(h, 408, "The request body arrives too slowly");
            return;
        }
        h->since_at = now_of(h);
        h->window_bytes = h->body.total;
        due_at = h->since_at + l->body_rate_window;
    }
    set_timer(h, due_at);
}

static void head_timer(struct http_conn *h)
{
    const struct config_limits *l = limits_of(h);
    struct stream *stream = h->conn->stream;
    usec_t span = h->in_head ? l->header_timeout : l->idle_connection_timeout;
    uint64_t sent = stream_sent_total(stream);
    if (span == 0 || client_is_held(h->conn))
        return;
    if (!h->in_head && stream_pending(stream) && sent != h->sent_mark) {
        h->sent_mark = sent; /* the last response is still being read */
        h->since_at = now_of(h);
    }
    if (now_of(h) < h->since_at + span)
        set_timer(h, h->since_at + span);
    else if (h->in_head)
        refuse(h, 408, "The request head took too long");
    else
        client_close(h->conn);
}

static void on_timer(void *impl)
{
    struct http_conn *h = impl;
    uint64_t sent;
    switch (h->state) {
    case HTTP_HEAD:
        head_timer(h);
        break;
    case HTTP_BODY:
        if (limits_of(h)->body_min_rate)
            body_window_over(h);
        break;
    case HTTP_REPLY:
        /* A responder has its own; this one is armed again when the response is complete. */
        if (!h->req || !h->req->refuse_at)
            break;
        if (now_of(h) < h->req->refuse_at)
            set_timer(h, h->req->refuse_at);
        else
            reply_refusal(h);
        break;
    case HTTP_LINGER:
        sent = stream_sent_total(h->conn->stream);
        if (stream_pending(h->conn->stream) && sent != h->sent_mark) {
            h->sent_mark = sent;
            set_timer(h, now_of(h) + LINGER_TIME);
        } else if (stream_pending(h->conn->stream)) {
            client_close_flushed(h->conn);
        } else {
            client_close(h->conn);
        }
        break;
    }
}

static void on_stop(void *impl)
{
    struct http_conn *h = impl;
    if (h->responder && h->responder->ops->on_stop)
        h->responder->ops->on_stop(h->responder);
}

static void on_close(void *impl)
{
    struct http_conn *h = impl;
    struct responder *r = h->responder;
    h->conn->front->counts.http_connections--;
    h->responder = NULL;
    if (r)
        r->ops->on_gone(r);
}

static void http_conn_free(void *impl)
{
    struct http_conn *h = impl;
    drop_request(h);
    access_grant_free(h->grant);
    free(h);
}

static bool on_leave(void *impl, struct buf *rest)
{
    const struct http_conn *h = impl;
    (void)rest;
    return h->state == HTTP_HEAD || h->streaming;
}

static const struct client_ops http_conn_ops = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_drain = on_drain,
    .on_timer = on_timer,
    .on_stop = on_stop,
    .on_leave = on_leave,
    .on_close = on_close,
    .free = http_conn_free,
};

struct http_claim http_conn_claim(const struct client *c)
{
    const struct http_conn *h = c->impl;
    if (c->ops != &http_conn_ops)
        return (struct http_claim){0};
    if (h->req && h->req->refuse_status)
        return (struct http_claim){0};
    return (struct http_claim){.route = h->req ? h->req->route : h->route, .by_token = h->by_token};
}

struct access_grant **http_conn_grant(const struct client *c)
{
    struct http_conn *h = c->impl;
    return c->ops == &http_conn_ops ? &h->grant : NULL;
}

void http_conn_start(struct client *c)
{
    struct http_conn *h = xcalloc(1, sizeof(*h));
    h->conn = c;
    h->keep_alive = true;
    h->since_at = c->front->env->now;
    c->ops = &http_conn_ops;
    c->impl = h;
    if (c->record && c->record->speech != LEDGER_SSE) /* else it goes on as it was, or ends */
        TRACE_SET(c->record->speech, LEDGER_HTTP);
    /* Unix connections have no timer until they speak. */
    if (limits_of(h)->idle_connection_timeout && !timer_armed(&c->timer))
        set_timer(h, h->since_at + limits_of(h)->idle_connection_timeout);
}
