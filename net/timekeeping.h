/* The server's use of its clock: net/timekeeping.c. */
#ifndef TILL_NET_TIMEKEEPING_H
#define TILL_NET_TIMEKEEPING_H

#include <stdbool.h>

#include "base/io.h"

struct server;

/* After the replay. False, with the server's error, when an operator's word is needed. Until
 * timekeeping.is_writing is false again, the server's memory stays. */
bool timekeeping_open(struct server *server);
void timekeeping_close(struct server *server);

/* Reads the clocks: before anything is decided in a turn. */
void timekeeping_turn(struct server *server);

/* A replica becomes the primary: from now on its clock gives the log's time, which goes on where
 * the last change left it. */
void timekeeping_take_over(struct server *server);

/* At the end of a turn: writes the note into the data folder when it is due. */
void timekeeping_note(struct server *server);
void timekeeping_event(struct server *server, const struct io_event *event);

#endif
