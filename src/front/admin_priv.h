/* What the modules of the admin interface share. */
#ifndef FRONT_ADMIN_PRIV_H
#define FRONT_ADMIN_PRIV_H

#include "front/admin.h"
#include "front/admin_doc.h"
#include "front/admin_events.h"
#include "front/event_ring.h"
#include "io/listen.h"
#include "wire/http1.h"

#include <sys/queue.h>

/* Connections that are served at the same time. As many again may be under way to be refused;
 * further ones wait in the kernel. */
#define ADMIN_CONNECTIONS_MAX 32

/* The same for the port, which every user of this machine can connect to, apart: they take nothing
 * from the socket. */
#define ADMIN_PORT_CONNECTIONS_MAX 16

/* Responses of which the whole text is held in memory while they are read: /metrics. The last ones
 * are for the socket. */
#define ADMIN_WHOLE_MAX      4
#define ADMIN_PORT_WHOLE_MAX 2

struct admin_conn;

struct admin {
    struct loop *loop;
    struct proxy *proxy;
    const struct front *front; /* NULL: none was named */
    struct config *config;     /* one reference */
    struct admin_ops ops;      /* members NULL before admin_set_ops */
    struct listener *listener; /* the socket */
    struct listener *port;     /* config->admin_listen; NULL = none */
    struct event_ring *events; /* borrowed; NULL: none are kept */
    usec_t started_at;
    usec_t wall_offset; /* wall clock - monotonic clock, since the wall clock was last set */
    TAILQ_HEAD(admin_conns, admin_conn) conns;
    unsigned connections; /* of the socket, in conns */
    unsigned port_connections;
    uint64_t strangers;         /* refused since start */
    usec_t strangers_logged_at; /* 0: never */
    unsigned whole;             /* of these, with a long text held */
    struct admin_feed *feed;    /* what happens, for those who watch */
    struct buf scratch;         /* of the writers: empty between calls */
};

/* The answer to a request: a text, or a document that is written while it is read. */
struct admin_reply {
    unsigned status;
    const char *content_type;
    const char *allow; /* the Allow field; NULL = none */
    const char *vary;  /* the Vary field; NULL = none */
    const char *csp;   /* the Content-Security-Policy field; NULL = none */
    struct buf body;
    struct admin_doc *doc; /* NULL: body */
    bool events;           /* in place of both: GET /events */
    bool with_log;         /* of it */
    char last_id[48];      /* of it: Last-Event-ID; "" when there is none or it is not ours */
};

/* ---- requests (admin_request.c) ---- */

/* A request that has an endpoint, with what its query says. */
struct admin_request {
    struct admin *admin;
    const struct peer *peer;
    const struct http1_headers *headers;
    const struct route *server; /* ?server=NAME; NULL: all */
    struct slice level;         /* ?level=NAME; empty: none */
    bool dry_run;               /* ?dry_run=1 */
    struct admin_view view;
};

/* What answers at an endpoint. */
typedef void (*admin_answer)(const struct admin_request *r, struct admin_reply *ret);

#define ADMIN_JSON "application/json"
#define ADMIN_TEXT "text/plain; charset=utf-8"

/* What documents of this moment tell of, to somebody who may change things. */
struct admin_view admin_view_now(struct admin *a);

/* Acts on a request and fills in *ret, of which body and doc become the caller's. head is borrowed.
 */
void admin_request(struct admin *a, const struct http1_request *head, const struct peer *peer,
                   struct admin_reply *ret);

/* An error of a status: a sentence as JSON. */
void admin_reply_error(struct admin_reply *ret, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether a media type stands in Accept, by its own name: a wildcard names none. */
bool admin_accepts(const struct http1_headers *h, const char *type);

/* Whether a peer may use the interface: on the socket root and the user that the daemon runs as, on
 * the port whoever is on this machine. */
bool admin_allows(const struct peer *peer);

/* Whether a request may come from where it says: false for a page of another origin in somebody's
 * browser, be it that it posts here or that it found a name of its own for this machine. port:
 * where it came in, NULL for the socket. */
bool admin_origin_ok(const struct http1_request *head, const struct config_listen *port);

/* ---- modes (admin_modes.c) ---- */

/* POST /drain, /maint, /resume, /restart; r->server is never NULL. */
void admin_answer_drain(const struct admin_request *r, struct admin_reply *ret);
void admin_answer_maint(const struct admin_request *r, struct admin_reply *ret);
void admin_answer_resume(const struct admin_request *r, struct admin_reply *ret);
void admin_answer_restart(const struct admin_request *r, struct admin_reply *ret);

/* ---- the status page (admin_page.c) ---- */

/* Fills in the page for browsers. */
void admin_page(struct admin_reply *ret);

/* POST /reload (admin_reload.c). */
void admin_answer_reload(const struct admin_request *r, struct admin_reply *ret);

/* ---- metrics (admin_metrics.c) ---- */

/* Brings the gauges up to date and appends all metrics as text. */
void admin_metrics(const struct admin_view *view, enum metrics_format format, struct buf *out);

/* ---- explain (admin_explain.c) ---- */

/* Appends what is the matter with s, what happens next and what happened, as a JSON object. events:
 * NULL = none. */
void admin_explain(const struct admin_view *view, const struct server *s,
                   const struct event_ring *events, struct buf *out);
void admin_answer_explain(const struct admin_request *r, struct admin_reply *ret);

/* The members of an event: time, level, slot, reason, message. */
void admin_json_event(struct admin_json *j, const struct event *e);

/* ---- logs (admin_logs.c) ---- */

/* Appends the last lines of the processes of s as a JSON object. */
void admin_logs(const struct admin_view *view, const struct server *s, struct buf *out);
void admin_answer_logs(const struct admin_request *r, struct admin_reply *ret);

/* ---- log level (admin_loglevel.c) ---- */

void admin_answer_log_level(const struct admin_request *r, struct admin_reply *ret);
void admin_answer_set_log_level(const struct admin_request *r, struct admin_reply *ret);

/* ---- connections (admin_conn.c) ---- */

/* Serves an accepted descriptor, which it owns from now on. */
void admin_conn_start(struct admin *a, int fd, const struct peer *peer);

/* Closes the connection that stands first in a->conns, at once. */
void admin_conn_close(struct admin_conn *c);

#endif
