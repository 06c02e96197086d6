/* The admin interface as a whole: its doors and its end. Through the socket everything can be done;
 * the port, if there is one, only shows what is no secret. It stands apart from the client
 * connections of the front on purpose: it has a listener, a limit and a connection object of its
 * own, so that an operator gets in when clients have used up everything that they may. */
#include "front/admin.h"

#include "base/log.h"
#include "base/util.h"
#include "front/admin_priv.h"
#include "io/inherit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_accept(void *arg, int fd, const struct peer *peer)
{
    admin_conn_start(arg, fd, peer);
}

/* On the inherited socket, if there is one. */
static int listen_at(struct admin *a, struct inherited *in, const struct listen_options *opt)
{
    const char *path = a->config->admin_path;
    int fd = inherit_claim_path(in, path);
    if (fd < 0)
        fd = inherit_claim_unix(in, "admin.sock");
    if (fd < 0)
        fd = inherit_claim_unix(in, "admin");
    if (fd < 0)
        return listener_open_unix(a->loop, path, opt, on_accept, a, &a->listener);
    int r = listener_open_fd(a->loop, fd, opt, on_accept, a, &a->listener);
    if (r < 0)
        close(fd);
    return r;
}

/* security.md A08: what was really bound is what counts. */
static int open_port(struct admin *a)
{
    const struct config_listen *where = a->config->admin_listen;
    const struct listen_options opt = {.max_conns = 2 * ADMIN_PORT_CONNECTIONS_MAX};
    if (!where)
        return 0;
    int r = listener_open_tcp(a->loop, where->host_port, &opt, on_accept, a, &a->port);
    if (r == 0 && !listener_is_local(a->port))
        r = -EADDRNOTAVAIL;
    if (r < 0)
        log_error(LOG_CTX(.message_id = LOG_ID_NOT_LISTENING), "cannot open the admin port %s: %s",
                  where->text, strerror(-r));
    else
        log_notice(LOG_CTX(.message_id = LOG_ID_LISTENING),
                   "admin interface, read-only, on http://%s", listener_address(a->port));
    return r;
}

int admin_new(struct loop *loop, struct proxy *proxy, struct config *config,
              struct inherited *inherited, struct admin **ret)
{
    const struct listen_options opt = {.mode = 0600, .max_conns = 2 * ADMIN_CONNECTIONS_MAX};
    struct admin *a = xcalloc(1, sizeof(*a));
    a->loop = loop;
    a->proxy = proxy;
    a->config = config_ref(config);
    a->started_at = loop->env.now;
    TAILQ_INIT(&a->conns);
    a->feed = admin_feed_new(&loop->env);
    int r = listen_at(a, inherited, &opt);
    if (r < 0) {
        log_error(LOG_CTX(.message_id = LOG_ID_NOT_LISTENING),
                  "cannot open the admin socket %s: %s", config->admin_path, strerror(-r));
        admin_free(a);
        return r;
    }
    log_notice(LOG_CTX(.message_id = LOG_ID_LISTENING), "admin interface on %s",
               listener_address(a->listener));
    r = open_port(a);
    if (r < 0) {
        admin_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void admin_set_front(struct admin *a, const struct front *front)
{
    a->front = front;
}

void admin_set_events(struct admin *a, struct event_ring *events)
{
    a->events = events;
    admin_feed_follow(a->feed, events);
}

void admin_set_ops(struct admin *a, const struct admin_ops *ops)
{
    a->ops = *ops;
}

/* The socket itself stays: its path is of those values that only a restart changes. */
void admin_apply(struct admin *a, struct config *config)
{
    struct config *old = a->config;
    a->config = config_ref(config);
    config_unref(old);
}

void admin_free(struct admin *a)
{
    struct admin_conn *c;
    if (!a)
        return;
    while ((c = TAILQ_FIRST(&a->conns)))
        admin_conn_close(c);
    listener_free(a->listener);
    listener_free(a->port);
    admin_feed_free(a->feed);
    buf_done(&a->scratch);
    config_unref(a->config);
    free(a);
}
