/* The id of a message that is too large to keep: the scanner runs over what passes, and the bytes
 * of one value are caught. The first usable id ends the hunt; in text that stops being JSON before,
 * there is none. */
#include "json_scan.h"
#include "wire/rpc.h"

#include <assert.h>

struct hunt {
    struct json_scan json;
    struct json_carry carry; /* a cut key; then the id, which ends up complete in here */
    bool is_id;              /* the value at hand is the id's */
    bool found;
};
static_assert(sizeof(struct hunt) <= sizeof(struct rpc_id_hunt), "opaque must hold a hunt");

void rpc_id_hunt_init(struct rpc_id_hunt *h)
{
    struct hunt hunt = {.found = false};

    json_scan_init(&hunt.json, JSON_DEPTH_CAP);
    hunt.json.dive = true;
    memcpy(h->opaque, &hunt, sizeof(hunt));
}

static void take_key(struct hunt *h)
{
    char store[8];
    struct slice token = json_carry_take(&h->carry, &h->json, h->json.token_at);

    h->is_id = slice_is(json_plain(token, h->json.escaped, store, sizeof(store)), "id");
    h->json.dive = false;
}

static void take_id(struct hunt *h)
{
    struct slice token = json_carry_take(&h->carry, &h->json, json_scan_value_at(&h->json));

    h->is_id = false;
    if (h->json.type != JSON_STRING && !(h->json.type == JSON_NUMBER && h->json.integer))
        return;
    if (token.n == 0 || token.n > JSON_CARRY_MAX)
        return;
    memmove(h->carry.bytes, token.p, token.n);
    h->carry.n = (uint16_t)token.n;
    h->found = true;
}

void rpc_id_hunt_feed(struct rpc_id_hunt *h, struct slice piece)
{
    struct hunt hunt;
    enum json_event event;

    memcpy(&hunt, h->opaque, sizeof(hunt));
    if (hunt.found)
        return;
    json_scan_feed(&hunt.json, piece);
    do {
        event = json_scan_next(&hunt.json);
        if (event == JSON_KEY)
            take_key(&hunt);
        else if (event == JSON_VALUE && hunt.is_id)
            take_id(&hunt);
    } while (!hunt.found && (event == JSON_KEY || event == JSON_VALUE));
    if (event == JSON_MORE)
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
