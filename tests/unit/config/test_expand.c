/* config/expand: ${VAR}. */
#include "config/expand.h"
#include "unit/config/reading.h"

#include "base/util.h"

static const char *const environment[] = {"HOME",  "/home/x", "EMPTY", "",      "TRICK",  "${HOME}",
                                          "_a1",   "one",     "SPACE", "a b",   "DOLLAR", "$",
                                          "BRACE", "{HOME}",  "env",   "myenv", NULL};

static struct config_errors errs;
static struct expand e;

static void setup(void)
{
    config_errors_init(&errs);
    e = (struct expand){.arena = arena_new(),
                        .errs = &errs,
                        .getenv = test_getenv,
                        .getenv_arg = (void *)(uintptr_t)environment};
}

static void teardown(void)
{
    arena_free(e.arena);
    config_errors_done(&errs);
}

static const char *expand(const char *s)
{
    return expand_string(&e, (struct config_pos){3, 4}, "key", s);
}

static const struct {
    const char *text, *result;
} good[] = {
    {"", ""},
    {"plain", "plain"},
    {"${HOME}", "/home/x"},
    {"a${HOME}b${_a1}c", "a/home/xbonec"},
    {"${env:HOME}", "/home/x"},
    {"${env}", "myenv"},
    {"${EMPTY}", ""},
    {"${EMPTY:-d}", "d"},
    {"${NOPE:-d e}", "d e"},
    {"${NOPE:-}", ""},
    {"${NOPE:--x}", "-x"},
    {"${NOPE:-$HOME}", "$HOME"},
    {"${HOME:-d}", "/home/x"},
    {"${env:NOPE:-d}", "d"},
    {"${SPACE}", "a b"},
    {"${TRICK}", "${HOME}"}, /* never again */
    {"${DOLLAR}${BRACE}", "${HOME}"},
    {"${DOLLAR}{HOME}", "${HOME}"},
    {"$${HOME}", "${HOME}"},
    {"$$${HOME}", "$${HOME}"},
    {"$HOME", "$HOME"},
    {"$$", "$$"},
    {"$", "$"},
    {"cost 5$", "cost 5$"},
    {"~/x {HOME} }", "~/x {HOME} }"},
};

START_TEST(C10_references_are_replaced_once)
{
    const char *s = expand(good[_i].text);
    ck_assert_uint_eq(errs.n, 0);
    ck_assert_str_eq(s, good[_i].result);
}
END_TEST

static const struct {
    const char *text, *what;
} bad[] = {
    {"${NOPE}", "\"key\" needs the environment variable NOPE, which is not set"},
    {"${env:NOPE}", "needs the environment variable NOPE"},
    {"x ${HOME", "is not closed with \"}\""},
    {"${", "is not closed"},
    {"${}", "does not begin with ${VAR}"},
    {"${1a}", "does not begin with ${VAR}"},
    {"${A B}", "does not begin with ${VAR}"},
    {"${HOME-x}", "does not begin with ${VAR}"},
    {"${HOME:x}", "does not begin with ${VAR}"},
    {"${input:token}", "does not begin with ${VAR}"},
    {"${NOPE:-${HOME}}", "does not begin with ${VAR}"},
};

START_TEST(C10_what_cannot_be_replaced_is_an_error)
{
    ck_assert_ptr_null(expand(bad[_i].text));
    ck_assert_uint_eq(errs.n, 1);
    ck_assert_msg(strstr(errs.v[0].text, bad[_i].what) != NULL, "%s", errs.v[0].text);
    ck_assert_uint_eq(errs.v[0].line, 3);
    ck_assert_uint_eq(errs.v[0].column, 4);
}
END_TEST

START_TEST(lenient_reading_takes_unset_for_empty)
{
    e.lenient = true;
    ck_assert_str_eq(expand("a${NOPE}b"), "ab");
    ck_assert_ptr_null(expand("${NOPE"));
    ck_assert_uint_eq(errs.errors, 1);
}
END_TEST

START_TEST(expansion_is_bounded)
{
    static char big[65536 + 1];
    static const char *vars[] = {"BIG", big, NULL};
    memset(big, 'x', sizeof(big) - 1);
    e.getenv_arg = vars;
    ck_assert_uint_eq(strlen(expand("${BIG}${BIG}")), 2 * (sizeof(big) - 1));
    ck_assert_ptr_null(expand("${BIG}${BIG}${BIG}"));
    ck_assert_ptr_nonnull(strstr(errs.v[0].text, "becomes too long"));
    unsigned i = 0;
    while (i < 100 && expand("${BIG}") != NULL)
        i++;
    ck_assert_uint_lt(i, 64); /* 4 MiB in all */
}
END_TEST

START_TEST(references_are_recognised)
{
    ck_assert(expand_refers("a${X}"));
    ck_assert(expand_refers("${X}"));
    ck_assert(expand_refers("$${X} ${Y}"));
    ck_assert(!expand_refers("$${X}"));
    ck_assert(!expand_refers("$X"));
    ck_assert(!expand_refers(""));
}
END_TEST

static void add(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, C10_references_are_replaced_once, 0, ARRAY_LEN(good));
    tcase_add_loop_test(c, C10_what_cannot_be_replaced_is_an_error, 0, ARRAY_LEN(bad));
    tcase_add_test(c, lenient_reading_takes_unset_for_empty);
    tcase_add_test(c, expansion_is_bounded);
    tcase_add_test(c, references_are_recognised);
}

int main(void)
{
    return run_cases("expand", add);
}
