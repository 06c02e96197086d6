/* Reading of traces. */
#include "io/trace.h"

static uint64_t total(uint64_t known, uint32_t under_way, uint64_t base, uint32_t len)
{
    if (!under_way)
        return known;
    return len == STREAM_IO_NOTHING ? base : base + len;
}

uint64_t trace_received(const struct stream_trace *t, const struct stream_io *io)
{
    return total(t->received, t->reading, io->read_base, io->read.msg_len);
}

uint64_t trace_sent(const struct stream_trace *t, const struct stream_io *io)
{
    return total(t->sent, t->writing, io->write_base, io->write.msg_len);
}

uint64_t socket_identity(int fd)
{
    uint64_t cookie = 0;
    socklen_t n = sizeof(cookie);

    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) == 0 && n == sizeof(cookie) ? cookie
                                                                                          : 0;
}

void socket_shut(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
}
