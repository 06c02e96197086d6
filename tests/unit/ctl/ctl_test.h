/* What the tests of the control program share. */
#ifndef TESTS_UNIT_CTL_CTL_TEST_H
#define TESTS_UNIT_CTL_CTL_TEST_H

#include "base/buf.h"
#include "ctl/table.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* The contents of the buffer as a string, which the next call overwrites; the buffer is emptied. */
__attribute__((unused)) static const char *taken(struct buf *b)
{
    static char text[16384];
    size_t n = buf_len(b);
    ck_assert_uint_lt(n, sizeof(text));
    memcpy(text, buf_peek(b).p, n);
    text[n] = '\0';
    ck_assert_uint_eq(strlen(text), n); /* no NUL in it */
    buf_done(b);
    return text;
}

/* Everything a terminal could act on is gone: no control byte but line ends. */
__attribute__((unused)) static void expect_harmless(const char *text)
{
    for (const char *p = text; *p; p++)
        ck_assert_msg(*p == '\n' || ((unsigned char)*p >= 0x20 && *p != 0x7f),
                      "byte 0x%02x at %td of: %s", (unsigned char)*p, p - text, text);
}

__attribute__((unused)) static int run_cases(const char *name, void (*add)(TCase *))
{
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TZ", "UTC", 1);
    TCase *tc = tcase_create(name);
    add(tc);
    Suite *s = suite_create(name);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
