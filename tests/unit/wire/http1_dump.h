/* A parsed head as text, every member of it, so that two outcomes can be compared as bytes wherever
 * their slices point. Shared by the unit tests and the fuzz targets. */
#ifndef TESTS_UNIT_WIRE_HTTP1_DUMP_H
#define TESTS_UNIT_WIRE_HTTP1_DUMP_H

#include "wire/http1.h"

static inline void dump_slice(struct buf *out, const char *label, struct slice s)
{
    if (!s.p)
        buf_appendf(out, "%s: none\n", label);
    else
        buf_appendf(out, "%s[%zu]: ", label, s.n);
    if (s.p) {
        buf_append_slice(out, s);
        buf_append(out, "\n", 1);
    }
}

static inline void dump_headers(struct buf *out, const struct http1_headers *h)
{
    for (unsigned i = 0; i < h->count; i++) {
        dump_slice(out, "name", h->item[i].name);
        dump_slice(out, "value", h->item[i].value);
    }
}

static inline void dump_request(struct buf *out, const struct http1_request *r)
{
    buf_appendf(out, "method %d minor %u framing %d length %llu keep %d expect %d\n",
                (int)r->method, r->minor, (int)r->framing, (unsigned long long)r->content_length,
                r->keep_alive, r->expect_continue);
    dump_slice(out, "method", r->method_text);
    dump_slice(out, "target", r->target);
    dump_slice(out, "path", r->path);
    dump_slice(out, "query", r->query);
    dump_slice(out, "host", r->host);
    dump_headers(out, &r->headers);
}

static inline void dump_response(struct buf *out, const struct http1_response *r)
{
    buf_appendf(out, "status %u minor %u informational %d framing %d length %llu keep %d\n",
                r->status, r->minor, r->informational, (int)r->framing,
                (unsigned long long)r->content_length, r->keep_alive);
    dump_slice(out, "reason", r->reason);
    dump_headers(out, &r->headers);
}

#endif
