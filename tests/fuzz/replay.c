/* Runs a fuzz target over files: each argument is one, or a directory of them. What libFuzzer found
 * once, every `make check` runs again, with any compiler. */
#include "base/util.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long replay_file(const char *path)
{
    struct stat st;
    uint8_t *data;
    FILE *f = fopen(path, "rb");

    if (f == NULL || fstat(fileno(f), &st) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    /* exactly as long as the input, so that a byte read behind it is noticed */
    data = xmalloc((size_t)st.st_size + (st.st_size == 0));
    if (fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    fclose(f);
    if (LLVMFuzzerTestOneInput(data, (size_t)st.st_size) != 0) {
        fprintf(stderr, "%s: the target asks to leave this out\n", path);
        exit(2);
    }
    free(data);
    return 1;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static unsigned long replay(const char *path)
{
    struct dirent **names;
    struct stat st;
    unsigned long count = 0;
    int n;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return replay_file(path);
    n = scandir(path, &names, visible, alphasort); /* a fixed order, so that failures repeat */
    for (int i = 0; i < n; i++) {
        size_t cap = strlen(path) + strlen(names[i]->d_name) + 2;
        char *inner = xmalloc(cap);

        snprintf(inner, cap, "%s/%s", path, names[i]->d_name);
        count += replay(inner);
        free(inner);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return count;
}

int main(int argc, char **argv)
{
    unsigned long count = 0;

    for (int i = 1; i < argc; i++)
        count += replay(argv[i]);
    printf("%s: %lu inputs\n", argv[0], count);
    return count > 0 ? 0 : 1;
}
