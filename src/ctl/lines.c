/* A line that is longer than one read is collected; one that is longer than the limit is not, but
 * its id is looked for as it passes, so that there can be an answer. */
#include "ctl/lines.h"

/* Lines up to this size are taken from the input in one piece. */
#define LINE_WHOLE ((size_t)64 * 1024)

void lines_init(struct lines *l, size_t max_bytes, const struct lines_ops *ops, void *arg)
{
    *l = (struct lines){.ops = ops, .arg = arg};
    line_reader_init(&l->reader, LINE_WHOLE, max_bytes);
}

void lines_done(struct lines *l)
{
    buf_done(&l->in);
    buf_done(&l->big);
}

void lines_reset(struct lines *l)
{
    lines_done(l);
    l->hunting = false;
    line_reader_init(&l->reader, l->reader.large_bytes, l->reader.max_bytes);
}

static void on_oversize(struct lines *l, const struct line_piece *piece)
{
    char id[260];
    if (!l->hunting) {
        rpc_id_hunt_init(&l->hunt);
        rpc_id_hunt_feed(&l->hunt, buf_peek(&l->big));
        buf_done(&l->big);
        l->hunting = true;
    }
    rpc_id_hunt_feed(&l->hunt, piece->bytes);
    if (!piece->last)
        return;
    l->hunting = false;
    size_t n = rpc_id_hunt_get(&l->hunt, id, sizeof(id));
    l->ops->on_oversize(l->arg, slice_of(id, n));
}

static void on_piece(struct lines *l, const struct line_piece *piece)
{
    if (piece->oversize || l->hunting) {
        on_oversize(l, piece);
    } else if (piece->first && piece->last) {
        l->ops->on_line(l->arg, piece->bytes);
    } else {
        buf_append_slice(&l->big, piece->bytes);
        if (piece->last) {
            l->ops->on_line(l->arg, buf_peek(&l->big));
            buf_done(&l->big);
        }
    }
}

char *lines_reserve(struct lines *l, size_t n)
{
    return buf_reserve(&l->in, n);
}

void lines_added(struct lines *l, size_t n)
{
    struct line_piece piece;
    size_t used;
    buf_added(&l->in, n);
    for (;;) {
        bool got = line_next(&l->reader, buf_peek(&l->in), &used, &piece);
        if (got)
            on_piece(l, &piece);
        buf_consume(&l->in, used);
        if (!got)
            break;
    }
    buf_shrink(&l->in);
}

void lines_end(struct lines *l)
{
    struct slice rest = buf_peek(&l->in);
    if (line_unfinished(&l->reader, rest)) {
        struct line_piece piece = {.bytes = rest,
                                   .first = !l->reader.in_line,
                                   .last = true,
                                   .oversize = l->reader.oversize};
        on_piece(l, &piece);
    }
    lines_reset(l);
}
