/*
 * The offset map: a table of hashes.  Cleaner process, one thread; its memory is mapped when the
 * map is made, touched as it fills and given back as a whole.
 */
#include "cleaner/offset_map.h"

#include <sys/mman.h>
#include <sys/random.h>

#include "base/endian.h"

#define SLOTS_LEAST 16u

int
tk_offset_map_init(struct tk_offset_map *map, size_t bytes, uint64_t records)
{
	struct tk_hash128 secret[2];
	size_t slots = bytes / sizeof(struct tk_offset_slot);
	void *memory;

	if (records < slots / 2)
		slots = (size_t)records + (size_t)records / 4 + 1;
	slots = TK_MAX(slots, (size_t)SLOTS_LEAST);
	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		return -EIO;
	memory = mmap(NULL, slots * sizeof(struct tk_offset_slot), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	*map = (struct tk_offset_map){ .keys = secret[0],
		.producers = secret[1],
		.slots = memory,
		.slot_count = slots,
		.used_max = slots - slots / 10 - 1 };
	return 0;
}

void
tk_offset_map_free(struct tk_offset_map *map)
{
	if (map->slots != NULL)
		(void)munmap(map->slots, map->slot_count * sizeof(*map->slots));
	*map = (struct tk_offset_map){ .slots = NULL };
}

struct tk_hash128
tk_offset_map_key(const struct tk_offset_map *map, const void *key, size_t len)
{
	return tk_hash128(&map->keys, key, len);
}

struct tk_hash128
tk_offset_map_producer(const struct tk_offset_map *map, int64_t producer_id)
{
	uint8_t bytes[8];

	tk_be64_put(bytes, (uint64_t)producer_id);
	return tk_hash128(&map->producers, bytes, sizeof(bytes));
}

/* The slot that holds hash, or the free one where it would stand. */
static struct tk_offset_slot *
find(const struct tk_offset_map *map, struct tk_hash128 hash)
{
	size_t at = (size_t)(hash.low % map->slot_count);

	while (map->slots[at].offset != 0 &&
	       (map->slots[at].hash.low != hash.low || map->slots[at].hash.high != hash.high))
		at = at + 1 == map->slot_count ? 0 : at + 1;
	return &map->slots[at];
}

int
tk_offset_map_put(struct tk_offset_map *map, struct tk_hash128 hash, int64_t offset)
{
	struct tk_offset_slot *slot = find(map, hash);

	tk_assert(offset >= 0);
	if (slot->offset == 0) {
		if (map->used >= map->used_max)
			return -ENOSPC;
		map->used++;
		slot->hash = hash;
	}
	slot->offset = TK_MAX(slot->offset, offset + 1);
	return 0;
}

int64_t
tk_offset_map_get(const struct tk_offset_map *map, struct tk_hash128 hash)
{
	return find(map, hash)->offset - 1;
}
