/* Units that move: from one warehouse to another, and between what may be sold and what may not.
 * Only what is available moves; what is promised stays where it was promised from. */
#include "engine/keys.h"
#include "engine/stock.h"

/* The two warehouses as they are now. */
static void add_levels(const struct engine *engine, struct command *command,
                       const struct stock_transfer_body *body, uint32_t sku)
{
    struct stock_transfer_reply_body *reply = (struct stock_transfer_reply_body *)command->reply;
    struct level_body *rows = (struct level_body *)(reply + 1);
    const uint32_t warehouses[] = {body->from, body->to};
    reply->level_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        const struct stock *stock = stock_at(engine, stock_find(engine, sku, warehouses[i]));
        rows[i] = (struct level_body){
            .warehouse = warehouses[i], .on_hand = stock->on_hand, .available = stock->available};
    }
    uint32_t size = 2 * (uint32_t)sizeof *rows;
    command->reply_size += size;
    if (command->sink != NULL)
        command->sink->cursor += size;
}

static enum outcome check_transfer(struct engine *engine, const struct stock_transfer_body *body)
{
    if (body->sku == 0)
        return reject_field(engine, stock_transfer_field_sku);
    if (body->quantity < 1 || body->quantity > QUANTITY_MAX)
        return reject_field(engine, stock_transfer_field_quantity);
    if (body->from == 0)
        return reject_field(engine, stock_transfer_field_from);
    if (body->to == 0 || body->to == body->from)
        return reject_field(engine, stock_transfer_field_to);
    return OUTCOME_OK;
}

static void stock_shift(struct engine *engine, uint32_t index, int64_t units)
{
    struct stock *stock = stock_edit(engine, index);
    stock->on_hand += units;
    stock->available += units;
    stock_digest(engine, index);
}

enum outcome handle_stock_transfer(struct engine *engine, struct command *command)
{
    const struct stock_transfer_body *body = command->body;
    enum outcome outcome = check_transfer(engine, body);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint32_t sku = sku_find(engine, body->sku);
    if (sku == 0)
        return reject(engine, OUTCOME_NOT_FOUND, body->sku, 0);
    uint32_t from = stock_find(engine, sku, body->from);
    uint32_t to = stock_find(engine, sku, body->to);
    int64_t available = stock_available(stock_at(engine, from));
    if (body->quantity > available)
        return reject(engine, OUTCOME_INSUFFICIENT_STOCK, body->sku, available);
    if (body->quantity > QUANTITY_MAX - stock_at(engine, to)->on_hand)
        return reject(engine, OUTCOME_OVERFLOW, 0, QUANTITY_MAX);
    outcome = stock_check_room(engine, to, body->to);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    if (to == 0)
        to = stock_add(engine, sku, body->to);
    stock_shift(engine, from, -body->quantity);
    stock_shift(engine, to, body->quantity);
    struct stock_transfer_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    add_levels(engine, command, body, sku);
    return OUTCOME_OK;
}

/* As the two are by now. */
void replay_rows_stock_transfer(struct engine *engine, struct command *command)
{
    const struct stock_transfer_body *body = command->body;
    add_levels(engine, command, body, sku_find(engine, body->sku));
}

static enum outcome check_unsellable(struct engine *engine,
                                     const struct stock_unsellable_body *body)
{
    bool discards = (body->flags & stock_flags_DISCARD) != 0;
    if (body->sku == 0)
        return reject_field(engine, stock_unsellable_field_sku);
    if (body->delta == 0)
        return reject_field(engine, stock_unsellable_field_delta);
    if (body->warehouse == 0)
        return reject_field(engine, stock_unsellable_field_warehouse);
    if ((body->flags & stock_flags_ALLOW_DEFICIT) != 0 || (discards && body->delta > 0))
        return reject_field(engine, stock_unsellable_field_flags);
    return OUTCOME_OK;
}

/* Units that there are to be moved. After a count that allowed a deficit on_hand may be less than
 * what is unsellable, and no more than on_hand can leave. */
static int64_t units_left(const struct stock *stock, const struct stock_unsellable_body *body)
{
    if (body->delta > 0)
        return stock_available(stock);
    bool leaves = (body->flags & stock_flags_DISCARD) != 0;
    return leaves && stock->on_hand < stock->unsellable ? stock->on_hand : stock->unsellable;
}

enum outcome handle_stock_unsellable(struct engine *engine, struct command *command)
{
    const struct stock_unsellable_body *body = command->body;
    enum outcome outcome = check_unsellable(engine, body);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint32_t sku = sku_find(engine, body->sku);
    if (sku == 0)
        return reject(engine, OUTCOME_NOT_FOUND, body->sku, 0);
    uint32_t index = stock_find(engine, sku, body->warehouse);
    int64_t left = units_left(stock_at(engine, index), body);
    if (body->delta > left || body->delta < -left)
        return reject(engine, OUTCOME_INSUFFICIENT_STOCK, body->sku, left);
    if (!key_accept(engine))
        return reject_keys_full(engine);

    struct stock *stock = stock_edit(engine, index);
    stock->unsellable += body->delta;
    if ((body->flags & stock_flags_DISCARD) != 0) {
        stock->on_hand += body->delta;
        engine->on_hand_total += body->delta;
    } else {
        stock->available -= body->delta;
    }
    stock_digest(engine, index);
    stock_level_reply(engine, index, reply_begin(engine, command, sizeof(struct stock_level_body)));
    return OUTCOME_OK;
}
