/* Looking at header fields: lookup by name and the few value grammars that the callers need. */
#include "wire/http1_internal.h"

static struct slice slice_from(struct slice s, size_t at)
{
    return slice_of(s.p + at, s.n - at);
}

static bool is_named(const struct http1_header *h, const char *name, size_t n)
{
    return h->name.n == n && slice_is_nocase(h->name, name);
}

struct slice http1_header(const struct http1_headers *h, const char *name)
{
    size_t n = strlen(name);

    for (unsigned i = 0; i < h->count; i++)
        if (is_named(&h->item[i], name, n))
            return h->item[i].value;
    return (struct slice){0};
}

unsigned http1_header_count(const struct http1_headers *h, const char *name)
{
    size_t n = strlen(name);
    unsigned found = 0;

    for (unsigned i = 0; i < h->count; i++)
        found += is_named(&h->item[i], name, n);
    return found;
}

bool http1_header_has_token(const struct http1_headers *h, const char *name, const char *token)
{
    size_t n = strlen(name);
    struct slice rest, item;

    for (unsigned i = 0; i < h->count; i++) {
        if (!is_named(&h->item[i], name, n))
            continue;
        rest = h->item[i].value;
        while (http1_list_next(&rest, &item))
            if (slice_is_nocase(item, token))
                return true;
    }
    return false;
}

/* Offset of the first comma outside quoted strings; n when there is none. An unclosed quote runs to
 * the end. */
static size_t list_item_end(struct slice s)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < s.n; i++) {
        if (quoted && s.p[i] == '\\')
            i += i + 1 < s.n;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == ',' && !quoted)
            break;
    }
    return i;
}

bool http1_list_next(struct slice *rest, struct slice *ret_item)
{
    while (rest->n > 0) {
        size_t end = list_item_end(*rest);
        struct slice item = slice_trim(slice_of(rest->p, end));

        *rest = slice_from(*rest, end < rest->n ? end + 1 : end);
        if (item.n > 0) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}

struct slice http1_media_type(struct slice value)
{
    const char *semicolon = value.n > 0 ? memchr(value.p, ';', value.n) : NULL;

    return slice_trim(semicolon ? slice_of(value.p, (size_t)(semicolon - value.p)) : value);
}

struct slice http1_query_get(struct slice query, const char *name)
{
    size_t name_len = strlen(name);

    while (query.n > 0) {
        const char *amp = memchr(query.p, '&', query.n);
        size_t n = amp ? (size_t)(amp - query.p) : query.n;
        struct slice pair = slice_of(query.p, n);

        if (n > name_len && pair.p[name_len] == '=' && slice_starts(pair, name))
            return slice_from(pair, name_len + 1);
        query = slice_from(query, amp ? n + 1 : n);
    }
    return (struct slice){0};
}
