/* What a server wrote may end up in an operator's terminal by way of an error, so everything passes
 * text_escape before it is laid out. Widths are the C library's, by the locale of the program. */
#include "ctl/text.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <wchar.h>

/* Characters that are printed and yet not seen, or that move others: formatting, bidirectional
 * controls, tags, variation selectors. */
static bool is_deceptive(uint32_t cp)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x80, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},
        {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
        {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (cp >= ranges[i].first && cp <= ranges[i].last)
            return true;
    return false;
}

static bool is_harmless(uint32_t cp, bool utf8)
{
    if (cp < 0x80)
        return cp >= 0x20 && cp != 0x7f;
    return utf8 && !is_deceptive(cp) && wcwidth((wchar_t)cp) > 0;
}

static void append_hex(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char esc[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
    buf_append(out, esc, sizeof(esc));
}

void text_escape(struct buf *out, struct slice s, bool utf8)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t cp = 0;
        size_t n = utf8_sequence(s.p + i, s.n - i, &cp);
        if (n > 0 && is_harmless(cp, utf8)) {
            buf_append(out, s.p + i, n);
        } else if (n == 1 && (cp == '\n' || cp == '\t')) {
            buf_append_str(out, cp == '\n' ? "\\n" : "\\t");
        } else {
            n = n ? n : 1;
            for (size_t k = 0; k < n; k++)
                append_hex(out, (unsigned char)s.p[i + k]);
        }
        i += n;
    }
}

/* The bytes of the first character, its columns in *ret_columns. */
static size_t next_character(struct slice s, size_t *ret_columns)
{
    uint32_t cp = 0;
    size_t n = utf8_sequence(s.p, s.n, &cp);
    int width = n > 1 ? wcwidth((wchar_t)cp) : 1;
    *ret_columns = width > 0 ? (size_t)width : 1;
    return n ? n : 1;
}

size_t text_width(struct slice s)
{
    size_t columns = 0, one;
    for (size_t i = 0; i < s.n; columns += one)
        i += next_character(slice_of(s.p + i, s.n - i), &one);
    return columns;
}

void text_cut(struct buf *out, struct slice s, size_t columns, bool utf8)
{
    struct slice mark = utf8 ? SLICE("…") : SLICE("...");
    size_t room, used = 0, at = 0, one;
    if (text_width(s) <= columns) {
        buf_append_slice(out, s);
        return;
    }
    if (text_width(mark) > columns)
        mark = SLICE("");
    room = columns - text_width(mark);
    while (at < s.n) {
        size_t n = next_character(slice_of(s.p + at, s.n - at), &one);
        if (used + one > room)
            break;
        used += one;
        at += n;
    }
    buf_append(out, s.p, at);
    buf_append_slice(out, mark);
}

const char *text_span(usec_t span, char out[static TEXT_SPAN_MAX])
{
    uint64_t seconds = span / USEC_PER_SEC + (span % USEC_PER_SEC >= USEC_PER_SEC / 2);
    uint64_t minutes = seconds / 60, hours = minutes / 60;
    if (span < 9950 * USEC_PER_MSEC) {
        unsigned tenths = (unsigned)((span + 50 * USEC_PER_MSEC) / (100 * USEC_PER_MSEC));
        snprintf(out, TEXT_SPAN_MAX, "%u.%u s", tenths / 10, tenths % 10);
    } else if (seconds < 120) {
        snprintf(out, TEXT_SPAN_MAX, "%" PRIu64 " s", seconds);
    } else if (hours == 0) {
        snprintf(out, TEXT_SPAN_MAX, "%" PRIu64 " min", minutes);
    } else if (hours < 24) {
        snprintf(out, TEXT_SPAN_MAX, "%" PRIu64 " h %" PRIu64 " min", hours, minutes % 60);
    } else {
        snprintf(out, TEXT_SPAN_MAX, "%" PRIu64 " d %" PRIu64 " h", hours / 24, hours % 24);
    }
    return out;
}

/* n digits at s; -1 when they are none. */
static int number_at(const char *s, unsigned n)
{
    int v = 0;
    for (unsigned i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

bool text_parse_time(const char *s, usec_t *ret)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    if (!s || strlen(s) != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < sizeof(form) - 1; i++)
        if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
            return false;
    struct tm tm = {.tm_year = number_at(s, 4) - 1900,
                    .tm_mon = number_at(s + 5, 2) - 1,
                    .tm_mday = number_at(s + 8, 2),
                    .tm_hour = number_at(s + 11, 2),
                    .tm_min = number_at(s + 14, 2),
                    .tm_sec = number_at(s + 17, 2)};
    if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    time_t seconds = timegm(&tm);
    if (seconds < 0)
        return false;
    *ret = (usec_t)seconds * USEC_PER_SEC + (usec_t)number_at(s + 20, 3) * USEC_PER_MSEC;
    return true;
}

const char *text_time(usec_t wall, char out[static TEXT_TIME_MAX])
{
    time_t seconds = (time_t)(wall / USEC_PER_SEC);
    struct tm tm;
    if (!localtime_r(&seconds, &tm) ||
        strftime(out, TEXT_TIME_MAX, "%a %Y-%m-%d %H:%M:%S %Z", &tm) == 0)
        snprintf(out, TEXT_TIME_MAX, "?");
    return out;
}
