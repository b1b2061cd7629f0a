/*
 * Questions about the table of APIs (tk_api_schemas of wire_gen.h).
 */
#ifndef TK_WIRE_API_H
#define TK_WIRE_API_H

#include "wire/wire_gen.h"

/* NULL for a key that is not in the table. */
const struct tk_api_schema *tk_api_schema_find(int key);

/* The header in front of a request or response: 1 or 2, and 0 or 1. */
int tk_api_request_header_version(const struct tk_api_schema *schema, int version);
int tk_api_response_header_version(const struct tk_api_schema *schema, int version);

#endif
