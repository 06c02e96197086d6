/* A configured server: its pools and what it said of itself. */
#ifndef UPSTREAM_SERVER_H
#define UPSTREAM_SERVER_H

#include "config/config.h"
#include "upstream/pool.h"

struct server {
    struct env *env;
    struct config *config; /* ref */
    const struct server_config *sc;
    const struct transport_ops *transport;
    void *transport_arg;
    const struct pool_user *user;
    void *user_arg;
    struct pool *pools;
    struct card *card;    /* of the latest handshake; NULL before the first */
    uint64_t last_serial; /* of affinities */
    bool stopping;
    unsigned live;    /* transports not yet closed */
    struct task reap; /* frees pools that have ended */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

struct server *server_new(struct env *env, struct config *config, const struct server_config *sc,
                          const struct transport_ops *transport, void *transport_arg,
                          const struct pool_user *user, void *user_arg);

/* Starts the default pool (anonymous principal, no client features). */
void server_start(struct server *s);

/* Closes every connection (now: without the polite ladder); stopped(arg) once nothing is left,
 * perhaps from inside. Waiting tickets are refused with shutting_down. */
void server_stop(struct server *s, bool now, void (*stopped)(void *), void *arg);

/* Kills what still closes politely after server_stop. */
void server_hurry(struct server *s);

/* After stopped, or when never started. Accepts NULL. */
void server_free(struct server *s);

#endif
