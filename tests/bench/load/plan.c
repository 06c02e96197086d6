/* The command line of the load generator. */
#include "bench/load/plan.h"

#include "base/util.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* The kernel's own limit (PID_MAX_LIMIT); a clock's name has no room for much more. */
#define PID_LIMIT ((uint64_t)1 << 22)

static const char help[] =
    "Usage: load TARGET [OPTION...]\n"
    "Loads an MCP server with tools/call, checks every answer, and prints one line of JSON.\n"
    "\n"
    "Targets:\n"
    "  --http HOST:PORT/PATH      Streamable HTTP; each session has one connection, kept alive\n"
    "  --plain                    with --http: the same POSTs without any session\n"
    "  --unix PATH                lines on a unix socket\n"
    "  --stdio -- COMMAND ARG...  a server of its own for each session, through pipes\n"
    "Load:\n"
    "  --sessions N      sessions at the same time (1)\n"
    "  --window N        calls in flight in each (1; over HTTP always 1)\n"
    "  --calls N         calls to measure in all (1000, unless --seconds)\n"
    "  --seconds S       until so much time has passed\n"
    "  --warmup N        calls before that (a tenth of the run, at most 1000 calls or 1 s)\n"
    "  --rate R          so many calls a second in all, due at even intervals whether or not\n"
    "                    answers come; latencies count from when a call was due\n"
    "  --args-bytes N    length of the argument (100)\n"
    "  --result-bytes N  length of the text that is asked of the server (100)\n"
    "  --progress N      progress notifications before each answer (0)\n"
    "  --tool NAME       the tool to call (echo)\n"
    "  --token TOKEN     bearer token for HTTP\n"
    "  --mode MODE       calls; churn: open a session, one call, close, again and again, each\n"
    "                    such round counting as a call; hold: open the sessions, each counting\n"
    "                    as a call, print the line, and keep them until standard input ends\n"
    "  --pid PID         also measure the CPU time of this process (may be repeated)\n"
    "  --timeout S       give up when nothing was answered for so long (30)\n"
    "\n"
    "Status 1 when the target cannot be reached or any answer is wrong or an error.\n";

enum option_key {
    OPT_HTTP = 256,
    OPT_UNIX,
    OPT_STDIO,
    OPT_PLAIN,
    OPT_SESSIONS,
    OPT_WINDOW,
    OPT_CALLS,
    OPT_SECONDS,
    OPT_WARMUP,
    OPT_RATE,
    OPT_ARGS_BYTES,
    OPT_RESULT_BYTES,
    OPT_PROGRESS,
    OPT_TOOL,
    OPT_TOKEN,
    OPT_MODE,
    OPT_PID,
    OPT_TIMEOUT,
    OPT_HELP,
};

static const struct option options[] = {
    {"http", required_argument, NULL, OPT_HTTP},
    {"unix", required_argument, NULL, OPT_UNIX},
    {"stdio", no_argument, NULL, OPT_STDIO},
    {"plain", no_argument, NULL, OPT_PLAIN},
    {"sessions", required_argument, NULL, OPT_SESSIONS},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"calls", required_argument, NULL, OPT_CALLS},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"warmup", required_argument, NULL, OPT_WARMUP},
    {"rate", required_argument, NULL, OPT_RATE},
    {"args-bytes", required_argument, NULL, OPT_ARGS_BYTES},
    {"result-bytes", required_argument, NULL, OPT_RESULT_BYTES},
    {"progress", required_argument, NULL, OPT_PROGRESS},
    {"tool", required_argument, NULL, OPT_TOOL},
    {"token", required_argument, NULL, OPT_TOKEN},
    {"mode", required_argument, NULL, OPT_MODE},
    {"pid", required_argument, NULL, OPT_PID},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static double option_positive(const char *option, const char *text)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end || !(v > 0) || v > 1e9)
        die_usage("%s %s: not a number above 0", option, text);
    return v;
}

static void set_target(struct plan *plan, enum via via, const char *target)
{
    if (plan->via != VIA_NOTHING)
        die_usage("one target is enough");
    plan->via = via;
    plan->target = target;
    if (via == VIA_HTTP) {
        const char *path = strchr(target, '/');

        plan->path = path ? path : "/";
        plan->host = path ? xstrndup(target, (size_t)(path - target)) : target;
        plan->address = address_tcp(plan->host);
    } else if (via == VIA_UNIX) {
        plan->address = address_unix(target);
    }
}

static enum mode mode_named(const char *name)
{
    static const char *const names[] = {
        [MODE_CALLS] = "calls", [MODE_CHURN] = "churn", [MODE_HOLD] = "hold"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mode)i;
    die_usage("--mode %s: there is calls, churn and hold", name);
}

static void add_pid(struct plan *plan, const char *text)
{
    if (plan->pid_count == PIDS_MAX)
        die_usage("--pid: no more than %d", PIDS_MAX);
    plan->pids[plan->pid_count++] = (pid_t)option_u64("--pid", text, PID_LIMIT);
}

/* One option that says what load to make. */
static void set_load(struct plan *plan, int key)
{
    switch (key) {
    case OPT_SESSIONS:
        plan->sessions = (unsigned)option_u64("--sessions", optarg, 1000000);
        break;
    case OPT_WINDOW:
        plan->window = (unsigned)option_u64("--window", optarg, 65536);
        break;
    case OPT_CALLS:
        plan->calls = option_u64("--calls", optarg, UINT32_MAX);
        break;
    case OPT_SECONDS:
        plan->seconds = option_positive("--seconds", optarg);
        break;
    case OPT_WARMUP:
        plan->warmup = option_u64("--warmup", optarg, UINT32_MAX);
        break;
    case OPT_RATE:
        plan->rate = option_positive("--rate", optarg);
        break;
    case OPT_ARGS_BYTES:
        plan->args_bytes = option_u64("--args-bytes", optarg, 1 << 30);
        break;
    case OPT_RESULT_BYTES:
        plan->result_bytes = option_u64("--result-bytes", optarg, 1 << 30);
        break;
    case OPT_PROGRESS:
        plan->progress = option_u64("--progress", optarg, 1000000);
        break;
    case OPT_MODE:
        plan->mode = mode_named(optarg);
        break;
    case OPT_TIMEOUT:
        plan->timeout = (unsigned)option_u64("--timeout", optarg, 86400);
        break;
    default: /* getopt has said what is wrong */
        exit(2);
    }
}

static void set_option(struct plan *plan, int key)
{
    switch (key) {
    case OPT_HTTP:
        set_target(plan, VIA_HTTP, optarg);
        break;
    case OPT_UNIX:
        set_target(plan, VIA_UNIX, optarg);
        break;
    case OPT_STDIO:
        set_target(plan, VIA_STDIO, "the server");
        break;
    case OPT_PLAIN:
        plan->plain = true;
        break;
    case OPT_TOOL:
        plan->tool = optarg;
        break;
    case OPT_TOKEN:
        plan->token = optarg;
        break;
    case OPT_PID:
        add_pid(plan, optarg);
        break;
    case OPT_HELP:
        exit(fputs(help, stdout) < 0);
    default:
        set_load(plan, key);
    }
}

static void check(struct plan *plan, int argc, char **argv)
{
    if (plan->via == VIA_NOTHING)
        die_usage("--http, --unix or --stdio is missing");
    if (plan->via == VIA_STDIO ? optind == argc : optind < argc)
        die_usage(plan->via == VIA_STDIO ? "--stdio: the command is missing"
                                         : "an argument too many");
    if (plan->via == VIA_STDIO) {
        plan->command = argv + optind;
        plan->target = plan->command[0];
    }
    if (plan->sessions == 0 || plan->window == 0 || plan->timeout == 0 || plan->calls == 0)
        die_usage("--sessions, --window, --calls and --timeout are at least 1");
    if (plan->plain && plan->via != VIA_HTTP)
        die_usage("--plain goes with --http");
    if (plan->window > 1 && plan->via == VIA_HTTP)
        die_usage("--window is 1 over HTTP");
    if (plan->window > 1 && plan->mode != MODE_CALLS)
        die_usage("--window goes with --mode calls");
    if (plan->rate > 0 && plan->mode == MODE_HOLD)
        die_usage("--rate does not go with --mode hold");
    if (plan->plain && plan->mode == MODE_HOLD)
        die_usage("--plain has no sessions to hold");
}

void plan_parse(struct plan *plan, int argc, char **argv)
{
    int key;

    *plan = (struct plan){.tool = "echo",
                          .sessions = 1,
                          .window = 1,
                          .calls = UINT64_MAX,
                          .warmup = UINT64_MAX,
                          .args_bytes = 100,
                          .result_bytes = 100,
                          .timeout = 30};
    while ((key = getopt_long(argc, argv, "+", options, NULL)) >= 0)
        set_option(plan, key);
    check(plan, argc, argv);
    if (plan->calls == UINT64_MAX && plan->seconds == 0)
        plan->calls = 1000;
}
