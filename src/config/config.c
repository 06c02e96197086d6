/* The snapshot: reads the top of the file, fills in what the file leaves open, and hands out
 * references.
 *
 * Order matters once: the global sections come first, whatever their place in the file, because
 * every server starts from them; the directories come before the servers, whose sockets lie in
 * them. A snapshot is only handed out when the whole file is good, so a failed reload cannot leave
 * half of one (security.md C06). Everything lies in the snapshot's arena; the last config_unref
 * gives that back. */
#include "config/config.h"

#include "config/access.h"
#include "config/file.h"
#include "config/servers.h"

#include "base/util.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- surroundings ---- */

static const char *process_getenv(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

static const char *look_up(const struct config_reader *r, const char *name)
{
    const char *v = r->expand.getenv(r->expand.getenv_arg, name);
    /* The directory variables count only with absolute values (XDG base directory specification).
     */
    return v && v[0] == '/' ? v : NULL;
}

/* The first directory of a list as the service manager passes it. */
static const char *first_of(struct config_reader *r, const char *list)
{
    return list ? arena_strndup(r->arena, list, strcspn(list, ":")) : NULL;
}

static const char *default_runtime_dir(struct config_reader *r)
{
    const char *dir = first_of(r, look_up(r, "RUNTIME_DIRECTORY"));
    if (dir != NULL)
        return dir;
    dir = look_up(r, "XDG_RUNTIME_DIR");
    if (dir != NULL)
        return arena_printf(r->arena, "%s/mcpool", dir);
    if (r->uid == 0)
        return "/run/mcpool";
    dir = look_up(r, "TMPDIR");
    return arena_printf(r->arena, "%s/mcpool-%u", dir ? dir : "/tmp", (unsigned)r->uid);
}

static const char *default_state_dir(struct config_reader *r)
{
    const char *dir = first_of(r, look_up(r, "STATE_DIRECTORY"));
    if (dir != NULL)
        return dir;
    if (r->uid == 0)
        return "/var/lib/mcpool";
    dir = look_up(r, "XDG_STATE_HOME");
    if (dir != NULL)
        return arena_printf(r->arena, "%s/mcpool", dir);
    dir = look_up(r, "HOME");
    if (dir != NULL)
        return arena_printf(r->arena, "%s/.local/state/mcpool", dir);
    return arena_printf(r->arena, "%s/state", r->cfg->runtime_dir);
}

/* ---- listen and admin ---- */

bool section_parse_tcp(struct config_reader *r, struct config_pos pos, const char *key,
                       const char *text, struct config_listen *ret)
{
    struct diag_quote q;
    struct slice host, port;
    if (!address_split(slice_str(text), &host, &port) || port.p == NULL) {
        diag_error(r->errs, pos,
                   "\"%s\": \"%s\" is not of the form \"host:port\" (\"[::1]:7332\" for IPv6)%s",
                   key, diag_quote(&q, text),
                   strcmp(key, "listen") == 0 ? " or \"unix:/path\"" : "");
        return false;
    }
    ret->text = ret->host_port = arena_strdup(r->arena, text);
    address_is_port(port, &ret->port);
    if (host.p[0] == '[')
        host = slice_of(host.p + 1, host.n - 2);
    ret->host = arena_strndup(r->arena, host.p, host.n);
    return true;
}

static bool parse_listen(struct config_reader *r, struct config_pos pos, const char *text,
                         struct config_listen *ret)
{
    *ret = (struct config_listen){.text = arena_strdup(r->arena, text)};
    if (strncmp(text, "unix:", 5) != 0)
        return section_parse_tcp(r, pos, "listen", text, ret);
    ret->is_unix = true;
    ret->path = ret->text + 5;
    return section_check_socket_path(r, pos, ret->path);
}

static void read_listen(struct config_reader *r, const struct jsonc_member *m)
{
    if (m->value->type != JSONC_ARRAY) {
        section_wrong_type(r, m, "", "an array of \"host:port\" and \"unix:/path\"");
        return;
    }
    struct config_listen *list = arena_array(r->arena, m->value->n, sizeof(*list));
    size_t n = 0;
    for (const struct jsonc_value *v = m->value->items; v != NULL; v = v->next) {
        struct diag_quote q;
        if (v->type != JSONC_STRING) {
            diag_error(r->errs, v->pos, "\"listen\" must hold strings, not %s",
                       jsonc_type_name(v->type));
            continue;
        }
        if (n == 100) {
            diag_error(r->errs, v->pos, "\"listen\" has more than 100 entries");
            break;
        }
        bool again = false;
        for (size_t i = 0; i < n; i++)
            again = again || strcmp(list[i].text, v->string) == 0;
        if (again)
            diag_error(r->errs, v->pos, "\"listen\" names \"%s\" twice", diag_quote(&q, v->string));
        else if (parse_listen(r, v->pos, v->string, &list[n]))
            n++;
    }
    r->cfg->listen = list;
    r->cfg->listen_n = n;
}

/* security.md A08: whatever changes something has no other door than a socket with peer
 * credentials. */
static void read_admin(struct config_reader *r, const struct jsonc_member *m)
{
    const char *s = section_string(r, m, "");
    if (s == NULL)
        return;
    if (strncmp(s, "unix:", 5) != 0)
        diag_error(r->errs, m->value->pos,
                   "\"admin\" must be \"unix:/path\"; for a TCP port, which only shows things, use "
                   "\"admin_listen\"");
    else if (section_check_socket_path(r, m->value->pos, s + 5))
        r->cfg->admin_path = arena_strdup(r->arena, s + 5);
}

/* ---- the top of the file ---- */

static void set_defaults(struct config_reader *r)
{
    static const struct config_pos nowhere;
    struct config *c = r->cfg;
    struct config_listen *listen = arena_alloc(r->arena, sizeof(*listen));
    section_defaults(r->arena, CONFIG_SECTION_TOP, c);
    section_defaults(r->arena, CONFIG_SECTION_HTTP, &c->http);
    section_defaults(r->arena, CONFIG_SECTION_LIMITS, &c->limits);
    section_defaults(r->arena, CONFIG_SECTION_RESILIENCE, &c->resilience);
    section_defaults(r->arena, CONFIG_SECTION_DEFAULTS, &c->defaults);
    parse_listen(r, nowhere, config_row_find(CONFIG_SECTION_TOP, "listen")->def_text, listen);
    c->listen = listen;
    c->listen_n = 1;
}

/* What the file leaves open and other values decide. */
static void fill_in_paths(struct config_reader *r)
{
    static const struct config_pos nowhere;
    struct config *c = r->cfg;
    if (c->runtime_dir == NULL)
        c->runtime_dir = default_runtime_dir(r);
    if (c->state_dir == NULL)
        c->state_dir = default_state_dir(r);
    if (c->limits.spool_dir == NULL)
        c->limits.spool_dir = c->state_dir;
    if (c->admin_path == NULL) {
        c->admin_path = arena_printf(r->arena, "%s/admin.sock", c->runtime_dir);
        section_check_socket_path(r, nowhere, c->admin_path);
    }
}

static void read_top_section(struct config_reader *r, const struct jsonc_value *top,
                             enum config_section section, void *base)
{
    const char *key = config_section_key(section);
    const struct jsonc_member *m = jsonc_member(top, key);
    if (m == NULL)
        return;
    if (m->value->type == JSONC_OBJECT)
        section_read(r, section, m->value, base, key, false);
    else
        section_wrong_type(r, m, "", "an object");
}

/* Members of the top that are neither sections nor rows with a plain type. */
static void read_top_key(struct config_reader *r, const struct jsonc_member *m)
{
    static const enum config_section top = CONFIG_SECTION_TOP;
    const struct config_row *row = config_row_find(CONFIG_SECTION_TOP, m->key);
    if (strcmp(m->key, "listen") == 0)
        read_listen(r, m);
    else if (strcmp(m->key, "admin") == 0)
        read_admin(r, m);
    else if (strcmp(m->key, "admin_listen") == 0)
        access_read_admin_listen(r, m);
    else if (row != NULL)
        section_read_row(r, row, m, r->cfg, "");
    else if (strcmp(m->key, "servers") == 0 || strcmp(m->key, "mcp_servers") == 0)
        diag_error(r->errs, m->pos, "unknown key \"%s\"; did you mean \"mcpServers\"?", m->key);
    else if (strcmp(m->key, "inputs") == 0)
        diag_warning(r->errs, m->pos,
                     "\"inputs\" means nothing to mcpool and is ignored; it asks nobody");
    else if (strcmp(m->key, "$schema") != 0)
        section_unknown_key(r, m, "", &top, 1);
}

static void read_top(struct config_reader *r, const struct jsonc_value *top)
{
    struct config *c = r->cfg;
    if (top->type != JSONC_OBJECT) {
        diag_error(r->errs, top->pos, "the file must hold an object, not %s",
                   jsonc_type_name(top->type));
        return;
    }
    for (const struct jsonc_member *m = top->members; m != NULL; m = m->next)
        read_top_key(r, m);
    read_top_section(r, top, CONFIG_SECTION_HTTP, &c->http);
    read_top_section(r, top, CONFIG_SECTION_LIMITS, &c->limits);
    read_top_section(r, top, CONFIG_SECTION_RESILIENCE, &c->resilience);
    read_top_section(r, top, CONFIG_SECTION_DEFAULTS, &c->defaults);
    fill_in_paths(r);
    if (r->without_servers)
        return;
    access_check_listen(r, top);
    const struct jsonc_member *servers = jsonc_member(top, "mcpServers");
    if (servers != NULL)
        servers_read(r, servers);
    else if (r->errs->errors == 0) /* the key may be among those misspelt */
        diag_warning(r->errs, top->pos,
                     "there are no \"mcpServers\", so there is nothing to serve");
    access_read_tokens(r, jsonc_member(top, "tokens"));
}

/* ---- reading ---- */

/* base_dir is absolute. Takes the tree apart into a snapshot that keeps nothing of it. */
static int read_text(struct slice text, const char *path, const struct config_params *params,
                     const char *base_dir, struct config **ret, struct config_errors *errs)
{
    struct config_arena *arena = arena_new(), *tree = arena_new();
    struct config_reader r = {
        .cfg = arena_alloc(arena, sizeof(struct config)),
        .arena = arena,
        .errs = errs,
        .expand = {.arena = arena,
                   .errs = errs,
                   .getenv = params->getenv ? params->getenv : process_getenv,
                   .getenv_arg = params->getenv_arg},
        .uid = params->uid,
        .base_dir = base_dir,
        .without_servers = params->without_servers,
        .check_only = params->check_only,
        .is_loopback_name = params->is_loopback_name,
    };
    r.cfg->refs = 1;
    r.cfg->arena = arena;
    r.cfg->path = arena_strdup(arena, path);
    set_defaults(&r);
    const struct jsonc_value *top = jsonc_parse(text, tree, errs);
    if (top != NULL)
        read_top(&r, top);
    arena_free(tree);
    diag_sort(errs);
    if (errs->errors != 0) {
        arena_free(arena);
        return -EINVAL;
    }
    *ret = r.cfg;
    return 0;
}

static void set_path(struct config_errors *errs, const char *path)
{
    free(errs->path);
    errs->path = xstrdup(path);
}

static struct config_params complete(const struct config_params *params)
{
    return params ? *params : (struct config_params){.uid = geteuid()};
}

char *config_default_path(const struct config_params *params)
{
    static const char system_wide[] = "/etc/mcpool/mcpool.json";
    struct config_params p = complete(params);
    const char *(*get)(void *, const char *) = p.getenv ? p.getenv : process_getenv;
    const char *xdg = get(p.getenv_arg, "XDG_CONFIG_HOME"), *home = get(p.getenv_arg, "HOME");
    char *path = NULL;
    int n = -1;
    if (xdg && *xdg)
        n = asprintf(&path, "%s/mcpool/mcpool.json", xdg);
    else if (home && *home)
        n = asprintf(&path, "%s/.config/mcpool/mcpool.json", home);
    if (n >= 0 && access(path, F_OK) == 0)
        return path;
    if (n >= 0)
        free(path);
    return access(system_wide, F_OK) == 0 ? xstrdup(system_wide) : NULL;
}

int config_parse(struct slice text, const struct config_params *params, struct config **ret,
                 struct config_errors *errs)
{
    struct config_params p = complete(params);
    char *dir = realpath(p.base_dir ? p.base_dir : ".", NULL);
    set_path(errs, "(text)");
    int r = read_text(text, "(text)", &p, dir ? dir : "/", ret, errs);
    free(dir);
    return r;
}

/* The directory that the file really lies in, malloc'ed. */
static char *directory_of(const char *path)
{
    char *real = realpath(path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;
    if (slash == NULL || slash == real) {
        free(real);
        return xstrdup("/");
    }
    *slash = '\0';
    return real;
}

int config_load(const char *path, const struct config_params *params, struct config **ret,
                struct config_errors *errs)
{
    struct config_params p = complete(params);
    char *text = NULL;
    size_t n = 0;
    set_path(errs, path);
    int r = file_read(path, p.uid, &text, &n, errs);
    if (r < 0)
        return r;
    char *dir = directory_of(path);
    r = read_text(slice_of(text, n), path, &p, dir, ret, errs);
    free(dir);
    /* The text may hold secrets. */
    explicit_bzero(text, n);
    free(text);
    return r;
}

struct config *config_ref(struct config *c)
{
    assert(c->refs > 0 && c->refs < UINT_MAX);
    c->refs++;
    return c;
}

struct config *config_unref(struct config *c)
{
    if (c == NULL)
        return NULL;
    assert(c->refs > 0);
    if (--c->refs == 0)
        arena_free(c->arena);
    return NULL;
}

/* ---- looking at it ---- */

/* The order of strcmp between a slice and a C string. */
static int compare_name(struct slice a, const char *b)
{
    size_t n = strlen(b);
    int c = memcmp(a.p, b, a.n < n ? a.n : n);
    return c ? c : (a.n > n) - (a.n < n);
}

const struct server_config *config_find_server(const struct config *c, struct slice name)
{
    size_t low = 0, high = c->servers_n;
    while (name.n != 0 && low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare_name(name, c->by_name[mid]->name);
        if (order == 0)
            return c->by_name[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *config_transport_name(enum config_transport t)
{
    switch (t) {
    case CONFIG_TRANSPORT_STDIO:
        return "stdio";
    case CONFIG_TRANSPORT_HTTP:
        return "http";
    case CONFIG_TRANSPORT_SSE:
        return "sse";
    }
    return "unknown";
}

const char *config_sharing_name(enum config_sharing s)
{
    return config_row_find(CONFIG_SECTION_DEFAULTS, "sharing")->values[s];
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void write_summary(const struct config *c, FILE *out)
{
    size_t disabled = 0;
    for (size_t i = 0; i < c->servers_n; i++)
        disabled += !c->servers[i].options.enabled;
    fprintf(out, "ok: %zu server%s", c->servers_n, plural(c->servers_n));
    if (disabled != 0)
        fprintf(out, " (%zu disabled)", disabled);
    fprintf(out, ", %zu listener%s\n", c->listen_n, plural(c->listen_n));
}

bool config_check(const char *path, const struct config_params *params, FILE *out)
{
    struct config_errors errs;
    struct config *c = NULL;
    config_errors_init(&errs);
    struct config_params p = complete(params);
    p.check_only = true;
    bool good = config_load(path, &p, &c, &errs) == 0;
    config_errors_write(&errs, out);
    if (good)
        write_summary(c, out);
    else
        fprintf(out, "not ok: %u error%s, %u warning%s\n", errs.errors, plural(errs.errors),
                errs.warnings, plural(errs.warnings));
    config_errors_done(&errs);
    config_unref(c);
    return good;
}
