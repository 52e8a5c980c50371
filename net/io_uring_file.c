/* Durable writes, and the helper threads for blocking work.
 *
 * A write goes out as one plain write to a file opened with O_DIRECT | O_DSYNC: it is durable when
 * it completes. Measured on a virtual disk without FUA (ext4, kernel 6.18, medians in us), against
 * the same write with a linked fdatasync:
 *
 *                      4 KiB               64 KiB
 *   in flight      1     2     4       1     2     4
 *   O_DSYNC       83   121   151     103   140   173
 *   fdatasync     97   180   204     113   178   212
 *
 * With O_DSYNC the kernel starts the flush from the write's completion. A linked fdatasync runs on
 * an io_uring worker thread that must be woken first, which is worse still when all share one core.
 * O_DSYNC used no worker thread at all.
 *
 * What can fail: a write. After a short write the rest is written as well, which gives the reason:
 * mostly a full disk. What must hold: one job at a time in each lane, and no more than WRITES_MAX
 * writes in flight. */
#include "net/io_uring.h"

#include <errno.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"

static void write_start(struct io *io, uint32_t index)
{
    const struct write_slot *slot = &io->writes[index];
    io_uring_prep_write(io_operation(io, OPERATION_WRITE, 0, index), slot->file, slot->bytes,
                        slot->size_bytes, slot->offset);
}

void io_write(struct io *io, struct disk *disk, int file, uint64_t offset, const void *bytes,
              size_t size, uint64_t user)
{
    (void)disk; /* its handles are file descriptors */
    TILL_ASSERT(io->writes_free != NONE);
    TILL_ASSERT(size > 0 && size <= INT32_MAX && size % WAL_ALIGN == 0);
    TILL_ASSERT(offset % WAL_ALIGN == 0 && (uintptr_t)bytes % WAL_ALIGN == 0);
    uint32_t index = io->writes_free - 1;
    struct write_slot *slot = &io->writes[index];
    io->writes_free = slot->free_next;
    *slot = (struct write_slot){
        .user = user, .bytes = bytes, .offset = offset, .size_bytes = (uint32_t)size, .file = file};
    write_start(io, index);
}

bool io_take_write(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    uint32_t index = (uint32_t)cqe->user_data;
    struct write_slot *slot = &io->writes[index];
    uint32_t done = cqe->res > 0 ? (uint32_t)cqe->res : 0;
    uint32_t pages = done / WAL_ALIGN * WAL_ALIGN;
    if (pages > 0 && done < slot->size_bytes) {
        slot->bytes += pages;
        slot->offset += pages;
        slot->size_bytes -= pages;
        write_start(io, index);
        return false;
    }
    *event = (struct io_event){.user = slot->user, .kind = IO_WRITTEN, .result = -EIO};
    if (cqe->res < 0)
        event->result = cqe->res;
    else if (done == slot->size_bytes)
        event->result = 0;
    slot->free_next = io->writes_free;
    io->writes_free = index + 1;
    return true;
}

/* The thread that takes the tables' memory runs at the lowest priority, as it only saves the loop
 * work that the loop could do itself: on a core that others use it gets 1 or 2 % of the time. */
static void lane_yield(const struct lane *lane)
{
    enum { NICE = 19 };
    if (lane == &lane->io->lanes[IO_LANE_MEMORY])
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void *lane_run(void *argument)
{
    struct lane *lane = argument;
    lane_yield(lane);
    pthread_mutex_lock(&lane->mutex);
    while (!lane->is_stopping) {
        if (lane->state != JOB_ASKED) {
            pthread_cond_wait(&lane->asked, &lane->mutex);
            continue;
        }
        /* Not locked while it runs: nothing else changes the job in the state JOB_ASKED. */
        pthread_mutex_unlock(&lane->mutex);
        int result = lane->work(lane->context);
        pthread_mutex_lock(&lane->mutex);
        lane->result = result;
        lane->state = JOB_DONE;
        io_wake(lane->io);
    }
    pthread_mutex_unlock(&lane->mutex);
    return NULL;
}

static void job_start(struct io *io, enum io_lane number, enum io_kind kind,
                      int (*work)(void *context), void *context, uint64_t user)
{
    struct lane *lane = &io->lanes[number];
    pthread_mutex_lock(&lane->mutex);
    TILL_ASSERT(lane->state == JOB_IDLE);
    lane->work = work;
    lane->context = context;
    lane->user = user;
    lane->kind = (uint8_t)kind;
    lane->state = JOB_ASKED;
    pthread_cond_signal(&lane->asked);
    pthread_mutex_unlock(&lane->mutex);
}

void io_work(struct io *io, enum io_lane lane, int (*work)(void *context), void *context,
             uint64_t user)
{
    job_start(io, lane, IO_WORKED, work, context, user);
}

static int prepare_work(void *context)
{
    const struct prepare *prepare = context;
    return disk_create_zeroed(prepare->disk, prepare->name, prepare->size_bytes);
}

void io_prepare(struct io *io, struct disk *disk, const char *name, uint64_t size_bytes,
                uint64_t user)
{
    io->prepare = (struct prepare){.disk = disk, .name = name, .size_bytes = size_bytes};
    job_start(io, IO_LANE_LOG, IO_PREPARED, prepare_work, &io->prepare, user);
}

/* Makes an event of one finished job. If there are more, another wake-up follows. */
bool io_job_done(struct io *io, struct io_event *event)
{
    bool is_done = false;
    for (unsigned i = 0; i < IO_LANE_COUNT; i++) {
        struct lane *lane = &io->lanes[i];
        pthread_mutex_lock(&lane->mutex);
        if (lane->state == JOB_DONE && is_done) {
            io_wake(io);
        } else if (lane->state == JOB_DONE) {
            *event =
                (struct io_event){.user = lane->user, .kind = lane->kind, .result = lane->result};
            lane->state = JOB_IDLE;
            is_done = true;
        }
        pthread_mutex_unlock(&lane->mutex);
    }
    return is_done;
}

int io_files_init(struct io *io)
{
    for (uint32_t i = 0; i < WRITES_MAX; i++)
        io->writes[i].free_next = i + 1 < WRITES_MAX ? i + 2 : NONE;
    io->writes_free = 1;
    int result = 0;
    for (unsigned i = 0; result == 0 && i < IO_LANE_COUNT; i++) {
        struct lane *lane = &io->lanes[i];
        lane->io = io;
        pthread_mutex_init(&lane->mutex, NULL);
        pthread_cond_init(&lane->asked, NULL);
        result = pthread_create(&lane->thread, NULL, lane_run, lane);
        lane->is_running = result == 0;
    }
    return -result;
}

/* Waits until the jobs under way have ended. */
void io_files_deinit(struct io *io)
{
    for (unsigned i = 0; i < IO_LANE_COUNT; i++) {
        struct lane *lane = &io->lanes[i];
        if (!lane->is_running)
            continue;
        pthread_mutex_lock(&lane->mutex);
        lane->is_stopping = true;
        pthread_cond_signal(&lane->asked);
        pthread_mutex_unlock(&lane->mutex);
        TILL_ASSERT(pthread_join(lane->thread, NULL) == 0);
        pthread_cond_destroy(&lane->asked);
        pthread_mutex_destroy(&lane->mutex);
    }
}
