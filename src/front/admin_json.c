/* See the header. Keys are our own literals and names of the tables, so they are written as they
 * are. */
#include "front/admin_json.h"

#include <time.h>

static void begin_value(struct admin_json *j, const char *key)
{
    if (j->comma)
        buf_append_str(j->out, ",");
    j->comma = true;
    if (!key)
        return;
    buf_append_str(j->out, "\"");
    buf_append_str(j->out, key);
    buf_append_str(j->out, "\":");
}

void admin_json_begin(struct admin_json *j, const char *key, char bracket)
{
    begin_value(j, key);
    buf_append(j->out, &bracket, 1);
    j->comma = false;
}

void admin_json_end(struct admin_json *j, char bracket)
{
    buf_append(j->out, &bracket, 1);
    j->comma = true;
}

void admin_json_u64(struct admin_json *j, const char *key, uint64_t v)
{
    begin_value(j, key);
    buf_append_u64(j->out, v);
}

void admin_json_bool(struct admin_json *j, const char *key, bool v)
{
    begin_value(j, key);
    buf_append_str(j->out, v ? "true" : "false");
}

void admin_json_null(struct admin_json *j, const char *key)
{
    begin_value(j, key);
    buf_append_str(j->out, "null");
}

void admin_json_slice(struct admin_json *j, const char *key, struct slice s)
{
    if (!s.p) {
        admin_json_null(j, key);
        return;
    }
    begin_value(j, key);
    buf_append_json_string(j->out, s);
}

void admin_json_str(struct admin_json *j, const char *key, const char *s)
{
    admin_json_slice(j, key, slice_str(s));
}

void admin_json_seconds(struct admin_json *j, const char *key, usec_t span)
{
    char decimals[8] = ".000000";
    usec_t rest = span % USEC_PER_SEC;
    size_t n = 7;
    begin_value(j, key);
    buf_append_u64(j->out, span / USEC_PER_SEC);
    if (rest == 0)
        return;
    for (size_t i = 6; i > 0; i--, rest /= 10)
        decimals[i] = (char)('0' + rest % 10);
    while (decimals[n - 1] == '0')
        n--;
    buf_append(j->out, decimals, n);
}

void admin_json_wall(struct admin_json *j, const char *key, usec_t wall)
{
    struct tm tm;
    char text[sizeof("2026-01-02T03:04:05")];
    time_t seconds = (time_t)(wall / USEC_PER_SEC);
    gmtime_r(&seconds, &tm);
    if (strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) != sizeof(text) - 1) {
        admin_json_null(j, key); /* a clock beyond the year 9999 */
        return;
    }
    begin_value(j, key);
    buf_appendf(j->out, "\"%s.%03uZ\"", text, (unsigned)(wall / USEC_PER_MSEC % 1000));
}
