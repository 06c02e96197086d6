/* One slot of a pool: transport, handshake, and what follows its loss.
 *
 *     IDLE ──open──► CONNECTING ──on_open──► HANDSHAKE ──result──► READY
 *       ▲                │ on_down                │ error, timeout     │ on_down, conn_fail
 *       │                └───────────┬────────────┴────────────────────┤
 *       │ (retired)                  ▼                                 │ conn_retire
 *       └────────────────────── CLOSING ◄──────────────────────────────┘
 *                                    │ on_closed, failed
 *                                    ▼
 *                                 WAITING ──retry_at──► CONNECTING
 *
 * Invariants: at most one transport per slot; a transport is closed exactly once and its memory is
 * gone after on_closed; WAITING has its timer armed; epoch rises with each transport, so nothing of
 * an older one can be mistaken for news. Every transition passes conn_set_state, which logs it. */
#include "base/log.h"
#include "base/util.h"
#include "base/version.h"
#include "internal.h"
#include "policy/backoff.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const state_names[] = {
    [CONN_IDLE] = "idle",   [CONN_CONNECTING] = "connecting", [CONN_HANDSHAKE] = "handshake",
    [CONN_READY] = "ready", [CONN_CLOSING] = "closing",       [CONN_WAITING] = "waiting",
};

const char *conn_state_name(enum conn_state s)
{
    return state_names[s];
}

struct card *card_ref(struct card *c)
{
    c->refs++;
    return c;
}

struct card *card_unref(struct card *c)
{
    if (c && --c->refs == 0) {
        free(c->capabilities);
        free(c->server_info);
        free(c->instructions);
        free(c);
    }
    return NULL;
}

static struct env *conn_env(const struct conn *c)
{
    return c->pool->server->env;
}

static const struct server_config *conn_config(const struct conn *c)
{
    return c->pool->server->sc;
}

static enum log_level level_of(enum conn_state new)
{
    return new == CONN_WAITING ? LOG_LEVEL_WARNING
           : new == CONN_READY ? LOG_LEVEL_NOTICE
                               : LOG_LEVEL_DEBUG;
}

/* The only writer of c->state. Disarms the timer, which belongs to the state that is left. */
static void conn_set_state(struct conn *c, enum conn_state new, const char *why)
{
    log_event(level_of(new), LOG_CTX(.server = conn_config(c)->name, .slot = (int)c->slot),
              "%s -> %s (%s)", state_names[c->state], state_names[new], why);
    env_timer_clear(conn_env(c), &c->timer);
    c->state = new;
}

uint64_t conn_mint_id(struct conn *c)
{
    return c->next_id++;
}

uint64_t conn_send(struct conn *c, const struct payload *text, const struct rpc_edits *edits)
{
    if (c->state != CONN_READY && c->state != CONN_HANDSHAKE)
        return UINT64_MAX; /* going down: never handed over */
    return c->transport->ops->send(c->transport, text, edits);
}

bool conn_handed_over(const struct conn *c, uint64_t mark)
{
    return c->transport && c->transport->ops->handed_over(c->transport, mark);
}

size_t conn_pending(const struct conn *c)
{
    return c->transport ? c->transport->ops->pending(c->transport) : 0;
}

bool conn_is_clogged(const struct conn *c)
{
    return conn_pending(c) > CONN_PENDING_HIGH;
}

static void send_buf(struct conn *c, struct buf *b)
{
    struct payload text = {.text = buf_peek(b)};
    conn_send(c, &text, NULL);
    buf_done(b);
}

/* ---- loss -------------------------------------------------------------------------------------
 */

static void note_error(struct conn *c, const char *detail)
{
    snprintf(c->last_error, sizeof(c->last_error), "%s", detail ? detail : "");
}

void conn_fail(struct conn *c, enum reason why, bool fatal, const char *detail)
{
    if (c->state != CONN_CONNECTING && c->state != CONN_HANDSHAKE && c->state != CONN_READY)
        return;
    const struct config_resilience *r = &conn_config(c)->resilience;
    bool was_ready = c->state == CONN_READY;
    note_error(c, detail);
    c->failed = true;
    c->fatal = fatal;
    c->recovery.failures =
        was_ready ? backoff_after_loss(c->recovery.failures, conn_env(c)->now - c->ready_at,
                                       r->stable_after, c->answered)
                  : c->recovery.failures + (c->recovery.failures < UINT32_MAX);
    log_event(
        LOG_LEVEL_WARNING,
        LOG_CTX(.server = conn_config(c)->name, .slot = (int)c->slot, .reason = reason_name(why)),
        "%s: %s", was_ready ? "connection lost" : "connection attempt failed", c->last_error);
    conn_set_state(c, CONN_CLOSING, reason_name(why));
    if (was_ready)
        pool_on_conn_lost(c, why);
    c->transport->ops->close(c->transport, true);
}

void conn_retire(struct conn *c, bool now)
{
    switch (c->state) {
    case CONN_IDLE:
        return;
    case CONN_WAITING:
        conn_set_state(c, CONN_IDLE, "no longer wanted");
        return;
    case CONN_CLOSING:
        c->failed = false;
        if (now)
            c->transport->ops->close(c->transport, true);
        return;
    case CONN_CONNECTING:
    case CONN_HANDSHAKE:
    case CONN_READY:
        break;
    }
    bool was_ready = c->state == CONN_READY;
    c->failed = false;
    conn_set_state(c, CONN_CLOSING, "no longer wanted");
    if (was_ready) {
        c->recovery.failures = 0;
        pool_on_conn_lost(c, REASON_SHUTTING_DOWN);
    }
    c->transport->ops->close(c->transport, now);
}

static void retry_due(void *arg)
{
    struct conn *c = arg;
    switch (c->state) {
    case CONN_WAITING:
        if (pool_wants(c))
            conn_open(c);
        else
            conn_set_state(c, CONN_IDLE, "no longer wanted");
        return;
    case CONN_CONNECTING:
        conn_fail(c, REASON_TIMEOUT, false, "the server did not start within operation_timeout");
        return;
    case CONN_HANDSHAKE:
        conn_fail(c, REASON_TIMEOUT, false,
                  "the server did not answer initialize within operation_timeout");
        return;
    case CONN_IDLE:
    case CONN_READY:
    case CONN_CLOSING:
        return;
    }
}

static void wait_for_retry(struct conn *c)
{
    const struct config_resilience *r = &conn_config(c)->resilience;
    struct env *env = conn_env(c);
    struct backoff_params p = {
        .base = r->backoff_base, .cap = r->max_backoff_delay, .jitter_max = r->recovery_jitter_max};
    uint64_t random;
    env_random_bytes(env, &random, sizeof(random));
    /* What will not go away by itself is tried at the longest distance, but it is tried. */
    usec_t delay = backoff_delay(&p, c->fatal ? UINT32_MAX : c->recovery.failures, random);
    char why[64];
    snprintf(why, sizeof(why), "next attempt in %.1f s", (double)delay / (double)USEC_PER_SEC);
    conn_set_state(c, CONN_WAITING, why);
    c->retry_at = env->now + delay;
    env_timer_set(env, &c->timer, c->retry_at);
}

static void on_closed(void *arg)
{
    struct conn *c = arg;
    struct server *s = c->pool->server;
    c->transport = NULL;
    c->card = card_unref(c->card);
    if (c->failed && !c->pool->stopping) {
        wait_for_retry(c);
        pool_on_conn_failed(c);
    } else {
        conn_set_state(c, CONN_IDLE, "closed");
        pool_on_conn_idle(c);
    }
    server_on_transport_closed(s);
}

/* ---- handshake ----------------------------------------------------------------------------------
 */

static void append_capabilities(struct buf *b, unsigned f)
{
    const char *sep = "";
    buf_append_str(b, "{");
    if (f & FEATURE_SAMPLING) {
        buf_append_str(b, "\"sampling\":{");
        if (f & FEATURE_SAMPLING_TOOLS)
            buf_append_str(b, "\"tools\":{}");
        if (f & FEATURE_SAMPLING_CONTEXT)
            buf_appendf(b, "%s\"context\":{}", f & FEATURE_SAMPLING_TOOLS ? "," : "");
        buf_append_str(b, "}");
        sep = ",";
    }
    if (f & (FEATURE_ELICITATION_FORM | FEATURE_ELICITATION_URL)) {
        /* {} is how revisions before 2025-11-25 say "forms", and still means that. */
        const char *kinds = !(f & FEATURE_ELICITATION_URL)    ? "{}"
                            : !(f & FEATURE_ELICITATION_FORM) ? "{\"url\":{}}"
                                                              : "{\"form\":{},\"url\":{}}";
        buf_appendf(b, "%s\"elicitation\":%s", sep, kinds);
        sep = ",";
    }
    if (f & FEATURE_ROOTS)
        buf_appendf(b, "%s\"roots\":%s", sep,
                    f & FEATURE_ROOTS_CHANGED ? "{\"listChanged\":true}" : "{}");
    buf_append_str(b, "}");
}

static void on_open(void *arg)
{
    struct conn *c = arg;
    if (c->state != CONN_CONNECTING)
        return;
    usec_t due_at = c->timer.due_at; /* one budget for start and handshake */
    conn_set_state(c, CONN_HANDSHAKE, "transport open");
    env_timer_set(conn_env(c), &c->timer, due_at);
    const char *pin = conn_config(c)->options.pin_version;
    struct buf b = BUF_INIT;
    buf_append_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_append_u64(&b, conn_mint_id(c));
    buf_appendf(
        &b, ",\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\",\"capabilities\":",
        pin ? pin : mcp_version_name(MCP_LATEST_LEGACY));
    append_capabilities(&b, c->pool->features);
    buf_append_str(&b,
                   ",\"clientInfo\":{\"name\":\"mcpool\",\"version\":\"" MCPOOL_VERSION "\"}}}");
    send_buf(c, &b);
}

static char *dup_span(struct slice text, struct span s)
{
    return s.n ? xstrndup(text.p + s.off, s.n) : NULL;
}

/* Whether the capability object has this member with the value true, or any object. */
static bool capability(struct slice caps, const char *name, const char *flag)
{
    struct slice v = json_get(caps, name);
    if (json_type_of(v) != JSON_OBJECT)
        return false;
    return !flag || json_type_of(json_get(v, flag)) == JSON_TRUE;
}

static struct card *card_new(struct slice text, const struct rpc_msg *m, enum mcp_version version)
{
    struct card *card = xcalloc(1, sizeof(*card));
    card->refs = 1;
    card->version = version;
    card->capabilities = dup_span(text, m->capabilities);
    if (!card->capabilities)
        card->capabilities = xstrdup("{}");
    card->server_info = dup_span(text, m->server_info);
    card->instructions = dup_span(text, m->instructions);
    struct slice caps = slice_str(card->capabilities);
    card->logging = capability(caps, "logging", NULL);
    card->tools_change = capability(caps, "tools", "listChanged");
    card->prompts_change = capability(caps, "prompts", "listChanged");
    card->resources_change = capability(caps, "resources", "listChanged");
    return card;
}

static enum mcp_version version_of(struct slice text, struct span at)
{
    struct slice raw = rpc_span(text, at);
    return raw.n >= 2 ? mcp_version_parse(slice_of(raw.p + 1, raw.n - 2)) : MCP_VERSION_NONE;
}

static void handshake_result(struct conn *c, struct slice text, const struct rpc_msg *m)
{
    enum mcp_version version = version_of(text, m->protocol_version);
    if (version == MCP_VERSION_NONE || version > MCP_LATEST_LEGACY) {
        conn_fail(
            c, REASON_VERSION, true,
            "the server answered initialize with a protocol version that mcpool does not speak");
        return;
    }
    c->card = card_new(text, m, version);
    struct server *s = c->pool->server;
    card_unref(s->card);
    s->card = card_ref(c->card);

    static const char initialized[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
    struct payload p = {.text = slice_of(initialized, sizeof(initialized) - 1)};
    conn_send(c, &p, NULL);

    char why[64];
    snprintf(why, sizeof(why), "handshake done, protocol %s", mcp_version_name(version));
    c->ready_at = conn_env(c)->now;
    c->answered = false;
    conn_set_state(c, CONN_READY, why);
    pool_on_conn_ready(c);
}

/* Before READY only the answer to initialize counts. A ping is answered; other requests are
 * refused, as a client that is not initialized would. */
static void handshake_message(struct conn *c, struct slice text, const struct rpc_msg *m)
{
    struct buf b = BUF_INIT;
    switch (m->kind) {
    case RPC_RESULT:
        if (slice_is(rpc_span(text, m->id), "1"))
            handshake_result(c, text, m);
        return;
    case RPC_ERROR:
        if (slice_is(rpc_span(text, m->id), "1") || m->id.n == 0)
            conn_fail(c, REASON_UPSTREAM_PROTOCOL, false, "the server refused initialize");
        return;
    case RPC_REQUEST:
        if (m->method == MCP_PING)
            rpc_write_result(&b, rpc_span(text, m->id), SLICE("{}"));
        else
            rpc_write_error(&b, rpc_span(text, m->id), MCP_E_METHOD_NOT_FOUND,
                            SLICE("Not available before initialization"), slice_of(NULL, 0));
        send_buf(c, &b);
        return;
    case RPC_NOTIFICATION:
    case RPC_BATCH:
    case RPC_INVALID:
        return;
    }
}

static void on_message(void *arg, struct payload *text, const struct rpc_msg *m)
{
    struct conn *c = arg;
    if (c->state == CONN_HANDSHAKE)
        handshake_message(c, text->text, m);
    else if (c->state == CONN_READY)
        c->pool->server->user->on_message(c, text, m);
}

static void on_discarded(void *arg, struct slice id, enum reason why)
{
    struct conn *c = arg;
    if (c->state == CONN_READY)
        c->pool->server->user->on_discarded(c, id, why);
}

static void on_drain(void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_READY)
        pool_on_conn_drain(c);
}

static void on_down(void *arg, enum reason why, bool fatal, const char *detail)
{
    struct conn *c = arg;
    conn_fail(c, why, fatal, detail);
}

static const struct transport_events events = {
    .on_open = on_open,
    .on_message = on_message,
    .on_discarded = on_discarded,
    .on_drain = on_drain,
    .on_down = on_down,
    .on_closed = on_closed,
};

void conn_open(struct conn *c)
{
    struct server *s = c->pool->server;
    c->epoch++;
    c->next_id = 1;
    c->failed = c->used = false;
    conn_set_state(c, CONN_CONNECTING, c->recovery.failures ? "attempt after a failure" : "wanted");
    env_timer_set(s->env, &c->timer, s->env->now + s->sc->resilience.operation_timeout);
    s->live++;
    c->transport = s->transport->open(s->transport_arg, s->sc, s->config, c->slot, &events, c);
}

void conn_init(struct conn *c, struct pool *pool, unsigned slot)
{
    c->pool = pool;
    c->slot = slot;
    LIST_INIT(&c->homed);
    timer_init(&c->timer, retry_due, c);
    pool->server->user->slot_init(c);
}

void conn_done(struct conn *c)
{
    env_timer_clear(conn_env(c), &c->timer);
    c->pool->server->user->slot_done(c);
}
