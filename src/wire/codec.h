/*
 * The primitives of Kafka's encoding, which the generated messages (wire_gen.h) are made of.
 *
 * A decoder reads a buffer once from front to back.  Its error sticks: after a failure every read
 * gives zero, so a message is read whole and the error looked at once.  Slices point into the
 * buffer, arrays come from the arena, and an array is allocated only when the bytes that are left
 * could hold its elements, so what a message makes us hold is bounded by its own length times a
 * constant (and by the arena's limit).  One thread a decoder.
 *
 * Encoding goes into a chain, whose error sticks as well.
 *
 * "flex" is whether the message's version is flexible: compact lengths, tagged fields.
 */
#ifndef TK_WIRE_CODEC_H
#define TK_WIRE_CODEC_H

#include "takhin/arena.h"
#include "takhin/base.h"
#include "takhin/chain.h"

/* Empty, which is not null. */
#define TK_BYTES_EMPTY                                                                             \
	{                                                                                          \
		(const uint8_t *)"", 0                                                             \
	}

/* Kafka's strings are at most this long in every encoding. */
#define TK_STRING_MAX INT16_MAX

struct tk_decoder {
	const uint8_t *at, *end;
	struct tk_arena *arena;
	bool failed;
};

/*
 * Record batches to send: memory, or a range of a file whose reference the encoder hands on to the
 * chain.  Decoding always fills mem.
 */
struct tk_records {
	struct tk_bytes mem;
	bool is_file;
	struct tk_file_range file;
};

/* The buffer must outlive whatever is decoded from it. */
void tk_decoder_init(struct tk_decoder *dec, const void *data, size_t len, struct tk_arena *arena);

/* Marks the decoder as failed; nothing is left to read. */
void tk_decoder_fail(struct tk_decoder *dec);

/* Nothing went wrong and nothing is left.  Kafka itself tolerates bytes behind a request. */
static inline bool
tk_decoder_finished(const struct tk_decoder *dec)
{
	return !dec->failed && dec->at == dec->end;
}

static inline size_t
tk_decoder_left(const struct tk_decoder *dec)
{
	return (size_t)(dec->end - dec->at);
}

bool tk_decode_bool(struct tk_decoder *dec);
int8_t tk_decode_int8(struct tk_decoder *dec);
int16_t tk_decode_int16(struct tk_decoder *dec);
int32_t tk_decode_int32(struct tk_decoder *dec);
int64_t tk_decode_int64(struct tk_decoder *dec);
uint16_t tk_decode_uint16(struct tk_decoder *dec);
uint32_t tk_decode_uint32(struct tk_decoder *dec);
struct tk_uuid tk_decode_uuid(struct tk_decoder *dec);

/* At most 5 bytes; what does not fit 32 bits fails. */
uint32_t tk_decode_uvarint(struct tk_decoder *dec);

/* Zigzag, as in records: at most 5 and 10 bytes. */
int32_t tk_decode_varint(struct tk_decoder *dec);
int64_t tk_decode_varlong(struct tk_decoder *dec);

/* Slices; null (data NULL) fails unless nullable, empty has a data that is not NULL. */
struct tk_bytes tk_decode_string(struct tk_decoder *dec, bool flex, bool nullable);
struct tk_bytes tk_decode_bytes(struct tk_decoder *dec, bool flex, bool nullable);
struct tk_records tk_decode_records(struct tk_decoder *dec, bool flex, bool nullable);

/* Whether a nullable struct follows. */
bool tk_decode_present(struct tk_decoder *dec);

/*
 * Reads a count and allocates that many elements of element_size bytes, each of which takes at
 * least min_wire_size (> 0) bytes of what is left.  -1 and NULL is the null array; after a failure
 * 0 and NULL.
 */
void *tk_decode_array(struct tk_decoder *dec, bool flex, bool nullable, size_t min_wire_size,
    size_t element_size, int32_t *ret_count);

/* One zeroed element of the arena, for nullable structs; NULL fails the decoder. */
void *tk_decode_alloc(struct tk_decoder *dec, size_t size_bytes);

/*
 * A section of tagged fields:
 *
 *	for (tk_tags_begin(dec, &tags); tk_tags_next(dec, &tags);)
 *		switch (tags.tag) { case 0: ...; break; default: tk_tags_skip(dec); }
 *
 * Between two calls the decoder ends where the field does; a field not read to its end fails, as
 * do tags that do not ascend.
 */
struct tk_tags {
	uint32_t tag;         /* the field to read now */
	uint32_t left;        /* fields not begun */
	bool begun;           /* tag holds one */
	const uint8_t *outer; /* the decoder's end outside of the field */
};

void tk_tags_begin(struct tk_decoder *dec, struct tk_tags *tags);
bool tk_tags_next(struct tk_decoder *dec, struct tk_tags *tags);
void tk_tags_skip(struct tk_decoder *dec);

/* A section none of whose fields is known. */
void tk_tags_skip_all(struct tk_decoder *dec);

void tk_encode_bool(struct tk_chain *chain, bool v);
void tk_encode_int8(struct tk_chain *chain, int8_t v);
void tk_encode_int16(struct tk_chain *chain, int16_t v);
void tk_encode_int32(struct tk_chain *chain, int32_t v);
void tk_encode_int64(struct tk_chain *chain, int64_t v);
void tk_encode_uint16(struct tk_chain *chain, uint16_t v);
void tk_encode_uint32(struct tk_chain *chain, uint32_t v);
void tk_encode_uuid(struct tk_chain *chain, struct tk_uuid v);
void tk_encode_uvarint(struct tk_chain *chain, uint32_t v);
void tk_encode_varint(struct tk_chain *chain, int32_t v);
void tk_encode_varlong(struct tk_chain *chain, int64_t v);

/*
 * Copied.  Null where null is not allowed is written as empty.  A string past TK_STRING_MAX or
 * bytes past INT32_MAX fail the chain.
 */
void tk_encode_string(struct tk_chain *chain, bool flex, bool nullable, struct tk_bytes v);
void tk_encode_bytes(struct tk_chain *chain, bool flex, bool nullable, struct tk_bytes v);

/*
 * Memory of more than 512 bytes is borrowed, not copied: it must live as long as the chain.  A file
 * range's reference goes to the chain, or is given back here where nothing of it is to be sent.
 */
void tk_encode_records(
    struct tk_chain *chain, bool flex, bool nullable, const struct tk_records *v);
void tk_encode_records_bytes(struct tk_chain *chain, bool flex, bool nullable, struct tk_bytes v);

/* The count of an array: null is below 0. */
void tk_encode_count(struct tk_chain *chain, bool flex, bool nullable, int32_t count);

/*
 * A tagged field is encoded into a scratch chain of the same arena, then moved behind its tag and
 * size.
 */
void tk_encode_tag_begin(struct tk_chain *chain, struct tk_chain *ret_scratch);
void tk_encode_tag_end(struct tk_chain *chain, uint32_t tag, struct tk_chain *scratch);

#endif
