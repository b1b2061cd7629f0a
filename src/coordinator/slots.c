/*
 * Which slots of which zone are taken: a bitmap a directory, made from the view and kept with what
 * each catch-up changes.  A slot is taken here when a transaction is written; if that fails, the
 * bitmaps are made again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "coordinator/coordinator_private.h"

#define WORD_BITS 64u

static int
slots_make_room(struct tk_slots *slots, size_t words)
{
	uint64_t *bits;

	if (words <= slots->words)
		return 0;
	words = TK_MAX(words, TK_MAX(slots->words * 2, (size_t)16));
	bits = realloc(slots->bits, words * sizeof(*bits));
	if (bits == NULL)
		return -ENOMEM;
	memset(bits + slots->words, 0, (words - slots->words) * sizeof(*bits));
	slots->bits = bits;
	slots->words = words;
	return 0;
}

static int
slots_set(struct tk_slots *slots, uint32_t slot)
{
	uint64_t bit = (uint64_t)1 << slot % WORD_BITS;

	if (slot >= TK_ZONE_SLOTS_MAX)
		return 0;
	if (slots_make_room(slots, slot / WORD_BITS + 1) < 0)
		return -ENOMEM;
	slots->count += (slots->bits[slot / WORD_BITS] & bit) == 0;
	slots->bits[slot / WORD_BITS] |= bit;
	return 0;
}

static void
slots_clear(struct tk_slots *slots, uint32_t slot)
{
	uint64_t bit = (uint64_t)1 << slot % WORD_BITS;

	if (slot / WORD_BITS >= slots->words || (slots->bits[slot / WORD_BITS] & bit) == 0)
		return;
	slots->bits[slot / WORD_BITS] &= ~bit;
	slots->count--;
	slots->hint = TK_MIN(slots->hint, slot / WORD_BITS);
}

static int
topic_set(struct tk_coordinator *coord, const struct tk_meta_topic *topic)
{
	for (int32_t i = 0; i < topic->partition_count; i++) {
		const struct tk_meta_partition *part = &topic->partitions[i];

		if (part->incarnation == 0 || part->directory >= coord->directory_count)
			continue;
		if (slots_set(&coord->slots[part->directory], part->slot) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void
topic_clear(struct tk_coordinator *coord, const struct tk_meta_topic *topic)
{
	for (int32_t i = 0; i < topic->partition_count; i++) {
		const struct tk_meta_partition *part = &topic->partitions[i];

		if (part->incarnation != 0 && part->directory < coord->directory_count)
			slots_clear(&coord->slots[part->directory], part->slot);
	}
}

int
tk_slots_rebuild(struct tk_coordinator *coord)
{
	const struct tk_meta_topic *topic;
	int rc;

	for (size_t i = 0; i < coord->directory_count; i++) {
		struct tk_slots *slots = &coord->slots[i];

		if (slots->words > 0)
			memset(slots->bits, 0, slots->words * sizeof(*slots->bits));
		slots->hint = slots->count = 0;
	}
	rc = slots_set(&coord->slots[TK_META_DIRECTORY], TK_META_SLOT);
	for (topic = tk_meta_topic_first(coord->meta); topic != NULL && rc == 0;
	     topic = tk_meta_topic_next(topic))
		rc = topic_set(coord, topic);
	return rc;
}

int
tk_slots_update(struct tk_coordinator *coord)
{
	const struct tk_meta_topic *topic;
	int rc = 0;

	for (topic = tk_meta_deleted(coord->meta); topic != NULL;
	     topic = tk_meta_deleted_next(topic))
		topic_clear(coord, topic);
	for (topic = tk_meta_changed(coord->meta); topic != NULL && rc == 0;
	     topic = tk_meta_changed_next(topic))
		rc = topic_set(coord, topic);
	return rc;
}

/* The directory with the fewest partitions, of those whose writer is there if there are such. */
static int
directory_choose(const struct tk_coordinator *coord)
{
	int chosen = -1;

	for (int up = 1; up >= 0 && chosen < 0; up--)
		for (size_t i = 0; i < coord->directory_count; i++) {
			const struct tk_slots *slots = &coord->slots[i];

			if (tk_uuid_is_zero(&coord->ties[i].directory_id) ||
			    coord->ties[i].up < up || slots->count >= TK_ZONE_SLOTS_MAX)
				continue;
			if (chosen < 0 || slots->count < coord->slots[chosen].count)
				chosen = (int)i;
		}
	return chosen;
}

int
tk_slots_take(struct tk_coordinator *coord, struct tk_meta_partition_value *ret_value,
    unsigned *ret_directory)
{
	int directory = directory_choose(coord);
	struct tk_slots *slots;
	uint32_t slot;

	if (directory < 0)
		return -ENOSPC;
	slots = &coord->slots[directory];
	while (slots->hint < slots->words && slots->bits[slots->hint] == UINT64_MAX)
		slots->hint++;
	slot = (uint32_t)(slots->hint * WORD_BITS);
	if (slots->hint < slots->words)
		slot += (uint32_t)__builtin_ctzll(~slots->bits[slots->hint]);
	if (slots_set(slots, slot) < 0)
		return -ENOMEM;
	ret_value->directory = coord->ties[directory].directory_id;
	ret_value->slot = slot;
	*ret_directory = (unsigned)directory;
	return 0;
}

void
tk_slots_release(struct tk_coordinator *coord, unsigned directory, uint32_t slot)
{
	slots_clear(&coord->slots[directory], slot);
}

void
tk_slots_free(struct tk_coordinator *coord)
{
	for (size_t i = 0; i < coord->directory_count; i++) {
		free(coord->slots[i].bits);
		coord->slots[i] = (struct tk_slots){ .bits = NULL };
	}
}
