/*
 * libFuzzer target: every decoder of the wire.  The first byte chooses the API, the second the
 * version and whether it is a request, a response or a request's header; the rest is the message.
 * What is taken is encoded again, and what that gives must be taken and encode to itself.
 */
#include "wire/api.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_LIMIT ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct codec {
	size_t size;
	bool (*decode)(struct tk_decoder *dec, int version, void *ret_msg);
	void (*encode)(struct tk_chain *chain, int version, const void *msg);
};

static bool
header_decode(struct tk_decoder *dec, int version, void *ret_msg)
{
	return tk_request_header_decode(dec, version, ret_msg);
}

static void
header_encode(struct tk_chain *chain, int version, const void *msg)
{
	tk_request_header_encode(chain, version, msg);
}

static struct codec
codec_choose(uint8_t api, uint8_t how, int *ret_version)
{
	const struct tk_api_schema *schema = &tk_api_schemas[api % TK_API_SCHEMAS_COUNT];
	int versions = schema->max_version - schema->min_version + 1;

	*ret_version = schema->min_version + how / 2 % versions;
	if (api == UINT8_MAX) {
		*ret_version = tk_api_request_header_version(schema, *ret_version);
		return (
		    struct codec){ sizeof(struct tk_request_header), header_decode, header_encode };
	}
	if (how % 2 == 0)
		return (struct codec){ schema->request_size, schema->decode_request,
			schema->encode_request };
	return (struct codec){ schema->response_size, schema->decode_response,
		schema->encode_response };
}

/* Decodes and encodes; NULL where the bytes were refused. */
static uint8_t *
recode(const struct codec *codec, int version, const uint8_t *data, size_t size, size_t *ret_len)
{
	struct tk_arena arena;
	struct tk_chain chain;
	struct tk_decoder dec;
	void *msg = malloc(codec->size);
	uint8_t *bytes = NULL, *at;

	tk_assert(msg != NULL);
	tk_arena_init(&arena, ARENA_LIMIT);
	tk_chain_init(&chain, &arena);
	tk_decoder_init(&dec, data, size, &arena);
	if (codec->decode(&dec, version, msg)) {
		codec->encode(&chain, version, msg);
		tk_assert(!tk_chain_failed(&chain));
		at = bytes = malloc(chain.len > 0 ? chain.len : 1);
		tk_assert(bytes != NULL);
		for (struct tk_piece *piece = chain.first; piece != NULL; piece = piece->next) {
			memcpy(at, piece->data, piece->len);
			at += piece->len;
		}
		*ret_len = chain.len;
	}
	tk_chain_reset(&chain);
	tk_arena_reset(&arena);
	free(msg);
	return bytes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct codec codec;
	uint8_t *first, *second;
	size_t first_len = 0, second_len = 0;
	int version;

	if (size < 2)
		return 0;
	codec = codec_choose(data[0], data[1], &version);
	first = recode(&codec, version, data + 2, size - 2, &first_len);
	if (first == NULL)
		return 0;
	second = recode(&codec, version, first, first_len, &second_len);
	tk_assert(second != NULL && second_len == first_len);
	tk_assert(memcmp(first, second, first_len) == 0);
	free(first);
	free(second);
	return 0;
}
