/* base/digest against the examples of FIPS 180-4. */
#include "base/digest.h"

#include <check.h>
#include <stdlib.h>

START_TEST(sha256_of_the_standards_examples)
{
    unsigned char d[DIGEST_SIZE];
    char text[DIGEST_TEXT_SIZE];
    digest_sha256(SLICE("abc"), d);
    ck_assert_uint_eq(d[31], 0xad);
    digest_text(d, text);
    ck_assert_str_eq(text, "ba7816bf8f01cfea414140de5dae2223");
    digest_sha256(SLICE(""), d);
    digest_text(d, text);
    ck_assert_str_eq(text, "e3b0c44298fc1c149afbf4c8996fb924");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/digest");
    TCase *t = tcase_create("digest");
    tcase_add_test(t, sha256_of_the_standards_examples);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
