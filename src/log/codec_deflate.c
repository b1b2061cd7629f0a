/*
 * Compressing the records of a batch, for batches that compaction makes shorter.
 *
 * Memory to memory, at the levels Kafka has as its defaults; snappy in xerial's framing and lz4 in
 * independent blocks without a checksum of the content, as Kafka's own writers make them.  Output
 * is bounded by what the codec says is the worst for that input.  Any process; no state.
 */
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "log/codec_private.h"

#define XERIAL_BLOCK_BYTES  ((size_t)32 << 10)
#define XERIAL_HEADER_BYTES ((size_t)16)
#define LZ4_LEVEL           9
#define ZSTD_LEVEL          3

/* A codec's worst case, and its work: 0 or -errno. */
struct deflate_kind {
	size_t (*bound)(size_t len);
	int (*run)(const uint8_t *data, size_t len, uint8_t *to, size_t room, size_t *ret_len);
};

static size_t
none_bound(size_t len)
{
	return len;
}

static int
none_run(const uint8_t *data, size_t len, uint8_t *to, size_t room, size_t *ret_len)
{
	(void)room;
	memcpy(to, data, len);
	*ret_len = len;
	return 0;
}

static size_t
gzip_bound(size_t len)
{
	return compressBound(len) + 64; /* its header is longer than zlib's */
}

static int
gzip_run(const uint8_t *data, size_t len, uint8_t *to, size_t room, size_t *ret_len)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)data, .next_out = to };
	int rc;

	if (len > UINT32_MAX || room > UINT32_MAX)
		return -E2BIG;
	z.avail_in = (uInt)len;
	z.avail_out = (uInt)room;
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8,
		Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	rc = deflate(&z, Z_FINISH);
	*ret_len = room - z.avail_out;
	(void)deflateEnd(&z);
	return rc == Z_STREAM_END ? 0 : -EIO;
}

static size_t
snappy_bound(size_t len)
{
	size_t blocks = len / XERIAL_BLOCK_BYTES + 1;

	return XERIAL_HEADER_BYTES +
	       blocks * (4 + snappy_max_compressed_length(XERIAL_BLOCK_BYTES));
}

static int
snappy_run(const uint8_t *data, size_t len, uint8_t *to, size_t room, size_t *ret_len)
{
	static const uint8_t header[XERIAL_HEADER_BYTES] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
		0, 0, 0, 1, 0, 0, 0, 1 };
	size_t at = sizeof(header);

	memcpy(to, header, sizeof(header));
	while (len > 0) {
		size_t run = TK_MIN(len, XERIAL_BLOCK_BYTES), made = room - at - 4;

		if (snappy_compress((const char *)data, run, (char *)to + at + 4, &made) !=
		    SNAPPY_OK)
			return -EIO;
		tk_be32_put(to + at, (uint32_t)made);
		at += 4 + made;
		data += run;
		len -= run;
	}
	*ret_len = at;
	return 0;
}

static const LZ4F_preferences_t lz4_preferences = {
	.frameInfo = { .blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent },
	.compressionLevel = LZ4_LEVEL,
};

static size_t
lz4_bound(size_t len)
{
	return LZ4F_compressFrameBound(len, &lz4_preferences);
}

static int
lz4_run(const uint8_t *data, size_t len, uint8_t *to, size_t room, size_t *ret_len)
{
	size_t made = LZ4F_compressFrame(to, room, data, len, &lz4_preferences);

	*ret_len = made;
	return LZ4F_isError(made) ? -ENOMEM : 0;
}

static size_t
zstd_bound(size_t len)
{
	return ZSTD_compressBound(len);
}

static int
zstd_run(const uint8_t *data, size_t len, uint8_t *to, size_t room, size_t *ret_len)
{
	size_t made = ZSTD_compress(to, room, data, len, ZSTD_LEVEL);

	*ret_len = made;
	return ZSTD_isError(made) ? -ENOMEM : 0;
}

static const struct deflate_kind kinds[] = {
	[TK_CODEC_NONE] = { none_bound, none_run },
	[TK_CODEC_GZIP] = { gzip_bound, gzip_run },
	[TK_CODEC_SNAPPY] = { snappy_bound, snappy_run },
	[TK_CODEC_LZ4] = { lz4_bound, lz4_run },
	[TK_CODEC_ZSTD] = { zstd_bound, zstd_run },
};

int
tk_deflate(enum tk_codec codec, const void *data, size_t len, size_t head_bytes, uint8_t **ret_data,
    size_t *ret_len)
{
	const struct deflate_kind *kind;
	uint8_t *to;
	size_t room, made;
	int rc;

	if ((unsigned)codec >= TK_COUNT_OF(kinds))
		return -EINVAL;
	kind = &kinds[codec];
	room = kind->bound(len);
	to = malloc(head_bytes + room + 1);
	if (to == NULL)
		return -ENOMEM;
	rc = kind->run(data, len, to + head_bytes, room, &made);
	if (rc < 0) {
		free(to);
		return rc;
	}
	*ret_data = to;
	*ret_len = head_bytes + made;
	return 0;
}
