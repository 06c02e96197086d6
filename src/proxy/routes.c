/* Routes: made from the configuration, changed by a reload, and kept for as long as anybody holds
 * one.
 *
 *     in p->routes ──removed──► in p->leaving ──no call left, or drain_timeout──► closing
 *                                                                                   │
 *                 freed ◄──last reference dropped── out of p->leaving ◄──stopped────┘
 *
 * The proxy's own reference goes when the server is stopped; sessions, listeners and requests that
 * are being read hold others, so nobody ever looks at a server that is freed. A server that leaves
 * refuses new calls and sessions (route_is_gone); its sessions can still be found by their id, so
 * that a client may cancel what runs or answer what it was asked. One of the same name that is
 * configured meanwhile has an endpoint and a server of its own: nothing is common to the two.
 *
 * The aggregate endpoint is a second name of the only server. It comes and goes with the number of
 * servers; sessions that came in through it stay with their server. */
#include "proxy/proxy.h"

#include "base/log.h"
#include "base/util.h"
#include "config/diff.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- references ---- */

static struct endpoint *endpoint_unref(struct endpoint *e)
{
    if (!e || --e->refs > 0)
        return NULL;
    if (e->own == e)
        server_free(e->route.server);
    else
        endpoint_unref(e->own);
    deadlines_done(&e->call_timeouts);
    deadlines_done(&e->operation_timeouts);
    free((char *)e->route.name);
    free(e);
    return NULL;
}

const struct route *route_ref(const struct route *r)
{
    endpoint_of(r)->refs++;
    return r;
}

const struct route *route_unref(const struct route *r)
{
    if (r)
        endpoint_unref(endpoint_of(r));
    return NULL;
}

const char *route_server_name(const struct route *r)
{
    return endpoint_of(r)->own->route.name;
}

bool route_is_gone(const struct route *r)
{
    return endpoint_of(r)->own->gone;
}

/* ---- looking ---- */

/* Names are short and chosen by the operator: any hash will do, and FNV-1a costs least. */
static unsigned hash_of(struct slice name)
{
    unsigned hash = 2166136261U;
    for (size_t i = 0; i < name.n; i++)
        hash = (hash ^ (unsigned char)name.p[i]) * 16777619U;
    return hash;
}

const struct route *route_find(const struct proxy *proxy, struct slice name)
{
    if (name.n == 0)
        return proxy->aggregate ? &proxy->aggregate->route : NULL;
    struct endpoint *e;
    HASH_FIND_BYHASHVALUE(hh, proxy->by_name, name.p, name.n, hash_of(name), e);
    return e ? &e->route : NULL;
}

const struct route *route_at(const struct proxy *proxy, size_t index)
{
    return index < proxy->route_count ? &proxy->routes[index]->route : NULL;
}

bool route_is_served(const struct server_config *sc)
{
    return sc->options.enabled && sc->transport == CONFIG_TRANSPORT_STDIO;
}

/* ---- the end of a server ---- */

static void on_stopped(void *arg)
{
    struct endpoint *e = arg;
    e->stopped = true;
    if (e->proxy->closing)
        proxy_note_stopped(e->proxy);
    else
        env_defer(e->proxy->env, &e->check); /* the server is still above us */
}

/* First the server: what is still in flight gets its one honest error while its session lives. */
void endpoint_close(struct endpoint *e, bool now)
{
    struct proxy *p = e->proxy;
    struct session *s, *following;
    if (e->closing) {
        if (now && !e->stopped)
            server_hurry(e->route.server);
        return;
    }
    e->closing = true;
    env_timer_clear(p->env, &e->drain);
    server_stop(e->route.server, now, on_stopped, e);
    HASH_ITER (hh, p->sessions, s, following) {
        if (session_server(s) == e->route.server)
            session_end(s);
    }
}

static void drain_over(void *arg)
{
    struct endpoint *e = arg;
    log_warning(LOG_CTX(.server = e->route.name, .message_id = LOG_ID_SERVER_REMOVED),
                "%u calls of the removed server were still running after drain_timeout",
                e->in_flight);
    endpoint_close(e, false);
}

static void check_gone(void *arg)
{
    struct endpoint *e = arg;
    if (e->stopped) {
        log_notice(LOG_CTX(.server = e->route.name, .message_id = LOG_ID_SERVER_REMOVED),
                   "the removed server is stopped");
        LIST_REMOVE(e, link);
        endpoint_unref(e);
    } else if (e->in_flight == 0) {
        endpoint_close(e, false);
    }
}

static void leave(struct endpoint *e)
{
    struct proxy *p = e->proxy;
    usec_t timeout = p->config->limits.drain_timeout;
    log_notice(LOG_CTX(.server = e->route.name, .message_id = LOG_ID_SERVER_REMOVED),
               "removed from the configuration: no new calls, %u in flight have %.1f s to finish",
               e->in_flight, (double)timeout / USEC_PER_SEC);
    e->gone = true;
    LIST_INSERT_HEAD(&p->leaving, e, link);
    env_timer_set(p->env, &e->drain, p->env->now + timeout);
    env_defer(p->env, &e->check);
}

/* ---- making ---- */

static struct endpoint *endpoint_new(struct proxy *p, const char *name, struct server *server,
                                     struct endpoint *own)
{
    struct endpoint *e = xcalloc(1, sizeof(*e));
    e->route = (struct route){.name = xstrdup(name), .server = server};
    e->proxy = p;
    e->refs = 1;
    e->own = own ? own : e;
    e->own->refs += own != NULL;
    deadlines_init(&e->call_timeouts, p->env, call_on_deadline);
    deadlines_init(&e->operation_timeouts, p->env, call_on_deadline);
    timer_init(&e->drain, drain_over, e);
    task_init(&e->check, check_gone, e);
    return e;
}

static struct endpoint *make_named(struct proxy *p, const struct server_config *sc)
{
    struct server *s =
        server_new(p->env, p->config, sc, p->transport, p->transport_arg, &proxy_pool_user, p);
    s->pace = &p->pace;
    s->process_metrics = p->metrics;
    return endpoint_new(p, sc->name, s, NULL);
}

static void tell_unserved(const struct server_config *sc)
{
    if (!sc->options.enabled)
        log_notice(LOG_CTX(.server = sc->name, .message_id = LOG_ID_SERVER_SKIPPED),
                   "disabled in the configuration");
    else
        log_warning(LOG_CTX(.server = sc->name, .message_id = LOG_ID_SERVER_SKIPPED),
                    "not served: transport %s is not supported by this version",
                    config_transport_name(sc->transport));
}

/* p->routes is complete. Those that are not in it any more are still there. */
static void index_names(struct proxy *p)
{
    HASH_CLEAR(hh, p->by_name);
    for (size_t i = 0; i < p->route_count; i++) {
        struct endpoint *e = p->routes[i];
        struct slice name = slice_str(e->route.name);
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, p->by_name, e->route.name, name.n, hash_of(name), e);
    }
}

static void set_aggregate(struct proxy *p)
{
    struct endpoint *only = p->route_count == 1 ? p->routes[0] : NULL;
    if (p->aggregate && p->aggregate->own == only)
        return;
    p->aggregate = endpoint_unref(p->aggregate);
    if (only)
        p->aggregate = endpoint_new(p, "", only->route.server, only);
}

void routes_init(struct proxy *p)
{
    LIST_INIT(&p->leaving);
    p->routes = xcalloc(p->config->servers_n + 1, sizeof(struct endpoint *));
    for (size_t i = 0; i < p->config->servers_n; i++) {
        const struct server_config *sc = &p->config->servers[i];
        if (route_is_served(sc))
            p->routes[p->route_count++] = make_named(p, sc);
        else
            tell_unserved(sc);
    }
    index_names(p);
    set_aggregate(p);
}

void routes_done(struct proxy *p)
{
    struct endpoint *e;
    p->aggregate = endpoint_unref(p->aggregate);
    while ((e = LIST_FIRST(&p->leaving))) {
        LIST_REMOVE(e, link);
        env_timer_clear(p->env, &e->drain);
        env_task_clear(p->env, &e->check);
        endpoint_unref(e);
    }
    HASH_CLEAR(hh, p->by_name);
    for (size_t i = 0; i < p->route_count; i++)
        endpoint_unref(p->routes[i]);
    free(p->routes);
}

/* ---- a reload ---- */

/* The endpoint of that name, taken out of the list; NULL: there is none. */
static struct endpoint *take_named(struct endpoint **v, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        struct endpoint *e = v[i];
        if (!e || strcmp(e->route.name, name) != 0)
            continue;
        v[i] = NULL;
        return e;
    }
    return NULL;
}

/* Whatever else has changed, and may have to wait for a restart. */
static bool renews(const struct config_server_plan *sp)
{
    for (size_t i = 0; i < sp->changes_n; i++)
        if (sp->changes[i].effect == CONFIG_EFFECT_RENEW)
            return true;
    return false;
}

/* Makes the list of routes from p->config, which is new; plan->servers begins with its servers. */
static void follow(struct proxy *p, const struct config_plan *plan)
{
    struct endpoint **old = p->routes;
    size_t old_count = p->route_count;
    p->routes = xcalloc(p->config->servers_n + 1, sizeof(struct endpoint *));
    p->route_count = 0;
    for (size_t i = 0; i < p->config->servers_n; i++) {
        const struct server_config *sc = &p->config->servers[i];
        const struct config_server_plan *sp = &plan->servers[i];
        if (!route_is_served(sc)) {
            if (sp->fate != CONFIG_SERVER_UNTOUCHED)
                tell_unserved(sc);
            continue;
        }
        struct endpoint *e = take_named(old, old_count, sc->name);
        p->routes[p->route_count++] = e ? e : make_named(p, sc);
        if (e && sp->fate == CONFIG_SERVER_CHANGED) {
            server_renew(e->route.server, p->config, sc, renews(sp));
        } else if (e) {
            server_follow(e->route.server, p->config, sc);
        } else {
            log_notice(LOG_CTX(.server = sc->name, .message_id = LOG_ID_SERVER_ADDED), "added");
            server_start(p->routes[p->route_count - 1]->route.server);
        }
    }
    index_names(p);
    for (size_t i = 0; i < old_count; i++)
        if (old[i])
            leave(old[i]);
    free(old);
    set_aggregate(p);
}

void proxy_apply(struct proxy *p, struct config *config, const struct config_plan *plan)
{
    struct config *old = p->config;
    if (p->stopping)
        return;
    p->config = config_ref(config);
    keeper_follow(&p->keeper, &config->limits);
    follow(p, plan);
    if (config->limits.session_idle_timeout != old->limits.session_idle_timeout)
        sessions_rearm_idle(p);
    config_unref(old);
}
