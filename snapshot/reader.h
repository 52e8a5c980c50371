/* Reads an image chunk by chunk, and checks checksums, chain, order and sizes. What the records
 * mean is for the caller (snapshot/loader.h). */
#ifndef TILL_SNAPSHOT_READER_H
#define TILL_SNAPSHOT_READER_H

#include <stdint.h>

#include "base/disk.h"
#include "snapshot/image.h"

enum { IMAGE_WINDOW_SIZE = 1 << 20, IMAGE_ERROR_SIZE = 384 };

enum image_read {
    IMAGE_READ_CHUNK,   /* the next chunk is in reader->chunk and bytes */
    IMAGE_READ_END,     /* the image is whole */
    IMAGE_READ_DAMAGED, /* reader->error says where */
    IMAGE_READ_NEWER,   /* the file has a version that this till does not know */
    IMAGE_READ_ERROR,   /* the disk could not be read; reader->error says why */
};

struct image_reader {
    struct disk *disk;
    char name[DISK_NAME_SIZE];
    struct image_header header;
    struct image_chunk chunk;
    const uint8_t *bytes; /* the chunk as in the file; valid until the next call */
    uint64_t bytes_read;
    char error[IMAGE_ERROR_SIZE]; /* begins with the file's path */

    /* Private. */
    int file;
    uint64_t offset; /* in the file, of the window */
    uint32_t start;  /* in the window */
    uint32_t end;
    uint32_t taken; /* bytes of the current chunk */
    uint64_t previous;
    uint32_t chunk_number; /* chunks before the current one */
    uint8_t *window;
};

/* Opens the file, which should have the image of that seq, and reads its header: IMAGE_READ_CHUNK
 * when that is valid. image_reader_close must be called in any case. */
enum image_read image_reader_open(struct image_reader *reader, struct disk *disk, const char *name,
                                  uint64_t seq);
enum image_read image_reader_next(struct image_reader *reader);
void image_reader_close(struct image_reader *reader);

/* Reports the current chunk as damaged: the caller has found that its content is wrong. */
enum image_read image_reader_reject(struct image_reader *reader);

#endif
