/* The rows of engine/tables as arrays. */
#include "engine/tables.h"

#include "base/assert.h"
#include "engine/engine.h"
#include "engine/records.h"

#define RECORD(record) static const struct member_info record##_members[] = {
#define MEMBER(record, member_number, type, member, table, schema, meaning)                        \
    {.name = #member,                                                                              \
     .text = meaning,                                                                              \
     .number = member_number,                                                                      \
     .offset = offsetof(struct record, member),                                                    \
     .size_bytes = sizeof(type),                                                                   \
     .since = schema,                                                                              \
     .refers = TABLE_##table},
#define RECORD_END(record)                                                                         \
    }                                                                                              \
    ;                                                                                              \
    static const struct record_info record_##record = {                                            \
        .name = #record,                                                                           \
        .members = record##_members,                                                               \
        .member_count = sizeof record##_members / sizeof record##_members[0],                      \
        .size_bytes = sizeof(struct record),                                                       \
    };
#include "engine/tables/tables.h"

static const struct table_info tables[ENGINE_TABLE_COUNT] = {
#define TABLE(table_number, KIND, table, table_record, capacity, schema, meaning)                  \
    {.name = #table,                                                                               \
     .text = meaning,                                                                              \
     .record = &record_##table_record,                                                             \
     .capacity_offset = offsetof(struct engine_options, capacity),                                 \
     .number = table_number,                                                                       \
     .since = schema,                                                                              \
     .kind = TABLE_KIND_##KIND},
#include "engine/tables/tables.h"
};

static const struct scalar_info scalars[ENGINE_SCALAR_COUNT] = {
#define SCALAR(scalar_number, KIND, scalar, place, schema, meaning)                                \
    {.name = #scalar,                                                                              \
     .text = meaning,                                                                              \
     .number = scalar_number,                                                                      \
     .since = schema,                                                                              \
     .kind = SCALAR_KIND_##KIND},
#include "engine/tables/tables.h"
};

static const struct capacity_info capacities[] = {
#define CAPACITY(capacity_number, capacity, value, meaning)                                        \
    {.name = #capacity,                                                                            \
     .text = meaning,                                                                              \
     .offset = offsetof(struct engine_options, capacity),                                          \
     .number = capacity_number},
#include "engine/tables/tables.h"
};

const struct table_info *table_info(enum engine_table table)
{
    TILL_ASSERT(table < ENGINE_TABLE_COUNT);
    return &tables[table];
}

const struct scalar_info *scalar_info(enum engine_scalar scalar)
{
    TILL_ASSERT(scalar < ENGINE_SCALAR_COUNT);
    return &scalars[scalar];
}

const struct capacity_info *capacity_infos(size_t *count)
{
    *count = sizeof capacities / sizeof capacities[0];
    return capacities;
}

const struct capacity_info *capacity_info(uint64_t number)
{
    for (size_t i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
        if (capacities[i].number == number)
            return &capacities[i];
    }
    return NULL;
}

const char *capacity_name(uint64_t number)
{
    const struct capacity_info *capacity = capacity_info(number);
    return capacity != NULL ? capacity->name : NULL;
}
