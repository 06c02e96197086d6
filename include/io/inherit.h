/* Descriptors that were handed to this process by the service manager (LISTEN_FDS): the sockets of
 * its socket units, and what an earlier process gave into its descriptor store. Each has a name,
 * and several may have the same one. They are taken once, at the start; whoever knows a name claims
 * what bears it and owns it from then on; what nobody claimed is closed.
 *
 *     http              listening, TCP or unix: instead of the TCP entries of `listen`
 *     NAME.sock, NAME   listening, unix: the door of server NAME
 *     mcp.sock, mcp     listening, unix: the door of the aggregate endpoint
 *     admin.sock, admin listening, unix: the admin interface
 *     c-...             a connection of a client (descriptor store)
 *     ledger            a memory file (descriptor store)
 *
 * A listening unix socket is also known by its path, whatever its name. */
#ifndef IO_INHERIT_H
#define IO_INHERIT_H

#include <stdbool.h>
#include <stddef.h>

/* Longest name, as systemd has it. */
#define INHERIT_NAME_MAX 255

struct inherited;

/* Takes what LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say, if they are meant for this process, and
 * removes the variables. The descriptors are close-on-exec from here on. Call before any other
 * descriptor is opened. Never NULL. */
struct inherited *inherit_take(void);

/* An empty table, to be filled by hand. */
struct inherited *inherit_new(void);

/* Adds a descriptor by hand; it is owned from then on. */
void inherit_add(struct inherited *in, int fd, const char *name);

/* How many have not been claimed yet. Accepts NULL, as all below do: then there is nothing. */
size_t inherit_count(const struct inherited *in);

/* Claims the first descriptor of exactly that name, whatever it is. -1: there is none. */
int inherit_claim(struct inherited *in, const char *name);

/* Claims the first descriptor whose name begins with prefix and copies the name to ret_name
 * (INHERIT_NAME_MAX + 1 bytes). -1: there is none (any more). */
int inherit_claim_prefix(struct inherited *in, const char *prefix, char *ret_name);

/* Claims the first listening stream socket of exactly that name: a unix socket, or one of the
 * internet. -1: there is none (any more). */
int inherit_claim_unix(struct inherited *in, const char *name);
int inherit_claim_inet(struct inherited *in, const char *name);

/* Claims the listening stream socket that is bound to that path. -1: there is none. */
int inherit_claim_path(struct inherited *in, const char *path);

/* Closes what was not claimed, calling on_closed (unless NULL) for each beforehand: the manager may
 * have to be told, or its copy stays open. what: such as "a listening socket". Frees in. Returns
 * NULL. */
struct inherited *inherit_free(struct inherited *in,
                               void (*on_closed)(void *arg, const char *name, const char *what),
                               void *arg);

#endif
