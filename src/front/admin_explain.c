/* What is the matter with a server, and what happens next: the states of its slots, its breaker and
 * its mode as sentences, for who is woken at night and does not know what a half-open breaker is.
 * Everything is derived from the state of this moment; the history are the events that the log
 * had. */
#include "base/util.h"
#include "front/admin_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* Sentences about single slots; the others are counted. */
#define SLOTS_MAX 16

struct explain {
    const struct admin_view *view;
    const struct server *s;
    struct server_counts n;
    unsigned used; /* slots that have or want a connection */
    usec_t now;
    struct admin_json *j;
    unsigned slots_told, slots_untold;
};

/* ---- pieces of text ---- */

/* A span for people: "0.4 s", "12.4 s", "7 min 3 s", "3 h 5 min", "2 d 1 h". */
static void put_span(struct buf *b, usec_t span)
{
    unsigned long long s = span / USEC_PER_SEC;
    if (s < 100)
        buf_appendf(b, "%.1f s", (double)span / USEC_PER_SEC);
    else if (s < 3600)
        buf_appendf(b, "%llu min %llu s", s / 60, s % 60);
    else if (s < 86400)
        buf_appendf(b, "%llu h %llu min", s / 3600, s % 3600 / 60);
    else
        buf_appendf(b, "%llu d %llu h", s / 86400, s % 86400 / 3600);
}

static void put_until(struct buf *b, const struct explain *x, usec_t at)
{
    put_span(b, at > x->now ? at - x->now : 0);
}

/* "14:02:11 UTC", with the date unless it is today's. */
static void put_time(struct buf *b, const struct explain *x, usec_t at)
{
    time_t then = (time_t)((x->view->wall_offset + at) / USEC_PER_SEC);
    time_t today = (time_t)((x->view->wall_offset + x->now) / USEC_PER_SEC);
    char text[40];
    struct tm tm;
    gmtime_r(&then, &tm);
    bool same_day = then / 86400 == today / 86400;
    if (strftime(text, sizeof(text), same_day ? "%H:%M:%S UTC" : "%Y-%m-%d %H:%M:%S UTC", &tm))
        buf_append_str(b, text);
}

static const char *plural(unsigned n)
{
    return n == 1 ? "" : "s";
}

/* Ends a sentence. Parts of it may come from outside. */
static void say(struct explain *x, struct buf *b)
{
    char text[1024];
    size_t n = log_escape(text, sizeof(text), buf_peek(b));
    admin_json_slice(x->j, NULL, slice_of(text, n));
    buf_done(b);
}

/* ---- the summary ---- */

static const struct conn *latest_failure(const struct explain *x)
{
    const struct conn *last = NULL;
    for (const struct pool *p = x->s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count; i++) {
            const struct conn *c = p->slots[i];
            if (c->recovering && c->last_error[0] && (!last || c->attempt_at > last->attempt_at))
                last = c;
        }
    return last;
}

static void put_connections(struct buf *b, const struct explain *x)
{
    const struct conn *last = latest_failure(x);
    unsigned silent = x->n.slots[CONN_READY] - x->n.available;
    unsigned starting = x->n.slots[CONN_CONNECTING] + x->n.slots[CONN_HANDSHAKE];
    if (x->used == 0)
        buf_append_str(b, "no connection is open");
    else if (x->n.available == 0 && x->n.failed)
        buf_appendf(b, "%u of %u connection%s failed", x->n.failed, x->used, plural(x->used));
    else if (x->n.available == 0 && starting)
        buf_appendf(b, "%u of %u connection%s %s being made", starting, x->used, plural(x->used),
                    starting == 1 ? "is" : "are");
    else
        buf_appendf(b, "%u of %u connection%s %s ready", x->n.available, x->used, plural(x->used),
                    x->n.available == 1 ? "is" : "are");
    if (x->n.available && x->n.failed)
        buf_appendf(b, ", %u failed", x->n.failed);
    if (silent)
        buf_appendf(b, ", %u %s not answer", silent, silent == 1 ? "does" : "do");
    if (last)
        buf_appendf(b, ", the last because: %s (%s)", last->last_error,
                    reason_name(last->last_reason));
}

static void put_breaker(struct buf *b, const struct explain *x)
{
    const struct breaker *k = &x->s->breaker;
    if (k->state == BREAKER_CLOSED)
        return;
    buf_appendf(b, "; the breaker is %s since ",
                k->state == BREAKER_OPEN ? "open" : "half-open, trying");
    put_time(b, x, k->since);
    buf_appendf(b, " after %u failure%s", k->failures, plural(k->failures));
}

static usec_t last_answer(const struct explain *x)
{
    usec_t at = 0;
    for (const struct pool *p = x->s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count; i++)
            if (p->slots[i]->answered_at > at)
                at = p->slots[i]->answered_at;
    return at;
}

static void put_mode(struct buf *b, const struct explain *x)
{
    switch (server_mode(x->s)) {
    case SERVER_ACTIVE:
        return;
    case SERVER_DRAIN:
        buf_append_str(b, "drained by an operator; ");
        return;
    case SERVER_MAINT:
        buf_append_str(b, "taken out of service by an operator; ");
        return;
    }
}

static void put_summary(struct buf *b, const struct explain *x, enum health health)
{
    usec_t answer = last_answer(x);
    put_mode(b, x);
    buf_appendf(b, "%s since ", health_name(health));
    put_time(b, x, admin_health_since(x->view, x->s, health));
    buf_append_str(b, ": ");
    put_connections(b, x);
    put_breaker(b, x);
    if (health == HEALTH_DEGRADED && x->n.available && answer) {
        buf_append_str(b, "; it answered last at ");
        put_time(b, x, answer);
    }
    if (health == HEALTH_UNKNOWN && x->used == 0 && x->s->sc->resilience.min_connections == 0 &&
        server_mode(x->s) == SERVER_ACTIVE)
        buf_append_str(b, ", the first call opens one");
    buf_appendf(b, "; %u call%s running, %u waiting", x->n.running, plural(x->n.running),
                x->n.waiting);
}

/* ---- what happens next: slots ---- */

static void put_slot(struct buf *b, const struct explain *x, const struct conn *c)
{
    buf_appendf(b, "slot %u", c->slot);
    if (x->s->pools->next)
        buf_appendf(b, " of %s", c->pool->principal);
    buf_append_str(b, ": ");
}

static void put_waiting(struct buf *b, const struct explain *x, const struct conn *c)
{
    unsigned number = c->recovery.attempts + 1;
    if (c->held) {
        buf_appendf(b, "attempt %u is due and follows when one of the attempts under way ends",
                    number);
    } else if (c->paced) {
        buf_appendf(b, "attempt %u in ", number);
        put_until(b, x, c->start_at);
        buf_append_str(b, ", when its turn comes among the servers that are being started");
    } else {
        buf_appendf(b, "attempt %u in ", number);
        put_until(b, x, c->retry_at);
    }
    if (c->fatal)
        buf_append_str(b, "; but it will fail again until somebody mends the cause");
}

static void put_starting(struct buf *b, const struct explain *x, const struct conn *c)
{
    buf_appendf(b, "attempt %u is under way, ", c->recovery.attempts + 1);
    buf_append_str(b, c->state == CONN_CONNECTING ? "the server is being started"
                                                  : "its answer to initialize is awaited");
    if (timer_armed(&c->timer)) {
        buf_append_str(b, "; given up in ");
        put_until(b, x, c->timer.due_at);
    }
}

/* false: there is nothing to be told of it. */
static bool put_ready(struct buf *b, const struct conn *c)
{
    bool goes = server_mode(c->pool->server) != SERVER_ACTIVE;
    if (c->draining || c->outdated || c->surplus || goes)
        buf_appendf(b, "%s; closed when the %u call%s that run%s on it %s ended",
                    c->draining   ? "stuck, gets no new calls"
                    : c->outdated ? "made with an older configuration, gets no new calls"
                    : c->surplus  ? "more than max_connections, gets no new calls"
                                  : "gets no new calls",
                    c->running, plural(c->running), c->running == 1 ? "s" : "",
                    c->running == 1 ? "has" : "have");
    else if (c->suspect)
        buf_append_str(b, "does not answer pings: no new calls while there is another place, and "
                          "it is replaced when nothing runs on it any more");
    else
        return false;
    return true;
}

static void tell_slot(struct explain *x, const struct conn *c)
{
    struct buf b = BUF_INIT;
    bool told = true;
    put_slot(&b, x, c);
    switch (c->state) {
    case CONN_IDLE:
        told = false;
        break;
    case CONN_CONNECTING:
    case CONN_HANDSHAKE:
        put_starting(&b, x, c);
        break;
    case CONN_READY:
        told = put_ready(&b, c);
        break;
    case CONN_CLOSING:
        buf_append_str(&b, c->failed ? "the failed connection is being cleared away, another "
                                       "attempt follows"
                                     : "its connection is being closed");
        break;
    case CONN_WAITING:
        put_waiting(&b, x, c);
        break;
    }
    x->slots_untold += told && x->slots_told >= SLOTS_MAX;
    if (told && x->slots_told < SLOTS_MAX) {
        x->slots_told++;
        say(x, &b);
    } else {
        buf_done(&b);
    }
}

static void tell_slots(struct explain *x)
{
    struct buf b = BUF_INIT;
    for (const struct pool *p = x->s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count; i++)
            tell_slot(x, p->slots[i]);
    if (x->slots_untold) {
        buf_appendf(&b, "the same goes for %u more slots", x->slots_untold);
        say(x, &b);
    }
}

/* ---- what happens next: the server ---- */

static void tell_breaker(struct explain *x)
{
    const struct breaker *k = &x->s->breaker;
    const struct breaker_params p = server_breaker_params(x->s);
    struct buf b = BUF_INIT;
    usec_t at = breaker_next_at(k, &p);
    switch (k->state) {
    case BREAKER_OPEN:
        buf_append_str(&b, "breaker open: calls are refused until the next handshake succeeds or a "
                           "trial, at ");
        put_time(&b, x, at);
        break;
    case BREAKER_HALF_OPEN:
        buf_appendf(&b, "breaker half-open: %s; %u of %u trials have succeeded",
                    k->trial ? "a trial is under way"
                             : "a trial begins as soon as there is one to "
                               "be made",
                    k->trials_won, p.successes);
        break;
    case BREAKER_CLOSED:
        if (k->closed_at == 0 || k->closed_at + p.ramp <= x->now)
            return;
        buf_append_str(&b, "breaker closed again: the number of calls that may run at once grows "
                           "for another ");
        put_until(&b, x, k->closed_at + p.ramp);
        break;
    }
    say(x, &b);
}

static void tell_pause(struct explain *x)
{
    struct buf b = BUF_INIT;
    if (x->s->breaker.paused_until <= x->now)
        return;
    buf_append_str(&b, "the server asked for a pause: no calls for another ");
    put_until(&b, x, x->s->breaker.paused_until);
    say(x, &b);
}

/* The watchdog's point, should nothing come back before. */
static void tell_force(struct explain *x)
{
    usec_t since = x->s->breaker.unwell_since;
    for (const struct pool *p = x->s->pools; p; p = p->next)
        if (p->empty_since && (!since || p->empty_since < since))
            since = p->empty_since;
    if (!since || server_mode(x->s) != SERVER_ACTIVE)
        return;
    usec_t from = x->s->forced_at > since ? x->s->forced_at : since;
    struct buf b = BUF_INIT;
    buf_append_str(&b, "if nothing comes back, recovery by force at ");
    put_time(&b, x, from + x->s->sc->resilience.force_recovery_interval);
    say(x, &b);
}

/* No connection is well; one may become so in time. */
static void put_hope(struct buf *b, const struct explain *x, usec_t patience)
{
    const unsigned *slots = x->n.slots;
    bool moves =
        slots[CONN_READY] + slots[CONN_CONNECTING] + slots[CONN_HANDSHAKE] + slots[CONN_CLOSING];
    if (!moves && x->n.next_attempt != USEC_NEVER && x->n.next_attempt >= x->now + patience) {
        buf_append_str(b, "are refused at once (upstream_unavailable): the next attempt comes "
                          "later than they may wait");
        return;
    }
    buf_append_str(b, "wait for a connection, up to ");
    put_span(b, patience);
}

/* Mirrors the order of policy/admit. */
static void put_fate(struct buf *b, const struct explain *x)
{
    const struct server *s = x->s;
    usec_t patience = s->sc->resilience.queue_timeout;
    bool admits = breaker_admits(&s->breaker, x->now) ||
                  (s->breaker.state == BREAKER_HALF_OPEN && !s->breaker.trial && x->used == 0);
    if (proxy_is_stopping(x->view->proxy)) {
        buf_append_str(b, "are refused at once: mcpoold is stopping");
    } else if (server_mode(s) == SERVER_MAINT) {
        buf_append_str(b,
                       "are refused at once (maintenance), until an operator resumes the server");
    } else if (server_mode(s) == SERVER_DRAIN) {
        buf_append_str(b, "wait for an operator to resume the server, up to ");
        put_span(b, patience);
    } else if (!admits && !s->sc->options.wait_for_ready) {
        buf_append_str(b, "are refused at once (breaker_open)");
    } else if (!admits) {
        buf_append_str(b, "wait for the breaker to close, up to ");
        put_span(b, patience);
    } else if (x->n.available == 0) {
        put_hope(b, x, patience);
    } else if (x->n.waiting) {
        buf_appendf(b, "wait for their turn behind %u other%s, up to ", x->n.waiting,
                    plural(x->n.waiting));
        put_span(b, patience);
    } else {
        buf_append_str(b, "are sent at once");
    }
}

static void tell_calls(struct explain *x)
{
    struct buf b = BUF_INIT;
    buf_append_str(&b, "calls that come now ");
    put_fate(&b, x);
    say(x, &b);
}

/* ---- the document ---- */

static void write_events(struct admin_json *j, const struct event_ring *events, const char *server)
{
    const struct event *e;
    uint64_t seq = 0;
    admin_json_begin(j, "events", '[');
    while (events && (e = event_ring_server_after(events, server, seq))) {
        seq = e->seq;
        admin_json_begin(j, NULL, '{');
        admin_json_event(j, e);
        admin_json_end(j, '}');
    }
    admin_json_end(j, ']');
}

void admin_json_event(struct admin_json *j, const struct event *e)
{
    admin_json_wall(j, "time", e->realtime);
    admin_json_str(j, "level", log_level_name(e->level));
    if (e->slot >= 0)
        admin_json_u64(j, "slot", (uint64_t)e->slot);
    else
        admin_json_null(j, "slot");
    admin_json_str(j, "reason", e->reason);
    admin_json_slice(j, "message", e->text);
}

void admin_explain(const struct admin_view *view, const struct server *s,
                   const struct event_ring *events, struct buf *out)
{
    struct admin_json j = {.out = out};
    struct explain x = {.view = view, .s = s, .now = view->env->now, .j = &j};
    struct buf summary = BUF_INIT;
    enum health health = server_health(s);
    char text[1024];
    server_count(s, &x.n);
    for (unsigned i = 0; i < ARRAY_LEN(x.n.slots); i++)
        x.used += i == CONN_IDLE ? 0 : x.n.slots[i];
    put_summary(&summary, &x, health);
    admin_json_begin(&j, NULL, '{');
    admin_json_str(&j, "server", s->sc->name);
    admin_json_str(&j, "health", health_name(health));
    admin_json_str(&j, "mode", server_mode_name(server_mode(s)));
    admin_json_str(&j, "breaker", breaker_state_name(s->breaker.state));
    admin_json_slice(&j, "summary",
                     slice_of(text, log_escape(text, sizeof(text), buf_peek(&summary))));
    buf_done(&summary);
    admin_json_begin(&j, "next", '[');
    tell_slots(&x);
    tell_breaker(&x);
    tell_pause(&x);
    tell_force(&x);
    tell_calls(&x);
    admin_json_end(&j, ']');
    write_events(&j, events, s->sc->name);
    admin_json_end(&j, '}');
    buf_append_str(out, "\n");
}

void admin_answer_explain(const struct admin_request *r, struct admin_reply *ret)
{
    ret->content_type = ADMIN_JSON;
    admin_explain(&r->view, r->server->server, r->admin->events, &ret->body);
}
