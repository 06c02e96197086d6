/* What this server offers besides tools: a shelf of notes as resources, two prompts, completion for
 * their arguments. Everything is made up on the spot from the tables here; only the extra entries
 * that the tool `change` shows and hides, and the subscriptions, are state. Notes are listed in
 * pages so that a client meets a cursor. */
#include "base/util.h"
#include "demo/demo.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTE_COUNT     25U
#define NOTES_PER_PAGE 10U
#define NOTE_PREFIX    "demo://note/"
#define URI_MAX        4096U
#define TYPED_MAX      4096U

static const char *const names[] = {"Ada", "Alan", "Barbara", "Edsger", "Grace", "Tony"};

void demo_list_tools(struct demo *d, const struct demo_request *r)
{
    demo_answer_begin(d, r->id);
    buf_append_str(&d->out, "{\"tools\":[");
    demo_append_tools(d);
    buf_append_str(&d->out, "]}");
    demo_answer_end(d, r->id);
}

void demo_list_prompts(struct demo *d, const struct demo_request *r)
{
    demo_answer_begin(d, r->id);
    buf_append_str(&d->out,
                   "{\"prompts\":[{\"name\":\"greeting\",\"description\":\"Greets somebody\","
                   "\"arguments\":[{\"name\":\"name\",\"description\":\"Whom to greet\","
                   "\"required\":true}]},"
                   "{\"name\":\"summary\",\"description\":\"Asks for a summary of all notes\"}");
    if (d->extra[DEMO_LIST_PROMPTS])
        buf_append_str(&d->out, ",{\"name\":\"extra\",\"description\":\"Comes and goes\"}");
    buf_append_str(&d->out, "]}");
    demo_answer_end(d, r->id);
}

static void append_user_message_end(struct demo *d, const struct demo_request *r)
{
    buf_append_str(&d->out, "}}]}");
    demo_answer_end(d, r->id);
}

static void append_user_message_begin(struct demo *d, const struct demo_request *r)
{
    demo_answer_begin(d, r->id);
    buf_append_str(&d->out, "{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\","
                            "\"text\":");
}

void demo_get_prompt(struct demo *d, const struct demo_request *r)
{
    struct slice prompt = rpc_span(r->text, r->msg->name);
    struct slice name = r->params.n ? json_path(r->params, "arguments", "name", NULL) : SLICE("");
    struct buf text = BUF_INIT;

    if (json_string_is(prompt, "summary") ||
        (json_string_is(prompt, "extra") && d->extra[DEMO_LIST_PROMPTS])) {
        append_user_message_begin(d, r);
        buf_append_str(&d->out, "\"Summarise all notes in three sentences.\"");
        append_user_message_end(d, r);
    } else if (!json_string_is(prompt, "greeting")) {
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "Unknown prompt", SLICE(""));
    } else if (json_type_of(name) != JSON_STRING) {
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "Argument name must be a string", SLICE(""));
    } else {
        buf_append_str(&text, "Say hello to ");
        (void)json_unescape(name, &text, SIZE_MAX);
        append_user_message_begin(d, r);
        buf_append_json_string(&d->out, buf_peek(&text));
        append_user_message_end(d, r);
    }
    buf_done(&text);
}

static void append_note(struct demo *d, unsigned n)
{
    buf_appendf(&d->out, "{\"uri\":\"" NOTE_PREFIX "%u\",\"name\":\"Note %u\"", n, n);
    buf_append_str(&d->out, ",\"mimeType\":\"text/plain\"}");
}

/* The cursor is the number of notes that were listed before: opaque to the client, checked by us.
 */
static bool parse_cursor(struct slice raw, unsigned *ret)
{
    struct buf text = BUF_INIT;
    uint64_t v = 0;
    bool ok = raw.n == 0 || (json_unescape(raw, &text, 8) && json_u64(buf_peek(&text), &v) &&
                             v > 0 && v < NOTE_COUNT && v % NOTES_PER_PAGE == 0);

    buf_done(&text);
    *ret = (unsigned)v;
    return ok;
}

void demo_list_resources(struct demo *d, const struct demo_request *r)
{
    struct slice cursor = r->params.n ? json_get(r->params, "cursor") : SLICE("");
    unsigned first, n;

    if (!parse_cursor(cursor, &first)) {
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "Invalid cursor", SLICE(""));
        return;
    }
    demo_answer_begin(d, r->id);
    buf_append_str(&d->out, "{\"resources\":[");
    for (n = first; n < NOTE_COUNT && n < first + NOTES_PER_PAGE; n++) {
        if (n > first)
            buf_append_str(&d->out, ",");
        append_note(d, n + 1);
    }
    if (n == NOTE_COUNT && d->extra[DEMO_LIST_RESOURCES])
        buf_append_str(&d->out, ",{\"uri\":\"" NOTE_PREFIX "extra\",\"name\":\"Extra note\"}");
    buf_append_str(&d->out, "]");
    if (n < NOTE_COUNT)
        buf_appendf(&d->out, ",\"nextCursor\":\"%u\"", n);
    buf_append_str(&d->out, "}");
    demo_answer_end(d, r->id);
}

void demo_list_templates(struct demo *d, const struct demo_request *r)
{
    demo_answer(d, r->id,
                "{\"resourceTemplates\":[{\"uriTemplate\":\"" NOTE_PREFIX "{number}\","
                "\"name\":\"note\",\"description\":\"A note by its number, 1 to 25\","
                "\"mimeType\":\"text/plain\"}]}");
}

/* Whether the unescaped URI names one of our notes. */
static bool note_exists(const struct demo *d, struct slice uri)
{
    uint64_t n;

    if (!slice_starts(uri, NOTE_PREFIX))
        return false;
    uri = slice_of(uri.p + strlen(NOTE_PREFIX), uri.n - strlen(NOTE_PREFIX));
    if (slice_is(uri, "extra"))
        return d->extra[DEMO_LIST_RESOURCES];
    return json_type_of(uri) == JSON_NUMBER && json_u64(uri, &n) && n >= 1 && n <= NOTE_COUNT;
}

static void refuse_resource(struct demo *d, const struct demo_request *r, struct slice raw_uri)
{
    struct buf data = BUF_INIT;

    buf_append_str(&data, "{\"uri\":");
    buf_append_slice(&data, raw_uri);
    buf_append_str(&data, "}");
    demo_refuse(d, r->id, MCP_E_RESOURCE_NOT_FOUND, "Resource not found", buf_peek(&data));
    buf_done(&data);
}

/* Unescapes params.uri into uri; refuses the request and returns false when that cannot be done. */
static bool take_uri(struct demo *d, const struct demo_request *r, struct buf *uri)
{
    if (json_unescape(rpc_span(r->text, r->msg->uri), uri, URI_MAX))
        return true;
    demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "uri must be a string", SLICE(""));
    return false;
}

void demo_read_resource(struct demo *d, const struct demo_request *r)
{
    struct slice raw = rpc_span(r->text, r->msg->uri);
    struct buf uri = BUF_INIT;

    if (take_uri(d, r, &uri)) {
        if (!note_exists(d, buf_peek(&uri))) {
            refuse_resource(d, r, raw);
        } else {
            demo_answer_begin(d, r->id);
            buf_append_str(&d->out, "{\"contents\":[{\"uri\":");
            buf_append_slice(&d->out, raw);
            buf_append_str(&d->out, ",\"mimeType\":\"text/plain\",\"text\":\"This is a note.\"}]}");
            demo_answer_end(d, r->id);
        }
    }
    buf_done(&uri);
}

static struct demo_subscription *subscription_find(const struct demo *d, struct slice uri)
{
    struct demo_subscription *s;

    TAILQ_FOREACH (s, &d->subscriptions, link) {
        if (slice_eq(slice_of(s->uri, s->n), uri))
            return s;
    }
    return NULL;
}

bool demo_is_subscribed(const struct demo *d, struct slice raw_uri)
{
    struct buf uri = BUF_INIT;
    bool found = json_unescape(raw_uri, &uri, URI_MAX) && subscription_find(d, buf_peek(&uri));

    buf_done(&uri);
    return found;
}

void demo_subscribe(struct demo *d, const struct demo_request *r)
{
    struct buf uri = BUF_INIT;

    if (take_uri(d, r, &uri)) {
        struct slice text = buf_peek(&uri);

        if (!note_exists(d, text)) {
            refuse_resource(d, r, rpc_span(r->text, r->msg->uri));
        } else {
            if (!subscription_find(d, text)) {
                struct demo_subscription *s = xmalloc(sizeof(*s) + text.n);

                s->n = text.n;
                memcpy(s->uri, text.p, text.n);
                TAILQ_INSERT_TAIL(&d->subscriptions, s, link);
            }
            demo_answer(d, r->id, "{}");
        }
    }
    buf_done(&uri);
}

void demo_unsubscribe(struct demo *d, const struct demo_request *r)
{
    struct buf uri = BUF_INIT;

    if (take_uri(d, r, &uri)) {
        struct demo_subscription *s = subscription_find(d, buf_peek(&uri));

        if (s) {
            TAILQ_REMOVE(&d->subscriptions, s, link);
            free(s);
        }
        demo_answer(d, r->id, "{}");
    }
    buf_done(&uri);
}

/* Appends the candidate to the values when it begins with what was typed. */
static unsigned append_candidate(struct demo *d, struct slice typed, struct slice candidate,
                                 unsigned count)
{
    if (typed.n > candidate.n || memcmp(candidate.p, typed.p, typed.n) != 0)
        return count;
    if (count)
        buf_append_str(&d->out, ",");
    buf_append_json_string(&d->out, candidate);
    return count + 1;
}

static unsigned append_candidates(struct demo *d, struct slice name, struct slice typed)
{
    unsigned count = 0, i;
    char number[16];

    if (json_string_is(name, "name")) {
        for (i = 0; i < ARRAY_LEN(names); i++)
            count = append_candidate(d, typed, slice_str(names[i]), count);
    } else if (json_string_is(name, "number")) {
        for (i = 1; i <= NOTE_COUNT; i++) {
            snprintf(number, sizeof(number), "%u", i);
            count = append_candidate(d, typed, slice_str(number), count);
        }
    }
    return count;
}

void demo_complete(struct demo *d, const struct demo_request *r)
{
    struct slice arg = r->params.n ? json_get(r->params, "argument") : SLICE("");
    bool ok = json_type_of(arg) == JSON_OBJECT;
    struct buf typed = BUF_INIT;

    ok = ok && json_type_of(json_get(arg, "name")) == JSON_STRING;
    ok = ok && json_unescape(json_get(arg, "value"), &typed, TYPED_MAX);
    if (ok) {
        unsigned count;

        demo_answer_begin(d, r->id);
        buf_append_str(&d->out, "{\"completion\":{\"values\":[");
        /* An empty buffer may have no memory at all; memcmp wants a pointer even for no bytes. */
        count = append_candidates(d, json_get(arg, "name"),
                                  buf_len(&typed) ? buf_peek(&typed) : SLICE(""));
        buf_appendf(&d->out, "],\"total\":%u,\"hasMore\":false}}", count);
        demo_answer_end(d, r->id);
    } else {
        demo_refuse(d, r->id, MCP_E_INVALID_PARAMS, "argument needs a name and a value", SLICE(""));
    }
    buf_done(&typed);
}
