/* The image of a snapshot: how the engine's state stands in a file `snapshot-<seq>.till`.
 *
 * The file is a header, chunks one behind the other, and an end; it fills whole pages of
 * IMAGE_ALIGN bytes, zero after the end. All integers are little-endian. The header describes the
 * records that follow: each number, table and field is known by the number that engine/tables gives
 * it, so that a later till finds what it knows, and has zero for what it does not find.
 *
 *   struct image_fixed, the beginning of the header, which has IMAGE_HEADER_SIZE bytes
 *   offset size field
 *        0    8 magic             "tillsnap"
 *        8    8 checksum          XXH3-64 of the header from offset 16 on
 *       16    4 version           2
 *       20    4 schema            of the tables (base/schema.h)
 *       24    4 table_count
 *       28    4 scalar_count
 *       32    4 member_count
 *       36    4 zero
 *       40    8 epoch             of its last change; of a restored folder the next one
 *       48    8 seq               the last change that the image shows
 *       56    8 digest            of the engine after it
 *       64    8 time_us           of the engine then
 *       72    8 raw_bytes         of all records, for progress; those that are zero included
 *
 *   struct image_scalar, so many of them behind it
 *        0    4 number            of the SCALAR row; from IMAGE_FOLDER on: not of the engine's
 *                                 state, but of the folder, and not in the checksum of the state
 *        4    4 zero
 *        8    8 value
 *
 *   struct image_table, behind those, in the order of the chunks
 *        0    4 number            of the TABLE row
 *        4    4 record_size
 *        8    4 count             records, record 0 included
 *       12    4 capacity          of the engine that wrote it, record 0 included
 *       16    4 member_first      its first member row, from 0
 *       20    4 member_count
 *
 *   struct image_member, behind those; zeros up to the end of the header
 *        0    2 number            of the MEMBER row
 *        2    2 offset            in the record
 *        4    2 size
 *        6    2 zero
 *
 *   struct image_chunk, at a multiple of 8
 *        0    8 checksum          XXH3-64 of the chunk from offset 8 on, payload included
 *        8    8 previous          checksum of the chunk before; of the header for the first
 *       16    4 number            from 1, without a gap
 *       20    4 table             row in the header, from 0; IMAGE_END for the end
 *       24    4 first             record
 *       28    4 count             records; of the end: chunks before it
 *       32    4 raw_size
 *       36    4 stored_size       equal to raw_size: not compressed
 *
 * The payload follows the chunk's header: records, in LZ4 block format where compressed, then zeros
 * to a multiple of 8; of the end 8 bytes, the checksum of the state (engine_checksum).
 *
 * Records that no chunk has are zero. A missing, moved or repeated chunk breaks the chain; the end
 * carries the count, and through `previous` the checksum of everything. */
#ifndef TILL_SNAPSHOT_IMAGE_H
#define TILL_SNAPSHOT_IMAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/id.h"
#include "base/limits.h"

#define IMAGE_MAGIC   0x70616e736c6c6974ULL
#define IMAGE_VERSION 2
#define IMAGE_END     UINT32_MAX

enum {
    IMAGE_ALIGN = WAL_ALIGN,
    IMAGE_HEADER_SIZE = 16 * 1024, /* the same in every version */
    IMAGE_SCALARS_MAX = 128,
    IMAGE_TABLES_MAX = 64,
    IMAGE_MEMBERS_MAX = 1024,
    IMAGE_RECORD_SIZE_MAX = 1024,
    IMAGE_RAW_SIZE_MAX = 64 * 1024,
};

/* Numbers of the folder. A till that does not know one ignores it; an image need not have any. */
enum {
    IMAGE_FOLDER = 1000,
    IMAGE_SHOP_LOW = IMAGE_FOLDER, /* the shop's id (net/shop.h); there are both or neither */
    IMAGE_SHOP_HIGH,
};

struct image_fixed {
    uint64_t magic;
    uint64_t checksum;
    uint32_t version;
    uint32_t schema;
    uint32_t table_count;
    uint32_t scalar_count;
    uint32_t member_count;
    uint32_t zero;
    uint64_t epoch;
    uint64_t seq;
    uint64_t digest;
    uint64_t time_us;
    uint64_t raw_bytes;
};

struct image_scalar {
    uint32_t number;
    uint32_t zero;
    uint64_t value;
};

struct image_table {
    uint32_t number;
    uint32_t record_size;
    uint32_t count;
    uint32_t capacity;
    uint32_t member_first;
    uint32_t member_count;
};

struct image_member {
    uint16_t number;
    uint16_t offset;
    uint16_t size;
    uint16_t zero;
};

struct image_chunk {
    uint64_t checksum;
    uint64_t previous;
    uint32_t number;
    uint32_t table;
    uint32_t first;
    uint32_t count;
    uint32_t raw_size;
    uint32_t stored_size;
};

static_assert(sizeof(struct image_fixed) == 80, "the header's layout is the file format");
static_assert(offsetof(struct image_fixed, raw_bytes) == 72, "raw_bytes");
static_assert(sizeof(struct image_scalar) == 16, "the row's layout is the file format");
static_assert(sizeof(struct image_table) == 24, "the row's layout is the file format");
static_assert(sizeof(struct image_member) == 8, "the row's layout is the file format");
static_assert(sizeof(struct image_chunk) == 40, "the chunk's layout is the file format");
static_assert(offsetof(struct image_chunk, raw_size) == 32, "raw_size");
static_assert(sizeof(struct image_fixed) + IMAGE_SCALARS_MAX * sizeof(struct image_scalar) +
                      IMAGE_TABLES_MAX * sizeof(struct image_table) +
                      IMAGE_MEMBERS_MAX * sizeof(struct image_member) <=
                  IMAGE_HEADER_SIZE,
              "the header has room for all");

/* A chunk in the file takes this at most. */
#define IMAGE_CHUNK_SIZE_MAX (sizeof(struct image_chunk) + IMAGE_RAW_SIZE_MAX)

struct image_header {
    struct image_fixed fixed;
    struct image_scalar scalars[IMAGE_SCALARS_MAX];
    struct image_table tables[IMAGE_TABLES_MAX];
    struct image_member members[IMAGE_MEMBERS_MAX];
};

enum image_found {
    IMAGE_FOUND,
    IMAGE_DAMAGED, /* it is no image, or not a whole one */
    IMAGE_NEWER,   /* of a version, or a schema, that this till does not know */
};

/* Fills in magic, version and checksum, of the header too. */
void image_header_write(struct image_header *header, uint8_t bytes[IMAGE_HEADER_SIZE]);
enum image_found image_header_read(const uint8_t bytes[IMAGE_HEADER_SIZE],
                                   struct image_header *header);

/* The id of the shop, as two numbers of the folder. A zero id is not written, and what an image
 * without it has. */
void image_shop_write(struct image_header *header, struct id shop);
struct id image_shop_read(const struct image_header *header);

/* Writes a chunk, whose previous, number, table, first, count and raw_size are given, with its
 * records (the state's checksum for the end); fills in the rest. Returns the bytes written,
 * IMAGE_CHUNK_SIZE_MAX at most. */
uint32_t image_chunk_write(struct image_chunk *chunk, const uint8_t *raw, uint8_t *bytes);

/* Reads a chunk's header. False when its sizes are beyond the format's bounds. */
bool image_chunk_read(const uint8_t bytes[sizeof(struct image_chunk)], struct image_chunk *chunk);

/* Bytes that a chunk takes in the file. */
uint32_t image_chunk_size(const struct image_chunk *chunk);

/* Is the chunk that image_chunk_read found whole? `bytes` has its image_chunk_size bytes. */
bool image_chunk_verify(const struct image_chunk *chunk, const uint8_t *bytes);

/* The records of a verified chunk, raw_size bytes of them. False when they do not decompress. */
bool image_chunk_unpack(const struct image_chunk *chunk, const uint8_t *bytes, uint8_t *records);

/* The names of snapshot files. The seq in a name; 0 when it is another file's. No image shows
 * seq 0: there is nothing to keep. */
void image_name(uint64_t seq, char name[DISK_NAME_SIZE]);
uint64_t image_name_seq(const char *name);

#endif
