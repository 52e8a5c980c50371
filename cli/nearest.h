/* Which of some names a person probably meant who typed another one.
 *
 *   struct nearest nearest = nearest_to(typed, size);
 *   nearest_offer(&nearest, name) for each name; then nearest.name, NULL when none is near */
#ifndef TILL_CLI_NEAREST_H
#define TILL_CLI_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *name; /* the best so far */

    /* Private. */
    const char *typed;
    size_t size;
    size_t distance; /* of the best one; before there is one, a distance that is too far */
};

struct nearest nearest_to(const char *typed, size_t size);

/* Names are compared with underscores as dashes. The first of several equally near ones stays. */
void nearest_offer(struct nearest *nearest, const char *name);

#endif
