/* The life of orders after the sale.
 *
 *   ship --> deliver --> return --> refund of the unit --> its end
 *                                                 \ failed: due --> refund of what is due --> its
 * end what is owed for other reasons --> refund of what is due --> its end
 *
 * The steps of one order follow each other, each when the one before was answered; different orders
 * are at different steps at the same time. A wrong answer ends the order's plan. A day later the
 * return windows of all that is not on the way have closed. */
#include "bench/aftersale.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/load.h"
#include "bench/random.h"
#include "net/client.h"

enum step {
    STEP_OWED,      /* what is due is to be paid back, */
    STEP_OWED_PAID, /* and was */
    STEP_SHIP,
    STEP_DELIVER,
    STEP_RETURN, /* one unit of the first line, */
    STEP_REFUND, /* for which money and points are to go back, */
    STEP_REFUNDED,
    STEP_BOUNCED,      /* or have not, */
    STEP_REPEAT,       /* are due again, */
    STEP_REPEAT_ENDED, /* and have gone back the second time */
    STEP_COUNT
};

enum {
    KIND_AFTERSALE = 100, /* of ids: the steps follow it */
    TIMEOUT_MS = 10 * 1000,
    PAUSE_MS = 50,
    COURIER = 7,
    PER_HUNDRED = 100,
};

struct afterlife {
    int64_t money_back; /* by refunds of what was sold */
    int64_t points_back;
    uint16_t plan; /* steps that are left, a bit each */
    bool is_shipped;
    bool is_delivered;
};

struct customer {
    int64_t balance;
    int64_t promised;
    bool is_known; /* by an order, or by the points that he had before the sale */
};

static void add_step(struct afterlife *order, enum step step)
{
    order->plan |= (uint16_t)(1u << step);
}

static enum step next_step(const struct afterlife *order)
{
    return (enum step)__builtin_ctz(order->plan);
}

/* Three quarters of what was sold are shipped, most of it is delivered, one in five comes back, and
 * of these refunds one in ten fails at first. */
static void plan_sold(struct afterlife *order, struct random *random)
{
    if (random_below(random, PER_HUNDRED) >= 75)
        return;
    add_step(order, STEP_SHIP);
    if (random_below(random, PER_HUNDRED) >= 75)
        return;
    add_step(order, STEP_DELIVER);
    if (random_below(random, PER_HUNDRED) >= 20)
        return;
    add_step(order, STEP_RETURN);
    add_step(order, STEP_REFUND);
    if (random_below(random, PER_HUNDRED) >= 10) {
        add_step(order, STEP_REFUNDED);
        return;
    }
    add_step(order, STEP_BOUNCED);
    add_step(order, STEP_REPEAT);
    add_step(order, STEP_REPEAT_ENDED);
}

static void put_ready(struct aftersale *aftersale, uint32_t cart)
{
    aftersale->ready[(aftersale->ready_first + aftersale->ready_count++) % CARTS] = cart;
}

static void plan(struct aftersale *aftersale, uint32_t number)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    struct afterlife *order = &aftersale->orders[number];
    struct random random = {.state = random_mix(aftersale->crowd->seed + number) ^ KIND_AFTERSALE};
    if (cart->seq == 0)
        return;
    if (cart->refund_due > 0) {
        add_step(order, STEP_OWED);
        add_step(order, STEP_OWED_PAID);
    }
    if (cart->state == order_state_CONFIRMED)
        plan_sold(order, &random);
    if (order->plan != 0)
        put_ready(aftersale, number);
}

bool aftersale_init(struct aftersale *aftersale, struct audit *audit)
{
    *aftersale = (struct aftersale){.audit = audit, .crowd = audit->crowd};
    aftersale->orders = calloc(CARTS, sizeof *aftersale->orders);
    aftersale->ready = calloc(CARTS, sizeof *aftersale->ready);
    aftersale->customers = calloc(BUYERS, sizeof *aftersale->customers);
    if (aftersale->orders == NULL || aftersale->ready == NULL || aftersale->customers == NULL)
        return false;
    for (uint32_t cart = 0; cart < CARTS; cart++)
        plan(aftersale, cart);
    return true;
}

void aftersale_deinit(struct aftersale *aftersale)
{
    free(aftersale->orders);
    free(aftersale->ready);
    free(aftersale->customers);
    *aftersale = (struct aftersale){.audit = NULL};
}

/* The parts of an order that go back with a unit of its first line: what docs/rules.md says of the
 * first refund of an order, which no other one precedes. */
static void expect_refund(const struct aftersale *aftersale, uint32_t number, int64_t *money,
                          int64_t *points)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    uint64_t sku = crowd_line_sku(aftersale->crowd, number, cart->takes[0].line);
    int64_t worth = crowd_price(sku);
    *points = cart->points_used * worth / cart->total;
    *money = (cart->money_due * worth + cart->total - 1) / cart->total;
}

/* Requests. */

static struct id id_of(const struct aftersale *aftersale, enum step step, uint32_t cart)
{
    return random_id_of(aftersale->crowd->seed, KIND_AFTERSALE + (uint32_t)step, cart);
}

static void ask(struct frame *frame, unsigned message, size_t size)
{
    frame->type = (uint16_t)message;
    frame->size = (uint32_t)(sizeof *frame + size);
}

static void ask_shipping(const struct aftersale *aftersale, struct frame *frame, enum step step,
                         uint32_t cart)
{
    struct order_ship_body *body = (void *)(frame + 1);
    *body = (struct order_ship_body){.key = id_of(aftersale, step, cart),
                                     .order = crowd_order(aftersale->crowd, cart),
                                     .courier = COURIER};
    snprintf(body->tracking.bytes, sizeof body->tracking.bytes, "TILL%010" PRIu32, cart);
    ask(frame, step == STEP_SHIP ? MESSAGE_order_ship : MESSAGE_order_deliver, sizeof *body);
}

static uint8_t fate_of(uint32_t cart)
{
    return cart % 3 == 0 ? (uint8_t)fate_SCRAP : (uint8_t)fate_RESTOCK;
}

static void ask_return(const struct aftersale *aftersale, struct frame *frame, uint32_t cart)
{
    struct order_return_body *body = (void *)(frame + 1);
    struct returned_body *row = (void *)(body + 1);
    *body = (struct order_return_body){.key = id_of(aftersale, STEP_RETURN, cart),
                                       .order = crowd_order(aftersale->crowd, cart),
                                       .returned_count = 1};
    *row = (struct returned_body){
        .line = aftersale->crowd->carts[cart].takes[0].line, .quantity = 1, .fate = fate_of(cart)};
    ask(frame, MESSAGE_order_return, sizeof *body + sizeof *row);
}

static void ask_refund(const struct aftersale *aftersale, struct frame *frame, enum step step,
                       uint32_t cart)
{
    struct refund_begin_body *body = (void *)(frame + 1);
    struct refund_line_body *row = (void *)(body + 1);
    bool is_of_line = step == STEP_REFUND;
    *body = (struct refund_begin_body){.refund = id_of(aftersale, step, cart),
                                       .order = crowd_order(aftersale->crowd, cart),
                                       .reason = {.bytes = "demo"},
                                       .kind = is_of_line ? refund_kind_LINES : refund_kind_DUE,
                                       .line_count = is_of_line};
    *row = (struct refund_line_body){.line = aftersale->crowd->carts[cart].takes[0].line,
                                     .quantity = 1};
    ask(frame, MESSAGE_refund_begin, sizeof *body + (is_of_line ? sizeof *row : 0));
}

/* The refund that a step ends. */
static enum step step_begun(enum step step)
{
    return step == STEP_OWED_PAID      ? STEP_OWED
           : step == STEP_REPEAT_ENDED ? STEP_REPEAT
                                       : STEP_REFUND;
}

static void ask_end(const struct aftersale *aftersale, struct frame *frame, enum step step,
                    uint32_t cart)
{
    struct refund_finish_body *body = (void *)(frame + 1);
    *body = (struct refund_finish_body){.refund = id_of(aftersale, step_begun(step), cart),
                                        .status = step == STEP_BOUNCED ? payment_status_FAILURE
                                                                       : payment_status_SUCCESS};
    ask(frame, MESSAGE_refund_finish, sizeof *body);
}

static bool next_request(void *context, struct frame *frame, uint64_t *token)
{
    struct aftersale *aftersale = context;
    if (aftersale->ready_count == 0)
        return false;
    uint32_t cart = aftersale->ready[aftersale->ready_first];
    aftersale->ready_first = (aftersale->ready_first + 1) % CARTS;
    aftersale->ready_count--;
    enum step step = next_step(&aftersale->orders[cart]);
    *token = cart;
    if (step == STEP_SHIP || step == STEP_DELIVER)
        ask_shipping(aftersale, frame, step, cart);
    else if (step == STEP_RETURN)
        ask_return(aftersale, frame, cart);
    else if (step == STEP_OWED || step == STEP_REFUND || step == STEP_REPEAT)
        ask_refund(aftersale, frame, step, cart);
    else
        ask_end(aftersale, frame, step, cart);
    return true;
}

/* Answers. */

/* Is it what goes back by this step? */
static bool is_expected(const struct aftersale *aftersale, uint32_t number, enum step step,
                        int64_t money, int64_t points)
{
    const struct afterlife *order = &aftersale->orders[number];
    if (step == STEP_OWED || step == STEP_OWED_PAID)
        return money == aftersale->crowd->carts[number].refund_due && points == 0;
    return money == order->money_back && points == order->points_back;
}

static struct audit_units *units_of(const struct aftersale *aftersale, uint32_t number,
                                    uint32_t take)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    uint64_t sku = crowd_line_sku(aftersale->crowd, number, cart->takes[take].line);
    return &aftersale->audit->units[sku][cart->takes[take].warehouse];
}

static bool note_shipped(struct aftersale *aftersale, uint32_t number,
                         const struct order_status_body *order)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    for (uint32_t i = 0; i < cart->take_count; i++)
        units_of(aftersale, number, i)->shipped += cart->takes[i].quantity;
    aftersale->orders[number].is_shipped = true;
    aftersale->shipped++;
    return order->state == order_state_SHIPPED;
}

static bool note_delivered(struct aftersale *aftersale, uint32_t number,
                           const struct order_status_body *order)
{
    aftersale->orders[number].is_delivered = true;
    aftersale->delivered++;
    return order->state == order_state_DELIVERED;
}

/* The unit comes back to where it was taken from. */
static bool note_returned(struct aftersale *aftersale, uint32_t number,
                          const struct order_status_body *order)
{
    struct audit_units *units = units_of(aftersale, number, 0);
    if (fate_of(number) == fate_SCRAP)
        units->scrapped++;
    else
        units->restocked++;
    aftersale->returned++;
    return order->state == order_state_DELIVERED;
}

static bool note_begun(struct aftersale *aftersale, uint32_t number, enum step step,
                       const struct refund_begin_reply_body *refund)
{
    struct afterlife *order = &aftersale->orders[number];
    if (step == STEP_REFUND)
        expect_refund(aftersale, number, &order->money_back, &order->points_back);
    return is_expected(aftersale, number, step, refund->amount, refund->points);
}

static bool note_ended(struct aftersale *aftersale, uint32_t number, enum step step,
                       const struct refund_finish_reply_body *refund)
{
    bool has_failed = step == STEP_BOUNCED;
    if (has_failed) {
        aftersale->bounced++;
    } else {
        aftersale->refunds++;
        aftersale->money_back += refund->amount;
        aftersale->points_back += refund->points;
    }
    return is_expected(aftersale, number, step, refund->amount, refund->points) &&
           refund->state == (has_failed ? refund_state_FAILED : refund_state_SUCCEEDED);
}

/* Notes a step that was done; false when its answer is not what it must be. */
static bool note_step(struct aftersale *aftersale, uint32_t cart, enum step step, const void *reply)
{
    switch (step) {
    case STEP_SHIP:
        return note_shipped(aftersale, cart, reply);
    case STEP_DELIVER:
        return note_delivered(aftersale, cart, reply);
    case STEP_RETURN:
        return note_returned(aftersale, cart, reply);
    case STEP_OWED:
    case STEP_REFUND:
    case STEP_REPEAT:
        return note_begun(aftersale, cart, step, reply);
    default:
        return note_ended(aftersale, cart, step, reply);
    }
}

/* NULL when the answer is not to what was asked. */
static const struct message_info *message_of(const struct load_reply *reply)
{
    return reply->in_order ? message_info(reply->frame->type & ~(unsigned)FRAME_REPLY) : NULL;
}

static bool is_done(const struct load_reply *reply)
{
    const struct frame *frame = reply->frame;
    const struct message_info *message = message_of(reply);
    return message != NULL && frame->outcome == OUTCOME_OK &&
           frame->size == sizeof *frame + message->reply->size_bytes;
}

static void take_reply(void *context, const struct load_reply *reply)
{
    struct aftersale *aftersale = context;
    struct crowd *crowd = aftersale->crowd;
    uint32_t cart = (uint32_t)reply->token;
    struct afterlife *order = &aftersale->orders[cart];
    enum step step = next_step(order);
    order->plan &= (uint16_t)(order->plan - 1);
    if (!is_done(reply) || !note_step(aftersale, cart, step, reply->frame + 1)) {
        const struct message_info *message = message_of(reply);
        crowd_complain(crowd, &crowd->wrong, cart, "%s after the sale: %s, and not as expected",
                       message != NULL ? message->name : "another message",
                       outcome_name(reply->frame->outcome));
        order->plan = 0;
    }
    if (order->plan != 0)
        put_ready(aftersale, cart);
}

static void lose_request(void *context, uint64_t token)
{
    (void)context;
    (void)token;
}

bool aftersale_run(struct aftersale *aftersale, const char *address, uint32_t connections,
                   char *error, size_t error_size)
{
    const struct load_driver driver = {aftersale, next_request, take_reply, lose_request};
    return audit_ask(&driver, address, connections, error, error_size);
}

/* When a day has passed. */

/* What the money that is kept of an order is worth; the customer has it when nothing of the order
 * is on the way. */
static int64_t earned(const struct aftersale *aftersale, uint32_t number)
{
    int64_t money_due = aftersale->crowd->carts[number].money_due;
    return (money_due - aftersale->orders[number].money_back) / EARN_MONEY;
}

static void expect_points(struct aftersale *aftersale, uint32_t number)
{
    const struct afterlife *order = &aftersale->orders[number];
    struct customer *customer = &aftersale->customers[crowd_buyer(number)];
    int64_t points = earned(aftersale, number);
    customer->balance += order->points_back - aftersale->crowd->carts[number].points_used;
    if (order->is_shipped && !order->is_delivered) {
        customer->promised += points;
        return;
    }
    customer->balance += points;
    aftersale->points_earned += points;
    aftersale->earners += points > 0;
}

static void expect_customers(struct aftersale *aftersale)
{
    for (uint32_t buyer = 0; buyer < BUYERS; buyer += POINTS_EVERY)
        aftersale->customers[buyer] =
            (struct customer){.balance = POINTS_CREDITED, .is_known = true};
    for (uint32_t i = 0; i < CARTS; i++) {
        const struct cart *cart = &aftersale->crowd->carts[i];
        aftersale->customers[crowd_buyer(i)].is_known |= cart->seq != 0;
        if (cart->seq != 0 && cart->state == order_state_CONFIRMED)
            expect_points(aftersale, i);
    }
}

/* Is it closed when its day has ended? What is on its way or was never sent is not, and a payment
 * of a wrong amount waits for a person. */
static bool is_closed(const struct aftersale *aftersale, uint32_t number)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    return !cart->has_parked &&
           (cart->state != order_state_CONFIRMED || aftersale->orders[number].is_delivered);
}

/* The orders that the server must still have in memory. */
static uint64_t count_kept(const struct aftersale *aftersale)
{
    uint64_t kept = 0;
    for (uint32_t i = 0; i < CARTS; i++)
        kept += aftersale->crowd->carts[i].seq != 0 && !is_closed(aftersale, i);
    return kept;
}

/* Waits until nothing is due any more, and nothing was decided for a while. */
static bool await_day(struct aftersale *aftersale, struct client *client)
{
    struct crowd *crowd = aftersale->crowd;
    static const struct empty_body question;
    uint64_t kept = count_kept(aftersale);
    uint64_t orders = 0;
    uint64_t seq = 0;
    for (unsigned i = 0; i < TIMEOUT_MS / PAUSE_MS; i++) {
        const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
        struct client_reply reply;
        nanosleep(&pause, NULL);
        if (!client_call(client, MESSAGE_stats, &question, sizeof question, &reply))
            return false;
        if (reply.outcome != OUTCOME_OK) {
            snprintf(client->error, sizeof client->error, "stats answers %s",
                     outcome_name(reply.outcome));
            return false;
        }
        const struct stats_reply_body *stats = reply.body;
        orders = stats_metric(stats, METRIC_orders);
        aftersale->forgotten = stats_metric(stats, METRIC_orders_forgotten);
        if (seq == stats->seq && orders == kept && stats_metric(stats, METRIC_holds_due) == 0) {
            if (stats_metric(stats, METRIC_refund_orders) != 0)
                crowd_complain(crowd, &crowd->wrong, NO_CART, "money is due, and was paid back");
            return true;
        }
        seq = stats->seq;
    }
    crowd_complain(crowd, &crowd->wrong, NO_CART,
                   "%" PRIu64 " orders in memory a day later, %" PRIu64 " by the notes", orders,
                   kept);
    return true;
}

static bool next_balance(void *context, struct frame *frame, uint64_t *token)
{
    struct aftersale *aftersale = context;
    if (aftersale->asked == BUYERS)
        return false;
    *token = aftersale->asked++;
    struct points_balance_body *body = (void *)(frame + 1);
    body->customer = crowd_customer(aftersale->crowd, (uint32_t)*token);
    ask(frame, MESSAGE_points_balance, sizeof *body);
    return true;
}

static void take_balance(void *context, const struct load_reply *reply)
{
    struct aftersale *aftersale = context;
    struct crowd *crowd = aftersale->crowd;
    const struct customer *customer = &aftersale->customers[reply->token];
    const struct points_balance_reply_body *points = (const void *)(reply->frame + 1);
    bool is_known = is_done(reply);
    if (is_known != customer->is_known || (!is_known && reply->frame->outcome != OUTCOME_NOT_FOUND))
        crowd_complain(crowd, &crowd->wrong, NO_CART, "asked for a balance a day later: %s",
                       outcome_name(reply->frame->outcome));
    else if (is_known && (points->balance != customer->balance || points->held != 0 ||
                          points->promised != customer->promised || points->owed != 0))
        crowd_complain(crowd, &crowd->wrong, NO_CART,
                       "%" PRId64 " points and %" PRId64
                       " promised a day later, by the notes %" PRId64 " and %" PRId64,
                       points->balance, points->promised, customer->balance, customer->promised);
}

bool aftersale_audit(struct aftersale *aftersale, const char *address, uint32_t connections,
                     char *error, size_t error_size)
{
    const struct load_driver driver = {aftersale, next_balance, take_balance, lose_request};
    struct client client;
    bool is_asked = client_open(&client, address, 0);
    if (is_asked) {
        is_asked = await_day(aftersale, &client) && audit_stocks(aftersale->audit, &client);
        client_close(&client);
    }
    if (!is_asked) {
        snprintf(error, error_size, "%s", client.error);
        return false;
    }
    expect_customers(aftersale);
    return audit_ask(&driver, address, connections, error, error_size);
}
