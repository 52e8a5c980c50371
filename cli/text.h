/* Messages as text: a request from `name field=value ...`, and replies as such text or as JSON.
 *
 * Driven by the tables of engine/messages.h alone: a message added there can be typed and is
 * printed at once. A row is a repeated field whose name is that of the count field without
 * `_count`: its first value stands plain, each other one after the separator of its type, as in
 * line=7x2/3@1999. A value whose separator is `:`, or was taken by an earlier value of the row,
 * is written with its name, as in piece=7x2/3@1999:allocated=1. A query's row goes by the name of
 * its first value as well: stock.get sku=7 is stock.get item=7. In JSON the rows are one array,
 * whose name is the plural: `lines`. */
#ifndef TILL_CLI_TEXT_H
#define TILL_CLI_TEXT_H

#include "cli/value.h"

enum { TEXT_ERROR_SIZE = 1024, TEXT_PLURAL_SIZE = 64 };

struct text_request {
    const struct message_info *message;
    uint32_t size; /* of the body, rows included */
    bool has_made_up_key;
    uint64_t body[FRAME_SIZE_MAX / 8]; /* as on the wire */
};

/* Reads one line. Fields that are not named are zero, but for the message's `key`, which becomes
 * `key`. Relative times count from now_us. On failure error says what is wrong with which field,
 * and what is expected. What it accepts passes message_check_request. */
bool text_read(const char *line, size_t size, uint64_t now_us, struct id key,
               struct text_request *request, char error[TEXT_ERROR_SIZE]);

/* What came back for a request. */
struct text_reply {
    const struct message_info *message;
    const void *request; /* the request's body */
    unsigned outcome;
    const void *body; /* 8-byte aligned */
    size_t size;
    uint64_t line;  /* of the input that the request stood on: JSON begins with it; 0: of none */
    bool shows_key; /* the request's key comes last, when it was accepted */
    bool shows_age; /* how old the state is that it shows comes last, */
    uint64_t age_us;
};

/* Writes a reply as one line, without its end. As text, fields that are zero are left out; JSON
 * has all of them. The reply to a request about an order names the order and its state first and
 * its seq last; a rejection has the two numbers of its row in the outcome table, but INVALID its
 * second one only where there is one. False, with nothing written, when the body is not one of that
 * reply. */
bool text_write_reply(FILE *out, enum value_form form, const struct text_reply *reply);

/* Writes the fields of a request's body: each after a space, as they can be typed, or as members of
 * a JSON object, each after a comma. */
void text_write_request(FILE *out, enum value_form form, const struct message_info *message,
                        const void *body);

/* The same of what an answer that was done says beside its seq, where it is another value, or its
 * rows are others, than in the answer `before`; NULL: all of it. */
void text_write_changes(FILE *out, enum value_form form, const struct message_info *message,
                        const void *before, const void *after);

/* What a person may type: all commands in short, or one with every field. */
void text_print_commands(FILE *out);
void text_print_command(FILE *out, const struct message_info *message);

/* What the rows after this shape are called together: `lines`, for a count field `line_count`.
 * Empty when there are none. */
void text_rows_name(const struct shape_info *shape, char plural[TEXT_PLURAL_SIZE]);

/* The key of a request; zero when it has none. */
struct id text_request_key(const struct message_info *message, const void *body);

/* Messages that a person may type. */
bool text_is_command(const struct message_info *message);

#endif
