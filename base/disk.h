/* A folder of files: the blocking half of the I/O seam, used at the start, by offline tools, and in
 * the io's lanes (io_work).
 *
 * Two implementations are linked under these names: base/disk_posix.c, and the seeded simulation
 * of the tests, whose crash keeps only what was made durable. Names are file names inside the
 * folder, never paths. Every function that returns int gives 0 (or a handle or count) or -errno.
 * Handles are small non-negative integers, valid until disk_file_close. */
#ifndef TILL_BASE_DISK_H
#define TILL_BASE_DISK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { DISK_NAME_SIZE = 64, DISK_ENTRIES_MAX = 65536 };

enum disk_mode {
    DISK_READ,  /* the folder must exist; it is not locked */
    DISK_WRITE, /* creates the folder; locks it, -EWOULDBLOCK when another process has locked it,
                   -ENOLCK when its file system cannot */
};

/* The end of the name of a file that is not published yet, or is being removed. */
#define DISK_PARTIAL ".partial"

static inline bool disk_name_is_partial(const char *name)
{
    size_t size = strlen(name);
    size_t suffix_size = strlen(DISK_PARTIAL);
    return size > suffix_size && strcmp(name + size - suffix_size, DISK_PARTIAL) == 0;
}

struct disk;

struct disk_entry {
    char name[DISK_NAME_SIZE];
    uint64_t size_bytes;
};

/* Does this result mean only that there is no room? */
static inline bool disk_is_full(int result)
{
    return result == -ENOSPC || result == -EDQUOT || result == -EFBIG;
}

int disk_open(struct disk **disk, const char *path, enum disk_mode mode);
void disk_close(struct disk *disk);

/* Removes the partial files that a crash has left. disk_open does not do it: the caller first finds
 * out what kind of folder it is. */
int disk_tidy(struct disk *disk);
const char *disk_path(const struct disk *disk);

/* Does the path still lead to this folder? 0, -ENOENT when the folder was removed, -ESTALE when it
 * was moved or replaced. */
int disk_check(const struct disk *disk);

/* Does the name still lead to this open file? 0, or -ENOENT. */
int disk_file_check(struct disk *disk, int file, const char *name);

/* Fills in up to entries_max regular files, sorted by name. Returns how many there are: more than
 * entries_max when some did not fit. */
int disk_list(struct disk *disk, struct disk_entry *entries, uint32_t entries_max);

/* Lists all regular files, sorted by name, in memory that the caller frees. Returns their number,
 * or -errno: -EOVERFLOW when there are more than DISK_ENTRIES_MAX. *entries is NULL after an error.
 */
int disk_list_all(struct disk *disk, struct disk_entry **entries);

/* Opens a file; writable files are opened with O_DIRECT | O_DSYNC where the file system has it,
 * so that a completed write is a durable one. */
int disk_file_open(struct disk *disk, const char *name, bool writable);
void disk_file_close(struct disk *disk, int file);

/* Reads up to size bytes at offset; fewer only at the end of the file. Buffer, offset and size are
 * multiples of WAL_ALIGN on writable files. */
int64_t disk_file_read(struct disk *disk, int file, uint64_t offset, void *bytes, size_t size);

/* Writes size bytes at offset and makes them durable; a partial file grows with them. The same
 * alignment is required. */
int disk_file_write(struct disk *disk, int file, uint64_t offset, const void *bytes, size_t size);

/* Creates a file of size_bytes zero bytes, which are allocated, written and durable, and publishes
 * it atomically (partial name, sync, rename, sync of the folder). -EEXIST when the name exists. */
int disk_create_zeroed(struct disk *disk, const char *name, uint64_t size_bytes);

/* A file of any size is created under a partial name, written from its beginning (io_write or
 * disk_file_write; it grows), and published: it is synced and renamed to `published`, replacing a
 * file of that name, and the folder is synced. There is one partial file of a name at a time;
 * disk_tidy removes those that a crash has left. create returns a writable handle to an empty file,
 * whose content is durable when it is published; resume opens an existing partial file, and says
 * how many bytes it has, or creates one. */
int disk_partial_create(struct disk *disk, const char *name);
int disk_partial_resume(struct disk *disk, const char *name, uint64_t *size_bytes);
int disk_partial_publish(struct disk *disk, int file, const char *name, const char *published);
int disk_partial_discard(struct disk *disk, const char *name);

/* Writes a whole small file and publishes it. Bytes and size are aligned as for disk_file_write. */
static inline int disk_file_publish(struct disk *disk, const char *name, const void *bytes,
                                    size_t size)
{
    int file = disk_partial_create(disk, name);
    if (file < 0)
        return file;
    int result = disk_file_write(disk, file, 0, bytes, size);
    if (result == 0)
        result = disk_partial_publish(disk, file, name, name);
    else
        (void)disk_partial_discard(disk, name);
    disk_file_close(disk, file);
    return result;
}

/* Renames and removals are durable when the call returns. A large file is removed piece by piece,
 * so that other writes to the disk do not wait long. */
int disk_rename(struct disk *disk, const char *from, const char *to);
int disk_remove(struct disk *disk, const char *name);

#endif
