/* Who may connect. A secret is read, judged and hashed here, and forgotten: the snapshot holds its
 * digest only, so that neither a core nor a careless dump of the configuration can tell it.
 *
 * An address counts as reachable from elsewhere unless it is known to be a loopback one; what
 * cannot be resolved is not known. The front looks again at the address that was really bound. */
#include "config/access.h"

#include "config/secret.h"

#include "base/digest.h"
#include "base/util.h"

_Static_assert(CONFIG_SECRET_DIGEST == DIGEST_SIZE, "a secret's digest is a SHA-256");

#define TOKENS_MAX  1000
#define SECRETS_MAX 1000

/* Names that would read as something else where a principal is shown. */
static const char *const reserved[] = {"anonymous", "uid", "token", "all"};

/* All entries, while they are read. */
struct tokens {
    struct config_reader *r;
    struct config_token *list;
    size_t n;
    struct config_secret *secrets;
    size_t secrets_n;
};

/* One entry. */
struct entry {
    struct tokens *all;
    char where[SECTION_PATH_MAX]; /* "tokens.NAME" */
};

/* ---- secrets ---- */

/* Enters the secret that stands at pos, in line `line` of a file or, 0, in the configuration. */
static void add_secret(struct entry *e, struct config_pos pos, struct slice secret, unsigned line)
{
    struct tokens *t = e->all;
    struct config_errors *errs = t->r->errs;
    char place[40] = "";
    if (line)
        snprintf(place, sizeof(place), ", line %u of the file", line);
    const char *fault = secret_fault(secret);
    if (fault) {
        diag_error(errs, pos, "\"%s\"%s: the secret %s", e->where, place, fault);
        return;
    }
    if (t->secrets_n == SECRETS_MAX) {
        diag_error(errs, pos, "\"%s\"%s: there are more than %d secrets", e->where, place,
                   SECRETS_MAX);
        return;
    }
    struct config_secret *s = &t->secrets[t->secrets_n];
    digest_sha256(secret, s->digest);
    s->token = t->n;
    for (size_t i = 0; i < t->secrets_n; i++) {
        if (!digest_eq(t->secrets[i].digest, s->digest, DIGEST_SIZE))
            continue;
        if (t->secrets[i].token != t->n)
            diag_error(errs, pos, "\"%s\"%s: the secret is one of \"tokens.%s\" already", e->where,
                       place, t->list[t->secrets[i].token].name);
        return;
    }
    t->secrets_n++;
}

static void add_lines(struct entry *e, struct config_pos pos, struct slice text)
{
    struct slice secret;
    unsigned line = 0;
    bool any = false;
    for (; secret_next(&text, &secret, &line); any = true)
        add_secret(e, pos, secret, line);
    if (!any)
        diag_error(e->all->r->errs, pos, "\"%s\": the file holds no secret", e->where);
}

static void read_secret_file(struct entry *e, struct config_pos pos, const char *path, bool judged)
{
    struct config_reader *r = e->all->r;
    struct diag_quote q;
    char why[256], *text = NULL;
    size_t n = 0;
    enum secret_result got = secret_read(path, judged, r->uid, &text, &n, why, sizeof(why));
    if (got == SECRET_OK)
        add_lines(e, pos, slice_of(text, n));
    else if (got == SECRET_FOREIGN && r->check_only)
        diag_warning(r->errs, pos, "\"%s\": %s was not looked at: it %s", e->where,
                     diag_quote(&q, path), why);
    else
        diag_error(r->errs, pos, "\"%s\": %s %s", e->where, diag_quote(&q, path), why);
    secret_forget(text, n);
}

static void read_file(struct entry *e, const struct jsonc_member *m)
{
    struct config_reader *r = e->all->r;
    const char *path = section_string(r, m, e->where);
    if (path == NULL)
        return;
    if (path[0] == '\0')
        diag_error(r->errs, m->value->pos, "\"%s.file\" is empty", e->where);
    else if (path[0] == '/')
        read_secret_file(e, m->value->pos, path, true);
    else
        read_secret_file(e, m->value->pos, arena_printf(r->arena, "%s/%s", r->base_dir, path),
                         true);
}

static void read_credential(struct entry *e, const struct jsonc_member *m)
{
    struct config_reader *r = e->all->r;
    struct config_pos pos = m->value->pos;
    const char *name = section_string(r, m, e->where);
    const char *dir = r->expand.getenv(r->expand.getenv_arg, "CREDENTIALS_DIRECTORY");
    struct diag_quote q;
    if (name == NULL)
        return;
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > 255)
        diag_error(r->errs, pos, "\"%s.credential\" is \"%s\"; it must be a plain file name",
                   e->where, diag_quote(&q, name));
    else if (dir != NULL && dir[0] == '/')
        read_secret_file(e, pos, arena_printf(r->arena, "%s/%s", dir, name), false);
    else if (r->check_only)
        diag_warning(r->errs, pos,
                     "\"%s\": the credential \"%s\" was not looked at: only the service manager "
                     "can pass it",
                     e->where, diag_quote(&q, name));
    else
        diag_error(r->errs, pos,
                   "\"%s\": the credential \"%s\" is not there; the service manager passes it "
                   "(LoadCredential=) in $CREDENTIALS_DIRECTORY, which is not set",
                   e->where, diag_quote(&q, name));
}

/* security.md C08: a secret in the open works, with a warning. */
static void read_inline(struct entry *e, const struct jsonc_member *m)
{
    struct config_reader *r = e->all->r;
    const char *text = section_string(r, m, e->where);
    if (text == NULL)
        return;
    if (!expand_refers(text))
        diag_warning(
            r->errs, m->value->pos,
            "\"%s.token\" is a secret in the open; keep it in a file and write \"file\" or "
            "\"credential\" here",
            e->where);
    /* What a variable holds must not stay in the snapshot. */
    struct expand scratch = r->expand;
    char path[SECTION_PATH_MAX];
    scratch.arena = arena_new();
    text = expand_string(&scratch, m->value->pos, section_path(path, e->where, "token"), text);
    if (text != NULL)
        add_secret(e, m->value->pos, slice_str(text), 0);
    arena_free(scratch.arena);
}

/* ---- entries ---- */

static void check_server_name(struct entry *e, const struct jsonc_value *v)
{
    struct config_reader *r = e->all->r;
    struct diag_quote q;
    struct diag_nearest near = DIAG_NEAREST(v->string);
    if (config_find_server(r->cfg, slice_str(v->string)) != NULL)
        return;
    for (size_t i = 0; i < r->cfg->servers_n; i++)
        diag_nearest_offer(&near, r->cfg->servers[i].name);
    diag_error(r->errs, v->pos, "\"%s.servers\": there is no server \"%s\"%s%s%s", e->where,
               diag_quote(&q, v->string), near.best ? "; did you mean \"" : "",
               near.best ? near.best : "", near.best ? "\"?" : "");
}

static void read_servers(struct entry *e, const struct jsonc_member *m, struct config_token *token)
{
    struct config_reader *r = e->all->r;
    if (m->value->type != JSONC_ARRAY) {
        section_wrong_type(r, m, e->where, "an array of names of servers");
        return;
    }
    if (m->value->n == 0)
        diag_warning(r->errs, m->value->pos, "\"%s.servers\" is empty, so the token opens nothing",
                     e->where);
    const char **list = arena_array(r->arena, m->value->n + 1, sizeof(*list));
    size_t n = 0;
    for (const struct jsonc_value *v = m->value->items; v != NULL; v = v->next) {
        if (v->type != JSONC_STRING) {
            diag_error(r->errs, v->pos, "\"%s.servers\" must hold strings, not %s", e->where,
                       jsonc_type_name(v->type));
            continue;
        }
        check_server_name(e, v);
        list[n++] = arena_strdup(r->arena, v->string);
    }
    token->all_servers = false;
    token->servers = (struct config_strings){.n = n, .v = list};
}

static void read_keys(struct entry *e, const struct jsonc_member *entry, struct config_token *token)
{
    struct config_reader *r = e->all->r;
    unsigned sources = 0;
    for (const struct jsonc_member *m = entry->value->members; m != NULL; m = m->next) {
        char path[SECTION_PATH_MAX];
        bool is_file = strcmp(m->key, "file") == 0;
        bool is_credential = strcmp(m->key, "credential") == 0;
        bool is_inline = strcmp(m->key, "token") == 0;
        sources += is_file || is_credential || is_inline;
        if (is_file)
            read_file(e, m);
        else if (is_credential)
            read_credential(e, m);
        else if (is_inline)
            read_inline(e, m);
        else if (strcmp(m->key, "servers") == 0)
            read_servers(e, m, token);
        else
            diag_error(r->errs, m->pos,
                       "unknown key \"%s\"; a token has \"file\", \"credential\" or \"token\", and "
                       "\"servers\"",
                       section_path(path, e->where, m->key));
    }
    if (sources != 1)
        diag_error(r->errs, entry->pos,
                   "\"%s\" must have exactly one of \"file\", \"credential\" and \"token\"",
                   e->where);
}

static void read_entry(struct tokens *t, const struct jsonc_member *m)
{
    struct entry e = {.all = t};
    struct diag_quote q;
    const char *fault = section_judge_name(m->key, reserved, ARRAY_LEN(reserved));
    if (fault != NULL) {
        diag_error(t->r->errs, m->pos, "the name \"%s\" of a token %s", diag_quote(&q, m->key),
                   fault);
        return;
    }
    section_path(e.where, "tokens", m->key);
    if (m->value->type != JSONC_OBJECT) {
        section_wrong_type(t->r, m, "tokens", "an object, such as {\"file\": \"/path\"}");
        return;
    }
    struct config_token *token = &t->list[t->n];
    *token = (struct config_token){
        .name = arena_strdup(t->r->arena, m->key),
        .principal = arena_printf(t->r->arena, "token:%s", m->key),
        .all_servers = true,
    };
    read_keys(&e, m, token);
    t->n++;
}

void access_read_tokens(struct config_reader *r, const struct jsonc_member *m)
{
    if (m == NULL)
        return;
    if (m->value->type != JSONC_OBJECT) {
        section_wrong_type(r, m, "", "an object with an entry per client");
        return;
    }
    if (m->value->n > TOKENS_MAX) {
        diag_error(r->errs, m->pos, "\"tokens\" has more than %d entries", TOKENS_MAX);
        return;
    }
    struct tokens t = {
        .r = r,
        .list = arena_array(r->arena, m->value->n, sizeof(*t.list)),
        .secrets = arena_array(r->arena, SECRETS_MAX, sizeof(*t.secrets)),
    };
    for (const struct jsonc_member *e = m->value->members; e != NULL; e = e->next)
        read_entry(&t, e);
    if (m->value->n != 0 && r->cfg->allow_unauthenticated)
        diag_warning(r->errs, m->pos,
                     "\"allow_unauthenticated\" changes nothing: as there are \"tokens\", they are "
                     "asked for");
    r->cfg->tokens = t.list;
    r->cfg->tokens_n = t.n;
    r->cfg->secrets = t.secrets;
    r->cfg->secrets_n = t.secrets_n;
}

const struct config_token *config_find_token(const struct config *c,
                                             const unsigned char digest[CONFIG_SECRET_DIGEST])
{
    size_t found = 0; /* 1 + index of the secret */
    for (size_t i = 0; i < c->secrets_n; i++) {
        size_t equal = digest_eq(c->secrets[i].digest, digest, CONFIG_SECRET_DIGEST);
        found |= (0 - equal) & (i + 1);
    }
    return found ? &c->tokens[c->secrets[found - 1].token] : NULL;
}

bool config_token_opens(const struct config_token *t, struct slice server)
{
    bool listed = t->all_servers;
    for (size_t i = 0; i < t->servers.n && !listed; i++)
        listed = slice_is(server, t->servers.v[i]);
    return listed;
}

/* ---- addresses ---- */

/* A name that nobody resolves here is not known to be one; who only judges the file is told so. */
static bool is_loopback(const struct config_reader *r, struct config_pos pos, const char *host)
{
    struct diag_quote q;
    if (address_is_loopback(slice_str(host)) || strcmp(host, "::1") == 0)
        return true;
    if (r->is_loopback_name != NULL)
        return r->is_loopback_name(host);
    if (!r->check_only || strchr(host, ':') != NULL || host[strspn(host, "0123456789.")] == '\0')
        return false;
    diag_warning(r->errs, pos,
                 "\"listen\": whether other machines can reach \"%s\" depends on its address; "
                 "without \"tokens\", mcpoold does not start if they can",
                 diag_quote(&q, host));
    return true;
}

static void judge_reach(struct config_reader *r, struct config_pos pos, const char *text,
                        bool has_tokens)
{
    struct diag_quote q;
    if (has_tokens)
        diag_warning(r->errs, pos,
                     "\"listen\": \"%s\" can be reached from other machines, and there is no "
                     "encryption on it: tokens can be read on the way unless a proxy that speaks "
                     "TLS stands in front",
                     diag_quote(&q, text));
    else if (r->cfg->allow_unauthenticated)
        diag_warning(
            r->errs, pos,
            "\"listen\": \"%s\" can be reached from other machines, and whoever reaches it "
            "can use every server (\"allow_unauthenticated\")",
            diag_quote(&q, text));
    else
        diag_error(r->errs, pos,
                   "\"listen\": \"%s\" can be reached from other machines, and there are no "
                   "\"tokens\" to tell who may connect; add some, listen on 127.0.0.1, or say "
                   "\"allow_unauthenticated\": true",
                   diag_quote(&q, text));
}

void access_check_listen(struct config_reader *r, const struct jsonc_value *top)
{
    const struct jsonc_member *m = jsonc_member(top, "listen");
    const struct jsonc_member *tokens = jsonc_member(top, "tokens");
    /* The values of entries are judged elsewhere; whether there are any is all that counts here. */
    bool has_tokens = tokens && tokens->value->type == JSONC_OBJECT && tokens->value->n != 0;
    if (m == NULL || m->value->type != JSONC_ARRAY)
        return;
    const struct jsonc_value *v = m->value->items;
    for (size_t i = 0; i < r->cfg->listen_n; i++) {
        const struct config_listen *l = &r->cfg->listen[i];
        /* The entries that were refused are missing in between. */
        while (v->type != JSONC_STRING || strcmp(v->string, l->text) != 0)
            v = v->next;
        if (!l->is_unix && !is_loopback(r, v->pos, l->host))
            judge_reach(r, v->pos, l->text, has_tokens);
    }
}

/* security.md A08: no configuration makes the admin interface reachable from elsewhere. */
void access_read_admin_listen(struct config_reader *r, const struct jsonc_member *m)
{
    const char *s = section_string(r, m, "");
    struct config_listen *l = arena_alloc(r->arena, sizeof(*l));
    struct diag_quote q;
    if (s == NULL || !section_parse_tcp(r, m->value->pos, "admin_listen", s, l))
        return;
    if (!address_is_loopback(slice_str(l->host)) && strcmp(l->host, "::1") != 0)
        diag_error(
            r->errs, m->value->pos,
            "\"admin_listen\": \"%s\" is no loopback address; the admin interface is for this "
            "machine only: use 127.0.0.1, [::1] or localhost",
            diag_quote(&q, s));
    else
        r->cfg->admin_listen = l;
}
