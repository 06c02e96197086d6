/* Client connections, whatever is spoken on them.
 *
 * On a unix socket the first byte tells: JSON begins with a brace or a bracket, HTTP with a letter.
 * Until then a connection has no protocol object, so that one which only sits there costs next to
 * nothing.
 *
 * Closing cuts a connection from everything at once (ops->on_close) and moves it to front->dead;
 * its memory goes in a task at the end of the turn, because the call that closed it may have come
 * through it. */
#include "base/util.h"
#include "front/front_priv.h"
#include "front/message.h"

#include <stdlib.h>

/* How long a client may take to read the last bytes of a connection that nobody looks after any
 * more. */
#define FLUSH_LINGER (30 * USEC_PER_SEC)

/* Bytes that may precede the first one that tells: whitespace, or a byte order mark. */
static size_t skip_prefix(struct slice in)
{
    size_t i = 0;
    if (in.n >= 3 && memcmp(in.p, "\xef\xbb\xbf", 3) == 0)
        i = 3;
    while (i < in.n && strchr(" \t\r\n", in.p[i]) && in.p[i])
        i++;
    return i;
}

/* Whether JSON lines are spoken; -1 while that cannot be told. */
static int looks_like_lines(struct slice in)
{
    static const char bom[] = "\xef\xbb\xbf";
    if (in.n < 3 && memcmp(in.p, bom, in.n) == 0)
        return -1;
    size_t at = skip_prefix(in);
    if (at == in.n)
        return -1;
    return in.p[at] == '{' || in.p[at] == '[';
}

/* An HTTP client may send one empty line first, no more. Whoever sends that much whitespace speaks
 * neither. */
#define SNIFF_MAX 64

static void choose(struct client *c)
{
    if (c->listener->is_unix && c->listener->route) {
        struct slice in = stream_input(c->stream);
        int lines = looks_like_lines(in);
        if (lines < 0 && in.n < SNIFF_MAX && !c->eof)
            return;
        if (lines < 0) {
            client_close(c);
            return;
        }
        if (lines) {
            line_conn_start(c);
            return;
        }
    }
    http_conn_start(c);
}

static void on_input(void *arg)
{
    struct client *c = arg;
    if (!c->ops)
        choose(c);
    if (c->ops && client_is_open(c))
        c->ops->on_input(c->impl);
}

static void on_eof(void *arg)
{
    struct client *c = arg;
    c->eof = true;
    if (!c->ops && stream_input(c->stream).n)
        choose(c);
    if (!client_is_open(c))
        return;
    if (c->ops)
        c->ops->on_eof(c->impl);
    else
        client_close(c);
}

static void on_error(void *arg, int err)
{
    (void)err;
    client_close(arg);
}

static void on_drain(void *arg)
{
    struct client *c = arg;
    if (c->ops && !c->doomed)
        c->ops->on_drain(c->impl);
}

static void on_timer(void *arg)
{
    struct client *c = arg;
    if (c->ops && !c->doomed)
        c->ops->on_timer(c->impl);
    else
        client_close(c);
}

static const struct stream_ops stream_ops = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drain = on_drain,
};

/* Room for a head of the largest size, and some of what follows; 0: what a stream has anyway. */
static uint32_t input_room(const struct front *f)
{
    size_t head = front_limits(f)->max_head_bytes;
    return head > 48 * 1024 ? (uint32_t)head + 16 * 1024 : 0;
}

void client_follow(struct client *c)
{
    uint32_t room = input_room(c->front);
    if (c->stream && room > c->input_room) {
        stream_set_in_max(c->stream, room);
        c->input_room = room;
    }
    if (c->ops && c->ops->on_follow)
        c->ops->on_follow(c->impl);
    else if (!c->ops && c->listener->route && route_is_gone(c->listener->route))
        client_close(c); /* it has said nothing yet, and there is nobody to say it to */
}

static struct client *client_new(struct front_listener *l, int fd, struct peer_group *peer)
{
    struct front *f = l->front;
    struct client *c = xcalloc(1, sizeof(*c));
    c->input_room = input_room(f);
    struct stream_options opt = {.in_max = c->input_room};
    c->since_at = f->env->now;
    c->front = f;
    c->listener = l;
    c->peer = peer_group_ref(peer);
    l->refs++;
    peer->connections++;
    f->connections++;
    f->counts.http_connections++;
    timer_init(&c->timer, on_timer, c);
    LIST_INSERT_HEAD(&f->clients, c, link);
    c->stream = stream_new(f->loop, fd, fd, &opt, &stream_ops, c);
    return c;
}

void client_start(struct front_listener *l, int fd, struct peer_group *peer)
{
    struct front *f = l->front;
    const struct config_limits *limits = front_limits(f);
    struct client *c = client_new(l, fd, peer);
    f->counts.accepted++;
    if (f->store) {
        uint64_t socket = socket_identity(fd);
        c->record = socket ? ledger_take(f->store->ledger, l->name, socket) : NULL;
        stream_set_trace(c->stream, c->record ? &c->record->io : NULL);
        if (f->draining)
            front_store_clients(f, 0);
        else if (!timer_armed(&f->store_timer))
            env_timer_set(f->env, &f->store_timer, f->env->now + FRONT_STORE_AGE);
    }
    /* A local program may keep a pipe to us open for as long as it likes before it speaks. */
    if (!l->is_unix && limits->idle_connection_timeout)
        client_set_timer(c, f->env->now + limits->idle_connection_timeout);
}

/* ---- what outlives the process ---- */

uint64_t client_taken(const struct client *c)
{
    return stream_received_total(c->stream) - stream_input(c->stream).n;
}

void client_forget(struct client *c)
{
    const struct front_store *store = c->front->store;
    char name[FRONT_STORE_NAME];
    if (!c->record)
        return;
    client_store_name(c->front, c->record, name);
    if (c->stored)
        store->remove(store->arg, name);
    c->stored = false;
    if (c->stream)
        stream_set_trace(c->stream, NULL);
    ledger_free(store->ledger, c->record);
    c->record = NULL;
}

/* The stream is out of our hands already. */
static void client_detach(struct client *c)
{
    struct front *f = c->front;
    c->stream = NULL;
    client_forget(c);
    env_timer_clear(f->env, &c->timer);
    if (c->ops)
        c->ops->on_close(c->impl);
    else
        f->counts.http_connections--;
    LIST_REMOVE(c, link);
    LIST_INSERT_HEAD(&f->dead, c, link);
    c->peer->connections--;
    f->connections--;
    if (c->listener->listener)
        listener_closed(c->listener->listener);
    env_defer(f->env, &f->reap);
}

void client_close(struct client *c)
{
    if (!c->stream)
        return;
    if (c->stored)
        stream_shut(c->stream); /* the store's copy must not keep it open */
    stream_free(c->stream);
    client_detach(c);
}

void client_leave(struct client *c, struct slice rest)
{
    if (!c->stream)
        return;
    ledger_spill(c->front->store->ledger, c->record, rest);
    c->record = NULL;
    c->stored = false;
    stream_free(c->stream);
    client_detach(c);
}

struct client *client_adopt(struct front_listener *l, int fd, struct peer_group *peer,
                            struct ledger_record *r, const struct ledger_verdict *v)
{
    struct client *c = client_new(l, fd, peer);
    stream_go_on(c->stream, v->received, v->sent, v->rest);
    c->record = r;
    c->stored = true;
    stream_set_trace(c->stream, &r->io);
    return c;
}

void client_doom(struct client *c)
{
    if (!c->stream || c->doomed)
        return;
    client_set_timer(c, c->front->env->now);
    c->doomed = true;
}

void client_set_timer(struct client *c, usec_t due_at)
{
    if (c->stream && !c->doomed)
        env_timer_set(c->front->env, &c->timer, due_at);
}

void client_close_flushed(struct client *c)
{
    if (!c->stream)
        return;
    client_forget(c);
    stream_free_when_flushed(c->stream, FLUSH_LINGER);
    client_detach(c);
}

static void client_free(struct client *c)
{
    if (c->ops)
        c->ops->free(c->impl);
    LIST_REMOVE(c, link);
    peers_put(&c->front->peers, c->peer);
    front_listener_unref(c->listener);
    free(c);
}

void client_reap(void *front)
{
    struct front *f = front;
    while (!LIST_EMPTY(&f->dead))
        client_free(LIST_FIRST(&f->dead));
}

size_t client_heap_pending(const struct client *c)
{
    size_t pending = stream_pending(c->stream);
    if (c->mapped_end == 0)
        return pending;
    uint64_t sent = stream_sent_total(c->stream);
    if (c->mapped_end <= sent)
        return pending;
    size_t mapped =
        c->mapped_end - sent < c->mapped_n ? (size_t)(c->mapped_end - sent) : c->mapped_n;
    return pending > mapped ? pending - mapped : 0;
}

bool client_is_slow(const struct client *c)
{
    return client_heap_pending(c) > front_limits(c->front)->slow_reader_bytes;
}

bool client_is_stuck(const struct client *c)
{
    return client_heap_pending(c) / 2 > front_limits(c->front)->slow_reader_bytes;
}

/* So many bytes of p have been queued by reference. */
static void note_referenced(struct client *c, const struct payload *p, size_t referenced)
{
    if (!referenced || !payload_is_mapped(p))
        return;
    if (c->mapped_end <= stream_sent_total(c->stream))
        c->mapped_n = 0;
    c->mapped_n += referenced;
    c->mapped_end = stream_queued_total(c->stream);
}

void client_write_message(struct client *c, const struct payload *p, const struct rpc_edits *edits)
{
    note_referenced(c, p, splice_write(c->stream, p, edits));
}

void client_write_line(struct client *c, const struct payload *p, const struct rpc_edits *edits)
{
    note_referenced(c, p, splice_write_line(c->stream, p, edits));
}
