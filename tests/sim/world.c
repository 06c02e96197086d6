/* The clock, the dice, the digest of everything that happens, and violations.
 *
 * A run is a function of its seed: all choices come from dice(), the core's randomness from
 * world_random(), and nothing reads the real clock. event() hashes each message and each step, so
 * two runs of a seed can be compared by one number. */
#include "sim.h"

#include "base/log.h"

#include <stdarg.h>

struct sim sim;

static const char *const invariant_names[INVARIANT_COUNT] = {
    [I1_ONE_END] = "I1 (one end for every request)",
    [I2_NOT_CROSSED] = "I2 (no answer crossed)",
    [I3_ONCE] = "I3 (not replayable, executed once)",
    [I4_HONEST_NO] = "I4 (delivered \"no\" is true)",
    [I5_NOTHING_AFTER] = "I5 (nothing after the end)",
    [I6_BREAKER] = "I6 (breaker)",
    [I7_AMPLIFICATION] = "I7 (amplification)",
    [I8_RECOVERY] = "I8 (recovery queue)",
    [I9_READY_AGAIN] = "I9 (ready again)",
    [I10_BASELINE] = "I10 (back to the baseline)",
    [I11_MONOTONIC] = "I11 (progress and subscriptions)",
    [I12_STATUS] = "I12 (status)",
    [LISTS] = "lists over a restart",
    [STRUCTURE] = "structure",
};

static uint64_t xorshift(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return *state = x;
}

uint64_t dice(void)
{
    return xorshift(&sim.dice) * 2685821657736338717u >> 16;
}

unsigned upto(unsigned n)
{
    return (unsigned)(dice() % n);
}

bool chance(unsigned percent)
{
    return upto(100) < percent;
}

/* A source that repeats itself hands out the same few values again and again. */
static void world_random(void *arg, void *out, size_t n)
{
    unsigned char *p = out;
    (void)arg;
    while (n > 0) {
        uint64_t x = xorshift(&sim.random) * 2685821657736338717u;
        size_t k = n < sizeof(x) ? n : sizeof(x);
        if (sim.random_left > 0) {
            uint64_t few = --sim.random_left % sim.random_period;
            x = (few + 1) * 0x9e3779b97f4a7c15u;
        }
        memcpy(p, &x, k);
        p += k;
        n -= k;
    }
}

void world_init(uint64_t seed, bool trace)
{
    memset(&sim, 0, sizeof(sim));
    sim.seed = seed;
    sim.trace = trace;
    sim.dice = (seed + 1) * 0x9e3779b97f4a7c15u;
    dice(), dice();
    sim.random = dice() | 1;
    sim.digest = 14695981039346656037u;
    LIST_INIT(&sim.procs);
    env_init(&sim.env, world_random, NULL);
    sim.env.now = 1000 * USEC_PER_SEC;
    log_set_level(trace ? LOG_LEVEL_DEBUG : LOG_LEVEL_CRITICAL);
}

static void digest(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t h = sim.digest;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    sim.digest = h;
}

void event(const char *who, unsigned n, unsigned m, const char *what, struct slice text)
{
    uint64_t head[3] = {sim.env.now, (uint64_t)n << 32 | m, text.n};
    digest(who, strlen(who));
    digest(head, sizeof(head));
    digest(what, strlen(what));
    digest(text.p, text.n < 512 ? text.n : 512);
    breaker_look();
    if (sim.trace)
        fprintf(stderr, "%u %.6f %s %u.%u %s %.*s\n", sim.step,
                (double)sim.env.now / USEC_PER_SEC - 1000, who, n, m, what,
                (int)(text.n < 200 ? text.n : 200), text.p);
}

void struck(enum fault_kind kind)
{
    sim.faults[kind]++;
    event("fault", kind, 0, fault_names[kind], slice_of("", 0));
}

void violation(enum invariant what, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    size_t n = (size_t)snprintf(text, sizeof(text), "step %u, %.3f s: %s: ", sim.step,
                                (double)sim.env.now / USEC_PER_SEC - 1000, invariant_names[what]);
    va_start(ap, fmt);
    vsnprintf(text + n, sizeof(text) - n, fmt, ap);
    va_end(ap);
    seed_failed(text);
}

/* A core that always has something to do at once does not let time pass. */
#define TURNS_MAX 10000

static void run_until(usec_t now)
{
    env_run(&sim.env, now);
    for (unsigned i = 0; env_next_due(&sim.env) <= sim.env.now; i++) {
        CHECK(STRUCTURE, i < TURNS_MAX, "the core spins");
        env_run(&sim.env, sim.env.now);
    }
    breaker_look();
    slots_check();
    breaker_check();
    operator_check();
}

void turn(void)
{
    run_until(sim.env.now);
}

void pass(usec_t span)
{
    usec_t end = sim.env.now + span;
    turn();
    for (usec_t due; (due = env_next_due(&sim.env)) <= end;)
        run_until(due);
    run_until(end);
}

void jump(usec_t span)
{
    run_until(sim.env.now + span);
}
