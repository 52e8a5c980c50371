/* Refunds return what was paid, to the unit: small orders through every sequence of parts, each of
 * which may fail, and large ones at random.
 *
 * Orders are placed, paid, refunded and looked at on an engine. After each refund the money and the
 * points are where they must be; when all has been asked for, and what failed was paid back after
 * all, everything that was paid has come back, and not a unit more. */
#include <string.h>

#include "tests/model/play.h"
#include "tests/test.h"

enum { EURO = 978, CUSTOMER = 9, SALES = 4, PARTS_MAX = 8, ENGINE_ROOM = 1 << 19 };

/* How many points are worth how much money, in each of the sales. */
static const uint32_t rates[SALES][2] = {{1, 1}, {3, 7}, {7, 3}, {1, 3}};

static struct engine *engine;
static uint64_t ids;
static uint64_t reply_words[FRAME_SIZE_MAX / 8];

static struct id fresh(void)
{
    return (struct id){.low = ++ids};
}

static const void *decide_as(uint16_t outcome, uint16_t number, const void *body, size_t size)
{
    struct reply_sink sink = {(uint8_t *)reply_words, 0};
    struct command command = {
        .body = body, .sink = &sink, .size = (uint32_t)size, .number = number};
    engine_decide(engine, 1000000, &command, 1);
    if (command.outcome != outcome)
        test_fail(__FILE__, __LINE__, "%s is answered %s", message_info(number)->name,
                  outcome_name(command.outcome));
    return reply_words;
}

static const void *decide(uint16_t number, const void *body, size_t size)
{
    return decide_as(OUTCOME_OK, number, body, size);
}

static void shop_open(void)
{
    char error[256];
    struct play_options options = play_options_for(ENGINE_ROOM);
    engine = engine_create(&options.engine, error, sizeof error);
    CHECK(engine != NULL);
    for (uint32_t i = 0; i < SALES; i++) {
        struct sale_put_body sale = {.key = fresh(),
                                     .sale = i + 1,
                                     .points_share = POINTS_SHARE_WHOLE,
                                     .rate_points = rates[i][0],
                                     .rate_money = rates[i][1]};
        struct sale_change_body open = {.key = fresh(), .sale = i + 1};
        decide(MESSAGE_sale_put, &sale, sizeof sale);
        decide(MESSAGE_sale_open, &open, sizeof open);
    }
    struct points_credit_body credit = {
        .key = fresh(), .customer = {.low = CUSTOMER}, .points = POINTS_MAX};
    decide(MESSAGE_points_credit, &credit, sizeof credit);
}

static void shop_close(void)
{
    char error[512] = "";
    if (!engine_check(engine, error, sizeof error))
        test_fail(__FILE__, __LINE__, "%s", error);
    engine_destroy(engine);
}

static int64_t points_available(void)
{
    struct points_balance_body body = {.customer = {.low = CUSTOMER}};
    const struct points_balance_reply_body *balance =
        decide(MESSAGE_points_balance, &body, sizeof body);
    return balance->available;
}

static struct order_money_reply_body money_of(struct id order)
{
    struct order_page_body body = {.order = order};
    const struct order_money_reply_body *money = decide(MESSAGE_order_money, &body, sizeof body);
    return *money;
}

/* So much less than is due is paid, and accepted by a person. */
static void pay_less(struct id order, int64_t amount)
{
    struct payment_event_body event = {.event = fresh(),
                                       .order = order,
                                       .amount = amount,
                                       .provider = 1,
                                       .status = payment_status_SUCCESS,
                                       .currency = EURO};
    struct payment_settle_body settle = {
        .key = fresh(), .event = event.event, .provider = 1, .settlement = settlement_ACCEPT};
    decide_as(OUTCOME_AMOUNT_MISMATCH, MESSAGE_payment_event, &event, sizeof event);
    decide(MESSAGE_payment_settle, &settle, sizeof settle);
}

/* An order that is sold: so many units at a price, with points, and with money that is waived. */
static struct id sell(uint32_t quantity, int64_t price, uint32_t sale, int64_t points,
                      int64_t waived)
{
    struct sku_put_body sku = {.sku = 1, .price = price, .currency = EURO};
    struct stock_adjust_body stock = {.key = fresh(), .sku = 1, .warehouse = 1, .delta = quantity};
    struct {
        struct order_place_body fixed;
        struct line_body line;
    } place = {.fixed = {.order = fresh(),
                         .customer = {.low = CUSTOMER},
                         .points = points,
                         .sale = sale,
                         .flags = waived > 0 ? 0 : place_flags_PAID,
                         .line_count = 1},
               .line = {.sku = 1, .quantity = quantity, .price = price}};
    decide(MESSAGE_sku_put, &sku, sizeof sku);
    decide(MESSAGE_stock_adjust, &stock, sizeof stock);
    const struct order_place_reply_body *placed = decide(MESSAGE_order_place, &place, sizeof place);
    int64_t due = placed->money_due;
    if (placed->state == order_state_PENDING)
        pay_less(place.fixed.order, waived < due ? due - waived : 0);
    return place.fixed.order;
}

/* What was captured is all somewhere, and so are the points. */
static void check_sums(struct id order)
{
    struct order_money_reply_body money = money_of(order);
    CHECK(money.kept >= 0 && money.refunded >= 0 && money.refunding >= 0 && money.refund_due >= 0);
    CHECK(money.points_back >= 0 && money.points_refunding >= 0 && money.points_due >= 0);
    CHECK(money.points_back + money.points_refunding + money.points_due <= money.points_used);
    CHECK_EQUAL(money.kept + money.refunded + money.refunding + money.refund_due, money.captured);
}

static void finish(struct id refund, bool fails)
{
    struct refund_finish_body body = {
        .refund = refund, .status = fails ? payment_status_FAILURE : payment_status_SUCCESS};
    decide(MESSAGE_refund_finish, &body, sizeof body);
}

/* A part that would give nothing is refused: it has to be asked for with the next one. */
static bool gives_something(const struct order_money_reply_body *money, int64_t asked, int64_t part)
{
    wide total = money->total;
    wide paid = money->money_due - money->waived;
    wide before = (paid * asked + total - 1) / total;
    wide after = (paid * (asked + part) + total - 1) / total;
    return after > before || (wide)money->points_used * (asked + part) / total >
                                 (wide)money->points_used * asked / total;
}

/* Refunds the order by these parts, which are its total together; bit i of `fails`: that one fails.
 */
static void refund_by_parts(struct id order, const int64_t *parts, int count, unsigned fails)
{
    struct order_money_reply_body money = money_of(order);
    int64_t asked = 0;
    int64_t carried = 0;
    for (int i = 0; i < count; i++) {
        struct refund_begin_body begin = {.refund = fresh(),
                                          .order = order,
                                          .amount = carried + parts[i],
                                          .kind = refund_kind_AMOUNT};
        carried = begin.amount;
        if (!gives_something(&money, asked, begin.amount))
            continue;
        const struct refund_begin_reply_body *begun =
            decide(MESSAGE_refund_begin, &begin, sizeof begin);
        CHECK(begun->amount >= 0 && begun->points >= 0);
        check_sums(order);
        finish(begin.refund, (fails >> i & 1) != 0);
        check_sums(order);
        asked += begin.amount;
        carried = 0;
    }
    CHECK_EQUAL(asked + carried, money.total);
}

/* Pays back what is due, in one refund or in two. */
static void refund_what_is_due(struct id order, bool in_two)
{
    struct order_money_reply_body money = money_of(order);
    struct refund_begin_body begin = {.refund = fresh(), .order = order, .kind = refund_kind_DUE};
    if (money.refund_due == 0 && money.points_due == 0)
        return;
    if (in_two && money.refund_due > 1) {
        begin.amount = money.refund_due / 2;
        decide(MESSAGE_refund_begin, &begin, sizeof begin);
        check_sums(order);
        finish(begin.refund, false);
        check_sums(order);
        begin.refund = fresh();
        begin.amount = 0;
    }
    decide(MESSAGE_refund_begin, &begin, sizeof begin);
    finish(begin.refund, false);
    check_sums(order);
}

/* All of it has come back. */
static void check_returned(struct id order, int64_t points_before)
{
    struct order_money_reply_body money = money_of(order);
    CHECK_EQUAL(money.refunded, money.captured);
    CHECK_EQUAL(money.points_back, money.points_used);
    CHECK_EQUAL(points_available(), points_before);
    CHECK_EQUAL(money.kept + money.refunding + money.refund_due, 0);
}

/* Every way to write a total as a sum of parts, in every order, and each part failing or not: bit i
 * of `cuts` says that a part ends behind unit i. */
static void refund_every_way(int64_t total, uint32_t sale, int64_t points, int64_t waived)
{
    for (unsigned cuts = 0; cuts < 1u << (total - 1); cuts++) {
        int64_t parts[PARTS_MAX] = {0};
        int count = 0;
        for (int64_t unit = 0; unit < total; unit++) {
            parts[count]++;
            count += unit + 1 == total || (cuts >> unit & 1) != 0;
        }
        for (unsigned fails = 0; fails < 1u << count; fails++) {
            int64_t before = points_available();
            struct id order = sell(1, total, sale, points, waived);
            refund_by_parts(order, parts, count, fails);
            refund_what_is_due(order, (fails & 1) != 0);
            check_returned(order, before);
        }
    }
}

TEST(every_sequence_of_partial_refunds_returns_what_was_paid)
{
    enum { TOTAL_SMALL_MAX = 6 };
    shop_open();
    for (int64_t total = 1; total <= TOTAL_SMALL_MAX; total++) {
        for (uint32_t sale = 1; sale <= SALES; sale++) {
            int64_t most =
                (total * rates[sale - 1][0] + rates[sale - 1][1] - 1) / rates[sale - 1][1];
            for (int64_t points = 0; points <= most; points++)
                for (int64_t waived = 0; waived<total; waived += total> 4 ? 2 : 1)
                    refund_every_way(total, sale, points, waived);
        }
    }
    shop_close();
}

static uint32_t small_or_large(uint32_t max)
{
    return 1 + (uint32_t)test_random_below(test_random_below(2) == 0 ? 10 : max);
}

/* Asks for random parts until nothing is left, or the order is cancelled. */
static void refund_at_random(struct id order)
{
    bool may_cancel = test_random_below(2) == 0;
    for (int i = 0; i < 30; i++) {
        struct order_money_reply_body money = money_of(order);
        if (money.refundable == 0)
            break;
        if (may_cancel && test_random_below(8) == 0) {
            struct order_change_body cancel = {.key = fresh(), .order = order};
            decide(MESSAGE_order_cancel, &cancel, sizeof cancel);
            check_sums(order);
            break;
        }
        int64_t part = 1 + (int64_t)test_random_below((uint64_t)money.refundable);
        if (i == 29 || !gives_something(&money, money.total - money.refundable, part))
            part = money.refundable;
        if (!gives_something(&money, money.total - money.refundable, part))
            break;
        struct refund_begin_body begin = {
            .refund = fresh(), .order = order, .amount = part, .kind = refund_kind_AMOUNT};
        decide(MESSAGE_refund_begin, &begin, sizeof begin);
        check_sums(order);
        finish(begin.refund, test_random_below(3) == 0);
        check_sums(order);
        if (test_random_below(4) == 0)
            refund_what_is_due(order, test_random_below(2) == 0);
    }
    refund_what_is_due(order, false);
}

TEST(random_refunds_of_large_orders_return_what_was_paid)
{
    enum { ORDERS = 2000 };
    shop_open();
    for (int i = 0; i < ORDERS; i++) {
        int64_t before = points_available();
        int64_t price =
            1 + (int64_t)test_random_below(test_random_below(2) == 0 ? 1000 : PRICE_MAX);
        uint32_t quantity = small_or_large(4000);
        uint32_t sale = 1 + (uint32_t)test_random_below(SALES);
        int64_t points = (int64_t)test_random_below(test_random_below(2) == 0 ? 100 : POINTS_MAX);
        int64_t waived =
            (int64_t)test_random_below(test_random_below(2) == 0 ? 1 : (uint64_t)price);
        struct id order = sell(quantity, price, sale, points, waived);
        refund_at_random(order);
        check_returned(order, before);
    }
    shop_close();
}
