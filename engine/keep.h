/* Keeping the old state of records while a snapshot is being written.
 *
 * A snapshot shows the state of one moment, but is written over many turns. Whoever is about to
 * change a record that existed at that moment, and that the writer has not passed yet, has its old
 * content copied to a slot of a bounded undo memory first, once. When the writer reaches a chunk of
 * records it takes them as they are and copies the kept ones over them. Records that were added
 * later need nothing. Without a running snapshot, keep() is one branch that is never taken.
 *
 * What is kept is whole records, never pages or chunks: docs/architecture.md says why. */
#ifndef TILL_ENGINE_KEEP_H
#define TILL_ENGINE_KEEP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/tables.h"

/* Raw bytes of a chunk of records at most, and what a slot holds: larger records take several. */
enum { KEEP_CHUNK_SIZE = 32 * 1024, KEEP_SLOT_BYTES = 64, KEEP_RECORD_SIZE_MAX = 512 };

static_assert(KEEP_CHUNK_SIZE / KEEP_RECORD_SIZE_MAX >= 64,
              "a chunk has whole words of the bitmap");

struct keep_slot {
    uint32_t next;   /* of the same chunk, or in the list of free ones */
    uint32_t record; /* of the chunk's table */
    uint32_t part;   /* which KEEP_SLOT_BYTES of it */
    uint32_t zero;
    uint8_t bytes[KEEP_SLOT_BYTES];
};

struct keep_table {
    const uint8_t *records; /* from record 0 on */
    const uint64_t *in_use; /* bitmap of those that say something; NULL: all may */
    uint64_t *is_kept;      /* bitmap of the records */
    uint32_t *chunks;       /* newest slot of each chunk */
    uint32_t capacity;      /* records, record 0 included */
    uint32_t record_size;
    uint32_t chunk_records; /* a power of two */
    uint32_t count;         /* when the snapshot began; 0 without one */
    uint32_t next;          /* records before it have been passed */
};

struct keeper {
    struct keep_table tables[ENGINE_TABLE_COUNT];
    uint8_t *maps; /* one mapping for the bitmaps and chains of all tables */
    uint64_t maps_bytes;
    struct keep_slot *slots; /* numbered from 1 */
    uint32_t slot_count;
    uint32_t slot_end;  /* slots from it on were never used */
    uint32_t slot_free; /* list of those used before */
    uint32_t slots_used;
    uint32_t table; /* being passed */
    bool has_overflowed;
    uint64_t kept_count; /* records, since the snapshot began */
};

/* A chunk of the image: some records of one table. */
struct keep_chunk {
    uint32_t table;
    uint32_t first;
    uint32_t count;
    uint32_t size_bytes;
};

struct engine;

/* For one engine; undo_bytes is what the slots may take. NULL without memory for it. */
struct keeper *keeper_create(const struct engine *engine, uint64_t undo_bytes);
void keeper_destroy(struct keeper *keeper);

/* Bytes in all: the undo memory, and about a bit and a half for each record. */
uint64_t keeper_bytes(const struct keeper *keeper);

/* Takes the next chunk of the image, as it was when the snapshot began, to `raw`, and passes it.
 * One that is all zero, or has no record in use, is not part of the image: KEEPER_ZEROS after some
 * of these alone. */
enum keeper_found { KEEPER_CHUNK, KEEPER_ZEROS, KEEPER_END };
enum keeper_found keeper_next(struct keeper *keeper, struct keep_chunk *chunk,
                              uint8_t raw[KEEP_CHUNK_SIZE]);

/* The slots are running short: the writer should hurry before more is decided. */
static inline bool keeper_is_pressed(const struct keeper *keeper)
{
    return keeper->slots_used > keeper->slot_count / 4 * 3;
}

/* The slow half of keep(). When no slot is left, has_overflowed is set, and this snapshot cannot be
 * finished. */
__attribute__((cold)) void keeper_touch(struct keeper *keeper, enum engine_table table,
                                        uint32_t record);

/* Comes before every change of a record; keeper is NULL while no snapshot is being written. */
static inline void keep(struct keeper *keeper, enum engine_table table, uint32_t record)
{
    if (__builtin_expect(keeper != NULL, 0))
        keeper_touch(keeper, table, record);
}

#endif
