/* ctl/text: hostile bytes, widths, spans and points of time. */
#include "ctl/text.h"
#include "unit/ctl/ctl_test.h"

#include "base/util.h"

#define HOUR (3600 * USEC_PER_SEC)

static const struct {
    struct slice in;
    const char *utf8, *ascii;
} escapes[] = {
    {SLICE_INIT("plain \\ text"), "plain \\ text", "plain \\ text"},
    {SLICE_INIT("a\nb\tc\r"), "a\\nb\\tc\\x0d", "a\\nb\\tc\\x0d"},
    {SLICE_INIT("\x1b]0;owned\x07\x1b[2J"), "\\x1b]0;owned\\x07\\x1b[2J",
     "\\x1b]0;owned\\x07\\x1b[2J"},
    {SLICE_INIT("nul\0del\x7f"), "nul\\x00del\\x7f", "nul\\x00del\\x7f"},
    {SLICE_INIT("gr\xc3\xb6\xc3\x9f"), "gr\xc3\xb6\xc3\x9f", "gr\\xc3\\xb6\\xc3\\x9f"},
    {SLICE_INIT("\xe6\x97\xa5"), "\xe6\x97\xa5", "\\xe6\\x97\\xa5"},
    /* U+009B is a control sequence introducer of its own; U+202E turns the line round. */
    {SLICE_INIT("\xc2\x9b"
                "31m"),
     "\\xc2\\x9b31m", "\\xc2\\x9b31m"},
    {SLICE_INIT("\xe2\x80\xae"
                "evil"),
     "\\xe2\\x80\\xaeevil", "\\xe2\\x80\\xaeevil"},
    {SLICE_INIT("\xe2\x80\x8b\xef\xbb\xbf\xf3\xa0\x81\x81"),
     "\\xe2\\x80\\x8b\\xef\\xbb\\xbf\\xf3\\xa0\\x81\\x81",
     "\\xe2\\x80\\x8b\\xef\\xbb\\xbf\\xf3\\xa0\\x81\\x81"},
    /* Characters that have a width and show nothing: soft hyphen, Hangul fillers. */
    {SLICE_INIT("\xc2\xad\xe3\x85\xa4\xef\xbe\xa0"), "\\xc2\\xad\\xe3\\x85\\xa4\\xef\\xbe\\xa0",
     "\\xc2\\xad\\xe3\\x85\\xa4\\xef\\xbe\\xa0"},
    /* Not UTF-8: alone, overlong, a surrogate, cut off. */
    {SLICE_INIT("\xff\xc0\x80\xed\xa0\x80\xe6\x97"), "\\xff\\xc0\\x80\\xed\\xa0\\x80\\xe6\\x97",
     "\\xff\\xc0\\x80\\xed\\xa0\\x80\\xe6\\x97"},
};

START_TEST(what_is_not_to_be_printed_is_spelled_out)
{
    struct buf b = BUF_INIT;
    text_escape(&b, escapes[_i].in, true);
    ck_assert_str_eq(taken(&b), escapes[_i].utf8);
    text_escape(&b, escapes[_i].in, false);
    ck_assert_str_eq(taken(&b), escapes[_i].ascii);
}
END_TEST

START_TEST(no_code_point_does_anything_but_show)
{
    struct buf b = BUF_INIT;
    for (unsigned cp = 0; cp < 0x500; cp++) {
        char in[2] = {(char)(cp < 0x80 ? cp : 0xc0 | cp >> 6), (char)(0x80 | (cp & 0x3f))};
        text_escape(&b, slice_of(in, cp < 0x80 ? 1 : 2), true);
        expect_harmless(taken(&b));
    }
}
END_TEST

static const struct {
    const char *text;
    size_t width, columns;
    const char *utf8, *ascii;
} cuts[] = {
    {"abcde", 5, 5, "abcde", "abcde"},
    {"abcde", 5, 99, "abcde", "abcde"},
    {"abcde", 5, 4, "abc…", "a..."},
    {"abcde", 5, 3, "ab…", "..."},
    {"abcde", 5, 2, "a…", "ab"},
    {"abcde", 5, 1, "…", "a"},
    {"abcde", 5, 0, "", ""},
    {"", 0, 0, "", ""},
    {"größe", 5, 4, "grö…", "g..."},
    /* Two columns each: one that would be halved goes. */
    {"日本語", 6, 6, "日本語", "日本語"},
    {"日本語", 6, 5, "日本…", "日..."},
    {"日本語", 6, 4, "日…", "..."},
};

START_TEST(text_is_cut_by_columns_and_not_by_bytes)
{
    struct buf b = BUF_INIT;
    ck_assert_uint_eq(text_width(slice_str(cuts[_i].text)), cuts[_i].width);
    text_cut(&b, slice_str(cuts[_i].text), cuts[_i].columns, true);
    ck_assert_str_eq(taken(&b), cuts[_i].utf8);
    text_cut(&b, slice_str(cuts[_i].text), cuts[_i].columns, false);
    ck_assert_str_eq(taken(&b), cuts[_i].ascii);
}
END_TEST

static const struct {
    usec_t span;
    const char *text;
} spans[] = {
    {0, "0.0 s"},
    {49 * USEC_PER_MSEC, "0.0 s"},
    {50 * USEC_PER_MSEC, "0.1 s"},
    {3200 * USEC_PER_MSEC, "3.2 s"},
    {9949 * USEC_PER_MSEC, "9.9 s"},
    {9950 * USEC_PER_MSEC, "10 s"},
    {63 * USEC_PER_SEC, "63 s"},
    {119499 * USEC_PER_MSEC, "119 s"},
    {119500 * USEC_PER_MSEC, "2 min"},
    {120 * USEC_PER_SEC, "2 min"},
    {179 * USEC_PER_SEC, "2 min"},
    {HOUR - USEC_PER_SEC, "59 min"},
    {HOUR, "1 h 0 min"},
    {24 * HOUR - USEC_PER_SEC, "23 h 59 min"},
    {24 * HOUR, "1 d 0 h"},
    {1000 * 24 * HOUR + 5 * HOUR, "1000 d 5 h"},
    {USEC_NEVER, "213503982 d 8 h"},
};

START_TEST(spans_are_as_long_as_they_need_to_be)
{
    char out[TEXT_SPAN_MAX];
    ck_assert_str_eq(text_span(spans[_i].span, out), spans[_i].text);
}
END_TEST

START_TEST(points_of_time_are_read_strictly)
{
    static const char *const wrong[] = {
        "",
        "2026-01-02T03:04:05Z",
        "2026-01-02 03:04:05.678Z",
        "2026-01-02T03:04:05.678",
        "2026-01-02T03:04:05.678Z ",
        "2026-13-02T03:04:05.678Z",
        "2026-00-02T03:04:05.678Z",
        "2026-01-32T03:04:05.678Z",
        "2026-01-00T03:04:05.678Z",
        "2026-01-02T24:04:05.678Z",
        "2026-01-02T03:60:05.678Z",
        "2026-01-02T03:04:61.678Z",
        "-026-01-02T03:04:05.678Z",
        "1969-12-31T23:59:59.999Z",
    };
    char out[TEXT_TIME_MAX];
    usec_t t = 1;
    ck_assert(text_parse_time("2026-01-02T03:04:05.678Z", &t));
    ck_assert_uint_eq(t, UINT64_C(1767323045678000));
    ck_assert_str_eq(text_time(t, out), "Fri 2026-01-02 03:04:05 UTC");
    ck_assert(text_parse_time("1970-01-01T00:00:00.000Z", &t));
    ck_assert_uint_eq(t, 0);
    t = 7;
    ck_assert(!text_parse_time(NULL, &t));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_msg(!text_parse_time(wrong[i], &t), "%s", wrong[i]);
    ck_assert_uint_eq(t, 7);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_loop_test(c, what_is_not_to_be_printed_is_spelled_out, 0, ARRAY_LEN(escapes));
    tcase_add_test(c, no_code_point_does_anything_but_show);
    tcase_add_loop_test(c, text_is_cut_by_columns_and_not_by_bytes, 0, ARRAY_LEN(cuts));
    tcase_add_loop_test(c, spans_are_as_long_as_they_need_to_be, 0, ARRAY_LEN(spans));
    tcase_add_test(c, points_of_time_are_read_strictly);
}

int main(void)
{
    return run_cases("text", add);
}
