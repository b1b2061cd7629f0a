/*
 * Unit tests of the writer: what the metadata says, made true.  The test is the coordinator: it
 * appends transactions to the journal and has the writer apply them.
 */
#include "test_writer.h"

#include "meta/txn.h"

#define COORD_ARENA ((size_t)4 << 20)

static struct caller *coord, *worker;
static struct tk_meta *view; /* the coordinator's own */
static bool started;
static uint64_t next_append = 1;

static void
writer_started(struct tk_writer *w)
{
	(void)w;
	started = true;
	writer.ready = true;
	tk_parts_clear_strays(&writer);
}

/* The writer opens what the journal says; the coordinator and a worker connect. */
static void
begin(void)
{
	struct tk_uuid id;
	int64_t until_ms = tk_clock_mono_ms() + 10000;

	started = writer.ready = false;
	CU_ASSERT_FATAL(tk_apply_start(&writer, writer.zone, data_path, writer_started) == 0);
	while (!started && tk_clock_mono_ms() < until_ms)
		turns(1);
	CU_ASSERT_FATAL(started);
	coord = caller_new_sized(TK_ROLE_COORDINATOR, COORD_ARENA);
	worker = caller_new(TK_ROLE_WORKER);
	id = tk_logdir_directory_id(writer.dir);
	CU_ASSERT_FATAL(tk_meta_open(writer.zone, data_path, settings, &view) == 0);
	tk_meta_set_directories(view, &id, 1);
	CU_ASSERT_FATAL(tk_meta_catch_up(view) == 0);
	turns(2);
}

static void
end(void)
{
	tk_meta_close(&view);
	caller_free(coord);
	caller_free(worker);
}

static void
apply_env(void)
{
	env_new();
	begin();
}

static void
apply_env_free(void)
{
	end();
	env_free();
}

static void
restart(void)
{
	end();
	env_crash();
	env_open();
	begin();
}

/* ---- transactions ---- */

static struct tk_meta_txn txn;

static void
txn_open(void)
{
	tk_meta_txn_begin(&txn, view, coord->arena, COORD_ARENA);
}

static uint64_t
txn_commit(void)
{
	struct tk_frame_append frame = append_frame(TK_META_SLOT, TK_META_INCARNATION, 0, 0);
	uint64_t id = next_append++;
	size_t len;

	CU_ASSERT_FATAL(tk_meta_txn_end(&txn, tk_clock_wall_ms(), &len) == 0);
	frame.len = (uint32_t)len;
	frame.flags = TK_APPEND_SYNC;
	send_append(coord, id, &frame);
	CU_ASSERT_FATAL(appended(coord, id, NULL) == 0);
	CU_ASSERT_FATAL(tk_meta_catch_up(view) == 0);
	return tk_meta_revision(view);
}

static void
send_apply(uint64_t id, uint64_t revision)
{
	const struct tk_frame_apply frame = { .revision = revision };

	send_frame(coord, TK_FRAME_APPLY, id, &frame, sizeof(frame));
}

static int
applied(uint64_t id, uint64_t *ret_revision)
{
	struct tk_frame_applied answer;

	memcpy(&answer, expect(coord, TK_FRAME_APPLIED, id), sizeof(answer));
	if (ret_revision != NULL)
		*ret_revision = answer.revision;
	return answer.error;
}

static int
apply_all(void)
{
	uint64_t revision;
	int rc;

	send_apply(77, tk_meta_revision(view));
	rc = applied(77, &revision);
	CU_ASSERT(revision == tk_meta_revision(view));
	return rc;
}

static struct tk_bytes
text(const char *string)
{
	return (struct tk_bytes){ (const uint8_t *)string, (uint32_t)strlen(string) };
}

static struct tk_uuid
topic_uuid(const char *name, uint8_t life)
{
	struct tk_uuid id = { { life } };

	memcpy(id.b + 1, name, TK_MIN(strlen(name), sizeof(id.b) - 1));
	return id;
}

static void
put_topic(const char *name, uint8_t life, int32_t partitions, const char *key, const char *value)
{
	struct tk_meta_topic_value_config config = { 0 };
	struct tk_meta_topic_value topic;

	tk_meta_topic_value_init(&topic);
	topic.topic_id = topic_uuid(name, life);
	topic.partition_count = partitions;
	if (key != NULL) {
		config.name = text(key);
		config.value = text(value);
		topic.configs = &config;
		topic.configs_count = 1;
	}
	tk_meta_txn_put_topic(&txn, text(name), &topic);
}

static void
put_partition(const char *name, int32_t index, uint32_t slot, struct tk_uuid directory)
{
	int32_t broker = 1;
	struct tk_meta_partition_value partition;

	tk_meta_partition_value_init(&partition);
	partition.directory = directory;
	partition.slot = slot;
	partition.leader = broker;
	partition.leader_epoch = 0;
	partition.replicas = partition.isr = &broker;
	partition.replicas_count = partition.isr_count = 1;
	tk_meta_txn_put_partition(&txn, text(name), index, &partition);
}

static void
put_partitions(const char *name, int32_t count, uint32_t slot)
{
	for (int32_t i = 0; i < count; i++)
		put_partition(name, i, slot + (uint32_t)i, tk_logdir_directory_id(writer.dir));
}

static void
create(const char *name, uint8_t life, int32_t partitions, uint32_t slot)
{
	txn_open();
	put_topic(name, life, partitions, NULL, NULL);
	put_partitions(name, partitions, slot);
	(void)txn_commit();
}

static void delete (const char *name)
{
	txn_open();
	tk_meta_txn_delete_topic(&txn, tk_meta_topic_find(view, name, strlen(name)));
	(void)txn_commit();
}

/* ---- looking ---- */

static const struct tk_meta_partition *
meta_partition(const char *name, int32_t index)
{
	const struct tk_meta_topic *topic = tk_meta_topic_find(view, name, strlen(name));

	return topic == NULL ? NULL : tk_meta_partition_find(topic, index);
}

/* The open partition of this name, at the incarnation the view has. */
static struct tk_writer_part *
open_part(const char *name, int32_t index)
{
	const struct tk_meta_partition *partition = meta_partition(name, index);
	struct tk_part_state state;
	uint64_t seq;

	if (partition == NULL || !tk_zone_read(writer.zone, partition->slot, &state, &seq) ||
	    state.status != TK_PART_ONLINE || state.incarnation != partition->incarnation)
		return NULL;
	return tk_part_find_exact(&writer, partition->slot, partition->incarnation);
}

static bool
directory_is_there(const char *name)
{
	struct tk_file_info info;

	return tk_file_stat(writer.dir_fd, name, &info) == 0;
}

static int
count_directories(const char *pattern)
{
	char command[200], line[32] = "";
	FILE *out;

	(void)snprintf(
	    command, sizeof(command), "ls -d %s/%s 2>/dev/null | wc -l", data_path, pattern);
	out = popen(command, "r");
	CU_ASSERT_FATAL(out != NULL);
	CU_ASSERT(fgets(line, sizeof(line), out) != NULL);
	(void)pclose(out);
	return atoi(line);
}

static uint32_t
zone_status(uint32_t slot)
{
	struct tk_part_state state;
	uint64_t seq;

	return tk_zone_read(writer.zone, slot, &state, &seq) ? state.status : TK_PART_NONE;
}

static int
produce(const char *name, int32_t index, uint64_t config_revision)
{
	const struct tk_meta_partition *partition = meta_partition(name, index);
	struct tk_frame_append frame = append_frame(
	    partition->slot, partition->incarnation, 0, put_batch(worker, 0, 1, 30, -1, 0));

	frame.config_revision = config_revision;
	send_append(worker, 5000, &frame);
	return appended(worker, 5000, NULL);
}

/* ---- tests ---- */

static void
test_create(void)
{
	uint64_t inode;

	apply_env();
	create("orders", 1, 3, 1);
	CU_ASSERT(open_part("orders", 0) == NULL);
	CU_ASSERT(apply_all() == 0);
	for (int32_t i = 0; i < 3; i++)
		CU_ASSERT(open_part("orders", i) != NULL);
	CU_ASSERT(directory_is_there("orders-2") && writer.part_count == 4);
	CU_ASSERT(
	    produce("orders", 1, tk_meta_topic_find(view, "orders", 6)->config_revision) == 0);
	inode = open_part("orders", 1)->state.active_inode;
	CU_ASSERT(apply_all() == 0); /* twice does nothing */
	CU_ASSERT(open_part("orders", 1)->state.active_inode == inode);
	CU_ASSERT(open_part("orders", 1)->state.log_end.offset == 1);
	txn_open(); /* more partitions */
	put_topic("orders", 1, 5, NULL, NULL);
	put_partition("orders", 3, 10, tk_logdir_directory_id(writer.dir));
	put_partition("orders", 4, 11, tk_logdir_directory_id(writer.dir));
	(void)txn_commit();
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(open_part("orders", 4) != NULL && writer.part_count == 6);
	apply_env_free();
}

static void
test_orders(void)
{
	uint64_t revision;

	apply_env();
	send_apply(1, 0); /* nothing to do */
	CU_ASSERT(applied(1, &revision) == 0 && revision == 0);
	create("a", 1, 1, 1);
	create("b", 1, 1, 2);
	for (uint64_t id = 2; id < 50; id++)
		send_apply(id, tk_meta_revision(view));
	for (uint64_t id = 2; id < 50; id++)
		CU_ASSERT(applied(id, &revision) == 0 && revision == tk_meta_revision(view));
	send_apply(50, tk_meta_revision(view) + 1); /* of the future */
	CU_ASSERT(applied(50, NULL) == -ESTALE);
	create("c", 1, 500, 10);
	send_apply(51, tk_meta_revision(view));
	turns(1);
	caller_free(coord); /* dies while its order is under way */
	coord = caller_new_sized(TK_ROLE_COORDINATOR, COORD_ARENA);
	send_apply(52, tk_meta_revision(view));
	CU_ASSERT(applied(52, NULL) == 0);
	CU_ASSERT(open_part("c", 499) != NULL);
	apply_env_free();
}

static void
test_config(void)
{
	uint64_t old;

	apply_env();
	create("t", 1, 2, 1);
	CU_ASSERT(apply_all() == 0);
	old = tk_meta_topic_find(view, "t", 1)->config_revision;
	CU_ASSERT(produce("t", 0, old) == 0);
	txn_open();
	put_topic("t", 1, 2, "max.message.bytes", "50");
	(void)txn_commit();
	CU_ASSERT(produce("t", 0, old) == 0); /* not applied yet */
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(tk_log_config(open_part("t", 1)->log)->max_message_bytes == 50);
	CU_ASSERT(open_part("t", 0)->state.config_revision != old);
	CU_ASSERT(produce("t", 0, old) == TK_APPENDED_STALE);
	CU_ASSERT(produce("t", 0, tk_meta_topic_find(view, "t", 1)->config_revision) ==
		  TK_ERR_MESSAGE_TOO_LARGE);
	txn_open();
	put_topic("t", 1, 2, NULL, NULL);
	(void)txn_commit();
	/* A worker that is ahead of the order makes the writer look, before its batch's turn. */
	CU_ASSERT(produce("t", 0, tk_meta_revision(view)) == 0);
	apply_env_free();
}

static void
test_delete(void)
{
	struct tk_frame_watch watch = { .segment = 0, .position = 1 << 20 };
	struct tk_part_state state;

	apply_env();
	create("t", 1, 2, 1);
	create("keep", 1, 1, 3);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(produce("t", 0, 0) == 0);
	CU_ASSERT_FATAL(tk_zone_read(writer.zone, 1, &state, &watch.seq));
	watch.incarnation = state.incarnation;
	watch.slot = 1;
	send_frame(worker, TK_FRAME_WATCH, 9, &watch, sizeof(watch));
	delete ("t");
	CU_ASSERT(silent(worker));
	CU_ASSERT(apply_all() == 0);
	(void)expect(worker, TK_FRAME_NOTIFY, 9);
	CU_ASSERT(zone_status(1) == TK_PART_DELETED && zone_status(2) == TK_PART_DELETED);
	CU_ASSERT(!directory_is_there("t-0") && count_directories("t-*-delete") == 2);
	CU_ASSERT(open_part("keep", 0) != NULL && writer.part_count == 2);
	CU_ASSERT(tk_logdir_tick(writer.dir, tk_clock_mono_ms()) > 0);
	CU_ASSERT(count_directories("t-*-delete") == 2);
	(void)tk_logdir_tick(writer.dir, tk_clock_mono_ms() + 60001);
	CU_ASSERT(count_directories("t-*-delete") == 0);
	apply_env_free();
}

/* Deleted and made again, in the same slots, before the writer hears of either. */
static void
test_recreate(void)
{
	uint64_t incarnation;

	apply_env();
	create("t", 1, 2, 1);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(produce("t", 0, 0) == 0);
	incarnation = meta_partition("t", 0)->incarnation;
	delete ("t");
	create("u", 1, 1, 1);
	create("t", 2, 2, 2);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(
	    open_part("u", 0) != NULL && open_part("t", 0) != NULL && open_part("t", 1) != NULL);
	CU_ASSERT(meta_partition("t", 0)->incarnation > incarnation);
	CU_ASSERT(open_part("t", 0)->state.log_end.offset == 0);
	CU_ASSERT(writer.part_count == 4);
	restart();
	CU_ASSERT(writer.part_count == 4 && open_part("t", 1) != NULL);
	apply_env_free();
}

/* A topic of many partitions does not hold up another's appends. */
static void
test_many(void)
{
	struct tk_frame_append frame;
	int64_t longest_ms = 0, until_ms;
	unsigned answered = 0;
	bool done = false;

	apply_env();
	create("busy", 1, 1, 1);
	CU_ASSERT(apply_all() == 0);
	create("wide", 1, 2000, 2);
	frame = append_frame(
	    1, meta_partition("busy", 0)->incarnation, 0, put_batch(worker, 0, 1, 30, -1, 0));
	send_apply(1, tk_meta_revision(view));
	until_ms = tk_clock_mono_ms() + 60000;
	while (!done && tk_clock_mono_ms() < until_ms) {
		int64_t began_ms = tk_clock_mono_ms();

		send_append(worker, ++answered, &frame);
		CU_ASSERT(appended(worker, answered, NULL) == 0);
		longest_ms = TK_MAX(longest_ms, tk_clock_mono_ms() - began_ms);
		CU_ASSERT(fill(coord));
		done = take_frame(coord);
	}
	CU_ASSERT(done && coord->frame.type == TK_FRAME_APPLIED);
	CU_ASSERT(answered > 20);
	CU_ASSERT(longest_ms < 500);
	CU_ASSERT(open_part("wide", 1999) != NULL && writer.part_count == 2002);
	restart();
	CU_ASSERT(writer.part_count == 2002);
	delete ("wide");
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(writer.part_count == 2);
	CU_ASSERT(open_part("busy", 0)->state.log_end.offset == (int64_t)answered);
	apply_env_free();
}

/* What was acknowledged is there after a kill, by the zone and without a scan. */
static void
test_restart(void)
{
	struct tk_frame_append frame;

	apply_env();
	create("t", 1, 3, 1);
	CU_ASSERT(apply_all() == 0);
	for (int i = 0; i < 10; i++)
		CU_ASSERT(produce("t", i % 2, 0) == 0);
	restart();
	CU_ASSERT(tk_logdir_trust(writer.dir) == TK_TRUST_ZONE);
	CU_ASSERT(open_part("t", 0)->state.log_end.offset == 5);
	CU_ASSERT(open_part("t", 2)->state.log_end.offset == 0);
	CU_ASSERT(produce("t", 0, 0) == 0);
	CU_ASSERT(open_part("t", 0)->state.log_end.offset == 6);
	frame = append_frame(
	    1, meta_partition("t", 0)->incarnation, 0, put_batch(worker, 0, 1, 30, 44, 0));
	send_append(worker, 1, &frame);
	CU_ASSERT(appended(worker, 1, NULL) == 0);
	restart();
	memset(worker->arena, 0, 100);
	frame.len = put_batch(worker, 0, 1, 30, 44, 0);
	send_append(worker, 2, &frame); /* the duplicate is known after the restart */
	CU_ASSERT(appended(worker, 2, NULL) == 0);
	CU_ASSERT(open_part("t", 0)->state.log_end.offset == 7);
	apply_env_free();
}

/* The writer dies between the journal and its own deeds: the journal wins. */
static void
test_journal_wins(void)
{
	char command[160];

	apply_env();
	create("gone", 1, 2, 1);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(produce("gone", 1, 0) == 0);
	delete ("gone");
	create("new", 1, 1, 3);
	(void)snprintf(command, sizeof(command), "mkdir %s/stranger-7", data_path);
	CU_ASSERT(system(command) == 0);
	restart();
	CU_ASSERT(writer.part_count == 2 && open_part("new", 0) != NULL);
	CU_ASSERT(zone_status(1) == TK_PART_DELETED && zone_status(2) == TK_PART_DELETED);
	CU_ASSERT(!directory_is_there("gone-1"));
	CU_ASSERT(directory_is_there("stranger-7"));
	restart();
	CU_ASSERT(count_directories("gone-*") == 0 || count_directories("gone-*-delete") == 2);
	apply_env_free();
}

/* What cannot be made is said, and made by the next order once it can. */
static void
test_failure(void)
{
	char command[160];
	int fd;

	apply_env();
	CU_ASSERT_FATAL(tk_file_open(writer.dir_fd, "t-1", O_WRONLY | O_CREAT, 0600, &fd) == 0);
	tk_file_close(&fd);
	create("t", 1, 3, 1);
	CU_ASSERT(apply_all() < 0);
	CU_ASSERT(open_part("t", 0) != NULL && open_part("t", 2) != NULL);
	CU_ASSERT(open_part("t", 1) == NULL && zone_status(2) == TK_PART_OFFLINE);
	CU_ASSERT(produce("t", 1, 0) == TK_ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT(apply_all() < 0); /* still */
	(void)snprintf(command, sizeof(command), "rm %s/t-1", data_path);
	CU_ASSERT(system(command) == 0);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(open_part("t", 1) != NULL && produce("t", 1, 0) == 0);
	apply_env_free();
}

/* Partitions of other directories are other writers'. */
static void
test_other_directory(void)
{
	struct tk_uuid other = { { 9, 9, 9 } };

	apply_env();
	txn_open();
	put_topic("t", 1, 2, NULL, NULL);
	put_partition("t", 0, 1, other);
	put_partition("t", 1, 1, tk_logdir_directory_id(writer.dir));
	(void)txn_commit();
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(writer.part_count == 2 && open_part("t", 1) != NULL);
	CU_ASSERT(!directory_is_there("t-0"));
	txn_open(); /* nobody may have the journal's slot */
	put_topic("thief", 1, 1, NULL, NULL);
	put_partition("thief", 0, TK_META_SLOT, tk_logdir_directory_id(writer.dir));
	(void)txn_commit();
	CU_ASSERT(apply_all() == -EBADMSG);
	CU_ASSERT(tk_part_find(&writer, TK_META_SLOT)->internal);
	delete ("thief");
	CU_ASSERT(apply_all() == 0);
	apply_env_free();
}

/* Which of the broker's and the topic's words about flushing counts. */
static void
test_flush(void)
{
	const struct tk_log_config *config;

	apply_env();
	create("t", 1, 1, 1);
	settings->log_flush_interval_ms = 500;
	settings->log_flush_interval_messages = 70;
	CU_ASSERT(apply_all() == 0);
	config = tk_log_config(open_part("t", 0)->log);
	CU_ASSERT(!config->flush_commit && config->flush_ms == INT64_MAX);
	CU_ASSERT(config->flush_messages == INT64_MAX);
	settings->flush = TK_FLUSH_INTERVAL;
	tk_apply_settings(&writer, settings);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(!config->flush_commit && config->flush_ms == 500);
	CU_ASSERT(config->flush_messages == 70);
	settings->flush = TK_FLUSH_COMMIT;
	tk_apply_settings(&writer, settings);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(config->flush_commit && config->flush_ms == INT64_MAX);
	settings->flush = TK_FLUSH_NONE;
	tk_apply_settings(&writer, settings);
	txn_open();
	put_topic("t", 1, 1, "flush.ms", "20");
	(void)txn_commit();
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(!config->flush_commit && config->flush_ms == 20);
	CU_ASSERT(config->flush_messages == INT64_MAX);
	txn_open();
	put_topic("t", 1, 1, "flush.messages", "1");
	(void)txn_commit();
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(config->flush_commit && config->flush_ms == INT64_MAX);
	apply_env_free();
}

/* Other settings of the broker reach topics that have none of their own, also amid a pass. */
static void
test_settings(void)
{
	apply_env();
	create("t", 1, 1, 1);
	CU_ASSERT(apply_all() == 0);
	create("wide", 1, 300, 2);
	send_apply(1, tk_meta_revision(view));
	turns(1);
	settings->log_segment_bytes = 12345678;
	tk_apply_settings(&writer, settings);
	CU_ASSERT(applied(1, NULL) == 0);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(tk_log_config(open_part("t", 0)->log)->segment_bytes == 12345678);
	CU_ASSERT(tk_log_config(open_part("wide", 299)->log)->segment_bytes == 12345678);
	apply_env_free();
}

/* What was validated under other defaults is sent back, what under the present ones waits for
 * nobody.
 */
static void
test_settings_generation(void)
{
	uint64_t old, new;

	apply_env();
	create("t", 1, 1, 1);
	create("wide", 1, 600, 2);
	CU_ASSERT(apply_all() == 0);
	old = tk_meta_stamp(view, tk_meta_topic_find(view, "t", 1));
	CU_ASSERT(old == tk_meta_topic_find(view, "t", 1)->config_revision);
	tk_meta_set_generation(view, 1);
	new = tk_meta_stamp(view, tk_meta_topic_find(view, "t", 1));
	CU_ASSERT(new > old &&tk_meta_stamp_revision(new) == old);
	CU_ASSERT(produce("t", 0, old) == 0);
	CU_ASSERT(produce("t", 0, new) == TK_APPENDED_STALE); /* the writer was not told yet */
	CU_ASSERT(produce("t", 0, old) == 0);
	settings->message_max_bytes = 50;
	proc.topics_generation = 1;
	tk_apply_settings(&writer, settings);
	new = tk_meta_stamp(view, tk_meta_topic_find(view, "wide", 4));
	CU_ASSERT(tk_apply_busy(&writer)); /* the pass has not come so far */
	CU_ASSERT(open_part("wide", 599)->state.config_revision != new);
	tk_apply_look(&writer, open_part("wide", 599), new);
	CU_ASSERT(open_part("wide", 599)->state.config_revision == new);
	CU_ASSERT(open_part("wide", 598)->state.config_revision != new);
	CU_ASSERT(produce("wide", 599, new) == TK_ERR_MESSAGE_TOO_LARGE);
	CU_ASSERT(apply_all() == 0);
	CU_ASSERT(produce("t", 0, old) == TK_APPENDED_STALE);
	settings->message_max_bytes = 1 << 20;
	tk_apply_settings(&writer, settings);
	CU_ASSERT(produce("t", 0, tk_meta_stamp(view, tk_meta_topic_find(view, "t", 1))) == 0);
	proc.topics_generation = 0;
	apply_env_free();
}

TK_UNIT_MAIN("writer apply", { "create", test_create }, { "orders", test_orders },
    { "config", test_config }, { "delete", test_delete }, { "recreate", test_recreate },
    { "many partitions", test_many }, { "restart", test_restart },
    { "the journal wins", test_journal_wins }, { "failure", test_failure },
    { "other directories", test_other_directory }, { "settings", test_settings },
    { "flush", test_flush }, { "settings generation", test_settings_generation })
