/* The configuration file is read again while everything runs: at SIGHUP, and when an operator asks
 * for it over the admin interface. */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "base/buf.h"
#include "config/config.h"
#include "io/loop.h"

struct admin;
struct event_ring;
struct front;
struct proxy;
struct reload;

/* All is borrowed until reload_free. */
struct reload_parts {
    struct loop *loop;
    const char *path;                   /* of the file */
    const struct config_params *params; /* to read it with */
    struct config **config; /* the reference to what is in force; replaced by each reload */
    struct proxy *proxy;
    struct front *front;
    struct admin *admin;
    struct event_ring *events;
    bool keep_log_level; /* it was given on the command line: the file's does not count */
    /* Around each reload that is no dry run, whatever comes of it, for the service manager. May be
     * NULL. */
    void (*before)(void *arg);
    void (*after)(void *arg);
    void *arg;
};

/* Never NULL. */
struct reload *reload_new(const struct reload_parts *parts);

/* Asks for a reload, as SIGHUP does: it comes in the next turn of the loop, or a moment after the
 * one before, and counts for all that asked until then. The outcome is logged. */
void reload_request(struct reload *r);

/* Reads the file now and acts on it, unless dry_run; the outcome is logged, and appended to out
 * (unless NULL) as a JSON document. 0; -ESHUTDOWN while the daemon stops; otherwise -errno, -EINVAL
 * when the contents are at fault, and the old configuration is in force as before. */
int reload_now(struct reload *r, bool dry_run, struct buf *out);

/* Accepts NULL. */
void reload_free(struct reload *r);

#endif
