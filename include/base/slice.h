/* A borrowed run of bytes: never owned, never NUL-terminated. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

/* A slice of a string literal, usable in initialisers through SLICE_INIT. */
#define SLICE_INIT(lit)                                                                            \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }
#define SLICE(lit) ((struct slice)SLICE_INIT(lit))

static inline struct slice slice_of(const char *p, size_t n)
{
    return (struct slice){p, n};
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Copies the bytes to where there is room for them. Returns what is behind them. */
static inline char *slice_put(char *to, struct slice a)
{
    if (a.n > 0)
        memcpy(to, a.p, a.n);
    return to + a.n;
}

/* Equal to a C string, byte for byte. */
static inline bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

/* Equal to a C string, ASCII letters compared without case (HTTP field names and the like). */
bool slice_is_nocase(struct slice a, const char *s);

/* Whether a begins with the C string s. */
static inline bool slice_starts(struct slice a, const char *s)
{
    size_t n = strlen(s);
    return a.n >= n && memcmp(a.p, s, n) == 0;
}

/* Whether a holds nothing but visible ASCII: no blanks, no control bytes. An empty one does. */
bool slice_is_visible(struct slice a);

static inline bool slice_is_ows(char c)
{
    return c == ' ' || c == '\t';
}

/* a without leading and trailing spaces and tabs (RFC 9110 OWS). */
static inline struct slice slice_trim(struct slice a)
{
    while (a.n > 0 && slice_is_ows(a.p[0])) {
        a.p++;
        a.n--;
    }
    while (a.n > 0 && slice_is_ows(a.p[a.n - 1]))
        a.n--;
    return a;
}

#endif
