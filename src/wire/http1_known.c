/* The header lines of one head, and which known field each is of.
 *
 * A name is compared with the few known ones of its length, eight bytes at a time. Names are
 * tokens, so setting the bit 0x20 folds letters and makes no two different bytes alike that could
 * both stand where a known name has a letter or "-". */
#include "wire/http1_internal.h"

#include <assert.h>

#define FOLD UINT64_C(0x2020202020202020)

static inline uint64_t load8(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

static inline uint64_t load4(const char *p)
{
    uint32_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

/* n: constant, 4 to 24, the length of both. The last words overlap those before them. */
static inline __attribute__((always_inline)) bool is_same(const char *name, const char *lower,
                                                          size_t n)
{
    uint64_t differ;

    if (n < 8) {
        differ = (load4(name) | (uint32_t)FOLD) ^ load4(lower);
        return (differ | ((load4(name + n - 4) | (uint32_t)FOLD) ^ load4(lower + n - 4))) == 0;
    }
    differ = (load8(name) | FOLD) ^ load8(lower);
    if (n > 16)
        differ |= (load8(name + 8) | FOLD) ^ load8(lower + 8);
    return (differ | ((load8(name + n - 8) | FOLD) ^ load8(lower + n - 8))) == 0;
}

#define IS(name, lower) is_same((name).p, lower, sizeof(lower) - 1)

enum http1_field http1_field_of(struct slice name)
{
    switch (name.n) {
    case 4:
        return IS(name, "host") ? HTTP1_F_HOST : HTTP1_F_OTHER;
    case 6:
        return IS(name, "accept")   ? HTTP1_F_ACCEPT
               : IS(name, "origin") ? HTTP1_F_ORIGIN
               : IS(name, "expect") ? HTTP1_F_EXPECT
                                    : HTTP1_F_OTHER;
    case 8:
        return IS(name, "mcp-name") ? HTTP1_F_MCP_NAME : HTTP1_F_OTHER;
    case 10:
        return IS(name, "connection")   ? HTTP1_F_CONNECTION
               : IS(name, "mcp-method") ? HTTP1_F_MCP_METHOD
                                        : HTTP1_F_OTHER;
    case 12:
        return IS(name, "content-type") ? HTTP1_F_CONTENT_TYPE : HTTP1_F_OTHER;
    case 13:
        return IS(name, "authorization")   ? HTTP1_F_AUTHORIZATION
               : IS(name, "last-event-id") ? HTTP1_F_LAST_EVENT_ID
                                           : HTTP1_F_OTHER;
    case 14:
        return IS(name, "content-length")   ? HTTP1_F_CONTENT_LENGTH
               : IS(name, "mcp-session-id") ? HTTP1_F_MCP_SESSION_ID
                                            : HTTP1_F_OTHER;
    case 16:
        return IS(name, "content-encoding") ? HTTP1_F_CONTENT_ENCODING : HTTP1_F_OTHER;
    case 17:
        return IS(name, "transfer-encoding") ? HTTP1_F_TRANSFER_ENCODING : HTTP1_F_OTHER;
    case 20:
        return IS(name, "mcp-protocol-version") ? HTTP1_F_MCP_PROTOCOL_VERSION : HTTP1_F_OTHER;
    default:
        return HTTP1_F_OTHER;
    }
}

void http1_headers_init(struct http1_headers *h)
{
    h->count = 0;
    h->seen = h->repeated = 0;
}

void http1_headers_add(struct http1_headers *h, struct slice name, struct slice value)
{
    assert(h->count < HTTP1_HEADERS_MAX);
    http1_headers_set(h, h->count++, name, value);
}

unsigned http1_next(const struct http1_headers *h, enum http1_field field, unsigned from)
{
    if (!(h->seen & HTTP1_BIT(field)))
        return h->count;
    if (from <= h->first[field])
        return h->first[field];
    if (!(h->repeated & HTTP1_BIT(field)))
        return h->count;
    while (from < h->count && h->field[from] != field)
        from++;
    return from;
}
