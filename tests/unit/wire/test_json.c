/* The scanner: what it accepts and refuses, where it says the fault is, and that it does not matter
 * in how many pieces a text comes. Every check runs on the whole text and byte by byte, each piece
 * in memory of its own that is gone before the next is fed. */
#include "wire/json.h"
#include "wire/json_scan.h"

#include "base/util.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH 128

struct verdict {
    enum json_error error;
    size_t at; /* of the error */
};

static struct verdict whole(struct slice text, unsigned depth_max)
{
    struct verdict v = {.at = 0};
    /* a copy that ends where the text ends, so that a byte read too far is caught */
    char *copy = xmalloc(text.n + 1), *p = copy + 1;

    memcpy(p, text.p, text.n);
    v.error = json_validate(slice_of(p, text.n), depth_max, &v.at);
    free(copy);
    return v;
}

/* Cut into pieces of `step` bytes, the first one of `first`. */
static struct verdict in_pieces(struct slice text, unsigned depth_max, size_t first, size_t step)
{
    struct json_scan s;
    size_t at = 0, n = first;

    json_scan_init(&s, depth_max, false);
    while (at < text.n) {
        char *piece;

        if (n > text.n - at)
            n = text.n - at;
        piece = xmalloc(n + 1);
        memcpy(piece + 1, text.p + at, n);
        json_scan_feed(&s, slice_of(piece + 1, n));
        free(piece);
        at += n;
        n = step;
    }
    json_scan_finish(&s);
    return (struct verdict){s.error, s.error != JSON_OK ? s.error_at : 0};
}

static void expect(struct slice text, unsigned depth_max, enum json_error error, const char *what)
{
    struct verdict one = whole(text, depth_max), many = in_pieces(text, depth_max, 1, 1);

    ck_assert_msg(one.error == error, "%s: %d instead of %d at %zu", what, one.error, error,
                  one.at);
    ck_assert_msg(many.error == error && many.at == one.at,
                  "%s: byte by byte %d at %zu instead of %d at %zu", what, many.error, many.at,
                  error, one.at);
}

static void accepts(const char *text)
{
    expect(slice_str(text), DEPTH, JSON_OK, text);
}

static void refuses(const char *text, enum json_error error, size_t at)
{
    size_t found = whole(slice_str(text), DEPTH).at;

    expect(slice_str(text), DEPTH, error, text);
    ck_assert_msg(found == at, "%s: fault seen at %zu, not at %zu", text, found, at);
}

static struct slice read_whole(const char *dir, const char *name)
{
    char path[512];
    FILE *f;
    char *data = NULL;
    size_t n = 0, got;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "cannot open %s", path);
    do {
        data = xrealloc(data, n + 65536);
        got = fread(data + n, 1, 65536, f);
        n += got;
    } while (got > 0);
    fclose(f);
    return slice_of(data, n);
}

START_TEST(conformance)
{
    const char *dir = "tests/data/JSONTestSuite";
    unsigned accepted = 0, refused = 0;
    DIR *d = opendir(dir);
    struct dirent *e;

    ck_assert_msg(d != NULL, "run from the top of the tree: no %s", dir);
    while ((e = readdir(d)) != NULL) {
        bool good = strncmp(e->d_name, "y_", 2) == 0;
        struct slice text;

        if (!good && strncmp(e->d_name, "n_", 2) != 0)
            continue;
        text = read_whole(dir, e->d_name);
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            struct verdict v =
                bytewise ? in_pieces(text, JSON_DEPTH_CAP, 1, 1) : whole(text, JSON_DEPTH_CAP);
            ck_assert_msg((v.error == JSON_OK) == good, "%s: %d at %zu", e->d_name, v.error, v.at);
        }
        accepted += good;
        refused += !good;
        free((char *)text.p);
    }
    closedir(d);
    ck_assert_uint_eq(accepted, 95);
    ck_assert_uint_eq(refused, 188);
}
END_TEST

/* What RFC 8259 leaves open (the i_ cases of JSONTestSuite) and what we do. */
START_TEST(choices)
{
    static const struct {
        const char *text;
        enum json_error error;
        const char *choice;
    } table[] = {
        {"[123.456e78901]", JSON_OK, "numbers of any size are bytes that pass"},
        {"[-1e9999]", JSON_OK, "numbers of any size are bytes that pass"},
        {"[0.4e00669999999999999999999999999999]", JSON_OK, "exponents too"},
        {"[100000000000000000000000000000000000]", JSON_OK, "integers too"},
        {"[\"\\uDADA\"]", JSON_OK, "a lone surrogate escape is legal JSON and passes"},
        {"[\"\\uD800\\uD800\\n\"]", JSON_OK, "two of them as well"},
        {"[\"\\uDd1ea\"]", JSON_OK, "and the second half alone"},
        {"[\"\xed\xa0\x80\"]", JSON_E_UTF8, "a surrogate in UTF-8 is no UTF-8"},
        {"[\"\xff\"]", JSON_E_UTF8, "not UTF-8"},
        {"[\"\xc0\xaf\"]", JSON_E_UTF8, "overlong"},
        {"[\"\xf4\xbf\xbf\xbf\"]", JSON_E_UTF8, "above U+10FFFF"},
        {"[\"\xe0\xff\"]", JSON_E_UTF8, "cut off"},
        {"\xef\xbb\xbf{}", JSON_E_SYNTAX, "a byte order mark is the framing's business"},
        {"[\"\xef\xbf\xbf\"]", JSON_OK, "noncharacters are characters"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect(slice_str(table[i].text), DEPTH, table[i].error, table[i].choice);
}
END_TEST

START_TEST(faults_are_located)
{
    refuses("", JSON_E_END, 0);
    refuses("  ", JSON_E_END, 2);
    refuses("{\"a\":1", JSON_E_END, 6);
    refuses("[1,2", JSON_E_END, 4);
    refuses("\"abc", JSON_E_END, 4);
    refuses("\"abc\\", JSON_E_END, 5);
    refuses("\"abc\\u12", JSON_E_END, 8);
    refuses("\"abc\xc3", JSON_E_END, 5);
    refuses("-", JSON_E_END, 1);
    refuses("1.", JSON_E_END, 2);
    refuses("1e+", JSON_E_END, 3);
    refuses("tru", JSON_E_END, 3);
    refuses("{} {}", JSON_E_END, 3);
    refuses("[1,]", JSON_E_SYNTAX, 3);
    refuses("{,}", JSON_E_SYNTAX, 1);
    refuses("{\"a\" 1}", JSON_E_SYNTAX, 5);
    refuses("{\"a\":1,}", JSON_E_SYNTAX, 7);
    refuses("[1}", JSON_E_SYNTAX, 2);
    refuses("{\"a\":1]", JSON_E_SYNTAX, 6);
    refuses("[tru]", JSON_E_SYNTAX, 4);
    refuses("[-]", JSON_E_SYNTAX, 2);
    refuses("[01]", JSON_E_SYNTAX, 2);
    refuses("[\"\\x\"]", JSON_E_SYNTAX, 3);
    refuses("[\"\\u12g4\"]", JSON_E_SYNTAX, 6);
    refuses("[\"a\nb\"]", JSON_E_SYNTAX, 3);
    refuses("[\"a\xc3(\"]", JSON_E_UTF8, 3);
    refuses("[\"a\xe2\x82\"]", JSON_E_UTF8, 3);
    refuses("[\"a\xf0\x9f\x92x\"]", JSON_E_UTF8, 3);
    refuses("[\x80]", JSON_E_SYNTAX, 1);
}
END_TEST

/* Texts with every kind of token, whose cuts all matter. */
static const char *const cut_texts[] = {
    "{\"jsonrpc\":\"2.0\",\"id\":-12.5e+10,\"a\":[true,false,null,[],{}]}",
    " { \"k\\u0065y\" : \"v\\\\\\\"\\/\\b\\f\\n\\r\\t\\uD83D\\uDE00\" , \"\" : [ 0 , -0 , 1E5 ] "
    "}\r\n",
    "[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 and plain text that is longer than one block, "
    "\xe6\xbc\xa2\xe5\xad\x97\", \"\x7f\"]",
    "[[[[[[\"deep\"]]]]]]",
    "-1.25e-7",
    "[\"\xf0\x9f\x98\"]",
    "[\"\xe0\x80\x80\"]",
    "[\"ok\", nulL]",
    "{\"a\":1.}",
    "{\"a\":\"\\ud8zz\"}",
};

START_TEST(every_cut_gives_the_same)
{
    for (size_t i = 0; i < ARRAY_LEN(cut_texts); i++) {
        struct slice text = slice_str(cut_texts[i]);
        struct verdict one = whole(text, DEPTH);

        for (size_t first = 0; first <= text.n; first++) {
            for (size_t step = 1; step <= text.n; step += step < 5 ? 1 : text.n) {
                struct verdict v = in_pieces(text, DEPTH, first, step);

                ck_assert_msg(v.error == one.error && v.at == one.at,
                              "%s cut at %zu, then every %zu: %d at %zu, not %d at %zu",
                              cut_texts[i], first, step, v.error, v.at, one.error, one.at);
            }
        }
    }
}
END_TEST

/* One bad or special byte at every place of strings as long as several vectors. */
START_TEST(every_place_in_long_strings)
{
    static const struct {
        const char *bytes;
        enum json_error error;
    } inserts[] = {
        {"\"", JSON_E_SYNTAX}, {"\x01", JSON_E_SYNTAX},       {"\\q", JSON_E_SYNTAX},
        {"\\n", JSON_OK},      {"\xc3\xa4", JSON_OK},         {"\xe2\x82\xac", JSON_OK},
        {"\x80", JSON_E_UTF8}, {"\xf0\x9f\x98\x80", JSON_OK}, {"\xed\xa0\x80", JSON_E_UTF8},
    };
    char text[400];

    for (size_t i = 0; i < ARRAY_LEN(inserts); i++) {
        size_t k = strlen(inserts[i].bytes);

        for (size_t place = 0; place < 200; place++) {
            struct slice t = slice_of(text, 200 + k + 4);

            memset(text, 'x', sizeof(text));
            text[0] = '[';
            text[1] = '"';
            memcpy(text + 2 + place, inserts[i].bytes, k);
            memcpy(text + 200 + k + 2, "\"]", 2);
            expect(t, DEPTH, inserts[i].error, inserts[i].bytes);
        }
    }
}
END_TEST

/* Strings of every length around a vector, every distance from the end of the text, and every way
 * to end: what is looked at together never reaches beyond the text, and misses nothing in it. */
START_TEST(short_strings_near_the_end)
{
    static const struct {
        const char *bytes;
        enum json_error error;
    } ends[] = {
        {"\"", JSON_OK},           {"", JSON_E_END},        {"\n\"", JSON_E_SYNTAX},
        {"\x1f\"", JSON_E_SYNTAX}, {"\x7f\"", JSON_OK},     {" !#[]^\"", JSON_OK},
        {"\\", JSON_E_END},        {"\\\"", JSON_E_END},    {"\\\"\"", JSON_OK},
        {"\\u00", JSON_E_END},     {"\\u0041\"", JSON_OK},  {"\\u004g\"", JSON_E_SYNTAX},
        {"\xc3\xa4\"", JSON_OK},   {"\xc3\"", JSON_E_UTF8}, {"\xe2\x82", JSON_E_END},
    };
    char text[120];

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        for (size_t before = 0; before < 20; before += 1 + before / 3) {
            for (size_t len = 0; len < 40; len++) {
                for (size_t after = 0; after < 20; after += 1 + 2 * after) {
                    int n = snprintf(text, sizeof(text), "%*s\"%.*s%s", (int)before, "", (int)len,
                                     "0123456789abcdefghijklmnopqrstuvwxyzABCDEF", ends[i].bytes);

                    if (ends[i].error == JSON_OK)
                        n += snprintf(text + n, sizeof(text) - (size_t)n, "%*s", (int)after, "");
                    expect(slice_of(text, (size_t)n), 0, ends[i].error, ends[i].bytes);
                }
            }
        }
    }
}
END_TEST

/* The scanner takes long strings in stretches of 16 KiB; a character may lie across that edge as
 * well. */
START_TEST(characters_across_a_stretch)
{
    enum { STRETCH = 16384, BYTES = 2 * STRETCH + 100 };
    static const struct {
        const char *bytes;
        enum json_error error;
    } at_edge[] = {
        {"\xc3\xa4", JSON_OK},          {"\xe2\x82\xac", JSON_OK},  {"\xf0\x9f\x98\x80", JSON_OK},
        {"\xf0\x9f\x98x", JSON_E_UTF8}, {"\xe2\x82x", JSON_E_UTF8}, {"\xed\xa0\x80", JSON_E_UTF8},
        {"\xe2\x82\"", JSON_E_UTF8},    {"\\u00e4", JSON_OK},       {"\\u00x4", JSON_E_SYNTAX},
    };
    char *text = xmalloc(BYTES);

    for (size_t i = 0; i < ARRAY_LEN(at_edge); i++) {
        for (size_t edge = STRETCH - 6; edge < STRETCH + 50; edge++) {
            struct verdict one, many;

            memset(text, 'x', BYTES);
            text[0] = text[BYTES - 1] = '"';
            memcpy(text + edge, at_edge[i].bytes, strlen(at_edge[i].bytes));
            memcpy(text + edge + STRETCH, at_edge[i].bytes, strlen(at_edge[i].bytes));
            one = whole(slice_of(text, BYTES), DEPTH);
            many = in_pieces(slice_of(text, BYTES), DEPTH, 700, 1000);
            ck_assert_int_eq(one.error, at_edge[i].error);
            ck_assert_int_eq(many.error, one.error);
            ck_assert_uint_eq(many.at, one.at);
            if (one.error == JSON_E_UTF8)
                ck_assert_uint_eq(one.at, edge);
        }
    }
    free(text);
}
END_TEST

START_TEST(j01_depth)
{
    enum { DEEP = 1000000 };
    char *text = xmalloc(2 * DEEP);
    size_t at = 0;

    for (unsigned depth = 1; depth <= 130; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        expect(slice_of(text, 2 * depth), 64, depth <= 64 ? JSON_OK : JSON_E_DEPTH, "arrays");
        expect(slice_of(text, 2 * depth), 128, depth <= 128 ? JSON_OK : JSON_E_DEPTH, "arrays");
    }
    memset(text, '[', DEEP);
    ck_assert_int_eq(json_validate(slice_of(text, DEEP), 128, &at), JSON_E_DEPTH);
    ck_assert_uint_eq(at, 128);
    /* a limit beyond what the scanner can hold is that one */
    ck_assert_int_eq(json_validate(slice_of(text, DEEP), 1000000, &at), JSON_E_DEPTH);
    ck_assert_uint_eq(at, JSON_DEPTH_CAP);
    free(text);
    expect(SLICE("7"), 0, JSON_OK, "a scalar has no depth");
    expect(SLICE("[]"), 0, JSON_E_DEPTH, "an empty array has");
}
END_TEST

/* Of which kind each open container is, is known at any depth. */
START_TEST(brackets_close_what_they_opened)
{
    enum { DEEP = 300 };
    char text[8 * DEEP], *p, c;

    for (unsigned kinds = 0; kinds < 8; kinds++) {
        char *closing[DEEP];

        p = text;
        for (unsigned d = 0; d < DEEP; d++)
            p += snprintf(p, 6, "%s", kinds >> d % 3 & 1 ? "{\"k\":" : "[");
        *p++ = '0';
        for (unsigned d = DEEP; d-- > 0; p++) {
            closing[d] = p;
            *p = kinds >> d % 3 & 1 ? '}' : ']';
        }
        expect(slice_of(text, (size_t)(p - text)), DEEP, JSON_OK, "all as opened");
        for (unsigned d = 0; d < DEEP; d += d < 60 || d > 130 ? 7 : 1) {
            c = *closing[d];
            *closing[d] = c == ']' ? '}' : ']';
            expect(slice_of(text, (size_t)(p - text)), DEEP, JSON_E_SYNTAX, "one as another");
            ck_assert_uint_eq(whole(slice_of(text, (size_t)(p - text)), DEEP).at,
                              (size_t)(closing[d] - text));
            *closing[d] = c;
        }
    }
}
END_TEST

START_TEST(j06_utf8)
{
    refuses("[\"\xc0\x80\"]", JSON_E_UTF8, 2);
    refuses("[\"\xc1\xbf\"]", JSON_E_UTF8, 2);
    refuses("[\"\xe0\x9f\xbf\"]", JSON_E_UTF8, 2);
    refuses("[\"\xf0\x8f\xbf\xbf\"]", JSON_E_UTF8, 2);
    refuses("[\"\xed\xa0\x80\"]", JSON_E_UTF8, 2);
    refuses("[\"\xed\xbf\xbf\"]", JSON_E_UTF8, 2);
    refuses("[\"\xf4\x90\x80\x80\"]", JSON_E_UTF8, 2);
    refuses("[\"\xf5\x80\x80\x80\"]", JSON_E_UTF8, 2);
    refuses("[\"\xfe\"]", JSON_E_UTF8, 2);
    refuses("{\"\xff\":1}", JSON_E_UTF8, 2);
    refuses("\xef\xbb\xbf[]", JSON_E_SYNTAX, 0);
    accepts("[\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf"
            "\xbf\"]");
}
END_TEST

START_TEST(j07_raw_control_characters)
{
    char text[] = "[\"a?b\"]";

    for (int c = 0; c < 0x20; c++) {
        text[3] = (char)c;
        expect(slice_of(text, sizeof(text) - 1), DEPTH, JSON_E_SYNTAX, "control in a string");
    }
    for (int c = 0; c < 0x20; c++) {
        char between[] = "[? 1]";
        bool space = c == '\t' || c == '\n' || c == '\r';

        between[1] = (char)c;
        expect(slice_of(between, 5), DEPTH, space ? JSON_OK : JSON_E_SYNTAX, "between tokens");
    }
    accepts("[\"\x7f\"]");
}
END_TEST

START_TEST(j08_numbers)
{
    static const char *const good[] = {
        "0",  "-0",  "1e400", "-1E-400", "0.0",
        "10", "1e0", "1.0",   "0e+5",    "123456789012345678901234567890"};
    static const char *const bad[] = {"01",  "1.",  ".5",   "+1",           "0x10", "NaN",  "-",
                                      "1e",  "1e+", "1.e1", "Infinity",     "-01",  "--1",  "1-",
                                      "1+1", "2..", "1_0",  "\xef\xbc\x91", "-a",   "1.5.5"};
    char digits[410], text[420];

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        accepts(good[i]);
        snprintf(text, sizeof(text), "[%s]", good[i]);
        accepts(text);
        snprintf(text, sizeof(text), "{\"n\":%s }", good[i]);
        accepts(text);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text), "[%s]", bad[i]);
        ck_assert_msg(whole(slice_str(text), DEPTH).error == JSON_E_SYNTAX, "%s", text);
        ck_assert_msg(in_pieces(slice_str(text), DEPTH, 1, 1).error == JSON_E_SYNTAX, "%s", text);
        ck_assert_msg(whole(slice_str(bad[i]), DEPTH).error != JSON_OK, "%s", bad[i]);
    }
    memset(digits, '7', 400);
    digits[400] = '\0';
    accepts(digits);
}
END_TEST

START_TEST(j13_nothing_may_follow)
{
    refuses("{}x", JSON_E_END, 2);
    refuses("{}{}", JSON_E_END, 2);
    refuses("1 2", JSON_E_END, 2);
    refuses("[] ,", JSON_E_END, 3);
    expect(slice_of("{}\0", 3), DEPTH, JSON_E_END, "NUL after the text");
    expect(slice_of("\0{}", 3), DEPTH, JSON_E_SYNTAX, "NUL before the text");
    accepts("{} \t\r\n");
}
END_TEST

/* Large flat and wide texts end, and the scanner has no more memory than it began with. */
START_TEST(j14_large_inputs)
{
    enum { BYTES = 2 << 20, KEYS = 100000 };
    char *text = xmalloc(BYTES + 64), *p = text;
    size_t n;

    ck_assert_uint_le(sizeof(struct json_scan), 512);
    *p++ = '[';
    while (p < text + BYTES) {
        *p++ = '0';
        *p++ = ',';
    }
    p[-1] = ']';
    expect(slice_of(text, (size_t)(p - text)), DEPTH, JSON_OK, "two million bytes of zeros");
    p[-1] = ',';
    expect(slice_of(text, (size_t)(p - text)), DEPTH, JSON_E_END, "and without an end");

    p = text;
    *p++ = '{';
    for (unsigned i = 0; i < KEYS; i++)
        p += snprintf(p, 20, "\"k%u\":%u,", i, i % 10);
    p[-1] = '}';
    n = (size_t)(p - text);
    expect(slice_of(text, n), DEPTH, JSON_OK, "100,000 keys");
    ck_assert(json_string_is(json_get(slice_of(text, n), "nope"), "") == false);
    ck_assert(slice_is(json_get(slice_of(text, n), "k99999"), "9"));
    free(text);
}
END_TEST

START_TEST(j15_strange_keys_pass)
{
    char *text = xmalloc(100100), *p = text;

    accepts("{\"__proto__\":{\"x\":1},\"constructor\":2,\"\":3,\"\":4}");
    memcpy(p, "{\"", 2);
    memset(p + 2, 'k', 100000);
    memcpy(p + 100002, "\":1}", 4);
    expect(slice_of(text, 100006), DEPTH, JSON_OK, "a very long key");
    free(text);
}
END_TEST

/* An independent and slow reading of Unicode 15 table 3-7. */
static size_t utf8_slow(const uint8_t *p, size_t n)
{
    static const uint8_t table[][8] = {
        /* lead from, to; second from, to; third, fourth: 1 if there */
        {0x00, 0x7f, 0, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 0, 0},
        {0xe0, 0xe0, 0xa0, 0xbf, 1, 0}, {0xe1, 0xec, 0x80, 0xbf, 1, 0},
        {0xed, 0xed, 0x80, 0x9f, 1, 0}, {0xee, 0xef, 0x80, 0xbf, 1, 0},
        {0xf0, 0xf0, 0x90, 0xbf, 1, 1}, {0xf1, 0xf3, 0x80, 0xbf, 1, 1},
        {0xf4, 0xf4, 0x80, 0x8f, 1, 1},
    };
    size_t i = 0;

    while (i < n) {
        size_t len = 0;

        for (size_t r = 0; r < ARRAY_LEN(table); r++) {
            const uint8_t *t = table[r];
            size_t want = 1u + (t[2] != 0) + t[4] + t[5];

            if (p[i] < t[0] || p[i] > t[1] || n - i < want)
                continue;
            if (want >= 2 && (p[i + 1] < t[2] || p[i + 1] > t[3]))
                continue;
            if (want >= 3 && (p[i + 2] & 0xc0) != 0x80)
                continue;
            if (want == 4 && (p[i + 3] & 0xc0) != 0x80)
                continue;
            len = want;
        }
        if (len == 0)
            return i;
        i += len;
    }
    return n;
}

/* All leads with all second bytes and the edges of the rest, at places where a vector's edge cuts
 * them. */
START_TEST(utf8_prefix_agrees_with_the_table)
{
    static const uint8_t edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90,
                                    0xa0, 0xbf, 0xc2, 0xe1, 0xf1, 0xff};
    static const size_t places[] = {0, 30, 61, 62, 63, 64, 93, 127, 190, 196};
    uint8_t text[200];

    for (unsigned pair = 0x8000; pair < 0x10000; pair++) {
        for (size_t e = 0; e < ARRAY_LEN(edges) * ARRAY_LEN(edges); e++) {
            /* each quadruple stands in one place; together they go through all of them */
            size_t place = places[(pair + e) % ARRAY_LEN(places)], got, want;
            bool dense = (pair ^ e) & 1;

            for (size_t i = 0; i < sizeof(text); i += 2)
                memcpy(text + i, dense ? "\xc3\xa4" : "ab", 2);
            if (dense && place % 2)
                place++;
            text[place] = (uint8_t)(pair >> 8);
            text[place + 1] = (uint8_t)pair;
            text[place + 2] = edges[e / ARRAY_LEN(edges)];
            text[place + 3] = edges[e % ARRAY_LEN(edges)];
            got = utf8_valid_prefix((const char *)text, sizeof(text));
            want = utf8_slow(text, sizeof(text));
            ck_assert_msg(got == want, "%02x %02x at %zu: %zu, not %zu", pair >> 8, pair & 0xff,
                          place, got, want);
        }
    }
}
END_TEST

START_TEST(utf8_prefix_of_every_length)
{
    /* 1, 2, 3 and 4 byte characters in turn */
    static const char unit[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
    char text[310];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = unit[i % (sizeof(unit) - 1)];
    for (size_t from = 0; from < 10; from++)
        for (size_t n = 0; n <= 300; n++) {
            char *exact = xmalloc(n + 1);

            memcpy(exact + 1, text + from, n);
            ck_assert_uint_eq(utf8_valid_prefix(exact + 1, n),
                              utf8_slow((const uint8_t *)exact + 1, n));
            free(exact);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *grammar = tcase_create("grammar"), *cases = tcase_create("security"),
          *utf8 = tcase_create("utf8");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(grammar, conformance);
    tcase_add_test(grammar, choices);
    tcase_add_test(grammar, faults_are_located);
    tcase_add_test(grammar, every_cut_gives_the_same);
    tcase_add_test(grammar, every_place_in_long_strings);
    tcase_add_test(grammar, short_strings_near_the_end);
    tcase_add_test(grammar, characters_across_a_stretch);
    tcase_add_test(grammar, brackets_close_what_they_opened);
    tcase_add_test(cases, j01_depth);
    tcase_add_test(cases, j06_utf8);
    tcase_add_test(cases, j07_raw_control_characters);
    tcase_add_test(cases, j08_numbers);
    tcase_add_test(cases, j13_nothing_may_follow);
    tcase_add_test(cases, j14_large_inputs);
    tcase_add_test(cases, j15_strange_keys_pass);
    tcase_add_test(utf8, utf8_prefix_agrees_with_the_table);
    tcase_add_test(utf8, utf8_prefix_of_every_length);
    tcase_set_timeout(grammar, 60);
    tcase_set_timeout(cases, 60);
    tcase_set_timeout(utf8, 60);
    suite_add_tcase(suite, grammar);
    suite_add_tcase(suite, cases);
    suite_add_tcase(suite, utf8);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
