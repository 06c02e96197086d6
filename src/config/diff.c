/* The plan of a reload, and the snapshot that comes of it.
 *
 * Every row of the option table is looked at, each in the way that its type is stored, so a row
 * that is added to the table is in the plan from then on. What a change costs is the row's to say
 * (`reloadable`, `renews`). Values are never told: they may be secrets.
 *
 * A row that only a restart can change keeps its old value for as long as the process lives. So
 * that nobody has to look into two snapshots, config_keep writes the old values into the new one
 * before anybody else sees it: what is in force is always one snapshot, and the next reload, which
 * compares with it, says of the same key again that it waits for a restart. */
#include "config/diff.h"

#include "config/arena.h"
#include "config/servers.h"

#include "base/util.h"

#include <assert.h>
#include <stdlib.h>

const char *config_effect_name(enum config_effect e)
{
    switch (e) {
    case CONFIG_EFFECT_LIVE:
        return "live";
    case CONFIG_EFFECT_RENEW:
        return "renew";
    case CONFIG_EFFECT_RESTART:
        return "restart";
    }
    return "?";
}

const char *config_server_fate_name(enum config_server_fate f)
{
    switch (f) {
    case CONFIG_SERVER_ADDED:
        return "added";
    case CONFIG_SERVER_REMOVED:
        return "removed";
    case CONFIG_SERVER_CHANGED:
        return "changed";
    case CONFIG_SERVER_UNTOUCHED:
        return "untouched";
    }
    return "?";
}

static enum config_effect effect_of(const struct config_row *row)
{
    if (!row->reloadable)
        return CONFIG_EFFECT_RESTART;
    return row->renews ? CONFIG_EFFECT_RENEW : CONFIG_EFFECT_LIVE;
}

/* ---- values ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_strings(const struct config_strings *a, const struct config_strings *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return true;
}

static bool same_pairs(const struct config_pairs *a, const struct config_pairs *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i].name, b->v[i].name) != 0 || strcmp(a->v[i].value, b->v[i].value) != 0)
            return false;
    return true;
}

/* What follows argv[0], which is the command. */
static bool same_args(const struct server_config *a, const struct server_config *b)
{
    const char *const *x = a->argv, *const *y = b->argv;
    if (!x || !y)
        return x == y;
    do {
        x++;
        y++;
    } while (*x && *y && strcmp(*x, *y) == 0);
    return !*x && !*y;
}

static bool same_listen(const struct config *a, const struct config *b)
{
    if (a->listen_n != b->listen_n)
        return false;
    for (size_t i = 0; i < a->listen_n; i++)
        if (strcmp(a->listen[i].text, b->listen[i].text) != 0)
            return false;
    return true;
}

static bool same_admin_listen(const struct config *a, const struct config *b)
{
    const struct config_listen *x = a->admin_listen, *y = b->admin_listen;
    return same_text(x ? x->text : NULL, y ? y->text : NULL);
}

/* Names, servers and digests in the order of the files: another order is a change that changes
 * nothing. */
static bool same_tokens(const struct config *a, const struct config *b)
{
    if (a->tokens_n != b->tokens_n || a->secrets_n != b->secrets_n)
        return false;
    for (size_t i = 0; i < a->tokens_n; i++) {
        const struct config_token *x = &a->tokens[i], *y = &b->tokens[i];
        if (strcmp(x->name, y->name) != 0 || x->all_servers != y->all_servers ||
            !same_strings(&x->servers, &y->servers))
            return false;
    }
    for (size_t i = 0; i < a->secrets_n; i++)
        if (a->secrets[i].token != b->secrets[i].token ||
            memcmp(a->secrets[i].digest, b->secrets[i].digest, CONFIG_SECRET_DIGEST) != 0)
            return false;
    return true;
}

static const void *member_at(const struct config_row *row, const void *base)
{
    return (const char *)base + row->offset;
}

/* A row that is stored through its offset in the section structs at a and b. */
static bool same_stored(const struct config_row *row, const void *a, const void *b)
{
    switch (row->type) {
    case CONFIG_TYPE_BOOL:
    case CONFIG_TYPE_COUNT:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_RATE:
    case CONFIG_TYPE_DURATION:
    case CONFIG_TYPE_ENUM:
    case CONFIG_TYPE_FLAGS:
        return config_row_value(row, a) == config_row_value(row, b);
    case CONFIG_TYPE_CHOICE:
    case CONFIG_TYPE_PATH:
        return same_text(*(const char *const *)member_at(row, a),
                         *(const char *const *)member_at(row, b));
    case CONFIG_TYPE_HOSTS:
    case CONFIG_TYPE_ORIGINS:
        return same_strings(member_at(row, a), member_at(row, b));
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_STRINGS:
    case CONFIG_TYPE_MAP:
    case CONFIG_TYPE_LISTEN:
    case CONFIG_TYPE_SECTION:
        break;
    }
    return false; /* one that nobody compares by its name always differs, and a test notices */
}

static bool is_stored(const struct config_row *row)
{
    return row->type < CONFIG_TYPE_STRING;
}

/* Rows of the top that have a shape of their own; sections differ by their rows. */
static bool same_top(const struct config_row *row, const struct config *a, const struct config *b)
{
    if (strcmp(row->key, "tokens") == 0)
        return same_tokens(a, b);
    if (row->type == CONFIG_TYPE_SECTION)
        return true;
    if (row->type == CONFIG_TYPE_LISTEN)
        return same_listen(a, b);
    if (strcmp(row->key, "admin_listen") == 0)
        return same_admin_listen(a, b);
    if (strcmp(row->key, "admin") == 0)
        return same_text(a->admin_path, b->admin_path);
    return same_stored(row, a, b);
}

/* Rows that say what a server is. */
static bool same_endpoint(const struct config_row *row, const struct server_config *a,
                          const struct server_config *b)
{
    if (row->type == CONFIG_TYPE_SECTION)
        return true;
    if (strcmp(row->key, "type") == 0)
        return a->transport == b->transport;
    if (strcmp(row->key, "command") == 0)
        return same_text(a->command, b->command);
    if (strcmp(row->key, "args") == 0)
        return same_args(a, b);
    if (strcmp(row->key, "env") == 0)
        return same_strings(&a->env, &b->env);
    if (strcmp(row->key, "cwd") == 0)
        return same_text(a->cwd, b->cwd);
    if (strcmp(row->key, "url") == 0)
        return same_text(a->url, b->url);
    if (strcmp(row->key, "headers") == 0)
        return same_pairs(&a->headers, &b->headers);
    return same_stored(row, a, b);
}

/* ---- changes ---- */

struct changes {
    struct config_change *v;
    size_t n;
};

static void add_change(struct changes *c, const struct config_row *row)
{
    const char *section = "";
    if (row->section != CONFIG_SECTION_SERVER && row->section != CONFIG_SECTION_DEFAULTS)
        section = config_section_key(row->section);
    struct buf key = BUF_INIT;
    buf_appendf(&key, "%s%s%s", section, *section ? "." : "", row->key);
    buf_append(&key, "", 1);
    c->v = xrealloc(c->v, (c->n + 1) * sizeof(*c->v));
    c->v[c->n++] =
        (struct config_change){.key = buf_take(&key, &(size_t){0}), .effect = effect_of(row)};
}

static void compare_servers(const struct server_config *old, const struct server_config *next,
                            struct changes *c)
{
    size_t n;
    const struct config_row *rows = config_rows(&n);
    for (size_t i = 0; i < n; i++) {
        const struct config_row *row = &rows[i];
        bool same = true;
        if (row->section == CONFIG_SECTION_SERVER)
            same = same_endpoint(row, old, next);
        else if (row->per_server && row->section != CONFIG_SECTION_TOP)
            same = same_stored(row, server_section(old, row->section),
                               server_section(next, row->section));
        if (!same)
            add_change(c, row);
    }
}

static void compare_globals(const struct config *old, const struct config *next, struct changes *c)
{
    size_t n;
    const struct config_row *rows = config_rows(&n);
    for (size_t i = 0; i < n; i++) {
        const struct config_row *row = &rows[i];
        bool same = true;
        if (row->section == CONFIG_SECTION_TOP)
            same = same_top(row, old, next);
        else if (row->section != CONFIG_SECTION_SERVER && !row->per_server)
            same = same_stored(row, config_section_struct(old, row->section),
                               config_section_struct(next, row->section));
        if (!same)
            add_change(c, row);
    }
}

/* ---- the plan ---- */

/* The entry, if it is one that is to be served. */
static const struct server_config *find_enabled(const struct config *c, const char *name)
{
    const struct server_config *sc = config_find_server(c, slice_str(name));
    return sc && sc->options.enabled ? sc : NULL;
}

static void plan_changes(struct config_server_plan *p, const struct server_config *old,
                         const struct server_config *next)
{
    struct changes c = {0};
    compare_servers(old, next, &c);
    p->fate = c.n ? CONFIG_SERVER_CHANGED : CONFIG_SERVER_UNTOUCHED;
    p->changes = c.v;
    p->changes_n = c.n;
    for (size_t i = 0; i < c.n; i++)
        if (c.v[i].effect > p->effect)
            p->effect = c.v[i].effect;
}

static void plan_server(struct config_plan *p, const struct server_config *old,
                        const struct server_config *next, const char *name)
{
    struct config_server_plan *s = &p->servers[p->servers_n++];
    *s = (struct config_server_plan){.name = name, .fate = CONFIG_SERVER_UNTOUCHED};
    if (old && next)
        plan_changes(s, old, next);
    else if (next)
        s->fate = CONFIG_SERVER_ADDED;
    else if (old)
        s->fate = CONFIG_SERVER_REMOVED;
    switch (s->fate) {
    case CONFIG_SERVER_ADDED:
        p->added++;
        return;
    case CONFIG_SERVER_REMOVED:
        p->removed++;
        return;
    case CONFIG_SERVER_CHANGED:
        p->changed++;
        return;
    case CONFIG_SERVER_UNTOUCHED:
        p->untouched++;
        return;
    }
}

void config_plan_make(const struct config *old, const struct config *new_config,
                      struct config_plan *ret)
{
    struct changes globals = {0};
    *ret = (struct config_plan){0};
    ret->servers = xcalloc(old->servers_n + new_config->servers_n + 1, sizeof(*ret->servers));
    for (size_t i = 0; i < new_config->servers_n; i++) {
        const struct server_config *next = &new_config->servers[i];
        plan_server(ret, find_enabled(old, next->name), next->options.enabled ? next : NULL,
                    next->name);
    }
    for (size_t i = 0; i < old->servers_n; i++) {
        const struct server_config *gone = &old->servers[i];
        if (gone->options.enabled && !config_find_server(new_config, slice_str(gone->name)))
            plan_server(ret, gone, NULL, gone->name);
    }
    compare_globals(old, new_config, &globals);
    ret->changes = globals.v;
    ret->changes_n = globals.n;
}

static void free_changes(struct config_change *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i].key);
    free(v);
}

void config_plan_done(struct config_plan *p)
{
    for (size_t i = 0; i < p->servers_n; i++)
        free_changes(p->servers[i].changes, p->servers[i].changes_n);
    free(p->servers);
    free_changes(p->changes, p->changes_n);
    *p = (struct config_plan){0};
}

bool config_plan_is_empty(const struct config_plan *p)
{
    return p->changes_n == 0 && p->added == 0 && p->removed == 0 && p->changed == 0;
}

static void write_change(const struct config_change *c, const char *indent, struct buf *out)
{
    static const char *const words[] = {
        [CONFIG_EFFECT_LIVE] = "acts at once",
        [CONFIG_EFFECT_RENEW] = "its connections are renewed when their calls have ended",
        [CONFIG_EFFECT_RESTART] = "needs a restart of mcpoold; the old value stays in force",
    };
    buf_appendf(out, "%s%s: %s\n", indent, c->key, words[c->effect]);
}

void config_plan_write(const struct config_plan *p, struct buf *out)
{
    for (size_t i = 0; i < p->servers_n; i++) {
        const struct config_server_plan *s = &p->servers[i];
        if (s->fate == CONFIG_SERVER_UNTOUCHED)
            continue;
        buf_appendf(out, "server %s: %s\n", s->name, config_server_fate_name(s->fate));
        for (size_t k = 0; k < s->changes_n; k++)
            write_change(&s->changes[k], "  ", out);
    }
    for (size_t i = 0; i < p->changes_n; i++)
        write_change(&p->changes[i], "", out);
    buf_appendf(out, "%u added, %u removed, %u changed, %u untouched\n", p->added, p->removed,
                p->changed, p->untouched);
}

/* ---- what a restart alone can change ---- */

/* A snapshot that nobody but its maker has seen is not yet immutable: the cast is config_keep's
 * alone. */
static void *writable(const void *base)
{
    union {
        const void *in;
        void *out;
    } u = {.in = base};
    return u.out;
}

static void copy_member(struct config_arena *arena, const struct config_row *row, const void *from,
                        const void *to)
{
    if (config_row_is_number(row)) {
        config_row_store(row, writable(to), config_row_value(row, from));
        return;
    }
    assert(row->type == CONFIG_TYPE_PATH || row->type == CONFIG_TYPE_CHOICE);
    const char *s = *(const char *const *)member_at(row, from);
    *(const char **)writable(member_at(row, to)) = s ? arena_strdup(arena, s) : NULL;
}

/* Values of one server, and its copies of global ones. */
static void keep_in_server(const struct config *old, struct config *next,
                           const struct config_row *row, const struct server_config *s)
{
    if (row->per_server) {
        const struct server_config *before = find_enabled(old, s->name);
        if (before && s->options.enabled)
            copy_member(next->arena, row, server_section(before, row->section),
                        server_section(s, row->section));
    } else {
        copy_member(next->arena, row, config_section_struct(old, row->section),
                    server_section(s, row->section));
    }
}

static const struct config_listen *keep_listen(struct config_arena *arena,
                                               const struct config_listen *old)
{
    if (!old)
        return NULL;
    struct config_listen *l = arena_alloc(arena, sizeof(*l));
    *l = *old;
    l->text = arena_strdup(arena, old->text);
    l->host_port = old->host_port ? arena_strdup(arena, old->host_port) : NULL;
    l->host = old->host ? arena_strdup(arena, old->host) : NULL;
    l->path = old->path ? arena_strdup(arena, old->path) : NULL;
    return l;
}

void config_keep(const struct config *old, struct config *next)
{
    size_t n;
    const struct config_row *rows = config_rows(&n);
    assert(next->refs == 1);
    for (size_t i = 0; i < n; i++) {
        const struct config_row *row = &rows[i];
        if (row->reloadable || row->section == CONFIG_SECTION_SERVER)
            continue;
        if (strcmp(row->key, "admin") == 0)
            next->admin_path = arena_strdup(next->arena, old->admin_path);
        else if (strcmp(row->key, "admin_listen") == 0)
            next->admin_listen = keep_listen(next->arena, old->admin_listen);
        else if (is_stored(row) && !row->per_server)
            copy_member(next->arena, row, config_section_struct(old, row->section),
                        config_section_struct(next, row->section));
        for (size_t k = 0; is_stored(row) && k < next->servers_n; k++)
            if (server_section(&next->servers[k], row->section))
                keep_in_server(old, next, row, &next->servers[k]);
    }
    for (size_t k = 0; k < next->servers_n; k++) {
        struct server_config *s = writable(&next->servers[k]);
        s->settings_hash = server_settings_hash(s);
    }
}
