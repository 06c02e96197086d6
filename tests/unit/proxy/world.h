/* A small world for the core: a virtual clock, scripted servers in place of transports, and clients
 * that write down what they are sent. The code under test is the real pool, session, mux and call
 * code. */
#ifndef TESTS_UNIT_PROXY_WORLD_H
#define TESTS_UNIT_PROXY_WORLD_H

#include "base/util.h"
#include "proxy/call.h"
#include "proxy/proxy.h"
#include "proxy/route.h"
#include "proxy/session.h"
#include "upstream/transport.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- scripted server ---- */

#define MESSAGES_MAX 512

struct fake {
    struct transport base;
    const struct transport_events *ev;
    void *arg;
    unsigned slot;
    const struct server_config *sc; /* what it was made from, to be there as long as it is */
    struct task task;               /* the next thing that happens to it by itself … */
    struct timer timer;             /* … or later */
    bool opened, closed, down;
    char *got[MESSAGES_MAX]; /* what it was sent, oldest first */
    unsigned got_n, read_n;
    uint64_t marks;
    uint64_t
        stuck_from; /* messages with a mark from this one on were never handed over; 0 = none */
    size_t pending;
    void *model; /* a test's own */
    struct fake *next;
};

struct client;

/* A test that watches instead of reading: messages are handed to these and not kept. */
struct watch {
    void (*server_got)(struct fake *f, uint64_t mark, const char *line);
    void (*server_closing)(struct fake *f, bool now);
    void (*server_gone)(struct fake *f);
    /* taken: what send will return is 0 */
    void (*client_got)(struct client *c, struct call *call, enum delivery kind, const char *line,
                       bool taken);
    void (*client_silent)(struct client *c, struct call *call);
};

/* What every new server of the world does. */
static struct world {
    struct env env;
    struct config *config;
    struct proxy *proxy;
    struct fake *fakes; /* alive, newest first */
    unsigned opens;     /* transports opened so far */
    bool refuse;        /* the next ones fail at once … */
    bool fatal;         /* … for good */
    bool mute;          /* … do not answer initialize */
    const char *card;   /* capabilities in their InitializeResult */
    const char *version;
    usec_t start_delay; /* until a new one has started or failed to … */
    usec_t close_delay; /* … and until one that is closed politely has gone */
    bool stopped;
    const struct watch *watch;
} w;

static void fake_answer(struct fake *f, const char *text)
{
    struct rpc_msg m;
    ck_assert_msg(rpc_parse(slice_str(text), 128, &m, NULL) == RPC_OK, "bad test message: %s",
                  text);
    struct payload p = {.text = slice_str(text)};
    f->ev->on_message(f->arg, &p, &m);
}

__attribute__((format(printf, 2, 3), unused)) static void fake_say(struct fake *f, const char *fmt,
                                                                   ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fake_answer(f, text);
}

static void fake_finish(void *arg)
{
    struct fake *f = arg;
    if (!f->closed) { /* the outcome of open */
        if (w.refuse) {
            f->down = true;
            f->ev->on_down(f->arg, REASON_UPSTREAM_UNAVAILABLE, w.fatal, "refused by the test");
        } else {
            f->opened = true;
            f->ev->on_open(f->arg);
        }
        return;
    }
    struct fake **at = &w.fakes;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    env_timer_clear(&w.env, &f->timer);
    if (w.watch)
        w.watch->server_gone(f);
    ck_assert_ptr_nonnull(f->sc->name);
    f->ev->on_closed(f->arg);
    for (unsigned i = 0; i < f->got_n; i++)
        free(f->got[i]);
    free(f);
}

static const struct transport_ops fake_ops;

static void fake_later(struct fake *f, usec_t delay)
{
    if (delay)
        env_timer_set(&w.env, &f->timer, w.env.now + delay);
    else
        env_defer(&w.env, &f->task);
}

static struct transport *fake_open(void *tr_arg, const struct server_config *sc,
                                   const struct config *config, unsigned slot,
                                   const struct transport_events *ev, void *ev_arg)
{
    (void)tr_arg, (void)config;
    struct fake *f = xcalloc(1, sizeof(*f));
    f->base.ops = &fake_ops;
    f->ev = ev;
    f->arg = ev_arg;
    f->slot = slot;
    f->sc = sc;
    f->next = w.fakes;
    w.fakes = f;
    w.opens++;
    task_init(&f->task, fake_finish, f);
    timer_init(&f->timer, fake_finish, f);
    fake_later(f, w.start_delay);
    return &f->base;
}

static void fake_handshake(void *arg)
{
    struct fake *f = arg;
    task_init(&f->task, fake_finish, f);
    if (f->closed) {
        env_defer(&w.env, &f->task);
        return;
    }
    fake_say(f,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"%s\","
             "\"capabilities\":%s,"
             "\"serverInfo\":{\"name\":\"fake\",\"version\":\"7\"}}}",
             w.version ? w.version : "2025-11-25",
             w.card ? w.card
                    : "{\"tools\":{\"listChanged\":true},\"logging\":{},"
                      "\"resources\":{\"subscribe\":true}}");
}

static uint64_t fake_send(struct transport *t, const struct payload *text,
                          const struct rpc_edits *edits)
{
    struct fake *f = (struct fake *)t;
    struct buf b = BUF_INIT;
    size_t n;
    if (edits)
        rpc_edit_append(&b, text->text, edits);
    else
        buf_append_slice(&b, text->text);
    buf_append(&b, "", 1);
    char *line = buf_take(&b, &n);
    f->marks++;
    if (strstr(line, "\"method\":\"initialize\"") && !w.mute) {
        task_init(&f->task, fake_handshake, f);
        env_defer(&w.env, &f->task);
    }
    if (w.watch) {
        w.watch->server_got(f, f->marks, line);
        free(line);
    } else if (f->got_n >= MESSAGES_MAX / 2 && strstr(line, "\"method\":\"ping\"")) {
        free(line); /* days of them */
    } else {
        ck_assert_uint_lt(f->got_n, MESSAGES_MAX);
        f->got[f->got_n++] = line;
    }
    return f->marks;
}

static bool fake_handed_over(const struct transport *t, uint64_t mark)
{
    const struct fake *f = (const struct fake *)t;
    return mark <= f->marks && !(f->stuck_from && mark >= f->stuck_from);
}

static size_t fake_pending(const struct transport *t)
{
    return ((const struct fake *)t)->pending;
}

static void fake_close(struct transport *t, bool now)
{
    struct fake *f = (struct fake *)t;
    bool first = !f->closed;
    if (first && w.watch)
        w.watch->server_closing(f, now);
    f->closed = true;
    if (first && !now && w.close_delay) {
        env_timer_set(&w.env, &f->timer, w.env.now + w.close_delay);
    } else if (first || now) {
        env_timer_clear(&w.env, &f->timer);
        env_defer(&w.env, &f->task);
    }
}

static const struct transport_ops fake_ops = {
    .name = "fake",
    .open = fake_open,
    .send = fake_send,
    .handed_over = fake_handed_over,
    .pending = fake_pending,
    .close = fake_close,
};

/* The connection dies with everything on it. */
__attribute__((unused)) static void fake_die(struct fake *f)
{
    f->down = true;
    f->ev->on_down(f->arg, REASON_UPSTREAM_LOST, false, "killed by the test");
}

/* The newest message that the server got and that was not looked at yet, NULL when there is none.
 * Handshake messages and pings are skipped. */
__attribute__((unused)) static const char *fake_read(struct fake *f)
{
    while (f->read_n < f->got_n) {
        const char *m = f->got[f->read_n++];
        if (!strstr(m, "\"method\":\"initialize\"") && !strstr(m, "notifications/initialized") &&
            !strstr(m, "\"method\":\"ping\""))
            return m;
    }
    return NULL;
}

/* How many pings it was sent. */
__attribute__((unused)) static unsigned fake_pings(const struct fake *f)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->got_n; i++)
        n += strstr(f->got[i], "\"method\":\"ping\"") != NULL;
    return n;
}

__attribute__((unused)) static struct fake *fake_at(unsigned slot)
{
    for (struct fake *f = w.fakes; f; f = f->next)
        if (f->slot == slot && !f->closed)
            return f;
    return NULL;
}

/* ---- clients ---- */

struct client {
    struct channel channel;
    struct session *session;
    char *got[MESSAGES_MAX];
    enum delivery kinds[MESSAGES_MAX];
    unsigned got_n, read_n, silent;
    bool deaf;      /* can_ask is false */
    bool broken;    /* send fails */
    bool json_only; /* a channel that carries nothing but answers */
    bool ended;     /* session_ops.on_end came */
};

static int client_send(struct channel *ch, struct call *call, enum delivery kind,
                       const struct payload *text, const struct rpc_edits *edits)
{
    struct client *c = container_of(ch, struct client, channel);
    struct buf b = BUF_INIT;
    int r = c->broken ? -EPIPE : c->json_only && kind != DELIVER_ANSWER ? -ENOTSUP : 0;
    if (r < 0 && !w.watch)
        return r;
    if (edits)
        rpc_edit_append(&b, text->text, edits);
    else
        buf_append_slice(&b, text->text);
    buf_append(&b, "", 1);
    char *line = buf_take(&b, &(size_t){0});
    if (w.watch) {
        w.watch->client_got(c, call, kind, line, r == 0);
        free(line);
        return r;
    }
    ck_assert_uint_lt(c->got_n, MESSAGES_MAX);
    c->kinds[c->got_n] = kind;
    c->got[c->got_n++] = line;
    return 0;
}

static void client_silent_end(struct channel *ch, struct call *call)
{
    struct client *c = container_of(ch, struct client, channel);
    c->silent++;
    if (w.watch)
        w.watch->client_silent(c, call);
}

static bool client_can_ask(const struct channel *ch)
{
    const struct client *c = container_of((struct channel *)ch, struct client, channel);
    return !c->deaf && !c->json_only;
}

static void client_free(struct channel *ch)
{
    (void)ch;
}

static const struct channel_ops client_ops = {
    .send = client_send,
    .silent_end = client_silent_end,
    .can_ask = client_can_ask,
    .free = client_free,
};

static void client_on_end(void *data)
{
    struct client *c = data;
    ck_assert(!c->ended);
    c->ended = true;
}

static const struct session_ops session_ops = {.on_end = client_on_end};

static void turn(void)
{
    for (int i = 0; i < 20; i++)
        env_run(&w.env, w.env.now);
}

/* Lets virtual time pass, timer by timer. */
__attribute__((unused)) static void pass(usec_t span)
{
    usec_t end = w.env.now + span;
    turn();
    for (usec_t due; (due = env_next_due(&w.env)) <= end;) {
        env_run(&w.env, due > w.env.now ? due : w.env.now);
        turn();
    }
    env_run(&w.env, end);
    turn();
}

static void client_say(struct client *c, const char *text)
{
    struct rpc_msg m;
    ck_assert_msg(rpc_parse(slice_str(text), 128, &m, NULL) == RPC_OK, "bad test message: %s",
                  text);
    /* A copy that goes away, so that nobody may keep pointers into it. */
    char *copy = xstrdup(text);
    struct payload p = {.text = slice_str(copy)};
    session_submit(c->session, &c->channel, &p, &m);
    memset(copy, 'x', strlen(text));
    free(copy);
    turn();
}

/* The next message that the client got, NULL when there is none. */
static const char *client_read(struct client *c)
{
    return c->read_n < c->got_n ? c->got[c->read_n++] : NULL;
}

static void client_open_as(struct client *c, const char *principal, const char *capabilities,
                           const char *version)
{
    char text[1024];
    memset(c, 0, sizeof(*c));
    c->channel = (struct channel){.ops = &client_ops, .refs = 1};
    ck_assert_int_eq(session_new(w.proxy, route_at(w.proxy, 0), principal, SESSION_LINE,
                                 &session_ops, c, &c->session),
                     0);
    session_set_push(c->session, &c->channel);
    snprintf(
        text, sizeof(text),
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
        "\"%s\",\"capabilities\":%s,\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}",
        version, capabilities ? capabilities : "{}");
    client_say(c, text);
}

static void client_open(struct client *c, const char *principal, const char *capabilities)
{
    client_open_as(c, principal, capabilities, "2025-06-18");
}

/* Opened and its InitializeResult read. */
__attribute__((unused)) static void client_ready(struct client *c)
{
    client_open(c, "anonymous", NULL);
    const char *m = client_read(c);
    ck_assert_ptr_nonnull(m);
    ck_assert_msg(strstr(m, "\"protocolVersion\":\"2025-06-18\"") != NULL, "%s", m);
}

__attribute__((unused)) static void client_close(struct client *c)
{
    if (c->session && !c->ended)
        session_end(c->session);
    turn();
    ck_assert_uint_eq(c->channel.refs, 1);
    for (unsigned i = 0; i < c->got_n; i++)
        free(c->got[i]);
}

/* ---- the world ---- */

static uint64_t test_random_state = 88172645463325252u;

static void test_random(void *arg, void *out, size_t n)
{
    uint64_t x = test_random_state;
    unsigned char *p = out;
    (void)arg;
    while (n-- > 0) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        *p++ = (unsigned char)(x >> 24);
    }
    test_random_state = x;
}

/* Set by tests that give the proxy more than its servers. */
static void (*world_wires)(struct proxy_transports *tr);

static struct config *world_parse(const char *text)
{
    struct config *config;
    struct config_errors errs;
    config_errors_init(&errs);
    int r = config_parse(slice_str(text), NULL, &config, &errs);
    if (r < 0)
        config_errors_write(&errs, stderr);
    ck_assert_int_eq(r, 0);
    config_errors_done(&errs);
    return config;
}

/* A world of the servers in this configuration file. */
static void world_load(const char *text)
{
    memset(&w, 0, sizeof(w));
    env_init(&w.env, test_random, NULL);
    w.env.now = 1000 * USEC_PER_SEC;
    w.config = world_parse(text);
    log_set_level(getenv("TRACE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_CRITICAL);
    struct proxy_transports tr = {.stdio = &fake_ops};
    if (world_wires)
        world_wires(&tr);
    w.proxy = proxy_new(&w.env, w.config, &tr);
}

/* extra: further members of the one server's entry, e.g. ",\"sharing\":\"session\""; top: further
 * members of the file. */
static const char *world_text(const char *extra, const char *top)
{
    static char text[2048];
    snprintf(text, sizeof(text),
             "{\"runtime_dir\":\"/nonexistent\",\"state_dir\":\"/"
             "nonexistent\",\"mcpServers\":{\"fake\":{"
             "\"command\":\"fake\"%s}}%s}",
             extra ? extra : "", top ? top : "");
    return text;
}

static void world_new(const char *extra, const char *top)
{
    world_load(world_text(extra, top));
}

static void world_stopped(void *arg)
{
    (void)arg;
    w.stopped = true;
}

/* Everything must come to rest: no session, no transport, no timer. */
static void world_end(void)
{
    proxy_stop(w.proxy, world_stopped, NULL);
    turn();
    if (!w.stopped) {
        proxy_stop(w.proxy, world_stopped, NULL);
        turn();
    }
    ck_assert(w.stopped);
    ck_assert_ptr_null(w.fakes);
    ck_assert_uint_eq(proxy_session_count(w.proxy), 0);
    proxy_free(w.proxy);
    config_unref(w.config);
    ck_assert_uint_eq(env_next_due(&w.env), USEC_NEVER);
    env_done(&w.env);
}

#define ck_assert_has(text, part)                                                                  \
    do {                                                                                           \
        const char *t_ = (text);                                                                   \
        ck_assert_msg(t_ &&strstr(t_, (part)), "no %s in: %s", (part), t_ ? t_ : "(nothing)");     \
    } while (0)

#endif
