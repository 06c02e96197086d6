/* A list of copies, bounded by number and by bytes. */
#include "upstream/tail.h"

#include "base/log.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>

static size_t cost(const struct tail_line *l)
{
    return sizeof(*l) + l->n;
}

static void drop_first(struct tail *t)
{
    struct tail_line *l = STAILQ_FIRST(&t->lines);
    STAILQ_REMOVE_HEAD(&t->lines, link);
    t->count--;
    t->bytes -= cost(l);
    free(l);
}

void tail_init(struct tail *t)
{
    *t = (struct tail){0};
    STAILQ_INIT(&t->lines);
}

void tail_done(struct tail *t)
{
    while (t->count)
        drop_first(t);
}

void tail_push(struct tail *t, unsigned max_lines, usec_t now, pid_t pid, struct slice text)
{
    char escaped[TAIL_LINE_MAX];
    size_t n = max_lines ? log_escape(escaped, sizeof(escaped), text) : 0;
    if (max_lines) {
        struct tail_line *l = xmalloc(sizeof(*l) + n);
        l->at = now;
        l->pid = pid;
        l->n = n;
        memcpy(l->text, escaped, n);
        STAILQ_INSERT_TAIL(&t->lines, l, link);
        t->count++;
        t->bytes += cost(l);
    } else {
        t->dropped++;
    }
    while (t->count > max_lines || t->bytes > TAIL_BYTES_MAX) {
        drop_first(t);
        t->dropped++;
    }
}
