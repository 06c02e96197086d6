/* io/journal: records come back whatever happened to the writer, and a file that is damaged costs
 * no more than what was damaged. */
#include "base/buf.h"
#include "base/util.h"
#include "io/journal.h"
#include "io_test.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[64];
static struct buf got; /* the records that were read, each with an LF */
static size_t damaged;

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/mcpool-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void teardown(void)
{
    unlink(in_dir("j"));
    ck_assert_int_eq(rmdir(dir), 0); /* also says that nothing else was left in it */
    buf_done(&got);
}

static void take(void *arg, struct slice record)
{
    ck_assert_ptr_eq(arg, &got);
    buf_append_slice(&got, record);
    buf_append_str(&got, "\n");
}

static int read_records(struct store *st)
{
    buf_reset(&got);
    damaged = 0;
    return st->ops->read(st, take, &got, &damaged);
}

static void check_records(struct store *st, const char *expected)
{
    ck_assert_int_eq(read_records(st), 0);
    buf_append(&got, "", 1);
    ck_assert_str_eq(buf_peek(&got).p, expected);
}

static int append(struct store *st, const char *text)
{
    return st->ops->append(st, slice_str(text));
}

/* Writes the file as it is to be found. */
static void put_file(const char *text, size_t n)
{
    FILE *f = fopen(in_dir("j"), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

static struct buf get_file(void)
{
    struct buf b = BUF_INIT;
    FILE *f = fopen(in_dir("j"), "r");
    size_t n;
    ck_assert_ptr_nonnull(f);
    while ((n = fread(buf_reserve(&b, 4096), 1, 4096, f)) > 0)
        buf_added(&b, n);
    fclose(f);
    return b;
}

START_TEST(records_come_back_in_order)
{
    size_t fds = open_fd_count();
    struct store *st = journal_open(dir, "j");
    struct stat meta;
    check_records(st, "");
    ck_assert_int_eq(append(st, "one"), 0);
    ck_assert_int_eq(append(st, "two \xc3\xa9"), 0);
    ck_assert_int_eq(append(st, ""), 0);
    st = journal_close(st);
    ck_assert_ptr_null(st);
    ck_assert_uint_eq(open_fd_count(), fds);
    ck_assert_int_eq(stat(in_dir("j"), &meta), 0);
    ck_assert_int_eq(meta.st_mode & 0777, 0600);

    st = journal_open(dir, "j");
    check_records(st, "one\ntwo \xc3\xa9\n\n");
    ck_assert_uint_eq(damaged, 0);
    ck_assert_uint_eq(st->ops->size(st), (size_t)meta.st_size);
    ck_assert_int_eq(append(st, "three"), 0);
    journal_close(st);
    st = journal_open(dir, "j");
    check_records(st, "one\ntwo \xc3\xa9\n\nthree\n");
    journal_close(st);
    journal_close(NULL);
}
END_TEST

/* What was written before a kill at any moment is there. */
START_TEST(a_killed_writer_loses_nothing)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct store *st = journal_open(dir, "j");
        append(st, "one");
        append(st, "two");
        raise(SIGKILL);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    struct store *st = journal_open(dir, "j"); /* the lock went with its holder */
    check_records(st, "one\ntwo\n");
    ck_assert_int_eq(append(st, "three"), 0);
    journal_close(st);
}
END_TEST

/* The file cut at every length: the whole lines are read, and what is appended then is read too. */
START_TEST(a_cut_tail_is_left_out)
{
    struct store *st = journal_open(dir, "j");
    append(st, "first");
    append(st, "second");
    journal_close(st);
    struct buf file = get_file();
    size_t n = buf_len(&file);
    size_t first = (size_t)((char *)memchr(file.data, '\n', n) - file.data) + 1;
    for (size_t cut = 0; cut <= n; cut++) {
        put_file(file.data, cut);
        st = journal_open(dir, "j");
        /* A line that lacks nothing but its end is whole. */
        bool whole = cut == 0 || cut == first - 1 || cut == first || cut >= n - 1;
        const char *head = cut < first - 1 ? "" : cut < n - 1 ? "first\n" : "first\nsecond\n";
        check_records(st, head);
        ck_assert_uint_eq(damaged, !whole);
        ck_assert_int_eq(append(st, "new"), 0);
        journal_close(st);
        st = journal_open(dir, "j");
        char expected[64];
        snprintf(expected, sizeof(expected), "%snew\n", head);
        check_records(st, expected);
        journal_close(st);
    }
    buf_done(&file);
}
END_TEST

START_TEST(a_damaged_byte_costs_its_lines_only)
{
    struct store *st = journal_open(dir, "j");
    append(st, "first");
    append(st, "second");
    append(st, "third");
    journal_close(st);
    struct buf file = get_file();
    for (size_t i = 0; i < buf_len(&file); i++) {
        file.data[i] ^= 1;
        put_file(file.data, buf_len(&file));
        file.data[i] ^= 1;
        st = journal_open(dir, "j");
        ck_assert_int_eq(read_records(st), 0);
        /* A line end that is gone costs two. */
        unsigned left = 0;
        for (size_t k = 0; k < buf_len(&got); k++)
            left += buf_peek(&got).p[k] == '\n';
        ck_assert_msg(left == 2 || (left == 1 && file.data[i] == '\n'), "byte %zu: %u records left",
                      i, left);
        ck_assert_uint_ge(damaged, 1);
        journal_close(st);
    }
    buf_done(&file);
}
END_TEST

START_TEST(a_line_without_end_is_no_burden)
{
    size_t n = 10 * 1024 * 1024;
    char *text = xmalloc(n + 64);
    memset(text, 'x', n);
    struct store *st = journal_open(dir, "j");
    append(st, "one");
    journal_close(st);
    struct buf file = get_file();
    text[n] = '\n';
    memcpy(text + n + 1, file.data, buf_len(&file));
    put_file(text, n + 1 + buf_len(&file));
    st = journal_open(dir, "j");
    check_records(st, "one\n");
    ck_assert_uint_eq(damaged, 1);
    journal_close(st);
    buf_done(&file);
    free(text);
}
END_TEST

START_TEST(the_longest_record_comes_back)
{
    char *text = xmalloc(STORE_RECORD_MAX + 1);
    memset(text, 'x', STORE_RECORD_MAX);
    text[STORE_RECORD_MAX] = '\0';
    struct store *st = journal_open(dir, "j");
    ck_assert_int_eq(append(st, text), 0);
    ck_assert_int_eq(append(st, "end"), 0);
    ck_assert_int_eq(read_records(st), 0);
    ck_assert_uint_eq(damaged, 0);
    ck_assert_uint_eq(buf_len(&got), STORE_RECORD_MAX + 1 + 4);
    journal_close(st);
    free(text);
}
END_TEST

START_TEST(a_rewrite_takes_the_place_in_one_step)
{
    for (int durable = 0; durable < 2; durable++) {
        struct store *st = journal_open(dir, "j"), *other;
        for (int i = 0; i < 100; i++)
            append(st, "old");
        size_t before = st->ops->size(st);
        ck_assert_int_eq(st->ops->rewrite_begin(st), 0);
        ck_assert_int_eq(append(st, "new"), 0);
        /* Whoever reads now, after a kill, finds the old ones. */
        other = journal_open(dir, "j");
        ck_assert_int_eq(read_records(other), 0);
        ck_assert_uint_ge(buf_len(&got), 400);
        journal_close(other);
        ck_assert_int_eq(st->ops->rewrite_end(st, durable), 0);
        ck_assert_uint_lt(st->ops->size(st), before);
        ck_assert_int_eq(append(st, "newer"), 0);
        check_records(st, "new\nnewer\n");
        journal_close(st);
        ck_assert_int_eq(unlink(in_dir("j")), 0);
    }
}
END_TEST

START_TEST(a_second_process_does_not_write)
{
    struct store *st = journal_open(dir, "j"), *other = journal_open(dir, "j");
    ck_assert_int_eq(append(st, "one"), 0);
    check_records(other, "one\n");
    ck_assert_int_eq(append(other, "two"), -EBUSY);
    ck_assert_int_eq(other->ops->rewrite_begin(other), -EBUSY);
    check_records(st, "one\n");
    journal_close(st);
    journal_close(other);
}
END_TEST

START_TEST(it_takes_over_from_a_process_that_was_about_to_end)
{
    for (int there = 0; there < 2; there++) {
        struct store *st = journal_open(dir, "j"), *other;
        if (there)
            append(st, "one");
        other = journal_open(dir, "j");
        check_records(other, there ? "one\n" : "");
        ck_assert_int_eq(append(other, "two"), -EBUSY);
        journal_close(st);
        ck_assert_int_eq(append(other, "two"), -EBUSY); /* not in the middle of things */
        ck_assert_int_eq(other->ops->rewrite_begin(other), 0);
        append(other, "three");
        ck_assert_int_eq(other->ops->rewrite_end(other, false), 0);
        ck_assert_int_eq(append(other, "four"), 0);
        check_records(other, "three\nfour\n");
        st = journal_open(dir, "j");
        ck_assert_int_eq(append(st, "five"), -EBUSY);
        journal_close(st);
        journal_close(other);
        ck_assert_int_eq(unlink(in_dir("j")), 0);
    }
}
END_TEST

START_TEST(but_not_over_what_it_has_not_read)
{
    struct store *st = journal_open(dir, "j"), *other = journal_open(dir, "j");
    check_records(other, "");
    append(st, "one");
    journal_close(st);
    ck_assert_int_eq(other->ops->rewrite_begin(other), -EBUSY);
    st = journal_open(dir, "j"); /* whoever comes next may have it */
    ck_assert_int_eq(append(st, "two"), 0);
    check_records(st, "one\ntwo\n");
    journal_close(st);
    journal_close(other);
}
END_TEST

/* A full disk, as far as a process can make one for itself: files may not grow beyond max. It must
 * be more than the test program itself writes. */
static void limit_file_size(rlim_t max)
{
    struct rlimit rl;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &rl), 0);
    rl.rlim_cur = max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

START_TEST(a_full_disk_is_said_and_costs_no_other_line)
{
    static char large[STORE_RECORD_MAX + 1];
    static char expected[2 * STORE_RECORD_MAX];
    memset(large, 'x', STORE_RECORD_MAX);
    snprintf(expected, sizeof(expected), "%s\n", large);
    struct store *st = journal_open(dir, "j");
    ck_assert_int_eq(append(st, large), 0);
    limit_file_size(st->ops->size(st) + 5);
    ck_assert_int_eq(append(st, "two"), -EFBIG); /* 5 bytes of it are in the file now */
    ck_assert_int_eq(append(st, "two"), -EFBIG);
    ck_assert_int_eq(st->ops->rewrite_begin(st), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(append(st, large), 0);
    ck_assert_int_eq(st->ops->rewrite_end(st, true), -EFBIG);
    check_records(st, expected); /* the old file is what it was */
    limit_file_size(RLIM_INFINITY);
    ck_assert_int_eq(append(st, "three"), 0);
    snprintf(expected, sizeof(expected), "%s\nthree\n", large);
    check_records(st, expected);
    ck_assert_uint_eq(damaged, 1);
    ck_assert_int_eq(st->ops->rewrite_begin(st), 0);
    ck_assert_int_eq(append(st, "fresh"), 0);
    ck_assert_int_eq(st->ops->rewrite_end(st, false), 0);
    check_records(st, "fresh\n");
    journal_close(st);
}
END_TEST

START_TEST(what_is_no_file_is_not_touched)
{
    struct store *st;
    ck_assert_int_eq(mkdir(in_dir("j"), 0700), 0);
    st = journal_open(dir, "j");
    ck_assert_int_eq(read_records(st), -EISDIR);
    ck_assert_int_eq(append(st, "x"), -EISDIR);
    journal_close(st);
    ck_assert_int_eq(rmdir(in_dir("j")), 0);

    ck_assert_int_eq(mkfifo(in_dir("j"), 0600), 0); /* nobody at the other end: must not hang */
    st = journal_open(dir, "j");
    ck_assert_int_eq(read_records(st), -EINVAL);
    ck_assert_int_eq(append(st, "x"), -ENXIO);
    journal_close(st);
    ck_assert_int_eq(unlink(in_dir("j")), 0);

    ck_assert_int_eq(symlink("/dev/full", in_dir("j")), 0);
    st = journal_open(dir, "j");
    ck_assert_int_eq(read_records(st), -ELOOP);
    ck_assert_int_eq(append(st, "x"), -ELOOP);
    journal_close(st);
}
END_TEST

START_TEST(a_missing_directory_is_said)
{
    struct store *st = journal_open("/nonexistent/x", "j");
    ck_assert_int_eq(read_records(st), -ENOENT);
    ck_assert_int_eq(append(st, "x"), -ENOENT);
    ck_assert_int_eq(st->ops->rewrite_begin(st), -ENOENT);
    ck_assert_uint_eq(st->ops->size(st), 0);
    journal_close(st);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("journal");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, records_come_back_in_order);
    tcase_add_test(tc, a_killed_writer_loses_nothing);
    tcase_add_test(tc, a_cut_tail_is_left_out);
    tcase_add_test(tc, a_damaged_byte_costs_its_lines_only);
    tcase_add_test(tc, a_line_without_end_is_no_burden);
    tcase_add_test(tc, the_longest_record_comes_back);
    tcase_add_test(tc, a_rewrite_takes_the_place_in_one_step);
    tcase_add_test(tc, a_second_process_does_not_write);
    tcase_add_test(tc, it_takes_over_from_a_process_that_was_about_to_end);
    tcase_add_test(tc, but_not_over_what_it_has_not_read);
    tcase_add_test(tc, a_full_disk_is_said_and_costs_no_other_line);
    tcase_add_test(tc, what_is_no_file_is_not_touched);
    tcase_add_test(tc, a_missing_directory_is_said);
    return run_suite("io/journal", tc);
}
