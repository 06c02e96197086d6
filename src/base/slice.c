/* The parts of slice that are not worth inlining. ASCII only: the locale must not change what a
 * field name is equal to (tr_TR folds I differently). */
#include "base/slice.h"

static unsigned char ascii_lower(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

bool slice_is_nocase(struct slice a, const char *s)
{
    struct slice b = slice_str(s);

    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (a.p[i] != b.p[i] && ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice a)
{
    while (a.n > 0 && is_ows(a.p[0])) {
        a.p++;
        a.n--;
    }
    while (a.n > 0 && is_ows(a.p[a.n - 1]))
        a.n--;
    return a;
}
