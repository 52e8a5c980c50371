/* The workloads that place orders, and what all workloads have in common.
 *
 * A request is the share's template, copied, with its ids and whatever else differs patched in. Its
 * token says what must be answered: amounts, lines and quantities of a placing fit into one word,
 * so nothing is kept per request. An answer is right when it is exactly that, and when its seq fits
 * behind those before it on the connection.
 *
 * stampede sells SKU after SKU. Each has stock for 1 % of the buyers that come for it; SOLD_OUT is
 * right when it was decided after the last unit had gone, which the seqs tell at the end, and when
 * exactly the stock was sold.
 *
 * Whatever the workload, the audit compares the server's stock with the units that its answers
 * promised. */
#include "bench/workload_kind.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "engine/tables.h"

enum {
    UNITS = 1000 * 1000 * 1000, /* of each SKU that is not to be sold out */
    WAVE_BUYERS = 100 * 1000,   /* who want the same SKU of a stampede, */
    WAVE_UNITS = WAVE_BUYERS / 100,
    POINTS_SHARE = 3000, /* of 10,000: what of a cart may be paid with points */
    POINTS_ASKED_MAX = 3000,
    POINTS_CREDITED = 1000 * 1000 * 1000,
    MEMBERS = 1 << 16, /* buyers with points */
    MEMBER_EVERY = 4,
    KEYS_PER_SKU = 2,      /* of what sets it up: the SKU itself and its stock */
    SKUS_BESIDE = 1 << 10, /* room for others than the run's */
    AUDIT_TRIES = 100,
    AUDIT_PAUSE_MS = 100,
};

/* One SKU of a stampede, as one share has seen it. */
struct wave {
    uint64_t seq_sold;    /* of the last unit; 0: none */
    uint64_t seq_refused; /* of the first SOLD_OUT; 0: none */
    uint32_t answered;
    uint32_t sold;
};

/* A number from 0 on with the frequency of Zipf's law for s = 1. The table holds where each of
 * WORKLOAD_RANK_CELLS equally likely cells begins; within a cell all ranks count the same. */
uint32_t sku_draw(const struct workload *workload, uint64_t random)
{
    uint32_t cell = (uint32_t)(random >> 50) % WORKLOAD_RANK_CELLS;
    uint32_t first = workload->ranks[cell], last = workload->ranks[cell + 1];
    return first + (uint32_t)((random & UINT32_MAX) * (last - first + 1) >> 32);
}

static void ranks_init(struct workload *workload)
{
    double sum = 0, seen = 0;
    uint32_t rank = 0;
    for (uint32_t i = 0; i < workload->sku_count; i++)
        sum += 1.0 / (i + 1);
    for (uint32_t cell = 0; cell < WORKLOAD_RANK_CELLS; cell++) {
        while (rank + 1 < workload->sku_count &&
               seen + 1.0 / (rank + 1) <= sum * cell / WORKLOAD_RANK_CELLS)
            seen += 1.0 / (++rank);
        workload->ranks[cell] = rank;
    }
    workload->ranks[WORKLOAD_RANK_CELLS] = workload->sku_count - 1;
}

struct order_frame *order_begin(struct workload_share *share, struct frame *frame, uint32_t lines)
{
    struct order_frame *order = (void *)frame;
    size_t size = offsetof(struct order_frame, lines) + lines * sizeof order->lines[0];
    memcpy(order, &share->order, size);
    order->frame.size = (uint32_t)size;
    order->place.line_count = (uint16_t)lines;
    order->place.order = random_id(&share->random);
    order->place.customer = customer_draw(share);
    return order;
}

bool place_is_right(const struct frame *frame, union place_token token)
{
    const struct order_place_reply_body *place = (const void *)(frame + 1);
    const struct take_body *takes = (const void *)(place + 1);
    int64_t total = token.total, points = token.points;
    if (frame->type != (MESSAGE_order_place | FRAME_REPLY) || frame->outcome != OUTCOME_OK ||
        frame->size != sizeof *frame + sizeof *place + token.lines * sizeof *takes)
        return false;
    bool right = place->total == total && place->points_used == points &&
                 place->points_value == points && place->money_due == total - points &&
                 place->hold_ends != 0 && place->state == order_state_PENDING &&
                 place->currency == CURRENCY && place->take_count == token.lines;
    for (uint32_t i = 0; i < token.lines; i++)
        right = right && takes[i].line == i + 1 && takes[i].warehouse == WAREHOUSE &&
                takes[i].quantity == token_quantity(token, i);
    return right;
}

bool seq_grows(struct workload_share *share, const struct workload_answer *answer)
{
    uint64_t *last = &share->seq_last[answer->connection];
    uint64_t seq = *(const uint64_t *)(answer->frame + 1);
    unsigned number = answer->frame->type & ~FRAME_REPLY;
    if (answer->frame->outcome == OUTCOME_REPLAYED)
        return true;
    bool changed = answer->frame->outcome == OUTCOME_OK && number != MESSAGE_stock_get &&
                   number != MESSAGE_order_get && number != MESSAGE_points_balance;
    bool grows = changed ? seq > *last : seq >= *last;
    *last = seq;
    return grows;
}

enum verdict verdict_otherwise(struct workload_share *share, const struct frame *frame)
{
    const struct rejection_body *rejection = (const void *)(frame + 1);
    const char *table = "";
    if (frame->outcome == OUTCOME_CAPACITY)
        table = capacity_name(rejection->subject) ?: "a table";
    else if (frame->outcome != OUTCOME_STORAGE_FULL)
        return VERDICT_WRONG;
    snprintf(share->ended, sizeof share->ended, "%s%s%s: %s", outcome_name(frame->outcome),
             *table != '\0' ? " of " : "", table, outcome_info(frame->outcome)->text);
    return VERDICT_ENDED;
}

static enum verdict place_answer(struct workload_share *share, const struct workload_answer *answer)
{
    const union place_token token = {.bits = answer->token};
    if (!place_is_right(answer->frame, token) || !seq_grows(share, answer))
        return verdict_otherwise(share, answer->frame);
    for (uint32_t i = 0; i < token.lines; i++)
        share->units_reserved += token_quantity(token, i);
    return VERDICT_RIGHT;
}

/* One line of one unit; returns the token. */
static uint64_t order_one_unit(struct workload_share *share, struct frame *frame, uint32_t sku)
{
    struct order_frame *order = order_begin(share, frame, 1);
    int64_t price = price_of(sku);
    order->lines[0] =
        (struct line_body){.sku = share->workload->sku_first + sku, .quantity = 1, .price = price};
    const union place_token token = {.total = (uint64_t)price & 0xffffff, .lines = 1};
    return token.bits;
}

static uint64_t hot_request(struct workload_share *share, struct frame *frame)
{
    return order_one_unit(share, frame, 0);
}

static uint64_t zipf_request(struct workload_share *share, struct frame *frame)
{
    uint32_t sku = sku_draw(share->workload, random_next(&share->random));
    return order_one_unit(share, frame, sku);
}

static uint64_t cart_request(struct workload_share *share, struct frame *frame)
{
    const struct workload *workload = share->workload;
    uint64_t random = random_next(&share->random);
    union place_token token = {.quantities = random & 0xffff};
    uint32_t lines = 1 + random_below(&share->random, workload->options.lines);
    struct order_frame *order = order_begin(share, frame, lines);
    int64_t total = 0;
    token.lines = lines & 63;
    for (uint32_t i = 0; i < lines; i++) {
        uint32_t sku = sku_draw(workload, random_next(&share->random));
        uint32_t quantity = token_quantity(token, i);
        int64_t price = price_of(sku);
        order->lines[i] = (struct line_body){
            .sku = workload->sku_first + sku, .quantity = quantity, .price = price};
        total += price * quantity;
    }
    token.total = (uint64_t)total & 0xffffff;
    if (random >> 32 & (MEMBER_EVERY - 1))
        return token.bits;
    uint32_t member = random_below(&share->random, MEMBERS);
    int64_t points = 1 + random_below(&share->random, POINTS_ASKED_MAX);
    int64_t points_max = total * POINTS_SHARE / POINTS_SHARE_WHOLE;
    order->place.customer = random_id_of(CUSTOMER_SEED, ID_MEMBER, member);
    order->place.points = points;
    token.points = (uint64_t)(points < points_max ? points : points_max) & 0x3ffff;
    return token.bits;
}

/* Buyers come in waves, each for the next SKU; when the SKUs are used up, for the last one. */
static uint64_t stampede_request(struct workload_share *share, struct frame *frame)
{
    const struct workload *workload = share->workload;
    uint64_t wave = share->asked++ * workload->options.shares / WAVE_BUYERS;
    if (wave >= workload->sku_count)
        wave = workload->sku_count - 1;
    order_one_unit(share, frame, (uint32_t)wave);
    return wave;
}

static enum verdict stampede_answer(struct workload_share *share,
                                    const struct workload_answer *answer)
{
    const struct frame *frame = answer->frame;
    const struct rejection_body *rejection = (const void *)(frame + 1);
    uint32_t sku = (uint32_t)answer->token;
    struct wave *wave = &share->waves[sku];
    const union place_token token = {.total = (uint64_t)price_of(sku) & 0xffffff, .lines = 1};
    bool grows = seq_grows(share, answer);
    if (place_is_right(frame, token)) {
        wave->seq_sold = rejection->seq;
        wave->sold++;
        share->units_reserved++;
    } else if (frame->type == (MESSAGE_order_place | FRAME_REPLY) &&
               frame->outcome == OUTCOME_SOLD_OUT &&
               frame->size == sizeof *frame + sizeof *rejection && rejection->value == 0 &&
               rejection->subject == share->workload->sku_first + sku) {
        if (wave->seq_refused == 0)
            wave->seq_refused = rejection->seq;
    } else {
        return verdict_otherwise(share, frame);
    }
    wave->answered++;
    return grows ? VERDICT_RIGHT : VERDICT_WRONG;
}

enum { KIND_HOT, KIND_ZIPF, KIND_CART, KIND_STAMPEDE, KIND_LIFECYCLE, KIND_READ, KIND_COUNT };

static const struct workload_kind kinds[KIND_COUNT] = {
    [KIND_HOT] = {"hot", "one SKU sells to everyone, one unit an order", hot_request, place_answer},
    [KIND_ZIPF] = {"zipf", "one line an order; some of --skus sell far more than others",
                   zipf_request, place_answer},
    [KIND_CART] = {"cart", "1 to --lines lines an order; every fourth buyer pays with points too",
                   cart_request, place_answer},
    [KIND_STAMPEDE] = {"stampede", "stock for 1 % of the buyers; the others are told SOLD_OUT",
                       stampede_request, stampede_answer},
    [KIND_LIFECYCLE] = {"lifecycle", "place, pay, cancel, expire; 5 % of the requests come twice",
                        lifecycle_request, lifecycle_answer},
    [KIND_READ] = {"read", "stock.get, order.get and points.balance on a prepared shop",
                   read_request, read_answer},
};

static bool is_kind(const struct workload *workload, unsigned kind)
{
    return workload->kind == &kinds[kind];
}

void workload_print(FILE *out)
{
    for (uint32_t i = 0; i < KIND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", kinds[i].name, kinds[i].text);
}

bool workload_init(struct workload *workload, const struct workload_options *options,
                   char error[WORKLOAD_ERROR_SIZE])
{
    *workload = (struct workload){.options = *options, .units = UNITS};
    for (uint32_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kinds[i].name, options->name) == 0)
            workload->kind = &kinds[i];
    }
    if (workload->kind == NULL) {
        snprintf(error, WORKLOAD_ERROR_SIZE, "no workload '%s'; see --help", options->name);
        return false;
    }
    struct random random = {.state = random_seed()};
    workload->seed = random_next(&random);
    workload->sku_first = 1 + (random_next(&random) >> 34) * WORKLOAD_SKUS_MAX;
    workload->sale = (uint32_t)random_next(&random) | 1;
    workload->sku_count = is_kind(workload, KIND_HOT) ? 1 : options->skus;
    if (is_kind(workload, KIND_STAMPEDE)) {
        uint64_t waves = options->requests / WAVE_BUYERS + 1;
        workload->sku_count = waves < WORKLOAD_SKUS_MAX ? (uint32_t)waves : WORKLOAD_SKUS_MAX;
        workload->units = WAVE_UNITS;
    }
    if (is_kind(workload, KIND_READ)) {
        workload->sold = calloc(workload->sku_count, sizeof *workload->sold);
        if (workload->sold == NULL) {
            snprintf(error, WORKLOAD_ERROR_SIZE, "no memory");
            return false;
        }
    }
    ranks_init(workload);
    return true;
}

void workload_deinit(struct workload *workload)
{
    free(workload->sold);
}

/* Room for a share of the requests, with a reserve. */
static uint32_t room_for(uint64_t requests, double share)
{
    double room = (double)requests * share * 1.02 + (1 << 18);
    return room < (double)UINT32_MAX / 2 ? (uint32_t)room : UINT32_MAX / 2;
}

void workload_capacities(const struct workload *workload, uint64_t requests,
                         struct engine_options *capacities)
{
    bool cart = is_kind(workload, KIND_CART), lifecycle = is_kind(workload, KIND_LIFECYCLE);
    double lines = (1.0 + workload->options.lines) / 2;
    double orders = lifecycle                          ? 0.52
                    : is_kind(workload, KIND_READ)     ? 0
                    : is_kind(workload, KIND_STAMPEDE) ? 0.01
                                                       : 1;
    double paid = lifecycle ? orders * 0.86 : 0;
    uint32_t skus = workload->sku_count + SKUS_BESIDE;
    double members = cart ? 1.0 / MEMBER_EVERY : 0;
    uint64_t customers = (uint64_t)workload->options.customers + MEMBERS + READ_CUSTOMERS;
    capacities->customers =
        (uint32_t)(customers * 21 / 20 < UINT32_MAX / 2 ? customers * 21 / 20 : UINT32_MAX / 2);
    capacities->orders = room_for(requests, orders);
    capacities->deadlines = room_for(requests, orders);
    capacities->steps = room_for(requests, lifecycle ? orders * 1.1 : 0);
    capacities->lines = room_for(requests, cart ? lines : 0);
    capacities->pieces = room_for(requests, cart ? lines : 0);
    capacities->moneys = room_for(requests, paid + members);
    capacities->ledger = room_for(requests, 3 * members);
    capacities->point_takes = room_for(requests, members);
    capacities->payments = room_for(requests, paid);
    capacities->keys =
        room_for(requests, lifecycle ? orders * 0.12 : 0) + KEYS_PER_SKU * workload->sku_count;
    capacities->tallies = capacities->pools = 1 << 10;
    capacities->sales = 1 << 10;
    capacities->skus = capacities->skus > skus ? capacities->skus : skus;
    capacities->stocks = capacities->stocks > skus ? capacities->stocks : skus;
}

bool workload_set_up(struct workload *workload, const struct shop *shop)
{
    struct sale_put_body sale = {
        .sale = workload->sale,
        .hold = HOLD_S,
        .points_share = POINTS_SHARE,
        .rate_points = 1,
        .rate_money = 1,
    };
    bool done = true;
    for (uint32_t i = 0; done && i < workload->sku_count; i++)
        done = shop_put_sku(shop, workload->sku_first + i, price_of(i), CURRENCY) &&
               shop_put_stock(shop, workload->sku_first + i, WAREHOUSE, workload->units);
    for (uint32_t i = 0; done && is_kind(workload, KIND_CART) && i < MEMBERS; i++)
        done = shop_credit_points(shop, random_id_of(CUSTOMER_SEED, ID_MEMBER, i), POINTS_CREDITED);
    done = done && shop_open_sale(shop, &sale, NULL);
    return done && (!is_kind(workload, KIND_READ) || read_prepare(workload, shop));
}

bool share_init(struct workload_share *share, const struct workload *workload, uint32_t number,
                uint32_t connections, uint32_t in_flight)
{
    *share = (struct workload_share){
        .workload = workload,
        .random = {.state = random_mix(workload->seed + number)},
        .seed = random_mix(~workload->seed + number),
        .order = {.frame = {.type = MESSAGE_order_place},
                  .place = {.sale = workload->sale, .currency = CURRENCY}},
        .seq_last = calloc(connections, sizeof *share->seq_last),
    };
    bool whole = share->seq_last != NULL;
    if (is_kind(workload, KIND_STAMPEDE))
        whole &= (share->waves = calloc(workload->sku_count, sizeof *share->waves)) != NULL;
    if (is_kind(workload, KIND_LIFECYCLE))
        whole &= (share->visits = visits_create(in_flight)) != NULL;
    return whole;
}

void share_deinit(struct workload_share *share)
{
    free(share->seq_last);
    free(share->waves);
    free(share->visits);
}

uint64_t share_request(struct workload_share *share, struct frame *frame)
{
    return share->workload->kind->request(share, frame);
}

enum verdict share_answer(struct workload_share *share, const struct workload_answer *answer)
{
    return share->workload->kind->answer(share, answer);
}

bool answer_is_order(const struct frame *frame)
{
    return frame->type == (MESSAGE_order_place | FRAME_REPLY) && frame->outcome != OUTCOME_REPLAYED;
}

/* Checks a stampede: each SKU was sold completely, and no buyer was rejected before that. */
static bool audit_waves(const struct workload *workload, const struct workload_share *shares,
                        char error[WORKLOAD_ERROR_SIZE])
{
    for (uint32_t sku = 0; sku < workload->sku_count; sku++) {
        struct wave all = {.seq_refused = UINT64_MAX};
        for (uint32_t i = 0; i < workload->options.shares; i++) {
            const struct wave *wave = &shares[i].waves[sku];
            all.answered += wave->answered;
            all.sold += wave->sold;
            if (wave->seq_sold > all.seq_sold)
                all.seq_sold = wave->seq_sold;
            if (wave->seq_refused != 0 && wave->seq_refused < all.seq_refused)
                all.seq_refused = wave->seq_refused;
        }
        uint32_t expected = all.answered < WAVE_UNITS ? all.answered : WAVE_UNITS;
        if (all.sold == expected && all.seq_refused >= all.seq_sold)
            continue;
        snprintf(error, WORKLOAD_ERROR_SIZE,
                 "SKU %" PRIu64 ": %u of %u units went to %u buyers, the last at seq %" PRIu64
                 "; the first was refused at seq %" PRIu64,
                 workload->sku_first + sku, all.sold, (uint32_t)WAVE_UNITS, all.answered,
                 all.seq_sold, all.seq_refused);
        return false;
    }
    return true;
}

/* Adds up the stock of all the run's SKUs; false when it cannot be read. */
static bool sum_stock(const struct workload *workload, const struct shop *shop,
                      struct stock_row_body *sum)
{
    struct stock_row_body rows[STOCK_ITEMS_MAX];
    *sum = (struct stock_row_body){0};
    for (uint32_t first = 0; first < workload->sku_count; first += STOCK_ITEMS_MAX) {
        uint32_t count = workload->sku_count - first;
        count = count < STOCK_ITEMS_MAX ? count : STOCK_ITEMS_MAX;
        if (!shop_stock(shop, workload->sku_first + first, count, rows))
            return false;
        for (uint32_t i = 0; i < count; i++) {
            sum->available += rows[i].available;
            sum->reserved_for_orders += rows[i].reserved_for_orders;
            sum->committed += rows[i].committed;
        }
    }
    return true;
}

bool workload_audit(const struct workload *workload, const struct workload_share *shares,
                    const struct shop *shop, char error[WORKLOAD_ERROR_SIZE])
{
    const struct timespec pause = {.tv_nsec = AUDIT_PAUSE_MS * 1000000L};
    struct stock_row_body sum;
    int64_t reserved = 0, committed = 0;
    int64_t stock = workload->units * workload->sku_count;
    for (uint32_t i = 0; i < workload->options.shares; i++) {
        reserved += (int64_t)shares[i].units_reserved;
        committed += (int64_t)shares[i].units_committed;
    }
    for (uint32_t i = 0; workload->sold != NULL && i < workload->sku_count; i++)
        reserved += workload->sold[i];
    if (is_kind(workload, KIND_STAMPEDE) && !audit_waves(workload, shares, error))
        return false;
    for (uint32_t tries = 0; tries < AUDIT_TRIES; tries++) {
        if (!sum_stock(workload, shop, &sum)) {
            snprintf(error, WORKLOAD_ERROR_SIZE, "the stock cannot be read");
            return false;
        }
        if (sum.reserved_for_orders == reserved && sum.committed == committed &&
            sum.available == stock - reserved - committed)
            return true;
        /* Only holds that have yet to expire can make it more than was promised. */
        if (sum.reserved_for_orders <= reserved)
            break;
        nanosleep(&pause, NULL);
    }
    snprintf(error, WORKLOAD_ERROR_SIZE,
             "of %" PRId64 " units, %" PRId64 " are reserved, %" PRId64 " committed, %" PRId64
             " available; by the answers %" PRId64 " and %" PRId64 " are promised",
             stock, (int64_t)sum.reserved_for_orders, (int64_t)sum.committed,
             (int64_t)sum.available, reserved, committed);
    return false;
}
