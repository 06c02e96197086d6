/* What the tests of the recovery core share: one server without jitter, a look at its slots and
 * counters, and the few things that clients and servers say there. */
#ifndef TESTS_UNIT_PROXY_WATCHING_H
#define TESTS_UNIT_PROXY_WATCHING_H

#include "world.h"

#include "upstream/pool.h"
#include "upstream/server.h"

#define S USEC_PER_SEC

static inline struct server *server(void)
{
    return route_at(w.proxy, 0)->server;
}

static inline struct pool *pool(void)
{
    return server()->pools;
}

static inline struct conn *slot(unsigned i)
{
    return pool()->slots[i];
}

static inline uint64_t count(enum metric id)
{
    return metrics_sum(server()->metrics, id);
}

static inline void begin(const char *more)
{
    char top[600];
    snprintf(top, sizeof(top), ",\"resilience\":{\"recovery_jitter_max\":0%s}", more);
    world_new(NULL, top);
    proxy_start(w.proxy);
    turn();
}

static inline void call(struct client *c, int id)
{
    char text[200];
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"x\","
             "\"_meta\":{\"progressToken\":%d}}}",
             id, id);
    client_say(c, text);
}

static inline bool got(struct fake *f, const char *what)
{
    for (const char *m; (m = fake_read(f)) != NULL;)
        if (strstr(m, what))
            return true;
    return false;
}

/* Answers the newest request of f. */
static inline void answer(struct fake *f)
{
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
             (unsigned long long)((struct conn *)f->arg)->next_id - 1);
    turn();
}

#endif
