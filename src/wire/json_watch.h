/* The scanner's loop. Each file that scans compiles it anew, with its own functions in it, because
 * asking through pointers would cost more than the scanning: most tokens are short.
 *
 * Such a file defines json_watch_key, json_watch_value and json_watch_open, and calls
 * json_watch_feed. It is told of the keys and the finished values of the watched containers: the
 * root (depth 0), and every object that json_watch_open says yes to, up to JSON_WATCH_MAX deep.
 * Everything deeper is checked without a word.
 *
 * States are of two kinds. Between tokens (up to EXPECT_NEXT) whitespace may pass, and the next
 * byte decides. Inside a token (IN_KEY and on) the state names the token and s->token how far it
 * is; a text in one piece never enters those, because each token is first tried in one go and the
 * state is only written when the piece ends first. So both ways of feeding run the same code, and a
 * cut can fall anywhere. */
#ifndef WIRE_JSON_WATCH_H
#define WIRE_JSON_WATCH_H

#include "json_scan.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define LIKELY(x)     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)   __builtin_expect(!!(x), 0)

/* What a value is: a set of one bit for its enum json_type, and one more for a number with neither
 * fraction nor exponent. */
#define JSON_IS(type)   (1u << (type))
#define JSON_IS_INTEGER (1u << 8)

/* To be defined by the includer. depth: containers open around the token; at, n: all of it, quotes
 * included; text: the first byte behind the quote of a short string, which has no escapes; else
 * NULL. json_watch_open: the value at hand is an object; whether to watch its members too. */
static inline void json_watch_key(struct json_scan *s, unsigned depth, size_t at, size_t n,
                                  const uint8_t *text);
static inline void json_watch_value(struct json_scan *s, unsigned depth, size_t at, size_t n,
                                    unsigned is, const uint8_t *text);
static inline bool json_watch_open(struct json_scan *s, unsigned depth);

/* ---- tokens; the long ways are in json_scan.c ---- */

/* Each returns the byte after the token; NULL means that the piece ended inside it, or that it is
 * wrong (then s->error is set). A string goes on at p, behind its quote and nothing but plain
 * ASCII; of the others p is the first byte. */
const uint8_t *json_scan_string(struct json_scan *s, const uint8_t *p);
const uint8_t *json_scan_number(struct json_scan *s, const uint8_t *p);
const uint8_t *json_scan_literal(struct json_scan *s, const uint8_t *p);
/* Finishes the token that the last piece left open. */
const uint8_t *json_scan_resume(struct json_scan *s);

/* The first byte at or after p that is no whitespace, or the end of the piece. */
const uint8_t *json_scan_space(struct json_scan *s, const uint8_t *p);
/* Notes the first fault, which lies at p. */
void json_scan_fail(struct json_scan *s, enum json_error error, const uint8_t *p);

/* Bytes from behind a short string's quote on that must be there: a block that is looked at
 * together, and two behind it, which are read without asking. */
#define JSON_SHORT_ROOM (16 + 2)
#define JSON_SHORT_MAX  16 /* longer than the content of any */

/* The byte behind a string that is short and plain, from its opening quote. NULL when it is not, or
 * begins behind `last`: then it has to be looked at properly, from *ret_rest on. */
static ALWAYS_INLINE const uint8_t *json_short_string(const uint8_t *p, const uint8_t *last,
                                                      const uint8_t **ret_rest)
{
    p++;
#if defined(__SSE2__)
    if (LIKELY(p <= last)) {
        unsigned stops = json_stops(p);

        if (LIKELY(stops != 0)) {
            p += (unsigned)__builtin_ctz(stops);
            if (LIKELY(*p == '"'))
                return p + 1;
        } else {
            p += 16;
        }
    }
#else
    (void)last;
#endif
    *ret_rest = p;
    return NULL;
}

/* The byte behind a number of digits alone; NULL as above. */
static ALWAYS_INLINE const uint8_t *json_short_integer(const uint8_t *p, const uint8_t *end)
{
    if (UNLIKELY((uint8_t)(*p - '1') > 8))
        return NULL;
    do {
        if (UNLIKELY(++p == end))
            return NULL;
    } while ((uint8_t)(*p - '0') <= 9);
    return *p != '.' && (*p | 0x20) != 'e' ? p : NULL;
}

/* ---- the loop ---- */

/* What of the scan changes with every token, out of memory while the loop runs. */
struct json_loop {
    const uint8_t *p, *end;
    /* Where a short string's content may begin at the latest; as good as nowhere when this is the
     * first byte of the piece, since a quote stands before it. */
    const uint8_t *last;
    uint64_t kinds;
    unsigned depth, watch;
};

static ALWAYS_INLINE size_t json_offset(const struct json_scan *s, const uint8_t *p)
{
    return (uintptr_t)p - s->origin;
}

static ALWAYS_INLINE bool json_watched(const struct json_loop *l)
{
    return l->depth < l->watch;
}

/* Ends the piece: it is used up, or in error. */
static ALWAYS_INLINE void json_pause(struct json_scan *s, const struct json_loop *l,
                                     enum json_state state)
{
    s->p = s->end;
    s->kinds = l->kinds;
    s->depth = (uint16_t)l->depth;
    s->watch = (uint8_t)l->watch;
    s->state = s->error == JSON_OK ? (uint8_t)state : FAILED;
}

/* A key or a value that has been taken, from its first byte to where the loop stands. */
static ALWAYS_INLINE void json_report_key(struct json_scan *s, const struct json_loop *l,
                                          const uint8_t *from, const uint8_t *text)
{
    if (json_watched(l))
        json_watch_key(s, l->depth, json_offset(s, from), (size_t)(l->p - from), text);
}

static ALWAYS_INLINE void json_report_value(struct json_scan *s, const struct json_loop *l,
                                            const uint8_t *from, unsigned is, const uint8_t *text)
{
    if (json_watched(l))
        json_watch_value(s, l->depth, json_offset(s, from), (size_t)(l->p - from), is, text);
}

/* Takes whitespace, of which there must be some where nothing else fits. Returns the state given,
 * to go on in. */
static ALWAYS_INLINE enum json_state json_take_space(struct json_scan *s, struct json_loop *l,
                                                     enum json_state state)
{
    const uint8_t *behind = json_scan_space(s, l->p);

    if (behind == l->p) {
        json_scan_fail(s, JSON_E_SYNTAX, behind);
        return FAILED;
    }
    l->p = behind;
    return state;
}

/* A key that is no short one, from its quote. */
static ALWAYS_INLINE enum json_state json_take_long_key(struct json_scan *s, struct json_loop *l,
                                                        const uint8_t *rest)
{
    const uint8_t *open = l->p, *behind;

    if (json_watched(l))
        s->key_at = json_offset(s, open);
    behind = json_scan_string(s, rest);
    if (behind == NULL)
        return IN_KEY;
    l->p = behind;
    json_report_key(s, l, open, NULL);
    return EXPECT_COLON;
}

/* A key, and its colon if that follows at once. */
static ALWAYS_INLINE enum json_state json_take_key(struct json_scan *s, struct json_loop *l)
{
    const uint8_t *open = l->p, *behind, *rest;

    if (UNLIKELY(*open != '"'))
        return json_take_space(s, l, EXPECT_KEY);
    behind = json_short_string(open, l->last, &rest);
    if (UNLIKELY(behind == NULL))
        return json_take_long_key(s, l, rest);
    l->p = behind;
    json_report_key(s, l, open, open + 1);
    if (UNLIKELY(*l->p != ':'))
        return EXPECT_COLON;
    l->p++;
    return EXPECT_VALUE;
}

/* An opening bracket. */
static ALWAYS_INLINE enum json_state json_open(struct json_scan *s, struct json_loop *l)
{
    bool object = *l->p == '{';

    if (UNLIKELY(l->depth >= s->depth_max)) {
        json_scan_fail(s, JSON_E_DEPTH, l->p);
        return FAILED;
    }
    if (json_watched(l)) {
        s->value_at[l->depth] = json_offset(s, l->p);
        if (object && json_watch_open(s, l->depth))
            l->watch = l->depth + 2;
    }
    if (UNLIKELY(l->depth % 64 == 0))
        s->outer[l->depth / 64] = l->kinds;
    l->kinds = l->kinds << 1 | object;
    l->depth++;
    l->p++;
    return object ? EXPECT_KEY_OR_CLOSE : EXPECT_VALUE_OR_CLOSE;
}

/* The closing bracket of the innermost container. */
static ALWAYS_INLINE enum json_state json_close(struct json_scan *s, struct json_loop *l)
{
    enum json_type type = l->kinds & 1 ? JSON_OBJECT : JSON_ARRAY;

    l->p++;
    l->depth--;
    l->kinds >>= 1;
    if (UNLIKELY(l->depth % 64 == 0))
        l->kinds = s->outer[l->depth / 64];
    if (json_watched(l)) {
        l->watch = l->depth + 1;
        json_report_value(s, l, (const uint8_t *)(s->origin + s->value_at[l->depth]), JSON_IS(type),
                          NULL);
    }
    return EXPECT_NEXT;
}

/* What the last long scalar was. */
static ALWAYS_INLINE unsigned json_is(const struct json_scan *s)
{
    return JSON_IS(s->type) | (s->type == JSON_NUMBER && s->integer ? JSON_IS_INTEGER : 0);
}

/* A scalar that is no short one. */
static ALWAYS_INLINE enum json_state json_take_long_scalar(struct json_scan *s, struct json_loop *l,
                                                           const uint8_t *rest)
{
    const uint8_t *from = l->p, *behind;
    enum json_state state;

    switch (*from) {
    case '"':
        s->type = JSON_STRING;
        state = IN_STRING;
        break;
    case '-':
    case '0' ... '9':
        s->type = JSON_NUMBER;
        state = IN_NUMBER;
        break;
    case 'n':
    case 'f':
    case 't':
        s->type = *from == 'n' ? JSON_NULL : *from == 'f' ? JSON_FALSE : JSON_TRUE;
        state = IN_LITERAL;
        break;
    default:
        return json_take_space(s, l, EXPECT_VALUE);
    }
    if (json_watched(l))
        s->value_at[l->depth] = json_offset(s, from);
    behind = state == IN_STRING   ? json_scan_string(s, rest)
             : state == IN_NUMBER ? json_scan_number(s, from)
                                  : json_scan_literal(s, from);
    if (behind == NULL)
        return state;
    l->p = behind;
    json_report_value(s, l, from, json_is(s), NULL);
    return EXPECT_NEXT;
}

/* All of a scalar, or the bracket of a container. */
static ALWAYS_INLINE enum json_state json_take_value(struct json_scan *s, struct json_loop *l)
{
    const uint8_t *from = l->p, *rest = from, *text, *behind;
    unsigned is;

    if (*from == '"') {
        behind = json_short_string(from, l->last, &rest);
        if (UNLIKELY(behind == NULL))
            return json_take_long_scalar(s, l, rest);
        is = JSON_IS(JSON_STRING);
        text = from + 1;
    } else if (*from == '{' || *from == '[') {
        return json_open(s, l);
    } else {
        behind = json_short_integer(from, l->end);
        if (behind == NULL)
            return json_take_long_scalar(s, l, rest);
        is = JSON_IS(JSON_NUMBER) | JSON_IS_INTEGER;
        text = NULL;
    }
    l->p = behind;
    json_report_value(s, l, from, is, text);
    return EXPECT_NEXT;
}

/* After an opening bracket: a key or a value as everywhere, or nothing at all. */
static ALWAYS_INLINE enum json_state json_take_first_key(struct json_scan *s, struct json_loop *l)
{
    if (LIKELY(*l->p == '"'))
        return json_take_key(s, l);
    if (*l->p == '}')
        return json_close(s, l);
    return json_take_space(s, l, EXPECT_KEY_OR_CLOSE);
}

static ALWAYS_INLINE enum json_state json_take_first_value(struct json_scan *s, struct json_loop *l)
{
    if (*l->p == ']')
        return json_close(s, l);
    if (*l->p <= ' ')
        return json_take_space(s, l, EXPECT_VALUE_OR_CLOSE);
    return json_take_value(s, l);
}

static ALWAYS_INLINE enum json_state json_take_colon(struct json_scan *s, struct json_loop *l)
{
    if (*l->p != ':')
        return json_take_space(s, l, EXPECT_COLON);
    l->p++;
    return EXPECT_VALUE;
}

/* What follows a value: a comma, or the bracket that closes what it stands in. */
static ALWAYS_INLINE enum json_state json_take_next(struct json_scan *s, struct json_loop *l)
{
    enum json_state state;

    if (l->kinds & 1) {
        if (*l->p == ',') {
            l->p++;
            return EXPECT_KEY;
        }
        if (*l->p == '}')
            return json_close(s, l);
    } else if (l->depth > 0) {
        if (*l->p == ',') {
            l->p++;
            return EXPECT_VALUE;
        }
        if (*l->p == ']')
            return json_close(s, l);
    }
    state = json_take_space(s, l, EXPECT_NEXT);
    if (state == FAILED && l->depth == 0)
        s->error = JSON_E_END;
    return state;
}

/* Goes on inside the token that the last piece left open. */
static ALWAYS_INLINE enum json_state json_take_rest(struct json_scan *s, struct json_loop *l)
{
    const uint8_t *behind = l->p == l->end ? NULL : json_scan_resume(s);
    bool key = s->state == IN_KEY;

    if (behind == NULL)
        return s->state;
    l->p = behind;
    if (key)
        json_report_key(s, l, (const uint8_t *)(s->origin + s->key_at), NULL);
    else if (json_watched(l))
        json_report_value(s, l, (const uint8_t *)(s->origin + s->value_at[l->depth]), json_is(s),
                          NULL);
    return key ? EXPECT_COLON : EXPECT_NEXT;
}

/* Leaves when the piece is over. */
#define JSON_NEED_BYTE(state)                                                                      \
    do {                                                                                           \
        if (UNLIKELY(l.p == l.end))                                                                \
            return json_pause(s, &l, state);                                                       \
    } while (0)

/* Each step takes what is likely first, and whitespace when it is something else; it returns the
 * state after what it took. The cases stand in the order in which a member passes through them, and
 * on that way one leads to the next without asking what the state is. n: the bytes of the piece;
 * an empty one may lie at NULL, so positions are compared as numbers where that is not ruled out.
 */
static ALWAYS_INLINE void json_loop(struct json_scan *s, size_t n)
{
    struct json_loop l = {s->p, s->end, s->p, s->kinds, s->depth, s->watch};
    enum json_state state = s->state;

    if (n >= JSON_SHORT_ROOM)
        l.last = l.end - JSON_SHORT_ROOM;
    if (UNLIKELY(state >= IN_KEY))
        state = json_take_rest(s, &l);
    for (;;) {
        switch (state) {
        case EXPECT_KEY_OR_CLOSE:
        first_key:
            JSON_NEED_BYTE(EXPECT_KEY_OR_CLOSE);
            state = json_take_first_key(s, &l);
            if (LIKELY(state == EXPECT_VALUE))
                goto value_here;
            continue;
        case EXPECT_KEY:
        key:
            if (UNLIKELY((uintptr_t)l.p >= (uintptr_t)l.last))
                JSON_NEED_BYTE(EXPECT_KEY);
            state = json_take_key(s, &l);
            if (LIKELY(state == EXPECT_VALUE))
                goto value_here;
            continue;
        case EXPECT_VALUE:
        value:
            JSON_NEED_BYTE(EXPECT_VALUE);
        value_here:
            state = json_take_value(s, &l);
            if (state == EXPECT_KEY_OR_CLOSE)
                goto first_key;
            if (UNLIKELY(state != EXPECT_NEXT))
                continue;
            /* fall through */
        case EXPECT_NEXT:
        next:
            JSON_NEED_BYTE(EXPECT_NEXT);
            state = json_take_next(s, &l);
            if (state == EXPECT_KEY)
                goto key;
            if (state == EXPECT_NEXT)
                goto next;
            if (state == EXPECT_VALUE)
                goto value;
            continue;
        case EXPECT_VALUE_OR_CLOSE:
            JSON_NEED_BYTE(EXPECT_VALUE_OR_CLOSE);
            state = json_take_first_value(s, &l);
            continue;
        case EXPECT_COLON:
            JSON_NEED_BYTE(EXPECT_COLON);
            state = json_take_colon(s, &l);
            continue;
        case IN_KEY:
        case IN_STRING:
        case IN_NUMBER:
        case IN_LITERAL:
        case FAILED:
            return json_pause(s, &l, state);
        }
    }
}

/* Scans the next piece, which need not live longer than the call. The error so far; the first one
 * stays. */
static ALWAYS_INLINE enum json_error json_watch_feed(struct json_scan *s, struct slice piece)
{
    s->piece_at = json_scan_at(s);
    s->p = (const uint8_t *)piece.p;
    s->end = piece.n > 0 ? s->p + piece.n : s->p; /* p may be NULL then */
    s->origin = (uintptr_t)s->p - s->piece_at;
    json_loop(s, piece.n);
    return s->error;
}

#endif
