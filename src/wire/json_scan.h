/* The scanner that json.h, rpc.h and the id hunt are made of: one pass over a JSON text that may
 * arrive in pieces cut anywhere. Private to the room.
 *
 * A file that wants to be told what passes includes json_watch.h. What is here scans without a
 * word. */
#ifndef WIRE_JSON_SCAN_H
#define WIRE_JSON_SCAN_H

#include "wire/json.h"

#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Deepest object that can be watched: params._meta is the third. */
#define JSON_WATCH_MAX 3

/* Longest token, quotes included, that json_carry can put together from pieces. The longest key
 * that anyone asks for, with every byte written as \uXXXX, must fit. */
#define JSON_CARRY_MAX 256

/* What the scanner keeps from one piece to the next. */
struct json_scan {
    const uint8_t *p, *end; /* what is left of the current piece, as of its begin or end */
    uintptr_t origin; /* address that offset 0 of the text would have if it were in one piece */
    size_t piece_at;  /* offset of the current piece's first byte */
    size_t key_at;    /* begin of an unfinished key in a watched object */
    size_t value_at[JSON_WATCH_MAX + 1]; /* begin of the value at hand, by depth of its container */
    size_t error_at;
    enum json_error error;
    uint16_t depth;     /* containers open around the next byte */
    uint16_t depth_max; /* at most JSON_DEPTH_CAP */
    uint16_t hex;       /* digits of an unfinished \u escape */
    uint8_t state;      /* enum json_state */
    uint8_t token;      /* how far an unfinished token is; meaning by state */
    uint8_t watch;      /* containers of less depth report */
    uint8_t type;       /* enum json_type of the last scalar that was no short one */
    bool newline;       /* CR or LF seen outside strings */
    bool integer;       /* the last number had neither fraction nor exponent */
    bool escaped;       /* the last string that was no short one has a backslash */
    bool nul;           /* that string has a \u0000 */
    uint8_t part_n;     /* a UTF-8 sequence that the end of a piece cut */
    char part[4];
    /* The kinds of the open containers, a bit each, 1 for an object: the innermost is bit 0 of
     * kinds, and each 64 further out are put away in outer. */
    uint64_t kinds;
    uint64_t outer[JSON_DEPTH_CAP / 64 + 1];
};

enum json_state {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_CLOSE,
    EXPECT_KEY,
    EXPECT_KEY_OR_CLOSE,
    EXPECT_COLON,
    EXPECT_NEXT, /* comma or closing bracket; after the root's value, nothing */
    IN_KEY,
    IN_STRING,
    IN_NUMBER,
    IN_LITERAL,
    FAILED,
};

/* watch: tell of the root and, if it is an object, of its members (json_watch.h). */
static inline void json_scan_init(struct json_scan *s, unsigned depth_max, bool watch)
{
    s->p = s->end = NULL;
    s->origin = 0;
    s->piece_at = 0;
    s->error = JSON_OK;
    s->error_at = 0;
    s->depth = 0;
    s->depth_max = (uint16_t)(depth_max < JSON_DEPTH_CAP ? depth_max : JSON_DEPTH_CAP);
    s->state = EXPECT_VALUE;
    s->token = 0;
    s->watch = watch;
    s->type = JSON_NONE;
    s->newline = s->integer = s->escaped = s->nul = false;
    s->kinds = 0;
}

/* Takes n bytes for read that begin a root object, up to the comma behind a member. Only before the
 * first piece of a watched scan, and when depth_max allows for an object. */
static inline void json_scan_skip_into_object(struct json_scan *s, size_t n)
{
    s->origin -= n;
    s->value_at[0] = 0;
    s->depth = 1;
    s->kinds = 1;
    s->outer[0] = 0;
    s->watch = 2;
    s->state = EXPECT_KEY;
}

/* Scans the next piece, which need not live longer than the call, of a text that is not watched.
 * The error so far; the first one stays. */
enum json_error json_scan_feed(struct json_scan *s, struct slice piece);

/* json_scan_finish when the root is not complete, or its number may be. */
enum json_error json_scan_finish_rest(struct json_scan *s);

/* No more pieces will come. JSON_OK when exactly one value and whitespace have passed. */
static inline enum json_error json_scan_finish(struct json_scan *s)
{
    if (s->state == EXPECT_NEXT && s->depth == 0)
        return JSON_OK;
    return json_scan_finish_rest(s);
}

/* Offset of the next byte. */
static inline size_t json_scan_at(const struct json_scan *s)
{
    return (uintptr_t)s->p - s->origin;
}

/* ---- tokens in pieces ---- */

/* The bytes of a token that began in an earlier piece. */
struct json_carry {
    uint16_t n; /* > JSON_CARRY_MAX: too long, given up */
    char bytes[JSON_CARRY_MAX];
};

/* After a piece: keeps the bytes of an unfinished string or number in a watched container. */
void json_carry_save(struct json_carry *c, const struct json_scan *s);

/* The token of this offset and length, whether it lies in this piece or was carried; empties the
 * carry. A token longer than JSON_CARRY_MAX that was cut reads as empty. Borrowed until the next
 * call. */
struct slice json_carry_take(struct json_carry *c, const struct json_scan *s, size_t at, size_t n);

/* The content of a string token without its quotes; with escapes resolved into store if there are
 * any. Empty when it does not fit there. */
struct slice json_plain(struct slice token, bool escaped, char *store, size_t cap);

/* ---- runs of string bytes ---- */

/* First byte in [p, end) that ends a run of plain string bytes: quote, backslash, or below 0x20;
 * end if there is none. *ret_high is set (never cleared) when a byte above 0x7f was passed. */
const uint8_t *json_run(const uint8_t *p, const uint8_t *end, bool *ret_high);

/* The same, but bytes above 0x7f end the run too. For long runs. */
const uint8_t *json_ascii_run(const uint8_t *p, const uint8_t *end);

/* A bit for each of the next 16 bytes that ends a run of ASCII. */
#if defined(__SSE2__)
static inline unsigned json_stops(const uint8_t *p)
{
    /* Flipping bit 1 puts the quote right behind the control characters, and what was there further
     * up. Less 0x21 as signed bytes, these and everything above 0x7f are negative. */
    __m128i v = _mm_xor_si128(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8(2));
    __m128i low = _mm_subs_epi8(v, _mm_set1_epi8(('"' ^ 2) + 1));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\' ^ 2));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, backslash));
}
#endif

#endif
