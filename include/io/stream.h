/* A bounded duplex byte stream over one or two descriptors (a socket, or a pair of pipes), built on
 * plain events: read until short, write once at the end of the turn, arm EV_WRITE only for what is
 * left.
 *
 * Reading: bytes collect in the input buffer up to in_max; on_input is called when there are new
 * ones and the owner consumes what it can use. When the buffer is full and the owner consumed
 * nothing, reading stops until it does (back-pressure to the peer). stream_pause stops reading by
 * hand.
 *
 * Writing: small pieces are copied, big ones are held by reference (blob). Nothing is ever refused
 * or dropped here: the owner looks at stream_pending and stops its source above its own HIGH mark;
 * on_drain tells when the output has fallen to drain_low.
 *
 * Lifetime: the owner frees the stream with stream_free, also from inside a callback; the memory
 * goes after the loop turn and no callback follows the call. */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include "base/blob.h"
#include "base/slice.h"
#include "io/loop.h"
#include "io/trace.h"

struct stream;

struct stream_ops {
    /* New input: look at stream_input, call stream_consume. Also called again after stream_resume
     * if unconsumed input waits, and after stream_again. */
    void (*on_input)(void *arg);
    /* The peer ended its side (orderly EOF); unconsumed input is still there. Output still works.
     */
    void (*on_eof)(void *arg);
    /* The stream is broken: err is a positive errno (EPIPE, ECONNRESET, …). Called once, from the
     * loop and never from inside stream_write; no further callback follows. When it was a write
     * that failed, input that the peer sent before is delivered first. The owner frees the stream;
     * the totals stay readable until then. */
    void (*on_error)(void *arg, int err);
    /* Output fell to drain_low or below after it had been above. May be NULL. */
    void (*on_drain)(void *arg);
};

struct stream_options {
    size_t in_max;    /* input buffer limit in bytes, below 4 GiB; default 64 KiB when 0 */
    size_t drain_low; /* see on_drain; as above */
};

/* Takes ownership of the descriptors (made non-blocking); rfd == wfd for a socket. Either may be -1
 * for a one-way stream. Reading starts at once. Never fails. */
struct stream *stream_new(struct loop *loop, int rfd, int wfd, const struct stream_options *opt,
                          const struct stream_ops *ops, void *arg);

/* Closes the descriptors and drops unsent output. Accepts NULL. */
void stream_free(struct stream *s);

/* Closes after everything queued was written, or after `linger` at the latest, then frees itself.
 * The owner must not use the stream afterwards; no callbacks follow. Input is read and thrown away
 * meanwhile, on a socket also between our end of output and the peer's (within `linger`): closing
 * over unread input would reset the connection and could take the last output with it. */
void stream_free_when_flushed(struct stream *s, usec_t linger);

/* The unconsumed input; borrowed until the next stream call or the return of the callback. */
struct slice stream_input(const struct stream *s);
void stream_consume(struct stream *s, size_t n); /* n <= what stream_input gave */
/* Whether the bytes of the present input can be read until on_input returns, even after they were
 * consumed and whatever becomes of the stream: they lie in memory that is not its own. */
bool stream_input_stays(const struct stream *s);

/* Raises or lowers the input limit (a parser that needs a larger piece at once). */
void stream_set_in_max(struct stream *s, size_t in_max);

/* Stops and restarts reading; nestable is not: two pauses need one resume. A peer that vanishes
 * while reading is stopped is noticed by the next write or after stream_resume. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/* Calls on_input at the end of this turn, whether there is input or not: for an owner that can go
 * on with what it left. */
void stream_again(struct stream *s);

/* Queues output; sent in one writev at the end of the turn. Does nothing after stream_end_output or
 * once the stream is broken. */
void stream_write(struct stream *s, const void *p, size_t n);
/* Queues n bytes that the caller writes to the place that is returned, all of them and before the
 * next call of a stream: a message of several parts needs neither several writes nor a copy of its
 * own. NULL where stream_write would do nothing. */
char *stream_extend(struct stream *s, size_t n);
/* Queues bytes [off, off+n) of b by reference (b is ref'ed). Small n is copied instead. */
void stream_write_blob(struct stream *s, struct blob *b, size_t off, size_t n);

/* Bytes queued and not yet handed to the kernel. */
size_t stream_pending(const struct stream *s);

/* Totals since creation. sent + pending = queued. A message whose last byte was queued at total q
 * has been handed to the kernel whole iff stream_sent_total >= q. */
uint64_t stream_queued_total(const struct stream *s);
uint64_t stream_sent_total(const struct stream *s);
uint64_t stream_received_total(const struct stream *s);

/* The peer of an output pipe is dead or about to be killed: takes what it has not read back out of
 * the pipe, so that nobody can read it any more. stream_sent_total falls by as much and from then
 * on tells what was really received. Returns the number of bytes; 0 as well when the output is no
 * pipe or /proc is not there, and then sent_total keeps its meaning. Nothing may be written
 * afterwards. */
size_t stream_take_back(struct stream *s);

/* Ends the output side after what is queued (shutdown(SHUT_WR), or close of wfd). */
void stream_end_output(struct stream *s);

/* ---- for those who go on with a socket after another process (io/trace.h) ---- */

/* For sockets. Keeps *trace up to date from now on; borrowed until stream_free or until another one
 * is set. NULL: no more. */
void stream_set_trace(struct stream *s, struct stream_trace *trace);

/* Directly after stream_new: another process has read `received` bytes of this socket and written
 * `sent`, and of what it read these last ones are input yet (copied, delivered from the loop). */
void stream_go_on(struct stream *s, uint64_t received, uint64_t sent, struct slice rest);

/* All streams read and write by way of *io from now on; call between turns. NULL: memory of our
 * own.
 */
void stream_use_io(struct stream_io *io);

/* Ends both directions of a socket at once, whoever else holds a descriptor of it: closing ours
 * alone would tell the peer nothing. Before stream_free. */
void stream_shut(struct stream *s);

/* The read and write descriptors, for getsockopt and the like; still owned by the stream. */
int stream_rfd(const struct stream *s);

/* Whether the peer of a socket has gone altogether, as against having ended its side only: asks the
 * kernel, for use after on_eof, when a stream without output watches nothing. Reliable on unix
 * sockets; on TCP only after a reset or when both sides have ended. false once broken or freed. */
bool stream_peer_gone(const struct stream *s);

#endif
