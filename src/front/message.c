/* Texts with replacements. A small message is made whole once and copied; a big one is never
 * copied: its runs between the replacements go out by reference to the blob that holds them, which
 * may be a mapped file. */
#include "front/message.h"

#include "base/util.h"

#include <stdlib.h>

size_t message_len(const struct payload *p, const struct rpc_edits *edits)
{
    return edits ? rpc_edited_len(p->text.n, edits) : p->text.n;
}

static void hold_copy(struct message *m, const struct payload *p, const struct rpc_edits *edits)
{
    static const struct rpc_edits none;
    struct buf b = BUF_INIT;
    rpc_edit_append(&b, p->text, edits ? edits : &none);
    struct slice s = buf_peek(&b);
    m->text.owner = blob_new(s.p, s.n);
    m->text.text = blob_slice(m->text.owner);
    m->heap = s.n;
    buf_done(&b);
}

static void hold_reference(struct message *m, const struct payload *p,
                           const struct rpc_edits *edits)
{
    m->text = *p;
    blob_ref(m->text.owner);
    if (payload_is_mapped(p))
        m->mapped = p->text.n;
    else
        m->heap = p->text.n;
    if (!edits)
        return;
    m->edits = *edits;
    size_t n = 0;
    for (unsigned i = 0; i < edits->count; i++)
        n += edits->edit[i].with.n;
    if (n == 0)
        return;
    m->with = xmalloc(n);
    m->heap += n;
    char *at = m->with;
    for (unsigned i = 0; i < edits->count; i++) {
        struct slice with = edits->edit[i].with;
        if (with.n)
            memcpy(at, with.p, with.n);
        m->edits.edit[i].with = slice_of(at, with.n);
        at += with.n;
    }
}

void message_hold(struct message *m, const struct payload *p, const struct rpc_edits *edits)
{
    *m = (struct message){0};
    if (p->owner && p->text.n >= MESSAGE_COPY_MAX)
        hold_reference(m, p, edits);
    else
        hold_copy(m, p, edits);
}

void message_done(struct message *m)
{
    m->text.owner = blob_unref(m->text.owner);
    free(m->with);
    m->with = NULL;
}
