/* The model: a second implementation of docs/rules.md, as plain as possible.
 *
 * It gets the same requests and times as the engine and returns the outcome, whether the request
 * was accepted, and the reply's bytes. It has lists of plain structs and searches them linearly;
 * promised stock, what a pool has left and what a customer has bought are never stored but summed
 * up from the orders each time they are needed. It shares nothing with the engine but the message
 * tables. The only rules that it does not have are the capacities. */
#ifndef TILL_TESTS_MODEL_MODEL_H
#define TILL_TESTS_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/status.h"
#include "engine/messages.h"

enum { MODEL_NONE = -1, MODEL_WAREHOUSES_MAX = 64 };

/* 128 bits wide, so that no product or sum below can overflow. */
__extension__ typedef __int128 wide;

struct model_sku {
    uint64_t sku;
    int64_t price;
    struct name name;
    uint16_t currency;
};

struct model_stock {
    uint64_t sku;
    uint32_t warehouse;
    int64_t on_hand;

    /* Summed up by model_sum_stock. */
    int64_t available;
    int64_t pooled;
    int64_t reserved;
    int64_t committed;
};

struct model_sale {
    struct sale_put_body terms; /* hold and hold_max with their defaults put in */
    uint8_t state;
};

struct model_pool {
    uint32_t sale;
    int stock; /* index of its (SKU, warehouse) */
    int64_t size;

    /* Summed up by model_sum_stock. */
    int64_t used;
    int64_t left; /* 0 once the sale is closed */
};

struct model_customer {
    struct id customer;
};

struct model_lot {
    struct id customer;
    uint64_t expires; /* 0: never */
    uint64_t last;    /* no point of it is valid from then on, whichever lot it is in by then */
    int64_t free;     /* neither held nor spent; worth nothing once expired */
};

/* Points of a lot that an order holds or has spent; 0 once they have come back. */
struct model_point_take {
    int order;
    int lot;
    int64_t points;
};

struct model_order {
    struct id order;
    struct id customer;
    int64_t total;
    int64_t points_used;
    int64_t points_value;
    int64_t money_due;
    int64_t captured;
    int64_t refund_due;
    uint64_t placed;
    uint64_t hold_ends; /* the deadline; once the order is EXPIRED, when the hold ended */
    uint32_t sale;
    uint32_t version;
    uint32_t parked;
    uint64_t changed;     /* time and seq of the last step, */
    uint64_t changed_seq; /* and the place among those of one seq */
    uint64_t rank;
    int slot;         /* where it is kept; used again when it is forgotten */
    bool is_gone;     /* forgotten */
    bool awaits_word; /* placed as PAID, and no event has confirmed that payment yet */
    int line_first;
    int line_count;
    int piece_first;
    int piece_count;
    size_t request; /* offset of the request's bytes */
    size_t request_size;
    size_t reply; /* offset of the first reply's bytes */
    size_t reply_size;
    uint16_t currency;
    uint8_t state;
};

struct model_piece {
    int order;
    int line; /* 0 is the order's first */
    int stock;
    int pool; /* the pool it was taken from, or MODEL_NONE */
    int64_t quantity;
};

struct model_step {
    int order;
    struct step_body body;
};

/* A deadline that was set; it is kept until hold.expire has handled it. */
struct model_deadline {
    int slot; /* of the order: it ends whichever has it then */
    uint64_t time;
};

struct model_payment {
    struct payment_event_body body;
    size_t reply;
    size_t reply_size;
    uint16_t outcome;
};

struct model_key {
    struct id key;
    uint64_t kept; /* model_kept when it came */
    size_t request;
    size_t request_size;
    size_t reply;
    size_t reply_size;
    uint16_t number;
};

struct model_epoch {
    struct epoch_begin_body body;
    uint64_t seq;
    uint64_t time;
};

#define MODEL_LISTS(LIST)                                                                          \
    LIST(struct model_sku, skus)                                                                   \
    LIST(struct model_stock, stocks)                                                               \
    LIST(struct model_sale, sales)                                                                 \
    LIST(struct model_pool, pools)                                                                 \
    LIST(struct model_customer, customers)                                                         \
    LIST(struct model_lot, lots)                                                                   \
    LIST(struct model_point_take, point_takes)                                                     \
    LIST(struct model_order, orders)                                                               \
    LIST(struct line_body, lines)                                                                  \
    LIST(struct model_piece, pieces)                                                               \
    LIST(struct model_step, steps)                                                                 \
    LIST(struct model_deadline, deadlines)                                                         \
    LIST(struct model_payment, payments)                                                           \
    LIST(struct model_key, keys)                                                                   \
    LIST(struct model_epoch, epochs)                                                               \
    LIST(int, free_slots)                                                                          \
    LIST(uint8_t, bytes)

/* A list: items, how many there are, and how many fit before it must grow. */
#define MODEL_LIST_MEMBER(type, name)                                                              \
    struct {                                                                                       \
        type *items;                                                                               \
        int count;                                                                                 \
        int room;                                                                                  \
    } name;

struct model {
    MODEL_LISTS(MODEL_LIST_MEMBER)
    uint64_t seq;
    uint64_t now;
    uint64_t changed; /* time of the last accepted command */
    uint64_t jumped;  /* sum of the jumps: the part of time_us that nothing has shown to pass */
    uint64_t rejected;
    uint64_t forgotten;
    uint64_t ranks; /* given since the first order was forgotten */
    int slot_count;
    int slot_left; /* of an order that is gone, some of whose records are there for a while */
    int steps_left;
    int payments_left;
    struct retention_put_body retention;
};

/* The time by which keys age. */
static inline uint64_t model_kept(const struct model *model)
{
    return model->now - model->jumped;
}

static inline bool model_key_is_known(const struct model *model, const struct model_key *key)
{
    uint64_t kept = model->retention.keys != 0 ? model->retention.keys : KEY_RETENTION_US;
    return model_kept(model) - key->kept < kept;
}

void *model_list_grown(void *items, int *room, int count, size_t item_size);

/* Adds an item at the end of a list; pointers into the list become invalid. */
#define MODEL_ADD(list)                                                                            \
    ((list)->items =                                                                               \
         model_list_grown((list)->items, &(list)->room, (list)->count, sizeof *(list)->items),     \
     &(list)->items[(list)->count++])

struct model_request {
    const void *body; /* passed message_check_request */
    uint32_t size;
    uint16_t number;
};

struct model_reply {
    uint64_t words[FRAME_SIZE_MAX / 8];
    uint32_t size;
    uint16_t outcome;
    bool accepted;
};

struct model *model_create(void);
struct model *model_copy(const struct model *model);
void model_destroy(struct model *model);

/* Decides one request at a time that, as with the engine, never goes back. */
void model_decide(struct model *model, uint64_t now, const struct model_request *request,
                  struct model_reply *reply);

/* Records that the engine refused a request because a table is full, which the model cannot
 * know. */
void model_refused(struct model *model, uint64_t now);

/* As engine_holds_due and engine_next_due_us. */
uint64_t model_holds_due(const struct model *model, uint64_t now);
uint64_t model_next_due(const struct model *model);

/* As engine_next_forget_us. */
uint64_t model_next_forget(const struct model *model);

/* Look-ups; MODEL_NONE when there is no such thing. */
int model_find_sku(const struct model *model, uint64_t sku);
int model_find_stock(const struct model *model, uint64_t sku, uint32_t warehouse);
int model_find_sale(const struct model *model, uint32_t sale);
int model_find_pool(const struct model *model, uint32_t sale, uint64_t sku, uint32_t warehouse);
int model_find_order(const struct model *model, struct id order);

/* For the parts of the model.
 *
 * A handler either calls model_reject and returns, having changed nothing, or calls model_accept
 * and then makes its changes; queries do neither. model_answer begins the reply, whose seq is
 * filled in, and model_answer_row adds a row to it. */
void model_reject(const struct model *model, struct model_reply *reply, enum outcome outcome,
                  uint64_t subject, int64_t value);
void model_accept(struct model *model, struct model_reply *reply);
void *model_answer(const struct model *model, struct model_reply *reply, size_t size);
void *model_answer_row(struct model_reply *reply, size_t size);

/* Keeps bytes for later; returns where. */
size_t model_keep(struct model *model, const void *bytes, size_t size);

/* Sums up every stock and pool from the orders. */
void model_sum_stock(struct model *model);

/* What a sale (0: none) could take from (sku, warehouse), after model_sum_stock. */
int64_t model_could_give(const struct model *model, uint32_t sale, uint64_t sku,
                         uint32_t warehouse);

/* Takes an order's units again, from wherever its own allocation finds them now, if all are
 * available; call after model_sum_stock. */
bool model_allocate_again(struct model *model, int order);

void model_customer_comes_to_be(struct model *model, struct id customer);
int64_t model_points_available(const struct model *model, struct id customer);
void model_points_take(struct model *model, int order, int64_t points);
void model_points_give_back(struct model *model, int order);

/* Would `quantities` of `skus` (in line order) break a limit of the sale for this customer? Returns
 * the SKU (0: the sale's limit) and what is left. */
bool model_limit_is_broken(const struct model *model, uint32_t sale, struct id customer, int count,
                           const uint64_t *skus, const int64_t *quantities, uint64_t *sku,
                           int64_t *left);

/* Adds a version and a step to an order. */
void model_add_step(struct model *model, int order);
uint8_t model_money_state(const struct model_order *order);
void model_set_deadline(struct model *model, int order, uint64_t time);
bool model_order_is_live(const struct model_order *order);
bool model_order_is_closed(const struct model_order *order);

typedef void model_handler(struct model *model, const struct model_request *request,
                           struct model_reply *reply);
model_handler model_sku_put, model_stock_adjust, model_stock_set, model_stock_get;
model_handler model_sale_put, model_sale_open, model_sale_pause, model_sale_close;
model_handler model_points_credit, model_points_balance;
model_handler model_order_place, model_payment_event, model_order_cancel;
model_handler model_hold_extend, model_hold_release, model_hold_expire;
model_handler model_order_get, model_order_history;
model_handler model_memory_forget, model_retention_put;

/* The orders concerned by a deficit, newest first, as rows of a stock_level reply. */
void model_answer_orders_concerned(const struct model *model, struct model_reply *reply,
                                   uint64_t sku, uint32_t warehouse);

#endif
