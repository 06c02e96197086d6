/* The simulator's command line. Each seed is one check, and so is each scenario; a few seeds are
 * run twice, and both runs must have hashed the same events.
 *
 * Seeds run in worker processes, one per processor, each of which takes every n-th seed. A
 * violation ends its worker, as a crash or a sanitizer's report does; another goes on with the next
 * seed, so no failing seed hides another, and none runs in what another has left behind. What
 * workers count lies in shared memory, one row for each. */
#include "sim.h"

#include <errno.h>
#include <getopt.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOWN_MAX      5  /* violations that are printed, by each worker */
#define REPEAT_EVERY   50 /* one seed in so many is run twice */
#define WORKERS_MAX    16
#define EXIT_VIOLATION 3

struct row {
    pid_t pid;
    uint64_t next; /* what it works on: scenarios first, then seeds */
    uint64_t failed, faults, requests, attempts, repeated;
    uint64_t by_kind[FAULT_COUNT];
};

static struct options {
    uint64_t first, seeds;
    uint64_t scenario;  /* these are run, from this one on … */
    unsigned scenarios; /* … so many */
    unsigned workers;
    bool trace, kinds;
} opt = {.seeds = 2000};

static struct row *rows, *row; /* all of them; this worker's own */

static void usage(FILE *f)
{
    fputs("usage: sim [--seeds N] [--first N] [--seed N] [--trace] [--kinds] [--workers N]\n"
          "  --seeds N    so many seeds (default 2000)\n"
          "  --first N    beginning with this one (default 0)\n"
          "  --seed N     only this one\n"
          "  --scenario N only this one, of those that are no matter of chance\n"
          "  --trace      tell every step, and what the core logs, on stderr\n"
          "  --kinds      list how often each fault was injected\n"
          "  --workers N  processes (default: processors)\n",
          f);
}

/* ---- one seed ---- */

static uint64_t items(void)
{
    return opt.scenarios + opt.seeds;
}

static void report(const char *what)
{
    bool scenario = row->next < opt.scenarios;
    unsigned long long n =
        scenario ? opt.scenario + row->next : opt.first + row->next - opt.scenarios;
    if (++row->failed <= SHOWN_MAX)
        printf("FAILED %s %llu: %s\n       again: make sim %s=%llu TRACE=1\n",
               scenario ? "scenario" : "seed", n, what, scenario ? "SCENARIO" : "SEED", n);
    fflush(stdout);
}

static void add_up(void)
{
    row->requests += sim.req_n;
    row->attempts += sim.proc_serial;
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        row->by_kind[i] += sim.faults[i];
        row->faults += sim.faults[i];
    }
}

void seed_failed(const char *what)
{
    add_up();
    report(what);
    _exit(EXIT_VIOLATION); /* what the run has allocated is no leak */
}

static void one_seed(uint64_t seed, bool twice)
{
    run_seed(seed, opt.trace);
    add_up();
    if (!twice)
        return;
    uint64_t digest = sim.digest;
    run_seed(seed, opt.trace);
    row->repeated++;
    if (sim.digest != digest)
        report("the second run was another: the seed does not reproduce");
}

/* ---- the workers ---- */

static void work(void)
{
    for (; row->next < items(); row->next += opt.workers) {
        if (row->next < opt.scenarios) {
            run_scenario((unsigned)(opt.scenario + row->next), opt.trace);
            add_up();
        } else {
            one_seed(opt.first + row->next - opt.scenarios, row->next % REPEAT_EVERY == 0);
        }
    }
}

static void start_worker(struct row *r)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("sim: fork");
        exit(EXIT_FAILURE);
    }
    if (pid == 0) {
        row = r;
        work();
        exit(EXIT_SUCCESS);
    }
    r->pid = pid; /* only here: the row is shared */
}

/* The worker of r has ended: unless its seeds are done, another goes on after the one that failed.
 */
static bool worker_ended(struct row *r, int status)
{
    char text[80];
    bool done = r->next >= items();
    r->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
        return true;
    row = r;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_VIOLATION) {
        snprintf(text, sizeof(text), "its process ended with %s %d",
                 WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        report(done ? "after the last one: a leak, or worse" : text);
    }
    r->next += opt.workers;
    return done;
}

static void run_workers(void)
{
    unsigned running = opt.workers;
    for (unsigned i = 0; i < opt.workers; i++) {
        rows[i].next = i;
        start_worker(&rows[i]);
    }
    while (running > 0) {
        int status;
        pid_t pid = wait(&status);
        if (pid < 0 && errno == EINTR)
            continue;
        for (unsigned i = 0; i < opt.workers && pid > 0; i++) {
            if (rows[i].pid != pid)
                continue;
            if (worker_ended(&rows[i], status))
                running--;
            else
                start_worker(&rows[i]);
        }
        if (pid < 0)
            return;
    }
}

/* ---- the summary ---- */

static unsigned count_kinds(const struct row *sum)
{
    unsigned kinds = 0;
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        kinds += sum->by_kind[i] > 0;
        if (opt.kinds)
            printf("  %-24s %8llu\n", fault_names[i], (unsigned long long)sum->by_kind[i]);
    }
    return kinds;
}

static bool sum_up(time_t seconds)
{
    struct row sum = {0};
    for (unsigned i = 0; i < opt.workers; i++) {
        sum.failed += rows[i].failed;
        sum.faults += rows[i].faults;
        sum.requests += rows[i].requests;
        sum.attempts += rows[i].attempts;
        sum.repeated += rows[i].repeated;
        for (unsigned k = 0; k < FAULT_COUNT; k++)
            sum.by_kind[k] += rows[i].by_kind[k];
    }
    unsigned kinds = count_kinds(&sum);
    printf("sim: %llu seeds, %u scenarios, %llu faults of %u kinds, %llu requests, %llu attempts, "
           "violations "
           "%llu, %lld s; %llu seeds run twice\n",
           (unsigned long long)opt.seeds, opt.scenarios, (unsigned long long)sum.faults, kinds,
           (unsigned long long)sum.requests, (unsigned long long)sum.attempts,
           (unsigned long long)sum.failed, (long long)seconds, (unsigned long long)sum.repeated);
    uint64_t failed = sum.failed < items() ? sum.failed : items();
    printf("%llu passed, %llu failed\n", (unsigned long long)(items() - failed),
           (unsigned long long)failed);
    return failed == 0;
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 'n'},
        {"first", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},
        {"scenario", required_argument, NULL, 'c'},
        {"workers", required_argument, NULL, 'w'},
        {"trace", no_argument, NULL, 't'},
        {"kinds", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    opt.scenarios = scenario_count();
    opt.workers = processors > 0 ? (unsigned)processors : 1;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (o == 'n') {
            opt.seeds = n;
        } else if (o == 'f') {
            opt.first = n;
        } else if (o == 's') {
            opt.first = n;
            opt.seeds = 1;
            opt.scenarios = 0;
        } else if (o == 'c') {
            opt.scenario = n < scenario_count() ? n : 0;
            opt.scenarios = 1;
            opt.seeds = 0;
        } else if (o == 'w') {
            opt.workers = (unsigned)n;
        } else if (o == 't') {
            opt.trace = true;
        } else if (o == 'k') {
            opt.kinds = true;
        } else {
            usage(o == 'h' ? stdout : stderr);
            exit(o == 'h' ? EXIT_SUCCESS : EXIT_FAILURE);
        }
    }
    if (opt.workers > WORKERS_MAX)
        opt.workers = WORKERS_MAX;
    if (opt.workers < 1 || items() <= 1)
        opt.workers = 1;
}

int main(int argc, char **argv)
{
    struct timespec began, ended;
    read_options(argc, argv);
    rows = mmap(NULL, WORKERS_MAX * sizeof(*rows), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (rows == MAP_FAILED) {
        perror("sim: mmap");
        return EXIT_FAILURE;
    }
    row = rows;
    clock_gettime(CLOCK_MONOTONIC, &began);
    run_workers();
    clock_gettime(CLOCK_MONOTONIC, &ended);
    return sum_up(ended.tv_sec - began.tv_sec) ? EXIT_SUCCESS : EXIT_FAILURE;
}
