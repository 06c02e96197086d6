/* What a stream leaves behind for whoever goes on with its socket after the process died without a
 * word: a few numbers in memory that outlives the process (a memfd), written by plain stores around
 * each read and write.
 *
 * The process may die between any two instructions, but never within a system call that does not
 * wait: what it was in at that moment has happened whole. What came of it is known too, because the
 * kernel itself writes the number of bytes into that memory, before the call returns: that is what
 * recvmmsg and sendmmsg are used for, with one message each. */
#ifndef IO_TRACE_H
#define IO_TRACE_H

#include <stdint.h>
#include <sys/socket.h>

/* One per connection. */
struct stream_trace {
    uint64_t serial;   /* which connection this is; 0: none. Not written by the stream */
    uint64_t received; /* bytes read */
    uint64_t sent;     /* bytes handed to the kernel */
    uint64_t flushed;  /* `sent` when there was last nothing more to send: between two messages */
    uint64_t target;   /* what `sent` would become by the write under way, if taken whole */
    uint32_t reading, writing; /* 1: around the system call; then stream_io says what came of it */
};

#define STREAM_BYTES_MAX (64 * 1024)

/* The system call under way, or the latest one. One for all streams. */
struct stream_io {
    uint64_t read_base, write_base; /* the total before the call */
    struct mmsghdr read, write; /* msg_len: by the kernel; STREAM_IO_NOTHING: it did not write */
    /* The bytes of the latest read. They are still there when the process died while it looked at
     * them. */
    uint64_t owner; /* trace.serial of the stream that they belong to; 0: of none that is traced */
    uint64_t at;    /* its `received` before them */
    char bytes[STREAM_BYTES_MAX];
};

#define STREAM_IO_NOTHING UINT32_MAX

/* In program order as seen from outside; costs nothing on x86. */
#define TRACE_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

/* The bytes that were really read from a socket, and really written to it. */
uint64_t trace_received(const struct stream_trace *t, const struct stream_io *io);
uint64_t trace_sent(const struct stream_trace *t, const struct stream_io *io);

/* What tells this socket from every other one since the machine was started, whoever holds a
 * descriptor of it; 0: it is none. */
uint64_t socket_identity(int fd);

/* Ends both directions of a socket at once, whoever else holds a descriptor of it. */
void socket_shut(int fd);

#endif
