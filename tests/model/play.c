/* The player. Batch by batch, the engine decides first, then the model decides the same requests
 * one by one, and everything visible from outside is compared. Accepted commands go through the
 * log's codec into a second engine, which has another hash seed and other batches, and must reach
 * the same state. An image of the engine is taken while it decides, begun after a random batch and
 * advanced by random steps; loaded into a third engine, with larger tables, and followed by the
 * rest of the log, it must lead to that state as well. Where the options say so, one more engine
 * decides all commands, each in a batch of its own: its replies and its digest must be the same
 * after each batch, and its state whenever the invariants are checked.
 *
 * With a tiny capacity the engine may refuse what the model would accept: then the model is left as
 * it was. It may refuse nothing else for lack of room.
 *
 * An assertion that fails in the engine is caught here like any other fault, so that its sequence
 * can be shrunk too; that engine is abandoned, not destroyed. */
#include "tests/model/play.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/codec.h"
#include "engine/sum.h"
#include "tests/model/imager.h"

enum { ERROR_SIZE = 512, REPLY_GAP = 16, SHRINK_ATTEMPTS_MAX = 1500 };

struct player {
    const struct sequence *sequence;
    const struct play_options *options;
    struct play_counts *counts;
    struct failure failure;
    struct engine *engine;
    struct engine *single; /* decides the same in batches of one; NULL: none does */
    struct engine *second; /* the one that replays */
    struct imager imager;
    uint64_t random; /* when the image begins, and how it goes on */
    struct model *model;
    struct column_writer writer;
    uint8_t *ids;
    uint8_t *fields;
    uint64_t time_written;
    uint64_t commands_written;
    int item;
};

static sigjmp_buf assertion_failed;

static void on_abort(int signal_number)
{
    siglongjmp(assertion_failed, signal_number);
}

struct play_options play_options_for(int count)
{
    uint32_t n = (uint32_t)count + 64;
    struct play_options options = {.check_every = 1};
    options.engine = (struct engine_options){
        .skus = 64,
        .stocks = 512,
        .sales = n,
        .pools = 16 * n,
        .tallies = 16 * n,
        .customers = n,
        .lots = n,
        .ledger = 16 * n,
        .orders = n,
        .lines = 32 * n,
        .pieces = 64 * n,
        .point_takes = 16 * n,
        .moneys = n,
        .steps = 4 * n,
        .deadlines = n,
        .payments = n,
        .keys = n,
        .epochs = n,
        .hash_seed = 0x9e3779b97f4a7c15ULL,
    };
    return options;
}

/* Records the first fault, with a text for a person. */
__attribute__((format(printf, 3, 4))) static void fail(struct player *player, enum fault fault,
                                                       const char *format, ...)
{
    if (player->failure.fault != FAULT_NONE)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(player->failure.text, sizeof player->failure.text, format, arguments);
    va_end(arguments);
    player->failure.fault = fault;
    player->failure.item = player->item;
    player->failure.seed = player->sequence->seed;
}

static void check_invariants(struct player *player, const struct engine *engine)
{
    char error[ERROR_SIZE] = "";
    if (!engine_check(engine, error, sizeof error))
        fail(player, FAULT_INVARIANT, "%s%s", error,
             engine == player->engine ? "" : ", in the copy");
}

/* The history of epochs is answered by no query. */
static void check_epochs(struct player *player, const struct engine *engine)
{
    const struct model *model = player->model;
    uint32_t count = engine_epoch_count(engine);
    bool is_equal = count == (uint32_t)model->epochs.count;
    for (uint32_t i = 0; is_equal && i < count; i++) {
        const struct model_epoch *expected = &model->epochs.items[i];
        struct engine_epoch epoch = engine_epoch_at(engine, i);
        is_equal = epoch.epoch == expected->body.epoch && epoch.seq == expected->seq &&
                   epoch.previous == expected->body.previous && epoch.time_us == expected->time;
    }
    if (!is_equal)
        fail(player, FAULT_STATE, "the history of %u epochs is not the model's, of %d", count,
             model->epochs.count);
}

static void write_accepted(struct player *player, const struct command *command, uint64_t time)
{
    if (time > player->time_written)
        time_encode(time - player->time_written, &player->writer);
    player->time_written = time;
    command_encode(command->number, command->body, &player->writer);
    player->commands_written++;
}

static bool is_full_answer(const struct player *player, const struct command *command)
{
    if (player->options->tiny == 0 || command->outcome != OUTCOME_CAPACITY)
        return false;
    struct rejection_body body;
    memcpy(&body, command->reply, sizeof body);
    return body.subject == (uint64_t)player->options->tiny;
}

/* The fields that the model cannot know: the digest, and how many expired keys are still in
 * memory. */
static void adopt_unknown(struct stats_reply_body *expected, const struct stats_reply_body *actual)
{
    struct metric_body *expected_rows = (struct metric_body *)(expected + 1);
    const struct metric_body *actual_rows = (const struct metric_body *)(actual + 1);
    expected->digest = actual->digest;
    for (unsigned i = 0; i < expected->metric_count; i++) {
        if (expected_rows[i].metric == METRIC_keys && actual_rows[i].value > expected_rows[i].value)
            expected_rows[i].value = actual_rows[i].value;
    }
}

/* Decides with the model what the engine has decided, and compares the two. */
static void compare(struct player *player, const struct model_request *request,
                    const struct command *command, uint64_t time)
{
    struct model_reply expected;
    bool is_full = is_full_answer(player, command);
    if (is_full) {
        struct model *copy = model_copy(player->model);
        model_decide(copy, time, request, &expected);
        model_destroy(copy);
        if (expected.accepted && !command->accepted) {
            model_refused(player->model, time);
            return;
        }
    } else {
        model_decide(player->model, time, request, &expected);
    }
    if (request->number == MESSAGE_stats && command->reply_size == expected.size)
        adopt_unknown((struct stats_reply_body *)expected.words,
                      (const struct stats_reply_body *)command->reply);
    if (command->outcome == expected.outcome && command->accepted == expected.accepted &&
        command->reply_size == expected.size &&
        memcmp(command->reply, expected.words, expected.size) == 0)
        return;
    fail(player, FAULT_REPLY, " ");
    FILE *text = fmemopen(player->failure.text, sizeof player->failure.text, "w");
    TILL_ASSERT(text != NULL);
    fprintf(text, "\n  time %" PRIu64 "  ", time);
    request_print(text, request);
    fprintf(text, "  engine  ");
    reply_print(text, request->number, command->outcome, command->accepted, command->reply,
                command->reply_size);
    fprintf(text, "  model   ");
    reply_print(text, request->number, expected.outcome, expected.accepted, expected.words,
                expected.size);
    fclose(text);
}

/* Checks what must hold between two batches. */
static void check_between(struct player *player, uint64_t seq_before, uint64_t digest_before)
{
    struct engine *engine = player->engine;
    uint64_t now = player->model->now;
    bool has_changed = engine_seq(engine) != seq_before;
    if (engine_seq(engine) != player->model->seq)
        fail(player, FAULT_STATE, "seq is %" PRIu64 ", must be %" PRIu64, engine_seq(engine),
             player->model->seq);
    if (engine_time_us(engine) != now)
        fail(player, FAULT_STATE, "time is %" PRIu64 ", must be %" PRIu64, engine_time_us(engine),
             now);
    if (has_changed != (engine_digest(engine) != digest_before))
        fail(player, FAULT_STATE, "the digest %s", has_changed ? "stayed" : "changed");
    check_epochs(player, engine);
    uint64_t due = engine_holds_due(engine, now);
    if (due != model_holds_due(player->model, now))
        fail(player, FAULT_STATE, "%" PRIu64 " holds are due, must be %" PRIu64, due,
             model_holds_due(player->model, now));
    uint64_t forget = engine_next_forget_us(engine);
    if (forget != model_next_forget(player->model))
        fail(player, FAULT_STATE, "the next order is forgotten at %" PRIu64 ", not %" PRIu64,
             forget, model_next_forget(player->model));
    if ((engine_forget_due(engine, now) > 0) != (forget <= now))
        fail(player, FAULT_STATE, "something is to be forgotten, or nothing");
    uint64_t next = engine_next_due_us(engine);
    uint64_t next_expected = model_next_due(player->model);
    if (due == 0 ? next != next_expected : next > now)
        fail(player, FAULT_STATE, "the next hold is due at %" PRIu64 ", must be %" PRIu64, next,
             next_expected);
}

/* The model does not have the reserve of keys, which matters only where that table is tiny. */
static bool spares_keys(const struct player *player, int item)
{
    return player->options->tiny == CAPACITY_keys && item % 3 > 0;
}

/* Decides one by one what was decided as a batch. */
static void play_singly(struct player *player, int first, const struct command *commands,
                        uint32_t count)
{
    static uint64_t reply[FRAME_SIZE_MAX / 8];
    struct engine *single = player->single;
    for (uint32_t i = 0; i < count && player->failure.fault == FAULT_NONE; i++) {
        const struct command *expected = &commands[i];
        struct reply_sink sink = {(uint8_t *)reply, 0};
        struct command command = {.body = expected->body,
                                  .sink = &sink,
                                  .size = expected->size,
                                  .number = expected->number,
                                  .spares_keys = expected->spares_keys};
        engine_decide(single, player->sequence->items[first].time, &command, 1);
        player->item = first + (int)i;
        if (command.outcome != expected->outcome || command.accepted != expected->accepted ||
            command.reply_size != expected->reply_size ||
            memcmp(command.reply, expected->reply, command.reply_size) != 0)
            fail(player, FAULT_BATCH, "%s alone is answered %s, in its batch %s",
                 message_info(command.number)->name, outcome_name(command.outcome),
                 outcome_name(expected->outcome));
    }
    if (engine_seq(single) != engine_seq(player->engine) ||
        engine_digest(single) != engine_digest(player->engine))
        fail(player, FAULT_BATCH, "the commands of the batch, one by one, lead to another digest");
}

/* Plays items [first, last) as one batch. */
static void play_batch(struct player *player, int first, int last)
{
    struct command commands[BATCH_COMMANDS_MAX];
    uint32_t count = (uint32_t)(last - first);
    size_t room = 0;
    for (int i = first; i < last; i++) {
        struct model_request request = sequence_request(player->sequence, i);
        commands[i - first] = (struct command){.body = request.body,
                                               .size = request.size,
                                               .number = request.number,
                                               .spares_keys = spares_keys(player, i)};
        room += engine_reply_bound(request.number, request.body) + REPLY_GAP;
    }
    uint8_t *replies = aligned_alloc(64, (room + 63) / 64 * 64);
    TILL_ASSERT(replies != NULL);
    struct reply_sink sink = {replies, REPLY_GAP};
    for (uint32_t i = 0; i < count; i++)
        commands[i].sink = &sink;
    uint64_t seq = engine_seq(player->engine);
    uint64_t digest = engine_digest(player->engine);
    player->item = first;
    engine_decide(player->engine, player->sequence->items[first].time, commands, count);
    TILL_ASSERT(sink.cursor <= replies + room);
    uint64_t time = engine_time_us(player->engine);
    for (int i = first; i < last && player->failure.fault == FAULT_NONE; i++) {
        const struct command *command = &commands[i - first];
        struct model_request request = sequence_request(player->sequence, i);
        player->item = i;
        compare(player, &request, command, time);
        if (command->accepted)
            write_accepted(player, command, time);
        if (player->counts != NULL) {
            player->counts->outcomes[command->outcome]++;
            player->counts->accepted += command->accepted;
        }
    }
    if (player->single != NULL && player->failure.fault == FAULT_NONE)
        play_singly(player, first, commands, count);
    free(replies);
    if (player->failure.fault == FAULT_NONE)
        check_between(player, seq, digest);
}

/* Decides up to BATCH_COMMANDS_MAX of the log's commands that have the same time, skipping those
 * that the engine already has; false at the log's end. */
static bool replay_batch(struct player *player, struct column_reader *reader,
                         struct logged_command *logged, bool *has_next, uint32_t count_max,
                         uint64_t *skip)
{
    struct command commands[BATCH_COMMANDS_MAX];
    static struct logged_command batch[BATCH_COMMANDS_MAX];
    uint32_t count = 0;
    bool malformed = false;
    for (; *has_next && *skip > 0; (*skip)--)
        *has_next = command_decode(reader, logged, &malformed);
    while (*has_next && count < count_max && (count == 0 || logged->time_us == batch[0].time_us)) {
        batch[count] = *logged;
        commands[count] = (struct command){
            .body = batch[count].body, .size = batch[count].size, .number = batch[count].number};
        count++;
        *has_next = command_decode(reader, logged, &malformed);
    }
    if (malformed)
        fail(player, FAULT_REPLAY, "the log is malformed");
    if (count == 0)
        return false;
    engine_decide(player->second, batch[0].time_us, commands, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!commands[i].accepted)
            fail(player, FAULT_REPLAY, "%s at seq %" PRIu64 " is rejected in replay: %s",
                 message_info(commands[i].number)->name, engine_seq(player->second),
                 outcome_name(commands[i].outcome));
    }
    return player->failure.fault == FAULT_NONE;
}

/* Clears what a replay cannot know. */
static void stats_forget(uint64_t *reply, unsigned number)
{
    struct stats_reply_body *stats = (struct stats_reply_body *)reply;
    struct metric_body *rows = (struct metric_body *)(stats + 1);
    for (unsigned i = 0; i < stats->metric_count; i++) {
        if (rows[i].metric == number)
            rows[i].value = 0;
    }
}

/* Sends both engines the same query; their answers must be equal. */
static void ask_both(struct player *player, uint16_t number, const void *body, uint32_t size)
{
    static uint64_t replies[2][FRAME_SIZE_MAX / 8];
    struct engine *engines[2] = {player->engine, player->second};
    struct command commands[2];
    for (int i = 0; i < 2; i++) {
        struct reply_sink sink = {(uint8_t *)replies[i], 0};
        commands[i] = (struct command){.body = body, .sink = &sink, .size = size, .number = number};
        engine_decide(engines[i], player->model->now, &commands[i], 1);
    }
    if (number == MESSAGE_stats) {
        for (int i = 0; i < 2; i++)
            stats_forget(replies[i], METRIC_rejected);
    }
    if (commands[0].outcome == commands[1].outcome &&
        commands[0].reply_size == commands[1].reply_size &&
        memcmp(replies[0], replies[1], commands[0].reply_size) == 0)
        return;
    fail(player, FAULT_REPLAY, " ");
    FILE *text = fmemopen(player->failure.text, sizeof player->failure.text, "w");
    TILL_ASSERT(text != NULL);
    fprintf(text, "after replay, ");
    request_print(text, &(struct model_request){body, size, number});
    for (int i = 0; i < 2; i++) {
        fprintf(text, "  %s  ", i == 0 ? "first engine" : "replayed one");
        reply_print(text, number, commands[i].outcome, commands[i].accepted, replies[i],
                    commands[i].reply_size);
    }
    fclose(text);
}

static void ask_both_history(struct player *player, struct id order)
{
    struct order_history_body page = {.order = order};
    int index = model_find_order(player->model, order);
    uint32_t steps = index != MODEL_NONE ? player->model->orders.items[index].version : 1;
    for (uint32_t first = 1; first <= steps; first += HISTORY_ROWS_MAX) {
        ask_both(player, MESSAGE_order_history, &page, sizeof page);
        page.cursor = first + HISTORY_ROWS_MAX;
    }
}

static void ask_both_everything(struct player *player)
{
    const struct model *model = player->model;
    for (int i = 0; i < model->stocks.count; i++) {
        struct {
            struct stock_get_body fixed;
            struct item_body items[2];
        } stock = {.fixed = {.item_count = 2}};
        stock.items[0].sku = stock.items[1].sku = model->stocks.items[i].sku;
        stock.items[0].warehouse = model->stocks.items[i].warehouse;
        ask_both(player, MESSAGE_stock_get, &stock, sizeof stock);
    }
    for (int i = 0; i < model->skus.count; i++) {
        struct stock_get_body stock = {.name = model->skus.items[i].name};
        ask_both(player, MESSAGE_stock_get, &stock, sizeof stock);
    }
    for (int i = 0; i < model->orders.count; i++) {
        struct order_id_body order = {model->orders.items[i].order};
        ask_both(player, MESSAGE_order_get, &order, sizeof order);
        ask_both_history(player, order.order);
    }
    for (int i = 0; i < model->customers.count; i++) {
        struct points_balance_body customer = {model->customers.items[i].customer};
        ask_both(player, MESSAGE_points_balance, &customer, sizeof customer);
    }
    struct empty_body stats = {0};
    ask_both(player, MESSAGE_stats, &stats, sizeof stats);
}

/* Decides the log's commands after the first `skip`, which player->second has seen. */
static void replay_log(struct player *player, uint64_t skip)
{
    static struct logged_command logged;
    struct column_reader reader = {
        .schema = SCHEMA,
        .ids = reader_init(player->ids, (size_t)(player->writer.ids - player->ids)),
        .fields = reader_init(player->fields, (size_t)(player->writer.fields - player->fields)),
    };
    bool malformed = false;
    bool has_next = command_decode(&reader, &logged, &malformed);
    uint32_t count_max = 1;
    while (replay_batch(player, &reader, &logged, &has_next, count_max, &skip))
        count_max = count_max % BATCH_COMMANDS_MAX + 1;
    if (engine_seq(player->second) != player->commands_written)
        fail(player, FAULT_REPLAY, "replay ends at seq %" PRIu64 " of %" PRIu64,
             engine_seq(player->second), player->commands_written);
    if (engine_digest(player->second) != engine_digest(player->engine))
        fail(player, FAULT_REPLAY, "replay leads to another digest");
    else if (engine_checksum(player->second) != engine_checksum(player->engine))
        fail(player, FAULT_REPLAY, "replay leads to the same digest and another state");
    check_invariants(player, player->second);
    check_epochs(player, player->second);
    if (player->failure.fault == FAULT_NONE)
        ask_both_everything(player);
}

static void second_create(struct player *player, const struct engine_options *options)
{
    char error[ERROR_SIZE];
    engine_destroy(player->second);
    player->second = engine_create(options, error, sizeof error);
    TILL_ASSERT(player->second != NULL);
}

static void replay(struct player *player)
{
    struct engine_options options = player->options->engine;
    options.hash_seed ^= 0xd1b54a32d192ed03ULL;
    second_create(player, &options);
    replay_log(player, 0);
}

static void replay_from_image(struct player *player)
{
    struct engine_options options = player->options->engine;
    uint32_t more = (uint32_t)(player->random % 3) * 7;
    options.hash_seed ^= 0x2545f4914f6cdd1dULL;
#define CAPACITY(number, name, default, text) options.name += more;
#include "engine/tables/tables.h"
    second_create(player, &options);
    char error[ERROR_SIZE] = "";
    if (!imager_load(&player->imager, player->second, error, sizeof error))
        fail(player, FAULT_REPLAY, "the image cannot be loaded: %s", error);
    else if (engine_seq(player->second) != player->imager.seq ||
             engine_digest(player->second) != player->imager.digest ||
             engine_checksum(player->second) != player->imager.checksum)
        fail(player, FAULT_REPLAY, "the image has another seq, digest or state");
    else
        check_invariants(player, player->second);
    if (player->failure.fault == FAULT_NONE)
        replay_log(player, player->imager.seq);
}

static uint64_t random_below(struct player *player, uint64_t bound)
{
    player->random = player->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (player->random >> 33) % bound;
}

/* Between two batches: begins the image after a given number of items, and continues it at
 * random. */
static void image_step(struct player *player, int done, int begin)
{
    struct imager *imager = &player->imager;
    if (!imager->is_running && !imager->is_done && done >= begin)
        imager_begin(imager, player->engine);
    else if (imager->is_running && random_below(player, 3) == 0)
        imager_step(imager, player->engine, (uint32_t)random_below(player, 4));
}

/* The checks that are too slow for each batch. */
static void check_whole(struct player *player)
{
    check_invariants(player, player->engine);
    if (player->single != NULL &&
        engine_checksum(player->single) != engine_checksum(player->engine))
        fail(player, FAULT_BATCH, "deciding one by one leads to the same digest and another state");
}

static void play_and_replay(struct player *player)
{
    int batch = 0;
    int begin = (int)random_below(player, (uint64_t)player->sequence->count);
    for (int first = 0; first < player->sequence->count;) {
        int last = first + 1;
        while (last < player->sequence->count && !player->sequence->items[last - 1].ends_batch &&
               last - first < BATCH_COMMANDS_MAX)
            last++;
        play_batch(player, first, last);
        if (player->failure.fault == FAULT_NONE && batch++ % player->options->check_every == 0)
            check_whole(player);
        if (player->failure.fault != FAULT_NONE)
            return;
        image_step(player, last, begin);
        first = last;
    }
    imager_step(&player->imager, player->engine, UINT32_MAX);
    check_whole(player);
    replay(player);
    if (player->failure.fault == FAULT_NONE)
        replay_from_image(player);
}

struct failure play(const struct sequence *sequence, const struct play_options *options,
                    struct play_counts *counts)
{
    char error[ERROR_SIZE];
    struct player *player = calloc(1, sizeof *player);
    TILL_ASSERT(player != NULL);
    size_t column_size = 0;
    for (int i = 0; i < sequence->count; i++)
        column_size += command_encoded_max(sequence->items[i].size) + 16;
    player->sequence = sequence;
    player->options = options;
    player->counts = counts;
    player->model = model_create();
    player->ids = malloc(column_size + 1);
    player->fields = malloc(column_size + 1);
    TILL_ASSERT(player->ids != NULL && player->fields != NULL);
    player->writer = (struct column_writer){player->ids, player->fields};
    player->engine = engine_create(&options->engine, error, sizeof error);
    TILL_ASSERT(player->engine != NULL);
    if (options->has_single) {
        player->single = engine_create(&options->engine, error, sizeof error);
        TILL_ASSERT(player->single != NULL);
    }
    imager_init(&player->imager, player->engine);
    player->random = sequence->seed;

    struct sigaction action = {.sa_handler = on_abort};
    struct sigaction action_before;
    sigaction(SIGABRT, &action, &action_before);
    if (sigsetjmp(assertion_failed, 1) == 0) {
        play_and_replay(player);
        engine_destroy(player->engine);
        if (player->single != NULL)
            engine_destroy(player->single);
        if (player->second != NULL)
            engine_destroy(player->second);
    } else {
        fail(player, FAULT_ASSERTION, "an assertion failed in this batch");
    }
    sigaction(SIGABRT, &action_before, NULL);

    struct failure failure = player->failure;
    imager_deinit(&player->imager);
    model_destroy(player->model);
    free(player->ids);
    free(player->fields);
    free(player);
    return failure;
}

/* The sequence without items [from, from + count). */
static struct sequence without(const struct sequence *sequence, int from, int count, bool singly)
{
    struct sequence rest = {.seed = sequence->seed};
    for (int i = 0; i < sequence->count; i++) {
        struct model_request request = sequence_request(sequence, i);
        if (i >= from && i < from + count)
            continue;
        sequence_add(&rest, sequence->items[i].time, request.number, request.body, request.size);
        rest.items[rest.count - 1].ends_batch = singly || sequence->items[i].ends_batch;
    }
    return rest;
}

/* Replaces *sequence by a shorter candidate if that still fails; the candidate is used up. */
static bool try_shorter(struct sequence *sequence, struct sequence candidate,
                        const struct play_options *options, enum fault fault)
{
    struct failure failure = play(&candidate, options, NULL);
    if (failure.fault != fault) {
        sequence_deinit(&candidate);
        return false;
    }
    sequence_deinit(sequence);
    *sequence = candidate;
    if (fault != FAULT_REPLAY && failure.item + 1 < sequence->count)
        sequence->count = failure.item + 1;
    sequence->items[sequence->count - 1].ends_batch = true;
    return true;
}

struct sequence play_shrink(const struct sequence *sequence, const struct play_options *options,
                            enum fault fault)
{
    struct play_options often = *options;
    struct sequence shrunk = without(sequence, 0, 0, false);
    int attempts = 0;
    often.check_every = 1;
    try_shorter(&shrunk, without(&shrunk, 0, 0, false), &often, fault);
    try_shorter(&shrunk, without(&shrunk, 0, 0, true), &often, fault);
    for (int chunk = shrunk.count / 2; chunk > 0; chunk /= 2) {
        bool has_shrunk = true;
        while (has_shrunk && attempts < SHRINK_ATTEMPTS_MAX) {
            has_shrunk = false;
            for (int from = shrunk.count - chunk; from >= 0; from -= chunk) {
                if (attempts++ >= SHRINK_ATTEMPTS_MAX)
                    break;
                if (shrunk.count > chunk)
                    has_shrunk |=
                        try_shorter(&shrunk, without(&shrunk, from, chunk, false), &often, fault);
                if (from > shrunk.count)
                    from = shrunk.count;
            }
        }
    }
    return shrunk;
}
