/*
 * The table of settings.  Everything else about them follows from it.  Any process; constant.
 *
 * A default is Kafka 4's unless its sentence says why.  min and max are bytes, milliseconds or the
 * number itself.
 */
#include "base/settings.h"

#include <limits.h>
#include <string.h>

#define MIB ((int64_t)1 << 20)
#define GIB ((int64_t)1 << 30)

/* path, type and offset of a field; does not compile cleanly if the field has another type. */
#define FIELD(holder, field, setting_type, c_type)                                                 \
	.path = #field, .type = (setting_type),                                                    \
	.offset = offsetof(struct holder, field) +                                                 \
		  0 * sizeof(&((struct holder *)NULL)->field == (c_type *)NULL)

#define BOOL(field)     FIELD(tk_settings, field, TK_SETTING_BOOL, bool)
#define INT(field)      FIELD(tk_settings, field, TK_SETTING_INT, int32_t)
#define SIZE(field)     FIELD(tk_settings, field, TK_SETTING_SIZE, int64_t)
#define DURATION(field) FIELD(tk_settings, field, TK_SETTING_DURATION, int64_t)
#define STRING(field)   FIELD(tk_settings, field, TK_SETTING_STRING, const char *)
#define ENUM(field)     FIELD(tk_settings, field, TK_SETTING_ENUM, int)
#define STRINGS(field)  FIELD(tk_settings, field, TK_SETTING_STRINGS, struct tk_strings)
#define LISTENERS(f)    FIELD(tk_settings, f, TK_SETTING_LISTENERS, struct tk_listeners)

#define LISTENER_INT(field)    FIELD(tk_listener_settings, field, TK_SETTING_INT, int32_t)
#define LISTENER_STRING(field) FIELD(tk_listener_settings, field, TK_SETTING_STRING, const char *)
#define LISTENER_CIDRS(field)  FIELD(tk_listener_settings, field, TK_SETTING_CIDRS, struct tk_cidrs)

#define NO_LIMIT "2147483647" /* Kafka's way to say it */

static const char *const log_level_words[] = { "error", "warn", "info", "debug", NULL };
static const char *const flush_words[] = { "none", "interval", "commit", NULL };
static const char *const timestamp_type_words[] = { "CreateTime", "LogAppendTime", NULL };

static const struct tk_setting rows[] = {
	{
	    INT(worker_processes),
	    .section = "Processes",
	    .default_text = "auto",
	    .zero_word = "auto",
	    .min = 1,
	    .max = 512,
	    .reloadable = true,
	    .help = "Worker processes; \"auto\" starts one for each processor.",
	},
	{
	    STRING(user),
	    .default_text = "",
	    .help = "User to become if started as root; empty: stay who we are.",
	},
	{
	    STRING(group),
	    .default_text = "",
	    .help = "Group to go with the user; empty: the user's own.",
	},
	{
	    BOOL(daemon),
	    .default_text = "false",
	    .help = "Go to the background.  error_log must then name a file.",
	},
	{
	    STRING(run_directory),
	    .default_note = "/run/takhin, or run in the folder of -p",
	    .example = "\"/run/takhin\"",
	    .help =
		"Holds shared state, sockets and the pid file.  It should be on tmpfs and survive "
		"a restart of the service: what it holds spares a scan of the logs.",
	},
	{
	    STRING(pid),
	    .default_text = "takhin.pid",
	    .help = "File for the master's process id; a relative path stands on run_directory.",
	},
	{
	    STRING(error_log),
	    .default_text = "stderr",
	    .reloadable = true,
	    .help = "File for messages, or \"stderr\".",
	},
	{
	    ENUM(log_level),
	    .default_text = "info",
	    .words = log_level_words,
	    .reloadable = true,
	    .help = "Least important messages that are still logged.",
	},
	{
	    DURATION(shutdown_timeout_ms),
	    .default_text = "30s",
	    .min = 0,
	    .max = 24 * 60 * 60 * 1000,
	    .reloadable = true,
	    .help = "How long connections may take to finish at a graceful stop or a reload.",
	},
	{
	    DURATION(watchdog_timeout_ms),
	    .default_text = "60s",
	    .min = 0,
	    .max = 24 * 60 * 60 * 1000,
	    .reloadable = true,
	    .help =
		"A process that the master has asked for a sign of life and that gives none for "
		"this long is aborted and started again; 0 for never.  An idle process is asked at "
		"most once in half this time.",
	},

	{
	    INT(node_id),
	    .section = "Identity and data",
	    .kafka_key = "node.id",
	    .default_text = "1",
	    .min = 0,
	    .max = INT32_MAX,
	    .help = "Number of this broker.",
	},
	{
	    STRING(rack),
	    .kafka_key = "broker.rack",
	    .default_text = "",
	    .reloadable = true,
	    .help = "Name of the rack or zone this broker stands in, told to clients.",
	},
	{
	    STRINGS(data_directories),
	    .kafka_key = "log.dirs",
	    .default_note = "/var/lib/takhin, or data in the folder of -p",
	    .example = "[ \"/var/lib/takhin\" ]",
	    .help =
		"Folders that hold the logs, each with a writer process of its own.  Use one for "
		"each disk.",
	},
	{
	    INT(max_partitions),
	    .default_text = "65536",
	    .min = 1,
	    .max = 1048576,
	    .reloadable = true,
	    .help = "Partitions this broker takes on; topics beyond them are refused.",
	},
	{
	    INT(num_recovery_threads_per_data_dir),
	    .kafka_key = "num.recovery.threads.per.data.dir",
	    .default_text = "auto",
	    .zero_word = "auto",
	    .min = 1,
	    .max = 256,
	    .help =
		"Threads that recover a data directory after an unclean stop.  \"auto\" shares the "
		"processors out among the directories, where Kafka always takes 2.",
	},

	{
	    LISTENERS(listeners),
	    .section = "Connections",
	    .kafka_key = "listeners",
	    .default_note = "one named PLAINTEXT on 127.0.0.1, port 9092",
	    .reloadable = true,
	    .help = "Addresses to listen on, each a group of settings of its own.",
	},
	{
	    BOOL(allow_anonymous),
	    .default_text = "false",
	    .reloadable = true,
	    .help =
		"Let clients that are not authenticated connect from other machines.  Without it "
		"a listener that is not on the loopback interface is refused.",
	},
	{
	    INT(worker_connections),
	    .default_text = "16384",
	    .min = 16,
	    .max = 1048576,
	    .reloadable = true,
	    .help = "Connections that one worker may hold.",
	},
	{
	    INT(max_connections),
	    .kafka_key = "max.connections",
	    .default_text = NO_LIMIT,
	    .min = 0,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Connections that the broker may hold on all its listeners.",
	},
	{
	    INT(max_connections_per_ip),
	    .kafka_key = "max.connections.per.ip",
	    .default_text = NO_LIMIT,
	    .min = 0,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Connections that one address may hold on all listeners.",
	},
	{
	    DURATION(connections_max_idle_ms),
	    .kafka_key = "connections.max.idle.ms",
	    .default_text = "10m",
	    .min = -1,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "A connection without a request for this long is closed; -1: never.",
	},

	{
	    SIZE(socket_request_max_bytes),
	    .section = "Requests",
	    .kafka_key = "socket.request.max.bytes",
	    .default_text = "100MiB",
	    .min = 1,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Largest request; the connection of a larger one is closed.",
	},
	{
	    SIZE(worker_memory),
	    .default_text = "256MiB",
	    .min = 16 * MIB,
	    .max = 1024 * GIB,
	    .reloadable = true,
	    .help = "Memory that one worker may use for requests and replies under way.",
	},
	{
	    SIZE(arena_size),
	    .default_text = "512MiB",
	    .min = 16 * MIB,
	    .max = 1024 * GIB,
	    .reloadable = true,
	    .help =
		"Memory that one worker shares with the writers for records on their way to the "
		"log.  It is taken only as it is used.",
	},
	{
	    INT(max_produce_in_flight),
	    .default_text = "16",
	    .min = 1,
	    .max = 64,
	    .reloadable = true,
	    .help = "Produce requests of one connection that may be under way together.",
	},
	{
	    SIZE(fetch_max_bytes),
	    .kafka_key = "fetch.max.bytes",
	    .default_text = "55MiB",
	    .min = 1024,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Most records in the answer to one Fetch; the first batch is sent whatever its "
		    "size.",
	},
	{
	    INT(max_incremental_fetch_session_cache_slots),
	    .kafka_key = "max.incremental.fetch.session.cache.slots",
	    .default_text = "1000",
	    .min = 0,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Fetch sessions kept for all clients together.",
	},
	{
	    BOOL(sendfile),
	    .default_text = "true",
	    .reloadable = true,
	    .help = "Send records from the page cache without copying them through the process.",
	},
	{
	    SIZE(sendfile_min_bytes),
	    .default_text = "8KiB",
	    .min = 0,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Ranges of a log shorter than this are copied, which is cheaper for them.",
	},

	{
	    INT(num_partitions),
	    .section = "Topics",
	    .kafka_key = "num.partitions",
	    .default_text = "1",
	    .min = 1,
	    .max = 1048576,
	    .reloadable = true,
	    .help = "Partitions of a topic whose creator does not say how many.",
	},
	{
	    INT(default_replication_factor),
	    .kafka_key = "default.replication.factor",
	    .default_text = "1",
	    .min = 1,
	    .max = 1,
	    .reloadable = true,
	    .help = "Copies of a topic's partitions; this version keeps one.",
	},
	{
	    BOOL(auto_create_topics_enable),
	    .kafka_key = "auto.create.topics.enable",
	    .default_text = "true",
	    .reloadable = true,
	    .help = "Create a topic when a client first asks for it.",
	},
	{
	    BOOL(delete_topic_enable),
	    .kafka_key = "delete.topic.enable",
	    .default_text = "true",
	    .reloadable = true,
	    .help = "Let clients delete topics.",
	},
	{
	    INT(min_insync_replicas),
	    .kafka_key = "min.insync.replicas",
	    .default_text = "1",
	    .min = 1,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Copies that must have a record before a producer with acks=all is answered.",
	},

	{
	    SIZE(message_max_bytes),
	    .section = "Logs",
	    .kafka_key = "message.max.bytes",
	    .default_text = "1048588",
	    .min = 0,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Largest record batch a producer may send.",
	},
	{
	    SIZE(log_segment_bytes),
	    .kafka_key = "log.segment.bytes",
	    .default_text = "1GiB",
	    .min = 14,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "A segment of a log is closed before it grows past this.",
	},
	{
	    DURATION(log_roll_ms),
	    .kafka_key = "log.roll.ms",
	    .default_text = "7d",
	    .min = 1,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "A segment is closed when its first record is this old.",
	},
	{
	    DURATION(log_retention_ms),
	    .kafka_key = "log.retention.ms",
	    .default_text = "7d",
	    .min = -1,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "Closed segments are deleted when their newest record is this old; -1: never.  "
		    "Kafka's log.retention.minutes and log.retention.hours are this setting in "
		    "other units.",
	},
	{
	    SIZE(log_retention_bytes),
	    .kafka_key = "log.retention.bytes",
	    .default_text = "-1",
	    .min = -1,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "The oldest segments of a partition beyond this are deleted; -1: never.",
	},
	{
	    DURATION(log_retention_check_interval_ms),
	    .kafka_key = "log.retention.check.interval.ms",
	    .default_text = "5m",
	    .min = 1,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "How often to look for segments to delete.",
	},
	{
	    DURATION(log_segment_delete_delay_ms),
	    .kafka_key = "log.segment.delete.delay.ms",
	    .default_text = "1m",
	    .min = 0,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "A deleted segment's file is kept this long for those who still read it.",
	},
	{
	    SIZE(log_index_interval_bytes),
	    .kafka_key = "log.index.interval.bytes",
	    .default_text = "4KiB",
	    .min = 0,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Bytes of a log between two entries of its index.",
	},
	{
	    BOOL(log_preallocate),
	    .kafka_key = "log.preallocate",
	    .default_text = "false",
	    .reloadable = true,
	    .help = "Reserve the blocks of a whole segment at once, not piece by piece.",
	},
	{
	    ENUM(log_message_timestamp_type),
	    .kafka_key = "log.message.timestamp.type",
	    .default_text = "CreateTime",
	    .words = timestamp_type_words,
	    .reloadable = true,
	    .help = "Keep the timestamps of producers, or put in the time of the append.",
	},
	{
	    DURATION(log_message_timestamp_before_max_ms),
	    .kafka_key = "log.message.timestamp.before.max.ms",
	    .default_text = "9223372036854775807ms",
	    .min = 0,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "How far behind the broker's clock the timestamp of a produced record may be.",
	},
	{
	    DURATION(log_message_timestamp_after_max_ms),
	    .kafka_key = "log.message.timestamp.after.max.ms",
	    .default_text = "1h",
	    .min = 0,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help =
		"How far ahead of the broker's clock the timestamp of a produced record may be.",
	},
	{
	    ENUM(flush),
	    .default_text = "none",
	    .words = flush_words,
	    .reloadable = true,
	    .help = "When records are forced to disk.  \"none\": as the kernel pleases, and closed "
		    "segments soon after they are closed, which is what Kafka does.  "
		    "\"interval\": as log_flush_interval_ms and log_flush_interval_messages say.  "
		    "\"commit\": before a producer is answered and before a consumer sees them; "
		    "one sync serves all that wait.  A topic's own flush.ms and flush.messages "
		    "count with each of them.",
	},
	{
	    DURATION(log_flush_interval_ms),
	    .kafka_key = "log.flush.interval.ms",
	    .default_text = "9223372036854775807ms",
	    .min = 0,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "At flush = \"interval\" records go to the disk when the first is this old.",
	},
	{
	    INT(log_flush_interval_messages),
	    .kafka_key = "log.flush.interval.messages",
	    .default_text = NO_LIMIT,
	    .min = 1,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "At flush = \"interval\" records go to the disk when there are so many new.  "
		    "1 is as \"commit\".",
	},
	{
	    SIZE(min_free_bytes),
	    .default_text = "32MiB",
	    .min = 0,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "With less than this free in a data directory's file system producers are "
		    "refused there, so that what the broker keeps for itself goes on; 0: never.  "
		    "It is looked at once a second or every 16 MiB.",
	},
	{
	    DURATION(producer_id_expiration_ms),
	    .kafka_key = "producer.id.expiration.ms",
	    .default_text = "1d",
	    .min = 1,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "The state of an idempotent producer is forgotten after this long without a "
		    "batch of it.",
	},
	{
	    DURATION(producer_id_expiration_check_interval_ms),
	    .kafka_key = "producer.id.expiration.check.interval.ms",
	    .default_text = "10m",
	    .min = 1,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "How often to look for producers to forget.",
	},
	{
	    SIZE(producer_state_max_bytes),
	    .default_text = "256MiB",
	    .min = 65536,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "Memory of a data directory's writer for idempotent producers, some 300 bytes "
		    "for each and partition; beyond it the longest idle are forgotten.",
	},

	{
	    BOOL(log_cleaner_enable),
	    .section = "Compaction",
	    .kafka_key = "log.cleaner.enable",
	    .default_text = "true",
	    .reloadable = true,
	    .help = "Compact the topics whose cleanup.policy says so.",
	},
	{
	    DURATION(log_cleaner_backoff_ms),
	    .kafka_key = "log.cleaner.backoff.ms",
	    .default_text = "15s",
	    .min = 0,
	    .max = INT32_MAX,
	    .reloadable = true,
	    .help = "Time between two looks for a partition to compact, when there was none.",
	},
	{
	    SIZE(log_cleaner_dedupe_buffer_size),
	    .kafka_key = "log.cleaner.dedupe.buffer.size",
	    .default_text = "128MiB",
	    .min = MIB,
	    .max = 1024 * GIB,
	    .reloadable = true,
	    .help = "Memory for the keys of what is compacted in one pass, 24 bytes each.  A "
		    "partition whose smallest part to compact has more keys is not compacted.",
	},
	{
	    DURATION(log_cleaner_delete_retention_ms),
	    .kafka_key = "log.cleaner.delete.retention.ms",
	    .default_text = "1d",
	    .min = 0,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "How long a compacted topic keeps the marks of deleted keys.",
	},
	{
	    DURATION(log_cleaner_min_compaction_lag_ms),
	    .kafka_key = "log.cleaner.min.compaction.lag.ms",
	    .default_text = "0",
	    .min = 0,
	    .max = INT64_MAX,
	    .reloadable = true,
	    .help = "A record of a compacted topic is left alone for this time.",
	},
};

static const struct tk_setting listener_rows[] = {
	{
	    LISTENER_STRING(name),
	    .default_text = "PLAINTEXT",
	    .help = "Its name, in messages and statistics; no two listeners share one.",
	},
	{
	    LISTENER_STRING(bind),
	    .default_text = "127.0.0.1",
	    .help = "Address to listen on, IPv4 or IPv6 in brackets.  \"0.0.0.0\" is every IPv4 "
		    "address, \"[::]\" every address.",
	},
	{
	    LISTENER_INT(port),
	    .default_text = "9092",
	    .min = 1,
	    .max = 65535,
	    .help = "TCP port to listen on.",
	},
	{
	    LISTENER_STRING(advertised_host),
	    .default_note =
		"the address of bind, or the name of this machine if that is every address",
	    .example = "\"127.0.0.1\"",
	    .help = "Name or address that clients are told to connect to.",
	},
	{
	    LISTENER_INT(advertised_port),
	    .default_note = "port",
	    .example = "9092",
	    .min = 1,
	    .max = 65535,
	    .help = "Port that clients are told to connect to.",
	},
	{
	    LISTENER_CIDRS(allow),
	    .default_text = "",
	    .help = "Networks that may connect, as \"10.0.0.0/8\"; an empty list: all.",
	},
	{
	    LISTENER_CIDRS(deny),
	    .default_text = "",
	    .help = "Networks that may not, also where allow says they may.",
	},
	{
	    LISTENER_INT(max_connections),
	    .default_text = NO_LIMIT,
	    .min = 0,
	    .max = INT32_MAX,
	    .help = "Connections that this listener may hold.",
	},
	{
	    LISTENER_INT(max_connections_per_ip),
	    .default_text = NO_LIMIT,
	    .min = 0,
	    .max = INT32_MAX,
	    .help = "Connections that one address may hold on this listener.",
	},
	{
	    LISTENER_INT(backlog),
	    .default_text = "511",
	    .min = 1,
	    .max = 65535,
	    .help = "Connections that the kernel holds until they are accepted.  Kafka's 50 is too "
		    "few when all clients come back at once.",
	},
};

const struct tk_setting *
tk_settings_rows(size_t *ret_count)
{
	*ret_count = TK_COUNT_OF(rows);
	return rows;
}

const struct tk_setting *
tk_listener_rows(size_t *ret_count)
{
	*ret_count = TK_COUNT_OF(listener_rows);
	return listener_rows;
}

const struct tk_setting *
tk_setting_find(const char *path)
{
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++)
		if (strcmp(rows[i].path, path) == 0)
			return &rows[i];
	return NULL;
}

const struct tk_setting_origin *
tk_setting_origin(const struct tk_settings *settings, const struct tk_setting *row)
{
	tk_assert(row >= rows && row < rows + TK_COUNT_OF(rows));
	return &settings->origins[row - rows];
}
