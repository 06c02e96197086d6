/* Small helpers that have no better room. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stddef.h>

#define ARRAY_LEN(a)                  (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, memb) ((type *)((char *)(ptr)-offsetof(type, memb)))

/* malloc family that ends the process with a message when memory is out. Never return NULL. */
void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);

/* Zeroes n bytes. For structs of some hundred bytes: an assignment, or a memset where the size is
 * known, becomes a string instruction there, which takes three times as long to begin as this call
 * does in all. */
void bytes_zero(void *p, size_t n);

/* n bytes, the first `zeroed` of which are 0: for a struct with a tail that is written anyway.
 * Unlike calloc this is served from the allocator's cache of what was freed last. */
void *xmalloc_zeroed(size_t n, size_t zeroed);

/* A copy of the first n bytes of s, or of all of it when it is shorter; NUL-terminated. */
char *xstrndup(const char *s, size_t n);

#endif
