/* The command line: what the options are called, and the help text. */
#include "options.h"

#include "base/log.h"
#include "base/version.h"

#include <getopt.h>
#include <stdio.h>

static void usage(FILE *f)
{
    fputs("Usage: mcpoold [OPTION]...\n"
          "A proxy between MCP clients and MCP servers.\n\n"
          "  -c, --config FILE       configuration file\n"
          "      --check             check the configuration, say what is wrong, and exit\n"
          "      --config-reference  print the reference of all options (Markdown) and exit\n"
          "      --config-manual     print it as the manual page mcpool.json(5) and exit\n"
          "  -l, --log-level LEVEL   debug, info, notice, warning, error or critical\n"
          "  -V, --version           print the version and exit\n"
          "  -h, --help              print this and exit\n\n"
          "Without --config the first of these that exists is read:\n"
          "  $XDG_CONFIG_HOME/mcpool/mcpool.json (or ~/.config/mcpool/mcpool.json)\n"
          "  /etc/mcpool/mcpool.json\n\n"
          "SIGTERM and SIGINT let calls in flight finish, a second one stops at once.\n"
          "SIGHUP reads the configuration again.\n",
          f);
}

int options_parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, 'k'},
        {"config-reference", no_argument, NULL, 'r'},
        {"config-manual", no_argument, NULL, 'm'},
        {"log-level", required_argument, NULL, 'l'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.log_level = -1};
    int opt;
    while ((opt = getopt_long(argc, argv, "c:l:Vh", longs, NULL)) != -1) {
        switch (opt) {
        case 'c':
            o->config_path = optarg;
            break;
        case 'k':
            o->check = true;
            break;
        case 'r':
            o->reference = true;
            break;
        case 'm':
            o->manual = true;
            break;
        case 'l':
            o->log_level = log_level_from_name(optarg);
            if (o->log_level < 0) {
                fprintf(stderr, "mcpoold: unknown log level \"%s\"\n", optarg);
                return 2;
            }
            break;
        case 'V':
            puts("mcpoold " MCPOOL_VERSION);
            return 1;
        case 'h':
            usage(stdout);
            return 1;
        default:
            fputs("Try 'mcpoold --help'.\n", stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "mcpoold: unexpected argument \"%s\"\nTry 'mcpoold --help'.\n",
                argv[optind]);
        return 2;
    }
    return 0;
}
