/* base/io.h on the simulated machine.
 *
 * Every pending operation has a time at which it is due: connections to be made or accepted, bytes
 * to be received, sends, closes, writes, the preparation of a file. io_wait takes what is due in
 * random order, one at a time; when nothing is, it moves the simulated time to the next thing or to
 * its timeout, so it never blocks. Sends and writes happen in two steps, the effect first and its
 * event later, because a crash may come between the two.
 *
 * Between io_close and IO_CLOSED the interface leaves open whether pending operations still report
 * their end; both happen here.
 *
 * A failed write is the last event of its io_wait, unless it was refused for want of room: the
 * server stops there, and events that it did not handle any more would be missing when its memory
 * is freed.
 *
 * The promises of the interface are tested from both sides. Each buffer is its own allocation of
 * exactly the promised size, so that the address sanitizer sees an access outside or a use after
 * io_buffer_release; bytes handed to io_send and io_write are compared, by checksum, when they are
 * taken; names, handles and users must belong to something open. */
#include "tests/sim/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/checksum.h"
#include "base/limits.h"

enum {
    WRITES_MAX = 64,
    HEADROOM = 64,
    SENT_MAX = 65536, /* in one go */
    FD_FIRST = 3,
    PORT_FREE = 40000,
    ATTEMPTS_MAX = 2 * IO_CONNECTS_MAX, /* those that are too many included */
    CONNECT_AGAIN_US = 500 * 1000,      /* between two tries to reach a machine, at most */
};

struct write {
    struct sim_file *file;
    const uint8_t *bytes;
    uint64_t offset;
    uint64_t size;
    uint64_t checksum;
    uint64_t user;
    uint64_t due_us;
    int32_t result;
    bool active;
    bool settled;
    bool failed; /* and reported: nothing more happens to it, and its slot may be reused */
};

struct prepare {
    struct sim_folder *folder;
    const char *name;
    char name_copy[DISK_NAME_SIZE];
    uint64_t size_bytes;
    uint64_t user;
    uint64_t due_us;
    int32_t result;
    bool active;
    bool settled;
};

struct job {
    int (*work)(void *context);
    void *context;
    uint64_t user;
    uint64_t due_us;
    int32_t result;
    bool active;
    bool settled;
};

/* A connection to be made. */
struct attempt {
    struct sim_machine *to; /* NULL: it fails with the result */
    int port;
    uint64_t user;
    uint64_t due_us;
    uint64_t deadline_us;
    int32_t result;
    bool active;
};

struct io {
    struct sim_machine *machine; /* NULL: it has crashed */
    uint64_t crash_us;           /* when, by the time since the boot, */
    uint64_t crash_wall_us;      /* and by the wall clock */
    struct io_options options;
    uint64_t listen_user;
    int port;
    bool listening;
    uint8_t **buffers; /* by number; NULL: free */
    uint32_t buffers_free;
    struct write writes[WRITES_MAX];
    struct prepare prepare;
    struct job jobs[IO_LANE_COUNT];
    struct attempt attempts[ATTEMPTS_MAX];
};

enum happening { ACCEPT, RECEIVE, SEND, CLOSE, BREAK, WRITE, PREPARE, WORK, STOP, CONNECT };

/* One of the operations that are due, and when the next one is. */
struct choice {
    uint64_t next_us;
    uint32_t due_count;
    enum happening what;
    uint32_t index;
};

struct io *io_create(const struct io_options *options, char error[IO_ERROR_SIZE])
{
    struct sim_machine *machine = sim_machine_current;
    TILL_ASSERT(machine->io == NULL);
    struct io *io = calloc(1, sizeof *io);
    TILL_ASSERT(io != NULL);
    error[0] = '\0';
    io->machine = machine;
    io->options = *options;
    io->buffers = calloc(options->buffer_count, sizeof *io->buffers);
    TILL_ASSERT(io->buffers != NULL);
    io->buffers_free = options->buffer_count;
    machine->io = io;
    machine->stop_asked = false;
    return io;
}

static uint64_t time_us(const struct sim_machine *machine)
{
    return machine->sim->now_us - machine->boot_us;
}

static uint64_t wall_us(const struct sim_machine *machine)
{
    return machine->sim->now_us + (uint64_t)machine->clock_us;
}

static void job_run(struct job *job)
{
    job->result = job->work(job->context);
    job->settled = true;
}

/* Pending operations end as a crash ends them; clients see their connection broken or closed. */
static void end(struct io *io, bool broken)
{
    struct sim_machine *machine = io->machine;
    for (uint32_t i = 0; i < WRITES_MAX; i++) {
        struct write *write = &io->writes[i];
        if (!write->active || write->settled)
            continue;
        if (!machine->dying)
            sim_file_tear(machine, write->file, write->offset, write->bytes, write->size);
        sim_file_release(write->file);
        write->settled = true;
    }
    struct prepare *prepare = &io->prepare;
    if (prepare->active && !prepare->settled && !machine->dying && sim_chance(machine, 50))
        sim_file_create(prepare->folder, prepare->name_copy, prepare->size_bytes);
    for (uint32_t i = 0; i < IO_LANE_COUNT; i++) {
        struct job *job = &io->jobs[i];
        if (job->active && !job->settled && !machine->dying && sim_chance(machine, 50))
            job_run(job);
    }
    for (uint32_t i = machine->client_count; i-- > 0;) {
        struct sim_client *client = machine->clients[i];
        if (client->state == SIM_GONE)
            continue;
        const struct sim_send *send = &client->send;
        if (client->state == SIM_OPEN && !client->broken && send->active && !send->copied)
            sim_network_send(client, send->bytes, sim_random_below(machine, send->size));
        if (broken && sim_chance(machine, 50))
            sim_network_lose(client);
        if (broken)
            sim_network_leave(client, SIM_VANISH);
        sim_client_cut(client, broken);
    }
    io->crash_us = time_us(machine);
    io->crash_wall_us = wall_us(machine);
    machine->io = NULL;
    io->machine = NULL;
}

void sim_io_crash(struct io *io)
{
    end(io, true);
}

void io_destroy(struct io *io)
{
    if (io->machine != NULL)
        end(io, false);
    for (uint32_t buffer = 0; buffer < io->options.buffer_count; buffer++)
        free(io->buffers[buffer]);
    free(io->buffers);
    free(io);
}

const char *io_describe(const struct io *io)
{
    (void)io;
    return "simulated";
}

static uint64_t network_due(struct sim_machine *machine)
{
    return machine->sim->now_us + sim_delay_us(machine, machine->network_delay_us_max);
}

static uint64_t write_due(struct sim_machine *machine)
{
    return machine->sim->now_us + sim_delay_us(machine, machine->write_delay_us_max);
}

static bool may_receive(const struct io *io, const struct sim_client *client)
{
    if (client->received_end || (!client->receiving && !client->may_come_late))
        return false;
    if (!sim_network_reaches(client))
        return client->receiving && client->broken && io->buffers_free > 0;
    if (sim_stream_size(&client->up) > 0)
        return io->buffers_free > 0;
    return client->receiving && (client->finished || client->broken);
}

static bool may_send(struct sim_client *client)
{
    return client->send.active &&
           (client->send.copied || client->broken || sim_network_room(client) > 0);
}

/* Every candidate that is due has the same probability, independent of their order. */
static void consider(struct io *io, struct choice *choice, uint64_t due_us, enum happening what,
                     uint32_t index)
{
    if (due_us > io->machine->sim->now_us) {
        if (due_us < choice->next_us)
            choice->next_us = due_us;
        return;
    }
    if (sim_random_below(io->machine, ++choice->due_count) == 0) {
        choice->what = what;
        choice->index = index;
    }
}

static void consider_client(struct io *io, struct choice *choice, uint32_t index)
{
    struct sim_client *client = io->machine->clients[index];
    if (client->state == SIM_GONE)
        return;
    if (client->break_us > 0 && sim_network_reaches(client))
        consider(io, choice, client->break_us, BREAK, index);
    if (client->give_up_us > 0)
        consider(io, choice, client->give_up_us, BREAK, index);
    if (client->state == SIM_CONNECTING) {
        if (io->listening)
            consider(io, choice, client->up_due_us, ACCEPT, index);
        return;
    }
    if (may_receive(io, client))
        consider(io, choice, client->up_due_us, RECEIVE, index);
    if (may_send(client))
        consider(io, choice, client->send.due_us, SEND, index);
    if (client->state == SIM_CLOSING && !client->send.active)
        consider(io, choice, client->close_due_us, CLOSE, index);
}

static struct choice choose(struct io *io)
{
    struct choice choice = {.next_us = UINT64_MAX};
    for (uint32_t i = 0; i < io->machine->client_count; i++)
        consider_client(io, &choice, i);
    for (uint32_t i = 0; i < WRITES_MAX; i++) {
        if (io->writes[i].active && !io->writes[i].failed)
            consider(io, &choice, io->writes[i].due_us, WRITE, i);
    }
    if (io->prepare.active)
        consider(io, &choice, io->prepare.due_us, PREPARE, 0);
    for (uint32_t i = 0; i < IO_LANE_COUNT; i++) {
        if (io->jobs[i].active)
            consider(io, &choice, io->jobs[i].due_us, WORK, i);
    }
    if (io->machine->stop_asked)
        consider(io, &choice, 0, STOP, 0);
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++) {
        if (io->attempts[i].active)
            consider(io, &choice, io->attempts[i].due_us, CONNECT, i);
    }
    return choice;
}

static int free_fd(const struct sim_machine *machine)
{
    bool used[FD_FIRST + SIM_CLIENTS_MAX] = {false};
    int fd = FD_FIRST;
    for (uint32_t i = 0; i < machine->client_count; i++) {
        if (machine->clients[i]->fd >= 0)
            used[machine->clients[i]->fd] = true;
    }
    while (used[fd])
        fd++;
    return fd;
}

/* The operations. Each fills the event and returns true, or returns false when it has none yet. */
static bool accept_happens(struct io *io, uint32_t index, struct io_event *event)
{
    struct sim_client *client = io->machine->clients[index];
    *event = (struct io_event){.kind = IO_ACCEPTED, .user = io->listen_user};
    if (sim_chance(io->machine, 2)) {
        event->result = -ECONNABORTED;
        return true;
    }
    client->state = SIM_OPEN;
    client->fd = free_fd(io->machine);
    client->up_due_us = sim_network_due(client);
    event->result = client->fd;
    return true;
}

static bool receive_happens(struct io *io, uint32_t index, struct io_event *event)
{
    struct sim_client *client = io->machine->clients[index];
    *event = (struct io_event){.kind = IO_RECEIVED, .user = client->receive_user};
    client->receiving = client->may_come_late = false;
    size_t size = sim_stream_size(&client->up);
    if (size == 0) {
        client->received_end = true;
        event->result = client->broken ? -ECONNRESET : 0;
        return true;
    }
    if (size > client->piece)
        size = client->piece;
    if (size > io->options.buffer_size)
        size = io->options.buffer_size;
    if (sim_chance(io->machine, 50))
        size = 1 + sim_random_below(io->machine, size);
    while (io->buffers[event->buffer] != NULL)
        event->buffer++;
    void *memory;
    TILL_ASSERT(posix_memalign(&memory, 64, HEADROOM + size) == 0);
    io->buffers[event->buffer] = memory;
    io->buffers_free--;
    event->bytes = io->buffers[event->buffer] + HEADROOM;
    event->result = (int32_t)sim_stream_take(&client->up, event->bytes, size);
    sim_network_confirm(client, size);
    client->up_due_us = network_due(io->machine);
    return true;
}

/* Of the bytes that one send may take. */
static uint64_t send_checksum(const void *bytes, size_t size)
{
    return checksum64(bytes, size < SENT_MAX ? size : SENT_MAX);
}

static bool send_happens(struct io *io, uint32_t index, struct io_event *event)
{
    struct sim_client *client = io->machine->clients[index];
    struct sim_send *send = &client->send;
    TILL_ASSERT(send_checksum(send->bytes, send->size) == send->checksum);
    if (send->copied) {
        send->active = false;
        *event = (struct io_event){.kind = IO_SENT, .user = send->user, .result = send->result};
        return true;
    }
    if (client->broken) {
        send->result = sim_chance(io->machine, 50) ? -EPIPE : -ECONNRESET;
    } else {
        size_t size = sim_network_room(client);
        if (size > client->piece)
            size = client->piece;
        if (size > send->size)
            size = send->size;
        if (size > SENT_MAX)
            size = SENT_MAX;
        if (sim_chance(io->machine, 30))
            size = 1 + sim_random_below(io->machine, size);
        sim_network_send(client, send->bytes, size);
        send->result = (int32_t)size;
    }
    send->copied = true;
    send->due_us = network_due(io->machine);
    return false;
}

static bool close_happens(struct io *io, uint32_t index, struct io_event *event)
{
    struct sim_client *client = io->machine->clients[index];
    *event = (struct io_event){.kind = IO_CLOSED, .user = client->close_user};
    sim_client_cut(client, client->is_reset);
    return true;
}

static bool break_happens(struct io *io, uint32_t index, struct io_event *event)
{
    (void)event;
    sim_network_broken(io->machine->clients[index]);
    return false;
}

static bool write_happens(struct io *io, uint32_t index, struct io_event *event)
{
    struct write *write = &io->writes[index];
    if (write->settled) {
        write->failed = write->result < 0 && !disk_is_full(write->result);
        write->active = write->failed;
        *event =
            (struct io_event){.kind = IO_WRITTEN, .user = write->user, .result = write->result};
        return true;
    }
    TILL_ASSERT(checksum64(write->bytes, write->size) == write->checksum);
    write->result =
        sim_file_write_later(io->machine, write->file, write->offset, write->bytes, write->size);
    sim_file_release(write->file);
    write->settled = true;
    write->due_us = write_due(io->machine);
    return false;
}

static bool prepare_happens(struct io *io, uint32_t index, struct io_event *event)
{
    struct prepare *prepare = &io->prepare;
    (void)index;
    TILL_ASSERT(strcmp(prepare->name, prepare->name_copy) == 0);
    if (prepare->settled) {
        prepare->active = false;
        *event = (struct io_event){
            .kind = IO_PREPARED, .user = prepare->user, .result = prepare->result};
        return true;
    }
    prepare->result = io->machine->dying
                          ? -EIO
                          : sim_file_create(prepare->folder, prepare->name, prepare->size_bytes);
    prepare->settled = true;
    prepare->due_us = write_due(io->machine);
    return false;
}

static bool work_happens(struct io *io, uint32_t index, struct io_event *event)
{
    struct job *job = &io->jobs[index];
    if (job->settled) {
        job->active = false;
        *event = (struct io_event){.kind = IO_WORKED, .user = job->user, .result = job->result};
        return true;
    }
    job_run(job);
    job->due_us = write_due(io->machine);
    return false;
}

static bool stop_happens(struct io *io, uint32_t index, struct io_event *event)
{
    (void)index;
    io->machine->stop_asked = false;
    *event = (struct io_event){.kind = IO_STOP, .result = SIGTERM};
    return true;
}

/* A machine that cannot be reached is tried again until the time is over. */
static bool connect_happens(struct io *io, uint32_t index, struct io_event *event)
{
    struct sim_machine *machine = io->machine;
    struct attempt *attempt = &io->attempts[index];
    uint64_t now_us = machine->sim->now_us;
    if (attempt->to != NULL && !sim_network_is_whole(machine, attempt->to)) {
        if (now_us < attempt->deadline_us) {
            attempt->due_us = now_us + 1 + sim_random_below(machine, CONNECT_AGAIN_US);
            if (attempt->due_us > attempt->deadline_us)
                attempt->due_us = attempt->deadline_us;
            return false;
        }
        attempt->result = -ETIMEDOUT;
    } else if (attempt->to != NULL && sim_io_listens(attempt->to, attempt->port)) {
        struct sim_client *client = sim_network_connect(machine, attempt->to);
        client->fd = free_fd(machine);
        attempt->result = client->fd;
    }
    attempt->active = false;
    *event =
        (struct io_event){.kind = IO_CONNECTED, .user = attempt->user, .result = attempt->result};
    return true;
}

/* After the crash: operations that were pending or failed report success, so that the dead server
 * can free its memory. */
static int wait_dead(struct io *io, struct io_event *events, uint32_t events_max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < WRITES_MAX && count < events_max; i++) {
        if (io->writes[i].active)
            events[count++] = (struct io_event){.kind = IO_WRITTEN, .user = io->writes[i].user};
        io->writes[i].active = false;
    }
    if (io->prepare.active && count < events_max) {
        events[count++] =
            (struct io_event){.kind = IO_PREPARED, .user = io->prepare.user, .result = -ENOSPC};
        io->prepare.active = false;
    }
    for (uint32_t i = 0; i < IO_LANE_COUNT && count < events_max; i++) {
        struct job *job = &io->jobs[i];
        if (!job->active)
            continue;
        if (!job->settled)
            job_run(job);
        events[count++] =
            (struct io_event){.kind = IO_WORKED, .user = job->user, .result = job->result};
        job->active = false;
    }
    return (int)count;
}

int io_wait(struct io *io, struct io_event *events, uint32_t events_max, uint32_t wait_events,
            uint64_t timeout_us)
{
    static bool (*const happens[])(struct io *, uint32_t, struct io_event *) = {
        [ACCEPT] = accept_happens,   [RECEIVE] = receive_happens, [SEND] = send_happens,
        [CLOSE] = close_happens,     [BREAK] = break_happens,     [WRITE] = write_happens,
        [PREPARE] = prepare_happens, [WORK] = work_happens,       [STOP] = stop_happens,
        [CONNECT] = connect_happens,
    };
    struct sim_machine *machine = io->machine;
    TILL_ASSERT(events_max > 0);
    if (machine == NULL)
        return wait_dead(io, events, events_max);
    machine->sim->now_us += sim_random_below(machine, 20);
    uint64_t deadline_us = timeout_us > UINT64_MAX - machine->sim->now_us
                               ? UINT64_MAX
                               : machine->sim->now_us + timeout_us;
    uint32_t count = 0;
    while (count < events_max) {
        struct choice choice = choose(io); /* with nothing pending and no bound, it returns */
        if (choice.due_count > 0) {
            bool is_event = happens[choice.what](io, choice.index, &events[count]);
            bool is_last = is_event && events[count].kind == IO_WRITTEN &&
                           events[count].result < 0 && !disk_is_full(events[count].result);
            count += is_event;
            if (is_last || (count >= wait_events && sim_chance(machine, 3)))
                break;
            continue;
        }
        bool is_over = choice.next_us > deadline_us;
        uint64_t until_us = is_over ? deadline_us : choice.next_us;
        if (count >= wait_events || until_us == UINT64_MAX)
            break;
        machine->sim->now_us = until_us;
        if (is_over)
            break;
    }
    return (int)count;
}

void io_wake(struct io *io)
{
    (void)io;
}

uint64_t io_time_us(struct io *io)
{
    if (io->machine == NULL)
        return io->crash_us;
    io->machine->sim->now_us += sim_random_below(io->machine, 3);
    return time_us(io->machine);
}

uint64_t io_wall_us(struct io *io)
{
    if (io->machine == NULL)
        return io->crash_wall_us;
    io->machine->sim->now_us += sim_random_below(io->machine, 3);
    return wall_us(io->machine);
}

struct id io_boot_id(struct io *io)
{
    if (io->machine == NULL)
        return (struct id){0};
    return (struct id){.low = io->machine->boot_number, .high = io->machine->index};
}

int io_listen(struct io *io, const char *address, uint64_t user)
{
    struct address parts;
    TILL_ASSERT(io->machine != NULL && !io->listening && user >> IO_USER_BITS == 0);
    if (!address_split(&parts, address))
        return -EINVAL;
    io->listening = true;
    io->listen_user = user;
    int port = atoi(parts.port);
    io->port = port == 0 ? PORT_FREE : port;
    return io->port;
}

bool sim_io_listens(const struct sim_machine *machine, int port)
{
    return machine->io != NULL && machine->io->listening && machine->io->port == port;
}

void io_connect(struct io *io, const char *address, uint64_t user)
{
    struct address parts;
    TILL_ASSERT(user >> IO_USER_BITS == 0);
    if (io->machine == NULL)
        return;
    uint32_t index = 0;
    while (io->attempts[index].active)
        TILL_ASSERT(++index < ATTEMPTS_MAX);
    struct attempt *attempt = &io->attempts[index];
    *attempt = (struct attempt){
        .user = user,
        .due_us = network_due(io->machine),
        .deadline_us = io->machine->sim->now_us + IO_CONNECT_US_MAX,
        .active = true,
    };
    if (index >= IO_CONNECTS_MAX) {
        attempt->result = -EBUSY;
    } else if (!address_split(&parts, address) || parts.host[0] == '\0') {
        attempt->result = -EINVAL;
    } else {
        attempt->to = sim_network_find(io->machine, parts.host);
        attempt->port = atoi(parts.port);
        attempt->result = attempt->to == NULL ? -EHOSTUNREACH : -ECONNREFUSED;
    }
}

/* NULL when the machine has crashed: then further calls of the dead server have no effect. */
static struct sim_client *connection(struct io *io, int fd, uint64_t user)
{
    TILL_ASSERT(user >> IO_USER_BITS == 0);
    if (io->machine == NULL)
        return NULL;
    for (uint32_t i = 0; i < io->machine->client_count; i++) {
        struct sim_client *client = io->machine->clients[i];
        if (client->fd == fd) {
            TILL_ASSERT(client->state == SIM_OPEN);
            return client;
        }
    }
    till_unreachable();
}

void io_receive(struct io *io, int fd, uint64_t user)
{
    struct sim_client *client = connection(io, fd, user);
    if (client == NULL)
        return;
    TILL_ASSERT(!client->receiving && !client->received_end);
    client->receiving = true;
    client->receive_user = user;
}

void io_receive_cancel(struct io *io, int fd, uint64_t user)
{
    struct sim_client *client = connection(io, fd, user);
    if (client == NULL)
        return;
    client->may_come_late = client->receiving && sim_chance(io->machine, 50);
    client->receiving = false;
}

void io_buffer_release(struct io *io, uint32_t buffer)
{
    TILL_ASSERT(buffer < io->options.buffer_count && io->buffers[buffer] != NULL);
    free(io->buffers[buffer]);
    io->buffers[buffer] = NULL;
    io->buffers_free++;
}

void io_send(struct io *io, int fd, uint64_t user, const void *bytes, size_t size)
{
    struct sim_client *client = connection(io, fd, user);
    if (client == NULL)
        return;
    TILL_ASSERT(!client->send.active && size > 0 && size <= INT32_MAX);
    client->send = (struct sim_send){
        .bytes = bytes,
        .checksum = send_checksum(bytes, size),
        .user = user,
        .due_us = network_due(io->machine),
        .size = (uint32_t)size,
        .active = true,
    };
}

void io_close(struct io *io, int fd, uint64_t user)
{
    struct sim_client *client = connection(io, fd, user);
    if (client == NULL)
        return;
    io_receive_cancel(io, fd, user);
    client->state = SIM_CLOSING;
    client->is_reset = client->send.active;
    client->close_user = user;
    client->close_due_us = network_due(io->machine);
    if (sim_chance(io->machine, 50)) {
        client->may_come_late = false;
        client->send.active = false;
    } else if (client->send.active && !client->send.copied) {
        client->send.copied = true;
        client->send.result = -ECANCELED;
        client->send.due_us = network_due(io->machine);
    }
}

void io_write(struct io *io, struct disk *disk, int file, uint64_t offset, const void *bytes,
              size_t size, uint64_t user)
{
    TILL_ASSERT(user >> IO_USER_BITS == 0 && size > 0);
    TILL_ASSERT(offset % WAL_ALIGN == 0 && size % WAL_ALIGN == 0);
    TILL_ASSERT((uintptr_t)bytes % WAL_ALIGN == 0);
    struct sim_file *target = io->machine == NULL ? NULL : sim_disk_file(disk, file);
    TILL_ASSERT(target == NULL || target->grows || offset + size <= target->size_bytes);
    struct write *write = NULL;
    for (uint32_t i = 0; i < WRITES_MAX; i++) {
        const struct write *other = &io->writes[i];
        if (!other->active || (other->failed && write == NULL))
            write = &io->writes[i];
        else if (!other->settled && other->file == target)
            TILL_ASSERT(offset >= other->offset + other->size || other->offset >= offset + size);
    }
    TILL_ASSERT(write != NULL);
    *write = (struct write){
        .file = target,
        .bytes = bytes,
        .offset = offset,
        .size = size,
        .checksum = checksum64(bytes, size),
        .user = user,
        .active = true,
    };
    if (target == NULL)
        return;
    target->reference_count++;
    write->due_us = write_due(io->machine);
}

void io_prepare(struct io *io, struct disk *disk, const char *name, uint64_t size_bytes,
                uint64_t user)
{
    TILL_ASSERT(!io->prepare.active);
    TILL_ASSERT(size_bytes % WAL_ALIGN == 0);
    TILL_ASSERT(user >> IO_USER_BITS == 0 && strlen(name) < DISK_NAME_SIZE);
    io->prepare = (struct prepare){
        .folder = sim_disk_folder(disk),
        .name = name,
        .size_bytes = size_bytes,
        .user = user,
        .due_us = io->machine == NULL ? 0 : write_due(io->machine),
        .active = true,
    };
    snprintf(io->prepare.name_copy, sizeof io->prepare.name_copy, "%s", name);
}

void io_work(struct io *io, enum io_lane lane, int (*work)(void *context), void *context,
             uint64_t user)
{
    TILL_ASSERT(!io->jobs[lane].active && user >> IO_USER_BITS == 0);
    TILL_ASSERT(lane != IO_LANE_LOG || !io->prepare.active);
    io->jobs[lane] = (struct job){
        .work = work,
        .context = context,
        .user = user,
        .due_us = io->machine == NULL ? 0 : write_due(io->machine),
        .active = true,
    };
}
