/*
 * Looking APIs up by their key.  Any process; nothing can fail.
 */
#include "wire/api.h"

const struct tk_api_schema *
tk_api_schema_find(int key)
{
	for (size_t i = 0; i < TK_COUNT_OF(tk_api_schemas); i++)
		if (tk_api_schemas[i].key == key)
			return &tk_api_schemas[i];
	return NULL;
}

int
tk_api_request_header_version(const struct tk_api_schema *schema, int version)
{
	return version >= schema->flexible_from ? 2 : 1;
}

int
tk_api_response_header_version(const struct tk_api_schema *schema, int version)
{
	/* A client reads this response before it knows what the broker can do. */
	if (schema->key == TK_API_API_VERSIONS)
		return 0;
	return version >= schema->flexible_from ? 1 : 0;
}
