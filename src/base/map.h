/*
 * A hash map of intrusive nodes: the node stands in the caller's struct, the caller owns both the
 * struct and the bytes of the key.  Chained; it grows, and a failure to grow only makes it slower,
 * so that putting in never fails.  One thread.  SipHash-2-4 with a key of this process, since keys
 * (topic names, client ids) come from peers.
 */
#ifndef TK_BASE_MAP_H
#define TK_BASE_MAP_H

#include "takhin/base.h"

struct tk_map_node {
	struct tk_map_node *next;
	uint64_t hash;
};

struct tk_map {
	struct tk_map_node **buckets;
	size_t mask; /* number of buckets less one */
	size_t count;
	size_t first; /* no bucket before it holds anything: so emptying a map from its front is
			 cheap */
	struct tk_map_node *lone; /* the one bucket of a map that could not allocate any */
};

/* True if node's key is these bytes. */
typedef bool tk_map_equal(const struct tk_map_node *node, const void *key, size_t len);

/* The node with this key, or NULL. */
struct tk_map_node *tk_map_find(
    const struct tk_map *map, const void *key, size_t len, tk_map_equal *equal);

/* Puts node in; the caller has seen that no node with this key is in. */
void tk_map_put(struct tk_map *map, struct tk_map_node *node, const void *key, size_t len);

/* Takes node out; it must be in. */
void tk_map_remove(struct tk_map *map, struct tk_map_node *node);

/* Walks all nodes: start with NULL; NULL at the end.  The node returned last may not be removed. */
struct tk_map_node *tk_map_next(const struct tk_map *map, const struct tk_map_node *node);

/* Frees the buckets; nodes are the caller's. */
void tk_map_free(struct tk_map *map);

uint64_t tk_hash(const void *data, size_t len);

#endif
