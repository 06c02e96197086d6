/* Memory that lives exactly as long as one snapshot: allocated piecemeal, given back at once. */
#ifndef CONFIG_ARENA_H
#define CONFIG_ARENA_H

#include <stddef.h>

struct config_arena;

struct config_arena *arena_new(void);

/* Gives back everything that came from a. Accepts NULL. */
void arena_free(struct config_arena *a);

/* n zeroed bytes, aligned for any type. Never NULL. */
void *arena_alloc(struct config_arena *a, size_t n);

/* Room for count zeroed members of size bytes. */
void *arena_array(struct config_arena *a, size_t count, size_t size);

char *arena_strndup(struct config_arena *a, const char *s, size_t n);
char *arena_strdup(struct config_arena *a, const char *s);

/* A string put together as by printf. */
char *arena_printf(struct config_arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
