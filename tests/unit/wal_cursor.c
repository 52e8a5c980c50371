/* The cursor on real files: read in a lane of the io, which is another thread, while the log is
 * written and released; and what is damaged or missing. */
#include "wal/cursor.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/wal_log.h"

enum {
    GAP = 16,
    ROOM_SIZE = 2 * (GAP + WAL_BLOCK_SIZE_MAX),
    USER_CURSOR = 400,
    TOLD_MAX = 4000,
    SEGMENTS = 40,
};

/* The blocks that became durable, from 1 on. */
struct told {
    uint32_t count;
    uint64_t checksums[TOLD_MAX];
    uint64_t seqs_last[TOLD_MAX];
};

/* One call in the lane: what it is given, and what comes of it. */
struct reading {
    struct wal_cursor cursor;
    uint32_t next; /* of the told blocks */
    bool is_under_way;
    uint64_t seq_max;
    uint64_t seq; /* the place to seek first, when the cursor is lost */
    uint64_t checksum;
    enum wal_cursor_result result;
    size_t size_read;
    uint32_t block_count;
    uint32_t gone_count;
    uint8_t room[ROOM_SIZE];
};

static void on_durable(void *context, const struct wal_block *block, const uint8_t *image)
{
    struct told *told = context;
    (void)image;
    CHECK(told->count + 1 < TOLD_MAX);
    told->checksums[++told->count] = block->checksum;
    told->seqs_last[told->count] = block->seq_first + block->command_count - 1;
}

static int read_work(void *context)
{
    struct reading *reading = context;
    reading->size_read = 0;
    reading->result = WAL_CURSOR_READY;
    if (reading->cursor.state == CURSOR_LOST)
        reading->result = wal_cursor_seek(&reading->cursor, reading->seq, reading->checksum);
    if (reading->result == WAL_CURSOR_READY)
        reading->result = wal_cursor_read(&reading->cursor, reading->seq_max, GAP, reading->room,
                                          sizeof reading->room, &reading->size_read);
    return 0;
}

static void read_start(struct log *log, struct reading *reading, const struct told *told)
{
    reading->seq_max = wal_seq_durable(log->wal);
    reading->seq = reading->next == 1 ? 0 : told->seqs_last[reading->next - 1];
    reading->checksum = reading->next == 1 ? 0 : told->checksums[reading->next - 1];
    reading->is_under_way = true;
    io_work(log->io, IO_LANE_SNAPSHOT, read_work, reading, USER_CURSOR);
}

/* What was read is what became durable, in order. What is gone is passed over. */
static void read_end(struct reading *reading, const struct told *told)
{
    size_t at = 0;
    reading->is_under_way = false;
    while (at < reading->size_read) {
        struct wal_block block;
        const uint8_t *image = reading->room + at + GAP;
        CHECK(reading->next <= told->count);
        CHECK(wal_block_read(image, &block) && wal_block_verify(&block, image));
        CHECK_EQUAL(block.checksum, told->checksums[reading->next++]);
        at += GAP + block.block_size;
        reading->block_count++;
    }
    if (reading->result == WAL_CURSOR_GONE) {
        reading->gone_count++;
        reading->next += (told->count + 1 - reading->next + 1) / 2;
    } else if (reading->result != WAL_CURSOR_READY) {
        test_fail(__FILE__, __LINE__, "result %u: %s", reading->result, reading->cursor.error);
    }
}

/* One turn of a loop: waits for an event, unless none is to come. */
static void turn(struct log *log, struct reading *reading, const struct told *told)
{
    struct io_event events[16];
    if (!wal_awaits_event(log->wal) && !reading->is_under_way)
        return;
    int count = io_wait(log->io, events, 16, 1, 10 * US_PER_SECOND);
    CHECK(count > 0);
    for (int i = 0; i < count; i++) {
        if (events[i].user == USER_CURSOR)
            read_end(reading, told);
        else
            CHECK_EQUAL(wal_event(log->wal, &events[i]), 0);
    }
}

TEST(log_is_read_in_another_thread_while_it_is_written_and_released)
{
    struct log *log = log_create();
    struct told *told = calloc(1, sizeof *told);
    struct reading *reading = calloc(1, sizeof *reading);
    CHECK(told != NULL && reading != NULL);
    log->options.segment_size = WAL_SEGMENT_SIZE_TAKES;
    log_open(log);
    wal_watch(log->wal, on_durable, told);
    CHECK(wal_cursor_init(&reading->cursor, log->disk, NULL));
    reading->next = 1;
    while (wal_segment_first(log->wal) + wal_closed_count(log->wal, 0) < SEGMENTS) {
        for (uint64_t i = test_random_below(600); i > 0 && log_try(log) == WAL_ROOM; i--)
            continue;
        wal_submit(log->wal);
        wal_turn(log->wal, test_random_below(20) == 0);
        if (!reading->is_under_way && test_random_below(8) > 0)
            read_start(log, reading, told);
        turn(log, reading, told);
        if (wal_closed_count(log->wal, 0) > 2 && test_random_below(4) == 0)
            CHECK(wal_release(log->wal, wal_seq_durable(log->wal)) >= 0);
    }
    while (reading->is_under_way || reading->next <= told->count ||
           wal_block_durable(log->wal) < wal_block_last(log->wal)) {
        wal_submit(log->wal);
        if (!reading->is_under_way)
            read_start(log, reading, told);
        turn(log, reading, told);
    }
    CHECK(reading->block_count > SEGMENTS);
    wal_cursor_deinit(&reading->cursor);
    log_close(log);
    log_free(log);
    free(told);
    free(reading);
}

/* A log of some segments that nobody writes to, a cursor in it, and its blocks. */
struct still {
    struct log *log;
    struct log_found *found;
    struct disk *disk;
    struct wal_cursor cursor;
    size_t size_read;
    uint8_t room[ROOM_SIZE];
};

static struct still *still_create(void)
{
    struct still *still = calloc(1, sizeof *still);
    CHECK(still != NULL);
    still->log = log_create();
    still->log->options.segment_size = WAL_SEGMENT_SIZE_TAKES;
    log_open(still->log);
    while (wal_closed_count(still->log->wal, 0) < 3) {
        log_append(still->log, 300);
        log_drain(still->log);
    }
    log_close(still->log);
    still->found = log_read(still->log);
    CHECK_EQUAL(disk_open(&still->disk, test_folder(), DISK_READ), 0);
    CHECK(wal_cursor_init(&still->cursor, still->disk, NULL));
    return still;
}

static void still_free(struct still *still)
{
    wal_cursor_deinit(&still->cursor);
    disk_close(still->disk);
    free(still->found);
    log_free(still->log);
    free(still);
}

static enum wal_cursor_result read_some(struct still *still, uint64_t seq_max)
{
    return wal_cursor_read(&still->cursor, seq_max, GAP, still->room, sizeof still->room,
                           &still->size_read);
}

TEST(cursor_reads_up_to_what_it_is_told_is_durable)
{
    struct still *still = still_create();
    const struct log_block *blocks = still->found->blocks;
    CHECK_EQUAL(wal_cursor_seek(&still->cursor, 0, 0), WAL_CURSOR_READY);
    CHECK_EQUAL(read_some(still, 300), WAL_CURSOR_READY);
    CHECK_EQUAL(still->size_read, GAP + blocks[0].header.block_size);
    CHECK_EQUAL(still->cursor.seq, 300);
    CHECK_EQUAL(still->cursor.checksum, blocks[0].header.checksum);
    CHECK_EQUAL(read_some(still, 300), WAL_CURSOR_READY);
    CHECK_EQUAL(still->size_read, 0);
    CHECK_EQUAL(read_some(still, 600), WAL_CURSOR_READY);
    CHECK_EQUAL(still->size_read, GAP + blocks[1].header.block_size);
    still_free(still);
}

TEST(cursor_finds_places_and_says_what_is_none)
{
    struct still *still = still_create();
    const struct log_found *found = still->found;
    uint64_t seq_last = found->end.seq_next - 1;
    for (uint32_t i = 0; i < found->block_count; i++) {
        const struct wal_block *header = &found->blocks[i].header;
        uint64_t seq = header->seq_first + header->command_count - 1;
        CHECK_EQUAL(wal_cursor_seek(&still->cursor, seq, header->checksum), WAL_CURSOR_READY);
        CHECK_EQUAL(wal_cursor_seek(&still->cursor, seq, header->checksum + 1), WAL_CURSOR_OTHER);
        CHECK_EQUAL(wal_cursor_seek(&still->cursor, seq - 1, header->checksum), WAL_CURSOR_OTHER);
        CHECK_EQUAL(wal_cursor_seek(&still->cursor, seq - 1, 0), WAL_CURSOR_READY);
        CHECK_EQUAL(still->cursor.seq + 1, header->seq_first);
        CHECK_EQUAL(read_some(still, seq_last), WAL_CURSOR_READY);
        CHECK_EQUAL(memcmp(still->room + GAP, header, sizeof *header), 0);
    }
    still_free(still);
}

TEST(cursor_says_when_no_file_reaches_back_so_far)
{
    struct still *still = still_create();
    const struct wal_block *first = &still->found->blocks[0].header;
    const struct wal_block *last = &still->found->blocks[still->found->block_count - 1].header;
    uint64_t seq_last = last->seq_first + last->command_count - 1;
    CHECK_EQUAL(wal_cursor_seek(&still->cursor, 300, first->checksum), WAL_CURSOR_READY);
    log_open(still->log);
    CHECK(wal_release(still->log->wal, UINT64_MAX) > 0);
    log_close(still->log);
    /* The file that is open still has its blocks. */
    enum wal_cursor_result result;
    do
        result = read_some(still, seq_last);
    while (result == WAL_CURSOR_READY && still->size_read > 0);
    CHECK_EQUAL(result, WAL_CURSOR_GONE);
    CHECK(still->cursor.seq > 300 && still->cursor.state == CURSOR_LOST);
    CHECK_EQUAL(wal_cursor_seek(&still->cursor, 0, 0), WAL_CURSOR_GONE);
    CHECK_EQUAL(wal_cursor_seek(&still->cursor, 300, first->checksum), WAL_CURSOR_GONE);
    CHECK_EQUAL(wal_cursor_seek(&still->cursor, seq_last, last->checksum), WAL_CURSOR_READY);
    still_free(still);
}

TEST(cursor_of_a_folder_without_a_block_has_no_place)
{
    struct wal_cursor cursor;
    struct disk *disk;
    CHECK_EQUAL(disk_open(&disk, test_folder(), DISK_WRITE), 0);
    CHECK(wal_cursor_init(&cursor, disk, NULL));
    CHECK_EQUAL(wal_cursor_seek(&cursor, 0, 0), WAL_CURSOR_GONE);
    segment_create(1, WAL_BLOCK_SIZE_MAX);
    CHECK_EQUAL(wal_cursor_seek(&cursor, 0, 0), WAL_CURSOR_GONE);
    wal_cursor_deinit(&cursor);
    disk_close(disk);
}

TEST(cursor_names_a_durable_block_that_is_damaged)
{
    struct still *still = still_create();
    uint32_t middle = still->found->block_count / 2;
    const struct log_block *block = &still->found->blocks[middle];
    const struct wal_block *before = &still->found->blocks[middle - 1].header;
    const struct wal_block *after = &still->found->blocks[middle + 1].header;
    char name[DISK_NAME_SIZE];
    wal_segment_name(block->segment, name);
    segment_flip(block->segment, block->offset + 200, 4);
    CHECK_EQUAL(wal_cursor_seek(&still->cursor, block->header.seq_first - 1, before->checksum),
                WAL_CURSOR_READY);
    CHECK_EQUAL(read_some(still, after->seq_first - 1), WAL_CURSOR_ERROR);
    CHECK_EQUAL(still->size_read, 0);
    CHECK(strstr(still->cursor.error, name) != NULL);
    CHECK(still->cursor.state == CURSOR_LOST);
    CHECK_EQUAL(wal_cursor_seek(&still->cursor, after->seq_first + after->command_count - 1,
                                after->checksum),
                WAL_CURSOR_ERROR);
    CHECK(strstr(still->cursor.error, name) != NULL);
    still_free(still);
}
