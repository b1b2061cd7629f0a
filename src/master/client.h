/*
 * The other end of the control socket: what takhin -s and takhinctl do.
 */
#ifndef TK_MASTER_CLIENT_H
#define TK_MASTER_CLIENT_H

#include <jansson.h>
#include <sys/types.h>

#include "takhin/base.h"

/*
 * Sends a command to the broker whose socket is at path and waits for the answer, at most
 * timeout_ms. 0 or -errno; the answer is the caller's, ret_pid the broker's.
 */
int tk_client_ask(const char *path, const char *command, int64_t timeout_ms, json_t **ret_answer,
    pid_t *ret_pid) TK_MUST_CHECK;

/* Waits until the process is gone; 0 or -ETIMEDOUT. */
int tk_client_wait_gone(pid_t pid, int64_t timeout_ms) TK_MUST_CHECK;

#endif
