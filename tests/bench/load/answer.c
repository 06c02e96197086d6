/* A text is passed over only once it reaches beyond the first LOOK_AT bytes of its message. Texts
 * are the letters that we asked for, so the next quotation mark ends them; if one holds anything
 * else, what remains is no JSON any more, and is refused as that. */
#include "bench/load/answer.h"

#include "wire/json.h"
#include "wire/rpc.h"

#define LOOK_AT   ((size_t)512)
#define DEPTH_MAX 64

/* The last answer that the parser found good. */
static struct {
    struct buf text;
    size_t id_at, id_n;
    uint64_t text_bytes; /* those in `text` */
} model;

/* Decides whether the first LOOK_AT bytes end within the text of the result. */
static void look(struct answer *a)
{
    static const struct slice key = SLICE_INIT("\"text\":");
    struct slice s = buf_peek(&a->kept);
    const char *end = s.p + s.n, *at = memmem(s.p, s.n, key.p, key.n);

    a->looked = true;
    if (!at)
        return;
    at += key.n;
    while (at < end && *at == ' ')
        at++;
    a->in_text = at < end && *at == '"' && !memchr(at + 1, '"', (size_t)(end - at - 1));
}

void answer_feed(struct answer *a, struct slice piece)
{
    while (piece.n > 0) {
        size_t n = piece.n;

        if (a->in_text) {
            const char *quote = memchr(piece.p, '"', n);

            n = quote ? (size_t)(quote - piece.p) : n;
            a->skipped += n;
            a->in_text = !quote;
        } else {
            if (!a->looked && n > LOOK_AT - buf_len(&a->kept))
                n = LOOK_AT - buf_len(&a->kept);
            buf_append(&a->kept, piece.p, n);
            if (!a->looked && buf_len(&a->kept) == LOOK_AT)
                look(a);
        }
        piece = slice_of(piece.p + n, piece.n - n);
    }
}

bool answer_is_empty(const struct answer *a)
{
    struct slice s = buf_peek(&a->kept);
    size_t i = 0;

    while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\r'))
        i++;
    return i == s.n;
}

/* Whether the message is the model with another id. */
static bool like_model(struct slice s, uint64_t *ret_id)
{
    struct slice m = buf_peek(&model.text);
    size_t rest = m.n - model.id_at - model.id_n, id_n = s.n - (m.n - model.id_n);
    uint64_t id = 0;

    if (m.n == 0 || s.n <= m.n - model.id_n || id_n > 18 || memcmp(s.p, m.p, model.id_at) != 0 ||
        memcmp(s.p + s.n - rest, m.p + m.n - rest, rest) != 0)
        return false;
    for (size_t i = 0; i < id_n; i++) {
        unsigned digit = (unsigned)s.p[model.id_at + i] - '0';

        if (digit > 9)
            return false;
        id = id * 10 + digit;
    }
    *ret_id = id;
    return true;
}

static void read_result(struct slice s, const struct rpc_msg *m, struct answer_view *ret)
{
    struct slice content = json_get(rpc_span(s, m->result), "content"), item, text;
    struct json_iter it;

    if (m->protocol_version.n >= 2)
        ret->version = slice_of(s.p + m->protocol_version.off + 1, m->protocol_version.n - 2);
    if (json_type_of(content) != JSON_ARRAY)
        return;
    it = json_iter(content);
    if (!json_next_element(&it, &item) || json_type_of(item) != JSON_OBJECT)
        return;
    text = json_get(item, "text");
    if (json_type_of(text) == JSON_STRING)
        ret->text_bytes = text.n - 2;
}

static void learn(struct slice s, const struct rpc_msg *m, uint64_t text_bytes)
{
    buf_reset(&model.text);
    buf_append_slice(&model.text, s);
    model.id_at = m->id.off;
    model.id_n = m->id.n;
    model.text_bytes = text_bytes;
}

static enum answer_kind read_parsed(struct slice s, const struct rpc_msg *m,
                                    struct answer_view *ret)
{
    switch (m->kind) {
    case RPC_RESULT:
        if (!json_u64(rpc_span(s, m->id), &ret->id))
            return ANSWER_BAD;
        read_result(s, m, ret);
        if (ret->text_bytes > 0)
            learn(s, m, ret->text_bytes);
        return ANSWER_RESULT;
    case RPC_ERROR:
        if (m->id.n > 0 && !json_u64(rpc_span(s, m->id), &ret->id))
            return ANSWER_BAD;
        return ANSWER_ERROR;
    case RPC_NOTIFICATION:
        if (m->method != MCP_N_PROGRESS)
            return ANSWER_OTHER;
        return json_u64(rpc_span(s, m->progress_token), &ret->id) ? ANSWER_PROGRESS : ANSWER_BAD;
    case RPC_REQUEST:
        return ANSWER_OTHER;
    case RPC_BATCH:
    case RPC_INVALID:
        break;
    }
    return ANSWER_BAD;
}

void answer_read(struct answer *a, struct answer_view *ret)
{
    struct slice s = buf_peek(&a->kept);
    struct rpc_msg m;

    *ret = (struct answer_view){.kind = ANSWER_BAD};
    if (like_model(s, &ret->id)) {
        ret->kind = ANSWER_RESULT;
        ret->text_bytes = model.text_bytes;
    } else if (rpc_parse(s, DEPTH_MAX, &m, NULL) == RPC_OK) {
        ret->kind = read_parsed(s, &m, ret);
    }
    ret->text_bytes += a->skipped;
}

struct slice answer_text(const struct answer *a)
{
    return buf_peek(&a->kept);
}

void answer_reset(struct answer *a)
{
    buf_reset(&a->kept);
    a->skipped = 0;
    a->looked = a->in_text = false;
}

void answer_done(struct answer *a)
{
    buf_done(&a->kept);
}
