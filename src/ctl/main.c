/* mcpoolctl: options and commands. The only place that exits. */
#include "base/util.h"
#include "base/version.h"
#include "ctl/ctl.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Options that only some commands take; the order of option_names. */
enum {
    TAKES_JSON = 1 << 0,
    TAKES_WATCH = 1 << 1,
    TAKES_NAMES = 1 << 2,
    TAKES_ALL = 1 << 3,
    TAKES_WAIT = 1 << 4,
    TAKES_FOLLOW = 1 << 5,
    TAKES_DRY_RUN = 1 << 6,
    TAKES_TOP = 1 << 7, /* --once, -n, --interval, --sort */
};
static const char *const option_names[] = {
    "--json", "--watch",  "--names",   "--all",
    "--wait", "--follow", "--dry-run", "--count, --once, --interval or --sort"};

/* What stands after the command. */
enum operand { OPERAND_NONE, OPERAND_MAY, OPERAND_MUST };

struct command {
    const char *name;
    enum ctl_exit (*run)(const struct ctl_options *o);
    unsigned takes; /* options */
    enum operand operand;
    const char *help;
};

#define COMMON_HELP                                                                                \
    "  -s, --socket PATH   the admin socket\n"                                                     \
    "  -c, --config FILE   find the socket by this configuration\n"                                \
    "  -h, --help          print help and exit\n"

#define JSON_HELP "      --json          print what mcpoold says, unchanged\n" COMMON_HELP

#define DONE_STATUS "\nExit status: 0 done, 1 error, 2 wrong usage.\n"

static const struct command commands[] = {
    {"status", ctl_status, TAKES_JSON | TAKES_WATCH | TAKES_NAMES, OPERAND_MAY,
     "Usage: mcpoolctl status [NAME] [OPTION]...\n"
     "Shows every server in a line, or all about one.\n\n"
     "      --json          print what mcpoold says, unchanged\n"
     "      --watch[=N]     show it again every N seconds (2), until interrupted\n"
     "      --names         print the names of the servers and nothing else\n" COMMON_HELP
     "\nExit status: 0 all is well, 1 error, 2 wrong usage, 3 a server is not healthy. One that "
     "has\n"
     "no connection because nothing wants one (min_connections 0) is well.\n"},
    {"recover", ctl_recover, TAKES_JSON | TAKES_ALL, OPERAND_MAY,
     "Usage: mcpoolctl recover NAME|--all [OPTION]...\n"
     "Has mcpoold try now what is broken: back-offs begin anew, an open breaker gets its trial, "
     "what\n"
     "hangs is replaced. Connections that are well are left alone.\n\n"
     "      --all           all servers\n"
     "      --json          print what mcpoold says, unchanged\n" COMMON_HELP
     "\nExit status: 0 done, whatever comes of the attempts; 1 error; 2 wrong usage.\n"},
    {"connect", ctl_connect, TAKES_WAIT, OPERAND_MAY,
     "Usage: mcpoolctl connect [NAME] [OPTION]...\n"
     "Joins its stdin and stdout to the server NAME, or to the endpoint of all: for MCP clients "
     "that\n"
     "can only start a command. It connects when the client says something, again whenever the\n"
     "connection is lost, and goes on with the client's session then.\n\n"
     "  -s, --socket PATH   the socket of the server\n"
     "  -c, --config FILE   find the socket by this configuration\n"
     "      --wait=N        requests wait up to N seconds (30) for a connection\n"
     "  -h, --help          print help and exit\n"
     "\nExit status: 0 the client ended its input and was answered everything; 1 error, or nobody\n"
     "reads the answers; 2 wrong usage.\n"},
    {"top", ctl_top, TAKES_TOP, OPERAND_MAY,
     "Usage: mcpoolctl top [NAME] [OPTION]...\n"
     "Shows what the servers are doing, again and again: rates of the last interval, latencies of "
     "the\n"
     "last five. On a terminal: q quits, n r f w l h sort.\n\n"
     "  -n, --count=N       show N texts, then end\n"
     "      --once          the same as --count=1\n"
     "      --interval=N    seconds between them (2)\n"
     "      --sort=KEY      name, rate, running, waiting, latency or health\n" COMMON_HELP
         DONE_STATUS},
    {"drain", ctl_drain, TAKES_JSON, OPERAND_MUST,
     "Usage: mcpoolctl drain NAME [OPTION]...\n"
     "Takes a server out of service gently: calls that run may end, new ones wait in line, and "
     "its\n"
     "connections close when they have nothing to do. 'resume' takes it back.\n\n" JSON_HELP
         DONE_STATUS},
    {"maint", ctl_maint, TAKES_JSON, OPERAND_MUST,
     "Usage: mcpoolctl maint NAME [OPTION]...\n"
     "Takes a server out of service at once: calls that run may end, all others are refused.\n"
     "'resume' takes it back.\n\n" JSON_HELP DONE_STATUS},
    {"resume", ctl_resume, TAKES_JSON, OPERAND_MUST,
     "Usage: mcpoolctl resume NAME [OPTION]...\n"
     "Takes a server back into service, with a fresh back-off.\n\n" JSON_HELP DONE_STATUS},
    {"restart", ctl_restart, TAKES_JSON, OPERAND_MUST,
     "Usage: mcpoolctl restart NAME [OPTION]...\n"
     "Replaces each connection of a server, and with it its process, when its calls have "
     "ended.\n\n" JSON_HELP DONE_STATUS},
    {"explain", ctl_explain, TAKES_JSON, OPERAND_MUST,
     "Usage: mcpoolctl explain NAME [OPTION]...\n"
     "Tells how a server is, what happens next, and what happened.\n\n" JSON_HELP DONE_STATUS},
    {"logs", ctl_logs, TAKES_JSON | TAKES_FOLLOW, OPERAND_MUST,
     "Usage: mcpoolctl logs NAME [OPTION]...\n"
     "Shows what a server has written to its stderr lately.\n\n"
     "  -f, --follow        go on with what it writes from now on, until interrupted\n" JSON_HELP
         DONE_STATUS},
    {"reload", ctl_reload, TAKES_JSON | TAKES_DRY_RUN, OPERAND_NONE,
     "Usage: mcpoolctl reload [OPTION]...\n"
     "Has mcpoold read its configuration again, and says what that changes. A file with errors "
     "changes\n"
     "nothing; they are printed.\n\n"
     "      --dry-run       say what would change, and change nothing\n" JSON_HELP DONE_STATUS},
    {"check", ctl_check, 0, OPERAND_MUST,
     "Usage: mcpoolctl check FILE\n"
     "Says what is wrong with a configuration file; no daemon is asked.\n\n"
     "  -h, --help          print help and exit\n"
     "\nExit status: 0 nothing is wrong, 1 something is, 2 wrong usage.\n"},
    {"log-level", ctl_log_level, TAKES_JSON, OPERAND_MAY,
     "Usage: mcpoolctl log-level [LEVEL] [OPTION]...\n"
     "Prints the level of the log of mcpoold, or sets it until mcpoold is restarted or its file "
     "says\n"
     "another: debug, info, notice, warning, error or critical.\n\n" JSON_HELP DONE_STATUS},
    {"metrics", ctl_metrics, 0, OPERAND_NONE,
     "Usage: mcpoolctl metrics [OPTION]...\n"
     "Prints the metrics of mcpoold in the OpenMetrics format.\n\n" COMMON_HELP
     "\nExit status: 0 done, 1 error, 2 wrong usage.\n"},
};

static const char global_help[] =
    "Usage: mcpoolctl [OPTION]... COMMAND\n"
    "Looks into a running mcpoold, and steers it.\n\n"
    "  status [NAME]       every server in a line, or all about one\n"
    "  top [NAME]          what the servers are doing, live\n"
    "  recover NAME|--all  try now what is broken\n"
    "  explain NAME        how a server is, what happens next, what happened\n"
    "  logs NAME           what a server has written to its stderr\n"
    "  drain NAME          out of service: new calls wait\n"
    "  maint NAME          out of service: new calls are refused\n"
    "  resume NAME         back into service\n"
    "  restart NAME        replace its connections when their calls have ended\n"
    "  reload              read the configuration again\n"
    "  check FILE          what is wrong with a configuration file\n"
    "  log-level [LEVEL]   how much the daemon logs\n"
    "  connect [NAME]      be a stdio server that never goes away\n"
    "  metrics             the metrics, in the OpenMetrics format\n\n" COMMON_HELP
    "  -V, --version       print the version and exit\n\n"
    "'mcpoolctl COMMAND --help' tells more about a command.\n\n"
    "Without --socket and --config the socket is found as mcpoold finds it: by\n"
    "  $XDG_CONFIG_HOME/mcpool/mcpool.json (or ~/.config/mcpool/mcpool.json) or\n"
    "  /etc/mcpool/mcpool.json\n"
    "and the directories of this user, then those of the system service.\n";

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Seconds, with a fraction perhaps. */
static bool parse_seconds(const char *s, usec_t *ret)
{
    char *end;
    double v = strtod(s, &end);
    if (end == s || *end != '\0' || !(v >= 0.1 && v <= 86400))
        return false;
    *ret = (usec_t)(v * (double)USEC_PER_SEC);
    return true;
}

static bool parse_count(const char *s, unsigned *ret)
{
    char *end;
    unsigned long v = strtoul(s, &end, 10);
    if (*s < '0' || *s > '9' || *end != '\0' || v < 1 || v > 1000000000)
        return false;
    *ret = (unsigned)v;
    return true;
}

struct parsed {
    struct ctl_options o;
    unsigned given; /* TAKES_… */
    bool help;
};

static int wrong_value(const char *what)
{
    fprintf(stderr, "mcpoolctl: %s\n", what);
    return CTL_USAGE;
}

/* An option with a value. -1 = good; otherwise the exit status. */
static int take_value(struct ctl_options *o, int opt, const char *value)
{
    switch (opt) {
    case 's':
        o->socket = value;
        return -1;
    case 'c':
        o->config = value;
        return -1;
    case 'S':
        o->sort = value;
        return -1;
    case 'w':
        o->watch = true;
        return !value || parse_seconds(value, &o->interval)
                   ? -1
                   : wrong_value("--watch takes a number of seconds, 0.1 to 86400");
    case 'i':
        return parse_seconds(value, &o->interval)
                   ? -1
                   : wrong_value("--interval takes a number of seconds, 0.1 to 86400");
    case 'W':
        return parse_seconds(value, &o->wait)
                   ? -1
                   : wrong_value("--wait takes a number of seconds, 0.1 to 86400");
    case 'n':
        return parse_count(value, &o->count)
                   ? -1
                   : wrong_value("--count takes a number, 1 to 1000000000");
    default:
        return -1;
    }
}

static void take_flag(struct ctl_options *o, int opt)
{
    o->json = o->json || opt == 'j';
    o->names = o->names || opt == 'l';
    o->all = o->all || opt == 'a';
    o->follow = o->follow || opt == 'f';
    o->dry_run = o->dry_run || opt == 'd';
    if (opt == 'o')
        o->count = 1;
}

/* Which commands take it; 0: all do. */
static unsigned option_bit(int opt)
{
    switch (opt) {
    case 'j':
        return TAKES_JSON;
    case 'w':
        return TAKES_WATCH;
    case 'l':
        return TAKES_NAMES;
    case 'a':
        return TAKES_ALL;
    case 'W':
        return TAKES_WAIT;
    case 'f':
        return TAKES_FOLLOW;
    case 'd':
        return TAKES_DRY_RUN;
    case 'n':
    case 'o':
    case 'i':
    case 'S':
        return TAKES_TOP;
    default:
        return 0;
    }
}

/* -1 = go on; otherwise the exit status. */
static int parse_options(int argc, char **argv, struct parsed *p)
{
    static const struct option longs[] = {
        {"socket", required_argument, NULL, 's'}, {"config", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},         {"watch", optional_argument, NULL, 'w'},
        {"names", no_argument, NULL, 'l'},        {"all", no_argument, NULL, 'a'},
        {"follow", no_argument, NULL, 'f'},       {"count", required_argument, NULL, 'n'},
        {"once", no_argument, NULL, 'o'},         {"interval", required_argument, NULL, 'i'},
        {"sort", required_argument, NULL, 'S'},   {"dry-run", no_argument, NULL, 'd'},
        {"wait", required_argument, NULL, 'W'},   {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int opt;
    *p = (struct parsed){.o.interval = 2 * USEC_PER_SEC, .o.wait = 30 * USEC_PER_SEC};
    while ((opt = getopt_long(argc, argv, "s:c:n:fVh", longs, NULL)) != -1) {
        if (opt == '?') {
            fputs("Try 'mcpoolctl --help'.\n", stderr);
            return CTL_USAGE;
        }
        if (opt == 'V') {
            puts("mcpoolctl " MCPOOL_VERSION);
            return fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
        }
        p->help = p->help || opt == 'h';
        p->given |= option_bit(opt);
        take_flag(&p->o, opt);
        int done = take_value(&p->o, opt, optarg);
        if (done >= 0)
            return done;
    }
    return -1;
}

/* What is wrong with the options and operands for this command; NULL when nothing is. */
static const char *judge(const struct command *c, const struct parsed *p, int operands, char *buf,
                         size_t cap)
{
    for (size_t i = 0; i < ARRAY_LEN(option_names); i++) {
        if (p->given & ~c->takes & (1U << i)) {
            snprintf(buf, cap, "%s does not take %s", c->name, option_names[i]);
            return buf;
        }
    }
    if (operands > (c->operand == OPERAND_NONE ? 0 : 1)) {
        snprintf(buf, cap,
                 c->operand == OPERAND_NONE ? "%s takes no name" : "%s takes one name at a time",
                 c->name);
        return buf;
    }
    if (operands == 0 && c->operand == OPERAND_MUST) {
        snprintf(buf, cap, "%s needs a name", c->name);
        return buf;
    }
    if (c->takes & TAKES_ALL && (operands > 0) == p->o.all)
        return "recover takes the NAME of a server, or --all";
    if (p->o.names && (operands || p->o.json || p->o.watch))
        return "--names goes with no NAME and no other option of status";
    return NULL;
}

static int print_help(const char *text)
{
    fputs(text, stdout);
    return fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
}

int main(int argc, char **argv)
{
    struct parsed p;
    char buf[128];
    setlocale(LC_CTYPE, "");
    int done = parse_options(argc, argv, &p);
    if (done >= 0)
        return done;
    if (optind == argc) {
        if (p.help)
            return print_help(global_help);
        fputs("mcpoolctl: no command given\n", stderr);
        fputs("Try 'mcpoolctl --help'.\n", stderr);
        return CTL_USAGE;
    }
    const struct command *c = find_command(argv[optind]);
    if (!c) {
        struct buf why = BUF_INIT;
        buf_appendf(&why, "there is no command \"%s\"", argv[optind]);
        ctl_complain(buf_peek(&why));
        buf_done(&why);
        fputs("Try 'mcpoolctl --help'.\n", stderr);
        return CTL_USAGE;
    }
    if (p.help)
        return print_help(c->help);
    const char *wrong = judge(c, &p, argc - optind - 1, buf, sizeof(buf));
    if (wrong) {
        fprintf(stderr, "mcpoolctl: %s\nTry 'mcpoolctl %s --help'.\n", wrong, c->name);
        return CTL_USAGE;
    }
    p.o.name = argv[optind + 1]; /* NULL at the end */
    return (int)c->run(&p.o);
}
