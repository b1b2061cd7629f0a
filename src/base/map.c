/*
 * Hash map of intrusive nodes, keyed by SipHash-2-4 (Aumasson and Bernstein, 2012).  Any process,
 * one thread a map.
 */
#include "base/map.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static uint64_t seed[2];

static void
seed_fill(void)
{
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed) || seed[0] == 0)
		seed[0] = (uint64_t)(uintptr_t)&seed | 1;
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

static inline void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t
tk_hash(const void *data, size_t len)
{
	const uint8_t *at = data;
	uint64_t v[4], word;
	uint64_t last = (uint64_t)len << 56;

	if (seed[0] == 0)
		seed_fill();
	v[0] = seed[0] ^ 0x736f6d6570736575u;
	v[1] = seed[1] ^ 0x646f72616e646f6du;
	v[2] = seed[0] ^ 0x6c7967656e657261u;
	v[3] = seed[1] ^ 0x7465646279746573u;
	for (; len >= 8; len -= 8, at += 8) {
		memcpy(&word, at, sizeof(word));
		sip_word(v, le64toh(word));
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)at[i] << (8 * i);
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct tk_map_node **
map_bucket(const struct tk_map *map, uint64_t hash)
{
	if (map->buckets == NULL)
		return (struct tk_map_node **)(uintptr_t)&map->lone;
	return &map->buckets[hash & map->mask];
}

static void
map_grow(struct tk_map *map)
{
	size_t room = map->buckets == NULL ? 16 : (map->mask + 1) * 2;
	struct tk_map grown = { .buckets = calloc(room, sizeof(struct tk_map_node *)),
		.mask = room - 1,
		.count = map->count };
	struct tk_map_node *node, *next;
	size_t old_room = map->buckets == NULL ? 1 : map->mask + 1;

	if (grown.buckets == NULL)
		return;
	for (size_t i = 0; i < old_room; i++) {
		for (node = map->buckets == NULL ? map->lone : map->buckets[i]; node != NULL;
		     node = next) {
			struct tk_map_node **bucket = map_bucket(&grown, node->hash);

			next = node->next;
			node->next = *bucket;
			*bucket = node;
		}
	}
	free(map->buckets);
	*map = grown;
}

struct tk_map_node *
tk_map_find(const struct tk_map *map, const void *key, size_t len, tk_map_equal *equal)
{
	uint64_t hash = tk_hash(key, len);
	struct tk_map_node *node;

	for (node = *map_bucket(map, hash); node != NULL; node = node->next)
		if (node->hash == hash && equal(node, key, len))
			return node;
	return NULL;
}

void
tk_map_put(struct tk_map *map, struct tk_map_node *node, const void *key, size_t len)
{
	struct tk_map_node **bucket;

	if (map->buckets == NULL || map->count > map->mask)
		map_grow(map);
	node->hash = tk_hash(key, len);
	bucket = map_bucket(map, node->hash);
	node->next = *bucket;
	*bucket = node;
	map->first = TK_MIN(map->first, (size_t)node->hash & map->mask);
	map->count++;
}

void
tk_map_remove(struct tk_map *map, struct tk_map_node *node)
{
	struct tk_map_node **at = map_bucket(map, node->hash);

	while (*at != node) {
		tk_assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = node->next;
	node->next = NULL;
	map->count--;
}

struct tk_map_node *
tk_map_next(const struct tk_map *map, const struct tk_map_node *node)
{
	size_t i = map->first;

	if (node != NULL && node->next != NULL)
		return node->next;
	if (map->buckets == NULL)
		return node == NULL ? map->lone : NULL;
	if (node != NULL)
		i = (node->hash & map->mask) + 1;
	while (i <= map->mask && map->buckets[i] == NULL)
		i++;
	if (node == NULL)
		((struct tk_map *)(uintptr_t)map)->first = TK_MIN(i, map->mask);
	return i <= map->mask ? map->buckets[i] : NULL;
}

void
tk_map_free(struct tk_map *map)
{
	free(map->buckets);
	*map = (struct tk_map){ .buckets = NULL };
}
