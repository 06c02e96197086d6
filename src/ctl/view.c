/* How much is shown follows from what it is for: the list answers "which server, how bad, until
 * when" in one line each; the block of one server answers "why". Spans are counted from the time
 * that the document itself bears, never from this machine's clock at another moment. */
#include "ctl/view.h"

#include "base/util.h"
#include "ctl/doc.h"
#include "ctl/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- pieces ---- */

/* Appends a string of the document; "?" when it is missing. */
static void put_str(struct buf *out, const struct style *style, const char *s)
{
    text_escape(out, s ? slice_str(s) : SLICE("?"), style->utf8);
}

/* "3 attempts", "1 attempt": every noun here has its plural with s. */
static void put_count(struct buf *out, uint64_t n, const char *noun)
{
    buf_appendf(out, "%" PRIu64 " %s%s", n, noun, n == 1 ? "" : "s");
}

/* A member's point of time as the span that has passed since; false when absent. */
static bool ago(const cJSON *doc, const cJSON *obj, const char *name, usec_t *ret)
{
    usec_t now, at;
    if (!doc_time(doc, "time", &now) || !doc_time(obj, name, &at))
        return false;
    *ret = now > at ? now - at : 0;
    return true;
}

static void put_ago(struct buf *out, const cJSON *doc, const cJSON *obj, const char *name)
{
    char text[TEXT_SPAN_MAX];
    usec_t span;
    if (ago(doc, obj, name, &span))
        buf_appendf(out, "%s ago", text_span(span, text));
    else
        buf_append_str(out, "never");
}

/* " since Fri 2026-01-02 03:04:05 UTC; 5 min ago", or nothing. */
static void put_since(struct buf *out, const cJSON *doc, const cJSON *obj, const char *name)
{
    char when[TEXT_TIME_MAX], text[TEXT_SPAN_MAX];
    usec_t at, span;
    if (doc_time(obj, name, &at) && ago(doc, obj, name, &span))
        buf_appendf(out, " since %s; %s ago", text_time(at, when), text_span(span, text));
}

static enum colour health_colour(const char *health)
{
    if (!health)
        return COLOUR_NONE;
    return strcmp(health, "healthy") == 0     ? COLOUR_GREEN
           : strcmp(health, "degraded") == 0  ? COLOUR_YELLOW
           : strcmp(health, "unhealthy") == 0 ? COLOUR_RED
                                              : COLOUR_NONE;
}

/* What an operator did to a server is to be seen, lest it be forgotten. */
static enum colour mode_colour(const char *mode)
{
    return mode && strcmp(mode, "active") != 0 ? COLOUR_YELLOW : COLOUR_NONE;
}

static enum colour breaker_colour(const char *state)
{
    if (!state)
        return COLOUR_NONE;
    return strcmp(state, "open") == 0        ? COLOUR_RED
           : strcmp(state, "half_open") == 0 ? COLOUR_YELLOW
                                             : COLOUR_NONE;
}

static void next_attempt(struct table *t, const cJSON *obj)
{
    char text[TEXT_SPAN_MAX];
    usec_t span;
    if (!doc_msec(obj, "next_attempt_ms", &span))
        table_cell(t, COLOUR_NONE, NULL);
    else if (span == 0)
        table_cell(t, COLOUR_NONE, "now");
    else
        table_cellf(t, COLOUR_NONE, "in %s", text_span(span, text));
}

/* ---- the list ---- */

static const struct table_column list_columns[] = {
    {"NAME", 0},         {"HEALTH", 0},    {"MODE", 1},       {"READY/MIN/MAX", 0},
    {"IN FLIGHT", 5},    {"WAITING", 6},   {"FAILED", 4},     {"BREAKER", 3},
    {"NEXT ATTEMPT", 2}, {"RECOVERED", 7}, {"LAST ERROR", 0},
};

static void breaker_cell(struct table *t, const cJSON *breaker)
{
    const char *state = doc_str(breaker, "state");
    enum colour colour = breaker_colour(state);
    char text[TEXT_SPAN_MAX];
    usec_t span;
    if (doc_msec(breaker, "next_change_ms", &span))
        table_cellf(t, colour, "%.32s (%s)", state ? state : "?", text_span(span, text));
    else
        table_cell(t, colour, state);
}

/* Why the slot that failed last is not ready; NULL when all are. Times of this form compare as
 * text. */
static const char *current_error(const cJSON *server)
{
    const cJSON *pool, *slot;
    const char *found = NULL, *found_since = "";
    cJSON_ArrayForEach(pool, doc_get(server, "pools"))
    {
        cJSON_ArrayForEach(slot, doc_get(pool, "slots"))
        {
            const char *error = doc_str(slot, "last_error"), *since = doc_str(slot, "since");
            const char *state = doc_str(slot, "state");
            if (!error || !state || !strcmp(state, "ready") || !strcmp(state, "idle"))
                continue;
            if (found && strcmp(since ? since : "", found_since) <= 0)
                continue;
            found = error;
            found_since = since ? since : "";
        }
    }
    return found;
}

static void list_server(struct table *t, const cJSON *s)
{
    const cJSON *pool = doc_get(s, "pool_status"), *calls = doc_get(s, "calls");
    const cJSON *metrics = doc_get(s, "metrics");
    const char *health = doc_str(s, "health_status"), *mode = doc_str(s, "mode");
    uint64_t failed = doc_count(s, "failed_connections");
    table_cell(t, COLOUR_NONE, doc_str(s, "name"));
    table_cell(t, health_colour(health), health);
    table_cell(t, mode_colour(mode), mode);
    table_cellf(t, COLOUR_NONE, "%" PRIu64 "/%" PRIu64 "/%" PRIu64, doc_count(pool, "available"),
                doc_count(pool, "min_size"), doc_count(pool, "max_size"));
    table_cellf(t, COLOUR_NONE, "%" PRIu64, doc_count(calls, "running"));
    table_cellf(t, COLOUR_NONE, "%" PRIu64, doc_count(calls, "waiting"));
    table_cellf(t, failed ? COLOUR_YELLOW : COLOUR_NONE, "%" PRIu64, failed);
    breaker_cell(t, doc_get(s, "circuit_breaker"));
    next_attempt(t, s);
    table_cellf(t, COLOUR_NONE, "%" PRIu64 "/%" PRIu64, doc_count(metrics, "successful_recoveries"),
                doc_count(metrics, "recovery_attempts"));
    table_cell(t, COLOUR_NONE, current_error(s));
}

void view_list(const cJSON *doc, const struct style *style, struct buf *out)
{
    const cJSON *s;
    struct table t;
    table_init(&t, style, list_columns, ARRAY_LEN(list_columns));
    cJSON_ArrayForEach(s, doc_get(doc, "servers")) list_server(&t, s);
    table_write(&t, 0, out);
    table_done(&t);
}

/* ---- one server ---- */

/* Begins a line of the block. */
static void label(struct buf *out, const char *name)
{
    buf_appendf(out, "%12s: ", name);
}

static void server_title(const cJSON *doc, const cJSON *s, const struct style *style,
                         struct buf *out)
{
    struct buf health = BUF_INIT;
    enum colour colour = health_colour(doc_str(s, "health_status"));
    put_str(&health, style, doc_str(s, "health_status"));
    colour_append(out, style, colour, style->utf8 ? SLICE("●") : SLICE("*"));
    buf_append_str(out, " ");
    put_str(out, style, doc_str(s, "name"));
    buf_append_str(out, " - ");
    colour_append(out, style, colour, buf_peek(&health));
    put_since(out, doc, s, "health_since");
    buf_append_str(out, "\n");
    buf_done(&health);
}

static void server_config(const cJSON *s, const struct style *style, struct buf *out)
{
    const cJSON *config = doc_get(s, "server_config");
    const char *url = doc_str(config, "url");
    label(out, url ? "Address" : "Command");
    put_str(out, style, url ? url : doc_str(config, "command"));
    buf_append_str(out, " (");
    put_str(out, style, doc_str(config, "transport"));
    buf_append_str(out, ", ");
    put_str(out, style, doc_str(config, "sharing"));
    buf_append_str(out, ")\n");
}

static void server_mode(const cJSON *s, const struct style *style, struct buf *out)
{
    const char *mode = doc_str(s, "mode");
    struct buf b = BUF_INIT;
    if (!mode)
        return;
    label(out, "Mode");
    put_str(&b, style, mode);
    colour_append(out, style, mode_colour(mode), buf_peek(&b));
    if (strcmp(mode, "drain") == 0)
        buf_append_str(out, ": new calls wait in line");
    else if (strcmp(mode, "maint") == 0)
        buf_append_str(out, ": new calls are refused");
    buf_append_str(out, "\n");
    buf_done(&b);
}

static void server_pool(const cJSON *s, struct buf *out)
{
    const cJSON *pool = doc_get(s, "pool_status");
    label(out, "Pool");
    buf_appendf(out,
                "%" PRIu64 " ready, %" PRIu64 " wanted, %" PRIu64 " at most; %" PRIu64 " failed\n",
                doc_count(pool, "available"), doc_count(pool, "min_size"),
                doc_count(pool, "max_size"), doc_count(s, "failed_connections"));
}

static void put_left(struct buf *out, const cJSON *obj, const char *name, const char *what)
{
    char text[TEXT_SPAN_MAX];
    usec_t span;
    if (doc_msec(obj, name, &span))
        buf_appendf(out, "; %s %s", what, text_span(span, text));
}

static void server_breaker(const cJSON *doc, const cJSON *s, const struct style *style,
                           struct buf *out)
{
    const cJSON *b = doc_get(s, "circuit_breaker");
    struct buf state = BUF_INIT;
    label(out, "Breaker");
    put_str(&state, style, doc_str(b, "state"));
    colour_append(out, style, breaker_colour(doc_str(b, "state")), buf_peek(&state));
    buf_done(&state);
    put_since(out, doc, b, "since");
    put_left(out, b, "next_change_ms", "changes in");
    put_left(out, b, "ramp_ms", "lets in more and more calls for");
    put_left(out, b, "pause_ms", "pauses for");
    buf_append_str(out, "\n");
    buf_appendf(out, "%14s%s calls, ", "", doc_true(b, "admits_calls") ? "admits" : "refuses");
    put_count(out, doc_count(b, "failure_count"), "failure");
    buf_append_str(out, " in a row, opened ");
    put_count(out, doc_count(b, "opened_count"), "time");
    if (doc_true(b, "trial"))
        buf_append_str(out, ", a trial is under way");
    if (doc_true(b, "auth_failed"))
        buf_append_str(out, ", the server refused our credentials");
    buf_append_str(out, "\n");
}

static void server_calls(const cJSON *s, struct buf *out)
{
    const cJSON *calls = doc_get(s, "calls");
    label(out, "Calls");
    buf_appendf(out, "%" PRIu64 " in flight, %" PRIu64 " waiting\n%14sended: ",
                doc_count(calls, "running"), doc_count(calls, "waiting"), "");
    put_count(out, doc_count(calls, "result"), "result");
    buf_append_str(out, ", ");
    put_count(out, doc_count(calls, "error"), "error");
    buf_appendf(out,
                " of the server, %" PRIu64 " failed, %" PRIu64 " cancelled; %" PRIu64
                " moved to another connection\n",
                doc_count(calls, "failed"), doc_count(calls, "cancelled"),
                doc_count(calls, "moved"));
}

static void server_recovery(const cJSON *doc, const cJSON *s, struct buf *out)
{
    const cJSON *m = doc_get(s, "metrics");
    char text[TEXT_SPAN_MAX];
    usec_t span;
    label(out, "Recovery");
    buf_appendf(out, "%" PRIu64 " of ", doc_count(m, "successful_recoveries"));
    put_count(out, doc_count(m, "recovery_attempts"), "attempt");
    buf_append_str(out, " succeeded; last attempt ");
    put_ago(out, doc, m, "last_recovery_attempt");
    buf_append_str(out, ", last success ");
    put_ago(out, doc, m, "last_successful_recovery");
    if (doc_msec(s, "next_attempt_ms", &span))
        buf_appendf(out, ", next attempt %s%s", span ? "in " : "",
                    span ? text_span(span, text) : "now");
    buf_appendf(out, "\n%14s", "");
    put_count(out, doc_count(m, "total_created"), "connection");
    buf_appendf(out, " made, %" PRIu64 " lost; recovered by force ", doc_count(m, "total_lost"));
    put_count(out, doc_count(m, "forced_recoveries"), "time");
    if (doc_count(m, "forced_recoveries")) {
        buf_append_str(out, ", last ");
        put_ago(out, doc, m, "last_forced_recovery");
    }
    buf_append_str(out, "\n");
}

static void server_backoff(const cJSON *s, const struct style *style, struct buf *out)
{
    const cJSON *a = doc_get(s, "adaptive_backoff");
    char text[TEXT_SPAN_MAX];
    uint64_t samples = doc_count(a, "samples");
    usec_t span = 0;
    label(out, "Back-off");
    if (doc_seconds(a, "cap_seconds", &span))
        buf_appendf(out, "at most %s", text_span(span, text));
    buf_append_str(out, " (adaptive: ");
    put_str(out, style, doc_str(a, "mode"));
    buf_append_str(out, "); ");
    put_count(out, samples, "outage");
    buf_append_str(out, " measured");
    if (samples && doc_seconds(a, "mean_outage_seconds", &span))
        buf_appendf(out, ", mean %s", text_span(span, text));
    if (samples && doc_seconds(a, "deviation_seconds", &span))
        buf_appendf(out, ", deviation %s", text_span(span, text));
    if (samples && doc_seconds(a, "suggested_cap_seconds", &span))
        buf_appendf(out, ", which suggest at most %s", text_span(span, text));
    buf_append_str(out, "\n");
}

static void server_replay(const cJSON *s, const struct style *style, struct buf *out)
{
    const cJSON *r = doc_get(s, "replay");
    label(out, "Replay");
    put_str(out, style, doc_str(r, "mode"));
    buf_appendf(out,
                ", budget %" PRIu64 " of %" PRIu64 "; %" PRIu64 " sent again, %" PRIu64 " denied\n",
                doc_count(r, "budget_left"), doc_count(r, "budget"), doc_count(r, "replayed"),
                doc_count(r, "denied"));
}

static const struct table_column slot_columns[] = {
    {"SLOT", 0},      {"STATE", 0},    {"FOR", 0},          {"EPOCH", 0},
    {"IN FLIGHT", 0}, {"ATTEMPTS", 0}, {"NEXT ATTEMPT", 0}, {"LAST ERROR", 0},
};

static void slot_row(struct table *t, const cJSON *doc, const cJSON *slot)
{
    char text[TEXT_SPAN_MAX];
    const char *state = doc_str(slot, "state");
    bool ready = state && !strcmp(state, "ready"), suspect = doc_true(slot, "suspect");
    uint64_t cycles = doc_count(slot, "cycles");
    usec_t span;
    table_cellf(t, COLOUR_NONE, "%" PRIu64, doc_count(slot, "slot"));
    table_cellf(t, suspect || !ready ? COLOUR_YELLOW : COLOUR_GREEN, "%.32s%s%s",
                state ? state : "?", suspect ? ", suspect" : "",
                doc_true(slot, "draining") ? ", draining" : "");
    table_cell(t, COLOUR_NONE, ago(doc, slot, "since", &span) ? text_span(span, text) : NULL);
    table_cellf(t, COLOUR_NONE, "%" PRIu64, doc_count(slot, "epoch"));
    table_cellf(t, COLOUR_NONE, "%" PRIu64, doc_count(slot, "in_flight"));
    if (cycles)
        table_cellf(t, COLOUR_NONE, "%" PRIu64 ", cycle %" PRIu64, doc_count(slot, "attempts"),
                    cycles + 1);
    else
        table_cellf(t, COLOUR_NONE, "%" PRIu64, doc_count(slot, "attempts"));
    next_attempt(t, slot);
    table_cell(t, ready ? COLOUR_DIM : COLOUR_NONE, doc_str(slot, "last_error"));
}

/* A pool and its slots. Errors are shown whole, so nothing limits the width. */
static void server_slots(const cJSON *doc, const cJSON *pool, const struct style *style,
                         struct buf *out)
{
    const struct style wide = {.colour = style->colour, .utf8 = style->utf8};
    const cJSON *slot, *slots = doc_get(pool, "slots");
    char text[TEXT_SPAN_MAX];
    struct table t;
    usec_t span;
    buf_append_str(out, "\n  Pool of ");
    put_str(out, style, doc_str(pool, "principal"));
    if (doc_count(pool, "features"))
        buf_appendf(out, ", client features %" PRIu64, doc_count(pool, "features"));
    buf_append_str(out, ": ");
    put_count(out, doc_count(pool, "sessions"), "session");
    buf_appendf(out, ", %" PRIu64 " waiting", doc_count(pool, "queue_length"));
    if (ago(doc, pool, "empty_since", &span))
        buf_appendf(out, ", nothing ready for %s", text_span(span, text));
    buf_append_str(out, ", ");
    put_count(out, doc_count(pool, "slots_never_used"), "slot");
    buf_append_str(out, " never used\n");
    if (cJSON_GetArraySize(slots) == 0)
        return;
    table_init(&t, &wide, slot_columns, ARRAY_LEN(slot_columns));
    cJSON_ArrayForEach(slot, slots) slot_row(&t, doc, slot);
    table_write(&t, 4, out);
    table_done(&t);
}

void view_server(const cJSON *doc, const struct style *style, struct buf *out)
{
    const cJSON *s, *pool;
    cJSON_ArrayForEach(s, doc_get(doc, "servers"))
    {
        server_title(doc, s, style, out);
        server_config(s, style, out);
        server_mode(s, style, out);
        server_pool(s, out);
        server_breaker(doc, s, style, out);
        server_calls(s, out);
        server_recovery(doc, s, out);
        server_backoff(s, style, out);
        server_replay(s, style, out);
        cJSON_ArrayForEach(pool, doc_get(s, "pools")) server_slots(doc, pool, style, out);
    }
}

/* ---- the rest ---- */

void view_header(const cJSON *doc, const struct style *style, struct buf *out)
{
    char text[TEXT_SPAN_MAX], when[TEXT_TIME_MAX];
    struct buf line = BUF_INIT, cut = BUF_INIT;
    usec_t time = 0, up = 0;
    doc_time(doc, "time", &time);
    doc_seconds(doc, "uptime_seconds", &up);
    buf_appendf(&line, "%s  mcpoold ", text_time(time, when));
    put_str(&line, style, doc_str(doc, "version"));
    buf_appendf(&line, ", pid %" PRIu64 ", up %s, ", doc_count(doc, "pid"), text_span(up, text));
    put_count(&line, doc_count(doc, "sessions"), "session");
    if (doc_true(doc, "stopping"))
        buf_append_str(&line, ", stopping");
    if (style->columns)
        text_cut(&cut, buf_peek(&line), style->columns, style->utf8);
    else
        buf_append_slice(&cut, buf_peek(&line));
    colour_append(out, style, COLOUR_BOLD, buf_peek(&cut));
    buf_append_str(out, "\n");
    buf_done(&line);
    buf_done(&cut);
}

bool view_all_well(const cJSON *doc)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, doc_get(doc, "servers"))
    {
        const char *health = doc_str(s, "health_status");
        bool at_rest = health && !strcmp(health, "unknown") &&
                       doc_count(doc_get(s, "pool_status"), "min_size") == 0;
        if (!at_rest && (!health || strcmp(health, "healthy") != 0))
            return false;
    }
    return true;
}

/* Separates what was done; the first follows the name at once. */
static void put_part(struct buf *out, bool *begun)
{
    buf_append_str(out, *begun ? ", " : " ");
    *begun = true;
}

static void put_done(struct buf *out, bool *begun, uint64_t n, const char *noun, const char *done)
{
    if (n == 0)
        return;
    put_part(out, begun);
    put_count(out, n, noun);
    buf_appendf(out, " %s", done);
}

static void recovered_line(const cJSON *s, const struct style *style, struct buf *out)
{
    const char *before = doc_str(s, "circuit_breaker_before");
    const char *after = doc_str(s, "circuit_breaker");
    uint64_t ready = doc_count(s, "ready");
    bool begun = false;
    put_str(out, style, doc_str(s, "name"));
    buf_append_str(out, ":");
    put_done(out, &begun, doc_count(s, "reset"), "back-off", "reset");
    put_done(out, &begun, doc_count(s, "torn_down"), "connection", "torn down");
    put_done(out, &begun, doc_count(s, "started"), "attempt", "started");
    if (before && after && strcmp(before, after) != 0) {
        put_part(out, &begun);
        buf_append_str(out, "breaker ");
        put_str(out, style, before);
        buf_append_str(out, " -> ");
        put_str(out, style, after);
    }
    if (!begun) {
        put_part(out, &begun);
        buf_append_str(out, "nothing to do");
    }
    put_done(out, &begun, ready, "connection", ready == 1 ? "is well" : "are well");
    buf_append_str(out, "\n");
}

void view_recovered(const cJSON *doc, const struct style *style, struct buf *out)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, doc_get(doc, "servers")) recovered_line(s, style, out);
}

void view_names(const cJSON *doc, const struct style *style, const char *before, const char *after,
                struct buf *out)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, doc_get(doc, "servers"))
    {
        buf_append_str(out, before);
        put_str(out, style, doc_str(s, "name"));
        buf_append_str(out, after);
    }
}
