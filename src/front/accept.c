/* Accept negotiation.
 *
 * The specification asks clients to list both media types; many do not, and servers that answer 406
 * to them are a known nuisance. So the lenient reading is the default: absence and wildcards mean
 * what RFC 9110 says. For each of the two types the most specific range that covers it decides
 * (exact, then type/star, then star). */
#include "front/accept.h"

#include "base/util.h"

enum specificity { NOT_COVERED, BY_ANY, BY_TYPE, EXACT };

struct media {
    const char *exact, *any_subtype;
    enum specificity by;
    bool wanted;
};

/* Whether the parameters of a media range contain a q of zero: q=0, q=0.0 … */
static bool q_is_zero(struct slice range)
{
    const char *at = range.n ? memchr(range.p, ';', range.n) : NULL;
    while (at) {
        struct slice rest = slice_of(at + 1, (size_t)(range.p + range.n - at - 1));
        const char *next = rest.n ? memchr(rest.p, ';', rest.n) : NULL;
        struct slice param = slice_trim(next ? slice_of(rest.p, (size_t)(next - rest.p)) : rest);
        if (param.n >= 3 && (param.p[0] == 'q' || param.p[0] == 'Q') && param.p[1] == '=') {
            for (size_t i = 2; i < param.n; i++)
                if (param.p[i] != '0' && param.p[i] != '.')
                    return false;
            return true;
        }
        at = next;
    }
    return false;
}

static void consider(struct media *m, struct slice type, bool wanted, bool strict)
{
    enum specificity by = NOT_COVERED;
    if (slice_is_nocase(type, m->exact))
        by = EXACT;
    else if (!strict && slice_is_nocase(type, m->any_subtype))
        by = BY_TYPE;
    else if (!strict && slice_is(type, "*/*"))
        by = BY_ANY;
    if (by == NOT_COVERED || by < m->by)
        return;
    m->by = by;
    m->wanted = wanted;
}

struct accept accept_parse(const struct http1_headers *headers, bool strict)
{
    /* What the specification shows, and nearly all clients copy from there. */
    static const struct slice usual = SLICE_INIT("application/json, text/event-stream");
    struct media json = {.exact = "application/json", .any_subtype = "application/*"};
    struct media sse = {.exact = "text/event-stream", .any_subtype = "text/*"};
    bool present = false;
    if (slice_eq(http1_value(headers, HTTP1_F_ACCEPT), usual) &&
        !http1_repeats(headers, HTTP1_BIT(HTTP1_F_ACCEPT)))
        return (struct accept){.json = true, .sse = true};
    for (unsigned i = 0; (i = http1_next(headers, HTTP1_F_ACCEPT, i)) < headers->count; i++) {
        present = true;
        struct slice rest = headers->item[i].value, range;
        while (http1_list_next(&rest, &range)) {
            struct slice type = http1_media_type(range);
            bool wanted = !q_is_zero(range);
            consider(&json, type, wanted, strict);
            consider(&sse, type, wanted, strict);
        }
    }
    if (!present && !strict)
        return (struct accept){.json = true, .sse = true};
    return (struct accept){.json = json.wanted, .sse = sse.wanted};
}

bool accept_is_json(struct slice content_type)
{
    if (slice_eq(content_type, SLICE("application/json")))
        return true;
    if (!content_type.p || !slice_is_nocase(http1_media_type(content_type), "application/json"))
        return false;
    const char *at = memchr(content_type.p, ';', content_type.n);
    while (at) {
        struct slice rest = slice_of(at + 1, (size_t)(content_type.p + content_type.n - at - 1));
        const char *next = rest.n ? memchr(rest.p, ';', rest.n) : NULL;
        struct slice param = slice_trim(next ? slice_of(rest.p, (size_t)(next - rest.p)) : rest);
        if (param.n > 8 && slice_is_nocase(slice_of(param.p, 8), "charset=")) {
            struct slice v = slice_of(param.p + 8, param.n - 8);
            if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
                v = slice_of(v.p + 1, v.n - 2);
            if (!slice_is_nocase(v, "utf-8") && !slice_is_nocase(v, "utf8"))
                return false;
        }
        at = next;
    }
    return true;
}
