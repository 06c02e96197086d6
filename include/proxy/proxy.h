/* The core: servers, sessions, and what is common to all of them. */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include "base/buf.h"
#include "base/env.h"
#include "config/config.h"
#include "wire/mcp.h"

struct config_plan;
struct loop;
struct metrics;
struct proxy;
struct store;
struct transport_ops;

#define SESSION_KEY_SIZE 32

/* How the core reaches the world: its servers, and the next process that goes on with its sessions.
 * The daemon passes the real things, tests and the simulator theirs. All is borrowed until
 * proxy_free, the key only for proxy_new. */
struct proxy_transports {
    const struct transport_ops *stdio;
    void *arg; /* handed to transport_ops.open: the loop in the daemon */
    /* SESSION_KEY_SIZE bytes that authenticate the ids of Streamable HTTP sessions, so that
     * whoever has the same key recognises them. NULL: ids are random and end with the process. */
    const unsigned char *session_key;
    usec_t (*wall_clock)(void); /* microseconds since 1970; needed with a key */
    /* Where log levels, subscriptions and the ends of sessions are kept; NULL: nowhere. */
    struct store *store;
};

/* config is ref'ed. Server processes are started by proxy_start. Never fails. */
struct proxy *proxy_new(struct env *env, struct config *config, const struct proxy_transports *tr);

/* Starts the first connection of every enabled server. */
void proxy_start(struct proxy *p);

/* Has the core follow another configuration from now on: servers that are new start, those that are
 * gone or disabled refuse new calls, finish what runs within drain_timeout and are freed (their
 * sessions end), changed ones are renewed, all others notice nothing. Sessions, calls and client
 * connections of everybody else go on. config is ref'ed in place of the old one. Not while
 * stopping. May be called again while servers of an earlier call still drain. */
void proxy_apply(struct proxy *p, struct config *config, const struct config_plan *plan);

/* Begins to stop: new sessions and requests are refused with shutting_down, calls in flight may
 * finish until drain_timeout; then everything is closed. done(arg) is called when no call and no
 * child is left. A second call of this function ends the drain at once. */
void proxy_stop(struct proxy *p, void (*done)(void *), void *arg);

/* Everything must be stopped. */
void proxy_free(struct proxy *p);

size_t proxy_session_count(const struct proxy *p);

/* Whether proxy_stop was called. */
bool proxy_is_stopping(const struct proxy *p);

/* The metrics of the process as a whole; each server has its own. Lives as long as the proxy. */
struct metrics *proxy_metrics(struct proxy *p);

/* An error answer as mcpool gives it (protocol.md 7): appends the whole JSON-RPC message. id: raw
 * token or empty. server may be NULL. delivered: "no", "maybe" or NULL to leave it out.
 * retry_after: 0 = no advice. */
void proxy_write_error(struct buf *out, struct slice id, int code, enum reason reason,
                       const char *server, const char *delivered, usec_t retry_after,
                       const char *message);

#endif
