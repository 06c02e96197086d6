/* From the name a client uses to the configured server behind it. */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "base/slice.h"

struct proxy;
struct server;

/* One endpoint that clients can name. Owned by the proxy, lives as long as it. */
struct route {
    const char *name; /* "github"; "" for the aggregate endpoint */
    struct server *server;
};

/* The route called name; for "" the aggregate endpoint, which exists when exactly one server is
 * configured and is then that server. NULL: no such endpoint. */
const struct route *route_find(const struct proxy *proxy, struct slice name);

/* Walks all named routes, in config order; NULL after the last. */
const struct route *route_at(const struct proxy *proxy, size_t index);

#endif
