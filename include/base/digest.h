/* Digests, for fingerprints that people compare and programs pin. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/slice.h"

#include <stdint.h>

#define DIGEST_SIZE 32

/* SHA-256 (FIPS 180-4) of s. */
void digest_sha256(struct slice s, unsigned char out[DIGEST_SIZE]);

/* HMAC-SHA-256 (RFC 2104, FIPS 198-1) of s under key. */
void digest_hmac_sha256(struct slice key, struct slice s, unsigned char out[DIGEST_SIZE]);

/* Whether n bytes are equal, in a time that does not depend on where they differ. Inline, because a
 * request is compared with every secret there is. */
static inline bool digest_eq(const void *a, const void *b, size_t n)
{
    const unsigned char *p = a, *q = b;
    uint64_t differ = 0, x, y;
    for (; n >= sizeof(x); n -= sizeof(x), p += sizeof(x), q += sizeof(y)) {
        memcpy(&x, p, sizeof(x));
        memcpy(&y, q, sizeof(y));
        differ |= x ^ y;
        __asm__("" : "+r"(differ)); /* the compiler must not see that it could stop here */
    }
    for (; n; n--)
        differ |= *p++ ^ *q++;
    __asm__("" : "+r"(differ));
    return differ == 0;
}

/* The first half of a digest as lower-case hex digits and a NUL: as much as a person compares. */
#define DIGEST_TEXT_SIZE (DIGEST_SIZE + 1)
void digest_text(const unsigned char digest[DIGEST_SIZE], char out[DIGEST_TEXT_SIZE]);

#endif
