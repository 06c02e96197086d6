/* Changing a message without reading it again: replacements of spans, removal of members, and the
 * few messages that mcpool writes itself. Also the walk over a batch. */
#include "base/buf.h"
#include "wire/rpc.h"

#include <assert.h>

/* ---- batches ---- */

bool rpc_batch_next(struct slice text, size_t *pos, struct slice *ret_element)
{
    struct slice rest = text;
    struct json_iter it;

    if (*pos == 0) {
        while (rest.n > 0 && rest.p[0] != '[')
            rest = slice_of(rest.p + 1, rest.n - 1);
        it = json_iter(rest);
    } else {
        it.rest = slice_of(text.p + *pos, text.n - *pos);
    }
    if (!json_next_element(&it, ret_element))
        return false;
    *pos = (size_t)(it.rest.p - text.p);
    return true;
}

/* ---- edits ---- */

static void insert(struct rpc_edits *e, struct rpc_edit edit)
{
    unsigned i = e->count;

    assert(e->count < RPC_EDITS_MAX);
    while (i > 0 && e->edit[i - 1].off > edit.off) {
        e->edit[i] = e->edit[i - 1];
        i--;
    }
    assert(i == 0 || e->edit[i - 1].off + e->edit[i - 1].n <= edit.off);
    assert(i == e->count || edit.off + edit.n <= e->edit[i + 1].off);
    e->edit[i] = edit;
    e->count++;
}

void rpc_edit_add(struct rpc_edits *e, struct span at, struct slice with)
{
    if (at.n > 0)
        insert(e, (struct rpc_edit){at.off, at.n, with});
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The edit that has taken the byte at `at` out of the text; NULL when it still stands. */
static const struct rpc_edit *cut_over(const struct rpc_edits *e, size_t at)
{
    for (unsigned i = 0; i < e->count; i++)
        if (e->edit[i].with.n == 0 && at >= e->edit[i].off && at - e->edit[i].off < e->edit[i].n)
            return &e->edit[i];
    return NULL;
}

/* The first byte at or after `at` that is no space and was not cut; text.n when there is none. */
static size_t standing_from(const struct rpc_edits *e, struct slice text, size_t at)
{
    while (at < text.n) {
        const struct rpc_edit *cut = cut_over(e, at);

        if (cut != NULL)
            at = cut->off + cut->n;
        else if (is_space(text.p[at]))
            at++;
        else
            break;
    }
    return at;
}

/* One past the last byte before `at` that is no space and was not cut; 0 when there is none. */
static size_t standing_before(const struct rpc_edits *e, struct slice text, size_t at)
{
    while (at > 0) {
        const struct rpc_edit *cut = cut_over(e, at - 1);

        if (cut != NULL)
            at = cut->off;
        else if (is_space(text.p[at - 1]))
            at--;
        else
            break;
    }
    return at;
}

/* What stands after each cut is a well-formed object again, so each takes the member and one comma
 * that stands beside it: the one behind, or for the last member the one before. Cuts passed over on
 * the way are swallowed. */
void rpc_edit_cut(struct rpc_edits *e, struct slice text, struct span member)
{
    size_t from = member.off, to = member.off + member.n, left, right;
    unsigned kept = 0;

    if (member.n == 0)
        return;
    right = standing_from(e, text, to);
    left = standing_before(e, text, from);
    if (right < text.n && text.p[right] == ',')
        to = right + 1;
    else if (left > 0 && text.p[left - 1] == ',')
        from = left - 1;
    for (unsigned i = 0; i < e->count; i++)
        if (e->edit[i].off < from || e->edit[i].off >= to)
            e->edit[kept++] = e->edit[i];
    e->count = kept;
    insert(e, (struct rpc_edit){from, to - from, {NULL, 0}});
}

size_t rpc_edited_len(size_t text_len, const struct rpc_edits *e)
{
    for (unsigned i = 0; i < e->count; i++)
        text_len = text_len - e->edit[i].n + e->edit[i].with.n;
    return text_len;
}

void rpc_edit_copy(char *to, struct slice text, const struct rpc_edits *e)
{
    size_t at = 0;

    for (unsigned i = 0; i < e->count; i++) {
        to = slice_put(to, slice_of(text.p + at, e->edit[i].off - at));
        to = slice_put(to, e->edit[i].with);
        at = e->edit[i].off + e->edit[i].n;
    }
    slice_put(to, slice_of(text.p + at, text.n - at));
}

void rpc_edit_append(struct buf *out, struct slice text, const struct rpc_edits *e)
{
    size_t n = rpc_edited_len(text.n, e);

    rpc_edit_copy(buf_reserve(out, n), text, e);
    buf_added(out, n);
}

/* ---- own messages ---- */

static void begin(struct buf *out, struct slice id)
{
    buf_append_str(out, "{\"jsonrpc\":\"2.0\"");
    if (id.n > 0) {
        buf_append_str(out, ",\"id\":");
        buf_append_slice(out, id);
    }
}

void rpc_write_error(struct buf *out, struct slice id, int code, struct slice message,
                     struct slice data)
{
    begin(out, id);
    buf_appendf(out, ",\"error\":{\"code\":%d,\"message\":", code);
    buf_append_json_string(out, message);
    if (data.n > 0) {
        buf_append_str(out, ",\"data\":");
        buf_append_slice(out, data);
    }
    buf_append_str(out, "}}");
}

void rpc_write_result(struct buf *out, struct slice id, struct slice result_json)
{
    begin(out, id);
    buf_append_str(out, ",\"result\":");
    buf_append_slice(out, result_json);
    buf_append_str(out, "}");
}

void rpc_write_notification(struct buf *out, const char *method, struct slice params_json)
{
    begin(out, slice_of(NULL, 0));
    buf_append_str(out, ",\"method\":");
    buf_append_json_string(out, slice_str(method));
    if (params_json.n > 0) {
        buf_append_str(out, ",\"params\":");
        buf_append_slice(out, params_json);
    }
    buf_append_str(out, "}");
}
