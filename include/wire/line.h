/* Newline framing: one message per LF-terminated line (stdio servers, unix sockets). Pure; works on
 * a contiguous input buffer of its owner and remembers how far it looked, so that a long line
 * arriving in many reads costs linear time.
 *
 * CRLF counts as LF; blank lines are skipped; a UTF-8 byte order mark at the beginning of a line is
 * stripped. The loop of an owner:
 *     while (line_next(&r, stream_input(s), &used, &piece)) {
 *         ... piece.bytes, borrowed from the input ...
 *         stream_consume(s, used);
 *     }
 *     stream_consume(s, used);
 *
 * Three sizes of line:
 *   up to large_bytes (or complete in the input when first seen): one piece, first and last at
 * once; more than large_bytes and not complete: pieces as they come, the first marked `first`, the
 * final one `last` (it may be empty); the owner spools them; more than max_bytes: pieces likewise,
 * marked `oversize` from the one on that crosses the limit to the last. The owner throws the line
 * away, may look for the id in its bytes, and answers at `last`. So the owner's input buffer must
 * be able to hold large_bytes plus 2. */
#ifndef WIRE_LINE_H
#define WIRE_LINE_H

#include "base/slice.h"

#include <stdint.h>

#define LINE_LARGE_MIN 128

struct line_reader {
    size_t large_bytes; /* an incomplete line with more buffered bytes is given out piecewise */
    size_t max_bytes;   /* longest acceptable line, without its end */
    size_t seen;        /* bytes of the input known to hold no LF */
    uint64_t line_len;  /* bytes of this line given out in pieces so far */
    bool in_line;       /* a `first` piece went out and its `last` did not */
    bool oversize;      /* this line is over the limit */
};

struct line_piece {
    struct slice bytes; /* without line end; borrowed from the input */
    bool first;         /* begins a line */
    bool last;          /* ends it: the LF has been seen */
    bool oversize;      /* the line is longer than max_bytes */
};

/* large_bytes below LINE_LARGE_MIN is raised to it; large_bytes >= max_bytes: no large mode, a line
 * above max_bytes goes straight to oversize. */
void line_reader_init(struct line_reader *r, size_t large_bytes, size_t max_bytes);

/* Other limits from the next line on, and for the rest of the present one. */
void line_reader_limit(struct line_reader *r, size_t large_bytes, size_t max_bytes);

/* Looks at the unconsumed input. true: *ret_piece is filled. In both cases the owner consumes
 * *ret_consumed bytes before the next call (blank lines may be consumed without a piece). */
bool line_next(struct line_reader *r, struct slice in, size_t *ret_consumed,
               struct line_piece *ret_piece);

/* Whether the stream stands inside a line: pieces went out without their last, or `in`, the
 * unconsumed input after line_next returned false, holds the beginning of one. At EOF: the peer
 * died mid-message. */
bool line_unfinished(const struct line_reader *r, struct slice in);

#endif
