/*
 * Named places where a test has a process die, as if by kill -9 at that instruction.
 *
 *	TAKHIN_KILLPOINT=after_pwritev:3	dies when it gets there the third time
 *
 * Unset, a place costs a load and a branch.  Any process, any thread.
 */
#ifndef TK_BASE_KILLPOINT_H
#define TK_BASE_KILLPOINT_H

extern const char *tk_killpoint_armed; /* from the environment at start; NULL: none */

/* "name" or "name:times"; kept by reference; NULL disarms. */
void tk_killpoint_arm(const char *what);

/* Counts the visit and dies at the last one asked for. */
void tk_killpoint_visit(const char *name);

static inline void
tk_killpoint(const char *name)
{
	if (__builtin_expect(tk_killpoint_armed != 0, 0))
		tk_killpoint_visit(name);
}

#endif
