/* The engine's tables as data, for code that handles any table: images, their checksum, the check
 * of references, the memory table, docs. engine/tables/tables.h declares them. */
#ifndef TILL_ENGINE_TABLES_H
#define TILL_ENGINE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which an image has them. */
enum engine_table {
#define TABLE(number, KIND, name, ...) TABLE_##name,
#include "engine/tables/tables.h"
    ENGINE_TABLE_COUNT,
    TABLE_none = ENGINE_TABLE_COUNT,
};

enum table_kind {
    TABLE_KIND_ARENA,
    TABLE_KIND_POOL,
    TABLE_KIND_RUNS,
    TABLE_KIND_BESIDE,
    TABLE_KIND_RING,
    TABLE_KIND_BUCKETS,
    TABLE_KIND_CHUNKS,
};

enum engine_scalar {
#define SCALAR(number, KIND, name, place, since, text) SCALAR_##name,
#include "engine/tables/tables.h"
    ENGINE_SCALAR_COUNT
};

/* Numbers of the capacities, as CAPACITY rejections carry them. */
enum capacity_number {
    CAPACITY_none,
#define CAPACITY(number, name, default, text) CAPACITY_##name = (number),
#include "engine/tables/tables.h"
    CAPACITY_end
};

enum {
    CAPACITY_COUNT = 0
#define CAPACITY(number, name, default, text) +1
#include "engine/tables/tables.h"
};

struct member_info {
    const char *name;
    const char *text;
    uint16_t number;
    uint16_t offset;
    uint16_t size_bytes;
    uint16_t since;
    uint8_t refers; /* the table that it holds an index of; TABLE_none: it holds none */
};

struct record_info {
    const char *name;
    const struct member_info *members;
    uint16_t member_count;
    uint16_t size_bytes;
};

struct table_info {
    const char *name;
    const char *text;
    const struct record_info *record;
    size_t capacity_offset; /* of the capacity, in struct engine_options */
    uint16_t number;
    uint16_t since;
    uint8_t kind; /* enum table_kind */
};

enum scalar_kind { SCALAR_KIND_STATE, SCALAR_KIND_CLOCK };

struct scalar_info {
    const char *name;
    const char *text;
    uint16_t number;
    uint16_t since;
    uint8_t kind; /* enum scalar_kind */
};

struct capacity_info {
    const char *name;
    const char *text;
    size_t offset; /* in struct engine_options */
    enum capacity_number number;
};

const struct table_info *table_info(enum engine_table table);
const struct scalar_info *scalar_info(enum engine_scalar scalar);

/* All capacities in the order of the rows; the one that a rejection calls by this number, NULL when
 * there is none. */
const struct capacity_info *capacity_infos(size_t *count);
const struct capacity_info *capacity_info(uint64_t number);
const char *capacity_name(uint64_t number);

#endif
