/* Fuzz target: a request head, then its body, then the next request, as a connection would.
 *
 * The first byte chooses how the rest is cut. Held: one go and pieces give the same outcome, errors
 * included; nothing is read out of bounds (every call sees an exact heap copy); an accepted head,
 * written out again from its parsed form, is accepted with the same meaning; known fields are found
 * where they stand; a body's bytes do not depend on the cuts. */
#include "unit/wire/http1_dump.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http1_limits limits_of[] = {
    {16384, 8192, 64}, {300, 80, 4}, {64, 40, 1000}, {100000, 100000, 200}};

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static bool same(const struct buf *a, const struct buf *b)
{
    size_t n = buf_len(a);

    return n == buf_len(b) &&
           (!a->data || !b->data || memcmp(a->data + a->head, b->data + b->head, n) == 0);
}

static ssize_t parse_head(struct slice in, const struct http1_limits *limits, size_t step,
                          struct buf *dump, struct http1_request *req)
{
    struct http1_scan scan = HTTP1_SCAN_INIT;
    size_t have = step < in.n ? step : in.n;
    ssize_t rc;

    for (;;) {
        char *copy = xmalloc(have + !have);

        if (have > 0)
            memcpy(copy, in.p, have);
        rc = http1_parse_request(&scan, slice_of(copy, have), limits, req);
        require(rc <= (ssize_t)have, "consumed more than there was");
        if (rc > 0)
            dump_request(dump, req);
        free(copy);
        if (rc != 0 || have == in.n)
            return rc;
        have = in.n - have < step ? in.n : have + step;
    }
}

/* The fields that were told apart are those that a search by name finds. */
static void check_fields(const struct http1_headers *h)
{
    for (unsigned i = 0; i < h->count; i++) {
        enum http1_field field = http1_field_of(h->item[i].name);

        require(h->field[i] == field && (h->seen & HTTP1_BIT(field)), "a field was not told apart");
        if (field == HTTP1_F_OTHER)
            continue;
        require(http1_next(h, field, i) == i, "a line of a field is not found");
        for (unsigned j = 0; j < i; j++)
            if (slice_eq(h->item[j].name, h->item[i].name))
                require(http1_repeats(h, HTTP1_BIT(field)) && h->first[field] <= j,
                        "a repeated field was not noticed");
    }
}

/* What the writer makes of the head must mean the same. */
static void check_rewrite(const struct http1_request *req)
{
    static const struct http1_limits wide = {1 << 20, 1 << 20, HTTP1_HEADERS_MAX};
    struct http1_header headers[HTTP1_HEADERS_MAX];
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request *again = xmalloc(sizeof(*again));
    struct buf out = BUF_INIT;
    unsigned n = 0;

    for (unsigned i = 0; i < req->headers.count; i++) {
        struct slice name = req->headers.item[i].name;

        if (slice_is_nocase(name, "host") || slice_is_nocase(name, "connection") ||
            slice_is_nocase(name, "content-length") || slice_is_nocase(name, "transfer-encoding") ||
            slice_is_nocase(name, "expect"))
            continue;
        headers[n++] = req->headers.item[i];
    }
    require(http1_write_request_head(&out, req->method_text, req->target, req->host, headers, n,
                                     req->framing, req->content_length,
                                     req->keep_alive ? HTTP1_CONN_DEFAULT : HTTP1_CONN_CLOSE) ==
                HTTP1_OK,
            "the writer refuses an accepted head");
    if (n + 4 <= HTTP1_HEADERS_MAX) {
        require(http1_parse_request(&scan, buf_peek(&out), &wide, again) == (ssize_t)buf_len(&out),
                "the rewritten head is not accepted");
        require(again->method == req->method && slice_eq(again->target, req->target) &&
                    slice_eq(again->host, req->host) && again->framing == req->framing &&
                    again->content_length == req->content_length &&
                    again->keep_alive == req->keep_alive,
                "the rewritten head means something else");
        for (unsigned i = 0; i < n; i++)
            require(slice_eq(again->headers.item[i + 1].name, headers[i].name) &&
                        slice_eq(again->headers.item[i + 1].value, headers[i].value),
                    "the rewritten head has other fields");
    }
    buf_done(&out);
    free(again);
}

/* Length of the body at the start of in; SIZE_MAX when it has no end there. */
static size_t read_body(const struct http1_request *req, struct slice in, size_t step,
                        struct buf *dump)
{
    struct http1_body body;
    size_t at = 0;

    http1_body_init(&body, req->framing, req->content_length);
    while (!body.done && at < in.n) {
        size_t n = in.n - at < step ? in.n - at : step, used;
        char *copy = xmalloc(n);
        struct slice run;
        enum http1_error err;

        memcpy(copy, in.p + at, n);
        err = http1_body_feed(&body, slice_of(copy, n), &used, &run);
        if (err == HTTP1_OK) {
            require(used > 0 && used <= n && run.n <= used, "body consumed out of range");
            buf_append_slice(dump, run);
        }
        free(copy);
        if (err != HTTP1_OK) {
            buf_appendf(dump, "error %d", (int)err);
            return SIZE_MAX;
        }
        at += used;
    }
    return body.done ? at : SIZE_MAX;
}

/* One message off the front; 0 when there is no further. */
static size_t one_message(struct slice in, const struct http1_limits *limits, size_t step)
{
    struct http1_request *req = xmalloc(sizeof(*req));
    struct buf whole = BUF_INIT, pieces = BUF_INIT;
    ssize_t n = parse_head(in, limits, in.n, &whole, req);
    size_t body = 0;

    require(parse_head(in, limits, step, &pieces, req) == n && same(&whole, &pieces),
            "pieces give another head");
    if (n > 0) {
        struct http1_scan scan = HTTP1_SCAN_INIT;
        struct slice rest = slice_of(in.p + n, in.n - (size_t)n);

        require(http1_parse_request(&scan, in, limits, req) == n, "not the same again");
        check_fields(&req->headers);
        check_rewrite(req);
        buf_reset(&whole);
        buf_reset(&pieces);
        body = read_body(req, rest, rest.n + 1, &whole);
        require(read_body(req, rest, step, &pieces) == body && same(&whole, &pieces),
                "pieces give another body");
    }
    buf_done(&whole);
    buf_done(&pieces);
    free(req);
    return n > 0 && body != SIZE_MAX ? (size_t)n + body : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    const struct http1_limits *limits;
    size_t step, n;

    if (size == 0)
        return 0;
    limits = &limits_of[data[0] & 3];
    step = (size_t)(data[0] >> 2) + 1;
    in = slice_of(in.p + 1, in.n - 1);
    while (in.n > 0 && (n = one_message(in, limits, step)) > 0)
        in = slice_of(in.p + n, in.n - n);
    return 0;
}
