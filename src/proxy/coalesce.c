/* Identical lists at the same time are asked for once (protocol.md 1.1): a request for a list
 * follows one that is on its way on the same connection with the same method and cursor, and gets a
 * copy of its answer. Lists are read only and the server cannot tell the clients of a connection
 * apart, so nobody can see the difference but the server, which is spared a thousand equal
 * questions after each list_changed. Nobody follows a request that is older than the last thing the
 * server said: that may have been what the new one was asked for, and the answer under way may not
 * know of it. Nor one that has been reported as unanswered: else a server that hangs would be asked
 * nothing new as long as new clients come.
 *
 * The first is the leader and holds the place in the mux; the others hang in its list of followers.
 * When the leader ends early the first follower takes its place, so the server hears of a
 * cancellation only from the last. */
#include "internal.h"

#include <string.h>

void coalesce_init(struct call *c, struct slice params, const struct rpc_msg *m)
{
    struct json_iter it;
    struct slice key, value;
    LIST_INIT(&c->followers);
    switch ((int)m->method) {
    case MCP_TOOLS_LIST:
    case MCP_PROMPTS_LIST:
    case MCP_RESOURCES_LIST:
    case MCP_RESOURCES_TEMPLATES_LIST:
        break;
    default:
        return;
    }
    c->is_list = c->can_follow = c->first_page = true;
    /* Anything but a cursor may mean something to the server. */
    it = json_iter(params);
    while (params.n && json_next_member(&it, &key, &value)) {
        bool is_cursor = json_string_is(key, "cursor");
        if (is_cursor)
            c->first_page = false;
        if (!is_cursor || value.n > sizeof(c->cursor)) {
            c->can_follow = false;
            continue;
        }
        memcpy(c->cursor, value.p, value.n);
        c->cursor_n = value.n;
    }
}

bool coalesce_join(struct call *c)
{
    struct mux *m = mux_of(c->ticket.conn);
    struct uplink *u;
    if (!c->can_follow)
        return false;
    c->heard = m->heard;
    for (size_t pos = 0; (u = mux_next(m, &pos)) != NULL;) {
        if (u->on_answer != call_on_answer)
            continue;
        struct call *other = container_of(u, struct call, up);
        if (!other->can_follow || u->given_up || other->heard != m->heard ||
            other->method != c->method || other->cursor_n != c->cursor_n ||
            memcmp(other->cursor, c->cursor, c->cursor_n) != 0)
            continue;
        c->leader = other;
        LIST_INSERT_HEAD(&other->followers, c, follow_link);
        return true;
    }
    return false;
}

struct call *coalesce_take(struct call *leader)
{
    struct call *f = LIST_FIRST(&leader->followers);
    if (f) {
        LIST_REMOVE(f, follow_link);
        f->leader = NULL;
    }
    return f;
}

/* The first follower takes over the request that is on its way, and the other followers. */
static void hand_over(struct call *c)
{
    struct call *heir = coalesce_take(c), *f;
    mux_replace(mux_of(c->up.conn), &c->up, &heir->up);
    while ((f = coalesce_take(c)) != NULL) {
        f->leader = heir;
        LIST_INSERT_HEAD(&heir->followers, f, follow_link);
    }
}

void coalesce_leave(struct call *c)
{
    if (c->leader) {
        LIST_REMOVE(c, follow_link);
        c->leader = NULL;
    } else if (c->up.id && !LIST_EMPTY(&c->followers)) {
        hand_over(c);
    }
}
