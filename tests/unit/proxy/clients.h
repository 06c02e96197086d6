/* What tests with several clients of one server share. */
#ifndef TESTS_UNIT_PROXY_CLIENTS_H
#define TESTS_UNIT_PROXY_CLIENTS_H

#include "world.h"

#define CALL(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}"

static struct client a, b;

static inline uint64_t id_of(const char *message)
{
    uint64_t id = 0;
    ck_assert_ptr_nonnull(message);
    ck_assert(json_u64(json_get(slice_str(message), "id"), &id));
    return id;
}

static inline void open_ready(struct client *c, const char *capabilities)
{
    client_open(c, "anonymous", capabilities);
    ck_assert_has(client_read(c), "\"result\"");
}

static inline void begin(const char *extra)
{
    world_new(extra, NULL);
    proxy_start(w.proxy);
    turn();
}

/* The fake behind a client: the one that gets its probe. */
static inline struct fake *fake_of(struct client *c)
{
    client_say(c, CALL("\"probe\""));
    for (struct fake *f = w.fakes; f; f = f->next) {
        const char *m = fake_read(f);
        if (!m)
            continue;
        uint64_t up = id_of(m);
        fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
        ck_assert_has(client_read(c), "probe");
        return f;
    }
    ck_abort_msg("nobody got the probe");
    return NULL;
}

#endif
