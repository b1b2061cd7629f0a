/*
 * Inflating batches as a stream: gzip by zlib, lz4 by its frame library, zstd.  Snappy, whose
 * blocks are not a stream, is in codec_snappy.c.  Any process; one thread a stream; what bounds it
 * is said in the header.
 *
 * Several members or frames behind each other are one stream, as in Kafka.  An input that ends
 * inside one, or holds none, is damage.
 */
#include "log/codec_private.h"

#include <stdlib.h>
#include <string.h>

static ssize_t
memory_pull(void *context, void *buf, size_t room)
{
	struct tk_bytes *bytes = context;
	size_t run = TK_MIN(room, (size_t)bytes->len);

	memcpy(buf, bytes->data, run);
	bytes->data += run;
	bytes->len -= (uint32_t)run;
	return (ssize_t)run;
}

ssize_t
inflate_pull(struct tk_inflate *stream, void *buf, size_t room)
{
	ssize_t got;

	room = (size_t)TK_MIN((uint64_t)room, stream->source.left);
	if (room == 0)
		return 0;
	got = stream->source.pull(stream->source.context, buf, room);
	if (got > 0)
		stream->source.left -= (uint64_t)got;
	return got;
}

/* Sees to it that there is input to look at: 1, 0 at the end of it, or -errno. */
static int
inflate_fill(struct tk_inflate *stream)
{
	ssize_t got;

	if (stream->at < stream->end)
		return 1;
	got = inflate_pull(stream, stream->input, INFLATE_INPUT_BYTES);
	if (got <= 0)
		return (int)got;
	stream->at = 0;
	stream->end = (size_t)got;
	return 1;
}

static ssize_t
none_read(struct tk_inflate *stream, void *buf, size_t room)
{
	return inflate_pull(stream, buf, room);
}

static int
gzip_begin(struct tk_inflate *stream)
{
	return inflateInit2(&stream->zlib, 16 + MAX_WBITS) == Z_OK ? 0 : -ENOMEM;
}

/* One step: *ret_made of output from what input there is; whether a member ended is kept. */
static int
gzip_step(struct tk_inflate *stream, void *buf, size_t room, size_t *ret_made)
{
	z_stream *z = &stream->zlib;
	int rc;

	if (stream->between && inflateReset(z) != Z_OK)
		return -EBADMSG;
	z->next_in = stream->input + stream->at;
	z->avail_in = (uInt)(stream->end - stream->at);
	z->next_out = buf;
	z->avail_out = (uInt)TK_MIN(room, (size_t)1 << 30);
	rc = inflate(z, Z_NO_FLUSH);
	if (rc == Z_MEM_ERROR)
		return -ENOMEM;
	if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
		return -EBADMSG;
	stream->at = stream->end - z->avail_in;
	*ret_made = (size_t)(z->next_out - (Bytef *)buf);
	stream->between = rc == Z_STREAM_END;
	return 0;
}

static void
gzip_end(struct tk_inflate *stream)
{
	(void)inflateEnd(&stream->zlib);
}

static int
lz4_begin(struct tk_inflate *stream)
{
	return LZ4F_isError(LZ4F_createDecompressionContext(&stream->lz4, LZ4F_VERSION)) ? -ENOMEM
											 : 0;
}

static int
lz4_step(struct tk_inflate *stream, void *buf, size_t room, size_t *ret_made)
{
	size_t out = room, in = stream->end - stream->at;
	size_t rc;

	rc = LZ4F_decompress(stream->lz4, buf, &out, stream->input + stream->at, &in, NULL);
	if (LZ4F_isError(rc))
		return -EBADMSG;
	stream->at += in;
	stream->between = rc == 0;
	*ret_made = out;
	return 0;
}

static void
lz4_end(struct tk_inflate *stream)
{
	(void)LZ4F_freeDecompressionContext(stream->lz4);
}

static int
zstd_begin(struct tk_inflate *stream)
{
	stream->zstd = ZSTD_createDStream();
	if (stream->zstd == NULL)
		return -ENOMEM;
	(void)ZSTD_DCtx_setParameter(stream->zstd, ZSTD_d_windowLogMax, TK_INFLATE_WINDOW_LOG_MAX);
	return 0;
}

static int
zstd_step(struct tk_inflate *stream, void *buf, size_t room, size_t *ret_made)
{
	ZSTD_outBuffer out = { buf, room, 0 };
	ZSTD_inBuffer in = { stream->input, stream->end, stream->at };
	size_t rc = ZSTD_decompressStream(stream->zstd, &out, &in);

	if (ZSTD_isError(rc))
		return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation ? -ENOMEM : -EBADMSG;
	stream->at = in.pos;
	stream->between = rc == 0;
	*ret_made = out.pos;
	return 0;
}

static void
zstd_end(struct tk_inflate *stream)
{
	(void)ZSTD_freeDStream(stream->zstd);
}

/*
 * Steps until there is output.  A step is made with input, or without as long as the last one
 * filled all its room: the library may hold output back.
 */
static ssize_t
stream_read(struct tk_inflate *stream, void *buf, size_t room)
{
	for (;;) {
		size_t made = 0, at;
		int rc = inflate_fill(stream);

		if (rc < 0)
			return rc;
		if (rc == 0 && stream->between)
			return 0;
		if (rc == 0 && !stream->more)
			return -EBADMSG;
		at = stream->at;
		rc = stream->kind->step(stream, buf, room, &made);
		if (rc < 0)
			return rc;
		stream->more = made == room;
		if (made > 0)
			return (ssize_t)made;
		if (stream->at == at && at < stream->end)
			return -EBADMSG; /* neither eats nor makes anything */
	}
}

static const struct inflate_kind kinds[] = {
	[TK_CODEC_NONE] = { .read = none_read },
	[TK_CODEC_GZIP] = { stream_read, gzip_begin, gzip_step, gzip_end },
	[TK_CODEC_SNAPPY] = { .read = snappy_read, .end = snappy_end },
	[TK_CODEC_LZ4] = { stream_read, lz4_begin, lz4_step, lz4_end },
	[TK_CODEC_ZSTD] = { stream_read, zstd_begin, zstd_step, zstd_end },
};

int
tk_inflate_new(enum tk_codec codec, const struct tk_codec_source *source, uint64_t limit_bytes,
    struct tk_inflate **ret_inflate)
{
	struct tk_inflate *stream;
	int rc = 0;

	if ((unsigned)codec >= TK_COUNT_OF(kinds))
		return -EINVAL;
	stream = calloc(1, sizeof(*stream) + (codec == TK_CODEC_NONE ? 0 : INFLATE_INPUT_BYTES));
	if (stream == NULL)
		return -ENOMEM;
	stream->kind = &kinds[codec];
	stream->source = *source;
	stream->limit = limit_bytes;
	if (stream->kind->begin != NULL)
		rc = stream->kind->begin(stream);
	if (rc < 0) {
		free(stream);
		return rc;
	}
	*ret_inflate = stream;
	return 0;
}

int
tk_inflate_new_memory(enum tk_codec codec, const void *data, size_t len, uint64_t limit_bytes,
    struct tk_inflate **ret_inflate)
{
	struct tk_codec_source source = { memory_pull, NULL, len };
	int rc;

	if (len > UINT32_MAX)
		return -EINVAL;
	rc = tk_inflate_new(codec, &source, limit_bytes, ret_inflate);
	if (rc < 0)
		return rc;
	(*ret_inflate)->memory = (struct tk_bytes){ data, (uint32_t)len };
	(*ret_inflate)->source.context = &(*ret_inflate)->memory;
	return 0;
}

void
tk_inflate_free(struct tk_inflate **stream)
{
	if (*stream == NULL)
		return;
	if ((*stream)->kind->end != NULL)
		(*stream)->kind->end(*stream);
	free(*stream);
	*stream = NULL;
}

/* At the limit one more byte is asked for: whether there is one is what has to be known. */
ssize_t
tk_codec_read(struct tk_inflate *stream, void *buf, size_t room)
{
	uint8_t probe;
	ssize_t got;

	tk_assert(room > 0);
	if (stream->failed != 0)
		return stream->failed;
	if (stream->limit == 0) {
		got = stream->kind->read(stream, &probe, 1);
		if (got > 0)
			got = -E2BIG;
	} else {
		room = (size_t)TK_MIN((uint64_t)room, stream->limit);
		got = stream->kind->read(stream, buf, room);
	}
	if (got < 0)
		stream->failed = (int)got;
	else
		stream->limit -= (uint64_t)got;
	return got;
}
