/* What clients touch: the listeners of the configuration and every client connection behind them.
 * HTTP (Streamable HTTP of 2025-03-26 and later on /mcp/<server>, HTTP+SSE of 2024-11-05 on
 * /sse/<server>) over TCP and unix sockets; newline-delimited JSON-RPC on unix sockets.
 *
 * Order of a planned stop: front_drain, proxy_stop, then, when that is done, front_finish,
 * then front_free, proxy_free, loop_done. */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include "config/config.h"
#include "io/loop.h"

struct front;
struct inherited;
struct ledger;
struct proxy;

/* Opens every listener: the entries of config->listen, and in config->runtime_dir (which must
 * exist) one unix socket "<server>.sock" per enabled server and "mcp.sock" when the proxy has the
 * aggregate route. Each one is logged at notice level as "listening on http://HOST:PORT" or
 * "listening on unix:PATH", with the port that was really bound. Sockets in `inherited` (NULL =
 * none) are claimed by path or name (io/inherit.h) and used instead of opening one; those called
 * "http" stand in for all TCP entries of config->listen. config is ref'ed; proxy and loop are
 * borrowed until front_free. 0, or -errno of the first listener that could not be opened (logged;
 * the others are closed again). */
int front_new(struct loop *loop, struct proxy *proxy, struct config *config,
              struct inherited *inherited, struct front **ret);

/* How client connections and listening sockets outlive the process: a store of descriptors that
 * come back to the next one by name, and a ledger of what was going on. */
struct front_store {
    struct ledger *ledger; /* front/ledger.h; borrowed */
    /* Has a copy of fd kept under the name. 0, -EAGAIN (later perhaps) or -errno. */
    int (*put)(void *arg, const char *name, int fd);
    /* Has what is kept under the name dropped. */
    void (*remove)(void *arg, const char *name);
    void *arg;
};

#define FRONT_STORE_NAME 48

/* From now on listening sockets and client connections outlive the process. Directly after
 * front_new; store is borrowed until front_free. Connections of an earlier process that are in
 * `inherited` (called "c-...") are claimed, and gone on with in the first turn of the loop: each
 * request that was in flight is answered with one error. */
void front_keep(struct front *f, const struct front_store *store, struct inherited *inherited);

/* Whether front_apply could do it: opens what is new in the configuration's `listen` and for its
 * servers, beside what there is, without accepting yet. 0, or -errno with why (at most why_n bytes)
 * and nothing changed. Must be followed by front_apply or front_unprepare. */
int front_prepare(struct front *f, struct config *config, char *why, size_t why_n);
void front_unprepare(struct front *f);

/* Has the front follow another configuration from now on, after proxy_apply: listeners that are new
 * accept, those that are gone close, without their connections. config is ref'ed in place of the
 * old one. Cannot fail. */
void front_apply(struct front *f, struct config *config);

/* The first half of a planned stop: ends GET streams cleanly after a `retry: 5000` event, and lets
 * every other connection end with its next response. Requests already accepted go on. Inherited
 * listeners close at once: who connects from now on waits in the kernel for the next process. Our
 * own stay open, for nobody else listens there, and a client may need another connection to cancel
 * a call that still runs, or to answer what it asks. With front_keep nothing ends: what comes on
 * connections that are kept, and on listeners, waits for the next process. Idempotent. */
void front_drain(struct front *f);

/* Closes all listeners, too. Idempotent. */
void front_stop_accepting(struct front *f);

/* The second half, when no call is in flight any more: closes every connection, or leaves it to the
 * next process (front_keep), once its output was written, or after linger at the latest. done(arg)
 * is called once, from the loop, when no connection is left. */
void front_finish(struct front *f, usec_t linger, void (*done)(void *), void *arg);

/* Drops everything that is still open. Sessions are not ended: that is the proxy's. Accepts NULL.
 */
void front_free(struct front *f);

struct front_counts {
    size_t http_connections; /* including those that have sent nothing yet */
    size_t line_connections;
    size_t get_streams;   /* GET streams of Streamable HTTP that are open */
    size_t sse_streams;   /* HTTP+SSE streams that are open */
    size_t event_bytes;   /* memory held for replay */
    uint64_t accepted;    /* connections since start */
    uint64_t refused;     /* connections closed at once because of a limit */
    uint64_t slow_closed; /* connections closed because the client read too slowly */
};

void front_counts(const struct front *f, struct front_counts *ret);

/* "http://127.0.0.1:7332" of the first TCP listener, to show to people; NULL when there is none.
 * Borrowed. */
const char *front_http_url(const struct front *f);

#endif
