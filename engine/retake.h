/* What a late payment takes again of an order that has ended. Private to engine/. */
#ifndef TILL_ENGINE_RETAKE_H
#define TILL_ENGINE_RETAKE_H

#include "engine/plan.h"

struct retake {
    struct plan plan;
    struct order_place_body body; /* the order's request, as far as its allocation needs it */
    struct line_body lines[ORDER_LINES_MAX];
    bool is_elsewhere; /* not all of it from the places that the order had */
};

/* Is everything there that an order had which is EXPIRED, FAILED, or PENDING with an ended hold?
 * Fills in how it would be taken. */
bool retake_judge(struct engine *engine, uint32_t order, struct retake *retake);

/* OK, or the CAPACITY rejection of the table that lacks room for it. */
enum outcome retake_check_room(struct engine *engine, uint32_t order, const struct retake *retake);

/* Takes what was planned: the order, which holds nothing, is CONFIRMED. */
void retake_write(struct engine *engine, uint32_t order, const struct retake *retake);

#endif
