/* Putting header lines where they belong: which known field a name is of.
 *
 * A name is compared with the few known ones of its length, eight bytes at a time. Names are
 * tokens, so setting the bit 0x20 folds letters and makes no two different bytes alike that could
 * both stand where a known name has a letter or "-". Inline, because every header line comes here.
 */
#ifndef WIRE_HTTP1_LINES_H
#define WIRE_HTTP1_LINES_H

#include "wire/http1_internal.h"
#include "wire/words.h"

#define HTTP1_FOLD UINT64_C(0x2020202020202020)

/* Each: 0 when the bytes at name, folded, are those at lower. */
static inline uint32_t http1_differ_4(const char *name, const char *lower)
{
    return (load_4(name) | (uint32_t)HTTP1_FOLD) ^ load_4(lower);
}

static inline uint64_t http1_differ_8(const char *name, const char *lower)
{
    return (load_8(name) | HTTP1_FOLD) ^ load_8(lower);
}

/* n: constant, 4 to 24, the length of both. The last words overlap those before them. */
static inline __attribute__((always_inline)) bool http1_is_same(const char *name, const char *lower,
                                                                size_t n)
{
    uint64_t differ;

    if (n < 8)
        return (http1_differ_4(name, lower) | http1_differ_4(name + (n - 4), lower + (n - 4))) == 0;
    differ = http1_differ_8(name, lower) | http1_differ_8(name + (n - 8), lower + (n - 8));
    if (n > 16)
        differ |= http1_differ_8(name + 8, lower + 8);
    return differ == 0;
}

#define HTTP1_IS(name, lower) http1_is_same((name).p, lower, sizeof(lower) - 1)

static inline enum http1_field http1_classify(struct slice name)
{
    switch (name.n) {
    case 4:
        return HTTP1_IS(name, "host") ? HTTP1_F_HOST : HTTP1_F_OTHER;
    case 6:
        return HTTP1_IS(name, "accept")   ? HTTP1_F_ACCEPT
               : HTTP1_IS(name, "origin") ? HTTP1_F_ORIGIN
               : HTTP1_IS(name, "expect") ? HTTP1_F_EXPECT
                                          : HTTP1_F_OTHER;
    case 8:
        return HTTP1_IS(name, "mcp-name") ? HTTP1_F_MCP_NAME : HTTP1_F_OTHER;
    case 10:
        return HTTP1_IS(name, "connection")   ? HTTP1_F_CONNECTION
               : HTTP1_IS(name, "mcp-method") ? HTTP1_F_MCP_METHOD
                                              : HTTP1_F_OTHER;
    case 12:
        return HTTP1_IS(name, "content-type") ? HTTP1_F_CONTENT_TYPE : HTTP1_F_OTHER;
    case 13:
        return HTTP1_IS(name, "authorization")   ? HTTP1_F_AUTHORIZATION
               : HTTP1_IS(name, "last-event-id") ? HTTP1_F_LAST_EVENT_ID
                                                 : HTTP1_F_OTHER;
    case 14:
        return HTTP1_IS(name, "content-length")   ? HTTP1_F_CONTENT_LENGTH
               : HTTP1_IS(name, "mcp-session-id") ? HTTP1_F_MCP_SESSION_ID
                                                  : HTTP1_F_OTHER;
    case 16:
        return HTTP1_IS(name, "content-encoding") ? HTTP1_F_CONTENT_ENCODING : HTTP1_F_OTHER;
    case 17:
        return HTTP1_IS(name, "transfer-encoding") ? HTTP1_F_TRANSFER_ENCODING : HTTP1_F_OTHER;
    case 20:
        return HTTP1_IS(name, "mcp-protocol-version") ? HTTP1_F_MCP_PROTOCOL_VERSION
                                                      : HTTP1_F_OTHER;
    default:
        return HTTP1_F_OTHER;
    }
}

/* Puts a line at this index, behind all those that were put before. */
static inline void http1_headers_set(struct http1_headers *h, unsigned index, struct slice name,
                                     struct slice value)
{
    enum http1_field field = http1_classify(name);
    uint32_t bit = HTTP1_BIT(field);

    h->item[index] = (struct http1_header){name, value};
    h->field[index] = (uint8_t)field;
    if (!(h->seen & bit))
        h->first[field] = (uint8_t)index;
    h->repeated |= h->seen & bit;
    h->seen |= bit;
}

#endif
