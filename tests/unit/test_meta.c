/*
 * The metadata's view and transactions: order, names, keys, topics, and journals of every health.
 */
#include "base/crc32c.h"
#include "base/topic_config.h"
#include "base/uuid.h"
#include "meta/order.h"
#include "meta/topic_name.h"
#include "test_meta_env.h"
#include "unit.h"

static uint64_t seed;

static uint32_t
rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % below;
}

static void
seed_print(void)
{
	const char *given = getenv("TAKHIN_TEST_SEED");

	seed = given != NULL ? strtoull(given, NULL, 0) : 0x9e3779b97f4a7c15;
	seed = seed == 0 ? 1 : seed;
	printf("TAKHIN_TEST_SEED=0x%llx ", (unsigned long long)seed);
}

static uint8_t memory[(size_t)4 << 20];

static void
commit(struct meta_env *env, struct tk_meta_txn *txn)
{
	size_t len = 0;

	CU_ASSERT_EQUAL_FATAL(tk_meta_txn_end(txn, 1700000000000, &len), 0);
	env_append(env, memory, len);
}

static struct tk_uuid
id_of(uint64_t n)
{
	struct tk_uuid id = { .b = { 1 } };

	memcpy(id.b + 8, &n, sizeof(n));
	return id;
}

static void
put_topic(struct tk_meta_txn *txn, const char *name, uint64_t id, int32_t partitions,
    const char *config, const char *value)
{
	struct tk_meta_topic_value_config pair = { bytes_of(config == NULL ? "" : config),
		bytes_of(value == NULL ? "" : value) };
	const struct tk_meta_topic_value topic = { .topic_id = id_of(id),
		.partition_count = partitions,
		.configs = &pair,
		.configs_count = config != NULL };

	tk_meta_txn_put_topic(txn, bytes_of(name), &topic);
}

static void
put_partition(struct tk_meta_txn *txn, const char *name, int32_t index, uint32_t slot)
{
	int32_t node = 1;
	const struct tk_meta_partition_value part = { .directory = id_of(1000),
		.slot = slot,
		.leader = node,
		.leader_epoch = 0,
		.replicas = &node,
		.replicas_count = 1,
		.isr = &node,
		.isr_count = 1 };

	tk_meta_txn_put_partition(txn, bytes_of(name), index, &part);
}

static void
create(struct meta_env *env, struct tk_meta *meta, const char *name, uint64_t id, int32_t count)
{
	struct tk_meta_txn txn;

	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	put_topic(&txn, name, id, count, NULL, NULL);
	for (int32_t i = 0; i < count; i++)
		put_partition(&txn, name, i, (uint32_t)(id * 100) + (uint32_t)i);
	commit(env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
}

static void delete (struct meta_env *env, struct tk_meta *meta, const char *name)
{
	const struct tk_meta_topic *topic;
	struct tk_meta_txn txn;

	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	topic = tk_meta_topic_find(meta, name, strlen(name));
	CU_ASSERT_PTR_NOT_NULL_FATAL(topic);
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	tk_meta_txn_delete_topic(&txn, topic);
	commit(env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
}

/* ---- the skip list ---- */

struct word {
	struct tk_order_node node;
	char text[12];
	bool in;
};

static int
word_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
order_check(const struct tk_order *order, const struct word *words, size_t count)
{
	const char *sorted[512];
	size_t n = 0, at = 0;

	for (size_t i = 0; i < count; i++)
		if (words[i].in)
			sorted[n++] = words[i].text;
	qsort(sorted, n, sizeof(sorted[0]), word_compare);
	for (struct tk_order_node *node = tk_order_first(order); node != NULL;
	     node = tk_order_next(node))
		CU_ASSERT_PTR_EQUAL(node->key, sorted[at++]);
	CU_ASSERT_EQUAL(at, n);
}

static void
test_order(void)
{
	static struct word words[512];
	struct tk_order order = { .head.len = 0 };

	seed_print();
	for (size_t i = 0; i < TK_COUNT_OF(words); i++)
		(void)snprintf(words[i].text, sizeof(words[i].text), "%zx", i * 7919 % 65536);
	for (int round = 0; round < 4000; round++) {
		struct word *word = &words[rnd(TK_COUNT_OF(words))];

		if (word->in)
			tk_order_remove(&order, &word->node);
		else
			tk_order_put(&order, &word->node, word->text, strlen(word->text));
		word->in = !word->in;
		if (round % 100 == 0)
			order_check(&order, words, TK_COUNT_OF(words));
	}
	order_check(&order, words, TK_COUNT_OF(words));
	CU_ASSERT_PTR_EQUAL(tk_order_from(&order, "", 0), tk_order_first(&order));
	CU_ASSERT_PTR_NULL(tk_order_from(&order, "zzzz", 4));
}

/* ---- names ---- */

static void
test_names(void)
{
	static const struct {
		const char *name;
		const char *text; /* part of the sentence; NULL: good */
	} rows[] = {
		{ "a", NULL },
		{ "A-b_c.9", NULL },
		{ "...", NULL },
		{ "-", NULL },
		{ "", "the empty string is not allowed" },
		{ ".", "'.' is not allowed" },
		{ "..", "'..' is not allowed" },
		{ "a b", "'a b' contains one or more characters other than" },
		{ "a/b", "contains one or more characters" },
		{ "a\nb", "'a?b' contains" },
		{ "\xc3\xa9", "'\?\?' contains" },
	};
	char name[TK_TOPIC_NAME_MAX + 2], text[512];
	uint8_t folded[8];

	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		int rc = tk_topic_name_check(bytes_of(rows[i].name), text, sizeof(text));

		CU_ASSERT_EQUAL(rc, rows[i].text == NULL ? 0 : -EINVAL);
		if (rows[i].text != NULL)
			CU_ASSERT_PTR_NOT_NULL(strstr(text, rows[i].text));
	}
	memset(name, 'x', sizeof(name));
	CU_ASSERT_EQUAL(tk_topic_name_check((struct tk_bytes){ (uint8_t *)name, 249 }, NULL, 0), 0);
	CU_ASSERT_EQUAL(
	    tk_topic_name_check((struct tk_bytes){ (uint8_t *)name, 250 }, text, sizeof(text)),
	    -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "is longer than the max allowed length 249"));
	CU_ASSERT_EQUAL(
	    tk_topic_name_check((struct tk_bytes){ (const uint8_t *)"a\0b", 3 }, text, 8), -EINVAL);
	CU_ASSERT_TRUE(tk_topic_name_is_internal(bytes_of("__consumer_offsets")));
	CU_ASSERT_FALSE(tk_topic_name_is_internal(bytes_of("__consumer_offsetsx")));
	CU_ASSERT_TRUE(tk_topic_name_is_reserved(bytes_of("__metadata")));
	tk_topic_name_fold(bytes_of("a.b_c"), folded);
	CU_ASSERT_EQUAL(memcmp(folded, "a_b_c", 5), 0);
}

/* ---- keys ---- */

/* What deletes, what changes nothing and what does not fit. */
static void
store_goes_on(struct meta_env *env, struct tk_meta *meta)
{
	struct tk_meta_txn txn;
	uint64_t revision, created, version;
	size_t len;

	/* Deleted and made again: it begins anew. */
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	tk_meta_txn_put(&txn, "acl/a", 5, bytes_of("again"));
	commit(env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_TRUE(tk_meta_key_find(meta, "acl/a", 5, &revision, &created, &version));
	CU_ASSERT_EQUAL(created, 4);
	CU_ASSERT_EQUAL(version, 1);

	/* What only deletes has a revision as well; what changes nothing, too. */
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	tk_meta_txn_delete(&txn, "acl/a", 5);
	commit(env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_EQUAL(tk_meta_revision(meta), 5);
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	commit(env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_EQUAL(tk_meta_revision(meta), 6);

	/* No room, and back out of it. */
	for (size_t room = 0; room < 200; room++) {
		tk_meta_txn_begin(&txn, meta, memory, room);
		tk_meta_txn_put(&txn, "acl/c", 5, bytes_of("does not fit"));
		(void)!tk_meta_txn_end(&txn, 0, &len);
	}
	tk_meta_txn_begin(&txn, meta, memory, 190);
	{
		struct tk_meta_txn_mark mark = tk_meta_txn_mark(&txn);

		put_topic(&txn, "too-long-a-name-for-the-room-that-is-left", 1, 1, "retention.ms",
		    "1000000000000000000");
		CU_ASSERT_EQUAL(txn.rc, -EMSGSIZE);
		tk_meta_txn_back(&txn, mark);
		CU_ASSERT_EQUAL(tk_meta_txn_end(&txn, 0, &len), 0);
	}
}

static void
test_store(void)
{
	struct meta_env env;
	struct tk_meta *meta;
	struct tk_meta_txn txn;
	const struct tk_meta_entry *entry;
	uint64_t revision, created, version;
	size_t len;

	env_init(&env);
	meta = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_EQUAL(tk_meta_revision(meta), 0);

	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	CU_ASSERT_FALSE(tk_meta_txn_has_changes(&txn));
	tk_meta_txn_compare(&txn, "acl/b", 5, 0);
	tk_meta_txn_put(&txn, "acl/b", 5, bytes_of("two"));
	tk_meta_txn_put(&txn, "acl/a", 5, bytes_of("one"));
	tk_meta_txn_put(&txn, "acm", 3, bytes_of(""));
	tk_meta_txn_put_producer_ids(&txn, 3000);
	commit(&env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_EQUAL(tk_meta_revision(meta), 2); /* 1 is the journal's own */
	CU_ASSERT_EQUAL(tk_meta_next_producer_id(meta), 3000);
	CU_ASSERT_EQUAL(memcmp(tk_meta_transaction(meta).b, txn.id.b, 16), 0);

	entry = tk_meta_range(meta, "acl/", 4);
	CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
	CU_ASSERT_STRING_EQUAL(entry->key, "acl/a");
	CU_ASSERT_EQUAL(entry->payload.len, 3);
	CU_ASSERT_EQUAL(memcmp(entry->payload.data, "one", 3), 0);
	entry = tk_meta_range_next(entry, "acl/", 4);
	CU_ASSERT_STRING_EQUAL(entry->key, "acl/b");
	CU_ASSERT_PTR_NULL(tk_meta_range_next(entry, "acl/", 4));

	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	tk_meta_txn_compare(&txn, "acl/b", 5, 2);
	tk_meta_txn_put(&txn, "acl/b", 5, bytes_of("three"));
	tk_meta_txn_delete(&txn, "acl/a", 5);
	commit(&env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_TRUE(tk_meta_key_find(meta, "acl/b", 5, &revision, &created, &version));
	CU_ASSERT_EQUAL(revision, 3);
	CU_ASSERT_EQUAL(created, 2);
	CU_ASSERT_EQUAL(version, 2);
	CU_ASSERT_FALSE(tk_meta_key_find(meta, "acl/a", 5, &revision, &created, &version));
	CU_ASSERT_STRING_EQUAL(tk_meta_range(meta, "", 0)->key, "acl/b");

	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	tk_meta_txn_compare(&txn, "acl/b", 5, 2); /* it is 3 */
	tk_meta_txn_put(&txn, "acl/b", 5, bytes_of("lost"));
	CU_ASSERT_EQUAL(tk_meta_txn_end(&txn, 0, &len), -ESTALE);

	store_goes_on(&env, meta);
	tk_meta_close(&meta);
	env_free(&env);
}

/* ---- topics ---- */

static size_t
list_length(const struct tk_meta_topic *topic,
    const struct tk_meta_topic *(*next)(const struct tk_meta_topic *))
{
	size_t n = 0;

	for (; topic != NULL; topic = next(topic))
		n++;
	return n;
}

static void
topics_in_order(struct meta_env *env, struct tk_meta *meta)
{
	const struct tk_meta_topic *topic;

	/* Collisions and order. */
	create(env, meta, "a.b", 2, 1);
	create(env, meta, "zoo", 3, 2);
	CU_ASSERT_STRING_EQUAL(tk_meta_topic_collision(meta, "a_b", 3)->name, "a.b");
	CU_ASSERT_PTR_NULL(tk_meta_topic_collision(meta, "a-b", 3));
	CU_ASSERT_EQUAL(tk_meta_topic_count(meta), 3);
	CU_ASSERT_EQUAL(tk_meta_partition_count(meta), 6);
	topic = tk_meta_topic_first(meta);
	CU_ASSERT_STRING_EQUAL(topic->name, "a.b");
	topic = tk_meta_topic_next(topic);
	CU_ASSERT_STRING_EQUAL(topic->name, "orders");
	CU_ASSERT_STRING_EQUAL(tk_meta_topic_from(meta, "p", 1)->name, "zoo");
	CU_ASSERT_STRING_EQUAL(tk_meta_topic_from(meta, "orders", 6)->name, "orders");
	CU_ASSERT_PTR_NULL(tk_meta_topic_from(meta, "zzz", 3));
}

static void
topics_deleted(struct meta_env *env, struct tk_meta *meta, uint64_t first_incarnation)
{
	const struct tk_meta_topic *topic;
	const struct tk_uuid id = id_of(1);

	/* Deletion: the list still has the partitions. */
	delete (env, meta, "orders");
	CU_ASSERT_PTR_NULL(tk_meta_topic_find(meta, "orders", 6));
	CU_ASSERT_EQUAL(tk_meta_partition_count(meta), 3);
	topic = tk_meta_deleted(meta);
	CU_ASSERT_PTR_NOT_NULL_FATAL(topic);
	CU_ASSERT_STRING_EQUAL(topic->name, "orders");
	CU_ASSERT_EQUAL(topic->partitions[1].slot, 101);
	create(env, meta, "orders", 4, 1);
	topic = tk_meta_topic_find(meta, "orders", 6);
	CU_ASSERT_TRUE(topic->partitions[0].incarnation > first_incarnation);
	CU_ASSERT_PTR_NULL(tk_meta_topic_find_id(meta, &id));
}

static void
test_topics(void)
{
	struct meta_env env;
	struct tk_meta *meta;
	struct tk_meta_txn txn;
	const struct tk_meta_topic *topic;
	const struct tk_uuid directories[] = { id_of(999), id_of(1000) };
	struct tk_uuid id;
	uint64_t first_incarnation;

	env_init(&env);
	meta = env_open(&env);
	create(&env, meta, "orders", 1, 3);
	CU_ASSERT_EQUAL(list_length(tk_meta_changed(meta), tk_meta_changed_next), 1);
	CU_ASSERT_PTR_NULL(tk_meta_deleted(meta));
	topic = tk_meta_topic_find(meta, "orders", 6);
	CU_ASSERT_PTR_NOT_NULL_FATAL(topic);
	CU_ASSERT_PTR_EQUAL(topic, tk_meta_changed(meta));
	CU_ASSERT_EQUAL(topic->partition_count, 3);
	CU_ASSERT_EQUAL(topic->create_revision, 2);
	CU_ASSERT_EQUAL(topic->config_revision, 2);
	CU_ASSERT_EQUAL(topic->config->retention_ms, env.settings->log_retention_ms);
	CU_ASSERT_EQUAL(topic->partitions[2].slot, 102);
	CU_ASSERT_EQUAL(topic->partitions[2].leader, 1);
	first_incarnation = topic->partitions[2].incarnation;
	CU_ASSERT_EQUAL(first_incarnation, 2);
	CU_ASSERT_EQUAL(topic->partitions[2].directory, TK_META_NO_DIRECTORY);
	tk_meta_set_directories(meta, directories, 2);
	CU_ASSERT_EQUAL(topic->partitions[2].directory, 1);
	CU_ASSERT_PTR_EQUAL(tk_meta_partition_find(topic, 2), &topic->partitions[2]);
	CU_ASSERT_PTR_NULL(tk_meta_partition_find(topic, 3));
	CU_ASSERT_PTR_NULL(tk_meta_partition_find(topic, -1));
	id = id_of(1);
	CU_ASSERT_PTR_EQUAL(tk_meta_topic_find_id(meta, &id), topic);
	CU_ASSERT_PTR_NULL(tk_meta_topic_find(meta, "order", 5));
	CU_ASSERT_PTR_NULL(tk_meta_topic_find(meta, NULL, 0));

	/* A catch-up with nothing new empties the lists. */
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_PTR_NULL(tk_meta_changed(meta));

	/* Configs, over the broker's. */
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	put_topic(&txn, "orders", 1, 3, "retention.ms", "123456");
	commit(&env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	topic = tk_meta_topic_find(meta, "orders", 6);
	CU_ASSERT_EQUAL(topic->config->retention_ms, 123456);
	CU_ASSERT_EQUAL(topic->config_count, 1);
	CU_ASSERT_STRING_EQUAL(topic->configs[0].name, "retention.ms");
	CU_ASSERT_STRING_EQUAL(topic->configs[0].value, "123456");
	CU_ASSERT_EQUAL(topic->config_revision, 3);
	CU_ASSERT_EQUAL(topic->create_revision, 2);
	CU_ASSERT_EQUAL(topic->partitions[2].incarnation, first_incarnation);
	tk_meta_set_settings(meta, env_settings(&env.arena, "log_segment_bytes = \"1MiB\";"));
	CU_ASSERT_EQUAL(topic->config->segment_bytes, 1048576);
	CU_ASSERT_EQUAL(topic->config->retention_ms, 123456);

	topics_in_order(&env, meta);

	topics_deleted(&env, meta, first_incarnation);
	tk_meta_close(&meta);
	env_free(&env);
}

/* A compacted journal may have a topic's record behind its partitions'. */
static void
test_partitions_first(void)
{
	struct meta_env env;
	struct tk_meta *meta;
	struct tk_meta_txn txn;

	env_init(&env);
	meta = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	put_partition(&txn, "late", 1, 11);
	put_partition(&txn, "late", 0, 10);
	put_partition(&txn, "never", 5, 15);
	commit(&env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_PTR_NULL(tk_meta_topic_find(meta, "late", 4));
	CU_ASSERT_PTR_NULL(tk_meta_topic_first(meta));
	CU_ASSERT_PTR_NULL(tk_meta_changed(meta));
	CU_ASSERT_EQUAL(tk_meta_partition_count(meta), 0);
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	put_topic(&txn, "late", 1, 2, NULL, NULL);
	tk_meta_txn_delete(&txn, "partition/never/5", 17);
	commit(&env, &txn);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(tk_meta_topic_find(meta, "late", 4));
	CU_ASSERT_EQUAL(tk_meta_topic_find(meta, "late", 4)->partitions[1].slot, 11);
	CU_ASSERT_EQUAL(tk_meta_partition_count(meta), 2);
	tk_meta_close(&meta);
	env_free(&env);
}

/* ---- journals ---- */

static void
views_equal(const struct tk_meta *a, const struct tk_meta *b)
{
	const struct tk_meta_topic *x = tk_meta_topic_first(a), *y = tk_meta_topic_first(b);
	const struct tk_meta_entry *e = tk_meta_range(a, "", 0), *f = tk_meta_range(b, "", 0);

	CU_ASSERT_EQUAL(tk_meta_revision(a), tk_meta_revision(b));
	CU_ASSERT_EQUAL(tk_meta_topic_count(a), tk_meta_topic_count(b));
	CU_ASSERT_EQUAL(tk_meta_partition_count(a), tk_meta_partition_count(b));
	CU_ASSERT_EQUAL(tk_meta_next_producer_id(a), tk_meta_next_producer_id(b));
	for (; x != NULL && y != NULL; x = tk_meta_topic_next(x), y = tk_meta_topic_next(y)) {
		CU_ASSERT_STRING_EQUAL(x->name, y->name);
		CU_ASSERT_EQUAL(memcmp(&x->id, &y->id, sizeof(x->id)), 0);
		CU_ASSERT_EQUAL_FATAL(x->partition_count, y->partition_count);
		CU_ASSERT_EQUAL(x->config_revision, y->config_revision);
		CU_ASSERT_EQUAL(x->config->retention_ms, y->config->retention_ms);
		CU_ASSERT_EQUAL(memcmp(x->partitions, y->partitions,
				    (size_t)x->partition_count * sizeof(*x->partitions)),
		    0);
	}
	CU_ASSERT_PTR_NULL(x);
	CU_ASSERT_PTR_NULL(y);
	for (; e != NULL && f != NULL;
	     e = tk_meta_range_next(e, "", 0), f = tk_meta_range_next(f, "", 0)) {
		CU_ASSERT_STRING_EQUAL(e->key, f->key);
		CU_ASSERT_EQUAL(e->revision, f->revision);
		CU_ASSERT_EQUAL(e->version, f->version);
		CU_ASSERT_EQUAL(e->payload.len, f->payload.len);
	}
	CU_ASSERT_PTR_NULL(e);
	CU_ASSERT_PTR_NULL(f);
}

/* One transaction of a few random changes to a few topics. */
static void
random_txn(struct meta_env *env, struct tk_meta *meta)
{
	struct tk_meta_txn txn;
	bool used[8] = { false };
	char name[16], value[16];

	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	for (uint32_t n = rnd(4); n > 0; n--) {
		const struct tk_meta_topic *topic;
		uint32_t which = rnd(8);
		int32_t count = (int32_t)rnd(5) + 1;

		if (used[which])
			continue;
		used[which] = true;
		(void)snprintf(name, sizeof(name), "t%u", which);
		(void)snprintf(value, sizeof(value), "%u", rnd(100000));
		topic = tk_meta_topic_find(meta, name, strlen(name));
		if (topic != NULL && rnd(3) == 0) {
			tk_meta_txn_delete_topic(&txn, topic);
			continue;
		}
		if (topic != NULL)
			count = TK_MAX(count, topic->partition_count);
		put_topic(&txn, name, topic != NULL ? topic->id.b[8] : rnd(255) + 1, count,
		    rnd(2) == 0 ? "retention.ms" : NULL, value);
		for (int32_t i = topic == NULL ? 0 : topic->partition_count; i < count; i++)
			put_partition(&txn, name, i, rnd(1000));
	}
	(void)snprintf(name, sizeof(name), "x/%u", rnd(10));
	if (rnd(2) == 0)
		tk_meta_txn_put(&txn, name, strlen(name), bytes_of(name));
	else
		tk_meta_txn_delete(&txn, name, strlen(name));
	if (rnd(10) == 0)
		tk_meta_txn_put_producer_ids(&txn, tk_meta_next_producer_id(meta) + 1000);
	commit(env, &txn);
}

static void
test_incremental(void)
{
	struct meta_env env;
	struct tk_meta *always, *sometimes, *once;

	seed_print();
	env_init(&env);
	always = env_open(&env);
	sometimes = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(always), 0);
	for (int i = 0; i < 400; i++) {
		if (i > 0 && rnd(20) == 0)
			env_roll(&env, rnd(2) == 0 ? 0 : rnd(200));
		random_txn(&env, always);
		CU_ASSERT_EQUAL_FATAL(tk_meta_catch_up(always), 0);
		if (rnd(8) == 0) {
			CU_ASSERT_EQUAL(tk_meta_catch_up(sometimes), 0);
			views_equal(always, sometimes);
		}
	}
	once = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(once), 0);
	CU_ASSERT_EQUAL(tk_meta_catch_up(sometimes), 0);
	views_equal(always, once);
	views_equal(always, sometimes);
	tk_meta_close(&always);
	tk_meta_close(&sometimes);
	tk_meta_close(&once);
	env_free(&env);
}

static void
test_not_published(void)
{
	struct meta_env env;
	struct tk_meta *meta;

	env_init(&env);
	meta = env_open(&env);
	env.state.status = TK_PART_NONE;
	env_publish(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), -EAGAIN);
	env.state.status = TK_PART_OFFLINE;
	env_publish(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), -EAGAIN);
	env.state.status = TK_PART_ONLINE;
	env_publish(&env);
	create(&env, meta, "a", 1, 1);
	env.state.status = TK_PART_OFFLINE;
	env_publish(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_PTR_NOT_NULL(tk_meta_topic_find(meta, "a", 1));
	tk_meta_close(&meta);
	env_free(&env);
}

/* Another journal under the view: it begins again. */
static void
test_replaced(void)
{
	struct meta_env env;
	struct tk_meta *meta, *other;
	struct tk_position end;
	char path[128];
	uint64_t before;

	env_init(&env);
	meta = env_open(&env);
	create(&env, meta, "kept", 1, 1);
	end = env.state.log_end;
	create(&env, meta, "cut", 2, 1);
	before = tk_meta_revision(meta);

	/* The end went back. */
	env.state.log_end = end;
	env_publish(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_PTR_NULL(tk_meta_topic_find(meta, "cut", 3));
	CU_ASSERT_PTR_NOT_NULL(tk_meta_topic_find(meta, "kept", 4));
	CU_ASSERT_EQUAL(list_length(tk_meta_deleted(meta), tk_meta_deleted_next), 2);
	CU_ASSERT_EQUAL(list_length(tk_meta_changed(meta), tk_meta_changed_next), 1);

	/* It went back and on again, to the same offset, while the view did not look. */
	other = env_open(&env);
	create(&env, other, "lost", 3, 1);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_PTR_NOT_NULL(tk_meta_topic_find(meta, "lost", 4));
	tk_meta_close(&other);
	env.state.log_end = end;
	env.state.segments_generation++;
	env_publish(&env);
	other = env_open(&env);
	create(&env, other, "came", 4, 1);
	CU_ASSERT_EQUAL(tk_meta_revision(other), before);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_PTR_NULL(tk_meta_topic_find(meta, "lost", 4));
	CU_ASSERT_PTR_NOT_NULL(tk_meta_topic_find(meta, "came", 4));
	tk_meta_close(&other);

	/* A new journal. */
	env_segment_path(&env, 0, path);
	env_must(unlink(path) == 0, "unlink");
	env.state.incarnation = 77;
	env.state.log_end = (struct tk_position){ .offset = 0 };
	env_publish(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_EQUAL(tk_meta_revision(meta), 0);
	CU_ASSERT_PTR_NULL(tk_meta_topic_first(meta));
	create(&env, meta, "new", 5, 1);
	CU_ASSERT_PTR_NOT_NULL(tk_meta_topic_find(meta, "new", 3));
	tk_meta_close(&meta);
	env_free(&env);
}

/* A batch damaged in any byte, or cut anywhere, is refused, and the view stays where it was. */
static void
test_damage(void)
{
	static uint8_t batch[1024], damaged[1024];
	struct meta_env env;
	struct tk_meta *meta;
	struct tk_meta_txn txn;
	struct tk_part_state good;
	uint64_t revision;
	size_t len = 0;

	env_init(&env);
	meta = env_open(&env);
	create(&env, meta, "a", 1, 1);
	revision = tk_meta_revision(meta);
	tk_meta_txn_begin(&txn, meta, batch, sizeof(batch));
	put_topic(&txn, "b", 2, 1, "retention.ms", "5");
	put_partition(&txn, "b", 0, 9);
	CU_ASSERT_EQUAL(tk_meta_txn_end(&txn, 0, &len), 0);
	good = env.state;
	for (size_t at = 0; at < len; at++) {
		/* Bytes 12 to 15 are the leader epoch, which no checksum covers, as in Kafka. */
		if (at >= 12 && at < 16)
			continue;
		memcpy(damaged, batch, len);
		env.state = good;
		env_write(&env, damaged, len);
		damaged[at] ^= 0x40;
		env.state = good;
		{
			char path[128];
			int fd;

			env_segment_path(&env, 0, path);
			env_must(tk_file_open(AT_FDCWD, path, O_RDWR, 0, &fd) == 0, "open");
			env_must(
			    tk_file_pwrite(fd, damaged, len, good.log_end.position) == 0, "pwrite");
			tk_file_close(&fd);
		}
		env.state.log_end.offset += 3;
		env.state.log_end.position += (int64_t)len;
		env_publish(&env);
		CU_ASSERT_EQUAL(tk_meta_catch_up(meta), -EBADMSG);
		CU_ASSERT_EQUAL(tk_meta_revision(meta), revision);
		CU_ASSERT_PTR_NULL(tk_meta_topic_find(meta, "b", 1));
	}
	for (size_t cut = 1; cut < len; cut++) {
		env.state = good;
		env.state.log_end.offset += 3;
		env.state.log_end.position += (int64_t)(len - cut);
		env_publish(&env);
		CU_ASSERT_EQUAL(tk_meta_catch_up(meta), -EBADMSG);
	}
	/* Mended, it goes on as if nothing had been. */
	env.state = good;
	env_append(&env, batch, len);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_PTR_NOT_NULL(tk_meta_topic_find(meta, "b", 1));
	tk_meta_close(&meta);
	env_free(&env);
}

/* Batches whose checksum is right and whose records are anything. */
static void
test_nonsense(void)
{
	static uint8_t batch[2048];
	struct meta_env env;
	struct tk_meta *meta;
	struct tk_part_state good;
	int refused = 0;

	seed_print();
	env_init(&env);
	meta = env_open(&env);
	create(&env, meta, "a", 1, 1);
	good = env.state;
	for (int round = 0; round < 3000; round++) {
		struct tk_batch_header header;
		struct tk_meta_txn txn;
		size_t len = 0;
		int rc;

		tk_meta_txn_begin(&txn, meta, batch, sizeof(batch));
		put_topic(&txn, "b", 2, 1, "retention.ms", "5");
		put_partition(&txn, "b", 0, 9);
		tk_meta_txn_put_producer_ids(&txn, 7);
		CU_ASSERT_EQUAL_FATAL(tk_meta_txn_end(&txn, 0, &len), 0);
		for (uint32_t n = rnd(4) + 1; n > 0; n--)
			batch[TK_BATCH_HEADER_BYTES + rnd((uint32_t)len - 61)] = (uint8_t)rnd(256);
		if (rnd(4) == 0)
			batch[60] = (uint8_t)rnd(256); /* count of records */
		tk_batch_header_read(batch, &header);
		header.crc = tk_crc32c(0, batch + 21, len - 21);
		tk_batch_header_write(&header, batch);
		env.state = good;
		env_append(&env, batch, len);
		rc = tk_meta_catch_up(meta);
		CU_ASSERT_TRUE(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
		refused += rc != 0;
		/* Back to the journal's good part; the view follows. */
		env.state = good;
		env_publish(&env);
		CU_ASSERT_EQUAL_FATAL(tk_meta_catch_up(meta), 0);
		CU_ASSERT_EQUAL(tk_meta_topic_count(meta), 1);
	}
	CU_ASSERT_TRUE(refused > 1000);
	tk_meta_close(&meta);
	env_free(&env);
}

/* A segment that is missing, or ends early, is damage, not an end. */
static void
test_segments(void)
{
	struct meta_env env;
	struct tk_meta *meta, *other;
	char path[128];

	env_init(&env);
	meta = env_open(&env);
	create(&env, meta, "a", 1, 1);
	env_roll(&env, 100);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	create(&env, meta, "b", 2, 1);
	env_roll(&env, 0);
	create(&env, meta, "c", 3, 1);
	other = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(other), 0);
	views_equal(meta, other);
	tk_meta_close(&other);
	env_segment_path(&env, 0, path);
	env_must(truncate(path, 40) == 0, "truncate");
	other = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(other), -EBADMSG);
	tk_meta_close(&other);
	env_must(unlink(path) == 0, "unlink");
	other = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(other), -EBADMSG);
	tk_meta_close(&other);
	tk_meta_close(&meta);
	env_free(&env);
}

static void
test_many(void)
{
	enum { TOPICS = 20000 };
	static uint8_t large[(size_t)8 << 20];
	struct meta_env env;
	struct tk_meta *meta, *other;
	struct tk_meta_txn txn;
	char name[32];
	size_t len, walked = 0;

	env_init(&env);
	meta = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	for (int part = 0; part < 4; part++) {
		tk_meta_txn_begin(&txn, meta, large, sizeof(large));
		for (int i = part; i < TOPICS; i += 4) {
			(void)snprintf(name, sizeof(name), "topic-%d", i * 7919 % TOPICS);
			put_topic(&txn, name, (uint64_t)i + 1, 1, NULL, NULL);
			put_partition(&txn, name, 0, (uint32_t)i);
		}
		CU_ASSERT_EQUAL_FATAL(tk_meta_txn_end(&txn, 0, &len), 0);
		env_append(&env, large, len);
		CU_ASSERT_EQUAL_FATAL(tk_meta_catch_up(meta), 0);
	}
	CU_ASSERT_EQUAL(tk_meta_topic_count(meta), TOPICS);
	for (const struct tk_meta_topic *topic = tk_meta_topic_first(meta); topic != NULL;
	     topic = tk_meta_topic_next(topic))
		walked++;
	CU_ASSERT_EQUAL(walked, TOPICS);
	other = env_open(&env);
	CU_ASSERT_EQUAL(tk_meta_catch_up(other), 0);
	views_equal(meta, other);
	tk_meta_close(&other);
	tk_meta_txn_begin(&txn, meta, large, sizeof(large));
	for (const struct tk_meta_topic *topic = tk_meta_topic_first(meta); topic != NULL;
	     topic = tk_meta_topic_next(topic))
		tk_meta_txn_delete_topic(&txn, topic);
	CU_ASSERT_EQUAL_FATAL(tk_meta_txn_end(&txn, 0, &len), 0);
	env_append(&env, large, len);
	CU_ASSERT_EQUAL(tk_meta_catch_up(meta), 0);
	CU_ASSERT_EQUAL(tk_meta_topic_count(meta), 0);
	CU_ASSERT_EQUAL(tk_meta_partition_count(meta), 0);
	CU_ASSERT_EQUAL(list_length(tk_meta_deleted(meta), tk_meta_deleted_next), TOPICS);
	tk_meta_close(&meta);
	env_free(&env);
}

/* What may be made must be deletable: the bound holds. */
static void
test_deletion_max(void)
{
	struct meta_env env;
	struct tk_meta *meta;
	struct tk_meta_txn txn;
	size_t len = 0;

	env_init(&env);
	meta = env_open(&env);
	create(&env, meta, "a-name-of-some-length", 1, 700);
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	tk_meta_txn_delete_topic(&txn, tk_meta_topic_first(meta));
	CU_ASSERT_EQUAL(tk_meta_txn_end(&txn, 0, &len), 0);
	CU_ASSERT_TRUE(len <= tk_meta_txn_deletion_max(21, 700));
	tk_meta_close(&meta);
	env_free(&env);
}

TK_UNIT_MAIN("meta", { "order", test_order }, { "names", test_names }, { "store", test_store },
    { "topics", test_topics }, { "partitions first", test_partitions_first },
    { "incremental equals from scratch", test_incremental },
    { "not published", test_not_published }, { "replaced", test_replaced },
    { "damage", test_damage }, { "nonsense", test_nonsense }, { "segments", test_segments },
    { "many topics", test_many }, { "deletion fits", test_deletion_max })
