/* load: the load generator. A run is a row of phases: open the sessions, warm up, measure. A phase
 * begins pieces of work, one a time a session has room for it, until its number or its time is
 * reached, and is over when all of them are done, so that nothing of one phase counts in the next.
 *
 * A piece of work is the opening of a session, a call, or a whole session (churn). Without --rate a
 * piece begins as soon as there is room; with it each has a time at which it is due, and its
 * latency counts from then, so a server that falls behind cannot hide it by being asked less often.
 *
 * Sessions with room stand in a ring, once for each piece that they could take; those with output
 * are remembered and written at the end of a turn, so calls that begin together share a write. */
#include "base/buf.h"
#include "base/util.h"
#include "bench/load/connect.h"
#include "bench/load/histogram.h"
#include "bench/load/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EVENTS 512
/* So many sessions are being opened at the same time: less than any server's backlog. */
#define OPENING_MAX        64
#define WARMUP_CALLS_MAX   1000
#define WARMUP_SECONDS_MAX 1.0

enum work { WORK_OPEN, WORK_CALL, WORK_SESSION };

struct phase {
    enum work work;
    double rate;          /* 0: as fast as there is room */
    uint64_t limit;       /* pieces to begin at most */
    uint64_t began, ends; /* ends: no piece begins from then on */
    uint64_t begun, done, errors;
    uint64_t finished; /* when the last piece was done */
};

static struct plan plan;
static struct phase phase;
static struct histogram latency;
static int poller;
static uint64_t now;
static struct session *sessions;

/* The ring of room, and the list of sessions with output. */
static struct session **ring, **dirty;
static size_t ring_size, ring_head, ring_count, dirty_count;

static void ring_push(struct session *s)
{
    ring[(ring_head + ring_count++) % ring_size] = s;
}

static struct session *ring_pop(void)
{
    struct session *s = ring[ring_head];

    ring_head = (ring_head + 1) % ring_size;
    ring_count--;
    return s;
}

static void mark_dirty(struct session *s)
{
    if (s->dirty)
        return;
    s->dirty = true;
    dirty[dirty_count++] = s;
}

static void piece_done(uint64_t since, bool is_error)
{
    histogram_add(&latency, now - since);
    phase.done++;
    phase.errors += is_error;
    phase.finished = now;
}

/* ---- what sessions tell ---- */

static void on_arrived(void)
{
    now = now_ns();
}

static void on_opened(struct session *s)
{
    if (phase.work == WORK_OPEN)
        piece_done(s->since, false);
    else
        session_call(s, now);
    mark_dirty(s);
}

static void on_answered(struct session *s, uint64_t since, bool is_error)
{
    (void)s;
    if (phase.work == WORK_CALL)
        piece_done(since, is_error);
    else
        phase.errors += is_error;
}

static void on_freed(struct session *s)
{
    if (phase.work == WORK_CALL)
        ring_push(s);
    else
        session_stop(s);
}

static void on_closed(struct session *s)
{
    piece_done(s->since, false);
    ring_push(s);
}

static const struct session_events session_events = {.arrived = on_arrived,
                                                     .opened = on_opened,
                                                     .answered = on_answered,
                                                     .freed = on_freed,
                                                     .closed = on_closed};

/* ---- beginning work ---- */

static uint64_t due_at(uint64_t index)
{
    return phase.began + (uint64_t)((double)index * (1e9 / phase.rate));
}

/* Whether another piece is to begin now; *ret_since: when it was due. */
static bool next_piece(uint64_t *ret_since)
{
    uint64_t due = phase.rate > 0 ? due_at(phase.begun) : now;

    if (phase.begun == phase.limit || due >= phase.ends || due > now)
        return false;
    if (phase.work == WORK_OPEN && phase.begun - phase.done >= OPENING_MAX)
        return false;
    phase.begun++;
    *ret_since = due;
    return true;
}

/* Whether the phase will begin no more. */
static bool phase_is_over(void)
{
    return phase.begun == phase.limit || (phase.rate > 0 ? due_at(phase.begun) : now) >= phase.ends;
}

static void begin_pieces(void)
{
    uint64_t since;

    while (ring_count > 0 && next_piece(&since)) {
        struct session *s = ring_pop();

        if (phase.work == WORK_CALL) {
            session_call(s, since);
        } else {
            s->since = since;
            session_start(s);
        }
        mark_dirty(s);
    }
    while (dirty_count > 0) {
        struct session *s = dirty[--dirty_count];

        s->dirty = false;
        session_flush(s);
    }
}

/* ---- the loop ---- */

/* Waits for sessions to have something, at most until the next piece is due. */
static int wait_events(struct epoll_event *events)
{
    uint64_t limit = (uint64_t)plan.timeout * NSEC_PER_SEC;
    bool timed = phase.rate > 0 && ring_count > 0 && !phase_is_over();
    int n;

    if (timed) {
        uint64_t due = due_at(phase.begun), left = due > now ? due - now : 0;
        struct timespec t = {.tv_sec = (time_t)(left / NSEC_PER_SEC),
                             .tv_nsec = (long)(left % NSEC_PER_SEC)};

        n = epoll_pwait2(poller, events, EVENTS, &t, NULL);
    } else {
        n = epoll_wait(poller, events, EVENTS, (int)(limit / 1000000));
    }
    if (n < 0 && errno != EINTR)
        die("epoll_wait: %m");
    if (n == 0 && !timed)
        die("%s: nothing was answered for %u s", plan.target, plan.timeout);
    return n;
}

/* Goes on until the phase begins no more and all that it began is done. */
static void finish_phase(void)
{
    struct epoll_event events[EVENTS];

    while (phase.done < phase.begun || !phase_is_over()) {
        int n = wait_events(events);

        for (int i = 0; i < n; i++)
            session_on_event(events[i].data.ptr, events[i].events);
        now = now_ns();
        begin_pieces();
    }
}

static void run_phase(enum work work, double rate, uint64_t limit, double seconds)
{
    now = now_ns();
    histogram_reset(&latency);
    phase = (struct phase){.work = work,
                           .rate = rate,
                           .limit = limit,
                           .began = now,
                           .finished = now,
                           .ends = seconds > 0 ? now + (uint64_t)(seconds * 1e9) : UINT64_MAX};
    begin_pieces();
    finish_phase();
}

/* ---- the run ---- */

static void set_up(void)
{
    uint64_t room = (uint64_t)plan.sessions * plan.window;

    if (room > UINT64_C(1) << 26)
        die_usage("--sessions times --window is too much");
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1: %m");
    session_setup(&plan, &session_events, poller);
    ring_size = room;
    ring = xcalloc(ring_size, sizeof(struct session *));
    dirty = xcalloc(plan.sessions, sizeof(struct session *));
    sessions = xcalloc(plan.sessions, sizeof(*sessions));
    for (unsigned i = 0; i < plan.sessions; i++) {
        session_init(&sessions[i]);
        ring_push(&sessions[i]);
    }
}

/* Opens all sessions, and gives each its room for calls. */
static void open_all(void)
{
    run_phase(WORK_OPEN, 0, plan.sessions, 0);
    for (unsigned w = 0; w < plan.window; w++)
        for (unsigned i = 0; i < plan.sessions; i++)
            ring_push(&sessions[i]);
    /* The servers that were started count like those that were named. */
    for (unsigned i = 0; i < plan.sessions && plan.pid_count < PIDS_MAX; i++)
        if (sessions[i].pid > 0)
            plan.pids[plan.pid_count++] = sessions[i].pid;
}

static void warm_up(enum work work)
{
    double seconds = plan.seconds / 10;
    uint64_t calls = plan.calls / 10;

    if (plan.warmup != UINT64_MAX)
        run_phase(work, plan.rate, plan.warmup, 0);
    else if (plan.calls == UINT64_MAX)
        run_phase(work, plan.rate, UINT64_MAX,
                  seconds < WARMUP_SECONDS_MAX ? seconds : WARMUP_SECONDS_MAX);
    else
        run_phase(work, plan.rate, calls < WARMUP_CALLS_MAX ? calls : WARMUP_CALLS_MAX,
                  plan.seconds);
}

/* CPU time of the measured part, of this process and of those on the list. */
struct cost {
    uint64_t self, of[PIDS_MAX];
    uint64_t bytes_in, bytes_out;
};

static void take_cost(struct cost *c)
{
    c->self = process_cpu_ns(0);
    for (unsigned i = 0; i < plan.pid_count; i++)
        c->of[i] = process_cpu_ns(plan.pids[i]);
    c->bytes_in = session_totals.bytes_in;
    c->bytes_out = session_totals.bytes_out;
}

static double usec(uint64_t ns)
{
    return (double)ns / 1e3;
}

static void print_result(const struct cost *before, const struct cost *after)
{
    static const struct {
        const char *name;
        double part;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    double calls = phase.done > 0 ? (double)phase.done : 1;
    double seconds = (double)(phase.finished - phase.began) / 1e9;

    printf("{\"calls\":%llu,\"errors\":%llu,\"seconds\":%.9f,\"calls_per_second\":%.3f,"
           "\"bytes_in\":%llu,\"bytes_out\":%llu,\"reconnects\":%llu,\"latency_us\":{"
           "\"min\":%.2f",
           (unsigned long long)phase.done, (unsigned long long)phase.errors, seconds,
           seconds > 0 ? (double)phase.done / seconds : 0.0,
           (unsigned long long)(after->bytes_in - before->bytes_in),
           (unsigned long long)(after->bytes_out - before->bytes_out),
           (unsigned long long)session_totals.reconnects, usec(latency.min));
    for (unsigned i = 0; i < ARRAY_LEN(quantiles); i++)
        printf(",\"%s\":%.2f", quantiles[i].name,
               usec(histogram_quantile(&latency, quantiles[i].part)));
    printf(",\"max\":%.2f},\"cpu_us_per_call\":{", usec(latency.max));
    for (unsigned i = 0; i < plan.pid_count; i++)
        printf("%s\"%d\":%.3f", i > 0 ? "," : "", (int)plan.pids[i],
               usec(after->of[i] - before->of[i]) / calls);
    printf("},\"load_cpu_us_per_call\":%.3f}\n", usec(after->self - before->self) / calls);
    if (fflush(stdout) != 0)
        die("standard output: %m");
}

/* After an error: servers that would not notice that nobody is there any more. */
static void kill_servers(void)
{
    for (unsigned i = 0; sessions && i < plan.sessions; i++)
        if (sessions[i].pid > 0)
            (void)kill(sessions[i].pid, SIGTERM);
}

/* Ends the servers that were started, and reads what they still have to say, so that a second
 * answer to the last call is found, too. */
static void stop_servers(void)
{
    ring_count = 0; /* on_closed enters the sessions anew */
    phase = (struct phase){
        .work = WORK_SESSION, .limit = plan.sessions, .begun = plan.sessions, .ends = UINT64_MAX};
    for (unsigned i = 0; i < plan.sessions; i++)
        session_stop(&sessions[i]);
    finish_phase();
}

/* Keeps the sessions until standard input ends; what servers say meanwhile is read and checked. */
static void hold(void)
{
    struct epoll_event events[EVENTS], ev = {.events = EPOLLIN, .data.ptr = NULL};
    char ignored[4096];

    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &ev) < 0)
        return; /* a file: it has an end already */
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                session_on_event(events[i].data.ptr, events[i].events);
            else if (read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
                return;
        }
    }
}

/* The measured part; its result is printed. */
static void measure(void)
{
    enum work work = plan.mode == MODE_CHURN ? WORK_SESSION : WORK_CALL;
    struct cost before, after;

    if (plan.mode == MODE_CALLS)
        open_all();
    if (plan.mode != MODE_HOLD)
        warm_up(work);
    take_cost(&before);
    if (plan.mode == MODE_HOLD)
        run_phase(WORK_OPEN, 0, plan.sessions, 0);
    else
        run_phase(work, plan.rate, plan.calls, plan.seconds);
    take_cost(&after);
    print_result(&before, &after);
}

int main(int argc, char **argv)
{
    plan_parse(&plan, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    raise_files();
    (void)prctl(PR_SET_TIMERSLACK, 1); /* calls are due to the microsecond */
    if (atexit(kill_servers) != 0)
        die("atexit fails");
    set_up();
    measure();
    if (plan.mode == MODE_HOLD)
        hold();
    if (plan.via == VIA_STDIO && plan.mode != MODE_CHURN)
        stop_servers();
    if (session_totals.first_error[0])
        die("%s: calls were answered with errors, the first: %s", plan.target,
            session_totals.first_error);
    return 0;
}
