/* The tools. One table describes each tool and its parameters; the definitions that tools/list
 * shows and the checks that a call passes before its function runs both come from there, so they
 * cannot disagree. */
#include "base/util.h"
#include "demo/demo.h"

#include <stdio.h>
#include <unistd.h>

#define PARAM_MAX   2
#define CHOICE_MAX  8
#define BIG_MAX     ((double)((size_t)256 << 20))
#define BIG_BLOCK   64
#define SECONDS_MAX 86400.0
#define SUMMAND_MAX 1e15

struct param {
    const char *name;    /* NULL: no more parameters */
    enum json_type type; /* JSON_STRING or JSON_NUMBER */
    bool optional;
    bool whole;
    double fallback, min, max;       /* numbers */
    const char *choices[CHOICE_MAX]; /* strings; empty: any string */
    const char *help;
};

/* The checked arguments of one call, in the order of the tool's parameters. */
struct args {
    struct slice raw[PARAM_MAX];
    double number[PARAM_MAX];
    unsigned choice[PARAM_MAX];
};

struct tool {
    const char *name, *help;
    bool read_only;
    struct param params[PARAM_MAX];
    const char *output_schema; /* NULL: text only */
    void (*run)(struct demo *d, const struct demo_request *r, const struct args *a);
};

static void run_echo(struct demo *d, const struct demo_request *r, const struct args *a)
{
    demo_answer_text_raw(d, r->id, a->raw[0], false);
}

/* A result as text and, for the revisions that know it, as structured content too. */
static void answer_structured(struct demo *d, const struct demo_request *r, const char *text,
                              const char *json)
{
    demo_answer_begin(d, r->id);
    buf_append_str(&d->out, "{\"content\":[{\"type\":\"text\",\"text\":");
    buf_append_json_string(&d->out, slice_str(text));
    buf_append_str(&d->out, "}]");
    if (d->version >= MCP_2025_06_18)
        buf_appendf(&d->out, ",\"structuredContent\":%s", json);
    buf_append_str(&d->out, "}");
    demo_answer_end(d, r->id);
}

static void run_add(struct demo *d, const struct demo_request *r, const struct args *a)
{
    double sum = a->number[0] + a->number[1];
    char text[32], json[48];

    snprintf(text, sizeof(text), "%.17g", sum);
    snprintf(json, sizeof(json), "{\"sum\":%s}", text);
    answer_structured(d, r, text, json);
}

static void run_sleep(struct demo *d, const struct demo_request *r, const struct args *a)
{
    demo_start_sleep(d, r, (usec_t)(a->number[0] * (double)USEC_PER_SEC));
}

static void run_progress(struct demo *d, const struct demo_request *r, const struct args *a)
{
    demo_start_progress(d, r, (unsigned)a->number[0], (usec_t)a->number[1] * USEC_PER_MSEC);
}

/* The text is a row of 64-byte blocks, each beginning with its number in hex, so that a reader
 * notices a block that was lost, repeated or moved. It is written straight into the output. */
static void append_blocks(struct buf *out, size_t bytes)
{
    static const char block[BIG_BLOCK + 1] =
        "0000000000000000abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV";
    char *at = buf_reserve(out, bytes + BIG_BLOCK);
    size_t i, number;

    for (number = 0, i = 0; i < bytes; i += BIG_BLOCK, number++) {
        size_t left = number;
        int digit;

        memcpy(at + i, block, BIG_BLOCK);
        for (digit = 15; left; digit--, left >>= 4)
            at[i + (size_t)digit] = "0123456789abcdef"[left & 15];
    }
    buf_added(out, bytes);
}

static void run_big(struct demo *d, const struct demo_request *r, const struct args *a)
{
    size_t bytes = (size_t)a->number[0];

    (void)buf_reserve(&d->out,
                      bytes + 2 * DEMO_ID_MAX + BIG_BLOCK); /* grow once, for frame and text */
    demo_answer_begin(d, r->id);
    buf_append_str(&d->out, "{\"content\":[{\"type\":\"text\",\"text\":\"");
    append_blocks(&d->out, bytes);
    buf_append_str(&d->out, "\"}]}");
    demo_answer_end(d, r->id);
}

static void run_log(struct demo *d, const struct demo_request *r, const struct args *a)
{
    enum mcp_log_level level = (enum mcp_log_level)a->choice[0];

    if (level < d->level) {
        demo_answer_text(d, r->id, SLICE("below the level that was set"), false);
        return;
    }
    demo_notify_begin(d, "notifications/message");
    buf_appendf(&d->out,
                "{\"level\":\"%s\",\"logger\":\"demo\",\"data\":", mcp_log_level_name(level));
    buf_append_slice(&d->out, a->raw[1]);
    buf_append_str(&d->out, "}");
    demo_message_end(d);
    demo_answer_text(d, r->id, SLICE("logged"), false);
}

static void run_ask(struct demo *d, const struct demo_request *r, const struct args *a)
{
    enum demo_ask kind = (enum demo_ask)a->choice[0];
    struct slice text = a->raw[1].n ? a->raw[1] : SLICE("\"What is your answer?\"");

    if (d->client_can[kind])
        demo_start_ask(d, r, kind, text);
    else
        demo_answer_text(d, r->id, SLICE("The client did not declare that capability"), true);
}

static void run_touch(struct demo *d, const struct demo_request *r, const struct args *a)
{
    if (!demo_is_subscribed(d, a->raw[0])) {
        demo_answer_text(d, r->id, SLICE("nobody is subscribed"), false);
        return;
    }
    demo_notify_begin(d, "notifications/resources/updated");
    buf_append_str(&d->out, "{\"uri\":");
    buf_append_slice(&d->out, a->raw[0]);
    buf_append_str(&d->out, "}");
    demo_message_end(d);
    demo_answer_text(d, r->id, SLICE("notified"), false);
}

static void run_change(struct demo *d, const struct demo_request *r, const struct args *a)
{
    static const char *const methods[DEMO_LIST_COUNT] = {
        [DEMO_LIST_TOOLS] = "notifications/tools/list_changed",
        [DEMO_LIST_PROMPTS] = "notifications/prompts/list_changed",
        [DEMO_LIST_RESOURCES] = "notifications/resources/list_changed",
    };
    unsigned which = a->choice[0];

    d->extra[which] = !d->extra[which];
    demo_notify_begin(d, methods[which]);
    buf_append_str(&d->out, "{}");
    demo_message_end(d);
    demo_answer_text(d, r->id, SLICE("changed"), false);
}

static void run_whoami(struct demo *d, const struct demo_request *r, const struct args *a)
{
    char json[160];

    (void)a;
    snprintf(json, sizeof(json),
             "{\"pid\":%ld,\"calls\":%llu,\"cancelled\":%llu,\"revision\":\"%s\"}", (long)getpid(),
             (unsigned long long)d->call_count, (unsigned long long)d->cancel_count,
             mcp_version_name(d->version));
    answer_structured(d, r, json, json);
}

static void run_crash(struct demo *d, const struct demo_request *r, const struct args *a)
{
    (void)r;
    (void)a;
    d->crash = true;
}

static void run_extra(struct demo *d, const struct demo_request *r, const struct args *a)
{
    (void)a;
    demo_answer_text(d, r->id, SLICE("here while it lasts"), false);
}

static const struct tool tools[] = {
    {
        .name = "echo",
        .help = "Returns the text it is given",
        .read_only = true,
        .params = {{.name = "text", .type = JSON_STRING, .help = "What to return"}},
        .run = run_echo,
    },
    {
        .name = "add",
        .help = "Adds two numbers",
        .read_only = true,
        .params = {{.name = "a",
                    .type = JSON_NUMBER,
                    .min = -SUMMAND_MAX,
                    .max = SUMMAND_MAX,
                    .help = "First summand"},
                   {.name = "b",
                    .type = JSON_NUMBER,
                    .min = -SUMMAND_MAX,
                    .max = SUMMAND_MAX,
                    .help = "Second summand"}},
        .output_schema = "{\"type\":\"object\",\"properties\":{\"sum\":{\"type\":\"number\"}},"
                         "\"required\":[\"sum\"]}",
        .run = run_add,
    },
    {
        .name = "sleep",
        .help = "Answers after a while; other calls go on meanwhile, and it can be cancelled",
        .read_only = true,
        .params = {{.name = "seconds",
                    .type = JSON_NUMBER,
                    .max = SECONDS_MAX,
                    .help = "How long, fractions allowed"}},
        .run = run_sleep,
    },
    {
        .name = "progress",
        .help = "Works in steps and reports each one",
        .read_only = true,
        .params = {{.name = "steps",
                    .type = JSON_NUMBER,
                    .optional = true,
                    .whole = true,
                    .fallback = 20,
                    .min = 1,
                    .max = 100000,
                    .help = "How many steps"},
                   {.name = "interval_ms",
                    .type = JSON_NUMBER,
                    .optional = true,
                    .whole = true,
                    .fallback = 50,
                    .max = 60000,
                    .help = "Milliseconds from one step to the next"}},
        .run = run_progress,
    },
    {
        .name = "big",
        .help = "Returns a text of the given size",
        .read_only = true,
        .params = {{.name = "bytes",
                    .type = JSON_NUMBER,
                    .whole = true,
                    .max = BIG_MAX,
                    .help = "Length of the text"}},
        .run = run_big,
    },
    {
        .name = "log",
        .help = "Sends a log message to the client",
        .params = {{.name = "level",
                    .type = JSON_STRING,
                    .choices = {"debug", "info", "notice", "warning", "error", "critical", "alert",
                                "emergency"},
                    .help = "Severity"},
                   {.name = "text", .type = JSON_STRING, .help = "What to log"}},
        .run = run_log,
    },
    {
        .name = "ask",
        .help = "Asks the client something and returns its answer",
        .params =
            {{.name = "kind",
              .type = JSON_STRING,
              .choices = {[DEMO_ASK_ELICITATION] = "elicitation",
                          [DEMO_ASK_SAMPLING] = "sampling",
                          [DEMO_ASK_ROOTS] = "roots"},
              .help = "Which question"},
             {.name = "text", .type = JSON_STRING, .optional = true, .help = "How to put it"}},
        .run = run_ask,
    },
    {
        .name = "touch",
        .help = "Tells a subscriber that a resource changed",
        .params = {{.name = "uri", .type = JSON_STRING, .help = "Which resource"}},
        .run = run_touch,
    },
    {
        .name = "change",
        .help = "Shows or hides the extra entry of a list and announces the change",
        .params = {{.name = "what",
                    .type = JSON_STRING,
                    .choices = {[DEMO_LIST_TOOLS] = "tools",
                                [DEMO_LIST_PROMPTS] = "prompts",
                                [DEMO_LIST_RESOURCES] = "resources"},
                    .help = "Which list"}},
        .run = run_change,
    },
    {
        .name = "whoami",
        .help = "Tells the process id and how many calls this process has seen",
        .read_only = true,
        .output_schema = "{\"type\":\"object\",\"properties\":{\"pid\":{\"type\":\"integer\"},"
                         "\"calls\":{\"type\":\"integer\"},\"cancelled\":{\"type\":\"integer\"},"
                         "\"revision\":{\"type\":\"string\"}},\"required\":[\"pid\"]}",
        .run = run_whoami,
    },
    {.name = "crash", .help = "Ends this process without an answer", .run = run_crash},
    {.name = "extra", .help = "Comes and goes", .read_only = true, .run = run_extra},
};

static unsigned param_count(const struct tool *t)
{
    unsigned n = 0;

    while (n < PARAM_MAX && t->params[n].name)
        n++;
    return n;
}

static bool tool_is_shown(const struct demo *d, const struct tool *t)
{
    return t->run != run_extra || d->extra[DEMO_LIST_TOOLS];
}

static void append_param(struct buf *out, const struct param *p)
{
    const char *type = p->type == JSON_STRING ? "string" : p->whole ? "integer" : "number";
    unsigned i;

    buf_appendf(out, "\"%s\":{\"type\":\"%s\",\"description\":\"%s\"", p->name, type, p->help);
    if (p->type == JSON_NUMBER)
        buf_appendf(out, ",\"minimum\":%.0f,\"maximum\":%.0f", p->min, p->max);
    if (p->optional && p->type == JSON_NUMBER)
        buf_appendf(out, ",\"default\":%.0f", p->fallback);
    for (i = 0; i < CHOICE_MAX && p->choices[i]; i++)
        buf_appendf(out, "%s\"%s\"", i ? "," : ",\"enum\":[", p->choices[i]);
    buf_append_str(out, i ? "]}" : "}");
}

static void append_tool(struct demo *d, const struct tool *t)
{
    unsigned n = param_count(t), i, required = 0;

    buf_appendf(&d->out,
                "{\"name\":\"%s\",\"description\":\"%s\",\"inputSchema\":{\"type\":\"object\","
                "\"properties\":{",
                t->name, t->help);
    for (i = 0; i < n; i++) {
        buf_append_str(&d->out, i ? "," : "");
        append_param(&d->out, &t->params[i]);
    }
    buf_append_str(&d->out, "}");
    for (i = 0; i < n; i++) {
        if (!t->params[i].optional)
            buf_appendf(&d->out, "%s\"%s\"", required++ ? "," : ",\"required\":[",
                        t->params[i].name);
    }
    buf_append_str(&d->out, required ? "]}" : "}");
    if (t->output_schema && d->version >= MCP_2025_06_18)
        buf_appendf(&d->out, ",\"outputSchema\":%s", t->output_schema);
    if (d->version >= MCP_2025_03_26)
        buf_appendf(&d->out, ",\"annotations\":{\"readOnlyHint\":%s}",
                    t->read_only ? "true" : "false");
    buf_append_str(&d->out, "}");
}

void demo_append_tools(struct demo *d)
{
    bool first = true;
    size_t i;

    for (i = 0; i < ARRAY_LEN(tools); i++) {
        if (!tool_is_shown(d, &tools[i]))
            continue;
        buf_append_str(&d->out, first ? "" : ",");
        append_tool(d, &tools[i]);
        first = false;
    }
}

static bool check_number(const struct param *p, struct slice raw, double *ret)
{
    double v;

    if (!json_double(raw, &v))
        return false;
    if (!(v >= p->min && v <= p->max))
        return false;
    if (p->whole && v != (double)(int64_t)v) /* the range keeps the cast defined */
        return false;
    *ret = v;
    return true;
}

static bool check_string(const struct param *p, struct slice raw, unsigned *ret_choice)
{
    unsigned i;

    if (json_type_of(raw) != JSON_STRING)
        return false;
    if (!p->choices[0])
        return true;
    for (i = 0; i < CHOICE_MAX && p->choices[i]; i++) {
        if (json_string_is(raw, p->choices[i])) {
            *ret_choice = i;
            return true;
        }
    }
    return false;
}

/* Fills in the checked arguments; NULL, or the parameter that is missing or wrong. */
static const struct param *check_args(const struct tool *t, struct slice object, struct args *a)
{
    unsigned n = param_count(t), i;

    for (i = 0; i < n; i++) {
        const struct param *p = &t->params[i];
        bool ok;

        a->raw[i] = object.n ? json_get(object, p->name) : SLICE("");
        a->number[i] = p->fallback;
        if (a->raw[i].n == 0)
            ok = p->optional;
        else if (p->type == JSON_NUMBER)
            ok = check_number(p, a->raw[i], &a->number[i]);
        else
            ok = check_string(p, a->raw[i], &a->choice[i]);
        if (!ok)
            return p;
    }
    return NULL;
}

void demo_call_tool(struct demo *d, const struct demo_request *r)
{
    struct slice name = rpc_span(r->text, r->msg->name);
    struct slice object = r->params.n ? json_get(r->params, "arguments") : SLICE("");
    const struct param *bad = NULL;
    struct args args = {0};
    char why[128];
    size_t i;

    for (i = 0; i < ARRAY_LEN(tools); i++) {
        if (json_string_is(name, tools[i].name) && tool_is_shown(d, &tools[i]))
            break;
    }
    if (i == ARRAY_LEN(tools)) {
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "Unknown tool", SLICE(""));
        return;
    }
    if (object.n && json_type_of(object) != JSON_OBJECT) {
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "arguments must be an object", SLICE(""));
        return;
    }
    bad = check_args(&tools[i], object, &args);
    if (bad) {
        snprintf(why, sizeof(why), "Argument %s of tool %s is missing or not valid", bad->name,
                 tools[i].name);
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, why, SLICE(""));
        return;
    }
    d->call_count++;
    tools[i].run(d, r, &args);
}
