/*
 * The last offset of each key of a partition's dirty part, in memory that is bounded.
 *
 * A key is kept as its hash of 128 bits alone, as Kafka keeps its MD5.  Two keys with one hash
 * would lose a record, so the hash is keyed (base/hash128.h) with a random key of this map: clients
 * choose keys but cannot aim, and 2^32 keys by chance collide once in 2^65 maps.  Comparing the
 * keys themselves would cost a random read from the disk for each record.
 *
 * Open addressing, at most nine tenths full; an entry takes 24 bytes.  What does not fit is an
 * error for the caller.  Cleaner process, one thread.
 */
#ifndef TK_CLEANER_OFFSET_MAP_H
#define TK_CLEANER_OFFSET_MAP_H

#include "base/hash128.h"

struct tk_offset_slot {
	struct tk_hash128 hash;
	int64_t offset; /* and one more; 0: free */
};

struct tk_offset_map {
	struct tk_hash128 keys, producers; /* of the hash, for either kind of entry */
	struct tk_offset_slot *slots;
	size_t slot_count, used, used_max;
};

/* For at most records entries, or as many as fit in bytes.  0 or -errno. */
int tk_offset_map_init(struct tk_offset_map *map, size_t bytes, uint64_t records) TK_MUST_CHECK;
void tk_offset_map_free(struct tk_offset_map *map);

struct tk_hash128 tk_offset_map_key(const struct tk_offset_map *map, const void *key, size_t len);
struct tk_hash128 tk_offset_map_producer(const struct tk_offset_map *map, int64_t producer_id);

/* A later offset replaces an earlier one; -ENOSPC if the map is full. */
int tk_offset_map_put(
    struct tk_offset_map *map, struct tk_hash128 hash, int64_t offset) TK_MUST_CHECK;

/* -1: not in it. */
int64_t tk_offset_map_get(const struct tk_offset_map *map, struct tk_hash128 hash);

#endif
