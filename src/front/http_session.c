/* Sessions of Streamable HTTP, front side.
 *
 * Owned by the core's session: on_end is the end of it. Streams point here and are cut off in
 * on_end; calls may still hold a POST stream's channel afterwards, which then has no session any
 * more. */
#include "front/http_session.h"
#include "base/util.h"

#include <errno.h>
#include <stdlib.h>

const struct http1_header event_stream_fields[EVENT_STREAM_FIELDS] = {
    {SLICE_INIT("Cache-Control"), SLICE_INIT("no-cache, no-transform")},
    {SLICE_INIT("X-Accel-Buffering"), SLICE_INIT("no")},
};

struct slice event_id_text(struct buf *out, const char *stream, uint64_t seq)
{
    buf_reset(out);
    buf_append_str(out, stream);
    buf_append_str(out, ".");
    buf_append_u64(out, seq);
    return buf_peek(out);
}

static void on_end(void *front_data)
{
    struct http_session *hs = front_data;
    get_stream_end(hs);
    post_streams_end(hs);
    env_task_clear(hs->front->env, &hs->end);
    event_owner_done(&hs->events);
    LIST_REMOVE(hs, link);
    free(hs);
}

static const struct session_ops ops = {.on_end = on_end};

static void end_task(void *arg)
{
    struct http_session *hs = arg;
    session_end(hs->session);
}

/* What waits for its session. */
static struct http_session *prepare(struct front *f)
{
    struct http_session *hs = xcalloc(1, sizeof(*hs));
    hs->head.transport = SESSION_HTTP;
    hs->front = f;
    event_owner_init(&hs->events, &f->events);
    LIST_INIT(&hs->posts);
    task_init(&hs->end, end_task, hs);
    return hs;
}

/* r: whether there is a session now. */
static int finish(struct http_session *hs, int r, struct http_session **ret)
{
    if (r < 0) {
        free(hs);
        return r;
    }
    LIST_INSERT_HEAD(&hs->front->http_sessions, hs, link);
    *ret = hs;
    return 0;
}

int http_session_new(struct front *f, const struct route *route, const char *principal,
                     struct http_session **ret)
{
    struct http_session *hs = prepare(f);
    int r = session_new(f->proxy, route, principal, SESSION_HTTP, &ops, hs, &hs->session);
    return finish(hs, r, ret);
}

/* An earlier process numbered its streams too, and clients come back with event ids of that time:
 * numbers that begin anywhere in so wide a range do not meet. */
#define STREAMS_MAX ((uint64_t)1 << 48)

static int revive(struct front *f, const struct route *route, const char *principal,
                  struct slice id, struct http_session **ret)
{
    struct http_session *hs = prepare(f);
    int r = session_revive(f->proxy, route, principal, id, &ops, hs, &hs->session);
    if (r == 0)
        hs->streams = env_random_below(f->env, STREAMS_MAX);
    return finish(hs, r, ret);
}

int http_session_find(struct front *f, const struct route *route, const char *principal,
                      struct slice id, struct http_session **ret)
{
    struct session *s = session_find(f->proxy, route, principal, id);
    struct front_data *data = s ? session_front_data(s) : NULL;
    if (!data)
        return revive(f, route, principal, id, ret);
    if (data->transport != SESSION_HTTP)
        return -ENOENT;
    *ret = container_of(data, struct http_session, head);
    return 0;
}

enum reason session_refusal_reason(int r)
{
    return r == -EMFILE ? REASON_OVERLOADED : REASON_SHUTTING_DOWN;
}

const char *session_refusal_text(int r)
{
    return r == -EMFILE   ? "Too many sessions"
           : r == -ENOENT ? "The server was removed from the configuration"
                          : "mcpool is shutting down";
}

struct http_error http_session_refusal(int r, const struct route *route, struct slice id)
{
    bool gone = r == -ENOENT;
    return (struct http_error){.status = gone ? 404 : 503,
                               .code = MCP_E_INTERNAL,
                               .reason = session_refusal_reason(r),
                               .id = id,
                               .server = *route->name ? route->name : NULL,
                               .delivered = "no",
                               .message = session_refusal_text(r),
                               .retry_after = gone ? 0 : USEC_PER_SEC};
}

void http_session_end_later(struct http_session *hs)
{
    env_defer(hs->front->env, &hs->end);
}

bool http_session_has_ids(const struct http_session *hs)
{
    return session_version(hs->session) >= MCP_2025_03_26 &&
           event_budget_enabled(hs->events.budget);
}

/* ---- the pulse ---- */

/* A client that took nothing for this many keep-alive intervals is taken for dead. */
#define STUCK_BEATS 4

/* All have the same interval, so the order in which they were started is that in which they are
 * due, and one timer is enough. It is left armed when the first one stops: nearly all do long
 * before they are due, and finding it early once in an interval costs less than moving it each
 * time. */
static void arm_timer(struct front *f)
{
    const struct pulse *first = TAILQ_FIRST(&f->pulses);
    if (first && first->due_at != USEC_NEVER && !timer_armed(&f->pulse_timer))
        env_timer_set(f->env, &f->pulse_timer, first->due_at);
}

static void put_last(struct front *f, struct pulse *p)
{
    usec_t interval = front_limits(f)->keepalive_interval;
    if (p->linked)
        TAILQ_REMOVE(&f->pulses, p, link);
    p->due_at = interval ? f->env->now + interval : USEC_NEVER;
    p->linked = true;
    TAILQ_INSERT_TAIL(&f->pulses, p, link);
    arm_timer(f);
}

void pulse_start(struct front *f, struct pulse *p)
{
    p->stuck = 0;
    put_last(f, p);
}

void pulse_stop(struct front *f, struct pulse *p)
{
    if (p->linked)
        TAILQ_REMOVE(&f->pulses, p, link);
    p->linked = false;
}

void pulses_beat(void *front)
{
    struct front *f = front;
    struct pulse *p;
    while ((p = TAILQ_FIRST(&f->pulses)) && p->due_at <= f->env->now) {
        put_last(f, p); /* its interval is not 0, so this ends */
        p->beat(p);
    }
    arm_timer(f);
}

void pulses_rearm(struct front *f)
{
    usec_t interval = front_limits(f)->keepalive_interval;
    struct pulse *p;
    env_timer_clear(f->env, &f->pulse_timer);
    TAILQ_FOREACH (p, &f->pulses, link)
        p->due_at = interval ? f->env->now + interval : USEC_NEVER;
    arm_timer(f);
}

void pulse_beat(struct pulse *p, struct http_conn *h)
{
    struct client *c = http_conn_client(h);
    struct front *f = c->front;
    if (!client_is_open(c))
        return;
    uint64_t sent = stream_sent_total(c->stream), queued = stream_queued_total(c->stream);
    bool waiting = stream_pending(c->stream) > 0;
    p->stuck = waiting && sent == p->sent ? p->stuck + 1 : 0;
    if (p->stuck >= STUCK_BEATS) {
        f->counts.slow_closed++;
        client_close(c);
        return;
    }
    if (!waiting && queued == p->queued)
        http_sse_keepalive(h);
    p->sent = sent;
    p->queued = stream_queued_total(c->stream);
}
