/* Names and listing. Files with other names are ignored; the whole name is compared, so a partial
 * file is not a segment. What can fail: listing and reading the folder, as -errno. */
#include "wal/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

void wal_segment_name(uint32_t number, char name[DISK_NAME_SIZE])
{
    snprintf(name, DISK_NAME_SIZE, "wal-%010" PRIu32 ".log", number);
}

void wal_archived_name(uint64_t seq_first, uint64_t seq_last, char name[DISK_NAME_SIZE])
{
    snprintf(name, DISK_NAME_SIZE, "log-%020" PRIu64 "-%020" PRIu64 ".till", seq_first, seq_last);
}

/* Fills in what the name of a segment says; false when it is not the name of one. */
static bool read_data_name(const char *name, struct wal_segment *segment)
{
    if (strncmp(name, "wal-", 4) != 0)
        return false;
    unsigned long long number = strtoull(name + 4, NULL, 10);
    if (number == 0 || number > UINT32_MAX)
        return false;
    segment->number = (uint32_t)number;
    wal_segment_name(segment->number, segment->name);
    return strcmp(name, segment->name) == 0;
}

static bool read_archived_name(const char *name, struct wal_segment *segment)
{
    char *end = NULL;
    if (strncmp(name, "log-", 4) != 0)
        return false;
    segment->seq_first = strtoull(name + 4, &end, 10);
    segment->seq_last = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    wal_archived_name(segment->seq_first, segment->seq_last, segment->name);
    return segment->seq_first > 0 && segment->seq_first <= segment->seq_last &&
           strcmp(name, segment->name) == 0;
}

int wal_segment_begin(struct disk *disk, const char *name, uint8_t *page, struct wal_block *block)
{
    int file = disk_file_open(disk, name, false);
    if (file < 0)
        return file;
    int64_t count = disk_file_read(disk, file, 0, page, WAL_ALIGN);
    disk_file_close(disk, file);
    if (count < 0)
        return (int)count;
    return count == WAL_ALIGN && wal_block_read(page, block) ? 0 : -EIO;
}

int wal_segments_list(struct disk *disk, enum wal_place place, struct wal_segment **segments)
{
    *segments = NULL;
    struct disk_entry *entries;
    int entry_count = disk_list_all(disk, &entries);
    if (entry_count < 0)
        return entry_count;
    struct wal_segment *list = malloc(((size_t)entry_count + 1) * sizeof *list);
    int count = list == NULL ? -ENOMEM : 0;
    uint64_t start = 0;
    for (int i = 0; list != NULL && i < entry_count; i++) {
        struct wal_segment segment = {.number = (uint32_t)count + 1};
        bool is_one = place == WAL_IN_DATA ? read_data_name(entries[i].name, &segment)
                                           : read_archived_name(entries[i].name, &segment);
        if (!is_one)
            continue;
        segment.file_bytes = entries[i].size_bytes;
        segment.size_bytes = segment.file_bytes / WAL_ALIGN * WAL_ALIGN;
        segment.start = start;
        start += segment.size_bytes;
        list[count++] = segment;
    }
    free(entries);
    *segments = list;
    return count;
}
