/* One MCP session of the load generator: it opens, keeps up to `window` calls in flight, checks
 * every message that comes, and closes. HTTP: one connection, kept alive; unix: one connection;
 * stdio: one process of the server. What happens is told to the owner through session_events. */
#ifndef BENCH_LOAD_SESSION_H
#define BENCH_LOAD_SESSION_H

#include "bench/load/answer.h"
#include "bench/load/http_reader.h"
#include "bench/load/plan.h"

enum session_state {
    SESSION_CLOSED,
    SESSION_INITIALIZING, /* initialize was sent */
    SESSION_ANNOUNCING,   /* HTTP: notifications/initialized was sent, 202 is to come */
    SESSION_OPEN,
    SESSION_ENDING, /* HTTP: DELETE was sent; stdio: the server's input was closed */
};

/* A call in flight. Its id is a multiple of the window plus the place of the slot, so an answer
 * leads to its slot without a search; an id that is in no slot was never used or is answered. */
struct slot {
    uint64_t id; /* 0: none */
    uint64_t since;
    uint64_t progress; /* notifications so far */
};

struct session {
    enum session_state state;
    int in, out;         /* the same descriptor for sockets; -1: none */
    pid_t pid;           /* stdio */
    unsigned connection; /* counts them */
    bool want_write;
    bool dirty;     /* has output that was not tried to write yet; the owner's */
    uint64_t since; /* when its opening began; the owner's */
    uint64_t next;  /* counts the calls */
    unsigned in_flight;
    unsigned *free_slots; /* a stack of window - in_flight places in `slots` */
    struct slot *slots;
    struct buf output;
    struct buf head; /* HTTP: of each POST, up to the value of Content-Length */
    struct answer answer;
    struct http_reader http;
    char version[32]; /* negotiated */
};

struct session_events {
    void (*arrived)(void); /* input was read; what it means is told next */
    void (*opened)(struct session *s);
    void (*answered)(struct session *s, uint64_t since, bool is_error); /* a call */
    void (*freed)(struct session *s);                                   /* another call has room */
    void (*closed)(struct session *s);
};

struct session_totals {
    uint64_t bytes_in, bytes_out;
    uint64_t reconnects;   /* HTTP connections that ended between two calls */
    char first_error[256]; /* the first answer that was an error */
};
extern struct session_totals session_totals;

/* Before any session: what they all share. `poller` is an epoll descriptor, whose events carry the
 * session as their pointer. */
void session_setup(const struct plan *plan, const struct session_events *events, int poller);

void session_init(struct session *s);

/* Begins to open; `opened` follows, at once if there is nothing to open (--plain). */
void session_start(struct session *s);

/* Queues a call; there must be room. `since`: when it was due. */
void session_call(struct session *s, uint64_t since);

/* Begins to close; no call may be in flight. `closed` follows. */
void session_stop(struct session *s);

/* Writes what is queued, as far as there is room. */
void session_flush(struct session *s);

/* What epoll says of it. */
void session_on_event(struct session *s, uint32_t events);

#endif
