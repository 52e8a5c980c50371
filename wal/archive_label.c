/* The label's text, and a list of the files that agrees with it.
 *
 * What can fail: the disk; a label that is missing, damaged or newer. The callers compare the label
 * with the files that exist: wal/archive_reader.c, and wal/archive_open.c. */
#include "wal/archive_label.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/label.h"
#include "base/limits.h"

#define KIND "archive"

enum {
    VERSION = 1,
    ROOM = 2 * WAL_ALIGN, /* a label is one page; the second shows that a file is longer */
    LOOKS_MAX = 100,
};

int archive_label_read(struct disk *folder, struct archive_label *label)
{
    struct label text;
    *label = (struct archive_label){0};
    void *room = aligned_alloc(WAL_ALIGN, ROOM);
    if (room == NULL)
        return -ENOMEM;
    int result = label_read(&text, folder, ARCHIVE_LABEL_NAME, room, ROOM, KIND, VERSION);
    if (result == 0 &&
        (!label_number(&text, "seq_first", 10, &label->seq_first) ||
         !label_number(&text, "seq_last", 10, &label->seq_last) ||
         !label_number(&text, "epoch", 10, &label->epoch) ||
         !label_number(&text, "time", 10, &label->time_us) ||
         !label_number(&text, "last_block", 16, &label->last_block) || label_line(&text) != NULL ||
         label->seq_first == 0 || label->seq_last < label->seq_first - 1))
        result = -EBADMSG;
    free(room);
    return result;
}

int archive_label_publish(struct disk *folder, const struct archive_label *label)
{
    struct label text;
    void *room = aligned_alloc(WAL_ALIGN, ROOM);
    if (room == NULL)
        return -ENOMEM;
    label_begin(&text, room, ROOM, KIND, VERSION);
    label_add(&text,
              "seq_first %" PRIu64 "\nseq_last %" PRIu64 "\nepoch %" PRIu64 "\ntime %" PRIu64
              "\nlast_block %016" PRIx64 "\n",
              label->seq_first, label->seq_last, label->epoch, label->time_us, label->last_block);
    int result = label_publish(&text, folder, ARCHIVE_LABEL_NAME);
    free(room);
    return result;
}

int archive_label_reserve(struct disk *folder)
{
    return label_reserve(folder, ARCHIVE_LABEL_NAME);
}

void archive_label_explain(struct disk *folder, int result, char error[ARCHIVE_LABEL_ERROR_SIZE])
{
    const char *why = strerror(-result);
    if (result == -ENOENT)
        why = "is missing";
    else if (result == -EBADMSG)
        why = "is damaged";
    else if (result == -ENOTSUP)
        why = "was written by a newer till: use that one";
    snprintf(error, ARCHIVE_LABEL_ERROR_SIZE,
             "%s/" ARCHIVE_LABEL_NAME ", which says what the archive has, %s%s", disk_path(folder),
             why,
             result == -ENOENT || result == -EBADMSG
                 ? ": take it from another copy of the archive; without it, what is missing at the "
                   "beginning and the end is not known"
                 : "");
}

static bool is_same(const struct archive_label *a, const struct archive_label *b)
{
    return a->seq_first == b->seq_first && a->seq_last == b->seq_last &&
           a->last_block == b->last_block;
}

/* Leaves out the files before seq_first; positions count from the first that remains. */
static int drop_given_up(struct wal_segment *segments, int count, uint64_t seq_first)
{
    int kept = 0;
    uint64_t start = 0;
    for (int i = 0; i < count; i++) {
        if (segments[i].seq_last < seq_first)
            continue;
        segments[kept] = segments[i];
        segments[kept].number = (uint32_t)kept + 1;
        segments[kept].start = start;
        start += segments[kept++].size_bytes;
    }
    return kept;
}

int archive_list(struct disk *folder, struct archive_label *label, int *label_result,
                 struct wal_segment **segments)
{
    struct archive_label after;
    int count = 0;
    *segments = NULL;
    for (int look = 0; look < LOOKS_MAX; look++) {
        free(*segments);
        *label_result = archive_label_read(folder, label);
        count = wal_segments_list(folder, WAL_IN_ARCHIVE, segments);
        if (count < 0 || *label_result != 0)
            return count;
        if (archive_label_read(folder, &after) == 0 && is_same(label, &after))
            break;
    }
    return drop_given_up(*segments, count, label->seq_first);
}
