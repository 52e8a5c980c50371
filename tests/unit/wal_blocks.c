/* Files of blocks by themselves: read to their end, or refused where they are changed. */
#include "wal/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/wal_log.h"
#include "wal/segment.h"

enum { BLOCKS = 3, SIZE_MAX_BYTES = BLOCKS * WAL_BLOCK_SIZE_MAX };

#define FILE_NAME "diverged-0000000001-00000000000000000001.till"

/* Makes a file of the first blocks of a log; returns its size. offsets: of each block, and the end.
 */
static uint64_t blocks_make(uint64_t offsets[BLOCKS + 1])
{
    static uint8_t bytes[SIZE_MAX_BYTES];
    char name[DISK_NAME_SIZE];
    struct disk *disk;
    struct log *log = log_create();
    log_open(log);
    for (unsigned i = 0; i < BLOCKS; i++) {
        log_append(log, 1 + (uint32_t)test_random_below(100));
        log_drain(log);
    }
    log_close(log);
    struct log_found *found = log_read(log);
    wal_segment_name(1, name);
    CHECK(found->block_count >= BLOCKS);
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    int file = disk_file_open(disk, name, false);
    for (unsigned i = 0; i <= BLOCKS; i++)
        offsets[i] = i < BLOCKS
                         ? found->blocks[i].offset
                         : found->blocks[i - 1].offset + found->blocks[i - 1].header.block_size;
    CHECK_EQUAL(disk_file_read(disk, file, 0, bytes, offsets[BLOCKS]), offsets[BLOCKS]);
    disk_file_close(disk, file);
    disk_close(disk);
    file_put(FILE_NAME, bytes, offsets[BLOCKS]);
    free(found);
    log_free(log);
    return offsets[BLOCKS];
}

/* Reads the file; how many blocks it has. */
static unsigned count(const char *name, bool has_room, enum wal_read *end,
                      char error[WAL_ERROR_SIZE])
{
    struct wal_blocks blocks;
    struct disk *disk;
    unsigned block_count = 0;
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    *end = WAL_READ_ERROR;
    if (wal_blocks_open(&blocks, disk, name, has_room) == 0) {
        while ((*end = wal_blocks_next(&blocks)) == WAL_READ_BLOCK)
            block_count++;
    }
    memcpy(error, blocks.error, WAL_ERROR_SIZE);
    wal_blocks_close(&blocks);
    disk_close(disk);
    return block_count;
}

TEST(file_of_blocks_is_read_to_its_end_and_a_segment_up_to_its_last_block)
{
    uint64_t offsets[BLOCKS + 1];
    enum wal_read end;
    char error[WAL_ERROR_SIZE];
    char name[DISK_NAME_SIZE];
    blocks_make(offsets);
    CHECK_EQUAL(count(FILE_NAME, false, &end, error), BLOCKS);
    CHECK_EQUAL(end, WAL_READ_END);
    wal_segment_name(1, name);
    CHECK(count(name, true, &end, error) >= BLOCKS);
    CHECK_EQUAL(end, WAL_READ_END);
    CHECK(count(name, false, &end, error) >= BLOCKS);
    CHECK_EQUAL(end, WAL_READ_DAMAGE);
    CHECK_EQUAL(count("diverged-nothing.till", false, &end, error), 0);
    CHECK_EQUAL(end, WAL_READ_ERROR);
    CHECK(strstr(error, "diverged-nothing.till") != NULL);
}

TEST(file_of_blocks_with_any_changed_byte_is_read_up_to_that_block)
{
    uint64_t offsets[BLOCKS + 1];
    enum wal_read end;
    char error[WAL_ERROR_SIZE];
    uint64_t size = blocks_make(offsets);
    for (unsigned i = 0; i < 400; i++) {
        uint64_t at = i < 96 ? offsets[1] + i : test_random_below(size);
        unsigned block = 0;
        while (offsets[block + 1] <= at)
            block++;
        uint8_t bit = (uint8_t)(1 << test_random_below(8));
        file_flip(FILE_NAME, at, bit);
        unsigned found = count(FILE_NAME, false, &end, error);
        CHECK_EQUAL(found, block);
        CHECK(end == WAL_READ_DAMAGE || end == WAL_READ_ERROR);
        CHECK(strstr(error, FILE_NAME) != NULL);
        file_flip(FILE_NAME, at, bit);
    }
}

TEST(file_of_blocks_that_lacks_some_of_its_bytes_is_damaged)
{
    uint64_t offsets[BLOCKS + 1];
    enum wal_read end;
    char error[WAL_ERROR_SIZE];
    uint64_t size = blocks_make(offsets);
    file_truncate(FILE_NAME, size - 1);
    CHECK_EQUAL(count(FILE_NAME, false, &end, error), BLOCKS - 1);
    CHECK_EQUAL(end, WAL_READ_DAMAGE);
    file_put(FILE_NAME, "no block", 8);
    CHECK_EQUAL(count(FILE_NAME, false, &end, error), 0);
    CHECK_EQUAL(end, WAL_READ_DAMAGE);
}
