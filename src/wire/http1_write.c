/* Writing heads and chunks. Every argument is checked before the first byte goes out, so a refused
 * head leaves the buffer as it was, and no value, whatever its origin, can begin a second header
 * line. Room for a whole head is made at once, by the same sums that it is written by. */
#include "wire/http1_internal.h"

/* The fields that the writer derives from its arguments. */
#define RESERVED                                                                                   \
    (HTTP1_BIT(HTTP1_F_CONTENT_LENGTH) | HTTP1_BIT(HTTP1_F_TRANSFER_ENCODING) |                    \
     HTTP1_BIT(HTTP1_F_CONNECTION))

/* refused: further fields that must not stand there, a set of HTTP1_BIT. */
static bool fields_valid(const struct http1_header *headers, size_t count, uint32_t refused)
{
    for (size_t i = 0; i < count; i++)
        if (!http1_is_token(headers[i].name) ||
            (HTTP1_BIT(http1_field_of(headers[i].name)) & refused) ||
            http1_check_text(headers[i].value) != HTTP1_OK)
            return false;
    return true;
}

/* The fields of a head: those that were given, and what goes with them. */
struct fields {
    const struct http1_header *headers;
    size_t count;
    struct slice framing; /* up to the length, if there is one */
    struct slice length;
    struct slice connection;
};

static struct fields fields_of(const struct http1_header *headers, size_t count,
                               enum http1_framing framing, uint64_t content_length,
                               enum http1_connection conn, char digits[U64_DIGITS])
{
    struct fields f = {.headers = headers, .count = count};

    if (framing == HTTP1_BODY_LENGTH) {
        f.framing = SLICE("Content-Length: ");
        f.length = u64_text(content_length, digits);
    } else if (framing == HTTP1_BODY_CHUNKED) {
        f.framing = SLICE("Transfer-Encoding: chunked");
    }
    if (conn == HTTP1_CONN_CLOSE)
        f.connection = SLICE("Connection: close");
    else if (conn == HTTP1_CONN_KEEP_ALIVE)
        f.connection = SLICE("Connection: keep-alive");
    return f;
}

static char *put_line_end(char *at)
{
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static size_t line_len(size_t n)
{
    return n ? n + 2 : 0;
}

static size_t fields_len(const struct fields *f)
{
    size_t n = line_len(f->framing.n + f->length.n) + line_len(f->connection.n) + 2;

    for (size_t i = 0; i < f->count; i++)
        n += line_len(f->headers[i].name.n + 2 + f->headers[i].value.n);
    return n;
}

/* With the empty line. */
static char *put_fields(char *at, const struct fields *f)
{
    for (size_t i = 0; i < f->count; i++) {
        at = slice_put(at, f->headers[i].name);
        *at++ = ':';
        *at++ = ' ';
        at = put_line_end(slice_put(at, f->headers[i].value));
    }
    if (f->framing.n)
        at = put_line_end(slice_put(slice_put(at, f->framing), f->length));
    if (f->connection.n)
        at = put_line_end(slice_put(at, f->connection));
    return put_line_end(at);
}

/* Whether a response with this status may carry this framing (RFC 9112 section 6). */
static bool framing_allowed(unsigned status, enum http1_framing framing, uint64_t content_length,
                            enum http1_connection conn)
{
    if (framing == HTTP1_BODY_NONE)
        return true;
    if (status < 200 || status == 204)
        return false;
    if (framing == HTTP1_BODY_CLOSE)
        return conn == HTTP1_CONN_CLOSE && status != 304;
    return status != 304 || (framing == HTTP1_BODY_LENGTH && content_length == 0);
}

enum http1_error http1_write_response_head(struct buf *out, unsigned status,
                                           const struct http1_header *headers, size_t count,
                                           enum http1_framing framing, uint64_t content_length,
                                           enum http1_connection conn)
{
    char digits[U64_DIGITS], *begin, *at;
    struct fields f = fields_of(headers, count, framing, content_length, conn, digits);
    struct slice reason = slice_str(http1_reason(status));

    if (status < 100 || status > 599 || content_length > INT64_MAX ||
        !framing_allowed(status, framing, content_length, conn) ||
        !fields_valid(headers, count, RESERVED))
        return HTTP1_E_WRITE;
    begin = at = buf_reserve(out, sizeof("HTTP/1.1 200 \r\n") - 1 + reason.n + fields_len(&f));
    at = slice_put(at, SLICE("HTTP/1.1 "));
    *at++ = (char)('0' + status / 100);
    *at++ = (char)('0' + status / 10 % 10);
    *at++ = (char)('0' + status % 10);
    *at++ = ' ';
    at = put_line_end(slice_put(at, reason));
    at = put_fields(at, &f);
    buf_added(out, (size_t)(at - begin));
    return HTTP1_OK;
}

void http1_write_continue(struct buf *out)
{
    buf_append_str(out, "HTTP/1.1 100 Continue\r\n\r\n");
}

enum http1_error http1_write_request_head(struct buf *out, struct slice method, struct slice target,
                                          struct slice host, const struct http1_header *headers,
                                          size_t count, enum http1_framing framing,
                                          uint64_t content_length, enum http1_connection conn)
{
    char digits[U64_DIGITS], *begin, *at;
    struct fields f = fields_of(headers, count, framing, content_length, conn, digits);

    if (!http1_is_token(method) || !http1_is_origin_form(target) || !http1_is_host(host) ||
        framing == HTTP1_BODY_CLOSE || content_length > INT64_MAX ||
        !fields_valid(headers, count, RESERVED | HTTP1_BIT(HTTP1_F_HOST)))
        return HTTP1_E_WRITE;
    begin = at = buf_reserve(out, sizeof("  HTTP/1.1\r\nHost: \r\n") - 1 + method.n + target.n +
                                      host.n + fields_len(&f));
    at = slice_put(at, method);
    *at++ = ' ';
    at = slice_put(slice_put(at, target), SLICE(" HTTP/1.1\r\nHost: "));
    at = put_line_end(slice_put(at, host));
    at = put_fields(at, &f);
    buf_added(out, (size_t)(at - begin));
    return HTTP1_OK;
}

void http1_chunk_begin(struct buf *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char text[sizeof(n) * 2 + 2];
    size_t at = sizeof(text);

    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = digits[n & 15];
        n >>= 4;
    } while (n > 0);
    buf_append(out, text + at, sizeof(text) - at);
}

void http1_chunk_end(struct buf *out)
{
    buf_append(out, "\r\n", 2);
}

void http1_chunk_append(struct buf *out, struct slice data)
{
    if (data.n == 0)
        return;
    http1_chunk_begin(out, data.n);
    buf_append_slice(out, data);
    http1_chunk_end(out);
}

void http1_chunk_last(struct buf *out)
{
    buf_append_str(out, "0\r\n\r\n");
}
