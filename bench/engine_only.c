/* The engine without a server around it.
 *
 * Requests are made a chunk at a time, then taken through the stages that a server takes them
 * through, each over the whole chunk, and each by the clock:
 *
 *   frames -> parse and check -> decide -> encode -> seal a block -> frame the replies
 *
 * Then the answers are judged like those of a server. Only decide is on without --stages. Making
 * requests and judging answers is not counted, so a chunk is large beside the clock's own cost and
 * small enough for the caches, as the receive buffers of a server are. */
#include "bench/engine_only.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "bench/child.h"
#include "bench/counters.h"
#include "bench/figures.h"
#include "bench/load.h"
#include "cli/cli.h"
#include "engine/known.h"
#include "wal/block.h"

enum {
    CHUNK = 1024,
    SLOT_SIZE = 1024,   /* bytes that a request or a reply of the workloads takes at most */
    WARM_UP_SHARE = 8,  /* of the time, before it counts */
    EXPIRE_SHARE = 256, /* of the holds that are due ends with each chunk, */
    EXPIRE_HOLDS_MIN = 256,
    BUDGET_NS = 155, /* of all stages: what the design allows an order, without system calls */
};

/* STAGE(NAME, text, budget in ns per order, of the design's; 0: in the one before's) */
#define STAGES(STAGE)                                                                              \
    STAGE(PARSE, "parse and check", 25)                                                            \
    STAGE(DECIDE, "decide", 60)                                                                    \
    STAGE(ENCODE, "encode for the log", 50)                                                        \
    STAGE(SEAL, "compress and checksum", 0)                                                        \
    STAGE(FRAME, "frame the replies", 20)

#define STAGE_ENUM(NAME, text, budget) STAGE_##NAME,
enum stage { STAGES(STAGE_ENUM) STAGE_COUNT };
#undef STAGE_ENUM

#define STAGE_ROW(NAME, text, budget) {text, budget},
static const struct {
    const char *text;
    uint32_t budget_ns;
} stages[] = {STAGES(STAGE_ROW)};
#undef STAGE_ROW

struct engine_run {
    struct engine_run_options options;
    struct workload *workload;
    struct workload_share share;
    struct engine *engine;
    struct random random;
    struct machine machine;

    uint8_t *memory; /* of all buffers */
    size_t memory_size;
    uint8_t *requests;
    uint8_t *replies;
    uint8_t *ids;
    uint8_t *fields;
    uint8_t *image;
    struct wal_packer packer;
    struct known_table known; /* as a server's */
    uint64_t tokens[CHUNK];
    struct command commands[CHUNK];
    struct frame headers[CHUNK];
    struct reply_sink sink;

    uint64_t stage_ns[STAGE_COUNT];
    struct counters counters; /* of the decisions */
    struct counted counted;
    uint64_t asked;
    uint64_t orders;
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t accepted;
    uint64_t stored_bytes;
    uint64_t wrong_answers;
};

/* Decides one request and returns its outcome; the reply's body stands behind the gap. */
static enum outcome decide_one(struct engine_run *run, unsigned number, const void *body,
                               uint32_t size, const void **reply, uint32_t *reply_size)
{
    uint64_t aligned[FRAME_SIZE_MAX / 8];
    struct reply_sink sink = {.cursor = run->replies, .gap = sizeof(struct frame)};
    struct command command = {
        .body = aligned, .sink = &sink, .size = size, .number = (uint16_t)number};
    memcpy(aligned, body, size);
    engine_decide(run->engine, clock_wall_us(), &command, 1);
    *reply = command.reply;
    *reply_size = command.reply_size;
    return (enum outcome)command.outcome;
}

/* Ends holds as the server's loop does, a bounded number at a time. */
static void expire_holds(struct engine_run *run)
{
    uint64_t time_us = clock_wall_us();
    uint64_t due = engine_holds_due(run->engine, time_us);
    uint64_t holds = due / EXPIRE_SHARE > EXPIRE_HOLDS_MIN ? due / EXPIRE_SHARE : EXPIRE_HOLDS_MIN;
    const struct hold_expire_body expire = {
        .holds = (uint32_t)(holds < HOLDS_PER_EXPIRE_MAX ? holds : HOLDS_PER_EXPIRE_MAX)};
    struct command command = {
        .body = &expire, .size = sizeof expire, .number = MESSAGE_hold_expire};
    if (due != 0)
        engine_decide(run->engine, time_us, &command, 1);
}

static bool ask_engine(void *context, unsigned number, const void *body, uint32_t size)
{
    const void *reply;
    uint32_t reply_size;
    enum outcome outcome = decide_one(context, number, body, size, &reply, &reply_size);
    if (outcome != OUTCOME_OK)
        fprintf(stderr, "till bench: setting up: %s answers %s\n", message_info(number)->name,
                outcome_name(outcome));
    return outcome == OUTCOME_OK;
}

static bool look_engine(void *context, unsigned number, const void *body, uint32_t size,
                        void *reply, uint32_t reply_size)
{
    struct engine_run *run = context;
    const void *got;
    uint32_t got_size;
    for (uint64_t time_us = clock_wall_us(); engine_holds_due(run->engine, time_us) != 0;)
        expire_holds(run);
    if (decide_one(context, number, body, size, &got, &got_size) != OUTCOME_OK ||
        got_size != reply_size)
        return false;
    memcpy(reply, got, reply_size);
    return true;
}

static size_t make_requests(struct engine_run *run)
{
    uint8_t *cursor = run->requests;
    for (uint32_t i = 0; i < CHUNK; i++) {
        struct frame *frame = (void *)cursor;
        run->tokens[i] = share_request(&run->share, frame);
        frame->outcome = 0;
        frame->request = i;
        frame->checksum = 0;
        cursor += frame->size;
    }
    return (size_t)(cursor - run->requests);
}

/* The checks of net/input.c on each frame; false when one is refused, which is a bug here. */
static bool parse(struct engine_run *run, size_t size)
{
    const uint8_t *cursor = run->requests, *end = cursor + size;
    bool right = true;
    for (uint32_t i = 0; cursor < end; i++) {
        const struct frame *frame = (const void *)cursor;
        const char *reason;
        const struct message_info *message = message_info(frame->type);
        uint32_t body_size = frame->size - (uint32_t)sizeof *frame;
        right &= frame->size <= FRAME_SIZE_MAX && frame->size % FRAME_ALIGN == 0 &&
                 frame->outcome == 0 && message != NULL &&
                 known_check_request(&run->known, message, frame + 1, body_size, &reason);
        run->headers[i] = *frame;
        run->commands[i] = (struct command){
            .body = frame + 1, .sink = &run->sink, .size = body_size, .number = frame->type};
        cursor += frame->size;
    }
    return right;
}

static void decide(struct engine_run *run)
{
    uint64_t time_us = clock_wall_us();
    run->sink = (struct reply_sink){.cursor = run->replies, .gap = sizeof(struct frame)};
    for (uint32_t i = 0; i < CHUNK; i += BATCH_COMMANDS_MAX)
        engine_decide(run->engine, time_us, &run->commands[i], BATCH_COMMANDS_MAX);
}

/* Encodes accepted commands from the given one on, as far as a block has room; returns the next. */
static uint32_t encode(struct engine_run *run, uint32_t next, struct wal_block *block)
{
    struct column_writer writer = {.ids = run->ids, .fields = run->fields};
    for (; next < CHUNK; next++) {
        const struct command *command = &run->commands[next];
        size_t most = command_encoded_max(command->size);
        if ((size_t)(writer.ids - run->ids) + most > WAL_COLUMN_SIZE_MAX ||
            (size_t)(writer.fields - run->fields) + most > WAL_COLUMN_SIZE_MAX)
            break;
        if (!command->accepted)
            continue;
        known_command_encode(&run->known, command->number, command->body, command->size, &writer);
        block->command_count++;
    }
    block->ids_size = (uint32_t)(writer.ids - run->ids);
    block->fields_size = (uint32_t)(writer.fields - run->fields);
    return next;
}

static void log_chunk(struct engine_run *run)
{
    for (uint32_t next = 0; next < CHUNK;) {
        struct wal_block block = {.epoch = 1,
                                  .seq_first = run->accepted + 1,
                                  .seq_durable = run->accepted,
                                  .time_us = engine_time_us(run->engine),
                                  .digest = engine_digest(run->engine)};
        uint64_t start_ns = load_clock_ns();
        next = encode(run, next, &block);
        uint64_t encoded_ns = load_clock_ns();
        run->stage_ns[STAGE_ENCODE] += encoded_ns - start_ns;
        if (block.command_count == 0)
            continue;
        wal_block_seal(&run->packer, &block, run->ids, run->fields, run->image);
        run->stage_ns[STAGE_SEAL] += load_clock_ns() - encoded_ns;
        run->accepted += block.command_count;
        run->stored_bytes += block.block_size;
    }
}

static void frame_replies(struct engine_run *run)
{
    for (uint32_t i = 0; i < CHUNK; i++) {
        const struct command *command = &run->commands[i];
        ((struct frame *)command->reply)[-1] = (struct frame){
            .size = (uint32_t)sizeof(struct frame) + command->reply_size,
            .type = (uint16_t)(command->number | FRAME_REPLY),
            .outcome = command->outcome,
            .request = run->headers[i].request,
        };
    }
}

static void judge(struct engine_run *run)
{
    for (uint32_t i = 0; i < CHUNK; i++) {
        const struct frame *frame = (const struct frame *)run->commands[i].reply - 1;
        const struct workload_answer answer = {.frame = frame, .token = run->tokens[i]};
        enum verdict verdict = share_answer(&run->share, &answer);
        run->wrong_answers += verdict == VERDICT_WRONG;
        run->orders += answer_is_order(frame) && verdict != VERDICT_ENDED;
        run->outcomes[frame->outcome % OUTCOME_COUNT]++;
    }
    run->asked += CHUNK;
}

static void run_chunk(struct engine_run *run)
{
    size_t size = make_requests(run);
    uint64_t times_ns[5];
    times_ns[0] = load_clock_ns();
    if (!parse(run, size))
        run->wrong_answers++;
    times_ns[1] = load_clock_ns();
    counters_begin(&run->counters);
    times_ns[2] = load_clock_ns();
    decide(run);
    expire_holds(run);
    times_ns[3] = load_clock_ns();
    counters_end(&run->counters);
    run->stage_ns[STAGE_PARSE] += times_ns[1] - times_ns[0];
    run->stage_ns[STAGE_DECIDE] += times_ns[3] - times_ns[2];
    if (run->options.stages)
        log_chunk(run);
    times_ns[4] = load_clock_ns();
    frame_replies(run);
    run->stage_ns[STAGE_FRAME] += load_clock_ns() - times_ns[4];
    judge(run);
}

/* Resets what was measured, but keeps the count of wrong answers. */
static void forget_warm_up(struct engine_run *run)
{
    memset(run->stage_ns, 0, sizeof run->stage_ns);
    memset(run->outcomes, 0, sizeof run->outcomes);
    run->asked = run->orders = run->accepted = run->stored_bytes = 0;
    counters_forget(&run->counters);
}

static void run_all(struct engine_run *run)
{
    uint64_t length_ns = run->options.seconds * 1000000000ULL;
    uint64_t start_ns = load_clock_ns();
    uint64_t begin_ns = start_ns + length_ns / WARM_UP_SHARE;
    bool measuring = false;
    uint64_t count = run->options.count != 0 ? run->options.count : UINT64_MAX;
    while (run->asked < count && run->share.ended[0] == '\0' && !interrupted) {
        uint64_t time_ns = load_clock_ns();
        if (!measuring && time_ns >= begin_ns) {
            forget_warm_up(run);
            measuring = true;
        }
        if (run->options.count == 0 && time_ns >= start_ns + length_ns)
            break;
        run_chunk(run);
    }
}

static double per_request(const struct engine_run *run, uint64_t ns)
{
    return run->asked != 0 ? (double)ns / (double)run->asked : 0;
}

static void print_stages(const struct engine_run *run)
{
    uint64_t sum_ns = 0;
    printf("%-24s %8s %8s\n", "ns a request", "measured", "budget");
    for (uint32_t i = 0; i < STAGE_COUNT; i++) {
        printf("  %-22s %8.1f", stages[i].text, per_request(run, run->stage_ns[i]));
        if (stages[i].budget_ns != 0)
            printf(" %8u%s\n", stages[i].budget_ns,
                   i == STAGE_ENCODE  ? ", with the next"
                   : i == STAGE_PARSE ? ", with receiving"
                                      : "");
        else
            printf("\n");
        sum_ns += run->stage_ns[i];
    }
    printf("  %-22s %8.1f %8d\n", "in all", per_request(run, sum_ns), BUDGET_NS);
    if (run->accepted != 0)
        printf("  %-22s %8.1f bytes a command, in blocks of up to %d\n", "stored in the log",
               (double)run->stored_bytes / (double)run->accepted, CHUNK);
}

static void print_text(const struct engine_run *run)
{
    double decide_ns = (double)run->stage_ns[STAGE_DECIDE];
    if (run->orders != 0)
        printf("%.0f orders per second decided in this process, not logged\n",
               (double)run->orders * 1e9 / decide_ns);
    printf("  decide         %.1f ns a request (%" PRIu64 " %s requests)\n",
           per_request(run, run->stage_ns[STAGE_DECIDE]), run->asked, run->workload->options.name);
    printf("  its counters   ");
    counted_print(&run->counted, run->orders, run->asked);
    printf("  wrong answers  %" PRIu64 "\n", run->wrong_answers);
    printf("  machine        %s, %s\n", run->machine.kernel, run->machine.processor);
    if (run->options.stages)
        print_stages(run);
}

static void print_json(const struct engine_run *run)
{
    double decide_ns = (double)run->stage_ns[STAGE_DECIDE];
    char text[128];
    printf("{\"workload\": \"%s\", \"engine_only\": true, \"orders_per_second\": %.0f, "
           "\"requests_per_second\": %.0f, \"decide_ns_per_request\": %.1f, "
           "\"requests\": %" PRIu64 ", \"orders\": %" PRIu64 ", \"wrong_answers\": %" PRIu64,
           run->workload->options.name, (double)run->orders * 1e9 / decide_ns,
           (double)run->asked * 1e9 / decide_ns, per_request(run, run->stage_ns[STAGE_DECIDE]),
           run->asked, run->orders, run->wrong_answers);
    counted_print_json(&run->counted, "decide", run->orders, run->asked);
    for (uint32_t i = 0; run->options.stages && i < STAGE_COUNT; i++)
        printf("%s\"%s\": %.1f%s", i == 0 ? ", \"stages_ns_per_request\": {" : ", ", stages[i].text,
               per_request(run, run->stage_ns[i]), i + 1 == STAGE_COUNT ? "}" : "");
    if (run->accepted != 0)
        printf(", \"log_bytes_per_command\": %.1f",
               (double)run->stored_bytes / (double)run->accepted);
    printf(", \"kernel\": \"%s\"", json_text(run->machine.kernel, text, sizeof text));
    printf(", \"processor\": \"%s\", \"cores\": %u}\n",
           json_text(run->machine.processor, text, sizeof text), run->machine.cores);
}

static bool run_init(struct engine_run *run)
{
    const size_t sizes[] = {CHUNK * SLOT_SIZE + FRAME_SIZE_MAX,
                            CHUNK * SLOT_SIZE + BATCH_COMMANDS_MAX * FRAME_SIZE_MAX,
                            WAL_COLUMN_SIZE_MAX, WAL_COLUMN_SIZE_MAX, WAL_BLOCK_SIZE_MAX};
    uint8_t **const buffers[] = {&run->requests, &run->replies, &run->ids, &run->fields,
                                 &run->image};
    char error[256];
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        run->memory_size += (sizes[i] + 63) / 64 * 64;
    run->engine = engine_create(&run->options.capacities, error, sizeof error);
    run->memory = memory_map(run->memory_size);
    if (run->engine == NULL || run->memory == NULL ||
        (run->options.indexes && !engine_list(run->engine)) ||
        !memory_populate(run->memory, run->memory_size, NULL) ||
        !engine_populate(run->engine, NULL) ||
        !share_init(&run->share, run->workload, 0, 1, CHUNK)) {
        fprintf(stderr, "till bench: no memory for the engine\n");
        return false;
    }
    uint8_t *cursor = run->memory;
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        *buffers[i] = cursor;
        cursor += (sizes[i] + 63) / 64 * 64;
    }
    return true;
}

int engine_only(struct workload *workload, const struct engine_run_options *options,
                const struct machine *machine)
{
    char error[WORKLOAD_ERROR_SIZE];
    struct engine_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return EXIT_FAILED;
    run->options = *options;
    run->workload = workload;
    run->machine = *machine;
    run->random.state = random_seed();
    const struct shop shop = {
        .context = run, .random = &run->random, .ask = ask_engine, .look = look_engine};
    bool good = run_init(run) && workload_set_up(workload, &shop);
    if (good) {
        counters_open(&run->counters, counters_hardware, 0);
        run_all(run);
        run->counted = counters_counted(&run->counters);
        counters_close(&run->counters);
        if (options->json)
            print_json(run);
        else
            print_text(run);
        good = run->wrong_answers == 0 && !interrupted;
        if (run->share.ended[0] != '\0')
            fprintf(stderr, "till bench: ended early, %s\n", run->share.ended);
    }
    if (good && !workload_audit(workload, &run->share, &shop, error)) {
        fprintf(stderr, "till bench: %s\n", error);
        good = false;
    }
    share_deinit(&run->share);
    if (run->engine != NULL)
        engine_destroy(run->engine);
    memory_unmap(run->memory, run->memory_size);
    free(run);
    return good ? EXIT_OK : EXIT_FAILED;
}
