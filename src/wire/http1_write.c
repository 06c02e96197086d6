/* Writing heads and chunks. Every argument is checked before the first byte goes out, so a refused
 * head leaves the buffer as it was, and no value, whatever its origin, can begin a second header
 * line. */
#include "wire/http1_internal.h"

/* The fields that the writer derives from its arguments. */
static bool is_reserved(struct slice name)
{
    return slice_is_nocase(name, "content-length") || slice_is_nocase(name, "transfer-encoding") ||
           slice_is_nocase(name, "connection");
}

static bool fields_valid(const struct http1_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!http1_is_token(headers[i].name) || is_reserved(headers[i].name) ||
            http1_check_text(headers[i].value) != HTTP1_OK)
            return false;
    return true;
}

static void write_fields(struct buf *out, const struct http1_header *headers, size_t count,
                         enum http1_framing framing, uint64_t content_length,
                         enum http1_connection conn)
{
    for (size_t i = 0; i < count; i++) {
        buf_append_slice(out, headers[i].name);
        buf_append(out, ": ", 2);
        buf_append_slice(out, headers[i].value);
        buf_append(out, "\r\n", 2);
    }
    if (framing == HTTP1_BODY_LENGTH) {
        buf_append_str(out, "Content-Length: ");
        buf_append_u64(out, content_length);
        buf_append(out, "\r\n", 2);
    } else if (framing == HTTP1_BODY_CHUNKED) {
        buf_append_str(out, "Transfer-Encoding: chunked\r\n");
    }
    if (conn == HTTP1_CONN_CLOSE)
        buf_append_str(out, "Connection: close\r\n");
    else if (conn == HTTP1_CONN_KEEP_ALIVE)
        buf_append_str(out, "Connection: keep-alive\r\n");
    buf_append(out, "\r\n", 2);
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
    if (status < 100 || status > 599 || content_length > INT64_MAX ||
        !framing_allowed(status, framing, content_length, conn) || !fields_valid(headers, count))
        return HTTP1_E_WRITE;
    buf_append_str(out, "HTTP/1.1 ");
    buf_append_u64(out, status);
    buf_append(out, " ", 1);
    buf_append_str(out, http1_reason(status));
    buf_append(out, "\r\n", 2);
    write_fields(out, headers, count, framing, content_length, conn);
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
    if (!http1_is_token(method) || !http1_is_origin_form(target) || !http1_is_host(host) ||
        framing == HTTP1_BODY_CLOSE || content_length > INT64_MAX || !fields_valid(headers, count))
        return HTTP1_E_WRITE;
    for (size_t i = 0; i < count; i++)
        if (slice_is_nocase(headers[i].name, "host"))
            return HTTP1_E_WRITE;
    buf_append_slice(out, method);
    buf_append(out, " ", 1);
    buf_append_slice(out, target);
    buf_append_str(out, " HTTP/1.1\r\nHost: ");
    buf_append_slice(out, host);
    buf_append(out, "\r\n", 2);
    write_fields(out, headers, count, framing, content_length, conn);
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
