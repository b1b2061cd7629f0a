/*
 * States of producers as files: Kafka's snapshot, and ours with all five batches.
 *
 * Ours lives in the run directory and never outlives the machine's boot, so it is in this machine's
 * byte order.  Writer process; what is read is judged before it is taken.
 *
 * Entries are taken in the order of their last offsets, which is the order in which the producers
 * were heard of; what is more than the pool's bound is left out from the oldest on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "log/producers_private.h"

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_HEADER  10u /* version, checksum, count */
#define SNAPSHOT_ENTRY   46u
#define OURS_MAGIC       0x544b5052u /* "TKPR" */
#define OURS_VERSION     2u

struct ours_header {
	uint32_t magic;
	uint32_t version;
	uint32_t crc; /* of what follows */
	uint32_t count;
	struct tk_producers_place place;
};

struct ours_entry {
	int64_t id;
	int64_t txn_first_offset;
	int64_t last_timestamp;
	int64_t heard_ms;
	int32_t coordinator_epoch;
	int16_t epoch;
	uint16_t count;
	struct tk_producer_batch batches[TK_PRODUCER_BATCHES];
};

_Static_assert(sizeof(struct ours_header) == TK_PRODUCERS_HEAD_BYTES, "no padding is written");
_Static_assert(sizeof(struct ours_entry) == 40 + 5 * 24, "no padding is written");

#define OURS_CRC_FROM offsetof(struct ours_header, count)

static int
compare_ids(const void *a, const void *b)
{
	const struct tk_producer *x = *(const struct tk_producer *const *)a;
	const struct tk_producer *y = *(const struct tk_producer *const *)b;

	return (x->id > y->id) - (x->id < y->id);
}

/* All producers by id, so that equal states are equal files; to be freed. */
static int
producers_sorted(const struct tk_producers *producers, const struct tk_producer ***ret_sorted)
{
	const struct tk_producer **sorted;
	struct tk_map_node *node = NULL;
	size_t count = 0;

	sorted = calloc(producers->map.count + 1, sizeof(struct tk_producer *));
	if (sorted == NULL)
		return -ENOMEM;
	while ((node = tk_map_next(&producers->map, node)) != NULL)
		sorted[count++] = TK_CONTAINER_OF(node, struct tk_producer, node);
	tk_assert(count == producers->map.count);
	qsort(sorted, count, sizeof(struct tk_producer *), compare_ids);
	*ret_sorted = sorted;
	return 0;
}

static void
snapshot_put(uint8_t *at, const struct tk_producer *producer)
{
	static const struct tk_producer_batch none = { -1, -1, -1, 0 };
	const struct tk_producer_batch *last = &none;

	if (producer->count > 0)
		last = &producer->batches[producer->count - 1];
	tk_be64_put(at, (uint64_t)producer->id);
	tk_be16_put(at + 8, (uint16_t)producer->epoch);
	tk_be32_put(at + 10, (uint32_t)last->last_sequence);
	tk_be64_put(at + 14, (uint64_t)last->last_offset);
	tk_be32_put(at + 22, (uint32_t)last->offset_delta);
	tk_be64_put(at + 26, (uint64_t)producer->last_timestamp);
	tk_be32_put(at + 34, (uint32_t)producer->coordinator_epoch);
	tk_be64_put(at + 38, (uint64_t)producer->txn_first_offset);
}

int
tk_producers_encode_snapshot(
    const struct tk_producers *producers, uint8_t **ret_data, size_t *ret_len)
{
	size_t len = SNAPSHOT_HEADER + producers->map.count * SNAPSHOT_ENTRY;
	const struct tk_producer **sorted;
	uint8_t *data;
	int rc;

	rc = producers_sorted(producers, &sorted);
	if (rc < 0)
		return rc;
	data = malloc(len);
	if (data == NULL) {
		free(sorted);
		return -ENOMEM;
	}
	tk_be16_put(data, SNAPSHOT_VERSION);
	tk_be32_put(data + 6, (uint32_t)producers->map.count);
	for (size_t i = 0; i < producers->map.count; i++)
		snapshot_put(data + SNAPSHOT_HEADER + i * SNAPSHOT_ENTRY, sorted[i]);
	tk_be32_put(data + 2, tk_crc32c(0, data + 6, len - 6));
	free(sorted);
	*ret_data = data;
	*ret_len = len;
	return 0;
}

/* An entry of a file that is read, and where it goes. */
struct place_of_entry {
	int64_t last_offset;
	const uint8_t *at;
};

typedef bool entry_get(const uint8_t *at, struct tk_producer *ret_producer);

static int
compare_offsets(const void *a, const void *b)
{
	const struct place_of_entry *x = a, *y = b;

	if (x->last_offset != y->last_offset)
		return x->last_offset < y->last_offset ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static int64_t
last_offset(const struct tk_producer *producer)
{
	return producer->count == 0 ? -1 : producer->batches[producer->count - 1].last_offset;
}

static int
producer_put(struct tk_producers *producers, const struct tk_producer *from)
{
	struct tk_producer *producer;

	if (tk_producer_find(producers, from->id) != NULL)
		return -EBADMSG;
	producer = malloc(sizeof(*producer));
	if (producer == NULL)
		return -ENOMEM;
	*producer = *from;
	tk_producer_enter(producers, producer);
	producer->heard_ms = from->heard_ms;
	return 0;
}

static int
sort_entries(const uint8_t *data, size_t count, size_t entry_bytes, entry_get *get,
    struct place_of_entry **ret_places)
{
	struct place_of_entry *places = malloc((count + 1) * sizeof(*places));
	struct tk_producer producer;

	if (places == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		places[i].at = data + i * entry_bytes;
		if (!get(places[i].at, &producer)) {
			free(places);
			return -EBADMSG;
		}
		places[i].last_offset = last_offset(&producer);
	}
	qsort(places, count, sizeof(*places), compare_offsets);
	*ret_places = places;
	return 0;
}

/* Takes entries that make up all of a file; on failure nothing is there. */
static int
take_entries(struct tk_producers *producers, const uint8_t *data, size_t count, size_t entry_bytes,
    entry_get *get)
{
	struct place_of_entry *places;
	struct tk_producer producer;
	int rc;

	rc = sort_entries(data, count, entry_bytes, get, &places);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count && rc == 0; i++) {
		(void)get(places[i].at, &producer);
		rc = producer_put(producers, &producer);
	}
	free(places);
	if (rc < 0)
		tk_producers_free(producers);
	return rc;
}

static bool
snapshot_get(const uint8_t *at, struct tk_producer *ret_producer)
{
	*ret_producer = (struct tk_producer){ .id = (int64_t)tk_be64_get(at),
		.epoch = (int16_t)tk_be16_get(at + 8),
		.last_timestamp = (int64_t)tk_be64_get(at + 26),
		.heard_ms = TK_HEARD_UNKNOWN,
		.coordinator_epoch = (int32_t)tk_be32_get(at + 34),
		.txn_first_offset = (int64_t)tk_be64_get(at + 38) };
	ret_producer->batches[0] = (struct tk_producer_batch){
		.last_offset = (int64_t)tk_be64_get(at + 14),
		.timestamp = (int64_t)tk_be64_get(at + 26),
		.last_sequence = (int32_t)tk_be32_get(at + 10),
		.offset_delta = (int32_t)tk_be32_get(at + 22),
	};
	ret_producer->count = ret_producer->batches[0].last_offset >= 0;
	return true;
}

int
tk_producers_decode_snapshot(struct tk_producers *producers, const uint8_t *data, size_t len)
{
	uint32_t count;

	tk_producers_free(producers);
	if (len < SNAPSHOT_HEADER || tk_be16_get(data) != SNAPSHOT_VERSION ||
	    tk_be32_get(data + 2) != tk_crc32c(0, data + 6, len - 6))
		return -EBADMSG;
	count = tk_be32_get(data + 6);
	if (count != (len - SNAPSHOT_HEADER) / SNAPSHOT_ENTRY ||
	    (len - SNAPSHOT_HEADER) % SNAPSHOT_ENTRY != 0)
		return -EBADMSG;
	return take_entries(producers, data + SNAPSHOT_HEADER, count, SNAPSHOT_ENTRY, snapshot_get);
}

int
tk_producers_encode(const struct tk_producers *producers, const struct tk_producers_place *place,
    uint8_t **ret_data, size_t *ret_len)
{
	size_t len = sizeof(struct ours_header) + producers->map.count * sizeof(struct ours_entry);
	struct ours_header header = { .magic = OURS_MAGIC,
		.version = OURS_VERSION,
		.count = (uint32_t)producers->map.count,
		.place = *place };
	struct tk_map_node *node = NULL;
	uint8_t *data, *at;

	data = malloc(len);
	if (data == NULL)
		return -ENOMEM;
	at = data + sizeof(header);
	while ((node = tk_map_next(&producers->map, node)) != NULL) {
		const struct tk_producer *from = TK_CONTAINER_OF(node, struct tk_producer, node);
		struct ours_entry entry = { .id = from->id,
			.txn_first_offset = from->txn_first_offset,
			.last_timestamp = from->last_timestamp,
			.heard_ms = from->heard_ms,
			.coordinator_epoch = from->coordinator_epoch,
			.epoch = from->epoch,
			.count = (uint16_t)from->count };

		memcpy(entry.batches, from->batches, sizeof(entry.batches));
		memcpy(at, &entry, sizeof(entry));
		at += sizeof(entry);
	}
	memcpy(data, &header, sizeof(header));
	header.crc = tk_crc32c(0, data + OURS_CRC_FROM, len - OURS_CRC_FROM);
	memcpy(data, &header, sizeof(header));
	*ret_data = data;
	*ret_len = len;
	return 0;
}

static bool
ours_get(const uint8_t *at, struct tk_producer *ret_producer)
{
	struct ours_entry entry;

	memcpy(&entry, at, sizeof(entry));
	if (entry.count > TK_PRODUCER_BATCHES)
		return false;
	*ret_producer = (struct tk_producer){ .id = entry.id,
		.epoch = entry.epoch,
		.count = entry.count,
		.last_timestamp = entry.last_timestamp,
		.heard_ms = entry.heard_ms,
		.coordinator_epoch = entry.coordinator_epoch,
		.txn_first_offset = entry.txn_first_offset };
	memcpy(ret_producer->batches, entry.batches, sizeof(entry.batches));
	return true;
}

int
tk_producers_decode_place(
    const uint8_t head[TK_PRODUCERS_HEAD_BYTES], struct tk_producers_place *ret_place)
{
	struct ours_header header;

	memcpy(&header, head, sizeof(header));
	if (header.magic != OURS_MAGIC || header.version != OURS_VERSION)
		return -EBADMSG;
	*ret_place = header.place;
	return 0;
}

int
tk_producers_decode(struct tk_producers *producers, const uint8_t *data, size_t len,
    struct tk_producers_place *ret_place)
{
	struct ours_header header;
	int rc;

	tk_producers_free(producers);
	if (len < sizeof(header))
		return -EBADMSG;
	memcpy(&header, data, sizeof(header));
	if (header.magic != OURS_MAGIC || header.version != OURS_VERSION ||
	    len - sizeof(header) != header.count * sizeof(struct ours_entry) ||
	    header.crc != tk_crc32c(0, data + OURS_CRC_FROM, len - OURS_CRC_FROM))
		return -EBADMSG;
	rc = take_entries(
	    producers, data + sizeof(header), header.count, sizeof(struct ours_entry), ours_get);
	if (rc == 0)
		*ret_place = header.place;
	return rc;
}
