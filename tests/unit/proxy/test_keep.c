/* What is kept of sessions between processes: the records, what is made of foreign ones, and what a
 * store costs that fails or fills up. */
#include "revival.h"

START_TEST(the_store_tells_no_ids)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    client_say(&c, LEVEL("1", "error"));
    subscribe(&c, SUBSCRIPTION("2", "subscribe", "f:///x"));
    ck_assert_ptr_nonnull(stored("f:///x"));
    id[SESSION_ID_LEN] = '\0';
    ck_assert_ptr_null(stored(id));
    id[30] = '\0';
    ck_assert_ptr_null(stored(id + 20));
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_failing_store_is_written_whole_when_it_is_well_again)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    store.fail = -ENOSPC;
    client_say(&c, LEVEL("1", "error"));
    ck_assert_has(client_read(&c), "\"result\":{}"); /* nothing of it is the client's business */
    store.fail = 0;
    subscribe(&c, SUBSCRIPTION("2", "subscribe", "f:///x"));
    ck_assert_uint_eq(buf_len(&store.lines), 0); /* it is left alone for a while … */
    pass(61 * USEC_PER_SEC);
    ck_assert_ptr_nonnull(stored("L ")); /* … and then nothing is missing */
    ck_assert_ptr_nonnull(stored("S "));
    client_say(&c, LEVEL("3", "debug"));
    ck_assert_ptr_nonnull(stored("debug"));
    kill_9(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    ck_assert_int_eq(c.session->level, MCP_LOG_DEBUG);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(a_store_that_never_works_harms_nobody)
{
    struct client c;
    store.fail = store.read_fail = -EIO;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    client_say(&c, LEVEL("1", "error"));
    subscribe(&c, SUBSCRIPTION("2", "subscribe", "f:///x"));
    pass(600 * USEC_PER_SEC);
    kill_9(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    ck_assert_int_eq(c.session->level, MCP_LOG_UNSET);
    client_close(&c);
    world_end();
}
END_TEST

#define H1 "000102030405060708090a0b0c0d0e0f"

START_TEST(foreign_records_are_passed_over)
{
    mem_store_load(&store, "\n"
                           "L\n"
                           "L " H1 "\n"
                           "L " H1 " x error\n"
                           "L 0001 1800000000 error\n"
                           "L 00010203040506070809XX0b0c0d0e0f 1800000000 error\n"
                           "Z " H1 " 1800000000 whatever\n"
                           "LL " H1 " 1800000000 error\n"
                           "L " H1 " 99999999999999 error\n"
                           "L " H1 " -1 error\n");
    begin(NULL, NULL);
    ck_assert_ptr_null(w.proxy->keeper.entries);
    world_end();
}
END_TEST

START_TEST(a_record_gives_nothing_but_strings_to_servers)
{
    mem_store_load(&store, "S " H1 " 1800000000 \"a\\n\"\n"
                           "S " H1 " 1800000000 \"a\",\"b\":\"c\"\n"
                           "S " H1 " 1800000000 5\n"
                           "S " H1 " 1800000000 \n"
                           "S " H1 " 1800000000 \"open\n"
                           "S " H1 " 1800000000 {\"x\":1}\n"
                           "S " H1 " 1800000000 \"\xff\"\n"
                           "L " H1 " 1800000000 loud\n");
    begin(NULL, NULL);
    struct kept *e = w.proxy->keeper.entries;
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(HASH_COUNT(e), 1);
    ck_assert_int_eq(e->level, MCP_LOG_UNSET);
    ck_assert_uint_eq(TAILQ_FIRST(&e->uris)->n, 5);
    ck_assert_ptr_null(TAILQ_NEXT(TAILQ_FIRST(&e->uris), link));
    world_end();
}
END_TEST

START_TEST(nothing_follows_the_end_of_a_session)
{
    mem_store_load(&store, "L " H1 " 1800000000 error\n"
                           "R " H1 " 1800000000\n"
                           "L " H1 " 1800000000 debug\n"
                           "S " H1 " 1800000000 \"a\"\n");
    begin(NULL, NULL);
    struct kept *e = w.proxy->keeper.entries;
    ck_assert(e && e->revoked);
    ck_assert_int_eq(e->level, MCP_LOG_UNSET);
    ck_assert(TAILQ_EMPTY(&e->uris));
    world_end();
    char *text = mem_store_save(&store);
    ck_assert_str_eq(text, "R " H1 " 1800000000\n");
    free(text);
}
END_TEST

START_TEST(the_store_is_rewritten_before_it_grows_too_large)
{
    struct client c;
    size_t most = 0;
    begin(NULL, ",\"limits\":{\"state_file_bytes\":\"16KiB\"}");
    open_http(&c, "anonymous", "{}");
    unsigned rewrites = store.rewrites;
    for (int i = 0; i < 2000; i++) {
        client_say(&c, i % 2 ? LEVEL("1", "error") : LEVEL("1", "debug"));
        free(c.got[--c.got_n]);
        most = mem_store_size(&store.base) > most ? mem_store_size(&store.base) : most;
        ck_assert_uint_lt(fake_at(0)->got_n, MESSAGES_MAX);
        free(fake_at(0)->got[--fake_at(0)->got_n]);
    }
    ck_assert_uint_le(most, 16 * 1024);
    ck_assert_uint_ge(store.rewrites - rewrites, 5);
    ck_assert_uint_le(store.rewrites - rewrites, 20);
    ck_assert_uint_eq(store.durable, 1); /* only the one at the start waits for the disk */
    kill_9(&c);
    begin(NULL, NULL);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    ck_assert_int_eq(c.session->level, MCP_LOG_ERROR);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(memory_is_bounded_and_the_oldest_go_first)
{
    struct client c, first;
    char first_id[256];
    begin(NULL, ",\"limits\":{\"state_file_bytes\":\"16KiB\"}");
    open_http(&first, "anonymous", "{}");
    client_say(&first, LEVEL("1", "error"));
    snprintf(first_id, sizeof(first_id), "%s", id);
    for (int i = 0; i < 500; i++) {
        open_http(&c, "anonymous", "{}");
        client_close(&c);
        ck_assert_uint_le(w.proxy->keeper.bytes, 8 * 1024);
    }
    /* The newest revocation holds; what a live session has was not touched. */
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    kill_9(&first);
    begin(NULL, ",\"limits\":{\"state_file_bytes\":\"16KiB\"}");
    ck_assert_uint_le(w.proxy->keeper.bytes, 8 * 1024);
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    snprintf(id, sizeof(id), "%s", first_id);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    ck_assert_int_eq(c.session->level, MCP_LOG_ERROR);
    client_close(&c);
    world_end();
}
END_TEST

#define CROWD 120

START_TEST(what_a_revived_session_has_stays_too)
{
    static struct client crowd[CROWD];
    static const char top[] = ",\"limits\":{\"state_file_bytes\":\"16KiB\"}";
    struct client c;
    char first_id[256];
    begin(NULL, top);
    open_http(&c, "anonymous", "{}");
    client_say(&c, LEVEL("1", "error"));
    snprintf(first_id, sizeof(first_id), "%s", id);
    kill_9(&c);
    begin(NULL, top);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    for (int i = 0; i < CROWD; i++) { /* more than there is room for */
        open_http(&crowd[i], "anonymous", "{}");
        client_say(&crowd[i], LEVEL("1", "debug"));
    }
    ck_assert_uint_lt(HASH_COUNT(w.proxy->keeper.entries), CROWD);
    client_say(&c, LEVEL("2", "alert"));
    char *then = mem_store_save(&store);
    stop(&c);
    for (int i = 0; i < CROWD; i++)
        forget(&crowd[i]);
    mem_store_load(&store, then);
    free(then);
    begin(NULL, top);
    snprintf(id, sizeof(id), "%s", first_id);
    ck_assert_int_eq(come_back(&c, "anonymous"), 0);
    ck_assert_int_eq(c.session->level, MCP_LOG_ALERT);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(what_is_too_old_is_forgotten_while_it_runs)
{
    struct client c;
    begin(NULL, NULL);
    open_http(&c, "anonymous", "{}");
    client_close(&c);
    ck_assert_uint_eq(HASH_COUNT(w.proxy->keeper.entries), 1);
    wall += 31 * DAY;
    pass(2 * 3600 * USEC_PER_SEC);
    ck_assert_ptr_null(w.proxy->keeper.entries);
    ck_assert_uint_eq(w.proxy->keeper.bytes, 0);
    ck_assert_int_eq(come_back(&c, "anonymous"), -ENOENT);
    world_end();
}
END_TEST

/* ---- a walk ---- */

#define WALKERS   12
#define WALK_URIS 6

/* What must be known of a session; the walk's own book-keeping. */
static struct model {
    unsigned char hash[KEPT_HASH];
    struct kept *kept; /* as a session would hold it; NULL after a restart until it comes back */
    enum mcp_log_level level;
    unsigned uris; /* bit set */
    bool ended;
} models[WALKERS];

static struct keeper keeper;
static struct config_limits limits;

static void walk_start(void)
{
    struct proxy_transports tr = {0};
    wires(&tr);
    env_init(&w.env, test_random, NULL);
    keeper_init(&keeper, &w.env, &limits, &tr);
    for (int i = 0; i < WALKERS; i++)
        models[i].kept = NULL;
}

static void walk_stop(void)
{
    keeper_done(&keeper);
    ck_assert_uint_eq(keeper.bytes, 0);
    env_done(&w.env);
}

static struct slice walk_uri(unsigned n)
{
    static char text[WALK_URIS][64];
    /* Of different lengths, one with what must be escaped. */
    snprintf(text[n], sizeof(text[n]), "f:///%u%.*s\"\n", n, (int)(n * 8),
             "----------------------------------------");
    return slice_str(text[n]);
}

/* Everything that is known is what the model says, no more and no less. */
static void walk_check(unsigned seed, unsigned step)
{
    for (int i = 0; i < WALKERS; i++) {
        struct model *m = &models[i];
        struct kept *e = keeper_find(&keeper, m->hash);
        struct kept_uri *u;
        unsigned uris = 0;
        ck_assert_msg((e && e->revoked) == m->ended, "seed %u step %u: ended is %d", seed, step,
                      !m->ended);
        ck_assert_msg((e ? e->level : MCP_LOG_UNSET) == m->level,
                      "seed %u step %u: level %d, not %d", seed, step, e ? (int)e->level : -1,
                      (int)m->level);
        for (u = e ? TAILQ_FIRST(&e->uris) : NULL; u; u = TAILQ_NEXT(u, link)) {
            struct buf b = BUF_INIT;
            for (unsigned n = 0; n < WALK_URIS; n++) {
                buf_reset(&b);
                buf_append_json_string(&b, walk_uri(n));
                uris += slice_eq(buf_peek(&b), slice_of(u->token, u->n)) ? 1u << n : 0;
            }
            buf_done(&b);
        }
        ck_assert_msg(uris == m->uris, "seed %u step %u: %x, not %x", seed, step, uris, m->uris);
    }
}

static void walk_act(struct model *m)
{
    unsigned n = (unsigned)env_random_below(&w.env, WALK_URIS);
    struct kept *known = keeper_find(&keeper, m->hash);
    if (m->ended)
        return;
    if (known && !m->kept) { /* it comes back */
        kept_claim(&keeper, known);
        m->kept = known;
    }
    switch (env_random_below(&w.env, 8)) {
    case 0:
        m->ended = env_random_below(&w.env, 4) == 0;
        if (!m->ended)
            break;
        kept_revoke(&keeper, m->kept, m->hash, 1800000000);
        m->kept = NULL;
        m->uris = 0;
        m->level = MCP_LOG_UNSET;
        break;
    case 1:
    case 2:
        m->level = (enum mcp_log_level)env_random_below(&w.env, MCP_LOG_UNSET);
        m->kept = kept_set_level(&keeper, m->kept, m->hash, 1800000000, m->level);
        break;
    case 3:
    case 4:
        ck_assert_int_eq(kept_unsubscribe(&keeper, m->kept, walk_uri(n)), m->uris >> n & 1);
        m->uris &= ~(1u << n);
        break;
    default:
        m->kept = kept_subscribe(&keeper, m->kept, m->hash, 1800000000, walk_uri(n));
        m->uris |= 1u << n;
        break;
    }
}

static void walk_world(void)
{
    switch (env_random_below(&w.env, 60)) {
    case 0: /* a kill: what is in the store at this moment is all there is */
        if (store.fail || keeper.failed)
            break;
        walk_stop();
        walk_start();
        break;
    case 1:
        store.fail = store.fail ? 0 : -ENOSPC;
        break;
    case 2:
    case 3:
        env_run(&w.env, w.env.now + 61 * USEC_PER_SEC);
        break;
    default:
        break;
    }
}

START_TEST(whatever_happens_when_the_next_process_knows_it)
{
    unsigned seed = (unsigned)_i + 1, rewrites;
    memset(&w, 0, sizeof(w));
    memset(models, 0, sizeof(models));
    log_set_level(LOG_LEVEL_CRITICAL);
    test_random_state = 88172645463325252u + seed * 7919u;
    limits =
        (struct config_limits){.session_max_age = 30 * DAY, .state_file_bytes = (size_t)32 * 1024};
    for (unsigned i = 0; i < WALKERS; i++) {
        models[i].level = MCP_LOG_UNSET;
        kept_hash(slice_of((const char *)&i, sizeof(i)), models[i].hash);
    }
    walk_start();
    rewrites = store.rewrites;
    for (unsigned step = 0; step < 4000; step++) {
        walk_act(&models[env_random_below(&w.env, WALKERS)]);
        walk_world();
        ck_assert_uint_le(keeper.bytes, limits.state_file_bytes / 2);
        ck_assert_uint_le(mem_store_size(&store.base), limits.state_file_bytes);
        if (step % 16 == 0)
            walk_check(seed, step);
        if (step % 500 == 0) /* new ones in the place of those that ended */
            for (unsigned i = 0; i < WALKERS; i++)
                if (models[i].ended) {
                    unsigned name = (step + 1) * WALKERS + i;
                    models[i] = (struct model){.level = MCP_LOG_UNSET};
                    kept_hash(slice_of((const char *)&name, sizeof(name)), models[i].hash);
                }
    }
    ck_assert_uint_gt(store.rewrites, rewrites);
    walk_stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/keep");
    TCase *t = tcase_create("keep");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_store_tells_no_ids);
    tcase_add_test(t, a_failing_store_is_written_whole_when_it_is_well_again);
    tcase_add_test(t, a_store_that_never_works_harms_nobody);
    tcase_add_test(t, foreign_records_are_passed_over);
    tcase_add_test(t, a_record_gives_nothing_but_strings_to_servers);
    tcase_add_test(t, nothing_follows_the_end_of_a_session);
    tcase_add_test(t, the_store_is_rewritten_before_it_grows_too_large);
    tcase_add_test(t, memory_is_bounded_and_the_oldest_go_first);
    tcase_add_test(t, what_a_revived_session_has_stays_too);
    tcase_add_test(t, what_is_too_old_is_forgotten_while_it_runs);
    tcase_add_loop_test(t, whatever_happens_when_the_next_process_knows_it, 0, 20);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
