/* Edited messages onto streams. Small texts are put together in the stream's own memory, in one go;
 * of big ones with an owner the runs between the edits travel by reference, so a result of any size
 * is never copied here. */
#include "upstream/splice.h"

static const struct rpc_edits none;

static void write_copy(struct stream *s, struct slice text, const struct rpc_edits *edits,
                       struct slice end)
{
    size_t n = rpc_edited_len(text.n, edits);
    char *to = stream_extend(s, n + end.n);
    if (!to)
        return;
    rpc_edit_copy(to, text, edits);
    memcpy(to + n, end.p, end.n);
}

/* Returns the bytes that went by reference: all or none. */
static size_t write_run(struct stream *s, const struct payload *text, size_t off, size_t n)
{
    const char *p = text->text.p + off;
    if (n >= SPLICE_COPY_MAX) {
        stream_write_blob(s, text->owner, (size_t)(p - text->owner->p), n);
        return n;
    }
    stream_write(s, p, n);
    return 0;
}

static size_t write_runs(struct stream *s, const struct payload *text,
                         const struct rpc_edits *edits, struct slice end)
{
    size_t at = 0, referenced = 0;
    for (unsigned i = 0; i < edits->count; i++) {
        const struct rpc_edit *e = &edits->edit[i];
        referenced += write_run(s, text, at, e->off - at);
        stream_write(s, e->with.p, e->with.n);
        at = e->off + e->n;
    }
    referenced += write_run(s, text, at, text->text.n - at);
    stream_write(s, end.p, end.n);
    return referenced;
}

static size_t write_ended(struct stream *s, const struct payload *text,
                          const struct rpc_edits *edits, struct slice end)
{
    if (!edits)
        edits = &none;
    if (text->owner && text->text.n >= SPLICE_COPY_MAX)
        return write_runs(s, text, edits, end);
    write_copy(s, text->text, edits, end);
    return 0;
}

size_t splice_write(struct stream *s, const struct payload *text, const struct rpc_edits *edits)
{
    return write_ended(s, text, edits, SLICE(""));
}

size_t splice_write_line(struct stream *s, const struct payload *text,
                         const struct rpc_edits *edits)
{
    return write_ended(s, text, edits, SLICE("\n"));
}
