/* The io_uring implementation of base/io.h: what its files share.
 *
 *   net/io_uring.c         the loop: io_create, io_wait, wake-ups, signals, io_destroy
 *   net/io_uring_setup.c   the ring and what the kernel offers; the text when it refuses
 *   net/io_uring_socket.c  listeners, connections, receive buffers
 *   net/io_uring_connect.c  outgoing connections
 *   net/io_uring_name.c    names of hosts, looked up on threads of their own
 *   net/io_uring_file.c    durable writes, and the helper thread that prepares files
 *
 * Nothing else includes liburing. */
#ifndef TILL_NET_IO_URING_H
#define TILL_NET_IO_URING_H

#include <assert.h>
#include <liburing.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/io.h"

enum {
    LISTENERS_MAX = 8,
    WRITES_MAX = 64,         /* durable writes in flight */
    DESCRIPTION_SIZE = 160,  /* bytes of io_describe's text */
    CONNECTIONS_SLACK = 256, /* file descriptors of this process that are not connections */
    BUFFER_HEADROOM = 64,    /* writable bytes before each buffer's bytes; also their alignment */
    BUFFERS_FIRST = 32,      /* receive buffers that the kernel has at the start */
    NONE = 0,                /* ends the lists that link connections by fd + 1 */
};

/* What a completion belongs to. The user_data that the kernel returns with it is
 *   operation (8 bits), generation (24 bits), target (32 bits): fd, listener, write or place among
 *   those that connect.
 * The generation is the connection's and changes when its fd is closed: a late completion cannot be
 * taken for one of the next connection with the same fd. Only OPERATION_CONNECT_BUSY has no target:
 * its 56 bits are the caller's `user`. */
enum operation {
    OPERATION_ACCEPT = 1,
    OPERATION_ACCEPT_DELAY,
    OPERATION_RECEIVE,
    OPERATION_SEND,
    OPERATION_CONNECT,
    OPERATION_CONNECT_TIMER,
    OPERATION_CONNECT_FAILED,
    OPERATION_CONNECT_BUSY,
    OPERATION_CANCEL_RECEIVE,
    OPERATION_CANCEL_SEND,
    OPERATION_CANCEL_CONNECT,
    OPERATION_WRITE,
    OPERATION_WAKE,
    OPERATION_SIGNAL,
    OPERATION_COUNT,
};

enum { GENERATION_MASK = (1 << 24) - 1 };

static inline uint64_t operation_data(enum operation operation, uint32_t generation,
                                      uint32_t target)
{
    return (uint64_t)operation << 56 | (uint64_t)(generation & GENERATION_MASK) << 32 | target;
}

/* One receive at a time per connection, and each is asked for by io_receive. A multishot receive
 * would cost less, but takes as many buffers at once as the peer fills, so that the owner could not
 * bound what one connection holds.
 *
 *   idle      --connection_arm----------------------------> armed
 *   idle      --io_receive, while still listed------------> starving
 *   armed     --receive_cancel (cancel, close)------------> canceling
 *   canceling --io_take_cancel: it found nothing----------> armed
 *   armed, canceling --receive_ended----------------------> idle; armed again, when it was canceled
 *                                                           and is wanted again
 *   armed, canceling --receive_ended, for want of buffers-> starving
 *   starving  --io_sockets_feed, once there are buffers---> armed
 *   starving  --receive_cancel (cancel, close)------------> idle */
enum receive_state { RECEIVE_IDLE, RECEIVE_ARMED, RECEIVE_CANCELING, RECEIVE_STARVING };

struct connection {
    uint64_t user_receive;
    uint64_t user_send;
    uint64_t user_close;
    uint32_t generation;
    uint32_t starving_next; /* fd + 1 */
    uint32_t closed_next;   /* fd + 1 */
    uint8_t receive;        /* enum receive_state */
    bool is_open;           /* between IO_ACCEPTED and IO_CLOSED */
    bool is_wanted;         /* the caller waits for an IO_RECEIVED */
    bool is_listed;         /* in the starving list; belongs to the fd and is kept across reuse */
    bool is_sending;
    bool is_closing;
};

static_assert(sizeof(struct connection) <= 64, "one cache line at most");

/* Lists of connections, first in first out. */
struct connection_list {
    uint32_t first; /* fd + 1 */
    uint32_t last;
};

struct listener {
    uint64_t user;
    int fd;
};

/* Receive buffers. The kernel uses those provided to it in order. Free ones are on a stack and only
 * few are provided at a time, so that the same buffers are used again while they are in the CPU's
 * cache, and the others are never touched: 12 % less time per receive and send than with all of
 * them provided (64 connections, 6 KiB each). The number provided doubles whenever it was too
 * small. */
struct buffers {
    struct io_uring_buf_ring *ring;
    uint8_t *memory;
    uint8_t *is_taken; /* by index: handed to the caller */
    uint16_t *free;    /* the stack */
    uint64_t stride_bytes;
    uint32_t size_bytes; /* of one buffer, without its headroom */
    uint32_t count;
    uint32_t free_count;
    uint32_t provided_count;
    uint32_t provided_target;
    bool was_short; /* since the last buffers_provide a receive found no buffer */
};

/* The addresses of one host that are tried: its first ones. */
enum { HOST_ADDRESSES_MAX = 4 };

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct host_addresses {
    union socket_address all[HOST_ADDRESSES_MAX];
    uint32_t count;
};

/* A connection that is being made:
 *
 *   free     --io_connect, of a number-------------------------------> trying
 *   free     --io_connect, of a name---------------------------------> naming
 *   free     --io_connect, which cannot even begin-------------------> failed
 *   naming   --io_connects_named-------------------------------------> trying
 *   naming   --io_connects_named: there is no such name--------------> failed
 *   naming   --io_take_connect_timer: IO_CONNECTED, -ETIMEDOUT-------> late
 *   late     --io_connects_named-------------------------------------> free
 *   trying   --io_take_connect: IO_CONNECTED-------------------------> free
 *   trying   --io_take_connect: refused, or canceled by the timer----> trying the next address
 *   trying   --the same, of the last address-------------------------> failed
 *   failed   --io_take_connect_failed: IO_CONNECTED, -errno----------> free
 *
 * A lookup cannot be interrupted, so its place is late until it ends: this bounds their number. */
enum connect_state { CONNECT_FREE, CONNECT_NAMING, CONNECT_TRYING, CONNECT_FAILED, CONNECT_LATE };

struct connect_place {
    uint64_t user;
    uint64_t deadline_us;
    struct lookup *lookup; /* naming, late */
    struct host_addresses addresses;
    uint32_t tried_count; /* of the addresses, the one that is tried included */
    uint32_t generation;  /* changes with each step: late completions are of an earlier one */
    struct __kernel_timespec timeout; /* of the step */
    int fd;                           /* trying */
    int result;                       /* why the last address failed */
    uint8_t state;                    /* enum connect_state */
    bool is_timed_out;                /* the step; it is being canceled */
};

struct write_slot {
    uint64_t user;
    const uint8_t *bytes; /* what is left to be written */
    uint64_t offset;
    uint32_t size_bytes;
    int file;
    uint32_t free_next; /* index + 1 */
};

/* A lane: a helper thread that runs one job at a time. The mutex guards the job's state. */
enum job_state { JOB_IDLE, JOB_ASKED, JOB_DONE };

struct lane {
    struct io *io;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t asked;
    enum job_state state;
    bool is_stopping;
    bool is_running;
    int (*work)(void *context);
    void *context;
    uint64_t user;
    uint8_t kind; /* of the event */
    int result;
};

struct prepare {
    struct disk *disk;
    const char *name;
    uint64_t size_bytes;
};

struct io {
    struct io_uring ring;
    bool has_ring;
    uint32_t spin_us;
    uint64_t ahead_us;
    unsigned enter_flags; /* of every io_uring_enter */
    struct buffers buffers;
    struct connection *connections; /* by fd */
    uint32_t connections_count;
    struct connection_list starving;
    struct connection_list closed; /* nothing is under way; their IO_CLOSED is still to come */
    struct listener listeners[LISTENERS_MAX];
    uint32_t listeners_count;
    struct connect_place connects[IO_CONNECTS_MAX];
    uint64_t connect_us_max; /* IO_CONNECT_US_MAX, but in tests */
    struct write_slot writes[WRITES_MAX];
    uint32_t writes_free; /* index + 1 */
    struct lane lanes[IO_LANE_COUNT];
    struct prepare prepare; /* of the log's lane */
    int wake_fd;
    int signal_fd;
    sigset_t signals_before;
    bool is_woken;
    uint32_t burst; /* how many events the last io_wait returned */
    char description[DESCRIPTION_SIZE];
};

/* net/io_uring.c: a submission entry with its user_data set. Submits first if the queue is full. */
struct io_uring_sqe *io_operation(struct io *io, enum operation operation, uint32_t generation,
                                  uint32_t target);

/* net/io_uring_setup.c: 0 or -errno, with a message. */
int io_ring_init(struct io *io, const struct io_options *options, char error[IO_ERROR_SIZE]);
void io_ring_deinit(struct io *io);

/* net/io_uring_socket.c */
int io_sockets_init(struct io *io, const struct io_options *options);
void io_sockets_deinit(struct io *io);
/* Arms starving connections. True when some still starve though there are buffers: then the loop
 * must not block. */
bool io_sockets_feed(struct io *io);
uint32_t io_sockets_closed(struct io *io, struct io_event *events, uint32_t events_max);
/* The options of every connection. */
bool io_socket_options_set(int fd);
/* Makes a connection of a connected socket: its fd, or -EMFILE, which closes it. */
int io_connection_open(struct io *io, int fd);

/* net/io_uring_connect.c */
void io_connects_init(struct io *io);
/* Goes on with those whose name was looked up. */
void io_connects_named(struct io *io);
/* Before the ring and the eventfd are closed: from here on no lookup uses the io. */
void io_connects_abandon(struct io *io);
void io_connects_deinit(struct io *io);

/* net/io_uring_name.c: the addresses of a host. Numeric ones only: 0, or -errno (-EHOSTUNREACH: it
 * is not numeric). */
int host_addresses_of_number(struct host_addresses *addresses, const struct address *address);
/* Looks a name up on another thread, which wakes the io when it has ended. NULL: it was refused. */
struct lookup *lookup_start(struct io *io, const struct address *address);
/* True when it has ended: with 0 and its addresses, or -errno. It is freed then. */
bool lookup_take(struct lookup *lookup, struct host_addresses *addresses, int *result);
/* Nobody waits for it any more; its thread frees it. */
void lookup_abandon(struct lookup *lookup);

/* net/io_uring_file.c */
int io_files_init(struct io *io);
void io_files_deinit(struct io *io);
bool io_job_done(struct io *io, struct io_event *event);

/* Takes in one completion; true when it filled in an event. */
typedef bool io_take(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event);
io_take io_take_accept, io_take_accept_delay, io_take_receive, io_take_send, io_take_cancel;
io_take io_take_connect, io_take_connect_timer, io_take_connect_failed, io_take_connect_busy;
io_take io_take_connect_cancel;
io_take io_take_write;

#endif
