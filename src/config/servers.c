/* The entries of mcpServers: names, inheritance from the global sections, and the keys that other
 * clients' files carry. A file that a client wrote is to work when it is pasted in, so keys that
 * mean something to that client only are warned about; keys that nobody knows are errors, because
 * they are typing mistakes. */
#include "config/servers.h"

#include "base/util.h"

#include <stdlib.h>

/* Names that would clash with a socket or a path of our own (house.md section 6). */
static const char *const reserved[] = {"mcp", "admin", "sse", "messages"};

/* Keys of other clients, and what to do instead, if anything. */
static const struct {
    const char *key;
    const char *advice;
} foreign[] = {
    {"alwaysAllow", NULL},
    {"autoApprove", NULL},
    {"autoStart", NULL},
    {"bearer_token_env_var", "use \"headers\""},
    {"color", NULL},
    {"description", NULL},
    {"dev", NULL},
    {"disabledTools", NULL},
    {"disabled_tools", NULL},
    {"displayName", NULL},
    {"enabledTools", NULL},
    {"enabled_tools", NULL},
    {"envFile", "the file is not read; use \"env\""},
    {"excludeTools", NULL},
    {"gallery", NULL},
    {"headersHelper", "use \"headers\""},
    {"icon", NULL},
    {"iconPath", NULL},
    {"includeTools", NULL},
    {"metadata", NULL},
    {"name", NULL},
    {"oauth", NULL},
    {"sandbox", NULL},
    {"sandboxEnabled", NULL},
    {"scope", NULL},
    {"startup_timeout_ms", "use \"resilience\": {\"operation_timeout\"}"},
    {"startup_timeout_sec", "use \"resilience\": {\"operation_timeout\"}"},
    {"timeout", "use \"resilience\": {\"call_timeout\"}"},
    {"tool_timeout_sec", "use \"resilience\": {\"call_timeout\"}"},
    {"tools", NULL},
    {"trust", NULL},
    {"version", NULL},
};

/* ---- names ---- */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

const char *section_judge_name(const char *name, const char *const *taken, size_t taken_n)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < taken_n; i++) {
        if (strcmp(name, taken[i]) == 0)
            return "is reserved for mcpool itself";
    }
    if (n == 0)
        return "is empty";
    if (n > CONFIG_NAME_MAX)
        return "is longer than 64 characters";
    if (!is_alnum(name[0]))
        return "does not begin with a letter A-Z a-z or a digit";
    for (size_t i = 0; i < n; i++) {
        if (!is_alnum(name[i]) && strchr("_.-", name[i]) == NULL)
            return "holds something else than A-Z a-z 0-9 _ . -";
    }
    return strstr(name, "..") ? "holds \"..\"" : NULL;
}

static bool check_name(struct config_reader *r, const struct jsonc_member *m)
{
    const char *fault = section_judge_name(m->key, reserved, ARRAY_LEN(reserved));
    struct diag_quote q;
    char *socket;
    if (fault != NULL) {
        diag_error(r->errs, m->pos, "the server name \"%s\" %s", diag_quote(&q, m->key), fault);
        return false;
    }
    socket = arena_printf(r->arena, "%s/%s.sock", r->cfg->runtime_dir, m->key);
    return section_check_socket_path(r, m->pos, socket);
}

/* ---- one entry ---- */

static bool warn_if_foreign(struct config_reader *r, const struct jsonc_member *m,
                            const char *where)
{
    char path[SECTION_PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        if (strcmp(foreign[i].key, m->key) != 0)
            continue;
        const char *advice = foreign[i].advice;
        diag_warning(r->errs, m->pos, "\"%s\" means nothing to mcpool and is ignored%s%s",
                     section_path(path, where, m->key), advice ? "; " : "", advice ? advice : "");
        return true;
    }
    return false;
}

/* `"disabled": true` of other clients; with our own key beside it, the two must agree. */
static void read_disabled(struct config_reader *r, const struct jsonc_member *entry,
                          const struct jsonc_member *m, const char *where, struct server_config *s)
{
    char path[SECTION_PATH_MAX];
    const struct jsonc_member *enabled = jsonc_member(entry->value, "enabled");
    if (m->value->type != JSONC_BOOL)
        section_wrong_type(r, m, where, "true or false");
    else if (enabled && enabled->value->type == JSONC_BOOL &&
             enabled->value->boolean == m->value->boolean)
        diag_error(r->errs, m->pos, "\"%s\" contradicts \"enabled\"",
                   section_path(path, where, m->key));
    else
        s->options.enabled = !m->value->boolean;
}

/* A section of the same name as a global one, with the values for this server. */
static void read_override(struct config_reader *r, enum config_section section,
                          const struct jsonc_member *m, void *base, const char *where)
{
    char path[SECTION_PATH_MAX];
    if (m->value->type != JSONC_OBJECT)
        section_wrong_type(r, m, where, "an object");
    else
        section_read(r, section, m->value, base, section_path(path, where, m->key), true);
}

static void read_key(struct config_reader *r, const struct jsonc_member *entry,
                     const struct jsonc_member *m, const char *where, struct server_config *s)
{
    static const enum config_section here[] = {CONFIG_SECTION_SERVER, CONFIG_SECTION_DEFAULTS};
    const struct config_row *row = config_row_find(CONFIG_SECTION_DEFAULTS, m->key);
    if (row != NULL)
        section_read_row(r, row, m, &s->options, where);
    else if (strcmp(m->key, "limits") == 0)
        read_override(r, CONFIG_SECTION_LIMITS, m, &s->limits, where);
    else if (strcmp(m->key, "resilience") == 0)
        read_override(r, CONFIG_SECTION_RESILIENCE, m, &s->resilience, where);
    else if (strcmp(m->key, "disabled") == 0)
        read_disabled(r, entry, m, where, s);
    else if (config_row_find(CONFIG_SECTION_SERVER, m->key) == NULL && !endpoint_is_alias(m->key) &&
             !warn_if_foreign(r, m, where))
        section_unknown_key(r, m, where, here, ARRAY_LEN(here));
}

static void read_entry(struct config_reader *r, const struct jsonc_member *entry,
                       struct server_config *s)
{
    char where[SECTION_PATH_MAX];
    *s = (struct server_config){
        .name = arena_strdup(r->arena, entry->key),
        .line = entry->pos.line,
        .options = r->cfg->defaults,
        .resilience = r->cfg->resilience,
        .limits = r->cfg->limits,
    };
    section_path(where, "mcpServers", entry->key);
    if (entry->value->type != JSONC_OBJECT) {
        section_wrong_type(r, entry, "mcpServers", "an object");
        return;
    }
    for (const struct jsonc_member *m = entry->value->members; m != NULL; m = m->next)
        read_key(r, entry, m, where, s);
    endpoint_read(r, entry, where, s);
    s->identity_hash = server_identity_hash(s);
    s->settings_hash = server_settings_hash(s);
}

/* ---- all entries ---- */

static int compare_names(const void *a, const void *b)
{
    const struct server_config *x = *(const struct server_config *const *)a;
    const struct server_config *y = *(const struct server_config *const *)b;
    return strcmp(x->name, y->name);
}

void servers_read(struct config_reader *r, const struct jsonc_member *m)
{
    if (m->value->type != JSONC_OBJECT) {
        section_wrong_type(r, m, "", "an object with an entry per server");
        return;
    }
    struct server_config *servers = arena_array(r->arena, m->value->n, sizeof(*servers));
    const struct server_config **by_name = arena_array(r->arena, m->value->n, sizeof(*by_name));
    size_t n = 0;
    for (const struct jsonc_member *e = m->value->members; e != NULL; e = e->next) {
        check_name(r, e);
        by_name[n] = &servers[n];
        read_entry(r, e, &servers[n++]);
    }
    if (n > 1)
        qsort(by_name, n, sizeof(*by_name), compare_names);
    r->cfg->servers_n = n;
    r->cfg->servers = servers;
    r->cfg->by_name = by_name;
}
