/* What the service manager is told (sd_notify(3)), in an order that cannot go wrong whoever calls
 * what when: READY once, RELOADING and READY in pairs while it runs, STOPPING once and nothing but
 * its progress afterwards. Without a manager nothing is sent and no timer runs. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "base/env.h"

struct notify;
struct proxy;

/* Both are borrowed until notify_free. Never NULL. */
struct notify *notify_new(struct env *env, struct proxy *proxy);

/* Listeners are open and the servers have been told to start. READY=1 follows when the first
 * attempt of each has come to an end, or after NOTIFY_START_MAX: a server that hangs or is dead
 * does not hold up those who wait for us. */
#define NOTIFY_START_MAX (60 * USEC_PER_SEC)
void notify_started(struct notify *n);

/* Something happened, and the status may be another: it is looked at within a second, and before
 * READY=1 at once. To be called as often as one likes. */
void notify_stir(struct notify *n);

/* A reload begins, and has come to its end, well or not. Idempotent. Before READY=1 and after
 * notify_stopping nothing is sent. */
void notify_reloading(struct notify *n);
void notify_ready(struct notify *n);

/* The stop begins; until notify_free the manager is asked each second for more time: how long it
 * may take is for drain_timeout to say. */
void notify_stopping(struct notify *n);

/* Accepts NULL. */
void notify_free(struct notify *n);

#endif
