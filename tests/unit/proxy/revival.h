/* What tests of sessions that outlive the process share. A restart is a second proxy with the same
 * key and the same store; a kill is one with the store of that moment. */
#ifndef TESTS_UNIT_PROXY_REVIVAL_H
#define TESTS_UNIT_PROXY_REVIVAL_H

#include "mem_store.h"
#include "world.h"

#include "proxy/internal.h"

#define LEVEL(id, level)                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":" id                                                              \
    ",\"method\":\"logging/setLevel\",\"params\":{\"level\":\"" level "\"}}"
#define SUBSCRIPTION(id, method, uri)                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"resources/" method                            \
    "\",\"params\":{\"uri\":\"" uri "\"}}"
#define LIST(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/list\"}"

#define DAY (86400 * USEC_PER_SEC)

static struct mem_store store;
static unsigned char key[SESSION_KEY_SIZE];
static usec_t wall;
static char id[256]; /* of the latest session that was opened */

static usec_t wall_clock(void)
{
    return wall;
}

static inline void wires(struct proxy_transports *tr)
{
    tr->session_key = key;
    tr->wall_clock = wall_clock;
    tr->store = &store.base;
}

static inline void setup(void)
{
    world_wires = wires;
    mem_store_init(&store);
    memset(key, 1, sizeof(key));
    wall = 1800000000 * USEC_PER_SEC;
}

static inline void teardown(void)
{
    mem_store_done(&store);
}

static inline void begin(const char *extra, const char *top)
{
    world_new(extra, top);
    proxy_start(w.proxy);
    turn();
}

/* A client of Streamable HTTP. */
static inline void open_http(struct client *c, const char *principal, const char *capabilities)
{
    char text[512];
    memset(c, 0, sizeof(*c));
    c->channel = (struct channel){.ops = &client_ops, .refs = 1};
    ck_assert_int_eq(session_new(w.proxy, route_at(w.proxy, 0), principal, SESSION_HTTP,
                                 &session_ops, c, &c->session),
                     0);
    session_set_push(c->session, &c->channel);
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
             "\"protocolVersion\":\"2025-06-18\",\"capabilities\":%s,"
             "\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}",
             capabilities);
    client_say(c, text);
    ck_assert_has(client_read(c), "\"result\"");
    snprintf(id, sizeof(id), "%s", session_id(c->session));
}

/* The client comes back with `id`; what session_revive says. */
static inline int come_back(struct client *c, const char *principal)
{
    memset(c, 0, sizeof(*c));
    c->channel = (struct channel){.ops = &client_ops, .refs = 1};
    ck_assert_ptr_null(session_find(w.proxy, route_at(w.proxy, 0), principal, slice_str(id)));
    int r = session_revive(w.proxy, route_at(w.proxy, 0), principal, slice_str(id), &session_ops, c,
                           &c->session);
    if (r == 0)
        session_set_push(c->session, &c->channel);
    return r;
}

/* What is left of a client whose session ended with the proxy. */
static inline void forget(struct client *c)
{
    if (c->session)
        ck_assert(c->ended);
    client_close(c);
}

/* The daemon is stopped in good order. */
static inline void stop(struct client *c)
{
    world_end();
    forget(c);
}

/* The daemon is killed: its end leaves no traces in the store. */
static inline void kill_9(struct client *c)
{
    char *then = mem_store_save(&store);
    stop(c);
    mem_store_load(&store, then);
    free(then);
}

static inline void answer(struct fake *f, const char *request, const char *part)
{
    uint64_t up;
    ck_assert_has(request, part);
    ck_assert(json_u64(json_get(slice_str(request), "id"), &up));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    turn();
}

static inline void subscribe(struct client *c, const char *request)
{
    client_say(c, request);
    const char *m = fake_read(fake_at(0));
    if (m && strstr(m, "logging/setLevel"))
        m = fake_read(fake_at(0));
    answer(fake_at(0), m, "resources/subscribe");
    do
        m = client_read(c);
    while (m && !strstr(m, "\"result\":{}"));
    ck_assert_ptr_nonnull(m);
}

static inline const char *stored(const char *part)
{
    buf_append(&store.lines, "", 1);
    const char *at = strstr(buf_peek(&store.lines).p, part);
    store.lines.tail--;
    return at;
}

#endif
