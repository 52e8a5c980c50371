/* Before anything in a folder is read, it must have at least one file with a name that till gives:
 * a mistyped path leads to a folder without any, which must not be taken for an empty shop. */
#include "cli/folder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "cli/value.h"
#include "snapshot/reader.h"
#include "wal/archive_label.h"

/* The names of till's files; # is a digit. */
static const struct {
    enum folder_kind kind;
    const char *pattern;
} names[] = {
    {FOLDER_DATA, "wal-##########.log"},
    {FOLDER_DATA, "snapshot-####################.till"},
    {FOLDER_DATA, "log-note.till"},
    {FOLDER_DATA, "clock-note.till"},
    {FOLDER_DATA, SHOP_NAME},
    {FOLDER_DATA, BACKUP_LABEL_NAME},
    {FOLDER_ARCHIVE, "log-####################-####################.till"},
    {FOLDER_ARCHIVE, ARCHIVE_LABEL_NAME},
};

/* For the message about a path that has none of them. */
static const struct {
    const char *name;
    const char *looked_for;
} kinds[] = {
    [FOLDER_READABLE] = {"data folder", "wal-*.log, snapshot-*.till or log-*.till"},
    [FOLDER_DATA] = {"data folder", "wal-*.log or snapshot-*.till"},
    [FOLDER_ARCHIVE] = {"archive", "log-*.till"},
};

static bool name_matches(const char *name, const char *pattern)
{
    while (*pattern != '\0' &&
           (*pattern == '#' ? *name >= '0' && *name <= '9' : *name == *pattern)) {
        name++;
        pattern++;
    }
    return *pattern == '\0' && *name == '\0';
}

bool folder_has_name(enum folder_kind kind, const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((kind == FOLDER_READABLE || names[i].kind == kind) &&
            name_matches(name, names[i].pattern))
            return true;
    }
    return false;
}

/* Does the folder have a file of that kind? 1, 0 or -errno. */
static int has_kind(struct disk *disk, enum folder_kind kind)
{
    struct disk_entry *entries;
    int count = disk_list_all(disk, &entries);
    int result = count < 0 ? count : 0;
    for (int i = 0; result == 0 && i < count; i++) {
        if (folder_has_name(kind, entries[i].name))
            result = 1;
    }
    free(entries);
    return result;
}

bool folder_find(const char *command, const char *path, enum folder_kind kind, struct disk **disk)
{
    int result = disk_open(disk, path, DISK_READ);
    if (result == 0)
        result = has_kind(*disk, kind);
    if (result > 0)
        return true;
    fprintf(stderr, "%s: %s: no %s", command, path, kinds[kind].name);
    if (result == -ENOENT)
        fprintf(stderr, ": there is no such folder\n");
    else if (result == -ENOTDIR)
        fprintf(stderr, ": it is a file\n");
    else if (result < 0)
        fprintf(stderr, " that can be read: %s\n", strerror(-result));
    else
        fprintf(stderr, ": it has no file %s\n", kinds[kind].looked_for);
    disk_close(*disk);
    *disk = NULL;
    return false;
}

static bool read_value(const struct folder *folder, unsigned type, const char *option,
                       const char *text, const char *expected, uint64_t *value)
{
    if (text == NULL || (value_read(type, text, strlen(text), 0, value) && *value > 0))
        return true;
    fprintf(stderr, "%s: --%s %s: expected %s\n", folder->command, option, text, expected);
    return false;
}

bool folder_options(struct folder *folder)
{
    struct replay *replay = &folder->replay;
    if (!read_value(folder, FIELD_time, "at", folder->at,
                    "a time such as 2026-11-25T22:00:00Z, or microseconds since 1970",
                    &replay->time_last_us) ||
        !read_value(folder, FIELD_u64, "seq", folder->seq, "a number above zero",
                    &replay->seq_last))
        return false;
    if (folder->at == NULL || folder->seq == NULL)
        return true;
    fprintf(stderr, "%s: --at and --seq each name a moment: give one of them\n", folder->command);
    return false;
}

static bool check_backup(struct folder *folder)
{
    folder->label.progress = progress_backup;
    folder->label.context = &folder->progress;
    enum backup_state state = backup_label_demand(&folder->label, folder->replay.disk);
    progress_end(&folder->progress);
    folder->is_backup = state == BACKUP_COMPLETE;
    if (state == BACKUP_REFUSED)
        fprintf(stderr, "%s: %s\n", folder->command, folder->label.error);
    return state != BACKUP_REFUSED;
}

bool folder_open(struct folder *folder, const char *path)
{
    struct replay *replay = &folder->replay;
    char error[REPLAY_ERROR_SIZE];
    if (!folder_find(folder->command, path, FOLDER_READABLE, &replay->disk))
        return false;
    if (folder->archive != NULL &&
        !folder_find(folder->command, folder->archive, FOLDER_ARCHIVE, &replay->archive))
        return false;
    if (!check_backup(folder))
        return false;
    /* What is read may have been made to be slow to find with a seed that is known. */
    uint64_t *seed = &folder->capacities.hash_seed;
    if (getrandom(seed, sizeof *seed, 0) != sizeof *seed) {
        fprintf(stderr, "%s: no random numbers: %s\n", folder->command, strerror(errno));
        return false;
    }
    replay->engine = engine_create(&folder->capacities, error, sizeof error);
    if (replay->engine == NULL)
        fprintf(stderr, "%s: %s\n", folder->command, error);
    folder->progress.command = folder->command;
    folder->progress.log = "replaying the log";
    replay->reads_ahead = true;
    replay->progress = progress_log;
    replay->loading = progress_snapshot;
    replay->notice = progress_notice;
    replay->context = &folder->progress;
    return replay->engine != NULL;
}

void folder_close(struct folder *folder)
{
    struct replay *replay = &folder->replay;
    engine_destroy(replay->engine);
    backup_label_close(&folder->label);
    disk_close(replay->archive);
    disk_close(replay->disk);
    replay->engine = NULL;
    replay->archive = replay->disk = NULL;
}

const void *folder_ask(struct engine *engine, unsigned number, const void *body, uint32_t size,
                       uint64_t room[FRAME_SIZE_MAX / 8])
{
    struct reply_sink sink = {.cursor = (uint8_t *)room, .gap = 0};
    struct command command = {
        .body = body, .sink = &sink, .size = size, .number = (uint16_t)number};
    engine_decide(engine, engine_time_us(engine), &command, 1);
    TILL_ASSERT(command.outcome == OUTCOME_OK);
    return command.reply;
}

bool folder_shop(const struct folder *folder, struct shop *shop)
{
    const struct replay *replay = &folder->replay;
    char error[SHOP_ERROR_SIZE];
    int result = shop_read(replay->disk, shop);
    if (result == -ENOENT) {
        *shop = (struct shop){.shop = replay->loader.shop};
        return true;
    }
    bool is_right = result == 0 || shop_explain(replay->disk, result, error);
    if (is_right && !id_is_zero(replay->loader.shop))
        is_right = id_equal(shop->shop, replay->loader.shop) ||
                   error_set_file(error, sizeof error, disk_path(replay->disk), SHOP_NAME,
                                  "it is of another shop than the snapshot of seq %" PRIu64
                                  ": files of different folders are mixed",
                                  replay->loader.seq);
    if (!is_right)
        fprintf(stderr, "%s: %s\n", folder->command, error);
    return is_right;
}

uint64_t folder_first_seq(struct disk *disk, bool *is_archive)
{
    struct wal_reader reader;
    uint64_t seq = 0;
    *is_archive = false;
    if (disk == NULL || wal_reader_init(&reader, disk) != 0)
        return 0;
    if (wal_reader_next(&reader) == WAL_READ_BLOCK)
        seq = reader.block.seq_first;
    *is_archive = reader.is_archive;
    wal_reader_deinit(&reader);
    return seq;
}

static void print_time(uint64_t time_us)
{
    value_write(stderr, VALUE_TEXT, FIELD_time, &time_us);
}

/* Seq and time of the oldest snapshot; false when none can be read. */
static bool oldest_snapshot(const struct folder *folder, uint64_t *seq, uint64_t *time_us)
{
    struct loader snapshots = {.disk = folder->replay.disk};
    struct image_reader reader;
    char name[DISK_NAME_SIZE];
    if (!loader_list(&snapshots) || snapshots.seq_count == 0)
        return false;
    *seq = snapshots.seqs[snapshots.seq_count - 1];
    image_name(*seq, name);
    bool is_read = image_reader_open(&reader, snapshots.disk, name, *seq) == IMAGE_READ_CHUNK;
    *time_us = reader.header.fixed.time_us;
    image_reader_close(&reader);
    return is_read;
}

/* Is the requested moment not too early? Unless a log begins with the first change, the oldest
 * snapshot is the earliest state that can be built. */
static bool reaches_back(const struct folder *folder)
{
    const struct replay *replay = &folder->replay;
    bool is_archive;
    uint64_t seq;
    uint64_t time_us;
    if ((replay->seq_last == 0 && replay->time_last_us == 0) ||
        folder_first_seq(replay->disk, &is_archive) == 1 ||
        folder_first_seq(replay->archive, &is_archive) == 1 ||
        !oldest_snapshot(folder, &seq, &time_us))
        return true;
    if (replay->seq_last > 0 ? replay->seq_last >= seq : replay->time_last_us >= time_us)
        return true;
    fprintf(stderr, "%s: %s reaches back to seq %" PRIu64 " of ", folder->command,
            disk_path(replay->disk), seq);
    print_time(time_us);
    fprintf(stderr, ", no further: give an older backup, with an --archive\n");
    return false;
}

/* Up to which time it is known that no change followed the last one: for a backup, when it was
 * taken; for a data folder, now. For an archive it is the last change itself, as the log may be
 * ahead of it. */
static uint64_t reach_us(const struct folder *folder)
{
    const struct replay *replay = &folder->replay;
    uint64_t last_us = engine_time_us(replay->engine);
    uint64_t time_us = 0;
    if (folder->is_backup) {
        time_us = folder->label.time_us;
    } else if (!replay->is_archive) {
        time_us = clock_wall_us();
    }
    return time_us > last_us ? time_us : last_us;
}

/* Is the state, now that the log was read, the one of the requested moment? */
static bool has_reached(const struct folder *folder)
{
    const struct replay *replay = &folder->replay;
    uint64_t seq = engine_seq(replay->engine);
    const char *hint = folder->archive == NULL ? "; is there an --archive?" : "";
    if (replay->has_stopped)
        return true;
    if (folder->is_backup && seq < folder->label.seq && replay->seq_last != seq) {
        fprintf(stderr,
                "%s: %s goes up to seq %" PRIu64 ", but went up to %" PRIu64
                " when the backup was made: use another backup\n",
                folder->command, disk_path(replay->disk), seq, folder->label.seq);
        return false;
    }
    if (replay->seq_last > seq) {
        fprintf(stderr, "%s: there is no seq %" PRIu64 ": the log ends at %" PRIu64 "%s\n",
                folder->command, replay->seq_last, seq, hint);
        return false;
    }
    if (replay->time_last_us <= reach_us(folder))
        return true;
    fprintf(stderr, "%s: %s tells nothing of ", folder->command, disk_path(replay->disk));
    print_time(replay->time_last_us);
    fprintf(stderr, ": it goes up to ");
    print_time(reach_us(folder));
    fprintf(stderr, ", with seq %" PRIu64 " as its last change%s\n", seq, hint);
    return false;
}

bool folder_read(struct folder *folder)
{
    if (!reaches_back(folder))
        return false;
    bool replayed = replay_run(&folder->replay);
    progress_end(&folder->progress);
    if (!replayed) {
        fprintf(stderr, "%s: %s\n", folder->command, folder->replay.error);
        return false;
    }
    return has_reached(folder);
}
