/* Where the log ends: the table of wal/tail.c, case by case, on segments put together by hand. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/schema.h"
#include "tests/unit/wal_log.h"
#include "wal/reader_state.h"

enum { SEGMENT_SIZE = 1 << 20, COMMANDS = 10, NOISE = 0x5a };

/* The position of the next block, and the chain up to it. */
struct forge {
    uint32_t segment;
    uint64_t offset;
    uint64_t seq_next;
    uint64_t seq_durable;
    uint64_t previous;
    uint64_t epoch;
    uint32_t size; /* bytes of the fields column */
    uint8_t image[WAL_BLOCK_SIZE_MAX];
    struct wal_block block; /* the last one made */
};

/* A log of segment_count empty segments. */
static struct forge *forge_create(uint32_t segment_count)
{
    struct forge *forge = calloc(1, sizeof *forge);
    CHECK(forge != NULL);
    forge->segment = 1;
    forge->seq_next = 1;
    forge->epoch = 1;
    forge->size = 3 * WAL_ALIGN / 2; /* its two pages, and what surrounds them */
    for (uint32_t i = 1; i <= segment_count; i++)
        segment_create(i, SEGMENT_SIZE);
    return forge;
}

/* Builds the image of the next block and advances the position past it; the test writes all of it,
 * or a part. */
static void forge_make(struct forge *forge)
{
    static uint8_t fields[WAL_COLUMN_SIZE_MAX];
    struct wal_packer packer = {{0}, {0}};
    for (size_t i = 0; i < sizeof fields; i++)
        fields[i] = (uint8_t)test_random();
    forge->block = (struct wal_block){
        .previous = forge->previous,
        .epoch = forge->epoch,
        .seq_first = forge->seq_next,
        .seq_durable = forge->seq_durable,
        .time_us = 1000 * forge->seq_next,
        .command_count = COMMANDS,
        .fields_size = forge->size,
    };
    wal_block_seal(&packer, &forge->block, fields, fields, forge->image);
    forge->seq_next += COMMANDS;
    forge->previous = forge->block.checksum;
    forge->offset += forge->block.block_size;
}

static uint64_t forge_offset(const struct forge *forge)
{
    return forge->offset - forge->block.block_size;
}

/* The next block in full, written when `seq_durable` was durable. */
static void forge_block_at(struct forge *forge, uint64_t seq_durable)
{
    forge->seq_durable = seq_durable;
    forge_make(forge);
    segment_write(forge->segment, forge_offset(forge), forge->image, forge->block.block_size);
}

/* The next block in full, written when all before it was durable. */
static void forge_block(struct forge *forge)
{
    forge_block_at(forge, forge->seq_next - 1);
}

/* The next block of which only the first page reached the disk. */
static void forge_torn(struct forge *forge)
{
    forge->seq_durable = forge->seq_next - 1;
    forge_make(forge);
    segment_write(forge->segment, forge_offset(forge), forge->image, WAL_ALIGN);
}

/* The next block of which nothing reached the disk. */
static void forge_absent(struct forge *forge)
{
    forge->seq_durable = forge->seq_next - 1;
    forge_make(forge);
}

/* The next block of which everything but the first page reached the disk. */
static void forge_headless(struct forge *forge)
{
    forge_absent(forge);
    segment_write(forge->segment, forge_offset(forge) + WAL_ALIGN, forge->image + WAL_ALIGN,
                  forge->block.block_size - WAL_ALIGN);
}

static void forge_noise(uint32_t segment, uint64_t offset, size_t size)
{
    uint8_t *bytes = malloc(size);
    CHECK(bytes != NULL);
    memset(bytes, NOISE, size);
    segment_write(segment, offset, bytes, size);
    free(bytes);
}

static void forge_segment(struct forge *forge, uint32_t segment)
{
    forge->segment = segment;
    forge->offset = 0;
}

/* An old block of this log, as found in a recycled segment; its size may differ. */
static uint64_t forge_stale(uint32_t segment, uint64_t offset, uint64_t seq, uint32_t size)
{
    struct forge *past = forge_create(0);
    past->segment = segment;
    past->offset = offset;
    past->seq_next = seq;
    past->size = size;
    forge_block(past);
    uint64_t end = past->offset;
    free(past);
    return end;
}

static void check_end(const struct wal_end *expected)
{
    struct log_found *found = log_read(NULL);
    if (found->result != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "result %u: %s", found->result, found->error);
    CHECK_EQUAL(found->end.seq_next, expected->seq_next);
    CHECK_EQUAL(found->end.segment, expected->segment);
    CHECK_EQUAL(found->end.offset, expected->offset);
    CHECK_EQUAL(found->end.previous, expected->previous);
    CHECK_EQUAL(found->end.torn_bytes, expected->torn_bytes);
    free(found);
}

/* The current position; a test reads it before it forges what comes after. */
static struct wal_end end_here(const struct forge *forge)
{
    return (struct wal_end){
        .segment = forge->segment,
        .offset = forge->offset,
        .seq_next = forge->seq_next,
        .previous = forge->previous,
    };
}

static void check_cut(struct wal_end expected, uint64_t torn_bytes)
{
    expected.torn_bytes = torn_bytes;
    check_end(&expected);
}

static void check_damage(const struct wal_end *place)
{
    char offset[64];
    char seq[64];
    char name[64];
    struct log_found *found = log_read(NULL);
    CHECK_EQUAL(found->result, WAL_READ_DAMAGE);
    snprintf(name, sizeof name, "wal-%010u.log", place->segment);
    snprintf(offset, sizeof offset, "offset %" PRIu64 ",", place->offset);
    snprintf(seq, sizeof seq, "seq %" PRIu64 ":", place->seq_next);
    bool names_place = strstr(found->error, name) != NULL && strstr(found->error, offset) != NULL &&
                       strstr(found->error, seq) != NULL;
    if (!names_place || strstr(found->error, "backup") == NULL)
        test_fail(__FILE__, __LINE__, "the message is: %s", found->error);
    free(found);
}

TEST(empty_folder_is_an_empty_log)
{
    check_end(&(struct wal_end){.segment = 0, .seq_next = 1});
}

TEST(zeroed_segments_are_an_empty_log)
{
    struct forge *forge = forge_create(2);
    check_end(&(struct wal_end){.segment = 1, .seq_next = 1});
    free(forge);
}

TEST(log_ends_cleanly_before_zeros)
{
    struct forge *forge = forge_create(2);
    for (int i = 0; i < 5; i++)
        forge_block(forge);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(log_ends_cleanly_at_the_end_of_its_last_segment)
{
    struct forge *forge = forge_create(1);
    while (forge->offset < SEGMENT_SIZE)
        forge_block(forge);
    CHECK_EQUAL(forge->offset, SEGMENT_SIZE);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(log_goes_on_in_the_next_segment_where_a_block_did_not_fit)
{
    struct forge *forge = forge_create(3);
    forge_block(forge);
    forge_segment(forge, 2);
    forge_block(forge);
    forge_block(forge);
    forge_segment(forge, 3);
    forge_block(forge);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(log_whose_beginning_was_released_is_read_from_its_oldest_segment)
{
    struct forge *forge = forge_create(0);
    segment_create(7, SEGMENT_SIZE);
    segment_create(8, SEGMENT_SIZE);
    forge_segment(forge, 7);
    forge->seq_next = 1001;
    forge->previous = 12345;
    forge_block(forge);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(torn_block_with_nothing_after_it_is_cut)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge_torn(forge);
    check_cut(end, forge->block.block_size);
    free(forge);
}

TEST(torn_first_block_leaves_an_empty_log)
{
    struct forge *forge = forge_create(2);
    struct wal_end end = end_here(forge);
    forge_torn(forge);
    check_cut(end, forge->block.block_size);
    free(forge);
}

TEST(torn_block_without_its_header_is_cut)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge_headless(forge);
    check_cut(end, forge->block.block_size);
    free(forge);
}

TEST(bytes_that_are_no_block_are_cut)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    forge_noise(1, forge->offset, 3 * WAL_ALIGN);
    check_cut(end_here(forge), 3 * WAL_ALIGN);
    forge_noise(2, 5 * WAL_ALIGN, 1);
    check_cut(end_here(forge), SEGMENT_SIZE - forge->offset + 6 * WAL_ALIGN);
    free(forge);
}

TEST(torn_block_and_whole_ones_that_were_in_flight_with_it_are_cut)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge_torn(forge);
    forge_block_at(forge, end.seq_next - 1);
    forge_block_at(forge, end.seq_next - 1);
    check_cut(end, forge->offset - end.offset);
    free(forge);
}

TEST(missing_block_and_whole_ones_that_were_in_flight_with_it_are_cut)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge_absent(forge);
    forge_block_at(forge, end.seq_next - 1);
    check_cut(end, forge->offset - end.offset);
    free(forge);
}

TEST(blocks_in_flight_in_the_next_segment_are_cut_too)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge_torn(forge);
    forge_segment(forge, 2);
    forge_block_at(forge, end.seq_next - 1);
    check_cut(end, SEGMENT_SIZE - end.offset + forge->offset);
    free(forge);
}

TEST(first_blocks_in_flight_together_leave_an_empty_log)
{
    struct forge *forge = forge_create(2);
    struct wal_end end = end_here(forge);
    forge_torn(forge);
    forge_block_at(forge, 0);
    check_cut(end, forge->offset);
    free(forge);
}

TEST(bad_block_that_a_later_one_calls_durable_is_damage)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge_torn(forge);
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

TEST(missing_block_that_a_later_one_calls_durable_is_damage)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge_absent(forge);
    forge_block_at(forge, place.seq_next - 1);
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

TEST(damage_is_told_by_the_watermark_and_not_by_the_chain)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge_torn(forge);
    forge_block_at(forge, place.seq_next - 1);
    forge_block_at(forge, place.seq_next);
    check_damage(&place);
    free(forge);
}

TEST(damaged_first_block_is_damage)
{
    struct forge *forge = forge_create(2);
    struct wal_end place = end_here(forge);
    forge_torn(forge);
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

TEST(damage_is_proved_by_a_segment_far_behind)
{
    struct forge *forge = forge_create(9);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    for (uint32_t segment = 2; segment <= 8; segment++)
        forge_absent(forge);
    forge_segment(forge, 9);
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

TEST(stale_block_at_the_place_is_a_clean_end)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    uint64_t offset = forge_stale(1, forge->offset, 101, 500);
    forge_stale(1, offset, 111, 9000);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(rest_of_an_overwritten_block_before_stale_ones_is_a_clean_end)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    forge_noise(1, forge->offset, 2 * WAL_ALIGN);
    forge_stale(1, forge->offset + 2 * WAL_ALIGN, 101, 500);
    forge_stale(2, 0, 201, 500);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(recycled_segment_ahead_is_a_clean_end)
{
    struct forge *forge = forge_create(3);
    forge->seq_next = 5001;
    forge_block(forge);
    forge_stale(2, 0, 101, 500);
    forge_noise(2, SEGMENT_SIZE / 2, WAL_ALIGN);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(blocks_that_come_while_the_log_is_read_are_no_damage)
{
    struct wal_reader reader;
    struct disk *disk;
    struct forge *forge = forge_create(2);
    forge_block(forge);
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    CHECK(wal_reader_init(&reader, disk) == 0);
    reader.ignores_note = true;
    CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_BLOCK);
    /* The reader has read ahead, and has zeros in memory where the next block will be written. */
    forge_block(forge);
    forge_segment(forge, 2);
    forge_block(forge);
    CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_BLOCK);
    CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_BLOCK);
    CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_END);
    CHECK_EQUAL(reader.end.seq_next, forge->seq_next);
    wal_reader_deinit(&reader);
    disk_close(disk);
    free(forge);
}

TEST(many_recycled_segments_ahead_are_a_clean_end)
{
    enum { AHEAD = 8 };
    struct forge *forge = forge_create(AHEAD);
    forge->seq_next = 5001;
    forge_block(forge);
    for (uint32_t segment = 2; segment <= AHEAD; segment++)
        forge_stale(segment, 0, 100 * segment, 500);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(torn_block_over_stale_ones_is_cut_alone)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge_torn(forge);
    forge_noise(1, forge->offset - WAL_ALIGN, WAL_ALIGN);
    forge_stale(1, forge->offset, 101, 20000);
    check_cut(end, forge->offset - end.offset);
    free(forge);
}

TEST(blocks_in_flight_over_stale_ones_are_cut_alone)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge_absent(forge);
    forge_stale(1, end.offset, 101, 500);
    forge_block_at(forge, end.seq_next - 1);
    forge_stale(1, forge->offset, 111, 20000);
    check_cut(end, forge->offset - end.offset);
    free(forge);
}

TEST(stale_block_where_a_durable_one_stood_is_damage)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge_absent(forge);
    forge_stale(1, place.offset, 101, 500);
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

TEST(stale_block_is_never_a_proof_of_damage)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge_torn(forge);
    forge_stale(2, 0, 4991, 500);
    check_cut(end, forge->offset - end.offset);
    free(forge);
}

TEST(block_chained_to_another_past_that_it_calls_durable_is_damage)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge->previous ^= 1;
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

TEST(block_chained_to_another_past_that_it_does_not_call_durable_is_cut)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    forge->previous ^= 1;
    forge_block_at(forge, end.seq_next - 1 - COMMANDS);
    check_cut(end, forge->block.block_size);
    free(forge);
}

TEST(block_of_an_older_epoch_is_damage)
{
    struct forge *forge = forge_create(2);
    forge->epoch = 2;
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge->epoch = 1;
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

TEST(block_of_a_newer_epoch_is_read)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    forge->epoch = 5;
    forge_block(forge);
    check_cut(end_here(forge), 0);
    struct log_found *found = log_read(NULL);
    CHECK_EQUAL(found->end.epoch, 5);
    free(found);
    free(forge);
}

TEST(gap_in_seq_is_damage_when_the_gap_was_durable)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge->seq_next += 1;
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

/* Writes the last block made with another header, its checksum made to fit. */
static void forge_rewrite(struct forge *forge, struct wal_block block)
{
    enum { UNCHECKED_SIZE = offsetof(struct wal_block, previous) };
    memcpy(forge->image, &block, sizeof block);
    block.checksum = checksum64(forge->image + UNCHECKED_SIZE, block.block_size - UNCHECKED_SIZE);
    memcpy(forge->image, &block, sizeof block);
    segment_write(forge->segment, forge_offset(forge), forge->image, block.block_size);
}

static void check_version_refused(uint32_t version)
{
    char named[32];
    struct log_found *found = log_read(NULL);
    snprintf(named, sizeof named, "format version %u", version);
    CHECK_EQUAL(found->result, WAL_READ_ERROR);
    if (strstr(found->error, named) == NULL || strstr(found->error, "use the till that") == NULL)
        test_fail(__FILE__, __LINE__, "the message is: %s", found->error);
    free(found);
}

TEST(block_of_another_version_is_refused_with_the_remedy)
{
    for (uint32_t version = 1; version <= WAL_BLOCK_VERSION + 1; version++) {
        struct forge *forge = forge_create(2);
        forge_block(forge);
        forge_make(forge);
        struct wal_block block = forge->block;
        block.version = version;
        forge_rewrite(forge, block);
        if (version != WAL_BLOCK_VERSION)
            check_version_refused(version);
        free(forge);
    }
}

TEST(blocks_of_a_version_that_changes_everything_else_are_not_taken_for_a_torn_write)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    for (uint32_t i = 0; i < 3; i++) {
        forge_make(forge);
        struct wal_block block = forge->block;
        block.version = WAL_BLOCK_VERSION + 1 + i;
        block.checksum ^= test_random() | 1;
        block.ids_size = WAL_COLUMN_SIZE_MAX + 1;
        memcpy(forge->image, &block, sizeof block);
        segment_write(forge->segment, forge_offset(forge), forge->image, block.block_size);
        check_version_refused(WAL_BLOCK_VERSION + 1);
    }
    free(forge);
}

/* Whole, and written by a newer till: refused by name, and never cut. */
TEST(block_of_a_newer_schema_is_refused_by_name)
{
    struct forge *forge = forge_create(2);
    char named[80];
    snprintf(named, sizeof named, "written by a newer till: schema %d, this one knows %d",
             SCHEMA + 7, SCHEMA);
    forge_block(forge);
    forge_make(forge);
    struct wal_block block = forge->block;
    block.schema = SCHEMA + 7;
    forge_rewrite(forge, block);
    struct log_found *found = log_read(NULL);
    CHECK_EQUAL(found->result, WAL_READ_ERROR);
    if (strstr(found->error, named) == NULL)
        test_fail(__FILE__, __LINE__, "the message is: %s", found->error);
    free(found);
    free(forge);
}

TEST(block_whose_content_does_not_decompress_is_damage)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge_absent(forge);
    struct wal_block block = forge->block;
    block.fields_size++; /* noise that claims to be compressed */
    forge_rewrite(forge, block);
    check_damage(&place);
    free(forge);
}

/* Seals. */

/* An empty block at the position of the next one; it is written when `writes`. The position does
 * not advance: the next block overwrites it. */
static struct wal_block forge_seal(struct forge *forge, bool writes)
{
    struct wal_packer packer = {{0}, {0}};
    struct wal_block seal = {
        .previous = forge->previous,
        .epoch = forge->epoch,
        .seq_first = forge->seq_next,
        .seq_durable = forge->seq_next - 1,
        .time_us = 1000 * forge->seq_next,
    };
    wal_block_seal(&packer, &seal, forge->image, forge->image, forge->image);
    CHECK_EQUAL(seal.block_size, WAL_ALIGN);
    if (writes)
        segment_write(forge->segment, forge->offset, forge->image, WAL_ALIGN);
    return seal;
}

/* The next block, which was appended while the seal was in flight: it follows the seal, is chained
 * to it, and claims one command less to be durable. Returns the block's position. */
static void forge_block_behind(struct forge *forge, const struct wal_block *seal)
{
    forge->offset += WAL_ALIGN;
    forge->previous = seal->checksum;
    forge_block_at(forge, forge->seq_next - 2);
}

/* A note that names the segment and the seal, but says nothing about what was durable. */
static struct wal_note forge_note(const struct forge *forge, uint64_t seal)
{
    return (struct wal_note){.epoch = forge->epoch,
                             .segment_size = SEGMENT_SIZE,
                             .seq_first = 1,
                             .segment = forge->segment,
                             .seal = seal};
}

/* The result of a reader that also checks the note. */
static struct wal_end end_with(const struct wal_note *note)
{
    struct wal_reader reader;
    struct disk *disk;
    enum wal_read read;
    note_write(*note);
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    CHECK(wal_reader_init(&reader, disk) == 0);
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK)
        continue;
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "result %u: %s", read, reader.error);
    struct wal_end end = reader.end;
    wal_reader_deinit(&reader);
    disk_close(disk);
    return end;
}

TEST(seal_is_no_part_of_the_log_but_its_end)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    struct wal_block seal = forge_seal(forge, true);
    check_cut(end, 0);
    struct wal_note note = forge_note(forge, seal.checksum);
    CHECK(end_with(&note).is_sealed);
    CHECK_EQUAL(end_with(&note).seal, seal.checksum);
    note.seal = 0;
    CHECK(!end_with(&note).is_sealed);
    note.seal = seal.checksum ^ 1;
    CHECK(!end_with(&note).is_sealed);
    free(forge);
}

TEST(seal_that_a_running_server_writes_while_the_end_is_read_is_the_end)
{
    struct forge *forge = forge_create(2);
    struct wal_reader reader;
    struct disk *disk;
    enum wal_read read;
    forge_block(forge);
    struct wal_note note = forge_note(forge, 0);
    note_write(note);
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    CHECK(wal_reader_init(&reader, disk) == 0);
    CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_BLOCK);
    CHECK(!wal_reader_take(&reader, &read));
    forge_seal(forge, true);
    reader.files->window_size = 0;
    read = wal_tail_decide(&reader);
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "result %u: %s", read, reader.error);
    wal_reader_deinit(&reader);
    disk_close(disk);
    free(forge);
}

TEST(seal_of_a_log_without_blocks_is_its_end_and_says_where_it_begins)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 101;
    struct wal_block seal = forge_seal(forge, true);
    struct wal_note note = forge_note(forge, seal.checksum);
    struct wal_end end = end_with(&note);
    CHECK(end.is_sealed && end.seq_begin == 101 && end.offset == 0 && end.segment == 1);
    free(forge);
}

TEST(block_over_a_seal_follows_the_block_before_it)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    forge_seal(forge, true);
    forge_block(forge);
    check_cut(end_here(forge), 0);
    free(forge);
}

TEST(block_in_the_next_segment_follows_the_block_before_a_seal)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_block seal = forge_seal(forge, true);
    forge_segment(forge, 2);
    forge_block(forge);
    check_cut(end_here(forge), 0);
    /* When the block is gone, the earlier seal is not the end: the note without that seal was
     * written first. */
    forge_noise(2, 0, 2 * WAL_ALIGN);
    struct wal_note note = forge_note(forge, 0);
    note.seq_first = 1 + COMMANDS;
    note.previous = seal.previous;
    CHECK(!end_with(&note).is_sealed);
    CHECK(end_with(&note).torn_bytes > 0);
    free(forge);
}

TEST(seal_that_a_block_is_chained_to_is_a_block_without_commands)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_block seal = forge_seal(forge, true);
    forge_block_behind(forge, &seal);
    check_cut(end_here(forge), 0);
    struct log_found *found = log_read(NULL);
    CHECK_EQUAL(found->block_count, 3);
    CHECK_EQUAL(found->blocks[1].header.command_count, 0);
    CHECK_EQUAL(found->blocks[1].header.seq_first, found->blocks[2].header.seq_first);
    free(found);
    free(forge);
}

TEST(block_behind_a_seal_that_did_not_arrive_is_cut)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    struct wal_block seal = forge_seal(forge, false);
    forge_block_behind(forge, &seal);
    check_cut(end, forge->offset - end.offset);
    free(forge);
}

TEST(seal_is_cut_with_the_blocks_behind_it_that_did_not_arrive_in_order)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end end = end_here(forge);
    struct wal_block seal = forge_seal(forge, true);
    forge_absent(forge);
    forge_block_at(forge, end.seq_next - 1);
    check_cut(end, forge->offset - end.offset);
    struct wal_note note = forge_note(forge, seal.checksum);
    CHECK(!end_with(&note).is_sealed);
    free(forge);
}

TEST(missing_block_before_a_seal_is_damage)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    forge_absent(forge);
    forge_seal(forge, true);
    check_damage(&place);
    free(forge);
}

TEST(missing_seal_that_a_later_block_calls_durable_is_damage)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_end place = end_here(forge);
    struct wal_block seal = forge_seal(forge, false);
    forge_block_behind(forge, &seal);
    forge_block(forge);
    check_damage(&place);
    free(forge);
}

TEST(bytes_behind_a_seal_that_is_noted_mean_nothing)
{
    struct forge *forge = forge_create(2);
    forge_block(forge);
    struct wal_block seal = forge_seal(forge, true);
    struct wal_note note = forge_note(forge, seal.checksum);
    forge_noise(1, forge->offset + WAL_ALIGN, 3 * WAL_ALIGN);
    CHECK(end_with(&note).is_sealed);
    CHECK_EQUAL(end_with(&note).torn_bytes, 0);
    note.seal = 0;
    CHECK_EQUAL(end_with(&note).torn_bytes, 4 * WAL_ALIGN);
    free(forge);
}

/* The bytes at the next block's position, in a segment that was recycled and in one that was
 * not. */

TEST(header_of_the_next_block_is_known_by_what_is_left_of_it)
{
    /* Each field is destroyed alone; what follows stays stale. */
    static const struct {
        uint32_t offset;
        uint32_t size;
    } fields[] = {{0, 8}, {8, 8}, {16, 8}, {24, 8}, {32, 8}, {64, 4}, {68, 4}, {72, 16}, {88, 8}};
    for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        for (int recycled = 0; recycled < 2; recycled++) {
            uint8_t noise[16];
            struct forge *forge = forge_create(2);
            forge->seq_next = 5001;
            forge_block(forge);
            struct wal_end end = end_here(forge);
            forge_block(forge);
            for (unsigned j = 0; j < sizeof noise; j++)
                noise[j] = (uint8_t)(0x80 | test_random());
            segment_write(1, end.offset + fields[i].offset, noise, fields[i].size);
            if (recycled)
                forge_stale(1, forge->offset, 101, 20000);
            struct log_found *found = log_read(NULL);
            if (found->result != WAL_READ_END || found->end.torn_bytes == 0)
                test_fail(__FILE__, __LINE__, "field at %u: result %u, %" PRIu64 " torn, %s",
                          fields[i].offset, found->result, found->end.torn_bytes, found->error);
            CHECK_EQUAL(found->end.seq_next, end.seq_next);
            free(found);
            free(forge);
        }
    }
}

TEST(zeros_before_stale_blocks_are_cut)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    forge_stale(1, forge->offset + WAL_ALIGN, 101, 20000);
    check_cut(end_here(forge), WAL_ALIGN);
    free(forge);
}

TEST(zeros_in_front_of_the_next_segment_s_stale_blocks_are_cut)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    forge_stale(2, WAL_ALIGN, 101, 20000);
    check_cut(end_here(forge), SEGMENT_SIZE - forge->offset + WAL_ALIGN);
    free(forge);
}

TEST(what_is_no_block_at_the_beginning_of_a_recycled_segment_is_cut)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    forge_noise(2, 0, WAL_ALIGN);
    forge_stale(2, WAL_ALIGN, 101, 20000);
    check_cut(end_here(forge), SEGMENT_SIZE - forge->offset + WAL_ALIGN);
    free(forge);
}

TEST(broken_stale_block_at_the_place_is_cut)
{
    struct forge *forge = forge_create(2);
    forge->seq_next = 5001;
    forge_block(forge);
    uint64_t offset = forge_stale(1, forge->offset, 101, 20000);
    segment_flip(1, forge->offset + WAL_ALIGN + 5, 1);
    forge_stale(1, offset, 111, 20000);
    check_cut(end_here(forge), WAL_ALIGN);
    free(forge);
}

TEST(what_was_cut_once_is_an_end)
{
    const uint64_t word = WAL_CUT_WORD;
    for (int recycled = 0; recycled < 2; recycled++) {
        struct forge *forge = forge_create(2);
        forge->seq_next = 5001;
        forge_block(forge);
        for (uint64_t at = 0; at < 3 * WAL_ALIGN; at += sizeof word)
            segment_write(1, forge->offset + at, &word, sizeof word);
        if (recycled)
            forge_stale(1, forge->offset + 3 * WAL_ALIGN, 101, 20000);
        check_cut(end_here(forge), 0);
        free(forge);
    }
}

/* The note. */

/* Reads a log of two segments, two blocks in each, with a note, and returns the message about what
 * is wrong with it; empty when nothing is. */
static const char *message_with(const struct wal_note *note)
{
    static char message[WAL_ERROR_SIZE];
    struct wal_reader reader;
    struct disk *disk;
    enum wal_read read;
    if (note != NULL)
        note_write(*note);
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    CHECK(wal_reader_init(&reader, disk) == 0);
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK)
        continue;
    CHECK(read == WAL_READ_END || read == WAL_READ_DAMAGE);
    snprintf(message, sizeof message, "%s", read == WAL_READ_END ? "" : reader.error);
    wal_reader_deinit(&reader);
    disk_close(disk);
    return message;
}

static void check_message(const struct wal_note *note, const char *words)
{
    const char *message = message_with(note);
    if (words[0] == '\0' ? message[0] != '\0' : strstr(message, words) == NULL)
        test_fail(__FILE__, __LINE__, "expected '%s', the message is '%s'", words, message);
}

/* Four blocks in two segments, and the note that belongs to them. */
static struct forge *forge_two_segments(struct wal_note *note)
{
    struct forge *forge = forge_create(3);
    for (uint32_t segment = 1; segment <= 2; segment++) {
        forge_segment(forge, segment);
        *note = (struct wal_note){.epoch = 1,
                                  .segment_size = SEGMENT_SIZE,
                                  .seq_first = forge->seq_next,
                                  .previous = forge->previous,
                                  .segment = segment};
        forge_block(forge);
        forge_block(forge);
    }
    note->seq_durable = forge->seq_next - 1;
    return forge;
}

TEST(note_that_agrees_with_the_log_is_passed_over)
{
    struct wal_note note;
    struct forge *forge = forge_two_segments(&note);
    for (uint64_t seq = 0; seq < forge->seq_next; seq++) {
        note.seq_durable = seq;
        check_message(&note, "");
    }
    note.epoch = 7;
    check_message(&note, "");
    free(forge);
}

TEST(note_of_more_than_the_log_has_is_damage)
{
    struct wal_note note;
    struct forge *forge = forge_two_segments(&note);
    note.seq_durable = forge->seq_next;
    check_message(&note, "wal-0000000002.log, offset 16384, seq 41: the log ends or is damaged");
    free(forge);
}

TEST(note_of_a_segment_that_is_missing_cut_short_or_another_is_damage)
{
    struct wal_note note;
    struct wal_note other;
    struct forge *forge = forge_two_segments(&note);
    other = note;
    other.segment = 4;
    check_message(&other, "wal-0000000004.log is missing");
    other = note;
    other.segment_size += WAL_ALIGN;
    check_message(&other, "wal-0000000002.log is cut short");
    other = note;
    other.seq_first++;
    check_message(&other, "not this log's");
    other = note;
    other.previous ^= 1;
    check_message(&other, "not this log's");
    other = note;
    other.epoch = 0;
    check_message(&other, "not this log's");
    free(forge);
}

TEST(zeroed_segment_of_which_the_note_has_a_block_is_damage_and_one_that_was_only_begun_is_not)
{
    struct wal_note note;
    struct forge *forge = forge_two_segments(&note);
    file_truncate("wal-0000000002.log", 0);
    file_truncate("wal-0000000002.log", SEGMENT_SIZE);
    check_message(&note, "wal-0000000002.log, offset 0, seq 21: the log ends or is damaged");
    note.seq_durable = 20;
    check_message(&note, "");
    free(forge);
}

TEST(log_with_blocks_and_without_a_note_is_damage)
{
    struct wal_note note;
    struct forge *forge = forge_two_segments(&note);
    check_message(NULL, "log-note.till is missing");
    note_write(note);
    check_message(NULL, "");
    for (uint64_t page = 0; page < WAL_NOTE_PAGES; page++) {
        file_flip(WAL_NOTE_NAME, page * WAL_ALIGN + test_random_below(WAL_ALIGN), 1);
        check_message(NULL, page == 0 ? "" : "log-note.till is damaged");
    }
    file_truncate(WAL_NOTE_NAME, WAL_ALIGN);
    check_message(NULL, "log-note.till is damaged");
    free(forge);
}

TEST(segments_that_nothing_was_written_to_need_no_note)
{
    struct forge *forge = forge_create(2);
    check_message(NULL, "");
    forge_noise(1, 0, 1);
    check_message(NULL, "log-note.till is missing");
    free(forge);
}

TEST(note_without_any_segment_is_damage)
{
    struct wal_note note = {.epoch = 1, .segment_size = SEGMENT_SIZE, .seq_first = 1, .segment = 1};
    check_message(NULL, "");
    check_message(&note, "wal-0000000001.log is missing");
}

TEST(copy_is_whole_up_to_what_its_note_says)
{
    struct wal_note note;
    struct forge *forge = forge_two_segments(&note);
    file_truncate("wal-0000000002.log", forge->offset);
    file_truncate("wal-0000000003.log", 0);
    note.segment_size = forge->offset;
    note.flags = WAL_NOTE_COPY;
    CHECK(end_with(&note).is_sealed);
    note.seq_durable -= COMMANDS;
    CHECK(!end_with(&note).is_sealed);
    note.seq_durable += COMMANDS;
    note.flags = 0;
    CHECK(!end_with(&note).is_sealed);
    free(forge);
}

TEST(segment_that_cannot_be_read_is_an_error_and_named)
{
    struct wal_reader reader;
    struct disk *disk;
    struct forge *forge = forge_create(1);
    forge_block(forge);
    CHECK(disk_open(&disk, test_folder(), DISK_WRITE) == 0);
    CHECK(wal_reader_init(&reader, disk) == 0);
    CHECK(disk_remove(disk, "wal-0000000001.log") == 0);
    CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_ERROR);
    CHECK(strstr(reader.error, "wal-0000000001.log") != NULL);
    CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_ERROR);
    wal_reader_deinit(&reader);
    disk_close(disk);
    free(forge);
}

TEST(missing_segment_between_others_is_damage_and_named)
{
    struct forge *forge = forge_create(1);
    segment_create(3, SEGMENT_SIZE);
    forge_block(forge);
    struct log_found *found = log_read(NULL);
    CHECK_EQUAL(found->result, WAL_READ_DAMAGE);
    CHECK(strstr(found->error, "wal-0000000002.log is missing") != NULL);
    free(found);
    free(forge);
}

TEST(other_files_in_the_folder_are_not_segments)
{
    struct forge *forge = forge_create(1);
    forge_block(forge);
    file_put("wal-0000000003.log.partial", "x", 1);
    file_put("wal-3.log", "x", 1);
    file_put("wal-99999999999.log", "x", 1);
    file_put("wal-0000000000.log", "x", 1);
    check_cut(end_here(forge), 0);
    free(forge);
}
