/*
 * The writer process: the only one that writes the log of a data directory.
 */
#ifndef TK_WRITER_WRITER_H
#define TK_WRITER_WRITER_H

#include "server/process.h"

/* The whole life of the writer of directory birth->index; returns its exit code. */
int tk_writer_main(struct tk_cycle *cycle, const struct tk_birth *birth);

#endif
