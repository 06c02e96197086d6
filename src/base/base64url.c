/* Digits in, bytes out, and back. Lengths are short: ids, never bodies. */
#include "base/base64url.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(const void *p, size_t n, char *out)
{
    const unsigned char *in = p;
    unsigned v = 0, bits = 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | in[i];
        for (bits += 8; bits >= 6; bits -= 6)
            *out++ = digits[v >> (bits - 6) & 63];
        v &= 63;
    }
    if (bits)
        *out = digits[v << (6 - bits) & 63];
}

bool base64url_decode(struct slice in, void *out, size_t cap, size_t *ret_n)
{
    unsigned char *to = out;
    unsigned v = 0, bits = 0;
    size_t n = 0;
    if (in.n % 4 == 1)
        return false;
    for (size_t i = 0; i < in.n; i++) {
        const char *at = in.p[i] ? strchr(digits, in.p[i]) : NULL;
        if (!at)
            return false;
        v = v << 6 | (unsigned)(at - digits);
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        if (n == cap)
            return false;
        to[n++] = (unsigned char)(v >> bits);
        v &= (1u << bits) - 1;
    }
    *ret_n = n;
    return v == 0;
}
