/* A daemon that was restarted begins at 0, and so does a server that a reload took away and brought
 * back: a count that fell has grown by nothing that is known. */
#include "ctl/rates.h"

#include "ctl/doc.h"

#include <math.h>
#include <string.h>

bool rates_span(const cJSON *before, const cJSON *now, usec_t *ret)
{
    const char *a = doc_str(before, "started_at"), *b = doc_str(now, "started_at");
    usec_t from, to;
    if (!a || !b || strcmp(a, b) != 0 || doc_count(before, "pid") != doc_count(now, "pid"))
        return false;
    if (!doc_seconds(before, "uptime_seconds", &from) || !doc_seconds(now, "uptime_seconds", &to))
        return false;
    *ret = to > from ? to - from : 0;
    return to > from;
}

const cJSON *rates_server(const cJSON *doc, const char *name)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, doc_get(doc, "servers"))
    {
        const char *other = doc_str(s, "name");
        if (name && other && strcmp(other, name) == 0)
            return s;
    }
    return NULL;
}

static uint64_t growth(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

uint64_t rates_calls(const cJSON *before, const cJSON *now, const char *name)
{
    return growth(doc_count(doc_get(before, "calls"), name),
                  doc_count(doc_get(now, "calls"), name));
}

/* The count of a bucket; what is no count is 0. */
static uint64_t bucket(const cJSON *item)
{
    double v = item && cJSON_IsNumber(item) ? item->valuedouble : 0;
    return v > 0 && v < 9e15 ? (uint64_t)v : 0;
}

bool rates_histogram(const cJSON *before, const cJSON *now, const char *name,
                     struct rates_histogram *ret)
{
    const cJSON *h = doc_get(now, name), *old = doc_get(before, name);
    const cJSON *bound = doc_get(h, "bounds_s"), *count = doc_get(h, "counts");
    const cJSON *old_count = doc_get(old, "counts");
    int n = cJSON_GetArraySize(count);
    *ret = (struct rates_histogram){0};
    if (n < 2 || n > RATES_BUCKETS_MAX || cJSON_GetArraySize(bound) != n - 1)
        return false;
    bound = bound->child;
    count = count->child;
    old_count = old_count ? old_count->child : NULL;
    ret->n = (size_t)n;
    for (size_t i = 0; i < ret->n; i++) {
        ret->bounds_s[i] = bound ? bound->valuedouble : INFINITY;
        ret->counts[i] = growth(bucket(old_count), bucket(count));
        ret->total += ret->counts[i];
        bound = bound ? bound->next : NULL;
        count = count->next;
        old_count = old_count ? old_count->next : NULL;
    }
    return true;
}

static bool same_buckets(const struct rates_histogram *a, const struct rates_histogram *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i + 1 < a->n; i++)
        same = a->bounds_s[i] >= b->bounds_s[i] && a->bounds_s[i] <= b->bounds_s[i];
    return same;
}

void rates_histogram_add(struct rates_histogram *sum, const struct rates_histogram *h)
{
    if (sum->n == 0) {
        *sum = *h;
    } else if (same_buckets(sum, h)) {
        for (size_t i = 0; i < h->n; i++)
            sum->counts[i] += h->counts[i];
        sum->total += h->total;
    }
}

static usec_t seconds(double s)
{
    return s > 0 && s < 1e9 ? (usec_t)(s * (double)USEC_PER_SEC) : 0;
}

bool rates_quantile(const struct rates_histogram *h, double share, usec_t *ret, bool *ret_above)
{
    double rank = share * (double)h->total, below = 0, from = 0;
    *ret_above = false;
    if (h->total == 0)
        return false;
    for (size_t i = 0; i + 1 < h->n; i++) {
        double in = (double)h->counts[i], to = h->bounds_s[i];
        if (in > 0 && below + in >= rank) {
            *ret = seconds(from + (to - from) * (rank - below) / in);
            return true;
        }
        below += in;
        from = to;
    }
    *ret = seconds(from);
    *ret_above = true;
    return true;
}
