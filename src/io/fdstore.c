/* Two datagrams: FDSTORE=1 with a descriptor, FDSTOREREMOVE=1 with a name. They arrive in order, so
 * a removal that waits holds up the puts behind it: a name that is used again must not be removed
 * by the removal of its predecessor. */
#include "io/fdstore.h"

#include "base/util.h"
#include "io/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* How long the manager gets before it is tried again. */
#define RETRY_SPAN (20 * USEC_PER_MSEC)

struct waiting {
    STAILQ_ENTRY(waiting) link;
    char name[FDSTORE_NAME_MAX + 1];
};

struct fdstore {
    struct loop *loop;
    size_t count, max;
    STAILQ_HEAD(, waiting) removals;
    struct timer retry;
};

static int send_removal(const char *name)
{
    char text[FDSTORE_NAME_MAX + 64];

    snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    return supervisor_send(text, NULL, 0);
}

static void send_removals(void *arg)
{
    struct fdstore *s = arg;
    struct waiting *w;

    while ((w = STAILQ_FIRST(&s->removals)) != NULL) {
        if (send_removal(w->name) == -EAGAIN) {
            env_timer_set(&s->loop->env, &s->retry, s->loop->env.now + RETRY_SPAN);
            return;
        }
        STAILQ_REMOVE_HEAD(&s->removals, link);
        free(w);
    }
}

struct fdstore *fdstore_new(struct loop *loop, size_t max)
{
    struct fdstore *s = xcalloc(1, sizeof(*s));

    s->loop = loop;
    s->max = max;
    STAILQ_INIT(&s->removals);
    timer_init(&s->retry, send_removals, s);
    return s;
}

void fdstore_free(struct fdstore *s)
{
    struct waiting *w;

    if (!s)
        return;
    send_removals(s);
    env_timer_clear(&s->loop->env, &s->retry);
    while ((w = STAILQ_FIRST(&s->removals)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->removals, link);
        free(w);
    }
    free(s);
}

int fdstore_put(struct fdstore *s, const char *name, int fd)
{
    char text[FDSTORE_NAME_MAX + 64];

    if (s->count >= s->max)
        return -ENOSPC;
    if (!STAILQ_EMPTY(&s->removals))
        return -EAGAIN;
    snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%.*s", FDSTORE_NAME_MAX, name);
    int r = supervisor_send(text, &fd, 1);
    if (r == 0)
        s->count++;
    return r;
}

void fdstore_remove(struct fdstore *s, const char *name)
{
    struct waiting *w = xcalloc(1, sizeof(*w));

    if (s->count > 0)
        s->count--;
    snprintf(w->name, sizeof(w->name), "%s", name);
    STAILQ_INSERT_TAIL(&s->removals, w, link);
    send_removals(s);
}

void fdstore_count_inherited(struct fdstore *s, size_t n)
{
    s->count += n;
}

size_t fdstore_count(const struct fdstore *s)
{
    return s->count;
}
