/* Members. */
#include "tests/sim/member.h"

#include <stdlib.h>
#include <string.h>

enum {
    USER_WRITE = 100,
    USER_PREPARE = 200,
    USER_ARCHIVE = 300,
    EVENTS_MAX = 16,
    COMMAND_SIZE_MAX = 600,
};

static void chain_add(struct chain *chain, const struct wal_block *block, const uint8_t *image)
{
    CHECK(chain->count < CHAIN_MAX);
    struct link *link = &chain->links[chain->count];
    if (chain->count > 0) {
        CHECK_EQUAL(block->previous, link[-1].block.checksum);
        CHECK_EQUAL(block->seq_first, link_seq_last(&link[-1]) + 1);
    }
    link->block = *block;
    link->image = malloc(block->block_size);
    CHECK(link->image != NULL);
    memcpy(link->image, image, block->block_size);
    chain->count++;
}

void chain_cut(struct chain *chain, uint32_t count)
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
    if (member->ring != NULL)
        wal_ring_add(member->ring, block, image);
    const struct link *link = &chain->links[member->durable++];
    CHECK_EQUAL(block->checksum, link->block.checksum);
    CHECK(memcmp(image, link->image, block->block_size) == 0);
    CHECK(wal_seq_durable(member->wal) >= link_seq_last(link));
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

/* Compares the blocks of a log with the chain. What was in flight when the log that leads crashed
 * may be there, and is a part of the chain then. Returns the link after the last one. */
static uint32_t compare(struct member *member, struct wal_reader *reader, bool leads)
{
    struct chain *chain = member->chain;
    bool is_begun = false;
    uint32_t index = member->first;
    while (member->cut_at == 0 || index < member->cut_at) {
        enum wal_read read = wal_reader_next(reader);
        if (read == WAL_READ_DAMAGE || read == WAL_READ_ERROR)
            test_fail(__FILE__, __LINE__, "%s", reader->error);
        if (read == WAL_READ_END)
            break;
        if (!is_begun)
            index = find(member, &reader->block);
        is_begun = true;
        if (index == chain->count && leads)
            chain_add(chain, &reader->block, reader->image);
        CHECK(index < chain->count);
        const struct link *link = &chain->links[index++];
        CHECK_EQUAL(link->block.block_size, reader->block.block_size);
        CHECK(memcmp(link->image, reader->image, reader->block.block_size) == 0);
    }
    return index;
}

/* Reads the log, and finds its end, or where it is to be cut. */
static struct wal_end member_read(struct member *member, bool leads)
{
    struct wal_reader reader;
    struct chain *chain = member->chain;
    CHECK_EQUAL(wal_reader_init(&reader, member->disk), 0);
    reader.seq_known = member->seq_known;
    reader.ignores_note = member->cut_at > 0;
    uint32_t index = compare(member, &reader, leads);
    if (member->cut_at > 0) {
        CHECK_EQUAL(index, member->cut_at);
        member->durable = index;
        reader.end = wal_reader_end_here(&reader);
    }
    /* An empty block at the end is a part of the log only when another one is chained to it. */
    while (member->durable > index)
        CHECK_EQUAL(chain->links[--member->durable].block.command_count, 0);
    member->taken = member->durable = index;
    struct wal_end end = reader.end;
    wal_reader_deinit(&reader);
    return end;
}

static void archive_begin(struct member *member, const struct wal_end *end)
{
    const struct archive_options options = {.user = USER_ARCHIVE};
    struct archive_history history = {.log = member->disk,
                                      .seq_first = wal_seq_first(member->wal),
                                      .seq_next = end->seq_next,
                                      .epoch = end->epoch,
                                      .time_us = end->time_us};
    char error[ARCHIVE_ERROR_SIZE];
    CHECK_EQUAL(disk_open(&member->archive_disk, member->archive_folder, DISK_WRITE), 0);
    if (archive_open(&member->archive, member->io, member->archive_disk, &history, &options,
                     error) != 0)
        test_fail(__FILE__, __LINE__, "%s", error);
    archive_start(member->archive, member->wal);
}

bool member_open(struct member *member, bool leads)
{
    static const struct io_options io_options = {
        .connections_max = 1, .buffer_size = 256, .buffer_count = 1};
    struct sim_machine *machine = member->machine;
    struct wal_options options = {
        .segment_size = (uint64_t)WAL_SEGMENT_SIZE_TAKES << sim_random_below(machine, 3),
        .writes_max = 1 + (uint32_t)sim_random_below(machine, WAL_WRITES_MAX),
        .user_write = USER_WRITE,
        .user_prepare = USER_PREPARE,
        .takes_blocks = true,
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
    if (member->ring != NULL)
        wal_ring_begin(member->ring, end.seq_next - 1, end.previous);
    if (member->archive_folder != NULL)
        archive_begin(member, &end);
    return true;
}

/* Waits for events and delivers them. Of a dead member, which misses its disk, errors are none. */
static void events_deliver(struct member *member, uint64_t timeout_us, bool is_dead)
{
    struct io_event events[EVENTS_MAX];
    int count = io_wait(member->io, events, EVENTS_MAX, 1, timeout_us);
    for (int i = 0; i < count; i++) {
        if (events[i].user == USER_ARCHIVE)
            archive_event(member->archive, &events[i]);
        else
            CHECK(wal_event(member->wal, &events[i]) == 0 || is_dead);
    }
}

static bool awaits_event(const struct member *member)
{
    return (member->wal != NULL && wal_awaits_event(member->wal)) ||
           (member->archive != NULL && archive_awaits_event(member->archive));
}

static void member_free(struct member *member)
{
    archive_close(member->archive);
    wal_close(member->wal);
    io_destroy(member->io);
    if (member->archive_disk != NULL)
        disk_close(member->archive_disk);
    disk_close(member->disk);
    member->archive = NULL;
    member->wal = NULL;
    member->archive_disk = NULL;
}

void member_crash(struct member *member)
{
    sim_crash(member->machine);
    if (member->wal != NULL)
        wal_watch(member->wal, NULL, NULL);
    while (awaits_event(member))
        events_deliver(member, 0, true);
    member_free(member);
}

/* Releases something, now and then, of what is archived. */
static void release(struct member *member)
{
    uint64_t seq_max = wal_seq_durable(member->wal);
    if (member->archive != NULL)
        seq_max = archive_status(member->archive)->seq;
    if (seq_max <= member->seq_known || !sim_chance(member->machine, 2))
        return;
    uint64_t seq = 1 + sim_random_below(member->machine, seq_max);
    if (seq > member->seq_released)
        member->seq_released = seq;
    CHECK(wal_release(member->wal, member->seq_released) >= 0);
}

/* The log's own part of a turn of the loop. */
static void member_turn(struct member *member)
{
    bool is_refused = wal_is_refused(member->wal);
    wal_turn(member->wal, sim_chance(member->machine, 20));
    if (member->archive != NULL)
        archive_turn(member->archive, io_time_us(member->io));
    events_deliver(member, is_refused ? 1000000 : sim_random_below(member->machine, 200), false);
    release(member);
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
void member_lead(struct member *member, uint32_t turns)
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
void member_follow(struct member *member, uint32_t turns)
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

void member_close(struct member *member)
{
    while (wal_block_durable(member->wal) < wal_block_last(member->wal) || !wal_idle(member->wal) ||
           awaits_event(member)) {
        wal_submit(member->wal);
        member_turn(member);
    }
    member_free(member);
}
