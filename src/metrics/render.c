/* Sets as OpenMetrics 1.0 text, or as its predecessor: per family TYPE, UNIT and HELP, then the
 * samples of all sets, so that families are never interleaved; per cell of a histogram its buckets,
 * count and sum together. All numbers are integers or decimals made from integers: what is shown is
 * exactly what was counted, and the same on every machine. "_created" is left out: scrapers that
 * understand it store it as a series of its own per cell, and the start of the process says the
 * same. */
#include "metrics/metrics.h"

#include "base/utf8.h"
#include "base/util.h"

#include <string.h>

/* One set while it is rendered; server is NULL for the set of the process. */
struct source {
    const struct metrics *set;
    const char *server;
};

/* escaped-string of the specification. Bytes that are not UTF-8 become U+FFFD, because a scraper
 * refuses the whole text for one of them. */
static void append_escaped(struct buf *out, const char *s)
{
    size_t n = strlen(s), from = 0, i = 0; /* [from, i) needs no change and is not appended yet */
    uint32_t cp;

    while (i < n) {
        unsigned char c = (unsigned char)s[i];
        size_t len = c < 0x80 ? 1 : utf8_sequence(s + i, n - i, &cp);

        if (len > 0 && c != '\\' && c != '"' && c != '\n') {
            i += len;
            continue;
        }
        buf_append(out, s + from, i - from);
        buf_append_str(out, len == 0    ? "\xef\xbf\xbd"
                            : c == '\\' ? "\\\\"
                            : c == '"'  ? "\\\""
                                        : "\\n");
        from = ++i;
    }
    buf_append(out, s + from, i - from);
}

/* What is counted in microseconds. */
static bool is_time(const struct metric_info *info)
{
    return *info->unit == 's'; /* seconds; otherwise bytes or none */
}

/* Seconds with all six decimals. */
static void append_seconds(struct buf *out, usec_t t)
{
    char decimals[7] = ".";

    for (size_t i = 6; i > 0; i--, t /= 10)
        decimals[i] = (char)('0' + t % 10);
    buf_append_u64(out, t);
    buf_append(out, decimals, sizeof(decimals));
}

/* The same without needless zeros, as the specification wants numbers in "le": 0.0025, 1.0, 300.0.
 */
static void append_bound(struct buf *out, usec_t t)
{
    append_seconds(out, t);
    while (out->data[out->tail - 1] == '0' && out->data[out->tail - 2] != '.')
        out->tail--;
}

/* Name and labels of one sample, and the blank before its value. le: upper bound of a bucket. */
static void open_sample(struct buf *out, const struct metric_info *info, const char *suffix,
                        const struct source *from, unsigned cell, const usec_t *le)
{
    char sep = '{';

    buf_append_str(out, info->name);
    buf_append_str(out, suffix);
    if (from->server) {
        buf_appendf(out, "%cserver=\"", sep);
        append_escaped(out, from->server);
        buf_append(out, "\"", 1);
        sep = ',';
    }
    if (info->label) {
        buf_appendf(out, "%c%s=\"%s\"", sep, info->label, info->values[cell]);
        sep = ',';
    }
    if (le) {
        buf_appendf(out, "%cle=\"", sep);
        if (*le == USEC_NEVER)
            buf_append_str(out, "+Inf");
        else
            append_bound(out, *le);
        buf_append(out, "\"", 1);
        sep = ',';
    }
    buf_append_str(out, sep == ',' ? "} " : " ");
}

static void render_histogram(struct buf *out, const struct metric_info *info,
                             const struct source *from, unsigned cell, const uint64_t *words)
{
    static const usec_t above = USEC_NEVER;
    uint64_t count = 0;

    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        open_sample(out, info, "_bucket", from, cell,
                    i < METRIC_BUCKETS - 1 ? &metric_bounds[i] : &above);
        count += words[i];
        buf_append_u64(out, count);
        buf_append(out, "\n", 1);
    }
    open_sample(out, info, "_count", from, cell, NULL);
    buf_append_u64(out, count);
    buf_append(out, "\n", 1);
    open_sample(out, info, "_sum", from, cell, NULL);
    append_seconds(out, words[METRIC_BUCKETS]);
    buf_append(out, "\n", 1);
}

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

/* What stands between the name of a family and the labels of its only kind of sample. */
static const char *suffix_of(enum metric_kind kind)
{
    return kind == METRIC_COUNTER ? "_total" : kind == METRIC_INFO ? "_info" : "";
}

static void render_cells(struct buf *out, enum metric id, const struct source *from)
{
    const struct metric_info *info = metric_info(id);
    const uint64_t *words = &from->set->words[metric_places[id].at];

    for (unsigned cell = 0; cell < info->cells; cell++) {
        if (info->kind == METRIC_HISTOGRAM) {
            render_histogram(out, info, from, cell, words + cell * METRIC_WORDS_HISTOGRAM);
            continue;
        }
        open_sample(out, info, suffix_of(info->kind), from, cell, NULL);
        if (info->kind == METRIC_INFO)
            buf_append_str(out, "1");
        else if (is_time(info))
            append_seconds(out, words[cell]);
        else
            buf_append_u64(out, words[cell]);
        buf_append(out, "\n", 1);
    }
}

static void render_head(struct buf *out, enum metrics_format format, const struct metric_info *info)
{
    static const char *const types[] = {[METRIC_COUNTER] = "counter",
                                        [METRIC_GAUGE] = "gauge",
                                        [METRIC_HISTOGRAM] = "histogram",
                                        [METRIC_INFO] = "info"};
    bool old = format == METRICS_PROMETHEUS;
    /* The older format knows families only by the name of their samples. */
    const char *suffix = old ? suffix_of(info->kind) : "";
    const char *type = types[old && info->kind == METRIC_INFO ? METRIC_GAUGE : info->kind];

    buf_appendf(out, "# TYPE %s%s %s\n", info->name, suffix, type);
    if (*info->unit && !old)
        buf_appendf(out, "# UNIT %s %s\n", info->name, info->unit);
    buf_appendf(out, "# HELP %s%s ", info->name, suffix);
    append_escaped(out, info->help);
    buf_append(out, "\n", 1);
}

void metrics_render(struct buf *out, enum metrics_format format, const struct metrics *process,
                    const struct metrics *const *servers, const char *const *names, size_t n)
{
    for (enum metric id = 0; id < METRIC_COUNT; id++) {
        const struct metric_info *info = metric_info(id);

        if (info->scope == METRIC_PROCESS ? !process : n == 0)
            continue;
        render_head(out, format, info);
        if (info->scope == METRIC_PROCESS)
            render_cells(out, id, &(struct source){.set = process});
        else
            for (size_t i = 0; i < n; i++)
                render_cells(out, id, &(struct source){.set = servers[i], .server = names[i]});
    }
    if (format == METRICS_OPENMETRICS)
        buf_append_str(out, "# EOF\n");
}
