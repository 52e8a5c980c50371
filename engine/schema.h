/* The schema: the number of the state of all tables of engine/tables.
 *
 * Each field, record, table and message says since which schema it is there. What a file of an
 * older schema does not have is zero. So whoever adds a row raises SCHEMA by one, once a release,
 * and gives the row that number. */
#ifndef TILL_ENGINE_SCHEMA_H
#define TILL_ENGINE_SCHEMA_H

enum { SCHEMA_FIRST = 1, SCHEMA = 1 };

#endif
