/* A folder's log goes on where its archive ends. While a server runs, segments move from the one to
 * the other: so both are read again until neither has more. Where the one begins later than the
 * other ends, that is said, and the rest is printed all the same.
 *
 *   log_print_folder -> print_log, archive -> print_log, folder --there was more--> again */
#include "cli/log_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/folder.h"
#include "cli/text.h"
#include "engine/codec.h"
#include "wal/blocks.h"
#include "wal/reader.h"

void log_print_command(enum value_form form, uint64_t seq, uint64_t time_us,
                       const struct message_info *message, const void *body)
{
    if (form == VALUE_JSON) {
        printf("{\"seq\":%" PRIu64 ",\"time\":%" PRIu64 ",\"command\":\"%s\"", seq, time_us,
               message->name);
    } else {
        printf("%" PRIu64 " ", seq);
        value_write(stdout, form, FIELD_time, &time_us);
        printf(" %s", message->name);
    }
    text_write_request(stdout, form, message, body);
}

static bool is_wanted(const struct log_print *print, const struct logged_command *command,
                      uint64_t seq)
{
    return seq >= print->from && (print->to == 0 || seq <= print->to) &&
           (print->subject->kind == SUBJECT_NONE ||
            log_subject_is_named(print->subject, command->number, command->body));
}

/* False when the block's commands cannot be decoded. */
static bool print_block(struct log_print *print, const struct wal_block *block, const uint8_t *ids,
                        const uint8_t *fields, struct logged_command *command)
{
    struct column_reader columns = {.schema = block->schema,
                                    .ids = reader_init(ids, block->ids_size),
                                    .fields = reader_init(fields, block->fields_size),
                                    .time_us = block->time_us};
    uint64_t seq = block->seq_first;
    bool malformed = false;
    for (; command_decode(&columns, command, &malformed); seq++) {
        if (!is_wanted(print, command, seq))
            continue;
        progress_hide(print->progress);
        log_print_command(print->form, seq, command->time_us, message_info(command->number),
                          command->body);
        puts(print->form == VALUE_JSON ? "}" : "");
        print->count++;
    }
    print->seq_first = print->seq_first == 0 ? block->seq_first : print->seq_first;
    print->seq = seq - 1;
    if (!malformed && seq == block->seq_first + block->command_count)
        return true;
    fflush(stdout);
    progress_end(print->progress);
    fprintf(stderr, "till log: seq %" PRIu64 " cannot be decoded\n", seq);
    return false;
}

/* Has everything been read up to the last one that is wanted? */
static bool is_done(const struct log_print *print)
{
    return print->to > 0 && print->seq >= print->to;
}

/* Says what ended the reading, unless that was the end. */
static bool tell_end(struct log_print *print, enum wal_read read, const char *error)
{
    fflush(stdout);
    progress_end(print->progress);
    if (read == WAL_READ_DAMAGE || read == WAL_READ_ERROR)
        fprintf(stderr, "till log: %s\n", error);
    return read == WAL_READ_END;
}

/* Prints what the log has after print->seq. One that does not go on there is left alone, unless
 * `takes_any`: *seq_later is its first seq then, else 0. The first log begins where it does. */
static bool print_log(struct log_print *print, struct disk *disk, bool takes_any,
                      struct logged_command *command, uint64_t *seq_later)
{
    struct wal_reader reader;
    uint64_t seq_known = print->seq > 0 ? print->seq : print->from > 0 ? print->from - 1 : 0;
    *seq_later = 0;
    if (wal_reader_init(&reader, disk) != 0) {
        fprintf(stderr, "till log: %s\n", reader.error);
        return false;
    }
    reader.seq_known = seq_known;
    enum wal_read read = WAL_READ_END;
    while (!is_done(print) && (read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        const struct wal_block *block = &reader.block;
        if (print->subject->kind != SUBJECT_NONE)
            progress_log(print->progress, reader.bytes_read, reader.bytes_total);
        if (print->seq > 0 && block->seq_first > print->seq + 1 && !takes_any) {
            *seq_later = block->seq_first;
            break;
        }
        if (reader.fields == NULL || block->command_count == 0)
            continue;
        if (!print_block(print, block, reader.ids, reader.fields, command))
            break;
    }
    bool is_whole = is_done(print) || *seq_later > 0 || tell_end(print, read, reader.error);
    wal_reader_deinit(&reader);
    return is_whole;
}

/* What the log has whose beginning was not reached, though the other one ended before it. */
static bool print_rest(struct log_print *print, struct disk *log, const struct disk *other,
                       struct logged_command *command, uint64_t seq_found)
{
    uint64_t seq_missing = print->seq + 1;
    uint64_t seq_later = 0;
    (void)print_log(print, log, true, command, &seq_later);
    fprintf(stderr, "till log: seq %" PRIu64 " to %" PRIu64 " are neither in %s nor in %s\n",
            seq_missing, seq_found - 1, disk_path(log), disk_path(other));
    return false;
}

static bool print_logs(struct log_print *print, struct disk *disk, struct disk *archive,
                       struct logged_command *command)
{
    struct disk *logs[] = {archive, disk};
    uint64_t seq_later[] = {0, 0};
    uint64_t seq_begun = 0;
    bool is_whole = true;
    bool is_archive = false;
    if (archive == NULL)
        return print_log(print, disk, true, command, &seq_later[0]);
    /* An archive with little room may have less of the past than the log itself. */
    if (folder_first_seq(disk, &is_archive) < folder_first_seq(archive, &is_archive)) {
        logs[0] = disk;
        logs[1] = archive;
    }
    do {
        seq_begun = print->seq;
        for (unsigned i = 0; i < 2 && is_whole; i++)
            is_whole = print_log(print, logs[i], false, command, &seq_later[i]);
    } while (is_whole && print->seq > seq_begun && !is_done(print));
    if (is_whole && seq_later[1] > 0)
        is_whole = print_rest(print, logs[1], logs[0], command, seq_later[1]);
    return is_whole;
}

bool log_print_folder(struct log_print *print, struct disk *disk, struct disk *archive)
{
    struct logged_command *command = malloc(sizeof *command);
    if (command == NULL)
        fprintf(stderr, "till log: not enough memory\n");
    bool is_whole = command != NULL && print_logs(print, disk, archive, command);
    progress_end(print->progress);
    free(command);
    return is_whole;
}

bool log_print_file(struct log_print *print, struct disk *disk, const char *name)
{
    static const char segment[] = "wal-";
    struct wal_blocks blocks;
    enum wal_read read = WAL_READ_ERROR;
    struct logged_command *command = malloc(sizeof *command);
    /* Only a segment that is one of a log's, or was, has room behind its last block. */
    bool has_room = strstr(name, segment) != NULL;
    if (wal_blocks_open(&blocks, disk, name, has_room) == 0 && command != NULL)
        read = wal_blocks_next(&blocks);
    while (read == WAL_READ_BLOCK &&
           print_block(print, &blocks.block, blocks.ids, blocks.fields, command))
        read = wal_blocks_next(&blocks);
    bool is_whole = tell_end(print, read, command != NULL ? blocks.error : "not enough memory");
    wal_blocks_close(&blocks);
    free(command);
    return is_whole;
}
