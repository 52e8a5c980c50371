/* A label: a small file of text that says what a folder must hold, so that what it lacks is missed.
 *
 *   till backup 1 0123456789abcdef     what it labels, the format's version, the checksum
 *   seq 10482117                       one line after the other, as its owner defines them
 *
 * and empty lines up to a multiple of WAL_ALIGN bytes. The checksum is the XXH3-64 of the whole
 * file, in sixteen hexadecimal digits, taken with sixteen zeros in its own place: no byte of a
 * label may differ. What it labels and the version stand where they do in every version. A label is
 * published atomically: there is the old one or the new one. */
#ifndef TILL_BASE_LABEL_H
#define TILL_BASE_LABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"

struct label {
    char *text;   /* the caller's memory; it and its size are multiples of WAL_ALIGN */
    size_t room;  /* of that */
    size_t size;  /* of the text; more than room: it did not fit */
    size_t place; /* of the line that label_line reads next */
};

/* Begins a text; then come lines, each with its newline. */
void label_begin(struct label *label, void *room, size_t room_size, const char *kind,
                 uint32_t version);
__attribute__((format(printf, 2, 3))) void label_add(struct label *label, const char *format, ...);

/* Puts the text in place of what has the name; 0 or -errno, -EOVERFLOW when it did not fit. It is
 * written over what label_reserve kept, if there is something. */
int label_publish(struct label *label, struct disk *disk, const char *name);

/* Keeps room for the next label of one page, so that a full disk does not stop it. 0 or -errno. */
int label_reserve(struct disk *disk, const char *name);

/* Reads what was published; 0 or -errno: -ENOENT when there is none, -EBADMSG when it is damaged or
 * labels something else, -ENOTSUP when it is of a newer version. */
int label_read(struct label *label, struct disk *disk, const char *name, void *room,
               size_t room_size, const char *kind, uint32_t version);

/* The next line, without its newline; NULL after the last one. */
const char *label_line(struct label *label);

/* The next line must be this word and a number of that base. */
bool label_number(struct label *label, const char *word, int base, uint64_t *number);

#endif
