/* The model's sales and their pools.
 *
 * A pool has a size; what is left of it is the size less what orders hold or have from it. A closed
 * sale's pools have nothing left, so their rest counts as available. */
#include "tests/model/model.h"

int model_find_sale(const struct model *model, uint32_t sale)
{
    for (int i = 0; i < model->sales.count; i++) {
        if (model->sales.items[i].terms.sale == sale)
            return i;
    }
    return MODEL_NONE;
}

int model_find_pool(const struct model *model, uint32_t sale, uint64_t sku, uint32_t warehouse)
{
    int stock = model_find_stock(model, sku, warehouse);
    for (int i = 0; i < model->pools.count; i++) {
        if (model->pools.items[i].sale == sale && model->pools.items[i].stock == stock)
            return i;
    }
    return MODEL_NONE;
}

/* The terms with the defaults put in. */
static struct sale_put_body with_defaults(const struct sale_put_body *body)
{
    struct sale_put_body terms = *body;
    if (terms.hold_max == 0)
        terms.hold_max = HOLD_MAX_S;
    if (terms.hold == 0)
        terms.hold = terms.hold_max < HOLD_DEFAULT_S ? terms.hold_max : HOLD_DEFAULT_S;
    return terms;
}

/* A pool is named by SKU and warehouse, and once in a message. */
static unsigned invalid_row_field(const struct sale_put_body *body)
{
    const struct pool_body *rows = (const struct pool_body *)(body + 1);
    for (int i = 0; i < body->pool_count; i++) {
        bool is_repeated = false;
        for (int j = 0; j < i; j++)
            is_repeated |= rows[j].sku == rows[i].sku && rows[j].warehouse == rows[i].warehouse;
        if (rows[i].sku == 0)
            return ROW_FIELD + pool_field_sku;
        if (rows[i].warehouse == 0)
            return ROW_FIELD + pool_field_warehouse;
        if (is_repeated)
            return ROW_FIELD + pool_field_sku;
    }
    return 0;
}

static unsigned invalid_field(const struct sale_put_body *body)
{
    struct sale_put_body terms = with_defaults(body);
    if (body->opens > TIME_US_MAX)
        return sale_put_field_opens;
    if (body->closes > TIME_US_MAX)
        return sale_put_field_closes;
    if (body->closes != 0 && body->opens != 0 && body->closes <= body->opens)
        return sale_put_field_closes;
    if (body->points_max < 0)
        return sale_put_field_points_max;
    if (body->sale == 0)
        return sale_put_field_sale;
    if (body->hold > HOLD_MAX_S)
        return sale_put_field_hold;
    if (body->hold_max > HOLD_MAX_S)
        return sale_put_field_hold_max;
    if (terms.hold > terms.hold_max)
        return sale_put_field_hold;
    if (body->points_share > POINTS_SHARE_WHOLE)
        return sale_put_field_points_share;
    if (body->rate_points == 0 && body->rate_money != 0)
        return sale_put_field_rate_points;
    if (body->rate_points != 0 && body->rate_money == 0)
        return sale_put_field_rate_money;
    if (body->earn_points == 0 && body->earn_money != 0)
        return sale_put_field_earn_points;
    if (body->earn_points != 0 && body->earn_money == 0)
        return sale_put_field_earn_money;
    if (body->return_window > RETURN_WINDOW_MAX_S)
        return sale_put_field_return_window;
    return invalid_row_field(body);
}

/* Rejects and returns false when the pool cannot get the size that the row says. */
static bool pool_is_possible(const struct model *model, uint32_t sale, const struct pool_body *row,
                             struct model_reply *reply)
{
    int stock = model_find_stock(model, row->sku, row->warehouse);
    int pool = model_find_pool(model, sale, row->sku, row->warehouse);
    if (stock == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, row->sku, 0);
        return false;
    }
    int64_t size = pool == MODEL_NONE ? 0 : model->pools.items[pool].size;
    int64_t used = pool == MODEL_NONE ? 0 : model->pools.items[pool].used;
    int64_t available = model->stocks.items[stock].available;
    if (available < 0)
        available = 0;
    if (row->quantity < used) {
        model_reject(model, reply, OUTCOME_STOCK_BELOW_RESERVED, row->sku, used);
        return false;
    }
    if (row->quantity > size && row->quantity - size > available) {
        model_reject(model, reply, OUTCOME_INSUFFICIENT_STOCK, row->sku, available);
        return false;
    }
    return true;
}

static void answer_sale(const struct model *model, struct model_reply *reply, int sale)
{
    struct sale_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->state = model->sales.items[sale].state;
}

void model_sale_put(struct model *model, const struct model_request *request,
                    struct model_reply *reply)
{
    const struct sale_put_body *body = request->body;
    const struct pool_body *rows = (const struct pool_body *)(body + 1);
    unsigned invalid = invalid_field(body);
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    int sale = model_find_sale(model, body->sale);
    if (sale != MODEL_NONE && model->sales.items[sale].state == sale_state_CLOSED) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, sale_state_CLOSED, 0);
        return;
    }
    model_sum_stock(model);
    for (int i = 0; i < body->pool_count; i++) {
        if (!pool_is_possible(model, body->sale, &rows[i], reply))
            return;
    }
    model_accept(model, reply);
    if (sale == MODEL_NONE) {
        sale = model->sales.count;
        *MODEL_ADD(&model->sales) = (struct model_sale){.state = sale_state_READY};
    }
    model->sales.items[sale].terms = with_defaults(body);
    for (int i = 0; i < body->pool_count; i++) {
        int pool = model_find_pool(model, body->sale, rows[i].sku, rows[i].warehouse);
        if (pool == MODEL_NONE) {
            pool = model->pools.count;
            *MODEL_ADD(&model->pools) = (struct model_pool){
                .sale = body->sale,
                .stock = model_find_stock(model, rows[i].sku, rows[i].warehouse),
            };
        }
        model->pools.items[pool].size = rows[i].quantity;
    }
    answer_sale(model, reply, sale);
}

/* Moves a sale to a state that can be reached from the states in the set `from` (bit s for state
 * s). */
static void change_state(struct model *model, const struct model_request *request,
                         struct model_reply *reply, unsigned from, uint8_t to)
{
    const struct sale_change_body *body = request->body;
    if (body->sale == 0) {
        model_reject(model, reply, OUTCOME_INVALID, sale_change_field_sale, 0);
        return;
    }
    int sale = model_find_sale(model, body->sale);
    if (sale == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, body->sale, 0);
        return;
    }
    uint8_t state = model->sales.items[sale].state;
    if ((from >> state & 1) == 0) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, state, 0);
        return;
    }
    model_accept(model, reply);
    model->sales.items[sale].state = to;
    answer_sale(model, reply, sale);
}

void model_sale_open(struct model *model, const struct model_request *request,
                     struct model_reply *reply)
{
    change_state(model, request, reply, 1u << sale_state_READY | 1u << sale_state_PAUSED,
                 sale_state_OPEN);
}

void model_sale_pause(struct model *model, const struct model_request *request,
                      struct model_reply *reply)
{
    change_state(model, request, reply, 1u << sale_state_OPEN, sale_state_PAUSED);
}

void model_sale_close(struct model *model, const struct model_request *request,
                      struct model_reply *reply)
{
    change_state(model, request, reply,
                 1u << sale_state_READY | 1u << sale_state_OPEN | 1u << sale_state_PAUSED,
                 sale_state_CLOSED);
}

bool model_limit_is_broken(const struct model *model, uint32_t sale, struct id customer, int count,
                           const uint64_t *skus, const int64_t *quantities, uint64_t *sku,
                           int64_t *left)
{
    int index = model_find_sale(model, sale);
    if (index == MODEL_NONE)
        return false;
    int64_t sku_max = model->sales.items[index].terms.customer_sku_max;
    int64_t sale_max = model->sales.items[index].terms.customer_sale_max;
    int64_t in_all = 0;
    int64_t in_all_now = 0;
    int64_t of_sku[ORDER_LINES_MAX] = {0};
    int64_t of_sku_now[ORDER_LINES_MAX] = {0};

    for (int i = 0; i < count; i++) {
        in_all_now += quantities[i];
        for (int j = 0; j < count; j++)
            of_sku_now[i] += skus[j] == skus[i] ? quantities[j] : 0;
    }
    for (int p = 0; p < model->pieces.count; p++) {
        const struct model_piece *piece = &model->pieces.items[p];
        const struct model_order *order = &model->orders.items[piece->order];
        if (order->sale != sale || !id_equal(order->customer, customer) ||
            !model_order_is_live(order))
            continue;
        in_all += piece->quantity;
        for (int i = 0; i < count; i++) {
            if (model->stocks.items[piece->stock].sku == skus[i])
                of_sku[i] += piece->quantity;
        }
    }
    for (int i = 0; i < count; i++) {
        bool adds_some = of_sku_now[i] > 0;
        if (sku_max != 0 && adds_some && of_sku[i] + of_sku_now[i] > sku_max) {
            *sku = skus[i];
            *left = sku_max > of_sku[i] ? sku_max - of_sku[i] : 0;
            return true;
        }
    }
    *sku = 0;
    *left = sale_max > in_all ? sale_max - in_all : 0;
    return sale_max != 0 && in_all + in_all_now > sale_max;
}
