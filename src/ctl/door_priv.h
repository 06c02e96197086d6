/* What the files of the door share. */
#ifndef CTL_DOOR_PRIV_H
#define CTL_DOOR_PRIV_H

#include "base/blob.h"
#include "ctl/door.h"
#include "wire/rpc.h"

#include <sys/queue.h>

/* Above so many bytes that wait in one direction nothing more is read that would go there. */
#define DOOR_HIGH ((size_t)1024 * 1024)

enum letter_kind {
    LETTER_CLIENT,     /* the client's own words */
    LETTER_RESPONSE,   /* the client's about something that the daemon asked on this connection */
    LETTER_INITIALIZE, /* from here on the door's: said again to a new connection */
    LETTER_INITIALIZED,
    LETTER_LEVEL,
    LETTER_SUBSCRIBE,
};

/* A message for the daemon: in the queue until all of it was written, then, if it wants an answer,
 * in the list of those sent. */
struct letter {
    TAILQ_ENTRY(letter) link;
    enum letter_kind kind;
    enum mcp_method method;
    struct blob *text; /* with its line end; NULL: was sent, and is too much to be kept */
    char *id;          /* raw; NULL: wants no answer */
    char *subject;     /* raw: the URI or the level that it is about; NULL: about none */
    struct span token; /* the progress token in text */
    usec_t fail_at;    /* when it has waited long enough; 0: does not wait */
    unsigned moves;    /* times it went on to another connection unread */
    unsigned replays;  /* times it was sent again though it may have been received */
    bool kept;         /* counted in kept_bytes */
    bool progressed;   /* its progress was seen */
    bool cancelled;    /* while it was being written */
};
TAILQ_HEAD(letters, letter);

/* A request of the daemon to the client, under a number of ours: numbers of different daemons may
 * be equal. */
struct door_ask {
    LIST_ENTRY(door_ask) link;
    uint64_t id;
    char *daemon_id, *token; /* raw; token may be NULL */
};

struct door_subscription {
    LIST_ENTRY(door_subscription) link;
    char *uri; /* raw */
};

enum door_state {
    DOOR_DOWN,
    DOOR_OPENING, /* the session is being made again */
    DOOR_OPEN,
};

enum { LIST_TOOLS = 1, LIST_PROMPTS = 2, LIST_RESOURCES = 4 };

struct door {
    struct door_limits limits;
    char *server;
    enum door_state state;
    bool answered; /* on this connection */
    bool leaving;  /* the daemon is shutting down: no new requests */
    bool refused;  /* it would not make the session again */
    bool ended;    /* the client has said everything */
    struct letters queue, sent;
    size_t head_written; /* of the first in the queue */
    size_t queued_bytes, kept_bytes;
    unsigned awaited; /* the client's requests in both lists */
    struct buf to_client;
    struct buf why; /* there is no connection */
    usec_t retry_at;
    uint64_t last_id; /* of the door's own */
    LIST_HEAD(, door_ask) asks;
    unsigned ask_count;
    /* What is said again: */
    bool greeted;             /* the client's initialize is in progress or has succeeded */
    struct blob *greeting;    /* the one in progress */
    struct blob *initialize;  /* the one that succeeded; NULL: there is no session */
    bool initialized;         /* the client's notifications/initialized has come */
    enum mcp_version version; /* as agreed */
    unsigned changing_lists;  /* those of which changes are announced: LIST_… */
    char *level;              /* raw; NULL: none was asked for */
    LIST_HEAD(, door_subscription) subscriptions;
};

/* ---- letters (letter.c) ---- */

/* A new letter of these bytes; id and subject are copied, n == 0 = none. */
struct letter *letter_new(enum letter_kind kind, struct slice text, struct slice id);

/* Puts it in the queue, as the last or as the next. Owned by the door from then on. */
void letter_post(struct door *d, struct letter *l);
void letter_post_first(struct door *d, struct letter *l);

/* Whether any of its bytes were written. */
bool letter_is_begun(const struct door *d, const struct letter *l);

/* Takes it out of its list and frees it. */
void letter_drop_queued(struct door *d, struct letter *l);
void letter_drop_sent(struct door *d, struct letter *l);

/* The client's letter of that id; NULL. */
struct letter *letter_find(const struct letters *list, struct slice id);

/* Takes it out of those sent and puts it into the queue again, as the next or the last. */
void letter_again(struct door *d, struct letter *l, bool first);

/* All letters wait from now on, or from when they began to. */
void letters_wait(struct door *d, usec_t now);

/* ---- what the client hears of the door itself (door.c) ---- */

/* A line for the client. */
void door_say(struct door *d, struct slice text);
void door_note(struct door *d, const char *method, struct slice params);
void door_error(struct door *d, struct slice id, int code, const char *message);

/* An error that says what became of the request. */
void door_fail(struct door *d, const struct letter *l, enum reason reason, const char *delivered,
               const char *message, usec_t now);

/* ---- the session (door_session.c) ---- */

/* A request of the client was answered with a result. */
void door_session_on_result(struct door *d, const struct letter *l, struct slice text,
                            const struct rpc_msg *m);

/* Its initialize was answered with an error. */
void door_session_on_refusal(struct door *d);

/* Begins to make the session again; a letter of the door's own was answered. */
void door_session_replay(struct door *d);
void door_session_on_replayed(struct door *d, const struct letter *l, struct slice text,
                              const struct rpc_msg *m);

void door_session_done(struct door *d);

/* ---- requests of the daemon (door_ask.c) ---- */

void door_ask_on_request(struct door *d, struct slice text, const struct rpc_msg *m);
void door_ask_on_cancelled(struct door *d, struct slice text, const struct rpc_msg *m);

/* The client's answer, or its progress on the way there. */
void door_ask_on_answer(struct door *d, struct slice text, const struct rpc_msg *m);
void door_ask_on_progress(struct door *d, struct slice text, const struct rpc_msg *m);

/* Their connection is gone: nobody waits for the answers any more, and the client hears that. */
void door_ask_forget_all(struct door *d);

#endif
