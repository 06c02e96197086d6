/* The command line of mcpoold. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>

struct options {
    const char *config_path; /* NULL: not named */
    int log_level;           /* -1: as configured */
    bool check, reference, manual;
};

/* 0 = go on; 1 = done, exit status 0; 2 = wrong usage, which was said. */
int options_parse(int argc, char **argv, struct options *o);

#endif
