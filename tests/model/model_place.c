/* The model's order.place: one check after the other, in the order in which docs/rules.md numbers
 * them.
 *
 * An order is drafted first: the draft has the pieces that its lines would get, and from where.
 * Nothing of the model changes until every check has passed. */
#include <string.h>

#include "base/assert.h"
#include "tests/model/model.h"

enum { DRAFT_PIECES_MAX = ORDER_LINES_MAX * MODEL_WAREHOUSES_MAX, TABLE_PIECES = 11 };

struct draft_piece {
    int line;
    uint32_t warehouse;
    int64_t quantity;
};

struct draft {
    const struct order_place_body *body;
    const struct line_body *lines;
    uint32_t warehouses[MODEL_WAREHOUSES_MAX]; /* all warehouses, ascending */
    int warehouse_count;
    struct draft_piece pieces[DRAFT_PIECES_MAX];
    int piece_count;
    int64_t allocated[ORDER_LINES_MAX];
    uint16_t currency;
    int64_t total;
    int64_t points_used;
    int64_t points_value;
};

static unsigned invalid_field(const struct order_place_body *body, const struct line_body *lines)
{
    uint32_t named = 0;
    if (id_is_zero(body->order))
        return order_place_field_order;
    if (id_is_zero(body->customer))
        return order_place_field_customer;
    if (body->points < 0 || body->points > POINTS_MAX)
        return order_place_field_points;
    if (body->hold > HOLD_MAX_S)
        return order_place_field_hold;
    if (body->currency > CURRENCY_MAX)
        return order_place_field_currency;
    if (body->line_count == 0)
        return order_place_field_line_count;
    for (int i = 0; i < body->line_count; i++) {
        if (lines[i].quantity == 0)
            return ROW_FIELD + line_field_quantity;
        if (lines[i].sku == 0)
            return ROW_FIELD + line_field_sku;
        if (lines[i].price < 0 || lines[i].price > PRICE_MAX)
            return ROW_FIELD + line_field_price;
        if (body->allocation == allocation_EXPLICIT && lines[i].warehouse == 0)
            return ROW_FIELD + line_field_warehouse;
        if (body->allocation == allocation_SINGLE && lines[i].warehouse != 0) {
            if (named != 0 && named != lines[i].warehouse)
                return ROW_FIELD + line_field_warehouse;
            named = lines[i].warehouse;
        }
    }
    return 0;
}

static bool answer_again(const struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct order_place_body *body = request->body;
    int known = model_find_order(model, body->order);
    if (known == MODEL_NONE)
        return false;
    const struct model_order *order = &model->orders.items[known];
    if (order->request_size != request->size ||
        memcmp(model->bytes.items + order->request, body, request->size) != 0) {
        model_reject(model, reply, OUTCOME_IDEM_MISMATCH, 0, 0);
        return true;
    }
    memcpy(reply->words, model->bytes.items + order->reply, order->reply_size);
    reply->size = (uint32_t)order->reply_size;
    reply->outcome = OUTCOME_REPLAYED;
    return true;
}

static bool sale_is_open(const struct model *model, uint32_t sale, struct model_reply *reply)
{
    if (sale == 0)
        return true;
    int index = model_find_sale(model, sale);
    if (index == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, sale, 0);
        return false;
    }
    const struct sale_put_body *terms = &model->sales.items[index].terms;
    if (model->sales.items[index].state != sale_state_OPEN || model->now < terms->opens ||
        (terms->closes != 0 && model->now >= terms->closes)) {
        model_reject(model, reply, OUTCOME_SALE_NOT_OPEN, sale, (int64_t)terms->opens);
        return false;
    }
    return true;
}

static bool prices_are_right(const struct model *model, struct draft *draft,
                             struct model_reply *reply)
{
    draft->currency = draft->body->currency;
    for (int i = 0; i < draft->body->line_count; i++) {
        const struct line_body *line = &draft->lines[i];
        int index = model_find_sku(model, line->sku);
        if (index == MODEL_NONE) {
            model_reject(model, reply, OUTCOME_NOT_FOUND, line->sku, 0);
            return false;
        }
        const struct model_sku *sku = &model->skus.items[index];
        if (draft->currency == 0)
            draft->currency = sku->currency;
        if (sku->currency != draft->currency) {
            model_reject(model, reply, OUTCOME_CURRENCY_MISMATCH, line->sku, sku->currency);
            return false;
        }
        if (sku->price != line->price) {
            model_reject(model, reply, OUTCOME_PRICE_MISMATCH, line->sku, sku->price);
            return false;
        }
    }
    return true;
}

static void list_warehouses(const struct model *model, struct draft *draft)
{
    uint32_t last = 0;
    for (;;) {
        uint32_t next = 0;
        for (int i = 0; i < model->stocks.count; i++) {
            uint32_t warehouse = model->stocks.items[i].warehouse;
            if (warehouse > last && (next == 0 || warehouse < next))
                next = warehouse;
        }
        if (next == 0)
            return;
        TILL_ASSERT(draft->warehouse_count < MODEL_WAREHOUSES_MAX);
        draft->warehouses[draft->warehouse_count++] = next;
        last = next;
    }
}

/* Gives a line what it still lacks from one warehouse, as far as the stock there goes. */
static void fill_from(const struct model *model, struct draft *draft, int line, uint32_t warehouse)
{
    uint64_t sku = draft->lines[line].sku;
    int64_t lacking = draft->lines[line].quantity - draft->allocated[line];
    int64_t left = model_could_give(model, draft->body->sale, sku, warehouse);
    for (int i = 0; i < draft->piece_count; i++) {
        if (draft->lines[draft->pieces[i].line].sku == sku &&
            draft->pieces[i].warehouse == warehouse)
            left -= draft->pieces[i].quantity;
    }
    int64_t given = left < lacking ? left : lacking;
    if (given <= 0)
        return;
    draft->allocated[line] += given;
    draft->pieces[draft->piece_count++] = (struct draft_piece){line, warehouse, given};
}

/* The first line that lacks something, or MODEL_NONE. */
static int first_unfilled(const struct draft *draft)
{
    for (int i = 0; i < draft->body->line_count; i++) {
        if (draft->allocated[i] < draft->lines[i].quantity)
            return i;
    }
    return MODEL_NONE;
}

static bool line_may_use(const struct draft *draft, int line, uint32_t warehouse)
{
    return draft->lines[line].warehouse == 0 || draft->lines[line].warehouse == warehouse;
}

/* RANK and EXPLICIT: fills each line in turn, from every warehouse that it may use. */
static void fill_by_rank(const struct model *model, struct draft *draft)
{
    for (int line = 0; line < draft->body->line_count; line++) {
        for (int w = 0; w < draft->warehouse_count; w++) {
            if (line_may_use(draft, line, draft->warehouses[w]))
                fill_from(model, draft, line, draft->warehouses[w]);
        }
    }
}

/* Starts the draft again, with every line from this warehouse; returns the units given. */
static int64_t fill_all_from(const struct model *model, struct draft *draft, uint32_t warehouse)
{
    int64_t units = 0;
    draft->piece_count = 0;
    memset(draft->allocated, 0, sizeof draft->allocated);
    for (int line = 0; line < draft->body->line_count; line++) {
        fill_from(model, draft, line, warehouse);
        units += draft->allocated[line];
    }
    return units;
}

static bool may_be_the_single(const struct draft *draft, uint32_t warehouse)
{
    bool may = true;
    for (int line = 0; line < draft->body->line_count; line++)
        may &= line_may_use(draft, line, warehouse);
    return may;
}

static void fill_from_single(const struct model *model, struct draft *draft)
{
    int64_t most = 0;
    uint32_t best = 0;
    for (int w = 0; w < draft->warehouse_count; w++) {
        uint32_t warehouse = draft->warehouses[w];
        if (!may_be_the_single(draft, warehouse))
            continue;
        int64_t units = fill_all_from(model, draft, warehouse);
        if (first_unfilled(draft) == MODEL_NONE)
            return;
        if (units > most) {
            most = units;
            best = warehouse;
        }
    }
    fill_all_from(model, draft, best);
}

/* SINGLE: the most of the line's SKU that any one warehouse could give. */
static int64_t remaining_in_single(const struct model *model, const struct draft *draft, int line)
{
    int64_t most = 0;
    for (int w = 0; w < draft->warehouse_count; w++) {
        int64_t could = model_could_give(model, draft->body->sale, draft->lines[line].sku,
                                         draft->warehouses[w]);
        if (may_be_the_single(draft, draft->warehouses[w]) && could > most)
            most = could;
    }
    return most;
}

static int64_t remaining_by_rank(const struct model *model, const struct draft *draft, int line)
{
    int64_t sum = 0;
    for (int w = 0; w < draft->warehouse_count; w++) {
        if (line_may_use(draft, line, draft->warehouses[w]))
            sum += model_could_give(model, draft->body->sale, draft->lines[line].sku,
                                    draft->warehouses[w]);
    }
    return sum;
}

/* SINGLE: the first line whose SKU, all its lines added up, no warehouse can fill; the first line
 * when each SKU alone could be filled. */
static int first_short_in_single(const struct model *model, const struct draft *draft)
{
    for (int line = 0; line < draft->body->line_count; line++) {
        int64_t asked = 0;
        for (int other = 0; other < draft->body->line_count; other++) {
            if (draft->lines[other].sku == draft->lines[line].sku)
                asked += draft->lines[other].quantity;
        }
        if (asked > remaining_in_single(model, draft, line))
            return line;
    }
    return 0;
}

/* The pieces of the lines before `end`. */
static int pieces_before(const struct draft *draft, int end)
{
    int count = 0;
    for (int i = 0; i < draft->piece_count; i++)
        count += draft->pieces[i].line < end;
    return count;
}

/* Rebuilds the order's request, with each line asking for what it had. */
bool model_allocate_again(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    const struct order_place_body *body = (const void *)(model->bytes.items + order->request);
    struct line_body lines[ORDER_LINES_MAX];
    struct draft draft = {.body = body, .lines = lines};
    memcpy(lines, body + 1, body->line_count * sizeof lines[0]);
    for (int i = 0; i < body->line_count; i++)
        lines[i].quantity = 0;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++)
        lines[model->pieces.items[p].line].quantity += (uint32_t)model->pieces.items[p].quantity;
    list_warehouses(model, &draft);
    if (body->allocation == allocation_SINGLE)
        fill_from_single(model, &draft);
    else
        fill_by_rank(model, &draft);
    if (first_unfilled(&draft) != MODEL_NONE || draft.piece_count > ORDER_PIECES_MAX)
        return false;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++)
        model->pieces.items[p].quantity = 0;
    order->piece_first = model->pieces.count;
    order->piece_count = draft.piece_count;
    for (int i = 0; i < draft.piece_count; i++) {
        const struct draft_piece *piece = &draft.pieces[i];
        *MODEL_ADD(&model->pieces) = (struct model_piece){
            .order = index,
            .line = piece->line,
            .stock = model_find_stock(model, lines[piece->line].sku, piece->warehouse),
            .quantity = piece->quantity,
        };
    }
    return true;
}

static bool stock_is_there(const struct model *model, struct draft *draft,
                           struct model_reply *reply)
{
    bool is_single = draft->body->allocation == allocation_SINGLE;
    bool is_partial = (draft->body->flags & place_flags_PARTIAL) != 0;
    if (is_single)
        fill_from_single(model, draft);
    else
        fill_by_rank(model, draft);
    int line = first_unfilled(draft);
    if (is_partial && draft->piece_count == 0) {
        model_reject(model, reply, OUTCOME_SOLD_OUT, draft->lines[0].sku, 0);
        return false;
    }
    bool is_short = !is_partial && line != MODEL_NONE;
    if (pieces_before(draft, is_short ? line + 1 : ORDER_LINES_MAX) > ORDER_PIECES_MAX) {
        model_reject(model, reply, OUTCOME_CAPACITY, TABLE_PIECES, ORDER_PIECES_MAX);
        return false;
    }
    if (!is_short)
        return true;
    if (is_single)
        line = first_short_in_single(model, draft);
    int64_t remaining =
        is_single ? remaining_in_single(model, draft, line) : remaining_by_rank(model, draft, line);
    model_reject(model, reply, remaining == 0 ? OUTCOME_SOLD_OUT : OUTCOME_INSUFFICIENT_STOCK,
                 draft->lines[line].sku, remaining);
    return false;
}

static bool limits_allow(const struct model *model, const struct draft *draft,
                         struct model_reply *reply)
{
    uint64_t skus[ORDER_LINES_MAX];
    uint64_t sku;
    int64_t left;
    for (int i = 0; i < draft->body->line_count; i++)
        skus[i] = draft->lines[i].sku;
    if (!model_limit_is_broken(model, draft->body->sale, draft->body->customer,
                               draft->body->line_count, skus, draft->allocated, &sku, &left))
        return true;
    model_reject(model, reply, OUTCOME_CUSTOMER_LIMIT, sku, left);
    return false;
}

static bool total_is_in_range(const struct model *model, struct draft *draft,
                              struct model_reply *reply)
{
    wide total = 0;
    for (int i = 0; i < draft->body->line_count; i++)
        total += (wide)draft->allocated[i] * draft->lines[i].price;
    if (total > TOTAL_MAX) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, TOTAL_MAX);
        return false;
    }
    draft->total = (int64_t)total;
    return true;
}

static wide smaller(wide a, wide b)
{
    return a < b ? a : b;
}

static bool points_are_right(const struct model *model, struct draft *draft,
                             struct model_reply *reply)
{
    const struct order_place_body *body = draft->body;
    wide rate_points = 1;
    wide rate_money = 1;
    wide useful = draft->total; /* the smaller of the cap and what the total can take */
    int sale = model_find_sale(model, body->sale);
    if (sale != MODEL_NONE) {
        const struct sale_put_body *terms = &model->sales.items[sale].terms;
        rate_points = terms->rate_points;
        rate_money = terms->rate_money;
        useful = 0;
        if (rate_points != 0) {
            wide share = (wide)draft->total * terms->points_share / POINTS_SHARE_WHOLE;
            useful =
                smaller(draft->total * rate_points / rate_money, share * rate_points / rate_money);
            if (terms->points_max != 0)
                useful = smaller(useful, terms->points_max);
        }
    }
    int64_t available = model_points_available(model, body->customer);
    wide used = smaller(smaller(body->points, available), useful);
    if (used < body->points && (body->flags & place_flags_POINTS_EXACT) != 0) {
        if (available < body->points)
            model_reject(model, reply, OUTCOME_INSUFFICIENT_POINTS, 0, available);
        else
            model_reject(model, reply, OUTCOME_POINTS_CAP, 0, (int64_t)useful);
        return false;
    }
    /* The fewest points that are worth the same. */
    draft->points_value = used == 0 ? 0 : (int64_t)(used * rate_money / rate_points);
    wide fewest = draft->points_value == 0 ? 0 : draft->points_value * rate_points / rate_money;
    while (fewest * rate_money / (rate_points == 0 ? 1 : rate_points) < draft->points_value)
        fewest++;
    draft->points_used = (int64_t)fewest;
    return true;
}

static uint64_t hold_end(const struct model *model, const struct order_place_body *body)
{
    uint64_t hold = HOLD_DEFAULT_S;
    uint64_t hold_max = HOLD_MAX_S;
    int sale = model_find_sale(model, body->sale);
    if (sale != MODEL_NONE) {
        hold = model->sales.items[sale].terms.hold;
        hold_max = model->sales.items[sale].terms.hold_max;
    }
    if (body->hold != 0)
        hold = body->hold;
    if (hold > hold_max)
        hold = hold_max;
    return model->now + hold * US_PER_SECOND;
}

/* The lines and pieces of the order that is about to be added. */
static void add_pieces(struct model *model, const struct draft *draft, struct model_order *order)
{
    order->line_first = model->lines.count;
    order->line_count = draft->body->line_count;
    for (int i = 0; i < order->line_count; i++)
        *MODEL_ADD(&model->lines) = draft->lines[i];
    order->piece_first = model->pieces.count;
    order->piece_count = draft->piece_count;
    for (int i = 0; i < draft->piece_count; i++) {
        uint64_t sku = draft->lines[draft->pieces[i].line].sku;
        uint32_t warehouse = draft->pieces[i].warehouse;
        *MODEL_ADD(&model->pieces) = (struct model_piece){
            .order = model->orders.count,
            .line = draft->pieces[i].line,
            .stock = model_find_stock(model, sku, warehouse),
            .pool = model_find_pool(model, draft->body->sale, sku, warehouse),
            .quantity = draft->pieces[i].quantity,
        };
    }
}

static void answer_order(const struct model *model, const struct draft *draft,
                         const struct model_order *order, struct model_reply *reply)
{
    struct order_place_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->total = order->total;
    answer->points_used = order->points_used;
    answer->points_value = order->points_value;
    answer->money_due = order->money_due;
    answer->hold_ends = order->hold_ends;
    answer->state = order->state;
    answer->currency = order->currency;
    answer->take_count = (uint16_t)draft->piece_count;
    for (int i = 0; i < draft->piece_count; i++) {
        struct take_body *take = model_answer_row(reply, sizeof *take);
        take->line = (uint16_t)(draft->pieces[i].line + 1);
        take->quantity = (uint32_t)draft->pieces[i].quantity;
        take->warehouse = draft->pieces[i].warehouse;
    }
}

static void place(struct model *model, const struct draft *draft,
                  const struct model_request *request, struct model_reply *reply)
{
    const struct order_place_body *body = draft->body;
    bool is_paid = (body->flags & place_flags_PAID) != 0;
    int index = model->orders.count;
    struct model_order order = {
        .order = body->order,
        .customer = body->customer,
        .total = draft->total,
        .points_used = draft->points_used,
        .points_value = draft->points_value,
        .money_due = draft->total - draft->points_value,
        .placed = model->now,
        .hold_ends = hold_end(model, body),
        .sale = body->sale,
        .currency = draft->currency,
        .state = order_state_PENDING,
    };
    if (order.money_due == 0 || is_paid) {
        order.state = order_state_CONFIRMED;
        order.captured = order.money_due;
        order.hold_ends = 0;
        order.awaits_word = is_paid && order.money_due > 0;
    }
    add_pieces(model, draft, &order);
    answer_order(model, draft, &order, reply);
    order.request = model_keep(model, body, request->size);
    order.request_size = request->size;
    order.reply = model_keep(model, reply->words, reply->size);
    order.reply_size = reply->size;
    order.slot = model->free_slots.count > 0 ? model->free_slots.items[--model->free_slots.count]
                                             : model->slot_count++;
    *MODEL_ADD(&model->orders) = order;
    model_customer_comes_to_be(model, body->customer);
    model_points_take(model, index, order.points_used);
    model_add_step(model, index);
    if (order.state == order_state_PENDING)
        model_set_deadline(model, index, order.hold_ends);
}

void model_order_place(struct model *model, const struct model_request *request,
                       struct model_reply *reply)
{
    struct draft draft = {.body = request->body};
    draft.lines = (const struct line_body *)(draft.body + 1);
    unsigned invalid = invalid_field(draft.body, draft.lines);
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    if (answer_again(model, request, reply))
        return;
    model_sum_stock(model);
    list_warehouses(model, &draft);
    if (!sale_is_open(model, draft.body->sale, reply) || !prices_are_right(model, &draft, reply) ||
        !stock_is_there(model, &draft, reply) || !limits_allow(model, &draft, reply) ||
        !total_is_in_range(model, &draft, reply) || !points_are_right(model, &draft, reply))
        return;
    model_accept(model, reply);
    place(model, &draft, request, reply);
}
