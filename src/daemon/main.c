/* mcpoold: configuration, wiring, signals. The only place that exits. */
#include "directories.h"
#include "handover.h"
#include "notify.h"
#include "options.h"
#include "reload.h"
#include "reload_doc.h"

#include "base/log.h"
#include "base/version.h"
#include "config/config.h"
#include "front/admin.h"
#include "front/event_ring.h"
#include "front/front.h"
#include "io/child.h"
#include "io/inherit.h"
#include "io/journal.h"
#include "io/keyfile.h"
#include "io/listen.h"
#include "io/loop.h"
#include "io/spool.h"
#include "io/supervisor.h"
#include "proxy/proxy.h"
#include "proxy/route.h"
#include "upstream/stdio.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

struct daemon {
    struct loop loop;
    struct config *config;
    struct proxy *proxy;
    struct front *front;
    struct admin *admin;
    struct store *journal;
    struct inherited *inherited;
    struct notify *notify;
    unsigned stops; /* SIGTERM and SIGINT that have come */
    bool finishing; /* nothing is left but what clients have not read yet */
    struct event_ring *events;
    struct event_watch stir; /* the notification's, of what happens */
    struct handover *handover;
    struct config_params params;
    struct reload *reload;
    const struct options *options;
    const char *config_path;
};

/* How long answers that were written at the very end may take to reach slow clients. */
#define LAST_ANSWERS (2 * USEC_PER_SEC)

static void front_finished(void *arg)
{
    struct daemon *d = arg;
    loop_stop(&d->loop);
}

static void proxy_stopped(void *arg)
{
    struct daemon *d = arg;
    d->finishing = true;
    front_finish(d->front, d->stops > 1 ? 0 : LAST_ANSWERS, front_finished, d);
}

/* The first lets calls in flight finish, within drain_timeout; the next ends what is under way at
 * once. Any number of them is harmless. */
static void on_terminate(void *arg, int signo)
{
    struct daemon *d = arg;
    if (++d->stops <= 2)
        log_notice(LOG_CTX(.message_id = LOG_ID_STOPPING), "%s received%s",
                   signo == SIGTERM ? "SIGTERM" : "SIGINT",
                   d->stops > 1 ? " again, stopping at once" : "");
    notify_stopping(d->notify);
    front_drain(d->front);
    if (d->finishing)
        front_finish(d->front, 0, front_finished, d);
    else
        proxy_stop(d->proxy, proxy_stopped, d);
}

/* One that asks for a reload must not end a process which is about to read its configuration, and
 * is not lost either: it waits until there is a handler. */
static void hold_hangup(bool hold)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* ---- what was inherited ---- */

/* The service manager keeps what is in its descriptor store open until it is told otherwise, and
 * the other end of a connection would wait for ever. */
static void forget_inherited(void *arg, const char *name, const char *what)
{
    char text[INHERIT_NAME_MAX + 64];
    (void)arg;
    log_warning(LOG_CTX(.message_id = LOG_ID_SERVICE_MANAGER),
                "closing what the service manager passed as \"%s\" (%s): no use for it", name,
                what);
    snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s\n", name);
    (void)supervisor_send(text, NULL, 0);
}

/* ---- reload ---- */

static void on_hangup(void *arg, int signo)
{
    struct daemon *d = arg;
    (void)signo;
    reload_request(d->reload);
}

static void reload_begins(void *arg)
{
    const struct daemon *d = arg;
    notify_reloading(d->notify);
}

static void reload_has_ended(void *arg)
{
    const struct daemon *d = arg;
    notify_ready(d->notify);
}

static int admin_reload(void *arg, bool dry_run, struct buf *out)
{
    struct daemon *d = arg;
    return reload_now(d->reload, dry_run, out);
}

/* After everything that a reload acts on was made. */
static void allow_reload(struct daemon *d)
{
    d->reload = reload_new(&(struct reload_parts){
        .loop = &d->loop,
        .path = d->config_path,
        .config = &d->config,
        .proxy = d->proxy,
        .front = d->front,
        .admin = d->admin,
        .events = d->events,
        .params = &d->params,
        .keep_log_level = d->options->log_level >= 0,
        .before = reload_begins,
        .after = reload_has_ended,
        .arg = d,
    });
    admin_set_ops(d->admin, &(struct admin_ops){.reload = admin_reload, .arg = d});
}

static void set_signals(struct daemon *d)
{
    loop_on_signal(&d->loop, SIGTERM, on_terminate, d);
    loop_on_signal(&d->loop, SIGINT, on_terminate, d);
    loop_on_signal(&d->loop, SIGHUP, on_hangup, d);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    hold_hangup(false);
}

/* ---- start ---- */

/* What a new user types next: the first endpoint, ready to paste. Not for the journal. */
static void print_hint(const struct daemon *d)
{
    const struct route *r = route_at(d->proxy, 0);
    const char *url = front_http_url(d->front);
    if (!r || !url || getenv("JOURNAL_STREAM") || getenv("NOTIFY_SOCKET"))
        return;
    fprintf(stderr,
            "\nTry it from another terminal:\n\n"
            "  curl -s %s/mcp/%s -H 'Content-Type: application/json' \\\n"
            "    -H 'Accept: application/json, text/event-stream' \\\n%s"
            "    -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
            "\"protocolVersion\":\"%s\",\"capabilities\":{},\"clientInfo\":{\"name\":\"curl\","
            "\"version\":\"1\"}}}'\n\n",
            url, r->name,
            d->config->tokens_n ? "    -H 'Authorization: Bearer A-SECRET-OF-YOURS' \\\n" : "",
            mcp_version_name(MCP_LATEST_LEGACY));
}

/* One descriptor per client connection: as many as may be had. Children get the limits of before.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur == rl.rlim_max)
        return;
    rl.rlim_cur = rl.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
        log_warning(LOG_CTX(.message_id = LOG_ID_SHORTAGE),
                    "cannot raise the limit of open files: %s", strerror(errno));
}

/* Descendants of servers that are still being ended get a moment; then systemd or init has them. */
static void reap_the_rest(struct loop *loop)
{
    usec_t end = loop->env.now + 2 * USEC_PER_SEC;
    while (child_live_count() > 0 && loop->env.now < end)
        loop_turn(loop, end - loop->env.now);
}

_Static_assert(KEYFILE_SIZE == SESSION_KEY_SIZE, "the file holds a session key");

/* The core with everything that it needs of the world. 0 or -errno, said. */
static int make_proxy(struct daemon *d)
{
    unsigned char key[SESSION_KEY_SIZE];
    char why[PATH_MAX + 256];
    enum keyfile_result r = keyfile_load(d->config->state_dir, getenv("CREDENTIALS_DIRECTORY"),
                                         "session.key", key, why, sizeof(why));
    if (r == KEYFILE_BAD) {
        log_error(LOG_CTX(.message_id = LOG_ID_FATAL), "%s", why);
        return -EPERM;
    }
    if (r == KEYFILE_UNSAVED)
        log_warning(LOG_CTX(.message_id = LOG_ID_STATE_UNSAVED), "%s", why);
    d->journal = journal_open(d->config->state_dir, "sessions.journal");
    struct proxy_transports transports = {.stdio = &stdio_transport,
                                          .arg = &d->loop,
                                          .session_key = key,
                                          .wall_clock = clock_realtime,
                                          .store = d->journal};
    spool_set_memory(d->config->limits.spool_memory);
    d->proxy = proxy_new(&d->loop.env, d->config, &transports);
    explicit_bzero(key, sizeof(key));
    return 0;
}

static void on_event(void *arg, const struct log_record *r)
{
    (void)r;
    notify_stir(arg);
}

static int run(struct daemon *d)
{
    int r = loop_init(&d->loop);
    raise_descriptor_limit();
    if (r < 0) {
        log_error(LOG_CTX(.message_id = LOG_ID_FATAL), "cannot create the event loop: %s",
                  strerror(-r));
        return r;
    }
    r = make_proxy(d);
    if (r < 0) {
        loop_done(&d->loop);
        return r;
    }
    d->notify = notify_new(&d->loop.env, d->proxy);
    d->stir = (struct event_watch){.fn = on_event, .arg = d->notify};
    event_ring_watch(d->events, &d->stir);
    r = front_new(&d->loop, d->proxy, d->config, d->inherited, &d->front);
    if (r == 0)
        r = admin_new(&d->loop, d->proxy, d->config, d->inherited, &d->admin);
    if (r == 0) {
        admin_set_front(d->admin, d->front);
        admin_set_events(d->admin, d->events);
        d->handover = handover_start(&d->loop, d->front, d->inherited);
        d->inherited = inherit_free(d->inherited, forget_inherited, NULL);
        allow_reload(d);
        set_signals(d);
        proxy_start(d->proxy);
        notify_started(d->notify);
        log_notice(LOG_CTX(.message_id = LOG_ID_READY), "ready");
        print_hint(d);
        loop_run(&d->loop);
        reap_the_rest(&d->loop);
        log_notice(LOG_CTX(.message_id = LOG_ID_STOPPED), "stopped");
    }
    reload_free(d->reload);
    admin_free(d->admin);
    front_free(d->front);
    handover_free(d->handover);
    event_ring_unwatch(&d->stir);
    notify_free(d->notify);
    proxy_free(d->proxy);
    journal_close(d->journal);
    loop_done(&d->loop);
    return r;
}

/* Servers are programs of others that run as the same user: they may not read the memory or the
 * environment of this process, where the secrets of all servers are, and a core would hold them,
 * too (security.md C08). What is started from here is as open as any process again once it is
 * executed.
 */
static void close_to_others(void)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        log_warning(LOG_CTX(.message_id = LOG_ID_EXPOSED),
                    "other processes of this user can look into mcpoold: %s", strerror(errno));
}

/* By hand they are lines as compilers write them; in the journal, events of the level they have. */
static void say_findings(const struct config_errors *errs)
{
    if (!log_is_journal()) {
        config_errors_write(errs, stderr);
        return;
    }
    struct reload_lines l;
    reload_lines_init(&l, errs);
    for (size_t i = 0; i < l.n; i++)
        log_event(l.is_error[i] ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
                  LOG_CTX(.message_id = l.is_error[i] ? LOG_ID_FATAL : LOG_ID_STARTED), "%s",
                  l.v[i]);
    reload_lines_done(&l);
}

/* The daemon's life with that configuration; its exit status. A configuration that is wrong does
 * not mend itself by another start, and the status tells that to the service manager. */
static int serve(const char *path, const struct options *o)
{
    struct daemon d = {
        .params = {.uid = geteuid(), .is_loopback_name = listener_is_loopback_name},
        .options = o,
        .config_path = path,
        .inherited = inherit_take(),
    };
    hold_hangup(true);
    log_open();
    close_to_others();
    struct config_errors errs;
    config_errors_init(&errs);
    int r = config_load(path, &d.params, &d.config, &errs);
    say_findings(&errs);
    config_errors_done(&errs);
    if (r < 0) {
        inherit_free(d.inherited, NULL, NULL);
        return EX_CONFIG;
    }
    log_set_level(o->log_level >= 0 ? (enum log_level)o->log_level : d.config->log_level);
    d.events = event_ring_new(d.config);
    log_set_listener(event_ring_on_record, d.events);
    log_notice(LOG_CTX(.message_id = LOG_ID_STARTED), "mcpoold %s starts with %s", MCPOOL_VERSION,
               path);
    r = directory_ensure(d.config->runtime_dir);
    if (r == 0)
        r = directory_ensure(d.config->state_dir);
    if (r == 0)
        r = run(&d);
    inherit_free(d.inherited, NULL, NULL);
    log_set_listener(NULL, NULL);
    event_ring_free(d.events);
    config_unref(d.config);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options o;
    int done = options_parse(argc, argv, &o);
    if (done)
        return done == 1 ? EXIT_SUCCESS : 2;
    if (o.reference || o.manual) {
        if (o.reference)
            config_write_reference(stdout);
        else
            config_write_manual(stdout);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    char *found = o.config_path ? NULL : config_default_path(NULL);
    const char *path = o.config_path ? o.config_path : found;
    if (!path) {
        fputs("mcpoold: no configuration file; name one with --config\n", stderr);
        return 2;
    }
    const struct config_params params = {.uid = geteuid(),
                                         .is_loopback_name = listener_is_loopback_name};
    int status = o.check ? (config_check(path, &params, stdout) ? EXIT_SUCCESS : EXIT_FAILURE)
                         : serve(path, &o);
    free(found);
    log_settle();
    return status;
}
