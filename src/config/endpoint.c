/* How to reach a server: a command with arguments and environment, or a URL with headers. The shape
 * is what MCP clients write, with the other spellings in use; ${VAR} is expanded here and nowhere
 * else, one value at a time, so that no variable can become two arguments. Values of env and
 * headers never appear in a message. */
#include "config/servers.h"

#include "base/util.h"

#include <ctype.h>

/* One entry being read. */
struct endpoint {
    struct config_reader *r;
    const struct jsonc_member *entry;
    const char *where;
    struct server_config *s;
    /* The first literal secret, and how many there are. */
    const char *secret;
    struct config_pos secret_pos;
    unsigned secrets;
};

/* ---- spellings ---- */

static const char *const type_keys[] = {"type", "transport", "transportType"};
static const char *const url_keys[] = {"url", "serverUrl", "httpUrl"};

bool endpoint_is_alias(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(type_keys); i++) {
        if (strcmp(key, type_keys[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(url_keys); i++) {
        if (strcmp(key, url_keys[i]) == 0)
            return true;
    }
    return false;
}

/* The member under whichever of the spellings is there; complains when it is there under two. */
static const struct jsonc_member *find_spelling(struct endpoint *e, const char *const *keys,
                                                size_t n)
{
    char path[SECTION_PATH_MAX];
    const struct jsonc_member *found = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct jsonc_member *m = jsonc_member(e->entry->value, keys[i]);
        if (m != NULL && found != NULL)
            diag_error(e->r->errs, m->pos, "\"%s\" and \"%s\" say the same thing; keep one",
                       section_path(path, e->where, m->key), found->key);
        else if (m != NULL)
            found = m;
    }
    return found;
}

/* ---- values ---- */

/* The expanded string at v, called `path` in messages. NULL after a complaint. */
static const char *expand_value(struct endpoint *e, const struct jsonc_value *v, const char *path)
{
    if (v->type != JSONC_STRING) {
        diag_error(e->r->errs, v->pos, "\"%s\" must be a string, not %s", path,
                   jsonc_type_name(v->type));
        return NULL;
    }
    return expand_string(&e->r->expand, v->pos, path, v->string);
}

static const char *expand_member(struct endpoint *e, const struct jsonc_member *m)
{
    char path[SECTION_PATH_MAX];
    return expand_value(e, m->value, section_path(path, e->where, m->key));
}

/* Whether the value may be judged. That of a server which is switched off may lack its variables.
 */
static bool is_judged(const struct endpoint *e, const struct jsonc_member *m)
{
    return !e->r->expand.lenient || !expand_refers(m->value->string);
}

/* Whether the words of a name, as in GITHUB_TOKEN or X-Api-Key, say that its value is secret. */
static bool names_secret(const char *name)
{
    static const char *const marks[] = {"TOKEN",  "SECRET", "PASSWORD",
                                        "PASSWD", "KEY",    "CREDENTIAL"};
    static const char *const harmless[] = {"_FILE", "_PATH", "_DIR", "_TOKENS"};
    size_t n = strlen(name);
    if (strcasecmp(name, "Authorization") == 0 || strcasecmp(name, "Proxy-Authorization") == 0 ||
        strcasecmp(name, "Cookie") == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
        size_t k = strlen(harmless[i]);
        if (n >= k && strcasecmp(name + n - k, harmless[i]) == 0)
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (strcasestr(name, marks[i]) != NULL)
            return true;
    }
    return false;
}

/* security.md C08: a secret that stands in the file in the open. */
static void note_secret(struct endpoint *e, const struct jsonc_member *m)
{
    const char *v = m->value->string;
    bool switch_like =
        strspn(v, "0123456789") == strlen(v) || strcmp(v, "true") == 0 || strcmp(v, "false") == 0;
    if (switch_like || expand_refers(v) || !names_secret(m->key))
        return;
    if (e->secrets++ == 0) {
        e->secret = m->key;
        e->secret_pos = m->pos;
    }
}

static void warn_about_secrets(struct endpoint *e)
{
    char path[SECTION_PATH_MAX], more[32] = "";
    if (e->secrets == 0)
        return;
    if (e->secrets > 1)
        snprintf(more, sizeof(more), " (and %u more)", e->secrets - 1);
    diag_warning(e->r->errs, e->secret_pos,
                 "\"%s\"%s looks like a secret in the open; keep it in the daemon's environment "
                 "and write ${VARIABLE} here",
                 section_path(path, e->where, e->secret), more);
}

/* m as an object of strings; NULL after a complaint, or when m is NULL. */
static const struct jsonc_member *string_map(struct endpoint *e, const struct jsonc_member *m,
                                             size_t *ret_n)
{
    *ret_n = 0;
    if (m == NULL)
        return NULL;
    if (m->value->type != JSONC_OBJECT) {
        section_wrong_type(e->r, m, e->where, "an object of strings");
        return NULL;
    }
    *ret_n = m->value->n;
    return m->value->members;
}

/* ---- stdio ---- */

static void read_argv(struct endpoint *e, const struct jsonc_member *command)
{
    char path[SECTION_PATH_MAX];
    const struct jsonc_member *args = jsonc_member(e->entry->value, "args");
    if (args != NULL && args->value->type != JSONC_ARRAY) {
        section_wrong_type(e->r, args, e->where, "an array of strings");
        args = NULL;
    }
    const char **argv = arena_array(e->r->arena, 2 + (args ? args->value->n : 0), sizeof(*argv));
    size_t n = 0;
    argv[n++] = expand_member(e, command);
    section_path(path, e->where, "args");
    for (const struct jsonc_value *v = args ? args->value->items : NULL; v != NULL; v = v->next)
        argv[n++] = expand_value(e, v, path);
    e->s->command = argv[0];
    e->s->argv = argv;
    if (argv[0] == NULL || !is_judged(e, command))
        return;
    section_path(path, e->where, "command");
    if (argv[0][0] == '\0')
        diag_error(e->r->errs, command->value->pos, "\"%s\" is empty", path);
    else if (n == 1 && strchr(argv[0], ' ') != NULL)
        diag_warning(e->r->errs, command->value->pos,
                     "\"%s\" holds a blank and there are no \"args\"; no shell will take it apart",
                     path);
}

static void read_env(struct endpoint *e)
{
    char where[SECTION_PATH_MAX], path[SECTION_PATH_MAX];
    size_t n, used = 0;
    const struct jsonc_member *m = string_map(e, jsonc_member(e->entry->value, "env"), &n);
    const char **env = arena_array(e->r->arena, n + 1, sizeof(*env));
    section_path(where, e->where, "env");
    for (; m != NULL; m = m->next) {
        section_path(path, where, m->key);
        if (m->key[0] == '\0' || strchr(m->key, '=') != NULL) {
            diag_error(e->r->errs, m->pos, "\"%s\" cannot be the name of an environment variable",
                       path);
            continue;
        }
        const char *value = expand_value(e, m->value, path);
        if (value == NULL)
            continue;
        note_secret(e, m);
        env[used++] = arena_printf(e->r->arena, "%s=%s", m->key, value);
    }
    e->s->env = (struct config_strings){.n = used, .v = env};
}

static void read_cwd(struct endpoint *e)
{
    char path[SECTION_PATH_MAX];
    const struct jsonc_member *m = jsonc_member(e->entry->value, "cwd");
    const char *cwd = m ? expand_member(e, m) : NULL;
    if (cwd == NULL || !is_judged(e, m))
        return;
    if (cwd[0] == '\0' || cwd[0] == '~')
        diag_error(e->r->errs, m->value->pos, "\"%s\" is %s", section_path(path, e->where, "cwd"),
                   cwd[0] == '~' ? "not expanded; write \"${HOME}\" instead of \"~\"" : "empty");
    else if (cwd[0] != '/')
        cwd = arena_printf(e->r->arena, "%s/%s", e->r->base_dir, cwd);
    e->s->cwd = cwd;
}

/* ---- http and sse ---- */

static void read_url(struct endpoint *e, const struct jsonc_member *m)
{
    char path[SECTION_PATH_MAX];
    struct slice host, port;
    const char *url = expand_member(e, m);
    if (url == NULL)
        return;
    e->s->url = url;
    if (!is_judged(e, m))
        return;
    section_path(path, e->where, m->key);
    size_t scheme = strncasecmp(url, "https://", 8) == 0  ? 8
                    : strncasecmp(url, "http://", 7) == 0 ? 7
                                                          : 0;
    if (scheme == 0) {
        diag_error(e->r->errs, m->value->pos, "\"%s\" must begin with http:// or https://", path);
        return;
    }
    size_t authority = strcspn(url + scheme, "/?#");
    if (memchr(url + scheme, '@', authority) != NULL)
        diag_error(e->r->errs, m->value->pos,
                   "\"%s\" holds user information; put credentials into \"headers\"", path);
    else if (!address_split(slice_of(url + scheme, authority), &host, &port))
        diag_error(e->r->errs, m->value->pos, "\"%s\" has no valid host and port", path);
    for (const char *c = url; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#') {
            diag_error(e->r->errs, m->value->pos,
                       "\"%s\" holds a character that has to be written as %%%02X in a URL", path,
                       (unsigned char)*c);
            return;
        }
    }
}

static bool is_header_name(const char *s)
{
    static const char token[] =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return s[0] != '\0' && strspn(s, token) == strlen(s);
}

static bool is_header_value(const char *s)
{
    for (; *s != '\0'; s++) {
        if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
            return false;
    }
    return true;
}

/* Headers that the transport writes itself. */
static bool is_own_header(const char *name)
{
    static const char *const own[] = {
        "Accept",
        "Accept-Encoding",
        "Connection",
        "Content-Encoding",
        "Content-Length",
        "Content-Type",
        "Expect",
        "Host",
        "Keep-Alive",
        "Last-Event-ID",
        "Mcp-Session-Id",
        "MCP-Protocol-Version",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    };
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (strcasecmp(name, own[i]) == 0)
            return true;
    }
    return false;
}

/* One header into list; returns whether it is to be kept. */
static bool read_header(struct endpoint *e, const struct jsonc_member *m, const char *path,
                        const struct config_pair *list, size_t n, struct config_pair *ret)
{
    const char *value = expand_value(e, m->value, path);
    if (value == NULL)
        return false;
    if (!is_header_name(m->key)) {
        diag_error(e->r->errs, m->pos, "\"%s\" cannot be the name of a header", path);
        return false;
    }
    if (!is_header_value(value)) {
        diag_error(e->r->errs, m->value->pos, "\"%s\" holds a control character", path);
        return false;
    }
    if (is_own_header(m->key)) {
        diag_warning(e->r->errs, m->pos, "\"%s\" is ignored; mcpool writes this header itself",
                     path);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(list[i].name, m->key) == 0) {
            diag_error(e->r->errs, m->pos, "\"%s\" is the same header as \"%s\"", path,
                       list[i].name);
            return false;
        }
    }
    note_secret(e, m);
    *ret = (struct config_pair){.name = arena_strdup(e->r->arena, m->key), .value = value};
    return true;
}

static void read_headers(struct endpoint *e)
{
    enum { HEADERS_MAX = 100 };
    char where[SECTION_PATH_MAX], path[SECTION_PATH_MAX];
    size_t n, used = 0;
    const struct jsonc_member *h = jsonc_member(e->entry->value, "headers");
    const struct jsonc_member *m = string_map(e, h, &n);
    if (n > HEADERS_MAX) {
        diag_error(e->r->errs, h->pos, "\"%s\" holds more than %d headers",
                   section_path(path, e->where, "headers"), HEADERS_MAX);
        return;
    }
    struct config_pair *list = arena_array(e->r->arena, n, sizeof(*list));
    section_path(where, e->where, "headers");
    for (; m != NULL; m = m->next)
        used += read_header(e, m, section_path(path, where, m->key), list, used, &list[used]);
    e->s->headers = (struct config_pairs){.n = used, .v = list};
}

/* ---- which of the two ---- */

/* The transport by its name; false after a complaint. */
static bool read_type(struct endpoint *e, const struct jsonc_member *m, enum config_transport *ret)
{
    static const struct {
        const char *name;
        enum config_transport transport;
    } names[] = {
        {"stdio", CONFIG_TRANSPORT_STDIO},
        {"http", CONFIG_TRANSPORT_HTTP},
        {"sse", CONFIG_TRANSPORT_SSE},
        {"streamable-http", CONFIG_TRANSPORT_HTTP},
        {"streamableHttp", CONFIG_TRANSPORT_HTTP},
        {"streamable_http", CONFIG_TRANSPORT_HTTP},
    };
    char path[SECTION_PATH_MAX];
    const char *s = section_string(e->r, m, e->where);
    if (s == NULL)
        return false;
    struct diag_nearest near = DIAG_NEAREST(s);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i].name, s) == 0) {
            *ret = names[i].transport;
            return true;
        }
        diag_nearest_offer(&near, names[i].name);
    }
    struct diag_quote q;
    char mean[64] = ";";
    if (near.best)
        snprintf(mean, sizeof(mean), "; did you mean \"%s\"?", near.best);
    diag_error(e->r->errs, m->value->pos,
               "\"%s\" is \"%s\"%s it must be \"stdio\", \"http\" or \"sse\"",
               section_path(path, e->where, m->key), diag_quote(&q, s), mean);
    return false;
}

/* Complains about the key that makes the other kind of server. */
static void refuse(struct endpoint *e, const struct jsonc_member *m, const char *type)
{
    char path[SECTION_PATH_MAX];
    if (m != NULL)
        diag_error(e->r->errs, m->pos, "\"%s\" does not belong to a server of type \"%s\"",
                   section_path(path, e->where, m->key), type);
}

/* Warns about a key that only serves the other kind. Clients that write every key into every entry
 * exist. */
static void pass_over(struct endpoint *e, const char *key, const char *type)
{
    char path[SECTION_PATH_MAX];
    const struct jsonc_member *m = jsonc_member(e->entry->value, key);
    if (m != NULL)
        diag_warning(e->r->errs, m->pos, "\"%s\" is ignored for a server of type \"%s\"",
                     section_path(path, e->where, m->key), type);
}

static void read_stdio(struct endpoint *e, const struct jsonc_member *command,
                       const struct jsonc_member *url)
{
    struct diag_quote q;
    refuse(e, url, "stdio");
    pass_over(e, "headers", "stdio");
    if (command == NULL) {
        diag_error(e->r->errs, e->entry->pos, "server \"%s\" of type \"stdio\" has no \"command\"",
                   diag_quote(&q, e->s->name));
        return;
    }
    read_argv(e, command);
    read_env(e);
    read_cwd(e);
}

static void read_remote(struct endpoint *e, const struct jsonc_member *command,
                        const struct jsonc_member *url)
{
    struct diag_quote q;
    const char *type = config_transport_name(e->s->transport);
    refuse(e, command, type);
    pass_over(e, "args", type);
    pass_over(e, "env", type);
    pass_over(e, "cwd", type);
    if (url == NULL) {
        diag_error(e->r->errs, e->entry->pos, "server \"%s\" of type \"%s\" has no \"url\"",
                   diag_quote(&q, e->s->name), type);
        return;
    }
    read_url(e, url);
    read_headers(e);
}

void endpoint_read(struct config_reader *r, const struct jsonc_member *entry, const char *where,
                   struct server_config *s)
{
    struct endpoint e = {.r = r, .entry = entry, .where = where, .s = s};
    struct diag_quote q;
    const struct jsonc_member *command = jsonc_member(entry->value, "command");
    const struct jsonc_member *url = find_spelling(&e, url_keys, ARRAY_LEN(url_keys));
    const struct jsonc_member *type = find_spelling(&e, type_keys, ARRAY_LEN(type_keys));
    if (type != NULL) {
        if (!read_type(&e, type, &s->transport))
            return;
    } else if (command == NULL && url == NULL) {
        diag_error(r->errs, entry->pos, "server \"%s\" has neither \"command\" nor \"url\"",
                   diag_quote(&q, entry->key));
        return;
    } else {
        s->transport = command ? CONFIG_TRANSPORT_STDIO : CONFIG_TRANSPORT_HTTP;
    }
    /* A server that is switched off may lack what it would need, such as its token. */
    r->expand.lenient = !s->options.enabled;
    if (s->transport == CONFIG_TRANSPORT_STDIO)
        read_stdio(&e, command, url);
    else
        read_remote(&e, command, url);
    r->expand.lenient = false;
    warn_about_secrets(&e);
}
