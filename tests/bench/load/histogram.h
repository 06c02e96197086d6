/* Latencies, log-linear: each power of two is divided into 128 equal parts, so any value is known
 * to better than 1 % in 57 KiB whatever its size. */
#ifndef BENCH_LOAD_HISTOGRAM_H
#define BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS  7
#define HISTOGRAM_PARTS (1u << HISTOGRAM_BITS)

struct histogram {
    uint64_t count, min, max; /* min and max are exact */
    uint64_t cell[(64 - HISTOGRAM_BITS) * HISTOGRAM_PARTS + HISTOGRAM_PARTS];
};

void histogram_reset(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);

/* The smallest value that at least `part` (0 to 1) of all values do not exceed: the middle of its
 * cell, within min and max. 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *h, double part);

#endif
