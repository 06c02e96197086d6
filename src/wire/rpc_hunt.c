/* The id of a message that is too large to keep: the scanner runs over what passes, and the bytes
 * of one value are caught. The first usable id ends the hunt; in text that stops being JSON before,
 * there is none. */
#include "json_watch.h"
#include "wire/rpc.h"

#include "base/util.h"

#include <assert.h>

struct hunt {
    struct json_scan json;
    struct json_carry carry; /* a cut key; then the id, which ends up complete in here */
    bool is_id;              /* the value at hand is the id's */
    bool found;
};
static_assert(sizeof(struct hunt) <= sizeof(struct rpc_id_hunt), "opaque must hold a hunt");

static inline void json_watch_key(struct json_scan *json, unsigned depth, size_t at, size_t n,
                                  const uint8_t *text)
{
    struct hunt *h = container_of(json, struct hunt, json);
    char store[8];
    struct slice token;

    (void)depth; /* there is but one that is watched and has keys */
    if (h->found)
        return;
    token = json_carry_take(&h->carry, json, at, n);
    h->is_id =
        slice_is(json_plain(token, text == NULL && json->escaped, store, sizeof(store)), "id");
}

static inline void json_watch_value(struct json_scan *json, unsigned depth, size_t at, size_t n,
                                    unsigned is, const uint8_t *text)
{
    struct hunt *h = container_of(json, struct hunt, json);
    struct slice token;

    (void)depth, (void)text;
    if (!h->is_id)
        return;
    h->is_id = false;
    if (!(is & (JSON_IS(JSON_STRING) | JSON_IS_INTEGER)))
        return;
    token = json_carry_take(&h->carry, json, at, n);
    if (token.n == 0 || token.n > JSON_CARRY_MAX)
        return;
    memmove(h->carry.bytes, token.p, token.n);
    h->carry.n = (uint16_t)token.n;
    h->found = true;
}

/* Of the root's members alone. */
static inline bool json_watch_open(struct json_scan *json, unsigned depth)
{
    (void)json;
    return depth == 0;
}

void rpc_id_hunt_init(struct rpc_id_hunt *h)
{
    struct hunt hunt = {.found = false};

    json_scan_init(&hunt.json, JSON_DEPTH_CAP, true);
    memcpy(h->opaque, &hunt, sizeof(hunt));
}

void rpc_id_hunt_feed(struct rpc_id_hunt *h, struct slice piece)
{
    struct hunt hunt;

    memcpy(&hunt, h->opaque, sizeof(hunt));
    if (hunt.found)
        return;
    if (json_watch_feed(&hunt.json, piece) == JSON_OK && !hunt.found)
        json_carry_save(&hunt.carry, &hunt.json);
    memcpy(h->opaque, &hunt, sizeof(hunt));
}

size_t rpc_id_hunt_get(const struct rpc_id_hunt *h, char *ret_id, size_t cap)
{
    struct hunt hunt;

    memcpy(&hunt, h->opaque, sizeof(hunt));
    if (!hunt.found || hunt.carry.n > cap)
        return 0;
    memcpy(ret_id, hunt.carry.bytes, hunt.carry.n);
    return hunt.carry.n;
}
