/* Server-sent events (WHATWG HTML, section 9.2), reading and writing. Pure; memory bounded by
 * limits.
 *
 * Reader: feed it the body bytes as they come; it returns one event at a time:
 *     while (in.n > 0 && (rc = sse_reader_feed(&r, in, &used, &ev)) >= 0) {
 *         in = slice_of(in.p + used, in.n - used);
 *         if (rc == SSE_EVENT)
 *             ... ev, valid until the next call on r and as long as the fed bytes live ...
 *     }
 * Lines end with LF, CR or CRLF, cut anywhere. The data of an event is one slice: into the fed
 * piece when the event lies in it with a single data line, else into the reader's buffer (copied
 * once). An event that the stream's end cuts off is forgotten, as the standard says. */
#ifndef WIRE_SSE_H
#define WIRE_SSE_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdint.h>

struct sse_limits {
    size_t max_line_bytes; /* one line without its end, comments included */
    size_t
        max_event_bytes; /* data (with the joining LFs), event name and id of one event together */
    uint64_t max_retry_ms; /* `retry` is cut to this */
};

/* What stands between two empty lines, when there is data, a valid id or a valid retry (a block
 * without any of them is skipped). Several id, retry or event lines in one block: the last counts.
 */
struct sse_event {
    struct slice event; /* name; empty = absent, which means "message" */
    struct slice data;  /* lines joined by LF; check has_data */
    struct slice id;    /* check has_id; an empty id resets the last event id */
    bool has_data;      /* false: nothing to dispatch, only id and retry count */
    bool has_id;        /* an id field without NUL was there */
    bool has_retry;
    uint64_t retry_ms;
};

enum sse_status {
    SSE_MORE = 0,     /* all input consumed, no event complete */
    SSE_EVENT = 1,    /* *ret_event is filled; there may be input left */
    SSE_E_LINE = -1,  /* a line exceeds max_line_bytes */
    SSE_E_EVENT = -2, /* an event exceeds max_event_bytes */
};

/* A sentence for humans; static. */
const char *sse_status_text(enum sse_status status);

/* All members are private. Zero bytes of heap while no event is under way. */
struct sse_reader {
    struct sse_limits limits;
    struct sse_event ev;  /* the event being collected; slices are set when it is complete */
    struct slice ref;     /* its data while they are one line in the piece being fed */
    struct buf data;      /* its data otherwise */
    struct buf event, id; /* its other texts */
    struct buf value;     /* event or id line being read */
    uint64_t retry;       /* retry line being read */
    size_t line_len;      /* bytes of the current line so far */
    uint8_t state;        /* where in the line */
    uint8_t field;        /* which field the line is */
    uint8_t bom;          /* bytes of the byte order mark matched so far */
    uint8_t name_len;     /* bytes in name */
    char name[6];         /* field name; full = none that is known */
    bool by_ref;          /* ref holds the data */
    bool bad_value;       /* the id has a NUL, or retry something else than digits */
    bool retry_seen;      /* the retry line has a value */
    bool skip_lf;         /* the last byte was a CR: an LF now belongs to it */
    bool delivered;       /* the texts belong to an event that was returned */
};

void sse_reader_init(struct sse_reader *r, const struct sse_limits *limits);

/* Frees the buffers. */
void sse_reader_done(struct sse_reader *r);

/* Reads on. *ret_consumed: bytes of `in` used up (all of them for SSE_MORE). After an error the
 * reader must not be fed again. */
enum sse_status sse_reader_feed(struct sse_reader *r, struct slice in, size_t *ret_consumed,
                                struct sse_event *ret_event);

/* ---- writing: every function appends to out ---- */

/* Whether bytes may stand in one data line: no CR and no LF. */
bool sse_is_one_line(struct slice data);

/* The beginning of an event up to and including "data: ". event: its name, NULL = "message" (always
 * written out: some clients want it); id.n == 0: no id line. Then send the data, which must satisfy
 * sse_is_one_line (JSON without raw newlines does), then sse_event_end.
 * false and nothing appended when event or id hold CR, LF or NUL. */
bool sse_event_begin(struct buf *out, const char *event, struct slice id);
void sse_event_end(struct buf *out);

/* A whole event, copied. Data of several lines become several data lines, so nothing in it can
 * begin another field. A CR or CRLF in it arrives as LF. false as above. */
bool sse_write_event(struct buf *out, const char *event, struct slice id, struct slice data);

/* An event with an id and empty data, which gives the client a point to resume from (MCP
 * 2025-11-25); retry_ms > 0 adds a retry line. No event name. false as above or when the id is
 * empty. */
bool sse_write_priming(struct buf *out, struct slice id, uint64_t retry_ms);

/* A retry line with the empty line after it. */
void sse_write_retry(struct buf *out, uint64_t retry_ms);

/* A comment line and an empty line: the keep-alive. text: no CR, LF or NUL. */
void sse_write_comment(struct buf *out, const char *text);

#endif
