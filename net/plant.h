/* Faults that are planted on purpose, for the simulation to find: tests/sim/plants builds its
 * programs with -DTILL_PLANT=n, one by one. Everywhere else TILL_PLANT is 0 and plant() is false,
 * so that nothing is left of it. */
#ifndef TILL_NET_PLANT_H
#define TILL_NET_PLANT_H

#include <stdbool.h>

#ifndef TILL_PLANT
#define TILL_PLANT 0
#endif

enum plant {
    PLANT_ACK_EARLY = 1,     /* a replica acknowledges what it has applied, durable or not */
    PLANT_EPOCH_UNCHECKED,   /* a replica goes on with a primary whose epoch it has sealed over */
    PLANT_TAIL_KEPT,         /* what a fork should cut stays in the log */
    PLANT_COUNTED_TWICE,     /* an acknowledgement counts for two replicas */
    PLANT_SHOWN_EARLY,       /* replies are released before their block is durable */
    PLANT_ANSWERED_EARLY,    /* replies are released before K replicas have acknowledged it */
    PLANT_PROMOTED_UNSEALED, /* a seal is told of, but neither kept nor obeyed */
    PLANT_TAIL_DROPPED,      /* what a fork cuts off is not set aside */
};

static inline bool plant(enum plant which)
{
    return TILL_PLANT == (int)which;
}

#endif
