/* The configuration is read again.
 *
 * All or nothing: the file is parsed whole, the plan is made, and what can fail (sockets that are
 * to be opened) is done, before anything is acted on; from there on nothing can fail. So one
 * configuration is in force at any time, the old or the new one. What only a restart can change
 * keeps its old value in the new snapshot (config_keep).
 *
 * The core follows first, then the front, whose sockets lead to the routes that the core has by
 * then, then the admin interface. All of that happens within one turn of the loop: no request sees
 * half of it.
 *
 * Signals are requests, and many are as good as one: what counts is the file as it is when it is
 * read, which is after the last of them. */
#include "reload.h"
#include "reload_doc.h"

#include "base/log.h"
#include "base/util.h"
#include "front/admin.h"
#include "front/event_ring.h"
#include "front/front.h"
#include "io/spool.h"
#include "proxy/proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A storm of signals leads to no more than one reload in this span. */
#define RELOAD_SPAN (100 * USEC_PER_MSEC)

struct reload {
    struct reload_parts parts;
    struct timer due;   /* armed: a reload was asked for */
    unsigned asked;     /* times, since it was armed */
    usec_t earliest_at; /* of the next one that a signal asks for */
};

/* ---- telling ---- */

static enum log_level level_of(enum config_effect e)
{
    return e == CONFIG_EFFECT_RESTART ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE;
}

static void log_change(const char *server, const struct config_change *c)
{
    static const char *const what[] = {
        [CONFIG_EFFECT_LIVE] = "acts at once",
        [CONFIG_EFFECT_RENEW] = "connections are renewed",
        [CONFIG_EFFECT_RESTART] = "needs a restart, the old value stays in force",
    };
    log_event(level_of(c->effect), LOG_CTX(.server = server, .message_id = LOG_ID_RELOADED),
              "reload: %s was changed: %s", c->key, what[c->effect]);
}

static void log_plan(const struct config_plan *p)
{
    for (size_t i = 0; i < p->servers_n; i++)
        for (size_t k = 0; k < p->servers[i].changes_n; k++)
            log_change(p->servers[i].name, &p->servers[i].changes[k]);
    for (size_t i = 0; i < p->changes_n; i++)
        log_change(NULL, &p->changes[i]);
    if (config_plan_is_empty(p))
        log_notice(LOG_CTX(.message_id = LOG_ID_RELOADED),
                   "configuration reloaded: nothing is different");
    else
        log_notice(
            LOG_CTX(.message_id = LOG_ID_RELOADED),
            "configuration reloaded: servers: %u added, %u removed, %u changed, %u untouched",
            p->added, p->removed, p->changed, p->untouched);
}

static void log_lines(const struct reload_lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        log_event(l->is_error[i] ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
                  LOG_CTX(.message_id = l->is_error[i] ? LOG_ID_RELOAD_REFUSED : LOG_ID_RELOADING),
                  "%s", l->v[i]);
}

/* Nothing was done: says so. */
static void refuse(const struct reload_lines *l, const char *why, bool dry_run, struct buf *out)
{
    if (!dry_run) {
        log_lines(l);
        log_error(LOG_CTX(.message_id = LOG_ID_RELOAD_REFUSED), "%s", why);
    }
    if (out)
        reload_doc_refusal(out, why, l);
}

/* ---- doing ---- */

static void apply(struct reload *r, struct config *next, const struct config_plan *plan)
{
    const struct reload_parts *p = &r->parts;
    event_ring_apply(p->events, next); /* what new servers do first is kept, too */
    spool_set_memory(next->limits.spool_memory);
    proxy_apply(p->proxy, next, plan);
    front_apply(p->front, next);
    admin_apply(p->admin, next);
}

/* next has been read. 0 or -errno, said. Takes over the reference to next. */
static int follow(struct reload *r, struct config *next, struct reload_lines *l, bool dry_run,
                  struct buf *out)
{
    const struct reload_parts *p = &r->parts;
    struct config *old = *p->config;
    struct config_plan plan;
    char why[512] = "", text[600];
    config_plan_make(old, next, &plan);
    config_keep(old, next);
    int e = dry_run ? 0 : front_prepare(p->front, next, why, sizeof(why));
    if (e < 0) {
        reload_lines_add_error(l, why);
        snprintf(text, sizeof(text), "the configuration was not changed: %s", why);
        refuse(l, text, dry_run, out);
    } else if (!dry_run) {
        apply(r, next, &plan);
        log_lines(l);
        log_plan(&plan);
        if (!p->keep_log_level && next->log_level != old->log_level)
            log_set_level(next->log_level);
    }
    if (e == 0 && out)
        reload_doc_plan(out, &plan, l, dry_run);
    config_plan_done(&plan);
    bool applied = e == 0 && !dry_run;
    *p->config = applied ? next : old;
    config_unref(applied ? old : next);
    return e;
}

static int read_and_follow(struct reload *r, bool dry_run, struct buf *out)
{
    struct config_errors errs;
    struct reload_lines l;
    struct config *next = NULL;
    config_errors_init(&errs);
    int e = config_load(r->parts.path, r->parts.params, &next, &errs);
    reload_lines_init(&l, &errs);
    if (e < 0) {
        char text[80];
        snprintf(text, sizeof(text), "the configuration was not changed: %u error%s", errs.errors,
                 errs.errors == 1 ? "" : "s");
        refuse(&l, text, dry_run, out);
    } else {
        e = follow(r, next, &l, dry_run, out);
    }
    reload_lines_done(&l);
    config_errors_done(&errs);
    return e;
}

int reload_now(struct reload *r, bool dry_run, struct buf *out)
{
    const struct reload_parts *p = &r->parts;
    if (proxy_is_stopping(p->proxy)) {
        static const char why[] = "mcpoold is stopping; the configuration is not read again";
        log_notice(LOG_CTX(.message_id = LOG_ID_RELOAD_REFUSED), "%s", why);
        if (out)
            reload_doc_refusal(out, why, &(struct reload_lines){0});
        return -ESHUTDOWN;
    }
    if (!dry_run && p->before)
        p->before(p->arg);
    int e = read_and_follow(r, dry_run, out);
    if (!dry_run && p->after)
        p->after(p->arg);
    return e;
}

/* ---- asking ---- */

static void on_due(void *arg)
{
    struct reload *r = arg;
    if (r->asked > 1)
        log_notice(LOG_CTX(.message_id = LOG_ID_RELOADING),
                   "SIGHUP received, %u times since the last reload", r->asked);
    else
        log_notice(LOG_CTX(.message_id = LOG_ID_RELOADING), "SIGHUP received");
    r->asked = 0;
    r->earliest_at = r->parts.loop->env.now + RELOAD_SPAN;
    (void)reload_now(r, false, NULL);
}

void reload_request(struct reload *r)
{
    r->asked++;
    if (!timer_armed(&r->due))
        env_timer_set(&r->parts.loop->env, &r->due, r->earliest_at);
}

struct reload *reload_new(const struct reload_parts *parts)
{
    struct reload *r = xcalloc(1, sizeof(*r));
    r->parts = *parts;
    timer_init(&r->due, on_due, r);
    return r;
}

void reload_free(struct reload *r)
{
    if (r)
        env_timer_clear(&r->parts.loop->env, &r->due);
    free(r);
}
