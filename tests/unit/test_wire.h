/*
 * What the wire tests share: every message in a table (generated: wire_gen_fill.c), random values
 * from a seed that can be given again (TAKHIN_SEED), and bytes laid end to end.
 */
#ifndef TK_TESTS_TEST_WIRE_H
#define TK_TESTS_TEST_WIRE_H

#include "wire/wire_gen.h"

/* Where random values come from; memory of the arena. */
struct wire_fill {
	uint64_t state;
	struct tk_arena *arena;
	bool files;     /* records may be file ranges */
	int open_files; /* references handed out and not given back */
};

struct wire_message {
	const char *name;
	int min_version, max_version, flexible_from;
	size_t size;
	void (*init)(void *msg);
	bool (*decode)(struct tk_decoder *dec, int version, void *ret_msg);
	void (*encode)(struct tk_chain *chain, int version, const void *msg);
	void (*fill)(struct wire_fill *fill, int version, void *msg);
};

extern const struct wire_message wire_messages[];
extern const size_t wire_messages_count;

/* TAKHIN_SEED or a fixed one; printed. */
uint64_t wire_seed(void);

uint64_t wire_random(struct wire_fill *fill);
bool wire_fill_bool(struct wire_fill *fill);
int8_t wire_fill_int8(struct wire_fill *fill);
int16_t wire_fill_int16(struct wire_fill *fill);
int32_t wire_fill_int32(struct wire_fill *fill);
int64_t wire_fill_int64(struct wire_fill *fill);
uint16_t wire_fill_uint16(struct wire_fill *fill);
uint32_t wire_fill_uint32(struct wire_fill *fill);
struct tk_uuid wire_fill_uuid(struct wire_fill *fill);
struct tk_bytes wire_fill_string(struct wire_fill *fill, bool nullable);
struct tk_bytes wire_fill_bytes(struct wire_fill *fill, bool nullable);
struct tk_records wire_fill_records(struct wire_fill *fill, bool nullable);
void *wire_fill_array(
    struct wire_fill *fill, bool nullable, size_t element_size, int32_t *ret_count);

/* One element or NULL. */
void *wire_fill_struct(struct wire_fill *fill, size_t size_bytes);

/* The bytes a chain stands for, in exactly so much heap memory; NULL if the chain failed. */
uint8_t *wire_linear(const struct tk_chain *chain, size_t *ret_len);

/* A copy in exactly len bytes of heap, so that a read past it is seen. */
uint8_t *wire_copy(const void *data, size_t len);

/* The generated rows. */
#define FILL_ANY(message)                                                                          \
	static void message##_init_any(void *msg)                                                  \
	{                                                                                          \
		tk_##message##_init(msg);                                                          \
	}                                                                                          \
	static bool message##_decode_any(struct tk_decoder *dec, int version, void *ret_msg)       \
	{                                                                                          \
		return tk_##message##_decode(dec, version, ret_msg);                               \
	}                                                                                          \
	static void message##_encode_any(struct tk_chain *chain, int version, const void *msg)     \
	{                                                                                          \
		tk_##message##_encode(chain, version, msg);                                        \
	}                                                                                          \
	static void message##_fill_any(struct wire_fill *fill, int version, void *msg)             \
	{                                                                                          \
		message##_fill(fill, version, msg);                                                \
	}

#define FILL_ROW(message, name, min, max, flexible)                                                \
	{                                                                                          \
		name, min, max, flexible, sizeof(struct tk_##message), message##_init_any,         \
		    message##_decode_any, message##_encode_any, message##_fill_any                 \
	}

#endif
