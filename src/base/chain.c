/*
 * Chains of memory and file ranges.  Any process, one thread a chain.  A failed allocation marks
 * the chain; its references are still given back by tk_chain_reset.
 */
#include "takhin/chain.h"

#include <string.h>

#define RUN_BYTES ((size_t)512)

void
tk_chain_init(struct tk_chain *chain, struct tk_arena *arena)
{
	*chain = (struct tk_chain){ .arena = arena };
}

void
tk_chain_reset(struct tk_chain *chain)
{
	struct tk_piece *piece;

	for (piece = chain->first; piece != NULL; piece = piece->next)
		if (piece->kind == TK_PIECE_FILE && piece->file.unref != NULL)
			piece->file.unref(piece->file.owner);
	tk_chain_init(chain, chain->arena);
}

static struct tk_piece *
chain_piece_new(struct tk_chain *chain, enum tk_piece_kind kind)
{
	struct tk_piece *piece;

	if (chain->failed)
		return NULL;
	piece = tk_arena_calloc(chain->arena, 1, sizeof(*piece));
	if (piece == NULL) {
		chain->failed = true;
		return NULL;
	}
	piece->kind = kind;
	if (chain->last == NULL)
		chain->first = piece;
	else
		chain->last->next = piece;
	chain->last = piece;
	chain->at = chain->end = NULL;
	return piece;
}

uint8_t *
tk_chain_reserve(struct tk_chain *chain, size_t len)
{
	uint8_t *result;
	struct tk_piece *piece;

	if (chain->failed || len > UINT32_MAX / 2) {
		chain->failed = true;
		return NULL;
	}
	if (chain->at != NULL && len <= (size_t)(chain->end - chain->at)) {
		result = chain->at;
		chain->last->len += (uint32_t)len;
	} else {
		size_t room = TK_MAX(len, RUN_BYTES);

		result = tk_arena_alloc(chain->arena, room);
		if (result == NULL) {
			chain->failed = true;
			return NULL;
		}
		piece = chain_piece_new(chain, TK_PIECE_MEMORY);
		if (piece == NULL)
			return NULL;
		piece->data = result;
		piece->len = (uint32_t)len;
		chain->end = result + room;
	}
	chain->at = result + len;
	chain->len += len;
	return result;
}

void
tk_chain_put(struct tk_chain *chain, const void *data, size_t len)
{
	uint8_t *to = len > 0 ? tk_chain_reserve(chain, len) : NULL;

	if (to != NULL)
		memcpy(to, data, len);
}

void
tk_chain_borrow(struct tk_chain *chain, const void *data, uint32_t len)
{
	struct tk_piece *piece = chain_piece_new(chain, TK_PIECE_MEMORY);

	if (piece == NULL)
		return;
	piece->data = data;
	piece->len = len;
	chain->len += len;
}

void
tk_chain_file(struct tk_chain *chain, const struct tk_file_range *range)
{
	struct tk_piece *piece = chain_piece_new(chain, TK_PIECE_FILE);

	if (piece == NULL) {
		if (range->unref != NULL)
			range->unref(range->owner);
		return;
	}
	piece->file = *range;
	piece->len = range->len;
	chain->len += range->len;
}
