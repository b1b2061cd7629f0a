/*
 * Random values for the wire tests.  Small numbers, extremes and defaults are more likely than
 * chance would have them.
 */
#include "test_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEED_DEFAULT UINT64_C(20240607)

uint64_t
wire_seed(void)
{
	const char *text = getenv("TAKHIN_SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : SEED_DEFAULT;

	printf("[TAKHIN_SEED=%llu] ", (unsigned long long)seed);
	return seed;
}

/* splitmix64 */
uint64_t
wire_random(struct wire_fill *fill)
{
	uint64_t z = fill->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t
fill_number(struct wire_fill *fill)
{
	static const uint64_t likely[] = { 0, 1, UINT64_MAX, INT64_MAX, UINT64_C(1) << 63,
		INT32_MAX, UINT64_C(1) << 31, INT16_MAX, UINT64_C(1) << 15, 127, 128 };
	uint64_t r = wire_random(fill);

	if (r % 2 == 0)
		return likely[(r >> 1) % TK_COUNT_OF(likely)];
	return wire_random(fill);
}

bool
wire_fill_bool(struct wire_fill *fill)
{
	return wire_random(fill) % 2 == 0;
}

int8_t
wire_fill_int8(struct wire_fill *fill)
{
	return (int8_t)fill_number(fill);
}

int16_t
wire_fill_int16(struct wire_fill *fill)
{
	return (int16_t)fill_number(fill);
}

int32_t
wire_fill_int32(struct wire_fill *fill)
{
	return (int32_t)fill_number(fill);
}

int64_t
wire_fill_int64(struct wire_fill *fill)
{
	return (int64_t)fill_number(fill);
}

uint16_t
wire_fill_uint16(struct wire_fill *fill)
{
	return (uint16_t)fill_number(fill);
}

uint32_t
wire_fill_uint32(struct wire_fill *fill)
{
	return (uint32_t)fill_number(fill);
}

struct tk_uuid
wire_fill_uuid(struct wire_fill *fill)
{
	struct tk_uuid uuid = { { 0 } };

	if (wire_random(fill) % 4 != 0)
		for (size_t i = 0; i < sizeof(uuid.b); i++)
			uuid.b[i] = (uint8_t)wire_random(fill);
	return uuid;
}

static void *
fill_memory(struct wire_fill *fill, size_t size_bytes)
{
	void *result = tk_arena_calloc(fill->arena, 1, size_bytes);

	tk_assert(result != NULL);
	return result;
}

static struct tk_bytes
fill_slice(struct wire_fill *fill, bool nullable, size_t long_bytes)
{
	uint64_t r = wire_random(fill);
	size_t len = (r >> 8) % 12;
	uint8_t *data;

	if (nullable && r % 4 == 0)
		return (struct tk_bytes){ NULL, 0 };
	if (r % 16 == 1)
		len = 100 + (r >> 16) % long_bytes;
	data = fill_memory(fill, len);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)wire_random(fill);
	return (struct tk_bytes){ data, (uint32_t)len };
}

struct tk_bytes
wire_fill_string(struct wire_fill *fill, bool nullable)
{
	return fill_slice(fill, nullable, 100);
}

struct tk_bytes
wire_fill_bytes(struct wire_fill *fill, bool nullable)
{
	return fill_slice(fill, nullable, 800);
}

static void
fill_file_unref(void *owner)
{
	struct wire_fill *fill = owner;

	fill->open_files--;
}

/* A file that holds its own offsets; one for all ranges. */
static int
fill_file(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	fd = memfd_create("records", MFD_CLOEXEC);
	tk_assert(fd >= 0);
	for (int i = 0; i < 2048; i++) {
		uint8_t byte = (uint8_t)(i * 7);

		tk_assert(write(fd, &byte, 1) == 1);
	}
	return fd;
}

struct tk_records
wire_fill_records(struct wire_fill *fill, bool nullable)
{
	struct tk_records records = { .mem = { NULL, 0 } };
	uint64_t r = wire_random(fill);

	if (!fill->files || r % 2 == 0) {
		records.mem = wire_fill_bytes(fill, nullable);
		return records;
	}
	records.is_file = true;
	records.file = (struct tk_file_range){
		.fd = fill_file(),
		.offset = (int64_t)((r >> 8) % 1024),
		.len = (uint32_t)((r >> 32) % 4 == 0 ? 0 : (r >> 40) % 1024),
		.owner = fill,
		.unref = fill_file_unref,
	};
	fill->open_files++;
	return records;
}

void *
wire_fill_array(struct wire_fill *fill, bool nullable, size_t element_size, int32_t *ret_count)
{
	uint64_t r = wire_random(fill);

	if (nullable && r % 4 == 0) {
		*ret_count = -1;
		return NULL;
	}
	*ret_count = (int32_t)((r >> 8) % 4);
	return *ret_count == 0 ? NULL : fill_memory(fill, (size_t)*ret_count * element_size);
}

void *
wire_fill_struct(struct wire_fill *fill, size_t size_bytes)
{
	return wire_random(fill) % 4 == 0 ? NULL : fill_memory(fill, size_bytes);
}

uint8_t *
wire_linear(const struct tk_chain *chain, size_t *ret_len)
{
	uint8_t *data, *at;

	if (tk_chain_failed(chain))
		return NULL;
	at = data = malloc(chain->len > 0 ? chain->len : 1);
	tk_assert(data != NULL);
	for (const struct tk_piece *piece = chain->first; piece != NULL; piece = piece->next) {
		if (piece->kind == TK_PIECE_FILE)
			tk_assert(pread(piece->file.fd, at, piece->len, piece->file.offset) ==
				  (ssize_t)piece->len);
		else if (piece->len > 0)
			memcpy(at, piece->data, piece->len);
		at += piece->len;
	}
	tk_assert((uint64_t)(at - data) == chain->len);
	*ret_len = (size_t)chain->len;
	return data;
}

uint8_t *
wire_copy(const void *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	tk_assert(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}
