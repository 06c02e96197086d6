/* Edited messages onto streams. Small texts are copied in one go; of big ones with an owner the
 * runs between the edits travel by reference, so a result of any size is never copied here. */
#include "upstream/splice.h"

/* Returns the bytes that went by reference: all or none. */
static size_t write_run(struct stream *s, const struct payload *text, size_t off, size_t n)
{
    const char *p = text->text.p + off;
    if (text->owner && n >= SPLICE_COPY_MAX) {
        stream_write_blob(s, text->owner, (size_t)(p - text->owner->p), n);
        return n;
    }
    if (n > 0)
        stream_write(s, p, n);
    return 0;
}

size_t splice_write(struct stream *s, const struct payload *text, const struct rpc_edits *edits)
{
    size_t at = 0, referenced = 0;
    for (unsigned i = 0; edits && i < edits->count; i++) {
        const struct rpc_edit *e = &edits->edit[i];
        referenced += write_run(s, text, at, e->off - at);
        if (e->with.n > 0)
            stream_write(s, e->with.p, e->with.n);
        at = e->off + e->n;
    }
    return referenced + write_run(s, text, at, text->text.n - at);
}
