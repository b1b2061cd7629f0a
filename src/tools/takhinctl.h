/*
 * What the files of takhinctl share.
 */
#ifndef TK_TOOLS_TAKHINCTL_H
#define TK_TOOLS_TAKHINCTL_H

#include <jansson.h>
#include <stdio.h>

/* Prints the answer to status as tables. */
void takhinctl_print_status(const json_t *answer, FILE *out);

#endif
