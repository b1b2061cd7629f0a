/*
 * The cleaner process.
 */
#ifndef TK_CLEANER_CLEANER_H
#define TK_CLEANER_CLEANER_H

#include "server/process.h"

/* The cleaner's main, in the new process; the exit code. */
int tk_cleaner_main(struct tk_cycle *cycle, const struct tk_birth *birth);

#endif
