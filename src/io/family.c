/* One scan is an array sorted by pid; `mine` marks the entries that belong to the family under
 * look. Marks spread from parents to children in as many passes as it takes, usually one, as
 * children mostly have the higher number. */
#include "family.h"

#include "base/util.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Depth of trees against the order of pids that one look follows; the next look goes on from there.
 */
#define PASSES_MAX 16

static LIST_HEAD(family_list, family) families = LIST_HEAD_INITIALIZER(families);

static struct {
    struct proc *procs;
    size_t n;
    uint64_t turn;
    bool valid;
} scan;

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const struct proc *)a)->pid, y = ((const struct proc *)b)->pid;

    return (x > y) - (x < y);
}

static const struct proc *find(const struct proc *list, size_t n, pid_t pid)
{
    struct proc key = {.pid = pid};

    return n > 0 ? bsearch(&key, list, n, sizeof(*list), by_pid) : NULL;
}

void family_forget_scan(void)
{
    scan.valid = false;
}

static void refresh_scan(uint64_t turn)
{
    if (scan.valid && scan.turn == turn)
        return;
    free(scan.procs);
    scan.n = procs_scan(&scan.procs);
    if (scan.n > 0)
        qsort(scan.procs, scan.n, sizeof(*scan.procs), by_pid);
    scan.turn = turn;
    scan.valid = true;
}

static bool was_member(const struct family *f, const struct proc *p)
{
    const struct proc *m = find(f->members, f->member_count, p->pid);

    return m && m->start == p->start;
}

/* A child of the leader or in its session. The session keeps the leader's number from being given
 * to another process; once it is empty, the number may come back as somebody else's. */
static bool is_near_leader(const struct family *f, const struct proc *p)
{
    const struct proc *now;

    if ((p->sid != f->leader && p->ppid != f->leader) || p->start < f->start)
        return false;
    now = find(scan.procs, scan.n, f->leader);
    return !now || now->start == f->start;
}

static bool is_leader(const struct proc *p)
{
    const struct family *f;

    LIST_FOREACH (f, &families, link) {
        if (f->leader == p->pid && f->start == p->start)
            return true;
    }
    return false;
}

/* Whether orphan p, on which f has no claim of its own, can be nobody else's. */
static bool is_unclaimed(const struct family *f, const struct proc *p)
{
    const struct family *g;

    LIST_FOREACH (g, &families, link) {
        if (g == f || p->start < g->start)
            continue;
        if (!g->closing || was_member(g, p) || is_near_leader(g, p))
            return false;
    }
    return true;
}

/* Whether p belongs to f for a reason that needs no parent in the family. */
static bool has_claim(const struct family *f, const struct proc *p)
{
    if (p->start < f->start)
        return false;
    if (was_member(f, p) || is_near_leader(f, p))
        return true;
    if (p->ppid != getpid())
        return false;
    return proc_has_pipe(p->pid, f->pipes, ARRAY_LEN(f->pipes)) || is_unclaimed(f, p);
}

static bool spread(bool *mine)
{
    bool changed = false;

    for (size_t i = 0; i < scan.n; i++) {
        const struct proc *parent;

        if (mine[i])
            continue;
        parent = find(scan.procs, scan.n, scan.procs[i].ppid);
        if (parent && mine[parent - scan.procs] && !is_leader(&scan.procs[i])) {
            mine[i] = true;
            changed = true;
        }
    }
    return changed;
}

static void keep_members(struct family *f, const bool *mine)
{
    size_t n = 0;

    for (size_t i = 0; i < scan.n; i++)
        n += mine[i] && scan.procs[i].state != 'Z';
    free(f->members);
    f->members = n > 0 ? xmalloc(n * sizeof(*f->members)) : NULL;
    f->member_count = 0;
    for (size_t i = 0; i < scan.n; i++)
        if (mine[i] && scan.procs[i].state != 'Z')
            f->members[f->member_count++] = scan.procs[i];
}

size_t family_look(struct family *f, uint64_t turn)
{
    bool *mine;

    refresh_scan(turn);
    mine = xcalloc(scan.n, sizeof(*mine));
    for (size_t i = 0; i < scan.n; i++)
        mine[i] = !is_leader(&scan.procs[i]) && has_claim(f, &scan.procs[i]);
    for (int i = 0; i < PASSES_MAX && spread(mine); i++)
        ;
    keep_members(f, mine);
    free(mine);
    return f->member_count;
}

void family_kill(const struct family *f)
{
    for (size_t i = 0; i < f->member_count; i++)
        proc_kill(&f->members[i]);
}

void family_init(struct family *f, pid_t leader, const int fds[3])
{
    struct proc p = {.start = 0};

    *f = (struct family){.leader = leader};
    /* Without /proc there are no members to find either. */
    (void)proc_read(leader, &p);
    f->start = p.start;
    for (int i = 0; i < 3; i++)
        f->pipes[i] = pipe_inode(fds[i]);
    LIST_INSERT_HEAD(&families, f, link);
    family_forget_scan();
}

void family_done(struct family *f)
{
    LIST_REMOVE(f, link);
    free(f->members);
    f->members = NULL;
    f->member_count = 0;
}
