/* Digests, for fingerprints that people compare and programs pin. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/slice.h"

#define DIGEST_SIZE 32

/* SHA-256 (FIPS 180-4) of s. */
void digest_sha256(struct slice s, unsigned char out[DIGEST_SIZE]);

/* The first half of a digest as lower-case hex digits and a NUL: as much as a person compares. */
#define DIGEST_TEXT_SIZE (DIGEST_SIZE + 1)
void digest_text(const unsigned char digest[DIGEST_SIZE], char out[DIGEST_TEXT_SIZE]);

#endif
