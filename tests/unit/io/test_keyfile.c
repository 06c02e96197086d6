/* io/keyfile: a key is made once and kept, and one that may be known to others is refused. */
#include "io/keyfile.h"
#include "io_test.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[64], credentials[64], why[256];
static unsigned char key[KEYFILE_SIZE], again[KEYFILE_SIZE];

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/mcpool-key-XXXXXX");
    snprintf(credentials, sizeof(credentials), "/tmp/mcpool-cred-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_ptr_nonnull(mkdtemp(credentials));
}

static char *path_in(const char *where)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/k", where);
    return path;
}

static void teardown(void)
{
    unlink(path_in(dir));
    unlink(path_in(credentials));
    ck_assert_int_eq(rmdir(dir), 0); /* nothing was left in it */
    ck_assert_int_eq(rmdir(credentials), 0);
}

static enum keyfile_result load(unsigned char out[KEYFILE_SIZE])
{
    why[0] = '\0';
    return keyfile_load(dir, NULL, "k", out, why, sizeof(why));
}

static void put(const char *where, size_t n, mode_t mode)
{
    char bytes[64];
    memset(bytes, 'k', sizeof(bytes));
    int fd = open(path_in(where), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

START_TEST(it_is_made_once)
{
    struct stat st;
    static const unsigned char zero[KEYFILE_SIZE];
    size_t fds = open_fd_count();
    umask(0);
    ck_assert_int_eq(load(key), KEYFILE_OK);
    ck_assert(memcmp(key, zero, sizeof(key)) != 0);
    ck_assert_int_eq(stat(path_in(dir), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(st.st_size, KEYFILE_SIZE);
    ck_assert_int_eq(load(again), KEYFILE_OK);
    ck_assert_mem_eq(key, again, sizeof(key));
    unlink(path_in(dir));
    ck_assert_int_eq(load(again), KEYFILE_OK);
    ck_assert(memcmp(key, again, sizeof(key)) != 0);
    ck_assert_uint_eq(open_fd_count(), fds);
}
END_TEST

/* Several daemons that start at once agree. */
START_TEST(all_get_the_same_one)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    for (int i = 0; i < 8; i++) {
        if (fork() == 0) {
            bool ok = load(key) == KEYFILE_OK && write(fds[1], key, sizeof(key)) == sizeof(key);
            _exit(ok ? 0 : 1);
        }
    }
    for (int i = 0, status; i < 8; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(load(key), KEYFILE_OK);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(read(fds[0], again, sizeof(again)), KEYFILE_SIZE);
        ck_assert_mem_eq(key, again, sizeof(key));
    }
}
END_TEST

static const struct {
    size_t n;
    mode_t mode;
    const char *says;
} refused[] = {
    {0, 0600, "32 bytes"},      {31, 0600, "32 bytes"},     {33, 0600, "32 bytes"},
    {32, 0640, "mode must be"}, {32, 0604, "mode must be"}, {32, 0620, "mode must be"},
    {32, 0601, "mode must be"},
};

START_TEST(a_wrong_one_is_refused_and_left_alone)
{
    struct stat st;
    put(dir, refused[_i].n, refused[_i].mode);
    ck_assert_int_eq(load(key), KEYFILE_BAD);
    ck_assert_msg(strstr(why, refused[_i].says) != NULL, "%s", why);
    ck_assert_msg(strstr(why, path_in(dir)) != NULL, "%s", why);
    ck_assert_int_eq(stat(path_in(dir), &st), 0);
    ck_assert_uint_eq((size_t)st.st_size, refused[_i].n);
}
END_TEST

START_TEST(one_of_another_user_is_refused)
{
    if (geteuid() != 0)
        return; /* cannot be made then */
    put(dir, 32, 0600);
    ck_assert_int_eq(chown(path_in(dir), 12345, 12345), 0);
    ck_assert_int_eq(load(key), KEYFILE_BAD);
    ck_assert_msg(strstr(why, "does not belong") != NULL, "%s", why);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    ck_assert_int_eq(mkfifo(path_in(dir), 0600), 0);
    ck_assert_int_eq(load(key), KEYFILE_BAD);
    unlink(path_in(dir));
    put(credentials, 32, 0600);
    char target[128];
    snprintf(target, sizeof(target), "%s", path_in(credentials));
    ck_assert_int_eq(symlink(target, path_in(dir)), 0);
    ck_assert_int_eq(load(key), KEYFILE_BAD);
    ck_assert_msg(strstr(why, "cannot be read") != NULL, "%s", why);
}
END_TEST

START_TEST(a_credential_wins)
{
    put(dir, 32, 0600);
    put(credentials, 32, 0600);
    int fd = open(path_in(credentials), O_WRONLY);
    ck_assert_int_eq(write(fd, "from the service manager, 32 b..", 32), 32);
    ck_assert_int_eq(fchmod(fd, 0440), 0); /* as service managers hand them out */
    close(fd);
    ck_assert_int_eq(keyfile_load(dir, credentials, "k", key, why, sizeof(why)), KEYFILE_OK);
    ck_assert_mem_eq(key, "from the service manager, 32 b..", 32);
    unlink(path_in(credentials));
    put(credentials, 31, 0600);
    ck_assert_int_eq(keyfile_load(dir, credentials, "k", key, why, sizeof(why)), KEYFILE_BAD);
    unlink(path_in(credentials));
    ck_assert_int_eq(keyfile_load(dir, credentials, "k", key, why, sizeof(why)), KEYFILE_OK);
    ck_assert_mem_eq(key, "kkkkkkkk", 8);
}
END_TEST

START_TEST(without_a_place_it_lasts_for_this_process)
{
    ck_assert_int_eq(keyfile_load("/proc/self", NULL, "k", key, why, sizeof(why)), KEYFILE_UNSAVED);
    ck_assert_msg(strstr(why, "/proc/self/k") != NULL, "%s", why);
    ck_assert_int_eq(keyfile_load("/proc/self", NULL, "k", again, why, sizeof(why)),
                     KEYFILE_UNSAVED);
    ck_assert(memcmp(key, again, sizeof(key)) != 0);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("keyfile");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, it_is_made_once);
    tcase_add_test(tc, all_get_the_same_one);
    tcase_add_loop_test(tc, a_wrong_one_is_refused_and_left_alone, 0,
                        sizeof(refused) / sizeof(refused[0]));
    tcase_add_test(tc, one_of_another_user_is_refused);
    tcase_add_test(tc, what_is_no_file_is_refused);
    tcase_add_test(tc, a_credential_wins);
    tcase_add_test(tc, without_a_place_it_lasts_for_this_process);
    return run_suite("io/keyfile", tc);
}
