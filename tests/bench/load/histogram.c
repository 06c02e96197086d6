/* Values below 2^7 have a cell each; above, the cell is the position of the highest bit and the
 * seven bits that follow it. */
#include "bench/load/histogram.h"

#include <string.h>

static unsigned cell_of(uint64_t value)
{
    unsigned shift;

    if (value < HISTOGRAM_PARTS)
        return (unsigned)value;
    shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
    return (shift + 1) * HISTOGRAM_PARTS + (unsigned)((value >> shift) & (HISTOGRAM_PARTS - 1));
}

static uint64_t middle_of(unsigned cell)
{
    unsigned shift;

    if (cell < HISTOGRAM_PARTS)
        return cell;
    shift = cell / HISTOGRAM_PARTS - 1;
    return ((uint64_t)(HISTOGRAM_PARTS + cell % HISTOGRAM_PARTS) << shift) +
           (((uint64_t)1 << shift) >> 1);
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
}

void histogram_add(struct histogram *h, uint64_t value)
{
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count++;
    h->cell[cell_of(value)]++;
}

uint64_t histogram_quantile(const struct histogram *h, double part)
{
    uint64_t wanted = (uint64_t)(part * (double)h->count), below = 0, value;
    unsigned cell = 0;

    if (h->count == 0)
        return 0;
    /* ceil without libm; the first value is the smallest one asked for */
    if ((double)wanted < part * (double)h->count || wanted == 0)
        wanted++;
    while ((below += h->cell[cell]) < wanted)
        cell++;
    value = middle_of(cell);
    return value < h->min ? h->min : value > h->max ? h->max : value;
}
