/*
 * Makes record batches for tests, byte by byte and without the code under test: varints, records,
 * headers, and the compressed forms that clients send.
 */
#ifndef TK_TESTS_BATCH_MAKE_H
#define TK_TESTS_BATCH_MAKE_H

#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "log/batch.h"

struct make {
	uint8_t *bytes;
	size_t len, room;
};

static inline void
make_put(struct make *make, const void *data, size_t len)
{
	if (make->len + len > make->room) {
		make->room = (make->len + len) * 2;
		make->bytes = realloc(make->bytes, make->room);
		tk_assert(make->bytes != NULL);
	}
	if (len > 0)
		memcpy(make->bytes + make->len, data, len);
	make->len += len;
}

static inline void
make_byte(struct make *make, unsigned byte)
{
	uint8_t b = (uint8_t)byte;

	make_put(make, &b, 1);
}

static inline void
make_varint(struct make *make, int64_t value)
{
	uint64_t n = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

	for (; n >= 0x80; n >>= 7)
		make_byte(make, (unsigned)(n & 0x7f) | 0x80);
	make_byte(make, (unsigned)n);
}

static inline void
make_bytes(struct make *make, const void *data, int64_t len)
{
	make_varint(make, len);
	if (len > 0)
		make_put(make, data, (size_t)len);
}

static inline void
make_free(struct make *make)
{
	free(make->bytes);
	*make = (struct make){ 0 };
}

/* A record; key_len -1 is null.  The value is value_len times the same letter. */
static inline void
make_record(struct make *make, int64_t timestamp_delta, int64_t offset_delta, int64_t key_len,
    int64_t value_len, int headers)
{
	struct make body = { 0 };
	uint8_t *filler = malloc((size_t)(value_len > key_len ? value_len : key_len) + 2);

	tk_assert(filler != NULL);
	memset(filler, 'v', (size_t)(value_len > key_len ? value_len : key_len) + 2);
	make_byte(&body, 0);
	make_varint(&body, timestamp_delta);
	make_varint(&body, offset_delta);
	make_bytes(&body, filler, key_len);
	make_bytes(&body, filler, value_len);
	make_varint(&body, headers);
	for (int i = 0; i < headers; i++) {
		make_bytes(&body, "name", 4);
		make_bytes(&body, "value", i % 2 == 0 ? 5 : -1);
	}
	make_varint(make, (int64_t)body.len);
	make_put(make, body.bytes, body.len);
	make_free(&body);
	free(filler);
}

static inline void
make_xerial(struct make *out, const void *data, size_t len, size_t block_bytes)
{
	static const uint8_t header[16] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0,
		0, 1 };
	const uint8_t *at = data;

	make_put(out, header, sizeof(header));
	while (len > 0) {
		size_t run = len < block_bytes ? len : block_bytes;
		size_t room = snappy_max_compressed_length(run);
		char *block = malloc(room);
		uint8_t prefix[4];

		tk_assert(block != NULL);
		tk_assert(snappy_compress((const char *)at, run, block, &room) == SNAPPY_OK);
		tk_be32_put(prefix, (uint32_t)room);
		make_put(out, prefix, 4);
		make_put(out, block, room);
		free(block);
		at += run;
		len -= run;
	}
}

static inline void
make_gzip(struct make *out, const void *data, size_t len)
{
	z_stream z = { 0 };
	size_t room = len + len / 100 + 1024;
	uint8_t *to = malloc(room);

	tk_assert(to != NULL);
	tk_assert(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)len;
	z.next_out = to;
	z.avail_out = (uInt)room;
	tk_assert(deflate(&z, Z_FINISH) == Z_STREAM_END);
	make_put(out, to, room - z.avail_out);
	(void)deflateEnd(&z);
	free(to);
}

/* As a real client of that codec would; snappy in xerial's framing. */
static inline void
make_compress(struct make *out, enum tk_codec codec, const void *data, size_t len)
{
	size_t room =
	    codec == TK_CODEC_LZ4 ? LZ4F_compressFrameBound(len, NULL) : ZSTD_compressBound(len);
	uint8_t *to = malloc(room + 1);

	tk_assert(to != NULL);
	switch (codec) {
	case TK_CODEC_NONE:
		make_put(out, data, len);
		break;
	case TK_CODEC_GZIP:
		make_gzip(out, data, len);
		break;
	case TK_CODEC_SNAPPY:
		make_xerial(out, data, len, 32 << 10);
		break;
	case TK_CODEC_LZ4:
		room = LZ4F_compressFrame(to, room, data, len, NULL);
		tk_assert(!LZ4F_isError(room));
		make_put(out, to, room);
		break;
	case TK_CODEC_ZSTD:
		room = ZSTD_compress(to, room, data, len, 3);
		tk_assert(!ZSTD_isError(room));
		make_put(out, to, room);
		break;
	}
	free(to);
}

/* Header and records to a batch in memory of exactly its size; length is set, crc by seal. */
static inline uint8_t *
make_batch(struct tk_batch_header *header, const struct make *records)
{
	size_t len = TK_BATCH_HEADER_BYTES + records->len;
	uint8_t *batch = malloc(len);

	tk_assert(batch != NULL);
	header->length = (int32_t)(len - TK_BATCH_LENGTH_PREFIX);
	tk_batch_header_write(header, batch);
	if (records->len > 0)
		memcpy(batch + TK_BATCH_HEADER_BYTES, records->bytes, records->len);
	return batch;
}

/* Sets the checksum to what the len bytes have. */
static inline void
make_seal(uint8_t *batch, size_t len)
{
	tk_be32_put(batch + 17, tk_crc32c(0, batch + TK_BATCH_CRC_FROM, len - TK_BATCH_CRC_FROM));
}

/* Small numbers that are the same in every run. */
static inline uint32_t
make_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

#endif
