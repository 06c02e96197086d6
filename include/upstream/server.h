/* A configured server: its pools and what it said of itself. */
#ifndef UPSTREAM_SERVER_H
#define UPSTREAM_SERVER_H

#include "config/config.h"
#include "metrics/metrics.h"
#include "policy/adapt.h"
#include "policy/breaker.h"
#include "policy/health.h"
#include "policy/pace.h"
#include "policy/quota.h"
#include "policy/replay.h"
#include "upstream/pool.h"
#include "upstream/tail.h"

/* What the operator wants of a server, whatever its health. */
enum server_mode {
    SERVER_ACTIVE,
    SERVER_DRAIN, /* calls that run may end, new ones wait in line (whose queue_timeout is over
                     hears REASON_MAINTENANCE); its connections close when they have nothing to do,
                     and none is opened */
    SERVER_MAINT, /* the same, but new calls, and those in line, are refused at once:
                     REASON_MAINTENANCE, delivered "no" */
};

/* "active", "drain" or "maint". */
const char *server_mode_name(enum server_mode m);

struct server {
    struct env *env;
    struct config *config; /* ref */
    const struct server_config *sc;
    enum config_sharing sharing; /* that of its first entry: sessions and pools are made for it */
    const struct transport_ops *transport;
    void *transport_arg;
    const struct pool_user *user;
    void *user_arg;
    struct pool *pools;
    struct card *card;               /* of the latest handshake; NULL before the first */
    uint64_t last_serial;            /* of affinities */
    struct metrics *metrics;         /* owned */
    struct metrics *process_metrics; /* borrowed; NULL = none */
    struct pace *pace;               /* shared by all servers, borrowed; NULL = no pacing */
    struct breaker breaker;
    struct adapt adapt;
    struct replay_budget replay_budget;
    usec_t attempted_at; /* when a failed connection was last tried again; 0 = never */
    usec_t recovered_at; /* when one last came back; 0 = never */
    usec_t forced_at;    /* last recovery by force; 0 = never */
    bool tried;          /* an attempt has come to an end */
    enum health health;  /* as it was last logged */
    usec_t health_at;    /* since when it is that; 0 = the server was made so */
    struct timer sweep, monitor, breaker_timer;
    struct timer farewell;       /* the first requests on an outdated connection run out of time */
    const struct conn *trial_on; /* where the breaker's trial is under way; only compared */
    enum server_mode mode;
    usec_t sweep_by,
        monitor_by;        /* when they tick next, as each of their ticks says; 0 = not begun */
    struct tail tail;      /* what its processes wrote last */
    struct quota failures; /* failed calls in the log */
    struct timer failures_timer;
    bool stopping;
    unsigned live;    /* transports not yet closed */
    struct task reap; /* frees pools that have ended */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

struct server *server_new(struct env *env, struct config *config, const struct server_config *sc,
                          const struct transport_ops *transport, void *transport_arg,
                          const struct pool_user *user, void *user_arg);

/* The health as status, metrics and log name it. */
enum health server_health(const struct server *s);

/* Sums over the pools. */
struct server_counts {
    unsigned slots[CONN_STATES];
    unsigned max_size, min_size;
    unsigned failed;    /* slots on the recovery queue, or attempting or closing after a failure */
    unsigned available; /* ready, and not given up */
    unsigned running, waiting;
    usec_t next_attempt; /* USEC_NEVER: none waits */
};
void server_count(const struct server *s, struct server_counts *ret);

/* Recovery by force (resilience.md section 1): every waiting slot's back-off to base and its count
 * to 0, the breaker ready for a trial, what is closing, suspect or hangs torn down, and so is what
 * has nothing in flight and has answered nothing since the breaker opened, an attempt at once
 * (RECOVERY_AT_ONCE per pool at a time). Connections that are well, and attempts that are under way
 * within their time, are left alone. */
enum recover_by { RECOVER_BY_WATCHDOG, RECOVER_BY_OPERATOR };
struct recover_result {
    unsigned reset;             /* slots whose back-off was put back */
    unsigned torn_down;         /* transports that were closed */
    unsigned started;           /* attempts begun now */
    unsigned ready;             /* connections that are well and were left alone */
    enum breaker_state breaker; /* before */
};
void server_recover(struct server *s, enum recover_by by, struct recover_result *ret);

/* Changes the mode; logs it. To SERVER_ACTIVE: attempts begin at once, with a fresh back-off. The
 * mode is not kept over a restart of mcpoold. Idempotent. */
void server_set_mode(struct server *s, enum server_mode mode);
enum server_mode server_mode(const struct server *s);

/* Has the server follow another configuration from now on: config is ref'ed in place of the old
 * one, sc is of it and of the same name. Settings act at once. With renew_connections, each
 * connection is replaced by one that was made with the new entry: at once where nothing runs on
 * it, otherwise when its calls have ended (no new ones are put on it; drain_timeout bounds it),
 * with another connection made first where max_connections has room, so that calls hardly wait.
 * Pass the server's own config and sc to restart it. */
void server_renew(struct server *s, struct config *config, const struct server_config *sc,
                  bool renew_connections);

/* What of the server should have ticked long ago and has not, to be told to people: its recovery
 * sweep or its health monitor. NULL: all is well. Ask from a timer that is not late itself. */
const char *server_overdue(const struct server *s);

/* A call was failed by mcpool: logs it, within call_errors_logged_per_second. */
void server_log_failure(struct server *s, const struct log_ctx *ctx, const char *sentence);

/* The same for an entry that is equal, of a configuration that may differ elsewhere: nothing
 * happens but that the old configuration is let go. */
void server_follow(struct server *s, struct config *config, const struct server_config *sc);

/* What of these features of a client (enum client_feature) may be declared to the server. Roots are
 * one client's own: they are only true on a connection that serves nobody else. */
unsigned server_features(const struct server *s, unsigned features);

/* The settings of its breaker. */
struct breaker_params server_breaker_params(const struct server *s);

/* The cap of the back-off that is in force, and the one that the measured recoveries suggest. */
usec_t server_backoff_cap(const struct server *s, usec_t *ret_suggested);

/* Starts the default pool (anonymous principal, no client features). */
void server_start(struct server *s);

/* Closes every connection (now: without the polite ladder); stopped(arg) once nothing is left,
 * perhaps from inside. Waiting tickets are refused with shutting_down. */
void server_stop(struct server *s, bool now, void (*stopped)(void *), void *arg);

/* Kills what still closes politely after server_stop. */
void server_hurry(struct server *s);

/* After stopped, or when never started. Accepts NULL. */
void server_free(struct server *s);

#endif
