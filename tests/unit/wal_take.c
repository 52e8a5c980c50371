/* Taking the blocks of another log: what each one waits for; epochs; and who is told of what is
 * durable. tests/sim/wal_take_sim_test.c lets crashes look for what the rules are for. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/limits.h"
#include "tests/unit/wal_log.h"

enum { FIELDS_SIZE = 100, TOLD_MAX = 16 };

/* The log that the blocks come from. */
struct source {
    struct wal_packer packer;
    struct wal_block block; /* the last one made */
    uint64_t epoch;
    uint8_t image[WAL_BLOCK_SIZE_MAX];
};

static struct source *source_create(void)
{
    struct source *source = calloc(1, sizeof *source);
    CHECK(source != NULL);
    source->epoch = 1;
    source->block.seq_first = 1;
    return source;
}

/* Makes the next block. Without commands: a seal that the block after it is chained to. */
static void source_make(struct source *source, uint32_t command_count, uint64_t seq_durable)
{
    static const uint8_t fields[FIELDS_SIZE] = {1, 2, 3};
    const struct wal_block *last = &source->block;
    uint64_t seq = last->seq_first + last->command_count;
    source->block = (struct wal_block){
        .previous = last->checksum,
        .epoch = source->epoch,
        .seq_first = seq,
        .seq_durable = command_count == 0 ? seq - 1 : seq_durable,
        .time_us = 1000,
        .digest = seq + command_count,
        .command_count = command_count,
        .fields_size = command_count == 0 ? 0 : FIELDS_SIZE,
    };
    if (command_count == 0)
        source->block.digest = last->digest;
    wal_block_seal(&source->packer, &source->block, fields, fields, source->image);
}

static enum wal_room take(struct log *log, const struct source *source)
{
    enum wal_room room = wal_take_room(log->wal, &source->block);
    if (room == WAL_ROOM)
        wal_take(log->wal, &source->block, source->image);
    return room;
}

static struct log *log_begin(void)
{
    struct log *log = log_create();
    log->options.takes_blocks = true;
    log_open(log);
    return log;
}

/* A log that has taken a block of ten commands, which is durable. */
static struct log *log_of_ten(struct source *source)
{
    struct log *log = log_begin();
    source_make(source, 10, 0);
    CHECK_EQUAL(take(log, source), WAL_ROOM);
    log_drain(log);
    CHECK_EQUAL(wal_seq_durable(log->wal), 10);
    return log;
}

static void check_end(const struct log *log, const struct source *source)
{
    CHECK_EQUAL(wal_previous(log->wal), source->block.checksum);
    CHECK_EQUAL(wal_seq_next(log->wal), source->block.seq_first + source->block.command_count);
    CHECK_EQUAL(wal_epoch(log->wal), source->block.epoch);
}

static void finish(struct log *log, struct source *source)
{
    log_close(log);
    log_free(log);
    free(source);
}

/* Is it a completion of the note's write, or of the seal's? */
static bool is_of(const struct log *log, const struct io_event *event, bool of_note)
{
    return event->kind == IO_WRITTEN &&
           event->user == log->options.user_write + WAL_WRITES_MAX + (of_note ? 0 : 1);
}

/* Waits for the completion of the note's write, or of the seal's, and takes it out of those that
 * are held. */
static struct io_event event_take(struct log *log, bool of_note)
{
    for (;;) {
        for (uint32_t i = 0; i < log->event_count; i++) {
            struct io_event event = log->events[i];
            if (!is_of(log, &event, of_note))
                continue;
            log->events[i] = log->events[--log->event_count];
            return event;
        }
        log_pump(log);
    }
}

/* Waits for the completion of a block, and delivers all that are held. */
static void block_deliver(struct log *log)
{
    bool is_there = false;
    while (!is_there) {
        for (uint32_t i = 0; i < log->event_count; i++)
            is_there |= log->events[i].kind == IO_WRITTEN &&
                        log->events[i].user < log->options.user_write + WAL_WRITES_MAX;
        if (!is_there)
            log_pump(log);
    }
    for (uint32_t i = 0; i < log->event_count; i++)
        CHECK_EQUAL(wal_event(log->wal, &log->events[i]), 0);
    log->event_count = 0;
}

TEST(taken_block_is_on_the_disk_as_it_came)
{
    struct source *source = source_create();
    struct log *log = log_of_ten(source);
    check_end(log, source);
    uint8_t image[WAL_ALIGN];
    CHECK_EQUAL(source->block.block_size, sizeof image);
    int file = disk_file_open(log->disk, "wal-0000000001.log", false);
    CHECK_EQUAL(disk_file_read(log->disk, file, 0, image, sizeof image), sizeof image);
    CHECK(memcmp(image, source->image, sizeof image) == 0);
    disk_file_close(log->disk, file);
    finish(log, source);
}

TEST(taken_block_waits_until_what_it_calls_durable_is_durable_here)
{
    struct source *source = source_create();
    struct log *log = log_begin();
    log->held = true;
    source_make(source, 10, 0);
    CHECK_EQUAL(take(log, source), WAL_ROOM);
    source_make(source, 10, 0);
    CHECK_EQUAL(take(log, source), WAL_ROOM);
    source_make(source, 10, 20);
    CHECK_EQUAL(take(log, source), WAL_ROOM_LATER);
    log_drain(log);
    CHECK_EQUAL(take(log, source), WAL_ROOM);
    check_end(log, source);
    finish(log, source);
}

TEST(block_waits_until_the_empty_one_before_it_is_durable)
{
    struct source *source = source_create();
    struct log *log = log_of_ten(source);
    for (int taken = 0; taken < 2; taken++) {
        log->held = true;
        source_make(source, 0, 0);
        CHECK_EQUAL(take(log, source), WAL_ROOM);
        check_end(log, source);
        uint64_t block = wal_block_open(log->wal);
        if (taken == 0) {
            source_make(source, 10, 9);
            CHECK_EQUAL(take(log, source), WAL_ROOM_LATER);
        } else {
            log->seq_last = wal_seq_next(log->wal) - 1;
            log_append(log, 1);
            wal_submit(log->wal);
        }
        CHECK_EQUAL(wal_block_open(log->wal), block);
        log_drain(log);
        CHECK(taken > 0 || take(log, source) == WAL_ROOM);
        log_drain(log);
        CHECK_EQUAL(wal_block_open(log->wal), block + 1);
    }
    CHECK_EQUAL(wal_seq_durable(log->wal), 21);
    finish(log, source);
}

TEST(block_waits_while_the_logs_own_seal_is_written_and_overwrites_it)
{
    struct source *source = source_create();
    struct log *log = log_of_ten(source);
    log->held = true;
    wal_turn(log->wal, true);
    source_make(source, 10, 10);
    CHECK_EQUAL(take(log, source), WAL_ROOM_LATER);
    log_drain(log);
    CHECK_EQUAL(take(log, source), WAL_ROOM);
    log_drain(log);
    struct log_found *found = log_read(NULL);
    CHECK_EQUAL(found->block_count, 2);
    CHECK_EQUAL(found->end.offset, 2 * WAL_ALIGN);
    free(found);
    finish(log, source);
}

/* Else a log that ends with it would pass for sealed, whatever of it was lost. */
TEST(taken_seal_that_was_noted_as_the_end_counts_when_a_note_without_it_is_durable)
{
    struct source *source = source_create();
    struct log *log = log_of_ten(source);
    wal_turn(log->wal, true);
    log_drain(log);
    source_make(source, 0, 0);
    CHECK_EQUAL(note_read().seal, source->block.checksum);
    uint64_t durable = wal_block_durable(log->wal);
    log->held = true;
    CHECK_EQUAL(take(log, source), WAL_ROOM);
    struct io_event note = event_take(log, true);
    block_deliver(log);
    CHECK_EQUAL(wal_block_durable(log->wal), durable);
    CHECK_EQUAL(wal_event(log->wal, &note), 0);
    CHECK_EQUAL(wal_block_durable(log->wal), durable + 1);
    CHECK_EQUAL(note_read().seal, 0);
    finish(log, source);
}

TEST(block_of_a_newer_epoch_is_handed_to_the_disk_when_the_note_names_it)
{
    struct source *source = source_create();
    struct log *log = log_of_ten(source);
    for (int taken = 0; taken < 2; taken++) {
        log->held = true;
        uint64_t epoch = ++source->epoch;
        uint64_t block = wal_block_open(log->wal);
        if (taken == 0) {
            source_make(source, 10, 10);
            CHECK_EQUAL(take(log, source), WAL_ROOM_LATER);
        } else {
            wal_epoch_begin(log->wal, epoch);
            CHECK_EQUAL(wal_epoch(log->wal), epoch);
            log->seq_last = wal_seq_next(log->wal) - 1;
            log_append(log, 1);
            wal_submit(log->wal);
        }
        CHECK_EQUAL(wal_block_open(log->wal), block);
        struct io_event note = event_take(log, true);
        CHECK_EQUAL(note_read().epoch, epoch);
        CHECK_EQUAL(wal_event(log->wal, &note), 0);
        if (taken == 0)
            CHECK_EQUAL(take(log, source), WAL_ROOM);
        else
            wal_submit(log->wal);
        CHECK_EQUAL(wal_block_open(log->wal), block + 1);
        log_drain(log);
    }
    struct log_found *found = log_read(NULL);
    CHECK_EQUAL(found->end.epoch, 3);
    CHECK_EQUAL(found->end.seq_next, 22);
    free(found);
    finish(log, source);
}

/* What the log has told, by checksum. */
struct told {
    const struct wal *wal;
    uint32_t count;
    uint64_t checksums[TOLD_MAX];
};

static void on_durable(void *context, const struct wal_block *block, const uint8_t *image)
{
    struct told *told = context;
    struct wal_block header;
    CHECK(told->count < TOLD_MAX);
    CHECK(wal_block_read(image, &header) && wal_block_verify(&header, image));
    CHECK_EQUAL(header.checksum, block->checksum);
    CHECK(wal_seq_durable(told->wal) + 1 >= block->seq_first + block->command_count);
    told->checksums[told->count++] = block->checksum;
}

TEST(durable_blocks_are_told_in_order_with_the_seals_that_are_a_part_of_the_log)
{
    struct log *log = log_create();
    log_open(log);
    struct told told = {.wal = log->wal};
    wal_watch(log->wal, on_durable, &told);
    for (int i = 0; i < 3; i++) {
        log_append(log, 10);
        log_drain(log);
        /* The second seal is overwritten, the others are followed. */
        if (i == 1) {
            wal_turn(log->wal, true);
            log_drain(log);
            continue;
        }
        log->held = true;
        wal_turn(log->wal, true);
        log_append(log, 10);
        wal_submit(log->wal);
        struct io_event seal = event_take(log, false);
        uint32_t count = told.count;
        block_deliver(log);
        CHECK_EQUAL(told.count, count);
        CHECK_EQUAL(wal_event(log->wal, &seal), 0);
        CHECK_EQUAL(told.count, count + 2);
        log->held = false;
    }
    log_close(log);
    struct log_found *found = log_read(log);
    CHECK_EQUAL(found->block_count, 7);
    CHECK_EQUAL(told.count, 7);
    for (uint32_t i = 0; i < 7; i++)
        CHECK_EQUAL(told.checksums[i], found->blocks[i].header.checksum);
    free(found);
    log_free(log);
}

TEST(segments_within_some_bytes_are_counted_from_the_newest_closed_one)
{
    struct log *log = log_create();
    const uint64_t size = log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    log_open(log);
    while (wal_closed_count(log->wal, 0) < 3) {
        log_append(log, 1000);
        log_drain(log);
    }
    log_close_unsealed(log);
    struct log_found *found = log_read(log);
    uint64_t begins[] = {0, 0, 0, 0, 0};
    for (uint32_t i = found->block_count; i-- > 0;)
        begins[found->blocks[i].segment] = found->blocks[i].header.seq_first;
    free(found);
    log_open(log);
    CHECK_EQUAL(wal_seq_within(log->wal, 0), begins[4]);
    CHECK_EQUAL(wal_seq_within(log->wal, size - 1), begins[4]);
    CHECK_EQUAL(wal_seq_within(log->wal, size), begins[3]);
    CHECK_EQUAL(wal_seq_within(log->wal, 2 * size), begins[2]);
    CHECK_EQUAL(wal_seq_within(log->wal, 3 * size), begins[1]);
    CHECK_EQUAL(wal_seq_within(log->wal, UINT64_MAX), begins[1]);
    log_close(log);
    log_free(log);
}

TEST(log_that_is_cut_before_its_first_block_begins_anew_where_the_snapshot_ends)
{
    struct log *log = log_create();
    struct wal_reader reader;
    char error[IO_ERROR_SIZE];
    log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    log_open(log);
    log_append(log, 20000);
    log_close(log);
    log_open(log);
    wal_close(log->wal);
    CHECK_EQUAL(wal_reader_init(&reader, log->disk), 0);
    reader.seq_known = 123;
    struct wal_end end = wal_reader_end_here(&reader);
    wal_reader_deinit(&reader);
    CHECK_EQUAL(end.seq_next, 124);
    CHECK_EQUAL(wal_open(&log->wal, log->io, log->disk, &log->options, &end, 7, error), 0);
    CHECK_EQUAL(wal_segment_first(log->wal), 1);
    CHECK_EQUAL(wal_seq_first(log->wal), 124);
    CHECK_EQUAL(wal_previous(log->wal), 0);
    log->seq_last = 123;
    log_append(log, 10);
    log_close(log);
    struct log_found *found = log_read(log);
    CHECK_EQUAL(found->result, WAL_READ_END);
    CHECK_EQUAL(found->block_count, 1);
    CHECK_EQUAL(found->blocks[0].header.seq_first, 124);
    CHECK_EQUAL(found->end.epoch, 7);
    CHECK_EQUAL(note_read().epoch, 7);
    free(found);
    log_free(log);
}
