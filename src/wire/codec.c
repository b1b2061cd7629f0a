/*
 * The primitives of Kafka's encoding: big-endian integers, varints, lengths in the fixed and the
 * compact form, sections of tagged fields.  Any process, one thread a decoder or chain.  Errors
 * stick to the decoder or the chain; what bounds a decoder is the length of its buffer.
 */
#include "wire/codec.h"

#include "base/endian.h"

#include <string.h>

/* Records up to this many bytes are copied behind what is there rather than made a piece. */
#define RECORDS_COPY_MAX 512u

static const uint8_t nothing[1];

void
tk_decoder_init(struct tk_decoder *dec, const void *data, size_t len, struct tk_arena *arena)
{
	tk_assert(data != NULL || len == 0);
	dec->at = data != NULL ? data : nothing;
	dec->end = dec->at + len;
	dec->arena = arena;
	dec->failed = false;
}

void
tk_decoder_fail(struct tk_decoder *dec)
{
	dec->failed = true;
	dec->at = dec->end;
}

/* The next len bytes, or NULL and failed. */
static const uint8_t *
decode_take(struct tk_decoder *dec, size_t len)
{
	const uint8_t *at = dec->at;

	if (dec->failed || len > tk_decoder_left(dec)) {
		tk_decoder_fail(dec);
		return NULL;
	}
	dec->at += len;
	return at;
}

int8_t
tk_decode_int8(struct tk_decoder *dec)
{
	const uint8_t *at = decode_take(dec, 1);

	return at != NULL ? (int8_t)*at : 0;
}

bool
tk_decode_bool(struct tk_decoder *dec)
{
	return tk_decode_int8(dec) != 0;
}

uint16_t
tk_decode_uint16(struct tk_decoder *dec)
{
	const uint8_t *at = decode_take(dec, sizeof(uint16_t));

	return at != NULL ? tk_be16_get(at) : 0;
}

uint32_t
tk_decode_uint32(struct tk_decoder *dec)
{
	const uint8_t *at = decode_take(dec, sizeof(uint32_t));

	return at != NULL ? tk_be32_get(at) : 0;
}

int16_t
tk_decode_int16(struct tk_decoder *dec)
{
	return (int16_t)tk_decode_uint16(dec);
}

int32_t
tk_decode_int32(struct tk_decoder *dec)
{
	return (int32_t)tk_decode_uint32(dec);
}

int64_t
tk_decode_int64(struct tk_decoder *dec)
{
	const uint8_t *at = decode_take(dec, sizeof(uint64_t));

	return at != NULL ? (int64_t)tk_be64_get(at) : 0;
}

struct tk_uuid
tk_decode_uuid(struct tk_decoder *dec)
{
	struct tk_uuid uuid = { { 0 } };
	const uint8_t *at = decode_take(dec, sizeof(uuid.b));

	if (at != NULL)
		memcpy(uuid.b, at, sizeof(uuid.b));
	return uuid;
}

/* Groups of 7 bits, low first; fails past bits of value. */
static uint64_t
decode_groups(struct tk_decoder *dec, unsigned bits)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < bits; shift += 7) {
		const uint8_t *at = decode_take(dec, 1);

		if (at == NULL)
			return 0;
		if (bits - shift < 7 && (*at & 0x7f) >> (bits - shift) != 0)
			break;
		v |= (uint64_t)(*at & 0x7f) << shift;
		if ((*at & 0x80) == 0)
			return v;
	}
	tk_decoder_fail(dec);
	return 0;
}

uint32_t
tk_decode_uvarint(struct tk_decoder *dec)
{
	return (uint32_t)decode_groups(dec, 32);
}

int32_t
tk_decode_varint(struct tk_decoder *dec)
{
	uint32_t v = (uint32_t)decode_groups(dec, 32);

	return (int32_t)((v >> 1) ^ (0u - (v & 1)));
}

int64_t
tk_decode_varlong(struct tk_decoder *dec)
{
	uint64_t v = decode_groups(dec, 64);

	return (int64_t)((v >> 1) ^ (UINT64_C(0) - (v & 1)));
}

/* A length or count: -1 for null, which fails unless nullable, and never below. */
static int64_t
decode_len_checked(struct tk_decoder *dec, bool nullable, int64_t len)
{
	if (dec->failed)
		return 0;
	if (len < -1 || (len == -1 && !nullable) || len > INT32_MAX) {
		tk_decoder_fail(dec);
		return 0;
	}
	return len;
}

static int64_t
decode_len_compact(struct tk_decoder *dec, bool nullable)
{
	return decode_len_checked(dec, nullable, (int64_t)tk_decode_uvarint(dec) - 1);
}

static struct tk_bytes
decode_slice(struct tk_decoder *dec, int64_t len)
{
	struct tk_bytes slice = { NULL, 0 };

	if (len < 0)
		return slice;
	slice.data = decode_take(dec, (size_t)len);
	if (slice.data != NULL)
		slice.len = (uint32_t)len;
	return slice;
}

struct tk_bytes
tk_decode_string(struct tk_decoder *dec, bool flex, bool nullable)
{
	int64_t len;

	if (flex)
		len = decode_len_compact(dec, nullable);
	else
		len = decode_len_checked(dec, nullable, tk_decode_int16(dec));
	if (len > TK_STRING_MAX)
		tk_decoder_fail(dec);
	return decode_slice(dec, len);
}

static int64_t
decode_len(struct tk_decoder *dec, bool flex, bool nullable)
{
	if (flex)
		return decode_len_compact(dec, nullable);
	return decode_len_checked(dec, nullable, tk_decode_int32(dec));
}

struct tk_bytes
tk_decode_bytes(struct tk_decoder *dec, bool flex, bool nullable)
{
	return decode_slice(dec, decode_len(dec, flex, nullable));
}

struct tk_records
tk_decode_records(struct tk_decoder *dec, bool flex, bool nullable)
{
	return (struct tk_records){ .mem = tk_decode_bytes(dec, flex, nullable) };
}

bool
tk_decode_present(struct tk_decoder *dec)
{
	return tk_decode_int8(dec) >= 0 && !dec->failed;
}

void *
tk_decode_array(struct tk_decoder *dec, bool flex, bool nullable, size_t min_wire_size,
    size_t element_size, int32_t *ret_count)
{
	int64_t count = decode_len(dec, flex, nullable);
	void *elements = NULL;

	if (count > 0) {
		if ((size_t)count > tk_decoder_left(dec) / min_wire_size) {
			tk_decoder_fail(dec);
		} else {
			elements = tk_arena_calloc(dec->arena, (size_t)count, element_size);
			if (elements == NULL)
				tk_decoder_fail(dec);
		}
	}
	*ret_count = dec->failed ? 0 : (int32_t)count;
	return elements;
}

void *
tk_decode_alloc(struct tk_decoder *dec, size_t size_bytes)
{
	void *result = dec->failed ? NULL : tk_arena_calloc(dec->arena, 1, size_bytes);

	if (result == NULL)
		tk_decoder_fail(dec);
	return result;
}

void
tk_tags_begin(struct tk_decoder *dec, struct tk_tags *tags)
{
	*tags = (struct tk_tags){ .left = tk_decode_uvarint(dec), .outer = dec->end };
}

bool
tk_tags_next(struct tk_decoder *dec, struct tk_tags *tags)
{
	uint32_t tag, size;

	if (dec->at != dec->end && tags->begun)
		tk_decoder_fail(dec);
	if (dec->failed)
		return false;
	dec->end = tags->outer;
	if (tags->left == 0)
		return false;
	tag = tk_decode_uvarint(dec);
	size = tk_decode_uvarint(dec);
	if (dec->failed || size > tk_decoder_left(dec) || (tags->begun && tag <= tags->tag)) {
		tk_decoder_fail(dec);
		return false;
	}
	tags->left--;
	tags->begun = true;
	tags->tag = tag;
	dec->end = dec->at + size;
	return true;
}

void
tk_tags_skip(struct tk_decoder *dec)
{
	dec->at = dec->end;
}

void
tk_tags_skip_all(struct tk_decoder *dec)
{
	struct tk_tags tags;

	for (tk_tags_begin(dec, &tags); tk_tags_next(dec, &tags);)
		tk_tags_skip(dec);
}

void
tk_encode_int8(struct tk_chain *chain, int8_t v)
{
	uint8_t *to = tk_chain_reserve(chain, 1);

	if (to != NULL)
		*to = (uint8_t)v;
}

void
tk_encode_bool(struct tk_chain *chain, bool v)
{
	tk_encode_int8(chain, v ? 1 : 0);
}

void
tk_encode_uint16(struct tk_chain *chain, uint16_t v)
{
	uint8_t *to = tk_chain_reserve(chain, sizeof(v));

	if (to != NULL)
		tk_be16_put(to, v);
}

void
tk_encode_uint32(struct tk_chain *chain, uint32_t v)
{
	uint8_t *to = tk_chain_reserve(chain, sizeof(v));

	if (to != NULL)
		tk_be32_put(to, v);
}

void
tk_encode_int16(struct tk_chain *chain, int16_t v)
{
	tk_encode_uint16(chain, (uint16_t)v);
}

void
tk_encode_int32(struct tk_chain *chain, int32_t v)
{
	tk_encode_uint32(chain, (uint32_t)v);
}

void
tk_encode_int64(struct tk_chain *chain, int64_t v)
{
	uint8_t *to = tk_chain_reserve(chain, sizeof(v));

	if (to != NULL)
		tk_be64_put(to, (uint64_t)v);
}

void
tk_encode_uuid(struct tk_chain *chain, struct tk_uuid v)
{
	tk_chain_put(chain, v.b, sizeof(v.b));
}

static void
encode_groups(struct tk_chain *chain, uint64_t v)
{
	uint8_t groups[10];
	size_t len = 0;

	while (v > 0x7f) {
		groups[len++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	groups[len++] = (uint8_t)v;
	tk_chain_put(chain, groups, len);
}

void
tk_encode_uvarint(struct tk_chain *chain, uint32_t v)
{
	encode_groups(chain, v);
}

void
tk_encode_varint(struct tk_chain *chain, int32_t v)
{
	encode_groups(chain, ((uint32_t)v << 1) ^ (v < 0 ? UINT32_MAX : 0));
}

void
tk_encode_varlong(struct tk_chain *chain, int64_t v)
{
	encode_groups(chain, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

/* The length or count of what is len long, or null: an int32 or compact. */
static void
encode_len(struct tk_chain *chain, bool flex, bool is_null, uint32_t len)
{
	if (len > INT32_MAX) {
		chain->failed = true;
		return;
	}
	if (flex)
		tk_encode_uvarint(chain, is_null ? 0 : len + 1);
	else
		tk_encode_int32(chain, is_null ? -1 : (int32_t)len);
}

void
tk_encode_string(struct tk_chain *chain, bool flex, bool nullable, struct tk_bytes v)
{
	bool is_null = v.data == NULL && nullable;

	if (v.data == NULL)
		v.len = 0;
	if (v.len > TK_STRING_MAX) {
		chain->failed = true;
		return;
	}
	if (flex)
		tk_encode_uvarint(chain, is_null ? 0 : v.len + 1);
	else
		tk_encode_int16(chain, is_null ? -1 : (int16_t)v.len);
	if (v.len > 0)
		tk_chain_put(chain, v.data, v.len);
}

void
tk_encode_bytes(struct tk_chain *chain, bool flex, bool nullable, struct tk_bytes v)
{
	if (v.data == NULL)
		v.len = 0;
	encode_len(chain, flex, v.data == NULL && nullable, v.len);
	if (v.len > 0)
		tk_chain_put(chain, v.data, v.len);
}

void
tk_encode_records_bytes(struct tk_chain *chain, bool flex, bool nullable, struct tk_bytes v)
{
	if (v.data == NULL || v.len <= RECORDS_COPY_MAX) {
		tk_encode_bytes(chain, flex, nullable, v);
		return;
	}
	encode_len(chain, flex, false, v.len);
	tk_chain_borrow(chain, v.data, v.len);
}

void
tk_encode_records(struct tk_chain *chain, bool flex, bool nullable, const struct tk_records *v)
{
	if (!v->is_file) {
		tk_encode_records_bytes(chain, flex, nullable, v->mem);
		return;
	}
	encode_len(chain, flex, false, v->file.len);
	if (v->file.len > 0)
		tk_chain_file(chain, &v->file);
	else if (v->file.unref != NULL)
		v->file.unref(v->file.owner);
}

void
tk_encode_count(struct tk_chain *chain, bool flex, bool nullable, int32_t count)
{
	encode_len(chain, flex, count < 0 && nullable, count > 0 ? (uint32_t)count : 0);
}

void
tk_encode_tag_begin(struct tk_chain *chain, struct tk_chain *ret_scratch)
{
	tk_chain_init(ret_scratch, chain->arena);
}

void
tk_encode_tag_end(struct tk_chain *chain, uint32_t tag, struct tk_chain *scratch)
{
	if (scratch->failed || scratch->len > INT32_MAX)
		chain->failed = true;
	if (chain->failed)
		return;
	tk_encode_uvarint(chain, tag);
	tk_encode_uvarint(chain, (uint32_t)scratch->len);
	for (const struct tk_piece *piece = scratch->first; piece != NULL; piece = piece->next) {
		tk_assert(piece->kind == TK_PIECE_MEMORY);
		tk_chain_put(chain, piece->data, piece->len);
	}
}
