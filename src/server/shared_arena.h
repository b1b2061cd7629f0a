/*
 * The shared arena of a worker: where everything its clients send is received.
 *
 * A memfd that the worker maps read-write and the writers map read-only, so that a batch goes from
 * the socket to the log without another copy.  Cut into blocks of 1 MiB; a block serves one size
 * class (4 KiB to 1 MiB) or is part of an extent of whole blocks.  Blocks are sparse: memory comes
 * with the bytes that are written, and goes back when a block has been free for a while.
 *
 * A buffer is counted: by the connection that reads into it, by requests that point into it and by
 * appends the writer has not answered.  One thread.
 */
#ifndef TK_SERVER_SHARED_ARENA_H
#define TK_SERVER_SHARED_ARENA_H

#include "takhin/base.h"

struct tk_shared_arena;

struct tk_shared_buf {
	uint8_t *data;
	size_t room;
	unsigned references;
	struct tk_shared_arena *arena;
};

/* Manages size_bytes at base, of memfd fd (for giving pages back).  0 or -ENOMEM. */
int tk_shared_arena_new(
    uint8_t *base, size_t size_bytes, int fd, struct tk_shared_arena **ret_arena) TK_MUST_CHECK;
void tk_shared_arena_free(struct tk_shared_arena **arena);

/*
 * A buffer of at least size_bytes with one reference, or NULL: no room now.  Contents are what the
 * last user left, or zeros.
 */
struct tk_shared_buf *tk_shared_buf_new(struct tk_shared_arena *arena, size_t size_bytes);

struct tk_shared_buf *tk_shared_buf_ref(struct tk_shared_buf *buf);
void tk_shared_buf_unref(struct tk_shared_buf **buf);

/* Where data, inside a buffer, lies in the memfd. */
uint64_t tk_shared_offset(const struct tk_shared_arena *arena, const void *data);

/* The largest buffer there could be. */
size_t tk_shared_arena_largest(const struct tk_shared_arena *arena);

/* Bytes of blocks in use. */
size_t tk_shared_arena_used(const struct tk_shared_arena *arena);

/* Gives back the pages of blocks that were free at the last call as well; call it each second. */
void tk_shared_arena_trim(struct tk_shared_arena *arena);

/* Called whenever a buffer becomes free, so that who waits for room can look again. */
void tk_shared_arena_on_free(struct tk_shared_arena *arena, void (*call)(void *arg), void *arg);

#endif
