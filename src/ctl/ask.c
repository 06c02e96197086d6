/* From a command's options to the daemon's answer. */
#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/doc.h"
#include "ctl/place.h"
#include "ctl/text.h"
#include "ctl/view.h"

#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void ctl_answer_done(struct ctl_answer *a)
{
    buf_done(&a->body);
    cJSON_Delete(a->doc);
    a->doc = NULL;
}

void ctl_complain(struct slice text)
{
    struct buf b = BUF_INIT;
    buf_append_str(&b, "mcpoolctl: ");
    text_escape(&b, text, true);
    buf_append_str(&b, "\n");
    fwrite(buf_peek(&b).p, 1, buf_len(&b), stderr);
    buf_done(&b);
}

bool ctl_print(struct slice text)
{
    if (fwrite(text.p, 1, text.n, stdout) == text.n && fflush(stdout) == 0)
        return true;
    fprintf(stderr, "mcpoolctl: cannot write the output: %s\n", strerror(errno));
    return false;
}

bool ctl_is_name(const char *name)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t n = strlen(name);
    return n > 0 && n <= CONFIG_NAME_MAX && strspn(name, set) == n;
}

/* One request. An answer of another status than those expected is a failure that the daemon
 * explains itself; *ret_status tells it apart. */
static bool ask(const struct ctl_options *o, const struct ctl_request *r, struct ctl_answer *ret,
                struct buf *why, unsigned *ret_status)
{
    struct place place;
    struct client_answer answer;
    struct buf target = BUF_INIT;
    *ret = (struct ctl_answer){0};
    *ret_status = 0;
    if (!place_find(&place, o->socket, o->config)) {
        buf_append_str(why,
                       "a faulty configuration cannot say where the admin socket is; --socket can");
        return false;
    }
    buf_append_str(&target, r->path);
    if (r->server)
        buf_appendf(&target, "?server=%s", r->server);
    if (r->query)
        buf_appendf(&target, "%c%s", r->server ? '&' : '?', r->query);
    buf_append(&target, "", 1);
    bool ok = client_ask(&place, r->method, buf_peek(&target).p,
                         r->timeout ? r->timeout : CLIENT_TIMEOUT, &answer, why);
    buf_done(&target);
    if (!ok && place.warning)
        buf_appendf(why, " (%.*s)", (int)strcspn(place.warning, "\n"), place.warning);
    place_done(&place);
    if (!ok)
        return false;
    *ret_status = ret->status = answer.status;
    ok = answer.status == 200 || (r->also && answer.status == r->also);
    ret->body = answer.body;
    if (!ok || r->member)
        ret->doc = cJSON_ParseWithLength(buf_peek(&ret->body).p, buf_len(&ret->body));
    if (!ok) {
        const char *error = doc_str(ret->doc, "error");
        buf_appendf(why, "mcpoold refused with status %u: %s", answer.status,
                    error ? error : "it did not say why");
    } else if (r->member && !doc_get(ret->doc, r->member)) {
        buf_append_str(why, "what mcpoold answered is not what was asked for");
        ok = false;
    }
    if (!ok)
        ctl_answer_done(ret);
    return ok;
}

bool ctl_ask_names(const struct ctl_options *o, struct ctl_answer *ret, struct buf *why)
{
    static const struct ctl_request ready = {
        .method = "GET", .path = "/readyz", .member = "servers", .also = 503};
    unsigned status;
    return ask(o, &ready, ret, why, &status);
}

static bool is_among(const cJSON *servers, const char *name)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, servers)
    {
        const char *other = doc_str(s, "name");
        if (other && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

/* Replaces *why, unless there is such a server: then it is the page that the daemon does not know.
 * When even this cannot be found out, the reason for that is said. */
static void explain_unknown(const struct ctl_options *o, const char *name, struct buf *why)
{
    static const struct style style = {.utf8 = true};
    struct ctl_answer names;
    struct buf list = BUF_INIT, other = BUF_INIT;
    if (!ctl_ask_names(o, &names, &other)) {
        buf_reset(why);
        buf_append_slice(why, buf_peek(&other));
    } else if (!is_among(doc_get(names.doc, "servers"), name)) {
        view_names(names.doc, &style, " ", ",", &list);
        struct slice s = buf_peek(&list);
        buf_reset(why);
        buf_appendf(why, "there is no server called \"%.*s\"", 2 * CONFIG_NAME_MAX, name);
        if (s.n)
            buf_appendf(why, "; there is:%.*s", (int)s.n - 1, s.p);
        else
            buf_append_str(why, ", nor any other");
    }
    buf_done(&list);
    buf_done(&other);
    ctl_answer_done(&names);
}

bool ctl_ask(const struct ctl_options *o, const struct ctl_request *r, struct ctl_answer *ret,
             struct buf *why)
{
    unsigned status;
    *ret = (struct ctl_answer){0};
    if (r->server && !ctl_is_name(r->server)) {
        explain_unknown(o, r->server, why);
        return false;
    }
    bool ok = ask(o, r, ret, why, &status);
    if (!ok && status == 404 && r->server)
        explain_unknown(o, r->server, why);
    return ok;
}
