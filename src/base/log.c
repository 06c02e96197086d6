/* Events to lines. A line is built in one stack buffer: timestamp and level (stderr only), the
 * fields of log_ctx, the message; everything but our own punctuation passes put_escaped, so that
 * nothing from outside can start a new line, move a terminal's cursor or make text run backwards.
 * Logging never allocates and never fails: a line that stderr does not take at once is lost.
 *
 * To the journal go the same line without timestamp and level as MESSAGE, and the fields once more
 * as SERVER=, SESSION=, SLOT=, REASON=. */
#include "base/log.h"

#include "base/time.h"
#include "base/utf8.h"
#include "base/util.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line must be atomic on a pipe");

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

/* A line under construction. `limit` leaves room for what always has to follow. */
struct line {
    char text[LOG_LINE_MAX];
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
    char slot[sizeof("slot= ") + 3 * sizeof(int)];

    if (!ctx)
        return;
    put_field(l, "server=", ctx->server);
    if (ctx->slot >= 0) {
        snprintf(slot, sizeof(slot), "slot=%d ", ctx->slot);
        put_str(l, slot);
    }
    put_field(l, "session=", ctx->session);
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

static void put_timestamp(struct line *l)
{
    usec_t now = clock_realtime();
    time_t sec = (time_t)(now / USEC_PER_SEC);
    struct tm tm;
    char text[80];

    gmtime_r(&sec, &tm);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)(now % USEC_PER_SEC / USEC_PER_MSEC));
    put_str(l, text);
}

__attribute__((format(printf, 3, 0))) static void
to_stderr(enum log_level level, const struct log_ctx *ctx, const char *fmt, va_list ap)
{
    static const char colour_end[] = "\x1b[0m";
    bool colour = sink == SINK_TERMINAL && levels[level].colour[0];
    struct line l = {.n = 0};
    ssize_t written;

    l.limit = sizeof(l.text) - sizeof(cut_mark) - sizeof(colour_end) - 1;
    put_timestamp(&l);
    if (colour)
        put_str(&l, levels[level].colour);
    put_str(&l, levels[level].name);
    put_str(&l, " ");
    put_ctx(&l, ctx);
    put_message(&l, fmt, ap);
    put_cut_mark(&l);
    if (colour) {
        memcpy(l.text + l.n, colour_end, sizeof(colour_end) - 1);
        l.n += sizeof(colour_end) - 1;
    }
    l.text[l.n++] = '\n';
    do {
        written = write(STDERR_FILENO, l.text, l.n);
    } while (written < 0 && errno == EINTR);
}

#define JOURNAL_FIELDS 7

/* Adds "NAME=value" to the fields, built in *l. */
static void add_field(struct iovec *iov, int *n, struct line *l, const char *name,
                      const char *value)
{
    if (!value)
        return;
    l->limit = sizeof(l->text) - sizeof(cut_mark);
    put_str(l, name);
    put_escaped(l, value, strlen(value));
    put_cut_mark(l);
    iov[(*n)++] = (struct iovec){l->text, l->n};
}

__attribute__((format(printf, 3, 0))) static void
to_journal(enum log_level level, const struct log_ctx *ctx, const char *fmt, va_list ap)
{
    struct line message = {.limit = sizeof(message.text) - sizeof(cut_mark)};
    struct line server = {.n = 0}, session = {.n = 0}, reason = {.n = 0}, id = {.n = 0};
    char slot[sizeof("SLOT=") + 3 * sizeof(int)];
    struct iovec iov[JOURNAL_FIELDS];
    int n = 0;

    put_str(&message, "MESSAGE=");
    put_ctx(&message, ctx);
    put_message(&message, fmt, ap);
    put_cut_mark(&message);
    iov[n++] = (struct iovec){message.text, message.n};
    iov[n++] = (struct iovec){(void *)levels[level].priority, strlen(levels[level].priority)};
    if (ctx) {
        add_field(iov, &n, &server, "SERVER=", ctx->server);
        add_field(iov, &n, &session, "SESSION=", ctx->session);
        add_field(iov, &n, &reason, "REASON=", ctx->reason);
        add_field(iov, &n, &id, "MESSAGE_ID=", ctx->message_id);
        if (ctx->slot >= 0) {
            int len = snprintf(slot, sizeof(slot), "SLOT=%d", ctx->slot);

            iov[n++] = (struct iovec){slot, (size_t)len};
        }
    }
    sd_journal_sendv(iov, n);
}

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
    if (stderr_is_journal(&st))
        sink = SINK_JOURNAL;
    else if (terminal_has_colour())
        sink = SINK_TERMINAL;
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

bool log_enabled(enum log_level level)
{
    return level >= threshold;
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

void log_event(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...)
{
    int saved_errno = errno;
    va_list ap;

    if (!log_enabled(level))
        return;
    va_start(ap, fmt);
    if (sink == SINK_JOURNAL)
        to_journal(level, ctx, fmt, ap);
    else
        to_stderr(level, ctx, fmt, ap);
    va_end(ap);
    errno = saved_errno;
}
