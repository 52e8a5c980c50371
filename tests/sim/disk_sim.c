/* base/disk.h in memory, with the semantics of a crash.
 *
 * What the blocking calls changed is durable when they return, as the interface promises; a write
 * through io_write becomes durable at a moment that io_sim.c draws, and until then it is not in the
 * file at all. So a file's pages are always what a crash keeps, and a torn write is simulated by
 * writing parts of the writes in flight (sim_file_tear).
 *
 * A machine has a few folders, identified by the text of their path. Files, the lock and the faults
 * of single writes belong to a folder; a crash hits all folders at once. Handles refer to files,
 * not to names: a renamed or removed file stays usable through open handles. After a crash, calls
 * on the handles of the dead server return -EIO and change nothing. What breaks the interface's
 * rules (alignment, writes outside a file or on a handle to read) asserts: that is a bug of the
 * caller. */
#include "tests/sim/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

enum { HANDLES_MAX = 256 };

struct handle {
    struct sim_file *file; /* NULL: free */
    bool writable;
};

struct disk {
    struct sim_machine *machine; /* NULL: it has crashed */
    struct sim_folder *folder;
    struct disk *next;
    enum disk_mode mode;
    struct handle handles[HANDLES_MAX];
};

static uint64_t page_count(const struct sim_file *file)
{
    return (file->size_bytes + SIM_FILE_PAGE - 1) / SIM_FILE_PAGE;
}

/* The folder of that path; one that was never opened has no files and does not exist. */
static struct sim_folder *folder_at(struct sim_machine *machine, const char *path)
{
    for (uint32_t i = 0; i < machine->folder_count; i++) {
        if (strcmp(machine->folders[i].path, path) == 0)
            return &machine->folders[i];
    }
    TILL_ASSERT(machine->folder_count < SIM_FOLDERS_MAX && strlen(path) < SIM_PATH_SIZE);
    struct sim_folder *folder = &machine->folders[machine->folder_count++];
    snprintf(folder->path, sizeof folder->path, "%s", path);
    return folder;
}

/* The link that points to the file of that name, or the place where it would be inserted. */
static struct sim_file **find(struct sim_folder *folder, const char *name)
{
    struct sim_file **link = &folder->files;
    while (*link != NULL && strcmp((*link)->name, name) < 0)
        link = &(*link)->next;
    return link;
}

static bool is_named(const struct sim_file *file, const char *name)
{
    return file != NULL && strcmp(file->name, name) == 0;
}

static void link_file(struct sim_folder *folder, struct sim_file *file, const char *name)
{
    struct sim_file **link = find(folder, name);
    snprintf(file->name, sizeof file->name, "%s", name);
    file->next = *link;
    *link = file;
}

static void unlink_file(struct sim_file **link)
{
    struct sim_file *file = *link;
    *link = file->next;
    sim_file_release(file);
}

void sim_file_release(struct sim_file *file)
{
    if (--file->reference_count > 0)
        return;
    for (uint64_t page = 0; page < page_count(file); page++)
        free(file->pages[page]);
    free(file->pages);
    free(file);
}

/* May the disk be changed? Makes the crash happen that a test has ordered. */
static bool change_begins(struct sim_machine *machine, bool *cut)
{
    *cut = false;
    if (machine == NULL || machine->dying)
        return false;
    if (machine->crash_change_in == 0 || --machine->crash_change_in > 0)
        return true;
    machine->dying = true;
    *cut = true;
    return sim_chance(machine, 50);
}

static int rename_now(struct sim_folder *folder, const char *from, const char *to)
{
    struct sim_file **link = find(folder, from);
    struct sim_file *file = *link;
    if (!is_named(file, from))
        return -ENOENT;
    if (strcmp(from, to) == 0)
        return 0;
    *link = file->next;
    struct sim_file **replaced = find(folder, to);
    if (is_named(*replaced, to))
        unlink_file(replaced);
    link_file(folder, file, to);
    return 0;
}

static int remove_now(struct sim_folder *folder, const char *name)
{
    struct sim_file **link = find(folder, name);
    if (!is_named(*link, name))
        return -ENOENT;
    unlink_file(link);
    return 0;
}

int disk_tidy(struct disk *disk)
{
    for (struct sim_file **link = &disk->folder->files; *link != NULL;) {
        if (strstr((*link)->name, ".partial") != NULL)
            unlink_file(link);
        else
            link = &(*link)->next;
    }
    return 0;
}

int disk_open(struct disk **disk, const char *path, enum disk_mode mode)
{
    struct sim_machine *machine = sim_machine_current;
    struct sim_folder *folder = folder_at(machine, path);
    if (mode == DISK_READ && !folder->exists)
        return -ENOENT;
    if (mode != DISK_READ && folder->locked)
        return -EWOULDBLOCK;
    struct disk *opened = calloc(1, sizeof *opened);
    TILL_ASSERT(opened != NULL);
    opened->machine = machine;
    opened->folder = folder;
    opened->mode = mode;
    opened->next = machine->disks;
    machine->disks = opened;
    if (mode != DISK_READ) {
        folder->exists = true;
        folder->locked = true;
    }
    *disk = opened;
    return 0;
}

void disk_close(struct disk *disk)
{
    for (int file = 0; file < HANDLES_MAX; file++) {
        if (disk->handles[file].file != NULL)
            sim_file_release(disk->handles[file].file);
    }
    if (disk->machine != NULL) {
        struct disk **link = &disk->machine->disks;
        while (*link != disk)
            link = &(*link)->next;
        *link = disk->next;
        if (disk->mode != DISK_READ)
            disk->folder->locked = false;
    }
    free(disk);
}

const char *disk_path(const struct disk *disk)
{
    return disk->folder->path;
}

int disk_check(const struct disk *disk)
{
    return disk->machine == NULL ? -EIO : 0;
}

int disk_file_check(struct disk *disk, int file, const char *name)
{
    TILL_ASSERT(file >= 0 && file < HANDLES_MAX && disk->handles[file].file != NULL);
    return disk->machine == NULL || *find(disk->folder, name) == disk->handles[file].file ? 0
                                                                                          : -ENOENT;
}

int disk_list(struct disk *disk, struct disk_entry *entries, uint32_t entries_max)
{
    if (disk->machine == NULL)
        return -EIO;
    uint32_t count = 0;
    for (struct sim_file *file = disk->folder->files; file != NULL; file = file->next) {
        if (count < entries_max) {
            memcpy(entries[count].name, file->name, sizeof file->name);
            entries[count].size_bytes = file->size_bytes;
        }
        count++;
    }
    return (int)count;
}

int disk_file_open(struct disk *disk, const char *name, bool writable)
{
    TILL_ASSERT(!writable || disk->mode != DISK_READ);
    if (disk->machine == NULL)
        return -EIO;
    struct sim_file *file = *find(disk->folder, name);
    if (!is_named(file, name))
        return -ENOENT;
    for (int handle = 0; handle < HANDLES_MAX; handle++) {
        if (disk->handles[handle].file == NULL) {
            file->reference_count++;
            disk->handles[handle] = (struct handle){.file = file, .writable = writable};
            return handle;
        }
    }
    return -EMFILE;
}

void disk_file_close(struct disk *disk, int file)
{
    TILL_ASSERT(file >= 0 && file < HANDLES_MAX && disk->handles[file].file != NULL);
    sim_file_release(disk->handles[file].file);
    disk->handles[file].file = NULL;
}

static void check_aligned(uint64_t offset, const void *bytes, size_t size)
{
    TILL_ASSERT(offset % WAL_ALIGN == 0 && size % WAL_ALIGN == 0);
    TILL_ASSERT((uintptr_t)bytes % WAL_ALIGN == 0);
}

struct sim_folder *sim_disk_folder(struct disk *disk)
{
    TILL_ASSERT(disk->mode != DISK_READ);
    return disk->folder;
}

struct sim_file *sim_disk_file(struct disk *disk, int file)
{
    TILL_ASSERT(file >= 0 && file < HANDLES_MAX);
    TILL_ASSERT(disk->handles[file].file != NULL && disk->handles[file].writable);
    return disk->handles[file].file;
}

int64_t disk_file_read(struct disk *disk, int file, uint64_t offset, void *bytes, size_t size)
{
    TILL_ASSERT(file >= 0 && file < HANDLES_MAX);
    const struct handle *handle = &disk->handles[file];
    TILL_ASSERT(handle->file != NULL);
    if (handle->writable)
        check_aligned(offset, bytes, size);
    if (offset >= handle->file->size_bytes)
        return 0;
    if (size > handle->file->size_bytes - offset)
        size = (size_t)(handle->file->size_bytes - offset);
    for (size_t done = 0; done < size;) {
        uint64_t at = offset + done;
        const uint8_t *page = handle->file->pages[at / SIM_FILE_PAGE];
        size_t part = SIM_FILE_PAGE - at % SIM_FILE_PAGE;
        if (part > size - done)
            part = size - done;
        if (page != NULL)
            memcpy((uint8_t *)bytes + done, page + at % SIM_FILE_PAGE, part);
        else
            memset((uint8_t *)bytes + done, 0, part);
        done += part;
    }
    return (int64_t)size;
}

static void store(struct sim_file *file, uint64_t offset, const uint8_t *bytes, size_t size)
{
    TILL_ASSERT(offset + size <= file->size_bytes);
    for (size_t done = 0; done < size;) {
        uint64_t at = offset + done;
        uint8_t **page = &file->pages[at / SIM_FILE_PAGE];
        size_t part = SIM_FILE_PAGE - at % SIM_FILE_PAGE;
        if (part > size - done)
            part = size - done;
        if (*page == NULL)
            *page = calloc(1, SIM_FILE_PAGE);
        TILL_ASSERT(*page != NULL);
        memcpy(*page + at % SIM_FILE_PAGE, bytes + done, part);
        done += part;
    }
}

static void grow(struct sim_file *file, uint64_t size_bytes)
{
    if (size_bytes <= file->size_bytes)
        return;
    uint64_t before = page_count(file);
    file->size_bytes = size_bytes;
    file->pages = reallocarray(file->pages, page_count(file) + 1, sizeof *file->pages);
    TILL_ASSERT(file->pages != NULL);
    memset(file->pages + before, 0, (page_count(file) + 1 - before) * sizeof *file->pages);
}

/* May this be written? A file that was made in full has had its room since then. A partial one
 * needs room for each page that was not written before, also inside its size: writes come in any
 * order and leave holes. */
static bool has_room(const struct sim_file *file, uint64_t offset, size_t size)
{
    if (!file->grows || !file->folder->full)
        return true;
    if (offset + size > file->size_bytes)
        return false;
    for (uint64_t at = offset; at < offset + size; at += SIM_FILE_PAGE) {
        if (file->pages[at / SIM_FILE_PAGE] == NULL)
            return false;
    }
    return true;
}

/* One page of a write that a crash interrupted: some of its sectors, or all up to some byte. */
static void tear_page(struct sim_machine *machine, struct sim_file *file, uint64_t offset,
                      const uint8_t *bytes)
{
    if (sim_chance(machine, 25)) {
        store(file, offset, bytes, (size_t)sim_random_below(machine, SIM_FILE_PAGE));
        return;
    }
    uint64_t kept = sim_random(machine);
    for (size_t sector = 0; sector < SIM_FILE_PAGE / SIM_SECTOR; sector++) {
        size_t start = sector * SIM_SECTOR;
        if ((kept >> sector & 1) != 0)
            store(file, offset + start, bytes + start, SIM_SECTOR);
    }
}

void sim_file_tear(struct sim_machine *machine, struct sim_file *file, uint64_t offset,
                   const uint8_t *bytes, size_t size)
{
    enum { ALL, NOTHING, PAGES };
    if (!has_room(file, offset, size))
        return;
    if (file->grows)
        grow(file, offset + size);
    unsigned fate = (unsigned)sim_random_below(machine, 4);
    for (size_t start = 0; start < size; start += SIM_FILE_PAGE) {
        uint64_t page_fate = fate < PAGES ? fate : sim_random_below(machine, PAGES + 1);
        if (page_fate == ALL)
            store(file, offset + start, bytes + start, SIM_FILE_PAGE);
        else if (page_fate == PAGES)
            tear_page(machine, file, offset + start, bytes + start);
    }
}

/* Draws whether a failure that a test has ordered happens now. */
static bool write_fails(const struct sim_file *file)
{
    struct sim_folder *folder = file->folder;
    if (folder->fail_write_in == 0 ||
        strncmp(file->name, folder->fail_write_to, strlen(folder->fail_write_to)) != 0)
        return false;
    return --folder->fail_write_in == 0;
}

static int file_write(struct sim_machine *machine, struct sim_file *file, uint64_t offset,
                      const uint8_t *bytes, size_t size)
{
    if (machine->dying)
        return -EIO;
    if (!has_room(file, offset, size))
        return -ENOSPC;
    if (write_fails(file)) {
        sim_file_tear(machine, file, offset, bytes, size);
        return -EIO;
    }
    if (file->grows)
        grow(file, offset + size);
    store(file, offset, bytes, size);
    return 0;
}

/* Storage that turns out to be full only when it is written to. */
int sim_file_write_later(struct sim_machine *machine, struct sim_file *file, uint64_t offset,
                         const uint8_t *bytes, size_t size)
{
    const struct sim_folder *folder = file->folder;
    bool is_refused =
        folder->refuse_percent > 0 &&
        strncmp(file->name, folder->refuse_write_to, strlen(folder->refuse_write_to)) == 0 &&
        sim_chance(machine, folder->refuse_percent);
    if (!is_refused || machine->dying)
        return file_write(machine, file, offset, bytes, size);
    sim_file_tear(machine, file, offset, bytes, size);
    return -ENOSPC;
}

int disk_file_write(struct disk *disk, int file, uint64_t offset, const void *bytes, size_t size)
{
    struct sim_file *target = sim_disk_file(disk, file);
    check_aligned(offset, bytes, size);
    TILL_ASSERT(target->grows || offset + size <= target->size_bytes);
    bool cut;
    bool begins = change_begins(disk->machine, &cut);
    if (cut)
        sim_file_tear(disk->machine, target, offset, bytes, size);
    return begins && !cut ? file_write(disk->machine, target, offset, bytes, size) : -EIO;
}

int sim_file_create(struct sim_folder *folder, const char *name, uint64_t size_bytes)
{
    if (is_named(*find(folder, name), name))
        return -EEXIST;
    if (folder->full)
        return -ENOSPC;
    struct sim_file *file = calloc(1, sizeof *file);
    TILL_ASSERT(file != NULL);
    file->folder = folder;
    file->size_bytes = size_bytes;
    file->reference_count = 1;
    file->pages = calloc(page_count(file) + 1, sizeof *file->pages);
    TILL_ASSERT(file->pages != NULL);
    link_file(folder, file, name);
    return 0;
}

static void partial_name(const char *name, char partial[DISK_NAME_SIZE])
{
    TILL_ASSERT(strlen(name) + sizeof ".partial" <= DISK_NAME_SIZE);
    snprintf(partial, DISK_NAME_SIZE, "%.40s.partial", name);
}

int disk_partial_create(struct disk *disk, const char *name)
{
    char partial[DISK_NAME_SIZE];
    bool cut;
    partial_name(name, partial);
    if (!change_begins(disk->machine, &cut) || cut)
        return -EIO;
    (void)remove_now(disk->folder, partial);
    int result = sim_file_create(disk->folder, partial, 0);
    if (result < 0)
        return result;
    (*find(disk->folder, partial))->grows = true;
    return disk_file_open(disk, partial, true);
}

int disk_partial_resume(struct disk *disk, const char *name, uint64_t *size_bytes)
{
    char partial[DISK_NAME_SIZE];
    partial_name(name, partial);
    int file = disk_file_open(disk, partial, true);
    if (file == -ENOENT)
        file = disk_partial_create(disk, name);
    if (file >= 0)
        *size_bytes = sim_disk_file(disk, file)->size_bytes / WAL_ALIGN * WAL_ALIGN;
    return file;
}

int disk_partial_publish(struct disk *disk, int file, const char *name, const char *published)
{
    char partial[DISK_NAME_SIZE];
    bool cut;
    partial_name(name, partial);
    sim_disk_file(disk, file);
    int result =
        change_begins(disk->machine, &cut) ? rename_now(disk->folder, partial, published) : -EIO;
    return cut ? -EIO : result;
}

int disk_partial_discard(struct disk *disk, const char *name)
{
    char partial[DISK_NAME_SIZE];
    partial_name(name, partial);
    return disk_remove(disk, partial);
}

int disk_create_zeroed(struct disk *disk, const char *name, uint64_t size_bytes)
{
    TILL_ASSERT(disk->mode != DISK_READ);
    TILL_ASSERT(size_bytes % WAL_ALIGN == 0 && strlen(name) < DISK_NAME_SIZE);
    bool cut;
    int result =
        change_begins(disk->machine, &cut) ? sim_file_create(disk->folder, name, size_bytes) : -EIO;
    return cut ? -EIO : result;
}

/* Is there no room for a change of the folder? A file system that copies on write needs some. */
static bool change_is_refused(const struct disk *disk, const char *name)
{
    const struct sim_folder *folder = disk->folder;
    return disk->machine != NULL && folder->refuse_change_percent > 0 &&
           strncmp(name, folder->refuse_change_to, strlen(folder->refuse_change_to)) == 0 &&
           sim_chance(disk->machine, folder->refuse_change_percent);
}

int disk_rename(struct disk *disk, const char *from, const char *to)
{
    TILL_ASSERT(disk->mode != DISK_READ);
    bool cut;
    bool is_refused = change_is_refused(disk, from);
    if (is_refused && sim_chance(disk->machine, 50))
        return -ENOSPC;
    int result = change_begins(disk->machine, &cut) ? rename_now(disk->folder, from, to) : -EIO;
    if (cut)
        return -EIO;
    return is_refused && result == 0 ? -ENOSPC : result;
}

/* A removal that is refused late leaves the file under its partial name, or nothing. */
int disk_remove(struct disk *disk, const char *name)
{
    enum { BEFORE, HALFWAY, AFTER, FATES };
    char partial[DISK_NAME_SIZE + sizeof ".partial"];
    TILL_ASSERT(disk->mode != DISK_READ);
    bool cut;
    bool is_refused = change_is_refused(disk, name);
    uint64_t fate = is_refused ? sim_random_below(disk->machine, FATES) : AFTER;
    if (fate == BEFORE)
        return -ENOSPC;
    if (disk_name_is_partial(name))
        fate = AFTER;
    snprintf(partial, sizeof partial, "%s.partial", name);
    int result = -EIO;
    if (change_begins(disk->machine, &cut))
        result = fate == HALFWAY ? rename_now(disk->folder, name, partial)
                                 : remove_now(disk->folder, name);
    if (cut)
        return -EIO;
    return is_refused && result == 0 ? -ENOSPC : result;
}

void sim_disk_crash(struct sim_machine *machine)
{
    while (machine->disks != NULL) {
        struct disk *disk = machine->disks;
        machine->disks = disk->next;
        disk->machine = NULL;
    }
    for (uint32_t i = 0; i < machine->folder_count; i++) {
        machine->folders[i].locked = false;
        machine->folders[i].fail_write_in = 0;
        machine->folders[i].refuse_percent = 0;
        machine->folders[i].refuse_change_percent = 0;
    }
    machine->dying = false;
    machine->crash_change_in = 0;
}

void sim_disk_fill(struct sim_machine *machine, const char *path, bool full)
{
    folder_at(machine, path)->full = full;
}

void sim_disk_fail_write(struct sim_machine *machine, const char *path, const char *name,
                         uint32_t nth)
{
    struct sim_folder *folder = folder_at(machine, path);
    folder->fail_write_to = name;
    folder->fail_write_in = nth;
}

void sim_disk_refuse_writes(struct sim_machine *machine, const char *path, const char *name,
                            unsigned percent)
{
    struct sim_folder *folder = folder_at(machine, path);
    folder->refuse_write_to = name;
    folder->refuse_percent = percent;
}

void sim_disk_refuse_changes(struct sim_machine *machine, const char *path, const char *name,
                             unsigned percent)
{
    struct sim_folder *folder = folder_at(machine, path);
    folder->refuse_change_to = name;
    folder->refuse_change_percent = percent;
}

void sim_disk_crash_at(struct sim_machine *machine, uint32_t nth)
{
    machine->crash_change_in = nth;
}

void sim_disk_flip(struct sim_machine *machine, const char *path, const char *name, uint64_t offset,
                   unsigned bit)
{
    struct sim_file *file = *find(folder_at(machine, path), name);
    TILL_ASSERT(is_named(file, name) && offset < file->size_bytes);
    const uint8_t *page = file->pages[offset / SIM_FILE_PAGE];
    uint8_t byte = page == NULL ? 0 : page[offset % SIM_FILE_PAGE];
    byte = (uint8_t)(byte ^ 1u << (bit % 8));
    store(file, offset, &byte, 1);
}
