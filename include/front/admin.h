/* The admin interface: status, health, metrics and recovery by force, as HTTP over the unix socket
 * config->admin_path. The socket has mode 0600, and each peer must be root or the user that runs
 * the daemon. Where config->admin_listen names a port of the loopback interface, everybody on this
 * machine can read there what holds nothing that servers say (marked below), and change nothing.
 *
 *     GET  /                       what there is (port)
 *     GET  /status[?server=NAME]   JSON: all servers, or one (port)
 *     POST /recover[?server=NAME]  recovery by force, of all servers or one; JSON: what was done
 *     POST /drain?server=NAME      lets it finish: running calls end, new ones wait in line
 *     POST /maint?server=NAME      the same, but new calls are refused
 *     POST /resume?server=NAME     back to normal
 *     POST /restart?server=NAME    replaces its connections, each when its calls have ended
 *     POST /reload[?dry_run=1]     reads the configuration again; JSON: what is different now
 *     GET  /explain?server=NAME    JSON: what is the matter with it, and what happens next
 *     GET  /logs?server=NAME       JSON: the last lines that its processes wrote for people
 *     GET  /log-level              JSON; POST /log-level?level=LEVEL changes it
 *     GET  /events                 events as they happen: the status (port) and the log
 *     GET  /metrics                OpenMetrics 1.0, or Prometheus text if asked for (port)
 *     GET  /healthz                200 while the process answers (port)
 *     GET  /readyz                 200 once each server's first attempt has come to an end (port)
 *
 * HEAD works wherever GET does. No request takes a body. Errors are {"error": "a sentence"}.
 * Pages of other origins in a browser of this machine get 403. */
#ifndef FRONT_ADMIN_H
#define FRONT_ADMIN_H

#include "base/buf.h"
#include "config/config.h"
#include "io/loop.h"

struct admin;
struct front;
struct inherited;
struct proxy;

/* What the daemon does for the admin interface. */
struct admin_ops {
    /* Reads the configuration file again and, unless dry_run, acts on it. Appends a JSON document
     * (the plan) to out. 0; -EINVAL when the file is at fault and -errno otherwise, out then being
     * the document that says why; the old configuration stays in force. */
    int (*reload)(void *arg, bool dry_run, struct buf *out);
    void *arg;
};

/* Opens the socket, or takes the one in `inherited` (NULL = none) that has its path or is called
 * "admin". config is ref'ed; loop and proxy are borrowed until admin_free. 0, or -errno (logged).
 */
int admin_new(struct loop *loop, struct proxy *proxy, struct config *config,
              struct inherited *inherited, struct admin **ret);

/* Before the first request. Without it, what the daemon would do is answered with 501. */
void admin_set_ops(struct admin *a, const struct admin_ops *ops);

/* Whose connections status and metrics count; borrowed until admin_free. */
void admin_set_front(struct admin *a, const struct front *front);

/* Where it finds what happened. Before the first request; without it there is no history. Borrowed
 * until admin_free. */
struct event_ring;
void admin_set_events(struct admin *a, struct event_ring *events);

/* Has the interface follow another configuration from now on, after proxy_apply. config is ref'ed
 * in place of the old one. */
void admin_apply(struct admin *a, struct config *config);

/* Whether the first attempt to reach each server has come to an end, whatever came of it. A server
 * of which no connection is kept (min_connections 0) is tried when it is first wanted, and not
 * waited for. */
bool admin_all_tried(const struct proxy *proxy);

/* Closes the socket and every connection, at once: the interface works to the very end of a planned
 * stop. Before proxy_free. Accepts NULL. */
void admin_free(struct admin *a);

#endif
