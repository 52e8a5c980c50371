/* `till backup`: copies what a server needs to start, the newest snapshot and the log after it,
 * from the data folder of a running server (or of a stopped one).
 *
 * It reads the server's files as recovery does, and sends the server no request: orders are slowed
 * down only by the disk bandwidth that it takes, which --rate bounds. A backup has the files of a
 * data folder, and a label that names them (snapshot/backup_label.h). Files that a fork has set
 * aside (net/fork.h) are not copied.
 *
 *   target                            then
 *   empty, or not there               label it as unfinished, then as the next row
 *   an unfinished backup              copy the snapshot, verify it, publish it; then the log
 *   a complete one                    check it; append the log written since, in new files,
 *                                     then copy the newest snapshot
 *   of another shop or history,       refuse: nothing is removed that was not proven to be older
 *   or too old
 *   anything else                     refuse, and change nothing
 *
 * When everything was copied and read back, the label that names all files is published; only then
 * are files removed that lie before the newest snapshot. So a first backup is unfinished until it
 * is complete, and one that is brought up to date is complete at every moment. If a run is
 * interrupted, the same command continues: a snapshot at the byte that it had reached, the log at
 * the last file.
 *
 * What can fail: the server reuses segments while they are being read, and overwrites them. Then
 * the source's log looks damaged, or seems to end before a seq that was known to be durable: the
 * copy is tried again, up to TRIES_MAX times, with a newer snapshot if there is one. */
#include "cli/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/paths.h"
#include "cli/units.h"
#include "snapshot/image.h"

enum { TRIES_MAX = 10, TRY_EVERY_MS = 100 };

enum backup_step backup_fail_at(struct backup *backup, const struct disk *disk, const char *name,
                                int64_t result)
{
    return backup_fail(backup, "%s/%s: %s", disk_path(disk), name, strerror((int)-result));
}

enum backup_step backup_again(enum backup_step failed)
{
    return failed == STEP_FAILED ? STEP_AGAIN : failed;
}

void backup_pace(struct backup *backup, uint64_t bytes)
{
    uint64_t now_us = clock_monotonic_us();
    if (backup->bytes_copied == 0)
        backup->paced_from_us = now_us;
    backup->bytes_copied += bytes;
    if (backup->rate_mib == 0)
        return;
    double due_s = (double)backup->bytes_copied / ((double)backup->rate_mib * (1 << 20));
    double passed_s = (double)(now_us - backup->paced_from_us) / (double)US_PER_SECOND;
    if (due_s <= passed_s)
        return;
    double wait_s = due_s - passed_s;
    const struct timespec wait = {.tv_sec = (time_t)wait_s,
                                  .tv_nsec = (long)((wait_s - (double)(time_t)wait_s) * 1e9)};
    nanosleep(&wait, NULL);
}

/* Which snapshot to copy: one that was partly copied, if the source still has it, else the
 * newest. */
static uint64_t choose_snapshot(struct backup *backup, const struct loader *source)
{
    char name[DISK_NAME_SIZE + sizeof DISK_PARTIAL];
    for (uint32_t i = 0; i < source->seq_count; i++) {
        image_name(source->seqs[i], name);
        strcat(name, DISK_PARTIAL);
        if (backup_size_of(backup->target, name) > 0)
            return source->seqs[i];
    }
    return source->seq_count > 0 ? source->seqs[0] : 0;
}

/* One attempt; STEP_AGAIN when the server changed the source's files meanwhile. */
static enum backup_step copy(struct backup *backup)
{
    struct loader source = {.disk = backup->source};
    enum backup_step step = backup_take_stock(backup);
    if (step == STEP_DONE && !loader_list(&source))
        step = backup_fail(backup, "%s", source.error);
    if (step != STEP_DONE)
        return step;
    uint64_t snapshot = choose_snapshot(backup, &source);
    uint64_t seq = backup_last_seq(&backup->held);
    backup->is_new |= seq == 0;
    bool is_begun = !backup->is_new || backup->held.log_first > 0;
    if (!is_begun) {
        step = snapshot > seq ? backup_image_copy(backup, snapshot) : STEP_DONE;
        seq = snapshot;
    }
    if (step == STEP_DONE)
        step = backup_log_copy(backup, seq, snapshot > seq ? snapshot : seq);
    if (step == STEP_DONE && is_begun && snapshot > backup_newest(&backup->held))
        step = backup_image_copy(backup, snapshot);
    return step;
}

/* Opens the source; a folder without any change is refused before anything is created. */
static enum backup_step open_source(struct backup *backup)
{
    struct wal_reader reader;
    struct loader snapshots = {0};
    if (!folder_find("till backup", backup->data, FOLDER_DATA, &backup->source))
        return STEP_FAILED;
    enum backup_state state = backup_label_demand(&backup->origin, backup->source);
    if (state == BACKUP_REFUSED)
        return backup_fail(backup, "%s", backup->origin.error);
    backup->is_of_backup = state == BACKUP_COMPLETE;
    snapshots.disk = backup->source;
    if (!loader_list(&snapshots))
        return backup_fail(backup, "%s", snapshots.error);
    if (snapshots.seq_count > 0)
        return STEP_DONE;
    if (wal_reader_init(&reader, backup->source) != 0)
        return backup_fail(backup, "%s", reader.error);
    enum wal_read read = wal_reader_next(&reader);
    wal_reader_deinit(&reader);
    if (read == WAL_READ_BLOCK)
        return STEP_DONE;
    if (read == WAL_READ_END)
        return backup_fail(backup, "%s has nothing to back up yet", backup->data);
    return backup_fail(backup, "%s", reader.error);
}

/* Is it the name of a file of a backup, or of such a file's partial copy? */
static bool is_of_backup(const char *name)
{
    char stem[DISK_NAME_SIZE];
    if (strlen(name) >= sizeof stem)
        return false;
    strcpy(stem, name);
    /* A partial file that was being removed has the ending twice. */
    while (disk_name_is_partial(stem))
        stem[strlen(stem) - strlen(DISK_PARTIAL)] = '\0';
    return strcmp(stem, BACKUP_LABEL_NAME) == 0 || folder_has_name(FOLDER_DATA, stem);
}

static bool is_label_begun(const char *name)
{
    return strcmp(name, BACKUP_LABEL_NAME DISK_PARTIAL) == 0;
}

/* Creates the target folder, or opens it if it has nothing but files of a backup. */
static enum backup_step make_target(struct backup *backup)
{
    char name[256];
    int result = path_find_entry(backup->path, is_of_backup, name, sizeof name);
    if (result > 0)
        return backup_fail(
            backup,
            "%s has %s, which is not of a backup; nothing was changed: give the backup a "
            "folder of its own",
            backup->path, name);
    if (result == 0)
        result = path_make_parents(backup->path);
    if (result == 0)
        result = disk_open(&backup->target, backup->path, DISK_WRITE);
    if (result != 0)
        return backup_fail(backup, "%s: %s", backup->path,
                           result == -EWOULDBLOCK ? "another till uses this folder"
                                                  : strerror(-result));
    return STEP_DONE;
}

/* Opens the target: an intact backup, or a new one, which is labelled as unfinished. */
static enum backup_step open_target(struct backup *backup)
{
    char name[256];
    enum backup_step step = make_target(backup);
    if (step != STEP_DONE)
        return step;
    switch (backup_label_open(&backup->label, backup->target)) {
    case BACKUP_UNFINISHED:
        return STEP_DONE;
    case BACKUP_COMPLETE:
        return backup_label_check(&backup->label) ? STEP_DONE
                                                  : backup_fail(backup, "%s", backup->label.error);
    case BACKUP_REFUSED:
        return backup_fail(backup, "%s", backup->label.error);
    case BACKUP_NONE:
        break;
    }
    if (path_find_entry(backup->path, is_label_begun, name, sizeof name) != 0)
        return backup_fail(backup,
                           "%s has %s, and no " BACKUP_LABEL_NAME
                           ": it is a data folder, or a backup "
                           "that lost it; nothing was changed: give the backup a folder of its own",
                           backup->path, name);
    if (!backup_label_begin(&backup->label, backup->target))
        return backup_fail(backup, "%s", backup->label.error);
    return STEP_DONE;
}

/* Up to which time the source shows all changes: now, or if it is a backup itself, when that was
 * taken. */
static uint64_t source_time_us(const struct backup *backup)
{
    return backup->is_of_backup ? backup->origin.time_us : clock_wall_us();
}

static enum backup_step run(struct backup *backup)
{
    const struct timespec pause = {.tv_nsec = TRY_EVERY_MS * 1000000L};
    const struct named_path source = {"the data folder", backup->data};
    const struct named_path target = {"the backup", backup->path};
    backup->label.progress = backup->origin.progress = progress_backup;
    backup->label.context = backup->origin.context = &backup->progress;
    enum backup_step step = open_source(backup);
    if (step == STEP_DONE && !paths_are_apart("till backup", source, target))
        return STEP_FAILED;
    if (step == STEP_DONE)
        step = open_target(backup);
    if (step != STEP_DONE)
        return step;
    step = backup_shop_copy(backup);
    if (step != STEP_DONE)
        return step;
    step = STEP_AGAIN;
    for (int i = 0; i < TRIES_MAX && step == STEP_AGAIN; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        backup->label.time_us = source_time_us(backup);
        step = copy(backup);
    }
    return step == STEP_DONE ? backup_finish(backup) : step;
}

static void print_summary(const struct backup *backup)
{
    const struct backup_holding *held = &backup->held;
    printf("backup up to seq %" PRIu64 " in %s: ", backup_last_seq(held), backup->path);
    if (backup_newest(held) > 0)
        printf("the snapshot of seq %" PRIu64 "%s", backup_newest(held),
               held->log_first > 0 ? " and the log after it" : "");
    else
        printf("the log from its beginning");
    printf("; %.2f MiB copied, checksums and chain hold\n", mebibytes(backup->bytes_copied));
}

static void print_help(void)
{
    options_print_usage(stdout, &backup_table);
    printf("Copies the newest snapshot and the log after it to DIR, from the folder of a server\n"
           "that may be running, and verifies the copy. DIR is then a backup: to serve, to\n"
           "restore from, to verify; its backup.till says what it has. The same command with the\n"
           "same DIR goes on where it was stopped, or brings an earlier backup up to date; a\n"
           "folder with anything else in it is refused. For a backup of this moment:\n"
           "  till snapshot && till backup DIR\n\n");
    options_print(stdout, &backup_table);
}

int cli_backup(int argc, char **argv)
{
    struct backup_options options;
    int operands = options_parse(&backup_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    struct backup backup = {.data = options.data, .rate_mib = options.rate, .file = -1};
    backup.path = argv[1];
    backup.piece = aligned_alloc(WAL_ALIGN, BACKUP_PIECE_SIZE);
    enum backup_step step =
        backup.piece != NULL ? run(&backup) : backup_fail(&backup, "not enough memory");
    progress_end(&backup.progress);
    if (step == STEP_DONE)
        print_summary(&backup);
    else if (backup.error[0] != '\0')
        fprintf(stderr, "till backup: %s\n", backup.error);
    backup_label_close(&backup.label);
    backup_label_close(&backup.origin);
    disk_close(backup.target);
    disk_close(backup.source);
    free(backup.piece);
    return step == STEP_DONE ? EXIT_OK : EXIT_FAILED;
}
