/* What the log's tests share: a log on a real disk with a model of what was appended, and segments
 * that a test puts together block by block. */
#ifndef TILL_TESTS_UNIT_WAL_LOG_H
#define TILL_TESTS_UNIT_WAL_LOG_H

#include "base/disk.h"
#include "base/io.h"
#include "tests/test.h"
#include "wal/block.h"
#include "wal/reader.h"
#include "wal/wal.h"

enum {
    LOG_SEQ_MAX = 1 << 20,
    LOG_BLOCKS_MAX = 4096,
    LOG_EVENTS_MAX = 32,
    LOG_COMMAND_SIZE_MAX = 64, /* bytes that a command adds to a column, at most */
};

/* Where a block is, as the reader found it. */
struct log_block {
    struct wal_block header;
    uint32_t segment;
    uint64_t offset;
};

/* The result of reading a log. */
struct log_found {
    enum wal_read result;
    struct wal_end end;
    char error[WAL_ERROR_SIZE];
    uint32_t block_count;
    struct log_block blocks[LOG_BLOCKS_MAX];
};

/* A log that is being written. The content of a command is made from its seq and its salt, so the
 * salts are the whole model. */
struct log {
    struct disk *disk;
    struct io *io;
    struct wal *wal;
    struct wal_options options;
    uint64_t epoch;
    uint64_t time_us;
    uint64_t seq_last; /* appended */
    uint8_t salts[LOG_SEQ_MAX];
    bool held; /* completions are held in events until the test delivers them */
    uint32_t event_count;
    struct io_event events[LOG_EVENTS_MAX];
};

/* Never returns NULL; freed by log_free. Small segments: one MiB. */
struct log *log_create(void);
void log_free(struct log *log);

/* Recovers from the test's folder, checks every command against the model, drops lost commands from
 * the model, and opens the log for writing. log_close makes everything durable first, and seals the
 * log. */
void log_open(struct log *log);
void log_close(struct log *log);

/* The same without a seal, as a kill leaves it. */
void log_close_unsealed(struct log *log);

/* Appends count commands, waiting for room; log_try gives up when there is none. */
void log_append(struct log *log, uint32_t count);
enum wal_room log_try(struct log *log);

/* Waits for at least one event, and delivers those that came unless events are held. log_drain
 * delivers the held ones, and makes everything durable. */
void log_pump(struct log *log);
void log_drain(struct log *log);

/* Reads the test's folder without its lock and checks the commands of every block. model NULL:
 * neither the content nor the log's note is checked. The caller frees the result. */
struct log_found *log_read(const struct log *model);

/* The folder contains all that was appended, sealed, and nothing that would be cut. */
void log_check(const struct log *log);

/* The log's note in the test's folder. */
void note_write(struct wal_note note);
struct wal_note note_read(void);

/* Files of the test's folder. */
void folder_clear(void);
void file_put(const char *name, const void *bytes, size_t size);
void file_write(const char *name, uint64_t offset, const void *bytes, size_t size);
void file_flip(const char *name, uint64_t offset, uint8_t bits);
void file_truncate(const char *name, uint64_t size);
bool file_exists(const char *name);
void segment_write(uint32_t segment, uint64_t offset, const void *bytes, size_t size);
void segment_flip(uint32_t segment, uint64_t offset, uint8_t bits);
void segment_create(uint32_t segment, uint64_t size);

#endif
