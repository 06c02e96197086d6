/* A response is a head, which is parsed once it is complete, and a body, which is never held: what
 * comes of it goes into the answer under way. In an event stream those are the lines that begin
 * with "data:", and an empty line ends a message; other fields mean nothing here. */
#include "bench/load/http_reader.h"

static const struct slice data_key = SLICE_INIT("data:");

/* http_reader.line: less than data_key.n bytes of it matched, or one of these. */
enum { LINE_DATA = 100, LINE_OTHER };

static const struct http1_limits limits = {
    .max_head_bytes = 65536, .max_line_bytes = 16384, .max_headers = HTTP1_HEADERS_MAX};

void http_reader_reset(struct http_reader *r)
{
    r->scan = (struct http1_scan)HTTP1_SCAN_INIT;
    r->in_body = false;
    r->run = slice_of("", 0);
    buf_reset(&r->head);
}

void http_reader_done(struct http_reader *r)
{
    buf_done(&r->head);
}

static void begin_response(struct http_reader *r, const struct http1_response *response)
{
    struct slice type = http1_header(&response->headers, "Content-Type");

    r->status = response->status;
    r->keep_alive = response->keep_alive;
    r->is_events = type.p && slice_is_nocase(http1_media_type(type), "text/event-stream");
    r->line = 0;
    r->in_body = true;
    http1_body_init(&r->body, response->framing, response->content_length);
    if (r->wants_session) {
        struct slice id = http1_header(&response->headers, "Mcp-Session-Id");

        if (id.p && id.n < SESSION_ID_MAX) {
            memcpy(r->session_id, id.p, id.n);
            r->session_n = (uint8_t)id.n;
        }
        r->wants_session = false;
    }
}

/* Takes a head, from the input if it lies there in one piece. */
static enum http_step take_head(struct http_reader *r, struct slice *in)
{
    bool pieces = buf_len(&r->head) > 0;
    size_t before = buf_len(&r->head);
    struct http1_response response;
    ssize_t n;

    if (in->n == 0)
        return HTTP_MORE;
    if (pieces)
        buf_append_slice(&r->head, *in);
    n = http1_parse_response(&r->scan, pieces ? buf_peek(&r->head) : *in, &limits, false,
                             &response);
    if (n < 0)
        return HTTP_BAD;
    if (n == 0) {
        if (!pieces)
            buf_append_slice(&r->head, *in);
        *in = slice_of("", 0);
        return HTTP_MORE;
    }
    r->scan = (struct http1_scan)HTTP1_SCAN_INIT;
    if (response.status >= 200) /* others only announce the one that follows */
        begin_response(r, &response);
    buf_reset(&r->head);
    n -= (ssize_t)before;
    *in = slice_of(in->p + n, in->n - (size_t)n);
    return HTTP_END; /* of the head: go on */
}

/* Takes lines of an event stream up to the end of a message. */
static enum http_step take_events(struct http_reader *r, struct answer *a)
{
    while (r->run.n > 0) {
        const char *p = r->run.p;
        bool is_end = false;
        size_t n = 1;

        if (r->line >= LINE_DATA) {
            const char *end = memchr(p, '\n', r->run.n);

            n = end ? (size_t)(end - p) : r->run.n;
            if (r->line == LINE_DATA)
                answer_feed(a, slice_of(p, n));
            if (end) {
                r->line = 0;
                n++;
            }
        } else if (r->line == 0 && *p == '\n') {
            is_end = !answer_is_empty(a);
            if (!is_end)
                answer_reset(a); /* an event that only gives an id holds a space */
        } else if (*p == data_key.p[r->line]) {
            if (++r->line == data_key.n)
                r->line = LINE_DATA;
        } else if (r->line > 0 || *p != '\r') {
            r->line = LINE_OTHER;
            n = 0;
        }
        r->run = slice_of(p + n, r->run.n - n);
        if (is_end)
            return HTTP_MESSAGE;
    }
    return HTTP_MORE;
}

enum http_step http_read(struct http_reader *r, struct slice *in, struct answer *a)
{
    for (;;) {
        size_t n;

        if (!r->in_body) {
            enum http_step step = take_head(r, in);

            if (step != HTTP_END)
                return step;
            continue;
        }
        if (r->is_events) {
            if (take_events(r, a) == HTTP_MESSAGE)
                return HTTP_MESSAGE;
        } else {
            answer_feed(a, r->run);
        }
        r->run = slice_of("", 0);
        if (r->body.done) {
            if (!r->is_events && !answer_is_empty(a))
                return HTTP_MESSAGE;
            r->in_body = false;
            return HTTP_END;
        }
        if (in->n == 0)
            return HTTP_MORE;
        if (http1_body_feed(&r->body, *in, &n, &r->run) != HTTP1_OK)
            return HTTP_BAD;
        *in = slice_of(in->p + n, in->n - n);
    }
}

enum http_step http_read_end(struct http_reader *r, const struct answer *a)
{
    if (!r->in_body)
        return buf_len(&r->head) > 0 ? HTTP_BAD : HTTP_MORE;
    if (http1_body_eof(&r->body) != HTTP1_OK)
        return HTTP_BAD;
    r->keep_alive = r->in_body = false;
    return answer_is_empty(a) || r->is_events ? HTTP_END : HTTP_MESSAGE;
}
