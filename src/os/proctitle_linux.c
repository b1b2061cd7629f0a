/*
 * Process titles on Linux: written over argv and the environment, which lie in one run.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/proctitle.h"

extern char **environ;

static char *title;
static size_t title_room;

void
tk_proctitle_init(int argc, char **argv)
{
	char *end = argc > 0 ? argv[0] + strlen(argv[0]) + 1 : NULL;

	for (int i = 1; i < argc; i++)
		if (argv[i] == end)
			end += strlen(end) + 1;
	for (char **env = environ; env != NULL && *env != NULL; env++) {
		if (*env == end)
			end += strlen(end) + 1;
		*env = strdup(*env);
	}
	title = argc > 0 ? argv[0] : NULL;
	title_room = title == NULL ? 0 : (size_t)(end - title);
}

void
tk_proctitle(const char *fmt, ...)
{
	char text[128];
	va_list args;

	if (title_room < 2)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	memset(title, 0, title_room);
	(void)snprintf(title, title_room, "takhin: %s", text);
}
