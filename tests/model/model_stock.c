/* The model's SKUs and stock.
 *
 * on_hand and unsellable are what was set, adjusted and moved; everything else about a (SKU,
 * warehouse) is summed up from the orders and the pools whenever it is needed. So giving back needs
 * no code: an order that has ended is no longer part of the sum. */
#include <string.h>

#include "tests/model/model.h"

int model_find_sku(const struct model *model, uint64_t sku)
{
    for (int i = 0; i < model->skus.count; i++) {
        if (model->skus.items[i].sku == sku)
            return i;
    }
    return MODEL_NONE;
}

static int find_sku_by_name(const struct model *model, const struct name *name)
{
    if (name->bytes[0] == '\0')
        return MODEL_NONE;
    for (int i = 0; i < model->skus.count; i++) {
        if (memcmp(&model->skus.items[i].name, name, sizeof *name) == 0)
            return i;
    }
    return MODEL_NONE;
}

int model_find_stock(const struct model *model, uint64_t sku, uint32_t warehouse)
{
    for (int i = 0; i < model->stocks.count; i++) {
        if (model->stocks.items[i].sku == sku && model->stocks.items[i].warehouse == warehouse)
            return i;
    }
    return MODEL_NONE;
}

void model_sum_stock(struct model *model)
{
    for (int i = 0; i < model->stocks.count; i++) {
        struct model_stock *stock = &model->stocks.items[i];
        stock->pooled = stock->reserved = stock->committed = 0;
    }
    for (int i = 0; i < model->pools.count; i++)
        model->pools.items[i].used = 0;
    for (int i = 0; i < model->pieces.count; i++) {
        const struct model_piece *piece = &model->pieces.items[i];
        const struct model_order *order = &model->orders.items[piece->order];
        if (!model_order_is_live(order))
            continue;
        if (order->state == order_state_PENDING)
            model->stocks.items[piece->stock].reserved += piece->quantity;
        else
            model->stocks.items[piece->stock].committed += piece->quantity - piece->shipped;
        if (piece->pool != MODEL_NONE)
            model->pools.items[piece->pool].used += piece->quantity;
    }
    for (int i = 0; i < model->pools.count; i++) {
        struct model_pool *pool = &model->pools.items[i];
        int sale = model_find_sale(model, pool->sale);
        bool is_closed = model->sales.items[sale].state == sale_state_CLOSED;
        pool->left = is_closed ? 0 : pool->size - pool->used;
        model->stocks.items[pool->stock].pooled += pool->left;
    }
    for (int i = 0; i < model->stocks.count; i++) {
        struct model_stock *stock = &model->stocks.items[i];
        stock->available =
            stock->on_hand - stock->pooled - stock->reserved - stock->committed - stock->unsellable;
    }
}

static int64_t clamped(int64_t amount)
{
    return amount > 0 ? amount : 0;
}

int64_t model_could_give(const struct model *model, uint32_t sale, uint64_t sku, uint32_t warehouse)
{
    int stock = model_find_stock(model, sku, warehouse);
    if (stock == MODEL_NONE || model_is_shut(model, warehouse))
        return 0;
    int pool = model_find_pool(model, sale, sku, warehouse);
    int of_sale = model_find_sale(model, sale);
    if (pool != MODEL_NONE && model->sales.items[of_sale].state != sale_state_CLOSED)
        return model->pools.items[pool].left;
    return clamped(model->stocks.items[stock].available);
}

void model_sku_put(struct model *model, const struct model_request *request,
                   struct model_reply *reply)
{
    const struct sku_put_body *body = request->body;
    int same_name = find_sku_by_name(model, &body->name);
    int known = model_find_sku(model, body->sku);
    unsigned invalid = 0;
    int64_t owner = 0;
    if (body->sku == 0)
        invalid = sku_put_field_sku;
    else if (body->price < 0 || body->price > PRICE_MAX)
        invalid = sku_put_field_price;
    else if (body->currency == 0 || body->currency > CURRENCY_MAX)
        invalid = sku_put_field_currency;
    else if (same_name != MODEL_NONE && same_name != known)
        invalid = sku_put_field_name;
    if (invalid == sku_put_field_name)
        owner = (int64_t)model->skus.items[same_name].sku;
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, owner);
        return;
    }
    model_accept(model, reply);
    if (known == MODEL_NONE) {
        known = model->skus.count;
        *MODEL_ADD(&model->skus) = (struct model_sku){.sku = body->sku};
    }
    model->skus.items[known].price = body->price;
    model->skus.items[known].currency = body->currency;
    model->skus.items[known].name = body->name;
    model_answer(model, reply, sizeof(struct seq_reply_body));
}

static int64_t promised(const struct model_stock *stock)
{
    return stock->pooled + stock->reserved + stock->committed + stock->unsellable;
}

/* The pair's present values, all zero when there is no such pair. */
static struct model_stock stock_as_is(struct model *model, uint64_t sku, uint32_t warehouse)
{
    model_sum_stock(model);
    int index = model_find_stock(model, sku, warehouse);
    if (index == MODEL_NONE)
        return (struct model_stock){.sku = sku, .warehouse = warehouse};
    return model->stocks.items[index];
}

bool model_is_too_much(const struct model *model, int64_t more)
{
    wide total = more;
    for (int i = 0; i < model->stocks.count; i++)
        total += model->stocks.items[i].on_hand;
    return more > 0 && total > STOCK_TOTAL_MAX;
}

int model_stock_comes_to_be(struct model *model, uint64_t sku, uint32_t warehouse)
{
    int index = model_find_stock(model, sku, warehouse);
    if (index != MODEL_NONE)
        return index;
    *MODEL_ADD(&model->stocks) = (struct model_stock){.sku = sku, .warehouse = warehouse};
    return model->stocks.count - 1;
}

static struct model_stock *stock_pair(struct model *model, uint64_t sku, uint32_t warehouse)
{
    int index = model_stock_comes_to_be(model, sku, warehouse);
    return &model->stocks.items[index];
}

static void answer_level(struct model *model, struct model_reply *reply,
                         const struct model_stock *stock)
{
    model_sum_stock(model);
    struct stock_level_body *level = model_answer(model, reply, sizeof *level);
    level->on_hand = stock->on_hand;
    level->available = stock->available;
}

static void stock_becomes(struct model *model, struct model_reply *reply, uint64_t sku,
                          uint32_t warehouse, int64_t on_hand)
{
    struct model_stock *stock = stock_pair(model, sku, warehouse);
    stock->on_hand = on_hand;
    answer_level(model, reply, stock);
}

void model_stock_adjust(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    const struct stock_adjust_body *body = request->body;
    unsigned invalid = 0;
    if (body->sku == 0)
        invalid = stock_adjust_field_sku;
    else if (body->delta == 0)
        invalid = stock_adjust_field_delta;
    else if (body->warehouse == 0)
        invalid = stock_adjust_field_warehouse;
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    if (model_find_sku(model, body->sku) == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, body->sku, 0);
        return;
    }
    struct model_stock stock = stock_as_is(model, body->sku, body->warehouse);
    if (body->delta < 0 && (wide)stock.available + body->delta < 0) {
        model_reject(model, reply, OUTCOME_STOCK_BELOW_RESERVED, body->sku, promised(&stock));
        return;
    }
    if ((wide)stock.on_hand + body->delta > QUANTITY_MAX) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, QUANTITY_MAX);
        return;
    }
    if (model_is_too_much(model, body->delta)) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, STOCK_TOTAL_MAX);
        return;
    }
    model_accept(model, reply);
    stock_becomes(model, reply, body->sku, body->warehouse, stock.on_hand + body->delta);
}

void model_answer_orders_concerned(const struct model *model, struct model_reply *reply,
                                   uint64_t sku, uint32_t warehouse)
{
    struct stock_level_body *level = (struct stock_level_body *)reply->words;
    int stock = model_find_stock(model, sku, warehouse);
    reply->size = sizeof *level;
    level->order_count = 0;
    level->orders_concerned = 0;
    if (level->available >= 0)
        return;
    /* Pieces are in the order in which they were taken, those of one order next to each other. */
    int last = MODEL_NONE;
    for (int p = model->pieces.count - 1; p >= 0; p--) {
        const struct model_piece *piece = &model->pieces.items[p];
        const struct model_order *order = &model->orders.items[piece->order];
        if (piece->stock != stock || piece->quantity == piece->shipped ||
            !model_order_is_live(order) || piece->order == last)
            continue;
        last = piece->order;
        level->orders_concerned++;
        if (level->order_count == CONCERNED_ORDERS_MAX)
            continue;
        level->order_count++;
        struct order_id_body *row = model_answer_row(reply, sizeof *row);
        row->order = order->order;
    }
}

void model_stock_set(struct model *model, const struct model_request *request,
                     struct model_reply *reply)
{
    const struct stock_set_body *body = request->body;
    unsigned invalid = 0;
    if (body->sku == 0)
        invalid = stock_set_field_sku;
    else if (body->on_hand < 0 || body->on_hand > QUANTITY_MAX)
        invalid = stock_set_field_on_hand;
    else if (body->warehouse == 0)
        invalid = stock_set_field_warehouse;
    else if ((body->flags & stock_flags_DISCARD) != 0)
        invalid = stock_set_field_flags;
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    if (model_find_sku(model, body->sku) == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, body->sku, 0);
        return;
    }
    struct model_stock stock = stock_as_is(model, body->sku, body->warehouse);
    if (body->expected != stock.on_hand) {
        model_reject(model, reply, OUTCOME_STALE_VERSION, 0, stock.on_hand);
        return;
    }
    if (body->on_hand < promised(&stock) && (body->flags & stock_flags_ALLOW_DEFICIT) == 0) {
        model_reject(model, reply, OUTCOME_STOCK_BELOW_RESERVED, body->sku, promised(&stock));
        return;
    }
    if (model_is_too_much(model, body->on_hand - stock.on_hand)) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, STOCK_TOTAL_MAX);
        return;
    }
    model_accept(model, reply);
    stock_becomes(model, reply, body->sku, body->warehouse, body->on_hand);
    model_answer_orders_concerned(model, reply, body->sku, body->warehouse);
}

void model_answer_levels(struct model *model, struct model_reply *reply,
                         const struct stock_transfer_body *body)
{
    const uint32_t warehouses[] = {body->from, body->to};
    struct stock_transfer_reply_body *answer = (struct stock_transfer_reply_body *)reply->words;
    model_sum_stock(model);
    reply->size = sizeof *answer;
    answer->level_count = 2;
    for (int i = 0; i < 2; i++) {
        int stock = model_find_stock(model, body->sku, warehouses[i]);
        struct level_body *row = model_answer_row(reply, sizeof *row);
        row->warehouse = warehouses[i];
        row->on_hand = model->stocks.items[stock].on_hand;
        row->available = model->stocks.items[stock].available;
    }
}

static unsigned invalid_transfer(const struct stock_transfer_body *body)
{
    if (body->sku == 0)
        return stock_transfer_field_sku;
    if (body->quantity <= 0 || body->quantity > QUANTITY_MAX)
        return stock_transfer_field_quantity;
    if (body->from == 0)
        return stock_transfer_field_from;
    return body->to == 0 || body->to == body->from ? stock_transfer_field_to : 0;
}

void model_stock_transfer(struct model *model, const struct model_request *request,
                          struct model_reply *reply)
{
    const struct stock_transfer_body *body = request->body;
    unsigned invalid = invalid_transfer(body);
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    if (model_find_sku(model, body->sku) == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, body->sku, 0);
        return;
    }
    struct model_stock from = stock_as_is(model, body->sku, body->from);
    struct model_stock to = stock_as_is(model, body->sku, body->to);
    if (clamped(from.available) < body->quantity) {
        model_reject(model, reply, OUTCOME_INSUFFICIENT_STOCK, body->sku, clamped(from.available));
        return;
    }
    if ((wide)to.on_hand + body->quantity > QUANTITY_MAX) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, QUANTITY_MAX);
        return;
    }
    model_accept(model, reply);
    stock_pair(model, body->sku, body->from)->on_hand -= body->quantity;
    stock_pair(model, body->sku, body->to)->on_hand += body->quantity;
    model_answer(model, reply, sizeof(struct stock_transfer_reply_body));
    model_answer_levels(model, reply, body);
}

static unsigned invalid_unsellable(const struct stock_unsellable_body *body)
{
    if (body->sku == 0)
        return stock_unsellable_field_sku;
    if (body->delta == 0)
        return stock_unsellable_field_delta;
    if (body->warehouse == 0)
        return stock_unsellable_field_warehouse;
    bool is_right = body->flags == 0 || (body->flags == stock_flags_DISCARD && body->delta < 0);
    return is_right ? 0 : stock_unsellable_field_flags;
}

void model_stock_unsellable(struct model *model, const struct model_request *request,
                            struct model_reply *reply)
{
    const struct stock_unsellable_body *body = request->body;
    unsigned invalid = invalid_unsellable(body);
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    if (model_find_sku(model, body->sku) == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, body->sku, 0);
        return;
    }
    struct model_stock stock = stock_as_is(model, body->sku, body->warehouse);
    int64_t most = body->delta > 0 ? clamped(stock.available) : stock.unsellable;
    if (body->flags == stock_flags_DISCARD && most > stock.on_hand)
        most = stock.on_hand;
    wide asked = body->delta > 0 ? (wide)body->delta : -(wide)body->delta;
    if (asked > most) {
        model_reject(model, reply, OUTCOME_INSUFFICIENT_STOCK, body->sku, most);
        return;
    }
    model_accept(model, reply);
    struct model_stock *pair = stock_pair(model, body->sku, body->warehouse);
    pair->unsellable += body->delta;
    if (body->flags == stock_flags_DISCARD)
        pair->on_hand += body->delta;
    answer_level(model, reply, pair);
}

static void answer_stock(const struct model *model, struct model_reply *reply, int sku,
                         uint32_t warehouse)
{
    struct stock_row_body *row = model_answer_row(reply, sizeof *row);
    row->sku = model->skus.items[sku].sku;
    row->warehouse = warehouse;
    row->currency = model->skus.items[sku].currency;
    row->price = model->skus.items[sku].price;
    for (int i = 0; i < model->stocks.count; i++) {
        const struct model_stock *stock = &model->stocks.items[i];
        if (stock->sku != row->sku || (warehouse != 0 && stock->warehouse != warehouse))
            continue;
        row->on_hand += stock->on_hand;
        bool gives = !model_is_shut(model, stock->warehouse);
        if (warehouse != 0)
            row->available += stock->available;
        else
            row->available += gives ? clamped(stock->available) : 0;
        row->pooled += stock->pooled;
        row->reserved_for_orders += stock->reserved;
        row->committed += stock->committed;
        row->unsellable += stock->unsellable;
    }
}

void model_stock_get(struct model *model, const struct model_request *request,
                     struct model_reply *reply)
{
    const struct stock_get_body *body = request->body;
    const struct item_body *items = (const struct item_body *)(body + 1);
    bool has_name = body->name.bytes[0] != '\0';
    int row_count = body->item_count + has_name;
    if (row_count == 0 || row_count > STOCK_ITEMS_MAX) {
        model_reject(model, reply, OUTCOME_INVALID, stock_get_field_item_count, 0);
        return;
    }
    for (int i = 0; i < body->item_count; i++) {
        if (items[i].sku == 0) {
            model_reject(model, reply, OUTCOME_INVALID, ROW_FIELD + item_field_sku, 0);
            return;
        }
    }
    int named = find_sku_by_name(model, &body->name);
    if (has_name && named == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    model_sum_stock(model);
    struct stock_get_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->stock_count = (uint16_t)row_count;
    if (has_name)
        answer_stock(model, reply, named, 0);
    for (int i = 0; i < body->item_count; i++) {
        int sku = model_find_sku(model, items[i].sku);
        if (sku == MODEL_NONE) {
            model_reject(model, reply, OUTCOME_NOT_FOUND, items[i].sku, 0);
            return;
        }
        answer_stock(model, reply, sku, items[i].warehouse);
    }
}
