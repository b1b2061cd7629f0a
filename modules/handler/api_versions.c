/*
 * ApiVersions: what this worker serves, from the table its handlers registered.
 *
 * A version that is not served is answered at version 0 with UNSUPPORTED_VERSION and the range of
 * ApiVersions itself, so that a newer client can ask again (KIP-511).
 */
#include "handlers.h"

static bool
name_is_good(const struct tk_bytes *name)
{
	for (uint32_t i = 0; i < name->len; i++) {
		uint8_t c = name->data[i];
		bool letter =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		bool edge = i == 0 || i + 1 == name->len;

		if (!letter && (edge || (c != '-' && c != '.')))
			return false;
	}
	return name->len > 0;
}

static enum tk_io
api_versions_unsupported(struct tk_request *req)
{
	struct tk_api_versions_response_api_key own = { .api_key = req->api->key,
		.min_version = req->api->advertised_min,
		.max_version = req->api->max_version };
	struct tk_api_versions_response msg;

	tk_api_versions_response_init(&msg);
	msg.error_code = TK_ERR_UNSUPPORTED_VERSION;
	msg.api_keys = &own;
	msg.api_keys_count = 1;
	return tk_request_reply_at(req, 0, &msg);
}

static enum tk_io
api_versions_handle(struct tk_request *req)
{
	struct tk_worker *worker = req->worker;
	struct tk_api_versions_response_api_key keys[TK_API_KEYS_MAX];
	struct tk_api_versions_response msg;
	struct tk_api_versions_request ask;

	if (req->version < req->api->min_version || req->version > req->api->max_version)
		return api_versions_unsupported(req);
	if (!tk_request_decode(req, &ask))
		return TK_IO_ERROR;
	tk_api_versions_response_init(&msg);
	if (req->version >= 3 && (!name_is_good(&ask.client_software_name) ||
				     !name_is_good(&ask.client_software_version))) {
		msg.error_code = TK_ERR_INVALID_REQUEST;
		return tk_request_reply(req, &msg);
	}
	msg.api_keys = keys;
	for (int key = 0; key < TK_API_KEYS_MAX; key++) {
		const struct tk_api *api = worker->apis[key];

		if (api != NULL)
			keys[msg.api_keys_count++] =
			    (struct tk_api_versions_response_api_key){ .api_key = api->key,
				    .min_version = api->advertised_min,
				    .max_version = api->max_version };
	}
	return tk_request_reply(req, &msg);
}

static const struct tk_api apis[] = {
	{ 18, 0, 4, 0, TK_API_ANY_VERSION, api_versions_handle, NULL },
};

static const struct tk_handler api_versions_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_api_versions = { .abi = TK_MODULE_ABI,
	.name = "api_versions",
	.kind = TK_MODULE_HANDLER,
	.handler = &api_versions_handler };
