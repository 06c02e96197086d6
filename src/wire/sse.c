/* Server-sent events.
 *
 * Reader: a byte position is in one of four places of a line (START only before the stream's first
 * byte): START -> NAME -(:)-> SPACE -> VALUE -> end of line -> NAME Values move in runs up to the
 * next CR or LF. Data stay a reference into the fed piece as long as they are a single line that
 * lies in it; a second line or the end of the piece moves them into the buffer (spill).
 *
 * Invariant between two calls: nothing points into a fed piece, and by_ref is false, unless
 * `delivered` is set; then the next call forgets the event first. Memory: the buffers together hold
 * at most max_event_bytes plus one id or event line, itself at most max_line_bytes. */
#include "wire/sse.h"

#include "base/util.h"

#include <assert.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum state {
    STATE_START,
    STATE_NAME,
    STATE_SPACE,
    STATE_VALUE,
};

enum field {
    FIELD_IGNORED,
    FIELD_DATA,
    FIELD_EVENT,
    FIELD_ID,
    FIELD_RETRY,
};

#define BOM "\xef\xbb\xbf"

/* Texts are short as a rule: a buffer above this is given back after its event. */
#define TEXT_KEEP_BYTES 1024

const char *sse_status_text(enum sse_status status)
{
    switch (status) {
    case SSE_MORE:
    case SSE_EVENT:
        return "No error";
    case SSE_E_LINE:
        return "A line of the event stream is too long";
    case SSE_E_EVENT:
        return "An event of the event stream is too large";
    }
    return "Unknown error";
}

void sse_reader_init(struct sse_reader *r, const struct sse_limits *limits)
{
    *r = (struct sse_reader){.limits = *limits, .state = STATE_START};
}

void sse_reader_done(struct sse_reader *r)
{
    buf_done(&r->data);
    buf_done(&r->event);
    buf_done(&r->id);
    buf_done(&r->value);
}

/* Offset of the first CR or LF; n when there is none. One search for both bytes: two memchr would
 * look through the whole piece for the one that never comes, again for every line. */
static size_t find_line_end(const char *p, size_t n)
{
    size_t i = 0;

#if defined(__SSE2__)
    const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');

    for (; n - i >= sizeof(__m128i); i += sizeof(__m128i)) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        int hits = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, cr), _mm_cmpeq_epi8(v, lf)));

        if (hits)
            return i + (size_t)__builtin_ctz((unsigned)hits);
    }
#endif
    while (i < n && p[i] != '\r' && p[i] != '\n')
        i++;
    return i;
}

static struct slice text_of(const struct buf *b)
{
    return b->data ? buf_peek(b) : (struct slice){0};
}

static void clear_text(struct buf *b)
{
    buf_reset(b);
    if (b->cap > TEXT_KEEP_BYTES)
        buf_done(b);
}

static void clear_event(struct sse_reader *r)
{
    r->ev = (struct sse_event){0};
    r->ref = (struct slice){0};
    r->by_ref = false;
    r->delivered = false;
    clear_text(&r->data);
    clear_text(&r->event);
    clear_text(&r->id);
}

/* The piece is about to go away, or a second data line comes: the data move into the buffer. */
static void spill(struct sse_reader *r)
{
    if (!r->by_ref)
        return;
    buf_append_slice(&r->data, r->ref);
    r->ref = (struct slice){0};
    r->by_ref = false;
}

static size_t event_bytes(const struct sse_reader *r)
{
    return r->ref.n + buf_len(&r->data) + buf_len(&r->event) + buf_len(&r->id) + buf_len(&r->value);
}

/* ---- one line ---- */

static enum field field_of(struct slice name)
{
    static const struct {
        const char *name;
        enum field field;
    } known[] = {
        {"data", FIELD_DATA},
        {"event", FIELD_EVENT},
        {"id", FIELD_ID},
        {"retry", FIELD_RETRY},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_is(name, known[i].name))
            return known[i].field;
    return FIELD_IGNORED;
}

static void begin_line(struct sse_reader *r)
{
    r->state = STATE_NAME;
    r->field = FIELD_IGNORED;
    r->name_len = 0;
    r->line_len = 0;
    r->bad_value = r->retry_seen = false;
    r->retry = 0;
    clear_text(&r->value);
}

/* The name is complete: at the colon, or at the end of a line without one. */
static enum sse_status begin_value(struct sse_reader *r)
{
    r->field = field_of(slice_of(r->name, r->name_len));
    if (r->field != FIELD_DATA)
        return SSE_MORE;
    if (r->ev.has_data) {
        spill(r);
        if (event_bytes(r) >= r->limits.max_event_bytes)
            return SSE_E_EVENT;
        buf_append(&r->data, "\n", 1);
    }
    r->ev.has_data = true;
    return SSE_MORE;
}

static void add_retry_digits(struct sse_reader *r, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint64_t digit = (uint64_t)(unsigned char)s.p[i] - '0';

        if (digit > 9) {
            r->bad_value = true;
            return;
        }
        if (r->retry > (UINT64_MAX - digit) / 10)
            r->retry = UINT64_MAX / 10; /* stays above every limit with whatever follows */
        else
            r->retry = r->retry * 10 + digit;
    }
}

/* A run of value bytes. */
static enum sse_status add_value(struct sse_reader *r, struct slice s)
{
    bool collects = r->field == FIELD_DATA || r->field == FIELD_EVENT || r->field == FIELD_ID;

    if (s.n == 0)
        return SSE_MORE;
    if (collects) {
        size_t used = event_bytes(r);

        if (used > r->limits.max_event_bytes || s.n > r->limits.max_event_bytes - used)
            return SSE_E_EVENT;
    }
    switch ((enum field)r->field) {
    case FIELD_IGNORED:
        break;
    case FIELD_DATA:
        if (!r->by_ref && buf_len(&r->data) == 0) {
            r->ref = s;
            r->by_ref = true;
        } else {
            spill(r);
            buf_append_slice(&r->data, s);
        }
        break;
    case FIELD_ID:
        r->bad_value |= memchr(s.p, '\0', s.n) != NULL;
        buf_append_slice(&r->value, s);
        break;
    case FIELD_EVENT:
        buf_append_slice(&r->value, s);
        break;
    case FIELD_RETRY:
        r->retry_seen = true;
        add_retry_digits(r, s);
        break;
    }
    return SSE_MORE;
}

/* A run of line bytes without CR and LF. */
static enum sse_status add_line_bytes(struct sse_reader *r, struct slice s)
{
    if (r->state == STATE_NAME && s.n > 0) {
        const char *colon = memchr(s.p, ':', s.n);
        size_t n = colon ? (size_t)(colon - s.p) : s.n;
        size_t room = sizeof(r->name) - r->name_len;
        enum sse_status rc;

        memcpy(r->name + r->name_len, s.p, n < room ? n : room);
        r->name_len += (uint8_t)(n < room ? n : room);
        if (!colon)
            return SSE_MORE;
        s = slice_of(colon + 1, s.n - n - 1);
        r->state = STATE_SPACE;
        if ((rc = begin_value(r)) != SSE_MORE)
            return rc;
    }
    if (r->state == STATE_SPACE && s.n > 0) {
        if (s.p[0] == ' ')
            s = slice_of(s.p + 1, s.n - 1);
        r->state = STATE_VALUE;
    }
    return add_value(r, s);
}

static void swap(struct buf *a, struct buf *b)
{
    struct buf t = *a;

    *a = *b;
    *b = t;
}

/* The line is complete: what it said becomes part of the event. */
static void commit_field(struct sse_reader *r)
{
    switch ((enum field)r->field) {
    case FIELD_IGNORED:
    case FIELD_DATA:
        break;
    case FIELD_EVENT:
        swap(&r->event, &r->value);
        break;
    case FIELD_ID:
        if (r->bad_value)
            break;
        swap(&r->id, &r->value);
        r->ev.has_id = true;
        break;
    case FIELD_RETRY:
        if (r->bad_value || !r->retry_seen)
            break;
        r->ev.has_retry = true;
        r->ev.retry_ms = r->retry < r->limits.max_retry_ms ? r->retry : r->limits.max_retry_ms;
        break;
    }
}

/* An empty line. */
static enum sse_status dispatch(struct sse_reader *r, struct sse_event *ret_event)
{
    if (!r->ev.has_data && !r->ev.has_id && !r->ev.has_retry) {
        clear_event(r);
        return SSE_MORE;
    }
    r->ev.data = r->by_ref ? r->ref : text_of(&r->data);
    r->ev.event = text_of(&r->event);
    r->ev.id = text_of(&r->id);
    r->delivered = true;
    *ret_event = r->ev;
    return SSE_EVENT;
}

static enum sse_status end_line(struct sse_reader *r, struct sse_event *ret_event)
{
    enum sse_status rc = SSE_MORE;

    if (r->line_len == 0)
        return dispatch(r, ret_event);
    if (r->state == STATE_NAME)
        rc = begin_value(r);
    if (rc == SSE_MORE)
        commit_field(r);
    begin_line(r);
    return rc;
}

/* ---- the stream ---- */

/* Matches one byte of the byte order mark. false when c belongs to the first line. */
static bool eat_bom(struct sse_reader *r, char c)
{
    if (c == BOM[r->bom]) {
        r->bom++;
        if (r->bom == sizeof(BOM) - 1)
            begin_line(r);
        return true;
    }
    /* Not one after all. What was matched begins a field name that nobody knows. */
    begin_line(r);
    memcpy(r->name, BOM, r->bom);
    r->name_len = r->bom;
    r->line_len = r->bom;
    return false;
}

static enum sse_status feed_line(struct sse_reader *r, struct slice in, size_t *at,
                                 struct sse_event *ret_event)
{
    size_t n = find_line_end(in.p + *at, in.n - *at);
    size_t room = r->limits.max_line_bytes - r->line_len;
    bool fits = n <= room;
    enum sse_status rc;

    /* Even of a line that is too long: its beginning may exceed another limit first, and which
     * error it is must not depend on where the pieces were cut. */
    n = fits ? n : room;
    r->line_len += n;
    rc = add_line_bytes(r, slice_of(in.p + *at, n));
    *at += n;
    if (rc != SSE_MORE || !fits)
        return rc != SSE_MORE ? rc : SSE_E_LINE;
    if (*at == in.n)
        return SSE_MORE;
    r->skip_lf = in.p[(*at)++] == '\r';
    return end_line(r, ret_event);
}

enum sse_status sse_reader_feed(struct sse_reader *r, struct slice in, size_t *ret_consumed,
                                struct sse_event *ret_event)
{
    enum sse_status rc = SSE_MORE;
    size_t at = 0;

    if (r->delivered)
        clear_event(r);
    while (at < in.n && rc == SSE_MORE) {
        if (r->skip_lf) {
            r->skip_lf = false;
            at += in.p[at] == '\n';
        } else if (r->state == STATE_START) {
            at += eat_bom(r, in.p[at]);
        } else {
            rc = feed_line(r, in, &at, ret_event);
        }
    }
    if (rc == SSE_MORE)
        spill(r);
    *ret_consumed = at;
    return rc;
}

/* ---- writing ---- */

bool sse_is_one_line(struct slice data)
{
    return data.n == 0 || find_line_end(data.p, data.n) == data.n;
}

static bool is_text(struct slice s)
{
    return s.n == 0 || (sse_is_one_line(s) && !memchr(s.p, '\0', s.n));
}

static void write_field(struct buf *out, const char *prefix, struct slice value)
{
    buf_append_str(out, prefix);
    buf_append_slice(out, value);
    buf_append(out, "\n", 1);
}

bool sse_event_begin(struct buf *out, const char *event, struct slice id)
{
    struct slice name = slice_str(event ? event : "message");

    if (!is_text(name) || !is_text(id))
        return false;
    write_field(out, "event: ", name);
    if (id.n > 0)
        write_field(out, "id: ", id);
    buf_append_str(out, "data: ");
    return true;
}

void sse_event_end(struct buf *out)
{
    buf_append(out, "\n\n", 2);
}

bool sse_write_event(struct buf *out, const char *event, struct slice id, struct slice data)
{
    if (!sse_event_begin(out, event, id))
        return false;
    while (data.n > 0) {
        size_t n = find_line_end(data.p, data.n);

        buf_append(out, data.p, n);
        if (n < data.n) {
            buf_append_str(out, "\ndata: ");
            n += data.p[n] == '\r' && n + 1 < data.n && data.p[n + 1] == '\n' ? 2 : 1;
        }
        data = slice_of(data.p + n, data.n - n);
    }
    sse_event_end(out);
    return true;
}

bool sse_write_priming(struct buf *out, struct slice id, uint64_t retry_ms)
{
    if (id.n == 0 || !is_text(id))
        return false;
    write_field(out, "id: ", id);
    if (retry_ms > 0) {
        buf_append_str(out, "retry: ");
        buf_append_u64(out, retry_ms);
        buf_append(out, "\n", 1);
    }
    buf_append_str(out, "data: ");
    sse_event_end(out);
    return true;
}

void sse_write_retry(struct buf *out, uint64_t retry_ms)
{
    buf_append_str(out, "retry: ");
    buf_append_u64(out, retry_ms);
    sse_event_end(out);
}

void sse_write_comment(struct buf *out, const char *text)
{
    assert(is_text(slice_str(text)));
    buf_append_str(out, ": ");
    buf_append_str(out, text);
    sse_event_end(out);
}
