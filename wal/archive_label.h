/* What an archive says of itself: its label, the file `archive.till` (base/label.h), and the list
 * of its files that goes by it.
 *
 *   seq_first 1                    of the oldest file
 *   seq_last 40960                 of the newest; seq_first - 1 while there is none
 *   epoch 1                        of the last block, and of 0 while there is none, as what follows
 *   time 1764163200000000          of that block, in microseconds
 *   last_block 0123456789abcdef    checksum of it
 *
 * It is published after each file that comes, and before files go:
 *
 *   a file is published --> the label goes up to it, and begins behind those that are to go
 *   --> they are removed
 *
 * So one file may stand behind the newest that the label knows, and any before its oldest: those
 * are on their way out, and are not listed. Anything else is a loss. */
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

/* A disk that fills up does not stop the next label. */
int archive_label_reserve(struct disk *folder);

/* Why a label could not be read, for a person. */
void archive_label_explain(struct disk *folder, int result, char error[ARCHIVE_LABEL_ERROR_SIZE]);

/* The label, and the segments of the archive without those that it has given up, as they were at
 * one moment, oldest first; a server may be archiving meanwhile. *label_result is what
 * archive_label_read gave; without a label all are listed. Returns the count, or -errno when the
 * folder cannot be listed; the caller frees *segments. */
int archive_list(struct disk *folder, struct archive_label *label, int *label_result,
                 struct wal_segment **segments);

#endif
