/* The engine's state: its records and tables, and the few helpers every handler uses. Private to
 * engine/; everyone else sees engine/engine.h.
 *
 * Records refer to each other by index, 0 for none. Handlers first look and judge without writing
 * anything; from engine_accept on nothing can fail any more. */
#ifndef TILL_ENGINE_STATE_H
#define TILL_ENGINE_STATE_H

#include "base/arena.h"
#include "base/checksum.h"
#include "engine/deadlines.h"
#include "engine/engine.h"
#include "engine/index.h"
#include "engine/keep.h"
#include "engine/records.h"

/* A bounded first-in first-out table of records that are forgotten after a while. */
struct memory_ring {
    struct arena records;
    struct index index;
    uint64_t first; /* records ever forgotten */
    uint64_t end;   /* records ever added */
};

struct engine {
    struct engine_options options;

    uint64_t seq;
    uint64_t digest;
    uint64_t time_us;
    uint64_t changed_us; /* time_us of the last change */
    uint64_t jumped_us;  /* of all time so far, what no clock has shown to pass: keys.c */

    /* Of the command being decided. */
    uint64_t subject;
    int64_t value;
    bool accepted;
    bool keeps_key;    /* there is a key, which is to be remembered if the command is accepted */
    uint32_t keys_max; /* that may be remembered for the command to be accepted */

    struct keeper *keeper; /* of the snapshot being written; NULL: none is */

#define TABLE_MEMBER_ARENA(name) struct arena name;
#define TABLE_MEMBER_RING(name)  struct memory_ring name;
#define TABLE_MEMBER_BUCKETS(name)
#define TABLE_MEMBER_CHUNKS(name)
#define TABLE(number, KIND, name, ...) TABLE_MEMBER_##KIND(name)
#define INDEX(name, table)             struct index name;
#include "engine/tables/tables.h"
#undef TABLE_MEMBER_ARENA
#undef TABLE_MEMBER_RING
#undef TABLE_MEMBER_BUCKETS
#undef TABLE_MEMBER_CHUNKS
    struct deadlines deadlines;

    uint32_t point_takes_free; /* chain of free ones, and how many */
    uint32_t point_takes_free_count;
    /* What PENDING orders still need to end, whatever else fills the tables: a step, once the one
     * inside of the order is taken; two ledger entries for each of their point takes; a lot for
     * each of those whose lot may have expired by then. */
    uint32_t steps_reserved;
    uint32_t ledger_reserved;
    uint32_t lots_reserved;

    uint64_t orders_by_state[order_state_CANCELLED + 1];
    int64_t on_hand_total; /* of all stock: any sum over stocks is within it */
    uint64_t parked_count;
    uint64_t refund_order_count;
    uint64_t rejected_count;
    uint64_t clock_jump_count; /* as it, since the server's start */

    uint32_t loaded_capacity[ENGINE_TABLE_COUNT]; /* of the image being loaded */

    uint64_t scratch[FRAME_SIZE_MAX / 8]; /* where replies go that nobody wants */
};

/* Typed access to the tables. The `_at` functions read; whoever changes a record takes it from an
 * `_edit` function, so that every change of a record can be seen in the code, and so that a
 * snapshot keeps what it was. A record that the same command has just added was nothing before:
 * `_new` gives it without that look. */
#define RECORD_ACCESS(type, table, memory)                                                         \
    static inline const struct type *type##_at(const struct engine *engine, uint32_t index)        \
    {                                                                                              \
        return (const struct type *)(const void *)engine->memory.records + index;                  \
    }                                                                                              \
    __attribute__((unused)) static inline struct type *type##_edit(struct engine *engine,          \
                                                                   uint32_t index)                 \
    {                                                                                              \
        keep(engine->keeper, TABLE_##table, index);                                                \
        return (struct type *)(void *)engine->memory.records + index;                              \
    }                                                                                              \
    __attribute__((unused)) static inline struct type *type##_new(struct engine *engine,           \
                                                                  uint32_t index)                  \
    {                                                                                              \
        return (struct type *)(void *)engine->memory.records + index;                              \
    }
#define ACCESS_ARENA(record, table) RECORD_ACCESS(record, table, table)
#define ACCESS_RING(record, table)  RECORD_ACCESS(record, table, table.records)
#define ACCESS_BUCKETS(record, table)
#define ACCESS_CHUNKS(record, table)
#define TABLE(number, KIND, name, record, ...) ACCESS_##KIND(record, name)
#include "engine/tables/tables.h"
#undef RECORD_ACCESS
#undef ACCESS_ARENA
#undef ACCESS_RING
#undef ACCESS_BUCKETS
#undef ACCESS_CHUNKS

/* Where a piece stands: inside its order (the order's number), or in the pieces arena. */
#define PIECE_IN_ARENA (1u << 31)

static inline const struct piece *piece_of(const struct engine *engine, uint32_t place)
{
    return (place & PIECE_IN_ARENA) != 0 ? piece_at(engine, place & ~PIECE_IN_ARENA)
                                         : &order_at(engine, place)->parts.piece;
}

static inline uint32_t hash_words(const struct engine *engine, uint64_t a, uint64_t b)
{
    return (uint32_t)(mix64(a ^ engine->options.hash_seed, b) >> 32);
}

static inline uint32_t hash_id(const struct engine *engine, struct id id)
{
    return hash_words(engine, id.low, id.high);
}

/* Mixes two words of what changed into the digest. */
static inline void digest_mix(struct engine *engine, uint64_t a, uint64_t b)
{
    engine->digest = mix64(engine->digest ^ a, b);
}

static inline enum outcome reject(struct engine *engine, enum outcome outcome, uint64_t subject,
                                  int64_t value)
{
    engine->subject = subject;
    engine->value = value;
    return outcome;
}

static inline enum outcome reject_field(struct engine *engine, unsigned field)
{
    return reject(engine, OUTCOME_INVALID, field, 0);
}

/* Room in a table, or the CAPACITY rejection of it. */
#define REJECT_FULL(engine, table)                                                                 \
    reject(engine, OUTCOME_CAPACITY, CAPACITY_##table, (int64_t)(engine)->options.table)

/* The command will change the state: it takes the next seq. */
static inline void engine_accept(struct engine *engine)
{
    TILL_ASSERT(!engine->accepted);
    engine->accepted = true;
    engine->seq++;
    engine->changed_us = engine->time_us;
    digest_mix(engine, engine->seq, engine->time_us);
}

/* Room for a reply body of size bytes, every one of which the caller writes. */
static inline void *reply_room(struct engine *engine, struct command *command, uint32_t size)
{
    uint8_t *body = (uint8_t *)engine->scratch;
    if (command->sink != NULL) {
        body = command->sink->cursor + command->sink->gap;
        command->sink->cursor = body + size;
    }
    command->reply = body;
    command->reply_size = size;
    return body;
}

/* The same, zeroed. */
static inline void *reply_begin(struct engine *engine, struct command *command, uint32_t size)
{
    return memset(reply_room(engine, command, size), 0, size);
}

/* What every order looks up, by number or id; 0 when there is none. */
static inline uint32_t sku_find(const struct engine *engine, uint64_t sku)
{
    struct index_walk walk = index_walk(&engine->sku_index, hash_words(engine, sku, 1));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && sku_at(engine, index)->sku != sku) {
    }
    return index;
}

static inline uint32_t sale_find(const struct engine *engine, uint32_t sale)
{
    struct index_walk walk = index_walk(&engine->sale_index, hash_words(engine, sale, 2));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && sale_at(engine, index)->sale != sale) {
    }
    return index;
}

static inline uint32_t pool_find(const struct engine *engine, uint32_t sale, uint32_t stock)
{
    struct index_walk walk = index_walk(&engine->pool_index, hash_words(engine, sale, stock));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 &&
           (pool_at(engine, index)->sale != sale || pool_at(engine, index)->stock != stock)) {
    }
    return index;
}

static inline uint32_t customer_find(const struct engine *engine, struct id id, uint32_t hash)
{
    struct index_walk walk = index_walk(&engine->customer_index, hash);
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && !id_equal(customer_id_at(engine, index)->id, id)) {
    }
    return index;
}

static inline uint32_t order_find_hashed(const struct engine *engine, struct id id, uint32_t hash)
{
    struct index_walk walk = index_walk(&engine->order_index, hash);
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && !id_equal(order_at(engine, index)->id, id)) {
    }
    return index;
}

static inline bool order_is_inline(const struct order *order)
{
    return (order->flags & ORDER_IS_INLINE) != 0;
}

static inline uint8_t order_allocation(const struct order *order)
{
    return order->flags >> ORDER_ALLOCATION_SHIFT;
}

struct pieces {
    const struct piece *first;
    uint32_t count;
};

/* Those that the order was placed with. */
static inline struct pieces order_pieces_placed(const struct engine *engine,
                                                const struct order *order)
{
    return (struct pieces){order_is_inline(order) ? &order->parts.piece
                                                  : piece_at(engine, order->parts.pieces),
                           order->piece_count};
}

/* Those that it has, or had last. */
static inline struct pieces order_pieces(const struct engine *engine, const struct order *order)
{
    if ((order->flags & ORDER_IS_MOVED) == 0)
        return order_pieces_placed(engine, order);
    const struct money *money = money_at(engine, order->money);
    return (struct pieces){piece_at(engine, money->pieces), money->piece_count};
}

static inline uint32_t order_find(const struct engine *engine, struct id id)
{
    return order_find_hashed(engine, id, hash_id(engine, id));
}

/* The pool that a sale's orders take a stock from; 0: from available. */
static inline uint32_t stock_source(const struct engine *engine, uint32_t sale, uint32_t stock)
{
    const struct sale *terms = sale_at(engine, sale);
    if (sale == 0 || terms->pools == 0 || terms->state == sale_state_CLOSED)
        return 0;
    return pool_find(engine, sale, stock);
}

/* What can be taken from there. */
static inline int64_t source_gives(const struct engine *engine, uint32_t pool, uint32_t stock)
{
    int64_t gives = pool != 0 ? pool_at(engine, pool)->left : stock_at(engine, stock)->available;
    return gives > 0 ? gives : 0;
}

static inline int64_t stock_gives(const struct engine *engine, uint32_t sale, uint32_t stock)
{
    return source_gives(engine, stock_source(engine, sale, stock), stock);
}

/* Every change of a stock ends with this. */
static inline void stock_digest(struct engine *engine, uint32_t index)
{
    const struct stock *stock = stock_at(engine, index);
    digest_mix(engine, (uint64_t)stock->available ^ (uint64_t)stock->pooled << 32,
               (uint64_t)stock->reserved ^ (uint64_t)stock->committed << 32 ^
                   (uint64_t)stock->on_hand << 16 ^ index);
}

/* Moves units from the pool, or from what is available without one, to reserved. `stock` is the one
 * at the index, to be changed. */
static inline void stock_take(struct engine *engine, struct stock *stock, uint32_t index,
                              uint32_t pool, uint32_t quantity)
{
    if (pool != 0) {
        struct pool *source = pool_edit(engine, pool);
        source->left -= quantity;
        source->taken += quantity;
        stock->pooled -= quantity;
    } else {
        stock->available -= quantity;
    }
    stock->reserved += quantity;
    stock_digest(engine, index);
}

/* The handlers, one for each message that the engine decides: they look and judge first, and from
 * engine_accept on nothing can fail. */
#define HANDLER_QUERY(name)    enum outcome handle_##name(struct engine *, struct command *);
#define HANDLER_COMMAND(name)  enum outcome handle_##name(struct engine *, struct command *);
#define HANDLER_INTERNAL(name) enum outcome handle_##name(struct engine *, struct command *);
#define HANDLER_SESSION(name)
#define HANDLER_ADMIN(name)
#define MESSAGE(number, name, text_name, KIND, ...) HANDLER_##KIND(name)
#include "engine/tables/messages.h"
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_SESSION
#undef HANDLER_ADMIN

/* The time that ages what is kept for a while: the log's without its jumps. */
static inline uint64_t engine_kept_us(const struct engine *engine)
{
    return engine->time_us - engine->jumped_us;
}

/* What ends at a time: when, and what is due then. */
#define TIMER(number, name, table, since, text)                                                    \
    uint64_t timer_##name##_us(const struct engine *engine, uint32_t record);                      \
    void timer_##name(struct engine *engine, uint32_t record);
#include "engine/tables/tables.h"

enum timer_number {
#define TIMER(number, name, table, since, text) TIMER_##name = (number),
#include "engine/tables/tables.h"
};

static inline void timer_set(struct engine *engine, enum timer_number timer, uint32_t record,
                             uint64_t deadline_us)
{
    deadlines_add(&engine->deadlines, engine->time_us, deadline_us, deadline_entry(timer, record));
}

/* timers.c: takes an entry that is due, and does what is due with it; false when there is none. */
bool timer_run(struct engine *engine);

/* memory.c: the arena of a table, NULL for the one that has none; the ring that a table is, or
 * NULL. The `_at` functions are for reading. */
struct arena *table_arena(struct engine *engine, enum engine_table table);
const struct arena *table_arena_at(const struct engine *engine, enum engine_table table);
struct memory_ring *table_ring(struct engine *engine, enum engine_table table);
const struct memory_ring *table_ring_at(const struct engine *engine, enum engine_table table);

/* keys.c: the memory of idempotency keys. */
const struct key_record *key_find(const struct engine *engine, struct id key);
uint32_t keys_reserve(const struct engine *engine);
bool key_has_room(const struct engine *engine);
enum outcome reject_keys_full(struct engine *engine);
void key_add(struct engine *engine, struct id key, uint64_t fingerprint, const void *reply,
             size_t reply_size);
uint64_t memory_ring_count(const struct memory_ring *ring);
uint64_t keys_kept(const struct engine *engine);
bool keys_are_in_order(const struct engine *engine);
enum outcome handle_time_jump(struct engine *engine, struct command *command);

/* stock.c */
uint32_t name_hash(const struct engine *engine, const struct name *name);
uint32_t sku_find_name(const struct engine *engine, const struct name *name);
uint32_t stock_find(const struct engine *engine, uint32_t sku, uint32_t warehouse);
int64_t stock_promised(const struct stock *stock);
void list_concerned(const struct engine *engine, struct command *command, uint32_t stock);

/* sale.c */
uint32_t tally_hash(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku);
uint32_t tally_find(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku);
uint64_t tally_of(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku);
void tally_add(struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku,
               int64_t quantity);

/* points.c */

/* Room that moving points takes. */
struct points_need {
    uint32_t takes;   /* from lots, each with its hold's entry and those of its end */
    uint32_t lots;    /* new ones */
    uint32_t entries; /* of the ledger, beside those of the takes */
};

uint32_t customer_add(struct engine *engine, struct id id, uint32_t hash);
int64_t points_available(const struct engine *engine, uint32_t customer);
int64_t points_coming_back(const struct engine *engine, const struct order *order);
struct points_need points_needed(const struct engine *engine, uint32_t customer, int64_t points);
struct points_need points_return_needed(const struct engine *engine, const struct order *order);
enum outcome check_points_room(struct engine *engine, const struct points_need *need);
void points_hold(struct engine *engine, uint32_t order, int64_t points);
void points_release(struct engine *engine, uint32_t order);
void points_spend(struct engine *engine, uint32_t order);
void points_return(struct engine *engine, uint32_t order);
uint32_t points_take_count(const struct engine *engine, const struct order *order);
uint64_t lot_last_us(const struct engine *engine, const struct lot *lot);

/* place.c */
void place_prefetch_slots(struct engine *engine, struct command *command);
void place_prefetch_records(struct engine *engine, struct command *command);

/* order.c: an order's parts and its transitions. */
struct line order_line(const struct engine *engine, const struct order *order, unsigned number);
struct piece *order_pieces_edit(struct engine *engine, struct order *order);
uint32_t piece_returns_to(const struct engine *engine, const struct order *order,
                          const struct piece *piece);
int64_t order_money_due(const struct engine *engine, const struct order *order);
uint8_t order_money_state(const struct engine *engine, const struct order *order);
bool order_is_ended(const struct engine *engine, const struct order *order);
uint64_t order_hold_max_us(const struct engine *engine, const struct order *order);
bool order_has_step_room(const struct engine *engine, const struct order *order);
uint32_t step_jump(const struct engine *engine, uint32_t previous);
uint32_t step_find(const struct engine *engine, uint32_t newest, uint32_t version);
struct money *order_money_edit(struct engine *engine, uint32_t order);
void order_enter(struct engine *engine, uint32_t order, uint8_t state);
void order_step(struct engine *engine, uint32_t order);
void order_tally(struct engine *engine, uint32_t order);
void order_commit(struct engine *engine, uint32_t order);
void order_give_back(struct engine *engine, uint32_t order, uint8_t state);
void order_refund_due_add(struct engine *engine, uint32_t order, int64_t amount);
void order_status_reply(const struct engine *engine, uint32_t order,
                        struct order_status_body *reply);

/* payment.c */
uint32_t payment_hash(const struct engine *engine, struct id event, uint32_t provider);
uint32_t payment_find(const struct engine *engine, struct id event, uint32_t provider);

#endif
