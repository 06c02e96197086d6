/* What an operator wants of one server: POST /drain, /maint, /resume and /restart.
 *
 * The answer says what is the case once the order was taken: a drain goes on after it, until
 * `running` is 0. Each order may be given again; it changes nothing then, but for a restart, which
 * begins anew. */
#include "base/log.h"
#include "front/admin_priv.h"

static void log_order(const struct admin_request *r, const char *what)
{
    log_notice(LOG_CTX(.server = r->server->name, .message_id = LOG_ID_MODE),
               "%s, asked for by uid %u (pid %d)", what, (unsigned)r->peer->uid, (int)r->peer->pid);
}

static bool refuse_stopping(const struct admin_request *r, struct admin_reply *ret)
{
    bool stopping = proxy_is_stopping(r->view.proxy);
    if (stopping)
        admin_reply_error(ret, 503, "mcpoold is stopping; no server changes its mode any more.");
    return stopping;
}

static void report(const struct admin_request *r, struct admin_reply *ret)
{
    const struct server *s = r->server->server;
    struct server_counts n;
    server_count(s, &n);
    struct admin_json j = {.out = &ret->body};
    admin_json_begin(&j, NULL, '{');
    admin_json_str(&j, "server", r->server->name);
    admin_json_str(&j, "mode", server_mode_name(server_mode(s)));
    admin_json_u64(&j, "running", n.running);
    admin_json_u64(&j, "waiting", n.waiting);
    admin_json_end(&j, '}');
    buf_append_str(&ret->body, "\n");
    ret->content_type = ADMIN_JSON;
}

static void set_mode(const struct admin_request *r, struct admin_reply *ret, enum server_mode mode,
                     const char *what)
{
    if (refuse_stopping(r, ret))
        return;
    log_order(r, what);
    server_set_mode(r->server->server, mode);
    report(r, ret);
}

void admin_answer_drain(const struct admin_request *r, struct admin_reply *ret)
{
    set_mode(r, ret, SERVER_DRAIN, "drain");
}

void admin_answer_maint(const struct admin_request *r, struct admin_reply *ret)
{
    set_mode(r, ret, SERVER_MAINT, "maintenance");
}

void admin_answer_resume(const struct admin_request *r, struct admin_reply *ret)
{
    set_mode(r, ret, SERVER_ACTIVE, "resume");
}

void admin_answer_restart(const struct admin_request *r, struct admin_reply *ret)
{
    struct server *s = r->server->server;
    if (refuse_stopping(r, ret))
        return;
    log_order(r, "restart");
    server_renew(s, s->config, s->sc, true);
    report(r, ret);
}
