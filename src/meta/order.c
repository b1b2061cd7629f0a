/*
 * The skip list.  A node's height comes from the hash of its key, which has a secret of this
 * process in it, so no choice of names makes a tower of all.
 */
#include "meta/order.h"

#include <string.h>

#include "base/map.h"

static bool
node_below(const struct tk_order_node *node, const void *key, size_t len)
{
	int diff = memcmp(node->key, key, TK_MIN(node->len, len));

	return diff < 0 || (diff == 0 && node->len < len);
}

/* The last node below the key on every level. */
static void
order_path(const struct tk_order *order, const void *key, size_t len,
    struct tk_order_node *path[TK_ORDER_LEVELS])
{
	struct tk_order_node *node = (struct tk_order_node *)(uintptr_t)&order->head;

	for (unsigned level = TK_ORDER_LEVELS; level-- > 0;) {
		while (node->next[level] != NULL && node_below(node->next[level], key, len))
			node = node->next[level];
		path[level] = node;
	}
}

static uint32_t
node_height(const void *key, size_t len)
{
	uint64_t hash = tk_hash(key, len);
	uint32_t levels = 1;

	for (; levels < TK_ORDER_LEVELS && (hash & 3) == 0; hash >>= 2)
		levels++;
	return levels;
}

void
tk_order_put(struct tk_order *order, struct tk_order_node *node, const void *key, size_t len)
{
	struct tk_order_node *path[TK_ORDER_LEVELS];

	tk_assert(len > 0 && len <= UINT32_MAX);
	order_path(order, key, len, path);
	*node = (struct tk_order_node){ .key = key, .len = (uint32_t)len };
	node->levels = node_height(key, len);
	for (unsigned level = 0; level < node->levels; level++) {
		node->next[level] = path[level]->next[level];
		path[level]->next[level] = node;
	}
}

void
tk_order_remove(struct tk_order *order, struct tk_order_node *node)
{
	struct tk_order_node *path[TK_ORDER_LEVELS];

	order_path(order, node->key, node->len, path);
	for (unsigned level = 0; level < node->levels; level++) {
		tk_assert(path[level]->next[level] == node);
		path[level]->next[level] = node->next[level];
	}
}

struct tk_order_node *
tk_order_from(const struct tk_order *order, const void *key, size_t len)
{
	struct tk_order_node *path[TK_ORDER_LEVELS];

	order_path(order, key, len, path);
	return path[0]->next[0];
}
