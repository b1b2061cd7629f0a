/*
 * What ps shows of a process: "takhin: worker process 0".
 */
#ifndef TK_OS_PROCTITLE_H
#define TK_OS_PROCTITLE_H

#include "takhin/base.h"

/* In main, first: remembers argv's and the environment's room and moves the environment away. */
void tk_proctitle_init(int argc, char **argv);

/* Sets the title to "takhin: " and the text. */
void tk_proctitle(const char *fmt, ...) TK_PRINTF(1, 2);

#endif
