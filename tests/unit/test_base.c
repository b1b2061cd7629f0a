/*
 * Unit tests of base: arenas, chains, heaps, maps, checksums, uuids.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/uuid.h"
#include "takhin/arena.h"
#include "takhin/chain.h"
#include "unit.h"

static void
test_arena_limit(void)
{
	struct tk_arena arena;
	uint8_t *a, *b;

	tk_arena_init(&arena, 16384);
	a = tk_arena_alloc(&arena, 100);
	b = tk_arena_alloc(&arena, 100);
	CU_ASSERT_FATAL(a != NULL && b != NULL);
	memset(a, 1, 100);
	memset(b, 2, 100);
	CU_ASSERT(a[99] == 1 && b[0] == 2);
	CU_ASSERT((uintptr_t)a % 16 == 0 && (uintptr_t)b % 16 == 0);
	CU_ASSERT(tk_arena_alloc(&arena, 16384) == NULL);
	CU_ASSERT(tk_arena_alloc(&arena, SIZE_MAX - 4) == NULL);
	CU_ASSERT(tk_arena_calloc(&arena, SIZE_MAX / 2, 4) == NULL);
	CU_ASSERT(tk_arena_alloc(&arena, 8000) != NULL);
	tk_arena_reset(&arena);
	CU_ASSERT(arena.held_bytes == 0);
	CU_ASSERT(tk_arena_alloc(&arena, 8000) != NULL);
	tk_arena_reset(&arena);
}

static void
test_arena_text(void)
{
	struct tk_arena arena;

	tk_arena_init(&arena, 1 << 20);
	CU_ASSERT_STRING_EQUAL(tk_arena_printf(&arena, "%s-%d", "orders", 7), "orders-7");
	CU_ASSERT_STRING_EQUAL(tk_arena_strndup(&arena, "abcdef", 3), "abc");
	CU_ASSERT_STRING_EQUAL(tk_arena_strndup(&arena, NULL, 0), "");
	tk_arena_reset(&arena);
}

static void
count_unref(void *owner)
{
	++*(int *)owner;
}

static void
test_chain(void)
{
	struct tk_arena arena;
	struct tk_chain chain;
	int unrefs = 0;
	const struct tk_file_range range = {
		.fd = 3, .offset = 10, .len = 100, .owner = &unrefs, .unref = count_unref
	};

	tk_arena_init(&arena, 1 << 16);
	tk_chain_init(&chain, &arena);
	tk_chain_put(&chain, "", 0);
	tk_chain_put(&chain, "head", 4);
	tk_chain_put(&chain, "er", 2);
	CU_ASSERT_FATAL(chain.first != NULL);
	CU_ASSERT(chain.first == chain.last && chain.first->len == 6);
	tk_chain_file(&chain, &range);
	tk_chain_put(&chain, "", 0);
	CU_ASSERT(chain.last->kind == TK_PIECE_FILE); /* nothing makes no piece */
	tk_chain_put(&chain, "tail", 4);
	tk_chain_borrow(&chain, "borrowed", 8);
	CU_ASSERT(chain.len == 118);
	CU_ASSERT(chain.first->next->kind == TK_PIECE_FILE);
	CU_ASSERT(memcmp(chain.first->next->next->data, "tail", 4) == 0);
	tk_chain_reset(&chain);
	CU_ASSERT(unrefs == 1 && chain.len == 0 && chain.first == NULL);
	tk_arena_reset(&arena);
}

/* A chain that failed still gives references back. */
static void
test_chain_failed(void)
{
	struct tk_arena arena;
	struct tk_chain chain;
	int unrefs = 0;
	const struct tk_file_range range = { .len = 1, .owner = &unrefs, .unref = count_unref };

	tk_arena_init(&arena, 64);
	tk_chain_init(&chain, &arena);
	tk_chain_put(&chain, "x", 1);
	CU_ASSERT(tk_chain_failed(&chain));
	tk_chain_file(&chain, &range);
	CU_ASSERT(unrefs == 1);
	CU_ASSERT(tk_chain_reserve(&chain, 1) == NULL);
	tk_chain_reset(&chain);
	tk_arena_reset(&arena);
}

static void
test_heap(void)
{
	enum { COUNT = 500 };
	struct tk_heap heap = { .count = 0 };
	static struct tk_heap_entry entries[COUNT];
	unsigned seed = 12345;
	int64_t last = INT64_MIN;
	size_t popped = 0;

	for (int i = 0; i < COUNT; i++)
		CU_ASSERT_FATAL(tk_heap_set(&heap, &entries[i], rand_r(&seed) % 100) == 0);
	for (int i = 0; i < COUNT; i += 3)
		tk_heap_remove(&heap, &entries[i]);
	for (int i = 1; i < COUNT; i += 3)
		CU_ASSERT_FATAL(tk_heap_set(&heap, &entries[i], rand_r(&seed) % 100) == 0);
	tk_heap_remove(&heap, &entries[0]);
	for (struct tk_heap_entry *e; (e = tk_heap_first(&heap)) != NULL; popped++) {
		CU_ASSERT(e->key >= last);
		last = e->key;
		tk_heap_remove(&heap, e);
		CU_ASSERT(e->place == 0);
	}
	CU_ASSERT(popped == COUNT - (COUNT + 2) / 3);
	tk_heap_free(&heap);
}

struct number {
	struct tk_map_node node;
	uint32_t value;
};

static bool
number_equal(const struct tk_map_node *node, const void *key, size_t len)
{
	return len == 4 &&
	       TK_CONTAINER_OF(node, struct number, node)->value == *(const uint32_t *)key;
}

static void
test_map(void)
{
	enum { COUNT = 1000 };
	struct tk_map map = { .count = 0 };
	static struct number numbers[COUNT];
	size_t seen = 0;
	uint32_t key = 7;

	CU_ASSERT(tk_map_find(&map, &key, 4, number_equal) == NULL);
	CU_ASSERT(tk_map_next(&map, NULL) == NULL);
	for (uint32_t i = 0; i < COUNT; i++) {
		numbers[i].value = i;
		tk_map_put(&map, &numbers[i].node, &i, sizeof(i));
	}
	for (uint32_t i = 0; i < COUNT; i += 2)
		tk_map_remove(&map, &numbers[i].node);
	for (uint32_t i = 0; i < COUNT; i++) {
		struct tk_map_node *node = tk_map_find(&map, &i, 4, number_equal);

		CU_ASSERT((node != NULL) == (i % 2 == 1));
	}
	for (struct tk_map_node *n = NULL; (n = tk_map_next(&map, n)) != NULL;)
		seen++;
	CU_ASSERT(seen == COUNT / 2 && map.count == seen);
	tk_map_free(&map);
}

/* Emptied node by node from its front, in time that grows with their number only. */
static void
test_map_drain(void)
{
	enum { COUNT = 200000 };
	struct number *numbers = calloc(COUNT, sizeof(*numbers));
	struct tk_map map = { .count = 0 };
	struct tk_map_node *node;
	int64_t began_ms = tk_clock_mono_ms();
	bool again = false;

	CU_ASSERT_FATAL(numbers != NULL);
	for (uint32_t i = 0; i < COUNT; i++)
		tk_map_put(&map, &numbers[i].node, &i, sizeof(i));
	while ((node = tk_map_next(&map, NULL)) != NULL) {
		tk_map_remove(&map, node);
		if (map.count == COUNT / 2 && !again) {
			tk_map_put(&map, node, "again", 5); /* wherever that is */
			again = true;
		}
	}
	CU_ASSERT(again);
	CU_ASSERT(map.count == 0);
	CU_ASSERT(tk_clock_mono_ms() - began_ms < 5000);
	tk_map_free(&map);
	free(numbers);
}

static void
test_crc32c(void)
{
	uint8_t bytes[1000];
	uint32_t whole, parts;

	CU_ASSERT(tk_crc32c(0, "123456789", 9) == 0xe3069283u);
	memset(bytes, 0, 32);
	CU_ASSERT(tk_crc32c(0, bytes, 32) == 0x8a9136aau);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	whole = tk_crc32c(0, bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= sizeof(bytes); cut += 13) {
		parts = tk_crc32c(tk_crc32c(0, bytes, cut), bytes + cut, sizeof(bytes) - cut);
		CU_ASSERT(parts == whole);
	}
}

static void
test_uuid(void)
{
	char text[TK_UUID_TEXT_LEN + 1];
	struct tk_uuid back;

	for (int i = 0; i < 200; i++) {
		struct tk_uuid uuid = tk_uuid_random();

		tk_uuid_format(&uuid, text);
		CU_ASSERT(strlen(text) == TK_UUID_TEXT_LEN && text[0] != '-');
		CU_ASSERT(tk_uuid_parse(text, strlen(text), &back) == 0);
		CU_ASSERT(tk_uuid_equal(&uuid, &back));
	}
	CU_ASSERT(tk_uuid_parse("short", 5, &back) == -EINVAL);
	CU_ASSERT(tk_uuid_parse("AAAAAAAAAAAAAAAAAAAAA=", 22, &back) == -EINVAL);
	CU_ASSERT(tk_uuid_parse("AAAAAAAAAAAAAAAAAAAAAA", 22, &back) == 0);
	CU_ASSERT(tk_uuid_is_zero(&back));
}

static void
test_endian(void)
{
	uint8_t bytes[9] = { 0 };

	tk_be64_put(bytes + 1, 0x0102030405060708u);
	CU_ASSERT(bytes[1] == 1 && bytes[8] == 8);
	CU_ASSERT(tk_be64_get(bytes + 1) == 0x0102030405060708u);
	CU_ASSERT(tk_be32_get(bytes + 1) == 0x01020304u && tk_be16_get(bytes + 3) == 0x0304u);
}

TK_UNIT_MAIN("base", { "arena: the limit holds", test_arena_limit },
    { "arena: text", test_arena_text }, { "chain: pieces and references", test_chain },
    { "chain: a failed one gives references back", test_chain_failed },
    { "heap: order, moves and removals", test_heap }, { "map: put, find, remove, walk", test_map },
    { "map: emptied from its front", test_map_drain },
    { "crc32c: known values and any cut", test_crc32c }, { "uuid: text and back", test_uuid },
    { "endian: unaligned", test_endian })
