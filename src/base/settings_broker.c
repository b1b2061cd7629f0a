/*
 * The settings as DescribeConfigs tells them of a broker: the rows with a Kafka key, then what
 * Kafka has as a key of its own and is part of another setting here.
 *
 * Any process, any thread; no state.
 */
#include <string.h>

#include "base/settings_private.h"

/* A key that is made from another setting. */
struct derived {
	const char *name;
	const char *path; /* the setting it is made from */
	enum tk_config_type type;
	const char *help;
	const char *(*value)(const struct tk_settings *settings, struct tk_arena *arena);
};

static const char *
advertised_listeners(const struct tk_settings *settings, struct tk_arena *arena)
{
	const char *text = "";

	for (size_t i = 0; i < settings->listeners.count && text != NULL; i++) {
		const struct tk_listener_settings *listener = &settings->listeners.items[i];
		bool is_ipv6 = strchr(listener->advertised_host, ':') != NULL;

		text = tk_arena_printf(arena, "%s%s%s://%s%s%s:%d", text, i == 0 ? "" : ",",
		    listener->name, is_ipv6 ? "[" : "", listener->advertised_host,
		    is_ipv6 ? "]" : "", (int)listener->advertised_port);
	}
	return text;
}

static const char *
broker_id(const struct tk_settings *settings, struct tk_arena *arena)
{
	return tk_arena_printf(arena, "%d", (int)settings->node_id);
}

static const struct derived deriveds[] = {
	{ "advertised.listeners", "listeners", TK_CONFIG_LIST,
	    "Names and ports that clients are told to connect to.", advertised_listeners },
	{ "broker.id", "node_id", TK_CONFIG_INT, "Number of this broker.", broker_id },
};

static enum tk_config_type
row_type(const struct tk_setting *row)
{
	switch (row->type) {
	case TK_SETTING_BOOL:
		return TK_CONFIG_BOOLEAN;
	case TK_SETTING_INT:
		return TK_CONFIG_INT;
	case TK_SETTING_SIZE:
	case TK_SETTING_DURATION:
		return row->max <= INT32_MAX ? TK_CONFIG_INT : TK_CONFIG_LONG;
	case TK_SETTING_STRINGS:
	case TK_SETTING_CIDRS:
	case TK_SETTING_LISTENERS:
		return TK_CONFIG_LIST;
	case TK_SETTING_STRING:
	case TK_SETTING_ENUM:
		break;
	}
	return TK_CONFIG_STRING;
}

static enum tk_config_source
row_source(const struct tk_settings *settings, const struct tk_setting *row)
{
	return tk_setting_origin(settings, row)->file != NULL ? TK_CONFIG_SOURCE_STATIC_BROKER
							      : TK_CONFIG_SOURCE_DEFAULT;
}

static void
synonym_add(struct tk_config_entry *entry, const char *value, enum tk_config_source source)
{
	entry->synonyms[entry->synonym_count++] =
	    (struct tk_config_synonym){ .name = entry->name, .value = value, .source = source };
}

static int
row_entry(const struct tk_settings *settings, const struct tk_setting *row, struct tk_arena *arena,
    struct tk_config_entry *ret_entry)
{
	struct tk_config_entry entry = { .name = row->kafka_key,
		.value = tk_setting_value(settings, row, arena),
		.help = row->help,
		.source = row_source(settings, row),
		.type = row_type(row),
		.read_only = true };
	const char *default_value = entry.value;

	if (row->default_text != NULL)
		default_value = tk_setting_default_value(row, arena);
	if (entry.value == NULL || default_value == NULL)
		return -ENOMEM;
	if (entry.source == TK_CONFIG_SOURCE_STATIC_BROKER)
		synonym_add(&entry, entry.value, TK_CONFIG_SOURCE_STATIC_BROKER);
	if (row->default_text != NULL && *default_value != '\0')
		synonym_add(&entry, default_value, TK_CONFIG_SOURCE_DEFAULT);
	if (*entry.value == '\0')
		entry.value = NULL; /* Kafka has null where nothing was set */
	*ret_entry = entry;
	return 0;
}

static int
derived_entry(const struct tk_settings *settings, const struct derived *derived,
    struct tk_arena *arena, struct tk_config_entry *ret_entry)
{
	struct tk_config_entry entry = { .name = derived->name,
		.value = derived->value(settings, arena),
		.help = derived->help,
		.source = row_source(settings, tk_setting_find(derived->path)),
		.type = derived->type,
		.read_only = true };

	if (entry.value == NULL)
		return -ENOMEM;
	synonym_add(&entry, entry.value, entry.source);
	*ret_entry = entry;
	return 0;
}

int
tk_broker_config_get(const struct tk_settings *settings, size_t index, struct tk_arena *arena,
    struct tk_config_entry *ret_entry)
{
	size_t count;
	const struct tk_setting *rows = tk_settings_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (rows[i].kafka_key == NULL)
			continue;
		if (index == 0)
			return row_entry(settings, &rows[i], arena, ret_entry);
		index--;
	}
	if (index < TK_COUNT_OF(deriveds))
		return derived_entry(settings, &deriveds[index], arena, ret_entry);
	return -ENOENT;
}
