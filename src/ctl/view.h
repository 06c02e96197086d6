/* The daemon's answers as text for people. Pure: a document and the kind of terminal in, text out.
 * Nothing that stands in a document reaches the text unescaped. */
#ifndef CTL_VIEW_H
#define CTL_VIEW_H

#include "base/buf.h"
#include "ctl/table.h"

#include <cjson/cJSON.h>

/* /status: a line for each server. */
void view_list(const cJSON *doc, const struct style *style, struct buf *out);

/* /status?server=NAME: all that is known of the server, in blocks. */
void view_server(const cJSON *doc, const struct style *style, struct buf *out);

/* The line above a status that is drawn again and again: the daemon, and its time. */
void view_header(const cJSON *doc, const struct style *style, struct buf *out);

/* Whether all servers of a /status are as they should be: healthy, or at rest because nothing wants
 * a connection (unknown, with min_connections 0). */
bool view_all_well(const cJSON *doc);

/* /recover: a line for each server. */
void view_recovered(const cJSON *doc, const struct style *style, struct buf *out);

/* The names in servers[] of any answer, each between `before` and `after`. */
void view_names(const cJSON *doc, const struct style *style, const char *before, const char *after,
                struct buf *out);

#endif
