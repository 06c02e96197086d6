/* SHA-256 and what is made of it, by OpenSSL. */
#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>

_Static_assert(DIGEST_SIZE == SHA256_DIGEST_LENGTH, "the buffer fits the digest");

/* Looking up the algorithm and making room for its state cost more than a short digest. Only a lack
 * of memory makes any of this fail; a wrong digest must not go out for that. */
void digest_sha256(struct slice s, unsigned char out[DIGEST_SIZE])
{
    static EVP_MD *algorithm;
    static EVP_MD_CTX *state;
    if (!state &&
        (!(algorithm = EVP_MD_fetch(NULL, "SHA256", NULL)) || !(state = EVP_MD_CTX_new())))
        abort();
    if (!EVP_DigestInit_ex2(state, algorithm, NULL) || !EVP_DigestUpdate(state, s.p, s.n) ||
        !EVP_DigestFinal_ex(state, out, NULL))
        abort();
}

void digest_hmac_sha256(struct slice key, struct slice s, unsigned char out[DIGEST_SIZE])
{
    unsigned n = 0;
    /* Only a lack of memory makes it fail; a wrong MAC must not go out for that. */
    if (!HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)s.p, s.n, out, &n) ||
        n != DIGEST_SIZE)
        abort();
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
