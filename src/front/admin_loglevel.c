/* The level of the log, shown and changed while mcpoold runs. The change lasts until the next one,
 * be it that of a configuration file with another log_level, or the end of the process. */
#include "front/admin_priv.h"

static void write_level(struct buf *out, enum log_level now, const char *was)
{
    struct admin_json j = {.out = out};
    admin_json_begin(&j, NULL, '{');
    admin_json_str(&j, "log_level", log_level_name(now));
    if (was)
        admin_json_str(&j, "was", was);
    admin_json_end(&j, '}');
    buf_append_str(out, "\n");
}

void admin_answer_log_level(const struct admin_request *r, struct admin_reply *ret)
{
    (void)r;
    ret->content_type = ADMIN_JSON;
    write_level(&ret->body, log_get_level(), NULL);
}

static int level_of(struct slice name)
{
    for (enum log_level l = LOG_LEVEL_DEBUG; l <= LOG_LEVEL_CRITICAL; l++)
        if (slice_is(name, log_level_name(l)))
            return (int)l;
    return -1;
}

void admin_answer_set_log_level(const struct admin_request *r, struct admin_reply *ret)
{
    int level = level_of(r->level);
    enum log_level was = log_get_level();
    if (level < 0) {
        admin_reply_error(ret, 400,
                          "The level must be debug, info, notice, warning, error or critical.");
        return;
    }
    /* While the lower of the two is in force, so that the log says why it falls silent. */
    if ((enum log_level)level < was)
        log_set_level((enum log_level)level);
    log_notice(LOG_CTX(.message_id = LOG_ID_LOG_LEVEL),
               "log level %s -> %s, asked for by uid %u (pid %d)", log_level_name(was),
               log_level_name((enum log_level)level), (unsigned)r->peer->uid, (int)r->peer->pid);
    log_set_level((enum log_level)level);
    ret->content_type = ADMIN_JSON;
    write_level(&ret->body, (enum log_level)level, log_level_name(was));
}
