/* The ledger is a memfd that lies in the descriptor store from the beginning, beside the sockets
 * that it tells of. One of another version of mcpool, or one that makes no sense, is dropped, and
 * all connections with it: each is closed with a line in the log, since nobody knows what they were
 * promised. */
#include "handover.h"

#include "base/log.h"
#include "base/util.h"
#include "front/ledger.h"
#include "io/fdstore.h"
#include "io/inherit.h"
#include "io/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEDGER_NAME "ledger"

/* Places for what is no connection: the ledger and listening sockets. */
#define STORE_OTHERS 32

/* More than any manager will keep. */
#define STORE_MAX 65536

struct handover {
    struct env *env;
    struct fdstore *fds;
    struct ledger *ledger;
    void *mem;
    size_t size;
    struct front_store store;
};

/* How many descriptors the manager keeps for us: systemd says it from version 254 on, our unit for
 * those before. */
static unsigned store_size(void)
{
    const char *text = getenv("FDSTORE");
    char *end;
    if (!text || !supervisor_present())
        return 0;
    unsigned long n = strtoul(text, &end, 10);
    return *text && !*end && n <= STORE_MAX ? (unsigned)n : 0;
}

static int put(void *arg, const char *name, int fd)
{
    struct handover *h = arg;
    return fdstore_put(h->fds, name, fd);
}

static void drop(void *arg, const char *name)
{
    struct handover *h = arg;
    fdstore_remove(h->fds, name);
}

static void *map(int fd, size_t size)
{
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED)
        return NULL;
    return mem;
}

static void unmap(struct handover *h)
{
    if (h->mem)
        munmap(h->mem, h->size);
    h->mem = NULL;
}

/* The ledger of the process before. */
static bool take_up(struct handover *h, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        (uint64_t)st.st_size > ledger_size(STORE_MAX))
        return false;
    h->size = (size_t)st.st_size;
    h->mem = map(fd, h->size);
    /* Nobody may take away under us what is mapped. */
    if (h->mem && (fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK))
        h->ledger = ledger_open(h->mem, h->size, false);
    if (!h->ledger)
        unmap(h);
    return h->ledger != NULL;
}

/* 0 or -errno. */
static int begin_anew(struct handover *h, unsigned records)
{
    int r;
    int fd = memfd_create("mcpool-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    h->size = ledger_size(records);
    if (ftruncate(fd, (off_t)h->size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ||
        !(h->mem = map(fd, h->size))) {
        r = -errno;
        close(fd);
        return r;
    }
    uint64_t first;
    env_random_bytes(h->env, &first, sizeof(first));
    h->ledger = ledger_open(h->mem, h->size, true);
    ledger_count_from(h->ledger, (first >> 2) + 1);
    r = fdstore_put(h->fds, LEDGER_NAME, fd);
    close(fd);
    return r;
}

static int open_ledger(struct handover *h, struct inherited *in, unsigned records)
{
    int fd = inherit_claim(in, LEDGER_NAME);
    bool good = fd >= 0 && take_up(h, fd);
    if (fd >= 0)
        close(fd);
    if (good) {
        fdstore_count_inherited(h->fds, 1 + inherit_count(in));
        return 0;
    }
    if (fd >= 0) {
        log_notice(LOG_CTX(.message_id = LOG_ID_HANDED_OVER),
                   "what the process before left cannot be gone on with: it was another "
                   "version of mcpool");
        fdstore_remove(h->fds, LEDGER_NAME);
    }
    return begin_anew(h, records);
}

struct handover *handover_start(struct loop *loop, struct front *front, struct inherited *inherited)
{
    unsigned size = store_size();
    if (size <= STORE_OTHERS)
        return NULL;
    struct handover *h = xcalloc(1, sizeof(*h));
    h->env = &loop->env;
    h->fds = fdstore_new(loop, size);
    int r = open_ledger(h, inherited, size - STORE_OTHERS);
    if (r < 0) {
        log_warning(LOG_CTX(.message_id = LOG_ID_SERVICE_MANAGER),
                    "client connections will not survive a restart: %s", strerror(-r));
        handover_free(h);
        return NULL;
    }
    h->store = (struct front_store){.ledger = h->ledger, .put = put, .remove = drop, .arg = h};
    front_keep(front, &h->store, inherited);
    return h;
}

void handover_free(struct handover *h)
{
    if (!h)
        return;
    ledger_close(h->ledger);
    unmap(h);
    fdstore_free(h->fds);
    free(h);
}
