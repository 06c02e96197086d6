/* Bytes taken a word at a time, wherever they lie; and comparing short names that way, where a call
 * of memcmp would cost more than the comparison. Private to the room. */
#ifndef WIRE_WORDS_H
#define WIRE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t load_4(const char *p)
{
    uint32_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

static inline uint64_t load_8(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

/* Word by word; the last one may overlap the one before it. */
static inline bool same_bytes(const char *a, const char *b, size_t n)
{
    size_t i = 0;

    if (n >= 8) {
        for (; i < n - 8; i += 8)
            if (load_8(a + i) != load_8(b + i))
                return false;
        return load_8(a + n - 8) == load_8(b + n - 8);
    }
    if (n >= 4)
        return load_4(a) == load_4(b) && load_4(a + n - 4) == load_4(b + n - 4);
    return n == 0 || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

#endif
