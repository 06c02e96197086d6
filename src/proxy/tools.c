/* Which tools may be called twice: those whose definitions say readOnlyHint or idempotentHint. Read
 * from the answers to tools/list that pass by, and only when the operator has declared the server
 * trustworthy enough for it (`"replay": "annotated"`); annotations are the server's own word.
 *
 * Only the harmless ones are remembered, so what is not known, did not fit or came in too large an
 * answer counts as harmful. A first page replaces everything, list_changed forgets it. */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX       4096
#define NAMES_BYTES_MAX ((size_t)256 * 1024)
#define NAME_MAX_BYTES  ((size_t)1024)

struct tool {
    UT_hash_handle hh;
    size_t name_n;
    char name[];
};

static struct tool *find(const struct pool_state *st, struct slice name)
{
    struct tool *t;
    HASH_FIND(hh, st->tools, name.p, name.n, t);
    return t;
}

static void drop(struct pool_state *st, struct tool *t)
{
    assert(st->tools); /* t is in there */
    HASH_DEL(st->tools, t);
    st->tools_bytes -= t->name_n;
    free(t);
}

static void add(struct pool_state *st, struct slice name)
{
    if (find(st, name) || HASH_COUNT(st->tools) >= NAMES_MAX ||
        st->tools_bytes + name.n > NAMES_BYTES_MAX)
        return;
    struct tool *t = xcalloc(1, sizeof(*t) + name.n);
    t->name_n = name.n;
    memcpy(t->name, name.p, name.n);
    HASH_ADD_KEYPTR(hh, st->tools, t->name, t->name_n, t);
    st->tools_bytes += name.n;
}

static bool is_true(struct slice obj, const char *key)
{
    return json_type_of(json_get(obj, key)) == JSON_TRUE;
}

static void learn_one(struct pool_state *st, struct slice tool)
{
    struct slice hints = json_get(tool, "annotations");
    bool harmless = json_type_of(hints) == JSON_OBJECT &&
                    (is_true(hints, "readOnlyHint") || is_true(hints, "idempotentHint"));
    struct buf name = BUF_INIT;
    if (json_unescape(json_get(tool, "name"), &name, NAME_MAX_BYTES)) {
        struct tool *known = find(st, buf_peek(&name));
        if (harmless)
            add(st, buf_peek(&name));
        else if (known)
            drop(st, known);
    }
    buf_done(&name);
}

void tools_forget(struct pool *p)
{
    struct pool_state *st = p->user;
    struct tool *t, *next;
    HASH_ITER (hh, st->tools, t, next)
        drop(st, t);
}

void tools_learn(struct pool *p, struct slice result, bool first_page)
{
    struct slice tool, list;
    if (p->server->sc->options.replay != CONFIG_REPLAY_ANNOTATED)
        return;
    if (first_page)
        tools_forget(p);
    if (result.n > LIST_RESULT_MAX || json_type_of(result) != JSON_OBJECT)
        return;
    list = json_get(result, "tools");
    if (json_type_of(list) != JSON_ARRAY)
        return;
    for (struct json_iter it = json_iter(list); json_next_element(&it, &tool);)
        if (json_type_of(tool) == JSON_OBJECT)
            learn_one(p->user, tool);
}

bool tools_are_harmless(const struct pool *p, struct slice raw_name)
{
    struct buf name = BUF_INIT;
    bool harmless = raw_name.n && json_unescape(raw_name, &name, NAME_MAX_BYTES) &&
                    find(p->user, buf_peek(&name));
    buf_done(&name);
    return harmless;
}
