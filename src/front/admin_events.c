/* Those who watch. A reader remembers the number of the last log event that it was told, not a
 * place in the ring, so that the oldest may go whoever has not read it.
 *
 * Nothing that is done to wake or to serve a reader may log: it would never end. */
#include "front/admin_events.h"

#include "base/util.h"
#include "front/admin_priv.h"
#include "wire/json.h"
#include "wire/sse.h"

#include <stdio.h>
#include <stdlib.h>

/* The period of status documents: so long for each hundred servers or part of it. */
#define PERIOD     USEC_PER_SEC
#define PERIOD_MAX (10 * USEC_PER_SEC)

struct admin_feed {
    struct env *env;
    struct event_ring *events; /* NULL: none */
    struct event_watch watch;
    uint64_t process; /* which one numbers these events */
    TAILQ_HEAD(, admin_reader) readers;
    unsigned count;
    unsigned bare; /* of these, without the log */
    usec_t period;
    struct timer tick; /* armed while somebody reads */
};

struct admin_reader {
    TAILQ_ENTRY(admin_reader) link;
    struct admin_feed *feed;
    bool with_log;
    uint64_t seen;         /* number of the last log event that was told */
    bool status_due;       /* a document is to be begun */
    struct admin_doc *doc; /* one is under way */
    void (*wake)(void *arg);
    void *arg;
};

static void on_tick(void *arg)
{
    struct admin_feed *f = arg;
    struct admin_reader *r;
    env_timer_set(f->env, &f->tick, f->env->now + f->period);
    TAILQ_FOREACH (r, &f->readers, link) {
        r->status_due = true;
        r->wake(r->arg);
    }
}

struct admin_feed *admin_feed_new(struct env *env)
{
    struct admin_feed *f = xcalloc(1, sizeof(*f));
    f->env = env;
    f->process = clock_realtime();
    f->period = PERIOD;
    TAILQ_INIT(&f->readers);
    timer_init(&f->tick, on_tick, f);
    return f;
}

static void on_event(void *arg, const struct log_record *record)
{
    struct admin_feed *f = arg;
    struct admin_reader *r;
    (void)record; /* it is in the ring */
    TAILQ_FOREACH (r, &f->readers, link)
        if (r->with_log)
            r->wake(r->arg);
}

void admin_feed_follow(struct admin_feed *f, struct event_ring *events)
{
    f->events = events;
    f->watch = (struct event_watch){.fn = on_event, .arg = f};
    if (events)
        event_ring_watch(events, &f->watch);
}

void admin_feed_free(struct admin_feed *f)
{
    if (!f)
        return;
    if (f->events)
        event_ring_unwatch(&f->watch);
    env_timer_clear(f->env, &f->tick);
    free(f);
}

/* ---- readers ---- */

/* The number in "PROCESS-NUMBER"; when it is none of this process, the one before the oldest event
 * that there is. */
static uint64_t read_id(const struct admin_feed *f, struct slice id)
{
    uint64_t process, number;
    const char *dash = id.n ? memchr(id.p, '-', id.n) : NULL;
    size_t n = dash ? (size_t)(dash - id.p) : 0;
    bool ours = dash && json_u64(slice_of(id.p, n), &process) && process == f->process &&
                json_u64(slice_of(dash + 1, id.n - n - 1), &number);
    if (ours)
        return number;
    const struct event *oldest = f->events ? event_ring_after(f->events, 0) : NULL;
    return oldest ? oldest->seq - 1 : 0;
}

struct admin_reader *admin_reader_new(struct admin_feed *f, const struct admin_reader_options *opt)
{
    if (f->count >= ADMIN_READERS_MAX || (!opt->with_log && f->bare >= ADMIN_READERS_BARE_MAX))
        return NULL;
    struct admin_reader *r = xcalloc(1, sizeof(*r));
    r->feed = f;
    r->with_log = opt->with_log;
    r->wake = opt->wake;
    r->arg = opt->arg;
    r->status_due = true;
    r->seen = read_id(f, opt->last_id);
    f->bare += !r->with_log;
    TAILQ_INSERT_TAIL(&f->readers, r, link);
    f->count++;
    f->period = PERIOD * (1 + (usec_t)(opt->servers ? opt->servers - 1 : 0) / 100);
    if (f->period > PERIOD_MAX)
        f->period = PERIOD_MAX;
    if (!timer_armed(&f->tick))
        env_timer_set(f->env, &f->tick, f->env->now + f->period);
    return r;
}

struct admin_reader *admin_reader_free(struct admin_reader *r)
{
    if (!r)
        return NULL;
    struct admin_feed *f = r->feed;
    TAILQ_REMOVE(&f->readers, r, link);
    f->bare -= !r->with_log;
    if (--f->count == 0)
        env_timer_clear(f->env, &f->tick);
    admin_doc_free(r->doc);
    free(r);
    return NULL;
}

/* The document ends with a newline, which ends the line of data; it holds no other. */
static void write_status(struct admin_reader *r, struct buf *out)
{
    if (admin_doc_next(r->doc, out))
        return;
    r->doc = admin_doc_free(r->doc);
    buf_append_str(out, "\n");
}

static void write_lost(struct admin_reader *r, uint64_t n, struct buf *out)
{
    struct buf text = BUF_INIT;
    buf_appendf(&text, "{\"lost\":%llu}", (unsigned long long)n);
    sse_write_event(out, "lost", slice_of(NULL, 0), buf_peek(&text));
    buf_done(&text);
    r->seen += n;
}

static void write_log(struct admin_reader *r, const struct event *e, struct buf *out)
{
    char id[48];
    struct admin_json j = {.out = out};
    int n = snprintf(id, sizeof(id), "%llu-%llu", (unsigned long long)r->feed->process,
                     (unsigned long long)e->seq);
    sse_event_begin(out, "log", slice_of(id, (size_t)n));
    admin_json_begin(&j, NULL, '{');
    admin_json_str(&j, "server", e->server);
    admin_json_event(&j, e);
    admin_json_end(&j, '}');
    sse_event_end(out);
    r->seen = e->seq;
}

/* The next event of the log. false: all were told. */
static bool next_log(struct admin_reader *r, struct buf *out)
{
    const struct event_ring *events = r->feed->events;
    const struct event *e = events ? event_ring_after(events, r->seen) : NULL;
    if (!e)
        return false;
    if (e->seq > r->seen + 1)
        write_lost(r, e->seq - r->seen - 1, out);
    else
        write_log(r, e, out);
    return true;
}

bool admin_reader_next(struct admin_reader *r, const struct admin_view *view, struct buf *out)
{
    if (r->doc) {
        write_status(r, out);
        return true;
    }
    if (r->status_due) {
        r->status_due = false;
        r->doc = admin_doc_new(ADMIN_DOC_STATUS, view, NULL, NULL);
        sse_event_begin(out, "status", slice_of(NULL, 0));
        write_status(r, out);
        return true;
    }
    return r->with_log && next_log(r, out);
}
