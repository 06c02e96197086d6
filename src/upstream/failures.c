/* Calls that mcpool itself fails, in the log: each with all that is known of it, but not more than
 * a few a second and server, because a dead server under load fails thousands. What was left out is
 * told as a number at the end of its second. */
#include "base/log.h"
#include "internal.h"

static void tell(const struct server *s, unsigned n)
{
    if (n)
        log_warning(LOG_CTX(.server = s->sc->name, .message_id = LOG_ID_CALLS_SUPPRESSED),
                    "%u more failed calls were not logged (call_errors_logged_per_second %u)", n,
                    s->sc->limits.call_errors_logged_per_second);
}

static void on_time(void *arg)
{
    struct server *s = arg;
    tell(s, quota_settle(&s->failures, s->env->now));
}

void server_log_failure(struct server *s, const struct log_ctx *ctx, const char *sentence)
{
    usec_t now = s->env->now;
    on_time(s);
    if (quota_take(&s->failures, s->sc->limits.call_errors_logged_per_second, now))
        log_warning(ctx, "%s", sentence);
    else if (!timer_armed(&s->failures_timer))
        env_timer_set(s->env, &s->failures_timer, quota_due_at(&s->failures));
}

void failures_init(struct server *s)
{
    timer_init(&s->failures_timer, on_time, s);
}

void failures_done(struct server *s)
{
    env_timer_clear(s->env, &s->failures_timer);
    tell(s, s->failures.dropped);
    s->failures.dropped = 0;
}
