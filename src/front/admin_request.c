/* Requests of the admin interface: which endpoint, which method, which server.
 *
 * Through the port only those rows can be read that say so; a row that does not say it is for the
 * socket alone.
 *
 * /recover without a server means all of them, so whatever might have been meant to name one and
 * does not (a misspelt parameter, an empty name, a body) is refused, not ignored. */
#include "base/log.h"
#include "base/util.h"
#include "front/admin_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What the query of an endpoint may hold. */
enum {
    PARAM_SERVER = 1 << 0,     /* server=NAME; without it, all */
    PARAM_ONE_SERVER = 1 << 1, /* server=NAME, and it must be there */
    PARAM_DRY_RUN = 1 << 2,    /* dry_run=1 */
    PARAM_LEVEL = 1 << 3,      /* level=NAME, and it must be there */
    /* Not a parameter: shown on the port, to every user of this machine, since it holds nothing
     * that servers say. */
    ON_PORT = 1 << 8,
};

struct endpoint {
    const char *path;
    const char *allow; /* methods */
    bool posts;        /* POST, else GET and HEAD */
    unsigned params;   /* PARAM_*, ON_PORT */
    admin_answer answer;
    const char *help;
};

bool admin_allows(const struct peer *peer)
{
    return peer->is_unix ? peer->uid == 0 || peer->uid == geteuid() : peer->is_loopback;
}

void admin_reply_error(struct admin_reply *ret, unsigned status, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    struct admin_json j = {.out = &ret->body};
    admin_json_begin(&j, NULL, '{');
    admin_json_str(&j, "error", text);
    admin_json_end(&j, '}');
    buf_append_str(&ret->body, "\n");
    ret->status = status;
    ret->content_type = ADMIN_JSON;
}

bool admin_accepts(const struct http1_headers *h, const char *type)
{
    struct slice element;
    for (unsigned i = 0; i < h->count; i++) {
        if (!slice_is_nocase(h->item[i].name, "accept"))
            continue;
        struct slice rest = h->item[i].value;
        while (http1_list_next(&rest, &element))
            if (slice_is_nocase(http1_media_type(element), type))
                return true;
    }
    return false;
}

static void set_doc(const struct admin_request *r, struct admin_reply *ret,
                    enum admin_doc_kind kind, struct recover_result *results)
{
    ret->content_type = ADMIN_JSON;
    ret->doc = admin_doc_new(kind, &r->view, r->server, results);
}

/* ---- endpoints ---- */

static void answer_status(const struct admin_request *r, struct admin_reply *ret)
{
    set_doc(r, ret, ADMIN_DOC_STATUS, NULL);
}

static void answer_ready(const struct admin_request *r, struct admin_reply *ret)
{
    bool ready = admin_all_tried(r->view.proxy) && !proxy_is_stopping(r->view.proxy);
    ret->status = ready ? 200 : 503;
    set_doc(r, ret, ADMIN_DOC_READY, NULL);
}

static void answer_health(const struct admin_request *r, struct admin_reply *ret)
{
    (void)r;
    ret->content_type = ADMIN_TEXT;
    buf_append_str(&ret->body, "ok\n");
}

/* OpenMetrics, unless the client asks for plain text and does not know it: that are scrapers from
 * before it, and promtool check metrics. */
static enum metrics_format metrics_format(const struct http1_headers *h)
{
    return admin_accepts(h, "text/plain") && !admin_accepts(h, "application/openmetrics-text")
               ? METRICS_PROMETHEUS
               : METRICS_OPENMETRICS;
}

static void answer_metrics(const struct admin_request *r, struct admin_reply *ret)
{
    if (r->admin->whole >= (r->peer->is_unix ? ADMIN_WHOLE_MAX : ADMIN_PORT_WHOLE_MAX)) {
        admin_reply_error(ret, 503,
                          "%u others are reading the metrics; read them one after the other",
                          r->admin->whole);
        return;
    }
    enum metrics_format format = metrics_format(r->headers);
    ret->content_type = metrics_content_type(format);
    ret->vary = "Accept";
    admin_metrics(&r->view, format, &ret->body);
}

static void answer_events(const struct admin_request *r, struct admin_reply *ret)
{
    ret->content_type = "text/event-stream";
    ret->events = true;
    ret->with_log = r->peer->is_unix; /* it holds what servers say */
    struct slice id = http1_header(r->headers, "Last-Event-ID");
    if (id.n < sizeof(ret->last_id))
        snprintf(ret->last_id, sizeof(ret->last_id), "%.*s", (int)id.n, id.p ? id.p : "");
}

/* Everything is done before the first byte is answered: a client that does not read its answer must
 * not keep servers from being recovered. */
static void answer_recover(const struct admin_request *r, struct admin_reply *ret)
{
    const struct proxy *proxy = r->view.proxy;
    const struct route *route;
    size_t n = 0;
    if (proxy_is_stopping(proxy)) {
        admin_reply_error(ret, 503, "mcpoold is stopping and brings nothing back any more.");
        return;
    }
    log_notice(
        LOG_CTX(.server = r->server ? r->server->name : NULL, .message_id = LOG_ID_FORCED_RECOVERY),
        "recovery of %s by force, asked for by uid %u (pid %d)",
        r->server ? "this server" : "all servers", (unsigned)r->peer->uid, (int)r->peer->pid);
    while (route_at(proxy, n))
        n++;
    struct recover_result *results = xcalloc(n + 1, sizeof(*results));
    if (r->server) {
        server_recover(r->server->server, RECOVER_BY_OPERATOR, &results[0]);
    } else {
        for (size_t i = 0; (route = route_at(proxy, i)); i++)
            server_recover(route->server, RECOVER_BY_OPERATOR, &results[i]);
    }
    set_doc(r, ret, ADMIN_DOC_RECOVERED, results);
}

static void answer_index(const struct admin_request *r, struct admin_reply *ret);

static const struct endpoint endpoints[] = {
    {"/", "GET, HEAD", false, ON_PORT, answer_index, "this page; for browsers, the status page"},
    {"/status", "GET, HEAD", false, ON_PORT | PARAM_SERVER, answer_status,
     "all servers, or one, as JSON"},
    {"/events", "GET, HEAD", false, ON_PORT, answer_events,
     "server-sent events: the status about every second, and the log"},
    {"/recover", "POST", true, PARAM_SERVER, answer_recover,
     "recovers all servers, or one, by force"},
    {"/drain", "POST", true, PARAM_ONE_SERVER, admin_answer_drain,
     "lets a server finish; new calls wait in line"},
    {"/maint", "POST", true, PARAM_ONE_SERVER, admin_answer_maint,
     "the same, but new calls are refused"},
    {"/resume", "POST", true, PARAM_ONE_SERVER, admin_answer_resume, "ends a drain or maintenance"},
    {"/restart", "POST", true, PARAM_ONE_SERVER, admin_answer_restart,
     "replaces a server's connections without losing calls"},
    {"/reload", "POST", true, PARAM_DRY_RUN, admin_answer_reload,
     "reads the configuration again, or only says what would become of it"},
    {"/explain", "GET, HEAD", false, PARAM_ONE_SERVER, admin_answer_explain,
     "what is the matter with it, what happens next, what happened"},
    {"/logs", "GET, HEAD", false, PARAM_ONE_SERVER, admin_answer_logs,
     "the last lines that its processes wrote"},
    {"/log-level", "GET, HEAD, POST", false, 0, admin_answer_log_level, "the level of the log"},
    {"/log-level", "GET, HEAD, POST", true, PARAM_LEVEL, admin_answer_set_log_level,
     "another level, until the process ends"},
    {"/metrics", "GET, HEAD", false, ON_PORT, answer_metrics, "OpenMetrics, or Prometheus text"},
    {"/healthz", "GET, HEAD", false, ON_PORT, answer_health, "200 while the process answers"},
    {"/readyz", "GET, HEAD", false, ON_PORT, answer_ready,
     "200 once every server was tried, whatever came of it"},
};

static const char *params_text(unsigned params)
{
    if (params & PARAM_SERVER)
        return "[?server=NAME]";
    if (params & PARAM_ONE_SERVER)
        return "?server=NAME";
    if (params & PARAM_DRY_RUN)
        return "[?dry_run=1]";
    return params & PARAM_LEVEL ? "?level=LEVEL" : "";
}

static void answer_index(const struct admin_request *r, struct admin_reply *ret)
{
    ret->vary = "Accept";
    if (admin_accepts(r->headers, "text/html")) {
        admin_page(ret);
        return;
    }
    ret->content_type = ADMIN_TEXT;
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        const struct endpoint *e = &endpoints[i];
        if (!r->peer->is_unix && !(e->params & ON_PORT))
            continue;
        buf_appendf(&ret->body, "%-4s %s%s %s\n", e->posts ? "POST" : "GET", e->path,
                    params_text(e->params), e->help);
    }
}

/* ---- from the head to the endpoint ---- */

/* That of the method where a path has several, else any of the path. */
static const struct endpoint *find_endpoint(struct slice path, bool posts)
{
    const struct endpoint *found = NULL;
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++)
        if (slice_is(path, endpoints[i].path) && (!found || endpoints[i].posts == posts))
            found = &endpoints[i];
    return found;
}

static const struct config_listen *port_of(const struct admin *a)
{
    static const struct config_listen unnamed = {.host = "localhost"};
    return a->config->admin_listen ? a->config->admin_listen : &unnamed;
}

/* Whether the endpoint can be had through the port like this; false: the answer was given. */
static bool port_allows(const struct admin *a, const struct endpoint *e, bool gets,
                        struct admin_reply *ret)
{
    if (!e || (gets && (e->params & ON_PORT)))
        return true;
    admin_reply_error(ret, 403, "%s; use the socket %s.",
                      gets ? "This page is not shown here" : "Nothing can be changed here",
                      a->config->admin_path);
    return false;
}

static const struct route *find_server(const struct proxy *proxy, struct slice name)
{
    const struct route *r;
    for (size_t i = 0; (r = route_at(proxy, i)); i++)
        if (slice_is(name, r->name))
            return r;
    return NULL;
}

static bool read_server(struct slice name, struct admin_request *r, struct admin_reply *ret)
{
    r->server = find_server(r->view.proxy, name);
    if (!r->server) {
        int n = name.n > CONFIG_NAME_MAX ? CONFIG_NAME_MAX : (int)name.n;
        admin_reply_error(ret, 404, "There is no server called \"%.*s\"; GET /status lists them.",
                          n, name.p);
    }
    return r->server != NULL;
}

/* The value of the only parameter that the query holds, by that name; empty otherwise. */
static struct slice only_param(struct slice query, const char *name)
{
    struct slice value = http1_query_get(query, name);
    bool only = value.p && value.n && strlen(name) + 1 + value.n == query.n;
    return only ? value : slice_of(NULL, 0);
}

/* The query is nothing, or the one parameter that the endpoint takes. false: the answer was given.
 */
static bool read_query(const struct endpoint *e, struct slice query, struct admin_request *r,
                       struct admin_reply *ret)
{
    if ((e->params & ~(unsigned)ON_PORT) == 0 ||
        (query.n == 0 && !(e->params & (PARAM_ONE_SERVER | PARAM_LEVEL))))
        return true;
    struct slice value;
    if (e->params & (PARAM_SERVER | PARAM_ONE_SERVER)) {
        value = only_param(query, "server");
        if (value.n)
            return read_server(value, r, ret);
        admin_reply_error(ret, 400, "The query must be ?server=NAME%s.",
                          e->params & PARAM_SERVER ? "; without one, all servers are meant" : "");
        return false;
    }
    if (e->params & PARAM_LEVEL) {
        r->level = only_param(query, "level");
        if (r->level.n)
            return true;
        admin_reply_error(ret, 400, "The query must be ?level=LEVEL.");
        return false;
    }
    r->dry_run = slice_is(only_param(query, "dry_run"), "1");
    if (!r->dry_run)
        admin_reply_error(ret, 400, "The query must be nothing or ?dry_run=1.");
    return r->dry_run;
}

/* Two clocks cannot be read at once. What happened once is told with one and the same time whenever
 * it is told: readers compare them, above all the start, to see that another process answers. */
static void follow_wall_clock(struct admin *a)
{
    usec_t offset = clock_realtime() - clock_monotonic();
    usec_t off = offset > a->wall_offset ? offset - a->wall_offset : a->wall_offset - offset;
    if (off > 100 * USEC_PER_MSEC)
        a->wall_offset = offset;
}

struct admin_view admin_view_now(struct admin *a)
{
    follow_wall_clock(a);
    return (struct admin_view){
        .proxy = a->proxy,
        .front = a->front,
        .env = &a->loop->env,
        .started_at = a->started_at,
        .wall_offset = a->wall_offset,
    };
}

void admin_request(struct admin *a, const struct http1_request *head, const struct peer *peer,
                   struct admin_reply *ret)
{
    const struct endpoint *e = find_endpoint(head->path, head->method == HTTP1_POST);
    struct admin_request r = {
        .admin = a,
        .peer = peer,
        .headers = &head->headers,
        .view = admin_view_now(a),
    };
    r.view.read_only = !peer->is_unix;
    bool gets = head->method == HTTP1_GET || head->method == HTTP1_HEAD;
    *ret = (struct admin_reply){.status = 200};
    if (!admin_origin_ok(head, peer->is_unix ? NULL : port_of(a))) {
        admin_reply_error(
            ret, 403,
            "This page is for browsers and programs of this machine: the request must "
            "name it (Host) as localhost, and come from no other page (Origin).");
        return;
    }
    if (!peer->is_unix && !port_allows(a, e, gets, ret))
        return;
    if (!e) {
        admin_reply_error(ret, 404, "There is no such page; GET / lists those that there are.");
        return;
    }
    if (e->posts ? head->method != HTTP1_POST : !gets) {
        ret->allow = e->allow;
        admin_reply_error(ret, 405, "%s takes %s only.", e->path, e->allow);
        return;
    }
    if (read_query(e, head->query, &r, ret))
        e->answer(&r, ret);
}
