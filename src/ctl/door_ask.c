/* Requests of the daemon to the client (sampling, elicitation, roots, pings).
 *
 * Each daemon counts its own, so the one after a restart may use a number that the client still
 * owes an answer for. The client therefore sees numbers of the door's, which are never used twice;
 * an answer that comes when its connection is gone finds no ask and ends here. */
#include "ctl/door_priv.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

/* More than that are not open at once at any daemon; one that is mad is refused. */
#define ASKS_MAX 1000

static void ask_free(struct door *d, struct door_ask *a)
{
    LIST_REMOVE(a, link);
    d->ask_count--;
    free(a->daemon_id);
    free(a->token);
    free(a);
}

static struct door_ask *find(const struct door *d, struct slice raw)
{
    struct door_ask *a;
    uint64_t id;
    if (!json_u64(raw, &id))
        return NULL;
    LIST_FOREACH (a, &d->asks, link)
        if (a->id == id)
            return a;
    return NULL;
}

static void refuse(struct door *d, struct slice id)
{
    struct buf b = BUF_INIT;
    rpc_write_error(&b, id, MCP_E_INTERNAL, SLICE("Too many requests are open at the client"),
                    slice_of(NULL, 0));
    letter_post(d, letter_new(LETTER_RESPONSE, buf_peek(&b), slice_of(NULL, 0)));
    buf_done(&b);
}

/* The text with its spans replaced. */
static void edited(struct buf *out, struct slice text, const struct rpc_edits *edits)
{
    buf_reset(out);
    rpc_edit_append(out, text, edits);
}

void door_ask_on_request(struct door *d, struct slice text, const struct rpc_msg *m)
{
    struct rpc_edits edits = {0};
    struct buf b = BUF_INIT;
    char room[U64_DIGITS];
    if (d->ask_count >= ASKS_MAX) {
        refuse(d, rpc_span(text, m->id));
        return;
    }
    struct slice id = rpc_span(text, m->id), token = rpc_span(text, m->progress_token);
    struct door_ask *a = xcalloc(1, sizeof(*a));
    a->id = ++d->last_id;
    a->daemon_id = xstrndup(id.p, id.n);
    a->token = token.n ? xstrndup(token.p, token.n) : NULL;
    LIST_INSERT_HEAD(&d->asks, a, link);
    d->ask_count++;
    struct slice number = u64_text(a->id, room);
    rpc_edit_add(&edits, m->id, number);
    rpc_edit_add(&edits, m->progress_token, number);
    edited(&b, text, &edits);
    door_say(d, buf_peek(&b));
    buf_done(&b);
}

void door_ask_on_cancelled(struct door *d, struct slice text, const struct rpc_msg *m)
{
    struct rpc_edits edits = {0};
    struct buf b = BUF_INIT;
    char room[U64_DIGITS];
    struct door_ask *a;
    if (m->request_id.n == 0)
        return;
    LIST_FOREACH (a, &d->asks, link)
        if (json_id_eq(slice_str(a->daemon_id), rpc_span(text, m->request_id)))
            break;
    if (!a)
        return;
    rpc_edit_add(&edits, m->request_id, u64_text(a->id, room));
    edited(&b, text, &edits);
    door_say(d, buf_peek(&b));
    buf_done(&b);
    ask_free(d, a);
}

static void post(struct door *d, struct slice text, struct span at, const char *with)
{
    struct rpc_edits edits = {0};
    struct buf b = BUF_INIT;
    rpc_edit_add(&edits, at, slice_str(with));
    edited(&b, text, &edits);
    letter_post(d, letter_new(LETTER_RESPONSE, buf_peek(&b), slice_of(NULL, 0)));
    buf_done(&b);
}

void door_ask_on_answer(struct door *d, struct slice text, const struct rpc_msg *m)
{
    struct door_ask *a = m->id.n ? find(d, rpc_span(text, m->id)) : NULL;
    if (!a)
        return;
    post(d, text, m->id, a->daemon_id);
    ask_free(d, a);
}

void door_ask_on_progress(struct door *d, struct slice text, const struct rpc_msg *m)
{
    struct door_ask *a = m->progress_token.n ? find(d, rpc_span(text, m->progress_token)) : NULL;
    if (a && a->token)
        post(d, text, m->progress_token, a->token);
}

void door_ask_forget_all(struct door *d)
{
    struct door_ask *a;
    char params[96];
    while ((a = LIST_FIRST(&d->asks))) {
        snprintf(params, sizeof(params),
                 "{\"requestId\":%llu,\"reason\":\"The connection to mcpool was lost\"}",
                 (unsigned long long)a->id);
        door_note(d, mcp_method_name(MCP_N_CANCELLED), slice_str(params));
        ask_free(d, a);
    }
}
