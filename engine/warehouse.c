/* Warehouses, and what is promised from each.
 *
 * The counts follow from the orders' pieces, and are kept so that nobody has to go through these:
 * place.c and retake.c count an order when it takes its pieces, order.c when it gives them back,
 * and offer.c counts a run of orders at once. ship.c counts an order anew around what it ships. */
#include "engine/warehouse.h"

#include <stdio.h>

#include "engine/image.h"
#include "engine/keys.h"
#include "engine/order_parts.h"

bool warehouse_has_room(const struct engine *engine, uint32_t number)
{
    return arena_room(&engine->warehouses) > 0 || warehouse_find(engine, number) != 0;
}

uint32_t warehouse_add(struct engine *engine, uint32_t number)
{
    uint32_t index = warehouse_find(engine, number);
    if (index != 0)
        return index;
    index = arena_take(&engine->warehouses, 1);
    uint32_t promise = arena_take(&engine->warehouse_promises, 1);
    TILL_ASSERT(index != 0 && promise == index);
    *warehouse_edit(engine, index) =
        (struct warehouse){.warehouse = number, .state = warehouse_state_ONLINE};
    index_insert(&engine->warehouse_index, warehouse_hash(engine, number), index);
    return index;
}

/* Counts the order's units that were not shipped where they are, and the order once in each
 * warehouse that has some. */
static void count_order(struct engine *engine, uint32_t index, int64_t sign)
{
    uint32_t counted[ORDER_PIECES_MAX];
    uint32_t counted_count = 0;
    const struct order *order = order_at(engine, index);
    struct pieces pieces = order_pieces(engine, order);
    for (uint32_t i = 0; i < pieces.count; i++) {
        uint32_t units = piece_unshipped(engine, order, i);
        if (units == 0)
            continue;
        uint32_t warehouse =
            warehouse_find(engine, stock_at(engine, pieces.first[i].stock)->warehouse);
        TILL_ASSERT(warehouse != 0);
        uint32_t at = 0;
        while (at < counted_count && counted[at] != warehouse)
            at++;
        bool is_first = at == counted_count;
        if (is_first)
            counted[counted_count++] = warehouse;
        warehouse_promise(engine, warehouse, is_first ? sign : 0, sign * (int64_t)units);
    }
}

void warehouses_enter(struct engine *engine, uint32_t order)
{
    count_order(engine, order, 1);
}

void warehouses_leave(struct engine *engine, uint32_t order)
{
    count_order(engine, order, -1);
}

enum outcome handle_warehouse_put(struct engine *engine, struct command *command)
{
    const struct warehouse_put_body *body = command->body;
    if (body->warehouse == 0)
        return reject_field(engine, warehouse_put_field_warehouse);
    if (!warehouse_has_room(engine, body->warehouse))
        return REJECT_FULL(engine, warehouses);
    if (!key_accept(engine))
        return reject_keys_full(engine);

    uint32_t index = warehouse_add(engine, body->warehouse);
    struct warehouse *warehouse = warehouse_edit(engine, index);
    engine->warehouses_shut -= warehouse->state != warehouse_state_ONLINE;
    engine->warehouses_shut += body->state != warehouse_state_ONLINE;
    warehouse->state = body->state;
    digest_mix(engine, body->warehouse, body->state);
    const struct warehouse_promise *promise = warehouse_promise_at(engine, index);
    struct warehouse_put_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    reply->orders = promise->orders;
    reply->units = (int64_t)promise->units;
    reply->state = body->state;
    return OUTCOME_OK;
}

/* The records come in the order in which a replay of the log makes them: that of each warehouse's
 * first stock. */
bool engine_add_warehouses(struct engine *engine, char *error, size_t error_size)
{
    for (uint32_t i = 1; i <= engine->stocks.count; i++) {
        if (!warehouse_has_room(engine, stock_at(engine, i)->warehouse)) {
            snprintf(error, error_size,
                     "its stock is in more warehouses than there is room for, which is %u: give "
                     "a larger capacity",
                     engine->options.warehouses);
            return false;
        }
        warehouse_add(engine, stock_at(engine, i)->warehouse);
    }
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        if (order_has_pieces(order_at(engine, i)))
            warehouses_enter(engine, i);
    }
    return true;
}
