/* Outgoing connections.
 *
 * Good path: a numeric address is connected to through the ring at once, a name after its addresses
 * were looked up on another thread (net/io_uring_name.c). The addresses of a host are tried one
 * after the other. The socket that connects becomes a connection like an accepted one.
 *
 * What can fail: each address, by being refused, unreachable or silent. A timer of the ring bounds
 * each step with an equal share of the time that is left, so that a silent address leaves some to
 * those after it. Failures are reported by IO_CONNECTED and never by the call: one that is known at
 * once goes through the ring as an operation that does nothing.
 *
 * What must hold: a socket is closed only when its operation has ended in the kernel; a completion
 * of an earlier step finds another generation and has no effect. */
#include "net/io_uring.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"

/* Restates what each state has. */
static void place_check(const struct connect_place *place)
{
    bool is_looking_up = place->state == CONNECT_NAMING || place->state == CONNECT_LATE;
    TILL_ASSERT((place->lookup != NULL) == is_looking_up);
    TILL_ASSERT((place->fd >= 0) == (place->state == CONNECT_TRYING));
    TILL_ASSERT(place->tried_count <= place->addresses.count);
    TILL_ASSERT(place->state != CONNECT_TRYING || place->tried_count > 0);
    TILL_ASSERT(place->state != CONNECT_FAILED || place->result < 0);
    TILL_ASSERT(!place->is_timed_out || place->state == CONNECT_TRYING);
}

static uint32_t place_index(const struct io *io, const struct connect_place *place)
{
    return (uint32_t)(place - io->connects);
}

/* The place whose step a completion belongs to; NULL when that step is over. */
static struct connect_place *place_of(struct io *io, const struct io_uring_cqe *cqe)
{
    struct connect_place *place = &io->connects[(uint32_t)cqe->user_data];
    uint32_t generation = (uint32_t)(cqe->user_data >> 32) & GENERATION_MASK;
    return place->generation == generation ? place : NULL;
}

static struct io_uring_sqe *place_operation(struct io *io, enum operation operation,
                                            const struct connect_place *place)
{
    return io_operation(io, operation, place->generation, place_index(io, place));
}

static void cancel(struct io *io, enum operation of, const struct connect_place *place)
{
    struct io_uring_sqe *sqe = place_operation(io, OPERATION_CANCEL_CONNECT, place);
    io_uring_prep_cancel64(sqe, operation_data(of, place->generation, place_index(io, place)), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static uint64_t left_us(const struct connect_place *place)
{
    uint64_t now_us = clock_monotonic_us();
    return place->deadline_us > now_us ? place->deadline_us - now_us : 0;
}

/* A step under way has a timer. The next step has its own, and another generation. */
static void step_begin(struct io *io, struct connect_place *place, enum connect_state state,
                       uint32_t shares)
{
    uint64_t share_us = left_us(place) / shares;
    place->state = (uint8_t)state;
    place->timeout = (struct __kernel_timespec){
        .tv_sec = (long long)(share_us / 1000000),
        .tv_nsec = (long long)(share_us % 1000000 * 1000),
    };
    io_uring_prep_timeout(place_operation(io, OPERATION_CONNECT_TIMER, place), &place->timeout, 0,
                          0);
}

static void step_end(struct io *io, struct connect_place *place, enum connect_state state)
{
    if (place->state == CONNECT_NAMING || place->state == CONNECT_TRYING)
        cancel(io, OPERATION_CONNECT_TIMER, place);
    place->generation = (place->generation + 1) & GENERATION_MASK;
    place->is_timed_out = false;
    place->fd = -1;
    place->state = (uint8_t)state;
}

static void place_fail(struct io *io, struct connect_place *place, int result)
{
    step_end(io, place, CONNECT_FAILED);
    place->result = result;
    io_uring_prep_nop(place_operation(io, OPERATION_CONNECT_FAILED, place));
    place_check(place);
}

/* A socket for one address, or -errno. */
static int socket_open(const struct io *io, const union socket_address *address)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    if ((uint32_t)fd < io->connections_count && io_socket_options_set(fd))
        return fd;
    int result = (uint32_t)fd < io->connections_count ? -errno : -EMFILE;
    close(fd);
    return result;
}

/* Tries the addresses that were not tried yet, until one is under way or the time is over. */
static void place_try(struct io *io, struct connect_place *place, int result)
{
    const struct host_addresses *addresses = &place->addresses;
    step_end(io, place, CONNECT_FAILED);
    while (place->tried_count < addresses->count) {
        if (left_us(place) == 0) {
            result = -ETIMEDOUT;
            break;
        }
        const union socket_address *address = &addresses->all[place->tried_count];
        uint32_t shares = addresses->count - place->tried_count++;
        socklen_t size =
            address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
        result = socket_open(io, address);
        if (result < 0)
            continue;
        place->fd = result;
        io_uring_prep_connect(place_operation(io, OPERATION_CONNECT, place), place->fd,
                              &address->any, size);
        step_begin(io, place, CONNECT_TRYING, shares);
        place_check(place);
        return;
    }
    place_fail(io, place, result);
}

void io_connect(struct io *io, const char *address, uint64_t user)
{
    struct connect_place *place = io->connects;
    struct address parts;
    TILL_ASSERT(user >> IO_USER_BITS == 0);
    while (place < io->connects + IO_CONNECTS_MAX && place->state != CONNECT_FREE)
        place++;
    if (place == io->connects + IO_CONNECTS_MAX) {
        struct io_uring_sqe *sqe = io_operation(io, OPERATION_CONNECT_BUSY, 0, 0);
        io_uring_prep_nop(sqe);
        sqe->user_data |= user;
        return;
    }
    place->user = user;
    place->deadline_us = clock_monotonic_us() + io->connect_us_max;
    place->tried_count = 0;
    place->addresses.count = 0;
    if (!address_split(&parts, address) || parts.host[0] == '\0') {
        place_fail(io, place, -EINVAL);
        return;
    }
    if (host_addresses_of_number(&place->addresses, &parts) == 0) {
        place_try(io, place, 0);
        return;
    }
    place->lookup = lookup_start(io, &parts);
    if (place->lookup == NULL) {
        place_fail(io, place, -EAGAIN);
        return;
    }
    step_begin(io, place, CONNECT_NAMING, 1);
    place_check(place);
}

void io_connects_named(struct io *io)
{
    for (uint32_t i = 0; i < IO_CONNECTS_MAX; i++) {
        struct connect_place *place = &io->connects[i];
        struct host_addresses addresses;
        int result;
        if (place->lookup == NULL || !lookup_take(place->lookup, &addresses, &result))
            continue;
        place->lookup = NULL;
        if (place->state == CONNECT_LATE) {
            step_end(io, place, CONNECT_FREE);
            continue;
        }
        place->addresses = addresses;
        place_try(io, place, result); /* without an address it fails with the result */
    }
}

static void report(const struct connect_place *place, int result, struct io_event *event)
{
    *event = (struct io_event){.user = place->user, .kind = IO_CONNECTED, .result = result};
}

bool io_take_connect(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    struct connect_place *place = place_of(io, cqe);
    TILL_ASSERT(place != NULL && place->state == CONNECT_TRYING); /* it ends the step */
    if (cqe->res == 0) {
        int fd = place->fd;
        step_end(io, place, CONNECT_FREE);
        report(place, io_connection_open(io, fd), event);
        return true;
    }
    close(place->fd);
    place_try(io, place, place->is_timed_out ? -ETIMEDOUT : cqe->res);
    return false;
}

bool io_take_connect_timer(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    struct connect_place *place = place_of(io, cqe);
    if (place == NULL)
        return false;
    if (place->state == CONNECT_TRYING) {
        place->is_timed_out = true;
        cancel(io, OPERATION_CONNECT, place);
        return false;
    }
    TILL_ASSERT(place->state == CONNECT_NAMING);
    step_end(io, place, CONNECT_LATE);
    place_check(place);
    report(place, -ETIMEDOUT, event);
    return true;
}

/* A cancellation that found nothing: of a timer that has run out, or of a connect that has ended or
 * was changing its state at that moment. The last of these is canceled again. */
bool io_take_connect_cancel(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    (void)event;
    const struct connect_place *place = place_of(io, cqe);
    if (place != NULL && place->is_timed_out)
        cancel(io, OPERATION_CONNECT, place);
    return false;
}

bool io_take_connect_failed(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    struct connect_place *place = place_of(io, cqe);
    TILL_ASSERT(place != NULL && place->state == CONNECT_FAILED);
    report(place, place->result, event);
    step_end(io, place, CONNECT_FREE);
    return true;
}

bool io_take_connect_busy(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    (void)io;
    *event = (struct io_event){
        .user = cqe->user_data & ((UINT64_C(1) << IO_USER_BITS) - 1),
        .kind = IO_CONNECTED,
        .result = -EBUSY,
    };
    return true;
}

void io_connects_init(struct io *io)
{
    io->connect_us_max = IO_CONNECT_US_MAX;
    for (uint32_t i = 0; i < IO_CONNECTS_MAX; i++)
        io->connects[i].fd = -1;
}

void io_connects_abandon(struct io *io)
{
    for (uint32_t i = 0; i < IO_CONNECTS_MAX; i++) {
        if (io->connects[i].lookup != NULL)
            lookup_abandon(io->connects[i].lookup);
        io->connects[i].lookup = NULL;
    }
}

void io_connects_deinit(struct io *io)
{
    for (uint32_t i = 0; i < IO_CONNECTS_MAX; i++) {
        if (io->connects[i].fd >= 0)
            close(io->connects[i].fd);
    }
}
