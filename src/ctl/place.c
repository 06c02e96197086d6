/* The daemon's own reader finds the socket, in two surroundings: this user's, as for a daemon that
 * was started by hand, and those that systemd gives to a service, whose RUNTIME_DIRECTORY this
 * process does not have. The two differ only where the file leaves the place open.
 *
 * A file that nobody named and that cannot be read (it may belong to the service's user, or be
 * under work in an editor) is no reason not to try the default places. Nor is one that has moved
 * the socket since the daemon was started, for the service manager's own reload: that is what it is
 * to tell the daemon of. */
#include "ctl/place.h"

#include "base/util.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *as_user(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

static const char *as_service(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "RUNTIME_DIRECTORY") == 0 ? "/run/mcpool" : getenv(name);
}

static void add_path(struct place *p, const char *path)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->paths[i], path) == 0)
            return;
    if (p->n < PLACE_PATHS_MAX)
        p->paths[p->n++] = xstrdup(path);
}

/* What is looked for. */
struct wanted {
    bool admin;
    const char *server; /* NULL: the endpoint of all */
};

static void add_socket(struct place *p, const struct config *c, const struct wanted *w)
{
    char *path = NULL;
    p->max_request_bytes = c->limits.max_request_bytes;
    p->max_response_bytes = c->limits.max_response_bytes;
    if (w->admin)
        add_path(p, c->admin_path);
    else if (asprintf(&path, "%s/%s.sock", c->runtime_dir, w->server ? w->server : "mcp") >= 0)
        add_path(p, path);
    free(path);
}

/* Reads the file, or without one the defaults. false: it is faulty, as errs says. */
static bool add_configured(struct place *p, const char *file, const struct wanted *w,
                           const char *(*getenv_as)(void *, const char *),
                           struct config_errors *errs)
{
    struct config_params params = {
        .getenv = getenv_as, .uid = geteuid(), .without_servers = true, .check_only = true};
    struct config *c = NULL;
    int r =
        file ? config_load(file, &params, &c, errs) : config_parse(SLICE("{}"), &params, &c, errs);
    if (r < 0)
        return false;
    add_socket(p, c, w);
    config_unref(c);
    return true;
}

static bool add_both(struct place *p, const char *file, const struct wanted *w, char **ret_error)
{
    struct config_errors errs;
    size_t n = 0;
    config_errors_init(&errs);
    bool ok =
        add_configured(p, file, w, as_user, &errs) && add_configured(p, file, w, as_service, &errs);
    FILE *f = ok ? NULL : open_memstream(ret_error, &n);
    if (f) {
        config_errors_write(&errs, f);
        fclose(f);
    }
    config_errors_done(&errs);
    return ok;
}

static bool find(struct place *p, const char *socket, const char *config, const struct wanted *w)
{
    char *error = NULL, *found = NULL;
    *p = (struct place){0};
    if (socket) {
        add_path(p, socket);
        return true;
    }
    if (config)
        return add_both(p, config, w, &p->warning);
    found = config_default_path(NULL);
    bool read = found && add_both(p, found, w, &p->warning);
    if (!read || getenv("RUNTIME_DIRECTORY"))
        add_both(p, NULL, w, &error);
    free(error);
    free(found);
    return true;
}

bool place_find(struct place *p, const char *socket, const char *config)
{
    if (find(p, socket, config, &(const struct wanted){.admin = true}))
        return true;
    fputs(p->warning ? p->warning : "mcpoolctl: the configuration cannot be read\n", stderr);
    place_done(p);
    return false;
}

bool place_find_server(struct place *p, const char *socket, const char *config, const char *name)
{
    return find(p, socket, config, &(const struct wanted){.server = name});
}

void place_done(struct place *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->paths[i]);
    free(p->warning);
    *p = (struct place){0};
}
