/* Everything here is a look at something that changes meanwhile: a process may be gone before its
 * line is read, which is no error. */
#include "procs.h"

#include "base/util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROCS_MAX 65536

/* Field numbers of proc(5), /proc/PID/stat; 3 is the first after the name. */
#define FIELD_STATE   3
#define FIELD_PPID    4
#define FIELD_SESSION 6
#define FIELD_START   22

bool proc_parse(const char *line, struct proc *ret)
{
    /* The name is in parentheses and may hold anything, also spaces and parentheses. */
    const char *at = strrchr(line, ')');
    struct proc p = {.pid = (pid_t)strtol(line, NULL, 10)};

    if (!at || p.pid <= 0)
        return false;
    at++;
    for (int field = FIELD_STATE; field <= FIELD_START; field++) {
        if (at[0] != ' ' || at[1] == '\0')
            return false;
        at++;
        if (field == FIELD_STATE)
            p.state = *at;
        else if (field == FIELD_PPID)
            p.ppid = (pid_t)strtol(at, NULL, 10);
        else if (field == FIELD_SESSION)
            p.sid = (pid_t)strtol(at, NULL, 10);
        else if (field == FIELD_START)
            p.start = strtoull(at, NULL, 10);
        at += strcspn(at, " \n");
    }
    *ret = p;
    return true;
}

bool proc_read(pid_t pid, struct proc *ret)
{
    char path[64], line[1024];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, line, sizeof(line) - 1);
    close(fd);
    if (n <= 0)
        return false;
    line[n] = '\0';
    return proc_parse(line, ret);
}

size_t procs_scan(struct proc **ret)
{
    DIR *dir = opendir("/proc");
    struct proc *list = NULL;
    size_t n = 0, cap = 0;
    struct dirent *entry;

    *ret = NULL;
    if (!dir)
        return 0;
    while (n < PROCS_MAX && (entry = readdir(dir))) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 256;
            list = xrealloc(list, cap * sizeof(*list));
        }
        if (proc_read((pid_t)strtol(entry->d_name, NULL, 10), &list[n]))
            n++;
    }
    closedir(dir);
    *ret = list;
    return n;
}

void proc_kill(const struct proc *p)
{
    struct proc now;
    int fd = pidfd_open(p->pid, 0);
    bool same;

    if (fd < 0 && errno == ESRCH)
        return;
    /* Looked at after the descriptor was opened: if it is the same now, the descriptor means it. */
    same = proc_read(p->pid, &now) && now.start == p->start;
    if (same && fd >= 0)
        (void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
    else if (same)
        (void)kill(p->pid, SIGKILL); /* kernel before 5.3 */
    if (fd >= 0)
        close(fd);
}

ino_t pipe_inode(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) ? st.st_ino : 0;
}

bool proc_has_pipe(pid_t pid, const ino_t *pipes, size_t n)
{
    for (int fd = 0; fd <= 2; fd++) {
        char path[64], target[64];
        ssize_t len;
        uintmax_t inode;

        snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)pid, fd);
        len = readlink(path, target, sizeof(target) - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        if (strncmp(target, "pipe:[", 6) != 0)
            continue;
        inode = strtoumax(target + 6, NULL, 10);
        for (size_t i = 0; i < n; i++)
            if (pipes[i] == (ino_t)inode)
                return true;
    }
    return false;
}
