/* The model's orders on their way: shipped, delivered, returned.
 *
 * Rows are taken one after the other on a copy of the order's pieces; what is refused leaves the
 * pieces as they were. */
#include <string.h>

#include "tests/model/model.h"

enum { WAY_SHIP, WAY_DELIVER, WAY_RETURN };

struct way_row {
    uint16_t line;
    uint32_t quantity;
    uint32_t warehouse; /* to take from; 0: any */
};

static bool state_allows(uint8_t state, int way)
{
    bool is_partly = state == order_state_PARTIALLY_SHIPPED;
    if (way == WAY_SHIP)
        return is_partly || state == order_state_CONFIRMED;
    if (way == WAY_DELIVER)
        return is_partly || state == order_state_SHIPPED;
    return is_partly || state == order_state_SHIPPED || state == order_state_DELIVERED;
}

static int64_t *counted(struct model_piece *piece, int way)
{
    if (way == WAY_SHIP)
        return &piece->shipped;
    return way == WAY_DELIVER ? &piece->delivered : &piece->returned;
}

static int64_t bound_of(const struct model_piece *piece, int way)
{
    return way == WAY_SHIP ? piece->quantity : piece->shipped;
}

/* Takes a row from the copies of the pieces; returns how many units there were. */
static int64_t take_row(const struct model *model, struct model_piece *pieces, int count, int way,
                        const struct way_row *row)
{
    int64_t there = 0;
    int64_t missing = row->quantity;
    for (int p = 0; p < count; p++) {
        uint32_t warehouse = model->stocks.items[pieces[p].stock].warehouse;
        if (pieces[p].line + 1 != row->line || (row->warehouse != 0 && row->warehouse != warehouse))
            continue;
        int64_t may = bound_of(&pieces[p], way) - *counted(&pieces[p], way);
        int64_t taken = may < missing ? may : missing;
        *counted(&pieces[p], way) += taken;
        missing -= taken;
        there += may;
    }
    return there;
}

/* The order that may go this way; MODEL_NONE when the request is answered. */
static int find_for(const struct model *model, struct id id, unsigned field, int way,
                    struct model_reply *reply)
{
    int index = model_named_order(model, id, field, reply);
    if (index == MODEL_NONE)
        return MODEL_NONE;
    const struct model_order *order = &model->orders.items[index];
    uint8_t state = model_hold_has_ended(model, order) ? order_state_EXPIRED : order->state;
    if (state_allows(state, way))
        return index;
    model_reject(model, reply, OUTCOME_BAD_TRANSITION, state, 0);
    return MODEL_NONE;
}

/* False when the row cannot be taken, which has been answered. */
static bool row_is_taken(const struct model *model, const struct model_order *order,
                         struct model_piece *pieces, int way, const struct way_row *row,
                         struct model_reply *reply)
{
    if (row->line > order->line_count) {
        model_reject(model, reply, OUTCOME_INVALID, ROW_FIELD + units_field_line, 0);
        return false;
    }
    int64_t there = take_row(model, pieces, order->piece_count, way, row);
    if (there >= row->quantity)
        return true;
    model_reject(model, reply, OUTCOME_INVALID, ROW_FIELD + units_field_quantity, there);
    return false;
}

static uint8_t state_by_pieces(const struct model_piece *pieces, int count)
{
    bool all_shipped = true;
    bool all_delivered = true;
    for (int p = 0; p < count; p++) {
        all_shipped &= pieces[p].shipped == pieces[p].quantity;
        all_delivered &= pieces[p].delivered == pieces[p].quantity;
    }
    if (all_delivered)
        return order_state_DELIVERED;
    return all_shipped ? order_state_SHIPPED : order_state_PARTIALLY_SHIPPED;
}

/* The first piece whose warehouse has not the units that would leave it, if any. */
static bool warehouses_have(struct model *model, const struct model_piece *before,
                            const struct model_piece *after, int count, struct model_reply *reply)
{
    for (int p = 0; p < count; p++) {
        const struct model_stock *stock = &model->stocks.items[after[p].stock];
        int64_t leaving = 0;
        for (int q = 0; q < count; q++) {
            if (after[q].stock == after[p].stock)
                leaving += after[q].shipped - before[q].shipped;
        }
        if (after[p].shipped == before[p].shipped || leaving <= stock->on_hand)
            continue;
        model_reject(model, reply, OUTCOME_INSUFFICIENT_STOCK, stock->sku, stock->on_hand);
        return false;
    }
    return true;
}

static void ship_or_deliver(struct model *model, const struct model_request *request,
                            struct model_reply *reply, int way)
{
    const struct order_ship_body *body = request->body;
    const struct units_body *rows = (const struct units_body *)(body + 1);
    for (int i = 0; !id_is_zero(body->order) && i < body->units_count; i++) {
        unsigned field = rows[i].line == 0 ? units_field_line : units_field_quantity;
        if (rows[i].line != 0 && rows[i].quantity != 0)
            continue;
        model_reject(model, reply, OUTCOME_INVALID, ROW_FIELD + field, 0);
        return;
    }
    int index = find_for(model, body->order, order_ship_field_order, way, reply);
    if (index == MODEL_NONE)
        return;
    struct model_order *order = &model->orders.items[index];
    struct model_piece *before = model->pieces.items + order->piece_first;
    struct model_piece after[ORDER_PIECES_MAX];
    int64_t moved = 0;
    memcpy(after, before, (size_t)order->piece_count * sizeof after[0]);
    for (int i = 0; i < body->units_count; i++) {
        struct way_row row = {rows[i].line, rows[i].quantity, rows[i].warehouse};
        if (!row_is_taken(model, order, after, way, &row, reply))
            return;
    }
    for (int p = 0; p < order->piece_count; p++) {
        if (body->units_count == 0)
            *counted(&after[p], way) = bound_of(&after[p], way);
        moved += *counted(&after[p], way) - *counted(&before[p], way);
    }
    if (moved == 0) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, order->state, 0);
        return;
    }
    if (way == WAY_SHIP && !warehouses_have(model, before, after, order->piece_count, reply))
        return;
    model_accept(model, reply);
    for (int p = 0; p < order->piece_count; p++)
        model->stocks.items[after[p].stock].on_hand -= after[p].shipped - before[p].shipped;
    memcpy(before, after, (size_t)order->piece_count * sizeof after[0]);
    order->state = state_by_pieces(after, order->piece_count);
    model_add_step(model, index);
    *MODEL_ADD(&model->parcels) = (struct model_parcel){
        .order = index,
        .body =
            {
                .seq = model->seq,
                .time = model->now,
                .state = way == WAY_SHIP ? order_state_SHIPPED : order_state_DELIVERED,
                .version = order->version,
                .units = (uint64_t)moved,
                .courier = body->courier,
                .tracking = body->tracking,
            },
    };
    if (order->state == order_state_DELIVERED)
        model_earning_delivered(model, index);
    model_answer_status(model, reply, index);
}

void model_order_ship(struct model *model, const struct model_request *request,
                      struct model_reply *reply)
{
    ship_or_deliver(model, request, reply, WAY_SHIP);
}

void model_order_deliver(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    ship_or_deliver(model, request, reply, WAY_DELIVER);
}

/* Where units of a row arrive. */
struct model_arrival {
    uint64_t sku;
    uint32_t warehouse;
    int64_t restocked;
    int64_t scrapped;
};

static void arrive(struct model_arrival *arrivals, int *count, uint64_t sku, uint32_t warehouse,
                   uint8_t fate, int64_t units)
{
    int at = 0;
    while (at < *count && (arrivals[at].sku != sku || arrivals[at].warehouse != warehouse))
        at++;
    if (at == *count)
        arrivals[(*count)++] = (struct model_arrival){.sku = sku, .warehouse = warehouse};
    arrivals[at].restocked += fate == fate_RESTOCK ? units : 0;
    arrivals[at].scrapped += fate == fate_SCRAP ? units : 0;
}

static bool arrivals_have_room(struct model *model, const struct model_arrival *arrivals, int count,
                               struct model_reply *reply)
{
    int64_t all = 0;
    model_sum_stock(model);
    for (int i = 0; i < count; i++) {
        int index = model_find_stock(model, arrivals[i].sku, arrivals[i].warehouse);
        struct model_stock stock = {.on_hand = 0};
        if (index != MODEL_NONE)
            stock = model->stocks.items[index];
        int64_t more = arrivals[i].restocked + arrivals[i].scrapped;
        all += more;
        if (stock.on_hand + more > QUANTITY_MAX ||
            stock.on_hand - stock.available + arrivals[i].scrapped > QUANTITY_MAX) {
            model_reject(model, reply, OUTCOME_OVERFLOW, 0, QUANTITY_MAX);
            return false;
        }
    }
    if (!model_is_too_much(model, all))
        return true;
    model_reject(model, reply, OUTCOME_OVERFLOW, 0, STOCK_TOTAL_MAX);
    return false;
}

static unsigned invalid_return_field(const struct order_return_body *body)
{
    const struct returned_body *rows = (const struct returned_body *)(body + 1);
    if (body->returned_count == 0)
        return order_return_field_returned_count;
    for (int i = 0; i < body->returned_count; i++) {
        if (rows[i].line == 0)
            return ROW_FIELD + returned_field_line;
        if (rows[i].quantity == 0)
            return ROW_FIELD + returned_field_quantity;
    }
    return 0;
}

void model_order_return(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    const struct order_return_body *body = request->body;
    const struct returned_body *rows = (const struct returned_body *)(body + 1);
    unsigned invalid = invalid_return_field(body);
    if (!id_is_zero(body->order) && invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    int index = find_for(model, body->order, order_return_field_order, WAY_RETURN, reply);
    if (index == MODEL_NONE)
        return;
    struct model_order *order = &model->orders.items[index];
    struct model_piece after[ORDER_PIECES_MAX];
    struct model_arrival arrivals[2 * ORDER_PIECES_MAX];
    int arrival_count = 0;
    memcpy(after, model->pieces.items + order->piece_first,
           (size_t)order->piece_count * sizeof after[0]);
    for (int i = 0; i < body->returned_count; i++) {
        struct model_piece before[ORDER_PIECES_MAX];
        struct way_row row = {rows[i].line, rows[i].quantity, 0};
        memcpy(before, after, (size_t)order->piece_count * sizeof before[0]);
        if (!row_is_taken(model, order, after, WAY_RETURN, &row, reply))
            return;
        for (int p = 0; p < order->piece_count; p++) {
            const struct model_stock *from = &model->stocks.items[after[p].stock];
            uint32_t to = rows[i].warehouse != 0 ? rows[i].warehouse : from->warehouse;
            if (after[p].returned > before[p].returned)
                arrive(arrivals, &arrival_count, from->sku, to, rows[i].fate,
                       after[p].returned - before[p].returned);
        }
    }
    if (!arrivals_have_room(model, arrivals, arrival_count, reply))
        return;
    model_accept(model, reply);
    for (int i = 0; i < arrival_count; i++) {
        int stock = model_stock_comes_to_be(model, arrivals[i].sku, arrivals[i].warehouse);
        model->stocks.items[stock].on_hand += arrivals[i].restocked + arrivals[i].scrapped;
        model->stocks.items[stock].unsellable += arrivals[i].scrapped;
    }
    memcpy(model->pieces.items + order->piece_first, after,
           (size_t)order->piece_count * sizeof after[0]);
    model_add_step(model, index);
    model_answer_status(model, reply, index);
}

/* Parcels are numbered from 1 in the order in which they came. */
void model_order_parcels(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct order_page_body *body = request->body;
    int index = model_named_order(model, body->order, order_page_field_order, reply);
    if (index == MODEL_NONE)
        return;
    struct order_parcels_reply_body *answer = model_answer(model, reply, sizeof *answer);
    uint64_t number = body->cursor;
    if (number > (uint64_t)model->parcels.count ||
        (number != 0 && model->parcels.items[number - 1].order != index))
        return;
    for (number = number == 0 ? (uint64_t)model->parcels.count : number; number > 0; number--) {
        const struct model_parcel *parcel = &model->parcels.items[number - 1];
        if (parcel->order != index)
            continue;
        if (answer->parcel_count == PARCEL_ROWS_MAX) {
            answer->next = number;
            break;
        }
        answer->parcel_count++;
        struct parcel_body *row = model_answer_row(reply, sizeof *row);
        *row = parcel->body;
    }
}
