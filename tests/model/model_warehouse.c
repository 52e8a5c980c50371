/* The model's warehouses.
 *
 * What is promised from a warehouse is counted from the orders each time somebody asks. */
#include "tests/model/model.h"

bool model_is_shut(const struct model *model, uint32_t warehouse)
{
    for (int i = 0; i < model->warehouses.count; i++) {
        if (model->warehouses.items[i].warehouse == warehouse)
            return model->warehouses.items[i].state != warehouse_state_ONLINE;
    }
    return false;
}

/* Has the order units in this warehouse that it holds, or that are to be shipped? */
static bool has_units(const struct model *model, int order, uint32_t warehouse)
{
    if (!model_order_is_live(&model->orders.items[order]))
        return false;
    for (int p = 0; p < model->pieces.count; p++) {
        const struct model_piece *piece = &model->pieces.items[p];
        if (piece->order == order && piece->quantity > 0 &&
            model->stocks.items[piece->stock].warehouse == warehouse)
            return true;
    }
    return false;
}

static int64_t units_promised(const struct model *model, uint32_t warehouse)
{
    int64_t units = 0;
    for (int i = 0; i < model->stocks.count; i++) {
        const struct model_stock *stock = &model->stocks.items[i];
        if (stock->warehouse == warehouse)
            units += stock->reserved + stock->committed;
    }
    return units;
}

void model_warehouse_put(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct warehouse_put_body *body = request->body;
    if (body->warehouse == 0) {
        model_reject(model, reply, OUTCOME_INVALID, warehouse_put_field_warehouse, 0);
        return;
    }
    model_accept(model, reply);
    int known = 0;
    while (known < model->warehouses.count &&
           model->warehouses.items[known].warehouse != body->warehouse)
        known++;
    if (known == model->warehouses.count)
        *MODEL_ADD(&model->warehouses) = (struct model_warehouse){.warehouse = body->warehouse};
    model->warehouses.items[known].state = body->state;
    model_sum_stock(model);
    struct warehouse_put_reply_body *answer = model_answer(model, reply, sizeof *answer);
    for (int i = 0; i < model->orders.count; i++)
        answer->orders += has_units(model, i, body->warehouse);
    answer->units = units_promised(model, body->warehouse);
    answer->state = body->state;
}
