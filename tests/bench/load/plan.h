/* What a run of the load generator is to do, as its command line says it. */
#ifndef BENCH_LOAD_PLAN_H
#define BENCH_LOAD_PLAN_H

#include "bench/lib/bench.h"

#include <stdbool.h>
#include <sys/types.h>

#define PIDS_MAX 64

enum via { VIA_NOTHING, VIA_HTTP, VIA_UNIX, VIA_STDIO };
enum mode { MODE_CALLS, MODE_CHURN, MODE_HOLD };

struct plan {
    enum via via;
    enum mode mode;
    bool plain;             /* HTTP without sessions */
    const char *target;     /* as given, for complaints */
    struct address address; /* HTTP, unix */
    const char *host;       /* HOST:PORT */
    const char *path;       /* of HTTP, with its slash */
    char **command;         /* stdio, NULL-terminated */
    const char *token;      /* NULL: none */
    const char *tool;
    unsigned sessions, window;
    uint64_t calls;  /* UINT64_MAX: until `seconds` are over */
    double seconds;  /* 0: until `calls` are done */
    uint64_t warmup; /* calls; UINT64_MAX: a tenth of the run */
    double rate;     /* calls a second, all sessions together; 0: as fast as answers come */
    uint64_t args_bytes, result_bytes, progress;
    unsigned timeout; /* seconds without any answer that are too many */
    pid_t pids[PIDS_MAX];
    unsigned pid_count;
};

/* Fills *plan; ends the process for a wrong command line, or after --help. */
void plan_parse(struct plan *plan, int argc, char **argv);

#endif
