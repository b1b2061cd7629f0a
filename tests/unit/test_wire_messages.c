/*
 * Every message in every version: round trips of random values, prefixes, what peers may send that
 * we do not know (tagged fields), and what they must not (nulls, counts that cannot be, tags out of
 * order).  The linker's --wrap shows the test where in the bytes the decoder looks for what.
 */
#include "base/endian.h"
#include "test_wire.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS      40
#define ARENA_LIMIT ((size_t)1 << 20)
#define PLACES_MAX  4096

/* ---- where the decoder looked ---- */

enum place_kind { PLACE_TAGS, PLACE_ARRAY, PLACE_STRING, PLACE_BYTES };

struct place {
	enum place_kind kind;
	size_t offset;
	bool flex, nullable;
};

static struct place places[PLACES_MAX];
static size_t places_count;
static const uint8_t *places_base; /* NULL: do not note any */

static void
place_note(const struct tk_decoder *dec, enum place_kind kind, bool flex, bool nullable)
{
	if (places_base == NULL || dec->failed || places_count == PLACES_MAX)
		return;
	places[places_count++] = (struct place){ .kind = kind,
		.offset = (size_t)(dec->at - places_base),
		.flex = flex,
		.nullable = nullable };
}

void __real_tk_tags_begin(struct tk_decoder *dec, struct tk_tags *tags);
void __real_tk_tags_skip_all(struct tk_decoder *dec);
struct tk_bytes __real_tk_decode_string(struct tk_decoder *dec, bool flex, bool nullable);
struct tk_bytes __real_tk_decode_bytes(struct tk_decoder *dec, bool flex, bool nullable);
struct tk_records __real_tk_decode_records(struct tk_decoder *dec, bool flex, bool nullable);
void *__real_tk_decode_array(struct tk_decoder *dec, bool flex, bool nullable, size_t min_wire_size,
    size_t element_size, int32_t *ret_count);
void __wrap_tk_tags_begin(struct tk_decoder *dec, struct tk_tags *tags);
void __wrap_tk_tags_skip_all(struct tk_decoder *dec);
struct tk_bytes __wrap_tk_decode_string(struct tk_decoder *dec, bool flex, bool nullable);
struct tk_bytes __wrap_tk_decode_bytes(struct tk_decoder *dec, bool flex, bool nullable);
struct tk_records __wrap_tk_decode_records(struct tk_decoder *dec, bool flex, bool nullable);
void *__wrap_tk_decode_array(struct tk_decoder *dec, bool flex, bool nullable, size_t min_wire_size,
    size_t element_size, int32_t *ret_count);

void
__wrap_tk_tags_begin(struct tk_decoder *dec, struct tk_tags *tags)
{
	place_note(dec, PLACE_TAGS, true, false);
	__real_tk_tags_begin(dec, tags);
}

void
__wrap_tk_tags_skip_all(struct tk_decoder *dec)
{
	place_note(dec, PLACE_TAGS, true, false);
	__real_tk_tags_skip_all(dec);
}

struct tk_bytes
__wrap_tk_decode_string(struct tk_decoder *dec, bool flex, bool nullable)
{
	place_note(dec, PLACE_STRING, flex, nullable);
	return __real_tk_decode_string(dec, flex, nullable);
}

struct tk_bytes
__wrap_tk_decode_bytes(struct tk_decoder *dec, bool flex, bool nullable)
{
	place_note(dec, PLACE_BYTES, flex, nullable);
	return __real_tk_decode_bytes(dec, flex, nullable);
}

struct tk_records
__wrap_tk_decode_records(struct tk_decoder *dec, bool flex, bool nullable)
{
	place_note(dec, PLACE_BYTES, flex, nullable);
	return __real_tk_decode_records(dec, flex, nullable);
}

void *
__wrap_tk_decode_array(struct tk_decoder *dec, bool flex, bool nullable, size_t min_wire_size,
    size_t element_size, int32_t *ret_count)
{
	place_note(dec, PLACE_ARRAY, flex, nullable);
	return __real_tk_decode_array(dec, flex, nullable, min_wire_size, element_size, ret_count);
}

/* ---- one message at hand ---- */

struct sample {
	const struct wire_message *type;
	int version;
	uint64_t seed;
	uint8_t *bytes;
	size_t len;
};

/* Says which one it was, as the table of assertions cannot. */
static void
sample_check(const struct sample *sample, bool ok, const char *what)
{
	CU_ASSERT(ok);
	if (!ok)
		fprintf(stderr, "\n%s v%d: %s (sample seed %llu)\n", sample->type->name,
		    sample->version, what, (unsigned long long)sample->seed);
}

static void
sample_make(struct sample *sample, const struct wire_message *type, int version, uint64_t seed)
{
	struct tk_arena arena;
	struct tk_chain chain;
	struct wire_fill fill = { .state = seed, .arena = &arena, .files = true };
	void *msg = malloc(type->size);

	tk_assert(msg != NULL);
	tk_arena_init(&arena, ARENA_LIMIT);
	tk_chain_init(&chain, &arena);
	*sample = (struct sample){ .type = type, .version = version, .seed = seed };
	type->fill(&fill, version, msg);
	type->encode(&chain, version, msg);
	sample->bytes = wire_linear(&chain, &sample->len);
	tk_chain_reset(&chain);
	sample_check(sample, fill.open_files == 0, "a file range was not given back");
	tk_assert(sample->bytes != NULL);
	tk_arena_reset(&arena);
	free(msg);
}

static void
sample_free(struct sample *sample)
{
	free(sample->bytes);
}

/*
 * Decodes bytes and encodes them again.  0 where they were refused, 1 where the outcome is as
 * expected, -1 where it is not.  Refused bytes must have left the defaults.
 */
static int
try_bytes(const struct sample *sample, const uint8_t *bytes, size_t len, const uint8_t *expected,
    size_t expected_len)
{
	struct tk_arena arena, scratch;
	struct tk_chain chain;
	struct tk_decoder dec;
	uint8_t *copy = wire_copy(bytes, len), *again = NULL;
	size_t again_len = 0;
	void *msg = malloc(sample->type->size);
	int result = 0;

	tk_assert(msg != NULL);
	tk_arena_init(&arena, ARENA_LIMIT);
	tk_arena_init(&scratch, ARENA_LIMIT);
	tk_chain_init(&chain, &scratch);
	tk_decoder_init(&dec, copy, len, &arena);
	if (sample->type->decode(&dec, sample->version, msg)) {
		result = tk_decoder_finished(&dec) ? 1 : -1;
		sample->type->encode(&chain, sample->version, msg);
		again = wire_linear(&chain, &again_len);
		if (again == NULL ||
		    (expected != NULL &&
			(again_len != expected_len || memcmp(again, expected, again_len) != 0)))
			result = -1;
	} else {
		/* Nothing of it points into the bytes: encoding the defaults must do. */
		memset(copy, 0xee, len);
		sample->type->encode(&chain, sample->version, msg);
		sample_check(sample, dec.failed, "refused, yet the decoder has not failed");
	}
	tk_chain_reset(&chain);
	tk_arena_reset(&arena);
	tk_arena_reset(&scratch);
	free(again);
	free(copy);
	free(msg);
	return result;
}

static void
expect_same(const struct sample *sample, const uint8_t *bytes, size_t len, const char *what)
{
	sample_check(sample, try_bytes(sample, bytes, len, sample->bytes, sample->len) == 1, what);
}

static void
expect_refused(const struct sample *sample, const uint8_t *bytes, size_t len, const char *what)
{
	sample_check(sample, try_bytes(sample, bytes, len, NULL, 0) == 0, what);
}

static void
each_sample(int rounds, void (*visit)(const struct sample *sample))
{
	struct wire_fill seeds = { .state = wire_seed() };

	for (size_t i = 0; i < wire_messages_count; i++) {
		const struct wire_message *type = &wire_messages[i];

		for (int version = type->min_version; version <= type->max_version; version++)
			for (int round = 0; round < rounds; round++) {
				struct sample sample;

				sample_make(&sample, type, version, wire_random(&seeds));
				visit(&sample);
				sample_free(&sample);
			}
	}
}

/* Fills the table of places from a decoding of the sample. */
static void
places_find(const struct sample *sample)
{
	struct tk_arena arena;
	struct tk_decoder dec;
	void *msg = malloc(sample->type->size);

	tk_assert(msg != NULL);
	tk_arena_init(&arena, ARENA_LIMIT);
	tk_decoder_init(&dec, sample->bytes, sample->len, &arena);
	places_count = 0;
	places_base = dec.at;
	CU_ASSERT(sample->type->decode(&dec, sample->version, msg));
	places_base = NULL;
	tk_assert(places_count < PLACES_MAX);
	tk_arena_reset(&arena);
	free(msg);
}

/* ---- the tests ---- */

static void
visit_round_trip(const struct sample *sample)
{
	expect_same(sample, sample->bytes, sample->len, "encoded again, it differs");
}

static void
test_round_trips(void)
{
	each_sample(ROUNDS, visit_round_trip);
}

static void
visit_prefixes(const struct sample *sample)
{
	for (size_t len = 0; len < sample->len; len++)
		expect_refused(sample, sample->bytes, len, "a proper prefix was taken");
}

static void
test_prefixes(void)
{
	each_sample(6, visit_prefixes);
}

static void
visit_trailing(const struct sample *sample)
{
	struct tk_arena arena;
	struct tk_decoder dec;
	uint8_t *bytes = malloc(sample->len + 1);
	void *msg = malloc(sample->type->size);

	tk_assert(bytes != NULL && msg != NULL);
	memcpy(bytes, sample->bytes, sample->len);
	bytes[sample->len] = 0;
	tk_arena_init(&arena, ARENA_LIMIT);
	tk_decoder_init(&dec, bytes, sample->len + 1, &arena);
	sample_check(sample, sample->type->decode(&dec, sample->version, msg),
	    "bytes behind it were not tolerated");
	sample_check(sample, tk_decoder_left(&dec) == 1 && !tk_decoder_finished(&dec),
	    "bytes behind it were not noticed");
	tk_arena_reset(&arena);
	free(bytes);
	free(msg);
}

static void
test_trailing_bytes(void)
{
	each_sample(2, visit_trailing);
}

/* A section of tagged fields as it stands in the bytes. */
struct section {
	size_t start, first, end; /* its count, what follows it, its end */
	uint32_t count;
};

static struct section
section_read(const struct sample *sample, size_t start)
{
	struct section section = { .start = start };
	struct tk_decoder dec;

	tk_decoder_init(&dec, sample->bytes + start, sample->len - start, NULL);
	section.count = tk_decode_uvarint(&dec);
	section.first = (size_t)(dec.at - sample->bytes);
	for (uint32_t i = 0; i < section.count; i++) {
		uint32_t size;

		(void)tk_decode_uvarint(&dec);
		size = tk_decode_uvarint(&dec);
		tk_assert(size <= tk_decoder_left(&dec));
		dec.at += size;
	}
	section.end = (size_t)(dec.at - sample->bytes);
	return section;
}

/*
 * The sample with count more fields, raw as given, at the end of the section.  Sizes of fields
 * around it grow with it; NULL where one would need a byte more (or the section's count would).
 */
static uint8_t *
section_extended(const struct sample *sample, const struct section *section, uint32_t count,
    const uint8_t *raw, size_t raw_len, size_t *ret_len)
{
	uint8_t *bytes = malloc(sample->len + raw_len);

	tk_assert(bytes != NULL);
	memcpy(bytes, sample->bytes, section->end);
	memcpy(bytes + section->end, raw, raw_len);
	memcpy(bytes + section->end + raw_len, sample->bytes + section->end,
	    sample->len - section->end);
	bytes[section->start] = (uint8_t)(section->count + count);
	for (size_t i = 0; i < places_count; i++) {
		struct section outer;
		struct tk_decoder dec;

		if (places[i].kind != PLACE_TAGS || places[i].offset >= section->start)
			continue;
		outer = section_read(sample, places[i].offset);
		tk_decoder_init(&dec, sample->bytes + outer.first, outer.end - outer.first, NULL);
		for (uint32_t j = 0; j < outer.count; j++) {
			size_t size_at, size;

			(void)tk_decode_uvarint(&dec);
			size_at = (size_t)(dec.at - sample->bytes);
			size = tk_decode_uvarint(&dec);
			if (section->start >= (size_t)(dec.at - sample->bytes) &&
			    section->end <= (size_t)(dec.at - sample->bytes) + size) {
				if (size + raw_len > 0x7f) {
					free(bytes);
					return NULL;
				}
				bytes[size_at] = (uint8_t)(size + raw_len);
			}
			dec.at += size;
		}
	}
	*ret_len = sample->len + raw_len;
	return bytes;
}

static unsigned sections_seen;

static void
visit_tags(const struct sample *sample)
{
	/* Tags 5000 and 5001: of 3 bytes and of none. */
	static const uint8_t unknown[] = { 0x88, 0x27, 3, 0xff, 0, 0x80, 0x89, 0x27, 0 };
	static const uint8_t twice[] = { 0x88, 0x27, 1, 7, 0x88, 0x27, 1, 7 };
	static const uint8_t falling[] = { 0x89, 0x27, 1, 7, 0x88, 0x27, 1, 7 };
	static const uint8_t endless[] = { 0x88, 0x27, 0xff, 0xff, 0xff, 0xff, 0x0f };
	uint8_t *bytes;
	size_t len;

	places_find(sample);
	for (size_t i = 0; i < places_count; i++) {
		struct section section;

		if (places[i].kind != PLACE_TAGS)
			continue;
		section = section_read(sample, places[i].offset);
		bytes = section_extended(sample, &section, 2, unknown, sizeof(unknown), &len);
		if (bytes == NULL)
			continue;
		sections_seen++;
		expect_same(sample, bytes, len, "unknown tagged fields were not skipped");
		free(bytes);
		bytes = section_extended(sample, &section, 2, twice, sizeof(twice), &len);
		expect_refused(sample, bytes, len, "a tag came twice");
		free(bytes);
		bytes = section_extended(sample, &section, 2, falling, sizeof(falling), &len);
		expect_refused(sample, bytes, len, "tags fell");
		free(bytes);
		bytes = section_extended(sample, &section, 1, endless, sizeof(endless), &len);
		expect_refused(sample, bytes, len, "a field ends behind the message");
		free(bytes);
	}
}

static void
test_tagged_fields(void)
{
	sections_seen = 0;
	each_sample(10, visit_tags);
	CU_ASSERT(sections_seen > 1000);
}

/* The sample with the length or count at a place replaced. */
static uint8_t *
length_replaced(
    const struct sample *sample, const struct place *place, int64_t value, size_t *ret_len)
{
	uint8_t raw[5];
	size_t raw_len, old_len;
	uint8_t *bytes;

	if (place->flex) {
		struct tk_decoder dec;
		uint32_t v = (uint32_t)(value + 1);

		tk_decoder_init(
		    &dec, sample->bytes + place->offset, sample->len - place->offset, NULL);
		(void)tk_decode_uvarint(&dec);
		old_len = (size_t)(dec.at - sample->bytes) - place->offset;
		for (raw_len = 0; v > 0x7f; v >>= 7)
			raw[raw_len++] = (uint8_t)(v | 0x80);
		raw[raw_len++] = (uint8_t)v;
	} else if (place->kind == PLACE_STRING) {
		raw_len = old_len = 2;
		tk_be16_put(raw, (uint16_t)value);
	} else {
		raw_len = old_len = 4;
		tk_be32_put(raw, (uint32_t)value);
	}
	bytes = malloc(sample->len - old_len + raw_len);
	tk_assert(bytes != NULL);
	memcpy(bytes, sample->bytes, place->offset);
	memcpy(bytes + place->offset, raw, raw_len);
	memcpy(bytes + place->offset + raw_len, sample->bytes + place->offset + old_len,
	    sample->len - place->offset - old_len);
	*ret_len = sample->len - old_len + raw_len;
	return bytes;
}

/* Refused, and the arena was not asked for more than the sample itself may need. */
static void
expect_refused_cheaply(const struct sample *sample, const uint8_t *bytes, size_t len)
{
	struct tk_arena arena;
	struct tk_decoder dec;
	uint8_t *copy = wire_copy(bytes, len);
	void *msg = malloc(sample->type->size);

	tk_assert(msg != NULL);
	tk_arena_init(&arena, SIZE_MAX);
	tk_decoder_init(&dec, copy, len, &arena);
	sample_check(sample, !sample->type->decode(&dec, sample->version, msg),
	    "an impossible length was taken");
	sample_check(
	    sample, arena.held_bytes < 65536 + 100 * len, "an impossible length took memory");
	tk_arena_reset(&arena);
	free(copy);
	free(msg);
}

static void
visit_lengths(const struct sample *sample)
{
	places_find(sample);
	for (size_t i = 0; i < places_count; i++) {
		const struct place *place = &places[i];
		int64_t values[] = { (int64_t)sample->len + 1, 32767, INT32_MAX, -2 };

		if (place->kind == PLACE_TAGS)
			continue;
		for (size_t j = 0; j < TK_COUNT_OF(values); j++) {
			uint8_t *bytes;
			size_t len;

			if (place->kind == PLACE_STRING && !place->flex && values[j] > INT16_MAX)
				continue;
			bytes = length_replaced(sample, place, values[j], &len);
			expect_refused_cheaply(sample, bytes, len);
			free(bytes);
		}
	}
}

static void
test_impossible_lengths(void)
{
	each_sample(10, visit_lengths);
}

static unsigned nulls_seen;

static void
visit_nulls(const struct sample *sample)
{
	places_find(sample);
	for (size_t i = 0; i < places_count; i++) {
		uint8_t *bytes;
		size_t len;

		if (places[i].kind == PLACE_TAGS || places[i].nullable)
			continue;
		nulls_seen++;
		bytes = length_replaced(sample, &places[i], -1, &len);
		expect_refused(sample, bytes, len, "null was taken where it is not allowed");
		free(bytes);
	}
}

static void
test_nulls(void)
{
	nulls_seen = 0;
	each_sample(10, visit_nulls);
	CU_ASSERT(nulls_seen > 1000);
}

/* Whatever the bytes, nothing is read past them and what is taken can be encoded. */
static void
visit_noise(const struct sample *sample)
{
	struct wire_fill noise = { .state = sample->seed };

	for (int i = 0; i < 20 && sample->len > 0; i++) {
		uint8_t *bytes = wire_copy(sample->bytes, sample->len);

		for (uint64_t n = wire_random(&noise) % 4; n < 4; n++)
			bytes[wire_random(&noise) % sample->len] = (uint8_t)wire_random(&noise);
		(void)try_bytes(sample, bytes, sample->len, NULL, 0);
		free(bytes);
	}
}

static void
test_noise(void)
{
	each_sample(20, visit_noise);
}

/* An arena at its limit: the decoder says so, the encoder too, and files are given back. */
static void
visit_small_arena(const struct sample *sample)
{
	struct tk_arena arena, fill_arena;
	struct tk_chain chain;
	struct wire_fill fill = { .state = sample->seed, .arena = &fill_arena, .files = true };
	void *msg = malloc(sample->type->size);

	tk_assert(msg != NULL);
	tk_arena_init(&fill_arena, ARENA_LIMIT);
	tk_arena_init(&arena, 0);
	tk_chain_init(&chain, &arena);
	sample->type->fill(&fill, sample->version, msg);
	sample->type->encode(&chain, sample->version, msg);
	sample_check(
	    sample, tk_chain_failed(&chain) || sample->len == 0, "encoded without an arena");
	tk_chain_reset(&chain);
	sample_check(sample, fill.open_files == 0, "a file range was lost in a failed chain");
	tk_arena_reset(&fill_arena);
	free(msg);
}

static void
test_no_memory(void)
{
	each_sample(10, visit_small_arena);
}

TK_UNIT_MAIN("wire messages", { "round trips", test_round_trips }, { "prefixes", test_prefixes },
    { "trailing bytes", test_trailing_bytes }, { "tagged fields", test_tagged_fields },
    { "impossible lengths", test_impossible_lengths }, { "nulls", test_nulls },
    { "noise", test_noise }, { "no memory", test_no_memory })
