/* What conn.c, pool.c and server.c of this room share with nobody else. */
#ifndef UPSTREAM_INTERNAL_H
#define UPSTREAM_INTERNAL_H

#include "upstream/pool.h"
#include "upstream/server.h"

/* conn: slots are embedded in the pool's array. */
void conn_init(struct conn *c, struct pool *pool, unsigned slot);
void conn_done(struct conn *c);
/* Starts an attempt; the slot must be IDLE or WAITING. */
void conn_open(struct conn *c);
/* Ends a connection that is no longer wanted; it goes to IDLE. now: without the polite ladder. */
void conn_retire(struct conn *c, bool now);
/* The state in a word for decisions about growth. */
static inline bool conn_is_starting(const struct conn *c)
{
    return c->state == CONN_CONNECTING || c->state == CONN_HANDSHAKE;
}

/* conn → pool */
void pool_on_conn_ready(struct conn *c);
void pool_on_conn_lost(struct conn *c, enum reason why); /* was READY; tickets are being ended */
void pool_on_conn_failed(struct conn *c);                /* an attempt failed; slot is WAITING */
void pool_on_conn_idle(struct conn *c);                  /* retired, slot is IDLE */
void pool_on_conn_drain(struct conn *c);
bool pool_wants(const struct conn *c); /* whether a failed slot should be tried again when due */

/* pool → server */
void pool_free(struct pool *p);
void pool_stop(struct pool *p, bool now);
void server_on_transport_closed(struct server *s);
void server_on_pool_quiet(struct server *s);

#endif
