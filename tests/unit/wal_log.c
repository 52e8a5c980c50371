/* A log with a model of it, for the tests. */
#include "tests/unit/wal_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/limits.h"
#include "wal/segment.h"

enum { USER_WRITE = 100, USER_PREPARE = 200, IDS_SIZE = 16 };

/* A command's bytes in both columns: ids that do not compress, fields that do. */
static uint32_t command_make(uint64_t seq, uint8_t salt, uint8_t ids[LOG_COMMAND_SIZE_MAX],
                             uint8_t fields[LOG_COMMAND_SIZE_MAX])
{
    uint64_t noise[2] = {mix64(seq, salt), mix64(salt, seq)};
    uint32_t size = 4 + (uint32_t)(noise[0] % 40);
    memcpy(ids, noise, IDS_SIZE);
    memset(fields, (int)(seq & 3), size);
    memcpy(fields, noise, 3);
    return size;
}

struct log *log_create(void)
{
    struct log *log = calloc(1, sizeof *log);
    CHECK(log != NULL);
    log->options = (struct wal_options){
        .segment_size = 1 << 20,
        .writes_max = 4,
        .user_write = USER_WRITE,
        .user_prepare = USER_PREPARE,
    };
    log->epoch = 1;
    log->time_us = 1000;
    return log;
}

void log_free(struct log *log)
{
    free(log);
}

static void block_check(const struct log *log, const struct wal_reader *reader)
{
    const uint8_t *ids_at = reader->ids;
    const uint8_t *fields_at = reader->fields;
    for (uint32_t i = 0; i < reader->block.command_count; i++) {
        uint8_t ids[LOG_COMMAND_SIZE_MAX];
        uint8_t fields[LOG_COMMAND_SIZE_MAX];
        uint64_t seq = reader->block.seq_first + i;
        CHECK(seq <= log->seq_last);
        uint32_t size = command_make(seq, log->salts[seq], ids, fields);
        CHECK(memcmp(ids_at, ids, IDS_SIZE) == 0);
        CHECK(memcmp(fields_at, fields, size) == 0);
        ids_at += IDS_SIZE;
        fields_at += size;
    }
    CHECK(ids_at == reader->ids + reader->block.ids_size);
    CHECK(fields_at == reader->fields + reader->block.fields_size);
    CHECK_EQUAL(reader->block.digest, reader->end.seq_next - 1);
}

static void found_note(struct log_found *found, const struct wal_reader *reader)
{
    CHECK(found->block_count < LOG_BLOCKS_MAX);
    struct log_block *block = &found->blocks[found->block_count++];
    block->header = reader->block;
    block->segment = reader->end.segment;
    block->offset = reader->end.offset - reader->block.block_size;
}

static struct log_found *read_all(struct disk *disk, const struct log *model)
{
    struct log_found *found = calloc(1, sizeof *found);
    struct wal_reader reader;
    CHECK(found != NULL);
    CHECK(wal_reader_init(&reader, disk) == 0);
    reader.ignores_note = model == NULL;
    while ((found->result = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        if (model != NULL)
            block_check(model, &reader);
        found_note(found, &reader);
        CHECK(reader.bytes_read <= reader.bytes_total);
    }
    CHECK(wal_reader_next(&reader) == found->result);
    found->end = reader.end;
    memcpy(found->error, reader.error, sizeof reader.error);
    wal_reader_deinit(&reader);
    return found;
}

struct log_found *log_read(const struct log *model)
{
    struct disk *disk;
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    struct log_found *found = read_all(disk, model);
    disk_close(disk);
    return found;
}

void log_check(const struct log *log)
{
    struct log_found *found = log_read(log);
    if (found->result != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "result %u: %s", found->result, found->error);
    CHECK_EQUAL(found->end.seq_next, log->seq_last + 1);
    CHECK_EQUAL(found->end.torn_bytes, 0);
    CHECK(log->wal != NULL || found->end.is_sealed);
    free(found);
}

void log_open(struct log *log)
{
    char error[IO_ERROR_SIZE] = "";
    struct io_options options = {.connections_max = 1, .buffer_size = 4096, .buffer_count = 8};
    CHECK(disk_open(&log->disk, test_folder(), DISK_WRITE) == 0);
    log->io = io_create(&options, error);
    if (log->io == NULL)
        test_fail(__FILE__, __LINE__, "%s", error);
    struct log_found *found = read_all(log->disk, log);
    if (found->result != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", found->error);
    log->seq_last = found->end.seq_next - 1;
    int result =
        wal_open(&log->wal, log->io, log->disk, &log->options, &found->end, log->epoch, error);
    if (result != 0)
        test_fail(__FILE__, __LINE__, "%s", error);
    CHECK_EQUAL(wal_seq_durable(log->wal), log->seq_last);
    free(found);
}

void log_close(struct log *log)
{
    log_drain(log);
    wal_turn(log->wal, true);
    log_close_unsealed(log);
}

void log_close_unsealed(struct log *log)
{
    log_drain(log);
    wal_close(log->wal);
    log->wal = NULL;
    io_destroy(log->io);
    disk_close(log->disk);
}

static void events_deliver(struct log *log)
{
    for (uint32_t i = 0; i < log->event_count; i++)
        CHECK(wal_event(log->wal, &log->events[i]) == 0);
    log->event_count = 0;
}

void log_pump(struct log *log)
{
    int count = io_wait(log->io, log->events + log->event_count, LOG_EVENTS_MAX - log->event_count,
                        1, 10 * US_PER_SECOND);
    CHECK(count > 0);
    log->event_count += (uint32_t)count;
    if (!log->held)
        events_deliver(log);
}

enum wal_room log_try(struct log *log)
{
    uint8_t ids[LOG_COMMAND_SIZE_MAX];
    uint8_t fields[LOG_COMMAND_SIZE_MAX];
    enum wal_room room = wal_room(log->wal, LOG_COMMAND_SIZE_MAX);
    if (room != WAL_ROOM)
        return room;
    uint64_t seq = ++log->seq_last;
    CHECK(seq < LOG_SEQ_MAX);
    log->salts[seq] = (uint8_t)test_random();
    uint32_t size = command_make(seq, log->salts[seq], ids, fields);
    (void)wal_begin_time(log->wal, log->time_us++);
    uint8_t *ids_to = wal_ids(log->wal);
    uint8_t *fields_to = wal_fields(log->wal);
    memcpy(ids_to, ids, IDS_SIZE);
    memcpy(fields_to, fields, size);
    wal_append(log->wal, ids_to + IDS_SIZE, fields_to + size, 1, seq);
    return room;
}

void log_append(struct log *log, uint32_t count)
{
    while (count > 0) {
        if (log_try(log) == WAL_ROOM)
            count--;
        else
            log_pump(log);
    }
}

void log_drain(struct log *log)
{
    log->held = false;
    events_deliver(log);
    wal_submit(log->wal);
    while (!wal_idle(log->wal) || wal_block_durable(log->wal) != wal_block_last(log->wal)) {
        log_pump(log);
        wal_submit(log->wal);
    }
}

void note_write(struct wal_note note)
{
    struct disk *disk;
    CHECK_EQUAL(disk_open(&disk, test_folder(), DISK_WRITE), 0);
    CHECK_EQUAL(wal_note_write(disk, &note), 0);
    disk_close(disk);
}

struct wal_note note_read(void)
{
    struct disk *disk;
    struct wal_note note;
    CHECK_EQUAL(disk_open(&disk, test_folder(), DISK_READ), 0);
    CHECK_EQUAL(wal_note_read(disk, &note), 0);
    disk_close(disk);
    return note;
}

static int file_open(const char *name, int flags)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    int file = open(path, flags | O_CLOEXEC, 0644);
    CHECK(file >= 0);
    return file;
}

void file_put(const char *name, const void *bytes, size_t size)
{
    int file = file_open(name, O_RDWR | O_CREAT | O_TRUNC);
    CHECK(pwrite(file, bytes, size, 0) == (ssize_t)size);
    close(file);
}

void file_write(const char *name, uint64_t offset, const void *bytes, size_t size)
{
    int file = file_open(name, O_RDWR);
    CHECK(pwrite(file, bytes, size, (off_t)offset) == (ssize_t)size);
    close(file);
}

void file_flip(const char *name, uint64_t offset, uint8_t bits)
{
    uint8_t byte;
    int file = file_open(name, O_RDWR);
    CHECK(pread(file, &byte, 1, (off_t)offset) == 1);
    byte ^= bits;
    CHECK(pwrite(file, &byte, 1, (off_t)offset) == 1);
    close(file);
}

void file_truncate(const char *name, uint64_t size)
{
    int file = file_open(name, O_RDWR | O_CREAT);
    CHECK(ftruncate(file, (off_t)size) == 0);
    close(file);
}

void folder_clear(void)
{
    struct disk *disk;
    struct disk_entry *entries;
    CHECK_EQUAL(disk_open(&disk, test_folder(), DISK_WRITE), 0);
    int count = disk_list_all(disk, &entries);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++)
        CHECK_EQUAL(disk_remove(disk, entries[i].name), 0);
    disk_close(disk);
    free(entries);
}

bool file_exists(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    return access(path, F_OK) == 0;
}

void segment_write(uint32_t segment, uint64_t offset, const void *bytes, size_t size)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(segment, name);
    file_write(name, offset, bytes, size);
}

void segment_flip(uint32_t segment, uint64_t offset, uint8_t bits)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(segment, name);
    file_flip(name, offset, bits);
}

void segment_create(uint32_t segment, uint64_t size)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(segment, name);
    file_truncate(name, size);
}
