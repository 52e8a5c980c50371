/* The checker of the simulated server tests.
 *
 * Everything that a reply says must remain true: acceptances with their seq and content, and
 * everything a query showed. Nothing is compared with a model of the shop's rules (the engine has
 * tests of its own for these); the log is the model. A reply that showed something that a crash
 * undid names a seq beyond the log's end, or one with a different state. */
#include "tests/sim/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "engine/codec.h"
#include "engine/image.h"
#include "snapshot/loader.h"
#include "tests/test.h"
#include "wal/reader.h"

enum {
    SKUS = 4,
    WAREHOUSES = 2,
    CUSTOMERS = 5,
    SALE = 1,
    PRICE = 100,
    CURRENCY = 840,
    LINES_MAX = 3,
    SETUP_COUNT = SKUS + SKUS * WAREHOUSES + 2 + CUSTOMERS,
};

struct engine_options ledger_engine_options(void)
{
    struct engine_options options = engine_options_default;
#define CAPACITY(number, name, capacity, text) options.name = 8192;
#include "engine/tables/tables.h"
    return options;
}

static struct id intent_key(uint32_t intent)
{
    return (struct id){.low = intent + 1, .high = 0x7e57};
}

/* Rows follow their body. */
static void request_set(struct request *request, unsigned number, const void *body, uint32_t size,
                        const void *rows, uint32_t rows_size)
{
    *request = (struct request){.number = (uint16_t)number, .size = size + rows_size};
    CHECK(request->size <= sizeof request->body);
    memcpy(request->body, body, size);
    if (rows_size > 0)
        memcpy((uint8_t *)request->body + size, rows, rows_size);
}

static uint64_t below(struct ledger *ledger, uint64_t bound)
{
    return sim_random_below(ledger->machine, bound);
}

static struct id random_customer(struct ledger *ledger)
{
    return (struct id){.low = below(ledger, CUSTOMERS) + 1};
}

/* The key of an intent that placed, or may have placed, an order; or a key that placed none. */
static struct id random_order(struct ledger *ledger)
{
    uint32_t intent = SETUP_COUNT;
    for (int tries = 0; tries < 8; tries++) {
        intent = (uint32_t)below(ledger, ledger->intent_count);
        if (ledger->intents[intent].request.number == MESSAGE_order_place)
            break;
    }
    return intent_key(intent);
}

static void sku_put(struct ledger *ledger, struct id key, struct request *request)
{
    struct sku_put_body body = {
        .key = key, .sku = below(ledger, SKUS) + 1, .price = PRICE, .currency = CURRENCY};
    if (key.low <= SKUS)
        body.sku = key.low;
    body.name.bytes[0] = (char)('a' + body.sku);
    request_set(request, MESSAGE_sku_put, &body, sizeof body, NULL, 0);
}

static void stock_adjust(struct ledger *ledger, struct id key, struct request *request)
{
    struct stock_adjust_body body = {.key = key,
                                     .sku = below(ledger, SKUS) + 1,
                                     .delta = (int64_t)below(ledger, 10) - 2,
                                     .warehouse = (uint32_t)below(ledger, WAREHOUSES) + 1};
    if (body.delta == 0)
        body.delta = 1;
    if (key.low <= SETUP_COUNT) {
        body.sku = (key.low - SKUS - 1) / WAREHOUSES + 1;
        body.warehouse = (uint32_t)(key.low % WAREHOUSES) + 1;
        body.delta = 40;
    }
    request_set(request, MESSAGE_stock_adjust, &body, sizeof body, NULL, 0);
}

static void sale_put(struct ledger *ledger, struct id key, struct request *request)
{
    struct sale_put_body body = {.key = key,
                                 .sale = SALE,
                                 .hold = 1 + (uint32_t)below(ledger, 3),
                                 .points_share = 5000,
                                 .rate_points = 1,
                                 .rate_money = 1,
                                 .customer_sku_max = 20,
                                 .pool_count = 2};
    struct pool_body pools[] = {
        {.sku = 1, .quantity = 10, .warehouse = 1},
        {.sku = 2, .quantity = 10, .warehouse = 2},
    };
    request_set(request, MESSAGE_sale_put, &body, sizeof body, pools, sizeof pools);
}

static void sale_open(struct ledger *ledger, struct id key, struct request *request)
{
    struct sale_change_body body = {.key = key, .sale = SALE};
    (void)ledger;
    request_set(request, MESSAGE_sale_open, &body, sizeof body, NULL, 0);
}

static void points_credit(struct ledger *ledger, struct id key, struct request *request)
{
    struct points_credit_body body = {
        .key = key, .customer = random_customer(ledger), .points = 1 + (int64_t)below(ledger, 500)};
    request_set(request, MESSAGE_points_credit, &body, sizeof body, NULL, 0);
}

/* One of few terms, as most orders of a sale have. */
static void order_place_again(struct ledger *ledger, struct id key, struct request *request)
{
    uint32_t kind = (uint32_t)below(ledger, 4);
    struct order_place_body body = {.order = key,
                                    .customer = random_customer(ledger),
                                    .sale = kind % 2 == 0 ? SALE : 0,
                                    .hold = 2,
                                    .line_count = 1};
    struct line_body line = {.sku = 1 + kind / 2, .quantity = 1, .price = PRICE};
    request_set(request, MESSAGE_order_place, &body, sizeof body, &line, sizeof line);
}

static void order_place(struct ledger *ledger, struct id key, struct request *request)
{
    static const uint16_t flags[] = {0, 0, 0, place_flags_PARTIAL, place_flags_PAID};
    struct line_body lines[LINES_MAX] = {{0}};
    struct order_place_body body = {.order = key,
                                    .customer = random_customer(ledger),
                                    .points = (int64_t)below(ledger, 2) * 50,
                                    .sale = below(ledger, 3) == 0 ? SALE : 0,
                                    .hold = (uint32_t)below(ledger, 4),
                                    .flags = flags[below(ledger, 5)],
                                    .line_count = (uint16_t)(1 + below(ledger, LINES_MAX)),
                                    .allocation = (uint8_t)below(ledger, 3)};
    for (uint32_t i = 0; i < body.line_count; i++) {
        lines[i].sku = below(ledger, SKUS) + 1;
        lines[i].quantity = (uint32_t)below(ledger, 3) + 1;
        lines[i].price = PRICE;
        if (body.allocation == allocation_EXPLICIT)
            lines[i].warehouse = (uint32_t)below(ledger, WAREHOUSES) + 1;
    }
    request_set(request, MESSAGE_order_place, &body, sizeof body, lines,
                body.line_count * (uint32_t)sizeof lines[0]);
}

/* Usually with the amount due, as far as the order's answer is known. */
static void payment_event(struct ledger *ledger, struct id key, struct request *request)
{
    struct payment_event_body body = {.event = key,
                                      .order = random_order(ledger),
                                      .amount = PRICE,
                                      .provider = 1,
                                      .status = payment_status_SUCCESS,
                                      .currency = CURRENCY};
    const struct intent *placing = &ledger->intents[body.order.low - 1];
    if (placing->accepted && placing->request.number == MESSAGE_order_place)
        body.amount = ((const struct order_place_reply_body *)placing->reply)->money_due;
    if (below(ledger, 6) == 0)
        body.status = payment_status_FAILURE;
    request_set(request, MESSAGE_payment_event, &body, sizeof body, NULL, 0);
}

static void order_change(struct ledger *ledger, struct id key, struct request *request)
{
    struct order_change_body body = {.key = key, .order = random_order(ledger)};
    request_set(request, below(ledger, 2) == 0 ? MESSAGE_order_cancel : MESSAGE_hold_release, &body,
                sizeof body, NULL, 0);
}

static void hold_extend(struct ledger *ledger, struct id key, struct request *request)
{
    struct hold_extend_body body = {
        .key = key, .order = random_order(ledger), .hold = 1 + (uint32_t)below(ledger, 5)};
    request_set(request, MESSAGE_hold_extend, &body, sizeof body, NULL, 0);
}

static uint32_t intent_add(struct ledger *ledger,
                           void (*make)(struct ledger *, struct id, struct request *))
{
    uint32_t intent = ledger->intent_count++;
    CHECK(intent < INTENTS_MAX);
    make(ledger, intent_key(intent), &ledger->intents[intent].request);
    return intent;
}

struct ledger *ledger_create(struct sim_machine *machine)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    CHECK(ledger != NULL);
    ledger->machine = machine;
    ledger->intents_max = INTENTS_MAX;
    for (int i = 0; i < SKUS; i++)
        intent_add(ledger, sku_put);
    for (int i = 0; i < SKUS * WAREHOUSES; i++)
        intent_add(ledger, stock_adjust);
    intent_add(ledger, sale_put);
    intent_add(ledger, sale_open);
    for (int i = 0; i < CUSTOMERS; i++)
        intent_add(ledger, points_credit);
    CHECK_EQUAL(ledger->intent_count, SETUP_COUNT);
    return ledger;
}

void ledger_destroy(struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->answer_count; i++)
        free(ledger->answers[i].reply);
    free(ledger);
}

static void query_make(struct ledger *ledger, struct request *request)
{
    struct order_id_body order = {.order = random_order(ledger)};
    struct points_balance_body balance = {.customer = random_customer(ledger)};
    struct stock_get_body stock = {.item_count = 1};
    struct item_body item = {.sku = below(ledger, SKUS) + 1,
                             .warehouse = (uint32_t)below(ledger, WAREHOUSES + 1)};
    struct order_history_body history = {.cursor = below(ledger, 3)};
    struct empty_body empty = {0};
    switch (below(ledger, 6)) {
    case 0:
        request_set(request, MESSAGE_stock_get, &stock, sizeof stock, &item, sizeof item);
        break;
    case 1:
        request_set(request, MESSAGE_points_balance, &balance, sizeof balance, NULL, 0);
        break;
    case 2:
        request_set(request, MESSAGE_stats, &empty, sizeof empty, NULL, 0);
        break;
    case 3:
        history.order = order.order;
        request_set(request, MESSAGE_order_history, &history, sizeof history, NULL, 0);
        break;
    default:
        request_set(request, MESSAGE_order_get, &order, sizeof order, NULL, 0);
    }
}

uint32_t ledger_next(struct ledger *ledger, struct request *request)
{
    static void (*const makers[])(struct ledger *, struct id, struct request *) = {
        order_place,       order_place,  order_place,  order_place_again, order_place_again,
        order_place_again, stock_adjust, order_change, points_credit,     payment_event,
        payment_event,     hold_extend,  sku_put,
    };
    uint32_t intent = NO_INTENT;
    uint64_t choice = below(ledger, 100);
    if (choice < 30) {
        query_make(ledger, request);
        return NO_INTENT;
    }
    if (choice < 50) {
        for (intent = 0; intent < SETUP_COUNT && ledger->intents[intent].accepted;)
            intent++;
    }
    if (choice < 65 || ledger->intent_count >= ledger->intents_max)
        intent = intent < SETUP_COUNT ? intent : (uint32_t)below(ledger, ledger->intent_count);
    else
        intent = intent_add(ledger, makers[below(ledger, sizeof makers / sizeof makers[0])]);
    *request = ledger->intents[intent].request;
    return intent;
}

uint32_t ledger_unanswered(const struct ledger *ledger)
{
    for (uint32_t intent = 0; intent < ledger->intent_count; intent++) {
        if (!ledger->intents[intent].answered)
            return intent;
    }
    return NO_INTENT;
}

bool ledger_is_done(uint16_t outcome)
{
    return outcome == OUTCOME_OK || outcome == OUTCOME_REPLAYED;
}

static void judge_acceptance(const struct ledger *ledger, struct intent *intent,
                             const struct caller_reply *reply)
{
    if (reply->outcome == OUTCOME_OK && !ledger->may_lose)
        CHECK_EQUAL(++intent->ok_count, 1);
    if (intent->accepted && !ledger->may_lose) {
        CHECK_EQUAL(reply->size, intent->reply_size);
        CHECK(memcmp(reply->body, intent->reply, reply->size) == 0);
        return;
    }
    CHECK(reply->size <= sizeof intent->reply);
    intent->accepted = true;
    intent->seq = reply->body[0];
    intent->reply_size = reply->size;
    memcpy(intent->reply, reply->body, reply->size);
}

/* A command that is done is never rejected afterwards, except by an answer that is given without
 * deciding it. */
static void judge_rejection(struct intent *intent, const struct caller_reply *reply)
{
    CHECK(reply->outcome != OUTCOME_IDEM_MISMATCH && reply->outcome != OUTCOME_EVENT_CONFLICT);
    CHECK(reply->outcome != OUTCOME_INVALID && reply->outcome != OUTCOME_FORBIDDEN);
    if (reply->outcome == OUTCOME_STORAGE_FULL || reply->outcome == OUTCOME_OVERLOADED ||
        reply->outcome == OUTCOME_NO_QUORUM || reply->outcome == OUTCOME_NOT_PRIMARY ||
        reply->outcome == OUTCOME_AMOUNT_MISMATCH)
        return;
    if (reply->body[0] > intent->seq_rejected)
        intent->seq_rejected = reply->body[0];
}

static void answer_add(struct ledger *ledger, const struct request *request,
                       const struct caller_reply *reply)
{
    if (ledger->answer_count == ANSWERS_MAX)
        return;
    struct answer *answer = &ledger->answers[ledger->answer_count++];
    *answer =
        (struct answer){.request = *request, .outcome = reply->outcome, .reply_size = reply->size};
    answer->reply = malloc(reply->size);
    CHECK(answer->reply != NULL);
    memcpy(answer->reply, reply->body, reply->size);
}

void ledger_judge(struct ledger *ledger, uint32_t intent, const struct request *request,
                  const struct caller_reply *reply)
{
    CHECK_EQUAL(reply->number, request->number);
    if (reply->body[0] > ledger->seq_seen)
        ledger->seq_seen = reply->body[0];
    if (intent == NO_INTENT) {
        answer_add(ledger, request, reply);
        return;
    }
    struct intent *judged = &ledger->intents[intent];
    judged->answered = true;
    ledger->accepted_count -= judged->accepted;
    ledger->full_count += reply->outcome == OUTCOME_STORAGE_FULL;
    if (ledger_is_done(reply->outcome))
        judge_acceptance(ledger, judged, reply);
    else
        judge_rejection(judged, reply);
    ledger->accepted_count += judged->accepted;
    if (judged->accepted && judged->seq_rejected > 0 && !ledger->may_lose)
        CHECK(judged->seq_rejected < judged->seq);
}

static void decide(struct ledger_replay *replay, struct command *command, unsigned number,
                   const void *body, uint32_t size)
{
    struct reply_sink sink = {.cursor = (uint8_t *)replay->reply, .gap = 0};
    *command =
        (struct command){.body = body, .sink = &sink, .size = size, .number = (uint16_t)number};
    engine_decide(replay->engine, replay->time_us, command, 1);
}

static bool is_of_engine(unsigned metric)
{
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        if (metric_table[i].number == metric)
            return metric_table[i].layer == LAYER_engine;
    }
    return false;
}

/* The part of `stats` that the replay must answer as the server did: only metrics of the engine,
 * and none that depends on more than the log. */
static uint32_t stats_normalise(uint64_t *reply)
{
    struct stats_reply_body *stats = (struct stats_reply_body *)reply;
    struct metric_body *rows = (struct metric_body *)(stats + 1);
    uint16_t count = 0;
    for (unsigned i = 0; i < stats->metric_count; i++) {
        if (!is_of_engine(rows[i].metric))
            continue;
        rows[count] = rows[i];
        if (rows[i].metric == METRIC_holds_due || rows[i].metric == METRIC_rejected)
            rows[count].value = 0;
        count++;
    }
    CHECK(count > 0);
    stats->time = 0;
    stats->metric_count = count;
    return (uint32_t)(sizeof *stats + count * sizeof *rows);
}

void ledger_replay_answer(struct ledger_replay *replay, struct answer *answer)
{
    struct command command;
    CHECK_EQUAL(answer->reply[0], engine_seq(replay->engine));
    decide(replay, &command, answer->request.number, answer->request.body, answer->request.size);
    CHECK_EQUAL(command.outcome, answer->outcome);
    if (answer->request.number == MESSAGE_stats) {
        answer->reply_size = stats_normalise(answer->reply);
        command.reply_size = stats_normalise((uint64_t *)command.reply);
    }
    CHECK_EQUAL(command.reply_size, answer->reply_size);
    CHECK(memcmp(command.reply, answer->reply, command.reply_size) == 0);
}

/* Checks the answers that name the seq that the replay has reached. */
static void check_answers(struct ledger_replay *replay)
{
    struct ledger *ledger = replay->ledger;
    uint64_t seq = engine_seq(replay->engine);
    while (replay->answer_next < ledger->answer_count &&
           ledger->answers[replay->answer_next].reply[0] <= seq)
        ledger_replay_answer(replay, &ledger->answers[replay->answer_next++]);
}

/* The intent that this logged command is. */
static struct intent *find_intent(struct ledger *ledger, const struct logged_command *logged)
{
    for (uint32_t i = 0; i < ledger->intent_count; i++) {
        struct intent *intent = &ledger->intents[i];
        if (intent->request.number == logged->number && intent->request.size == logged->size &&
            memcmp(intent->request.body, logged->body, logged->size) == 0)
            return intent;
    }
    return NULL;
}

static void check_command(struct ledger_replay *replay, const struct logged_command *logged)
{
    struct command command;
    CHECK(logged->time_us >= replay->time_us);
    replay->time_us = logged->time_us;
    decide(replay, &command, logged->number, logged->body, logged->size);
    replay->outcome = command.outcome;
    replay->reply_size = command.reply_size;
    CHECK(command.accepted);
    if (message_info(logged->number)->kind == KIND_INTERNAL)
        return;
    struct intent *intent = find_intent(replay->ledger, logged);
    if (intent == NULL)
        test_fail(__FILE__, __LINE__, "seq %" PRIu64 " is a command that nobody sent",
                  engine_seq(replay->engine));
    CHECK(!intent->logged);
    intent->logged = true;
    if (!intent->accepted || replay->is_aside)
        return;
    CHECK_EQUAL(intent->seq, engine_seq(replay->engine));
    CHECK_EQUAL(intent->reply_size, command.reply_size);
    CHECK(memcmp(intent->reply, command.reply, command.reply_size) == 0);
}

void ledger_replay_block(struct ledger_replay *replay, const struct wal_block *block,
                         const uint8_t *ids, const uint8_t *fields, uint64_t seq_max)
{
    struct column_reader columns = {
        .schema = block->schema,
        .ids = reader_init(ids, block->ids_size),
        .fields = reader_init(fields, block->fields_size),
        .time_us = block->time_us,
    };
    struct logged_command command;
    bool malformed;
    uint64_t seq = block->seq_first;
    for (; command_decode(&columns, &command, &malformed); seq++) {
        if (seq > seq_max)
            return;
        if (seq <= engine_seq(replay->engine))
            continue; /* the snapshot shows it */
        check_command(replay, &command);
        if (replay->reached != NULL)
            replay->reached(replay);
    }
    CHECK(!malformed);
    CHECK_EQUAL(engine_digest(replay->engine), block->digest);
}

static int answer_compare(const void *a, const void *b)
{
    uint64_t seq_a = ((const struct answer *)a)->reply[0];
    uint64_t seq_b = ((const struct answer *)b)->reply[0];
    return (seq_a > seq_b) - (seq_a < seq_b);
}

/* The first seq in the log; 0 when there is no block. */
static uint64_t log_begins(struct disk *disk, uint64_t seq_known)
{
    struct wal_reader reader;
    CHECK_EQUAL(wal_reader_init(&reader, disk), 0);
    reader.seq_known = seq_known;
    uint64_t seq = wal_reader_next(&reader) == WAL_READ_BLOCK ? reader.block.seq_first : 0;
    wal_reader_deinit(&reader);
    return seq;
}

/* Begins with the newest snapshot: always when the log's beginning is gone, else at random. What
 * the snapshot shows had been durable, so the answers up to its seq are skipped. */
static uint64_t load_snapshot(struct ledger_replay *replay, struct disk *disk)
{
    struct loader loader = {.disk = disk, .engine = replay->engine};
    if (!loader_run(&loader))
        test_fail(__FILE__, __LINE__, "%s", loader.error);
    CHECK_EQUAL(loader.damaged_count, 0);
    bool is_whole = log_begins(disk, loader.seq) == 1;
    if (is_whole && sim_chance(replay->ledger->machine, 50)) {
        CHECK(engine_clear(replay->engine));
        return 0;
    }
    struct ledger *ledger = replay->ledger;
    while (replay->answer_next < ledger->answer_count &&
           ledger->answers[replay->answer_next].reply[0] < loader.seq)
        replay->answer_next++;
    replay->time_us = engine_time_us(replay->engine);
    return loader.seq;
}

/* Every accepted intent was found in the log, or else is covered by the snapshot: then the engine
 * knows it, with the answer that its client got. */
static void check_intents(struct ledger_replay *replay, uint64_t snapshot_seq)
{
    struct ledger *ledger = replay->ledger;
    for (uint32_t i = 0; i < ledger->intent_count; i++) {
        struct intent *intent = &ledger->intents[i];
        if (intent->accepted && !intent->logged && !replay->is_aside) {
            struct command command;
            CHECK(intent->seq <= snapshot_seq);
            decide(replay, &command, intent->request.number, intent->request.body,
                   intent->request.size);
            CHECK_EQUAL(command.outcome, OUTCOME_REPLAYED);
            CHECK_EQUAL(command.reply_size, intent->reply_size);
            CHECK(memcmp(command.reply, intent->reply, command.reply_size) == 0);
        }
        intent->logged = false;
    }
}

void ledger_replay_begin(struct ledger_replay *replay, struct ledger *ledger)
{
    char error[512];
    struct engine_options options = ledger_engine_options();
    *replay = (struct ledger_replay){.ledger = ledger,
                                     .engine = engine_create(&options, error, sizeof error)};
    CHECK(replay->engine != NULL);
}

static void replay_end(struct ledger_replay *replay, uint64_t snapshot_seq)
{
    char error[512];
    check_intents(replay, snapshot_seq);
    if (!engine_check(replay->engine, error, sizeof error))
        test_fail(__FILE__, __LINE__, "%s", error);
    engine_destroy(replay->engine);
}

void ledger_replay_end(struct ledger_replay *replay)
{
    replay_end(replay, 0);
}

uint64_t ledger_check_log(struct ledger *ledger, struct disk *disk)
{
    struct ledger_replay replay;
    struct wal_reader reader;
    ledger_replay_begin(&replay, ledger);
    replay.reached = check_answers;
    qsort(ledger->answers, ledger->answer_count, sizeof ledger->answers[0], answer_compare);
    uint64_t snapshot_seq = load_snapshot(&replay, disk);
    CHECK_EQUAL(wal_reader_init(&reader, disk), 0);
    reader.seq_known = snapshot_seq;
    check_answers(&replay);
    enum wal_read read;
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        if (reader.fields != NULL)
            ledger_replay_block(&replay, &reader.block, reader.ids, reader.fields, UINT64_MAX);
    }
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", reader.error);
    CHECK_EQUAL(replay.answer_next, ledger->answer_count);
    uint64_t seq = engine_seq(replay.engine);
    wal_reader_deinit(&reader);
    replay_end(&replay, snapshot_seq);
    return seq;
}
