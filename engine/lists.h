/* Lists of the orders in memory, for whoever looks: by customer, sale, state, SKU and warehouse,
 * the newest first; of what a person must look at; and what sales have sold and refused.
 *
 * They follow from the records, and no decision reads them: they are in no image, no digest and no
 * log. An engine has them from engine_list on (engine/engine.h), which makes them of the records;
 * from there on they follow each change. Without them `lists` is NULL, and the hooks cost a look at
 * it. Private to engine/.
 *
 * A family of lists is one array of links. Node n of it is record n of a table (of pieces: of an
 * order, or behind all orders the record n - orders of the table of pieces), and behind the nodes
 * stand the heads, one for each list, as in a ring:
 *
 *   head -> newest -> ... -> oldest -> head        by `older`, and back by `newer`
 *
 * so a node leaves its list without anybody knowing which one it is in. A node that is in no list
 * is zero; so is the head of a list that never had any.
 *
 *   family        node      of each list                      descends by
 *   customers     order     a customer                        placed_seq
 *   sales         order     a sale                            placed_seq
 *   states        order     a state                           (`entered`, the order's number)
 *   skus          piece     a SKU                             placed_seq
 *   warehouses    piece     a warehouse                       placed_seq, or `moved`
 *   refunds       money     one                               `due`
 *   parked        payment   one                               the seq of its answer
 *
 * An order is in a list once: of pieces with the same SKU, or warehouse, the first one stands for
 * all. In `skus` are the pieces that it was placed with, in `warehouses` those that it has, or had
 * last. What a list descends by is fixed while a node is in it, and is what a cursor holds. */
#ifndef TILL_ENGINE_LISTS_H
#define TILL_ENGINE_LISTS_H

#include "engine/order_parts.h"

struct list_link {
    uint32_t newer;
    uint32_t older;
};

struct list_family {
    struct list_link *links;
    uint32_t nodes; /* 1 to it; then come the heads, of list 0 on */
};

/* Units of a sale's orders in memory, how many these are, and what was refused in it since this
 * engine has lists. */
struct sale_counts {
    int64_t held;
    int64_t sold;
    uint32_t orders[order_state_CANCELLED + 1];
    uint64_t refused[OUTCOME_COUNT];
};

/* Orders that one command may put into another state. */
enum { LISTS_ENTERING_MAX = HOLDS_PER_EXPIRE_MAX + 1 };

struct lists {
    uint8_t *memory;
    uint64_t memory_bytes;
    struct list_family customers;
    struct list_family sales;
    struct list_family states;
    struct list_family skus;
    struct list_family warehouses;
    struct list_family refunds;
    struct list_family parked;
    uint64_t *entered; /* by order: seq at which it came into its state */
    uint64_t *moved;   /* by piece of the table: seq at which its order was moved there; 0: never */
    uint64_t *due;     /* by money: seq at which a refund became due */
    struct sale_counts *counts; /* by sale */
    uint32_t *warehouse_of;     /* by stock */
    uint32_t stocks_known;      /* stocks that are in it */
    uint32_t entering_count;    /* orders in a new state, whose links do not show it yet */
    uint32_t entering[LISTS_ENTERING_MAX];
};

/* Room for the lists of an engine of these capacities; NULL when there is none. */
struct lists *lists_create(const struct engine_options *options);
void lists_destroy(struct lists *lists);
uint64_t lists_bytes(const struct engine_options *options);

/* Fills empty lists from the records; false without memory to sort them. */
bool lists_make(const struct engine *engine, struct lists *lists);

/* The hooks. Each is called only where there are lists, after the change unless it says otherwise.
 */
void lists_decided(struct engine *engine, const struct command *commands, uint32_t count);
void lists_entered(struct engine *engine, uint32_t order, uint8_t from_state);
void lists_pieces_leave(struct engine *engine, uint32_t order); /* before it gets other pieces, */
void lists_pieces_enter(struct engine *engine, uint32_t order); /* and after that */
void lists_refund_changed(struct engine *engine, uint32_t money);
void lists_payment_changed(struct engine *engine, uint32_t payment);

/* Before the order's records are given back. */
void lists_forget(struct engine *engine, uint32_t order);

/* For those who make the lists and those who read them. */

static inline uint32_t list_head(const struct list_family *family, uint32_t list)
{
    return family->nodes + 1 + list;
}

static inline bool list_has(const struct list_family *family, uint32_t node)
{
    return family->links[node].newer != 0;
}

/* The newest node of a list, and the next older one; the list's head behind the last one. */
static inline uint32_t list_newest(const struct list_family *family, uint32_t list)
{
    uint32_t head = list_head(family, list);
    return family->links[head].newer == 0 ? head : family->links[head].older;
}

void list_enter(struct list_family *family, uint32_t list, uint32_t node);
void list_leave(struct list_family *family, uint32_t node);

/* The node of the first of these pieces of an order; the others are in a row behind it. */
static inline uint32_t pieces_node(const struct engine *engine, uint32_t order,
                                   const struct pieces *pieces)
{
    if (pieces->first == &order_at(engine, order)->parts.piece)
        return order;
    return engine->orders.capacity + (uint32_t)(pieces->first - piece_at(engine, 0));
}

static inline const struct piece *node_piece(const struct engine *engine, uint32_t node)
{
    return node <= engine->orders.capacity ? &order_at(engine, node)->parts.piece
                                           : piece_at(engine, node - engine->orders.capacity);
}

/* Knows the warehouses of all stocks there are. */
void lists_know_stocks(const struct engine *engine, struct lists *lists);

/* Does the payment wait for a person? */
static inline bool payment_is_parked(const struct payment *payment)
{
    return payment->outcome == OUTCOME_AMOUNT_MISMATCH && payment->settlement == 0;
}

/* Units that the order was placed with, and counting an order in its sale, once more or (-1) less.
 */
void lists_count(const struct engine *engine, struct lists *lists, uint32_t order, uint8_t state,
                 int times);

/* Puts pieces of an order into the lists of their SKUs, or of their warehouses. */
void lists_enter_skus(const struct engine *engine, struct lists *lists, uint32_t order);
void lists_enter_warehouses(const struct engine *engine, struct lists *lists, uint32_t order);

#endif
