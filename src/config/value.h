/* Numbers with units: from text to microseconds or bytes and back, exactly. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/slice.h"

#include <stdint.h>

enum value_result {
    VALUE_OK,
    VALUE_SYNTAX,   /* no number at all, or an unknown unit */
    VALUE_UNIT,     /* a string without a unit where one is needed */
    VALUE_NEGATIVE, /* below zero */
    VALUE_FRACTION, /* finer than the smallest unit */
    VALUE_RANGE,    /* beyond 64 bits */
};

/* A JSON number times `scale` (1 for counts and bytes, 1000000 for seconds). */
enum value_result value_number(struct slice text, uint64_t scale, uint64_t *ret);

/* "500ms", "30s", "1.5h": microseconds. Units us ms s m h d, lower case, right after the number. */
enum value_result value_duration(struct slice text, uint64_t *ret);

/* "4MiB", "64k", "10MB", "512B": bytes. KiB MiB GiB and k m g are powers of 1024, kB MB GB of 1000;
 * case does not count. */
enum value_result value_size(struct slice text, uint64_t *ret);

/* The shortest exact spelling with a unit. Both return out, which has room for VALUE_FORMAT_MAX
 * bytes. */
#define VALUE_FORMAT_MAX 32
const char *value_format_duration(uint64_t usec, char *out);
const char *value_format_size(uint64_t bytes, char *out);

#endif
