/*
 * AlterConfigs and IncrementalAlterConfigs: what is set for a topic changes.  The two differ in
 * their bodies alone: the older one replaces everything that was set, the other names what changes.
 *
 * Each resource is decided by itself.  What a topic is to have is checked as a whole, then its
 * record is written with it, and the answer waits until the writers of its partitions have applied
 * that revision: from then on nobody appends under what was before.  A resource that changes
 * nothing writes nothing.  The settings of a broker are those of its file; a client cannot change
 * them.
 *
 * Bounds: a topic has no more pairs than there are rows in the table of topic configurations.
 */
#include <stdlib.h>
#include <string.h>

#include "base/errlog.h"
#include "base/topic_config.h"
#include "coordinator/coordinator_private.h"
#include "meta/topic_name.h"

#define RESOURCE_TOPIC         2
#define RESOURCE_BROKER        4
#define RESOURCE_BROKER_LOGGER 8
#define LIST_VALUE_MAX         1024 /* bytes; no list that has effect is longer */

enum change_op { CHANGE_SET, CHANGE_DELETE, CHANGE_APPEND, CHANGE_SUBTRACT };

struct change {
	struct tk_bytes name;
	struct tk_bytes value; /* data NULL: none */
	int8_t op;             /* enum change_op, or what the client made of it */
};

struct item {
	enum { ITEM_OPEN, ITEM_WRITTEN, ITEM_MADE, ITEM_DECIDED } state;
	int8_t type;
	struct tk_bytes name;
	struct change *changes;
	int32_t changes_count;
	struct tk_refusal answer;
};

struct alter_state {
	struct item *items;
	size_t count, next;
	bool validate_only;
	bool replaces; /* what is not named goes */
};

/* What a topic is to have, both terminated; at most as many as the table has rows. */
struct wanted {
	struct tk_meta_config *configs;
	size_t count, room;
};

static void
item_decide(struct item *item, enum tk_error code, struct tk_bytes message)
{
	item->state = ITEM_DECIDED;
	item->answer = (struct tk_refusal){ .code = code, .message = message };
}

static void
item_good(struct item *item)
{
	item_decide(item, TK_ERR_NONE, (struct tk_bytes){ NULL, 0 });
}

/* ---- reading ---- */

/* Refuses resources that come twice; false without memory. */
static bool
items_compare(struct tk_job *job)
{
	struct alter_state *alter = job->state;
	struct tk_name_set names = { .arena = &job->arena }, twice = { .arena = &job->arena };
	struct tk_bytes *keys = tk_arena_calloc(&job->arena, alter->count + 1, sizeof(*keys));
	bool good = keys != NULL;

	for (size_t i = 0; i < alter->count && good; i++) {
		const struct item *item = &alter->items[i];
		uint8_t *key = tk_arena_alloc(&job->arena, (size_t)item->name.len + 1);

		good = key != NULL;
		if (!good)
			break;
		key[0] = (uint8_t)item->type;
		if (item->name.len > 0)
			memcpy(key + 1, item->name.data, item->name.len);
		keys[i] = (struct tk_bytes){ key, item->name.len + 1 };
		if (!tk_name_set_put(&names, keys[i]))
			(void)tk_name_set_put(&twice, keys[i]);
	}
	for (size_t i = 0; i < alter->count && good; i++)
		if (tk_name_set_has(&twice, keys[i]))
			item_decide(&alter->items[i], TK_ERR_INVALID_REQUEST,
			    tk_job_text(job, "Each resource must appear at most once."));
	tk_map_free(&names.map);
	tk_map_free(&twice.map);
	return good;
}

static bool
items_make(struct tk_job *job, int32_t count)
{
	struct alter_state *alter = job->state;

	alter->count = (size_t)TK_MAX(count, 0);
	alter->items = tk_arena_calloc(&job->arena, alter->count + 1, sizeof(*alter->items));
	return alter->items != NULL;
}

static struct change *
item_make(struct tk_job *job, struct item *item, int8_t type, struct tk_bytes name, int32_t count)
{
	item->type = type;
	item->name = name;
	item->changes_count = TK_MAX(count, 0);
	item->changes =
	    tk_arena_calloc(&job->arena, (size_t)item->changes_count + 1, sizeof(*item->changes));
	return item->changes;
}

static bool
replace_decode(struct tk_job *job, int32_t *ret_timeout_ms)
{
	struct alter_state *alter = job->state;
	struct tk_alter_configs_request request;
	struct tk_decoder dec;

	tk_decoder_init(&dec, job->body.data, job->body.len, &job->arena);
	if (!tk_alter_configs_request_decode(&dec, job->version, &request) ||
	    !items_make(job, request.resources_count))
		return false;
	alter->validate_only = request.validate_only;
	alter->replaces = true;
	for (size_t i = 0; i < alter->count; i++) {
		const struct tk_alter_configs_request_resource *from = &request.resources[i];
		struct change *to = item_make(job, &alter->items[i], from->resource_type,
		    from->resource_name, from->configs_count);

		if (to == NULL)
			return false;
		for (int32_t k = 0; k < from->configs_count; k++)
			to[k] = (struct change){ from->configs[k].name, from->configs[k].value,
				CHANGE_SET };
	}
	*ret_timeout_ms = 0;
	return items_compare(job);
}

static bool
increment_decode(struct tk_job *job, int32_t *ret_timeout_ms)
{
	struct alter_state *alter = job->state;
	struct tk_incremental_alter_configs_request request;
	struct tk_decoder dec;

	tk_decoder_init(&dec, job->body.data, job->body.len, &job->arena);
	if (!tk_incremental_alter_configs_request_decode(&dec, job->version, &request) ||
	    !items_make(job, request.resources_count))
		return false;
	alter->validate_only = request.validate_only;
	for (size_t i = 0; i < alter->count; i++) {
		const struct tk_incremental_alter_configs_request_resource *from =
		    &request.resources[i];
		struct change *to = item_make(job, &alter->items[i], from->resource_type,
		    from->resource_name, from->configs_count);

		if (to == NULL)
			return false;
		for (int32_t k = 0; k < from->configs_count; k++)
			to[k] = (struct change){ from->configs[k].name, from->configs[k].value,
				from->configs[k].config_operation };
	}
	*ret_timeout_ms = 0;
	return items_compare(job);
}

/* ---- what can be said without looking at the topic ---- */

/* Keys that come twice, values that are missing, in this order as Kafka. */
static bool
changes_check(struct tk_job *job, const struct item *item, struct tk_refusal *refusal)
{
	struct tk_name_set names = { .arena = &job->arena };
	bool twice = false;

	for (int32_t i = 0; i < item->changes_count && !twice; i++)
		twice = !tk_name_set_put(&names, item->changes[i].name);
	tk_map_free(&names.map);
	if (twice)
		return tk_refuse(
		    job, refusal, TK_ERR_INVALID_REQUEST, "Error due to duplicate config keys");
	for (int32_t i = 0; i < item->changes_count; i++) {
		const struct change *change = &item->changes[i];

		if (change->op < CHANGE_SET || change->op > CHANGE_SUBTRACT)
			return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
			    "Unknown operations type %d", change->op);
		if (change->op != CHANGE_DELETE && change->value.data == NULL)
			return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
			    "Null value not supported for : %s", tk_name_shown(job, change->name));
	}
	return true;
}

/* Always false: a broker that is not this one, or a broker's settings. */
static bool
broker_refuse(struct tk_job *job, const struct item *item, struct tk_refusal *refusal)
{
	char *name = tk_arena_strndup(&job->arena, item->name.data, item->name.len);
	int32_t node_id = job->coord->settings->node_id;
	char *end;
	long id;

	if (name == NULL)
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_SERVER_ERROR, "out of memory");
	id = strtol(name, &end, 10);
	if (*name != '\0' && (end == name || *end != '\0' || strlen(name) != item->name.len))
		return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
		    "Node id must be an integer, but it is: %s", tk_name_shown(job, item->name));
	if (*name != '\0' && id != node_id)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
		    "Unexpected broker id, expected %d, but received %s", node_id,
		    tk_name_shown(job, item->name));
	return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
	    "The settings of a broker cannot be changed by a client: they are in its takhin.conf, "
	    "which is read again when the broker gets a HUP.");
}

static bool
resource_check(struct tk_job *job, const struct item *item, struct tk_refusal *refusal)
{
	char text[512] = "";

	if (!changes_check(job, item, refusal))
		return false;
	if (item->type == RESOURCE_BROKER || item->type == RESOURCE_BROKER_LOGGER)
		return broker_refuse(job, item, refusal);
	if (item->type != RESOURCE_TOPIC)
		return tk_refuse(
		    job, refusal, TK_ERR_INVALID_REQUEST, "Unknown resource type %d", item->type);
	if (item->name.len == 0)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
		    "Default topic resources are not allowed.");
	if (tk_topic_name_check(item->name, text, sizeof(text)) < 0)
		return tk_refuse(job, refusal, TK_ERR_INVALID_TOPIC_EXCEPTION, "%s", text);
	return true;
}

/* ---- what the topic is to have ---- */

static struct tk_meta_config *
wanted_find(const struct wanted *wanted, const char *name)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (strcmp(wanted->configs[i].name, name) == 0)
			return &wanted->configs[i];
	return NULL;
}

static void
wanted_remove(struct wanted *wanted, const char *name)
{
	struct tk_meta_config *config = wanted_find(wanted, name);

	if (config == NULL)
		return;
	wanted->count--;
	memmove(config, config + 1,
	    (size_t)(wanted->configs + wanted->count - config) * sizeof(*config));
}

/* name is of the table, so there is room: a pair a row, and those that were there. */
static void
wanted_put(struct wanted *wanted, const char *name, const char *value)
{
	struct tk_meta_config *config = wanted_find(wanted, name);

	if (config == NULL) {
		tk_assert(wanted->count < wanted->room);
		config = &wanted->configs[wanted->count++];
	}
	config->name = name;
	config->value = value;
}

static bool
wanted_begin(struct tk_job *job, const struct tk_meta_topic *topic, struct wanted *ret_wanted)
{
	const struct alter_state *alter = job->state;
	size_t rows, had = topic == NULL || alter->replaces ? 0 : topic->config_count;

	(void)tk_topic_config_rows(&rows);
	ret_wanted->count = had;
	ret_wanted->room = had + rows;
	ret_wanted->configs =
	    tk_arena_calloc(&job->arena, ret_wanted->room + 1, sizeof(*ret_wanted->configs));
	if (ret_wanted->configs == NULL)
		return false;
	for (size_t i = 0; i < had; i++)
		ret_wanted->configs[i] = topic->configs[i];
	return true;
}

/* What a list has before it is changed: what was set, else the broker's default. */
static const char *
list_before(struct tk_job *job, const struct wanted *wanted, const struct tk_topic_config_row *row)
{
	const struct tk_meta_config *config = wanted_find(wanted, row->name);
	struct tk_topic_config defaults;
	struct tk_config_entry entry;
	size_t rows;

	if (config != NULL)
		return config->value;
	tk_topic_config_defaults(job->coord->settings, &defaults);
	if (tk_topic_config_get(job->coord->settings, &defaults,
		(size_t)(row - tk_topic_config_rows(&rows)), &job->arena, &entry) < 0)
		return NULL;
	return entry.value;
}

static bool
list_has(const char *list, const char *part, size_t len)
{
	while (*list != '\0') {
		size_t n = strcspn(list, ",");

		if (n == len && memcmp(list, part, n) == 0)
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

/* Adds to list, which has room, the parts of from that it does not have and but does not have. */
static void
list_add(char *list, const char *from, const char *but)
{
	while (*from != '\0') {
		size_t n = strcspn(from, ","), end = strlen(list);

		if (n > 0 && !list_has(but, from, n) && !list_has(list, from, n)) {
			if (end > 0)
				list[end++] = ',';
			memcpy(list + end, from, n);
			list[end + n] = '\0';
		}
		from += n + (from[n] == ',');
	}
}

static bool
list_change(struct tk_job *job, struct wanted *wanted, const struct change *change,
    const char *value, const struct tk_topic_config_row *row, struct tk_refusal *refusal)
{
	bool append = change->op == CHANGE_APPEND;
	const char *before;
	char *list;

	if (row->type != TK_CONFIG_LIST)
		return tk_refuse(job, refusal, TK_ERR_INVALID_CONFIG,
		    "Can't %s to key %s because its type is not LIST.",
		    append ? "APPEND" : "SUBTRACT", row->name);
	if (strlen(value) > LIST_VALUE_MAX)
		return tk_refuse(job, refusal, TK_ERR_INVALID_CONFIG,
		    "The value of %s is longer than %d bytes.", row->name, LIST_VALUE_MAX);
	before = list_before(job, wanted, row);
	list = before == NULL ? NULL
			      : tk_arena_calloc(&job->arena, 1, strlen(before) + strlen(value) + 2);
	if (list == NULL)
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_SERVER_ERROR, "out of memory");
	list_add(list, before, append ? "" : value);
	if (append)
		list_add(list, value, "");
	wanted_put(wanted, row->name, list);
	return true;
}

static bool
change_make(struct tk_job *job, struct wanted *wanted, const struct change *change,
    struct tk_refusal *refusal)
{
	char *name = tk_arena_strndup(&job->arena, change->name.data, change->name.len);
	char *value = tk_arena_strndup(&job->arena,
	    change->value.data == NULL ? (const uint8_t *)"" : change->value.data,
	    change->value.len);
	const struct tk_topic_config_row *row;

	if (name == NULL || value == NULL)
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_SERVER_ERROR, "out of memory");
	if (strlen(name) != change->name.len || strlen(value) != change->value.len)
		return tk_refuse(job, refusal, TK_ERR_INVALID_CONFIG,
		    "A topic config must not contain a NUL byte: %s",
		    tk_name_shown(job, change->name));
	if (change->op == CHANGE_DELETE) { /* of whatever is stored, or of nothing */
		wanted_remove(wanted, name);
		return true;
	}
	row = tk_topic_config_find(name);
	if (row == NULL)
		return tk_refuse(job, refusal, TK_ERR_INVALID_CONFIG,
		    "Unknown topic config name: %s", tk_name_shown(job, change->name));
	if (change->op != CHANGE_SET)
		return list_change(job, wanted, change, value, row, refusal);
	wanted_put(wanted, row->name, value);
	return true;
}

/* The whole of it, as a topic that is created with it would be checked. */
static bool
wanted_check(struct tk_job *job, const struct wanted *wanted, struct tk_refusal *refusal)
{
	struct tk_topic_config config;
	char text[512] = "";

	tk_topic_config_defaults(job->coord->settings, &config);
	for (size_t i = 0; i < wanted->count; i++)
		if (tk_topic_config_set(&config, wanted->configs[i].name, wanted->configs[i].value,
			text, sizeof(text)) < 0)
			return tk_refuse(job, refusal, TK_ERR_INVALID_CONFIG, "%s", text);
	return true;
}

static bool
item_check(struct tk_job *job, const struct item *item, const struct tk_meta_topic *topic,
    struct wanted *ret_wanted, struct tk_refusal *refusal)
{
	if (!resource_check(job, item, refusal))
		return false;
	if (!wanted_begin(job, topic, ret_wanted))
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_SERVER_ERROR, "out of memory");
	for (int32_t i = 0; i < item->changes_count; i++)
		if (!change_make(job, ret_wanted, &item->changes[i], refusal))
			return false;
	if (!wanted_check(job, ret_wanted, refusal))
		return false;
	if (topic == NULL)
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "The topic '%s' does not exist.", tk_name_shown(job, item->name));
	return true;
}

/* ---- writing ---- */

static bool
is_as_wanted(const struct tk_meta_topic *topic, const struct wanted *wanted)
{
	if (topic->config_count != wanted->count)
		return false;
	for (size_t i = 0; i < topic->config_count; i++) {
		const struct tk_meta_config *config = wanted_find(wanted, topic->configs[i].name);

		if (config == NULL || strcmp(config->value, topic->configs[i].value) != 0)
			return false;
	}
	return true;
}

static struct tk_bytes
bytes_of(const char *text)
{
	return (struct tk_bytes){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

/* False: it does not fit into this transaction. */
static bool
item_write(struct tk_job *job, struct tk_meta_txn *txn, struct item *item,
    const struct tk_meta_topic *topic, const struct wanted *wanted)
{
	struct tk_meta_topic_value value = { .topic_id = topic->id,
		.partition_count = topic->partition_count };
	struct tk_meta_txn_mark mark = tk_meta_txn_mark(txn);

	value.configs = tk_arena_calloc(&job->arena, wanted->count + 1, sizeof(*value.configs));
	if (value.configs == NULL) {
		item_decide(item, TK_ERR_UNKNOWN_SERVER_ERROR, (struct tk_bytes){ NULL, 0 });
		return true;
	}
	for (size_t i = 0; i < wanted->count; i++) {
		value.configs[i].name = bytes_of(wanted->configs[i].name);
		value.configs[i].value = bytes_of(wanted->configs[i].value);
	}
	value.configs_count = (int32_t)wanted->count;
	tk_meta_txn_put_topic(txn, item->name, &value);
	if (txn->rc == 0) {
		item->state = ITEM_WRITTEN;
		job->directories |= tk_topic_directories(topic);
		return true;
	}
	tk_meta_txn_back(txn, mark);
	if (tk_meta_txn_has_changes(txn))
		return false;
	item_decide(item, TK_ERR_KAFKA_STORAGE_ERROR, (struct tk_bytes){ NULL, 0 });
	return true;
}

static enum tk_step
alter_run(struct tk_job *job, struct tk_meta_txn *txn)
{
	struct alter_state *alter = job->state;

	for (; alter->next < alter->count; alter->next++) {
		struct item *item = &alter->items[alter->next];
		const struct tk_meta_topic *topic =
		    tk_meta_topic_find(job->coord->meta, item->name.data, item->name.len);
		struct tk_refusal refusal;
		struct wanted wanted;

		if (item->state != ITEM_OPEN)
			continue;
		if (!item_check(job, item, topic, &wanted, &refusal))
			item_decide(item, refusal.code, refusal.message);
		else if (alter->validate_only || is_as_wanted(topic, &wanted))
			item_good(item);
		else if (!item_write(job, txn, item, topic, &wanted))
			break;
	}
	return tk_meta_txn_has_changes(txn) ? TK_STEP_COMMIT : TK_STEP_ANSWER;
}

static void
alter_committed(struct tk_job *job, enum tk_error error)
{
	struct alter_state *alter = job->state;

	for (size_t i = 0; i < alter->next; i++) {
		struct item *item = &alter->items[i];

		if (item->state != ITEM_WRITTEN)
			continue;
		if (error != TK_ERR_NONE) {
			item_decide(item, error, (struct tk_bytes){ NULL, 0 });
			continue;
		}
		item->state = ITEM_MADE;
		tk_info("configuration of topic \"%s\" changed for \"%s\" at %s",
		    tk_name_shown(job, item->name), job->client_id, job->host);
	}
}

static enum tk_step
alter_applied(struct tk_job *job)
{
	struct alter_state *alter = job->state;

	for (size_t i = 0; i < alter->next; i++)
		if (alter->items[i].state == ITEM_MADE)
			item_good(&alter->items[i]);
	return alter->next < alter->count ? TK_STEP_AGAIN : TK_STEP_ANSWER;
}

static void
alter_expired(struct tk_job *job)
{
	struct alter_state *alter = job->state;

	for (size_t i = 0; i < alter->count; i++)
		if (alter->items[i].state != ITEM_DECIDED)
			item_decide(&alter->items[i], TK_ERR_REQUEST_TIMED_OUT,
			    (struct tk_bytes){ NULL, 0 });
}

/* ---- answering ---- */

static void
replace_encode(struct tk_job *job, struct tk_chain *chain, bool shrunk)
{
	struct alter_state *alter = job->state;
	struct tk_alter_configs_response response;

	tk_alter_configs_response_init(&response);
	response.responses =
	    tk_arena_calloc(&job->arena, alter->count + 1, sizeof(*response.responses));
	if (response.responses == NULL) {
		chain->failed = true;
		return;
	}
	for (size_t i = 0; i < alter->count; i++) {
		struct tk_alter_configs_response_resource *to = &response.responses[i];

		tk_alter_configs_response_resource_init(to);
		to->error_code = (int16_t)alter->items[i].answer.code;
		to->error_message =
		    shrunk ? (struct tk_bytes){ NULL, 0 } : alter->items[i].answer.message;
		to->resource_type = alter->items[i].type;
		to->resource_name = alter->items[i].name;
	}
	response.responses_count = (int32_t)alter->count;
	tk_alter_configs_response_encode(chain, job->version, &response);
}

static void
increment_encode(struct tk_job *job, struct tk_chain *chain, bool shrunk)
{
	struct alter_state *alter = job->state;
	struct tk_incremental_alter_configs_response response;

	tk_incremental_alter_configs_response_init(&response);
	response.responses =
	    tk_arena_calloc(&job->arena, alter->count + 1, sizeof(*response.responses));
	if (response.responses == NULL) {
		chain->failed = true;
		return;
	}
	for (size_t i = 0; i < alter->count; i++) {
		struct tk_incremental_alter_configs_response_resource *to = &response.responses[i];

		tk_incremental_alter_configs_response_resource_init(to);
		to->error_code = (int16_t)alter->items[i].answer.code;
		to->error_message =
		    shrunk ? (struct tk_bytes){ NULL, 0 } : alter->items[i].answer.message;
		to->resource_type = alter->items[i].type;
		to->resource_name = alter->items[i].name;
	}
	response.responses_count = (int32_t)alter->count;
	tk_incremental_alter_configs_response_encode(chain, job->version, &response);
}

const struct tk_job_kind tk_alter_configs_job = {
	.api_key = 33,
	.min_version = TK_ALTER_CONFIGS_MIN_VERSION,
	.max_version = TK_ALTER_CONFIGS_MAX_VERSION,
	.name = "AlterConfigs",
	.state_size = sizeof(struct alter_state),
	.decode = replace_decode,
	.run = alter_run,
	.committed = alter_committed,
	.applied = alter_applied,
	.expired = alter_expired,
	.encode = replace_encode,
};

const struct tk_job_kind tk_incremental_alter_configs_job = {
	.api_key = 44,
	.min_version = TK_INCREMENTAL_ALTER_CONFIGS_MIN_VERSION,
	.max_version = TK_INCREMENTAL_ALTER_CONFIGS_MAX_VERSION,
	.name = "IncrementalAlterConfigs",
	.state_size = sizeof(struct alter_state),
	.decode = increment_decode,
	.run = alter_run,
	.committed = alter_committed,
	.applied = alter_applied,
	.expired = alter_expired,
	.encode = increment_encode,
};
