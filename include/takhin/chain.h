/*
 * A chain of pieces: what a reply is made of.
 *
 * A piece is memory (of the arena the chain was set up with, or borrowed for as long as it) or a
 * range of a file that stands for the bytes sendfile will send.  A chain knows its whole length, so
 * a frame's size can be promised before its first byte leaves.  One thread.
 *
 * Writing into a chain has an error that sticks: append everything, check tk_chain_failed() once.
 */
#ifndef TAKHIN_CHAIN_H
#define TAKHIN_CHAIN_H

#include "takhin/arena.h"

/*
 * A range of an open file.  The owner is called when the range is no longer needed; whoever makes
 * a range holds a reference that unref gives back.
 */
struct tk_file_range {
	int fd;
	int64_t offset;
	uint32_t len;
	void *owner;
	void (*unref)(void *owner);
};

enum tk_piece_kind { TK_PIECE_MEMORY, TK_PIECE_FILE };

struct tk_piece {
	struct tk_piece *next;
	enum tk_piece_kind kind;
	uint32_t len; /* bytes still to send: transmit moves data or file.offset on */
	union {
		const uint8_t *data;
		struct tk_file_range file;
	};
};

struct tk_chain {
	struct tk_arena *arena;
	struct tk_piece *first, *last;
	uint8_t *at, *end; /* room left behind the last memory piece, if it is ours to extend */
	uint64_t len;      /* bytes of all pieces appended */
	bool failed;
};

void tk_chain_init(struct tk_chain *chain, struct tk_arena *arena);

/* Gives back the file ranges that are left and empties the chain; memory goes with the arena. */
void tk_chain_reset(struct tk_chain *chain);

/* Copies len bytes to the end. */
void tk_chain_put(struct tk_chain *chain, const void *data, size_t len);

/* len (not 0) contiguous bytes at the end for the caller to fill; NULL once the chain failed. */
uint8_t *tk_chain_reserve(struct tk_chain *chain, size_t len);

/* Memory that outlives the chain, not copied. */
void tk_chain_borrow(struct tk_chain *chain, const void *data, uint32_t len);

/* A file range; the chain takes over the reference, also when it fails. */
void tk_chain_file(struct tk_chain *chain, const struct tk_file_range *range);

static inline bool
tk_chain_failed(const struct tk_chain *chain)
{
	return chain->failed;
}

#endif
