/* HTTP connections, writing side: heads, whole bodies, and bodies in pieces (event streams).
 * Everything is queued on the stream, which sends it at the end of the turn; a message of more than
 * MESSAGE_COPY_MAX goes by reference.
 *
 * There are no CORS fields and nothing that names the program: a browser page has no business here.
 */
#include "base/util.h"
#include "front/http_conn_priv.h"
#include "front/message.h"
#include "wire/sse.h"

#include <stdio.h>

static struct front *front_of(const struct http_conn *h)
{
    return h->conn->front;
}

static void write_buf(struct http_conn *h, struct buf *b)
{
    struct slice s = buf_peek(b);
    stream_write(h->conn->stream, s.p, s.n);
    buf_reset(b);
}

/* What is decided when the first byte of a response goes out. */
static enum http1_connection begin_response(struct http_conn *h, unsigned status,
                                            enum http1_framing framing)
{
    http_conn_commit(h);
    if (framing == HTTP1_BODY_CLOSE || (front_of(h)->draining && !h->conn->stored))
        h->keep_alive = false;
    if (h->conn->record) {
        TRACE_SET(h->conn->record->status, status);
        TRACE_SET(h->conn->record->answer_at, stream_queued_total(h->conn->stream));
    }
    if (!h->keep_alive)
        return HTTP1_CONN_CLOSE;
    return h->http10 ? HTTP1_CONN_KEEP_ALIVE : HTTP1_CONN_DEFAULT;
}

/* The head of a response, left in front->head. */
static void write_head(struct http_conn *h, unsigned status, const char *content_type,
                       const struct http1_header *extra, size_t extra_n, enum http1_framing framing,
                       uint64_t length)
{
    struct front *f = front_of(h);
    struct http1_header fields[8];
    size_t n = 0;
    enum http1_connection conn = begin_response(h, status, framing);
    if (content_type)
        fields[n++] = (struct http1_header){SLICE("Content-Type"), slice_str(content_type)};
    for (size_t i = 0; i < extra_n && n < ARRAY_LEN(fields); i++)
        fields[n++] = extra[i];
    buf_reset(&f->head);
    if (http1_write_response_head(&f->head, status, fields, n, framing, length, conn) != HTTP1_OK) {
        /* Only our own values stand here, so this is a bug of ours; the client gets a status at
         * least. */
        h->keep_alive = false;
        http1_write_response_head(&f->head, 500, NULL, 0, HTTP1_BODY_LENGTH, 0, HTTP1_CONN_CLOSE);
    }
}

void http_reply(struct http_conn *h, unsigned status, const char *content_type, struct slice body,
                const struct http1_header *extra, size_t extra_n)
{
    struct front *f = front_of(h);
    if (!client_is_open(h->conn))
        return;
    write_head(h, status, content_type, extra, extra_n, HTTP1_BODY_LENGTH, body.n);
    if (!h->head_only && body.n)
        buf_append_slice(&f->head, body);
    write_buf(h, &f->head);
    http_conn_response_done(h);
}

/* The usual answer, put together where it goes out from. len: of the message when it is edited. */
static void write_usual(struct http_conn *h, const struct payload *p, const struct rpc_edits *edits,
                        size_t len)
{
    static const struct rpc_edits none;
    char room[U64_DIGITS], *at;
    struct slice digits = u64_text(len, room);
    begin_response(h, 200, HTTP1_BODY_LENGTH);
    at = stream_extend(h->conn->stream, http1_json_head_len(digits) + len);
    if (at)
        rpc_edit_copy(http1_put_json_head(at, digits), p->text, edits ? edits : &none);
}

void http_reply_message(struct http_conn *h, unsigned status, const struct payload *p,
                        const struct rpc_edits *edits, const struct http1_header *extra,
                        size_t extra_n)
{
    struct front *f = front_of(h);
    if (!client_is_open(h->conn))
        return;
    size_t len = message_len(p, edits);
    if (status == 200 && !extra_n && len < MESSAGE_COPY_MAX && h->keep_alive && !h->http10 &&
        !f->draining) {
        write_usual(h, p, edits, len);
    } else {
        write_head(h, status, "application/json", extra, extra_n, HTTP1_BODY_LENGTH, len);
        write_buf(h, &f->head);
        client_write_message(h->conn, p, edits);
    }
    http_conn_response_done(h);
}

void http_reply_error(struct http_conn *h, const struct http_error *e)
{
    struct buf body = BUF_INIT;
    char seconds[24];
    struct http1_header extra[2];
    size_t extra_n = 0;
    if (e->retry_after) {
        usec_t s = (e->retry_after + USEC_PER_SEC - 1) / USEC_PER_SEC;
        snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)s);
        extra[extra_n++] = (struct http1_header){SLICE("Retry-After"), slice_str(seconds)};
    }
    if (e->challenge)
        extra[extra_n++] =
            (struct http1_header){SLICE("WWW-Authenticate"), slice_str(e->challenge)};
    proxy_write_error(&body, e->id, e->code, e->reason, e->server, e->delivered, e->retry_after,
                      e->message);
    http_reply(h, e->status, "application/json", buf_peek(&body), extra, extra_n);
    buf_done(&body);
}

/* ---- responses in pieces ---- */

void http_conn_attach(struct http_conn *h, struct responder *r)
{
    h->responder = r;
}

void http_stream_begin(struct http_conn *h, const char *content_type,
                       const struct http1_header *extra, size_t extra_n)
{
    h->chunked = !h->http10;
    h->streaming = true;
    write_head(h, 200, content_type, extra, extra_n,
               h->chunked ? HTTP1_BODY_CHUNKED : HTTP1_BODY_CLOSE, 0);
    write_buf(h, &front_of(h)->head);
    struct ledger_record *r = h->conn->record;
    if (!r)
        return;
    TRACE_SET(r->flags, h->chunked ? r->flags | LEDGER_CHUNKED : r->flags & ~LEDGER_CHUNKED);
    if (strcmp(content_type, "text/event-stream") == 0)
        TRACE_SET(r->stream_at, stream_queued_total(h->conn->stream));
}

void http_stream_raw(struct http_conn *h, struct slice bytes)
{
    struct buf *b = &front_of(h)->head;
    if (!client_is_open(h->conn) || bytes.n == 0)
        return;
    if (!h->chunked) {
        stream_write(h->conn->stream, bytes.p, bytes.n);
        return;
    }
    buf_reset(b);
    http1_chunk_append(b, bytes);
    write_buf(h, b);
}

/* A text too big to copy, between two small ones, as one chunk. */
static void write_big(struct http_conn *h, struct slice before, const struct payload *p,
                      const struct rpc_edits *edits, struct slice after)
{
    struct buf *b = &front_of(h)->head;
    buf_reset(b);
    if (h->chunked)
        http1_chunk_begin(b, before.n + message_len(p, edits) + after.n);
    buf_append_slice(b, before);
    write_buf(h, b);
    client_write_message(h->conn, p, edits);
    buf_append_slice(b, after);
    if (h->chunked)
        http1_chunk_end(b);
    write_buf(h, b);
}

void http_stream_message(struct http_conn *h, const struct payload *p,
                         const struct rpc_edits *edits)
{
    if (client_is_open(h->conn))
        write_big(h, slice_of(NULL, 0), p, edits, slice_of(NULL, 0));
}

void http_sse_message(struct http_conn *h, struct slice id, usec_t retry, const struct payload *p,
                      const struct rpc_edits *edits)
{
    static const struct rpc_edits none;
    struct buf *b = &front_of(h)->event;
    if (!client_is_open(h->conn))
        return;
    buf_reset(b);
    if (retry)
        buf_appendf(b, "retry: %llu\n", (unsigned long long)(retry / USEC_PER_MSEC));
    sse_event_begin(b, NULL, id);
    if (message_len(p, edits) < MESSAGE_COPY_MAX) {
        rpc_edit_append(b, p->text, edits ? edits : &none);
        sse_event_end(b);
        http_stream_raw(h, buf_peek(b));
    } else {
        size_t begin = buf_len(b);
        sse_event_end(b);
        struct slice all = buf_peek(b);
        write_big(h, slice_of(all.p, begin), p, edits, slice_of(all.p + begin, all.n - begin));
    }
    buf_reset(b);
}

void http_sse_priming(struct http_conn *h, struct slice id, usec_t retry)
{
    struct buf *b = &front_of(h)->event;
    buf_reset(b);
    sse_write_priming(b, id, retry / USEC_PER_MSEC);
    http_stream_raw(h, buf_peek(b));
    buf_reset(b);
}

void http_sse_retry(struct http_conn *h, usec_t retry)
{
    struct buf *b = &front_of(h)->event;
    buf_reset(b);
    sse_write_retry(b, retry / USEC_PER_MSEC);
    http_stream_raw(h, buf_peek(b));
    buf_reset(b);
}

void http_sse_keepalive(struct http_conn *h)
{
    struct buf *b = &front_of(h)->event;
    buf_reset(b);
    sse_write_comment(b, "ka");
    http_stream_raw(h, buf_peek(b));
    buf_reset(b);
}

void http_stream_end(struct http_conn *h)
{
    struct buf *b = &front_of(h)->head;
    if (!client_is_open(h->conn))
        return;
    if (h->chunked) {
        buf_reset(b);
        http1_chunk_last(b);
        write_buf(h, b);
    }
    http_conn_response_done(h);
}
