/* base/base64url against RFC 4648 section 10, and that decoding takes nothing else. */
#include "base/base64url.h"

#include <check.h>
#include <stdlib.h>

/* The examples of the RFC, and two whose digits are those that differ from plain base64. */
static const struct {
    struct slice plain;
    const char *text;
} examples[] = {
    {SLICE_INIT(""), ""},
    {SLICE_INIT("f"), "Zg"},
    {SLICE_INIT("fo"), "Zm8"},
    {SLICE_INIT("foo"), "Zm9v"},
    {SLICE_INIT("foob"), "Zm9vYg"},
    {SLICE_INIT("fooba"), "Zm9vYmE"},
    {SLICE_INIT("foobar"), "Zm9vYmFy"},
    {SLICE_INIT("\xfb\xff\xbf"), "-_-_"},
    {SLICE_INIT("\0\0"), "AAA"},
};

START_TEST(the_examples_go_both_ways)
{
    char text[16];
    unsigned char back[16];
    size_t n;
    struct slice plain = examples[_i].plain;
    size_t len = strlen(examples[_i].text);
    ck_assert_uint_eq(BASE64URL_LEN(plain.n), len);
    base64url_encode(plain.p, plain.n, text);
    ck_assert_mem_eq(text, examples[_i].text, len);
    ck_assert(base64url_decode(slice_of(text, len), back, sizeof(back), &n));
    ck_assert_uint_eq(n, plain.n);
    ck_assert_mem_eq(back, plain.p, n);
}
END_TEST

static const char *const wrong[] = {
    "A", "Zh", "Zm9", "Zg==", "Zg=", "+/+/", "Zm 9", "Zm9vA", "Zm\n"};

START_TEST(anything_else_is_refused)
{
    unsigned char out[16];
    size_t n;
    ck_assert(!base64url_decode(slice_str(wrong[_i]), out, sizeof(out), &n));
}
END_TEST

START_TEST(a_nul_is_no_digit)
{
    unsigned char out[16];
    size_t n;
    ck_assert(!base64url_decode(SLICE("Zm\0v"), out, sizeof(out), &n));
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    unsigned char out[3] = {0, 0, 7};
    size_t n;
    ck_assert(!base64url_decode(SLICE("Zm9v"), out, 2, &n));
    ck_assert_uint_eq(out[2], 7);
    ck_assert(base64url_decode(SLICE("Zm9v"), out, 3, &n));
}
END_TEST

START_TEST(every_pair_of_bytes_comes_back)
{
    for (unsigned v = 0; v < 65536; v++) {
        unsigned char in[2] = {(unsigned char)(v >> 8), (unsigned char)v}, out[2];
        char text[3];
        size_t n;
        base64url_encode(in, 2, text);
        ck_assert(base64url_decode(slice_of(text, 3), out, 2, &n));
        ck_assert(n == 2 && memcmp(in, out, 2) == 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/base64url");
    TCase *t = tcase_create("base64url");
    tcase_add_loop_test(t, the_examples_go_both_ways, 0, sizeof(examples) / sizeof(examples[0]));
    tcase_add_loop_test(t, anything_else_is_refused, 0, sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(t, a_nul_is_no_digit);
    tcase_add_test(t, what_does_not_fit_is_refused);
    tcase_add_test(t, every_pair_of_bytes_comes_back);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
