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

/* What matters of a head. */
struct head {
    unsigned status;
    bool keep_alive, is_events;
    enum http1_framing framing;
    uint64_t content_length;
};

/* The last head that was parsed. Most are equal to it byte for byte, and a head ends where it says,
 * so a comparison tells as much about the next one as the parser would. */
static struct {
    struct buf text;
    struct head head;
} model;

static void begin_response(struct http_reader *r, const struct head *head)
{
    r->status = head->status;
    r->keep_alive = head->keep_alive;
    r->is_events = head->is_events;
    r->line = 0;
    r->in_body = true;
    http1_body_init(&r->body, head->framing, head->content_length);
}

static bool take_like_model(struct http_reader *r, struct slice *in)
{
    struct slice text = buf_peek(&model.text);

    if (text.n == 0 || r->wants_session || buf_len(&r->head) > 0 || in->n < text.n ||
        memcmp(in->p, text.p, text.n) != 0)
        return false;
    begin_response(r, &model.head);
    *in = slice_of(in->p + text.n, in->n - text.n);
    return true;
}

static void take_session(struct http_reader *r, const struct http1_response *response)
{
    struct slice id = http1_header(&response->headers, "Mcp-Session-Id");

    if (id.p && id.n < SESSION_ID_MAX) {
        memcpy(r->session_id, id.p, id.n);
        r->session_n = (uint8_t)id.n;
    }
    r->wants_session = false;
}

static void take_parsed(struct http_reader *r, const struct http1_response *response,
                        struct slice text)
{
    struct slice type = http1_header(&response->headers, "Content-Type");

    if (response->status < 200)
        return; /* it only announces the one that follows */
    model.head = (struct head){
        .status = response->status,
        .keep_alive = response->keep_alive,
        .is_events = type.p && slice_is_nocase(http1_media_type(type), "text/event-stream"),
        .framing = response->framing,
        .content_length = response->content_length,
    };
    buf_reset(&model.text);
    buf_append_slice(&model.text, text);
    begin_response(r, &model.head);
    if (r->wants_session)
        take_session(r, response);
}

/* Takes a head, from the input if it lies there in one piece. HTTP_END: it is complete. */
static enum http_step take_head(struct http_reader *r, struct slice *in)
{
    size_t before = buf_len(&r->head);
    struct http1_response response;
    struct slice text;
    ssize_t n;

    if (in->n == 0)
        return HTTP_MORE;
    if (take_like_model(r, in))
        return HTTP_END;
    if (before > 0)
        buf_append_slice(&r->head, *in);
    text = before > 0 ? buf_peek(&r->head) : *in;
    n = http1_parse_response(&r->scan, text, &limits, false, &response);
    if (n < 0)
        return HTTP_BAD;
    if (n == 0) {
        if (before == 0)
            buf_append_slice(&r->head, *in);
        *in = slice_of("", 0);
        return HTTP_MORE;
    }
    r->scan = (struct http1_scan)HTTP1_SCAN_INIT;
    take_parsed(r, &response, slice_of(text.p, (size_t)n));
    buf_reset(&r->head);
    n -= (ssize_t)before;
    *in = slice_of(in->p + n, in->n - (size_t)n);
    return HTTP_END;
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
