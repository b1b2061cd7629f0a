/*
 * The settings: one table of rows, one struct that the rows fill.
 *
 * To add a setting, add a field to struct tk_settings and a row to settings_rows.c: reading, the
 * checks of type and range, -T, DescribeConfigs, conf/takhin.conf and takhin.conf(5) follow from
 * the row.  (The generated files are made by `make settings-doc`; make check tells when they are
 * stale.)
 *
 * A struct tk_settings is made by tk_settings_load in the arena of a cycle, is not changed after,
 * and lives as long as that arena.  Any process, any thread may read it.
 */
#ifndef TK_BASE_SETTINGS_H
#define TK_BASE_SETTINGS_H

#include <stdio.h>
#include <sys/socket.h>

#include "takhin/arena.h"

/* A network: the first prefix_bits of an address.  IPv4 is held as its mapped IPv6 address. */
struct tk_cidr {
	uint8_t addr[16];
	uint8_t prefix_bits; /* of the 128: 96 more than written for IPv4 */
};

struct tk_cidrs {
	struct tk_cidr *items;
	const char **texts; /* as the operator wrote them */
	size_t count;
};

struct tk_strings {
	const char **items;
	size_t count;
};

enum tk_log_level_setting {
	TK_SETTING_LOG_ERROR,
	TK_SETTING_LOG_WARN,
	TK_SETTING_LOG_INFO,
	TK_SETTING_LOG_DEBUG
};

enum tk_flush_setting { TK_FLUSH_NONE, TK_FLUSH_INTERVAL, TK_FLUSH_COMMIT };
enum tk_timestamp_type { TK_TIMESTAMP_CREATE_TIME, TK_TIMESTAMP_LOG_APPEND_TIME };

struct tk_listener_settings {
	const char *name;
	const char *bind;            /* numeric, without brackets */
	int32_t port;                /* 1 .. 65535 */
	const char *advertised_host; /* never NULL once loaded */
	int32_t advertised_port;
	struct tk_cidrs allow, deny;
	int32_t max_connections; /* INT32_MAX: no limit */
	int32_t max_connections_per_ip;
	int32_t backlog;
	struct sockaddr_storage addr; /* bind and port, ready for bind(2) */
	socklen_t addr_len;
	const char *file; /* where it stands; NULL for the default listener */
	unsigned line;
};

struct tk_listeners {
	struct tk_listener_settings *items;
	size_t count;
};

/* Where a value was set.  file is NULL for a default. */
struct tk_setting_origin {
	const char *file;
	unsigned line;
};

struct tk_settings {
	/* processes and their surroundings */
	int32_t worker_processes; /* 0: one a processor */
	const char *user, *group; /* "": unchanged */
	bool daemon;
	const char *run_directory; /* absolute */
	const char *pid;           /* absolute */
	const char *error_log;     /* absolute, or "stderr" */
	int log_level; /* enum tk_log_level_setting, the same numbers as enum tk_level */
	int64_t shutdown_timeout_ms;
	int64_t watchdog_timeout_ms; /* 0: off */

	/* identity and data */
	int32_t node_id;
	const char *rack;                   /* "": none */
	struct tk_strings data_directories; /* absolute, at least one, no two alike */
	int32_t max_partitions;
	int32_t num_recovery_threads_per_data_dir; /* 0: chosen from the processors */

	/* connections */
	struct tk_listeners listeners; /* at least one */
	bool allow_anonymous;
	int32_t worker_connections;
	int32_t max_connections, max_connections_per_ip; /* INT32_MAX: no limit */
	int64_t connections_max_idle_ms;                 /* -1: never */

	/* requests */
	int64_t socket_request_max_bytes;
	int64_t worker_memory;
	int64_t arena_size;
	int32_t max_produce_in_flight;
	int64_t fetch_max_bytes;
	int32_t max_incremental_fetch_session_cache_slots;
	bool sendfile;
	int64_t sendfile_min_bytes;

	/* topics */
	int32_t num_partitions;
	int32_t default_replication_factor;
	bool auto_create_topics_enable;
	bool delete_topic_enable;
	int32_t min_insync_replicas;

	/* logs */
	int64_t message_max_bytes;
	int64_t log_segment_bytes;
	int64_t log_roll_ms;
	int64_t log_retention_ms;    /* -1: for ever */
	int64_t log_retention_bytes; /* -1: no limit */
	int64_t log_retention_check_interval_ms;
	int64_t log_segment_delete_delay_ms;
	int64_t log_index_interval_bytes;
	bool log_preallocate;
	int log_message_timestamp_type; /* enum tk_timestamp_type */
	int64_t log_message_timestamp_before_max_ms, log_message_timestamp_after_max_ms;
	int flush;                           /* enum tk_flush_setting */
	int64_t log_flush_interval_ms;       /* INT64_MAX: never */
	int32_t log_flush_interval_messages; /* INT32_MAX: never */
	int64_t min_free_bytes;              /* 0: not looked at */
	int64_t producer_id_expiration_ms;
	int64_t producer_id_expiration_check_interval_ms;
	int64_t producer_state_max_bytes;

	/* compaction */
	bool log_cleaner_enable;
	int64_t log_cleaner_backoff_ms;
	int64_t log_cleaner_dedupe_buffer_size;
	int64_t log_cleaner_delete_retention_ms;
	int64_t log_cleaner_min_compaction_lag_ms;

	/* about the settings themselves */
	const char *prefix;                      /* what relative paths stand on; absolute */
	const char *file;                        /* the settings file, or NULL if there was none */
	const struct tk_setting_origin *origins; /* one a row, by the row's place in the table */
};

/* What a row holds and thereby the type of its field. */
enum tk_setting_type {
	TK_SETTING_BOOL,      /* bool */
	TK_SETTING_INT,       /* int32_t */
	TK_SETTING_SIZE,      /* int64_t, in bytes */
	TK_SETTING_DURATION,  /* int64_t, in milliseconds */
	TK_SETTING_STRING,    /* const char * */
	TK_SETTING_ENUM,      /* int, the place in row->words */
	TK_SETTING_STRINGS,   /* struct tk_strings */
	TK_SETTING_CIDRS,     /* struct tk_cidrs */
	TK_SETTING_LISTENERS, /* struct tk_listeners, by the rows of tk_listener_rows */
};

struct tk_setting {
	const char *path;      /* its name in takhin.conf */
	const char *kafka_key; /* its name in Kafka, or NULL */
	enum tk_setting_type type;
	const char *default_text; /* as written in takhin.conf, without quotes; NULL: worked out */
	const char *default_note; /* how a NULL default is worked out, for the manual */
	const char *example;      /* a value to show where the default is worked out */
	const char *const *words; /* of an ENUM, ended by NULL */
	const char *zero_word;    /* of an INT: a word for 0, as "auto" */
	int64_t min, max;         /* of INT, SIZE, DURATION */
	bool reloadable;          /* false: a change takes a restart */
	const char *section;      /* heading in takhin.conf where it differs from the row before */
	const char *help;         /* sentences for the manual and the shipped file */
	size_t offset;
};

/* What went wrong and what is merely odd, in the order found. */
struct tk_settings_error {
	struct tk_settings_error *next;
	const char *text; /* "file:line: ..." where a place is known */
	bool warning;
};

struct tk_settings_errors {
	struct tk_arena *arena;
	struct tk_settings_error *first, *last;
	unsigned error_count, warning_count;
};

/* Where settings come from; a field that was not given is NULL. */
struct tk_settings_source {
	const char *file;   /* -c */
	const char *prefix; /* -p */
	const char *text;   /* -g */
	bool text_only;     /* read no file at all: text is what another process has read */
};

/*
 * Reads settings into arena.  The file is src->file, or else takhin.conf under src->prefix if it is
 * there, or else (with neither) the system-wide one if it is there; src->text is parsed on its own
 * and laid over it.  With src->text_only there is no file.  Relative paths stand on the prefix, or
 * else on the folder of the file.
 *
 * 0; -EINVAL where the settings are bad, -ENOMEM.  errors holds every error found and the warnings,
 * also after 0; its texts live in arena.
 */
int tk_settings_load(struct tk_arena *arena, const struct tk_settings_source *src,
    struct tk_settings **ret_settings, struct tk_settings_errors *errors) TK_MUST_CHECK;

/* Writes a takhin.conf with every setting in it, saying of each whether it is the default. */
void tk_settings_print(const struct tk_settings *settings, FILE *out);

/* The table.  tk_listener_rows are those of a group in `listeners`. */
const struct tk_setting *tk_settings_rows(size_t *ret_count);
const struct tk_setting *tk_listener_rows(size_t *ret_count);

/* The row of this name, or NULL. */
const struct tk_setting *tk_setting_find(const char *path);

/* Where row's value was set; file NULL for a default. */
const struct tk_setting_origin *tk_setting_origin(
    const struct tk_settings *settings, const struct tk_setting *row);

/*
 * The value as Kafka writes it: plain numbers in bytes and milliseconds, lists by commas.  Returns
 * the whole length, as snprintf does: what did not fit was cut.
 */
int tk_setting_format(
    const struct tk_settings *settings, const struct tk_setting *row, char *buf, size_t size);

/* The value as takhin.conf has it, e.g. "7d" with its quotes.  Returns as tk_setting_format. */
int tk_setting_format_conf(
    const struct tk_settings *settings, const struct tk_setting *row, char *buf, size_t size);

/*
 * What a reload from old to new cannot do: calls found for each row that differs and is not
 * reloadable, and returns their number.  found may be NULL.
 */
unsigned tk_settings_diff(const struct tk_settings *old, const struct tk_settings *new,
    void (*found)(void *arg, const struct tk_setting *row), void *arg);

/* True if both have the same value for row. */
bool tk_setting_equal(
    const struct tk_settings *a, const struct tk_settings *b, const struct tk_setting *row);

/* Worker processes to start: the setting, or one a processor we may run on. */
int32_t tk_settings_workers(const struct tk_settings *settings);

/*
 * A broker's configuration as DescribeConfigs tells it: every row with a Kafka key, then what is
 * derived.  Numbers are Kafka's ConfigSource and ConfigType.
 */
enum tk_config_source {
	TK_CONFIG_SOURCE_DYNAMIC_TOPIC = 1,
	TK_CONFIG_SOURCE_STATIC_BROKER = 4,
	TK_CONFIG_SOURCE_DEFAULT = 5
};

enum tk_config_type {
	TK_CONFIG_UNKNOWN,
	TK_CONFIG_BOOLEAN,
	TK_CONFIG_STRING,
	TK_CONFIG_INT,
	TK_CONFIG_SHORT,
	TK_CONFIG_LONG,
	TK_CONFIG_DOUBLE,
	TK_CONFIG_LIST
};

struct tk_config_synonym {
	const char *name;
	const char *value;
	enum tk_config_source source;
};

struct tk_config_entry {
	const char *name;
	const char *value; /* NULL: null */
	const char *help;
	enum tk_config_source source;
	enum tk_config_type type;
	bool read_only;
	bool sensitive;
	struct tk_config_synonym synonyms[3]; /* what the value was chosen from, best first */
	size_t synonym_count;
};

/*
 * The index-th entry of the broker, its texts in arena; 0, -ENOENT past the last one, -ENOMEM.
 */
int tk_broker_config_get(const struct tk_settings *settings, size_t index, struct tk_arena *arena,
    struct tk_config_entry *ret_entry) TK_MUST_CHECK;

/* Texts of sizes and durations: "100GiB", "-1", "7d", "1500ms".  0, -EINVAL or -ERANGE. */
int tk_size_parse(const char *text, int64_t *ret_bytes) TK_MUST_CHECK;
int tk_duration_parse(const char *text, int64_t *ret_ms) TK_MUST_CHECK;

/* The shortest exact text, with the largest unit that leaves a whole number. */
int tk_size_format(int64_t bytes, char *buf, size_t size);
int tk_duration_format(int64_t ms, char *buf, size_t size);

/* "10.0.0.0/8", "::1", "fe80::/10"; 0 or -EINVAL, also where bits past the prefix are set. */
int tk_cidr_parse(const char *text, struct tk_cidr *ret_cidr) TK_MUST_CHECK;

/* True if addr (AF_INET, or AF_INET6, IPv4-mapped as well) is in the network; others never are. */
bool tk_cidr_match(const struct tk_cidr *cidr, const struct sockaddr *addr);

/* True for 127.0.0.0/8, ::1 and 127.0.0.0/8 in its IPv4-mapped form. */
bool tk_addr_is_loopback(const struct sockaddr *addr);

/* True if a peer may connect: not in deny, and in allow unless that is empty. */
bool tk_listener_admits(const struct tk_listener_settings *listener, const struct sockaddr *peer);

#endif
