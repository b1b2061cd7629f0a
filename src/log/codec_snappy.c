/*
 * Snappy, raw or in xerial's framing (snappy-java's stream, which Kafka's clients send): a header
 * of 16 bytes, then blocks with their length before them; the header may come again in between.
 * Any process.
 *
 * A block is inflated whole.  What it says its size is counts only within what its bytes could make
 * (a copy of 64 bytes takes three) and within the limit on output.
 */
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "log/codec_private.h"

#define XERIAL_HEADER_BYTES 16u
#define XERIAL_MAGIC_BYTES  8u
#define OUT_PER_IN          22u

static const uint8_t xerial_magic[XERIAL_MAGIC_BYTES] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0 };

/* Exactly len bytes: 0, -EBADMSG if there are fewer, or what the source said. */
static int
pull_all(struct tk_inflate *stream, uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t got = inflate_pull(stream, buf, len);

		if (got <= 0)
			return got == 0 ? -EBADMSG : (int)got;
		buf += got;
		len -= (size_t)got;
	}
	return 0;
}

static int
room_for(uint8_t **buf, size_t *room, size_t len)
{
	if (len <= *room)
		return 0;
	free(*buf);
	*room = 0;
	*buf = malloc(len);
	if (*buf == NULL)
		return -ENOMEM;
	*room = len;
	return 0;
}

/* Inflates the len bytes in state->in. */
static int
block_inflate(struct tk_inflate *stream, size_t len)
{
	struct snappy_state *state = &stream->snappy;
	size_t out_len;
	int rc;

	if (snappy_uncompressed_length((const char *)state->in, len, &out_len) != SNAPPY_OK)
		return -EBADMSG;
	if (out_len / OUT_PER_IN > len)
		return -EBADMSG;
	if (out_len > stream->limit)
		return -E2BIG;
	rc = room_for(&state->out, &state->out_room, TK_MAX(out_len, (size_t)1));
	if (rc < 0)
		return rc;
	if (snappy_uncompress((const char *)state->in, len, (char *)state->out, &out_len) !=
	    SNAPPY_OK)
		return -EBADMSG;
	state->at = 0;
	state->end = out_len;
	return 0;
}

/* A block of len bytes, of which the first have_len are there already. */
static int
block_read(struct tk_inflate *stream, size_t len, const uint8_t *have, size_t have_len)
{
	struct snappy_state *state = &stream->snappy;
	int rc;

	if (len - have_len > stream->source.left)
		return -EBADMSG;
	rc = room_for(&state->in, &state->in_room, TK_MAX(len, (size_t)1));
	if (rc < 0)
		return rc;
	if (have_len > 0)
		memcpy(state->in, have, have_len);
	rc = pull_all(stream, state->in + have_len, len - have_len);
	return rc < 0 ? rc : block_inflate(stream, len);
}

/* Looks which framing it is; a raw one is a single block and is read at once. */
static int
begin(struct tk_inflate *stream)
{
	uint8_t head[XERIAL_HEADER_BYTES];
	size_t len = (size_t)TK_MIN(stream->source.left, (uint64_t)sizeof(head));
	int rc = pull_all(stream, head, len);

	if (rc < 0)
		return rc;
	stream->snappy.begun = true;
	stream->snappy.framed =
	    len == sizeof(head) && memcmp(head, xerial_magic, sizeof(xerial_magic)) == 0;
	if (stream->snappy.framed)
		return 0;
	return block_read(stream, len + (size_t)stream->source.left, head, len);
}

/* The next block of a framed stream: 1, 0 at the end, or -errno. */
static int
block_next(struct tk_inflate *stream)
{
	uint8_t head[XERIAL_HEADER_BYTES];
	uint32_t len;
	int rc;

	if (stream->source.left == 0)
		return 0;
	rc = pull_all(stream, head, 4);
	if (rc < 0)
		return rc;
	if (memcmp(head, xerial_magic, 4) == 0) {
		rc = pull_all(stream, head + 4, sizeof(head) - 4);
		if (rc < 0)
			return rc;
		return memcmp(head, xerial_magic, sizeof(xerial_magic)) == 0 ? 1 : -EBADMSG;
	}
	len = tk_be32_get(head);
	rc = block_read(stream, len, NULL, 0);
	return rc < 0 ? rc : 1;
}

ssize_t
snappy_read(struct tk_inflate *stream, void *buf, size_t room)
{
	struct snappy_state *state = &stream->snappy;
	size_t run;
	int rc;

	if (!state->begun) {
		rc = begin(stream);
		if (rc < 0)
			return rc;
	}
	while (state->at == state->end) {
		if (!state->framed)
			return 0;
		rc = block_next(stream);
		if (rc <= 0)
			return rc;
	}
	run = TK_MIN(room, state->end - state->at);
	memcpy(buf, state->out + state->at, run);
	state->at += run;
	return (ssize_t)run;
}

void
snappy_end(struct tk_inflate *stream)
{
	free(stream->snappy.in);
	free(stream->snappy.out);
}
