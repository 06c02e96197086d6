/* The last lines that the processes of a server wrote for people (upstream/tail). */
#include "front/admin_priv.h"

void admin_logs(const struct admin_view *view, const struct server *s, struct buf *out)
{
    struct admin_json j = {.out = out};
    const struct tail_line *l;
    admin_json_begin(&j, NULL, '{');
    admin_json_str(&j, "server", s->sc->name);
    admin_json_begin(&j, "lines", '[');
    STAILQ_FOREACH (l, &s->tail.lines, link) {
        admin_json_begin(&j, NULL, '{');
        admin_json_wall(&j, "time", view->wall_offset + l->at);
        if (l->pid > 0)
            admin_json_u64(&j, "pid", (uint64_t)l->pid);
        else
            admin_json_null(&j, "pid");
        admin_json_slice(&j, "text", slice_of(l->text, l->n));
        admin_json_end(&j, '}');
    }
    admin_json_end(&j, ']');
    admin_json_u64(&j, "dropped", s->tail.dropped);
    admin_json_end(&j, '}');
    buf_append_str(out, "\n");
}

/* Up to a few hundred kilobytes, held while they are read. */
void admin_answer_logs(const struct admin_request *r, struct admin_reply *ret)
{
    if (r->admin->whole >= ADMIN_WHOLE_MAX) {
        admin_reply_error(ret, 503, "%u others are reading something long; try again in a moment.",
                          r->admin->whole);
        return;
    }
    ret->content_type = ADMIN_JSON;
    admin_logs(&r->view, r->server->server, &ret->body);
}
