/*
 * The command line.  One table: the letter, what its argument is called, what it does, where it is
 * kept; getopt's string and the help follow from it.  Runs before there is any process but one.
 */
#include "master/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct option_row {
	char letter;
	const char *argument; /* NULL: a switch */
	const char *help;
	size_t offset; /* of a bool or a string in struct tk_options */
};

#define AT(field) offsetof(struct tk_options, field)

static const struct option_row rows[] = {
	{ 'c', "FILE", "read the settings from FILE", AT(source.file) },
	{ 'g', "TEXT", "lay the settings in TEXT over those of the file", AT(source.text) },
	{ 'h', NULL, "show this help", AT(help) },
	{ 'p', "DIR", "serve from DIR: its takhin.conf if there is one, its data and run folders",
	    AT(source.prefix) },
	{ 'q', NULL, "with -t: say nothing unless something is wrong", AT(quiet) },
	{ 's', "ORDER", "tell the running broker to stop, quit, reload or reopen", AT(order) },
	{ 't', NULL, "check the settings", AT(test) },
	{ 'T', NULL, "check the settings and print all of them", AT(print) },
	{ 'v', NULL, "show the version", AT(version) },
	{ 'V', NULL, "show the version and what was built in", AT(version_details) },
};

static void
letters(char *ret_letters)
{
	char *at = ret_letters;

	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		*at++ = rows[i].letter;
		if (rows[i].argument != NULL)
			*at++ = ':';
	}
	*at = '\0';
}

static void *
option_field(struct tk_options *options, const struct option_row *row)
{
	return (char *)options + row->offset;
}

static void
argument_set(char **argument, const char *text)
{
	free(*argument);
	*argument = text == NULL ? NULL : strdup(text);
}

static void
option_set(struct tk_options *options, int letter)
{
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		if (rows[i].letter != letter)
			continue;
		if (rows[i].argument == NULL)
			*(bool *)option_field(options, &rows[i]) = true;
		else
			argument_set(option_field(options, &rows[i]), optarg);
	}
}

void
tk_options_free(struct tk_options *options)
{
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++)
		if (rows[i].argument != NULL)
			argument_set(option_field(options, &rows[i]), NULL);
}

static bool
order_known(const char *order)
{
	static const char *const orders[] = { "stop", "quit", "reload", "reopen" };

	for (size_t i = 0; i < TK_COUNT_OF(orders); i++)
		if (strcmp(order, orders[i]) == 0)
			return true;
	return false;
}

static int
options_read(int argc, char **argv, struct tk_options *options)
{
	char known[2 * TK_COUNT_OF(rows) + 1];
	int letter;

	letters(known);
	while ((letter = getopt(argc, argv, known)) != -1) {
		if (letter == '?') {
			(void)fprintf(stderr, "try \"%s -h\"\n", argv[0]);
			return -EINVAL;
		}
		option_set(options, letter);
	}
	if (optind < argc) {
		(void)fprintf(stderr, "%s: unknown argument \"%s\"\ntry \"%s -h\"\n", argv[0],
		    argv[optind], argv[0]);
		return -EINVAL;
	}
	if (options->order != NULL && !order_known(options->order)) {
		(void)fprintf(stderr,
		    "%s: \"%s\" is not an order: -s takes stop, quit, reload or reopen\n", argv[0],
		    options->order);
		return -EINVAL;
	}
	return 0;
}

int
tk_options_parse(int argc, char **argv, struct tk_options *ret_options)
{
	struct tk_options options = { .order = NULL };
	int rc = options_read(argc, argv, &options);

	if (rc < 0)
		tk_options_free(&options);
	else
		*ret_options = options;
	return rc;
}

void
tk_options_help(void)
{
	(void)printf("usage: takhin [-hqtTvV] [-c FILE] [-g TEXT] [-p DIR] [-s ORDER]\n\n");
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++)
		(void)printf("  -%c %-6s  %s\n", rows[i].letter,
		    rows[i].argument != NULL ? rows[i].argument : "", rows[i].help);
	(void)printf("\nWithout -s, -t, -T, -v, -V and -h the broker starts, in the foreground "
		     "unless the\nsettings say daemon = true.  See takhin(8), takhin.conf(5).\n");
}
