/* How a pool slot talks to its server: one table of functions per kind of transport. The pool and
 * everything above see only this; the simulator brings a table of its own. */
#ifndef UPSTREAM_TRANSPORT_H
#define UPSTREAM_TRANSPORT_H

#include "base/blob.h"
#include "config/config.h"
#include "wire/rpc.h"

struct transport;

/* Called by the transport, always from the loop, never from inside open, send or close. */
struct transport_events {
    /* The way is open: messages may be sent. Once. */
    void (*on_open)(void *arg);
    /* One valid JSON-RPC message (batches included, kind RPC_BATCH). text is borrowed unless it has
     * an owner. */
    void (*on_message)(void *arg, struct payload *text, const struct rpc_msg *m);
    /* A message was thrown away unread: too large (REASON_RESPONSE_TOO_LARGE) or large and no valid
     * JSON-RPC (REASON_UPSTREAM_PROTOCOL). id: its raw id token. */
    void (*on_discarded)(void *arg, struct slice id, enum reason why);
    /* A line that the server wrote for people: on stderr, or on stdout where it is no message. Any
     * bytes, without line end. Comes whatever the log gets of it, and until on_closed. */
    void (*on_output)(void *arg, pid_t pid, struct slice text);
    /* What was queued has fallen low again after it had been high. */
    void (*on_drain)(void *arg);
    /* The way is broken or could not be opened; nothing more comes from this transport except
     * on_closed. The owner calls close. why: reason code; fatal: trying again soon makes no sense
     * (command not found); detail: a sentence for the log, borrowed. */
    void (*on_down)(void *arg, enum reason why, bool fatal, const char *detail);
    /* After close: everything is released (the process was reaped); the transport's memory is gone.
     * Once. */
    void (*on_closed)(void *arg);
};

struct transport_ops {
    const char *name;
    /* Begins to open. tr_arg: proxy_transports.arg. slot names the pool slot in log lines. The
     * configuration outlives the transport, or `follow` names another in its place. Never fails:
     * failures come through on_down. */
    struct transport *(*open)(void *tr_arg, const struct server_config *sc,
                              const struct config *config, unsigned slot,
                              const struct transport_events *ev, void *ev_arg);
    /* What may change while it lives (limits, what becomes of stderr) is as this entry says from
     * now on; what it was opened with stays. NULL: it goes on as it was opened. */
    void (*follow)(struct transport *t, const struct server_config *sc,
                   const struct config *config);
    /* Queues one message; edits may be NULL. Returns its mark for `handed_over`. Nothing is
     * dropped: the caller bounds what it sends by `pending`. */
    uint64_t (*send)(struct transport *t, const struct payload *text,
                     const struct rpc_edits *edits);
    /* Whether every byte of the message with this mark was given to the kernel. While false, the
     * server cannot have received the whole message, hence cannot have acted on it. Valid until
     * close, and inside on_down. */
    bool (*handed_over)(const struct transport *t, uint64_t mark);
    /* Bytes queued and not yet given to the kernel. */
    size_t (*pending)(const struct transport *t);
    /* Bytes that ever came from the server on this transport: tells a slow answer from silence. */
    uint64_t (*received)(const struct transport *t);
    /* Closes in good order (stdio: close stdin, wait, TERM, KILL) or at once. on_closed follows.
     * Idempotent; a later call with now = true hurries. */
    void (*close)(struct transport *t, bool now);
};

/* First member of every transport. */
struct transport {
    const struct transport_ops *ops;
};

#endif
