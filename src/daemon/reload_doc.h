/* What is answered to a reload, as JSON. */
#ifndef DAEMON_RELOAD_DOC_H
#define DAEMON_RELOAD_DOC_H

#include "base/buf.h"
#include "config/config.h"
#include "config/diff.h"

/* The lines of config_errors_write, one by one. */
struct reload_lines {
    size_t n;
    char **v;
    size_t errors; /* of v; the others are warnings */
    bool *is_error;
};
void reload_lines_init(struct reload_lines *l, const struct config_errors *errs);
/* Another error that comes from elsewhere than the file. */
void reload_lines_add_error(struct reload_lines *l, const char *text);
void reload_lines_done(struct reload_lines *l);

/* The plan, which was acted on or, in a dry run, was not. */
void reload_doc_plan(struct buf *out, const struct config_plan *p, const struct reload_lines *l,
                     bool dry_run);

/* Nothing was done. why: a sentence without a full stop. */
void reload_doc_refusal(struct buf *out, const char *why, const struct reload_lines *l);

#endif
