/* See the header. Times are shown in the local zone, as the journal shows them. */
#include "ctl/report.h"

#include "base/util.h"
#include "ctl/doc.h"
#include "ctl/text.h"

#include <inttypes.h>
#include <string.h>

static void put_str(struct buf *out, const struct style *style, const char *s)
{
    text_escape(out, s ? slice_str(s) : SLICE("?"), style->utf8);
}

static void put_coloured(struct buf *out, const struct style *style, enum colour colour,
                         const char *s)
{
    struct buf b = BUF_INIT;
    put_str(&b, style, s);
    colour_append(out, style, colour, buf_peek(&b));
    buf_done(&b);
}

static void put_count(struct buf *out, uint64_t n, const char *noun)
{
    buf_appendf(out, "%" PRIu64 " %s%s", n, noun, n == 1 ? "" : "s");
}

/* A point of time of the document; its text as it is when it is none. */
static void put_time(struct buf *out, const struct style *style, const cJSON *obj)
{
    char when[TEXT_TIME_MAX];
    usec_t at;
    if (doc_time(obj, "time", &at))
        buf_append_str(out, text_time(at, when));
    else
        put_str(out, style, doc_str(obj, "time"));
}

/* Text of many lines, each escaped by itself. */
static void put_text(struct buf *out, const struct style *style, const char *s)
{
    while (s && *s) {
        size_t n = strcspn(s, "\n");
        text_escape(out, slice_of(s, n), style->utf8);
        buf_append_str(out, "\n");
        s += n + (s[n] == '\n');
    }
}

static bool is(const char *s, const char *what)
{
    return s && strcmp(s, what) == 0;
}

/* ---- modes ---- */

static void put_calls(struct buf *out, const cJSON *doc)
{
    buf_append_str(out, "; ");
    put_count(out, doc_count(doc, "running"), "call");
    buf_appendf(out, " in flight, %" PRIu64 " waiting\n", doc_count(doc, "waiting"));
}

void report_mode(const cJSON *doc, const struct style *style, struct buf *out)
{
    const char *mode = doc_str(doc, "mode");
    put_str(out, style, doc_str(doc, "server"));
    buf_append_str(out, ": ");
    put_str(out, style, mode);
    if (is(mode, "active"))
        buf_append_str(out, ", takes calls");
    else if (is(mode, "drain"))
        buf_append_str(out, ", calls that run may end, new ones wait in line");
    else if (is(mode, "maint"))
        buf_append_str(out, ", calls that run may end, all others are refused");
    put_calls(out, doc);
}

void report_restart(const cJSON *doc, const struct style *style, struct buf *out)
{
    put_str(out, style, doc_str(doc, "server"));
    buf_append_str(out, ": its connections are being replaced, each when its calls have ended (");
    put_str(out, style, doc_str(doc, "mode"));
    buf_append_str(out, ")");
    put_calls(out, doc);
}

/* ---- what happened ---- */

static enum colour level_colour(const char *level)
{
    if (is(level, "warning"))
        return COLOUR_YELLOW;
    return is(level, "error") || is(level, "critical") ? COLOUR_RED : COLOUR_NONE;
}

static enum colour health_colour(const char *health)
{
    return is(health, "healthy")     ? COLOUR_GREEN
           : is(health, "degraded")  ? COLOUR_YELLOW
           : is(health, "unhealthy") ? COLOUR_RED
                                     : COLOUR_NONE;
}

static void put_event(struct buf *out, const struct style *style, const cJSON *e)
{
    const char *level = doc_str(e, "level"), *reason = doc_str(e, "reason");
    const cJSON *slot = doc_get(e, "slot");
    buf_append_str(out, "  ");
    put_time(out, style, e);
    buf_append_str(out, "  ");
    put_coloured(out, style, level_colour(level), level);
    buf_append_str(out, "  ");
    if (cJSON_IsNumber(slot))
        buf_appendf(out, "slot %" PRIu64 ": ", doc_count(e, "slot"));
    put_str(out, style, doc_str(e, "message"));
    if (reason) {
        buf_append_str(out, " [");
        put_str(out, style, reason);
        buf_append_str(out, "]");
    }
    buf_append_str(out, "\n");
}

void report_explain(const cJSON *doc, const struct style *style, struct buf *out)
{
    const char *health = doc_str(doc, "health"), *mode = doc_str(doc, "mode");
    const cJSON *item, *next = doc_get(doc, "next"), *events = doc_get(doc, "events");
    colour_append(out, style, health_colour(health), style->utf8 ? SLICE("●") : SLICE("*"));
    buf_append_str(out, " ");
    put_str(out, style, doc_str(doc, "server"));
    buf_append_str(out, " - ");
    put_coloured(out, style, health_colour(health), health);
    if (mode && !is(mode, "active")) {
        buf_append_str(out, ", ");
        put_coloured(out, style, COLOUR_YELLOW, mode);
    }
    buf_append_str(out, ", breaker ");
    put_str(out, style, doc_str(doc, "breaker"));
    buf_append_str(out, "\n  ");
    put_str(out, style, doc_str(doc, "summary"));
    buf_append_str(out, "\n\nWhat happens next:\n");
    cJSON_ArrayForEach(item, next)
    {
        buf_append_str(out, "  ");
        put_str(out, style, cJSON_GetStringValue(item));
        buf_append_str(out, "\n");
    }
    if (cJSON_GetArraySize(next) == 0)
        buf_append_str(out, "  nothing, unless something else does\n");
    buf_append_str(out, "\nWhat happened:\n");
    cJSON_ArrayForEach(item, events) put_event(out, style, item);
    if (cJSON_GetArraySize(events) == 0)
        buf_append_str(out, "  nothing that was worth a line\n");
}

/* ---- what the server said ---- */

static void put_line(struct buf *out, const struct style *style, const cJSON *line)
{
    struct buf when = BUF_INIT;
    put_time(&when, style, line);
    colour_append(out, style, COLOUR_DIM, buf_peek(&when));
    buf_done(&when);
    if (cJSON_IsNumber(doc_get(line, "pid")))
        buf_appendf(out, " [%" PRIu64 "]", doc_count(line, "pid"));
    buf_append_str(out, " ");
    put_str(out, style, doc_str(line, "text"));
    buf_append_str(out, "\n");
}

static void put_json(struct buf *out, const cJSON *line)
{
    char *text = cJSON_PrintUnformatted(line);
    if (text) {
        buf_append_str(out, text);
        buf_append_str(out, "\n");
    }
    cJSON_free(text);
}

void report_lines(const cJSON *doc, uint64_t from, bool json, const struct style *style,
                  struct buf *out)
{
    const cJSON *line;
    uint64_t n = 0;
    cJSON_ArrayForEach(line, doc_get(doc, "lines"))
    {
        if (n++ < from)
            continue;
        if (json)
            put_json(out, line);
        else
            put_line(out, style, line);
    }
}

void report_log(const cJSON *doc, const struct style *style, struct buf *out)
{
    uint64_t dropped = doc_count(doc, "dropped");
    if (dropped) {
        buf_append_str(out, "(");
        put_count(out, dropped, "earlier line");
        buf_appendf(out, " %s not kept)\n", dropped == 1 ? "is" : "are");
    }
    report_lines(doc, 0, false, style, out);
    if (cJSON_GetArraySize(doc_get(doc, "lines")) == 0)
        buf_append_str(out, "(it has said nothing)\n");
}

/* ---- the configuration ---- */

static void put_strings(struct buf *out, const struct style *style, const cJSON *list)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        put_str(out, style, cJSON_GetStringValue(item));
        buf_append_str(out, "\n");
    }
}

void report_reload(const cJSON *doc, const struct style *style, struct buf *out)
{
    put_strings(out, style, doc_get(doc, "warnings"));
    put_text(out, style, doc_str(doc, "text"));
    if (doc_true(doc, "dry_run"))
        buf_append_str(out, "Nothing was changed: this was a dry run.\n");
}

void report_errors(const cJSON *doc, struct buf *out)
{
    static const struct style plain = {.utf8 = true};
    put_strings(out, &plain, doc_get(doc, "errors"));
    buf_append_str(out, "mcpoolctl: ");
    put_str(out, &plain, doc_str(doc, "error"));
    buf_append_str(out, "\n");
}

void report_log_level(const cJSON *doc, const struct style *style, struct buf *out)
{
    const char *was = doc_str(doc, "was");
    put_str(out, style, doc_str(doc, "log_level"));
    if (was) {
        buf_append_str(out, " (was ");
        put_str(out, style, was);
        buf_append_str(out, ")");
    }
    buf_append_str(out, "\n");
}
