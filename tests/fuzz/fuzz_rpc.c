/* Fuzz target: messages.
 *
 * Byte 0 chooses the cuts, byte 1 what is edited, the rest is the text. Held: pieces give the
 * error, the place and every span of the whole; each span is a value that json_get finds in the
 * same place (or a member around one); a message whose spans are replaced and whose members are cut
 * is JSON again and reads as the same kind, without what was cut; elements of a batch are texts;
 * the id hunt finds what the parser found. */
#include "wire/rpc.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEPTH 32

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static enum rpc_error in_pieces(struct slice text, size_t step, struct rpc_msg *m, size_t *ret_at)
{
    struct rpc_scan *s = rpc_scan_new(DEPTH);
    enum rpc_error error;

    for (size_t at = 0, n; at < text.n; at += n) {
        char *piece;

        n = step < text.n - at ? step : text.n - at;
        piece = xmalloc(n);
        memcpy(piece, text.p + at, n);
        rpc_scan_feed(s, slice_of(piece, n));
        free(piece);
    }
    error = rpc_scan_end(s, m, ret_at);
    rpc_scan_free(s);
    return error;
}

static bool same_span(struct span a, struct slice text, struct slice found)
{
    return a.n == found.n && (a.n == 0 || text.p + a.off == found.p);
}

/* A second way to each span: the access functions, which know nothing of the parser. */
static void check_spans(struct slice text, const struct rpc_msg *m)
{
    struct slice t = text, params;

    while (t.p[0] != '{')
        t = slice_of(t.p + 1, t.n - 1);
    params = json_get(t, "params");
    if (m->kind != RPC_ERROR || m->id.n > 0)
        require(same_span(m->id, text, json_get(t, "id")), "id");
    require(same_span(m->method_raw, text, json_get(t, "method")), "method");
    require(same_span(m->params, text, params), "params");
    require(same_span(m->result, text, json_get(t, "result")), "result");
    require(same_span(m->error, text, json_get(t, "error")), "error");
    if (m->name.n > 0)
        require(same_span(m->name, text, json_get(params, "name")), "name");
    if (m->uri.n > 0)
        require(same_span(m->uri, text, json_get(params, "uri")), "uri");
    if (m->claim.n > 0)
        require(
            same_span(m->claim, text,
                      json_path(params, "_meta", "io.modelcontextprotocol/protocolVersion", NULL)),
            "claim");
    if (m->kind == RPC_REQUEST && m->progress_token.n > 0)
        require(
            same_span(m->progress_token, text, json_path(params, "_meta", "progressToken", NULL)),
            "token");
    if (m->kind == RPC_RESULT && m->result_type.n > 0)
        require(json_path(t, "result", "resultType", NULL).n > 0, "resultType");
}

static void check_edits(struct slice text, const struct rpc_msg *m, unsigned choice)
{
    struct rpc_edits edits = {.count = 0};
    struct buf out = BUF_INIT;
    struct rpc_msg again;
    const struct span cut[3] = {m->result_type, m->ttl_ms, m->cache_scope};
    unsigned first = choice % 3;

    if (choice & 0x10)
        rpc_edit_add(&edits, m->progress_token, SLICE("123456789"));
    for (unsigned i = 0; i < 3; i++)
        if (choice >> (5 + i) & 1)
            rpc_edit_cut(&edits, text, cut[(first + i) % 3]);
    if (choice & 0x08)
        rpc_edit_add(&edits, m->id, SLICE("\"a longer id than most\""));
    rpc_edit_append(&out, text, &edits);
    require(buf_len(&out) == rpc_edited_len(text.n, &edits), "the length was foretold");
    require(rpc_parse(buf_peek(&out), DEPTH, &again, NULL) == RPC_OK, "the edited text reads");
    require(again.kind == m->kind && again.method == m->method, "as the same message");
    for (unsigned i = 0; i < 3; i++) {
        const struct span left[3] = {again.result_type, again.ttl_ms, again.cache_scope};
        unsigned which = (first + i) % 3;
        bool gone = choice >> (5 + i) & 1;

        require(left[which].n == (gone ? 0 : cut[which].n), "without what was cut");
    }
    if ((choice & 0x08) && m->id.n > 0)
        require(slice_is(rpc_span(buf_peek(&out), again.id), "\"a longer id than most\""),
                "with the new id");
    buf_done(&out);
}

static void check_batch(struct slice text)
{
    struct slice element;
    struct rpc_msg m;
    size_t pos = 0, last = 0;

    while (rpc_batch_next(text, &pos, &element)) {
        require(element.n > 0 && pos > last && pos <= text.n, "a batch goes on");
        require(rpc_parse(element, DEPTH, &m, NULL) != RPC_E_PARSE, "an element is a text");
        last = pos;
    }
}

static void check_hunt(struct slice text, size_t step, const struct rpc_msg *m)
{
    struct rpc_id_hunt hunt;
    char id[256];
    size_t n;

    rpc_id_hunt_init(&hunt);
    for (size_t at = 0; at < text.n; at += step)
        rpc_id_hunt_feed(&hunt, slice_of(text.p + at, step < text.n - at ? step : text.n - at));
    n = rpc_id_hunt_get(&hunt, id, sizeof(id));
    require(n <= sizeof(id), "an id fits");
    if (m != NULL && m->id.n > 0)
        require(slice_eq(slice_of(id, n), rpc_span(text, m->id)), "the hunt finds the id");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t spans = offsetof(struct rpc_msg, id);
    struct rpc_msg one, many;
    struct slice text;
    enum rpc_error error;
    size_t at = 0, many_at = 0, step;

    if (size < 2)
        return 0;
    step = data[0] == 0 ? 1 : data[0];
    text = slice_of((const char *)data + 2, size - 2);
    error = rpc_parse(text, DEPTH, &one, &at);
    require(in_pieces(text, step, &many, &many_at) == error, "pieces give the same verdict");
    require(at == many_at, "at the same place");
    require(one.kind == many.kind && one.method == many.method &&
                one.id_is_string == many.id_is_string && one.has_newline == many.has_newline &&
                memcmp((char *)&one + spans, (char *)&many + spans, sizeof(one) - spans) == 0,
            "and the same message");
    check_hunt(text, step, error == RPC_OK && one.kind != RPC_BATCH ? &one : NULL);
    if (error != RPC_OK)
        return 0;
    if (one.kind == RPC_BATCH) {
        check_batch(text);
    } else {
        check_spans(text, &one);
        check_edits(text, &one, data[1]);
    }
    return 0;
}
