/*
 * Loading takhin.conf: values, places, layers, and every way of being wrong.
 */
#include "test_settings.h"

struct bad {
	const char *conf, *errors;
};

static void
expect_all(const struct bad *bads, size_t count)
{
	for (size_t i = 0; i < count; i++)
		expect_errors(bads[i].conf, bads[i].errors);
}

#define EXPECT_ALL(...)                                                                            \
	do {                                                                                       \
		static const struct bad bads[] = { __VA_ARGS__ };                                  \
		expect_all(bads, TK_COUNT_OF(bads));                                               \
	} while (0)

static void
test_defaults(void)
{
	struct loaded loaded;
	char path[PATH_MAX];

	load(&loaded, NULL, NULL);
	CU_ASSERT_EQUAL_FATAL(loaded.rc, 0);
	CU_ASSERT_PTR_NULL(loaded.settings->file);
	CU_ASSERT_STRING_EQUAL(loaded.settings->prefix, test_dir());
	CU_ASSERT_EQUAL(loaded.settings->worker_processes, 0);
	CU_ASSERT(tk_settings_workers(loaded.settings) >= 1);
	CU_ASSERT_EQUAL(loaded.settings->message_max_bytes, 1048588);
	CU_ASSERT_EQUAL(loaded.settings->log_retention_ms, INT64_C(604800000));
	CU_ASSERT_EQUAL(loaded.settings->log_retention_bytes, -1);
	CU_ASSERT_EQUAL(loaded.settings->fetch_max_bytes, 57671680);
	CU_ASSERT_EQUAL(loaded.settings->max_connections, INT32_MAX);
	CU_ASSERT_TRUE(loaded.settings->auto_create_topics_enable);
	CU_ASSERT_FALSE(loaded.settings->allow_anonymous);
	CU_ASSERT_EQUAL(loaded.settings->log_level, TK_SETTING_LOG_INFO);
	CU_ASSERT_STRING_EQUAL(loaded.settings->error_log, "stderr");
	CU_ASSERT_EQUAL_FATAL(loaded.settings->data_directories.count, 1);
	(void)snprintf(path, sizeof(path), "%.4000s/data", test_dir());
	CU_ASSERT_STRING_EQUAL(loaded.settings->data_directories.items[0], path);
	(void)snprintf(path, sizeof(path), "%.4000s/run", test_dir());
	CU_ASSERT_STRING_EQUAL(loaded.settings->run_directory, path);
	(void)snprintf(path, sizeof(path), "%.4000s/run/takhin.pid", test_dir());
	CU_ASSERT_STRING_EQUAL(loaded.settings->pid, path);
	unload(&loaded);
}

static void
test_system_defaults(void)
{
	const struct tk_settings_source src = { .text = "node_id = 7;" };
	struct loaded loaded;

	if (access(SYSCONFDIR "/takhin/takhin.conf", F_OK) == 0)
		return; /* this machine has one of its own */
	load_source(&loaded, &src);
	CU_ASSERT_EQUAL_FATAL(loaded.rc, 0);
	CU_ASSERT_EQUAL(loaded.settings->node_id, 7);
	CU_ASSERT_STRING_EQUAL(
	    loaded.settings->data_directories.items[0], LOCALSTATEDIR "/lib/takhin");
	CU_ASSERT_STRING_EQUAL(loaded.settings->run_directory, RUNSTATEDIR "/takhin");
	CU_ASSERT_STRING_EQUAL(loaded.settings->prefix, SYSCONFDIR "/takhin");
	unload(&loaded);
}

static void
test_rows_hold_together(void)
{
	size_t count, listener_count;
	const struct tk_setting *rows = tk_settings_rows(&count);
	const struct tk_setting *listener_rows = tk_listener_rows(&listener_count);

	for (size_t i = 0; i < count + listener_count; i++) {
		const struct tk_setting *row = i < count ? &rows[i] : &listener_rows[i - count];

		CU_ASSERT_PTR_NOT_NULL_FATAL(row->help);
		CU_ASSERT_EQUAL(row->help[strlen(row->help) - 1], '.');
		CU_ASSERT((row->default_text != NULL) != (row->default_note != NULL));
		CU_ASSERT((row->default_note != NULL) <=
			  (row->example != NULL || row->type == TK_SETTING_LISTENERS));
		CU_ASSERT_EQUAL(row->words != NULL, row->type == TK_SETTING_ENUM);
		CU_ASSERT(row->min <= row->max);
	}
	for (size_t i = 0; i < count; i++) {
		CU_ASSERT_PTR_EQUAL(tk_setting_find(rows[i].path), &rows[i]);
		for (size_t j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(rows[j].offset, rows[i].offset);
	}
	CU_ASSERT_PTR_NULL(tk_setting_find("nope"));
	CU_ASSERT_PTR_NOT_NULL(rows[0].section);
}

static void
test_values(void)
{
	struct loaded loaded;

	expect_loaded(&loaded, "worker_processes = 3;\n"
			       "sendfile = false; daemon = TRUE; error_log = \"log/err\";\n"
			       "node_id = 2147483647;\n"
			       "rack = \"a\\\"b\\\\\";\n"
			       "log_level = \"debug\";\n"
			       "log_message_timestamp_type = \"LogAppendTime\";\n"
			       "data_directories = [ \"/d1/\", \"d2\" ];\n"
			       "pid = \"/p/x.pid\"; run_directory = \"/r\";\n");
	CU_ASSERT_EQUAL(loaded.settings->worker_processes, 3);
	CU_ASSERT_EQUAL(tk_settings_workers(loaded.settings), 3);
	CU_ASSERT_FALSE(loaded.settings->sendfile);
	CU_ASSERT_TRUE(loaded.settings->daemon);
	CU_ASSERT_EQUAL(loaded.settings->node_id, INT32_MAX);
	CU_ASSERT_STRING_EQUAL(loaded.settings->rack, "a\"b\\");
	CU_ASSERT_EQUAL(loaded.settings->log_level, TK_SETTING_LOG_DEBUG);
	CU_ASSERT_EQUAL(loaded.settings->log_message_timestamp_type, TK_TIMESTAMP_LOG_APPEND_TIME);
	CU_ASSERT_EQUAL(loaded.settings->data_directories.count, 2);
	CU_ASSERT_STRING_EQUAL(loaded.settings->data_directories.items[0], "/d1");
	CU_ASSERT_STRING_EQUAL(loaded.settings->data_directories.items[1], test_path("d2"));
	CU_ASSERT_STRING_EQUAL(loaded.settings->error_log, test_path("log/err"));
	CU_ASSERT_STRING_EQUAL(loaded.settings->pid, "/p/x.pid");
	unload(&loaded);
}

/* libconfig 1.5 cuts integers to 32 bits; nothing of that may get through. */
static void
test_large_values(void)
{
	static const struct {
		const char *text;
		int64_t value;
	} goods[] = {
		{ "\"2147483647\"", INT64_C(2147483647) },
		{ "\"2147483648\"", INT64_C(2147483648) },
		{ "2147483648L", INT64_C(2147483648) },
		{ "\"4294967296\"", INT64_C(4294967296) },
		{ "4294967296L", INT64_C(4294967296) },
		{ "4294967297L", INT64_C(4294967297) },
		{ "\"100GiB\"", INT64_C(107374182400) },
		{ "107374182400L", INT64_C(107374182400) },
		{ "0x1900000000L", INT64_C(107374182400) },
		{ "\"9223372036854775807\"", INT64_MAX },
		{ "9223372036854775807L", INT64_MAX },
		{ "\"-1\"", -1 },
		{ "-1L", -1 },
	};
	char conf[128];

	for (size_t i = 0; i < TK_COUNT_OF(goods); i++) {
		struct loaded loaded;

		(void)snprintf(conf, sizeof(conf), "log_retention_bytes = %s;", goods[i].text);
		expect_loaded(&loaded, conf);
		CU_ASSERT_EQUAL(loaded.settings->log_retention_bytes, goods[i].value);
		unload(&loaded);
	}
}

#define CUT(number)                                                                                \
	"DIR/takhin.conf:2: \"" number "\" does not fit in 32 bits: write a size or a duration "   \
	"as a string with a unit, or add the suffix L\n"
#define PLAIN(name, example)                                                                       \
	"DIR/takhin.conf:1: \"" name "\" must be a string with a unit, as \"" example              \
	"\", or an integer with the suffix L: a plain one would be cut to 32 bits without a "      \
	"word\n"

static void
test_cut_integers(void)
{
	EXPECT_ALL({ "\nlog_retention_bytes = 2147483648;", CUT("2147483648") },
	    { "\nlog_retention_bytes = 4294967296;", CUT("4294967296") },
	    { "\nlog_retention_bytes = 107374182400;", CUT("107374182400") },
	    { "\nnum_partitions = 4294967297;", CUT("4294967297") },
	    { "\nnum_partitions = 0x100000001;", CUT("0x100000001") },
	    { "\nnum_partitions = -4294967295;", CUT("-4294967295") },
	    { "\nlisteners = ( { port = 4294967297; } );", CUT("4294967297") },
	    { "\nlog_roll_ms = 99999999999999999999L;",
		"DIR/takhin.conf:2: \"99999999999999999999L\" does not fit in 64 bits\n" },
	    { "\nlog_roll_ms = 99999999999999999999;",
		"DIR/takhin.conf:2: \"99999999999999999999\" does not fit in 64 bits\n" },
	    { "log_retention_bytes = 5;", PLAIN("log_retention_bytes", "100GiB") },
	    { "log_retention_ms = -1;", PLAIN("log_retention_ms", "7d") },
	    { "num_partitions = 4294967297L;",
		"DIR/takhin.conf:1: \"num_partitions\" must be from 1 to 1048576, not "
		"4294967297\n" });
}

static void
test_scan_skips(void)
{
	struct loaded loaded;

	expect_loaded(&loaded, "# 4294967297\n// 4294967297\n/* 4294967297\n 4294967297 */\n"
			       "rack = \"4294967297 \\\" 4294967297\"; node_id = 2147483647;\n"
			       "pid = \"x\"\n\" 99999999999999999999\";");
	CU_ASSERT_EQUAL(loaded.settings->node_id, INT32_MAX);
	unload(&loaded);
	/* and counts the lines it skips */
	expect_errors("/* \n\n */ rack = \"\n\";\nnum_partitions = 4294967297;",
	    "DIR/takhin.conf:5: \"4294967297\" does not fit in 32 bits: write a size or a "
	    "duration as a string with a unit, or add the suffix L\n");
}

static void
test_unknown(void)
{
	EXPECT_ALL({ "\n\nnope = 1;", "DIR/takhin.conf:3: unknown setting \"nope\"\n" },
	    { "worker_proceses = 2;", "DIR/takhin.conf:1: unknown setting \"worker_proceses\": "
				      "did you mean \"worker_processes\"?\n" },
	    { "log_dirs = [ \"/x\" ];", "DIR/takhin.conf:1: unknown setting \"log_dirs\": did "
					"you mean \"data_directories\"?\n" },
	    { "node-id = 2;", "DIR/takhin.conf:1: unknown setting \"node-id\": did you mean "
			      "\"node_id\"?\n" },
	    { "nod = 2;", "DIR/takhin.conf:1: unknown setting \"nod\"\n" },
	    { "listeners = ( {\n prt = 1; } );",
		"DIR/takhin.conf:2: unknown setting \"prt\": did you mean \"port\"?\n" },
	    { "listeners = ( { node_id = 1; } );",
		"DIR/takhin.conf:1: unknown setting \"node_id\"\n" },
	    { "log = { retention = 1; };", "DIR/takhin.conf:1: unknown setting \"log\"\n" },
	    { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = 1;",
		"DIR/takhin.conf:1: unknown setting \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n" });
}

#define WRONG(name, wanted, got) "DIR/takhin.conf:1: \"" name "\" must be " wanted ", not " got "\n"

static void
test_wrong_types(void)
{
	EXPECT_ALL({ "sendfile = \"on\";", WRONG("sendfile", "true or false", "a string") },
	    { "sendfile = 1;", WRONG("sendfile", "true or false", "an integer") },
	    { "node_id = \"1\";", WRONG("node_id", "an integer", "a string") },
	    { "node_id = 1.5;", WRONG("node_id", "an integer", "a fraction") },
	    { "node_id = [ 1 ];", WRONG("node_id", "an integer", "a list") },
	    { "node_id = true;", WRONG("node_id", "an integer", "true or false") },
	    { "worker_processes = \"many\";",
		"DIR/takhin.conf:1: \"worker_processes\" must be an integer or \"auto\"\n" },
	    { "rack = 1;", WRONG("rack", "a string", "an integer") },
	    { "rack = { };", WRONG("rack", "a string", "a group") },
	    { "log_level = 1;",
		WRONG("log_level", "\"error\", \"warn\", \"info\" or \"debug\"", "an integer") },
	    { "log_roll_ms = true;", WRONG("log_roll_ms", "a string as \"7d\"", "true or false") },
	    { "log_segment_bytes = 1.5;",
		WRONG("log_segment_bytes", "a string as \"100GiB\"", "a fraction") },
	    { "data_directories = \"/x\";",
		WRONG("data_directories", "a list of strings", "a string") },
	    { "data_directories = ( \"/x\", 1 );",
		"DIR/takhin.conf:1: \"data_directories\" must be a list of strings, but holds an "
		"integer\n" },
	    { "listeners = { port = 1; };",
		WRONG("listeners", "a list of groups, as ( { port = 9092; } )", "a group") },
	    { "listeners = [ \"PLAINTEXT://:9092\" ];",
		WRONG("listeners", "a list of groups, as ( { port = 9092; } )", "a list") },
	    { "listeners = ( { port = 1; }, \n5 );",
		"DIR/takhin.conf:2: \"listeners\" must be a list of groups, but holds an "
		"integer\n" },
	    { "listeners = ( { allow = \"10.0.0.0/8\"; } );",
		WRONG("allow", "a list of strings", "a string") });
}

static void
test_out_of_range(void)
{
	EXPECT_ALL({ "num_partitions = 0;", WRONG("num_partitions", "from 1 to 1048576", "0") },
	    { "worker_processes = 0;", WRONG("worker_processes", "from 1 to 512", "0") },
	    { "node_id = -1;", WRONG("node_id", "from 0 to 2147483647", "-1") },
	    { "log_segment_bytes = \"2GiB\";",
		WRONG("log_segment_bytes", "from \"14\" to \"2147483647\"", "\"2GiB\"") },
	    { "log_segment_bytes = 13L;",
		WRONG("log_segment_bytes", "from \"14\" to \"2147483647\"", "\"13\"") },
	    { "log_roll_ms = \"0\";",
		WRONG("log_roll_ms", "from \"1ms\" to \"9223372036854775807ms\"", "\"0\"") },
	    { "log_retention_bytes = \"-2\";",
		WRONG("log_retention_bytes", "from \"-1\" to \"9223372036854775807\"", "\"-2\"") },
	    { "log_retention_bytes = \"9223372036854775807KiB\";",
		WRONG("log_retention_bytes", "from \"-1\" to \"9223372036854775807\"",
		    "\"9223372036854775807KiB\"") },
	    { "log_retention_bytes = \"-1KiB\";",
		WRONG(
		    "log_retention_bytes", "from \"-1\" to \"9223372036854775807\"", "\"-1KiB\"") },
	    { "default_replication_factor = 3;",
		WRONG("default_replication_factor", "from 1 to 1", "3") },
	    { "listeners = ( { port = 0; } );", WRONG("port", "from 1 to 65535", "0") },
	    { "listeners = ( { port = 65536; } );", WRONG("port", "from 1 to 65535", "65536") });
}

#define SIZE_WANTED     "a whole number with a unit (B, KiB, MiB, GiB or TiB)"
#define DURATION_WANTED "a whole number with a unit (ms, s, m, h or d)"

static void
test_bad_texts(void)
{
	EXPECT_ALL({ "arena_size = \"1GB\";", WRONG("arena_size", SIZE_WANTED, "\"1GB\"") },
	    { "arena_size = \"1.5GiB\";", WRONG("arena_size", SIZE_WANTED, "\"1.5GiB\"") },
	    { "arena_size = \"\";", WRONG("arena_size", SIZE_WANTED, "\"\"") },
	    { "arena_size = \"GiB\";", WRONG("arena_size", SIZE_WANTED, "\"GiB\"") },
	    { "arena_size = \" 1GiB\";", WRONG("arena_size", SIZE_WANTED, "\" 1GiB\"") },
	    { "arena_size = \"0x10\";", WRONG("arena_size", SIZE_WANTED, "\"0x10\"") },
	    { "arena_size = \"--1\";", WRONG("arena_size", SIZE_WANTED, "\"--1\"") },
	    { "log_roll_ms = \"7days\";", WRONG("log_roll_ms", DURATION_WANTED, "\"7days\"") },
	    { "log_roll_ms = \"7D\";", WRONG("log_roll_ms", DURATION_WANTED, "\"7D\"") },
	    { "log_level = \"wrn\";",
		"DIR/takhin.conf:1: \"log_level\" must be \"error\", \"warn\", \"info\" or "
		"\"debug\", not \"wrn\": did you mean \"warn\"?\n" },
	    { "log_level = \"everything\";",
		"DIR/takhin.conf:1: \"log_level\" must be \"error\", \"warn\", \"info\" or "
		"\"debug\", not \"everything\"\n" },
	    { "log_message_timestamp_type = \"createtime\";",
		"DIR/takhin.conf:1: \"log_message_timestamp_type\" must be \"CreateTime\" or "
		"\"LogAppendTime\", not \"createtime\": did you mean \"CreateTime\"?\n" });
}

static void
test_syntax(void)
{
	EXPECT_ALL({ "node_id = 1;\nnode_id = 2;", "DIR/takhin.conf:2: duplicate setting name\n" },
	    { "listeners = ( {\n port = 1; port = 1; } );",
		"DIR/takhin.conf:2: duplicate setting name\n" },
	    { "node_id 1;", "DIR/takhin.conf:1: syntax error\n" },
	    { "node_id = 1;\n\nlog.retention.ms = 5;", "DIR/takhin.conf:3: syntax error\n" },
	    { "rack = \"a", "DIR/takhin.conf:1: syntax error\n" },
	    { "listeners = ( { port = 1;", "DIR/takhin.conf:1: syntax error\n" },
	    { "x = ;", "DIR/takhin.conf:1: syntax error\n" },
	    { "node_id = 1;\n@include \"missing.conf\"\n",
		"DIR/takhin.conf:2: cannot open include file (its name stands on \"DIR\")\n" },
	    /* what stands before the end is told as well */
	    { "nope = 1;\nnode_id = -1;\nrack 1;",
		"DIR/takhin.conf:1: unknown setting \"nope\"\n"
		"DIR/takhin.conf:2: \"node_id\" must be from 0 to 2147483647, not -1\n"
		"DIR/takhin.conf:3: syntax error\n" });
}

static void
test_all_errors_told(void)
{
	expect_errors("nope = 1;\nsendfile = 1;\nlog_segment_bytes = 3000000000;\n"
		      "listeners = (\n { prt = 1; },\n { bind = 1; allow = [ \"x\" ]; }\n);\n"
		      "rack = 2;",
	    "DIR/takhin.conf:3: \"3000000000\" does not fit in 32 bits: write a size or a "
	    "duration as a string with a unit, or add the suffix L\n"
	    "DIR/takhin.conf:1: unknown setting \"nope\"\n"
	    "DIR/takhin.conf:2: \"sendfile\" must be true or false, not an integer\n"
	    "DIR/takhin.conf:5: unknown setting \"prt\": did you mean \"port\"?\n"
	    "DIR/takhin.conf:6: \"bind\" must be a string, not an integer\n"
	    "DIR/takhin.conf:6: \"x\" in \"allow\" is not a network as \"10.0.0.0/8\" or "
	    "\"fd00::/8\", with no bits set past the prefix\n"
	    "DIR/takhin.conf:8: \"rack\" must be a string, not an integer\n");
}

static void
test_paths(void)
{
	EXPECT_ALL({ "pid = \"\";", "DIR/takhin.conf:1: \"pid\" must not be empty\n" },
	    { "error_log = \"\";", "DIR/takhin.conf:1: \"error_log\" must not be empty\n" },
	    { "run_directory = \"\";", "DIR/takhin.conf:1: \"run_directory\" must not be empty\n" },
	    { "data_directories = [ ];",
		"DIR/takhin.conf:1: \"data_directories\" must name at least one folder\n" },
	    { "data_directories = [ \"\" ];",
		"DIR/takhin.conf:1: \"data_directories\" must not be empty\n" },
	    { "data_directories = [ \"/a\", \"/b\", \"/a//\" ];",
		"DIR/takhin.conf:1: \"data_directories\" names \"/a\" twice\n" },
	    { "run_directory = \"data\";",
		"\"DIR/data\" is both run_directory and a data directory\n" },
	    { "\ndaemon = true;",
		"DIR/takhin.conf:2: \"daemon\" needs \"error_log\" to name a file: in the "
		"background nobody reads stderr\n" });
}

static void
test_limits_warn(void)
{
	struct loaded loaded;

	expect_loaded(&loaded, "message_max_bytes = \"100MiB\";");
	unload(&loaded);
	load(&loaded, "message_max_bytes = \"200MiB\";", NULL);
	CU_ASSERT_EQUAL(loaded.rc, 0);
	CU_ASSERT_EQUAL(loaded.errors.warning_count, 1);
	CU_ASSERT_STRING_EQUAL(errors_text(&loaded),
	    "warning: DIR/takhin.conf:1: \"message_max_bytes\" is more than "
	    "\"socket_request_max_bytes\": batches as large cannot arrive\n");
	unload(&loaded);
}

static void
test_include(void)
{
	struct loaded loaded;

	test_write("more.conf", "node_id = 5;\n");
	expect_loaded(&loaded, "num_partitions = 2;\n@include \"more.conf\"\n");
	CU_ASSERT_EQUAL(loaded.settings->node_id, 5);
	CU_ASSERT_STRING_EQUAL(tk_setting_origin(loaded.settings, tk_setting_find("node_id"))->file,
	    test_path("more.conf"));
	unload(&loaded);
	test_write("more.conf", "\n\nnode_id = 4294967297;\nrack = 1;\n");
	expect_errors("num_partitions = 0;\n@include \"more.conf\"\n",
	    "DIR/takhin.conf:1: \"num_partitions\" must be from 1 to 1048576, not 0\n"
	    "DIR/more.conf:3: \"4294967297\" does not fit in 32 bits: write a size or a duration "
	    "as a string with a unit, or add the suffix L\n"
	    "DIR/more.conf:4: \"rack\" must be a string, not an integer\n");
	test_write("more.conf", "node_id == 5;\n");
	expect_errors("@include \"more.conf\"\n", "DIR/more.conf:1: syntax error\n");
	(void)unlink(test_path("more.conf"));
}

static void
test_layers(void)
{
	struct loaded loaded;
	const struct tk_setting_origin *at;

	load(&loaded, "node_id = 5;\nrack = \"r\";\n", "node_id = 6;");
	CU_ASSERT_EQUAL_FATAL(loaded.rc, 0);
	CU_ASSERT_EQUAL(loaded.settings->node_id, 6);
	CU_ASSERT_STRING_EQUAL(loaded.settings->rack, "r");
	at = tk_setting_origin(loaded.settings, tk_setting_find("node_id"));
	CU_ASSERT_STRING_EQUAL(at->file, "-g");
	at = tk_setting_origin(loaded.settings, tk_setting_find("rack"));
	CU_ASSERT_STRING_EQUAL(at->file, test_path("takhin.conf"));
	CU_ASSERT_EQUAL(at->line, 2);
	at = tk_setting_origin(loaded.settings, tk_setting_find("num_partitions"));
	CU_ASSERT_PTR_NULL(at->file);
	unload(&loaded);

	load(&loaded, "node_id = 5;", "node_id = \"x\"; nope = 4294967297;");
	CU_ASSERT_EQUAL(loaded.rc, -EINVAL);
	CU_ASSERT_STRING_EQUAL(errors_text(&loaded),
	    "-g:1: \"4294967297\" does not fit in 32 bits: write a size or a duration as a string "
	    "with a unit, or add the suffix L\n"
	    "-g:1: \"node_id\" must be an integer, not a string\n"
	    "-g:1: unknown setting \"nope\"\n");
	unload(&loaded);

	load(&loaded, NULL, "node_id = 5; }");
	CU_ASSERT_STRING_EQUAL(errors_text(&loaded), "-g:1: syntax error\n");
	unload(&loaded);
}

static void
test_file_and_prefix(void)
{
	struct tk_settings_source src = { .file = test_path("other.conf") };
	char file[PATH_MAX], missing[PATH_MAX];
	struct loaded loaded;

	(void)snprintf(file, sizeof(file), "%s", test_path("other.conf"));
	(void)snprintf(missing, sizeof(missing), "%s", test_path("missing"));
	test_write("takhin.conf", "node_id = 1;");
	test_write("other.conf", "node_id = 2; data_directories = [ \"d\" ];");
	src.file = file;
	load_source(&loaded, &src);
	CU_ASSERT_EQUAL_FATAL(loaded.rc, 0);
	CU_ASSERT_EQUAL(loaded.settings->node_id, 2);
	CU_ASSERT_STRING_EQUAL(loaded.settings->file, file);
	CU_ASSERT_STRING_EQUAL(loaded.settings->data_directories.items[0], test_path("d"));
	CU_ASSERT_STRING_EQUAL(loaded.settings->run_directory, RUNSTATEDIR "/takhin");
	unload(&loaded);

	src.prefix = "/tmp"; /* -c goes before what -p has, whose folder relative paths stand on */
	load_source(&loaded, &src);
	CU_ASSERT_EQUAL_FATAL(loaded.rc, 0);
	CU_ASSERT_EQUAL(loaded.settings->node_id, 2);
	CU_ASSERT_STRING_EQUAL(loaded.settings->data_directories.items[0], "/tmp/d");
	unload(&loaded);

	src = (struct tk_settings_source){ .file = missing };
	load_source(&loaded, &src);
	CU_ASSERT_EQUAL(loaded.rc, -EINVAL);
	CU_ASSERT_STRING_EQUAL(errors_text(&loaded),
	    "could not use settings file \"DIR/missing\": No such file or directory\n");
	unload(&loaded);

	src = (struct tk_settings_source){ .prefix = missing };
	load_source(&loaded, &src);
	CU_ASSERT_STRING_EQUAL(errors_text(&loaded),
	    "could not use prefix folder \"DIR/missing\": No such file or directory\n");
	unload(&loaded);

	src = (struct tk_settings_source){ .file = test_dir() };
	load_source(&loaded, &src);
	CU_ASSERT_EQUAL(loaded.rc, -EINVAL);
	CU_ASSERT_STRING_EQUAL(
	    errors_text(&loaded), "could not read settings file \"DIR\": Is a directory\n");
	unload(&loaded);
	(void)unlink(file);
}

static void
test_text_only(void)
{
	const struct tk_settings_source src = {
		.prefix = test_dir(), .text = "rack = \"x\";", .text_only = true
	};
	struct loaded loaded;

	test_write("takhin.conf", "node_id = 8; nope = 1;");
	load_source(&loaded, &src);
	CU_ASSERT_EQUAL_FATAL(loaded.rc, 0);
	CU_ASSERT_EQUAL(loaded.settings->node_id, 1);
	CU_ASSERT_STRING_EQUAL(loaded.settings->rack, "x");
	CU_ASSERT_PTR_NULL(loaded.settings->file);
	unload(&loaded);
}

static void
test_large_file(void)
{
	size_t size = ((size_t)1 << 20) + 1;
	char *conf = malloc(size + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(conf);
	memset(conf, '\n', size);
	conf[size] = '\0';
	expect_errors(conf, "settings file \"DIR/takhin.conf\" is larger than 1 MiB\n");
	free(conf);
}

static const char everything[] =
    "worker_processes = \"auto\";\n"
    "log_retention_bytes = \"100GiB\"; # a comment\n"
    "log_roll_ms = 86400000L; /* another */\n"
    "data_directories = [ \"/d1\", \"/d2\" ];\n"
    "listeners = ( { name = \"A\"; port = 1; allow = [ \"10.0.0.0/8\", \"::1\" ]; },\n"
    "              { name = \"B\"; bind = \"[::1]\"; port = 2; deny = [ \"fd00::/8\" ]; } );\n"
    "log_level = \"warn\";\n";

/* No prefix of a good file, and no shortage of memory, does more than fail. */
static void
test_prefixes(void)
{
	for (size_t len = 0; len <= strlen(everything); len++) {
		char *conf = strndup(everything, len);
		struct loaded loaded;

		load(&loaded, conf, NULL);
		CU_ASSERT(loaded.rc == 0 || loaded.rc == -EINVAL);
		CU_ASSERT_EQUAL(loaded.rc == 0, loaded.errors.error_count == 0);
		unload(&loaded);
		free(conf);
	}
}

/* Loads with an arena of which pad bytes are gone already. */
static int
load_short(const struct tk_settings_source *src, size_t limit, size_t pad)
{
	struct tk_settings_errors errors;
	struct tk_settings *settings = NULL;
	struct tk_arena arena;
	int rc;

	tk_arena_init(&arena, limit);
	if (pad > 0 && tk_arena_alloc(&arena, pad) == NULL)
		return -ENOMEM;
	rc = tk_settings_load(&arena, src, &settings, &errors);
	CU_ASSERT_EQUAL(settings != NULL, rc == 0);
	tk_arena_reset(&arena);
	return rc;
}

/*
 * Memory runs out at every allocation in turn: blocks are large, so the first one is filled to
 * another length each time.
 */
static void
expect_short(const struct tk_settings_source *src, int wanted)
{
	bool ended = false;

	for (size_t limit = 1024; !ended && limit < 64 * 1024; limit += 1024) {
		ended = true;
		for (size_t pad = 0; pad <= 1024; pad += 16) {
			int rc = load_short(src, limit, pad);

			CU_ASSERT(rc == wanted || rc == -ENOMEM);
			ended = ended && rc == wanted;
		}
	}
	CU_ASSERT_TRUE(ended);
}

static void
test_no_memory(void)
{
	const struct tk_settings_source good = { .prefix = test_dir(), .text = "rack = \"x\";" };
	const struct tk_settings_source bad = { .prefix = test_dir(),
		.text = "nope = 4294967297; log_level = \"x\"; data_directories = [ 1 ];" };

	test_write("takhin.conf", everything);
	expect_short(&good, 0);
	expect_short(&bad, -EINVAL);
}

TK_UNIT_MAIN("settings", { "defaults", test_defaults }, { "system defaults", test_system_defaults },
    { "rows hold together", test_rows_hold_together }, { "values", test_values },
    { "large values", test_large_values }, { "cut integers", test_cut_integers },
    { "scan skips", test_scan_skips }, { "unknown", test_unknown },
    { "wrong types", test_wrong_types }, { "out of range", test_out_of_range },
    { "bad texts", test_bad_texts }, { "syntax", test_syntax },
    { "all errors told", test_all_errors_told }, { "paths", test_paths },
    { "limits warn", test_limits_warn }, { "include", test_include }, { "layers", test_layers },
    { "file and prefix", test_file_and_prefix }, { "text only", test_text_only },
    { "large file", test_large_file }, { "prefixes", test_prefixes },
    { "no memory", test_no_memory })
