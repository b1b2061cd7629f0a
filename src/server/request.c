/*
 * Replies: the frame's size and header in front of an encoded body.  Runs in workers.
 */
#include "base/endian.h"
#include "server/worker.h"
#include "wire/api.h"

bool
tk_request_decode(struct tk_request *req, void *msg)
{
	const struct tk_api_schema *schema = tk_api_schema_find(req->api_key);
	struct tk_decoder dec;

	tk_assert(schema != NULL);
	tk_decoder_init(&dec, req->body.data, req->body.len, &req->arena);
	return schema->decode_request(&dec, req->version, msg);
}

/* Room for the size, which is known at the end, and the response header. */
static uint8_t *
reply_begin(struct tk_request *req, int version)
{
	const struct tk_api_schema *schema = tk_api_schema_find(req->api_key);
	uint8_t *size;

	tk_assert(schema != NULL);
	tk_chain_reset(&req->reply);
	size = tk_chain_reserve(&req->reply, 4);
	tk_response_header_encode(&req->reply, tk_api_response_header_version(schema, version),
	    &(struct tk_response_header){ .correlation_id = req->correlation_id });
	return size;
}

static enum tk_io
reply_end(struct tk_request *req, uint8_t *size)
{
	if (tk_chain_failed(&req->reply) || req->reply.len - 4 > INT32_MAX)
		return TK_IO_ERROR;
	tk_be32_put(size, (uint32_t)(req->reply.len - 4));
	return TK_IO_DONE;
}

enum tk_io
tk_request_reply_at(struct tk_request *req, int version, const void *msg)
{
	uint8_t *size = reply_begin(req, version);

	tk_api_schema_find(req->api_key)->encode_response(&req->reply, version, msg);
	return reply_end(req, size);
}

enum tk_io
tk_request_reply(struct tk_request *req, const void *msg)
{
	return tk_request_reply_at(req, req->version, msg);
}

enum tk_io
tk_request_reply_bytes(struct tk_request *req, const void *body, size_t len)
{
	uint8_t *size = reply_begin(req, req->version);

	tk_chain_put(&req->reply, body, len);
	return reply_end(req, size);
}
