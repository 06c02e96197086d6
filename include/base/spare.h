/* Memory that is kept for its next user, instead of giving it back to the allocator: nobody's
 * meanwhile. AddressSanitizer, where it is built in, reports who touches it all the same, which it
 * could not do by itself. */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H

#if defined(__SANITIZE_ADDRESS__)
#define SPARE_IS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPARE_IS_WATCHED 1
#endif
#endif

#ifdef SPARE_IS_WATCHED
#include <sanitizer/asan_interface.h>
/* The n bytes at p are nobody's from now on, and somebody's again. */
#define spare_put(p, n)  ASAN_POISON_MEMORY_REGION(p, n)
#define spare_take(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define spare_put(p, n)  ((void)(p), (void)(n))
#define spare_take(p, n) ((void)(p), (void)(n))
#endif

#endif
