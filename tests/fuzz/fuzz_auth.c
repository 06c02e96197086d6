/* Fuzz target: the value of an Authorization field. Held: a token lies within the value, at its
 * end, holds visible ASCII only, and comes out the same when it is written after "Bearer " again.
 */
#include "wire/auth.h"

#include "base/buf.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = xmalloc(size + !size);
    struct slice token = {0}, again = {0};
    struct buf b = BUF_INIT;
    if (size)
        memcpy(exact, data, size);
    if (auth_parse(slice_of(exact, size), &token) == AUTH_BEARER) {
        require(token.n > 0 && token.p > exact && token.p + token.n == exact + size,
                "a token that is not the end of the value");
        for (size_t i = 0; i < token.n; i++)
            require(token.p[i] > 0x20 && token.p[i] < 0x7f, "an invisible byte");
        buf_append_str(&b, "Bearer ");
        buf_append_slice(&b, token);
        require(auth_parse(buf_peek(&b), &again) == AUTH_BEARER, "refused when written again");
        require(again.n == token.n && memcmp(again.p, token.p, token.n) == 0, "another token");
    } else {
        require(token.p == NULL, "a token of a refused value");
    }
    buf_done(&b);
    free(exact);
    return 0;
}
