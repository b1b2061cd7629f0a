/*
 * Kill points.  Any process; for tests, which arm one place per process.  There is no failure.
 */
#include "base/killpoint.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *tk_killpoint_armed;

static unsigned long visits_left;

void
tk_killpoint_arm(const char *what)
{
	const char *colon = what == NULL ? NULL : strchr(what, ':');

	visits_left = colon == NULL ? 1 : strtoul(colon + 1, NULL, 10);
	tk_killpoint_armed = what;
}

/* Copied, since a process's title is written over its environment. */
static void __attribute__((constructor)) killpoint_from_environment(void)
{
	static char copy[128];
	const char *what = getenv("TAKHIN_KILLPOINT");

	if (what == NULL || strlen(what) >= sizeof(copy))
		return;
	strcpy(copy, what);
	tk_killpoint_arm(copy);
}

void
tk_killpoint_visit(const char *name)
{
	size_t len = strcspn(tk_killpoint_armed, ":");

	if (strlen(name) != len || strncmp(name, tk_killpoint_armed, len) != 0)
		return;
	if (__atomic_sub_fetch(&visits_left, 1, __ATOMIC_RELAXED) == 0)
		(void)kill(getpid(), SIGKILL);
}
