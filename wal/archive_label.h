/* The label of an archive: the file `archive.till` (base/label.h), which says what the archive
 * contains; and the list of its files.
 *
 *   seq_first 1                    of the oldest file
 *   seq_last 40960                 of the newest; seq_first - 1 while there is none
 *   epoch 1                        of the last block; 0 while there is none, like the rest
 *   time 1764163200000000          of that block, in microseconds
 *   last_block 0123456789abcdef    its checksum
 *
 * It is published after a file is added, and before files are removed:
 *
 *   a file is published --> a label is published that ends with this file, and begins after the
 *   files that are to be removed --> they are removed
 *
 * So there may be one file after the newest that the label knows, and any number before the oldest:
 * these are about to be removed, and are not listed. Any other difference means that files were
 * lost. */
#ifndef TILL_WAL_ARCHIVE_LABEL_H
#define TILL_WAL_ARCHIVE_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "wal/segment.h"

#define ARCHIVE_LABEL_NAME "archive.till"

enum { ARCHIVE_LABEL_ERROR_SIZE = 512 };

struct archive_label {
    uint64_t seq_first;
    uint64_t seq_last;
    uint64_t epoch;
    uint64_t time_us;
    uint64_t last_block;
};

/* 0 or -errno: -ENOENT when there is no label, -EBADMSG when it is damaged, -ENOTSUP when it is of
 * a newer version. */
int archive_label_read(struct disk *folder, struct archive_label *label);
int archive_label_publish(struct disk *folder, const struct archive_label *label);

/* Allocates room for the next label, so that it can be published on a full disk. */
int archive_label_reserve(struct disk *folder);

/* Writes a message that says why a label could not be read. */
void archive_label_explain(struct disk *folder, int result, char error[ARCHIVE_LABEL_ERROR_SIZE]);

/* Reads the label, and lists the segments, oldest first, without those before the label's
 * seq_first. Both are of the same moment, even while a server is archiving. *label_result is the
 * result of archive_label_read; without a label all segments are listed. Returns the count, or
 * -errno when the folder cannot be listed. The caller frees *segments. */
int archive_list(struct disk *folder, struct archive_label *label, int *label_result,
                 struct wal_segment **segments);

#endif
