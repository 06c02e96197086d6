/* HTTP/1.1 and 1.0 messages, both directions, strictly by RFC 9112: whatever two implementations
 * could read differently (message smuggling) is refused and never repaired. Pure: bytes in, structs
 * and slices out; no I/O, no clock, no allocation while reading. Memory is bounded by the caller's
 * limits.
 *
 * Reading a message:
 *     struct http1_scan scan = HTTP1_SCAN_INIT;                  kept with the connection
 *     struct http1_request req;                                  about 4 KiB: stack or scratch
 *     n = http1_parse_request(&scan, stream_input(s), &limits, &req);
 *       n > 0   the head is complete: n bytes; req holds slices into them, so use (or copy) before
 * consuming n == 0  more input is needed: call again with the same bytes plus new ones, from the
 * same start n < 0   an enum http1_error: answer http1_error_status(n) and close the connection
 *     http1_body_init(&body, req.framing, req.content_length), consume n, then http1_body_feed.
 * After the body: http1_scan_init (or HTTP1_SCAN_INIT) and parse the next head.
 *
 * The outcome does not depend on how the bytes were cut into pieces, errors included. Errors are
 * reported as soon as the offending line is complete, a first byte that cannot begin a message at
 * once. */
#ifndef WIRE_HTTP1_H
#define WIRE_HTTP1_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdint.h>
#include <sys/types.h>

/* The most header lines one head can hold; http1_limits.max_headers is cut to it. */
#define HTTP1_HEADERS_MAX 128

struct http1_limits {
    size_t max_head_bytes; /* start line to empty line, inclusive: beyond it 431 */
    size_t
        max_line_bytes; /* one line without its CRLF: 414 for the request line, 431 for a header */
    unsigned max_headers; /* header lines: 431 */
};

/* What was wrong. Names and sentences: http1_error_text; statuses: http1_error_status. */
enum http1_error {
    HTTP1_OK = 0,
    HTTP1_E_START_LINE = -1, /* 400: not METHOD SP TARGET SP VERSION, or no status line */
    HTTP1_E_METHOD = -2,     /* 400: the method is no token, or longer than 32 bytes */
    HTTP1_E_TARGET = -3,     /* 400: bytes that no request-target may hold, bad %XX, a fragment */
    HTTP1_E_TARGET_ABSOLUTE = -4,  /* 400: http://host/path; mcpool is no forward proxy */
    HTTP1_E_TARGET_AUTHORITY = -5, /* 400: host:port with a method other than CONNECT */
    HTTP1_E_TARGET_ASTERISK = -6,  /* 400: "*" (OPTIONS *) */
    HTTP1_E_CONNECT = -7,          /* 405: the CONNECT method, with any target */
    HTTP1_E_VERSION = -8,          /* 505: HTTP/d.d other than 1.0 and 1.1 */
    HTTP1_E_HTTP2 = -9,            /* 505: the HTTP/2 connection preface */
    HTTP1_E_TLS = -10,             /* 400: a TLS record on a plain port; close without an answer */
    HTTP1_E_LINE_END = -11,        /* 400: bare LF, or CR without LF */
    HTTP1_E_CONTROL = -12,         /* 400: NUL or another control byte in the head */
    HTTP1_E_HEADER_NAME =
        -13,                /* 400: no colon, empty name, no token (also space before the colon) */
    HTTP1_E_OBS_FOLD = -14, /* 400: a header line that begins with a space or a tab */
    HTTP1_E_HOST_MISSING = -15,   /* 400: HTTP/1.1 without Host */
    HTTP1_E_HOST_DUPLICATE = -16, /* 400: more than one Host line */
    HTTP1_E_HOST_SYNTAX = -17,    /* 400: a Host value that is no host[:port] */
    HTTP1_E_LENGTH_SYNTAX = -18,  /* 400: Content-Length other than digits, a list, above 2^63-1 */
    HTTP1_E_LENGTH_DUPLICATE = -19,  /* 400: several Content-Length lines, equal or not */
    HTTP1_E_LENGTH_AND_CODING = -20, /* 400: Content-Length beside Transfer-Encoding */
    HTTP1_E_CODING = -21,            /* 501: Transfer-Encoding other than exactly "chunked" once */
    HTTP1_E_CODING_VERSION = -22,    /* 400: Transfer-Encoding in an HTTP/1.0 message */
    HTTP1_E_EXPECT = -23,            /* 417: Expect other than 100-continue */
    HTTP1_E_HEAD_TOO_LARGE = -24,    /* 431 */
    HTTP1_E_LINE_TOO_LONG = -25,     /* 431: one header line */
    HTTP1_E_TARGET_TOO_LONG = -26,   /* 414: the request line */
    HTTP1_E_TOO_MANY_HEADERS = -27,  /* 431 */
    HTTP1_E_STATUS = -28,            /* response: status not three digits within 100..599, or 101 */
    HTTP1_E_CHUNK_SIZE = -29,        /* 400: chunk size not 1..16 hex digits, or above 2^63-1 */
    HTTP1_E_CHUNK_END = -30,         /* 400: chunk line or chunk data not ended by exactly CRLF */
    HTTP1_E_CHUNK_EXTENSION =
        -31,                 /* 400: extension with control bytes, or too many bytes of them */
    HTTP1_E_TRAILER = -32,   /* 400: malformed or oversized trailer section */
    HTTP1_E_TRUNCATED = -33, /* 400: the connection ended inside a body or head */
    HTTP1_E_WRITE = -34,     /* writer: refused arguments; see http1_write_response_head */
};

/* The status to answer a client with. For upstream responses the answer is 502 whatever the error.
 * 0 for HTTP1_OK. Accepts what the parsers return. */
unsigned http1_error_status(ssize_t error);

/* A sentence for humans, no full stop: "Content-Length is not a plain decimal number". Static. */
const char *http1_error_text(ssize_t error);

enum http1_method {
    HTTP1_GET,
    HTTP1_POST,
    HTTP1_DELETE,
    HTTP1_HEAD,
    HTTP1_PUT,
    HTTP1_OPTIONS,
    HTTP1_PATCH,
    HTTP1_TRACE,
    HTTP1_OTHER_METHOD, /* a valid token that is none of these; methods are case-sensitive */
};

/* How the end of a body is found. */
enum http1_framing {
    HTTP1_BODY_NONE,   /* no body */
    HTTP1_BODY_LENGTH, /* content_length bytes (may be 0) */
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_CLOSE, /* until the connection ends; responses only */
};

struct http1_header {
    struct slice name;  /* as it came; compare without case */
    struct slice value; /* without surrounding spaces and tabs; may hold bytes >= 0x80 */
};

/* The fields that somebody here looks at. Each line's name is told apart once, when it is read, and
 * asking for one of these is no search. */
enum http1_field {
    HTTP1_F_OTHER, /* all the rest; http1_header finds them by name */
    HTTP1_F_ACCEPT,
    HTTP1_F_AUTHORIZATION,
    HTTP1_F_CONNECTION,
    HTTP1_F_CONTENT_ENCODING,
    HTTP1_F_CONTENT_LENGTH,
    HTTP1_F_CONTENT_TYPE,
    HTTP1_F_EXPECT,
    HTTP1_F_HOST,
    HTTP1_F_LAST_EVENT_ID,
    HTTP1_F_MCP_METHOD,
    HTTP1_F_MCP_NAME,
    HTTP1_F_MCP_PROTOCOL_VERSION,
    HTTP1_F_MCP_SESSION_ID,
    HTTP1_F_ORIGIN,
    HTTP1_F_TRANSFER_ENCODING,
    HTTP1_F_COUNT,
};

/* A field as an element of a set. */
#define HTTP1_BIT(field) (UINT32_C(1) << (field))

/* The header lines of one head, in order of arrival. Read the rest through the functions below. */
struct http1_headers {
    unsigned count;
    uint32_t seen;                    /* the fields that stand there ... */
    uint32_t repeated;                /* ... and those with several lines */
    uint8_t first[HTTP1_F_COUNT];     /* those in `seen`: index of the first line */
    uint8_t field[HTTP1_HEADERS_MAX]; /* of each line, enum http1_field */
    struct http1_header item[HTTP1_HEADERS_MAX];
};

struct http1_request {
    enum http1_method method;
    struct slice method_text;
    struct slice target;        /* the whole request-target: always origin-form, begins with "/" */
    struct slice path;          /* up to "?", undecoded and not normalised: compare exactly */
    struct slice query;         /* after the first "?"; p == NULL when there is none */
    unsigned minor;             /* 0 or 1 of HTTP/1.x */
    struct slice host;          /* value of Host; p == NULL when absent (HTTP/1.0 only) */
    enum http1_framing framing; /* NONE, LENGTH or CHUNKED */
    uint64_t content_length;    /* LENGTH only; at most 2^63-1 */
    bool keep_alive;            /* the connection may be used again after the response */
    bool expect_continue; /* the client waits for 100 Continue before it sends its body; only 1.1
                             with a body */
    struct http1_headers headers;
};

struct http1_response {
    unsigned status; /* 100..599 but 101 */
    struct slice reason;
    unsigned minor;
    bool informational; /* 1xx: consume the head and parse the next one, this was not the answer */
    enum http1_framing framing; /* for this request method and status: RFC 9112 section 6.3 */
    uint64_t content_length;    /* LENGTH only */
    bool keep_alive; /* false always for CLOSE and when framing fields contradict the status */
    struct http1_headers headers;
};

/* How far a head was looked through; makes repeated calls linear overall. Zero = a fresh head. */
struct http1_scan {
    size_t line_at; /* start of the first line that is not complete yet */
    size_t seen;    /* bytes before this hold no LF after line_at */
    unsigned lines; /* complete lines before line_at, the start line included */
};

#define HTTP1_SCAN_INIT                                                                            \
    {                                                                                              \
        0                                                                                          \
    }

void http1_scan_init(struct http1_scan *scan);

/* Parses a request head at the start of `in` (which may also hold what follows it). See the top of
 * this file. One empty line before the request line is skipped (RFC 9112 section 2.2) and counted
 * in the return value. *ret is only meaningful when the result is > 0 and borrows from `in`. */
ssize_t http1_parse_request(struct http1_scan *scan, struct slice in,
                            const struct http1_limits *limits, struct http1_request *ret);

/* Parses a response head. head_request: the request was HEAD, so there is no body whatever the
 * fields say. An omitted space after the status code is tolerated when the reason is empty; nothing
 * else is. */
ssize_t http1_parse_response(struct http1_scan *scan, struct slice in,
                             const struct http1_limits *limits, bool head_request,
                             struct http1_response *ret);

/* ---- looking at header fields ---- */

/* What field a name is of (ASCII case ignored). name: a token. */
enum http1_field http1_field_of(struct slice name);

/* Begins with no lines. */
void http1_headers_init(struct http1_headers *h);

/* Puts a line behind the others. At most HTTP1_HEADERS_MAX; the name is a token. */
void http1_headers_add(struct http1_headers *h, struct slice name, struct slice value);

/* The index of the first line of this field at `from` or behind it; h->count when there is none. */
unsigned http1_next(const struct http1_headers *h, enum http1_field field, unsigned from);

/* The value of the first line of this field, which is not HTTP1_F_OTHER; p == NULL when there is
 * none (an empty value has p != NULL). */
static inline struct slice http1_value(const struct http1_headers *h, enum http1_field field)
{
    if (!(h->seen & HTTP1_BIT(field)))
        return (struct slice){0};
    return h->item[h->first[field]].value;
}

/* Whether one of these fields has several lines. fields: a set of HTTP1_BIT. */
static inline bool http1_repeats(const struct http1_headers *h, uint32_t fields)
{
    return (h->repeated & fields) != 0;
}

/* The value of the first line with this name (ASCII case ignored), whatever it is; p == NULL when
 * there is none. */
struct slice http1_header(const struct http1_headers *h, const char *name);

/* How many lines have this name: > 1 is a duplicate of a field that must be single. */
unsigned http1_header_count(const struct http1_headers *h, const char *name);

/* Whether any line of this name lists the token (comma-separated, ASCII case ignored). */
bool http1_header_has_token(const struct http1_headers *h, const char *name, const char *token);

/* Splits a comma-separated value: *rest starts as the value; empty elements are skipped; elements
 * are trimmed. Commas inside quoted strings do not split. false at the end. */
bool http1_list_next(struct slice *rest, struct slice *ret_item);

/* The value up to the first ";", trimmed: the media type of a Content-Type or Accept element. */
struct slice http1_media_type(struct slice value);

/* The raw value of the first name=value pair of that name in a query string, not percent-decoded;
 * p == NULL when there is none. */
struct slice http1_query_get(struct slice query, const char *name);

/* ---- bodies ---- */

/* Bounds on what a chunked body may carry besides data. */
#define HTTP1_CHUNK_EXT_MAX       1024  /* extension bytes of one chunk */
#define HTTP1_CHUNK_EXT_TOTAL_MAX 16384 /* extension bytes of one body */
#define HTTP1_TRAILER_MAX         8192  /* bytes of the trailer section */

/* Decoder of one body; embedded in its owner, nothing to free. */
struct http1_body {
    enum http1_framing framing;
    bool done;          /* the body is complete; input after it belongs to the next message */
    uint8_t state;      /* private, like the next five */
    uint8_t digits;     /* hex digits of the chunk size so far */
    int8_t error;       /* what went wrong, for further calls */
    uint16_t ext;       /* extension bytes of this chunk */
    uint16_t trailer;   /* trailer bytes so far */
    uint32_t ext_total; /* extension bytes of the body */
    uint64_t left;      /* LENGTH: body bytes to come; CHUNKED: bytes of this chunk to come */
    uint64_t total;     /* body bytes delivered so far */
};

/* NONE and LENGTH 0 are done at once. content_length counts for LENGTH only. */
void http1_body_init(struct http1_body *b, enum http1_framing framing, uint64_t content_length);

/* Takes input up to and including the next run of body bytes. *ret_consumed: bytes of `in` used up;
 * *ret_run: body bytes, a slice of `in` (n == 0: none this time). Call again with the rest until
 * the input is used up or b->done; it never asks to see bytes twice and never consumes beyond the
 * end of the body. HTTP1_OK or an error, after which the connection is beyond repair. The size of
 * the whole body is for the owner to limit: content_length beforehand, b->total meanwhile, and
 * b->left in a chunk that has begun. */
enum http1_error http1_body_feed(struct http1_body *b, struct slice in, size_t *ret_consumed,
                                 struct slice *ret_run);

/* The connection ended. HTTP1_OK when the body is complete thereby, else HTTP1_E_TRUNCATED. */
enum http1_error http1_body_eof(struct http1_body *b);

/* ---- writing ---- */

enum http1_connection {
    HTTP1_CONN_DEFAULT,    /* no Connection field: 1.1 stays open */
    HTTP1_CONN_CLOSE,      /* Connection: close */
    HTTP1_CONN_KEEP_ALIVE, /* Connection: keep-alive, for HTTP/1.0 peers that asked for it */
};

/* The standard reason phrase; "" for codes without one. */
const char *http1_reason(unsigned status);

/* Appends a status line HTTP/1.1, Content-Length or Transfer-Encoding or neither by `framing`,
 * Connection, the given fields and the empty line. HTTP1_E_WRITE and nothing appended when: status
 * outside 100..599, a field name is no token, a value holds CR, LF, NUL or another control byte but
 * tab, a field is Content-Length, Transfer-Encoding or Connection, LENGTH or CHUNKED with 1xx or
 * 204, or CHUNKED or LENGTH > 0 with 304. With HTTP1_BODY_CLOSE, conn must be HTTP1_CONN_CLOSE.
 * Date is for the caller to add (no clock here). */
enum http1_error http1_write_response_head(struct buf *out, unsigned status,
                                           const struct http1_header *headers, size_t count,
                                           enum http1_framing framing, uint64_t content_length,
                                           enum http1_connection conn);

/* The head that nearly every answer has, byte for byte as http1_write_response_head makes it of
 * 200, Content-Type: application/json, HTTP1_BODY_LENGTH and HTTP1_CONN_DEFAULT; for who has room
 * for all of a response and wants to put it down in one go. length: of the body, in decimal. */
#define HTTP1_JSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "

static inline size_t http1_json_head_len(struct slice length)
{
    return sizeof(HTTP1_JSON_HEAD) - 1 + length.n + 4;
}

/* Returns what is behind the head. */
static inline char *http1_put_json_head(char *at, struct slice length)
{
    at = slice_put(at, SLICE(HTTP1_JSON_HEAD));
    memcpy(at, length.p, length.n); /* never empty */
    return slice_put(at + length.n, SLICE("\r\n\r\n"));
}

/* "HTTP/1.1 100 Continue" and the empty line. */
void http1_write_continue(struct buf *out);

/* Appends a request line HTTP/1.1, Host, framing fields, Connection, the given fields and the empty
 * line. Refuses as above; also Host among the fields, a method that is no token, a target that is
 * not origin-form with legal bytes, a malformed host, HTTP1_BODY_CLOSE. */
enum http1_error http1_write_request_head(struct buf *out, struct slice method, struct slice target,
                                          struct slice host, const struct http1_header *headers,
                                          size_t count, enum http1_framing framing,
                                          uint64_t content_length, enum http1_connection conn);

/* One chunk around n > 0 bytes that are sent by themselves (by reference): begin, the bytes, end.
 */
void http1_chunk_begin(struct buf *out, size_t n);
void http1_chunk_end(struct buf *out);

/* A whole chunk, copied; nothing for an empty slice (an empty chunk would end the body). */
void http1_chunk_append(struct buf *out, struct slice data);

/* The last chunk with an empty trailer section: the end of the body. */
void http1_chunk_last(struct buf *out);

#endif
