/* Everything the server says. Messages are appended to one buffer and leave it once per turn of the
 * loop, so a burst of answers costs one write.
 *
 * A message may end with its id instead of beginning with it: both orders are legal JSON and both
 * are found in the field, so whoever reads us must not care, and --id-last lets a test prove it. */
#include "demo/demo.h"

static void append_id_member(struct demo *d, struct slice id)
{
    if (id.n == 0)
        return;
    buf_append_str(&d->out, ",\"id\":");
    buf_append_slice(&d->out, id);
}

static void answer_begin(struct demo *d, struct slice id, const char *key)
{
    if (d->id_last) {
        buf_append_str(&d->out, "{\"");
    } else {
        buf_append_str(&d->out, "{\"jsonrpc\":\"2.0\"");
        append_id_member(d, id);
        buf_append_str(&d->out, ",\"");
    }
    buf_append_str(&d->out, key);
    buf_append_str(&d->out, "\":");
}

void demo_answer_begin(struct demo *d, struct slice id)
{
    answer_begin(d, id, "result");
}

void demo_answer_end(struct demo *d, struct slice id)
{
    if (d->id_last) {
        buf_append_str(&d->out, ",\"jsonrpc\":\"2.0\"");
        append_id_member(d, id);
    }
    buf_append_str(&d->out, "}\n");
}

void demo_answer(struct demo *d, struct slice id, const char *result)
{
    demo_answer_begin(d, id);
    buf_append_str(&d->out, result);
    demo_answer_end(d, id);
}

void demo_refuse(struct demo *d, struct slice id, int code, const char *message, struct slice data)
{
    answer_begin(d, id, "error");
    buf_appendf(&d->out, "{\"code\":%d,\"message\":", code);
    buf_append_json_string(&d->out, slice_str(message));
    if (data.n) {
        buf_append_str(&d->out, ",\"data\":");
        buf_append_slice(&d->out, data);
    }
    buf_append_str(&d->out, "}");
    demo_answer_end(d, id);
}

void demo_notify_begin(struct demo *d, const char *method)
{
    buf_appendf(&d->out, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":", method);
}

void demo_ask_begin(struct demo *d, uint64_t ask_id, const char *method)
{
    buf_append_str(&d->out, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_append_u64(&d->out, ask_id);
    buf_appendf(&d->out, ",\"method\":\"%s\",\"params\":", method);
}

void demo_message_end(struct demo *d)
{
    buf_append_str(&d->out, "}\n");
}

static void text_begin(struct demo *d, struct slice id)
{
    demo_answer_begin(d, id);
    buf_append_str(&d->out, "{\"content\":[{\"type\":\"text\",\"text\":");
}

static void text_end(struct demo *d, struct slice id, bool is_error)
{
    buf_append_str(&d->out, is_error ? "}],\"isError\":true}" : "}]}");
    demo_answer_end(d, id);
}

void demo_answer_text_raw(struct demo *d, struct slice id, struct slice raw_string, bool is_error)
{
    text_begin(d, id);
    buf_append_slice(&d->out, raw_string);
    text_end(d, id, is_error);
}

void demo_answer_text(struct demo *d, struct slice id, struct slice text, bool is_error)
{
    text_begin(d, id);
    buf_append_json_string(&d->out, text);
    text_end(d, id, is_error);
}
