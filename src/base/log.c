/* Events to lines. A line is built in one stack buffer: what begins it, the fields of log_ctx, the
 * message; everything but our own punctuation passes put_escaped, so that nothing from outside can
 * start a new line, move a terminal's cursor or make text run backwards. Logging never allocates,
 * never waits and never fails: a line that is not taken at once is lost, counted, and told of when
 * lines go through again.
 *
 * To the journal go the same line without timestamp and level as MESSAGE, and the fields once more
 * as SERVER=, SESSION= and so on. When journald's socket takes nothing, the line goes to stderr
 * instead, which is a stream to the same journald and has a buffer of its own. */
#include "base/log.h"

#include "base/journald.h"
#include "base/time.h"
#include "base/utf8.h"
#include "base/util.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line must be atomic on a pipe");

#define LOG_ID_DEFINE(name, id, subject) const char LOG_ID_##name[] = id;
LOG_IDS(LOG_ID_DEFINE)

/* Marks a line that was cut. */
static const char cut_mark[] = "…";

static const struct {
    const char *name;
    const char *priority; /* the journal's field, syslog's numbers */
    const char *colour;
} levels[] = {
    [LOG_LEVEL_DEBUG] = {"debug", "PRIORITY=7", "\x1b[2m"},
    [LOG_LEVEL_INFO] = {"info", "PRIORITY=6", ""},
    [LOG_LEVEL_NOTICE] = {"notice", "PRIORITY=5", "\x1b[1m"},
    [LOG_LEVEL_WARNING] = {"warning", "PRIORITY=4", "\x1b[33m"},
    [LOG_LEVEL_ERROR] = {"error", "PRIORITY=3", "\x1b[31m"},
    [LOG_LEVEL_CRITICAL] = {"critical", "PRIORITY=2", "\x1b[1;31m"},
};

static enum {
    SINK_STDERR,
    SINK_TERMINAL, /* stderr with colours */
    SINK_JOURNAL,
} sink;

static enum log_level threshold = LOG_LEVEL_INFO;

static void (*listener)(void *arg, const struct log_record *r);
static void *listener_arg;

static uint64_t lost;        /* since the start */
static uint64_t lost_untold; /* of these, not told of yet */

/* A text under construction. `limit` leaves room for what always has to follow. */
struct line {
    char *text;
    size_t n;
    size_t limit;
    bool cut;
};

/* Appends n bytes that belong together, or nothing more from here on. */
static void put(struct line *l, const char *p, size_t n)
{
    if (l->cut)
        return;
    if (n > l->limit - l->n) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->n, p, n);
    l->n += n;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* Characters that a terminal or a viewer acts on instead of showing: C0, DEL, C1, line and
 * paragraph separators and the bidirectional controls. */
static bool acts_on_display(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x200e || cp == 0x200f ||
           (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

static void put_hex(struct line *l, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char esc[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

    put(l, esc, sizeof(esc));
}

static void put_escaped(struct line *l, const char *p, size_t n)
{
    uint32_t cp;

    for (size_t i = 0; i < n && !l->cut;) {
        size_t len = utf8_sequence(p + i, n - i, &cp);

        if (len > 0 && !acts_on_display(cp)) {
            put(l, p + i, len);
            i += len;
        } else if (p[i] == '\n') {
            put(l, "\\n", 2);
            i++;
        } else {
            for (size_t end = i + (len ? len : 1); i < end; i++)
                put_hex(l, (unsigned char)p[i]);
        }
    }
}

static void put_field(struct line *l, const char *name, const char *value)
{
    if (!value)
        return;
    put_str(l, name);
    put_escaped(l, value, strlen(value));
    put_str(l, " ");
}

static void put_ctx(struct line *l, const struct log_ctx *ctx)
{
    char number[64];

    if (!ctx)
        return;
    put_field(l, "server=", ctx->server);
    if (ctx->slot >= 0) {
        snprintf(number, sizeof(number), "slot=%d ", ctx->slot);
        put_str(l, number);
    }
    if (ctx->epoch) {
        snprintf(number, sizeof(number), "epoch=%llu ", (unsigned long long)ctx->epoch);
        put_str(l, number);
    }
    put_field(l, "session=", ctx->session);
    put_field(l, "principal=", ctx->principal);
    put_field(l, "method=", ctx->method);
    if (ctx->duration) {
        snprintf(number, sizeof(number), "duration=%.3fs ", (double)ctx->duration / USEC_PER_SEC);
        put_str(l, number);
    }
    put_field(l, "delivered=", ctx->error_class);
    put_field(l, "reason=", ctx->reason);
}

__attribute__((format(printf, 2, 0))) static void put_message(struct line *l, const char *fmt,
                                                              va_list ap)
{
    char raw[LOG_LINE_MAX];
    int n = vsnprintf(raw, sizeof(raw), fmt, ap);

    if (n < 0) {
        put_escaped(l, fmt, strlen(fmt));
    } else if ((size_t)n < sizeof(raw)) {
        put_escaped(l, raw, (size_t)n);
    } else {
        put_escaped(l, raw, utf8_cut(raw, sizeof(raw) - 1));
        l->cut = true;
    }
}

/* The line has room for the mark: every limit is set that far below the buffer's end. */
static void put_cut_mark(struct line *l)
{
    if (!l->cut)
        return;
    memcpy(l->text + l->n, cut_mark, sizeof(cut_mark) - 1);
    l->n += sizeof(cut_mark) - 1;
}

static void put_timestamp(struct line *l, usec_t now)
{
    time_t sec = (time_t)(now / USEC_PER_SEC);
    struct tm tm;
    char text[80];

    gmtime_r(&sec, &tm);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)(now % USEC_PER_SEC / USEC_PER_MSEC));
    put_str(l, text);
}

size_t log_escape(char *out, size_t max, struct slice text)
{
    size_t mark = sizeof(cut_mark) - 1;
    struct line l = {.text = out, .limit = max > mark ? max - mark : 0};

    put_escaped(&l, text.p, text.n);
    if (max >= mark)
        put_cut_mark(&l);
    return l.n;
}

/* ---- stderr ---- */

/* A line to stderr if that takes all of it now: poll(2) calls a pipe, a terminal or a stream
 * writable only while it has room for more than a line. */
static bool write_now(const char *p, size_t n)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t written;

    if (poll(&fd, 1, 0) != 1 || !(fd.revents & POLLOUT))
        return false;
    do {
        written = write(STDERR_FILENO, p, n);
    } while (written < 0 && errno == EINTR);
    return written == (ssize_t)n;
}

static bool is_coloured(enum log_level level)
{
    return sink == SINK_TERMINAL && levels[level].colour[0];
}

static void begin_stderr(struct line *l, enum log_level level, usec_t now)
{
    put_timestamp(l, now);
    if (is_coloured(level))
        put_str(l, levels[level].colour);
    put_str(l, levels[level].name);
    put_str(l, " ");
}

static const char colour_end[] = "\x1b[0m";

static bool to_stderr(struct line *l, enum log_level level)
{
    if (is_coloured(level)) {
        memcpy(l->text + l->n, colour_end, sizeof(colour_end) - 1);
        l->n += sizeof(colour_end) - 1;
    }
    l->text[l->n++] = '\n';
    return write_now(l->text, l->n);
}

/* ---- the journal ---- */

/* The fields of one event. Their text lives in `room`. */
struct fields {
    struct iovec iov[13];
    size_t n;
    char room[4096];
    size_t used;
};

/* Adds "NAME=value". One that has no room is cut; one without a value is left out. */
static void add_field(struct fields *f, const char *name, const char *value)
{
    struct line l = {.text = f->room + f->used};

    if (!value || sizeof(f->room) - f->used < 128)
        return;
    l.limit = sizeof(f->room) - f->used - sizeof(cut_mark);
    if (l.limit > 512)
        l.limit = 512;
    put_str(&l, name);
    put_escaped(&l, value, strlen(value));
    put_cut_mark(&l);
    f->iov[f->n++] = (struct iovec){l.text, l.n};
    f->used += l.n;
}

static void add_number(struct fields *f, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    add_field(f, name, text);
}

static void add_ctx(struct fields *f, const struct log_ctx *ctx)
{
    add_field(f, "MESSAGE_ID=", ctx->message_id);
    add_field(f, "SERVER=", ctx->server);
    if (ctx->slot >= 0)
        add_number(f, "SLOT=", (uint64_t)ctx->slot);
    if (ctx->epoch)
        add_number(f, "EPOCH=", ctx->epoch);
    add_field(f, "SESSION=", ctx->session);
    add_field(f, "PRINCIPAL=", ctx->principal);
    add_field(f, "METHOD=", ctx->method);
    if (ctx->duration)
        add_number(f, "DURATION_USEC=", ctx->duration);
    add_field(f, "DELIVERED=", ctx->error_class);
    add_field(f, "REASON=", ctx->reason);
}

/* sd-daemon(3): a line of the stream begins with its priority. */
static bool to_stream(const struct line *l, enum log_level level)
{
    char text[LOG_LINE_MAX + 8];
    const char *message = l->text + strlen("MESSAGE=");
    int n = snprintf(text, sizeof(text), "<%s>%.*s\n", levels[level].priority + strlen("PRIORITY="),
                     (int)(l->n - strlen("MESSAGE=")), message);

    return write_now(text, (size_t)n);
}

static bool to_journal(const struct line *l, enum log_level level, const struct log_ctx *ctx)
{
    struct fields f = {.n = 0};

    f.iov[f.n++] = (struct iovec){l->text, l->n};
    f.iov[f.n++] = (struct iovec){(void *)levels[level].priority, strlen(levels[level].priority)};
    f.iov[f.n++] = (struct iovec){"SYSLOG_IDENTIFIER=mcpoold", strlen("SYSLOG_IDENTIFIER=mcpoold")};
    if (ctx)
        add_ctx(&f, ctx);
    return journald_send(f.iov, f.n) || to_stream(l, level);
}

/* ---- setting it up ---- */

/* systemd.exec(5): JOURNAL_STREAM is "device:inode" of the stream that was connected to the
 * journal; it may be inherited by a process whose stderr went elsewhere since. */
static bool stderr_is_journal(const struct stat *st)
{
    const char *text = getenv("JOURNAL_STREAM");
    char here[64];

    if (!text)
        return false;
    snprintf(here, sizeof(here), "%ju:%ju", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
    return strcmp(here, text) == 0;
}

static bool terminal_has_colour(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDERR_FILENO) && !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0;
}

void log_open(void)
{
    struct stat st;

    sink = SINK_STDERR;
    if (fstat(STDERR_FILENO, &st) < 0)
        return;
    journald_open(NULL);
    if (stderr_is_journal(&st))
        sink = SINK_JOURNAL;
    else if (terminal_has_colour())
        sink = SINK_TERMINAL;
}

bool log_is_journal(void)
{
    return sink == SINK_JOURNAL;
}

void log_settle(void)
{
    if (sink == SINK_JOURNAL)
        journald_settle();
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

bool log_enabled(enum log_level level)
{
    return level >= threshold;
}

enum log_level log_get_level(void)
{
    return threshold;
}

uint64_t log_lost(void)
{
    return lost;
}

void log_set_listener(void (*fn)(void *arg, const struct log_record *r), void *arg)
{
    listener = fn;
    listener_arg = arg;
}

int log_level_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (strcmp(levels[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *log_level_name(enum log_level level)
{
    return levels[level].name;
}

/* ---- events ---- */

static void tell_listener(enum log_level level, const struct log_ctx *ctx, struct slice text,
                          usec_t now)
{
    struct log_record r = {.level = level, .ctx = ctx, .text = text, .realtime = now};

    if (listener && level >= LOG_LEVEL_INFO)
        listener(listener_arg, &r);
}

/* false: it was to be logged, and nobody took it. */
__attribute__((format(printf, 3, 0))) static bool
log_one(enum log_level level, const struct log_ctx *ctx, const char *fmt, va_list ap)
{
    char text[LOG_LINE_MAX];
    struct line l = {.text = text,
                     .limit = sizeof(text) - sizeof(cut_mark) - sizeof(colour_end) - 1};
    usec_t now = clock_realtime();
    size_t message_at;

    if (sink == SINK_JOURNAL)
        put_str(&l, "MESSAGE=");
    else
        begin_stderr(&l, level, now);
    put_ctx(&l, ctx);
    message_at = l.n;
    put_message(&l, fmt, ap);
    put_cut_mark(&l);
    tell_listener(level, ctx, slice_of(text + message_at, l.n - message_at), now);
    if (!log_enabled(level))
        return true;
    return sink == SINK_JOURNAL ? to_journal(&l, level, ctx) : to_stderr(&l, level);
}

static void tell_lost(void)
{
    unsigned long long n = lost_untold;

    lost_untold = 0;
    log_warning(LOG_CTX(.message_id = LOG_ID_LOG_LOST),
                "%llu earlier lines of the log were lost: they were not read fast enough", n);
    if (lost_untold)
        lost_untold = n; /* this one was lost as well */
}

void log_event(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...)
{
    int saved_errno = errno;
    bool taken;
    va_list ap;

    if (!log_enabled(level) && !(listener && level >= LOG_LEVEL_INFO))
        return;
    va_start(ap, fmt);
    taken = log_one(level, ctx, fmt, ap);
    va_end(ap);
    if (!taken) {
        lost++;
        lost_untold++;
    } else if (lost_untold && log_enabled(level)) {
        tell_lost();
    }
    errno = saved_errno;
}
