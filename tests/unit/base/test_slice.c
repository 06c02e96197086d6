/* base/slice and base/utf8. */
#include "base/slice.h"
#include "base/utf8.h"
#include "base/util.h"

#include <check.h>
#include <stdlib.h>

START_TEST(eq_compares_bytes_and_length)
{
    ck_assert(slice_eq(SLICE("abc"), SLICE("abc")));
    ck_assert(!slice_eq(SLICE("abc"), SLICE("abd")));
    ck_assert(!slice_eq(SLICE("abc"), SLICE("ab")));
    ck_assert(!slice_eq(SLICE("a\0b"), SLICE("a\0c")));
    ck_assert(slice_eq(slice_of(NULL, 0), SLICE("")));
    ck_assert(slice_is(slice_of("abcdef", 3), "abc"));
    ck_assert(!slice_is(SLICE("abc\0"), "abc"));
    ck_assert(slice_starts(SLICE("Bearer x"), "Bearer "));
    ck_assert(!slice_starts(SLICE("Bear"), "Bearer "));
}
END_TEST

START_TEST(nocase_folds_ascii_letters_only)
{
    ck_assert(slice_is_nocase(SLICE("CONTENT-Length"), "content-lengTH"));
    ck_assert(!slice_is_nocase(SLICE("content-length "), "content-length"));
    /* Characters 0x20 apart that are no letters must stay different. */
    ck_assert(!slice_is_nocase(SLICE("@"), "`"));
    ck_assert(!slice_is_nocase(SLICE("["), "{"));
    ck_assert(!slice_is_nocase(SLICE("\xc0"), "\xe0"));
    ck_assert(!slice_is_nocase(SLICE("\r"), "-"));
}
END_TEST

/* Eight bytes are compared at once: each pair of bytes at each place among letters. */
START_TEST(nocase_is_the_same_at_every_place)
{
    for (size_t at = 0; at < 11; at++) {
        for (unsigned x = 0; x < 256; x++) {
            for (unsigned y = 1; y < 256; y++) {
                char a[] = "fedcbaABCDE", b[] = "FEDCBAabcde";
                bool letters = (x | 0x20) >= 'a' && (x | 0x20) <= 'z' && x < 0x80;
                a[at] = (char)x;
                b[at] = (char)y;
                ck_assert_int_eq(slice_is_nocase(slice_of(a, 11), b),
                                 x == y || (letters && (x | 0x20) == (y | 0x20)));
            }
        }
    }
}
END_TEST

START_TEST(trim_removes_spaces_and_tabs_only)
{
    ck_assert(slice_is(slice_trim(SLICE(" \t a b\t ")), "a b"));
    ck_assert(slice_is(slice_trim(SLICE(" \t ")), ""));
    ck_assert(slice_is(slice_trim(SLICE("")), ""));
    ck_assert(slice_is(slice_trim(SLICE("\ra\n")), "\ra\n"));
}
END_TEST

START_TEST(visible_is_the_same_at_every_place)
{
    char text[20];

    ck_assert(slice_is_visible(slice_of(NULL, 0)));
    for (size_t n = 1; n <= sizeof(text); n++) {
        for (size_t at = 0; at < n; at++) {
            for (int c = 0; c < 256; c++) {
                memset(text, at % 2 ? '!' : '~', n);
                text[at] = (char)c;
                ck_assert_int_eq(slice_is_visible(slice_of(text, n)), c > 0x20 && c < 0x7f);
            }
        }
    }
    ck_assert(!slice_is_visible(SLICE("\xff\xff~~~~~~")));
    ck_assert(!slice_is_visible(SLICE("  !!!!!!")));
}
END_TEST

static size_t encode(uint32_t cp, char *out)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

START_TEST(utf8_accepts_every_scalar_value_and_no_surrogate)
{
    for (uint32_t cp = 0; cp < 0x110000 + 0x100; cp++) {
        char text[4];
        size_t n = encode(cp, text);
        uint32_t got = UINT32_MAX, ignored;
        bool scalar = cp < 0x110000 && !(cp >= 0xd800 && cp < 0xe000), ok;

        ok = utf8_sequence(text, n, &got) == (scalar ? n : 0);
        ok &= got == (scalar ? cp : UINT32_MAX);
        ok &= utf8_cut(text, n) == n;
        for (size_t cut = 0; cut < n; cut++) {
            ok &= utf8_sequence(text, cut, &ignored) == 0;
            ok &= !scalar || utf8_cut(text, cut) == 0;
        }
        if (!ok) /* a ck_assert for each would cost a system call */
            ck_abort_msg("wrong about U+%04X", (unsigned)cp);
    }
}
END_TEST

static const char *const malformed[] = {
    "\x80",
    "\xbf",
    "\xc0\x80",
    "\xc1\xbf",
    "\xe0\x80\x80",
    "\xe0\x9f\xbf",
    "\xed\xa0\x80",
    "\xf0\x80\x80\x80",
    "\xf0\x8f\xbf\xbf",
    "\xf4\x90\x80\x80",
    "\xf5\x80\x80",
    "\xfe",
    "\xff",
    "\xc3(",
    "\xe2\x82(",
};

START_TEST(utf8_refuses_malformed)
{
    uint32_t cp;

    ck_assert_uint_eq(utf8_sequence(malformed[_i], strlen(malformed[_i]), &cp), 0);
}
END_TEST

START_TEST(utf8_cut_leaves_malformed_tails_alone)
{
    ck_assert_uint_eq(utf8_cut("ab\xe2\x82", 4), 2);
    ck_assert_uint_eq(utf8_cut("ab\xff", 3), 3);
    ck_assert_uint_eq(utf8_cut("ab\x80\x80\x80\x80", 6), 6);
    ck_assert_uint_eq(utf8_cut("ab\xed\xa0", 4), 4);
    ck_assert_uint_eq(utf8_cut("", 0), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/slice");
    TCase *tc = tcase_create("slice");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, eq_compares_bytes_and_length);
    tcase_add_test(tc, nocase_folds_ascii_letters_only);
    tcase_add_test(tc, nocase_is_the_same_at_every_place);
    tcase_add_test(tc, visible_is_the_same_at_every_place);
    tcase_add_test(tc, trim_removes_spaces_and_tabs_only);
    tcase_add_test(tc, utf8_accepts_every_scalar_value_and_no_surrogate);
    tcase_add_loop_test(tc, utf8_refuses_malformed, 0, ARRAY_LEN(malformed));
    tcase_add_test(tc, utf8_cut_leaves_malformed_tails_alone);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
