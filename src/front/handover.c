/* What this process leaves to the next one: listening sockets, so that who connects meanwhile waits
 * and is not refused, and client connections.
 *
 * A connection goes into the store once it has lived for a while, and at a planned stop in any
 * case; it leaves the store when it closes. From the moment of a planned stop it is held: what runs
 * on it comes to its end, and nothing new is begun. What had been read by then of the next request
 * goes into the ledger, what had not is still in the kernel. */
#include "base/digest.h"
#include "base/log.h"
#include "front/front_priv.h"
#include "io/inherit.h"
#include "io/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* ---- listeners ---- */

static void hash_text(const char *prefix, const char *text, char out[LEDGER_LISTENER])
{
    unsigned char d[DIGEST_SIZE];
    char hex[DIGEST_TEXT_SIZE];
    digest_sha256(slice_str(text), d);
    digest_text(d, hex);
    snprintf(out, LEDGER_LISTENER, "%s%.16s", prefix, hex);
}

void listener_store_name(const char *where, char out[LEDGER_LISTENER])
{
    hash_text("l-", where, out);
}

int front_claim_listener(struct inherited *in, const char *where, const char *path)
{
    char name[LEDGER_LISTENER], text[LEDGER_LISTENER + 64];
    if (inherit_count(in) == 0)
        return -1;
    listener_store_name(where, name);
    int fd = path ? inherit_claim_unix(in, name) : inherit_claim_inet(in, name);
    if (fd < 0 || !path || access(path, F_OK) == 0)
        return fd;
    /* The file has gone with the runtime directory: the socket leads nowhere. */
    snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    (void)supervisor_send(text, NULL, 0);
    close(fd);
    return -1;
}

/* Not when it is opened: without a store, nobody asks. */
static void name_listener(struct front_listener *l)
{
    hash_text("", listener_address(l->listener), l->name);
    listener_store_name(l->where, l->store_name);
}

void front_listener_forget(struct front_listener *l)
{
    const struct front_store *store = l->front->store;
    if (l->stored && store)
        store->remove(store->arg, l->store_name);
    l->stored = false;
}

void front_listener_keep(struct front_listener *l)
{
    struct front *f = l->front;
    if (!f->store)
        return;
    name_listener(l);
    if (l->stored || l->inherited)
        return;
    int r = f->store->put(f->store->arg, l->store_name, listener_fd(l->listener));
    if (r < 0) {
        log_warning(LOG_CTX(.message_id = LOG_ID_SERVICE_MANAGER),
                    "%s is not kept over a restart: %s", listener_address(l->listener),
                    strerror(-r));
        return;
    }
    l->stored = true;
}

/* ---- connections ---- */

void client_store_name(const struct front *f, const struct ledger_record *r,
                       char out[FRONT_STORE_NAME])
{
    snprintf(out, FRONT_STORE_NAME, "c-%u-%llu", ledger_index(f->store->ledger, r),
             (unsigned long long)r->io.serial);
}

static void store_client(struct client *c)
{
    const struct front_store *store = c->front->store;
    char name[FRONT_STORE_NAME];
    client_store_name(c->front, c->record, name);
    int r = store->put(store->arg, name, stream_rfd(c->stream));
    if (r == 0)
        c->stored = true;
    else if (r != -EAGAIN)
        client_forget(c); /* it ends with this process, like those without a record */
}

void front_store_clients(struct front *f, usec_t age)
{
    struct client *c;
    bool more = false;
    LIST_FOREACH (c, &f->clients, link) {
        if (!c->record || c->stored || c->eof || !client_is_open(c))
            continue;
        if (f->env->now - c->since_at >= age)
            store_client(c);
        more |= c->record && !c->stored;
    }
    if (more && !f->draining)
        env_timer_set(f->env, &f->store_timer, f->env->now + FRONT_STORE_AGE);
    else
        env_timer_clear(f->env, &f->store_timer);
}

static void store_due(void *arg)
{
    front_store_clients(arg, FRONT_STORE_AGE);
}

void front_leave_client(struct client *c, bool now)
{
    struct buf rest = BUF_INIT;
    bool whole = !c->ops || !c->ops->on_leave || c->ops->on_leave(c->impl, &rest);
    if (whole)
        buf_append_slice(&rest, stream_input(c->stream));
    else
        buf_reset(&rest);
    if (now || (whole && stream_pending(c->stream) == 0))
        client_leave(c, buf_peek(&rest));
    buf_done(&rest);
}

/* ---- the beginning ---- */

void front_keep(struct front *f, const struct front_store *store, struct inherited *inherited)
{
    struct front_listener *l;
    char name[INHERIT_NAME_MAX + 1];
    int fd;
    f->store = store;
    timer_init(&f->store_timer, store_due, f);
    stream_use_io(ledger_io(store->ledger));
    LIST_FOREACH (l, &f->listeners, link)
        front_listener_keep(l);
    f->heritage = inherit_new();
    while ((fd = inherit_claim_prefix(inherited, "c-", name)) >= 0)
        inherit_add(f->heritage, fd, name);
    while ((fd = inherit_claim_prefix(inherited, "l-", name)) >= 0) {
        log_info(LOG_CTX(.message_id = LOG_ID_HANDED_OVER),
                 "a socket of the process before is closed: nothing listens there any more");
        close(fd);
        store->remove(store->arg, name);
    }
    /* Later, when the servers have been told to start. */
    env_defer(f->env, &f->adopt);
}
