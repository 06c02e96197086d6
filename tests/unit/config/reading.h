/* Reading configuration texts in tests: a scripted environment, and what came of one text. */
#ifndef TESTS_CONFIG_READING_H
#define TESTS_CONFIG_READING_H

#include "config/config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    int result;
    struct config *config; /* NULL unless result is 0 */
    struct config_errors errs;
};

static const char *const *test_environment; /* NAME, value, … NULL */

__attribute__((unused)) static const char *test_getenv(void *arg, const char *name)
{
    const char *const *env = arg;
    for (; env != NULL && *env != NULL; env += 2) {
        if (strcmp(env[0], name) == 0)
            return env[1];
    }
    return NULL;
}

/* One name of this machine; the resolver is not asked. */
__attribute__((unused)) static bool test_is_loopback_name(const char *host)
{
    return strcmp(host, "this-machine") == 0;
}

/* Reads text as user 1000 in an environment that holds test_environment only. */
__attribute__((unused)) static struct reading read_text(const char *text)
{
    struct reading r = {0};
    struct config_params params = {.getenv = test_getenv,
                                   .getenv_arg = (void *)(uintptr_t)test_environment,
                                   .uid = 1000,
                                   .base_dir = "/",
                                   .is_loopback_name = test_is_loopback_name};
    /* A copy of exact size lets the sanitizer see a read beyond the end. */
    size_t n = strlen(text);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, text, n);
    config_errors_init(&r.errs);
    r.result = config_parse(slice_of(exact, n), &params, &r.config, &r.errs);
    free(exact);
    ck_assert_int_eq(r.result == 0, r.errs.errors == 0);
    ck_assert_int_eq(r.result == 0, r.config != NULL);
    return r;
}

__attribute__((unused)) static void reading_done(struct reading *r)
{
    config_unref(r->config);
    config_errors_done(&r->errs);
}

/* Reads a text that must be good and without warnings. */
__attribute__((unused)) static struct reading read_good(const char *text)
{
    struct reading r = read_text(text);
    if (r.errs.n != 0)
        ck_abort_msg("%s\n  has: %s", text, r.errs.v[0].text);
    return r;
}

/* The text must give exactly one error or warning, at that place, that contains `what`. */
__attribute__((unused)) static void expect_one(bool warning, const char *text, unsigned line,
                                               unsigned column, const char *what)
{
    struct reading r = read_text(text);
    const struct config_diag *d = &r.errs.v[0];
    if (r.errs.n != 1)
        ck_abort_msg("%s\n  gives %zu messages%s%s", text, r.errs.n,
                     r.errs.n > 1 ? ", the second: " : "", r.errs.n > 1 ? r.errs.v[1].text : "");
    if (d->warning != warning || strstr(d->text, what) == NULL)
        ck_abort_msg("%s\n  gives %s: %s\n  not: %s", text, d->warning ? "a warning" : "an error",
                     d->text, what);
    if (d->line != line || d->column != column)
        ck_abort_msg("%s\n  complains at %u:%u, not at %u:%u: %s", text, d->line, d->column, line,
                     column, d->text);
    reading_done(&r);
}

#define expect_error(...)   expect_one(false, __VA_ARGS__)
#define expect_warning(...) expect_one(true, __VA_ARGS__)

/* Runs one suite of one case; the exit status for main. */
__attribute__((unused)) static int run_cases(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    add(cases);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
