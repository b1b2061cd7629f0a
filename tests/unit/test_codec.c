/*
 * Inflating: what real compressors make comes back whole, and nothing else does any harm.
 */
#include "log/codec.h"

#include <sys/resource.h>

#include "test_batch_make.h"
#include "unit.h"

static const enum tk_codec codecs[] = { TK_CODEC_NONE, TK_CODEC_GZIP, TK_CODEC_SNAPPY, TK_CODEC_LZ4,
	TK_CODEC_ZSTD };

/* Bytes that compress well, badly, or not at all. */
static uint8_t *
plain_make(size_t len, unsigned kind)
{
	uint8_t *plain = malloc(len > 0 ? len : 1);
	uint64_t random = kind + 1;

	tk_assert(plain != NULL);
	for (size_t i = 0; i < len; i++) {
		uint32_t number = kind == 0 ? 0 : make_random(&random);

		plain[i] = (uint8_t)(kind == 2 ? number >> 5 : 'a' + i % 10 + (number % 64 == 0));
	}
	return plain;
}

/* Reads all of a stream in pieces of room bytes: the length, or the error; equal says whether. */
static ssize_t
read_all(struct tk_inflate *stream, const uint8_t *plain, size_t len, size_t room, bool *ret_equal)
{
	uint8_t *buf = malloc(room);
	size_t done = 0;
	ssize_t got;

	*ret_equal = true;
	while ((got = tk_codec_read(stream, buf, room)) > 0) {
		if (done + (size_t)got > len || memcmp(plain + done, buf, (size_t)got) != 0)
			*ret_equal = false;
		done += (size_t)got;
	}
	CU_ASSERT_EQUAL(tk_codec_read(stream, buf, room), got); /* the end stays the end */
	free(buf);
	return got < 0 ? got : (ssize_t)done;
}

static ssize_t
inflate_all(enum tk_codec codec, const void *data, size_t data_len, uint64_t limit,
    const uint8_t *plain, size_t len, size_t room, bool *ret_equal)
{
	struct tk_inflate *stream;
	uint8_t *exact = malloc(data_len > 0 ? data_len : 1);
	ssize_t done;

	if (data_len > 0)
		memcpy(exact, data, data_len);
	CU_ASSERT_EQUAL_FATAL(tk_inflate_new_memory(codec, exact, data_len, limit, &stream), 0);
	done = read_all(stream, plain, len, room, ret_equal);
	tk_inflate_free(&stream);
	CU_ASSERT_PTR_NULL(stream);
	tk_inflate_free(&stream);
	free(exact);
	return done;
}

static void
expect_plain(enum tk_codec codec, const struct make *data, const uint8_t *plain, size_t len)
{
	static const size_t rooms[] = { 1, 7, 4096, 1 << 20 };

	for (size_t r = len > 100000 ? 2 : 0; r < TK_COUNT_OF(rooms); r++) {
		bool equal;

		CU_ASSERT_EQUAL(inflate_all(codec, data->bytes, data->len, UINT64_MAX, plain, len,
				    rooms[r], &equal),
		    (ssize_t)len);
		CU_ASSERT(equal);
	}
}

static void
test_round_trips(void)
{
	static const size_t sizes[] = { 0, 1, 100, 65535, 65537, 3000000 };

	for (size_t c = 0; c < TK_COUNT_OF(codecs); c++)
		for (size_t s = 0; s < TK_COUNT_OF(sizes); s++)
			for (unsigned kind = 0; kind < 3; kind++) {
				uint8_t *plain = plain_make(sizes[s], kind);
				struct make data = { 0 };

				make_compress(&data, codecs[c], plain, sizes[s]);
				expect_plain(codecs[c], &data, plain, sizes[s]);
				make_free(&data);
				free(plain);
			}
}

static void
test_snappy_framings(void)
{
	static const size_t sizes[] = { 0, 1, 16, 17, 1000, 200000 };
	static const size_t blocks[] = { 1 << 10, 32 << 10, 1 << 20 };

	for (size_t s = 0; s < TK_COUNT_OF(sizes); s++) {
		uint8_t *plain = plain_make(sizes[s], 1);
		struct make data = { 0 };
		size_t room = snappy_max_compressed_length(sizes[s]);
		char *raw = malloc(room);
		bool equal;

		CU_ASSERT_EQUAL(
		    snappy_compress((const char *)plain, sizes[s], raw, &room), SNAPPY_OK);
		make_put(&data, raw, room);
		expect_plain(TK_CODEC_SNAPPY, &data, plain, sizes[s]);
		if (sizes[s] > 0)
			CU_ASSERT_EQUAL(inflate_all(TK_CODEC_SNAPPY, data.bytes, data.len,
					    sizes[s] - 1, plain, sizes[s], 100, &equal),
			    -E2BIG);
		make_free(&data);
		for (size_t b = 0; b < TK_COUNT_OF(blocks); b++) {
			make_xerial(&data, plain, sizes[s] / 2, blocks[b]);
			make_xerial(&data, plain + sizes[s] / 2, sizes[s] - sizes[s] / 2,
			    blocks[b]); /* the header once more, in between */
			expect_plain(TK_CODEC_SNAPPY, &data, plain, sizes[s]);
			make_free(&data);
		}
		free(raw);
		free(plain);
	}
}

static void
lz4_expect(const LZ4F_preferences_t *prefs, const uint8_t *plain, size_t len)
{
	size_t room = LZ4F_compressFrameBound(len, prefs);
	struct make data = { 0 };
	uint8_t *to = malloc(room);

	room = LZ4F_compressFrame(to, room, plain, len, prefs);
	CU_ASSERT_FATAL(!LZ4F_isError(room));
	make_put(&data, to, room);
	expect_plain(TK_CODEC_LZ4, &data, plain, len);
	make_free(&data);
	free(to);
}

static void
test_lz4_frames(void)
{
	static const LZ4F_blockSizeID_t ids[] = { LZ4F_max64KB, LZ4F_max256KB, LZ4F_max1MB,
		LZ4F_max4MB };
	size_t len = 700000;
	uint8_t *plain = plain_make(len, 1);

	for (size_t i = 0; i < TK_COUNT_OF(ids); i++)
		for (unsigned flags = 0; flags < 8; flags++) {
			LZ4F_preferences_t prefs = { 0 };

			prefs.frameInfo.blockSizeID = ids[i];
			prefs.frameInfo.blockMode =
			    (flags & 1) != 0 ? LZ4F_blockLinked : LZ4F_blockIndependent;
			prefs.frameInfo.contentChecksumFlag = (flags & 2) != 0;
			prefs.frameInfo.blockChecksumFlag = (flags & 2) != 0;
			prefs.frameInfo.contentSize = (flags & 4) != 0 ? len : 0;
			lz4_expect(&prefs, plain, len);
		}
	free(plain);
}

/* As a client makes it that does not know the size beforehand. */
static void
zstd_stream(struct make *out, const uint8_t *plain, size_t len, int level, int window_log)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	ZSTD_inBuffer in = { plain, len, 0 };
	uint8_t buf[4096];
	size_t left;

	(void)ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);
	(void)ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
	if (window_log != 0)
		(void)ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, window_log);
	do {
		bool last = in.pos == in.size;
		ZSTD_outBuffer to = { buf, sizeof(buf), 0 };

		left = ZSTD_compressStream2(ctx, &to, &in, last ? ZSTD_e_end : ZSTD_e_continue);
		tk_assert(!ZSTD_isError(left));
		make_put(out, buf, to.pos);
		if (!last)
			left = 1;
	} while (left > 0);
	(void)ZSTD_freeCCtx(ctx);
}

static void
test_zstd_frames(void)
{
	static const int levels[] = { 1, 3, 9, 19 };
	size_t len = 500000;
	uint8_t *plain = plain_make(len, 1);
	struct make data = { 0 };
	bool equal;

	for (size_t i = 0; i < TK_COUNT_OF(levels); i++) {
		zstd_stream(&data, plain, len, levels[i], 0);
		expect_plain(TK_CODEC_ZSTD, &data, plain, len);
		make_free(&data);
	}
	zstd_stream(&data, plain, len, 3, TK_INFLATE_WINDOW_LOG_MAX);
	expect_plain(TK_CODEC_ZSTD, &data, plain, len);
	make_free(&data);
	zstd_stream(&data, plain, len, 3, TK_INFLATE_WINDOW_LOG_MAX + 1);
	CU_ASSERT_EQUAL(
	    inflate_all(TK_CODEC_ZSTD, data.bytes, data.len, UINT64_MAX, plain, len, 4096, &equal),
	    -EBADMSG);
	make_free(&data);
	free(plain);
}

/* Members and frames one behind the other are one stream. */
static void
test_concatenated(void)
{
	static const enum tk_codec streams[] = { TK_CODEC_GZIP, TK_CODEC_LZ4, TK_CODEC_ZSTD };
	size_t len = 30000;
	uint8_t *plain = plain_make(len, 1);

	for (size_t c = 0; c < TK_COUNT_OF(streams); c++) {
		struct make data = { 0 };
		bool equal;

		make_compress(&data, streams[c], plain, 20000);
		make_compress(&data, streams[c], plain + 20000, 0);
		make_compress(&data, streams[c], plain + 20000, len - 20000);
		expect_plain(streams[c], &data, plain, len);
		make_byte(&data, 0); /* which begins nothing */
		CU_ASSERT_EQUAL(inflate_all(streams[c], data.bytes, data.len, UINT64_MAX, plain,
				    len, 4096, &equal),
		    -EBADMSG);
		make_free(&data);
	}
	free(plain);
}

/* Every proper prefix is an error, after sound bytes only. */
static void
test_prefixes(void)
{
	size_t len = 3000;
	uint8_t *plain = plain_make(len, 1);

	for (size_t c = 1; c < TK_COUNT_OF(codecs); c++) {
		struct make data = { 0 };

		make_compress(&data, codecs[c], plain, len);
		for (size_t cut = 0; cut < data.len; cut++) {
			bool equal;
			ssize_t got = inflate_all(
			    codecs[c], data.bytes, cut, UINT64_MAX, plain, len, 512, &equal);

			/* xerial's header alone is a stream of nothing */
			if (!(codecs[c] == TK_CODEC_SNAPPY && cut == 16))
				CU_ASSERT_EQUAL(got, -EBADMSG);
			CU_ASSERT(equal);
		}
		make_free(&data);
	}
	free(plain);
}

/* Damage is an error or, where the format has no checksum, other bytes: never harm. */
static void
test_damage(void)
{
	uint8_t *plain = plain_make(2000, 1);
	uint64_t random = 99;

	for (size_t c = 1; c < TK_COUNT_OF(codecs); c++) {
		struct make data = { 0 };

		make_compress(&data, codecs[c], plain, 2000);
		for (size_t i = 0; i < data.len; i++) {
			uint8_t was = data.bytes[i];
			bool equal;

			data.bytes[i] ^= (uint8_t)(1 + make_random(&random) % 255);
			(void)inflate_all(
			    codecs[c], data.bytes, data.len, 1 << 20, plain, 2000, 333, &equal);
			data.bytes[i] = was;
		}
		for (int i = 0; i < 300; i++) {
			uint8_t garbage[200];
			bool equal;

			for (size_t j = 0; j < sizeof(garbage); j++)
				garbage[j] = (uint8_t)make_random(&random);
			if (i % 2 == 0)
				memcpy(garbage, data.bytes, 16);
			(void)inflate_all(codecs[c], garbage, make_random(&random) % 201, 1 << 20,
			    plain, 2000, 333, &equal);
		}
		make_free(&data);
	}
	free(plain);
}

static void
test_limit(void)
{
	size_t len = 100000;
	uint8_t *plain = plain_make(len, 1);

	for (size_t c = 0; c < TK_COUNT_OF(codecs); c++) {
		struct make data = { 0 };
		bool equal;

		make_compress(&data, codecs[c], plain, len);
		CU_ASSERT_EQUAL(
		    inflate_all(codecs[c], data.bytes, data.len, len, plain, len, 4096, &equal),
		    (ssize_t)len);
		CU_ASSERT(equal);
		CU_ASSERT_EQUAL(
		    inflate_all(codecs[c], data.bytes, data.len, len - 1, plain, len, 4096, &equal),
		    -E2BIG);
		CU_ASSERT(equal);
		CU_ASSERT_EQUAL(
		    inflate_all(codecs[c], data.bytes, data.len, 0, plain, len, 4096, &equal),
		    -E2BIG);
		make_free(&data);
	}
	free(plain);
}

/* Inflates a bomb up to 10 MiB; how much more memory than before that took, in KiB. */
static long
bomb_cost(enum tk_codec codec, const struct make *data, const uint8_t *plain, size_t len)
{
	struct rusage before, after;
	bool equal;

	(void)getrusage(RUSAGE_SELF, &before);
	CU_ASSERT_EQUAL(
	    inflate_all(codec, data->bytes, data->len, 10 << 20, plain, len, 65536, &equal),
	    -E2BIG);
	CU_ASSERT(equal);
	(void)getrusage(RUSAGE_SELF, &after);
	return after.ru_maxrss - before.ru_maxrss;
}

/* A raw snappy block of zeros: literals never, copies of 64 bytes only. */
static void
make_snappy_bomb(struct make *make, size_t len)
{
	for (size_t n = len; n > 0; n >>= 7)
		make_byte(make, (unsigned)(n & 0x7f) | (n >= 0x80 ? 0x80 : 0));
	make_put(make, "\0\0", 2); /* one literal byte */
	for (size_t done = 1; done < len; done += 64) {
		size_t run = TK_MIN(len - done, (size_t)64);

		make_byte(make, (unsigned)(run - 1) << 2 | 2);
		make_put(make, "\1\0", 2);
	}
}

/* What inflates to 256 MiB costs no more memory than its window, and stops at the limit. */
static void
test_bombs(void)
{
	size_t len = (size_t)256 << 20;
	uint8_t *plain = calloc(1, len);
	struct make data = { 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(plain);
	make_snappy_bomb(&data, len);
	CU_ASSERT(bomb_cost(TK_CODEC_SNAPPY, &data, plain, len) < (32 << 10));
	make_free(&data);
	for (size_t c = 1; c < TK_COUNT_OF(codecs); c++) {
		make_compress(&data, codecs[c], plain, len);
		CU_ASSERT(bomb_cost(codecs[c], &data, plain, len) < (32 << 10));
		make_free(&data);
	}
	free(plain);
}

/* Sizes that are only said are not believed. */
static void
test_declared_sizes(void)
{
	static const struct {
		enum tk_codec codec;
		const char *bytes;
		size_t len;
	} cases[] = {
		/* raw: 2^32-1 bytes from three */
		{ TK_CODEC_SNAPPY, "\xff\xff\xff\xff\x0f\0\0\0", 8 },
		/* xerial: a block of 2^31-1, of 2^32-1, of more than there is */
		{ TK_CODEC_SNAPPY, "\x82SNAPPY\0\0\0\0\1\0\0\0\1\x7f\xff\xff\xff\0", 21 },
		{ TK_CODEC_SNAPPY, "\x82SNAPPY\0\0\0\0\1\0\0\0\1\xff\xff\xff\xff\0", 21 },
		{ TK_CODEC_SNAPPY, "\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\2\0", 21 },
		{ TK_CODEC_SNAPPY, "\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\0", 20 },
		{ TK_CODEC_SNAPPY, "\x82SNAPPY\0\0\0\0\1\0\0\0\1\x82SNA\0\0\0\0\0\0\0\0\0\0\0\0",
		    32 },
		/* zstd: a frame that says 2^62 bytes of content, window 2^41 */
		{ TK_CODEC_ZSTD, "\x28\xb5\x2f\xfd\xc0\xff\0\0\0\0\0\0\0\x40", 14 },
	};

	for (size_t i = 0; i < TK_COUNT_OF(cases); i++) {
		bool equal;

		CU_ASSERT_EQUAL(inflate_all(cases[i].codec, cases[i].bytes, cases[i].len,
				    UINT64_MAX, NULL, 0, 100, &equal),
		    -EBADMSG);
	}
}

/* A source that gives a byte at a time, and after some an error. */
struct slow_source {
	const uint8_t *at;
	size_t left, until_error;
};

static ssize_t
slow_pull(void *context, void *buf, size_t room)
{
	struct slow_source *slow = context;

	if (slow->until_error == 0)
		return -EIO;
	if (slow->left == 0 || room == 0)
		return 0;
	slow->until_error--;
	slow->left--;
	*(uint8_t *)buf = *slow->at++;
	return 1;
}

static void
test_sources(void)
{
	size_t len = 5000;
	uint8_t *plain = plain_make(len, 1);
	struct tk_inflate *stream;

	for (size_t c = 0; c < TK_COUNT_OF(codecs); c++) {
		struct make data = { 0 };
		bool equal;

		make_compress(&data, codecs[c], plain, len);
		for (int fails = 0; fails < 2; fails++) {
			struct slow_source slow = { data.bytes, data.len,
				fails ? data.len / 2 : SIZE_MAX };
			struct tk_codec_source source = { slow_pull, &slow, data.len };

			CU_ASSERT_EQUAL_FATAL(
			    tk_inflate_new(codecs[c], &source, UINT64_MAX, &stream), 0);
			CU_ASSERT_EQUAL(
			    read_all(stream, plain, len, 100, &equal), fails ? -EIO : (ssize_t)len);
			CU_ASSERT(equal);
			tk_inflate_free(&stream);
		}
		make_free(&data);
	}
	free(plain);
}

static void
test_unknown(void)
{
	struct tk_inflate *stream;

	CU_ASSERT_EQUAL(tk_inflate_new_memory((enum tk_codec)5, "", 0, 1, &stream), -EINVAL);
	CU_ASSERT_EQUAL(tk_inflate_new_memory((enum tk_codec) - 1, "", 0, 1, &stream), -EINVAL);
}

TK_UNIT_MAIN("codec", { "bombs", test_bombs }, { "round trips", test_round_trips },
    { "snappy's framings", test_snappy_framings }, { "lz4 frames", test_lz4_frames },
    { "zstd frames", test_zstd_frames }, { "concatenated", test_concatenated },
    { "every prefix", test_prefixes }, { "damage", test_damage }, { "limit", test_limit },
    { "declared sizes", test_declared_sizes }, { "sources", test_sources },
    { "unknown codec", test_unknown })
