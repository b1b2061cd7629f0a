/*
 * Binary min-heap.  Any process, one thread a heap.
 */
#include "base/heap.h"

#include <stdlib.h>

static void
heap_put(struct tk_heap *heap, size_t index, struct tk_heap_entry *entry)
{
	heap->entries[index] = entry;
	entry->place = index + 1;
}

static void
heap_up(struct tk_heap *heap, size_t index)
{
	struct tk_heap_entry *entry = heap->entries[index];

	while (index > 0 && heap->entries[(index - 1) / 2]->key > entry->key) {
		heap_put(heap, index, heap->entries[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	heap_put(heap, index, entry);
}

static void
heap_down(struct tk_heap *heap, size_t index)
{
	struct tk_heap_entry *entry = heap->entries[index];

	for (;;) {
		size_t child = 2 * index + 1;

		if (child + 1 < heap->count &&
		    heap->entries[child + 1]->key < heap->entries[child]->key)
			child++;
		if (child >= heap->count || heap->entries[child]->key >= entry->key)
			break;
		heap_put(heap, index, heap->entries[child]);
		index = child;
	}
	heap_put(heap, index, entry);
}

static void
heap_settle(struct tk_heap *heap, size_t index)
{
	heap_up(heap, index);
	heap_down(heap, heap->entries[index]->place - 1);
}

int
tk_heap_set(struct tk_heap *heap, struct tk_heap_entry *entry, int64_t key)
{
	if (entry->place == 0) {
		if (heap->count == heap->room) {
			size_t room = heap->room == 0 ? 16 : heap->room * 2;
			struct tk_heap_entry **grown;

			grown = reallocarray(heap->entries, room, sizeof(struct tk_heap_entry *));
			if (grown == NULL)
				return -ENOMEM;
			heap->entries = grown;
			heap->room = room;
		}
		heap_put(heap, heap->count++, entry);
	}
	entry->key = key;
	heap_settle(heap, entry->place - 1);
	return 0;
}

void
tk_heap_remove(struct tk_heap *heap, struct tk_heap_entry *entry)
{
	size_t index;
	struct tk_heap_entry *last;

	if (entry->place == 0)
		return;
	index = entry->place - 1;
	tk_assert(index < heap->count && heap->entries[index] == entry);
	entry->place = 0;
	last = heap->entries[--heap->count];
	if (last == entry)
		return;
	heap_put(heap, index, last);
	heap_settle(heap, index);
}

struct tk_heap_entry *
tk_heap_first(const struct tk_heap *heap)
{
	return heap->count == 0 ? NULL : heap->entries[0];
}

void
tk_heap_free(struct tk_heap *heap)
{
	free(heap->entries);
	*heap = (struct tk_heap){ .entries = NULL };
}
