/*
 * What the files of the codecs share.
 */
#ifndef TK_LOG_CODEC_PRIVATE_H
#define TK_LOG_CODEC_PRIVATE_H

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "log/codec.h"

#define INFLATE_INPUT_BYTES ((size_t)16 << 10)

/* A codec: read() is what tk_codec_read() calls; those that are streams are made of step(). */
struct inflate_kind {
	ssize_t (*read)(struct tk_inflate *stream, void *buf, size_t room);
	int (*begin)(struct tk_inflate *stream);
	int (*step)(struct tk_inflate *stream, void *buf, size_t room, size_t *ret_made);
	void (*end)(struct tk_inflate *stream);
};

/* A snappy block, in and out; the memory is used again for the next. */
struct snappy_state {
	bool begun, framed;
	uint8_t *in, *out;
	size_t in_room, out_room;
	size_t at, end; /* of out */
};

struct tk_inflate {
	const struct inflate_kind *kind;
	struct tk_codec_source source;
	struct tk_bytes memory; /* the source's context, if it is memory */
	uint64_t limit;         /* of output, still */
	int failed;             /* sticks */
	bool between;           /* members: the last one ended and no other was begun */
	bool more;              /* the last step filled all the room it had */
	union {
		z_stream zlib;
		LZ4F_dctx *lz4;
		ZSTD_DStream *zstd;
		struct snappy_state snappy;
	};
	size_t at, end; /* of input */
	uint8_t input[];
};

/* Up to room bytes of the source: how many, 0 at the end, or -errno. */
ssize_t inflate_pull(struct tk_inflate *stream, void *buf, size_t room);

ssize_t snappy_read(struct tk_inflate *stream, void *buf, size_t room);
void snappy_end(struct tk_inflate *stream);

#endif
