/* What the tests of the admin interface share: a world of scripted servers, and documents read back
 * by an independent parser. */
#ifndef TESTS_UNIT_FRONT_ADMIN_TEST_H
#define TESTS_UNIT_FRONT_ADMIN_TEST_H

#include "unit/proxy/world.h"

#include "front/admin_priv.h"

#include <cjson/cJSON.h>
#include <math.h>

/* 2026-01-02T03:04:05.678Z is the world's second 1000. */
#define TEST_WALL_OFFSET (UINT64_C(1767323045678000) - 1000 * USEC_PER_SEC)

/* A second server for world_new's `extra`. */
#define OTHER_SERVER "},\"other\":{\"command\":\"other\""

static inline struct server *server_at(size_t i)
{
    return route_at(w.proxy, i)->server;
}

static inline struct admin_view test_view(void)
{
    return (struct admin_view){.proxy = w.proxy,
                               .env = &w.env,
                               .started_at = 1000 * USEC_PER_SEC,
                               .wall_offset = TEST_WALL_OFFSET};
}

/* The whole of a document, which is freed. *ret_pieces (may be NULL): in how many pieces it came.
 */
static inline cJSON *read_doc(struct admin_doc *d, unsigned *ret_pieces)
{
    struct buf b = BUF_INIT;
    unsigned n = 1;
    while (admin_doc_next(d, &b))
        n++;
    admin_doc_free(d);
    cJSON *tree = cJSON_ParseWithLength(buf_peek(&b).p, buf_len(&b));
    ck_assert_msg(tree != NULL, "no JSON: %.*s", (int)buf_len(&b), buf_peek(&b).p);
    buf_done(&b);
    if (ret_pieces)
        *ret_pieces = n;
    return tree;
}

/* Walks members and indexes: at(tree, "servers", "0", "name", NULL). Fails when one is missing. */
static inline const cJSON *at(const cJSON *tree, ...)
{
    const char *key;
    va_list ap;
    va_start(ap, tree);
    while ((key = va_arg(ap, const char *))) {
        tree = cJSON_IsArray(tree) ? cJSON_GetArrayItem(tree, key[0] - '0')
                                   : cJSON_GetObjectItemCaseSensitive(tree, key);
        ck_assert_msg(tree != NULL, "no member %s", key);
    }
    va_end(ap);
    return tree;
}

static inline double number(const cJSON *item)
{
    ck_assert(cJSON_IsNumber(item));
    return item->valuedouble;
}

static inline const char *text(const cJSON *item)
{
    ck_assert(cJSON_IsString(item));
    return item->valuestring;
}

#endif
