/* The engine's front: making and unmaking it, and the way of a batch through it.
 *
 * A batch is prefetched first (hash all keys, touch the index slots, then the records) and then
 * decided one command after the other, so that the memory latencies of a batch overlap. Keyed
 * commands pass through the memory of keys before and after their handler. */
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/image.h"
#include "engine/state.h"

const struct engine_options engine_options_default = {
#define CAPACITY_DEFAULT(name, default, text) .name = (default),
    ENGINE_CAPACITIES(CAPACITY_DEFAULT)
#undef CAPACITY_DEFAULT
};

struct arena_plan {
    size_t arena_offset;
    uint32_t record_size;
    size_t capacity_offset;
};

#define ARENA(record, arena, table)                                                                \
    {                                                                                              \
        offsetof(struct engine, arena), sizeof(struct record),                                     \
            offsetof(struct engine_options, table)                                                 \
    }
static const struct arena_plan arenas[] = {
    ARENA(sku, skus, skus),
    ARENA(stock, stocks, stocks),
    ARENA(sale, sales, sales),
    ARENA(pool, pools, pools),
    ARENA(tally, tallies, tallies),
    ARENA(customer, customers, customers),
    ARENA(customer_id, customer_ids, customers),
    ARENA(lot, lots, lots),
    ARENA(ledger_entry, ledger, ledger),
    ARENA(order, orders, orders),
    ARENA(line, lines, lines),
    ARENA(piece, pieces, pieces),
    ARENA(point_take, point_takes, point_takes),
    ARENA(money, moneys, moneys),
    ARENA(step, steps, steps),
    ARENA(payment, payments, payments),
};
#undef ARENA

struct index_plan {
    size_t index_offset;
    size_t capacity_offset; /* of the table that it finds */
};

#define INDEX(index, table)                                                                        \
    {                                                                                              \
        offsetof(struct engine, index), offsetof(struct engine_options, table)                     \
    }
static const struct index_plan indexes[] = {
    INDEX(sku_index, skus),           INDEX(name_index, skus),    INDEX(stock_index, stocks),
    INDEX(sale_index, sales),         INDEX(pool_index, pools),   INDEX(tally_index, tallies),
    INDEX(customer_index, customers), INDEX(order_index, orders), INDEX(payment_index, payments),
};
#undef INDEX

enum {
    ARENA_COUNT = sizeof arenas / sizeof arenas[0],
    INDEX_COUNT = sizeof indexes / sizeof indexes[0],
};

static struct arena *plan_arena(struct engine *engine, const struct arena_plan *plan)
{
    return (struct arena *)((uint8_t *)engine + plan->arena_offset);
}

static struct index *plan_index(struct engine *engine, const struct index_plan *plan)
{
    return (struct index *)((uint8_t *)engine + plan->index_offset);
}

static uint32_t plan_capacity(const struct engine_options *options, size_t offset)
{
    uint32_t capacity = 0;
    memcpy(&capacity, (const uint8_t *)options + offset, sizeof capacity);
    return capacity;
}

static bool options_are_valid(const struct engine_options *options, char *error, size_t error_size)
{
#define CAPACITY_CHECK(name, default, text)                                                        \
    if (options->name == 0 || options->name > CAPACITY_MAX) {                                      \
        snprintf(error, error_size, "the capacity of %s must be 1 to %d", #name, CAPACITY_MAX);    \
        return false;                                                                              \
    }
    ENGINE_CAPACITIES(CAPACITY_CHECK)
#undef CAPACITY_CHECK
    return true;
}

static bool tables_init(struct engine *engine)
{
    const struct engine_options *options = &engine->options;
    bool all = true;
    for (unsigned i = 0; i < ARENA_COUNT; i++)
        all &= arena_init(plan_arena(engine, &arenas[i]), arenas[i].record_size,
                          plan_capacity(options, arenas[i].capacity_offset));
    for (unsigned i = 0; i < INDEX_COUNT; i++)
        all &= index_init(plan_index(engine, &indexes[i]),
                          plan_capacity(options, indexes[i].capacity_offset));
    all &= keys_init(&engine->keys, sizeof(struct key_record), options->keys);
    all &= deadlines_init(&engine->deadlines, options->deadlines);
    return all;
}

struct engine *engine_create(const struct engine_options *options, char *error, size_t error_size)
{
    if (!options_are_valid(options, error, error_size))
        return NULL;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    engine->options = *options;
    if (!tables_init(engine)) {
        snprintf(error, error_size,
                 "the tables could not be mapped: lower the capacities, or raise the limit of "
                 "virtual memory (ulimit -v)");
        engine_destroy(engine);
        return NULL;
    }
    return engine;
}

static void tables_deinit(struct engine *engine)
{
    for (unsigned i = 0; i < ARENA_COUNT; i++)
        arena_deinit(plan_arena(engine, &arenas[i]));
    for (unsigned i = 0; i < INDEX_COUNT; i++)
        index_deinit(plan_index(engine, &indexes[i]));
    keys_deinit(&engine->keys);
    deadlines_deinit(&engine->deadlines);
}

void engine_destroy(struct engine *engine)
{
    if (engine == NULL)
        return;
    tables_deinit(engine);
    free(engine);
}

bool engine_clear(struct engine *engine)
{
    struct engine_options options = engine->options;
    tables_deinit(engine);
    memset(engine, 0, sizeof *engine);
    engine->options = options;
    return tables_init(engine);
}

static bool arena_populate(const struct arena *arena, const atomic_bool *stop)
{
    return memory_populate(arena->records, arena->mapped_bytes, stop);
}

static bool index_populate(const struct index *index, const atomic_bool *stop)
{
    return memory_populate(index->slots, index_bytes(index), stop);
}

/* Indexes are touched at random from the first command on, records from the front: indexes first.
 */
bool engine_populate(struct engine *engine, const atomic_bool *stop)
{
    const struct deadlines *deadlines = &engine->deadlines;
    bool all = true;
    for (unsigned i = 0; all && i < INDEX_COUNT; i++)
        all = index_populate(plan_index(engine, &indexes[i]), stop);
    all = all && index_populate(&engine->keys.index, stop) &&
          memory_populate(deadlines->buckets, deadlines_buckets_bytes(), stop);
    for (unsigned i = 0; all && i < ARENA_COUNT; i++)
        all = arena_populate(plan_arena(engine, &arenas[i]), stop);
    return all && arena_populate(&engine->keys.records, stop) &&
           arena_populate(&deadlines->chunks, stop);
}

struct memory_row {
    const char *name;
    uint64_t capacity;
    uint64_t bytes;
};

#define CAPACITY_ROW(name, default, text) {#name, offsetof(struct engine_options, name)},
static const struct {
    const char *name;
    size_t offset;
} capacities[] = {ENGINE_CAPACITIES(CAPACITY_ROW)};
#undef CAPACITY_ROW

enum { MEMORY_ROWS = sizeof capacities / sizeof capacities[0] };

static uint64_t ring_bytes(const struct memory_ring *ring)
{
    return ring->records.mapped_bytes + index_bytes(&ring->index);
}

/* Bytes of all tables that one option sizes. */
static uint64_t capacity_bytes(const struct engine *engine, size_t offset)
{
    uint64_t capacity = plan_capacity(&engine->options, offset);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < ARENA_COUNT; i++) {
        if (arenas[i].capacity_offset == offset)
            bytes += (capacity + 1) * arenas[i].record_size;
    }
    for (unsigned i = 0; i < INDEX_COUNT; i++) {
        if (indexes[i].capacity_offset == offset)
            bytes += index_slots_for((uint32_t)capacity) * sizeof(uint64_t);
    }
    if (offset == offsetof(struct engine_options, keys))
        bytes += ring_bytes(&engine->keys);
    if (offset == offsetof(struct engine_options, deadlines))
        bytes += deadlines_bytes(&engine->deadlines);
    return bytes;
}

/* One row per capacity; returns the sum. */
static uint64_t memory_rows(const struct engine *engine, struct memory_row rows[MEMORY_ROWS])
{
    uint64_t total = 0;
    for (unsigned i = 0; i < MEMORY_ROWS; i++) {
        rows[i] =
            (struct memory_row){.name = capacities[i].name,
                                .capacity = plan_capacity(&engine->options, capacities[i].offset),
                                .bytes = capacity_bytes(engine, capacities[i].offset)};
        total += rows[i].bytes;
    }
    return total;
}

uint64_t engine_memory_bytes(const struct engine *engine)
{
    struct memory_row rows[MEMORY_ROWS];
    return memory_rows(engine, rows);
}

uint64_t engine_capacity_bytes(const struct engine *engine, unsigned number)
{
    TILL_ASSERT(number >= 1 && number <= MEMORY_ROWS);
    return capacity_bytes(engine, capacities[number - 1].offset);
}

void engine_print_memory(const struct engine *engine,
                         void (*print)(void *context, const char *line), void *context)
{
    struct memory_row rows[MEMORY_ROWS];
    char line[128];
    uint64_t total = memory_rows(engine, rows);
    for (unsigned i = 0; i < MEMORY_ROWS; i++) {
        snprintf(line, sizeof line, "  %-12s %11llu  %9.1f MiB  %6.1f bytes each", rows[i].name,
                 (unsigned long long)rows[i].capacity, (double)rows[i].bytes / (1 << 20),
                 (double)rows[i].bytes / (double)rows[i].capacity);
        print(context, line);
    }
    snprintf(line, sizeof line, "  %-12s %11s  %9.1f MiB", "in all", "", (double)total / (1 << 20));
    print(context, line);
}

/* Of the arenas that this capacity sizes, the one with most records. */
static uint64_t arenas_used(const struct engine *engine, size_t capacity_offset)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < ARENA_COUNT; i++) {
        const struct arena *arena = plan_arena((struct engine *)engine, &arenas[i]);
        if (arenas[i].capacity_offset == capacity_offset && arena->count > used)
            used = arena->count;
    }
    return used;
}

static uint64_t table_used(const struct engine *engine, enum capacity_number number)
{
    uint64_t used = arenas_used(engine, capacities[number - 1].offset);
    switch (number) {
    case CAPACITY_point_takes:
        return used - engine->point_takes_free_count;
    case CAPACITY_steps:
        return used + engine->steps_reserved;
    case CAPACITY_ledger:
        return used + engine->ledger_reserved;
    case CAPACITY_deadlines:
        return engine->deadlines.count;
    case CAPACITY_keys:
        return keys_kept(engine);
    default:
        return used;
    }
}

struct table_fill engine_table_fill(const struct engine *engine, enum capacity_number number)
{
    TILL_ASSERT(number > CAPACITY_none && number < CAPACITY_end);
    return (struct table_fill){
        .name = capacities[number - 1].name,
        .used = table_used(engine, number),
        .capacity = plan_capacity(&engine->options, capacities[number - 1].offset),
        .reserve = number == CAPACITY_keys ? keys_reserve(engine) : 0,
    };
}

typedef enum outcome handler(struct engine *engine, struct command *command);

/* The handlers of what the engine decides: handle_<name> for each message. */
static handler *const handlers[MESSAGE_NUMBER_MAX + 1] = {
#define HANDLER_QUERY(name)    [MESSAGE_##name] = handle_##name,
#define HANDLER_COMMAND(name)  [MESSAGE_##name] = handle_##name,
#define HANDLER_INTERNAL(name) [MESSAGE_##name] = handle_##name,
#define HANDLER_SESSION(name)
#define HANDLER_ADMIN(name)
#define MESSAGE(number, name, text_name, KIND, ...) HANDLER_##KIND(name)
#include "engine/tables/messages.h"
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_SESSION
#undef HANDLER_ADMIN
};

/* The first answer of a keyed command again. Which orders a deficit concerns is listed anew. */
static enum outcome replay_key(struct engine *engine, struct command *command,
                               const struct message_info *message, const struct key_record *known)
{
    memcpy(reply_begin(engine, command, message->reply->size_bytes), known->reply,
           message->reply->size_bytes);
    if (command->number != MESSAGE_stock_set)
        return OUTCOME_REPLAYED;
    const struct stock_set_body *body = command->body;
    struct stock_level_body *reply = (struct stock_level_body *)command->reply;
    reply->order_count = 0;
    reply->orders_concerned = 0;
    if (reply->available < 0)
        list_concerned(engine, command,
                       stock_find(engine, sku_find(engine, body->sku), body->warehouse));
    return OUTCOME_REPLAYED;
}

static enum outcome decide_keyed(struct engine *engine, struct command *command,
                                 const struct message_info *message)
{
    struct id key;
    memcpy(&key, command->body, sizeof key);
    engine->keeps_key = !id_is_zero(key);
    engine->keys_max = engine->options.keys - (command->spares_keys ? keys_reserve(engine) : 0);
    if (!engine->keeps_key && message->request->fields[0].type == FIELD_key)
        return reject_field(engine, 1);
    if (!engine->keeps_key)
        return handlers[command->number](engine, command);
    uint64_t fingerprint = checksum64_seeded(command->body, command->size, command->number);
    const struct key_record *known = key_find(engine, key);
    if (known != NULL) {
        if (known->fingerprint != fingerprint)
            return reject(engine, OUTCOME_IDEM_MISMATCH, 0, 0);
        return replay_key(engine, command, message, known);
    }
    enum outcome outcome = handlers[command->number](engine, command);
    if (engine->accepted)
        key_add(engine, key, fingerprint, command->reply, message->reply->size_bytes);
    return outcome;
}

static void decide_one(struct engine *engine, struct command *command)
{
    const struct message_info *message = message_info(command->number);
    TILL_ASSERT(message != NULL && handlers[command->number] != NULL);
    engine->accepted = false;
    command->reply = NULL;
    command->reply_size = 0;
    command->outcome = (uint16_t)(message->is_keyed ? decide_keyed(engine, command, message)
                                                    : handlers[command->number](engine, command));
    command->accepted = engine->accepted;
    if (command->reply != NULL || command->accepted)
        return;
    struct rejection_body *reply = reply_begin(engine, command, sizeof *reply);
    *reply = (struct rejection_body){
        .seq = engine->seq, .subject = engine->subject, .value = engine->value};
    engine->rejected_count++;
}

void engine_fetch_slots(struct engine *engine, struct command *command)
{
    if (command->number == MESSAGE_order_place)
        place_prefetch_slots(engine, command);
}

void engine_fetch_records(struct engine *engine, struct command *command)
{
    if (command->number == MESSAGE_order_place)
        place_prefetch_records(engine, command);
}

void engine_decide_fetched(struct engine *engine, uint64_t now_us, struct command *commands,
                           uint32_t count)
{
    TILL_ASSERT(count <= BATCH_COMMANDS_MAX && now_us <= TIME_US_MAX);
    if (now_us > engine->time_us)
        engine->time_us = now_us;
    for (uint32_t i = 0; i < count; i++)
        decide_one(engine, &commands[i]);
}

void engine_decide(struct engine *engine, uint64_t now_us, struct command *commands, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        engine_fetch_slots(engine, &commands[i]);
    for (uint32_t i = 0; i < count; i++)
        engine_fetch_records(engine, &commands[i]);
    engine_decide_fetched(engine, now_us, commands, count);
}

uint32_t engine_reply_bound(unsigned number, const void *body)
{
    const struct message_info *message = message_info(number);
    uint32_t rows = message->reply_rows_max;
    if (number == MESSAGE_order_place) {
        const struct order_place_body *place = body;
        rows = place->allocation == allocation_RANK ? rows : place->line_count;
    }
    if (number == MESSAGE_stock_get)
        rows = ((const struct stock_get_body *)body)->item_count + 1u;
    uint32_t size = message->reply->size_bytes;
    if (message->reply_row != NULL)
        size += rows * message->reply_row->size_bytes;
    return size > sizeof(struct rejection_body) ? size : (uint32_t)sizeof(struct rejection_body);
}

uint64_t engine_seq(const struct engine *engine)
{
    return engine->seq;
}

uint64_t engine_digest(const struct engine *engine)
{
    return engine->digest;
}

uint64_t engine_time_us(const struct engine *engine)
{
    return engine->time_us;
}

void engine_count_clock_jump(struct engine *engine)
{
    engine->clock_jump_count++;
}

uint64_t engine_holds_due(struct engine *engine, uint64_t now_us)
{
    return deadlines_due(&engine->deadlines, now_us);
}

uint64_t engine_next_due_us(const struct engine *engine)
{
    return deadlines_next_us(&engine->deadlines);
}
