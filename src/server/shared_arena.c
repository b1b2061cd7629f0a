/*
 * The shared arena's allocator.  Runs in workers.  First fit over a table of 1 MiB blocks: there
 * are a few hundred, and extents are rare.  Nothing of its bookkeeping lies in the shared memory.
 */
#include "server/shared_arena.h"

#include <stdlib.h>

#include "os/shm.h"

#define BLOCK_BYTES ((size_t)1 << 20)
#define CLASS_SHIFT 12u /* the smallest class is 4 KiB */
#define CLASS_COUNT 9u  /* 4 KiB .. 1 MiB */

enum block_kind { BLOCK_FREE, BLOCK_CLASS, BLOCK_EXTENT };

struct block {
	enum block_kind kind;
	uint8_t class;
	bool dirty;         /* has held something since its pages were given back */
	bool idle;          /* was free at the last trim */
	uint16_t used;      /* pieces in use, of a class */
	uint16_t run;       /* blocks of the extent that begins here */
	uint64_t pieces[4]; /* bit set: piece in use (256 of 4 KiB) */
};

struct tk_shared_arena {
	uint8_t *base;
	size_t block_count;
	int fd;
	size_t used_bytes;
	size_t hint[CLASS_COUNT]; /* a block of the class that may have room */
	void (*on_free)(void *arg);
	void *on_free_arg;
	struct block blocks[];
};

int
tk_shared_arena_new(uint8_t *base, size_t size_bytes, int fd, struct tk_shared_arena **ret_arena)
{
	size_t count = size_bytes / BLOCK_BYTES;
	struct tk_shared_arena *arena;

	arena = calloc(1, sizeof(*arena) + count * sizeof(struct block));
	if (arena == NULL)
		return -ENOMEM;
	arena->base = base;
	arena->block_count = count;
	arena->fd = fd;
	*ret_arena = arena;
	return 0;
}

void
tk_shared_arena_free(struct tk_shared_arena **arena)
{
	free(*arena);
	*arena = NULL;
}

void
tk_shared_arena_on_free(struct tk_shared_arena *arena, void (*call)(void *arg), void *arg)
{
	arena->on_free = call;
	arena->on_free_arg = arg;
}

size_t
tk_shared_arena_largest(const struct tk_shared_arena *arena)
{
	return TK_MIN(arena->block_count, (size_t)UINT16_MAX) * BLOCK_BYTES;
}

size_t
tk_shared_arena_used(const struct tk_shared_arena *arena)
{
	return arena->used_bytes;
}

uint64_t
tk_shared_offset(const struct tk_shared_arena *arena, const void *data)
{
	return (uint64_t)((const uint8_t *)data - arena->base);
}

static size_t
class_bytes(unsigned class)
{
	return (size_t)1 << (CLASS_SHIFT + class);
}

static unsigned
class_of(size_t size_bytes)
{
	unsigned class = 0;

	while (class_bytes(class) < size_bytes)
		class ++;
	return class;
}

static unsigned
class_pieces(unsigned class)
{
	return (unsigned)(BLOCK_BYTES >> (CLASS_SHIFT + class));
}

/* First run of count free blocks, or block_count. */
static size_t
arena_find_run(const struct tk_shared_arena *arena, size_t count)
{
	size_t run = 0;

	for (size_t i = 0; i < arena->block_count; i++) {
		run = arena->blocks[i].kind == BLOCK_FREE ? run + 1 : 0;
		if (run == count)
			return i + 1 - count;
	}
	return arena->block_count;
}

static uint8_t *
block_take(struct tk_shared_arena *arena, size_t index)
{
	struct block *block = &arena->blocks[index];
	unsigned pieces = class_pieces(block->class);

	for (unsigned word = 0; word * 64 < pieces; word++) {
		uint64_t vacant = ~block->pieces[word];
		unsigned bit;

		if (vacant == 0)
			continue;
		bit = (unsigned)__builtin_ctzll(vacant);
		if (word * 64 + bit >= pieces)
			break;
		block->pieces[word] |= (uint64_t)1 << bit;
		block->used++;
		return arena->base + index * BLOCK_BYTES +
		       (word * 64 + bit) * class_bytes(block->class);
	}
	tk_assert(false);
	return NULL;
}

static bool
block_has_room(const struct block *block, unsigned class)
{
	return block->kind == BLOCK_CLASS && block->class == class &&
	       block->used < class_pieces(class);
}

static uint8_t *
arena_take_piece(struct tk_shared_arena *arena, unsigned class)
{
	size_t index = arena->hint[class];

	if (index >= arena->block_count || !block_has_room(&arena->blocks[index], class)) {
		for (index = 0; index < arena->block_count; index++)
			if (block_has_room(&arena->blocks[index], class))
				break;
	}
	if (index == arena->block_count) {
		index = arena_find_run(arena, 1);
		if (index == arena->block_count)
			return NULL;
		arena->blocks[index] =
		    (struct block){ .kind = BLOCK_CLASS, .class = (uint8_t) class, .dirty = true };
		arena->used_bytes += BLOCK_BYTES;
	}
	arena->hint[class] = index;
	return block_take(arena, index);
}

static uint8_t *
arena_take_extent(struct tk_shared_arena *arena, size_t blocks)
{
	size_t index = arena_find_run(arena, blocks);

	if (index == arena->block_count)
		return NULL;
	for (size_t i = 0; i < blocks; i++)
		arena->blocks[index + i] = (struct block){ .kind = BLOCK_EXTENT, .dirty = true };
	arena->blocks[index].run = (uint16_t)blocks;
	arena->used_bytes += blocks * BLOCK_BYTES;
	return arena->base + index * BLOCK_BYTES;
}

struct tk_shared_buf *
tk_shared_buf_new(struct tk_shared_arena *arena, size_t size_bytes)
{
	struct tk_shared_buf *buf;
	size_t blocks = (size_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;

	if (size_bytes > tk_shared_arena_largest(arena))
		return NULL;
	buf = calloc(1, sizeof(*buf));
	if (buf == NULL)
		return NULL;
	if (blocks <= 1) {
		unsigned class = class_of(size_bytes);

		buf->data = arena_take_piece(arena, class);
		buf->room = class_bytes(class);
	} else {
		buf->data = arena_take_extent(arena, blocks);
		buf->room = blocks * BLOCK_BYTES;
	}
	if (buf->data == NULL) {
		free(buf);
		return NULL;
	}
	buf->references = 1;
	buf->arena = arena;
	return buf;
}

struct tk_shared_buf *
tk_shared_buf_ref(struct tk_shared_buf *buf)
{
	buf->references++;
	return buf;
}

static void
arena_release_blocks(struct tk_shared_arena *arena, size_t index, size_t count)
{
	for (size_t i = 0; i < count; i++)
		arena->blocks[index + i] = (struct block){ .kind = BLOCK_FREE, .dirty = true };
	arena->used_bytes -= count * BLOCK_BYTES;
}

static void
arena_give_back(struct tk_shared_arena *arena, const uint8_t *data)
{
	size_t offset = (size_t)(data - arena->base);
	size_t index = offset / BLOCK_BYTES;
	struct block *block = &arena->blocks[index];

	if (block->kind == BLOCK_EXTENT) {
		arena_release_blocks(arena, index, block->run);
	} else {
		size_t piece = offset % BLOCK_BYTES / class_bytes(block->class);
		uint64_t bit = (uint64_t)1 << (piece % 64);

		tk_assert(block->kind == BLOCK_CLASS && (block->pieces[piece / 64] & bit) != 0);
		block->pieces[piece / 64] &= ~bit;
		if (--block->used == 0)
			arena_release_blocks(arena, index, 1);
		else
			arena->hint[block->class] = index;
	}
}

void
tk_shared_buf_unref(struct tk_shared_buf **buf)
{
	struct tk_shared_buf *gone = *buf;
	struct tk_shared_arena *arena;

	*buf = NULL;
	if (gone == NULL || --gone->references > 0)
		return;
	arena = gone->arena;
	arena_give_back(arena, gone->data);
	free(gone);
	if (arena->on_free != NULL)
		arena->on_free(arena->on_free_arg);
}

void
tk_shared_arena_trim(struct tk_shared_arena *arena)
{
	for (size_t i = 0; i < arena->block_count; i++) {
		struct block *block = &arena->blocks[i];

		if (block->kind != BLOCK_FREE || !block->dirty) {
			block->idle = false;
		} else if (!block->idle) {
			block->idle = true;
		} else {
			tk_shm_release(arena->fd, (int64_t)(i * BLOCK_BYTES), BLOCK_BYTES);
			block->dirty = false;
			block->idle = false;
		}
	}
}
