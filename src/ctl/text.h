/* Text for people: what came from outside made harmless, its width, spans and points of time. Pure.
 */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/time.h"

#include <stdbool.h>

/* Appends s so that it can do nothing but be seen: control bytes, what is no UTF-8, and characters
 * that are invisible, reorder text or have no width become \n, \t or \xHH. Without utf8 (the
 * terminal shows no UTF-8) that goes for everything beyond ASCII. */
void text_escape(struct buf *out, struct slice s, bool utf8);

/* The columns that escaped text takes. */
size_t text_width(struct slice s);

/* Appends escaped text, cut to that many columns; a mark at the end shows that it was cut. */
void text_cut(struct buf *out, struct slice s, size_t columns, bool utf8);

/* Room for text_span and text_time. */
#define TEXT_SPAN_MAX 32
#define TEXT_TIME_MAX 64

/* A span at the precision that one reads it with: "0.3 s", "42 s", "5 min", "3 h 5 min", "4 d 2 h".
 * Returns out. */
const char *text_span(usec_t span, char out[static TEXT_SPAN_MAX]);

/* "2026-01-02T03:04:05.678Z" (RFC 3339, UTC) to microseconds since 1970. */
bool text_parse_time(const char *s, usec_t *ret);

/* A point of time in the local zone: "Fri 2026-01-02 03:04:05 UTC". Returns out. */
const char *text_time(usec_t wall, char out[static TEXT_TIME_MAX]);

#endif
