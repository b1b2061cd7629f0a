/*
 * Between the files of the view: meta.c (what is known, questions), meta_apply.c (transactions into
 * it), meta_journal.c (the file's batches).
 */
#ifndef TK_META_META_PRIVATE_H
#define TK_META_META_PRIVATE_H

#include <sys/queue.h>

#include "base/map.h"
#include "base/topic_config.h"
#include "meta/meta.h"
#include "meta/order.h"

#define TK_META_KEY_TOPIC        "topic/"
#define TK_META_KEY_PARTITION    "partition/"
#define TK_META_KEY_REVISION     "revision"
#define TK_META_KEY_PRODUCER_IDS "producer-ids"
#define TK_META_KEY_MAX          1024u /* bytes of a key */

/*
 * A topic as it is known.  One that is not `present` has partitions' records only (in a compacted
 * journal the topic's own may stand behind them): it is in by_name and nowhere else.
 */
struct tk_topic {
	struct tk_meta_topic pub; /* first */
	struct tk_map_node by_name, by_id, by_folded;
	struct tk_order_node order;
	TAILQ_ENTRY(tk_topic) touched; /* in changed or deleted */
	bool present, is_touched;
	uint64_t version;
	struct tk_meta_partition *parts; /* pub.partitions */
	int32_t parts_room;
	int32_t parts_count;                /* of those with a record */
	struct tk_topic_config *own_config; /* or NULL: the defaults' */
	char name[];
};
TAILQ_HEAD(tk_topic_list, tk_topic);

struct tk_entry {
	struct tk_meta_entry pub; /* first */
	struct tk_order_node order;
	char bytes[]; /* key, NUL, payload */
};

/* Where the journal was read to. */
struct tk_journal {
	int dir_fd; /* of the data directory */
	int fd;     /* of the segment, or -1 */
	uint64_t incarnation, generation;
	int64_t offset; /* of the next batch; -1: nothing read yet */
	int64_t segment, position;
	int64_t last_position; /* of the last batch taken, in segment; -1: none */
	uint32_t last_crc;
	uint8_t *buffer;
	size_t room, len; /* bytes of the segment from buffer_at on */
	int64_t buffer_at;
};

struct tk_meta {
	const struct tk_zone *zone;
	const struct tk_settings *settings;
	uint32_t generation; /* of them */
	struct tk_journal journal;
	uint64_t revision;
	struct tk_uuid transaction;
	struct tk_map by_name, by_id, by_folded;
	struct tk_order topics, entries;
	size_t topic_count, partition_count;
	struct tk_topic_list changed, deleted;
	bool lists_told; /* the last call returned 0: its lists were seen */
	struct tk_topic_config defaults;
	struct tk_uuid directories[TK_META_DIRECTORIES_MAX];
	size_t directory_count;
	int64_t next_producer_id;
};

/* A key taken apart. */
enum tk_key_kind { TK_KEY_OTHER, TK_KEY_TOPIC, TK_KEY_PARTITION };
struct tk_key {
	enum tk_key_kind kind;
	struct tk_bytes name; /* the topic's */
	int32_t index;
};
int tk_key_parse(const void *key, size_t len, struct tk_key *ret_key) TK_MUST_CHECK;

/* meta.c */
struct tk_topic *tk_meta_topic_any(const struct tk_meta *meta, const void *name, size_t len);
struct tk_entry *tk_meta_entry_find(const struct tk_meta *meta, const void *key, size_t len);
uint32_t tk_meta_directory_index(const struct tk_meta *meta, const struct tk_uuid *id);
void tk_meta_forget(struct tk_meta *meta); /* all topics go to deleted */
void tk_meta_lists_empty(struct tk_meta *meta);
void tk_meta_topic_resolve(struct tk_meta *meta, struct tk_topic *topic);
void tk_meta_topic_free(struct tk_topic *topic);

/* meta_apply.c: takes a batch whose checksum is right, whole or (but for -ENOMEM) not at all. */
int tk_meta_apply(struct tk_meta *meta, const uint8_t *batch, size_t len) TK_MUST_CHECK;
/* Out of the view and into deleted. */
void tk_meta_topic_drop(struct tk_meta *meta, struct tk_topic *topic);

/* meta_journal.c */
int tk_journal_open(struct tk_journal *journal, const char *directory) TK_MUST_CHECK;
void tk_journal_close(struct tk_journal *journal);
/*
 * Makes the journal ready to read up to state's end; *ret_restart if what was read before is not
 * what the journal begins with any more.
 */
int tk_journal_begin(
    struct tk_journal *journal, const struct tk_part_state *state, bool *ret_restart) TK_MUST_CHECK;
/* The next batch, checked; valid until the next call.  -ENOENT: the end is reached. */
int tk_journal_next(struct tk_journal *journal, const struct tk_part_state *state,
    const uint8_t **ret_batch, size_t *ret_len) TK_MUST_CHECK;
/* The batch last returned was taken. */
void tk_journal_taken(struct tk_journal *journal, const uint8_t *batch, size_t len);

#endif
