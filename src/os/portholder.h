/*
 * Who listens on a port, for an error message.
 */
#ifndef TK_OS_PORTHOLDER_H
#define TK_OS_PORTHOLDER_H

#include "takhin/base.h"

/* "process 4711 (java)", or nothing where that cannot be found out (another user's process). */
void tk_port_holder(uint16_t port, char *text, size_t room);

#endif
