/* What the sources of this room share. */
#ifndef PROXY_INTERNAL_H
#define PROXY_INTERNAL_H

#include "base/buf.h"
#include "base/deadlines.h"
#include "base/digest.h"
#include "base/env.h"
#include "base/idmap.h"
#include "base/util.h"
#include "keep.h"
#include "proxy/call.h"
#include "proxy/proxy.h"
#include "proxy/route.h"
#include "proxy/session.h"
#include "session_id.h"
#include "upstream/pool.h"
#include "upstream/server.h"

#include <uthash.h>

struct ask;
struct lists;
struct mux;
struct revival;
struct sub;
struct subscriber;

/* ---- log fields ---- */

#define CONN_CTX(c, ...)                                                                           \
    LOG_CTX(.server = (c)->pool->server->sc->name, .slot = (int)(c)->slot, .epoch = (c)->epoch,    \
            __VA_ARGS__)
#define SESSION_CTX(s, ...)                                                                        \
    LOG_CTX(.server = (s)->route->server->sc->name, .session = (s)->handle,                        \
            .principal = (s)->principal->name, __VA_ARGS__)

/* ---- mux: what is in flight on one connection ---- */

/* A request under an upstream id, of a client or mcpool's own. Embedded in its owner. Removed from
 * the mux before either function is called. */
struct uplink {
    uint64_t id; /* 0: not in a mux */
    struct conn *conn;
    /* The server's response; its id span is not yet restored. */
    void (*on_answer)(struct uplink *u, struct payload *text, const struct rpc_msg *m);
    /* The connection ended first. handed_over: the server may have received the request. */
    void (*on_lost)(struct uplink *u, enum reason why, bool handed_over);
    uint64_t mark; /* conn_send's, for handed_over */
    usec_t sent_at;
    uint32_t breaker_epoch; /* the server's when it was sent: its outcome counts under that one */
    bool given_up;          /* reported as unanswered once already; nobody follows it any more */
};

/* Cancelled or timed-out requests that the server may still be working on: while an interactive one
 * is among them, nobody can tell whom an ask is for. */
#define GHOSTS_MAX 32
#define GHOST_LIFE (15 * USEC_PER_SEC)
struct ghost {
    uint64_t id;    /* upstream; 0 = free */
    uint64_t owner; /* affinity.serial of its session */
    usec_t until;
};

/* Change notifications of one kind are passed on at most once in this span, the last one always. */
#define CHANGE_SPAN (1 * USEC_PER_SEC)
enum change { CHANGE_TOOLS, CHANGE_PROMPTS, CHANGE_RESOURCES, CHANGE_COUNT };

/* Elicitations by URL whose completion may still be announced. */
#define ELICITATIONS_MAX 64
struct elicitation {
    char *id; /* raw string token */
    struct session *session;
};

struct mux {
    struct conn *conn;
    struct idmap uplinks; /* by id */
    uint64_t heard;       /* messages of the server */
    struct lists *lists;  /* session sharing: what this slot's client was given */
    uint64_t lost;        /* number of the slot's latest loss, see lists.c; 0: it never was */
    struct ghost *ghosts; /* GHOSTS_MAX of them; NULL: there never was one */
    unsigned ghost_next;
    usec_t crowd_until;       /* until then there may be more ghosts than there was room for */
    LIST_HEAD(, ask) asks;    /* of the server, awaiting the client */
    struct sub *subs;         /* uthash by unescaped URI */
    enum mcp_log_level level; /* what the server was told; MCP_LOG_UNSET = nothing */
    struct uplink level_up;   /* mcpool's own setLevel, at most one under way */
    struct uplink probe_up;   /* mcpool's own ping, at most one under way */
    struct change_state {
        struct mux *mux;
        usec_t last_at;
        struct timer timer;
    } changes[CHANGE_COUNT];
    struct elicitation *elicitations; /* ELICITATIONS_MAX of them; NULL: there never was one */
    unsigned elicitation_next;
};

static inline struct mux *mux_of(const struct conn *c)
{
    return c->user;
}

void mux_init_slot(struct conn *c);
void mux_done_slot(struct conn *c);
/* Gives u an upstream id and enters it. */
void mux_add(struct mux *m, struct uplink *u);
/* Sends a request of mcpool's own as u, with one param, or none when value (raw JSON) is empty. */
void mux_request(struct mux *m, struct uplink *u, const char *method, const char *key,
                 struct slice value);
/* The uplink with this id, removed from the mux; NULL when there is none (late, or never was). */
struct uplink *mux_take(struct mux *m, uint64_t id);
/* Puts heir into the place of u, which leaves the mux. */
void mux_replace(struct mux *m, struct uplink *u, struct uplink *heir);
struct uplink *mux_peek(const struct mux *m, uint64_t id);
/* Takes u out. owner: the affinity whose interactive request stays behind as a ghost; NULL: no
 * ghost. */
void mux_abandon(struct mux *m, struct uplink *u, const struct affinity *owner);
/* Whether an interactive request of another affinity than a may still be running after it was given
 * up. */
bool mux_haunted(const struct mux *m, const struct affinity *a);
void mux_forget_ghosts(struct mux *m);
/* Takes out the oldest uplink, NULL when empty: for the end of a connection. */
struct uplink *mux_take_first(struct mux *m);
/* Walks the uplinks: *pos starts at 0; NULL at the end. The mux must not change meanwhile. */
struct uplink *mux_next(const struct mux *m, size_t *pos);

/* ---- calls ---- */

struct call {
    unsigned refs; /* the session's list; whoever works on it */
    struct session *session;
    LIST_ENTRY(call) link; /* session->calls */
    struct ticket ticket;
    struct uplink up;
    struct channel *channel; /* ref; NULL once finished */
    enum mcp_method method;
    enum call_outcome outcome;
    enum reason reason;
    usec_t retry_after;
    struct payload text; /* the request; borrowed inside session_submit */
    bool kept;           /* text stays: while the call waits, and then if it is small enough to be
                            moved. It lies in … */
    struct blob *hold;   /* … this, or if that is NULL … */
    char *room;          /* … here, in the tail of this allocation; NULL: there is no room */
    unsigned moves;      /* times it went on to another connection, unread */
    unsigned replays;    /* times it was sent again though it may have been received */
    bool under_way;      /* its progress was seen */
    bool server_error;   /* CALL_ANSWERED, with an error */
    bool asked;          /* its server asked something, for it as far as one can tell */
    struct span id_span; /* where the id and the progress token stand in text */
    struct span token_span;
    uint64_t id_hash;   /* 0: nobody has asked yet, see session.c */
    struct slice id;    /* copies, in the tail of this allocation */
    struct slice token; /* n == 0: the client wants no progress */
    struct blob
        *late_progress;    /* came too soon after the one before; goes out when its time has come */
    usec_t progress_until; /* the rate is used up until then; see progress_room_at */
    struct timer progress_timer;
    double progress; /* last value passed on */
    bool progressed;
    usec_t started_at;
    struct deadline deadline;
    unsigned asks;        /* open asks that were put to the client for this call */
    struct span uri_span; /* subscribe, unsubscribe */
    struct span params_span;
    bool is_list;                /* asks for one of the lists of coalesce.c … */
    bool first_page;             /* … and for its first page */
    bool can_follow;             /* a list with nothing but perhaps a cursor: see coalesce.c */
    char cursor[128];            /* its raw token */
    size_t cursor_n;             /* 0: the first page */
    uint64_t heard;              /* mux.heard when it was sent */
    struct call *leader;         /* follows this call's request */
    LIST_HEAD(, call) followers; /* calls that follow this one's */
    LIST_ENTRY(call) follow_link;
    struct sub *sub; /* subscribe: waits for that subscription */
    LIST_ENTRY(call) sub_link;
};

/* A new call in s's list for the request m; takes a reference to ch. */
struct call *call_new(struct session *s, struct channel *ch, const struct payload *text,
                      const struct rpc_msg *m);
struct call *call_ref(struct call *c);
void call_unref(struct call *c);
/* The uplink function of calls; tells them from mcpool's own requests. */
void call_on_answer(struct uplink *u, struct payload *text, const struct rpc_msg *m);
/* Its connection ended, or that of the request it waited for: it goes on elsewhere or fails, and so
 * do its followers. */
void call_lost(struct call *c, enum reason why, bool handed_over);
void call_on_lost(struct uplink *u, enum reason why, bool handed_over);
/* The answer was thrown away unread. */
void call_on_discarded(struct uplink *u, enum reason why);
/* Hands the call to the pool. */
void call_submit(struct call *c);
/* pool_user */
void call_start(struct ticket *t);
void call_refuse(struct ticket *t, enum reason why, usec_t retry_after);
/* Sends the call's request under its own id on its ticket's connection. */
void call_send(struct call *c);

/* Something moved: the budget for its answer starts again, within the hour that a call may live. */
void call_extend(struct call *c);
/* The server has it now: starts the budget for its answer; not again for one that is sent again. */
void call_arm_deadline(struct call *c);
/* It was never received after all. */
void call_disarm_deadline(struct call *c);
/* It was given all its time. */
void call_on_deadline(struct deadline *d);

/* The only place a call ends: takes it out of everything and delivers answer (NULL: nothing is
 * delivered, the outcome is CALL_CANCELLED). A second call is a no-op. */
void call_finish(struct call *c, enum call_outcome outcome, const struct payload *answer,
                 const struct rpc_edits *edits);
/* Ends with an error of mcpool's own. delivered: "no", "maybe" or NULL. */
void call_fail(struct call *c, int code, enum reason why, const char *delivered, usec_t retry_after,
               const char *message);
/* Ends with a result or error that mcpool writes itself on the server's behalf. */
void call_answer(struct call *c, struct slice result_json);
void call_answer_error(struct call *c, int code, const char *message);
/* The client took it back: the server is told, the client gets nothing more. reason: raw JSON
 * string or empty. */
void call_cancel(struct call *c, struct slice reason);
/* Progress arrived: passes it on and extends the deadline. */
void call_on_progress(struct call *c, const struct payload *text, const struct rpc_msg *m);

/* ---- coalesced lists ---- */

/* Finds out whether c, made of m, may follow another call. */
void coalesce_init(struct call *c, struct slice params, const struct rpc_msg *m);
/* An equal list is on its way on the connection where c is to run: c follows it and is not sent. */
bool coalesce_join(struct call *c);
/* Takes one follower off; NULL when there is none. */
struct call *coalesce_take(struct call *leader);
/* c ends: it follows no more, or its first follower takes its place in the mux. */
void coalesce_leave(struct call *c);

/* ---- sessions ---- */

struct principal {
    char *name;
    unsigned sessions, in_flight;
    UT_hash_handle hh;
};

enum session_state {
    SESSION_NEW,     /* no initialize yet */
    SESSION_OPENING, /* initialize is being answered */
    SESSION_OPEN,
    SESSION_ENDED,
};

/* A message that found nobody to take it. */
struct pending {
    STAILQ_ENTRY(pending) link;
    struct blob *text;
    enum mcp_method method;
    struct slice uri; /* resources/updated: inside text; empty otherwise */
};

struct session {
    struct proxy *proxy;
    const struct route *route;
    struct principal *principal;
    enum session_transport transport;
    enum session_state state;
    const struct session_ops *ops;
    void *front_data;
    char id[SESSION_ID_LEN + 1];
    char handle[9];
    bool lasting; /* the id says itself what the session is: it can be revived */
    bool lasts;   /* the id shall be such a one once it is final */
    unsigned char id_hash[KEPT_HASH]; /* lasting: how it is known to the keeper … */
    uint64_t issued;                  /* … and since when, in seconds */
    struct kept *kept;                /* NULL: nothing to be kept so far */
    struct revival *revival;          /* subscriptions wait for a connection to be made on */
    enum mcp_version version;
    unsigned features;        /* what is declared upstream for this client */
    unsigned changes;         /* set of enum change: what it was promised to be told of */
    struct affinity affinity; /* pool NULL before initialize */
    enum mcp_log_level level;
    LIST_HEAD(, call) calls;
    unsigned in_flight;
    struct idmap calls_by_id; /* by id_hash: all of them, or empty while they are few */
    LIST_HEAD(, ask) asks;
    unsigned ask_count;
    uint64_t next_ask;
    LIST_HEAD(, subscriber) subs;
    struct channel *push; /* ref */
    STAILQ_HEAD(, pending) waiting;
    unsigned waiting_count;
    usec_t waiting_since;
    unsigned holds;
    usec_t idle_until; /* when the session ends unless it is touched … */
    struct timer idle; /* … and when that is looked at, not later */
    struct task bury;
    UT_hash_handle hh; /* proxy->sessions by id */
};

/* A new session that has no id yet: session_set_id follows. The errors of session_new. */
int session_make(struct proxy *proxy, const struct route *route, const char *principal,
                 enum session_transport transport, const struct session_ops *ops, void *front_data,
                 struct session **ret);
/* Gives the session its id, by which it is found from now on. */
void session_set_id(struct session *s, struct slice id);
/* The session that has this id, whoever asks and in whatever state; NULL: none. */
struct session *session_of_id(struct proxy *p, struct slice id);
/* The client's features and revision are known: gives the session the id that says so, where ids
 * can outlive the process. features: those that the client declared. */
void session_mint_id(struct session *s, unsigned features);
/* A call begins, and ends. */
void session_enter_call(struct session *s, struct call *c);
void session_leave_call(struct session *s, struct call *c);
/* Whether another call of its session has the same id. */
bool session_has_twin(struct call *c);
/* Binds the session to the pool that a client of these features is to have. */
void session_join_pool(struct session *s, unsigned features);

/* ---- what outlives the process ---- */

/* The session has changed so. No-ops for sessions that do not outlive the process. */
void session_keep_level(struct session *s);
void session_keep_subscribed(struct session *s, struct slice uri);
/* Whether it was subscribed, as far as the next process is concerned. */
bool session_keep_unsubscribed(struct session *s, struct slice uri);
/* It ends for good, not with the process. */
void session_keep_ended(struct session *s);
/* Ends what is being done to make the session's subscriptions again. */
void revival_end(struct session *s);

static inline struct session *session_of(struct affinity *a)
{
    return container_of(a, struct session, affinity);
}

static inline struct server *session_server(const struct session *s)
{
    return s->route->server;
}

/* Sends or queues a message that belongs to no request. uri: see struct pending. */
void session_push(struct session *s, enum delivery kind, struct payload *text,
                  const struct rpc_edits *edits, enum mcp_method method);
/* Answers the client's initialize: negotiates, finds the pool, waits for the server if it must. */
void session_initialize(struct session *s, struct call *c, struct slice text,
                        const struct rpc_msg *m);
/* The server is known: composes the InitializeResult. */
void session_complete_initialize(struct call *c);
void session_set_level(struct session *s, struct call *c, struct slice text,
                       const struct rpc_msg *m);
/* Frees the session's claim on its pool's log level. */
void session_drop_level(struct session *s);
/* The level that the session had in an earlier process. */
void session_restore_level(struct session *s, enum mcp_log_level level);
/* Tells every connection of p the most verbose level that is asked for. */
void levels_apply(struct pool *p);
void levels_apply_conn(struct conn *c);
void levels_init_slot(struct mux *m);

/* ---- signs of life ---- */

/* pool_user.probe: sends a ping. */
void probe_send(struct conn *c);
void probe_init_slot(struct mux *m);

/* ---- asks: requests of a server to a client (protocol.md 1.7) ---- */

struct ask {
    LIST_ENTRY(ask) session_link;
    LIST_ENTRY(ask) conn_link;
    struct session *session;
    struct conn *conn;
    struct call *call; /* the call it was attributed to; NULL: none in particular */
    enum mcp_method method;
    uint64_t id;     /* what the client sees */
    char *server_id; /* raw token */
    char *token;     /* raw progress token of the server; NULL: none */
    struct timer deadline;
};

void ask_on_request(struct conn *c, struct payload *text, const struct rpc_msg *m);
/* The client answered. */
void ask_on_response(struct session *s, struct payload *text, const struct rpc_msg *m);
void ask_on_client_progress(struct session *s, struct payload *text, const struct rpc_msg *m);
/* The server took an ask back. */
void ask_on_server_cancelled(struct conn *c, struct payload *text, const struct rpc_msg *m);
/* The call / session / connection ended: what is open is refused or cancelled. */
void ask_end_of_call(struct call *c);
void ask_end_of_session(struct session *s);
void ask_end_of_conn(struct conn *c);

/* ---- notifications of servers ---- */

void notify_on_message(struct conn *c, struct payload *text, const struct rpc_msg *m);
void notify_forget_session(struct session *s);
void notify_remember_elicitation(struct mux *mux, struct slice raw_id, struct session *s);
void notify_forget_elicitations(struct mux *mux);
void notify_change_due(void *arg);
/* Tells the sessions that live on c, if they were promised to be told, and not too often. */
void notify_lists_changed(struct conn *c, enum change what);
/* What this card promises of changes: set of enum change. */
unsigned notify_promises(const struct card *card);

/* ---- subscriptions ---- */

/* A subscribe or unsubscribe call whose turn has come. */
void sub_start(struct call *c);
void sub_on_updated(struct conn *c, struct payload *text, const struct rpc_msg *m);
void sub_replay(struct conn *c);
/* pool_user.move_keepers: the subscriptions are made again at `to`, and their clients hear that the
 * resources may have changed meanwhile. */
void sub_move(struct conn *from, struct conn *to);
void sub_end_of_session(struct session *s);
void sub_end_of_conn(
    struct conn *c); /* pending ones fail their waiters; the entries stay for replay */
void sub_forget_all(struct mux *m);
/* Subscribes s on c, as it was in an earlier process; once the server has it, or when it does
 * already, the client is told that the resource may have changed. token: the URI as a JSON string.
 */
void sub_restore(struct session *s, struct conn *c, struct slice token);
void sub_leave(struct call *c); /* a waiting subscribe call ends */
/* mcpool's own request that the calls waiting for sub wait for; its id is 0 when none is out. */
struct uplink *sub_uplink(struct sub *sub);
void sub_release(struct sub *sub); /* nobody wants it any more: tells the server, frees it */

/* ---- older clients ---- */

/* Whether the server's answer to `method` must be reworded for a client of that revision; then the
 * whole message is appended to out, its id unchanged. */
bool downgrade_answer(enum mcp_method method, enum mcp_version version, struct slice text,
                      const struct rpc_msg *m, struct buf *out);

/* ---- what tools/list said ---- */

/* Longer answers to lists are passed on unlooked at: that would hold up everybody else. */
#define LIST_RESULT_MAX ((size_t)1024 * 1024)

/* An answer to tools/list passed. */
void tools_learn(struct pool *p, struct slice result, bool first_page);
void tools_forget(struct pool *p);
/* Whether the tool of this name (a raw token) is known to be read-only or idempotent. */
bool tools_are_harmless(const struct pool *p, struct slice raw_name);

/* A first page of tools/list passed, and this is its digest: notices when it is another than
 * before. */
void pin_tools(struct conn *c, const unsigned char digest[DIGEST_SIZE]);

/* ---- lists over a restart ---- */

/* The memory of what clients were given, for the pool, or for one slot of it. */
struct lists *lists_new(struct pool *p, struct conn *only);
void lists_free(struct lists *l); /* accepts NULL */
/* call, which asked for a list, is answered with this result. */
void lists_on_answer(struct conn *c, const struct call *call, struct slice result);
/* The slot is ready: compares, if it was lost before. After level and subscriptions. */
void lists_on_ready(struct conn *c);
/* Before the uplinks of the slot are told. */
void lists_on_down(struct conn *c, enum reason why);
/* pool_user.on_renew: what clients were given is compared with the next connection that is made. */
void lists_on_renew(struct pool *p);

/* session_idle_timeout is another than before. */
void sessions_rearm_idle(struct proxy *p);

/* ---- the proxy ---- */

struct pool_state {
    unsigned level_count[MCP_LOG_UNSET]; /* sessions that asked for each level */
    bool tools_pinned;
    unsigned char tools_digest[DIGEST_SIZE]; /* of the latest first page of tools/list */
    struct lists *lists;                     /* NULL with session sharing: each slot has its own */
    struct card *card;                       /* ref; of the latest connection that became ready */
    struct tool *tools;                      /* uthash by name: the harmless ones; see tools.c */
    size_t tools_bytes;
};

/* A route with what the proxy knows of it. The last reference to it frees the server. */
struct endpoint {
    struct route route; /* the name is owned */
    struct proxy *proxy;
    unsigned refs;
    struct endpoint *own; /* the one that is named like the server: itself or, of the aggregate
                             endpoint, that one, of which it holds a reference */
    /* The rest is of named ones only. */
    unsigned in_flight;                                 /* calls of all sessions of the server */
    struct deadlines call_timeouts, operation_timeouts; /* of these calls */
    bool gone;    /* not in the configuration any more: in proxy->leaving */
    bool closing; /* server_stop was called … */
    bool stopped; /* … and has come to its end */
    LIST_ENTRY(endpoint) link;
    UT_hash_handle hh;  /* in proxy->by_name, while it is in proxy->routes */
    struct timer drain; /* gone: when what still runs is ended */
    struct task check;  /* gone: perhaps nothing runs any more */
};

static inline struct endpoint *endpoint_of(const struct route *r)
{
    return container_of((struct route *)r, struct endpoint, route);
}

struct proxy {
    struct env *env;
    struct config *config;
    const struct transport_ops *transport; /* of servers with transport stdio */
    void *transport_arg;
    struct endpoint **routes; /* named ones, in the order of the configuration */
    size_t route_count;
    struct endpoint *by_name;      /* the same ones */
    struct endpoint *aggregate;    /* NULL: there is none */
    LIST_HEAD(, endpoint) leaving; /* of servers that were removed, until these are stopped */
    struct pace pace;              /* of the starts of all servers */
    struct session *sessions;
    struct principal *principals;
    bool has_key; /* session ids outlive the process */
    unsigned char session_key[SESSION_KEY_SIZE];
    struct keeper keeper;
    bool stopping, closing;
    unsigned servers_left;
    void (*done)(void *);
    void *done_arg;
    struct timer drain;
    struct task check_drained;
    struct task none_left;   /* stopping, and no server was left to stop */
    struct metrics *metrics; /* those of the process; each server has its own */
};

/* A call or a session has ended, while the proxy perhaps waits for the last. */
static inline void proxy_note_progress(struct proxy *p)
{
    if (p->stopping && !p->closing)
        env_defer(p->env, &p->check_drained);
}

/* A call of the session begins. */
static inline void proxy_note_call(struct session *s)
{
    endpoint_of(s->route)->own->in_flight++;
}

/* It, or the session itself, has ended. */
static inline void proxy_note_call_end(struct session *s)
{
    struct endpoint *e = endpoint_of(s->route)->own;
    if (--e->in_flight == 0 && e->gone)
        env_defer(s->proxy->env, &e->check);
    proxy_note_progress(s->proxy);
}

extern const struct pool_user proxy_pool_user;

/* ---- routes (routes.c) ---- */

/* Makes the routes of p->config; p has none yet. */
void routes_init(struct proxy *p);
/* Everything is stopped. */
void routes_done(struct proxy *p);
/* Stops the server and, once its calls were told, ends its sessions. endpoint.stopped follows. now:
 * without the polite ladder; also when it is stopping already. */
void endpoint_close(struct endpoint *e, bool now);
/* A server has stopped while the proxy is closing. */
void proxy_note_stopped(struct proxy *p);

static inline struct proxy *proxy_of(const struct conn *c)
{
    return c->pool->server->user_arg;
}

#endif
