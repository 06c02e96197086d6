/* Access to JSON text that the scanner has passed before: nothing is built, every answer is a slice
 * of the text. Each look skips values by counting brackets outside strings. On text that was never
 * checked the answers mean nothing, but no byte outside the slice is read and every walk ends. */
#include "json_scan.h"
#include "words.h"

#include "base/util.h"

#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>

/* ---- skipping ---- */

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* From the opening quote to behind the closing one; NULL when there is none. */
static const char *skip_string(const char *p, const char *end)
{
    bool high = false;

    p++;
    for (;;) {
        p = (const char *)json_run((const uint8_t *)p, (const uint8_t *)end, &high);
        if (p == end)
            return NULL;
        if (*p == '"')
            return p + 1;
        if (*p == '\\' && end - p < 2)
            return NULL;
        p += *p == '\\' ? 2 : 1;
    }
}

static const char *skip_container(const char *p, const char *end)
{
    size_t depth = 0;

    while (p < end) {
        switch (*p) {
        case '"':
            p = skip_string(p, end);
            if (p == NULL)
                return NULL;
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return p + 1;
            break;
        default:
            break;
        }
        p++;
    }
    return NULL;
}

static const char *skip_scalar(const char *p, const char *end)
{
    const char *from = p;

    while (p < end && (unsigned char)*p > ' ' && *p != ',' && *p != ']' && *p != '}' && *p != ':')
        p++;
    return p > from ? p : NULL;
}

/* Takes one value off the front of *rest, which may begin with whitespace. */
static bool take_value(struct slice *rest, struct slice *ret_value)
{
    const char *end = rest->p + rest->n, *p = skip_space(rest->p, end), *behind;

    if (p == end)
        return false;
    if (*p == '"')
        behind = skip_string(p, end);
    else if (*p == '{' || *p == '[')
        behind = skip_container(p, end);
    else
        behind = skip_scalar(p, end);
    if (behind == NULL)
        return false;
    *ret_value = slice_of(p, (size_t)(behind - p));
    *rest = slice_of(behind, (size_t)(end - behind));
    return true;
}

/* Takes whitespace and, if it follows, the byte c off the front of *rest; whether it did follow. */
static bool take_byte(struct slice *rest, char c)
{
    const char *end = rest->p + rest->n, *p = skip_space(rest->p, end);
    bool found = p < end && *p == c;

    p += found;
    *rest = slice_of(p, (size_t)(end - p));
    return found;
}

/* ---- members and elements ---- */

enum json_type json_type_of(struct slice raw)
{
    if (raw.n == 0)
        return JSON_NONE;
    switch (raw.p[0]) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    case '-':
    case '0' ... '9':
        return JSON_NUMBER;
    default:
        return JSON_NONE;
    }
}

struct json_iter json_iter(struct slice container)
{
    enum json_type type = json_type_of(container);

    if (type != JSON_OBJECT && type != JSON_ARRAY)
        return (struct json_iter){{container.p, 0}};
    return (struct json_iter){{container.p + 1, container.n - 1}};
}

bool json_next_element(struct json_iter *it, struct slice *ret_value)
{
    struct slice rest = it->rest;

    take_byte(&rest, ',');
    if (!take_value(&rest, ret_value))
        return false;
    it->rest = rest;
    return true;
}

bool json_next_member(struct json_iter *it, struct slice *ret_key_raw, struct slice *ret_value)
{
    struct slice rest = it->rest, key, value;

    take_byte(&rest, ',');
    if (!take_value(&rest, &key) || !take_byte(&rest, ':') || !take_value(&rest, &value))
        return false;
    *ret_key_raw = key;
    *ret_value = value;
    it->rest = rest;
    return true;
}

struct slice json_get(struct slice obj, const char *key)
{
    struct json_iter it = json_iter(obj);
    struct slice key_raw, value;

    if (json_type_of(obj) == JSON_OBJECT)
        while (json_next_member(&it, &key_raw, &value))
            if (json_string_is(key_raw, key))
                return value;
    return slice_of(obj.p, 0);
}

struct slice json_path(struct slice obj, ...)
{
    const char *key;
    va_list ap;

    va_start(ap, obj);
    while (obj.n > 0 && (key = va_arg(ap, const char *)) != NULL)
        obj = json_get(obj, key);
    va_end(ap);
    return obj;
}

/* ---- strings ---- */

/* The characters of a string's content, one at a time. */
struct chars {
    const char *p, *end;
};

static bool string_chars(struct slice raw, struct chars *ret)
{
    if (raw.n < 2 || raw.p[0] != '"' || raw.p[raw.n - 1] != '"')
        return false;
    *ret = (struct chars){raw.p + 1, raw.p + raw.n - 1};
    return true;
}

/* Four hex digits at p; 0x10000 when there are none. */
static uint32_t hex4(const char *p, const char *end)
{
    uint32_t v = 0;

    if (end - p < 4)
        return 0x10000;
    for (int i = 0; i < 4; i++) {
        char c = p[i], low = (char)(c | 0x20);

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v << 4 | (uint32_t)(low - 'a' + 10);
        else
            return 0x10000;
    }
    return v;
}

/* A character written as \u, two of them for a pair; p stands behind the first `u`. A lone
 * surrogate comes back as itself, so that comparisons do not mix it up with another. */
static uint32_t unicode_escape(struct chars *c)
{
    uint32_t high = hex4(c->p, c->end), low;

    if (high > 0xffff)
        return '?';
    c->p += 4;
    if (high < 0xd800 || high > 0xdbff || c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
        return high;
    low = hex4(c->p + 2, c->end);
    if (low < 0xdc00 || low > 0xdfff)
        return high;
    c->p += 6;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* The next character behind a backslash, which is taken already. */
static uint32_t escaped_char(struct chars *c)
{
    char name = '?';

    if (c->p < c->end)
        name = *c->p++;
    switch (name) {
    case 'u':
        return unicode_escape(c);
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return (unsigned char)name;
    }
}

/* The next stretch as UTF-8: a byte of a plain character, or all bytes of an escaped one. Lone
 * surrogates take the three bytes that UTF-8 has no use for. Returns the length, 0 at the end. */
static size_t next_bytes(struct chars *c, char out[4])
{
    uint32_t cp;

    if (c->p == c->end)
        return 0;
    out[0] = *c->p++;
    if (out[0] != '\\')
        return 1;
    cp = escaped_char(c);
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

/* Resolves into out, at most max bytes. With `repair` lone surrogates become U+FFFD. False when it
 * is too long. */
static bool resolve(struct chars c, char *out, size_t max, bool repair, size_t *ret_n)
{
    size_t n = 0, len;
    char bytes[4];

    while ((len = next_bytes(&c, bytes)) > 0) {
        if (len > max - n)
            return false;
        if (repair && len == 3 && bytes[0] == '\xed' && (unsigned char)bytes[1] >= 0xa0)
            memcpy(bytes, "\xef\xbf\xbd", 3);
        memcpy(out + n, bytes, len);
        n += len;
    }
    *ret_n = n;
    return true;
}

bool json_unescape(struct slice raw_string, struct buf *out, size_t max)
{
    struct chars c;
    size_t n, room;

    if (!string_chars(raw_string, &c))
        return false;
    /* no escape is shorter than what it stands for */
    room = raw_string.n - 2 < max ? raw_string.n - 2 : max;
    if (!resolve(c, buf_reserve(out, room), room, true, &n))
        return false;
    buf_added(out, n);
    return true;
}

struct slice json_plain(struct slice token, bool escaped, char *store, size_t cap)
{
    struct chars c;
    size_t n;

    if (!string_chars(token, &c))
        return slice_of(store, 0);
    if (!escaped)
        return slice_of(c.p, (size_t)(c.end - c.p));
    return slice_of(store, resolve(c, store, cap, false, &n) ? n : 0);
}

bool json_string_is(struct slice raw_string, const char *s)
{
    struct slice want = slice_str(s);
    struct chars c;
    char bytes[4];
    size_t len;

    if (!string_chars(raw_string, &c))
        return false;
    while ((len = next_bytes(&c, bytes)) > 0) {
        if (len > want.n || memcmp(want.p, bytes, len) != 0)
            return false;
        want = slice_of(want.p + len, want.n - len);
    }
    return want.n == 0;
}

static bool same_chars(struct chars a, struct chars b)
{
    char a_bytes[4], b_bytes[4];
    size_t a_n = 0, b_n = 0, a_i = 0, b_i = 0;

    for (;;) {
        if (a_i == a_n) {
            a_n = next_bytes(&a, a_bytes);
            a_i = 0;
        }
        if (b_i == b_n) {
            b_n = next_bytes(&b, b_bytes);
            b_i = 0;
        }
        if (a_n == 0 || b_n == 0)
            return a_n == b_n;
        if (a_bytes[a_i++] != b_bytes[b_i++])
            return false;
    }
}

bool json_id_eq(struct slice a, struct slice b)
{
    struct chars ac, bc;
    enum json_type type = json_type_of(a);

    if (type != json_type_of(b))
        return false;
    if (type == JSON_NUMBER)
        return slice_eq(a, b);
    return type == JSON_STRING &&
           (slice_eq(a, b) || (string_chars(a, &ac) && string_chars(b, &bc) && same_chars(ac, bc)));
}

/* FNV-1a, by words as far as there are any. */
static uint64_t hash_bytes(struct slice s)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; s.n >= 8; s = slice_of(s.p + 8, s.n - 8)) {
        hash = (hash ^ load_8(s.p)) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32;
    }
    for (size_t i = 0; i < s.n; i++)
        hash = (hash ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Of what is longer than any id that rpc_parse lets through, all have one hash. */
uint64_t json_id_hash(struct slice id)
{
    char plain[256];
    struct chars c;

    if (!string_chars(id, &c))
        return hash_bytes(id);
    id = slice_of(c.p, (size_t)(c.end - c.p));
    if (memchr(id.p, '\\', id.n)) {
        if (!resolve(c, plain, sizeof(plain), false, &id.n))
            return 0;
        id.p = plain;
    }
    return id.n <= sizeof(plain) ? hash_bytes(id) : 0;
}

/* ---- numbers ---- */

bool json_u64(struct slice raw, uint64_t *ret)
{
    uint64_t v = 0;

    if (raw.n == 0)
        return false;
    for (size_t i = 0; i < raw.n; i++) {
        unsigned digit = (unsigned char)raw.p[i] - (unsigned)'0';

        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *ret = v;
    return true;
}

/* strtod reads the decimal point of the process's locale; this one is JSON's. Made once, kept for
 * good. */
static locale_t c_locale(void)
{
    static locale_t c;

    if (c == (locale_t)0)
        c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return c;
}

bool json_double(struct slice raw, double *ret)
{
    char brief[64], *text = brief, *behind;
    double v;
    bool ok;

    /* strtod would also take hex, "inf" and "nan" */
    if (json_type_of(raw) != JSON_NUMBER)
        return false;
    for (size_t i = 0; i < raw.n; i++)
        if (memchr("+-.0123456789Ee", raw.p[i], 15) == NULL)
            return false;
    if (raw.n >= sizeof(brief))
        text = xmalloc(raw.n + 1);
    memcpy(text, raw.p, raw.n);
    text[raw.n] = '\0';
    v = strtod_l(text, &behind, c_locale());
    ok = behind == text + raw.n;
    if (text != brief)
        free(text);
    if (ok)
        *ret = v;
    return ok;
}
