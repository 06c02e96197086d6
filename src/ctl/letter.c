/* The messages on their way to the daemon.
 *
 * A letter is in exactly one list: the queue, whose first may be written in part, or those sent.
 * queued_bytes, kept_bytes and awaited are the sums over the lists, and are kept here alone. */
#include "ctl/door_priv.h"

#include "base/util.h"

#include <stdlib.h>

/* What is kept of requests that were sent, so that they can be sent again: each, and all together.
 */
#define KEEP_ONE ((size_t)64 * 1024)
#define KEEP_ALL ((size_t)8 * 1024 * 1024)

/* What a letter costs besides its bytes: many small ones are to fill the queue, too. */
#define LETTER_COST (sizeof(struct letter) + 64)

struct letter *letter_new(enum letter_kind kind, struct slice text, struct slice id)
{
    struct letter *l = xcalloc(1, sizeof(*l));
    char *p;
    l->kind = kind;
    l->text = blob_alloc(text.n + 1, &p);
    memcpy(p, text.p, text.n);
    p[text.n] = '\n';
    if (id.n)
        l->id = xstrndup(id.p, id.n);
    return l;
}

static void letter_free(struct letter *l)
{
    blob_unref(l->text);
    free(l->id);
    free(l->subject);
    free(l);
}

static bool is_awaited(const struct letter *l)
{
    return l->kind == LETTER_CLIENT && l->id;
}

static void on_queued(struct door *d, struct letter *l)
{
    d->queued_bytes += l->text->n + LETTER_COST;
    d->awaited += is_awaited(l);
}

void letter_post(struct door *d, struct letter *l)
{
    on_queued(d, l);
    TAILQ_INSERT_TAIL(&d->queue, l, link);
}

void letter_post_first(struct door *d, struct letter *l)
{
    struct letter *head = TAILQ_FIRST(&d->queue);
    on_queued(d, l);
    if (head && letter_is_begun(d, head))
        TAILQ_INSERT_AFTER(&d->queue, head, l, link);
    else
        TAILQ_INSERT_HEAD(&d->queue, l, link);
}

bool letter_is_begun(const struct door *d, const struct letter *l)
{
    return d->head_written > 0 && l == TAILQ_FIRST(&d->queue);
}

static void unqueue(struct door *d, struct letter *l)
{
    if (letter_is_begun(d, l))
        d->head_written = 0;
    TAILQ_REMOVE(&d->queue, l, link);
    d->queued_bytes -= l->text->n + LETTER_COST;
    d->awaited -= is_awaited(l);
}

void letter_drop_queued(struct door *d, struct letter *l)
{
    unqueue(d, l);
    letter_free(l);
}

static void unsend(struct door *d, struct letter *l)
{
    TAILQ_REMOVE(&d->sent, l, link);
    d->awaited -= is_awaited(l);
    if (l->kept)
        d->kept_bytes -= l->text->n;
    l->kept = false;
}

void letter_drop_sent(struct door *d, struct letter *l)
{
    unsend(d, l);
    letter_free(l);
}

struct letter *letter_find(const struct letters *list, struct slice id)
{
    struct letter *l;
    TAILQ_FOREACH (l, list, link)
        if (l->id && json_id_eq(slice_str(l->id), id))
            return l;
    return NULL;
}

void letter_again(struct door *d, struct letter *l, bool first)
{
    unsend(d, l);
    if (first)
        letter_post_first(d, l);
    else
        letter_post(d, l);
}

void letters_wait(struct door *d, usec_t now)
{
    struct letter *l;
    TAILQ_FOREACH (l, &d->queue, link)
        if (l->fail_at == 0)
            l->fail_at = now + d->limits.wait;
}

/* ---- writing ---- */

/* The next letter that may go now. While the daemon is shutting down only what its last answers
 * depend on may: requests wait for the next connection. */
static struct letter *next_letter(struct door *d)
{
    struct letter *l = TAILQ_FIRST(&d->queue);
    if (!l || d->state == DOOR_DOWN)
        return NULL;
    if (letter_is_begun(d, l))
        return l;
    if (d->state == DOOR_OPENING)
        return l->kind == LETTER_INITIALIZE ? l : NULL;
    if (!d->leaving)
        return l;
    while (l && l->id)
        l = TAILQ_NEXT(l, link);
    if (l && l != TAILQ_FIRST(&d->queue)) {
        TAILQ_REMOVE(&d->queue, l, link);
        TAILQ_INSERT_HEAD(&d->queue, l, link);
    }
    return l;
}

struct slice door_to_server(struct door *d)
{
    struct letter *l = next_letter(d);
    if (!l)
        return slice_of("", 0);
    struct slice all = blob_slice(l->text);
    return slice_of(all.p + d->head_written, all.n - d->head_written);
}

/* The first in the queue was written. */
static void on_sent(struct door *d)
{
    struct letter *l = TAILQ_FIRST(&d->queue);
    d->head_written = 0;
    if (!l->id || l->cancelled) {
        letter_drop_queued(d, l);
        return;
    }
    unqueue(d, l);
    l->fail_at = 0;
    l->kept = l->method == MCP_INITIALIZE ||
              (l->text->n <= KEEP_ONE && d->kept_bytes + l->text->n <= KEEP_ALL);
    if (l->kept)
        d->kept_bytes += l->text->n;
    else
        l->text = blob_unref(l->text);
    d->awaited += is_awaited(l);
    TAILQ_INSERT_TAIL(&d->sent, l, link);
}

void door_written(struct door *d, size_t n)
{
    struct letter *l = TAILQ_FIRST(&d->queue);
    d->head_written += n;
    if (l && d->head_written >= l->text->n)
        on_sent(d);
}
