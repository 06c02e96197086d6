/* Lists over a restart of the server (protocol.md 4.3, step 8): what clients were given is
 * remembered by digest, page by page; when a lost connection is back, the same pages are fetched
 * again, and the clients are told that a list has changed when it has, or when nobody can know.
 *
 * The memory belongs to the pool, or to the slot where a connection is one session's own. It holds
 * the latest page that any client got. Between a loss and the check that follows it, clients may
 * already fetch new pages elsewhere; then those who hold the old ones must be told (`stale`),
 * though the server and the memory agree by then.
 *
 * Each loss has a number, and a check covers all losses before its begin, whichever slots they were
 * of: when ten connections die and come back, the first one is asked. One request is out at a time,
 * beside the clients' own, and one budget bounds the whole check. */
#include "internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* Of longer lists nothing is known. */
#define PAGES_MAX  16
#define CURSOR_MAX 4096

enum kind { KIND_TOOLS, KIND_PROMPTS, KIND_RESOURCES, KIND_TEMPLATES, KIND_COUNT };

static const struct {
    enum mcp_method method;
    const char *member;
    enum change change;
} kinds[KIND_COUNT] = {
    [KIND_TOOLS] = {MCP_TOOLS_LIST, "tools", CHANGE_TOOLS},
    [KIND_PROMPTS] = {MCP_PROMPTS_LIST, "prompts", CHANGE_PROMPTS},
    [KIND_RESOURCES] = {MCP_RESOURCES_LIST, "resources", CHANGE_RESOURCES},
    [KIND_TEMPLATES] = {MCP_RESOURCES_TEMPLATES_LIST, "resourceTemplates", CHANGE_RESOURCES},
};

struct page {
    unsigned char digest[DIGEST_SIZE]; /* of the array */
    unsigned char next[DIGEST_SIZE];   /* of the cursor of the following page */
    bool more;
};

struct list {
    struct page *pages; /* as many as count, at most PAGES_MAX */
    unsigned count;     /* pages that clients got, from the first on */
    bool blind;         /* they also got something that is not in `pages` */
    bool stale;         /* some may hold older pages than these and were not told */
};

struct lists {
    struct pool *pool;
    struct conn *only; /* the slot that this is about; NULL: all of the pool */
    struct list of[KIND_COUNT];
    uint64_t number;  /* of the latest loss or check */
    uint64_t lost;    /* the latest loss */
    usec_t lost_at;   /* and when that was */
    uint64_t covered; /* losses before this are dealt with */
    struct check {
        struct conn *conn; /* NULL: none under way */
        uint64_t number;
        struct uplink up;
        struct timer budget;
        unsigned kind, page;
        unsigned changed; /* set of enum change, not announced yet */
    } check;
};

static struct env *lists_env(const struct lists *l)
{
    return l->pool->server->env;
}

static struct lists *lists_of(const struct conn *c)
{
    const struct pool_state *st = c->pool->user;
    return mux_of(c)->lists ? mux_of(c)->lists : st->lists;
}

static void clear(struct list *list)
{
    free(list->pages);
    *list = (struct list){0};
}

static void forget(struct lists *l)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        clear(&l->of[kind]);
}

/* ---- what clients were given ---- */

/* false: the token is no string, or too long. */
static bool digest_cursor(struct slice raw, unsigned char out[DIGEST_SIZE])
{
    struct buf b = BUF_INIT;
    bool ok = raw.n && json_unescape(raw, &b, CURSOR_MAX);
    if (ok)
        digest_sha256(buf_peek(&b), out);
    buf_done(&b);
    return ok;
}

static bool read_page(struct slice result, enum kind kind, struct page *ret)
{
    *ret = (struct page){0};
    if (result.n > LIST_RESULT_MAX || json_type_of(result) != JSON_OBJECT)
        return false;
    digest_sha256(json_get(result, kinds[kind].member), ret->digest);
    struct slice next = json_get(result, "nextCursor");
    ret->more = json_type_of(next) == JSON_STRING;
    return !ret->more || digest_cursor(next, ret->next);
}

/* Cursors may be different each time; what counts is the content and whether there is more. */
static bool same(const struct page *a, const struct page *b)
{
    return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0 && a->more == b->more;
}

/* Enters the page at place k ≤ count. Whether another one stood there; then what followed it is
 * void. */
static bool enter(struct list *list, unsigned k, const struct page *page)
{
    bool differs = k < list->count && !same(&list->pages[k], page);
    if (k == 0 && (differs || list->count == 0))
        list->blind = false;
    if (differs || k == list->count) {
        list->count = k + 1;
        list->pages = xrealloc(list->pages, list->count * sizeof(struct page));
    }
    list->pages[k] = *page;
    return differs;
}

/* The place of the page behind this cursor; PAGES_MAX when that is not known. */
static unsigned place_of(const struct list *list, struct slice raw_cursor)
{
    unsigned char digest[DIGEST_SIZE];
    unsigned k = 0;
    if (!digest_cursor(raw_cursor, digest))
        return PAGES_MAX;
    while (k < list->count &&
           !(list->pages[k].more && memcmp(list->pages[k].next, digest, sizeof(digest)) == 0))
        k++;
    return k < list->count ? k + 1 : PAGES_MAX;
}

static void announce(struct lists *l);

void lists_on_answer(struct conn *c, const struct call *call, struct slice result)
{
    struct page page;
    unsigned kind = 0;
    while (kind < KIND_COUNT && kinds[kind].method != call->method)
        kind++;
    if (kind == KIND_COUNT)
        return;
    struct lists *l = lists_of(c);
    struct list *list = &l->of[kind];
    bool readable = read_page(result, kind, &page), pending = l->lost > l->covered;
    if (kind == KIND_TOOLS) {
        tools_learn(c->pool, result, call->first_page);
        if (readable && call->first_page)
            pin_tools(c, page.digest);
    }
    if (c->outdated && !pending) {
        /* An answer of before, after the comparison: who got it must fetch the list again. */
        l->check.changed |= 1U << kinds[kind].change;
        if (!l->check.conn)
            announce(l);
        return;
    }
    if (pending && list->blind)
        list->stale = true;
    unsigned k = call->first_page ? 0 : place_of(list, slice_of(call->cursor, call->cursor_n));
    if (!readable || k == PAGES_MAX)
        list->blind = true;
    else if (enter(list, k, &page) && pending)
        list->stale = true;
}

/* ---- whom it concerns ---- */

static struct conn *slot_at(const struct lists *l, unsigned i)
{
    return l->only ? (i == 0 ? l->only : NULL)
                   : (i < l->pool->slot_count ? l->pool->slots[i] : NULL);
}

/* Whether a client is there that was promised to be told of one of `changes`. */
static bool promised(const struct lists *l, unsigned changes)
{
    struct conn *c;
    const struct affinity *a;
    for (unsigned i = 0; (c = slot_at(l, i)) != NULL; i++)
        LIST_FOREACH (a, &c->homed, home_link)
            if (session_of((struct affinity *)a)->changes & changes)
                return true;
    return false;
}

static bool anybody(const struct lists *l)
{
    struct conn *c;
    for (unsigned i = 0; (c = slot_at(l, i)) != NULL; i++)
        if (!LIST_EMPTY(&c->homed))
            return true;
    return false;
}

static void announce(struct lists *l)
{
    unsigned changed = l->check.changed;
    struct conn *c;
    l->check.changed = 0;
    for (unsigned what = 0; what < CHANGE_COUNT; what++)
        for (unsigned i = 0; changed & 1U << what && (c = slot_at(l, i)) != NULL; i++)
            notify_lists_changed(c, (enum change)what);
}

/* ---- the check ---- */

static void note_changed(struct lists *l, bool known)
{
    unsigned bit = 1U << kinds[l->check.kind].change;
    const struct server *s = l->pool->server;
    l->check.changed |= bit;
    if (known)
        metrics_inc(s->metrics, METRIC_LISTS_CHANGED, 0);
    log_notice(CONN_CTX(l->check.conn, .method = mcp_method_name(kinds[l->check.kind].method),
                        .message_id = LOG_ID_SERVER_CHANGED),
               "after its restart the answer to %s %s%s",
               mcp_method_name(kinds[l->check.kind].method),
               known ? "is another than before" : "could not be compared with the one before",
               promised(l, bit) ? "" : "; no client was promised to be told");
}

static void request(struct lists *l, struct slice raw_cursor)
{
    struct check *ch = &l->check;
    mux_request(mux_of(ch->conn), &ch->up, mcp_method_name(kinds[ch->kind].method), "cursor",
                raw_cursor);
}

static void consider(struct lists *l);

static void finish(struct lists *l)
{
    env_timer_clear(lists_env(l), &l->check.budget);
    l->covered = l->check.number;
    l->check.conn = NULL;
    for (unsigned kind = 0; l->lost < l->covered && kind < KIND_COUNT; kind++)
        l->of[kind].stale = false; /* changed since it was compared: the server's own to tell */
    announce(l);
    consider(l);
}

/* Goes on with the next kind of list that clients know. What cannot be compared need not be
 * fetched. */
static void next_kind(struct lists *l)
{
    struct check *ch = &l->check;
    for (; ch->kind < KIND_COUNT; ch->kind++) {
        struct list *list = &l->of[ch->kind];
        if (list->stale || list->blind) {
            note_changed(l, list->stale);
            if (list->blind)
                clear(list);
            list->stale = false;
        } else if (list->count) {
            ch->page = 0;
            request(l, slice_of(NULL, 0));
            return;
        }
    }
    finish(l);
}

static void on_answer(struct uplink *u, struct payload *text, const struct rpc_msg *m)
{
    struct lists *l = container_of(container_of(u, struct check, up), struct lists, check);
    struct check *ch = &l->check;
    struct list *list = &l->of[ch->kind];
    struct slice result =
        m->kind == RPC_RESULT ? rpc_span(text->text, m->result) : slice_of(NULL, 0);
    struct page page;
    bool readable = m->kind == RPC_RESULT && read_page(result, ch->kind, &page);
    if (readable && ch->kind == KIND_TOOLS)
        tools_learn(l->pool, result, ch->page == 0);
    if (list->stale || list->blind || ch->page >= list->count) {
        /* Clients have seen other pages meanwhile: next_kind knows what that means. */
        list->stale |= !list->blind;
        next_kind(l);
        return;
    }
    if (!readable) {
        note_changed(l, m->kind == RPC_ERROR); /* an error: there is no such list any more */
        clear(list);
    } else if (enter(list, ch->page, &page)) {
        note_changed(l, true);
    } else if (page.more && ++ch->page < list->count) {
        request(l, json_get(result, "nextCursor"));
        return;
    }
    ch->kind++;
    next_kind(l);
}

/* With its connection: another one that is back is asked. What was found so far is told, for the
 * memory is up to date. Otherwise the answer was too large, or garbage. */
static void on_lost(struct uplink *u, enum reason why, bool handed_over)
{
    struct lists *l = container_of(container_of(u, struct check, up), struct lists, check);
    (void)why, (void)handed_over;
    if (l->check.conn->state == CONN_READY) {
        l->of[l->check.kind].blind = true;
        next_kind(l);
        return;
    }
    env_timer_clear(lists_env(l), &l->check.budget);
    l->check.conn = NULL;
    announce(l);
    consider(l);
}

static void budget_over(void *arg)
{
    struct lists *l = arg;
    struct conn *c = l->check.conn;
    struct uplink *u = &l->check.up;
    mux_abandon(mux_of(c), u, NULL);
    for (; l->check.kind < KIND_COUNT; l->check.kind++)
        if (l->of[l->check.kind].count || l->of[l->check.kind].blind) {
            note_changed(l, false);
            clear(&l->of[l->check.kind]);
        }
    usec_t sent_at = u->sent_at;
    uint32_t breaker_epoch = u->breaker_epoch;
    finish(l);
    /* The budget is that of all pages; the last one may only just have been asked for. */
    if (lists_env(l)->now - sent_at >= c->pool->server->sc->resilience.operation_timeout)
        conn_note_given_up(c, sent_at, breaker_epoch);
}

static void start(struct lists *l, struct conn *c)
{
    struct check *ch = &l->check;
    ch->number = ++l->number;
    if (!anybody(l)) {
        forget(l);
        l->covered = ch->number;
        return;
    }
    ch->conn = c;
    ch->kind = 0;
    env_timer_set(lists_env(l), &ch->budget,
                  lists_env(l)->now + l->pool->server->sc->resilience.operation_timeout);
    next_kind(l);
}

/* Whether what c says is news: it is a slot that has come back from a loss which no check has
 * covered, or any that was opened after the latest one. */
static bool is_news(const struct lists *l, const struct conn *c)
{
    return c->state == CONN_READY && !c->outdated &&
           (mux_of(c)->lost > l->covered || (l->lost > l->covered && c->attempt_at >= l->lost_at));
}

/* Starts a check if there is a connection that may say something else than those before. */
static void consider(struct lists *l)
{
    struct conn *c;
    for (unsigned i = 0; !l->check.conn && (c = slot_at(l, i)) != NULL; i++)
        if (is_news(l, c))
            start(l, c);
}

/* ---- news from the slots ---- */

void lists_on_ready(struct conn *c)
{
    struct lists *l = lists_of(c);
    if (mux_of(c)->lost || l->lost > l->covered)
        consider(l);
    else if (l->only)
        forget(l); /* for its next session */
}

static void note_loss(struct lists *l)
{
    l->lost = ++l->number;
    l->lost_at = lists_env(l)->now;
}

void lists_on_renew(struct pool *p)
{
    struct pool_state *st = p->user;
    if (st->lists)
        note_loss(st->lists);
    for (unsigned i = 0; i < p->slot_count; i++)
        if (mux_of(p->slots[i])->lists)
            note_loss(mux_of(p->slots[i])->lists);
}

void lists_on_down(struct conn *c, enum reason why)
{
    struct lists *l = lists_of(c);
    if (c->outdated)
        return; /* that what follows may be another was noted when the server was renewed */
    bool left = why == REASON_SHUTTING_DOWN && LIST_EMPTY(&c->homed);
    if (!left)
        note_loss(l);
    mux_of(c)->lost = left ? 0 : l->number;
}

struct lists *lists_new(struct pool *p, struct conn *only)
{
    struct lists *l = xcalloc(1, sizeof(*l));
    l->pool = p;
    l->only = only;
    l->check.up.on_answer = on_answer;
    l->check.up.on_lost = on_lost;
    timer_init(&l->check.budget, budget_over, l);
    return l;
}

void lists_free(struct lists *l)
{
    if (!l)
        return;
    env_timer_clear(lists_env(l), &l->check.budget);
    forget(l);
    free(l);
}
