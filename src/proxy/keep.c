/* The memory of sessions, and its records in the store.
 *
 *     L HASH ISSUED LEVEL     the log level
 *     S HASH ISSUED "URI"     a subscription was made
 *     U HASH ISSUED "URI"     … and ended
 *     R HASH ISSUED           the session ended for good
 *
 * Each is written after what it says has happened and before the client hears of it. Reading them
 * in order gives the state again; a record of another kind belongs to a later version and is passed
 * over. Memory and store are bounded alike: all entries together take at most half of
 * state_file_bytes as records, and when the records written since exceed the whole, the store is
 * rewritten from the entries. Who has to make room is the one that was left alone the longest,
 * among the ended ones or those that wait, whichever have more than their share; entries of live
 * sessions stay, but get no more than three quarters, so that there is room to note their ends.
 *
 * A store that fails is told of once and left alone for a while; then it is rewritten as a whole,
 * so that nothing is missing that happened meanwhile. */
#include "keep.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/util.h"
#include "wire/json.h"

#include <errno.h>
#include <stdlib.h>

#define RETRY_SPAN  (60 * USEC_PER_SEC)
#define EXPIRY_SPAN (3600 * USEC_PER_SEC)

void kept_hash(struct slice id, unsigned char out[KEPT_HASH])
{
    unsigned char d[DIGEST_SIZE];
    digest_sha256(id, d);
    memcpy(out, d, KEPT_HASH);
}

uint64_t keeper_now(const struct keeper *k)
{
    return k->wall_clock() / USEC_PER_SEC;
}

bool keeper_is_too_old(const struct keeper *k, uint64_t issued)
{
    uint64_t now = keeper_now(k); /* may be before `issued` when the clock was put back */
    return now > issued && now - issued > k->limits->session_max_age / USEC_PER_SEC;
}

/* ---- entries ---- */

/* The records of e have become so much more. */
static void count_more(struct keeper *k, struct kept *e, size_t n)
{
    e->bytes += n;
    k->bytes += n;
    k->live_bytes += e->live ? n : 0;
}

static void drop_uri(struct keeper *k, struct kept *e, struct kept_uri *u)
{
    TAILQ_REMOVE(&e->uris, u, link);
    e->bytes -= KEPT_COST + u->n;
    k->bytes -= KEPT_COST + u->n;
    k->live_bytes -= e->live ? KEPT_COST + u->n : 0;
    free(u);
}

static void drop_uris(struct keeper *k, struct kept *e)
{
    struct kept_uri *u;
    while ((u = TAILQ_FIRST(&e->uris)) != NULL)
        drop_uri(k, e, u);
}

static void list_leave(struct keeper *k, struct kept *e)
{
    if (e->live)
        return;
    TAILQ_REMOVE(e->revoked ? &k->ended : &k->waiting, e, link);
    k->ended_count -= e->revoked;
}

static void list_join(struct keeper *k, struct kept *e)
{
    TAILQ_INSERT_TAIL(e->revoked ? &k->ended : &k->waiting, e, link);
    k->ended_count += e->revoked;
}

static void drop_entry(struct keeper *k, struct kept *e)
{
    drop_uris(k, e);
    list_leave(k, e);
    HASH_DEL(k->entries, e);
    k->bytes -= e->bytes;
    k->live_bytes -= e->live ? e->bytes : 0;
    free(e);
}

/* Who has to go; NULL: nobody but spare and live ones are left. */
static struct kept *victim(struct keeper *k, size_t max, const struct kept *spare)
{
    struct kept *waiting = TAILQ_FIRST(&k->waiting), *ended = TAILQ_FIRST(&k->ended);
    if (waiting && waiting == spare)
        waiting = TAILQ_NEXT(waiting, link);
    bool many_ended = (size_t)k->ended_count * KEPT_COST > max / 2;
    return ended && (many_ended || !waiting) ? ended : waiting;
}

/* Forgets what was left alone the longest until `more` bytes fit. live: they are of a live session.
 * spare: stays. */
static bool make_room(struct keeper *k, size_t more, bool live, const struct kept *spare)
{
    size_t max = k->limits->state_file_bytes / (k->loading ? 1 : 2);
    struct kept *e;
    bool fair = !live || k->live_bytes + more <= max - max / 4;
    while (fair && k->bytes + more > max && (e = victim(k, max, spare)) != NULL)
        drop_entry(k, e);
    if (fair && k->bytes + more <= max)
        return true;
    if (!k->full)
        log_warning(LOG_CTX(.message_id = LOG_ID_STATE_UNSAVED),
                    "state_file_bytes is used up by open sessions: further log levels and "
                    "subscriptions will not survive a restart");
    k->full = true;
    return false;
}

struct kept *keeper_find(struct keeper *k, const unsigned char hash[KEPT_HASH])
{
    struct kept *e;
    HASH_FIND(hh, k->entries, hash, KEPT_HASH, e);
    return e;
}

/* A new entry that is nobody's yet. */
static struct kept *entry_new(struct keeper *k, const unsigned char hash[KEPT_HASH],
                              uint64_t issued, bool live)
{
    if (!make_room(k, KEPT_COST, live, NULL))
        return NULL;
    struct kept *e = xcalloc(1, sizeof(*e));
    memcpy(e->hash, hash, KEPT_HASH);
    e->issued = issued;
    e->level = MCP_LOG_UNSET;
    count_more(k, e, KEPT_COST); /* of L or R, whether it is there or not */
    TAILQ_INIT(&e->uris);
    list_join(k, e);
    HASH_ADD(hh, k->entries, hash, KEPT_HASH, e);
    return e;
}

static struct kept_uri *find_uri(const struct kept *e, struct slice token)
{
    struct kept_uri *u;
    TAILQ_FOREACH (u, &e->uris, link)
        if (slice_eq(slice_of(u->token, u->n), token))
            return u;
    return NULL;
}

/* Whether it is new, and there was room. */
static bool add_uri(struct keeper *k, struct kept *e, struct slice token)
{
    if (find_uri(e, token) || !make_room(k, KEPT_COST + token.n, e->live, e))
        return false;
    struct kept_uri *u = xmalloc(sizeof(*u) + token.n);
    u->n = token.n;
    memcpy(u->token, token.p, token.n);
    TAILQ_INSERT_TAIL(&e->uris, u, link);
    count_more(k, e, KEPT_COST + u->n);
    return true;
}

static void set_revoked(struct keeper *k, struct kept *e)
{
    drop_uris(k, e);
    list_leave(k, e);
    k->live_bytes -= e->live ? e->bytes : 0;
    e->live = false;
    e->revoked = true;
    e->level = MCP_LOG_UNSET;
    list_join(k, e);
}

void kept_claim(struct keeper *k, struct kept *e)
{
    if (e->live)
        return;
    list_leave(k, e);
    e->live = true;
    k->live_bytes += e->bytes;
}

/* ---- records ---- */

static void give_up(struct keeper *k, int error)
{
    if (k->failed != error)
        log_warning(LOG_CTX(.message_id = LOG_ID_STATE_UNSAVED),
                    "cannot save the state of sessions: %s; until that is better, log levels and "
                    "subscriptions that change now will not survive a restart",
                    error == -EBUSY ? "another process uses the state directory"
                                    : strerror(-error));
    k->failed = error;
    env_timer_set(k->env, &k->retry, k->env->now + RETRY_SPAN);
}

static int append(struct keeper *k, char kind, const struct kept *e, struct slice rest)
{
    struct buf b = BUF_INIT;
    buf_appendf(&b, "%c ", kind);
    for (size_t i = 0; i < KEPT_HASH; i++)
        buf_appendf(&b, "%02x", e->hash[i]);
    buf_appendf(&b, " %llu", (unsigned long long)e->issued);
    if (rest.n) {
        buf_append_str(&b, " ");
        buf_append_slice(&b, rest);
    }
    int r = k->store->ops->append(k->store, buf_peek(&b));
    buf_done(&b);
    return r;
}

/* Errors are remembered by the store until the end of the rewrite. */
static void append_all(struct keeper *k, const struct kept *e)
{
    const struct kept_uri *u;
    if (e->revoked)
        append(k, 'R', e, slice_of(NULL, 0));
    if (e->level != MCP_LOG_UNSET)
        append(k, 'L', e, slice_str(mcp_log_level_name(e->level)));
    TAILQ_FOREACH (u, &e->uris, link)
        append(k, 'S', e, slice_of(u->token, u->n));
}

static void rewrite(struct keeper *k, bool durable)
{
    int r = k->store->ops->rewrite_begin(k->store);
    if (r == 0) {
        /* Oldest first, as they are to be found again. */
        const struct kept *e;
        TAILQ_FOREACH (e, &k->ended, link)
            append_all(k, e);
        TAILQ_FOREACH (e, &k->waiting, link)
            append_all(k, e);
        for (e = k->entries; e; e = e->hh.next)
            if (e->live)
                append_all(k, e);
        r = k->store->ops->rewrite_end(k->store, durable);
    }
    if (r < 0) {
        give_up(k, r);
        return;
    }
    if (k->failed)
        log_notice(LOG_CTX(.message_id = LOG_ID_STATE_UNSAVED),
                   "the state of sessions is saved again");
    k->failed = 0;
    env_timer_clear(k->env, &k->retry);
}

static void retry(void *arg)
{
    rewrite(arg, false);
}

static void record(struct keeper *k, char kind, const struct kept *e, struct slice rest)
{
    if (!k->store || k->failed)
        return;
    int r = append(k, kind, e, rest);
    if (r < 0)
        give_up(k, r);
    else if (k->store->ops->size(k->store) > k->limits->state_file_bytes)
        rewrite(k, false);
}

/* ---- what happens to sessions ---- */

struct kept *kept_set_level(struct keeper *k, struct kept *e, const unsigned char hash[KEPT_HASH],
                            uint64_t issued, enum mcp_log_level level)
{
    if (!e && (e = entry_new(k, hash, issued, true)) == NULL)
        return NULL;
    kept_claim(k, e);
    if (e->level != level) {
        e->level = level;
        record(k, 'L', e, slice_str(mcp_log_level_name(level)));
    }
    return e;
}

/* The one spelling of a URI. false: too long to be kept. */
static bool token_of(struct slice uri, struct buf *out)
{
    buf_append_json_string(out, uri);
    return buf_len(out) + KEPT_COST <= STORE_RECORD_MAX;
}

struct kept *kept_subscribe(struct keeper *k, struct kept *e, const unsigned char hash[KEPT_HASH],
                            uint64_t issued, struct slice uri)
{
    struct buf token = BUF_INIT;
    if (token_of(uri, &token)) {
        if (!e)
            e = entry_new(k, hash, issued, true);
        if (e)
            kept_claim(k, e);
        if (e && add_uri(k, e, buf_peek(&token)))
            record(k, 'S', e, buf_peek(&token));
    }
    buf_done(&token);
    return e;
}

bool kept_unsubscribe(struct keeper *k, struct kept *e, struct slice uri)
{
    struct buf token = BUF_INIT;
    struct kept_uri *u = e && token_of(uri, &token) ? find_uri(e, buf_peek(&token)) : NULL;
    if (u) {
        drop_uri(k, e, u);
        record(k, 'U', e, buf_peek(&token));
    }
    buf_done(&token);
    return u != NULL;
}

void kept_revoke(struct keeper *k, struct kept *e, const unsigned char hash[KEPT_HASH],
                 uint64_t issued)
{
    if (!e && (e = entry_new(k, hash, issued, false)) == NULL)
        return;
    set_revoked(k, e);
    record(k, 'R', e, slice_of(NULL, 0));
}

/* ---- reading ---- */

static bool take_word(struct slice *rest, struct slice *ret)
{
    const char *space = rest->n ? memchr(rest->p, ' ', rest->n) : NULL;
    *ret = slice_of(rest->p, space ? (size_t)(space - rest->p) : rest->n);
    size_t used = ret->n + (space != NULL);
    *rest = slice_of(rest->p + used, rest->n - used);
    return ret->n > 0;
}

static bool take_hash(struct slice *rest, unsigned char out[KEPT_HASH])
{
    static const char hex[] = "0123456789abcdef";
    struct slice w;
    if (!take_word(rest, &w) || w.n != (size_t)2 * KEPT_HASH)
        return false;
    for (size_t i = 0; i < w.n; i++) {
        const char *at = w.p[i] ? strchr(hex, w.p[i]) : NULL;
        if (!at)
            return false;
        out[i / 2] = (unsigned char)(out[i / 2] << 4 | (unsigned char)(at - hex));
    }
    return true;
}

static bool take_number(struct slice *rest, uint64_t *ret)
{
    struct slice w;
    return take_word(rest, &w) && json_u64(w, ret) && *ret < (uint64_t)1 << 40;
}

static bool is_string_token(struct slice s)
{
    return json_validate(s, 0, NULL) == JSON_OK && json_type_of(s) == JSON_STRING &&
           s.p[s.n - 1] == '"' && s.n + KEPT_COST <= STORE_RECORD_MAX;
}

/* What a record says of an entry that is not revoked. */
static void apply(struct keeper *k, struct kept *e, char kind, struct slice rest)
{
    struct kept_uri *u;
    int level;
    switch (kind) {
    case 'R':
        set_revoked(k, e);
        break;
    case 'L':
        level = mcp_log_level_parse(rest);
        if (level >= 0)
            e->level = (enum mcp_log_level)level;
        break;
    case 'S':
        if (is_string_token(rest))
            add_uri(k, e, rest);
        break;
    case 'U':
        u = find_uri(e, rest);
        if (u)
            drop_uri(k, e, u);
        break;
    default:
        break;
    }
    /* The newest record counts for its age. */
    list_leave(k, e);
    list_join(k, e);
}

static void take_record(void *arg, struct slice text)
{
    struct keeper *k = arg;
    struct slice rest = text, kind;
    unsigned char hash[KEPT_HASH] = {0};
    uint64_t issued;
    if (!take_word(&rest, &kind) || kind.n != 1 || !memchr("LSUR", *kind.p, 4) ||
        !take_hash(&rest, hash) || !take_number(&rest, &issued) || keeper_is_too_old(k, issued))
        return;
    struct kept *e = keeper_find(k, hash);
    if (!e)
        e = entry_new(k, hash, issued, false);
    if (e && !e->revoked)
        apply(k, e, *kind.p, rest);
}

static void load(struct keeper *k)
{
    size_t damaged = 0;
    k->loading = true; /* all that there is, before anything has to go */
    int r = k->store->ops->read(k->store, take_record, k, &damaged);
    k->loading = false;
    make_room(k, 0, false, NULL);
    if (damaged)
        log_warning(LOG_CTX(.message_id = LOG_ID_STATE_UNSAVED),
                    "the state of sessions was damaged: %zu records were left out", damaged);
    if (r < 0) {
        give_up(k, r);
        return;
    }
    rewrite(k, true);
}

static void expire_list(struct keeper *k, struct kept_list *list)
{
    struct kept *e, *next;
    for (e = TAILQ_FIRST(list); e; e = next) {
        next = TAILQ_NEXT(e, link);
        if (keeper_is_too_old(k, e->issued))
            drop_entry(k, e);
    }
}

static void expire(void *arg)
{
    struct keeper *k = arg;
    expire_list(k, &k->waiting);
    expire_list(k, &k->ended);
    env_timer_set(k->env, &k->expiry, k->env->now + EXPIRY_SPAN);
}

/* ---- birth and death ---- */

void keeper_follow(struct keeper *k, const struct config_limits *limits)
{
    k->limits = limits;
}

void keeper_init(struct keeper *k, struct env *env, const struct config_limits *limits,
                 const struct proxy_transports *tr)
{
    *k = (struct keeper){.env = env,
                         .limits = limits,
                         .store = tr->session_key ? tr->store : NULL,
                         .wall_clock = tr->wall_clock};
    TAILQ_INIT(&k->waiting);
    TAILQ_INIT(&k->ended);
    timer_init(&k->retry, retry, k);
    timer_init(&k->expiry, expire, k);
    if (k->store)
        load(k);
    if (tr->session_key)
        env_timer_set(env, &k->expiry, env->now + EXPIRY_SPAN);
}

void keeper_done(struct keeper *k)
{
    struct kept *e, *next;
    HASH_ITER (hh, k->entries, e, next)
        drop_entry(k, e);
    env_timer_clear(k->env, &k->retry);
    env_timer_clear(k->env, &k->expiry);
}
