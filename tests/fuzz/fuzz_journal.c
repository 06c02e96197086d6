/* Fuzz target: the state file of sessions, from its bytes to what is known of sessions. The first
 * byte chooses the cuts, the second whether the bytes are the file or, line by line, its records.
 *
 * Held: cuts make no difference; every record that comes out stands in the file as a writer would
 * have written it; whatever the records say, memory stays bounded, and what is written back is read
 * back as the same. */
#include "io/journal_text.h"
#include "proxy/keep.h"

#include "base/log.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STATE_BYTES ((size_t)2048)

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* ---- lines ---- */

struct reading {
    struct buf records;
    struct slice file;
    size_t count;
};

static void take(void *arg, struct slice record)
{
    struct reading *r = arg;
    struct buf line = BUF_INIT;
    journal_write_line(&line, record);
    size_t n = buf_len(&line) - 1; /* the last line may lack its end */
    require(memmem(r->file.p, r->file.n, line.data, n) != NULL, "a record that is not in the file");
    buf_append_slice(&r->records, record);
    buf_append_str(&r->records, "\n");
    r->count++;
    buf_done(&line);
}

/* The file in pieces of `step` bytes, each in memory of exactly its size. */
static size_t read_file(struct slice file, size_t step, struct reading *r)
{
    struct journal_reader jr = {.take = take, .arg = r};
    *r = (struct reading){.file = file};
    for (size_t at = 0; at < file.n; at += step) {
        size_t n = file.n - at < step ? file.n - at : step;
        char *piece = xmalloc(n);
        memcpy(piece, file.p + at, n);
        journal_feed(&jr, slice_of(piece, n));
        free(piece);
    }
    journal_feed_end(&jr);
    return jr.damaged;
}

/* ---- what is known ---- */

struct text_store {
    struct store base;
    struct slice records; /* to be read */
    struct buf written;
};

static int store_read(struct store *st, void (*taker)(void *, struct slice), void *arg,
                      size_t *damaged)
{
    struct slice rest = container_of(st, struct text_store, base)->records;
    *damaged = 0;
    while (rest.n) {
        size_t n = (size_t)((const char *)memchr(rest.p, '\n', rest.n) - rest.p);
        taker(arg, slice_of(rest.p, n));
        rest = slice_of(rest.p + n + 1, rest.n - n - 1);
    }
    return 0;
}

static int store_append(struct store *st, struct slice record)
{
    struct buf *b = &container_of(st, struct text_store, base)->written;
    require(record.n <= STORE_RECORD_MAX && !memchr(record.p, '\n', record.n), "a record's form");
    buf_append_slice(b, record);
    buf_append_str(b, "\n");
    return 0;
}

static int store_begin(struct store *st)
{
    (void)st;
    return 0;
}

static int store_end(struct store *st, bool durable)
{
    (void)st, (void)durable;
    return 0;
}

static size_t store_size(const struct store *st)
{
    return buf_len(&container_of((struct store *)st, struct text_store, base)->written);
}

static const struct store_ops store_ops = {
    .read = store_read,
    .append = store_append,
    .rewrite_begin = store_begin,
    .rewrite_end = store_end,
    .size = store_size,
};

static usec_t wall_clock(void)
{
    return 1800000000 * USEC_PER_SEC;
}

/* What a process that reads these records writes back. */
static struct buf round_trip(struct slice records)
{
    static const unsigned char key[SESSION_KEY_SIZE];
    struct config_limits limits = {.state_file_bytes = STATE_BYTES,
                                   .session_max_age = 30 * 86400 * USEC_PER_SEC};
    struct text_store st = {.base = {.ops = &store_ops}, .records = records};
    struct proxy_transports tr = {.session_key = key, .wall_clock = wall_clock, .store = &st.base};
    struct env env;
    struct keeper k;
    env_init(&env, NULL, NULL);
    keeper_init(&k, &env, &limits, &tr);
    require(k.bytes <= STATE_BYTES / 2, "bounded");
    /* The journal adds a checksum and two bytes to each record. */
    require(buf_len(&st.written) <= k.bytes, "the cost of entries is not below that of records");
    keeper_done(&k);
    require(k.bytes == 0, "every byte was counted twice: in and out");
    env_done(&env);
    return st.written;
}

static void check_memory(struct slice records)
{
    struct buf once = round_trip(records), twice = round_trip(buf_peek(&once));
    require(slice_eq(buf_peek(&once), buf_peek(&twice)), "written and read again");
    buf_done(&once);
    buf_done(&twice);
}

/* ---- */

static struct buf as_records(struct slice text)
{
    struct buf file = BUF_INIT;
    while (text.n) {
        const char *lf = memchr(text.p, '\n', text.n);
        size_t n = lf ? (size_t)(lf - text.p) : text.n;
        journal_write_line(&file, slice_of(text.p, n));
        n += lf != NULL;
        text = slice_of(text.p + n, text.n - n);
    }
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole, cut;
    if (size < 2)
        return 0;
    log_set_level(LOG_LEVEL_CRITICAL);
    struct slice text = slice_of((const char *)data + 2, size - 2);
    struct buf file = BUF_INIT;
    if (data[1] & 1)
        file = as_records(text);
    else
        buf_append_slice(&file, text);
    size_t damaged = read_file(buf_peek(&file), buf_len(&file) + 1, &whole);
    require(read_file(buf_peek(&file), (size_t)data[0] + 1, &cut) == damaged, "damage by cuts");
    require(slice_eq(buf_peek(&whole.records), buf_peek(&cut.records)), "records by cuts");
    check_memory(buf_peek(&whole.records));
    buf_done(&whole.records);
    buf_done(&cut.records);
    buf_done(&file);
    return 0;
}
