/* The commands that are one request whose answer is printed. */
#include "ctl/ctl.h"
#include "ctl/doc.h"
#include "ctl/report.h"
#include "ctl/screen.h"
#include "ctl/view.h"

#include "config/config.h"

#include <stdio.h>
#include <string.h>

/* How often new lines of a log are asked for. */
#define FOLLOW_INTERVAL (500 * USEC_PER_MSEC)

/* A reload starts what it adds, and says what became of it when that is done. */
#define RELOAD_TIMEOUT (90 * USEC_PER_SEC)

typedef void view_fn(const cJSON *doc, const struct style *style, struct buf *out);

/* Prints what the daemon answers: as it is with --json and where there is no view for it. */
static enum ctl_exit ask_and_print(const struct ctl_options *o, const struct ctl_request *r,
                                   view_fn *view)
{
    struct style style = screen_style();
    struct ctl_answer a;
    struct buf why = BUF_INIT, out = BUF_INIT;
    bool ok = ctl_ask(o, r, &a, &why);
    if (!ok) {
        ctl_complain(buf_peek(&why));
    } else {
        if (o->json || !view)
            buf_append_slice(&out, buf_peek(&a.body));
        else
            view(a.doc, &style, &out);
        ok = ctl_print(buf_peek(&out));
    }
    ctl_answer_done(&a);
    buf_done(&why);
    buf_done(&out);
    return ok ? CTL_OK : CTL_FAILED;
}

enum ctl_exit ctl_recover(const struct ctl_options *o)
{
    const struct ctl_request r = {
        .method = "POST", .path = "/recover", .server = o->name, .member = "servers"};
    return ask_and_print(o, &r, view_recovered);
}

enum ctl_exit ctl_metrics(const struct ctl_options *o)
{
    const struct ctl_request r = {.method = "GET", .path = "/metrics"};
    return ask_and_print(o, &r, NULL);
}

/* ---- modes ---- */

static enum ctl_exit set_mode(const struct ctl_options *o, const char *path, view_fn *view)
{
    const struct ctl_request r = {
        .method = "POST", .path = path, .server = o->name, .member = "mode"};
    return ask_and_print(o, &r, view);
}

enum ctl_exit ctl_drain(const struct ctl_options *o)
{
    return set_mode(o, "/drain", report_mode);
}

enum ctl_exit ctl_resume(const struct ctl_options *o)
{
    return set_mode(o, "/resume", report_mode);
}

enum ctl_exit ctl_maint(const struct ctl_options *o)
{
    return set_mode(o, "/maint", report_mode);
}

enum ctl_exit ctl_restart(const struct ctl_options *o)
{
    return set_mode(o, "/restart", report_restart);
}

/* ---- what happened ---- */

enum ctl_exit ctl_explain(const struct ctl_options *o)
{
    const struct ctl_request r = {
        .method = "GET", .path = "/explain", .server = o->name, .member = "events"};
    return ask_and_print(o, &r, report_explain);
}

/* The lines from the one of that number on, counted since the server's first; *ret_next is the
 * number of the one to come. A daemon that was restarted counts anew. */
static bool print_lines(const struct ctl_options *o, const struct ctl_answer *a, uint64_t from,
                        uint64_t *ret_next)
{
    struct style style = screen_style();
    struct buf out = BUF_INIT;
    uint64_t dropped = doc_count(a->doc, "dropped");
    uint64_t kept = (uint64_t)cJSON_GetArraySize(doc_get(a->doc, "lines"));
    *ret_next = dropped + kept;
    if (from > *ret_next)
        from = 0;
    report_lines(a->doc, from > dropped ? from - dropped : 0, o->json, &style, &out);
    bool ok = buf_len(&out) == 0 || ctl_print(buf_peek(&out));
    buf_done(&out);
    return ok;
}

static enum ctl_exit follow(const struct ctl_options *o, const struct ctl_request *r)
{
    struct ctl_answer a;
    struct buf why = BUF_INIT;
    uint64_t next = 0;
    bool ok = true, away = false;
    for (bool first = true; ok; first = false) {
        bool answered = ctl_ask(o, r, &a, &why);
        if (!answered && !away)
            ctl_complain(buf_peek(&why));
        ok = answered ? print_lines(o, &a, next, &next) : !first;
        away = !answered;
        ctl_answer_done(&a);
        buf_done(&why);
        if (ok)
            screen_wait(FOLLOW_INTERVAL);
    }
    return CTL_FAILED; /* it is a signal that ends it */
}

enum ctl_exit ctl_logs(const struct ctl_options *o)
{
    const struct ctl_request r = {
        .method = "GET", .path = "/logs", .server = o->name, .member = "lines"};
    return o->follow ? follow(o, &r) : ask_and_print(o, &r, report_log);
}

/* ---- the configuration ---- */

enum ctl_exit ctl_reload(const struct ctl_options *o)
{
    const struct ctl_request r = {.method = "POST",
                                  .path = "/reload",
                                  .query = o->dry_run ? "dry_run=1" : NULL,
                                  .member = "applied",
                                  .timeout = RELOAD_TIMEOUT,
                                  .also = 422};
    struct style style = screen_style();
    struct ctl_answer a;
    struct buf why = BUF_INIT, out = BUF_INIT;
    bool ok = ctl_ask(o, &r, &a, &why), printed = true;
    if (!ok)
        ctl_complain(buf_peek(&why));
    else if (o->json)
        printed = ctl_print(buf_peek(&a.body));
    else if (a.status == 200)
        report_reload(a.doc, &style, &out);
    if (ok && buf_len(&out))
        printed = ctl_print(buf_peek(&out));
    if (ok && a.status != 200 && !o->json) {
        report_errors(a.doc, &why);
        fwrite(buf_peek(&why).p, 1, buf_len(&why), stderr);
    }
    ok = ok && printed && a.status == 200;
    ctl_answer_done(&a);
    buf_done(&why);
    buf_done(&out);
    return ok ? CTL_OK : CTL_FAILED;
}

enum ctl_exit ctl_check(const struct ctl_options *o)
{
    bool ok = config_check(o->name, NULL, stdout);
    return fflush(stdout) == 0 && ok ? CTL_OK : CTL_FAILED;
}

enum ctl_exit ctl_log_level(const struct ctl_options *o)
{
    char query[64];
    struct ctl_request r = {.method = "GET", .path = "/log-level", .member = "log_level"};
    if (o->name && !ctl_is_name(o->name)) {
        ctl_complain(SLICE("the levels are debug, info, notice, warning, error and critical"));
        return CTL_USAGE;
    }
    if (o->name) {
        snprintf(query, sizeof(query), "level=%.32s", o->name);
        r.method = "POST";
        r.query = query;
    }
    return ask_and_print(o, &r, report_log_level);
}
