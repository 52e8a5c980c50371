/* From received bytes to commands: net/input.c. */
#ifndef TILL_NET_INPUT_H
#define TILL_NET_INPUT_H

#include "base/io.h"

struct server;

/* Takes in an IO_RECEIVED event of a session. */
void input_received(struct server *server, uint32_t number, const struct io_event *event);

/* Once a turn: sessions with input that waited have their turn, as far as there is room. */
void input_handle_waiting(struct server *server);

#endif
