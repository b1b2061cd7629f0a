/*
 * The worker process: serves clients.  It cannot write the log.
 */
#ifndef TK_WORKER_WORKER_H
#define TK_WORKER_WORKER_H

#include "server/process.h"

/* Runs a worker; its exit code. */
int tk_worker_main(struct tk_cycle *cycle, const struct tk_birth *birth);

#endif
