/* Real logs whose files were left by a crash, were cut, or have a flipped bit. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/wal_log.h"
#include "wal/segment.h"

enum { SECTOR_SIZE = 512, IMAGES_MAX = 256, IMAGE_SIZE = 2 * WAL_BLOCK_SIZE_MAX };

/* Copies of the segment files at some moment, by number; NULL: all zeros. */
struct images {
    uint8_t *bytes[IMAGES_MAX];
};

static void images_take(struct images *images)
{
    struct disk *disk;
    struct wal_segment *segments;
    *images = (struct images){0};
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    int count = wal_segments_list(disk, WAL_IN_DATA, &segments);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        char name[DISK_NAME_SIZE];
        CHECK(segments[i].number < IMAGES_MAX && segments[i].size_bytes <= IMAGE_SIZE);
        uint8_t *bytes = calloc(1, IMAGE_SIZE);
        CHECK(bytes != NULL);
        wal_segment_name(segments[i].number, name);
        int file = disk_file_open(disk, name, false);
        CHECK(file >= 0);
        CHECK_EQUAL(disk_file_read(disk, file, 0, bytes, segments[i].size_bytes),
                    segments[i].size_bytes);
        disk_file_close(disk, file);
        images->bytes[segments[i].number] = bytes;
    }
    free(segments);
    disk_close(disk);
}

static void images_free(struct images *images)
{
    for (unsigned i = 0; i < IMAGES_MAX; i++)
        free(images->bytes[i]);
}

/* Of a block that was being written when the machine died, any sectors may have been written. */
static void block_tear(const struct images *before, const struct log_block *block)
{
    static const uint8_t zeros[SECTOR_SIZE];
    uint64_t kept_of_8 = test_random_below(9);
    for (uint64_t at = block->offset; at < block->offset + block->header.block_size;
         at += SECTOR_SIZE) {
        if (test_random_below(8) < kept_of_8)
            continue;
        const uint8_t *bytes = before->bytes[block->segment];
        segment_write(block->segment, at, bytes == NULL ? zeros : bytes + at, SECTOR_SIZE);
    }
}

static void block_undo(const struct images *before, const struct log_block *block)
{
    static const uint8_t zeros[WAL_BLOCK_SIZE_MAX];
    const uint8_t *bytes = before->bytes[block->segment];
    segment_write(block->segment, block->offset, bytes == NULL ? zeros : bytes + block->offset,
                  block->header.block_size);
}

/* Makes the files what they may have been when everything up to seq_durable was durable: a block is
 * there if it was durable, may be there in part if it had been handed over by then, which its
 * watermark tells, and is not there otherwise. */
static void crash_at(const struct images *before, const struct log_found *found, uint32_t first,
                     uint64_t seq_durable)
{
    for (uint32_t i = first; i < found->block_count; i++) {
        const struct wal_block *header = &found->blocks[i].header;
        if (header->seq_first + header->command_count - 1 <= seq_durable)
            continue;
        if (header->seq_durable <= seq_durable)
            block_tear(before, &found->blocks[i]);
        else
            block_undo(before, &found->blocks[i]);
    }
}

/* The note that the folder may have had then: one that names the newest segment with a submitted
 * block, since a note names a segment before anything in it counts as durable; or an older note. */
static void note_at(const struct log_found *found, uint64_t seq_durable)
{
    struct wal_note note = {.epoch = UINT64_MAX, .segment_size = IMAGE_SIZE};
    for (uint32_t i = 0; i < found->block_count; i++) {
        const struct wal_block *header = &found->blocks[i].header;
        bool is_durable = header->seq_first + header->command_count - 1 <= seq_durable;
        if (i > 0 && !is_durable &&
            (header->seq_durable > seq_durable || test_random_below(2) == 0))
            break;
        if (found->blocks[i].segment != note.segment) {
            note.segment = found->blocks[i].segment;
            note.seq_first = header->seq_first;
            note.previous = header->previous;
        }
        if (is_durable && test_random_below(2) == 0)
            note.seq_durable = header->seq_first + header->command_count - 1;
    }
    note_write(note);
}

/* The seal that the log was closed with was not written yet. */
static void seal_undo(const struct images *before, const struct log_found *found)
{
    static const uint8_t zeros[WAL_ALIGN];
    uint32_t segment = found->end.segment;
    uint64_t offset = found->end.offset;
    if (offset == IMAGE_SIZE) {
        segment++;
        offset = 0;
    }
    const uint8_t *bytes = before->bytes[segment];
    segment_write(segment, offset, bytes == NULL ? zeros : bytes + offset, WAL_ALIGN);
}

/* Appends for a while, releases now and then, and crashes; returns what was durable. */
static uint64_t session(struct log *log)
{
    struct images before;
    log_open(log);
    if (test_random_below(2) == 0) {
        uint64_t back = test_random_below(8000);
        CHECK(wal_release(log->wal, log->seq_last > back ? log->seq_last - back : 1) >= 0);
    }
    log_drain(log);
    images_take(&before);
    uint64_t seq_before = log->seq_last;
    for (uint64_t i = 0, rounds = test_random_below(30); i < rounds; i++) {
        log_append(log, 1 + (uint32_t)(test_random_below(4000) >> test_random_below(12)));
        wal_submit(log->wal);
        if (test_random_below(4) == 0)
            log_drain(log);
    }
    log_close(log);
    struct log_found *found = log_read(log);
    CHECK_EQUAL(found->result, WAL_READ_END);
    uint32_t first = 0;
    while (first < found->block_count && found->blocks[first].header.seq_first <= seq_before)
        first++;
    uint64_t seq_durable = seq_before;
    uint64_t kept = test_random_below(found->block_count - first + 1);
    if (kept > 0) {
        const struct wal_block *header = &found->blocks[first + kept - 1].header;
        seq_durable = header->seq_first + header->command_count - 1;
    }
    crash_at(&before, found, first, seq_durable);
    seal_undo(&before, found);
    if (found->block_count > 0)
        note_at(found, seq_durable);
    images_free(&before);
    free(found);
    return seq_durable;
}

TEST(what_was_durable_survives_any_crash_and_the_log_goes_on)
{
    struct log *log = log_create();
    log->options.segment_size = IMAGE_SIZE;
    for (int round = 0; round < 40; round++) {
        log->options.writes_max = 1 + (uint32_t)test_random_below(WAL_WRITES_MAX);
        log->epoch += test_random_below(2);
        uint64_t seq_durable = session(log);
        struct log_found *found = log_read(log);
        if (found->result != WAL_READ_END)
            test_fail(__FILE__, __LINE__, "result %u: %s", found->result, found->error);
        CHECK(found->end.seq_next > seq_durable);
        free(found);
        /* Once cut, nothing is left to be cut. */
        log_open(log);
        log_close(log);
        log_check(log);
    }
    log_free(log);
}

/* A log of block_count blocks, each durable before the next was begun. */
static struct log *log_of_blocks(uint32_t block_count)
{
    struct log *log = log_create();
    log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    log_open(log);
    for (uint32_t i = 0; i < block_count; i++) {
        log_append(log, 400 + (uint32_t)test_random_below(400));
        log_drain(log);
    }
    log_close(log);
    return log;
}

/* Offsets into a block: every byte of the header, and some of each column and of the padding. */
static uint32_t flip_offset(const struct wal_block *header, uint32_t step)
{
    uint32_t ids = (uint32_t)sizeof *header;
    uint32_t fields = ids + header->ids_stored;
    uint32_t padding = fields + header->fields_stored;
    if (step < sizeof *header)
        return step;
    switch (step % 3) {
    case 0:
        return ids + (uint32_t)test_random_below(header->ids_stored);
    case 1:
        return fields + (uint32_t)test_random_below(header->fields_stored);
    default:
        /* A block may fill its pages to the last byte: then that byte is part of its payload. */
        if (padding == header->block_size)
            return padding - 1;
        return padding + (uint32_t)test_random_below(header->block_size - padding);
    }
}

TEST(flipped_bit_in_any_block_of_a_sealed_log_is_damage)
{
    struct log *log = log_of_blocks(20);
    struct log_found *whole = log_read(log);
    for (uint32_t i = 0; i < 4 * whole->block_count; i++) {
        uint32_t index = i % 2 == 0 ? i / 4 : whole->block_count - 1;
        const struct log_block *block = &whole->blocks[index];
        uint32_t at = flip_offset(&block->header, (uint32_t)test_random_below(120));
        uint8_t bit = (uint8_t)(1 << test_random_below(8));
        segment_flip(block->segment, block->offset + at, bit);
        /* The seal and the note each prove it. */
        for (int ignores_note = 0; ignores_note < 2; ignores_note++) {
            struct log_found *found = log_read(ignores_note ? NULL : log);
            CHECK_EQUAL(found->result, WAL_READ_DAMAGE);
            CHECK_EQUAL(found->block_count, index);
            free(found);
        }
        segment_flip(block->segment, block->offset + at, bit);
    }
    free(whole);
    log_free(log);
}

TEST(flipped_bit_in_the_seal_loses_the_seal_alone)
{
    struct log *log = log_of_blocks(3);
    struct log_found *whole = log_read(log);
    CHECK(whole->end.offset < WAL_BLOCK_SIZE_MAX);
    for (uint32_t at = 0; at < WAL_ALIGN; at += 1 + (uint32_t)test_random_below(90)) {
        uint8_t bit = (uint8_t)(1 << test_random_below(8));
        segment_flip(whole->end.segment, whole->end.offset + at, bit);
        struct log_found *found = log_read(log);
        CHECK_EQUAL(found->result, WAL_READ_END);
        CHECK_EQUAL(found->end.seq_next, whole->end.seq_next);
        CHECK_EQUAL(found->end.torn_bytes, WAL_ALIGN);
        CHECK(!found->end.is_sealed);
        free(found);
        segment_flip(whole->end.segment, whole->end.offset + at, bit);
    }
    free(whole);
    log_free(log);
}

/* A log whose last segment is new or recycled, with some small blocks at its end; sealed, or as a
 * kill leaves it. */
static struct log *log_ended(bool recycled, bool sealed)
{
    struct log *log = log_create();
    log->options.segment_size = IMAGE_SIZE;
    log_open(log);
    log_append(log, 40000);
    log_drain(log);
    if (recycled)
        CHECK(wal_release(log->wal, UINT64_MAX) > 0);
    log_drain(log);
    /* The spare segment is used first, then the released ones. */
    uint32_t segment = wal_segment_first(log->wal);
    while (recycled && wal_segment_first(log->wal) + wal_closed_count(log->wal, 0) < segment + 2)
        log_append(log, 1000);
    for (uint64_t i = 2 + test_random_below(20); i > 0; i--) {
        log_append(log, 1 + (uint32_t)test_random_below(300));
        log_drain(log);
    }
    if (sealed)
        wal_turn(log->wal, true);
    log_close_unsealed(log);
    return log;
}

enum ruin {
    RUIN_FLIP,
    RUIN_ZEROS,
    RUIN_NOISE,
    RUIN_FIRST_PAGE,
    RUIN_FIRST_NOISE,
    RUIN_TAIL,
    RUINS
};

/* Damages the last block, and nothing before it. */
static void block_ruin(const struct log_block *block, enum ruin ruin)
{
    static uint8_t bytes[WAL_BLOCK_SIZE_MAX];
    uint32_t size = block->header.block_size;
    memset(bytes, 0, sizeof bytes);
    if (ruin == RUIN_NOISE || ruin == RUIN_FIRST_NOISE)
        memset(bytes, 0x5a, sizeof bytes);
    if (ruin == RUIN_FLIP)
        segment_flip(block->segment, block->offset + test_random_below(size), 4);
    else if (ruin == RUIN_FIRST_PAGE || ruin == RUIN_FIRST_NOISE)
        segment_write(block->segment, block->offset, bytes, WAL_ALIGN);
    else if (ruin == RUIN_TAIL)
        for (uint64_t at = block->offset; at < IMAGE_SIZE; at += WAL_ALIGN)
            segment_write(block->segment, at, bytes, WAL_ALIGN);
    else
        segment_write(block->segment, block->offset, bytes, size);
}

TEST(ruin_of_the_last_block_is_damage_in_a_sealed_log_and_never_called_whole_in_another)
{
    for (unsigned i = 0; i < 4 * RUINS; i++) {
        bool sealed = i % 2 == 0;
        bool recycled = i / 2 % 2 == 0;
        struct log *log = log_ended(recycled, sealed);
        struct log_found *whole = log_read(log);
        CHECK_EQUAL(whole->result, WAL_READ_END);
        CHECK_EQUAL(whole->end.is_sealed, sealed);
        block_ruin(&whole->blocks[whole->block_count - 1], (enum ruin)(i / 4));
        struct log_found *found = log_read(log);
        bool named = found->result == WAL_READ_DAMAGE ||
                     (!sealed && found->result == WAL_READ_END && !found->end.is_sealed);
        if (!named)
            test_fail(__FILE__, __LINE__, "ruin %u, recycled %d, sealed %d: result %u", i / 4,
                      recycled, sealed, found->result);
        free(found);
        free(whole);
        log_free(log);
        folder_clear();
    }
}

TEST(log_cut_off_at_any_page_of_its_last_segment_is_named)
{
    struct log *log = log_of_blocks(12);
    struct log_found *whole = log_read(log);
    const struct log_block *last = &whole->blocks[whole->block_count - 1];
    char name[DISK_NAME_SIZE];
    wal_segment_name(last->segment + 1, name);
    if (file_exists(name))
        file_truncate(name, 0);
    wal_segment_name(last->segment, name);
    for (uint64_t size = WAL_BLOCK_SIZE_MAX; size > 0; size -= WAL_ALIGN) {
        file_truncate(name, size - WAL_ALIGN);
        struct log_found *found = log_read(log);
        CHECK_EQUAL(found->result, WAL_READ_DAMAGE);
        CHECK(strstr(found->error, name) != NULL);
        free(found);
    }
    free(whole);
    log_free(log);
}
