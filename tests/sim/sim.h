/* The simulator: the real pool, session, mux, call and policy code over a virtual clock, seeded
 * randomness and scripted servers (resilience.md section 7). What its sources share.
 *
 *     main.c      options, seeds, the summary          scenario.c  what is shown once, not at
 * random run.c       one seed: safety, liveness, the end  faults.c    the fault catalogue world.c
 * clock, dice, digest, violations      memory.c    counts what is allocated proc.c      scripted
 * transports                  backend.c   what servers hear, backend_says.c client.c    what
 * clients do                      hearing.c   what clients are told requests.c  the oracle about
 * requests            slots.c     about connections and the breaker operator.c drains, restarts,
 * reloads structure.c about counters and lists that must agree
 *
 * The model knows nothing of how the core works: it writes down what goes in and what comes out.
 * slots.c, breaker.c and structure.c look inside, at fields, never by calling the core's own
 * judgement.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "base/util.h"
#include "proxy/internal.h"
#include "upstream/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKENDS_MAX 100
#define PLAYERS_MAX  6
#define URIS         4
#define URI_NEVER    3 /* every server refuses a subscription to this one */
#define REQS_MAX     2048
#define QUESTS_MAX   1024
#define JOBS_MAX     512

/* ---- what must hold (resilience.md section 7) ---- */

enum invariant {
    I1_ONE_END,       /* every request gets exactly one terminal outcome */
    I2_NOT_CROSSED,   /* an answer is the requester's */
    I3_ONCE,          /* what is not replayable executes at most once */
    I4_HONEST_NO,     /* delivered "no": never executed */
    I5_NOTHING_AFTER, /* nothing follows an end or a cancel */
    I6_BREAKER,       /* legal transitions, at most one trial */
    I7_AMPLIFICATION, /* sent upstream <= 1.2 x requests + 3, starts are paced */
    I8_RECOVERY,      /* every slot that is not ready is on its way back */
    I9_READY_AGAIN,   /* after the faults everything is ready in time */
    I10_BASELINE,     /* memory, timers, processes return to the baseline */
    I11_MONOTONIC,    /* progress rises, subscriptions keep to their client */
    I12_STATUS,       /* status and metrics equal the oracle's books */
    LISTS,            /* nobody is left with lists that a restart has made old (section 5) */
    STRUCTURE,        /* counters and lists of the core agree */
    INVARIANT_COUNT
};

/* ---- servers ---- */

/* How a server behaves for a while. */
enum mood {
    MOOD_REFUSE,            /* its program cannot be started … */
    MOOD_FATAL,             /* … and will not be soon */
    MOOD_EXIT_AT_START,     /* exits before it says anything */
    MOOD_EXIT_IN_HANDSHAKE, /* exits when it is asked to initialize */
    MOOD_MUTE,              /* never answers initialize */
    MOOD_DIE_YOUNG,         /* exits right after the handshake */
    MOOD_SLOW_START,
    MOOD_SLOW_CLOSE, /* ignores the end of its input and SIGTERM */
    MOOD_WRONG_VERSION,
    MOOD_NO_PING, /* answers no ping */
    MOOD_COUNT
};

/* A configured server as the world knows it; its processes are struct proc. */
struct backend {
    unsigned index;
    char name[16];
    const struct route *route;
    usec_t until[MOOD_COUNT]; /* a mood lasts until then */
    usec_t start_delay;
    unsigned card;                    /* which capabilities its next process has */
    bool old;                         /* speaks 2025-03-26: batches */
    unsigned list_version;            /* of what its lists contain */
    unsigned opens, handshakes, lost; /* processes asked for; initialized; of these, gone */
    unsigned sent, requests, replays, moves;
    unsigned executed;      /* requests of clients that one of its processes read */
    usec_t handshake_at;    /* the latest */
    struct breaker breaker; /* as it was seen last */
    unsigned troubles;      /* since it closed: what may count as a failure, */
    unsigned failed_ever;   /* attempts that failed, connections that broke */
    unsigned ends[4];       /* requests by enum metric_outcome */
    unsigned said_ever;
    unsigned said;       /* since it half opened: messages that may count as a success */
    unsigned forced;     /* recoveries by force, by the operator */
    unsigned generation; /* how often its connections were to be replaced */
    unsigned budgets;    /* all that it was ever given to replay */
};

/* What a process was asked and has not answered. */
struct job {
    uint64_t id;
    unsigned nonce; /* 0: mcpool's own, or a list that says nothing of who wants it */
    enum mcp_method method;
    bool refuse;
};

struct letter { /* a message on its way to a process that does not read */
    char *text;
    uint64_t mark;
    TAILQ_ENTRY(letter) link;
};
TAILQ_HEAD(letters, letter);

enum proc_phase { PROC_STARTING, PROC_UP, PROC_DOWN, PROC_CLOSING };

/* One process of a server: one transport. */
struct proc {
    struct transport base;
    const struct transport_events *ev;
    struct conn *conn;
    struct backend *of;
    unsigned serial;                /* counts all processes of a run */
    unsigned generation;            /* of its server, when it was started … */
    usec_t outdated_at;             /* … and since when that is another; 0 = it is not */
    const struct server_config *sc; /* what it was started from */
    unsigned slot;
    enum proc_phase phase;
    bool initialized;    /* it got notifications/initialized */
    bool frozen;         /* does not read and does not speak: SIGSTOP, or stuck */
    bool mute;           /* owes the answer to initialize */
    bool owes_ping;      /* did not answer a ping and has said nothing since */
    bool hurried;        /* closed without the polite ladder */
    unsigned hang_after; /* silent after so many requests; 0 = never */
    unsigned card;
    bool old;
    unsigned list_version;
    usec_t started_at;
    bool greeted; /* it answered initialize, rightly or wrongly … */
    bool wrong;   /* … wrongly */
    int level;    /* of log messages, as it was told; -1 = not */
    uint64_t received;
    uint64_t marks, piped, read; /* last message sent; wholly in the kernel; read by the process */
    size_t pipe_room, pipe_used, queued;
    struct letters unread;
    struct timer end; /* start is over, or it is gone for good after close */
    struct task soon; /* what it does by itself at the end of the turn */
    void (*next)(struct proc *p);
    struct job jobs[JOBS_MAX];
    unsigned job_n, requests;
    uint64_t last_id;
    uint64_t answered_ids[8]; /* the latest, to be said again */
    unsigned answered_n;
    bool subscribed[URIS];
    LIST_ENTRY(proc) link; /* sim.procs */
};

/* ---- clients ---- */

struct client { /* a channel */
    struct channel channel;
    struct player *of;
    bool deaf;      /* cannot be asked */
    bool broken;    /* cannot be reached */
    bool json_only; /* carries nothing but answers */
};

struct player {
    struct client main, post; /* the session's own channel, and that of some requests */
    struct session *session;
    struct backend *at;
    unsigned index, life, next_id;
    bool playing, ended;
    enum { SUB_NO, SUB_MAYBE, SUB_YES } wants[URIS];
    int level;               /* of log messages that it asked for; -1 = none */
    unsigned last_sub[URIS]; /* the latest request about it */
    unsigned updates[URIS];
    uint64_t vendor_asks[16]; /* ids of the latest */
    unsigned vendor_ask_n;
    bool flushing;
    bool promised[CHANGE_COUNT]; /* it was told that it will hear of changed lists */
    unsigned seen[CHANGE_COUNT]; /* version of the list that it got last; 0 = none … */
    bool told[CHANGE_COUNT];     /* … and since then that it has changed */
};

/* A request of a client. Its number stands in its params and in what a server answers to it. */
struct req {
    struct player *by;
    struct backend *to;
    unsigned life; /* of `by` */
    char id[24];
    enum mcp_method method;
    unsigned tool; /* of tools/call */
    int level;     /* of logging/setLevel */
    int uri;       /* of subscribe and unsubscribe; -1 */
    bool interactive, token;
    bool anonymous; /* its number does not stand in it */
    bool own;       /* mcpool answers it itself */
    bool open;      /* neither answered nor ended in silence */
    bool cancelled; /* the client took it back */
    bool cancel_seen;
    bool said_no; /* was answered with delivered "no" */
    bool server_answered;
    bool unread; /* sent, and not read there yet */
    bool asked;  /* a server asked its client something for it */
    unsigned sent, executed;
    struct proc *at; /* the process that has it */
    usec_t made_at, ended_at;
    double progress;
};

/* A request of a server. */
struct quest {
    struct proc *at; /* NULL once that process is gone */
    unsigned of;     /* the request it is asked for; 0: none */
    struct player *to;
    unsigned life;
    uint64_t client_id;
    unsigned delivered, answered;
    bool withdrawn, replied;
};

/* ---- one run ---- */

enum fault_kind {
#define FAULTS(X)                                                                                  \
    X(refuse_exec)                                                                                 \
    X(refuse_exec_for_good)                                                                        \
    X(exit_at_start)                                                                               \
    X(exit_in_handshake)                                                                           \
    X(hang_before_handshake)                                                                       \
    X(hang_after_requests)                                                                         \
    X(die_after_handshake)                                                                         \
    X(slow_start)                                                                                  \
    X(ignore_close)                                                                                \
    X(exit_idle)                                                                                   \
    X(exit_mid_request)                                                                            \
    X(exit_mid_line)                                                                               \
    X(stop)                                                                                        \
    X(stop_reading)                                                                                \
    X(carry_on)                                                                                    \
    X(no_ping)                                                                                     \
    X(wrong_version)                                                                               \
    X(capabilities_changed)                                                                        \
    X(list_contents_changed)                                                                       \
    X(list_changed_storm)                                                                          \
    X(answer_twice)                                                                                \
    X(answer_after_cancel)                                                                         \
    X(answer_reordered)                                                                            \
    X(wrong_id)                                                                                    \
    X(missing_id)                                                                                  \
    X(nonsense)                                                                                    \
    X(garbage)                                                                                     \
    X(oversize)                                                                                    \
    X(progress_back)                                                                               \
    X(trickle)                                                                                     \
    X(clock_jump)                                                                                  \
    X(suspend)                                                                                     \
    X(random_repeats)                                                                              \
    X(client_leaves)                                                                               \
    X(client_broken)                                                                               \
    X(client_deaf)                                                                                 \
    X(client_cancels)                                                                              \
    X(client_silent)                                                                               \
    X(id_reused)                                                                                   \
    X(forced_recovery)                                                                             \
    X(server_drained)                                                                              \
    X(server_maintained)                                                                           \
    X(server_resumed)                                                                              \
    X(server_restarted)                                                                            \
    X(config_reloaded)                                                                             \
    X(timer_lost)
#define FAULT_ENUM(name) FAULT_##name,
    FAULTS(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT
};
extern const char *const fault_names[FAULT_COUNT];

struct sim {
    struct env env;
    struct config *config;
    char globals[400]; /* its global part */
    struct proxy *proxy;
    uint64_t seed, dice;
    unsigned step;
    bool trace;
    uint64_t digest;

    uint64_t random;                     /* what the core is handed as randomness … */
    unsigned random_period, random_left; /* … or one of so many values, for so many draws */

    struct backend backends[BACKENDS_MAX];
    unsigned backend_n;
    LIST_HEAD(, proc) procs;
    unsigned proc_serial;
    struct player players[PLAYERS_MAX];
    unsigned player_n;
    struct req reqs[REQS_MAX];
    unsigned req_n; /* reqs[0] is not used */
    struct quest quests[QUESTS_MAX];
    unsigned quest_n;
    struct proc *speaking;
    const char *duplicate; /* the id of a request that is just being sent a second time */
    bool calm;             /* the faults are over: servers do what is expected */
    bool loses_timers;     /* this run breaks the timer path behind the core's back */
    bool stopping, stopped;
    unsigned time_share, fault_share; /* percent of steps */
    usec_t settled_at;                /* when everything was ready again; 0 = not yet */

    unsigned faults[FAULT_COUNT];
    unsigned answered, asked, logged, updated;
    usec_t starts[64]; /* the latest, as a ring */
    unsigned start_n;
};
extern struct sim sim;

/* ---- world.c ---- */

void world_init(uint64_t seed, bool trace);
/* The schedule's randomness. */
uint64_t dice(void);
unsigned upto(unsigned n); /* 0 … n - 1 */
bool chance(unsigned percent);
/* Something happened: goes into the digest and, when asked for, to stderr. */
void event(const char *who, unsigned n, unsigned m, const char *what, struct slice text);
/* One thing or another was injected. */
void struck(enum fault_kind kind);
/* Everything that is due now. */
void turn(void);
/* Time passes, timer by timer; or all at once. */
void pass(usec_t span);
void jump(usec_t span);

_Noreturn void violation(enum invariant what, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
#define CHECK(what, cond, ...)                                                                     \
    do {                                                                                           \
        if (!(cond))                                                                               \
            violation(what, __VA_ARGS__);                                                          \
    } while (0)

/* ---- proc.c ---- */

extern const struct transport_ops proc_ops;
bool proc_talks(const struct proc *p); /* may say something now, and the core listens */
/* It says this now. */
void proc_says(struct proc *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* It does something by itself: at the end of the turn, or after delay. */
void proc_later(struct proc *p, void (*next)(struct proc *), usec_t delay);
/* It reads no more, and says nothing. pipe_room: bytes that its pipe still takes. */
void proc_freeze(struct proc *p, size_t pipe_room);
void proc_thaw(struct proc *p);
void proc_dies(struct proc *p, enum reason why, const char *detail);
void proc_exits(struct proc *p);
/* Any of them at random; talking: of those that may say something now. NULL: none. */
struct proc *some_proc(bool talking);
unsigned proc_count(void);

/* ---- backend.c ---- */

bool backend_in(const struct backend *b, enum mood m);
void backend_calm(struct backend *b);
const char *backend_card(unsigned card);
/* p has read this message. */
void backend_reads(struct proc *p, const char *line);
/* The core hands this message over; whether p reads it is another matter. */
void backend_sent(struct proc *p, const char *line);
void backend_gone(struct proc *p);
/* Answers initialize. */
void backend_greets(struct proc *p);
unsigned number_at(struct slice obj, const char *key);
/* The number in an id or token that was made here: "q12", with its quotes. */
bool tag_number(struct slice raw, char letter, unsigned *ret_n);
const char *uri_of(int i);
int uri_index(struct slice raw);

/* ---- backend_says.c ---- */

void backend_step(void);
void backend_answers(struct proc *p, unsigned job);
void backend_answers_all(struct proc *p);
void backend_updates(struct proc *p, int uri);

/* ---- client.c ---- */

bool playing(const struct player *p);
void player_joins(struct player *p);
void player_leaves(struct player *p);
void client_step(void);
void client_asks(struct player *p, enum mcp_method method);
void client_cancels(struct player *p);
void client_answers(struct player *p, bool rightly);
void client_moves_push(struct player *p);
void clients_end_failed(void);
extern const struct channel_ops client_ops;

/* ---- hearing.c ---- */

void client_hears(struct client *c, enum delivery kind, const char *line, bool taken);
void client_hears_nothing(struct client *c, const struct call *call);

/* ---- faults.c ---- */

void fault_step(void);
void time_step(void);
void faults_stop(void);
/* Clears the timer of a slot that waits for it; whether there was one. */
bool lose_a_timer(void);

/* ---- operator.c ---- */

void operator_drains(enum fault_kind kind);
void operator_resumes(enum fault_kind kind);
void operator_restarts(enum fault_kind kind);
void operator_reloads(enum fault_kind kind);
/* Everything back to normal. */
void operator_ends(void);
/* After each turn. */
void operator_check(void);

/* ---- the oracle ---- */

/* requests.c */
struct req *req_new(struct player *p, enum mcp_method method);
struct req *req_open(const struct player *p, struct slice id);
void req_is_sent(struct req *r, struct proc *p);
void req_is_read(struct req *r, struct proc *p);
void req_ends(struct req *r, enum metric_outcome how);
void req_is_refused(struct req *r, struct slice text, const struct rpc_msg *m);
static inline unsigned req_nonce(const struct req *r)
{
    return (unsigned)(r - sim.reqs);
}
bool req_is_of(const struct player *p, unsigned nonce);
void requests_check(void); /* after each step */
/* Nobody holds lists that a restart has made old. */
bool lists_are_known(void);
void lists_check(void);
/* Every process was told the most verbose level that its clients asked for. */
void levels_check(void);
void requests_all_ended(void); /* nobody waits for anything any more */

/* slots.c */
void slots_check(void); /* I8, after each turn */
/* why: what is not. */
bool everything_is_ready(char *ret_why, size_t cap);
/* I9: the longest that this may take, and that a client may have to ask. */
usec_t ready_limit(void);
usec_t served_limit(void);

/* breaker.c */
void breaker_begin(struct backend *b);
void breaker_look(void);  /* I6, after whatever happens */
void breaker_check(void); /* after each turn */
/* A client's request goes out: may it? */
void breaker_lets(const struct backend *b);

/* status.c */
void status_check(void);

/* structure.c */
void structure_check(void);

/* ---- run.c ---- */

void run_seed(uint64_t seed, bool trace);
/* The core over this configuration, whose servers are called s0, s1 …; and everything back to where
 * it was before. */
void run_open(const char *config_text);
/* A file with this server alone, as it might be after a reload: other numbers, of the same kind. */
void run_write_changed(char *out, size_t cap, const struct backend *b);
struct config *run_read_config(const char *text);
void run_close(void);

/* ---- scenario.c ---- */

unsigned scenario_count(void);
void run_scenario(unsigned n, bool trace);

/* ---- main.c ---- */

/* The present seed has failed: says so and ends the process. */
_Noreturn void seed_failed(const char *what);

/* ---- memory.c ---- */

/* Blocks that were allocated and not freed. */
long memory_in_use(void);

#endif
