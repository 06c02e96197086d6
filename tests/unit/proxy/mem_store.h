/* A store in memory, which outlives the proxies that use it and fails when it is told to. */
#ifndef TESTS_UNIT_PROXY_MEM_STORE_H
#define TESTS_UNIT_PROXY_MEM_STORE_H

#include "base/buf.h"
#include "base/store.h"
#include "base/util.h"

#include <stdlib.h>

struct mem_store {
    struct store base;
    struct buf lines, fresh; /* records, each with an LF */
    bool rewriting;
    int fail;       /* everything that writes returns this -errno */
    int read_fail;  /* read returns this after the records */
    size_t damaged; /* what read says */
    unsigned appends, rewrites, durable;
};

static inline struct mem_store *mem_store_of(const struct store *st)
{
    return container_of((struct store *)st, struct mem_store, base);
}

static inline int mem_store_read(struct store *st, void (*take)(void *, struct slice), void *arg,
                                 size_t *ret_damaged)
{
    struct mem_store *m = mem_store_of(st);
    struct slice rest = buf_peek(&m->lines);
    while (rest.n) {
        const char *lf = memchr(rest.p, '\n', rest.n);
        size_t n = (size_t)(lf - rest.p);
        /* A copy that goes away. */
        char *copy = xstrndup(rest.p, n);
        take(arg, slice_of(copy, n));
        free(copy);
        rest = slice_of(lf + 1, rest.n - n - 1);
    }
    *ret_damaged = m->damaged;
    return m->read_fail;
}

static inline int mem_store_append(struct store *st, struct slice record)
{
    struct mem_store *m = mem_store_of(st);
    if (m->fail)
        return m->fail;
    m->appends += !m->rewriting;
    struct buf *b = m->rewriting ? &m->fresh : &m->lines;
    buf_append_slice(b, record);
    buf_append_str(b, "\n");
    return 0;
}

static inline int mem_store_rewrite_begin(struct store *st)
{
    struct mem_store *m = mem_store_of(st);
    if (m->fail)
        return m->fail;
    m->rewriting = true;
    return 0;
}

static inline int mem_store_rewrite_end(struct store *st, bool durable)
{
    struct mem_store *m = mem_store_of(st);
    m->rewriting = false;
    if (!m->fail) {
        buf_done(&m->lines);
        m->lines = m->fresh;
        m->fresh = (struct buf)BUF_INIT;
        m->rewrites++;
        m->durable += durable;
    }
    buf_done(&m->fresh);
    return m->fail;
}

static inline size_t mem_store_size(const struct store *st)
{
    return buf_len(&mem_store_of(st)->lines);
}

static const struct store_ops mem_store_ops = {
    .read = mem_store_read,
    .append = mem_store_append,
    .rewrite_begin = mem_store_rewrite_begin,
    .rewrite_end = mem_store_rewrite_end,
    .size = mem_store_size,
};

static inline void mem_store_init(struct mem_store *m)
{
    *m = (struct mem_store){.base = {.ops = &mem_store_ops}};
}

static inline void mem_store_done(struct mem_store *m)
{
    buf_done(&m->lines);
    buf_done(&m->fresh);
}

/* A copy of what is stored now: what the next process finds after a kill at this moment. */
static inline char *mem_store_save(const struct mem_store *m)
{
    struct slice s = buf_peek(&m->lines);
    return xstrndup(s.p, s.n);
}

static inline void mem_store_load(struct mem_store *m, const char *text)
{
    buf_reset(&m->lines);
    buf_append_str(&m->lines, text);
}

#endif
