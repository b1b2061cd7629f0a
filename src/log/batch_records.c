/*
 * Records inside a batch.  Any process; no state but the caller's.
 */
#include "log/batch_records.h"

#include <string.h>

/* An unsigned number of at most max_bytes bytes, the last of which has only last_bits. */
static const uint8_t *
uvarlong_get(const uint8_t *at, const uint8_t *end, unsigned max_bytes, unsigned last_bits,
    uint64_t *ret_value)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < max_bytes && at < end; i++) {
		uint8_t byte = *at++;

		if (i == max_bytes - 1 && byte >> last_bits != 0)
			return NULL;
		n |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			*ret_value = n;
			return at;
		}
	}
	return NULL;
}

const uint8_t *
tk_varlong_slow(const uint8_t *at, const uint8_t *end, int64_t *ret_value)
{
	uint64_t n;

	at = uvarlong_get(at, end, 10, 1, &n);
	if (at != NULL)
		*ret_value = (int64_t)(n >> 1 ^ (0 - (n & 1)));
	return at;
}

const uint8_t *
tk_varint_slow(const uint8_t *at, const uint8_t *end, int32_t *ret_value)
{
	uint64_t n;

	at = uvarlong_get(at, end, 5, 4, &n);
	if (at != NULL)
		*ret_value = (int32_t)((uint32_t)(n >> 1) ^ (0 - (uint32_t)(n & 1)));
	return at;
}

const uint8_t *
tk_record_headers_skip(const uint8_t *at, const uint8_t *end, int32_t count)
{
	struct tk_bytes bytes;

	if (count > end - at)
		return NULL;
	for (int32_t i = 0; i < count && at != NULL; i++) {
		at = tk_record_bytes_get(at, end, false, &bytes);
		if (at != NULL)
			at = tk_record_bytes_get(at, end, true, &bytes);
	}
	return at;
}

void
tk_record_walk_init(struct tk_record_walk *walk, struct tk_inflate *stream)
{
	walk->stream = stream;
	walk->at = walk->end = 0;
	walk->skip = 0;
	walk->ended = false;
}

/* More bytes into the buffer, behind those not yet looked at: 0 or -errno. */
static int
walk_fill(struct tk_record_walk *walk)
{
	ssize_t got;

	memmove(walk->buffer, walk->buffer + walk->at, walk->end - walk->at);
	walk->end -= walk->at;
	walk->at = 0;
	got =
	    tk_codec_read(walk->stream, walk->buffer + walk->end, sizeof(walk->buffer) - walk->end);
	if (got < 0)
		return (int)got;
	walk->ended = got == 0;
	walk->end += (size_t)got;
	return 0;
}

/* Passes over what is left of the record before. */
static int
walk_skip(struct tk_record_walk *walk)
{
	for (;;) {
		size_t run = (size_t)TK_MIN((uint64_t)(walk->end - walk->at), walk->skip);
		int rc;

		walk->at += run;
		walk->skip -= run;
		if (walk->skip == 0)
			return 0;
		if (walk->ended)
			return -EBADMSG;
		rc = walk_fill(walk);
		if (rc < 0)
			return rc;
	}
}

int
tk_record_walk_next(struct tk_record_walk *walk, struct tk_record_head *ret_head)
{
	const uint8_t *at;
	int rc = walk_skip(walk);

	if (rc < 0)
		return rc;
	while (!walk->ended && walk->end - walk->at < TK_RECORD_HEAD_MAX) {
		rc = walk_fill(walk);
		if (rc < 0)
			return rc;
	}
	if (walk->at == walk->end)
		return 0;
	at = tk_record_head_parse(walk->buffer + walk->at, walk->buffer + walk->end, ret_head);
	if (at == NULL)
		return -EBADMSG;
	walk->at = (size_t)(at - walk->buffer);
	walk->skip = (uint64_t)(ret_head->body_bytes - ret_head->head_bytes);
	return 1;
}

int
tk_record_walk_key(struct tk_record_walk *walk, int32_t *ret_len)
{
	const uint8_t *at;
	int rc;

	while (!walk->ended && walk->end - walk->at < 5) {
		rc = walk_fill(walk);
		if (rc < 0)
			return rc;
	}
	at = tk_varint_get(walk->buffer + walk->at, walk->buffer + walk->end, ret_len);
	if (at == NULL || *ret_len < -1)
		return -EBADMSG;
	return (uint64_t)(at - walk->buffer) - walk->at > walk->skip ? -EBADMSG : 0;
}
