/* sale.get: the terms of a sale, and how it goes. What is in its pools follows from them; what its
 * orders hold and have, and what was refused, is counted where there are lists. */
#include "engine/handlers.h"
#include "engine/lists.h"
#include "engine/sale.h"

static_assert((int)OUTCOME_COUNT <= OUTCOMES_MAX, "each may have a row");

static void fill_terms(const struct sale *sale, struct sale_get_reply_body *reply)
{
    reply->state = sale->state;
    reply->flags = sale->flags;
    reply->opens = sale->opens_us;
    reply->closes = sale->closes_us != UINT64_MAX ? sale->closes_us : 0;
    reply->points_max = sale->points_max;
    reply->hold = sale->hold_s;
    reply->hold_max = sale->hold_max_s;
    reply->points_share = sale->points_share;
    reply->rate_points = sale->rate_points;
    reply->rate_money = sale->rate_money;
    reply->customer_sku_max = sale->customer_sku_max;
    reply->customer_sale_max = sale->customer_sale_max;
    reply->earn_points = sale->earn_points;
    reply->earn_money = sale->earn_money;
    reply->return_window = sale->return_window_s;
    reply->earn_life = sale->earn_life_s;
}

static void fill_pools(const struct engine *engine, const struct sale *sale,
                       struct sale_get_reply_body *reply)
{
    for (uint32_t index = sale->pools; index != 0; index = pool_at(engine, index)->next) {
        const struct pool *pool = pool_at(engine, index);
        reply->pools++;
        reply->left += pool->left;
        reply->taken += pool->taken;
    }
}

static void fill_counts(const struct sale_counts *counts, struct sale_get_reply_body *reply)
{
    reply->indexed = 1;
    reply->held = counts->held;
    reply->sold = counts->sold;
    reply->pending = counts->orders[order_state_PENDING];
    reply->confirmed = counts->orders[order_state_CONFIRMED];
    reply->partially_shipped = counts->orders[order_state_PARTIALLY_SHIPPED];
    reply->shipped = counts->orders[order_state_SHIPPED];
    reply->delivered = counts->orders[order_state_DELIVERED];
    reply->expired = counts->orders[order_state_EXPIRED];
    reply->failed = counts->orders[order_state_FAILED];
    reply->cancelled = counts->orders[order_state_CANCELLED];
}

static uint16_t rejected_rows(const struct sale_counts *counts, struct rejected_body *rows)
{
    uint16_t count = 0;
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        if (counts->refused[i] == 0)
            continue;
        rows[count].outcome = (uint16_t)i;
        rows[count].count = counts->refused[i];
        count++;
    }
    return count;
}

enum outcome handle_sale_get(struct engine *engine, struct command *command)
{
    const struct sale_get_body *body = command->body;
    if (body->sale == 0)
        return reject_field(engine, sale_get_field_sale);
    uint32_t index = sale_find(engine, body->sale);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, body->sale, 0);
    const struct sale_counts *counts = engine->lists != NULL ? &engine->lists->counts[index] : NULL;
    struct rejected_body rows[OUTCOMES_MAX] = {{0}};
    uint16_t count = counts != NULL ? rejected_rows(counts, rows) : 0;
    struct sale_get_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    reply->seq = engine->seq;
    reply->rejection_count = count;
    fill_terms(sale_at(engine, index), reply);
    fill_pools(engine, sale_at(engine, index), reply);
    if (counts != NULL)
        fill_counts(counts, reply);
    return OUTCOME_OK;
}
