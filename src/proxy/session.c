/* A client session: identity, the way its unrelated messages go, and its end.
 *
 *     NEW ──initialize──► OPENING ──answered──► OPEN ──► ENDED
 *      ├───────────────────────┴── refused, abandoned ────┘
 *      └── revived ──► OPEN (revive.c)
 *
 * A session never ends because a server did. session_end detaches it from everything at once; its
 * memory goes after the loop turn, so callers up the stack may still look at it. */
#include "proxy/session.h"

#include "base/base64url.h"
#include "base/log.h"
#include "base/util.h"
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Unrelated messages may leave on a POST stream once they have waited this long for a better one.
 */
#define PENDING_PATIENCE (1 * USEC_PER_SEC)

/* ---- principals ---- */

static struct principal *principal_take(struct proxy *p, const char *name)
{
    struct principal *pr;
    HASH_FIND_STR(p->principals, name, pr);
    if (!pr) {
        pr = xcalloc(1, sizeof(*pr));
        pr->name = xstrdup(name);
        HASH_ADD_KEYPTR(hh, p->principals, pr->name, strlen(pr->name), pr);
    }
    pr->sessions++;
    return pr;
}

static void principal_drop(struct proxy *p, struct principal *pr)
{
    if (--pr->sessions > 0)
        return;
    HASH_DEL(p->principals, pr);
    free(pr->name);
    free(pr);
}

/* ---- birth and death ---- */

/* 144 random bits, base64url: visible ASCII, unguessable (protocol.md 8.1). */
#define RANDOM_ID 18

/* Ids of either kind end in characters that nobody can choose, random ones or those of a MAC: the
 * last few spread them as well as all, and need no more than that their bits are brought together.
 */
static unsigned hash_of(struct slice id)
{
    uint64_t tail = 0;
    size_t n = id.n < sizeof(tail) ? id.n : sizeof(tail);
    if (n > 0)
        memcpy(&tail, id.p + id.n - n, n);
    return (unsigned)(tail * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

struct session *session_of_id(struct proxy *p, struct slice id)
{
    struct session *s;
    HASH_FIND_BYHASHVALUE(hh, p->sessions, id.p, id.n, hash_of(id), s);
    return s;
}

void session_set_id(struct session *s, struct slice id)
{
    if (s->id[0])
        HASH_DEL(s->proxy->sessions, s);
    memcpy(s->id, id.p, id.n);
    s->id[id.n] = '\0';
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->proxy->sessions, s->id, id.n, hash_of(id), s);
}

static void set_random_id(struct session *s)
{
    unsigned char raw[RANDOM_ID];
    char text[BASE64URL_LEN(RANDOM_ID)];
    uint32_t handle;
    env_random_bytes(s->proxy->env, raw, sizeof(raw));
    base64url_encode(raw, sizeof(raw), text);
    session_set_id(s, slice_of(text, sizeof(text)));
    env_random_bytes(s->proxy->env, &handle, sizeof(handle));
    snprintf(s->handle, sizeof(s->handle), "%08x", handle);
}

/* Each message moves the end of an idle session on. The timer stays where it is and is set anew
 * when its time has come: among the timers of thousands of sessions that is a lot cheaper. */
static void touch_idle(struct session *s)
{
    usec_t span = s->proxy->config->limits.session_idle_timeout;
    if (!span || s->state == SESSION_ENDED || s->holds)
        return;
    s->idle_until = s->proxy->env->now + span;
    if (!timer_armed(&s->idle))
        env_timer_set(s->proxy->env, &s->idle, s->idle_until);
}

void sessions_rearm_idle(struct proxy *p)
{
    for (struct session *s = p->sessions; s; s = s->hh.next) {
        env_timer_clear(p->env, &s->idle);
        touch_idle(s);
    }
}

static void idle_over(void *arg)
{
    struct session *s = arg;
    if (s->idle_until > s->proxy->env->now) {
        env_timer_set(s->proxy->env, &s->idle, s->idle_until);
        return;
    }
    if (s->in_flight || s->holds) {
        touch_idle(s);
        return;
    }
    log_info(SESSION_CTX(s, .message_id = LOG_ID_SESSION_ENDED),
             "session ends: idle for session_idle_timeout");
    session_end(s);
}

static void bury(void *arg)
{
    struct session *s = arg;
    route_unref(s->route);
    free(s);
}

int session_make(struct proxy *proxy, const struct route *route, const char *principal,
                 enum session_transport transport, const struct session_ops *ops, void *front_data,
                 struct session **ret)
{
    const struct config_limits *l = &proxy->config->limits;
    if (proxy->stopping)
        return -ESHUTDOWN;
    if (route_is_gone(route))
        return -ENOENT;
    struct principal *pr;
    HASH_FIND_STR(proxy->principals, principal, pr);
    if (HASH_COUNT(proxy->sessions) >= l->max_sessions ||
        (pr && pr->sessions >= l->max_sessions_per_principal))
        return -EMFILE;

    struct session *s = xcalloc(1, sizeof(*s));
    s->proxy = proxy;
    s->route = route_ref(route);
    s->transport = transport;
    s->ops = ops;
    s->front_data = front_data;
    s->lasts = transport == SESSION_HTTP;
    s->level = MCP_LOG_UNSET;
    s->principal = principal_take(proxy, principal);
    LIST_INIT(&s->calls);
    LIST_INIT(&s->asks);
    LIST_INIT(&s->subs);
    STAILQ_INIT(&s->waiting);
    timer_init(&s->idle, idle_over, s);
    task_init(&s->bury, bury, s);
    touch_idle(s);
    *ret = s;
    return 0;
}

int session_new(struct proxy *proxy, const struct route *route, const char *principal,
                enum session_transport transport, const struct session_ops *ops, void *front_data,
                struct session **ret)
{
    int r = session_make(proxy, route, principal, transport, ops, front_data, ret);
    if (r == 0)
        set_random_id(*ret);
    return r;
}

void session_set_private(struct session *s)
{
    s->lasts = false;
}

void session_set_lasting(struct session *s)
{
    s->lasts = true;
}

const char *session_lasting_id(const struct session *s)
{
    return s->lasting ? s->id : NULL;
}

struct session *session_find(struct proxy *proxy, const struct route *route, const char *principal,
                             struct slice id)
{
    struct session *s = session_of_id(proxy, id);
    if (!s || s->state != SESSION_OPEN || s->route->server != route->server ||
        !slice_is(slice_str(s->principal->name), principal))
        return NULL;
    return s;
}

const struct route *session_route_by_id(struct proxy *proxy, const char *principal, struct slice id,
                                        struct slice name)
{
    const struct session *s = session_of_id(proxy, id);
    bool is_it = s && s->state == SESSION_OPEN && slice_is(name, s->route->name) &&
                 slice_is(slice_str(s->principal->name), principal);
    return is_it ? s->route : NULL;
}

static void drop_pending(struct session *s)
{
    struct pending *p;
    while ((p = STAILQ_FIRST(&s->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->waiting, link);
        blob_unref(p->text);
        free(p);
    }
    s->waiting_count = 0;
}

void session_end(struct session *s)
{
    if (s->state == SESSION_ENDED)
        return;
    struct proxy *p = s->proxy;
    log_info(SESSION_CTX(s, .message_id = LOG_ID_SESSION_ENDED), "session ended");
    session_keep_ended(s);
    s->state = SESSION_ENDED;
    revival_end(s);
    ask_end_of_session(s);
    struct call *c;
    while ((c = LIST_FIRST(&s->calls)) != NULL)
        call_cancel(c, SLICE("\"client disconnected\""));
    sub_end_of_session(s);
    session_drop_level(s);
    notify_forget_session(s);
    affinity_done(&s->affinity);
    drop_pending(s);
    env_timer_clear(p->env, &s->idle);
    HASH_DEL(p->sessions, s);
    principal_drop(p, s->principal);
    s->ops->on_end(s->front_data);
    s->push = channel_unref(s->push);
    env_defer(p->env, &s->bury);
    proxy_note_progress(p);
}

/* ---- calls ---- */

/* More calls than these are found by the hashes of their ids; of fewer each is looked at. */
#define CALLS_FEW 8

/* Made when first needed: a client that sends one request after the other needs none. */
static uint64_t id_hash_of(struct call *c)
{
    if (c->id_hash == 0)
        c->id_hash = json_id_hash(c->id);
    return c->id_hash;
}

void session_enter_call(struct session *s, struct call *c)
{
    LIST_INSERT_HEAD(&s->calls, c, link);
    s->in_flight++;
    s->principal->in_flight++;
    if (s->calls_by_id.count)
        idmap_put(&s->calls_by_id, id_hash_of(c), c);
    else if (s->in_flight > CALLS_FEW)
        LIST_FOREACH (c, &s->calls, link)
            idmap_put(&s->calls_by_id, id_hash_of(c), c);
}

/* An idle session keeps no memory for the time when it was busy. */
void session_leave_call(struct session *s, struct call *c)
{
    LIST_REMOVE(c, link);
    s->in_flight--;
    s->principal->in_flight--;
    if (s->calls_by_id.count)
        idmap_drop(&s->calls_by_id, id_hash_of(c), c);
    if (s->in_flight == 0 && s->calls_by_id.cap)
        idmap_done(&s->calls_by_id);
}

/* ---- messages that belong to no request ---- */

/* Whether a waiting message says what the new one says: only the newest counts. */
static bool supersedes(const struct pending *old, enum mcp_method method, struct slice uri)
{
    if (old->method != method)
        return false;
    switch ((int)method) {
    case MCP_N_TOOLS_LIST_CHANGED:
    case MCP_N_PROMPTS_LIST_CHANGED:
    case MCP_N_RESOURCES_LIST_CHANGED:
        return true;
    case MCP_N_RESOURCES_UPDATED:
        return slice_eq(old->uri, uri);
    default:
        return false;
    }
}

static struct slice uri_in(struct slice text, enum mcp_method method)
{
    return method == MCP_N_RESOURCES_UPDATED ? json_path(text, "params", "uri", NULL)
                                             : slice_of(NULL, 0);
}

static void wait_for_push(struct session *s, struct payload *text, const struct rpc_edits *edits,
                          enum mcp_method method)
{
    struct buf b = BUF_INIT;
    if (edits)
        rpc_edit_append(&b, text->text, edits);
    else
        buf_append_slice(&b, text->text);
    struct slice bytes = buf_peek(&b), uri = uri_in(bytes, method);
    struct pending *p;
    STAILQ_FOREACH (p, &s->waiting, link)
        if (supersedes(p, method, uri))
            break;
    if (!p && s->waiting_count < s->proxy->config->limits.pending_notifications) {
        p = xcalloc(1, sizeof(*p));
        p->method = method;
        p->text = blob_new(bytes.p, bytes.n);
        p->uri = uri_in(blob_slice(p->text), method);
        if (s->waiting_count++ == 0)
            s->waiting_since = s->proxy->env->now;
        STAILQ_INSERT_TAIL(&s->waiting, p, link);
    } else if (!p) {
        metrics_inc(s->proxy->metrics, METRIC_MESSAGES_DROPPED, 0);
    }
    buf_done(&b);
}

void session_push(struct session *s, enum delivery kind, struct payload *text,
                  const struct rpc_edits *edits, enum mcp_method method)
{
    if (s->state != SESSION_OPEN)
        return;
    if (s->push && s->push->ops->send(s->push, NULL, kind, text, edits) == 0)
        return;
    if (kind != DELIVER_DROPPABLE)
        wait_for_push(s, text, edits, method);
}

void session_flush_pending(struct session *s, struct channel *ch)
{
    struct pending *p;
    while ((p = STAILQ_FIRST(&s->waiting)) != NULL) {
        struct payload text = {.text = blob_slice(p->text), .owner = p->text};
        if (ch->ops->send(ch, NULL, DELIVER_NOTIFICATION, &text, NULL) < 0)
            return;
        STAILQ_REMOVE_HEAD(&s->waiting, link);
        s->waiting_count--;
        blob_unref(p->text);
        free(p);
    }
}

bool session_has_pending(const struct session *s)
{
    return s->waiting_count > 0 && !s->push &&
           s->proxy->env->now - s->waiting_since >= PENDING_PATIENCE;
}

void session_set_push(struct session *s, struct channel *ch)
{
    if (ch == s->push)
        return;
    struct channel *old = s->push;
    s->push = ch ? channel_ref(ch) : NULL;
    channel_unref(old);
    if (ch && s->state == SESSION_OPEN)
        session_flush_pending(s, ch);
}

struct channel *session_push_channel(const struct session *s)
{
    return s->push;
}

/* ---- looking at a session ---- */

unsigned session_in_flight(const struct session *s)
{
    return s->in_flight;
}

/* Another call than `but` that has this id. */
static struct call *find_call(const struct session *s, uint64_t hash, struct slice id,
                              const struct call *but)
{
    struct call *c;
    if (s->calls_by_id.count) {
        for (size_t pos = 0; (c = idmap_find(&s->calls_by_id, hash, &pos)) != NULL;)
            if (c != but && json_id_eq(c->id, id))
                return c;
        return NULL;
    }
    LIST_FOREACH (c, &s->calls, link)
        if (c != but && id_hash_of(c) == hash && json_id_eq(c->id, id))
            return c;
    return NULL;
}

struct call *session_call(const struct session *s, struct slice id)
{
    return find_call(s, json_id_hash(id), id, NULL);
}

bool session_has_twin(struct call *c)
{
    return c->session->in_flight > 1 && find_call(c->session, id_hash_of(c), c->id, c) != NULL;
}

void session_touch(struct session *s)
{
    touch_idle(s);
}

void session_hold(struct session *s)
{
    s->holds++;
    env_timer_clear(s->proxy->env, &s->idle);
}

void session_release(struct session *s)
{
    s->holds--;
    touch_idle(s);
}

const char *session_id(const struct session *s)
{
    return s->id;
}

const char *session_handle(const struct session *s)
{
    return s->handle;
}

enum mcp_version session_version(const struct session *s)
{
    return s->state == SESSION_OPEN ? s->version : MCP_VERSION_NONE;
}

bool session_is_initialized(const struct session *s)
{
    return s->state == SESSION_OPEN;
}

const struct route *session_route(const struct session *s)
{
    return s->route;
}

const char *session_principal(const struct session *s)
{
    return s->principal->name;
}

void *session_front_data(const struct session *s)
{
    return s->front_data;
}
