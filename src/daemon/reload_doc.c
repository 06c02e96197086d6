/* The JSON documents of a reload. Values of the configuration are not in them. */
#include "reload_doc.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- lines ---- */

static void add_line(struct reload_lines *l, const char *text, size_t n, bool is_error)
{
    l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
    l->is_error = xrealloc(l->is_error, (l->n + 1) * sizeof(*l->is_error));
    l->v[l->n] = xstrndup(text, n);
    l->is_error[l->n++] = is_error;
    l->errors += is_error;
}

/* The writer gives a line per entry, in order, and perhaps a last one about what had no room. */
void reload_lines_init(struct reload_lines *l, const struct config_errors *errs)
{
    char *text = NULL;
    size_t n = 0;
    *l = (struct reload_lines){0};
    FILE *f = open_memstream(&text, &n);
    if (!f)
        return; /* without memory there is nothing to tell them with */
    config_errors_write(errs, f);
    bool whole = fclose(f) == 0;
    for (const char *at = text, *end; whole && (end = strchr(at, '\n')) != NULL; at = end + 1) {
        size_t i = l->n;
        bool is_error = i < errs->n ? !errs->v[i].warning : errs->errors > 0;
        add_line(l, at, (size_t)(end - at), is_error);
    }
    free(text);
}

void reload_lines_add_error(struct reload_lines *l, const char *text)
{
    add_line(l, text, strlen(text), true);
}

void reload_lines_done(struct reload_lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    free(l->is_error);
    *l = (struct reload_lines){0};
}

/* ---- JSON ---- */

static void put_key(struct buf *out, const char *key)
{
    buf_appendf(out, "\"%s\":", key);
}

static void put_string(struct buf *out, const char *key, const char *value)
{
    put_key(out, key);
    buf_append_json_string(out, slice_str(value));
}

static void put_lines(struct buf *out, const char *key, const struct reload_lines *l, bool errors)
{
    bool first = true;
    put_key(out, key);
    buf_append_str(out, "[");
    for (size_t i = 0; i < l->n; i++) {
        if (l->is_error[i] != errors)
            continue;
        buf_append_str(out, first ? "" : ",");
        buf_append_json_string(out, slice_str(l->v[i]));
        first = false;
    }
    buf_append_str(out, "]");
}

static void put_changes(struct buf *out, const struct config_change *v, size_t n)
{
    put_key(out, "changes");
    buf_append_str(out, "[");
    for (size_t i = 0; i < n; i++) {
        buf_append_str(out, i ? ",{" : "{");
        put_string(out, "key", v[i].key);
        buf_append_str(out, ",");
        put_string(out, "effect", config_effect_name(v[i].effect));
        buf_append_str(out, "}");
    }
    buf_append_str(out, "]");
}

static void put_server(struct buf *out, const struct config_server_plan *s)
{
    buf_append_str(out, "{");
    put_string(out, "server", s->name);
    buf_append_str(out, ",");
    put_string(out, "fate", config_server_fate_name(s->fate));
    buf_append_str(out, ",");
    if (s->fate == CONFIG_SERVER_CHANGED)
        put_string(out, "effect", config_effect_name(s->effect));
    else
        buf_append_str(out, "\"effect\":null");
    buf_append_str(out, ",");
    put_changes(out, s->changes, s->changes_n);
    buf_append_str(out, "}");
}

static void put_text(struct buf *out, const struct config_plan *p)
{
    struct buf text = BUF_INIT;
    config_plan_write(p, &text);
    put_key(out, "text");
    buf_append_json_string(out, buf_peek(&text));
    buf_done(&text);
}

void reload_doc_plan(struct buf *out, const struct config_plan *p, const struct reload_lines *l,
                     bool dry_run)
{
    buf_appendf(out, "{\"applied\":%s,\"dry_run\":%s,\"servers\":[", dry_run ? "false" : "true",
                dry_run ? "true" : "false");
    for (size_t i = 0; i < p->servers_n; i++) {
        buf_append_str(out, i ? "," : "");
        put_server(out, &p->servers[i]);
    }
    buf_append_str(out, "],");
    put_changes(out, p->changes, p->changes_n);
    buf_appendf(out, ",\"added\":%u,\"removed\":%u,\"changed\":%u,\"untouched\":%u,", p->added,
                p->removed, p->changed, p->untouched);
    put_lines(out, "warnings", l, false);
    buf_append_str(out, ",");
    put_text(out, p);
    buf_append_str(out, "}\n");
}

void reload_doc_refusal(struct buf *out, const char *why, const struct reload_lines *l)
{
    buf_append_str(out, "{");
    put_string(out, "error", why);
    buf_append_str(out, ",");
    put_lines(out, "errors", l, true);
    buf_append_str(out, ",\"applied\":false}\n");
}
