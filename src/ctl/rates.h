/* What happened between two documents of /status: rates, and quantiles of histograms, from the
 * differences of what only grows. Pure. */
#ifndef CTL_RATES_H
#define CTL_RATES_H

#include "base/time.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most buckets of a histogram that are looked at. */
#define RATES_BUCKETS_MAX 64

/* The observations between two documents. */
struct rates_histogram {
    size_t n; /* buckets */
    double bounds_s[RATES_BUCKETS_MAX];
    uint64_t counts[RATES_BUCKETS_MAX];
    uint64_t total;
};

/* Whether both are of one daemon's life, the second later than the first, and how much. */
bool rates_span(const cJSON *before, const cJSON *now, usec_t *ret);

/* The server of that name in a document; NULL. */
const cJSON *rates_server(const cJSON *doc, const char *name);

/* How much the count `name` of calls grew between two states of a server; 0 when it did not. */
uint64_t rates_calls(const cJSON *before, const cJSON *now, const char *name);

/* The histogram `name`. false: the daemon has none of that form. */
bool rates_histogram(const cJSON *before, const cJSON *now, const char *name,
                     struct rates_histogram *ret);

/* Adds what has the same buckets. */
void rates_histogram_add(struct rates_histogram *sum, const struct rates_histogram *h);

/* The value below which that share of the observations lies, by linear interpolation in its bucket.
 * false: there is none. *ret_above: it is somewhere above *ret. */
bool rates_quantile(const struct rates_histogram *h, double share, usec_t *ret, bool *ret_above);

#endif
