/* A CSV file as rows of stock or points.
 *
 *   kind        columns
 *   LOAD_ADD    sku,name,price,currency,warehouse,quantity   the quantity is added to what is there
 *   LOAD_SET    sku,name,price,currency,warehouse,on_hand    on_hand becomes what the file says
 *   LOAD_POINTS customer,points,expires                      a lot of points for the customer
 *
 * The header tells which one it is; columns come in any order, name and expires may be absent. */
#ifndef TILL_CLI_LOAD_FILE_H
#define TILL_CLI_LOAD_FILE_H

#include "base/checksum.h"
#include "cli/csv.h"
#include "cli/load_report.h"
#include "engine/messages.h"

enum load_kind { LOAD_ADD, LOAD_SET, LOAD_POINTS, LOAD_KINDS };

/* One line's values, whichever kind of file it is in. */
struct load_row {
    struct load_place place;
    enum load_kind kind;
    uint64_t sku;
    struct name name;
    int64_t price;
    int64_t units; /* quantity or on_hand */
    uint32_t warehouse;
    uint16_t currency;
    struct id customer;
    int64_t points;
    uint64_t expires;
};

/* A file from the command line. The content of one that can be read only once, such as standard
 * input ("-"), is kept for a second pass. */
struct load_input {
    const char *path;
    uint32_t number;
    char *kept; /* its content; NULL: it can be read again */
    size_t kept_size;
};

void load_input_deinit(struct load_input *input);

/* A file being read. */
struct load_file {
    XXH128_hash_t content;

    /* Private. */
    struct load_input *input;
    struct load_report *report;
    char *bytes;
    size_t size;
    struct csv_reader reader;
    const struct load_column *header[CSV_FIELDS_MAX];
    uint32_t header_count;
    enum load_kind kind;
};

/* Reads the whole file and its header. False after a message; there is nothing to close then. */
bool load_file_open(struct load_file *file, struct load_input *input, struct load_report *report);
void load_file_close(struct load_file *file);

/* The next row that is well-formed; the others are named. False at the end. */
bool load_file_next(struct load_file *file, struct load_row *row);

/* Counts the rows that are left, well-formed or not, without messages. */
uint64_t load_file_skip(struct load_file *file, struct load_place *first);

/* How far it is read. */
size_t load_file_read_bytes(const struct load_file *file);

#endif
