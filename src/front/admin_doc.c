/* Documents: a head, one piece per server, an end. A document holds references to the routes that
 * it tells of, so that a reload between two pieces neither shifts them nor takes one away. */
#include "front/admin_doc.h"
#include "front/admin.h"

#include "base/util.h"
#include "base/version.h"
#include "front/front.h"
#include "io/usage.h"

#include <stdlib.h>
#include <unistd.h>

struct admin_doc {
    enum admin_doc_kind kind;
    struct admin_view view;
    const struct route **routes; /* refs */
    size_t routes_n;
    struct recover_result *results;
    struct admin_json json;
    bool begun;
    size_t next; /* server */
};

static void take_routes(struct admin_doc *d, const struct route *only)
{
    const struct route *r;
    size_t n = 0;
    while (!only && route_at(d->view.proxy, n))
        n++;
    d->routes = xcalloc(n + 1, sizeof(*d->routes));
    if (only)
        d->routes[d->routes_n++] = route_ref(only);
    while (!only && (r = route_at(d->view.proxy, d->routes_n)))
        d->routes[d->routes_n++] = route_ref(r);
}

struct admin_doc *admin_doc_new(enum admin_doc_kind kind, const struct admin_view *view,
                                const struct route *only, struct recover_result *results)
{
    struct admin_doc *d = xcalloc(1, sizeof(*d));
    d->kind = kind;
    d->view = *view;
    d->results = results;
    take_routes(d, only);
    return d;
}

struct admin_doc *admin_doc_free(struct admin_doc *d)
{
    if (!d)
        return NULL;
    for (size_t i = 0; i < d->routes_n; i++)
        route_unref(d->routes[i]);
    free(d->routes);
    free(d->results);
    free(d);
    return NULL;
}

bool admin_all_tried(const struct proxy *proxy)
{
    const struct route *r;
    for (size_t i = 0; (r = route_at(proxy, i)); i++)
        if (!r->server->tried && r->server->sc->resilience.min_connections &&
            server_mode(r->server) == SERVER_ACTIVE)
            return false;
    return true;
}

static const struct route *route_of(const struct admin_doc *d, size_t index)
{
    return index < d->routes_n ? d->routes[index] : NULL;
}

static void write_usage(struct admin_json *j, const struct admin_view *v)
{
    struct front_counts counts = {0};
    if (v->front)
        front_counts(v->front, &counts);
    admin_json_u64(j, "connections", counts.http_connections + counts.line_connections);
    admin_json_u64(j, "rss_bytes", usage_resident());
}

static void begin(struct admin_doc *d)
{
    struct admin_json *j = &d->json;
    const struct admin_view *v = &d->view;
    admin_json_begin(j, NULL, '{');
    switch (d->kind) {
    case ADMIN_DOC_STATUS:
        admin_json_str(j, "version", MCPOOL_VERSION);
        admin_json_u64(j, "pid", (uint64_t)getpid());
        admin_json_wall(j, "time", v->wall_offset + v->env->now);
        admin_json_wall(j, "started_at", v->wall_offset + v->started_at);
        admin_json_seconds(j, "uptime_seconds", v->env->now - v->started_at);
        admin_json_bool(j, "stopping", proxy_is_stopping(v->proxy));
        admin_json_bool(j, "read_only", v->read_only);
        admin_json_u64(j, "sessions", proxy_session_count(v->proxy));
        write_usage(j, v);
        break;
    case ADMIN_DOC_READY:
        admin_json_bool(j, "ready", admin_all_tried(v->proxy) && !proxy_is_stopping(v->proxy));
        admin_json_bool(j, "stopping", proxy_is_stopping(v->proxy));
        break;
    case ADMIN_DOC_RECOVERED:
        break;
    }
    admin_json_begin(j, "servers", '[');
}

static void write_ready(struct admin_json *j, const struct route *r)
{
    struct server_counts counts;
    server_count(r->server, &counts);
    admin_json_begin(j, NULL, '{');
    admin_json_str(j, "name", r->name);
    admin_json_bool(j, "tried", r->server->tried);
    admin_json_str(j, "health_status", health_name(server_health(r->server)));
    admin_json_str(j, "mode", server_mode_name(server_mode(r->server)));
    admin_json_str(j, "circuit_breaker", breaker_state_name(r->server->breaker.state));
    admin_json_u64(j, "available", counts.available);
    admin_json_u64(j, "failed_connections", counts.failed);
    admin_json_end(j, '}');
}

static void write_recovered(struct admin_json *j, const struct route *r,
                            const struct recover_result *result)
{
    admin_json_begin(j, NULL, '{');
    admin_json_str(j, "name", r->name);
    admin_json_u64(j, "reset", result->reset);
    admin_json_u64(j, "torn_down", result->torn_down);
    admin_json_u64(j, "started", result->started);
    admin_json_u64(j, "ready", result->ready);
    admin_json_str(j, "circuit_breaker_before", breaker_state_name(result->breaker));
    admin_json_str(j, "circuit_breaker", breaker_state_name(r->server->breaker.state));
    admin_json_end(j, '}');
}

bool admin_doc_next(struct admin_doc *d, struct buf *out)
{
    struct admin_json *j = &d->json;
    j->out = out;
    if (!d->begun) {
        d->begun = true;
        begin(d);
    }
    const struct route *r = route_of(d, d->next);
    if (r) {
        switch (d->kind) {
        case ADMIN_DOC_STATUS:
            admin_status_server(j, &d->view, r->server);
            break;
        case ADMIN_DOC_READY:
            write_ready(j, r);
            break;
        case ADMIN_DOC_RECOVERED:
            write_recovered(j, r, &d->results[d->next]);
            break;
        }
        d->next++;
    }
    if (route_of(d, d->next))
        return true;
    admin_json_end(j, ']');
    admin_json_end(j, '}');
    buf_append_str(out, "\n");
    return false;
}
