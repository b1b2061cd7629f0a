/*
 * The command line of takhin.
 */
#ifndef TK_MASTER_OPTIONS_H
#define TK_MASTER_OPTIONS_H

#include "base/settings.h"

struct tk_options {
	struct tk_settings_source source; /* -c, -p, -g */
	const char *order;                /* -s */
	bool test;                        /* -t */
	bool print;                       /* -T */
	bool version;                     /* -v */
	bool version_details;             /* -V */
	bool help;                        /* -h */
	bool quiet;                       /* -q */
};

/*
 * Reads the command line, copying what it needs of it (the process title goes over it); 0, or
 * -EINVAL after telling stderr what is wrong with it.
 */
int tk_options_parse(int argc, char **argv, struct tk_options *ret_options) TK_MUST_CHECK;

void tk_options_free(struct tk_options *options);

/* What -h prints. */
void tk_options_help(void);

#endif
