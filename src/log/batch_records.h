/*
 * Records inside a batch: the one parser of their bytes.
 *
 * tk_record_parse() looks at a record in memory, copies nothing and trusts no length before it was
 * compared with the bytes that are there.  tk_record_walk is for records that come from a stream:
 * it parses heads (what stands before the key) with the same code and skips the rest.
 * Any process; no state but the caller's.
 */
#ifndef TK_LOG_BATCH_RECORDS_H
#define TK_LOG_BATCH_RECORDS_H

#include "log/codec.h"

struct tk_record_head {
	int32_t body_bytes; /* what the length says: all that follows it */
	int32_t head_bytes; /* of the body, up to the key's length */
	int64_t timestamp_delta;
	int32_t offset_delta;
};

struct tk_record {
	struct tk_record_head head;
	struct tk_bytes key, value; /* data NULL: null */
	struct tk_bytes headers;    /* the headers' bytes, which were looked at */
	int32_t headers_count;
};

#define TK_RECORD_HEAD_MAX 21u /* length 5, attributes 1, timestamp 10, offset 5 */

/* The general case of the two below. */
const uint8_t *tk_varlong_slow(const uint8_t *at, const uint8_t *end, int64_t *ret_value);
const uint8_t *tk_varint_slow(const uint8_t *at, const uint8_t *end, int32_t *ret_value);

/*
 * A zigzag number of at most 5 (10) bytes: where it ends, or NULL if it does not end before end or
 * does not fit its type.  One and two bytes are what there mostly is.
 */
static inline const uint8_t *
tk_varint_get(const uint8_t *at, const uint8_t *end, int32_t *ret_value)
{
	uint32_t n;

	if (end - at < 2)
		return tk_varint_slow(at, end, ret_value);
	n = at[0];
	if (n < 0x80) {
		*ret_value = (int32_t)(n >> 1) ^ -(int32_t)(n & 1);
		return at + 1;
	}
	if (at[1] >= 0x80)
		return tk_varint_slow(at, end, ret_value);
	n = (n & 0x7f) | (uint32_t)at[1] << 7;
	*ret_value = (int32_t)(n >> 1) ^ -(int32_t)(n & 1);
	return at + 2;
}

static inline const uint8_t *
tk_varlong_get(const uint8_t *at, const uint8_t *end, int64_t *ret_value)
{
	uint32_t n;

	if (end - at < 2)
		return tk_varlong_slow(at, end, ret_value);
	n = at[0];
	if (n >= 0x80) {
		if (at[1] >= 0x80)
			return tk_varlong_slow(at, end, ret_value);
		n = (n & 0x7f) | (uint32_t)at[1] << 7;
		at++;
	}
	*ret_value = (int32_t)(n >> 1) ^ -(int32_t)(n & 1);
	return at + 1;
}

/*
 * The head of the record at `at`; where the key's length stands, or NULL.  The body may reach
 * beyond end, its head may not.
 */
static inline const uint8_t *
tk_record_head_parse(const uint8_t *at, const uint8_t *end, struct tk_record_head *ret_head)
{
	const uint8_t *body;

	at = body = tk_varint_get(at, end, &ret_head->body_bytes);
	if (at == NULL || at == end)
		return NULL;
	at = tk_varlong_get(at + 1, end, &ret_head->timestamp_delta); /* behind the attributes */
	if (at == NULL)
		return NULL;
	at = tk_varint_get(at, end, &ret_head->offset_delta);
	if (at == NULL || at - body > ret_head->body_bytes)
		return NULL;
	ret_head->head_bytes = (int32_t)(at - body);
	return at;
}

/* Length (-1: null, if that is allowed) and as many bytes. */
static inline const uint8_t *
tk_record_bytes_get(
    const uint8_t *at, const uint8_t *end, bool nullable, struct tk_bytes *ret_bytes)
{
	int32_t len = 0;

	at = tk_varint_get(at, end, &len);
	if (at == NULL)
		return NULL;
	if (len < 0) {
		*ret_bytes = (struct tk_bytes){ NULL, 0 };
		return nullable && len == -1 ? at : NULL;
	}
	if (len > end - at)
		return NULL;
	*ret_bytes = (struct tk_bytes){ at, (uint32_t)len };
	return at + len;
}

/* Passes over count headers: where they end, or NULL. */
const uint8_t *tk_record_headers_skip(const uint8_t *at, const uint8_t *end, int32_t count);

/*
 * The record at `at`, all of it, its length taken at its word: where it ends, or NULL if it is not
 * sound.
 */
static inline TK_MUST_CHECK const uint8_t *
tk_record_parse(const uint8_t *at, const uint8_t *end, struct tk_record *ret_record)
{
	const uint8_t *record_end;

	at = tk_record_head_parse(at, end, &ret_record->head);
	if (at == NULL || ret_record->head.body_bytes - ret_record->head.head_bytes > end - at)
		return NULL;
	record_end = at + (ret_record->head.body_bytes - ret_record->head.head_bytes);
	at = tk_record_bytes_get(at, record_end, true, &ret_record->key);
	if (at == NULL)
		return NULL;
	at = tk_record_bytes_get(at, record_end, true, &ret_record->value);
	if (at == NULL)
		return NULL;
	at = tk_varint_get(at, record_end, &ret_record->headers_count);
	if (at == NULL || ret_record->headers_count < 0)
		return NULL;
	ret_record->headers = (struct tk_bytes){ at, (uint32_t)(record_end - at) };
	if (ret_record->headers_count > 0)
		at = tk_record_headers_skip(at, record_end, ret_record->headers_count);
	return at == record_end ? record_end : NULL;
}

/* The records of a batch as a stream. */
struct tk_record_walk {
	struct tk_inflate *stream; /* the caller's */
	size_t at, end;            /* of buffer */
	uint64_t skip;             /* of the record before */
	bool ended;
	uint8_t buffer[4096];
};

void tk_record_walk_init(struct tk_record_walk *walk, struct tk_inflate *stream);

/* The next record's head: 1, 0 at the end of the stream, -EBADMSG, or what the stream said. */
int tk_record_walk_next(struct tk_record_walk *walk, struct tk_record_head *ret_head) TK_MUST_CHECK;

/* After _next: the length of that record's key, -1 if it has none; 0, -EBADMSG, or as above. */
int tk_record_walk_key(struct tk_record_walk *walk, int32_t *ret_len) TK_MUST_CHECK;

#endif
