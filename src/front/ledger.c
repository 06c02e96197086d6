/* Layout and judgement of the ledger.
 *
 *     header | the system call under way and its bytes | records | spilled input
 *
 * The memory is sparse: records and spills that were never used cost nothing. */
#include "front/ledger.h"

#include "base/util.h"
#include "wire/json.h"

#include <stdlib.h>

/* Raised with every change of the layout or of what a field means: another version's connections
 * are closed, since guessing would be worse. */
#define MAGIC   UINT64_C(0x6d63706f6f6c4c31)
#define VERSION 2

#define SPILL_BYTES ((size_t)16 * 1024 * 1024)

struct header {
    uint64_t magic;
    uint32_t version, record_bytes, records, io_bytes;
    uint64_t size;
    uint64_t next_serial;
    uint64_t spilled; /* bytes of the spill area in use */
    /* Records from here on were never taken. Nobody looks at those: even a look gives them memory.
     */
    uint64_t touched;
};

struct layout {
    struct header head;
    struct stream_io io;
    struct ledger_record records[];
};

struct ledger {
    struct layout *at;
    size_t size;
    unsigned records;
    unsigned hint; /* where the search for a free record begins */
};

static size_t spill_offset(unsigned records)
{
    return sizeof(struct layout) + records * sizeof(struct ledger_record);
}

size_t ledger_size(unsigned records)
{
    return spill_offset(records) + SPILL_BYTES;
}

static bool is_ours(const struct header *h, size_t size)
{
    return h->magic == MAGIC && h->version == VERSION &&
           h->record_bytes == sizeof(struct ledger_record) &&
           h->io_bytes == sizeof(struct stream_io) && h->size == size && h->records > 0 &&
           h->records <= size / sizeof(struct ledger_record) && h->touched <= h->records &&
           ledger_size(h->records) == size;
}

struct ledger *ledger_open(void *mem, size_t size, bool is_new)
{
    struct layout *at = mem;
    if (size < ledger_size(1))
        return NULL;
    if (is_new) {
        size_t records = (size - ledger_size(0)) / sizeof(struct ledger_record);
        memset(&at->head, 0, sizeof(at->head));
        at->head = (struct header){.magic = MAGIC,
                                   .version = VERSION,
                                   .record_bytes = sizeof(struct ledger_record),
                                   .records = (uint32_t)records,
                                   .io_bytes = sizeof(struct stream_io),
                                   .size = size,
                                   .next_serial = 1};
    }
    if (!is_ours(&at->head, size))
        return NULL;
    struct ledger *l = xcalloc(1, sizeof(*l));
    l->at = at;
    l->size = size;
    l->records = at->head.records;
    return l;
}

void ledger_count_from(struct ledger *l, uint64_t serial)
{
    TRACE_SET(l->at->head.next_serial, serial);
}

void ledger_close(struct ledger *l)
{
    free(l);
}

struct stream_io *ledger_io(struct ledger *l)
{
    return &l->at->io;
}

unsigned ledger_records(const struct ledger *l)
{
    return l->records;
}

struct ledger_record *ledger_at(struct ledger *l, unsigned index)
{
    return index < l->records ? &l->at->records[index] : NULL;
}

unsigned ledger_index(const struct ledger *l, const struct ledger_record *r)
{
    return (unsigned)(r - l->at->records);
}

struct ledger_record *ledger_take(struct ledger *l, const char *listener, uint64_t socket)
{
    for (unsigned i = 0; i < l->records; i++) {
        unsigned at = (l->hint + i) % l->records;
        struct ledger_record *r = &l->at->records[at];
        if (r->io.serial)
            continue;
        l->hint = at + 1;
        if (at >= l->at->head.touched)
            TRACE_SET(l->at->head.touched, at + 1);
        uint64_t serial = l->at->head.next_serial++;
        if (serial == 0) /* nobody counts so far; but it would stand for a free record */
            serial = l->at->head.next_serial++;
        memset(r, 0, offsetof(struct ledger_record, ids));
        ledger_text(r->listener, sizeof(r->listener), listener);
        r->socket = socket;
        r->request_at = r->answer_at = r->stream_at = r->end_at = LEDGER_NEVER;
        TRACE_SET(r->io.serial, serial);
        return r;
    }
    return NULL;
}

void ledger_free(struct ledger *l, struct ledger_record *r)
{
    if (!r)
        return;
    TRACE_SET(r->io.serial, 0);
    l->hint = ledger_index(l, r);
}

void ledger_sweep(struct ledger *l, const bool *used)
{
    for (unsigned i = 0; i < l->at->head.touched; i++)
        if (!used[i] && l->at->records[i].io.serial)
            TRACE_SET(l->at->records[i].io.serial, 0);
}

/* ---- transitions ---- */

void ledger_request(struct ledger_record *r, uint64_t queued, uint32_t flags)
{
    if (!r)
        return;
    TRACE_SET(r->owed, queued);
    TRACE_SET(r->request_at, LEDGER_NEVER); /* from here on the one before is over */
    TRACE_SET(r->answer_at, LEDGER_NEVER);
    TRACE_SET(r->stream_at, LEDGER_NEVER);
    TRACE_SET(r->end_at, LEDGER_NEVER);
    TRACE_SET(r->status, 0);
    TRACE_SET(r->seats, 0);
    TRACE_SET(r->unlisted, 0);
    TRACE_SET(r->flags, flags);
}

void ledger_commit(struct ledger_record *r, uint64_t taken)
{
    if (!r)
        return;
    TRACE_SET(r->request_at, taken);
    TRACE_SET(r->taken, taken);
    TRACE_SET(r->adoptions, 0);
}

/* A place whose former request needs none any more. */
static struct ledger_id *seat(struct ledger_record *r)
{
    for (unsigned i = 0; i < r->seats; i++) {
        struct ledger_id *id = &r->ids[i];
        if (id->n == 0 || (id->end != LEDGER_NEVER && id->end <= r->io.sent))
            return id;
    }
    if (r->seats >= LEDGER_IDS)
        return NULL;
    r->ids[r->seats].n = 0;
    TRACE_SET(r->seats, r->seats + 1);
    return &r->ids[r->seats - 1];
}

void ledger_id_add(struct ledger_record *r, struct slice id, const struct ledger *l,
                   const struct ledger_record *via, uint64_t at)
{
    struct ledger_id *s = r && id.n && id.n <= LEDGER_ID_BYTES ? seat(r) : NULL;
    if (!r)
        return;
    if (!s) {
        TRACE_SET(r->unlisted, r->unlisted + 1);
        return;
    }
    TRACE_SET(s->n, 0);
    memcpy(s->bytes, id.p, id.n);
    TRACE_SET(s->via, via ? ledger_index(l, via) : UINT32_MAX);
    TRACE_SET(s->via_serial, via ? via->io.serial : 0);
    TRACE_SET(s->at, at);
    TRACE_SET(s->begin, LEDGER_NEVER);
    TRACE_SET(s->end, LEDGER_NEVER);
    TRACE_SET(s->n, (uint32_t)id.n);
}

static struct ledger_id *find(struct ledger_record *r, struct slice id)
{
    for (unsigned i = 0; i < r->seats; i++) {
        struct ledger_id *s = &r->ids[i];
        if (s->n && s->end == LEDGER_NEVER && slice_eq(slice_of(s->bytes, s->n), id))
            return s;
    }
    return NULL;
}

void ledger_id_answered(struct ledger_record *r, struct slice id, bool noted, uint64_t begin,
                        uint64_t end)
{
    struct ledger_id *s = r ? find(r, id) : NULL;
    if (s) {
        TRACE_SET(s->begin, begin);
        TRACE_SET(s->end, end);
    } else if (r && noted && r->unlisted) {
        TRACE_SET(r->unlisted, r->unlisted - 1);
    }
}

void ledger_id_drop(struct ledger_record *r, struct slice id)
{
    struct ledger_id *s = r ? find(r, id) : NULL;
    if (s)
        TRACE_SET(s->n, 0);
    else if (r && r->unlisted)
        TRACE_SET(r->unlisted, r->unlisted - 1);
}

bool ledger_spill(struct ledger *l, struct ledger_record *r, struct slice bytes)
{
    uint64_t used = l->at->head.spilled;
    if (bytes.n > SPILL_BYTES || used > SPILL_BYTES - bytes.n)
        return false;
    memcpy((char *)l->at + spill_offset(l->records) + used, bytes.p, bytes.n);
    TRACE_SET(l->at->head.spilled, used + bytes.n);
    TRACE_SET(r->spill_n, 0);
    TRACE_SET(r->spill_off, used);
    TRACE_SET(r->spill_at, r->taken);
    TRACE_SET(r->spill_n, bytes.n);
    return true;
}

void ledger_spill_reset(struct ledger *l)
{
    for (unsigned i = 0; i < l->at->head.touched; i++)
        if (l->at->records[i].spill_n)
            TRACE_SET(l->at->records[i].spill_n, 0);
    TRACE_SET(l->at->head.spilled, 0);
}

/* ---- judgement ---- */

static void close_it(struct ledger_verdict *v, const char *why)
{
    v->fate = LEDGER_CLOSE;
    v->why = why;
}

static bool is_text(const char *s, size_t cap)
{
    for (size_t i = 0; i < cap; i++) {
        if (s[i] == '\0')
            return true;
        if (s[i] < 0x21 || s[i] > 0x7e)
            return false;
    }
    return false;
}

/* No connection carries more. */
#define TOTAL_MAX (UINT64_MAX / 4)

/* Whether the fields lie in their ranges at all. */
static bool is_sane(const struct ledger_record *r)
{
    return r->io.serial && is_text(r->listener, sizeof(r->listener)) &&
           is_text(r->session, sizeof(r->session)) && is_text(r->sse_id, sizeof(r->sse_id)) &&
           is_text(r->route, sizeof(r->route)) && is_text(r->principal, sizeof(r->principal)) &&
           r->speech <= LEDGER_SSE && r->seats <= LEDGER_IDS && r->taken <= UINT64_MAX / 4 &&
           r->io.received <= UINT64_MAX / 4 && r->io.sent <= UINT64_MAX / 4;
}

/* The bytes from `taken` to the last one read, if they are anywhere. */
static bool find_rest(struct ledger *l, const struct ledger_record *r, struct ledger_verdict *v)
{
    const struct stream_io *s = &l->at->io;
    uint64_t n = v->received - r->taken;
    if (n == r->spill_n && r->spill_at == r->taken && r->spill_off <= SPILL_BYTES &&
        n <= SPILL_BYTES - r->spill_off) {
        const char *spill = (const char *)l->at + spill_offset(l->records);
        v->rest = slice_of(spill + r->spill_off, (size_t)n);
        return true;
    }
    if (s->owner != r->io.serial || s->at > r->taken || v->received < s->at ||
        v->received - s->at > sizeof(s->bytes))
        return false;
    v->rest = slice_of(s->bytes + (r->taken - s->at), (size_t)n);
    return true;
}

static bool is_id(struct slice id)
{
    enum json_type t = json_type_of(id);
    return (t == JSON_STRING || t == JSON_NUMBER) && json_validate(id, 0, NULL) == JSON_OK;
}

/* Whether the message that held it counts. */
static bool counts(struct ledger *l, const struct ledger_record *r, const struct ledger_id *s)
{
    const struct ledger_record *via = s->via == UINT32_MAX ? r : ledger_at(l, s->via);
    if (!via || (s->via != UINT32_MAX && via->io.serial != s->via_serial))
        return true; /* it was, before that connection went */
    return s->at <= via->taken;
}

void ledger_forget_uncounted(struct ledger *l, struct ledger_record *r)
{
    for (unsigned i = 0; i < r->seats; i++)
        if (r->ids[i].n && !counts(l, r, &r->ids[i]))
            TRACE_SET(r->ids[i].n, 0);
}

/* The requests without an answer, and whether one was cut off in the middle of it. */
static bool collect(struct ledger *l, const struct ledger_record *r, struct ledger_verdict *v)
{
    for (unsigned i = 0; i < r->seats; i++) {
        const struct ledger_id *s = &r->ids[i];
        if (s->n == 0 || !counts(l, r, s))
            continue;
        struct slice id = slice_of(s->bytes, s->n);
        if (s->n > LEDGER_ID_BYTES || !is_id(id) || s->begin > s->end) {
            close_it(v, "its record makes no sense");
            return false;
        }
        if (s->begin == LEDGER_NEVER || v->sent <= s->begin) {
            v->open[v->open_n++] = id;
        } else if (v->sent < s->end) {
            close_it(v, "an answer was cut off");
            return false;
        }
    }
    return true;
}

static bool is_between_messages(const struct ledger_record *r, uint64_t sent)
{
    return sent == r->io.flushed || (r->io.writing && sent == r->io.target);
}

static void judge_http(struct ledger *l, const struct ledger_record *r, struct ledger_verdict *v)
{
    bool in_stream = r->stream_at != LEDGER_NEVER && v->sent >= r->stream_at;
    v->fate = LEDGER_IDLE;
    if (v->sent < r->owed)
        close_it(v, "a response was cut off");
    else if (r->request_at != r->taken || (r->end_at != LEDGER_NEVER && v->sent >= r->end_at))
        return;
    else if (!in_stream && r->answer_at != LEDGER_NEVER && v->sent > r->answer_at)
        close_it(v, "a response was cut off");
    else if (r->unlisted)
        close_it(v, "more requests were in flight than are noted");
    else if (collect(l, r, v))
        v->fate = in_stream ? LEDGER_STREAM : LEDGER_ANSWER;
}

void ledger_judge(struct ledger *l, const struct ledger_record *r, struct ledger_verdict *ret)
{
    *ret = (struct ledger_verdict){.fate = LEDGER_IDLE,
                                   .received = trace_received(&r->io, &l->at->io),
                                   .sent = trace_sent(&r->io, &l->at->io)};
    if (!is_sane(r) || ret->received < r->taken || ret->received > TOTAL_MAX ||
        ret->sent > TOTAL_MAX) {
        close_it(ret, "its record makes no sense");
        return;
    }
    if (r->adoptions >= LEDGER_ADOPTIONS_MAX) {
        close_it(ret, "going on with it has failed too often");
        return;
    }
    if (!is_between_messages(r, ret->sent)) {
        close_it(ret, "a message was cut off");
        return;
    }
    ret->lost = ret->received > r->taken && !find_rest(l, r, ret);
    ret->partial = ret->lost && r->partial_at == ret->received;
    if (r->speech == LEDGER_UNKNOWN)
        return;
    /* An event stream that has not begun to go out is a request like others. */
    if (r->speech == LEDGER_HTTP || (r->speech == LEDGER_SSE && ret->sent < r->stream_at)) {
        judge_http(l, r, ret);
        return;
    }
    if (r->unlisted)
        close_it(ret, "more requests were in flight than are noted");
    else if (collect(l, r, ret))
        ret->fate = LEDGER_DUPLEX;
}
