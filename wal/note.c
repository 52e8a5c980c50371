/* Reading and making notes.
 *
 * A new file is made under a partial name and published, so that only damage can leave a file
 * without a whole page. A log that is open for writing overwrites one page at a time (wal/mark.c).
 *
 * What can fail: the disk. A page is valid only when its checksum holds. */
#include "wal/note.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "base/checksum.h"

enum { CHECKSUM_START = offsetof(struct wal_note, generation) };

void wal_note_page(struct wal_note *note, uint8_t page[WAL_ALIGN])
{
    note->magic = WAL_NOTE_MAGIC;
    note->version = WAL_NOTE_VERSION;
    memset(page, 0, WAL_ALIGN);
    memcpy(page, note, sizeof *note);
    note->checksum = checksum64(page + CHECKSUM_START, WAL_ALIGN - CHECKSUM_START);
    memcpy(page + offsetof(struct wal_note, checksum), &note->checksum, sizeof note->checksum);
}

/* 0 when the page is whole, -ENOTSUP when it is whole but of another version, else -EBADMSG. */
static int page_read(const uint8_t page[WAL_ALIGN], struct wal_note *note)
{
    memcpy(note, page, sizeof *note);
    if (note->magic != WAL_NOTE_MAGIC ||
        note->checksum != checksum64(page + CHECKSUM_START, WAL_ALIGN - CHECKSUM_START))
        return -EBADMSG;
    return note->version == WAL_NOTE_VERSION ? 0 : -ENOTSUP;
}

int wal_note_read(struct disk *disk, struct wal_note *note)
{
    alignas(WAL_ALIGN) uint8_t pages[WAL_NOTE_SIZE];
    int file = disk_file_open(disk, WAL_NOTE_NAME, false);
    if (file < 0)
        return file;
    int64_t count = disk_file_read(disk, file, 0, pages, sizeof pages);
    disk_file_close(disk, file);
    if (count < 0)
        return (int)count;
    int result = -EBADMSG;
    for (unsigned i = 0; count == WAL_NOTE_SIZE && i < WAL_NOTE_PAGES; i++) {
        struct wal_note found;
        int read = page_read(pages + (size_t)i * WAL_ALIGN, &found);
        if (read == -ENOTSUP)
            return read;
        if (read < 0 || (result == 0 && found.generation < note->generation))
            continue;
        *note = found;
        result = 0;
    }
    return result;
}

int wal_note_write(struct disk *disk, struct wal_note *note)
{
    alignas(WAL_ALIGN) uint8_t pages[WAL_NOTE_SIZE];
    for (unsigned i = 0; i < WAL_NOTE_PAGES; i++) {
        note->generation++;
        wal_note_page(note, pages + note->generation % WAL_NOTE_PAGES * WAL_ALIGN);
    }
    return disk_file_publish(disk, WAL_NOTE_NAME, pages, sizeof pages);
}
