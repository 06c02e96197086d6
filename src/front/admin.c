/* The admin interface as a whole: its socket and its end. It stands apart from the client
 * connections of the front on purpose: it has a listener, a limit and a connection object of its
 * own, so that an operator gets in when clients have used up everything that they may. */
#include "front/admin.h"

#include "base/log.h"
#include "base/util.h"
#include "front/admin_priv.h"

#include <stdlib.h>
#include <string.h>

static void on_accept(void *arg, int fd, const struct peer *peer)
{
    admin_conn_start(arg, fd, peer);
}

int admin_new(struct loop *loop, struct proxy *proxy, struct config *config, struct admin **ret)
{
    const struct listen_options opt = {.mode = 0600, .max_conns = 2 * ADMIN_CONNECTIONS_MAX};
    struct admin *a = xcalloc(1, sizeof(*a));
    a->loop = loop;
    a->proxy = proxy;
    a->config = config_ref(config);
    a->started_at = loop->env.now;
    TAILQ_INIT(&a->conns);
    int r = listener_open_unix(loop, config->admin_path, &opt, on_accept, a, &a->listener);
    if (r < 0) {
        log_error(NULL, "cannot open the admin socket %s: %s", config->admin_path, strerror(-r));
        admin_free(a);
        return r;
    }
    log_notice(NULL, "admin interface on %s", listener_address(a->listener));
    *ret = a;
    return 0;
}

void admin_set_front(struct admin *a, const struct front *front)
{
    a->front = front;
}

void admin_free(struct admin *a)
{
    struct admin_conn *c;
    if (!a)
        return;
    while ((c = TAILQ_FIRST(&a->conns)))
        admin_conn_close(c);
    listener_free(a->listener);
    buf_done(&a->scratch);
    config_unref(a->config);
    free(a);
}
