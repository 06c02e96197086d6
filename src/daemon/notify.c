/* Notification of the service manager.
 *
 * A message that changes what the manager thinks of us must arrive, so the latest one waits in
 * `unsent` while the manager does not read, and nothing overtakes it. Status, requests for time and
 * signs of life are dropped instead: there will be a newer one.
 *
 * Each second the status is looked at while it changes. When it does not any more, nobody looks
 * until something happens that is worth a line in the log, or a sign of life is due anyway: a
 * process with nothing to do sleeps.
 *
 * A sign of life says more than that the loop turns. Each server has a sweep and a monitor, which
 * bring its connections back; if one of them stopped ticking the process would look well and heal
 * nothing any more. So WATCHDOG=1 is sent only while all of them tick (server_overdue), and when
 * one does not, the manager is asked to end us at once. */
#include "notify.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/util.h"
#include "front/admin.h"
#include "io/supervisor.h"
#include "proxy/proxy.h"
#include "proxy/route.h"
#include "upstream/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* How often the status is looked at while it changes, and more time asked for. */
#define SPAN (1 * USEC_PER_SEC)

/* The same in silence: sessions and calls come and go without a line in the log. */
#define QUIET_SPAN (10 * USEC_PER_SEC)

/* How often first attempts are looked at when nothing happens. */
#define START_SPAN (50 * USEC_PER_MSEC)

/* More time, each time: enough for a machine that stutters. */
#define EXTENSION "EXTEND_TIMEOUT_USEC=10000000\n"

/* When the timer itself is this late, everything was standing still, and nothing can be said of who
 * is overdue. */
#define STANDSTILL (1 * USEC_PER_SEC)

/* As many names as fit on a line that people read. */
#define NAMES_MAX 3

enum phase { PHASE_NEW, PHASE_STARTING, PHASE_RUNNING, PHASE_RELOADING, PHASE_STOPPING };

struct notify {
    struct env *env;
    struct proxy *proxy;
    enum phase phase;
    bool supervised;
    bool failed; /* logged; until a message goes through */
    usec_t started_at, extended_at;
    struct timer tick, beat;
    usec_t beat_span;  /* 0: the manager has no watchdog */
    char *unsent;      /* a message that must arrive and has not yet */
    struct buf status; /* as it was sent last */
};

/* ---- sending ---- */

static int send_now(struct notify *n, const char *text)
{
    int r = supervisor_send(text, NULL, 0);
    if (r < 0 && !n->failed)
        log_warning(LOG_CTX(.message_id = LOG_ID_SERVICE_MANAGER),
                    "cannot tell the service manager: %s", strerror(-r));
    n->failed = r < 0;
    return r;
}

static bool flush(struct notify *n)
{
    if (!n->unsent)
        return true;
    int r = send_now(n, n->unsent);
    if (r == -EAGAIN || r == -ENOBUFS)
        return false;
    free(n->unsent);
    n->unsent = NULL;
    return true;
}

/* Of what must arrive only the latest counts: a manager that missed a RELOADING=1 is told by the
 * READY=1 after it all that matters then. */
static void send_surely(struct notify *n, const char *text)
{
    if (!n->supervised)
        return;
    free(n->unsent);
    n->unsent = xstrdup(text);
    if (!flush(n))
        env_timer_set(n->env, &n->tick, n->env->now + START_SPAN);
}

static bool send_if_possible(struct notify *n, const char *text)
{
    return n->supervised && flush(n) && send_now(n, text) == 0;
}

/* ---- status ---- */

struct tally {
    unsigned servers, by_health[4], running, waiting, named;
    struct buf names[4]; /* of those that are not healthy */
};

static void add_server(struct tally *t, const struct server *s)
{
    struct server_counts c;
    enum health h = server_health(s);
    server_count(s, &c);
    t->servers++;
    t->by_health[h]++;
    t->running += c.running;
    t->waiting += c.waiting;
    if ((h == HEALTH_UNHEALTHY || h == HEALTH_DEGRADED) && t->by_health[h] <= NAMES_MAX)
        buf_appendf(&t->names[h], "%s%s", t->by_health[h] > 1 ? ", " : "", s->sc->name);
}

static void write_health(struct buf *out, const struct tally *t, enum health h, bool first)
{
    unsigned n = t->by_health[h];
    struct slice names = buf_peek(&t->names[h]);
    buf_appendf(out, "%s%u %s", first ? ": " : ", ", n, health_name(h));
    if (names.n)
        buf_appendf(out, " (%.*s%s)", (int)names.n, names.p, n > NAMES_MAX ? ", ..." : "");
}

/* "5 servers: 4 healthy, 1 unhealthy (github); 12 sessions, 3 calls running, 0 waiting" */
static void write_status(const struct notify *n, struct buf *out)
{
    static const enum health order[] = {HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_UNHEALTHY,
                                        HEALTH_UNKNOWN};
    struct tally t = {0};
    const struct route *r;
    bool first = true;
    for (size_t i = 0; (r = route_at(n->proxy, i)); i++)
        add_server(&t, r->server);
    if (n->phase == PHASE_STOPPING)
        buf_append_str(out, "stopping; ");
    buf_appendf(out, "%u server%s", t.servers, t.servers == 1 ? "" : "s");
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        if (t.by_health[order[i]] == 0)
            continue;
        write_health(out, &t, order[i], first);
        first = false;
    }
    size_t sessions = proxy_session_count(n->proxy);
    buf_appendf(out, "; %zu session%s, %u call%s running, %u waiting", sessions,
                sessions == 1 ? "" : "s", t.running, t.running == 1 ? "" : "s", t.waiting);
    for (size_t i = 0; i < ARRAY_LEN(t.names); i++)
        buf_done(&t.names[i]);
}

/* With what is to be said along with it, if anything; nothing when nothing is new. Whether it has
 * changed. */
static bool send_status(struct notify *n, const char *with)
{
    struct buf status = BUF_INIT, text = BUF_INIT;
    write_status(n, &status);
    struct slice now = buf_peek(&status), before = buf_peek(&n->status);
    bool changed = now.n != before.n || memcmp(now.p, before.p, now.n) != 0;
    if (changed || *with) {
        buf_appendf(&text, "%sSTATUS=%.*s\n", with, (int)now.n, now.p);
        buf_append(&text, "", 1);
        if (send_if_possible(n, buf_peek(&text).p)) {
            buf_done(&n->status);
            n->status = status;
            status = (struct buf)BUF_INIT;
        }
    }
    buf_done(&text);
    buf_done(&status);
    return changed;
}

/* Looks at the status, and when to do so again. */
static void look(struct notify *n)
{
    struct env *env = n->env;
    if (!n->supervised)
        return;
    bool changed = send_status(n, "");
    if (n->unsent)
        env_timer_set(env, &n->tick, env->now + START_SPAN);
    else if (changed)
        env_timer_set(env, &n->tick, env->now + SPAN);
    else if (n->beat_span == 0 || n->beat_span > QUIET_SPAN)
        env_timer_set(env, &n->tick, env->now + QUIET_SPAN);
}

/* ---- ticks ---- */

static void become_ready(struct notify *n)
{
    n->phase = PHASE_RUNNING;
    send_surely(n, "READY=1\n");
    look(n);
}

/* Whether it is time to ask for more. */
static bool extend(struct notify *n)
{
    usec_t now = n->env->now;
    if (n->extended_at && now - n->extended_at < SPAN)
        return false;
    n->extended_at = now;
    return true;
}

static void while_starting(struct notify *n)
{
    usec_t now = n->env->now;
    bool late = now - n->started_at >= NOTIFY_START_MAX;
    if (late)
        log_warning(LOG_CTX(.message_id = LOG_ID_SERVICE_MANAGER),
                    "the first attempt of a server takes long; not waiting for it");
    if (late || admin_all_tried(n->proxy))
        become_ready(n);
    else if (extend(n))
        send_status(n, EXTENSION);
}

static void on_tick(void *arg)
{
    struct notify *n = arg;
    struct env *env = n->env;
    (void)flush(n);
    switch (n->phase) {
    case PHASE_NEW:
        break;
    case PHASE_STARTING:
        env_timer_set(env, &n->tick, env->now + START_SPAN);
        while_starting(n);
        break;
    case PHASE_RUNNING:
    case PHASE_RELOADING:
        look(n);
        break;
    case PHASE_STOPPING:
        if (extend(n))
            send_status(n, EXTENSION);
        env_timer_set(env, &n->tick, env->now + (n->unsent ? START_SPAN : SPAN));
        break;
    }
}

/* ---- signs of life ---- */

/* Whether everything ticks. Says what does not. */
static bool all_tick(struct notify *n)
{
    const struct route *r;
    for (size_t i = 0; (r = route_at(n->proxy, i)); i++) {
        const char *what = server_overdue(r->server);
        if (!what)
            continue;
        log_critical(LOG_CTX(.server = r->name, .message_id = LOG_ID_WATCHDOG),
                     "its %s does not tick any more; asking the service manager for a restart",
                     what);
        return false;
    }
    return true;
}

static void on_beat(void *arg)
{
    struct notify *n = arg;
    struct env *env = n->env;
    bool standstill = env->now > n->beat.due_at + STANDSTILL;
    if (!standstill && !all_tick(n)) {
        send_surely(n, "WATCHDOG=trigger\n");
        return; /* no more beats: if that did not end us, the silence will */
    }
    (void)send_if_possible(n, "WATCHDOG=1\n");
    env_timer_set(env, &n->beat, env->now + n->beat_span);
    if (n->phase == PHASE_RUNNING && !timer_armed(&n->tick))
        look(n);
}

/* ---- life ---- */

struct notify *notify_new(struct env *env, struct proxy *proxy)
{
    struct notify *n = xcalloc(1, sizeof(*n));
    uint64_t watchdog = 0;
    n->env = env;
    n->proxy = proxy;
    n->supervised = supervisor_present();
    timer_init(&n->tick, on_tick, n);
    timer_init(&n->beat, on_beat, n);
    if (n->supervised && sd_watchdog_enabled(0, &watchdog) > 0)
        n->beat_span = watchdog / 2;
    return n;
}

void notify_started(struct notify *n)
{
    struct env *env = n->env;
    if (n->phase != PHASE_NEW)
        return;
    n->phase = PHASE_STARTING;
    n->started_at = env->now;
    if (!n->supervised)
        n->phase = PHASE_RUNNING;
    else
        env_timer_set(env, &n->tick, env->now);
    if (n->beat_span)
        env_timer_set(env, &n->beat, env->now);
}

void notify_stir(struct notify *n)
{
    bool starting = n->phase == PHASE_STARTING; /* perhaps this was what others wait for */
    usec_t at = n->env->now + (starting ? 0 : SPAN);
    if (n->supervised && (starting || n->phase == PHASE_RUNNING) &&
        (!timer_armed(&n->tick) || n->tick.due_at > at))
        env_timer_set(n->env, &n->tick, at);
}

void notify_reloading(struct notify *n)
{
    if (n->phase != PHASE_RUNNING)
        return;
    n->phase = PHASE_RELOADING;
    /* The manager compares with its own clock, so not the time of this turn. */
    char text[64];
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
             (unsigned long long)clock_monotonic());
    send_surely(n, text);
}

void notify_ready(struct notify *n)
{
    if (n->phase == PHASE_RELOADING)
        become_ready(n);
}

void notify_stopping(struct notify *n)
{
    struct env *env = n->env;
    if (n->phase == PHASE_STOPPING)
        return;
    n->phase = PHASE_STOPPING;
    n->extended_at = env->now;
    send_surely(n, "STOPPING=1\n" EXTENSION);
    send_status(n, "");
    if (n->supervised)
        env_timer_set(env, &n->tick, env->now + SPAN);
}

void notify_free(struct notify *n)
{
    if (!n)
        return;
    env_timer_clear(n->env, &n->tick);
    env_timer_clear(n->env, &n->beat);
    free(n->unsent);
    buf_done(&n->status);
    free(n);
}
