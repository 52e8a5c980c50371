/* What clients sent to a server and the replies they got, over all its crashes: the checker of the
 * simulated server tests.
 *
 * An intent is a command with its key, which is sent until it is answered, and again at random. Its
 * first acceptance is remembered, and every later answer must be the same. At the end the log is
 * replayed: each logged command is an intent, logged once; each accepted intent is there, at the
 * seq and with the reply that the client was told; and each answer to a query is what the replayed
 * state answers at the seq that the answer names. An intent that only a snapshot covers, because
 * that part of the log is gone, must still be known to the engine and answered as before. */
#ifndef TILL_TESTS_SIM_LEDGER_H
#define TILL_TESTS_SIM_LEDGER_H

#include "base/disk.h"
#include "engine/engine.h"
#include "tests/sim/caller.h"
#include "tests/sim/sim.h"
#include "wal/block.h"

enum { INTENTS_MAX = 2000, ANSWERS_MAX = 4096, REQUEST_WORDS = 24, REPLY_WORDS = 64 };

struct request {
    uint16_t number;
    uint32_t size;
    uint64_t body[REQUEST_WORDS];
};

struct intent {
    struct request request;
    bool accepted;         /* some client got OK or REPLAYED */
    bool answered;         /* some client got any reply */
    bool logged;           /* found in the log */
    uint32_t ok_count;     /* clients that got OK: one at most */
    uint64_t seq;          /* when accepted */
    uint64_t seq_rejected; /* the newest that a rejection named */
    uint32_t reply_size;
    uint64_t reply[REPLY_WORDS];
};

/* An answer to a query. */
struct answer {
    struct request request;
    uint16_t outcome;
    uint32_t reply_size;
    uint64_t *reply; /* begins with the seq */
};

struct ledger {
    struct sim_machine *machine;
    bool may_lose;     /* what was accepted may be undone: it is not compared with later answers */
    uint64_t seq_seen; /* the newest seq in any reply */
    uint32_t intent_count;
    uint32_t intents_max;    /* as many are made, then they are only repeated */
    uint32_t accepted_count; /* of the intents */
    uint32_t full_count;     /* replies that said STORAGE_FULL */
    uint32_t answer_count;
    struct intent intents[INTENTS_MAX];
    struct answer answers[ANSWERS_MAX];
};

enum { NO_INTENT = UINT32_MAX };

/* The capacities of the simulated servers. */
struct engine_options ledger_engine_options(void);

/* Begins with the intents that set up a small shop with little stock. */
struct ledger *ledger_create(struct sim_machine *machine);
void ledger_destroy(struct ledger *ledger);

/* Chooses something to send: a query with NO_INTENT, or an intent, new or old. */
uint32_t ledger_next(struct ledger *ledger, struct request *request);

/* An intent that has had no reply yet, or NO_INTENT. */
uint32_t ledger_unanswered(const struct ledger *ledger);

/* Checks a reply to the request. */
void ledger_judge(struct ledger *ledger, uint32_t intent, const struct request *request,
                  const struct caller_reply *reply);

/* Is this the outcome of a command that has been done? */
bool ledger_is_done(uint16_t outcome);

/* A replay of a history, one command at a time. */
struct ledger_replay {
    struct ledger *ledger;
    struct engine *engine;
    uint64_t time_us;
    bool is_aside; /* what clients were told of accepted commands is of another history */
    void (*reached)(struct ledger_replay *replay); /* called after each command; NULL: nothing is */
    void *context;
    uint32_t answer_next;
    uint16_t outcome;    /* of the command that was decided last, */
    uint32_t reply_size; /* and its reply */
    uint64_t reply[FRAME_SIZE_MAX / 8];
};

/* From the empty state on, block by block: each command is an intent, logged once, and each block
 * leads to its digest; of one that goes beyond seq_max only a part is replayed. At the end, unless
 * it is_aside, each accepted intent was logged. */
void ledger_replay_begin(struct ledger_replay *replay, struct ledger *ledger);
void ledger_replay_block(struct ledger_replay *replay, const struct wal_block *block,
                         const uint8_t *ids, const uint8_t *fields, uint64_t seq_max);
void ledger_replay_end(struct ledger_replay *replay);

/* The answer is what the state that was reached answers. */
void ledger_replay_answer(struct ledger_replay *replay, struct answer *answer);

/* Replays the log of the disk, after its newest snapshot if needed, and checks every reply; returns
 * the last seq. */
uint64_t ledger_check_log(struct ledger *ledger, struct disk *disk);

#endif
