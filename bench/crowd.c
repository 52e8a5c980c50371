/* The crowd.
 *
 * A cart arrives, places its order (some click twice), and when that is accepted follows its habit:
 * a few steps, each begun a while after the one before was answered. Who finds the hot goods sold
 * out refreshes the page now and then, so that what comes back from abandoned carts is fought over.
 * A request whose connection broke is put on the agenda again as it was.
 *
 * Answers may overtake each other between connections, so the notes go by seq and version, never by
 * arrival. What must always hold, whatever was killed in between:
 *   - every accepted answer to one placing is the same, and one of them at most is not a replay;
 *   - a rejection whose seq lies at or after the order's own denies an acknowledged order;
 *   - every answer to one payment event shows the same version of the order. */
#include "bench/crowd.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bench/random.h"

enum {
    THINK_MS = 60, /* between two steps of a buyer, at most */
    REFRESH_MS_MIN = 400,
    REFRESH_MS = 1600,
    LATE_MS = SALE_HOLD_S * 1000 + 1500,
    PROVIDER = 1,
    STEPS_MAX = 2,
    PER_MILLE = 1000,
};

enum id_kind { KIND_CUSTOMER, KIND_ORDER, KIND_KEY, KIND_EVENT };

/* What buyers do with an accepted order, and how many in a thousand do it. */
struct step {
    uint8_t act;
    uint8_t copies;
    uint16_t delay_ms;
};

struct habit {
    uint16_t share;
    uint8_t step_count;
    struct step steps[STEPS_MAX];
};

static const struct habit habits[] = {
    {640, 1, {{ACT_PAY, 1, 0}}},
    {100, 1, {{ACT_PAY, 2, 0}}}, /* the provider tells it twice */
    {120, 0, {{0}}},             /* an abandoned cart */
    {20, 1, {{ACT_PAY, 1, LATE_MS}}},
    {40, 1, {{ACT_FAIL, 1, 0}}},
    {20, 2, {{ACT_FAIL, 1, 0}, {ACT_PAY, 1, 0}}},
    {20, 2, {{ACT_PAY_WRONG, 1, 0}, {ACT_PAY, 1, 0}}},
    {15, 2, {{ACT_PAY, 1, 0}, {ACT_PAY_TWICE, 2, 0}}}, /* two captures, the second told twice */
    {15, 1, {{ACT_CANCEL, 1, 0}}},
    {10, 2, {{ACT_PAY, 1, 0}, {ACT_CANCEL, 2, 0}}},
};

static_assert(OUTCOME_COUNT <= 64, "a word has a bit for each outcome");
#define OUTCOME_BIT(NAME) (1ULL << OUTCOME_##NAME)

/* The answers that each act may get besides OK and REPLAYED. */
static const struct {
    uint16_t message;
    uint64_t rejections;
} acts[ACT_COUNT] = {
    [ACT_PLACE] = {MESSAGE_order_place, OUTCOME_BIT(SOLD_OUT) | OUTCOME_BIT(INSUFFICIENT_STOCK) |
                                            OUTCOME_BIT(CUSTOMER_LIMIT) |
                                            OUTCOME_BIT(PRICE_MISMATCH)},
    [ACT_PAY] = {MESSAGE_payment_event, 0},
    [ACT_PAY_WRONG] = {MESSAGE_payment_event, OUTCOME_BIT(AMOUNT_MISMATCH)},
    [ACT_PAY_TWICE] = {MESSAGE_payment_event, 0},
    [ACT_FAIL] = {MESSAGE_payment_event, 0},
    [ACT_CANCEL] = {MESSAGE_order_cancel, OUTCOME_BIT(BAD_TRANSITION)},
};

/* An order as its buyer wants it. */
struct plan {
    struct line_body lines[PLAN_LINES_MAX];
    int64_t points;
    uint16_t line_count;
    uint8_t allocation;
    uint8_t clicks;
    uint32_t click_delay_ms;
};

bool crowd_is_hot(uint64_t sku)
{
    return sku <= HOT_SKUS;
}

int64_t crowd_price(uint64_t sku)
{
    return crowd_is_hot(sku) ? 49900 + (int64_t)sku * 1000 : 500 + (int64_t)(sku * 37 % 9000);
}

uint32_t crowd_stock(uint64_t sku, uint32_t warehouse)
{
    if (crowd_is_hot(sku))
        return warehouse == 1 ? HOT_UNITS / HOT_SKUS * 3 / 5 : HOT_UNITS / HOT_SKUS * 2 / 5;
    return warehouse == 1 ? 120 : 80;
}

uint32_t crowd_buyer(uint32_t cart)
{
    return cart < BUYERS ? cart : (cart - BUYERS) * 31 % BUYERS;
}

struct id crowd_customer(const struct crowd *crowd, uint32_t buyer)
{
    return random_id_of(crowd->seed, KIND_CUSTOMER, buyer);
}

struct id crowd_order(const struct crowd *crowd, uint32_t cart)
{
    return random_id_of(crowd->seed, KIND_ORDER, cart);
}

static struct random cart_random(const struct crowd *crowd, uint32_t cart)
{
    return (struct random){.state = random_mix(crowd->seed + cart)};
}

/* A returner wants what he wanted the first time, two of each, which his limit may not allow. */
static void plan_draw(const struct crowd *crowd, uint32_t cart, struct plan *plan)
{
    bool returner = cart >= BUYERS;
    uint32_t buyer = crowd_buyer(cart);
    struct random random = cart_random(crowd, buyer);
    bool hot = random_below(&random, 100) < 70;
    bool greedy = random_below(&random, 100) < 2;
    *plan = (struct plan){.line_count = random_below(&random, 100) < 25 ? 2 : 1};
    for (uint32_t i = 0; i < plan->line_count; i++) {
        uint64_t sku = hot && i == 0 ? 1 + random_below(&random, HOT_SKUS)
                                     : 1 + HOT_SKUS + random_below(&random, COMMON_SKUS);
        uint32_t quantity = random_below(&random, 100) < 20 ? 2 : 1;
        plan->lines[i] = (struct line_body){
            .sku = sku,
            .quantity = returner ? 2
                        : greedy ? 3
                                 : quantity,
            .price = crowd_price(sku) + (random_below(&random, 1000) < 10 ? 100 : 0),
        };
    }
    plan->points = buyer % POINTS_EVERY == 0 ? POINTS_ASKED : 0;
    plan->allocation =
        random_below(&random, 2) == 0 ? (uint8_t)allocation_SINGLE : (uint8_t)allocation_RANK;
    plan->clicks = random_below(&random, 100) < 15 ? 2 : 1;
    plan->click_delay_ms = random_below(&random, 2) * random_below(&random, 40);
}

uint64_t crowd_line_sku(const struct crowd *crowd, uint32_t cart, uint32_t line)
{
    struct plan plan;
    plan_draw(crowd, cart, &plan);
    return line >= 1 && line <= plan.line_count ? plan.lines[line - 1].sku : 0;
}

bool crowd_init(struct crowd *crowd, uint64_t seed)
{
    memset(crowd, 0, sizeof *crowd);
    crowd->seed = seed;
    crowd->carts = calloc(CARTS, sizeof *crowd->carts);
    if (crowd->carts == NULL || !agenda_init(&crowd->agenda, 4 * CARTS)) {
        free(crowd->carts);
        return false;
    }
    return true;
}

void crowd_deinit(struct crowd *crowd)
{
    agenda_deinit(&crowd->agenda);
    free(crowd->carts);
}

void crowd_complain(struct crowd *crowd, uint64_t *counter, uint32_t cart, const char *format, ...)
{
    va_list arguments;
    (*counter)++;
    if (crowd->first_wrong[0] != '\0')
        return;
    char order[ID_TEXT_SIZE], text[96];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (cart == NO_CART)
        snprintf(crowd->first_wrong, sizeof crowd->first_wrong, "%s", text);
    else
        snprintf(crowd->first_wrong, sizeof crowd->first_wrong, "order %s: %s",
                 id_format(crowd_order(crowd, cart), order), text);
}

bool crowd_settled(const struct crowd *crowd)
{
    return crowd->arrived == CARTS && crowd->owed == 0 && crowd->hot_confirmed == HOT_UNITS;
}

/* A token is a cart, an act, and whether it is somebody who refreshes the page. */
#define TOKEN_REFRESH (1ULL << 40)

static uint64_t token_make(uint32_t cart, enum act act)
{
    return (uint64_t)act << 32 | cart;
}

static uint32_t token_cart(uint64_t token)
{
    return (uint32_t)token;
}

static enum act token_act(uint64_t token)
{
    return (enum act)(token >> 32 & 0xff);
}

static void schedule(struct crowd *crowd, uint64_t token, uint32_t delay_ms)
{
    if ((token & TOKEN_REFRESH) == 0)
        crowd->owed++;
    crowd->carts[token_cart(token)].waiting++;
    agenda_put(&crowd->agenda, crowd->now_ms + delay_ms, token);
}

/* A copy of a request was answered, or needs no answer any more. */
static void settle(struct crowd *crowd, uint64_t token)
{
    if ((token & TOKEN_REFRESH) == 0)
        crowd->owed--;
    crowd->carts[token_cart(token)].waiting--;
}

/* A cart that comes for the first time; its second click, if there is one, comes soon after. */
static uint64_t arrive(struct crowd *crowd)
{
    uint32_t cart = crowd->arrived++;
    uint64_t token = token_make(cart, ACT_PLACE);
    struct plan plan;
    plan_draw(crowd, cart, &plan);
    for (uint32_t copy = 1; copy < plan.clicks; copy++)
        schedule(crowd, token, plan.click_delay_ms);
    crowd->owed++;
    crowd->carts[cart].waiting++;
    return token;
}

static size_t write_place(const struct crowd *crowd, uint32_t cart, void *body)
{
    struct order_place_body *place = body;
    struct plan plan;
    plan_draw(crowd, cart, &plan);
    *place = (struct order_place_body){
        .order = crowd_order(crowd, cart),
        .customer = crowd_customer(crowd, crowd_buyer(cart)),
        .points = plan.points,
        .sale = SALE,
        .currency = CURRENCY_EUR,
        .line_count = plan.line_count,
        .allocation = plan.allocation,
    };
    memcpy(place + 1, plan.lines, plan.line_count * sizeof plan.lines[0]);
    return sizeof *place + plan.line_count * sizeof plan.lines[0];
}

static int64_t payment_amount(const struct cart *cart, enum act act)
{
    return cart->money_due + (act == ACT_PAY_WRONG ? 1 : 0);
}

static size_t write_payment(const struct crowd *crowd, uint32_t cart, enum act act, void *body)
{
    struct payment_event_body *payment = body;
    *payment = (struct payment_event_body){
        .event = random_id_of(crowd->seed, KIND_EVENT + act, cart),
        .order = crowd_order(crowd, cart),
        .amount = payment_amount(&crowd->carts[cart], act),
        .provider = PROVIDER,
        .status = act == ACT_FAIL ? payment_status_FAILURE : payment_status_SUCCESS,
        .currency = CURRENCY_EUR,
    };
    return sizeof *payment;
}

static size_t write_cancel(const struct crowd *crowd, uint32_t cart, void *body)
{
    *(struct order_change_body *)body = (struct order_change_body){
        .key = random_id_of(crowd->seed, KIND_KEY, cart),
        .order = crowd_order(crowd, cart),
    };
    return sizeof(struct order_change_body);
}

/* The next request on the agenda; those who only refresh the page go home when it is over. */
static bool take_due(struct crowd *crowd, uint64_t *token)
{
    while (agenda_take(&crowd->agenda, crowd->now_ms, token)) {
        if (!crowd->over || (*token & TOKEN_REFRESH) == 0)
            return true;
        settle(crowd, *token);
    }
    return false;
}

static bool next_request(void *context, struct frame *frame, uint64_t *token)
{
    struct crowd *crowd = context;
    if (crowd->paused)
        return false;
    if (!take_due(crowd, token)) {
        if (crowd->arrived == CARTS)
            return false;
        *token = arrive(crowd);
    }
    uint32_t cart = token_cart(*token);
    enum act act = token_act(*token);
    size_t size = acts[act].message == MESSAGE_order_place ? write_place(crowd, cart, frame + 1)
                  : acts[act].message == MESSAGE_order_cancel
                      ? write_cancel(crowd, cart, frame + 1)
                      : write_payment(crowd, cart, act, frame + 1);
    frame->type = acts[act].message;
    frame->size = (uint32_t)(sizeof *frame + size);
    return true;
}

static uint32_t hot_units(const struct crowd *crowd, uint32_t number)
{
    const struct cart *cart = &crowd->carts[number];
    uint32_t units = 0;
    for (uint32_t i = 0; i < cart->take_count; i++) {
        if (crowd_is_hot(crowd_line_sku(crowd, number, cart->takes[i].line)))
            units += cart->takes[i].quantity;
    }
    return units;
}

/* Moves the notes to what a newer version shows. */
static void note_status(struct crowd *crowd, uint32_t number, uint32_t version, uint8_t state,
                        uint8_t money, int64_t refund_due)
{
    struct cart *cart = &crowd->carts[number];
    if (version <= cart->version)
        return;
    if (state == order_state_CONFIRMED && cart->state != order_state_CONFIRMED)
        crowd->hot_confirmed += hot_units(crowd, number);
    if (state != order_state_CONFIRMED && cart->state == order_state_CONFIRMED)
        crowd->hot_confirmed -= hot_units(crowd, number);
    cart->version = version;
    cart->state = state;
    cart->money = money;
    cart->refund_due = refund_due;
}

/* Begins the next step of the cart's habit, if there is one. */
static void step_on(struct crowd *crowd, uint32_t number)
{
    struct cart *cart = &crowd->carts[number];
    const struct habit *habit = &habits[cart->habit];
    if (cart->step == habit->step_count)
        return;
    const struct step *step = &habit->steps[cart->step++];
    struct random random = cart_random(crowd, number ^ (uint32_t)cart->seq);
    for (uint32_t copy = 0; copy < step->copies; copy++)
        schedule(crowd, token_make(number, step->act),
                 step->delay_ms + random_below(&random, THINK_MS));
}

static uint8_t habit_draw(const struct crowd *crowd, uint32_t number)
{
    struct random random = cart_random(crowd, ~number);
    uint32_t drawn = random_below(&random, PER_MILLE);
    uint8_t habit = 0;
    if (crowd->closing)
        return 0;
    while (drawn >= habits[habit].share)
        drawn -= habits[habit++].share;
    return habit;
}

/* Notes the first acceptance of an order. */
static void note_order(struct crowd *crowd, uint32_t number,
                       const struct order_place_reply_body *place)
{
    struct cart *cart = &crowd->carts[number];
    const struct take_body *takes = (const void *)(place + 1);
    cart->seq = place->seq;
    cart->hold_ends = place->hold_ends;
    cart->total = place->total;
    cart->points_used = place->points_used;
    cart->points_value = place->points_value;
    cart->money_due = place->money_due;
    cart->take_count = (uint8_t)place->take_count;
    for (uint32_t i = 0; i < place->take_count; i++) {
        cart->takes[i].line = (uint8_t)takes[i].line;
        cart->takes[i].warehouse = (uint8_t)takes[i].warehouse;
        cart->takes[i].quantity = (uint16_t)takes[i].quantity;
    }
    if (place->points_value + place->money_due != place->total ||
        place->state != order_state_PENDING)
        crowd_complain(crowd, &crowd->wrong, number, "an odd answer to its placing");
    crowd->hot_accepted += hot_units(crowd, number);
    note_status(crowd, number, 1, place->state, money_state_DUE, 0);
    cart->habit = habit_draw(crowd, number);
}

static bool same_order(const struct cart *cart, const struct order_place_reply_body *place)
{
    const struct take_body *takes = (const void *)(place + 1);
    bool same = cart->seq == place->seq && cart->total == place->total &&
                cart->points_used == place->points_used && cart->money_due == place->money_due &&
                cart->hold_ends == place->hold_ends && cart->take_count == place->take_count;
    for (uint32_t i = 0; same && i < cart->take_count; i++)
        same = cart->takes[i].line == takes[i].line &&
               cart->takes[i].warehouse == takes[i].warehouse &&
               cart->takes[i].quantity == takes[i].quantity;
    return same;
}

static void take_acceptance(struct crowd *crowd, uint32_t number, const struct frame *frame)
{
    struct cart *cart = &crowd->carts[number];
    const struct order_place_reply_body *place = (const void *)(frame + 1);
    size_t size = frame->size - sizeof *frame;
    if (size < sizeof *place || place->take_count == 0 || place->take_count > CART_TAKES_MAX ||
        size != sizeof *place + place->take_count * sizeof(struct take_body)) {
        crowd_complain(crowd, &crowd->wrong, number, "a malformed answer to its placing");
        return;
    }
    if (frame->outcome == OUTCOME_OK && cart->decided)
        crowd_complain(crowd, &crowd->doubled, number, "decided a second time");
    cart->decided |= frame->outcome == OUTCOME_OK;
    if (cart->seq == 0)
        note_order(crowd, number, place);
    else if (!same_order(cart, place))
        crowd_complain(crowd, &crowd->doubled, number, "two different acceptances");
}

/* A rejected cart comes back for the hot goods until they are gone for good. */
static void take_rejection(struct crowd *crowd, uint32_t number, const struct frame *frame)
{
    struct cart *cart = &crowd->carts[number];
    const struct rejection_body *rejection = (const void *)(frame + 1);
    if (cart->seq != 0) {
        if (rejection->seq >= cart->seq)
            crowd_complain(crowd, &crowd->lost, number, "accepted, then answered %s",
                           outcome_name(frame->outcome));
        return;
    }
    cart->outcome = (uint8_t)frame->outcome;
    bool gone = frame->outcome == OUTCOME_SOLD_OUT || frame->outcome == OUTCOME_INSUFFICIENT_STOCK;
    if (!gone || crowd->over || cart->waiting != 0 || !crowd_is_hot(rejection->subject))
        return;
    struct random random = cart_random(crowd, number ^ (uint32_t)crowd->now_ms);
    schedule(crowd, token_make(number, ACT_PLACE) | TOKEN_REFRESH,
             REFRESH_MS_MIN + random_below(&random, REFRESH_MS));
}

/* An answer to a payment event or a cancellation that was carried out, now or before. */
static void take_status(struct crowd *crowd, uint32_t number, enum act act,
                        const struct frame *frame)
{
    struct cart *cart = &crowd->carts[number];
    const struct order_status_body *status = (const void *)(frame + 1);
    if (frame->size != sizeof *frame + sizeof *status) {
        crowd_complain(crowd, &crowd->wrong, number, "a malformed answer");
        return;
    }
    if ((cart->applied & 1u << act) != 0) {
        if (cart->versions[act] != status->version)
            crowd_complain(crowd, &crowd->doubled, number, "version %u, then %u for one request",
                           cart->versions[act], status->version);
        return;
    }
    cart->versions[act] = status->version;
    note_status(crowd, number, status->version, status->state, status->money, status->refund_due);
    if (act == ACT_PAY || act == ACT_PAY_WRONG || act == ACT_PAY_TWICE)
        cart->captured += payment_amount(cart, act);
}

/* May this answer be given to this act at all? */
static bool reply_fits(const struct load_reply *reply, enum act act, bool done)
{
    const struct frame *frame = reply->frame;
    if (!reply->in_order || frame->type != (acts[act].message | FRAME_REPLY) ||
        frame->outcome >= OUTCOME_COUNT)
        return false;
    return done || ((acts[act].rejections >> frame->outcome & 1) != 0 &&
                    frame->size == sizeof *frame + sizeof(struct rejection_body));
}

static void take_placing(struct crowd *crowd, uint32_t number, const struct load_reply *reply,
                         bool done)
{
    struct cart *cart = &crowd->carts[number];
    crowd->placings++;
    crowd->answered += !cart->answered;
    cart->answered = true;
    histogram_record(&crowd->latency, reply->latency_ns);
    if (done)
        take_acceptance(crowd, number, reply->frame);
    else
        take_rejection(crowd, number, reply->frame);
}

static void take_reply(void *context, const struct load_reply *reply)
{
    struct crowd *crowd = context;
    unsigned outcome = reply->frame->outcome;
    uint32_t number = token_cart(reply->token);
    enum act act = token_act(reply->token);
    struct cart *cart = &crowd->carts[number];
    bool done = outcome == OUTCOME_OK || outcome == OUTCOME_REPLAYED;
    settle(crowd, reply->token);
    crowd->repeated += outcome == OUTCOME_REPLAYED;
    if (!reply_fits(reply, act, done)) {
        bool forgotten = act != ACT_PLACE && outcome == OUTCOME_NOT_FOUND;
        crowd_complain(crowd, forgotten ? &crowd->lost : &crowd->wrong, number, "answered %s to %s",
                       outcome_name(outcome), message_info(acts[act].message)->name);
    } else if (act == ACT_PLACE) {
        take_placing(crowd, number, reply, done);
    } else if (done) {
        take_status(crowd, number, act, reply->frame);
    }
    /* A parked payment is recorded, although its answer is a rejection. */
    if (act != ACT_PLACE && (done || outcome == OUTCOME_AMOUNT_MISMATCH))
        cart->applied |= (uint8_t)(1u << act);
    if (cart->seq != 0 && cart->waiting == 0)
        step_on(crowd, number);
}

static void lose_request(void *context, uint64_t token)
{
    struct crowd *crowd = context;
    crowd->retried++;
    agenda_put(&crowd->agenda, crowd->now_ms, token);
}

struct load_driver crowd_driver(struct crowd *crowd)
{
    return (struct load_driver){crowd, next_request, take_reply, lose_request};
}
