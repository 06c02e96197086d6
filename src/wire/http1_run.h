/* Runs of bytes in a head, found 16 at a time where the machine can: SSE2 is part of every x86-64,
 * other machines take the byte loops. Nothing behind `end` is ever read, so the last few bytes are
 * looked at one by one. Inline, since most runs are shorter than a call is long. */
#ifndef WIRE_HTTP1_RUN_H
#define WIRE_HTTP1_RUN_H

#include "wire/http1_internal.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

static inline bool http1_is_plain(char c)
{
    return (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t';
}

static inline const char *http1_plain_bytes(const char *p, const char *end)
{
    while (p < end && http1_is_plain(*p))
        p++;
    return p;
}

static inline size_t http1_token_bytes(struct slice s, size_t i)
{
    while (i < s.n && http1_is(s.p[i], HTTP1_C_TOKEN))
        i++;
    return i;
}

#if defined(__x86_64__)

#define HTTP1_BLOCK sizeof(__m128i)

static inline __m128i http1_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

static inline __m128i http1_at_most(__m128i v, char max)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(max)), v);
}

/* One bit for each control byte, tab included. */
static inline unsigned http1_controls(__m128i v)
{
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(http1_at_most(v, 0x1f), del));
}

/* Where the first control byte but tab stands; end when there is none. */
static inline const char *http1_plain_run(const char *p, const char *end)
{
    while ((size_t)(end - p) >= HTTP1_BLOCK) {
        unsigned stops = http1_controls(http1_load(p));

        if (stops == 0) {
            p += HTTP1_BLOCK;
            continue;
        }
        p += __builtin_ctz(stops);
        if (*p != '\t')
            return p;
        p++;
    }
    return http1_plain_bytes(p, end);
}

/* One bit for each byte that is no letter and no "-": names hardly ever have others. */
static inline unsigned http1_no_letters(__m128i v)
{
    __m128i from_a = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i dash = _mm_cmpeq_epi8(v, _mm_set1_epi8('-'));

    return ~(unsigned)_mm_movemask_epi8(_mm_or_si128(http1_at_most(from_a, 'z' - 'a'), dash)) &
           0xffff;
}

/* How many token bytes s begins with. end: of the memory that s is part of. */
static inline size_t http1_token_run(struct slice s, const char *end)
{
    size_t i = 0;

    for (; i < s.n && (size_t)(end - s.p) - i >= HTTP1_BLOCK; i += HTTP1_BLOCK) {
        unsigned stops = http1_no_letters(http1_load(s.p + i));

        if (stops) {
            i += (size_t)__builtin_ctz(stops);
            break;
        }
    }
    /* Letters behind the end of the line are none of its name. */
    return i < s.n ? http1_token_bytes(s, i) : s.n;
}

#else

/* Where the first control byte but tab stands; end when there is none. */
static inline const char *http1_plain_run(const char *p, const char *end)
{
    return http1_plain_bytes(p, end);
}

/* How many token bytes s begins with. end: of the memory that s is part of. */
static inline size_t http1_token_run(struct slice s, const char *end)
{
    (void)end;
    return http1_token_bytes(s, 0);
}

#endif

#endif
