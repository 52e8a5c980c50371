/* Deciding where the log ends.
 *
 * Several blocks may be in flight to the disk at once, and may arrive in any order, in part or not
 * at all; nothing is answered before its block and all blocks before it are durable. So where the
 * next block is missing, the bytes there may be a write that was torn, or a block that was
 * acknowledged and damaged later. Every page from there on is examined, through all following
 * segments. The strongest finding decides:
 *
 *   PROOF    a valid block with a later seq that was written after the missing one was durable:
 *            damage at rest. Nothing may be cut; an operator restores the folder.
 *   TORN     the header of the next block without the rest of it, or a header that differs from it
 *            in a few bytes, or a valid block with a later seq that says nothing about the missing
 *            one. Blocks in flight are acknowledged in order, so if this is a torn write, none of
 *            them was acknowledged: cut.
 *   REMAINS  bytes that are no block, where only a torn write can have left them: cut.
 *   STALE    valid blocks with earlier seqs: the segment was written earlier and then reused. Bytes
 *            between such blocks are parts of old blocks that were overwritten: the end.
 *   NOTHING  zeros, or pages that an earlier recovery cut: the end.
 *
 * Whatever is found, it is damage at rest when the log note says that more was durable, or names a
 * segment that is missing, is shorter than it was, or begins with another block.
 *
 * Only the watermark (seq_durable) of a valid block proves anything, and only when the block's seq
 * is later than the missing one's: the watermark of a stale block is less than its own seq, and so
 * less than the missing seq. A block that is cut could prove nothing later, because its watermark
 * is before the cut; it is cut so that the next recovery does not find it again.
 *
 * Bytes that are no block are judged segment by segment. A segment with stale blocks was reused,
 * and such bytes are normal in it, except for three kinds at an offset where a block begins. Zeros:
 * only the end of a segment has any, after everything that was ever written to it. A valid header
 * whose block is broken: an overwritten block loses its header first. Any bytes that are no block
 * at the beginning of the segment, because a reused segment begins with a block. These are REMAINS.
 * In a segment without stale blocks, all bytes that are no block are REMAINS.
 *
 * A log is whole when it ends with a seal, and the log note names that seal: the seal was written
 * when everything was durable, and the next block would have overwritten it or been acknowledged
 * only after a note without it. So nothing after it was acknowledged, and bytes that are no block
 * mean nothing. A log without a seal may have lost blocks of its last moment without a trace: its
 * end has is_sealed false, and whoever opens it says so.
 *
 * A log that continues a snapshot may have no block yet. A valid block with a seq that the snapshot
 * contains, where the first block is missing, proves that the log had begun: PROOF. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "wal/reader_state.h"

/* Blocks that were in flight together are at most this many bytes apart: each may leave the rest of
 * a segment unused. Farther on, a segment that begins with a stale block was not written to, and
 * the rest of it is not read. */
#define IN_FLIGHT_SPAN (2ULL * WAL_WRITES_MAX * WAL_BLOCK_SIZE_MAX)

#define RESTORE "Restore this folder from a replica or a backup"

enum finding { FOUND_NOTHING, FOUND_STALE, FOUND_REMAINS, FOUND_TORN, FOUND_PROOF, FINDING_COUNT };
enum decision { DECIDE_END, DECIDE_CUT, DECIDE_DAMAGE };

static const enum decision decisions[FINDING_COUNT] = {
    [FOUND_NOTHING] = DECIDE_END, [FOUND_STALE] = DECIDE_END,    [FOUND_REMAINS] = DECIDE_CUT,
    [FOUND_TORN] = DECIDE_CUT,    [FOUND_PROOF] = DECIDE_DAMAGE,
};

struct scan {
    enum finding strongest;
    bool is_sealed;
    uint64_t cut_end; /* linear position after the last bytes to be cut */
    struct wal_spot proof;
    uint64_t proof_seq;
};

/* What was found in one segment. Positions are those after the last one; 0: none. */
struct scanned {
    bool has_stale;
    uint64_t remains_end; /* bytes that are no block, */
    uint64_t odd_end;     /* those that are not normal in a reused segment */
    uint64_t zeros_end;   /* zeros where a block should begin */
};

static void found(struct scan *scan, enum finding finding, uint64_t cut_end)
{
    if (finding > scan->strongest)
        scan->strongest = finding;
    if (cut_end > scan->cut_end)
        scan->cut_end = cut_end;
}

/* Is it the next block's header with some bytes changed? Only that header names the checksum of the
 * block before, or has the seq that is due. */
static bool resembles_next(const struct wal_reader *reader, const uint8_t *bytes)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_reader_seal *seal = &files->seal;
    struct wal_block block;
    memcpy(&block, bytes, sizeof block);
    return (files->begun && block.previous == reader->end.previous) ||
           (seal->is_there && block.previous == seal->block.checksum) ||
           (block.magic == WAL_BLOCK_MAGIC && block.seq_first == reader->end.seq_next);
}

/* What a valid block, where the next one is missing or after that, says about the missing one. */
static enum finding judge(const struct wal_reader *reader, const struct wal_block *block)
{
    const struct wal_end *end = &reader->end;
    bool follows = block->seq_first == end->seq_next;
    /* Without a first block, what a snapshot shows need not be in the log. But a block of it proves
     * that the log had begun: the first segment is never a recycled one. */
    if (!reader->files->begun && block->seq_first <= reader->seq_known)
        return FOUND_PROOF;
    if (block->seq_first < end->seq_next)
        return FOUND_STALE;
    if (block->seq_durable >= end->seq_next)
        return FOUND_PROOF;
    /* The seq follows, but the block is not the next one. When it calls all that was read durable,
     * or is chained to it, then it stands in the wrong place, is of an older epoch, or what was
     * read is not what was durable: none of that comes from a torn write. (A block that went behind
     * a seal in flight calls one command less durable than was.) */
    if (reader->files->begun && follows &&
        (block->previous == end->previous || block->seq_durable == end->seq_next - 1))
        return FOUND_PROOF;
    return FOUND_TORN;
}

/* Judges a valid block. Returns how many bytes to skip. */
static uint64_t scan_block(const struct wal_reader *reader, struct wal_spot place,
                           const struct wal_block *block, struct scan *scan,
                           struct scanned *scanned)
{
    enum finding finding = judge(reader, block);
    uint64_t end = wal_position(reader->files, place) + block->block_size;
    scanned->has_stale |= finding == FOUND_STALE;
    if (finding == FOUND_PROOF && scan->strongest != FOUND_PROOF) {
        scan->proof = place;
        scan->proof_seq = block->seq_first;
    }
    found(scan, finding, finding == FOUND_TORN ? end : 0);
    return block->block_size;
}

/* Judges a page that is neither a block nor zero. is_due: a block might begin here. */
static void scan_remains(struct wal_reader *reader, struct wal_spot place,
                         enum wal_standing standing, bool is_due, struct scan *scan,
                         struct scanned *scanned)
{
    const uint8_t *bytes = wal_reader_bytes(reader, place, WAL_ALIGN);
    uint64_t left = reader->files->segments[place.segment].size_bytes - place.offset;
    uint64_t start = wal_position(reader->files, place);
    struct wal_block block;
    bool is_next = (is_due || standing == STANDS_BROKEN) && resembles_next(reader, bytes);
    if (is_next) {
        bool has_size = wal_block_read(bytes, &block) && block.block_size <= left;
        found(scan, FOUND_TORN, start + (has_size ? block.block_size : WAL_ALIGN));
    }
    scanned->remains_end = start + WAL_ALIGN;
    if (is_due && (place.offset == 0 || standing == STANDS_BROKEN))
        scanned->odd_end = start + WAL_ALIGN;
}

/* Examines a segment from an offset on where a block might begin. False when it cannot be read. */
static bool scan_segment(struct wal_reader *reader, struct wal_spot place, bool far,
                         struct scan *scan)
{
    uint64_t segment_size = reader->files->segments[place.segment].size_bytes;
    struct scanned scanned = {0};
    for (bool is_due = true; place.offset < segment_size; is_due = false) {
        struct wal_block block;
        uint64_t size = WAL_ALIGN;
        enum wal_standing standing = wal_reader_look(reader, place, &block);
        if (standing == STANDS_ERROR)
            return false;
        if (standing == STANDS_BLOCK)
            size = scan_block(reader, place, &block, scan, &scanned);
        else if (standing == STANDS_ZERO && is_due)
            scanned.zeros_end = wal_position(reader->files, place) + WAL_ALIGN;
        else if (standing == STANDS_OTHER || standing == STANDS_BROKEN)
            scan_remains(reader, place, standing, is_due, scan, &scanned);
        if (reader->files->ended)
            return false;
        if (far && scanned.has_stale && place.offset == 0)
            return true;
        place.offset += size;
    }
    if (scan->is_sealed)
        return true;
    if (!scanned.has_stale && scanned.remains_end > 0)
        found(scan, FOUND_REMAINS, scanned.remains_end);
    if (scanned.odd_end > 0)
        found(scan, FOUND_REMAINS, scanned.odd_end);
    if (scanned.has_stale && scanned.zeros_end > 0)
        found(scan, FOUND_REMAINS, scanned.zeros_end);
    return true;
}

/* Examines everything from there on. False when it cannot be read. */
static bool scan_on(struct wal_reader *reader, struct wal_spot place, struct scan *scan)
{
    struct wal_reader_files *files = reader->files;
    uint64_t start = wal_position(files, place);
    scan->cut_end = start;
    while (place.segment < files->segment_count) {
        bool far = wal_position(files, place) - start > IN_FLIGHT_SPAN;
        if (!scan_segment(reader, place, far, scan))
            return false;
        place = (struct wal_spot){place.segment + 1, 0};
    }
    return true;
}

static enum wal_read damage(struct wal_reader *reader, const struct scan *scan)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_segment *segment = &files->segments[files->next.segment];
    char or_next[DISK_NAME_SIZE + sizeof " or at the beginning of "] = "";
    /* A block that does not fit into a segment goes to the beginning of the next one. */
    if (files->begun && files->next.segment + 1 < files->segment_count)
        snprintf(or_next, sizeof or_next, " or at the beginning of %s", segment[1].name);
    return wal_reader_finish(
        reader, WAL_READ_DAMAGE,
        "%s/%s, offset %" PRIu64 ", seq %" PRIu64 ": the log is damaged here%s; the block at "
        "%s, offset %" PRIu64 ", seq %" PRIu64 ", shows that it was durable once. Nothing "
        "was changed. " RESTORE,
        disk_path(files->disk), segment->name, files->next.offset, reader->end.seq_next, or_next,
        files->segments[scan->proof.segment].name, scan->proof.offset, scan->proof_seq);
}

/* What the note says. */

/* The segment that the note names; NULL: it is missing. */
static const struct wal_segment *noted_segment(const struct wal_reader_files *files)
{
    for (uint32_t i = 0; i < files->segment_count; i++) {
        if (files->segments[i].number == files->note.segment)
            return &files->segments[i];
    }
    return NULL;
}

/* Ends the reading when there is no note that can be used; else false. */
static bool note_is_lost(struct wal_reader *reader, enum wal_read *result)
{
    const struct wal_reader_files *files = reader->files;
    const char *path = disk_path(files->disk);
    if (files->note_result == 0)
        return false;
    if (files->note_result == -ENOENT || files->note_result == -EBADMSG)
        *result = wal_reader_finish(
            reader, WAL_READ_DAMAGE,
            "%s/" WAL_NOTE_NAME " is %s: without it nobody can tell whether the log has lost its "
            "end, which is seq %" PRIu64 " as it is. " RESTORE "; if you know that nothing but "
            "this file was lost, till serve --rewrite-log-note makes it anew",
            path, files->note_result == -ENOENT ? "missing" : "damaged", reader->end.seq_next - 1);
    else if (files->note_result == -ENOTSUP)
        *result = wal_reader_finish(reader, WAL_READ_ERROR,
                                    "%s/" WAL_NOTE_NAME " is of another version: use the till that "
                                    "wrote it",
                                    path);
    else
        *result =
            wal_reader_finish(reader, WAL_READ_ERROR, "%s/" WAL_NOTE_NAME " cannot be read: %s",
                              path, strerror(-files->note_result));
    return true;
}

/* Ends the reading when the segment that the note names is missing or another one; else false. */
static bool segment_is_lost(struct wal_reader *reader, enum wal_read *result)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_note *note = &files->note;
    const struct wal_segment *segment = noted_segment(files);
    const char *path = disk_path(files->disk);
    char name[DISK_NAME_SIZE];
    wal_segment_name(note->segment, name);
    if (segment == NULL)
        *result = wal_reader_finish(reader, WAL_READ_DAMAGE,
                                    "%s/%s is missing, though " WAL_NOTE_NAME
                                    " says that the log goes on in it, from seq %" PRIu64
                                    ". Put it back, or restore this folder from a replica or a "
                                    "backup",
                                    path, name, note->seq_first);
    else if (segment->size_bytes < note->segment_size)
        *result = wal_reader_finish(reader, WAL_READ_DAMAGE,
                                    "%s/%s is cut short: it has %" PRIu64 " bytes, and had %" PRIu64
                                    " when " WAL_NOTE_NAME " was written. " RESTORE,
                                    path, name, segment->size_bytes, note->segment_size);
    else if (reader->end.epoch > note->epoch ||
             (files->has_noted &&
              (files->noted_seq != note->seq_first || files->noted_previous != note->previous)))
        *result = wal_reader_finish(
            reader, WAL_READ_DAMAGE,
            "%s/" WAL_NOTE_NAME " is not this log's: it says that %s begins with seq %" PRIu64
            " of epoch %" PRIu64 " at most, and that is not what is there. Files of different "
            "folders or times are mixed. " RESTORE,
            path, name, note->seq_first, note->epoch);
    else
        return false;
    return true;
}

/* Ends the reading when the log ends before the seq that the note calls durable; else false. */
static bool end_is_lost(struct wal_reader *reader, enum wal_read *result)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_note *note = &files->note;
    const struct wal_end *end = &reader->end;
    if (note->seq_durable == 0 || (files->begun && note->seq_durable < end->seq_next))
        return false;
    /* When the first block of the next segment is missing, the message names that segment. */
    bool is_segment = end->seq_next == note->seq_first && end->segment != note->segment;
    const struct wal_segment *segment =
        is_segment ? noted_segment(files) : &files->segments[files->next.segment];
    *result = wal_reader_finish(
        reader, WAL_READ_DAMAGE,
        "%s/%s, offset %" PRIu64 ", seq %" PRIu64
        ": the log ends or is damaged here, but " WAL_NOTE_NAME
        " says that it was durable up to seq %" PRIu64 ". Nothing was changed. " RESTORE,
        disk_path(files->disk), segment->name, is_segment ? 0 : files->next.offset, end->seq_next,
        note->seq_durable);
    return true;
}

/* Does the note contradict what was found? Then the reading has ended. A note of a newer version is
 * never ignored: it exists, and says something. */
static bool note_contradicts(struct wal_reader *reader, enum wal_read *result)
{
    if (reader->files->note_result == -ENOTSUP)
        return note_is_lost(reader, result);
    return !reader->ignores_note &&
           (note_is_lost(reader, result) || segment_is_lost(reader, result) ||
            end_is_lost(reader, result));
}

/* Has nobody ever written to the log? Then there need not be a note yet. */
static bool is_untouched(const struct wal_reader *reader, const struct scan *scan)
{
    const struct wal_reader_files *files = reader->files;
    return files->note_result == -ENOENT && !files->begun && !files->seal.is_there &&
           scan->strongest == FOUND_NOTHING;
}

/* Is it a backup that was read to its end? */
static bool is_whole_copy(const struct wal_reader *reader)
{
    const struct wal_note *note = &reader->files->note;
    const struct wal_end *end = &reader->end;
    return (note->flags & WAL_NOTE_COPY) != 0 && note->seq_durable + 1 == end->seq_next &&
           note->segment == end->segment && note->segment_size == end->offset;
}

/* An empty block in place of the log's first block, with a seq that the snapshot contains, is no
 * seal: it is judged like any other block. */
static void seal_check(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    if (!files->begun && files->seal.block.seq_first <= reader->seq_known)
        files->seal.is_there = false;
}

/* Is it a backup of a snapshot only, whose log has not begun yet? */
static bool is_copy_ahead(const struct wal_reader_files *files)
{
    return files->note_result == 0 && (files->note.flags & WAL_NOTE_COPY) != 0 &&
           files->note.seq_durable == 0;
}

enum wal_read wal_tail_of_nothing(struct wal_reader *reader)
{
    const struct wal_reader_files *files = reader->files;
    enum wal_read result;
    if (files->note_result != -ENOENT && !is_copy_ahead(files) && note_contradicts(reader, &result))
        return result;
    reader->end.is_sealed = true;
    return wal_reader_finish(reader, WAL_READ_END, "%s", "");
}

/* `tries`: how often a seal may turn up that was not there when the reader looked for a block. */
static enum wal_read decide(struct wal_reader *reader, unsigned tries)
{
    struct wal_reader_files *files = reader->files;
    struct wal_end *end = &reader->end;
    struct scan scan = {0};
    enum wal_read result;
    seal_check(reader);
    const struct wal_reader_seal *seal = &files->seal;
    bool had_seal = seal->is_there;
    bool has_note = files->note_result == 0 && !reader->ignores_note;
    scan.is_sealed = has_note && seal->is_there && files->note.seal == seal->block.checksum;
    struct wal_spot place = files->next;
    if (seal->is_there)
        place = (struct wal_spot){seal->place.segment, seal->place.offset + WAL_ALIGN};
    if (!scan_on(reader, place, &scan))
        return files->result;
    if (decisions[scan.strongest] == DECIDE_DAMAGE) {
        /* A running server may have written the block, or a seal, after this reader looked. If the
         * proof is right and nothing is damaged, reading again finds it. */
        files->window_size = 0;
        if (wal_reader_take(reader, &result))
            return result;
        bool is_new_seal = seal->is_there && !had_seal;
        return is_new_seal && tries > 0 ? decide(reader, tries - 1) : damage(reader, &scan);
    }
    if (is_untouched(reader, &scan)) {
        end->is_sealed = true;
        return wal_reader_finish(reader, WAL_READ_END, "%s", "");
    }
    if (note_contradicts(reader, &result))
        return result;
    if (decisions[scan.strongest] == DECIDE_CUT) {
        end->torn_bytes = scan.cut_end - wal_position(files, files->next);
    } else if (scan.is_sealed) {
        end->is_sealed = true;
        end->seal = seal->block.checksum;
    } else {
        end->is_sealed = has_note && is_whole_copy(reader);
    }
    end->seq_begin = seal->is_there && !files->begun ? seal->block.seq_first : 0;
    reader->bytes_read = reader->bytes_total;
    return wal_reader_finish(reader, WAL_READ_END, "%s", "");
}

enum wal_read wal_tail_decide(struct wal_reader *reader)
{
    enum { TRIES_MAX = 3 };
    return decide(reader, TRIES_MAX);
}
