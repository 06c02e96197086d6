/* wire/auth: Authorization fields as clients, and those who are none, write them. */
#include "wire/auth.h"

#include "base/util.h"

#include <check.h>
#include <stdlib.h>

static const struct {
    const char *value;
    enum auth_kind kind;
    const char *token;
} cases[] = {
    {"Bearer abc", AUTH_BEARER, "abc"},
    {"bearer abc", AUTH_BEARER, "abc"},
    {"BEARER abc", AUTH_BEARER, "abc"},
    {"Bearer    abc", AUTH_BEARER, "abc"},
    {"Bearer a,b=\"c\";~+/==", AUTH_BEARER, "a,b=\"c\";~+/=="},
    {"Bearer Bearer", AUTH_BEARER, "Bearer"},
    {"", AUTH_NONE, NULL},
    {"Basic dXNlcjpwYXNz", AUTH_NONE, NULL},
    {"Bearerabc", AUTH_NONE, NULL},
    {"Bearers abc", AUTH_NONE, NULL},
    {"Beare abc", AUTH_NONE, NULL},
    {"abc", AUTH_NONE, NULL},
    {"Basic x, Bearer abc", AUTH_NONE, NULL},
    {"B\xc3\xa9"
     "arer abc",
     AUTH_NONE, NULL},
    {"Bearer", AUTH_MALFORMED, NULL},
    {"Bearer ", AUTH_MALFORMED, NULL},
    {"Bearer     ", AUTH_MALFORMED, NULL},
    {"Bearer\tabc", AUTH_MALFORMED, NULL},
    {"Bearer \tabc", AUTH_MALFORMED, NULL},
    {"Bearer abc def", AUTH_MALFORMED, NULL},
    {"Bearer abc ", AUTH_MALFORMED, NULL},
    {"Bearer ab\x01"
     "c",
     AUTH_MALFORMED, NULL},
    {"Bearer ab\x7f", AUTH_MALFORMED, NULL},
    {"Bearer ab\xc3\xa4", AUTH_MALFORMED, NULL},
};

START_TEST(fields_are_taken_apart)
{
    struct slice token = {0};
    /* A copy of exact size lets the sanitizer see a read beyond the end. */
    size_t n = strlen(cases[_i].value);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, cases[_i].value, n);
    ck_assert_int_eq(auth_parse(slice_of(exact, n), &token), cases[_i].kind);
    if (cases[_i].token)
        ck_assert(slice_is(token, cases[_i].token));
    else
        ck_assert_ptr_null(token.p);
    free(exact);
}
END_TEST

START_TEST(no_field_is_no_authorization)
{
    struct slice token = {0};
    ck_assert_int_eq(auth_parse(slice_of(NULL, 0), &token), AUTH_NONE);
}
END_TEST

START_TEST(a_nul_byte_is_no_token)
{
    struct slice token = {0};
    ck_assert_int_eq(auth_parse(SLICE("Bearer ab\0cd"), &token), AUTH_MALFORMED);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("auth");
    TCase *tc = tcase_create("auth");
    tcase_add_loop_test(tc, fields_are_taken_apart, 0, ARRAY_LEN(cases));
    tcase_add_test(tc, no_field_is_no_authorization);
    tcase_add_test(tc, a_nul_byte_is_no_token);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
