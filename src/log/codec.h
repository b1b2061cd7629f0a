/*
 * Inflating the records of a batch: a stream that is pulled, whose input is pulled in turn.
 *
 * Nothing is allocated because a peer's bytes declare a size, except what the bytes that are there
 * could really fill: zlib and lz4 have fixed windows, zstd's is capped by TK_INFLATE_WINDOW_LOG_MAX
 * (and touched only as far as output is made), a snappy block holds at most 64 bytes for every 3 of
 * input.  Output stops at the limit given.  Snappy comes raw or in xerial's framing, as Kafka's
 * clients send it.  Any process; one thread a stream.
 */
#ifndef TK_LOG_CODEC_H
#define TK_LOG_CODEC_H

#include <sys/types.h>

#include "log/batch.h"

#define TK_INFLATE_WINDOW_LOG_MAX 27 /* what Kafka's own decompressor takes */

/*
 * Where the compressed bytes come from: pull() copies up to room bytes and says how many, 0 at the
 * end, or -errno.  left is how many bytes there are still to come and is kept by the stream.
 */
struct tk_codec_source {
	ssize_t (*pull)(void *context, void *buf, size_t room);
	void *context;
	uint64_t left;
};

struct tk_inflate;

/* A stream of codec (TK_CODEC_NONE copies) over source; 0, -ENOMEM, or -EINVAL: no such codec. */
int tk_inflate_new(enum tk_codec codec, const struct tk_codec_source *source, uint64_t limit_bytes,
    struct tk_inflate **ret_inflate) TK_MUST_CHECK;

/* The same over memory, which must outlive the stream. */
int tk_inflate_new_memory(enum tk_codec codec, const void *data, size_t len, uint64_t limit_bytes,
    struct tk_inflate **ret_inflate) TK_MUST_CHECK;

void tk_inflate_free(struct tk_inflate **stream);

/*
 * Up to room bytes of output: how many, 0 at the end of a whole and sound input; -EBADMSG for one
 * that is not, -E2BIG once there is more output than the limit, -ENOMEM, or what pull() said.
 */
ssize_t tk_codec_read(struct tk_inflate *stream, void *buf, size_t room) TK_MUST_CHECK;

/*
 * The other way, all at once: data compressed, behind head_bytes that the caller fills in; to be
 * freed.  0, -ENOMEM, -EINVAL: no such codec, or what a library had against it.
 */
int tk_deflate(enum tk_codec codec, const void *data, size_t len, size_t head_bytes,
    uint8_t **ret_data, size_t *ret_len) TK_MUST_CHECK;

#endif
