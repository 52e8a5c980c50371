/* SKUs, and their stock in each warehouse.
 *
 * available + pooled + reserved + committed + unsellable = on_hand holds after every change, and
 * on_hand changes here, in stock_move.c, and in ship.c where units leave and come back (what orders
 * do beside only moves units between the parts).
 *
 * No sum leaves its range: on_hand is at most QUANTITY_MAX in one place, and STOCK_TOTAL_MAX in
 * all. Units are promised only while available is above zero, and what comes back unfit is looked
 * at, so what is promised of a place is at most QUANTITY_MAX too, and available at least
 * -QUANTITY_MAX. What is held or sold in all is below
 * 2^63: there are at most 2^31 pieces of at most 2^32 - 1 units; and so is what is pooled, by 2^30
 * pools. */
#include "engine/stock.h"

#include "engine/keys.h"
#include "engine/order_parts.h"
#include "engine/warehouse.h"

uint32_t name_hash(const struct engine *engine, const struct name *name)
{
    return (uint32_t)checksum64_seeded(name, sizeof *name, engine->options.hash_seed);
}

static bool name_is_empty(const struct name *name)
{
    return name->bytes[0] == '\0';
}

uint32_t sku_find_name(const struct engine *engine, const struct name *name)
{
    struct index_walk walk = index_walk(&engine->name_index, name_hash(engine, name));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0) {
        if (memcmp(&sku_at(engine, index)->name, name, sizeof *name) == 0)
            return index;
    }
    return 0;
}

uint32_t stock_find(const struct engine *engine, uint32_t sku, uint32_t warehouse)
{
    struct index_walk walk = index_walk(&engine->stock_index, hash_words(engine, sku, warehouse));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0) {
        const struct stock *stock = stock_at(engine, index);
        if (stock->sku == sku && stock->warehouse == warehouse)
            return index;
    }
    return 0;
}

int64_t stock_promised(const struct stock *stock)
{
    return stock->pooled + stock->reserved + stock->committed + stock->unsellable;
}

static void sku_rename(struct engine *engine, uint32_t index, const struct name *name)
{
    struct sku *sku = sku_edit(engine, index);
    if (memcmp(&sku->name, name, sizeof *name) == 0)
        return;
    if (!name_is_empty(&sku->name))
        index_remove(&engine->name_index, name_hash(engine, &sku->name), index);
    sku->name = *name;
    if (!name_is_empty(name))
        index_insert(&engine->name_index, name_hash(engine, name), index);
}

enum outcome handle_sku_put(struct engine *engine, struct command *command)
{
    const struct sku_put_body *body = command->body;
    if (body->sku == 0)
        return reject_field(engine, sku_put_field_sku);
    if (body->price < 0 || body->price > PRICE_MAX)
        return reject_field(engine, sku_put_field_price);
    if (body->currency == 0 || body->currency > CURRENCY_MAX)
        return reject_field(engine, sku_put_field_currency);
    uint32_t index = sku_find(engine, body->sku);
    if (body->name.bytes[0] != '\0') {
        uint32_t owner = sku_find_name(engine, &body->name);
        if (owner != 0 && owner != index)
            return reject(engine, OUTCOME_INVALID, sku_put_field_name,
                          (int64_t)sku_at(engine, owner)->sku);
    }
    if (index == 0 && arena_room(&engine->skus) == 0)
        return REJECT_FULL(engine, skus);
    if (!key_accept(engine))
        return reject_keys_full(engine);

    if (index == 0) {
        index = arena_take(&engine->skus, 1);
        sku_edit(engine, index)->sku = body->sku;
        index_insert(&engine->sku_index, sku_hash(engine, body->sku), index);
    }
    struct sku *sku = sku_edit(engine, index);
    sku->price = body->price;
    sku->currency = body->currency;
    sku_rename(engine, index, &body->name);
    digest_mix(engine, (uint64_t)sku->price, index);
    struct seq_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    return OUTCOME_OK;
}

enum outcome stock_check_room(struct engine *engine, uint32_t stock, uint32_t warehouse)
{
    if (stock == 0 && arena_room(&engine->stocks) == 0)
        return REJECT_FULL(engine, stocks);
    if (stock == 0 && !warehouse_has_room(engine, warehouse))
        return REJECT_FULL(engine, warehouses);
    return OUTCOME_OK;
}

uint32_t stock_add(struct engine *engine, uint32_t sku, uint32_t warehouse)
{
    uint32_t index = arena_take(&engine->stocks, 1);
    struct stock *stock = stock_edit(engine, index);
    uint32_t *place = &sku_edit(engine, sku)->stocks;
    while (*place != 0 && stock_at(engine, *place)->warehouse < warehouse)
        place = &stock_edit(engine, *place)->next;
    stock->sku = sku;
    stock->warehouse = warehouse;
    stock->next = *place;
    *place = index;
    index_insert(&engine->stock_index, hash_words(engine, sku, warehouse), index);
    warehouse_add(engine, warehouse);
    return index;
}

/* Does its order still hold or have units of this piece in the warehouse? Earlier pieces of an
 * order that was moved stay in the lists of their stocks. */
static bool is_promised(const struct engine *engine, uint32_t place)
{
    const struct piece *piece = piece_of(engine, place);
    const struct order *order = order_at(engine, piece_order(engine, place));
    struct pieces pieces = order_pieces(engine, order);
    if (!order_has_pieces(order) || piece < pieces.first || piece >= pieces.first + pieces.count)
        return false;
    return piece_unshipped(engine, order, (uint32_t)(piece - pieces.first)) > 0;
}

/* Counts the orders that hold this stock, and appends the newest to the reply that was just
 * written. Reads whatever was ever taken of the stock: a deficit is a rare thing. */
static void list_concerned(const struct engine *engine, struct command *command, uint32_t stock)
{
    struct stock_level_body *reply = (struct stock_level_body *)command->reply;
    struct order_id_body *row = (struct order_id_body *)(reply + 1);
    uint32_t last = 0;
    uint32_t place = stock_at(engine, stock)->pieces;
    reply->order_count = 0;
    reply->orders_concerned = 0;
    while (place != 0) {
        uint32_t index = piece_order(engine, place);
        if (index != last && is_promised(engine, place)) {
            if (reply->order_count < CONCERNED_ORDERS_MAX)
                row[reply->order_count++].order = order_at(engine, index)->id;
            reply->orders_concerned++;
            last = index;
        }
        place = piece_of(engine, place)->next;
    }
    uint32_t size = (uint32_t)sizeof(struct order_id_body) * reply->order_count;
    command->reply_size += size;
    if (command->sink != NULL)
        command->sink->cursor += size;
}

void stock_level_reply(const struct engine *engine, uint32_t index, struct stock_level_body *reply)
{
    const struct stock *stock = stock_at(engine, index);
    reply->seq = engine->seq;
    reply->on_hand = stock->on_hand;
    reply->available = stock->available;
}

/* The end of a stock command, which has been accepted: on_hand and available become what they
 * should. */
static void stock_change(struct engine *engine, struct command *command, uint32_t sku,
                         uint32_t index, uint32_t warehouse, int64_t on_hand)
{
    if (index == 0)
        index = stock_add(engine, sku, warehouse);
    struct stock *stock = stock_edit(engine, index);
    engine->on_hand_total += on_hand - stock->on_hand;
    stock->on_hand = on_hand;
    stock->available = on_hand - stock_promised(stock);
    stock_digest(engine, index);
    stock_level_reply(engine, index, reply_begin(engine, command, sizeof(struct stock_level_body)));
    if (command->number == MESSAGE_stock_set && stock->available < 0)
        list_concerned(engine, command, index);
}

enum outcome handle_stock_adjust(struct engine *engine, struct command *command)
{
    const struct stock_adjust_body *body = command->body;
    if (body->sku == 0)
        return reject_field(engine, stock_adjust_field_sku);
    if (body->delta == 0)
        return reject_field(engine, stock_adjust_field_delta);
    if (body->warehouse == 0)
        return reject_field(engine, stock_adjust_field_warehouse);
    uint32_t sku = sku_find(engine, body->sku);
    if (sku == 0)
        return reject(engine, OUTCOME_NOT_FOUND, body->sku, 0);
    uint32_t index = stock_find(engine, sku, body->warehouse);
    const struct stock *stock = stock_at(engine, index);
    if (body->delta > QUANTITY_MAX - stock->on_hand)
        return reject(engine, OUTCOME_OVERFLOW, 0, QUANTITY_MAX);
    if (body->delta > STOCK_TOTAL_MAX - engine->on_hand_total)
        return reject(engine, OUTCOME_OVERFLOW, 0, STOCK_TOTAL_MAX);
    if (body->delta < -stock_available(stock))
        return reject(engine, OUTCOME_STOCK_BELOW_RESERVED, body->sku, stock_promised(stock));
    enum outcome outcome = stock_check_room(engine, index, body->warehouse);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    stock_change(engine, command, sku, index, body->warehouse, stock->on_hand + body->delta);
    return OUTCOME_OK;
}

enum outcome handle_stock_set(struct engine *engine, struct command *command)
{
    const struct stock_set_body *body = command->body;
    if (body->sku == 0)
        return reject_field(engine, stock_set_field_sku);
    if (body->on_hand < 0 || body->on_hand > QUANTITY_MAX)
        return reject_field(engine, stock_set_field_on_hand);
    if (body->warehouse == 0)
        return reject_field(engine, stock_set_field_warehouse);
    if ((body->flags & stock_flags_DISCARD) != 0)
        return reject_field(engine, stock_set_field_flags);
    uint32_t sku = sku_find(engine, body->sku);
    if (sku == 0)
        return reject(engine, OUTCOME_NOT_FOUND, body->sku, 0);
    uint32_t index = stock_find(engine, sku, body->warehouse);
    const struct stock *stock = stock_at(engine, index);
    if (body->expected != stock->on_hand)
        return reject(engine, OUTCOME_STALE_VERSION, 0, stock->on_hand);
    if (body->on_hand < stock_promised(stock) && (body->flags & stock_flags_ALLOW_DEFICIT) == 0)
        return reject(engine, OUTCOME_STOCK_BELOW_RESERVED, body->sku, stock_promised(stock));
    if (body->on_hand - stock->on_hand > STOCK_TOTAL_MAX - engine->on_hand_total)
        return reject(engine, OUTCOME_OVERFLOW, 0, STOCK_TOTAL_MAX);
    enum outcome outcome = stock_check_room(engine, index, body->warehouse);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    stock_change(engine, command, sku, index, body->warehouse, body->on_hand);
    return OUTCOME_OK;
}

/* Which orders a deficit concerns now, which may be others than at first. */
void replay_rows_stock_set(struct engine *engine, struct command *command)
{
    const struct stock_set_body *body = command->body;
    struct stock_level_body *reply = (struct stock_level_body *)command->reply;
    reply->order_count = 0;
    reply->orders_concerned = 0;
    if (reply->available < 0)
        list_concerned(engine, command,
                       stock_find(engine, sku_find(engine, body->sku), body->warehouse));
}
