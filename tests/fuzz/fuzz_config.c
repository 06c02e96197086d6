/* Fuzz target: a configuration text. Held: good and bad are told apart consistently and repeatably;
 * what is handed out obeys the promises of config/config.h (names, ranges, lists, paths); what is
 * reported lies within the text, in order, and holds nothing that a terminal would act upon. */
#include "config/config.h"
#include "config/table.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* A set, an empty, a treacherous and a long variable; no others. */
static const char *scripted_getenv(void *arg, const char *name)
{
    static char big[40000];
    (void)arg;
    if (strcmp(name, "HOME") == 0)
        return "/home/x";
    if (name[0] == 'E')
        return "";
    if (name[0] == 'T')
        return "${HOME}\r\n\xff";
    if (name[0] != 'B')
        return NULL;
    memset(big, 'b', sizeof(big) - 1);
    return big;
}

/* The resolver stays out of it. */
static bool is_loopback_name(const char *host)
{
    return host[0] == 'l';
}

static void check_messages(const struct config_errors *errs, unsigned lines)
{
    unsigned errors = 0, line = 0, column = 0;
    for (size_t i = 0; i < errs->n; i++) {
        const struct config_diag *d = &errs->v[i];
        errors += !d->warning;
        require(d->line <= lines, "a message beyond the last line");
        require((d->line == 0) == (d->column == 0), "half a position");
        require(d->line > line || (d->line == line && d->column >= column),
                "messages out of order");
        line = d->line;
        column = d->column;
        require(d->text[0] != '\0', "an empty message");
        for (const char *c = d->text; *c != '\0'; c++)
            require((unsigned char)*c >= 0x20 && *c != 0x7f, "a control byte in a message");
    }
    require(errors == (errs->errors < CONFIG_ERRORS_MAX ? errs->errors : CONFIG_ERRORS_MAX),
            "errors were lost");
}

static const void *base_of(const struct config *c, const struct server_config *s,
                           enum config_section section)
{
    switch (section) {
    case CONFIG_SECTION_LIMITS:
        return s ? &s->limits : &c->limits;
    case CONFIG_SECTION_RESILIENCE:
        return s ? &s->resilience : &c->resilience;
    case CONFIG_SECTION_DEFAULTS:
        return s ? &s->options : &c->defaults;
    case CONFIG_SECTION_HTTP:
        return &c->http;
    case CONFIG_SECTION_TOP:
        return c;
    case CONFIG_SECTION_SERVER:
        break;
    }
    return NULL;
}

/* Every number within the range of its row, globally (s == NULL) or for one server. */
static void check_ranges(const struct config *c, const struct server_config *s)
{
    size_t n;
    const struct config_row *rows = config_rows(&n);
    for (size_t i = 0; i < n; i++) {
        const void *base = base_of(c, s, rows[i].section);
        if (base == NULL || rows[i].type < CONFIG_TYPE_COUNT || rows[i].type > CONFIG_TYPE_DURATION)
            continue;
        uint64_t v = config_row_value(&rows[i], base);
        require((v >= rows[i].min && v <= rows[i].max) || (v == 0 && rows[i].zero != NULL),
                "a value out of range");
    }
}

static void check_strings(const struct config_strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        require(s->v[i] != NULL, "a hole in a list");
    require(s->v[s->n] == NULL, "a list without an end");
}

static void check_server(const struct config *c, const struct server_config *s)
{
    static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(s->name);
    require(n >= 1 && n <= CONFIG_NAME_MAX && strspn(s->name, set) == n, "a bad name");
    require(strstr(s->name, "..") == NULL && strchr("_.-", s->name[0]) == NULL, "a bad name");
    require(config_find_server(c, slice_str(s->name)) == s, "a server that cannot be found");
    require(s->line >= 1, "a server without a line");
    if (s->transport == CONFIG_TRANSPORT_STDIO) {
        require(s->argv != NULL && s->argv[0] == s->command && s->command != NULL, "no command");
        require(s->url == NULL && s->headers.n == 0, "a stdio server with a url");
        check_strings(&s->env);
        for (size_t i = 0; i < s->env.n; i++)
            require(strchr(s->env.v[i], '=') > s->env.v[i], "an unnamed variable");
        require(s->cwd == NULL || s->cwd[0] == '/' || !s->options.enabled, "a relative directory");
    } else {
        require(s->argv == NULL && s->command == NULL && s->url != NULL, "no url");
        for (size_t i = 0; i < s->headers.n; i++)
            require(strpbrk(s->headers.v[i].value, "\r\n") == NULL, "a header of two lines");
    }
    check_ranges(c, s);
}

/* Each secret belongs to a token, and each token may open what is there. */
static void check_tokens(const struct config *c)
{
    for (size_t i = 0; i < c->secrets_n; i++)
        require(c->secrets[i].token < c->tokens_n, "a secret of nobody");
    for (size_t i = 0; i < c->tokens_n; i++) {
        const struct config_token *t = &c->tokens[i];
        require(strncmp(t->principal, "token:", 6) == 0 && strcmp(t->principal + 6, t->name) == 0,
                "a principal of another name");
        for (size_t s = 0; s < t->servers.n; s++)
            require(config_find_server(c, slice_str(t->servers.v[s])) != NULL &&
                        config_token_opens(t, slice_str(t->servers.v[s])),
                    "a token for a server that is not there");
        require(t->all_servers || !config_token_opens(t, SLICE("no such server")),
                "a token opens too much");
    }
    bool open = c->tokens_n != 0 || c->allow_unauthenticated;
    for (size_t i = 0; i < c->listen_n; i++)
        require(open || c->listen[i].is_unix || strncmp(c->listen[i].host, "127.", 4) == 0 ||
                    strcmp(c->listen[i].host, "::1") == 0 || is_loopback_name(c->listen[i].host) ||
                    strcasecmp(c->listen[i].host, "localhost") == 0,
                "open to everybody");
    require(c->admin_listen == NULL || (!c->admin_listen->is_unix && c->admin_listen->host[0]),
            "an admin port that is none");
}

static void check_snapshot(const struct config *c)
{
    check_tokens(c);

    require(c->refs == 1, "references");
    require(c->runtime_dir[0] == '/' && c->state_dir[0] == '/' && c->admin_path[0] == '/' &&
                c->limits.spool_dir[0] == '/',
            "a relative path");
    for (size_t i = 0; i < c->listen_n; i++)
        require(c->listen[i].is_unix ? c->listen[i].path[0] == '/' : c->listen[i].host[0] != '\0',
                "a listener without an address");
    check_strings(&c->http.allowed_hosts);
    check_strings(&c->http.allowed_origins);
    check_ranges(c, NULL);
    for (size_t i = 0; i < c->servers_n; i++)
        check_server(c, &c->servers[i]);
}

static struct config *read_once(const uint8_t *data, size_t size, struct config_errors *errs)
{
    struct config_params params = {.getenv = scripted_getenv,
                                   .uid = 1000,
                                   .base_dir = "/",
                                   .is_loopback_name = is_loopback_name};
    struct config *c = NULL;
    char *exact = xmalloc(size + !size);
    if (size != 0)
        memcpy(exact, data, size);
    config_errors_init(errs);
    int r = config_parse(slice_of(exact, size), &params, &c, errs);
    free(exact); /* the snapshot must not need it */
    require((r == 0) == (c != NULL) && (r == 0) == (errs->errors == 0), "neither good nor bad");
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_errors errs, errs_again;
    unsigned lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    struct config *c = read_once(data, size, &errs), *again = read_once(data, size, &errs_again);
    check_messages(&errs, lines);
    require((c == NULL) == (again == NULL) && errs.n == errs_again.n, "another outcome");
    if (c != NULL) {
        check_snapshot(c);
        for (size_t i = 0; i < c->servers_n; i++)
            require(c->servers[i].identity_hash == again->servers[i].identity_hash &&
                        c->servers[i].settings_hash == again->servers[i].settings_hash,
                    "another fingerprint");
    }
    config_unref(c);
    config_unref(again);
    config_errors_done(&errs);
    config_errors_done(&errs_again);
    return 0;
}
