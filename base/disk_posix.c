/* Folders on a POSIX file system; handles are file descriptors.
 *
 * Good path: a writer creates the folder, locks it, and opens files with O_DIRECT | O_DSYNC, so
 * that a completed write is durable and bypasses the page cache. The lock is on the folder itself,
 * on the descriptor through which all files are opened: there is no lock file that could be
 * removed, and a folder that is moved stays locked. Names change by rename or unlink followed by an
 * fsync of the folder. New files are made under a partial name, in full, and renamed.
 *
 * What can fail: every system call, as -errno. A file system that refuses O_DIRECT (tmpfs, some
 * network ones) is used without it. A full disk leaves nothing behind.
 *
 * What always holds: one process at most has the folder open for writing. A partial file belongs
 * to that process alone, so those that a crash left are removed when the folder is opened. */
#include "base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"

enum {
    ZERO_WRITE_SIZE = 1 << 20,
    PARTIAL_NAME_SIZE = DISK_NAME_SIZE + sizeof DISK_PARTIAL,
    SHRINK_SIZE = 16 << 20,
    SHRINK_EVERY_MS = 20,
};

struct disk {
    int folder;
    bool is_locked; /* opened for writing */
    char path[];
};

/* Never written to: the zeros of all new files. */
static alignas(WAL_ALIGN) uint8_t zeros[ZERO_WRITE_SIZE];

static int folder_sync(const struct disk *disk)
{
    return fsync(disk->folder) == 0 ? 0 : -errno;
}

/* Creates the folder when there is none, and makes its name durable in the parent folder. Also that
 * of an existing folder, because the process that created it may have been killed before that; but
 * then a parent folder that may not be read is no error. */
static int folder_create(const char *path)
{
    bool is_made = mkdir(path, 0755) == 0;
    if (!is_made && errno != EEXIST)
        return -errno;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    int result = 0;
    int parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        result = is_made ? -errno : 0;
    else if (fsync(parent) != 0)
        result = -errno;
    if (parent >= 0)
        close(parent);
    close(folder);
    return result;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int disk_check(const struct disk *disk)
{
    struct stat opened;
    struct stat found;
    if (fstat(disk->folder, &opened) != 0)
        return -errno;
    if (opened.st_nlink == 0)
        return -ENOENT;
    return stat(disk->path, &found) == 0 && is_same(&opened, &found) ? 0 : -ESTALE;
}

int disk_file_check(struct disk *disk, int file, const char *name)
{
    struct stat opened;
    struct stat found;
    if (fstat(file, &opened) != 0)
        return -errno;
    bool is_there = fstatat(disk->folder, name, &found, AT_SYMLINK_NOFOLLOW) == 0;
    return is_there && is_same(&opened, &found) ? 0 : -ENOENT;
}

/* Locks the folder, and checks that it was not replaced between opening and locking. File systems
 * that cannot lock folders report that the descriptor is not open for writing. */
static int folder_lock(struct disk *disk)
{
    if (flock(disk->folder, LOCK_EX | LOCK_NB) != 0)
        return errno == EBADF || errno == EOPNOTSUPP ? -ENOLCK : -errno;
    disk->is_locked = true;
    return disk_check(disk);
}

/* Opens a stream of the folder's entries on a new descriptor, so that closedir does not close the
 * disk's own. */
static DIR *folder_entries(const struct disk *disk)
{
    int folder = openat(disk->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return NULL;
    DIR *entries = fdopendir(folder);
    if (entries == NULL)
        close(folder);
    return entries;
}

/* The name of the next regular file; NULL at the end, and after an error (errno is not 0 then). A
 * file that is removed meanwhile is passed over. */
static const char *next_file(const struct disk *disk, DIR *entries, struct stat *status)
{
    struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(entries);
    } while (entry != NULL &&
             (fstatat(disk->folder, entry->d_name, status, AT_SYMLINK_NOFOLLOW) != 0 ||
              !S_ISREG(status->st_mode)));
    return entry == NULL ? NULL : entry->d_name;
}

int disk_tidy(struct disk *disk)
{
    DIR *entries = folder_entries(disk);
    if (entries == NULL)
        return -errno;
    struct stat status;
    int result = 0;
    const char *name = next_file(disk, entries, &status);
    for (; name != NULL && result == 0; name = next_file(disk, entries, &status)) {
        if (disk_name_is_partial(name) && unlinkat(disk->folder, name, 0) != 0)
            result = -errno;
    }
    if (result == 0)
        result = -errno;
    closedir(entries);
    return result;
}

int disk_open(struct disk **disk_out, const char *path, enum disk_mode mode)
{
    *disk_out = NULL;
    bool writes = mode != DISK_READ;
    int result = writes ? folder_create(path) : 0;
    if (result < 0)
        return result;
    struct disk *disk = malloc(sizeof *disk + strlen(path) + 1);
    if (disk == NULL)
        return -ENOMEM;
    disk->is_locked = false;
    strcpy(disk->path, path);
    disk->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->folder < 0)
        result = -errno;
    if (result == 0 && writes)
        result = folder_lock(disk);
    if (result < 0) {
        disk_close(disk);
        return result;
    }
    *disk_out = disk;
    return 0;
}

void disk_close(struct disk *disk)
{
    if (disk == NULL)
        return;
    if (disk->folder >= 0)
        close(disk->folder);
    free(disk);
}

const char *disk_path(const struct disk *disk)
{
    return disk->path;
}

static int entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct disk_entry *)a)->name, ((const struct disk_entry *)b)->name);
}

int disk_list(struct disk *disk, struct disk_entry *entries, uint32_t entries_max)
{
    DIR *stream = folder_entries(disk);
    if (stream == NULL)
        return -errno;
    struct stat status;
    uint32_t count = 0;
    for (const char *name; (name = next_file(disk, stream, &status)) != NULL;) {
        size_t name_size = strlen(name) + 1;
        if (name_size > DISK_NAME_SIZE)
            continue;
        if (count < entries_max) {
            memcpy(entries[count].name, name, name_size);
            entries[count].size_bytes = (uint64_t)status.st_size;
        }
        count++;
    }
    int result = -errno;
    closedir(stream);
    if (result < 0)
        return result;
    if (count > 0 && entries_max > 0)
        qsort(entries, count < entries_max ? count : entries_max, sizeof *entries, entry_compare);
    return (int)count;
}

/* Opens with O_DIRECT where the file system has it. */
static int open_direct(const struct disk *disk, const char *name, int flags)
{
    int file = openat(disk->folder, name, flags | O_DIRECT | O_CLOEXEC, 0644);
    if (file < 0 && errno == EINVAL)
        file = openat(disk->folder, name, flags | O_CLOEXEC, 0644);
    return file < 0 ? -errno : file;
}

int disk_file_open(struct disk *disk, const char *name, bool writable)
{
    TILL_ASSERT(strchr(name, '/') == NULL);
    if (writable)
        return open_direct(disk, name, O_RDWR | O_DSYNC);
    int file = openat(disk->folder, name, O_RDONLY | O_CLOEXEC);
    return file < 0 ? -errno : file;
}

void disk_file_close(struct disk *disk, int file)
{
    (void)disk;
    /* All writes are durable already: close has no error to report. */
    close(file);
}

int64_t disk_file_read(struct disk *disk, int file, uint64_t offset, void *bytes, size_t size)
{
    (void)disk;
    size_t done = 0;
    while (done < size) {
        ssize_t count = pread(file, (uint8_t *)bytes + done, size - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        done += (size_t)count;
        /* A read ends inside a page only at the end of the file, and a direct read cannot continue
         * there. */
        if (count == 0 || done % WAL_ALIGN != 0)
            break;
    }
    return (int64_t)done;
}

int disk_file_write(struct disk *disk, int file, uint64_t offset, const void *bytes, size_t size)
{
    (void)disk;
    size_t done = 0;
    while (done < size) {
        ssize_t count =
            pwrite(file, (const uint8_t *)bytes + done, size - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? -errno : -EIO;
        done += (size_t)count;
    }
    return 0;
}

/* Allocating first finds out about a full disk before anything is written, and keeps the file in
 * one piece. */
static int zero_fill(struct disk *disk, int file, uint64_t size_bytes)
{
    if (fallocate(file, 0, 0, (off_t)size_bytes) != 0 && errno != EOPNOTSUPP)
        return -errno;
    int result = 0;
    for (uint64_t offset = 0; result == 0 && offset < size_bytes; offset += ZERO_WRITE_SIZE) {
        uint64_t left = size_bytes - offset;
        size_t size = left < ZERO_WRITE_SIZE ? (size_t)left : ZERO_WRITE_SIZE;
        result = disk_file_write(disk, file, offset, zeros, size);
    }
    if (result == 0 && fsync(file) != 0)
        result = -errno;
    return result;
}

static void partial_name(const char *name, char partial[PARTIAL_NAME_SIZE])
{
    TILL_ASSERT(strchr(name, '/') == NULL && strlen(name) < DISK_NAME_SIZE);
    snprintf(partial, PARTIAL_NAME_SIZE, "%s" DISK_PARTIAL, name);
}

int disk_create_zeroed(struct disk *disk, const char *name, uint64_t size_bytes)
{
    char partial[PARTIAL_NAME_SIZE];
    TILL_ASSERT(disk->is_locked && size_bytes % WAL_ALIGN == 0);
    partial_name(name, partial);
    if (faccessat(disk->folder, name, F_OK, 0) == 0)
        return -EEXIST;
    int file = open_direct(disk, partial, O_RDWR | O_CREAT | O_TRUNC);
    if (file < 0)
        return file;
    int result = zero_fill(disk, file, size_bytes);
    close(file);
    if (result == 0 && renameat(disk->folder, partial, disk->folder, name) != 0)
        result = -errno;
    if (result < 0) {
        /* A partial file that cannot be removed now is removed at the next start. */
        (void)unlinkat(disk->folder, partial, 0);
        return result;
    }
    return folder_sync(disk);
}

int disk_partial_create(struct disk *disk, const char *name)
{
    char partial[PARTIAL_NAME_SIZE];
    TILL_ASSERT(disk->is_locked);
    partial_name(name, partial);
    return open_direct(disk, partial, O_RDWR | O_CREAT | O_TRUNC);
}

int disk_partial_resume(struct disk *disk, const char *name, uint64_t *size_bytes)
{
    char partial[PARTIAL_NAME_SIZE];
    struct stat status;
    TILL_ASSERT(disk->is_locked);
    partial_name(name, partial);
    int file = open_direct(disk, partial, O_RDWR | O_CREAT);
    if (file < 0)
        return file;
    if (fstat(file, &status) != 0) {
        int result = -errno;
        close(file);
        return result;
    }
    *size_bytes = (uint64_t)status.st_size / WAL_ALIGN * WAL_ALIGN;
    return file;
}

int disk_partial_publish(struct disk *disk, int file, const char *name, const char *published)
{
    char partial[PARTIAL_NAME_SIZE];
    partial_name(name, partial);
    if (fsync(file) != 0 || renameat(disk->folder, partial, disk->folder, published) != 0)
        return -errno;
    return folder_sync(disk);
}

/* Truncates a large file piece by piece, makes each step durable, and pauses between them. On a
 * file system that discards freed blocks (ext4 mounted with discard), a durable write waited for 50
 * to 80 ms when 800 MiB were removed at once, and for 6 ms this way. The file is no longer needed,
 * so it is removed also when this fails. */
static void shrink(const struct disk *disk, const char *name)
{
    const struct timespec rest = {.tv_nsec = SHRINK_EVERY_MS * 1000000L};
    struct stat status;
    int file = openat(disk->folder, name, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    off_t size = fstat(file, &status) == 0 ? status.st_size : 0;
    while (size > SHRINK_SIZE) {
        size -= SHRINK_SIZE;
        if (ftruncate(file, size) != 0 || fsync(file) != 0)
            break;
        nanosleep(&rest, NULL);
    }
    close(file);
}

static int remove_partial(const struct disk *disk, const char *partial)
{
    shrink(disk, partial);
    return unlinkat(disk->folder, partial, 0) == 0 ? 0 : -errno;
}

int disk_partial_discard(struct disk *disk, const char *name)
{
    char partial[PARTIAL_NAME_SIZE];
    partial_name(name, partial);
    return remove_partial(disk, partial);
}

int disk_rename(struct disk *disk, const char *from, const char *to)
{
    if (renameat(disk->folder, from, disk->folder, to) != 0)
        return -errno;
    return folder_sync(disk);
}

/* The first step renames the file to a partial name: after a crash it counts as unfinished. */
int disk_remove(struct disk *disk, const char *name)
{
    char partial[PARTIAL_NAME_SIZE];
    partial_name(name, partial);
    if (renameat(disk->folder, name, disk->folder, partial) != 0)
        return -errno;
    int result = folder_sync(disk);
    if (result == 0)
        result = remove_partial(disk, partial);
    return result < 0 ? result : folder_sync(disk);
}
