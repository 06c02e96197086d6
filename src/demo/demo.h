/* mcpool-demo: a small, complete MCP server over stdio, revisions 2024-11-05 to 2025-11-25. What a
 * reader needs first: main.c moves bytes, dispatch.c turns lines into method calls, catalog.c
 * serves what can be listed, tools.c holds the tools, calls.c the calls that take time, output.c
 * the way back. */
#ifndef DEMO_DEMO_H
#define DEMO_DEMO_H

#include "base/buf.h"
#include "base/env.h"
#include "wire/rpc.h"

#include <stdint.h>
#include <sys/queue.h>

#define DEMO_DEPTH_MAX 128
#define DEMO_ID_MAX    256 /* rpc_parse lets no longer id or progress token pass */

/* The lists that the tool `change` can alter. */
enum demo_list { DEMO_LIST_TOOLS, DEMO_LIST_PROMPTS, DEMO_LIST_RESOURCES, DEMO_LIST_COUNT };

/* What a server may ask its client. */
enum demo_ask { DEMO_ASK_ELICITATION, DEMO_ASK_SAMPLING, DEMO_ASK_ROOTS, DEMO_ASK_COUNT };

struct demo_subscription {
    TAILQ_ENTRY(demo_subscription) link;
    size_t n;
    char uri[]; /* unescaped, n bytes */
};

struct demo_call; /* calls.c */

struct demo {
    struct env env;
    struct buf out;
    bool id_last; /* write the id as the last key of answers, as the TypeScript SDK does */

    enum mcp_version version; /* MCP_VERSION_NONE until initialize */
    enum mcp_log_level level;
    bool client_can[DEMO_ASK_COUNT];
    bool extra[DEMO_LIST_COUNT]; /* the list currently shows its extra entry */

    LIST_HEAD(, demo_call) calls; /* tools/call requests that are not answered yet */
    TAILQ_HEAD(, demo_subscription) subscriptions;
    uint64_t next_ask_id;
    uint64_t call_count, cancel_count;

    bool crash; /* stop now, with answers still owed */
};

/* One request on its way through a handler. The slices are borrowed from the message. */
struct demo_request {
    struct slice id;    /* raw JSON token */
    struct slice token; /* raw progress token; n == 0 when the client gave none */
    struct slice params;
    struct slice text; /* the whole message */
    const struct rpc_msg *msg;
};

/* --- dispatch.c --- */

/* Handles every complete line of `in` and consumes it; *scanned remembers how much of the rest is
 * known to hold no newline. Input that is not JSON-RPC is answered with an error and never ends the
 * server. */
void demo_take_lines(struct demo *d, struct buf *in, size_t *scanned);

/* --- output.c: one message each, ended by a newline, in d->out until the turn ends --- */

/* The frame around a result; the caller appends one JSON value to d->out in between. */
void demo_answer_begin(struct demo *d, struct slice id);
void demo_answer_end(struct demo *d, struct slice id);

/* A whole answer whose result is the given JSON text. */
void demo_answer(struct demo *d, struct slice id, const char *result);

/* An error answer; without an id (n == 0) the member is left out. data: raw JSON or n == 0. */
void demo_refuse(struct demo *d, struct slice id, int code, const char *message, struct slice data);

/* The frame around a notification's or (ask_id) request's params object. */
void demo_notify_begin(struct demo *d, const char *method);
void demo_ask_begin(struct demo *d, uint64_t ask_id, const char *method);
void demo_message_end(struct demo *d);

/* A tool result with one text block. raw_string: the text as a JSON string token. */
void demo_answer_text_raw(struct demo *d, struct slice id, struct slice raw_string, bool is_error);
void demo_answer_text(struct demo *d, struct slice id, struct slice text, bool is_error);

/* --- catalog.c --- */
void demo_list_tools(struct demo *d, const struct demo_request *r);
void demo_list_prompts(struct demo *d, const struct demo_request *r);
void demo_get_prompt(struct demo *d, const struct demo_request *r);
void demo_list_resources(struct demo *d, const struct demo_request *r);
void demo_list_templates(struct demo *d, const struct demo_request *r);
void demo_read_resource(struct demo *d, const struct demo_request *r);
void demo_complete(struct demo *d, const struct demo_request *r);
void demo_subscribe(struct demo *d, const struct demo_request *r);
void demo_unsubscribe(struct demo *d, const struct demo_request *r);

/* Whether the client subscribed to the URI that the raw string token spells. */
bool demo_is_subscribed(const struct demo *d, struct slice raw_uri);

/* --- tools.c --- */
void demo_call_tool(struct demo *d, const struct demo_request *r);

/* Appends the tools' definitions, an array's elements without its brackets. */
void demo_append_tools(struct demo *d);

/* --- calls.c --- */

/* Answers after `span`. */
void demo_start_sleep(struct demo *d, const struct demo_request *r, usec_t span);

/* Sends `steps` progress notifications, one every `interval`, then answers. */
void demo_start_progress(struct demo *d, const struct demo_request *r, unsigned steps,
                         usec_t interval);

/* Asks the client; its answer becomes the tool's answer. raw_text: what to say, a JSON string
 * token. */
void demo_start_ask(struct demo *d, const struct demo_request *r, enum demo_ask kind,
                    struct slice raw_text);

/* Whether a call with this id is still unanswered. */
bool demo_call_is_open(const struct demo *d, struct slice id);

/* The client no longer wants the answer; unknown ids are ignored. */
void demo_cancel(struct demo *d, struct slice id);

/* A response from the client, to one of our asks or to nothing at all (then it is ignored). */
void demo_on_response(struct demo *d, const struct demo_request *r);

/* Forgets every open call. */
void demo_drop_calls(struct demo *d);

#endif
