/* order.place: one command, one decision.
 *
 * Everything is judged on a plan, in docs/rules.md's order, before anything is written: what is
 * refused leaves no trace, and refusing is the fastest path. The plan then becomes the order. */

#include "engine/earning.h"
#include "engine/handlers.h"
#include "engine/order.h"
#include "engine/piece_list.h"
#include "engine/plan.h"
#include "engine/sale.h"
#include "engine/source.h"
#include "engine/tally.h"
#include "engine/timers.h"
#include "engine/zone.h"

#include "engine/layout.h"

static enum outcome check_lines(struct engine *engine, const struct order_place_body *body,
                                const struct line_body *lines)
{
    uint32_t warehouse = 0;
    for (unsigned i = 0; i < body->line_count; i++) {
        if (lines[i].quantity == 0)
            return reject_field(engine, ROW_FIELD + line_field_quantity);
        if (lines[i].sku == 0)
            return reject_field(engine, ROW_FIELD + line_field_sku);
        if (lines[i].price < 0 || lines[i].price > PRICE_MAX)
            return reject_field(engine, ROW_FIELD + line_field_price);
        if (body->allocation == allocation_EXPLICIT && lines[i].warehouse == 0)
            return reject_field(engine, ROW_FIELD + line_field_warehouse);
        if (lines[i].warehouse == 0)
            continue;
        if (body->allocation == allocation_SINGLE && warehouse != 0 &&
            lines[i].warehouse != warehouse)
            return reject_field(engine, ROW_FIELD + line_field_warehouse);
        warehouse = lines[i].warehouse;
    }
    return OUTCOME_OK;
}

static enum outcome check_body(struct engine *engine, const struct order_place_body *body,
                               const struct line_body *lines)
{
    if (id_is_zero(body->order))
        return reject_field(engine, order_place_field_order);
    if (id_is_zero(body->customer))
        return reject_field(engine, order_place_field_customer);
    if (body->points < 0 || body->points > POINTS_MAX)
        return reject_field(engine, order_place_field_points);
    if (body->hold > HOLD_MAX_S)
        return reject_field(engine, order_place_field_hold);
    if (body->currency > CURRENCY_MAX)
        return reject_field(engine, order_place_field_currency);
    if (body->line_count == 0)
        return reject_field(engine, order_place_field_line_count);
    if ((body->allocation == allocation_CHEAPEST) != (body->zone != 0))
        return reject_field(engine, order_place_field_zone);
    return check_lines(engine, body, lines);
}

static enum outcome check_sale(struct engine *engine, struct plan *plan)
{
    if (plan->body->sale == 0)
        return OUTCOME_OK;
    plan->sale = sale_find(engine, plan->body->sale);
    if (plan->sale == 0)
        return reject(engine, OUTCOME_NOT_FOUND, plan->body->sale, 0);
    const struct sale *sale = sale_at(engine, plan->sale);
    if (sale->state != sale_state_OPEN || engine->time_us < sale->opens_us ||
        engine->time_us >= sale->closes_us)
        return reject(engine, OUTCOME_SALE_NOT_OPEN, sale->sale, (int64_t)sale->opens_us);
    return OUTCOME_OK;
}

static enum outcome check_prices(struct engine *engine, struct plan *plan)
{
    plan->currency = plan->body->currency;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        const struct line_body *line = &plan->lines[i];
        plan->skus[i] = sku_find(engine, line->sku);
        if (plan->skus[i] == 0)
            return reject(engine, OUTCOME_NOT_FOUND, line->sku, 0);
        const struct sku *sku = sku_at(engine, plan->skus[i]);
        if (plan->currency == 0)
            plan->currency = sku->currency;
        if (sku->currency != plan->currency)
            return reject(engine, OUTCOME_CURRENCY_MISMATCH, line->sku, sku->currency);
        if (sku->price != line->price)
            return reject(engine, OUTCOME_PRICE_MISMATCH, line->sku, sku->price);
    }
    return OUTCOME_OK;
}

/* The most common order, one line with SINGLE, needs no cursors: the first warehouse that has all
 * of it, or for a partial order the first of those that have the most. */
static enum outcome allocate_line(struct engine *engine, struct plan *plan)
{
    const struct line_body *line = plan->lines;
    struct planned_piece best = {.quantity = 0};
    uint32_t at = sku_at(engine, plan->skus[0])->stocks;
    for (; at != 0 && best.quantity < line->quantity; at = stock_at(engine, at)->next) {
        if (line->warehouse != 0 && line->warehouse != stock_at(engine, at)->warehouse)
            continue;
        uint32_t pool = stock_source(engine, plan->sale, at);
        int64_t gives = source_gives(engine, pool, at);
        uint32_t taken = gives < line->quantity ? (uint32_t)gives : line->quantity;
        if (taken > best.quantity)
            best = (struct planned_piece){.stock = at, .pool = pool, .quantity = taken};
    }
    if (best.quantity < line->quantity && (plan->body->flags & place_flags_PARTIAL) == 0)
        return plan_reject_remaining(engine, line->sku, best.quantity);
    plan->pieces[0] = best;
    plan->piece_count = best.quantity > 0;
    return OUTCOME_OK;
}

/* The zone is known, and no line names a warehouse that takes no orders. */
static enum outcome check_places(struct engine *engine, struct plan *plan)
{
    if (plan->body->zone != 0) {
        plan->zone = zone_find(engine, plan->body->zone);
        if (plan->zone == 0)
            return reject(engine, OUTCOME_NOT_FOUND, plan->body->zone, 0);
    }
    if (engine->warehouses_shut == 0)
        return OUTCOME_OK;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        if (warehouse_is_shut(engine, plan->lines[i].warehouse))
            return reject(engine, OUTCOME_WAREHOUSE_OFFLINE, plan->lines[i].warehouse, 0);
    }
    return OUTCOME_OK;
}

static enum outcome allocate(struct engine *engine, struct plan *plan)
{
    enum outcome outcome = check_places(engine, plan);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (plan->body->allocation == allocation_SINGLE && plan->body->line_count == 1)
        outcome = allocate_line(engine, plan);
    else
        outcome = plan_allocate(engine, plan);
    if (outcome == OUTCOME_OK && plan->piece_count == 0)
        return reject(engine, OUTCOME_SOLD_OUT, plan->lines[0].sku, 0);
    return outcome;
}

static bool line_repeats(const struct plan *plan, unsigned line)
{
    for (unsigned i = 0; i < line; i++) {
        if (plan->skus[i] == plan->skus[line])
            return true;
    }
    return false;
}

static uint64_t plan_quantity(const struct plan *plan, uint32_t sku)
{
    uint64_t quantity = 0;
    for (unsigned i = 0; i < plan->piece_count; i++) {
        if (sku == 0 || plan->skus[plan->pieces[i].line] == sku)
            quantity += plan->pieces[i].quantity;
    }
    return quantity;
}

static enum outcome check_limit(struct engine *engine, struct plan *plan, uint32_t sku,
                                uint32_t max)
{
    uint32_t tally = plan->customer != 0 ? tally_find(engine, plan->customer, plan->sale, sku) : 0;
    uint64_t has = tally_at(engine, tally)->quantity;
    uint64_t quantity = plan_quantity(plan, sku);
    plan->tallies_new += tally == 0 && quantity > 0;
    if (max == 0 || quantity == 0 || has + quantity <= max)
        return OUTCOME_OK;
    return reject(engine, OUTCOME_CUSTOMER_LIMIT, sku != 0 ? sku_at(engine, sku)->sku : 0,
                  has < max ? (int64_t)(max - has) : 0);
}

static enum outcome check_limits(struct engine *engine, struct plan *plan)
{
    const struct sale *sale = sale_at(engine, plan->sale);
    if (plan->sale == 0 || !sale->counted)
        return OUTCOME_OK;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        if (line_repeats(plan, i))
            continue;
        enum outcome outcome = check_limit(engine, plan, plan->skus[i], sale->customer_sku_max);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return check_limit(engine, plan, 0, sale->customer_sale_max);
}

static enum outcome check_total(struct engine *engine, struct plan *plan)
{
    wide total = 0;
    for (unsigned i = 0; i < plan->piece_count; i++)
        total += (wide)plan->pieces[i].quantity * plan->lines[plan->pieces[i].line].price;
    if (total > TOTAL_MAX)
        return reject(engine, OUTCOME_OVERFLOW, 0, TOTAL_MAX);
    plan->total = (int64_t)total;
    return OUTCOME_OK;
}

static int64_t clamp_points(wide points)
{
    return points > INT64_MAX ? INT64_MAX : (int64_t)points;
}

/* The most points that an order of this total may use in this sale. */
static int64_t points_cap(const struct sale *sale, int64_t total)
{
    if (sale->rate_points == 0)
        return 0;
    wide share = (wide)total * sale->points_share / POINTS_SHARE_WHOLE;
    int64_t cap = clamp_points(share * sale->rate_points / sale->rate_money);
    int64_t fits = clamp_points((wide)total * sale->rate_points / sale->rate_money);
    if (sale->points_max != 0 && sale->points_max < cap)
        cap = sale->points_max;
    return cap < fits ? cap : fits;
}

/* Plans the value of so many points, rounded down, and the fewest points that have this value. */
static void plan_points(const struct engine *engine, struct plan *plan, int64_t points)
{
    const struct sale *sale = sale_at(engine, plan->sale);
    plan->points_used = plan->points_value = points;
    if (plan->sale != 0 && points > 0) {
        wide value = (wide)points * sale->rate_money / sale->rate_points;
        wide fewest = (value * sale->rate_points + sale->rate_money - 1) / sale->rate_money;
        plan->points_value = (int64_t)value;
        plan->points_used = (int64_t)fewest;
    }
    plan->need = points_needed(engine, plan->customer, plan->points_used);
}

static enum outcome check_points(struct engine *engine, struct plan *plan)
{
    int64_t asked = plan->body->points;
    if (asked == 0)
        return OUTCOME_OK;
    const struct sale *sale = sale_at(engine, plan->sale);
    int64_t cap = plan->sale != 0 ? points_cap(sale, plan->total) : plan->total;
    int64_t available = points_available(engine, plan->customer);
    int64_t used = asked < available ? asked : available;
    used = used < cap ? used : cap;
    if (used < asked && (plan->body->flags & place_flags_POINTS_EXACT) != 0) {
        if (available < asked)
            return reject(engine, OUTCOME_INSUFFICIENT_POINTS, 0, available);
        return reject(engine, OUTCOME_POINTS_CAP, 0, cap);
    }
    plan_points(engine, plan, used);
    return OUTCOME_OK;
}

static void plan_hold(const struct engine *engine, struct plan *plan)
{
    const struct sale *sale = sale_at(engine, plan->sale);
    uint32_t hold_max_s = plan->sale != 0 ? sale->hold_max_s : HOLD_MAX_S;
    uint32_t hold_s = plan->body->hold;
    if (hold_s == 0)
        hold_s = plan->sale != 0 ? sale->hold_s : HOLD_DEFAULT_S;
    plan->hold_s = hold_s < hold_max_s ? hold_s : hold_max_s;
    plan->deadline_us = engine->time_us + plan->hold_s * US_PER_SECOND;
}

static bool plan_is_paid(const struct plan *plan)
{
    return (plan->body->flags & place_flags_PAID) != 0;
}

static enum outcome check_room(struct engine *engine, const struct plan *plan)
{
    bool has_money = plan->points_used > 0 || (plan_is_paid(plan) && plan->total > 0);
    bool confirmed = plan->is_confirmed;
    if (order_room(engine) == 0)
        return REJECT_FULL(engine, orders);
    if (plan->customer == 0 && arena_room(&engine->customers) == 0)
        return REJECT_FULL(engine, customers);
    if (!plan->is_inline && !runs_have(&engine->lines, plan->body->line_count))
        return REJECT_FULL(engine, lines);
    if (!plan->is_inline && !runs_have(&engine->pieces, plan->piece_count))
        return REJECT_FULL(engine, pieces);
    if (has_money && money_room(engine) == 0)
        return REJECT_FULL(engine, moneys);
    if (tally_room(engine) < plan->tallies_new)
        return REJECT_FULL(engine, tallies);
    if (!confirmed && !deadlines_has_room(&engine->deadlines))
        return REJECT_FULL(engine, deadlines);
    struct points_need need = plan->need;
    if (!confirmed) {
        need.deadlines += 1; /* the hold's */
    } else {
        need.lots = need.deadlines = 0;
        earning_need(engine, plan->sale, plan->total - plan->points_value, &need);
    }
    return need.takes + need.earnings > 0 ? check_points_room(engine, &need) : OUTCOME_OK;
}

static uint32_t write_lines(struct engine *engine, const struct plan *plan)
{
    uint32_t first = runs_take(&engine->lines, plan->body->line_count);
    struct line *lines = line_new(engine, first);
    for (unsigned i = 0; i < plan->body->line_count; i++)
        lines[i] = (struct line){.price = plan->lines[i].price,
                                 .sku = plan->skus[i],
                                 .quantity = plan->lines[i].quantity};
    return first;
}

/* Does the request name the warehouse that this line is taken from? */
static bool plan_is_fixed(const struct plan *plan, unsigned line)
{
    return plan->lines[line].warehouse != 0 || plan->fixed_warehouse != 0;
}

static uint16_t plan_piece_flags(const struct plan *plan, unsigned line)
{
    unsigned zone = (unsigned)plan->body->zone << PIECE_ZONE_SHIFT;
    return (uint16_t)(zone | (plan_is_fixed(plan, line) ? PIECE_IS_FIXED : 0));
}

/* Writes the lines and pieces, inside of the order or in their arenas, takes each piece's units and
 * chains it to its stock. */
static void write_parts(struct engine *engine, const struct plan *plan, uint32_t index)
{
    struct order *order = order_new(engine, index);
    struct piece *pieces = &order->parts.piece;
    uint32_t place = index;
    if (plan->is_inline) {
        order->flags |= ORDER_IS_INLINE;
    } else {
        order->parts.lines = write_lines(engine, plan);
        order->parts.pieces = runs_take(&engine->pieces, plan->piece_count);
        pieces = piece_new(engine, order->parts.pieces);
        place = order->parts.pieces | PIECE_IN_ARENA;
    }
    for (unsigned i = 0; i < plan->piece_count; i++, place++) {
        const struct planned_piece *planned = &plan->pieces[i];
        struct stock *stock = stock_edit(engine, planned->stock);
        pieces[i] = (struct piece){.stock = planned->stock,
                                   .quantity = planned->quantity,
                                   .order = plan->is_inline ? 0 : index,
                                   .pool = planned->pool,
                                   .line = (uint16_t)planned->line,
                                   .flags = plan_piece_flags(plan, planned->line)};
        piece_push(engine, stock, &pieces[i], place, false);
        stock_take(engine, stock, planned->stock, planned->pool, planned->quantity);
    }
    warehouses_enter(engine, index);
}

static uint32_t write_order(struct engine *engine, const struct plan *plan, uint64_t fingerprint)
{
    uint32_t index = order_alloc(engine);
    struct order *order = order_new(engine, index);
    uint32_t customer = plan->customer != 0
                            ? plan->customer
                            : customer_add(engine, plan->body->customer, plan->customer_hash);
    /* The record is zero but for what is written here. */
    order->id = plan->body->order;
    order->placed_seq = engine->seq;
    order->placed_us = engine->time_us;
    order->deadline_us = plan->deadline_us;
    order->fingerprint = fingerprint;
    order->total = plan->total;
    order->customer = customer;
    order->sale = plan->sale;
    order->version = 1;
    order->hold_s = plan->hold_s;
    order->currency = plan->currency;
    order->state = order_state_PENDING;
    order->flags = (uint8_t)(plan->body->allocation << ORDER_ALLOCATION_SHIFT);
    order->line_count = (uint8_t)plan->body->line_count;
    order->piece_count = (uint8_t)plan->piece_count;
    if (plan->sale != 0 && !sale_at(engine, plan->sale)->has_orders)
        sale_edit(engine, plan->sale)->has_orders = true;
    index_insert(&engine->order_index, plan->order_hash, index);
    write_parts(engine, plan, index);
    digest_mix(engine, fingerprint, (uint64_t)plan->total);
    return index;
}

/* The order takes what was planned; one that needs no payment is sold at once. */
static void write_effects(struct engine *engine, const struct plan *plan, uint32_t index)
{
    const struct sale *sale = sale_at(engine, plan->sale);
    if (plan->sale != 0 && sale->counted)
        order_tally(engine, index);
    if (plan->points_used > 0) {
        struct money *money = order_money_edit(engine, index);
        money->points_used = plan->points_used;
        money->points_value = plan->points_value;
        money->rate_points = plan->sale != 0 ? sale->rate_points : 1;
        money->rate_money = plan->sale != 0 ? sale->rate_money : 1;
        points_hold(engine, index, plan->points_used);
    }
    struct order *order = order_new(engine, index);
    if (!plan->is_confirmed) {
        engine->orders_by_state[order_state_PENDING]++;
        timer_set(engine, TIMER_hold, index, plan->deadline_us);
        return;
    }
    int64_t due = plan->total - plan->points_value;
    if (due > 0)
        order_money_edit(engine, index)->captured = due;
    order_commit(engine, index);
    order->state = order_state_CONFIRMED;
    order->flags |= (uint8_t)(ORDER_BORN_CONFIRMED | (due > 0 ? ORDER_BORN_PAID : 0));
    engine->orders_by_state[order_state_CONFIRMED]++;
    earning_promise(engine, index);
}

/* The answer as first decided; everything in it stays as it was placed. */
static void place_reply(struct engine *engine, struct command *command, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    const struct money *money = money_at(engine, order->money);
    const struct piece *pieces = order_pieces_placed(engine, order).first;
    uint32_t size = (uint32_t)(sizeof(struct order_place_reply_body) +
                               order->piece_count * sizeof(struct take_body));
    bool confirmed = (order->flags & ORDER_BORN_CONFIRMED) != 0;
    struct order_place_reply_body *reply = reply_room(engine, command, size);
    struct take_body *rows = (struct take_body *)(reply + 1);
    *reply = (struct order_place_reply_body){
        .seq = order->placed_seq,
        .total = order->total,
        .points_used = money->points_used,
        .points_value = money->points_value,
        .money_due = order->total - money->points_value,
        .hold_ends = confirmed ? 0 : order->placed_us + order->hold_s * US_PER_SECOND,
        .state = confirmed ? order_state_CONFIRMED : order_state_PENDING,
        .currency = order->currency,
        .take_count = order->piece_count,
    };
    for (unsigned i = 0; i < order->piece_count; i++)
        rows[i] = (struct take_body){.line = (uint16_t)(pieces[i].line + 1),
                                     .quantity = pieces[i].quantity,
                                     .warehouse = stock_at(engine, pieces[i].stock)->warehouse};
}

static enum outcome judge(struct engine *engine, struct plan *plan)
{
    enum outcome outcome = check_sale(engine, plan);
    if (outcome == OUTCOME_OK)
        outcome = check_prices(engine, plan);
    if (outcome == OUTCOME_OK)
        outcome = allocate(engine, plan);
    if (outcome != OUTCOME_OK)
        return outcome;
    plan->customer = customer_find(engine, plan->body->customer, plan->customer_hash);
    outcome = check_limits(engine, plan);
    if (outcome == OUTCOME_OK)
        outcome = check_total(engine, plan);
    if (outcome == OUTCOME_OK)
        outcome = check_points(engine, plan);
    if (outcome != OUTCOME_OK)
        return outcome;
    plan_hold(engine, plan);
    plan->is_inline = plan->body->line_count == 1 && plan->piece_count == 1 &&
                      plan->pieces[0].quantity == plan->lines[0].quantity;
    plan->is_confirmed = plan_is_paid(plan) || plan->total == plan->points_value;
    return check_room(engine, plan);
}

static uint64_t fingerprint_of(const struct command *command)
{
    if (order_place_has_grown || line_has_grown)
        return layout_fingerprint(message_info(command->number), command->body, command->size, 0);
    return checksum64(command->body, command->size);
}

enum outcome handle_order_place(struct engine *engine, struct command *command)
{
    struct plan plan;
    plan.body = command->body;
    plan.lines = (const struct line_body *)(plan.body + 1);
    plan.order_hash = command->order_hash;
    plan.customer_hash = command->customer_hash;
    plan.sale = plan.customer = plan.fixed_warehouse = plan.zone = plan.returning = 0;
    plan.tallies_new = 0;
    plan.need = (struct points_need){.takes = 0};
    plan.points_used = plan.points_value = 0;
    plan.piece_count = 0;
    enum outcome outcome = check_body(engine, plan.body, plan.lines);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint32_t known = order_find_hashed(engine, plan.body->order, plan.order_hash);
    if (known != 0) {
        if (order_at(engine, known)->fingerprint != fingerprint_of(command))
            return reject(engine, OUTCOME_IDEM_MISMATCH, 0, 0);
        place_reply(engine, command, known);
        return OUTCOME_REPLAYED;
    }
    outcome = judge(engine, &plan);
    if (outcome != OUTCOME_OK)
        return outcome;
    engine_accept(engine);
    uint32_t index = write_order(engine, &plan, fingerprint_of(command));
    write_effects(engine, &plan, index);
    command->order = index;
    offer_keep(engine, &plan, index);
    if (command->sink != NULL)
        place_reply(engine, command, index);
    return OUTCOME_OK;
}
