/* Comparing short names, where a call of memcmp would cost more than the comparison. Private to the
 * room. */
#ifndef WIRE_SAME_BYTES_H
#define WIRE_SAME_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool same_4(const char *a, const char *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x == y;
}

static inline bool same_8(const char *a, const char *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x == y;
}

/* Word by word; the last one may overlap the one before it. */
static inline bool same_bytes(const char *a, const char *b, size_t n)
{
    size_t i = 0;

    if (n >= 8) {
        for (; i < n - 8; i += 8)
            if (!same_8(a + i, b + i))
                return false;
        return same_8(a + n - 8, b + n - 8);
    }
    if (n >= 4)
        return same_4(a, b) && same_4(a + n - 4, b + n - 4);
    return n == 0 || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

#endif
