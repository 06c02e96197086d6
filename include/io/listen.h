/* Listening sockets: TCP (host:port) and unix paths. */
#ifndef IO_LISTEN_H
#define IO_LISTEN_H

#include "io/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Who connected. */
struct peer {
    bool is_unix;
    bool is_loopback; /* TCP peer on 127.0.0.0/8 or ::1 */
    uid_t uid;        /* unix only (SO_PEERCRED) */
    gid_t gid;
    pid_t pid;
    char text[64]; /* for the log: "127.0.0.1:5123" or "uid 1000" */
};

struct listener;

/* Called with a connected, non-blocking, close-on-exec descriptor that the callee now owns. */
typedef void (*listen_on_accept)(void *arg, int fd, const struct peer *peer);

struct listen_options {
    int backlog;      /* default 512 when 0 */
    unsigned mode;    /* unix: permission bits of the socket file; default 0600 when 0 */
    size_t max_conns; /* 0 = no limit here; at the limit accepting pauses until listener_closed */
};

/* Opens a TCP listener on "host:port" ("127.0.0.1:7332", "[::1]:7332", port 0 = any free one). A
 * host that is a name is resolved once. 0 or -errno. */
int listener_open_tcp(struct loop *loop, const char *host_port, const struct listen_options *opt,
                      listen_on_accept fn, void *arg, struct listener **ret);

/* Whether all the addresses that listener_open_tcp would take for this host (without brackets) are
 * loopback ones; false when it cannot be resolved. */
bool listener_is_loopback_name(const char *host);

/* Opens a unix stream listener at path. A file in the way is removed only if it is a socket on
 * which nobody listens (-EADDRINUSE otherwise). The file is removed again by listener_free. 0 or
 * -errno. */
int listener_open_unix(struct loop *loop, const char *path, const struct listen_options *opt,
                       listen_on_accept fn, void *arg, struct listener **ret);

/* Takes over an inherited listening descriptor (made non-blocking). 0 or -errno. */
int listener_open_fd(struct loop *loop, int fd, const struct listen_options *opt,
                     listen_on_accept fn, void *arg, struct listener **ret);

/* Counts a connected descriptor that came from another process as one that this listener accepted,
 * and says who is at its other end. 0, or -errno and it counts nowhere. */
int listener_adopt(struct listener *l, int fd, struct peer *ret_peer);

/* The listening descriptor, to be handed on; still owned by the listener. */
int listener_fd(const struct listener *l);

/* The file at that path is ours, though an earlier process of us made it: it goes with the
 * listener.
 */
void listener_own_path(struct listener *l, const char *path);

/* Stops accepting and closes our descriptor as listener_free does, but leaves the socket file: the
 * socket lives on in another process's hands, and new connections wait there. */
void listener_leave(struct listener *l);

/* One accepted connection ended: the count for max_conns falls. Not after listener_free. */
void listener_closed(struct listener *l);

/* Another max_conns from now on. */
void listener_limit(struct listener *l, size_t max_conns);

/* Stops accepting and closes; also from inside the accept callback. Connections already handed over
 * are not touched. Accepts NULL. */
void listener_free(struct listener *l);

/* The bound address as text ("127.0.0.1:7332", "unix:/run/…"); borrowed. The real port when 0 was
 * asked. */
const char *listener_address(const struct listener *l);

/* Whether only this machine can connect: the bound address is a unix socket or a loopback one. */
bool listener_is_local(const struct listener *l);

/* TCP port really bound, 0 for unix. */
uint16_t listener_port(const struct listener *l);

#endif
