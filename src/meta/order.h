/*
 * Intrusive nodes in the order of their keys' bytes: a skip list.  The caller owns nodes and keys.
 * One thread.
 */
#ifndef TK_META_ORDER_H
#define TK_META_ORDER_H

#include "takhin/base.h"

#define TK_ORDER_LEVELS 10u /* each has a quarter of the one below: enough for a million */

struct tk_order_node {
	const uint8_t *key;
	uint32_t len;
	uint32_t levels;
	struct tk_order_node *next[TK_ORDER_LEVELS];
};

struct tk_order {
	struct tk_order_node head; /* zeroed: empty */
};

/* Puts node in under these bytes, which are in no other node. */
void tk_order_put(struct tk_order *order, struct tk_order_node *node, const void *key, size_t len);

/* Takes node out; it must be in. */
void tk_order_remove(struct tk_order *order, struct tk_order_node *node);

/* The first node whose key is at or above these bytes, or NULL. */
struct tk_order_node *tk_order_from(const struct tk_order *order, const void *key, size_t len);

static inline struct tk_order_node *
tk_order_first(const struct tk_order *order)
{
	return order->head.next[0];
}

static inline struct tk_order_node *
tk_order_next(const struct tk_order_node *node)
{
	return node->next[0];
}

#endif
