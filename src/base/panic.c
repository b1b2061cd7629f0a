/*
 * The end of a process that found a bug of ours.  Any process; async-signal-safe enough to be
 * called from anywhere: formats into a local buffer, writes, aborts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "takhin/base.h"

char *tk_panic_page;
size_t tk_panic_page_size;

void
tk_panic(const char *file, int line, const char *expr)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "assertion failed: %s (%s:%d)\n", expr, file, line);

	if (n > 0 && tk_panic_page_size > 0) {
		size_t len = TK_MIN((size_t)n, tk_panic_page_size - 1);

		memcpy(tk_panic_page, text, len);
		tk_panic_page[len] = '\0';
	}
	if (n > 0)
		(void)!write(STDERR_FILENO, text, TK_MIN((size_t)n, sizeof(text) - 1));
	abort();
}
