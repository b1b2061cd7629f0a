/*
 * Topic configurations: what is taken, what is refused, and how each is described.
 */
#include "base/topic_config.h"
#include "test_settings.h"

static struct loaded loaded;
static struct tk_topic_config config;

static void
begin(const char *conf)
{
	expect_loaded(&loaded, conf);
	tk_topic_config_defaults(loaded.settings, &config);
}

/* Setting name to value is refused with this sentence and changes nothing. */
static void
expect_refused(const char *name, const char *value, const char *sentence)
{
	struct tk_topic_config before = config;
	char err[256] = "";

	CU_ASSERT_EQUAL(tk_topic_config_set(&config, name, value, err, sizeof(err)), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err, sentence);
	if (strcmp(err, sentence) != 0)
		(void)printf("\n%s\n", err);
	CU_ASSERT_EQUAL(memcmp(&before, &config, sizeof(config)), 0);
}

static void
expect_set(const char *name, const char *value)
{
	uint64_t before = config.set;
	char err[256] = "";

	CU_ASSERT_EQUAL(tk_topic_config_set(&config, name, value, err, sizeof(err)), 0);
	CU_ASSERT_STRING_EQUAL(err, "");
	CU_ASSERT_NOT_EQUAL(config.set, before);
	config.set = before; /* so that each call shows that it sets its own */
}

/* Kafka 4's keys, all of them. */
static const char *const keys[] = { "cleanup.policy", "compression.gzip.level",
	"compression.lz4.level", "compression.type", "compression.zstd.level",
	"delete.retention.ms", "file.delete.delay.ms", "flush.messages", "flush.ms",
	"follower.replication.throttled.replicas", "index.interval.bytes",
	"leader.replication.throttled.replicas", "local.retention.bytes", "local.retention.ms",
	"max.compaction.lag.ms", "max.message.bytes", "message.timestamp.after.max.ms",
	"message.timestamp.before.max.ms", "message.timestamp.type", "min.cleanable.dirty.ratio",
	"min.compaction.lag.ms", "min.insync.replicas", "preallocate", "remote.copy.lag.bytes",
	"remote.copy.lag.ms", "remote.log.copy.disable", "remote.log.delete.on.disable",
	"remote.storage.enable", "retention.bytes", "retention.ms", "segment.bytes",
	"segment.index.bytes", "segment.jitter.ms", "segment.ms",
	"unclean.leader.election.enable" };

static void
test_rows(void)
{
	size_t count;
	const struct tk_topic_config_row *rows = tk_topic_config_rows(&count);

	CU_ASSERT_EQUAL_FATAL(count, TK_COUNT_OF(keys));
	for (size_t i = 0; i < count; i++) {
		CU_ASSERT_STRING_EQUAL(rows[i].name, keys[i]);
		CU_ASSERT_PTR_EQUAL(tk_topic_config_find(keys[i]), &rows[i]);
		CU_ASSERT_EQUAL(rows[i].has_effect, rows[i].offset != SIZE_MAX);
		CU_ASSERT(rows[i].has_effect || rows[i].setting == NULL);
		CU_ASSERT_EQUAL(rows[i].setting == NULL, rows[i].default_text != NULL);
		CU_ASSERT_EQUAL(rows[i].type == TK_CONFIG_STRING && rows[i].words == NULL, false);
		CU_ASSERT_PTR_NOT_NULL(rows[i].help);
	}
	CU_ASSERT_PTR_NULL(tk_topic_config_find("nope"));
	CU_ASSERT_PTR_NULL(tk_topic_config_find(""));
}

static void
test_defaults(void)
{
	begin("");
	CU_ASSERT_EQUAL(config.retention_ms, 604800000);
	CU_ASSERT_EQUAL(config.retention_bytes, -1);
	CU_ASSERT_EQUAL(config.segment_bytes, 1073741824);
	CU_ASSERT_EQUAL(config.segment_ms, 604800000);
	CU_ASSERT_EQUAL(config.max_message_bytes, 1048588);
	CU_ASSERT_EQUAL(config.index_interval_bytes, 4096);
	CU_ASSERT_EQUAL(config.file_delete_delay_ms, 60000);
	CU_ASSERT_EQUAL(config.min_insync_replicas, 1);
	CU_ASSERT_EQUAL(config.timestamp_type, TK_TIMESTAMP_CREATE_TIME);
	CU_ASSERT_EQUAL(config.set, 0);
	unload(&loaded);
	begin("log_retention_ms = \"1h\"; log_message_timestamp_type = \"LogAppendTime\";"
	      "min_insync_replicas = 2; log_retention_bytes = \"100GiB\";");
	CU_ASSERT_EQUAL(config.retention_ms, 3600000);
	CU_ASSERT_EQUAL(config.retention_bytes, INT64_C(107374182400));
	CU_ASSERT_EQUAL(config.min_insync_replicas, 2);
	CU_ASSERT_EQUAL(config.timestamp_type, TK_TIMESTAMP_LOG_APPEND_TIME);
	unload(&loaded);
}

static void
test_set(void)
{
	begin("");
	expect_set("retention.ms", "-1");
	CU_ASSERT_EQUAL(config.retention_ms, -1);
	expect_set("retention.ms", " 9223372036854775807 ");
	CU_ASSERT_EQUAL(config.retention_ms, INT64_MAX);
	expect_set("retention.bytes", "107374182400");
	CU_ASSERT_EQUAL(config.retention_bytes, INT64_C(107374182400));
	expect_set("retention.bytes", "-2");
	CU_ASSERT_EQUAL(config.retention_bytes, -2);
	expect_set("segment.bytes", "14");
	CU_ASSERT_EQUAL(config.segment_bytes, 14);
	expect_set("segment.ms", "1");
	expect_set("max.message.bytes", "0");
	expect_set("index.interval.bytes", "+1");
	CU_ASSERT_EQUAL(config.index_interval_bytes, 1);
	expect_set("file.delete.delay.ms", "0");
	expect_set("min.insync.replicas", "3");
	CU_ASSERT_EQUAL(config.min_insync_replicas, 3);
	expect_set("message.timestamp.before.max.ms", "5");
	CU_ASSERT_EQUAL(config.timestamp_before_max_ms, 5);
	expect_set("message.timestamp.after.max.ms", "9223372036854775807");
	CU_ASSERT_EQUAL(config.timestamp_after_max_ms, INT64_MAX);
	expect_set("message.timestamp.type", "LogAppendTime");
	CU_ASSERT_EQUAL(config.timestamp_type, TK_TIMESTAMP_LOG_APPEND_TIME);
	unload(&loaded);
}

/* What has no effect is taken if it says what is so anyway. */
static void
test_set_defaults(void)
{
	size_t count;
	const struct tk_topic_config_row *rows = tk_topic_config_rows(&count);

	begin("");
	for (size_t i = 0; i < count; i++)
		if (!rows[i].has_effect)
			expect_set(rows[i].name, rows[i].default_text);
	expect_set("preallocate", "FALSE");
	expect_set("min.cleanable.dirty.ratio", "0.50");
	expect_set("cleanup.policy", " delete , delete");
	expect_set("leader.replication.throttled.replicas", " ");
	unload(&loaded);
}

#define VALUE(value, name) "value \"" value "\" of \"" name "\" "
#define NONE(value, name, only)                                                                    \
	VALUE(value, name) "has no effect in this version, which only takes \"" only "\""

static void
test_no_effect(void)
{
	begin("");
	expect_refused("leader.replication.throttled.replicas", "*",
	    NONE("*", "leader.replication.throttled.replicas", ""));
	expect_refused(
	    "remote.storage.enable", "true", NONE("true", "remote.storage.enable", "false"));
	expect_refused("segment.index.bytes", "4", NONE("4", "segment.index.bytes", "10485760"));
	expect_refused("cleanup.policy", "compact,x",
	    VALUE("compact,x", "cleanup.policy") "is none that Kafka knows");
	expect_refused("cleanup.policy", "", VALUE("", "cleanup.policy") "must not be empty");
	expect_refused("compression.type", "zstd",
	    VALUE("zstd",
		"compression.type") "is not supported in this version: only \"producer\" is");
	unload(&loaded);
}

static void
test_bad_values(void)
{
	begin("");
	expect_refused("nope", "1", "Unknown topic config name: nope");
	expect_refused("", "1", "Unknown topic config name: ");
	expect_refused("Retention.ms", "1", "Unknown topic config name: Retention.ms");
	expect_refused(
	    "message.format.version", "3.0", "Unknown topic config name: message.format.version");
	expect_refused("retention.ms", NULL, "\"retention.ms\" has no value");
	expect_refused("retention.ms", "", VALUE("", "retention.ms") "must be a whole number");
	expect_refused("retention.ms", "7d", VALUE("7d", "retention.ms") "must be a whole number");
	expect_refused(
	    "retention.ms", "1 2", VALUE("1 2", "retention.ms") "must be a whole number");
	expect_refused(
	    "retention.ms", "- 1", VALUE("- 1", "retention.ms") "must be a whole number");
	expect_refused("retention.ms", "-2",
	    VALUE("-2", "retention.ms") "must be from -1 to 9223372036854775807");
	expect_refused("retention.ms", "9223372036854775808",
	    VALUE("9223372036854775808", "retention.ms") "must be from -1 to 9223372036854775807");
	expect_refused("segment.bytes", "2147483648",
	    VALUE("2147483648", "segment.bytes") "must be from 14 to 2147483647");
	expect_refused(
	    "segment.bytes", "13", VALUE("13", "segment.bytes") "must be from 14 to 2147483647");
	expect_refused(
	    "segment.ms", "0", VALUE("0", "segment.ms") "must be from 1 to 9223372036854775807");
	expect_refused("min.insync.replicas", "0",
	    VALUE("0", "min.insync.replicas") "must be from 1 to 2147483647");
	expect_refused("max.message.bytes", "-1",
	    VALUE("-1", "max.message.bytes") "must be from 0 to 2147483647");
	expect_refused("preallocate", "yes", VALUE("yes", "preallocate") "must be true or false");
	expect_refused("min.cleanable.dirty.ratio", "x",
	    VALUE("x", "min.cleanable.dirty.ratio") "must be a number");
	expect_refused("min.cleanable.dirty.ratio", "0.5x",
	    VALUE("0.5x", "min.cleanable.dirty.ratio") "must be a number");
	expect_refused("min.cleanable.dirty.ratio", "nan",
	    VALUE("nan", "min.cleanable.dirty.ratio") "must be a number");
	expect_refused("min.cleanable.dirty.ratio", "1.1",
	    VALUE("1.1", "min.cleanable.dirty.ratio") "must be from 0 to 1");
	expect_refused("message.timestamp.type", "createtime",
	    VALUE("createtime", "message.timestamp.type") "is none that Kafka knows");
	expect_refused("compression.type", "brotli",
	    VALUE("brotli", "compression.type") "is none that Kafka knows");
	expect_refused("cleanup.policy", "", VALUE("", "cleanup.policy") "must not be empty");
	expect_refused("cleanup.policy", " , ", VALUE(" , ", "cleanup.policy") "must not be empty");
	expect_refused("cleanup.policy", ",", VALUE(",", "cleanup.policy") "must not be empty");
	expect_refused("cleanup.policy", "delete,x",
	    VALUE("delete,x", "cleanup.policy") "is none that Kafka knows");
	unload(&loaded);
}

/* However long what a client sends, the sentence fits. */
static void
test_long_values(void)
{
	char value[5000], err[64];

	memset(value, '1', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	begin("");
	for (size_t size = 1; size <= sizeof(err); size++) {
		memset(err, 'x', sizeof(err));
		CU_ASSERT_EQUAL(
		    tk_topic_config_set(&config, "retention.ms", value, err, size), -EINVAL);
		CU_ASSERT_EQUAL(strlen(err), size - 1);
		CU_ASSERT_EQUAL(tk_topic_config_set(&config, value, "1", err, size), -EINVAL);
		CU_ASSERT(strlen(err) < size);
	}
	CU_ASSERT_EQUAL(tk_topic_config_set(&config, "leader.replication.throttled.replicas", value,
			    err, sizeof(err)),
	    -EINVAL);
	CU_ASSERT_EQUAL(config.set, 0);
	unload(&loaded);
}

static struct tk_config_entry
entry_of(const char *name)
{
	struct tk_config_entry entry;

	for (size_t i = 0; i < TK_COUNT_OF(keys); i++)
		if (strcmp(keys[i], name) == 0) {
			CU_ASSERT_EQUAL_FATAL(
			    tk_topic_config_get(loaded.settings, &config, i, &loaded.arena, &entry),
			    0);
			return entry;
		}
	abort();
}

static void
expect_synonym(const struct tk_config_entry *entry, size_t index, const char *name,
    const char *value, enum tk_config_source source)
{
	CU_ASSERT_FATAL(index < entry->synonym_count);
	CU_ASSERT_STRING_EQUAL(entry->synonyms[index].name, name);
	CU_ASSERT_STRING_EQUAL(entry->synonyms[index].value, value);
	CU_ASSERT_EQUAL(entry->synonyms[index].source, source);
}

static void
test_describe_defaults(void)
{
	struct tk_config_entry entry;

	begin("");
	entry = entry_of("retention.ms");
	CU_ASSERT_STRING_EQUAL(entry.value, "604800000");
	CU_ASSERT_EQUAL(entry.source, TK_CONFIG_SOURCE_DEFAULT);
	CU_ASSERT_EQUAL(entry.type, 5); /* LONG */
	CU_ASSERT_FALSE(entry.read_only);
	CU_ASSERT_FALSE(entry.sensitive);
	CU_ASSERT_EQUAL(entry.synonym_count, 1);
	expect_synonym(&entry, 0, "log.retention.hours", "168", TK_CONFIG_SOURCE_DEFAULT);
	entry = entry_of("segment.bytes");
	CU_ASSERT_EQUAL(entry.type, 3); /* INT */
	expect_synonym(&entry, 0, "log.segment.bytes", "1073741824", TK_CONFIG_SOURCE_DEFAULT);
	entry = entry_of("flush.ms");
	expect_synonym(&entry, 0, "log.flush.scheduler.interval.ms", "9223372036854775807",
	    TK_CONFIG_SOURCE_DEFAULT);
	entry = entry_of("message.timestamp.type");
	CU_ASSERT_STRING_EQUAL(entry.value, "CreateTime");
	CU_ASSERT_EQUAL(entry.type, 2); /* STRING */
	expect_synonym(
	    &entry, 0, "log.message.timestamp.type", "CreateTime", TK_CONFIG_SOURCE_DEFAULT);
	entry = entry_of("cleanup.policy");
	CU_ASSERT_STRING_EQUAL(entry.value, "delete");
	CU_ASSERT_EQUAL(entry.type, 7); /* LIST */
	entry = entry_of("min.cleanable.dirty.ratio");
	CU_ASSERT_EQUAL(entry.type, 6); /* DOUBLE */
	entry = entry_of("remote.storage.enable");
	CU_ASSERT_EQUAL(entry.type, 1); /* BOOLEAN */
	CU_ASSERT_EQUAL(entry.synonym_count, 0);
	CU_ASSERT_EQUAL(entry.source, TK_CONFIG_SOURCE_DEFAULT);
	unload(&loaded);
}

/* What compaction goes by. */
static void
test_compaction(void)
{
	begin("\nlog_cleaner_delete_retention_ms = \"2s\";");
	CU_ASSERT_EQUAL(config.cleanup_policy, TK_CLEANUP_DELETE);
	CU_ASSERT_EQUAL(config.min_cleanable_dirty_ratio, 500000);
	CU_ASSERT_EQUAL(config.delete_retention_ms, 2000);
	CU_ASSERT_EQUAL(config.min_compaction_lag_ms, 0);
	CU_ASSERT_EQUAL(config.max_compaction_lag_ms, INT64_MAX);
	expect_set("cleanup.policy", "compact");
	CU_ASSERT_EQUAL(config.cleanup_policy, TK_CLEANUP_COMPACT);
	expect_set("cleanup.policy", "delete, compact");
	CU_ASSERT_EQUAL(config.cleanup_policy, TK_CLEANUP_COMPACT | TK_CLEANUP_DELETE);
	CU_ASSERT_STRING_EQUAL(entry_of("cleanup.policy").value, "compact,delete");
	expect_set("min.cleanable.dirty.ratio", "0.01");
	CU_ASSERT_EQUAL(config.min_cleanable_dirty_ratio, 10000);
	CU_ASSERT_STRING_EQUAL(entry_of("min.cleanable.dirty.ratio").value, "0.01");
	expect_set("min.cleanable.dirty.ratio", "1");
	CU_ASSERT_STRING_EQUAL(entry_of("min.cleanable.dirty.ratio").value, "1.0");
	expect_set("max.compaction.lag.ms", "77");
	CU_ASSERT_EQUAL(config.max_compaction_lag_ms, 77);
	unload(&loaded);
}

static void
test_describe_layers(void)
{
	struct tk_config_entry entry;
	char err[64];

	begin("\nlog_retention_ms = \"1h\";");
	entry = entry_of("retention.ms");
	CU_ASSERT_STRING_EQUAL(entry.value, "3600000");
	CU_ASSERT_EQUAL(entry.source, TK_CONFIG_SOURCE_STATIC_BROKER);
	CU_ASSERT_EQUAL(entry.synonym_count, 2);
	expect_synonym(&entry, 0, "log.retention.ms", "3600000", TK_CONFIG_SOURCE_STATIC_BROKER);
	expect_synonym(&entry, 1, "log.retention.hours", "168", TK_CONFIG_SOURCE_DEFAULT);

	CU_ASSERT_EQUAL(tk_topic_config_set(&config, "retention.ms", "5", err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(tk_topic_config_set(&config, "preallocate", "false", err, sizeof(err)), 0);
	entry = entry_of("retention.ms");
	CU_ASSERT_STRING_EQUAL(entry.value, "5");
	CU_ASSERT_EQUAL(entry.source, TK_CONFIG_SOURCE_DYNAMIC_TOPIC);
	CU_ASSERT_EQUAL(entry.synonym_count, 3);
	expect_synonym(&entry, 0, "retention.ms", "5", TK_CONFIG_SOURCE_DYNAMIC_TOPIC);
	expect_synonym(&entry, 1, "log.retention.ms", "3600000", TK_CONFIG_SOURCE_STATIC_BROKER);
	expect_synonym(&entry, 2, "log.retention.hours", "168", TK_CONFIG_SOURCE_DEFAULT);
	entry = entry_of("preallocate");
	CU_ASSERT_STRING_EQUAL(entry.value, "false");
	CU_ASSERT_EQUAL(entry.source, TK_CONFIG_SOURCE_DYNAMIC_TOPIC);
	expect_synonym(&entry, 1, "log.preallocate", "false", TK_CONFIG_SOURCE_DEFAULT);
	CU_ASSERT_EQUAL(entry_of("segment.ms").source, TK_CONFIG_SOURCE_DEFAULT);
	unload(&loaded);
}

static void
test_describe_ends(void)
{
	struct tk_config_entry entry = { .name = "untouched" };
	struct tk_arena arena;

	begin("");
	CU_ASSERT_EQUAL(
	    tk_topic_config_get(loaded.settings, &config, TK_COUNT_OF(keys), &loaded.arena, &entry),
	    -ENOENT);
	CU_ASSERT_EQUAL(
	    tk_topic_config_get(loaded.settings, &config, SIZE_MAX, &loaded.arena, &entry),
	    -ENOENT);
	tk_arena_init(&arena, 0);
	for (size_t i = 0; i < TK_COUNT_OF(keys); i++)
		if (tk_topic_config_find(keys[i])->setting != NULL &&
		    strcmp(keys[i], "message.timestamp.type") != 0)
			CU_ASSERT_EQUAL(
			    tk_topic_config_get(loaded.settings, &config, i, &arena, &entry),
			    -ENOMEM);
	CU_ASSERT_STRING_EQUAL(entry.name, "untouched");
	tk_arena_reset(&arena);
	unload(&loaded);
}

TK_UNIT_MAIN("topic configuration", { "rows", test_rows }, { "defaults", test_defaults },
    { "set", test_set }, { "set defaults", test_set_defaults }, { "no effect", test_no_effect },
    { "compaction", test_compaction }, { "bad values", test_bad_values },
    { "long values", test_long_values }, { "describe defaults", test_describe_defaults },
    { "describe layers", test_describe_layers }, { "describe ends", test_describe_ends })
