/* What becomes of a call whose connection ends (resilience.md section 4): it goes on unread, it is
 * sent again, or it fails and says whether it may have run. The decision is policy/replay's; here
 * stands what it is made from and what follows.
 *
 * Unread, a call starts afresh: a new id, a new time to wait. What may have been received is sent
 * again at most once and within the time that it had from the first, the wait for a connection
 * included; from then on nothing can say any more that it never ran. Calls that followed one
 * request share its token of the budget, for they will be one request again. */
#include "internal.h"

#include <limits.h>
#include <stdio.h>

static bool side_effect_free(enum mcp_method m)
{
    return mcp_method_is_read(m) || m == MCP_TASKS_GET || m == MCP_TASKS_LIST;
}

static struct slice param(const struct call *c, const char *key)
{
    struct slice params = rpc_span(c->text.text, c->params_span);
    return c->params_span.n && json_type_of(params) == JSON_OBJECT ? json_get(params, key)
                                                                   : slice_of(NULL, 0);
}

/* A call of a tool that its server calls harmless to repeat. One that makes a task is not: there
 * would be two. */
static bool annotated(const struct call *c)
{
    return c->method == MCP_TOOLS_CALL && param(c, "task").n == 0 &&
           tools_are_harmless(c->session->affinity.pool, param(c, "name"));
}

static struct replay_request describe(const struct call *c, bool handed_over)
{
    bool kept = c->kept; /* otherwise its text is gone */
    return (struct replay_request){
        .handed_over = handed_over,
        .side_effect_free = side_effect_free(c->method),
        .annotated = kept && annotated(c),
        .has_input = kept && (param(c, "inputResponses").n || param(c, "requestState").n),
        .progressed = c->under_way,
        .asked = c->asked,
        .moves = c->moves,
        .replays = c->replays,
        .kept = kept,
    };
}

static enum replay_verdict decide(const struct call *c, bool handed_over, struct replay_budget *b)
{
    static const enum replay_mode modes[] = {
        [CONFIG_REPLAY_READS] = REPLAY_READS,
        [CONFIG_REPLAY_ANNOTATED] = REPLAY_ANNOTATED,
        [CONFIG_REPLAY_OFF] = REPLAY_OFF,
    };
    const struct server *s = session_server(c->session);
    enum replay_mode mode = modes[s->sc->options.replay];
    struct replay_request r = describe(c, handed_over);
    enum replay_verdict v = replay_decide(&r, mode, b);
    struct replay_budget enough = {.tenths = 10, .max_tenths = 10};
    if (v == REPLAY_FAIL_MAYBE && replay_decide(&r, mode, &enough) == REPLAY_AGAIN)
        metrics_inc(s->metrics, METRIC_REPLAYS_DENIED, 0);
    return v;
}

static void go_on(struct call *c)
{
    if (c->replays == 0)
        call_disarm_deadline(c);
    ticket_done(&c->ticket);
    c->ticket.again = true;
    pool_submit(&c->ticket);
}

static void fail(struct call *c, enum reason why, bool maybe)
{
    char text[256];
    const char *server = session_server(c->session)->sc->name;
    if (why == REASON_SHUTTING_DOWN)
        snprintf(text, sizeof(text),
                 "mcpool is shutting down; the request to server \"%s\" may or may not have been "
                 "carried out",
                 server);
    else if (maybe)
        snprintf(text, sizeof(text),
                 "Server \"%s\" stopped while processing the request; it may or may not have been "
                 "carried out",
                 server);
    else
        snprintf(text, sizeof(text), "Server \"%s\" stopped before it received the request",
                 server);
    call_fail(c, MCP_E_INTERNAL, why == REASON_SHUTTING_DOWN ? why : REASON_UPSTREAM_LOST,
              maybe ? "maybe" : "no", 0, text);
}

/* The fate of one call; b pays if it is sent again. Whether it is. */
static bool settle(struct call *c, enum reason why, bool handed_over, struct replay_budget *b)
{
    struct metrics *metrics = session_server(c->session)->metrics;
    enum replay_verdict v = REPLAY_FAIL_MAYBE;
    /* While the connection is wound down in good order, queued bytes may still be delivered. */
    if (why != REASON_SHUTTING_DOWN)
        v = decide(c, handed_over, b);
    switch (v) {
    case REPLAY_MOVE:
        c->moves++;
        metrics_inc(metrics, METRIC_CALLS_MOVED, 0);
        go_on(c);
        return false;
    case REPLAY_AGAIN:
        c->replays++;
        metrics_inc(metrics, METRIC_CALLS_REPLAYED, 0);
        go_on(c);
        return true;
    case REPLAY_FAIL_NO:
    case REPLAY_FAIL_MAYBE:
        fail(c, why, v == REPLAY_FAIL_MAYBE || c->replays > 0);
        return false;
    }
    return false;
}

void call_lost(struct call *c, enum reason why, bool handed_over)
{
    LIST_HEAD(, call) followers = LIST_HEAD_INITIALIZER(followers);
    struct replay_budget paid = {.tenths = UINT_MAX / 2, .max_tenths = UINT_MAX / 2};
    struct replay_budget *b = &session_server(c->session)->replay_budget;
    struct call *f;
    /* All at once: the leader may get followers anew as soon as it is settled. */
    while ((f = coalesce_take(c)) != NULL) {
        call_ref(f);
        LIST_INSERT_HEAD(&followers, f, follow_link);
    }
    if (settle(c, why, handed_over, b))
        b = &paid;
    while ((f = LIST_FIRST(&followers)) != NULL) {
        LIST_REMOVE(f, follow_link);
        if (f->outcome == CALL_PENDING)
            settle(f, why, handed_over, b);
        call_unref(f);
    }
}

void call_on_lost(struct uplink *u, enum reason why, bool handed_over)
{
    call_lost(container_of(u, struct call, up), why, handed_over);
}
