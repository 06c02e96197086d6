/* The log: one line per event with level and fields. On a terminal or a file: readable lines on
 * stderr; under the service manager: native journal fields. Text that came from outside is escaped:
 * control bytes, DEL and invalid UTF-8 become \xNN, a newline \n, and what would make a line longer
 * than LOG_LINE_MAX is cut. Rooms `wire` and `policy` do not log at all; other library rooms only
 * through the fields below.
 *
 * Logging never waits for who reads it: a line that is not taken at once is lost, and the next one
 * that goes through is followed by the number of those that did not. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/log_ids.h"
#include "base/slice.h"
#include "base/time.h"

#include <stdbool.h>

/* The longest line in bytes, its newline included. Below PIPE_BUF: a line is one write(2) and never
 * mixed with another process's. */
#define LOG_LINE_MAX 2048

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_CRITICAL,
};

/* What an event is about. Any member may be NULL (absent); negative slot = absent. Strings are
 * borrowed for the call. */
struct log_ctx {
    const char *server;
    const char *session;     /* a short, non-secret handle, never the session id itself */
    const char *reason;      /* reason code of upstream/proxy, see wire/mcp.h */
    const char *method;      /* of the request that it is about */
    const char *error_class; /* of a failed call: "no", "maybe" or "yes", its `delivered` */
    const char *principal;
    int slot;
    uint64_t epoch;         /* of the slot's connection; 0 = absent */
    usec_t duration;        /* how long it took; 0 = absent */
    const char *message_id; /* one of LOG_ID_*, see log_ids.h */
};

/* A finished event, as it is handed to whoever listens. Borrowed for the call. */
struct log_record {
    enum log_level level;
    const struct log_ctx *ctx; /* NULL = none */
    struct slice text;         /* escaped; without level and fields */
    usec_t realtime;           /* microseconds since 1970 */
};

/* Has fn called with every event of LOG_LEVEL_INFO and above, whatever the level that is logged.
 * One listener; NULL ends it. fn must not log. */
void log_set_listener(void (*fn)(void *arg, const struct log_record *r), void *arg);

#define LOG_CTX(...) (&(const struct log_ctx){.slot = -1, __VA_ARGS__})

/* Where lines go: chooses journal or stderr by looking at stderr (JOURNAL_STREAM), and colour when
 * stderr is a terminal (not with NO_COLOR or TERM=dumb). Call at start; without it lines go to
 * stderr plainly. */
void log_open(void);

/* Whether lines go to the journal. */
bool log_is_journal(void);

/* Call before the process ends: waits for a moment until the journal has what was logged, because
 * of a process that is no more it cannot tell the unit. */
void log_settle(void);

/* Events below this level are dropped. Default LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

enum log_level log_get_level(void);

/* "debug" … "critical" to the level; -1 when unknown. */
int log_level_from_name(const char *name);
const char *log_level_name(enum log_level level);

/* Lines that were lost since the start because nobody took them. */
uint64_t log_lost(void);

/* Writes text as it would stand in a line, cut to max bytes, never amid a character or an escape,
 * and then with the mark of a cut, for which room is always kept; returns how many bytes. For what
 * is shown to people by other ways than the log. */
size_t log_escape(char *out, size_t max, struct slice text);

/* One event. ctx may be NULL. fmt must be a literal; %s arguments may hold anything, the finished
 * line is escaped as a whole. */
void log_event(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(ctx, ...)    log_event(LOG_LEVEL_DEBUG, ctx, __VA_ARGS__)
#define log_info(ctx, ...)     log_event(LOG_LEVEL_INFO, ctx, __VA_ARGS__)
#define log_notice(ctx, ...)   log_event(LOG_LEVEL_NOTICE, ctx, __VA_ARGS__)
#define log_warning(ctx, ...)  log_event(LOG_LEVEL_WARNING, ctx, __VA_ARGS__)
#define log_error(ctx, ...)    log_event(LOG_LEVEL_ERROR, ctx, __VA_ARGS__)
#define log_critical(ctx, ...) log_event(LOG_LEVEL_CRITICAL, ctx, __VA_ARGS__)

#endif
