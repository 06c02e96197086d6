/* Message heads, request and response.
 *
 * One pass over the lines. Each line is found with memchr from where the last search stopped,
 * checked and sliced as soon as its LF is there, and never looked at again while the head is
 * incomplete. Only what needs the whole head (framing, Host, Connection, Expect) waits for the
 * empty line. The slices of a head that came in several calls would point into a buffer that may
 * have moved in between, so such a head is sliced once more when it is complete: at most twice the
 * work, whatever the sizes of the pieces.
 *
 * Header lines that are as they should be, which are nearly all there ever are, are taken by a loop
 * of their own (plain_headers). Whatever it stops at is left to the loop that judges.
 *
 * Invariant: the result for some input is the result for its shortest prefix that has one. So every
 * check depends on bytes in their order only, not on how many of them are there: limits are tested
 * before the content of a line, and the input is cut at the head limit before anything looks at it.
 */
#include "wire/http1_lines.h"
#include "wire/http1_run.h"

#include <assert.h>

#define METHOD_BYTES_MAX 32

/* One parse: what the line functions fill. Either request or response is set. */
struct head {
    const struct http1_limits *limits;
    struct slice in; /* cut to max_head_bytes */
    bool cut;        /* there was more input than that */
    struct http1_request *request;
    struct http1_response *response;
    struct http1_headers *headers;
};

void http1_scan_init(struct http1_scan *scan)
{
    *scan = (struct http1_scan)HTTP1_SCAN_INIT;
}

/* ---- start lines ---- */

/* The first bytes of a request line, before its end is there: garbage must not get to wait. */
static enum http1_error check_request_prefix(struct slice s, size_t max_line)
{
    size_t n = s.n > max_line ? max_line + 1 : s.n;

    if (n >= 5 && memcmp(s.p, "POST ", 5) == 0) /* nearly all of them */
        return HTTP1_OK;
    for (size_t i = 0; i < n; i++) {
        char c = s.p[i];

        if (c == ' ')
            return i > 0 ? HTTP1_OK : HTTP1_E_START_LINE;
        if (c == '\r')
            return HTTP1_E_START_LINE;
        if (c == '\n')
            return HTTP1_E_LINE_END;
        if (i == 0 && c == 0x16) /* the record type of a TLS handshake */
            return HTTP1_E_TLS;
        if (!http1_is(c, HTTP1_C_TOKEN) || i == METHOD_BYTES_MAX)
            return HTTP1_E_METHOD;
    }
    return HTTP1_OK;
}

static enum http1_error check_response_prefix(struct slice s)
{
    size_t n = s.n < 5 ? s.n : 5;

    return memcmp(s.p, "HTTP/", n) == 0 ? HTTP1_OK : HTTP1_E_START_LINE;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static enum http1_error parse_version(struct slice s, unsigned *ret_minor)
{
    if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || s.p[5] < '0' || s.p[5] > '9' || s.p[6] != '.' ||
        s.p[7] < '0' || s.p[7] > '9')
        return HTTP1_E_START_LINE;
    if (s.p[5] != '1' || s.p[7] > '1')
        return HTTP1_E_VERSION;
    *ret_minor = (unsigned)(s.p[7] - '0');
    return HTTP1_OK;
}

static enum http1_method parse_method(struct slice s)
{
    static const struct slice names[] = {
        [HTTP1_GET] = SLICE_INIT("GET"),       [HTTP1_POST] = SLICE_INIT("POST"),
        [HTTP1_DELETE] = SLICE_INIT("DELETE"), [HTTP1_HEAD] = SLICE_INIT("HEAD"),
        [HTTP1_PUT] = SLICE_INIT("PUT"),       [HTTP1_OPTIONS] = SLICE_INIT("OPTIONS"),
        [HTTP1_PATCH] = SLICE_INIT("PATCH"),   [HTTP1_TRACE] = SLICE_INIT("TRACE"),
    };

    for (unsigned m = HTTP1_GET; m < HTTP1_OTHER_METHOD; m++)
        if (slice_eq(s, names[m]))
            return (enum http1_method)m;
    return HTTP1_OTHER_METHOD;
}

/* Why a target that is not origin-form is refused. */
static enum http1_error target_error(struct slice t)
{
    if (t.p[0] == '/')
        return HTTP1_E_TARGET;
    if (slice_is(t, "*"))
        return HTTP1_E_TARGET_ASTERISK;
    if (memmem(t.p, t.n, "://", 3))
        return HTTP1_E_TARGET_ABSOLUTE;
    return http1_is_host(t) ? HTTP1_E_TARGET_AUTHORITY : HTTP1_E_TARGET;
}

/* plain: the line is known to hold no control byte but tab. */
static enum http1_error parse_request_line(struct slice line, bool plain, struct http1_request *r)
{
    const char *end = line.p + line.n, *sp = memchr(line.p, ' ', line.n), *sp2, *q;
    enum http1_error err;

    if (slice_is(line, "PRI * HTTP/2.0"))
        return HTTP1_E_HTTP2;
    if (!plain && (err = http1_check_text(line)) != HTTP1_OK)
        return err;
    if (!sp || !(sp2 = memchr(sp + 1, ' ', (size_t)(end - sp - 1))) || sp2 == sp + 1)
        return HTTP1_E_START_LINE;
    if ((err = parse_version(slice_of(sp2 + 1, (size_t)(end - sp2 - 1)), &r->minor)) != HTTP1_OK)
        return err;
    r->method_text = slice_of(line.p, (size_t)(sp - line.p));
    if (slice_is(r->method_text, "CONNECT"))
        return HTTP1_E_CONNECT;
    r->method = parse_method(r->method_text);
    r->target = slice_of(sp + 1, (size_t)(sp2 - sp - 1));
    if (!http1_is_origin_form(r->target))
        return target_error(r->target);
    q = memchr(r->target.p, '?', r->target.n);
    r->path = q ? slice_of(r->target.p, (size_t)(q - r->target.p)) : r->target;
    r->query = q ? slice_of(q + 1, (size_t)(sp2 - q - 1)) : (struct slice){0};
    return HTTP1_OK;
}

static enum http1_error parse_status_line(struct slice line, struct http1_response *r)
{
    struct slice rest;
    enum http1_error err;

    if (line.n < 9 || line.p[8] != ' ')
        return HTTP1_E_START_LINE;
    if ((err = parse_version(slice_of(line.p, 8), &r->minor)) != HTTP1_OK)
        return err;
    rest = slice_of(line.p + 9, line.n - 9);
    r->status = 0;
    for (size_t i = 0; i < 3; i++) {
        if (i >= rest.n || rest.p[i] < '0' || rest.p[i] > '9')
            return HTTP1_E_STATUS;
        r->status = r->status * 10 + (unsigned)(rest.p[i] - '0');
    }
    if (rest.n > 3 && rest.p[3] != ' ')
        return HTTP1_E_STATUS;
    /* 101 would turn the connection into something else, which nobody here ever asks for. */
    if (r->status < 100 || r->status > 599 || r->status == 101)
        return HTTP1_E_STATUS;
    r->reason = rest.n > 4 ? slice_of(rest.p + 4, rest.n - 4) : (struct slice){0};
    r->informational = r->status < 200;
    return http1_check_text(r->reason);
}

/* ---- header lines ---- */

static enum http1_error name_error(char c)
{
    enum http1_error err = http1_check_text(slice_of(&c, 1));

    return err != HTTP1_OK ? err : HTTP1_E_HEADER_NAME;
}

static enum http1_error parse_header(const struct head *h, struct slice line, unsigned index)
{
    struct slice value;
    enum http1_error err;
    size_t n;

    if (line.p[0] == ' ' || line.p[0] == '\t')
        return HTTP1_E_OBS_FOLD;
    n = http1_token_run(line, h->in.p + h->in.n);
    if (n == line.n)
        return HTTP1_E_HEADER_NAME;
    if (n == 0 || line.p[n] != ':')
        return name_error(line.p[n]);
    value = slice_trim(slice_of(line.p + n + 1, line.n - n - 1));
    if ((err = http1_check_text(value)) != HTTP1_OK)
        return err;
    http1_headers_set(h->headers, index, slice_of(line.p, n), value);
    return HTTP1_OK;
}

/* ---- what needs the whole head ---- */

/* What the Connection lines say. */
struct persistence {
    bool close, keep_alive;
};

static struct persistence persistence_of(const struct http1_headers *h)
{
    struct persistence p = {0};

    for (unsigned i = 0; (i = http1_next(h, HTTP1_F_CONNECTION, i)) < h->count; i++) {
        struct slice rest = h->item[i].value, item;

        while (http1_list_next(&rest, &item)) {
            p.close |= slice_is_nocase(item, "close");
            p.keep_alive |= slice_is_nocase(item, "keep-alive");
        }
    }
    return p;
}

static bool stays_open(const struct http1_headers *h, unsigned minor)
{
    struct persistence p = persistence_of(h);

    return !p.close && (minor == 1 || p.keep_alive);
}

/* Whether the client waits for 100 Continue. *ret_other: it expects something else, too. */
static bool expects_continue(const struct http1_headers *h, bool *ret_other)
{
    bool found = false;

    *ret_other = false;
    for (unsigned i = 0; (i = http1_next(h, HTTP1_F_EXPECT, i)) < h->count; i++) {
        if (slice_is_nocase(h->item[i].value, "100-continue"))
            found = true;
        else
            *ret_other = true;
    }
    return found;
}

static enum http1_error parse_length(struct slice s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0)
        return HTTP1_E_LENGTH_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return HTTP1_E_LENGTH_SYNTAX;
        if (v > (INT64_MAX - (uint64_t)(s.p[i] - '0')) / 10)
            return HTTP1_E_LENGTH_SYNTAX;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *ret = v;
    return HTTP1_OK;
}

/* RFC 9112 section 6.3 with every case that it lets an implementation repair refused instead.
 * *ret_framing is HTTP1_BODY_NONE when no field says anything. */
static enum http1_error parse_framing(const struct http1_headers *h, unsigned minor,
                                      enum http1_framing *ret_framing, uint64_t *ret_length)
{
    struct slice coding = http1_value(h, HTTP1_F_TRANSFER_ENCODING);
    struct slice length = http1_value(h, HTTP1_F_CONTENT_LENGTH);

    *ret_framing = HTTP1_BODY_NONE;
    *ret_length = 0;
    if (coding.p) {
        if (length.p)
            return HTTP1_E_LENGTH_AND_CODING;
        if (minor == 0)
            return HTTP1_E_CODING_VERSION;
        if (http1_repeats(h, HTTP1_BIT(HTTP1_F_TRANSFER_ENCODING)) ||
            !slice_is_nocase(coding, "chunked"))
            return HTTP1_E_CODING;
        *ret_framing = HTTP1_BODY_CHUNKED;
        return HTTP1_OK;
    }
    if (!length.p)
        return HTTP1_OK;
    if (http1_repeats(h, HTTP1_BIT(HTTP1_F_CONTENT_LENGTH)))
        return HTTP1_E_LENGTH_DUPLICATE;
    *ret_framing = HTTP1_BODY_LENGTH;
    return parse_length(length, ret_length);
}

static enum http1_error finish_request(struct http1_request *r)
{
    const struct http1_headers *h = &r->headers;
    enum http1_error err;
    bool expects, expects_other;

    r->host = http1_value(h, HTTP1_F_HOST);
    if (http1_repeats(h, HTTP1_BIT(HTTP1_F_HOST)))
        return HTTP1_E_HOST_DUPLICATE;
    if (!r->host.p && r->minor == 1)
        return HTTP1_E_HOST_MISSING;
    if (!http1_is_host(r->host))
        return HTTP1_E_HOST_SYNTAX;
    if ((err = parse_framing(h, r->minor, &r->framing, &r->content_length)) != HTTP1_OK)
        return err;
    /* RFC 9110 section 10.1.1: an expectation in HTTP/1.0 is ignored. */
    expects = expects_continue(h, &expects_other);
    if (expects_other && r->minor == 1)
        return HTTP1_E_EXPECT;
    r->expect_continue = expects && r->minor == 1 &&
                         (r->framing == HTTP1_BODY_CHUNKED ||
                          (r->framing == HTTP1_BODY_LENGTH && r->content_length));
    r->keep_alive = stays_open(h, r->minor);
    return HTTP1_OK;
}

static enum http1_error finish_response(struct http1_response *r, bool head_request)
{
    enum http1_error err = parse_framing(&r->headers, r->minor, &r->framing, &r->content_length);
    bool never_body = r->status < 200 || r->status == 204;

    if (err != HTTP1_OK)
        return err;
    r->keep_alive = stays_open(&r->headers, r->minor);
    if (never_body || r->status == 304 || head_request) {
        /* 304 and answers to HEAD may describe the body that is not there; 1xx and 204 may not, and
         * a peer that does so anyway may well send it: what follows is not to be read as a
         * response. */
        if (never_body && (r->framing == HTTP1_BODY_CHUNKED || r->content_length > 0))
            r->keep_alive = false;
        r->framing = HTTP1_BODY_NONE;
        r->content_length = 0;
    } else if (r->framing == HTTP1_BODY_NONE) {
        r->framing = HTTP1_BODY_CLOSE;
        r->keep_alive = false;
    }
    return HTTP1_OK;
}

/* ---- the pass ---- */

static unsigned headers_max(const struct head *h)
{
    unsigned max = h->limits->max_headers;

    return max < HTTP1_HEADERS_MAX ? max : HTTP1_HEADERS_MAX;
}

static enum http1_error line_limit_error(const struct head *h, const struct http1_scan *scan)
{
    return scan->lines == 0 && h->request ? HTTP1_E_TARGET_TOO_LONG : HTTP1_E_LINE_TOO_LONG;
}

/* No LF up to the end of the input: more is needed, unless a limit already says no. */
static ssize_t incomplete(const struct head *h, struct http1_scan *scan)
{
    size_t n = h->in.n - scan->line_at;

    scan->seen = h->in.n;
    if (n > 0 && h->in.p[h->in.n - 1] == '\r') /* perhaps the first half of the line end */
        n--;
    if (n > h->limits->max_line_bytes)
        return line_limit_error(h, scan);
    if (h->cut)
        return scan->lines == 0 && h->request ? HTTP1_E_TARGET_TOO_LONG : HTTP1_E_HEAD_TOO_LARGE;
    return 0;
}

/* The next line without its CRLF: 1, 0 when it is not complete, or an error. Moves past it. */
static ssize_t take_line(const struct head *h, struct http1_scan *scan, struct slice *ret_line)
{
    const char *start = h->in.p + scan->line_at, *lf;
    size_t from = scan->seen > scan->line_at ? scan->seen : scan->line_at;
    bool has_cr;

    lf = from < h->in.n ? memchr(h->in.p + from, '\n', h->in.n - from) : NULL;
    if (!lf)
        return incomplete(h, scan);
    has_cr = lf > start && lf[-1] == '\r';
    *ret_line = slice_of(start, (size_t)(lf - start) - has_cr);
    if (ret_line->n > h->limits->max_line_bytes)
        return line_limit_error(h, scan);
    if (!has_cr)
        return HTTP1_E_LINE_END;
    scan->line_at = (size_t)(lf - h->in.p) + 1;
    return 1;
}

/* The end of the line at p if it is whole, not longer than that, and holds no control byte but tab;
 * else NULL. Its CRLF stands there. */
static inline const char *plain_end(const char *p, const char *end, size_t max)
{
    const char *stop = http1_plain_run(p, end);

    if (end - stop < 2 || memcmp(stop, "\r\n", 2) != 0 || (size_t)(stop - p) > max)
        return NULL;
    return stop;
}

/* Takes header lines as long as they are of that kind and have no other fault. */
static void plain_headers(const struct head *h, struct http1_scan *scan)
{
    const char *p = h->in.p + scan->line_at, *end = h->in.p + h->in.n, *stop, *value;
    struct http1_headers *headers = h->headers;
    size_t max_line = h->limits->max_line_bytes, n;
    unsigned lines = scan->lines, max = headers_max(h);

    if (scan->seen > scan->line_at) /* the parts of a line are not looked at over and over again */
        return;
    for (; lines <= max && (stop = plain_end(p, end, max_line)); lines++) {
        n = http1_token_run(slice_of(p, (size_t)(stop - p)), end);
        if (n == 0 || p[n] != ':') /* a CR at the latest */
            break;
        value = p + n + 1;
        if (*value == ' ') /* nearly always, and no other blank */
            value++;
        http1_headers_set(headers, lines - 1, slice_of(p, n),
                          slice_trim(slice_of(value, (size_t)(stop - value))));
        p = stop + 2;
    }
    scan->lines = lines;
    scan->line_at = (size_t)(p - h->in.p);
}

/* The first line of a request, if it is a plain one: 1, 0 when it is not, or an error. */
static ssize_t plain_request_line(const struct head *h, struct http1_scan *scan)
{
    const char *p = h->in.p + scan->line_at, *stop;
    enum http1_error err;

    if (scan->lines > 0 || scan->seen > scan->line_at || !h->request ||
        !(stop = plain_end(p, h->in.p + h->in.n, h->limits->max_line_bytes)) || stop == p)
        return 0;
    err = parse_request_line(slice_of(p, (size_t)(stop - p)), true, h->request);
    if (err != HTTP1_OK)
        return err;
    scan->lines = 1;
    scan->line_at = (size_t)(stop - h->in.p) + 2;
    return 1;
}

/* Skips one empty line before a request (RFC 9112 section 2.2) and looks at the first bytes.
 * 1: go on; 0: too few bytes; or an error. */
static ssize_t begin(const struct head *h, struct http1_scan *scan)
{
    const char *p = h->in.p;

    if (h->in.n == 0)
        return incomplete(h, scan);
    if (h->response)
        return check_response_prefix(h->in) == HTTP1_OK ? 1 : HTTP1_E_START_LINE;
    if (scan->line_at == 0 && p[0] == '\r') {
        if (h->in.n == 1)
            return incomplete(h, scan);
        if (p[1] != '\n')
            return HTTP1_E_LINE_END;
        scan->line_at = 2;
    }
    if (scan->line_at < h->in.n) {
        enum http1_error err = check_request_prefix(
            slice_of(p + scan->line_at, h->in.n - scan->line_at), h->limits->max_line_bytes);

        if (err != HTTP1_OK)
            return err;
    }
    return 1;
}

/* A complete line that is not the empty one at the end. */
static enum http1_error on_line(const struct head *h, unsigned index, struct slice line)
{
    if (index == 0)
        return h->request ? parse_request_line(line, false, h->request)
                          : parse_status_line(line, h->response);
    if (index > headers_max(h))
        return HTTP1_E_TOO_MANY_HEADERS;
    return parse_header(h, line, index - 1);
}

/* Lines from where scan stands. > 0: length of the head, all lines from there on are sliced. */
static ssize_t pass(const struct head *h, struct http1_scan *scan)
{
    struct slice line = {0};
    ssize_t rc;

    if (scan->lines == 0 && (rc = begin(h, scan)) <= 0)
        return rc;
    http1_headers_init(h->headers);
    if ((rc = plain_request_line(h, scan)) < 0)
        return rc;
    if (rc > 0)
        plain_headers(h, scan);
    while ((rc = take_line(h, scan, &line)) > 0) {
        if (line.n == 0 && scan->lines > 0) {
            h->headers->count = scan->lines - 1;
            return (ssize_t)scan->line_at;
        }
        if ((rc = on_line(h, scan->lines, line)) < 0)
            return rc;
        scan->lines++;
        plain_headers(h, scan);
    }
    return rc;
}

static ssize_t parse(struct head *h, struct http1_scan *scan, struct slice in)
{
    bool resumed = scan->lines > 0;
    struct http1_scan again = HTTP1_SCAN_INIT;
    ssize_t n;

    h->cut = in.n > h->limits->max_head_bytes;
    h->in = slice_of(in.p, h->cut ? h->limits->max_head_bytes : in.n);
    /* A scan that is ahead of the input was not reset for a new head: a bug of the caller. */
    assert(scan->line_at <= h->in.n && scan->seen <= h->in.n);
    n = pass(h, scan);
    if (n > 0 && resumed) {
        ssize_t same = pass(h, &again);

        assert(same == n);
    }
    return n;
}

ssize_t http1_parse_request(struct http1_scan *scan, struct slice in,
                            const struct http1_limits *limits, struct http1_request *ret)
{
    struct head h = {.limits = limits, .request = ret, .headers = &ret->headers};
    ssize_t n = parse(&h, scan, in);
    enum http1_error err;

    if (n > 0 && (err = finish_request(ret)) != HTTP1_OK)
        return err;
    return n;
}

ssize_t http1_parse_response(struct http1_scan *scan, struct slice in,
                             const struct http1_limits *limits, bool head_request,
                             struct http1_response *ret)
{
    struct head h = {.limits = limits, .response = ret, .headers = &ret->headers};
    ssize_t n = parse(&h, scan, in);
    enum http1_error err;

    if (n > 0 && (err = finish_response(ret, head_request)) != HTTP1_OK)
        return err;
    return n;
}
