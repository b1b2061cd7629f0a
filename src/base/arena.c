/*
 * Bump arenas.  Any process; an arena belongs to one thread.  On failure NULL, nothing changed.
 */
#include "takhin/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4096u
#define ALIGN_BYTES ((size_t)16)

struct tk_arena_block {
	struct tk_arena_block *next;
	size_t size_bytes;
};

_Static_assert(sizeof(struct tk_arena_block) % ALIGN_BYTES == 0, "payload stays aligned");

void
tk_arena_init(struct tk_arena *arena, size_t limit_bytes)
{
	*arena = (struct tk_arena){ .limit_bytes = limit_bytes };
}

void
tk_arena_reset(struct tk_arena *arena)
{
	struct tk_arena_block *block = arena->blocks;

	while (block != NULL) {
		struct tk_arena_block *next = block->next;

		free(block);
		block = next;
	}
	tk_arena_init(arena, arena->limit_bytes);
}

static struct tk_arena_block *
arena_block_new(struct tk_arena *arena, size_t total_bytes)
{
	struct tk_arena_block *block;

	if (total_bytes > arena->limit_bytes - arena->held_bytes)
		return NULL;
	block = malloc(total_bytes);
	if (block == NULL)
		return NULL;
	block->size_bytes = total_bytes;
	block->next = arena->blocks;
	arena->blocks = block;
	arena->held_bytes += total_bytes;
	return block;
}

void *
tk_arena_alloc(struct tk_arena *arena, size_t size_bytes)
{
	struct tk_arena_block *block;
	uint8_t *result;

	if (size_bytes > SIZE_MAX / 2)
		return NULL;
	size_bytes = TK_ALIGN_UP(TK_MAX(size_bytes, (size_t)1), ALIGN_BYTES);
	if (size_bytes <= (size_t)(arena->end - arena->at)) {
		result = arena->at;
		arena->at += size_bytes;
		return result;
	}
	if (size_bytes > BLOCK_BYTES / 4) {
		block = arena_block_new(arena, sizeof(*block) + size_bytes);
		return block == NULL ? NULL : block + 1;
	}
	block = arena_block_new(arena, BLOCK_BYTES);
	if (block == NULL)
		return NULL;
	result = (uint8_t *)(block + 1);
	arena->at = result + size_bytes;
	arena->end = (uint8_t *)block + BLOCK_BYTES;
	return result;
}

void *
tk_arena_calloc(struct tk_arena *arena, size_t count, size_t size_bytes)
{
	size_t total_bytes;
	void *result;

	if (__builtin_mul_overflow(count, size_bytes, &total_bytes))
		return NULL;
	result = tk_arena_alloc(arena, total_bytes);
	if (result != NULL)
		memset(result, 0, total_bytes);
	return result;
}

char *
tk_arena_strndup(struct tk_arena *arena, const void *data, size_t len)
{
	char *result = len < SIZE_MAX ? tk_arena_alloc(arena, len + 1) : NULL;

	if (result == NULL)
		return NULL;
	if (len > 0)
		memcpy(result, data, len);
	result[len] = '\0';
	return result;
}

char *
tk_arena_printf(struct tk_arena *arena, const char *fmt, ...)
{
	va_list args;
	char *result;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		return NULL;
	result = tk_arena_alloc(arena, (size_t)len + 1);
	if (result == NULL)
		return NULL;
	va_start(args, fmt);
	(void)vsnprintf(result, (size_t)len + 1, fmt, args);
	va_end(args);
	return result;
}
