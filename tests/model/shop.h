/* A shop of random requests, taken as an image that may be changed: for tests of states that no
 * sequence of requests can reach. */
#ifndef TILL_TESTS_MODEL_SHOP_H
#define TILL_TESTS_MODEL_SHOP_H

#include "tests/model/generate.h"
#include "tests/model/imager.h"

struct shop {
    struct sequence sequence;
    struct imager imager;
    struct engine *engine; /* empty: the image is loaded into it, after engine_clear */
};

/* The image shows the state before the last `later` of the requests. */
void shop_init(struct shop *shop, const struct profile *profile, int requests, int later);
void shop_deinit(struct shop *shop);

/* Decides the requests from first up to, but not including, last. */
void shop_decide(const struct shop *shop, struct engine *engine, int first, int last);

#endif
