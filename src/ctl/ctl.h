/* mcpoolctl: what its commands share. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "base/buf.h"
#include "base/time.h"
#include "ctl/table.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_UNWELL = 3, /* status: a server is not as it should be */
};

struct ctl_options {
    const char *socket, *config; /* NULL: not given */
    bool json, watch, names, all, follow, dry_run;
    usec_t interval;  /* of watch and top */
    usec_t wait;      /* of connect */
    unsigned count;   /* of screens of top; 0 = until interrupted */
    const char *sort; /* of top; NULL: not given */
    const char *name; /* the operand: of a server, a file, a level; NULL: not given */
};

/* ---- commands ---- */

enum ctl_exit ctl_status(const struct ctl_options *o);
enum ctl_exit ctl_recover(const struct ctl_options *o);
enum ctl_exit ctl_metrics(const struct ctl_options *o);
enum ctl_exit ctl_connect(const struct ctl_options *o);
enum ctl_exit ctl_drain(const struct ctl_options *o);
enum ctl_exit ctl_resume(const struct ctl_options *o);
enum ctl_exit ctl_maint(const struct ctl_options *o);
enum ctl_exit ctl_restart(const struct ctl_options *o);
enum ctl_exit ctl_explain(const struct ctl_options *o);
enum ctl_exit ctl_logs(const struct ctl_options *o);
enum ctl_exit ctl_reload(const struct ctl_options *o);
enum ctl_exit ctl_check(const struct ctl_options *o);
enum ctl_exit ctl_log_level(const struct ctl_options *o);
enum ctl_exit ctl_top(const struct ctl_options *o);

/* ---- what they do it with (ask.c) ---- */

/* An answer with a status that was asked for. */
struct ctl_answer {
    unsigned status;
    struct buf body;
    cJSON *doc; /* NULL when none was wanted */
};
void ctl_answer_done(struct ctl_answer *a);

/* A request of a command. */
struct ctl_request {
    const char *method, *path;
    const char *server; /* the parameter of that name; NULL: about all, or about none */
    const char *query;  /* another parameter, as it stands in the target; NULL */
    const char *member; /* a document with this member is expected; NULL: text */
    usec_t timeout;     /* 0 = CLIENT_TIMEOUT */
    unsigned also;      /* a status that is an answer, too, besides 200; 0 = none */
};

/* One request. false: *why holds a sentence for the operator (not escaped), and *ret is empty. */
bool ctl_ask(const struct ctl_options *o, const struct ctl_request *r, struct ctl_answer *ret,
             struct buf *why);

/* The names and healths of the servers, which is little even where the status is long. */
bool ctl_ask_names(const struct ctl_options *o, struct ctl_answer *ret, struct buf *why);

/* Whether a server can be called so; such a name can stand in a query as it is. */
bool ctl_is_name(const char *name);

/* "mcpoolctl: ", the text with control bytes escaped, and a line end, to stderr. */
void ctl_complain(struct slice text);

/* Writes all of it to stdout. false: that failed, and it was said. */
bool ctl_print(struct slice text);

#endif
