/* The resumable scanner: RFC 8259 without exceptions, one pass, memory independent of the text.
 *
 * States are of two kinds. Between tokens (up to EXPECT_END) whitespace may pass, and the next byte
 * decides. Inside a token (IN_KEY and on) the state names the token and s->token how far it is; a
 * text in one piece never enters those, because each token is first tried in one go and the state
 * is only written when the piece ends first. So both ways of feeding run the same code, and a cut
 * can fall anywhere.
 *
 * Token functions take the first byte of what is left of the token and return the byte after it;
 * NULL means that the piece ended inside it, or that it is wrong (then s->error is set). */
#include "json_scan.h"

#include "base/utf8.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define LIKELY(x)     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)   __builtin_expect(!!(x), 0)

enum {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_CLOSE,
    EXPECT_KEY,
    EXPECT_KEY_OR_CLOSE,
    EXPECT_COLON,
    EXPECT_NEXT, /* comma or closing bracket */
    EXPECT_END,  /* the root value is complete */
    IN_KEY,
    IN_STRING,
    IN_NUMBER,
    IN_LITERAL,
    FAILED,
};

/* s->token inside strings */
enum {
    STRING_PLAIN,
    STRING_UTF8,   /* in a sequence; s->part has its bytes so far */
    STRING_ESCAPE, /* after a backslash */
    STRING_HEX,    /* STRING_HEX + n: n digits of a \u escape read */
    STRING_HEX_END = STRING_HEX + 4,
};

/* s->token inside numbers, and the classes of bytes that move it */
enum {
    NUMBER_STOP, /* the byte is no part of the number */
    NUMBER_START,
    NUMBER_MINUS,
    NUMBER_ZERO,
    NUMBER_INT,
    NUMBER_DOT,
    NUMBER_FRAC,
    NUMBER_E,
    NUMBER_E_SIGN,
    NUMBER_EXP,
    NUMBER_STATES
};
enum { C_OTHER, C_ZERO, C_DIGIT, C_DOT, C_E, C_PLUS, C_MINUS, C_CLASSES = 8 };

static const uint8_t number_class[256] = {
    ['0'] = C_ZERO,  ['1'] = C_DIGIT, ['2'] = C_DIGIT, ['3'] = C_DIGIT, ['4'] = C_DIGIT,
    ['5'] = C_DIGIT, ['6'] = C_DIGIT, ['7'] = C_DIGIT, ['8'] = C_DIGIT, ['9'] = C_DIGIT,
    ['.'] = C_DOT,   ['e'] = C_E,     ['E'] = C_E,     ['+'] = C_PLUS,  ['-'] = C_MINUS,
};

static const uint8_t number_next[NUMBER_STATES][C_CLASSES] = {
    [NUMBER_START] = {[C_MINUS] = NUMBER_MINUS, [C_ZERO] = NUMBER_ZERO, [C_DIGIT] = NUMBER_INT},
    [NUMBER_MINUS] = {[C_ZERO] = NUMBER_ZERO, [C_DIGIT] = NUMBER_INT},
    [NUMBER_ZERO] = {[C_DOT] = NUMBER_DOT, [C_E] = NUMBER_E},
    [NUMBER_INT] =
        {[C_ZERO] = NUMBER_INT, [C_DIGIT] = NUMBER_INT, [C_DOT] = NUMBER_DOT, [C_E] = NUMBER_E},
    [NUMBER_DOT] = {[C_ZERO] = NUMBER_FRAC, [C_DIGIT] = NUMBER_FRAC},
    [NUMBER_FRAC] = {[C_ZERO] = NUMBER_FRAC, [C_DIGIT] = NUMBER_FRAC, [C_E] = NUMBER_E},
    [NUMBER_E] = {[C_ZERO] = NUMBER_EXP,
                  [C_DIGIT] = NUMBER_EXP,
                  [C_PLUS] = NUMBER_E_SIGN,
                  [C_MINUS] = NUMBER_E_SIGN},
    [NUMBER_E_SIGN] = {[C_ZERO] = NUMBER_EXP, [C_DIGIT] = NUMBER_EXP},
    [NUMBER_EXP] = {[C_ZERO] = NUMBER_EXP, [C_DIGIT] = NUMBER_EXP},
};

static inline size_t offset(const struct json_scan *s, const uint8_t *p)
{
    return (uintptr_t)p - s->origin;
}

static ALWAYS_INLINE bool watched(const struct json_scan *s)
{
    return s->depth < s->watch;
}

static const uint8_t *fail(struct json_scan *s, enum json_error error, const uint8_t *p)
{
    s->error = error;
    s->error_at = offset(s, p);
    return NULL;
}

/* ---- strings ---- */

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Goes on after a backslash, as far as s->token says. */
static const uint8_t *escape(struct json_scan *s, const uint8_t *p, const uint8_t *end)
{
    static const bool simple[256] = {
        ['"'] = 1, ['\\'] = 1, ['/'] = 1, ['b'] = 1, ['f'] = 1, ['n'] = 1, ['r'] = 1, ['t'] = 1};

    if (LIKELY(p < end) && s->token == STRING_ESCAPE && simple[*p]) {
        s->token = STRING_PLAIN;
        return p + 1;
    }
    for (; s->token != STRING_PLAIN; p++) {
        int digit;

        if (p == end)
            return NULL;
        if (s->token == STRING_ESCAPE) {
            if (*p != 'u')
                return fail(s, JSON_E_SYNTAX, p);
            s->token = STRING_HEX;
            s->hex = 0;
            continue;
        }
        digit = hex_value(*p);
        if (digit < 0)
            return fail(s, JSON_E_SYNTAX, p);
        s->hex = (uint16_t)(s->hex << 4 | digit);
        if (++s->token == STRING_HEX_END) {
            s->token = STRING_PLAIN;
            s->nul |= s->hex == 0;
        }
    }
    return p;
}

/* Goes on with the sequence that the last piece's end cut. An error is at its first byte, as in one
 * piece. */
static const uint8_t *cut_sequence(struct json_scan *s, const uint8_t *p, const uint8_t *end)
{
    uint32_t cp;

    while (p < end) {
        s->part[s->part_n++] = (char)*p++;
        if (utf8_sequence(s->part, s->part_n, &cp) > 0) {
            s->token = STRING_PLAIN;
            return p;
        }
        if (s->part_n == sizeof(s->part) || utf8_cut(s->part, s->part_n) > 0) {
            fail(s, JSON_E_UTF8, p);
            s->error_at -= s->part_n;
            return NULL;
        }
    }
    return NULL;
}

/* Checks [run, p), which holds bytes above 0x7f. Only at `limit`, where bytes are still to come,
 * may it end within a sequence: then that is taken up again from there, or kept for the next piece
 * if this one is over. */
static const uint8_t *check_utf8(struct json_scan *s, const uint8_t *run, const uint8_t *p,
                                 const uint8_t *limit)
{
    size_t n = (size_t)(p - run), ok = utf8_valid_prefix((const char *)run, n);

    if (ok == n)
        return p;
    if (p < limit || n - ok >= sizeof(s->part) || utf8_cut((const char *)run + ok, n - ok) > 0)
        return fail(s, JSON_E_UTF8, run + ok);
    if (limit < s->end)
        return run + ok;
    s->part_n = (uint8_t)(n - ok);
    memcpy(s->part, run + ok, n - ok);
    s->token = STRING_UTF8;
    return p;
}

/* Where the plain ASCII at p ends within the next 16 bytes; 16 when it does not. */
#if defined(__SSE2__)
static ALWAYS_INLINE unsigned plain16(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    /* signed: control characters and everything above 0x7f */
    __m128i other = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), v);
    int stop = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), other));

    return (unsigned)__builtin_ctz((unsigned)stop | 1u << 16);
}
#endif

/* A string from anywhere inside it. Long runs are cut so that both passes find them in the cache.
 */
static __attribute__((noinline)) const uint8_t *string_rest(struct json_scan *s, const uint8_t *p,
                                                            const uint8_t *end)
{
    const size_t stretch = 16384;

    if (s->token == STRING_UTF8)
        p = cut_sequence(s, p, end);
    else if (s->token != STRING_PLAIN)
        p = escape(s, p, end);
    while (p != NULL && p < end) {
        const uint8_t *run = p, *limit = (size_t)(end - p) > stretch ? p + stretch : end;
        bool high = false;

        if (*p != '\\')
            p = json_run(p, limit, &high);
        if (UNLIKELY(high) && (p = check_utf8(s, run, p, limit)) == NULL)
            return NULL;
        if (p == end)
            return NULL;
        if (*p == '"')
            return p + 1;
        if (*p == '\\') {
            s->escaped = true;
            s->token = STRING_ESCAPE;
            p = escape(s, p + 1, end);
        } else if (*p < 0x20) {
            return fail(s, JSON_E_SYNTAX, p);
        }
    }
    return NULL;
}

/* A string from its opening quote. Most are short and plain: those end here, and leave no trace
 * when nobody watches. */
static ALWAYS_INLINE const uint8_t *string(struct json_scan *s, const uint8_t *p,
                                           const uint8_t *end)
{
    const uint8_t *open = p++;

#if defined(__SSE2__)
    if (LIKELY(end - p > 16)) {
        unsigned n = plain16(p);

        p += n;
        if (n == 16 && end - p > 16)
            p += plain16(p);
        if (LIKELY(*p == '"')) {
            if (watched(s)) {
                s->token_at = offset(s, open);
                s->escaped = s->nul = false;
            }
            return p + 1;
        }
    }
#endif
    s->token_at = offset(s, open);
    s->escaped = s->nul = false;
    s->token = STRING_PLAIN;
    return string_rest(s, p, end);
}

/* ---- other tokens ---- */

static ALWAYS_INLINE bool number_complete(unsigned state)
{
    return state == NUMBER_ZERO || state == NUMBER_INT || state == NUMBER_FRAC ||
           state == NUMBER_EXP;
}

static ALWAYS_INLINE const uint8_t *number(struct json_scan *s, const uint8_t *p,
                                           const uint8_t *end, unsigned state)
{
    for (; p < end; p++) {
        unsigned next = number_next[state][number_class[*p]];

        if (next == NUMBER_STOP) {
            if (UNLIKELY(!number_complete(state)))
                return fail(s, JSON_E_SYNTAX, p);
            s->integer = state <= NUMBER_INT;
            return p;
        }
        /* digits after digits change nothing */
        if (next == state)
            while (end - p > 1 && p[1] >= '0' && p[1] <= '9')
                p++;
        state = next;
    }
    s->token = (uint8_t)state;
    return NULL;
}

/* The word that s->type stands for, from its byte `at` on. */
static const uint8_t *literal(struct json_scan *s, const uint8_t *p, const uint8_t *end,
                              unsigned at)
{
    static const char word[][6] = {
        [JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true"};

    for (; word[s->type][at] != '\0'; at++, p++) {
        if (p == end) {
            s->token = (uint8_t)at;
            return NULL;
        }
        if (*p != (uint8_t)word[s->type][at])
            return fail(s, JSON_E_SYNTAX, p);
    }
    return p;
}

static __attribute__((noinline)) const uint8_t *space(struct json_scan *s, const uint8_t *p,
                                                      const uint8_t *end)
{
    for (; p < end; p++) {
        if (*p == '\n' || *p == '\r')
            s->newline = true;
        else if (*p != ' ' && *p != '\t')
            break;
    }
    return p;
}

/* ---- structure ---- */

static ALWAYS_INLINE void open_container(struct json_scan *s, bool object)
{
    uint64_t bit;

    if (watched(s) && s->dive && object)
        s->watch = (uint8_t)(s->depth + 2);
    s->depth++;
    bit = UINT64_C(1) << s->depth % 64;
    if (object)
        s->objects[s->depth / 64] |= bit;
    else
        s->objects[s->depth / 64] &= ~bit;
    s->in_object = object;
}

static ALWAYS_INLINE void close_container(struct json_scan *s)
{
    s->type = s->in_object ? JSON_OBJECT : JSON_ARRAY;
    s->depth--;
    s->in_object = s->objects[s->depth / 64] >> s->depth % 64 & 1;
    if (s->watch > s->depth + 1)
        s->watch = (uint8_t)(s->depth + 1);
}

static ALWAYS_INLINE void report_key(struct json_scan *s, const uint8_t *p)
{
    if (watched(s)) {
        s->p = p;
        s->watcher->on_key(s);
    }
}

/* Returns what may follow the value. */
static ALWAYS_INLINE uint8_t report_value(struct json_scan *s, const uint8_t *p)
{
    if (watched(s)) {
        s->p = p;
        s->watcher->on_value(s);
    }
    return s->depth > 0 ? EXPECT_NEXT : EXPECT_END;
}

/* Ends the piece: it is used up, or in error. */
static void pause(struct json_scan *s, uint8_t state)
{
    s->p = s->end;
    s->state = s->error == JSON_OK ? state : FAILED;
}

static __attribute__((noinline)) void wrong(struct json_scan *s, enum json_error error,
                                            const uint8_t *p)
{
    fail(s, error, p);
    pause(s, FAILED);
}

/* Finishes the token that the last piece left open. */
static const uint8_t *resume(struct json_scan *s)
{
    switch (s->state) {
    case IN_KEY:
    case IN_STRING:
        return string_rest(s, s->p, s->end);
    case IN_NUMBER:
        return number(s, s->p, s->end, s->token);
    case IN_LITERAL:
        return literal(s, s->p, s->end, s->token);
    default:
        return NULL;
    }
}

/* Lets whitespace pass; leaves when the piece is over before something else comes. */
#define NEXT_BYTE(state)                                                                           \
    do {                                                                                           \
        if (UNLIKELY(p == end || *p <= ' ') && (p = space(s, p, end)) == end)                      \
            return pause(s, state);                                                                \
    } while (0)

/* A value's first byte is at p: takes all of a scalar, or the bracket of a container. *ret_state is
 * the state after it, or while it is unfinished. */
static ALWAYS_INLINE const uint8_t *value(struct json_scan *s, const uint8_t *p, const uint8_t *end,
                                          uint8_t *ret_state)
{
    static const uint8_t type[256] = {
        ['"'] = JSON_STRING, ['['] = JSON_ARRAY,  ['{'] = JSON_OBJECT, ['n'] = JSON_NULL,
        ['f'] = JSON_FALSE,  ['t'] = JSON_TRUE,   ['-'] = JSON_NUMBER, ['0'] = JSON_NUMBER,
        ['1'] = JSON_NUMBER, ['2'] = JSON_NUMBER, ['3'] = JSON_NUMBER, ['4'] = JSON_NUMBER,
        ['5'] = JSON_NUMBER, ['6'] = JSON_NUMBER, ['7'] = JSON_NUMBER, ['8'] = JSON_NUMBER,
        ['9'] = JSON_NUMBER,
    };

    s->type = type[*p];
    switch (s->type) {
    case JSON_STRING:
        *ret_state = IN_STRING;
        return string(s, p, end);
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (UNLIKELY(s->depth >= s->depth_max))
            return fail(s, JSON_E_DEPTH, p);
        *ret_state = *p == '{' ? EXPECT_KEY_OR_CLOSE : EXPECT_VALUE_OR_CLOSE;
        open_container(s, *p == '{');
        return p + 1;
    case JSON_NUMBER:
        *ret_state = IN_NUMBER;
        return number(s, p, end, NUMBER_START);
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        *ret_state = IN_LITERAL;
        return literal(s, p, end, 0);
    default:
        return fail(s, JSON_E_SYNTAX, p);
    }
}

/* The cases stand in the order in which a member passes through them, and fall from one into the
 * next. */
static void scan(struct json_scan *s)
{
    const uint8_t *p = s->p, *const end = s->end;
    uint8_t state = s->state;

    if (UNLIKELY(state >= IN_KEY)) {
        if (p == end || (p = resume(s)) == NULL)
            return pause(s, state);
        if (state == IN_KEY) {
            report_key(s, p);
            state = EXPECT_COLON;
        } else {
            state = report_value(s, p);
        }
    }
    for (;;) {
        switch (state) {
        case EXPECT_KEY_OR_CLOSE:
            NEXT_BYTE(EXPECT_KEY_OR_CLOSE);
            if (*p == '}')
                break;
            /* fall through */
        case EXPECT_KEY:
            NEXT_BYTE(EXPECT_KEY);
            if (UNLIKELY(*p != '"'))
                return wrong(s, JSON_E_SYNTAX, p);
            p = string(s, p, end);
            if (UNLIKELY(p == NULL))
                return pause(s, IN_KEY);
            report_key(s, p);
            /* fall through */
        case EXPECT_COLON:
            NEXT_BYTE(EXPECT_COLON);
            if (UNLIKELY(*p != ':'))
                return wrong(s, JSON_E_SYNTAX, p);
            p++;
            /* fall through */
        case EXPECT_VALUE:
        value:
            NEXT_BYTE(EXPECT_VALUE);
            if (watched(s))
                s->value_at[s->depth] = offset(s, p);
            p = value(s, p, end, &state);
            if (UNLIKELY(p == NULL))
                return pause(s, state);
            if (state >= IN_KEY)
                state = report_value(s, p);
            continue;
        case EXPECT_NEXT:
            NEXT_BYTE(EXPECT_NEXT);
            if (*p == ',') {
                p++;
                state = s->in_object ? EXPECT_KEY : EXPECT_VALUE;
                continue;
            }
            if (UNLIKELY(*p != (s->in_object ? '}' : ']')))
                return wrong(s, JSON_E_SYNTAX, p);
            break;
        case EXPECT_VALUE_OR_CLOSE:
            NEXT_BYTE(EXPECT_VALUE_OR_CLOSE);
            if (*p != ']')
                goto value;
            break;
        default: /* EXPECT_END */
            NEXT_BYTE(EXPECT_END);
            return wrong(s, JSON_E_END, p);
        }
        close_container(s);
        state = report_value(s, ++p);
    }
}

void json_scan_init(struct json_scan *s, unsigned depth_max, const struct json_watcher *watcher)
{
    s->watcher = watcher;
    s->p = s->end = NULL;
    s->origin = 0;
    s->piece_at = 0;
    s->error = JSON_OK;
    s->error_at = 0;
    s->depth = 0;
    s->depth_max = (uint16_t)(depth_max < JSON_DEPTH_CAP ? depth_max : JSON_DEPTH_CAP);
    s->state = EXPECT_VALUE;
    s->token = STRING_PLAIN;
    s->watch = watcher != NULL ? 1 : 0;
    s->type = JSON_NONE;
    s->dive = true;
    s->in_object = s->newline = s->integer = s->escaped = s->nul = false;
    s->objects[0] = 0; /* bit 0 is read when the root closes; the others are written before */
}

enum json_error json_scan_feed(struct json_scan *s, struct slice piece)
{
    s->piece_at = json_scan_at(s);
    s->p = (const uint8_t *)piece.p;
    s->end = piece.n > 0 ? s->p + piece.n : s->p; /* p may be NULL then */
    s->origin = (uintptr_t)s->p - s->piece_at;
    scan(s);
    return s->error;
}

enum json_error json_scan_finish(struct json_scan *s)
{
    /* only here a number ends without a byte after it */
    if (s->state == IN_NUMBER && s->depth == 0 && number_complete(s->token)) {
        s->integer = s->token <= NUMBER_INT;
        s->state = EXPECT_END;
    }
    if (s->state != EXPECT_END && s->error == JSON_OK) {
        s->state = FAILED;
        fail(s, JSON_E_END, s->p);
    }
    return s->error;
}

enum json_error json_validate(struct slice text, unsigned depth_max, size_t *ret_at)
{
    struct json_scan s;

    json_scan_init(&s, depth_max, NULL);
    json_scan_feed(&s, text);
    json_scan_finish(&s);
    if (s.error != JSON_OK && ret_at != NULL)
        *ret_at = s.error_at;
    return s.error;
}

/* ---- tokens in pieces ---- */

static void carry_append(struct json_carry *c, const uint8_t *p, size_t n)
{
    if (c->n > JSON_CARRY_MAX || n > JSON_CARRY_MAX - (size_t)c->n) {
        c->n = JSON_CARRY_MAX + 1;
        return;
    }
    memcpy(c->bytes + c->n, p, n);
    c->n = (uint16_t)(c->n + n);
}

void json_carry_save(struct json_carry *c, const struct json_scan *s)
{
    size_t from;

    if (!watched(s) || (s->state != IN_KEY && s->state != IN_STRING && s->state != IN_NUMBER))
        return;
    from = s->state == IN_KEY ? s->token_at : s->value_at[s->depth];
    if (from >= s->piece_at)
        c->n = 0;
    else
        from = s->piece_at;
    carry_append(c, (const uint8_t *)(s->origin + from), json_scan_at(s) - from);
}

struct slice json_carry_take(struct json_carry *c, const struct json_scan *s, size_t from)
{
    size_t at = json_scan_at(s);
    struct slice whole;

    if (from >= s->piece_at)
        return slice_of((const char *)(s->origin + from), at - from);
    carry_append(c, (const uint8_t *)(s->origin + s->piece_at), at - s->piece_at);
    whole = slice_of(c->bytes, c->n <= JSON_CARRY_MAX ? c->n : 0);
    c->n = 0;
    return whole;
}
