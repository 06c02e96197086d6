/* Newline framing. The reader owns no memory: lines are slices of the owner's buffer. `seen` is
 * relative to the first byte that the owner will still have at the next call, i.e. after it
 * consumed what it was told.
 *
 * A CR at the very end of the input is never given out: it may be half of a CRLF. So in a long line
 * the final LF always finds its CR in the same input, and no piece ever ends with the CR of a line
 * end. */
#include "wire/line.h"

#define BLANK_MAX 64

void line_reader_init(struct line_reader *r, size_t large_bytes, size_t max_bytes)
{
    *r = (struct line_reader){0};
    line_reader_limit(r, large_bytes, max_bytes);
}

void line_reader_limit(struct line_reader *r, size_t large_bytes, size_t max_bytes)
{
    r->large_bytes = large_bytes < LINE_LARGE_MIN ? LINE_LARGE_MIN : large_bytes;
    r->max_bytes = max_bytes;
}

static struct slice from(struct slice s, size_t at)
{
    /* An empty slice may be NULL, which must not even have 0 added to it. */
    return at > 0 ? slice_of(s.p + at, s.n - at) : s;
}

static struct slice without_bom(struct slice s)
{
    return s.n >= 3 && memcmp(s.p, "\xef\xbb\xbf", 3) == 0 ? from(s, 3) : s;
}

static struct slice without_cr(struct slice s)
{
    return s.n > 0 && s.p[s.n - 1] == '\r' ? slice_of(s.p, s.n - 1) : s;
}

/* Only white space, and little enough of it to be no attack. */
static bool is_blank(struct slice s)
{
    if (s.n > BLANK_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r')
            return false;
    return true;
}

/* From how many bytes on an incomplete line is not waited for any more. */
static size_t piece_threshold(const struct line_reader *r)
{
    return r->large_bytes < r->max_bytes ? r->large_bytes : r->max_bytes;
}

static struct line_piece make_piece(struct line_reader *r, struct slice bytes, bool last)
{
    struct line_piece piece = {.bytes = bytes, .first = !r->in_line, .last = last};

    r->line_len += bytes.n;
    if (r->line_len > r->max_bytes)
        r->oversize = true;
    piece.oversize = r->oversize;
    r->in_line = !last;
    if (last) {
        r->line_len = 0;
        r->oversize = false;
    }
    return piece;
}

/* rest holds no LF. */
static bool take_part(struct line_reader *r, struct slice rest, size_t *ret_used,
                      struct line_piece *ret_piece)
{
    struct slice part = without_cr(rest);

    *ret_used = 0;
    r->seen = rest.n;
    if (part.n == 0 || (!r->in_line && part.n <= piece_threshold(r)))
        return false;
    *ret_used = part.n;
    r->seen = 0; /* at most a CR is left */
    *ret_piece = make_piece(r, r->in_line ? part : without_bom(part), false);
    return true;
}

static __attribute__((noinline)) bool next_in(struct line_reader *r, struct slice in,
                                              size_t *ret_consumed, struct line_piece *ret_piece)
{
    size_t skipped = 0, used;
    bool got;

    for (;;) {
        struct slice rest = from(in, skipped), line;
        const char *lf = rest.n > r->seen ? memchr(rest.p + r->seen, '\n', rest.n - r->seen) : NULL;

        if (!lf) {
            got = take_part(r, rest, &used, ret_piece);
            break;
        }
        used = (size_t)(lf - rest.p) + 1;
        r->seen = 0;
        line = without_cr(slice_of(rest.p, used - 1));
        if (!r->in_line && line.n <= piece_threshold(r) && is_blank(without_bom(line))) {
            skipped += used;
            continue;
        }
        *ret_piece = make_piece(r, r->in_line ? line : without_bom(line), true);
        got = true;
        break;
    }
    *ret_consumed = skipped + used;
    return got;
}

bool line_next(struct line_reader *r, struct slice in, size_t *ret_consumed,
               struct line_piece *ret_piece)
{
    if (in.n > 0)
        return next_in(r, in, ret_consumed, ret_piece);
    r->seen = 0; /* every line that came alone is followed by this call */
    *ret_consumed = 0;
    return false;
}

bool line_unfinished(const struct line_reader *r, struct slice in)
{
    return r->in_line || !is_blank(without_bom(in));
}
