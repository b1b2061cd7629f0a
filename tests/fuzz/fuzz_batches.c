/*
 * Fuzzes what workers do with a client's batch: validation, the record parser, inflating.  The
 * first byte chooses, the rest is the batch.
 *
 * clang -fsanitize=fuzzer,address,undefined -include config.h -Iinclude -Isrc
 *     tests/fuzz/fuzz_batches.c src/log/batch*.c src/log/validate.c src/log/codec*.c
 *     src/base/crc32c.c src/base/panic.c -lisal -lz -lzstd -llz4 -lsnappy
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "log/batch_records.h"
#include "log/validate.h"
#include "wire/error_codes.h"

#define OUTPUT_MAX ((uint64_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inflates all of it, in reads of odd sizes; the limit holds. */
static void
inflate_all(enum tk_codec codec, const uint8_t *data, size_t len)
{
	struct tk_inflate *stream;
	uint64_t total = 0;
	uint8_t buf[777];
	ssize_t got;

	if (tk_inflate_new_memory(codec, data, len, OUTPUT_MAX, &stream) < 0)
		return;
	while ((got = tk_codec_read(stream, buf, 1 + total % sizeof(buf))) > 0)
		total += (uint64_t)got;
	tk_assert(total <= OUTPUT_MAX);
	tk_inflate_free(&stream);
}

/* Walks records as a stream; what it finds of a plain batch is what the parser finds. */
static int32_t
walk_all(enum tk_codec codec, const uint8_t *data, size_t len)
{
	struct tk_record_walk walk;
	struct tk_record_head head;
	struct tk_inflate *stream;
	int32_t count = 0;

	if (tk_inflate_new_memory(codec, data, len, OUTPUT_MAX, &stream) < 0)
		return -1;
	tk_record_walk_init(&walk, stream);
	while (count < 100000 && tk_record_walk_next(&walk, &head) == 1)
		count++;
	tk_inflate_free(&stream);
	return count;
}

static void
validate(const uint8_t *data, size_t len, unsigned choice)
{
	struct tk_batch_rules rules = {
		.produce_version = (int16_t)(choice % 10),
		.compacted = (choice & 1) != 0,
		.log_append_time = (choice & 2) != 0,
		.now_ms = 1000,
		.timestamp_before_max_ms = (choice & 4) != 0 ? 500 : INT64_MAX,
		.timestamp_after_max_ms = (choice & 8) != 0 ? 500 : INT64_MAX,
	};
	struct tk_batch_verdict verdict;
	int16_t error = tk_batch_validate(data, (uint32_t)len, &rules, &verdict);

	tk_assert((verdict.message == NULL) == (error == TK_ERR_NONE));
	if (error != TK_ERR_NONE)
		return;
	tk_assert(tk_batch_header_check(&verdict.header) == 0);
	tk_assert(tk_batch_size(&verdict.header) == (int64_t)len);
	if (verdict.walked)
		tk_assert(verdict.header.records_count > 100000 ||
			  walk_all(TK_CODEC_NONE, data + TK_BATCH_HEADER_BYTES,
			      len - TK_BATCH_HEADER_BYTES) == verdict.header.records_count);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *exact;
	unsigned choice;

	if (size < 1)
		return 0;
	choice = *data++;
	size--;
	exact = malloc(size > 0 ? size : 1);
	if (exact == NULL)
		return 0;
	if (size > 0)
		memcpy(exact, data, size);
	if (choice < 64) {
		enum tk_codec codec = (enum tk_codec)(choice % 5);

		inflate_all(codec, exact, size);
		(void)walk_all(codec, exact, size);
	} else {
		/* past the frame's checks, which random bytes would rarely pass */
		if (choice < 192 && size >= TK_BATCH_HEADER_BYTES) {
			tk_be32_put(exact + 8, (uint32_t)(size - TK_BATCH_LENGTH_PREFIX));
			exact[16] = 2;
			tk_be32_put(exact + 17,
			    tk_crc32c(0, exact + TK_BATCH_CRC_FROM, size - TK_BATCH_CRC_FROM));
		}
		validate(exact, size, choice);
	}
	free(exact);
	return 0;
}
