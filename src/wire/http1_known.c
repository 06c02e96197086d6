/* The header lines of one head, for those who look at them. */
#include "wire/http1_lines.h"

#include <assert.h>

enum http1_field http1_field_of(struct slice name)
{
    return http1_classify(name);
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
