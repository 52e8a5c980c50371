/* The data folder: the blocking half of the I/O seam, used at start-up and by the offline tools.
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

/* What the name of a file ends with that is not published yet, or is being removed. */
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

/* Does this result mean that there is no room, rather than that something is wrong? */
static inline bool disk_is_full(int result)
{
    return result == -ENOSPC || result == -EDQUOT || result == -EFBIG;
}

int disk_open(struct disk **disk, const char *path, enum disk_mode mode);
void disk_close(struct disk *disk);

/* Removes the partial files that a crash left. Opening does not: what the folder is must be known
 * before anything in it is touched. */
int disk_tidy(struct disk *disk);
const char *disk_path(const struct disk *disk);

/* Is the folder still what its path leads to? 0, -ENOENT when it was removed, -ESTALE when it was
 * moved, or another one stands in its place. */
int disk_check(const struct disk *disk);

/* Is an open file still what its name leads to? 0, or -ENOENT. */
int disk_file_check(struct disk *disk, int file, const char *name);

/* Fills up to entries_max entries with the regular files, sorted by name; returns how many there
 * are (more than entries_max when some were left out). */
int disk_list(struct disk *disk, struct disk_entry *entries, uint32_t entries_max);

/* All of them in memory of their own, which the caller frees. Returns their number, or -errno:
 * -EOVERFLOW when there are more than DISK_ENTRIES_MAX. *entries is NULL after an error. */
int disk_list_all(struct disk *disk, struct disk_entry **entries);

/* Opens a file; writable files are opened with O_DIRECT | O_DSYNC where the file system has it,
 * so that a completed write is a durable one. */
int disk_file_open(struct disk *disk, const char *name, bool writable);
void disk_file_close(struct disk *disk, int file);

/* Reads up to size bytes at offset; fewer only at the end of the file. Buffer, offset and size are
 * multiples of WAL_ALIGN on writable files. */
int64_t disk_file_read(struct disk *disk, int file, uint64_t offset, void *bytes, size_t size);

/* Writes all of size bytes at offset and makes them durable; a partial file grows with it. Same
 * alignment. */
int disk_file_write(struct disk *disk, int file, uint64_t offset, const void *bytes, size_t size);

/* Creates name with size_bytes zero bytes, durable with its blocks allocated and written, published
 * atomically (partial name, sync, rename, sync of the folder). -EEXIST when name exists. */
int disk_create_zeroed(struct disk *disk, const char *name, uint64_t size_bytes);

/* A file of any size is made under a partial name, written from its beginning on (io_write,
 * disk_file_write; it grows with them), and published: synced, renamed to `name`, whatever had that
 * name, and the folder synced. One partial file of a name at a time; disk_tidy removes those that
 * a crash left. create gives a writable handle, and what is written to it is durable once
 * published; resume gives one to what is there, with how much that is, or to a new one. */
int disk_partial_create(struct disk *disk, const char *name);
int disk_partial_resume(struct disk *disk, const char *name, uint64_t *size_bytes);
int disk_partial_publish(struct disk *disk, int file, const char *name, const char *published);
int disk_partial_discard(struct disk *disk, const char *name);

/* Renames and removes are durable when they return. A large file is removed piece by piece, so that
 * writes beside it wait for none of it. */
int disk_rename(struct disk *disk, const char *from, const char *to);
int disk_remove(struct disk *disk, const char *name);

#endif
