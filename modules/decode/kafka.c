/*
 * Decode for Kafka's protocol: frames of a 32-bit size, and the headers of requests.  Runs in
 * workers.
 *
 * Bad input gets what Kafka gives it.  A size that is negative or above the limit, an API that is
 * not served, a version that is not served (other than of ApiVersions, which answers it) and a
 * header that ends early all close the connection: there is no error that the client could read.
 */
#include "base/endian.h"
#include "server/worker.h"
#include "wire/api.h"
#include "wire/codec.h"

#define PREFIX_BYTES 4u
#define PEEK_BYTES   6u /* the prefix and the API key */

static enum tk_io
kafka_peek(const struct tk_worker *worker, const uint8_t *data, size_t len, size_t *ret_frame_bytes,
    int *ret_api_key)
{
	int32_t size;

	*ret_api_key = -1;
	if (len < PREFIX_BYTES)
		return TK_IO_AGAIN;
	size = (int32_t)tk_be32_get(data);
	if (size < 8 || (size_t)size + PREFIX_BYTES > tk_worker_frame_max(worker))
		return TK_IO_ERROR;
	*ret_frame_bytes = (size_t)size + PREFIX_BYTES;
	if (len < PEEK_BYTES)
		return TK_IO_AGAIN;
	*ret_api_key = (int16_t)tk_be16_get(data + PREFIX_BYTES);
	return TK_IO_OK;
}

/* The row of the API if it serves this version, or wants to be asked all the same. */
static const struct tk_api *
kafka_api(const struct tk_worker *worker, int key, int version)
{
	const struct tk_api *api = key >= 0 && key < TK_API_KEYS_MAX ? worker->apis[key] : NULL;

	if (api == NULL)
		return NULL;
	if ((api->flags & TK_API_ANY_VERSION) == 0 &&
	    (version < api->min_version || version > api->max_version))
		return NULL;
	return api;
}

static enum tk_io
kafka_parse(struct tk_request *req, const uint8_t *data, size_t len)
{
	int key = (int16_t)tk_be16_get(data + PREFIX_BYTES);
	int version = (int16_t)tk_be16_get(data + PREFIX_BYTES + 2);
	const struct tk_api_schema *schema = tk_api_schema_find(key);
	struct tk_request_header header;
	struct tk_decoder dec;

	req->api = kafka_api(req->worker, key, version);
	if (req->api == NULL || schema == NULL)
		return TK_IO_ERROR;
	tk_decoder_init(&dec, data + PREFIX_BYTES, len - PREFIX_BYTES, &req->arena);
	/* Of a version that nobody knows only the old header may be taken for granted. */
	if (!tk_request_header_decode(&dec,
		version > req->api->max_version || version < 0
		    ? 1
		    : tk_api_request_header_version(schema, version),
		&header))
		return TK_IO_ERROR;
	req->api_key = header.request_api_key;
	req->version = header.request_api_version;
	req->correlation_id = header.correlation_id;
	req->client_id = header.client_id;
	req->body = (struct tk_bytes){ dec.at, (uint32_t)tk_decoder_left(&dec) };
	return TK_IO_OK;
}

static const struct tk_decode kafka_decode = { .peek = kafka_peek, .parse = kafka_parse };

const struct tk_module tk_module_kafka = {
	.abi = TK_MODULE_ABI, .name = "kafka", .kind = TK_MODULE_DECODE, .decode = &kafka_decode
};
