/* Chunks in a list; each allocation is cut from the newest one, or gets a chunk of its own when it
 * is large. Nothing is ever freed singly, so a snapshot has one owner to free and no destructor per
 * field. */
#include "config/arena.h"

#include "base/util.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)16 * 1024)

struct chunk {
    struct chunk *next;
    size_t used, cap;
    max_align_t data[];
};

struct config_arena {
    struct chunk *newest;
};

struct config_arena *arena_new(void)
{
    return xcalloc(1, sizeof(struct config_arena));
}

void arena_free(struct config_arena *a)
{
    if (a == NULL)
        return;
    while (a->newest != NULL) {
        struct chunk *c = a->newest;
        a->newest = c->next;
        explicit_bzero(c->data, c->used); /* it may hold secrets of the file */
        free(c);
    }
    free(a);
}

static struct chunk *chunk_new(size_t cap)
{
    struct chunk *c = xmalloc(sizeof(*c) + cap);
    c->next = NULL;
    c->used = 0;
    c->cap = cap;
    return c;
}

void *arena_alloc(struct config_arena *a, size_t n)
{
    const size_t align = sizeof(max_align_t);
    assert(n <= SIZE_MAX / 2);
    size_t need = (n + align - 1) / align * align;
    struct chunk *c = a->newest;
    if (c == NULL || c->cap - c->used < need) {
        c = chunk_new(need > CHUNK_BYTES / 4 ? need : CHUNK_BYTES);
        if (need > CHUNK_BYTES / 4 && a->newest != NULL) {
            /* The chunk of its own goes behind the newest, which still has room for small ones. */
            c->next = a->newest->next;
            a->newest->next = c;
        } else {
            c->next = a->newest;
            a->newest = c;
        }
    }
    void *p = (char *)c->data + c->used;
    c->used += need;
    memset(p, 0, need);
    return p;
}

void *arena_array(struct config_arena *a, size_t count, size_t size)
{
    assert(size == 0 || count <= SIZE_MAX / 2 / size);
    return arena_alloc(a, count * size);
}

char *arena_strndup(struct config_arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);
    if (n != 0)
        memcpy(p, s, n);
    return p;
}

char *arena_strdup(struct config_arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct config_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}
