/* POST /reload: the daemon does it, and its document is the answer. What it did is done before the
 * first byte is written, so a client that goes away changes nothing. */
#include "base/log.h"
#include "front/admin_priv.h"

#include <errno.h>

void admin_answer_reload(const struct admin_request *r, struct admin_reply *ret)
{
    const struct admin_ops *ops = &r->admin->ops;
    if (!ops->reload) {
        admin_reply_error(ret, 501, "This process cannot read its configuration again.");
        return;
    }
    if (!r->dry_run)
        log_notice(LOG_CTX(.message_id = LOG_ID_RELOADING), "reload asked for by uid %u (pid %d)",
                   (unsigned)r->peer->uid, (int)r->peer->pid);
    int e = ops->reload(ops->arg, r->dry_run, &ret->body);
    ret->content_type = ADMIN_JSON;
    if (e == -ESHUTDOWN)
        ret->status = 503;
    else if (e < 0)
        ret->status = 422; /* the file, or what it asks for, cannot be acted on */
}
