/* Sets of cells. A set is one flat array whose layout the compiler computes from the table, so that
 * counting needs no look-up and cannot fail. A caller who names a cell that does not exist has a
 * defect, but neither one that may write elsewhere nor one that is worth the daemon's life: the
 * operation is only counted as stray, and tests demand that nothing ever is. */
#include "metrics/metrics.h"

#include "base/util.h"

#include <stdlib.h>

/* From an answer out of a cache to the default call_timeout and the watchdog's span. */
#define MS USEC_PER_MSEC
#define S  USEC_PER_SEC
const usec_t metric_bounds[] = {1 * MS,   2500,     5 * MS,   10 * MS, 25 * MS,   50 * MS,
                                100 * MS, 250 * MS, 500 * MS, 1 * S,   2500 * MS, 5 * S,
                                10 * S,   30 * S,   60 * S,   300 * S};
#undef S
#undef MS

#define TEXT(id, text) text,
#define INFO(id, k, s, n, u, key, list, h)                                                         \
    [METRIC_##id] = {.kind = METRIC_##k,                                                           \
                     .scope = METRIC_##s,                                                          \
                     .name = n,                                                                    \
                     .unit = u,                                                                    \
                     .label = key,                                                                 \
                     .help = h,                                                                    \
                     .values = (const char *const[]){list(TEXT)},                                  \
                     .cells = list(METRIC_ONE)},
static const struct metric_info infos[] = {METRICS(INFO)};
#undef INFO
#undef TEXT

const struct metric_info *metric_info(enum metric id)
{
    return (unsigned)id < METRIC_COUNT ? &infos[id] : NULL;
}

struct metrics *metrics_new(enum metric_scope scope)
{
    struct metrics *m = xcalloc(1, sizeof(*m));

    m->scope = scope;
    return m;
}

void metrics_free(struct metrics *m)
{
    free(m);
}

void metrics_set(struct metrics *m, enum metric id, unsigned cell, uint64_t value)
{
    uint64_t *word;

    if (!m)
        return;
    word = metrics_word(m, id, cell);
    if (word && metric_places[id].kind == METRIC_GAUGE)
        *word = value;
    else
        m->stray++;
}

/* Has m the cell? */
static bool holds(const struct metrics *m, enum metric id, unsigned cell)
{
    return (unsigned)id < METRIC_COUNT && metric_places[id].scope == m->scope &&
           cell < metric_places[id].cells;
}

void metrics_observe(struct metrics *m, enum metric id, unsigned cell, usec_t value)
{
    uint64_t *words;
    size_t i = 0;

    if (!m)
        return;
    if (!holds(m, id, cell) || metric_places[id].kind != METRIC_HISTOGRAM) {
        m->stray++;
        return;
    }
    words = &m->words[metric_places[id].at + cell * METRIC_WORDS_HISTOGRAM];
    while (i < ARRAY_LEN(metric_bounds) && value > metric_bounds[i])
        i++;
    words[i]++;
    if (__builtin_add_overflow(words[METRIC_BUCKETS], value, &words[METRIC_BUCKETS]))
        words[METRIC_BUCKETS] = UINT64_MAX;
}

uint64_t metrics_stray(const struct metrics *m)
{
    return m->stray;
}

uint64_t metrics_get(const struct metrics *m, enum metric id, unsigned cell)
{
    const uint64_t *words;
    uint64_t count = 0;

    if (!holds(m, id, cell))
        return 0;
    words = &m->words[metric_places[id].at];
    if (metric_places[id].kind != METRIC_HISTOGRAM)
        return words[cell];
    words += cell * METRIC_WORDS_HISTOGRAM;
    for (size_t i = 0; i < METRIC_BUCKETS; i++)
        count += words[i];
    return count;
}

uint64_t metrics_sum(const struct metrics *m, enum metric id)
{
    uint64_t sum = 0;

    if ((unsigned)id >= METRIC_COUNT)
        return 0;
    for (unsigned cell = 0; cell < metric_places[id].cells; cell++)
        sum += metrics_get(m, id, cell);
    return sum;
}

usec_t metrics_histogram(const struct metrics *m, enum metric id, uint64_t counts[METRIC_BUCKETS])
{
    usec_t sum = 0;

    for (size_t i = 0; i < METRIC_BUCKETS; i++)
        counts[i] = 0;
    for (unsigned cell = 0; holds(m, id, cell); cell++) {
        const uint64_t *words = &m->words[metric_places[id].at + cell * METRIC_WORDS_HISTOGRAM];

        if (metric_places[id].kind != METRIC_HISTOGRAM)
            break;
        for (size_t i = 0; i < METRIC_BUCKETS; i++)
            counts[i] += words[i];
        if (__builtin_add_overflow(sum, words[METRIC_BUCKETS], &sum))
            sum = UINT64_MAX;
    }
    return sum;
}
