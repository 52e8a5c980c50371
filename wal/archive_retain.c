/* Which files an archive keeps, and the label that says so.
 *
 * Good path: a label is published that goes up to the newest file, and begins after the files that
 * the options do not let stay; then these are removed. A label that begins later always comes
 * before the files go, so that a reader never misses a file that the label names.
 *
 * What can fail: the archive's disk, as -errno. Removing that failed is made up for at the next
 * label. A page is kept for the next label, so that a full disk does not stop it: without it
 * nothing could be removed. */
#include <errno.h>
#include <stdlib.h>

#include "base/retention.h"
#include "wal/archive_state.h"

/* When the changes of a file had ended, at the latest: when those of the file after it begin. 0: it
 * cannot be read. */
static uint64_t end_us(const struct archive_copy *copy, const struct wal_segment *after)
{
    struct wal_block block = {0};
    return wal_segment_begin(copy->folder, after->name, copy->page, &block) == 0 ? block.time_us
                                                                                 : 0;
}

/* How many of the oldest files the options do not let stay, and at least gone_min but the newest;
 * -ENOMEM. Times are read only of those that are next in turn to go for their age. */
static int count_gone(const struct archive_copy *copy, const struct wal_segment *segments,
                      int count, int gone_min, uint64_t time_us)
{
    const struct retention_archive archive = {.keep_us = copy->options.keep_us,
                                              .keep_bytes = copy->options.keep_bytes,
                                              .time_us = time_us,
                                              .gone_min = (uint32_t)gone_min};
    struct retention_file *files = calloc((size_t)count + 1, sizeof *files);
    if (files == NULL)
        return -ENOMEM;
    for (int i = 0; i < count; i++)
        files[i].size_bytes = segments[i].file_bytes;
    int gone = (int)retention_archive_gone(&archive, files, (uint32_t)count);
    for (int i = gone; archive.keep_us > 0 && i < gone + RETENTION_AGED_MAX && i + 1 < count; i++)
        files[i].end_us = end_us(copy, &segments[i + 1]);
    gone = (int)retention_archive_gone(&archive, files, (uint32_t)count);
    free(files);
    return gone;
}

int archive_label_change(struct archive_copy *copy, const struct archive_label *label)
{
    int result = archive_label_publish(copy->folder, label);
    if (result < 0)
        return result;
    copy->label = *label;
    copy->is_label_due = false;
    /* A page for the next label. When this fails, that label may find the disk full, and says so.
     */
    (void)archive_label_reserve(copy->folder);
    return 0;
}

int archive_label_advance(struct archive_copy *copy, struct archive_label label, int least_count)
{
    struct wal_segment *segments;
    int count = wal_segments_list(copy->folder, WAL_IN_ARCHIVE, &segments);
    if (count < 0)
        return count;
    int given_up = 0;
    while (given_up < count && segments[given_up].seq_last < label.seq_first)
        given_up++;
    int gone = count_gone(copy, segments, count, given_up > least_count ? given_up : least_count,
                          label.time_us);
    int result = gone < 0 ? gone : 0;
    if (gone > given_up)
        label.seq_first = segments[gone].seq_first;
    if (result == 0 && (gone > given_up || label.seq_last != copy->label.seq_last))
        result = archive_label_change(copy, &label);
    for (int i = 0; result == 0 && i < gone; i++) {
        result = disk_remove(copy->folder, segments[i].name);
        copy->removed_count += result == 0;
    }
    free(segments);
    return result;
}
