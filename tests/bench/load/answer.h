/* One message of a server, taken in pieces: what it is, whose, and how long its text is. Only the
 * beginning and the end of a long text's message are kept, so a result of any size passes in
 * linear time through a small buffer that stays in the cache.
 *
 * Messages are checked by the strict parser of room wire. An answer that is byte for byte, but for
 * its id, like one that was checked before is taken for as good; that is most of them. */
#ifndef BENCH_LOAD_ANSWER_H
#define BENCH_LOAD_ANSWER_H

#include "base/buf.h"

struct answer {
    struct buf kept;  /* the message without the part of its text that was passed over */
    uint64_t skipped; /* bytes passed over */
    bool looked;      /* whether there is such a text has been decided */
    bool in_text;     /* passing over */
};

enum answer_kind {
    ANSWER_RESULT,
    ANSWER_ERROR,    /* `id` may be 0 for one that belongs to no request */
    ANSWER_PROGRESS, /* `id` is the progress token */
    ANSWER_OTHER,    /* another notification, or a request */
    ANSWER_BAD,      /* no JSON-RPC message, or an id that is no number */
};

struct answer_view {
    enum answer_kind kind;
    uint64_t id;
    uint64_t text_bytes;  /* of result.content[0].text as it stands in the message; 0: none */
    struct slice version; /* result.protocolVersion without its quotes; empty: none */
};

/* Feeds the next bytes of the message (without line end). */
void answer_feed(struct answer *a, struct slice piece);

/* Whether nothing was fed but white space (a blank line; an event without data). */
bool answer_is_empty(const struct answer *a);

/* The message is complete. Slices of *ret are good until answer_reset. */
void answer_read(struct answer *a, struct answer_view *ret);

/* The message as far as it was kept, for a complaint. */
struct slice answer_text(const struct answer *a);

/* Ready for the next message; the memory is kept. */
void answer_reset(struct answer *a);

void answer_done(struct answer *a);

#endif
