/* The parts of slice that are not worth inlining. ASCII only: the locale must not change what a
 * field name is equal to (tr_TR folds I differently). */
#include "base/slice.h"

#include <stdint.h>

static unsigned char ascii_lower(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* Whether eight bytes are equal but for the case of letters: where they differ, it is by 0x20
 * alone, and between 'a' and 'z' with that bit set. No sum carries into the next byte. */
static bool is_nocase_8(const char *a, const char *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    uint64_t differ = x ^ y;
    if (differ == 0)
        return true;
    uint64_t lower = (x | EACH_BYTE(0x20)) & EACH_BYTE(0x7f);
    uint64_t from_a = lower + EACH_BYTE(0x80 - 'a');
    uint64_t beyond_z = lower + EACH_BYTE(0x80 - 'z' - 1);
    uint64_t letter = (from_a & ~beyond_z & ~x & EACH_BYTE(0x80)) >> 2;
    return (differ & ~letter) == 0;
}

bool slice_is_nocase(struct slice a, const char *s)
{
    struct slice b = slice_str(s);
    size_t i = 0;

    if (a.n != b.n)
        return false;
    for (; a.n - i >= 8; i += 8)
        if (!is_nocase_8(a.p + i, b.p + i))
            return false;
    for (; i < a.n; i++)
        if (a.p[i] != b.p[i] && ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

static bool is_visible_1(char c)
{
    return c > 0x20 && c < 0x7f;
}

/* The top bit of a byte remains if it was set, if 0x21 cannot be taken from it or if it was 0x7f. A
 * borrow or a carry comes only from a byte that is none itself. */
static bool is_visible_8(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return ((w | (w - EACH_BYTE(0x21)) | (w + EACH_BYTE(1))) & EACH_BYTE(0x80)) == 0;
}

bool slice_is_visible(struct slice a)
{
    size_t i = 0;

    for (; a.n - i >= 8; i += 8)
        if (!is_visible_8(a.p + i))
            return false;
    if (i > 0 && i < a.n) /* the last eight, some of them once more */
        return is_visible_8(a.p + a.n - 8);
    for (; i < a.n; i++)
        if (!is_visible_1(a.p[i]))
            return false;
    return true;
}
