/* See the header. /proc may not be mounted (a narrow container); what cannot be read is 0, because
 * a status that fails for want of a decoration would be of no use when it is needed. */
#include "io/usage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* The numbers of /proc/self/statm are pages: the size, then what is resident. */
static void read_memory(uint64_t *ret_size, uint64_t *ret_resident)
{
    char line[128], *end;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *f = fopen("/proc/self/statm", "re");

    *ret_size = *ret_resident = 0;
    if (!f)
        return;
    if (fgets(line, sizeof(line), f)) {
        *ret_size = strtoull(line, &end, 10) * page;
        *ret_resident = strtoull(end, NULL, 10) * page;
    }
    fclose(f);
}

uint64_t usage_resident(void)
{
    uint64_t size, resident;

    read_memory(&size, &resident);
    return resident;
}

static uint64_t count_descriptors(void)
{
    uint64_t n = 0;
    const struct dirent *e;
    DIR *dir = opendir("/proc/self/fd");

    if (!dir)
        return 0;
    while ((e = readdir(dir)))
        n += e->d_name[0] != '.';
    closedir(dir);
    return n ? n - 1 : 0; /* that of the walk itself */
}

static usec_t span_of(const struct timeval *tv)
{
    return (usec_t)tv->tv_sec * USEC_PER_SEC + (usec_t)tv->tv_usec;
}

void usage_read(struct usage *ret)
{
    struct rusage ru;
    struct rlimit files;

    *ret = (struct usage){0};
    read_memory(&ret->virtual_size, &ret->resident);
    ret->open_fds = count_descriptors();
    if (getrusage(RUSAGE_SELF, &ru) == 0)
        ret->cpu = span_of(&ru.ru_utime) + span_of(&ru.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        ret->max_fds = files.rlim_cur;
}
