/* The engine's front: the way of a batch through it.
 *
 * The memory that a batch will look up is fetched first, so that its latencies overlap. Then the
 * commands are decided in order: runs of orders on known terms in a loop of their own, all others
 * by their handlers. Keyed commands pass through the memory of keys before and after theirs. */
#include "engine/engine.h"

#include "engine/fetch.h"
#include "engine/keys.h"
#include "engine/layout.h"
#include "engine/lists.h"
#include "engine/plant.h"

typedef enum outcome handler(struct engine *engine, struct command *command);

/* The handlers of what the engine decides: handle_<name> for each message. */
static handler *const handlers[MESSAGE_NUMBER_MAX + 1] = {
#define HANDLER_QUERY(name)    [MESSAGE_##name] = handle_##name,
#define HANDLER_COMMAND(name)  [MESSAGE_##name] = handle_##name,
#define HANDLER_INTERNAL(name) [MESSAGE_##name] = handle_##name,
#define HANDLER_SESSION(name)
#define HANDLER_ADMIN(name)
#define HANDLER_LINK(name)
#define MESSAGE(number, name, text_name, KIND, ...) HANDLER_##KIND(name)
#include "engine/tables/messages.h"
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_SESSION
#undef HANDLER_ADMIN
#undef HANDLER_LINK
};

/* What makes the rows of a kept answer again: replay_rows_<name> of each KEYED_ROWS message. */
typedef void rows_replayer(struct engine *engine, struct command *command);

static rows_replayer *const rows_replayers[MESSAGE_NUMBER_MAX + 1] = {
#define REPLAY_FREE(name)
#define REPLAY_KEYED(name)
#define REPLAY_KEYED_ROWS(name) [MESSAGE_##name] = replay_rows_##name,

#define MESSAGE(number, name, text_name, KIND, role, KEY, ...) REPLAY_##KEY(name)
#include "engine/tables/messages.h"
#undef REPLAY_FREE
#undef REPLAY_KEYED
#undef REPLAY_KEYED_ROWS
};

/* The key comes first in a KEYED request, and the fixed part of the answer fits its record. */
#define KEPT_FREE(text_name, request, reply)
#define KEPT_KEYED(text_name, request, reply)                                                      \
    static_assert(offsetof(struct request##_body, key) == 0, text_name ": begins with its key");   \
    static_assert(sizeof(struct reply##_body) <= KEY_REPLY_SIZE, text_name ": its answer is "      \
                                                                           "kept");
#define KEPT_KEYED_ROWS(text_name, request, reply) KEPT_KEYED(text_name, request, reply)
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row, rows_max, reply,    \
                ...)                                                                               \
    KEPT_##KEY(text_name, request, reply)
#include "engine/tables/messages.h"
#undef KEPT_FREE
#undef KEPT_KEYED
#undef KEPT_KEYED_ROWS

/* The first answer of a keyed command again. */
static enum outcome replay_key(struct engine *engine, struct command *command,
                               const struct message_info *message, const struct key_record *known)
{
    memcpy(reply_room(engine, command, message->reply->size_bytes), known->reply.bytes,
           message->reply->size_bytes);
    if (rows_replayers[command->number] != NULL)
        rows_replayers[command->number](engine, command);
    return OUTCOME_REPLAYED;
}

static enum outcome handle_keyed(struct engine *engine, struct command *command)
{
    engine->awaits_key_accept = true;
    enum outcome outcome = handlers[command->number](engine, command);
    TILL_ASSERT(engine->accepted != engine->awaits_key_accept);
    engine->awaits_key_accept = false;
    return outcome;
}

static enum outcome decide_keyed(struct engine *engine, struct command *command,
                                 const struct message_info *message)
{
    struct id key;
    memcpy(&key, command->body, sizeof key);
    engine->keeps_key = !id_is_zero(key);
    engine->keys_max = engine->options.keys - (command->spares_keys ? keys_reserve(engine) : 0);
    if (!engine->keeps_key && message->request->fields[0].type == FIELD_key)
        return reject_field(engine, message->request->fields[0].number);
    if (!engine->keeps_key)
        return handle_keyed(engine, command);
    uint64_t fingerprint =
        request_fingerprint(message, command->body, command->size, command->number);
    const struct key_record *known = key_find(engine, key);
    if (known != NULL) {
        if (known->fingerprint != fingerprint)
            return reject(engine, OUTCOME_IDEM_MISMATCH, 0, 0);
        return replay_key(engine, command, message, known);
    }
    enum outcome outcome = handle_keyed(engine, command);
    if (engine->accepted)
        key_add(engine, key, fingerprint, command->reply, message->reply->size_bytes);
    return outcome;
}

/* Does a planted fault let offers outlive what this message changes? */
static bool offers_outlive(unsigned number)
{
    switch (number) {
    case MESSAGE_sku_put:
        return OFFER_PLANT(SKU_UNSEEN);
    case MESSAGE_stock_adjust:
    case MESSAGE_stock_set:
        return OFFER_PLANT(STOCK_UNSEEN);
    case MESSAGE_sale_put:
        return OFFER_PLANT(SALE_UNSEEN);
    case MESSAGE_sale_pause:
        return OFFER_PLANT(PAUSE_UNSEEN);
    case MESSAGE_sale_close:
        return OFFER_PLANT(CLOSE_UNSEEN);
    case MESSAGE_warehouse_put:
        return OFFER_PLANT(SHUT_UNSEEN);
    default:
        return false;
    }
}

static void decide_one(struct engine *engine, struct command *command)
{
    uint64_t generation = engine->terms_generation;
    const struct message_info *message = message_info(command->number);
    TILL_ASSERT(message != NULL && handlers[command->number] != NULL);
    engine->accepted = false;
    command->reply = NULL;
    command->reply_size = 0;
    command->outcome = (uint16_t)(message->is_keyed ? decide_keyed(engine, command, message)
                                                    : handlers[command->number](engine, command));
    command->accepted = engine->accepted;
    if (offers_outlive(command->number))
        engine->terms_generation = generation;
    if (command->reply != NULL || command->accepted)
        return;
    reply_rejection(engine, command);
    engine->rejected_count++;
}

void engine_refuse(struct command *command, enum outcome outcome, uint64_t seq)
{
    command->accepted = false;
    command->outcome = (uint16_t)outcome;
    if (command->sink == NULL)
        return;
    struct rejection_body body = rejection_make(seq, 0, 0);
    command->reply = command->sink->cursor + command->sink->gap;
    command->reply_size = sizeof body;
    memcpy(command->reply, &body, sizeof body);
    command->sink->cursor = command->reply + sizeof body;
}

void engine_fetch(struct engine *engine, struct command *commands, uint32_t count)
{
    TILL_ASSERT(count <= BATCH_COMMANDS_MAX);
    fetch_batch(engine, commands, count);
}

void engine_decide_fetched(struct engine *engine, uint64_t now_us, struct command *commands,
                           uint32_t count)
{
    TILL_ASSERT(count <= BATCH_COMMANDS_MAX && now_us <= TIME_US_MAX);
    if (now_us > engine->time_us)
        engine->time_us = now_us;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t run = offers_decide(engine, &commands[i], count - i);
        if (engine->lists != NULL && run > 0)
            lists_decided(engine, &commands[i], run);
        i += run;
        if (i == count)
            break;
        decide_one(engine, &commands[i]);
        if (engine->lists != NULL)
            lists_decided(engine, &commands[i], 1);
    }
}

void engine_decide(struct engine *engine, uint64_t now_us, struct command *commands, uint32_t count)
{
    engine_fetch(engine, commands, count);
    engine_decide_fetched(engine, now_us, commands, count);
}

uint32_t engine_reply_bound(unsigned number, const void *body)
{
    const struct message_info *message = message_info(number);
    uint32_t rows = message->reply_rows_max;
    if (number == MESSAGE_order_place) {
        const struct order_place_body *place = body;
        bool is_spread =
            place->allocation == allocation_RANK || place->allocation == allocation_CHEAPEST;
        rows = is_spread ? rows : place->line_count;
    }
    if (number == MESSAGE_stock_get)
        rows = ((const struct stock_get_body *)body)->item_count + 1u;
    if (number == MESSAGE_order_list) {
        uint16_t wanted = ((const struct order_list_body *)body)->wanted;
        rows = wanted > 0 && wanted < rows ? wanted : rows;
    }
    if (number == MESSAGE_stats)
        rows = METRIC_COUNT;
    uint32_t size = message->reply->size_bytes;
    if (message->reply_row != NULL)
        size += rows * message->reply_row->size_bytes;
    return size > sizeof(struct rejection_body) ? size : (uint32_t)sizeof(struct rejection_body);
}

uint64_t engine_seq(const struct engine *engine)
{
    return engine->seq;
}

uint64_t engine_digest(const struct engine *engine)
{
    return engine->digest;
}

uint64_t engine_time_us(const struct engine *engine)
{
    return engine->time_us;
}

void engine_show_metrics(struct engine *engine, const struct metrics *metrics)
{
    engine->metrics_shown = metrics;
}

uint64_t engine_holds_due(struct engine *engine, uint64_t now_us)
{
    return deadlines_due(&engine->deadlines, now_us);
}

uint64_t engine_next_due_us(const struct engine *engine)
{
    return deadlines_next_us(&engine->deadlines);
}
