/* The rows. One line of thought per option: what it bounds, what happens at the bound, and when
 * somebody would change it. Ranges are wide enough for tests (milliseconds) and large machines, and
 * narrow enough to catch a wrong unit. */
#include "config/table.h"

#include "config/config.h"
#include "config/value.h"

#include "base/util.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define MS  USEC_PER_MSEC
#define S   USEC_PER_SEC
#define MIN (60 * S)
#define H   (60 * MIN)
#define D   (24 * H)
#define KiB ((uint64_t)1 << 10)
#define MiB ((uint64_t)1 << 20)
#define GiB ((uint64_t)1 << 30)

_Static_assert(sizeof(enum config_sharing) == sizeof(unsigned), "enum rows are stored as unsigned");

/* A position in one of the name lists below. */
static const char *const level_names[] = {"debug", "info",     "notice", "warning",
                                          "error", "critical", NULL};
static const char *const sharing_names[] = {"shared", "exclusive", "session", NULL};
static const char *const stderr_names[] = {"log", "discard", NULL};
static const char *const feature_names[] = {"elicitation", "sampling", "roots", NULL};
static const char *const asks_names[] = {"auto", "yes", NULL};
static const char *const replay_names[] = {"reads", "annotated", "off", NULL};
static const char *const adaptive_names[] = {"off", "observe", "on", NULL};
static const char *const version_names[] = {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25",
                                            NULL};

/* What begins a row of each section; AT names the member that holds the value. */
#define TOP        .section = CONFIG_SECTION_TOP
#define HTTP       .section = CONFIG_SECTION_HTTP
#define LIMIT      .section = CONFIG_SECTION_LIMITS
#define RESILIENCE .section = CONFIG_SECTION_RESILIENCE, .per_server = true, .reloadable = true
#define DEFAULT    .section = CONFIG_SECTION_DEFAULTS, .per_server = true
#define SERVER     .section = CONFIG_SECTION_SERVER, .reloadable = true, .renews = true

#define AT(type, member) .key = #member, .offset = offsetof(struct type, member)

#define BOOL(d) .type = CONFIG_TYPE_BOOL, .def = (d), .max = 1
#define COUNT(u, d, lo, hi)                                                                        \
    .type = CONFIG_TYPE_COUNT, .unit = u, .def = (d), .min = (lo), .max = (hi)
#define SIZE(d, lo, hi)     .type = CONFIG_TYPE_SIZE, .def = (d), .min = (lo), .max = (hi)
#define RATE(d, lo, hi)     .type = CONFIG_TYPE_RATE, .def = (d), .min = (lo), .max = (hi)
#define DURATION(d, lo, hi) .type = CONFIG_TYPE_DURATION, .def = (d), .min = (lo), .max = (hi)
#define ENUM(names, d)      .type = CONFIG_TYPE_ENUM, .values = names, .def = (d)

static const struct config_row rows[] = {
    /* ---- top ---- */
    {TOP, .key = "listen", .type = CONFIG_TYPE_LISTEN, .def_text = "127.0.0.1:7332",
     .reloadable = true,
     .help = "Where clients connect, besides the unix sockets in `runtime_dir`: an array of "
             "`\"host:port\"` (`\"[::1]:7332\"` for IPv6, port 0 for any free one) and "
             "`\"unix:/path\"`. An empty array leaves the sockets in `runtime_dir` only. An "
             "address that "
             "other machines can reach needs `tokens`; there is no encryption on it, so put a "
             "proxy that "
             "speaks TLS in front."},
    {TOP, .key = "tokens", .type = CONFIG_TYPE_SECTION, .reloadable = true,
     .help =
         "Who may connect over TCP: an object with an entry per client, of which the name (up to "
         "64 characters out of `A-Z a-z 0-9 _ . -`) is what the log and the limits per user know "
         "the client by. With at least one entry, every request over TCP must carry "
         "`Authorization: Bearer SECRET` (else 401). An entry says where its secrets are, "
         "`{\"file\": \"/path\"}` or `{\"credential\": \"name\"}` (a file in the service manager's "
         "`$CREDENTIALS_DIRECTORY`), and which servers they open, `\"servers\": [\"name\", ...]` "
         "(without it, all; others get 403). Each line of the file is one secret of 16 to 4096 "
         "visible ASCII characters; several are good for exchanging one without a gap. The file "
         "belongs to root or to the user who runs mcpoold and nobody else can read it (a group "
         "may, if root owns it). A relative path begins at the directory of the configuration "
         "file. "
         "`{\"token\": \"${VAR}\"}` takes a secret from the environment; one that stands in this "
         "file is accepted with a warning. The files are read at the start and at each reload; the "
         "service manager writes credentials only when it starts mcpoold. Clients on unix sockets "
         "need no token: the kernel tells who they are."},
    {TOP, AT(config, allow_unauthenticated), BOOL(false), .reloadable = true,
     .help = "Listen on addresses that other machines can reach although there are no `tokens`: "
             "whoever reaches them can use every server."},
    {TOP, .key = "runtime_dir", .type = CONFIG_TYPE_PATH,
     .offset = offsetof(struct config, runtime_dir),
     .def_text = "the service manager's `$RUNTIME_DIRECTORY`, else `$XDG_RUNTIME_DIR/mcpool`, else "
                 "for root `/run/mcpool`, else `mcpool-UID` in `$TMPDIR` or `/tmp`",
     .help = "Directory of the unix sockets: `NAME.sock` per server, and `mcp.sock`. "
             "File permissions decide who may connect."},
    {TOP, .key = "state_dir", .type = CONFIG_TYPE_PATH,
     .offset = offsetof(struct config, state_dir),
     .def_text = "the service manager's `$STATE_DIRECTORY`, else for root `/var/lib/mcpool`, else "
                 "`$XDG_STATE_HOME/mcpool`, else `$HOME/.local/state/mcpool`, else `state` in "
                 "`runtime_dir`",
     .help = "Directory for what must outlive a restart, so that clients keep their sessions over "
             "it: `session.key`, 32 random bytes that authenticate session ids, made at the first "
             "start (a credential of that name from the service manager comes first; instances "
             "with the same key recognise each other's sessions), and `sessions.journal`."},
    {TOP, .key = "admin", .type = CONFIG_TYPE_STRING,
     .def_text = "`unix:` and `admin.sock` in `runtime_dir`",
     .help = "Socket of the admin interface, as `\"unix:/path\"`. Only root and the user who runs "
             "mcpoold may use it."},
    {TOP, .key = "admin_listen", .type = CONFIG_TYPE_STRING, .def_text = "none",
     .help = "A TCP port of the admin interface besides its socket, as `\"127.0.0.1:7333\"`, for "
             "Prometheus and browsers. It only shows status, metrics and health, and changes "
             "nothing; every user of this machine can read it. It must be a loopback address."},
    {TOP, AT(config, log_level), ENUM(level_names, LOG_LEVEL_INFO), .reloadable = true,
     .help = "Events below this level are not logged."},
    {TOP, .key = "http", .type = CONFIG_TYPE_SECTION, .reloadable = true,
     .help = "Options of the HTTP front."},
    {TOP, .key = "limits", .type = CONFIG_TYPE_SECTION, .reloadable = true,
     .help = "Bounds on everything that a client or a server could make grow."},
    {TOP, .key = "resilience", .type = CONFIG_TYPE_SECTION, .reloadable = true,
     .help = "Pools, waiting times and recovery."},
    {TOP, .key = "defaults", .type = CONFIG_TYPE_SECTION, .reloadable = true,
     .help = "What the entries of `mcpServers` start from."},
    {TOP, .key = "mcpServers", .type = CONFIG_TYPE_SECTION, .reloadable = true,
     .help = "The servers, by name."},

    /* ---- http ---- */
    {HTTP, AT(config_http, allowed_hosts), .type = CONFIG_TYPE_HOSTS, .reloadable = true,
     .def_text = "localhost 127.0.0.1 [::1]",
     .help =
         "Values of the `Host` header that are served on TCP, against DNS rebinding: `\"host\"` "
         "for any port or `\"host:port\"`; anything else gets 403. An empty array allows none."},
    {HTTP, AT(config_http, allowed_origins), .type = CONFIG_TYPE_ORIGINS, .reloadable = true,
     .def_text = "localhost 127.0.0.1 [::1]",
     .help = "Values of the `Origin` header, which only browsers send, that are served: "
             "`\"host\"`, `\"host:port\"` or `\"scheme://host:port\"`; anything else, `null` "
             "included, gets 403. An empty array allows none. Requests without the header pass."},
    {HTTP, AT(config_http, strict_accept), BOOL(false), .reloadable = true,
     .help = "Answer 406 when `Accept` does not list what the specification demands. Off, any "
             "client gets an answer in a form that it accepts."},
    {HTTP, AT(config_http, sessionless), BOOL(false), .reloadable = true,
     .help = "Serve requests that carry no session id. Off, they get 400."},
    {HTTP, AT(config_http, retry_hint), DURATION(3 * S, 0, 10 * MIN), .reloadable = true,
     .help = "How long clients are told to wait before they reconnect an event stream."},

    /* ---- limits: messages ---- */
    {LIMIT, AT(config_limits, max_request_bytes), SIZE(4 * MiB, KiB, GiB), .reloadable = true,
     .help = "Largest message from a client. A larger one is refused with an error that carries "
             "its id where that can still be read."},
    {LIMIT, AT(config_limits, max_response_bytes), SIZE(32 * MiB, KiB, 64 * GiB),
     .reloadable = true, .per_server = true,
     .help =
         "Largest message from a server. The call that a larger one answers ends with an error."},
    {LIMIT, AT(config_limits, stream_above), SIZE(256 * KiB, 4 * KiB, GiB), .reloadable = true,
     .per_server = true,
     .help = "Messages from a server beyond this size are kept apart: in memory as long as all of "
             "them together take no more than `spool_memory`, and beyond that in a file in "
             "`spool_dir`."},
    {LIMIT, AT(config_limits, spool_memory), SIZE(16 * MiB, 2 * MiB, 16 * GiB), .zero = "no memory",
     .reloadable = true,
     .help = "Memory for the messages beyond `stream_above` of all servers together, of which each "
             "takes it in steps of 2 MiB. What finds none left goes to a file, which costs more "
             "time. A lower value acts on what arrives from then on."},
    {LIMIT, AT(config_limits, max_head_bytes), SIZE(16 * KiB, KiB, MiB), .reloadable = true,
     .help = "Largest head of an HTTP request, request line included; beyond it 431."},
    {LIMIT, AT(config_limits, max_header_bytes), SIZE(8 * KiB, 256, MiB), .reloadable = true,
     .help = "Longest single header line (431) or request line (414)."},
    {LIMIT, AT(config_limits, max_headers), COUNT("headers", 64, 8, 1000), .reloadable = true,
     .help = "Most headers in one request; beyond it 431."},
    {LIMIT, AT(config_limits, json_depth), COUNT("levels", 128, 8, 1000), .reloadable = true,
     .help = "Deepest nesting of arrays and objects in a message. Deeper ones are refused."},
    {LIMIT, AT(config_limits, max_batch), COUNT("messages", 64, 1, 10000), .reloadable = true,
     .help = "Most messages in a JSON-RPC batch, which only protocol revision 2025-03-26 knows."},
    /* ---- limits: sessions and requests ---- */
    {LIMIT, AT(config_limits, max_sessions), COUNT("sessions", 10000, 1, 10000000),
     .reloadable = true, .help = "Most client sessions. Another one is refused until one ends."},
    {LIMIT, AT(config_limits, max_sessions_per_principal), COUNT("sessions", 10000, 1, 10000000),
     .reloadable = true,
     .help =
         "Most client sessions of one user. Clients with the same token are one user, and so are "
         "all clients over TCP when there are no `tokens`."},
    {LIMIT, AT(config_limits, session_idle_timeout), DURATION(D, S, 365 * D), .zero = "never",
     .reloadable = true,
     .help = "A session without requests and open streams ends after this time. Long on purpose: "
             "most clients do not recover from a lost session."},
    {LIMIT, AT(config_limits, session_max_age), DURATION(30 * D, S, 3650 * D), .reloadable = true,
     .help = "How long after its beginning a Streamable HTTP session is recognised by another "
             "process than the one that it began in: after a restart, or by an instance with the "
             "same key. Sessions that go on in one process have no such end."},
    {LIMIT, AT(config_limits, state_file_bytes), SIZE(4 * MiB, 16 * KiB, GiB), .reloadable = true,
     .help = "Largest size of `sessions.journal` in `state_dir`, which keeps log levels, "
             "subscriptions and the ends of sessions over a restart. It is rewritten when it "
             "reaches this; the oldest entries go when what is kept takes more than half."},
    {LIMIT, AT(config_limits, sse_grace), DURATION(30 * S, 0, H), .reloadable = true,
     .help =
         "How long a session of the 2024-11-05 HTTP+SSE transport survives the end of its stream."},
    {LIMIT, AT(config_limits, max_in_flight_per_session), COUNT("requests", 64, 1, 100000),
     .reloadable = true,
     .help = "Most unanswered requests of one session. Another one gets an error at once."},
    {LIMIT, AT(config_limits, max_in_flight_per_principal), COUNT("requests", 256, 1, 1000000),
     .reloadable = true,
     .help = "Most unanswered requests of one user over all sessions. Another one gets an error at "
             "once."},
    {LIMIT, AT(config_limits, max_in_flight_per_connection), COUNT("requests", 16, 1, 10000),
     .reloadable = true, .per_server = true,
     .help = "Most requests that one connection to a server holds at a time. Further ones go to "
             "another connection or wait."},
    {LIMIT, AT(config_limits, max_asks_per_session), COUNT("requests", 64, 1, 10000),
     .reloadable = true,
     .help = "Most questions of servers (sampling, elicitation, roots) that one session has open. "
             "Another "
             "one is refused to the server."},
    {LIMIT, AT(config_limits, max_classes), COUNT("classes", 8, 1, 1000), .reloadable = true,
     .per_server = true,
     .help =
         "Most kinds of client, by the features that they declare, for which a user has pools of "
         "their own at one server. A client of a further kind shares the pool of those that "
         "declare nothing: the server cannot ask it anything."},
    {LIMIT, AT(config_limits, queue_length), COUNT("requests", 256, 0, 100000), .reloadable = true,
     .per_server = true,
     .help = "Most requests that wait for a connection of one pool. Another one gets an error at "
             "once; `queue_timeout` bounds the wait."},
    {LIMIT, AT(config_limits, queue_bytes), SIZE(16 * MiB, KiB, 4 * GiB), .reloadable = true,
     .per_server = true,
     .help = "The same in bytes: together, the requests in line of one pool hold no more. A larger "
             "one waits only when it is alone."},
    /* ---- limits: events, notifications, slow readers ---- */
    {LIMIT, AT(config_limits, event_buffer_events), COUNT("events", 256, 0, 100000),
     .reloadable = true,
     .help = "Most events of one stream that are kept for clients that reconnect. The oldest go "
             "first."},
    {LIMIT, AT(config_limits, event_buffer_bytes), SIZE(MiB, 0, GiB), .reloadable = true,
     .help = "The same in bytes, per stream."},
    {LIMIT, AT(config_limits, event_buffer_session_bytes), SIZE(4 * MiB, 0, 4 * GiB),
     .reloadable = true, .help = "The same in bytes, for all streams of one session."},
    {LIMIT, AT(config_limits, event_buffer_total_bytes), SIZE(64 * MiB, 0, 256 * GiB),
     .reloadable = true, .help = "The same in bytes, for all sessions together."},
    {LIMIT, AT(config_limits, event_buffer_ttl), DURATION(300 * S, 0, D), .reloadable = true,
     .help = "Events older than this are no longer kept."},
    {LIMIT, AT(config_limits, progress_per_second), COUNT("notifications", 20, 1, 1000000),
     .zero = "no limit", .reloadable = true, .per_server = true,
     .help = "Most progress notifications that are passed on for one call in a second. Of those "
             "that come faster only the latest is; the last one always is."},
    {LIMIT, AT(config_limits, pending_notifications), COUNT("notifications", 128, 1, 100000),
     .reloadable = true,
     .help = "Most notifications that wait for a session without an open stream. Equal ones are "
             "merged, the oldest go first."},
    {LIMIT, AT(config_limits, keepalive_interval), DURATION(15 * S, 100 * MS, H), .zero = "none",
     .reloadable = true,
     .help = "A silent event stream carries a comment this often, so that nothing on the way "
             "closes it."},
    {LIMIT, AT(config_limits, slow_reader_bytes), SIZE(8 * MiB, 64 * KiB, GiB), .reloadable = true,
     .help = "Output that may wait for a client that reads too slowly. Beyond it progress and log "
             "messages are dropped, then the stream is closed."},
    /* ---- limits: client connections ---- */
    {LIMIT, AT(config_limits, max_client_connections), COUNT("connections", 20000, 1, 1000000),
     .reloadable = true,
     .help = "Most connections of clients. At the limit further ones wait in the kernel."},
    {LIMIT, AT(config_limits, max_connections_per_peer), COUNT("connections", 0, 1, 1000000),
     .zero = "no limit", .reloadable = true,
     .help = "Most connections from one address or user. Another one is closed at once."},
    {LIMIT, AT(config_limits, header_timeout), DURATION(10 * S, 100 * MS, 10 * MIN),
     .reloadable = true,
     .help = "The head of a request must be complete after this time in total; else 408."},
    {LIMIT, AT(config_limits, body_min_rate), RATE(1000, 1, GiB), .zero = "no minimum",
     .reloadable = true,
     .help = "A request body that arrives slower than this over `body_rate_window` ends with 408."},
    {LIMIT, AT(config_limits, body_rate_window), DURATION(30 * S, S, 10 * MIN), .reloadable = true,
     .help = "Time over which `body_min_rate` is measured."},
    {LIMIT, AT(config_limits, idle_connection_timeout), DURATION(2 * MIN, S, D), .zero = "never",
     .reloadable = true,
     .help = "An HTTP connection without a request is closed after this time. Sessions are not "
             "affected."},
    {LIMIT, AT(config_limits, auth_failure_delay), DURATION(S, MS, MIN), .zero = "none",
     .reloadable = true,
     .help = "A request with a token that is not valid is answered only after this time, so that "
             "guessing is slow. Valid tokens are never delayed, whoever else guesses."},
    /* ---- limits: children and the process ---- */
    {LIMIT, AT(config_limits, stderr_line_bytes), SIZE(8 * KiB, 80, MiB), .reloadable = true,
     .per_server = true, .help = "Longer lines on a child's stderr are cut in the log."},
    {LIMIT, AT(config_limits, stderr_lines_per_second), COUNT("lines", 100, 1, 1000000),
     .zero = "no limit", .reloadable = true, .per_server = true,
     .help = "Further lines on a child's stderr are counted, not logged."},
    {LIMIT, AT(config_limits, stderr_tail_lines), COUNT("lines", 200, 1, 10000), .zero = "none",
     .reloadable = true, .per_server = true,
     .help = "The last lines that the children of a server wrote, whatever the log got of them, "
             "are kept for `mcpoolctl logs`: so many, and no more than 256 KiB of them."},
    {LIMIT, AT(config_limits, shutdown_grace), DURATION(2 * S, 10 * MS, 5 * MIN),
     .reloadable = true, .per_server = true,
     .help = "When a child is stopped: time between closing its stdin and SIGTERM, and again "
             "before SIGKILL."},
    {LIMIT, AT(config_limits, idle_shrink), DURATION(300 * S, S, 30 * D), .zero = "never",
     .reloadable = true, .per_server = true,
     .help = "Connections beyond `min_connections` that were not used for this time are closed."},
    {LIMIT, AT(config_limits, call_errors_logged_per_second), COUNT("calls", 10, 1, 1000000),
     .zero = "no limit", .reloadable = true, .per_server = true,
     .help = "Further calls that mcpool fails within a second are counted, not logged one by one, "
             "so that a dead server under load does not flood the log."},
    {LIMIT, AT(config_limits, events_kept), COUNT("events", 1000, 1, 100000), .zero = "none",
     .reloadable = true,
     .help = "The latest events of level info and above, whatever is logged, are kept in memory "
             "for the status page."},
    {LIMIT, AT(config_limits, events_kept_per_server), COUNT("events", 64, 1, 10000),
     .zero = "none", .reloadable = true,
     .help = "The same of each server, for `mcpoolctl explain`."},
    {LIMIT, AT(config_limits, drain_timeout), DURATION(30 * S, 0, H), .reloadable = true,
     .help = "At shutdown, requests in flight have this time to finish."},
    {LIMIT, AT(config_limits, start_rate), COUNT("starts per second", 10, 1, 100000),
     .zero = "no limit", .reloadable = true,
     .help = "Connections to servers, all together, are started no faster than this, so that many "
             "that failed at once do not come back in one burst."},
    {LIMIT, AT(config_limits, start_burst), COUNT("starts", 10, 1, 100000), .reloadable = true,
     .help = "After a quiet time this many may start at the same moment."},
    {LIMIT, AT(config_limits, spool_dir), .type = CONFIG_TYPE_PATH, .def_text = "`state_dir`",
     .help =
         "Directory for big messages, see `stream_above`. The files have no name and vanish with "
         "the process; a file system in memory defeats the purpose."},

    /* ---- resilience ---- */
    {RESILIENCE, AT(config_resilience, min_connections), COUNT("connections", 1, 0, 1000),
     .help = "Connections of a pool that are kept alive or in recovery, used or not."},
    {RESILIENCE, AT(config_resilience, max_connections), COUNT("connections", 10, 1, 1000),
     .help = "Most connections of a pool. It grows to this by load."},
    {RESILIENCE, AT(config_resilience, backoff_base), DURATION(S, MS, H),
     .help = "Delay after the first failed attempt to connect. It doubles with each further one."},
    {RESILIENCE, AT(config_resilience, max_backoff_delay), DURATION(60 * S, MS, D),
     .help = "The delay grows no further than this."},
    {RESILIENCE, AT(config_resilience, recovery_jitter_max), DURATION(5 * S, 0, H),
     .help = "A random time up to this is added to each delay, so that many connections do not "
             "come back at the same moment."},
    {RESILIENCE, AT(config_resilience, max_retry_attempts), COUNT("attempts", 10, 1, 1000000),
     .help = "Attempts in a cycle. After the last one the count starts again and the delay stays "
             "at the cap: a connection is never given up."},
    {RESILIENCE, AT(config_resilience, recovery_interval), DURATION(10 * S, 10 * MS, H),
     .help = "How often the recovery queue is swept for connections that are due."},
    {RESILIENCE, AT(config_resilience, health_check_interval), DURATION(30 * S, 10 * MS, D),
     .help = "How often connections are probed that were silent for at least half as long."},
    {RESILIENCE, AT(config_resilience, circuit_breaker_threshold), COUNT("failures", 5, 1, 1000000),
     .help = "Consecutive failures that open the circuit breaker: calls are then refused at once."},
    {RESILIENCE, AT(config_resilience, circuit_breaker_timeout), DURATION(60 * S, 10 * MS, D),
     .help = "How long the breaker stays open before one attempt is let through."},
    {RESILIENCE, AT(config_resilience, operation_timeout), DURATION(30 * S, 10 * MS, H),
     .help = "Longest time for connecting, the handshake, a probe or a list."},
    {RESILIENCE, AT(config_resilience, call_timeout), DURATION(300 * S, 10 * MS, H),
     .help = "Longest time that a call may take at its server. Progress starts it again, up to an "
             "hour in all; the wait in the queue does not count."},
    {RESILIENCE, AT(config_resilience, queue_timeout), DURATION(20 * S, 0, H),
     .help = "Longest wait for a connection before a call is refused; such a call has not run."},
    {RESILIENCE, AT(config_resilience, force_recovery_interval), DURATION(300 * S, 10 * MS, D),
     .help = "A breaker open, or a pool empty, for this long is recovered by force."},
    {RESILIENCE, AT(config_resilience, stable_after), DURATION(10 * S, 10 * MS, H),
     .help = "A connection that lives this long counts as recovered; one that dies earlier without "
             "a real answer goes on with longer delays."},
    {RESILIENCE, AT(config_resilience, circuit_breaker_window), DURATION(30 * S, 100 * MS, H),
     .help = "The breaker also opens by rate; this is the span over which the rate is taken."},
    {RESILIENCE, AT(config_resilience, circuit_breaker_volume), COUNT("outcomes", 10, 1, 1000000),
     .help = "With fewer outcomes than this in the window, the rate says nothing."},
    {RESILIENCE, AT(config_resilience, circuit_breaker_failure_rate), COUNT("percent", 50, 1, 100),
     .zero = "never", .help = "Share of failures in the window that opens the breaker."},
    {RESILIENCE, AT(config_resilience, circuit_breaker_trial_timeout), DURATION(5 * S, 10 * MS, H),
     .help = "A half-open trial that says nothing for this time has failed."},
    {RESILIENCE, AT(config_resilience, circuit_breaker_successes), COUNT("trials", 2, 1, 1000),
     .help = "Successful trials that close a half-open breaker. A completed handshake closes it "
             "at once."},
    {RESILIENCE, AT(config_resilience, circuit_breaker_ramp), DURATION(10 * S, 0, H),
     .help = "After the breaker closed, the number of requests in flight may grow from one to all "
             "over this time."},
    {RESILIENCE, AT(config_resilience, adaptive_backoff), ENUM(adaptive_names, CONFIG_ADAPTIVE_ON),
     .help = "`on`: once a few recoveries were measured, the delay grows no further than they "
             "usually take, between `backoff_base` and `max_backoff_delay`, so that a server "
             "which is back within seconds is not asked for only once a minute. `observe`: "
             "measured and shown, not acted on. `off`: the cap is `max_backoff_delay`."},
    {RESILIENCE, AT(config_resilience, replay_budget), COUNT("requests", 10, 0, 1000000),
     .help = "Requests that may have reached a dead server are sent again, where that is safe, "
             "this often in a row; every ten that succeed give one back."},

    /* ---- defaults: also in a server's entry ---- */
    {DEFAULT, AT(server_options, enabled), BOOL(true), .reloadable = true,
     .help = "Whether the server runs and can be reached. `\"disabled\": true`, as some clients "
             "write it, is understood too."},
    {DEFAULT, AT(server_options, sharing), ENUM(sharing_names, CONFIG_SHARING_SHARED),
     .help = "`shared`: many client sessions at once on each connection. `exclusive`: a connection "
             "serves one session while that has requests in flight. `session`: each client session "
             "has a connection of its own. Different users never share."},
    {DEFAULT, .key = "stderr", .offset = offsetof(struct server_options, stderr_to),
     ENUM(stderr_names, CONFIG_STDERR_LOG), .reloadable = true,
     .help = "What happens to the lines that a child writes to stderr."},
    {DEFAULT, AT(server_options, client_features), .type = CONFIG_TYPE_FLAGS,
     .values = feature_names, .def = CONFIG_FEATURE_ELICITATION | CONFIG_FEATURE_SAMPLING,
     .reloadable = true,
     .help = "Abilities of clients that the server is told of, if the client has them. With "
             "`roots`, only clients with equal roots share a pool."},
    {DEFAULT, AT(server_options, server_asks), ENUM(asks_names, CONFIG_SERVER_ASKS_AUTO),
     .reloadable = true,
     .help = "`yes`: the server is known to ask clients things in the middle of a call, so each "
             "connection runs one such call at a time. `auto`: found out."},
    {DEFAULT, AT(server_options, replay), ENUM(replay_names, CONFIG_REPLAY_READS),
     .reloadable = true,
     .help = "What is sent once more when a server died over it, so that it may have run already. "
             "`reads`: what has no side effects by its nature (lists, resources, prompts, "
             "completions). `annotated`: also calls of tools that say they are read-only or "
             "idempotent, for servers that you trust with that. `off`: nothing."},
    {DEFAULT, AT(server_options, wait_for_ready), BOOL(false), .reloadable = true,
     .help = "While the circuit breaker is open, let calls wait up to `queue_timeout` for the "
             "server instead of refusing them at once."},
    {DEFAULT, AT(server_options, pin_version), .type = CONFIG_TYPE_CHOICE, .values = version_names,
     .def_text = "the newest", .reloadable = true, .renews = true,
     .help = "Protocol revision to offer to the server, for one that breaks on newer ones."},

    /* ---- one server ---- */
    {SERVER, .key = "type", .type = CONFIG_TYPE_STRING,
     .def_text = "`stdio` with `command`, `http` with `url`",
     .help = "`stdio`; `http` (also `streamable-http`); or `sse`. `transport` and `transportType` "
             "mean the same."},
    {SERVER, .key = "command", .type = CONFIG_TYPE_STRING, .def_text = "none",
     .help = "Program of a stdio server. Without a slash it is looked up in `PATH`. No shell is "
             "involved."},
    {SERVER, .key = "args", .type = CONFIG_TYPE_STRINGS, .def_text = "none",
     .help = "Its arguments, an array of strings."},
    {SERVER, .key = "env", .type = CONFIG_TYPE_MAP, .def_text = "none",
     .help = "Variables for its environment, besides PATH HOME LANG LC_ALL LC_CTYPE TERM TZ USER "
             "LOGNAME SHELL and TMPDIR, which it gets from the daemon. Nothing else is inherited."},
    {SERVER, .key = "cwd", .type = CONFIG_TYPE_STRING, .def_text = "the daemon's",
     .help = "Its working directory. A relative one begins at the directory of the configuration "
             "file."},
    {SERVER, .key = "url", .type = CONFIG_TYPE_STRING, .def_text = "none",
     .help = "Address of an HTTP server. `serverUrl` and `httpUrl` mean the same."},
    {SERVER, .key = "headers", .type = CONFIG_TYPE_MAP, .def_text = "none",
     .help = "Headers to send to an HTTP server with each request."},
    {SERVER, .key = "resilience", .type = CONFIG_TYPE_SECTION,
     .help = "Keys of section `resilience`, for this server."},
    {SERVER, .key = "limits", .type = CONFIG_TYPE_SECTION,
     .help = "Keys of section `limits`, those marked *per server*, for this server."},
};

const struct config_row *config_rows(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(rows);
    return rows;
}

const struct config_row *config_row_find(enum config_section section, const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].section == section && strcmp(rows[i].key, key) == 0)
            return &rows[i];
    }
    return NULL;
}

const char *config_section_key(enum config_section section)
{
    static const char *const keys[] = {
        [CONFIG_SECTION_TOP] = "",
        [CONFIG_SECTION_HTTP] = "http",
        [CONFIG_SECTION_LIMITS] = "limits",
        [CONFIG_SECTION_RESILIENCE] = "resilience",
        [CONFIG_SECTION_DEFAULTS] = "defaults",
        [CONFIG_SECTION_SERVER] = "mcpServers",
    };
    return keys[section];
}

static const char *format_flags(const struct config_row *row, uint64_t v, char *out)
{
    size_t n = (size_t)snprintf(out, CONFIG_FORMAT_MAX, "[");
    for (size_t i = 0; row->values[i] != NULL; i++) {
        if (v & (uint64_t)1 << i && n < CONFIG_FORMAT_MAX)
            n += (size_t)snprintf(out + n, CONFIG_FORMAT_MAX - n, "%s\"%s\"", n > 1 ? ", " : "",
                                  row->values[i]);
    }
    if (n < CONFIG_FORMAT_MAX)
        snprintf(out + n, CONFIG_FORMAT_MAX - n, "]");
    return out;
}

const char *config_row_format(const struct config_row *row, uint64_t v, char *out)
{
    char text[VALUE_FORMAT_MAX];
    out[0] = '\0';
    switch (row->type) {
    case CONFIG_TYPE_BOOL:
        snprintf(out, CONFIG_FORMAT_MAX, "%s", v ? "true" : "false");
        break;
    case CONFIG_TYPE_COUNT:
        snprintf(out, CONFIG_FORMAT_MAX, "%" PRIu64, v);
        break;
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_RATE:
        if (v % KiB != 0 || v == 0)
            snprintf(out, CONFIG_FORMAT_MAX, "%" PRIu64, v);
        else
            snprintf(out, CONFIG_FORMAT_MAX, "\"%s\"", value_format_size(v, text));
        break;
    case CONFIG_TYPE_DURATION:
        snprintf(out, CONFIG_FORMAT_MAX, "\"%s\"", value_format_duration(v, text));
        break;
    case CONFIG_TYPE_ENUM:
        snprintf(out, CONFIG_FORMAT_MAX, "\"%s\"", row->values[v]);
        break;
    case CONFIG_TYPE_FLAGS:
        return format_flags(row, v, out);
    case CONFIG_TYPE_CHOICE:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_HOSTS:
    case CONFIG_TYPE_ORIGINS:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_STRINGS:
    case CONFIG_TYPE_MAP:
    case CONFIG_TYPE_LISTEN:
    case CONFIG_TYPE_SECTION:
        break;
    }
    return out;
}

bool config_row_is_number(const struct config_row *row)
{
    return row->type <= CONFIG_TYPE_FLAGS;
}

uint64_t config_row_value(const struct config_row *row, const void *base)
{
    const char *at = (const char *)base + row->offset;
    switch (row->type) {
    case CONFIG_TYPE_BOOL:
        return *(const bool *)at;
    case CONFIG_TYPE_COUNT:
    case CONFIG_TYPE_ENUM:
    case CONFIG_TYPE_FLAGS: {
        unsigned v;
        memcpy(&v, at, sizeof(v));
        return v;
    }
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_RATE:
        return *(const size_t *)(const void *)at;
    case CONFIG_TYPE_DURATION:
        return *(const usec_t *)(const void *)at;
    case CONFIG_TYPE_CHOICE:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_HOSTS:
    case CONFIG_TYPE_ORIGINS:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_STRINGS:
    case CONFIG_TYPE_MAP:
    case CONFIG_TYPE_LISTEN:
    case CONFIG_TYPE_SECTION:
        break;
    }
    return 0;
}

void config_row_store(const struct config_row *row, void *base, uint64_t v)
{
    void *at = (char *)base + row->offset;
    if (row->type == CONFIG_TYPE_BOOL)
        *(bool *)at = v != 0;
    else if (row->type == CONFIG_TYPE_DURATION)
        *(usec_t *)at = v;
    else if (row->type == CONFIG_TYPE_SIZE || row->type == CONFIG_TYPE_RATE)
        *(size_t *)at = v > SIZE_MAX ? SIZE_MAX : (size_t)v;
    else
        memcpy(at, &(unsigned){(unsigned)v}, sizeof(unsigned));
}

const void *config_section_struct(const struct config *c, enum config_section section)
{
    switch (section) {
    case CONFIG_SECTION_TOP:
        return c;
    case CONFIG_SECTION_HTTP:
        return &c->http;
    case CONFIG_SECTION_LIMITS:
        return &c->limits;
    case CONFIG_SECTION_RESILIENCE:
        return &c->resilience;
    case CONFIG_SECTION_DEFAULTS:
        return &c->defaults;
    case CONFIG_SECTION_SERVER:
        break;
    }
    return NULL;
}
