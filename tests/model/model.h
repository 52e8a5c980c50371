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
    int64_t unsellable;

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
    int64_t owed; /* taken back when it was not there any more */
};

struct model_lot {
    struct id customer;
    uint64_t expires; /* 0: never */
    uint64_t last;    /* no point of it is valid from then on, whichever lot it is in by then */
    int64_t free;     /* neither held nor spent; worth nothing once expired */
    uint64_t granted; /* seq of the change that made it */
    int order;        /* that earned it, or MODEL_NONE */
};

struct model_entry {
    struct id customer;
    struct entry_body body;
};

/* What an order earns, by the terms of its confirmation. */
struct model_earning {
    uint32_t points;
    uint32_t money;
    uint32_t return_window;
    uint32_t life;
    int64_t earned;
    int64_t promised;
    int64_t granted;
    int64_t taken_back;
    uint64_t ends;
    int lot; /* of those granted */
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
    int64_t waived;
    int64_t refunding;
    int64_t refunded;
    int64_t asked; /* of the total, by refunds of AMOUNT and LINES, or all of it by cancelling */
    int64_t points_back; /* while it is sold */
    int64_t points_refunding;
    int64_t points_due;
    uint32_t refunds_failed;
    uint64_t placed;
    uint64_t hold_ends; /* the deadline; once the order is EXPIRED, when the hold ended */
    uint32_t sale;
    uint32_t version;
    uint32_t parked;
    struct model_earning earning;
    uint64_t moved;   /* seq at which a late payment took it from other places; 0: none did */
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
    int64_t shipped;
    int64_t delivered;
    int64_t returned;
    int64_t refunded; /* by refunds of lines */
};

struct model_parcel {
    int order;
    struct parcel_body body;
};

struct model_refund {
    struct refund_begin_body body;
    int order;
    int64_t amount;
    int64_t points;
    int64_t worth;
    uint64_t begun;
    uint64_t finished;
    uint8_t state;
    size_t request;
    size_t request_size;
    struct refund_begin_reply_body begin_reply;
    struct refund_finish_reply_body finish_reply;
};

struct model_step {
    int order;
    struct step_body body;
};

/* A deadline that was set; it is kept until hold.expire has handled it. */
enum model_deadline_kind { DEADLINE_OF_HOLD, DEADLINE_OF_LOT, DEADLINE_OF_WINDOW };

struct model_deadline {
    enum model_deadline_kind kind;
    int item; /* the order, or the lot */
    uint64_t time;
    uint64_t bucket; /* the quarter-second that it stands in, or if is_aside the 2^36 us */
    bool is_aside;   /* to be set again when the time comes nearer */
};

struct model_payment {
    struct payment_event_body body;
    int order;
    uint64_t time;
    uint8_t settlement;  /* 0: none */
    size_t request;      /* offset of its bytes */
    size_t request_size; /* rows included */
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

struct model_warehouse {
    uint32_t warehouse;
    uint8_t state;
};

struct model_zone {
    uint8_t zone;
    int count;
    struct zone_warehouse_body rows[ZONE_WAREHOUSES_MAX];
};

struct model_epoch {
    struct epoch_begin_body body;
    uint64_t seq;
    uint64_t time;
};

/* An order that was refused in a sale. */
struct model_refusal {
    uint32_t sale;
    uint16_t outcome;
};

#define MODEL_LISTS(LIST)                                                                          \
    LIST(struct model_sku, skus)                                                                   \
    LIST(struct model_stock, stocks)                                                               \
    LIST(struct model_sale, sales)                                                                 \
    LIST(struct model_pool, pools)                                                                 \
    LIST(struct model_customer, customers)                                                         \
    LIST(struct model_lot, lots)                                                                   \
    LIST(struct model_entry, entries)                                                              \
    LIST(struct model_point_take, point_takes)                                                     \
    LIST(struct model_order, orders)                                                               \
    LIST(struct line_body, lines)                                                                  \
    LIST(struct model_piece, pieces)                                                               \
    LIST(struct model_parcel, parcels)                                                             \
    LIST(struct model_refund, refunds)                                                             \
    LIST(struct model_step, steps)                                                                 \
    LIST(struct model_deadline, deadlines)                                                         \
    LIST(struct model_payment, payments)                                                           \
    LIST(struct model_key, keys)                                                                   \
    LIST(struct model_epoch, epochs)                                                               \
    LIST(struct model_warehouse, warehouses)                                                       \
    LIST(struct model_zone, zones)                                                                 \
    LIST(struct model_refusal, refusals)                                                           \
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
    struct points_terms_body terms; /* what orders without a sale earn */
};

/* The time by which keys age. */
static inline uint64_t model_kept(const struct model *model)
{
    return model->now - model->jumped;
}

static inline bool model_key_is_known(const struct model *model, const struct model_key *key)
{
    return model_kept(model) - key->kept < KEY_RETENTION_US;
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
void model_refused(struct model *model, uint64_t now, const struct model_request *request,
                   enum outcome outcome);

/* As engine_holds_due and engine_next_due_us. */
uint64_t model_holds_due(const struct model *model, uint64_t now);
uint64_t model_next_due(const struct model *model);

/* Look-ups; MODEL_NONE when there is no such thing. */
int model_find_sku(const struct model *model, uint64_t sku);
int model_find_stock(const struct model *model, uint64_t sku, uint32_t warehouse);
int model_find_sale(const struct model *model, uint32_t sale);
int model_find_pool(const struct model *model, uint32_t sale, uint64_t sku, uint32_t warehouse);
int model_find_order(const struct model *model, struct id order);
int model_find_zone(const struct model *model, uint8_t zone);

/* Is the warehouse not ONLINE? One that was never put is. */
bool model_is_shut(const struct model *model, uint32_t warehouse);

/* What is promised from a warehouse, after model_sum_stock. */
int64_t model_units_promised(const struct model *model, uint32_t warehouse);
uint64_t model_orders_promised(const struct model *model, uint32_t warehouse);

/* The warehouses of a zone, the cheapest first; returns how many. */
int model_zone_warehouses(const struct model *model, int zone, uint32_t *warehouses);

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
/* So many of the points that an order has taken come back, those first that it took first. */
void model_points_give_back(struct model *model, int order, int64_t points, uint8_t kind);

/* What comes back of an order, in points and money, when so much of its total is asked for. */
int64_t model_points_share(const struct model_order *order, int64_t asked);
int64_t model_money_share(const struct model_order *order, int64_t asked);
void model_points_spend(struct model *model, int order);
bool model_points_sweep_one(struct model *model, struct id customer);
void model_points_sweep(struct model *model, struct id customer);
int64_t model_points_owned(const struct model *model, struct id customer);
void model_lot_add(struct model *model, struct model_lot lot, int64_t points);
void model_lot_use(struct model *model, int lot, int order, uint8_t kind, int64_t points);
void model_entry_add(struct model *model, uint8_t kind, int lot, int order, int64_t balance,
                     int64_t available);
int model_lot_next(const struct model *model, struct id customer);
struct model_customer *model_customer(struct model *model, struct id customer);

/* What orders earn: at the confirmation, when money goes back, when the window ends. */
void model_earning_begin(struct model *model, int order);
void model_earning_change(struct model *model, int order);
void model_earning_delivered(struct model *model, int order);
void model_earning_end(struct model *model, int order);

/* Would `quantities` of `skus` (in line order) break a limit of the sale for this customer? Returns
 * the SKU (0: the sale's limit) and what is left. */
bool model_limit_is_broken(const struct model *model, uint32_t sale, struct id customer, int count,
                           const uint64_t *skus, const int64_t *quantities, uint64_t *sku,
                           int64_t *left);

/* Adds a version and a step to an order. */
void model_add_step(struct model *model, int order);
uint8_t model_money_state(const struct model_order *order);
void model_set_deadline(struct model *model, enum model_deadline_kind kind, int item,
                        uint64_t time);
bool model_order_is_live(const struct model_order *order);
bool model_order_is_sold(const struct model_order *order);
bool model_hold_has_ended(const struct model *model, const struct model_order *order);

/* The order that the request names in this field; MODEL_NONE when there is none, which has been
 * answered. */
int model_named_order(const struct model *model, struct id order, unsigned field,
                      struct model_reply *reply);
/* A hold that has ended ends its order. An order that has ended takes again what it had, if all of
 * it is there; else nothing changes. */
void model_expire(struct model *model, int order);
bool model_take_again(struct model *model, int order);

void model_answer_status(const struct model *model, struct model_reply *reply, int order);

/* The stock's index; it is added, with nothing in it, when there is none. */
int model_stock_comes_to_be(struct model *model, uint64_t sku, uint32_t warehouse);

/* Would so many units more be too many for all stock together? */
bool model_is_too_much(const struct model *model, int64_t more);

typedef void model_handler(struct model *model, const struct model_request *request,
                           struct model_reply *reply);
model_handler model_sku_put, model_stock_adjust, model_stock_set, model_stock_get;
model_handler model_stock_transfer, model_stock_unsellable, model_warehouse_put, model_zone_put;
model_handler model_sale_put, model_sale_open, model_sale_pause, model_sale_close;
model_handler model_points_credit, model_points_balance, model_points_adjust;
model_handler model_points_lots, model_points_ledger, model_points_terms;
model_handler model_order_place, model_payment_event, model_order_cancel;
model_handler model_hold_extend, model_hold_release, model_hold_expire;
model_handler model_order_get, model_order_history;
model_handler model_refund_begin, model_refund_finish, model_refund_get, model_order_money;
model_handler model_payment_settle, model_payment_get;
model_handler model_order_reallocate;
model_handler model_order_ship, model_order_deliver, model_order_return, model_order_parcels;
model_handler model_order_list, model_attention_list, model_sale_get;

/* The orders concerned by a deficit, newest first, as rows of a stock_level reply. */
void model_answer_orders_concerned(const struct model *model, struct model_reply *reply,
                                   uint64_t sku, uint32_t warehouse);

/* Both warehouses of a transfer as they are now, as rows of its reply. */
void model_answer_levels(struct model *model, struct model_reply *reply,
                         const struct stock_transfer_body *body);

#endif
