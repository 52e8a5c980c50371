/* What the tests of links share: logs as rows of blocks, engines that have the same history, real
 * blocks, and the two ends of a connection. */
#ifndef TILL_TESTS_UNIT_LINK_SUPPORT_H
#define TILL_TESTS_UNIT_LINK_SUPPORT_H

#include "net/link.h"

enum { CHAIN_BLOCKS_MAX = 64, CHAIN_TABLE_RECORDS = 64 };

/* A block as the model of a log knows it. */
struct chain_block {
    uint64_t epoch;
    uint64_t seq_last;
    uint64_t checksum; /* of this block, and so of all before it */
};

struct chain {
    struct chain_block blocks[CHAIN_BLOCKS_MAX];
    uint32_t count;
};

uint64_t chain_seq(const struct chain *chain);
uint64_t chain_epoch(const struct chain *chain);
uint64_t chain_checksum(const struct chain *chain);

/* A block of that epoch with so many changes, and a checksum of its own. */
void chain_add(struct chain *chain, uint64_t epoch, uint32_t changes);

/* A real block that follows the chain's last one, with columns of random bytes, about so many;
 * added to the chain. `image` has WAL_BLOCK_SIZE_MAX bytes; returns the block's size. */
uint32_t chain_add_block(struct chain *chain, uint64_t epoch, uint32_t changes, uint32_t columns,
                         uint8_t *image);

/* Makes the checksum of a block right again after its bytes were changed. */
void block_mend(uint8_t *image);

/* An engine that has decided what the log has. The caller destroys it. */
struct engine *chain_engine(const struct chain *chain);

/* A small engine in which one capacity has another size. */
struct engine *engine_of(enum capacity_number number, uint32_t records);

/* A server with that log. */
struct link_self chain_self(const struct chain *chain, const struct engine *engine);

/* What a server with that self joins with: as follower_next writes it, of today's schema. */
struct replica_join_body join_of(const struct link_self *self);

/* The rows of capacities that a join has; returns their number. */
uint16_t capacities_of(const struct engine *engine, struct capacity_body rows[TABLES_MAX]);

/* The answer to hello, of the server with that self; returns its size. */
uint32_t greeting_of(const struct link_self *self, uint8_t *bytes);

/* A frame of the other server's; outcome 0. */
uint32_t frame_of(uint8_t *bytes, unsigned type, uint32_t request, const void *body, uint32_t size);

/* Does the text contain the part? Else the test fails, and shows both. */
void check_says(const char *text, const char *part);

#define SHOP   ((struct id){.low = 7, .high = 70})
#define MEMBER ((struct id){.low = 8, .high = 80})

#endif
