/* base/digest against the examples of FIPS 180-4. */
#include "base/digest.h"

#include <check.h>
#include <pthread.h>
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
    digest_sha256(SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), d);
    digest_text(d, text);
    ck_assert_str_eq(text, "248d6a61d20638b8e5c026930c3e6039");
}
END_TEST

/* RFC 4231, cases 2 and 6: a short key, and one that is longer than the block. */
START_TEST(hmac_of_the_standards_examples)
{
    unsigned char d[DIGEST_SIZE];
    char text[DIGEST_TEXT_SIZE], key[131];
    digest_hmac_sha256(SLICE("Jefe"), SLICE("what do ya want for nothing?"), d);
    ck_assert_uint_eq(d[31], 0x43);
    digest_text(d, text);
    ck_assert_str_eq(text, "5bdcc146bf60754e6a042426089575c7");
    memset(key, 0xaa, sizeof(key));
    digest_hmac_sha256(slice_of(key, sizeof(key)),
                       SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), d);
    ck_assert_uint_eq(d[31], 0x54);
    digest_text(d, text);
    ck_assert_str_eq(text, "60e431591ee0b67f0d8a26aacbf5b77f");
}
END_TEST

START_TEST(equal_is_equal_in_every_byte)
{
    char a[DIGEST_SIZE + 3], b[sizeof(a)];
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = (char)(i * 7);
    for (size_t n = 0; n <= sizeof(a); n++) {
        memcpy(b, a, sizeof(b));
        ck_assert(digest_eq(a, b, n));
        for (size_t i = 0; i < sizeof(a) * 8; i++) {
            b[i / 8] ^= (char)(1 << i % 8);
            ck_assert_int_eq(digest_eq(a, b, n), i / 8 >= n);
            b[i / 8] ^= (char)(1 << i % 8);
        }
    }
    ck_assert(digest_eq(a, b, 0));
}
END_TEST

/* What is digested is often a secret. */
static const char secret[] = "a secret of 28 visible bytes";

static void *digest_the_secret(void *arg)
{
    unsigned char d[DIGEST_SIZE];
    (void)arg;
    digest_hmac_sha256(SLICE(secret), SLICE(secret), d);
    digest_sha256(SLICE(secret), d);
    return NULL;
}

START_TEST(nothing_of_a_secret_stays_on_the_stack)
{
    const size_t n = 256 * 1024;
    char *stack = aligned_alloc(4096, n);
    pthread_attr_t attr;
    pthread_t thread;
    memset(stack, 0, n);
    ck_assert_int_eq(pthread_attr_init(&attr), 0);
    ck_assert_int_eq(pthread_attr_setstack(&attr, stack, n), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, digest_the_secret, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_ptr_null(memmem(stack, n, secret + 8, sizeof(secret) - 1 - 8));
    pthread_attr_destroy(&attr);
    free(stack);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/digest");
    TCase *t = tcase_create("digest");
    tcase_add_test(t, sha256_of_the_standards_examples);
    tcase_add_test(t, hmac_of_the_standards_examples);
    tcase_add_test(t, equal_is_equal_in_every_byte);
    tcase_add_test(t, nothing_of_a_secret_stays_on_the_stack);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
