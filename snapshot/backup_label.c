/* Reading the label, checking what it names, publishing it.
 *
 * What can fail: the disk; a label that is damaged or of a newer till; a file that is missing, of
 * another size or of other content. Each is refused with the name of the file. */
#include "snapshot/backup_label.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/label.h"
#include "base/limits.h"

#define KIND "backup"

enum {
    VERSION = 1,
    PIECE_SIZE = 1 << 20,
    LINE_SIZE_MAX = 20 + 1 + 16 + 1 + DISK_NAME_SIZE,
    /* Room for the longest label, and a page more, by which a longer file is told. */
    ROOM = (DISK_ENTRIES_MAX * LINE_SIZE_MAX / WAL_ALIGN + 2) * WAL_ALIGN,
};

static const char remedy[] =
    "take another backup, or make a new one. To make do with what is there, "
    "remove " BACKUP_LABEL_NAME
    ": it is then read like the folder of a server that died, and what it lacks is not missed";

/* Always false. */
#define fail(label, ...) error_set((label)->error, sizeof(label)->error, __VA_ARGS__)

static bool fail_at(struct backup_label *label, const char *name, int result)
{
    return fail(label, "%s/%s: %s", disk_path(label->disk), name, strerror(-result));
}

/* One line of the list. */
static bool read_file(struct label *text, struct backup_file *file)
{
    char *end = NULL;
    const char *line = label_line(text);
    if (line == NULL)
        return false;
    file->size_bytes = strtoull(line, &end, 10);
    if (end == line || *end != ' ')
        return false;
    file->checksum = strtoull(end + 1, &end, 16);
    if (*end != ' ' || end[1] == '\0' || strlen(end + 1) >= DISK_NAME_SIZE)
        return false;
    strcpy(file->name, end + 1);
    return strchr(file->name, '/') == NULL;
}

static bool read_files(struct backup_label *label, struct label *text)
{
    uint64_t count = 0;
    if (!label_number(text, "seq", 10, &label->seq) ||
        !label_number(text, "epoch", 10, &label->epoch) ||
        !label_number(text, "time", 10, &label->time_us) ||
        !label_number(text, "files", 10, &count) || count > DISK_ENTRIES_MAX)
        return false;
    label->files = calloc(count + 1, sizeof *label->files);
    if (label->files == NULL)
        return false;
    while (label->file_count < count && read_file(text, &label->files[label->file_count]))
        label->file_count++;
    return label->file_count == count && label_line(text) == NULL;
}

static enum backup_state read_label(struct backup_label *label, void *room)
{
    struct label text;
    int result = label_read(&text, label->disk, BACKUP_LABEL_NAME, room, ROOM, KIND, VERSION);
    const char *state = result == 0 ? label_line(&text) : NULL;
    if (result == -ENOENT)
        return BACKUP_NONE;
    if (state != NULL && strcmp(state, "state unfinished") == 0)
        return BACKUP_UNFINISHED;
    if (state != NULL && strcmp(state, "state complete") == 0 && read_files(label, &text))
        return BACKUP_COMPLETE;
    if (result == -ENOTSUP)
        fail(label, "%s/" BACKUP_LABEL_NAME ": written by a newer till: use that one",
             disk_path(label->disk));
    else if (result == 0 || result == -EBADMSG)
        fail(label,
             "%s/" BACKUP_LABEL_NAME ", which says what the backup consists of, is damaged: %s",
             disk_path(label->disk), remedy);
    else
        fail_at(label, BACKUP_LABEL_NAME, result);
    return BACKUP_REFUSED;
}

enum backup_state backup_label_open(struct backup_label *label, struct disk *disk)
{
    label->disk = disk;
    label->files = NULL;
    label->file_count = 0;
    void *room = aligned_alloc(WAL_ALIGN, ROOM);
    enum backup_state state = BACKUP_REFUSED;
    if (room == NULL)
        fail(label, "no memory for the label of a backup");
    else
        state = read_label(label, room);
    free(room);
    return state;
}

void backup_label_close(struct backup_label *label)
{
    free(label->files);
    label->files = NULL;
    label->file_count = 0;
}

/* Reads a file to its end; the size and the checksum of it. 0 or -errno. */
static int read_whole(struct backup_label *label, const char *name, uint8_t *piece,
                      struct backup_file *found, uint64_t *bytes_read, uint64_t bytes_total)
{
    XXH3_state_t state;
    int file = disk_file_open(label->disk, name, false);
    int64_t size = file < 0 ? file : 1;
    found->size_bytes = 0;
    XXH3_64bits_reset(&state);
    while (size > 0) {
        size = disk_file_read(label->disk, file, found->size_bytes, piece, PIECE_SIZE);
        if (size <= 0)
            break;
        XXH3_64bits_update(&state, piece, (size_t)size);
        found->size_bytes += (uint64_t)size;
        *bytes_read += (uint64_t)size;
        if (label->progress != NULL)
            label->progress(label->context, *bytes_read, bytes_total);
    }
    found->checksum = XXH3_64bits_digest(&state);
    if (file >= 0)
        disk_file_close(label->disk, file);
    return (int)size;
}

/* The files that are there, by name; NULL after a failure. */
static struct disk_entry *list(struct backup_label *label, int *count)
{
    struct disk_entry *entries;
    *count = disk_list_all(label->disk, &entries);
    if (*count < 0)
        fail(label, "%s cannot be listed: %s", disk_path(label->disk), strerror(-*count));
    return entries;
}

static int entry_compare(const void *name, const void *entry)
{
    return strcmp(name, ((const struct disk_entry *)entry)->name);
}

static const struct disk_entry *find(const struct disk_entry *entries, int count, const char *name)
{
    return bsearch(name, entries, (size_t)count, sizeof *entries, entry_compare);
}

/* What is missing or of another size is found before anything is read. */
static bool check_sizes(struct backup_label *label, const struct disk_entry *entries, int count,
                        uint64_t *bytes_total)
{
    for (uint32_t i = 0; i < label->file_count; i++) {
        const struct backup_file *file = &label->files[i];
        const struct disk_entry *entry = find(entries, count, file->name);
        if (entry == NULL)
            return fail(label, "%s/%s, a file of this backup, is missing: %s",
                        disk_path(label->disk), file->name, remedy);
        if (entry->size_bytes != file->size_bytes)
            return fail(
                label,
                "%s/%s has %" PRIu64 " bytes, and had %" PRIu64 " when the backup was made: %s",
                disk_path(label->disk), file->name, entry->size_bytes, file->size_bytes, remedy);
        *bytes_total += file->size_bytes;
    }
    return true;
}

static bool check_contents(struct backup_label *label, uint8_t *piece, uint64_t bytes_total)
{
    uint64_t bytes_read = 0;
    for (uint32_t i = 0; i < label->file_count; i++) {
        const struct backup_file *file = &label->files[i];
        struct backup_file found;
        int result = read_whole(label, file->name, piece, &found, &bytes_read, bytes_total);
        if (result < 0)
            return fail_at(label, file->name, result);
        if (found.size_bytes != file->size_bytes || found.checksum != file->checksum)
            return fail(label,
                        "%s/%s is damaged: its checksum is %016" PRIx64 ", and was %016" PRIx64
                        " when the backup was made: %s",
                        disk_path(label->disk), file->name, found.checksum, file->checksum, remedy);
    }
    return true;
}

bool backup_label_check(struct backup_label *label)
{
    int count = 0;
    uint64_t bytes_total = 0;
    struct disk_entry *entries = list(label, &count);
    uint8_t *piece = malloc(PIECE_SIZE);
    bool is_sound = entries != NULL && check_sizes(label, entries, count, &bytes_total);
    if (is_sound && piece == NULL)
        is_sound = fail(label, "no memory to check a backup");
    if (is_sound)
        is_sound = check_contents(label, piece, bytes_total);
    free(piece);
    free(entries);
    return is_sound;
}

enum backup_state backup_label_demand(struct backup_label *label, struct disk *disk)
{
    enum backup_state state = backup_label_open(label, disk);
    if (state == BACKUP_UNFINISHED) {
        fail(label,
             "%s is a backup that is not finished: the same till backup again goes on with it",
             disk_path(disk));
        return BACKUP_REFUSED;
    }
    if (state == BACKUP_COMPLETE && !backup_label_check(label))
        return BACKUP_REFUSED;
    return state;
}

static void add_files(const struct backup_label *label, struct label *text)
{
    label_add(text, "seq %" PRIu64 "\nepoch %" PRIu64 "\ntime %" PRIu64 "\nfiles %" PRIu32 "\n",
              label->seq, label->epoch, label->time_us, label->file_count);
    for (uint32_t i = 0; i < label->file_count; i++)
        label_add(text, "%" PRIu64 " %016" PRIx64 " %s\n", label->files[i].size_bytes,
                  label->files[i].checksum, label->files[i].name);
}

static bool publish(struct backup_label *label, bool is_complete)
{
    struct label text;
    void *room = aligned_alloc(WAL_ALIGN, ROOM);
    if (room == NULL)
        return fail(label, "no memory for the label of a backup");
    label_begin(&text, room, ROOM, KIND, VERSION);
    label_add(&text, "state %s\n", is_complete ? "complete" : "unfinished");
    if (is_complete)
        add_files(label, &text);
    int result = label_publish(&text, label->disk, BACKUP_LABEL_NAME);
    free(room);
    return result == 0 || fail_at(label, BACKUP_LABEL_NAME, result);
}

bool backup_label_begin(struct backup_label *label, struct disk *disk)
{
    label->disk = disk;
    backup_label_close(label);
    return publish(label, false);
}

bool backup_label_complete(struct backup_label *label)
{
    int count = 0;
    uint64_t bytes_read = 0;
    uint64_t bytes_total = 0;
    struct disk_entry *entries = list(label, &count);
    uint8_t *piece = malloc(PIECE_SIZE);
    bool is_read = entries != NULL && (piece != NULL || fail(label, "no memory for a backup"));
    for (uint32_t i = 0; is_read && i < label->file_count; i++) {
        const struct disk_entry *entry = find(entries, count, label->files[i].name);
        bytes_total += entry == NULL ? 0 : entry->size_bytes;
    }
    for (uint32_t i = 0; is_read && i < label->file_count; i++) {
        struct backup_file *file = &label->files[i];
        int result = read_whole(label, file->name, piece, file, &bytes_read, bytes_total);
        is_read = result == 0 || fail_at(label, file->name, result);
    }
    free(piece);
    free(entries);
    return is_read && publish(label, true);
}

int backup_label_leave(struct disk *disk)
{
    return disk_remove(disk, BACKUP_LABEL_NAME);
}
