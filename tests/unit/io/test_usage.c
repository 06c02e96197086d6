/* What the kernel says of this process, against what the test does to it. */
#include "io/usage.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(memory_that_is_used_is_seen)
{
    const size_t n = (size_t)64 * 1024 * 1024;
    struct usage before, after;
    usage_read(&before);
    char *p = malloc(n);
    ck_assert_ptr_nonnull(p);
    memset(p, 1, n);
    __asm__ volatile("" : : "r"(p) : "memory"); /* it is used, says this */
    usage_read(&after);
    ck_assert_uint_gt(before.resident, 0);
    ck_assert_uint_ge(before.virtual_size, before.resident);
    ck_assert_uint_ge(after.resident, before.resident + n / 2);
    ck_assert_uint_ge(usage_resident(), before.resident + n / 2);
    free(p);
}
END_TEST

START_TEST(descriptors_are_counted)
{
    struct usage before, after;
    usage_read(&before);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    usage_read(&after);
    ck_assert_uint_eq(after.open_fds, before.open_fds + 1);
    ck_assert_uint_ge(after.max_fds, after.open_fds);
    close(fd);
    usage_read(&after);
    ck_assert_uint_eq(after.open_fds, before.open_fds);
    ck_assert_uint_ge(after.cpu, before.cpu);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("usage");
    tcase_add_test(tc, memory_that_is_used_is_seen);
    tcase_add_test(tc, descriptors_are_counted);
    Suite *s = suite_create("usage");
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
