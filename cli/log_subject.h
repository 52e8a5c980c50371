/* What `till log` is asked about, an order, a customer or a SKU, and which commands name it. */
#ifndef TILL_CLI_LOG_SUBJECT_H
#define TILL_CLI_LOG_SUBJECT_H

#include <stdbool.h>

#include "engine/messages.h"

enum log_subject_kind { SUBJECT_NONE, SUBJECT_ORDER, SUBJECT_CUSTOMER, SUBJECT_SKU };

struct log_subject {
    enum log_subject_kind kind;
    const char *name;  /* of the fields that name it: "order" */
    const char *typed; /* what was typed for it */
    union {
        struct id id;
        uint64_t sku;
    };

    /* Private: where the requests of each message have such a field, and their rows; -1: nowhere.
     */
    int16_t body_offset[MESSAGE_NUMBER_MAX + 1];
    int16_t row_offset[MESSAGE_NUMBER_MAX + 1];
};

/* Takes in what was typed for --order, --customer and --sku, NULL for what was not. False after a
 * message. */
bool log_subject_read(struct log_subject *subject, const char *order, const char *customer,
                      const char *sku);

/* Where the request of a message has the field that names such a thing; -1: it has none. */
int16_t log_subject_offset(enum log_subject_kind kind, unsigned number);

/* Does the command name it? */
bool log_subject_is_named(const struct log_subject *subject, unsigned number, const void *body);

#endif
