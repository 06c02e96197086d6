/* The stdio transport: one child process, one JSON-RPC message per line.
 *
 * A line up to stream_above is parsed in the input buffer and never copied. A longer one is scanned
 * as its pieces arrive and spooled to an unlinked file, so that a huge result costs disk and not
 * memory, and a slow reader of it never holds up the pipe. A line over max_response_bytes is thrown
 * away while its id is hunted, and reported by that id; one that does not end within OVERSIZE_DRAIN
 * times the limit costs the process.
 *
 * Lines that are no JSON-RPC are logged and skipped: servers print banners. The end of the child's
 * stdout is the end of the connection; its exit status is waited for a moment to say why. closed =
 * process reaped (or never started) and both pipes released. */
#include "upstream/stdio.h"

#include "base/log.h"
#include "base/util.h"
#include "io/child.h"
#include "io/spool.h"
#include "io/stream.h"
#include "policy/quota.h"
#include "upstream/splice.h"
#include "wire/line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OVERSIZE_DRAIN 4
/* Room in an input buffer beyond the longest line that is held as a whole. */
#define IN_SLACK 1024
/* Between the end of stdout and the news of the exit, either of which may come first. */
#define SETTLE (20 * USEC_PER_MSEC)
/* How long the last words on stderr are waited for once the process is gone. */
#define LAST_WORDS (200 * USEC_PER_MSEC)

struct stdio {
    struct transport base;
    struct loop *loop;
    const struct server_config *sc;
    const struct config *config;
    unsigned slot;
    const struct transport_events *ev;
    void *arg;

    struct child *child;
    struct stream *io;  /* reads the child's stdout, writes its stdin */
    struct stream *err; /* the child's stderr */
    struct line_reader lines, err_lines;
    size_t in_max, err_max; /* the longest line that is held as a whole */
    struct spool *spool;    /* a big line on its way */
    struct rpc_scan *scan;  /* of that line; NULL once it is lost, then big_fault says why */
    enum reason big_fault;
    struct rpc_id_hunt hunt; /* of that line, should it turn out too big */
    uint64_t big_bytes;      /* of that line so far */
    struct quota quota;      /* lines of output in the log */
    struct timer told;       /* of those that were left out */
    struct task begin, end;  /* open's outcome; the final on_closed */
    struct timer settle;
    int spawn_error;
    int exit_status;
    bool exited, eof, down, closing;
};

static struct stdio *stdio_of(const struct transport *t)
{
    return container_of((struct transport *)t, struct stdio, base);
}

#define CTX(t, ...) LOG_CTX(.server = (t)->sc->name, .slot = (int)(t)->slot, __VA_ARGS__)

/* ---- ends ---- */

static void go_down(struct stdio *t, enum reason why, bool fatal, const char *detail)
{
    if (t->down || t->closing)
        return;
    t->down = true;
    env_timer_clear(&t->loop->env, &t->settle);
    /* What the process has not read by now it never will: those requests certainly did not run. */
    if (t->child)
        child_kill(t->child);
    if (t->io)
        stream_take_back(t->io);
    t->ev->on_down(t->arg, why, fatal, detail);
}

/* That so many lines of output are not in the log. */
static void tell_dropped(const struct stdio *t, unsigned n)
{
    if (n)
        log_warning(CTX(t, .message_id = LOG_ID_OUTPUT_SUPPRESSED),
                    "%u lines of output were not logged (stderr_lines_per_second %u)", n,
                    t->sc->limits.stderr_lines_per_second);
}

static void drop_big_line(struct stdio *t)
{
    rpc_scan_free(t->scan);
    spool_free(t->spool);
    t->scan = NULL;
    t->spool = NULL;
}

static void finish(void *arg)
{
    struct stdio *t = arg;
    env_timer_clear(&t->loop->env, &t->settle);
    env_timer_clear(&t->loop->env, &t->told);
    env_task_clear(&t->loop->env, &t->begin);
    tell_dropped(t, t->quota.dropped);
    drop_big_line(t);
    stream_free(t->io);
    stream_free(t->err);
    child_free(t->child);
    t->ev->on_closed(t->arg);
    free(t);
}

/* Closed for good once the process is reaped; its last words on stderr get a moment. */
static void maybe_finish(struct stdio *t)
{
    if (!t->closing || (t->child && !t->exited))
        return;
    if (t->err && t->child)
        env_timer_set(&t->loop->env, &t->settle, t->loop->env.now + LAST_WORDS);
    else
        env_defer(&t->loop->env, &t->end);
}

static void report_end(struct stdio *t)
{
    char status[64] = "", detail[128];
    if (t->exited)
        child_describe_status(t->exit_status, status, sizeof(status));
    snprintf(detail, sizeof(detail), "the server process %s",
             t->exited ? status : "closed its standard output");
    go_down(t, REASON_UPSTREAM_LOST, false, detail);
}

static void on_settle(void *arg)
{
    struct stdio *t = arg;
    if (t->closing)
        env_defer(&t->loop->env, &t->end);
    else
        report_end(t);
}

static void on_exit_status(void *arg, int status)
{
    struct stdio *t = arg;
    char text[64];
    t->exited = true;
    t->exit_status = status;
    child_describe_status(status, text, sizeof(text));
    log_info(CTX(t, .message_id = LOG_ID_CHILD_EXIT), "process %d %s", (int)child_pid(t->child),
             text);
    if (t->closing) {
        maybe_finish(t);
    } else if (t->eof) {
        report_end(t);
    } else {
        /* The pipe may still hold an answer; on_eof follows unless a grandchild keeps it open. */
        env_timer_set(&t->loop->env, &t->settle, t->loop->env.now + LAST_WORDS);
    }
}

/* ---- log lines from the child ---- */

static void on_told(void *arg)
{
    struct stdio *t = arg;
    tell_dropped(t, quota_settle(&t->quota, t->loop->env.now));
}

/* A line that is no message. The operator can ask for the latest ones; the log gets them within
 * its limits, and those of stderr only if it is to have them. */
static void log_output(struct stdio *t, const char *what, struct slice line, bool wanted)
{
    size_t max = t->sc->limits.stderr_line_bytes, n = line.n < max ? line.n : max;
    pid_t pid = child_pid(t->child);
    t->ev->on_output(t->arg, pid, slice_of(line.p, n));
    if (!wanted)
        return;
    on_told(t);
    if (quota_take(&t->quota, t->sc->limits.stderr_lines_per_second, t->loop->env.now))
        log_info(CTX(t, .message_id = LOG_ID_CHILD_OUTPUT), "%s: %.*s", what, (int)n, line.p);
    else if (!timer_armed(&t->told))
        env_timer_set(&t->loop->env, &t->told, quota_due_at(&t->quota));
}

static void log_stderr(struct stdio *t, struct slice line)
{
    if (line.n)
        log_output(t, "stderr", line, t->sc->options.stderr_to == CONFIG_STDERR_LOG);
}

static void err_on_input(void *arg)
{
    struct stdio *t = arg;
    struct line_piece piece;
    size_t used;
    while (line_next(&t->err_lines, stream_input(t->err), &used, &piece)) {
        /* The first piece of an overlong line is what the limit lets through. */
        if (piece.first || (!piece.oversize && piece.last))
            log_stderr(t, piece.bytes);
        stream_consume(t->err, used);
    }
    stream_consume(t->err, used);
}

static void err_close(struct stdio *t)
{
    stream_free(t->err);
    t->err = NULL;
    if (t->closing && t->exited && timer_armed(&t->settle)) {
        env_timer_clear(&t->loop->env, &t->settle);
        maybe_finish(t);
    }
}

static void err_on_eof(void *arg)
{
    struct stdio *t = arg;
    log_stderr(t, stream_input(t->err));
    err_close(t);
}

static void err_on_error(void *arg, int err)
{
    (void)err;
    err_close(arg);
}

static const struct stream_ops err_ops = {
    .on_input = err_on_input, .on_eof = err_on_eof, .on_error = err_on_error};

/* ---- messages from the child ---- */

static void replace_newlines(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] == '\r' || p[i] == '\n')
            p[i] = ' ';
}

static void deliver(struct stdio *t, struct payload *text, const struct rpc_msg *m)
{
    if (!m->has_newline) {
        t->ev->on_message(t->arg, text, m);
        return;
    }
    /* Raw line ends outside strings are blanks to JSON but not to the framings that follow. */
    char *p;
    struct blob *b = blob_alloc(text->text.n, &p);
    memcpy(p, text->text.p, text->text.n);
    replace_newlines(p, text->text.n);
    struct payload clean = {.text = blob_slice(b), .owner = b};
    t->ev->on_message(t->arg, &clean, m);
    blob_unref(b);
}

/* A line that wants to be an answer and is none: the call that it names would wait for its whole
 * time in vain. Log lines and banners do not speak of jsonrpc; a request may bear any id. */
static void blame(struct stdio *t, struct slice line)
{
    struct rpc_id_hunt hunt;
    char id[256];
    if (!memmem(line.p, line.n, "\"jsonrpc\"", 9) || memmem(line.p, line.n, "\"method\"", 8))
        return;
    rpc_id_hunt_init(&hunt);
    rpc_id_hunt_feed(&hunt, line);
    size_t n = rpc_id_hunt_get(&hunt, id, sizeof(id));
    if (n)
        t->ev->on_discarded(t->arg, slice_of(id, n), REASON_UPSTREAM_PROTOCOL);
}

static void small_line(struct stdio *t, struct slice line)
{
    struct rpc_msg m;
    enum rpc_error e = rpc_parse(line, t->config->limits.json_depth, &m, NULL);
    if (e == RPC_OK && m.kind != RPC_INVALID) {
        struct payload text = {.text = line};
        deliver(t, &text, &m);
        return;
    }
    log_output(t, e == RPC_E_PARSE ? "stdout is not JSON" : "stdout is not JSON-RPC", line, true);
    blame(t, line);
}

static void big_line_begin(struct stdio *t)
{
    rpc_id_hunt_init(&t->hunt);
    t->big_bytes = 0;
    int e = spool_new(t->config->limits.spool_dir, &t->spool);
    if (e < 0) {
        log_error(CTX(t, .message_id = LOG_ID_BAD_MESSAGE),
                  "cannot spool a large message in %s: %s", t->config->limits.spool_dir,
                  strerror(-e));
        t->spool = NULL;
        t->big_fault = REASON_RESPONSE_TOO_LARGE;
        return;
    }
    t->scan = rpc_scan_new(t->config->limits.json_depth);
}

static void big_line_piece(struct stdio *t, struct slice bytes)
{
    t->big_bytes += bytes.n;
    rpc_id_hunt_feed(&t->hunt, bytes);
    if (!t->scan)
        return;
    if (rpc_scan_feed(t->scan, bytes) != RPC_OK) {
        t->big_fault = REASON_UPSTREAM_PROTOCOL;
        drop_big_line(t);
        return;
    }
    int e;
    if (memchr(bytes.p, '\r', bytes.n)) {
        char *copy = xmalloc(bytes.n);
        memcpy(copy, bytes.p, bytes.n);
        replace_newlines(copy, bytes.n);
        e = spool_append(t->spool, copy, bytes.n);
        free(copy);
    } else {
        e = spool_append(t->spool, bytes.p, bytes.n);
    }
    if (e < 0) {
        log_error(CTX(t, .message_id = LOG_ID_BAD_MESSAGE), "cannot spool a large message: %s",
                  strerror(-e));
        t->big_fault = REASON_RESPONSE_TOO_LARGE;
        drop_big_line(t);
    }
}

static void big_line_lost(struct stdio *t, enum reason reason, const char *why)
{
    char id[256];
    size_t n = rpc_id_hunt_get(&t->hunt, id, sizeof(id));
    log_warning(CTX(t, .reason = reason_name(reason), .message_id = LOG_ID_BAD_MESSAGE),
                "a message of %llu bytes was thrown away: %s", (unsigned long long)t->big_bytes,
                why);
    if (n)
        t->ev->on_discarded(t->arg, slice_of(id, n), reason);
}

static void big_line_end(struct stdio *t)
{
    if (!t->scan) {
        big_line_lost(t, t->big_fault,
                      t->big_fault == REASON_UPSTREAM_PROTOCOL ? "it is no valid JSON-RPC"
                                                               : "it could not be spooled");
        return;
    }
    struct rpc_msg m;
    struct blob *b;
    enum rpc_error e = rpc_scan_end(t->scan, &m, NULL);
    struct spool *spool = t->spool;
    t->spool = NULL;
    drop_big_line(t);
    if (e != RPC_OK) {
        spool_free(spool);
        big_line_lost(t, REASON_UPSTREAM_PROTOCOL, "it is no valid JSON-RPC");
    } else if (spool_finish(spool, &b) < 0) {
        big_line_lost(t, REASON_RESPONSE_TOO_LARGE, "its spool file could not be mapped");
    } else {
        struct payload text = {.text = blob_slice(b), .owner = b};
        t->ev->on_message(t->arg, &text, &m);
        blob_unref(b);
    }
}

static void on_piece(struct stdio *t, const struct line_piece *piece)
{
    if (piece->first && piece->last && !piece->oversize) {
        small_line(t, piece->bytes);
        return;
    }
    if (piece->first)
        big_line_begin(t);
    big_line_piece(t, piece->bytes);
    size_t max = t->sc->limits.max_response_bytes;
    if (piece->oversize) {
        drop_big_line(t);
        if (piece->last)
            big_line_lost(t, REASON_RESPONSE_TOO_LARGE, "it is larger than max_response_bytes");
        else if (t->big_bytes / OVERSIZE_DRAIN > max)
            go_down(t, REASON_UPSTREAM_PROTOCOL, false,
                    "the server sends a line without end, far over max_response_bytes");
    } else if (piece->last) {
        big_line_end(t);
    }
}

static void on_input(void *arg)
{
    struct stdio *t = arg;
    struct line_piece piece;
    size_t used;
    for (bool more = true; more;) {
        if (t->down || t->closing) {
            stream_consume(t->io, stream_input(t->io).n);
            return;
        }
        more = line_next(&t->lines, stream_input(t->io), &used, &piece);
        if (more)
            on_piece(t, &piece);
        if (!t->io)
            return; /* what the piece said was the end of this transport */
        stream_consume(t->io, used);
    }
}

static void on_eof(void *arg)
{
    struct stdio *t = arg;
    t->eof = true;
    if (t->exited)
        report_end(t);
    else
        env_timer_set(&t->loop->env, &t->settle, t->loop->env.now + SETTLE);
}

/* EPIPE: the child closed its stdin; what it still has to say comes before the end is reported. */
static void on_error(void *arg, int err)
{
    struct stdio *t = arg;
    (void)err;
    t->eof = true;
    if (t->exited)
        report_end(t);
    else if (!timer_armed(&t->settle))
        env_timer_set(&t->loop->env, &t->settle, t->loop->env.now + SETTLE);
}

static void on_drain(void *arg)
{
    struct stdio *t = arg;
    if (!t->down && !t->closing)
        t->ev->on_drain(t->arg);
}

static const struct stream_ops io_ops = {
    .on_input = on_input, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};

/* ---- start ---- */

/* What a child may see of the daemon's own environment; everything else must be configured (S13).
 */
static const char *const inherited[] = {"PATH", "HOME",    "LANG",  "LC_ALL", "LC_CTYPE", "TERM",
                                        "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ"};

static bool configured(const struct config_strings *env, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < env->n; i++)
        if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
            return true;
    return false;
}

/* NULL-terminated "K=V"; owned by the caller, strings included. */
static char **child_env(const struct server_config *sc)
{
    char **envp = xcalloc(ARRAY_LEN(inherited) + sc->env.n + 1, sizeof(*envp));
    size_t k = 0;
    for (size_t i = 0; i < ARRAY_LEN(inherited); i++) {
        const char *v = getenv(inherited[i]);
        if (!v || configured(&sc->env, inherited[i]))
            continue;
        struct buf b = BUF_INIT;
        buf_appendf(&b, "%s=%s", inherited[i], v);
        buf_append(&b, "", 1);
        envp[k++] = buf_take(&b, &(size_t){0});
    }
    for (size_t i = 0; i < sc->env.n; i++)
        envp[k++] = xstrdup(sc->env.v[i]);
    return envp;
}

static const struct child_ops child_ops = {.on_exit = on_exit_status};

static int spawn(struct stdio *t)
{
    char **envp = child_env(t->sc);
    struct child_spec spec = {
        .argv = t->sc->argv, .envp = (const char *const *)envp, .cwd = t->sc->cwd};
    int in, out, err;
    int r = child_spawn(t->loop, &spec, &child_ops, t, &t->child, &in, &out, &err);
    for (char **e = envp; *e; e++)
        free(*e);
    free(envp);
    if (r < 0)
        return r;
    t->in_max = t->sc->limits.stream_above;
    t->err_max = t->sc->limits.stderr_line_bytes;
    struct stream_options io_opt = {.in_max = t->in_max + IN_SLACK};
    t->io = stream_new(t->loop, out, in, &io_opt, &io_ops, t);
    struct stream_options err_opt = {.in_max = t->err_max + IN_SLACK};
    t->err = stream_new(t->loop, err, -1, &err_opt, &err_ops, t);
    log_info(CTX(t, .message_id = LOG_ID_CHILD_STARTED), "started %s, pid %d", t->sc->command,
             (int)child_pid(t->child));
    return 0;
}

static void begin(void *arg)
{
    struct stdio *t = arg;
    if (t->closing)
        return;
    if (t->spawn_error == 0) {
        t->ev->on_open(t->arg);
        return;
    }
    char detail[160];
    snprintf(detail, sizeof(detail), "cannot start %s: %s", t->sc->command,
             strerror(-t->spawn_error));
    /* A full process table passes; a missing or unusable command needs somebody to act. */
    bool fatal = t->spawn_error != -EAGAIN && t->spawn_error != -ENOMEM &&
                 t->spawn_error != -EMFILE && t->spawn_error != -ENFILE;
    go_down(t, REASON_UPSTREAM_UNAVAILABLE, fatal, detail);
}

static struct transport *stdio_open(void *tr_arg, const struct server_config *sc,
                                    const struct config *config, unsigned slot,
                                    const struct transport_events *ev, void *ev_arg)
{
    struct stdio *t = xcalloc(1, sizeof(*t));
    t->base.ops = &stdio_transport;
    t->loop = tr_arg;
    t->sc = sc;
    t->config = config;
    t->slot = slot;
    t->ev = ev;
    t->arg = ev_arg;
    line_reader_init(&t->lines, sc->limits.stream_above, sc->limits.max_response_bytes);
    line_reader_init(&t->err_lines, sc->limits.stderr_line_bytes, sc->limits.stderr_line_bytes);
    timer_init(&t->settle, on_settle, t);
    timer_init(&t->told, on_told, t);
    task_init(&t->begin, begin, t);
    task_init(&t->end, finish, t);
    t->spawn_error = spawn(t);
    env_defer(&t->loop->env, &t->begin);
    return &t->base;
}

/* ---- the rest of the table ---- */

/* Input buffers only grow: a line that a smaller one could not hold may be in them already. */
static void stdio_follow(struct transport *tr, const struct server_config *sc,
                         const struct config *config)
{
    struct stdio *t = stdio_of(tr);
    const struct config_limits *l = &sc->limits;
    t->sc = sc;
    t->config = config;
    line_reader_limit(&t->lines, l->stream_above, l->max_response_bytes);
    line_reader_limit(&t->err_lines, l->stderr_line_bytes, l->stderr_line_bytes);
    t->in_max = l->stream_above > t->in_max ? l->stream_above : t->in_max;
    t->err_max = l->stderr_line_bytes > t->err_max ? l->stderr_line_bytes : t->err_max;
    if (t->io)
        stream_set_in_max(t->io, t->in_max + IN_SLACK);
    if (t->err)
        stream_set_in_max(t->err, t->err_max + IN_SLACK);
}

static uint64_t stdio_send(struct transport *tr, const struct payload *text,
                           const struct rpc_edits *edits)
{
    struct stdio *t = stdio_of(tr);
    if (!t->io || t->closing)
        return UINT64_MAX;
    splice_write_line(t->io, text, edits);
    return stream_queued_total(t->io);
}

static bool stdio_handed_over(const struct transport *tr, uint64_t mark)
{
    struct stdio *t = stdio_of(tr);
    return t->io && stream_sent_total(t->io) >= mark;
}

static uint64_t stdio_received(const struct transport *tr)
{
    const struct stdio *t = stdio_of(tr);
    return t->io ? stream_received_total(t->io) : 0;
}

static size_t stdio_pending(const struct transport *tr)
{
    struct stdio *t = stdio_of(tr);
    return t->io ? stream_pending(t->io) : 0;
}

static void stdio_close(struct transport *tr, bool now)
{
    struct stdio *t = stdio_of(tr);
    bool first = !t->closing;
    t->closing = true;
    if (first) {
        env_timer_clear(&t->loop->env, &t->settle);
        drop_big_line(t);
        if (t->io && !now)
            stream_end_output(t->io);
    }
    if (now) {
        stream_free(t->io);
        t->io = NULL;
    }
    if (t->child && !t->exited) {
        if (now)
            child_kill(t->child);
        else if (first)
            child_stop(t->child, t->sc->limits.shutdown_grace);
    } else if (first) {
        maybe_finish(t);
    }
}

const struct transport_ops stdio_transport = {
    .name = "stdio",
    .open = stdio_open,
    .follow = stdio_follow,
    .send = stdio_send,
    .handed_over = stdio_handed_over,
    .pending = stdio_pending,
    .received = stdio_received,
    .close = stdio_close,
};
