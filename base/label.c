/* Sealing a text and checking it.
 *
 * What can fail: the disk, as -errno. What is read is untrusted until its checksum holds. A text
 * with a valid checksum was written by some version of till; it is still parsed with care. */
#include "base/label.h"

#include <errno.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/limits.h"

enum { DIGITS = 16 };

static const char no_checksum[DIGITS + 1] = "0000000000000000";

/* The checksum of the whole text, as if the digits at `place` were zeros. */
static void checksum_text(const struct label *label, size_t place, char digits[DIGITS + 1])
{
    char kept[DIGITS];
    memcpy(kept, label->text + place, DIGITS);
    memcpy(label->text + place, no_checksum, DIGITS);
    snprintf(digits, DIGITS + 1, "%016" PRIx64, checksum64(label->text, label->size));
    memcpy(label->text + place, kept, DIGITS);
}

void label_begin(struct label *label, void *room, size_t room_size, const char *kind,
                 uint32_t version)
{
    TILL_ASSERT(room_size % WAL_ALIGN == 0 && (uintptr_t)room % WAL_ALIGN == 0);
    *label = (struct label){.text = room, .room = room_size};
    label_add(label, "till %s %" PRIu32 " %s\n", kind, version, no_checksum);
}

void label_add(struct label *label, const char *format, ...)
{
    va_list arguments;
    if (label->size > label->room)
        return;
    va_start(arguments, format);
    int size = vsnprintf(label->text + label->size, label->room - label->size, format, arguments);
    va_end(arguments);
    /* vsnprintf ends the text with a zero byte, which needs room too. */
    bool fits = size >= 0 && (size_t)size < label->room - label->size;
    label->size = fits ? label->size + (size_t)size : label->room + 1;
}

static int write_text(const struct label *label, struct disk *disk, const char *name)
{
    uint64_t held_bytes = 0;
    int file = disk_partial_resume(disk, name, &held_bytes);
    if (file >= 0 && held_bytes > label->size) {
        disk_file_close(disk, file);
        file = disk_partial_create(disk, name);
    }
    if (file < 0)
        return file;
    int result = disk_file_write(disk, file, 0, label->text, label->size);
    if (result == 0)
        result = disk_partial_publish(disk, file, name, name);
    disk_file_close(disk, file);
    return result;
}

int label_publish(struct label *label, struct disk *disk, const char *name)
{
    char digits[DIGITS + 1];
    if (label->size > label->room)
        return -EOVERFLOW;
    const char *newline = memchr(label->text, '\n', label->size);
    TILL_ASSERT(newline != NULL && newline - label->text >= DIGITS);
    size_t filled = (label->size + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN;
    memset(label->text + label->size, '\n', filled - label->size);
    label->size = filled;
    size_t place = (size_t)(newline - label->text) - DIGITS;
    checksum_text(label, place, digits);
    memcpy(label->text + place, digits, DIGITS);
    return write_text(label, disk, name);
}

int label_reserve(struct disk *disk, const char *name)
{
    static const alignas(WAL_ALIGN) uint8_t page[WAL_ALIGN];
    uint64_t held_bytes = 0;
    int file = disk_partial_resume(disk, name, &held_bytes);
    if (file < 0)
        return file;
    int result = held_bytes >= sizeof page ? 0 : disk_file_write(disk, file, 0, page, sizeof page);
    disk_file_close(disk, file);
    return result;
}

/* Checks what was read, from its first line on. */
static int check_text(struct label *label, const char *kind, uint32_t version)
{
    char begin[64];
    char digits[DIGITS + 1];
    char *end = NULL;
    int begin_size = snprintf(begin, sizeof begin, "till %s ", kind);
    const char *newline = memchr(label->text, '\n', label->size);
    if (newline == NULL || newline - label->text < begin_size + DIGITS + 2 ||
        strncmp(label->text, begin, (size_t)begin_size) != 0)
        return -EBADMSG;
    unsigned long named = strtoul(label->text + begin_size, &end, 10);
    size_t place = (size_t)(newline - label->text) - DIGITS;
    checksum_text(label, place, digits);
    if (end != label->text + place - 1 || memcmp(digits, label->text + place, DIGITS) != 0)
        return -EBADMSG;
    label->place = (size_t)(newline - label->text) + 1;
    return named > version ? -ENOTSUP : 0;
}

int label_read(struct label *label, struct disk *disk, const char *name, void *room,
               size_t room_size, const char *kind, uint32_t version)
{
    *label = (struct label){.text = room, .room = room_size};
    int file = disk_file_open(disk, name, false);
    if (file < 0)
        return file;
    int64_t size = disk_file_read(disk, file, 0, room, room_size);
    disk_file_close(disk, file);
    if (size < 0)
        return (int)size;
    /* A text that fills all of the room may be longer than that. */
    if (size == 0 || (size_t)size == room_size)
        return -EBADMSG;
    label->size = (size_t)size;
    return check_text(label, kind, version);
}

const char *label_line(struct label *label)
{
    char *line = label->text + label->place;
    if (label->place >= label->size || *line == '\n')
        return NULL;
    char *newline = memchr(line, '\n', label->size - label->place);
    if (newline == NULL)
        return NULL;
    *newline = '\0';
    label->place = (size_t)(newline - label->text) + 1;
    return line;
}

bool label_number(struct label *label, const char *word, int base, uint64_t *number)
{
    const char *line = label_line(label);
    size_t size = strlen(word);
    char *end = NULL;
    if (line == NULL || strncmp(line, word, size) != 0 || line[size] != ' ')
        return false;
    *number = strtoull(line + size + 1, &end, base);
    return end > line + size + 1 && *end == '\0';
}
