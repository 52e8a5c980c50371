/* Making the lists of the records, and comparing those that were kept with what would be made.
 *
 * Each family is made by the key that it descends by, so from the oldest node to the newest: the
 * records are gathered with their keys, sorted, and entered. All keys follow from the records: the
 * seqs at which an order came into its state, was moved and became due for refund are those of its
 * steps. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/lists.h"
#include "engine/memory.h"
#include "engine/order.h"

struct entry {
    uint64_t key;
    uint32_t node; /* of the family, or the order's number */
};

struct making {
    const struct engine *engine;
    struct lists *lists;
    struct entry *entries;
    uint32_t count;
};

static void gather(struct making *making, uint64_t key, uint32_t node)
{
    making->entries[making->count++] = (struct entry){key, node};
}

static int entry_compare(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return left->node < right->node ? -1 : left->node > right->node;
}

/* Mostly they are sorted: records are used one after the other. */
static void sort(struct making *making)
{
    uint32_t sorted = 1;
    while (sorted < making->count &&
           entry_compare(&making->entries[sorted - 1], &making->entries[sorted]) <= 0)
        sorted++;
    if (sorted < making->count)
        qsort(making->entries, making->count, sizeof making->entries[0], entry_compare);
}

/* The oldest of the newest steps that tell the same of the order, as `value` says it: a bool for
 * its money, a state. */
typedef unsigned step_value(uint8_t state, uint8_t money);

static unsigned value_of_state(uint8_t state, uint8_t money)
{
    (void)money;
    return state;
}

static unsigned value_of_due(uint8_t state, uint8_t money)
{
    (void)state;
    return money == money_state_REFUND_DUE;
}

static uint64_t seq_since(const struct engine *engine, const struct order *order, step_value *value)
{
    bool is_born_confirmed = (order->flags & ORDER_BORN_CONFIRMED) != 0;
    uint8_t born = is_born_confirmed ? order_state_CONFIRMED : order_state_PENDING;
    unsigned now = value(order->state, order_money_state(engine, order));
    uint64_t seq = 0;
    for (uint32_t at = order->steps; at != 0; at = step_at(engine, at)->previous) {
        const struct step *step = step_at(engine, at);
        if (value(step->state, step->money) != now)
            return seq;
        seq = step->seq;
    }
    if (order->version >= 2) {
        if (value(order->first_state, order->first_money) != now)
            return seq;
        seq = order->first_seq;
    }
    return value(born, money_state_NONE) == now ? order->placed_seq : seq;
}

static uint64_t moved_seq(const struct engine *engine, const struct order *order)
{
    return order_step_at(engine, order, money_at(engine, order->money)->moved).seq;
}

static void make_placed(struct making *making)
{
    const struct engine *engine = making->engine;
    struct lists *lists = making->lists;
    making->count = 0;
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        if (!table_record_is_free(engine, TABLE_orders, i))
            gather(making, order_at(engine, i)->placed_seq, i);
    }
    sort(making);
    for (uint32_t i = 0; i < making->count; i++) {
        uint32_t index = making->entries[i].node;
        const struct order *order = order_at(engine, index);
        list_enter(&lists->customers, order->customer, index);
        if (order->sale != 0)
            list_enter(&lists->sales, order->sale, index);
        lists_enter_skus(engine, lists, index);
        lists_count(engine, lists, index, order->state, 1);
    }
}

/* The next two gather the orders of the first anew: these are all there are. */

static void make_states(struct making *making)
{
    const struct engine *engine = making->engine;
    for (uint32_t i = 0; i < making->count; i++) {
        struct entry *entry = &making->entries[i];
        entry->key = seq_since(engine, order_at(engine, entry->node), value_of_state);
    }
    sort(making);
    for (uint32_t i = 0; i < making->count; i++) {
        uint32_t index = making->entries[i].node;
        making->lists->entered[index] = making->entries[i].key;
        list_enter(&making->lists->states, order_at(engine, index)->state, index);
    }
}

static void make_warehouses(struct making *making)
{
    const struct engine *engine = making->engine;
    struct lists *lists = making->lists;
    for (uint32_t i = 0; i < making->count; i++) {
        struct entry *entry = &making->entries[i];
        const struct order *order = order_at(engine, entry->node);
        bool is_moved = (order->flags & ORDER_IS_MOVED) != 0;
        entry->key = is_moved ? moved_seq(engine, order) : order->placed_seq;
    }
    sort(making);
    for (uint32_t i = 0; i < making->count; i++) {
        uint32_t index = making->entries[i].node;
        const struct order *order = order_at(engine, index);
        struct pieces pieces = order_pieces(engine, order);
        bool is_moved = (order->flags & ORDER_IS_MOVED) != 0;
        uint32_t node = pieces_node(engine, index, &pieces);
        for (uint32_t p = 0; is_moved && p < pieces.count; p++)
            lists->moved[node - engine->orders.capacity + p] = making->entries[i].key;
        lists_enter_warehouses(engine, lists, index);
    }
}

static void make_attention(struct making *making)
{
    const struct engine *engine = making->engine;
    struct lists *lists = making->lists;
    making->count = 0;
    for (uint32_t i = 1; i <= engine->moneys.count; i++) {
        const struct money *money = money_at(engine, i);
        if (!table_record_is_free(engine, TABLE_moneys, i) && money->refund_due > 0)
            gather(making, seq_since(engine, order_at(engine, money->order), value_of_due), i);
    }
    sort(making);
    for (uint32_t i = 0; i < making->count; i++) {
        lists->due[making->entries[i].node] = making->entries[i].key;
        list_enter(&lists->refunds, 0, making->entries[i].node);
    }
    making->count = 0;
    for (uint32_t i = 1; i <= engine->payments.count; i++) {
        if (!table_record_is_free(engine, TABLE_payments, i) &&
            payment_is_parked(payment_at(engine, i)))
            gather(making, payment_at(engine, i)->reply.parked.seq, i);
    }
    sort(making);
    for (uint32_t i = 0; i < making->count; i++)
        list_enter(&lists->parked, 0, making->entries[i].node);
}

bool lists_make(const struct engine *engine, struct lists *lists)
{
    uint32_t most = engine->orders.count;
    most = most > engine->moneys.count ? most : engine->moneys.count;
    most = most > engine->payments.count ? most : engine->payments.count;
    struct making making = {.engine = engine, .lists = lists};
    making.entries = malloc((most + 1ULL) * sizeof making.entries[0]);
    if (making.entries == NULL)
        return false;
    lists_know_stocks(engine, lists);
    make_placed(&making);
    make_warehouses(&making);
    make_states(&making);
    make_attention(&making);
    free(making.entries);
    return true;
}

bool engine_list(struct engine *engine)
{
    TILL_ASSERT(engine->lists == NULL);
    struct lists *lists = lists_create(&engine->options);
    if (lists == NULL || !lists_make(engine, lists)) {
        lists_destroy(lists);
        return false;
    }
    engine->lists = lists;
    return true;
}

uint64_t engine_lists_bytes(const struct engine_options *options)
{
    return lists_bytes(options);
}

/* The first of so many nodes or heads that is linked otherwise; 0: none. A head that had entries
 * once leads to itself. */
static uint32_t first_difference(const struct list_family *kept, const struct list_family *made,
                                 uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct list_link link = kept->links[i];
        struct list_link other = made->links[i];
        bool is_empty = i > kept->nodes && link.newer == i && other.newer == 0;
        if (!is_empty && (link.newer != other.newer || link.older != other.older))
            return i;
    }
    return 0;
}

static bool keys_are_equal(const uint64_t *kept, const uint64_t *made, uint32_t count)
{
    return memcmp(kept, made, (count + 1ULL) * sizeof kept[0]) == 0;
}

/* What was refused is in no record. */
static bool counts_are_equal(const struct engine *engine, const struct lists *made)
{
    for (uint32_t i = 0; i <= engine->sales.count; i++) {
        const struct sale_counts *a = &engine->lists->counts[i];
        const struct sale_counts *b = &made->counts[i];
        if (a->held != b->held || a->sold != b->sold ||
            memcmp(a->orders, b->orders, sizeof a->orders) != 0)
            return false;
    }
    return true;
}

/* A family with the ranges of its numbers that are in use: of nodes, of those of the table of
 * pieces, and of heads. */
struct compared {
    const char *name;
    const struct list_family *kept;
    const struct list_family *made;
    uint32_t nodes;
    uint32_t pieces;
    uint32_t heads;
};

static uint32_t family_difference(const struct engine *engine, const struct compared *family)
{
    const struct list_family *kept = family->kept;
    uint32_t node = first_difference(kept, family->made, 1, family->nodes);
    if (node == 0)
        node = first_difference(kept, family->made, engine->orders.capacity + 1, family->pieces);
    if (node == 0)
        node = first_difference(kept, family->made, list_head(kept, 0), family->heads);
    return node;
}

static bool compare(const struct engine *engine, const struct lists *made, char *error, size_t size)
{
    const struct lists *kept = engine->lists;
    const uint32_t orders = engine->orders.count;
    const uint32_t pieces = engine->pieces.records.count;
    const struct compared families[] = {
        {"customers", &kept->customers, &made->customers, orders, 0, engine->customers.count + 1},
        {"sales", &kept->sales, &made->sales, orders, 0, engine->sales.count + 1},
        {"states", &kept->states, &made->states, orders, 0, order_state_CANCELLED + 1},
        {"skus", &kept->skus, &made->skus, orders, pieces, engine->skus.count + 1},
        {"warehouses", &kept->warehouses, &made->warehouses, orders, pieces,
         engine->stocks.count + 1},
        {"refunds", &kept->refunds, &made->refunds, engine->moneys.count, 0, 1},
        {"parked", &kept->parked, &made->parked, engine->payments.count, 0, 1},
    };
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        uint32_t node = family_difference(engine, &families[i]);
        if (node == 0)
            continue;
        snprintf(error, size, "the list of %s is not the one of the records at node %u of %u",
                 families[i].name, node, families[i].kept->nodes);
        return false;
    }
    bool is_equal = keys_are_equal(kept->entered, made->entered, engine->orders.count) &&
                    keys_are_equal(kept->moved, made->moved, engine->pieces.records.count) &&
                    keys_are_equal(kept->due, made->due, engine->moneys.count) &&
                    counts_are_equal(engine, made);
    if (!is_equal)
        snprintf(error, size, "the keys or counts of the lists are not those of the records");
    return is_equal;
}

bool engine_check_lists(const struct engine *engine, char *error, size_t error_size)
{
    if (engine->lists == NULL)
        return true;
    struct lists *made = lists_create(&engine->options);
    bool is_right = made != NULL && lists_make(engine, made);
    if (!is_right)
        snprintf(error, error_size, "no memory for a second set of lists");
    is_right = is_right && compare(engine, made, error, error_size);
    lists_destroy(made);
    return is_right;
}
