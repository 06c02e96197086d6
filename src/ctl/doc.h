/* Reading what the daemon says of itself: members that are missing or of another type count as
 * absent, so that a daemon of another version can be asked too. Pure. */
#ifndef CTL_DOC_H
#define CTL_DOC_H

#include "base/time.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* A member by its exact name; NULL when absent, or when obj is NULL. */
const cJSON *doc_get(const cJSON *obj, const char *name);

/* Its string; NULL when absent. */
const char *doc_str(const cJSON *obj, const char *name);

/* Its number, 0 when absent; what no count can be (negative, too large) is cut to what can. */
uint64_t doc_count(const cJSON *obj, const char *name);

/* Whether it is true. */
bool doc_true(const cJSON *obj, const char *name);

/* Its number of milliseconds or (fractional) seconds as a span; false when absent. */
bool doc_msec(const cJSON *obj, const char *name, usec_t *ret);
bool doc_seconds(const cJSON *obj, const char *name, usec_t *ret);

/* Its point of time; false when absent. */
bool doc_time(const cJSON *obj, const char *name, usec_t *ret);

#endif
