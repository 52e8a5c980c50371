/* Going back to a fork, over the simulated disk: whatever crash cuts it short, doing it again ends
 * in the state of the fork, in a log that ends there and can be opened for writing, and in files
 * that have every byte of what came behind it. */
#include "net/fork.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "engine/codec.h"
#include "engine/image.h"
#include "engine/sum.h"
#include "net/replay.h"
#include "snapshot/image.h"
#include "snapshot/writer.h"
#include "tests/sim/sim.h"
#include "tests/test.h"
#include "wal/segment.h"
#include "wal/wal.h"

enum {
    ROUNDS = 40,
    BLOCKS_MAX = 48,
    COMMANDS_MAX = 40,
    FILES_MAX = 64,
    SEGMENT_PAGES_MAX = 10,
    EURO = 978,
    USER_WRITE = 100,
    USER_PREPARE = 200,
    USER_WORK = WRITER_BUFFERS,
    EVENTS_MAX = 16,
};

/* A block of the log as it was before the fork, and what it leads to. */
struct forked_block {
    struct wal_block header;
    uint8_t *image;
    uint64_t orders;
    uint64_t checksum; /* of the state after it */
};

struct kept_file {
    char name[DISK_NAME_SIZE];
    uint8_t *bytes;
    uint64_t size_bytes;
};

/* A folder, and what was in it. */
struct folder {
    struct sim_machine *machine;
    struct disk *disk;
    struct io *io;
    struct wal *wal;
    struct engine *engine;
    uint64_t now_us;
    uint64_t numbers;
    uint64_t epoch;
    struct forked_block blocks[BLOCKS_MAX];
    uint32_t block_count;
    uint32_t block_first; /* those before are not in the folder any more */
    struct wal_packer packer;
    uint8_t ids[WAL_COLUMN_SIZE_MAX];
    uint8_t fields[WAL_COLUMN_SIZE_MAX];
    struct kept_file files[FILES_MAX]; /* before the fork */
    uint32_t file_count;
};

static uint64_t below(struct folder *folder, uint64_t bound)
{
    return sim_random_below(folder->machine, bound);
}

static uint64_t last_of(const struct forked_block *block)
{
    return block->header.seq_first + block->header.command_count - 1;
}

static struct engine *engine_made(void)
{
    const struct engine_options options = {.skus = 64,
                                           .epochs = 4,
                                           .accounts = 4,
                                           .fulfilments = 4,
                                           .parcels = 4,
                                           .refunds = 4,
                                           .warehouses = 8,
                                           .zones = 4,
                                           .earnings = 4,
                                           .opaques = 4,
                                           .stocks = 64,
                                           .sales = 8,
                                           .pools = 8,
                                           .tallies = 64,
                                           .customers = 512,
                                           .lots = 64,
                                           .ledger = 64,
                                           .orders = 4096,
                                           .lines = 64,
                                           .pieces = 64,
                                           .point_takes = 64,
                                           .moneys = 64,
                                           .steps = 64,
                                           .deadlines = 8192,
                                           .payments = 64,
                                           .keys = 1024};
    char error[256];
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    return engine;
}

/* Making the folder. */

static void decide(struct folder *folder, struct wal_block *block, struct column_writer *columns,
                   uint16_t number, const void *body, size_t size)
{
    struct command command = {.body = body, .size = (uint32_t)size, .number = number};
    engine_decide(folder->engine, folder->now_us, &command, 1);
    if (!command.accepted)
        return;
    block->command_count++;
    command_encode(number, body, columns);
}

/* Commands of one moment; the number of orders among them. */
static uint64_t commands_make(struct folder *folder, struct wal_block *block,
                              struct column_writer *columns)
{
    struct sku_put_body put = {.key = {.low = ++folder->numbers},
                               .sku = 1 + below(folder, 4),
                               .price = 10,
                               .currency = EURO};
    struct stock_adjust_body add = {
        .key = {.low = ++folder->numbers}, .sku = put.sku, .delta = 100, .warehouse = 1};
    decide(folder, block, columns, MESSAGE_sku_put, &put, sizeof put);
    decide(folder, block, columns, MESSAGE_stock_adjust, &add, sizeof add);
    uint32_t count_before = block->command_count;
    for (uint64_t i = 0, count = below(folder, COMMANDS_MAX); i < count; i++) {
        struct {
            struct order_place_body fixed;
            struct line_body line;
        } order = {.fixed = {.order = {.low = ++folder->numbers, .high = below(folder, UINT64_MAX)},
                             .customer = {.low = 1 + below(folder, 100)},
                             .hold = 600,
                             .line_count = 1},
                   .line = {.sku = put.sku, .quantity = 1, .price = 10}};
        decide(folder, block, columns, MESSAGE_order_place, &order, sizeof order);
    }
    return block->command_count - count_before;
}

static void block_make(struct folder *folder, bool is_last)
{
    static uint8_t image[WAL_BLOCK_SIZE_MAX];
    struct forked_block *made = &folder->blocks[folder->block_count];
    struct column_writer columns = {folder->ids, folder->fields};
    uint64_t seq = engine_seq(folder->engine);
    bool is_empty = folder->block_count > 0 && made[-1].header.command_count > 0 && !is_last &&
                    below(folder, 8) == 0;
    folder->now_us += 1 + below(folder, 1000);
    folder->epoch += below(folder, 8) == 0;
    *made = (struct forked_block){.header = {.epoch = folder->epoch,
                                             .seq_first = seq + 1,
                                             .seq_durable = seq,
                                             .time_us = folder->now_us}};
    if (folder->block_count > 0)
        made->header.previous = made[-1].header.checksum;
    if (!is_empty)
        made->orders = commands_make(folder, &made->header, &columns);
    made->header.ids_size = (uint32_t)(columns.ids - folder->ids);
    made->header.fields_size = (uint32_t)(columns.fields - folder->fields);
    made->header.digest = engine_digest(folder->engine);
    made->checksum = engine_checksum(folder->engine);
    wal_block_seal(&folder->packer, &made->header, folder->ids, folder->fields, image);
    made->image = malloc(made->header.block_size);
    CHECK(made->image != NULL);
    memcpy(made->image, image, made->header.block_size);
    folder->block_count++;
}

static void file_make(struct folder *folder, const char *name, const uint8_t *bytes,
                      uint64_t size_bytes)
{
    int file = disk_partial_create(folder->disk, "making");
    uint8_t *aligned = aligned_alloc(WAL_ALIGN, size_bytes);
    CHECK(file >= 0 && aligned != NULL);
    memcpy(aligned, bytes, size_bytes);
    CHECK_EQUAL(disk_file_write(folder->disk, file, 0, aligned, size_bytes), 0);
    free(aligned);
    CHECK_EQUAL(disk_partial_publish(folder->disk, file, "making", name), 0);
    disk_file_close(folder->disk, file);
}

static void snapshot_make(struct folder *folder)
{
    const struct writer_options options = {
        .undo_bytes = 1 << 20, .epoch = folder->epoch, .user_work = USER_WORK};
    uint64_t seq = engine_seq(folder->engine);
    struct io_event events[EVENTS_MAX];
    struct writer *writer = writer_create(&options, folder->io, folder->disk, folder->engine, 0, 0);
    CHECK(writer != NULL);
    writer_ask(writer);
    while (!writer_is_idle(writer)) {
        bool packed = writer_step(writer, seq, true);
        int count = io_wait(folder->io, events, EVENTS_MAX, 1, packed ? 0 : 1000);
        for (int i = 0; i < count; i++)
            writer_event(writer, &events[i]);
    }
    CHECK_EQUAL(writer_status(writer)->failure_count, 0);
    writer_destroy(writer);
}

/* The size of a block; of an empty one, with those up to the first with commands behind it, which
 * stand in the same segment. */
static uint64_t size_with_next(const struct folder *folder, uint32_t index)
{
    uint64_t size = folder->blocks[index].header.block_size;
    while (folder->blocks[index].header.command_count == 0 && ++index < folder->block_count)
        size += folder->blocks[index].header.block_size;
    return size;
}

/* Writes blocks into segments of a few pages, with zeros behind the last one. Segments that a
 * release has taken away are missing, and a ready one may be there, with old blocks. */
static void log_make(struct folder *folder, bool is_released)
{
    static uint8_t pages[SEGMENT_PAGES_MAX * WAL_ALIGN + WAL_BLOCK_SIZE_MAX];
    struct wal_note note = {.epoch = folder->epoch};
    uint32_t skip = is_released ? (uint32_t)below(folder, folder->block_count) : 0;
    char name[DISK_NAME_SIZE];
    folder->block_first = folder->block_count;
    for (uint32_t i = 0; i < folder->block_count;) {
        uint64_t used = 0;
        uint64_t size = (1 + below(folder, SEGMENT_PAGES_MAX)) * WAL_ALIGN;
        uint32_t first = i;
        memset(pages, 0, sizeof pages);
        if (size < size_with_next(folder, i))
            size = size_with_next(folder, i);
        while (i < folder->block_count && used + size_with_next(folder, i) <= size) {
            memcpy(pages + used, folder->blocks[i].image, folder->blocks[i].header.block_size);
            used += folder->blocks[i++].header.block_size;
        }
        wal_segment_name(++note.segment, name);
        if (first < skip && i < folder->block_count)
            continue;
        if (folder->block_first == folder->block_count)
            folder->block_first = first;
        note.segment_size = size;
        note.seq_first = folder->blocks[first].header.seq_first;
        note.previous = folder->blocks[first].header.previous;
        note.seq_durable = engine_seq(folder->engine);
        file_make(folder, name, pages, size);
    }
    CHECK_EQUAL(wal_note_write(folder->disk, &note), 0);
    if (below(folder, 2) == 0) {
        memset(pages, 0, sizeof pages);
        if (folder->blocks[0].header.block_size <= 4 * WAL_ALIGN && below(folder, 2) == 0)
            memcpy(pages, folder->blocks[0].image, folder->blocks[0].header.block_size);
        wal_segment_name(note.segment + 1, name);
        file_make(folder, name, pages, 4 * WAL_ALIGN);
    }
}

static void open_disk(struct folder *folder)
{
    static const struct io_options options = {
        .connections_max = 1, .buffer_size = 256, .buffer_count = 1};
    char error[IO_ERROR_SIZE];
    CHECK_EQUAL(disk_open(&folder->disk, "data", DISK_WRITE), 0);
    folder->io = io_create(&options, error);
    CHECK(folder->io != NULL);
}

static void close_disk(struct folder *folder)
{
    io_destroy(folder->io);
    disk_close(folder->disk);
}

/* Remembers every file of the folder. */
static void files_keep(struct folder *folder)
{
    struct disk_entry *entries;
    int count = disk_list_all(folder->disk, &entries);
    CHECK(count > 0 && count <= FILES_MAX);
    folder->file_count = (uint32_t)count;
    for (int i = 0; i < count; i++) {
        struct kept_file *kept = &folder->files[i];
        memcpy(kept->name, entries[i].name, sizeof kept->name);
        kept->size_bytes = entries[i].size_bytes;
        kept->bytes = malloc(kept->size_bytes + 1);
        int file = disk_file_open(folder->disk, kept->name, false);
        CHECK_EQUAL(disk_file_read(folder->disk, file, 0, kept->bytes, kept->size_bytes),
                    kept->size_bytes);
        disk_file_close(folder->disk, file);
    }
    free(entries);
}

static struct folder *folder_make(void)
{
    static struct folder folder;
    memset(&folder, 0, sizeof folder);
    folder.machine = sim_machine_create(test_random());
    folder.engine = engine_made();
    folder.now_us = US_PER_SECOND;
    folder.epoch = 1;
    open_disk(&folder);
    uint32_t count = 2 + (uint32_t)below(&folder, BLOCKS_MAX - 2);
    bool is_released = below(&folder, 2) == 0;
    while (folder.block_count < count) {
        block_make(&folder, folder.block_count + 1 == count);
        if (below(&folder, is_released ? 8 : 20) == 0)
            snapshot_make(&folder);
    }
    log_make(&folder, is_released);
    if (below(&folder, 2) == 0)
        file_make(&folder, "clock-note.till", folder.fields, WAL_ALIGN);
    return &folder;
}

static void folder_free(struct folder *folder)
{
    close_disk(folder);
    for (uint32_t i = 0; i < folder->block_count; i++)
        free(folder->blocks[i].image);
    for (uint32_t i = 0; i < folder->file_count; i++)
        free(folder->files[i].bytes);
    engine_destroy(folder->engine);
    sim_machine_destroy(folder->machine);
}

/* What is expected. */

/* The block that the fork is right behind; NULL: it is before the first one. */
static const struct forked_block *block_of(const struct folder *folder, uint64_t fork_seq)
{
    for (uint32_t i = folder->block_count; i-- > 0;) {
        const struct forked_block *block = &folder->blocks[i];
        if (block->header.command_count > 0 && last_of(block) <= fork_seq)
            return block;
    }
    return NULL;
}

/* Does a snapshot and the log after it, or the whole log, lead to the fork? */
static bool is_reachable(const struct folder *folder, uint64_t fork_seq)
{
    uint64_t snapshot = 0;
    for (uint32_t i = 0; i < folder->file_count; i++) {
        uint64_t seq = image_name_seq(folder->files[i].name);
        if (seq > snapshot && seq <= fork_seq)
            snapshot = seq;
    }
    return fork_seq > 0 && folder->blocks[folder->block_first].header.seq_first <= snapshot + 1;
}

/* The disk's content is the one that was kept. */
static void file_check(const struct folder *folder, const char *name, const uint8_t *bytes,
                       uint64_t size_bytes)
{
    uint8_t *found = malloc(size_bytes + WAL_ALIGN);
    int file = disk_file_open(folder->disk, name, false);
    if (file < 0)
        test_fail(__FILE__, __LINE__, "%s is not there", name);
    CHECK_EQUAL(disk_file_read(folder->disk, file, 0, found, size_bytes + WAL_ALIGN), size_bytes);
    CHECK(memcmp(found, bytes, size_bytes) == 0);
    disk_file_close(folder->disk, file);
    free(found);
}

static bool is_there(const struct folder *folder, const char *name)
{
    int file = disk_file_open(folder->disk, name, false);
    if (file >= 0)
        disk_file_close(folder->disk, file);
    return file >= 0;
}

/* All blocks behind the fork are in the file, and nothing else is. */
static void tail_check(const struct folder *folder, const struct fork *fork)
{
    uint8_t *bytes = malloc((size_t)BLOCKS_MAX * WAL_BLOCK_SIZE_MAX);
    uint64_t size = 0;
    uint64_t orders = 0;
    uint64_t seq_first = 0;
    for (uint32_t i = folder->block_first; i < folder->block_count; i++) {
        const struct forked_block *block = &folder->blocks[i];
        if (block->header.seq_first <= fork->fork_seq)
            continue;
        memcpy(bytes + size, block->image, block->header.block_size);
        size += block->header.block_size;
        orders += block->orders;
        seq_first = seq_first == 0 ? block->header.seq_first : seq_first;
    }
    CHECK_EQUAL(fork->name[0] != '\0', size > 0);
    CHECK_EQUAL(fork->orders, orders);
    CHECK_EQUAL(fork->seq_first, seq_first);
    if (size > 0) {
        CHECK_EQUAL(fork->seq_last, last_of(&folder->blocks[folder->block_count - 1]));
        file_check(folder, fork->name, bytes, size);
    }
    free(bytes);
}

/* Files that were there before, under the names that they should have now. */
static void files_check(const struct folder *folder, const struct fork *fork)
{
    for (uint32_t i = 0; i < folder->file_count; i++) {
        const struct kept_file *kept = &folder->files[i];
        char name[2 * DISK_NAME_SIZE];
        bool is_snapshot = image_name_seq(kept->name) > 0;
        bool is_old = fork->begins_anew || image_name_seq(kept->name) > fork->fork_seq;
        bool is_moved = is_old && strncmp(kept->name, "diverged-", 9) != 0;
        snprintf(name, sizeof name, "%s%s", is_moved ? "diverged-" : "", kept->name);
        if (is_moved || is_snapshot || strncmp(kept->name, "diverged-", 9) == 0)
            file_check(folder, name, kept->bytes, kept->size_bytes);
        if (is_moved && is_snapshot)
            CHECK(!is_there(folder, kept->name));
    }
}

/* Going back. */

static void wal_finish(struct folder *folder, bool is_dead)
{
    struct io_event events[EVENTS_MAX];
    while (folder->wal != NULL && wal_awaits_event(folder->wal)) {
        int count = io_wait(folder->io, events, EVENTS_MAX, 1, 0);
        for (int i = 0; i < count; i++)
            CHECK(wal_event(folder->wal, &events[i]) == 0 || is_dead);
    }
    wal_close(folder->wal);
    folder->wal = NULL;
}

static bool replay_and_open(struct folder *folder, struct replay *replay)
{
    const struct wal_options options = {
        .segment_size = WAL_BLOCK_SIZE_MAX, .user_write = USER_WRITE, .user_prepare = USER_PREPARE};
    char error[IO_ERROR_SIZE];
    replay->disk = folder->disk;
    replay->engine = folder->engine;
    CHECK(engine_clear(folder->engine));
    if (!replay_run(replay))
        return false;
    uint64_t epoch = replay->epoch > 0 ? replay->epoch : 1;
    return wal_open(&folder->wal, folder->io, folder->disk, &options, &replay->end, epoch, error) ==
           0;
}

/* One start of a server that has to go back. */
static bool start(struct folder *folder, struct fork *fork, char error[REPLAY_ERROR_SIZE])
{
    struct replay replay = {0};
    fork->disk = folder->disk;
    snprintf(error, REPLAY_ERROR_SIZE, "tidying, or opening the log");
    if (disk_tidy(folder->disk) != 0)
        return false;
    if (!fork_set_aside(fork)) {
        snprintf(error, REPLAY_ERROR_SIZE, "%s", fork->error);
        return false;
    }
    replay.fork_seq = fork->begins_anew ? 0 : fork->fork_seq;
    bool is_well = replay_and_open(folder, &replay);
    if (replay.error[0] != '\0')
        memcpy(error, replay.error, REPLAY_ERROR_SIZE);
    CHECK(!is_well || fork->begins_anew || replay.end.seq_next <= fork->fork_seq + 1);
    return is_well;
}

/* Starts until one is not cut short by a crash. */
static void go_back(struct folder *folder, struct fork *fork, uint32_t crashes)
{
    char error[REPLAY_ERROR_SIZE];
    for (uint32_t i = 0; i < crashes; i++) {
        sim_disk_crash_at(folder->machine, 1 + (uint32_t)below(folder, 12));
        (void)start(folder, fork, error);
        sim_disk_crash_at(folder->machine, 0);
        sim_crash(folder->machine);
        wal_finish(folder, true);
        close_disk(folder);
        open_disk(folder);
    }
    if (!start(folder, fork, error))
        test_fail(__FILE__, __LINE__, "%s", error);
}

/* The state and the log are those of the fork, also for a start that knows nothing of it. */
static void state_check(struct folder *folder, const struct fork *fork)
{
    const struct forked_block *block = fork->begins_anew ? NULL : block_of(folder, fork->fork_seq);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(engine_seq(folder->engine), block == NULL ? 0 : last_of(block));
        if (block != NULL) {
            CHECK_EQUAL(engine_digest(folder->engine), block->header.digest);
            CHECK_EQUAL(engine_checksum(folder->engine), block->checksum);
        }
        wal_finish(folder, false);
        struct replay replay = {0};
        if (!replay_and_open(folder, &replay))
            test_fail(__FILE__, __LINE__, "the next start: %s", replay.error);
        CHECK_EQUAL(replay.end.torn_bytes, 0);
    }
    wal_finish(folder, false);
}

/* 0, a block's end, or one behind the log. */
static uint64_t fork_choose(struct folder *folder)
{
    uint64_t seq_last = engine_seq(folder->engine);
    uint64_t way = below(folder, 12);
    if (way == 0)
        return 0;
    if (way == 1)
        return seq_last + below(folder, 5);
    const struct forked_block *block = block_of(folder, 1 + below(folder, seq_last));
    return block == NULL ? 0 : last_of(block);
}

static void play(uint32_t crashes)
{
    struct folder *folder = folder_make();
    struct fork fork = {.fork_seq = fork_choose(folder)};
    files_keep(folder);
    bool reaches = is_reachable(folder, fork.fork_seq);
    go_back(folder, &fork, crashes);
    CHECK_EQUAL(fork.begins_anew, !reaches);
    state_check(folder, &fork);
    files_check(folder, &fork);
    if (reaches)
        tail_check(folder, &fork);
    folder_free(folder);
}

TEST(fork_leads_to_its_state_and_sets_aside_all_that_came_behind_it)
{
    for (int round = 0; round < ROUNDS; round++)
        play(0);
}

TEST(fork_that_crashes_cut_short_ends_in_the_same_files)
{
    for (int round = 0; round < ROUNDS; round++)
        play(1 + (uint32_t)test_random_below(6));
}

/* A folder that begins with its first block, and a fork that has something behind it. */
static struct folder *folder_to_fork(struct fork *fork)
{
    for (;;) {
        struct folder *folder = folder_make();
        *fork = (struct fork){.fork_seq = fork_choose(folder)};
        files_keep(folder);
        if (is_reachable(folder, fork->fork_seq) && fork->fork_seq < engine_seq(folder->engine))
            return folder;
        folder_free(folder);
    }
}

/* The first block behind the fork, and how many there are. */
static const struct forked_block *tail_of(const struct folder *folder, const struct fork *fork,
                                          uint32_t *count)
{
    uint32_t first = folder->block_first;
    while (folder->blocks[first].header.seq_first <= fork->fork_seq)
        first++;
    *count = folder->block_count - first;
    return &folder->blocks[first];
}

/* Of another history: it is chained to the block that the fork is behind, and goes on for long. */
static void stranger_make(struct folder *folder, const struct forked_block *first, uint8_t *image)
{
    struct wal_block block = {.previous = first->header.previous,
                              .epoch = first->header.epoch,
                              .seq_first = first->header.seq_first,
                              .seq_durable = first->header.seq_first - 1,
                              .time_us = first->header.time_us,
                              .command_count = 1000000};
    wal_block_seal(&folder->packer, &block, folder->ids, folder->fields, image);
    CHECK_EQUAL(block.block_size, WAL_ALIGN);
}

/* What an earlier fork at the same place may have left: nothing of this tail, or only its
 * beginning.
 */
TEST(file_of_an_earlier_fork_is_neither_replaced_nor_taken_for_this_ones)
{
    static uint8_t image[WAL_BLOCK_SIZE_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        struct fork fork;
        struct folder *folder = folder_to_fork(&fork);
        uint32_t count;
        const struct forked_block *first = tail_of(folder, &fork, &count);
        const struct forked_block *last = &folder->blocks[folder->block_count - 1];
        const uint8_t *bytes = folder->blocks[0].image;
        uint64_t size = folder->blocks[0].header.block_size;
        char taken[DISK_NAME_SIZE];
        if (round % 3 == 0 && count > 1) {
            bytes = first->image;
            size = first->header.block_size;
        } else if (round % 3 == 1) {
            stranger_make(folder, first, image);
            bytes = image;
            size = WAL_ALIGN;
        }
        snprintf(taken, sizeof taken, "diverged-%010" PRIu64 "-%020" PRIu64 ".till",
                 last->header.epoch, first->header.seq_first);
        file_make(folder, taken, bytes, size);
        go_back(folder, &fork, (uint32_t)test_random_below(3));
        CHECK(strstr(fork.name, "-2.till") != NULL);
        file_check(folder, taken, bytes, size);
        state_check(folder, &fork);
        tail_check(folder, &fork);
        folder_free(folder);
    }
}

/* A folder whose log is sealed and has no block: it was begun behind its newest snapshot, which was
 * fetched. The older snapshot is of that seq. */
static uint64_t empty_log_make(struct folder *folder)
{
    static uint8_t pages[4 * WAL_ALIGN];
    char name[DISK_NAME_SIZE];
    *folder = (struct folder){.machine = sim_machine_create(test_random()),
                              .engine = engine_made(),
                              .now_us = US_PER_SECOND,
                              .epoch = 1};
    open_disk(folder);
    block_make(folder, true);
    snapshot_make(folder);
    uint64_t seq_older = engine_seq(folder->engine);
    block_make(folder, true);
    block_make(folder, true);
    snapshot_make(folder);
    struct wal_block seal = {.epoch = folder->epoch,
                             .seq_first = engine_seq(folder->engine) + 1,
                             .seq_durable = engine_seq(folder->engine),
                             .time_us = folder->now_us};
    wal_block_seal(&folder->packer, &seal, folder->ids, folder->fields, pages);
    wal_segment_name(1, name);
    file_make(folder, name, pages, sizeof pages);
    struct wal_note note = {.epoch = folder->epoch,
                            .segment = 1,
                            .segment_size = sizeof pages,
                            .seq_first = seal.seq_first,
                            .seq_durable = seal.seq_durable,
                            .seal = seal.checksum};
    CHECK_EQUAL(wal_note_write(folder->disk, &note), 0);
    files_keep(folder);
    return seq_older;
}

/* The older snapshot ends before the fork, and the log goes on from the newer one. */
TEST(fork_that_lies_before_a_log_without_a_block_begins_anew)
{
    static struct folder folder;
    for (uint32_t crashes = 0; crashes < 8; crashes++) {
        struct fork fork = {0};
        uint64_t seq_older = empty_log_make(&folder);
        fork.fork_seq = seq_older + 1 + below(&folder, engine_seq(folder.engine) - seq_older - 1);
        go_back(&folder, &fork, crashes);
        CHECK(fork.begins_anew);
        state_check(&folder, &fork);
        files_check(&folder, &fork);
        folder_free(&folder);
    }
}

/* A block without commands, of an epoch that has none. */
static void empty_block_make(struct folder *folder)
{
    static uint8_t image[WAL_ALIGN];
    struct forked_block *made = &folder->blocks[folder->block_count++];
    uint64_t seq = engine_seq(folder->engine);
    made->header = (struct wal_block){.previous = made[-1].header.checksum,
                                      .epoch = folder->epoch + 1,
                                      .seq_first = seq + 1,
                                      .seq_durable = seq,
                                      .time_us = folder->now_us,
                                      .digest = engine_digest(folder->engine)};
    wal_block_seal(&folder->packer, &made->header, folder->ids, folder->fields, image);
    made->image = malloc(sizeof image);
    CHECK(made->image != NULL);
    memcpy(made->image, image, sizeof image);
}

/* A log that ends with so many blocks without commands. */
static void emptily_ending_make(struct folder *folder, uint32_t empty_count)
{
    *folder = (struct folder){.machine = sim_machine_create(test_random()),
                              .engine = engine_made(),
                              .now_us = US_PER_SECOND,
                              .epoch = 1};
    open_disk(folder);
    for (uint32_t i = 0; i < 6; i++)
        block_make(folder, true);
    if (below(folder, 2) == 0)
        snapshot_make(folder);
    while (empty_count-- > 0)
        empty_block_make(folder);
    log_make(folder, false);
    files_keep(folder);
}

/* One of them looks like a seal, two do not. */
TEST(fork_at_the_last_change_gives_up_the_blocks_without_commands_behind_it)
{
    static struct folder folder;
    for (uint32_t i = 0; i < 12; i++) {
        struct replay replay = {0};
        emptily_ending_make(&folder, 1 + i % 3);
        struct fork fork = {.fork_seq = engine_seq(folder.engine)};
        go_back(&folder, &fork, i / 3);
        CHECK(!fork.begins_anew);
        state_check(&folder, &fork);
        CHECK(replay_and_open(&folder, &replay));
        CHECK_EQUAL(replay.epoch, block_of(&folder, fork.fork_seq)->header.epoch);
        wal_finish(&folder, false);
        folder_free(&folder);
    }
}

TEST(fork_inside_of_a_block_is_refused_and_changes_nothing)
{
    char error[REPLAY_ERROR_SIZE];
    struct fork fork;
    struct folder *folder = folder_to_fork(&fork);
    fork.fork_seq++; /* every block with commands has two at least */
    CHECK(!start(folder, &fork, error));
    CHECK(strstr(error, "lies inside of the block") != NULL);
    for (uint32_t i = 0; i < folder->file_count; i++)
        file_check(folder, folder->files[i].name, folder->files[i].bytes,
                   folder->files[i].size_bytes);
    folder_free(folder);
}

/* The segment that has the block, and its place there. */
static uint64_t place_of(const struct folder *folder, const struct forked_block *block,
                         const char **name)
{
    for (uint32_t i = 0; i < folder->file_count; i++) {
        const struct kept_file *kept = &folder->files[i];
        for (uint64_t at = 0; strncmp(kept->name, "wal-", 4) == 0 && at < kept->size_bytes;
             at += WAL_ALIGN) {
            *name = kept->name;
            if (memcmp(kept->bytes + at, &block->header, sizeof block->header) == 0)
                return at;
        }
    }
    test_fail(__FILE__, __LINE__, "the block is in no segment");
}

/* A block with commands behind the fork which the log's last one proves to have been durable; NULL:
 * there is none. */
static const struct forked_block *provable_of(const struct folder *folder, const struct fork *fork)
{
    uint32_t count;
    const struct forked_block *first = tail_of(folder, fork, &count);
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (first[i].header.command_count > 0)
            return &first[i];
    }
    return NULL;
}

static void damage_check(struct folder *folder, struct fork *fork,
                         const struct forked_block *damaged)
{
    char error[REPLAY_ERROR_SIZE];
    const char *name;
    uint64_t at = place_of(folder, damaged, &name) + test_random_below(sizeof damaged->header);
    sim_disk_flip(folder->machine, "data", name, at, 3);
    CHECK(!start(folder, fork, error));
    if (strstr(error, name) == NULL)
        test_fail(__FILE__, __LINE__, "%s is not named: %s", name, error);
    sim_disk_flip(folder->machine, "data", name, at, 3);
    /* Once a file has it, the same damage is what a recovery has left. */
    fork->disk = folder->disk;
    CHECK(fork_set_aside(fork));
    sim_disk_flip(folder->machine, "data", name, at, 3);
    go_back(folder, fork, 0);
    state_check(folder, fork);
    tail_check(folder, fork);
}

TEST(damage_behind_a_fork_is_refused_as_long_as_no_file_has_what_is_there)
{
    for (int checked = 0; checked < ROUNDS / 2;) {
        struct fork fork;
        struct folder *folder = folder_to_fork(&fork);
        const struct forked_block *damaged = provable_of(folder, &fork);
        if (damaged != NULL)
            damage_check(folder, &fork, damaged);
        checked += damaged != NULL;
        folder_free(folder);
    }
}
