/* Prints the log, one JSON object per command, in the order of their seqs: what an auditor greps,
 * and what another system may read. The log is opened for reading only; a server may be running on
 * the same folder, and what it appends meanwhile may or may not be seen.
 *
 * What can be read of a damaged folder is printed all the same, to save it; that something is wrong
 * is said at the end, where whoever reads the lines sees it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/text.h"
#include "engine/codec.h"
#include "snapshot/backup_label.h"
#include "wal/reader.h"

/* False when the block's commands cannot be decoded. */
static bool print_block(const struct wal_reader *reader, struct logged_command *command)
{
    const struct wal_block *block = &reader->block;
    struct column_reader columns = {.schema = block->schema,
                                    .ids = reader_init(reader->ids, block->ids_size),
                                    .fields = reader_init(reader->fields, block->fields_size),
                                    .time_us = block->time_us};
    uint64_t seq = block->seq_first;
    bool malformed = false;
    for (; command_decode(&columns, command, &malformed); seq++) {
        const struct message_info *message = message_info(command->number);
        printf("{\"seq\":%" PRIu64 ",\"time\":%" PRIu64 ",\"command\":\"%s\"", seq,
               command->time_us, message->name);
        text_write_request(stdout, message, command->body);
        puts("}");
    }
    if (!malformed && seq == block->seq_first + block->command_count)
        return true;
    fflush(stdout);
    fprintf(stderr, "till log: seq %" PRIu64 " cannot be decoded\n", seq);
    return false;
}

static bool print_log(struct disk *disk, struct logged_command *command)
{
    struct wal_reader reader;
    bool printed = false;
    if (wal_reader_init(&reader, disk) != 0) {
        fprintf(stderr, "till log: %s\n", reader.error);
        return false;
    }
    enum wal_read read = wal_reader_next(&reader);
    while (read == WAL_READ_BLOCK && print_block(&reader, command))
        read = wal_reader_next(&reader);
    fflush(stdout);
    if (read == WAL_READ_END)
        printed = true;
    else if (read != WAL_READ_BLOCK)
        fprintf(stderr, "till log: %s\n", reader.error);
    wal_reader_deinit(&reader);
    return printed;
}

/* Prints what there is, also of a backup that is not what it was. */
static bool print_folder(struct disk *disk)
{
    struct backup_label label = {0};
    struct logged_command *command = malloc(sizeof *command);
    bool is_sound = backup_label_demand(&label, disk) != BACKUP_REFUSED;
    bool printed = command != NULL && print_log(disk, command);
    if (!is_sound)
        fprintf(stderr, "till log: %s\n", label.error);
    backup_label_close(&label);
    free(command);
    return printed && is_sound;
}

int cli_log(int argc, char **argv)
{
    int operands = options_parse(&log_table, NULL, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &log_table);
        printf("Prints every command of the log in the data folder DIR, one JSON object per line.\n"
               "Stops with an error where the log is damaged.\n");
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    struct disk *disk = NULL;
    if (!folder_find("till log", argv[1], FOLDER_READABLE, &disk))
        return EXIT_FAILED;
    bool printed = print_folder(disk);
    disk_close(disk);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "till log: the output cannot be written\n");
        printed = false;
    }
    return printed ? EXIT_OK : EXIT_FAILED;
}
