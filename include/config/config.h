/* The configuration: one file, read into an immutable, reference-counted snapshot. Every option is
 * a row of the table in config/table.h; parsing, defaults, ranges, `mcpoold --check`,
 * conf/README.md and the reload diff come from those rows. The file is JSON with comments and
 * trailing commas, otherwise strict RFC 8259.
 *
 * Everything reachable from a struct config is owned by it, const, and valid until the last
 * reference goes. All strings are NUL-terminated UTF-8 without embedded NUL. Values are resolved: a
 * reader never looks for a default, and each server carries its own complete copy of what it may
 * override. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/log.h"
#include "base/slice.h"
#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Longest server name; names match [A-Za-z0-9][A-Za-z0-9_.-]* and hold no "..". */
#define CONFIG_NAME_MAX 64

/* Largest configuration file. */
#define CONFIG_FILE_MAX (1024 * 1024)

/* ---- pieces ---- */

struct config_strings {
    size_t n;
    const char *const *v; /* n strings, then NULL */
};

struct config_pair {
    const char *name;
    const char *value;
};

struct config_pairs {
    size_t n;
    const struct config_pair *v;
};

/* One entry of `listen`: "host:port", "[v6]:port" or "unix:PATH". */
struct config_listen {
    bool is_unix;
    const char *text;      /* as written, for log and status */
    const char *host_port; /* TCP: what listener_open_tcp takes; NULL for unix */
    const char *host;      /* TCP: without brackets; NULL for unix */
    uint16_t port;         /* TCP: 0 = any free port */
    const char *path;      /* unix: absolute path; NULL for TCP */
};

enum config_transport {
    CONFIG_TRANSPORT_STDIO,
    CONFIG_TRANSPORT_HTTP, /* Streamable HTTP */
    CONFIG_TRANSPORT_SSE,  /* HTTP+SSE of 2024-11-05 */
};

/* How client sessions share the connections of a pool: house.md section 5. */
enum config_sharing {
    CONFIG_SHARING_SHARED,
    CONFIG_SHARING_EXCLUSIVE,
    CONFIG_SHARING_SESSION,
};

/* What happens to a child's stderr. */
enum config_stderr {
    CONFIG_STDERR_LOG,     /* lines to the log, within the stderr_* limits */
    CONFIG_STDERR_DISCARD, /* read and thrown away */
};

/* Whether a server is taken to ask clients things: protocol.md 1.7. */
enum config_server_asks {
    CONFIG_SERVER_ASKS_AUTO, /* found out at run time */
    CONFIG_SERVER_ASKS_YES,
};

/* What may be sent again after a server died over it: policy/replay.h. */
enum config_replay {
    CONFIG_REPLAY_READS,
    CONFIG_REPLAY_ANNOTATED,
    CONFIG_REPLAY_OFF,
};

/* Whether the cap of a server's back-off follows its measured recovery times: policy/adapt.h. */
enum config_adaptive {
    CONFIG_ADAPTIVE_OFF,
    CONFIG_ADAPTIVE_OBSERVE,
    CONFIG_ADAPTIVE_ON,
};

/* Client features that are declared to a server (protocol.md 3.2); bits of
 * server_options.client_features. */
enum config_feature {
    CONFIG_FEATURE_ELICITATION = 1 << 0,
    CONFIG_FEATURE_SAMPLING = 1 << 1,
    CONFIG_FEATURE_ROOTS = 1 << 2,
};

/* One entry of `tokens`: who presents one of its secrets is this principal. */
struct config_token {
    const char *name;
    const char *principal; /* "token:NAME" */
    bool all_servers;
    struct config_strings servers; /* unless all_servers: the only ones it opens */
};

#define CONFIG_SECRET_DIGEST 32

/* A secret, as its SHA-256; the text is nowhere in a snapshot. */
struct config_secret {
    unsigned char digest[CONFIG_SECRET_DIGEST];
    size_t token; /* whose it is: index into config.tokens */
};

/* ---- sections ---- */

/* Section `resilience`, globally and per server: resilience.md section 1. */
struct config_resilience {
    unsigned min_connections;
    unsigned max_connections;
    usec_t backoff_base;
    usec_t max_backoff_delay;
    usec_t recovery_jitter_max;
    unsigned max_retry_attempts;
    usec_t recovery_interval;
    usec_t health_check_interval;
    unsigned circuit_breaker_threshold;
    usec_t circuit_breaker_timeout;
    usec_t operation_timeout;
    usec_t call_timeout;
    usec_t queue_timeout;
    usec_t force_recovery_interval;
    usec_t stable_after;
    usec_t circuit_breaker_window;
    unsigned circuit_breaker_volume;
    unsigned circuit_breaker_failure_rate; /* percent; 0 = never */
    usec_t circuit_breaker_trial_timeout;
    unsigned circuit_breaker_successes;
    usec_t circuit_breaker_ramp;
    enum config_adaptive adaptive_backoff;
    unsigned replay_budget;
};

/* Section `limits`, globally; the rows marked so in the table also per server. A struct
 * server_config holds a complete copy, so that one place serves all readers. 0 means what the row's
 * help says: never, off. */
struct config_limits {
    /* messages */
    size_t max_request_bytes;
    size_t max_response_bytes; /* per server */
    size_t stream_above;       /* per server */
    size_t spool_memory;       /* 0 = none */
    size_t max_head_bytes;
    size_t max_header_bytes;
    unsigned max_headers;
    unsigned json_depth;
    unsigned max_batch;
    /* sessions and requests */
    unsigned max_sessions;
    unsigned max_sessions_per_principal;
    usec_t session_idle_timeout; /* 0 = never */
    usec_t session_max_age;
    size_t state_file_bytes;
    usec_t sse_grace;
    unsigned max_in_flight_per_session;
    unsigned max_in_flight_per_principal;
    unsigned max_in_flight_per_connection; /* per server */
    unsigned max_asks_per_session;
    unsigned max_classes;  /* per server */
    unsigned queue_length; /* per server; per pool */
    size_t queue_bytes;    /* per server; per pool */
    /* events kept for replay, notifications, slow readers */
    unsigned event_buffer_events;
    size_t event_buffer_bytes;
    size_t event_buffer_session_bytes;
    size_t event_buffer_total_bytes;
    usec_t event_buffer_ttl;
    unsigned progress_per_second; /* per server; 0 = no limit */
    unsigned pending_notifications;
    usec_t keepalive_interval; /* 0 = none */
    size_t slow_reader_bytes;
    /* client connections */
    unsigned max_client_connections;
    unsigned max_connections_per_peer; /* 0 = no limit */
    usec_t header_timeout;
    size_t body_min_rate; /* bytes per second; 0 = no minimum */
    usec_t body_rate_window;
    usec_t idle_connection_timeout; /* 0 = never */
    usec_t auth_failure_delay;      /* 0 = none */
    /* children */
    size_t stderr_line_bytes;         /* per server */
    unsigned stderr_lines_per_second; /* per server; 0 = no limit */
    unsigned stderr_tail_lines;       /* per server; 0 = none */
    usec_t shutdown_grace;            /* per server; each step of the ladder */
    usec_t idle_shrink;               /* per server; 0 = surplus connections stay */
    /* process */
    unsigned call_errors_logged_per_second; /* per server; 0 = no limit */
    unsigned events_kept;                   /* 0 = none */
    unsigned events_kept_per_server;        /* 0 = none */
    usec_t drain_timeout;
    unsigned start_rate; /* starts per second over all servers; 0 = no limit */
    unsigned start_burst;
    const char *spool_dir; /* never NULL */
};

/* Section `http`: the HTTP front. */
struct config_http {
    /* Lower case. "host" (any port) or "host:port"; origins also "scheme://host[:port]". Empty =
     * nothing is allowed. */
    struct config_strings allowed_hosts;
    struct config_strings allowed_origins;
    bool strict_accept;
    bool sessionless;
    usec_t retry_hint;
};

/* Section `defaults`, and the same keys directly in an entry of `mcpServers`. */
struct server_options {
    bool enabled;
    enum config_sharing sharing;
    enum config_stderr stderr_to;
    unsigned client_features; /* set of enum config_feature */
    enum config_server_asks server_asks;
    enum config_replay replay;
    bool wait_for_ready;
    const char *pin_version; /* protocol revision to offer to the server; NULL = the newest */
};

/* One entry of `mcpServers`. */
struct server_config {
    const char *name;
    unsigned line; /* where the entry begins in the file */
    enum config_transport transport;
    /* stdio; empty otherwise */
    const char *command;
    const char *const *argv; /* argv[0] = command, NULL-terminated; NULL unless stdio */
    struct config_strings
        env;         /* "K=V", as configured: what is added to the allow-listed environment */
    const char *cwd; /* absolute; NULL = the daemon's */
    /* http, sse; empty otherwise */
    const char *url;
    struct config_pairs headers;

    struct server_options options;
    struct config_resilience resilience;
    struct config_limits limits;

    /* Equal in two snapshots if and only if (but for chance, 2^-64) nothing relevant differs.
     * `identity`: what the server is (transport, command, argv, env, cwd, url, headers): a change
     * needs new connections. `settings`: the values of all rows that a server may override. */
    uint64_t identity_hash;
    uint64_t settings_hash;
};

struct config {
    unsigned refs;
    const char *path; /* of the file, as given; "(text)" for config_parse */
    enum log_level log_level;
    const char *runtime_dir;                  /* absolute */
    const char *state_dir;                    /* absolute */
    const char *admin_path;                   /* unix socket of the admin interface, absolute */
    const struct config_listen *admin_listen; /* its read-only port, loopback; NULL = none */
    size_t listen_n;
    const struct config_listen *listen;
    bool allow_unauthenticated;
    size_t tokens_n; /* 0: clients over TCP need none */
    const struct config_token *tokens;
    size_t secrets_n;
    const struct config_secret *secrets;
    struct config_http http;
    struct config_limits limits;
    struct config_resilience resilience;
    struct server_options defaults;
    size_t servers_n;
    const struct server_config *servers; /* in the order of the file, disabled ones included */

    struct config_arena *arena;           /* private: owns everything above */
    const struct server_config **by_name; /* private: sorted */
};

/* ---- errors ---- */

#define CONFIG_ERRORS_MAX   20
#define CONFIG_WARNINGS_MAX 20

struct config_diag {
    bool warning;
    unsigned line, column; /* 1-based, columns count characters; 0, 0 = the file as a whole */
    char *text;            /* one sentence without a final full stop; control bytes escaped */
};

/* All that was found in one file. Initialise with config_errors_init, release with
 * config_errors_done. */
struct config_errors {
    char *path;
    size_t n; /* entries in v, by position in the file */
    struct config_diag v[CONFIG_ERRORS_MAX + CONFIG_WARNINGS_MAX];
    unsigned errors, warnings; /* found, including those beyond the room in v */
};

void config_errors_init(struct config_errors *errs);
void config_errors_done(struct config_errors *errs);

/* One line each: "FILE:LINE:COL: error: …" or "… warning: …", and a line about what had no room. */
void config_errors_write(const struct config_errors *errs, FILE *f);

/* ---- reading ---- */

/* The surroundings that a file is read in; NULL where one is expected = those of this process. */
struct config_params {
    /* Value of an environment variable or NULL; for ${VAR} and the default directories. */
    const char *(*getenv)(void *arg, const char *name);
    void *getenv_arg;
    uid_t uid;            /* may own the file, besides root; chooses the default directories */
    const char *base_dir; /* config_parse only: what relative paths are relative to; NULL = "." */
    /* Leaves `mcpServers` and `tokens` alone, for who needs to know where things are and not what
     * they are: their variables may be set in the daemon's environment only, and their files be
     * readable for its user only. */
    bool without_servers;
    /* The file is only to be judged, perhaps by another user than it is for: a token file that only
     * that user can read, and credentials that only the service manager can pass, are warned about.
     */
    bool check_only;
    /* Whether every address of a host name is a loopback one; NULL = that is not known. */
    bool (*is_loopback_name)(const char *host);
};

/* The file to read when none was named: $XDG_CONFIG_HOME/mcpool/mcpool.json (without the variable,
 * $HOME/.config/mcpool/mcpool.json) if it is there, otherwise /etc/mcpool/mcpool.json. malloc'ed;
 * NULL when neither is there. */
char *config_default_path(const struct config_params *params);

/* Reads and checks the file at path: a regular file (a symlink to one is fine) of at most
 * CONFIG_FILE_MAX, owned by root or params->uid, not writable for group or others (security.md C01,
 * C02). 0 with *ret holding one reference owned by the caller, and warnings, if any, in errs.
 * -errno otherwise, with at least one error in errs and *ret untouched; -EINVAL when the contents
 * are at fault. errs must be initialised. */
int config_load(const char *path, const struct config_params *params, struct config **ret,
                struct config_errors *errs);

/* The same for a text in memory; 0 or -EINVAL. */
int config_parse(struct slice text, const struct config_params *params, struct config **ret,
                 struct config_errors *errs);

struct config *config_ref(struct config *c);

/* Drops one reference. Accepts NULL. Returns NULL. */
struct config *config_unref(struct config *c);

/* Whose secret has this SHA-256; NULL: nobody's. Takes as long whichever it is. */
const struct config_token *config_find_token(const struct config *c,
                                             const unsigned char digest[CONFIG_SECRET_DIGEST]);

/* Whether the token opens the server of that name. */
bool config_token_opens(const struct config_token *t, struct slice server);

/* The entry of that exact name, disabled ones included; NULL when there is none. */
const struct server_config *config_find_server(const struct config *c, struct slice name);

/* The whole of `mcpoold --check FILE`: reads the file, writes the lines of config_errors_write and,
 * when the file is good, a summary such as "ok: 3 servers, 2 listeners". Returns whether the file
 * is good. */
bool config_check(const char *path, const struct config_params *params, FILE *out);

/* Writes the option reference, conf/README.md. */
void config_write_reference(FILE *f);

/* Writes the same as a manual page, mcpool.json(5). */
void config_write_manual(FILE *f);

/* Name tables of the enums, as they are spelled in the file. */
const char *config_transport_name(enum config_transport t);
const char *config_sharing_name(enum config_sharing s);

#endif
