/*
 * The coordinator process: decides what is in the metadata.
 *
 * It appends the journal's transactions through the writer of data directory 0 and has the writers
 * apply them; it writes no file itself.
 */
#ifndef TK_COORDINATOR_COORDINATOR_H
#define TK_COORDINATOR_COORDINATOR_H

#include "server/cycle.h"
#include "server/process.h"

/* Runs in the new child until it is told to stop; its exit code. */
int tk_coordinator_main(struct tk_cycle *cycle, const struct tk_birth *birth);

#endif
