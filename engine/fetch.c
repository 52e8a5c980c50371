/* Fetching: most of the time of a decision is waiting for memory, so a batch asks for all that it
 * will look up before its first command is decided. What it asks for depends on nothing but where
 * things stand, and changes nothing: a decision is the same without it.
 *
 *   ids ---hash---> slots of the indexes ---> records ---> what the records refer to
 *         stage 1                   stage 2          stage 3
 *
 * Each stage is a loop over the batch, so that the memory that its first command waits for has had
 * the whole stage before to come, and the processor has as many requests under way as it can. A
 * stage that finds nothing for a command asks for nothing; one that finds another id with the same
 * hash asks for what is not needed. Both cost a little time and are never wrong. */
#include "engine/fetch.h"

#include "engine/order_parts.h"
#include "engine/payment.h"
#include "engine/points.h"
#include "engine/stock.h"

/* The order that a command is about; zero: none that is looked up by its id. */
static struct id order_of(const struct command *command)
{
    switch (command->number) {
    case MESSAGE_order_place:
        return ((const struct order_place_body *)command->body)->order;
    case MESSAGE_payment_event:
        return ((const struct payment_event_body *)command->body)->order;
    case MESSAGE_order_cancel:
    case MESSAGE_hold_release:
        return ((const struct order_change_body *)command->body)->order;
    case MESSAGE_hold_extend:
        return ((const struct hold_extend_body *)command->body)->order;
    case MESSAGE_order_get:
        return ((const struct order_id_body *)command->body)->order;
    case MESSAGE_order_history:
        return ((const struct order_history_body *)command->body)->order;
    default:
        return (struct id){.low = 0, .high = 0};
    }
}

/* Lines of an order whose SKUs are fetched: those behind them wait for memory. What few SKUs need
 * is in the cache anyway. */
enum { LINES_FETCHED = 8, SKUS_MANY = 4096 };

static uint32_t lines_fetched(const struct engine *engine, const struct order_place_body *body)
{
    if (engine->skus.count < SKUS_MANY)
        return 0;
    return body->line_count < LINES_FETCHED ? body->line_count : LINES_FETCHED;
}

/* The first record of this hash; 0: there is none. */
static uint32_t first_of(const struct index *index, uint32_t hash)
{
    struct index_walk walk = index_walk(index, hash);
    return index_next(&walk);
}

static uint32_t sku_first(const struct engine *engine, uint64_t sku)
{
    return first_of(&engine->sku_index, sku_hash(engine, sku));
}

/* Of an order.place; 0: a new one. */
static uint32_t customer_of(const struct engine *engine, const struct command *command)
{
    const struct order_place_body *body = command->body;
    return customer_find(engine, body->customer, command->customer_hash);
}

static uint32_t event_hash(const struct engine *engine, const struct command *command)
{
    const struct payment_event_body *body = command->body;
    return payment_hash(engine, body->event, body->provider);
}

static uint32_t key_hash(const struct engine *engine, const struct command *command)
{
    struct id key;
    memcpy(&key, command->body, sizeof key);
    return hash_id(engine, key);
}

static void fetch_place_slots(struct engine *engine, struct command *command)
{
    const struct order_place_body *body = command->body;
    command->order_hash = hash_id(engine, body->order);
    command->customer_hash = hash_id(engine, body->customer);
    index_prefetch(&engine->order_index, command->order_hash);
    id_index_prefetch(&engine->customer_index, command->customer_hash);
}

static void fetch_other_slots(struct engine *engine, struct command *command)
{
    struct id order = order_of(command);
    command->order_hash = hash_id(engine, order);
    if (!id_is_zero(order))
        index_prefetch(&engine->order_index, command->order_hash);
    if (command->number == MESSAGE_payment_event)
        index_prefetch(&engine->payment_index, event_hash(engine, command));
    if (message_info(command->number)->is_keyed)
        index_prefetch(&engine->keys.index, key_hash(engine, command));
}

/* Has the command more to ask for, once its slots are there? Most orders are new and need no more;
 * of one that comes again, the record is fetched when it is decided. */
static bool fetch_slots(struct engine *engine, struct command *command)
{
    if (command->number != MESSAGE_order_place) {
        fetch_other_slots(engine, command);
        return true;
    }
    const struct order_place_body *body = command->body;
    const struct line_body *lines = (const struct line_body *)(body + 1);
    uint32_t line_count = lines_fetched(engine, body);
    fetch_place_slots(engine, command);
    for (uint32_t i = 0; i < line_count; i++)
        index_prefetch(&engine->sku_index, sku_hash(engine, lines[i].sku));
    return body->points != 0 || line_count > 0;
}

/* An order's record is two cache lines. */
static void fetch_order(const struct engine *engine, uint32_t order)
{
    const uint8_t *bytes = (const uint8_t *)order_at(engine, order);
    __builtin_prefetch(bytes);
    __builtin_prefetch(bytes + sizeof(struct order) / 2);
}

static void fetch_place_records(const struct engine *engine, const struct command *command)
{
    const struct order_place_body *body = command->body;
    const struct line_body *lines = (const struct line_body *)(body + 1);
    if (body->points != 0)
        __builtin_prefetch(customer_at(engine, customer_of(engine, command)));
    for (uint32_t i = 0; i < lines_fetched(engine, body); i++)
        __builtin_prefetch(sku_at(engine, sku_first(engine, lines[i].sku)));
}

static void fetch_records(const struct engine *engine, const struct command *command)
{
    if (command->number == MESSAGE_order_place) {
        fetch_place_records(engine, command);
        return;
    }
    uint32_t order = first_of(&engine->order_index, command->order_hash);
    if (order != 0)
        fetch_order(engine, order);
    if (command->number == MESSAGE_payment_event) {
        uint32_t payment = first_of(&engine->payment_index, event_hash(engine, command));
        __builtin_prefetch(payment_at(engine, payment));
    }
    if (message_info(command->number)->is_keyed) {
        uint32_t key = first_of(&engine->keys.index, key_hash(engine, command));
        __builtin_prefetch(key_record_at(engine, key));
    }
}

/* Only an order that spends points looks at more of its customer than the id. */
static void fetch_parts(const struct engine *engine, const struct command *command)
{
    if (command->number != MESSAGE_order_place)
        return;
    const struct order_place_body *body = command->body;
    const struct line_body *lines = (const struct line_body *)(body + 1);
    if (body->points != 0) {
        uint32_t customer = customer_of(engine, command);
        __builtin_prefetch(lot_at(engine, customer_at(engine, customer)->lots));
    }
    for (uint32_t i = 0; i < lines_fetched(engine, body); i++) {
        uint32_t sku = sku_first(engine, lines[i].sku);
        __builtin_prefetch(stock_at(engine, sku_at(engine, sku)->stocks));
    }
}

void fetch_batch(struct engine *engine, struct command *commands, uint32_t count)
{
    const struct command *more[BATCH_COMMANDS_MAX];
    uint32_t more_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        more[more_count] = &commands[i];
        more_count += fetch_slots(engine, &commands[i]);
    }
    for (uint32_t i = 0; i < more_count; i++)
        fetch_records(engine, more[i]);
    for (uint32_t i = 0; i < more_count; i++)
        fetch_parts(engine, more[i]);
}
