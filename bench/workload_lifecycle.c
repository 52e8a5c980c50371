/* lifecycle: orders that are placed, and then paid, cancelled, or left to expire.
 *
 *   PLACE --80 %--> PAY                    85 % of the orders are paid,
 *         --5 %---> PAY --> CANCEL         some of them given back,
 *         --5 %---> CANCEL
 *         --10 %--> (expires after HOLD_LEFT_S)
 *
 * A visit is one order on this way, with at most one request unanswered. What comes next is asked
 * for as soon as there is room, before any new order. One answer in RETRY_EVERY is taken for lost:
 * the same request goes out again and must be answered REPLAYED, with the same bytes.
 *
 * Everything about an order follows from its number, so a request can be written twice. There are
 * never more visits than requests may be unanswered: a new one begins only when none is ready. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/status.h"
#include "bench/workload_kind.h"

enum { RETRY_EVERY = 20, HOLD_LEFT_S = 1, PROVIDER = 1 };

enum act { ACT_PLACE, ACT_PAY, ACT_CANCEL, ACT_NONE };

struct visit {
    uint64_t digest; /* of the first answer, while it is asked for again */
    uint64_t random; /* what this order is about */
    uint32_t number;
    uint32_t next; /* in the list of ready or of free ones; 0: the last */
    uint8_t act;
    bool again;
    uint8_t version;
};

/* Numbered from 1, as list ends are 0. */
struct visits {
    uint32_t ready_first;
    uint32_t ready_last;
    uint32_t free;
    uint32_t orders;
    struct visit list[];
};

struct visits *visits_create(uint32_t count)
{
    struct visits *visits = calloc(1, sizeof *visits + (count + 1) * sizeof visits->list[0]);
    if (visits == NULL)
        return NULL;
    visits->free = 1;
    for (uint32_t i = 1; i < count; i++)
        visits->list[i].next = i + 1;
    return visits;
}

/* What happens after PLACE and after PAY: both follow from the order's random number. */
static enum act act_after(const struct visit *visit)
{
    uint32_t percent = (uint32_t)((visit->random & UINT32_MAX) * 100 >> 32);
    if (visit->act == ACT_PLACE)
        return percent < 85 ? ACT_PAY : percent < 90 ? ACT_CANCEL : ACT_NONE;
    return visit->act == ACT_PAY && percent < 5 ? ACT_CANCEL : ACT_NONE;
}

static bool visit_is_left(const struct visit *visit)
{
    return visit->act == ACT_PLACE && act_after(visit) == ACT_NONE;
}

static uint32_t visit_sku(const struct workload_share *share, const struct visit *visit)
{
    return sku_draw(share->workload, random_mix(visit->random));
}

static void make_ready(struct visits *visits, uint32_t index)
{
    visits->list[index].next = 0;
    if (visits->ready_first == 0)
        visits->ready_first = index;
    else
        visits->list[visits->ready_last].next = index;
    visits->ready_last = index;
}

static uint32_t take_ready(struct workload_share *share)
{
    struct visits *visits = share->visits;
    uint32_t index = visits->ready_first;
    if (index != 0) {
        visits->ready_first = visits->list[index].next;
        return index;
    }
    index = visits->free;
    TILL_ASSERT(index != 0);
    visits->free = visits->list[index].next;
    visits->list[index] =
        (struct visit){.random = random_next(&share->random), .number = visits->orders++};
    return index;
}

static void write_place(struct workload_share *share, const struct visit *visit,
                        struct frame *frame, struct id order_id)
{
    uint32_t sku = visit_sku(share, visit);
    uint32_t customer =
        (uint32_t)((visit->random >> 32) * share->workload->options.customers >> 32);
    struct order_frame *order = order_begin(share, frame, 1);
    order->place.order = order_id;
    order->place.customer = random_id_of(CUSTOMER_SEED, ID_CUSTOMER, customer);
    order->place.hold = visit_is_left(visit) ? HOLD_LEFT_S : 0;
    order->lines[0] = (struct line_body){
        .sku = share->workload->sku_first + sku, .quantity = 1, .price = price_of(sku)};
}

uint64_t lifecycle_request(struct workload_share *share, struct frame *frame)
{
    uint32_t index = take_ready(share);
    const struct visit *visit = &share->visits->list[index];
    uint64_t seed = share->seed;
    struct id order = random_id_of(seed, ID_ORDER, visit->number);
    void *body = frame + 1;
    uint32_t size = 0;
    switch ((enum act)visit->act) {
    case ACT_PLACE:
        write_place(share, visit, frame, order);
        return index;
    case ACT_PAY:
        size = sizeof(struct payment_event_body);
        frame->type = MESSAGE_payment_event;
        *(struct payment_event_body *)body =
            (struct payment_event_body){.event = random_id_of(seed, ID_EVENT, visit->number),
                                        .order = order,
                                        .amount = price_of(visit_sku(share, visit)),
                                        .provider = PROVIDER,
                                        .status = payment_status_SUCCESS,
                                        .currency = CURRENCY};
        break;
    case ACT_CANCEL:
        size = sizeof(struct order_change_body);
        frame->type = MESSAGE_order_cancel;
        *(struct order_change_body *)body = (struct order_change_body){
            .key = random_id_of(seed, ID_CANCEL, visit->number), .order = order};
        break;
    case ACT_NONE:
        till_unreachable();
    }
    frame->size = (uint32_t)sizeof *frame + size;
    return index;
}

/* The first answer to a visit's request. */
static bool answer_is_right(const struct workload_share *share, const struct visit *visit,
                            const struct frame *frame)
{
    const struct order_status_body *status = (const void *)(frame + 1);
    int64_t price = price_of(visit_sku(share, visit));
    const union place_token placed = {.total = (uint64_t)price & 0xffffff, .lines = 1};
    unsigned number = visit->act == ACT_PAY ? MESSAGE_payment_event : MESSAGE_order_cancel;
    if (visit->act == ACT_PLACE)
        return place_is_right(frame, placed);
    bool paid = visit->act == ACT_PAY, given_back = visit->act == ACT_CANCEL && visit->version == 2;
    return frame->type == (number | FRAME_REPLY) && frame->outcome == OUTCOME_OK &&
           frame->size == sizeof *frame + sizeof *status &&
           status->state == (paid ? order_state_CONFIRMED : order_state_CANCELLED) &&
           status->money == (paid         ? money_state_CAPTURED
                             : given_back ? money_state_REFUND_DUE
                                          : money_state_NONE) &&
           status->version == visit->version + 1u && status->hold_ends == 0 &&
           status->refund_due == (given_back ? price : 0);
}

static void count_units(struct workload_share *share, const struct visit *visit)
{
    if (visit->act == ACT_PLACE && !visit_is_left(visit)) {
        share->units_reserved++;
    } else if (visit->act == ACT_PAY) {
        share->units_reserved--;
        share->units_committed++;
    } else if (visit->act == ACT_CANCEL) {
        *(visit->version == 2 ? &share->units_committed : &share->units_reserved) -= 1;
    }
}

/* Moves the visit to its next act; a finished visit is freed for another order. */
static void visit_go_on(struct visits *visits, uint32_t index)
{
    struct visit *visit = &visits->list[index];
    visit->version++;
    visit->act = (uint8_t)act_after(visit);
    if (visit->act != ACT_NONE) {
        make_ready(visits, index);
        return;
    }
    visit->next = visits->free;
    visits->free = index;
}

enum verdict lifecycle_answer(struct workload_share *share, const struct workload_answer *answer)
{
    const struct frame *frame = answer->frame;
    uint32_t index = (uint32_t)answer->token;
    struct visit *visit = &share->visits->list[index];
    uint64_t digest = checksum64(frame + 1, frame->size - sizeof *frame);
    bool right = seq_grows(share, answer);
    if (visit->again) {
        right = right && frame->outcome == OUTCOME_REPLAYED && digest == visit->digest;
    } else {
        right = right && answer_is_right(share, visit, frame);
        if (right)
            count_units(share, visit);
        if (right && random_below(&share->random, RETRY_EVERY) == 0) {
            visit->again = true;
            visit->digest = digest;
            make_ready(share->visits, index);
            return VERDICT_RIGHT;
        }
    }
    visit->again = false;
    if (right) {
        visit_go_on(share->visits, index);
        return VERDICT_RIGHT;
    }
    /* The order is left as it is. */
    visit->next = share->visits->free;
    share->visits->free = index;
    return verdict_otherwise(share, frame);
}
