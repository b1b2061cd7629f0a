/*
 * The metadata of the cluster as this process knows it: a private view of the journal.
 *
 * The journal is the partition "__metadata-0" in slot 0 of data directory 0: Kafka's record
 * batches, one transaction a batch, appended by the writer of that directory for the coordinator.
 * Every process that needs metadata has a view, which reads the journal's file (O_RDONLY, pread) up
 * to the end that is published in the zone.  A request begins with tk_meta_catch_up(), so what one
 * connection created another sees; nothing new costs one look at the zone.
 *
 * One thread.  Pointers into the view are good until the next tk_meta_catch_up() or
 * tk_meta_set_...().  Memory: what the topics that exist take; what is deleted is freed.  A journal
 * that is not sound is an error, never a crash, and leaves the view where it was.
 */
#ifndef TK_META_META_H
#define TK_META_META_H

#include "base/settings.h"
#include "log/zone.h"
#include "takhin/base.h"

/* The journal's own partition, which is in no view; no transaction has its incarnation. */
#define TK_META_TOPIC       "__metadata"
#define TK_META_DIRECTORY   0u /* index of the data directory */
#define TK_META_SLOT        0u
#define TK_META_INCARNATION 1u

/* No transaction is longer: the writer takes a batch of this size in TK_META_SLOT. */
#define TK_META_BATCH_MAX ((size_t)16 << 20)

#define TK_META_NO_DIRECTORY    UINT32_MAX
#define TK_META_DIRECTORIES_MAX 64u

/* No topic has more partitions than all of a zone's slots. */
#define TK_META_PARTITIONS_MAX ((int32_t)TK_ZONE_SLOTS_MAX)

struct tk_meta;
struct tk_topic_config;

struct tk_meta_partition {
	uint64_t incarnation; /* revision of the transaction that made it; 0: not there */
	uint64_t revision;    /* of its last change */
	uint32_t directory;   /* index of its data directory, or TK_META_NO_DIRECTORY */
	uint32_t slot;
	int32_t leader; /* node id */
	int32_t leader_epoch;
	struct tk_uuid directory_id;
	uint64_t version; /* changes since it was made, that included */
};

/* A setting as it was given, both terminated. */
struct tk_meta_config {
	const char *name;
	const char *value;
};

struct tk_meta_topic {
	const char *name; /* terminated */
	size_t name_len;
	struct tk_uuid id;
	int32_t partition_count;
	const struct tk_meta_partition *partitions; /* partition_count of them */
	const struct tk_topic_config *config; /* in force: configs over the broker's defaults */
	const struct tk_meta_config *configs; /* as given */
	size_t config_count;
	uint64_t create_revision;
	uint64_t config_revision; /* of the last change of the topic's own record */
	bool is_internal;
};

/*
 * A view, empty until it catches up.  zone is that of data directory 0, directory its path,
 * settings those in force; all three must outlive the view (or be replaced).  0 or -errno.
 */
int tk_meta_open(const struct tk_zone *zone, const char *directory,
    const struct tk_settings *settings, struct tk_meta **ret_meta) TK_MUST_CHECK;
void tk_meta_close(struct tk_meta **meta);

/*
 * Reads what was published since.  0; -EAGAIN: the journal is not published (its writer has yet to
 * start); -EBADMSG: what is published is not a journal; other -errno as reading failed.  Short of
 * -ENOMEM, after which a transaction may be there in part until the next call, it takes whole
 * transactions or nothing.
 */
int tk_meta_catch_up(struct tk_meta *meta) TK_MUST_CHECK;

/* Revision of the last transaction taken; 0: none. */
uint64_t tk_meta_revision(const struct tk_meta *meta);

/* What its maker named that transaction: no two are alike, also where both claim one revision. */
struct tk_uuid tk_meta_transaction(const struct tk_meta *meta);

/*
 * Which data directories this broker has: ids[i] is the directory.id of directory i (the zone's
 * header has it); zero for one that is not known (yet).  At most TK_META_DIRECTORIES_MAX.  Resolves
 * every partition again.
 */
void tk_meta_set_directories(struct tk_meta *meta, const struct tk_uuid *ids, size_t count);

/* Other settings: topics' configs are worked out again. */
void tk_meta_set_settings(struct tk_meta *meta, const struct tk_settings *settings);

/*
 * Which reload the settings came with, of those that changed what topics have by default: one count
 * for all processes of a broker.  A batch is validated under a stamp, the generation and the
 * topic's revision together, and a writer sends back what was validated under another.
 */
void tk_meta_set_generation(struct tk_meta *meta, uint32_t generation);
uint64_t tk_meta_stamp(const struct tk_meta *meta, const struct tk_meta_topic *topic);

/* The topic's revision in a stamp. */
uint64_t tk_meta_stamp_revision(uint64_t stamp);

/* A topic, or NULL. */
const struct tk_meta_topic *tk_meta_topic_find(
    const struct tk_meta *meta, const void *name, size_t name_len);
const struct tk_meta_topic *tk_meta_topic_find_id(
    const struct tk_meta *meta, const struct tk_uuid *id);

/* The partition of a topic, or NULL for an index that is out of range or not there. */
const struct tk_meta_partition *tk_meta_partition_find(
    const struct tk_meta_topic *topic, int32_t index);

/* A topic whose name is this one but for '.' and '_', itself included; or NULL. */
const struct tk_meta_topic *tk_meta_topic_collision(
    const struct tk_meta *meta, const void *name, size_t name_len);

/* All topics in the order of their names' bytes; _from: the first whose name is at or above. */
const struct tk_meta_topic *tk_meta_topic_first(const struct tk_meta *meta);
const struct tk_meta_topic *tk_meta_topic_next(const struct tk_meta_topic *topic);
const struct tk_meta_topic *tk_meta_topic_from(
    const struct tk_meta *meta, const void *name, size_t name_len);

size_t tk_meta_topic_count(const struct tk_meta *meta);

/* Partitions of all topics, the journal's own not counted. */
size_t tk_meta_partition_count(const struct tk_meta *meta);

/*
 * What the last tk_meta_catch_up() took, and those before it that failed: topics that are gone
 * (with the partitions they had), then topics that are new or changed, each once.  The next call
 * empties both lists, so who lives by them looks after every call.  A topic deleted and made again
 * is in both, as are all topics after the journal itself was replaced: a partition of a deleted
 * topic is gone only if the view's topic of that name has no partition of its incarnation.
 */
const struct tk_meta_topic *tk_meta_deleted(const struct tk_meta *meta);
const struct tk_meta_topic *tk_meta_deleted_next(const struct tk_meta_topic *topic);
const struct tk_meta_topic *tk_meta_changed(const struct tk_meta *meta);
const struct tk_meta_topic *tk_meta_changed_next(const struct tk_meta_topic *topic);

/* First producer id that no block reserved in the journal holds. */
int64_t tk_meta_next_producer_id(const struct tk_meta *meta);

/*
 * The store itself, as etcd has it.  A key's revision is that of its last change, 0 if it is not
 * there; revisions of keys of every kind can be asked for.
 */
struct tk_meta_entry {
	const char *key; /* terminated */
	size_t key_len;
	uint64_t revision, create_revision, version;
	struct tk_bytes payload;
};

/* False if there is no such key. */
bool tk_meta_key_find(const struct tk_meta *meta, const void *key, size_t key_len,
    uint64_t *ret_revision, uint64_t *ret_create_revision, uint64_t *ret_version);

/*
 * range(prefix), in the order of keys, of the keys that are neither topics nor partitions: the
 * first entry, and the next one with the same prefix; NULL at the end.
 */
const struct tk_meta_entry *tk_meta_range(
    const struct tk_meta *meta, const void *prefix, size_t prefix_len);
const struct tk_meta_entry *tk_meta_range_next(
    const struct tk_meta_entry *entry, const void *prefix, size_t prefix_len);

#endif
