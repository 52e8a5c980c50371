/* The numbers that are kept beside the records, made anew from them: how many orders are in each
 * state, what is reserved so that they can end, all stock together, and everybody's points.
 *
 * What is decided relies on them without looking: room that was reserved is there, points that a
 * customer has are in the lots. So they are checked before a loaded state decides anything, and by
 * engine_check. The records are followed as engine_check_bounds has found them. */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/forget.h"
#include "engine/image.h"
#include "engine/invariants.h"
#include "engine/memory.h"
#include "engine/state.h"

struct totals {
    const struct engine *engine;
    struct report report;
    int64_t *held; /* by lot: by PENDING orders */
    int64_t *left; /* by customer: in lots, held of lots, spent by CONFIRMED orders */
    int64_t *held_of;
    int64_t *spent;
    uint64_t states[order_state_CANCELLED + 1];
    uint64_t refund_orders;
    uint64_t parked;
    uint64_t extended;       /* orders PENDING whose first step is taken */
    uint64_t takes_held;     /* by orders PENDING */
    uint64_t takes_expiring; /* of them, from lots that may expire */
};

static bool sum_takes(struct totals *totals, uint32_t index)
{
    const struct engine *engine = totals->engine;
    const struct order *order = order_at(engine, index);
    const struct money *money = money_at(engine, order->money);
    struct report *report = &totals->report;
    bool is_pending = order->state == order_state_PENDING;
    int64_t points = 0;
    report_look(report, TABLE_orders, index);
    for (uint32_t at = money->takes; at != 0; at = point_take_at(engine, at)->next) {
        const struct point_take *take = point_take_at(engine, at);
        const struct lot *lot = lot_at(engine, take->lot);
        if (lot->customer != order->customer)
            return report_broken(report, INVARIANT_points_owner);
        report_add(report, &points, take->points);
        report_add(report, is_pending ? &totals->held[take->lot] : &totals->spent[order->customer],
                   take->points);
        totals->takes_held += is_pending;
        totals->takes_expiring += is_pending && lot->expires_us != UINT64_MAX;
    }
    bool has = is_pending || order->state == order_state_CONFIRMED;
    int64_t used = has ? money->points_used : 0;
    return points == used || report_violated(report, INVARIANT_points_taken,
                                             "%" PRId64 " taken, %" PRId64 " used", points, used);
}

static bool sum_orders(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        if (!order_is_there(engine, i))
            continue;
        const struct order *order = order_at(engine, i);
        totals->states[order->state]++;
        totals->extended += order->state == order_state_PENDING && order->version > 1;
        if (order->money == 0)
            continue;
        const struct money *money = money_at(engine, order->money);
        totals->refund_orders += money->refund_due > 0;
        totals->parked += money->parked;
        if (!sum_takes(totals, i))
            return false;
    }
    return true;
}

/* A number that is kept, and what the records make it. */
static bool check_count(struct totals *totals, enum invariant invariant, enum engine_scalar scalar,
                        uint64_t kept, uint64_t counted)
{
    report_look_number(&totals->report, scalar);
    return kept == counted ||
           report_violated(&totals->report, invariant, "%" PRIu64 ", the records make %" PRIu64,
                           kept, counted);
}

static bool check_counts(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    static_assert(SCALAR_orders_CANCELLED - SCALAR_orders_PENDING ==
                      (int)order_state_CANCELLED - (int)order_state_PENDING,
                  "the numbers of the states stand in their order");
    for (unsigned i = 0; i <= order_state_CANCELLED - order_state_PENDING; i++) {
        unsigned state = order_state_PENDING + i;
        if (!check_count(totals, INVARIANT_order_counts,
                         (enum engine_scalar)(SCALAR_orders_PENDING + i),
                         engine->orders_by_state[state], totals->states[state]))
            return false;
    }
    return check_count(totals, INVARIANT_end_reserved, SCALAR_steps_reserved,
                       engine->steps_reserved, totals->extended) &&
           check_count(totals, INVARIANT_end_reserved, SCALAR_ledger_reserved,
                       engine->ledger_reserved, 2 * totals->takes_held) &&
           check_count(totals, INVARIANT_end_reserved, SCALAR_lots_reserved, engine->lots_reserved,
                       totals->takes_expiring) &&
           check_count(totals, INVARIANT_money_counts, SCALAR_refund_order_count,
                       engine->refund_order_count, totals->refund_orders) &&
           check_count(totals, INVARIANT_money_counts, SCALAR_parked_count, engine->parked_count,
                       totals->parked);
}

/* Each part by itself: no sum over some of the stocks is larger. */
static bool check_stocks(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    int64_t sums[6] = {0};
    for (uint32_t i = 1; i <= engine->stocks.count; i++) {
        const struct stock *stock = stock_at(engine, i);
        report_look(&totals->report, TABLE_stocks, i);
        report_add(&totals->report, &sums[0], stock->on_hand);
        report_add(&totals->report, &sums[1], stock->available > 0 ? stock->available : 0);
        report_add(&totals->report, &sums[2], stock->pooled);
        report_add(&totals->report, &sums[3], stock->reserved);
        report_add(&totals->report, &sums[4], stock->committed);
        report_add(&totals->report, &sums[5], stock->unsellable);
    }
    if (!report_sums_hold(&totals->report))
        return false;
    report_look_number(&totals->report, SCALAR_on_hand_total);
    return (sums[0] == engine->on_hand_total && sums[0] <= STOCK_TOTAL_MAX) ||
           report_violated(&totals->report, INVARIANT_stock_total,
                           "%" PRId64 ", the stocks make %" PRId64, engine->on_hand_total, sums[0]);
}

static bool check_lots(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    for (uint32_t i = 1; i <= engine->lots.count; i++) {
        if (table_record_is_free(engine, TABLE_lots, i))
            continue;
        const struct lot *lot = lot_at(engine, i);
        report_look(&totals->report, TABLE_lots, i);
        report_add(&totals->report, &totals->left[lot->customer], lot->left);
        report_add(&totals->report, &totals->held_of[lot->customer], lot->held);
        if (lot->held != totals->held[i])
            return report_violated(&totals->report, INVARIANT_points_held,
                                   "%" PRId64 " held, orders hold %" PRId64, lot->held,
                                   totals->held[i]);
    }
    return report_sums_hold(&totals->report);
}

static bool check_customers(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    for (uint32_t i = 1; i <= engine->customers.count; i++) {
        const struct customer *customer = customer_at(engine, i);
        report_look(&totals->report, TABLE_customers, i);
        if (customer->spendable != totals->left[i] || customer->held != totals->held_of[i])
            return report_violated(&totals->report, INVARIANT_points_lots,
                                   "%" PRId64 " spendable and %" PRId64 " held, the lots have "
                                   "%" PRId64 " and %" PRId64,
                                   customer->spendable, customer->held, totals->left[i],
                                   totals->held_of[i]);
        if (customer->spent != totals->spent[i])
            return report_violated(&totals->report, INVARIANT_points_spent,
                                   "%" PRId64 " spent, its orders %" PRId64, customer->spent,
                                   totals->spent[i]);
    }
    return true;
}

static bool sums_init(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    totals->held = calloc(engine->lots.count + 1u, sizeof(int64_t));
    totals->left = calloc(engine->customers.count + 1u, sizeof(int64_t));
    totals->held_of = calloc(engine->customers.count + 1u, sizeof(int64_t));
    totals->spent = calloc(engine->customers.count + 1u, sizeof(int64_t));
    bool is_made = totals->held != NULL && totals->left != NULL && totals->held_of != NULL &&
                   totals->spent != NULL;
    return is_made || report_no_memory(&totals->report);
}

static void sums_deinit(struct totals *totals)
{
    free(totals->held);
    free(totals->left);
    free(totals->held_of);
    free(totals->spent);
}

bool engine_check_totals(const struct engine *engine, char *error, size_t error_size)
{
    struct totals totals = {
        .engine = engine,
        .report = {.engine = engine, .error = error, .error_size = error_size},
    };
    bool hold = sums_init(&totals) && sum_orders(&totals) && check_counts(&totals) &&
                check_stocks(&totals) && check_lots(&totals) && check_customers(&totals);
    sums_deinit(&totals);
    return hold;
}
