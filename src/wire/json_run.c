/* Runs of plain bytes inside strings, found 16 or 32 at a time. SSE2 is part of every x86-64; AVX2
 * is asked for once at run time; other machines take the byte loop. Bytes above 0x7f belong to the
 * run: whether they are UTF-8 is another pass's matter (utf8_valid.c), and none of the bytes that
 * end a run can be part of a sequence. */
#include "json_scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline bool ends_run(uint8_t c)
{
    return c == '"' || c == '\\' || c < 0x20;
}

static const uint8_t *run_bytes(const uint8_t *p, const uint8_t *end, bool *ret_high)
{
    uint8_t seen = 0;

    while (p < end && !ends_run(*p))
        seen |= *p++;
    if (seen & 0x80)
        *ret_high = true;
    return p;
}

static const uint8_t *ascii_bytes(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p < 0x80 && !ends_run(*p))
        p++;
    return p;
}

#if defined(__x86_64__)

/* Blocks of 16 bytes that json_run looks at before the wider instructions are worth their call. */
#define RUN_NARROW_BLOCKS 4

/* Bit i of a high mask counts only when byte i comes before the end of the run. */
static inline uint32_t before(uint32_t stop)
{
    return stop ? (stop & -stop) - 1 : UINT32_MAX;
}

static inline uint32_t stops16(__m128i v)
{
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash)));
}

__attribute__((target("avx2"))) static inline uint32_t stops32(__m256i v)
{
    __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    __m256i all = _mm256_or_si256(control, _mm256_or_si256(quote, backslash));
    return (uint32_t)_mm256_movemask_epi8(all);
}

__attribute__((target("avx2"))) static const uint8_t *run_avx2(const uint8_t *p, const uint8_t *end,
                                                               bool *ret_high)
{
    for (; end - p >= 32; p += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)p);
        uint32_t stop = stops32(v);

        if ((uint32_t)_mm256_movemask_epi8(v) & before(stop))
            *ret_high = true;
        if (stop)
            return p + __builtin_ctz(stop);
    }
    return run_bytes(p, end, ret_high);
}

static const uint8_t *run_sse2(const uint8_t *p, const uint8_t *end, bool *ret_high)
{
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        uint32_t stop = stops16(v);

        if ((uint32_t)_mm_movemask_epi8(v) & before(stop))
            *ret_high = true;
        if (stop)
            return p + __builtin_ctz(stop);
    }
    return run_bytes(p, end, ret_high);
}

static bool has_avx2(void)
{
    static int8_t known; /* 0 not asked yet */

    if (known == 0)
        known = __builtin_cpu_supports("avx2") ? 1 : -1;
    return known > 0;
}

const uint8_t *json_run(const uint8_t *p, const uint8_t *end, bool *ret_high)
{
    const uint8_t *narrow = end;

    if (end - p > 16 * RUN_NARROW_BLOCKS)
        narrow = p + 16 * RUN_NARROW_BLOCKS;
    p = run_sse2(p, narrow, ret_high);
    if (p < narrow || narrow == end)
        return p;
    return has_avx2() ? run_avx2(p, end, ret_high) : run_sse2(p, end, ret_high);
}

/* As json_stops, for 32 bytes. */
__attribute__((target("avx2"))) static inline uint32_t ascii_stops32(const uint8_t *p)
{
    __m256i v = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)p), _mm256_set1_epi8(2));
    __m256i low = _mm256_subs_epi8(v, _mm256_set1_epi8(('"' ^ 2) + 1));
    __m256i backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\' ^ 2));

    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(low, backslash));
}

__attribute__((target("avx2"))) static const uint8_t *ascii_avx2(const uint8_t *p,
                                                                 const uint8_t *end)
{
    uint32_t stops;

    for (; end - p >= 32; p += 32)
        if ((stops = ascii_stops32(p)) != 0)
            return p + __builtin_ctz(stops);
    return ascii_bytes(p, end);
}

static const uint8_t *ascii_sse2(const uint8_t *p, const uint8_t *end)
{
    unsigned stops;

    for (; end - p >= 16; p += 16)
        if ((stops = json_stops(p)) != 0)
            return p + __builtin_ctz(stops);
    return ascii_bytes(p, end);
}

const uint8_t *json_ascii_run(const uint8_t *p, const uint8_t *end)
{
    return has_avx2() ? ascii_avx2(p, end) : ascii_sse2(p, end);
}

#else

const uint8_t *json_ascii_run(const uint8_t *p, const uint8_t *end)
{
    return ascii_bytes(p, end);
}

const uint8_t *json_run(const uint8_t *p, const uint8_t *end, bool *ret_high)
{
    return run_bytes(p, end, ret_high);
}

#endif
