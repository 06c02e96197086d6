/* base64url without padding (RFC 4648 section 5), the alphabet of ids that travel in headers and
 * URLs. */
#ifndef BASE_BASE64URL_H
#define BASE_BASE64URL_H

#include "base/slice.h"

/* Digits that n bytes take. */
#define BASE64URL_LEN(n) (((n)*4 + 2) / 3)

/* Writes the BASE64URL_LEN(n) digits of the n bytes at p to out; no NUL. */
void base64url_encode(const void *p, size_t n, char *out);

/* Decodes all of in to at most cap bytes at out; *ret_n is how many. false when in is not what
 * base64url_encode writes: foreign digits, an impossible length, stray bits at the end; or when it
 * is longer than cap allows. So two different texts never decode to the same bytes. */
bool base64url_decode(struct slice in, void *out, size_t cap, size_t *ret_n);

#endif
