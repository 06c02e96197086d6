/* Everything that is a rate or a quantile is "-" until there are two documents, and quantiles also
 * while nothing was called: a number would say that it was fast. */
#include "ctl/top_view.h"

#include "base/util.h"
#include "ctl/doc.h"
#include "ctl/rates.h"
#include "ctl/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    char key;
} sorts[] = {
    [TOP_SORT_NAME] = {"name", 'n'},       [TOP_SORT_RATE] = {"rate", 'r'},
    [TOP_SORT_RUNNING] = {"running", 'f'}, [TOP_SORT_WAITING] = {"waiting", 'w'},
    [TOP_SORT_LATENCY] = {"latency", 'l'}, [TOP_SORT_HEALTH] = {"health", 'h'},
};

int top_sort_from_name(const char *name)
{
    for (int i = 0; i < TOP_SORTS; i++)
        if (strcmp(sorts[i].name, name) == 0)
            return i;
    return -1;
}

int top_sort_from_key(char key)
{
    for (int i = 0; i < TOP_SORTS; i++)
        if (sorts[i].key == key)
            return i;
    return -1;
}

const char *top_sort_name(enum top_sort sort)
{
    return sorts[sort].name;
}

struct row {
    const cJSON *server;
    const char *name, *health;
    uint64_t running, waiting;
    bool has_rates;
    double rate, failing; /* calls that ended, and those that mcpool failed, per second */
    struct rates_histogram duration, wait; /* since the first document */
    usec_t latency;                        /* for sorting: p99 */
};

static void fill_row(struct row *r, const struct top_documents *docs, const cJSON *server)
{
    static const char *const ends[] = {"result", "error", "failed", "cancelled"};
    const cJSON *last = rates_server(docs->last, doc_str(server, "name"));
    const cJSON *first = rates_server(docs->first, doc_str(server, "name"));
    const cJSON *calls = doc_get(server, "calls");
    usec_t span;
    bool above;
    *r = (struct row){.server = server,
                      .name = doc_str(server, "name"),
                      .health = doc_str(server, "health_status"),
                      .running = doc_count(calls, "running"),
                      .waiting = doc_count(calls, "waiting")};
    if (last && rates_span(docs->last, docs->now, &span)) {
        double seconds = (double)span / (double)USEC_PER_SEC;
        uint64_t ended = 0;
        for (size_t i = 0; i < ARRAY_LEN(ends); i++)
            ended += rates_calls(last, server, ends[i]);
        r->has_rates = true;
        r->rate = (double)ended / seconds;
        r->failing = (double)rates_calls(last, server, "failed") / seconds;
    }
    if (first && rates_span(docs->first, docs->now, &span)) {
        rates_histogram(first, server, "call_duration", &r->duration);
        rates_histogram(first, server, "queue_wait", &r->wait);
        rates_quantile(&r->duration, 0.99, &r->latency, &above);
    }
}

/* ---- sorting ---- */

static int by_number(double a, double b)
{
    return (a < b) - (a > b);
}

static int badness(const struct row *r)
{
    static const char *const order[] = {"unhealthy", "degraded", "unknown", "healthy"};
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (r->health && strcmp(r->health, order[i]) == 0)
            return (int)i;
    return (int)ARRAY_LEN(order);
}

/* qsort passes nothing through. */
static enum top_sort sorted_by;

static int compare(const void *pa, const void *pb)
{
    const struct row *a = pa, *b = pb;
    int r = 0;
    switch (sorted_by) {
    case TOP_SORT_RATE:
        r = by_number(a->rate, b->rate);
        break;
    case TOP_SORT_RUNNING:
        r = by_number((double)a->running, (double)b->running);
        break;
    case TOP_SORT_WAITING:
        r = by_number((double)a->waiting, (double)b->waiting);
        break;
    case TOP_SORT_LATENCY:
        r = by_number((double)a->latency, (double)b->latency);
        break;
    case TOP_SORT_HEALTH:
        r = badness(a) - badness(b);
        break;
    case TOP_SORT_NAME:
    case TOP_SORTS:
        break;
    }
    return r ? r : strcmp(a->name ? a->name : "", b->name ? b->name : "");
}

/* ---- cells ---- */

#define LATENCY_MAX 32

/* As precise as one reads it: "0.42 ms", "12 ms", "1.5 s", ">300 s". */
static const char *latency_text(usec_t v, bool above, char out[static LATENCY_MAX])
{
    const char *more = above ? ">" : "";
    double ms = (double)v / (double)USEC_PER_MSEC;
    if (ms < 0.995)
        snprintf(out, LATENCY_MAX, "%s%.2f ms", more, ms);
    else if (ms < 9.95)
        snprintf(out, LATENCY_MAX, "%s%.1f ms", more, ms);
    else if (ms < 999.5)
        snprintf(out, LATENCY_MAX, "%s%.0f ms", more, ms);
    else if (ms < 9950)
        snprintf(out, LATENCY_MAX, "%s%.1f s", more, ms / 1000);
    else
        snprintf(out, LATENCY_MAX, "%s%.0f s", more, ms / 1000);
    return out;
}

static void quantile_cell(struct table *t, const struct rates_histogram *h, double share)
{
    char text[LATENCY_MAX];
    usec_t v;
    bool above;
    if (rates_quantile(h, share, &v, &above))
        table_cell(t, COLOUR_NONE, latency_text(v, above, text));
    else
        table_cell(t, COLOUR_NONE, NULL);
}

static void rate_cell(struct table *t, enum colour colour, bool known, double rate)
{
    if (known)
        table_cellf(t, colour, rate < 9.95 ? "%.1f" : "%.0f", rate);
    else
        table_cell(t, COLOUR_NONE, NULL);
}

static enum colour state_colour(const char *state)
{
    static const struct {
        const char *state;
        enum colour colour;
    } colours[] = {
        {"healthy", COLOUR_GREEN}, {"degraded", COLOUR_YELLOW},  {"unhealthy", COLOUR_RED},
        {"open", COLOUR_RED},      {"half_open", COLOUR_YELLOW}, {"drain", COLOUR_YELLOW},
        {"maint", COLOUR_YELLOW},
    };
    for (size_t i = 0; i < ARRAY_LEN(colours); i++)
        if (state && strcmp(state, colours[i].state) == 0)
            return colours[i].colour;
    return COLOUR_NONE;
}

static void state_cell(struct table *t, const char *state)
{
    table_cell(t, state_colour(state), state);
}

static void next_cell(struct table *t, const cJSON *server)
{
    char text[TEXT_SPAN_MAX];
    usec_t span;
    if (!doc_msec(server, "next_attempt_ms", &span))
        table_cell(t, COLOUR_NONE, NULL);
    else
        table_cellf(t, COLOUR_NONE, "%s%s", span ? "in " : "",
                    span ? text_span(span, text) : "now");
}

static const struct table_column columns[] = {
    {"NAME", 0},      {"HEALTH", 0},  {"MODE", 4},         {"CALLS/S", 0}, {"FAILED/S", 0},
    {"IN FLIGHT", 0}, {"WAITING", 0}, {"P50", 0},          {"P99", 0},     {"WAIT P99", 3},
    {"READY", 5},     {"BREAKER", 2}, {"NEXT ATTEMPT", 0},
};

static void put_row(struct table *t, const struct row *r)
{
    const cJSON *pool = doc_get(r->server, "pool_status");
    bool fails = r->failing > 0;
    table_cell(t, COLOUR_NONE, r->name);
    state_cell(t, r->health);
    state_cell(t, doc_str(r->server, "mode"));
    rate_cell(t, COLOUR_NONE, r->has_rates, r->rate);
    rate_cell(t, fails ? COLOUR_RED : COLOUR_NONE, r->has_rates, r->failing);
    table_cellf(t, COLOUR_NONE, "%" PRIu64, r->running);
    table_cellf(t, r->waiting ? COLOUR_YELLOW : COLOUR_NONE, "%" PRIu64, r->waiting);
    quantile_cell(t, &r->duration, 0.5);
    quantile_cell(t, &r->duration, 0.99);
    quantile_cell(t, &r->wait, 0.99);
    table_cellf(t, COLOUR_NONE, "%" PRIu64 "/%" PRIu64, doc_count(pool, "available"),
                doc_count(pool, "max_size"));
    state_cell(t, doc_str(doc_get(r->server, "circuit_breaker"), "state"));
    next_cell(t, r->server);
}

/* ---- sums ---- */

static void put_sum_of_quantiles(struct buf *out, const struct rates_histogram *h)
{
    char text[LATENCY_MAX];
    usec_t v;
    bool above;
    if (rates_quantile(h, 0.5, &v, &above))
        buf_appendf(out, ", p50 %s", latency_text(v, above, text));
    if (rates_quantile(h, 0.99, &v, &above))
        buf_appendf(out, ", p99 %s", latency_text(v, above, text));
}

static void put_sums(const struct row *rows, size_t n, const struct style *style, struct buf *out)
{
    struct rates_histogram duration = {0};
    struct buf line = BUF_INIT;
    uint64_t running = 0, waiting = 0, bad = 0;
    double rate = 0, failing = 0;
    bool known = false;
    for (size_t i = 0; i < n; i++) {
        running += rows[i].running;
        waiting += rows[i].waiting;
        bad += badness(&rows[i]) < 2;
        known = known || rows[i].has_rates;
        rate += rows[i].rate;
        failing += rows[i].failing;
        rates_histogram_add(&duration, &rows[i].duration);
    }
    buf_appendf(&line, "%zu server%s", n, n == 1 ? "" : "s");
    if (bad)
        buf_appendf(&line, ", %" PRIu64 " not well", bad);
    if (known)
        buf_appendf(&line, ", %.1f calls/s, %.1f failed/s", rate, failing);
    buf_appendf(&line, ", %" PRIu64 " in flight, %" PRIu64 " waiting", running, waiting);
    put_sum_of_quantiles(&line, &duration);
    text_cut(out, buf_peek(&line), style->columns ? style->columns : buf_len(&line), style->utf8);
    buf_append_str(out, "\n");
    buf_done(&line);
}

static void put_keys(enum top_sort sort, const struct style *style, struct buf *out)
{
    struct buf line = BUF_INIT, cut = BUF_INIT;
    buf_appendf(&line, "sorted by %s; keys:", sorts[sort].name);
    for (size_t i = 0; i < ARRAY_LEN(sorts); i++)
        buf_appendf(&line, " %c %s,", sorts[i].key, sorts[i].name);
    buf_append_str(&line, " q quit");
    text_cut(&cut, buf_peek(&line), style->columns ? style->columns : buf_len(&line), style->utf8);
    colour_append(out, style, COLOUR_DIM, buf_peek(&cut));
    buf_append_str(out, "\n");
    buf_done(&line);
    buf_done(&cut);
}

void top_view(const struct top_documents *docs, enum top_sort sort, bool keys,
              const struct style *style, struct buf *out)
{
    const cJSON *s, *servers = doc_get(docs->now, "servers");
    size_t n = 0, room = (size_t)cJSON_GetArraySize(servers);
    struct row *rows = xcalloc(room ? room : 1, sizeof(*rows));
    struct table t;
    cJSON_ArrayForEach(s, servers) fill_row(&rows[n++], docs, s);
    sorted_by = sort;
    qsort(rows, n, sizeof(*rows), compare);
    put_sums(rows, n, style, out);
    if (keys)
        put_keys(sort, style, out);
    buf_append_str(out, "\n");
    table_init(&t, style, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < n; i++)
        put_row(&t, &rows[i]);
    table_write(&t, 0, out);
    table_done(&t);
    free(rows);
}
