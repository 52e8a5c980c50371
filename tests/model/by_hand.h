/* Cases worked out by hand from docs/rules.md: requests that are decided by the model, whose
 * figures are checked against those written in the case, and then played on the engine, which must
 * decide the same. So the model is checked against the rules, and the engine against the model. */
#ifndef TILL_TESTS_MODEL_BY_HAND_H
#define TILL_TESTS_MODEL_BY_HAND_H

#include "tests/model/play.h"
#include "tests/test.h"

enum { EURO = 978, DOLLAR = 840, SECOND = US_PER_SECOND, START = 1000000000 };

extern struct model *model;
extern struct model_reply reply; /* the last one */
extern uint64_t now;
extern uint64_t keys; /* the last one that was used */

/* A case begins with script_start; at script_end the engine plays it. */
void script_start(void);
void script_end(void);

/* Each request returns its outcome. */
uint16_t ask(uint16_t number, const void *body, size_t size);

static inline struct id id(uint64_t low)
{
    return (struct id){.low = low};
}

void put_sku(uint64_t sku, int64_t price);
void add_stock(uint64_t sku, uint32_t warehouse, int64_t delta);

/* A sale that is open; terms need no key. */
void open_sale(struct sale_put_body terms);
uint16_t credit(uint64_t customer, int64_t points, uint64_t expires);

struct placing {
    struct order_place_body fixed;
    struct line_body lines[3];
};

uint16_t place(struct placing placing);
const struct order_place_reply_body *placed(void);
const struct take_body *take(int index);

/* Shipping and delivering: rows, or all that may be. */
struct moving {
    struct order_ship_body fixed;
    struct units_body rows[3];
};

uint16_t move(uint16_t number, struct moving moving);
uint16_t ship_all(uint64_t order);
uint16_t deliver_all(uint64_t order);

const struct order_status_body *status(void);
const struct order_money_reply_body *money(uint64_t order);
void check_rejection(uint64_t subject, int64_t value);
uint16_t pay(uint64_t event, uint64_t order, int64_t amount, uint8_t outcome);
uint16_t pay_in(uint16_t currency, uint64_t event, uint64_t order, int64_t amount);
uint16_t change(uint16_t number, uint64_t order);
uint16_t expire_holds(void);
const struct points_balance_reply_body *balance(uint64_t customer);

#endif
