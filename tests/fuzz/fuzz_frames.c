/*
 * libFuzzer: frames and request headers, as a connection's bytes arrive.
 *
 * The first byte says into how many reads the rest is cut.  What the decode module peeks must agree
 * however the bytes were cut, and a frame is parsed out of an exact-size copy, so that ASan sees a
 * read past its end.
 */
#include <stdlib.h>
#include <string.h>

#include "server/worker.h"
#include "wire/api.h"

extern const struct tk_module tk_module_kafka;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tk_process process;
static struct tk_settings settings;
static struct tk_worker worker;
static struct tk_api apis[TK_API_SCHEMAS_COUNT];

static void
setup(void)
{
	static uint8_t memory[2 << 20];

	if (worker.arena != NULL)
		return;
	settings.socket_request_max_bytes = 1 << 20;
	worker.proc = &process;
	worker.settings = &settings;
	if (tk_shared_arena_new(memory, sizeof(memory), -1, &worker.arena) < 0)
		abort();
	for (size_t i = 0; i < TK_API_SCHEMAS_COUNT; i++) {
		const struct tk_api_schema *schema = &tk_api_schemas[i];

		apis[i] = (struct tk_api){ .key = schema->key,
			.min_version = schema->min_version,
			.max_version = schema->max_version,
			.flags = schema->key == 18 ? TK_API_ANY_VERSION : 0 };
		worker.apis[schema->key] = &apis[i];
	}
}

static void
parse_frame(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len);
	struct tk_request req = { .worker = &worker };

	if (copy == NULL)
		return;
	memcpy(copy, data, len);
	tk_arena_init(&req.arena, 1 << 20);
	if (tk_module_kafka.decode->parse(&req, copy, len) == TK_IO_OK &&
	    (req.body.data < copy || req.body.data + req.body.len != copy + len ||
		req.client_id.len > len))
		abort();
	tk_arena_reset(&req.arena);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step, whole_bytes = 0, bytes = 0;
	int whole_key = -1, key = -1;
	enum tk_io whole, rc = TK_IO_AGAIN;

	setup();
	if (size < 1)
		return 0;
	step = (size_t)data[0] + 1;
	data++;
	size--;
	whole = tk_module_kafka.decode->peek(&worker, data, size, &whole_bytes, &whole_key);
	for (size_t have = 0; rc == TK_IO_AGAIN && have < size; have += step)
		rc = tk_module_kafka.decode->peek(
		    &worker, data, TK_MIN(have + step, size), &bytes, &key);
	if (size > 0 && rc != whole)
		abort();
	if (whole == TK_IO_OK && (bytes != whole_bytes || key != whole_key))
		abort();
	if (whole == TK_IO_OK && whole_bytes <= size)
		parse_frame(data, whole_bytes);
	return 0;
}
