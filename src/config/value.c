/* Numbers with units. Decimal arithmetic on integers: 0.1 s is 100000 microseconds, not whatever
 * binary fraction lies next to it, 9007199254740993 keeps its last digit, and the locale has no
 * say. */
#include "config/value.h"

#include "base/util.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t scale;
};

/* Largest first among those that value_format_* may choose. */
static const struct unit durations[] = {
    {"d", 86400000000}, {"h", 3600000000}, {"m", 60000000}, {"s", 1000000}, {"ms", 1000}, {"us", 1},
};

static const struct unit sizes[] = {
    {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},   {"B", 1},        {"g", 1 << 30},
    {"m", 1 << 20},   {"k", 1 << 10},   {"GB", 1000000000}, {"MB", 1000000}, {"kB", 1000},
};

struct decimal {
    unsigned __int128 mantissa;
    int exponent; /* of ten */
    bool negative, overflow;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void add_digit(struct decimal *d, char c)
{
    if (d->mantissa > ((unsigned __int128)-1 - 9) / 10)
        d->overflow = true;
    else
        d->mantissa = d->mantissa * 10 + (unsigned)(c - '0');
}

/* Reads an exponent at *p; values beyond a thousand are as good as a thousand. */
static int read_exponent(const char **p, const char *end)
{
    bool negative = false;
    int e = 0;
    if (*p < end && (**p == '+' || **p == '-'))
        negative = *(*p)++ == '-';
    for (; *p < end && is_digit(**p); (*p)++)
        e = e > 1000 ? e : e * 10 + (**p - '0');
    return negative ? -e : e;
}

/* Reads as much of text as is a number; *ret_rest is what follows. false when there is no number.
 */
static bool read_decimal(struct slice text, struct decimal *d, struct slice *ret_rest)
{
    const char *p = text.p, *end = text.p + text.n;
    *d = (struct decimal){0};
    if (p < end && *p == '-') {
        d->negative = true;
        p++;
    }
    if (p == end || !is_digit(*p))
        return false;
    for (; p < end && is_digit(*p); p++)
        add_digit(d, *p);
    if (end - p >= 2 && *p == '.' && is_digit(p[1])) {
        const char *last = p + 1;
        for (const char *q = p + 1; q < end && is_digit(*q); q++)
            if (*q != '0')
                last = q + 1;
        for (p++; p < end && is_digit(*p); p++) {
            if (p < last) { /* trailing zeros say nothing and must not overflow */
                add_digit(d, *p);
                d->exponent--;
            }
        }
    }
    if (end - p >= 2 && (*p == 'e' || *p == 'E') &&
        (is_digit(p[1]) || (end - p >= 3 && (p[1] == '+' || p[1] == '-') && is_digit(p[2])))) {
        p++;
        d->exponent += read_exponent(&p, end);
    }
    *ret_rest = slice_of(p, (size_t)(end - p));
    return true;
}

static enum value_result scale_decimal(const struct decimal *d, uint64_t scale, uint64_t *ret)
{
    if (d->negative && d->mantissa != 0)
        return VALUE_NEGATIVE;
    if (d->overflow)
        return d->exponent < 0 ? VALUE_FRACTION : VALUE_RANGE;
    unsigned __int128 v = d->mantissa;
    if (v == 0) {
        *ret = 0;
        return VALUE_OK;
    }
    int e = d->exponent;
    for (; e < 0 && v % 10 == 0; e++)
        v /= 10;
    /* Tens that the unit can take: 1.5 h is 15 times a tenth of an hour. */
    for (; e < 0 && scale % 10 == 0; e++)
        scale /= 10;
    if (v > UINT64_MAX)
        return e < 0 ? VALUE_FRACTION : VALUE_RANGE;
    v *= scale; /* both below 2^64 */
    for (; e < 0; e++) {
        if (v % 10 != 0)
            return VALUE_FRACTION;
        v /= 10;
    }
    for (; e > 0 && v <= UINT64_MAX; e--)
        v *= 10;
    if (v > UINT64_MAX)
        return VALUE_RANGE;
    *ret = (uint64_t)v;
    return VALUE_OK;
}

enum value_result value_number(struct slice text, uint64_t scale, uint64_t *ret)
{
    struct decimal d;
    struct slice rest;
    if (!read_decimal(text, &d, &rest) || rest.n != 0)
        return VALUE_SYNTAX;
    return scale_decimal(&d, scale, ret);
}

enum value_result value_duration(struct slice text, uint64_t *ret)
{
    struct decimal d;
    struct slice rest;
    if (!read_decimal(text, &d, &rest))
        return VALUE_SYNTAX;
    if (rest.n == 0)
        return VALUE_UNIT;
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        if (slice_is(rest, durations[i].name))
            return scale_decimal(&d, durations[i].scale, ret);
    }
    return VALUE_SYNTAX;
}

enum value_result value_size(struct slice text, uint64_t *ret)
{
    struct decimal d;
    struct slice rest;
    if (!read_decimal(text, &d, &rest))
        return VALUE_SYNTAX;
    if (rest.n == 0)
        return VALUE_UNIT;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        if (slice_is_nocase(rest, sizes[i].name))
            return scale_decimal(&d, sizes[i].scale, ret);
    }
    return VALUE_SYNTAX;
}

static const char *format(const struct unit *units, uint64_t v, char *out)
{
    while (units->scale > 1 && (v == 0 || v % units->scale != 0))
        units++;
    snprintf(out, VALUE_FORMAT_MAX, "%" PRIu64 "%s", v / units->scale, units->name);
    return out;
}

const char *value_format_duration(uint64_t usec, char *out)
{
    if (usec == 0)
        return memcpy(out, "0s", 3);
    return format(durations, usec, out);
}

const char *value_format_size(uint64_t bytes, char *out)
{
    return format(sizes, bytes, out);
}
