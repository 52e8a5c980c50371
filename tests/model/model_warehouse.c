/* The model's warehouses and zones.
 *
 * What is promised from a warehouse is counted from the orders each time somebody asks. */
#include <string.h>

#include "base/assert.h"
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
        if (piece->order == order && piece->quantity > piece->shipped &&
            model->stocks.items[piece->stock].warehouse == warehouse)
            return true;
    }
    return false;
}

int64_t model_units_promised(const struct model *model, uint32_t warehouse)
{
    int64_t units = 0;
    for (int i = 0; i < model->stocks.count; i++) {
        const struct model_stock *stock = &model->stocks.items[i];
        if (stock->warehouse == warehouse)
            units += stock->reserved + stock->committed;
    }
    return units;
}

uint64_t model_orders_promised(const struct model *model, uint32_t warehouse)
{
    uint64_t orders = 0;
    for (int i = 0; i < model->orders.count; i++)
        orders += has_units(model, i, warehouse);
    return orders;
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
    answer->orders = model_orders_promised(model, body->warehouse);
    answer->units = model_units_promised(model, body->warehouse);
    answer->state = body->state;
}

int model_find_zone(const struct model *model, uint8_t zone)
{
    for (int i = 0; i < model->zones.count; i++) {
        if (model->zones.items[i].zone == zone)
            return i;
    }
    return MODEL_NONE;
}

static unsigned invalid_row(const struct zone_warehouse_body *rows, int count)
{
    for (int i = 0; i < count; i++) {
        bool is_there = false;
        for (int j = 0; j < i; j++)
            is_there |= rows[j].warehouse == rows[i].warehouse;
        if (rows[i].warehouse == 0)
            return ROW_FIELD + zone_warehouse_field_warehouse;
        if (rows[i].cost < 0 || rows[i].cost > PRICE_MAX)
            return ROW_FIELD + zone_warehouse_field_cost;
        if (is_there)
            return ROW_FIELD + zone_warehouse_field_warehouse;
    }
    return 0;
}

void model_zone_put(struct model *model, const struct model_request *request,
                    struct model_reply *reply)
{
    const struct zone_put_body *body = request->body;
    const struct zone_warehouse_body *rows = (const struct zone_warehouse_body *)(body + 1);
    unsigned invalid = body->zone == 0 ? zone_put_field_zone : 0;
    if (invalid == 0)
        invalid = invalid_row(rows, body->warehouse_count);
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    model_accept(model, reply);
    int known = model_find_zone(model, body->zone);
    if (known == MODEL_NONE) {
        known = model->zones.count;
        *MODEL_ADD(&model->zones) = (struct model_zone){.zone = body->zone};
    }
    struct model_zone *zone = &model->zones.items[known];
    zone->count = body->warehouse_count;
    memcpy(zone->rows, rows, body->warehouse_count * sizeof *rows);
    model_answer(model, reply, sizeof(struct seq_reply_body));
}

static bool is_cheaper(const struct zone_warehouse_body *a, const struct zone_warehouse_body *b)
{
    return a->cost < b->cost || (a->cost == b->cost && a->warehouse < b->warehouse);
}

int model_zone_warehouses(const struct model *model, int zone, uint32_t *warehouses)
{
    const struct model_zone *terms = &model->zones.items[zone];
    for (int i = 0; i < terms->count; i++) {
        int place = 0;
        for (int j = 0; j < terms->count; j++)
            place += is_cheaper(&terms->rows[j], &terms->rows[i]);
        warehouses[place] = terms->rows[i].warehouse;
    }
    return terms->count;
}
