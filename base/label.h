/* A label: a small text file that says what a folder must contain, so that a missing file is
 * noticed.
 *
 *   till backup 1 0123456789abcdef     what it labels, the format's version, the checksum
 *   seq 10482117                       then lines that the kind of label defines
 *
 * and empty lines up to a multiple of WAL_ALIGN bytes. The checksum is the XXH3-64 of the whole
 * file, in sixteen hexadecimal digits, computed with sixteen zeros in its own place: a change of
 * any byte is found. The first line has this form in every version. A label is published
 * atomically: after a crash there is the old one or the new one. */
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

/* Publishes the text under the name, in place of an earlier one. 0 or -errno, -EOVERFLOW when it
 * did not fit into the room. It uses the page that label_reserve has allocated, if there is one. */
int label_publish(struct label *label, struct disk *disk, const char *name);

/* Allocates a page on the disk for the next label, so that it can be published when the disk is
 * full. 0 or -errno. */
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
