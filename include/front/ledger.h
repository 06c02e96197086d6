/* What is known of each client connection, in memory that outlives the process (a memfd in the
 * service manager's descriptor store): enough for the next process to go on with the connection, or
 * to see that nobody honestly can. Pure: a layout, the stores that keep it up to date, and the
 * judgement of what was left.
 *
 * The process may die between any two instructions, so each transition is a number of stores of
 * which the last one makes the others count, and what cannot be told is told as such. Everything
 * hangs on positions: `taken`, how many bytes of input have been turned into messages, against what
 * was read; and the places of answers in the output against what was sent.
 *
 * A request counts when `taken` has reached the place where it ended (request_at, ledger_id.at).
 * What was read beyond `taken` is lost with the process, unless it still lies among the bytes of
 * the latest read or was spilled here by a process that ended as planned. */
#ifndef FRONT_LEDGER_H
#define FRONT_LEDGER_H

#include "base/slice.h"
#include "io/trace.h"

#include <stdbool.h>

#define LEDGER_NEVER         UINT64_MAX
#define LEDGER_IDS           16
#define LEDGER_ID_BYTES      72
#define LEDGER_SESSION_BYTES 128
#define LEDGER_LISTENER      20
/* A connection is gone on with so many times without a new message of it: if it is what kills us,
 * that must end. */
#define LEDGER_ADOPTIONS_MAX 3

enum ledger_speech {
    LEDGER_UNKNOWN, /* no byte has told yet */
    LEDGER_HTTP,
    LEDGER_LINE,
    LEDGER_SSE, /* HTTP, on which the event stream of an HTTP+SSE session is open */
};

enum ledger_flag {
    LEDGER_CHUNKED = 1,    /* the response under way is in chunks */
    LEDGER_KEEP_ALIVE = 2, /* another request may follow */
    LEDGER_HTTP10 = 4,
    LEDGER_INITIALIZE = 8, /* the request makes a session */
    LEDGER_BATCH = 16,
    LEDGER_NO_JSON = 32, /* the client reads event streams only */
    LEDGER_NO_BODY = 64, /* HEAD */
};

/* A request in flight. */
struct ledger_id {
    uint32_t n;          /* bytes; 0: free */
    uint32_t via;        /* the record of the connection that brought it ... */
    uint64_t via_serial; /* ... if that is still this one */
    uint64_t at;         /* where it ended there */
    uint64_t begin, end; /* where its answer stands in our output; LEDGER_NEVER: nowhere yet */
    char bytes[LEDGER_ID_BYTES]; /* raw JSON token */
};

struct ledger_record {
    struct stream_trace io; /* serial 0: this record is free */
    uint64_t socket;        /* socket_identity: this record tells of no other */
    char listener[LEDGER_LISTENER];
    uint32_t speech, flags, adoptions;
    uint64_t taken;
    uint64_t partial_at; /* `received` when all beyond `taken` was the beginning of one line */
    uint64_t spill_at;   /* bytes beyond this value of `taken`, left by a planned end ... */
    uint64_t spill_off;
    uint64_t spill_n;
    /* HTTP: the latest request, which counts when request_at == taken. */
    uint64_t owed;       /* output queued before it: of earlier requests */
    uint64_t request_at; /* where it ended */
    uint64_t answer_at;  /* where its response begins; LEDGER_NEVER: nothing is queued */
    uint64_t stream_at;  /* where the head of an event stream ended */
    uint64_t end_at;     /* where the response ended */
    uint32_t status;
    uint32_t unlisted; /* requests in flight that found no place in ids */
    uint32_t seats;    /* ids beyond this one were never used */
    uint64_t event_seq;
    char session[LEDGER_SESSION_BYTES]; /* line, SSE: by which the session is revived */
    char sse_id[32];
    char route[72];     /* the name of the server that it is about */
    char principal[96]; /* SSE: who it belongs to */
    struct ledger_id ids[LEDGER_IDS];
};

struct ledger;

/* Bytes that a ledger of so many records needs. */
size_t ledger_size(unsigned records);

/* Makes a ledger in size bytes at mem, which is borrowed, aligned to a page. is_new: zeroes it
 * first; otherwise it is taken as it is. NULL when what is there is no ledger of this version, or
 * of another size. */
struct ledger *ledger_open(void *mem, size_t size, bool is_new);

/* Has the serials of records begin there: where no other ledger's do, since descriptors of that one
 * may still be around. Directly after a new ledger was made. */
void ledger_count_from(struct ledger *l, uint64_t serial);

/* Frees what is outside of mem. Accepts NULL. */
void ledger_close(struct ledger *l);

struct stream_io *ledger_io(struct ledger *l);
unsigned ledger_records(const struct ledger *l);

/* The record of that index, in use or not. */
struct ledger_record *ledger_at(struct ledger *l, unsigned index);
unsigned ledger_index(const struct ledger *l, const struct ledger_record *r);

/* A free record, in use from now on, for that socket; NULL when there is none. */
struct ledger_record *ledger_take(struct ledger *l, const char *listener, uint64_t socket);

/* Accepts NULL. */
void ledger_free(struct ledger *l, struct ledger_record *r);

/* Frees every record for which used[index] is false: those that found no descriptor. */
void ledger_sweep(struct ledger *l, const bool *used);

/* ---- transitions; each accepts NULL for a connection without a record ---- */

/* HTTP: a request is complete; ids, flags and status of it may follow, then ledger_commit. */
void ledger_request(struct ledger_record *r, uint64_t queued, uint32_t flags);

/* Its end, in input and for good. */
void ledger_commit(struct ledger_record *r, uint64_t taken);

/* A request in flight; n > 0. via, at: what brought it and where it ended there. */
void ledger_id_add(struct ledger_record *r, struct slice id, const struct ledger *l,
                   const struct ledger_record *via, uint64_t at);

/* Its answer was queued from begin to end. noted: ledger_id_add was called for it. */
void ledger_id_answered(struct ledger_record *r, struct slice id, bool noted, uint64_t begin,
                        uint64_t end);

/* There will be no answer. */
void ledger_id_drop(struct ledger_record *r, struct slice id);

/* Forgets the requests that do not count: they are input still, and will be noted again. */
void ledger_forget_uncounted(struct ledger *l, struct ledger_record *r);

/* Leaves bytes beyond `taken` to the next process. false: there is no room. */
bool ledger_spill(struct ledger *l, struct ledger_record *r, struct slice bytes);

/* Forgets all spilled bytes: when nobody has records with spills any more. */
void ledger_spill_reset(struct ledger *l);

static inline void ledger_text(char *to, size_t cap, const char *from)
{
    size_t n = strlen(from);
    if (n >= cap)
        n = 0;
    memcpy(to, from, n);
    to[n] = '\0';
}

/* ---- judgement ---- */

enum ledger_fate {
    LEDGER_CLOSE,  /* nobody can tell what the client has seen */
    LEDGER_IDLE,   /* between two requests */
    LEDGER_ANSWER, /* HTTP: a request, of whose response no byte went out */
    LEDGER_STREAM, /* HTTP: an event stream is open, between two events */
    LEDGER_DUPLEX, /* line or SSE */
};

struct ledger_verdict {
    enum ledger_fate fate;
    const char *why;               /* LEDGER_CLOSE: for the log */
    uint64_t received, sent;       /* what was really read and written */
    struct slice rest;             /* input to be read again; borrowed from the ledger's memory */
    bool lost;                     /* input beyond `taken` is lost */
    bool partial;                  /* ... and it was the beginning of one line */
    unsigned open_n;               /* requests that wait for an answer */
    struct slice open[LEDGER_IDS]; /* raw ids; borrowed from the record */
};

/* What can be done with a connection that was left like r. Believes nothing that it has not
 * checked.
 */
void ledger_judge(struct ledger *l, const struct ledger_record *r, struct ledger_verdict *ret);

#endif
