/*
 * The control socket's commands and their answers: what control.c, commands.c and status.c share.
 */
#ifndef TK_MASTER_CONTROL_H
#define TK_MASTER_CONTROL_H

#include <jansson.h>

#include "master/master.h"

/* Runs a command.  The answer, or NULL if it comes later (tk_master_control_reloaded). */
json_t *tk_master_command_run(struct tk_master *master, const json_t *request);

/* {"ok":false,"error":text} */
json_t *tk_master_refusal(const char *text);

/* The answer to status. */
json_t *tk_master_status(struct tk_master *master);

#endif
