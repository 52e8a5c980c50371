/* Units on their way: shipped, delivered, returned.
 *
 *   committed --order.ship--> shipped --order.deliver--> delivered
 *                                |
 *                                +--order.return--> available, or unsellable
 *
 * A command is planned first: how many units of each of the order's pieces it moves, and for a
 * return where they arrive. Then its room is looked at, and then it is written. Shipped units stay
 * sold: they count in their sale, for its pools and its limits, as they did before, and so do those
 * that come back. */
#include "engine/account.h"
#include "engine/earning.h"
#include "engine/keys.h"
#include "engine/order.h"
#include "engine/stock.h"
#include "engine/warehouse.h"

enum way { WAY_SHIP, WAY_DELIVER, WAY_RETURN };

/* Units of each of the order's pieces. */
struct load {
    uint32_t units[ORDER_PIECES_MAX];
    uint64_t sum;
};

/* What comes back to a (SKU, warehouse). */
struct arrival {
    uint32_t sku;
    uint32_t warehouse;
    uint32_t stock; /* 0: it is not there yet */
    int64_t restocked;
    int64_t scrapped;
};

/* Every row may name a warehouse of its own, and every piece be of another one. */
enum { ARRIVALS_MAX = 2 * ORDER_PIECES_MAX };

struct arrivals {
    struct arrival at[ARRIVALS_MAX];
    uint32_t count;
    uint32_t count_new; /* of those that are not there yet */
};

/* Units of a piece that may go this way. */
static uint32_t piece_may(const struct engine *engine, const struct order *order, uint32_t piece,
                          enum way way)
{
    const struct fulfilment *fulfilment = order_fulfilment(engine, order, piece);
    if (way == WAY_SHIP)
        return piece_unshipped(engine, order, piece);
    return fulfilment->shipped -
           (way == WAY_DELIVER ? fulfilment->delivered : fulfilment->returned);
}

/* Plans a row: units of its line, from one warehouse or (0) from any, in the order of the pieces.
 * False when there are too few: *left is how many there were. */
static bool load_take(const struct engine *engine, const struct order *order, enum way way,
                      const struct units_body *row, struct load *load, int64_t *left)
{
    struct pieces pieces = order_pieces(engine, order);
    uint32_t missing = row->quantity;
    *left = 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.first[i];
        bool usable =
            row->warehouse == 0 || row->warehouse == stock_at(engine, piece->stock)->warehouse;
        if (piece->line + 1u != row->line || !usable)
            continue;
        uint32_t may = piece_may(engine, order, i, way) - load->units[i];
        uint32_t taken = may < missing ? may : missing;
        load->units[i] += taken;
        load->sum += taken;
        missing -= taken;
        *left += may;
    }
    return missing == 0;
}

/* Plans the rows, or without rows all that may go this way. */
static enum outcome load_plan(struct engine *engine, const struct order *order, enum way way,
                              const struct units_body *rows, uint32_t count, struct load *load)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t left = 0;
        if (rows[i].line > order->line_count)
            return reject_field(engine, ROW_FIELD + units_field_line);
        if (!load_take(engine, order, way, &rows[i], load, &left))
            return reject(engine, OUTCOME_INVALID, ROW_FIELD + units_field_quantity, left);
    }
    for (uint32_t i = 0; count == 0 && i < order_pieces(engine, order).count; i++) {
        load->units[i] = piece_may(engine, order, i, way);
        load->sum += load->units[i];
    }
    return OUTCOME_OK;
}

/* A deficit may have taken from the warehouse what was sold. */
static enum outcome check_on_hand(struct engine *engine, const struct order *order,
                                  const struct load *load)
{
    struct pieces pieces = order_pieces(engine, order);
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct stock *stock = stock_at(engine, pieces.first[i].stock);
        int64_t units = 0;
        for (uint32_t j = 0; load->units[i] > 0 && j < pieces.count; j++)
            units += pieces.first[j].stock == pieces.first[i].stock ? load->units[j] : 0;
        if (units > stock->on_hand)
            return reject(engine, OUTCOME_INSUFFICIENT_STOCK, sku_at(engine, stock->sku)->sku,
                          stock->on_hand);
    }
    return OUTCOME_OK;
}

/* The order that a command names, and may be changed this way; else the rejection. */
static enum outcome find_order(struct engine *engine, struct id id, enum way way, uint32_t *index)
{
    static const uint32_t states[] = {
        [WAY_SHIP] = 1u << order_state_CONFIRMED | 1u << order_state_PARTIALLY_SHIPPED,
        [WAY_DELIVER] = 1u << order_state_PARTIALLY_SHIPPED | 1u << order_state_SHIPPED,
        [WAY_RETURN] = 1u << order_state_PARTIALLY_SHIPPED | 1u << order_state_SHIPPED |
                       1u << order_state_DELIVERED,
    };
    *index = order_find(engine, id);
    if (*index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct order *order = order_at(engine, *index);
    if ((states[way] >> order->state & 1) == 0)
        return order_reject_state(engine, order);
    return OUTCOME_OK;
}

/* The shape of a return's row begins like that of the others. */
static_assert(offsetof(struct returned_body, line) == offsetof(struct units_body, line) &&
                  offsetof(struct returned_body, quantity) ==
                      offsetof(struct units_body, quantity) &&
                  offsetof(struct returned_body, warehouse) ==
                      offsetof(struct units_body, warehouse) &&
                  (int)returned_field_line == (int)units_field_line &&
                  (int)returned_field_quantity == (int)units_field_quantity,
              "both are planned as units");

static enum outcome check_row(struct engine *engine, uint16_t line, uint32_t quantity)
{
    if (line == 0)
        return reject_field(engine, ROW_FIELD + units_field_line);
    if (quantity == 0)
        return reject_field(engine, ROW_FIELD + units_field_quantity);
    return OUTCOME_OK;
}

static enum outcome check_ship_body(struct engine *engine, const struct order_ship_body *body,
                                    const struct units_body *rows)
{
    enum outcome outcome = OUTCOME_OK;
    if (id_is_zero(body->order))
        return reject_field(engine, order_ship_field_order);
    for (uint32_t i = 0; outcome == OUTCOME_OK && i < body->units_count; i++)
        outcome = check_row(engine, rows[i].line, rows[i].quantity);
    return outcome;
}

/* The order's state once the load has gone this way. */
static uint8_t state_after(const struct engine *engine, const struct order *order, enum way way,
                           const struct load *load)
{
    struct pieces pieces = order_pieces(engine, order);
    uint64_t left = 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct fulfilment *fulfilment = order_fulfilment(engine, order, i);
        uint32_t gone = way == WAY_SHIP ? fulfilment->shipped : fulfilment->delivered;
        left += pieces.first[i].quantity - gone - load->units[i];
    }
    if (way == WAY_SHIP)
        return left == 0 ? order_state_SHIPPED : order_state_PARTIALLY_SHIPPED;
    return left == 0 ? order_state_DELIVERED : order->state;
}

static void write_load(struct engine *engine, uint32_t index, enum way way, const struct load *load)
{
    struct fulfilment *fulfilments = order_fulfilments_edit(engine, index);
    struct pieces pieces = order_pieces(engine, order_at(engine, index));
    for (uint32_t i = 0; i < pieces.count; i++) {
        struct fulfilment *fulfilment = &fulfilments[i];
        uint32_t units = load->units[i];
        if (units == 0)
            continue;
        if (way == WAY_RETURN)
            fulfilment->returned += units;
        else if (way == WAY_DELIVER)
            fulfilment->delivered += units;
        else
            fulfilment->shipped += units;
        fulfilment_digest(engine, fulfilment);
    }
}

/* What was shipped is in the warehouse no longer. */
static void write_departure(struct engine *engine, uint32_t index, const struct load *load)
{
    struct pieces pieces = order_pieces(engine, order_at(engine, index));
    for (uint32_t i = 0; i < pieces.count; i++) {
        if (load->units[i] == 0)
            continue;
        struct stock *stock = stock_edit(engine, pieces.first[i].stock);
        stock->committed -= load->units[i];
        stock->on_hand -= load->units[i];
        stock_digest(engine, pieces.first[i].stock);
    }
    engine->on_hand_total -= (int64_t)load->sum;
}

static void write_parcel(struct engine *engine, uint32_t index, const struct order_ship_body *body,
                         enum way way, const struct load *load)
{
    struct account *account = order_account_edit(engine, index);
    uint32_t parcel = parcel_alloc(engine);
    TILL_ASSERT(parcel != 0);
    *parcel_new(engine, parcel) = (struct parcel){
        .tracking = body->tracking,
        .units = load->sum,
        .order = index,
        .next = account->parcels,
        .version = order_at(engine, index)->version,
        .courier = body->courier,
        .state = way == WAY_SHIP ? order_state_SHIPPED : order_state_DELIVERED,
    };
    account->parcels = parcel;
    digest_mix(engine, checksum64(&body->tracking, sizeof body->tracking), body->courier);
}

static enum outcome ship_check_room(struct engine *engine, const struct order *order, uint8_t state)
{
    struct points_need need = {.takes = 0};
    if (state == order_state_DELIVERED)
        earning_need_delivered(engine, order, &need);
    if (!order_has_step_room(engine, order))
        return REJECT_FULL(engine, steps);
    if (parcel_room(engine) == 0)
        return REJECT_FULL(engine, parcels);
    enum outcome outcome = check_points_room(engine, &need);
    return outcome == OUTCOME_OK ? fulfilments_check_room(engine, order) : outcome;
}

/* order.ship and order.deliver, which differ in what they move. */
static enum outcome ship(struct engine *engine, struct command *command, enum way way)
{
    const struct order_ship_body *body = command->body;
    const struct units_body *rows = (const struct units_body *)(body + 1);
    struct load load = {.sum = 0};
    uint32_t index = 0;
    enum outcome outcome = check_ship_body(engine, body, rows);
    if (outcome == OUTCOME_OK)
        outcome = find_order(engine, body->order, way, &index);
    if (outcome != OUTCOME_OK)
        return outcome;
    const struct order *order = order_at(engine, index);
    outcome = load_plan(engine, order, way, rows, body->units_count, &load);
    if (outcome == OUTCOME_OK && load.sum == 0)
        return order_reject_state(engine, order);
    if (outcome == OUTCOME_OK && way == WAY_SHIP)
        outcome = check_on_hand(engine, order, &load);
    uint8_t state = outcome == OUTCOME_OK ? state_after(engine, order, way, &load) : 0;
    if (outcome == OUTCOME_OK)
        outcome = ship_check_room(engine, order, state);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    if (way == WAY_SHIP)
        warehouses_leave(engine, index);
    write_load(engine, index, way, &load);
    if (way == WAY_SHIP) {
        warehouses_enter(engine, index);
        write_departure(engine, index, &load);
    }
    order_enter(engine, index, state);
    write_parcel(engine, index, body, way, &load);
    if (state == order_state_DELIVERED)
        earning_delivered(engine, index);
    order_status_reply(engine, index,
                       reply_begin(engine, command, sizeof(struct order_status_body)));
    return OUTCOME_OK;
}

enum outcome handle_order_ship(struct engine *engine, struct command *command)
{
    return ship(engine, command, WAY_SHIP);
}

enum outcome handle_order_deliver(struct engine *engine, struct command *command)
{
    return ship(engine, command, WAY_DELIVER);
}

static enum outcome check_return_body(struct engine *engine, const struct order_return_body *body,
                                      const struct returned_body *rows)
{
    enum outcome outcome = OUTCOME_OK;
    if (id_is_zero(body->order))
        return reject_field(engine, order_return_field_order);
    if (body->returned_count == 0)
        return reject_field(engine, order_return_field_returned_count);
    for (uint32_t i = 0; outcome == OUTCOME_OK && i < body->returned_count; i++)
        outcome = check_row(engine, rows[i].line, rows[i].quantity);
    return outcome;
}

static void arrivals_add(const struct engine *engine, struct arrivals *arrivals, uint32_t sku,
                         uint32_t warehouse, uint8_t fate, uint32_t units)
{
    uint32_t i = 0;
    while (i < arrivals->count &&
           (arrivals->at[i].sku != sku || arrivals->at[i].warehouse != warehouse))
        i++;
    TILL_ASSERT(i < ARRIVALS_MAX);
    struct arrival *arrival = &arrivals->at[i];
    if (i == arrivals->count) {
        arrivals->count++;
        *arrival = (struct arrival){
            .sku = sku, .warehouse = warehouse, .stock = stock_find(engine, sku, warehouse)};
        arrivals->count_new += arrival->stock == 0;
    }
    if (fate == fate_RESTOCK)
        arrival->restocked += units;
    else
        arrival->scrapped += units;
}

/* Plans the rows: of which pieces the units are, and where they arrive. */
static enum outcome plan_return(struct engine *engine, const struct order *order,
                                const struct order_return_body *body, struct load *load,
                                struct arrivals *arrivals)
{
    const struct returned_body *rows = (const struct returned_body *)(body + 1);
    struct pieces pieces = order_pieces(engine, order);
    for (uint32_t i = 0; i < body->returned_count; i++) {
        struct load before = *load;
        struct units_body units = {.line = rows[i].line, .quantity = rows[i].quantity};
        enum outcome outcome = load_plan(engine, order, WAY_RETURN, &units, 1, load);
        if (outcome != OUTCOME_OK)
            return outcome;
        for (uint32_t j = 0; j < pieces.count; j++) {
            const struct stock *stock = stock_at(engine, pieces.first[j].stock);
            uint32_t warehouse = rows[i].warehouse != 0 ? rows[i].warehouse : stock->warehouse;
            uint32_t taken = load->units[j] - before.units[j];
            if (taken > 0)
                arrivals_add(engine, arrivals, stock->sku, warehouse, rows[i].fate, taken);
        }
    }
    return OUTCOME_OK;
}

/* Warehouses that nothing was ever in. */
static uint32_t count_new_warehouses(const struct engine *engine, const struct arrivals *arrivals)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < arrivals->count; i++) {
        uint32_t warehouse = arrivals->at[i].warehouse;
        uint32_t first = 0;
        while (arrivals->at[first].warehouse != warehouse)
            first++;
        count += first == i && warehouse_find(engine, warehouse) == 0;
    }
    return count;
}

static enum outcome check_arrivals(struct engine *engine, const struct arrivals *arrivals,
                                   const struct load *load)
{
    for (uint32_t i = 0; i < arrivals->count; i++) {
        const struct arrival *arrival = &arrivals->at[i];
        const struct stock *stock = stock_at(engine, arrival->stock);
        if (arrival->restocked + arrival->scrapped > QUANTITY_MAX - stock->on_hand ||
            arrival->scrapped > QUANTITY_MAX - stock_promised(stock))
            return reject(engine, OUTCOME_OVERFLOW, 0, QUANTITY_MAX);
    }
    if ((int64_t)load->sum > STOCK_TOTAL_MAX - engine->on_hand_total)
        return reject(engine, OUTCOME_OVERFLOW, 0, STOCK_TOTAL_MAX);
    if (arena_room(&engine->stocks) < arrivals->count_new)
        return REJECT_FULL(engine, stocks);
    if (arena_room(&engine->warehouses) < count_new_warehouses(engine, arrivals))
        return REJECT_FULL(engine, warehouses);
    return OUTCOME_OK;
}

static void write_arrivals(struct engine *engine, const struct arrivals *arrivals)
{
    for (uint32_t i = 0; i < arrivals->count; i++) {
        const struct arrival *arrival = &arrivals->at[i];
        uint32_t index = arrival->stock != 0 ? arrival->stock
                                             : stock_add(engine, arrival->sku, arrival->warehouse);
        struct stock *stock = stock_edit(engine, index);
        stock->on_hand += arrival->restocked + arrival->scrapped;
        stock->available += arrival->restocked;
        stock->unsellable += arrival->scrapped;
        engine->on_hand_total += arrival->restocked + arrival->scrapped;
        stock_digest(engine, index);
    }
}

enum outcome handle_order_return(struct engine *engine, struct command *command)
{
    const struct order_return_body *body = command->body;
    struct load load = {.sum = 0};
    struct arrivals arrivals = {.count = 0};
    uint32_t index = 0;
    enum outcome outcome =
        check_return_body(engine, body, (const struct returned_body *)(body + 1));
    if (outcome == OUTCOME_OK)
        outcome = find_order(engine, body->order, WAY_RETURN, &index);
    if (outcome != OUTCOME_OK)
        return outcome;
    const struct order *order = order_at(engine, index);
    outcome = plan_return(engine, order, body, &load, &arrivals);
    if (outcome == OUTCOME_OK)
        outcome = check_arrivals(engine, &arrivals, &load);
    if (outcome == OUTCOME_OK && !order_has_step_room(engine, order))
        outcome = REJECT_FULL(engine, steps);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    write_load(engine, index, WAY_RETURN, &load);
    write_arrivals(engine, &arrivals);
    order_step(engine, index);
    order_status_reply(engine, index,
                       reply_begin(engine, command, sizeof(struct order_status_body)));
    return OUTCOME_OK;
}

/* The parcels of an order from one of them on, to older ones; returns the one behind them, 0 when
 * there is none. One that is not of this order has none behind it. */
static uint32_t parcel_rows(const struct engine *engine, uint32_t index, uint32_t at,
                            struct parcel_body rows[PARCEL_ROWS_MAX], uint16_t *count)
{
    for (*count = 0; parcel_at(engine, at)->order == index; at = parcel_at(engine, at)->next) {
        const struct parcel *parcel = parcel_at(engine, at);
        struct step_body step = order_step_at(engine, order_at(engine, index), parcel->version);
        if (*count == PARCEL_ROWS_MAX)
            return at;
        rows[(*count)++] = (struct parcel_body){
            .seq = step.seq,
            .time = step.time,
            .state = parcel->state,
            .version = parcel->version,
            .units = parcel->units,
            .courier = parcel->courier,
            .tracking = parcel->tracking,
        };
    }
    return 0;
}

/* A cursor is the number of the parcel that the page begins with. */
enum outcome handle_order_parcels(struct engine *engine, struct command *command)
{
    const struct order_page_body *body = command->body;
    if (id_is_zero(body->order))
        return reject_field(engine, order_page_field_order);
    uint32_t index = order_find(engine, body->order);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    struct parcel_body rows[PARCEL_ROWS_MAX];
    uint16_t count = 0;
    uint32_t at = order_account(engine, order_at(engine, index))->parcels;
    if (body->cursor != 0)
        at = body->cursor <= engine->parcels.count ? (uint32_t)body->cursor : 0;
    uint32_t next = parcel_rows(engine, index, at, rows, &count);
    struct order_parcels_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    reply->seq = engine->seq;
    reply->next = next;
    reply->parcel_count = count;
    return OUTCOME_OK;
}
