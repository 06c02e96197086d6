/* Accepting without starving or being starved: a bounded number of connections per turn, a pause
 * when the process is out of descriptors (the backlog keeps the peers meanwhile), a pause at
 * max_conns until one of ours ended. Accepting is armed iff wants_accept(). */
#include "io/listen.h"

#include "base/log.h"
#include "base/util.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG_DEFAULT 512
#define ACCEPTS_MAX     64
#define STARVED_PAUSE   (100 * USEC_PER_MSEC)

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

struct listener {
    struct loop *loop;
    listen_on_accept fn;
    void *arg;
    int fd;
    struct event event;
    bool armed;
    struct timer starved; /* armed while accepting is off for want of descriptors */
    bool starved_logged;  /* once per episode; an accepted connection ends it */
    bool closed;
    size_t conns, max_conns;
    char *address;
    uint16_t port;
    bool local;
    char *unlink_path; /* the socket file to remove, when we made it */
    dev_t path_dev;
    ino_t path_ino;
    struct loop_corpse corpse;
};

/* --- addresses --- */

static bool is_loopback(const union address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohl(a->in.sin_addr.s_addr) >> 24 == 127;
    if (a->any.sa_family != AF_INET6)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return a->in6.sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

static uint16_t address_port(const union address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohs(a->in.sin_port);
    return a->any.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}

static void format_ip(const union address *a, socklen_t len, char *out, size_t n)
{
    char host[NI_MAXHOST];

    if (getnameinfo(&a->any, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(host, sizeof(host), "?");
    snprintf(out, n, a->any.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
             (unsigned)address_port(a));
}

/* --- accepting --- */

static bool wants_accept(const struct listener *l)
{
    return !l->closed && !timer_armed(&l->starved) &&
           (l->max_conns == 0 || l->conns < l->max_conns);
}

static void arm_accepting(struct listener *l)
{
    bool want = wants_accept(l);

    if (want == l->armed)
        return;
    if (want ? event_add(&l->event, NULL) == 0 : event_del(&l->event) == 0)
        l->armed = want;
}

static void on_starved_over(void *arg)
{
    arm_accepting(arg);
}

static void on_starved(struct listener *l, int err)
{
    if (!l->starved_logged)
        log_warning(LOG_CTX(.message_id = LOG_ID_SHORTAGE), "accepting on %s pauses: %s",
                    l->address, strerror(err));
    l->starved_logged = true;
    env_timer_set(&l->loop->env, &l->starved, l->loop->env.now + STARVED_PAUSE);
}

/* Fills in who is at the other end. False when the peer cannot be told: then it is refused. */
static bool identify(int fd, const union address *a, socklen_t len, struct peer *peer)
{
    struct ucred cred;
    socklen_t cred_len = sizeof(cred);
    int on = 1;

    *peer = (struct peer){.uid = (uid_t)-1, .gid = (gid_t)-1};
    if (a->any.sa_family == AF_UNIX) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
            return false;
        peer->is_unix = true;
        peer->uid = cred.uid;
        peer->gid = cred.gid;
        peer->pid = cred.pid;
        snprintf(peer->text, sizeof(peer->text), "uid %u", (unsigned)cred.uid);
        return true;
    }
    /* Small answers must not wait for the acknowledgement of the one before. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    peer->is_loopback = is_loopback(a);
    format_ip(a, len, peer->text, sizeof(peer->text));
    return true;
}

/* Accepts one connection. 0, or -errno of accept4. */
static int accept_one(struct listener *l)
{
    union address a = {.any = {.sa_family = AF_UNIX}};
    socklen_t len = sizeof(a);
    struct peer peer;
    int fd = accept4(l->fd, &a.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return -errno;
    l->starved_logged = false;
    if (!identify(fd, &a, len, &peer)) {
        close(fd);
        return 0;
    }
    l->conns++;
    l->fn(l->arg, fd, &peer);
    return 0;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    (void)fd;
    (void)what;
    loop_touch(l->loop);
    for (int i = 0; i < ACCEPTS_MAX && wants_accept(l); i++) {
        int r = accept_one(l);

        if (r == -EAGAIN)
            break;
        if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM)
            on_starved(l, -r);
        /* Anything else concerns the one connection that ended before it was accepted (accept(2)).
         */
    }
    arm_accepting(l);
}

/* --- opening and closing --- */

/* Takes over a listening descriptor whose address is a. */
static struct listener *new_listener(struct loop *loop, int fd, const union address *a,
                                     socklen_t len, const struct listen_options *opt,
                                     listen_on_accept fn, void *arg)
{
    struct listener *l = xcalloc(1, sizeof(*l));
    char text[sizeof(a->un.sun_path) + sizeof("unix:")];

    l->loop = loop;
    l->fn = fn;
    l->arg = arg;
    l->fd = fd;
    l->max_conns = opt ? opt->max_conns : 0;
    l->port = address_port(a);
    l->local = a->any.sa_family == AF_UNIX || is_loopback(a);
    if (a->any.sa_family == AF_UNIX)
        snprintf(text, sizeof(text), "unix:%.*s", (int)sizeof(a->un.sun_path), a->un.sun_path);
    else
        format_ip(a, len, text, sizeof(text));
    l->address = xstrdup(text);
    timer_init(&l->starved, on_starved_over, l);
    event_assign(&l->event, loop->base, fd, EV_READ | EV_PERSIST, on_acceptable, l);
    arm_accepting(l);
    return l;
}

static int start_listening(struct loop *loop, int fd, const struct listen_options *opt,
                           listen_on_accept fn, void *arg, struct listener **ret)
{
    union address a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof(a);

    if (listen(fd, opt && opt->backlog ? opt->backlog : BACKLOG_DEFAULT) < 0 ||
        getsockname(fd, &a.any, &len) < 0)
        return -errno;
    *ret = new_listener(loop, fd, &a, len, opt, fn, arg);
    return 0;
}

static int bind_tcp(const struct addrinfo *ai)
{
    int on = 1, err;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* "[::]" means IPv6 alone on every system, whatever net.ipv6.bindv6only says. */
    if (ai->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

/* "host:port" or "[host]:port" into its parts; *ret_host is malloc'ed. 0 or -EINVAL. */
static int split_host_port(const char *text, char **ret_host, const char **ret_port)
{
    const char *colon = strrchr(text, ':'), *host = text;
    size_t n, digits;

    if (!colon)
        return -EINVAL;
    n = (size_t)(colon - text);
    digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] || strtoul(colon + 1, NULL, 10) > 65535)
        return -EINVAL;
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    } else if (memchr(host, ':', n)) {
        return -EINVAL; /* an IPv6 address without brackets could end anywhere */
    }
    if (n == 0)
        return -EINVAL;
    *ret_host = xstrndup(host, n);
    *ret_port = colon + 1;
    return 0;
}

static int resolve(const char *host, const char *port, struct addrinfo **ret)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};

    switch (getaddrinfo(host, port, &hints, ret)) {
    case 0:
        return 0;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    default:
        return -EADDRNOTAVAIL;
    }
}

bool listener_is_loopback_name(const char *host)
{
    struct addrinfo *list = NULL;
    bool all = true;

    if (resolve(host, "0", &list) < 0)
        return false;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        union address a = {.any = {.sa_family = AF_UNSPEC}};

        if (ai->ai_addrlen <= sizeof(a))
            memcpy(&a, ai->ai_addr, ai->ai_addrlen);
        all = all && is_loopback(&a);
    }
    freeaddrinfo(list);
    return all;
}

int listener_open_tcp(struct loop *loop, const char *host_port, const struct listen_options *opt,
                      listen_on_accept fn, void *arg, struct listener **ret)
{
    struct addrinfo *list = NULL;
    const char *port;
    char *host;
    int fd = -EADDRNOTAVAIL, r = split_host_port(host_port, &host, &port);

    if (r < 0)
        return r;
    r = resolve(host, port, &list);
    free(host);
    if (r < 0)
        return r;
    for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
        fd = bind_tcp(ai);
    freeaddrinfo(list);
    if (fd < 0)
        return fd;
    r = start_listening(loop, fd, opt, fn, arg, ret);
    if (r < 0)
        close(fd);
    return r;
}

/* Whether what lies at the address is a socket that nobody listens on (security.md A02). */
static bool is_stale(const struct sockaddr_un *un)
{
    struct stat st;
    int fd;
    bool stale;

    if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int bind_unix(int fd, const struct sockaddr_un *un)
{
    const struct sockaddr *a = (const struct sockaddr *)un;

    if (bind(fd, a, sizeof(*un)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    if (!is_stale(un))
        return -EADDRINUSE;
    if (unlink(un->sun_path) < 0 || bind(fd, a, sizeof(*un)) < 0)
        return -errno;
    return 0;
}

/* Sets the mode before anyone can connect (not listening yet) and remembers which file is ours. */
static int open_bound_unix(struct loop *loop, int fd, const char *path,
                           const struct listen_options *opt, listen_on_accept fn, void *arg,
                           struct listener **ret)
{
    struct stat st;
    int r;

    if (chmod(path, opt && opt->mode ? opt->mode : 0600) < 0 || lstat(path, &st) < 0) {
        r = -errno;
        goto fail;
    }
    r = start_listening(loop, fd, opt, fn, arg, ret);
    if (r < 0)
        goto fail;
    (*ret)->unlink_path = xstrdup(path);
    (*ret)->path_dev = st.st_dev;
    (*ret)->path_ino = st.st_ino;
    return 0;
fail:
    unlink(path);
    return r;
}

int listener_open_unix(struct loop *loop, const char *path, const struct listen_options *opt,
                       listen_on_accept fn, void *arg, struct listener **ret)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    int fd, r;

    if (n == 0)
        return -EINVAL;
    if (n >= sizeof(un.sun_path))
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path, n + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = bind_unix(fd, &un);
    if (r == 0)
        r = open_bound_unix(loop, fd, path, opt, fn, arg, ret);
    if (r < 0)
        close(fd);
    return r;
}

int listener_open_fd(struct loop *loop, int fd, const struct listen_options *opt,
                     listen_on_accept fn, void *arg, struct listener **ret)
{
    union address a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof(a), flag_len = sizeof(int);
    int listening = 0, flags = fcntl(fd, F_GETFL);

    if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &flag_len) < 0)
        return -errno;
    if (!listening)
        return -EINVAL;
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
        getsockname(fd, &a.any, &len) < 0)
        return -errno;
    *ret = new_listener(loop, fd, &a, len, opt, fn, arg);
    return 0;
}

int listener_adopt(struct listener *l, int fd, struct peer *ret_peer)
{
    union address a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof(a);
    int type = 0;
    socklen_t type_len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0)
        return -errno;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;
    if (getpeername(fd, &a.any, &len) < 0)
        return -errno;
    a.any.sa_family = len < sizeof(a.any.sa_family) ? AF_UNIX : a.any.sa_family;
    if (!identify(fd, &a, len, ret_peer))
        return -EPERM;
    l->conns++;
    return 0;
}

int listener_fd(const struct listener *l)
{
    return l->fd;
}

void listener_own_path(struct listener *l, const char *path)
{
    struct stat st;

    if (l->unlink_path || stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    l->unlink_path = xstrdup(path);
    l->path_dev = st.st_dev;
    l->path_ino = st.st_ino;
}

void listener_leave(struct listener *l)
{
    if (!l || l->closed)
        return;
    free(l->unlink_path);
    l->unlink_path = NULL;
    listener_free(l);
}

void listener_closed(struct listener *l)
{
    assert(l->conns > 0);
    l->conns--;
    arm_accepting(l);
}

void listener_limit(struct listener *l, size_t max_conns)
{
    l->max_conns = max_conns;
    arm_accepting(l);
}

static void remove_socket_file(const struct listener *l)
{
    struct stat st;

    /* Somebody may have put another one there since. */
    if (l->unlink_path && lstat(l->unlink_path, &st) == 0 && st.st_dev == l->path_dev &&
        st.st_ino == l->path_ino)
        unlink(l->unlink_path);
}

static void free_memory(void *arg)
{
    struct listener *l = arg;

    free(l->address);
    free(l->unlink_path);
    free(l);
}

void listener_free(struct listener *l)
{
    if (!l || l->closed)
        return;
    l->closed = true;
    arm_accepting(l);
    env_timer_clear(&l->loop->env, &l->starved);
    remove_socket_file(l);
    close(l->fd);
    loop_bury(l->loop, &l->corpse, free_memory, l);
}

const char *listener_address(const struct listener *l)
{
    return l->address;
}

bool listener_is_local(const struct listener *l)
{
    return l->local;
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}
