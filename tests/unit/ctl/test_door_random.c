/* ctl/door under a client and daemons that do anything in any order: each request is answered
 * exactly once, a call reaches daemons whole at most once, and what an error says of that is true.
 */
#include "ctl/door.h"
#include "unit/ctl/ctl_test.h"

#include "base/util.h"
#include "wire/rpc.h"

#include <stdio.h>

#define CALLS 60
#define STEPS 400

/* What is known of request n; those with an even number are calls, the others lists. */
struct fate {
    unsigned arrived;  /* times a daemon got all of it, without its line end even */
    unsigned refused;  /* of these, times it said that it would not do it */
    unsigned answered; /* times the client heard of it */
    bool sent, cancelled;
};

static struct {
    struct door *d;
    struct fate fates[CALLS + 1];
    unsigned made; /* requests so far */
    usec_t now;
    uint64_t random;
    bool up;
    struct buf in; /* what the daemon of this connection has got */
    char open[256][32];
    unsigned opened; /* ids it owes an answer for */
} w;

static unsigned below(unsigned n)
{
    w.random = w.random * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(w.random >> 33) % n;
}

static void say(const char *fmt, unsigned n)
{
    struct buf b = BUF_INIT;
    char text[16];
    snprintf(text, sizeof(text), "%u", n);
    for (const char *p = fmt; *p; p++)
        buf_append_str(&b, *p == '#' ? text : (char[]){*p, 0});
    door_on_client(w.d, buf_peek(&b), w.now);
    buf_done(&b);
}

static void say_request(void)
{
    if (w.made == CALLS)
        return;
    unsigned n = ++w.made;
    w.fates[n].sent = true;
    say(n % 2 ? "{\"jsonrpc\":\"2.0\",\"id\":#,\"method\":\"tools/list\"}"
              : "{\"jsonrpc\":\"2.0\",\"id\":#,\"method\":\"tools/"
                "call\",\"params\":{\"name\":\"x\"}}",
        n);
}

static void say_cancel(void)
{
    unsigned n = w.made ? 1 + below(w.made) : 0;
    if (n == 0 || w.fates[n].answered)
        return;
    w.fates[n].cancelled = true;
    say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":#}}",
        n);
}

/* ---- the daemon ---- */

static void daemon_line(struct slice line)
{
    struct rpc_msg m;
    uint64_t n;
    ck_assert_int_eq(rpc_parse(line, 64, &m, NULL), RPC_OK);
    if (m.kind != RPC_REQUEST)
        return;
    struct slice id = rpc_span(line, m.id);
    ck_assert_uint_lt(id.n, 32);
    ck_assert_uint_lt(w.opened, 256);
    memcpy(w.open[w.opened], id.p, id.n);
    w.open[w.opened++][id.n] = '\0';
    if (json_u64(id, &n) && n > 0) {
        ck_assert_uint_le(n, CALLS);
        w.fates[n].arrived++;
        ck_assert_msg(!(n % 2 == 0 && w.fates[n].arrived - w.fates[n].refused > 1),
                      "call %u was given to daemons twice", (unsigned)n);
    }
}

static void daemon_reads(size_t most)
{
    struct slice s = door_to_server(w.d);
    size_t n = s.n < most ? s.n : most;
    if (!w.up || n == 0)
        return;
    buf_append(&w.in, s.p, n);
    door_written(w.d, n);
    for (;;) {
        struct slice got = buf_peek(&w.in);
        const char *end = memchr(got.p, '\n', got.n);
        if (!end)
            break;
        daemon_line(slice_of(got.p, (size_t)(end - got.p)));
        buf_consume(&w.in, (size_t)(end - got.p) + 1);
    }
}

static void daemon_answers(bool may_refuse)
{
    struct buf b = BUF_INIT;
    uint64_t n;
    if (!w.up || w.opened == 0)
        return;
    unsigned i = below(w.opened);
    bool counted = json_u64(slice_str(w.open[i]), &n) && n > 0;
    if (may_refuse && counted && below(4) == 0) {
        w.fates[n].refused++;
        rpc_write_error(&b, slice_str(w.open[i]), -32603, SLICE("mcpool is shutting down"),
                        SLICE("{\"reason\":\"shutting_down\",\"delivered\":\"no\"}"));
    } else {
        rpc_write_result(&b, slice_str(w.open[i]),
                         SLICE("{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}"));
    }
    memmove(w.open[i], w.open[w.opened - 1], sizeof(w.open[i]));
    w.opened--;
    door_on_server(w.d, buf_peek(&b), w.now);
    buf_done(&b);
}

static void connect_or_lose(void)
{
    if (!w.up && door_wants_connection(w.d)) {
        door_on_connected(w.d);
        w.up = true;
    } else if (w.up) {
        /* The end of the input ends the line: a message may arrive without its own end. */
        struct slice rest = buf_peek(&w.in);
        if (rest.n && json_validate(rest, 64, NULL) == JSON_OK)
            daemon_line(rest);
        buf_reset(&w.in);
        w.opened = 0;
        w.up = false;
        door_on_lost(w.d, "gone", w.now, w.now);
    }
}

/* ---- the client ---- */

static void client_reads(void)
{
    struct buf *b = door_to_client(w.d);
    for (struct slice all = buf_peek(b); all.n > 0; all = buf_peek(b)) {
        const char *end = memchr(all.p, '\n', all.n);
        ck_assert_ptr_nonnull(end);
        struct slice line = slice_of(all.p, (size_t)(end - all.p));
        struct rpc_msg m;
        uint64_t n = 0;
        ck_assert_int_eq(rpc_parse(line, 64, &m, NULL), RPC_OK);
        if ((m.kind == RPC_RESULT || m.kind == RPC_ERROR) && json_u64(rpc_span(line, m.id), &n) &&
            n > 0) {
            struct fate *f = &w.fates[n];
            f->answered++;
            ck_assert_msg(f->answered == 1, "request %u was answered twice", (unsigned)n);
            struct slice delivered = json_path(line, "error", "data", "delivered", NULL);
            if (delivered.n && json_string_is(delivered, "no"))
                ck_assert_msg(f->arrived == f->refused, "request %u had been delivered",
                              (unsigned)n);
            if (m.kind == RPC_RESULT)
                ck_assert_uint_gt(f->arrived, f->refused);
        }
        buf_consume(b, line.n + 1);
    }
}

static void step(void)
{
    static const struct {
        void (*fn)(void);
        unsigned weight;
    } acts[] = {{say_request, 5}, {say_cancel, 1}, {connect_or_lose, 2}, {client_reads, 3}};
    unsigned r = below(24);
    for (size_t i = 0; i < ARRAY_LEN(acts); r -= acts[i].weight, i++) {
        if (r < acts[i].weight) {
            acts[i].fn();
            return;
        }
    }
    if (r < 6)
        daemon_reads(1 + below(120));
    else if (r < 11)
        daemon_answers(true);
    else
        w.now += below(5) * USEC_PER_SEC;
    door_on_time(w.d, w.now);
    if (w.up && door_wants_close(w.d))
        connect_or_lose();
}

static void finish(void)
{
    door_on_client_end(w.d);
    for (unsigned i = 0; i < 5000 && !door_is_finished(w.d); i++) {
        if (!w.up || door_wants_close(w.d))
            connect_or_lose();
        daemon_reads(100000);
        daemon_answers(false);
        client_reads();
    }
    ck_assert(door_is_finished(w.d));
    client_reads();
    for (unsigned n = 1; n <= w.made; n++)
        ck_assert_msg(w.fates[n].answered == 1 || w.fates[n].cancelled,
                      "request %u was not answered", n);
}

START_TEST(every_request_has_one_fate)
{
    static const struct door_limits limits = {
        .wait = 20 * USEC_PER_SEC, .depth_max = 64, .max_batch = 8};
    for (unsigned seed = 0; seed < 100; seed++) {
        memset(&w, 0, sizeof(w));
        w.d = door_new(&limits, "s");
        w.now = 1000 * USEC_PER_SEC;
        w.random = (uint64_t)_i * 1000 + seed;
        say("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{}}", 0);
        connect_or_lose();
        daemon_reads(1000);
        daemon_answers(false);
        say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", 0);
        for (unsigned i = 0; i < STEPS; i++)
            step();
        finish();
        door_free(w.d);
        buf_done(&w.in);
    }
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_loop_test(tc, every_request_has_one_fate, 0, 10);
}

int main(void)
{
    return run_cases("ctl/door, at random", add);
}
