/* SHA-256 and what is made of it, by nettle: a small library with nothing to set up. It looks at
 * the processor once and uses its instructions for SHA-256, and none of it can fail. */
#include "base/digest.h"

#include <nettle/hmac.h>
#include <nettle/sha2.h>

_Static_assert(DIGEST_SIZE == SHA256_DIGEST_SIZE, "the buffer fits the digest");

void digest_sha256(struct slice s, unsigned char out[DIGEST_SIZE])
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, s.n, (const uint8_t *)s.p);
    sha256_digest(&state, DIGEST_SIZE, out);
    explicit_bzero(&state, sizeof(state)); /* it holds the end of s, which may be a secret */
}

void digest_hmac_sha256(struct slice key, struct slice s, unsigned char out[DIGEST_SIZE])
{
    struct hmac_sha256_ctx state;
    hmac_sha256_set_key(&state, key.n, (const uint8_t *)key.p);
    hmac_sha256_update(&state, s.n, (const uint8_t *)s.p);
    hmac_sha256_digest(&state, DIGEST_SIZE, out);
    explicit_bzero(&state, sizeof(state)); /* it stands for the key */
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
