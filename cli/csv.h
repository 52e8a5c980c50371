/* A reader of comma-separated values (RFC 4180) over bytes in memory: quoted fields with doubled
 * quotes and line ends inside, lines that end in LF or CRLF, a UTF-8 byte order mark at the start,
 * empty lines between records. */
#ifndef TILL_CLI_CSV_H
#define TILL_CLI_CSV_H

#include <stddef.h>
#include <stdint.h>

enum { CSV_FIELDS_MAX = 32 };

struct csv_field {
    char *bytes; /* not terminated */
    size_t size;
};

struct csv_record {
    struct csv_field fields[CSV_FIELDS_MAX];
    uint32_t field_count;
    uint64_t line; /* on which it starts, from 1 */
};

struct csv_reader {
    char *cursor;
    char *end;
    uint64_t line;     /* of the cursor */
    const char *error; /* of the last CSV_MALFORMED */
};

enum csv_read {
    CSV_RECORD,
    CSV_MALFORMED, /* see record->line and reader->error; reading continues at the next line */
    CSV_END,
};

/* The bytes are unquoted in place as they are read, and outlive the records. */
void csv_init(struct csv_reader *reader, char *bytes, size_t size);
enum csv_read csv_next(struct csv_reader *reader, struct csv_record *record);

#endif
