/* One UTF-8 sequence at a time, for text that is escaped or repaired byte by byte. Bulk validation
 * of messages is wire/json's business. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length (1 to 4) of the well-formed sequence at the head of the n bytes at p, its code point
 * in *ret_cp; 0 when there is none: overlong forms, surrogates, above U+10FFFF, cut off, n = 0
 * (Unicode 15 table 3-7). *ret_cp is untouched then. */
size_t utf8_sequence(const char *p, size_t n, uint32_t *ret_cp);

/* The largest k <= n such that the k bytes at p do not end inside a sequence that a longer text
 * could have completed; for cutting text at a limit. */
size_t utf8_cut(const char *p, size_t n);

#endif
