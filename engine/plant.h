/* Faults that are planted on purpose, for the model's tests to find: tests/model/plants builds them
 * with -DTILL_OFFER_PLANT=n, one by one. Everywhere else that is 0, and nothing is left of them.
 * Private to engine/. */
#ifndef TILL_ENGINE_PLANT_H
#define TILL_ENGINE_PLANT_H

#ifndef TILL_OFFER_PLANT
#define TILL_OFFER_PLANT 0
#endif

enum offer_plant {
    PLANT_SKU_UNSEEN = 1, /* offers outlive a change of a SKU's price or currency */
    PLANT_STOCK_UNSEEN,   /* offers outlive a first stock in one more warehouse */
    PLANT_SALE_UNSEEN,    /* offers outlive a change of a sale's window, hold, limits or pools */
    PLANT_PAUSE_UNSEEN,   /* offers outlive the pause of their sale */
    PLANT_CLOSE_UNSEEN,   /* offers outlive the end of their sale */
    PLANT_TIME_UNSEEN,    /* the sale's window is not looked at */
    PLANT_PLACES_UNSEEN,  /* when the first place has too little, no other is looked at */
    PLANT_FLAGS_UNSEEN,   /* offers are made for orders with flags */
    PLANT_POINTS_UNSEEN,  /* offers are made for orders with points */
    PLANT_LIMITS_UNSEEN,  /* offers are made in sales that count what a customer has */
    PLANT_SHORT_UNSEEN,   /* units are given that are not there */
    PLANT_ID_UNSEEN,      /* an order cannot be found by its id again */
    PLANT_ZERO_UNSEEN,    /* an order for the customer zero is taken */
    PLANT_ROOM_UNSEEN,    /* whether there is room for a deadline is not looked at */
    PLANT_DEADLINE_KEPT,  /* an order has the deadline of the first one on its terms */
    PLANT_SHUT_UNSEEN,    /* offers outlive the end of their warehouse's taking orders */
};

/* A constant, so that nothing is compiled otherwise where no fault is planted. */
#define OFFER_PLANT(which) (TILL_OFFER_PLANT == PLANT_##which)

#endif
