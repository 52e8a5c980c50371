/* The life of orders after the sale.
 *
 *   ship --> deliver --> return --> refund of the unit --> its end
 *                                                 \ failed: due --> refund of what is due --> its end
 *   what is owed for other reasons --> refund of what is due --> its end
 *
 * The steps of one order follow each other, each when the one before was answered; different orders
 * are at different steps at the same time. A wrong answer ends the order's plan. */
#include "bench/aftersale.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/audit.h"
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
    IN_FLIGHT = 64,
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

static bool has_step(const struct afterlife *order, enum step step)
{
    return (order->plan >> step & 1) != 0;
}

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
    struct random random = {
        .state = random_mix(aftersale->crowd->seed + number) ^ KIND_AFTERSALE};
    if (cart->seq == 0)
        return;
    if (cart->refund_due > 0) {
        add_step(order, STEP_OWED);
        add_step(order, STEP_OWED_PAID);
    }
    if (cart->state == order_state_CONFIRMED)
        plan_sold(order, &random);
    if (order->plan == 0)
        return;
    aftersale->open++;
    put_ready(aftersale, number);
}

bool aftersale_init(struct aftersale *aftersale, struct crowd *crowd)
{
    *aftersale = (struct aftersale){.crowd = crowd};
    aftersale->orders = calloc(CARTS, sizeof *aftersale->orders);
    aftersale->ready = calloc(CARTS, sizeof *aftersale->ready);
    if (aftersale->orders == NULL || aftersale->ready == NULL)
        return false;
    for (uint32_t cart = 0; cart < CARTS; cart++)
        plan(aftersale, cart);
    return true;
}

void aftersale_deinit(struct aftersale *aftersale)
{
    free(aftersale->orders);
    free(aftersale->ready);
    *aftersale = (struct aftersale){.crowd = NULL};
}

/* The parts of an order that go back with a unit of its first line: what docs/rules.md says of the
 * first refund of an order, which no other one precedes. */
static void expect_refund(const struct aftersale *aftersale, uint32_t number, int64_t *money,
                          int64_t *points)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    uint64_t sku = crowd_line_sku(aftersale->crowd, number, cart->takes[0].line);
    __extension__ typedef __int128 wide;
    wide worth = crowd_price(sku);
    *points = (int64_t)(cart->points_used * worth / cart->total);
    *money = (int64_t)((cart->money_due * worth + cart->total - 1) / cart->total);
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

static void ask_return(const struct aftersale *aftersale, struct frame *frame, uint32_t cart)
{
    struct order_return_body *body = (void *)(frame + 1);
    struct returned_body *row = (void *)(body + 1);
    *body = (struct order_return_body){.key = id_of(aftersale, STEP_RETURN, cart),
                                       .order = crowd_order(aftersale->crowd, cart),
                                       .returned_count = 1};
    *row = (struct returned_body){.line = aftersale->crowd->carts[cart].takes[0].line,
                                  .quantity = 1,
                                  .fate = cart % 3 == 0 ? fate_SCRAP : fate_RESTOCK};
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
    *body = (struct refund_finish_body){
        .refund = id_of(aftersale, step_begun(step), cart),
        .status = step == STEP_BOUNCED ? payment_status_FAILURE : payment_status_SUCCESS};
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

static bool is_begun_as_expected(const struct aftersale *aftersale, uint32_t number, enum step step,
                                 const struct refund_begin_reply_body *reply)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    const struct afterlife *order = &aftersale->orders[number];
    if (step == STEP_OWED)
        return reply->amount == cart->refund_due && reply->points == 0;
    return reply->amount == order->money_back && reply->points == order->points_back;
}

/* Counts a step that was done; false when its answer is not what it must be. */
static bool note_step(struct aftersale *aftersale, uint32_t cart, enum step step, const void *reply)
{
    struct afterlife *order = &aftersale->orders[cart];
    const struct refund_finish_reply_body *end = reply;
    switch (step) {
    case STEP_SHIP:
        order->is_shipped = true;
        aftersale->shipped++;
        return ((const struct order_status_body *)reply)->state == order_state_SHIPPED;
    case STEP_DELIVER:
        order->is_delivered = true;
        aftersale->delivered++;
        return ((const struct order_status_body *)reply)->state == order_state_DELIVERED;
    case STEP_RETURN:
        aftersale->returned++;
        return true;
    case STEP_REFUND:
        expect_refund(aftersale, cart, &order->money_back, &order->points_back);
        return is_begun_as_expected(aftersale, cart, step, reply);
    case STEP_OWED:
    case STEP_REPEAT:
        return is_begun_as_expected(aftersale, cart, step, reply);
    case STEP_BOUNCED:
        aftersale->bounced++;
        return end->state == refund_state_FAILED;
    default:
        aftersale->refunds++;
        aftersale->money_back += end->amount;
        aftersale->points_back += end->points;
        return end->state == refund_state_SUCCEEDED;
    }
}

static void take_reply(void *context, const struct load_reply *reply)
{
    struct aftersale *aftersale = context;
    struct crowd *crowd = aftersale->crowd;
    uint32_t cart = (uint32_t)reply->token;
    struct afterlife *order = &aftersale->orders[cart];
    enum step step = next_step(order);
    uint16_t outcome = reply->frame->outcome;
    bool is_right = (outcome == OUTCOME_OK || outcome == OUTCOME_REPLAYED) &&
                    note_step(aftersale, cart, step, reply->frame + 1);
    if (!is_right)
        crowd_complain(crowd, &crowd->wrong, cart, "after the sale, step %u: %s", (unsigned)step,
                       outcome_name(outcome));
    order->plan = is_right ? (uint16_t)(order->plan & (order->plan - 1)) : 0;
    if (order->plan != 0)
        put_ready(aftersale, cart);
    else
        aftersale->open--;
}

static void lose_request(void *context, uint64_t token)
{
    (void)context;
    (void)token;
}

bool aftersale_run(struct aftersale *aftersale, const char *text, uint32_t connections, char *error,
                   size_t error_size)
{
    struct load load;
    struct load_address address;
    const struct load_driver driver = {aftersale, next_request, take_reply, lose_request};
    if (!load_address_read(&address, text) || !load_init(&load, &driver, connections, IN_FLIGHT)) {
        snprintf(error, error_size, "%s cannot be asked", text);
        return false;
    }
    bool goes_on = load_connect(&load, &address);
    while (goes_on && aftersale->open > 0) {
        load_fill(&load);
        uint32_t before = aftersale->open + aftersale->ready_count;
        goes_on = load_turn(&load, TIMEOUT_MS) &&
                  (load.in_flight > 0 || before != aftersale->open + aftersale->ready_count);
    }
    if (!goes_on)
        snprintf(error, error_size, "after the sale: %s",
                 load.error[0] != '\0' ? load.error : "no answer");
    load_deinit(&load);
    return goes_on;
}

/* When a day has passed. */

/* What an order has earned, or earns once it has been delivered. */
static int64_t earned(const struct aftersale *aftersale, uint32_t number)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    int64_t kept = cart->money_due - aftersale->orders[number].money_back;
    return cart->state == order_state_CONFIRMED ? kept / EARN_MONEY : 0;
}

/* Its return window has closed: nothing of it is on the way. */
static bool is_settled(const struct aftersale *aftersale, uint32_t number)
{
    const struct afterlife *order = &aftersale->orders[number];
    return order->is_delivered || !order->is_shipped;
}

/* Was it closed when the sale's day ended? What earns points is closed when they can be spent, and
 * a payment of a wrong amount waits for a person. */
static bool was_closed(const struct aftersale *aftersale, uint32_t number)
{
    const struct cart *cart = &aftersale->crowd->carts[number];
    bool is_over = cart->state == order_state_CONFIRMED
                       ? aftersale->orders[number].is_delivered && earned(aftersale, number) == 0
                       : true;
    return is_over && (cart->applied >> ACT_PAY_WRONG & 1) == 0;
}

/* The orders that the server must still have in memory. */
static uint64_t count_kept(const struct aftersale *aftersale)
{
    uint64_t kept = 0;
    for (uint32_t i = 0; i < CARTS; i++)
        kept += aftersale->crowd->carts[i].seq != 0 && !was_closed(aftersale, i);
    return kept;
}

/* The balances of those that had points before the sale. */
static void expect_balances(struct aftersale *aftersale, int64_t balances[AUDIT_ACCOUNTS])
{
    for (uint32_t i = 0; i < AUDIT_ACCOUNTS; i++)
        balances[i] = POINTS_CREDITED;
    for (uint32_t i = 0; i < CARTS; i++) {
        const struct cart *cart = &aftersale->crowd->carts[i];
        uint32_t buyer = crowd_buyer(i);
        if (cart->seq == 0 || buyer % POINTS_EVERY != 0 || cart->state != order_state_CONFIRMED)
            continue;
        int64_t points = is_settled(aftersale, i) ? earned(aftersale, i) : 0;
        balances[buyer / POINTS_EVERY] +=
            points - cart->points_used + aftersale->orders[i].points_back;
        aftersale->points_earned += points;
    }
}

static bool ask_stats(struct client *client, const struct stats_reply_body **stats)
{
    static const struct empty_body question;
    struct client_reply reply;
    bool is_answered = client_call(client, MESSAGE_stats, &question, sizeof question, &reply) &&
                       reply.outcome == OUTCOME_OK;
    *stats = is_answered ? reply.body : NULL;
    return is_answered;
}

/* Waits until nothing more is due, and takes how many orders are left. */
static bool await_day(struct aftersale *aftersale, struct client *client)
{
    uint64_t kept = count_kept(aftersale);
    uint64_t orders = 0;
    for (unsigned i = 0; i < TIMEOUT_MS / PAUSE_MS; i++) {
        const struct stats_reply_body *stats = NULL;
        const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
        nanosleep(&pause, NULL);
        if (!ask_stats(client, &stats))
            return false;
        orders = stats_metric(stats, METRIC_orders);
        aftersale->forgotten = stats_metric(stats, METRIC_orders_forgotten);
        if (orders == kept && stats_metric(stats, METRIC_holds_due) == 0)
            return true;
    }
    crowd_complain(aftersale->crowd, &aftersale->crowd->wrong, NO_CART,
                   "%" PRIu64 " orders in memory a day later, %" PRIu64 " must be", orders, kept);
    return true;
}

static bool check_balances(struct aftersale *aftersale, struct client *client)
{
    int64_t balances[AUDIT_ACCOUNTS];
    struct crowd *crowd = aftersale->crowd;
    expect_balances(aftersale, balances);
    for (uint32_t i = 0; i < AUDIT_ACCOUNTS; i++) {
        const struct points_balance_body question = {.customer =
                                                         crowd_customer(crowd, i * POINTS_EVERY)};
        struct client_reply reply;
        if (!client_call(client, MESSAGE_points_balance, &question, sizeof question, &reply))
            return false;
        const struct points_balance_reply_body *points = reply.body;
        if (reply.outcome != OUTCOME_OK || points->balance != balances[i])
            crowd_complain(crowd, &crowd->wrong, NO_CART,
                           "a balance is %" PRId64 " a day later, %" PRId64 " by the notes",
                           reply.outcome == OUTCOME_OK ? points->balance : 0, balances[i]);
    }
    return true;
}

bool aftersale_audit(struct aftersale *aftersale, const char *address, char *error,
                     size_t error_size)
{
    struct client client;
    bool is_done = client_open(&client, address, 0);
    if (is_done) {
        is_done = await_day(aftersale, &client) && check_balances(aftersale, &client);
        client_close(&client);
    }
    if (!is_done)
        snprintf(error, error_size, "a day later: %s", client.error);
    return is_done;
}
