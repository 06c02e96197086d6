/* Fuzz target: response heads, informational ones before them, and their bodies to the end of the
 * input.
 *
 * The first byte chooses the cuts and whether the request was HEAD. Held: pieces give what one go
 * gives; no read out of bounds; a framing that RFC 9112 section 6.3 excludes never comes out; an
 * accepted head that the writer can say is read back with the same meaning. */
#include "unit/wire/http1_dump.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http1_limits limits = {16384, 8192, 64};

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

static ssize_t parse_head(struct slice in, bool head_request, size_t step, struct buf *dump)
{
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_response *res = xmalloc(sizeof(*res));
    size_t have = step < in.n ? step : in.n;
    ssize_t rc;

    for (;;) {
        char *copy = xmalloc(have + !have);

        if (have > 0)
            memcpy(copy, in.p, have);
        rc = http1_parse_response(&scan, slice_of(copy, have), &limits, head_request, res);
        require(rc <= (ssize_t)have, "consumed more than there was");
        if (rc > 0)
            dump_response(dump, res);
        free(copy);
        if (rc != 0 || have == in.n)
            break;
        have = in.n - have < step ? in.n : have + step;
    }
    free(res);
    return rc;
}

static void check_meaning(const struct http1_response *res, bool head_request)
{
    bool bodyless = head_request || res->status < 200 || res->status == 204 || res->status == 304;

    require(res->status >= 100 && res->status <= 599 && res->status != 101, "status out of range");
    require(res->informational == (res->status < 200), "informational");
    require(!bodyless || res->framing == HTTP1_BODY_NONE, "a body where there is none");
    require(bodyless || res->framing != HTTP1_BODY_NONE, "no body where there is one");
    require(res->framing != HTTP1_BODY_CLOSE || !res->keep_alive, "close-delimited and kept alive");
    require(http1_header_count(&res->headers, "content-length") <= 1, "two lengths");
}

static void check_rewrite(const struct http1_response *res, bool head_request)
{
    struct http1_header headers[HTTP1_HEADERS_MAX];
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_limits wide = {1 << 20, 1 << 20, HTTP1_HEADERS_MAX};
    struct http1_response *again = xmalloc(sizeof(*again));
    struct buf out = BUF_INIT;
    unsigned n = 0;

    for (unsigned i = 0; i < res->headers.count; i++) {
        struct slice name = res->headers.item[i].name;

        if (!slice_is_nocase(name, "connection") && !slice_is_nocase(name, "content-length") &&
            !slice_is_nocase(name, "transfer-encoding"))
            headers[n++] = res->headers.item[i];
    }
    require(http1_write_response_head(
                &out, res->status, headers, n, res->framing, res->content_length,
                res->keep_alive ? HTTP1_CONN_DEFAULT : HTTP1_CONN_CLOSE) == HTTP1_OK,
            "the writer refuses an accepted head");
    require(http1_parse_response(&scan, buf_peek(&out), &wide, head_request, again) ==
                (ssize_t)buf_len(&out),
            "the rewritten head is not accepted");
    require(again->status == res->status && again->framing == res->framing &&
                again->content_length == res->content_length &&
                again->keep_alive == res->keep_alive,
            "the rewritten head means something else");
    buf_done(&out);
    free(again);
}

static void read_body(const struct http1_response *res, struct slice in, size_t step,
                      struct buf *dump)
{
    struct http1_body body;
    enum http1_error err = HTTP1_OK;
    size_t at = 0, used;

    http1_body_init(&body, res->framing, res->content_length);
    while (err == HTTP1_OK && !body.done && at < in.n) {
        size_t n = in.n - at < step ? in.n - at : step;
        char *copy = xmalloc(n);
        struct slice run;

        memcpy(copy, in.p + at, n);
        err = http1_body_feed(&body, slice_of(copy, n), &used, &run);
        require(err != HTTP1_OK || (used > 0 && used <= n && run.n <= used),
                "consumed out of range");
        if (err == HTTP1_OK)
            buf_append_slice(dump, run);
        free(copy);
        at += used;
    }
    buf_appendf(dump, "|%d %d %d", (int)err, body.done, (int)http1_body_eof(&body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = BUF_INIT, pieces = BUF_INIT;
    struct http1_response *res;
    struct slice in;
    bool head_request, more = size > 0;
    size_t step;

    if (size == 0)
        return 0;
    head_request = data[0] & 1;
    step = (size_t)(data[0] >> 1) + 1;
    in = slice_of((const char *)data + 1, size - 1);
    res = xmalloc(sizeof(*res));
    while (more) {
        struct http1_scan scan = HTTP1_SCAN_INIT;
        ssize_t n = parse_head(in, head_request, in.n, &whole);

        require(parse_head(in, head_request, step, &pieces) == n && same(&whole, &pieces),
                "pieces give another head");
        if (n <= 0)
            break;
        require(http1_parse_response(&scan, in, &limits, head_request, res) == n,
                "not the same again");
        check_meaning(res, head_request);
        check_rewrite(res, head_request);
        in = slice_of(in.p + n, in.n - (size_t)n);
        more = res->informational;
        if (!more) {
            read_body(res, in, in.n + 1, &whole);
            read_body(res, in, step, &pieces);
            require(same(&whole, &pieces), "pieces give another body");
        }
    }
    buf_done(&whole);
    buf_done(&pieces);
    free(res);
    return 0;
}
