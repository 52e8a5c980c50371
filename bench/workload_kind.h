/* What the files of the workloads share: the row of each kind, and the judgement of a placing. */
#ifndef TILL_BENCH_WORKLOAD_KIND_H
#define TILL_BENCH_WORKLOAD_KIND_H

#include "bench/workload.h"

enum { WAREHOUSE = 1, CURRENCY = 978, HOLD_S = 900 };

struct workload_kind {
    const char *name;
    const char *text;
    uint64_t (*request)(struct workload_share *share, struct frame *frame);
    enum verdict (*answer)(struct workload_share *share, const struct workload_answer *answer);
};

/* What a placing must be answered, packed into its request's token. */
union place_token {
    uint64_t bits;
    struct {
        uint64_t total : 24;
        uint64_t points : 18;
        uint64_t lines : 6;
        uint64_t quantities : 16; /* two bits each; they repeat from the ninth line on */
    };
};

static_assert(sizeof(union place_token) == sizeof(uint64_t), "a token is one word");

static inline uint32_t token_quantity(union place_token token, uint32_t line)
{
    uint32_t bits = token.quantities >> (2 * (line % 8)) & 3;
    return bits == 3 ? 1 : bits + 1;
}

/* The kinds of ids that random_id_of makes. */
enum { ID_CUSTOMER, ID_MEMBER, ID_ORDER, ID_EVENT, ID_CANCEL };

/* Customers are the same in each run, so that a server that runs on keeps room for them. */
enum { CUSTOMER_SEED = 7 };

static inline struct id customer_draw(struct workload_share *share)
{
    uint32_t number = random_below(&share->random, share->workload->options.customers);
    return random_id_of(CUSTOMER_SEED, ID_CUSTOMER, number);
}

/* From 1 to 90 euros. */
static inline int64_t price_of(uint32_t sku)
{
    return 100 + (int64_t)((random_mix(sku) >> 32) * 8900 >> 32);
}

/* A SKU's index with the frequency of its rank: Zipf's law with s = 1. */
uint32_t sku_draw(const struct workload *workload, uint64_t random);

/* Copies the share's template with room for its lines, and gives it fresh ids. */
struct order_frame *order_begin(struct workload_share *share, struct frame *frame, uint32_t lines);

/* Has the server answered OK with exactly these amounts, lines and quantities? */
bool place_is_right(const struct frame *frame, union place_token token);

/* Does the seq of this answer fit behind those before it on its connection? */
bool seq_grows(struct workload_share *share, const struct workload_answer *answer);

/* The verdict on an answer that is not what the workload is about: the end, or plainly wrong. */
enum verdict verdict_otherwise(struct workload_share *share, const struct frame *frame);

/* workload_lifecycle.c */
uint64_t lifecycle_request(struct workload_share *share, struct frame *frame);
enum verdict lifecycle_answer(struct workload_share *share, const struct workload_answer *answer);
struct visits *visits_create(uint32_t count);

/* workload_read.c */
uint64_t read_request(struct workload_share *share, struct frame *frame);
enum verdict read_answer(struct workload_share *share, const struct workload_answer *answer);
bool read_prepare(struct workload *workload, const struct shop *shop);
enum { READ_ORDERS = 100 * 1000, READ_CUSTOMERS = READ_ORDERS / 2 };

#endif
