/* Sales: their terms, the pools set aside for them, and what each customer took in them.
 *
 * READY --sale.open--> OPEN <--sale.open/sale.pause--> PAUSED;  any but CLOSED --sale.close-->
 * CLOSED
 *
 * A pool's units are in its stock's `pooled` while nobody has them, and in `reserved` or
 * `committed` while `taken` counts them. */
#include "engine/sale.h"

#include "engine/keys.h"
#include "engine/order_parts.h"
#include "engine/source.h"
#include "engine/tally.h"

static void sale_reply(struct engine *engine, struct command *command, uint32_t index)
{
    struct sale_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    reply->state = sale_at(engine, index)->state;
}

/* The terms as kept, with the defaults filled in. */
static struct sale sale_terms(const struct sale_put_body *body)
{
    uint32_t hold_max_s = body->hold_max != 0 ? body->hold_max : HOLD_MAX_S;
    uint32_t hold_s = body->hold != 0 ? body->hold : HOLD_DEFAULT_S;
    if (body->hold == 0 && hold_s > hold_max_s)
        hold_s = hold_max_s;
    return (struct sale){
        .opens_us = body->opens,
        .closes_us = body->closes != 0 ? body->closes : UINT64_MAX,
        .points_max = body->points_max,
        .sale = body->sale,
        .hold_s = hold_s,
        .hold_max_s = hold_max_s,
        .points_share = body->points_share,
        .rate_points = body->rate_points,
        .rate_money = body->rate_money,
        .customer_sku_max = body->customer_sku_max,
        .customer_sale_max = body->customer_sale_max,
        .flags = body->flags,
        .earn_points = body->earn_points,
        .earn_money = body->earn_money,
        .return_window_s = body->return_window,
        .earn_life_s = body->earn_life,
        .counted = body->customer_sku_max != 0 || body->customer_sale_max != 0,
    };
}

static enum outcome check_terms(struct engine *engine, const struct sale_put_body *body)
{
    struct sale terms = sale_terms(body);
    if (body->opens > TIME_US_MAX)
        return reject_field(engine, sale_put_field_opens);
    if (body->closes > TIME_US_MAX ||
        (body->closes != 0 && body->opens != 0 && body->closes <= body->opens))
        return reject_field(engine, sale_put_field_closes);
    if (body->points_max < 0)
        return reject_field(engine, sale_put_field_points_max);
    if (body->sale == 0)
        return reject_field(engine, sale_put_field_sale);
    if (body->hold > HOLD_MAX_S)
        return reject_field(engine, sale_put_field_hold);
    if (body->hold_max > HOLD_MAX_S)
        return reject_field(engine, sale_put_field_hold_max);
    if (terms.hold_s > terms.hold_max_s)
        return reject_field(engine, sale_put_field_hold);
    if (body->points_share > POINTS_SHARE_WHOLE)
        return reject_field(engine, sale_put_field_points_share);
    if ((body->rate_points == 0) != (body->rate_money == 0))
        return reject_field(engine, body->rate_points == 0 ? sale_put_field_rate_points
                                                           : sale_put_field_rate_money);
    if ((body->earn_points == 0) != (body->earn_money == 0))
        return reject_field(engine, body->earn_points == 0 ? sale_put_field_earn_points
                                                           : sale_put_field_earn_money);
    if (body->return_window > RETURN_WINDOW_MAX_S)
        return reject_field(engine, sale_put_field_return_window);
    return OUTCOME_OK;
}

/* Does each row name a SKU and a warehouse, and no two rows the same? */
static enum outcome check_rows(struct engine *engine, const struct sale_put_body *body)
{
    const struct pool_body *rows = (const struct pool_body *)(body + 1);
    for (unsigned i = 0; i < body->pool_count; i++) {
        if (rows[i].sku == 0)
            return reject_field(engine, ROW_FIELD + pool_field_sku);
        if (rows[i].warehouse == 0)
            return reject_field(engine, ROW_FIELD + pool_field_warehouse);
        for (unsigned j = 0; j < i; j++) {
            if (rows[j].sku == rows[i].sku && rows[j].warehouse == rows[i].warehouse)
                return reject_field(engine, ROW_FIELD + pool_field_sku);
        }
    }
    return OUTCOME_OK;
}

/* What a row of pools changes, once it has been judged. */
struct pool_change {
    uint32_t stock;
    uint32_t pool; /* 0: a new one */
    int64_t delta; /* from available to pooled */
};

static enum outcome check_pool(struct engine *engine, uint32_t sale, const struct pool_body *row,
                               struct pool_change *change)
{
    uint32_t sku = sku_find(engine, row->sku);
    change->stock = sku == 0 ? 0 : stock_find(engine, sku, row->warehouse);
    if (change->stock == 0)
        return reject(engine, OUTCOME_NOT_FOUND, row->sku, 0);
    change->pool = sale == 0 ? 0 : pool_find(engine, sale, change->stock);
    const struct pool *pool = pool_at(engine, change->pool);
    const struct stock *stock = stock_at(engine, change->stock);
    int64_t available = stock_available(stock);
    change->delta = (int64_t)row->quantity - (pool->left + pool->taken);
    if (row->quantity < pool->taken)
        return reject(engine, OUTCOME_STOCK_BELOW_RESERVED, row->sku, pool->taken);
    if (change->delta > available)
        return reject(engine, OUTCOME_INSUFFICIENT_STOCK, row->sku, available);
    return OUTCOME_OK;
}

static enum outcome check_pools(struct engine *engine, uint32_t sale,
                                const struct sale_put_body *body, struct pool_change *changes)
{
    const struct pool_body *rows = (const struct pool_body *)(body + 1);
    uint32_t new_count = 0;
    for (unsigned i = 0; i < body->pool_count; i++) {
        enum outcome outcome = check_pool(engine, sale, &rows[i], &changes[i]);
        if (outcome != OUTCOME_OK)
            return outcome;
        new_count += changes[i].pool == 0;
    }
    if (arena_room(&engine->pools) < new_count)
        return REJECT_FULL(engine, pools);
    return OUTCOME_OK;
}

static void pool_resize(struct engine *engine, uint32_t sale, const struct pool_change *change)
{
    uint32_t index = change->pool;
    if (index == 0) {
        index = arena_take(&engine->pools, 1);
        *pool_edit(engine, index) = (struct pool){
            .sale = sale, .stock = change->stock, .next = sale_at(engine, sale)->pools};
        sale_edit(engine, sale)->pools = index;
        index_insert(&engine->pool_index, hash_words(engine, sale, change->stock), index);
    }
    struct stock *stock = stock_edit(engine, change->stock);
    pool_edit(engine, index)->left += change->delta;
    stock->pooled += change->delta;
    stock->available -= change->delta;
    stock_digest(engine, change->stock);
}

/* A sale that had orders before it got limits must count them: one pass over all orders. */
static bool tallies_have_room(const struct engine *engine, uint32_t sale)
{
    uint64_t needed = 0;
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        const struct order *order = order_at(engine, i);
        if (order->sale == sale && order_has_pieces(order))
            needed += order->line_count + 1u;
    }
    return needed <= tally_room(engine);
}

static void tallies_count(struct engine *engine, uint32_t sale)
{
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        const struct order *order = order_at(engine, i);
        if (order->sale == sale && order_has_pieces(order))
            order_tally(engine, i);
    }
}

enum outcome handle_sale_put(struct engine *engine, struct command *command)
{
    const struct sale_put_body *body = command->body;
    struct pool_change changes[SALE_POOLS_MAX];
    enum outcome outcome = check_terms(engine, body);
    if (outcome == OUTCOME_OK)
        outcome = check_rows(engine, body);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint32_t index = sale_find(engine, body->sale);
    if (sale_at(engine, index)->state == sale_state_CLOSED)
        return reject(engine, OUTCOME_BAD_TRANSITION, sale_state_CLOSED, 0);
    outcome = check_pools(engine, index, body, changes);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (index == 0 && arena_room(&engine->sales) == 0)
        return REJECT_FULL(engine, sales);
    struct sale terms = sale_terms(body);
    const struct sale *old = sale_at(engine, index);
    bool begins_to_count = terms.counted && !old->counted && old->has_orders;
    if (begins_to_count && !tallies_have_room(engine, index))
        return REJECT_FULL(engine, tallies);
    if (!key_accept(engine))
        return reject_keys_full(engine);

    if (index == 0) {
        index = arena_take(&engine->sales, 1);
        index_insert(&engine->sale_index, hash_words(engine, body->sale, 2), index);
        terms.state = sale_state_READY;
    } else {
        terms.state = old->state;
        terms.pools = old->pools;
        terms.counted = terms.counted || old->counted;
        terms.has_orders = old->has_orders;
    }
    *sale_edit(engine, index) = terms;
    if (begins_to_count)
        tallies_count(engine, index);
    for (unsigned i = 0; i < body->pool_count; i++)
        pool_resize(engine, index, &changes[i]);
    sale_reply(engine, command, index);
    return OUTCOME_OK;
}

/* What is left in the pools of a sale that ends becomes available again. */
static void pools_drain(struct engine *engine, uint32_t sale)
{
    for (uint32_t index = sale_at(engine, sale)->pools; index != 0;) {
        struct pool *pool = pool_edit(engine, index);
        struct stock *stock = stock_edit(engine, pool->stock);
        stock->pooled -= pool->left;
        stock->available += pool->left;
        pool->left = 0;
        stock_digest(engine, pool->stock);
        index = pool->next;
    }
}

static enum outcome sale_change(struct engine *engine, struct command *command, unsigned from_mask,
                                uint8_t to)
{
    const struct sale_change_body *body = command->body;
    if (body->sale == 0)
        return reject_field(engine, sale_change_field_sale);
    uint32_t index = sale_find(engine, body->sale);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, body->sale, 0);
    uint8_t state = sale_at(engine, index)->state;
    if ((from_mask >> state & 1) == 0)
        return reject(engine, OUTCOME_BAD_TRANSITION, state, 0);
    if (!key_accept(engine))
        return reject_keys_full(engine);

    sale_edit(engine, index)->state = to;
    digest_mix(engine, index, to);
    if (to == sale_state_CLOSED)
        pools_drain(engine, index);
    sale_reply(engine, command, index);
    return OUTCOME_OK;
}

enum outcome handle_sale_open(struct engine *engine, struct command *command)
{
    return sale_change(engine, command, 1u << sale_state_READY | 1u << sale_state_PAUSED,
                       sale_state_OPEN);
}

enum outcome handle_sale_pause(struct engine *engine, struct command *command)
{
    return sale_change(engine, command, 1u << sale_state_OPEN, sale_state_PAUSED);
}

enum outcome handle_sale_close(struct engine *engine, struct command *command)
{
    return sale_change(engine, command,
                       1u << sale_state_READY | 1u << sale_state_OPEN | 1u << sale_state_PAUSED,
                       sale_state_CLOSED);
}
