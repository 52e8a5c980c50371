/* The I/O seam: everything the server asks of the outside world while it runs.
 *
 * A completion interface: calls start an operation, io_wait submits what was started and returns
 * events. Two implementations are linked under these names: net/io_uring.c, and the seeded
 * simulation of the tests. The same server runs on both. Nothing here blocks but io_wait.
 *
 * Every operation carries the caller's `user` (below 2^56), which comes back in its events. One
 * thread uses an io; io_wake alone may be called from others. */
#ifndef TILL_BASE_IO_H
#define TILL_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/id.h"

enum {
    IO_USER_BITS = 56,
    IO_ERROR_SIZE = 512,
    IO_EVENTS_MAX = 256,
    IO_CONNECTS_MAX = 8,             /* outgoing connections that are being made at a time */
    IO_CONNECT_US_MAX = 5000 * 1000, /* how long making one takes at most */
};

struct io;

struct io_options {
    uint32_t connections_max;
    uint32_t buffer_size;  /* bytes of one receive buffer; a power of two */
    uint32_t buffer_count; /* receive buffers in all; a power of two, at most 32768 */
    uint32_t spin_us;      /* microseconds that io_wait polls before it sleeps; 0: off */
    uint64_t ahead_us;     /* for tests: both clocks tell a time so far ahead of the machine's */
};

enum io_kind {
    IO_ACCEPTED = 1, /* result: the new connection's fd, or -errno (accepting goes on) */
    IO_RECEIVED,     /* result: bytes in `bytes`, 0 at the end of the stream, or -errno; after the
                        last two there is nothing more to receive */
    IO_SENT,         /* result: bytes sent, perhaps fewer than asked, or -errno */
    IO_CLOSED,       /* the connection's last event: its user may be used for another one */
    IO_WRITTEN,      /* result: 0 when all bytes are durable, or -errno: some may be, or none */
    IO_PREPARED,     /* result: 0 when the file exists, or -errno */
    IO_WORKED,       /* result: what the work returned */
    IO_CONNECTED,    /* result: the new connection's fd, or -errno: there is none */
    IO_STOP,         /* someone asks the process to stop (SIGTERM, SIGINT) */
};

struct io_event {
    uint64_t user;
    uint8_t *bytes; /* IO_RECEIVED: 64-byte aligned, writable, with 64 writable bytes before them */
    int32_t result;
    uint32_t buffer; /* IO_RECEIVED with result > 0: to give back with io_buffer_release */
    uint8_t kind;
};

/* Returns NULL on failure, with a message that names the cause and the remedy. */
struct io *io_create(const struct io_options *options, char error[IO_ERROR_SIZE]);
void io_destroy(struct io *io);

/* One line on what was found: kernel features in use. */
const char *io_describe(const struct io *io);

/* Starts what was asked for since the last call, waits until at least wait_events events are there
 * or timeout_us passed (0: does not wait; UINT64_MAX: no bound), and fills up to events_max.
 * Returns their number, or -errno when the io itself is broken. */
int io_wait(struct io *io, struct io_event *events, uint32_t events_max, uint32_t wait_events,
            uint64_t timeout_us);
void io_wake(struct io *io);

/* Microseconds since the machine was switched on, sleep included: how long anything takes. Goes on
 * at its own pace whatever is done to the wall clock. */
uint64_t io_time_us(struct io *io);

/* Microseconds since the Unix epoch, as the machine has it: it may be wrong, and may jump. */
uint64_t io_wall_us(struct io *io);

/* Names the time from one switching on of the machine to the next: within it, two readings of
 * io_time_us belong together, whichever process took them. Zero: unknown. */
struct id io_boot_id(struct io *io);

/* Binds ADDR:PORT ([ADDR]:PORT for IPv6; port 0: any free port), and accepts connections until
 * io_destroy. While the address is in use it tries again, for up to two seconds: this call may
 * block.
 * Returns the bound port, or -errno. */
int io_listen(struct io *io, const char *address, uint64_t user);

/* Connects to ADDR:PORT ([ADDR]:PORT for IPv6), where ADDR may be a host name; the text is copied.
 * One IO_CONNECTED ends it, within IO_CONNECT_US_MAX: -EINVAL when that is no address,
 * -EHOSTUNREACH when there is no host of that name, -ETIMEDOUT when there was no answer, -EBUSY
 * when IO_CONNECTS_MAX are under way already. A connection that was made is used and closed like an
 * accepted one. */
void io_connect(struct io *io, const char *address, uint64_t user);

/* Receives once, into one of the buffers that all connections share: one IO_RECEIVED, and nothing
 * more until the next call, so that the caller decides how many buffers a connection holds. After a
 * cancel, one IO_RECEIVED with bytes may still come. Each event's buffer must be given back. */
void io_receive(struct io *io, int fd, uint64_t user);
void io_receive_cancel(struct io *io, int fd, uint64_t user);
void io_buffer_release(struct io *io, uint32_t buffer);

/* One send at a time per connection; the bytes stay untouched until IO_SENT. */
void io_send(struct io *io, int fd, uint64_t user, const void *bytes, size_t size);

/* Cancels what is under way on the connection, closes it, and ends with IO_CLOSED. Closed in the
 * middle of a send it is reset: bytes that the peer has not received are dropped, also those that
 * the kernel has buffered. */
void io_close(struct io *io, int fd, uint64_t user);

/* Writes a durable block: aligned to WAL_ALIGN in memory, offset and size; untouched until
 * IO_WRITTEN. To a partial file it is durable only once that is published. Several may be in
 * flight; they may complete in any order. */
void io_write(struct io *io, struct disk *disk, int file, uint64_t offset, const void *bytes,
              size_t size, uint64_t user);

/* disk_create_zeroed off this thread; one at a time. name stays valid until IO_PREPARED. */
void io_prepare(struct io *io, struct disk *disk, const char *name, uint64_t size_bytes,
                uint64_t user);

/* Runs blocking work off this thread, such as the changes of base/disk.h. One at a time in each
 * lane: a segment that the log waits for is not kept waiting by a snapshot or an archive. Until
 * IO_WORKED, nobody else touches what the work touches. io_destroy waits for it. */
enum io_lane {
    IO_LANE_LOG,
    IO_LANE_SNAPSHOT,
    IO_LANE_ARCHIVE,
    IO_LANE_MEMORY,
    IO_LANE_CLOCK,
    IO_LANE_LINK,   /* reads files for replicas */
    IO_LANE_FOLLOW, /* writes what a replica fetches */
    IO_LANE_COUNT
};
void io_work(struct io *io, enum io_lane lane, int (*work)(void *context), void *context,
             uint64_t user);

#endif
