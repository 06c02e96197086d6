/* The table of inherited descriptors. Names are the manager's, but what a descriptor is gets looked
 * at: a door must be a listening stream socket of the right family, or it is not claimed by who
 * opens doors, and ends up among what is closed with a warning. */
#include "io/inherit.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3

/* No manager passes that many; a variable may say anything. */
#define FDS_MAX 65536

struct entry {
    int fd; /* -1: claimed */
    char *name;
};

struct inherited {
    struct entry *v;
    size_t n, cap;
};

/* ---- taking ---- */

/* A decimal number in [0, max]; -1 when text is none. */
static long number(const char *text, long max)
{
    char *end;
    if (!text || text[0] < '0' || text[0] > '9')
        return -1;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno || *end || n > max ? -1 : n;
}

void inherit_add(struct inherited *in, int fd, const char *name)
{
    if (in->n == in->cap) {
        in->cap = in->cap ? 2 * in->cap : 8;
        in->v = xrealloc(in->v, in->cap * sizeof(*in->v));
    }
    in->v[in->n++] = (struct entry){.fd = fd, .name = xstrndup(name, INHERIT_NAME_MAX)};
}

/* What the manager takes for a name itself; it is told to it again later. */
static bool is_name(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] > 0x7e)
            return false;
    return n > 0 && n <= INHERIT_NAME_MAX;
}

/* The next of the colon-separated names, "unknown" when there is no more. */
static char *next_name(const char **at)
{
    const char *p = *at;
    if (!p)
        return xstrdup("unknown");
    size_t n = strcspn(p, ":");
    *at = p[n] ? p + n + 1 : NULL;
    return is_name(p, n) ? xstrndup(p, n) : xstrdup("unknown");
}

struct inherited *inherit_new(void)
{
    return xcalloc(1, sizeof(struct inherited));
}

struct inherited *inherit_take(void)
{
    struct inherited *in = inherit_new();
    const char *names = getenv("LISTEN_FDNAMES");
    long n = number(getenv("LISTEN_FDS"), FDS_MAX);
    if (n > 0 && number(getenv("LISTEN_PID"), INT_MAX) == (long)getpid()) {
        for (int fd = FIRST_FD; fd < FIRST_FD + n; fd++) {
            char *name = next_name(&names);
            if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
                inherit_add(in, fd, name);
            free(name);
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return in;
}

/* ---- what it is ---- */

/* The family of a listening stream socket; AF_UNSPEC for everything else. */
static int listening_family(int fd)
{
    int type = 0, listening = 0, family = AF_UNSPEC;
    socklen_t n = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0 || !listening ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) < 0)
        return AF_UNSPEC;
    return family;
}

static bool is_unix(int fd)
{
    return listening_family(fd) == AF_UNIX;
}

static bool is_inet(int fd)
{
    int family = listening_family(fd);
    return family == AF_INET || family == AF_INET6;
}

static bool is_at_path(int fd, const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNSPEC};
    socklen_t len = sizeof(un);
    size_t n = strlen(path);
    return n > 0 && n < sizeof(un.sun_path) && is_unix(fd) &&
           getsockname(fd, (struct sockaddr *)&un, &len) == 0 &&
           strncmp(un.sun_path, path, sizeof(un.sun_path)) == 0;
}

/* ---- claiming ---- */

size_t inherit_count(const struct inherited *in)
{
    size_t n = 0;
    for (size_t i = 0; in && i < in->n; i++)
        n += in->v[i].fd >= 0;
    return n;
}

static int claim(struct entry *e)
{
    int fd = e->fd;
    e->fd = -1;
    return fd;
}

static int claim_named(struct inherited *in, const char *name, bool (*fits)(int fd))
{
    for (size_t i = 0; in && i < in->n; i++) {
        struct entry *e = &in->v[i];
        if (e->fd >= 0 && strcmp(e->name, name) == 0 && (!fits || fits(e->fd)))
            return claim(e);
    }
    return -1;
}

int inherit_claim(struct inherited *in, const char *name)
{
    return claim_named(in, name, NULL);
}

int inherit_claim_unix(struct inherited *in, const char *name)
{
    return claim_named(in, name, is_unix);
}

int inherit_claim_inet(struct inherited *in, const char *name)
{
    return claim_named(in, name, is_inet);
}

int inherit_claim_prefix(struct inherited *in, const char *prefix, char *ret_name)
{
    for (size_t i = 0; in && i < in->n; i++) {
        struct entry *e = &in->v[i];
        if (e->fd < 0 || strncmp(e->name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(ret_name, INHERIT_NAME_MAX + 1, "%s", e->name);
        return claim(e);
    }
    return -1;
}

int inherit_claim_path(struct inherited *in, const char *path)
{
    for (size_t i = 0; in && i < in->n; i++)
        if (in->v[i].fd >= 0 && is_at_path(in->v[i].fd, path))
            return claim(&in->v[i]);
    return -1;
}

/* ---- the rest ---- */

static const char *kind_of(int fd)
{
    if (listening_family(fd) != AF_UNSPEC)
        return "a listening socket";
    int type;
    socklen_t n = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0)
        return type == SOCK_STREAM ? "a socket that does not listen" : "not a stream socket";
    return "not a socket";
}

struct inherited *inherit_free(struct inherited *in,
                               void (*on_closed)(void *arg, const char *name, const char *what),
                               void *arg)
{
    for (size_t i = 0; in && i < in->n; i++) {
        struct entry *e = &in->v[i];
        if (e->fd >= 0) {
            if (on_closed)
                on_closed(arg, e->name, kind_of(e->fd));
            close(e->fd);
        }
        free(e->name);
    }
    if (in)
        free(in->v);
    free(in);
    return NULL;
}
