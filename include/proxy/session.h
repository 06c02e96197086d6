/* A client session: what one client negotiated, its requests in flight, its subscriptions and log
 * level. It outlives connections of its client and every connection to its server
 * (protocol.md 4.1). */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include "proxy/channel.h"
#include "wire/mcp.h"

struct proxy;
struct route;
struct session;

enum session_transport {
    SESSION_HTTP, /* Streamable HTTP */
    SESSION_SSE,  /* HTTP+SSE of 2024-11-05 */
    SESSION_LINE, /* newline-delimited JSON on a unix socket */
};

/* What the front hangs on a session. */
struct session_ops {
    /* The session ends (DELETE, idle expiry, shutdown, a failed initialize): the front closes its
     * streams and forgets the pointer; called exactly once, the session's memory goes after the
     * loop turn. */
    void (*on_end)(void *front_data);
};

/* A new session that waits for its `initialize` to be submitted.
 * principal: who the client is ("anonymous", "uid:1000", a token's name); copied.
 * 0, or -EMFILE when max_sessions or max_sessions_per_principal is reached, -ESHUTDOWN while
 * stopping, -ENOENT when the route is gone. */
int session_new(struct proxy *proxy, const struct route *route, const char *principal,
                enum session_transport transport, const struct session_ops *ops, void *front_data,
                struct session **ret);

/* Finds a live session by the id that the client presents: same principal and same route required,
 * otherwise it is as unknown as any (NULL). A session whose initialize was not answered yet is not
 * found. */
struct session *session_find(struct proxy *proxy, const struct route *route, const char *principal,
                             struct slice id);

/* The route that the session of this id and principal is on, if that has this name; NULL otherwise.
 * It may be gone, or be an aggregate endpoint that is none any more: its sessions still reach it.
 */
const struct route *session_route_by_id(struct proxy *proxy, const char *principal, struct slice id,
                                        struct slice name);

/* Goes on with a session of an earlier process, or of another one that has the same key, when
 * session_find does not know the id: the id must have been made with this proxy's key, for the same
 * principal and route, not too long ago, and its session must not have been ended by its client or
 * for idleness. The session is as if its initialize had just been answered, with the log level and
 * the subscriptions that it had, as far as those were kept; its client is told that the subscribed
 * resources may have changed.
 * 0; -ENOENT when the id is as unknown as any; the errors of session_new, then the id is good and
 * may be accepted later. */
int session_revive(struct proxy *proxy, const struct route *route, const char *principal,
                   struct slice id, const struct session_ops *ops, void *front_data,
                   struct session **ret);

/* session_revive for any transport. A session of the others than SESSION_HTTP can be revived if it
 * was made to last. */
int session_revive_as(struct proxy *proxy, const struct route *route, const char *principal,
                      struct slice id, enum session_transport transport,
                      const struct session_ops *ops, void *front_data, struct session **ret);

/* Gives a session of SESSION_SSE or SESSION_LINE an id that the next process can revive it by, and
 * has its log level and subscriptions kept. Before its initialize. Its client never sees the id. */
void session_set_lasting(struct session *s);

/* The id that the next process can revive the session by; NULL when it cannot. */
const char *session_lasting_id(const struct session *s);

/* The id of this session is told to nobody: it need not outlive anything. Before its initialize. */
void session_set_private(struct session *s);

/* Ends a session: cancels its calls upstream, releases its place in the pool. Unless the proxy
 * itself is closing, its id is void for good. Idempotent within a turn. */
void session_end(struct session *s);

/* One message of the client. m: from rpc_parse over text->text, kind RPC_REQUEST, RPC_NOTIFICATION,
 * RPC_RESULT or RPC_ERROR (batches are split by the front). Requests: exactly one DELIVER_ANSWER or
 * one silent_end on ch follows, perhaps before this returns. A reference to ch is taken for each
 * pending call. Whatever is wrong with the request is answered there. Notifications and responses:
 * never answered; ch is not used and may be NULL. */
void session_submit(struct session *s, struct channel *ch, struct payload *text,
                    const struct rpc_msg *m);

/* Where messages go that belong to no request: the newest GET stream, the SSE stream or the line
 * connection. The session takes a reference and sends what was waiting; the previous channel is
 * released (the front closes it). NULL: none for now, messages wait in the session's bounded queue.
 */
void session_set_push(struct session *s, struct channel *ch);
struct channel *session_push_channel(const struct session *s);

/* Messages wait that found no push channel: after a second without one they may go out on a POST
 * stream (protocol.md 2.6). Sends them through ch; ch must accept unrelated messages. */
void session_flush_pending(struct session *s, struct channel *ch);
bool session_has_pending(const struct session *s);

/* Calls that are not finished. */
unsigned session_in_flight(const struct session *s);

/* The in-flight call with this raw id, NULL when there is none. */
struct call *session_call(const struct session *s, struct slice id);

/* Refreshes the idle clock: HTTP requests and open streams count as activity. */
void session_touch(struct session *s);
/* While held (an open GET stream) the session never expires. Balanced. */
void session_hold(struct session *s);
void session_release(struct session *s);

/* The id that the client presents; visible ASCII; NUL-terminated. That of a SESSION_HTTP is final
 * when its initialize is answered, not before: it says what was negotiated. */
const char *session_id(const struct session *s);
/* Short handle for the log, no secret. */
const char *session_handle(const struct session *s);
/* Revision negotiated with the client; MCP_VERSION_NONE before initialize was answered. */
enum mcp_version session_version(const struct session *s);
bool session_is_initialized(const struct session *s); /* initialize was answered */
const char *session_principal(const struct session *s);
const struct route *session_route(const struct session *s); /* while the session lives */
void *session_front_data(const struct session *s);

#endif
