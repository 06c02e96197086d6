/* The front as a whole: listeners, admission of connections, the planned stop.
 *
 * Every listener reaches either all routes (TCP, and unix sockets that the configuration names) or
 * exactly one: the socket of a server in the runtime directory, where file permissions are the
 * access control, must not lead to any other server. */
#include "front/access.h"
#include "front/front_priv.h"
#include "front/http_session.h"
#include "front/origin.h"

#include "base/log.h"
#include "base/util.h"
#include "io/inherit.h"
#include "upstream/server.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Kept events are looked through for old ones at most this often. */
#define EXPIRE_SPAN (1 * USEC_PER_SEC)

/* Refused connections are logged at most this often. */
#define REFUSAL_LOG_SPAN (1 * USEC_PER_SEC)

/* How often front_finish looks whether everything was written. */
#define FINISH_SPAN (10 * USEC_PER_MSEC)

/* front_listener.where of sockets that stand in for entries of `listen`. */
#define INHERITED "http"

/* ---- admission ---- */

static void refused(struct front *f, const struct peer *peer, const char *why)
{
    f->counts.refused++;
    if (f->refusal_logged_at && f->env->now - f->refusal_logged_at < REFUSAL_LOG_SPAN)
        return;
    f->refusal_logged_at = f->env->now;
    log_warning(LOG_CTX(.message_id = LOG_ID_CLIENT_REFUSED),
                "connection of %s refused: %s is reached (%llu refused since start)", peer->text,
                why, (unsigned long long)f->counts.refused);
}

static void on_accept(void *arg, int fd, const struct peer *peer)
{
    struct front_listener *l = arg;
    struct front *f = l->front;
    const struct config_limits *limits = front_limits(f);
    struct peer_group *g = peers_get(&f->peers, peer);
    const char *why = NULL;
    if (f->connections >= limits->max_client_connections)
        why = "max_client_connections";
    else if (limits->max_connections_per_peer && g->connections >= limits->max_connections_per_peer)
        why = "max_connections_per_peer";
    if (why) {
        refused(f, peer, why);
        close(fd);
        listener_closed(l->listener);
    } else {
        client_start(l, fd, g);
    }
    peers_put(&f->peers, g);
}

/* The door of a server leads to that one or nowhere, whatever becomes of it. */
bool front_reaches(const struct front_listener *l, const struct route *r)
{
    if (!l->route)
        return !l->server;
    return strcmp(route_server_name(l->route), route_server_name(r)) == 0;
}

/* A connection may outlast its listener, and its server: what is configured under the same name now
 * is as good. */
const struct route *front_route(const struct front_listener *l, struct slice name)
{
    if (name.n == 0 && l->route) {
        if (!route_is_gone(l->route))
            return l->route;
        name = slice_str(route_server_name(l->route));
    }
    const struct route *r = route_find(l->front->proxy, name);
    return r && front_reaches(l, r) ? r : NULL;
}

/* ---- listeners ---- */

static bool is_loopback_address(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0;
}

/* On loopback the names that a browser may use for us are known, so Host is always checked there.
 * Elsewhere the operator must have said which names are ours. */
static bool must_check_host(const struct front *f, const struct front_listener *l)
{
    if (l->is_unix)
        return false;
    return is_loopback_address(listener_address(l->listener)) ||
           !origin_is_default_list(&f->config->http.allowed_hosts);
}

/* Where clients come in. */
struct door {
    bool is_unix;
    const char *where;  /* as in front_listener */
    const char *server; /* as in front_listener */
    int inherited;      /* the listening descriptor; -1: to be opened */
    bool stored;        /* it is ours, from the descriptor store */
};

/* Lines name no endpoint, so on sockets of `listen` they are understood only where there is one
 * choice. */
static const struct route *route_behind(const struct front_listener *l)
{
    if (!l->server && !l->is_unix)
        return NULL;
    return route_find(l->front->proxy, slice_str(l->server ? l->server : ""));
}

/* What the configuration says of a listener that is open. One whose server is gone keeps the route
 * that leads nowhere any more: none would mean all. */
static void listener_follow(struct front_listener *l)
{
    struct front *f = l->front;
    const struct route *old = l->route, *r = route_behind(l);
    if (r || !l->server) {
        l->route = r ? route_ref(r) : NULL;
        route_unref(old);
    }
    l->check_host = must_check_host(f, l);
    listener_limit(l->listener, front_limits(f)->max_client_connections);
    if (!l->is_unix && !f->http_url[0])
        snprintf(f->http_url, sizeof(f->http_url), "http://%s", listener_address(l->listener));
}

void front_listener_unref(struct front_listener *l)
{
    if (--l->refs > 0)
        return;
    route_unref(l->route);
    free(l->where);
    free(l->server);
    free(l);
}

static int listen_at(struct front_listener *l, const struct door *d)
{
    struct front *f = l->front;
    struct listen_options opt = {.max_conns = front_limits(f)->max_client_connections};
    if (d->inherited >= 0)
        return listener_open_fd(f->loop, d->inherited, &opt, on_accept, l, &l->listener);
    return d->is_unix ? listener_open_unix(f->loop, d->where, &opt, on_accept, l, &l->listener)
                      : listener_open_tcp(f->loop, d->where, &opt, on_accept, l, &l->listener);
}

/* Whether the listener may be open with that configuration. It is the address that was really bound
 * which counts: what the configuration took for a loopback one when it was checked may be another
 * now, and of an inherited socket it knows nothing. */
static bool may_be_open(const struct front_listener *l, const struct config *c)
{
    return listener_is_local(l->listener) || c->tokens_n || c->allow_unauthenticated;
}

/* Opens it as c wants it, and no more. */
static int make_listener(struct front *f, const struct config *c, const struct door *d,
                         struct front_listener **ret)
{
    struct front_listener *l = xcalloc(1, sizeof(*l));
    l->front = f;
    l->is_unix = d->is_unix;
    l->inherited = d->inherited >= 0 && !d->stored;
    l->stored = d->stored;
    l->where = xstrdup(d->where);
    l->server = d->server ? xstrdup(d->server) : NULL;
    l->refs = 1;
    int r = listen_at(l, d);
    if (r < 0) {
        if (d->inherited >= 0)
            close(d->inherited);
        front_listener_unref(l);
        return r;
    }
    if (!may_be_open(l, c)) {
        listener_free(l->listener);
        front_listener_unref(l);
        return -EPERM;
    }
    if (l->stored && l->is_unix)
        listener_own_path(l->listener, l->where);
    *ret = l;
    return 0;
}

static const char *why_not(int r)
{
    return r == -EPERM
               ? "other machines can reach it, and there are no \"tokens\": add some, or say "
                 "\"allow_unauthenticated\": true"
               : strerror(-r);
}

static struct front_listener *last_of(struct front_listener *l)
{
    while (l && LIST_NEXT(l, link))
        l = LIST_NEXT(l, link);
    return l;
}

static void add_listener(struct front *f, struct front_listener *l)
{
    struct front_listener *last = last_of(LIST_FIRST(&f->listeners));
    if (last)
        LIST_INSERT_AFTER(last, l, link);
    else
        LIST_INSERT_HEAD(&f->listeners, l, link);
    front_listener_keep(l);
    log_notice(LOG_CTX(.message_id = LOG_ID_LISTENING), "listening on %s%s%s",
               l->is_unix ? "" : "http://", listener_address(l->listener),
               l->inherited ? " (inherited)" : "");
}

static int open_listener(struct front *f, const struct door *d)
{
    struct front_listener *l;
    int r = make_listener(f, f->config, d, &l);
    if (r < 0) {
        log_error(LOG_CTX(.message_id = LOG_ID_NOT_LISTENING), "cannot listen on %s%s: %s",
                  d->is_unix ? "unix:" : "", d->where, why_not(r));
        return r;
    }
    listener_follow(l);
    add_listener(f, l);
    return 0;
}

/* The path of a server's own socket. false: it is too long. */
static bool server_path(const struct config *c, const char *server, char out[static PATH_MAX])
{
    const char *name = *server ? server : "mcp";
    int n = snprintf(out, PATH_MAX, "%s/%s.sock", c->runtime_dir, name);
    return n >= 0 && n < PATH_MAX;
}

/* The door of a server: the socket that was inherited for it, or one in the runtime directory. */
static int open_server_door(struct front *f, struct inherited *in, const char *server)
{
    char path[PATH_MAX];
    const char *name = *server ? server : "mcp";
    if (!server_path(f->config, server, path))
        return -ENAMETOOLONG;
    struct door d = {.is_unix = true, .where = path, .server = server};
    d.inherited = front_claim_listener(in, path, path);
    d.stored = d.inherited >= 0;
    if (d.inherited < 0)
        d.inherited = inherit_claim_path(in, path);
    if (d.inherited < 0)
        d.inherited = inherit_claim_unix(in, strrchr(path, '/') + 1);
    if (d.inherited < 0)
        d.inherited = inherit_claim_unix(in, name);
    return open_listener(f, &d);
}

/* Opens what the manager listens on for us under the name "http". */
static int open_inherited(struct front *f, struct inherited *in, bool *ret_tcp)
{
    struct door d = {.where = INHERITED};
    int r = 0;
    while (r == 0 && (d.inherited = inherit_claim_inet(in, "http")) >= 0) {
        *ret_tcp = true;
        r = open_listener(f, &d);
    }
    d.is_unix = true;
    while (r == 0 && (d.inherited = inherit_claim_unix(in, "http")) >= 0)
        r = open_listener(f, &d);
    return r;
}

static bool is_open(const struct front *f, const char *address)
{
    const struct front_listener *l;
    LIST_FOREACH (l, &f->listeners, link)
        if (strcmp(listener_address(l->listener), address) == 0)
            return true;
    return false;
}

/* Opens the entries of `listen`. Sockets that were inherited stand in for those that are TCP: their
 * addresses are then a matter of the socket unit. */
static int open_configured(struct front *f, struct inherited *in)
{
    const struct config *c = f->config;
    bool inherited_tcp = false;
    int r = 0;
    for (size_t i = 0; i < c->listen_n && r == 0; i++) {
        const struct config_listen *e = &c->listen[i];
        if (!e->is_unix)
            continue;
        struct door d = {.is_unix = true, .where = e->path};
        d.inherited = front_claim_listener(in, e->path, e->path);
        d.stored = d.inherited >= 0;
        if (d.inherited < 0)
            d.inherited = inherit_claim_path(in, e->path);
        r = open_listener(f, &d);
    }
    if (r == 0)
        r = open_inherited(f, in, &inherited_tcp);
    for (size_t i = 0; i < c->listen_n && r == 0; i++) {
        const struct config_listen *e = &c->listen[i];
        if (e->is_unix)
            continue;
        struct door d = {.where = e->host_port};
        if (!inherited_tcp) {
            d.inherited = front_claim_listener(in, e->host_port, NULL);
            d.stored = d.inherited >= 0;
            r = open_listener(f, &d);
        } else if (!is_open(f, e->host_port))
            log_notice(LOG_CTX(.message_id = LOG_ID_NOT_LISTENING),
                       "not listening on %s of the configuration: the service manager listens for "
                       "us",
                       e->text);
    }
    return r;
}

static int open_all(struct front *f, struct inherited *in)
{
    const struct route *route;
    int r = open_configured(f, in);
    for (size_t i = 0; r == 0 && (route = route_at(f->proxy, i)); i++)
        r = open_server_door(f, in, route->name);
    if (r == 0 && route_find(f->proxy, SLICE("")))
        r = open_server_door(f, in, "");
    return r;
}

/* Its connections go on. leave: whoever connects waits for the next process. */
static void close_listener(struct front_listener *l, bool leave)
{
    LIST_REMOVE(l, link);
    if (l->stored && leave) {
        listener_leave(l->listener);
    } else {
        front_listener_forget(l);
        listener_free(l->listener);
    }
    l->listener = NULL;
    front_listener_unref(l);
}

static void close_listeners(struct front *f, bool inherited_only)
{
    struct front_listener *l, *following;
    for (l = LIST_FIRST(&f->listeners); l; l = following) {
        following = LIST_NEXT(l, link);
        if (!inherited_only || l->inherited)
            close_listener(l, true);
    }
}

/* ---- another configuration ---- */

static struct front_listener *find_in(struct front_listener *first, const struct door *d)
{
    struct front_listener *l;
    for (l = first; l; l = LIST_NEXT(l, link))
        if (l->is_unix == d->is_unix && strcmp(l->where, d->where) == 0 &&
            (l->server ? d->server && strcmp(l->server, d->server) == 0 : !d->server))
            return l;
    return NULL;
}

static bool has_inherited_tcp(const struct front *f)
{
    const struct front_listener *l;
    LIST_FOREACH (l, &f->listeners, link)
        if (l->inherited && !l->is_unix)
            return true;
    return false;
}

typedef int (*door_fn)(struct front *f, const struct door *d);

static int with_server_door(struct front *f, const struct config *c, const char *server, door_fn fn)
{
    char path[PATH_MAX];
    if (!server_path(c, server, path))
        return -ENAMETOOLONG;
    return fn(f, &(struct door){.is_unix = true, .where = path, .server = server, .inherited = -1});
}

/* Every door that the configuration asks for, as front_new opens them, until one fails. */
static int each_door(struct front *f, const struct config *c, door_fn fn)
{
    bool tcp = !has_inherited_tcp(f);
    unsigned served = 0;
    int r = 0;
    for (size_t i = 0; i < c->listen_n && r == 0; i++) {
        const struct config_listen *e = &c->listen[i];
        if (e->is_unix || tcp)
            r = fn(f, &(struct door){.is_unix = e->is_unix,
                                     .where = e->is_unix ? e->path : e->host_port,
                                     .inherited = -1});
    }
    for (size_t i = 0; i < c->servers_n && r == 0; i++) {
        if (!route_is_served(&c->servers[i]))
            continue;
        r = with_server_door(f, c, c->servers[i].name, fn);
        served++;
    }
    return r == 0 && served == 1 ? with_server_door(f, c, "", fn) : r;
}

static bool is_listed(const struct config *c, const char *host_port)
{
    for (size_t i = 0; i < c->listen_n; i++)
        if (!c->listen[i].is_unix && strcmp(c->listen[i].host_port, host_port) == 0)
            return true;
    return false;
}

static int cannot_listen(struct front *f, bool is_unix, const char *where, int r)
{
    snprintf(f->why, sizeof(f->why), "cannot listen on %s%s: %s", is_unix ? "unix:" : "", where,
             why_not(r));
    return r;
}

static int prepare_door(struct front *f, const struct door *d)
{
    struct front_listener *l;
    if (find_in(LIST_FIRST(&f->listeners), d))
        return 0;
    struct front_listener *last = last_of(LIST_FIRST(&f->prepared));
    int r = make_listener(f, f->preparing, d, &l);
    if (r < 0)
        cannot_listen(f, d->is_unix, d->where, r);
    else if (last)
        LIST_INSERT_AFTER(last, l, link);
    else
        LIST_INSERT_HEAD(&f->prepared, l, link);
    return r;
}

/* What is open already. That an entry of `listen` is gone is none of it: it closes anyway. */
static int prepare_open_ones(struct front *f, const struct config *c)
{
    const struct front_listener *l;
    LIST_FOREACH (l, &f->listeners, link)
        if (!may_be_open(l, c) && (l->inherited || is_listed(c, l->where)))
            return cannot_listen(f, l->is_unix, listener_address(l->listener), -EPERM);
    return 0;
}

/* Nothing is accepted before the loop goes on, which is after front_apply or front_unprepare. */
int front_prepare(struct front *f, struct config *config, char *why, size_t why_n)
{
    snprintf(f->why, sizeof(f->why), "the path of a socket is too long");
    f->preparing = config;
    int r = prepare_open_ones(f, config);
    if (r == 0)
        r = each_door(f, config, prepare_door);
    f->preparing = NULL;
    if (r < 0) {
        snprintf(why, why_n, "%s", f->why);
        front_unprepare(f);
    }
    return r;
}

void front_unprepare(struct front *f)
{
    while (!LIST_EMPTY(&f->prepared))
        close_listener(LIST_FIRST(&f->prepared), false);
}

static int want_door(struct front *f, const struct door *d)
{
    struct front_listener *l = find_in(LIST_FIRST(&f->listeners), d);
    if (l)
        l->wanted = true;
    return 0;
}

static void follow_listeners(struct front *f)
{
    struct front_listener *l, *following;
    /* The service manager goes on listening on its own: if nobody accepted there, clients would
     * wait for ever, and we could not open the socket again. */
    LIST_FOREACH (l, &f->listeners, link)
        l->wanted = l->inherited;
    each_door(f, f->config, want_door);
    for (l = LIST_FIRST(&f->listeners); l; l = following) {
        following = LIST_NEXT(l, link);
        if (l->wanted)
            continue;
        log_notice(LOG_CTX(.message_id = LOG_ID_LISTENING_ENDED), "no longer listening on %s%s",
                   l->is_unix ? "" : "http://", listener_address(l->listener));
        close_listener(l, false);
    }
    while ((l = LIST_FIRST(&f->prepared))) {
        LIST_REMOVE(l, link);
        add_listener(f, l);
    }
    f->http_url[0] = '\0';
    LIST_FOREACH (l, &f->listeners, link)
        listener_follow(l);
}

void front_apply(struct front *f, struct config *config)
{
    struct config *old = f->config;
    struct client *c, *following;
    f->config = config_ref(config);
    f->host_memo = f->origin_memo = (struct origin_memo){0};
    follow_listeners(f);
    front_access_changed(f);
    event_budget_follow(&f->events, front_limits(f));
    if (timer_armed(&f->events_timer))
        env_timer_set(f->env, &f->events_timer, f->env->now);
    if (old->limits.keepalive_interval != config->limits.keepalive_interval)
        pulses_rearm(f);
    for (c = LIST_FIRST(&f->clients); c; c = following) {
        following = LIST_NEXT(c, link);
        client_follow(c);
    }
    config_unref(old);
}

/* ---- life ---- */

static void expire_events(void *arg)
{
    struct front *f = arg;
    usec_t next = event_budget_expire(&f->events, f->env->now);
    usec_t soonest = f->env->now + EXPIRE_SPAN;
    if (next != USEC_NEVER)
        env_timer_set(f->env, &f->events_timer, next > soonest ? next : soonest);
}

void front_events_kept(struct front *f)
{
    if (!timer_armed(&f->events_timer))
        env_timer_set(f->env, &f->events_timer, f->env->now + front_limits(f)->event_buffer_ttl);
}

static void check_finished(void *arg);

int front_new(struct loop *loop, struct proxy *proxy, struct config *config,
              struct inherited *inherited, struct front **ret)
{
    struct front *f = xcalloc(1, sizeof(*f));
    f->loop = loop;
    f->env = &loop->env;
    f->proxy = proxy;
    f->config = config_ref(config);
    LIST_INIT(&f->listeners);
    LIST_INIT(&f->prepared);
    TAILQ_INIT(&f->pulses);
    timer_init(&f->pulse_timer, pulses_beat, f);
    LIST_INIT(&f->clients);
    LIST_INIT(&f->dead);
    LIST_INIT(&f->http_sessions);
    task_init(&f->reap, client_reap, f);
    timer_init(&f->events_timer, expire_events, f);
    timer_init(&f->finish_timer, check_finished, f);
    task_init(&f->adopt, front_adopt, f);
    event_budget_init(&f->events, &f->config->limits);
    access_tally_init(f);
    int r = open_all(f, inherited);
    if (r < 0) {
        front_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

void front_drain(struct front *f)
{
    struct client *c, *following;
    if (f->draining)
        return;
    if (f->heritage)
        front_adopt(f); /* while there may still be sessions */
    if (f->store)
        front_store_clients(f, 0);
    f->draining = true;
    close_listeners(f, true);
    for (c = LIST_FIRST(&f->clients); c; c = following) {
        following = LIST_NEXT(c, link);
        if (c->ops && !c->stored)
            c->ops->on_stop(c->impl);
    }
}

void front_stop_accepting(struct front *f)
{
    front_drain(f);
    close_listeners(f, false);
}

static void close_clients(struct front *f, bool all)
{
    struct client *c, *following;
    for (c = LIST_FIRST(&f->clients); c; c = following) {
        following = LIST_NEXT(c, link);
        if (client_is_held(c))
            front_leave_client(c, all);
        else if (all || stream_pending(c->stream) == 0)
            client_close(c);
    }
}

static void check_finished(void *arg)
{
    struct front *f = arg;
    close_clients(f, f->env->now >= f->finish_by);
    if (!LIST_EMPTY(&f->clients)) {
        env_timer_set(f->env, &f->finish_timer, f->env->now + FINISH_SPAN);
        return;
    }
    void (*finished)(void *) = f->finished;
    f->finished = NULL;
    if (finished)
        finished(f->finished_arg);
}

void front_finish(struct front *f, usec_t linger, void (*done)(void *), void *arg)
{
    front_stop_accepting(f);
    f->finished = done;
    f->finished_arg = arg;
    f->finish_by = f->env->now + linger;
    if (f->store)
        ledger_spill_reset(f->store->ledger);
    sse_front_close_all(f);
    env_timer_set(f->env, &f->finish_timer, f->env->now);
}

void front_free(struct front *f)
{
    if (!f)
        return;
    f->draining = true;
    close_listeners(f, false);
    sse_front_close_all(f);
    close_clients(f, true);
    while (!LIST_EMPTY(&f->http_sessions))
        session_end(LIST_FIRST(&f->http_sessions)->session);
    client_reap(f);
    env_task_clear(f->env, &f->reap);
    env_timer_clear(f->env, &f->events_timer);
    env_timer_clear(f->env, &f->pulse_timer);
    env_timer_clear(f->env, &f->access.timer);
    env_timer_clear(f->env, &f->finish_timer);
    env_timer_clear(f->env, &f->store_timer);
    env_task_clear(f->env, &f->adopt);
    inherit_free(f->heritage, NULL, NULL);
    if (f->store)
        stream_use_io(NULL);
    buf_done(&f->head);
    buf_done(&f->event);
    config_unref(f->config);
    free(f);
}

void front_counts(const struct front *f, struct front_counts *ret)
{
    *ret = f->counts;
    ret->event_bytes = f->events.bytes;
}

const char *front_http_url(const struct front *f)
{
    return f->http_url[0] ? f->http_url : NULL;
}
