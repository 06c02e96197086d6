/* Reader for JSON with comments.
 *
 * Why not cJSON: it drops positions, accepts what RFC 8259 forbids (house.md section 7), and a
 * configuration is written by hand, so that every complaint must say where. The text is checked for
 * UTF-8 first; after that one recursive descent (bounded by JSONC_DEPTH_MAX) builds the tree. Line
 * and column are counted along the way by moving one mark forward over the text, so the whole stays
 * linear. The first violation of the grammar ends the reading, because what follows it cannot be
 * trusted; duplicate keys do not. */
#include "config/jsonc.h"

#include "base/utf8.h"
#include "base/util.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *p, *end;
    const char *mark;      /* up to here lines and columns are counted */
    struct config_pos pos; /* of mark */
    unsigned depth;
    struct config_arena *arena;
    struct config_errors *errs;
};

static struct jsonc_value *read_value(struct reader *r);

/* The position of `at`, which is not before the one asked for last. */
static struct config_pos position(struct reader *r, const char *at)
{
    for (assert(at >= r->mark); r->mark < at; r->mark++) {
        if (*r->mark == '\n') {
            r->pos.line++;
            r->pos.column = 1;
        } else if (((unsigned char)*r->mark & 0xc0) != 0x80) {
            r->pos.column++;
        }
    }
    return r->pos;
}

static bool at_end(const struct reader *r)
{
    return r->p == r->end;
}

/* The byte at hand, or -1 at the end. */
static int peek(const struct reader *r)
{
    return at_end(r) ? -1 : (unsigned char)*r->p;
}

/* Consumes the text `s` if it is at hand. */
static bool accept(struct reader *r, const char *s)
{
    size_t n = strlen(s);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, s, n) != 0)
        return false;
    r->p += n;
    return true;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* "x", byte 0x01 or the end of the file: what stands where something else should. */
static const char *describe_next(const struct reader *r, struct diag_quote *q)
{
    uint32_t cp = 0;
    if (at_end(r))
        return "the file ends";
    size_t n = utf8_sequence(r->p, (size_t)(r->end - r->p), &cp);
    if (cp == 0)
        return "a NUL byte stands here";
    if (is_word((int)cp))
        while (n < 40 && r->p + n < r->end && is_word((unsigned char)r->p[n]))
            n++;
    snprintf(q->text, sizeof(q->text), "\"%.*s\" stands here", (int)n, r->p);
    return q->text;
}

static void expected(struct reader *r, const char *what)
{
    struct diag_quote q;
    diag_error(r->errs, position(r, r->p), "expected %s, but %s", what, describe_next(r, &q));
}

/* ---- blanks and comments ---- */

static bool skip_block_comment(struct reader *r)
{
    struct config_pos start = position(r, r->p);
    for (r->p += 2; r->end - r->p >= 2; r->p++) {
        if (accept(r, "*/"))
            return true;
    }
    diag_error(r->errs, start, "this comment is not closed with */");
    return false;
}

/* Moves to the next token; false after a complaint about a comment. */
static bool skip_blanks(struct reader *r)
{
    for (;;) {
        int c = peek(r);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            r->p++;
        } else if (c == '/' && r->end - r->p >= 2 && r->p[1] == '/') {
            const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
            r->p = nl ? nl : r->end;
        } else if (c == '/' && r->end - r->p >= 2 && r->p[1] == '*') {
            if (!skip_block_comment(r))
                return false;
        } else {
            return true;
        }
    }
}

/* ---- scalars ---- */

static struct jsonc_value *new_value(struct reader *r, enum jsonc_type type)
{
    struct jsonc_value *v = arena_alloc(r->arena, sizeof(*v));
    v->type = type;
    v->pos = position(r, r->p);
    return v;
}

static struct jsonc_value *read_word(struct reader *r)
{
    static const struct {
        const char *text;
        enum jsonc_type type;
        bool boolean;
    } words[] = {
        {"null", JSONC_NULL, false}, {"true", JSONC_BOOL, true}, {"false", JSONC_BOOL, false}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i].text);
        if ((size_t)(r->end - r->p) > n && is_word((unsigned char)r->p[n]))
            continue;
        struct reader at_word = *r;
        if (!accept(&at_word, words[i].text))
            continue;
        struct jsonc_value *v = new_value(r, words[i].type);
        v->boolean = words[i].boolean;
        r->p = at_word.p;
        return v;
    }
    expected(r, is_word(peek(r)) ? "a value; texts stand in double quotes" : "a value");
    return NULL;
}

static bool skip_digits(struct reader *r)
{
    if (!is_digit(peek(r)))
        return false;
    while (is_digit(peek(r)))
        r->p++;
    return true;
}

/* Moves over the number grammar of RFC 8259 section 6; false when it is violated. */
static bool skip_number(struct reader *r)
{
    if (peek(r) == '-')
        r->p++;
    if (peek(r) == '0')
        r->p++;
    else if (!skip_digits(r))
        return false;
    if (peek(r) == '.') {
        r->p++;
        if (!skip_digits(r))
            return false;
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->p++;
        if (peek(r) == '+' || peek(r) == '-')
            r->p++;
        if (!skip_digits(r))
            return false;
    }
    return true;
}

static struct jsonc_value *read_number(struct reader *r)
{
    struct jsonc_value *v = new_value(r, JSONC_NUMBER);
    const char *start = r->p;
    bool good = skip_number(r);
    if (good && !is_word(peek(r)) && peek(r) != '.' && peek(r) != '%') {
        v->number = slice_of(start, (size_t)(r->p - start));
        return v;
    }
    bool unit = false;
    for (; is_word(peek(r)) || peek(r) == '.' || peek(r) == '%'; r->p++)
        unit = unit || !is_digit(peek(r));
    diag_error(r->errs, v->pos, "%.*s is no JSON number%s",
               r->p - start > 40 ? 40 : (int)(r->p - start), start,
               unit ? "; a value with a unit stands in quotes, as \"30s\"" : "");
    return NULL;
}

/* ---- strings ---- */

static int hex_digit(int c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at hand, consumed; -1 when there are none. */
static int32_t read_hex4(struct reader *r)
{
    int32_t v = 0;
    if (r->end - r->p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit((unsigned char)r->p[i]);
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    r->p += 4;
    return v;
}

static char *put_utf8(char *o, uint32_t cp)
{
    if (cp < 0x80) {
        *o++ = (char)cp;
    } else if (cp < 0x800) {
        *o++ = (char)(0xc0 | cp >> 6);
        *o++ = (char)(0x80 | (cp & 0x3f));
    } else if (cp < 0x10000) {
        *o++ = (char)(0xe0 | cp >> 12);
        *o++ = (char)(0x80 | (cp >> 6 & 0x3f));
        *o++ = (char)(0x80 | (cp & 0x3f));
    } else {
        *o++ = (char)(0xf0 | cp >> 18);
        *o++ = (char)(0x80 | (cp >> 12 & 0x3f));
        *o++ = (char)(0x80 | (cp >> 6 & 0x3f));
        *o++ = (char)(0x80 | (cp & 0x3f));
    }
    return o;
}

/* The character that a \u escape stands for, both halves of a surrogate pair included; 0 after a
 * complaint. U+0000 is refused because nothing that a string here becomes (path, argument, header)
 * can hold it. */
static uint32_t read_unicode_escape(struct reader *r, struct config_pos at)
{
    int32_t hi = read_hex4(r);
    if (hi < 0) {
        diag_error(r->errs, at, "\\u needs four hexadecimal digits");
        return 0;
    }
    if (hi == 0) {
        diag_error(r->errs, at, "NUL characters are not allowed");
        return 0;
    }
    if (hi < 0xd800 || hi > 0xdfff)
        return (uint32_t)hi;
    int32_t lo = hi < 0xdc00 && accept(r, "\\u") ? read_hex4(r) : -1;
    if (lo < 0xdc00 || lo > 0xdfff) {
        diag_error(r->errs, at, "this escape is one half of a surrogate pair");
        return 0;
    }
    return 0x10000 + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00);
}

/* Reads what follows a backslash at hand into o. NULL after a complaint. */
static char *read_escape(struct reader *r, char *o)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    struct config_pos at = position(r, r->p);
    r->p++;
    if (accept(r, "u")) {
        uint32_t cp = read_unicode_escape(r, at);
        return cp ? put_utf8(o, cp) : NULL;
    }
    const char *hit = at_end(r) || *r->p == '\0' ? NULL : strchr(from, *r->p);
    if (hit == NULL) {
        diag_error(r->errs, at, "JSON has no such escape; a backslash itself is written \\\\");
        return NULL;
    }
    r->p++;
    *o++ = to[hit - from];
    return o;
}

/* The string at hand, unescaped, in the arena. NULL after a complaint. */
static const char *read_string(struct reader *r)
{
    struct config_pos start = position(r, r->p);
    r->p++;
    const char *close = r->p;
    while (close < r->end && *close != '"')
        close += *close == '\\' && r->end - close > 1 ? 2 : 1;
    /* No escape is longer than its meaning, so the room between the quotes is enough. */
    char *s = arena_alloc(r->arena, (size_t)(close - r->p) + 1), *o = s;
    while (!at_end(r)) {
        unsigned char c = (unsigned char)*r->p;
        if (c == '"') {
            r->p++;
            return s;
        }
        if (c == '\n' || c == '\r')
            break;
        if (c < 0x20) {
            diag_error(r->errs, position(r, r->p),
                       "control characters in a string are written as escapes, this one as \\u%04x",
                       c);
            return NULL;
        }
        if (c != '\\') {
            *o++ = *r->p++;
            continue;
        }
        o = read_escape(r, o);
        if (o == NULL)
            return NULL;
    }
    diag_error(r->errs, start, "this string is not closed on its line");
    return NULL;
}

/* ---- containers ---- */

/* After an element: true when another one follows, false at the closing bracket, which is consumed.
 * *ok turns false after a complaint. */
static bool read_separator(struct reader *r, char close, bool *ok)
{
    const char text[] = {close, '\0'};
    if (!skip_blanks(r)) {
        *ok = false;
        return false;
    }
    if (accept(r, text))
        return false;
    if (!accept(r, ",")) {
        expected(r, close == ']' ? "\",\" or \"]\"" : "\",\" or \"}\"");
        *ok = false;
        return false;
    }
    *ok = skip_blanks(r);
    return *ok && !accept(r, text);
}

static struct jsonc_value *read_array(struct reader *r)
{
    struct jsonc_value *v = new_value(r, JSONC_ARRAY), **tail = &v->items;
    bool ok;
    r->p++;
    if (!skip_blanks(r))
        return NULL;
    if (accept(r, "]"))
        return v;
    do {
        struct jsonc_value *item = read_value(r);
        if (item == NULL)
            return NULL;
        *tail = item;
        tail = &item->next;
        v->n++;
        ok = true;
    } while (read_separator(r, ']', &ok));
    return ok ? v : NULL;
}

/* `"key": value` at hand. NULL after a complaint. */
static struct jsonc_member *read_member(struct reader *r)
{
    if (peek(r) != '"') {
        expected(r, "a key in double quotes");
        return NULL;
    }
    struct jsonc_member *m = arena_alloc(r->arena, sizeof(*m));
    m->pos = position(r, r->p);
    m->key = read_string(r);
    if (m->key == NULL || !skip_blanks(r))
        return NULL;
    if (!accept(r, ":")) {
        expected(r, "\":\" after the key");
        return NULL;
    }
    if (!skip_blanks(r))
        return NULL;
    m->value = read_value(r);
    return m->value ? m : NULL;
}

static int compare_members(const void *a, const void *b)
{
    const struct jsonc_member *x = *(struct jsonc_member *const *)a;
    const struct jsonc_member *y = *(struct jsonc_member *const *)b;
    int c = strcmp(x->key, y->key);
    if (c != 0)
        return c;
    if (x->pos.line != y->pos.line)
        return x->pos.line < y->pos.line ? -1 : 1;
    return (x->pos.column > y->pos.column) - (x->pos.column < y->pos.column);
}

static void drop_member(struct jsonc_value *obj, const struct jsonc_member *m)
{
    struct jsonc_member **link = &obj->members;
    while (*link != m)
        link = &(*link)->next;
    *link = m->next;
    obj->n--;
}

/* Complains about keys that occur again and takes them out. Sorting keeps an object of 100,000 keys
 * from costing the square of that. */
static void refuse_duplicates(struct reader *r, struct jsonc_value *obj)
{
    size_t n = obj->n;
    if (n < 2)
        return;
    struct jsonc_member **sorted = xcalloc(n, sizeof(struct jsonc_member *));
    size_t i = 0;
    for (struct jsonc_member *m = obj->members; m != NULL; m = m->next)
        sorted[i++] = m;
    qsort(sorted, n, sizeof(struct jsonc_member *), compare_members);
    const struct jsonc_member *first = sorted[0];
    for (i = 1; i < n; i++) {
        if (strcmp(sorted[i]->key, first->key) != 0) {
            first = sorted[i];
            continue;
        }
        struct diag_quote q;
        diag_error(r->errs, sorted[i]->pos, "duplicate key \"%s\" (first on line %u)",
                   diag_quote(&q, first->key), first->pos.line);
        if (r->errs->errors <= CONFIG_ERRORS_MAX)
            drop_member(obj, sorted[i]);
    }
    free(sorted);
}

static struct jsonc_value *read_object(struct reader *r)
{
    struct jsonc_value *v = new_value(r, JSONC_OBJECT);
    struct jsonc_member **tail = &v->members;
    bool ok;
    r->p++;
    if (!skip_blanks(r))
        return NULL;
    if (accept(r, "}"))
        return v;
    do {
        struct jsonc_member *m = read_member(r);
        if (m == NULL)
            return NULL;
        *tail = m;
        tail = &m->next;
        v->n++;
        ok = true;
    } while (read_separator(r, '}', &ok));
    if (!ok)
        return NULL;
    refuse_duplicates(r, v);
    return v;
}

static struct jsonc_value *read_container(struct reader *r, bool object)
{
    if (r->depth == JSONC_DEPTH_MAX) {
        diag_error(r->errs, position(r, r->p), "arrays and objects are nested more than %d deep",
                   JSONC_DEPTH_MAX);
        return NULL;
    }
    r->depth++;
    struct jsonc_value *v = object ? read_object(r) : read_array(r);
    r->depth--;
    return v;
}

static struct jsonc_value *read_value(struct reader *r)
{
    int c = peek(r);
    if (c == '{' || c == '[')
        return read_container(r, c == '{');
    if (c == '"') {
        struct jsonc_value *v = new_value(r, JSONC_STRING);
        v->string = read_string(r);
        return v->string ? v : NULL;
    }
    if (c == '-' || is_digit(c))
        return read_number(r);
    return read_word(r);
}

/* ---- the whole text ---- */

static bool check_utf8(struct reader *r)
{
    for (const char *p = r->p; p < r->end;) {
        uint32_t cp;
        size_t n = utf8_sequence(p, (size_t)(r->end - p), &cp);
        if (n == 0) {
            diag_error(r->errs, position(r, p), "byte 0x%02x here is not valid UTF-8",
                       (unsigned char)*p);
            return false;
        }
        p += n;
    }
    return true;
}

struct jsonc_value *jsonc_parse(struct slice text, struct config_arena *arena,
                                struct config_errors *errs)
{
    struct reader r = {
        .p = text.p,
        .end = text.p + text.n,
        .mark = text.p,
        .pos = {1, 1},
        .arena = arena,
        .errs = errs,
    };
    if (text.n == 0) {
        diag_error(errs, r.pos, "the file is empty; the least it can hold is {}");
        return NULL;
    }
    if (!check_utf8(&r))
        return NULL;
    if (slice_starts(text, "\xef\xbb\xbf")) {
        diag_error(errs, r.pos, "the file begins with a byte order mark; save it as plain UTF-8");
        return NULL;
    }
    if (!skip_blanks(&r))
        return NULL;
    struct jsonc_value *v = read_value(&r);
    if (v == NULL || !skip_blanks(&r))
        return NULL;
    if (!at_end(&r)) {
        expected(&r, "the end of the file");
        return NULL;
    }
    return v;
}

struct jsonc_member *jsonc_member(const struct jsonc_value *v, const char *key)
{
    if (v == NULL || v->type != JSONC_OBJECT)
        return NULL;
    for (struct jsonc_member *m = v->members; m != NULL; m = m->next) {
        if (strcmp(m->key, key) == 0)
            return m;
    }
    return NULL;
}

const char *jsonc_type_name(enum jsonc_type type)
{
    static const char *const names[] = {
        [JSONC_NULL] = "null",       [JSONC_BOOL] = "true or false", [JSONC_NUMBER] = "a number",
        [JSONC_STRING] = "a string", [JSONC_ARRAY] = "an array",     [JSONC_OBJECT] = "an object",
    };
    return names[type];
}
