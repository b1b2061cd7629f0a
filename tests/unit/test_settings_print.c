/*
 * Settings as text: -T read again, values for DescribeConfigs, units, and what a reload compares.
 */
#include "test_settings.h"

/* What -T says of settings, for the caller to free. */
static char *
printed(const struct tk_settings *settings)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		abort();
	tk_settings_print(settings, out);
	(void)fclose(out);
	return text;
}

static void
expect_equal(const struct tk_settings *a, const struct tk_settings *b)
{
	size_t count;
	const struct tk_setting *rows = tk_settings_rows(&count);

	for (size_t i = 0; i < count; i++) {
		CU_ASSERT_TRUE(tk_setting_equal(a, b, &rows[i]));
		if (!tk_setting_equal(a, b, &rows[i]))
			(void)printf("\n%s differs\n", rows[i].path);
	}
	CU_ASSERT_EQUAL(tk_settings_diff(a, b, NULL, NULL), 0);
}

static void
expect_print_reads(const char *conf)
{
	struct loaded loaded, again;
	char *text;

	load(&loaded, conf, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(loaded.settings);
	text = printed(loaded.settings);
	expect_loaded(&again, text);
	expect_equal(loaded.settings, again.settings);
	unload(&loaded);
	unload(&again);
	free(text);
}

static const char unusual[] =
    "rack = \"q\\\"b\\\\t\\x09e\";\n"
    "worker_processes = 7; num_recovery_threads_per_data_dir = 3;\n"
    "log_retention_bytes = \"107374182401\"; log_retention_ms = \"-1\"; log_roll_ms = \"1501ms\";\n"
    "connections_max_idle_ms = \"9223372036854775807\"; sendfile_min_bytes = \"0\";\n"
    "data_directories = [ \"a b\", \"c\\\"d\" ]; error_log = \"x.log\"; daemon = true;\n"
    "log_message_timestamp_type = \"LogAppendTime\"; log_level = \"error\"; sendfile = false;\n"
    "allow_anonymous = true;\n"
    "listeners = ( { name = \"A\"; bind = \"[::]\"; advertised_host = \"[fd00::1]\"; },\n"
    "  { name = \"B\"; port = 9; advertised_port = 10; backlog = 5; max_connections = 4;\n"
    "    allow = [ \"10.0.0.0/8\", \"fd00::/8\" ]; deny = [ \"10.1.1.1\" ]; } );\n";

static void
test_print_reads(void)
{
	expect_print_reads("");
	expect_print_reads(unusual);
}

static void
test_print_origins(void)
{
	struct loaded loaded;
	char *text, line[256];

	load(&loaded, "\nnode_id = 4;\n", "rack = \"x\";");
	CU_ASSERT_PTR_NOT_NULL_FATAL(loaded.settings);
	text = printed(loaded.settings);
	(void)snprintf(line, sizeof(line), "\nnode_id = 4; # %.150s:2\n", test_path("takhin.conf"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, line));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nrack = \"x\"; # -g:1\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nnum_partitions = 1; # default\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nlog_retention_ms = \"7d\"; # default\n"));
	(void)snprintf(line, sizeof(line), "# settings file: %.150s\n", test_path("takhin.conf"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, line));
	free(text);
	unload(&loaded);
}

static void
expect_value(
    const struct tk_settings *settings, const char *path, const char *kafka, const char *conf)
{
	const struct tk_setting *row = tk_setting_find(path);
	char buf[256], tight[4];
	int len = tk_setting_format(settings, row, buf, sizeof(buf));

	CU_ASSERT_STRING_EQUAL(buf, kafka);
	CU_ASSERT_EQUAL(len, (int)strlen(kafka));
	CU_ASSERT_EQUAL(tk_setting_format(settings, row, tight, sizeof(tight)), len);
	CU_ASSERT(strlen(tight) < sizeof(tight));
	CU_ASSERT_EQUAL(strncmp(tight, kafka, 3), 0);
	if (conf == NULL)
		return;
	(void)tk_setting_format_conf(settings, row, buf, sizeof(buf));
	CU_ASSERT_STRING_EQUAL(buf, conf);
}

static void
test_formats(void)
{
	struct loaded loaded;

	load(&loaded, unusual, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(loaded.settings);
	expect_value(loaded.settings, "worker_processes", "7", "7");
	expect_value(loaded.settings, "sendfile", "false", "false");
	expect_value(loaded.settings, "log_retention_bytes", "107374182401", "\"107374182401\"");
	expect_value(loaded.settings, "log_segment_bytes", "1073741824", "\"1GiB\"");
	expect_value(loaded.settings, "log_retention_ms", "-1", "\"-1\"");
	expect_value(loaded.settings, "log_roll_ms", "1501", "\"1501ms\"");
	expect_value(loaded.settings, "log_segment_delete_delay_ms", "60000", "\"1m\"");
	expect_value(loaded.settings, "log_level", "error", "\"error\"");
	expect_value(
	    loaded.settings, "log_message_timestamp_type", "LogAppendTime", "\"LogAppendTime\"");
	expect_value(loaded.settings, "rack", "q\"b\\t\te", "\"q\\\"b\\\\t\\x09e\"");
	expect_value(loaded.settings, "listeners", "A://[::]:9092,B://127.0.0.1:9", NULL);
	unload(&loaded);
	load(&loaded, "data_directories = [ \"/a\", \"/b\" ];", NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(loaded.settings);
	expect_value(loaded.settings, "data_directories", "/a,/b", "[ \"/a\", \"/b\" ]");
	expect_value(loaded.settings, "worker_processes", "0", "\"auto\"");
	unload(&loaded);
}

struct quantity {
	const char *text;
	int64_t value;
	int rc;
};

static void
test_sizes(void)
{
	static const struct quantity sizes[] = { { "0", 0, 0 }, { "1", 1, 0 }, { "1B", 1, 0 },
		{ "1KiB", 1024, 0 }, { "1 KiB", 1024, 0 }, { "3MiB", 3 << 20, 0 },
		{ "2GiB", INT64_C(2147483648), 0 }, { "4GiB", INT64_C(4294967296), 0 },
		{ "100GiB", INT64_C(107374182400), 0 }, { "8388607TiB", INT64_C(8388607) << 40, 0 },
		{ "-1", -1, 0 }, { "-9223372036854775808", INT64_MIN, 0 },
		{ "8388608TiB", 0, -ERANGE }, { "9223372036854775808", 0, -ERANGE },
		{ "99999999999999999999KiB", 0, -ERANGE }, { "", 0, -EINVAL }, { "-", 0, -EINVAL },
		{ "+1", 0, -EINVAL }, { " 1", 0, -EINVAL }, { "1kib", 0, -EINVAL },
		{ "1KB", 0, -EINVAL }, { "1K", 0, -EINVAL }, { "1KiBx", 0, -EINVAL },
		{ "1.5KiB", 0, -EINVAL }, { "1e3", 0, -EINVAL }, { "0x10", 0, -EINVAL },
		{ "KiB", 0, -EINVAL }, { "1ms", 0, -EINVAL } };

	for (size_t i = 0; i < TK_COUNT_OF(sizes); i++) {
		int64_t value = 77;

		CU_ASSERT_EQUAL(tk_size_parse(sizes[i].text, &value), sizes[i].rc);
		CU_ASSERT_EQUAL(value, sizes[i].rc == 0 ? sizes[i].value : 77);
	}
}

static void
test_durations(void)
{
	static const struct quantity durations[] = { { "0", 0, 0 }, { "5", 5, 0 }, { "5ms", 5, 0 },
		{ "5s", 5000, 0 }, { "5m", 300000, 0 }, { "5h", 18000000, 0 },
		{ "7d", 604800000, 0 }, { "25d", INT64_C(2160000000), 0 },
		{ "50d", INT64_C(4320000000), 0 }, { "-1", -1, 0 },
		{ "106751991167d", INT64_C(106751991167) * 86400000, 0 },
		{ "106751991168d", 0, -ERANGE }, { "7w", 0, -EINVAL }, { "7 days", 0, -EINVAL },
		{ "7D", 0, -EINVAL }, { "1h30m", 0, -EINVAL }, { "d", 0, -EINVAL } };

	for (size_t i = 0; i < TK_COUNT_OF(durations); i++) {
		int64_t value = 77;

		CU_ASSERT_EQUAL(tk_duration_parse(durations[i].text, &value), durations[i].rc);
		CU_ASSERT_EQUAL(value, durations[i].rc == 0 ? durations[i].value : 77);
	}
}

/* Whatever is formatted reads as the same number. */
static void
test_quantities_read(void)
{
	static const int64_t values[] = { INT64_MIN, -1, 0, 1, 1023, 1024, 1025, 1048588, 60000,
		60001, 86400000, INT32_MAX, INT64_C(2147483648), INT64_C(4294967296),
		INT64_C(107374182400), INT64_MAX };
	char buf[32];

	for (size_t i = 0; i < TK_COUNT_OF(values); i++) {
		int64_t value = 77;

		CU_ASSERT(tk_size_format(values[i], buf, sizeof(buf)) < (int)sizeof(buf));
		CU_ASSERT_EQUAL(tk_size_parse(buf, &value), 0);
		CU_ASSERT_EQUAL(value, values[i]);
		CU_ASSERT(tk_duration_format(values[i], buf, sizeof(buf)) < (int)sizeof(buf));
		CU_ASSERT_EQUAL(tk_duration_parse(buf, &value), 0);
		CU_ASSERT_EQUAL(value, values[i]);
	}
}

static void
diff_found(void *arg, const struct tk_setting *row)
{
	char *names = arg;

	(void)strcat(strcat(names, row->path), " ");
}

static void
expect_diff(const char *old_conf, const char *new_conf, const char *wanted)
{
	struct loaded old, new;
	char names[512] = "";
	unsigned count;

	expect_loaded(&old, old_conf);
	expect_loaded(&new, new_conf);
	count = tk_settings_diff(old.settings, new.settings, diff_found, names);
	CU_ASSERT_STRING_EQUAL(names, wanted);
	CU_ASSERT_EQUAL(count == 0, *wanted == '\0');
	CU_ASSERT_EQUAL(tk_settings_diff(new.settings, old.settings, NULL, NULL), count);
	unload(&old);
	unload(&new);
}

static void
test_diff(void)
{
	expect_diff("", "", "");
	expect_diff("", "node_id = 2;", "node_id ");
	expect_diff("", "node_id = 1;", "");
	expect_diff("", "worker_processes = 2; log_level = \"warn\";", "");
	expect_diff("data_directories = [ \"a\" ]; user = \"u\";",
	    "data_directories = [ \"a\", \"b\" ]; user = \"v\"; rack = \"r\";",
	    "user data_directories ");
	expect_diff("run_directory = \"a\";", "run_directory = \"b\";", "run_directory pid ");
	expect_diff("", "listeners = ( { port = 1; } );", "");
}

static void
test_equal(void)
{
	struct loaded a, b;

	expect_loaded(
	    &a, "listeners = ( { port = 1; allow = [ \"::1\" ]; } ); log_roll_ms = \"1d\";");
	expect_loaded(
	    &b, "listeners = ( { port = 1; allow = [ \"::2\" ]; } ); log_roll_ms = \"24h\";");
	CU_ASSERT_FALSE(tk_setting_equal(a.settings, b.settings, tk_setting_find("listeners")));
	CU_ASSERT_TRUE(tk_setting_equal(a.settings, b.settings, tk_setting_find("log_roll_ms")));
	unload(&a);
	unload(&b);
}

/* The entry of this name, or one with name NULL. */
static struct tk_config_entry
broker_entry(struct loaded *loaded, const char *name)
{
	struct tk_config_entry entry;
	int rc;

	for (size_t i = 0;; i++) {
		rc = tk_broker_config_get(loaded->settings, i, &loaded->arena, &entry);
		if (rc != 0) {
			CU_ASSERT_EQUAL(rc, -ENOENT);
			return (struct tk_config_entry){ .name = NULL };
		}
		CU_ASSERT_TRUE(entry.read_only);
		CU_ASSERT_FALSE(entry.sensitive);
		if (strcmp(entry.name, name) == 0)
			return entry;
	}
}

static void
test_broker_defaults(void)
{
	struct tk_config_entry entry;
	struct loaded loaded;

	expect_loaded(&loaded, "");
	entry = broker_entry(&loaded, "log.retention.ms");
	CU_ASSERT_STRING_EQUAL_FATAL(entry.value, "604800000");
	CU_ASSERT_EQUAL(entry.source, TK_CONFIG_SOURCE_DEFAULT);
	CU_ASSERT_EQUAL(entry.type, TK_CONFIG_LONG);
	CU_ASSERT_EQUAL(entry.synonym_count, 1);
	CU_ASSERT_STRING_EQUAL(entry.synonyms[0].name, "log.retention.ms");
	CU_ASSERT_EQUAL(broker_entry(&loaded, "message.max.bytes").type, TK_CONFIG_INT);
	CU_ASSERT_EQUAL(broker_entry(&loaded, "auto.create.topics.enable").type, TK_CONFIG_BOOLEAN);
	CU_ASSERT_EQUAL(broker_entry(&loaded, "producer.id.expiration.ms").type, TK_CONFIG_INT);
	CU_ASSERT_EQUAL(broker_entry(&loaded, "log.dirs").type, TK_CONFIG_LIST);
	entry = broker_entry(&loaded, "broker.rack");
	CU_ASSERT_PTR_NOT_NULL(entry.name);
	CU_ASSERT_PTR_NULL(entry.value);
	CU_ASSERT_EQUAL(entry.synonym_count, 0);
	CU_ASSERT_STRING_EQUAL(
	    broker_entry(&loaded, "listeners").value, "PLAINTEXT://127.0.0.1:9092");
	CU_ASSERT_STRING_EQUAL(
	    broker_entry(&loaded, "advertised.listeners").value, "PLAINTEXT://127.0.0.1:9092");
	CU_ASSERT_PTR_NULL(broker_entry(&loaded, "worker_processes").name);
	CU_ASSERT_PTR_NULL(broker_entry(&loaded, "nope").name);
	unload(&loaded);
}

static void
test_broker_static(void)
{
	struct tk_config_entry entry;
	struct loaded loaded;

	expect_loaded(&loaded,
	    "log_retention_ms = \"1h\"; node_id = 9; rack = \"r\";"
	    "listeners = ( { bind = \"[::1]\"; advertised_host = \"h\"; advertised_port = 5; },"
	    "{ name = \"B\"; port = 1; advertised_host = \"fd00::1\"; } );");
	entry = broker_entry(&loaded, "log.retention.ms");
	CU_ASSERT_STRING_EQUAL_FATAL(entry.value, "3600000");
	CU_ASSERT_EQUAL(entry.source, TK_CONFIG_SOURCE_STATIC_BROKER);
	CU_ASSERT_EQUAL_FATAL(entry.synonym_count, 2);
	CU_ASSERT_STRING_EQUAL(entry.synonyms[0].value, "3600000");
	CU_ASSERT_EQUAL(entry.synonyms[0].source, TK_CONFIG_SOURCE_STATIC_BROKER);
	CU_ASSERT_STRING_EQUAL(entry.synonyms[1].value, "604800000");
	CU_ASSERT_EQUAL(entry.synonyms[1].source, TK_CONFIG_SOURCE_DEFAULT);
	CU_ASSERT_STRING_EQUAL(broker_entry(&loaded, "broker.rack").value, "r");
	CU_ASSERT_STRING_EQUAL(broker_entry(&loaded, "broker.id").value, "9");
	CU_ASSERT_EQUAL(broker_entry(&loaded, "broker.id").source, TK_CONFIG_SOURCE_STATIC_BROKER);
	CU_ASSERT_STRING_EQUAL(
	    broker_entry(&loaded, "advertised.listeners").value, "PLAINTEXT://h:5,B://[fd00::1]:1");
	unload(&loaded);
}

static void
test_broker_no_memory(void)
{
	struct loaded loaded;
	struct tk_arena arena;

	expect_loaded(&loaded, "");
	for (size_t i = 0, rc = 0; rc != (size_t)-ENOENT && i < 100; i++) {
		struct tk_config_entry entry = { .name = "untouched" };

		tk_arena_init(&arena, 0);
		rc = (size_t)tk_broker_config_get(loaded.settings, i, &arena, &entry);
		CU_ASSERT(rc == (size_t)-ENOMEM || rc == (size_t)-ENOENT);
		CU_ASSERT_STRING_EQUAL(entry.name, "untouched");
		tk_arena_reset(&arena);
	}
	unload(&loaded);
}

TK_UNIT_MAIN("settings as text", { "print reads", test_print_reads },
    { "print origins", test_print_origins }, { "formats", test_formats }, { "sizes", test_sizes },
    { "durations", test_durations }, { "quantities read", test_quantities_read },
    { "diff", test_diff }, { "equal", test_equal }, { "broker defaults", test_broker_defaults },
    { "broker static", test_broker_static }, { "broker no memory", test_broker_no_memory })
