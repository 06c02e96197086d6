/* Answers in the words of an older revision (protocol.md 3.4). The server may have negotiated a
 * newer revision with mcpool than the client did; most of what is new there is ignored by old
 * clients, but a content block of an unknown type or an unknown kind of error fails their whole
 * call. So blocks that the client's revision does not know become text blocks, and the URL
 * elicitation error becomes an internal error that names the URL.
 *
 * Nothing here runs unless the client's revision is older than the feature, and nothing is
 * rewritten unless the feature is there. */
#include "internal.h"

/* Where the rewritten text grows: everything up to `copied` of the original is in out. */
struct rewriting {
    struct slice text;
    struct buf *out;
    size_t copied;
};

static void replace(struct rewriting *w, struct slice block, struct slice with)
{
    size_t at = (size_t)(block.p - w->text.p);
    buf_append(w->out, w->text.p + w->copied, at - w->copied);
    buf_append_str(w->out, "{\"type\":\"text\",\"text\":");
    buf_append_json_string(w->out, with);
    buf_append_str(w->out, "}");
    w->copied = at + block.n;
}

static void unescaped(struct slice raw, struct buf *out)
{
    if (json_type_of(raw) != JSON_STRING || !json_unescape(raw, out, 4096))
        buf_append_str(out, "?");
}

/* "[audio audio/wav, 1234 bytes]": base64 gives three bytes for four. */
static void describe_audio(struct slice block, struct buf *out)
{
    struct slice data = json_get(block, "data");
    buf_append_str(out, "[audio ");
    unescaped(json_get(block, "mimeType"), out);
    buf_appendf(out, ", %zu bytes]", data.n > 2 ? (data.n - 2) / 4 * 3 : 0);
}

static void downgrade_block(struct rewriting *w, struct slice block, enum mcp_version version)
{
    struct slice type =
        json_type_of(block) == JSON_OBJECT ? json_get(block, "type") : slice_of(NULL, 0);
    struct buf b = BUF_INIT;
    if (version < MCP_2025_03_26 && type.n && json_string_is(type, "audio"))
        describe_audio(block, &b);
    else if (type.n && json_string_is(type, "resource_link"))
        unescaped(json_get(block, "uri"), &b);
    if (buf_len(&b))
        replace(w, block, buf_peek(&b));
    buf_done(&b);
}

static void downgrade_content(struct rewriting *w, struct slice content, enum mcp_version version)
{
    struct slice block;
    if (json_type_of(content) == JSON_OBJECT) {
        downgrade_block(w, content, version);
        return;
    }
    if (json_type_of(content) != JSON_ARRAY)
        return;
    for (struct json_iter it = json_iter(content); json_next_element(&it, &block);)
        downgrade_block(w, block, version);
}

/* tools/call: result.content; prompts/get: result.messages[].content. */
static void downgrade_result(struct rewriting *w, enum mcp_method method, struct slice result,
                             enum mcp_version version)
{
    struct slice messages, message;
    if (method == MCP_TOOLS_CALL) {
        downgrade_content(w, json_get(result, "content"), version);
        return;
    }
    messages = json_get(result, "messages");
    if (json_type_of(messages) != JSON_ARRAY)
        return;
    for (struct json_iter it = json_iter(messages); json_next_element(&it, &message);)
        if (json_type_of(message) == JSON_OBJECT)
            downgrade_content(w, json_get(message, "content"), version);
}

/* The error -32042 of 2025-11-25 asks for a visit to a URL, which older clients have no notion of.
 */
static void downgrade_error(struct slice text, const struct rpc_msg *m, struct buf *out)
{
    struct slice data = rpc_span(text, m->error_data), list, first = {0};
    struct buf message = BUF_INIT;
    unescaped(rpc_span(text, m->error_message), &message);
    list = json_type_of(data) == JSON_OBJECT ? json_get(data, "elicitations") : first;
    struct json_iter it = json_iter(list);
    if (json_type_of(list) == JSON_ARRAY && json_next_element(&it, &first) &&
        json_type_of(first) == JSON_OBJECT && json_get(first, "url").n) {
        buf_append_str(&message, ": ");
        unescaped(json_get(first, "url"), &message);
    }
    rpc_write_error(out, rpc_span(text, m->id), MCP_E_INTERNAL, buf_peek(&message),
                    slice_of(NULL, 0));
    buf_done(&message);
}

bool downgrade_answer(enum mcp_method method, enum mcp_version version, struct slice text,
                      const struct rpc_msg *m, struct buf *out)
{
    struct slice result = rpc_span(text, m->result);
    if (m->kind == RPC_ERROR && version < MCP_2025_11_25 && m->id.n &&
        slice_is(rpc_span(text, m->error_code), "-32042")) {
        downgrade_error(text, m, out);
        return true;
    }
    if (m->kind != RPC_RESULT || version >= MCP_2025_06_18 ||
        (method != MCP_TOOLS_CALL && method != MCP_PROMPTS_GET) ||
        json_type_of(result) != JSON_OBJECT)
        return false;
    struct rewriting w = {.text = text, .out = out};
    downgrade_result(&w, method, result, version);
    if (w.copied == 0)
        return false;
    buf_append(out, text.p + w.copied, text.n - w.copied);
    return true;
}
