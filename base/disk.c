/* What is built on the calls of base/disk.h, the same on every implementation of them. */
#include "base/disk.h"

#include <stdlib.h>

int disk_list_all(struct disk *disk, struct disk_entry **entries)
{
    *entries = malloc(DISK_ENTRIES_MAX * sizeof **entries);
    int count = *entries == NULL ? -ENOMEM : disk_list(disk, *entries, DISK_ENTRIES_MAX);
    if (count > DISK_ENTRIES_MAX)
        count = -EOVERFLOW;
    if (count < 0) {
        free(*entries);
        *entries = NULL;
    }
    return count;
}
