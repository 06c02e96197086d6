/* Authorization: Bearer TOKEN. Tokens are taken in more letters than the b64token of RFC 6750,
 * since operators choose them; blanks and commas in between would make it something else than one
 * token, and control bytes and bytes beyond ASCII two readers could take differently. */
#include "wire/auth.h"

enum auth_kind auth_parse(struct slice value, struct slice *ret_token)
{
    static const char scheme[] = "bearer";
    const size_t n = sizeof(scheme) - 1;
    if (value.n < n || !slice_is_nocase(slice_of(value.p, n), scheme))
        return AUTH_NONE;
    struct slice rest = slice_of(value.p + n, value.n - n);
    if (rest.n == 0)
        return AUTH_MALFORMED;
    if (rest.p[0] != ' ')
        return rest.p[0] == '\t' ? AUTH_MALFORMED : AUTH_NONE; /* a longer name */
    while (rest.n && rest.p[0] == ' ')
        rest = slice_of(rest.p + 1, rest.n - 1);
    if (rest.n == 0 || !slice_is_visible(rest))
        return AUTH_MALFORMED;
    *ret_token = rest;
    return AUTH_BEARER;
}
