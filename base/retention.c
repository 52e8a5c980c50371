/* Which part of the log, and which files of an archive, may be removed.
 *
 * What must hold, whatever the numbers are: the log after the oldest kept snapshot stays, and so
 * does the newest file of an archive. */
#include "base/retention.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t retention_log_seq(const struct retention_log *log)
{
    uint64_t needed = log->seq_snapshot > 0 ? log->seq_snapshot + 1 : 0;
    if (log->has_archive && log->seq_archived < needed)
        needed = log->seq_archived + 1;
    if (log->seq_replica == 0)
        return needed;
    bool is_allowed = log->seq_replica >= log->seq_allowed;
    return least(needed, is_allowed ? log->seq_replica : log->seq_allowed);
}

static bool is_too_old(const struct retention_archive *archive, const struct retention_file *file)
{
    return archive->keep_us > 0 && file->end_us > 0 && file->end_us < archive->time_us &&
           archive->time_us - file->end_us > archive->keep_us;
}

uint32_t retention_archive_gone(const struct retention_archive *archive,
                                const struct retention_file *files, uint32_t file_count)
{
    uint64_t bytes = 0;
    uint32_t gone = 0;
    uint32_t aged_count = 0;
    for (uint32_t i = 0; i < file_count; i++)
        bytes += files[i].size_bytes;
    for (; gone + 1 < file_count; gone++) {
        bool is_too_much = archive->keep_bytes > 0 && bytes > archive->keep_bytes;
        if (gone >= archive->gone_min && !is_too_much &&
            (++aged_count > RETENTION_AGED_MAX || !is_too_old(archive, &files[gone])))
            break;
        bytes -= files[gone].size_bytes;
    }
    return gone;
}
