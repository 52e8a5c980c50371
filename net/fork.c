/* Good path: the log is read up to its end, and what stands behind fork_seq is found out: the tail.
 * If no file has it yet, it is copied, block by block, under a partial name, and published. Then
 * the snapshots that show more than fork_seq are renamed.
 *
 *   the log, and a snapshot up to fork_seq        then
 *   fork_seq is 0                                 the folder begins anew
 *   the log has a gap to the snapshot, or to      the folder begins anew
 *   the beginning; or there is neither
 *   the log ends at fork_seq or before            there is no tail
 *   it goes on, and a file has its tail           nothing is copied
 *   it goes on                                    the tail is copied
 *
 * A log that has only a seal begins with the seq that the seal names: it was begun behind a fetched
 * snapshot, and an older snapshot does not lead there.
 *
 * What can fail: the disk; a block that fork_seq lies inside of; and damage, to what comes before
 * fork_seq as well as to the tail, is refused like any other.
 *
 * Recovery cuts the log after this, and a crash may leave it half cut: the tail is shorter then, or
 * its first block is gone and the rest looks damaged. That is told by the file which has the tail:
 * it is published before anything is cut, its first block is chained to the block that fork_seq
 * ends with, and it goes on as far as what is left.
 *
 * What must always hold: no byte of a block or a snapshot behind fork_seq is lost, whenever a crash
 * comes. So a name that is taken is never given again. And what leads nowhere must still do so when
 * only some of the files are renamed: the segments are renamed from the newest to the oldest, for
 * ready ones that are written again have old blocks, which may look like a log's beginning. */
#include "net/fork.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "engine/codec.h"
#include "net/clock.h"
#include "snapshot/image.h"
#include "snapshot/reader.h"
#include "wal/blocks.h"
#include "wal/reader.h"
#include "wal/segment.h"

enum { PIECE_SIZE = 1 << 20, NAMES_MAX = 99 };

#define PREFIX "diverged-"

static_assert((int)PIECE_SIZE >= (int)WAL_BLOCK_SIZE_MAX, "a block fits");

static const char partial[] = "diverged";

/* Blocks that follow fork_seq. */
struct tail {
    bool is_there;
    uint64_t first;    /* checksum of the first block */
    uint64_t previous; /* and the one that it names */
    uint64_t epoch;    /* of the last one */
    uint64_t seq_first;
    uint64_t seq_last;
    uint64_t orders;
};

/* What the folder's log has. */
struct look {
    uint64_t snapshot;  /* seq of the newest snapshot up to fork_seq; 0: none */
    uint64_t log_first; /* first seq of the log, or the one that is due in a log without a block;
                           0: it does not say */
    uint64_t previous;  /* checksum of the block that fork_seq ends with; 0: it is not in the log */
    uint64_t seq_next;  /* after the last block that was read */
    bool is_damaged;    /* error says where */
    struct tail tail;
};

/* A run of fork_set_aside. */
struct aside {
    struct fork *fork;
    struct look look;
    struct logged_command command;
    /* The file that is written. */
    int file;
    uint64_t offset;
    uint32_t fill_bytes; /* of the piece that are not written yet */
    uint8_t *piece;
};

/* Always false. */
#define fail(fork, ...) error_set((fork)->error, sizeof(fork)->error, __VA_ARGS__)

static bool fail_at(struct fork *fork, const char *name, int64_t result)
{
    return error_set_file(fork->error, sizeof fork->error, disk_path(fork->disk), name, "%s",
                          strerror((int)-result));
}

static uint64_t last_of(const struct wal_block *block)
{
    return block->seq_first + block->command_count - 1;
}

/* How many orders are placed in a block, as far as it can be decoded. */
static uint64_t orders_count(struct aside *aside, const struct wal_block *block, const uint8_t *ids,
                             const uint8_t *fields)
{
    struct column_reader columns = {.schema = block->schema,
                                    .ids = reader_init(ids, block->ids_size),
                                    .fields = reader_init(fields, block->fields_size),
                                    .time_us = block->time_us};
    uint64_t orders = 0;
    bool malformed = false;
    while (command_decode(&columns, &aside->command, &malformed))
        orders += aside->command.number == MESSAGE_order_place;
    return orders;
}

static void tail_add(struct aside *aside, struct tail *tail, const struct wal_block *block,
                     const uint8_t *ids, const uint8_t *fields)
{
    if (!tail->is_there) {
        tail->is_there = true;
        tail->first = block->checksum;
        tail->previous = block->previous;
        tail->seq_first = block->seq_first;
    }
    tail->epoch = block->epoch;
    tail->seq_last = last_of(block);
    tail->orders += orders_count(aside, block, ids, fields);
}

/* Looking. */

/* The newest snapshot up to fork_seq, by its header. */
static bool find_snapshot(struct aside *aside)
{
    struct fork *fork = aside->fork;
    struct disk_entry *entries;
    int count = disk_list_all(fork->disk, &entries);
    for (int i = count; i-- > 0 && aside->look.snapshot == 0;) {
        uint64_t seq = image_name_seq(entries[i].name);
        struct image_reader reader;
        if (seq == 0 || seq > fork->fork_seq)
            continue;
        if (image_reader_open(&reader, fork->disk, entries[i].name, seq) == IMAGE_READ_CHUNK)
            aside->look.snapshot = seq;
        image_reader_close(&reader);
    }
    free(entries);
    return count >= 0 || fail_at(fork, "", count);
}

/* A block of the log that ends at fork_seq or before, or stands behind it. */
static bool look_at(struct aside *aside, const struct wal_reader *reader)
{
    const struct wal_block *block = &reader->block;
    struct look *look = &aside->look;
    uint64_t fork_seq = aside->fork->fork_seq;
    char path[WAL_ERROR_SIZE];
    if (look->log_first == 0)
        look->log_first = block->seq_first;
    if (block->seq_first > fork_seq) {
        tail_add(aside, &look->tail, block, reader->ids, reader->fields);
        return true;
    }
    if (last_of(block) == fork_seq)
        look->previous = block->checksum;
    if (last_of(block) <= fork_seq)
        return true;
    aside->fork->is_inside = true;
    wal_reader_path(reader, path);
    return fail(aside->fork,
                "%s: seq %" PRIu64 ", to which the log is to go back, lies inside of the block of "
                "seq %" PRIu64 " to %" PRIu64 ", and blocks are kept whole",
                path, fork_seq, block->seq_first, last_of(block));
}

static bool log_open(struct aside *aside, struct wal_reader *reader)
{
    if (wal_reader_init(reader, aside->fork->disk) != 0)
        return fail(aside->fork, "%s", reader->error);
    reader->seq_known = aside->look.snapshot;
    reader->ignores_note = true; /* it is of the log that is cut, or not any more */
    return true;
}

/* Does the log have a gap to the snapshot, or to the beginning? */
static bool has_gap(const struct look *look)
{
    return look->log_first == 0 ? look->snapshot == 0 : look->log_first > look->snapshot + 1;
}

/* Reads the log from its first to its last block, or up to a gap before them. */
static bool log_look(struct aside *aside)
{
    struct wal_reader reader;
    struct look *look = &aside->look;
    enum wal_read read = WAL_READ_BLOCK;
    bool is_well = log_open(aside, &reader);
    while (is_well && (read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        is_well = look_at(aside, &reader);
        if (has_gap(look))
            break;
    }
    if (is_well && read == WAL_READ_ERROR)
        is_well = fail(aside->fork, "%s", reader.error);
    if (is_well && read == WAL_READ_DAMAGE) {
        look->is_damaged = true;
        (void)fail(aside->fork, "%s", reader.error);
    }
    look->seq_next = reader.end.seq_next;
    if (is_well && read == WAL_READ_END && look->log_first == 0)
        look->log_first = reader.end.seq_begin;
    wal_reader_deinit(&reader);
    return is_well;
}

/* The file that has the tail. */

/* Is it the name of a file with blocks that begin behind fork_seq? */
static bool is_of_tail(const struct fork *fork, const char *name)
{
    char digits[DISK_NAME_SIZE];
    const char *epoch = name + sizeof PREFIX - 1;
    snprintf(digits, sizeof digits, "-%020" PRIu64, fork->fork_seq + 1);
    return strncmp(name, PREFIX, sizeof PREFIX - 1) == 0 && *epoch >= '0' && *epoch <= '9' &&
           strncmp(epoch + strspn(epoch, "0123456789"), digits, strlen(digits)) == 0;
}

/* Reads a file with blocks. False when it is not whole. */
static bool tail_read(struct aside *aside, const char *name, struct tail *tail)
{
    struct wal_blocks blocks;
    enum wal_read read = WAL_READ_ERROR;
    *tail = (struct tail){0};
    if (wal_blocks_open(&blocks, aside->fork->disk, name, false) == 0) {
        while ((read = wal_blocks_next(&blocks)) == WAL_READ_BLOCK)
            tail_add(aside, tail, &blocks.block, blocks.ids, blocks.fields);
    }
    wal_blocks_close(&blocks);
    return read == WAL_READ_END && tail->is_there;
}

/* Is what is left of the log's tail a part of this one? */
static bool has_tail(const struct aside *aside, const struct tail *tail)
{
    const struct look *look = &aside->look;
    if (tail->seq_first != aside->fork->fork_seq + 1 ||
        (look->previous != 0 && tail->previous != look->previous))
        return false;
    return !look->tail.is_there ||
           (tail->first == look->tail.first && tail->seq_last >= look->tail.seq_last);
}

static void tell(struct aside *aside, const char *name, const struct tail *tail)
{
    struct fork *fork = aside->fork;
    snprintf(fork->name, sizeof fork->name, "%s", name);
    fork->seq_first = tail->seq_first;
    fork->seq_last = tail->seq_last;
    fork->orders = tail->orders;
}

/* Was a file of blocks published later than another one, by their names? The epoch decides, then
 * the number at the end, which has no leading zeros. */
static bool is_later(const char *name, const char *than)
{
    enum { STEM_SIZE = sizeof PREFIX - 1 + 10 + 1 + 20 };
    int stems = strncmp(name, than, STEM_SIZE);
    if (stems != 0 || strlen(name) == strlen(than))
        return stems != 0 ? stems > 0 : strcmp(name, than) > 0;
    return strlen(name) > strlen(than);
}

/* The newest file that has the tail, if there is one. */
static bool find_copy(struct aside *aside, bool *is_found)
{
    struct fork *fork = aside->fork;
    struct disk_entry *entries;
    int count = disk_list_all(fork->disk, &entries);
    *is_found = false;
    for (int i = 0; i < count; i++) {
        struct tail tail;
        const char *name = entries[i].name;
        if (!is_of_tail(fork, name) || (*is_found && !is_later(name, fork->name)) ||
            !tail_read(aside, name, &tail) || !has_tail(aside, &tail))
            continue;
        tell(aside, name, &tail);
        *is_found = true;
    }
    free(entries);
    return count >= 0 || fail_at(fork, "", count);
}

/* Completes a name with an ending that no file has yet: STEM.till, STEM-2.till, ... */
static bool name_find(struct fork *fork, const char *stem, const char *ending,
                      char name[DISK_NAME_SIZE])
{
    int result = 0;
    for (int i = 1; i <= NAMES_MAX; i++) {
        if (i == 1)
            snprintf(name, DISK_NAME_SIZE, "%.50s%s", stem, ending);
        else
            snprintf(name, DISK_NAME_SIZE, "%.50s-%d%s", stem, i, ending);
        int file = disk_file_open(fork->disk, name, false);
        if (file == -ENOENT)
            return true;
        if (file >= 0)
            disk_file_close(fork->disk, file);
        result = file < 0 ? file : -EEXIST;
        if (file < 0)
            break;
    }
    return fail_at(fork, name, result);
}

/* Copying. */

static bool piece_write(struct aside *aside)
{
    struct fork *fork = aside->fork;
    int result =
        disk_file_write(fork->disk, aside->file, aside->offset, aside->piece, aside->fill_bytes);
    aside->offset += aside->fill_bytes;
    aside->fill_bytes = 0;
    return result == 0 || fail_at(fork, partial, result);
}

static bool block_write(struct aside *aside, const struct wal_reader *reader)
{
    uint32_t size = reader->block.block_size;
    if (aside->fill_bytes + size > PIECE_SIZE && !piece_write(aside))
        return false;
    memcpy(aside->piece + aside->fill_bytes, reader->image, size);
    aside->fill_bytes += size;
    return true;
}

/* Writes the log's blocks behind fork_seq to the open file. */
static bool tail_write(struct aside *aside)
{
    struct wal_reader reader;
    enum wal_read read = WAL_READ_BLOCK;
    bool is_well = log_open(aside, &reader);
    while (is_well && (read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        if (reader.block.seq_first > aside->fork->fork_seq)
            is_well = block_write(aside, &reader);
    }
    if (is_well && read != WAL_READ_END)
        is_well = fail(aside->fork, "%s", reader.error);
    wal_reader_deinit(&reader);
    return is_well && (aside->fill_bytes == 0 || piece_write(aside));
}

static bool tail_copy(struct aside *aside)
{
    struct fork *fork = aside->fork;
    const struct tail *tail = &aside->look.tail;
    char stem[DISK_NAME_SIZE];
    char name[DISK_NAME_SIZE];
    snprintf(stem, sizeof stem, PREFIX "%010" PRIu64 "-%020" PRIu64, tail->epoch, tail->seq_first);
    if (!name_find(fork, stem, ".till", name))
        return false;
    aside->piece = aligned_alloc(WAL_ALIGN, PIECE_SIZE);
    if (aside->piece == NULL)
        return fail(fork, "there is not enough memory to set blocks aside");
    aside->file = disk_partial_create(fork->disk, partial);
    bool is_well = aside->file >= 0 ? tail_write(aside) : fail_at(fork, partial, aside->file);
    if (is_well) {
        int result = disk_partial_publish(fork->disk, aside->file, partial, name);
        is_well = result == 0 || fail_at(fork, name, result);
    }
    if (aside->file >= 0)
        disk_file_close(fork->disk, aside->file);
    free(aside->piece);
    if (is_well)
        tell(aside, name, tail);
    return is_well;
}

/* Renaming. */

/* The file becomes diverged-NAME. */
static bool rename_aside(struct fork *fork, const char *name)
{
    char stem[DISK_NAME_SIZE];
    char to[DISK_NAME_SIZE];
    const char *ending = strrchr(name, '.');
    snprintf(stem, sizeof stem, PREFIX "%.*s", (int)(ending - name), name);
    if (!name_find(fork, stem, ending, to))
        return false;
    int result = disk_rename(fork->disk, name, to);
    return result == 0 || fail_at(fork, name, result);
}

static bool is_note(const char *name)
{
    return strcmp(name, WAL_NOTE_NAME) == 0 || strcmp(name, CLOCK_NOTE_NAME) == 0;
}

static bool is_snapshot(const char *name)
{
    return image_name_seq(name) > 0;
}

static bool is_segment(const char *name)
{
    char expected[DISK_NAME_SIZE];
    wal_segment_name((uint32_t)strtoull(name + strcspn(name, "0123456789"), NULL, 10), expected);
    return strcmp(name, expected) == 0;
}

/* Renames files of a kind, against the order of their names; snapshots up to a seq stay. */
static bool rename_all(struct fork *fork, bool (*is_of_kind)(const char *name), uint64_t seq_kept)
{
    struct disk_entry *entries;
    int count = disk_list_all(fork->disk, &entries);
    bool is_well = count >= 0 || fail_at(fork, "", count);
    for (int i = count; is_well && i-- > 0;) {
        uint64_t seq = image_name_seq(entries[i].name);
        if (is_of_kind(entries[i].name) && (seq == 0 || seq > seq_kept))
            is_well = rename_aside(fork, entries[i].name);
    }
    free(entries);
    return is_well;
}

static bool begin_anew(struct fork *fork)
{
    fork->begins_anew = true;
    return rename_all(fork, is_note, 0) && rename_all(fork, is_snapshot, 0) &&
           rename_all(fork, is_segment, 0);
}

/* fork_seq is above 0. */
static bool set_aside(struct aside *aside)
{
    struct fork *fork = aside->fork;
    const struct look *look = &aside->look;
    bool is_found = false;
    if (!find_snapshot(aside) || !log_look(aside))
        return false;
    if (has_gap(look) && !look->is_damaged)
        return begin_anew(fork);
    if (look->is_damaged && look->seq_next <= fork->fork_seq)
        return false;
    if (look->seq_next > fork->fork_seq && !find_copy(aside, &is_found))
        return false;
    if (!is_found && look->is_damaged)
        return false;
    if (!is_found && look->tail.is_there && !tail_copy(aside))
        return false;
    return rename_all(fork, is_snapshot, fork->fork_seq);
}

bool fork_set_aside(struct fork *fork)
{
    fork->name[0] = fork->error[0] = '\0';
    fork->seq_first = fork->seq_last = fork->orders = 0;
    fork->begins_anew = false;
    if (fork->fork_seq == 0)
        return begin_anew(fork);
    struct aside *aside = malloc(sizeof *aside);
    if (aside == NULL)
        return fail(fork, "there is not enough memory to set blocks aside");
    *aside = (struct aside){.fork = fork, .file = -1};
    bool is_well = set_aside(aside);
    free(aside);
    return is_well;
}

int fork_leave_log(struct disk *disk)
{
    struct disk_entry *entries = NULL;
    int count = disk_list_all(disk, &entries);
    int result = count < 0 ? count : 0;
    for (int i = 0; result == 0 && i < count; i++) {
        const char *name = entries[i].name;
        bool is_log =
            strncmp(name, "wal-", strlen("wal-")) == 0 || strcmp(name, WAL_NOTE_NAME) == 0;
        if (is_log && !disk_name_is_partial(name))
            result = disk_remove(disk, name);
    }
    free(entries);
    return result;
}
