/* SHA-256 by OpenSSL. */
#include "base/digest.h"

#include <openssl/sha.h>

_Static_assert(DIGEST_SIZE == SHA256_DIGEST_LENGTH, "the buffer fits the digest");

void digest_sha256(struct slice s, unsigned char out[DIGEST_SIZE])
{
    SHA256((const unsigned char *)s.p, s.n, out);
}

void digest_text(const unsigned char digest[DIGEST_SIZE], char out[DIGEST_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < DIGEST_SIZE / 2; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[DIGEST_TEXT_SIZE - 1] = '\0';
}
