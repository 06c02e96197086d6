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

/* One request. An answer of another status than ok_a and ok_b is a failure that the daemon explains
 * itself; *ret_status tells it apart. */
static bool ask(const struct ctl_options *o, const char *method, const char *target,
                enum ctl_wants wants, unsigned also_ok, struct ctl_answer *ret, struct buf *why,
                unsigned *ret_status)
{
    struct place place;
    struct client_answer answer;
    *ret = (struct ctl_answer){0};
    *ret_status = 0;
    if (!place_find(&place, o->socket, o->config)) {
        buf_append_str(why, "the configuration does not say where the admin socket is");
        return false;
    }
    bool ok = client_ask(&place, method, target, &answer, why);
    if (!ok && place.warning)
        buf_appendf(why, " (%.*s)", (int)strcspn(place.warning, "\n"), place.warning);
    place_done(&place);
    if (!ok)
        return false;
    *ret_status = answer.status;
    ok = answer.status == 200 || answer.status == also_ok;
    ret->body = answer.body;
    if (!ok || wants == CTL_WANTS_DOC)
        ret->doc = cJSON_ParseWithLength(buf_peek(&ret->body).p, buf_len(&ret->body));
    if (!ok) {
        const char *error = doc_str(ret->doc, "error");
        buf_appendf(why, "mcpoold refused with status %u: %s", answer.status,
                    error ? error : "it did not say why");
    } else if (wants == CTL_WANTS_DOC && !cJSON_IsArray(doc_get(ret->doc, "servers"))) {
        buf_append_str(why, "what mcpoold answered is not what was asked for");
        ok = false;
    }
    if (!ok)
        ctl_answer_done(ret);
    return ok;
}

bool ctl_ask_names(const struct ctl_options *o, struct ctl_answer *ret, struct buf *why)
{
    unsigned status;
    return ask(o, "GET", "/readyz", CTL_WANTS_DOC, 503, ret, why, &status);
}

/* Replaces *why. When even this cannot be found out, the reason for that is said. */
static void explain_unknown(const struct ctl_options *o, struct buf *why)
{
    static const struct style style = {.utf8 = true};
    struct ctl_answer names;
    struct buf list = BUF_INIT;
    buf_reset(why);
    if (!ctl_ask_names(o, &names, why))
        return;
    view_names(names.doc, &style, " ", ",", &list);
    struct slice s = buf_peek(&list);
    buf_appendf(why, "there is no server called \"%.*s\"", 2 * CONFIG_NAME_MAX, o->name);
    if (s.n)
        buf_appendf(why, "; there is:%.*s", (int)s.n - 1, s.p);
    else
        buf_append_str(why, ", nor any other");
    buf_done(&list);
    ctl_answer_done(&names);
}

bool ctl_ask(const struct ctl_options *o, const char *method, const char *path,
             enum ctl_wants wants, struct ctl_answer *ret, struct buf *why)
{
    char target[64 + CONFIG_NAME_MAX];
    unsigned status;
    *ret = (struct ctl_answer){0};
    if (o->name && !ctl_is_name(o->name)) {
        explain_unknown(o, why);
        return false;
    }
    snprintf(target, sizeof(target), o->name ? "%s?server=%s" : "%s", path, o->name);
    bool ok = ask(o, method, target, wants, 200, ret, why, &status);
    if (!ok && status == 404 && o->name)
        explain_unknown(o, why);
    return ok;
}
