/* Every invariant of the state, restated as plainly as can be and checked over everything: first
 * that records can be followed (bounds.c) and the numbers beside them (totals.c), then what they
 * mean. Sums are made anew from the orders and compared with what the tables say. A sum that leaves
 * its range is a violation, whatever it is compared with. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/image.h"
#include "engine/keys.h"
#include "engine/order.h"
#include "engine/payment.h"
#include "engine/points.h"
#include "engine/stock.h"
#include "engine/tally.h"
#include "engine/timers.h"

struct check {
    const struct engine *engine;
    char *error;
    size_t error_size;
    int64_t *reserved; /* by stock */
    int64_t *committed;
    int64_t *pooled;
    int64_t *taken;    /* by pool */
    int64_t *tally;    /* by tally */
    int64_t *captured; /* by order, by its payments: captured, and how many are parked */
    int64_t *parked;
    int64_t *ledger;    /* by customer */
    bool *has_deadline; /* by order */
    bool has_wrapped;   /* some sum has left its range */
};

__attribute__((format(printf, 2, 3))) static bool violated(struct check *check, const char *format,
                                                           ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->error, check->error_size, format, arguments);
    va_end(arguments);
    return false;
}

static void sum_add(struct check *check, int64_t *sum, int64_t amount)
{
    check->has_wrapped |= __builtin_add_overflow(*sum, amount, sum);
}

/* Did all sums that were made stay numbers? */
static bool sums_hold(struct check *check, const char *what)
{
    return !check->has_wrapped || violated(check, "a sum of %s leaves its range", what);
}

static bool order_has(const struct order *order)
{
    return order->state == order_state_PENDING || order->state == order_state_CONFIRMED;
}

static void sum_pieces(struct check *check, const struct order *order)
{
    const struct engine *engine = check->engine;
    struct pieces pieces = order_pieces(engine, order);
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.first[i];
        int64_t *sums = order->state == order_state_PENDING ? check->reserved : check->committed;
        sum_add(check, &sums[piece->stock], piece->quantity);
        if (piece->pool != 0)
            sum_add(check, &check->taken[piece->pool], piece->quantity);
        if (order->sale == 0 || !sale_at(engine, order->sale)->counted)
            continue;
        uint32_t sku = stock_at(engine, piece->stock)->sku;
        uint32_t of_sku = tally_find(engine, order->customer, order->sale, sku);
        uint32_t of_sale = tally_find(engine, order->customer, order->sale, 0);
        sum_add(check, &check->tally[of_sku], piece->quantity);
        sum_add(check, &check->tally[of_sale], piece->quantity);
    }
}

/* Lines against pieces: nothing allocated beyond what was asked for, and the total is theirs. */
static bool check_lines(struct check *check, const struct order *order, struct pieces pieces,
                        const char *id)
{
    const struct engine *engine = check->engine;
    uint64_t allocated[ORDER_LINES_MAX] = {0};
    int64_t total = 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.first[i];
        if (piece->line >= order->line_count || piece->quantity == 0)
            return violated(check, "order %s has a piece of no line, or of nothing", id);
        struct line line = order_line(engine, order, piece->line);
        if (stock_at(engine, piece->stock)->sku != line.sku)
            return violated(check, "order %s has a piece of another SKU than its line", id);
        allocated[piece->line] += piece->quantity;
        int64_t price = 0;
        check->has_wrapped |= __builtin_mul_overflow(line.price, piece->quantity, &price);
        sum_add(check, &total, price);
    }
    for (unsigned i = 0; i < order->line_count; i++) {
        if (allocated[i] > order_line(engine, order, i).quantity)
            return violated(check, "order %s has more allocated than asked for on line %u", id,
                            i + 1);
    }
    if (total != order->total)
        return violated(check, "order %s: the lines make %" PRId64 ", the total is %" PRId64, id,
                        total, order->total);
    return true;
}

static bool check_order_money(struct check *check, uint32_t index, const char *id)
{
    const struct order *order = order_at(check->engine, index);
    const struct money *money = money_at(check->engine, order->money);
    bool has_word_to_come = (order->flags & (ORDER_BORN_PAID | ORDER_IS_TOLD)) == ORDER_BORN_PAID;
    int64_t told =
        check->captured[index] + (has_word_to_come ? order->total - money->points_value : 0);
    if (money->captured != told)
        return violated(check, "order %s: %" PRId64 " captured, its payments make %" PRId64, id,
                        money->captured, told);
    if (money->parked != check->parked[index])
        return violated(check, "order %s: %u payments parked, not %" PRId64, id, money->parked,
                        check->parked[index]);
    return true;
}

static bool check_history(struct check *check, const struct order *order, const char *id)
{
    const struct engine *engine = check->engine;
    uint32_t version = order->version;
    uint64_t seq = UINT64_MAX;
    uint8_t state = order->steps != 0 ? step_at(engine, order->steps)->state : order->first_state;
    if (version > 1 && state != order->state)
        return violated(check, "order %s: its newest step is not into its state", id);
    for (uint32_t at = order->steps; at != 0; at = step_at(engine, at)->previous, version--) {
        const struct step *step = step_at(engine, at);
        if (step->seq > seq || step->seq < order->first_seq)
            return violated(check, "order %s: its history breaks at version %u", id, version);
        seq = step->seq;
    }
    if (version > 2 || (version == 2) != (order->first_seq >= order->placed_seq))
        return violated(check, "order %s has version %u and %u steps", id, order->version,
                        order->version - version + 1);
    return true;
}

/* An entry in a far bucket is set again before its time. */
static void note_deadline(void *context, uint64_t bucket_us, bool is_far, uint32_t entry)
{
    struct check *check = context;
    uint32_t index = deadline_record(entry);
    if (deadline_timer(entry) != TIMER_hold || index > check->engine->orders.count)
        return;
    uint64_t deadline_us = order_at(check->engine, index)->deadline_us;
    check->has_deadline[index] |=
        is_far ? bucket_us <= deadline_us : bucket_us == deadline_bucket_us(deadline_us);
}

static bool check_orders(struct check *check)
{
    const struct engine *engine = check->engine;
    char id[ID_TEXT_SIZE];
    deadlines_each(&engine->deadlines, note_deadline, check);
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        const struct order *order = order_at(engine, i);
        id_format(order->id, id);
        if (order_find(engine, order->id) != i)
            return violated(check, "order %s is there twice, or is not found", id);
        if (!check_lines(check, order, order_pieces_placed(engine, order), id) ||
            !check_lines(check, order, order_pieces(engine, order), id) ||
            !check_order_money(check, i, id) || !check_history(check, order, id))
            return false;
        if (order_has(order))
            sum_pieces(check, order);
        if (order->state == order_state_PENDING && !check->has_deadline[i])
            return violated(check, "order %s is PENDING without a deadline to come", id);
    }
    return sums_hold(check, "what orders have");
}

static bool check_payments(struct check *check)
{
    const struct engine *engine = check->engine;
    char id[ID_TEXT_SIZE];
    for (uint32_t i = 1; i <= engine->payments.count; i++) {
        const struct payment *payment = payment_at(engine, i);
        bool is_parked = payment->outcome != OUTCOME_OK;
        if (payment_find(engine, payment->event, payment->provider) != i)
            return violated(check,
                            "payment event %s of provider %u is there twice, or is not found",
                            id_format(payment->event, id), payment->provider);
        if (payment->status == payment_status_SUCCESS && !is_parked)
            sum_add(check, &check->captured[payment->order], payment->amount);
        check->parked[payment->order] += is_parked;
    }
    return sums_hold(check, "payments");
}

static bool check_times(struct check *check)
{
    const struct engine *engine = check->engine;
    if (engine->jumped_us > engine->changed_us || engine->changed_us > engine->time_us)
        return violated(check, "the time of the last change is before its jumps, or to come");
    return keys_are_in_order(engine) ||
           violated(check, "keys are not in the order in which they were added");
}

static bool check_pools(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->pools.count; i++) {
        const struct pool *pool = pool_at(engine, i);
        uint32_t sale = sale_at(engine, pool->sale)->sale;
        if (pool->taken != check->taken[i])
            return violated(check, "sale %u: a pool counts %" PRId64 " taken, orders have %" PRId64,
                            sale, pool->taken, check->taken[i]);
        sum_add(check, &check->pooled[pool->stock], pool->left);
    }
    if (check->tally[0] != 0)
        return violated(check, "%" PRId64 " units of a sale with limits are counted for nobody",
                        check->tally[0]);
    for (uint32_t i = 1; i <= engine->tallies.count; i++) {
        const struct tally *tally = tally_at(engine, i);
        if ((int64_t)tally->quantity != check->tally[i])
            return violated(check, "sale %u: a customer's count is %" PRIu64 ", not %" PRId64,
                            sale_at(engine, tally->sale)->sale, tally->quantity, check->tally[i]);
    }
    return sums_hold(check, "pools");
}

static bool check_stocks(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->stocks.count; i++) {
        const struct stock *stock = stock_at(engine, i);
        uint64_t sku = sku_at(engine, stock->sku)->sku;
        int64_t promised = stock_promised(stock);
        if (stock->on_hand != stock->available + promised)
            return violated(check, "sku %" PRIu64 " in warehouse %u: on_hand is not its parts' sum",
                            sku, stock->warehouse);
        if (promised > QUANTITY_MAX)
            return violated(check, "sku %" PRIu64 " in warehouse %u: more than there may be", sku,
                            stock->warehouse);
        if (stock->reserved != check->reserved[i] || stock->committed != check->committed[i] ||
            stock->pooled != check->pooled[i])
            return violated(check,
                            "sku %" PRIu64 " in warehouse %u: reserved %" PRId64
                            " committed %" PRId64 " pooled %" PRId64 ", orders and pools have "
                            "%" PRId64 " %" PRId64 " %" PRId64,
                            sku, stock->warehouse, stock->reserved, stock->committed, stock->pooled,
                            check->reserved[i], check->committed[i], check->pooled[i]);
    }
    return sums_hold(check, "stock");
}

static void sum_ledger(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->ledger.count; i++) {
        const struct ledger_entry *entry = ledger_entry_at(engine, i);
        int64_t sign = entry->kind == LEDGER_CREDIT || entry->kind == LEDGER_RETURN  ? 1
                       : entry->kind == LEDGER_SPEND || entry->kind == LEDGER_EXPIRE ? -1
                                                                                     : 0;
        sum_add(check, &check->ledger[lot_at(engine, entry->lot)->customer], sign * entry->points);
    }
}

static bool check_customers(struct check *check)
{
    const struct engine *engine = check->engine;
    char id[ID_TEXT_SIZE];
    sum_ledger(check);
    for (uint32_t i = 1; i <= engine->customers.count; i++) {
        const struct customer *customer = customer_at(engine, i);
        struct id known = customer_id_at(engine, i)->id;
        id_format(known, id);
        if (customer_find(engine, known, hash_id(engine, known)) != i)
            return violated(check, "customer %s is there twice, or is not found", id);
        if (customer->spendable + customer->held != check->ledger[i])
            return violated(check, "customer %s: points are not the sum of the ledger", id);
    }
    return sums_hold(check, "points");
}

static bool sums_init(struct check *check)
{
    const struct engine *engine = check->engine;
    struct {
        int64_t **sums;
        uint32_t count;
    } all[] = {
        {&check->reserved, engine->stocks.count}, {&check->committed, engine->stocks.count},
        {&check->pooled, engine->stocks.count},   {&check->taken, engine->pools.count},
        {&check->tally, engine->tallies.count},   {&check->captured, engine->orders.count},
        {&check->parked, engine->orders.count},   {&check->ledger, engine->customers.count},
    };
    bool made = true;
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        *all[i].sums = calloc(all[i].count + 1u, sizeof(int64_t));
        made &= *all[i].sums != NULL;
    }
    check->has_deadline = calloc(engine->orders.count + 1u, sizeof(bool));
    return made && check->has_deadline != NULL;
}

static void sums_deinit(struct check *check)
{
    free(check->reserved);
    free(check->committed);
    free(check->pooled);
    free(check->taken);
    free(check->tally);
    free(check->captured);
    free(check->parked);
    free(check->ledger);
    free(check->has_deadline);
}

static bool check_meaning(const struct engine *engine, char *error, size_t error_size)
{
    struct check check = {.engine = engine, .error = error, .error_size = error_size};
    bool holds = sums_init(&check)
                     ? check_times(&check) && check_payments(&check) && check_orders(&check) &&
                           check_pools(&check) && check_stocks(&check) && check_customers(&check)
                     : violated(&check, "out of memory while checking");
    sums_deinit(&check);
    return holds;
}

bool engine_check(const struct engine *engine, char *error, size_t error_size)
{
    return engine_check_bounds(engine, error, error_size) &&
           engine_check_totals(engine, error, error_size) &&
           check_meaning(engine, error, error_size);
}
