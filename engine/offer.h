/* Offers: what was decided on the terms of an order, kept for the next order with the same terms.
 * engine/offer.c says when one holds. Private to engine/. */
#ifndef TILL_ENGINE_OFFER_H
#define TILL_ENGINE_OFFER_H

#include "engine/messages.h"
#include "engine/records.h"
#include "engine/terms.h"

struct command;
struct engine;
struct plan;

struct offer {
    struct terms terms;
    uint64_t generation; /* of the terms, that it was made in; 0: no offer */
    uint64_t from_us;    /* the sale's window, and how long it is */
    uint64_t span_us;
    uint64_t hold_us;
    uint64_t fingerprint; /* the terms' part of it: checksum80_rest */
    uint32_t stock;       /* where the units come from, */
    uint32_t pool;        /* 0: from what is available, */
    uint32_t quantity;    /* how many, */
    uint32_t warehouse;   /* whose promise that is, */
    bool is_only;         /* and is this all that the SKU has for these terms? */
    /* The record and the answer, but for what differs from one order to the next. */
    struct order order;
    struct {
        struct order_place_reply_body place;
        struct take_body take;
    } reply;
};

enum { OFFER_REPLY_SIZE = sizeof(struct order_place_reply_body) + sizeof(struct take_body) };

struct offers {
    struct offer rows[TERMS_ROWS];
    struct terms seen[TERMS_ROWS]; /* those that came last */
    bool refuses;                  /* the last order that an offer decided was refused */
};

/* Keeps what was decided on these terms, if it came a second time and the next such order must come
 * to the same. The order is the one just written. */
void offer_keep(struct engine *engine, const struct plan *plan, uint32_t order);

/* Is there an offer for these terms that refuses now? Then no more of the order is looked up than
 * its id, unless stock comes back before it is decided. */
bool offer_refuses(const struct engine *engine, const struct command *command);

/* Decides orders on known terms from the front, up to the first command that is something else or
 * needs another look. Returns how many it decided. */
uint32_t offers_decide(struct engine *engine, struct command *commands, uint32_t count);

#endif
