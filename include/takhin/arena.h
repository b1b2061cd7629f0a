/*
 * A bump arena: what is allocated in it lives until all of it is freed.
 *
 * Lifetimes have names (cycle, connection, request); each has an arena.  Memory comes in blocks of
 * a few KiB; what is larger than a block gets one of its own.  An arena has a limit, past which
 * allocation fails like any other (NULL): it bounds what a peer can make us hold.  One thread at a
 * time.
 */
#ifndef TAKHIN_ARENA_H
#define TAKHIN_ARENA_H

#include "takhin/base.h"

struct tk_arena_block;

struct tk_arena {
	struct tk_arena_block *blocks; /* newest first */
	uint8_t *at, *end;             /* what is free of the newest small block */
	size_t held_bytes;             /* taken from malloc so far */
	size_t limit_bytes;            /* held_bytes never passes it */
};

/* Sets up an empty arena; no memory is taken before the first allocation. */
void tk_arena_init(struct tk_arena *arena, size_t limit_bytes);

/* Frees everything in it; the arena is empty and usable after. */
void tk_arena_reset(struct tk_arena *arena);

/* size_bytes of uninitialised memory aligned to 16, or NULL past the limit or out of memory. */
void *tk_arena_alloc(struct tk_arena *arena, size_t size_bytes) TK_MUST_CHECK;

/* The same, zeroed; NULL as well where count * size_bytes overflows. */
void *tk_arena_calloc(struct tk_arena *arena, size_t count, size_t size_bytes) TK_MUST_CHECK;

/* A copy of len bytes with a NUL behind it. */
char *tk_arena_strndup(struct tk_arena *arena, const void *data, size_t len) TK_MUST_CHECK;

/* A formatted, terminated string. */
char *tk_arena_printf(struct tk_arena *arena, const char *fmt, ...) TK_PRINTF(2, 3) TK_MUST_CHECK;

#endif
