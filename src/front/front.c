/* The front as a whole: listeners, admission of connections, the planned stop.
 *
 * Every listener reaches either all routes (TCP, and unix sockets that the configuration names) or
 * exactly one: the socket of a server in the runtime directory, where file permissions are the
 * access control, must not lead to any other server. */
#include "front/front_priv.h"
#include "front/http_session.h"
#include "front/origin.h"

#include "base/log.h"
#include "base/util.h"
#include "upstream/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Kept events are looked through for old ones at most this often. */
#define EXPIRE_SPAN (1 * USEC_PER_SEC)

/* Refused connections are logged at most this often. */
#define REFUSAL_LOG_SPAN (1 * USEC_PER_SEC)

/* How often front_finish looks whether everything was written. */
#define FINISH_SPAN (10 * USEC_PER_MSEC)

/* ---- admission ---- */

static void refused(struct front *f, const struct peer *peer, const char *why)
{
    f->counts.refused++;
    if (f->refusal_logged_at && f->env->now - f->refusal_logged_at < REFUSAL_LOG_SPAN)
        return;
    f->refusal_logged_at = f->env->now;
    log_warning(NULL, "connection of %s refused: %s is reached (%llu refused since start)",
                peer->text, why, (unsigned long long)f->counts.refused);
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

const struct route *front_route(const struct front_listener *l, struct slice name)
{
    if (name.n == 0 && l->route)
        return l->route;
    const struct route *r = route_find(l->front->proxy, name);
    return r && l->route && r->server != l->route->server ? NULL : r;
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

static int open_listener(struct front *f, bool is_unix, const char *where,
                         const struct route *route)
{
    struct listen_options opt = {.max_conns = front_limits(f)->max_client_connections};
    struct front_listener *l = xcalloc(1, sizeof(*l)), *last;
    l->front = f;
    l->route = route;
    l->is_unix = is_unix;
    l->refs = 1;
    int r = is_unix ? listener_open_unix(f->loop, where, &opt, on_accept, l, &l->listener)
                    : listener_open_tcp(f->loop, where, &opt, on_accept, l, &l->listener);
    if (r < 0) {
        log_error(NULL, "cannot listen on %s%s: %s", is_unix ? "unix:" : "", where, strerror(-r));
        free(l);
        return r;
    }
    l->check_host = must_check_host(f, l);
    if (!is_unix && !f->http_url[0])
        snprintf(f->http_url, sizeof(f->http_url), "http://%s", listener_address(l->listener));
    last = LIST_FIRST(&f->listeners);
    while (last && LIST_NEXT(last, link))
        last = LIST_NEXT(last, link);
    if (last)
        LIST_INSERT_AFTER(last, l, link);
    else
        LIST_INSERT_HEAD(&f->listeners, l, link);
    log_notice(NULL, "listening on %s%s", is_unix ? "" : "http://", listener_address(l->listener));
    return 0;
}

static int open_runtime_socket(struct front *f, const char *name, const struct route *route)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/%s.sock", f->config->runtime_dir, name);
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    return open_listener(f, true, path, route);
}

static int open_all(struct front *f)
{
    const struct config *c = f->config;
    const struct route *aggregate = route_find(f->proxy, SLICE("")), *route;
    int r = 0;
    for (size_t i = 0; i < c->listen_n && r == 0; i++) {
        const struct config_listen *e = &c->listen[i];
        /* Lines name no endpoint, so they are understood only where there is one choice. */
        r = e->is_unix ? open_listener(f, true, e->path, aggregate)
                       : open_listener(f, false, e->host_port, NULL);
    }
    for (size_t i = 0; r == 0 && (route = route_at(f->proxy, i)); i++)
        r = open_runtime_socket(f, route->name, route);
    if (r == 0 && aggregate)
        r = open_runtime_socket(f, "mcp", aggregate);
    return r;
}

static void close_listeners(struct front *f)
{
    struct front_listener *l;
    while ((l = LIST_FIRST(&f->listeners))) {
        LIST_REMOVE(l, link);
        listener_free(l->listener);
        l->listener = NULL;
        if (--l->refs == 0)
            free(l);
    }
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

int front_new(struct loop *loop, struct proxy *proxy, struct config *config, struct front **ret)
{
    struct front *f = xcalloc(1, sizeof(*f));
    f->loop = loop;
    f->env = &loop->env;
    f->proxy = proxy;
    f->config = config_ref(config);
    LIST_INIT(&f->listeners);
    LIST_INIT(&f->clients);
    LIST_INIT(&f->dead);
    LIST_INIT(&f->http_sessions);
    task_init(&f->reap, client_reap, f);
    timer_init(&f->events_timer, expire_events, f);
    timer_init(&f->finish_timer, check_finished, f);
    event_budget_init(&f->events, &f->config->limits);
    int r = open_all(f);
    if (r < 0) {
        front_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

void front_stop_accepting(struct front *f)
{
    struct client *c, *following;
    if (f->draining)
        return;
    f->draining = true;
    close_listeners(f);
    for (c = LIST_FIRST(&f->clients); c; c = following) {
        following = LIST_NEXT(c, link);
        if (c->ops)
            c->ops->on_stop(c->impl);
    }
}

static void close_clients(struct front *f, bool all)
{
    struct client *c, *following;
    for (c = LIST_FIRST(&f->clients); c; c = following) {
        following = LIST_NEXT(c, link);
        if (all || stream_pending(c->stream) == 0)
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
    sse_front_close_all(f);
    env_timer_set(f->env, &f->finish_timer, f->env->now);
}

void front_free(struct front *f)
{
    if (!f)
        return;
    f->draining = true;
    close_listeners(f);
    sse_front_close_all(f);
    close_clients(f, true);
    while (!LIST_EMPTY(&f->http_sessions))
        session_end(LIST_FIRST(&f->http_sessions)->session);
    client_reap(f);
    env_task_clear(f->env, &f->reap);
    env_timer_clear(f->env, &f->events_timer);
    env_timer_clear(f->env, &f->finish_timer);
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

const char *front_address(const struct front *f, size_t i)
{
    const struct front_listener *l;
    LIST_FOREACH (l, &f->listeners, link) {
        if (i-- == 0)
            return listener_address(l->listener);
    }
    return NULL;
}

const char *front_http_url(const struct front *f)
{
    return f->http_url[0] ? f->http_url : NULL;
}
