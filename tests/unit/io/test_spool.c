/* io/spool: what is written comes back from memory, from a file or from both; nothing stays in the
 * directory; memory has its limit; pages are given back. */
#include "base/util.h"
#include "io/spool.h"
#include "io/stream.h"
#include "io_test.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

static char dir[64];

static void setup(void)
{
    setup_loop();
    snprintf(dir, sizeof(dir), "/tmp/mcpool-spool-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    teardown_loop();
    ck_assert_int_eq(rmdir(dir), 0); /* also says that nothing was left in it */
}

START_TEST(bytes_come_back)
{
    struct spool *s;
    struct blob *b;
    size_t fds = open_fd_count();

    ck_assert_int_eq(spool_new(dir, &s), 0);
    ck_assert_int_eq(spool_append(s, "hello ", 6), 0);
    ck_assert_int_eq(spool_append(s, NULL, 0), 0);
    ck_assert_int_eq(spool_append(s, "world", 5), 0);
    ck_assert_uint_eq(spool_len(s), 11);
    ck_assert_int_eq(spool_finish(s, &b), 0);
    ck_assert(slice_is(blob_slice(b), "hello world"));
    ck_assert_uint_eq(open_fd_count(), fds);
    blob_unref(b);
}
END_TEST

START_TEST(empty_spool_is_an_empty_blob)
{
    struct spool *s;
    struct blob *b;

    ck_assert_int_eq(spool_new(dir, &s), 0);
    ck_assert_int_eq(spool_finish(s, &b), 0);
    ck_assert_uint_eq(b->n, 0);
    blob_unref(b);
    ck_assert_int_eq(spool_new(dir, &s), 0);
    spool_free(s);
    spool_free(NULL);
}
END_TEST

START_TEST(errors_are_returned)
{
    struct rlimit before, low;
    struct spool *s = NULL;
    char block[8192] = {0};

    ck_assert_int_eq(spool_new("/no/such/dir", &s), -ENOENT);
    ck_assert_ptr_null(s);
    /* A write that is cut short and then refused, as on a full disk. */
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    low = (struct rlimit){10000, before.rlim_max};
    ck_assert_int_eq(spool_new(dir, &s), 0);
    for (size_t n = 0; n < SPOOL_MEMORY_DEFAULT; n += sizeof(block))
        ck_assert_int_eq(spool_append(s, block, sizeof(block)), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    ck_assert_int_eq(spool_append(s, block, sizeof(block)), 0);
    ck_assert_int_eq(spool_append(s, block, sizeof(block)), -EFBIG);
    spool_free(s);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_uint_eq(spool_memory(), 0);
}
END_TEST

#define MIB ((size_t)1024 * 1024)
#define BIG (32 * MIB)

/* Appends up to n bytes in all, of which every page tells its number. */
static void fill(struct spool *s, size_t n)
{
    static char block[65536];

    for (size_t at = spool_len(s); at < n; at += sizeof(block)) {
        for (size_t i = 0; i < sizeof(block); i += 4096)
            block[i] = (char)((at + i) / 4096 % 251);
        ck_assert_int_eq(spool_append(s, block, n - at < sizeof(block) ? n - at : sizeof(block)),
                         0);
    }
}

static struct spool *filled(size_t n)
{
    struct spool *s;

    ck_assert_int_eq(spool_new(dir, &s), 0);
    fill(s, n);
    return s;
}

static struct blob *finished(struct spool *s)
{
    size_t n = spool_len(s);
    struct blob *b;

    ck_assert_int_eq(spool_finish(s, &b), 0);
    ck_assert_uint_eq(b->n, n);
    return b;
}

static struct blob *big_blob(void)
{
    return finished(filled(BIG));
}

static bool is_right(const struct blob *b)
{
    for (size_t i = 0; i < b->n; i += 4096)
        if (b->p[i] != (char)(i / 4096 % 251))
            return false;
    return true;
}

static const size_t sizes[] = {1,
                               4096,
                               2 * MIB - 1,
                               2 * MIB,
                               2 * MIB + 1,
                               SPOOL_MEMORY_DEFAULT - 1,
                               SPOOL_MEMORY_DEFAULT,
                               SPOOL_MEMORY_DEFAULT + 1,
                               SPOOL_MEMORY_DEFAULT + 3 * MIB};

START_TEST(any_size_comes_back_and_leaves_nothing)
{
    size_t fds = open_fd_count();
    struct blob *b = finished(filled(sizes[_i]));

    ck_assert_uint_eq(open_fd_count(), fds);
    ck_assert_uint_ge(spool_memory(),
                      sizes[_i] < SPOOL_MEMORY_DEFAULT ? sizes[_i] : SPOOL_MEMORY_DEFAULT);
    ck_assert_uint_le(spool_memory(), SPOOL_MEMORY_DEFAULT);
    ck_assert(is_right(b));
    blob_unref(b);
    ck_assert_uint_eq(spool_memory(), 0);
}
END_TEST

START_TEST(memory_is_shared_and_bounded)
{
    struct spool *s[20];
    struct blob *b;
    size_t fds = open_fd_count(), held;

    for (size_t i = 0; i < ARRAY_LEN(s); i++) {
        s[i] = filled(MIB + i);
        ck_assert_uint_le(spool_memory(), SPOOL_MEMORY_DEFAULT);
    }
    held = spool_memory();
    ck_assert_uint_gt(open_fd_count(), fds); /* the last ones lie in files */
    ck_assert_uint_lt(open_fd_count(), fds + ARRAY_LEN(s));
    spool_free(s[0]);
    ck_assert_uint_lt(spool_memory(), held);
    s[0] = filled(100); /* has memory again */
    ck_assert_uint_eq(spool_memory(), held);
    for (size_t i = 0; i < ARRAY_LEN(s); i++) {
        b = finished(s[i]);
        ck_assert(is_right(b));
        blob_unref(b);
    }
    ck_assert_uint_eq(open_fd_count(), fds);
    ck_assert_uint_eq(spool_memory(), 0);
}
END_TEST

START_TEST(as_much_memory_as_it_is_told)
{
    struct spool *s = filled(5 * MIB), *other;
    size_t fds = open_fd_count();
    struct blob *b;

    spool_set_memory(2 * MIB);
    ck_assert_uint_eq(spool_memory(), 6 * MIB); /* stays */
    fill(s, 7 * MIB);                           /* what comes now goes to a file */
    ck_assert_uint_eq(spool_memory(), 6 * MIB);
    ck_assert_uint_eq(open_fd_count(), fds + 1);
    spool_set_memory(0);
    other = filled(1);
    ck_assert_uint_eq(spool_memory(), 6 * MIB);
    ck_assert_uint_eq(open_fd_count(), fds + 2);
    spool_free(other);
    b = finished(s);
    ck_assert(is_right(b));
    blob_unref(b);
    ck_assert_uint_eq(spool_memory(), 0);
    /* One that begins under a low limit finds no more room for itself when it is raised … */
    spool_set_memory(5 * MIB);
    s = filled(MIB);
    spool_set_memory(64 * MIB);
    fill(s, BIG);
    ck_assert_uint_eq(spool_memory(), 4 * MIB);
    /* … but the others do. */
    other = filled(BIG + 1);
    ck_assert_uint_eq(spool_memory(), 4 * MIB + BIG + 2 * MIB);
    b = finished(s);
    ck_assert(is_right(b));
    blob_unref(b);
    b = finished(other);
    ck_assert_uint_eq(spool_memory(), BIG + 2 * MIB);
    ck_assert(is_right(b));
    b->passed(b, BIG);
    ck_assert_uint_eq(spool_memory(), 2 * MIB);
    blob_unref(b);
    ck_assert_uint_eq(spool_memory(), 0);
    ck_assert_uint_eq(open_fd_count(), fds);
    spool_set_memory(SPOOL_MEMORY_DEFAULT);
}
END_TEST

/* What others give back serves the rest of a message that had to begin in a file. */
START_TEST(file_and_memory_take_turns)
{
    struct spool *other = filled(SPOOL_MEMORY_DEFAULT), *s = filled(3 * MIB);
    size_t fds = open_fd_count();
    struct blob *b;

    ck_assert_uint_eq(spool_memory(), SPOOL_MEMORY_DEFAULT);
    spool_free(other);
    ck_assert_uint_eq(spool_memory(), 0);
    fill(s, 5 * MIB);
    ck_assert_uint_eq(spool_memory(), 2 * MIB);
    other = filled(SPOOL_MEMORY_DEFAULT); /* the rest, and a file of its own */
    fill(s, 9 * MIB);
    ck_assert_uint_eq(spool_memory(), SPOOL_MEMORY_DEFAULT);
    spool_free(other);
    fill(s, 11 * MIB + 1);
    ck_assert_uint_eq(spool_memory(), 4 * MIB);
    b = finished(s);
    ck_assert_uint_eq(open_fd_count(), fds - 1);
    ck_assert_uint_eq(spool_memory(), 4 * MIB);
    ck_assert(is_right(b));
    b->passed(b, 6 * MIB - 1); /* the first step in memory is not over */
    ck_assert_uint_eq(spool_memory(), 4 * MIB);
    b->passed(b, 10 * MIB);
    ck_assert_uint_eq(spool_memory(), 2 * MIB);
    for (size_t i = 6 * MIB; i < b->n; i += 4096)
        ck_assert_msg(b->p[i] == (char)(i / 4096 % 251), "page %zu", i / 4096);
    blob_unref(b);
    ck_assert_uint_eq(spool_memory(), 0);
}
END_TEST

START_TEST(memory_goes_behind_its_only_reader)
{
    struct blob *b = big_blob();

    blob_ref(b);
    b->passed(b, BIG - 1);
    ck_assert_uint_eq(spool_memory(), SPOOL_MEMORY_DEFAULT); /* another may still read */
    ck_assert(is_right(b));
    blob_unref(b);
    b->passed(b, 3 * MIB);
    ck_assert_uint_lt(spool_memory(), SPOOL_MEMORY_DEFAULT);
    ck_assert_uint_gt(spool_memory(), SPOOL_MEMORY_DEFAULT - 3 * MIB);
    ck_assert_int_eq(b->p[3 * MIB], (char)(3 * MIB / 4096 % 251));
    b->passed(b, SPOOL_MEMORY_DEFAULT + 5);
    ck_assert_uint_eq(spool_memory(), 0);
    ck_assert_int_eq(b->p[20 * MIB], (char)(20 * MIB / 4096 % 251));
    blob_unref(b);
    ck_assert_uint_eq(spool_memory(), 0);
}
END_TEST

static size_t resident_file_kib(void)
{
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "re");

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, "RssFile:", 8) == 0 || strncmp(line, "RssShmem:", 9) == 0)
            kib += strtoul(strchr(line, ':') + 1, NULL, 10);
    fclose(f);
    return kib;
}

START_TEST(passed_gives_pages_back_and_they_stay_readable)
{
    struct blob *b = blob_ref(big_blob()); /* a second reader */
    size_t before = resident_file_kib(), full;
    volatile char sum = 0;

    for (size_t i = 0; i < BIG; i += 4096)
        sum = (char)(sum + b->p[i]);
    full = resident_file_kib();
    ck_assert_uint_gt(full, before + (BIG - SPOOL_MEMORY_DEFAULT) / 1024 / 2);
    b->passed(b, 5000); /* not a whole number of pages */
    b->passed(b, 4000); /* going back is nothing */
    b->passed(b, BIG - 1);
    ck_assert_uint_lt(resident_file_kib(), before + BIG / 1024 / 8);
    ck_assert_int_eq(b->p[123 * 4096], 123);
    ck_assert_int_eq(b->p[0], 0);
    b->passed(b, BIG);
    blob_unref(b);
    blob_unref(b);
}
END_TEST

static struct stream *sender, *receiver;
static size_t received;
static bool bad, ended;

static void on_input(void *arg)
{
    struct slice in = stream_input(receiver);

    (void)arg;
    for (size_t i = (4096 - received % 4096) % 4096; i < in.n; i += 4096)
        bad |= in.p[i] != (char)((received + i) / 4096 % 251);
    received += in.n;
    stream_consume(receiver, in.n);
}

static void on_eof(void *arg)
{
    (void)arg;
    ended = true;
}

static void on_error(void *arg, int err)
{
    (void)arg;
    ck_abort_msg("%s", strerror(err));
}

static const struct stream_ops ops = {.on_input = on_input, .on_eof = on_eof, .on_error = on_error};

/* The purpose of it all: a huge message goes out without ever being resident as a whole. */
START_TEST(streaming_keeps_little_resident)
{
    struct blob *b = big_blob();
    size_t before = resident_file_kib(), most = 0;
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    sender = stream_new(&loop, fds[0], fds[0], NULL, &ops, NULL);
    receiver = stream_new(&loop, fds[1], fds[1], NULL, &ops, NULL);
    stream_write_blob(sender, b, 0, BIG);
    stream_end_output(sender);
    blob_unref(b);
    while (!ended) {
        size_t now;

        loop_turn(&loop, USEC_PER_SEC);
        now = resident_file_kib();
        most = now > most ? now : most;
    }
    ck_assert_uint_eq(received, BIG);
    ck_assert(!bad);
    ck_assert_uint_lt(most, before + 4096);
    ck_assert_uint_eq(spool_memory(), 0);
    stream_free(sender);
    stream_free(receiver);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("spool");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, bytes_come_back);
    tcase_add_test(tc, empty_spool_is_an_empty_blob);
    tcase_add_test(tc, errors_are_returned);
    tcase_add_loop_test(tc, any_size_comes_back_and_leaves_nothing, 0, ARRAY_LEN(sizes));
    tcase_add_test(tc, memory_is_shared_and_bounded);
    tcase_add_test(tc, as_much_memory_as_it_is_told);
    tcase_add_test(tc, file_and_memory_take_turns);
    tcase_add_test(tc, memory_goes_behind_its_only_reader);
    tcase_add_test(tc, passed_gives_pages_back_and_they_stay_readable);
    tcase_add_test(tc, streaming_keeps_little_resident);
    return run_suite("io/spool", tc);
}
