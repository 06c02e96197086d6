/* Well-formed UTF-8 by Unicode 15 table 3-7: what is not in that table is not a character here. */
#include "base/utf8.h"

/* Whether byte b may follow lead byte `lead` in second place. */
static int second_ok(unsigned char lead, unsigned char b)
{
    unsigned char lo = 0x80, hi = 0xbf;

    if (lead == 0xe0)
        lo = 0xa0; /* overlong */
    else if (lead == 0xed)
        hi = 0x9f; /* surrogates */
    else if (lead == 0xf0)
        lo = 0x90; /* overlong */
    else if (lead == 0xf4)
        hi = 0x8f; /* above U+10FFFF */
    return b >= lo && b <= hi;
}

static size_t length_by_lead(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    if (lead >= 0xf0 && lead <= 0xf4)
        return 4;
    return 0;
}

/* How many of the n bytes at p are a valid beginning of the sequence that p[0] opens. */
static size_t valid_prefix(const char *p, size_t n, size_t len)
{
    size_t i = 1;

    if (n > 1 && len > 1 && !second_ok((unsigned char)p[0], (unsigned char)p[1]))
        return 1;
    while (i < n && i < len && ((unsigned char)p[i] & 0xc0) == 0x80)
        i++;
    return i;
}

size_t utf8_sequence(const char *p, size_t n, uint32_t *ret_cp)
{
    static const unsigned char lead_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t len = n > 0 ? length_by_lead((unsigned char)p[0]) : 0;
    uint32_t cp;

    if (len == 0 || len > n || valid_prefix(p, n, len) < len)
        return 0;
    cp = (unsigned char)p[0] & lead_mask[len];
    for (size_t i = 1; i < len; i++)
        cp = cp << 6 | ((unsigned char)p[i] & 0x3f);
    *ret_cp = cp;
    return len;
}

size_t utf8_cut(const char *p, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        size_t len = length_by_lead((unsigned char)p[n - back]);

        if (len > back && valid_prefix(p + n - back, back, len) == back)
            return n - back;
        if (((unsigned char)p[n - back] & 0xc0) != 0x80)
            break;
    }
    return n;
}
