/* A log that takes the blocks of another one, over the simulated disk: whatever a crash leaves of
 * several writes in flight, recovery finds a beginning of the primary's chain that has everything
 * that was told durable, byte for byte, and never calls it damage; and the log can lead and follow
 * in turn.
 *
 * The chain is the model: the blocks that the log which leads has shown as durable, in order. */
#include <stdlib.h>
#include <string.h>

#include "base/disk.h"
#include "base/io.h"
#include "base/limits.h"
#include "tests/sim/sim.h"
#include "tests/test.h"
#include "wal/reader.h"
#include "wal/wal.h"

enum {
    ROUNDS = 25,
    LIVES = 5,
    CHAIN_MAX = 4096,
    USER_WRITE = 100,
    USER_PREPARE = 200,
    EVENTS_MAX = 16,
    COMMAND_SIZE_MAX = 600,
};

struct link {
    struct wal_block block;
    uint8_t *image;
};

struct chain {
    struct link links[CHAIN_MAX];
    uint32_t count;
};

/* A log in a folder, and which part of the chain it has. It begins with `first`: before that it has
 * a snapshot with seq_known. */
struct member {
    struct sim_machine *machine;
    struct chain *chain;
    const char *folder;
    struct disk *disk;
    struct io *io;
    struct wal *wal;
    uint64_t seq_known;
    uint64_t seq_released;
    uint64_t epoch;
    uint32_t first;
    uint32_t taken;   /* links handed to the log, */
    uint32_t durable; /* and those of them that it told durable */
};

static uint64_t seq_after(const struct link *link)
{
    return link->block.seq_first + link->block.command_count;
}

static void chain_add(struct chain *chain, const struct wal_block *block, const uint8_t *image)
{
    CHECK(chain->count < CHAIN_MAX);
    struct link *link = &chain->links[chain->count];
    if (chain->count > 0) {
        CHECK_EQUAL(block->previous, link[-1].block.checksum);
        CHECK_EQUAL(block->seq_first, seq_after(&link[-1]));
    }
    link->block = *block;
    link->image = malloc(block->block_size);
    CHECK(link->image != NULL);
    memcpy(link->image, image, block->block_size);
    chain->count++;
}

static void chain_cut(struct chain *chain, uint32_t count)
{
    while (chain->count > count)
        free(chain->links[--chain->count].image);
}

/* The log tells that a block is durable: it is the chain's next one, or the chain's new end. */
static void on_durable(void *context, const struct wal_block *block, const uint8_t *image)
{
    struct member *member = context;
    struct chain *chain = member->chain;
    if (member->durable == chain->count)
        chain_add(chain, block, image);
    const struct link *link = &chain->links[member->durable++];
    CHECK_EQUAL(block->checksum, link->block.checksum);
    CHECK(memcmp(image, link->image, block->block_size) == 0);
    CHECK(wal_seq_durable(member->wal) + 1 >= seq_after(link));
}

/* The link of the first block that was read. */
static uint32_t find(const struct member *member, const struct wal_block *block)
{
    for (uint32_t i = member->first; i < member->chain->count; i++) {
        if (member->chain->links[i].block.checksum == block->checksum)
            return i;
    }
    return member->chain->count;
}

/* Reads the log and compares it with the chain. What was in flight when the log that leads crashed
 * may be there, and is a part of the chain then. */
static struct wal_end member_read(struct member *member, bool leads)
{
    struct wal_reader reader;
    struct chain *chain = member->chain;
    CHECK_EQUAL(wal_reader_init(&reader, member->disk), 0);
    reader.seq_known = member->seq_known;
    enum wal_read read = wal_reader_next(&reader);
    uint32_t index = member->first;
    if (read == WAL_READ_BLOCK)
        index = find(member, &reader.block);
    CHECK(index == member->first || chain->links[index].block.seq_first <= member->seq_released);
    for (; read == WAL_READ_BLOCK; read = wal_reader_next(&reader), index++) {
        if (index == chain->count && leads)
            chain_add(chain, &reader.block, reader.image);
        CHECK(index < chain->count);
        const struct link *link = &chain->links[index];
        CHECK_EQUAL(link->block.block_size, reader.block.block_size);
        CHECK(memcmp(link->image, reader.image, reader.block.block_size) == 0);
    }
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", reader.error);
    /* An empty block at the end is a part of the log only when another one is chained to it. */
    while (member->durable > index)
        CHECK_EQUAL(chain->links[--member->durable].block.command_count, 0);
    member->taken = member->durable = index;
    struct wal_end end = reader.end;
    wal_reader_deinit(&reader);
    return end;
}

/* Starts. False when a crash came in between. */
static bool member_open(struct member *member, bool leads)
{
    static const struct io_options io_options = {
        .connections_max = 1, .buffer_size = 256, .buffer_count = 1};
    struct sim_machine *machine = member->machine;
    struct wal_options options = {
        .segment_size = (uint64_t)WAL_SEGMENT_SIZE_TAKES << sim_random_below(machine, 3),
        .writes_max = 1 + (uint32_t)sim_random_below(machine, WAL_WRITES_MAX),
        .user_write = USER_WRITE,
        .user_prepare = USER_PREPARE,
    };
    char error[IO_ERROR_SIZE];
    CHECK_EQUAL(disk_open(&member->disk, member->folder, DISK_WRITE), 0);
    member->io = io_create(&io_options, error);
    struct wal_end end = member_read(member, leads);
    if (leads)
        chain_cut(member->chain, member->taken);
    member->epoch = leads ? member->epoch + 1 : end.epoch;
    if (wal_open(&member->wal, member->io, member->disk, &options, &end, member->epoch, error) != 0)
        return false;
    wal_watch(member->wal, on_durable, member);
    return true;
}

/* The power fails; the dead log is told that its writes succeeded, so that it can be closed. */
static void member_crash(struct member *member)
{
    struct io_event events[EVENTS_MAX];
    sim_crash(member->machine);
    if (member->wal != NULL)
        wal_watch(member->wal, NULL, NULL);
    while (member->wal != NULL && wal_awaits_event(member->wal)) {
        int count = io_wait(member->io, events, EVENTS_MAX, 1, 0);
        for (int i = 0; i < count; i++)
            (void)wal_event(member->wal, &events[i]);
    }
    wal_close(member->wal);
    member->wal = NULL;
    io_destroy(member->io);
    disk_close(member->disk);
}

/* The log's own part of a turn of the loop. */
static void member_turn(struct member *member)
{
    struct io_event events[EVENTS_MAX];
    bool is_refused = wal_is_refused(member->wal);
    wal_turn(member->wal, sim_chance(member->machine, 20));
    uint64_t timeout_us = is_refused ? 1000000 : sim_random_below(member->machine, 200);
    int count = io_wait(member->io, events, EVENTS_MAX, 1, timeout_us);
    for (int i = 0; i < count; i++)
        CHECK_EQUAL(wal_event(member->wal, &events[i]), 0);
    if (sim_chance(member->machine, 2) && wal_seq_durable(member->wal) > member->seq_known) {
        uint64_t seq = 1 + sim_random_below(member->machine, wal_seq_durable(member->wal));
        if (seq > member->seq_released)
            member->seq_released = seq;
        CHECK(wal_release(member->wal, member->seq_released) >= 0);
    }
}

static void append(struct member *member, uint32_t count)
{
    static uint8_t noise[COMMAND_SIZE_MAX];
    for (; count > 0 && wal_room(member->wal, COMMAND_SIZE_MAX) == WAL_ROOM; count--) {
        size_t size = 1 + sim_random_below(member->machine, COMMAND_SIZE_MAX);
        for (size_t i = 0; i < size; i++)
            noise[i] = (uint8_t)test_random();
        (void)wal_begin_time(member->wal, sim_time_us(member->machine));
        uint8_t *ids = wal_ids(member->wal);
        uint8_t *fields = wal_fields(member->wal);
        memcpy(ids, noise, size);
        memset(fields, 7, size);
        wal_append(member->wal, ids + size, fields + size, 1, test_random());
    }
}

/* Appends commands for some turns. */
static void lead(struct member *member, uint32_t turns)
{
    for (uint32_t turn = 0; turn < turns; turn++) {
        if (sim_chance(member->machine, 70))
            append(member, 1 + (uint32_t)(sim_random_below(member->machine, 400) >>
                                          sim_random_below(member->machine, 9)));
        if (sim_chance(member->machine, 70))
            wal_submit(member->wal);
        member_turn(member);
        if (sim_chance(member->machine, 3) &&
            wal_block_last(member->wal) < wal_block_open(member->wal))
            wal_epoch_begin(member->wal, ++member->epoch);
    }
}

/* Takes what there is room for, at most count links of the chain, for some turns. */
static void follow(struct member *member, uint32_t turns)
{
    for (uint32_t turn = 0; turn < turns; turn++) {
        uint32_t end = member->taken + (uint32_t)sim_random_below(member->machine, 4);
        for (; member->taken < end && member->taken < member->chain->count; member->taken++) {
            const struct link *link = &member->chain->links[member->taken];
            if (wal_take_room(member->wal, &link->block) != WAL_ROOM)
                break;
            wal_take(member->wal, &link->block, link->image);
        }
        member_turn(member);
    }
}

static void member_settle(struct member *member)
{
    while (wal_block_durable(member->wal) < wal_block_last(member->wal) || !wal_idle(member->wal)) {
        wal_submit(member->wal);
        member_turn(member);
    }
}

static void member_close(struct member *member)
{
    member_settle(member);
    wal_close(member->wal);
    member->wal = NULL;
    io_destroy(member->io);
    disk_close(member->disk);
}

/* Lives that lead or follow, most of them ended by a crash. */
static void live(struct member *member, bool leads, int lives)
{
    struct sim_machine *machine = member->machine;
    for (int i = 0; i < lives; i++) {
        if (sim_chance(machine, 20))
            sim_disk_crash_at(machine, 1 + (uint32_t)sim_random_below(machine, 4));
        bool is_open = member_open(member, leads);
        sim_disk_crash_at(machine, 0);
        if (is_open && leads)
            lead(member, (uint32_t)sim_random_below(machine, 60));
        else if (is_open)
            follow(member, (uint32_t)sim_random_below(machine, 120));
        if (!is_open || sim_chance(machine, 70))
            member_crash(member);
        else
            member_close(member);
    }
}

/* Follows until it has all of the chain. */
static void follow_to_end(struct member *member)
{
    CHECK(member_open(member, false));
    while (member->durable < member->chain->count)
        follow(member, 1);
    member_close(member);
    CHECK(member_open(member, false));
    uint32_t count = member->chain->count;
    while (count > member->first && member->chain->links[count - 1].block.command_count == 0)
        count--;
    CHECK(member->durable >= count);
    member_close(member);
}

/* A member that has a snapshot with some seq of the chain, and no log yet. */
static void begin_anywhere(struct member *member)
{
    if (member->chain->count == 0 || sim_chance(member->machine, 30))
        return;
    uint64_t seq_last = seq_after(&member->chain->links[member->chain->count - 1]) - 1;
    member->seq_known = sim_random_below(member->machine, seq_last);
    while (seq_after(&member->chain->links[member->first]) <= member->seq_known + 1)
        member->first++;
    member->taken = member->durable = member->first;
}

/* Is anything of it durable? Else its own blocks would begin a chain. */
static bool has_commands(const struct member *member)
{
    const struct link *links = member->chain->links;
    uint32_t count = member->durable;
    return count > member->first && seq_after(&links[count - 1]) > member->seq_known + 1;
}

/* One log leads; another one follows it through crashes, and is promoted where it has come to; then
 * a third one follows that. */
static void play(bool refuses)
{
    static struct chain chain;
    struct sim_machine *machine = sim_machine_create(test_random());
    struct member members[3];
    static const char *const folders[] = {"first", "second", "third"};
    for (int i = 0; i < 3; i++)
        members[i] = (struct member){.machine = machine, .chain = &chain, .folder = folders[i]};
    chain.count = 0;
    live(&members[0], true, LIVES);
    for (int i = 1; i < 3; i++) {
        begin_anywhere(&members[i]);
        if (refuses)
            sim_disk_refuse_writes(machine, folders[i], "",
                                   (unsigned)sim_random_below(machine, 40));
        live(&members[i], false, LIVES);
        sim_disk_refuse_writes(machine, folders[i], "", 0);
        if (sim_chance(machine, 50))
            follow_to_end(&members[i]);
        members[i].epoch = members[i - 1].epoch;
        if (has_commands(&members[i]) && sim_chance(machine, 80))
            live(&members[i], true, LIVES);
    }
    chain_cut(&chain, 0);
    sim_machine_destroy(machine);
}

TEST(log_of_taken_blocks_keeps_what_it_told_durable_through_crashes)
{
    for (int round = 0; round < ROUNDS; round++)
        play(false);
}

TEST(log_of_taken_blocks_on_storage_that_refuses_writes_keeps_what_it_told_durable)
{
    for (int round = 0; round < ROUNDS; round++)
        play(true);
}
