/* More answers of the daemon as text for people, of what happened and what was done. Pure, and
 * harmless to the terminal like view.h. */
#ifndef CTL_REPORT_H
#define CTL_REPORT_H

#include "base/buf.h"
#include "ctl/table.h"

#include <cjson/cJSON.h>

/* /drain, /resume, /maint: what the server does now; /restart: what becomes of its connections. */
void report_mode(const cJSON *doc, const struct style *style, struct buf *out);
void report_restart(const cJSON *doc, const struct style *style, struct buf *out);

/* /explain: how it is, what comes next, what happened. */
void report_explain(const cJSON *doc, const struct style *style, struct buf *out);

/* /logs: all lines, after a word on those that are gone; or, one a line, those from the index on,
 * with `json` each as its object. */
void report_log(const cJSON *doc, const struct style *style, struct buf *out);
void report_lines(const cJSON *doc, uint64_t from, bool json, const struct style *style,
                  struct buf *out);

/* /reload: the plan; or the errors of a file that was refused, for stderr. */
void report_reload(const cJSON *doc, const struct style *style, struct buf *out);
void report_errors(const cJSON *doc, struct buf *out);

/* /log-level */
void report_log_level(const cJSON *doc, const struct style *style, struct buf *out);

#endif
