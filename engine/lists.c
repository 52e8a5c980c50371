/* Keeping the lists: every change of a record that shows in one goes through a hook here.
 *
 * Orders are put into their lists when a run of commands is decided, not one by one: the loop over
 * orders on known terms knows nothing of lists, and the links of a whole batch, which are touched
 * at random, are fetched together. An order that comes into another state is noted, and linked at
 * the end of its command: hold.expire ends many orders at one seq, in an order that no record
 * tells, so these are linked by their numbers.
 *
 * There is room for all that the tables have room for, so nothing can fail. */
#include "engine/lists.h"

#include <stdlib.h>

#include "engine/order.h"
#include "engine/sale.h"
#include "engine/warehouse.h"

/* The next part of the memory, for so many things of a size; only counted while there is none. */
static void *part(struct lists *lists, uint64_t *used, uint64_t count, uint64_t size)
{
    void *place = lists->memory != NULL ? lists->memory + *used : NULL;
    *used += (count * size + 63) / 64 * 64;
    return place;
}

static void family_place(struct lists *lists, uint64_t *used, struct list_family *family,
                         uint32_t nodes, uint32_t heads)
{
    family->nodes = nodes;
    family->links = part(lists, used, 1ULL + nodes + heads, sizeof *family->links);
}

/* Divides the memory, or tells how much is needed. Records are numbered from 1. */
static uint64_t place(struct lists *lists, const struct engine_options *options)
{
    uint64_t used = 0;
    uint32_t pieces = options->orders + options->pieces;
    family_place(lists, &used, &lists->customers, options->orders, options->customers + 1);
    family_place(lists, &used, &lists->sales, options->orders, options->sales + 1);
    family_place(lists, &used, &lists->states, options->orders, order_state_CANCELLED + 1);
    family_place(lists, &used, &lists->skus, pieces, options->skus + 1);
    family_place(lists, &used, &lists->warehouses, pieces, options->warehouses + 1);
    family_place(lists, &used, &lists->refunds, options->moneys, 1);
    family_place(lists, &used, &lists->parked, options->payments, 1);
    lists->entered = part(lists, &used, 1ULL + options->orders, sizeof *lists->entered);
    lists->moved = part(lists, &used, 1ULL + options->pieces, sizeof *lists->moved);
    lists->due = part(lists, &used, 1ULL + options->moneys, sizeof *lists->due);
    lists->counts = part(lists, &used, 1ULL + options->sales, sizeof *lists->counts);
    lists->warehouse_of = part(lists, &used, 1ULL + options->stocks, sizeof *lists->warehouse_of);
    return used;
}

uint64_t lists_bytes(const struct engine_options *options)
{
    struct lists none = {.memory = NULL};
    return place(&none, options);
}

struct lists *lists_create(const struct engine_options *options)
{
    struct lists *lists = calloc(1, sizeof *lists);
    if (lists == NULL)
        return NULL;
    lists->memory_bytes = place(lists, options);
    lists->memory = memory_map(lists->memory_bytes);
    if (lists->memory == NULL) {
        lists_destroy(lists);
        return NULL;
    }
    place(lists, options);
    return lists;
}

void lists_destroy(struct lists *lists)
{
    if (lists == NULL)
        return;
    if (lists->memory != NULL)
        memory_unmap(lists->memory, lists->memory_bytes);
    free(lists);
}

static inline void enter(struct list_family *family, uint32_t list, uint32_t node)
{
    struct list_link *links = family->links;
    uint32_t head = list_head(family, list);
    if (links[head].newer == 0)
        links[head] = (struct list_link){.newer = head, .older = head};
    uint32_t newest = links[head].older;
    links[node] = (struct list_link){.newer = head, .older = newest};
    links[newest].newer = node;
    links[head].older = node;
}

void list_enter(struct list_family *family, uint32_t list, uint32_t node)
{
    enter(family, list, node);
}

void list_leave(struct list_family *family, uint32_t node)
{
    struct list_link link = family->links[node];
    family->links[link.newer].older = link.older;
    family->links[link.older].newer = link.newer;
    family->links[node] = (struct list_link){0};
}

/* Warehouses have numbers and no records: the first stock that is in one stands for it. Stocks are
 * only ever added. */

void lists_know_stocks(const struct engine *engine, struct lists *lists)
{
    while (lists->stocks_known < engine->stocks.count) {
        uint32_t stock = ++lists->stocks_known;
        lists->warehouse_of[stock] = warehouse_find(engine, stock_at(engine, stock)->warehouse);
    }
}

static uint32_t piece_sku(const struct engine *engine, const struct piece *piece)
{
    return stock_at(engine, piece->stock)->sku;
}

void lists_enter_skus(const struct engine *engine, struct lists *lists, uint32_t order)
{
    struct pieces pieces = order_pieces_placed(engine, order_at(engine, order));
    uint32_t node = pieces_node(engine, order, &pieces);
    for (uint32_t i = 0; i < pieces.count; i++) {
        uint32_t sku = piece_sku(engine, &pieces.first[i]);
        uint32_t before = 0;
        while (before < i && piece_sku(engine, &pieces.first[before]) != sku)
            before++;
        if (before == i)
            list_enter(&lists->skus, sku, node + i);
    }
}

void lists_enter_warehouses(const struct engine *engine, struct lists *lists, uint32_t order)
{
    struct pieces pieces = order_pieces(engine, order_at(engine, order));
    uint32_t node = pieces_node(engine, order, &pieces);
    for (uint32_t i = 0; i < pieces.count; i++) {
        uint32_t first = lists->warehouse_of[pieces.first[i].stock];
        uint32_t before = 0;
        while (before < i && lists->warehouse_of[pieces.first[before].stock] != first)
            before++;
        if (before == i)
            list_enter(&lists->warehouses, first, node + i);
    }
}

static void leave_all(struct list_family *family, uint32_t node, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list_has(family, node + i))
            list_leave(family, node + i);
    }
}

static int64_t order_units(const struct engine *engine, const struct order *order)
{
    struct pieces pieces = order_pieces_placed(engine, order);
    int64_t units = 0;
    for (uint32_t i = 0; i < pieces.count; i++)
        units += pieces.first[i].quantity;
    return units;
}

void lists_count(const struct engine *engine, struct lists *lists, uint32_t index, uint8_t state,
                 int times)
{
    const struct order *order = order_at(engine, index);
    struct sale_counts *counts = &lists->counts[order->sale];
    if (order->sale == 0)
        return;
    counts->orders[state] += (uint32_t)times;
    if (state == order_state_PENDING)
        counts->held += times * order_units(engine, order);
    else if (state <= order_state_DELIVERED)
        counts->sold += times * order_units(engine, order);
}

static void enter_placed(struct engine *engine, struct lists *lists, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    enter(&lists->customers, order->customer, index);
    if (order->sale != 0)
        enter(&lists->sales, order->sale, index);
    lists->entered[index] = order->placed_seq;
    enter(&lists->states, order->state, index);
    lists_count(engine, lists, index, order->state, 1);
    if (order_is_inline(order)) { /* most are: their one piece has their number as its node */
        const struct piece *piece = &order->parts.piece;
        enter(&lists->skus, piece_sku(engine, piece), index);
        enter(&lists->warehouses, lists->warehouse_of[piece->stock], index);
        return;
    }
    lists_enter_skus(engine, lists, index);
    lists_enter_warehouses(engine, lists, index);
}

/* Reads the links of the customers, the only ones that a batch touches at random: first the heads,
 * then the newest orders. As in fetch.c, all are read before one is used. */
static void fetch_customers(const struct engine *engine, const struct lists *lists,
                            const struct command *commands, uint32_t count)
{
    const struct list_link *links = lists->customers.links;
    const struct list_link *heads[BATCH_COMMANDS_MAX];
    uint32_t placed = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (commands[i].number == MESSAGE_order_place && commands[i].accepted)
            heads[placed++] =
                &links[list_head(&lists->customers, order_at(engine, commands[i].order)->customer)];
    }
    for (uint32_t i = 0; i < placed; i++)
        (void)*(const volatile uint32_t *)&heads[i]->older;
    for (uint32_t i = 0; i < placed; i++)
        (void)*(const volatile uint32_t *)&links[heads[i]->older].newer;
}

/* Counts a refusal in its sale, if there is such a sale. */
static void count_refused(const struct engine *engine, struct lists *lists,
                          const struct command *command)
{
    const struct order_place_body *body = command->body;
    uint32_t sale = body->sale != 0 ? sale_find(engine, body->sale) : 0;
    if (sale != 0)
        lists->counts[sale].refused[command->outcome]++;
}

/* Lets the number at `root` sink to where no number below it is larger (Floyd 1964). */
static void heap_sink(uint32_t *numbers, uint32_t root, uint32_t count)
{
    uint32_t number = numbers[root];
    for (uint32_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        child += child + 1 < count && numbers[child + 1] > numbers[child];
        if (numbers[child] <= number)
            break;
        numbers[root] = numbers[child];
        root = child;
    }
    numbers[root] = number;
}

/* Ascending: mostly they are, since holds mostly end in the order in which they were placed. */
static void numbers_sort(uint32_t *numbers, uint32_t count)
{
    uint32_t sorted = 1;
    while (sorted < count && numbers[sorted - 1] <= numbers[sorted])
        sorted++;
    if (sorted >= count)
        return;
    for (uint32_t root = count / 2; root > 0; root--)
        heap_sink(numbers, root - 1, count);
    for (uint32_t last = count - 1; last > 0; last--) {
        uint32_t largest = numbers[0];
        numbers[0] = numbers[last];
        numbers[last] = largest;
        heap_sink(numbers, 0, last);
    }
}

/* Puts those that came into another state with this command into the list of it, the order with the
 * highest number as the newest. */
static void enter_states(struct engine *engine, struct lists *lists)
{
    numbers_sort(lists->entering, lists->entering_count);
    for (uint32_t i = 0; i < lists->entering_count; i++) {
        uint32_t order = lists->entering[i];
        list_leave(&lists->states, order);
        lists->entered[order] = engine->seq;
        list_enter(&lists->states, order_at(engine, order)->state, order);
    }
    lists->entering_count = 0;
}

void lists_decided(struct engine *engine, const struct command *commands, uint32_t count)
{
    struct lists *lists = engine->lists;
    lists_know_stocks(engine, lists);
    if (lists->entering_count > 0)
        enter_states(engine, lists);
    if (count > 1)
        fetch_customers(engine, lists, commands, count);
    for (uint32_t i = 0; i < count; i++) {
        if (commands[i].number != MESSAGE_order_place)
            continue;
        if (commands[i].accepted)
            enter_placed(engine, lists, commands[i].order);
        else if (commands[i].outcome != OUTCOME_REPLAYED)
            count_refused(engine, lists, &commands[i]);
    }
}

void lists_entered(struct engine *engine, uint32_t order, uint8_t from_state)
{
    struct lists *lists = engine->lists;
    lists_count(engine, lists, order, from_state, -1);
    lists_count(engine, lists, order, order_at(engine, order)->state, 1);
    TILL_ASSERT(lists->entering_count < LISTS_ENTERING_MAX);
    lists->entering[lists->entering_count++] = order;
}

void lists_pieces_leave(struct engine *engine, uint32_t order)
{
    struct lists *lists = engine->lists;
    struct pieces pieces = order_pieces(engine, order_at(engine, order));
    uint32_t node = pieces_node(engine, order, &pieces);
    leave_all(&lists->warehouses, node, pieces.count);
    if (node > engine->orders.capacity)
        memset(&lists->moved[node - engine->orders.capacity], 0,
               pieces.count * sizeof lists->moved[0]);
}

void lists_pieces_enter(struct engine *engine, uint32_t order)
{
    struct lists *lists = engine->lists;
    struct pieces pieces = order_pieces(engine, order_at(engine, order));
    uint32_t first = pieces_node(engine, order, &pieces) - engine->orders.capacity;
    for (uint32_t i = 0; i < pieces.count; i++)
        lists->moved[first + i] = engine->seq;
    lists_enter_warehouses(engine, lists, order);
}

/* Lets the record's node be in the one list of its family, or not, as it must. */
static bool follow(struct list_family *family, uint32_t node, bool must_be_in)
{
    bool changes = list_has(family, node) != must_be_in;
    if (changes && must_be_in)
        list_enter(family, 0, node);
    else if (changes)
        list_leave(family, node);
    return changes;
}

void lists_refund_changed(struct engine *engine, uint32_t money)
{
    bool is_due = money_at(engine, money)->refund_due > 0;
    if (follow(&engine->lists->refunds, money, is_due))
        engine->lists->due[money] = is_due ? engine->seq : 0;
}

void lists_payment_changed(struct engine *engine, uint32_t payment)
{
    follow(&engine->lists->parked, payment, payment_is_parked(payment_at(engine, payment)));
}

void lists_forget(struct engine *engine, uint32_t index)
{
    struct lists *lists = engine->lists;
    const struct order *order = order_at(engine, index);
    struct pieces placed = order_pieces_placed(engine, order);
    lists_count(engine, lists, index, order->state, -1);
    list_leave(&lists->customers, index);
    if (order->sale != 0)
        list_leave(&lists->sales, index);
    list_leave(&lists->states, index);
    lists->entered[index] = 0;
    lists_pieces_leave(engine, index);
    leave_all(&lists->skus, pieces_node(engine, index, &placed), placed.count);
}
