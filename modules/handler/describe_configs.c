/*
 * DescribeConfigs for topics and for this broker, from the tables of settings.  Runs in workers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/topic_config.h"
#include "handlers.h"
#include "meta/topic_name.h"

#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4
#define CONFIGS_MAX     256

typedef int config_get_fn(struct tk_request *req, const struct tk_meta_topic *topic, size_t index,
    struct tk_config_entry *ret_entry);

static int
topic_config_entry(struct tk_request *req, const struct tk_meta_topic *topic, size_t index,
    struct tk_config_entry *ret_entry)
{
	return tk_topic_config_get(
	    req->worker->settings, topic->config, index, &req->arena, ret_entry);
}

static int
broker_config_entry(struct tk_request *req, const struct tk_meta_topic *topic, size_t index,
    struct tk_config_entry *ret_entry)
{
	(void)topic;
	return tk_broker_config_get(req->worker->settings, index, &req->arena, ret_entry);
}

static bool
is_asked_for(const struct tk_describe_configs_request_resource *ask, const char *name)
{
	if (ask->configuration_keys_count < 0)
		return true;
	for (int32_t i = 0; i < ask->configuration_keys_count; i++)
		if (ask->configuration_keys[i].len == strlen(name) &&
		    memcmp(ask->configuration_keys[i].data, name, strlen(name)) == 0)
			return true;
	return false;
}

static bool
config_fill(struct tk_request *req, const struct tk_describe_configs_request *ask,
    const struct tk_config_entry *entry, struct tk_describe_configs_response_config *ret)
{
	tk_describe_configs_response_config_init(ret);
	ret->name = tk_text(entry->name);
	ret->value = entry->sensitive ? tk_text_or_null(NULL) : tk_text_or_null(entry->value);
	ret->read_only = entry->read_only;
	ret->is_default = entry->source == TK_CONFIG_SOURCE_DEFAULT;
	ret->config_source = (int8_t)entry->source;
	ret->is_sensitive = entry->sensitive;
	ret->config_type = (int8_t)entry->type;
	ret->documentation = tk_text_or_null(ask->include_documentation ? entry->help : NULL);
	if (!ask->include_synonyms || entry->synonym_count == 0)
		return true;
	ret->synonyms = tk_arena_calloc(&req->arena, entry->synonym_count, sizeof(*ret->synonyms));
	if (ret->synonyms == NULL)
		return false;
	ret->synonyms_count = (int32_t)entry->synonym_count;
	for (size_t i = 0; i < entry->synonym_count; i++) {
		tk_describe_configs_response_synonym_init(&ret->synonyms[i]);
		ret->synonyms[i].name = tk_text(entry->synonyms[i].name);
		ret->synonyms[i].value = tk_text_or_null(entry->synonyms[i].value);
		ret->synonyms[i].source = (int8_t)entry->synonyms[i].source;
	}
	return true;
}

static bool
result_fill(struct tk_request *req, const struct tk_describe_configs_request *ask,
    const struct tk_describe_configs_request_resource *resource, const struct tk_meta_topic *topic,
    config_get_fn *get, struct tk_describe_configs_response_result *ret)
{
	struct tk_config_entry *entry = tk_arena_alloc(&req->arena, sizeof(*entry));

	ret->configs = tk_arena_calloc(&req->arena, CONFIGS_MAX, sizeof(*ret->configs));
	if (ret->configs == NULL || entry == NULL)
		return false;
	for (size_t i = 0; ret->configs_count < CONFIGS_MAX; i++) {
		int rc = get(req, topic, i, entry);

		if (rc == -ENOENT)
			return true;
		if (rc < 0)
			return false;
		if (is_asked_for(resource, entry->name) &&
		    !config_fill(req, ask, entry, &ret->configs[ret->configs_count++]))
			return false;
	}
	return true;
}

static bool
describe_topic(struct tk_request *req, const struct tk_describe_configs_request *ask,
    const struct tk_describe_configs_request_resource *resource,
    struct tk_describe_configs_response_result *ret)
{
	const struct tk_meta_topic *topic = tk_meta_topic_find(
	    req->worker->meta, resource->resource_name.data, resource->resource_name.len);

	if (topic != NULL)
		return result_fill(req, ask, resource, topic, topic_config_entry, ret);
	ret->error_code = tk_topic_name_check(resource->resource_name, NULL, 0) < 0
			      ? TK_ERR_INVALID_TOPIC_EXCEPTION
			      : TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
	return true;
}

/* A broker is named by its id; the empty name means the cluster's dynamic defaults: none. */
static bool
describe_broker(struct tk_request *req, const struct tk_describe_configs_request *ask,
    const struct tk_describe_configs_request_resource *resource,
    struct tk_describe_configs_response_result *ret)
{
	char *name = tk_arena_strndup(
	    &req->arena, resource->resource_name.data, resource->resource_name.len);
	char *end;
	long id;

	if (name == NULL)
		return false;
	if (name[0] == '\0')
		return true;
	id = strtol(name, &end, 10);
	if (*end == '\0' && id == req->worker->settings->node_id)
		return result_fill(req, ask, resource, NULL, broker_config_entry, ret);
	ret->error_code = TK_ERR_INVALID_REQUEST;
	ret->error_message = tk_text("no such broker: the broker that is asked describes itself");
	return true;
}

static bool
describe_resource(struct tk_request *req, const struct tk_describe_configs_request *ask,
    const struct tk_describe_configs_request_resource *resource,
    struct tk_describe_configs_response_result *ret)
{
	tk_describe_configs_response_result_init(ret);
	ret->resource_type = resource->resource_type;
	ret->resource_name = resource->resource_name;
	if (resource->resource_type == RESOURCE_TOPIC)
		return describe_topic(req, ask, resource, ret);
	if (resource->resource_type == RESOURCE_BROKER)
		return describe_broker(req, ask, resource, ret);
	ret->error_code = TK_ERR_INVALID_REQUEST;
	ret->error_message = tk_text("only topics and brokers have configurations here");
	return true;
}

static enum tk_io
describe_configs_handle(struct tk_request *req)
{
	struct tk_describe_configs_request ask;
	struct tk_describe_configs_response msg;

	if (!tk_request_decode(req, &ask))
		return TK_IO_ERROR;
	(void)!tk_meta_catch_up(req->worker->meta);
	tk_describe_configs_response_init(&msg);
	msg.results =
	    tk_arena_calloc(&req->arena, (size_t)ask.resources_count + 1, sizeof(*msg.results));
	if (msg.results == NULL)
		return TK_IO_ERROR;
	msg.results_count = ask.resources_count;
	for (int32_t i = 0; i < ask.resources_count; i++)
		if (!describe_resource(req, &ask, &ask.resources[i], &msg.results[i]))
			return TK_IO_ERROR;
	return tk_request_reply(req, &msg);
}

static const struct tk_api apis[] = {
	{ 32, 0, 4, 0, 0, describe_configs_handle, NULL },
};

static const struct tk_handler describe_configs_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_describe_configs = { .abi = TK_MODULE_ABI,
	.name = "describe_configs",
	.kind = TK_MODULE_HANDLER,
	.handler = &describe_configs_handler };
