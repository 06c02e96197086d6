/* The tool calls that cannot be answered at once. None of them blocks the others: each is a small
 * record with a timer, or with the id of a question to the client, and it ends in exactly one way:
 * it answers, the client cancels it, or the input ends. A cancelled call is never answered (MCP,
 * "Cancellation"). */
#include "base/util.h"
#include "demo/demo.h"

#include <stdio.h>
#include <stdlib.h>

enum call_kind {
    CALL_SLEEP,
    CALL_PROGRESS,
    CALL_ASK,
};

struct token {
    size_t n;
    char p[DEMO_ID_MAX];
};

struct demo_call {
    LIST_ENTRY(demo_call) link;
    struct demo *demo;
    enum call_kind kind;
    struct token id;
    struct token progress; /* n == 0: the client wants no progress */
    struct timer timer;
    usec_t span; /* sleep: all of it; progress: between two steps */
    unsigned step, step_count;
    uint64_t ask_id;
};

static struct slice token_slice(const struct token *t)
{
    return slice_of(t->p, t->n);
}

static void token_set(struct token *t, struct slice raw)
{
    t->n = raw.n < sizeof(t->p) ? raw.n : sizeof(t->p);
    if (t->n)
        memcpy(t->p, raw.p, t->n);
}

static void call_free(struct demo_call *c)
{
    env_timer_clear(&c->demo->env, &c->timer);
    LIST_REMOVE(c, link);
    free(c);
}

static void call_finish_text(struct demo_call *c, const char *text)
{
    demo_answer_text(c->demo, token_slice(&c->id), slice_str(text), false);
    call_free(c);
}

static void call_send_progress(struct demo_call *c)
{
    struct demo *d = c->demo;

    if (c->progress.n == 0)
        return;
    demo_notify_begin(d, "notifications/progress");
    buf_append_str(&d->out, "{\"progressToken\":");
    buf_append_slice(&d->out, token_slice(&c->progress));
    buf_appendf(&d->out, ",\"progress\":%u,\"total\":%u", c->step, c->step_count);
    if (d->version >= MCP_2025_03_26) /* the revision that brought messages */
        buf_appendf(&d->out, ",\"message\":\"step %u of %u\"", c->step, c->step_count);
    buf_append_str(&d->out, "}");
    demo_message_end(d);
}

static void call_on_step(struct demo_call *c)
{
    char text[64];

    /* Steps without a pause between them go out together instead of costing a turn each. */
    do {
        c->step++;
        call_send_progress(c);
    } while (c->span == 0 && c->step < c->step_count);

    if (c->step < c->step_count) {
        env_timer_set(&c->demo->env, &c->timer, c->demo->env.now + c->span);
        return;
    }
    snprintf(text, sizeof(text), "%u steps done", c->step_count);
    call_finish_text(c, text);
}

static void call_on_timer(void *arg)
{
    struct demo_call *c = arg;
    char text[64];

    switch (c->kind) {
    case CALL_SLEEP:
        snprintf(text, sizeof(text), "slept %.3f s", (double)c->span / (double)USEC_PER_SEC);
        call_finish_text(c, text);
        break;
    case CALL_PROGRESS:
        call_on_step(c);
        break;
    case CALL_ASK: /* waits for the client, not for time */
        break;
    }
}

static struct demo_call *call_new(struct demo *d, const struct demo_request *r, enum call_kind kind)
{
    struct demo_call *c = xcalloc(1, sizeof(*c));

    c->demo = d;
    c->kind = kind;
    token_set(&c->id, r->id);
    token_set(&c->progress, r->token);
    timer_init(&c->timer, call_on_timer, c);
    LIST_INSERT_HEAD(&d->calls, c, link);
    return c;
}

void demo_start_sleep(struct demo *d, const struct demo_request *r, usec_t span)
{
    struct demo_call *c = call_new(d, r, CALL_SLEEP);

    c->span = span;
    env_timer_set(&d->env, &c->timer, d->env.now + span);
}

void demo_start_progress(struct demo *d, const struct demo_request *r, unsigned steps,
                         usec_t interval)
{
    struct demo_call *c = call_new(d, r, CALL_PROGRESS);

    c->span = interval;
    c->step_count = steps;
    env_timer_set(&d->env, &c->timer, d->env.now + interval);
}

void demo_start_ask(struct demo *d, const struct demo_request *r, enum demo_ask kind,
                    struct slice raw_text)
{
    struct demo_call *c = call_new(d, r, CALL_ASK);

    c->ask_id = d->next_ask_id++;
    switch (kind) {
    case DEMO_ASK_ELICITATION:
        demo_ask_begin(d, c->ask_id, "elicitation/create");
        buf_append_str(&d->out, "{\"message\":");
        buf_append_slice(&d->out, raw_text);
        buf_append_str(&d->out,
                       ",\"requestedSchema\":{\"type\":\"object\",\"properties\":{\"answer\":"
                       "{\"type\":\"string\",\"title\":\"Answer\"}},"
                       "\"required\":[\"answer\"]}}");
        break;
    case DEMO_ASK_SAMPLING:
        demo_ask_begin(d, c->ask_id, "sampling/createMessage");
        buf_append_str(&d->out, "{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\","
                                "\"text\":");
        buf_append_slice(&d->out, raw_text);
        buf_append_str(&d->out, "}}],\"maxTokens\":100}");
        break;
    case DEMO_ASK_ROOTS:
        demo_ask_begin(d, c->ask_id, "roots/list");
        buf_append_str(&d->out, "{}");
        break;
    case DEMO_ASK_COUNT:
        break;
    }
    demo_message_end(d);
}

static struct demo_call *call_by_id(const struct demo *d, struct slice id)
{
    struct demo_call *c;

    LIST_FOREACH (c, &d->calls, link) {
        if (json_id_eq(token_slice(&c->id), id))
            return c;
    }
    return NULL;
}

bool demo_call_is_open(const struct demo *d, struct slice id)
{
    return call_by_id(d, id) != NULL;
}

/* A question whose call is gone interests nobody any more: the client may close its dialog. */
static void call_withdraw_ask(struct demo_call *c)
{
    struct demo *d = c->demo;

    demo_notify_begin(d, "notifications/cancelled");
    buf_append_str(&d->out, "{\"requestId\":");
    buf_append_u64(&d->out, c->ask_id);
    buf_append_str(&d->out, "}");
    demo_message_end(d);
}

void demo_cancel(struct demo *d, struct slice id)
{
    struct demo_call *c = id.n ? call_by_id(d, id) : NULL;

    if (!c)
        return;
    d->cancel_count++;
    if (c->kind == CALL_ASK)
        call_withdraw_ask(c);
    call_free(c);
}

void demo_on_response(struct demo *d, const struct demo_request *r)
{
    bool failed = r->msg->kind == RPC_ERROR;
    struct demo_call *c;
    uint64_t ask_id;

    if (!json_u64(r->id, &ask_id))
        return;
    LIST_FOREACH (c, &d->calls, link) {
        if (c->kind == CALL_ASK && c->ask_id == ask_id)
            break;
    }
    if (!c)
        return;
    demo_answer_text(d, token_slice(&c->id),
                     rpc_span(r->text, failed ? r->msg->error : r->msg->result), failed);
    call_free(c);
}

void demo_drop_calls(struct demo *d)
{
    while (!LIST_EMPTY(&d->calls))
        call_free(LIST_FIRST(&d->calls));
}
