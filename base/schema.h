/* The schema: the number of the state of all rows in engine/tables, which every file carries.
 *
 * Each field, record, table and message says since which schema it is there. What a file or a
 * request of an older schema does not have is zero; a file of a newer schema is refused. Whoever
 * adds a row gives it the number of the release to come and raises SCHEMA to it, once a release;
 * `make schema-check` compares the rows with the recorded schemas (tests/schema). */
#ifndef TILL_BASE_SCHEMA_H
#define TILL_BASE_SCHEMA_H

enum { SCHEMA_FIRST = 1, SCHEMA = 3 };

/* Why a file of a newer schema is refused; takes its schema and SCHEMA. */
#define SCHEMA_NEWER_TEXT                                                                          \
    "written by a newer till: schema %u, this one knows %d. Use the till that wrote it, or a "     \
    "newer one"

#endif
