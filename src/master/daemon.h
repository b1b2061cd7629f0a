/*
 * Going to the background.
 */
#ifndef TK_MASTER_DAEMON_H
#define TK_MASTER_DAEMON_H

#include "takhin/base.h"

/*
 * Forks.  The parent waits until the child says "+" on the pipe, or is gone, and exits with 0 or 1;
 * the child returns with its end in ret_pipe.  0 or -errno.
 */
int tk_daemon_fork(int *ret_pipe) TK_MUST_CHECK;

/* Gives the terminal up: standard input, output and errors go nowhere from now on. */
void tk_daemon_detach(void);

#endif
