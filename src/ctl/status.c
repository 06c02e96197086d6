/* mcpoolctl status, once or again and again.
 *
 * The first question must be answered; after that, a daemon that is restarted or busy is itself
 * something to be shown. */
#include "ctl/ctl.h"
#include "ctl/screen.h"
#include "ctl/text.h"
#include "ctl/view.h"

#include <stdio.h>

static bool fetch(const struct ctl_options *o, struct ctl_answer *ret, struct buf *why)
{
    const struct ctl_request r = {
        .method = "GET", .path = "/status", .server = o->name, .member = "servers"};
    return ctl_ask(o, &r, ret, why);
}

static void render(const struct ctl_options *o, const struct ctl_answer *a,
                   const struct style *style, struct buf *out)
{
    if (o->json)
        buf_append_slice(out, buf_peek(&a->body));
    else if (o->name)
        view_server(a->doc, style, out);
    else
        view_list(a->doc, style, out);
}

static enum ctl_exit print_once(const struct ctl_options *o)
{
    struct style style = screen_style();
    struct ctl_answer a;
    struct buf why = BUF_INIT, out = BUF_INIT;
    enum ctl_exit status = CTL_FAILED;
    if (!fetch(o, &a, &why)) {
        ctl_complain(buf_peek(&why));
    } else {
        render(o, &a, &style, &out);
        if (ctl_print(buf_peek(&out)))
            status = view_all_well(a.doc) ? CTL_OK : CTL_UNWELL;
        if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(a.doc, "stopping")))
            ctl_complain(SLICE("mcpoold is stopping"));
    }
    ctl_answer_done(&a);
    buf_done(&why);
    buf_done(&out);
    return status;
}

static enum ctl_exit print_names(const struct ctl_options *o)
{
    struct style style = screen_style();
    struct ctl_answer a;
    struct buf why = BUF_INIT, out = BUF_INIT;
    bool ok = ctl_ask_names(o, &a, &why);
    if (ok) {
        view_names(a.doc, &style, "", "\n", &out);
        ok = ctl_print(buf_peek(&out));
    } else {
        ctl_complain(buf_peek(&why));
    }
    ctl_answer_done(&a);
    buf_done(&why);
    buf_done(&out);
    return ok ? CTL_OK : CTL_FAILED;
}

/* ---- watching ---- */

/* What is shown while the daemon does not answer. */
static void render_failure(struct slice why, const struct style *style, struct buf *out)
{
    struct buf text = BUF_INIT;
    char when[TEXT_TIME_MAX];
    buf_appendf(out, "%s  no answer\n", text_time(clock_realtime(), when));
    text_escape(&text, why, style->utf8);
    colour_append(out, style, COLOUR_RED, buf_peek(&text));
    buf_append_str(out, "\n");
    buf_done(&text);
}

/* One turn. false: there is nothing left to write to, or no answer at the very first. */
static bool show(const struct ctl_options *o, bool page, bool first)
{
    struct style style = screen_style();
    struct ctl_answer a;
    struct buf why = BUF_INIT, out = BUF_INIT;
    bool answered = fetch(o, &a, &why), ok = answered || !first;
    if (!answered && (first || o->json)) {
        ctl_complain(buf_peek(&why));
    } else if (!answered) {
        render_failure(buf_peek(&why), &style, &out);
    } else {
        if (!o->json)
            view_header(a.doc, &style, &out);
        render(o, &a, &style, &out);
    }
    if (ok && page) {
        if (first)
            screen_begin();
        ok = screen_draw(buf_peek(&out));
    } else if (ok) {
        if (!first && !o->json)
            ok = ctl_print(SLICE("\n"));
        ok = ok && ctl_print(buf_peek(&out));
    }
    ctl_answer_done(&a);
    buf_done(&why);
    buf_done(&out);
    return ok;
}

static enum ctl_exit watch(const struct ctl_options *o)
{
    bool page = screen_is_page() && !o->json;
    for (bool first = true; show(o, page, first); first = false)
        screen_wait(o->interval);
    screen_end();
    return CTL_FAILED; /* it is a signal that ends a watch */
}

enum ctl_exit ctl_status(const struct ctl_options *o)
{
    if (o->names)
        return print_names(o);
    return o->watch ? watch(o) : print_once(o);
}
