/* Where text stops being UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF).
 *
 * ASCII is skipped by words. Longer text with much else in it goes through a vector check where the
 * machine has AVX2: each pair of neighbouring bytes is classified by three 16-entry tables (high
 * and low half of the first byte, high half of the second), whose AND is non-zero exactly for the
 * pairs that no valid text contains; third and fourth bytes are then compared with where the leads
 * say they must be (Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte",
 * 2021). It only says that a block is bad; the byte loop finds the place. */
#include "base/utf8.h"
#include "wire/json.h"
#include "words.h"

#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Below this the byte loop is done before the tables are loaded. */
#define VECTOR_MIN 64

static size_t ascii_prefix(const char *p, size_t n)
{
    size_t i = 0;

    while (n - i >= 8 && !(load_8(p + i) & 0x8080808080808080u))
        i += 8;
    while (i < n && !(p[i] & 0x80))
        i++;
    return i;
}

static size_t valid_bytes(const char *p, size_t n)
{
    size_t i = 0, len;
    uint32_t cp;

    while ((i += ascii_prefix(p + i, n - i)) < n) {
        /* text that is not ASCII seldom comes as a single character */
        do {
            len = utf8_sequence(p + i, n - i, &cp);
            if (len == 0)
                return i;
            i += len;
        } while (i < n && (p[i] & 0x80));
    }
    return n;
}

#if defined(__x86_64__)

/* What can be wrong with two bytes in a row; one bit each. */
enum {
    TOO_SHORT = 1 << 0,      /* lead, then no continuation */
    TOO_LONG = 1 << 1,       /* ASCII, then a continuation */
    OVERLONG_3 = 1 << 2,     /* E0 80..9F */
    TOO_LARGE = 1 << 3,      /* F4 90.., F5.. */
    SURROGATE = 1 << 4,      /* ED A0..BF */
    OVERLONG_2 = 1 << 5,     /* C0, C1 */
    TOO_LARGE_1000 = 1 << 6, /* F5.. 80..8F; shares its bit with OVERLONG_4 */
    OVERLONG_4 = 1 << 6,     /* F0 80..8F */
    TWO_CONTS =
        1 << 7, /* continuation after continuation: an error unless a long lead asks for it */
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
};

static const uint8_t first_high[16] = {
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TWO_CONTS,
    TWO_CONTS,
    TWO_CONTS,
    TWO_CONTS,
    TOO_SHORT | OVERLONG_2,
    TOO_SHORT,
    TOO_SHORT | OVERLONG_3 | SURROGATE,
    TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4,
};

static const uint8_t first_low[16] = {
    CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4,
    CARRY | OVERLONG_2,
    CARRY,
    CARRY,
    CARRY | TOO_LARGE,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000 | SURROGATE,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
};

static const uint8_t second_high[16] = {
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4,
    TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE,
    TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE,
    TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
};

#define AVX2 __attribute__((target("avx2")))

/* The block moved up by n bytes, the gap filled from the end of the block before it. */
#define FROM_BEFORE(now, last, n)                                                                  \
    _mm256_alignr_epi8(now, _mm256_permute2x128_si256(last, now, 0x21), 16 - (n))

AVX2 static inline __m256i table(const uint8_t *t)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)t));
}

AVX2 static inline __m256i high_half(__m256i v)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
}

/* Non-zero where `now`, following `last`, breaks a rule. */
AVX2 static inline __m256i block_errors(__m256i now, __m256i last)
{
    __m256i one = FROM_BEFORE(now, last, 1);
    __m256i two = FROM_BEFORE(now, last, 2);
    __m256i three = FROM_BEFORE(now, last, 3);
    __m256i low = _mm256_and_si256(one, _mm256_set1_epi8(0x0f));
    __m256i pair =
        _mm256_and_si256(_mm256_and_si256(_mm256_shuffle_epi8(table(first_high), high_half(one)),
                                          _mm256_shuffle_epi8(table(first_low), low)),
                         _mm256_shuffle_epi8(table(second_high), high_half(now)));
    /* 0x80 where a lead of three or four stands two back, or one of four three back */
    __m256i third = _mm256_subs_epu8(two, _mm256_set1_epi8((char)(0xe0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(three, _mm256_set1_epi8((char)(0xf0 - 0x80)));
    __m256i must = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));

    return _mm256_xor_si256(must, pair);
}

/* How many leading bytes are surely good: whole blocks up to the first bad one, less the character
 * that may reach over its edge. */
AVX2 static size_t valid_blocks(const char *p, size_t n)
{
    __m256i last = _mm256_setzero_si256();
    size_t i = 0;

    for (; n - i >= 32; i += 32) {
        __m256i now = _mm256_loadu_si256((const __m256i *)(p + i));
        __m256i bad = block_errors(now, last);

        if (!_mm256_testz_si256(bad, bad))
            break;
        last = now;
    }
    /* the block before i is good except that its last character may lack bytes */
    for (unsigned back = 0; back < 4 && i > 0 && (p[i - 1] & 0x80); back++) {
        i--;
        if ((p[i] & 0xc0) == 0xc0)
            break;
    }
    return i;
}

static bool has_avx2(void)
{
    static int8_t known; /* 0 not asked yet */

    if (known == 0)
        known = __builtin_cpu_supports("avx2") ? 1 : -1;
    return known > 0;
}

size_t utf8_valid_prefix(const char *p, size_t n)
{
    size_t done = 0;

    if (n >= VECTOR_MIN && has_avx2())
        done = valid_blocks(p, n);
    return done + valid_bytes(p + done, n - done);
}

#else

size_t utf8_valid_prefix(const char *p, size_t n)
{
    return valid_bytes(p, n);
}

#endif
