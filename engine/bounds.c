/* Whether the records of the state may be followed: what a file can say is checked here before
 * anything believes it.
 *
 * Every record of every table is looked at once, in its order. Its numbers are within the bounds
 * that the handlers keep them in, so that no sum or product of them leaves its range; what it
 * refers to is in use. Lists are checked by claims: whoever refers to the next record of a list
 * claims it, and a record can be claimed once. So no two lists meet, none goes round (the record
 * where it closed would be claimed twice), and each ends. Each record belongs to one: at the end
 * all are claimed.
 *
 * Holds for every state that was decided, and for each that is loaded or refused. What can fail:
 * memory for the claims, a bit or two a record. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "engine/forget.h"
#include "engine/image.h"
#include "engine/invariants.h"
#include "engine/keys.h"
#include "engine/memory.h"
#include "engine/order.h"
#include "engine/payment.h"
#include "engine/piece_list.h"

/* CLAIM(name, table, arena, text): the lists, and what a record is that is in none. */
#define CLAIMS(CLAIM)                                                                              \
    CLAIM(stocks, stocks, stocks, "it is not in its SKU's list")                                   \
    CLAIM(pools, pools, pools, "it is not in its sale's list")                                     \
    CLAIM(ledger, ledger, ledger, "it is neither in its customer's ledger nor free")               \
    CLAIM(steps, steps, steps, "it is neither in an order's history nor free")                     \
    CLAIM(moneys, moneys, moneys, "it is neither an order's nor free")                             \
    CLAIM(payments, payments, payments, "it is neither in its order's list nor free")              \
    CLAIM(orders, orders, orders, "it is free, and not in the list")                               \
    CLAIM(tallies, tallies, tallies, "it is free, and not in the list")                            \
    CLAIM(lines, lines, lines.records, "it is neither an order's nor free")                        \
    CLAIM(pieces, pieces, pieces.records, "it is neither an order's nor free")                     \
    CLAIM(piece_places, pieces, pieces.records, "it is not in its stock's list")                   \
    CLAIM(order_places, orders, orders, "its piece is not in its stock's list")                    \
    CLAIM(point_takes, point_takes, point_takes, "it is neither an order's nor free")              \
    CLAIM(chunks, deadline_chunks, deadlines.chunks, "it is neither a bucket's nor free")          \
    CLAIM(lots, lots, lots, "it is neither in its customer's list nor free")

#define CLAIM_ENUM(name, table, arena, text) CLAIM_##name,
enum claim { CLAIMS(CLAIM_ENUM) CLAIM_COUNT };
#undef CLAIM_ENUM

struct bounds {
    const struct engine *engine;
    struct report report;
    uint64_t *claimed[CLAIM_COUNT]; /* bitmaps by record */
    uint32_t counts[CLAIM_COUNT];   /* of the records that may be claimed */
    uint32_t queued;                /* closed orders found in the queue */
};

/* Always false. */
static bool broken_at(struct bounds *bounds, enum engine_table table, uint32_t record,
                      enum invariant invariant)
{
    report_look(&bounds->report, table, record);
    return report_broken(&bounds->report, invariant);
}

static bool is_claimed(const struct bounds *bounds, enum claim claim, uint32_t record)
{
    return (bounds->claimed[claim][record / 64] >> (record % 64) & 1) != 0;
}

/* False when there is no such record, or it is claimed already. */
static bool claim(struct bounds *bounds, enum claim claim, uint32_t record)
{
    if (record == 0 || record > bounds->counts[claim] || is_claimed(bounds, claim, record))
        return false;
    bounds->claimed[claim][record / 64] |= 1ULL << (record % 64);
    return true;
}

/* Is it the number of a record in use? */
static bool is_one_of(uint32_t index, const struct arena *arena)
{
    return index > 0 && index <= arena->count;
}

static bool is_within(int64_t value, int64_t least, int64_t most)
{
    return value >= least && value <= most;
}

static bool is_past(const struct bounds *bounds, uint64_t seq, uint64_t time_us)
{
    return seq <= bounds->engine->seq && time_us <= bounds->engine->time_us;
}

static enum invariant check_sku(struct bounds *bounds, uint32_t index)
{
    const struct sku *sku = sku_at(bounds->engine, index);
    if (sku->sku == 0 || !is_within(sku->price, 0, PRICE_MAX) || sku->currency == 0 ||
        sku->currency > CURRENCY_MAX)
        return INVARIANT_record_range;
    if (!name_is_valid(&sku->name))
        return INVARIANT_record_zero;
    if (sku->stocks == 0)
        return INVARIANT_holds;
    if (!claim(bounds, CLAIM_stocks, sku->stocks))
        return INVARIANT_record_list;
    return stock_at(bounds->engine, sku->stocks)->sku != index ? INVARIANT_record_refers
                                                               : INVARIANT_holds;
}

/* A place in the list of a stock: an order that has its piece inside, or a piece of the arena.
 * `newer` is the one that leads to it. */
static enum invariant check_place(struct bounds *bounds, uint32_t place, uint32_t stock,
                                  uint32_t newer)
{
    bool is_claim = (place & PIECE_IN_ARENA) != 0
                        ? claim(bounds, CLAIM_piece_places, place & ~PIECE_IN_ARENA)
                        : claim(bounds, CLAIM_order_places, place);
    if (place == 0)
        return INVARIANT_holds;
    if (!is_claim)
        return INVARIANT_record_list;
    if ((place & PIECE_IN_ARENA) == 0 && !order_is_inline(order_at(bounds->engine, place)))
        return INVARIANT_record_refers;
    return piece_of(bounds->engine, place)->stock != stock ||
                   piece_newer(bounds->engine, place) != newer
               ? INVARIANT_record_refers
               : INVARIANT_holds;
}

static enum invariant check_stock(struct bounds *bounds, uint32_t index)
{
    const struct stock *stock = stock_at(bounds->engine, index);
    const struct stock *next = NULL;
    if (stock->warehouse == 0)
        return INVARIANT_record_range;
    if (!is_within(stock->on_hand, 0, QUANTITY_MAX) ||
        !is_within(stock->available, -QUANTITY_MAX, QUANTITY_MAX) ||
        !is_within(stock->pooled, 0, QUANTITY_MAX) ||
        !is_within(stock->reserved, 0, QUANTITY_MAX) ||
        !is_within(stock->committed, 0, QUANTITY_MAX) ||
        !is_within(stock->unsellable, 0, QUANTITY_MAX))
        return INVARIANT_stock_range;
    if (!is_one_of(stock->sku, &bounds->engine->skus))
        return INVARIANT_record_refers;
    if (stock->next != 0) {
        if (!claim(bounds, CLAIM_stocks, stock->next))
            return INVARIANT_record_list;
        next = stock_at(bounds->engine, stock->next);
        if (next->sku != stock->sku || next->warehouse <= stock->warehouse)
            return INVARIANT_record_refers;
    }
    return check_place(bounds, stock->pieces, index, 0);
}

static enum invariant check_sale(struct bounds *bounds, uint32_t index)
{
    const struct sale *sale = sale_at(bounds->engine, index);
    if (sale->sale == 0 || sale->state < sale_state_READY || sale->state > sale_state_CLOSED ||
        sale->counted > 1 || sale->has_orders > 1 || sale->flags > sale_flags_FAIL_AT_ONCE)
        return INVARIANT_record_range;
    if (sale->opens_us > TIME_US_MAX ||
        (sale->closes_us > TIME_US_MAX && sale->closes_us != UINT64_MAX) || sale->hold_s == 0 ||
        sale->hold_s > sale->hold_max_s || sale->hold_max_s > HOLD_MAX_S)
        return INVARIANT_record_range;
    if (sale->points_max < 0 || sale->points_share > POINTS_SHARE_WHOLE ||
        (sale->rate_points == 0) != (sale->rate_money == 0))
        return INVARIANT_record_range;
    if (sale->pools == 0)
        return INVARIANT_holds;
    if (!claim(bounds, CLAIM_pools, sale->pools))
        return INVARIANT_record_list;
    return pool_at(bounds->engine, sale->pools)->sale != index ? INVARIANT_record_refers
                                                               : INVARIANT_holds;
}

static enum invariant check_pool(struct bounds *bounds, uint32_t index)
{
    const struct pool *pool = pool_at(bounds->engine, index);
    if (!is_within(pool->left, 0, UINT32_MAX) || !is_within(pool->taken, 0, UINT32_MAX))
        return INVARIANT_pool_range;
    if (!is_one_of(pool->sale, &bounds->engine->sales) ||
        !is_one_of(pool->stock, &bounds->engine->stocks))
        return INVARIANT_record_refers;
    if (pool->next == 0)
        return INVARIANT_holds;
    if (!claim(bounds, CLAIM_pools, pool->next))
        return INVARIANT_record_list;
    return pool_at(bounds->engine, pool->next)->sale != pool->sale ? INVARIANT_record_refers
                                                                   : INVARIANT_holds;
}

static enum invariant check_tally(struct bounds *bounds, uint32_t index)
{
    const struct tally *tally = tally_at(bounds->engine, index);
    if (tally->quantity > INT64_MAX)
        return INVARIANT_record_range;
    if (!is_one_of(tally->customer, &bounds->engine->customers) ||
        !is_one_of(tally->sale, &bounds->engine->sales) ||
        (tally->sku != 0 && !is_one_of(tally->sku, &bounds->engine->skus)))
        return INVARIANT_record_refers;
    return INVARIANT_holds;
}

/* The customer of a ledger entry; 0 when it has none. */
static uint32_t entry_customer(const struct engine *engine, uint32_t index)
{
    uint32_t lot = ledger_entry_at(engine, index)->lot;
    return is_one_of(lot, &engine->lots) ? lot_at(engine, lot)->customer : 0;
}

static enum invariant check_customer(struct bounds *bounds, uint32_t index)
{
    const struct engine *engine = bounds->engine;
    const struct customer *customer = customer_at(engine, index);
    if (!is_within(customer->spendable, 0, POINTS_MAX) ||
        !is_within(customer->held, 0, POINTS_MAX) || !is_within(customer->spent, 0, POINTS_MAX) ||
        customer->spendable + customer->held + customer->spent > POINTS_MAX)
        return INVARIANT_points_range;
    if (id_is_zero(customer_id_at(engine, index)->id))
        return INVARIANT_record_range;
    if ((customer->lots != 0 && !claim(bounds, CLAIM_lots, customer->lots)) ||
        (customer->ledger != 0 && !claim(bounds, CLAIM_ledger, customer->ledger)))
        return INVARIANT_record_list;
    if ((customer->lots != 0 && lot_at(engine, customer->lots)->customer != index) ||
        (customer->ledger != 0 && entry_customer(engine, customer->ledger) != index))
        return INVARIANT_record_refers;
    return INVARIANT_holds;
}

/* Is b a lot that stands behind a in their customer's list? */
static bool lot_is_behind(const struct engine *engine, uint32_t b, uint32_t a)
{
    const struct lot *ahead = lot_at(engine, a);
    const struct lot *behind = lot_at(engine, b);
    return behind->customer == ahead->customer &&
           (behind->expires_us > ahead->expires_us ||
            (behind->expires_us == ahead->expires_us && b > a));
}

/* Does the lot have points that came back of the one that it names? */
static bool lot_follows(const struct engine *engine, const struct lot *lot)
{
    if (!is_one_of(lot->origin, &engine->lots))
        return false;
    const struct lot *origin = lot_at(engine, lot->origin);
    return origin->origin == 0 && origin->customer == lot->customer &&
           origin->expires_us <= TIME_US_MAX && lot->expires_us > origin->expires_us &&
           lot->expires_us <= origin->expires_us + POINTS_GRACE_MAX_US;
}

static enum invariant check_lot(struct bounds *bounds, uint32_t index)
{
    const struct engine *engine = bounds->engine;
    const struct lot *lot = lot_at(engine, index);
    if (!is_within(lot->left, 0, POINTS_MAX) || !is_within(lot->held, 0, POINTS_MAX))
        return INVARIANT_points_range;
    if (lot->linked != (lot->left > 0) || (lot->linked == 0 && lot->next != 0))
        return INVARIANT_record_range;
    if (lot->origin == 0 && lot->expires_us > TIME_US_MAX && lot->expires_us != UINT64_MAX)
        return INVARIANT_record_range;
    if (!is_one_of(lot->customer, &engine->customers) ||
        (lot->origin != 0 && !lot_follows(engine, lot)))
        return INVARIANT_record_refers;
    if (lot->next == 0)
        return INVARIANT_holds;
    if (!claim(bounds, CLAIM_lots, lot->next))
        return INVARIANT_record_list;
    return !lot_is_behind(engine, lot->next, index) ? INVARIANT_record_refers : INVARIANT_holds;
}

static enum invariant check_entry(struct bounds *bounds, uint32_t index)
{
    const struct engine *engine = bounds->engine;
    const struct ledger_entry *entry = ledger_entry_at(engine, index);
    if (!is_past(bounds, entry->seq, entry->time_us) || !is_within(entry->points, 1, POINTS_MAX) ||
        entry->kind < LEDGER_CREDIT || entry->kind > LEDGER_EXPIRE)
        return INVARIANT_record_range;
    if (entry_customer(engine, index) == 0 || entry->order > engine->orders.count)
        return INVARIANT_record_refers;
    if (entry->previous == 0)
        return INVARIANT_holds;
    if (!claim(bounds, CLAIM_ledger, entry->previous))
        return INVARIANT_record_list;
    return entry_customer(engine, entry->previous) != entry_customer(engine, index)
               ? INVARIANT_record_refers
               : INVARIANT_holds;
}

/* A piece of the order, at this place. */
static enum invariant check_piece(struct bounds *bounds, uint32_t place, uint32_t index)
{
    const struct piece *piece = piece_of(bounds->engine, place);
    const struct engine *engine = bounds->engine;
    const struct order *order = order_at(engine, index);
    if (piece->quantity == 0 || piece->flags > PIECE_IS_FIXED)
        return INVARIANT_record_range;
    if (piece->line >= order->line_count)
        return INVARIANT_line_piece;
    if (piece_order(engine, place) != index || !is_one_of(piece->stock, &engine->stocks))
        return INVARIANT_record_refers;
    if (piece->pool != 0) {
        if (!is_one_of(piece->pool, &engine->pools))
            return INVARIANT_record_refers;
        const struct pool *pool = pool_at(engine, piece->pool);
        if (pool->stock != piece->stock || pool->sale != order->sale)
            return INVARIANT_record_refers;
    }
    return check_place(bounds, piece->next, piece->stock, place);
}

/* A row of pieces in the arena that an order has for itself. */
static enum invariant check_pieces(struct bounds *bounds, uint32_t first, uint32_t count,
                                   uint32_t order)
{
    if (count == 0 || count > ORDER_PIECES_MAX)
        return INVARIANT_record_range;
    for (uint32_t i = 0; i < count; i++) {
        if (!claim(bounds, CLAIM_pieces, first + i))
            return INVARIANT_record_refers;
        enum invariant invariant = check_piece(bounds, (first + i) | PIECE_IN_ARENA, order);
        if (invariant != INVARIANT_holds)
            return invariant;
    }
    return INVARIANT_holds;
}

/* The lines and pieces that it was placed with. */
static enum invariant check_parts(struct bounds *bounds, const struct order *order, uint32_t index)
{
    if (order->line_count == 0 || order->line_count > ORDER_LINES_MAX)
        return INVARIANT_record_range;
    if (order_is_inline(order))
        return order->line_count != 1 || order->piece_count != 1
                   ? INVARIANT_record_range
                   : check_piece(bounds, index, index);
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (!claim(bounds, CLAIM_lines, order->parts.lines + i))
            return INVARIANT_record_refers;
    }
    return check_pieces(bounds, order->parts.pieces, order->piece_count, index);
}

static enum invariant check_order_money(struct bounds *bounds, const struct order *order,
                                        uint32_t index)
{
    bool is_moved = (order->flags & ORDER_IS_MOVED) != 0;
    bool has_loose = (order->flags & ORDER_HAS_LOOSE) != 0;
    if (has_loose && (order->money != 0 || payment_loose(bounds->engine, index) == 0))
        return INVARIANT_record_refers;
    if (order->money == 0)
        return is_moved ? INVARIANT_record_refers : INVARIANT_holds;
    if (!claim(bounds, CLAIM_moneys, order->money))
        return INVARIANT_record_refers;
    const struct money *money = money_at(bounds->engine, order->money);
    if (money->order != index || is_moved != (money->pieces != 0) ||
        is_moved != (money->piece_count != 0))
        return INVARIANT_record_refers;
    if (money->points_value > order->total)
        return INVARIANT_points_value;
    if (money->payments != 0) {
        if (!claim(bounds, CLAIM_payments, money->payments))
            return INVARIANT_record_list;
        if (payment_at(bounds->engine, money->payments)->order != index)
            return INVARIANT_record_refers;
    }
    for (uint32_t at = money->takes; at != 0; at = point_take_at(bounds->engine, at)->next) {
        if (!claim(bounds, CLAIM_point_takes, at))
            return INVARIANT_record_list;
    }
    return is_moved ? check_pieces(bounds, money->pieces, money->piece_count, index)
                    : INVARIANT_holds;
}

static enum invariant check_history(struct bounds *bounds, const struct order *order)
{
    if ((order->version > 2) != (order->steps != 0))
        return INVARIANT_record_refers;
    if (order->steps == 0)
        return INVARIANT_holds;
    if (!claim(bounds, CLAIM_steps, order->steps))
        return INVARIANT_record_list;
    const struct step *step = step_at(bounds->engine, order->steps);
    return step->version != order->version ? INVARIANT_record_refers : INVARIANT_holds;
}

/* Its place in the queue: behind one that was changed before, or with it. */
static enum invariant check_closing(struct bounds *bounds, uint32_t index)
{
    const struct engine *engine = bounds->engine;
    const struct closing *closing = closing_at(engine, index);
    uint32_t older = closing->older;
    bool is_queued = order_is_queued(engine, index);
    bounds->queued += is_queued;
    if (is_queued != order_is_closed(engine, order_at(engine, index)))
        return INVARIANT_closing_queue;
    if (!is_queued)
        return closing->newer != 0 ? INVARIANT_closing_queue : INVARIANT_holds;
    if (older != 0 && (closing_at(engine, older)->newer != index ||
                       order_changed_seq(engine, order_at(engine, older)) >
                           order_changed_seq(engine, order_at(engine, index))))
        return INVARIANT_closing_queue;
    bool is_last = closing->newer == 0;
    return is_last != (engine->closing_last == index) ||
                   (!is_last && closing_at(engine, closing->newer)->older != index)
               ? INVARIANT_closing_queue
               : INVARIANT_holds;
}

/* Of an order that is being forgotten the steps and events are left. */
static enum invariant check_forgotten(struct bounds *bounds, uint32_t index)
{
    const struct engine *engine = bounds->engine;
    const struct order *order = order_at(engine, index);
    const struct order left = {
        .money = order->money, .steps = order->steps, .flags = order->flags & ORDER_HAS_LOOSE};
    if (index != engine->orders_forgetting || memcmp(order, &left, sizeof left) != 0)
        return INVARIANT_record_range;
    if (order->steps != 0 && !claim(bounds, CLAIM_steps, order->steps))
        return INVARIANT_record_list;
    const struct money *money = money_at(engine, order->money);
    const struct money listed = {.payments = money->payments, .order = money->order};
    if (memcmp(money, &listed, sizeof listed) != 0)
        return INVARIANT_record_range;
    return check_order_money(bounds, order, index);
}

static enum invariant check_order(struct bounds *bounds, uint32_t index)
{
    if (!order_is_there(bounds->engine, index))
        return check_forgotten(bounds, index);
    const struct engine *engine = bounds->engine;
    const struct order *order = order_at(engine, index);
    uint64_t deadline_us_max = engine->time_us + HOLD_MAX_S * US_PER_SECOND;
    if (id_is_zero(order->id) || order->state < order_state_PENDING ||
        order->state > order_state_CANCELLED || order->version == 0 ||
        order_allocation(order) > allocation_EXPLICIT || order->currency == 0 ||
        order->currency > CURRENCY_MAX || !is_within(order->total, 0, TOTAL_MAX))
        return INVARIANT_record_range;
    if (!is_past(bounds, order->placed_seq, order->placed_us) ||
        !is_past(bounds, order->first_seq, order->first_us) ||
        order->deadline_us > deadline_us_max || order->hold_s == 0 || order->hold_s > HOLD_MAX_S ||
        (order->version > 1 && order->first_state < order_state_PENDING) ||
        order->first_state > order_state_CANCELLED || order->first_money > money_state_REFUNDED)
        return INVARIANT_record_range;
    if (!is_one_of(order->customer, &engine->customers) || order->sale > engine->sales.count)
        return INVARIANT_record_refers;
    enum invariant invariant = check_parts(bounds, order, index);
    if (invariant == INVARIANT_holds)
        invariant = check_order_money(bounds, order, index);
    if (invariant == INVARIANT_holds)
        invariant = check_history(bounds, order);
    return invariant == INVARIANT_holds ? check_closing(bounds, index) : invariant;
}

static enum invariant check_line(struct bounds *bounds, uint32_t index)
{
    const struct line *line = line_at(bounds->engine, index);
    if (!is_within(line->price, 0, PRICE_MAX) || line->quantity == 0)
        return INVARIANT_record_range;
    return !is_one_of(line->sku, &bounds->engine->skus) ? INVARIANT_record_refers : INVARIANT_holds;
}

static enum invariant check_take(struct bounds *bounds, uint32_t index)
{
    const struct point_take *take = point_take_at(bounds->engine, index);
    if (!is_within(take->points, 1, POINTS_MAX))
        return INVARIANT_record_range;
    return !is_one_of(take->lot, &bounds->engine->lots) ? INVARIANT_record_refers : INVARIANT_holds;
}

static enum invariant check_money(struct bounds *bounds, uint32_t index)
{
    const struct money *money = money_at(bounds->engine, index);
    if (!is_within(money->points_used, 0, POINTS_MAX) ||
        !is_within(money->points_value, 0, TOTAL_MAX) || !is_within(money->captured, 0, TOTAL_MAX))
        return INVARIANT_record_range;
    if (!is_within(money->refund_due, 0, money->captured))
        return INVARIANT_money_refund;
    return INVARIANT_holds;
}

static enum invariant check_step(struct bounds *bounds, uint32_t index)
{
    const struct engine *engine = bounds->engine;
    const struct step *step = step_at(engine, index);
    if (!is_past(bounds, step->seq, step->time_us) || step->state < order_state_PENDING ||
        step->state > order_state_CANCELLED || step->money > money_state_REFUNDED ||
        step->version < 3)
        return INVARIANT_record_range;
    if ((step->previous == 0) != (step->version == 3))
        return INVARIANT_record_refers;
    if (step->previous != 0 && !claim(bounds, CLAIM_steps, step->previous))
        return INVARIANT_record_list;
    if (step->previous != 0 && step_at(engine, step->previous)->version != step->version - 1)
        return INVARIANT_record_refers;
    return step->jump != step_jump(engine, step->previous) ? INVARIANT_record_refers
                                                           : INVARIANT_holds;
}

static enum invariant check_payment(struct bounds *bounds, uint32_t index)
{
    const struct payment *payment = payment_at(bounds->engine, index);
    if (id_is_zero(payment->event) || payment->provider == 0 || payment->amount < 0 ||
        payment->time_us > bounds->engine->time_us || payment->currency == 0 ||
        payment->currency > CURRENCY_MAX || payment->status < payment_status_SUCCESS ||
        payment->status > payment_status_FAILURE ||
        (payment->outcome != OUTCOME_OK && payment->outcome != OUTCOME_AMOUNT_MISMATCH))
        return INVARIANT_record_range;
    if (!is_one_of(payment->order, &bounds->engine->orders))
        return INVARIANT_record_refers;
    if (payment->next == 0)
        return INVARIANT_holds;
    if (!claim(bounds, CLAIM_payments, payment->next))
        return INVARIANT_record_list;
    return payment_at(bounds->engine, payment->next)->order != payment->order
               ? INVARIANT_record_refers
               : INVARIANT_holds;
}

static enum invariant check_key(struct bounds *bounds, uint32_t slot)
{
    const struct key_record *key = key_record_at(bounds->engine, slot);
    return id_is_zero(key->key) || key->kept_us > engine_kept_us(bounds->engine)
               ? INVARIANT_record_range
               : INVARIANT_holds;
}

/* Record 0 is zero: the shop's beginning, before any change. */
static enum invariant check_epoch(struct bounds *bounds, uint32_t index)
{
    const struct epoch *before = epoch_at(bounds->engine, index - 1);
    const struct epoch *epoch = epoch_at(bounds->engine, index);
    return epoch->epoch <= 1 || epoch->epoch <= before->epoch || epoch->seq <= before->seq ||
                   epoch->time_us < before->time_us || !is_past(bounds, epoch->seq, epoch->time_us)
               ? INVARIANT_epoch_order
               : INVARIANT_holds;
}

/* The arenas, in an order in which what a check looks at may not be checked yet: it reads no
 * further than the record itself, or through what it has found to be in use. */
static const struct {
    enum engine_table table;
    enum invariant (*check)(struct bounds *bounds, uint32_t index);
} tables[] = {
    {TABLE_skus, check_sku},     {TABLE_stocks, check_stock},     {TABLE_sales, check_sale},
    {TABLE_pools, check_pool},   {TABLE_tallies, check_tally},    {TABLE_customers, check_customer},
    {TABLE_lots, check_lot},     {TABLE_ledger, check_entry},     {TABLE_steps, check_step},
    {TABLE_moneys, check_money}, {TABLE_point_takes, check_take}, {TABLE_lines, check_line},
    {TABLE_orders, check_order}, {TABLE_payments, check_payment}, {TABLE_epochs, check_epoch},
};

/* What the row of a member alone says of it: a reference is below the count of the table that it
 * names, and reserved bytes, whose names begin with `zero`, are zero (limit 1). */
struct member_bound {
    uint32_t offset;
    uint32_t size_bytes;
    uint64_t limit; /* 0: none */
};

static struct member_bound member_bound(const struct bounds *bounds,
                                        const struct member_info *member)
{
    struct member_bound bound = {.offset = member->offset, .size_bytes = member->size_bytes};
    if (member->refers != TABLE_none)
        bound.limit = engine_table_view(bounds->engine, member->refers).count;
    else if (strncmp(member->name, "zero", strlen("zero")) == 0)
        bound.limit = 1;
    return bound;
}

/* Every record in use of one table. */
static bool check_rows(struct bounds *bounds, enum engine_table table)
{
    const struct record_info *info = table_info(table)->record;
    struct engine_table_view view = engine_table_view(bounds->engine, table);
    for (unsigned i = 0; i < info->member_count; i++) {
        const struct member_info *member = &info->members[i];
        struct member_bound bound = member_bound(bounds, member);
        for (uint32_t record = 1; bound.limit > 0 && record < view.count; record++) {
            uint64_t value = 0;
            memcpy(&value, view.records + (uint64_t)record * view.record_size + bound.offset,
                   bound.size_bytes);
            if (value >= bound.limit && !table_record_is_free(bounds->engine, table, record))
                return broken_at(bounds, table, record,
                                 member->refers != TABLE_none ? INVARIANT_record_refers
                                                              : INVARIANT_record_zero);
        }
    }
    return true;
}

/* By the rows: so no table is forgotten, whatever is checked of it beside. */
static bool check_all_rows(struct bounds *bounds)
{
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        uint8_t kind = table_info((enum engine_table)i)->kind;
        if ((kind == TABLE_KIND_ARENA || kind == TABLE_KIND_POOL || kind == TABLE_KIND_RUNS ||
             kind == TABLE_KIND_BESIDE) &&
            !check_rows(bounds, (enum engine_table)i))
            return false;
    }
    return true;
}

static bool check_tables(struct bounds *bounds)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        struct engine_table_view view = engine_table_view(bounds->engine, tables[i].table);
        for (uint32_t record = 1; record < view.count; record++) {
            if (table_record_is_free(bounds->engine, tables[i].table, record))
                continue;
            enum invariant invariant = tables[i].check(bounds, record);
            if (invariant != INVARIANT_holds)
                return broken_at(bounds, tables[i].table, record, invariant);
        }
    }
    return true;
}

/* Record 0 stands for none, and reads as zeros. */
static bool check_nones(struct bounds *bounds)
{
    static const uint8_t zeros[KEEP_RECORD_SIZE_MAX];
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        enum engine_table table = (enum engine_table)i;
        struct engine_table_view view = engine_table_view(bounds->engine, table);
        if (table != TABLE_deadline_buckets && memcmp(view.records, zeros, view.record_size) != 0)
            return broken_at(bounds, table, 0, INVARIANT_record_none);
    }
    return true;
}

static bool check_keys(struct bounds *bounds)
{
    const struct memory_ring *ring = &bounds->engine->keys;
    if (ring->first > ring->end || ring->end > bounds->engine->seq ||
        memory_ring_count(ring) > ring->records.capacity) {
        report_look_number(&bounds->report, SCALAR_keys_end);
        return report_broken(&bounds->report, INVARIANT_key_ring);
    }
    for (uint64_t position = ring->first; position < ring->end; position++) {
        uint32_t slot = memory_ring_slot(ring, position);
        enum invariant invariant = check_key(bounds, slot);
        if (invariant != INVARIANT_holds)
            return broken_at(bounds, TABLE_keys, slot, invariant);
    }
    return true;
}

/* An entry names a timer that there is, and a record that is in use. */
static bool entry_is_sound(const struct engine *engine, uint32_t entry)
{
    uint32_t record = deadline_record(entry);
    switch (deadline_timer(entry)) {
#define TIMER(number, name, table, since, text)                                                    \
    case number:                                                                                   \
        return is_one_of(record, &engine->table);
#include "engine/tables/tables.h"
    default:
        return false;
    }
}

/* A bucket's chunks: all full but for what is done of the first and to come of the last. */
static bool check_bucket(struct bounds *bounds, uint32_t slot)
{
    const struct deadlines *deadlines = &bounds->engine->deadlines;
    const struct deadline_bucket *bucket = &deadlines->buckets[slot];
    uint64_t entries = 0;
    uint32_t last = 0;
    for (uint32_t index = bucket->head; index != 0;) {
        if (!claim(bounds, CLAIM_chunks, index))
            return broken_at(bounds, TABLE_deadline_buckets, slot, INVARIANT_record_list);
        const struct deadline_chunk *chunk = arena_at(&deadlines->chunks, index);
        bool is_whole = (index == bucket->head || chunk->first == 0) &&
                        (chunk->next == 0 || chunk->end == DEADLINE_CHUNK_ORDERS);
        if (chunk->first >= chunk->end || chunk->end > DEADLINE_CHUNK_ORDERS || !is_whole)
            return broken_at(bounds, TABLE_deadline_chunks, index, INVARIANT_record_range);
        for (unsigned i = chunk->first; i < chunk->end; i++) {
            if (!entry_is_sound(bounds->engine, chunk->orders.at[i]))
                return broken_at(bounds, TABLE_deadline_chunks, index, INVARIANT_record_refers);
        }
        entries += chunk->end - chunk->first;
        last = index;
        /* Behind the last chunk, whose next is never set, the list ends. */
        index = chunk->next;
    }
    if (entries != bucket->count || last != bucket->tail)
        return broken_at(bounds, TABLE_deadline_buckets, slot, INVARIANT_deadline_count);
    return true;
}

static bool slot_is_in_use(const struct deadlines *deadlines, uint32_t slot)
{
    return (deadlines->in_use[slot / 64] >> (slot % 64) & 1) != 0;
}

/* The first slot from this one on, and before the end, that is in use; the end when none is. Most
 * of the bitmap is zero, so pages of it are passed over first. */
static uint32_t slot_next(const struct deadlines *deadlines, uint32_t slot, uint32_t end)
{
    enum { PAGE_SLOTS = 8 * 4096 };
    static const uint8_t zeros[PAGE_SLOTS / 8];
    while (slot < end && !slot_is_in_use(deadlines, slot)) {
        const uint64_t *word = &deadlines->in_use[slot / 64];
        if (slot % 64 == 0 && end - slot >= PAGE_SLOTS && memcmp(word, zeros, sizeof zeros) == 0)
            slot += PAGE_SLOTS;
        else
            slot += slot % 64 == 0 && *word == 0 ? 64 : 1;
    }
    return slot;
}

/* The buckets of one wheel, whose slots begin at slot_first. */
static bool check_buckets(struct bounds *bounds, const struct wheel *wheel, uint32_t slot_first,
                          uint32_t slot_count)
{
    const struct deadlines *deadlines = &bounds->engine->deadlines;
    uint64_t count = 0;
    uint32_t end = slot_first + slot_count;
    for (uint32_t slot = slot_first; (slot = slot_next(deadlines, slot, end)) < end; slot++) {
        if ((slot - slot_first - wheel->first) % slot_count > wheel->last - wheel->first)
            return broken_at(bounds, TABLE_deadline_buckets, slot, INVARIANT_deadline_count);
        if (!check_bucket(bounds, slot))
            return false;
        count += deadlines->buckets[slot].count;
    }
    if (count == wheel->count)
        return true;
    return report_violated(&bounds->report, INVARIANT_deadline_count,
                           "%" PRIu64 ", its buckets have %" PRIu64, wheel->count, count);
}

/* Buckets in use lie less than a round from each other, and none further ahead than one may be set;
 * the first that is named is one of them. */
static bool wheel_is_sound(const struct deadlines *deadlines, const struct wheel *wheel,
                           uint64_t last_max, uint32_t slot_first, uint32_t slot_count)
{
    return wheel->count == 0 ||
           (wheel->first <= wheel->last && wheel->last <= last_max &&
            wheel->last - wheel->first < slot_count &&
            slot_is_in_use(deadlines, slot_first + (uint32_t)(wheel->first % slot_count)));
}

static bool check_wheel(struct bounds *bounds, const struct wheel *wheel, uint64_t last_max,
                        uint32_t slot_first, uint32_t slot_count)
{
    const struct deadlines *deadlines = &bounds->engine->deadlines;
    report_look_number(&bounds->report,
                       wheel == &deadlines->near ? SCALAR_near_count : SCALAR_far_count);
    if (!wheel_is_sound(deadlines, wheel, last_max, slot_first, slot_count))
        return report_broken(&bounds->report, INVARIANT_deadline_count);
    return check_buckets(bounds, wheel, slot_first, slot_count);
}

static bool check_deadlines(struct bounds *bounds)
{
    const struct engine *engine = bounds->engine;
    const struct deadlines *deadlines = &engine->deadlines;
    uint64_t near_max = (engine->time_us >> DEADLINE_NEAR_SHIFT) + DEADLINE_NEAR_BUCKETS - 1;
    uint64_t far_max = (engine->time_us >> DEADLINE_FAR_SHIFT) + DEADLINE_FAR_BUCKETS - 2;
    static_assert(DEADLINE_NEAR_BUCKETS % 64 == 0 && DEADLINE_FAR_BUCKETS % 64 == 0,
                  "wheels have whole words of the bitmap");
    if (!check_wheel(bounds, &deadlines->near, near_max, 0, DEADLINE_NEAR_BUCKETS) ||
        !check_wheel(bounds, &deadlines->far, far_max, DEADLINE_NEAR_BUCKETS, DEADLINE_FAR_BUCKETS))
        return false;
    if (deadlines->near.count > deadlines->capacity ||
        deadlines->far.count > deadlines->capacity - deadlines->near.count)
        return report_violated(&bounds->report, INVARIANT_deadline_count,
                               "there is room for %u in all", deadlines->capacity);
    for (uint32_t index = deadlines->chunks_free; index != 0;) {
        if (!claim(bounds, CLAIM_chunks, index))
            return broken_at(bounds, TABLE_deadline_chunks, index, INVARIANT_record_list);
        index = ((const struct deadline_chunk *)arena_at(&deadlines->chunks, index))->next;
    }
    return true;
}

/* The records of a POOL's free list are free, and no others are. */
static bool check_free_list(struct bounds *bounds, enum engine_table table, enum claim kind,
                            enum engine_scalar count)
{
    const struct engine *engine = bounds->engine;
    const struct arena *arena = table_arena_at(engine, table);
    struct free_list list = table_free_list(engine, table);
    uint32_t listed = 0;
    uint32_t free_count = 0;
    for (uint32_t at = list.first; at != 0; at = free_list_next(arena, at, list.link_offset)) {
        if (!claim(bounds, kind, at) || !table_record_is_free(engine, table, at))
            return broken_at(bounds, table, at, INVARIANT_record_list);
        listed++;
    }
    for (uint32_t record = 1; record <= arena->count; record++)
        free_count += table_record_is_free(engine, table, record);
    report_look_number(&bounds->report, count);
    return (listed == list.count && listed == free_count) ||
           report_violated(&bounds->report, INVARIANT_free_count, "%u, %u in the list, %u free",
                           list.count, listed, free_count);
}

/* The words of a free block apart, is it zero? */
static bool block_is_zero(const struct runs *runs, uint32_t first, uint32_t count)
{
    const struct arena *records = &runs->records;
    const uint8_t *bytes = arena_at(records, first);
    uint32_t behind = runs->layout->links_offset + (uint32_t)sizeof(struct run_block);
    bool is_zero =
        runs->layout->links_offset == 0 || bytes_are_zero(bytes, runs->layout->links_offset);
    return is_zero && bytes_are_zero(bytes + behind, (size_t)count * records->record_size - behind);
}

/* A block of 2^size records in the list of that size, behind `previous`. */
static bool block_is_sound(struct bounds *bounds, const struct runs *runs, enum claim kind,
                           uint32_t index, uint32_t previous, unsigned size)
{
    uint32_t count = 1u << size;
    if (index > runs->records.count || index % count != 0 ||
        count > runs->records.count - index + 1)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!claim(bounds, kind, index + i))
            return false;
    }
    struct run_block block = run_block_at(runs, index);
    return block.previous == previous && block.size == size + 1 &&
           block_is_zero(runs, index, count);
}

/* The free records of RUNS are in blocks, and no others are. */
static bool check_runs(struct bounds *bounds, const struct runs *runs, enum claim kind,
                       enum engine_scalar count)
{
    uint32_t listed = 0;
    uint32_t free_count = 0;
    for (unsigned size = 0; size < RUN_SIZES; size++) {
        uint32_t previous = 0;
        for (uint32_t at = runs->free[size]; at != 0; at = run_block_at(runs, at).next) {
            if (!block_is_sound(bounds, runs, kind, at, previous, size))
                return broken_at(bounds, runs->layout->table, at, INVARIANT_record_list);
            listed += 1u << size;
            previous = at;
        }
    }
    for (uint32_t record = 1; record <= runs->records.count; record++)
        free_count += run_is_free(runs, record);
    report_look_number(&bounds->report, count);
    return (listed == runs->free_count && listed == free_count) ||
           report_violated(&bounds->report, INVARIANT_free_count, "%u, %u in blocks, %u free",
                           runs->free_count, listed, free_count);
}

static bool check_free_lists(struct bounds *bounds)
{
#define FREE_LIST_ARENA(name)
#define FREE_LIST_POOL(name)                                                                       \
    &&check_free_list(bounds, TABLE_##name, CLAIM_##name, SCALAR_##name##_free_count)
#define FREE_LIST_RUNS(name)                                                                       \
    &&check_runs(bounds, &bounds->engine->name, CLAIM_##name, SCALAR_##name##_free_count)
#define FREE_LIST_BESIDE(name)
#define FREE_LIST_RING(name)
#define FREE_LIST_CHUNKS(name)
#define FREE_LIST_BUCKETS(name)
#define TABLE(number, KIND, name, ...) FREE_LIST_##KIND(name)
    return true
#include "engine/tables/tables.h"
        ;
}

#define CLAIM_ROW(name, table, arena, text) {TABLE_##table, text},
static const struct {
    enum engine_table table;
    const char *text;
} claims[CLAIM_COUNT] = {CLAIMS(CLAIM_ROW)};
#undef CLAIM_ROW

/* Is it the newest event of an order that has no money to list it? */
static bool payment_is_loose(const struct engine *engine, uint32_t index)
{
    uint32_t order = payment_at(engine, index)->order;
    return (order_at(engine, order)->flags & ORDER_HAS_LOOSE) != 0 &&
           payment_loose(engine, order) == index;
}

/* Need this record not be in a list of this kind? */
static bool may_be_unclaimed(const struct engine *engine, enum claim claim, uint32_t record)
{
    bool is_free = table_record_is_free(engine, claims[claim].table, record);
    if (is_free)
        return claim == CLAIM_piece_places || claim == CLAIM_order_places;
    return claim == CLAIM_orders || claim == CLAIM_tallies ||
           (claim == CLAIM_lots && lot_at(engine, record)->linked == 0) ||
           (claim == CLAIM_payments && payment_is_loose(engine, record)) ||
           (claim == CLAIM_order_places && !order_is_inline(order_at(engine, record)));
}

static bool check_claims(struct bounds *bounds)
{
    for (unsigned i = 0; i < CLAIM_COUNT; i++) {
        for (uint32_t record = 1; record <= bounds->counts[i]; record++) {
            bool may_be = may_be_unclaimed(bounds->engine, (enum claim)i, record);
            if (is_claimed(bounds, (enum claim)i, record) != may_be)
                continue;
            report_look(&bounds->report, claims[i].table, record);
            return report_violated(&bounds->report, INVARIANT_record_listed, "%s", claims[i].text);
        }
    }
    return true;
}

/* Each order of the queue names those before and behind it, so that it does not go round: when it
 * is as long as there are closed orders, it has all of them. */
static bool check_queue(struct bounds *bounds)
{
    const struct engine *engine = bounds->engine;
    uint32_t count = 0;
    uint32_t last = 0;
    for (uint32_t i = 1; i <= engine->closings.count; i++) {
        const struct closing *closing = closing_at(engine, i);
        if (!order_is_there(engine, i) && (closing->older != 0 || closing->newer != 0))
            return broken_at(bounds, TABLE_closings, i, INVARIANT_closing_queue);
    }
    report_look_number(&bounds->report, SCALAR_closing_first);
    for (uint32_t at = engine->closing_first; at != 0; at = closing_at(engine, at)->newer) {
        if (!is_one_of(at, &engine->orders) || !order_is_there(engine, at))
            return report_broken(&bounds->report, INVARIANT_closing_queue);
        last = at;
        count++;
    }
    report_look_number(&bounds->report, SCALAR_closing_count);
    if (count == bounds->queued && count == engine->closing_count && last == engine->closing_last)
        return true;
    return report_violated(&bounds->report, INVARIANT_closing_queue,
                           "%u, %u in the queue, %u closed orders", engine->closing_count, count,
                           bounds->queued);
}

/* Is the order that is being forgotten one of which something is left? */
static bool check_forgetting(struct bounds *bounds)
{
    const struct engine *engine = bounds->engine;
    uint32_t index = engine->orders_forgetting;
    report_look_number(&bounds->report, SCALAR_orders_forgetting);
    return index == 0 ||
           (is_one_of(index, &engine->orders) && !order_is_there(engine, index) &&
            !table_record_is_free(engine, TABLE_orders, index)) ||
           report_broken(&bounds->report, INVARIANT_record_refers);
}

static bool check_time(struct bounds *bounds)
{
    const struct engine *engine = bounds->engine;
    report_look_number(&bounds->report, SCALAR_changed_us);
    return (engine->time_us <= TIME_US_MAX && engine->changed_us <= engine->time_us &&
            engine->jumped_us <= engine->changed_us && engine->seq <= UINT64_MAX / 2) ||
           report_broken(&bounds->report, INVARIANT_time_order);
}

static bool claims_init(struct bounds *bounds)
{
    bool is_made = true;
#define CLAIM_COUNT_OF(name, table, arena, text)                                                   \
    bounds->counts[CLAIM_##name] = bounds->engine->arena.count;
    CLAIMS(CLAIM_COUNT_OF)
#undef CLAIM_COUNT_OF
    for (unsigned i = 0; i < CLAIM_COUNT; i++) {
        bounds->claimed[i] = calloc(bounds->counts[i] / 64 + 1, sizeof(uint64_t));
        is_made &= bounds->claimed[i] != NULL;
    }
    return is_made || report_no_memory(&bounds->report);
}

bool engine_check_bounds(const struct engine *engine, char *error, size_t error_size)
{
    struct bounds bounds = {
        .engine = engine,
        .report = {.engine = engine, .error = error, .error_size = error_size},
    };
    bool holds = claims_init(&bounds) && check_time(&bounds) && check_nones(&bounds) &&
                 check_all_rows(&bounds) && check_tables(&bounds) && check_queue(&bounds) &&
                 check_forgetting(&bounds) && check_keys(&bounds) && check_deadlines(&bounds) &&
                 check_free_lists(&bounds) && check_claims(&bounds);
    for (unsigned i = 0; i < CLAIM_COUNT; i++)
        free(bounds.claimed[i]);
    return holds;
}
