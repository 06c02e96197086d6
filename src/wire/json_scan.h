/* The scanner that json.h, rpc.h and the id hunt are made of: one pass over a JSON text that may
 * arrive in pieces cut anywhere. Private to the room.
 *
 * While it runs it calls its watcher for each key and each finished value of the watched
 * containers. Watched are the root (depth 0) and every object that the watcher asks to dive into
 * when it is told its key; everything deeper is checked at full speed without a word. */
#ifndef WIRE_JSON_SCAN_H
#define WIRE_JSON_SCAN_H

#include "wire/json.h"

#include <stdint.h>

/* Deepest object that can be watched: params._meta is the third. */
#define JSON_WATCH_MAX 3

/* Longest token, quotes included, that json_carry can put together from pieces. The longest key
 * that anyone asks for, with every byte written as \uXXXX, must fit. */
#define JSON_CARRY_MAX 256

struct json_scan;

/* Called from json_scan_feed. The scanner stands behind the key or value: json_scan_at is its end.
 */
struct json_watcher {
    void (*on_key)(struct json_scan *s);   /* token_at: where it began. May set dive */
    void (*on_value)(struct json_scan *s); /* type and json_scan_value_at */
};

struct json_scan {
    const struct json_watcher *watcher;
    const uint8_t *p,
        *end;         /* what is left of the current piece; p as of the last call of the watcher */
    uintptr_t origin; /* address that offset 0 of the text would have if it were in one piece */
    size_t piece_at;  /* offset of the current piece's first byte */
    size_t token_at;  /* offset of the last string token's opening quote */
    size_t value_at[JSON_WATCH_MAX + 1]; /* begin of the value at hand, by depth of its container */
    size_t error_at;
    enum json_error error;
    uint16_t depth;     /* containers open around the next byte */
    uint16_t depth_max; /* at most JSON_DEPTH_CAP */
    uint16_t hex;       /* digits of an unfinished \u escape */
    uint8_t state;      /* enum in json_scan.c */
    uint8_t token;      /* how far an unfinished token is; meaning by state */
    uint8_t watch;      /* containers of less depth report */
    uint8_t type;       /* enum json_type of the last value */
    bool dive;          /* set in on_key: watch the value's members too if it is an object */
    bool in_object;     /* kind of the innermost open container */
    bool newline;       /* CR or LF seen outside strings */
    bool integer;       /* the last number had neither fraction nor exponent */
    bool escaped;       /* the last string token has a backslash */
    bool nul;           /* the last string token has a \u0000 */
    uint8_t part_n;     /* a UTF-8 sequence that the end of a piece cut */
    char part[4];
    uint64_t
        objects[JSON_DEPTH_CAP / 64 + 1]; /* bit d: the container opened as d-th is an object */
};

/* The bytes of a token that began in an earlier piece. */
struct json_carry {
    uint16_t n; /* > JSON_CARRY_MAX: too long, given up */
    char bytes[JSON_CARRY_MAX];
};

/* watcher: NULL to be told nothing. dive is set: the members of a root object are watched. */
void json_scan_init(struct json_scan *s, unsigned depth_max, const struct json_watcher *watcher);

/* Scans the next piece, which need not live longer than the call. The error so far; the first one
 * stays. */
enum json_error json_scan_feed(struct json_scan *s, struct slice piece);

/* No more pieces will come. JSON_OK when exactly one value and whitespace have passed. */
enum json_error json_scan_finish(struct json_scan *s);

/* Offset of the next byte. */
static inline size_t json_scan_at(const struct json_scan *s)
{
    return (uintptr_t)s->p - s->origin;
}

/* In on_value: where the value began. It ends at json_scan_at. */
static inline size_t json_scan_value_at(const struct json_scan *s)
{
    return s->value_at[s->depth];
}

/* After json_scan_feed: keeps the bytes of an unfinished string or number in a watched container.
 */
void json_carry_save(struct json_carry *c, const struct json_scan *s);

/* The token from offset `from` to here, whether it lies in this piece or was carried; empties the
 * carry. A token longer than JSON_CARRY_MAX that was cut reads as empty. Borrowed until the next
 * call. */
struct slice json_carry_take(struct json_carry *c, const struct json_scan *s, size_t from);

/* The content of a string token without its quotes; with escapes resolved into store if there are
 * any. Empty when it does not fit there. */
struct slice json_plain(struct slice token, bool escaped, char *store, size_t cap);

/* First byte in [p, end) that ends a run of plain string bytes: quote, backslash, or below 0x20;
 * end if there is none. *ret_high is set (never cleared) when a byte above 0x7f was passed. */
const uint8_t *json_run(const uint8_t *p, const uint8_t *end, bool *ret_high);

#endif
