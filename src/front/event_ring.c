/* Shelves of references: an event lies on the shelf of the process and on that of its server, and
 * goes with the last of them. Numbers rise along a shelf, so that a reader who comes back with the
 * last number it saw is found its place by bisection, however much has gone meanwhile.
 *
 * All of this runs inside the log: nothing here may log. */
#include "front/event_ring.h"

#include "base/util.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct kept {
    unsigned refs;
    struct event event;
    char room[]; /* its strings */
};

struct shelf {
    struct kept **at; /* cap of them, n in use from `first` on, around the end */
    unsigned cap, n, first;
};

struct server_shelf {
    UT_hash_handle hh;
    struct shelf shelf;
    bool wanted; /* event_ring_apply: is in the configuration */
    char name[];
};

struct event_ring {
    uint64_t last_seq;
    struct shelf all;
    struct server_shelf *servers;
    LIST_HEAD(, event_watch) watches;
};

/* ---- shelves ---- */

static struct kept *peek(const struct shelf *s, unsigned i)
{
    return s->at[(s->first + i) % s->cap];
}

static void kept_unref(struct kept *k)
{
    if (--k->refs == 0)
        free(k);
}

static void drop_first(struct shelf *s)
{
    kept_unref(peek(s, 0));
    s->first = (s->first + 1) % s->cap;
    s->n--;
}

static void shelve(struct shelf *s, struct kept *k)
{
    if (s->cap == 0)
        return;
    if (s->n == s->cap)
        drop_first(s);
    s->at[(s->first + s->n++) % s->cap] = k;
    k->refs++;
}

static void resize(struct shelf *s, unsigned cap)
{
    if (cap == s->cap)
        return;
    while (s->n > cap)
        drop_first(s);
    struct kept **at = cap ? xcalloc(cap, sizeof(struct kept *)) : NULL;
    for (unsigned i = 0; i < s->n; i++)
        at[i] = peek(s, i);
    free(s->at);
    *s = (struct shelf){.at = at, .cap = cap, .n = s->n};
}

static const struct event *after(const struct shelf *s, uint64_t seq)
{
    unsigned low = 0, high = s->n;
    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        if (peek(s, mid)->event.seq > seq)
            high = mid;
        else
            low = mid + 1;
    }
    return low < s->n ? &peek(s, low)->event : NULL;
}

/* ---- the ring ---- */

static struct server_shelf *find(const struct event_ring *ring, const char *name)
{
    struct server_shelf *s;
    HASH_FIND_STR(ring->servers, name, s);
    return s;
}

static void remove_server(struct event_ring *ring, struct server_shelf *s)
{
    HASH_DEL(ring->servers, s);
    resize(&s->shelf, 0);
    free(s);
}

void event_ring_apply(struct event_ring *ring, const struct config *config)
{
    struct server_shelf *s, *next;
    resize(&ring->all, config->limits.events_kept);
    for (size_t i = 0; i < config->servers_n; i++) {
        const char *name = config->servers[i].name;
        s = find(ring, name);
        if (!s) {
            s = xcalloc(1, sizeof(*s) + strlen(name) + 1);
            memcpy(s->name, name, strlen(name) + 1);
            HASH_ADD_STR(ring->servers, name, s);
        }
        s->wanted = true;
        resize(&s->shelf, config->limits.events_kept_per_server);
    }
    HASH_ITER (hh, ring->servers, s, next) {
        if (!s->wanted)
            remove_server(ring, s);
        else
            s->wanted = false;
    }
}

struct event_ring *event_ring_new(const struct config *config)
{
    struct event_ring *ring = xcalloc(1, sizeof(*ring));
    LIST_INIT(&ring->watches);
    event_ring_apply(ring, config);
    return ring;
}

void event_ring_free(struct event_ring *ring)
{
    struct server_shelf *s, *next;
    if (!ring)
        return;
    HASH_ITER (hh, ring->servers, s, next)
        remove_server(ring, s);
    resize(&ring->all, 0);
    free(ring);
}

static const char *store(char **room, const char *s, size_t n)
{
    char *at = *room;
    memcpy(at, s, n);
    at[n] = 0;
    *room += n + 1;
    return at;
}

/* An own copy, without a reference yet. */
static struct kept *copy(const struct log_record *r, uint64_t seq)
{
    const struct log_ctx none = {.slot = -1}, *ctx = r->ctx ? r->ctx : &none;
    size_t server = ctx->server ? strlen(ctx->server) : 0;
    size_t reason = ctx->reason ? strlen(ctx->reason) : 0;
    char text[EVENT_TEXT_MAX];
    /* The text is escaped already; what it holds passes a second time as it is. */
    size_t n = r->text.n <= sizeof(text) ? r->text.n : log_escape(text, sizeof(text), r->text);
    struct kept *k = xmalloc(sizeof(*k) + server + reason + n + 3);
    char *room = k->room;
    k->refs = 0;
    k->event = (struct event){
        .seq = seq,
        .realtime = r->realtime,
        .level = r->level,
        .slot = ctx->slot,
        .id = ctx->message_id,
        .server = ctx->server ? store(&room, ctx->server, server) : NULL,
        .reason = ctx->reason ? store(&room, ctx->reason, reason) : NULL,
    };
    k->event.text = slice_of(store(&room, n < r->text.n ? text : r->text.p, n), n);
    return k;
}

void event_ring_on_record(void *arg, const struct log_record *r)
{
    struct event_ring *ring = arg;
    struct kept *k = copy(r, ++ring->last_seq);
    struct server_shelf *s = k->event.server ? find(ring, k->event.server) : NULL;
    const struct event_watch *w;
    k->refs++;
    shelve(&ring->all, k);
    if (s)
        shelve(&s->shelf, k);
    kept_unref(k);
    LIST_FOREACH (w, &ring->watches, link)
        w->fn(w->arg, r);
}

const struct event *event_ring_after(const struct event_ring *ring, uint64_t seq)
{
    return after(&ring->all, seq);
}

const struct event *event_ring_server_after(const struct event_ring *ring, const char *server,
                                            uint64_t seq)
{
    const struct server_shelf *s = find(ring, server);
    return s ? after(&s->shelf, seq) : NULL;
}

void event_ring_watch(struct event_ring *ring, struct event_watch *w)
{
    LIST_INSERT_HEAD(&ring->watches, w, link);
}

void event_ring_unwatch(struct event_watch *w)
{
    LIST_REMOVE(w, link);
}
