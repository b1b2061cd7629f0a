/*
 * The configuration of a topic: every key Kafka 4 knows, what values it takes here and what it is
 * where the topic does not say.
 *
 * A topic stores what was set for it as pairs of text.  Whoever needs the effective values starts
 * with tk_topic_config_defaults and lays each pair over it with tk_topic_config_set; after a reload
 * of the settings this is done again.  Any process, any thread; a struct belongs to one.
 */
#ifndef TK_BASE_TOPIC_CONFIG_H
#define TK_BASE_TOPIC_CONFIG_H

#include "base/settings.h"

/* Of the list cleanup.policy, in the order of its words in the table. */
#define TK_CLEANUP_COMPACT 1
#define TK_CLEANUP_DELETE  2

/* A DOUBLE of 1. */
#define TK_CONFIG_MILLIONTHS 1000000

/* What is in effect for a topic. */
struct tk_topic_config {
	int64_t retention_ms;    /* -1: for ever */
	int64_t retention_bytes; /* negative: no limit */
	int64_t segment_bytes;
	int64_t segment_ms;
	int64_t max_message_bytes;
	int64_t index_interval_bytes;
	int64_t file_delete_delay_ms;
	int64_t min_insync_replicas;
	int64_t flush_messages, flush_ms;
	int64_t timestamp_type;                                  /* enum tk_timestamp_type */
	int64_t timestamp_before_max_ms, timestamp_after_max_ms; /* INT64_MAX: no bound */
	int64_t preallocate;                                     /* 0 or 1 */
	int64_t cleanup_policy; /* TK_CLEANUP_ bits, at least one */
	int64_t delete_retention_ms;
	int64_t min_compaction_lag_ms, max_compaction_lag_ms;
	int64_t min_cleanable_dirty_ratio; /* in millionths */
	uint64_t set;                      /* bit i: row i was set for the topic */
};

/* What a value may be: the text's form, beside its Kafka type. */
struct tk_topic_config_row {
	const char *name;
	enum tk_config_type type;
	const char *default_text; /* as Kafka writes it, where no broker setting gives it */
	const char *setting;      /* path of the broker setting the default comes from, or NULL */
	const char *synonyms[3];  /* Kafka's broker keys, best first; the last has a default */
	const char *synonym_default;    /* of the last one, where its unit differs; else NULL */
	const char *const *words;       /* values of a STRING or LIST, ended by NULL; NULL: any */
	const char *const *words_later; /* words that Kafka takes and this version does not */
	int64_t min, max;               /* of INT and LONG */
	bool has_effect;                /* false: only the default is accepted */
	size_t offset; /* of the field, an int64_t, where has_effect; else SIZE_MAX */
	const char *help;
};

/* The table, in the order of names. */
const struct tk_topic_config_row *tk_topic_config_rows(size_t *ret_count);

/* Whether the topic itself says it. */
bool tk_topic_config_is_set(const struct tk_topic_config *config, const char *name);

/* The row of a key, or NULL: Kafka answers INVALID_CONFIG to one it does not know. */
const struct tk_topic_config_row *tk_topic_config_find(const char *name);

/* What a topic has of which nothing was set. */
void tk_topic_config_defaults(
    const struct tk_settings *settings, struct tk_topic_config *ret_config);

/*
 * Sets one key.  0, or -EINVAL with a sentence in err for the client (INVALID_CONFIG), config
 * unchanged.  value NULL is refused.
 */
int tk_topic_config_set(struct tk_topic_config *config, const char *name, const char *value,
    char *err, size_t err_size) TK_MUST_CHECK;

/*
 * The index-th key of a topic as DescribeConfigs tells it, its texts in arena; 0, -ENOENT past the
 * last one, -ENOMEM.
 */
int tk_topic_config_get(const struct tk_settings *settings, const struct tk_topic_config *config,
    size_t index, struct tk_arena *arena, struct tk_config_entry *ret_entry) TK_MUST_CHECK;

#endif
