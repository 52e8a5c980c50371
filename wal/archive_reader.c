/* Reading an archive.
 *
 * An archived segment is a copy of a closed one: blocks only, without free space after them. There
 * are no torn writes: anything that is missing, up to the last seq that the label or a file's name
 * gives, is damage, and so are bytes that are no block. Damage is reported when reading reaches it,
 * so that everything before it can be used; a label that cannot be read is reported at the end. */
#include <errno.h>
#include <inttypes.h>

#include "wal/reader_state.h"

/* Something is missing, or differs from what the label says. */
static enum wal_read archive_lacks(struct wal_reader *reader, uint64_t seq_first, uint64_t seq_last,
                                   const char *why)
{
    return wal_reader_finish(reader, WAL_READ_DAMAGE,
                             "the archive %s has nothing of seq %" PRIu64 " to %" PRIu64
                             ", %s: take what is missing from another copy of the archive",
                             disk_path(reader->files->disk), seq_first, seq_last, why);
}

/* Skips segments that end before the first seq that the caller needs. False, with a message, when a
 * segment that the label names is needed and missing at the beginning. */
static bool archive_begins(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    const struct archive_label *label = &files->label;
    while (files->next.segment + 1 < files->segment_count &&
           files->segments[files->next.segment].seq_last <= reader->seq_known)
        files->next.segment++;
    uint64_t seq = files->segment_count > 0 ? files->segments[0].seq_first : label->seq_last + 1;
    if (files->label_result != 0 || label->seq_first >= seq || reader->seq_known + 1 >= seq)
        return true;
    archive_lacks(reader, label->seq_first, seq - 1,
                  "which its label " ARCHIVE_LABEL_NAME " names");
    return false;
}

/* All files were read, or there is none. */
static enum wal_read archive_ends(struct wal_reader *reader)
{
    const struct wal_reader_files *files = reader->files;
    char error[ARCHIVE_LABEL_ERROR_SIZE];
    uint64_t seq_last = files->begun ? reader->end.seq_next - 1 : 0;
    if (!files->begun && files->segment_count > 0)
        seq_last = files->segments[files->segment_count - 1].seq_last;
    reader->bytes_read = reader->bytes_total;
    if (files->label_result != 0) {
        archive_label_explain(files->disk, files->label_result, error);
        return wal_reader_finish(reader, WAL_READ_DAMAGE, "%s", error);
    }
    if (seq_last < files->label.seq_first - 1)
        seq_last = files->label.seq_first - 1;
    if (seq_last < files->label.seq_last)
        return archive_lacks(reader, seq_last + 1, files->label.seq_last,
                             "which its label " ARCHIVE_LABEL_NAME " names");
    return wal_reader_finish(reader, WAL_READ_END, "%s", "");
}

/* At the place there is no block that is due: why? */
static enum wal_read archive_breaks(struct wal_reader *reader)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_segment *segment = &files->segments[files->next.segment];
    uint64_t due = files->begun ? reader->end.seq_next : segment->seq_first;
    if (due > segment->seq_last)
        return wal_reader_finish(reader, WAL_READ_DAMAGE,
                                 "%s/%s is damaged at offset %" PRIu64
                                 ", behind its last block, where nothing "
                                 "should be: take this file from another copy of the archive",
                                 disk_path(files->disk), segment->name, files->next.offset);
    return wal_reader_finish(reader, WAL_READ_DAMAGE,
                             "%s/%s is damaged at offset %" PRIu64 ", seq %" PRIu64
                             ": take this file from another copy of the archive",
                             disk_path(files->disk), segment->name, files->next.offset, due);
}

/* The file was read to its end. Where its name is the last in the label, so is its last block; one
 * file may be newer than the label, but not more. False when something is wrong. */
static bool archive_file_ends(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    const struct wal_segment *segment = &files->segments[files->next.segment];
    const struct archive_label *label = &files->label;
    if (reader->end.seq_next != segment->seq_last + 1 ||
        files->next.offset != segment->file_bytes) {
        archive_breaks(reader);
        return false;
    }
    if (files->label_result != 0 || segment->seq_last < label->seq_last)
        return true;
    bool is_last = segment->seq_last == label->seq_last;
    if (is_last ? reader->end.previous == label->last_block && reader->end.epoch == label->epoch
                : segment->seq_first > label->seq_last &&
                      (files->next.segment == 0 || segment[-1].seq_last <= label->seq_last))
        return true;
    wal_reader_finish(reader, WAL_READ_DAMAGE,
                      "%s/%s and the label " ARCHIVE_LABEL_NAME ", which goes up to seq %" PRIu64
                      ", do not belong together: take both from one copy of the archive",
                      disk_path(files->disk), segment->name, label->seq_last);
    return false;
}

/* The next block of an archive: there is nothing between two of them, and nothing but them in a
 * file. */
enum wal_read wal_archive_next(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    struct wal_block block;
    if (!files->begun && !archive_begins(reader))
        return files->result;
    if (files->segment_count == 0)
        return archive_ends(reader);
    if (files->begun && files->next.offset >= files->segments[files->next.segment].size_bytes) {
        if (!archive_file_ends(reader))
            return files->result;
        if (files->next.segment + 1 == files->segment_count)
            return archive_ends(reader);
        if (files->segments[files->next.segment + 1].seq_first != reader->end.seq_next)
            return wal_reader_finish(
                reader, WAL_READ_DAMAGE,
                "the archive %s has nothing from seq %" PRIu64
                " on until %s, which does not follow: files are missing, or are of "
                "another history",
                disk_path(files->disk), reader->end.seq_next,
                files->segments[files->next.segment + 1].name);
        files->next = (struct wal_spot){files->next.segment + 1, 0};
    }
    struct wal_spot place = files->next;
    enum wal_standing standing = wal_reader_look(reader, place, &block);
    if (standing == STANDS_ERROR)
        return files->result;
    if (standing != STANDS_BLOCK || !wal_reader_is_next(reader, &block) ||
        block.seq_first + block.command_count - 1 > files->segments[files->next.segment].seq_last)
        return archive_breaks(reader);
    return wal_reader_hand_out(reader, place, &block);
}
