/*
 * A binary min-heap of intrusive entries, ordered by a 64-bit key: timers, expiries, who is idle
 * longest.  Entries know their place, so one can be taken out of the middle.  One thread.
 */
#ifndef TK_BASE_HEAP_H
#define TK_BASE_HEAP_H

#include "takhin/base.h"

struct tk_heap_entry {
	int64_t key;
	size_t place; /* index in the heap plus one; 0 while in none */
};

struct tk_heap {
	struct tk_heap_entry **entries;
	size_t count, room;
};

/* Puts entry in, or moves it if it is in already; 0 or -ENOMEM (only for one that was not in). */
int tk_heap_set(struct tk_heap *heap, struct tk_heap_entry *entry, int64_t key) TK_MUST_CHECK;

/* Takes entry out; nothing happens if it is in none. */
void tk_heap_remove(struct tk_heap *heap, struct tk_heap_entry *entry);

/* The entry of the smallest key, or NULL. */
struct tk_heap_entry *tk_heap_first(const struct tk_heap *heap);

/* Frees the heap's own memory; the entries are the caller's. */
void tk_heap_free(struct tk_heap *heap);

#endif
