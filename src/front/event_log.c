/* Event logs.
 *
 * Invariants: log->bytes is the sum over its events, owner->bytes over its logs, budget->bytes over
 * all; the same for mapped. budget->by_age holds the logs that have events, ordered by changed_at.
 * A log out of use is never empty. Sequence numbers grow by one and are never reused, kept or not,
 * so that lost_seq tells a client's gap apart from its end. */
#include "front/event_log.h"

#include "base/base64url.h"
#include "base/util.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>

/* Memory of an event besides its text. */
#define EVENT_OVERHEAD sizeof(struct kept_event)

void event_budget_init(struct event_budget *b, const struct config_limits *limits)
{
    *b = (struct event_budget){.limits = limits};
    TAILQ_INIT(&b->by_age);
}

void event_owner_init(struct event_owner *o, struct event_budget *b)
{
    *o = (struct event_owner){.budget = b};
    LIST_INIT(&o->logs);
}

void event_owner_done(struct event_owner *o)
{
    while (!LIST_EMPTY(&o->logs))
        event_log_free(LIST_FIRST(&o->logs));
}

bool event_budget_enabled(const struct event_budget *b)
{
    const struct config_limits *l = b->limits;
    return l->event_buffer_events && l->event_buffer_bytes && l->event_buffer_session_bytes &&
           l->event_buffer_total_bytes && l->event_buffer_ttl;
}

struct event_log *event_log_new(struct event_owner *o, uint64_t serial, const char *name,
                                usec_t now)
{
    struct event_log *log = xcalloc(1, sizeof(*log));
    log->owner = o;
    log->serial = serial;
    log->in_use = true;
    log->changed_at = now;
    log->name = xstrdup(name);
    TAILQ_INIT(&log->events);
    LIST_INSERT_HEAD(&o->logs, log, owner_link);
    return log;
}

static void drop_first(struct event_log *log)
{
    struct kept_event *e = TAILQ_FIRST(&log->events);
    size_t heap = e->message.heap + EVENT_OVERHEAD;
    TAILQ_REMOVE(&log->events, e, link);
    log->count--;
    log->bytes -= heap;
    log->mapped -= e->message.mapped;
    log->owner->bytes -= heap;
    log->owner->budget->bytes -= heap;
    log->owner->budget->mapped -= e->message.mapped;
    log->lost_seq = e->seq;
    if (e->is_answer)
        log->lost_answer = e->seq;
    if (TAILQ_EMPTY(&log->events))
        TAILQ_REMOVE(&log->owner->budget->by_age, log, age_link);
    message_done(&e->message);
    free(e);
}

void event_log_free(struct event_log *log)
{
    while (!TAILQ_EMPTY(&log->events))
        drop_first(log);
    LIST_REMOVE(log, owner_link);
    free(log->name);
    free(log);
}

/* Drops the oldest event of `log`; a log that nobody uses goes with its last one. */
static void evict(struct event_log *log)
{
    drop_first(log);
    if (!log->in_use && TAILQ_EMPTY(&log->events))
        event_log_free(log);
}

/* The session's own logs are few, so they are walked instead of the global order. */
static struct event_log *oldest_of_owner(struct event_owner *o)
{
    struct event_log *log, *found = NULL;
    LIST_FOREACH (log, &o->logs, owner_link) {
        if (!TAILQ_EMPTY(&log->events) && (!found || log->changed_at < found->changed_at))
            found = log;
    }
    return found;
}

static void trim_total(struct event_budget *b)
{
    size_t max = b->limits->event_buffer_total_bytes;
    while (b->bytes > max || b->mapped > max)
        evict(TAILQ_FIRST(&b->by_age));
}

static void make_fit(struct event_log *log)
{
    struct event_owner *o = log->owner;
    struct event_budget *b = o->budget;
    const struct config_limits *l = b->limits;
    while (log->count > l->event_buffer_events || log->bytes > l->event_buffer_bytes)
        drop_first(log);
    while (o->bytes > l->event_buffer_session_bytes)
        evict(oldest_of_owner(o));
    trim_total(b);
}

void event_budget_follow(struct event_budget *b, const struct config_limits *limits)
{
    b->limits = limits;
    trim_total(b);
}

uint64_t event_log_append(struct event_log *log, usec_t now, bool is_answer,
                          const struct payload *p, const struct rpc_edits *edits)
{
    struct event_budget *b = log->owner->budget;
    struct kept_event *e = xcalloc(1, sizeof(*e));
    e->seq = ++log->last_seq;
    e->kept_at = now;
    e->is_answer = is_answer;
    message_hold(&e->message, p, edits);

    size_t heap = e->message.heap + EVENT_OVERHEAD;
    if (!TAILQ_EMPTY(&log->events))
        TAILQ_REMOVE(&b->by_age, log, age_link);
    TAILQ_INSERT_TAIL(&b->by_age, log, age_link);
    TAILQ_INSERT_TAIL(&log->events, e, link);
    log->count++;
    log->bytes += heap;
    log->mapped += e->message.mapped;
    log->owner->bytes += heap;
    b->bytes += heap;
    b->mapped += e->message.mapped;
    log->changed_at = now;

    uint64_t seq = e->seq; /* e itself may be too big to stay */
    make_fit(log);
    return seq;
}

struct event_log *event_owner_find(const struct event_owner *o, uint64_t serial)
{
    struct event_log *log;
    LIST_FOREACH (log, &o->logs, owner_link) {
        if (log->serial == serial)
            return log;
    }
    return NULL;
}

const struct kept_event *event_log_after(const struct event_log *log, uint64_t seq)
{
    const struct kept_event *e;
    TAILQ_FOREACH (e, &log->events, link) {
        if (e->seq > seq)
            return e;
    }
    return NULL;
}

const struct kept_event *event_log_next(const struct kept_event *e)
{
    return TAILQ_NEXT(e, link);
}

void event_log_release(struct event_log *log)
{
    log->in_use = false;
    if (TAILQ_EMPTY(&log->events))
        event_log_free(log);
}

usec_t event_budget_expire(struct event_budget *b, usec_t now)
{
    usec_t ttl = b->limits->event_buffer_ttl;
    usec_t next = USEC_NEVER;
    struct event_log *log = TAILQ_FIRST(&b->by_age);
    while (log) {
        struct event_log *following = TAILQ_NEXT(log, age_link);
        struct kept_event *e;
        while ((e = TAILQ_FIRST(&log->events)) && e->kept_at + ttl <= now)
            drop_first(log);
        if (e && e->kept_at + ttl < next)
            next = e->kept_at + ttl;
        if (!e && !log->in_use)
            event_log_free(log);
        log = following;
    }
    return next;
}

/* ---- event ids ---- */

char *event_stream_name(uint64_t serial, struct slice request_id)
{
    size_t cap = 24 + BASE64URL_LEN(request_id.n) + 1;
    char *out = xmalloc(cap);
    int len = snprintf(out, cap, "%c%llu", request_id.n ? 'p' : 'g', (unsigned long long)serial);
    char *at = out + len;
    if (request_id.n)
        *at++ = '-';
    base64url_encode(request_id.p, request_id.n, at);
    at += BASE64URL_LEN(request_id.n);
    *at = 0;
    return out;
}

static bool parse_u64(struct slice *s, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;
    while (i < s->n && i < 19 && s->p[i] >= '0' && s->p[i] <= '9')
        v = v * 10 + (uint64_t)(s->p[i++] - '0');
    if (i == 0)
        return false;
    *s = slice_of(s->p + i, s->n - i);
    *ret = v;
    return true;
}

/* A token that may stand as an id in an answer: the value came from outside and is not trusted to
 * be ours. */
static bool is_request_id(struct slice raw)
{
    if (json_validate(raw, 1, NULL) != JSON_OK)
        return false;
    switch (json_type_of(raw)) {
    case JSON_STRING:
        return raw.n >= 2 && raw.p[raw.n - 1] == '"';
    case JSON_NUMBER:
        for (size_t i = 0; i < raw.n; i++)
            if (raw.p[i] != '-' && (raw.p[i] < '0' || raw.p[i] > '9'))
                return false;
        return true;
    case JSON_NONE:
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_ARRAY:
    case JSON_OBJECT:
        return false;
    }
    return false;
}

bool event_id_parse(struct slice text, struct event_id *ret)
{
    *ret = (struct event_id){0};
    if (text.n < 3 || (text.p[0] != 'g' && text.p[0] != 'p'))
        return false;
    ret->is_post = text.p[0] == 'p';
    struct slice rest = slice_of(text.p + 1, text.n - 1);
    if (!parse_u64(&rest, &ret->serial))
        return false;
    if (ret->is_post) {
        const char *dot = rest.n ? memchr(rest.p, '.', rest.n) : NULL;
        if (!dot || rest.p[0] != '-')
            return false;
        struct slice id64 = slice_of(rest.p + 1, (size_t)(dot - rest.p - 1));
        if (id64.n == 0 ||
            !base64url_decode(id64, ret->request_id, sizeof(ret->request_id), &ret->request_id_n) ||
            !is_request_id(slice_of(ret->request_id, ret->request_id_n)))
            return false;
        rest = slice_of(dot, rest.n - (size_t)(dot - rest.p));
    }
    if (rest.n < 2 || rest.p[0] != '.')
        return false;
    rest = slice_of(rest.p + 1, rest.n - 1);
    return parse_u64(&rest, &ret->seq) && rest.n == 0;
}
