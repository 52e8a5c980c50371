/* What a customer has, and how it came about: the balance, and pages of lots and of the ledger.
 *
 * A cursor names the last row of its page, by what never changes about it: an expiry and a lot, or
 * a seq and an entry. So rows that come or go meanwhile move no other, and each is in one page. */
#include "engine/handlers.h"
#include "engine/points.h"

static uint64_t shown_us(uint64_t expires_us)
{
    return expires_us == UINT64_MAX ? 0 : expires_us;
}

/* The available points that go first, and when. */
static void answer_expiring(const struct engine *engine, uint32_t customer,
                            struct points_balance_reply_body *reply)
{
    uint64_t next_us = UINT64_MAX;
    for (uint32_t at = customer_at(engine, customer)->lots; at != 0;
         at = lot_at(engine, at)->next) {
        const struct lot *lot = lot_at(engine, at);
        if (lot_has_expired(engine, lot))
            continue;
        if (lot->expires_us > next_us || lot->expires_us == UINT64_MAX)
            break;
        next_us = lot->expires_us;
        reply->expiring += lot->left;
    }
    reply->next_expiry = shown_us(next_us);
}

enum outcome handle_points_balance(struct engine *engine, struct command *command)
{
    const struct points_balance_body *body = command->body;
    if (id_is_zero(body->customer))
        return reject_field(engine, points_balance_field_customer);
    uint32_t index = customer_find(engine, body->customer, hash_id(engine, body->customer));
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct customer *customer = customer_at(engine, index);
    struct points_balance_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    reply->held = customer->held;
    reply->available = points_available(engine, index);
    reply->balance = reply->available + reply->held;
    reply->promised = customer->promised;
    reply->owed = customer->owed;
    answer_expiring(engine, index, reply);
    return OUTCOME_OK;
}

/* The customer that a page is asked of; 0 with the rejection. */
static uint32_t page_customer(struct engine *engine, const struct points_page_body *body,
                              enum outcome *outcome)
{
    uint32_t index = 0;
    if (id_is_zero(body->customer))
        *outcome = reject_field(engine, points_page_field_customer);
    else if ((index = customer_find(engine, body->customer, hash_id(engine, body->customer))) == 0)
        *outcome = reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    return index;
}

static bool lot_is_after(const struct lot *lot, uint32_t index, struct id cursor)
{
    return id_is_zero(cursor) || lot->expires_us > cursor.high ||
           (lot->expires_us == cursor.high && index > cursor.low);
}

static struct id lot_cursor(const struct engine *engine, uint32_t index)
{
    return (struct id){.high = lot_at(engine, index)->expires_us, .low = index};
}

/* The lot to begin at, which may be one before the page: behind the cursor's, if it is still in the
 * customer's list. */
static uint32_t lot_first(const struct engine *engine, uint32_t customer, struct id cursor)
{
    uint64_t index = cursor.low;
    if (index > 0 && index <= engine->lots.count) {
        const struct lot *lot = lot_at(engine, (uint32_t)index);
        if (lot->customer == customer && lot->linked != 0 && lot->expires_us == cursor.high)
            return lot->next;
    }
    return customer_at(engine, customer)->lots;
}

enum outcome handle_points_lots(struct engine *engine, struct command *command)
{
    const struct points_page_body *body = command->body;
    struct lot_body rows[POINTS_ROWS_MAX];
    enum outcome outcome = OUTCOME_OK;
    uint32_t customer = page_customer(engine, body, &outcome);
    if (customer == 0)
        return outcome;
    struct id next = {0};
    struct id last = {0};
    uint16_t count = 0;
    for (uint32_t at = lot_first(engine, customer, body->cursor); at != 0;
         at = lot_at(engine, at)->next) {
        const struct lot *lot = lot_at(engine, at);
        if (lot_has_expired(engine, lot) || !lot_is_after(lot, at, body->cursor))
            continue;
        if (count == POINTS_ROWS_MAX) {
            next = last;
            break;
        }
        rows[count++] = (struct lot_body){.left = lot->left,
                                          .held = lot->held,
                                          .expires = shown_us(lot->expires_us),
                                          .granted = lot->seq,
                                          .order = order_at(engine, lot->order)->id};
        last = lot_cursor(engine, at);
    }
    struct points_lots_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    *reply = (struct points_lots_reply_body){.seq = engine->seq, .next = next, .lot_count = count};
    return OUTCOME_OK;
}

/* The entry behind the cursor's; 0 when that is not the customer's any more, nor are those that are
 * older. */
static uint32_t entry_first(const struct engine *engine, uint32_t customer, struct id cursor)
{
    if (id_is_zero(cursor))
        return customer_at(engine, customer)->ledger;
    if (cursor.low == 0 || cursor.low > engine->ledger.count)
        return 0;
    const struct ledger_entry *entry = ledger_entry_at(engine, (uint32_t)cursor.low);
    bool is_same = entry->seq == cursor.high && lot_at(engine, entry->lot)->customer == customer;
    return is_same ? entry->previous : 0;
}

enum outcome handle_points_ledger(struct engine *engine, struct command *command)
{
    const struct points_page_body *body = command->body;
    struct entry_body rows[POINTS_ROWS_MAX];
    enum outcome outcome = OUTCOME_OK;
    uint32_t customer = page_customer(engine, body, &outcome);
    if (customer == 0)
        return outcome;
    struct id next = {0};
    struct id last = {0};
    uint16_t count = 0;
    for (uint32_t at = entry_first(engine, customer, body->cursor); at != 0;
         at = ledger_entry_at(engine, at)->previous) {
        const struct ledger_entry *entry = ledger_entry_at(engine, at);
        if (count == POINTS_ROWS_MAX) {
            next = last;
            break;
        }
        rows[count++] =
            (struct entry_body){.seq = entry->seq,
                                .time = entry->time_us,
                                .balance = ledger_balance_change(entry),
                                .available = ledger_available_change(entry),
                                .order = order_at(engine, entry->order)->id,
                                .expires = shown_us(lot_at(engine, entry->lot)->expires_us),
                                .kind = (uint8_t)entry->kind};
        last = (struct id){.high = entry->seq, .low = at};
    }
    struct points_ledger_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    *reply =
        (struct points_ledger_reply_body){.seq = engine->seq, .next = next, .entry_count = count};
    return OUTCOME_OK;
}
