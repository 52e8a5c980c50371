/* Names and the list of segments. Other files in the folder are none of the log's business; names
 * are compared whole, so partial files are not segments. */
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

/* The number in a segment's name; 0 when it is another file's. */
static uint32_t segment_number(const char *name)
{
    char expected[DISK_NAME_SIZE];
    if (strncmp(name, "wal-", 4) != 0)
        return 0;
    unsigned long long number = strtoull(name + 4, NULL, 10);
    if (number > UINT32_MAX)
        return 0;
    wal_segment_name((uint32_t)number, expected);
    return strcmp(name, expected) == 0 ? (uint32_t)number : 0;
}

int wal_segments_list(struct disk *disk, struct wal_segment **segments)
{
    *segments = NULL;
    struct disk_entry *entries = malloc(DISK_ENTRIES_MAX * sizeof *entries);
    struct wal_segment *list = malloc(DISK_ENTRIES_MAX * sizeof *list);
    int result = entries != NULL && list != NULL ? 0 : -ENOMEM;
    if (result == 0)
        result = disk_list(disk, entries, DISK_ENTRIES_MAX);
    if (result > DISK_ENTRIES_MAX)
        result = -EOVERFLOW;
    int count = 0;
    uint64_t start = 0;
    for (int i = 0; i < result; i++) {
        uint32_t number = segment_number(entries[i].name);
        if (number == 0)
            continue;
        uint64_t size = entries[i].size_bytes / WAL_ALIGN * WAL_ALIGN;
        list[count++] = (struct wal_segment){number, size, start};
        start += size;
    }
    free(entries);
    if (result < 0) {
        free(list);
        return result;
    }
    *segments = list;
    return count;
}
