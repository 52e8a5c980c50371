/* Every invariant of the state, restated as plainly as can be and checked over everything: sums
 * are made anew from the orders and compared with what the tables say. A sum that leaves its range
 * is a violation, whatever it is compared with. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/state.h"

struct check {
    const struct engine *engine;
    char *error;
    size_t error_size;
    int64_t *reserved; /* by stock */
    int64_t *committed;
    int64_t *pooled;
    int64_t *taken;    /* by pool */
    int64_t *tally;    /* by tally */
    int64_t *held;     /* by lot */
    int64_t *captured; /* by order, by its payments: captured, and how many are parked */
    int64_t *parked;
    int64_t *left; /* by customer: lots' left, lots' held, what orders spent, ledger */
    int64_t *held_of;
    int64_t *spent;
    int64_t *ledger;
    bool *has_deadline; /* by order */
    uint64_t states[order_state_CANCELLED + 1];
    uint64_t refund_orders;
    uint64_t takes;
    uint64_t takes_held;     /* of them, by orders PENDING */
    uint64_t takes_expiring; /* and of these, from lots that may expire */
    uint64_t extended;       /* orders PENDING whose first step is taken */
    bool has_wrapped;        /* some sum has left its range */
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

static bool check_order_points(struct check *check, const struct order *order, const char *id)
{
    const struct engine *engine = check->engine;
    const struct money *money = money_at(engine, order->money);
    int64_t points = 0;
    for (uint32_t at = money->takes; at != 0; at = point_take_at(engine, at)->next) {
        const struct point_take *take = point_take_at(engine, at);
        sum_add(check, &points, take->points);
        check->takes++;
        if (lot_at(engine, take->lot)->customer != order->customer)
            return violated(check, "order %s has taken points of another customer", id);
        if (order->state == order_state_CONFIRMED)
            sum_add(check, &check->spent[order->customer], take->points);
        if (order->state != order_state_PENDING)
            continue;
        sum_add(check, &check->held[take->lot], take->points);
        check->takes_held++;
        check->takes_expiring += lot_at(engine, take->lot)->expires_us != UINT64_MAX;
    }
    if (points != (order_has(order) ? money->points_used : 0))
        return violated(check, "order %s used %" PRId64 " points and has taken %" PRId64, id,
                        money->points_used, points);
    return true;
}

static bool check_order_money(struct check *check, uint32_t index, const char *id)
{
    const struct order *order = order_at(check->engine, index);
    const struct money *money = money_at(check->engine, order->money);
    if (money->points_value < 0 || money->points_value > order->total)
        return violated(check, "order %s: points worth %" PRId64 " of a total of %" PRId64, id,
                        money->points_value, order->total);
    if (money->refund_due < 0 || money->refund_due > money->captured)
        return violated(check, "order %s: %" PRId64 " due for refund of %" PRId64 " captured", id,
                        money->refund_due, money->captured);
    bool has_word_to_come = (order->flags & (ORDER_BORN_PAID | ORDER_IS_TOLD)) == ORDER_BORN_PAID;
    int64_t told =
        check->captured[index] + (has_word_to_come ? order->total - money->points_value : 0);
    if (money->captured != told)
        return violated(check, "order %s: %" PRId64 " captured, its payments make %" PRId64, id,
                        money->captured, told);
    if (money->parked != check->parked[index])
        return violated(check, "order %s: %u payments parked, not %" PRId64, id, money->parked,
                        check->parked[index]);
    check->refund_orders += money->refund_due > 0;
    return check_order_points(check, order, id);
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
        if (step->seq > seq || step->seq < order->first_seq || step->version != version ||
            step->jump != step_jump(engine, step->previous))
            return violated(check, "order %s: its history breaks at version %u", id, version);
        seq = step->seq;
    }
    if (version > 2 || (version == 2) != (order->first_seq >= order->placed_seq))
        return violated(check, "order %s has version %u and %u steps", id, order->version,
                        order->version - version + 1);
    return true;
}

static void note_deadline(void *context, uint64_t bucket_us, uint32_t index)
{
    struct check *check = context;
    if (deadline_bucket_us(order_at(check->engine, index)->deadline_us) == bucket_us)
        check->has_deadline[index] = true;
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
        if (order->state < order_state_PENDING || order->state > order_state_CANCELLED)
            return violated(check, "order %s has no legal state", id);
        check->states[order->state]++;
        check->extended += order->state == order_state_PENDING && order->version > 1;
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
    uint64_t parked = 0;
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
        parked += is_parked;
    }
    if (parked != engine->parked_count)
        return violated(check, "%" PRIu64 " payments are parked, %" PRIu64 " are counted", parked,
                        engine->parked_count);
    return sums_hold(check, "payments");
}

static bool check_times(struct check *check)
{
    const struct engine *engine = check->engine;
    if (engine->jumped_us > engine->changed_us || engine->changed_us > engine->time_us)
        return violated(check, "the time of the last change is before its jumps, or to come");
    return keys_are_in_order(engine) ||
           violated(check, "keys or payments are not in the order in which they were added");
}

static bool check_counts(struct check *check)
{
    const struct engine *engine = check->engine;
    for (unsigned state = 1; state <= order_state_CANCELLED; state++) {
        if (check->states[state] != engine->orders_by_state[state])
            return violated(check, "%" PRIu64 " orders are %s, %" PRIu64 " are counted",
                            check->states[state], named_value_name(FIELD_order_state, state),
                            engine->orders_by_state[state]);
    }
    if (engine->steps_reserved != check->extended)
        return violated(check,
                        "steps are reserved for %u orders, not for those PENDING and extended",
                        engine->steps_reserved);
    if (engine->ledger_reserved != 2 * check->takes_held)
        return violated(check, "%u ledger entries are reserved for %" PRIu64 " held takes",
                        engine->ledger_reserved, check->takes_held);
    if (engine->lots_reserved != check->takes_expiring)
        return violated(check, "%u lots are reserved for %" PRIu64 " takes that may expire",
                        engine->lots_reserved, check->takes_expiring);
    if (check->refund_orders != engine->refund_order_count)
        return violated(check, "%" PRIu64 " orders have a refund due, %" PRIu64 " are counted",
                        check->refund_orders, engine->refund_order_count);
    if (engine->point_takes.count - engine->point_takes_free_count != check->takes)
        return violated(check, "point takes are lost: %u of %u are free, %" PRIu64 " in use",
                        engine->point_takes_free_count, engine->point_takes.count, check->takes);
    return true;
}

static bool check_pools(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->pools.count; i++) {
        const struct pool *pool = pool_at(engine, i);
        uint32_t sale = sale_at(engine, pool->sale)->sale;
        if (pool->left < 0 || pool->taken < 0)
            return violated(check, "sale %u: a pool is negative", sale);
        if (pool->taken != check->taken[i])
            return violated(check, "sale %u: a pool counts %" PRId64 " taken, orders have %" PRId64,
                            sale, pool->taken, check->taken[i]);
        sum_add(check, &check->pooled[pool->stock], pool->left);
    }
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
    int64_t total = 0;
    for (uint32_t i = 1; i <= engine->stocks.count; i++) {
        const struct stock *stock = stock_at(engine, i);
        uint64_t sku = sku_at(engine, stock->sku)->sku;
        int64_t parts = stock->available;
        sum_add(check, &parts, stock->pooled);
        sum_add(check, &parts, stock->reserved);
        sum_add(check, &parts, stock->committed);
        sum_add(check, &parts, stock->unsellable);
        sum_add(check, &total, stock->on_hand);
        if (stock->on_hand != parts)
            return violated(check, "sku %" PRIu64 " in warehouse %u: on_hand is not its parts' sum",
                            sku, stock->warehouse);
        if (stock->on_hand < 0 || stock->pooled < 0 || stock->reserved < 0 ||
            stock->committed < 0 || stock->unsellable < 0)
            return violated(check, "sku %" PRIu64 " in warehouse %u: a part is negative", sku,
                            stock->warehouse);
        if (stock->on_hand > QUANTITY_MAX || stock_promised(stock) > QUANTITY_MAX)
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
    if (total != engine->on_hand_total || total > STOCK_TOTAL_MAX)
        return violated(check, "on_hand is %" PRId64 " in all, %" PRId64 " is counted", total,
                        engine->on_hand_total);
    return sums_hold(check, "stock");
}

static void sum_points(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->lots.count; i++) {
        const struct lot *lot = lot_at(engine, i);
        sum_add(check, &check->left[lot->customer], lot->left);
        sum_add(check, &check->held_of[lot->customer], lot->held);
    }
    for (uint32_t i = 1; i <= engine->ledger.count; i++) {
        const struct ledger_entry *entry = ledger_entry_at(engine, i);
        int64_t sign = entry->kind == LEDGER_CREDIT || entry->kind == LEDGER_RETURN  ? 1
                       : entry->kind == LEDGER_SPEND || entry->kind == LEDGER_EXPIRE ? -1
                                                                                     : 0;
        sum_add(check, &check->ledger[lot_at(engine, entry->lot)->customer], sign * entry->points);
    }
}

static bool check_points(struct check *check)
{
    const struct engine *engine = check->engine;
    char id[ID_TEXT_SIZE];
    for (uint32_t i = 1; i <= engine->lots.count; i++) {
        const struct lot *lot = lot_at(engine, i);
        if (lot->left < 0 || lot->held < 0 || lot->held != check->held[i] ||
            (lot->linked != 0) != (lot->left > 0))
            return violated(check,
                            "lot %u: left %" PRId64 ", held %" PRId64 ", orders hold %" PRId64, i,
                            lot->left, lot->held, check->held[i]);
        const struct lot *origin = lot_at(engine, lot->origin);
        if (lot->origin != 0 &&
            (origin->origin != 0 || origin->customer != lot->customer ||
             lot->expires_us <= origin->expires_us || lot->expires_us > lot_last_us(engine, lot)))
            return violated(check, "lot %u does not follow from the one that it came from", i);
    }
    sum_points(check);
    if (!sums_hold(check, "points"))
        return false;
    for (uint32_t i = 1; i <= engine->customers.count; i++) {
        const struct customer *customer = customer_at(engine, i);
        struct id known = customer_id_at(engine, i)->id;
        id_format(known, id);
        if (customer_find(engine, known, hash_id(engine, known)) != i)
            return violated(check, "customer %s is there twice, or is not found", id);
        if (customer->spendable != check->left[i] || customer->held != check->held_of[i])
            return violated(check, "customer %s: points are not the sum of the lots", id);
        if (customer->spent != check->spent[i])
            return violated(check, "customer %s: points spent are not those of the orders", id);
        int64_t owned = customer->spendable;
        sum_add(check, &owned, customer->held);
        if (owned != check->ledger[i])
            return violated(check, "customer %s: points are not the sum of the ledger", id);
        sum_add(check, &owned, customer->spent);
        if (owned > POINTS_MAX)
            return violated(check, "customer %s: more points than there may be", id);
    }
    return sums_hold(check, "a customer's points");
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
        {&check->tally, engine->tallies.count},   {&check->held, engine->lots.count},
        {&check->captured, engine->orders.count}, {&check->parked, engine->orders.count},
        {&check->left, engine->customers.count},  {&check->held_of, engine->customers.count},
        {&check->spent, engine->customers.count}, {&check->ledger, engine->customers.count},
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
    free(check->held);
    free(check->captured);
    free(check->parked);
    free(check->left);
    free(check->held_of);
    free(check->spent);
    free(check->ledger);
    free(check->has_deadline);
}

bool engine_check(const struct engine *engine, char *error, size_t error_size)
{
    struct check check = {.engine = engine, .error = error, .error_size = error_size};
    bool holds = sums_init(&check)
                     ? check_times(&check) && check_payments(&check) && check_orders(&check) &&
                           check_counts(&check) && check_pools(&check) && check_stocks(&check) &&
                           check_points(&check)
                     : violated(&check, "out of memory while checking");
    sums_deinit(&check);
    return holds;
}
