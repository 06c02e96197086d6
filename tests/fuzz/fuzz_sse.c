/* Fuzz target: an event stream. The first byte chooses the cuts and the limits.
 *
 * Held: pieces give the events that one go gives; limits are kept; every event, written out and
 * read again, is the same event (its data with LF for line ends), and only that one; and the same
 * bytes taken as the data of an event come back as one event however hostile they are. */
#include "wire/sse.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sse_limits wide = {
    .max_line_bytes = 1 << 24, .max_event_bytes = 1 << 24, .max_retry_ms = UINT64_MAX};

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void dump_slice(struct buf *out, struct slice s)
{
    buf_appendf(out, "[%zu]", s.n);
    buf_append_slice(out, s);
}

static void dump_event(struct buf *out, const struct sse_event *ev)
{
    buf_appendf(out, "%d%d%d %llu ", ev->has_data, ev->has_id, ev->has_retry,
                (unsigned long long)ev->retry_ms);
    dump_slice(out, ev->event);
    dump_slice(out, ev->id);
    dump_slice(out, ev->data);
}

/* An event with data goes out through the writer and must come back alone and unchanged. */
static void check_rewrite(const struct sse_event *ev)
{
    struct buf wire = BUF_INIT;
    struct sse_reader r;
    struct sse_event again;
    struct slice in;
    size_t used;
    char *name = xstrndup(ev->event.p ? ev->event.p : "", ev->event.n);

    /* Event names with NUL are read but not written. */
    if (ev->has_data && strlen(name) == ev->event.n) {
        require(sse_write_event(&wire, ev->event.n ? name : NULL, ev->id, ev->data), "not written");
        in = buf_peek(&wire);
        sse_reader_init(&r, &wide);
        require(sse_reader_feed(&r, in, &used, &again) == SSE_EVENT && used == in.n,
                "the written event is not one event");
        require(
            again.has_data && slice_eq(again.id, ev->id) &&
                (ev->event.n ? slice_eq(again.event, ev->event) : slice_is(again.event, "message")),
            "the written event is another one");
        require(slice_eq(again.data, ev->data), "the written event has other data");
        sse_reader_done(&r);
        buf_done(&wire);
    }
    free(name);
}

static void read_all(struct slice in, const struct sse_limits *limits, size_t step,
                     struct buf *dump)
{
    struct sse_reader r;
    enum sse_status rc = SSE_MORE;

    sse_reader_init(&r, limits);
    for (size_t at = 0; at < in.n && rc >= 0; at += step) {
        size_t n = in.n - at < step ? in.n - at : step;
        char *copy = xmalloc(n);
        struct slice piece = slice_of(copy, n);

        memcpy(copy, in.p + at, n);
        while (piece.n > 0) {
            struct sse_event ev;
            size_t used;

            rc = sse_reader_feed(&r, piece, &used, &ev);
            require(used <= piece.n, "consumed more than there was");
            if (rc < 0)
                break;
            require(rc == SSE_EVENT ? used > 0 : used == piece.n, "left input without an event");
            if (rc == SSE_EVENT) {
                require(ev.data.n + ev.event.n + ev.id.n <= limits->max_event_bytes, "event limit");
                require(ev.retry_ms <= limits->max_retry_ms, "retry limit");
                dump_event(dump, &ev);
                check_rewrite(&ev);
            }
            piece = slice_of(piece.p + used, piece.n - used);
        }
        free(copy);
        require(r.data.cap <= 4 * limits->max_event_bytes + 4096, "memory limit");
    }
    buf_appendf(dump, "end %d", rc < 0 ? (int)rc : 0);
    sse_reader_done(&r);
}

/* Any bytes as data: exactly one event comes back. */
static void check_injection(struct slice in)
{
    struct buf wire = BUF_INIT;
    struct sse_reader r;
    struct sse_event ev;
    size_t used;

    require(sse_write_event(&wire, "e", SLICE("7"), in), "not written");
    sse_reader_init(&r, &wide);
    require(sse_reader_feed(&r, buf_peek(&wire), &used, &ev) == SSE_EVENT &&
                used == buf_len(&wire) && slice_is(ev.event, "e") && slice_is(ev.id, "7") &&
                !ev.has_retry && ev.data.n <= in.n,
            "data became something else");
    require(!sse_is_one_line(in) || slice_eq(ev.data, in), "one line changed");
    sse_reader_done(&r);
    buf_done(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sse_limits limits_of[] = {
        {.max_line_bytes = 65536, .max_event_bytes = 65536, .max_retry_ms = 60000},
        {.max_line_bytes = 24, .max_event_bytes = 40, .max_retry_ms = 10},
    };
    struct buf whole = BUF_INIT, pieces = BUF_INIT;
    struct slice in;

    if (size == 0)
        return 0;
    in = slice_of((const char *)data + 1, size - 1);
    read_all(in, &limits_of[data[0] & 1], in.n + 1, &whole);
    read_all(in, &limits_of[data[0] & 1], (size_t)(data[0] >> 1) + 1, &pieces);
    require(slice_eq(buf_peek(&whole), buf_peek(&pieces)), "pieces give other events");
    check_injection(in);
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
