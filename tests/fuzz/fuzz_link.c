/* What another server may send: to a replica that follows or fetches, and to the server that it
 * follows. The input's first byte chooses who is sent to and in which state; the rest are steps:
 *
 *   raw      bytes as they stand in the input
 *   frame    a frame of a type that is known on links, with a body eaten from the input
 *   block    a frame and a block that follows, with a checksum that is right, but for what the
 * input changes in it piece    a frame and the next piece of a snapshot, but for the same time some
 * passes, and a connection that was found wrong or is silent begins anew
 *
 * Bytes are handed on in pieces, in memory of their own. Whatever comes, the machines' own checks
 * hold, a block that is handed out is whole and continues the last one, a snapshot's pieces are
 * without a gap, acknowledgements only grow and are of what was sent, texts are terminated, and
 * after FOLLOWER_WRONG nothing more is found. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "net/fetch.h"
#include "tests/fuzz/fuzz.h"

enum { EPOCH = 3, SEQ = 8, FILE_PAGES = 200, BYTES_MAX = WAL_BLOCK_SIZE_MAX + FRAME_SIZE_MAX };

#define SHOP ((struct id){.low = 7, .high = 70})

struct world {
    struct link_self self;
    uint64_t now_us;
    struct follower follower;
    struct fetch fetch;
    struct supplier supplier;
    struct wal_block last; /* that was handed out */
    uint64_t offset;       /* of the next piece */
    uint64_t bytes[BYTES_MAX / 8];
    uint32_t size;
};

static struct world *world;

static struct engine *engine_with_epochs(void)
{
    char error[256];
    struct engine_options options = engine_options_default;
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    for (size_t i = 0; i < count; i++)
        memcpy((uint8_t *)&options + capacities[i].offset, &(uint32_t){64}, sizeof(uint32_t));
    struct engine *engine = engine_create(&options, error, sizeof error);
    TILL_ASSERT(engine != NULL);
    for (uint64_t seq = 1; seq <= SEQ; seq++) {
        struct epoch_begin_body begin = {.epoch = seq / 2};
        struct sku_put_body sku = {.sku = 1, .price = (int64_t)seq, .currency = 978};
        bool begins = seq == 4 || seq == 6;
        struct command command = {.body = begins ? (void *)&begin : &sku,
                                  .size = begins ? sizeof begin : sizeof sku,
                                  .number = begins ? MESSAGE_epoch_begin : MESSAGE_sku_put};
        engine_decide(engine, seq, &command, 1);
        TILL_ASSERT(command.accepted);
    }
    return engine;
}

static void world_create(void)
{
    world = calloc(1, sizeof *world);
    TILL_ASSERT(world != NULL && follower_init(&world->follower, 0) &&
                fetch_init(&world->fetch, 0));
    world->self = (struct link_self){.shop = SHOP,
                                     .member = {8, 80},
                                     .epoch = EPOCH,
                                     .epoch_sealed = EPOCH,
                                     .seq = SEQ,
                                     .checksum = 99,
                                     .engine = engine_with_epochs()};
}

/* Handing on. */

static void check_text(const char *text, size_t size)
{
    TILL_ASSERT(memchr(text, '\0', size) != NULL);
}

static void check_block(void)
{
    const struct follower *follower = &world->follower;
    const struct wal_block *block = &follower->block;
    TILL_ASSERT((uintptr_t)follower->block_bytes % WAL_ALIGN == 0);
    TILL_ASSERT(wal_block_verify(block, follower->block_bytes));
    TILL_ASSERT(block->previous == world->last.checksum && block->epoch >= world->last.epoch);
    TILL_ASSERT(block->seq_first == world->last.seq_first + world->last.command_count);
    world->last = *block;
    struct replica_ack_body ack = {.seq_durable = block->seq_first, .seq_applied = UINT64_MAX};
    follower_ack(&world->follower, &ack);
}

static void follow(const uint8_t *bytes, size_t size)
{
    enum follower_event event = FOLLOWER_NOTHING;
    do {
        size_t before = size;
        event = follower_next(&world->follower, &world->self, &bytes, &size, world->now_us);
        TILL_ASSERT(size <= before);
        if (event == FOLLOWER_BLOCK)
            check_block();
        else if (event == FOLLOWER_ANSWER)
            check_text(world->follower.answer.reason.bytes, sizeof(struct text));
        else if (event == FOLLOWER_BEAT)
            check_text(world->follower.beat.primary.bytes, sizeof(struct text));
    } while (event != FOLLOWER_NOTHING && event != FOLLOWER_WRONG);
    if (event == FOLLOWER_WRONG) {
        check_text(world->follower.error, LINK_ERROR_SIZE);
        TILL_ASSERT(world->follower.error[0] != '\0');
        TILL_ASSERT(follower_next(&world->follower, &world->self, &bytes, &size, world->now_us) ==
                    FOLLOWER_WRONG);
    } else {
        TILL_ASSERT(size == 0);
    }
}

static void fetch(const uint8_t *bytes, size_t size)
{
    struct fetch *fetching = &world->fetch;
    enum fetch_event event = FETCH_NOTHING;
    do {
        event = fetch_next(fetching, &world->self, &bytes, &size, world->now_us);
        if (event == FETCH_ANSWER && fetching->answer.seq > 0)
            world->offset = fetching->answer.offset;
        if (event != FETCH_PIECE)
            continue;
        TILL_ASSERT(fetching->piece_offset == world->offset);
        world->offset += fetching->piece_size;
        TILL_ASSERT(world->offset <= fetching->size && world->offset == fetching->offset);
        TILL_ASSERT((world->offset == fetching->size) == (fetching->state == FETCH_DONE));
    } while (event != FETCH_NOTHING && event != FETCH_WRONG);
    check_text(fetching->error, LINK_ERROR_SIZE);
}

static void supply(const uint8_t *bytes, size_t size)
{
    struct supplier before = world->supplier;
    const struct frame *frame = (const struct frame *)bytes;
    const struct supplier *supplier = &world->supplier;
    if (size < sizeof *frame || size < frame->size)
        return;
    bool is_right = supplier_receive(&world->supplier, frame, world->now_us);
    TILL_ASSERT(is_right == (supplier->state == before.state));
    TILL_ASSERT((supplier->error[0] != '\0') == (supplier->state == SUPPLIER_LEAVING));
    TILL_ASSERT(supplier->seq_durable >= before.seq_durable);
    TILL_ASSERT(supplier->seq_durable <= supplier->seq_sent);
    TILL_ASSERT(supplier->epoch_sealed >= before.epoch_sealed);
}

/* A join as it comes: well-formed, and nothing else is known of it. */
static void judge(const uint8_t *bytes, size_t size)
{
    const struct message_info *message = message_info(MESSAGE_replica_join);
    const struct replica_join_body *join = (const void *)(bytes + sizeof(struct frame));
    const char *reason = NULL;
    struct replica_join_reply_body reply;
    struct link_self self = world->self;
    bool fences = false;
    self.member.low++;
    if (size < sizeof(struct frame) ||
        !message_check_request(message, join, size - sizeof(struct frame), &reason))
        return;
    unsigned answer =
        supplier_judge(&self, join, (const struct capacity_body *)(join + 1), &reply, &fences);
    TILL_ASSERT(answer == reply.answer && message->reply->check(&reply));
    TILL_ASSERT((reply.reason.bytes[0] != '\0') == (answer == join_answer_REFUSED));
    TILL_ASSERT(!fences || answer == join_answer_REFUSED);
    check_text(reply.reason.bytes, sizeof reply.reason);
    if (answer == join_answer_FORK)
        TILL_ASSERT(reply.fork_epoch > 0 && reply.fork_epoch <= join->epoch &&
                    reply.fork_seq <= join->seq && reply.fork_seq <= self.seq);
}

static void (*const machines[])(const uint8_t *bytes, size_t size) = {follow, fetch, supply, judge};

enum { MACHINES = sizeof machines / sizeof machines[0] };

/* Hands on what is in world->bytes, in two parts where the machine takes a stream. */
static void hand_on(struct input *input, unsigned machine)
{
    size_t first = machine < 2 ? world->size * (size_t)input_byte(input) / UINT8_MAX : world->size;
    for (unsigned part = 0; part < (machine < 2 ? 2 : 1); part++) {
        size_t size = part == 0 ? first : world->size - first;
        uint8_t *copy = malloc(size > 0 ? size : 1);
        TILL_ASSERT(copy != NULL);
        memcpy(copy, (uint8_t *)world->bytes + part * first, size);
        machines[machine](copy, size);
        free(copy);
    }
    world->size = 0;
}

/* Steps. */

static void add_raw(struct input *input)
{
    world->size = input_byte(input);
    for (uint32_t i = 0; i < world->size; i++)
        ((uint8_t *)world->bytes)[i] = input_byte(input);
}

/* Words that may be right: those that the machines compare with. */
static uint64_t eat_word(struct input *input)
{
    const uint64_t known[] = {0, 7, 70, EPOCH, SEQ, SEQ + 1, 99, WAL_ALIGN, PROTOCOL_VERSION};
    uint8_t choice = input_byte(input) % 16;
    return choice < 9 ? known[choice] : input_number(input, 16);
}

static uint32_t shape_of(unsigned type)
{
    const struct message_info *message = message_info(type & ~FRAME_REPLY);
    if (message == NULL)
        return 64;
    return (type & FRAME_REPLY) != 0 ? message->reply->size_bytes : message->request->size_bytes;
}

static void add_frame(struct input *input)
{
    static const uint16_t types[] = {MESSAGE_hello | FRAME_REPLY,
                                     MESSAGE_replica_join | FRAME_REPLY,
                                     MESSAGE_replica_fetch | FRAME_REPLY,
                                     MESSAGE_error | FRAME_REPLY,
                                     MESSAGE_replica_block,
                                     MESSAGE_replica_beat,
                                     MESSAGE_replica_piece,
                                     MESSAGE_replica_ack,
                                     MESSAGE_replica_join};
    uint8_t choice = input_byte(input);
    struct frame *frame = (struct frame *)world->bytes;
    uint16_t type = choice < 240 ? types[choice % 9] : (uint16_t)input_number(input, 64);
    uint32_t size = shape_of(type) + (choice % 5 == 4 ? input_byte(input) % 8 * 8 : 0);
    *frame = (struct frame){.size = (uint32_t)sizeof *frame + size,
                            .type = type,
                            .outcome = choice % 7 == 6 ? input_byte(input) : 0,
                            .request = input_byte(input) % 4};
    world->size = frame->size;
    for (uint32_t i = 2; i < world->size / 8; i++)
        world->bytes[i] = input_left(input) > 0 ? eat_word(input) : 0;
}

static void add_block(struct input *input)
{
    uint8_t *image = (uint8_t *)world->bytes + LINK_BLOCK_GAP;
    struct wal_packer packer = {{0}, {0}};
    struct wal_block block = {.previous = world->last.checksum,
                              .epoch = world->last.epoch,
                              .seq_first = world->last.seq_first + world->last.command_count,
                              .command_count = 1 + input_byte(input) % 4u,
                              .ids_size = input_byte(input) * 64u};
    if (block.seq_first > UINT64_MAX / 2)
        return;
    static const uint8_t zeros[UINT8_MAX * 64];
    wal_block_seal(&packer, &block, zeros, zeros, image);
    uint8_t changes = input_byte(input) % 8;
    for (uint8_t i = 0; changes < 3 && i < changes; i++) {
        image[16 + input_number(input, 80) % (block.block_size - 16)] = input_byte(input);
        block.checksum = checksum64(image + 16, block.block_size - 16);
        memcpy(image + 8, &block.checksum, sizeof block.checksum);
    }
    link_block_frame((uint8_t *)world->bytes, block.block_size);
    world->size = LINK_BLOCK_GAP + block.block_size;
}

static void add_piece(struct input *input)
{
    uint8_t changes = input_byte(input) % 8;
    uint32_t size = (1 + input_byte(input) % 64u) * WAL_ALIGN;
    link_piece_frame((uint8_t *)world->bytes, changes == 0 ? (uint32_t)eat_word(input) : size,
                     changes == 1 ? eat_word(input) : world->fetch.offset);
    world->size = LINK_PIECE_GAP + size;
}

/* Connections. */

static void greet(void)
{
    struct hello_reply_body body = {.version = PROTOCOL_VERSION, .shop = SHOP};
    world->size = link_request((uint8_t *)world->bytes, MESSAGE_hello | FRAME_REPLY,
                               LINK_REQUEST_HELLO, &body, sizeof body);
}

static void follower_begin(unsigned depth)
{
    struct replica_join_reply_body answer = {
        .shop = SHOP, .epoch = EPOCH, .answer = join_answer_STREAM};
    follower_drop(&world->follower, world->now_us, true);
    TILL_ASSERT(follower_turn(&world->follower, world->now_us));
    follower_connected(&world->follower, &world->self, world->now_us);
    world->last = (struct wal_block){
        .checksum = world->self.checksum, .epoch = EPOCH, .seq_first = SEQ, .command_count = 1};
    if (depth > 0) {
        greet();
        follow((uint8_t *)world->bytes, world->size);
    }
    if (depth > 1) {
        world->size = link_request((uint8_t *)world->bytes, MESSAGE_replica_join | FRAME_REPLY,
                                   LINK_REQUEST_NEXT, &answer, sizeof answer);
        follow((uint8_t *)world->bytes, world->size);
    }
    world->size = 0;
}

static void fetch_begin(unsigned depth)
{
    struct replica_fetch_reply_body answer = {
        .seq = 1 + depth, .size = FILE_PAGES * WAL_ALIGN, .checksum = 1};
    fetch_drop(&world->fetch, world->now_us);
    world->now_us += LINK_RETRY_US_MAX;
    TILL_ASSERT(fetch_turn(&world->fetch, world->now_us));
    fetch_connected(&world->fetch, &world->self, world->now_us);
    world->offset = world->fetch.offset;
    if (depth > 0) {
        greet();
        fetch((uint8_t *)world->bytes, world->size);
    }
    if (depth > 1) {
        world->size = link_request((uint8_t *)world->bytes, MESSAGE_replica_fetch | FRAME_REPLY,
                                   LINK_REQUEST_NEXT, &answer, sizeof answer);
        fetch((uint8_t *)world->bytes, world->size);
    }
    world->size = 0;
}

static void supplier_begin(unsigned depth)
{
    uint8_t bytes[FRAME_SIZE_MAX];
    struct replica_join_body join = {.seq = SEQ, .epoch = EPOCH, .epoch_sealed = EPOCH};
    struct replica_join_reply_body reply = {.answer = depth > 1 ? join_answer_STREAM
                                                                : join_answer_SNAPSHOT};
    supplier_init(&world->supplier, &join, 1, world->now_us);
    if (depth > 0)
        supplier_answer(&world->supplier, &reply, bytes);
    world->supplier.seq_sent += depth > 1 ? 100 : 0;
}

static void begin(unsigned machine, unsigned depth)
{
    if (machine == 0)
        follower_begin(depth);
    else if (machine == 1)
        fetch_begin(depth);
    else
        supplier_begin(depth);
}

static bool has_ended(unsigned machine)
{
    if (machine == 0)
        return world->follower.state == FOLLOWER_RESTING || world->follower.is_wrong ||
               follower_is_silent(&world->follower, world->now_us);
    if (machine == 1)
        return world->fetch.state == FETCH_RESTING || world->fetch.state == FETCH_DONE ||
               world->fetch.is_wrong || fetch_is_silent(&world->fetch, world->now_us);
    return world->supplier.state == SUPPLIER_LEAVING;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = input_init(bytes, size);
    unsigned first = input_byte(&input);
    unsigned machine = first % MACHINES;
    unsigned depth = first / MACHINES % 3;
    if (world == NULL)
        world_create();
    fetch_drop(&world->fetch, world->now_us);
    fetch_resume(&world->fetch, 0, 0, 0);
    world->fetch.rested_us = world->fetch.retry_us = 0; /* an input does not depend on others */
    world->now_us = 1;
    begin(machine, depth);
    while (input_left(&input) > 0) {
        static void (*const steps[])(struct input *) = {add_raw, add_frame, add_block, add_piece};
        unsigned step = input_byte(&input) % 8;
        if (step < 4)
            steps[step](&input);
        else if (step < 6)
            add_frame(&input);
        else
            world->now_us += input_number(&input, 64) % (2 * LINK_SILENCE_US);
        if (world->size > 0)
            hand_on(&input, machine);
        if (has_ended(machine))
            begin(machine, depth);
    }
    return 0;
}
