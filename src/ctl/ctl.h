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
    bool json, watch, names, all;
    bool follow, dry_run, once;
    usec_t interval;  /* of watch and top */
    usec_t wait;      /* of connect */
    unsigned count;   /* of top; 0 = until interrupted */
    const char *sort; /* of top; NULL: not given */
    const char *name; /* the operand: of a server, a file, a level; NULL: not given */
};

/* ---- commands ---- */

enum ctl_exit ctl_status(const struct ctl_options *o);
enum ctl_exit ctl_recover(const struct ctl_options *o);
enum ctl_exit ctl_metrics(const struct ctl_options *o);
enum ctl_exit ctl_connect(const struct ctl_options *o);

/* ---- what they do it with (ask.c) ---- */

/* An answer with the status that was asked for. */
struct ctl_answer {
    struct buf body;
    cJSON *doc; /* NULL when none was wanted */
};
void ctl_answer_done(struct ctl_answer *a);

enum ctl_wants { CTL_WANTS_TEXT, CTL_WANTS_DOC };

/* One request about the server o->name or, without a name, about all. false: *why holds a sentence
 * for the operator (not escaped), and *ret is empty. */
bool ctl_ask(const struct ctl_options *o, const char *method, const char *path,
             enum ctl_wants wants, struct ctl_answer *ret, struct buf *why);

/* The names and healths of the servers, which is little even where the status is long. */
bool ctl_ask_names(const struct ctl_options *o, struct ctl_answer *ret, struct buf *why);

/* Whether a server can be called so; such a name can stand in a query as it is. */
bool ctl_is_name(const char *name);

/* "mcpoolctl: ", the text with control bytes escaped, and a line end, to stderr. */
void ctl_complain(struct slice text);

/* Writes all of it to stdout. false: that failed, and it was said. */
bool ctl_print(struct slice text);

#endif
