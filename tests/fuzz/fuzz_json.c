/* Fuzz target: the scanner and access to text.
 *
 * Byte 0 chooses the cuts, the rest is the text. Held: pieces give the verdict and the place of the
 * whole; text that is refused can still be looked into without leaving it; in text that is accepted
 * every member that is walked over is found by its name, every element is itself valid, numbers are
 * numbers, and a string that is unescaped and escaped again compares equal. */
#include "wire/json.h"
#include "wire/json_scan.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEPTH 64

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* Each piece in memory that ends where it ends and is gone before the next. */
static enum json_error in_pieces(struct slice text, size_t step, size_t *ret_at)
{
    struct json_scan s;

    json_scan_init(&s, DEPTH, false);
    for (size_t at = 0, n; at < text.n; at += n) {
        char *piece;

        n = step < text.n - at ? step : text.n - at;
        piece = xmalloc(n);
        memcpy(piece, text.p + at, n);
        json_scan_feed(&s, slice_of(piece, n));
        free(piece);
    }
    json_scan_finish(&s);
    *ret_at = s.error_at;
    return s.error;
}

static bool inside(struct slice outer, struct slice inner)
{
    return inner.n == 0 || (inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n);
}

static void check_string(struct slice raw)
{
    struct buf plain = BUF_INIT, again = BUF_INIT;

    require(json_unescape(raw, &plain, raw.n), "a string unescapes into less than its length");
    buf_append_json_string(&again, buf_peek(&plain));
    require(json_validate(buf_peek(&again), 0, NULL) == JSON_OK, "what is escaped is a string");
    buf_reset(&plain);
    require(json_unescape(buf_peek(&again), &plain, buf_len(&again)), "and unescapes");
    require(json_id_eq(raw, raw), "a string equals itself");
    if (json_id_eq(raw, buf_peek(&again)))
        require(json_id_hash(raw) == json_id_hash(buf_peek(&again)), "in another spelling, too");
    buf_done(&plain);
    buf_done(&again);
}

static void check_value(struct slice value, unsigned depth);

static void check_member(struct slice obj, struct slice key, struct slice value, unsigned depth)
{
    struct buf name = BUF_INIT;
    struct slice found;

    check_string(key);
    require(json_unescape(key, &name, key.n), "a key unescapes");
    buf_append(&name, "", 1);
    /* a name with U+0000 is none that a C string can ask for; a repaired one is no longer the same
     */
    if (strlen(buf_peek(&name).p) + 1 == buf_len(&name) && json_string_is(key, buf_peek(&name).p)) {
        found = json_get(obj, buf_peek(&name).p);
        require(found.n > 0 && found.p <= value.p, "a member is found by its name");
    }
    buf_done(&name);
    check_value(value, depth + 1);
}

static void check_value(struct slice value, unsigned depth)
{
    struct json_iter it = json_iter(value);
    struct slice key, inner;
    unsigned count = 0; /* finding each of many members would be quadratic */
    double d;

    require(depth <= DEPTH, "no deeper than was allowed");
    switch (json_type_of(value)) {
    case JSON_OBJECT:
        while (json_next_member(&it, &key, &inner) && count++ < 64)
            check_member(value, key, inner, depth);
        break;
    case JSON_ARRAY:
        while (json_next_element(&it, &inner))
            check_value(inner, depth + 1);
        break;
    case JSON_STRING:
        check_string(value);
        break;
    case JSON_NUMBER:
        require(json_double(value, &d), "a number is a number");
        break;
    case JSON_NULL:
    case JSON_TRUE:
    case JSON_FALSE:
        break;
    case JSON_NONE:
        require(false, "a value has a type");
        break;
    }
    require(depth > 2 || json_validate(value, DEPTH, NULL) == JSON_OK, "a value is a text");
}

static void poke(struct slice text)
{
    struct json_iter it;
    struct slice key, value;
    struct buf out = BUF_INIT;
    uint64_t u;
    double d;

    require(inside(text, json_get(text, "a")), "an answer lies in the text");
    require(inside(text, json_path(text, "a", "b", NULL)), "an answer lies in the text");
    for (it = json_iter(text); json_next_member(&it, &key, &value);)
        require(inside(text, key) && inside(text, value), "a member lies in the text");
    for (it = json_iter(text); json_next_element(&it, &value);)
        require(inside(text, value) && value.n > 0, "an element lies in the text");
    json_string_is(text, "a");
    json_id_eq(text, text);
    json_unescape(text, &out, 1000);
    require(buf_len(&out) <= 1000, "no more than asked for");
    json_u64(text, &u);
    json_double(text, &d);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text;
    enum json_error error;
    size_t at = 0, piece_at, step, valid;

    if (size == 0)
        return 0;
    step = data[0] == 0 ? 1 : data[0];
    text = slice_of((const char *)data + 1, size - 1);
    error = json_validate(text, DEPTH, &at);
    require(in_pieces(text, step, &piece_at) == error, "pieces give the same verdict");
    require(error == JSON_OK || piece_at == at, "and the same place");
    require(at <= text.n, "which lies in the text");
    valid = utf8_valid_prefix(text.p, text.n);
    require(valid == text.n || error != JSON_OK, "accepted text is UTF-8");
    poke(text);
    if (error == JSON_OK) {
        while (text.n > 0 && (unsigned char)text.p[0] <= ' ')
            text = slice_of(text.p + 1, text.n - 1);
        while (text.n > 0 && (unsigned char)text.p[text.n - 1] <= ' ')
            text.n--;
        check_value(text, 0);
    }
    return 0;
}
