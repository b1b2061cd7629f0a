/*
 * States of producers as files: Kafka's snapshot, and ours with all five batches.
 *
 * Ours lives in the run directory and never outlives the machine's boot, so it is in this machine's
 * byte order.  Writer process; what is read is judged before it is taken.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "log/producers.h"

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_HEADER  10u /* version, checksum, count */
#define SNAPSHOT_ENTRY   46u
#define OURS_MAGIC       0x544b5052u /* "TKPR" */
#define OURS_VERSION     1u

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
	int32_t coordinator_epoch;
	int16_t epoch;
	uint16_t count;
	struct tk_producer_batch batches[TK_PRODUCER_BATCHES];
};

_Static_assert(sizeof(struct ours_header) == 56, "no padding is written");
_Static_assert(sizeof(struct ours_entry) == 24 + 5 * 24, "no padding is written");

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
	tk_be64_put(at + 26, (uint64_t)last->timestamp);
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

static int
producer_put(struct tk_producers *producers, const struct tk_producer *from)
{
	struct tk_producer *producer = malloc(sizeof(*producer));

	if (producer == NULL)
		return -ENOMEM;
	*producer = *from;
	tk_map_put(&producers->map, &producer->node, &producer->id, sizeof(producer->id));
	return 0;
}

static int
snapshot_get(struct tk_producers *producers, const uint8_t *at)
{
	struct tk_producer producer = { .id = (int64_t)tk_be64_get(at),
		.epoch = (int16_t)tk_be16_get(at + 8),
		.coordinator_epoch = (int32_t)tk_be32_get(at + 34),
		.txn_first_offset = (int64_t)tk_be64_get(at + 38) };

	producer.batches[0] = (struct tk_producer_batch){
		.last_offset = (int64_t)tk_be64_get(at + 14),
		.timestamp = (int64_t)tk_be64_get(at + 26),
		.last_sequence = (int32_t)tk_be32_get(at + 10),
		.offset_delta = (int32_t)tk_be32_get(at + 22),
	};
	producer.count = producer.batches[0].last_offset >= 0;
	return producer_put(producers, &producer);
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
	for (uint32_t i = 0; i < count; i++)
		if (snapshot_get(producers, data + SNAPSHOT_HEADER + i * SNAPSHOT_ENTRY) < 0) {
			tk_producers_free(producers);
			return -ENOMEM;
		}
	return 0;
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

static int
ours_get(struct tk_producers *producers, const uint8_t *at)
{
	struct tk_producer producer = { 0 };
	struct ours_entry entry;

	memcpy(&entry, at, sizeof(entry));
	if (entry.count > TK_PRODUCER_BATCHES)
		return -EBADMSG;
	producer.id = entry.id;
	producer.epoch = entry.epoch;
	producer.count = entry.count;
	producer.coordinator_epoch = entry.coordinator_epoch;
	producer.txn_first_offset = entry.txn_first_offset;
	memcpy(producer.batches, entry.batches, sizeof(entry.batches));
	return producer_put(producers, &producer);
}

int
tk_producers_decode(struct tk_producers *producers, const uint8_t *data, size_t len,
    struct tk_producers_place *ret_place)
{
	struct ours_header header;
	int rc = 0;

	tk_producers_free(producers);
	if (len < sizeof(header))
		return -EBADMSG;
	memcpy(&header, data, sizeof(header));
	if (header.magic != OURS_MAGIC || header.version != OURS_VERSION ||
	    len - sizeof(header) != header.count * sizeof(struct ours_entry) ||
	    header.crc != tk_crc32c(0, data + OURS_CRC_FROM, len - OURS_CRC_FROM))
		return -EBADMSG;
	for (uint32_t i = 0; i < header.count && rc == 0; i++)
		rc = ours_get(producers, data + sizeof(header) + i * sizeof(struct ours_entry));
	if (rc < 0) {
		tk_producers_free(producers);
		return rc;
	}
	*ret_place = header.place;
	return 0;
}
