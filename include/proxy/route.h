/* From the name a client uses to the configured server behind it. */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "base/slice.h"

#include <stdbool.h>

struct proxy;
struct server;
struct server_config;

/* One endpoint that clients can name. What is found by the functions below is good for this turn:
 * a reload may take a route away between two turns. Whoever keeps one holds a reference, and then
 * route and server stay, whatever becomes of them. */
struct route {
    const char *name; /* "github"; "" for the aggregate endpoint */
    struct server *server;
};

/* The route called name; for "" the aggregate endpoint, which exists when exactly one server is
 * configured and is then that server. NULL: no such endpoint. */
const struct route *route_find(const struct proxy *proxy, struct slice name);

/* Walks all named routes, in config order; NULL after the last. */
const struct route *route_at(const struct proxy *proxy, size_t index);

const struct route *route_ref(const struct route *r);

/* Drops one reference, before proxy_free. Accepts NULL. Returns NULL. */
const struct route *route_unref(const struct route *r);

/* The name of its server, also for the aggregate endpoint. */
const char *route_server_name(const struct route *r);

/* Whether its server is not in the configuration any more: what runs may end, nothing new begins.
 */
bool route_is_gone(const struct route *r);

/* Whether an entry of the configuration gets a route: it is enabled and of a transport that this
 * version has. */
bool route_is_served(const struct server_config *sc);

#endif
