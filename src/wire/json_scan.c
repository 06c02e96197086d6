/* The resumable scanner: RFC 8259 without exceptions, one pass, memory independent of the text. The
 * loop is in json_watch.h; here are the tokens that are no short ones, and what begins and ends a
 * scan. */
#include "json_watch.h"

#include "base/utf8.h"

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

void json_scan_fail(struct json_scan *s, enum json_error error, const uint8_t *p)
{
    s->error = error;
    s->error_at = json_offset(s, p);
}

static const uint8_t *fail(struct json_scan *s, enum json_error error, const uint8_t *p)
{
    json_scan_fail(s, error, p);
    return NULL;
}

/* ---- strings ---- */

/* Blocks of 16 bytes that ascii_run looks at before the wider instructions are worth their call. */
#define ASCII_NARROW_BLOCKS 8

/* What may follow a backslash, besides u. */
static const bool simple[256] = {['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true,
                                 ['f'] = true, ['n'] = true,  ['r'] = true, ['t'] = true};

/* A digit's value, and one more; 0 for what is none. */
static const uint8_t hex_digit[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

/* What is left of an escape, as far as s->token says. */
static __attribute__((noinline)) const uint8_t *escape_rest(struct json_scan *s, const uint8_t *p,
                                                            const uint8_t *end)
{
    for (; s->token != STRING_PLAIN; p++) {
        if (p == end)
            return NULL;
        if (s->token == STRING_ESCAPE) {
            if (*p != 'u' && !simple[*p])
                return fail(s, JSON_E_SYNTAX, p);
            s->token = *p == 'u' ? STRING_HEX : STRING_PLAIN;
            s->hex = 0;
            continue;
        }
        if (hex_digit[*p] == 0)
            return fail(s, JSON_E_SYNTAX, p);
        s->hex = (uint16_t)(s->hex << 4 | (hex_digit[*p] - 1));
        if (++s->token == STRING_HEX_END) {
            s->token = STRING_PLAIN;
            s->nul |= s->hex == 0;
        }
    }
    return p;
}

/* An escape from its backslash; in one go when all of it is there. */
static inline const uint8_t *escape(struct json_scan *s, const uint8_t *p, const uint8_t *end)
{
    s->escaped = true;
    if (LIKELY(end - p >= 2 && simple[p[1]]))
        return p + 2;
    if (end - p >= 6 && p[1] == 'u' && hex_digit[p[2]] != 0 && hex_digit[p[3]] != 0 &&
        hex_digit[p[4]] != 0 && hex_digit[p[5]] != 0) {
        s->nul |= memcmp(p + 2, "0000", 4) == 0;
        return p + 6;
    }
    s->token = STRING_ESCAPE;
    return escape_rest(s, p + 1, end);
}

/* Goes on with the sequence that the last piece's end cut. An error is at its first byte, as in one
 * piece. */
static __attribute__((noinline)) const uint8_t *cut_sequence(struct json_scan *s, const uint8_t *p,
                                                             const uint8_t *end)
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

/* Checks the run at p, whose first byte is above 0x7f, and returns where it ends. A long one is cut
 * so that both passes find it in the cache; only there, and at the end of the piece, may it end
 * within a sequence: that is then taken up again from its begin, or kept for the next piece. */
static const uint8_t *high_run(struct json_scan *s, const uint8_t *p)
{
    const size_t stretch = 16384;
    const uint8_t *limit = (size_t)(s->end - p) > stretch ? p + stretch : s->end;
    bool high = false;
    size_t n = (size_t)(json_run(p, limit, &high) - p);
    size_t ok = utf8_valid_prefix((const char *)p, n), rest = n - ok;

    if (rest == 0)
        return p + n;
    if (p + n < limit || rest >= sizeof(s->part) || utf8_cut((const char *)p + ok, rest) > 0)
        return fail(s, JSON_E_UTF8, p + ok);
    if (limit < s->end)
        return p + ok;
    s->part_n = (uint8_t)rest;
    memcpy(s->part, p + ok, rest);
    s->token = STRING_UTF8;
    return p + n;
}

/* Where the ASCII at p ends. Most strings end within a few blocks; the last bytes of the piece are
 * looked at together with some before them, if there are. */
static inline const uint8_t *ascii_run(const struct json_scan *s, const uint8_t *p)
{
#if defined(__SSE2__)
    const uint8_t *begin = (const uint8_t *)(s->origin + s->piece_at), *end = s->end;
    size_t blocks = (size_t)(end - p) / 16;
    unsigned stops;

    for (const uint8_t *narrow =
             p + 16 * (blocks < ASCII_NARROW_BLOCKS ? blocks : ASCII_NARROW_BLOCKS);
         p < narrow; p += 16)
        if ((stops = json_stops(p)) != 0)
            return p + (unsigned)__builtin_ctz(stops);
    if (end - p < 16 && end - begin >= 16) {
        stops = json_stops(end - 16) >> (16 - (end - p));
        return stops != 0 ? p + (unsigned)__builtin_ctz(stops) : end;
    }
#endif
    return json_ascii_run(p, s->end);
}

/* A string from anywhere inside it. */
static const uint8_t *string_rest(struct json_scan *s, const uint8_t *p)
{
    const uint8_t *end = s->end;

    if (s->token != STRING_PLAIN)
        p = s->token == STRING_UTF8 ? cut_sequence(s, p, end) : escape_rest(s, p, end);
    while (p != NULL && p < end) {
        if (*p == '\\') {
            p = escape(s, p, end); /* another one follows more often than chance has it */
            continue;
        }
        p = ascii_run(s, p);
        if (p == end)
            break;
        if (*p == '"')
            return p + 1;
        if (*p < 0x20)
            return fail(s, JSON_E_SYNTAX, p);
        if (*p >= 0x80)
            p = high_run(s, p);
    }
    return NULL;
}

const uint8_t *json_scan_string(struct json_scan *s, const uint8_t *p)
{
    s->escaped = s->nul = false;
    s->token = STRING_PLAIN;
    p = ascii_run(s, p);
    if (LIKELY(p < s->end && *p == '"'))
        return p + 1;
    return string_rest(s, p);
}

/* ---- other tokens ---- */

static bool number_complete(unsigned state)
{
    return state == NUMBER_ZERO || state == NUMBER_INT || state == NUMBER_FRAC ||
           state == NUMBER_EXP;
}

static const uint8_t *number_rest(struct json_scan *s, const uint8_t *p, unsigned state)
{
    const uint8_t *end = s->end;

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

static inline const uint8_t *digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (uint8_t)(*p - '0') <= 9)
        p++;
    return p;
}

/* Without an exponent, and whole, a number needs no table. */
const uint8_t *json_scan_number(struct json_scan *s, const uint8_t *from)
{
    const uint8_t *end = s->end, *first = from + (*from == '-'), *p = first, *dot = NULL;

    p = p < end && *p == '0' ? p + 1 : digits(p, end);
    if (p > first && p < end && *p == '.') {
        dot = p;
        p = digits(p + 1, end);
    }
    if (p == first || p == end || (dot != NULL && p == dot + 1) || (*p | 0x20) == 'e')
        return number_rest(s, from, NUMBER_START);
    s->integer = dot == NULL;
    return p;
}

/* The word that s->type stands for, from its byte `at` on. */
static const uint8_t *literal_rest(struct json_scan *s, const uint8_t *p, unsigned at)
{
    static const char word[][6] = {
        [JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true"};

    for (; word[s->type][at] != '\0'; at++, p++) {
        if (p == s->end) {
            s->token = (uint8_t)at;
            return NULL;
        }
        if (*p != (uint8_t)word[s->type][at])
            return fail(s, JSON_E_SYNTAX, p);
    }
    return p;
}

const uint8_t *json_scan_literal(struct json_scan *s, const uint8_t *p)
{
    return literal_rest(s, p, 0);
}

const uint8_t *json_scan_resume(struct json_scan *s)
{
    switch (s->state) {
    case IN_KEY:
    case IN_STRING:
        return string_rest(s, s->p);
    case IN_NUMBER:
        return number_rest(s, s->p, s->token);
    case IN_LITERAL:
        return literal_rest(s, s->p, s->token);
    default:
        return NULL;
    }
}

const uint8_t *json_scan_space(struct json_scan *s, const uint8_t *p)
{
    for (; p < s->end; p++) {
        if (*p == '\n' || *p == '\r')
            s->newline = true;
        else if (*p != ' ' && *p != '\t')
            break;
    }
    return p;
}

/* ---- the scan ---- */

static inline void json_watch_key(struct json_scan *s, unsigned depth, size_t at, size_t n,
                                  const uint8_t *text)
{
    (void)s, (void)depth, (void)at, (void)n, (void)text;
}

static inline void json_watch_value(struct json_scan *s, unsigned depth, size_t at, size_t n,
                                    unsigned is, const uint8_t *text)
{
    (void)s, (void)depth, (void)at, (void)n, (void)is, (void)text;
}

static inline bool json_watch_open(struct json_scan *s, unsigned depth)
{
    (void)s, (void)depth;
    return false;
}

enum json_error json_scan_feed(struct json_scan *s, struct slice piece)
{
    return json_watch_feed(s, piece);
}

enum json_error json_scan_finish_rest(struct json_scan *s)
{
    /* only here a number ends without a byte after it */
    if (s->state == IN_NUMBER && s->depth == 0 && number_complete(s->token)) {
        s->state = EXPECT_NEXT;
    } else if (s->error == JSON_OK) {
        s->state = FAILED;
        json_scan_fail(s, JSON_E_END, s->p);
    }
    return s->error;
}

enum json_error json_validate(struct slice text, unsigned depth_max, size_t *ret_at)
{
    struct json_scan s;

    json_scan_init(&s, depth_max, false);
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

    if (s->depth >= s->watch ||
        (s->state != IN_KEY && s->state != IN_STRING && s->state != IN_NUMBER))
        return;
    from = s->state == IN_KEY ? s->key_at : s->value_at[s->depth];
    if (from >= s->piece_at)
        c->n = 0;
    else
        from = s->piece_at;
    carry_append(c, (const uint8_t *)(s->origin + from), json_scan_at(s) - from);
}

struct slice json_carry_take(struct json_carry *c, const struct json_scan *s, size_t at, size_t n)
{
    struct slice whole;

    if (at >= s->piece_at)
        return slice_of((const char *)(s->origin + at), n);
    carry_append(c, (const uint8_t *)(s->origin + s->piece_at), at + n - s->piece_at);
    whole = slice_of(c->bytes, c->n <= JSON_CARRY_MAX ? c->n : 0);
    c->n = 0;
    return whole;
}
