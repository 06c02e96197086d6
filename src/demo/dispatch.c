/* From a line to the function that serves it.
 *
 * The life of the connection has two phases: before `initialize` only ping is served; after it
 * everything. A line that is not a valid message gets an error and changes nothing; answers to our
 * questions and notifications never get one. The method table is the whole list of what this server
 * can do. */
#include "base/util.h"
#include "demo/demo.h"

static void serve_initialize(struct demo *d, const struct demo_request *r)
{
    struct slice caps = rpc_span(r->text, r->msg->capabilities);
    struct slice raw = rpc_span(r->text, r->msg->protocol_version);
    struct buf name = BUF_INIT;
    enum mcp_version version = MCP_VERSION_NONE;

    if (d->version != MCP_VERSION_NONE) {
        demo_refuse(d, r->id, MCP_E_INVALID_REQUEST, "Already initialized", SLICE(""));
        return;
    }
    if (!json_unescape(raw, &name, 64)) {
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "protocolVersion must be a string", SLICE(""));
        buf_done(&name);
        return;
    }
    version = mcp_version_parse(buf_peek(&name));
    buf_done(&name);
    /* The client's revision if we speak it, else the newest one that starts with initialize. */
    if (version == MCP_VERSION_NONE || version > MCP_LATEST_LEGACY)
        version = MCP_LATEST_LEGACY;
    d->version = version;
    if (caps.n) {
        d->client_can[DEMO_ASK_ELICITATION] = json_get(caps, "elicitation").n > 0;
        d->client_can[DEMO_ASK_SAMPLING] = json_get(caps, "sampling").n > 0;
        d->client_can[DEMO_ASK_ROOTS] = json_get(caps, "roots").n > 0;
    }

    demo_answer_begin(d, r->id);
    buf_appendf(&d->out,
                "{\"protocolVersion\":\"%s\",\"capabilities\":{\"tools\":{\"listChanged\":true},"
                "\"prompts\":{\"listChanged\":true},"
                "\"resources\":{\"subscribe\":true,\"listChanged\":true},"
                "\"logging\":{},\"completions\":{}},"
                "\"serverInfo\":{\"name\":\"mcpool-demo\",\"version\":\"1.0\"},"
                "\"instructions\":\"A server to try things on: nothing it does has an effect "
                "outside its own process.\"}",
                mcp_version_name(version));
    demo_answer_end(d, r->id);
}

static void serve_ping(struct demo *d, const struct demo_request *r)
{
    demo_answer(d, r->id, "{}");
}

static void serve_set_level(struct demo *d, const struct demo_request *r)
{
    struct buf name = BUF_INIT;
    int level = -1;

    if (json_unescape(rpc_span(r->text, r->msg->level), &name, 32))
        level = mcp_log_level_parse(buf_peek(&name));
    buf_done(&name);
    if (level < 0) {
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "level must be one of the eight log levels",
                    SLICE(""));
        return;
    }
    d->level = (enum mcp_log_level)level;
    demo_answer(d, r->id, "{}");
}

static const struct {
    enum mcp_method method;
    void (*serve)(struct demo *d, const struct demo_request *r);
} methods[] = {
    {MCP_INITIALIZE, serve_initialize},
    {MCP_PING, serve_ping},
    {MCP_TOOLS_LIST, demo_list_tools},
    {MCP_TOOLS_CALL, demo_call_tool},
    {MCP_PROMPTS_LIST, demo_list_prompts},
    {MCP_PROMPTS_GET, demo_get_prompt},
    {MCP_RESOURCES_LIST, demo_list_resources},
    {MCP_RESOURCES_TEMPLATES_LIST, demo_list_templates},
    {MCP_RESOURCES_READ, demo_read_resource},
    {MCP_RESOURCES_SUBSCRIBE, demo_subscribe},
    {MCP_RESOURCES_UNSUBSCRIBE, demo_unsubscribe},
    {MCP_COMPLETION_COMPLETE, demo_complete},
    {MCP_LOGGING_SET_LEVEL, serve_set_level},
};

static void take_request(struct demo *d, const struct demo_request *r)
{
    enum mcp_method method = r->msg->method;
    size_t i;

    for (i = 0; i < ARRAY_LEN(methods); i++) {
        if (methods[i].method == method)
            break;
    }
    if (i == ARRAY_LEN(methods))
        demo_refuse(d, r->id, MCP_E_METHOD_NOT_FOUND, "Method not found", SLICE(""));
    else if (d->version == MCP_VERSION_NONE && method != MCP_INITIALIZE && method != MCP_PING)
        demo_refuse(d, r->id, MCP_E_INVALID_REQUEST, "Not initialized", SLICE(""));
    else if (demo_call_is_open(d, r->id))
        demo_refuse(d, r->id, MCP_E_INVALID_REQUEST, "A request with this id is still open",
                    SLICE(""));
    else
        methods[i].serve(d, r);
}

static void take_message(struct demo *d, struct slice text, const struct rpc_msg *msg)
{
    struct demo_request r = {
        .id = rpc_span(text, msg->id),
        .token = rpc_span(text, msg->progress_token),
        .params = rpc_span(text, msg->params),
        .text = text,
        .msg = msg,
    };

    switch (msg->kind) {
    case RPC_REQUEST:
        take_request(d, &r);
        break;
    case RPC_NOTIFICATION:
        if (msg->method == MCP_N_CANCELLED)
            demo_cancel(d, rpc_span(text, msg->request_id));
        break;
    case RPC_RESULT:
    case RPC_ERROR:
        demo_on_response(d, &r);
        break;
    case RPC_INVALID:
    case RPC_BATCH: /* take_text has seen to both */
        break;
    }
}

static void refuse_text(struct demo *d, struct slice id, enum rpc_error e)
{
    if (e == RPC_E_PARSE)
        demo_refuse(d, SLICE(""), MCP_E_PARSE, "Parse error", SLICE(""));
    else
        demo_refuse(d, id, MCP_E_INVALID_REQUEST, "Invalid request", SLICE(""));
}

/* One message, or (outer) a batch, which only revision 2025-03-26 knows. Its answers are sent one
 * by one, as that revision allows. */
static void take_text(struct demo *d, struct slice text, bool outer)
{
    struct rpc_msg msg = {.kind = RPC_INVALID};
    enum rpc_error e = rpc_parse(text, DEMO_DEPTH_MAX, &msg, NULL);
    struct slice element;
    size_t pos = 0, count = 0;

    if (e != RPC_OK) {
        refuse_text(d, rpc_span(text, msg.id), e);
        return;
    }
    if (msg.kind != RPC_BATCH) {
        take_message(d, text, &msg);
        return;
    }
    if (!outer || d->version != MCP_2025_03_26) {
        refuse_text(d, SLICE(""), RPC_E_SHAPE);
        return;
    }
    for (; rpc_batch_next(text, &pos, &element); count++)
        take_text(d, element, false);
    if (count == 0)
        refuse_text(d, SLICE(""), RPC_E_SHAPE);
}

void demo_take_lines(struct demo *d, struct buf *in, size_t *scanned)
{
    struct slice rest = buf_peek(in);
    size_t taken = 0;
    const char *lf;

    while ((lf = memchr(rest.p + *scanned, '\n', rest.n - *scanned)) != NULL) {
        size_t n = (size_t)(lf - (rest.p + taken));
        struct slice line = slice_trim(slice_of(rest.p + taken, n));

        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n)
            take_text(d, line, true);
        taken += n + 1;
        *scanned = taken;
    }
    buf_consume(in, taken);
    *scanned = rest.n - taken;
    buf_shrink(in);
}
