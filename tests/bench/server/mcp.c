/* Answers messages with as little work as a server can do that still reads what it is sent: every
 * message is validated, and the texts of results are never copied when they are long. */
#include "bench/server/mcp.h"

#include "wire/json.h"
#include "wire/rpc.h"

#define DEPTH_MAX 64
/* Longer texts are written from mcp_fill instead of being copied into the reply. */
#define FILL_MIN     ((uint64_t)16 << 10)
#define PROGRESS_MAX ((uint64_t)1000000)
#define BYTES_MAX    ((uint64_t)1 << 30)

char mcp_fill[MCP_FILL_BYTES];
static enum mcp_wrong wrong;

static const char tools[] =
    "{\"tools\":[{\"name\":\"echo\",\"description\":\"Text of a chosen length\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"},\"bytes\":{\"type\":"
    "\"integer\"},\"progress\":{\"type\":\"integer\"}}}}]}";

void mcp_init(enum mcp_wrong planted)
{
    memset(mcp_fill, 'x', sizeof(mcp_fill));
    wrong = planted;
}

static void begin_answer(struct mcp_reply *reply, struct slice id)
{
    buf_append_slice(&reply->head, SLICE("{\"jsonrpc\":\"2.0\",\"id\":"));
    buf_append_slice(&reply->head, id);
    buf_append_slice(&reply->head, SLICE(",\"result\":"));
}

static void answer_initialize(struct slice text, const struct rpc_msg *m, struct mcp_reply *reply)
{
    reply->is_initialize = true;
    begin_answer(reply, rpc_span(text, m->id));
    buf_append_slice(&reply->head, SLICE("{\"protocolVersion\":"));
    buf_append_slice(&reply->head, m->protocol_version.n ? rpc_span(text, m->protocol_version)
                                                         : SLICE("\"2025-11-25\""));
    buf_append_slice(&reply->head,
                     SLICE(",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":"
                           "\"bench\",\"version\":\"1\"}}}"));
}

static void write_progress(struct mcp_reply *reply, struct slice token, uint64_t count)
{
    for (uint64_t i = 1; i <= count; i++) {
        buf_append_slice(&reply->notes, SLICE("{\"jsonrpc\":\"2.0\",\"method\":"
                                              "\"notifications/progress\",\"params\":{"
                                              "\"progressToken\":"));
        buf_append_slice(&reply->notes, token);
        buf_append_slice(&reply->notes, SLICE(",\"progress\":"));
        buf_append_u64(&reply->notes, i);
        buf_append_slice(&reply->notes, SLICE(",\"total\":"));
        buf_append_u64(&reply->notes, count);
        buf_append_slice(&reply->notes, SLICE("}}\n"));
    }
}

/* The text of the result: letters, as many as were asked for, or the argument itself. */
static void write_text(struct mcp_reply *reply, struct slice arguments)
{
    static const struct slice end = SLICE_INIT("\"}]}}");
    struct slice echo = json_get(arguments, "text");
    uint64_t bytes;
    bool counted = json_u64(json_get(arguments, "bytes"), &bytes) && bytes <= BYTES_MAX;

    if (!counted)
        bytes = echo.n >= 2 && echo.p[0] == '"' ? echo.n - 2 : 0;
    if (wrong == MCP_WRONG_LENGTH && bytes > 0)
        bytes--;
    if (counted && bytes >= FILL_MIN) {
        reply->fill = bytes;
        reply->rest = end;
        return;
    }
    if (bytes > 0)
        buf_append(&reply->head, counted ? mcp_fill : echo.p + 1, bytes);
    buf_append_slice(&reply->head, end);
}

static void answer_call(struct slice text, const struct rpc_msg *m, struct mcp_reply *reply)
{
    struct slice arguments =
        m->params.n ? json_get(rpc_span(text, m->params), "arguments") : slice_of("", 0);
    struct slice id = rpc_span(text, m->id);
    uint64_t n;

    if (m->progress_token.n && json_u64(json_get(arguments, "progress"), &n) && n <= PROGRESS_MAX)
        write_progress(reply, rpc_span(text, m->progress_token), n);
    begin_answer(reply, wrong == MCP_WRONG_ID ? SLICE("4711000000000") : id);
    buf_append_slice(&reply->head, SLICE("{\"content\":[{\"type\":\"text\",\"text\":\""));
    write_text(reply, arguments);
    reply->twice = wrong == MCP_WRONG_TWICE;
}

static void answer_request(struct slice text, const struct rpc_msg *m, struct mcp_reply *reply)
{
    struct slice id = rpc_span(text, m->id);

    if (m->method == MCP_TOOLS_CALL)
        answer_call(text, m, reply);
    else if (m->method == MCP_INITIALIZE)
        answer_initialize(text, m, reply);
    else if (m->method == MCP_PING)
        rpc_write_result(&reply->head, id, SLICE("{}"));
    else if (m->method == MCP_TOOLS_LIST)
        rpc_write_result(&reply->head, id, slice_str(tools));
    else
        rpc_write_error(&reply->head, id, -32601, SLICE("Method not found"), slice_of("", 0));
}

void mcp_answer(struct slice message, struct mcp_reply *reply)
{
    struct rpc_msg m;

    buf_reset(&reply->notes);
    buf_reset(&reply->head);
    reply->fill = 0;
    reply->rest = slice_of("", 0);
    reply->is_initialize = reply->twice = false;
    if (rpc_parse(message, DEPTH_MAX, &m, NULL) != RPC_OK)
        rpc_write_error(&reply->head, slice_of("", 0), -32700, SLICE("Parse error"),
                        slice_of("", 0));
    else if (m.kind == RPC_REQUEST)
        answer_request(message, &m, reply);
    reply->is_answer = buf_len(&reply->head) > 0;
}

size_t mcp_reply_len(const struct mcp_reply *reply)
{
    return buf_len(&reply->head) + reply->fill + reply->rest.n;
}
