/* The screen of `mcpoolctl top`. Pure. */
#ifndef CTL_TOP_VIEW_H
#define CTL_TOP_VIEW_H

#include "base/buf.h"
#include "ctl/table.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

enum top_sort {
    TOP_SORT_NAME,
    TOP_SORT_RATE,
    TOP_SORT_RUNNING,
    TOP_SORT_WAITING,
    TOP_SORT_LATENCY,
    TOP_SORT_HEALTH, /* the worst first */
    TOP_SORTS,
};

/* "name", "rate", "running", "waiting", "latency", "health"; the key is the first letter, but for
 * running: "f". -1 = none. */
int top_sort_from_name(const char *name);
int top_sort_from_key(char key);
const char *top_sort_name(enum top_sort sort);

/* now: the latest /status; last: the one before it, for the rates; first: an earlier one, for the
 * quantiles, which need more calls to mean anything. Either may be NULL: then there are none. */
struct top_documents {
    const cJSON *now, *last, *first;
};

/* A line of sums, and a line for each server. keys: also what can be typed. */
void top_view(const struct top_documents *docs, enum top_sort sort, bool keys,
              const struct style *style, struct buf *out);

#endif
