/* Prints the log, one JSON object per command, in the order of their seqs: what an auditor greps,
 * and what another system may read. The log is opened for reading only; a server may be running on
 * the same folder, and what it appends meanwhile may or may not be seen.
 *
 * What can be read of a damaged folder is printed all the same, to save it; that something is wrong
 * is said at the end, where whoever reads the lines sees it.
 *
 * A file by itself may be printed as well: blocks that were set aside at a fork (net/fork.h), or an
 * archived segment. Its blocks are checked, and that they are a chain; what came before is not
 * known. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/disk.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/text.h"
#include "engine/codec.h"
#include "snapshot/backup_label.h"
#include "wal/blocks.h"
#include "wal/reader.h"
#include "wal/segment.h"

/* False when the block's commands cannot be decoded. */
static bool print_block(const struct wal_block *block, const uint8_t *ids, const uint8_t *fields,
                        struct logged_command *command)
{
    struct column_reader columns = {.schema = block->schema,
                                    .ids = reader_init(ids, block->ids_size),
                                    .fields = reader_init(fields, block->fields_size),
                                    .time_us = block->time_us};
    uint64_t seq = block->seq_first;
    bool malformed = false;
    for (; command_decode(&columns, command, &malformed); seq++) {
        const struct message_info *message = message_info(command->number);
        printf("{\"seq\":%" PRIu64 ",\"time\":%" PRIu64 ",\"command\":\"%s\"", seq,
               command->time_us, message->name);
        text_write_request(stdout, VALUE_JSON, message, command->body);
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
    while (read == WAL_READ_BLOCK && print_block(&reader.block, reader.ids, reader.fields, command))
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

static bool print_blocks(struct disk *disk, const char *name)
{
    static const char segment[] = "wal-";
    struct wal_blocks blocks;
    enum wal_read read = WAL_READ_ERROR;
    struct logged_command *command = malloc(sizeof *command);
    /* Only a segment that is one of a log's, or was, has room behind its last block. */
    bool has_room = strstr(name, segment) != NULL;
    if (wal_blocks_open(&blocks, disk, name, has_room) == 0 && command != NULL)
        read = wal_blocks_next(&blocks);
    while (read == WAL_READ_BLOCK && print_block(&blocks.block, blocks.ids, blocks.fields, command))
        read = wal_blocks_next(&blocks);
    fflush(stdout);
    if (read != WAL_READ_END && read != WAL_READ_BLOCK)
        fprintf(stderr, "till log: %s\n", command != NULL ? blocks.error : "not enough memory");
    wal_blocks_close(&blocks);
    free(command);
    return read == WAL_READ_END;
}

/* Is there a file at the path, not a folder? */
static bool is_file(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && S_ISREG(found.st_mode);
}

/* Does the file's first page begin with a block, of whatever version? */
static bool has_blocks(struct disk *disk, const char *name)
{
    uint8_t page[WAL_ALIGN];
    struct wal_block block = {0};
    int result = wal_segment_begin(disk, name, page, &block);
    return result == 0 || block.magic == WAL_BLOCK_MAGIC;
}

/* Opens the folder that the file lies in; false after a message. */
static bool file_find(const char *path, struct disk **disk, const char **name)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    *name = slash == NULL ? path : slash + 1;
    int result = folder == NULL ? -ENOMEM : disk_open(disk, folder, DISK_READ);
    free(folder);
    if (result < 0)
        fprintf(stderr, "till log: %s: %s\n", path, strerror(-result));
    else if (strlen(*name) >= DISK_NAME_SIZE || !has_blocks(*disk, *name))
        fprintf(stderr,
                "till log: %s: no data folder: it is a file, and none that begins with a block of "
                "a log, as diverged-*.till and log-*.till do\n",
                path);
    else
        return true;
    return false;
}

static bool print_path(const char *path)
{
    struct disk *disk = NULL;
    const char *name = NULL;
    bool printed = false;
    if (is_file(path))
        printed = file_find(path, &disk, &name) && print_blocks(disk, name);
    else
        printed = folder_find("till log", path, FOLDER_READABLE, &disk) && print_folder(disk);
    disk_close(disk);
    return printed;
}

int cli_log(int argc, char **argv)
{
    int operands = options_parse(&log_table, NULL, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &log_table);
        printf("Prints every command of the log in the data folder DIR, one JSON object per line.\n"
               "Stops with an error where the log is damaged. DIR may also be a file of blocks by\n"
               "itself: a diverged-*.till, or a segment of an archive.\n");
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    bool printed = print_path(argv[1]);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "till log: the output cannot be written\n");
        printed = false;
    }
    return printed ? EXIT_OK : EXIT_FAILED;
}
