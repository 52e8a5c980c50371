/* The loop: one io_uring_enter per turn submits what was started and fetches what completed.
 *
 * Good path: calls fill submission entries; io_wait provides free receive buffers to the kernel,
 * enters it once, and turns completions into events. Under load it asks the kernel to wait for as
 * many completions as the last turn brought, but only for some microseconds: the kernel runs
 * deferred task work only until as many completions are there as are waited for (or about 20), so
 * waiting for more makes larger batches. If fewer come in that time, those are returned. Without
 * load the loop polls for a while before it sleeps, because waking a sleeping core takes about as
 * long as a write to the disk.
 *
 * What can fail: io_create, when the kernel refuses (net/io_uring_setup.c says why). Later errors
 * belong to a connection or a file and come as events.
 *
 * What must hold: this thread alone touches the ring (SINGLE_ISSUER); others only write to the
 * eventfd. Between io_close and IO_CLOSED no event of the connection is made, and none after. */
#include "net/io_uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    BURST_MIN = 8,      /* after a turn with so many events, io_wait waits for as many again, */
    BURST_WAIT_US = 10, /* for at most so long */
};

/* Submits the entries that were filled in, and waits until `want` completions are there or
 * timeout_us has passed. 0 or -errno. */
static int ring_enter(struct io *io, uint32_t want, uint64_t timeout_us)
{
    struct io_uring *ring = &io->ring;
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(timeout_us / 1000000),
        .tv_nsec = (long long)(timeout_us % 1000000 * 1000),
    };
    struct io_uring_getevents_arg argument = {
        .sigmask_sz = _NSIG / 8,
        .ts = (uint64_t)(uintptr_t)&timeout,
    };
    bool is_bounded = want > 0 && timeout_us != UINT64_MAX;
    unsigned flags = io->enter_flags | (is_bounded ? IORING_ENTER_EXT_ARG : 0);

    io_uring_smp_store_release(ring->sq.ktail, ring->sq.sqe_tail);
    int result = io_uring_enter2((unsigned)ring->enter_ring_fd, io_uring_sq_ready(ring), want,
                                 flags, is_bounded ? (sigset_t *)&argument : NULL, sizeof argument);
    /* Timeout, a signal, or the kernel is short of memory for now: entries that were not submitted
     * stay in the queue for the next turn. */
    if (result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY)
        return 0;
    return result < 0 ? result : 0;
}

struct io_uring_sqe *io_operation(struct io *io, enum operation operation, uint32_t generation,
                                  uint32_t target)
{
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&io->ring)) == NULL)
        TILL_ASSERT(ring_enter(io, 0, UINT64_MAX) == 0);
    sqe->user_data = operation_data(operation, generation, target);
    return sqe;
}

/* A poll and a read(2) rather than a read through the ring: these events are rare, and a poll never
 * needs a worker thread, on any kernel and for any kind of file. */
static void poll_arm(struct io *io, enum operation operation, int fd)
{
    io_uring_prep_poll_add(io_operation(io, operation, 0, 0), fd, POLLIN);
}

static bool take_wake(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    (void)cqe;
    uint64_t value;
    (void)!read(io->wake_fd, &value, sizeof value); /* resets it; it may be empty already */
    poll_arm(io, OPERATION_WAKE, io->wake_fd);
    io->is_woken = true;
    io_connects_named(io);
    return io_job_done(io, event);
}

static bool take_signal(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    (void)cqe;
    struct signalfd_siginfo signal;
    ssize_t size = read(io->signal_fd, &signal, sizeof signal);
    poll_arm(io, OPERATION_SIGNAL, io->signal_fd);
    if (size != sizeof signal)
        return false;
    *event = (struct io_event){.kind = IO_STOP, .result = (int32_t)signal.ssi_signo};
    return true;
}

static io_take *const take[OPERATION_COUNT] = {
    [OPERATION_ACCEPT] = io_take_accept,
    [OPERATION_ACCEPT_DELAY] = io_take_accept_delay,
    [OPERATION_RECEIVE] = io_take_receive,
    [OPERATION_SEND] = io_take_send,
    [OPERATION_CONNECT] = io_take_connect,
    [OPERATION_CONNECT_TIMER] = io_take_connect_timer,
    [OPERATION_CONNECT_FAILED] = io_take_connect_failed,
    [OPERATION_CONNECT_BUSY] = io_take_connect_busy,
    [OPERATION_CANCEL_RECEIVE] = io_take_cancel,
    [OPERATION_CANCEL_SEND] = io_take_cancel,
    [OPERATION_CANCEL_CONNECT] = io_take_connect_cancel,
    [OPERATION_WRITE] = io_take_write,
    [OPERATION_WAKE] = take_wake,
    [OPERATION_SIGNAL] = take_signal,
};

/* Turns completions into events. */
static uint32_t ring_reap(struct io *io, struct io_event *events, uint32_t events_max)
{
    uint32_t count = 0;
    unsigned taken = 0;
    unsigned ready = io_uring_cq_ready(&io->ring);
    unsigned head = *io->ring.cq.khead;
    while (taken < ready && count < events_max) {
        const struct io_uring_cqe *cqe = &io->ring.cq.cqes[(head + taken) & io->ring.cq.ring_mask];
        unsigned operation = (unsigned)(cqe->user_data >> 56);
        TILL_ASSERT(operation > 0 && operation < OPERATION_COUNT);
        if (take[operation](io, cqe, &events[count]))
            count++;
        taken++;
    }
    io_uring_cq_advance(&io->ring, taken);
    return count;
}

int io_wait(struct io *io, struct io_event *events, uint32_t events_max, uint32_t wait_events,
            uint64_t timeout_us)
{
    TILL_ASSERT(events_max > 0 && wait_events <= events_max);
    bool is_endless = timeout_us == UINT64_MAX;
    uint64_t start_us = timeout_us == 0 ? 0 : clock_monotonic_us();
    uint64_t end_us = is_endless ? 0 : start_us + timeout_us;
    uint64_t left_us = timeout_us;
    uint32_t count = io_sockets_closed(io, events, events_max);
    uint32_t burst = io->burst < events_max - count ? io->burst : events_max - count;
    io->is_woken = false;

    for (;;) {
        /* Waits for one event at a time and checks again, so that io_wake ends the wait early. */
        uint32_t want = count < wait_events && left_us > 0 ? 1 : 0;
        uint64_t bound_us = left_us;
        if (want > 0 && burst >= BURST_MIN) {
            want = burst;
            bound_us = left_us < BURST_WAIT_US ? left_us : BURST_WAIT_US;
        }
        burst = 0;
        if (want == 1 && io->spin_us > 0 && clock_monotonic_us() - start_us < io->spin_us) {
            want = 0;
            sched_yield(); /* lets a kernel thread run that completes a write on this core */
        }
        /* If only starving connections can bring an event, waiting would never end. */
        if (io_sockets_feed(io))
            want = 0;

        int error = ring_enter(io, want, bound_us);
        if (error != 0)
            return error;
        count += ring_reap(io, events + count, events_max - count);
        if (count >= wait_events || io->is_woken || left_us == 0)
            break;
        if (!is_endless) {
            uint64_t now_us = clock_monotonic_us();
            left_us = now_us < end_us ? end_us - now_us : 0;
        }
    }
    io->burst = count;
    return (int)count;
}

void io_wake(struct io *io)
{
    uint64_t one = 1;
    (void)!write(io->wake_fd, &one, sizeof one); /* fails only when a wake-up is pending already */
}

uint64_t io_time_us(struct io *io)
{
    return clock_read_us(CLOCK_BOOTTIME) + io->ahead_us;
}

/* A clock before 1970 is wrong anyway, and counts as 0. */
uint64_t io_wall_us(struct io *io)
{
    return clock_wall_us() + io->ahead_us;
}

struct id io_boot_id(struct io *io)
{
    (void)io;
    char text[ID_TEXT_SIZE];
    struct id id = {0};
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return id;
    ssize_t size = read(file, text, sizeof text);
    close(file);
    if (size > 0 && text[size - 1] == '\n')
        size--;
    if (size <= 0 || !id_parse(text, (size_t)size, &id))
        id = (struct id){0};
    return id;
}

const char *io_describe(const struct io *io)
{
    return io->description;
}

/* SIGTERM and SIGINT come as events from here on. They are blocked before any thread is started, so
 * that no thread receives them. */
static int signals_init(struct io *io)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, &io->signals_before);
    io->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    io->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return io->signal_fd < 0 || io->wake_fd < 0 ? -errno : 0;
}

struct io *io_create(const struct io_options *options, char error[IO_ERROR_SIZE])
{
    struct io *io = calloc(1, sizeof *io);
    if (io == NULL) {
        snprintf(error, IO_ERROR_SIZE, "no memory for the I/O loop");
        return NULL;
    }
    io->wake_fd = -1;
    io->signal_fd = -1;
    io->spin_us = options->spin_us;
    io->ahead_us = options->ahead_us;
    io_connects_init(io);
    int result = signals_init(io);
    if (result == 0)
        result = io_sockets_init(io, options);
    if (result == 0)
        result = io_files_init(io);
    if (result != 0)
        snprintf(error, IO_ERROR_SIZE, "setting up the I/O loop: %s", strerror(-result));
    else
        result = io_ring_init(io, options, error);
    if (result != 0) {
        io_destroy(io);
        return NULL;
    }
    poll_arm(io, OPERATION_WAKE, io->wake_fd);
    poll_arm(io, OPERATION_SIGNAL, io->signal_fd);
    return io;
}

void io_destroy(struct io *io)
{
    if (io == NULL)
        return;
    io_files_deinit(io);
    io_connects_abandon(io);
    io_ring_deinit(io);
    io_connects_deinit(io);
    io_sockets_deinit(io);
    if (io->wake_fd >= 0)
        close(io->wake_fd);
    if (io->signal_fd >= 0)
        close(io->signal_fd);
    pthread_sigmask(SIG_SETMASK, &io->signals_before, NULL);
    free(io);
}
