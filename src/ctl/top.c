/* mcpoolctl top: the status again and again, as what changed in between.
 *
 * Rates are of the last interval, quantiles of the last WINDOW of them. On a terminal the first
 * screen comes at once, without either; elsewhere each text is of a whole interval. As with status
 * --watch, only the first question must be answered. */
#include "ctl/ctl.h"
#include "ctl/rates.h"
#include "ctl/screen.h"
#include "ctl/text.h"
#include "ctl/top_view.h"
#include "ctl/view.h"

/* Intervals that quantiles are of. */
#define WINDOW 5

struct top {
    const struct ctl_options *o;
    cJSON *docs[WINDOW + 1]; /* the latest first; NULL from some on */
    enum top_sort sort;
    struct buf why; /* there was no answer */
    bool page, keys;
};

static void forget(struct top *t)
{
    for (size_t i = 0; i <= WINDOW; i++) {
        cJSON_Delete(t->docs[i]);
        t->docs[i] = NULL;
    }
}

/* Asks. false: no answer, t->why says why. */
static bool fetch(struct top *t)
{
    const struct ctl_request r = {
        .method = "GET", .path = "/status", .server = t->o->name, .member = "servers"};
    struct ctl_answer a;
    usec_t span;
    buf_done(&t->why);
    if (!ctl_ask(t->o, &r, &a, &t->why))
        return false;
    if (t->docs[0] && !rates_span(t->docs[0], a.doc, &span))
        forget(t); /* another daemon */
    cJSON_Delete(t->docs[WINDOW]);
    for (size_t i = WINDOW; i > 0; i--)
        t->docs[i] = t->docs[i - 1];
    t->docs[0] = a.doc;
    a.doc = NULL;
    ctl_answer_done(&a);
    return true;
}

static void render(const struct top *t, const struct style *style, struct buf *out)
{
    struct top_documents docs = {.now = t->docs[0], .last = t->docs[1]};
    for (size_t i = 1; i <= WINDOW && t->docs[i]; i++)
        docs.first = t->docs[i];
    view_header(docs.now, style, out);
    if (buf_len(&t->why)) {
        struct buf text = BUF_INIT;
        text_escape(&text, buf_peek(&t->why), style->utf8);
        colour_append(out, style, COLOUR_RED, buf_peek(&text));
        buf_append_str(out, "\n");
        buf_done(&text);
    }
    top_view(&docs, t->sort, t->keys, style, out);
}

static bool show(const struct top *t, bool first)
{
    struct style style = screen_style();
    struct buf out = BUF_INIT;
    render(t, &style, &out);
    bool ok = t->page ? screen_draw(buf_peek(&out))
                      : (first || ctl_print(SLICE("\n"))) && ctl_print(buf_peek(&out));
    buf_done(&out);
    return ok;
}

/* Waits for the next turn; keys that sort are obeyed at once. false: the user has had enough. */
static bool pass_time(struct top *t)
{
    usec_t end_at = clock_monotonic() + t->o->interval;
    for (;;) {
        usec_t now = clock_monotonic();
        if (now >= end_at)
            return true;
        if (!t->page) {
            screen_wait(end_at - now);
            continue;
        }
        int key = screen_wait_key(end_at - now);
        int sort = key > 0 ? top_sort_from_key((char)key) : -1;
        if (key == 'q' || key == 'Q')
            return false;
        if (sort >= 0)
            t->sort = (enum top_sort)sort;
        if ((sort >= 0 || key == SCREEN_RESIZED) && !show(t, false))
            return false;
    }
}

static enum ctl_exit run(struct top *t)
{
    if (!fetch(t)) {
        ctl_complain(buf_peek(&t->why));
        return CTL_FAILED;
    }
    if (t->page) {
        screen_begin();
        t->keys = screen_begin_keys();
    }
    bool ok = !t->page || show(t, true), goes_on = ok;
    for (unsigned shown = 0; goes_on && (t->o->count == 0 || shown < t->o->count); shown++) {
        goes_on = pass_time(t);
        if (goes_on) {
            fetch(t);
            goes_on = ok = show(t, shown == 0);
        }
    }
    screen_end();
    return ok ? CTL_OK : CTL_FAILED;
}

enum ctl_exit ctl_top(const struct ctl_options *o)
{
    int sort = o->sort ? top_sort_from_name(o->sort) : TOP_SORT_RATE;
    struct top t = {.o = o, .page = screen_is_page() && o->count == 0};
    if (sort < 0) {
        ctl_complain(SLICE("--sort takes name, rate, running, waiting, latency or health"));
        return CTL_USAGE;
    }
    t.sort = (enum top_sort)sort;
    enum ctl_exit status = run(&t);
    forget(&t);
    buf_done(&t.why);
    return status;
}
