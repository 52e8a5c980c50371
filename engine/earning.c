/* What orders earn: points by the money that a shop keeps of them.
 *
 *                        the window closes                 money is paid back
 *   promised ------------------------------> a lot ----------------------------> taken back
 *       |  earning_promise     timer_earning    |           earning_changed
 *       |                                       +--> what the customer owed
 *       +--------------------------------------> taken back
 *          money is paid back: earning_changed
 *
 * The terms are those of the moment of the confirmation: they stand in the order's earning. Its
 * return window begins there, and anew with the delivery; while the order is on its way the window
 * does not close. What is promised is no part of any balance. What is taken back later comes from
 * the customer's lots, the earned one first; what is not there any more is owed, and taken from the
 * next points that any order earns.
 *
 * A window closes by itself, so its lot and three entries of the ledger are kept in reserve from
 * the promise on: that the points came, that they went to what was owed, and that they expired. */
#include "engine/earning.h"

#include "engine/account.h"
#include "engine/keys.h"
#include "engine/timers.h"

enum { LEDGER_ENTRIES_PER_EARNING = 3 };

__extension__ typedef __int128 wide;

struct earning_terms {
    uint32_t points;
    uint32_t money;
    uint32_t return_window_s;
    uint32_t life_s;
};

static struct earning_terms terms_of_sale(const struct engine *engine, uint32_t index)
{
    const struct sale *sale = sale_at(engine, index);
    if (index == 0)
        return (struct earning_terms){engine->earn_points, engine->earn_money,
                                      engine->return_window_s, engine->earn_life_s};
    return (struct earning_terms){sale->earn_points, sale->earn_money, sale->return_window_s,
                                  sale->earn_life_s};
}

static int64_t points_for(uint32_t earn_points, uint32_t earn_money, int64_t kept)
{
    if (earn_money == 0)
        return 0;
    wide points = (wide)kept * earn_points / earn_money;
    return points < POINTS_MAX ? (int64_t)points : POINTS_MAX;
}

int64_t earning_entitled(const struct earning *earning, int64_t kept)
{
    int64_t points = points_for(earning->earn_points, earning->earn_money, kept);
    return points < earning->earned ? points : earning->earned;
}

static uint32_t earning_of(const struct engine *engine, const struct order *order)
{
    return money_at(engine, order->money)->earning;
}

bool earning_is_open(const struct engine *engine, const struct order *order)
{
    return earning_at(engine, earning_of(engine, order))->promised > 0;
}

/* The lot that comes of it, and the entries, are kept as long as something is promised. */
static void earning_reserve(struct engine *engine)
{
    lots_reserve(engine, 1);
    engine->ledger_reserved += LEDGER_ENTRIES_PER_EARNING;
}

static void earning_unreserve(struct engine *engine)
{
    lots_reserve(engine, -1);
    engine->ledger_reserved -= LEDGER_ENTRIES_PER_EARNING;
}

static void earning_digest(struct engine *engine, const struct earning *earning)
{
    digest_mix(engine, (uint64_t)earning->promised ^ (uint64_t)earning->order << 32,
               (uint64_t)earning->taken_back ^ earning->ends_us);
}

void earning_need(const struct engine *engine, uint32_t sale, int64_t kept,
                  struct points_need *need)
{
    struct earning_terms terms = terms_of_sale(engine, sale);
    if (points_for(terms.points, terms.money, kept) == 0)
        return;
    need->earnings++;
    need->lots++;
    need->entries += LEDGER_ENTRIES_PER_EARNING;
    need->deadlines += 2; /* the window's, and the lot's */
}

static void window_begin(struct engine *engine, uint32_t index)
{
    struct earning *earning = earning_edit(engine, index);
    earning->ends_us = engine->time_us + earning->return_window_s * US_PER_SECOND;
    timer_set(engine, TIMER_earning, index, earning->ends_us);
    earning_digest(engine, earning);
}

/* Not more than the customer may have: what would be above that is not earned. */
void earning_promise(struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    struct earning_terms terms = terms_of_sale(engine, order->sale);
    int64_t points = points_for(terms.points, terms.money, order_kept(engine, order));
    if (points == 0)
        return;
    points_sweep(engine, order->customer);
    int64_t room = POINTS_MAX - points_owned(engine, order->customer);
    if (points > room)
        points = room;
    if (points == 0)
        return;
    uint32_t at = earning_alloc(engine);
    TILL_ASSERT(at != 0);
    *earning_new(engine, at) = (struct earning){
        .earned = points,
        .promised = points,
        .order = index,
        .earn_points = terms.points,
        .earn_money = terms.money,
        .return_window_s = terms.return_window_s,
        .earn_life_s = terms.life_s,
    };
    money_edit(engine, order->money)->earning = at;
    customer_edit(engine, order->customer)->promised += points;
    earning_reserve(engine);
    window_begin(engine, at);
}

void earning_need_delivered(const struct engine *engine, const struct order *order,
                            struct points_need *need)
{
    need->deadlines += earning_is_open(engine, order);
}

void earning_delivered(struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    if (earning_is_open(engine, order))
        window_begin(engine, earning_of(engine, order));
}

/* What is to be taken back when so much money is kept. */
static int64_t excess(const struct earning *earning, int64_t kept)
{
    int64_t more = earning->earned - earning->taken_back - earning_entitled(earning, kept);
    return more > 0 ? more : 0;
}

/* What the order's points come back to may be taken from as well. */
void earning_need_changed(const struct engine *engine, const struct order *order, int64_t kept,
                          struct points_need *need)
{
    const struct earning *earning = earning_at(engine, earning_of(engine, order));
    if (earning->granted > 0)
        need->entries += 1 + points_take_count(engine, order) +
                         points_takes_from(engine, order->customer, excess(earning, kept));
}

/* Takes points back from a lot, as far as they are there; returns how many. */
static int64_t claw_lot(struct engine *engine, uint32_t lot, uint32_t order, int64_t points)
{
    int64_t left = lot_at(engine, lot)->left;
    int64_t taken = left < points ? left : points;
    if (taken == 0)
        return 0;
    lot_take(engine, lot, taken);
    ledger_add(engine, ledger_kind_CLAWBACK, lot, order, taken);
    return taken;
}

/* Takes points back from the earned lot, and then from those that expire first; what is not there
 * is owed. */
static void claw_back(struct engine *engine, uint32_t index, int64_t points)
{
    struct earning *earning = earning_edit(engine, index);
    uint32_t customer = order_at(engine, earning->order)->customer;
    points_sweep(engine, customer);
    points -= claw_lot(engine, earning->lot, earning->order, points);
    while (points > 0 && customer_at(engine, customer)->lots != 0)
        points -= claw_lot(engine, customer_at(engine, customer)->lots, earning->order, points);
    earning->owed += points;
    customer_edit(engine, customer)->owed += points;
}

static void earning_change(struct engine *engine, uint32_t index)
{
    struct earning *earning = earning_edit(engine, index);
    const struct order *order = order_at(engine, earning->order);
    int64_t points = excess(earning, order_kept(engine, order));
    if (points == 0)
        return;
    earning->taken_back += points;
    if (earning->granted > 0) {
        claw_back(engine, index, points);
    } else {
        earning->promised -= points;
        customer_edit(engine, order->customer)->promised -= points;
        if (earning->promised == 0)
            earning_unreserve(engine);
    }
    earning_digest(engine, earning);
}

void earning_changed(struct engine *engine, uint32_t index)
{
    uint32_t earning = earning_of(engine, order_at(engine, index));
    if (earning != 0)
        earning_change(engine, earning);
}

/* What was promised becomes a lot, from which goes what the customer owes. */
static void earning_grant(struct engine *engine, uint32_t index)
{
    struct earning *earning = earning_edit(engine, index);
    uint32_t owner = order_at(engine, earning->order)->customer;
    struct customer *customer = customer_edit(engine, owner);
    uint64_t expires_us = engine->time_us + earning->earn_life_s * US_PER_SECOND;
    bool expires = earning->earn_life_s != 0 && expires_us <= TIME_US_MAX;
    struct lot lot = {.expires_us = expires ? expires_us : UINT64_MAX,
                      .customer = owner,
                      .order = earning->order};
    earning_unreserve(engine);
    earning->granted = earning->promised;
    earning->promised = 0;
    customer->promised -= earning->granted;
    earning->lot = lot_add(engine, &lot, earning->granted);
    ledger_add(engine, ledger_kind_EARN, earning->lot, earning->order, earning->granted);
    earning->settled = claw_lot(engine, earning->lot, earning->order, customer->owed);
    customer->owed -= earning->settled;
    earning_digest(engine, earning);
}

uint64_t timer_earning_us(const struct engine *engine, uint32_t index)
{
    const struct earning *earning = earning_at(engine, index);
    return earning->promised > 0 ? earning->ends_us : 0;
}

/* An order that is on its way waits for its delivery. What it is to get follows from the money that
 * is kept by now. */
void timer_earning(struct engine *engine, uint32_t index)
{
    uint64_t ends_us = timer_earning_us(engine, index);
    if (ends_us == 0 || ends_us > engine->time_us)
        return;
    uint8_t state = order_at(engine, earning_at(engine, index)->order)->state;
    if (state == order_state_PARTIALLY_SHIPPED || state == order_state_SHIPPED) {
        earning_edit(engine, index)->ends_us = 0;
        return;
    }
    earning_change(engine, index);
    if (earning_at(engine, index)->promised > 0)
        earning_grant(engine, index);
}

void earning_forget_lot(struct engine *engine, uint32_t index)
{
    uint32_t order = lot_at(engine, index)->order;
    if (order == 0)
        return;
    earning_edit(engine, earning_of(engine, order_at(engine, order)))->lot = 0;
    lot_edit(engine, index)->order = 0;
}

void earning_forget(struct engine *engine, uint32_t index)
{
    uint32_t at = earning_of(engine, order_at(engine, index));
    if (at == 0)
        return;
    const struct earning *earning = earning_at(engine, at);
    TILL_ASSERT(earning->promised == 0);
    engine->owed_forgotten += earning->owed - earning->settled;
    if (earning->lot != 0)
        lot_edit(engine, earning->lot)->order = 0;
    money_edit(engine, order_at(engine, index)->money)->earning = 0;
    earning_free(engine, at);
}

enum outcome handle_points_terms(struct engine *engine, struct command *command)
{
    const struct points_terms_body *body = command->body;
    if (body->earn_points == 0 && body->earn_money != 0)
        return reject_field(engine, points_terms_field_earn_points);
    if (body->earn_points != 0 && body->earn_money == 0)
        return reject_field(engine, points_terms_field_earn_money);
    if (body->return_window > RETURN_WINDOW_MAX_S)
        return reject_field(engine, points_terms_field_return_window);
    if (!key_accept(engine))
        return reject_keys_full(engine);

    engine->earn_points = body->earn_points;
    engine->earn_money = body->earn_money;
    engine->return_window_s = body->return_window;
    engine->earn_life_s = body->earn_life;
    digest_mix(engine, (uint64_t)body->earn_points << 32 | body->earn_money,
               (uint64_t)body->return_window << 32 | body->earn_life);
    struct seq_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    return OUTCOME_OK;
}
